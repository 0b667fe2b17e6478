// SPDX-License-Identifier: BSD-3-Clause
/* Buddies, blocks, presence, verdicts. */
#include "harness.h"

#include "control/core.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUDDY(name) ROOKERY__BUDDY_STATE__BUDDY_##name
#define ONLINE ROOKERY__STATUS__STATUS_ONLINE
#define OFFLINE ROOKERY__STATUS__STATUS_OFFLINE

static void
two_users(struct harness *h, struct client *alice, struct client *bob)
{
	client_init(alice, 0);
	client_register(h, alice, "alice", "secret1");
	client_init(bob, 1);
	client_register(h, bob, "bob", "secret1");
	harness_sent_clear(h);
}

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
delete_buddy(struct harness *h, struct client *c, const char *name)
{
	Rookery__Request q = ROOKERY__REQUEST__INIT;
	Rookery__DeleteBuddy b = ROOKERY__DELETE_BUDDY__INIT;

	b.user = (char *)(uintptr_t)name;
	q.body_case = ROOKERY__REQUEST__BODY_DELETE_BUDDY;
	q.delete_buddy = &b;
	return ask(h, c, &q);
}

static Rookery__Code
block(struct harness *h, struct client *c, const char *name, bool blocked)
{
	Rookery__Request q = ROOKERY__REQUEST__INIT;
	Rookery__SetBlock b = ROOKERY__SET_BLOCK__INIT;

	b.user = (char *)(uintptr_t)name;
	b.blocked = blocked;
	q.body_case = ROOKERY__REQUEST__BODY_SET_BLOCK;
	q.set_block = &b;
	return ask(h, c, &q);
}

static Rookery__Code
set_presence(struct harness *h, struct client *c, Rookery__Status status, const char *text)
{
	Rookery__Request q = ROOKERY__REQUEST__INIT;
	Rookery__SetPresence b = ROOKERY__SET_PRESENCE__INIT;

	b.status = status;
	b.text = (char *)(uintptr_t)text;
	q.body_case = ROOKERY__REQUEST__BODY_SET_PRESENCE;
	q.set_presence = &b;
	return ask(h, c, &q);
}

static Rookery__Response *
list(struct harness *h, struct client *c, user_id_t after)
{
	Rookery__Request q = ROOKERY__REQUEST__INIT;
	Rookery__ListBuddies b = ROOKERY__LIST_BUDDIES__INIT;
	Rookery__Response *r;

	b.after_user_id = after;
	q.body_case = ROOKERY__REQUEST__BODY_LIST_BUDDIES;
	q.list_buddies = &b;
	r = client_request(h, c, &q);
	assert_non_null(r);
	assert_int_equal(r->code, ROOKERY__CODE__CODE_OK);
	return r;
}

static unsigned
list_count(struct harness *h, struct client *c)
{
	Rookery__Response *r = list(h, c, 0);
	unsigned n = (unsigned)r->buddies->n_buddies;

	rookery__response__free_unpacked(r, NULL);
	return n;
}

static void
test_request_and_accept(void **state)
{
	struct harness *h = *state;
	Rookery__Response *r;
	struct client alice, bob;

	two_users(h, &alice, &bob);
	assert_int_equal(client_add(h, &alice, "BOB", "it is me"), ROOKERY__CODE__CODE_OK);
	assert_true(saw_buddy(h, &bob, alice.user, BUDDY(PENDING)));
	assert_false(saw_buddy(h, &alice, bob.user, BUDDY(PENDING)));
	r = list(h, &bob, 0);
	assert_int_equal(r->buddies->n_buddies, 1);
	assert_int_equal(r->buddies->buddies[0]->state, BUDDY(PENDING));
	assert_string_equal(r->buddies->buddies[0]->request_text, "it is me");
	assert_string_equal(r->buddies->buddies[0]->name, "alice");
	rookery__response__free_unpacked(r, NULL);
	assert_int_equal(verdict(h, alice.user, bob.user), VERDICT_NOT_BUDDIES);

	assert_int_equal(client_answer(h, &bob, "alice", true), ROOKERY__CODE__CODE_OK);
	assert_true(saw_buddy(h, &alice, bob.user, BUDDY(ACCEPTED)));
	assert_true(saw_buddy(h, &bob, alice.user, BUDDY(ACCEPTED)));
	assert_true(saw_presence(h, &alice, bob.user, ONLINE));
	assert_true(saw_presence(h, &bob, alice.user, ONLINE));
	assert_int_equal(table_verdict(h, alice.user, bob.user), VERDICT_ALLOWED);
	assert_int_equal(table_verdict(h, bob.user, alice.user), VERDICT_ALLOWED);
	assert_int_equal(verdict(h, alice.user, bob.user), VERDICT_ALLOWED);
	assert_int_equal(verdict(h, bob.user, alice.user), VERDICT_ALLOWED);
	assert_int_equal(harness_find(h, INJECT_VERDICT, 0)->verdict.live_count, 1);
	assert_int_equal(client_add(h, &alice, "bob", ""), ROOKERY__CODE__CODE_ALREADY_BUDDIES);
	/* said twice, as after a crash of control */
	assert_int_equal(client_answer(h, &bob, "alice", true), ROOKERY__CODE__CODE_OK);
}

static void
test_deny(void **state)
{
	struct harness *h = *state;
	struct client alice, bob;

	two_users(h, &alice, &bob);
	assert_int_equal(client_add(h, &alice, "bob", ""), ROOKERY__CODE__CODE_OK);
	assert_int_equal(client_answer(h, &bob, "alice", false), ROOKERY__CODE__CODE_OK);
	assert_true(saw_buddy(h, &alice, bob.user, BUDDY(DENIED)));
	assert_int_equal(list_count(h, &alice), 0);
	assert_int_equal(list_count(h, &bob), 0);
	assert_int_equal(client_answer(h, &bob, "alice", true), ROOKERY__CODE__CODE_NO_REQUEST);
	assert_int_equal(client_add(h, &alice, "bob", "please"), ROOKERY__CODE__CODE_OK);
	assert_true(saw_buddy(h, &bob, alice.user, BUDDY(PENDING)));
}

static void
test_asking_each_other_is_accepting(void **state)
{
	struct harness *h = *state;
	struct client alice, bob;

	two_users(h, &alice, &bob);
	assert_int_equal(client_add(h, &alice, "bob", ""), ROOKERY__CODE__CODE_OK);
	assert_int_equal(client_add(h, &bob, "alice", ""), ROOKERY__CODE__CODE_OK);
	assert_true(saw_buddy(h, &alice, bob.user, BUDDY(ACCEPTED)));
	assert_int_equal(verdict(h, alice.user, bob.user), VERDICT_ALLOWED);
}

static void
test_refusals(void **state)
{
	struct harness *h = *state;
	struct client alice, bob;
	char text[300];

	two_users(h, &alice, &bob);
	assert_int_equal(client_add(h, &alice, "alice", ""), ROOKERY__CODE__CODE_SELF);
	assert_int_equal(client_add(h, &alice, "nobody", ""), ROOKERY__CODE__CODE_UNKNOWN_USER);
	assert_int_equal(client_add(h, &alice, "no body", ""), ROOKERY__CODE__CODE_UNKNOWN_USER);
	memset(text, 'x', sizeof(text));
	text[STORE_TEXT_MAX + 1] = '\0';
	assert_int_equal(client_add(h, &alice, "bob", text), ROOKERY__CODE__CODE_MALFORMED);
	assert_int_equal(client_add(h, &alice, "bob", "\xff"), ROOKERY__CODE__CODE_MALFORMED);
	h->config->control.buddies_max = 0;
	assert_int_equal(client_add(h, &alice, "bob", ""), ROOKERY__CODE__CODE_LIMIT);
	assert_int_equal(verdict(h, alice.user, alice.user), VERDICT_ALLOWED);
	assert_int_equal(verdict(h, alice.user, 4711), VERDICT_UNKNOWN_USER);
	assert_int_equal(verdict(h, alice.user, bob.user), VERDICT_NOT_BUDDIES);
}

static void
test_delete(void **state)
{
	struct harness *h = *state;
	struct client alice, bob;

	two_users(h, &alice, &bob);
	befriend(h, &alice, "alice", &bob, "bob");
	assert_int_equal(delete_buddy(h, &alice, "bob"), ROOKERY__CODE__CODE_OK);
	assert_true(saw_buddy(h, &bob, alice.user, BUDDY(REMOVED)));
	assert_int_equal(table_verdict(h, alice.user, bob.user), VERDICT_NOT_BUDDIES);
	assert_int_equal(table_verdict(h, bob.user, alice.user), VERDICT_NOT_BUDDIES);
	assert_int_equal(list_count(h, &bob), 0);
	client_ack_all(h, &bob);
	/* once more: nothing to do, but the verdicts are told again */
	assert_int_equal(delete_buddy(h, &alice, "bob"), ROOKERY__CODE__CODE_OK);
	assert_int_equal(table_verdict(h, alice.user, bob.user), VERDICT_NOT_BUDDIES);
	assert_null(client_notification(h, &bob, 0));
	/* no longer told of each other */
	harness_sent_clear(h);
	session_event(h, alice.sid, SESSION_CLOSED);
	assert_null(client_notification(h, &bob, 0));
}

static void
test_block(void **state)
{
	struct harness *h = *state;
	struct client alice, bob;
	Rookery__Response *r;

	two_users(h, &alice, &bob);
	befriend(h, &alice, "alice", &bob, "bob");
	assert_int_equal(block(h, &alice, "bob", true), ROOKERY__CODE__CODE_OK);
	assert_int_equal(table_verdict(h, alice.user, bob.user), VERDICT_BLOCKED);
	assert_int_equal(table_verdict(h, bob.user, alice.user), VERDICT_BLOCKED);
	assert_true(saw_presence(h, &bob, alice.user, OFFLINE));
	r = list(h, &bob, 0);
	assert_int_equal(r->buddies->buddies[0]->status, OFFLINE);
	assert_false(r->buddies->buddies[0]->blocked);
	rookery__response__free_unpacked(r, NULL);
	r = list(h, &alice, 0);
	assert_true(r->buddies->buddies[0]->blocked);
	assert_int_equal(r->buddies->buddies[0]->status, ONLINE);
	rookery__response__free_unpacked(r, NULL);
	harness_sent_clear(h);
	assert_int_equal(set_presence(h, &alice, ROOKERY__STATUS__STATUS_BUSY, ""), ROOKERY__CODE__CODE_OK);
	assert_null(client_notification(h, &bob, 0));

	assert_int_equal(block(h, &alice, "bob", false), ROOKERY__CODE__CODE_OK);
	assert_int_equal(table_verdict(h, bob.user, alice.user), VERDICT_ALLOWED);
	assert_true(saw_presence(h, &bob, alice.user, ROOKERY__STATUS__STATUS_BUSY));
}

static void
test_block_of_a_stranger(void **state)
{
	struct harness *h = *state;
	struct client alice, bob;

	two_users(h, &alice, &bob);
	assert_int_equal(client_add(h, &bob, "alice", "hi"), ROOKERY__CODE__CODE_OK);
	assert_int_equal(block(h, &alice, "bob", true), ROOKERY__CODE__CODE_OK);
	assert_true(saw_buddy(h, &bob, alice.user, BUDDY(DENIED)));
	assert_int_equal(client_add(h, &bob, "alice", "hi"), ROOKERY__CODE__CODE_BLOCKED);
	assert_int_equal(client_add(h, &alice, "bob", "hi"), ROOKERY__CODE__CODE_BLOCKED);
	assert_int_equal(verdict(h, bob.user, alice.user), VERDICT_BLOCKED);
	/* both sides block; one lifts its own only */
	assert_int_equal(block(h, &bob, "alice", true), ROOKERY__CODE__CODE_OK);
	assert_int_equal(block(h, &alice, "bob", false), ROOKERY__CODE__CODE_OK);
	assert_int_equal(verdict(h, alice.user, bob.user), VERDICT_BLOCKED);
	assert_int_equal(block(h, &bob, "alice", false), ROOKERY__CODE__CODE_OK);
	assert_int_equal(verdict(h, alice.user, bob.user), VERDICT_NOT_BUDDIES);
}

static void
test_away_users_learn_once(void **state)
{
	struct harness *h = *state;
	struct client alice, bob;

	two_users(h, &alice, &bob);
	assert_int_equal(client_add(h, &alice, "bob", ""), ROOKERY__CODE__CODE_OK);
	session_event(h, alice.sid, SESSION_CLOSED);
	assert_int_equal(client_answer(h, &bob, "alice", true), ROOKERY__CODE__CODE_OK);
	/* not acknowledged: told at the next login again */
	assert_true(client_login(h, &alice, "alice"));
	assert_true(saw_buddy(h, &alice, bob.user, BUDDY(ACCEPTED)));
	session_expired(h, alice.sid);
	harness_restart(h, 1);
	assert_true(client_login(h, &alice, "alice"));
	assert_true(saw_buddy(h, &alice, bob.user, BUDDY(ACCEPTED)));
	assert_true(client_ack_all(h, &alice) > 0);
	assert_true(client_login(h, &alice, "alice"));
	assert_false(saw_buddy(h, &alice, bob.user, BUDDY(ACCEPTED)));
	/* a pending request is told at each login until it is answered */
	session_event(h, bob.sid, SESSION_CLOSED);
	assert_int_equal(delete_buddy(h, &alice, "bob"), ROOKERY__CODE__CODE_OK);
	assert_int_equal(client_add(h, &alice, "bob", "again"), ROOKERY__CODE__CODE_OK);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(client_login(h, &bob, "bob"));
		assert_true(saw_buddy(h, &bob, alice.user, BUDDY(PENDING)));
		client_ack_all(h, &bob);
	}
}

static void
test_presence_on_and_off(void **state)
{
	struct harness *h = *state;
	struct client alice, bob;

	two_users(h, &alice, &bob);
	befriend(h, &alice, "alice", &bob, "bob");
	session_expired(h, bob.sid);
	assert_true(saw_presence(h, &alice, bob.user, OFFLINE));
	harness_sent_clear(h);
	assert_true(client_login(h, &bob, "bob"));
	assert_true(saw_presence(h, &alice, bob.user, ONLINE));
	assert_true(saw_presence(h, &bob, alice.user, ONLINE));
	/* the same device once more: nobody sees a flicker */
	client_ack_all(h, &alice);
	assert_true(client_login(h, &bob, "bob"));
	assert_false(saw_presence(h, &alice, bob.user, OFFLINE));
	assert_int_equal(set_presence(h, &bob, ROOKERY__STATUS__STATUS_AWAY, "lunch"),
			 ROOKERY__CODE__CODE_OK);
	assert_true(saw_presence(h, &alice, bob.user, ROOKERY__STATUS__STATUS_AWAY));
	assert_int_equal(set_presence(h, &bob, ROOKERY__STATUS__STATUS_INVISIBLE, ""),
			 ROOKERY__CODE__CODE_OK);
	assert_true(saw_presence(h, &alice, bob.user, OFFLINE));
	harness_sent_clear(h);
	session_event(h, bob.sid, SESSION_CLOSED);
	assert_false(saw_presence(h, &alice, bob.user, OFFLINE)); /* it was that already */
	assert_int_equal(set_presence(h, &alice, OFFLINE, ""), ROOKERY__CODE__CODE_MALFORMED);
	assert_int_equal(set_presence(h, &alice, (Rookery__Status)99, ""), ROOKERY__CODE__CODE_MALFORMED);
}

static void
test_presence_of_several_devices(void **state)
{
	struct harness *h = *state;
	struct client alice, bob, phone;

	two_users(h, &alice, &bob);
	befriend(h, &alice, "alice", &bob, "bob");
	client_init(&phone, 0);
	assert_true(client_login(h, &phone, ""));
	assert_int_equal(client_enrol(h, &phone, "bob", "secret1"), ROOKERY__CODE__CODE_OK);
	assert_null(client_notification(h, &alice, 0)); /* still online */
	assert_int_equal(set_presence(h, &phone, ROOKERY__STATUS__STATUS_BUSY, ""), ROOKERY__CODE__CODE_OK);
	assert_null(client_notification(h, &alice, 0)); /* the best is online */
	harness_sent_clear(h);
	session_event(h, bob.sid, SESSION_CLOSED);
	assert_true(saw_presence(h, &alice, bob.user, ROOKERY__STATUS__STATUS_BUSY));
	assert_int_equal(harness_find(h, TABLE_USER_SET, 0)->user.live_count, 1);
	assert_int_equal(harness_find(h, TABLE_USER_SET, 0)->user.away, 1);
	harness_sent_clear(h);
	session_event(h, phone.sid, SESSION_CLOSED);
	assert_true(saw_presence(h, &alice, bob.user, OFFLINE));
	assert_int_equal(harness_sent_count(h, TABLE_USER_DEL), 1);
}

/* One cell tells many sessions of one worker. */
static void
test_presence_is_multicast(void **state)
{
	struct harness *h = *state;
	struct client alice, other[40];
	unsigned told = 0, cells = 0;
	const struct cell *c;
	char name[16];

	client_init(&alice, 0);
	client_register(h, &alice, "alice", "secret1");
	for (unsigned i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "user%u", i);
		client_init(&other[i], i % WORKERS);
		client_register(h, &other[i], name, "secret1");
		befriend(h, &other[i], name, &alice, "alice");
	}
	harness_sent_clear(h);
	session_event(h, alice.sid, SESSION_CLOSED);
	for (uint32_t i = 0; (c = harness_find(h, INJECT_FRAME, i)) != NULL; i++) {
		for (unsigned k = 1; k < c->frame.session_count; k++)
			assert_int_equal(session_id_worker(c->frame.sids[k]),
					 session_id_worker(c->frame.sids[0]));
		told += c->frame.session_count;
		cells++;
	}
	assert_int_equal(told, 40);
	assert_int_equal(cells, 4); /* 20 per worker, 16 per cell */
	for (unsigned i = 0; i < 40; i++)
		assert_true(saw_presence(h, &other[i], alice.user, OFFLINE));
}

static void
test_snapshot_flows_in_a_window(void **state)
{
	struct harness *h = *state;
	struct client alice, other;
	unsigned seen;
	char name[16];

	client_init(&alice, 0);
	client_register(h, &alice, "alice", "secret1");
	client_init(&other, 0);
	for (unsigned i = 0; i < 80; i++) {
		snprintf(name, sizeof(name), "user%u", i);
		client_init(&other, 0);
		client_register(h, &other, name, "secret1");
		befriend(h, &other, name, &alice, "alice");
		session_event(h, other.sid, SESSION_CLOSED);
	}
	assert_true(client_login(h, &alice, "alice"));
	seen = client_ack_all(h, &alice);
	assert_int_equal(seen, PUMP_WINDOW);
	/* each acknowledgement lets one more out: 80 presences and Synced in all */
	while (harness_sent_count(h, INJECT_FRAME) > seen) {
		const struct cell *c = harness_find(h, INJECT_FRAME, seen);

		assert_int_not_equal(c->frame.token, 0);
		delivered(h, alice.sid, c->frame.token, DELIVERY_ACKED);
		seen++;
	}
	assert_int_equal(seen, 81);
}

static void
test_groups_and_pages(void **state)
{
	struct harness *h = *state;
	Rookery__Request q = ROOKERY__REQUEST__INIT;
	Rookery__SetBuddy b = ROOKERY__SET_BUDDY__INIT;
	struct client alice, other;
	char name[16], remark[STORE_REMARK_MAX + 1];
	Rookery__Response *r;
	user_id_t after = 0;
	unsigned count = 0;
	bool more = true;

	client_init(&alice, 0);
	client_register(h, &alice, "alice", "secret1");
	memset(remark, 'r', sizeof(remark) - 1);
	remark[sizeof(remark) - 1] = '\0';
	for (unsigned i = 0; i < 120; i++) {
		snprintf(name, sizeof(name), "user%u", i);
		client_init(&other, 0);
		client_register(h, &other, name, "secret1");
		befriend(h, &other, name, &alice, "alice");
		session_event(h, other.sid, SESSION_CLOSED);
		b.user = name;
		b.group = (char *)(uintptr_t)"work";
		b.remark = remark;
		q.body_case = ROOKERY__REQUEST__BODY_SET_BUDDY;
		q.set_buddy = &b;
		assert_int_equal(ask(h, &alice, &q), ROOKERY__CODE__CODE_OK);
	}
	b.user = (char *)(uintptr_t)"user3";
	b.group = (char *)(uintptr_t)"\xc3";
	assert_int_equal(ask(h, &alice, &q), ROOKERY__CODE__CODE_MALFORMED);
	while (more) {
		r = list(h, &alice, after);
		assert_true(r->buddies->n_buddies > 0);
		count += (unsigned)r->buddies->n_buddies;
		after = r->buddies->buddies[r->buddies->n_buddies - 1]->user_id;
		assert_string_equal(r->buddies->buddies[0]->group, "work");
		assert_string_equal(r->buddies->buddies[0]->remark, remark);
		more = r->buddies->more;
		rookery__response__free_unpacked(r, NULL);
	}
	assert_int_equal(count, 120);
}

static void
on_done(void *arg, int result, const char *text)
{
	(void)text;
	*(int *)arg = result;
}

static void
test_account_removed(void **state)
{
	struct harness *h = *state;
	struct client alice, bob;
	int result = 1;

	two_users(h, &alice, &bob);
	befriend(h, &alice, "alice", &bob, "bob");
	assert_int_equal(server_user_del(h->server, "bob", on_done, &result, NULL, 0), 0);
	harness_settle(h);
	assert_int_equal(result, 0);
	assert_true(saw_buddy(h, &alice, bob.user, BUDDY(REMOVED)));
	assert_int_equal(table_verdict(h, alice.user, bob.user), VERDICT_UNKNOWN_USER);
	assert_true(harness_find(h, INJECT_SESSION_DEL, 0)->session_del.sid == bob.sid);
	assert_int_equal(list_count(h, &alice), 0);
	assert_int_equal(verdict(h, alice.user, bob.user), VERDICT_UNKNOWN_USER);
}

/* ---- the store cannot be read after a commit ----------------------------------------------- */

/* Takes tables away from control, or gives them back: what it writes then goes on, and what it reads of them fails. */
static void
tables_hide(struct harness *h, bool hide)
{
	const char *sql = hide ? "ALTER TABLE relations RENAME TO relations_away; ALTER TABLE events RENAME TO events_away;"
			       : "ALTER TABLE relations_away RENAME TO relations; ALTER TABLE events_away RENAME TO events;";
	char path[128];
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/rookery.db", h->dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static uint64_t
rereads(const struct harness *h)
{
	return h->server->counters[CONTROL_rereads];
}

static uint32_t
waiting(const struct harness *h)
{
	uint32_t n = 0;

	for (unsigned kind = 0; kind < REREAD_KINDS; kind++)
		n += h->server->reread[kind].count;
	return n;
}

/* A newcomer is told of its buddies and what they did meanwhile, once it can be read. */
static void
test_first_snapshot_unread(void **state)
{
	struct harness *h = *state;
	struct client alice, bob, carol;

	two_users(h, &alice, &bob);
	befriend(h, &alice, "alice", &bob, "bob");
	client_init(&carol, 0);
	client_register(h, &carol, "carol", "secret1");
	befriend(h, &carol, "carol", &bob, "bob");
	session_event(h, bob.sid, SESSION_CLOSED);
	assert_int_equal(delete_buddy(h, &carol, "bob"), ROOKERY__CODE__CODE_OK);
	harness_sent_clear(h);
	tables_hide(h, true);
	assert_true(client_login(h, &bob, "bob"));
	assert_int_equal(bob.result, ROOKERY__LOGIN_RESULT__LOGIN_OK);
	for (unsigned i = 0; i < 3; i++)
		harness_advance(h, STORE_RETRY_MS);
	assert_false(saw_presence(h, &alice, bob.user, ONLINE));
	assert_false(saw_presence(h, &bob, alice.user, ONLINE));
	assert_int_equal(waiting(h), 2); /* whom bob's coming is told, what his session is sent */
	assert_int_equal(rereads(h), 2 * 4);
	tables_hide(h, false);
	harness_advance(h, STORE_RETRY_MS);
	assert_true(saw_presence(h, &alice, bob.user, ONLINE));
	assert_true(saw_presence(h, &bob, alice.user, ONLINE));
	assert_true(saw_buddy(h, &bob, carol.user, BUDDY(REMOVED)));
	assert_int_equal(waiting(h), 0);
	harness_sent_clear(h);
	harness_advance(h, 10 * STORE_RETRY_MS);
	assert_false(saw_presence(h, &bob, alice.user, ONLINE));
	assert_int_equal(rereads(h), 2 * 4);
}

/* What was to be read for a session is forgotten with it; that buddies are to be told of its user is not. */
static void
test_session_ends_unread(void **state)
{
	struct harness *h = *state;
	struct client alice, bob;

	two_users(h, &alice, &bob);
	befriend(h, &alice, "alice", &bob, "bob");
	session_event(h, bob.sid, SESSION_CLOSED);
	tables_hide(h, true);
	assert_true(client_login(h, &bob, "bob"));
	assert_int_equal(waiting(h), 2);
	session_event(h, bob.sid, SESSION_CLOSED);
	assert_int_equal(waiting(h), 1);
	harness_sent_clear(h);
	tables_hide(h, false);
	harness_advance(h, STORE_RETRY_MS);
	assert_true(saw_presence(h, &alice, bob.user, OFFLINE));
	assert_int_equal(waiting(h), 0);
}

/* A presence that is sent again, and of which it cannot be read whether it still may be. */
static void
test_note_unread(void **state)
{
	struct harness *h = *state;
	struct client alice, bob, carol;

	two_users(h, &alice, &bob);
	befriend(h, &alice, "alice", &bob, "bob");
	session_event(h, bob.sid, SESSION_CLOSED);
	assert_true(client_login(h, &bob, "bob"));
	assert_true(saw_presence(h, &bob, alice.user, ONLINE));
	for (uint32_t i = 0; i < h->count; i++) {
		const struct cell *c = &h->sent[i].cell;

		if (c->type == INJECT_FRAME && c->frame.token != 0 && c->frame.sids[0] == bob.sid)
			delivered(h, bob.sid, c->frame.token, DELIVERY_FAILED);
	}
	client_init(&carol, 0);
	client_register(h, &carol, "carol", "secret1"); /* the store has changed since */
	harness_sent_clear(h);
	tables_hide(h, true);
	harness_advance(h, PUMP_RETRY_MS);
	assert_false(saw_presence(h, &bob, alice.user, ONLINE));
	assert_int_equal(waiting(h), 1);
	tables_hide(h, false);
	harness_advance(h, STORE_RETRY_MS);
	assert_true(saw_presence(h, &bob, alice.user, ONLINE));
	assert_int_equal(waiting(h), 0);
}

static void
test_texts_are_cleaned(void **state)
{
	char out[32];

	(void)state;
	assert_true(text_clean(out, "a\x1b[31mb\tc\x7f", 31));
	assert_string_equal(out, "a [31mb c ");
	assert_true(text_clean(out, "\xc2\x9b" "x", 31)); /* CSI as C1 */
	assert_string_equal(out, "  x");
	assert_true(text_clean(out, "\xf0\x9f\x98\x80", 4));
	assert_false(text_clean(out, "\xf0\x9f\x98\x80", 3));
	assert_false(text_clean(out, "\xed\xa0\x80", 31));     /* surrogate */
	assert_false(text_clean(out, "\xc0\xaf", 31));         /* overlong */
	assert_false(text_clean(out, "\xf4\x90\x80\x80", 31)); /* beyond U+10FFFF */
	assert_false(text_clean(out, "\xe2\x82", 31));         /* cut */
	assert_true(name_fold(out, "Al.i_c-E9"));
	assert_string_equal(out, "al.i_c-e9");
	assert_false(name_fold(out, "-a"));
	assert_false(name_fold(out, "\xc3\xa9"));
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)
	const struct CMUnitTest tests[] = {
		T(test_request_and_accept),
		T(test_deny),
		T(test_asking_each_other_is_accepting),
		T(test_refusals),
		T(test_delete),
		T(test_block),
		T(test_block_of_a_stranger),
		T(test_away_users_learn_once),
		T(test_presence_on_and_off),
		T(test_presence_of_several_devices),
		T(test_presence_is_multicast),
		T(test_snapshot_flows_in_a_window),
		T(test_groups_and_pages),
		T(test_account_removed),
		T(test_first_snapshot_unread),
		T(test_session_ends_unread),
		T(test_note_unread),
		cmocka_unit_test(test_texts_are_cleaned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
