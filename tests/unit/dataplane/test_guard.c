/* SPDX-License-Identifier: BSD-3-Clause */
/* The login guard, met by the real client handshake. */
#include "dataplane/guard.h"
#include "shared/wire.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000)
#define RATE 10
#define LIFE_US (GUARD_COOKIE_LIFE_MS * UINT64_C(1000))

struct client {
	struct handshake_client handshake;
	struct handshake_keypair device;
	struct endpoint address;
	uint8_t login[WIRE_DATAGRAM_MAX];
	size_t length;
};

struct fixture {
	struct handshake_keypair server;
	struct guard_shared shared;
	uint64_t rotated;
	struct guard guard;
	struct guard_limits limits;
	struct rate_set sets[GUARD_SETS];
	uint8_t out[WIRE_DATAGRAM_MAX];
	uint64_t now;
};

static void
login(struct fixture *f, struct client *c, uint64_t id)
{
	static const uint8_t payload[HANDSHAKE_LOGIN_MIN - HANDSHAKE_LOGIN_OVERHEAD] = "hello";
	int n = handshake_client_start(&c->handshake, &c->device, f->server.public, id, payload,
				       sizeof(payload), c->login, sizeof(c->login));

	assert_true(n >= HANDSHAKE_LOGIN_MIN);
	c->length = (size_t)n;
}

static void
client_init(struct fixture *f, struct client *c, uint32_t host)
{
	memset(c, 0, sizeof(*c));
	handshake_keypair_generate(&c->device);
	endpoint_set_ipv4(&c->address, &host, (uint16_t)(1024 + host));
	login(f, c, 1000 + host);
}

static void
fixture_init(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	f->now = 77 * SECOND;
	handshake_keypair_generate(&f->server);
	f->limits = (struct guard_limits){.logins_per_second = RATE};
	guard_init(&f->guard, &f->limits, f->sets);
	guard_set_server_key(&f->guard, f->server.public);
	guard_shared_rotate(&f->shared, f->now, &f->rotated);
}

static enum guard_verdict
judge(struct fixture *f, const struct client *c, bool pressed)
{
	memset(f->out, 0xee, sizeof(f->out));
	return guard_login(&f->guard, &f->shared, &c->address, c->login, c->length, f->now, pressed, f->out);
}

/* Asks for a cookie and uses it. */
static void
take_cookie(struct fixture *f, struct client *c)
{
	assert_int_equal(judge(f, c, true), GUARD_COOKIE);
	assert_int_equal(handshake_client_cookie(&c->handshake, f->out, HANDSHAKE_COOKIE_SIZE), 0);
	login(f, c, c->handshake.id);
}

static void
not_ready_without_server_key(void **state)
{
	static struct fixture f;
	struct client c;

	(void)state;
	fixture_init(&f);
	client_init(&f, &c, 1);
	guard_init(&f.guard, &f.limits, f.sets);
	assert_int_equal(judge(&f, &c, false), GUARD_NOT_READY);
	guard_set_server_key(&f.guard, f.server.public);
	assert_int_equal(judge(&f, &c, false), GUARD_PUNT);
	/* No secret yet: no cookie can be made, and none is taken, least of all one under a secret of
	 * zeros. */
	memset(&f.shared, 0, sizeof(f.shared));
	assert_int_equal(judge(&f, &c, true), GUARD_NOT_READY);
}

static void
bad_mac_is_refused_first(void **state)
{
	static struct fixture f;
	struct client c;

	(void)state;
	fixture_init(&f);
	client_init(&f, &c, 1);
	for (size_t i = 0; i < c.length; i++) {
		/* mac1 covers all before it; mac2, the last 16 bytes, is not looked at without load. */
		c.login[i] ^= 0x40;
		assert_int_equal(judge(&f, &c, false),
				 i < c.length - HANDSHAKE_MAC ? GUARD_BAD_MAC : GUARD_PUNT);
		c.login[i] ^= 0x40;
		f.now += SECOND;
	}
	for (size_t n = 0; n < c.length; n++) {
		/* An exact allocation: a read beyond the datagram shows. */
		uint8_t *copy = malloc(n > 0 ? n : 1);

		assert_non_null(copy);
		memcpy(copy, c.login, n);
		assert_int_equal(guard_login(&f.guard, &f.shared, &c.address, copy, n, f.now, false, f.out),
				 GUARD_BAD_MAC);
		free(copy);
	}
	/* None of these was paid for. */
	for (unsigned i = 0; i < RATE; i++)
		assert_int_equal(judge(&f, &c, false), GUARD_PUNT);
}

static void
rate_then_cookie_then_refill(void **state)
{
	static struct fixture f;
	struct client c;

	(void)state;
	fixture_init(&f);
	client_init(&f, &c, 1);
	for (unsigned i = 0; i < RATE; i++)
		assert_int_equal(judge(&f, &c, false), GUARD_PUNT);
	/* That LOGIN was too much, and is owed too. */
	assert_int_equal(judge(&f, &c, false), GUARD_COOKIE);
	f.now += 2 * SECOND / RATE;
	assert_int_equal(judge(&f, &c, false), GUARD_PUNT);
	assert_int_equal(judge(&f, &c, false), GUARD_COOKIE);
	/* A long pause fills the bucket, no more. */
	f.now += 3600 * SECOND;
	for (unsigned i = 0; i < RATE; i++)
		assert_int_equal(judge(&f, &c, false), GUARD_PUNT);
	assert_int_equal(judge(&f, &c, false), GUARD_COOKIE);
	/* A clock that steps back gives nothing and breaks nothing. */
	f.now -= 1800 * SECOND;
	assert_int_equal(judge(&f, &c, false), GUARD_COOKIE);
}

/* As long as it lasts nobody passes without a cookie, also not at the free rate; soon after everybody does. */
static void
flood_has_no_free_rate(void **state)
{
	static struct fixture f;
	struct client c;

	(void)state;
	fixture_init(&f);
	client_init(&f, &c, 1);
	for (unsigned i = 0; i < RATE; i++)
		assert_int_equal(judge(&f, &c, false), GUARD_PUNT);
	for (unsigned i = 0; i < 3000; i++) {
		assert_int_equal(judge(&f, &c, false), GUARD_COOKIE);
		f.now += SECOND / 100;
	}
	f.now += GUARD_LOAD_US;
	assert_int_equal(judge(&f, &c, false), GUARD_PUNT);
}

static void
zero_wants_a_cookie_always(void **state)
{
	static struct fixture f;
	struct client c;

	(void)state;
	fixture_init(&f);
	f.limits.logins_per_second = 0;
	guard_init(&f.guard, &f.limits, f.sets);
	guard_set_server_key(&f.guard, f.server.public);
	client_init(&f, &c, 1);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(judge(&f, &c, false), GUARD_COOKIE);
		f.now += 86400 * SECOND;
	}
	f.rotated = 0;
	guard_shared_rotate(&f.shared, f.now, &f.rotated);
	take_cookie(&f, &c);
	assert_int_equal(judge(&f, &c, false), GUARD_PUNT);
}

static void
cookie_lets_pass_up_to_the_hard_limit(void **state)
{
	static struct fixture f;
	struct client c;
	struct client stranger;

	(void)state;
	fixture_init(&f);
	client_init(&f, &c, 1);
	client_init(&f, &stranger, 2);
	take_cookie(&f, &c);
	for (unsigned i = 0; i < GUARD_HARD_FACTOR * RATE; i++)
		assert_int_equal(judge(&f, &c, true), GUARD_PUNT);
	assert_int_equal(judge(&f, &c, false), GUARD_LIMIT);
	/* He is told when to come again. */
	assert_true(handshake_client_cookie(&c.handshake, f.out, HANDSHAKE_COOKIE_SIZE) > 0);
	assert_int_equal(judge(&f, &c, true), GUARD_LIMIT);
	/* Proven LOGINs used up the free rate too. */
	assert_int_equal(judge(&f, &stranger, false), GUARD_COOKIE);
	f.now += SECOND / RATE / GUARD_HARD_FACTOR;
	assert_int_equal(judge(&f, &c, false), GUARD_PUNT);
	assert_int_equal(judge(&f, &c, false), GUARD_LIMIT);
}

/* ---- hosts and networks ------------------------------------------------------------- */

static void
limits_set(struct fixture *f, uint32_t host, uint32_t net)
{
	fixture_init(f);
	f->limits = (struct guard_limits){.logins_per_second = 1000, .host_logins_per_minute = host, .net_logins_per_minute = net};
	guard_init(&f->guard, &f->limits, f->sets);
	guard_set_server_key(&f->guard, f->server.public);
}

static void
client_at(struct fixture *f, struct client *c, const char *address)
{
	client_init(f, c, 7);
	assert_int_equal(endpoint_parse(&c->address, address, 0), 0);
	take_cookie(f, c);
}

static void
host_has_its_share(void **state)
{
	static struct fixture f;
	struct client bot, other_port, neighbour;
	int wait;

	(void)state;
	limits_set(&f, 60, 0);
	client_at(&f, &bot, "192.0.2.1:1000");
	client_at(&f, &other_port, "192.0.2.1:2000");
	client_at(&f, &neighbour, "192.0.2.2:1000");
	for (unsigned i = 0; i < 15; i++)
		assert_int_equal(judge(&f, &bot, true), GUARD_PUNT);
	assert_int_equal(judge(&f, &bot, true), GUARD_PREFIX);
	wait = handshake_client_cookie(&bot.handshake, f.out, HANDSHAKE_COOKIE_SIZE);
	assert_int_equal(wait, 1000);
	assert_int_equal(judge(&f, &other_port, true), GUARD_PREFIX);
	assert_int_equal(judge(&f, &neighbour, true), GUARD_PUNT);
	/* And without load he passes like anybody. */
	f.now += GUARD_LOAD_US;
	assert_int_equal(judge(&f, &bot, false), GUARD_PUNT);
	/* A minute: so many as the limit says. */
	for (unsigned i = 0, passed = 0; i < 600; i++) {
		passed += judge(&f, &bot, true) == GUARD_PUNT;
		f.now += SECOND / 10;
		assert_true(passed <= 15 + 61);
	}
}

static void
network_has_its_share(void **state)
{
	static struct fixture f;
	struct client bots[12], elsewhere;
	unsigned passed = 0;

	(void)state;
	limits_set(&f, 40, 80);
	client_at(&f, &elsewhere, "[2001:db8:2::1]:1000");
	for (unsigned i = 0; i < 12; i++) {
		char address[64];

		snprintf(address, sizeof(address), "[2001:db8:1:%u::1]:1000", i + 1);
		client_at(&f, &bots[i], address);
		for (unsigned k = 0; k < 10; k++)
			passed += judge(&f, &bots[i], true) == GUARD_PUNT;
	}
	assert_int_equal(passed, 20);
	assert_int_equal(judge(&f, &elsewhere, true), GUARD_PUNT);
}

/* Who forges an address takes nothing from its owner. */
static void
only_who_proved_his_address_pays(void **state)
{
	static struct fixture f;
	struct client owner, forger;

	(void)state;
	limits_set(&f, 4, 4);
	client_at(&f, &owner, "192.0.2.1:1000");
	client_init(&f, &forger, 9);
	forger.address = owner.address;
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(judge(&f, &forger, true), GUARD_COOKIE);
	assert_int_equal(judge(&f, &owner, true), GUARD_PUNT);
	assert_int_equal(judge(&f, &owner, true), GUARD_PREFIX);
}

static void
pressed_ring_wants_cookies_at_once(void **state)
{
	static struct fixture f;
	struct client c;

	(void)state;
	fixture_init(&f);
	client_init(&f, &c, 1);
	assert_int_equal(judge(&f, &c, true), GUARD_COOKIE);
	take_cookie(&f, &c);
	assert_int_equal(judge(&f, &c, true), GUARD_PUNT);
}

static void
cookie_is_bound_to_address_and_port(void **state)
{
	static struct fixture f;
	struct client c;
	struct endpoint mine;

	(void)state;
	fixture_init(&f);
	client_init(&f, &c, 1);
	take_cookie(&f, &c);
	mine = c.address;
	c.address.port++;
	assert_int_equal(judge(&f, &c, true), GUARD_COOKIE);
	c.address = mine;
	c.address.ip[15] ^= 1;
	assert_int_equal(judge(&f, &c, true), GUARD_COOKIE);
	c.address = mine;
	assert_int_equal(judge(&f, &c, true), GUARD_PUNT);
}

static void
cookie_lives_through_one_rotation(void **state)
{
	static struct fixture f;
	struct client c;

	(void)state;
	fixture_init(&f);
	client_init(&f, &c, 1);
	for (unsigned round = 0; round < 5; round++) {
		c.handshake.have_cookie = false;
		login(&f, &c, 5000 + round);
		take_cookie(&f, &c);
		/* Not old enough: nothing happens. */
		f.now = f.rotated + LIFE_US - 1;
		guard_shared_rotate(&f.shared, f.now, &f.rotated);
		assert_int_equal(judge(&f, &c, true), GUARD_PUNT);
		f.now++;
		guard_shared_rotate(&f.shared, f.now, &f.rotated);
		assert_int_equal(f.rotated, f.now);
		/* Now under the secret before. */
		assert_int_equal(judge(&f, &c, true), GUARD_PUNT);
		f.now += LIFE_US;
		guard_shared_rotate(&f.shared, f.now, &f.rotated);
		assert_int_equal(judge(&f, &c, true), GUARD_COOKIE);
	}
}

static void
secrets_differ_and_are_not_zero(void **state)
{
	static struct fixture f;
	uint64_t seen[16];

	(void)state;
	fixture_init(&f);
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(f.shared.generation % 2, 0);
		for (unsigned j = 0; j < 2; j++) {
			seen[2 * i + j] = f.shared.secret[j][i % GUARD_SECRET_WORDS];
			assert_true(seen[2 * i + j] != 0);
		}
		assert_true(f.shared.secret[0][0] != f.shared.secret[1][0]);
		f.now += LIFE_US;
		guard_shared_rotate(&f.shared, f.now, &f.rotated);
	}
}

/* 24 bytes behind the prefix: never the same twice, in one worker or in two. */
static void
nonces_do_not_repeat(void **state)
{
	enum { COUNT = 500 };
	static struct fixture f;
	struct client c;
	uint8_t(*nonces)[24] = calloc(COUNT, sizeof(*nonces));

	(void)state;
	assert_non_null(nonces);
	fixture_init(&f);
	client_init(&f, &c, 1);
	for (unsigned i = 0; i < COUNT; i++) {
		if (i == COUNT / 2) {
			guard_init(&f.guard, &f.limits, f.sets);
			guard_set_server_key(&f.guard, f.server.public);
		}
		assert_int_equal(judge(&f, &c, true), GUARD_COOKIE);
		memcpy(nonces[i], f.out + WIRE_PREFIX, sizeof(nonces[i]));
		for (unsigned j = 0; j < i; j++)
			assert_memory_not_equal(nonces[i], nonces[j], sizeof(nonces[i]));
	}
	free(nonces);
}

static void
cookie_has_its_size(void **state)
{
	static struct fixture f;
	struct client c;
	struct client other;

	(void)state;
	fixture_init(&f);
	client_init(&f, &c, 1);
	assert_int_equal(judge(&f, &c, true), GUARD_COOKIE);
	assert_true(c.length > HANDSHAKE_COOKIE_SIZE);
	for (size_t i = HANDSHAKE_COOKIE_SIZE; i < sizeof(f.out); i++)
		assert_int_equal(f.out[i], 0xee);
	/* Another client cannot use it. */
	client_init(&f, &other, 3);
	assert_int_equal(handshake_client_cookie(&other.handshake, f.out, HANDSHAKE_COOKIE_SIZE), -EBADMSG);
}

struct rotation {
	struct guard_shared *shared;
	_Atomic bool stop;
};

static void *
rotate(void *arg)
{
	struct rotation *r = arg;
	uint64_t last = 0;
	uint64_t now = 0;

	while (!atomic_load(&r->stop)) {
		now += LIFE_US;
		guard_shared_rotate(r->shared, now, &last);
	}
	return NULL;
}

/* A worker that is caught by rotations again and again gives cookies or takes them, and nothing else
 * happens. */
static void
rotation_beside_a_worker(void **state)
{
	static struct fixture f;
	struct client c;
	struct rotation r;
	pthread_t thread;
	unsigned cookies = 0;

	(void)state;
	fixture_init(&f);
	client_init(&f, &c, 1);
	take_cookie(&f, &c);
	r.shared = &f.shared;
	atomic_init(&r.stop, false);
	assert_int_equal(pthread_create(&thread, NULL, rotate, &r), 0);
	while (cookies < 2000) {
		enum guard_verdict v = judge(&f, &c, true);

		f.now += SECOND;
		assert_true(v == GUARD_COOKIE || v == GUARD_PUNT);
		cookies += v == GUARD_COOKIE;
	}
	atomic_store(&r.stop, true);
	pthread_join(thread, NULL);
}

static int
setup(void **state)
{
	(void)state;
	return handshake_init();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(not_ready_without_server_key),
		cmocka_unit_test(bad_mac_is_refused_first),
		cmocka_unit_test(rate_then_cookie_then_refill),
		cmocka_unit_test(flood_has_no_free_rate),
		cmocka_unit_test(zero_wants_a_cookie_always),
		cmocka_unit_test(cookie_lets_pass_up_to_the_hard_limit),
		cmocka_unit_test(host_has_its_share),
		cmocka_unit_test(network_has_its_share),
		cmocka_unit_test(only_who_proved_his_address_pays),
		cmocka_unit_test(pressed_ring_wants_cookies_at_once),
		cmocka_unit_test(cookie_is_bound_to_address_and_port),
		cmocka_unit_test(cookie_lives_through_one_rotation),
		cmocka_unit_test(secrets_differ_and_are_not_zero),
		cmocka_unit_test(nonces_do_not_repeat),
		cmocka_unit_test(cookie_has_its_size),
		cmocka_unit_test(rotation_beside_a_worker),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
