/* SPDX-License-Identifier: BSD-3-Clause */
#include "inflight.h"

#include "shared/plant.h"
#include "worker_state.h"

#include <errno.h>
#include <rte_malloc.h>

#define RESULT_RETRY_US UINT64_C(5000)
#define INFLIGHT_TIMER_BUDGET 512
#define RTT_GRANULARITY_US 10000u

int
delivery_table_init(struct delivery_table *t, uint32_t local, uint32_t remote, int numa_node, uint64_t now_us)
{
	uint32_t capacity = local + remote;

	memset(t, 0, sizeof(*t));
	t->deliveries = rte_zmalloc_socket("deliveries", (size_t)capacity * sizeof(*t->deliveries), 64, numa_node);
	if (t->deliveries == NULL)
		return -ENOMEM;
	t->capacity = capacity;
	t->local_capacity = local;
	t->free = NONE;
	for (uint32_t i = capacity; i-- > 0;) {
		t->deliveries[i].next = t->free;
		timer_node_init(&t->deliveries[i].timer);
		t->free = i;
	}
	timer_wheel_init(&t->wheel, &t->deliveries[0].timer, sizeof(struct delivery), capacity, INFLIGHT_TICK_US, now_us);
	return 0;
}

void
delivery_table_fini(struct delivery_table *t)
{
	rte_free(t->deliveries);
	memset(t, 0, sizeof(*t));
}

static uint32_t
delivery_index(const struct worker *w, const struct delivery *d)
{
	return (uint32_t)(d - w->deliveries.deliveries);
}

static struct delivery *
delivery_at(const struct worker *w, uint32_t i)
{
	return &w->deliveries.deliveries[i];
}

static void
delivery_timer(struct worker *w, struct delivery *d, uint64_t deadline_us)
{
	d->deadline_us = deadline_us;
	timer_wheel_add(&w->deliveries.wheel, delivery_index(w, d), deadline_us);
}

static void
delivery_free(struct worker *w, struct delivery *d)
{
	struct delivery_table *t = &w->deliveries;

	timer_wheel_remove(&t->wheel, delivery_index(w, d));
	d->message = NULL;
	d->next = t->free;
	t->free = delivery_index(w, d);
	t->used--;
	t->local_used -= d->owner == w->index;
}

static bool
result_hand_back(struct worker *w, uint32_t owner, struct record_ref record, uint32_t part, enum delivery_outcome outcome)
{
	struct handoff_item item = {
		.kind = HANDOFF_RESULT,
		.from = (uint8_t)w->index,
		.part = (uint8_t)part,
		.outcome = outcome,
		.record = record,
	};

	if (owner == w->index) {
		relay_result(w, record, part, outcome);
		return true;
	}
	return handoff_put(w, owner, &item);
}

/* The delivery is in no list any more. Its result must reach the record's owner, so the delivery lives on until it does. */
static void
delivery_finish(struct worker *w, struct delivery *d, enum delivery_outcome outcome)
{
	struct delivery done = *d;

	if (outcome == DELIVERY_ACKED && done.message->state != MESSAGE_CONTROL)
		count(w, COUNTER_messages_delivered);
	else if (outcome == DELIVERY_FAILED)
		count(w, COUNTER_deliveries_failed);
	if (d->owner != w->index && !result_hand_back(w, d->owner, d->record, d->part, outcome)) {
		count(w, COUNTER_ring_handoff_full);
		d->outcome = outcome;
		d->session = NONE;
		delivery_timer(w, d, w->now_us + RESULT_RETRY_US);
		return;
	}
	delivery_free(w, d);
	if (done.owner == w->index)
		relay_result(w, done.record, done.part, outcome);
}

/* ---- the session's lists ------------------------------------------------------------ */

static void
list_append(struct worker *w, uint32_t *head, uint32_t *tail, uint16_t *n, struct delivery *d)
{
	uint32_t i = delivery_index(w, d);

	d->next = NONE;
	d->prev = *tail;
	if (*tail != NONE)
		delivery_at(w, *tail)->next = i;
	else
		*head = i;
	*tail = i;
	(*n)++;
}

static void
list_remove(struct worker *w, uint32_t *head, uint32_t *tail, uint16_t *n, struct delivery *d)
{
	if (d->prev != NONE)
		delivery_at(w, d->prev)->next = d->next;
	else
		*head = d->next;
	if (d->next != NONE)
		delivery_at(w, d->next)->prev = d->prev;
	else
		*tail = d->prev;
	(*n)--;
}

/* ---- sending ------------------------------------------------------------------------ */

static uint32_t
rto_us(const struct activity *a, unsigned sends)
{
	uint64_t rto = RTO_FIRST_US;

	if (a->srtt_us != 0)
		rto = a->srtt_us + RTE_MAX(4 * a->rttvar_us, RTT_GRANULARITY_US);
	rto = RTE_MAX(rto, RTO_MIN_US) << RTE_MIN(sends - 1, 8u);
	return (uint32_t)RTE_MIN(rto, RTO_MAX_US);
}

static void
delivery_write(struct worker *w, struct session *s, const struct delivery *d)
{
	const struct message *m = d->message;
	const uint8_t *body = m->payload;
	struct frame_deliver f;
	uint8_t *at;

	if (m->state == MESSAGE_CONTROL) {
		at = output_frame(w, s, m->length);
		if (at == NULL)
			return;
		memcpy(at, m->payload, m->length);
		wire_set_delivery(at, d->number);
		return;
	}
	if (w->spare.message == m)
		at = output_forward(w, s, DELIVER_HEADER, m->length, &body);
	else
		at = output_frame(w, s, DELIVER_HEADER + m->length);
	if (at == NULL)
		return;
	if (body == m->payload)
		memcpy(at + DELIVER_HEADER, body, m->length);
	f = (struct frame_deliver){
		.flags = m->flags,
		.delivery = d->number,
		.from = m->from,
		.from_device = m->from_device,
		.id = m->id,
		.prev_delta = m->prev_delta,
		.floor_delta = m->floor_delta,
		.sent_at = m->sent_at,
		.length = m->length,
	};
	wire_deliver_header(at, &f);
}

static void
delivery_send(struct worker *w, struct session *s, struct activity *a, struct delivery *d)
{
	d->sends += d->sends != UINT8_MAX;
	d->sent_us = w->now_us;
	delivery_write(w, s, d);
	delivery_timer(w, d, w->now_us + rto_us(a, d->sends));
}

static bool
is_control(const struct delivery *d)
{
	return d->message->state == MESSAGE_CONTROL;
}

/* Control's frames wait before live messages, each kind in the order in which it came. */
static void
pending_add(struct worker *w, struct activity *a, struct delivery *d)
{
	uint32_t i = a->pending_head, index = delivery_index(w, d);

	while (is_control(d) && i != NONE && is_control(delivery_at(w, i)))
		i = delivery_at(w, i)->next;
	if (!is_control(d) || i == NONE) {
		list_append(w, &a->pending_head, &a->pending_tail, &a->pending_count, d);
		return;
	}
	d->next = i;
	d->prev = delivery_at(w, i)->prev;
	delivery_at(w, i)->prev = index;
	if (d->prev != NONE)
		delivery_at(w, d->prev)->next = index;
	else
		a->pending_head = index;
	a->pending_count++;
}

/* Moves what waits into the window. */
static void
window_fill(struct worker *w, struct session *s, struct activity *a)
{
	while (a->pending_count != 0) {
		struct delivery *d = delivery_at(w, a->pending_head);

		if (a->inflight_count >= (is_control(d) ? INFLIGHT_WINDOW_CONTROL : INFLIGHT_WINDOW))
			break;
		list_remove(w, &a->pending_head, &a->pending_tail, &a->pending_count, d);
		list_append(w, &a->inflight_head, &a->inflight_tail, &a->inflight_count, d);
		d->number = ++s->delivery;
		delivery_send(w, s, a, d);
	}
}

void
inflight_start(struct worker *w, const struct message *m, struct record_ref record, uint32_t owner, uint32_t part, session_id_t sid)
{
	struct session *s = session_id_worker(sid) == w->index ? session_find(&w->sessions, sid) : NULL;
	struct activity *a = s != NULL && !(s->flags & SESSION_FLAG_DYING) ? activity_get(&w->sessions, s, w->now_us) : NULL;
	struct delivery_table *t = &w->deliveries;
	struct delivery *d;

	if (owner == w->index && t->local_used == t->local_capacity) {
		count(w, COUNTER_deliveries_failed);
		relay_result(w, record, part, DELIVERY_FAILED);
		return;
	}
	/* For other workers there is always one: HANDOFF_CREDIT bounds what they have under way here. */
	d = delivery_at(w, t->free);
	t->free = d->next;
	if (t->free != NONE)
		__builtin_prefetch(delivery_at(w, t->free), 1);
	t->used++;
	t->local_used += owner == w->index;
	*d = (struct delivery){
		.message = m,
		.record = record,
		.session = s != NULL ? session_index(&w->sessions, s) : NONE,
		.owner = (uint8_t)owner,
		.part = (uint8_t)part,
		.next = NONE,
		.prev = NONE,
	};
	timer_node_init(&d->timer);
	if (a == NULL || a->pending_count >= INFLIGHT_PENDING + (is_control(d) ? INFLIGHT_WINDOW : 0)) {
		delivery_finish(w, d, DELIVERY_FAILED);
		return;
	}
	if (m->state != MESSAGE_CONTROL)
		count(w, COUNTER_messages_relayed);
	pending_add(w, a, d);
	window_fill(w, s, a);
}

/* ---- acknowledgement ---------------------------------------------------------------- */

/* RFC 6298, section 2; Karn: only deliveries that were sent once. */
static void
rtt_sample(struct activity *a, uint64_t rtt_us)
{
	uint32_t r = (uint32_t)RTE_MIN(rtt_us, (uint64_t)RTO_MAX_US);

	r = RTE_MAX(r, 1u);
	if (a->srtt_us == 0) {
		a->srtt_us = r;
		a->rttvar_us = r / 2;
		return;
	}
	a->rttvar_us = (3 * a->rttvar_us + (r > a->srtt_us ? r - a->srtt_us : a->srtt_us - r)) / 4;
	a->srtt_us = RTE_MAX((7 * a->srtt_us + r) / 8, 1u);
}

void
inflight_prefetch(const struct worker *w, const struct session *s, bool record)
{
	const struct activity *a = activity_of(&w->sessions, s);
	const struct delivery *d;

	if (a == NULL || a->inflight_head == NONE)
		return;
	d = delivery_at(w, a->inflight_head);
	if (!record) {
		__builtin_prefetch(d);
		__builtin_prefetch((const uint8_t *)(d + 1) - 1);
	} else if (d->message != NULL) {
		__builtin_prefetch(d->message);
		__builtin_prefetch(&d->message->length);
	}
}

void
inflight_ack(struct worker *w, struct session *s, uint32_t first, uint32_t length)
{
	struct activity *a = activity_of(&w->sessions, s);
	uint32_t next, found = 0;

	/* Never sent: nothing to look for. */
	for (uint32_t i = a != NULL && first <= s->delivery ? a->inflight_head : NONE; i != NONE; i = next) {
		struct delivery *d = delivery_at(w, i);

		if (w->ack_steps == 0) {
			count(w, COUNTER_limit_acks);
			break;
		}
		w->ack_steps--;
		next = d->next;
		if (d->number < first)
			continue;
		if (d->number - first >= length)
			break;
		found++;
		if (d->sends == 1)
			rtt_sample(a, w->now_us - d->sent_us);
		list_remove(w, &a->inflight_head, &a->inflight_tail, &a->inflight_count, d);
		delivery_finish(w, d, DELIVERY_ACKED);
	}
	w->counters[COUNTER_acks_unknown] += length - RTE_MIN(found, length);
	if (a != NULL)
		window_fill(w, s, a);
}

void
inflight_fail_all(struct worker *w, struct session *s)
{
	struct activity *a = activity_of(&w->sessions, s);
	struct delivery *d;

	if (a == NULL)
		return;
	while (a->inflight_count != 0) {
		d = delivery_at(w, a->inflight_head);
		list_remove(w, &a->inflight_head, &a->inflight_tail, &a->inflight_count, d);
		delivery_finish(w, d, PLANTED(lost_inflight) ? DELIVERY_ACKED : DELIVERY_FAILED);
	}
	while (a->pending_count != 0) {
		d = delivery_at(w, a->pending_head);
		list_remove(w, &a->pending_head, &a->pending_tail, &a->pending_count, d);
		delivery_finish(w, d, DELIVERY_FAILED);
	}
}

/* ---- time-outs ---------------------------------------------------------------------- */

static uint64_t
delivery_deadline(void *ctx, uint32_t i)
{
	struct worker *w = ctx;

	return delivery_at(w, i)->deadline_us;
}

/* A notification without a token: control does not say it again, so it is sent as long as its session lives. Else who is cut off for the
 * time of some sends, and comes back in time, never hears who came or went. */
static bool
said_once(const struct message *m)
{
	return m->state == MESSAGE_CONTROL && m->id == 0 && m->payload[0] == FRAME_NOTIFY;
}

static void
delivery_fire(void *ctx, uint32_t i, uint64_t now_us)
{
	struct worker *w = ctx;
	struct delivery *d = delivery_at(w, i);
	struct session *s;
	struct activity *a;

	(void)now_us;
	if (d->outcome != 0) {
		if (result_hand_back(w, d->owner, d->record, d->part, d->outcome))
			delivery_free(w, d);
		else
			delivery_timer(w, d, w->now_us + RESULT_RETRY_US);
		return;
	}
	s = &w->sessions.sessions[d->session];
	a = activity_of(&w->sessions, s);
	if (d->sends >= w->config->session.retransmit_limit && !said_once(d->message)) {
		list_remove(w, &a->inflight_head, &a->inflight_tail, &a->inflight_count, d);
		delivery_finish(w, d, DELIVERY_FAILED);
		window_fill(w, s, a);
		return;
	}
	count(w, COUNTER_retransmits);
	if (unlikely(w->trace.count != 0))
		trace_session(w, s, COUNTER_retransmits);
	delivery_send(w, s, a, d);
}

unsigned
inflight_timers(struct worker *w)
{
	return timer_wheel_advance(&w->deliveries.wheel, w->now_us, INFLIGHT_TIMER_BUDGET, delivery_deadline, delivery_fire, w);
}

bool
delivery_table_check(const struct delivery_table *t)
{
	uint32_t used = 0, free_count = 0;

	for (uint32_t i = 0; i < t->capacity; i++)
		used += t->deliveries[i].message != NULL;
	for (uint32_t i = t->free; i != NONE && free_count <= t->capacity; i = t->deliveries[i].next)
		free_count++;
	return used == t->used && t->local_used <= t->used && used + free_count == t->capacity && timer_wheel_check(&t->wheel);
}
