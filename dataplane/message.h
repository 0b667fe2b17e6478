/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Message records: the server's memory of a message from its first packet until its final answer is confirmed
 * (docs/protocol.md, section 4). A record owns the payload while deliveries of it are in flight on any worker.
 *
 * Thread-safety: the owner worker writes. While a part is in flight on another worker, that worker reads the fields marked
 * 'shared'; they do not change between the hand-over of the part and the return of its result.
 */
#ifndef ROOKERY_DATAPLANE_MESSAGE_H
#define ROOKERY_DATAPLANE_MESSAGE_H

#include "session.h"

#include "shared/confirm.h"

#define MESSAGE_PAYLOAD_MAX 1164 /* a MESSAGE body, or a whole frame from control */

_Static_assert(MESSAGE_PAYLOAD_MAX <= WIRE_PLAINTEXT_MAX, "a payload fits one packet");

enum message_state {
	MESSAGE_FREE,
	MESSAGE_WAIT_VERDICT, /* control was asked whether it may pass */
	MESSAGE_ACCEPTED,     /* parts are under way */
	MESSAGE_FINAL,        /* answered; kept until the client confirms, against late copies */
	MESSAGE_GAPS,         /* no message: which ids below the confirmed one are not; found as id MESSAGE_ID_GAPS; freed as FINAL */
	MESSAGE_CONTROL,      /* a frame from control, not a user's message */
};

#define MESSAGE_ID_GAPS 0 /* no message has it */
#define PART_STORE USER_SESSIONS_MAX /* the part 'every device that is away' */

struct message {
	uint32_t generation;
	uint8_t state;       /* enum message_state */
	uint8_t level;       /* enum receipt_level when FINAL */
	uint8_t reason;      /* enum refuse_reason */
	uint8_t flags;       /* shared: MESSAGE_MORE, MESSAGE_NUDGE, MESSAGE_REST */
	struct timer_node timer;
	uint64_t deadline_us;

	session_id_t sender; /* its session; the receipt goes nowhere if that is gone */
	uint32_t hash_next;
	uint32_t list_next;  /* the session's records */
	uint32_t list_prev;

	user_id_t from;      /* shared */
	device_id_t from_device; /* shared */
	user_id_t to;
	message_id_t id;     /* shared; CONTROL: the token */
	uint64_t sent_at;    /* shared */
	uint32_t prev_delta; /* shared */
	uint32_t floor_delta; /* shared */
	uint16_t length;     /* shared: bytes of payload */

	uint16_t parts;      /* bit per part without a result; PART_STORE for the away devices */
	uint16_t storing;    /* bit per part that control was asked to store */
	uint16_t unsent;     /* bit per part of storing that still has to be put into the event ring */
	uint8_t acked;       /* a device acknowledged it */
	uint8_t stored;      /* it waits in the store for a device */
	uint8_t live_count;
	uint8_t attempts;    /* of storing */
	uint32_t pending;    /* CONTROL: deliveries without a result */
	struct live_session live[USER_SESSIONS_MAX]; /* live_count of them */

	_Alignas(64) union {
		uint8_t payload[MESSAGE_PAYLOAD_MAX]; /* shared */
		struct confirmed confirmed;           /* GAPS */
	};
};

_Static_assert(sizeof(struct confirmed) <= MESSAGE_PAYLOAD_MAX, "a record holds them");
_Static_assert(offsetof(struct message, live[1]) <= 128, "of a message to one device two lines and those of its text are touched");

struct message_table {
	struct message *messages;
	uint32_t capacity;
	uint32_t used;
	uint32_t control;    /* of those used: frames from control */
	uint32_t free;       /* list through hash_next */
	uint32_t *buckets;   /* (sender, id) -> record */
	uint32_t bucket_mask;
	uint64_t hash_seed;
	struct timer_wheel wheel;
};

#define MESSAGE_TICK_US 5000
#define MESSAGE_PREFETCH_TEXT 256 /* a short text */

int message_table_init(struct message_table *t, uint32_t capacity, int numa_node, uint64_t now_us, uint64_t seed);
void message_table_fini(struct message_table *t);

/* The record of (sender, id), or NULL. */
struct message *message_find(const struct message_table *t, session_id_t sender, message_id_t id);
/* Starts loading what message_find reads first. */
void message_prefetch(const struct message_table *t, session_id_t sender, message_id_t id);
/* Starts loading the record and the beginning of its text. */
static inline void
message_prefetch_record(const struct message *m)
{
	__builtin_prefetch(m);
	__builtin_prefetch(&m->from);
	for (size_t at = 0; at < MESSAGE_PREFETCH_TEXT; at += 64)
		__builtin_prefetch(m->payload + at);
}

/* A fresh record in state; what it says (from, to, sent_at, the deltas, live and payload) is the caller's to write, all else is zero.
 * With sender != 0 it is found by message_find. NULL when none is free. */
struct message *message_alloc(struct message_table *t, session_id_t sender, message_id_t id, enum message_state state);
void message_free(struct message_table *t, struct message *m);

static inline uint32_t
message_index(const struct message_table *t, const struct message *m)
{
	return (uint32_t)(m - t->messages);
}

static inline struct message *
message_at(const struct message_table *t, struct record_ref ref)
{
	if (ref.index >= t->capacity || t->messages[ref.index].generation != ref.generation ||
	    t->messages[ref.index].state == MESSAGE_FREE)
		return NULL;
	return &t->messages[ref.index];
}

/* Files the record's timer. */
void message_timer(struct message_table *t, struct message *m, uint64_t deadline_us);
bool message_table_check(const struct message_table *t);

#endif
