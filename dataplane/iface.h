/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What an ethdev port is on its link: MAC, addresses, gateways.
 *
 * Thread-safety: written by iface_init on the main lcore before the workers run, constant afterwards.
 */
#ifndef ROOKERY_DATAPLANE_IFACE_H
#define ROOKERY_DATAPLANE_IFACE_H

#include "shared/config.h"

#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mempool.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Configured addresses, and one link-local that comes from the MAC. */
#define IFACE_ADDRESS_MAX 16

/* Of what the port sends. */
#define IFACE_TTL 64

/* The header of every IPv4 packet that is sent, but for lengths, addresses and checksum. */
extern const struct rte_ipv4_hdr ipv4_template;

/* packet_info.local of a packet that is to leave from whichever address fits its destination. */
#define IFACE_LOCAL_ANY 0

/* An IP address in the form of struct endpoint: IPv4 is mapped into IPv6. */
struct ip_address {
	_Alignas(8) uint8_t bytes[16];
};

static inline bool
ip_equal(const void *a, const void *b)
{
	uint64_t x[2], y[2];

	memcpy(x, a, sizeof(x));
	memcpy(y, b, sizeof(y));
	return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0;
}

static inline bool
ip_is_ipv4(const void *ip)
{
	uint64_t zero;
	uint32_t ones;

	memcpy(&zero, ip, sizeof(zero));
	memcpy(&ones, (const uint8_t *)ip + 8, sizeof(ones));
	return zero == 0 && ones == RTE_BE32(0xffff);
}

/* Of one that ip_is_ipv4; network order. */
static inline rte_be32_t
ip_ipv4(const void *ip)
{
	rte_be32_t v4;

	memcpy(&v4, (const uint8_t *)ip + 12, sizeof(v4));
	return v4;
}

static inline void
ip_from_ipv4(void *ip, const void *v4)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	memcpy(ip, mapped, sizeof(mapped));
	memcpy((uint8_t *)ip + 12, v4, 4);
}

static inline bool
ip_is_link_local(const void *ip)
{
	const uint8_t *b = ip;

	return b[0] == 0xfe && (b[1] & 0xc0) == 0x80;
}

struct iface_address {
	struct ip_address ip;
	uint8_t prefix; /* of 128 bits: IPv4 /24 is 120 */
	bool ipv4;
	/* of an IPv4 address: sums of what is the same in all packets that it sends (checksum.h) */
	uint32_t ip_sum;
	uint32_t udp_sum;
};

/* The IPv4 addresses again, for every packet to look at. */
struct iface_ipv4 {
	rte_be32_t ip;
	rte_be32_t mask;
	uint32_t index; /* in iface.address */
};

struct iface {
	struct rte_ether_addr mac;
	uint16_t udp_port;          /* network order */
	uint16_t mtu;
	uint16_t count;             /* addresses are [1..count]; packet_info.local indexes them */
	bool ipv6;                  /* some address is IPv6 */
	bool has_gateway;
	bool has_gateway6;
	/* The device checks: believed when it says that a sum is good, verified otherwise. */
	bool trust_rx_checksum;
	/* Peers may be on this machine and leave UDP checksums to hardware that never comes. */
	bool partial_checksum;
	uint64_t tx_offloads;       /* RTE_ETH_TX_OFFLOAD_* in use */
	struct ip_address gateway;
	struct ip_address gateway6;
	struct iface_address address[IFACE_ADDRESS_MAX + 1];
	uint32_t ipv4_count;
	struct iface_ipv4 ipv4[IFACE_ADDRESS_MAX];
};

/* One worker's view of a link: what the stages between the device and the worker need. */
struct link_queue {
	const struct iface *iface;
	struct neighbor_table *neighbors; /* of the port, shared by its queues */
	struct rte_mempool *pool;         /* for the port's own frames */
	uint64_t *counters;               /* the worker's */
	uint8_t port;
	bool mld_query_seen;              /* ingress sets, the port reports its groups and clears */
};

/* Reads addresses, gateways, UDP port and MTU of c; adds the link-local address when an IPv6 address is
 * configured. Returns 0 or -EINVAL with a line in error. */
int iface_init(struct iface *f, const struct config_port *c, const struct rte_ether_addr *mac, char *error,
	       size_t cap);

/* Index of ip among our addresses; 0 when it is not ours. */
unsigned iface_local(const struct iface *f, const void *ip);
static inline unsigned
iface_local_ipv4(const struct iface *f, rte_be32_t ip)
{
	for (unsigned i = 0; i < f->ipv4_count; i++)
		if (f->ipv4[i].ip == ip)
			return f->ipv4[i].index;
	return 0;
}

/* Index of the address from which to reach ip: on the same link if there is one, otherwise the first of the
 * family that reaches beyond the link; 0 without an address of that family. */
unsigned iface_source(const struct iface *f, const void *ip);

/* Is ip a direct neighbour? */
bool iface_on_link(const struct iface *f, const void *ip);
static inline bool
iface_on_link_ipv4(const struct iface *f, rte_be32_t ip)
{
	for (unsigned i = 0; i < f->ipv4_count; i++)
		if (((f->ipv4[i].ip ^ ip) & f->ipv4[i].mask) == 0)
			return true;
	return false;
}

/* Is multicast group one that we listen to: all nodes, or the solicited-node group of an address of ours (RFC
 * 4291, 2.7.1)? */
bool iface_in_group(const struct iface *f, const void *group);

void ip_solicited_node(void *group, const void *ip);
void ip_multicast_mac(struct rte_ether_addr *mac, const void *group);

#endif
