// SPDX-License-Identifier: BSD-3-Clause
/* Messages that wait, the store in trouble, dataplanes that come and go. */
#include "harness.h"

#include "control/core.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
friends(struct harness *h, struct client *alice, struct client *bob)
{
	client_init(alice, 0);
	client_register(h, alice, "alice", "secret1");
	client_init(bob, 1);
	client_register(h, bob, "bob", "secret1");
	befriend(h, alice, "alice", bob, "bob");
	harness_sent_clear(h);
}

static bool
saw_synced(struct harness *h, const struct client *c, uint32_t *count)
{
	Rookery__Notification *n;
	bool saw = false;

	for (uint32_t i = 0; !saw && (n = client_notification(h, c, i)) != NULL; i++) {
		saw = n->body_case == ROOKERY__NOTIFICATION__BODY_SYNCED;
		if (saw)
			*count = n->synced->delivered;
		rookery__notification__free_unpacked(n, NULL);
	}
	return saw;
}

static void
test_stored_and_delivered(void **state)
{
	struct harness *h = *state;
	struct client alice, bob;
	struct cell_stored answer;
	struct frame_deliver d;
	uint32_t synced = 99;
	uint64_t token;

	friends(h, &alice, &bob);
	session_event(h, bob.sid, SESSION_CLOSED);
	for (message_id_t id = 1; id <= 3; id++) {
		answer = store_message(h, &alice, bob.user, id, "hello");
		assert_int_equal(answer.ok, 1);
		assert_int_equal(answer.stored, 1);
	}
	answer = store_message(h, &alice, bob.user, 2, "hello"); /* asked twice */
	assert_int_equal(answer.ok, 1);
	assert_int_equal(answer.stored, 1);

	assert_true(client_login(h, &bob, "bob"));
	for (uint32_t i = 0; i < 3; i++) {
		assert_true(client_delivered(h, &bob, i, &d, &token));
		assert_int_equal(d.id, i + 1);
		assert_true(d.from == alice.user);
		assert_true(d.from_device == alice.device);
		assert_int_equal(d.flags, MESSAGE_STORED);
		assert_int_equal(d.length, 5);
		assert_memory_equal(d.body, "hello", 5);
	}
	assert_false(client_delivered(h, &bob, 3, &d, &token));
	assert_false(saw_synced(h, &bob, &synced));
	client_ack_all(h, &bob);
	assert_true(saw_synced(h, &bob, &synced));
	assert_int_equal(synced, 3);
	assert_int_equal(harness_sent_count(h, INJECT_RECEIPT), 3);
	assert_true(harness_find(h, INJECT_RECEIPT, 0)->receipt.sid == alice.sid);
	assert_int_equal(harness_find(h, INJECT_RECEIPT, 0)->receipt.level, RECEIPT_DELIVERED);
	/* nothing comes twice; Synced once per login */
	assert_true(client_login(h, &bob, "bob"));
	assert_false(client_delivered(h, &bob, 0, &d, &token));
	assert_true(saw_synced(h, &bob, &synced));
	assert_int_equal(synced, 0);
	/* the sender that lost its state is told where to go on */
	assert_true(client_login(h, &alice, "alice"));
	assert_int_equal(alice.last_message_id, 3);
}

static void
test_stored_for_a_live_device(void **state)
{
	struct harness *h = *state;
	struct client alice, bob;
	struct frame_deliver d;
	uint64_t token, again;

	friends(h, &alice, &bob);
	client_ack_all(h, &bob);
	assert_int_equal(store_message(h, &alice, bob.user, 1, "hi").ok, 1);
	/* after the answer, the pump of the live session */
	assert_int_equal(h->sent[0].cell.type, INJECT_STORED);
	assert_true(client_delivered(h, &bob, 0, &d, &token));
	harness_sent_clear(h);
	delivered(h, bob.sid, token, DELIVERY_FAILED);
	assert_false(client_delivered(h, &bob, 0, &d, &again));
	harness_advance(h, PUMP_RETRY_MS - 1);
	assert_false(client_delivered(h, &bob, 0, &d, &again));
	harness_advance(h, 1);
	assert_true(client_delivered(h, &bob, 0, &d, &again));
	assert_true(again == token);
	delivered(h, bob.sid, token, DELIVERY_ACKED);
	assert_true(client_login(h, &bob, "bob"));
	assert_false(client_delivered(h, &bob, 0, &d, &token));
}

static void
test_window(void **state)
{
	struct harness *h = *state;
	struct client alice, bob;
	struct frame_deliver d;
	uint64_t token;

	friends(h, &alice, &bob);
	session_event(h, bob.sid, SESSION_CLOSED);
	for (message_id_t id = 1; id <= PUMP_WINDOW + 8; id++)
		assert_int_equal(store_message(h, &alice, bob.user, id, "x").ok, 1);
	assert_true(client_login(h, &bob, "bob"));
	assert_true(client_delivered(h, &bob, PUMP_WINDOW - 1, &d, &token));
	assert_false(client_delivered(h, &bob, PUMP_WINDOW, &d, &token));
	for (uint32_t i = 0; i < PUMP_WINDOW + 8; i++) {
		assert_true(client_delivered(h, &bob, i, &d, &token));
		assert_int_equal(d.id, i + 1);
		delivered(h, bob.sid, token, DELIVERY_ACKED);
	}
}

static Rookery__Response *
fetch(struct harness *h, struct client *c, const uint64_t *devices, const uint64_t *ids, size_t n)
{
	Rookery__Request q = ROOKERY__REQUEST__INIT;
	Rookery__FetchStored b = ROOKERY__FETCH_STORED__INIT;
	struct cell cell;

	b.n_held_device = b.n_held_id = n;
	b.held_device = (uint64_t *)(uintptr_t)devices;
	b.held_id = (uint64_t *)(uintptr_t)ids;
	q.body_case = ROOKERY__REQUEST__BODY_FETCH_STORED;
	q.fetch_stored = &b;
	client_request_cell(&cell, c, ++c->request, &q);
	harness_cell(h, &cell);
	return client_response(h, c, c->request);
}

/* What the client holds back must not keep what it waits for from coming. */
static void
test_fetch_stored(void **state)
{
	struct harness *h = *state;
	struct client alice, bob, carol;
	uint64_t token, first, held = 2, tokens[101];
	struct frame_deliver d;
	Rookery__Response *r;
	uint32_t count = 0;

	friends(h, &alice, &bob);
	client_init(&carol, 0);
	client_register(h, &carol, "carol", "secret1");
	befriend(h, &carol, "carol", &bob, "bob");
	client_ack_all(h, &bob);
	r = fetch(h, &bob, NULL, NULL, 0);
	assert_non_null(r); /* nothing there */
	assert_int_equal(r->code, ROOKERY__CODE__CODE_OK);
	rookery__response__free_unpacked(r, NULL);

	session_event(h, bob.sid, SESSION_CLOSED);
	/* stored out of order: what the client misses, id 1, comes last of 100; then one of somebody else */
	for (message_id_t id = 100; id >= 1; id--)
		assert_int_equal(store_message(h, &alice, bob.user, id, "x").ok, 1);
	assert_int_equal(store_message(h, &carol, bob.user, 1, "y").ok, 1);
	assert_true(client_login(h, &bob, "bob"));
	while (client_delivered(h, &bob, count, &d, &tokens[count]))
		count++;
	assert_int_equal(count, PUMP_WINDOW);
	harness_sent_clear(h);
	assert_null(fetch(h, &bob, &alice.device, &held, 1));
	assert_true(client_delivered(h, &bob, 0, &d, &first));
	assert_true(d.from == alice.user);
	assert_int_equal(d.id, 1);
	assert_true(client_delivered(h, &bob, 1, &d, &token));
	assert_true(d.from == carol.user);
	assert_false(client_delivered(h, &bob, 2, &d, &token));
	delivered(h, bob.sid, first, DELIVERY_ACKED);
	assert_null(client_response(h, &bob, bob.request));
	assert_true(client_delivered(h, &bob, 1, &d, &token));
	delivered(h, bob.sid, token, DELIVERY_ACKED);
	r = client_response(h, &bob, bob.request);
	assert_non_null(r);
	assert_int_equal(r->code, ROOKERY__CODE__CODE_OK);
	rookery__response__free_unpacked(r, NULL);
	/* now the client can show them: as it acknowledges them, those that were passed over follow */
	harness_sent_clear(h);
	for (uint32_t acked = 0, seen = 0; acked < 99; acked++) {
		while (count < 99 && client_delivered(h, &bob, seen, &d, &tokens[count])) {
			seen++;
			count++;
		}
		assert_true(acked < count);
		delivered(h, bob.sid, tokens[acked], DELIVERY_ACKED);
	}
	assert_true(client_login(h, &bob, "bob"));
	assert_false(client_delivered(h, &bob, 0, &d, &token));
}

/* The next FetchStored ends what the one before held, and all flows to the end. */
static void
test_fetch_stored_again(void **state)
{
	struct harness *h = *state;
	uint64_t tokens[100], held = 1, token;
	struct client alice, bob;
	struct frame_deliver d;
	Rookery__Response *r;
	uint32_t count = 0, acked = 0, synced = 0;

	friends(h, &alice, &bob);
	session_event(h, bob.sid, SESSION_CLOSED);
	for (message_id_t id = 1; id <= 100; id++)
		assert_int_equal(store_message(h, &alice, bob.user, id, "x").ok, 1);
	assert_true(client_login(h, &bob, "bob"));
	/* all of it is held: answered at once, and not sent without end */
	r = fetch(h, &bob, &alice.device, &held, 1);
	assert_non_null(r);
	rookery__response__free_unpacked(r, NULL);
	assert_false(client_delivered(h, &bob, PUMP_WINDOW, &d, &token));
	assert_null(fetch(h, &bob, NULL, NULL, 0));
	while (acked < 100) {
		while (count < 100 && client_delivered(h, &bob, count, &d, &token)) {
			assert_int_equal(d.id, count + 1);
			tokens[count++] = token;
		}
		assert_true(acked < count);
		delivered(h, bob.sid, tokens[acked++], DELIVERY_ACKED);
	}
	r = client_response(h, &bob, bob.request);
	assert_non_null(r);
	rookery__response__free_unpacked(r, NULL);
	assert_true(saw_synced(h, &bob, &synced));
	assert_int_equal(synced, 100);
	assert_false(client_delivered(h, &bob, 100, &d, &token));
}

static void
test_queue_full(void **state)
{
	struct harness *h = *state;
	struct client alice, bob;

	h->config->control.stored_max = 2;
	friends(h, &alice, &bob);
	session_event(h, bob.sid, SESSION_CLOSED);
	assert_int_equal(store_message(h, &alice, bob.user, 1, "x").ok, 1);
	assert_int_equal(store_message(h, &alice, bob.user, 2, "x").ok, 1);
	assert_int_equal(store_message(h, &alice, bob.user, 3, "x").ok, 0);
	assert_int_equal(store_message(h, &alice, bob.user, 2, "x").ok, 1); /* there already */
	assert_true(client_login(h, &bob, "bob"));
	client_ack_all(h, &bob);
	assert_int_equal(store_message(h, &alice, bob.user, 3, "x").ok, 1);
}

static void
test_targets(void **state)
{
	struct harness *h = *state;
	struct client alice, bob, phone;
	struct cell_stored answer;
	const struct cell *k;
	struct cell c;

	friends(h, &alice, &bob);
	client_init(&phone, 0);
	assert_true(client_login(h, &phone, ""));
	assert_int_equal(client_enrol(h, &phone, "bob", "secret1"), ROOKERY__CODE__CODE_OK);
	session_event(h, bob.sid, SESSION_CLOSED);
	session_event(h, phone.sid, SESSION_CLOSED);
	answer = store_message(h, &alice, bob.user, 1, "both");
	assert_int_equal(answer.stored, 2);
	assert_int_equal(store_message(h, &alice, 4711, 2, "nobody").stored, 0);
	assert_int_equal(store_message(h, &alice, alice.user, 3, "self").stored, 0);
	/* one device taken live */
	memset(&c, 0, sizeof(c));
	c.type = PUNT_STORE;
	c.store.from = alice.user;
	c.store.from_device = alice.device;
	c.store.to = bob.user;
	c.store.id = 4;
	c.store.except_count = 1;
	c.store.except[0] = phone.device;
	harness_sent_clear(h);
	harness_cell(h, &c);
	k = harness_find(h, INJECT_STORED, 0);
	assert_int_equal(k->stored.stored, 1);
	/* one device alone */
	c.store.id = 5;
	c.store.except_count = 0;
	c.store.device = phone.device;
	harness_sent_clear(h);
	harness_cell(h, &c);
	k = harness_find(h, INJECT_STORED, 0);
	assert_int_equal(k->stored.stored, 1);
	assert_true(k->stored.device == phone.device);
	/* a device of somebody else is none of bob's */
	c.store.device = alice.device;
	harness_sent_clear(h);
	harness_cell(h, &c);
	assert_int_equal(harness_find(h, INJECT_STORED, 0)->stored.stored, 0);
	/* 31 days later: only the device that came back since; then nobody was seen lately: the last one */
	harness_advance(h, UINT64_C(31) * 24 * 3600 * 1000);
	assert_true(client_login(h, &bob, "bob"));
	assert_int_equal(harness_find(h, TABLE_USER_SET, 0)->user.away, 0);
	session_event(h, bob.sid, SESSION_CLOSED);
	assert_int_equal(store_message(h, &alice, bob.user, 6, "x").stored, 1);
	harness_advance(h, UINT64_C(31) * 24 * 3600 * 1000);
	assert_int_equal(store_message(h, &alice, bob.user, 7, "x").stored, 1);
}

static void
test_old_messages_expire(void **state)
{
	struct harness *h = *state;
	struct client alice, bob;
	struct frame_deliver d;
	uint64_t token;

	friends(h, &alice, &bob);
	session_event(h, bob.sid, SESSION_CLOSED);
	assert_int_equal(store_message(h, &alice, bob.user, 1, "old").ok, 1);
	harness_advance(h, UINT64_C(20) * 24 * 3600 * 1000);
	assert_int_equal(store_message(h, &alice, bob.user, 2, "new").ok, 1);
	harness_advance(h, UINT64_C(11) * 24 * 3600 * 1000);
	assert_true(client_login(h, &bob, "bob"));
	assert_true(client_delivered(h, &bob, 0, &d, &token));
	assert_int_equal(d.id, 2);
}

/* ---- the store in trouble --------------------------------------------------------------- */

static void
test_store_locked(void **state)
{
	struct harness *h = *state;
	struct server_status *status = calloc(1, sizeof(*status));
	struct client alice, bob, carol;
	struct frame_deliver d;
	char path[128];
	uint64_t token;
	sqlite3 *other;

	friends(h, &alice, &bob);
	session_event(h, bob.sid, SESSION_CLOSED);
	assert_int_equal(store_message(h, &alice, bob.user, 1, "x").ok, 1);
	assert_true(client_login(h, &bob, "bob"));
	assert_true(client_delivered(h, &bob, 0, &d, &token));
	snprintf(path, sizeof(path), "%s/rookery.db", h->dir);
	assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);

	/* what changes is refused and said so; what only reads goes on; what happened is not forgotten */
	assert_int_equal(store_message(h, &alice, bob.user, 2, "y").ok, 0);
	assert_int_equal(client_add(h, &alice, "bob", ""), ROOKERY__CODE__CODE_ALREADY_BUDDIES);
	client_init(&carol, 0);
	assert_true(client_login(h, &carol, ""));
	assert_int_equal(carol.result, ROOKERY__LOGIN_RESULT__LOGIN_BUSY);
	assert_int_equal(verdict(h, alice.user, bob.user), VERDICT_ALLOWED);
	delivered(h, bob.sid, token, DELIVERY_ACKED);
	assert_int_equal(harness_sent_count(h, INJECT_RECEIPT), 1);
	harness_sent_clear(h);
	session_event(h, bob.sid, SESSION_CLOSED);
	assert_true(saw_presence(h, &alice, bob.user, ROOKERY__STATUS__STATUS_OFFLINE));
	server_status(h->server, status);
	assert_false(status->store_ok);
	assert_non_null(strstr(status->store_error, "locked"));

	assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(other);
	harness_advance(h, STORE_RETRY_MS);
	server_status(h->server, status);
	assert_true(status->store_ok);
	assert_int_equal(status->stored_messages, 0);
	assert_int_equal(store_message(h, &alice, bob.user, 2, "y").ok, 1);
	assert_true(client_login(h, &carol, ""));
	assert_int_equal(carol.result, ROOKERY__LOGIN_RESULT__LOGIN_RESTRICTED);
	free(status);
}

static void
test_disk_full(void **state)
{
	struct harness *h = *state;
	Rookery__Code code = ROOKERY__CODE__CODE_OK;
	struct client alice, bob, other;
	char text[MESSAGE_BODY_MAX];
	message_id_t id = 0, refused;
	unsigned i = 0;

	friends(h, &alice, &bob);
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	session_event(h, bob.sid, SESSION_CLOSED);
	assert_int_equal(store_limit_pages(h->store, 60), 0);
	while (store_message(h, &alice, bob.user, ++id, text).ok == 1)
		assert_true(id < 1000);
	refused = id;
	harness_advance(h, STORE_RETRY_MS);
	assert_int_equal(store_message(h, &alice, bob.user, refused, text).ok, 0);
	/* requests that change something: refused, nothing half done */
	while (code == ROOKERY__CODE__CODE_OK && i < 200) {
		harness_advance(h, STORE_RETRY_MS);
		client_init(&other, 0);
		if (!client_login(h, &other, "") || other.result != ROOKERY__LOGIN_RESULT__LOGIN_RESTRICTED)
			break;
		i++;
		code = client_enrol(h, &other, "bob", "secret1");
	}
	assert_true(other.result == ROOKERY__LOGIN_RESULT__LOGIN_BUSY ||
		    code == ROOKERY__CODE__CODE_STORE_UNAVAILABLE || code == ROOKERY__CODE__CODE_LIMIT);
	assert_int_equal(store_limit_pages(h->store, 0), 0);
	harness_advance(h, STORE_RETRY_MS);
	assert_int_equal(store_message(h, &alice, bob.user, refused, text).ok, 1);
}

/* ---- dataplanes -------------------------------------------------------------------------- */

static void
test_dataplane_restarted(void **state)
{
	struct harness *h = *state;
	struct client alice, bob, carol;
	const struct cell *c, *of_bob = NULL;
	struct session_keys keys;
	struct frame_deliver d;
	uint64_t barrier, token;

	friends(h, &alice, &bob);
	client_init(&carol, 0);
	assert_true(client_login(h, &carol, ""));
	assert_int_equal(store_message(h, &alice, bob.user, 1, "in flight").ok, 1);
	session_event(h, bob.sid, SESSION_MOVED);
	harness_sent_clear(h);
	assert_int_equal(server_attach(h->server, 2, WORKERS, SLOTS), 0);
	assert_null(server_check(h->server));
	assert_int_equal(harness_sent_count(h, INJECT_SESSION_ADD), 3);
	for (uint32_t i = 0; (c = harness_find(h, INJECT_SESSION_ADD, i)) != NULL; i++) {
		assert_int_equal(c->session_add.epoch, 1);
		assert_int_equal(c->session_add.probe, 1);
		if (c->session_add.sid == bob.sid)
			of_bob = c;
	}
	session_keys_derive(&keys, &bob.secret, 1);
	assert_memory_equal(&of_bob->session_add.keys, &keys, sizeof(keys));
	assert_int_equal(of_bob->session_add.peer.port, 50000);
	assert_int_equal(harness_sent_count(h, TABLE_USER_SET), 2);
	assert_int_equal(h->sent[h->count - 1].cell.type, TABLE_BARRIER);
	assert_true(server_provisioned(h->server, &barrier));
	assert_true(h->sent[h->count - 1].cell.barrier.value == barrier);
	/* what it missed is said once the client is heard in the new epoch */
	assert_false(client_delivered(h, &bob, 0, &d, &token));
	session_event(h, bob.sid, SESSION_HEARD);
	assert_true(client_delivered(h, &bob, 0, &d, &token));
	assert_true(saw_presence(h, &bob, alice.user, ROOKERY__STATUS__STATUS_ONLINE));
	client_ack_all(h, &bob);

	/* once more, and control dies as well in between */
	server_detach(h->server);
	harness_restart(h, 3);
	assert_int_equal(harness_sent_count(h, INJECT_SESSION_ADD), 3);
	for (uint32_t i = 0; (c = harness_find(h, INJECT_SESSION_ADD, i)) != NULL; i++)
		assert_int_equal(c->session_add.epoch, 2);
	/* a session of now has epoch 0 */
	assert_true(client_login(h, &alice, "alice"));
	assert_int_equal(harness_find(h, INJECT_SESSION_ADD, 0)->session_add.epoch, 0);
}

static void
test_control_restarted(void **state)
{
	struct harness *h = *state;
	struct client alice, bob;
	struct frame_deliver d;
	uint64_t token;

	friends(h, &alice, &bob);
	assert_int_equal(store_message(h, &alice, bob.user, 1, "in flight").ok, 1);
	assert_true(client_delivered(h, &bob, 0, &d, &token));
	harness_restart(h, 1);
	assert_int_equal(harness_sent_count(h, INJECT_SESSION_ADD), 0);
	assert_int_equal(harness_sent_count(h, TABLE_USER_SET), 2);
	assert_true(client_delivered(h, &bob, 0, &d, &token)); /* again: the client drops what it has */
	/* an outcome that was on its way to the control process before */
	delivered(h, bob.sid, token, DELIVERY_ACKED);
	assert_true(client_login(h, &bob, "bob"));
	assert_false(client_delivered(h, &bob, 0, &d, &token));
	assert_int_equal(verdict(h, alice.user, bob.user), VERDICT_ALLOWED);
	/* requests of a session from before */
	assert_int_equal(client_add(h, &alice, "bob", ""), ROOKERY__CODE__CODE_ALREADY_BUDDIES);
}

/* Killed after it had noted the new dataplane, before all sessions were on their way there: its successor sends them again, with the epoch
 * that was noted. */
static void
test_killed_while_provisioning(void **state)
{
	struct harness *h = *state;
	struct client alice, bob;

	friends(h, &alice, &bob);
	h->room = 1;
	assert_int_equal(server_attach(h->server, 2, WORKERS, SLOTS), 0);
	h->room = UINT32_MAX;
	harness_restart(h, 2);
	assert_int_equal(harness_sent_count(h, INJECT_SESSION_ADD), 0); /* if it was told that all is there */
	harness_sent_clear(h);
	server_set_unfinished(h->server, true);
	assert_int_equal(server_attach(h->server, 2, WORKERS, SLOTS), 0);
	assert_int_equal(harness_sent_count(h, INJECT_SESSION_ADD), 2);
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(harness_find(h, INJECT_SESSION_ADD, i)->session_add.epoch, 1);
}

static void
test_outcome_after_restart(void **state)
{
	struct harness *h = *state;
	struct client alice, bob;
	struct frame_deliver d;
	uint64_t token;

	friends(h, &alice, &bob);
	assert_int_equal(store_message(h, &alice, bob.user, 1, "x").ok, 1);
	assert_true(client_delivered(h, &bob, 0, &d, &token));
	/* no pump knows the token yet */
	harness_restart(h, 1);
	server_detach(h->server);
	delivered(h, bob.sid, token, DELIVERY_ACKED);
	harness_restart(h, 1);
	assert_false(client_delivered(h, &bob, 0, &d, &token));
}

static void
test_smaller_dataplane(void **state)
{
	struct harness *h = *state;
	struct client alice, bob;

	friends(h, &alice, &bob); /* alice on worker 0, bob on worker 1 */
	harness_sent_clear(h);
	assert_int_equal(server_attach(h->server, 2, 1, SLOTS), 0);
	assert_null(server_check(h->server));
	assert_int_equal(harness_sent_count(h, INJECT_SESSION_ADD), 1);
	assert_true(harness_find(h, INJECT_SESSION_ADD, 0)->session_add.sid == alice.sid);
	session_event(h, alice.sid, SESSION_HEARD);
	assert_true(saw_presence(h, &alice, bob.user, ROOKERY__STATUS__STATUS_OFFLINE));
}

static void
test_session_refused(void **state)
{
	struct harness *h = *state;
	struct client alice, bob;

	friends(h, &alice, &bob);
	session_event(h, bob.sid, SESSION_REFUSED);
	assert_true(saw_presence(h, &alice, bob.user, ROOKERY__STATUS__STATUS_OFFLINE));
	session_expired(h, bob.sid); /* of a session that is none */
}

static void
test_ring_full(void **state)
{
	struct harness *h = *state;
	struct client alice, bob;
	uint64_t barrier;
	uint32_t before;

	friends(h, &alice, &bob);
	harness_sent_clear(h);
	h->room = 0;
	for (message_id_t id = 1; id <= 20; id++)
		store_message(h, &alice, bob.user, id, "x");
	assert_int_equal(h->count, 0);
	assert_false(server_provisioned(h->server, &barrier));
	h->room = 7;
	assert_true(server_flush(h->server) > 0);
	assert_int_equal(h->count, 7);
	h->room = UINT32_MAX;
	before = h->count;
	assert_int_equal(server_flush(h->server), 0);
	assert_true(h->count > before);
	/* in order: each message's answer, and its delivery after it */
	for (message_id_t id = 1; id <= 20; id++)
		assert_int_equal(harness_find(h, INJECT_STORED, (uint32_t)id - 1)->stored.id, id);
	assert_int_equal(harness_sent_count(h, INJECT_STORED), 20);
	assert_true(server_provisioned(h->server, &barrier));
}

static void
test_back_pressure(void **state)
{
	struct harness *h = *state;
	struct client alice, bob;
	message_id_t id = 1;

	friends(h, &alice, &bob);
	h->room = 0;
	while (server_accepts(h->server, false)) {
		assert_int_equal(store_message(h, &alice, 4711, id, "x").ok, 2); /* no answer comes through */
		assert_true(++id < 100000);
	}
	assert_true(server_accepts(h->server, true));
	h->room = UINT32_MAX;
	server_flush(h->server);
	assert_true(server_accepts(h->server, false));
}

/* ---- epochs ------------------------------------------------------------------------------- */

static void
stale_cell(struct cell *c, const struct client *of, uint16_t epoch, bool forged)
{
	struct wire_data d = {.sid = of->sid, .counter = wire_counter(epoch, 5)};
	uint8_t nonce[AEAD_NONCE], plain[9] = {FRAME_PING};
	struct session_keys keys;
	struct aead_key key;

	memset(c, 0, sizeof(*c));
	memset(&key, 0, sizeof(key));
	c->type = PUNT_STALE;
	c->worker = session_id_worker(of->sid);
	c->stale.sid = of->sid;
	endpoint_set_ipv4(&c->stale.peer, "\x7f\0\0\1", 60000);
	wire_data_write(&d, c->data);
	session_keys_derive(&keys, &of->secret, epoch);
	wire_nonce(nonce, WIRE_TO_SERVER, d.counter);
	assert_int_equal(aead_key_set(&key, keys.key), 0);
	aead_seal(&key, nonce, c->data, WIRE_DATA_HEADER, plain, sizeof(plain), c->data + WIRE_DATA_HEADER,
		  c->data + WIRE_DATA_HEADER + sizeof(plain));
	aead_key_clear(&key);
	c->length = WIRE_DATA_HEADER + sizeof(plain) + WIRE_TAG;
	if (forged)
		c->data[c->length - 1] ^= 1;
}

static void
test_stale_epoch(void **state)
{
	struct harness *h = *state;
	struct client alice, bob;
	struct cell c;

	assert_int_equal(aead_init(), 0);
	friends(h, &alice, &bob);
	stale_cell(&c, &alice, 0, false);
	harness_cell(h, &c);
	assert_int_equal(harness_sent_count(h, INJECT_PROBE), 0); /* it is the present epoch */
	assert_int_equal(server_attach(h->server, 2, WORKERS, SLOTS), 0);
	stale_cell(&c, &alice, 0, true);
	harness_cell(h, &c);
	assert_int_equal(harness_sent_count(h, INJECT_PROBE), 0);
	stale_cell(&c, &alice, 0, false);
	harness_cell(h, &c);
	assert_int_equal(harness_sent_count(h, INJECT_PROBE), 1);
	assert_int_equal(harness_find(h, INJECT_PROBE, 0)->probe.peer.port, 60000);
	harness_cell(h, &c); /* at most one a second */
	assert_int_equal(harness_sent_count(h, INJECT_PROBE), 1);
	harness_advance(h, 1000);
	harness_cell(h, &c);
	assert_int_equal(harness_sent_count(h, INJECT_PROBE), 2);
	c.length = 10;
	harness_advance(h, 1000);
	harness_cell(h, &c);
	assert_int_equal(harness_sent_count(h, INJECT_PROBE), 2);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)
	const struct CMUnitTest tests[] = {
		T(test_stored_and_delivered),
		T(test_stored_for_a_live_device),
		T(test_window),
		T(test_fetch_stored),
		T(test_fetch_stored_again),
		T(test_queue_full),
		T(test_targets),
		T(test_old_messages_expire),
		T(test_store_locked),
		T(test_disk_full),
		T(test_dataplane_restarted),
		T(test_control_restarted),
		T(test_killed_while_provisioning),
		T(test_outcome_after_restart),
		T(test_smaller_dataplane),
		T(test_session_refused),
		T(test_ring_full),
		T(test_back_pressure),
		T(test_stale_epoch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
