/* SPDX-License-Identifier: BSD-3-Clause */
/* The queue of events, and the promise behind it: a message is shown once, recorded, then acknowledged. */
#include "core.h"

#include "shared/plant.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A store that failed is asked again after this long. */
#define STORE_RETRY SECOND

struct chunk {
	struct chunk *next;
	_Alignas(max_align_t) uint8_t data[];
};

void
events_init(struct rk_client *c)
{
	c->events.last = &c->events.first;
}

struct event *
event_new(enum rk_event_type type)
{
	struct event *e = calloc(1, sizeof(*e));

	if (e != NULL)
		e->e.type = type;
	return e;
}

void *
event_alloc(struct event *e, size_t size)
{
	struct chunk *k = calloc(1, sizeof(*k) + size);

	if (k == NULL)
		return NULL;
	k->next = e->chunks;
	e->chunks = k;
	return k->data;
}

const char *
event_text(struct event *e, const char *s)
{
	size_t len = s != NULL ? strlen(s) : 0;
	char *copy = len > 0 ? event_alloc(e, len + 1) : NULL;

	return copy != NULL ? memcpy(copy, s, len) : "";
}

void
event_free(struct event *e)
{
	if (e == NULL)
		return;
	while (e->chunks != NULL) {
		struct chunk *k = e->chunks;

		e->chunks = k->next;
		free(k);
	}
	free(e);
}

void
events_free(struct rk_client *c)
{
	struct events *q = &c->events;

	while (q->first != NULL) {
		struct event *e = q->first;

		q->first = e->next;
		event_free(e);
	}
	event_free(q->shown);
	event_free(q->unsaved);
}

void
event_push(struct rk_client *c, struct event *e)
{
	if (e == NULL)
		return;
	e->next = NULL;
	*c->events.last = e;
	c->events.last = &e->next;
	if (e->sender != NULL)
		c->events.messages++;
}

static struct event *
event_pop(struct rk_client *c)
{
	struct event *e = c->events.first;

	c->events.first = e->next;
	if (c->events.first == NULL)
		c->events.last = &c->events.first;
	return e;
}

static struct event *
error_new(enum rk_event_type type, enum rk_code code, const char *text, uint32_t retry_ms)
{
	struct event *e = event_new(type);

	if (e != NULL)
		e->e.error = (struct rk_event_error){.code = code,
						     .name = code != 0 ? rk_code_name(code) : "",
						     .text = event_text(e, text),
						     .retry_ms = retry_ms};
	return e;
}

void
event_error(struct rk_client *c, enum rk_event_type type, enum rk_code code, const char *text,
	    uint32_t retry_ms)
{
	event_push(c, error_new(type, code, text, retry_ms));
}

void
store_failed(struct rk_client *c, int error)
{
	struct events *q = &c->events;
	struct event *e;

	if (q->store_told)
		return;
	e = error_new(RK_EVENT_ERROR, RK_CODE_LOCAL_STORE, strerror(-error), 0);
	if (e == NULL)
		return;
	/* In front: what is behind may be unable to go on because of this very failure. */
	q->store_told = true;
	e->next = q->first;
	q->first = e;
	if (e->next == NULL)
		q->last = &e->next;
}

void
store_works(struct rk_client *c)
{
	c->events.store_told = false;
}

/* Records what was dealt with (done, may be NULL) and what is shown next (next, may be NULL): all or
 * nothing. */
static int
record(struct rk_client *c, const struct event *done, const struct event *next)
{
	struct rk_store *s = c->store;
	int r = s->begin(s->state);

	if (r == 0 && done != NULL && !PLANTED(no_high))
		r = s->high_put(s->state, done->sender->device, done->id);
	if (r == 0 && next != NULL)
		r = s->showing_put(s->state, next->sender->device, next->id);
	if (r == 0)
		r = s->commit(s->state);
	if (r < 0) {
		s->rollback(s->state);
		store_failed(c, r);
		c->events.retry_us = c->now_us + STORE_RETRY;
		return r;
	}
	store_works(c);
	c->events.retry_us = 0;
	return 0;
}

/* Recorded: may be acknowledged. */
static void
finish(struct rk_client *c, struct event *e)
{
	c->events.messages--;
	inbox_dealt(c, e->sender, e->id);
	event_free(e);
}

/* The application is through with the event it has. */
static void
deal_with(struct rk_client *c)
{
	struct event *e = c->events.shown;

	c->events.shown = NULL;
	if (e == NULL)
		return;
	if (e->sender != NULL) {
		c->events.unsaved = e;
		return;
	}
	if (e->settles != 0)
		outbox_dealt(c, e->settles);
	event_free(e);
}

static void
save(struct rk_client *c)
{
	struct event *e = c->events.unsaved;

	if (e == NULL || c->events.retry_us > c->now_us || record(c, e, NULL) < 0)
		return;
	c->events.unsaved = NULL;
	finish(c, e);
}

/* The head of the queue is a message, or ids without a text: may it go on? */
static bool
message_ready(struct rk_client *c)
{
	struct events *q = &c->events;
	struct event *head = q->first, *done = q->unsaved;

	if (q->retry_us > c->now_us)
		return false;
	if (head->e.type == RK_EVENT_NONE) {
		/* Nothing is shown, so it can be recorded at once; after the one before, for order. */
		save(c);
		if (q->unsaved != NULL || record(c, head, NULL) < 0)
			return false;
		finish(c, event_pop(c));
		return false;
	}
	if (record(c, done, head) < 0)
		return false;
	q->unsaved = NULL;
	if (done != NULL)
		finish(c, done);
	return true;
}

int
rk_client_next_event(struct rk_client *c, struct rk_event *e)
{
	struct events *q = &c->events;

	deal_with(c);
	while (q->first != NULL && !q->first->waiting) {
		struct event *head = q->first;

		if (head->sender != NULL && !message_ready(c)) {
			if (q->first != head)
				continue; /* an error came in front, or the head is done */
			return 0;
		}
		if (head->sender == NULL)
			save(c);
		if (q->first != head)
			continue;
		q->shown = event_pop(c);
		*e = q->shown->e;
		return 1;
	}
	save(c);
	return 0;
}

void
rk_client_event_done(struct rk_client *c)
{
	deal_with(c);
	save(c);
}

void
events_tick(struct rk_client *c)
{
	save(c);
}

uint64_t
events_deadline(const struct rk_client *c)
{
	return c->events.unsaved != NULL ? c->events.retry_us : NEVER;
}

const char *
events_check(const struct rk_client *c)
{
	const struct events *q = &c->events;
	const struct event *e;
	size_t messages = 0;

	for (e = q->first; e != NULL; e = e->next) {
		if (e->sender != NULL)
			messages++;
		if (e->next == NULL && q->last != &e->next)
			return "events: the tail is not the last event";
	}
	if (q->first == NULL && q->last != &q->first)
		return "events: an empty queue has a tail";
	if (q->shown != NULL && q->shown->sender != NULL)
		messages++;
	if (q->unsaved != NULL)
		messages++;
	if (messages != q->messages)
		return "events: the count of messages is wrong";
	if (q->unsaved != NULL && q->unsaved->sender == NULL)
		return "events: what waits for the store is not a message";
	return NULL;
}
