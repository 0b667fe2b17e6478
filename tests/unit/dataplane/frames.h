/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames for tests of the link: written byte by byte, with a checksum of their own, so that they share
 * nothing with what they test. */
#ifndef ROOKERY_TESTS_FRAMES_H
#define ROOKERY_TESTS_FRAMES_H

#include "dataplane/iface.h"
#include "dataplane/ingress.h"
#include "dataplane/neighbor.h"
#include "dataplane/packet.h"
#include "shared/bytes.h"
#include "shared/counters.h"

#include <rte_mbuf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_CAP 2000

struct frame_bytes {
	uint8_t data[FRAME_CAP];
	size_t len;
};

extern const uint8_t our_mac[6], peer_mac[6], other_mac[6], broadcast_mac[6];
extern const uint8_t our_ip4[4], peer_ip4[4], gateway_ip4[4], far_ip4[4];
extern const uint8_t our_ip6[16], our_ip6_link_local[16], peer_ip6[16], gateway_ip6[16], far_ip6[16],
	zero_ip6[16];

/* ---- building ---- */
uint16_t inet_sum(const uint8_t *p, size_t len, uint32_t start);
void frame_ether(struct frame_bytes *f, const uint8_t *dst, const uint8_t *src, uint16_t type);
void frame_append(struct frame_bytes *f, const void *data, size_t len);
/* Whole datagrams to our address: Ethernet, IP, UDP with right checksums. */
void frame_udp4(struct frame_bytes *f, const uint8_t *src, uint16_t sport, const uint8_t *dst, uint16_t dport,
		size_t payload);
void frame_udp6(struct frame_bytes *f, const uint8_t *src, uint16_t sport, const uint8_t *dst, uint16_t dport,
		size_t payload);
/* Whole ICMPv4 or ICMPv6 packets. */
void
frame_icmp4(struct frame_bytes *f, const uint8_t *src, const uint8_t *dst, const uint8_t *body, size_t len);
void frame_icmp6(struct frame_bytes *f, const uint8_t *dst_mac, const uint8_t *src, const uint8_t *dst,
		 uint8_t hop_limit, const uint8_t *body, size_t len);
/* Neighbour solicitation (135) or advertisement (136); mac may be NULL. */
void frame_nd(struct frame_bytes *f, const uint8_t *dst_mac, const uint8_t *src, const uint8_t *dst,
	      uint8_t type, uint8_t flags, const uint8_t *target, const uint8_t *mac);
void frame_arp(struct frame_bytes *f, const uint8_t *dst_mac, uint16_t op, const uint8_t *sha,
	       const uint8_t *sip, const uint8_t *tha, const uint8_t *tip);
/* Puts the checksums of the IPv4 header and of the upper layer right after a change. */
void frame_fix(struct frame_bytes *f);
/* Is the whole frame (Ethernet, IPv4 or IPv6 without extension headers, UDP or ICMP) consistent in lengths
 * and checksums? */
bool frame_right(const uint8_t *p, size_t len);

/* ---- a link to feed them to ---- */
struct link_world {
	struct iface iface;
	struct link_queue link;
	struct rte_mempool *pool;
	uint64_t counters[COUNTER_COUNT];
	uint64_t now_ms;
	/* of the last feed */
	struct rte_mbuf *up;    /* datagram, or NULL */
	struct rte_mbuf *reply; /* frame to be sent, or NULL */
};

void world_open(struct link_world *w, bool gateways);
void world_close(struct link_world *w);
/* Frees what the last feed gave. */
void world_clear(struct link_world *w);
struct rte_mbuf *world_mbuf(struct link_world *w, const void *data, size_t len);
/* Hands m to ingress and checks that it ended in exactly one way. */
void world_feed_mbuf(struct link_world *w, struct rte_mbuf *m);
void world_feed(struct link_world *w, const struct frame_bytes *f);
/* Feeds f and asserts that it was counted as that, and nothing came of it. */
void world_expect(struct link_world *w, const struct frame_bytes *f, enum counter counter);
/* Mbufs that are not in the pool. */
unsigned world_mbufs_out(const struct link_world *w);

#endif
