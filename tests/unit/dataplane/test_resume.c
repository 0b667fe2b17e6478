/* SPDX-License-Identifier: BSD-3-Clause */
/* RESUME through real workers: what a ticket gives, what a copy of it does not, and who is told what when it cannot be had. */
#include "eal_fixture.h"
#include "relay_world.h"

#include <sodium.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const struct frame ping = {.type = FRAME_PING, .token = 42};
static const uint8_t server_key[32] = {9};

static void
expect_count(const struct world *w, enum counter c, uint64_t n)
{
	if (world_counter(w, c) != n)
		fail_msg("%s is %lu, not %lu", counter_info[c].name, (unsigned long)world_counter(w, c), (unsigned long)n);
}

static const struct ticket_key keys[3] = {{1, {1}}, {2, {2}}, {3, {3}}};

static void
give_keys(struct world *w, const struct ticket_key *now, const struct ticket_key *before)
{
	for (uint32_t i = 0; i < w->count; i++) {
		struct cell *c = control_put(w, IPC_INJECT, i, INJECT_TICKET_KEYS);

		c->ticket_keys = (struct cell_ticket_keys){.key = {now == NULL ? (struct ticket_key){0} : *now,
								   before == NULL ? (struct ticket_key){0} : *before}};
		control_publish(w, IPC_INJECT, i);
	}
	world_settle(w);
}

/* Somebody who comes back. */
struct comer {
	struct peer peer;
	uint8_t secret[RESUME_SECRET];
	uint8_t nonce[RESUME_NONCE];
	uint8_t datagram[RESUME_SIZE];
	struct session_secret session;
};

static void
comer_init(struct comer *c, struct world *w, const struct ticket_key *key, uint8_t n)
{
	struct ticket t = {.user = n, .device = n * 10u, .login_timestamp = 77, .expires_ms = w->wall_ms + 60000,
			   .status = 2};
	uint8_t ticket[TICKET_SIZE], nonce[TICKET_NONCE] = {n};
	struct ticket_cipher k = {0};
	uint8_t ip[4] = {10, 1, n, 1};

	memset(c, 0, sizeof(*c));
	c->peer.world = w;
	c->peer.user = n;
	endpoint_set_ipv4(&c->peer.address, ip, 4000);
	memset(c->secret, n, sizeof(c->secret));
	memcpy(t.secret, c->secret, sizeof(t.secret));
	c->nonce[0] = n;
	assert_int_equal(ticket_cipher_set(&k, key), 0);
	ticket_seal(&t, &k, nonce, ticket);
	ticket_cipher_clear(&k);
	resume_write(c->datagram, 1000u + n, c->nonce, ticket);
}

/* Sends RESUME to worker `at`; returns the flags of the answer, or -1. With a session its keys are set. */
static int
comer_resume(struct comer *c, uint32_t at)
{
	const uint8_t *nonce;
	uint8_t in[WIRE_DATAGRAM_MAX], proof[RESUME_PROOF];
	struct wire_prefix p;
	size_t n;

	world_send_raw(c->peer.world, at, &c->peer.address, c->datagram, sizeof(c->datagram));
	world_settle(c->peer.world);
	n = world_receive_raw(c->peer.world, &c->peer.address, in, sizeof(in));
	if (n == 0)
		return -1;
	wire_prefix_read(&p, in);
	assert_int_equal(p.type, WIRE_RESUME);
	assert_int_equal(p.id, 1000u + c->peer.user);
	assert_true(p.flags & RESUME_ANSWER);
	assert_memory_equal(in + WIRE_PREFIX, c->nonce, RESUME_NONCE);
	if (p.flags != RESUME_ANSWER) {
		assert_int_equal(n, RESUME_REFUSED_SIZE);
		return p.flags & ~RESUME_ANSWER;
	}
	assert_int_equal(n, RESUME_ACCEPTED_SIZE);
	nonce = in + WIRE_PREFIX + RESUME_NONCE;
	c->peer.sid = get64(nonce + RESUME_NONCE);
	resume_secret(&c->session, c->secret, c->nonce, nonce, c->peer.sid);
	resume_derive(&c->peer.keys, proof, &c->session, 0);
	assert_memory_equal(proof, nonce + RESUME_NONCE + 8, RESUME_PROOF);
	c->peer.sequence = 0;
	aead_key_set(&c->peer.key, c->peer.keys.key);
	return 0;
}

static struct world *
ready_world(uint32_t workers)
{
	struct world *w = world_new(workers);

	world_server_key(w, server_key);
	give_keys(w, &keys[0], NULL);
	return w;
}

static const struct cell *
heard(struct world *w, struct comer *c, uint32_t at)
{
	struct frame f;

	peer_send(&c->peer, at, &ping, 1);
	assert_true(peer_receive(&c->peer, FRAME_PONG, &f));
	assert_int_equal(f.pong.token, 42);
	return control_take(w, IPC_EVENT, session_id_worker(c->peer.sid), PUNT_RESUMED);
}

static void
update(struct world *w, const struct comer *c)
{
	struct cell *u = control_put(w, IPC_INJECT, session_id_worker(c->peer.sid), INJECT_SESSION_UPDATE);

	u->session_update = (struct cell_session_update){.sid = c->peer.sid, .user = c->peer.user, .device = c->peer.user * 10};
	control_publish(w, IPC_INJECT, session_id_worker(c->peer.sid));
	world_settle(w);
}

/* The worker that gets the RESUME owns the session; control hears of it with the first packet, and it is restricted until control has
 * said whose it is. */
static void
test_session(void **state)
{
	struct world *w = ready_world(2);
	const struct frame message = {.type = FRAME_MESSAGE,
				      .message = {.to = 9, .id = 1, .length = 2, .body = (const uint8_t *)"hi"}};
	const struct resumed_session *r;
	const struct cell *e;
	struct comer c;

	(void)state;
	comer_init(&c, w, &keys[0], 5);
	assert_int_equal(comer_resume(&c, 1), 0);
	assert_int_equal(session_id_worker(c.peer.sid), 1);
	assert_true(session_id_generation(c.peer.sid) & SESSION_GENERATION_RESUMED);
	assert_null(control_take(w, IPC_EVENT, 1, PUNT_RESUMED));
	e = heard(w, &c, 0);
	assert_non_null(e);
	assert_int_equal(e->resumed.count, 1);
	assert_int_equal(e->resumed.heard_ms, w->wall_ms);
	r = e->resumed_sessions;
	assert_int_equal(r->sid, c.peer.sid);
	assert_int_equal(r->user, 5);
	assert_int_equal(r->device, 50);
	assert_int_equal(r->login_timestamp, 77);
	assert_int_equal(r->status, 2);
	assert_true(endpoint_equal(&r->peer, &c.peer.address));
	assert_memory_equal(&r->secret, &c.session, sizeof(c.session));
	assert_null(heard(w, &c, 1)); /* once */
	peer_send(&c.peer, 1, &message, 1);
	expect_count(w, COUNTER_drop_restricted, 1);
	update(w, &c);
	peer_send(&c.peer, 1, &message, 1);
	expect_count(w, COUNTER_drop_restricted, 1);
	expect_count(w, COUNTER_messages_in, 1);
	expect_count(w, COUNTER_resumes, 1);
	expect_count(w, COUNTER_sessions_resumed, 1);
	expect_count(w, COUNTER_answered, 1);
	/* It lives as long as others do. */
	world_pass(w, (uint64_t)w->config->session.timeout_ms * 1000 - 200000);
	assert_null(heard(w, &c, 1));
	world_free(w);
}

static void
first_packet(struct comer *c, const struct frame *frames, unsigned n)
{
	uint8_t packet[WIRE_DATAGRAM_MAX];
	size_t length = peer_seal(&c->peer, frames, n, packet);

	world_send_raw(c->peer.world, 0, &c->peer.address, packet, length);
}

static void
expect_batch(struct world *w, const struct comer *c, uint32_t n)
{
	const struct cell *e = ring_front(w->workers[0]->event_ring);

	assert_non_null(e);
	assert_int_equal(e->type, PUNT_RESUMED);
	e = control_take(w, IPC_EVENT, 0, PUNT_RESUMED);
	assert_int_equal(e->resumed.count, n);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(e->resumed_sessions[i].sid, c[i].peer.sid);
}

/* Who is heard in one iteration is told of together, in the order in which it was, and before what else is said of them. */
static void
test_batch(void **state)
{
	const struct frame goes[2] = {{.type = FRAME_PING, .token = 42}, {.type = FRAME_CLOSE, .close_reason = CLOSE_LOGOUT}};
	struct world *w = ready_world(1);
	const struct cell *e;
	struct comer c[CELL_RESUMED_MAX + 6];

	(void)state;
	for (uint8_t i = 0; i < RTE_DIM(c); i++) {
		comer_init(&c[i], w, &keys[0], (uint8_t)(i + 1));
		assert_int_equal(comer_resume(&c[i], 0), 0);
	}
	for (unsigned i = 0; i < RTE_DIM(c); i++)
		first_packet(&c[i], i == CELL_RESUMED_MAX + 2 ? goes : &ping, i == CELL_RESUMED_MAX + 2 ? 2 : 1);
	world_settle(w);
	expect_batch(w, c, CELL_RESUMED_MAX);
	expect_batch(w, c + CELL_RESUMED_MAX, 3);
	e = ring_front(w->workers[0]->event_ring);
	assert_int_equal(e->type, PUNT_SESSION);
	assert_int_equal(control_take(w, IPC_EVENT, 0, PUNT_SESSION)->session.sid, c[CELL_RESUMED_MAX + 2].peer.sid);
	expect_batch(w, c + CELL_RESUMED_MAX + 3, 3);
	assert_null(ring_front(w->workers[0]->event_ring));
	expect_count(w, COUNTER_sessions_resumed, RTE_DIM(c));
	world_free(w);
}

/* All with one ticket, if they like. */
static void
no_limit_of_copies(struct world *w)
{
	for (uint32_t i = 0; i < w->count; i++)
		w->workers[i]->resume.again = (struct rate){0};
}

/* A copy of a RESUME makes a session with other keys, which nobody can use: it ends unheard, and nobody is told. */
static void
test_replayed(void **state)
{
	struct world *w = ready_world(1);
	struct session_keys first;
	struct comer c;
	session_id_t sid;

	(void)state;
	no_limit_of_copies(w);
	comer_init(&c, w, &keys[0], 5);
	assert_int_equal(comer_resume(&c, 0), 0);
	assert_non_null(heard(w, &c, 0));
	first = c.peer.keys;
	sid = c.peer.sid;
	for (unsigned i = 0; i < 20; i++) {
		struct comer copy = c;

		assert_int_equal(comer_resume(&copy, 0), 0);
		assert_true(copy.peer.sid != sid);
		assert_memory_not_equal(&copy.peer.keys, &first, sizeof(first));
	}
	assert_int_equal(w->workers[0]->sessions.live, 21);
	world_pass(w, RESUME_EMBRYO_US + 200000);
	assert_int_equal(w->workers[0]->sessions.live, 1);
	expect_count(w, COUNTER_resumes_unused, 20);
	assert_null(control_take(w, IPC_EVENT, 0, PUNT_RESUMED));
	assert_null(control_take(w, IPC_EVENT, 0, PUNT_SESSION));
	assert_null(heard(w, &c, 0));
	world_free(w);
}

/* Copies by the thousand take neither the places of others nor the way back of their own device for longer than a moment. */
static void
test_copies(void **state)
{
	struct world *w = ready_world(1);
	struct comer c, other;

	(void)state;
	comer_init(&c, w, &keys[0], 5);
	comer_init(&other, w, &keys[0], 6);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(comer_resume(&c, 0), i < RESUME_AGAIN ? 0 : -1);
	expect_count(w, COUNTER_resumes, RESUME_AGAIN);
	expect_count(w, COUNTER_drop_resume_again, 1000 - RESUME_AGAIN);
	assert_int_equal(comer_resume(&other, 0), 0);
	assert_non_null(heard(w, &c, 0)); /* the last one that was answered */
	world_pass(w, 1000000);
	assert_int_equal(comer_resume(&c, 0), 0);
	assert_int_equal(comer_resume(&c, 0), -1);
	world_free(w);
}

static void
test_void(void **state)
{
	struct world *w = ready_world(1);
	struct comer c;

	(void)state;
	comer_init(&c, w, &keys[1], 5); /* of a key that is not known */
	assert_int_equal(comer_resume(&c, 0), RESUME_VOID);
	comer_init(&c, w, &keys[0], 5);
	for (size_t i = WIRE_PREFIX + RESUME_NONCE; i < RESUME_SIZE; i++) {
		c.datagram[i] ^= 1;
		assert_int_equal(comer_resume(&c, 0), RESUME_VOID);
		c.datagram[i] ^= 1;
	}
	expect_count(w, COUNTER_drop_resume_ticket, 1 + TICKET_SIZE);
	w->wall_ms += 60000;
	assert_int_equal(comer_resume(&c, 0), RESUME_VOID);
	w->wall_ms--;
	assert_int_equal(comer_resume(&c, 0), 0);
	/* The answers to what is void have an end. */
	w->wall_ms++;
	for (unsigned i = 0; i < 1000; i++)
		if (comer_resume(&c, 0) < 0)
			break;
	assert_int_equal(comer_resume(&c, 0), -1);
	world_pass(w, 1000000);
	assert_int_equal(comer_resume(&c, 0), RESUME_VOID);
	assert_int_equal(w->workers[0]->sessions.live, 1);
	world_free(w);
}

static void
test_malformed(void **state)
{
	struct world *w = ready_world(1);
	uint8_t longer[RESUME_SIZE + 1] = {0};
	struct comer c;

	(void)state;
	comer_init(&c, w, &keys[0], 5);
	memcpy(longer, c.datagram, RESUME_SIZE);
	for (size_t n = WIRE_RUNT; n <= sizeof(longer); n++) {
		if (n != RESUME_SIZE)
			world_send_raw(w, 0, &c.peer.address, longer, n);
	}
	/* A server's answer is not answered. */
	for (unsigned i = 0; i < 16; i++) {
		memcpy(longer, c.datagram, RESUME_SIZE);
		longer[2 + i / 8] ^= (uint8_t)(1u << i % 8);
		world_send_raw(w, 0, &c.peer.address, longer, RESUME_SIZE);
	}
	world_settle(w);
	expect_count(w, COUNTER_drop_malformed, RESUME_SIZE + 1 - WIRE_RUNT + 16);
	assert_int_equal(world_receive_raw(w, &c.peer.address, longer, sizeof(longer)), 0);
	world_free(w);
}

static void
test_not_ready(void **state)
{
	struct world *w = world_new(1);
	struct comer c;

	(void)state;
	comer_init(&c, w, &keys[0], 5);
	give_keys(w, &keys[0], NULL);
	assert_int_equal(comer_resume(&c, 0), -1); /* sessions may still be on their way */
	world_server_key(w, server_key);
	assert_int_equal(comer_resume(&c, 0), 0);
	give_keys(w, NULL, NULL);
	assert_int_equal(comer_resume(&c, 0), -1);
	expect_count(w, COUNTER_drop_resume_not_ready, 2);
	world_free(w);
}

static void
test_rotation(void **state)
{
	struct world *w = ready_world(1);
	struct comer c;

	(void)state;
	comer_init(&c, w, &keys[0], 5);
	give_keys(w, &keys[1], &keys[0]);
	assert_int_equal(comer_resume(&c, 0), 0);
	give_keys(w, &keys[2], &keys[1]);
	assert_int_equal(comer_resume(&c, 0), RESUME_VOID);
	comer_init(&c, w, &keys[1], 6);
	assert_int_equal(comer_resume(&c, 0), 0);
	world_free(w);
}

/* Without room for the event there is no session: later comers are told when to come, one after the other. */
static void
test_busy(void **state)
{
	struct world *w = ready_world(1);
	struct worker *worker = w->workers[0];
	uint32_t room = ring_capacity(worker->event_ring);
	struct comer c, late;
	int last = 0, flags;
	struct frame f;

	(void)state;
	no_limit_of_copies(w);
	worker->resume.spread = rate_make(5, 1000, 1);
	comer_init(&c, w, &keys[0], 5);
	comer_init(&late, w, &keys[0], 6);
	assert_int_equal(comer_resume(&c, 0), 0);
	while (ring_used(worker->event_ring) < room)
		assert_true(punt_delivered(worker, 1, 1, DELIVERY_ACKED));
	peer_send(&c.peer, 0, &ping, 1);
	assert_false(peer_receive(&c.peer, FRAME_PONG, &f));
	expect_count(w, COUNTER_drop_resume_event, 1);
	for (unsigned i = 0; i < 20; i++) {
		flags = comer_resume(&late, 0);
		assert_in_range(flags, 1, RESUME_WAIT_MAX);
		assert_in_range(flags, last, last + 2);
		last = flags;
	}
	assert_in_range(last, 36, 40); /* 19 places of 200 ms */
	/* The queue has an end, and who comes then is spread. */
	for (unsigned i = 0; i < 400; i++)
		assert_in_range(comer_resume(&late, 0), 1, RESUME_WAIT_MAX);
	expect_count(w, COUNTER_drop_resume_busy, 420);
	expect_count(w, COUNTER_resumes, 1);
	while (control_take(w, IPC_EVENT, 0, PUNT_DELIVERED) != NULL)
		;
	assert_non_null(heard(w, &c, 0));
	assert_int_equal(comer_resume(&late, 0), 0);
	world_free(w);
}

/* All slots and places are taken: the newest wait, the oldest that was not heard gives way after a second. */
static void
test_crowded(void **state)
{
	struct world *w = ready_world(1);
	struct session_table *t = &w->workers[0]->sessions;
	uint32_t places = w->workers[0]->resume.capacity;
	struct comer c[64];
	struct peer p;

	(void)state;
	assert_int_equal(places, 64);
	assert_int_equal(t->capacity, 64);
	peer_join(&p, w, 0, 63, 1, 0);
	peer_join(&p, w, 0, 0, 2, 0);
	for (uint8_t i = 0; i < 62; i++) {
		comer_init(&c[i], w, &keys[0], (uint8_t)(i + 1));
		assert_int_equal(comer_resume(&c[i], 0), 0);
	}
	comer_init(&c[62], w, &keys[0], 63);
	assert_int_equal(comer_resume(&c[62], 0), RESUME_VOID);
	expect_count(w, COUNTER_drop_resume_full, 1);
	assert_non_null(heard(w, &c[7], 0));
	/* A login comes before one who was not heard. */
	peer_join(&p, w, 0, session_id_index(c[9].peer.sid), 3, 0);
	peer_send(&p, 0, &ping, 1);
	assert_true(peer_receive(&p, FRAME_PONG, &(struct frame){0}));
	/* But not before one who was. */
	peer_join(&p, w, 0, session_id_index(c[7].peer.sid), 4, 0);
	assert_int_equal(control_take(w, IPC_EVENT, 0, PUNT_SESSION)->session.event, SESSION_HEARD); /* of the login before */
	assert_int_equal(control_take(w, IPC_EVENT, 0, PUNT_SESSION)->session.event, SESSION_REFUSED);
	assert_null(heard(w, &c[7], 0));
	world_pass(w, RESUME_EMBRYO_US + 200000);
	assert_int_equal(t->live, 4);
	expect_count(w, COUNTER_resumes_unused, 60);
	assert_int_equal(comer_resume(&c[62], 0), 0);
	world_free(w);
}

static void
test_gives_way(void **state)
{
	struct world *w = ready_world(1);
	struct resume *r = &w->workers[0]->resume;
	struct comer c[5];

	(void)state;
	r->capacity = 4;
	for (uint8_t i = 0; i < 5; i++)
		comer_init(&c[i], w, &keys[0], (uint8_t)(i + 1));
	for (uint8_t i = 0; i < 4; i++)
		assert_int_equal(comer_resume(&c[i], 0), 0);
	assert_in_range(comer_resume(&c[4], 0), 1, RESUME_WAIT_MAX);
	assert_non_null(heard(w, &c[0], 0));
	assert_int_equal(comer_resume(&c[4], 0), 0);
	assert_in_range(comer_resume(&c[0], 0), 1, RESUME_WAIT_MAX);
	world_pass(w, RESUME_GIVE_WAY_US);
	assert_int_equal(comer_resume(&c[0], 0), 0);
	expect_count(w, COUNTER_resumes_unused, 1);
	assert_non_null(heard(w, &c[4], 0));
	world_free(w);
}

static void
test_prefix(void **state)
{
	struct world *w = ready_world(1);
	struct comer c;
	struct frame f;

	(void)state;
	w->workers[0]->resume.host = rate_make(60, 60000, 3);
	for (uint8_t i = 0; i < 4; i++) {
		comer_init(&c, w, &keys[0], 5);
		assert_int_equal(comer_resume(&c, 0), 0);
		if (i < 3)
			assert_non_null(heard(w, &c, 0));
	}
	peer_send(&c.peer, 0, &ping, 1);
	assert_false(peer_receive(&c.peer, FRAME_PONG, &f));
	expect_count(w, COUNTER_drop_resume_prefix, 1);
	assert_int_equal(w->workers[0]->sessions.live, 3);
	/* Others are not concerned. */
	comer_init(&c, w, &keys[0], 6);
	assert_int_equal(comer_resume(&c, 0), 0);
	assert_non_null(heard(w, &c, 0));
	world_free(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_session),
		cmocka_unit_test(test_batch),
		cmocka_unit_test(test_replayed),
		cmocka_unit_test(test_copies),
		cmocka_unit_test(test_void),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_not_ready),
		cmocka_unit_test(test_rotation),
		cmocka_unit_test(test_busy),
		cmocka_unit_test(test_crowded),
		cmocka_unit_test(test_gives_way),
		cmocka_unit_test(test_prefix),
	};

	return cmocka_run_group_tests_name("resume", tests, eal_fixture_setup, eal_fixture_teardown);
}
