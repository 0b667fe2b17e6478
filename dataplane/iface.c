/* SPDX-License-Identifier: BSD-3-Clause */
#include "dataplane/iface.h"

#include "dataplane/checksum.h"
#include "shared/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <rte_byteorder.h>
#include <stdio.h>
#include <stdlib.h>

#define IPV6_MTU_MIN 1280
#define IPV4_MTU_MIN (WIRE_DATAGRAM_MAX + 28)

/* DF and id 0: never a fragment (RFC 6864, 4.1) */
const struct rte_ipv4_hdr ipv4_template = {
	.version_ihl = RTE_IPV4_VHL_DEF,
	.fragment_offset = RTE_BE16(RTE_IPV4_HDR_DF_FLAG),
	.time_to_live = IFACE_TTL,
	.next_proto_id = IPPROTO_UDP,
};

static const uint8_t all_nodes[16] = {0xff, 0x02, [15] = 1};
static const uint8_t solicited_prefix[13] = {0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff};

void
ip_solicited_node(void *group, const void *ip)
{
	memcpy(group, solicited_prefix, sizeof(solicited_prefix));
	memcpy((uint8_t *)group + 13, (const uint8_t *)ip + 13, 3);
}

void
ip_multicast_mac(struct rte_ether_addr *mac, const void *group)
{
	mac->addr_bytes[0] = 0x33;
	mac->addr_bytes[1] = 0x33;
	memcpy(mac->addr_bytes + 2, (const uint8_t *)group + 12, 4);
}

static bool
prefix_equal(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned bytes = bits / 8;

	if (memcmp(a, b, bytes) != 0)
		return false;
	return bits % 8 == 0 || (a[bytes] ^ b[bytes]) >> (8 - bits % 8) == 0;
}

static bool
ip_parse(struct ip_address *ip, const char *text)
{
	struct in_addr v4;

	if (inet_pton(AF_INET, text, &v4) == 1) {
		ip_from_ipv4(ip->bytes, &v4);
		return true;
	}
	return inet_pton(AF_INET6, text, ip->bytes) == 1 && !ip_is_ipv4(ip->bytes);
}

/* Neither multicast nor loopback, nor an address that stands for all or none. */
static bool
ip_usable(const uint8_t *ip)
{
	static const uint8_t zero[15];

	if (ip_is_ipv4(ip))
		return ip[12] != 0 && ip[12] != 127 && ip[12] < 224;
	return ip[0] != 0xff && memcmp(ip, zero, sizeof(zero)) != 0;
}

/* The all-ones (broadcast) and, in subnets that have one, the all-zeros address of an IPv4 subnet. */
static bool
ipv4_host_part_reserved(const struct iface_address *a)
{
	uint32_t host_bits = 128u - a->prefix;
	uint32_t mask, value;

	if (host_bits < 2)
		return false;
	memcpy(&value, a->ip.bytes + 12, sizeof(value));
	mask = host_bits == 32 ? UINT32_MAX : (UINT32_C(1) << host_bits) - 1;
	value = rte_be_to_cpu_32(value) & mask;
	return value == 0 || value == mask;
}

static int
address_parse(struct iface_address *a, const char *text)
{
	char host[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	unsigned long bits;
	char *end;

	if (slash == NULL || slash == text || (size_t)(slash - text) >= sizeof(host) || slash[1] < '0' ||
	    slash[1] > '9')
		return -EINVAL;
	memcpy(host, text, (size_t)(slash - text));
	host[slash - text] = '\0';
	bits = strtoul(slash + 1, &end, 10);
	if (*end != '\0' || !ip_parse(&a->ip, host) || !ip_usable(a->ip.bytes))
		return -EINVAL;
	a->ipv4 = ip_is_ipv4(a->ip.bytes);
	if (bits > (a->ipv4 ? 32 : 128))
		return -EINVAL;
	a->prefix = (uint8_t)(a->ipv4 ? bits + 96 : bits);
	return a->ipv4 && ipv4_host_part_reserved(a) ? -EINVAL : 0;
}

/* RFC 4291, appendix A: the modified EUI-64 of the MAC. */
static void
link_local_from_mac(struct iface_address *a, const struct rte_ether_addr *mac)
{
	uint8_t *ip = a->ip.bytes;

	memset(ip, 0, 16);
	ip[0] = 0xfe;
	ip[1] = 0x80;
	memcpy(ip + 8, mac->addr_bytes, 3);
	ip[8] ^= 0x02;
	ip[11] = 0xff;
	ip[12] = 0xfe;
	memcpy(ip + 13, mac->addr_bytes + 3, 3);
	a->prefix = 64;
	a->ipv4 = false;
}

static int
gateway_parse(struct ip_address *gateway, bool *has, const char *text, bool ipv4, char *error, size_t cap)
{
	*has = false;
	if (text == NULL || text[0] == '\0')
		return 0;
	if (!ip_parse(gateway, text) || !ip_usable(gateway->bytes) || ip_is_ipv4(gateway->bytes) != ipv4) {
		snprintf(error, cap, "gateway%s %s is no usable %s address", ipv4 ? "" : "6", text,
			 ipv4 ? "IPv4" : "IPv6");
		return -EINVAL;
	}
	*has = true;
	return 0;
}

/* What every IPv4 packet needs of the addresses. */
static void
ipv4_prepare(struct iface *f)
{
	for (unsigned i = 1; i <= f->count; i++) {
		struct iface_address *a = &f->address[i];
		unsigned bits = a->prefix - 96u;
		rte_be32_t ip;

		if (!a->ipv4)
			continue;
		ip = ip_ipv4(a->ip.bytes);
		a->udp_sum = checksum_word32(ip) + RTE_BE16(IPPROTO_UDP);
		a->ip_sum = checksum_word32(ip) + checksum_sum(&ipv4_template, sizeof(ipv4_template));
		f->ipv4[f->ipv4_count++] = (struct iface_ipv4){
			.ip = ip,
			.mask = bits != 0 ? rte_cpu_to_be_32(UINT32_MAX << (32 - bits)) : 0,
			.index = i,
		};
	}
}

static int
addresses_parse(struct iface *f, const struct config_port *c, char *error, size_t cap)
{
	bool link_local = false;
	unsigned i;

	if (c->addresses_count == 0) {
		snprintf(error, cap, "no address: give at least one in addresses, as in \"10.0.0.1/24\"");
		return -EINVAL;
	}
	if (c->addresses_count >= IFACE_ADDRESS_MAX) {
		snprintf(error, cap, "%u addresses are too many; at most %u", c->addresses_count,
			 IFACE_ADDRESS_MAX - 1);
		return -EINVAL;
	}
	for (i = 0; i < c->addresses_count; i++) {
		struct iface_address *a = &f->address[f->count + 1];

		if (address_parse(a, c->addresses[i]) != 0) {
			snprintf(error, cap,
				 "address %s: write a host address with its prefix length, as in "
				 "\"10.0.0.1/24\" or \"fd00::1/64\"",
				 c->addresses[i]);
			return -EINVAL;
		}
		if (iface_local(f, a->ip.bytes) != 0) {
			snprintf(error, cap, "address %s is listed twice", c->addresses[i]);
			return -EINVAL;
		}
		f->ipv6 |= !a->ipv4;
		link_local |= ip_is_link_local(a->ip.bytes);
		f->count++;
	}
	if (f->ipv6 && !link_local)
		link_local_from_mac(&f->address[++f->count], &f->mac);
	ipv4_prepare(f);
	return 0;
}

int
iface_init(struct iface *f, const struct config_port *c, const struct rte_ether_addr *mac, char *error,
	   size_t cap)
{
	int rc;

	memset(f, 0, sizeof(*f));
	f->mac = *mac;
	f->udp_port = rte_cpu_to_be_16(c->udp_port);
	f->mtu = c->mtu;
	if (c->udp_port == 0) {
		snprintf(error, cap, "udp_port is 0; the usual one is %u", WIRE_PORT);
		return -EINVAL;
	}
	rc = addresses_parse(f, c, error, cap);
	if (rc == 0)
		rc = gateway_parse(&f->gateway, &f->has_gateway, c->gateway, true, error, cap);
	if (rc == 0)
		rc = gateway_parse(&f->gateway6, &f->has_gateway6, c->gateway6, false, error, cap);
	if (rc == 0 && f->mtu < (f->ipv6 ? IPV6_MTU_MIN : IPV4_MTU_MIN)) {
		snprintf(error, cap, "mtu %u is too small; a datagram needs %u", f->mtu,
			 f->ipv6 ? IPV6_MTU_MIN : IPV4_MTU_MIN);
		rc = -EINVAL;
	}
	return rc;
}

unsigned
iface_local(const struct iface *f, const void *ip)
{
	unsigned i;

	for (i = 1; i <= f->count; i++)
		if (ip_equal(f->address[i].ip.bytes, ip))
			return i;
	return 0;
}

unsigned
iface_source(const struct iface *f, const void *ip)
{
	bool ipv4 = ip_is_ipv4(ip);
	unsigned i, best = 0;

	for (i = 1; i <= f->count; i++) {
		const struct iface_address *a = &f->address[i];

		if (a->ipv4 != ipv4)
			continue;
		if (prefix_equal(a->ip.bytes, ip, a->prefix))
			return i;
		/* a link-local source does not get past the first router */
		if (best == 0 || ip_is_link_local(f->address[best].ip.bytes))
			best = i;
	}
	return best;
}

bool
iface_on_link(const struct iface *f, const void *ip)
{
	bool ipv4 = ip_is_ipv4(ip);
	unsigned i;

	for (i = 1; i <= f->count; i++)
		if (f->address[i].ipv4 == ipv4 &&
		    prefix_equal(f->address[i].ip.bytes, ip, f->address[i].prefix))
			return true;
	return !ipv4 && ip_is_link_local(ip);
}

bool
iface_in_group(const struct iface *f, const void *group)
{
	const uint8_t *g = group;
	unsigned i;

	if (!f->ipv6)
		return false;
	if (memcmp(g, all_nodes, sizeof(all_nodes)) == 0)
		return true;
	if (memcmp(g, solicited_prefix, sizeof(solicited_prefix)) != 0)
		return false;
	for (i = 1; i <= f->count; i++)
		if (!f->address[i].ipv4 && memcmp(f->address[i].ip.bytes + 13, g + 13, 3) == 0)
			return true;
	return false;
}
