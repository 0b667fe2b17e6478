/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages: order, exactly once, final answers; over good and bad networks. */
#include "client/core.h"
#include "world.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void
bad_network(struct world *w)
{
	w->loss = 30;
	w->duplicate = 10;
	w->jitter_us = 60000;
}

static void
good_network(struct world *w)
{
	w->loss = w->duplicate = 0;
	w->jitter_us = 0;
}

/* p was shown first, first + 1, ... of from, n of them, each once, in order, and nothing else of from. */
static void
assert_shown(const struct person *p, const char *from, int first, size_t n)
{
	char want[64];
	size_t found = 0;

	for (size_t i = 0; i < p->n_log; i++) {
		const char *line = p->log[i];

		if (strncmp(line, "message ", 8) != 0)
			continue;
		line += strncmp(line, "message offline ", 16) == 0 ? 16 : 8;
		if (strncmp(line, from, strlen(from)) != 0)
			continue;
		snprintf(want, sizeof(want), "%s: %d", from, first + (int)found++);
		assert_string_equal(line, want);
	}
	assert_int_equal(found, n);
}

static void
say_number(struct world *w, struct person *p, const char *to, int i)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", i);
	say(w, p, to, text);
}

static void
test_simple(void **state)
{
	struct world *w = world_new(1);
	struct person *alice = person_registered(w, "alice"), *bob = person_registered(w, "bob");
	char id[RK_MESSAGE_ID_LEN + 1];

	(void)state;
	say(w, alice, "bob", "hello");
	world_until(w, alice, "receipt bob 1 delivered", 1, 2000);
	assert_string_equal(told_nth(bob, "message", 0), "message alice: hello");
	assert_int_equal(told(alice, "sent bob 1"), 1);
	assert_int_equal(told(alice, "receipt bob 1 accepted"), 1);
	assert_int_equal(told(alice, "receipt"), 2);
	/* The same id on both sides. */
	assert_string_equal(told_nth(alice, "id-of-sent ", 0) + 11, told_nth(bob, "id-of-message ", 0) + 14);
	message_id_format(id, rk_client_device_id(alice->client), 1);
	assert_string_equal(told_nth(alice, "id-of-sent ", 0) + 11, id);
	assert_int_equal(rk_client_outbox_pending(alice->client), 0);
	world_free(w);
}

static void
test_thousand(void **state)
{
	struct world *w;

	(void)state;
	for (uint64_t seed = 1; seed <= 3; seed++) {
		struct person *alice, *bob;

		w = world_new(seed);
		alice = person_registered(w, "alice");
		bob = person_registered(w, "bob");
		bad_network(w);
		for (int i = 0; i < 1000; i++) {
			say_number(w, alice, "bob", i);
			say_number(w, bob, "alice", i);
			if (i % 10 == 0)
				world_run(w, 100);
		}
		while (rk_client_outbox_pending(alice->client) + rk_client_outbox_pending(bob->client) > 0 ||
		       told(bob, "id-of-message") < 1000 || told(alice, "id-of-message") < 1000) {
			assert_true(w->now_us < UINT64_C(3000) * 1000000);
			assert_true(world_step(w));
		}
		assert_shown(bob, "alice", 0, 1000);
		assert_shown(alice, "bob", 0, 1000);
		assert_int_equal(told(alice, "refused"), 0);
		assert_int_equal(told(alice, "receipt bob") - told(alice, "receipt bob 1 delivered"),
				 told(alice, "receipt bob") - 1);
		world_free(w);
	}
}

static void
test_offline(void **state)
{
	struct world *w = world_new(5);
	struct person *alice = person_registered(w, "alice"), *bob = person_registered(w, "bob");

	(void)state;
	rk_client_logout(bob->client);
	world_run(w, 100);
	for (int i = 0; i < 100; i++)
		say_number(w, alice, "bob", i);
	world_until(w, alice, "receipt bob 100 stored", 1, 10000);
	assert_int_equal(told(alice, "receipt bob 100 delivered"), 0);
	assert_int_equal(rk_client_outbox_pending(alice->client), 0);
	bad_network(w);
	rk_client_login(bob->client);
	world_until(w, bob, "message offline alice: 99", 1, 600000);
	assert_shown(bob, "alice", 0, 100);
	good_network(w);
	world_until(w, bob, "synced", 1, 60000);
	world_run(w, 30000);
	assert_int_equal(server_waiting(w->server, "bob"), 0);
	world_free(w);
}

static void
test_late_receipt(void **state)
{
	struct world *w = world_new(6);
	struct person *alice = person_registered(w, "alice"), *bob = person_registered(w, "bob");

	(void)state;
	rk_client_logout(bob->client);
	world_run(w, 100);
	say(w, alice, "bob", "0");
	world_until(w, alice, "receipt bob 1 stored", 1, 10000);
	assert_int_equal(server_waiting(w->server, "bob"), 1);
	rk_client_login(bob->client);
	world_until(w, bob, "message offline alice: 0", 1, 5000);
	world_run(w, 1000);
	/* The small server forgets whose it was with the sender's session only. */
	assert_int_equal(told(alice, "receipt bob 1 delivered"), 1);
	assert_int_equal(told(alice, "receipt bob 1"), 3);
	world_free(w);
}

static void
test_fragments(void **state)
{
	static char text[RK_TEXT_MAX + 2];
	struct world *w = world_new(7);
	struct person *alice = person_registered(w, "alice"), *bob = person_registered(w, "bob");

	(void)state;
	bad_network(w);
	for (size_t len = 1099; len <= 1101; len++) {
		memset(text, 0, sizeof(text));
		memset(text, 'a' + (int)(len % 10), len);
		say(w, alice, "bob", text);
		world_until(w, alice, "receipt bob", 2 * (len - 1098), 60000);
		assert_string_equal(told_nth(bob, "message alice: ", len - 1099) + 15, text);
	}
	memset(text, 0, sizeof(text));
	for (size_t i = 0; i < RK_TEXT_MAX; i++)
		text[i] = (char)('a' + i % 26);
	say(w, bob, "alice", "before");
	say(w, bob, "alice", text);
	say(w, bob, "alice", "after");
	world_until(w, alice, "message bob: after", 1, 60000);
	assert_string_equal(told_nth(alice, "message bob: ", 0), "message bob: before");
	assert_string_equal(told_nth(alice, "message bob: ", 1) + 13, text);
	assert_int_equal(told(alice, "message"), 3);
	/* The id of a text is that of its last fragment, at both ends. */
	assert_string_equal(told_nth(alice, "id-of-message ", 1) + 14, told_nth(bob, "id-of-sent ", 1) + 11);
	text[RK_TEXT_MAX] = 'x';
	assert_true(rk_client_send(alice->client, "bob", text, RK_TEXT_MAX + 1) > 0);
	world_until(w, alice, "refused bob 4 too_large", 1, 10);
	world_free(w);
}

static void
test_unknown_user(void **state)
{
	struct world *w = world_new(8);
	struct person *alice = person_registered(w, "alice"), *bob = person_registered(w, "bob");

	(void)state;
	say(w, alice, "nobody", "hello?");
	say(w, alice, "bob", "hello");
	world_until(w, alice, "refused nobody 1 unknown_user", 1, 5000);
	world_until(w, bob, "message alice: hello", 1, 5000);
	assert_int_equal(rk_client_send(alice->client, "Not A Name", "x", 1), -EINVAL);
	assert_int_equal(rk_client_send(alice->client, "bob", "", 0), -EINVAL);
	world_run(w, 3000);
	assert_int_equal(rk_client_outbox_pending(alice->client), 0);
	world_free(w);
}

static void
test_queued_before_login(void **state)
{
	struct world *w = world_new(9);
	struct person *bob = person_registered(w, "bob"), *alice = person_new(w, "alice", NULL);

	(void)state;
	/* A new device: the texts have no ids yet, and the name is not known. */
	person_open(w, alice);
	say(w, alice, "bob", "0");
	say(w, alice, "bob", "1");
	say(w, alice, "nobody", "0");
	assert_int_equal(told(alice, "sent"), 0);
	/* The process ends before it ever logged in. */
	person_stop(alice);
	person_open(w, alice);
	assert_int_equal(rk_client_outbox_pending(alice->client), 3);
	rk_client_register(alice->client, "password");
	rk_client_login(alice->client);
	world_until(w, bob, "message alice: 1", 1, 10000);
	assert_shown(bob, "alice", 0, 2);
	assert_int_equal(told(alice, "sent"), 3);
	world_until(w, alice, "refused nobody 3 unknown_user", 1, 10000);
	world_free(w);
}

static void
test_refused(void **state)
{
	struct world *w = world_new(10);
	struct person *alice = person_registered(w, "alice"), *bob = person_registered(w, "bob");

	(void)state;
	server_refuse(w->server, "alice", "bob", REFUSE_BLOCKED);
	say(w, alice, "bob", "x");
	world_until(w, alice, "refused bob 1 blocked", 1, 5000);
	server_refuse(w->server, "alice", "bob", REFUSE_NONE);
	say(w, alice, "bob", "y");
	world_until(w, bob, "message alice: y", 1, 1000);
	world_run(w, 60000);
	assert_int_equal(told(bob, "message"), 1);
	assert_int_equal(told(alice, "receipt bob 1"), 0);
	world_free(w);
}

/* One of ten that are on their way together is refused: the others arrive in order, without waiting for
 * long. */
static void
test_refused_in_the_middle(void **state)
{
	(void)state;
	for (unsigned nth = 1; nth <= 10; nth++) {
		for (int lossy = 0; lossy < 2; lossy++) {
			struct world *w = world_new(100 + nth);
			struct person *alice = person_registered(w, "alice"),
				      *bob = person_registered(w, "bob");
			size_t shown = 0;

			say(w, alice, "bob", "first");
			world_until(w, bob, "message alice: first", 1, 5000);
			if (lossy)
				bad_network(w);
			server_refuse_once(w->server, nth);
			for (int i = 0; i < 10; i++) {
				char text[16];

				snprintf(text, sizeof(text), "%d", i);
				rk_client_send(alice->client, "bob", text, strlen(text));
			}
			world_until(w, bob, "message alice", 10, lossy ? 60000 : 2000);
			world_until(w, alice, "refused bob", 1, 60000);
			for (int i = 0, before = -1; i < 9; i++) {
				int n = atoi(told_nth(bob, "message alice: ", (size_t)i + 1) + 15);

				assert_true(n > before);
				before = n;
				shown++;
			}
			assert_int_equal(shown, 9);
			world_run(w, 120000);
			assert_int_equal(told(bob, "message"), 10);
			assert_int_equal(told(alice, "refused"), 1);
			assert_int_equal(rk_client_outbox_pending(alice->client), 0);
			world_free(w);
		}
	}
}

static void
test_refused_fragment(void **state)
{
	static char text[5001];

	(void)state;
	for (unsigned nth = 1; nth <= 5; nth++) {
		struct world *w = world_new(200 + nth);
		struct person *alice = person_registered(w, "alice"), *bob = person_registered(w, "bob");

		memset(text, 'x', sizeof(text) - 1);
		server_refuse_once(w->server, nth);
		rk_client_send(alice->client, "bob", text, sizeof(text) - 1);
		rk_client_send(alice->client, "bob", "after", 5);
		/* The long one or the short one is refused, the other is shown, and nothing is shown in
		 * pieces. */
		world_until(w, alice, "refused bob", 1, 10000);
		world_until(w, bob, "message alice", 1, 10000);
		world_run(w, 60000);
		assert_int_equal(told(alice, "refused"), 1);
		assert_int_equal(told(bob, "message"), 1);
		if (told(alice, "refused bob 1") == 1)
			assert_int_equal(told(bob, "message alice: after"), 1);
		else
			assert_int_equal(strlen(told_nth(bob, "message alice: ", 0)), 15 + sizeof(text) - 1);
		world_free(w);
	}
}

static void
test_slow_down(void **state)
{
	struct world *w = world_new(11);
	struct person *alice = person_registered(w, "alice"), *bob = person_registered(w, "bob");

	(void)state;
	server_slow_down(w->server, 7);
	bad_network(w);
	for (int i = 0; i < 200; i++)
		say_number(w, alice, "bob", i);
	world_until(w, bob, "message alice: 199", 1, 600000);
	assert_shown(bob, "alice", 0, 200);
	assert_int_equal(told(alice, "refused"), 0);
	world_free(w);
}

/* A text without a final answer does not keep the server from forgetting all those that came after it. */
static void
test_confirmed_around_gaps(void **state)
{
	struct world *w = world_new(25);
	struct person *alice = person_registered(w, "alice"), *bob = person_registered(w, "bob"), *carol = person_registered(w, "carol");

	(void)state;
	/* What any session may have unconfirmed, and those texts that bob does not take among them. */
	server_records(w->server, 32 + 3);
	bob->deaf = true;
	for (int i = 0; i < 300; i++) {
		if (i % 100 == 0)
			say_number(w, alice, "bob", i);
		say_number(w, alice, "carol", i);
	}
	world_until(w, carol, "message alice: 299", 1, 10000);
	assert_int_equal(told(bob, "message"), 0);
	bob->deaf = false;
	world_until(w, bob, "message alice: 200", 1, 60000);
	for (int i = 0; i < 100; i++)
		say_number(w, alice, "bob", i);
	world_until(w, bob, "message alice: 99", 1, 30000);
	assert_shown(carol, "alice", 0, 300);
	assert_int_equal(told(bob, "message alice: "), 103);
	world_run(w, 2000);
	assert_int_equal(server_records_held(w->server, "alice"), 0);
	assert_int_equal(rk_client_outbox_pending(alice->client), 0);
	world_free(w);
}

static void
test_dataplane_restarts(void **state)
{
	struct world *w = world_new(12);
	struct person *alice = person_registered(w, "alice"), *bob = person_registered(w, "bob");

	(void)state;
	bad_network(w);
	for (int i = 0; i < 500; i++) {
		say_number(w, alice, "bob", i);
		say_number(w, bob, "alice", i);
		world_run(w, 20);
		if (i % 50 == 25)
			server_restart_dataplane(w->server);
	}
	world_until(w, bob, "message alice: 499", 1, 600000);
	world_until(w, alice, "message bob: 499", 1, 600000);
	assert_shown(bob, "alice", 0, 500);
	assert_shown(alice, "bob", 0, 500);
	world_free(w);
}

static void
test_sessions_lost(void **state)
{
	struct world *w = world_new(13);
	struct person *alice = person_registered(w, "alice"), *bob = person_registered(w, "bob");

	(void)state;
	bad_network(w);
	for (int i = 0; i < 300; i++) {
		say_number(w, alice, "bob", i);
		world_run(w, 30);
		if (i % 60 == 30)
			server_forget_sessions(w->server);
		if (i % 60 == 50)
			person_new_address(i % 120 < 60 ? alice : bob);
	}
	world_until(w, bob, "message", 300, 600000);
	assert_shown(bob, "alice", 0, 300);
	world_free(w);
}

/* A device that is enrolled when the conversation is long: what came before it does not hold up what comes
 * now. */
static void
test_new_device(void **state)
{
	struct world *w = world_new(14);
	struct person *alice = person_registered(w, "alice"), *bob = person_registered(w, "bob");
	struct person *second = person_new(w, "bob", NULL);
	unsigned stored;

	(void)state;
	for (stored = 0; stored < 2; stored++) {
		for (int i = 0; i < 5; i++)
			say_number(w, alice, "bob", i);
		world_until(w, bob, "id-of-message", 5 + 8 * stored, 5000);
		if (stored == 0) {
			person_open(w, second);
			rk_client_enrol(second->client, "password");
			rk_client_login(second->client);
			world_until(w, second, "login bob", 1, 5000);
		} else {
			/* Its first messages meet it away, a new device again. */
			person_stop(second);
			assert_int_equal(rk_device_key_generate(second->secret), 0);
			second->store->forget(second->store->state);
			person_open(w, second);
			rk_client_enrol(second->client, "password");
			rk_client_login(second->client);
			forget_log(second);
			world_until(w, second, "login bob", 1, 5000);
			rk_client_logout(second->client);
			world_run(w, 100);
		}
		/* The floor rises only when the device that is gone has been given up. */
		world_run(w, 60000);
		for (int i = 5; i < 8; i++) {
			say_number(w, alice, "bob", i);
			world_run(w, 1000);
		}
		if (stored == 1) {
			world_run(w, 5000);
			rk_client_login(second->client);
		}
		world_until(w, second, "id-of-message", 3, 3000);
		assert_shown(second, "alice", 5, 3);
		world_until(w, bob, "id-of-message", 8 + 8 * stored, 3000);
	}
	world_free(w);
}

static void
test_two_devices(void **state)
{
	struct world *w = world_new(15);
	struct person *alice = person_registered(w, "alice"), *bob = person_registered(w, "bob");
	struct person *second = person_new(w, "bob", NULL);

	(void)state;
	person_open(w, second);
	rk_client_enrol(second->client, "password");
	rk_client_login(second->client);
	world_until(w, second, "login bob", 1, 5000);
	bad_network(w);
	for (int i = 0; i < 100; i++) {
		say_number(w, alice, "bob", i);
		world_run(w, 10);
		if (i == 30)
			second->deaf = true;
		if (i == 60)
			second->deaf = false;
	}
	world_until(w, bob, "id-of-message", 100, 600000);
	world_until(w, second, "id-of-message", 100, 600000);
	assert_shown(bob, "alice", 0, 100);
	assert_shown(second, "alice", 0, 100);
	world_free(w);
}

/* The application is busy: nothing is acknowledged that it has not dealt with, and nothing is lost. */
static void
test_idle_application(void **state)
{
	struct world *w = world_new(16);
	struct person *alice = person_registered(w, "alice"), *bob = person_registered(w, "bob");

	(void)state;
	bob->idle = true;
	for (int i = 0; i < 50; i++)
		say_number(w, alice, "bob", i);
	world_run(w, 1000);
	assert_int_equal(told(alice, "receipt bob 1 delivered"), 0);
	assert_int_equal(told(alice, "receipt bob 1 accepted"), 1);
	world_run(w, 40000);
	assert_int_equal(told(alice, "receipt bob 50 stored"), 1);
	assert_int_equal(told(bob, "message"), 0);
	bob->idle = false;
	world_until(w, bob, "id-of-message", 50, 10000);
	world_run(w, 60000);
	assert_shown(bob, "alice", 0, 50);
	assert_int_equal(server_waiting(w->server, "bob"), 0);
	world_free(w);
}

/* A DELIVER by hand, from a device that the server does not know. */
static void
deliver(struct world *w, struct person *p, uint32_t number, device_id_t device, message_id_t id,
	message_id_t prev, message_id_t floor, const char *text)
{
	struct frame f = {.type = FRAME_DELIVER,
			  .deliver = {.delivery = number,
				      .from = 2,
				      .from_device = device,
				      .id = id,
				      .prev_delta = prev == 0 ? 0 : (uint32_t)(id - prev),
				      .floor_delta = (uint32_t)(id - floor),
				      .length = (uint16_t)strlen(text),
				      .body = (const uint8_t *)text}};
	uint8_t frame[WIRE_PLAINTEXT_MAX], data[WIRE_DATAGRAM_MAX];
	int n = frame_write(&f, frame, sizeof(frame));
	size_t len;

	assert_true(n > 0);
	len = server_seal(w->server, p->name, frame, (size_t)n, data);
	rk_client_input(p->client, w->now_us, w->wall_ms0, data, len);
	assert_null(client_check(p->client));
}

/* A RECEIPT by hand. */
static void
answer(struct world *w, struct person *p, uint8_t level, uint8_t reason, message_id_t id)
{
	uint8_t ids[8], frame[WIRE_PLAINTEXT_MAX], data[WIRE_DATAGRAM_MAX];
	struct frame f = {.type = FRAME_RECEIPT,
			  .receipt = {.level = level, .reason = reason, .count = 1, .retry_ms = reason != REFUSE_NONE ? 100 : 0, .ids = ids}};
	int n;

	wire_receipt_put(ids, 0, id);
	n = frame_write(&f, frame, sizeof(frame));
	assert_true(n > 0);
	rk_client_input(p->client, w->now_us, w->wall_ms0, data, server_seal(w->server, p->name, frame, (size_t)n, data));
	assert_null(client_check(p->client));
}

/* The server forgot all fragments but the last one, which has the conversation's only place and was not heard: it is sent again, or nothing
 * ever is. */
static void
test_last_fragment_has_the_place(void **state)
{
	enum { FRAGMENTS = 7 };
	static char text[(FRAGMENTS - 1) * MESSAGE_BODY_MAX + 2];
	struct world *w = world_new(26);
	struct person *alice = person_registered(w, "alice"), *bob = person_registered(w, "bob");
	message_id_t id;

	(void)state;
	say(w, alice, "bob", "0");
	world_until(w, alice, "receipt bob 1 delivered", 1, 5000);
	memset(text, 'x', sizeof(text) - 1);
	alice->deaf = true;
	rk_client_send(alice->client, "bob", text, sizeof(text) - 1);
	for (id = 2; id <= FRAGMENTS; id++) {
		world_run(w, 20);
		answer(w, alice, RECEIPT_ACCEPTED, REFUSE_NONE, id);
	}
	world_run(w, 20);
	for (id = 2; id <= FRAGMENTS; id++)
		answer(w, alice, RECEIPT_REFUSED, REFUSE_SLOW_DOWN, id);
	world_run(w, 200);
	alice->deaf = false;
	world_until(w, bob, "message alice: x", 1, 30000);
	assert_int_equal(strlen(told_nth(bob, "message alice: x", 0)), 15 + sizeof(text) - 1);
	world_until(w, alice, "receipt bob 2 delivered", 1, 5000);
	world_free(w);
}

static void
test_held(void **state)
{
	struct world *w = world_new(17);
	struct person *alice = person_registered(w, "alice"), *bob = person_registered(w, "bob");
	struct rk_stats stats;

	(void)state;
	(void)bob;
	deliver(w, alice, 1001, 50, 3, 2, 0, "3");
	deliver(w, alice, 1002, 50, 2, 1, 0, "2");
	deliver(w, alice, 1003, 50, 3, 2, 0, "3");
	world_run(w, 5000);
	assert_int_equal(told(alice, "message"), 0);
	rk_client_stats(alice->client, &stats);
	assert_int_equal(stats.held, 2);
	assert_int_equal(stats.duplicates, 1);
	deliver(w, alice, 1004, 50, 1, 0, 0, "1");
	world_run(w, 5000);
	assert_shown(alice, "bob", 1, 3);
	/* The predecessor was settled without ever coming here: asked for, then released. */
	deliver(w, alice, 1005, 50, 9, 8, 8, "4");
	world_until(w, alice, "message bob: 4", 1, 1000);
	/* It is not settled: a day. */
	deliver(w, alice, 1006, 50, 20, 19, 9, "5");
	world_run(w, UINT64_C(23) * 3600 * 1000);
	assert_int_equal(told(alice, "message bob: 5"), 0);
	world_run(w, UINT64_C(2) * 3600 * 1000);
	assert_int_equal(told(alice, "message bob: 5"), 1);
	/* A NUDGE by its floor: shown is what waited, not the NUDGE. */
	deliver(w, alice, 2001, 50, 23, 22, 20, "6");
	world_run(w, 5000);
	assert_int_equal(told(alice, "message bob: 6"), 0);
	{
		struct frame f = {.type = FRAME_DELIVER,
				  .deliver = {.flags = MESSAGE_NUDGE,
					      .delivery = 2002,
					      .from = 2,
					      .from_device = 50,
					      .id = 24,
					      .prev_delta = 1,
					      .floor_delta = 1,
					      .body = (const uint8_t *)""}};
		uint8_t frame[WIRE_PLAINTEXT_MAX], data[WIRE_DATAGRAM_MAX];
		int n = frame_write(&f, frame, sizeof(frame));
		size_t len = server_seal(w->server, "alice", frame, (size_t)n, data);

		rk_client_input(alice->client, w->now_us, w->wall_ms0, data, len);
	}
	world_run(w, 5000);
	assert_int_equal(told(alice, "message bob: 6"), 1);
	assert_int_equal(told(alice, "message"), 6);
	rk_client_stats(alice->client, &stats);
	assert_int_equal(stats.held, 0);
	world_free(w);
}

/* The answer to FetchStored says nothing about what was named in it, nor about what is behind that. */
static void
test_fetch_says_no_more(void **state)
{
	struct world *w = world_new(22);
	struct person *alice = person_registered(w, "alice"), *bob = person_registered(w, "bob");
	const struct sender *s;

	(void)state;
	(void)bob;
	deliver(w, alice, 1001, 50, 10, 9, 9, "10");
	deliver(w, alice, 1002, 50, 15, 14, 14, "15");
	deliver(w, alice, 1003, 50, 21, 20, 20, "21");
	s = alice->client->inbox.senders;
	while (told(alice, "message bob: 10") == 0) {
		world_run(w, 1);
		assert_true(s->settled == 0 || s->settled == 9);
	}
	/* Each of the others with an answer of its own. */
	world_until(w, alice, "message bob: 15", 1, 1000);
	assert_int_equal(s->settled, 14);
	world_until(w, alice, "message bob: 21", 1, 1000);
	assert_int_equal(s->settled, 20);
	/* A question that is open when the session ends is asked anew. */
	deliver(w, alice, 1004, 50, 30, 29, 29, "30");
	assert_true(alice->client->inbox.fetching);
	server_restart_dataplane(w->server);
	world_until(w, alice, "message bob: 30", 1, 5000);
	world_free(w);
}

/* The name of an account that is gone. */
static void
test_unknown_sender(void **state)
{
	struct world *w = world_new(18);
	struct person *bob = person_registered(w, "bob");
	struct frame f = {.type = FRAME_DELIVER,
			  .deliver = {.delivery = 77,
				      .from = 12345,
				      .from_device = 9,
				      .id = 1,
				      .length = 2,
				      .floor_delta = 1,
				      .body = (const uint8_t *)"hi"}};
	uint8_t frame[WIRE_PLAINTEXT_MAX], data[WIRE_DATAGRAM_MAX];
	int n = frame_write(&f, frame, sizeof(frame));

	(void)state;
	rk_client_input(bob->client, w->now_us, w->wall_ms0, data,
			server_seal(w->server, "bob", frame, (size_t)n, data));
	world_until(w, bob, "message user-12345: hi", 1, 5000);
	world_free(w);
}

static void
test_inbox_bound(void **state)
{
	struct world *w = world_new(19);
	struct person *alice = person_registered(w, "alice"), *bob = person_registered(w, "bob");
	struct rk_stats stats;

	(void)state;
	(void)bob;
	for (uint32_t i = 2; i < 20000; i++)
		deliver(w, alice, 100000 + i, 50, i, i - 1, 0, "x");
	rk_client_stats(alice->client, &stats);
	assert_int_equal(stats.held, 4096);
	/* More senders than are kept in memory. */
	for (uint32_t i = 0; i < 10000; i++)
		deliver(w, alice, 300000 + i, 1000 + i, 1, 0, 0, "y");
	assert_true(alice->client->inbox.n_senders <= SENDERS_MAX);
	world_free(w);
}

static void
test_requests(void **state)
{
	struct world *w = world_new(20);
	struct person *alice = person_registered(w, "alice"), *bob = person_registered(w, "bob");
	int64_t n;

	(void)state;
	person_registered(w, "carol");
	bad_network(w);
	server_page(w->server, 1);
	n = rk_client_list_buddies(alice->client);
	assert_true(n > 0);
	world_until(w, alice, "buddies 3", 1, 60000);
	assert_int_equal(rk_client_requests_pending(alice->client), 0);
	rk_client_add_buddy(alice->client, "bob", "let me in");
	world_until(w, bob, "buddy_request alice: let me in", 1, 60000);
	rk_client_set_presence(alice->client, RK_STATUS_AWAY, "lunch");
	world_until(w, bob, "presence alice away: lunch", 1, 60000);
	n = rk_client_resolve(alice->client, "carol");
	assert_true(n > 0);
	world_until(w, alice, "response 4 ok 1", 1, 60000);
	while (rk_client_requests_pending(alice->client) > 0)
		assert_true(world_step(w));
	assert_int_equal(rk_client_set_presence(alice->client, RK_STATUS_OFFLINE, NULL), -EINVAL);
	assert_int_equal(rk_client_add_buddy(alice->client, "not valid", NULL), -EINVAL);
	for (int i = 0; i < 64; i++)
		assert_true(rk_client_resolve(alice->client, "carol") > 0);
	assert_int_equal(rk_client_resolve(alice->client, "carol"), -EAGAIN);
	server_restart_dataplane(w->server);
	world_until(w, alice, "response", 67, 600000);
	assert_int_equal(told(alice, "response"), 67);
	assert_int_equal(told(bob, "presence alice"), 1);
	assert_int_equal(told(bob, "buddy_request"), 1);
	world_free(w);
}

static void
test_outbox_bound(void **state)
{
	struct world *w = world_new(21);
	struct person *alice = person_registered(w, "alice");

	(void)state;
	alice->deaf = true;
	for (int i = 0; i < 10000; i++)
		assert_true(rk_client_send(alice->client, "bob", "x", 1) > 0);
	assert_int_equal(rk_client_send(alice->client, "bob", "x", 1), -EAGAIN);
	assert_int_equal(rk_client_outbox_pending(alice->client), 10000);
	world_free(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_simple),
		cmocka_unit_test(test_thousand),
		cmocka_unit_test(test_offline),
		cmocka_unit_test(test_late_receipt),
		cmocka_unit_test(test_fragments),
		cmocka_unit_test(test_unknown_user),
		cmocka_unit_test(test_queued_before_login),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_refused_in_the_middle),
		cmocka_unit_test(test_refused_fragment),
		cmocka_unit_test(test_slow_down),
		cmocka_unit_test(test_confirmed_around_gaps),
		cmocka_unit_test(test_dataplane_restarts),
		cmocka_unit_test(test_sessions_lost),
		cmocka_unit_test(test_new_device),
		cmocka_unit_test(test_two_devices),
		cmocka_unit_test(test_idle_application),
		cmocka_unit_test(test_last_fragment_has_the_place),
		cmocka_unit_test(test_held),
		cmocka_unit_test(test_fetch_says_no_more),
		cmocka_unit_test(test_unknown_sender),
		cmocka_unit_test(test_inbox_bound),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_outbox_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
