/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A message's life on the sender's side (docs/protocol.md, section 4):
 *
 *   MESSAGE -> record -> verdict -> ACCEPTED -> parts: one per live device, one for all away devices
 *   part acknowledged, or stored -> gone; part failed -> stored for that device
 *   no part left -> DELIVERED or STORED -> CONFIRM or a minute later: record freed
 */
#include "worker_state.h"

#include "shared/plant.h"

#define RECORDS_PER_SESSION 512
#define SLOW_DOWN_US UINT64_C(200000)
#define SLOW_DOWN_STEP_MS 50 /* receipts that say the same share a frame */
#define FRAMES_UNACKED 32    /* that any session may have */
#define RECORDS_FEW 4
#define RECORDS_ALWAYS 32    /* the same of records: a client's window of one conversation */
#define RECORDS_NEXT 15      /* fragments of the longest text */
#define NOT_IN_GAP UINT64_MAX
#define VERDICT_WAIT_US UINT64_C(2000000)
#define LINGER_US UINT64_C(60000000)
#define EVENT_RETRY_US UINT64_C(5000)
#define STORE_RETRY_US UINT64_C(1000000)
#define STORE_WAIT_US UINT64_C(5000000)
#define STORE_ATTEMPTS 8
#define MESSAGE_TIMER_BUDGET 256

static void
record_link(struct worker *w, struct activity *a, struct message *m)
{
	uint32_t i = message_index(&w->messages, m);

	m->list_next = a->records;
	m->list_prev = NONE;
	if (a->records != NONE)
		w->messages.messages[a->records].list_prev = i;
	a->records = i;
	a->record_count++;
}

static void
record_free(struct worker *w, struct message *m)
{
	struct session *s = session_find(&w->sessions, m->sender);
	struct activity *a = s != NULL ? activity_of(&w->sessions, s) : NULL;

	/* An orphan (relay_orphan) is in no list. */
	if (a != NULL) {
		if (m->list_prev != NONE)
			w->messages.messages[m->list_prev].list_next = m->list_next;
		else
			a->records = m->list_next;
		if (m->list_next != NONE)
			w->messages.messages[m->list_next].list_prev = m->list_prev;
		a->record_count--;
	}
	message_free(&w->messages, m);
}

static void
record_final(struct worker *w, struct message *m, enum receipt_level level, enum refuse_reason reason)
{
	struct session *s = session_find(&w->sessions, m->sender);

	if (level == RECEIPT_STORED)
		count(w, COUNTER_messages_stored);
	else if (level == RECEIPT_REFUSED)
		count(w, COUNTER_messages_refused);
	m->state = MESSAGE_FINAL;
	m->level = level;
	m->reason = reason;
	if (s == NULL) {
		record_free(w, m);
		return;
	}
	output_receipt(w, s, level, reason, 0, m->id);
	message_timer(&w->messages, m, w->now_us + LINGER_US);
}

/* Asks control to store part; if the lossless ring is full, again soon. */
static void
part_store(struct worker *w, struct message *m, unsigned part)
{
	uint16_t bit = (uint16_t)(1u << part);

	m->storing |= bit;
	if (punt_store(w, m, part)) {
		m->unsent &= (uint16_t)~bit;
		message_timer(&w->messages, m, w->now_us + (m->unsent != 0 ? EVENT_RETRY_US : STORE_WAIT_US));
		if (PLANTED(early_receipt))
			relay_stored(w, &(struct cell_stored){{message_index(&w->messages, m), m->generation}, m->id,
							      part == PART_STORE ? 0 : m->live[part].device, 1, 1});
	} else {
		m->unsent |= bit;
		message_timer(&w->messages, m, w->now_us + EVENT_RETRY_US);
	}
}

static void
part_done(struct worker *w, struct message *m, unsigned part)
{
	uint16_t keep = (uint16_t)~(1u << part);

	m->parts &= keep;
	m->storing &= keep;
	m->unsent &= keep;
	if (m->parts != 0)
		return;
	if (m->acked)
		record_final(w, m, RECEIPT_DELIVERED, REFUSE_NONE);
	else if (m->stored)
		record_final(w, m, RECEIPT_STORED, REFUSE_NONE);
	else if (part == PART_STORE && m->live_count == 0)
		record_final(w, m, RECEIPT_REFUSED, REFUSE_UNKNOWN_USER);
	else {
		/* The devices known here are gone: whoever is left of the user's devices gets it from the store. */
		m->live_count = 0;
		m->parts = 1u << PART_STORE;
		part_store(w, m, PART_STORE);
	}
}

static void
part_deliver(struct worker *w, struct message *m, unsigned part)
{
	struct record_ref ref = {.index = message_index(&w->messages, m), .generation = m->generation};
	session_id_t sid = m->live[part].sid;
	uint32_t owner = session_id_worker(sid);
	struct handoff_item item;

	if (owner == w->index) {
		inflight_start(w, m, ref, w->index, part, sid);
		return;
	}
	item = (struct handoff_item){
		.kind = HANDOFF_DELIVER,
		.from = (uint8_t)w->index,
		.part = (uint8_t)part,
		.record = ref,
		.message = m,
		.sid = sid,
	};
	if (owner < w->workers && w->handoff_out[owner].deliveries < HANDOFF_CREDIT && handoff_put(w, owner, &item)) {
		w->handoff_out[owner].deliveries++;
		return;
	}
	count(w, COUNTER_ring_handoff_full);
	relay_result(w, ref, part, DELIVERY_FAILED);
}

static void
message_accept(struct worker *w, struct session *s, struct message *m, const struct live_session *live, unsigned live_count,
	       bool away)
{
	uint32_t generation = m->generation;
	uint16_t deliver = 0;

	m->state = MESSAGE_ACCEPTED;
	m->live_count = (uint8_t)live_count;
	for (unsigned i = 0; i < live_count; i++) {
		m->live[i] = live[i];
		/* To oneself: the other devices, not the one that speaks, of which the table may still know an earlier session. */
		if (live[i].device != m->from_device)
			deliver |= (uint16_t)(1u << i);
	}
	m->parts = deliver;
	if (away || deliver == 0)
		m->parts |= 1u << PART_STORE;
	timer_wheel_remove(&w->messages.wheel, message_index(&w->messages, m));
	if (s != NULL)
		output_receipt(w, s, RECEIPT_ACCEPTED, REFUSE_NONE, 0, m->id);
	if (m->parts & 1u << PART_STORE)
		part_store(w, m, PART_STORE);
	for (unsigned i = 0; i < live_count && m->generation == generation; i++)
		if (deliver >> i & 1)
			part_deliver(w, m, i);
}

static void
message_judge(struct worker *w, struct session *s, struct message *m, enum verdict verdict, const struct live_session *live,
	      unsigned live_count, bool away)
{
	switch (verdict) {
	case VERDICT_ALLOWED:
		message_accept(w, s, m, live, live_count, away);
		break;
	case VERDICT_NOT_BUDDIES:
		record_final(w, m, RECEIPT_REFUSED, REFUSE_NOT_BUDDIES);
		break;
	case VERDICT_BLOCKED:
		record_final(w, m, RECEIPT_REFUSED, REFUSE_BLOCKED);
		break;
	case VERDICT_UNKNOWN_USER:
	case VERDICT_NONE:
		record_final(w, m, RECEIPT_REFUSED, REFUSE_UNKNOWN_USER);
		break;
	}
}

static void
slow_down(struct worker *w, struct session *s, message_id_t id, uint64_t wait_us)
{
	uint64_t steps = (wait_us + SLOW_DOWN_STEP_MS * 1000 - 1) / (SLOW_DOWN_STEP_MS * 1000);

	count(w, COUNTER_messages_slowed);
	output_receipt(w, s, RECEIPT_REFUSED, REFUSE_SLOW_DOWN, (uint32_t)RTE_MIN(steps * SLOW_DOWN_STEP_MS, (uint64_t)UINT32_MAX),
		       id);
}

/* A retry: the same answer as before, as far as there is one. */
static void
message_again(struct worker *w, struct session *s, const struct message *m)
{
	count(w, COUNTER_messages_duplicate);
	if (m->state == MESSAGE_ACCEPTED)
		output_receipt(w, s, RECEIPT_ACCEPTED, REFUSE_NONE, 0, m->id);
	else if (m->state == MESSAGE_FINAL)
		output_receipt(w, s, m->level, m->reason, 0, m->id);
}

/* What of the ids up to the confirmed one is not, or NULL. */
static struct message *
gaps_of(const struct worker *w, const struct session *s)
{
	return message_find(&w->messages, session_id_of(w, s), MESSAGE_ID_GAPS);
}

/* How far above the first unconfirmed id is this one, which is not above the confirmed one? NOT_IN_GAP: it is confirmed. */
static __rte_cold __rte_noinline uint64_t
gap_distance(const struct worker *w, const struct session *s, message_id_t id)
{
	const struct message *gaps = gaps_of(w, s);

	return gaps == NULL || confirmed_has(&gaps->confirmed, id) ? NOT_IN_GAP : id - gaps->confirmed.gaps[0].first;
}

/* A quarter of the records is kept for frames from control: those end by themselves within the retransmission limit, so cells from
 * control (also those that free records) never wait for ever. An eighth of the rest is kept for sessions that have next to nothing under
 * way, RECORDS_FEW each, so it takes hundreds that mean ill, not dozens, to keep somebody from a word now and then. Of what is free of the
 * others a session may hold an eighth (dynamic thresholds, Choudhury and Hahne 1998): one session takes a ninth at most. And beyond that
 * what follows directly on the confirmed ids, as much as the fragments of one text: while these are refused no CONFIRM can free the records
 * behind them. */
static bool
message_room(const struct worker *w, const struct session *s, const struct activity *a, message_id_t id)
{
	uint32_t most = w->messages.capacity - w->messages.capacity / 4;
	uint32_t shared = most - most / 8;

	if (a->record_count < RECORDS_FEW)
		return w->messages.used < most;
	if (w->messages.used >= shared)
		return false;
	return id - a->confirmed <= RECORDS_NEXT ||
	       (a->record_count < RECORDS_PER_SESSION &&
		(a->record_count < RECORDS_ALWAYS || a->record_count <= (shared - w->messages.used) / 8)) ||
	       (id <= a->confirmed && gap_distance(w, s, id) < RECORDS_NEXT);
}

/* A message that was not seen before: may it come in now? 0, or microseconds to wait. */
static uint64_t
message_wait(struct worker *w, const struct session *s, struct activity *a, message_id_t id)
{
	uint64_t wait;

	if (!message_room(w, s, a, id)) {
		count(w, COUNTER_limit_records);
		return SLOW_DOWN_US;
	}
	wait = rate_take(&a->message_bucket, &w->message_rate, w->now_us);
	w->counters[COUNTER_limit_messages] += wait != 0;
	return wait;
}

/* Asks control for the verdict. false: the record is gone, the client was told to slow down. */
static bool
verdict_ask(struct worker *w, struct session *s, struct activity *a, struct message *m)
{
	uint64_t wait = rate_wait(&a->conversation_bucket, &w->conversation_rate, w->now_us);

	count(w, COUNTER_verdict_misses);
	if (wait != 0) {
		count(w, COUNTER_limit_conversations);
	} else if (punt_verdict(w, m)) {
		rate_pay(&a->conversation_bucket, &w->conversation_rate, w->now_us);
		return true;
	} else {
		wait = SLOW_DOWN_US;
	}
	slow_down(w, s, m->id, wait);
	record_free(w, m);
	return false;
}

static struct message *
message_new(struct worker *w, const struct session *s, struct activity *a, const struct frame_message *f)
{
	struct message *m;

	m = message_alloc(&w->messages, session_id_of(w, s), f->id, MESSAGE_WAIT_VERDICT);
	if (m == NULL)
		return NULL;
	m->flags = f->flags & (MESSAGE_MORE | MESSAGE_NUDGE | MESSAGE_REST);
	m->from = s->user;
	m->from_device = s->device;
	m->to = f->to;
	m->sent_at = w->wall_ms;
	m->prev_delta = f->prev_delta;
	m->floor_delta = f->floor_delta;
	m->length = f->length;
	memcpy(m->payload, f->body, f->length);
	if (w->spare.mbuf != NULL && f->body == w->spare.body)
		w->spare.message = m;
	record_link(w, a, m);
	return m;
}

void
relay_look_up(struct worker *w, const struct session **senders, const struct frame_message **messages,
	      struct relay_lookup **out, uint32_t n)
{
	struct user_entry users[PORT_BURST];
	user_id_t pairs[PORT_BURST][2], to[PORT_BURST];
	uint8_t verdicts[PORT_BURST];

	for (uint32_t i = 0; i < n; i++) {
		pairs[i][0] = senders[i]->user;
		pairs[i][1] = messages[i]->to;
		to[i] = messages[i]->to;
		message_prefetch(&w->messages, session_id_of(w, senders[i]), messages[i]->id);
	}
	tables_verdicts(w->tables, (const user_id_t(*)[2])pairs, n, verdicts);
	tables_users(w->tables, to, n, users);
	for (uint32_t i = 0; i < n; i++) {
		*out[i] = (struct relay_lookup){.from = pairs[i][0], .verdict = verdicts[i], .user = users[i]};
		/* The recipient's session will take the message at once. */
		for (uint32_t k = 0; k < users[i].live_count; k++)
			if (session_id_worker(user_live(&users[i])[k].sid) == w->index)
				session_prefetch(&w->sessions, user_live(&users[i])[k].sid);
	}
	for (uint32_t i = 0; i < n; i++) {
		session_id_t sid = user_live(&users[i])[0].sid;
		const struct session *s;

		if (users[i].live_count == 0 || session_id_worker(sid) != w->index)
			continue;
		s = session_find(&w->sessions, sid);
		if (s != NULL)
			activity_prefetch(&w->sessions, s);
	}
}

void
relay_message(struct worker *w, struct session *s, const struct frame_message *f, const struct relay_lookup *found)
{
	struct activity *a = activity_get(&w->sessions, s, w->now_us);
	struct user_entry user;
	enum verdict verdict;
	struct message *m;
	uint64_t wait;

	count(w, COUNTER_messages_in);
	if (a == NULL) {
		slow_down(w, s, f->id, SLOW_DOWN_US);
		return;
	}
	if (unlikely(f->id <= a->confirmed) && gap_distance(w, s, f->id) == NOT_IN_GAP) {
		count(w, COUNTER_messages_duplicate);
		return;
	}
	m = message_find(&w->messages, session_id_of(w, s), f->id);
	if (m != NULL && !PLANTED(no_dedup)) {
		message_again(w, s, m);
		return;
	}
	wait = message_wait(w, s, a, f->id);
	m = wait == 0 ? message_new(w, s, a, f) : NULL;
	if (m == NULL) {
		slow_down(w, s, f->id, wait != 0 ? wait : SLOW_DOWN_US);
		return;
	}
	/* The session may have become another user's since the tables were asked. */
	if (found != NULL && found->from != m->from)
		found = NULL;
	verdict = found != NULL ? found->verdict : tables_verdict(w->tables, m->from, m->to);
	if (verdict == VERDICT_NONE) {
		if (verdict_ask(w, s, a, m))
			message_timer(&w->messages, m, w->now_us + VERDICT_WAIT_US);
		return;
	}
	count(w, COUNTER_verdict_hits);
	user = found != NULL ? found->user : tables_user(w->tables, m->to);
	message_judge(w, s, m, verdict, user_live(&user), user.live_count, user.away);
}

void
relay_verdict(struct worker *w, const struct cell_verdict *v)
{
	struct message *m = message_at(&w->messages, v->record);

	if (m == NULL || m->state != MESSAGE_WAIT_VERDICT || m->from != v->from || m->to != v->to)
		return;
	message_judge(w, session_find(&w->sessions, m->sender), m, v->verdict, v->live, v->live_count, v->away);
}

/* May a CONFIRM go through all records of the session? A packet holds many of them, of which an honest one has one. */
static bool
confirm_steps(struct worker *w, const struct activity *a)
{
	if (unlikely(w->ack_steps < a->record_count)) {
		count(w, COUNTER_limit_acks);
		return false;
	}
	w->ack_steps -= a->record_count;
	return true;
}

void
relay_confirm(struct worker *w, struct session *s, message_id_t id)
{
	struct activity *a = activity_of(&w->sessions, s);
	uint32_t next;

	if (a == NULL || id <= a->confirmed || !confirm_steps(w, a))
		return;
	a->confirmed = id;
	for (uint32_t i = a->records; i != NONE; i = next) {
		struct message *m = &w->messages.messages[i];

		next = m->list_next;
		/* Gaps that there were lie below what is confirmed now. */
		if (m->state >= MESSAGE_FINAL && m->id <= id)
			record_free(w, m);
	}
}

/* Frees the records of what is confirmed now. Returns how many. */
static unsigned
confirmed_free(struct worker *w, const struct activity *a, const struct confirmed *all)
{
	unsigned freed = 0;
	uint32_t next;

	for (uint32_t i = a->records; i != NONE; i = next) {
		struct message *m = &w->messages.messages[i];

		next = m->list_next;
		if (m->state != MESSAGE_FINAL || !confirmed_has(all, m->id))
			continue;
		record_free(w, m);
		freed++;
	}
	return freed;
}

/* The gaps take a record out of those that they let go, so nobody gains one by them. */
void
relay_confirm_gaps(struct worker *w, struct session *s, const struct frame_confirm_gaps *f)
{
	struct activity *a = activity_of(&w->sessions, s);
	struct message *m = a != NULL ? gaps_of(w, s) : NULL;
	struct confirmed all;

	if (a == NULL || !confirm_steps(w, a))
		return;
	if (m != NULL)
		all = m->confirmed;
	else
		all = (struct confirmed){.id = a->confirmed};
	if (!confirmed_add(&all, f) || (confirmed_free(w, a, &all) == 0 && m == NULL))
		return;
	if (m == NULL) {
		m = message_alloc(&w->messages, session_id_of(w, s), MESSAGE_ID_GAPS, MESSAGE_GAPS);
		if (m == NULL)
			return;
		record_link(w, a, m);
	}
	m->confirmed = all;
	a->confirmed = all.id;
	message_timer(&w->messages, m, w->now_us + LINGER_US);
}

/* The client has confirmed nothing for so long that what it did confirm above the first gap may be forgotten, as a final answer may. */
static void
gaps_end(struct worker *w, struct message *m)
{
	struct session *s = session_find(&w->sessions, m->sender);
	struct activity *a = s != NULL ? activity_of(&w->sessions, s) : NULL;

	if (a != NULL && m->confirmed.count > 0)
		a->confirmed = m->confirmed.gaps[0].first - 1;
	record_free(w, m);
}

void
relay_stored(struct worker *w, const struct cell_stored *c)
{
	struct message *m = message_at(&w->messages, c->record);
	unsigned part = PART_STORE;

	if (m == NULL || m->state != MESSAGE_ACCEPTED || m->id != c->id)
		return;
	if (c->device != 0) {
		for (part = 0; part < m->live_count; part++)
			if (m->live[part].device == c->device && m->storing >> part & 1)
				break;
		if (part == m->live_count)
			return;
	}
	if (!(m->storing >> part & 1))
		return;
	if (!c->ok) {
		message_timer(&w->messages, m, w->now_us + STORE_RETRY_US);
		return;
	}
	m->stored |= c->stored != 0;
	part_done(w, m, part);
}

static void
control_result(struct worker *w, struct message *m, enum delivery_outcome outcome)
{
	if (m->id != 0 && !punt_delivered(w, m->live[0].sid, m->id, outcome)) {
		m->level = outcome;
		message_timer(&w->messages, m, w->now_us + EVENT_RETRY_US);
		return;
	}
	if (--m->pending == 0)
		message_free(&w->messages, m);
}

void
relay_result(struct worker *w, struct record_ref ref, uint32_t part, enum delivery_outcome outcome)
{
	struct message *m = message_at(&w->messages, ref);

	if (m == NULL)
		return;
	if (m->state == MESSAGE_CONTROL) {
		control_result(w, m, outcome);
		return;
	}
	if (m->state != MESSAGE_ACCEPTED || part >= m->live_count || !(m->parts >> part & 1))
		return;
	if (outcome == DELIVERY_ACKED) {
		m->acked = 1;
		part_done(w, m, part);
	} else {
		part_store(w, m, part);
	}
}

/* Has the session that many of control's frames unacknowledged? */
static bool
control_frames(const struct worker *w, const struct activity *a, uint32_t limit)
{
	const uint32_t heads[] = {a->inflight_head, a->pending_head};
	uint32_t n = 0;

	for (unsigned list = 0; list < 2; list++) {
		for (uint32_t i = heads[list]; i != NONE && n < limit; i = w->deliveries.deliveries[i].next)
			n += w->deliveries.deliveries[i].message->state == MESSAGE_CONTROL;
	}
	return n == limit;
}

/* Has the session more frames unacknowledged than its share? Control's frames may use up all records, so they are bounded as
 * messages are, by what is left. Live messages do not count: a client may hold them back until it has control's frames. */
static bool
frames_too_many(const struct worker *w, session_id_t sid)
{
	const struct session *s = session_find(&w->sessions, sid);
	const struct activity *a = s != NULL ? activity_of(&w->sessions, s) : NULL;
	uint32_t unacked = a != NULL ? a->inflight_count + a->pending_count : 0;

	return unacked >= FRAMES_UNACKED && unacked > (w->messages.capacity - w->messages.used) / 8 &&
	       control_frames(w, a, FRAMES_UNACKED);
}

bool
relay_control_frame(struct worker *w, const struct cell_frame *f, const uint8_t *frame, uint16_t length)
{
	struct record_ref ref;
	struct message *m;

	if (length < RELIABLE_HEADER || length > MESSAGE_PAYLOAD_MAX)
		return true;
	/* Stored messages for clients that do not acknowledge must not take all records from those who speak now. Control tries
	 * again what failed; frames without a token it does not, so they wait. */
	if (f->token != 0 && w->messages.control >= w->messages.capacity / 2)
		return punt_delivered(w, f->sids[0], f->token, DELIVERY_FAILED);
	/* Only what is sent again: control tries a token again, and a client asks again; a notification without one has to wait. */
	if ((f->token != 0 || frame[0] == FRAME_RESPONSE) && frames_too_many(w, f->sids[0])) {
		count(w, COUNTER_limit_frames);
		return f->token == 0 || punt_delivered(w, f->sids[0], f->token, DELIVERY_FAILED);
	}
	m = message_alloc(&w->messages, SESSION_ID_NONE, f->token, MESSAGE_CONTROL);
	if (m == NULL && frame[0] == FRAME_RESPONSE) {
		/* It is asked for again: nothing else waits behind answers that nobody takes. */
		count(w, COUNTER_limit_frames);
		return true;
	}
	if (m == NULL)
		return false;
	count(w, COUNTER_frames_injected);
	memcpy(m->payload, frame, length);
	m->length = length;
	m->live[0].sid = f->sids[0];
	ref = (struct record_ref){.index = message_index(&w->messages, m), .generation = m->generation};
	/* One more than the deliveries: results that come at once must not free the record under the loop. */
	m->pending = f->session_count + 1u;
	for (unsigned i = 0; i < f->session_count; i++)
		inflight_start(w, m, ref, w->index, 0, f->sids[i]);
	if (--m->pending == 0)
		message_free(&w->messages, m);
	return true;
}

void
relay_orphan(struct worker *w, struct session *s)
{
	struct activity *a = activity_of(&w->sessions, s);
	uint32_t next;

	if (a == NULL)
		return;
	for (uint32_t i = a->records; i != NONE; i = next) {
		struct message *m = &w->messages.messages[i];

		next = m->list_next;
		m->list_next = NONE;
		m->list_prev = NONE;
		if (m->state != MESSAGE_ACCEPTED)
			message_free(&w->messages, m);
	}
	a->records = NONE;
	a->record_count = 0;
}

static uint64_t
message_deadline(void *ctx, uint32_t i)
{
	struct worker *w = ctx;

	return w->messages.messages[i].deadline_us;
}

static void
message_store_timer(struct worker *w, struct message *m)
{
	uint16_t again = m->unsent;
	struct session *s;

	if (again == 0) {
		again = m->storing;
		m->attempts++;
	}
	if (m->attempts > STORE_ATTEMPTS && m->parts == m->storing) {
		/* The store is out of reach, or the recipient's queue full: the client keeps it and starts anew. It is told, so that it
		 * does not take the receipt of a copy that was stored for the answer to all. */
		s = session_find(&w->sessions, m->sender);
		if (s != NULL)
			slow_down(w, s, m->id, SLOW_DOWN_US);
		record_free(w, m);
		return;
	}
	for (unsigned part = 0; part <= PART_STORE; part++)
		if (again >> part & 1)
			part_store(w, m, part);
	if (m->unsent == 0 && again != 0)
		message_timer(&w->messages, m, w->now_us + (STORE_WAIT_US << RTE_MIN(m->attempts, 3)));
}

static void
message_fire(void *ctx, uint32_t i, uint64_t now_us)
{
	struct worker *w = ctx;
	struct message *m = &w->messages.messages[i];

	(void)now_us;
	switch (m->state) {
	case MESSAGE_WAIT_VERDICT: /* the question or its answer was lost: the client's retry asks again */
	case MESSAGE_FINAL:
		record_free(w, m);
		break;
	case MESSAGE_ACCEPTED:
		message_store_timer(w, m);
		break;
	case MESSAGE_GAPS:
		gaps_end(w, m);
		break;
	case MESSAGE_CONTROL:
		control_result(w, m, m->level);
		break;
	default:
		break;
	}
}

unsigned
relay_timers(struct worker *w)
{
	return timer_wheel_advance(&w->messages.wheel, w->now_us, MESSAGE_TIMER_BUDGET, message_deadline, message_fire, w);
}
