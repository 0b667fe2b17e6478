// SPDX-License-Identifier: BSD-3-Clause
/* Tickets and the sessions that workers begin with them: who may come back, and what becomes of it. */
#include "harness.h"

#include "control/core.h"
#include "shared/ticket.h"

#include <string.h>

struct got {
	uint8_t ticket[TICKET_SIZE];
	struct ticket is;
};

static struct ticket_cipher *
cipher_of(const struct ticket_key *k)
{
	static struct ticket_cipher cipher;

	assert_int_equal(ticket_cipher_set(&cipher, k), 0);
	return &cipher;
}

static void
got_ticket(struct harness *h, const Rookery__Ticket *t, struct got *out)
{
	assert_non_null(t);
	assert_int_equal(t->ticket.len, TICKET_SIZE);
	assert_int_equal(t->secret.len, RESUME_SECRET);
	assert_int_equal(t->lifetime_ms, h->config->session.ticket_ms);
	memcpy(out->ticket, t->ticket.data, TICKET_SIZE);
	assert_int_equal(ticket_key_id(out->ticket), h->server->tickets.key.id);
	assert_int_equal(ticket_open(&out->is, cipher_of(&h->server->tickets.key), out->ticket), 0);
	assert_memory_equal(out->is.secret, t->secret.data, RESUME_SECRET);
	assert_int_equal(out->is.expires_ms, h->wall_ms + h->config->session.ticket_ms);
}

static void
ask_ticket(struct harness *h, struct client *c, struct got *out)
{
	Rookery__Request q = ROOKERY__REQUEST__INIT;
	Rookery__GetTicket get = ROOKERY__GET_TICKET__INIT;
	Rookery__Response *r;

	q.body_case = ROOKERY__REQUEST__BODY_GET_TICKET;
	q.get_ticket = &get;
	r = client_request(h, c, &q);
	assert_non_null(r);
	assert_int_equal(r->code, ROOKERY__CODE__CODE_OK);
	assert_int_equal(r->body_case, ROOKERY__RESPONSE__BODY_TICKET);
	got_ticket(h, r->ticket, out);
	assert_int_equal(out->is.user, c->user);
	assert_int_equal(out->is.device, c->device);
	rookery__response__free_unpacked(r, NULL);
}

static uint64_t heard_ms; /* ms since 1970, at the worker */

static struct resumed_session *
resumed_add(struct cell *c, const struct got *g, session_id_t sid)
{
	struct resumed_session *r = &c->resumed_sessions[c->resumed.count++];
	static uint8_t nonce[RESUME_NONCE];

	c->length = (uint16_t)(c->resumed.count * sizeof(*r));
	*r = (struct resumed_session){.sid = sid, .user = g->is.user, .device = g->is.device,
				      .login_timestamp = g->is.login_timestamp, .status = g->is.status};
	nonce[0]++;
	resume_secret(&r->secret, g->is.secret, nonce, nonce, sid);
	endpoint_set_ipv4(&r->peer, "\x7f\0\0\1", 50001);
	return r;
}

/* As the worker tells it. */
static const struct resumed_session *
resumed_cell(struct cell *c, const struct got *g, session_id_t sid)
{
	memset(c, 0, sizeof(*c));
	c->type = PUNT_RESUMED;
	c->worker = session_id_worker(sid);
	c->resumed.heard_ms = heard_ms;
	return resumed_add(c, g, sid);
}

static void
resume(struct harness *h, const struct got *g, session_id_t sid)
{
	struct cell c;

	resumed_cell(&c, g, sid);
	harness_cell(h, &c);
}

static session_id_t
resumed_sid(uint32_t worker, uint32_t index)
{
	static uint32_t generation;

	return session_id_make(worker, SESSION_GENERATION_RESUMED | ++generation, index);
}

static bool
refused(struct harness *h, session_id_t sid)
{
	const struct cell *c;

	for (uint32_t i = 0; (c = harness_find(h, INJECT_SESSION_DEL, i)) != NULL; i++)
		if (c->session_del.sid == sid)
			return c->session_del.reason == CLOSE_EXPIRED && session_get(h->server, sid) == NULL;
	return false;
}

static bool
welcome(struct harness *h, struct client *c, session_id_t sid, struct got *next)
{
	const struct cell *u = harness_find(h, INJECT_SESSION_UPDATE, 0);
	Rookery__Notification *n;
	bool found = false;

	if (u == NULL || u->session_update.sid != sid)
		return false;
	assert_int_equal(u->session_update.user, c->user);
	assert_int_equal(u->session_update.device, c->device);
	assert_int_equal(u->session_update.flags, 0);
	c->sid = sid;
	for (uint32_t i = 0; !found && (n = client_notification(h, c, i)) != NULL; i++) {
		found = n->body_case == ROOKERY__NOTIFICATION__BODY_TICKET;
		if (found) {
			assert_int_equal(n->ticket->user_id, c->user);
			assert_int_equal(n->ticket->device_id, c->device);
			got_ticket(h, n->ticket, next);
		}
		rookery__notification__free_unpacked(n, NULL);
	}
	return found;
}

/* The session of before is replaced, buddies see nobody leave, and what the new one gets is what a login gets. */
static void
test_resume(void **state)
{
	struct harness *h = *state;
	struct client alice, bob;
	struct got ticket, next;
	session_id_t before, sid = resumed_sid(1, 40);
	const struct cell *c;
	struct session *n;

	client_init(&alice, 0);
	client_init(&bob, 1);
	client_register(h, &alice, "alice", "secret1");
	client_register(h, &bob, "bob", "secret2");
	befriend(h, &alice, "alice", &bob, "bob");
	ask_ticket(h, &alice, &ticket);
	before = alice.sid;
	harness_sent_clear(h);
	resume(h, &ticket, sid);
	assert_true(welcome(h, &alice, sid, &next));
	c = harness_find(h, INJECT_SESSION_DEL, 0);
	assert_non_null(c);
	assert_int_equal(c->session_del.sid, before);
	assert_int_equal(c->session_del.reason, CLOSE_REPLACED);
	assert_false(saw_presence(h, &bob, alice.user, ROOKERY__STATUS__STATUS_OFFLINE));
	n = session_get(h->server, sid);
	assert_non_null(n);
	assert_true(n->heard);
	assert_int_equal(n->device, alice.device);
	assert_int_equal(h->server->counters[CONTROL_resumed], 1);
	/* with the ticket that came with it, after the session is gone */
	session_event(h, sid, SESSION_CLOSED);
	assert_true(saw_presence(h, &bob, alice.user, ROOKERY__STATUS__STATUS_OFFLINE));
	harness_sent_clear(h);
	sid = resumed_sid(0, 63);
	resume(h, &next, sid);
	assert_true(welcome(h, &alice, sid, &ticket));
	assert_true(saw_presence(h, &bob, alice.user, ROOKERY__STATUS__STATUS_ONLINE));
	/* slots that resumed sessions had are given to others again */
	session_event(h, sid, SESSION_CLOSED);
	assert_null(server_check(h->server));
}

static void
test_void(void **state)
{
	struct harness *h = *state;
	struct client alice, other;
	struct got ticket, forged;
	session_id_t sid;
	struct store_device d;

	client_init(&alice, 0);
	client_init(&other, 0);
	client_register(h, &alice, "alice", "secret1");
	client_register(h, &other, "other", "secret1");
	ask_ticket(h, &alice, &ticket);
	/* the device logged in again */
	assert_true(client_login(h, &alice, "alice"));
	resume(h, &ticket, sid = resumed_sid(0, 50));
	assert_true(refused(h, sid));
	assert_non_null(session_get(h->server, alice.sid));
	/* thrown out */
	ask_ticket(h, &alice, &ticket);
	assert_int_equal(server_session_kick(h->server, alice.sid, NULL), 1);
	resume(h, &ticket, sid = resumed_sid(0, 51));
	assert_true(refused(h, sid));
	/* locked: another password */
	alice.timestamp++; /* a kick takes one */
	assert_true(client_login(h, &alice, "alice"));
	ask_ticket(h, &alice, &ticket);
	assert_int_equal(store_begin(h->store), 0);
	assert_int_equal(store_devices_lock(h->store, alice.user, 0), 0);
	assert_int_equal(store_commit(h->store), 0);
	resume(h, &ticket, sid = resumed_sid(0, 52));
	assert_true(refused(h, sid));
	/* somebody else's device */
	ask_ticket(h, &other, &ticket);
	forged = ticket;
	forged.is.user = alice.user;
	resume(h, &forged, sid = resumed_sid(0, 53));
	assert_true(refused(h, sid));
	/* removed */
	assert_int_equal(store_begin(h->store), 0);
	assert_int_equal(store_device_del(h->store, other.device), 0);
	assert_int_equal(store_commit(h->store), 0);
	assert_int_equal(store_device_by_id(h->store, other.device, &d), -ENOENT);
	resume(h, &ticket, sid = resumed_sid(0, 54));
	assert_true(refused(h, sid));
	assert_int_equal(h->server->counters[CONTROL_resumed_refused], 5);
	assert_int_equal(h->server->counters[CONTROL_resumed], 0);
}

/* A client that died and came back again, to another worker: control may hear of the two in either order. */
static void
test_two_workers(void **state)
{
	struct harness *h = *state;
	struct client alice;
	struct got ticket, next;
	session_id_t sids[4];

	client_init(&alice, 0);
	client_register(h, &alice, "alice", "secret1");
	ask_ticket(h, &alice, &ticket);
	for (unsigned i = 0; i < 4; i++)
		sids[i] = resumed_sid(i % 2, 50 + i);
	heard_ms = h->wall_ms - 1000;
	resume(h, &ticket, sids[0]);
	assert_true(welcome(h, &alice, sids[0], &next));
	harness_sent_clear(h);
	heard_ms -= 10;
	resume(h, &ticket, sids[1]);
	assert_true(refused(h, sids[1]));
	assert_non_null(session_get(h->server, sids[0]));
	/* Also by a control that was not there. */
	harness_restart(h, 1);
	harness_sent_clear(h);
	resume(h, &ticket, sids[2]);
	assert_true(refused(h, sids[2]));
	assert_non_null(session_get(h->server, sids[0]));
	harness_sent_clear(h);
	heard_ms += 20;
	resume(h, &ticket, sids[3]);
	assert_true(welcome(h, &alice, sids[3], &next));
	assert_null(session_get(h->server, sids[0]));
	/* It had sent a LOGIN before. */
	h->login_age_ms = h->wall_ms - heard_ms + 1;
	assert_false(client_login(h, &alice, ""));
	assert_int_equal(h->server->counters[CONTROL_logins_overtaken], 1);
	assert_non_null(session_get(h->server, sids[3]));
	/* It sends it still. */
	h->login_age_ms = 0;
	assert_true(client_login_again(h, &alice));
	assert_null(session_get(h->server, sids[3]));
}

static void
test_drained(void **state)
{
	struct harness *h = *state;
	struct client alice;
	struct got ticket, next;
	session_id_t sid;

	client_init(&alice, 0);
	client_register(h, &alice, "alice", "secret1");
	ask_ticket(h, &alice, &ticket);
	harness_drain(h, true);
	resume(h, &ticket, sid = resumed_sid(0, 50));
	assert_true(refused(h, sid));
	harness_drain(h, false);
	harness_sent_clear(h);
	resume(h, &ticket, sid = resumed_sid(0, 50));
	assert_true(welcome(h, &alice, sid, &next));
}

/* The worker tells of the session and of its end in one batch. */
static void
test_short(void **state)
{
	struct harness *h = *state;
	struct cell both[2] = {0};
	const struct cell *cells[2] = {&both[0], &both[1]};
	struct client alice;
	struct got ticket;
	session_id_t sid = resumed_sid(0, 50);

	client_init(&alice, 0);
	client_register(h, &alice, "alice", "secret1");
	ask_ticket(h, &alice, &ticket);
	resumed_cell(&both[0], &ticket, sid);
	both[1].type = PUNT_SESSION;
	both[1].session = (struct cell_session){.sid = sid, .event = SESSION_CLOSED};
	harness_cells(h, cells, 2);
	assert_null(session_get(h->server, sid));
	assert_null(user_get(h->server, alice.user));
	assert_null(server_check(h->server));
	/* or it expired */
	assert_true(client_login(h, &alice, "alice"));
	ask_ticket(h, &alice, &ticket);
	sid = resumed_sid(0, 51);
	resumed_cell(&both[0], &ticket, sid);
	memset(&both[1], 0, sizeof(both[1]));
	both[1].type = PUNT_EXPIRED;
	both[1].expired.count = 1;
	both[1].length = sizeof(sid);
	memcpy(both[1].data, &sid, sizeof(sid));
	harness_cells(h, cells, 2);
	assert_null(session_get(h->server, sid));
	assert_null(user_get(h->server, alice.user));
	assert_null(server_check(h->server));
}

/* Control dies after the commit, and the cell comes again: the session is there once, and its client is told. */
static void
test_again(void **state)
{
	struct harness *h = *state;
	struct client alice;
	struct got ticket, next;
	struct cell c;
	const struct resumed_session *r;
	session_id_t sid = resumed_sid(1, 30);
	struct session_keys keys[2];

	client_init(&alice, 1);
	client_register(h, &alice, "alice", "secret1");
	ask_ticket(h, &alice, &ticket);
	r = resumed_cell(&c, &ticket, sid);
	harness_cell(h, &c);
	harness_restart(h, 1);
	harness_sent_clear(h);
	harness_cell(h, &c);
	assert_true(welcome(h, &alice, sid, &next));
	assert_int_equal(h->server->sessions.count, 1);
	/* A new dataplane gets it with keys that it never had. */
	harness_sent_clear(h);
	assert_int_equal(server_attach(h->server, 2, WORKERS, SLOTS), 0);
	assert_non_null(harness_find(h, INJECT_SESSION_ADD, 0));
	assert_int_equal(harness_find(h, INJECT_SESSION_ADD, 0)->session_add.sid, sid);
	assert_int_equal(harness_find(h, INJECT_SESSION_ADD, 0)->session_add.epoch, 1);
	session_keys_derive(&keys[0], &r->secret, 0);
	session_keys_derive(&keys[1], &r->secret, 1);
	assert_memory_equal(&harness_find(h, INJECT_SESSION_ADD, 0)->session_add.keys, &keys[1], sizeof(keys[1]));
	assert_memory_not_equal(keys[0].key, keys[1].key, AEAD_KEY);
}

/* Control gave the slot away in the same moment: both log in. */
static void
test_slot_taken(void **state)
{
	struct harness *h = *state;
	struct client alice, bob;
	struct got ticket;
	session_id_t sid;

	client_init(&alice, 0);
	client_init(&bob, 0);
	client_register(h, &alice, "alice", "secret1");
	client_register(h, &bob, "bob", "secret1");
	ask_ticket(h, &alice, &ticket);
	resume(h, &ticket, sid = resumed_sid(0, session_id_index(bob.sid)));
	assert_true(refused(h, sid));
	assert_non_null(session_get(h->server, alice.sid));
	assert_non_null(session_get(h->server, bob.sid));
	/* and all slots can be given out, each once */
	for (uint32_t i = 0; i < SLOTS - 2; i++)
		assert_int_not_equal(slot_take(h->server, 0), SESSION_ID_NONE);
	assert_int_equal(slot_take(h->server, 0), SESSION_ID_NONE);
	for (uint32_t i = 0; i < SLOTS; i++)
		if (i != session_id_index(alice.sid) && i != session_id_index(bob.sid))
			slot_release(h->server, session_id_make(0, 1, i));
	assert_null(server_check(h->server));
}

static void
test_keys(void **state)
{
	struct harness *h = *state;
	struct tickets first = h->server->tickets, second;
	const struct cell *c;

	assert_int_not_equal(first.key.id, 0);
	assert_int_equal(first.before.id, 0);
	harness_restart(h, 1);
	assert_memory_equal(&h->server->tickets, &first, sizeof(first));
	harness_sent_clear(h);
	assert_int_equal(server_attach(h->server, 2, WORKERS, SLOTS), 0);
	assert_int_equal(harness_sent_count(h, INJECT_TICKET_KEYS), WORKERS);
	c = harness_find(h, INJECT_TICKET_KEYS, 0);
	assert_memory_equal(c->ticket_keys.key[0].key, first.key.key, AEAD_KEY);
	/* its time is over */
	harness_sent_clear(h);
	harness_advance(h, h->config->session.ticket_ms);
	server_timers(h->server);
	assert_int_equal(harness_sent_count(h, INJECT_TICKET_KEYS), WORKERS);
	second = h->server->tickets;
	assert_int_equal(second.key.id, first.key.id + 1);
	assert_memory_equal(&second.before, &first.key, sizeof(first.key));
	assert_memory_not_equal(second.key.key, first.key.key, AEAD_KEY);
	/* Long without a server: nothing of before opens anything. */
	harness_advance(h, 2u * h->config->session.ticket_ms);
	server_timers(h->server);
	assert_int_equal(h->server->tickets.before.id, 0);
	assert_int_equal(h->server->tickets.key.id, first.key.id + 2);
	harness_restart(h, 2);
	assert_int_equal(h->server->tickets.before.id, 0);
	assert_int_equal(h->server->tickets.key.id, first.key.id + 2);
}

static void
test_off(void **state)
{
	struct harness *h = *state;
	Rookery__Request q = ROOKERY__REQUEST__INIT;
	Rookery__GetTicket get = ROOKERY__GET_TICKET__INIT;
	Rookery__Response *r;
	struct client alice;

	h->config->session.ticket_ms = 0;
	client_init(&alice, 0);
	client_register(h, &alice, "alice", "secret1");
	q.body_case = ROOKERY__REQUEST__BODY_GET_TICKET;
	q.get_ticket = &get;
	r = client_request(h, &alice, &q);
	assert_non_null(r);
	assert_int_equal(r->code, ROOKERY__CODE__CODE_OK);
	assert_int_equal(r->body_case, ROOKERY__RESPONSE__BODY__NOT_SET);
	rookery__response__free_unpacked(r, NULL);
	harness_sent_clear(h);
	assert_int_equal(server_attach(h->server, 2, WORKERS, SLOTS), 0);
	assert_int_equal(harness_find(h, INJECT_TICKET_KEYS, 0)->ticket_keys.key[0].id, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_resume), TEST(test_void),	  TEST(test_two_workers), TEST(test_drained), TEST(test_short),
		TEST(test_again),  TEST(test_slot_taken), TEST(test_keys),    TEST(test_off),
	};

	return cmocka_run_group_tests_name("resume", tests, NULL, NULL);
}
