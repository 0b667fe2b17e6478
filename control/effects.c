// SPDX-License-Identifier: BSD-3-Clause
/* What handlers leave to be done after the commit, what is written without anybody waiting for it, and what could not be read. */
#include "core.h"

#include "shared/log.h"

#include <stdlib.h>
#include <string.h>

struct effect {
	effect_fn run;
	effect_fn undo;
	size_t size; /* of the data behind this header, rounded up */
};

#define EFFECT_ALIGN 16

_Static_assert(sizeof(struct effect) % 8 == 0, "data behind the header is aligned");

static size_t
round_up(size_t n)
{
	return (n + EFFECT_ALIGN - 1) & ~(size_t)(EFFECT_ALIGN - 1);
}

static bool
effects_reserve(struct effects *e, size_t more)
{
	size_t capacity = e->capacity == 0 ? 65536 : e->capacity;
	void *data;

	if (e->used + more <= e->capacity)
		return true;
	while (capacity < e->used + more)
		capacity *= 2;
	data = realloc(e->data, capacity);
	if (data == NULL)
		return false;
	e->data = data;
	e->capacity = capacity;
	return true;
}

void
effect_add(struct server *s, effect_fn run, effect_fn undo, const void *data, size_t size)
{
	struct effects *e = &s->effects;
	size_t header = round_up(sizeof(struct effect));
	struct effect effect = {.run = run, .undo = undo, .size = round_up(size)};

	if (!s->staging) {
		/* An effect may change its data. */
		void *copy = malloc(size == 0 ? 1 : size);

		if (copy == NULL) {
			log_error(control, "out of memory: a change is not announced", "bytes=%zu", size);
			return;
		}
		if (size != 0)
			memcpy(copy, data, size);
		run(s, copy);
		free(copy);
		return;
	}
	if (!effects_reserve(e, header + effect.size)) {
		e->failed = true;
		if (undo != NULL)
			undo(s, (void *)(uintptr_t)data);
		return;
	}
	memcpy(e->data + e->used, &effect, sizeof(effect));
	if (size != 0)
		memcpy(e->data + e->used + header, data, size);
	e->used += header + effect.size;
}

static void
effects_each(struct server *s, bool undo)
{
	struct effects *e = &s->effects;
	size_t header = round_up(sizeof(struct effect));
	size_t at = 0;

	s->staging = false;
	while (at < e->used) {
		struct effect *effect = (struct effect *)(e->data + at);
		effect_fn fn = undo ? effect->undo : effect->run;

		at += header + effect->size;
		if (fn != NULL)
			fn(s, (uint8_t *)effect + header);
	}
	/* Secrets and passwords pass through here. */
	if (e->used != 0)
		explicit_bzero(e->data, e->used);
	e->used = 0;
	e->failed = false;
	map_clear(&s->resumed);
}

void
effects_run(struct server *s)
{
	if (s->effects.used == 0) {
		s->staging = false;
		return;
	}
	store_read_begin(s->store);
	effects_each(s, false);
	store_read_end(s->store);
}

void
effects_undo(struct server *s)
{
	effects_each(s, true);
}

void
effects_free(struct server *s)
{
	free(s->effects.data);
	s->effects = (struct effects){0};
}

/* ---- lazy writes -------------------------------------------------------------------- */

void
lazy_add(struct server *s, enum lazy_kind kind, uint64_t a, uint64_t b)
{
	if (s->lazy_count == s->lazy_capacity) {
		uint32_t capacity = s->lazy_capacity == 0 ? 64 : s->lazy_capacity * 2;
		struct lazy *lazy = realloc(s->lazy, capacity * sizeof(*lazy));

		/* Forgotten: the row stays, so a message comes twice or a session has to expire again. */
		if (lazy == NULL)
			return;
		s->lazy = lazy;
		s->lazy_capacity = capacity;
	}
	s->lazy[s->lazy_count++] = (struct lazy){.kind = kind, .a = a, .b = b};
}

static int
lazy_one(struct server *s, const struct lazy *l)
{
	const struct session *n;

	switch (l->kind) {
	case LAZY_MESSAGE_DEL:
		return store_message_del(s->store, l->a, l->b);
	case LAZY_EVENT_DEL:
		return store_event_del(s->store, l->a, l->b);
	case LAZY_SESSION_DEL:
		return store_session_del(s->store, l->a);
	case LAZY_DEVICE_SEEN:
		return store_device_seen(s->store, l->a, l->b);
	case LAZY_DEVICE_VOID:
		return store_device_void(s->store, l->a);
	case LAZY_PEER:
		n = session_get(s, l->a);
		return n == NULL ? 0 : store_session_peer(s->store, n->sid, &n->peer, n->port);
	case LAZY_BANS_EXPIRE:
		return store_bans_expire(s->store, l->a);
	}
	return 0;
}

int
lazy_write(struct server *s)
{
	int rc = 0;

	for (uint32_t i = 0; i < s->lazy_count && rc == 0; i++)
		rc = lazy_one(s, &s->lazy[i]);
	return rc;
}

/* ---- reads that failed ---------------------------------------------------------------- */

#define REREAD_BURST 256 /* of a kind in one go */

_Static_assert(sizeof(void *) == sizeof(uint64_t), "an id is kept as a pointer");

static void
reread_wake(struct server *s, uint64_t ms)
{
	if (ms < s->reread_ms)
		s->reread_ms = ms;
}

void
reread_add(struct server *s, enum reread_kind kind, uint64_t id)
{
	static const char *const names[] = {"who is told of a user", "where a user is", "what a session is sent"};

	COUNT(s, rereads);
	if (map_put(&s->reread[kind], id, (void *)(uintptr_t)id) < 0) {
		log_error(store, "out of memory: a failed read is not repeated", "what=\"%s\" id=%016llx", names[kind],
			  (unsigned long long)id);
		return;
	}
	log_error(store, "cannot be read, tried again", "what=\"%s\" id=%016llx reason=\"%s\"", names[kind], (unsigned long long)id,
		  store_error(s->store));
	reread_wake(s, s->now_ms + STORE_RETRY_MS);
}

void
reread_drop(struct server *s, enum reread_kind kind, uint64_t id)
{
	map_del(&s->reread[kind], id);
}

static void
reread_one(struct server *s, enum reread_kind kind, uint64_t id)
{
	struct session *n;

	switch (kind) {
	case REREAD_PRESENCE:
		presence_again(s, id);
		break;
	case REREAD_USER:
		user_publish(s, id);
		break;
	default:
		n = session_get(s, id);
		if (n != NULL && n->pump != NULL)
			pump_retry(s, n);
	}
}

/* What fails again is added again, and waits for the next round. */
static void
reread_some(struct server *s, enum reread_kind kind)
{
	uint64_t due[REREAD_BURST];
	uint32_t count = 0;
	void *id = NULL;

	while (count < REREAD_BURST && (id = map_next(&s->reread[kind], &s->reread_at[kind])) != NULL)
		due[count++] = (uintptr_t)id;
	for (uint32_t i = 0; i < count; i++) {
		reread_drop(s, kind, due[i]);
		reread_one(s, kind, due[i]);
	}
	if (id == NULL)
		s->reread_at[kind] = 0;
	/* A removal may move one that was not looked at to before where the round is. */
	if (s->reread[kind].count != 0)
		reread_wake(s, s->now_ms + (id == NULL ? STORE_RETRY_MS : 0));
}

void
reread_timers(struct server *s)
{
	if (s->now_ms < s->reread_ms)
		return;
	s->reread_ms = UINT64_MAX;
	store_read_begin(s->store);
	for (unsigned kind = 0; kind < REREAD_KINDS; kind++)
		reread_some(s, kind);
	store_read_end(s->store);
}

const char *
reread_check(const struct server *s)
{
	uint32_t position = 0;
	void *id;

	while ((id = map_next(&s->reread[REREAD_USER], &position)) != NULL) {
		if (user_get(s, (uintptr_t)id) == NULL)
			return "it is read again where a user is who is gone";
	}
	position = 0;
	while ((id = map_next(&s->reread[REREAD_PUMP], &position)) != NULL) {
		if (session_get(s, (uintptr_t)id) == NULL)
			return "it is read again for a session that has ended";
	}
	for (unsigned kind = 0; kind < REREAD_KINDS; kind++) {
		if (s->reread[kind].count != 0 && s->reread_ms == UINT64_MAX)
			return "what could not be read is forgotten";
	}
	return NULL;
}

/* ---- operations --------------------------------------------------------------------- */

void
operation_add(struct server *s, struct operation *op)
{
	op->next = NULL;
	*s->operations_tail = op;
	s->operations_tail = &op->next;
}
