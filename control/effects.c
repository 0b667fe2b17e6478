// SPDX-License-Identifier: BSD-3-Clause
/* What handlers leave to be done after the commit, and what is written without anybody waiting for it. */
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
			log_error("control", "out of memory: a change is not announced", "bytes=%zu", size);
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
	case LAZY_PRESENCE:
		return presence_again(s, l->a);
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

/* ---- operations --------------------------------------------------------------------- */

void
operation_add(struct server *s, struct operation *op)
{
	op->next = NULL;
	*s->operations_tail = op;
	s->operations_tail = &op->next;
}
