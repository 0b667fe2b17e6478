/* SPDX-License-Identifier: BSD-3-Clause */
/* Datagrams through real workers: what is answered, what is dropped and under which name, sessions' ends and moves. */
#include "eal_fixture.h"
#include "relay_world.h"

#include "shared/log_settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const struct frame ping = {.type = FRAME_PING, .token = 42};

static void
expect_count(const struct world *w, enum counter c, uint64_t n)
{
	if (world_counter(w, c) != n)
		fail_msg("%s is %lu, not %lu", counter_info[c].name, (unsigned long)world_counter(w, c), (unsigned long)n);
}

static void
test_ping(void **state)
{
	struct world *w = world_new(2);
	struct peer p;
	struct frame f;

	(void)state;
	peer_join(&p, w, 1, 0, 1, 0);
	for (uint32_t at = 0; at < 2; at++) {
		peer_send(&p, at, &ping, 1);
		assert_true(peer_receive(&p, FRAME_PONG, &f));
		assert_int_equal(f.pong.token, 42);
		assert_true(endpoint_equal(&f.pong.observed, &p.address));
	}
	expect_count(w, COUNTER_handoff_out, 1);
	expect_count(w, COUNTER_handoff_in, 1);
	expect_count(w, COUNTER_path_challenges, 0);
	world_free(w);
}

/* The answer leaves in the packet that brought the question: when none is free, nobody's heartbeat fails. */
static void
test_answers_without_a_free_packet(void **state)
{
	struct world *w = world_new(1);
	struct peer alice, bob, unknown;
	struct rte_mbuf *taken = NULL;
	struct frame f, message = {.type = FRAME_MESSAGE, .message = {.id = 1, .to = 2, .body = (const uint8_t *)"hi", .length = 2}};
	struct frame ack = {.type = FRAME_ACK, .ack = {.count = 1}};
	uint8_t ranges[6], out[WIRE_DATAGRAM_MAX];

	(void)state;
	world_server_key(w, (const uint8_t[32]){1});
	peer_join(&alice, w, 0, 0, 1, 0);
	peer_join(&bob, w, 0, 1, 2, 0);
	unknown = alice;
	unknown.sid += 5;
	endpoint_set_ipv4(&unknown.address, "\x0a\x09\x08\x07", 77);
	control_allow(w, 1, 2, VERDICT_ALLOWED);
	control_user(w, 2, false, (const struct peer *const[]){&bob}, 1);
	peer_send(&alice, 0, &message, 1);
	assert_true(peer_receive(&alice, FRAME_RECEIPT, &f));
	assert_true(peer_receive(&bob, FRAME_DELIVER, &f));
	wire_ack_put(ranges, 0, f.deliver.delivery, 1);
	ack.ack.ranges = ranges;

	world_send_raw(w, 0, &bob.address, out, peer_seal(&bob, &ping, 1, out));
	world_send_raw(w, 0, &bob.address, out, peer_seal(&bob, &ack, 1, out));
	world_send_raw(w, 0, &unknown.address, out, peer_seal(&unknown, &ping, 1, out));
	for (struct rte_mbuf *m; (m = rte_pktmbuf_alloc(w->pool)) != NULL; taken = m)
		m->next = taken;
	world_settle(w);
	for (struct rte_mbuf *next; taken != NULL; taken = next) {
		next = taken->next;
		taken->next = NULL;
		rte_pktmbuf_free(taken);
	}
	expect_count(w, COUNTER_tx_failed, 0);
	assert_true(peer_receive(&bob, FRAME_PONG, &f));
	assert_int_equal(f.pong.token, 42);
	assert_true(endpoint_equal(&f.pong.observed, &bob.address));
	assert_true(peer_receive(&alice, FRAME_RECEIPT, &f));
	assert_int_equal(f.receipt.level, RECEIPT_DELIVERED);
	assert_int_equal(world_receive_raw(w, &unknown.address, out, sizeof(out)), WIRE_RESET_SIZE);
	world_free(w);
}

/* Every single bit counts; nothing changes and nothing is answered. */
static void
test_forged(void **state)
{
	struct world *w = world_new(1);
	uint8_t packet[WIRE_DATAGRAM_MAX], copy[WIRE_DATAGRAM_MAX];
	struct peer p;
	size_t length;
	uint64_t n = 0;

	(void)state;
	peer_join(&p, w, 0, 0, 1, 0);
	length = peer_seal(&p, &ping, 1, packet);
	for (size_t i = WIRE_DATA_HEADER; i < length; i++) {
		memcpy(copy, packet, length);
		copy[i] ^= 1;
		world_send_raw(w, 0, &p.address, copy, length);
		world_settle(w);
		n++;
	}
	expect_count(w, COUNTER_drop_tag, n);
	expect_count(w, COUNTER_consumed, 0);
	assert_int_equal(w->workers[0]->sessions.sessions[0].replay.highest, 0);
	world_send_raw(w, 0, &p.address, packet, length);
	world_settle(w);
	assert_true(peer_receive(&p, FRAME_PONG, &(struct frame){0}));
	world_free(w);
}

static void
test_truncated(void **state)
{
	struct world *w = world_new(1);
	uint8_t packet[WIRE_DATAGRAM_MAX];
	struct peer p;
	size_t length;

	(void)state;
	peer_join(&p, w, 0, 0, 1, 0);
	length = peer_seal(&p, &ping, 1, packet);
	for (size_t i = 1; i < length; i++)
		world_send_raw(w, 0, &p.address, packet, i);
	world_settle(w);
	expect_count(w, COUNTER_drop_runt, WIRE_RUNT - 1);
	expect_count(w, COUNTER_drop_malformed, WIRE_DATA_MIN - WIRE_RUNT);
	expect_count(w, COUNTER_drop_tag, length - WIRE_DATA_MIN);
	assert_int_equal(w->tx.tail, 0);
	world_free(w);
}

static void
test_replayed(void **state)
{
	struct world *w = world_new(1);
	uint8_t packet[WIRE_DATAGRAM_MAX];
	struct peer p;
	size_t length;

	(void)state;
	peer_join(&p, w, 0, 0, 1, 0);
	length = peer_seal(&p, &ping, 1, packet);
	for (unsigned i = 0; i < 3; i++)
		world_send_raw(w, 0, &p.address, packet, length);
	world_settle(w);
	expect_count(w, COUNTER_consumed, 1);
	expect_count(w, COUNTER_drop_replay, 2);
	world_free(w);
}

static void
test_bad_first_bytes(void **state)
{
	struct world *w = world_new(1);
	struct endpoint from;
	uint8_t packet[64] = {0}, out[WIRE_DATAGRAM_MAX];
	struct wire_prefix reply;
	unsigned types = 0;

	(void)state;
	endpoint_set_ipv4(&from, "\x0a\x09\x08\x07", 77);
	for (unsigned type = 0; type < 256; type++) {
		if (type >= WIRE_DATA && type <= WIRE_RESUME)
			continue;
		packet[0] = (uint8_t)type;
		world_send_raw(w, 0, &from, packet, sizeof(packet));
		world_settle(w); /* one by one: a worker that is behind does not look at them */
		types++;
	}
	for (uint8_t type = WIRE_LOGIN_REPLY; type < WIRE_RESUME; type++) {
		if (type == WIRE_KEY)
			continue;
		packet[0] = type;
		packet[1] = WIRE_VERSION;
		world_send_raw(w, 0, &from, packet, sizeof(packet));
		types++;
	}
	world_settle(w);
	expect_count(w, COUNTER_drop_type, types);
	assert_int_equal(world_receive_raw(w, &from, out, sizeof(out)), 0);
	/* An unknown version is told which ones there are, with its own id, and no more bytes than it sent. */
	packet[0] = WIRE_DATA;
	packet[1] = WIRE_VERSION + 1;
	memcpy(packet + 4, "12345678", 8);
	world_send_raw(w, 0, &from, packet, WIRE_RUNT);
	world_settle(w);
	assert_int_equal(world_receive_raw(w, &from, out, sizeof(out)), WIRE_VERSION_REPLY_SIZE);
	wire_prefix_read(&reply, out);
	assert_int_equal(reply.type, WIRE_VERSION_REPLY);
	assert_int_equal(reply.version, WIRE_VERSION);
	assert_memory_equal(out + 4, "12345678", 8);
	expect_count(w, COUNTER_answered, 1);
	/* What only a server sends is not answered in any version: two servers would talk for ever. */
	packet[0] = WIRE_VERSION_REPLY;
	world_send_raw(w, 0, &from, packet, WIRE_RUNT);
	world_settle(w);
	expect_count(w, COUNTER_answered, 1);
	expect_count(w, COUNTER_drop_type, types + 1);
	assert_int_equal(world_receive_raw(w, &from, out, sizeof(out)), 0);
	world_free(w);
}

static void
test_unknown_session(void **state)
{
	struct world *w = world_new(1);
	uint8_t packet[WIRE_DATAGRAM_MAX], out[WIRE_DATAGRAM_MAX];
	static const uint8_t server_key[32] = {1};
	struct wire_prefix reply;
	struct peer p;
	size_t length;

	(void)state;
	peer_join(&p, w, 0, 0, 1, 0);
	p.sid = session_id_make(0, 8, 0); /* of another generation */
	length = peer_seal(&p, &ping, 1, packet);
	/* Before all sessions are provisioned it may be one of those that come. */
	world_send_raw(w, 0, &p.address, packet, length);
	world_settle(w);
	expect_count(w, COUNTER_drop_session_unprovisioned, 1);
	assert_int_equal(world_receive_raw(w, &p.address, out, sizeof(out)), 0);
	world_server_key(w, server_key);
	world_send_raw(w, 0, &p.address, packet, length);
	p.sid = session_id_make(0, 7, UINT32_MAX); /* no such slot */
	length = peer_seal(&p, &ping, 1, packet);
	world_send_raw(w, 0, &p.address, packet, length);
	p.sid = session_id_make(99, 7, 0); /* no such worker */
	length = peer_seal(&p, &ping, 1, packet);
	world_send_raw(w, 0, &p.address, packet, length);
	world_settle(w);
	expect_count(w, COUNTER_drop_session_unknown, 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(world_receive_raw(w, &p.address, out, sizeof(out)), WIRE_RESET_SIZE);
		wire_prefix_read(&reply, out);
		assert_int_equal(reply.type, WIRE_RESET);
	}
	/* A flood is not echoed. */
	for (unsigned i = 0; i < 3000; i++)
		world_send_raw(w, 0, &p.address, packet, length);
	world_settle(w);
	expect_count(w, COUNTER_drop_session_unknown, 3003);
	expect_count(w, COUNTER_resets_sent, 1000);
	world_free(w);
}

static void
test_epochs(void **state)
{
	struct world *w = world_new(1);
	const struct cell *stale;
	struct peer p;
	struct cell *c;
	struct frame f;

	(void)state;
	peer_join(&p, w, 0, 0, 1, 0);
	w->workers[0]->sessions.sessions[0].epoch = 3;
	p.epoch = 4;
	peer_send(&p, 0, &ping, 1);
	expect_count(w, COUNTER_drop_epoch, 1);
	p.epoch = 2;
	peer_send(&p, 0, &ping, 1);
	expect_count(w, COUNTER_punted, 1);
	expect_count(w, COUNTER_consumed, 0);
	stale = control_take(w, IPC_REQUEST, 0, PUNT_STALE);
	assert_non_null(stale);
	assert_int_equal(stale->stale.sid, p.sid);
	assert_true(endpoint_equal(&stale->stale.peer, &p.address));
	assert_false(peer_receive(&p, FRAME_PONG, &f));
	/* Control found the tag right. */
	c = control_put(w, IPC_INJECT, 0, INJECT_PROBE);
	c->probe.sid = p.sid;
	c->probe.peer = p.address;
	control_publish(w, IPC_INJECT, 0);
	world_settle(w);
	assert_true(peer_receive(&p, FRAME_PING, &f));
	p.epoch = 3;
	peer_send(&p, 0, &ping, 1);
	assert_true(peer_receive(&p, FRAME_PONG, &f));
	world_free(w);
}

static void
fenced_probe(struct world *w, const struct peer *p, uint64_t value)
{
	struct cell *c = control_put(w, IPC_INJECT, 0, INJECT_FENCE);

	c->barrier.value = value;
	control_publish(w, IPC_INJECT, 0);
	c = control_put(w, IPC_INJECT, 0, INJECT_PROBE);
	c->probe.sid = p->sid;
	c->probe.peer = p->address;
	control_publish(w, IPC_INJECT, 0);
	world_settle(w);
}

/* What control says behind a fence happens after what it said to housekeeping before it. */
static void
test_fence(void **state)
{
	struct world *w = world_new(1);
	struct peer p;
	struct cell *c;
	struct frame f;

	(void)state;
	peer_join(&p, w, 0, 0, 1, 0);
	fenced_probe(w, &p, 5);
	assert_false(peer_receive(&p, FRAME_PING, &f));
	c = control_put(w, IPC_TABLE, 0, TABLE_BARRIER);
	c->barrier.value = 5;
	control_publish(w, IPC_TABLE, 0);
	world_settle(w);
	assert_true(peer_receive(&p, FRAME_PING, &f));
	/* Levels of the log come the same way. */
	c = control_put(w, IPC_TABLE, 0, TABLE_LOG);
	for (unsigned i = 0; i < LOG_AREA_COUNT; i++)
		c->log.level[i] = i == LOG_AREA_port ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO;
	control_publish(w, IPC_TABLE, 0);
	world_settle(w);
	assert_int_equal(log_level_of(LOG_AREA_port), LOG_LEVEL_ERROR);
	assert_int_equal(log_level_of(LOG_AREA_tables), LOG_LEVEL_INFO);
	log_set_levels(LOG_LEVEL_INFO);
	/* A barrier that never comes holds nothing up for ever. */
	fenced_probe(w, &p, 6);
	world_pass(w, 900000);
	assert_false(peer_receive(&p, FRAME_PING, &f));
	world_pass(w, 200000);
	assert_true(peer_receive(&p, FRAME_PING, &f));
	world_free(w);
}

/* What the launcher looks at. (The world makes the rounds itself; only the loop of a real worker counts them.) */
static void
test_worker_behind(void **state)
{
	struct world *w = world_new(3);
	const struct ipc_header *h = w->ipc.header;
	uint64_t before, at;

	(void)state;
	world_pass(w, 200000);
	before = atomic_load(&h->workers_alive);
	assert_int_not_equal(before, 0); /* one that never begins hangs, too */
	world_pass(w, 1000000);
	assert_int_equal(atomic_load(&h->workers_alive), before);
	assert_int_equal(atomic_load(&h->worker_behind), 0);
	for (unsigned i = 0; i < 2; i++) {
		w->workers[0]->counters[COUNTER_loops_busy]++;
		w->workers[1]->counters[COUNTER_loops_idle]++;
		world_pass(w, 200000);
		assert_int_equal(atomic_load(&h->workers_alive), before);
		assert_int_equal(atomic_load(&h->worker_behind), 2);
	}
	/* Not at the same time, but all since the last round. */
	w->workers[2]->counters[COUNTER_loops_busy]++;
	world_pass(w, 200000);
	assert_int_not_equal(at = atomic_load(&h->workers_alive), before);
	w->workers[0]->counters[COUNTER_loops_idle]++;
	w->workers[2]->counters[COUNTER_loops_busy]++;
	world_pass(w, 200000);
	assert_int_equal(atomic_load(&h->workers_alive), at);
	assert_int_equal(atomic_load(&h->worker_behind), 1);
	/* Housekeeping itself is well all the while. */
	before = atomic_load(&h->dataplane_alive);
	world_pass(w, 200000);
	assert_int_not_equal(atomic_load(&h->dataplane_alive), before);
	world_free(w);
}

static void
test_malformed_frames(void **state)
{
	struct world *w = world_new(1);
	struct frame server_only = {.type = FRAME_RECEIPT,
				    .receipt = {.level = 1, .count = 1, .ids = (const uint8_t *)"12345678"}};
	struct peer p;

	(void)state;
	peer_join(&p, w, 0, 0, 1, 0);
	peer_send(&p, 0, &server_only, 1);
	expect_count(w, COUNTER_drop_frame, 1);
	assert_int_equal(w->tx.tail, 0);
	world_free(w);
}

static void
test_restricted(void **state)
{
	struct world *w = world_new(1);
	struct frame request = {.type = FRAME_REQUEST,
				.request = {.request = 5, .fragments = 1, .length = 2, .body = (const uint8_t *)"hi"}};
	struct frame message = {.type = FRAME_MESSAGE, .message = {.to = 2, .id = 1, .length = 1, .body = (const uint8_t *)"x"}};
	const struct cell *c;
	struct cell *update;
	struct peer p;

	(void)state;
	peer_join(&p, w, 0, 0, 0, SESSION_RESTRICTED);
	peer_send(&p, 0, &request, 1);
	c = control_take(w, IPC_REQUEST, 0, PUNT_REQUEST);
	assert_non_null(c);
	assert_int_equal(c->request.sid, p.sid);
	assert_int_equal(c->request.user, 0);
	assert_int_equal(c->request.request, 5);
	assert_memory_equal(c->data, "hi", 2);
	peer_send(&p, 0, &message, 1);
	expect_count(w, COUNTER_drop_restricted, 1);
	expect_count(w, COUNTER_messages_in, 0);
	update = control_put(w, IPC_INJECT, 0, INJECT_SESSION_UPDATE);
	update->session_update.sid = p.sid;
	update->session_update.user = 9;
	update->session_update.device = 90;
	control_publish(w, IPC_INJECT, 0);
	world_settle(w);
	peer_send(&p, 0, &message, 1);
	expect_count(w, COUNTER_messages_in, 1);
	c = control_take(w, IPC_REQUEST, 0, PUNT_VERDICT);
	assert_int_equal(c->verdict.from, 9);
	world_free(w);
}

static bool
next_session_event(struct world *w, enum session_event event)
{
	const struct cell *c;

	while ((c = control_take(w, IPC_EVENT, 0, PUNT_SESSION)) != NULL)
		if (c->session.event == event)
			return true;
	return false;
}

/* How many sessions the next cell about expired ones names. */
static uint32_t
next_expired(struct world *w)
{
	const struct cell *c = control_take(w, IPC_EVENT, 0, PUNT_EXPIRED);

	return c == NULL ? 0 : c->expired.count;
}

/* Heartbeats keep a session; silence ends it, within the time-out and one second (G5). */
static void
test_expiry(void **state)
{
	struct world *w = world_new(1);
	uint64_t timeout_us = (uint64_t)w->config->session.timeout_ms * 1000;
	struct peer p;
	uint64_t last;

	(void)state;
	world_server_key(w, (const uint8_t[32]){1});
	peer_join(&p, w, 0, 0, 1, 0);
	for (unsigned i = 0; i < 5; i++) {
		world_pass(w, timeout_us / 2);
		peer_send(&p, 0, &ping, 1);
		assert_true(peer_receive(&p, FRAME_PONG, &(struct frame){0}));
	}
	last = w->now_us;
	assert_true(next_session_event(w, SESSION_HEARD));
	world_pass(w, timeout_us - 200000);
	assert_int_equal(next_expired(w), 0);
	while (next_expired(w) != 1)
		world_pass(w, 50000);
	assert_true(w->now_us - last >= timeout_us && w->now_us - last < timeout_us + 1000000);
	assert_int_equal(w->workers[0]->sessions.live, 0);
	/* Nobody is there to be told; who comes back after all hears RESET. */
	assert_false(peer_receive(&p, FRAME_CLOSE, &(struct frame){0}));
	peer_send(&p, 0, &ping, 1);
	expect_count(w, COUNTER_drop_session_unknown, 1);
	/* A LOGIN that comes again makes control say it again. The keys and counters were used already. */
	peer_join(&p, w, 0, 0, 1, 0);
	assert_int_equal(w->workers[0]->sessions.live, 0);
	world_free(w);
}

/* A control that was killed while it provisioned has taken the word with it that the session is heard. */
static void
test_heard_again(void **state)
{
	struct world *w = world_new(1);
	struct peer p;
	struct cell *c;

	(void)state;
	peer_join(&p, w, 0, 0, 1, 0);
	for (unsigned i = 0; i < 2; i++) {
		peer_send(&p, 0, &ping, 1);
		assert_int_equal(next_session_event(w, SESSION_HEARD), i == 0);
	}
	for (unsigned probe = 0; probe < 2; probe++) {
		c = control_put(w, IPC_INJECT, 0, INJECT_SESSION_ADD);
		c->session_add = (struct cell_session_add){
			.sid = p.sid, .user = p.user, .device = p.device, .keys = p.keys, .epoch = p.epoch, .peer = p.address, .probe = probe == 1};
		control_publish(w, IPC_INJECT, 0);
		world_settle(w);
		peer_send(&p, 0, &ping, 1);
		assert_int_equal(next_session_event(w, SESSION_HEARD), probe);
	}
	world_free(w);
}

static void
test_end_waits_for_a_full_event_ring(void **state)
{
	struct world *w = world_new(1);
	struct frame bye = {.type = FRAME_CLOSE, .close_reason = CLOSE_LOGOUT};
	struct cell *c;
	struct peer p;

	(void)state;
	peer_join(&p, w, 0, 0, 1, 0);
	while ((c = ring_reserve(w->workers[0]->event_ring)) != NULL) {
		memset(c, 0, sizeof(*c));
		c->type = PUNT_DELIVERED;
		c->delivered.outcome = DELIVERY_ACKED;
		ring_publish(w->workers[0]->event_ring);
	}
	peer_send(&p, 0, &bye, 1);
	assert_int_equal(w->workers[0]->sessions.live, 1);
	/* It is over for the client already. */
	peer_send(&p, 0, &ping, 1);
	assert_false(peer_receive(&p, FRAME_PONG, &(struct frame){0}));
	assert_false(next_session_event(w, SESSION_CLOSED));
	world_pass(w, 300000);
	assert_true(next_session_event(w, SESSION_CLOSED));
	assert_int_equal(w->workers[0]->sessions.live, 0);
	world_free(w);
}

/* Many fall silent at once: each is told of exactly once, many to a cell, also when the ring was full at first. */
static void
test_many_expire_at_once(void **state)
{
	enum { MANY = 60 };
	struct world *w = world_new(1);
	uint64_t timeout_us = (uint64_t)w->config->session.timeout_ms * 1000;
	uint32_t told = 0, cells = 0, n;
	struct peer p[MANY];
	struct cell *c;

	(void)state;
	for (uint32_t i = 0; i < MANY; i++)
		peer_join(&p[i], w, 0, i, i + 1, 0);
	while ((c = ring_reserve(w->workers[0]->event_ring)) != NULL) {
		memset(c, 0, sizeof(*c));
		c->type = PUNT_DELIVERED;
		c->delivered.outcome = DELIVERY_ACKED;
		ring_publish(w->workers[0]->event_ring);
	}
	world_pass(w, timeout_us + 2000000);
	assert_int_equal(w->workers[0]->sessions.live, MANY);
	assert_int_equal(next_expired(w), 0); /* makes room */
	for (unsigned i = 0; i < 100 && w->workers[0]->sessions.live != 0; i++) {
		world_pass(w, 50000);
		while ((n = next_expired(w)) != 0) {
			told += n;
			cells++;
		}
	}
	assert_int_equal(w->workers[0]->sessions.live, 0);
	assert_int_equal(told, MANY);
	assert_true(cells < MANY / 10);
	expect_count(w, COUNTER_sessions_expired, MANY);
	world_free(w);
}

static void
test_address_change(void **state)
{
	struct world *w = world_new(2);
	struct frame response = {.type = FRAME_PATH_RESPONSE};
	struct endpoint old, thief;
	uint8_t packet[WIRE_DATAGRAM_MAX];
	struct peer p;
	struct frame f;
	size_t length;

	(void)state;
	peer_join(&p, w, 0, 0, 1, 0);
	peer_send(&p, 0, &ping, 1);
	assert_true(peer_receive(&p, FRAME_PONG, &f));
	old = p.address;
	/* From a new address, and so by another queue. The answer still goes to the old one, the challenge to the new one. */
	p.address.port = 4001;
	peer_send(&p, 1, &ping, 1);
	assert_true(peer_receive(&p, FRAME_PATH_CHALLENGE, &f));
	assert_false(peer_receive(&p, FRAME_PONG, &f));
	p.address = old;
	assert_true(peer_receive(&p, FRAME_PONG, &f));
	assert_int_equal(f.pong.observed.port, 4001);
	/* A guessed token moves nothing. */
	p.address.port = 4001;
	response.token = 12345;
	peer_send(&p, 1, &response, 1);
	expect_count(w, COUNTER_path_changes, 0);
	world_pass(w, 250000);
	peer_send(&p, 1, &ping, 1);
	assert_true(peer_receive(&p, FRAME_PATH_CHALLENGE, &f));
	response.token = f.token;
	peer_send(&p, 1, &response, 1);
	expect_count(w, COUNTER_path_changes, 1);
	assert_true(next_session_event(w, SESSION_MOVED));
	peer_send(&p, 1, &ping, 1);
	assert_true(peer_receive(&p, FRAME_PONG, &f));
	/* A packet copied by somebody and sent from elsewhere is a replay if it comes second; if it comes first, the challenge goes
	 * unanswered and the session stays. */
	length = peer_seal(&p, &ping, 1, packet);
	endpoint_set_ipv4(&thief, "\xc0\xa8\x01\x01", 666);
	world_send_raw(w, 0, &thief, packet, length);
	world_settle(w);
	assert_true(peer_receive(&p, FRAME_PONG, &f));
	expect_count(w, COUNTER_path_changes, 1);
	world_send_raw(w, 0, &p.address, packet, length);
	world_settle(w);
	expect_count(w, COUNTER_drop_replay, 1);
	world_free(w);
}

static void
test_key_query(void **state)
{
	struct world *w = world_new(1);
	uint8_t query[WIRE_KEY_QUERY_SIZE] = {WIRE_KEY, WIRE_VERSION, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8};
	uint8_t out[WIRE_DATAGRAM_MAX];
	struct handshake_keypair server;
	struct endpoint from;

	(void)state;
	endpoint_set_ipv4(&from, "\x0a\x09\x08\x07", 77);
	world_send_raw(w, 0, &from, query, sizeof(query));
	world_settle(w);
	expect_count(w, COUNTER_drop_login_not_ready, 1);
	handshake_keypair_generate(&server);
	world_server_key(w, server.public);
	world_send_raw(w, 0, &from, query, sizeof(query));
	/* Too short to be worth the reply. */
	world_send_raw(w, 0, &from, query, WIRE_KEY_REPLY_SIZE);
	world_settle(w);
	assert_int_equal(world_receive_raw(w, &from, out, sizeof(out)), WIRE_KEY_REPLY_SIZE);
	assert_memory_equal(out + WIRE_PREFIX, server.public, sizeof(server.public));
	assert_memory_equal(out + 4, query + 4, 8);
	expect_count(w, COUNTER_drop_malformed, 1);
	assert_int_equal(world_receive_raw(w, &from, out, sizeof(out)), 0);
	world_free(w);
}

static void
test_login(void **state)
{
	struct world *w = world_new(1);
	struct handshake_keypair server, device;
	struct handshake_client client;
	uint8_t payload[300] = {0}, login[WIRE_DATAGRAM_MAX], out[WIRE_DATAGRAM_MAX];
	struct endpoint from;
	const struct cell *c;
	uint64_t sent = 0;
	int length;

	(void)state;
	assert_int_equal(handshake_init(), 0);
	endpoint_set_ipv4(&from, "\x0a\x09\x08\x07", 77);
	handshake_keypair_generate(&server);
	handshake_keypair_generate(&device);
	memset(&client, 0, sizeof(client));
	length = handshake_client_start(&client, &device, server.public, 1, payload, sizeof(payload), login, sizeof(login));
	assert_true(length >= HANDSHAKE_LOGIN_MIN);
	world_send_raw(w, 0, &from, login, (size_t)length);
	world_settle(w);
	expect_count(w, COUNTER_drop_login_not_ready, 1);
	world_server_key(w, server.public);
	world_send_raw(w, 0, &from, login, (size_t)length);
	world_settle(w);
	c = control_take(w, IPC_LOGIN, 0, PUNT_LOGIN);
	assert_non_null(c);
	assert_int_equal(c->length, length);
	assert_memory_equal(c->data, login, (size_t)length);
	login[60] ^= 1;
	world_send_raw(w, 0, &from, login, (size_t)length);
	world_settle(w);
	expect_count(w, COUNTER_drop_login_mac, 1);
	login[60] ^= 1;
	/* More than the ring holds: first cookies, never a word to control beyond its ring, every packet accounted for. */
	for (; sent < 1000; sent++) {
		world_send_raw(w, 0, &from, login, (size_t)length);
		if (sent % 20 == 19) /* no full burst */
			world_settle(w);
	}
	assert_true(world_counter(w, COUNTER_cookies_sent) > 900);
	assert_int_equal(world_receive_raw(w, &from, out, sizeof(out)), HANDSHAKE_COOKIE_SIZE);
	/* With the cookie the honest client gets through. */
	assert_int_equal(handshake_client_cookie(&client, out, HANDSHAKE_COOKIE_SIZE), 0);
	while (control_take(w, IPC_LOGIN, 0, PUNT_LOGIN) != NULL)
		;
	length = handshake_client_start(&client, &device, server.public, 1, payload, sizeof(payload), login, sizeof(login));
	world_send_raw(w, 0, &from, login, (size_t)length);
	world_settle(w);
	assert_non_null(control_take(w, IPC_LOGIN, 0, PUNT_LOGIN));
	world_free(w);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ping),
		cmocka_unit_test(test_answers_without_a_free_packet),
		cmocka_unit_test(test_forged),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_replayed),
		cmocka_unit_test(test_bad_first_bytes),
		cmocka_unit_test(test_unknown_session),
		cmocka_unit_test(test_epochs),
		cmocka_unit_test(test_fence),
		cmocka_unit_test(test_worker_behind),
		cmocka_unit_test(test_malformed_frames),
		cmocka_unit_test(test_restricted),
		cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_heard_again),
		cmocka_unit_test(test_end_waits_for_a_full_event_ring),
		cmocka_unit_test(test_many_expire_at_once),
		cmocka_unit_test(test_address_change),
		cmocka_unit_test(test_key_query),
		cmocka_unit_test(test_login),
	};

	return cmocka_run_group_tests_name("receive", tests, eal_fixture_setup, eal_fixture_teardown);
}
