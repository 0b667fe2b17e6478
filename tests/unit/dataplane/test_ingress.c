/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames into ingress: what comes up, and under which name everything else is dropped. */
#include "frames.h"

#include "eal_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void
expect_datagram(struct link_world *w, const struct frame_bytes *f, size_t payload_at, size_t payload,
		const uint8_t *src, bool ipv4, unsigned local)
{
	const struct packet_info *info;
	struct endpoint peer;

	world_feed(w, f);
	assert_non_null(w->up);
	assert_int_equal(w->up->data_len, payload);
	assert_int_equal(w->up->pkt_len, payload);
	assert_memory_equal(rte_pktmbuf_mtod(w->up, void *), f->data + payload_at, payload);
	info = packet_info(w->up);
	if (ipv4) {
		endpoint_set_ipv4(&peer, src, 40001);
	} else {
		memcpy(peer.ip, src, 16);
		peer.port = 40001;
	}
	assert_true(endpoint_equal(&info->peer, &peer));
	assert_int_equal(info->port, 3);
	assert_int_equal(info->local, local);
}

static void
test_datagram(void **state)
{
	static const uint8_t second_ip4[4] = {10, 0, 1, 1};
	static const size_t sizes[] = {0, 1, 11, 12, 13, 100, 1199, 1200};
	struct link_world w;
	struct frame_bytes f;
	uint64_t bytes = 0;
	unsigned i;

	(void)state;
	world_open(&w, false);
	for (i = 0; i < RTE_DIM(sizes); i++) {
		frame_udp4(&f, peer_ip4, 40001, our_ip4, 8000, sizes[i]);
		expect_datagram(&w, &f, 42, sizes[i], peer_ip4, true, 1);
		frame_udp4(&f, far_ip4, 40001, second_ip4, 8000, sizes[i]);
		expect_datagram(&w, &f, 42, sizes[i], far_ip4, true, 3);
		frame_udp6(&f, peer_ip6, 40001, our_ip6, 8000, sizes[i]);
		expect_datagram(&w, &f, 62, sizes[i], peer_ip6, false, 2);
		frame_udp6(&f, far_ip6, 40001, our_ip6_link_local, 8000, sizes[i]);
		expect_datagram(&w, &f, 62, sizes[i], far_ip6, false, 4);
		bytes += 4 * sizes[i];
	}
	assert_int_equal(w.counters[COUNTER_rx_bytes], bytes);
	world_close(&w);
}

static void
test_padding_is_cut(void **state)
{
	static const uint8_t padding[20] = {0xee};
	struct link_world w;
	struct frame_bytes f;

	(void)state;
	world_open(&w, false);
	frame_udp4(&f, peer_ip4, 40001, our_ip4, 8000, 3);
	frame_append(&f, padding, sizeof(padding));
	expect_datagram(&w, &f, 42, 3, peer_ip4, true, 1);
	frame_udp6(&f, peer_ip6, 40001, our_ip6, 8000, 3);
	frame_append(&f, padding, sizeof(padding));
	expect_datagram(&w, &f, 62, 3, peer_ip6, false, 2);
	/* a UDP length shorter than the IP payload is the datagram's length */
	frame_udp4(&f, peer_ip4, 40001, our_ip4, 8000, 30);
	put16(f.data + 38, 8 + 10);
	put16(f.data + 40, 0);
	expect_datagram(&w, &f, 42, 10, peer_ip4, true, 1);
	world_close(&w);
}

static void
test_ipv4_options(void **state)
{
	struct link_world w;
	struct frame_bytes f;

	(void)state;
	world_open(&w, false);
	frame_udp4(&f, peer_ip4, 40001, our_ip4, 8000, 20);
	memmove(f.data + 34 + 8, f.data + 34, f.len - 34);
	memset(f.data + 34, 1, 8); /* no-operation options */
	f.len += 8;
	f.data[14] = 0x47;
	put16(f.data + 16, get16(f.data + 16) + 8);
	frame_fix(&f);
	expect_datagram(&w, &f, 50, 20, peer_ip4, true, 1);
	world_close(&w);
}

/* Puts an extension header of 8 bytes before the upper layer of an IPv6 frame. */
static void
insert_extension(struct frame_bytes *f, uint8_t type, const uint8_t *six)
{
	memmove(f->data + 54 + 8, f->data + 54, f->len - 54);
	f->len += 8;
	f->data[54] = f->data[20];
	f->data[55] = 0;
	memcpy(f->data + 56, six, 6);
	f->data[20] = type;
	put16(f->data + 18, get16(f->data + 18) + 8);
}

static void
test_ipv6_extensions(void **state)
{
	static const uint8_t pad[6] = {1, 4}, pad1[6], alert[6] = {5, 2, 0, 0, 1, 0};
	static const uint8_t must_know[6] = {0xc2, 4}, overrun[6] = {1, 5};
	struct link_world w;
	struct frame_bytes f;
	unsigned i;

	(void)state;
	world_open(&w, false);
	frame_udp6(&f, peer_ip6, 40001, our_ip6, 8000, 20);
	insert_extension(&f, 60, pad);
	insert_extension(&f, 60, pad1);
	insert_extension(&f, 0, alert);
	expect_datagram(&w, &f, 62 + 24, 20, peer_ip6, false, 2);

	frame_udp6(&f, peer_ip6, 40001, our_ip6, 8000, 20);
	insert_extension(&f, 60, must_know);
	world_expect(&w, &f, COUNTER_drop_ip_protocol);
	frame_udp6(&f, peer_ip6, 40001, our_ip6, 8000, 20);
	insert_extension(&f, 60, overrun);
	world_expect(&w, &f, COUNTER_drop_ip_protocol);
	/* hop-by-hop options come first or not at all */
	frame_udp6(&f, peer_ip6, 40001, our_ip6, 8000, 20);
	insert_extension(&f, 0, pad);
	insert_extension(&f, 60, pad);
	world_expect(&w, &f, COUNTER_drop_ip_protocol);
	/* routing header */
	frame_udp6(&f, peer_ip6, 40001, our_ip6, 8000, 20);
	insert_extension(&f, 43, pad1);
	world_expect(&w, &f, COUNTER_drop_ip_protocol);
	/* the walk is bounded */
	frame_udp6(&f, peer_ip6, 40001, our_ip6, 8000, 20);
	for (i = 0; i < 5; i++)
		insert_extension(&f, 60, pad);
	world_expect(&w, &f, COUNTER_drop_ip_protocol);
	/* a header longer than the packet */
	frame_udp6(&f, peer_ip6, 40001, our_ip6, 8000, 20);
	insert_extension(&f, 60, pad);
	f.data[55] = 200;
	world_expect(&w, &f, COUNTER_drop_ip_malformed);
	world_close(&w);
}

static void
test_fragments(void **state)
{
	static const uint8_t first[6] = {0, 1}, later[6] = {1, 0}, atomic[6];
	struct link_world w;
	struct frame_bytes f;

	(void)state;
	world_open(&w, false);
	frame_udp4(&f, peer_ip4, 40001, our_ip4, 8000, 20);
	f.data[20] = 0x20; /* more fragments */
	frame_fix(&f);
	world_expect(&w, &f, COUNTER_drop_ip_fragment);
	f.data[20] = 0;
	f.data[21] = 1; /* offset */
	frame_fix(&f);
	world_expect(&w, &f, COUNTER_drop_ip_fragment);
	f.data[20] = 0x40; /* don't fragment: whole */
	f.data[21] = 0;
	frame_fix(&f);
	expect_datagram(&w, &f, 42, 20, peer_ip4, true, 1);

	frame_udp6(&f, peer_ip6, 40001, our_ip6, 8000, 20);
	insert_extension(&f, 44, first);
	world_expect(&w, &f, COUNTER_drop_ip_fragment);
	frame_udp6(&f, peer_ip6, 40001, our_ip6, 8000, 20);
	insert_extension(&f, 44, later);
	insert_extension(&f, 60, (const uint8_t[6]){1, 4});
	world_expect(&w, &f, COUNTER_drop_ip_fragment);
	frame_udp6(&f, peer_ip6, 40001, our_ip6, 8000, 20);
	insert_extension(&f, 44, atomic);
	world_expect(&w, &f, COUNTER_drop_ip_fragment);
	world_close(&w);
}

static void
test_link_drops(void **state)
{
	static const uint8_t zero_mac[6];
	struct link_world w;
	struct frame_bytes f;
	struct rte_mbuf *m;

	(void)state;
	world_open(&w, false);
	frame_udp4(&f, peer_ip4, 40001, our_ip4, 8000, 20);
	memcpy(f.data, other_mac, 6);
	world_expect(&w, &f, COUNTER_drop_link_not_ours);
	memcpy(f.data, broadcast_mac, 6); /* our IP address in a broadcast frame */
	world_expect(&w, &f, COUNTER_drop_link_not_ours);
	memcpy(f.data, our_mac, 6);
	memcpy(f.data + 6, our_mac, 6); /* our own frame comes back */
	world_expect(&w, &f, COUNTER_drop_link_not_ours);
	memcpy(f.data + 6, broadcast_mac, 6);
	world_expect(&w, &f, COUNTER_drop_link_not_ours);
	memcpy(f.data + 6, zero_mac, 6);
	world_expect(&w, &f, COUNTER_drop_link_not_ours);
	memcpy(f.data + 6, peer_mac, 6);
	put16(f.data + 12, 0x8100); /* VLAN */
	world_expect(&w, &f, COUNTER_drop_link_not_ours);
	put16(f.data + 12, 0x88cc); /* LLDP */
	world_expect(&w, &f, COUNTER_drop_link_not_ours);
	put16(f.data + 12, 0x0800);

	/* a tag that the device took off: VLAN 7, and priority only */
	m = world_mbuf(&w, f.data, f.len);
	m->ol_flags |= RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
	m->vlan_tci = 7;
	world_feed_mbuf(&w, m);
	assert_null(w.up);
	m = world_mbuf(&w, f.data, f.len);
	m->ol_flags |= RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
	m->vlan_tci = 5 << 13;
	world_feed_mbuf(&w, m);
	assert_non_null(w.up);

	frame_udp6(&f, peer_ip6, 40001, our_ip6, 8000, 20);
	memcpy(f.data, broadcast_mac, 6);
	world_expect(&w, &f, COUNTER_drop_link_not_ours);
	world_close(&w);
}

static void
test_ip_drops(void **state)
{
	static const uint8_t not_ours4[4] = {10, 0, 0, 9}, subnet_broadcast[4] = {10, 0, 0, 255},
			     all[4] = {255, 255, 255, 255};
	static const uint8_t not_ours6[16] = {0xfd, 0, [15] = 9}, all_nodes[16] = {0xff, 2, [15] = 1};
	struct link_world w;
	struct frame_bytes f;

	(void)state;
	world_open(&w, false);
	frame_udp4(&f, peer_ip4, 40001, not_ours4, 8000, 20);
	world_expect(&w, &f, COUNTER_drop_ip_not_ours);
	frame_udp4(&f, peer_ip4, 40001, subnet_broadcast, 8000, 20);
	memcpy(f.data, broadcast_mac, 6);
	world_expect(&w, &f, COUNTER_drop_ip_not_ours);
	frame_udp4(&f, peer_ip4, 40001, all, 8000, 20);
	memcpy(f.data, broadcast_mac, 6);
	world_expect(&w, &f, COUNTER_drop_ip_not_ours);
	frame_udp6(&f, peer_ip6, 40001, not_ours6, 8000, 20);
	world_expect(&w, &f, COUNTER_drop_ip_not_ours);
	frame_udp6(&f, peer_ip6, 40001, all_nodes, 8000, 20);
	memcpy(f.data, (const uint8_t[6]){0x33, 0x33, 0, 0, 0, 1}, 6);
	world_expect(&w, &f, COUNTER_drop_ip_not_ours);

	frame_udp4(&f, peer_ip4, 40001, our_ip4, 8000, 20);
	f.data[23] = 6; /* TCP */
	frame_fix(&f);
	world_expect(&w, &f, COUNTER_drop_ip_protocol);
	frame_udp6(&f, peer_ip6, 40001, our_ip6, 8000, 20);
	f.data[20] = 59; /* no next header */
	world_expect(&w, &f, COUNTER_drop_ip_protocol);

	frame_udp4(&f, peer_ip4, 40001, our_ip4, 8000, 20);
	f.data[14] = 0x65; /* version 6 in an IPv4 frame */
	frame_fix(&f);
	world_expect(&w, &f, COUNTER_drop_ip_malformed);
	f.data[14] = 0x44; /* header of 16 bytes */
	world_expect(&w, &f, COUNTER_drop_ip_malformed);
	f.data[14] = 0x45;
	put16(f.data + 16, 19); /* shorter than its header */
	world_expect(&w, &f, COUNTER_drop_ip_malformed);
	frame_udp6(&f, peer_ip6, 40001, our_ip6, 8000, 20);
	f.data[14] = 0x40;
	world_expect(&w, &f, COUNTER_drop_ip_malformed);
	world_close(&w);
}

static void
test_bad_sources(void **state)
{
	static const uint8_t v4[][4] = {{0, 0, 0, 0},	{0, 1, 2, 3},	      {127, 0, 0, 1}, {224, 0, 0, 1},
					{240, 0, 0, 1}, {255, 255, 255, 255}, {10, 0, 0, 1},  {10, 0, 1, 1}};
	static const uint8_t v6[][16] = {
		{0}, {[15] = 1}, {0xff, 2, [15] = 1}, {[10] = 0xff, 0xff, 10, 0, 0, 2}, {0xfd, 0, [15] = 1}};
	struct link_world w;
	struct frame_bytes f;
	unsigned i;

	(void)state;
	world_open(&w, false);
	for (i = 0; i < RTE_DIM(v4); i++) {
		frame_udp4(&f, v4[i], 40001, our_ip4, 8000, 20);
		world_expect(&w, &f, COUNTER_drop_ip_malformed);
	}
	for (i = 0; i < RTE_DIM(v6); i++) {
		frame_udp6(&f, v6[i], 40001, our_ip6, 8000, 20);
		world_expect(&w, &f, COUNTER_drop_ip_malformed);
	}
	world_close(&w);
}

static void
test_udp_drops(void **state)
{
	struct link_world w;
	struct frame_bytes f;

	(void)state;
	world_open(&w, false);
	frame_udp4(&f, peer_ip4, 40001, our_ip4, 8001, 20);
	world_expect(&w, &f, COUNTER_drop_udp_port);
	frame_udp4(&f, peer_ip4, 0, our_ip4, 8000, 20);
	world_expect(&w, &f, COUNTER_drop_udp_port);
	frame_udp4(&f, peer_ip4, 40001, our_ip4, 8000, 1201);
	world_expect(&w, &f, COUNTER_drop_oversize);
	frame_udp6(&f, peer_ip6, 40001, our_ip6, 8001, 20);
	world_expect(&w, &f, COUNTER_drop_udp_port);
	frame_udp6(&f, peer_ip6, 40001, our_ip6, 8000, 1201);
	world_expect(&w, &f, COUNTER_drop_oversize);

	frame_udp4(&f, peer_ip4, 40001, our_ip4, 8000, 20);
	put16(f.data + 38, 7);
	world_expect(&w, &f, COUNTER_drop_ip_malformed);
	put16(f.data + 38, 29);
	world_expect(&w, &f, COUNTER_drop_ip_malformed);
	frame_udp6(&f, peer_ip6, 40001, our_ip6, 8000, 20);
	put16(f.data + 58, 0); /* a jumbogram's length */
	world_expect(&w, &f, COUNTER_drop_ip_malformed);
	world_close(&w);
}

static void
test_checksums(void **state)
{
	struct link_world w;
	struct frame_bytes f;
	struct rte_mbuf *m;
	uint16_t pseudo;

	(void)state;
	world_open(&w, false);
	frame_udp4(&f, peer_ip4, 40001, our_ip4, 8000, 20);
	put16(f.data + 40, 0); /* none was made: allowed on IPv4 */
	expect_datagram(&w, &f, 42, 20, peer_ip4, true, 1);
	frame_udp6(&f, peer_ip6, 40001, our_ip6, 8000, 20);
	put16(f.data + 60, 0);
	world_expect(&w, &f, COUNTER_drop_checksum);

	/* the sum of the pseudo-header alone: from a sender on this machine only */
	frame_udp4(&f, peer_ip4, 40001, our_ip4, 8000, 20);
	pseudo = inet_sum(f.data + 26, 8, 17 + 28);
	put16(f.data + 40, pseudo);
	world_expect(&w, &f, COUNTER_drop_checksum);
	w.iface.partial_checksum = true;
	expect_datagram(&w, &f, 42, 20, peer_ip4, true, 1);
	put16(f.data + 40, pseudo + 1);
	world_expect(&w, &f, COUNTER_drop_checksum);

	/* a device's verdict counts only where it is asked for, and only when it is good */
	m = world_mbuf(&w, f.data, f.len);
	m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_GOOD | RTE_MBUF_F_RX_IP_CKSUM_GOOD;
	world_feed_mbuf(&w, m);
	assert_null(w.up);
	w.iface.trust_rx_checksum = true;
	m = world_mbuf(&w, f.data, f.len);
	m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_GOOD | RTE_MBUF_F_RX_IP_CKSUM_GOOD;
	world_feed_mbuf(&w, m);
	assert_non_null(w.up);
	m = world_mbuf(&w, f.data, f.len);
	m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE;
	world_feed_mbuf(&w, m);
	assert_non_null(w.up);
	m = world_mbuf(&w, f.data, f.len); /* unknown */
	world_feed_mbuf(&w, m);
	assert_null(w.up);
	frame_udp4(&f, peer_ip4, 40001, our_ip4, 8000, 20);
	m = world_mbuf(&w, f.data, f.len);
	/* says the device; it is wrong */
	m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_BAD | RTE_MBUF_F_RX_IP_CKSUM_BAD;
	world_feed_mbuf(&w, m);
	assert_non_null(w.up);
	world_close(&w);
}

/* No single wrong bit gets through, but in the fields that nothing protects. */
static void
test_flipped_bits(void **state)
{
	struct link_world w;
	struct frame_bytes f;
	size_t i;

	(void)state;
	world_open(&w, false);
	frame_udp4(&f, peer_ip4, 40001, our_ip4, 8000, 50);
	for (i = 12 * 8; i < f.len * 8; i++) {
		f.data[i / 8] ^= (uint8_t)(1 << i % 8);
		world_feed(&w, &f);
		assert_null(w.up);
		f.data[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	frame_udp6(&f, peer_ip6, 40001, our_ip6, 8000, 51);
	for (i = 12 * 8; i < f.len * 8; i++) {
		bool free_field =
			(i >= 14 * 8 && i < 14 * 8 + 4) || (i >= 15 * 8 && i < 18 * 8) || i / 8 == 21;

		f.data[i / 8] ^= (uint8_t)(1 << i % 8);
		world_feed(&w, &f);
		assert_int_equal(w.up != NULL, free_field);
		f.data[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	world_feed(&w, &f);
	assert_non_null(w.up);
	world_close(&w);
}

/* Cut at every length; what was cut off is still in the buffer, as a packet before may have left it. */
static void
truncate_everywhere(struct link_world *w, const struct frame_bytes *whole)
{
	struct rte_mbuf *m;
	size_t len;

	for (len = 0; len < whole->len; len++) {
		world_clear(w);
		m = world_mbuf(w, whole->data, whole->len);
		assert_int_equal(rte_pktmbuf_trim(m, (uint16_t)(whole->len - len)), 0);
		world_feed_mbuf(w, m);
		assert_null(w->up);
		assert_null(w->reply);
	}
	world_feed(w, whole);
	assert_true(w->up != NULL || w->reply != NULL);
}

static void
test_truncated(void **state)
{
	static const uint8_t echo4[20] = {8}, echo6[20] = {128};
	struct link_world w;
	struct frame_bytes f;

	(void)state;
	world_open(&w, false);
	frame_udp4(&f, peer_ip4, 40001, our_ip4, 8000, 40);
	truncate_everywhere(&w, &f);
	frame_udp6(&f, peer_ip6, 40001, our_ip6, 8000, 40);
	truncate_everywhere(&w, &f);
	insert_extension(&f, 60, (const uint8_t[6]){1, 4});
	truncate_everywhere(&w, &f);
	frame_icmp4(&f, peer_ip4, our_ip4, echo4, sizeof(echo4));
	truncate_everywhere(&w, &f);
	frame_icmp6(&f, our_mac, peer_ip6, our_ip6, 64, echo6, sizeof(echo6));
	truncate_everywhere(&w, &f);
	frame_nd(&f, our_mac, peer_ip6, our_ip6, 135, 0, our_ip6, peer_mac);
	truncate_everywhere(&w, &f);
	frame_arp(&f, broadcast_mac, 1, peer_mac, peer_ip4, zero_ip6, our_ip4);
	truncate_everywhere(&w, &f);
	world_close(&w);
}

/* The length fields cut instead of the frame, with right checksums where there are any: nothing is read
 * beyond. */
static void
test_short_lengths(void **state)
{
	struct link_world w;
	struct frame_bytes f;
	uint16_t len;

	(void)state;
	world_open(&w, false);
	for (len = 20; len < 28; len++) {
		frame_udp4(&f, peer_ip4, 40001, our_ip4, 8000, 40);
		put16(f.data + 16, len);
		put16(f.data + 24, 0);
		put16(f.data + 24, (uint16_t)~inet_sum(f.data + 14, 20, 0));
		world_expect(&w, &f, COUNTER_drop_ip_malformed);
	}
	for (len = 0; len < 8; len++) {
		frame_udp6(&f, peer_ip6, 40001, our_ip6, 8000, 40);
		put16(f.data + 18, len);
		world_expect(&w, &f, COUNTER_drop_ip_malformed);
	}
	for (len = 0; len < 24; len++) {
		frame_nd(&f, our_mac, peer_ip6, our_ip6, 135, 0, our_ip6, peer_mac);
		put16(f.data + 18, len);
		if (len >= 4)
			frame_fix(&f);
		world_expect(&w, &f, len < 4 ? COUNTER_drop_ip_malformed : COUNTER_drop_link_malformed);
	}
	world_close(&w);
}

static void
test_burst_keeps_order(void **state)
{
	struct rte_mbuf *pkts[32], *replies[32];
	uint16_t i, up, reply_count;
	struct link_world w;
	struct frame_bytes f;

	(void)state;
	world_open(&w, false);
	for (i = 0; i < 32; i++) {
		if (i % 4 == 3)
			frame_arp(&f, broadcast_mac, 1, peer_mac, peer_ip4, zero_ip6, our_ip4);
		else
			frame_udp4(&f, peer_ip4, (uint16_t)(40000 + i), our_ip4, i % 4 == 2 ? 53 : 8000, 20);
		pkts[i] = world_mbuf(&w, f.data, f.len);
	}
	up = ingress_burst(&w.link, pkts, 32, replies, &reply_count, w.now_ms);
	assert_int_equal(up, 16);
	assert_int_equal(reply_count, 8);
	assert_int_equal(w.counters[COUNTER_rx_packets], 32);
	assert_int_equal(w.counters[COUNTER_link_arp], 8);
	assert_int_equal(w.counters[COUNTER_drop_udp_port], 8);
	for (i = 0; i < up; i++)
		assert_int_equal(packet_info(pkts[i])->peer.port, 40000 + i / 2 * 4 + i % 2);
	rte_pktmbuf_free_bulk(pkts, up);
	rte_pktmbuf_free_bulk(replies, reply_count);
	world_close(&w);
}

static void
test_chained_buffers(void **state)
{
	struct link_world w;
	struct frame_bytes f;
	struct rte_mbuf *m;

	(void)state;
	world_open(&w, false);
	frame_udp4(&f, peer_ip4, 40001, our_ip4, 8000, 100);
	m = world_mbuf(&w, f.data, 30);
	assert_int_equal(rte_pktmbuf_chain(m, world_mbuf(&w, f.data + 30, f.len - 30)), 0);
	world_feed_mbuf(&w, m);
	assert_non_null(w.up);
	assert_int_equal(w.up->nb_segs, 1);
	assert_memory_equal(rte_pktmbuf_mtod(w.up, void *), f.data + 42, 100);
	world_clear(&w);

	m = world_mbuf(&w, f.data, 1500);
	assert_int_equal(rte_pktmbuf_chain(m, world_mbuf(&w, f.data, 1500)), 0);
	world_feed_mbuf(&w, m);
	assert_null(w.up);
	assert_int_equal(w.counters[COUNTER_drop_oversize], 1);
	world_close(&w);
}

static void
test_addresses(void **state)
{
	char *good[] = {"10.0.0.1/24", "fe80::5/64", "192.0.2.1/32", "2001:db8::1/48", "10.0.0.2/31"};
	char *bad[] = {
		"10.0.0.1",    "10.0.0.1/33",  "10.0.0.1/",	     "10.0.0.1/2x",	"10.0.0.1/-1",
		"/24",	       "10.0.0/24",    "fd00::1/129",	     "fd00::g/64",	"10.0.0.255/24",
		"10.0.0.0/24", "224.0.0.1/24", "127.0.0.1/8",	     "0.0.0.0/0",	"::/0",
		"::1/128",     "ff02::1/64",   "::ffff:10.0.0.1/96", "fd00::1%eth0/64", ""};
	struct config_port c = {
		.type = PORT_ETHDEV, .addresses = good, .addresses_count = 5, .udp_port = 8000, .mtu = 1500};
	static const uint8_t beyond[16] = {0x20, 0x01, 0x0d, 0xb9, [15] = 1};
	struct rte_ether_addr mac = {{0x02, 0, 0, 0, 0, 1}};
	struct iface f;
	char error[256];
	unsigned i;

	(void)state;
	assert_int_equal(iface_init(&f, &c, &mac, error, sizeof(error)), 0);
	assert_int_equal(f.count, 5); /* a link-local is there: none is added */
	/* the second address: it does not get beyond the link, the fourth does */
	assert_int_equal(iface_source(&f, beyond), 4);
	assert_int_equal(iface_source(&f, our_ip6_link_local), 2);
	for (i = 0; i < RTE_DIM(bad); i++) {
		c.addresses = &bad[i];
		c.addresses_count = 1;
		error[0] = '\0';
		assert_int_equal(iface_init(&f, &c, &mac, error, sizeof(error)), -EINVAL);
		assert_non_null(strstr(error, bad[i]));
	}
	c.addresses = (char *[]){"10.0.0.1/24", "10.0.0.1/25"};
	c.addresses_count = 2;
	assert_int_equal(iface_init(&f, &c, &mac, error, sizeof(error)), -EINVAL);
	c.addresses_count = 0;
	assert_int_equal(iface_init(&f, &c, &mac, error, sizeof(error)), -EINVAL);
	c.addresses = good;
	c.addresses_count = 1;
	c.gateway = "fd00::fe";
	assert_int_equal(iface_init(&f, &c, &mac, error, sizeof(error)), -EINVAL);
	c.gateway = "";
	c.udp_port = 0;
	assert_int_equal(iface_init(&f, &c, &mac, error, sizeof(error)), -EINVAL);
	c.udp_port = 8000;
	c.mtu = 1227;
	assert_int_equal(iface_init(&f, &c, &mac, error, sizeof(error)), -EINVAL);
	c.mtu = 1228;
	assert_int_equal(iface_init(&f, &c, &mac, error, sizeof(error)), 0);
	assert_int_equal(f.count, 1); /* without IPv6 no link-local either */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_datagram),
		cmocka_unit_test(test_padding_is_cut),
		cmocka_unit_test(test_ipv4_options),
		cmocka_unit_test(test_ipv6_extensions),
		cmocka_unit_test(test_fragments),
		cmocka_unit_test(test_link_drops),
		cmocka_unit_test(test_ip_drops),
		cmocka_unit_test(test_bad_sources),
		cmocka_unit_test(test_udp_drops),
		cmocka_unit_test(test_checksums),
		cmocka_unit_test(test_flipped_bits),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_short_lengths),
		cmocka_unit_test(test_burst_keeps_order),
		cmocka_unit_test(test_chained_buffers),
		cmocka_unit_test(test_addresses),
	};

	return cmocka_run_group_tests(tests, eal_fixture_setup, eal_fixture_teardown);
}
