/* SPDX-License-Identifier: BSD-3-Clause */
/* Sessions that are true and mean ill: each is told to slow down or not heard, and a pair that chats beside them is not disturbed. */
#include "eal_fixture.h"
#include "relay_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define HOSTILE 36

struct fixture {
	struct world *world;
	struct worker *worker;
	struct peer alice, bob;
	struct peer mallory[HOSTILE];
	message_id_t id; /* last one of alice */
};

static void
fixture_init(struct fixture *f, unsigned hostile)
{
	const struct peer *bob = &f->bob;

	memset(f, 0, sizeof(*f));
	f->world = world_new(1);
	f->worker = f->world->workers[0];
	f->world->now_us = 60000000;
	peer_join(&f->alice, f->world, 0, 0, 1, 0);
	peer_join(&f->bob, f->world, 0, 1, 2, 0);
	for (unsigned i = 0; i < hostile; i++)
		peer_join(&f->mallory[i], f->world, 0, 2 + i, 10 + i, 0);
	control_user(f->world, 2, false, &bob, 1);
	control_allow(f->world, 1, 2, VERDICT_ALLOWED);
	world_settle(f->world);
	while (control_take(f->world, IPC_EVENT, 0, PUNT_SESSION) != NULL)
		;
}

static void
send_message(struct peer *p, user_id_t to, message_id_t id)
{
	struct frame f = {.type = FRAME_MESSAGE, .message = {.to = to, .id = id, .length = 2, .body = (const uint8_t *)"hi"}};

	peer_send(p, 0, &f, 1);
}

static void
send_ack(struct peer *p, uint32_t first, uint16_t length)
{
	uint8_t range[6];
	struct frame f = {.type = FRAME_ACK, .ack = {.count = 1, .ranges = range}};

	wire_ack_put(range, 0, first, length);
	peer_send(p, 0, &f, 1);
}

/* Sent, accepted, delivered, acknowledged, and the sender knows: at once. */
static void
expect_chat(struct fixture *f)
{
	struct frame frame = {.type = FRAME_CONFIRM};

	send_message(&f->alice, 2, ++f->id);
	assert_true(peer_receive(&f->alice, FRAME_RECEIPT, &frame));
	if (frame.receipt.level != RECEIPT_ACCEPTED)
		fail_msg("message %lu: level %u, reason %u", f->id, frame.receipt.level, frame.receipt.reason);
	assert_true(peer_receive(&f->bob, FRAME_DELIVER, &frame));
	assert_int_equal(frame.deliver.id, f->id);
	send_ack(&f->bob, frame.deliver.delivery, 1);
	assert_true(peer_receive(&f->alice, FRAME_RECEIPT, &frame));
	assert_int_equal(frame.receipt.level, RECEIPT_DELIVERED);
	frame = (struct frame){.type = FRAME_CONFIRM, .confirm = f->id};
	peer_send(&f->alice, 0, &frame, 1);
}

/* What the peer was told since: how many messages to slow down, and the longest time named. */
static unsigned
count_slowed(struct peer *p, uint32_t *retry_ms)
{
	struct frame f;
	unsigned n = 0;

	*retry_ms = 0;
	while (peer_receive(p, FRAME_RECEIPT, &f))
		if (f.receipt.reason == REFUSE_SLOW_DOWN) {
			assert_int_equal(f.receipt.level, RECEIPT_REFUSED);
			assert_true(f.receipt.retry_ms > 0);
			*retry_ms = RTE_MAX(*retry_ms, f.receipt.retry_ms);
			n += f.receipt.count;
		}
	return n;
}

static void
test_messages(void **state)
{
	static struct fixture f;
	struct frame frame;
	uint32_t retry_ms;

	(void)state;
	fixture_init(&f, 1);
	f.worker->message_rate = rate_make(10, 1000, 20);
	control_allow(f.world, 10, 10, VERDICT_ALLOWED);
	for (message_id_t id = 1; id <= 100; id++) {
		send_message(&f.mallory[0], 10, id);
		if (id % 20 == 0) {
			while (control_take(f.world, IPC_EVENT, 0, PUNT_STORE) != NULL)
				;
			expect_chat(&f);
		}
	}
	assert_int_equal(count_slowed(&f.mallory[0], &retry_ms), 80);
	assert_int_equal(retry_ms, 100);
	assert_int_equal(world_counter(f.world, COUNTER_limit_messages), 80);
	/* What it holds already it may ask about as often as it likes: a retry is no new message. */
	send_message(&f.mallory[0], 10, 1);
	assert_true(peer_receive(&f.mallory[0], FRAME_RECEIPT, &frame));
	assert_int_equal(frame.receipt.level, RECEIPT_ACCEPTED);
	/* The time named is the truth. */
	world_pass(f.world, retry_ms * UINT64_C(1000));
	count_slowed(&f.mallory[0], &retry_ms);
	send_message(&f.mallory[0], 10, 200);
	assert_int_equal(count_slowed(&f.mallory[0], &retry_ms), 0);
	world_free(f.world);
}

static void
test_conversations(void **state)
{
	static struct fixture f;
	uint32_t retry_ms;
	unsigned asked = 0;

	(void)state;
	fixture_init(&f, 1);
	f.worker->conversation_rate = rate_make(10, 1000, 30);
	for (message_id_t id = 1; id <= 200; id++) {
		send_message(&f.mallory[0], 1000 + id, id);
		asked += control_take(f.world, IPC_REQUEST, 0, PUNT_VERDICT) != NULL;
		if (id % 50 == 0)
			expect_chat(&f);
	}
	assert_int_equal(asked, 30);
	assert_int_equal(count_slowed(&f.mallory[0], &retry_ms), 170);
	assert_int_equal(world_counter(f.world, COUNTER_limit_conversations), 170);
	/* No record is left behind by those that were refused. */
	assert_int_equal(f.worker->messages.used, 30);
	world_free(f.world);
}

static void
test_requests(void **state)
{
	static struct fixture f;
	struct frame request = {.type = FRAME_REQUEST, .request = {.fragments = 1, .length = 1, .body = (const uint8_t *)"x"}};
	struct frame frame;
	unsigned punted = 0, slowed = 0;

	(void)state;
	fixture_init(&f, 1);
	f.worker->request_rate = rate_make(10, 1000, 30);
	for (uint32_t n = 1; n <= 200; n++) {
		request.request.request = n;
		peer_send(&f.mallory[0], 0, &request, 1);
		punted += control_take(f.world, IPC_REQUEST, 0, PUNT_REQUEST) != NULL;
		if (peer_receive(&f.mallory[0], FRAME_SLOW_DOWN, &frame)) {
			assert_int_equal(frame.slow_down.request, n);
			assert_int_equal(frame.slow_down.retry_ms, 100);
			slowed++;
		}
		if (n % 50 == 0)
			expect_chat(&f);
	}
	assert_int_equal(punted, 30);
	assert_int_equal(slowed, 170);
	assert_int_equal(world_counter(f.world, COUNTER_limit_requests), 170);
	/* Others have buckets of their own. */
	peer_send(&f.alice, 0, &request, 1);
	assert_non_null(control_take(f.world, IPC_REQUEST, 0, PUNT_REQUEST));
	world_free(f.world);
}

/* Never confirming, all together: some records stay free for others. */
static void
test_records(void **state)
{
	static struct fixture f;
	uint32_t retry_ms, most;
	const struct cell *c;

	(void)state;
	fixture_init(&f, 12);
	most = f.worker->messages.capacity - f.worker->messages.capacity / 4;
	for (unsigned i = 0; i < 12; i++) {
		control_allow(f.world, f.mallory[i].user, f.mallory[i].user, VERDICT_ALLOWED);
		for (message_id_t id = 1; id <= 100; id++) {
			send_message(&f.mallory[i], f.mallory[i].user, id);
			while ((c = control_take(f.world, IPC_EVENT, 0, PUNT_STORE)) != NULL)
				;
			if (count_slowed(&f.mallory[i], &retry_ms) != 0)
				break;
		}
		assert_true(retry_ms > 0);
		expect_chat(&f);
	}
	assert_true(f.worker->messages.used < most);
	/* The first had room for many, the last for a few. */
	assert_true(f.worker->sessions.activities[f.worker->sessions.sessions[2].activity].record_count > 60);
	assert_true(f.worker->sessions.activities[f.worker->sessions.sessions[1 + 12].activity].record_count > 0);
	assert_true(world_counter(f.world, COUNTER_limit_records) >= 12);
	world_free(f.world);
}

/* As many accounts as it takes to use up what all may share, each taking what it is given and confirming nothing: who says something now
 * and then is served. */
static void
test_many_accounts(void **state)
{
	static struct fixture f;
	uint32_t retry_ms, most;

	(void)state;
	fixture_init(&f, HOSTILE);
	most = f.worker->messages.capacity - f.worker->messages.capacity / 4;
	for (unsigned i = 0; i < HOSTILE; i++) {
		control_allow(f.world, f.mallory[i].user, f.mallory[i].user, VERDICT_ALLOWED);
		for (message_id_t id = 1; id <= 200; id++) {
			send_message(&f.mallory[i], f.mallory[i].user, id);
			while (control_take(f.world, IPC_EVENT, 0, PUNT_STORE) != NULL)
				;
			if (count_slowed(&f.mallory[i], &retry_ms) != 0)
				break;
		}
		assert_true(retry_ms > 0);
		expect_chat(&f);
	}
	/* What all share was used up before half of them had come. */
	assert_true(f.worker->messages.used > most - most / 8);
	assert_int_equal(f.worker->sessions.activities[f.worker->sessions.sessions[1 + HOSTILE].activity].record_count, 4);
	world_free(f.world);
}

/* Control's word on all conversations that it is asked about: allowed, and nobody is there. What is punted to the store is stored. */
static unsigned
control_answers(struct fixture *f)
{
	const struct cell *c;
	unsigned asked = 0;
	struct cell *answer;

	while ((c = control_take(f->world, IPC_REQUEST, 0, PUNT_VERDICT)) != NULL) {
		struct cell_verdict verdict = c->verdict;

		asked++;
		verdict.verdict = VERDICT_ALLOWED;
		if (verdict.to == 2) {
			verdict.live_count = 1;
			verdict.live[0] = (struct live_session){.sid = f->bob.sid, .device = f->bob.device};
		}
		control_allow(f->world, verdict.from, verdict.to, VERDICT_ALLOWED);
		answer = control_put(f->world, IPC_INJECT, 0, INJECT_VERDICT);
		answer->verdict = verdict;
		control_publish(f->world, IPC_INJECT, 0);
		world_settle(f->world);
	}
	while ((c = control_take(f->world, IPC_EVENT, 0, PUNT_STORE)) != NULL) {
		struct cell_stored stored = {.record = c->store.record, .id = c->store.id, .ok = 1, .stored = 1};

		answer = control_put(f->world, IPC_INJECT, 0, INJECT_STORED);
		answer->stored = stored;
		control_publish(f->world, IPC_INJECT, 0);
		world_settle(f->world);
	}
	return asked;
}

/* Thousands of conversations; first without confirming anything, which ends it early, then at the limit. The verdicts of others are pushed out of the table (of 64 places here), so
 * control is asked again; they notice nothing. */
static void
test_thousands_of_conversations(void **state)
{
	static struct fixture f;
	const struct config *c;
	uint32_t retry_ms;
	unsigned asked = 0;
	struct frame frame;

	(void)state;
	fixture_init(&f, 1);
	c = f.world->config;
	for (message_id_t id = 1; id <= 3000; id++) {
		send_message(&f.mallory[0], 1000 + id, id);
		asked += control_answers(&f);
		count_slowed(&f.mallory[0], &retry_ms);
		if (id == 200)
			assert_in_range(asked, 1, 100);
		if (id >= 200) {
			frame = (struct frame){.type = FRAME_CONFIRM, .confirm = id};
			peer_send(&f.mallory[0], 0, &frame, 1);
		}
		world_pass(f.world, 20000);
		if (id % 20 != 0)
			continue;
		send_message(&f.alice, 2, ++f.id);
		control_answers(&f);
		assert_true(peer_receive(&f.bob, FRAME_DELIVER, &frame));
		assert_int_equal(frame.deliver.id, f.id);
		send_ack(&f.bob, frame.deliver.delivery, 1);
		assert_true(peer_receive(&f.alice, FRAME_RECEIPT, &frame) && frame.receipt.level == RECEIPT_ACCEPTED);
		assert_true(peer_receive(&f.alice, FRAME_RECEIPT, &frame) && frame.receipt.level == RECEIPT_DELIVERED);
		frame = (struct frame){.type = FRAME_CONFIRM, .confirm = f.id};
		peer_send(&f.alice, 0, &frame, 1);
		/* Of the records it has its share. */
		assert_true(f.worker->messages.used < f.worker->messages.capacity / 4);
	}
	/* A minute at 20 per second, and the first 500. */
	assert_in_range(asked, 1000, c->limits.conversations_burst + 60 * c->limits.conversations_per_second + 3000 / 20);
	world_free(f.world);
}

/* More sessions have something under way than there are blocks for it. Who has a block is not disturbed; who has none is told when to come
 * again, and served once others have been idle for a minute, though they never answer a challenge of their (forged) addresses. */
static void
test_activities(void **state)
{
	struct frame ping = {.type = FRAME_PING, .token = 1}, frame;
	static struct fixture f;
	uint8_t packet[WIRE_DATAGRAM_MAX];
	uint32_t retry_ms;

	(void)state;
	world_activities = 8;
	fixture_init(&f, 7);
	world_activities = 0;
	expect_chat(&f);
	control_allow(f.world, f.mallory[6].user, 2, VERDICT_ALLOWED);
	for (unsigned i = 0; i < 6; i++) {
		size_t length = peer_seal(&f.mallory[i], &ping, 1, packet);
		struct endpoint forged;

		endpoint_set_ipv4(&forged, (uint8_t[]){198, 51, 100, (uint8_t)i}, 53);
		world_send_raw(f.world, 0, &forged, packet, length);
		world_settle(f.world);
	}
	assert_int_equal(f.worker->sessions.activity_free, NONE);
	for (unsigned second = 0; second < 59; second++) {
		send_message(&f.mallory[6], 2, 1 + second);
		assert_int_equal(count_slowed(&f.mallory[6], &retry_ms), 1);
		assert_true(retry_ms > 0);
		expect_chat(&f);
		/* They stay logged in. */
		for (unsigned i = 0; i < 6; i++)
			peer_send(&f.mallory[i], 0, &ping, 1);
		world_pass(f.world, 1000000);
		while (f.world->tx.head != f.world->tx.tail)
			rte_pktmbuf_free(f.world->tx.pkts[f.world->tx.head++ % WORLD_QUEUE]);
	}
	world_pass(f.world, 2000000);
	send_message(&f.mallory[6], 2, 100);
	assert_int_equal(count_slowed(&f.mallory[6], &retry_ms), 0);
	assert_true(peer_receive(&f.bob, FRAME_DELIVER, &frame));
	assert_int_equal(frame.deliver.id, 100);
	send_ack(&f.bob, frame.deliver.delivery, 1);
	expect_chat(&f);
	world_free(f.world);
}

/* A session whose share is used up by what it cannot confirm: the text that the confirmation waits for comes in, and nothing beyond it. */
static void
test_next_ids(void **state)
{
	static struct fixture f;
	struct peer *p = &f.mallory[0];
	uint32_t retry_ms;
	const struct cell *c;

	(void)state;
	fixture_init(&f, 1);
	control_allow(f.world, p->user, p->user, VERDICT_ALLOWED);
	for (message_id_t id = 1000; id < 2000; id++) {
		send_message(p, p->user, id);
		while ((c = control_take(f.world, IPC_EVENT, 0, PUNT_STORE)) != NULL)
			;
		if (count_slowed(p, &retry_ms) != 0)
			break;
	}
	assert_int_equal(world_counter(f.world, COUNTER_limit_records), 1);
	for (message_id_t id = 15; id > 0; id--) {
		send_message(p, p->user, id);
		while ((c = control_take(f.world, IPC_EVENT, 0, PUNT_STORE)) != NULL)
			;
		assert_int_equal(count_slowed(p, &retry_ms), 0);
	}
	send_message(p, p->user, 16);
	assert_int_equal(count_slowed(p, &retry_ms), 1);
	assert_int_equal(world_counter(f.world, COUNTER_limit_records), 2);
	world_free(f.world);
}

/* As many confirmations as a packet holds, each of which goes through all that the session has under way: some, and no more. */
static void
test_confirms(void **state)
{
	static struct fixture f;
	struct peer *p = &f.mallory[0];
	struct frame frames[120];
	struct activity *a;
	uint32_t retry_ms, most;
	const struct cell *c;
	uint8_t gap[6];

	(void)state;
	fixture_init(&f, 1);
	control_allow(f.world, p->user, p->user, VERDICT_ALLOWED);
	for (message_id_t id = 1000; count_slowed(p, &retry_ms) == 0; id++) {
		send_message(p, p->user, id);
		while ((c = control_take(f.world, IPC_EVENT, 0, PUNT_STORE)) != NULL)
			;
	}
	a = &f.worker->sessions.activities[f.worker->sessions.sessions[2].activity];
	most = ACK_STEPS / a->record_count;
	assert_in_range(most, 1, 119);
	for (unsigned i = 0; i < 120; i++)
		frames[i] = (struct frame){.type = FRAME_CONFIRM, .confirm = i + 1};
	peer_send(p, 0, frames, 120);
	assert_int_equal(a->confirmed, most);
	assert_int_equal(world_counter(f.world, COUNTER_limit_acks), 120 - most);
	/* The next packet is a new one; the same around gaps. */
	wire_confirm_gap_put(gap, 0, 900, 800, 800);
	for (unsigned i = 0; i < 60; i++)
		frames[i] = (struct frame){.type = FRAME_CONFIRM_GAPS, .confirm_gaps = {.id = 900, .count = 1, .gaps = gap}};
	peer_send(p, 0, frames, 60);
	assert_int_equal(world_counter(f.world, COUNTER_limit_acks), 120 - most + (most < 60 ? 60 - most : 0));
	frames[0] = (struct frame){.type = FRAME_CONFIRM, .confirm = 999};
	peer_send(p, 0, frames, 1);
	assert_int_equal(a->confirmed, 999);
	world_free(f.world);
}

/* Live messages that somebody holds back take nothing from the frames of control that these wait for, however little room is left. */
static void
test_frames_beside_live_messages(void **state)
{
	static struct fixture f;
	struct frame answer = {.type = FRAME_RESPONSE,
			       .response = {.delivery = 1, .request = 1, .fragments = 1, .length = 3, .body = (const uint8_t *)"abc"}};
	struct frame frame;
	uint32_t retry_ms;
	struct cell *c;

	(void)state;
	fixture_init(&f, 16);
	for (message_id_t id = 1; id <= 60; id++) {
		send_message(&f.alice, 2, id);
		assert_true(peer_receive(&f.bob, FRAME_DELIVER, &frame));
	}
	for (unsigned i = 0; i < 16; i++) {
		control_allow(f.world, f.mallory[i].user, f.mallory[i].user, VERDICT_ALLOWED);
		for (message_id_t id = 1; count_slowed(&f.mallory[i], &retry_ms) == 0; id++) {
			send_message(&f.mallory[i], f.mallory[i].user, id);
			while (control_take(f.world, IPC_EVENT, 0, PUNT_STORE) != NULL)
				;
		}
	}
	assert_true((f.worker->messages.capacity - f.worker->messages.used) / 8 < 60);
	for (unsigned n = 0; n < 40; n++) {
		c = control_put(f.world, IPC_INJECT, 0, INJECT_FRAME);
		c->frame = (struct cell_frame){.session_count = 1, .sids = {f.bob.sid}};
		c->length = (uint16_t)frame_write(&answer, c->data, CELL_DATA_MAX);
		control_publish(f.world, IPC_INJECT, 0);
		world_settle(f.world);
		assert_int_equal(peer_receive(&f.bob, FRAME_RESPONSE, &frame), n < 32);
	}
	assert_int_equal(world_counter(f.world, COUNTER_limit_frames), 8);
	world_free(f.world);
}

/* Frames from control to somebody who never acknowledges. */
static void
test_frames(void **state)
{
	static struct fixture f;
	struct frame notify = {.type = FRAME_NOTIFY, .notify = {.delivery = 1, .length = 3, .body = (const uint8_t *)"abc"}};
	struct frame answer = {.type = FRAME_RESPONSE,
			       .response = {.delivery = 1, .request = 1, .fragments = 1, .length = 3, .body = (const uint8_t *)"abc"}};
	struct frame frame;
	struct cell *c;

	(void)state;
	fixture_init(&f, 16);
	for (unsigned i = 0; i < 16; i++)
		for (unsigned n = 0; n < 200; n++) {
			c = control_put(f.world, IPC_INJECT, 0, INJECT_FRAME);
			c->frame = (struct cell_frame){.session_count = 1, .sids = {f.mallory[i].sid}};
			c->length = (uint16_t)frame_write(&answer, c->data, CELL_DATA_MAX);
			control_publish(f.world, IPC_INJECT, 0);
			if (n % 100 != 99)
				continue;
			world_settle(f.world);
			while (f.world->tx.head != f.world->tx.tail)
				rte_pktmbuf_free(f.world->tx.pkts[f.world->tx.head++ % WORLD_QUEUE]);
		}
	assert_true(world_counter(f.world, COUNTER_limit_frames) > 0);
	assert_true(f.worker->messages.used < f.worker->messages.capacity);
	/* Nobody waits behind them. */
	c = control_put(f.world, IPC_INJECT, 0, INJECT_FRAME);
	c->frame = (struct cell_frame){.session_count = 1, .sids = {f.alice.sid}};
	c->length = (uint16_t)frame_write(&notify, c->data, CELL_DATA_MAX);
	control_publish(f.world, IPC_INJECT, 0);
	world_settle(f.world);
	assert_true(peer_receive(&f.alice, FRAME_NOTIFY, &frame));
	send_ack(&f.alice, frame.notify.delivery, 1);
	world_free(f.world);
}

/* Three frames of 64 ranges each, all of the end of a long list, or of what was never sent. */
static void
send_acks(struct peer *p, uint32_t first)
{
	uint8_t ranges[3][ACK_RANGES_MAX * 6];
	struct frame frames[3];

	for (unsigned i = 0; i < 3; i++) {
		for (unsigned k = 0; k < ACK_RANGES_MAX; k++)
			wire_ack_put(ranges[i], k, first, UINT16_MAX);
		frames[i] = (struct frame){.type = FRAME_ACK, .ack = {.count = ACK_RANGES_MAX, .ranges = ranges[i]}};
	}
	peer_send(p, 0, frames, 3);
}

static void
test_acks(void **state)
{
	static struct fixture f;
	struct frame notify = {.type = FRAME_NOTIFY, .notify = {.delivery = 1, .length = 3, .body = (const uint8_t *)"abc"}};
	struct cell *c;

	(void)state;
	fixture_init(&f, 1);
	for (unsigned n = 0; n < 60; n++) {
		c = control_put(f.world, IPC_INJECT, 0, INJECT_FRAME);
		c->frame = (struct cell_frame){.session_count = 1, .sids = {f.mallory[0].sid}};
		c->length = (uint16_t)frame_write(&notify, c->data, CELL_DATA_MAX);
		control_publish(f.world, IPC_INJECT, 0);
		world_settle(f.world);
	}
	/* Of what was never sent: nothing is looked for. */
	send_acks(&f.mallory[0], 5000);
	assert_int_equal(f.worker->ack_steps, ACK_STEPS);
	assert_int_equal(world_counter(f.world, COUNTER_acks_unknown), 3 * ACK_RANGES_MAX * UINT16_MAX);
	expect_chat(&f);
	/* The last one again and again: a bounded search. */
	send_ack(&f.mallory[0], 60, 1);
	send_acks(&f.mallory[0], 60);
	assert_int_equal(f.worker->ack_steps, 0);
	assert_true(world_counter(f.world, COUNTER_limit_acks) > 0);
	expect_chat(&f);
	/* And an honest ACK still does its work. */
	send_ack(&f.mallory[0], 1, 59);
	assert_int_equal(f.worker->messages.control, 0);
	world_free(f.world);
}

/* A client that forges its own address in every packet: challenges do not flood those addresses. */
static void
test_forged_own_address(void **state)
{
	static struct fixture f;
	struct frame ping = {.type = FRAME_PING, .token = 1};
	uint8_t packet[WIRE_DATAGRAM_MAX];

	(void)state;
	fixture_init(&f, 1);
	for (unsigned i = 0; i < 1000; i++) {
		struct endpoint victim;
		size_t length = peer_seal(&f.mallory[0], &ping, 1, packet);

		endpoint_set_ipv4(&victim, (uint8_t[]){198, 51, (uint8_t)(i >> 8), (uint8_t)i}, 53);
		world_send_raw(f.world, 0, &victim, packet, length);
		world_settle(f.world);
		f.world->now_us += 1000;
	}
	assert_in_range(world_counter(f.world, COUNTER_path_challenges), 1, 6);
	expect_chat(&f);
	world_free(f.world);
}

/* Packets again, and packets whose frames make no sense. */
static void
test_replays_and_garbage(void **state)
{
	static struct fixture f;
	uint8_t packet[WIRE_DATAGRAM_MAX];
	struct frame message = {.type = FRAME_MESSAGE,
				.message = {.to = 2, .id = 5, .length = 2, .body = (const uint8_t *)"hi"}};
	struct frame frame;
	size_t length;

	(void)state;
	fixture_init(&f, 1);
	control_allow(f.world, 10, 2, VERDICT_ALLOWED);
	length = peer_seal(&f.mallory[0], &message, 1, packet);
	for (unsigned i = 0; i < 500; i++)
		world_send_raw(f.world, 0, &f.mallory[0].address, packet, length);
	world_settle(f.world);
	assert_int_equal(world_counter(f.world, COUNTER_drop_replay), 499);
	assert_true(peer_receive(&f.bob, FRAME_DELIVER, &frame));
	send_ack(&f.bob, frame.deliver.delivery, 1);
	assert_false(peer_receive(&f.bob, FRAME_DELIVER, &frame));
	expect_chat(&f);
	for (unsigned i = 0; i < 500; i++) {
		struct wire_data d = {.sid = f.mallory[0].sid, .counter = wire_counter(0, ++f.mallory[0].sequence)};
		uint8_t nonce[AEAD_NONCE];

		memset(packet, (int)(0x0f + i % 0xf0), sizeof(packet));
		wire_data_write(&d, packet);
		wire_nonce(nonce, WIRE_TO_SERVER, d.counter);
		aead_seal(&f.mallory[0].key, nonce, packet, WIRE_DATA_HEADER, packet + WIRE_DATA_HEADER, 400,
			  packet + WIRE_DATA_HEADER, packet + WIRE_DATA_HEADER + 400);
		world_send_raw(f.world, 0, &f.mallory[0].address, packet, WIRE_DATA_HEADER + 400 + WIRE_TAG);
	}
	world_settle(f.world);
	assert_int_equal(world_counter(f.world, COUNTER_drop_frame), 500);
	expect_chat(&f);
	world_free(f.world);
}

/* Both directions have one key: what the server sealed does not open when it comes back to it, though its sequence is fresh. */
static void
test_reflected(void **state)
{
	struct fixture f;
	unsigned reflected = 0;

	(void)state;
	fixture_init(&f, 0);
	send_message(&f.alice, 2, ++f.id);
	for (uint32_t i = f.world->tx.head; i != f.world->tx.tail; i++) {
		struct rte_mbuf *m = f.world->tx.pkts[i % WORLD_QUEUE];

		if (!endpoint_equal(&packet_info(m)->peer, &f.bob.address))
			continue;
		world_send_raw(f.world, 0, &f.bob.address, rte_pktmbuf_mtod(m, const uint8_t *), rte_pktmbuf_data_len(m));
		reflected++;
	}
	assert_int_equal(reflected, 1);
	world_settle(f.world);
	assert_int_equal(world_counter(f.world, COUNTER_drop_tag), 1);
	world_free(f.world);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_conversations),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_many_accounts),
		cmocka_unit_test(test_thousands_of_conversations),
		cmocka_unit_test(test_activities),
		cmocka_unit_test(test_next_ids),
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_acks),
		cmocka_unit_test(test_frames_beside_live_messages),
		cmocka_unit_test(test_confirms),
		cmocka_unit_test(test_forged_own_address),
		cmocka_unit_test(test_replays_and_garbage),
		cmocka_unit_test(test_reflected),
	};

	return cmocka_run_group_tests_name("hostile", tests, eal_fixture_setup, eal_fixture_teardown);
}
