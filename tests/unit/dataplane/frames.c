/* SPDX-License-Identifier: BSD-3-Clause */
#include "frames.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rte_lcore.h>

const uint8_t our_mac[6] = {0x02, 0, 0, 0, 0, 0x01};
const uint8_t peer_mac[6] = {0x02, 0, 0, 0, 0, 0x02};
const uint8_t other_mac[6] = {0x02, 0, 0, 0, 0, 0x03};
const uint8_t broadcast_mac[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
const uint8_t our_ip4[4] = {10, 0, 0, 1};
const uint8_t peer_ip4[4] = {10, 0, 0, 2};
const uint8_t gateway_ip4[4] = {10, 0, 0, 254};
const uint8_t far_ip4[4] = {198, 51, 100, 7};
const uint8_t our_ip6[16] = {0xfd, 0, [15] = 0x01};
const uint8_t our_ip6_link_local[16] = {0xfe, 0x80, [11] = 0xff, 0xfe, 0, 0, 0x01};
const uint8_t peer_ip6[16] = {0xfd, 0, [15] = 0x02};
const uint8_t gateway_ip6[16] = {0xfd, 0, [15] = 0xfe};
const uint8_t far_ip6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 0x07};
const uint8_t zero_ip6[16];

uint16_t
inet_sum(const uint8_t *p, size_t len, uint32_t start)
{
	uint32_t sum = start;
	size_t i;

	for (i = 0; i + 1 < len; i += 2)
		sum += get16(p + i);
	if (len % 2 != 0)
		sum += (uint32_t)p[len - 1] << 8;
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

void
frame_append(struct frame_bytes *f, const void *data, size_t len)
{
	assert_true(f->len + len <= FRAME_CAP);
	memcpy(f->data + f->len, data, len);
	f->len += len;
}

void
frame_ether(struct frame_bytes *f, const uint8_t *dst, const uint8_t *src, uint16_t type)
{
	uint8_t bytes[2];

	f->len = 0;
	frame_append(f, dst, 6);
	frame_append(f, src, 6);
	put16(bytes, type);
	frame_append(f, bytes, 2);
}

static void
append_ip4(struct frame_bytes *f, const uint8_t *src, const uint8_t *dst, uint8_t proto, size_t payload)
{
	uint8_t ip[20] = {0x45, [8] = 57, [9] = proto};

	put16(ip + 2, (uint16_t)(20 + payload));
	memcpy(ip + 12, src, 4);
	memcpy(ip + 16, dst, 4);
	frame_append(f, ip, sizeof(ip));
}

static void
append_ip6(struct frame_bytes *f, const uint8_t *src, const uint8_t *dst, uint8_t proto, uint8_t hop_limit,
	   size_t payload)
{
	uint8_t ip[40] = {0x60, [6] = proto, hop_limit};

	put16(ip + 4, (uint16_t)payload);
	memcpy(ip + 8, src, 16);
	memcpy(ip + 24, dst, 16);
	frame_append(f, ip, sizeof(ip));
}

static void
append_udp(struct frame_bytes *f, uint16_t sport, uint16_t dport, size_t payload)
{
	uint8_t udp[8];
	size_t i;

	put16(udp, sport);
	put16(udp + 2, dport);
	put16(udp + 4, (uint16_t)(8 + payload));
	put16(udp + 6, 0);
	frame_append(f, udp, sizeof(udp));
	assert_true(f->len + payload <= FRAME_CAP);
	for (i = 0; i < payload; i++)
		f->data[f->len++] = (uint8_t)(i * 7 + 3);
}

/* Offset and length of the upper layer and where its checksum is; false for a frame that has none. */
static bool
upper_layer(const uint8_t *p, size_t len, size_t *at, size_t *upper, uint8_t *proto, uint32_t *pseudo)
{
	if (len < 14)
		return false;
	if (get16(p + 12) == 0x0800) {
		*at = 14 + (size_t)(p[14] & 0xf) * 4;
		*upper = get16(p + 16) - (size_t)(p[14] & 0xf) * 4;
		*proto = p[23];
		*pseudo = *proto == 1 ? 0 : inet_sum(p + 26, 8, (uint32_t)(*proto + *upper));
		return true;
	}
	if (get16(p + 12) != 0x86dd)
		return false;
	*at = 54;
	*upper = get16(p + 18);
	*proto = p[20];
	while (*proto == 0 || *proto == 60) { /* hop-by-hop, destination options */
		size_t header = (p[*at + 1] + 1u) * 8;

		*proto = p[*at];
		*at += header;
		*upper -= header;
	}
	*pseudo = inet_sum(p + 22, 32, (uint32_t)(*proto + *upper));
	return true;
}

void
frame_fix(struct frame_bytes *f)
{
	size_t at = 0, len = 0, field;
	uint32_t pseudo = 0;
	uint8_t proto = 0;

	if (get16(f->data + 12) == 0x0800) {
		put16(f->data + 24, 0);
		put16(f->data + 24, (uint16_t)~inet_sum(f->data + 14, (size_t)(f->data[14] & 0xf) * 4, 0));
	}
	assert_true(upper_layer(f->data, f->len, &at, &len, &proto, &pseudo));
	field = at + (proto == 17 ? 6 : 2);
	put16(f->data + field, 0);
	put16(f->data + field, (uint16_t)~inet_sum(f->data + at, len, pseudo));
}

bool
frame_right(const uint8_t *p, size_t frame_len)
{
	size_t at, len;
	uint32_t pseudo;
	uint8_t proto;

	if (!upper_layer(p, frame_len, &at, &len, &proto, &pseudo) || at + len != frame_len)
		return false;
	if (get16(p + 12) == 0x0800 && inet_sum(p + 14, (size_t)(p[14] & 0xf) * 4, 0) != 0xffff)
		return false;
	if (proto == 17 && (get16(p + at + 4) != len || get16(p + at + 6) == 0))
		return false;
	return inet_sum(p + at, len, pseudo) == 0xffff;
}

void
frame_udp4(struct frame_bytes *f, const uint8_t *src, uint16_t sport, const uint8_t *dst, uint16_t dport,
	   size_t payload)
{
	frame_ether(f, our_mac, peer_mac, 0x0800);
	append_ip4(f, src, dst, 17, 8 + payload);
	append_udp(f, sport, dport, payload);
	frame_fix(f);
}

void
frame_udp6(struct frame_bytes *f, const uint8_t *src, uint16_t sport, const uint8_t *dst, uint16_t dport,
	   size_t payload)
{
	frame_ether(f, our_mac, peer_mac, 0x86dd);
	append_ip6(f, src, dst, 17, 57, 8 + payload);
	append_udp(f, sport, dport, payload);
	frame_fix(f);
}

void
frame_icmp4(struct frame_bytes *f, const uint8_t *src, const uint8_t *dst, const uint8_t *body, size_t len)
{
	frame_ether(f, our_mac, peer_mac, 0x0800);
	append_ip4(f, src, dst, 1, len);
	frame_append(f, body, len);
	frame_fix(f);
}

void
frame_icmp6(struct frame_bytes *f, const uint8_t *dst_mac, const uint8_t *src, const uint8_t *dst,
	    uint8_t hop_limit, const uint8_t *body, size_t len)
{
	frame_ether(f, dst_mac, peer_mac, 0x86dd);
	append_ip6(f, src, dst, 58, hop_limit, len);
	frame_append(f, body, len);
	frame_fix(f);
}

void
frame_nd(struct frame_bytes *f, const uint8_t *dst_mac, const uint8_t *src, const uint8_t *dst, uint8_t type,
	 uint8_t flags, const uint8_t *target, const uint8_t *mac)
{
	uint8_t body[32] = {type, [4] = flags};

	memcpy(body + 8, target, 16);
	if (mac != NULL) {
		body[24] = type == 135 ? 1 : 2;
		body[25] = 1;
		memcpy(body + 26, mac, 6);
	}
	frame_icmp6(f, dst_mac, src, dst, 255, body, mac != NULL ? 32 : 24);
}

void
frame_arp(struct frame_bytes *f, const uint8_t *dst_mac, uint16_t op, const uint8_t *sha, const uint8_t *sip,
	  const uint8_t *tha, const uint8_t *tip)
{
	uint8_t head[8] = {0, 1, 0x08, 0, 6, 4};

	frame_ether(f, dst_mac, sha, 0x0806);
	put16(head + 6, op);
	frame_append(f, head, sizeof(head));
	frame_append(f, sha, 6);
	frame_append(f, sip, 4);
	frame_append(f, tha, 6);
	frame_append(f, tip, 4);
}

/* ---- the link ------------------------------------------------------------------------------ */

void
world_open(struct link_world *w, bool gateways)
{
	char *addresses[] = {"10.0.0.1/24", "fd00::1/64", "10.0.1.1/24"};
	struct config_port c = {
		.type = PORT_ETHDEV,
		.addresses = addresses,
		.addresses_count = 3,
		.gateway = gateways ? "10.0.0.254" : "",
		.gateway6 = gateways ? "fd00::fe" : NULL,
		.udp_port = 8000,
		.mtu = 1500,
	};
	static unsigned number;
	struct rte_ether_addr mac;
	char name[32], error[256];

	memset(w, 0, sizeof(*w));
	memcpy(mac.addr_bytes, our_mac, sizeof(our_mac));
	assert_int_equal(iface_init(&w->iface, &c, &mac, error, sizeof(error)), 0);
	snprintf(name, sizeof(name), "world%u", number++);
	w->pool =
		rte_pktmbuf_pool_create(name, 255, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	assert_non_null(w->pool);
	w->now_ms = 1000000;
	w->link.iface = &w->iface;
	w->link.neighbors = neighbor_table_new(SOCKET_ID_ANY);
	assert_non_null(w->link.neighbors);
	w->link.pool = w->pool;
	w->link.counters = w->counters;
	w->link.port = 3;
}

void
world_clear(struct link_world *w)
{
	rte_pktmbuf_free(w->up);
	rte_pktmbuf_free(w->reply);
	w->up = w->reply = NULL;
}

void
world_close(struct link_world *w)
{
	world_clear(w);
	assert_int_equal(world_mbufs_out(w), 0);
	neighbor_table_free(w->link.neighbors);
	rte_mempool_free(w->pool);
}

unsigned
world_mbufs_out(const struct link_world *w)
{
	return rte_mempool_in_use_count(w->pool);
}

struct rte_mbuf *
world_mbuf(struct link_world *w, const void *data, size_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(w->pool);
	char *at;

	assert_non_null(m);
	/* what an earlier packet left in it must not matter */
	memset(rte_pktmbuf_mtod(m, void *), 0xa5, rte_pktmbuf_tailroom(m));
	memset(packet_info(m), 0xa5, sizeof(struct packet_info));
	at = rte_pktmbuf_append(m, (uint16_t)len);
	assert_non_null(at);
	memcpy(at, data, len);
	return m;
}

/* Sum of the counters in which a received packet can end below the workers. */
static uint64_t
ends(const uint64_t *counters)
{
	uint64_t sum = counters[COUNTER_link_arp] + counters[COUNTER_link_nd] + counters[COUNTER_link_echo];
	unsigned i;

	for (i = 0; i < COUNTER_COUNT; i++)
		if (counter_info[i].is_drop)
			sum += counters[i];
	return sum;
}

void
world_feed_mbuf(struct link_world *w, struct rte_mbuf *m)
{
	uint64_t received = w->counters[COUNTER_rx_packets], ended = ends(w->counters);
	struct rte_mbuf *pkts[1] = {m}, *replies[1];
	uint16_t up, reply_count;

	world_clear(w);
	up = ingress_burst(&w->link, pkts, 1, replies, &reply_count, w->now_ms);
	assert_int_equal(w->counters[COUNTER_rx_packets], received + 1);
	assert_int_equal(ends(w->counters) + up, ended + 1);
	assert_true(up + reply_count <= 1);
	w->up = up != 0 ? pkts[0] : NULL;
	w->reply = reply_count != 0 ? replies[0] : NULL;
	assert_int_equal(world_mbufs_out(w), up + reply_count);
}

void
world_feed(struct link_world *w, const struct frame_bytes *f)
{
	world_clear(w);
	world_feed_mbuf(w, world_mbuf(w, f->data, f->len));
}

void
world_expect(struct link_world *w, const struct frame_bytes *f, enum counter counter)
{
	uint64_t before = w->counters[counter];

	world_feed(w, f);
	assert_null(w->up);
	assert_null(w->reply);
	if (w->counters[counter] != before + 1)
		fail_msg("not counted as %s", counter_info[counter].name);
}
