/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Deliveries: frames sent to a session of this worker and not yet acknowledged, with RTT-based retransmission (RFC 6298).
 * A delivery refers to a message record, which may belong to another worker; its result goes back there.
 *
 * Thread-safety: the worker that owns the recipient's session.
 */
#ifndef ROOKERY_DATAPLANE_INFLIGHT_H
#define ROOKERY_DATAPLANE_INFLIGHT_H

#include "message.h"

struct worker;

/* Per session. A client may hold live messages back, unacknowledged, until it has those that control sends from the store: so
 * control's frames have room beyond a window that is full of live ones, and go first. */
#define INFLIGHT_WINDOW 256
#define INFLIGHT_WINDOW_CONTROL 512
#define INFLIGHT_PENDING 1024 /* per session, beyond the window */

struct delivery {
	const struct message *message; /* not written here; NULL: free */
	struct record_ref record;      /* of message, at its owner */
	uint64_t sent_us;              /* last send */
	uint64_t deadline_us;          /* next retransmission, or of giving the result back */
	struct timer_node timer;
	uint32_t session;              /* slot */
	uint32_t next;
	uint32_t prev;
	uint32_t number;               /* delivery number; 0 while pending */
	uint8_t owner;                 /* worker of the record */
	uint8_t part;
	uint8_t sends;
	uint8_t outcome;               /* enum delivery_outcome: done, but the result could not be handed back yet */
};

struct delivery_table {
	struct delivery *deliveries;
	uint32_t capacity;
	uint32_t used;
	uint32_t local_used;     /* of records of this worker */
	uint32_t local_capacity; /* the rest is kept for other workers' records: a delivery handed over always finds an object */
	uint32_t free;
	struct timer_wheel wheel;
};

#define INFLIGHT_TICK_US 5000
#define RTO_FIRST_US 500000u
#define RTO_MIN_US 100000u
#define RTO_MAX_US 3000000u

int delivery_table_init(struct delivery_table *t, uint32_t local, uint32_t remote, int numa_node, uint64_t now_us);
void delivery_table_fini(struct delivery_table *t);
bool delivery_table_check(const struct delivery_table *t);

/* Starts delivering a record's part to the session. Exactly one result comes back, at once if there is no session or room. */
void inflight_start(struct worker *w, const struct message *m, struct record_ref record, uint32_t owner, uint32_t part, session_id_t sid);
/* Before an inflight_ack for the session, in two steps: the oldest delivery, then its record. */
void inflight_prefetch(const struct worker *w, const struct session *s, bool record);
/* Acknowledges delivery numbers first .. first + length - 1 of the session. */
void inflight_ack(struct worker *w, struct session *s, uint32_t first, uint32_t length);
/* Deliveries that the ACKs of one packet may look at: a full window several times over, which is more than ranges in order need. */
#define ACK_STEPS 4096
/* The session ends: all its deliveries fail. */
void inflight_fail_all(struct worker *w, struct session *s);
unsigned inflight_timers(struct worker *w);

#endif
