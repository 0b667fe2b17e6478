/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The session table: slots named by the index in the session id, two cache lines each, and the activity blocks that
 * hold what only a busy session needs.
 *
 * Thread-safety: every field is read and written by the owner worker alone. Other workers hand packets and messages over (handoff.h).
 */
#ifndef ROOKERY_DATAPLANE_SESSION_H
#define ROOKERY_DATAPLANE_SESSION_H

#include "keycache.h"
#include "replay.h"
#include "shared/address.h"
#include "shared/cell.h"
#include "timer_wheel.h"

#include <stdbool.h>
#include <stdint.h>

#define NONE UINT32_MAX

enum session_flag {
	SESSION_FLAG_RESTRICTED = 0x01, /* not enrolled yet */
	SESSION_FLAG_HEARD = 0x02,      /* control knows that the client is there */
	SESSION_FLAG_DYING = 0x04,      /* ended; control does not know yet because the event ring is full */
	SESSION_FLAG_CLOSED = 0x08,     /* with DYING: by the client */
	SESSION_FLAG_EMBRYO = 0x10,     /* resumed, and not heard since: control does not know it (resume.c) */
};

struct session {
	/* first line: every packet, and all that a look of the timer wheel reads */
	uint32_t generation; /* 0: free */
	uint8_t flags;
	uint8_t port;
	uint8_t local;
	uint8_t reserved;
	uint16_t epoch;
	struct endpoint peer;
	uint32_t heard_ms; /* worker time of the last valid packet, modulo 2^32 */
	struct replay_window replay;
	struct timer_node timer;
	/* second line */
	struct session_keys keys;
	uint64_t tx_sequence; /* last one used */
	union {
		user_id_t user;
		struct {
			uint32_t next, prev; /* of a free slot: list of free slots, or NONE */
		} free;
		uint32_t embryo;             /* of an embryo: its place in struct resume */
	};
	device_id_t device;
	uint32_t activity; /* index, or NONE */
	uint32_t key_place; /* of the expanded key, if it is still there: keycache.h */
	union {
		uint32_t delivery; /* last delivery number used */
		uint32_t ended;    /* of a free slot: the generation that ended last; its counters must not begin again */
	};
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct session) == 128, "a session is two cache lines");
_Static_assert(offsetof(struct session, keys) == 64, "the lines are divided as said");

struct activity {
	/* first line: every message, on both sides */
	uint32_t session; /* slot that has it, NONE: free */
	union {
		uint32_t records; /* list of message records, newest first */
		uint32_t next;    /* of a free block */
	};
	message_id_t confirmed;  /* the client has the final answer of all ids up to this, except for those in a record MESSAGE_GAPS */
	uint32_t inflight_head;  /* deliveries sent and not acknowledged, by delivery number */
	uint32_t inflight_tail;
	uint32_t pending_head;   /* deliveries that wait for room in the window */
	uint32_t pending_tail;
	uint16_t record_count;
	uint16_t inflight_count;
	uint16_t pending_count;
	uint32_t srtt_us;        /* 0: no sample yet (RFC 6298) */
	uint32_t rttvar_us;
	uint64_t used_us;        /* last use: an idle block may be taken from its session */
	/* token buckets (shared/rate.h); an idle minute, after which the block may be taken, fills them */
	uint64_t message_bucket;
	/* second line */
	uint64_t conversation_bucket;
	uint64_t request_bucket;
	/* path validation: the address that was challenged */
	uint64_t path_token;     /* 0: none */
	uint64_t path_sent_us;
	struct endpoint path_peer;
	uint8_t path_port;
	uint8_t path_local;
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct activity) == 128, "an activity is two cache lines");
_Static_assert(offsetof(struct activity, conversation_bucket) == 64, "the lines are divided as said");

struct session_table {
	struct session *sessions;
	uint32_t capacity;
	uint32_t live;
	uint32_t free_head;      /* free slots in the order in which they became so; control names any of them, a resumed session */
	uint32_t free_tail;      /* takes the last, because control takes the first that it knows of */
	struct activity *activities;
	uint32_t activity_capacity;
	uint32_t activity_free;  /* list through next */
	uint32_t activity_hand;  /* clock hand of the search for an idle block */
	struct timer_wheel wheel;
};

#define SESSION_TICK_US 100000
#define ACTIVITY_IDLE_US UINT64_C(60000000)

/* Returns 0 or -ENOMEM. */
int session_table_init(struct session_table *t, uint32_t capacity, uint32_t activities, int numa_node, uint64_t now_us);
void session_table_fini(struct session_table *t); /* wipes keys */

/* A slot is used, or free again. */
void session_slot_take(struct session_table *t, uint32_t i);
void session_slot_free(struct session_table *t, uint32_t i);

/* The live session with this id, or NULL. */
static inline struct session *
session_find(const struct session_table *t, session_id_t sid)
{
	uint32_t i = session_id_index(sid);
	struct session *s;

	if (i >= t->capacity)
		return NULL;
	s = &t->sessions[i];
	return s->generation != 0 && s->generation == session_id_generation(sid) ? s : NULL;
}

/* Starts loading both lines of the slot that sid names. */
static inline void
session_prefetch(const struct session_table *t, session_id_t sid)
{
	const struct session *s = &t->sessions[session_id_index(sid)];

	if (session_id_index(sid) >= t->capacity)
		return;
	__builtin_prefetch(s, 1);
	__builtin_prefetch(&s->keys, 1);
}

static inline uint32_t
session_index(const struct session_table *t, const struct session *s)
{
	return (uint32_t)(s - t->sessions);
}

/* The session's activity block; taken from the pool if it has none. NULL when all blocks are busy. */
struct activity *activity_get(struct session_table *t, struct session *s, uint64_t now_us);

static inline struct activity *
activity_of(const struct session_table *t, const struct session *s)
{
	return s->activity == NONE ? NULL : &t->activities[s->activity];
}

/* Starts loading what a message touches. */
static inline void
activity_prefetch(const struct session_table *t, const struct session *s)
{
	const struct activity *a = activity_of(t, s);

	if (a != NULL)
		__builtin_prefetch(a, 1);
}

/* A challenge that was not answered does not count: else a client that answers none would keep its block for good. */
static inline bool
activity_idle(const struct activity *a)
{
	return a->record_count == 0 && a->inflight_count == 0 && a->pending_count == 0;
}

void activity_release(struct session_table *t, struct session *s);

/* Every list and count is sound. For tests. */
bool session_table_check(const struct session_table *t);

#endif
