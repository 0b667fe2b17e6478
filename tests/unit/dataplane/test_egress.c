/* SPDX-License-Identifier: BSD-3-Clause */
/* Datagrams into frames: headers, checksums, next hops. */
#include "frames.h"

#include "dataplane/egress.h"
#include "eal_fixture.h"

#include <rte_ethdev.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct rte_mbuf *
datagram(struct link_world *w, const uint8_t *ip, bool ipv4, uint8_t local, size_t len)
{
	static uint8_t payload[2000];
	struct rte_mbuf *m;
	size_t i;

	for (i = 0; i < len; i++)
		payload[i] = (uint8_t)(i * 5 + 1);
	m = world_mbuf(w, payload, len);
	memset(packet_info(m), 0, sizeof(struct packet_info));
	if (ipv4)
		endpoint_set_ipv4(&packet_info(m)->peer, ip, 40001);
	else
		memcpy(packet_info(m)->peer.ip, ip, 16);
	packet_info(m)->peer.port = 40001;
	packet_info(m)->local = local;
	return m;
}

static void
learn(struct link_world *w, const uint8_t *bytes, bool ipv4, const uint8_t *mac)
{
	struct rte_ether_addr addr;
	struct ip_address ip;

	if (ipv4)
		ip_from_ipv4(ip.bytes, bytes);
	else
		memcpy(ip.bytes, bytes, 16);
	memcpy(addr.addr_bytes, mac, 6);
	neighbor_learn(w->link.neighbors, ip.bytes, &addr, NEIGHBOR_CONFIRMED, true, w->now_ms);
}

/* Sends m; the frame is in w->up, a request in w->reply. */
static void
send_one(struct link_world *w, struct rte_mbuf *m)
{
	struct rte_mbuf *pkts[1] = {m}, *requests[1];
	uint16_t n, request_count;

	world_clear(w);
	n = egress_burst(&w->link, pkts, 1, requests, &request_count, w->now_ms);
	w->up = n != 0 ? pkts[0] : NULL;
	w->reply = request_count != 0 ? requests[0] : NULL;
}

static void
expect_frame(struct link_world *w, const uint8_t *mac, const uint8_t *src, const uint8_t *dst, bool ipv4,
	     size_t payload)
{
	size_t headers = ipv4 ? 42 : 62;
	const uint8_t *p;

	assert_non_null(w->up);
	p = rte_pktmbuf_mtod(w->up, const uint8_t *);
	assert_int_equal(w->up->pkt_len, headers + payload);
	assert_int_equal(w->up->data_len, headers + payload);
	assert_true(frame_right(p, headers + payload));
	assert_memory_equal(p, mac, 6);
	assert_memory_equal(p + 6, our_mac, 6);
	assert_int_equal(get16(p + 12), ipv4 ? 0x0800 : 0x86dd);
	assert_memory_equal(p + (ipv4 ? 26 : 22), src, ipv4 ? 4 : 16);
	assert_memory_equal(p + (ipv4 ? 30 : 38), dst, ipv4 ? 4 : 16);
	assert_int_equal(get16(p + headers - 8), 8000);
	assert_int_equal(get16(p + headers - 6), 40001);
	if (payload > 1)
		assert_int_equal(p[headers + 1], 6);
}

static void
test_frames(void **state)
{
	static const size_t sizes[] = {0, 1, 2, 12, 1199, 1200};
	struct link_world w;
	unsigned i;

	(void)state;
	world_open(&w, false);
	learn(&w, peer_ip4, true, peer_mac);
	learn(&w, peer_ip6, false, other_mac);
	for (i = 0; i < RTE_DIM(sizes); i++) {
		send_one(&w, datagram(&w, peer_ip4, true, 0, sizes[i]));
		expect_frame(&w, peer_mac, our_ip4, peer_ip4, true, sizes[i]);
		world_clear(&w);
		send_one(&w, datagram(&w, peer_ip6, false, 0, sizes[i]));
		expect_frame(&w, other_mac, our_ip6, peer_ip6, false, sizes[i]);
		world_clear(&w);
	}
	assert_int_equal(w.counters[COUNTER_tx_failed], 0);
	world_close(&w);
}

/* A sum that comes out as zero is sent as 0xffff: zero says that there is none. */
static void
test_zero_checksum(void **state)
{
	unsigned i, seen = 0;
	struct link_world w;
	struct rte_mbuf *m;
	const uint8_t *p;

	(void)state;
	world_open(&w, false);
	learn(&w, peer_ip6, false, peer_mac);
	for (i = 0; i < 0x10000; i++) {
		m = datagram(&w, peer_ip6, false, 0, 12);
		put16(rte_pktmbuf_mtod(m, uint8_t *), (uint16_t)i);
		send_one(&w, m);
		p = rte_pktmbuf_mtod(w.up, const uint8_t *);
		assert_int_not_equal(get16(p + 60), 0);
		seen += get16(p + 60) == 0xffff;
		world_clear(&w);
	}
	assert_int_not_equal(seen, 0);
	world_close(&w);
}

static void
test_offload(void **state)
{
	struct link_world w;
	struct rte_mbuf *m;
	uint8_t *p;

	(void)state;
	world_open(&w, false);
	learn(&w, peer_ip4, true, peer_mac);
	learn(&w, peer_ip6, false, peer_mac);
	w.iface.tx_offloads = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
	m = datagram(&w, peer_ip4, true, 0, 20);
	m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_GOOD | RTE_MBUF_F_RX_VLAN; /* left from when it was received */
	send_one(&w, m);
	assert_int_equal(w.up->ol_flags,
			 RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_UDP_CKSUM);
	assert_int_equal(w.up->l2_len, 14);
	assert_int_equal(w.up->l3_len, 20);
	p = rte_pktmbuf_mtod(w.up, uint8_t *);
	assert_int_equal(get16(p + 24), 0);
	assert_int_equal(get16(p + 40), inet_sum(p + 26, 8, 17 + 28));
	world_clear(&w);
	send_one(&w, datagram(&w, peer_ip6, false, 0, 20));
	assert_int_equal(w.up->ol_flags, RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_UDP_CKSUM);
	assert_int_equal(w.up->l3_len, 40);
	p = rte_pktmbuf_mtod(w.up, uint8_t *);
	assert_int_equal(get16(p + 60), inet_sum(p + 22, 32, 17 + 28));
	world_clear(&w);
	/* a device that only knows the one */
	w.iface.tx_offloads = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
	send_one(&w, datagram(&w, peer_ip4, true, 0, 20));
	assert_int_equal(w.up->ol_flags, RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM);
	p = rte_pktmbuf_mtod(w.up, uint8_t *);
	put16(p + 24, (uint16_t)~inet_sum(p + 14, 20, 0));
	assert_true(frame_right(p, 62));
	world_close(&w);
}

/* Where a request came to, the answer comes from; without a request, from the address next to the peer. */
static void
test_source_address(void **state)
{
	static const uint8_t second[4] = {10, 0, 1, 1}, second_peer[4] = {10, 0, 1, 7};
	static const uint8_t link_local_peer[16] = {0xfe, 0x80, [15] = 9};
	struct link_world w;

	(void)state;
	world_open(&w, true);
	learn(&w, peer_ip4, true, peer_mac);
	learn(&w, second_peer, true, peer_mac);
	learn(&w, link_local_peer, false, peer_mac);
	learn(&w, gateway_ip6, false, peer_mac);
	send_one(&w, datagram(&w, peer_ip4, true, 3, 20));
	expect_frame(&w, peer_mac, second, peer_ip4, true, 20);
	world_clear(&w);
	send_one(&w, datagram(&w, second_peer, true, 0, 20));
	expect_frame(&w, peer_mac, second, second_peer, true, 20);
	world_clear(&w);
	send_one(&w, datagram(&w, second_peer, true, 2, 20)); /* of the other family */
	expect_frame(&w, peer_mac, second, second_peer, true, 20);
	world_clear(&w);
	send_one(&w, datagram(&w, second_peer, true, 200, 20)); /* no such address */
	expect_frame(&w, peer_mac, second, second_peer, true, 20);
	world_clear(&w);
	send_one(&w, datagram(&w, link_local_peer, false, 0, 20));
	expect_frame(&w, peer_mac, our_ip6_link_local, link_local_peer, false, 20);
	world_clear(&w);
	send_one(&w, datagram(&w, far_ip6, false, 0, 20));
	expect_frame(&w, peer_mac, our_ip6, far_ip6, false, 20);
	world_close(&w);
}

static void
test_unknown_neighbour_is_asked_for(void **state)
{
	struct link_world w;
	struct frame_bytes f;
	const uint8_t *p;

	(void)state;
	world_open(&w, false);
	send_one(&w, datagram(&w, peer_ip4, true, 0, 20));
	assert_null(w.up);
	assert_non_null(w.reply);
	assert_int_equal(w.counters[COUNTER_tx_failed], 1);
	p = rte_pktmbuf_mtod(w.reply, const uint8_t *);
	assert_int_equal(w.reply->pkt_len, 42);
	assert_memory_equal(p, broadcast_mac, 6);
	assert_int_equal(get16(p + 12), 0x0806);
	assert_int_equal(get16(p + 20), 1);
	assert_memory_equal(p + 22, our_mac, 6);
	assert_memory_equal(p + 28, our_ip4, 4);
	assert_memory_equal(p + 38, peer_ip4, 4);
	world_clear(&w);
	/* once a second */
	send_one(&w, datagram(&w, peer_ip4, true, 0, 20));
	assert_null(w.up);
	assert_null(w.reply);
	assert_int_equal(w.counters[COUNTER_tx_failed], 2);
	assert_int_equal(w.counters[COUNTER_tx_no_neighbor], 2);
	/* the answer opens the way */
	frame_arp(&f, our_mac, 2, peer_mac, peer_ip4, our_mac, our_ip4);
	world_feed(&w, &f);
	send_one(&w, datagram(&w, peer_ip4, true, 0, 20));
	expect_frame(&w, peer_mac, our_ip4, peer_ip4, true, 20);
	world_clear(&w);
	/* long silence: still sent, and asked again, this time at the known MAC */
	w.now_ms += NEIGHBOR_STALE_MS;
	send_one(&w, datagram(&w, peer_ip4, true, 0, 20));
	expect_frame(&w, peer_mac, our_ip4, peer_ip4, true, 20);
	assert_non_null(w.reply);
	assert_memory_equal(rte_pktmbuf_mtod(w.reply, uint8_t *), peer_mac, 6);
	world_clear(&w);

	send_one(&w, datagram(&w, peer_ip6, false, 0, 20));
	assert_null(w.up);
	assert_non_null(w.reply);
	p = rte_pktmbuf_mtod(w.reply, const uint8_t *);
	assert_true(frame_right(p, w.reply->pkt_len));
	assert_int_equal(p[54], 135);
	assert_memory_equal(p + 22, our_ip6, 16);
	assert_memory_equal(p + 62, peer_ip6, 16);
	assert_int_equal(get16(p), 0x3333);
	assert_int_equal(p[5], 2);
	world_close(&w);
}

/* An answer never waits: what came in taught the way back. */
static void
test_answer_at_once(void **state)
{
	struct link_world w;
	struct frame_bytes f;

	(void)state;
	world_open(&w, false);
	frame_udp4(&f, peer_ip4, 40001, our_ip4, 8000, 20);
	world_feed(&w, &f);
	send_one(&w, datagram(&w, peer_ip4, true, 1, 20));
	assert_null(w.reply);
	expect_frame(&w, peer_mac, our_ip4, peer_ip4, true, 20);
	world_clear(&w);
	/* from beyond the link, without a gateway: back to the router it came by */
	send_one(&w, datagram(&w, far_ip4, true, 0, 20));
	assert_null(w.up);
	assert_int_equal(w.counters[COUNTER_tx_failed], 1);
	frame_udp4(&f, far_ip4, 40001, our_ip4, 8000, 20);
	memcpy(f.data + 6, other_mac, 6);
	world_feed(&w, &f);
	world_clear(&w);
	send_one(&w, datagram(&w, far_ip4, true, 0, 20));
	expect_frame(&w, other_mac, our_ip4, far_ip4, true, 20);
	world_clear(&w);
	send_one(&w, datagram(&w, far_ip6, false, 0, 20)); /* nothing of that family has come yet */
	assert_null(w.up);
	frame_udp6(&f, far_ip6, 40001, our_ip6, 8000, 20);
	world_feed(&w, &f);
	world_clear(&w);
	send_one(&w, datagram(&w, far_ip6, false, 0, 20));
	expect_frame(&w, peer_mac, our_ip6, far_ip6, false, 20);
	world_close(&w);
}

static void
test_gateway(void **state)
{
	struct link_world w;
	struct frame_bytes f;
	const uint8_t *p;

	(void)state;
	world_open(&w, true);
	send_one(&w, datagram(&w, far_ip4, true, 0, 20));
	assert_null(w.up);
	assert_non_null(w.reply);
	p = rte_pktmbuf_mtod(w.reply, const uint8_t *);
	assert_memory_equal(p + 38, gateway_ip4, 4);
	world_clear(&w);
	/* not yet answered: by the way that others came */
	frame_udp4(&f, far_ip4, 40001, our_ip4, 8000, 20);
	memcpy(f.data + 6, other_mac, 6);
	world_feed(&w, &f);
	world_clear(&w);
	w.now_ms += NEIGHBOR_ASK_MS;
	send_one(&w, datagram(&w, far_ip4, true, 0, 20));
	expect_frame(&w, other_mac, our_ip4, far_ip4, true, 20);
	assert_non_null(w.reply); /* and asked again */
	world_clear(&w);
	frame_arp(&f, our_mac, 2, peer_mac, gateway_ip4, our_mac, our_ip4);
	world_feed(&w, &f);
	send_one(&w, datagram(&w, far_ip4, true, 0, 20));
	expect_frame(&w, peer_mac, our_ip4, far_ip4, true, 20);
	world_close(&w);
}

/* Next hops are not mixed up within a burst. */
static void
test_burst(void **state)
{
	struct rte_mbuf *pkts[32], *requests[32];
	static const uint8_t third[4] = {10, 0, 0, 3};
	uint16_t i, n, request_count;
	struct link_world w;
	const uint8_t *p;

	(void)state;
	world_open(&w, true);
	learn(&w, peer_ip4, true, peer_mac);
	learn(&w, gateway_ip4, true, other_mac);
	learn(&w, gateway_ip6, false, peer_mac);
	for (i = 0; i < 32; i++)
		pkts[i] = i % 8 == 7   ? datagram(&w, third, true, 0, 20)
			  : i % 4 == 0 ? datagram(&w, far_ip6, false, 0, 20)
				       : datagram(&w, i % 2 == 0 ? peer_ip4 : far_ip4, true, 0, 20);
	n = egress_burst(&w.link, pkts, 32, requests, &request_count, w.now_ms);
	assert_int_equal(n, 28);
	assert_int_equal(request_count, 1);
	assert_int_equal(w.counters[COUNTER_tx_failed], 4);
	for (i = 0; i < n; i++) {
		p = rte_pktmbuf_mtod(pkts[i], const uint8_t *);
		assert_true(frame_right(p, pkts[i]->pkt_len));
		if (get16(p + 12) == 0x86dd || memcmp(p + 30, peer_ip4, 4) == 0)
			assert_memory_equal(p, peer_mac, 6);
		else
			assert_memory_equal(p, other_mac, 6);
	}
	rte_pktmbuf_free_bulk(pkts, n);
	rte_pktmbuf_free_bulk(requests, request_count);
	world_close(&w);
}

/* Neighbours and peers behind the router that others came by, in turn. */
static void
test_burst_without_gateway(void **state)
{
	struct rte_mbuf *pkts[8], *requests[8];
	struct rte_ether_addr router;
	uint16_t i, request_count;
	struct link_world w;

	(void)state;
	world_open(&w, false);
	learn(&w, peer_ip4, true, peer_mac);
	memcpy(router.addr_bytes, other_mac, 6);
	neighbor_learn_router(w.link.neighbors, true, &router);
	for (i = 0; i < 8; i++)
		pkts[i] = datagram(&w, i % 2 == 0 ? peer_ip4 : far_ip4, true, 0, 20);
	assert_int_equal(egress_burst(&w.link, pkts, 8, requests, &request_count, w.now_ms), 8);
	assert_int_equal(request_count, 0);
	for (i = 0; i < 8; i++)
		assert_memory_equal(rte_pktmbuf_mtod(pkts[i], uint8_t *), i % 2 == 0 ? peer_mac : other_mac,
				    6);
	rte_pktmbuf_free_bulk(pkts, 8);
	world_close(&w);
}

static void
test_cannot_be_sent(void **state)
{
	struct link_world w;
	struct rte_mbuf *m;

	(void)state;
	world_open(&w, false);
	learn(&w, peer_ip4, true, peer_mac);
	send_one(&w, datagram(&w, peer_ip4, true, 0, 1473)); /* longer than the MTU */
	assert_null(w.up);
	send_one(&w, datagram(&w, peer_ip4, true, 0, 1472));
	expect_frame(&w, peer_mac, our_ip4, peer_ip4, true, 1472);
	world_clear(&w);
	m = datagram(&w, peer_ip4, true, 0, 20);
	packet_info(m)->peer.port = 0;
	send_one(&w, m);
	assert_null(w.up);
	m = datagram(&w, peer_ip4, true, 0, 20);
	rte_pktmbuf_prepend(m, RTE_PKTMBUF_HEADROOM - 41); /* no room for the headers */
	send_one(&w, m);
	assert_null(w.up);
	assert_int_equal(w.counters[COUNTER_tx_failed], 3);
	world_close(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_zero_checksum),
		cmocka_unit_test(test_offload),
		cmocka_unit_test(test_source_address),
		cmocka_unit_test(test_unknown_neighbour_is_asked_for),
		cmocka_unit_test(test_answer_at_once),
		cmocka_unit_test(test_gateway),
		cmocka_unit_test(test_burst),
		cmocka_unit_test(test_burst_without_gateway),
		cmocka_unit_test(test_cannot_be_sent),
	};

	return cmocka_run_group_tests(tests, eal_fixture_setup, eal_fixture_teardown);
}
