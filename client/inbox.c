/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages of others: each once, and those of one sending device in the order in which it sent them
 * (docs/protocol.md, section 4). A message goes through three places: held (its turn has not come), the queue
 * of events, and, once the application has dealt with it, the store's high mark. Only then it is
 * acknowledged.
 */
#include "core.h"

#include "shared/plant.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define EXPIRE_INTERVAL (60 * SECOND)
/* A text of which no further fragment comes for so long may wait for what is behind others like it. */
#define TEXT_STALLED SECOND
/* FetchStored names at most this many ranges: what fits into one request. */
#define FETCH_HELD_MAX 360

static void request_fetch(struct rk_client *c);
static void release(struct rk_client *c, struct sender *s);

static void
sender_free(struct sender *s)
{
	while (s->held != NULL) {
		struct incoming *m = s->held;

		s->held = m->next;
		free(m);
	}
	free(s->unacked);
	free(s->text);
	free(s);
}

void
inbox_free(struct rk_client *c)
{
	while (c->inbox.senders != NULL) {
		struct sender *s = c->inbox.senders;

		c->inbox.senders = s->next;
		sender_free(s);
	}
}

/* ---- senders ----------------------------------------------------------------------------- */

static bool
is_idle(const struct sender *s)
{
	return s->held == NULL && s->seen == s->high && s->text_id == 0;
}

/* Forgets the sender that was idle longest; what matters of it is in the store. */
static void
evict(struct rk_client *c)
{
	struct sender **p, **oldest = NULL;

	for (p = &c->inbox.senders; *p != NULL; p = &(*p)->next) {
		if (is_idle(*p) && (oldest == NULL || (*p)->used_us < (*oldest)->used_us))
			oldest = p;
	}
	if (oldest != NULL) {
		struct sender *s = *oldest;

		*oldest = s->next;
		c->inbox.n_senders--;
		sender_free(s);
	}
}

static struct sender *
sender_of(struct rk_client *c, device_id_t device, user_id_t user)
{
	struct sender *s;
	int r;

	for (s = c->inbox.senders; s != NULL; s = s->next) {
		if (s->device == device)
			return s;
	}
	if (c->inbox.n_senders >= SENDERS_MAX)
		evict(c);
	if (c->inbox.n_senders >= SENDERS_MAX)
		return NULL;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return NULL;
	r = c->store->high_get(c->store->state, device, &s->high);
	if (r == 0 || r == -ENOENT)
		r = c->store->showing_get(c->store->state, device, &s->handed);
	if (r < 0 && r != -ENOENT) {
		/* Without the marks a message could be shown twice: rather let the server send it again. */
		store_failed(c, r);
		free(s);
		return NULL;
	}
	s->device = device;
	s->user = user;
	s->seen = s->high;
	s->next = c->inbox.senders;
	c->inbox.senders = s;
	c->inbox.n_senders++;
	return s;
}

/* Under which delivery number did this id come last? It is acknowledged when the id has been dealt with. */
static void
note_delivery(struct sender *s, message_id_t id, uint32_t delivery)
{
	for (size_t i = 0; i < s->n_unacked; i++) {
		if (s->unacked[i].id == id) {
			/* An older number is still retransmitted if it matters, and then found to be a
			 * duplicate. */
			s->unacked[i].delivery = delivery;
			return;
		}
	}
	if (s->n_unacked == s->cap_unacked) {
		size_t cap = s->cap_unacked > 0 ? 2 * s->cap_unacked : 8;
		struct unacked *p = realloc(s->unacked, cap * sizeof(*p));

		if (p == NULL)
			return; /* unacknowledged, so it comes again */
		s->unacked = p;
		s->cap_unacked = cap;
	}
	s->unacked[s->n_unacked++] = (struct unacked){.id = id, .delivery = delivery};
}

void
inbox_dealt(struct rk_client *c, struct sender *s, message_id_t id)
{
	size_t kept = 0;

	if (id > s->high)
		s->high = id;
	if (s->seen < s->high)
		s->seen = s->high;
	for (size_t i = 0; i < s->n_unacked; i++) {
		if (s->unacked[i].id <= s->high)
			session_acknowledge(c, s->unacked[i].delivery);
		else
			s->unacked[kept++] = s->unacked[i];
	}
	s->n_unacked = kept;
}

void
inbox_session(struct rk_client *c)
{
	/* What the FetchStored under way has named is not known any more, so its answer would say too much. */
	if (c->inbox.fetching)
		request_drop(c, REQUEST_FETCH);
	c->inbox.fetching = false;
	for (struct sender *s = c->inbox.senders; s != NULL; s = s->next) {
		s->n_unacked = 0;
		s->fetched_from = s->fetched_last = s->asked = 0;
	}
	for (struct sender *s = c->inbox.senders; s != NULL; s = s->next)
		release(c, s);
}

void
inbox_forget(struct rk_client *c)
{
	/* Nothing of the time before can be acknowledged; what waits for the application is still shown. */
	for (struct event *e = c->events.first; e != NULL; e = e->next) {
		if (e->sender != NULL)
			c->events.messages--;
		e->sender = NULL;
	}
	if (c->events.shown != NULL && c->events.shown->sender != NULL) {
		c->events.messages--;
		c->events.shown->sender = NULL;
	}
	if (c->events.unsaved != NULL) {
		c->events.messages--;
		event_free(c->events.unsaved);
		c->events.unsaved = NULL;
	}
	inbox_free(c);
	request_drop(c, REQUEST_FETCH);
	c->inbox = (struct inbox){0};
}

/* ---- texts in order ---------------------------------------------------------------------- */

static void
drop_text(struct sender *s)
{
	free(s->text);
	s->text = NULL;
	s->text_len = s->text_cap = 0;
	s->text_id = 0;
	s->skipping = false;
	s->text_stored = s->text_waits = false;
}

static bool
add_text(const struct rk_client *c, struct sender *s, const struct incoming *m)
{
	/* The rest of a text that was refused after it had been accepted is no text. */
	s->skipping = s->skipping || s->text_len + m->length > RK_TEXT_MAX ||
		      (s->text_id == 0 && (m->flags & MESSAGE_REST) != 0);
	if (!s->skipping && s->text_len + m->length + 1 > s->text_cap) {
		size_t cap = (m->flags & MESSAGE_MORE) != 0 ? RK_TEXT_MAX + 1 : m->length + 1u;
		char *p = realloc(s->text, cap);

		if (p == NULL)
			return false;
		s->text = p;
		s->text_cap = cap;
	}
	s->text_id = m->id;
	s->text_us = c->now_us;
	s->text_stored = s->text_stored || (m->flags & MESSAGE_STORED) != 0;
	s->text_waits = s->text_waits || s->text_stored || s->held_stored;
	if (!s->skipping) {
		memcpy(s->text + s->text_len, m->body, m->length);
		s->text_len += m->length;
		s->text[s->text_len] = '\0';
	}
	return true;
}

/* An event for the whole text that s has; without one (a NUDGE, or a text that is no text of ours) the event
 * only carries the id to its turn. */
static bool
push_text(struct rk_client *c, struct sender *s, const struct incoming *m, bool shown)
{
	struct event *e = event_new(shown ? RK_EVENT_MESSAGE : RK_EVENT_NONE);
	const char *from = roster_name(c, s->user);
	char id[RK_MESSAGE_ID_LEN + 1];
	char *text;

	if (e == NULL)
		return false;
	e->sender = s;
	e->id = m->id;
	if (shown) {
		text = event_alloc(e, s->text_len + 1);
		if (text == NULL) {
			event_free(e);
			return false;
		}
		if (s->text_len > 0)
			memcpy(text, s->text, s->text_len);
		message_id_format(id, s->device, m->id);
		e->e.message = (struct rk_event_message){
			.id = event_text(e, id),
			.from_id = s->user,
			.from = event_text(e, from),
			.text = text,
			.text_len = s->text_len,
			.sent_at = m->sent_at,
			.offline = s->text_stored,
			.redelivered = m->id <= s->handed};
	}
	event_push(c, e);
	return true;
}

/* It is m's turn. Returns false when there was no memory: it stays held. */
static bool
present(struct rk_client *c, struct sender *s, const struct incoming *m)
{
	/* Fragments have consecutive ids. Anything else means that the rest of that text was refused. */
	if (s->text_id != 0 && s->text_id != m->id &&
	    ((m->flags & MESSAGE_NUDGE) != 0 || m->id != s->text_id + 1 || m->prev != s->text_id))
		drop_text(s);
	/* The same id again: the event had no memory the last time. */
	if ((m->flags & MESSAGE_NUDGE) == 0 && s->text_id != m->id && !add_text(c, s, m))
		return false;
	if ((m->flags & MESSAGE_MORE) == 0) {
		bool shown = (m->flags & MESSAGE_NUDGE) == 0 && !s->skipping && s->text_len > 0;

		if (!push_text(c, s, m, shown))
			return false;
		drop_text(s);
	}
	s->seen = m->id;
	return true;
}

/* The next held message waits for one that is settled at its sender, but may still be in our queue at the
 * server. */
static bool
wants_fetch(const struct sender *s)
{
	const struct incoming *m = s->held;

	return m != NULL && m->prev > s->seen && m->prev > s->settled && m->prev <= s->floor;
}

/* Stored messages that are held without the server knowing: they fill its window, and it would wait for us
 * while we wait for what is behind them. */
static bool
is_unnamed(const struct sender *s)
{
	return s->held != NULL && s->held_stored && (s->fetched_from == 0 || s->held->id < s->fetched_from);
}

/* The server takes for held what has been shown since we named it, and sends little of what is behind: of that
 * the next one may be what we wait for. */
static bool
is_misnamed(const struct sender *s)
{
	return s->fetched_from != 0 && s->seen >= s->fetched_from && (s->held != NULL || s->text_id != 0);
}

/* The same of fragments: they are acknowledged with the whole text, whose rest may be behind what fills the window. */
static bool
is_text_unnamed(const struct sender *s)
{
	return s->text_id != 0 && s->text_waits && (s->fetched_from == 0 || s->text_id < s->fetched_from) &&
	       s->text_id > s->fetched_last;
}

static bool
is_stalled(const struct rk_client *c, const struct sender *s)
{
	return is_text_unnamed(s) && c->now_us - s->text_us >= TEXT_STALLED;
}

/* When to look again, at the latest. */
static void
look_at(struct rk_client *c, uint64_t us)
{
	if (c->inbox.look_us == 0 || c->inbox.look_us > us)
		c->inbox.look_us = us;
}

static bool
is_turn(const struct rk_client *c, const struct sender *s, const struct incoming *m)
{
	return PLANTED(no_order) || m->prev <= s->seen || m->prev <= s->settled || c->now_us - m->arrived_us >= HOLD_MAX;
}

static void
release(struct rk_client *c, struct sender *s)
{
	/* A name is needed to show anything; asking for it takes one round trip. */
	if (s->held != NULL && roster_name(c, s->user) == NULL)
		return;
	while (s->held != NULL && is_turn(c, s, s->held)) {
		struct incoming *m = s->held;

		if (!present(c, s, m))
			break;
		s->held = m->next;
		c->inbox.held--;
		free(m);
	}
	if (s->held == NULL)
		s->held_stored = false;
	/* Fragments are acknowledged with the whole text: one before the id that we named keeps the question open, and
	 * one behind it is not sent. */
	if (c->inbox.fetching && (is_unnamed(s) || is_stalled(c, s) || (is_misnamed(s) && s->text_id != 0))) {
		request_drop(c, REQUEST_FETCH);
		c->inbox.fetching = false;
	}
	if (is_unnamed(s) || wants_fetch(s) || is_misnamed(s) || is_stalled(c, s))
		request_fetch(c);
	if (is_text_unnamed(s))
		look_at(c, c->now_us + TEXT_STALLED);
}

/* ---- arrivals ---------------------------------------------------------------------------- */

static struct incoming **
held_place(struct sender *s, message_id_t id)
{
	struct incoming **p = &s->held;

	while (*p != NULL && (*p)->id < id)
		p = &(*p)->next;
	return p;
}

static bool
is_full(const struct rk_client *c, const struct sender *s, message_id_t prev)
{
	size_t n = c->inbox.held + c->events.messages;

	/* The one that lets others go is taken in all the same, within reason. */
	return n >= c->inbox_max && (prev > s->seen || n >= 2 * c->inbox_max);
}

void
inbox_deliver(struct rk_client *c, const struct frame_deliver *d)
{
	struct sender *s = sender_of(c, d->from_device, d->from);
	message_id_t prev = d->prev_delta == UINT32_MAX || d->prev_delta >= d->id ? 0 : d->id - d->prev_delta;
	struct incoming **place, *m;

	if (s == NULL)
		return;
	if (d->prev_delta == 0)
		prev = 0;
	s->used_us = c->now_us;
	if (d->floor_delta != UINT32_MAX && d->floor_delta <= d->id && d->id - d->floor_delta > s->floor)
		s->floor = d->id - d->floor_delta;
	if (d->id <= s->high) {
		c->stats.duplicates++;
		session_acknowledge(c, d->delivery);
		return;
	}
	if (PLANTED(early_ack))
		session_acknowledge(c, d->delivery);
	place = held_place(s, d->id);
	if (d->id <= s->seen || (*place != NULL && (*place)->id == d->id)) {
		bool *stored = d->id <= s->seen ? &s->text_waits : &s->held_stored;

		*stored = *stored || (d->flags & MESSAGE_STORED) != 0;
		c->stats.duplicates++;
		note_delivery(s, d->id, d->delivery);
	} else if (!is_full(c, s, prev)) {
		m = malloc(sizeof(*m) + d->length);
		if (m == NULL)
			return;
		*m = (struct incoming){.next = *place, .id = d->id, .prev = prev, .sent_at = d->sent_at,
				       .arrived_us = c->now_us, .flags = d->flags, .length = d->length};
		if (d->length > 0)
			memcpy(m->body, d->body, d->length);
		*place = m;
		s->held_stored = s->held_stored || (d->flags & MESSAGE_STORED) != 0;
		c->inbox.held++;
		note_delivery(s, d->id, d->delivery);
		look_at(c, c->now_us + EXPIRE_INTERVAL);
	}
	release(c, s);
}

void
inbox_named(struct rk_client *c, user_id_t user)
{
	for (struct sender *s = c->inbox.senders; s != NULL; s = s->next) {
		if (s->user == user)
			release(c, s);
	}
}

/* ---- what is settled --------------------------------------------------------------------- */

/* Asks to be answered when all that is stored for us has come, except what we hold. Whatever was settled
 * before the question and has not come by the answer does not come. */
static void
request_fetch(struct rk_client *c)
{
	uint64_t devices[FETCH_HELD_MAX], ids[FETCH_HELD_MAX], last[FETCH_HELD_MAX];
	Rookery__Request body = ROOKERY__REQUEST__INIT;
	Rookery__FetchStored fetch = ROOKERY__FETCH_STORED__INIT;
	size_t n = 0;

	if (c->inbox.fetching)
		return;
	for (struct sender *s = c->inbox.senders; s != NULL; s = s->next) {
		s->fetched_from = s->fetched_last = 0;
		/* With the text also what is left of refused ones before it. */
		if (s->text_id != 0 && n < FETCH_HELD_MAX) {
			s->fetched_last = s->text_id;
			devices[n] = s->device;
			ids[n] = s->high + 1;
			last[n++] = s->text_id;
		}
		/* What is missing has lower ids, what comes behind has higher ones. */
		if (s->held != NULL && n < FETCH_HELD_MAX) {
			s->fetched_from = s->held->id;
			devices[n] = s->device;
			ids[n] = s->held->id;
			last[n++] = 0;
		}
	}
	fetch.held_device = devices;
	fetch.n_held_device = n;
	fetch.held_id = ids;
	fetch.n_held_id = n;
	fetch.held_last = last;
	fetch.n_held_last = n;
	body.body_case = ROOKERY__REQUEST__BODY_FETCH_STORED;
	body.fetch_stored = &fetch;
	if (request_new(c, REQUEST_FETCH, &body) == NULL)
		return;
	c->inbox.fetching = true;
	for (struct sender *s = c->inbox.senders; s != NULL; s = s->next)
		s->asked = s->floor;
}

void
inbox_fetched(struct rk_client *c)
{
	c->inbox.fetching = false;
	for (struct sender *s = c->inbox.senders; s != NULL; s = s->next) {
		/* From the first id that we named on, the server did not wait for anything. */
		if (s->fetched_from != 0 && s->asked >= s->fetched_from)
			s->asked = s->fetched_from - 1;
		if (s->asked > s->settled)
			s->settled = s->asked;
		s->asked = 0;
	}
	for (struct sender *s = c->inbox.senders; s != NULL; s = s->next)
		release(c, s);
}

void
inbox_tick(struct rk_client *c)
{
	struct inbox *b = &c->inbox;

	if (b->look_us == 0 || c->now_us < b->look_us)
		return;
	b->look_us = b->held > 0 ? c->now_us + EXPIRE_INTERVAL : 0;
	for (struct sender *s = b->senders; s != NULL; s = s->next)
		release(c, s);
}

uint64_t
inbox_deadline(const struct rk_client *c)
{
	return c->inbox.look_us != 0 ? c->inbox.look_us : NEVER;
}

static const char *
check_sender(const struct sender *s, size_t *held)
{
	message_id_t before = s->seen;

	if (s->seen < s->high)
		return "inbox: more is recorded than was seen";
	for (const struct incoming *m = s->held; m != NULL; m = m->next) {
		if (m->id <= before)
			return "inbox: held messages are not in order, or seen already";
		if (m->prev >= m->id)
			return "inbox: a message follows a later one";
		before = m->id;
		(*held)++;
	}
	if (s->text_id > s->seen || (s->text_id != 0 && s->text_id != s->seen))
		return "inbox: the text under way does not end with what was seen last";
	if (s->text_len > RK_TEXT_MAX || (s->text_cap > 0 && s->text_len >= s->text_cap))
		return "inbox: the text under way is too long";
	for (size_t i = 0; i < s->n_unacked; i++) {
		if (s->unacked[i].id <= s->high)
			return "inbox: a recorded message is not acknowledged";
	}
	return NULL;
}

const char *
inbox_check(const struct rk_client *c)
{
	const struct inbox *b = &c->inbox;
	const char *broken = NULL;
	size_t held = 0, n = 0;

	for (const struct sender *s = b->senders; s != NULL && broken == NULL; s = s->next, n++)
		broken = check_sender(s, &held);
	if (broken != NULL)
		return broken;
	if (held != b->held)
		return "inbox: the count of held messages is wrong";
	if (n != b->n_senders || n > SENDERS_MAX)
		return "inbox: the count of senders is wrong";
	if (b->fetching != request_pending(c, REQUEST_FETCH))
		return "inbox: FetchStored is expected but not asked, or the other way round";
	return NULL;
}
