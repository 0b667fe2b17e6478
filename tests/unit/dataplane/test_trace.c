/* SPDX-License-Identifier: BSD-3-Clause */
/* What workers say of packets when an operator asked: all of it, of those that match, and no more than the ring holds. */
#include "eal_fixture.h"
#include "relay_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t hello[] = "hello";
static const struct frame ping = {.type = FRAME_PING, .token = 7};

static void
trace_put(struct world *w, const struct trace_filter *filters, unsigned n)
{
	for (uint32_t i = 0; i < w->count; i++) {
		struct cell *c = control_put(w, IPC_INJECT, i, INJECT_TRACE);

		c->length = TRACE_FILTERS_MAX * sizeof(*filters);
		memset(c->data, 0, c->length);
		memcpy(c->data, filters, n * sizeof(*filters));
		control_publish(w, IPC_INJECT, i);
	}
	world_settle(w);
}

/* The next record of a worker; it stays until the next call. */
static const struct cell_trace *
next(struct world *w, uint32_t worker)
{
	const struct cell *c = control_take(w, IPC_TRACE, worker, PUNT_TRACE);

	return c == NULL ? NULL : &c->trace;
}

static const struct cell_trace *
expect(struct world *w, uint32_t worker, enum trace_kind kind, enum counter first)
{
	const struct cell_trace *r = next(w, worker);

	assert_non_null(r);
	assert_int_equal(r->kind, kind);
	if (kind != TRACE_OUT) {
		assert_true(r->counter_count > 0);
		assert_string_equal(counter_info[r->counters[0]].name, counter_info[first].name);
	}
	return r;
}

static bool
moved(const struct cell_trace *r, enum counter c)
{
	return memchr(r->counters, c, r->counter_count) != NULL;
}

static void
send_and_settle(struct peer *p, uint32_t at, const struct frame *f)
{
	peer_send(p, at, f, 1);
	world_settle(p->world);
}

static void
message_end_to_end(void **state)
{
	struct world *w = world_new(2);
	struct peer alice, bob, carol;
	const struct frame message = {.type = FRAME_MESSAGE,
				      .message = {.to = 2, .id = 9, .floor_delta = 1, .length = sizeof(hello), .body = hello}};
	struct frame ack = {.type = FRAME_ACK}, f;
	const struct cell_trace *r;
	uint8_t ranges[6];

	(void)state;
	peer_join(&alice, w, 0, 0, 1, 0);
	peer_join(&bob, w, 1, 0, 2, 0);
	peer_join(&carol, w, 0, 1, 3, 0);
	control_user(w, 2, false, (const struct peer *const[]){&bob}, 1);
	control_allow(w, 1, 2, VERDICT_ALLOWED);
	trace_put(w, (const struct trace_filter[]){{.kind = TRACE_USER, .id = 1}, {.kind = TRACE_SESSION, .id = bob.sid}}, 2);
	/* Of carol nobody asked. */
	send_and_settle(&carol, 0, &ping);
	assert_null(next(w, 0));

	/* Alice's message comes to the wrong worker, which knows no user, only the session's id. */
	send_and_settle(&alice, 0, &message);
	r = expect(w, 0, TRACE_IN, COUNTER_consumed);
	assert_int_equal(r->sid, alice.sid);
	assert_int_equal(r->user, 1);
	assert_int_equal(r->mask, 1);
	assert_int_equal(r->type, WIRE_DATA);
	assert_true(endpoint_equal(&r->peer, &alice.address));
	assert_true(moved(r, COUNTER_messages_in));
	assert_true(moved(r, COUNTER_verdict_hits));
	assert_int_equal(r->frame_count, 1);
	assert_int_equal(r->frames[0].type, FRAME_MESSAGE);
	assert_int_equal(r->frames[0].id, 9);
	assert_int_equal(r->to_count, 1);
	assert_int_equal(r->to[0], bob.sid);
	r = expect(w, 0, TRACE_OUT, COUNTER_tx_packets);
	assert_int_equal(r->frames[0].type, FRAME_RECEIPT);
	assert_int_equal(r->frames[0].detail, RECEIPT_ACCEPTED);
	r = expect(w, 1, TRACE_OUT, COUNTER_tx_packets);
	assert_int_equal(r->mask, 2);
	assert_int_equal(r->sid, bob.sid);
	assert_int_equal(r->frames[0].type, FRAME_DELIVER);
	assert_int_equal(r->frames[0].id, 9);
	assert_true(peer_receive(&bob, FRAME_DELIVER, &f));

	/* Nobody acknowledges: again. */
	world_pass(w, 1000000);
	r = expect(w, 1, TRACE_EVENT, COUNTER_retransmits);
	assert_int_equal(r->sid, bob.sid);
	r = expect(w, 1, TRACE_OUT, COUNTER_tx_packets);
	assert_int_equal(r->frames[0].type, FRAME_DELIVER);
	while (next(w, 1) != NULL)
		;
	while (next(w, 0) != NULL)
		;

	/* Bob's ACK comes to the other worker and is handed over. */
	ack.ack = (struct frame_ack){.count = 1, .ranges = ranges};
	wire_ack_put(ranges, 0, f.deliver.delivery, 1);
	send_and_settle(&bob, 0, &ack);
	r = expect(w, 0, TRACE_IN, COUNTER_handoff_out);
	assert_int_equal(r->sid, bob.sid);
	assert_int_equal(r->frame_count, 0);
	r = expect(w, 1, TRACE_IN, COUNTER_consumed);
	assert_true(moved(r, COUNTER_messages_delivered));
	assert_int_equal(r->frames[0].type, FRAME_ACK);
	r = expect(w, 0, TRACE_OUT, COUNTER_tx_packets);
	assert_int_equal(r->sid, alice.sid);
	assert_int_equal(r->frames[0].detail, RECEIPT_DELIVERED);
	world_free(w);
}

/* A flipped bit, the same packet twice, no session, no datagram of ours, a ban: each says why it ended. */
static void
drops_are_named(void **state)
{
	struct world *w = world_new(1);
	uint8_t packet[WIRE_DATAGRAM_MAX];
	struct trace_filter f = {.kind = TRACE_ADDRESS};
	const struct cell_trace *r;
	struct peer p;
	struct cell *c;
	size_t n;

	(void)state;
	world_server_key(w, (const uint8_t[32]){1});
	peer_join(&p, w, 0, 0, 1, 0);
	memcpy(f.prefix.ip, p.address.ip, 16);
	f.prefix.bits = 128;
	trace_put(w, &f, 1);
	n = peer_seal(&p, &ping, 1, packet);
	world_send_raw(w, 0, &p.address, packet, n);
	world_settle(w);
	expect(w, 0, TRACE_IN, COUNTER_consumed);
	r = expect(w, 0, TRACE_OUT, COUNTER_tx_packets);
	assert_int_equal(r->frames[0].type, FRAME_PONG);
	world_send_raw(w, 0, &p.address, packet, n);
	world_settle(w);
	expect(w, 0, TRACE_IN, COUNTER_drop_replay);
	n = peer_seal(&p, &ping, 1, packet);
	packet[n - 1] ^= 1;
	world_send_raw(w, 0, &p.address, packet, n);
	packet[0] = 0x7f;
	world_send_raw(w, 0, &p.address, packet, n);
	world_send_raw(w, 0, &p.address, packet, 3);
	world_settle(w);
	expect(w, 0, TRACE_IN, COUNTER_drop_tag);
	expect(w, 0, TRACE_IN, COUNTER_drop_type);
	r = expect(w, 0, TRACE_IN, COUNTER_drop_runt);
	assert_int_equal(r->size, 3);
	c = control_put(w, IPC_TABLE, 0, TABLE_BANS);
	c->bans = (struct cell_bans){.first = 1, .last = 1, .count = 1};
	c->length = sizeof(f.prefix);
	memcpy(c->data, &f.prefix, sizeof(f.prefix));
	control_publish(w, IPC_TABLE, 0);
	world_settle(w);
	send_and_settle(&p, 0, &ping);
	expect(w, 0, TRACE_IN, COUNTER_drop_banned);
	assert_null(next(w, 0));
	world_free(w);
}

/* A worker that is behind looks at one LOGIN, whoever sent it. What it sheds of those that were asked for is said, and nothing of others;
 * sessions are said as ever. */
static void
shed_logins_are_seen(void **state)
{
	struct world *w = world_new(1);
	uint8_t login[HANDSHAKE_LOGIN_MIN] = {WIRE_LOGIN, WIRE_VERSION};
	struct trace_filter f = {.kind = TRACE_ADDRESS, .bytes = 1};
	struct endpoint asked, other;
	const struct cell *c;
	struct peer p;

	(void)state;
	peer_join(&p, w, 0, 0, 1, 0);
	assert_int_equal(endpoint_parse(&asked, "198.51.100.7:4000", 0), 0);
	assert_int_equal(endpoint_parse(&other, "203.0.113.7:4000", 0), 0);
	assert_int_equal(prefix_parse(&f.prefix, "198.51.100.0/24"), 0);
	trace_put(w, &f, 1);
	w->workers[0]->full_bursts[0] = UINT16_MAX;
	world_send_raw(w, 0, &other, login, sizeof(login));
	for (unsigned i = 0; i < 3; i++) {
		world_send_raw(w, 0, &asked, login, sizeof(login) - i);
		world_send_raw(w, 0, &other, login, sizeof(login));
	}
	peer_send(&p, 0, &ping, 1);
	world_settle(w);
	assert_int_equal(world_counter(w, COUNTER_drop_login_busy), 6);
	assert_int_equal(world_counter(w, COUNTER_pings), 1);
	for (unsigned i = 0; i < 3; i++) {
		c = control_take(w, IPC_TRACE, 0, PUNT_TRACE);
		assert_non_null(c);
		assert_int_equal(c->trace.kind, TRACE_IN);
		assert_int_equal(c->trace.type, WIRE_LOGIN);
		assert_int_equal(c->trace.counter_count, 1);
		assert_int_equal(c->trace.counters[0], COUNTER_drop_login_busy);
		assert_true(endpoint_equal(&c->trace.peer, &asked));
		assert_int_equal(c->trace.size, sizeof(login) - i);
		assert_int_equal(c->length, sizeof(login) - i);
		assert_memory_equal(c->data, login, c->length);
	}
	assert_null(next(w, 0));
	/* The one that is looked at is said once, where it ends. */
	w->now_us += 1000000;
	w->workers[0]->full_bursts[0] = UINT16_MAX;
	world_send_raw(w, 0, &asked, login, sizeof(login));
	world_settle(w);
	assert_int_equal(world_counter(w, COUNTER_drop_login_busy), 6);
	assert_int_equal(next(w, 0)->type, WIRE_LOGIN);
	world_free(w);
}

/* More than the ring holds, and nobody reads: lost, counted, and every packet handled all the same. */
static void
lost_when_nobody_reads(void **state)
{
	struct world *w = world_new(1);
	const struct trace_filter all = {.kind = TRACE_ALL};
	unsigned records = 0, lost = 0;
	const struct cell_trace *r;
	struct frame f;
	struct peer p;

	(void)state;
	peer_join(&p, w, 0, 0, 1, 0);
	trace_put(w, &all, 1);
	for (unsigned i = 0; i < 1000; i++) {
		send_and_settle(&p, 0, &ping);
		assert_true(peer_receive(&p, FRAME_PONG, &f));
	}
	while ((r = next(w, 0)) != NULL)
		records++;
	assert_int_equal(records, ring_capacity(ipc_ring(&w->ipc, IPC_TRACE, 0)));
	send_and_settle(&p, 0, &ping);
	while ((r = next(w, 0)) != NULL) {
		records++;
		lost += r->lost;
	}
	assert_int_equal(records + lost, 2 * 1001);
	world_free(w);
}

/* The bytes are those on the wire, before they are opened and after they are sealed; without asking there are none. */
static void
bytes_of_the_wire(void **state)
{
	struct world *w = world_new(1);
	struct trace_filter f = {.kind = TRACE_ALL};
	uint8_t packet[WIRE_DATAGRAM_MAX], out[WIRE_DATAGRAM_MAX];
	const struct cell *c;
	struct peer p;
	size_t n;

	(void)state;
	peer_join(&p, w, 0, 0, 1, 0);
	trace_put(w, &f, 1);
	send_and_settle(&p, 0, &ping);
	assert_int_equal(control_take(w, IPC_TRACE, 0, PUNT_TRACE)->length, 0);
	assert_int_equal(control_take(w, IPC_TRACE, 0, PUNT_TRACE)->length, 0);
	assert_true(world_receive_raw(w, &p.address, out, sizeof(out)) > 0);
	f.bytes = 1;
	trace_put(w, &f, 1);
	n = peer_seal(&p, &ping, 1, packet);
	world_send_raw(w, 0, &p.address, packet, n);
	world_settle(w);
	c = control_take(w, IPC_TRACE, 0, PUNT_TRACE);
	assert_int_equal(c->length, n);
	assert_memory_equal(c->data, packet, n);
	n = world_receive_raw(w, &p.address, out, sizeof(out));
	c = control_take(w, IPC_TRACE, 0, PUNT_TRACE);
	assert_int_equal(c->trace.kind, TRACE_OUT);
	assert_int_equal(c->length, n);
	assert_memory_equal(c->data, out, n);
	/* Off again. */
	f.kind = TRACE_NONE;
	trace_put(w, &f, 1);
	assert_int_equal(w->workers[0]->trace.count, 0);
	send_and_settle(&p, 0, &ping);
	assert_null(next(w, 0));
	world_free(w);
}

/* Sessions begin and end without a packet of theirs. */
static void
sessions_come_and_go(void **state)
{
	struct world *w = world_new(1);
	const struct trace_filter f = {.kind = TRACE_USER, .id = 1};
	const struct frame bye = {.type = FRAME_CLOSE, .close_reason = CLOSE_LOGOUT};
	struct peer p;

	(void)state;
	trace_put(w, &f, 1);
	peer_join(&p, w, 0, 0, 1, 0);
	expect(w, 0, TRACE_EVENT, COUNTER_sessions_added);
	send_and_settle(&p, 0, &bye);
	expect(w, 0, TRACE_EVENT, COUNTER_sessions_closed);
	expect(w, 0, TRACE_IN, COUNTER_consumed);
	assert_null(next(w, 0));
	world_free(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(message_end_to_end),
		cmocka_unit_test(drops_are_named),
		cmocka_unit_test(shed_logins_are_seen),
		cmocka_unit_test(lost_when_nobody_reads),
		cmocka_unit_test(bytes_of_the_wire),
		cmocka_unit_test(sessions_come_and_go),
	};

	return cmocka_run_group_tests_name("trace", tests, eal_fixture_setup, eal_fixture_teardown);
}
