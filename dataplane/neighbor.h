/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who is on the link: the neighbour table of an ethdev port, ARP (RFC 826), IPv6 neighbour discovery (RFC
 * 4861), and the echo that ping wants.
 *
 * Neighbours are learned from ARP and ND, and from the datagrams that they send us, so an answer never waits
 * for a resolution. A datagram never overrides what ARP or ND said: an attacker behind the router who forges
 * a neighbour's address would otherwise divert its traffic.
 *
 * Thread-safety: one table per port, read and written by all its workers without locks. Each entry has a
 * sequence: odd while somebody writes. A writer that finds another one at work gives up (what it learned
 * comes again); a reader that finds one takes the entry as absent.
 */
#ifndef ROOKERY_DATAPLANE_NEIGHBOR_H
#define ROOKERY_DATAPLANE_NEIGHBOR_H

#include "dataplane/iface.h"

#include <rte_mbuf.h>
#include <stdatomic.h>

#define NEIGHBOR_MAX 8192        /* entries of a port */
#define NEIGHBOR_WAYS 4
#define NEIGHBOR_STALE_MS 30000  /* not heard of for so long: still used, asked again */
#define NEIGHBOR_DEAD_MS 120000  /* not heard of for so long: not used any more */
#define NEIGHBOR_ASK_MS 1000     /* between two requests for one neighbour */
#define NEIGHBOR_TOUCH_MS 1000   /* granularity of 'seen': a busy entry is written so often */

/* A frame of this many bytes holds any request that neighbor_solicit makes. */
#define NEIGHBOR_FRAME_MAX 86

enum neighbor_source {
	NEIGHBOR_HEARD = 2,     /* a datagram came from there */
	NEIGHBOR_CONFIRMED = 3, /* ARP or ND said so */
};

struct neighbor_table;

struct neighbor_table *neighbor_table_new(int numa_node);
void neighbor_table_free(struct neighbor_table *t);

/* ip is at mac. create: make an entry if there is none. */
void neighbor_learn(struct neighbor_table *t, const void *ip, const struct rte_ether_addr *mac,
		    enum neighbor_source source, bool create, uint64_t now_ms);

/* MAC of the neighbour ip, or false. *ask becomes true when the caller should send a request for it now: no
 * more than one caller a second is told so. */
bool neighbor_lookup(struct neighbor_table *t, const void *ip, uint64_t now_ms, struct rte_ether_addr *mac,
		     bool *ask);

/* Loads the entries where ip may be. */
void neighbor_prefetch(const struct neighbor_table *t, const void *ip);

/* Where packets from beyond the link came from last: the way back when there is no (known) gateway. */
void neighbor_learn_router(struct neighbor_table *t, bool ipv4, const struct rte_ether_addr *mac);
bool neighbor_router(struct neighbor_table *t, bool ipv4, struct rte_ether_addr *mac);

/* Learns from a valid packet that came from source ip, be it a neighbour or beyond. */
void neighbor_learn_packet(struct neighbor_table *t, const struct iface *f, const void *ip,
			   const struct rte_ether_addr *mac, uint64_t now_ms);

/* The same, of an IPv4 source. */
void neighbor_learn_ipv4(struct neighbor_table *t, const struct iface *f, rte_be32_t ip, const struct rte_ether_addr *mac,
			 uint64_t now_ms);

/* ---- frames ---------------------------------------------------------------------------- */

/* Makes m an ARP request or a neighbour solicitation for ip; to unicast if the last known MAC is given. False
 * when we have no address of that family or m no room. */
bool neighbor_solicit(const struct iface *f, struct rte_mbuf *m, const void *ip,
		      const struct rte_ether_addr *unicast);

/* What a port sends when its link comes up, numbered from 0: gratuitous ARP and unsolicited advertisements,
 * multicast reports, requests for the gateways. Makes m the i-th of them; false past the end. */
bool neighbor_announce(const struct iface *f, struct rte_mbuf *m, unsigned i);

/* Makes m an MLDv2 report of the groups we listen to (RFC 3810), so that snooping switches pass solicitations
 * on. */
bool neighbor_mld_report(const struct iface *f, struct rte_mbuf *m, bool change);

/* ---- received packets: each returns a counter, with INGRESS_REPLY if m has become a frame to send --- */

#define INGRESS_REPLY 0x10000

/* Where ingress found the upper layer of a packet. */
struct ip_packet {
	struct rte_mbuf *m;
	uint16_t offset;  /* of the upper layer in m */
	uint16_t length;  /* of the upper layer */
	uint16_t local;   /* index of the destination address, 0 when it is a group of ours */
	uint16_t pseudo;  /* sum of the pseudo-header, but for UDP, whose own length counts: see ingress.c */
	uint8_t hop_limit;
	struct ip_address src;
};

/* m: Ethernet header and at least one byte. */
int neighbor_arp(struct link_queue *l, struct rte_mbuf *m, uint64_t now_ms);
int neighbor_icmp(struct link_queue *l, const struct ip_packet *p, uint64_t now_ms);
int neighbor_icmp6(struct link_queue *l, const struct ip_packet *p, uint64_t now_ms);

#endif
