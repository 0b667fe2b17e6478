/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Addresses whose packets are dropped before anything else is done with them: no state, no cipher, no answer.
 *
 * rte_rib6, with IPv4 as IPv4-mapped addresses, because it takes memory for what is banned only: rte_lpm6 and rte_fib6
 * begin with a table of 2^24 entries. A change makes a new tree; nothing is changed in one that workers see.
 *
 * Thread-safety: one writer (the tables' one); workers read `tree` alone, once per burst, between two quiescent states.
 */
#ifndef ROOKERY_DATAPLANE_BANS_H
#define ROOKERY_DATAPLANE_BANS_H

#include "packet.h"
#include "shared/cell.h"

#include <rte_rcu_qsbr.h>
#include <rte_rib6.h>
#include <stdatomic.h>

struct bans {
	_Atomic(struct rte_rib6 *) tree; /* writer; workers read. NULL: nobody is banned */
	/* writer alone: */
	struct rte_rib6 *old; /* waits until no worker can see it */
	uint64_t old_token;
	struct prefix *next;  /* the list that comes in, [BANS_MAX] once one came */
	uint32_t next_count;
	uint64_t next_version;
	uint64_t version;     /* of the list in force */
	uint32_t count;       /* in the tree */
	bool whole;           /* next is, and not in force yet */
	bool listed;          /* next is what is in force */
};

static inline struct rte_rib6 *
bans_tree(const struct bans *b)
{
	return atomic_load_explicit(&b->tree, memory_order_acquire);
}

/* Drops and counts those of pkts that come from banned addresses. Returns how many are left. */
uint16_t bans_drop(struct rte_rib6 *tree, struct rte_mbuf **pkts, uint16_t n, uint64_t *counters);

/* ---- writer ---- */

/* TABLE_BANS. 0 or -EINVAL, -ENOMEM: what was in force is kept. */
int bans_apply(struct bans *b, const struct cell *c, struct rte_rcu_qsbr *qsbr);
/* Frees the old tree when it can be, and brings a list that waited for that into force. Call now and then. */
void bans_reclaim(struct bans *b, struct rte_rcu_qsbr *qsbr);
/* What is in force, until the next bans_apply. NULL while another list comes in. */
static inline const struct prefix *
bans_list(const struct bans *b)
{
	return b->listed ? b->next : NULL;
}
/* No reader is left. */
void bans_fini(struct bans *b);

#endif
