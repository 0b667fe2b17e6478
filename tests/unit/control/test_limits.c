/* SPDX-License-Identifier: BSD-3-Clause */
/* What one peer may ask of control, and who is not disturbed by it. */
#include "harness.h"

#include "control/core.h"

#include <stdio.h>
#include <string.h>

static void
set_host(struct harness *h, const struct client *c, const char *address)
{
	assert_int_equal(endpoint_parse(&session_get(h->server, c->sid)->peer, address, 1000), 0);
}

/* A device that is not enrolled, at an address. */
static void
stranger(struct harness *h, struct client *c, const char *address)
{
	client_init(c, 0);
	assert_true(client_login(h, c, ""));
	assert_int_equal(c->result, ROOKERY__LOGIN_RESULT__LOGIN_RESTRICTED);
	set_host(h, c, address);
}

static uint32_t
enrol_wait(struct harness *h, struct client *c, const char *password)
{
	Rookery__Request q = ROOKERY__REQUEST__INIT;
	Rookery__Enrol b = ROOKERY__ENROL__INIT;
	Rookery__Response *r;
	uint32_t wait;

	b.user = (char *)"alice";
	b.password = (char *)(uintptr_t)password;
	q.body_case = ROOKERY__REQUEST__BODY_ENROL;
	q.enrol = &b;
	r = client_request(h, c, &q);
	assert_non_null(r);
	wait = r->code == ROOKERY__CODE__CODE_SLOW_DOWN ? r->retry_ms : 0;
	if (wait == 0)
		assert_true(r->code == ROOKERY__CODE__CODE_OK || r->code == ROOKERY__CODE__CODE_PASSWORD_WRONG);
	rookery__response__free_unpacked(r, NULL);
	return wait;
}

/* One account, guesses from everywhere: delays double; its owner's devices are not locked out. */
static void
test_guesses_of_an_account(void **state)
{
	struct harness *h = *state;
	struct client alice, phone, thief;
	uint32_t wait = 0;
	char address[32];

	client_init(&alice, 0);
	client_register(h, &alice, "alice", "secret1");
	set_host(h, &alice, "192.0.2.1");
	for (unsigned i = 0; i < h->config->limits.account_guesses; i++) {
		snprintf(address, sizeof(address), "198.51.100.%u", i);
		stranger(h, &thief, address);
		assert_int_equal(enrol_wait(h, &thief, "guess"), 0);
	}
	for (unsigned i = 0; i < 12; i++) {
		snprintf(address, sizeof(address), "198.51.101.%u", i);
		stranger(h, &thief, address);
		wait = enrol_wait(h, &thief, "secret1");
		assert_int_equal(wait, i < 10 ? 1000u << i : 900000);
		harness_advance(h, wait - 1);
		stranger(h, &thief, address);
		assert_int_equal(enrol_wait(h, &thief, "guess"), 1);
		harness_advance(h, 1);
		stranger(h, &thief, address);
		assert_int_equal(enrol_wait(h, &thief, "guess"), 0);
		if (i == 4) {
			/* Her device comes back as ever, and at home she enrols another. */
			assert_true(client_login(h, &alice, "alice"));
			assert_int_equal(alice.result, ROOKERY__LOGIN_RESULT__LOGIN_OK);
			set_host(h, &alice, "192.0.2.1");
		}
	}
	assert_true(client_login(h, &alice, "alice"));
	set_host(h, &alice, "192.0.2.1");
	stranger(h, &phone, "192.0.2.1:7");
	assert_int_equal(enrol_wait(h, &phone, "secret1"), 0);
	/* It was she: the account is as before. */
	stranger(h, &thief, "198.51.102.1");
	assert_int_equal(enrol_wait(h, &thief, "guess"), 0);
}

/* One host, guesses at many accounts; another host is not concerned. */
static void
test_guesses_of_a_host(void **state)
{
	struct harness *h = *state;
	struct client users[30], thief, honest;
	unsigned tried = 0;

	for (unsigned i = 0; i < 30; i++) {
		char name[32];

		snprintf(name, sizeof(name), "user%u", i);
		client_init(&users[i], 1);
		client_register(h, &users[i], name, "secret1");
	}
	for (unsigned i = 0; i < 30; i++) {
		char name[32];
		Rookery__Code code;

		snprintf(name, sizeof(name), "user%u", i);
		stranger(h, &thief, "[2001:db8::1]:1");
		code = client_enrol(h, &thief, name, "guess");
		tried += code == ROOKERY__CODE__CODE_PASSWORD_WRONG;
		if (code != ROOKERY__CODE__CODE_PASSWORD_WRONG)
			assert_int_equal(code, ROOKERY__CODE__CODE_SLOW_DOWN);
	}
	assert_int_equal(tried, h->config->limits.prefix_guesses);
	/* Another address of the same /64 is the same host. */
	stranger(h, &thief, "[2001:db8::2]:1");
	assert_int_equal(client_enrol(h, &thief, "user29", "secret1"), ROOKERY__CODE__CODE_SLOW_DOWN);
	stranger(h, &honest, "[2001:db8:0:1::2]:1");
	assert_int_equal(client_enrol(h, &honest, "user29", "secret1"), ROOKERY__CODE__CODE_OK);
	harness_advance(h, 1001);
	stranger(h, &honest, "[2001:db8::3]:1");
	assert_int_equal(client_enrol(h, &honest, "user28", "secret1"), ROOKERY__CODE__CODE_OK);
}

static void
test_buddy_requests(void **state)
{
	struct harness *h = *state;
	struct client spammer, users[8];
	char name[32];

	h->config->limits.buddy_requests_open = 5;
	client_init(&spammer, 0);
	client_register(h, &spammer, "spammer", "secret1");
	for (unsigned i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "user%u", i);
		client_init(&users[i], 1);
		client_register(h, &users[i], name, "secret1");
	}
	for (unsigned i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "user%u", i);
		assert_int_equal(client_add(h, &spammer, name, "buy"),
				 i < 5 ? ROOKERY__CODE__CODE_OK : ROOKERY__CODE__CODE_LIMIT);
	}
	/* Another text is another request, until the day's are spent. */
	for (unsigned i = 0, ok = 0; i < h->config->limits.buddy_requests_per_day + 10; i++) {
		char text[32];
		Rookery__Code code;

		h->config->limits.buddy_requests_open = 100;
		snprintf(text, sizeof(text), "buy %u", i);
		code = client_add(h, &spammer, "user0", text);
		ok += code == ROOKERY__CODE__CODE_OK;
		if (code != ROOKERY__CODE__CODE_OK)
			assert_int_equal(code, ROOKERY__CODE__CODE_SLOW_DOWN);
		assert_true(ok + 5 <= h->config->limits.buddy_requests_per_day);
	}
	/* Others add whom they like. */
	assert_int_equal(client_add(h, &users[1], "user2", "hi"), ROOKERY__CODE__CODE_OK);
	harness_advance(h, 86400000 / h->config->limits.buddy_requests_per_day + 1);
	assert_int_equal(client_add(h, &spammer, "user6", "buy"), ROOKERY__CODE__CODE_OK);
}

static Rookery__Code
set_presence(struct harness *h, struct client *c, const char *text, uint32_t *retry_ms)
{
	Rookery__Request q = ROOKERY__REQUEST__INIT;
	Rookery__SetPresence b = ROOKERY__SET_PRESENCE__INIT;
	Rookery__Response *r;
	Rookery__Code code;

	b.status = ROOKERY__STATUS__STATUS_AWAY;
	b.text = (char *)(uintptr_t)text;
	q.body_case = ROOKERY__REQUEST__BODY_SET_PRESENCE;
	q.set_presence = &b;
	r = client_request(h, c, &q);
	assert_non_null(r);
	code = r->code;
	*retry_ms = r->retry_ms;
	rookery__response__free_unpacked(r, NULL);
	return code;
}

static Rookery__Response *
search(struct harness *h, struct client *c, const char *prefix)
{
	Rookery__Request q = ROOKERY__REQUEST__INIT;
	Rookery__SearchUser b = ROOKERY__SEARCH_USER__INIT;

	b.prefix = (char *)(uintptr_t)prefix;
	b.limit = UINT32_MAX;
	q.body_case = ROOKERY__REQUEST__BODY_SEARCH_USER;
	q.search_user = &b;
	return client_request(h, c, &q);
}

static void
test_presence_and_searches(void **state)
{
	struct harness *h = *state;
	struct client alice, bob;
	unsigned changed = 0, found = 0;
	uint32_t retry_ms;

	h->config->limits.search_rows = 1;
	client_init(&alice, 0);
	client_register(h, &alice, "alice", "secret1");
	client_init(&bob, 1);
	client_register(h, &bob, "bob", "secret1");
	for (unsigned i = 0; i < 100; i++) {
		char text[16];
		Rookery__Response *r = search(h, &alice, "b");

		snprintf(text, sizeof(text), "text %u", i);
		if (set_presence(h, &alice, text, &retry_ms) == ROOKERY__CODE__CODE_OK)
			changed++;
		else
			assert_in_range(retry_ms, 1, 1000);
		assert_non_null(r);
		assert_true(r->users == NULL || r->users->n_users <= 1);
		found += r->code == ROOKERY__CODE__CODE_OK;
		rookery__response__free_unpacked(r, NULL);
	}
	assert_int_equal(changed, h->config->limits.presence_changes_per_minute);
	assert_int_equal(found, h->config->limits.searches_per_minute);
	assert_int_equal(set_presence(h, &bob, "me", &retry_ms), ROOKERY__CODE__CODE_OK);
	harness_advance(h, 1000);
	assert_int_equal(set_presence(h, &alice, "again", &retry_ms), ROOKERY__CODE__CODE_OK);
}

static void
test_logins_of_a_device(void **state)
{
	struct harness *h = *state;
	struct client alice, bob;
	unsigned ok = 0;

	client_init(&alice, 0);
	client_register(h, &alice, "alice", "secret1");
	for (unsigned i = 0; i < 100; i++) {
		assert_true(client_login(h, &alice, "alice"));
		ok += alice.result == ROOKERY__LOGIN_RESULT__LOGIN_OK;
		if (alice.result != ROOKERY__LOGIN_RESULT__LOGIN_OK)
			assert_int_equal(alice.result, ROOKERY__LOGIN_RESULT__LOGIN_BUSY);
	}
	assert_int_equal(ok, h->config->limits.device_logins_per_minute - 1);
	client_init(&bob, 0);
	client_register(h, &bob, "bob", "secret1");
	harness_advance(h, 1000);
	assert_true(client_login(h, &alice, "alice"));
	assert_int_equal(alice.result, ROOKERY__LOGIN_RESULT__LOGIN_OK);
}

/* LOGINs whose senders never hear the reply: newer ones take their places, and whoever speaks keeps his. */
static void
test_strangers_that_never_speak(void **state)
{
	struct harness *h = *state;
	struct client spoofed, honest;
	unsigned max = WORKERS * SLOTS / 8 + 1;

	client_init(&honest, 0);
	assert_true(client_login(h, &honest, ""));
	session_event(h, honest.sid, SESSION_HEARD);
	for (unsigned i = 0; i < 10 * max; i++) {
		client_init(&spoofed, i % WORKERS);
		assert_true(client_login(h, &spoofed, ""));
		assert_int_equal(spoofed.result, ROOKERY__LOGIN_RESULT__LOGIN_RESTRICTED);
		assert_true(h->server->restricted_count <= max);
	}
	assert_non_null(session_get(h->server, honest.sid));
	client_init(&spoofed, 0);
	client_register(h, &spoofed, "newcomer", "secret1");
}

/* A host that opens sessions and speaks in all of them has a share; others come in. */
static void
test_strangers_of_one_host(void **state)
{
	struct harness *h = *state;
	struct client bot, honest;
	unsigned max = WORKERS * SLOTS / 8 + 1, in = 0;

	for (unsigned i = 0; i < 2 * max; i++) {
		client_init(&bot, i % WORKERS);
		assert_true(client_login(h, &bot, ""));
		if (bot.result != ROOKERY__LOGIN_RESULT__LOGIN_RESTRICTED)
			continue;
		in++;
		session_event(h, bot.sid, SESSION_HEARD);
	}
	assert_in_range(in, max / 2, max / 2 + 1);
	/* What is left is for hosts that have nothing: harness clients share an address, so those are moved away. */
	for (struct session *n = h->server->restricted; n != NULL; n = n->restricted_next)
		assert_int_equal(endpoint_parse(&n->peer, "198.51.100.9", 1), 0);
	client_init(&honest, 0);
	client_register(h, &honest, "honest", "secret1");
}

/* The queue of passwords: one host does not fill it for all. */
static void
test_password_queue(void **state)
{
	struct harness *h = *state;
	struct client bots[12], honest;
	struct password_job *jobs[PASSWORD_QUEUE_MAX];
	unsigned n = 0;

	/* As if registrations from one host were waiting, as many as it may have. */
	stranger(h, &bots[0], "198.51.100.9");
	h->hold_jobs = true;
	while (!password_crowded(h->server, &session_get(h->server, bots[0].sid)->peer)) {
		jobs[n] = password_job_new(h->server, PASSWORD_VERIFY);
		assert_non_null(jobs[n]);
		jobs[n]->peer = session_get(h->server, bots[0].sid)->peer;
		jobs[n]->next = h->server->password_queue;
		if (h->server->password_queue == NULL)
			h->server->password_tail = &jobs[n]->next;
		h->server->password_queue = jobs[n++];
		h->server->password_waiting++;
	}
	assert_in_range(n, PASSWORD_QUEUE_MAX / 4, PASSWORD_QUEUE_MAX / 2);
	stranger(h, &honest, "203.0.113.1");
	assert_false(password_crowded(h->server, &session_get(h->server, honest.sid)->peer));
	while (n-- > 0)
		password_job_free(jobs[n]);
	h->server->password_queue = NULL;
	h->server->password_tail = &h->server->password_queue;
	h->server->password_waiting = 0;
	h->hold_jobs = false;
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, harness_setup, harness_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_guesses_of_an_account),  TEST(test_guesses_of_a_host),
		TEST(test_buddy_requests),         TEST(test_presence_and_searches),
		TEST(test_logins_of_a_device),     TEST(test_strangers_that_never_speak),
		TEST(test_strangers_of_one_host),  TEST(test_password_queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
