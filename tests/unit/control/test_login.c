// SPDX-License-Identifier: BSD-3-Clause
/* Logins, accounts, requests: cells in, cells out. */
#include "harness.h"

#include "control/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static Rookery__Code
ask(struct harness *h, struct client *c, Rookery__Request *q)
{
	Rookery__Response *r = client_request(h, c, q);
	Rookery__Code code = r == NULL ? ROOKERY__CODE__CODE_UNSPECIFIED : r->code;

	if (r != NULL)
		rookery__response__free_unpacked(r, NULL);
	return code;
}

static Rookery__Code
try_register(struct harness *h, struct client *c, const char *name, const char *password)
{
	Rookery__Request q = ROOKERY__REQUEST__INIT;
	Rookery__Register b = ROOKERY__REGISTER__INIT;

	b.user = (char *)(uintptr_t)name;
	b.password = (char *)(uintptr_t)password;
	q.body_case = ROOKERY__REQUEST__BODY_REGISTER;
	q.register_ = &b;
	return ask(h, c, &q);
}

static void
test_register_then_login(void **state)
{
	struct harness *h = *state;
	const struct cell *c;
	struct client alice;
	session_id_t first;

	client_init(&alice, 1);
	assert_true(client_login(h, &alice, "Alice"));
	assert_int_equal(alice.result, ROOKERY__LOGIN_RESULT__LOGIN_RESTRICTED);
	assert_int_equal(session_id_worker(alice.sid), 1);
	c = harness_find(h, INJECT_SESSION_ADD, 0);
	assert_non_null(c);
	assert_true(c->session_add.sid == alice.sid);
	assert_int_equal(c->session_add.flags, SESSION_RESTRICTED);
	assert_int_equal(c->session_add.user, 0);
	/* the session before the reply, on the same ring */
	assert_int_equal(h->sent[0].cell.type, INJECT_SESSION_ADD);
	assert_int_equal(h->sent[1].cell.type, INJECT_DATAGRAM);
	assert_int_equal(h->sent[0].ring, 1);

	assert_int_equal(try_register(h, &alice, "Alice", "secret1"), ROOKERY__CODE__CODE_OK);
	c = harness_find(h, INJECT_SESSION_UPDATE, 0);
	assert_non_null(c);
	assert_int_equal(c->session_update.flags, 0);
	assert_int_not_equal(c->session_update.user, 0);
	c = harness_find(h, TABLE_USER_SET, 0);
	assert_non_null(c);
	assert_int_equal(c->user.live_count, 1);
	assert_int_equal(c->user.away, 0);
	assert_true(c->user.live[0].sid == alice.sid);

	/* later the device key is enough, and the old session goes */
	first = alice.sid;
	assert_true(client_login(h, &alice, "alice"));
	assert_int_equal(alice.result, ROOKERY__LOGIN_RESULT__LOGIN_OK);
	assert_int_not_equal(alice.user, 0);
	assert_true(alice.sid != first);
	c = harness_find(h, INJECT_SESSION_DEL, 0);
	assert_non_null(c);
	assert_true(c->session_del.sid == first);
	assert_int_equal(c->session_del.reason, CLOSE_REPLACED);
	assert_true(client_login(h, &alice, "bob"));
	assert_int_equal(alice.result, ROOKERY__LOGIN_RESULT__LOGIN_WRONG_USER);
}

static void
test_keys_fit(void **state)
{
	struct harness *h = *state;
	struct session_keys keys;
	const struct cell *c;
	struct client alice;

	client_init(&alice, 0);
	assert_true(client_login(h, &alice, ""));
	c = harness_find(h, INJECT_SESSION_ADD, 0);
	session_keys_derive(&keys, &alice.secret, 0);
	assert_memory_equal(&keys, &c->session_add.keys, sizeof(keys));
	assert_int_equal(c->session_add.epoch, 0);
}

static void
test_login_retransmitted(void **state)
{
	struct harness *h = *state;
	struct client alice;
	struct cell first;
	session_id_t sid;

	client_init(&alice, 0);
	client_register(h, &alice, "alice", "secret1");
	assert_true(client_login(h, &alice, "alice"));
	sid = alice.sid;
	first = *harness_find(h, INJECT_DATAGRAM, 0);
	assert_true(client_login_again(h, &alice));
	assert_true(alice.sid == sid);
	assert_int_equal(harness_sent_count(h, INJECT_SESSION_ADD), 0);
	assert_int_equal(harness_find(h, INJECT_DATAGRAM, 0)->length, first.length);
	assert_memory_equal(harness_find(h, INJECT_DATAGRAM, 0)->data, first.data, first.length);
	/* also when control has forgotten it: the worker then ignores the second SESSION_ADD */
	harness_restart(h, 1);
	assert_true(client_login_again(h, &alice));
	assert_true(alice.sid == sid);
	assert_memory_equal(harness_find(h, INJECT_DATAGRAM, 0)->data, first.data, first.length);
	assert_true(harness_find(h, INJECT_SESSION_ADD, 0)->session_add.sid == sid);
}

static void
test_login_twice_in_one_batch(void **state)
{
	struct harness *h = *state;
	const struct cell *cells[2];
	struct client alice;
	struct cell c;

	client_init(&alice, 0);
	client_register(h, &alice, "alice", "secret1");
	assert_true(client_login(h, &alice, "alice"));
	/* a fresh LOGIN, taken from the client but given by hand, twice */
	h->room = 0;
	client_login(h, &alice, "alice");
	memset(&c, 0, sizeof(c));
	c.type = PUNT_LOGIN;
	c.length = alice.login_length;
	memcpy(c.data, alice.login, c.length);
	cells[0] = cells[1] = &c;
	h->room = UINT32_MAX;
	server_flush(h->server);
	harness_sent_clear(h);
	harness_cells(h, cells, 2);
	assert_int_equal(harness_sent_count(h, INJECT_DATAGRAM), 2); /* both from the cache */
	assert_int_equal(harness_sent_count(h, INJECT_SESSION_ADD), 0);
}

static void
test_login_replayed(void **state)
{
	struct harness *h = *state;
	struct client alice;
	session_id_t sid;

	client_init(&alice, 0);
	client_register(h, &alice, "alice", "secret1");
	assert_true(client_login(h, &alice, "alice"));
	sid = alice.sid;
	alice.timestamp--; /* the same timestamp in a new handshake */
	assert_true(client_login(h, &alice, "alice"));
	assert_int_equal(alice.result, ROOKERY__LOGIN_RESULT__LOGIN_REPLAYED);
	assert_true(alice.sid == sid);
	assert_int_equal(harness_sent_count(h, INJECT_SESSION_DEL), 0);
}

static void
test_login_garbage(void **state)
{
	struct harness *h = *state;
	struct client alice;

	client_init(&alice, 0);
	assert_true(client_login(h, &alice, ""));
	alice.login[100] ^= 1;
	assert_false(client_login_again(h, &alice));
	alice.login_length = 30;
	assert_false(client_login_again(h, &alice));
	alice.login_length = 1;
	assert_false(client_login_again(h, &alice));
}

static void
test_restricted_session_is_bounded(void **state)
{
	struct harness *h = *state;
	struct client c;
	unsigned granted = 0;

	for (unsigned i = 0; i < 40; i++) {
		client_init(&c, i % WORKERS);
		assert_true(client_login(h, &c, ""));
		if (c.result == ROOKERY__LOGIN_RESULT__LOGIN_RESTRICTED) {
			/* They speak, and each from another address. */
			session_event(h, c.sid, SESSION_HEARD);
			session_get(h->server, c.sid)->peer.ip[15] = (uint8_t)(100 + granted++);
		} else {
			assert_int_equal(c.result, ROOKERY__LOGIN_RESULT__LOGIN_BUSY);
		}
	}
	assert_int_equal(granted, WORKERS * SLOTS / 8 + 1);
	/* kept alive by heartbeats, they still end */
	harness_sent_clear(h);
	harness_advance(h, h->config->session.restricted_ms + 1);
	assert_int_equal(harness_sent_count(h, INJECT_SESSION_DEL), granted);
	assert_int_equal(harness_find(h, INJECT_SESSION_DEL, 0)->session_del.reason, CLOSE_EXPIRED);
	assert_true(client_login(h, &c, ""));
	assert_int_equal(c.result, ROOKERY__LOGIN_RESULT__LOGIN_RESTRICTED);
}

static void
test_slots_run_out(void **state)
{
	struct harness *h = *state;
	struct client c[SLOTS + 1];
	session_id_t freed;

	for (unsigned i = 0; i <= SLOTS; i++) {
		char name[16];

		client_init(&c[i], 0);
		if (i < SLOTS) {
			snprintf(name, sizeof(name), "user%u", i);
			client_register(h, &c[i], name, "secret1");
		}
	}
	assert_true(client_login(h, &c[SLOTS], ""));
	assert_int_equal(c[SLOTS].result, ROOKERY__LOGIN_RESULT__LOGIN_BUSY);
	freed = c[5].sid;
	session_event(h, freed, SESSION_CLOSED);
	assert_true(client_login(h, &c[SLOTS], ""));
	assert_int_equal(c[SLOTS].result, ROOKERY__LOGIN_RESULT__LOGIN_RESTRICTED);
	assert_int_equal(session_id_index(c[SLOTS].sid), session_id_index(freed));
	assert_int_equal(session_id_generation(c[SLOTS].sid), session_id_generation(freed) + 1);
}

static void
test_register_refusals(void **state)
{
	struct harness *h = *state;
	struct client alice, bob;

	client_init(&alice, 0);
	client_register(h, &alice, "alice", "secret1");
	client_init(&bob, 0);
	assert_true(client_login(h, &bob, ""));
	assert_int_equal(try_register(h, &bob, "ALICE", "secret1"), ROOKERY__CODE__CODE_NAME_TAKEN);
	assert_int_equal(try_register(h, &bob, "1bob", "secret1"), ROOKERY__CODE__CODE_NAME_INVALID);
	assert_int_equal(try_register(h, &bob, "", "secret1"), ROOKERY__CODE__CODE_NAME_INVALID);
	assert_int_equal(try_register(h, &bob, "b ob", "secret1"), ROOKERY__CODE__CODE_NAME_INVALID);
	assert_int_equal(try_register(h, &bob, "abcdefghijklmnopqrstuvwxyz0123456", "secret1"),
			 ROOKERY__CODE__CODE_NAME_INVALID);
	assert_int_equal(try_register(h, &bob, "bob", "12345"), ROOKERY__CODE__CODE_PASSWORD_WEAK);
	h->config->control.registration = false;
	assert_int_equal(try_register(h, &bob, "bob", "secret1"), ROOKERY__CODE__CODE_REGISTRATION_CLOSED);
	h->config->control.registration = true;
	assert_int_equal(try_register(h, &bob, "bob", "secret1"), ROOKERY__CODE__CODE_OK);
	/* said again with another number (control was killed before it answered): the same device, the same
	 * account */
	assert_int_equal(try_register(h, &bob, "bob", "secret1"), ROOKERY__CODE__CODE_OK);
	assert_int_equal(try_register(h, &bob, "bobby", "secret1"), ROOKERY__CODE__CODE_MALFORMED);
}

static void
test_name_taken_while_hashing(void **state)
{
	struct harness *h = *state;
	Rookery__Request q = ROOKERY__REQUEST__INIT;
	Rookery__Register b = ROOKERY__REGISTER__INIT;
	struct client one, two;
	Rookery__Response *r;

	client_init(&one, 0);
	client_init(&two, 0);
	assert_true(client_login(h, &one, ""));
	assert_true(client_login(h, &two, ""));
	b.user = (char *)(uintptr_t)"alice";
	b.password = (char *)(uintptr_t)"secret1";
	q.body_case = ROOKERY__REQUEST__BODY_REGISTER;
	q.register_ = &b;
	h->hold_jobs = true;
	assert_null(client_request(h, &one, &q));
	assert_null(client_request(h, &two, &q));
	assert_int_equal(h->job_count, 2);
	h->hold_jobs = false;
	harness_sent_clear(h);
	harness_settle(h);
	/* the last one queued is hashed first here */
	r = client_response(h, &two, two.request);
	assert_non_null(r);
	assert_int_equal(r->code, ROOKERY__CODE__CODE_OK);
	rookery__response__free_unpacked(r, NULL);
	r = client_response(h, &one, one.request);
	assert_non_null(r);
	assert_int_equal(r->code, ROOKERY__CODE__CODE_NAME_TAKEN);
	rookery__response__free_unpacked(r, NULL);
}

static void
test_enrol(void **state)
{
	struct harness *h = *state;
	struct client alice, phone;

	client_init(&alice, 0);
	client_register(h, &alice, "alice", "secret1");
	client_init(&phone, 1);
	assert_true(client_login(h, &phone, "alice"));
	assert_int_equal(phone.result, ROOKERY__LOGIN_RESULT__LOGIN_RESTRICTED);
	assert_int_equal(client_enrol(h, &phone, "nobody", "secret1"), ROOKERY__CODE__CODE_UNKNOWN_USER);
	assert_int_equal(client_enrol(h, &phone, "alice", "wrong"), ROOKERY__CODE__CODE_PASSWORD_WRONG);
	assert_int_equal(client_enrol(h, &phone, "alice", "secret1"), ROOKERY__CODE__CODE_OK);
	assert_int_equal(phone.user, alice.user);
	assert_int_not_equal(phone.device, alice.device);
	assert_int_equal(harness_find(h, TABLE_USER_SET, 0)->user.live_count, 2);
	/* Messages sent once the phone knows must be for it, too. */
	assert_true(harness_find(h, TABLE_USER_SET, 0) < harness_find(h, TABLE_BARRIER, 0));
	assert_non_null(harness_find(h, INJECT_FENCE, 0));
	assert_true(harness_find(h, INJECT_FENCE, 0) < harness_find(h, INJECT_FRAME, 0));
}

static void
test_passwords_cannot_be_guessed_for_ever(void **state)
{
	struct harness *h = *state;
	struct client alice, thief;

	client_init(&alice, 0);
	client_register(h, &alice, "alice", "secret1");
	client_init(&thief, 0);
	assert_true(client_login(h, &thief, ""));
	for (unsigned i = 0; i < PASSWORD_TRIES_MAX; i++)
		assert_int_equal(client_enrol(h, &thief, "alice", "guess"),
				 ROOKERY__CODE__CODE_PASSWORD_WRONG);
	assert_true(harness_find(h, INJECT_SESSION_DEL, 0)->session_del.sid == thief.sid);
	assert_int_equal(client_enrol(h, &thief, "alice", "secret1"), ROOKERY__CODE__CODE_UNSPECIFIED);
}

static void
test_one_password_at_a_time(void **state)
{
	struct harness *h = *state;
	struct client alice, phone;

	client_init(&alice, 0);
	client_register(h, &alice, "alice", "secret1");
	client_init(&phone, 0);
	assert_true(client_login(h, &phone, ""));
	h->hold_jobs = true;
	assert_int_equal(client_enrol(h, &phone, "alice", "secret1"), ROOKERY__CODE__CODE_UNSPECIFIED);
	assert_int_equal(client_enrol(h, &phone, "alice", "secret1"), ROOKERY__CODE__CODE_SLOW_DOWN);
	h->hold_jobs = false;
	harness_settle(h);
}

static void
test_password_threads_are_bounded(void **state)
{
	struct harness *h = *state;
	struct client c[4];

	h->hold_jobs = true;
	for (unsigned i = 0; i < 4; i++) {
		char name[16];

		snprintf(name, sizeof(name), "user%u", i);
		client_init(&c[i], 0);
		assert_true(client_login(h, &c[i], ""));
		assert_int_equal(try_register(h, &c[i], name, "secret1"), ROOKERY__CODE__CODE_UNSPECIFIED);
	}
	assert_int_equal(h->job_count, h->config->control.password_threads);
	h->hold_jobs = false;
	harness_settle(h);
	for (unsigned i = 0; i < 4; i++) {
		assert_true(client_login(h, &c[i], ""));
		assert_int_equal(c[i].result, ROOKERY__LOGIN_RESULT__LOGIN_OK);
	}
}

static void
test_change_password(void **state)
{
	struct harness *h = *state;
	Rookery__Request q = ROOKERY__REQUEST__INIT;
	Rookery__ChangePassword b = ROOKERY__CHANGE_PASSWORD__INIT;
	struct client alice, phone, tablet;

	client_init(&alice, 0);
	client_register(h, &alice, "alice", "secret1");
	client_init(&phone, 1);
	assert_true(client_login(h, &phone, ""));
	assert_int_equal(client_enrol(h, &phone, "alice", "secret1"), ROOKERY__CODE__CODE_OK);
	q.body_case = ROOKERY__REQUEST__BODY_CHANGE_PASSWORD;
	q.change_password = &b;
	b.old_password = (char *)(uintptr_t)"wrong";
	b.new_password = (char *)(uintptr_t)"secret2";
	assert_int_equal(ask(h, &alice, &q), ROOKERY__CODE__CODE_PASSWORD_WRONG);
	b.old_password = (char *)(uintptr_t)"secret1";
	b.new_password = (char *)(uintptr_t)"short";
	assert_int_equal(ask(h, &alice, &q), ROOKERY__CODE__CODE_PASSWORD_WEAK);
	b.new_password = (char *)(uintptr_t)"secret2";
	assert_int_equal(ask(h, &alice, &q), ROOKERY__CODE__CODE_OK);
	assert_int_equal(harness_sent_count(h, INJECT_SESSION_DEL), 1);
	assert_true(harness_find(h, INJECT_SESSION_DEL, 0)->session_del.sid == phone.sid);
	assert_int_equal(harness_find(h, INJECT_SESSION_DEL, 0)->session_del.reason, CLOSE_REVOKED);
	client_init(&tablet, 0);
	assert_true(client_login(h, &tablet, ""));
	assert_int_equal(client_enrol(h, &tablet, "alice", "secret1"), ROOKERY__CODE__CODE_PASSWORD_WRONG);
	assert_int_equal(client_enrol(h, &tablet, "alice", "secret2"), ROOKERY__CODE__CODE_OK);
}

/* Who has a stolen device must not go on with its key once the password was changed. */
static void
test_changed_password_locks_devices(void **state)
{
	struct harness *h = *state;
	Rookery__Request q = ROOKERY__REQUEST__INIT;
	Rookery__ChangePassword b = ROOKERY__CHANGE_PASSWORD__INIT;
	struct client alice, phone;
	struct store_device before, after;

	client_init(&alice, 0);
	client_register(h, &alice, "alice", "secret1");
	client_init(&phone, 1);
	assert_true(client_login(h, &phone, ""));
	assert_int_equal(client_enrol(h, &phone, "alice", "secret1"), ROOKERY__CODE__CODE_OK);
	assert_int_equal(store_device_by_key(h->store, phone.key.public, &before), 0);
	assert_false(before.locked);
	q.body_case = ROOKERY__REQUEST__BODY_CHANGE_PASSWORD;
	q.change_password = &b;
	b.old_password = (char *)(uintptr_t)"secret1";
	b.new_password = (char *)(uintptr_t)"secret2";
	assert_int_equal(ask(h, &alice, &q), ROOKERY__CODE__CODE_OK);
	harness_settle(h);

	assert_true(client_login(h, &phone, "alice"));
	assert_int_equal(phone.result, ROOKERY__LOGIN_RESULT__LOGIN_RESTRICTED);
	assert_int_equal(client_enrol(h, &phone, "alice", "secret1"), ROOKERY__CODE__CODE_PASSWORD_WRONG);
	assert_int_equal(client_enrol(h, &phone, "alice", "secret2"), ROOKERY__CODE__CODE_OK);
	assert_int_equal(store_device_by_key(h->store, phone.key.public, &after), 0);
	assert_false(after.locked);
	assert_true(after.id == before.id);
	assert_true(client_login(h, &phone, "alice"));
	assert_int_equal(phone.result, ROOKERY__LOGIN_RESULT__LOGIN_OK);
	/* The one that changed it never noticed. */
	assert_true(client_login(h, &alice, "alice"));
	assert_int_equal(alice.result, ROOKERY__LOGIN_RESULT__LOGIN_OK);
}

/* kill -9 between the commit of the new password and the end of the other sessions. */
static void
test_killed_while_revoking(void **state)
{
	struct harness *h = *state;
	struct client alice, phone;
	struct store_device d;

	client_init(&alice, 0);
	client_register(h, &alice, "alice", "secret1");
	client_init(&phone, 0);
	assert_true(client_login(h, &phone, ""));
	assert_int_equal(client_enrol(h, &phone, "alice", "secret1"), ROOKERY__CODE__CODE_OK);
	assert_int_equal(store_device_by_key(h->store, alice.key.public, &d), 0);
	assert_int_equal(store_begin(h->store), 0);
	assert_int_equal(store_devices_lock(h->store, d.user, d.id), 0);
	assert_int_equal(store_commit(h->store), 0);
	harness_restart(h, 1);
	assert_int_equal(harness_sent_count(h, INJECT_SESSION_DEL), 1);
	assert_true(harness_find(h, INJECT_SESSION_DEL, 0)->session_del.sid == phone.sid);
	assert_int_equal(harness_find(h, INJECT_SESSION_DEL, 0)->session_del.reason, CLOSE_REVOKED);
}

static void
test_devices_are_bounded(void **state)
{
	struct harness *h = *state;
	struct client c[4];

	h->config->control.devices_max = 2;
	client_init(&c[0], 0);
	client_register(h, &c[0], "alice", "secret1");
	for (unsigned i = 1; i < 4; i++) {
		client_init(&c[i], 0);
		assert_true(client_login(h, &c[i], ""));
	}
	assert_int_equal(client_enrol(h, &c[1], "alice", "secret1"), ROOKERY__CODE__CODE_OK);
	assert_int_equal(client_enrol(h, &c[2], "alice", "secret1"), ROOKERY__CODE__CODE_LIMIT);
	/* one that is away and has nothing waiting makes room */
	session_event(h, c[1].sid, SESSION_CLOSED);
	assert_int_equal(client_enrol(h, &c[2], "alice", "secret1"), ROOKERY__CODE__CODE_OK);
	assert_true(client_login(h, &c[1], ""));
	assert_int_equal(c[1].result, ROOKERY__LOGIN_RESULT__LOGIN_RESTRICTED);
}

static void
test_requests_need_a_login(void **state)
{
	struct harness *h = *state;
	struct client c;

	client_init(&c, 0);
	assert_true(client_login(h, &c, ""));
	assert_int_equal(client_add(h, &c, "alice", ""), ROOKERY__CODE__CODE_NOT_LOGGED_IN);
}

static void
test_request_retransmitted(void **state)
{
	struct harness *h = *state;
	Rookery__Request q = ROOKERY__REQUEST__INIT;
	Rookery__AddBuddy b = ROOKERY__ADD_BUDDY__INIT;
	struct client alice, bob;
	Rookery__Response *r;
	struct cell c;

	client_init(&alice, 0);
	client_register(h, &alice, "alice", "secret1");
	client_init(&bob, 1);
	client_register(h, &bob, "bob", "secret1");
	b.user = (char *)(uintptr_t)"bob";
	q.body_case = ROOKERY__REQUEST__BODY_ADD_BUDDY;
	q.add_buddy = &b;
	client_request_cell(&c, &alice, 77, &q);
	harness_sent_clear(h);
	harness_cell(h, &c);
	assert_true(saw_buddy(h, &bob, alice.user, ROOKERY__BUDDY_STATE__BUDDY_PENDING));
	harness_sent_clear(h);
	harness_cell(h, &c);
	r = client_response(h, &alice, 77);
	assert_non_null(r);
	assert_int_equal(r->code, ROOKERY__CODE__CODE_OK);
	assert_int_equal(r->buddy->state, ROOKERY__BUDDY_STATE__BUDDY_REQUESTED);
	rookery__response__free_unpacked(r, NULL);
	assert_null(client_notification(h, &bob, 0));
}

static void
test_request_in_fragments(void **state)
{
	struct harness *h = *state;
	Rookery__Request q = ROOKERY__REQUEST__INIT;
	Rookery__SearchUser b = ROOKERY__SEARCH_USER__INIT;
	struct client alice;
	Rookery__Response *r;
	struct cell whole, part;

	client_init(&alice, 0);
	client_register(h, &alice, "alice", "secret1");
	b.prefix = (char *)(uintptr_t)"AL";
	q.body_case = ROOKERY__REQUEST__BODY_SEARCH_USER;
	q.search_user = &b;
	client_request_cell(&whole, &alice, 9, &q);
	harness_sent_clear(h);
	for (int i = whole.length - 1; i >= 0; i--) { /* last one first, each twice */
		part = whole;
		part.request.fragment = (uint8_t)i;
		part.request.fragments = (uint8_t)whole.length;
		part.length = 1;
		part.data[0] = whole.data[i];
		assert_null(client_response(h, &alice, 9));
		harness_cell(h, &part);
		if (i > 0)
			harness_cell(h, &part);
	}
	r = client_response(h, &alice, 9);
	assert_non_null(r);
	assert_int_equal(r->users->n_users, 1);
	assert_string_equal(r->users->users[0]->name, "alice");
	rookery__response__free_unpacked(r, NULL);
}

static void
test_request_garbage(void **state)
{
	struct harness *h = *state;
	struct client alice;
	Rookery__Response *r;
	struct cell c;

	client_init(&alice, 0);
	client_register(h, &alice, "alice", "secret1");
	memset(&c, 0, sizeof(c));
	c.type = PUNT_REQUEST;
	c.request.sid = alice.sid;
	c.request.request = 5;
	c.request.fragments = 1;
	c.length = 9;
	memset(c.data, 0xff, 9);
	harness_sent_clear(h);
	harness_cell(h, &c);
	r = client_response(h, &alice, 5);
	assert_non_null(r);
	assert_int_equal(r->code, ROOKERY__CODE__CODE_MALFORMED);
	rookery__response__free_unpacked(r, NULL);
	/* cells out of bounds are counted and skipped */
	c.request.fragments = 200;
	harness_cell(h, &c);
	c.worker = 99;
	c.request.fragments = 1;
	harness_cell(h, &c);
	c.type = 4711;
	harness_cell(h, &c);
	/* a session that is none: its worker is told */
	c.type = PUNT_REQUEST;
	c.worker = 1;
	c.request.sid = session_id_make(1, 77, 3);
	harness_sent_clear(h);
	harness_cell(h, &c);
	assert_true(harness_find(h, INJECT_SESSION_DEL, 0)->session_del.sid == c.request.sid);
}

static void
test_resolve(void **state)
{
	struct harness *h = *state;
	Rookery__Request q = ROOKERY__REQUEST__INIT;
	Rookery__ResolveUser b = ROOKERY__RESOLVE_USER__INIT;
	struct client alice;
	Rookery__Response *r;

	client_init(&alice, 0);
	client_register(h, &alice, "alice", "secret1");
	q.body_case = ROOKERY__REQUEST__BODY_RESOLVE_USER;
	q.resolve_user = &b;
	b.user_id = alice.user;
	r = client_request(h, &alice, &q);
	assert_int_equal(r->code, ROOKERY__CODE__CODE_OK);
	assert_string_equal(r->users->users[0]->name, "alice");
	rookery__response__free_unpacked(r, NULL);
	b.user = (char *)(uintptr_t)"nobody";
	assert_int_equal(ask(h, &alice, &q), ROOKERY__CODE__CODE_UNKNOWN_USER);
}

/* ---- operators ---------------------------------------------------------------------- */

struct news {
	unsigned calls;
	int result;
	char text[128];
};

static void
on_done(void *arg, int result, const char *text)
{
	struct news *n = arg;

	n->calls++;
	n->result = result;
	snprintf(n->text, sizeof(n->text), "%s", text);
}

static bool
on_user(void *arg, const struct server_user *u)
{
	struct server_user *out = arg;

	*out = *u;
	return true;
}

static bool
on_session(void *arg, const struct server_session *n)
{
	struct server_session *out = arg;

	*out = *n;
	return true;
}

static void
test_operators(void **state)
{
	struct harness *h = *state;
	struct server_status *status = calloc(1, sizeof(*status));
	struct server_session session;
	struct news news = {0};
	struct server_user user;
	struct client alice;
	char error[128];

	assert_int_equal(server_user_add(h->server, "Alice", "secret1", on_done, &news, error, sizeof(error)),
			 0);
	assert_int_equal(news.calls, 0);
	harness_settle(h);
	assert_int_equal(news.calls, 1);
	assert_int_equal(news.result, 0);
	assert_int_equal(server_user_add(h->server, "alice", "secret1", on_done, &news, error, sizeof(error)),
			 -EEXIST);
	assert_int_equal(server_user_add(h->server, "9", "secret1", on_done, &news, error, sizeof(error)),
			 -EINVAL);
	assert_int_equal(server_user_add(h->server, "bob", "x", on_done, &news, error, sizeof(error)),
			 -EINVAL);
	client_init(&alice, 1);
	assert_true(client_login(h, &alice, ""));
	assert_int_equal(client_enrol(h, &alice, "alice", "secret1"), ROOKERY__CODE__CODE_OK);
	assert_int_equal(server_users_list(h->server, NULL, 0, 0, on_user, &user), 1);
	assert_int_equal(user.sessions, 1);
	assert_int_equal(user.devices, 1);
	assert_string_equal(user.presence, "online");
	assert_int_equal(server_sessions_list(h->server, &(struct server_session_filter){.name = "ALICE", .worker = -1}, 0, 0, on_session, &session), 1);
	assert_true(session.sid == alice.sid);
	assert_int_equal(server_sessions_list(h->server, &(struct server_session_filter){.name = "bob", .worker = -1}, 0, 0, on_session, &session), 0);
	server_status(h->server, status);
	assert_int_equal(status->users, 1);
	assert_int_equal(status->sessions, 1);
	assert_true(status->store_ok);

	harness_sent_clear(h);
	assert_int_equal(server_session_kick(h->server, 0, "alice"), 1);
	assert_int_equal(harness_find(h, INJECT_SESSION_DEL, 0)->session_del.reason, CLOSE_KICKED);
	assert_int_equal(server_session_kick(h->server, 0, "alice"), -ENOENT);
	assert_int_equal(server_session_kick(h->server, alice.sid, NULL), -ENOENT);
	harness_settle(h);

	alice.timestamp++; /* a kick takes one */
	assert_true(client_login(h, &alice, "alice"));
	harness_sent_clear(h);
	assert_int_equal(server_user_passwd(h->server, "alice", "secret2", on_done, &news, error,
					    sizeof(error)),
			 0);
	harness_settle(h);
	assert_int_equal(news.calls, 2);
	assert_int_equal(harness_find(h, INJECT_SESSION_DEL, 0)->session_del.reason, CLOSE_REVOKED);
	assert_true(client_login(h, &alice, "alice"));
	assert_int_equal(alice.result, ROOKERY__LOGIN_RESULT__LOGIN_RESTRICTED);
	assert_int_equal(server_user_del(h->server, "alice", on_done, &news, error, sizeof(error)), 0);
	harness_settle(h);
	assert_int_equal(news.calls, 3);
	assert_int_equal(news.result, 0);
	assert_int_equal(server_users_list(h->server, NULL, 0, 0, on_user, &user), 0);
	assert_int_equal(server_user_del(h->server, "alice", on_done, &news, error, sizeof(error)), -ENOENT);
	assert_true(client_login(h, &alice, "alice"));
	assert_int_equal(alice.result, ROOKERY__LOGIN_RESULT__LOGIN_RESTRICTED);
	free(status);
}

/* A locked device does not become another account's. */
static void
test_locked_device_keeps_its_account(void **state)
{
	struct harness *h = *state;
	struct client alice, bob;
	struct news news = {0};
	char error[128];

	client_init(&alice, 0);
	client_register(h, &alice, "alice", "secret1");
	client_init(&bob, 0);
	client_register(h, &bob, "bob", "secret1");
	assert_int_equal(server_user_passwd(h->server, "alice", "secret2", on_done, &news, error, sizeof(error)), 0);
	harness_settle(h);
	assert_true(client_login(h, &alice, ""));
	assert_int_equal(alice.result, ROOKERY__LOGIN_RESULT__LOGIN_RESTRICTED);
	assert_int_equal(client_enrol(h, &alice, "bob", "secret1"), ROOKERY__CODE__CODE_MALFORMED);
}

static void
test_stop_tells_who_waits(void **state)
{
	struct harness *h = *state;
	struct news news = {0};
	struct password_job *job;

	h->hold_jobs = true;
	assert_int_equal(server_user_add(h->server, "a", "secret1", on_done, &news, NULL, 0), 0);
	assert_int_equal(server_user_add(h->server, "b", "secret1", on_done, &news, NULL, 0), 0);
	assert_int_equal(server_user_add(h->server, "c", "secret1", on_done, &news, NULL, 0), 0);
	assert_int_equal(h->job_count, 2);
	job = h->jobs[0];
	h->jobs[0] = h->jobs[1];
	h->job_count = 1;
	server_password_cancel(h->server, job);
	while (h->job_count != 0)
		server_password_cancel(h->server, h->jobs[--h->job_count]);
	assert_int_equal(news.calls, 3);
	assert_int_equal(news.result, -ECANCELED);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)
	const struct CMUnitTest tests[] = {
		T(test_register_then_login),
		T(test_keys_fit),
		T(test_login_retransmitted),
		T(test_login_twice_in_one_batch),
		T(test_login_replayed),
		T(test_login_garbage),
		T(test_restricted_session_is_bounded),
		T(test_slots_run_out),
		T(test_register_refusals),
		T(test_name_taken_while_hashing),
		T(test_enrol),
		T(test_passwords_cannot_be_guessed_for_ever),
		T(test_one_password_at_a_time),
		T(test_password_threads_are_bounded),
		T(test_change_password),
		T(test_changed_password_locks_devices),
		T(test_locked_device_keeps_its_account),
		T(test_killed_while_revoking),
		T(test_devices_are_bounded),
		T(test_requests_need_a_login),
		T(test_request_retransmitted),
		T(test_request_in_fragments),
		T(test_request_garbage),
		T(test_resolve),
		T(test_operators),
		T(test_stop_tells_who_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
