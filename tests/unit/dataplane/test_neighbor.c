/* SPDX-License-Identifier: BSD-3-Clause */
/* The neighbour table; ARP, neighbour discovery and echo, answer by answer. */
#include "frames.h"

#include "eal_fixture.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t all_nodes[16] = {0xff, 2, [15] = 1};
static const uint8_t all_nodes_mac[6] = {0x33, 0x33, 0, 0, 0, 1};
static const uint8_t solicited[16] = {0xff, 2, [11] = 1, 0xff, 0, 0, 1};
static const uint8_t solicited_mac[6] = {0x33, 0x33, 0xff, 0, 0, 1};

static struct ip_address
ip_of(const uint8_t *bytes, bool ipv4)
{
	struct ip_address ip;

	if (ipv4)
		ip_from_ipv4(ip.bytes, bytes);
	else
		memcpy(ip.bytes, bytes, 16);
	return ip;
}

/* Does the table say that ip is at mac (NULL: nowhere)? */
static void
expect_at(struct link_world *w, const uint8_t *bytes, bool ipv4, const uint8_t *mac)
{
	struct ip_address ip = ip_of(bytes, ipv4);
	struct rte_ether_addr found;
	bool ask, known = neighbor_lookup(w->link.neighbors, ip.bytes, w->now_ms, &found, &ask);

	assert_int_equal(known, mac != NULL);
	if (known)
		assert_memory_equal(found.addr_bytes, mac, 6);
}

static bool
asks(struct link_world *w, const struct ip_address *ip)
{
	struct rte_ether_addr mac;
	bool ask;

	neighbor_lookup(w->link.neighbors, ip->bytes, w->now_ms, &mac, &ask);
	return ask;
}

/* ---- table ----------------------------------------------------------------------------------- */

static void
test_ageing(void **state)
{
	struct ip_address ip = ip_of(peer_ip4, true);
	struct rte_ether_addr mac;
	struct link_world w;

	(void)state;
	world_open(&w, false);
	memcpy(mac.addr_bytes, peer_mac, 6);
	assert_true(asks(&w, &ip)); /* unknown: the first caller asks, the others do not for a second */
	assert_false(asks(&w, &ip));
	w.now_ms += NEIGHBOR_ASK_MS - 1;
	assert_false(asks(&w, &ip));
	w.now_ms += 1;
	assert_true(asks(&w, &ip));

	neighbor_learn(w.link.neighbors, ip.bytes, &mac, NEIGHBOR_CONFIRMED, false, w.now_ms);
	expect_at(&w, peer_ip4, true, peer_mac);
	assert_false(asks(&w, &ip));
	w.now_ms += NEIGHBOR_STALE_MS;
	assert_true(asks(&w, &ip)); /* stale: still used, asked again */
	assert_false(asks(&w, &ip));
	expect_at(&w, peer_ip4, true, peer_mac);
	/* a datagram of it will do */
	neighbor_learn(w.link.neighbors, ip.bytes, &mac, NEIGHBOR_HEARD, true, w.now_ms);
	w.now_ms += NEIGHBOR_STALE_MS - 1;
	assert_false(asks(&w, &ip));
	w.now_ms += NEIGHBOR_DEAD_MS;
	assert_true(asks(&w, &ip));
	expect_at(&w, peer_ip4, true, NULL);
	world_close(&w);
}

/* Datagrams fill the table, but do not override what ARP or ND said. */
static void
test_datagrams_do_not_override(void **state)
{
	struct ip_address ip = ip_of(peer_ip4, true);
	struct rte_ether_addr good, bad;
	struct link_world w;

	(void)state;
	world_open(&w, false);
	memcpy(good.addr_bytes, peer_mac, 6);
	memcpy(bad.addr_bytes, other_mac, 6);
	neighbor_learn(w.link.neighbors, ip.bytes, &good, NEIGHBOR_CONFIRMED, true, w.now_ms);
	w.now_ms += NEIGHBOR_ASK_MS;
	assert_false(asks(&w, &ip));
	neighbor_learn(w.link.neighbors, ip.bytes, &bad, NEIGHBOR_HEARD, true, w.now_ms);
	assert_true(asks(&w, &ip)); /* but it is asked who is right */
	expect_at(&w, peer_ip4, true, peer_mac);
	neighbor_learn(w.link.neighbors, ip.bytes, &bad, NEIGHBOR_CONFIRMED, false, w.now_ms);
	w.now_ms += NEIGHBOR_ASK_MS;
	assert_false(asks(&w, &ip));
	expect_at(&w, peer_ip4, true, other_mac);
	/* nothing heard for long: the new place is taken as it is */
	w.now_ms += NEIGHBOR_STALE_MS;
	neighbor_learn(w.link.neighbors, ip.bytes, &good, NEIGHBOR_HEARD, true, w.now_ms);
	expect_at(&w, peer_ip4, true, peer_mac);
	world_close(&w);
}

/* A flood of forged on-link sources takes no more than the table and does not push the gateway out. */
static void
test_flood(void **state)
{
	struct rte_ether_addr mac, gateway;
	struct ip_address ip, gateway_ip = ip_of(gateway_ip6, false);
	struct link_world w;
	uint32_t i;

	(void)state;
	world_open(&w, true);
	memcpy(mac.addr_bytes, other_mac, 6);
	memcpy(gateway.addr_bytes, peer_mac, 6);
	neighbor_learn(w.link.neighbors, gateway_ip.bytes, &gateway, NEIGHBOR_CONFIRMED, true, w.now_ms);
	ip = ip_of(our_ip6, false);
	for (i = 0; i < NEIGHBOR_MAX * 10; i++) {
		memcpy(ip.bytes + 8, &i, sizeof(i));
		neighbor_learn_packet(w.link.neighbors, &w.iface, ip.bytes, &mac, w.now_ms);
		w.now_ms += i % 8 == 0;
	}
	expect_at(&w, gateway_ip6, false, peer_mac);
	world_close(&w);
}

/* The MAC of an address, in the test below, follows from it: a torn entry shows. */
struct race {
	struct link_world *w;
	uint32_t seed;
	uint32_t wrong;
	uint32_t found;
};

static void *
race_run(void *arg)
{
	struct race *r = arg;
	struct rte_ether_addr mac;
	struct ip_address ip;
	uint32_t i, n, x = r->seed;
	bool ask;

	for (i = 0; i < 200000; i++) {
		x = x * 1664525 + 1013904223;
		n = x >> 12 & 0x7fff; /* four times as many as there are entries: they replace each other */
		ip = ip_of((const uint8_t[4]){10, 0, (uint8_t)(n >> 8), (uint8_t)n}, true);
		mac = (struct rte_ether_addr){{2, ip.bytes[14], ip.bytes[15], ip.bytes[14], ip.bytes[15], 9}};
		if (x >> 31 != 0) {
			neighbor_learn(r->w->link.neighbors, ip.bytes, &mac, NEIGHBOR_HEARD + (x >> 30 & 1),
				       true, i);
		} else if (neighbor_lookup(r->w->link.neighbors, ip.bytes, i, &mac, &ask)) {
			r->found++;
			r->wrong += mac.addr_bytes[1] != ip.bytes[14] || mac.addr_bytes[2] != ip.bytes[15] ||
				    mac.addr_bytes[3] != ip.bytes[14] || mac.addr_bytes[4] != ip.bytes[15];
		}
	}
	return NULL;
}

static void
test_workers_share_it(void **state)
{
	struct race race[3];
	pthread_t thread[3];
	struct link_world w;
	unsigned i;

	(void)state;
	world_open(&w, false);
	for (i = 0; i < 3; i++) {
		race[i] = (struct race){.w = &w, .seed = i + 1};
		assert_int_equal(pthread_create(&thread[i], NULL, race_run, &race[i]), 0);
	}
	for (i = 0; i < 3; i++) {
		pthread_join(thread[i], NULL);
		assert_int_equal(race[i].wrong, 0);
		assert_true(race[i].found > 0);
	}
	world_close(&w);
}

/* ---- ARP ------------------------------------------------------------------------------------- */

static void
test_arp_request(void **state)
{
	static const uint8_t none[6], padding[18];
	static const uint8_t expected[42] = {
		0x02, 0, 0, 0, 0, 0x02, 0x02, 0, 0, 0, 0, 0x01, 0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 2,
		0x02, 0, 0, 0, 0, 0x01, 10, 0, 0, 1, 0x02, 0, 0, 0, 0, 0x02, 10, 0, 0, 2,
	};
	struct link_world w;
	struct frame_bytes f;

	(void)state;
	world_open(&w, false);
	frame_arp(&f, broadcast_mac, 1, peer_mac, peer_ip4, none, our_ip4);
	frame_append(&f, padding, sizeof(padding));
	world_feed(&w, &f);
	assert_non_null(w.reply);
	assert_int_equal(w.reply->pkt_len, sizeof(expected));
	assert_memory_equal(rte_pktmbuf_mtod(w.reply, void *), expected, sizeof(expected));
	assert_int_equal(w.counters[COUNTER_link_arp], 1);
	expect_at(&w, peer_ip4, true, peer_mac);

	/* a probe (RFC 5227) is answered, and teaches nothing */
	frame_arp(&f, broadcast_mac, 1, other_mac, zero_ip6, none, our_ip4);
	world_feed(&w, &f);
	assert_non_null(w.reply);
	expect_at(&w, zero_ip6, true, NULL);
	world_close(&w);
}

static void
test_arp_others(void **state)
{
	static const uint8_t none[6], third[4] = {10, 0, 0, 3};
	struct link_world w;
	struct frame_bytes f;

	(void)state;
	world_open(&w, false);
	/* not for us: makes no entry, but tells where a known neighbour went */
	frame_arp(&f, broadcast_mac, 1, peer_mac, peer_ip4, none, third);
	world_expect(&w, &f, COUNTER_drop_link_not_ours);
	expect_at(&w, peer_ip4, true, NULL);
	frame_arp(&f, our_mac, 2, peer_mac, peer_ip4, our_mac, our_ip4);
	world_expect(&w, &f, COUNTER_link_arp);
	expect_at(&w, peer_ip4, true, peer_mac);
	frame_arp(&f, broadcast_mac, 1, other_mac, peer_ip4, none, peer_ip4); /* gratuitous: it has moved */
	world_expect(&w, &f, COUNTER_link_arp);
	expect_at(&w, peer_ip4, true, other_mac);
	/* an answer that nobody asked for makes no entry */
	frame_arp(&f, our_mac, 2, peer_mac, third, our_mac, our_ip4);
	world_expect(&w, &f, COUNTER_link_arp);
	expect_at(&w, third, true, NULL);
	/* our address in another hand */
	frame_arp(&f, broadcast_mac, 1, peer_mac, our_ip4, none, our_ip4);
	world_expect(&w, &f, COUNTER_drop_link_not_ours);
	world_close(&w);
}

static void
test_arp_malformed(void **state)
{
	static const uint8_t none[6];
	static const struct {
		unsigned at;
		uint8_t value;
	} wrong[] = {{15, 6}, {16, 0x86}, {18, 8}, {19, 16}, {21, 3}, {21, 0}, {20, 1}, {22, 0x03}};
	struct link_world w;
	struct frame_bytes f;
	unsigned i;

	(void)state;
	world_open(&w, false);
	for (i = 0; i < RTE_DIM(wrong); i++) {
		frame_arp(&f, broadcast_mac, 1, peer_mac, peer_ip4, none, our_ip4);
		f.data[wrong[i].at] = wrong[i].value;
		world_expect(&w, &f, COUNTER_drop_link_malformed);
	}
	world_close(&w);
}

/* ---- neighbour discovery ------------------------------------------------------------------------ */

static void
expect_advertisement(struct link_world *w, const uint8_t *dst_mac, const uint8_t *dst, uint8_t flags,
		     const uint8_t *target)
{
	const uint8_t *p;

	assert_non_null(w->reply);
	p = rte_pktmbuf_mtod(w->reply, const uint8_t *);
	assert_int_equal(w->reply->pkt_len, 86);
	assert_true(frame_right(p, 86));
	assert_memory_equal(p, dst_mac, 6);
	assert_memory_equal(p + 6, our_mac, 6);
	assert_int_equal(p[21], 255);
	assert_memory_equal(p + 22, target, 16);
	assert_memory_equal(p + 38, dst, 16);
	assert_int_equal(p[54], 136);
	assert_int_equal(p[58], flags);
	assert_memory_equal(p + 62, target, 16);
	assert_int_equal(p[78], 2);
	assert_int_equal(p[79], 1);
	assert_memory_equal(p + 80, our_mac, 6);
}

static void
test_solicitation(void **state)
{
	static const uint8_t peer_link_local[16] = {0xfe, 0x80, [15] = 9};
	struct link_world w;
	struct frame_bytes f;

	(void)state;
	world_open(&w, false);
	frame_nd(&f, solicited_mac, peer_ip6, solicited, 135, 0, our_ip6, peer_mac);
	world_feed(&w, &f);
	expect_advertisement(&w, peer_mac, peer_ip6, 0x60, our_ip6);
	assert_int_equal(w.counters[COUNTER_link_nd], 1);
	expect_at(&w, peer_ip6, false, peer_mac);
	/* unicast (is he still there?), without his MAC: shorter than the answer */
	frame_nd(&f, our_mac, peer_ip6, our_ip6, 135, 0, our_ip6, NULL);
	world_feed(&w, &f);
	expect_advertisement(&w, peer_mac, peer_ip6, 0x60, our_ip6);
	frame_nd(&f, our_mac, peer_link_local, our_ip6_link_local, 135, 0, our_ip6_link_local, peer_mac);
	world_feed(&w, &f);
	expect_advertisement(&w, peer_mac, peer_link_local, 0x60, our_ip6_link_local);
	/* somebody wants our address: told to everybody that it is taken */
	frame_nd(&f, solicited_mac, zero_ip6, solicited, 135, 0, our_ip6, NULL);
	world_feed(&w, &f);
	expect_advertisement(&w, all_nodes_mac, all_nodes, 0x20, our_ip6);
	/* the same group, another address */
	frame_nd(&f, solicited_mac, peer_ip6, solicited, 135, 0, (const uint8_t[16]){0xfd, 1, [15] = 1},
		 peer_mac);
	world_expect(&w, &f, COUNTER_drop_link_not_ours);
	world_close(&w);
}

static void
test_advertisement(void **state)
{
	struct ip_address ip = ip_of(peer_ip6, false);
	struct link_world w;
	struct frame_bytes f;

	(void)state;
	world_open(&w, false);
	frame_nd(&f, our_mac, peer_ip6, our_ip6, 136, 0x60, peer_ip6, peer_mac); /* not asked for */
	world_expect(&w, &f, COUNTER_link_nd);
	assert_true(asks(&w, &ip));
	world_expect(&w, &f, COUNTER_link_nd);
	expect_at(&w, peer_ip6, false, peer_mac);
	/* to all, overriding: it has moved */
	frame_nd(&f, all_nodes_mac, peer_ip6, all_nodes, 136, 0x20, peer_ip6, other_mac);
	world_expect(&w, &f, COUNTER_link_nd);
	expect_at(&w, peer_ip6, false, other_mac);
	/* not overriding: a hint at most */
	frame_nd(&f, all_nodes_mac, peer_ip6, all_nodes, 136, 0, peer_ip6, peer_mac);
	world_expect(&w, &f, COUNTER_link_nd);
	expect_at(&w, peer_ip6, false, other_mac);
	/* without the option, to us: the MAC is the frame's */
	w.now_ms += NEIGHBOR_STALE_MS;
	frame_nd(&f, our_mac, peer_ip6, our_ip6, 136, 0x60, peer_ip6, NULL);
	world_expect(&w, &f, COUNTER_link_nd);
	expect_at(&w, peer_ip6, false, peer_mac);
	/* solicited, but to a group */
	frame_nd(&f, all_nodes_mac, peer_ip6, all_nodes, 136, 0x60, peer_ip6, other_mac);
	world_expect(&w, &f, COUNTER_drop_link_malformed);
	/* our own address */
	frame_nd(&f, all_nodes_mac, peer_ip6, all_nodes, 136, 0x20, our_ip6, other_mac);
	world_expect(&w, &f, COUNTER_drop_link_not_ours);
	world_close(&w);
}

static void
test_nd_malformed(void **state)
{
	struct link_world w;
	struct frame_bytes f;
	unsigned type;

	(void)state;
	world_open(&w, false);
	for (type = 135; type <= 136; type++) {
		frame_nd(&f, our_mac, peer_ip6, our_ip6, (uint8_t)type, 0, our_ip6, peer_mac);
		f.data[21] = 254; /* came through a router */
		world_expect(&w, &f, COUNTER_drop_link_malformed);
		f.data[21] = 255;
		f.data[55] = 1; /* code */
		frame_fix(&f);
		world_expect(&w, &f, COUNTER_drop_link_malformed);
		f.data[55] = 0;
		f.data[79] = 0; /* option without length: would loop */
		frame_fix(&f);
		world_expect(&w, &f, COUNTER_drop_link_malformed);
		f.data[79] = 2; /* option longer than the packet */
		frame_fix(&f);
		world_expect(&w, &f, COUNTER_drop_link_malformed);
		f.data[79] = 1;
		f.data[80] = 0x03; /* a group's MAC */
		frame_fix(&f);
		world_expect(&w, &f, COUNTER_drop_link_malformed);
		f.data[80] = 0x02;
		f.data[62] = 0xff; /* a group as target */
		frame_fix(&f);
		world_expect(&w, &f, COUNTER_drop_link_malformed);
		frame_nd(&f, our_mac, peer_ip6, our_ip6, (uint8_t)type, 0, our_ip6, peer_mac);
		f.data[56] ^= 1;
		world_expect(&w, &f, COUNTER_drop_checksum);
	}
	/* a probe that tells a MAC, and one that is not sent to the group */
	frame_nd(&f, solicited_mac, zero_ip6, solicited, 135, 0, our_ip6, peer_mac);
	world_expect(&w, &f, COUNTER_drop_link_malformed);
	frame_nd(&f, our_mac, zero_ip6, our_ip6, 135, 0, our_ip6, NULL);
	world_expect(&w, &f, COUNTER_drop_link_malformed);
	frame_nd(&f, our_mac, zero_ip6, our_ip6, 136, 0, peer_ip6, peer_mac);
	world_expect(&w, &f, COUNTER_drop_link_malformed);
	world_close(&w);
}

static void
test_mld_query(void **state)
{
	static const uint8_t router[16] = {0xfe, 0x80, [15] = 0xfe};
	static const uint8_t query[28] = {130};
	struct link_world w;
	struct frame_bytes f;

	(void)state;
	world_open(&w, false);
	frame_icmp6(&f, all_nodes_mac, router, all_nodes, 1, query, sizeof(query));
	world_expect(&w, &f, COUNTER_link_nd);
	assert_true(w.link.mld_query_seen);
	w.link.mld_query_seen = false;
	frame_icmp6(&f, all_nodes_mac, router, all_nodes, 2, query, sizeof(query));
	world_expect(&w, &f, COUNTER_drop_link_malformed);
	frame_icmp6(&f, all_nodes_mac, peer_ip6, all_nodes, 1, query, sizeof(query));
	world_expect(&w, &f, COUNTER_drop_link_malformed);
	frame_icmp6(&f, all_nodes_mac, router, all_nodes, 1, query, 20);
	world_expect(&w, &f, COUNTER_drop_link_malformed);
	assert_false(w.link.mld_query_seen);
	world_close(&w);
}

/* ---- echo --------------------------------------------------------------------------------------- */

static void
test_echo(void **state)
{
	struct link_world w;
	struct frame_bytes f;
	uint8_t body[1472];
	const uint8_t *p;
	size_t len, i;

	(void)state;
	world_open(&w, false);
	for (i = 0; i < sizeof(body); i++)
		body[i] = (uint8_t)(i * 3);
	for (len = 8; len <= sizeof(body); len += 61) {
		body[0] = 8;
		body[1] = 0;
		frame_icmp4(&f, far_ip4, our_ip4, body, len);
		world_feed(&w, &f);
		assert_non_null(w.reply);
		p = rte_pktmbuf_mtod(w.reply, const uint8_t *);
		assert_int_equal(w.reply->pkt_len, f.len);
		assert_true(frame_right(p, f.len));
		assert_memory_equal(p, peer_mac, 6);
		assert_memory_equal(p + 6, our_mac, 6);
		assert_memory_equal(p + 26, our_ip4, 4);
		assert_memory_equal(p + 30, far_ip4, 4);
		assert_int_equal(p[34], 0);
		assert_memory_equal(p + 38, body + 4, len - 4);

		body[0] = 128;
		frame_icmp6(&f, our_mac, far_ip6, our_ip6, 64, body, len);
		world_feed(&w, &f);
		assert_non_null(w.reply);
		p = rte_pktmbuf_mtod(w.reply, const uint8_t *);
		assert_int_equal(w.reply->pkt_len, f.len);
		assert_true(frame_right(p, f.len));
		assert_memory_equal(p, peer_mac, 6);
		assert_memory_equal(p + 22, our_ip6, 16);
		assert_memory_equal(p + 38, far_ip6, 16);
		assert_int_equal(p[54], 129);
		assert_memory_equal(p + 58, body + 4, len - 4);
	}
	world_close(&w);
}

static void
test_echo_with_options(void **state)
{
	static const uint8_t body[16] = {8, 0, 0, 0, 1, 2, 3, 4};
	struct link_world w;
	struct frame_bytes f;

	(void)state;
	world_open(&w, false);
	frame_icmp4(&f, peer_ip4, our_ip4, body, sizeof(body));
	memmove(f.data + 74, f.data + 34, sizeof(body));
	memset(f.data + 34, 1, 40);
	f.len += 40;
	f.data[14] = 0x4f;
	put16(f.data + 16, 60 + sizeof(body));
	frame_fix(&f);
	world_feed(&w, &f);
	assert_non_null(w.reply);
	assert_int_equal(w.reply->pkt_len, 34 + sizeof(body));
	assert_true(frame_right(rte_pktmbuf_mtod(w.reply, uint8_t *), w.reply->pkt_len));
	assert_memory_equal(rte_pktmbuf_mtod(w.reply, uint8_t *) + 38, body + 4, sizeof(body) - 4);
	world_close(&w);
}

/* Extension headers do not come back either. */
static void
test_echo_with_extension(void **state)
{
	static const uint8_t body[16] = {128, 0, 0, 0, 1, 2, 3, 4}, extension[8] = {58, 0, 1, 4};
	struct link_world w;
	struct frame_bytes f;

	(void)state;
	world_open(&w, false);
	frame_icmp6(&f, our_mac, peer_ip6, our_ip6, 64, body, sizeof(body));
	memmove(f.data + 62, f.data + 54, sizeof(body));
	memcpy(f.data + 54, extension, sizeof(extension));
	f.len += sizeof(extension);
	f.data[20] = 60;
	put16(f.data + 18, sizeof(extension) + sizeof(body));
	world_feed(&w, &f);
	assert_non_null(w.reply);
	assert_int_equal(w.reply->pkt_len, 54 + sizeof(body));
	assert_true(frame_right(rte_pktmbuf_mtod(w.reply, uint8_t *), w.reply->pkt_len));
	assert_memory_equal(rte_pktmbuf_mtod(w.reply, uint8_t *) + 58, body + 4, sizeof(body) - 4);
	world_close(&w);
}

static void
test_echo_drops(void **state)
{
	uint8_t body[16] = {8};
	struct link_world w;
	struct frame_bytes f;

	(void)state;
	world_open(&w, false);
	frame_icmp4(&f, peer_ip4, our_ip4, body, 16);
	f.data[40] ^= 4;
	world_expect(&w, &f, COUNTER_drop_checksum);
	body[0] = 0; /* a reply */
	frame_icmp4(&f, peer_ip4, our_ip4, body, 16);
	world_expect(&w, &f, COUNTER_drop_ip_protocol);
	body[0] = 3; /* unreachable */
	frame_icmp4(&f, peer_ip4, our_ip4, body, 16);
	world_expect(&w, &f, COUNTER_drop_ip_protocol);
	body[0] = 8;
	frame_icmp4(&f, peer_ip4, our_ip4, body, 7);
	world_expect(&w, &f, COUNTER_drop_ip_malformed);
	body[0] = 128;
	frame_icmp6(&f, our_mac, peer_ip6, our_ip6, 64, body, 7);
	world_expect(&w, &f, COUNTER_drop_ip_malformed);
	/* to all nodes: everybody would answer */
	frame_icmp6(&f, all_nodes_mac, peer_ip6, all_nodes, 64, body, 16);
	world_expect(&w, &f, COUNTER_drop_ip_not_ours);
	frame_icmp6(&f, our_mac, zero_ip6, our_ip6, 64, body, 16);
	world_expect(&w, &f, COUNTER_drop_ip_malformed);
	body[0] = 134; /* router advertisement */
	frame_icmp6(&f, all_nodes_mac, peer_ip6, all_nodes, 255, body, 16);
	world_expect(&w, &f, COUNTER_drop_ip_protocol);
	world_close(&w);
}

/* ---- what the port says of its own accord ------------------------------------------------------- */

static void
test_announcements(void **state)
{
	unsigned i, arp = 0, gateway_arp = 0, advertisement = 0, solicitation = 0, report = 0;
	struct link_world w;
	struct rte_mbuf *m;
	const uint8_t *p;

	(void)state;
	world_open(&w, true);
	for (i = 0;; i++) {
		m = world_mbuf(&w, "", 0);
		if (!neighbor_announce(&w.iface, m, i))
			break;
		p = rte_pktmbuf_mtod(m, const uint8_t *);
		assert_memory_equal(p + 6, our_mac, 6);
		if (get16(p + 12) == 0x0806) {
			assert_memory_equal(p, broadcast_mac, 6);
			assert_int_equal(get16(p + 20), 1);
			arp += memcmp(p + 28, p + 38, 4) == 0;
			gateway_arp += memcmp(p + 38, gateway_ip4, 4) == 0;
		} else {
			assert_true(frame_right(p, m->pkt_len) || p[20] == 0);
			advertisement += p[20] == 58 && p[54] == 136 && p[58] == 0x20;
			solicitation += p[20] == 58 && p[54] == 135 && memcmp(p + 62, gateway_ip6, 16) == 0;
			/* hop-by-hop, then a report of one group: both addresses end alike */
			report += p[20] == 0 && p[62] == 143 && get16(p + 68) == 1 &&
				  memcmp(p + 74, solicited, 16) == 0;
		}
		rte_pktmbuf_free(m);
	}
	rte_pktmbuf_free(m);
	assert_int_equal(arp, 2);
	assert_int_equal(advertisement, 2);
	assert_int_equal(report, 1);
	assert_int_equal(gateway_arp, 1);
	assert_int_equal(solicitation, 1);
	world_close(&w);
}

static void
test_mld_report_checksum(void **state)
{
	static const uint8_t group_mac[6] = {0x33, 0x33, 0, 0, 0, 0x16};
	struct link_world w;
	struct rte_mbuf *m;
	const uint8_t *p;
	size_t len;

	(void)state;
	world_open(&w, false);
	m = world_mbuf(&w, "", 0);
	assert_true(neighbor_mld_report(&w.iface, m, false));
	p = rte_pktmbuf_mtod(m, const uint8_t *);
	len = m->pkt_len - 62;
	assert_memory_equal(p, group_mac, 6);
	assert_int_equal(p[21], 1);
	assert_int_equal(get16(p + 18), m->pkt_len - 54);
	assert_memory_equal(p + 22, our_ip6_link_local, 16);
	assert_int_equal(inet_sum(p + 62, len, inet_sum(p + 22, 32, (uint32_t)(58 + len))), 0xffff);
	rte_pktmbuf_free(m);
	world_close(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ageing),
		cmocka_unit_test(test_datagrams_do_not_override),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_workers_share_it),
		cmocka_unit_test(test_arp_request),
		cmocka_unit_test(test_arp_others),
		cmocka_unit_test(test_arp_malformed),
		cmocka_unit_test(test_solicitation),
		cmocka_unit_test(test_advertisement),
		cmocka_unit_test(test_nd_malformed),
		cmocka_unit_test(test_mld_query),
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_echo_with_options),
		cmocka_unit_test(test_echo_with_extension),
		cmocka_unit_test(test_echo_drops),
		cmocka_unit_test(test_announcements),
		cmocka_unit_test(test_mld_report_checksum),
	};

	return cmocka_run_group_tests(tests, eal_fixture_setup, eal_fixture_teardown);
}
