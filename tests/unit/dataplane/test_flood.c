/* SPDX-License-Identifier: BSD-3-Clause */
/* Floods of LOGINs through a real worker: what it answers, what it hands to control, what it keeps. */
#include "eal_fixture.h"
#include "relay_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LOGINS 16
#define BATCH_MAX 600

struct datagram {
	uint8_t bytes[WIRE_DATAGRAM_MAX];
	size_t length;
};

/* A client whose handshake is in the making. */
struct guest {
	struct handshake_client handshake;
	struct handshake_keypair device;
	struct endpoint address;
	struct datagram login;
};

struct fixture {
	struct world *world;
	struct handshake_keypair server;
	struct datagram logins[LOGINS]; /* true ones: good macs, true handshakes */
	struct endpoint from[BATCH_MAX];
	bool answered[BATCH_MAX];
	unsigned batch;
	uint64_t requests, request_bytes, replies, reply_bytes, punts;
};

static void
guest_login(struct fixture *f, struct guest *g)
{
	static const uint8_t payload[HANDSHAKE_LOGIN_MIN - HANDSHAKE_LOGIN_OVERHEAD];
	int n = handshake_client_start(&g->handshake, &g->device, f->server.public, 9, payload, sizeof(payload), g->login.bytes,
				       sizeof(g->login.bytes));

	assert_true(n >= HANDSHAKE_LOGIN_MIN);
	g->login.length = (size_t)n;
}

static void
guest_init(struct fixture *f, struct guest *g, const char *address)
{
	memset(g, 0, sizeof(*g));
	handshake_keypair_generate(&g->device);
	assert_int_equal(endpoint_parse(&g->address, address, 5000), 0);
	guest_login(f, g);
}

static void
fixture_init(struct fixture *f)
{
	struct guest g;

	memset(f, 0, sizeof(*f));
	assert_int_equal(handshake_init(), 0);
	f->world = world_new(1);
	f->world->now_us = 60000000;
	handshake_keypair_generate(&f->server);
	memcpy(f->world->ipc.header->server_public, f->server.public, sizeof(f->server.public));
	atomic_store(&f->world->ipc.header->server_key_set, 1);
	world_settle(f->world);
	for (unsigned i = 0; i < LOGINS; i++) {
		guest_init(f, &g, "192.0.2.1");
		f->logins[i] = g.login;
	}
}

static void
guest_send(struct fixture *f, const struct guest *g)
{
	world_send_raw(f->world, 0, &g->address, g->login.bytes, g->login.length);
	world_settle(f->world);
}

/* The COOKIE that came for it, taken; returns the wait that it names, or -1 without one. */
static int
guest_cookie(struct fixture *f, struct guest *g)
{
	uint8_t out[WIRE_DATAGRAM_MAX];

	if (world_receive_raw(f->world, &g->address, out, sizeof(out)) != HANDSHAKE_COOKIE_SIZE)
		return -1;
	return handshake_client_cookie(&g->handshake, out, HANDSHAKE_COOKIE_SIZE);
}

/* Puts n packets from as many random addresses before the worker. */
static void
spoof(struct fixture *f, unsigned n, bool good_mac)
{
	f->batch = n;
	for (unsigned i = 0; i < n; i++) {
		struct datagram d = f->logins[randombytes_uniform(LOGINS)];

		if (!good_mac)
			d.bytes[50 + randombytes_uniform(300)] ^= 1;
		else if (randombytes_uniform(2) == 0) /* and what mac2 would be, nobody knows */
			randombytes_buf(d.bytes + d.length - HANDSHAKE_MAC, HANDSHAKE_MAC);
		randombytes_buf(&f->from[i], sizeof(f->from[i]));
		f->from[i].ip[0] = 0x20;
		f->answered[i] = false;
		f->requests++;
		f->request_bytes += d.length;
		world_send_raw(f->world, 0, &f->from[i], d.bytes, d.length);
	}
}

static void
reply_count(struct fixture *f, const struct rte_mbuf *m)
{
	const struct endpoint *to = &packet_info((struct rte_mbuf *)(uintptr_t)m)->peer;
	unsigned i = 0;

	while (i < f->batch && !endpoint_equal(&f->from[i], to))
		i++;
	/* To who asked, once, and less than he sent. */
	assert_true(i < f->batch && !f->answered[i]);
	assert_true(rte_pktmbuf_data_len(m) < HANDSHAKE_LOGIN_MIN);
	f->answered[i] = true;
	f->replies++;
	f->reply_bytes += rte_pktmbuf_data_len(m);
}

/* Works it off: what was sent is counted, control takes what was punted. */
static void
work_off(struct fixture *f)
{
	struct world *w = f->world;

	world_settle(w);
	for (; w->tx.head != w->tx.tail; w->tx.head++) {
		reply_count(f, w->tx.pkts[w->tx.head % WORLD_QUEUE]);
		rte_pktmbuf_free(w->tx.pkts[w->tx.head % WORLD_QUEUE]);
	}
	while (control_take(w, IPC_LOGIN, 0, PUNT_LOGIN) != NULL)
		f->punts++;
	assert_int_equal(rte_mempool_in_use_count(w->pool), 0);
	assert_int_equal(w->workers[0]->messages.used, 0);
	assert_int_equal(w->workers[0]->deliveries.used, 0);
	w->now_us += 10000;
}

/* Somebody who was not here before; under load with a cookie. */
static void
expect_login(struct fixture *f, bool load)
{
	static unsigned serial;
	struct guest g;
	char address[64];

	snprintf(address, sizeof(address), "203.0.%u.%u", serial / 250 % 250, serial % 250 + 1);
	serial++;
	guest_init(f, &g, address);
	guest_send(f, &g);
	if (load) {
		assert_int_equal(guest_cookie(f, &g), 0);
		guest_login(f, &g);
		guest_send(f, &g);
	}
	assert_non_null(control_take(f->world, IPC_LOGIN, 0, PUNT_LOGIN));
}

static void
flood(struct fixture *f, bool good_mac)
{
	struct frame pong;
	struct peer p;

	peer_join(&p, f->world, 0, 0, 1, 0);
	for (unsigned round = 0; round < 300; round++) {
		/* Small bursts, of which all is looked at, and full ones. */
		spoof(f, round % 10 == 9 ? BATCH_MAX : 1 + round % 31, good_mac);
		work_off(f);
		if (round % 10 != 0)
			continue;
		/* Those who are there are served, those who come get in. */
		spoof(f, BATCH_MAX, good_mac);
		f->batch = 0;
		peer_send(&p, 0, &(struct frame){.type = FRAME_PING, .token = round}, 1);
		assert_true(peer_receive(&p, FRAME_PONG, &pong));
		assert_int_equal(pong.pong.token, round);
		while (f->world->tx.head != f->world->tx.tail)
			rte_pktmbuf_free(f->world->tx.pkts[f->world->tx.head++ % WORLD_QUEUE]);
		if (good_mac && round > 100)
			expect_login(f, true);
	}
	assert_int_equal(f->world->workers[0]->sessions.live, 1);
	assert_true(f->replies <= f->requests && f->reply_bytes <= f->request_bytes);
}

static void
test_spoofed_logins(void **state)
{
	static struct fixture f;
	const struct config *c;

	(void)state;
	fixture_init(&f);
	c = f.world->config;
	flood(&f, true);
	/* Not one at the free rate once it had been spent: 3 s and 22,000 LOGINs. */
	assert_in_range(f.punts, 1, c->control.logins_per_second);
	assert_true(f.replies > 1000);
	/* Behind with its packets, it does not even look at them. */
	assert_true(world_counter(f.world, COUNTER_drop_login_busy) > 10000);
	world_free(f.world);
}

static void
test_bad_macs(void **state)
{
	static struct fixture f;

	(void)state;
	fixture_init(&f);
	flood(&f, false);
	assert_int_equal(f.punts, 0);
	assert_int_equal(f.replies, 0);
	expect_login(&f, false);
	world_free(f.world);
}

/* A worker that never catches up: whenever it looks, more LOGINs are waiting than it takes at once. Sessions are served, and who has a
 * cookie is let in with the first LOGIN that bears it, though that comes in the midst of the others. */
static void
test_never_in_time(void **state)
{
	static struct guest guests[50];
	static struct fixture f;
	unsigned logins = 0;
	struct worker *worker;
	uint32_t before;
	char address[64];
	struct peer p;

	(void)state;
	fixture_init(&f);
	worker = f.world->workers[0];
	peer_join(&p, f.world, 0, 0, 1, 0);
	for (unsigned i = 0; i < 200; i++) {
		spoof(&f, 31, true);
		work_off(&f);
	}
	for (unsigned i = 0; i < 50; i++) {
		snprintf(address, sizeof(address), "203.0.%u.1", i);
		guest_init(&f, &guests[i], address);
		guest_send(&f, &guests[i]);
		assert_int_equal(guest_cookie(&f, &guests[i]), 0);
		guest_login(&f, &guests[i]);
	}
	for (unsigned i = 0; i < 5; i++) { /* so that it is behind from here on */
		spoof(&f, 200, true);
		worker_poll(worker, f.world->now_us, 1);
	}
	before = f.world->tx.tail;
	for (unsigned i = 0; i < 50; i++) {
		uint8_t ping[WIRE_DATAGRAM_MAX];
		size_t length = peer_seal(&p, &(struct frame){.type = FRAME_PING, .token = i}, 1, ping);

		spoof(&f, 255, i % 2 == 0);
		world_send_raw(f.world, 0, &guests[i].address, guests[i].login.bytes, guests[i].login.length);
		world_send_raw(f.world, 0, &p.address, ping, length);
		spoof(&f, 255, true);
		f.batch = 0;
		worker_poll(worker, f.world->now_us, 1);
		assert_true(worker->full_bursts[0] >= 5);
		while (control_take(f.world, IPC_LOGIN, 0, PUNT_LOGIN) != NULL)
			logins++;
		f.world->now_us += 1000;
	}
	/* One in each iteration may be looked at, and gets a cookie. */
	assert_true(f.world->tx.tail - before <= 50 + world_counter(f.world, COUNTER_pings));
	world_settle(f.world);
	while (control_take(f.world, IPC_LOGIN, 0, PUNT_LOGIN) != NULL)
		logins++;
	assert_int_equal(logins, 50);
	assert_int_equal(world_counter(f.world, COUNTER_pings), 50);
	world_free(f.world);
}

/* Robots with true addresses: each network gets its share, and nobody is kept out by them. */
static void
test_botnet(void **state)
{
	static struct fixture f;
	static struct guest bots[40];
	unsigned passed = 0, waits = 0;
	char address[64];

	(void)state;
	fixture_init(&f);
	for (unsigned i = 0; i < 200; i++) {
		spoof(&f, 31, true);
		work_off(&f);
	}
	for (unsigned i = 0; i < 40; i++) {
		snprintf(address, sizeof(address), "198.51.%u.%u:%u", i % 4, i / 4 + 1, 1000 + i);
		guest_init(&f, &bots[i], address);
		guest_send(&f, &bots[i]);
		assert_int_equal(guest_cookie(&f, &bots[i]), 0);
		guest_login(&f, &bots[i]);
	}
	/* A minute. */
	for (unsigned second = 0; second < 60; second++) {
		for (unsigned i = 0; i < 40 * 20; i++) {
			struct guest *bot = &bots[i % 40];
			int wait;

			guest_send(&f, bot);
			passed += control_take(f.world, IPC_LOGIN, 0, PUNT_LOGIN) != NULL;
			wait = guest_cookie(&f, bot);
			assert_int_not_equal(wait, 0);
			waits += wait > 0;
			f.world->now_us += 1250;
		}
		if (second % 10 == 0)
			expect_login(&f, true);
	}
	/* Four networks of ten: a quarter of a minute's share at once, then the share. */
	assert_true(passed <= 4 * 600 * 5 / 4 + 40);
	assert_true(passed >= 4 * 600);
	assert_int_equal(passed + waits, 60 * 40 * 20);
	assert_true(world_counter(f.world, COUNTER_drop_login_prefix) + world_counter(f.world, COUNTER_drop_login_limit) == waits);
	world_free(f.world);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spoofed_logins),
		cmocka_unit_test(test_bad_macs),
		cmocka_unit_test(test_never_in_time),
		cmocka_unit_test(test_botnet),
	};

	return cmocka_run_group_tests_name("flood", tests, eal_fixture_setup, eal_fixture_teardown);
}
