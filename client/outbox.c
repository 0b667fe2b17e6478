/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Texts on their way out (docs/protocol.md, section 4). A text is in the store from before its first MESSAGE
 * until the application has seen its final answer. It takes consecutive message ids, one per fragment, given
 * when it is queued (or at the first login of a new device). A fragment is sent only once the one before it
 * is accepted: so a text that is refused in the middle leaves no later fragment behind that the recipient
 * could take for a text of its own.
 */
#include "outbox.h"

#include "shared/plant.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PROBE_FIRST SECOND
#define CONFIRM_DELAY SECOND
#define NUDGE_RETRY (30 * SECOND)
#define NUDGE_RETRY_MAX (3600 * SECOND)
#define STORE_RETRY SECOND
#define SLOW_DOWN_DEFAULT 1000 /* ms */

/* ---- the store --------------------------------------------------------------------------- */

/* One change of the store, all of it or nothing. */
static int
begin(struct rk_client *c)
{
	return c->store->begin(c->store->state);
}

static int
end(struct rk_client *c, int r)
{
	if (r == 0)
		r = c->store->commit(c->store->state);
	if (r == 0) {
		store_works(c);
		return 0;
	}
	c->store->rollback(c->store->state);
	store_failed(c, r);
	return r;
}

static int
put_row(struct rk_client *c, const struct outgoing *m)
{
	return c->store->outbox_put(c->store->state, &m->row);
}

static int
put_conversation(struct rk_client *c, const struct conversation *v)
{
	return c->store->conversation_put(c->store->state, v->name, &v->row);
}

static int
put_counters(struct rk_client *c)
{
	int r = c->store->counter_put(c->store->state, RK_COUNTER_LOCAL, c->outbox.last_local);

	return r < 0 ? r : c->store->counter_put(c->store->state, RK_COUNTER_MESSAGE, c->outbox.last_id);
}

/* ---- conversations and the list ---------------------------------------------------------- */

static struct conversation *
conversation_known(const struct rk_client *c, const char *name)
{
	struct conversation *v = c->outbox.conversations;

	while (v != NULL && strcmp(v->name, name) != 0)
		v = v->next;
	return v;
}

static struct conversation *
conversation_add(struct rk_client *c, const char *name)
{
	struct conversation *v = calloc(1, sizeof(*v));

	if (v == NULL)
		return NULL;
	strcpy(v->name, name);
	v->window = CONVERSATION_UNACCEPTED;
	v->next = c->outbox.conversations;
	c->outbox.conversations = v;
	return v;
}

/* A row that cannot be read is no new conversation: a text that follows nothing would be shown before those on their way, and they never. */
static int
conversation_of(struct rk_client *c, const char *name, struct conversation **out)
{
	struct rk_conversation row = {0};
	int r = 0;

	*out = conversation_known(c, name);
	if (*out != NULL)
		return 0;
	r = c->store->conversation_get(c->store->state, name, &row);
	if (r < 0 && r != -ENOENT)
		return r;
	*out = conversation_add(c, name);
	if (*out == NULL)
		return -ENOMEM;
	(*out)->row = r == 0 ? row : (struct rk_conversation){0};
	return 0;
}

static struct outgoing *
outgoing_new(const struct rk_outgoing *row)
{
	struct outgoing *m =
		calloc(1, sizeof(*m) + row->fragments * sizeof(m->fragments[0]) + row->text_len + 1);
	char *text;

	if (m == NULL)
		return NULL;
	m->row = *row;
	text = (char *)&m->fragments[row->fragments];
	if (row->text_len > 0)
		memcpy(text, row->text, row->text_len);
	m->row.text = text;
	return m;
}

/* Appends to the list of all, and to its conversation unless it is final. */
static int
append(struct rk_client *c, struct outgoing *m)
{
	struct outbox *o = &c->outbox;
	struct outgoing **p;
	int r;

	if (o->n == o->cap) {
		size_t cap = o->cap > 0 ? 2 * o->cap : 64;

		p = realloc(o->all, cap * sizeof(*p));
		if (p == NULL)
			return -ENOMEM;
		o->all = p;
		o->cap = cap;
	}
	r = conversation_of(c, m->row.to, &m->conversation);
	if (r < 0)
		return r;
	o->all[o->n++] = m;
	if (m->row.level != 0) {
		m->final = true;
		return 0;
	}
	for (p = &m->conversation->first; *p != NULL;)
		p = &(*p)->next;
	*p = m;
	o->pending += !m->row.nudge;
	return 0;
}

static void
unlist(struct outgoing *m)
{
	struct outgoing **p = &m->conversation->first;

	while (*p != NULL && *p != m)
		p = &(*p)->next;
	if (*p == m)
		*p = m->next;
	m->next = NULL;
}

/* Takes m out of the list of all and frees it. */
static void
discard(struct rk_client *c, struct outgoing *m)
{
	struct outbox *o = &c->outbox;
	size_t i = 0;

	while (i < o->n && o->all[i] != m)
		i++;
	if (i < o->n) {
		memmove(&o->all[i], &o->all[i + 1], (o->n - i - 1) * sizeof(o->all[0]));
		o->n--;
	}
	if (!m->final) {
		for (unsigned f = 0; f < m->row.fragments; f++)
			set_state(c, m, &m->fragments[f], FRAGMENT_REFUSED);
		unlist(m);
		o->pending -= !m->row.nudge;
	}
	free(m);
}

static struct outgoing *
find_id(struct rk_client *c, message_id_t id)
{
	struct outbox *o = &c->outbox;
	size_t low = 0, high = o->n;

	/* Unnumbered texts are behind all numbered ones. */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (o->all[middle]->row.first_id == 0 || o->all[middle]->row.first_id > id)
			high = middle;
		else
			low = middle + 1;
	}
	return low > 0 && id <= last_of(o->all[low - 1]) ? o->all[low - 1] : NULL;
}

/* ---- events ------------------------------------------------------------------------------ */

static void
tell(struct rk_client *c, enum rk_event_type type, const struct outgoing *m, enum rk_level level)
{
	struct event *e = m->row.nudge ? NULL : event_new(type);
	char id[RK_MESSAGE_ID_LEN + 1] = "";

	if (e == NULL)
		return;
	if (m->row.first_id != 0)
		message_id_format(id, c->device_id, last_of(m));
	e->e.outgoing = (struct rk_event_outgoing){.local = (int64_t)m->row.local, .id = event_text(e, id),
		.to = event_text(e, m->row.to), .level = level,
		.reason = level == RK_LEVEL_REFUSED ? (enum rk_refused_reason)m->row.reason : 0};
	if (m->final)
		e->settles = m->row.local;
	event_push(c, e);
}

static void
tell_sent(struct rk_client *c, struct outgoing *m)
{
	if (!m->sent_told)
		tell(c, RK_EVENT_SENT, m, 0);
	m->sent_told = true;
}

/* ---- making texts ------------------------------------------------------------------------ */

/* Gives m its ids at the end of its conversation. Changes memory only; the caller stores it. */
static void
number(struct rk_client *c, struct outgoing *m, struct conversation *v)
{
	m->row.first_id = c->outbox.last_id + 1;
	c->outbox.last_id += m->row.fragments;
	m->row.prev = v->row.tail;
	v->row.tail = last_of(m);
}

static int
queue(struct rk_client *c, struct outgoing *m)
{
	struct conversation *v;
	struct rk_conversation old_row;
	uint64_t old_id = c->outbox.last_id;
	int r = conversation_of(c, m->row.to, &v);

	if (r < 0) {
		store_failed(c, r);
		return r;
	}
	old_row = v->row;
	m->row.local = ++c->outbox.last_local;
	m->row.made_ms = c->wall_ms;
	if (c->device_id != 0)
		number(c, m, v);
	r = begin(c);
	if (r == 0)
		r = put_row(c, m);
	if (r == 0)
		r = put_conversation(c, v);
	if (r == 0)
		r = put_counters(c);
	r = end(c, r);
	if (r == 0) {
		r = append(c, m);
		if (r == 0)
			return 0;
		c->store->outbox_delete(c->store->state, m->row.local);
	}
	/* The ids were never used. */
	v->row = old_row;
	c->outbox.last_id = old_id;
	return r;
}

static int64_t
refuse_locally(struct rk_client *c, const char *to, enum rk_refused_reason reason)
{
	struct event *e = event_new(RK_EVENT_REFUSED);

	if (e == NULL)
		return -ENOMEM;
	e->e.outgoing = (struct rk_event_outgoing){.local = (int64_t)++c->outbox.last_local, .id = "",
		.to = event_text(e, to), .level = RK_LEVEL_REFUSED, .reason = reason};
	event_push(c, e);
	return e->e.outgoing.local;
}

int64_t
outbox_send(struct rk_client *c, const char *to, const char *text, size_t len)
{
	struct rk_outgoing row = {.text = text, .text_len = len};
	struct outgoing *m;
	int r;

	if (!name_valid(to) || text == NULL || len == 0)
		return -EINVAL;
	if (len > RK_TEXT_MAX)
		return refuse_locally(c, to, RK_REFUSED_TOO_LARGE);
	if (c->outbox.pending >= c->outbox_max)
		return -EAGAIN;
	strcpy(row.to, to);
	row.fragments = (uint32_t)((len + MESSAGE_BODY_MAX - 1) / MESSAGE_BODY_MAX);
	m = outgoing_new(&row);
	if (m == NULL)
		return -ENOMEM;
	r = queue(c, m);
	if (r < 0) {
		free(m);
		return r;
	}
	if (m->row.first_id != 0)
		tell_sent(c, m);
	return (int64_t)m->row.local;
}

/* A message was refused although later ones of its conversation are on their way, or the recipient has a part of it, and all before it is
 * settled: if no message is going to carry that floor, a NUDGE does. */
static void
nudge(struct rk_client *c, struct conversation *v)
{
	struct rk_outgoing row = {.fragments = 1, .nudge = 1, .text = ""};
	struct outgoing *m;

	if (v->row.nudge == 0 || v->nudge_refused || c->device_id == 0 ||
	    floor_below(v, c->outbox.last_id + 1) < v->row.nudge)
		return;
	for (m = v->first; m != NULL; m = m->next) {
		if (m->fragments[0].sends == 0 || m->floor >= v->row.nudge)
			return;
	}
	strcpy(row.to, v->name);
	m = outgoing_new(&row);
	if (m != NULL && queue(c, m) < 0)
		free(m);
}

/* ---- final answers ----------------------------------------------------------------------- */

static int
save_final(struct rk_client *c, struct outgoing *m)
{
	int r = begin(c);

	if (r == 0)
		r = m->row.nudge ? c->store->outbox_delete(c->store->state, m->row.local) : put_row(c, m);
	if (r == 0)
		r = put_conversation(c, m->conversation);
	for (struct outgoing *o = m->conversation->first;
	     r == 0 && o != NULL && m->row.level == RK_LEVEL_REFUSED; o = o->next) {
		if (o->row.prev == m->row.prev && o->row.first_id > m->row.first_id)
			r = put_row(c, o);
	}
	r = end(c, r);
	m->unsaved = r < 0;
	if (r < 0)
		c->outbox.retry_us = c->now_us + STORE_RETRY;
	return r;
}

/* m is refused: the conversation goes on as if it had not been there. */
static void
unchain(const struct rk_client *c, struct outgoing *m)
{
	struct conversation *v = m->conversation;
	message_id_t last = last_of(m);

	for (struct outgoing *o = v->first; o != NULL; o = o->next) {
		if (o->row.prev >= m->row.first_id && o->row.prev <= last)
			o->row.prev = m->row.prev;
	}
	if (v->row.tail >= m->row.first_id && v->row.tail <= last)
		v->row.tail = m->row.prev;
	if (m->row.nudge) {
		/* The next text carries the floor, or a NUDGE once they are buddies again. Nobody says so when another device of this user
		 * has seen to that. */
		v->nudge_refused = true;
		v->partial = v->partial || v->row.nudge > v->row.tail; /* a run before this one knew */
		v->nudge_wait_us = v->nudge_wait_us == 0 ? NUDGE_RETRY : earlier(2 * v->nudge_wait_us, NUDGE_RETRY_MAX);
		v->nudge_us = c->now_us + v->nudge_wait_us;
		return;
	}
	v->partial = v->partial || m->row.fragments > 1 || m->before;
	if ((v->row.tail > last || m->row.fragments > 1 || m->before) && v->row.nudge < last)
		v->row.nudge = last;
	else if (v->row.nudge > v->row.tail && !v->partial)
		v->row.nudge = 0; /* nothing later is on its way any more */
}

static void
remember_stored(struct rk_client *c, const struct outgoing *m)
{
	struct outbox *o = &c->outbox;

	if (o->recent == NULL)
		o->recent = calloc(RECENT_MAX, sizeof(*o->recent));
	if (o->recent == NULL)
		return;
	o->recent[o->recent_next] = (struct recent){.id = last_of(m), .local = m->row.local};
	strcpy(o->recent[o->recent_next].to, m->row.to);
	o->recent_next = (o->recent_next + 1) % RECENT_MAX;
}

/* Once it is recorded, so that a later run of the client cannot come to another answer. */
static void
tell_final(struct rk_client *c, struct outgoing *m)
{
	enum rk_level level = m->row.level;

	if (m->row.nudge) {
		discard(c, m);
		return;
	}
	if (level == RK_LEVEL_STORED)
		remember_stored(c, m);
	tell(c, level == RK_LEVEL_REFUSED ? RK_EVENT_REFUSED : RK_EVENT_RECEIPT, m, level);
}

/* All fragments have their final answer, or the text was refused before it had any. */
static void
finalize(struct rk_client *c, struct outgoing *m, enum rk_level level)
{
	struct conversation *v = m->conversation;

	m->final = true;
	m->row.level = (uint8_t)level;
	unlist(m);
	c->outbox.pending -= !m->row.nudge;
	if (level == RK_LEVEL_REFUSED)
		unchain(c, m);
	else if (m->floor >= v->row.nudge) {
		v->row.nudge = v->nudge_wait_us = 0;
		v->partial = false;
	}
	if (m->row.first_id != 0) {
		uint64_t last = m->row.first_id + m->row.fragments - 1;

		if (c->outbox.final_id < last)
			c->outbox.final_id = last;
		if (c->outbox.confirm_us == 0)
			c->outbox.confirm_us = c->now_us + CONFIRM_DELAY;
	}
	if (save_final(c, m) == 0)
		tell_final(c, m);
	nudge(c, v);
}

/* Looks at the fragments: has the text as a whole reached a new level? */
static void
advance(struct rk_client *c, struct outgoing *m)
{
	unsigned accepted = 0, final = 0, delivered = 0;

	for (unsigned i = 0; i < m->row.fragments; i++) {
		accepted += m->fragments[i].state >= FRAGMENT_ACCEPTED;
		final += is_final(&m->fragments[i]);
		delivered += m->fragments[i].state == FRAGMENT_DELIVERED;
	}
	if (accepted == m->row.fragments && !m->accepted_told) {
		m->accepted_told = true;
		tell(c, RK_EVENT_RECEIPT, m, RK_LEVEL_ACCEPTED);
	}
	if (final == m->row.fragments)
		finalize(c, m, delivered == final ? RK_LEVEL_DELIVERED : RK_LEVEL_STORED);
}

/* One refused fragment refuses the text: the ones behind it were not sent, and what the recipient has of
 * those before it is never shown. */
static void
refuse(struct rk_client *c, struct outgoing *m, uint8_t reason)
{
	m->row.reason = reason;
	for (unsigned i = 0; i < m->row.fragments; i++) {
		if (!is_final(&m->fragments[i]))
			set_state(c, m, &m->fragments[i], FRAGMENT_REFUSED);
	}
	finalize(c, m, RK_LEVEL_REFUSED);
}

void
outbox_dealt(struct rk_client *c, uint64_t local)
{
	struct outbox *o = &c->outbox;

	for (size_t i = 0; i < o->n; i++) {
		if (o->all[i]->row.local != local)
			continue;
		/* If that fails the answer is told again by the next run of the client. */
		c->store->outbox_delete(c->store->state, local);
		discard(c, o->all[i]);
		return;
	}
}

/* ---- receipts ---------------------------------------------------------------------------- */

/* The best-effort RECEIPT for a text that was stored and has been delivered since. */
static void
late_receipt(struct rk_client *c, message_id_t id)
{
	struct outbox *o = &c->outbox;
	char text[RK_MESSAGE_ID_LEN + 1];
	struct event *e;

	for (size_t i = 0; o->recent != NULL && i < RECENT_MAX; i++) {
		struct recent *r = &o->recent[i];

		if (r->id != id)
			continue;
		e = event_new(RK_EVENT_RECEIPT);
		if (e == NULL)
			return;
		message_id_format(text, c->device_id, id);
		e->e.outgoing = (struct rk_event_outgoing){.local = (int64_t)r->local,
							   .id = event_text(e, text),
							   .to = event_text(e, r->to),
							   .level = RK_LEVEL_DELIVERED};
		event_push(c, e);
		r->id = 0;
		return;
	}
}

static void
slow_down(struct rk_client *c, struct outgoing *m, struct fragment *f, uint32_t retry_ms)
{
	uint64_t until = c->now_us + (retry_ms > 0 ? retry_ms : SLOW_DOWN_DEFAULT) * MS;

	if (f->state != FRAGMENT_SENT && f->state != FRAGMENT_ACCEPTED)
		return;
	/* Of what it has ACCEPTED a server says this only when it had to forget it: nothing of it is known there any more. It waits its turn again: offered beside
	 * those before it, which the recipient can show, it would take the room that they need. */
	f->forgotten = f->forgotten || f->state == FRAGMENT_ACCEPTED;
	set_state(c, m, f, FRAGMENT_WAITING);
	f->interval_us = 0;
	/* A server without room takes any of those offered. The recipient can show the first one only, so the
	 * others would keep the room that it needs. */
	if (m->conversation->window > 1)
		m->conversation->window /= 2;
	if (until > c->outbox.hold_us)
		c->outbox.hold_us = until;
}

static void
receipt_one(struct rk_client *c, const struct frame_receipt *r, message_id_t id)
{
	struct outgoing *m = find_id(c, id);
	uint8_t level = r->level == RECEIPT_COPY ? RECEIPT_DELIVERED : r->level;
	struct fragment *f;

	if (m == NULL || m->final) {
		if (level == RECEIPT_DELIVERED)
			late_receipt(c, id);
		return;
	}
	f = &m->fragments[id - m->row.first_id];
	if (f->sends == 0 || is_final(f)) {
		/* Only a stored fragment of an unfinished text may still rise. */
		if (f->state == FRAGMENT_STORED && level == RECEIPT_DELIVERED)
			f->state = FRAGMENT_DELIVERED;
		return;
	}
	if (f->sends == 1 && f->state == FRAGMENT_SENT)
		session_rtt(c, c->now_us - f->sent_us);
	/* One device has its copy. Whoever answers for all of them may not even have our message yet. */
	if (r->level == RECEIPT_COPY && !PLANTED(copy_is_all))
		return;
	if (level == RECEIPT_ACCEPTED)
		f->forgotten = false;
	switch (level) {
	case RECEIPT_ACCEPTED:
		if (f->state >= FRAGMENT_ACCEPTED)
			return;
		set_state(c, m, f, FRAGMENT_ACCEPTED);
		if (m->conversation->window < CONVERSATION_UNACCEPTED)
			m->conversation->window++;
		f->interval_us = PROBE_FIRST;
		f->due_us = c->now_us + f->interval_us;
		break;
	case RECEIPT_STORED:
		set_state(c, m, f, FRAGMENT_STORED);
		break;
	case RECEIPT_DELIVERED:
		set_state(c, m, f, FRAGMENT_DELIVERED);
		break;
	default:
		if (r->reason == REFUSE_SLOW_DOWN || r->reason == REFUSE_NONE) {
			slow_down(c, m, f, r->retry_ms);
			return;
		}
		if (r->reason == REFUSE_UNKNOWN_USER) {
			/* The name may belong to another account by now: ask again for the next text. */
			roster_unlearn(c, m->conversation->name);
			m->conversation->user = 0;
		}
		refuse(c, m, r->reason);
		return;
	}
	advance(c, m);
}

void
outbox_receipt(struct rk_client *c, const struct frame_receipt *r)
{
	for (unsigned i = 0; i < r->count; i++)
		receipt_one(c, r, wire_receipt_id(r, i));
}

/* ---- names ------------------------------------------------------------------------------- */

void
outbox_resolve(struct rk_client *c, struct conversation *v)
{
	Rookery__Request body = ROOKERY__REQUEST__INIT;
	Rookery__ResolveUser r = ROOKERY__RESOLVE_USER__INIT;
	struct request *q;

	v->user = roster_user(c, v->name);
	if (v->user != 0 || v->resolving)
		return;
	r.user = v->name;
	body.body_case = ROOKERY__REQUEST__BODY_RESOLVE_USER;
	body.resolve_user = &r;
	q = request_new(c, REQUEST_NAME, &body);
	if (q == NULL)
		return;
	strcpy(q->name, v->name);
	v->resolving = true;
}

void
outbox_resolved(struct rk_client *c, const char *name, user_id_t user)
{
	struct conversation *v = conversation_known(c, name);
	struct outgoing *m, *next;

	if (v == NULL)
		return;
	v->resolving = false;
	v->user = user;
	if (user != 0)
		return;
	for (m = v->first; m != NULL; m = next) {
		next = m->next;
		refuse(c, m, RK_REFUSED_UNKNOWN_USER);
	}
}

/* ---- sessions and devices ---------------------------------------------------------------- */

void
outbox_device(struct rk_client *c, message_id_t above)
{
	struct outbox *o = &c->outbox;
	int r;

	if (above > o->last_id)
		o->last_id = above;
	r = begin(c);
	for (size_t i = 0; i < o->n; i++) {
		struct outgoing *m = o->all[i];

		if (m->row.first_id != 0 || m->final)
			continue;
		number(c, m, m->conversation);
		if (r == 0)
			r = put_row(c, m);
		if (r == 0)
			r = put_conversation(c, m->conversation);
	}
	if (r == 0)
		r = put_counters(c);
	/* A crash before a later put of these rows makes new ids for them, above those used: duplicates at
	 * worst for the texts that were sent meanwhile. */
	end(c, r);
	for (size_t i = 0; i < o->n; i++) {
		if (!o->all[i]->final && o->all[i]->row.first_id != 0 && o->all[i]->fragments[0].sends == 0)
			tell_sent(c, o->all[i]);
	}
}

void
outbox_forget(struct rk_client *c)
{
	struct outbox *o = &c->outbox;
	int r;

	for (struct conversation *v = o->conversations; v != NULL; v = v->next) {
		v->row = (struct rk_conversation){0};
		v->user = 0;
	}
	r = begin(c);
	for (size_t i = 0; i < o->n; i++) {
		struct outgoing *m = o->all[i];

		if (m->row.first_id == 0 || m->final)
			continue;
		m->row.prev = m->conversation->row.tail;
		m->conversation->row.tail = last_of(m);
		if (r == 0)
			r = put_row(c, m);
		if (r == 0)
			r = put_conversation(c, m->conversation);
	}
	end(c, r);
}

void
outbox_reachable(struct rk_client *c, user_id_t user)
{
	for (struct conversation *v = c->outbox.conversations; v != NULL; v = v->next) {
		if (v->user != user || !v->nudge_refused)
			continue;
		v->nudge_refused = false;
		nudge(c, v);
	}
}

void
outbox_resend(struct rk_client *c)
{
	struct outbox *o = &c->outbox;

	/* What was changed meanwhile nobody may have said. */
	for (struct conversation *v = o->conversations; v != NULL; v = v->next) {
		if (v->nudge_refused && v->user != 0)
			outbox_reachable(c, v->user);
	}
	for (size_t i = 0; i < o->n; i++) {
		struct outgoing *m = o->all[i];

		if (m->final)
			continue;
		m->floor = 0;
		for (unsigned f = 0; f < m->row.fragments; f++) {
			struct fragment *p = &m->fragments[f];

			if (is_final(p))
				continue;
			m->before = m->before || p->sends > 0;
			set_state(c, m, p, FRAGMENT_WAITING);
			p->sends = 0;
			p->interval_us = 0;
		}
	}
	o->hold_us = 0;
}

/* ---- time -------------------------------------------------------------------------------- */

void
outbox_tick(struct rk_client *c)
{
	struct outbox *o = &c->outbox;

	for (struct conversation *v = o->conversations; v != NULL; v = v->next) {
		if (v->nudge_refused && c->now_us >= v->nudge_us) {
			v->nudge_refused = false;
			nudge(c, v);
		}
	}
	if (o->retry_us == 0 || c->now_us < o->retry_us)
		return;
	o->retry_us = 0;
	for (size_t i = 0; i < o->n && o->retry_us == 0; i++) {
		struct outgoing *m = o->all[i];

		if (!m->unsaved || save_final(c, m) < 0)
			continue;
		if (o->confirm_us == 0)
			o->confirm_us = c->now_us + CONFIRM_DELAY;
		if (m->row.nudge)
			i--;
		tell_final(c, m);
	}
}

/* ---- begin and end ----------------------------------------------------------------------- */

static int
load(void *arg, const struct rk_outgoing *row)
{
	struct rk_client *c = arg;
	struct outgoing *m;
	int r;

	if (row->fragments == 0 || row->fragments > (RK_TEXT_MAX + MESSAGE_BODY_MAX - 1) / MESSAGE_BODY_MAX ||
	    row->text_len > row->fragments * (size_t)MESSAGE_BODY_MAX || !name_valid(row->to))
		return -EPROTO;
	m = outgoing_new(row);
	if (m == NULL)
		return -ENOMEM;
	r = append(c, m);
	if (r < 0) {
		free(m);
		return r;
	}
	if (row->local > c->outbox.last_local)
		c->outbox.last_local = row->local;
	/* Numbered by a run before, which told it. */
	m->sent_told = m->before = row->first_id != 0;
	if (m->final)
		tell(c, row->level == RK_LEVEL_REFUSED ? RK_EVENT_REFUSED : RK_EVENT_RECEIPT, m,
		     (enum rk_level)row->level);
	return 0;
}

/* The recipient still has to be told what is settled, whatever else was on its way. */
static int
load_conversation(void *arg, const char *name, const struct rk_conversation *row)
{
	struct rk_client *c = arg;
	struct conversation *v;

	if (!name_valid(name))
		return -EPROTO;
	v = conversation_known(c, name);
	if (v == NULL)
		v = conversation_add(c, name);
	if (v == NULL)
		return -ENOMEM;
	v->row = *row;
	v->partial = row->nudge > row->tail;
	return 0;
}

int
outbox_init(struct rk_client *c)
{
	struct rk_store *s = c->store;
	int r = s->counter_get(s->state, RK_COUNTER_LOCAL, &c->outbox.last_local);

	if (r == 0 || r == -ENOENT)
		r = s->counter_get(s->state, RK_COUNTER_MESSAGE, &c->outbox.last_id);
	if (r == 0 || r == -ENOENT)
		r = s->outbox_list(s->state, load, c);
	if (r == 0)
		r = s->conversation_list(s->state, load_conversation, c);
	if (r < 0)
		return r;
	for (struct conversation *v = c->outbox.conversations; v != NULL; v = v->next)
		nudge(c, v);
	return 0;
}

void
outbox_free(struct rk_client *c)
{
	struct outbox *o = &c->outbox;

	for (size_t i = 0; i < o->n; i++)
		free(o->all[i]);
	while (o->conversations != NULL) {
		struct conversation *v = o->conversations;

		o->conversations = v->next;
		free(v);
	}
	free(o->all);
	free(o->recent);
}

static const char *
check_conversation(const struct conversation *v, size_t *listed, unsigned *unaccepted)
{
	message_id_t before = 0;
	unsigned sent = 0;

	for (const struct outgoing *m = v->first; m != NULL; m = m->next) {
		if (m->final)
			return "outbox: a final text is still under way";
		if (m->conversation != v)
			return "outbox: a text in another conversation's list";
		if (m->row.first_id != 0 && m->row.first_id <= before)
			return "outbox: ids of a conversation do not rise";
		if (m->row.first_id != 0)
			before = last_of(m);
		if (m->row.prev >= m->row.first_id && m->row.first_id != 0)
			return "outbox: a text follows a later one";
		for (unsigned i = 0; i < m->row.fragments; i++) {
			sent += m->fragments[i].state == FRAGMENT_SENT;
			if (i > 0 && m->fragments[i].state == FRAGMENT_SENT &&
			    m->fragments[i - 1].state < FRAGMENT_ACCEPTED && !m->fragments[i - 1].forgotten)
				return "outbox: a fragment overtook the one before it";
		}
		*listed += !m->row.nudge;
	}
	if (sent != v->unaccepted || sent > CONVERSATION_UNACCEPTED)
		return "outbox: a conversation's count of unaccepted messages is wrong";
	*unaccepted += sent;
	return NULL;
}

const char *
outbox_check(const struct rk_client *c)
{
	const struct outbox *o = &c->outbox;
	const char *broken = NULL;
	unsigned unaccepted = 0;
	size_t listed = 0;

	for (const struct conversation *v = o->conversations; v != NULL && broken == NULL; v = v->next)
		broken = check_conversation(v, &listed, &unaccepted);
	if (broken != NULL)
		return broken;
	if (listed != o->pending)
		return "outbox: the count of pending texts is wrong";
	if (unaccepted != o->unaccepted || unaccepted > TOTAL_UNACCEPTED)
		return "outbox: the count of unaccepted messages is wrong";
	for (size_t i = 1; i < o->n; i++) {
		const struct outgoing *a = o->all[i - 1], *b = o->all[i];

		if (a->row.local >= b->row.local)
			return "outbox: local ids do not rise";
		if (b->row.first_id != 0 && (a->row.first_id == 0 || last_of(a) >= b->row.first_id))
			return "outbox: message ids do not rise";
	}
	if (o->n > 0 && o->all[o->n - 1]->row.first_id != 0 && last_of(o->all[o->n - 1]) > o->last_id)
		return "outbox: an id above the last one";
	return NULL;
}
