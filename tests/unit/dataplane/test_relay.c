/* SPDX-License-Identifier: BSD-3-Clause */
/* A message's life through real workers: verdicts, receipts, retries, stores, hand-offs. */
#include "eal_fixture.h"
#include "relay_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t hello[] = "hello";

static struct frame
message_to(user_id_t to, message_id_t id)
{
	return (struct frame){
		.type = FRAME_MESSAGE,
		.message = {.to = to, .id = id, .floor_delta = 1, .length = sizeof(hello), .body = hello},
	};
}

static void
send_message(struct peer *p, uint32_t at, user_id_t to, message_id_t id)
{
	struct frame f = message_to(to, id);

	peer_send(p, at, &f, 1);
}

static void
send_ack(struct peer *p, uint32_t at, uint32_t first, uint16_t length)
{
	uint8_t ranges[6];
	struct frame f = {.type = FRAME_ACK, .ack = {.count = 1, .ranges = ranges}};

	wire_ack_put(ranges, 0, first, length);
	peer_send(p, at, &f, 1);
}

static void
expect_receipt(struct peer *p, enum receipt_level level, enum refuse_reason reason, message_id_t id)
{
	struct frame f;

	assert_true(peer_receive(p, FRAME_RECEIPT, &f));
	assert_int_equal(f.receipt.level, level);
	assert_int_equal(f.receipt.reason, reason);
	assert_int_equal(wire_receipt_id(&f.receipt, 0), id);
}

static uint32_t
expect_deliver(struct peer *p, const struct peer *from, message_id_t id)
{
	struct frame f;

	assert_true(peer_receive(p, FRAME_DELIVER, &f));
	assert_int_equal(f.deliver.from, from->user);
	assert_int_equal(f.deliver.from_device, from->device);
	assert_int_equal(f.deliver.id, id);
	assert_int_equal(f.deliver.length, sizeof(hello));
	assert_memory_equal(f.deliver.body, hello, sizeof(hello));
	return f.deliver.delivery;
}

static void
answer_stored(struct world *w, const struct cell *store, bool ok, uint8_t devices)
{
	struct cell *c = control_put(w, IPC_INJECT, store->worker, INJECT_STORED);

	c->stored = (struct cell_stored){
		.record = store->store.record,
		.id = store->store.id,
		.device = store->store.device,
		.ok = ok,
		.stored = devices,
	};
	control_publish(w, IPC_INJECT, store->worker);
	world_settle(w);
}

/* Alice on worker 0, Bob on the last one, friends and online. */
static void
two_friends(struct world *w, struct peer *alice, struct peer *bob)
{
	peer_join(alice, w, 0, 1, 1, 0);
	peer_join(bob, w, w->count - 1, 2, 2, 0);
	control_user(w, 1, false, (const struct peer *[]){alice}, 1);
	control_user(w, 2, false, (const struct peer *[]){bob}, 1);
	control_allow(w, 1, 2, VERDICT_ALLOWED);
	control_allow(w, 2, 1, VERDICT_ALLOWED);
}

static void
delivered_on(uint32_t workers)
{
	struct world *w = world_new(workers);
	struct peer alice, bob;
	struct frame confirm = {.type = FRAME_CONFIRM, .confirm = 1};
	uint32_t number;

	two_friends(w, &alice, &bob);
	/* Through every worker, right or wrong: the owner gets it. */
	for (uint32_t at = 0; at < workers; at++) {
		message_id_t id = at + 1;

		send_message(&alice, at, 2, id);
		expect_receipt(&alice, RECEIPT_ACCEPTED, REFUSE_NONE, id);
		number = expect_deliver(&bob, &alice, id);
		assert_int_equal(number, at + 1);
		send_ack(&bob, at, number, 1);
		expect_receipt(&alice, RECEIPT_DELIVERED, REFUSE_NONE, id);
	}
	/* A retry: the same answer, no second delivery. */
	send_message(&alice, 0, 2, 1);
	expect_receipt(&alice, RECEIPT_DELIVERED, REFUSE_NONE, 1);
	assert_false(peer_receive(&bob, FRAME_DELIVER, &(struct frame){0}));
	/* Confirmed: a late copy is nothing. */
	peer_send(&alice, 0, &confirm, 1);
	assert_int_equal(w->workers[0]->messages.used, workers - 1);
	send_message(&alice, 0, 2, 1);
	assert_false(peer_receive(&alice, FRAME_RECEIPT, &(struct frame){0}));
	assert_false(peer_receive(&bob, FRAME_DELIVER, &(struct frame){0}));
	assert_int_equal(world_counter(w, COUNTER_messages_delivered), workers);
	world_free(w);
}

static void
confirm_around(struct peer *p, message_id_t id, message_id_t first, message_id_t last)
{
	uint8_t gap[6];
	struct frame f = {.type = FRAME_CONFIRM_GAPS, .confirm_gaps = {.id = id, .count = 1, .gaps = gap}};

	wire_confirm_gap_put(gap, 0, id, first, last);
	peer_send(p, 0, &f, 1);
}

/* Two messages of which nobody answers the first: hundreds that come after them are forgotten as they are confirmed. */
static void
test_confirm_around_gaps(void **state)
{
	struct world *w = world_new(1);
	struct message_table *records = &w->workers[0]->messages;
	struct frame frame = {.type = FRAME_CONFIRM};
	struct peer alice, bob;
	uint32_t first;

	(void)state;
	two_friends(w, &alice, &bob);
	for (message_id_t id = 1; id <= 2; id++) {
		send_message(&alice, 0, 2, id);
		expect_receipt(&alice, RECEIPT_ACCEPTED, REFUSE_NONE, id);
		first = expect_deliver(&bob, &alice, id);
	}
	for (message_id_t id = 3; id <= 1202; id++) {
		send_message(&alice, 0, 2, id);
		expect_receipt(&alice, RECEIPT_ACCEPTED, REFUSE_NONE, id);
		send_ack(&bob, 0, expect_deliver(&bob, &alice, id), 1);
		expect_receipt(&alice, RECEIPT_DELIVERED, REFUSE_NONE, id);
		if (id % 16 == 2)
			confirm_around(&alice, id, 1, 2);
	}
	/* the two, and the gap */
	assert_int_equal(records->used, 3);
	/* What is confirmed stays so: late copies, and a frame that was overtaken, are nothing. */
	confirm_around(&alice, 902, 1, 800);
	for (message_id_t id = 3; id <= 1202; id += 109)
		send_message(&alice, 0, 2, id);
	assert_false(peer_receive(&alice, FRAME_RECEIPT, &frame));
	assert_false(peer_receive(&bob, FRAME_DELIVER, &frame));
	/* What is in the gap is not: a copy is answered, and the answer comes when it comes. */
	send_message(&alice, 0, 2, 2);
	expect_receipt(&alice, RECEIPT_ACCEPTED, REFUSE_NONE, 2);
	send_ack(&bob, 0, first, 1);
	expect_receipt(&alice, RECEIPT_DELIVERED, REFUSE_NONE, 2);
	confirm_around(&alice, 1202, 1, 1);
	assert_int_equal(records->used, 2);
	send_message(&alice, 0, 2, 2);
	assert_false(peer_receive(&alice, FRAME_RECEIPT, &frame));
	send_ack(&bob, 0, first - 1, 1);
	expect_receipt(&alice, RECEIPT_DELIVERED, REFUSE_NONE, 1);
	/* All confirmed: no gap either. */
	send_message(&alice, 0, 2, 1203);
	expect_receipt(&alice, RECEIPT_ACCEPTED, REFUSE_NONE, 1203);
	send_ack(&bob, 0, expect_deliver(&bob, &alice, 1203), 1);
	expect_receipt(&alice, RECEIPT_DELIVERED, REFUSE_NONE, 1203);
	frame = (struct frame){.type = FRAME_CONFIRM, .confirm = 1203};
	peer_send(&alice, 0, &frame, 1);
	assert_int_equal(records->used, 0);
	assert_int_equal(world_counter(w, COUNTER_messages_slowed), 0);
	world_free(w);
}

/* A gap that nothing is said about for a minute is forgotten with what was confirmed above it; one that frees nothing takes no record; one
 * of a session that ends goes with it. */
static void
test_gaps_end(void **state)
{
	struct world *w = world_new(1);
	struct message_table *records = &w->workers[0]->messages;
	struct activity *a;
	struct peer alice, bob;

	(void)state;
	two_friends(w, &alice, &bob);
	send_message(&alice, 0, 2, 2);
	expect_receipt(&alice, RECEIPT_ACCEPTED, REFUSE_NONE, 2);
	a = activity_of(&w->workers[0]->sessions, session_find(&w->workers[0]->sessions, alice.sid));
	confirm_around(&alice, 9, 1, 3);
	assert_int_equal(records->used, 1);
	assert_int_equal(a->confirmed, 0);
	send_ack(&bob, 0, expect_deliver(&bob, &alice, 2), 1);
	expect_receipt(&alice, RECEIPT_DELIVERED, REFUSE_NONE, 2);
	/* Nothing was ever sent as 1, as far as the server knows: not confirmed, it can still come. */
	confirm_around(&alice, 9, 1, 1);
	assert_int_equal(records->used, 1);
	assert_int_equal(a->confirmed, 9);
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(a->confirmed, 9);
		assert_int_equal(records->used, 1);
		world_pass(w, 9900000);
		peer_send(&alice, 0, &(struct frame){.type = FRAME_PING}, 1);
		peer_send(&bob, 0, &(struct frame){.type = FRAME_PING}, 1);
	}
	world_pass(w, 2000000);
	assert_int_equal(a->confirmed, 0);
	assert_int_equal(records->used, 0);
	send_message(&alice, 0, 2, 5);
	expect_receipt(&alice, RECEIPT_ACCEPTED, REFUSE_NONE, 5);
	send_ack(&bob, 0, expect_deliver(&bob, &alice, 5), 1);
	expect_receipt(&alice, RECEIPT_DELIVERED, REFUSE_NONE, 5);
	confirm_around(&alice, 7, 3, 4);
	assert_int_equal(records->used, 1);
	session_remove(w->workers[0], session_find(&w->workers[0]->sessions, alice.sid));
	assert_int_equal(records->used, 0);
	world_free(w);
}

static void
test_delivered(void **state)
{
	(void)state;
	delivered_on(1);
}

static void
test_delivered_across_workers(void **state)
{
	(void)state;
	delivered_on(3);
}

static void
test_first_message_asks_control(void **state)
{
	struct world *w = world_new(2);
	struct peer alice, bob;
	const struct cell *asked;
	struct cell *c;

	(void)state;
	peer_join(&alice, w, 0, 1, 1, 0);
	peer_join(&bob, w, 1, 1, 2, 0);
	send_message(&alice, 0, 2, 1);
	assert_false(peer_receive(&alice, FRAME_RECEIPT, &(struct frame){0}));
	asked = control_take(w, IPC_REQUEST, 0, PUNT_VERDICT);
	assert_non_null(asked);
	assert_int_equal(asked->verdict.from, 1);
	assert_int_equal(asked->verdict.to, 2);
	c = control_put(w, IPC_INJECT, 0, INJECT_VERDICT);
	c->verdict = asked->verdict;
	c->verdict.verdict = VERDICT_ALLOWED;
	c->verdict.live_count = 1;
	c->verdict.live[0] = (struct live_session){.sid = bob.sid, .device = bob.device};
	control_publish(w, IPC_INJECT, 0);
	world_settle(w);
	expect_receipt(&alice, RECEIPT_ACCEPTED, REFUSE_NONE, 1);
	send_ack(&bob, 1, expect_deliver(&bob, &alice, 1), 1);
	expect_receipt(&alice, RECEIPT_DELIVERED, REFUSE_NONE, 1);
	/* An answer that nobody waits for any more, and one to a question never asked. */
	control_put(w, IPC_INJECT, 0, INJECT_VERDICT)->verdict.verdict = VERDICT_BLOCKED;
	control_publish(w, IPC_INJECT, 0);
	world_settle(w);
	assert_false(peer_receive(&alice, FRAME_RECEIPT, &(struct frame){0}));
	world_free(w);
}

static void
test_lost_question_is_asked_again(void **state)
{
	struct world *w = world_new(1);
	struct peer alice;

	(void)state;
	peer_join(&alice, w, 0, 1, 1, 0);
	send_message(&alice, 0, 2, 1);
	assert_non_null(control_take(w, IPC_REQUEST, 0, PUNT_VERDICT));
	send_message(&alice, 0, 2, 1);
	assert_null(control_take(w, IPC_REQUEST, 0, PUNT_VERDICT));
	world_pass(w, 2100000);
	assert_int_equal(w->workers[0]->messages.used, 0);
	send_message(&alice, 0, 2, 1);
	assert_non_null(control_take(w, IPC_REQUEST, 0, PUNT_VERDICT));
	world_free(w);
}

static void
test_refusals(void **state)
{
	static const struct {
		enum verdict verdict;
		enum refuse_reason reason;
	} cases[] = {
		{VERDICT_NOT_BUDDIES, REFUSE_NOT_BUDDIES},
		{VERDICT_BLOCKED, REFUSE_BLOCKED},
		{VERDICT_UNKNOWN_USER, REFUSE_UNKNOWN_USER},
	};
	struct world *w = world_new(1);
	struct peer alice, bob;

	(void)state;
	two_friends(w, &alice, &bob);
	for (unsigned i = 0; i < RTE_DIM(cases); i++) {
		control_allow(w, 1, 2, cases[i].verdict);
		send_message(&alice, 0, 2, i + 1);
		expect_receipt(&alice, RECEIPT_REFUSED, cases[i].reason, i + 1);
	}
	/* Friends again: the refused message stays refused, whatever copy of it comes late. */
	control_allow(w, 1, 2, VERDICT_ALLOWED);
	send_message(&alice, 0, 2, 1);
	expect_receipt(&alice, RECEIPT_REFUSED, REFUSE_NOT_BUDDIES, 1);
	assert_false(peer_receive(&bob, FRAME_DELIVER, &(struct frame){0}));
	world_free(w);
}

static void
test_stored_for_the_absent(void **state)
{
	struct world *w = world_new(1);
	const struct cell *store;
	struct peer alice, bob;

	(void)state;
	two_friends(w, &alice, &bob);
	control_user(w, 2, true, NULL, 0);
	send_message(&alice, 0, 2, 1);
	expect_receipt(&alice, RECEIPT_ACCEPTED, REFUSE_NONE, 1);
	store = control_take(w, IPC_EVENT, 0, PUNT_STORE);
	assert_non_null(store);
	assert_int_equal(store->store.device, 0);
	assert_int_equal(store->store.except_count, 0);
	assert_int_equal(store->length, sizeof(hello));
	assert_memory_equal(store->data, hello, sizeof(hello));
	/* Not stored, not said. */
	answer_stored(w, store, false, 0);
	assert_false(peer_receive(&alice, FRAME_RECEIPT, &(struct frame){0}));
	world_pass(w, 1100000);
	store = control_take(w, IPC_EVENT, 0, PUNT_STORE);
	assert_non_null(store);
	answer_stored(w, store, true, 1);
	expect_receipt(&alice, RECEIPT_STORED, REFUSE_NONE, 1);
	/* Said twice by control: nothing. */
	answer_stored(w, store, true, 1);
	assert_false(peer_receive(&alice, FRAME_RECEIPT, &(struct frame){0}));
	world_free(w);
}

static void
test_two_devices_one_away(void **state)
{
	struct world *w = world_new(1);
	const struct cell *store;
	struct peer alice, bob;

	(void)state;
	two_friends(w, &alice, &bob);
	control_user(w, 2, true, (const struct peer *[]){&bob}, 1);
	send_message(&alice, 0, 2, 1);
	expect_receipt(&alice, RECEIPT_ACCEPTED, REFUSE_NONE, 1);
	send_ack(&bob, 0, expect_deliver(&bob, &alice, 1), 1);
	/* Not final before the copy for the other device is safe. */
	assert_false(peer_receive(&alice, FRAME_RECEIPT, &(struct frame){0}));
	store = control_take(w, IPC_EVENT, 0, PUNT_STORE);
	assert_non_null(store);
	assert_int_equal(store->store.except_count, 1);
	assert_int_equal(store->store.except[0], bob.device);
	answer_stored(w, store, true, 1);
	expect_receipt(&alice, RECEIPT_DELIVERED, REFUSE_NONE, 1);
	world_free(w);
}

static void
silent_recipient_on(uint32_t workers)
{
	struct world *w = world_new(workers);
	const struct cell *store;
	struct peer alice, bob;
	unsigned sends = 0;

	two_friends(w, &alice, &bob);
	send_message(&alice, 0, 2, 1);
	world_pass(w, UINT64_C(30000000));
	while (peer_receive(&bob, FRAME_DELIVER, &(struct frame){0}))
		sends++;
	assert_int_equal(sends, w->config->session.retransmit_limit);
	store = control_take(w, IPC_EVENT, 0, PUNT_STORE);
	assert_non_null(store);
	assert_int_equal(store->store.device, bob.device);
	answer_stored(w, store, true, 1);
	expect_receipt(&alice, RECEIPT_ACCEPTED, REFUSE_NONE, 1);
	expect_receipt(&alice, RECEIPT_STORED, REFUSE_NONE, 1);
	/* Its ACK comes too late to matter. */
	send_ack(&bob, 0, 1, 1);
	assert_int_equal(world_counter(w, COUNTER_acks_unknown), 1);
	assert_int_equal(w->workers[w->count - 1]->deliveries.used, 0);
	world_free(w);
}

static void
test_silent_recipient(void **state)
{
	(void)state;
	silent_recipient_on(1);
	silent_recipient_on(2);
}

/* The first forward leaves in the packet that brought the message: what else that packet said counts, the second device gets the
 * same, and the copy that is sent again is right. */
static void
test_forward_in_the_packet_that_came(void **state)
{
	struct world *w = world_new(1);
	struct peer alice, home, phone;
	const struct peer *devices[] = {&home, &phone};
	struct frame f[3] = {{.type = FRAME_PING, .token = 99}}, pong;
	uint8_t padding[80] = {0};
	uint32_t first;

	(void)state;
	peer_join(&alice, w, 0, 1, 1, 0);
	peer_join(&home, w, 0, 2, 2, 0);
	peer_join(&phone, w, 0, 3, 2, 0);
	control_user(w, 2, false, devices, 2);
	control_allow(w, 1, 2, VERDICT_ALLOWED);
	world_settle(w);
	for (message_id_t id = 1; id <= 3; id++) {
		unsigned n = 0;

		/* Alone; with a little behind it; with so much behind it that it is not copied. */
		f[n++] = message_to(2, id);
		if (id > 1)
			f[n++] = (struct frame){.type = FRAME_PING, .token = 99 + id};
		if (id > 2)
			f[n++] = (struct frame){.type = FRAME_REQUEST,
						.request = {.request = 1, .fragments = 1, .length = sizeof(padding), .body = padding}};
		peer_send(&alice, 0, f, n);
		expect_receipt(&alice, RECEIPT_ACCEPTED, REFUSE_NONE, id);
		if (id > 1) {
			assert_true(peer_receive(&alice, FRAME_PONG, &pong));
			assert_int_equal(pong.pong.token, 99 + id);
			assert_true(endpoint_equal(&pong.pong.observed, &alice.address));
		}
		first = expect_deliver(&home, &alice, id);
		assert_int_equal(expect_deliver(&phone, &alice, id), first);
		send_ack(&phone, 0, first, 1);
		w->now_us += 600000;
		world_settle(w);
		assert_int_equal(expect_deliver(&home, &alice, id), first);
		send_ack(&home, 0, first, 1);
		expect_receipt(&alice, RECEIPT_DELIVERED, REFUSE_NONE, id);
	}
	world_free(w);
}

static void
test_recipient_vanishes(void **state)
{
	struct world *w = world_new(2);
	const struct cell *store;
	struct peer alice, bob;
	struct cell *c;

	(void)state;
	two_friends(w, &alice, &bob);
	send_message(&alice, 0, 2, 1);
	c = control_put(w, IPC_INJECT, 1, INJECT_SESSION_DEL);
	c->session_del.sid = bob.sid;
	c->session_del.reason = CLOSE_KICKED;
	control_publish(w, IPC_INJECT, 1);
	world_settle(w);
	assert_true(peer_receive(&bob, FRAME_CLOSE, &(struct frame){0}));
	store = control_take(w, IPC_EVENT, 0, PUNT_STORE);
	assert_non_null(store);
	/* That device was removed meanwhile: the rest of the user's devices get it. */
	answer_stored(w, store, true, 0);
	store = control_take(w, IPC_EVENT, 0, PUNT_STORE);
	assert_non_null(store);
	assert_int_equal(store->store.device, 0);
	answer_stored(w, store, true, 0);
	expect_receipt(&alice, RECEIPT_ACCEPTED, REFUSE_NONE, 1);
	expect_receipt(&alice, RECEIPT_REFUSED, REFUSE_UNKNOWN_USER, 1);
	/* The table still names the dead session: straight to the store. */
	send_message(&alice, 0, 2, 2);
	assert_non_null(control_take(w, IPC_EVENT, 0, PUNT_STORE));
	world_free(w);
}

static void
test_sender_vanishes(void **state)
{
	struct world *w = world_new(2);
	struct frame bye = {.type = FRAME_CLOSE, .close_reason = CLOSE_LOGOUT};
	const struct cell *event;
	struct peer alice, bob;

	(void)state;
	two_friends(w, &alice, &bob);
	send_message(&alice, 0, 2, 1);
	send_message(&alice, 0, 2, 2);
	send_ack(&bob, 1, expect_deliver(&bob, &alice, 1), 1);
	peer_send(&alice, 0, &bye, 1);
	event = control_take(w, IPC_EVENT, 0, PUNT_SESSION);
	assert_non_null(event);
	if (event->session.event == SESSION_HEARD)
		event = control_take(w, IPC_EVENT, 0, PUNT_SESSION);
	assert_int_equal(event->session.event, SESSION_CLOSED);
	assert_int_equal(event->session.sid, alice.sid);
	/* The second message still reaches Bob; its record goes with his ACK. */
	send_ack(&bob, 1, expect_deliver(&bob, &alice, 2), 1);
	assert_int_equal(w->workers[0]->messages.used, 0);
	assert_int_equal(w->workers[1]->deliveries.used, 0);
	world_free(w);
}

static void
test_event_ring_full_loses_nothing(void **state)
{
	struct world *w = world_new(1);
	const struct cell *c;
	struct peer alice, bob;
	unsigned stores = 0;

	(void)state;
	two_friends(w, &alice, &bob);
	control_user(w, 2, true, NULL, 0);
	for (message_id_t id = 1; id <= 72; id++)
		send_message(&alice, 0, 2, id);
	assert_true(world_counter(w, COUNTER_ring_event_full) > 0);
	for (unsigned round = 0; round < 40; round++) {
		while ((c = control_take(w, IPC_EVENT, 0, PUNT_STORE)) != NULL) {
			answer_stored(w, c, true, 1);
			stores++;
		}
		world_pass(w, 10000);
	}
	assert_true(stores >= 72);
	assert_int_equal(world_counter(w, COUNTER_messages_stored), 72);
	world_free(w);
}

static void
test_request_ring_full_says_slow_down(void **state)
{
	struct world *w = world_new(1);
	struct peer alice;
	struct frame f;
	bool slowed = false;

	(void)state;
	peer_join(&alice, w, 0, 1, 1, 0);
	for (message_id_t id = 1; id <= 70; id++)
		send_message(&alice, 0, 100 + id, id);
	while (peer_receive(&alice, FRAME_RECEIPT, &f)) {
		assert_int_equal(f.receipt.reason, REFUSE_SLOW_DOWN);
		assert_true(f.receipt.retry_ms > 0);
		slowed = true;
	}
	assert_true(slowed);
	assert_int_equal(world_counter(w, COUNTER_ring_request_full), 70 - 63);
	world_free(w);
}

static void
test_to_oneself(void **state)
{
	struct world *w = world_new(1);
	const struct cell *store;
	struct peer alice;

	(void)state;
	peer_join(&alice, w, 0, 1, 1, 0);
	control_user(w, 1, false, (const struct peer *[]){&alice}, 1);
	control_allow(w, 1, 1, VERDICT_ALLOWED);
	send_message(&alice, 0, 1, 1);
	assert_false(peer_receive(&alice, FRAME_DELIVER, &(struct frame){0}));
	store = control_take(w, IPC_EVENT, 0, PUNT_STORE);
	assert_non_null(store);
	assert_int_equal(store->store.except[0], alice.device);
	world_free(w);
}

/* A device that has just come back: the table still knows its earlier session, to which its own message must neither be delivered nor,
 * when that has failed, be stored for it. */
static void
test_to_oneself_of_an_earlier_session(void **state)
{
	struct world *w = world_new(1);
	struct peer alice, earlier, phone;
	const struct cell *store;

	(void)state;
	peer_join(&alice, w, 0, 1, 1, 0);
	peer_join(&phone, w, 0, 2, 1, 0);
	phone.device = alice.device + 1;
	earlier = alice;
	earlier.sid = session_id_make(0, 9, 9);
	control_user(w, 1, false, (const struct peer *[]){&earlier, &phone}, 2);
	control_allow(w, 1, 1, VERDICT_ALLOWED);
	send_message(&alice, 0, 1, 1);
	assert_true(peer_receive(&phone, FRAME_DELIVER, &(struct frame){0}));
	store = control_take(w, IPC_EVENT, 0, PUNT_STORE);
	assert_null(store);
	world_free(w);
}

static void
test_control_frames(void **state)
{
	struct world *w = world_new(1);
	uint8_t bytes[64];
	struct frame f = {.type = FRAME_NOTIFY, .notify = {.length = 3, .body = (const uint8_t *)"abc"}};
	int n = frame_write(&f, bytes, sizeof(bytes));
	const struct cell *done;
	struct peer a, b;
	struct cell *c;

	(void)state;
	peer_join(&a, w, 0, 1, 1, 0);
	peer_join(&b, w, 0, 2, 2, 0);
	c = control_put(w, IPC_INJECT, 0, INJECT_FRAME);
	c->frame.session_count = 3;
	c->frame.sids[0] = a.sid;
	c->frame.sids[1] = b.sid;
	c->frame.sids[2] = session_id_make(0, 9, 9); /* gone */
	c->length = (uint16_t)n;
	memcpy(c->data, bytes, (size_t)n);
	control_publish(w, IPC_INJECT, 0);
	world_settle(w);
	assert_true(peer_receive(&a, FRAME_NOTIFY, &f));
	assert_int_equal(f.notify.delivery, 1);
	assert_memory_equal(f.notify.body, "abc", 3);
	assert_true(peer_receive(&b, FRAME_NOTIFY, &f));
	send_ack(&a, 0, 1, 1);
	send_ack(&b, 0, 1, 1);
	assert_int_equal(w->workers[0]->messages.used, 0);
	/* With a token control hears the outcome: acknowledged, then given up. */
	for (unsigned i = 0; i < 2; i++) {
		c = control_put(w, IPC_INJECT, 0, INJECT_FRAME);
		c->frame.token = 77 + i;
		c->frame.session_count = 1;
		c->frame.sids[0] = a.sid;
		c->length = (uint16_t)n;
		memcpy(c->data, bytes, (size_t)n);
		control_publish(w, IPC_INJECT, 0);
		world_settle(w);
		if (i == 0)
			send_ack(&a, 0, 2, 1);
		else
			world_pass(w, UINT64_C(30000000));
		done = control_take(w, IPC_EVENT, 0, PUNT_DELIVERED);
		assert_non_null(done);
		assert_int_equal(done->delivered.token, 77 + i);
		assert_int_equal(done->delivered.outcome, i == 0 ? DELIVERY_ACKED : DELIVERY_FAILED);
	}
	assert_int_equal(w->workers[0]->messages.used, 0);
	world_free(w);
}

/* Nobody says it again, so a notification without a token is sent as long as its session lives. */
static void
test_notification_outlasts_silence(void **state)
{
	struct world *w = world_new(1);
	struct frame f = {.type = FRAME_NOTIFY, .notify = {.length = 3, .body = (const uint8_t *)"abc"}};
	unsigned sends = 0;
	struct peer a;
	struct cell *c;

	(void)state;
	peer_join(&a, w, 0, 1, 1, 0);
	c = control_put(w, IPC_INJECT, 0, INJECT_FRAME);
	c->frame.session_count = 1;
	c->frame.sids[0] = a.sid;
	c->length = (uint16_t)frame_write(&f, c->data, sizeof(c->data));
	control_publish(w, IPC_INJECT, 0);
	world_pass(w, (uint64_t)w->config->session.timeout_ms * 1000 - 1000000);
	while (peer_receive(&a, FRAME_NOTIFY, &f))
		sends++;
	assert_true(sends > w->config->session.retransmit_limit);
	assert_int_equal(w->workers[0]->deliveries.used, 1);
	send_ack(&a, 0, 1, 1);
	assert_int_equal(w->workers[0]->messages.used, 0);
	assert_int_equal(w->workers[0]->deliveries.used, 0);
	/* With the session it ends. */
	c = control_put(w, IPC_INJECT, 0, INJECT_FRAME);
	c->frame.session_count = 1;
	c->frame.sids[0] = a.sid;
	c->length = (uint16_t)frame_write(&f, c->data, sizeof(c->data));
	control_publish(w, IPC_INJECT, 0);
	world_pass(w, (uint64_t)w->config->session.timeout_ms * 1000 + 1000000);
	assert_int_equal(w->workers[0]->messages.used, 0);
	assert_int_equal(w->workers[0]->deliveries.used, 0);
	world_free(w);
}

/* More messages at once than a session may have in flight: all arrive, in order, as ACKs make room. */
static void
test_window(void **state)
{
	struct world *w = world_new(2);
	struct peer alice, bob;
	uint32_t expected = 1;

	(void)state;
	two_friends(w, &alice, &bob);
	for (message_id_t id = 1; id <= 72; id++)
		send_message(&alice, 0, 2, id);
	while (expected <= 72) {
		assert_int_equal(expect_deliver(&bob, &alice, expected), expected);
		send_ack(&bob, 1, expected, 1);
		expected++;
	}
	assert_int_equal(world_counter(w, COUNTER_messages_delivered), 72);
	/* The records' table is bounded: what does not fit is slowed, not lost or half done. */
	for (message_id_t id = 73; id <= 200; id++)
		send_message(&alice, 0, 2, id);
	assert_true(world_counter(w, COUNTER_messages_slowed) > 0);
	world_free(w);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_delivered),
		cmocka_unit_test(test_confirm_around_gaps),
		cmocka_unit_test(test_gaps_end),
		cmocka_unit_test(test_delivered_across_workers),
		cmocka_unit_test(test_first_message_asks_control),
		cmocka_unit_test(test_lost_question_is_asked_again),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_stored_for_the_absent),
		cmocka_unit_test(test_two_devices_one_away),
		cmocka_unit_test(test_silent_recipient),
		cmocka_unit_test(test_forward_in_the_packet_that_came),
		cmocka_unit_test(test_recipient_vanishes),
		cmocka_unit_test(test_sender_vanishes),
		cmocka_unit_test(test_event_ring_full_loses_nothing),
		cmocka_unit_test(test_request_ring_full_says_slow_down),
		cmocka_unit_test(test_to_oneself),
		cmocka_unit_test(test_to_oneself_of_an_earlier_session),
		cmocka_unit_test(test_control_frames),
		cmocka_unit_test(test_notification_outlasts_silence),
		cmocka_unit_test(test_window),
	};

	return cmocka_run_group_tests_name("relay", tests, eal_fixture_setup, eal_fixture_teardown);
}
