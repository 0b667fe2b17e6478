/* SPDX-License-Identifier: BSD-3-Clause */
#include "bans.h"

#include "shared/counters.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint16_t
bans_drop(struct rte_rib6 *tree, struct rte_mbuf **pkts, uint16_t n, uint64_t *counters)
{
	uint16_t kept = 0;

	for (uint16_t i = 0; i < n; i++) {
		if (rte_rib6_lookup(tree, packet_info(pkts[i])->peer.ip) == NULL) {
			pkts[kept++] = pkts[i];
			continue;
		}
		rte_pktmbuf_free(pkts[i]);
		counters[COUNTER_drop_banned]++;
	}
	return kept;
}

/* ---- writer ---- */

static struct rte_rib6 *
tree_make(const struct prefix *list, uint32_t count)
{
	static _Atomic uint32_t instances; /* each wants a name of its own */
	struct rte_rib6_conf conf = {.max_nodes = (int)(2 * count)}; /* a node for each, and one for each fork */
	char name[32];
	struct rte_rib6 *tree;

	snprintf(name, sizeof(name), "bans-%u", (unsigned)atomic_fetch_add_explicit(&instances, 1, memory_order_relaxed));
	tree = rte_rib6_create(name, SOCKET_ID_ANY, &conf);
	for (uint32_t i = 0; i < count && tree != NULL; i++) {
		if (rte_rib6_lookup_exact(tree, list[i].ip, list[i].bits) != NULL ||
		    rte_rib6_insert(tree, list[i].ip, list[i].bits) != NULL)
			continue;
		rte_rib6_free(tree);
		tree = NULL;
	}
	return tree;
}

/* The list that came in takes the place of the one in force. */
static int
bans_enforce(struct bans *b, struct rte_rcu_qsbr *qsbr)
{
	struct rte_rib6 *tree = NULL;

	if (b->old != NULL)
		return 0; /* two trees at most: bans_reclaim comes back to it */
	b->whole = false;
	if (b->next_count != 0 && (tree = tree_make(b->next, b->next_count)) == NULL)
		return -ENOMEM;
	b->count = b->next_count;
	b->version = b->next_version;
	b->listed = true;
	b->old = atomic_exchange_explicit(&b->tree, tree, memory_order_acq_rel);
	if (b->old != NULL)
		b->old_token = rte_rcu_qsbr_start(qsbr);
	return 0;
}

int
bans_apply(struct bans *b, const struct cell *c, struct rte_rcu_qsbr *qsbr)
{
	if (b->next == NULL && (b->next = calloc(BANS_MAX, sizeof(*b->next))) == NULL)
		return -ENOMEM;
	if (c->bans.first)
		b->next_count = 0;
	b->next_version = c->bans.version;
	b->listed = false;
	b->whole = false;
	if (c->bans.count > BANS_MAX - b->next_count)
		return -EINVAL;
	memcpy(b->next + b->next_count, c->data, c->bans.count * sizeof(*b->next));
	b->next_count += c->bans.count;
	b->whole = c->bans.last;
	return b->whole ? bans_enforce(b, qsbr) : 0;
}

void
bans_reclaim(struct bans *b, struct rte_rcu_qsbr *qsbr)
{
	if (b->old == NULL || rte_rcu_qsbr_check(qsbr, b->old_token, false) != 1)
		return;
	rte_rib6_free(b->old);
	b->old = NULL;
	if (b->whole)
		(void)bans_enforce(b, qsbr);
}

void
bans_fini(struct bans *b)
{
	struct rte_rib6 *tree = bans_tree(b);

	if (tree != NULL)
		rte_rib6_free(tree);
	if (b->old != NULL)
		rte_rib6_free(b->old);
	free(b->next);
}
