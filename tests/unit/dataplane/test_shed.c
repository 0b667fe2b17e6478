/* SPDX-License-Identifier: BSD-3-Clause */
/* What a worker that is behind drops unseen, and what it does not. */
#include "dataplane/guard.h"
#include "dataplane/resume.h"
#include "dataplane/shed.h"
#include "eal_fixture.h"
#include "frames.h"
#include "shared/wire.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000)
#define HELLO (HANDSHAKE_LOGIN_MIN - HANDSHAKE_LOGIN_OVERHEAD)

struct fixture {
	struct link_world link;
	struct port_queue queue;
	struct guard guard;
	struct guard_shared shared;
	struct rate_set sets[GUARD_SETS], tickets[RESUME_SETS];
	struct resume resume;
	struct handshake_keypair server;
	uint64_t now_us, rotated_us;
};

struct guest {
	struct handshake_client handshake;
	struct handshake_keypair device;
	struct endpoint address;
	uint8_t login[WIRE_DATAGRAM_MAX];
	size_t length;
};

static void
fixture_open(struct fixture *f, uint32_t host_per_minute)
{
	memset(f, 0, sizeof(*f));
	assert_int_equal(handshake_init(), 0);
	assert_int_equal(aead_init(), 0);
	world_open(&f->link, false);
	f->queue = (struct port_queue){.pool = f->link.pool, .counters = f->link.counters, .shedding = &f->guard};
	f->now_us = 77 * SECOND;
	handshake_keypair_generate(&f->server);
	guard_init(&f->guard,
		   &(struct guard_limits){.logins_per_second = 1000, .host_logins_per_minute = host_per_minute, .net_logins_per_minute = 1000},
		   f->sets);
	guard_set_server_key(&f->guard, f->server.public);
	guard_shared_rotate(&f->shared, f->now_us, &f->rotated_us);
	f->guard.resume = &f->resume;
	f->resume.again = rate_make(RESUME_AGAIN, RESUME_AGAIN * 1000, RESUME_AGAIN);
	rate_table_init(&f->resume.tickets, f->tickets, RESUME_SETS);
}

/* An iteration; the one LOGIN that it would look at is taken. */
static void
iterate(struct fixture *f, bool new_one)
{
	guard_set_behind(&f->guard, &f->shared, true, f->now_us);
	if (!new_one)
		f->guard.new_left = false;
}

static void
guest_login(struct fixture *f, struct guest *g)
{
	static const uint8_t payload[HELLO];

	g->length = (size_t)handshake_client_start(&g->handshake, &g->device, f->server.public, 9, payload, HELLO, g->login,
						   sizeof(g->login));
	assert_int_equal(g->length, HANDSHAKE_LOGIN_MIN);
}

/* With a cookie, had while the worker was in time. */
static void
guest_init(struct fixture *f, struct guest *g, const char *address)
{
	uint8_t cookie[WIRE_DATAGRAM_MAX];

	memset(g, 0, sizeof(*g));
	handshake_keypair_generate(&g->device);
	assert_int_equal(endpoint_parse(&g->address, address, 5000), 0);
	guest_login(f, g);
	guard_set_behind(&f->guard, &f->shared, false, f->now_us);
	assert_int_equal(guard_login(&f->guard, &f->shared, &g->address, g->login, g->length, f->now_us, true, cookie), GUARD_COOKIE);
	assert_int_equal(handshake_client_cookie(&g->handshake, cookie, HANDSHAKE_COOKIE_SIZE), 0);
	guest_login(f, g);
}

static struct rte_mbuf *
datagram(struct fixture *f, const struct endpoint *from, const void *data, size_t length)
{
	struct rte_mbuf *m = world_mbuf(&f->link, data, length);

	packet_info(m)->peer = *from;
	return m;
}

/* The same packet as a frame. */
static struct rte_mbuf *
frame(struct fixture *f, const struct endpoint *from, const void *data, size_t length)
{
	struct frame_bytes b;

	if (endpoint_is_ipv4(from))
		frame_udp4(&b, from->ip + 12, from->port, our_ip4, 8000, length);
	else
		frame_udp6(&b, from->ip, from->port, our_ip6, 8000, length);
	memcpy(b.data + b.len - length, data, length);
	return world_mbuf(&f->link, b.data, b.len);
}

/* Is the packet left over, in both forms? */
static bool
admitted(struct fixture *f, const struct endpoint *from, const void *data, size_t length, bool as_frame)
{
	uint64_t dropped = f->link.counters[COUNTER_drop_login_busy];
	struct rte_mbuf *m = as_frame ? frame(f, from, data, length) : datagram(f, from, data, length), *was = m;
	uint16_t n = as_frame ? shed_frames(&f->queue, &f->link.iface, &m, 1) : shed_datagrams(&f->queue, &m, 1);

	assert_int_equal(f->link.counters[COUNTER_drop_login_busy] - dropped, 1 - n);
	if (n == 1) {
		assert_ptr_equal(m, was);
		rte_pktmbuf_free(m);
	}
	assert_int_equal(world_mbufs_out(&f->link), 0);
	return n == 1;
}

static void
test_strangers(void **state)
{
	static const char *const addresses[] = {"198.51.100.7:4000", "[2001:db8::7]:4000"};
	static struct fixture f;
	uint8_t data[WIRE_DATAGRAM_MAX] = {0};

	(void)state;
	fixture_open(&f, 60);
	iterate(&f, false);
	for (unsigned a = 0; a < 2; a++) {
		struct endpoint from;

		assert_int_equal(endpoint_parse(&from, addresses[a], 0), 0);
		for (unsigned type = 0; type < 256; type++) {
			data[0] = (uint8_t)type;
			/* of any version */
			data[1] = (uint8_t)randombytes_uniform(3);
			assert_int_equal(admitted(&f, &from, data, HANDSHAKE_LOGIN_MIN, true), type == WIRE_DATA);
			assert_int_equal(admitted(&f, &from, data, HANDSHAKE_LOGIN_MIN, false), type == WIRE_DATA);
		}
	}
	world_close(&f.link);
}

static void
resume_make(struct ticket_cipher *cipher, uint8_t out[RESUME_SIZE])
{
	const struct ticket t = {.user = 1, .device = 2, .expires_ms = UINT64_MAX};
	uint8_t nonce[RESUME_NONCE] = {0}, ticket_nonce[TICKET_NONCE], ticket[TICKET_SIZE];

	randombytes_buf(ticket_nonce, sizeof(ticket_nonce));
	ticket_seal(&t, cipher, ticket_nonce, ticket);
	resume_write(out, 77, nonce, ticket);
}

/* Those whose ticket is true need no luck; forged ones, and one ticket again and again, cost nothing more. */
static void
test_resumes(void **state)
{
	static const struct ticket_key keys[2] = {{1, {1}}, {2, {2}}};
	static struct ticket_cipher other;
	static struct fixture f;
	uint8_t data[RESUME_SIZE];
	struct endpoint from;
	bool as_frame;

	(void)state;
	fixture_open(&f, 60);
	assert_int_equal(endpoint_parse(&from, "198.51.100.7:4000", 0), 0);
	for (unsigned i = 0; i < 200; i++) {
		as_frame = i % 2;
		iterate(&f, false);
		assert_int_equal(ticket_cipher_set(&f.resume.cipher[0], &keys[0]), 0);
		assert_int_equal(ticket_cipher_set(&f.resume.cipher[1], &keys[1]), 0);
		resume_make(&f.resume.cipher[i / 2 % 2], data);
		assert_true(admitted(&f, &from, data, RESUME_SIZE, as_frame));
		assert_false(admitted(&f, &from, data, RESUME_SIZE - 1, as_frame));
		/* Not of this key, of none, or not of any that is known. */
		data[WIRE_PREFIX + RESUME_NONCE + 4 + i % (TICKET_NONCE + TICKET_MARK)] ^= 0x10;
		assert_false(admitted(&f, &from, data, RESUME_SIZE, as_frame));
		memset(data + WIRE_PREFIX + RESUME_NONCE, 0, 4);
		assert_false(admitted(&f, &from, data, RESUME_SIZE, as_frame));
		assert_int_equal(ticket_cipher_set(&other, &(struct ticket_key){3, {1}}), 0);
		resume_make(&other, data);
		assert_false(admitted(&f, &from, data, RESUME_SIZE, as_frame));
	}
	/* What was looked at pays; when the worker's bucket of the ticket is empty, copies are not looked at. */
	resume_make(&f.resume.cipher[0], data);
	for (unsigned i = 0; i < RESUME_AGAIN; i++) {
		assert_true(admitted(&f, &from, data, RESUME_SIZE, true));
		rate_table_take(&f.resume.tickets, ticket_nonce(data + WIRE_PREFIX + RESUME_NONCE), TICKET_NONCE, &f.resume.again, f.now_us);
	}
	assert_false(admitted(&f, &from, data, RESUME_SIZE, true));
	f.now_us += SECOND;
	iterate(&f, false);
	assert_true(admitted(&f, &from, data, RESUME_SIZE, false));
	for (unsigned i = 0; i < 2; i++)
		ticket_cipher_clear(&f.resume.cipher[i]);
	ticket_cipher_clear(&other);
	world_close(&f.link);
}

/* Everything that is no plain datagram to our port is ingress's affair. */
static void
test_other_frames(void **state)
{
	static struct fixture f;
	struct rte_mbuf *pkts[8], *before[8];
	struct frame_bytes b;
	unsigned n = 0;

	(void)state;
	fixture_open(&f, 60);
	iterate(&f, false);
	frame_udp4(&b, peer_ip4, 40001, our_ip4, 8001, 400);
	pkts[n++] = world_mbuf(&f.link, b.data, b.len);
	frame_udp4(&b, peer_ip4, 40001, our_ip4, 8000, 400);
	b.data[20] |= 0x20; /* a fragment */
	pkts[n++] = world_mbuf(&f.link, b.data, b.len);
	b.data[20] = 0;
	b.data[14] = 0x46; /* an option */
	pkts[n++] = world_mbuf(&f.link, b.data, b.len);
	b.data[14] = 0x45;
	b.data[23] = 6;
	pkts[n++] = world_mbuf(&f.link, b.data, b.len);
	frame_udp6(&b, peer_ip6, 40001, our_ip6, 8000, 400);
	b.data[20] = 44;
	pkts[n++] = world_mbuf(&f.link, b.data, b.len);
	frame_arp(&b, broadcast_mac, 1, peer_mac, peer_ip4, our_mac, our_ip4);
	pkts[n++] = world_mbuf(&f.link, b.data, b.len);
	for (size_t length = 0; length < 14 + 40 + 8; length += 61)
		pkts[n++] = world_mbuf(&f.link, b.data, length);
	memcpy(before, pkts, sizeof(pkts));
	assert_int_equal(n, 8);
	assert_int_equal(shed_frames(&f.queue, &f.link.iface, pkts, 8), 8);
	assert_memory_equal(before, pkts, sizeof(pkts));
	assert_int_equal(f.link.counters[COUNTER_drop_login_busy] + f.link.counters[COUNTER_rx_packets], 0);
	rte_pktmbuf_free_bulk(pkts, 8);
	world_close(&f.link);
}

/* Some of a burst: the others keep their order, and all buffers come back, those of another pool or in two parts too. */
static void
test_burst(void **state)
{
	static struct fixture f;
	struct rte_mbuf *pkts[PORT_BURST], *data[PORT_BURST], *more;
	uint8_t login[HANDSHAKE_LOGIN_MIN] = {WIRE_LOGIN, WIRE_VERSION}, of_session[100] = {WIRE_DATA, WIRE_VERSION};
	struct endpoint from;
	unsigned kept = 0;

	(void)state;
	fixture_open(&f, 60);
	iterate(&f, false);
	assert_int_equal(endpoint_parse(&from, "198.51.100.7:4000", 0), 0);
	for (unsigned i = 0; i < PORT_BURST; i++) {
		pkts[i] = i % 3 == 0 ? frame(&f, &from, of_session, sizeof(of_session)) : frame(&f, &from, login, sizeof(login));
		if (i % 3 == 0)
			data[kept++] = pkts[i];
	}
	rte_mbuf_refcnt_set(pkts[1], 2);
	more = pkts[1];
	assert_int_equal(shed_frames(&f.queue, &f.link.iface, pkts, PORT_BURST), kept);
	assert_memory_equal(pkts, data, kept * sizeof(data[0]));
	assert_int_equal(f.link.counters[COUNTER_drop_login_busy], PORT_BURST - kept);
	assert_int_equal(f.link.counters[COUNTER_rx_packets], PORT_BURST - kept);
	rte_pktmbuf_free_bulk(pkts, kept);
	assert_int_equal(world_mbufs_out(&f.link), 1);
	rte_pktmbuf_free(more);
	assert_int_equal(world_mbufs_out(&f.link), 0);
	world_close(&f.link);
}

/* One in a while is looked at whatever it is. */
static void
test_newcomers(void **state)
{
	uint8_t login[HANDSHAKE_LOGIN_MIN] = {WIRE_LOGIN, WIRE_VERSION};
	static struct fixture f;
	struct endpoint from;
	unsigned passed = 0;

	(void)state;
	fixture_open(&f, 60);
	assert_int_equal(endpoint_parse(&from, "198.51.100.7:4000", 0), 0);
	for (unsigned i = 0; i < 10000; i++) {
		iterate(&f, true);
		for (unsigned k = 0; k < 3; k++)
			passed += admitted(&f, &from, login, sizeof(login), k % 2 == 0);
		f.now_us += 100;
	}
	assert_int_equal(passed, GUARD_BEHIND_NEW);
	world_close(&f.link);
}

/* Who has a cookie is looked at among any number of others; a flood with one cookie comes up against its host's limit. */
static void
test_tags(void **state)
{
	static struct fixture f;
	struct guest honest, six, bot;
	uint8_t out[WIRE_DATAGRAM_MAX];
	unsigned passed = 0;

	(void)state;
	fixture_open(&f, 60);
	guest_init(&f, &bot, "203.0.113.1:1000");
	guest_init(&f, &honest, "198.51.100.7:4000");
	guest_init(&f, &six, "[2001:db8::7]:4000");
	for (unsigned i = 0; i < 1000; i++) {
		struct guest forged = honest;

		iterate(&f, false);
		passed += admitted(&f, &bot.address, bot.login, bot.length, i % 2 == 0);
		/* Neither another's cookie nor any guess. */
		assert_false(admitted(&f, &honest.address, bot.login, bot.length, i % 2 == 0));
		randombytes_buf(forged.login + 4, 8);
		assert_false(admitted(&f, &forged.address, forged.login, forged.length, i % 2 == 0));
		f.now_us += 100;
	}
	assert_int_equal(passed, 60 / 4);
	iterate(&f, false);
	assert_true(admitted(&f, &honest.address, honest.login, honest.length, true));
	assert_int_equal(guard_login(&f.guard, &f.shared, &honest.address, honest.login, honest.length, f.now_us, false, out), GUARD_PUNT);
	assert_true(admitted(&f, &six.address, six.login, six.length, true));
	assert_int_equal(guard_login(&f.guard, &f.shared, &six.address, six.login, six.length, f.now_us, false, out), GUARD_PUNT);
	/* Admitted is not believed: the tag is in the open, mac2 is not. */
	honest.login[honest.length - 1] ^= 1;
	assert_true(admitted(&f, &honest.address, honest.login, honest.length, false));
	assert_int_equal(guard_login(&f.guard, &f.shared, &honest.address, honest.login, honest.length, f.now_us, false, out), GUARD_COOKIE);
	world_close(&f.link);
}

/* As long as the cookie. */
static void
test_tag_lives_through_one_rotation(void **state)
{
	static struct fixture f;
	struct guest g;

	(void)state;
	fixture_open(&f, 0);
	guest_init(&f, &g, "198.51.100.7:4000");
	for (unsigned i = 0; i < 4; i++) {
		iterate(&f, false);
		assert_int_equal(admitted(&f, &g.address, g.login, g.length, true), i < 2);
		f.now_us += GUARD_COOKIE_LIFE_MS * UINT64_C(1000);
		guard_shared_rotate(&f.shared, f.now_us, &f.rotated_us);
	}
	world_close(&f.link);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_resumes),
		cmocka_unit_test(test_other_frames),
		cmocka_unit_test(test_burst),
		cmocka_unit_test(test_newcomers),
		cmocka_unit_test(test_tags),
		cmocka_unit_test(test_tag_lives_through_one_rotation),
	};

	return cmocka_run_group_tests_name("shed", tests, eal_fixture_setup, eal_fixture_teardown);
}
