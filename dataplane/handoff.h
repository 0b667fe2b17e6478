/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Hand-off between workers: packets to the owner of their session, deliveries to the owner of the recipient's session, results back to
 * the owner of the record. One ring per receiving worker, filled in bursts.
 *
 * Thread-safety: the ring has many producers (all other workers) and one consumer (its worker). A batch belongs to the sending worker.
 */
#ifndef ROOKERY_DATAPLANE_HANDOFF_H
#define ROOKERY_DATAPLANE_HANDOFF_H

#include "message.h"

#include <rte_mbuf.h>

struct worker;

enum handoff_kind { HANDOFF_PACKET, HANDOFF_DELIVER, HANDOFF_RESULT };

struct handoff_item {
	uint8_t kind;    /* enum handoff_kind */
	uint8_t from;    /* worker that sends it */
	uint8_t part;
	uint8_t outcome; /* RESULT: enum delivery_outcome */
	uint32_t reserved;
	struct record_ref record;     /* DELIVER, RESULT */
	union {
		struct rte_mbuf *packet;       /* PACKET */
		const struct message *message; /* DELIVER */
	};
	session_id_t sid;             /* DELIVER */
};

_Static_assert(sizeof(struct handoff_item) == 32, "two items a cache line");

#define HANDOFF_RING 4096
#define HANDOFF_BATCH 64
/* Deliveries that one worker may have under way at another; beyond it a message goes to the store instead. */
#define HANDOFF_CREDIT 8192

struct handoff_ring {
	struct rte_ring *ring;
};

struct handoff_batch {
	struct rte_ring *ring; /* the receiver's */
	uint32_t count;
	uint32_t deliveries;   /* handed over, result not back yet */
	struct handoff_item items[HANDOFF_BATCH];
};

int handoff_init(struct worker *w, int numa_node);
void handoff_fini(struct worker *w);
/* false: no room (the item is still the caller's). */
bool handoff_put(struct worker *w, uint32_t to, const struct handoff_item *item);
void handoff_flush(struct worker *w);
/* Handles what others handed over. Returns the number of items. */
unsigned handoff_poll(struct worker *w);

#endif
