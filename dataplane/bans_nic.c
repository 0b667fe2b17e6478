/* SPDX-License-Identifier: BSD-3-Clause */
#include "bans_nic.h"

#include "shared/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct nic_ban {
	struct prefix prefix;
	uint8_t refused; /* bit per port */
	void *rule[PORT_MAX];
};

_Static_assert(PORT_MAX <= 8, "refused has a bit for each port");

int
bans_nic_init(struct bans_nic *n, struct port *ports, unsigned port_count, uint32_t limit, struct ipc_bans *shared)
{
	*n = (struct bans_nic){.ports = ports, .port_count = port_count, .limit = limit, .shared = shared};
	for (unsigned p = 0; p < port_count; p++)
		n->unable[p] = limit == 0 || ports[p].ops->ban == NULL;
	atomic_store_explicit(&shared->ports, port_count, memory_order_relaxed);
	n->list = calloc(BANS_MAX, sizeof(*n->list));
	n->old = calloc(BANS_MAX, sizeof(*n->old));
	if (n->list != NULL && n->old != NULL)
		return 0;
	bans_nic_fini(n);
	return -ENOMEM;
}

void
bans_nic_fini(struct bans_nic *n)
{
	free(n->list);
	free(n->old);
	n->list = n->old = NULL;
}

uint64_t
bans_nic_held(const struct bans_nic *n)
{
	uint64_t held = 0;

	for (unsigned p = 0; p < n->port_count; p++)
		held += n->held[p];
	return held;
}

/* ---- a new list ------------------------------------------------------------------------ */

static uint8_t
rules_of(const struct nic_ban *b)
{
	uint8_t count = 0;

	for (unsigned p = 0; p < PORT_MAX; p++)
		count += b->rule[p] != NULL;
	return count;
}

/* Whoever is in both lists keeps its rules. Control's lists are in order; in others rules are made anew. */
static void
rules_keep(struct nic_ban *list, uint32_t count, struct nic_ban *old, uint32_t old_count)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < count; i++) {
		while (at < old_count && memcmp(&old[at].prefix, &list[i].prefix, sizeof(struct prefix)) < 0)
			at++;
		if (at == old_count || memcmp(&old[at].prefix, &list[i].prefix, sizeof(struct prefix)) != 0)
			continue;
		list[i] = old[at];
		memset(old[at++].rule, 0, sizeof(old->rule));
	}
}

static void
list_take(struct bans_nic *n, const struct prefix *prefixes, uint32_t count, uint64_t version)
{
	struct nic_ban *list = n->old;

	/* Control reads counts of the version before, or none. */
	atomic_store_explicit(&n->shared->version, 0, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	n->old = n->list;
	n->old_count = n->count;
	n->list = list;
	n->count = count;
	n->asked = n->ended = 0;
	memset(list, 0, count * sizeof(*list));
	for (uint32_t i = 0; i < count; i++)
		list[i].prefix = prefixes[i];
	rules_keep(list, count, n->old, n->old_count);
	for (uint32_t i = 0; i < count; i++)
		atomic_store_explicit(&n->shared->nic[i], rules_of(&list[i]), memory_order_relaxed);
	atomic_store_explicit(&n->shared->version, version, memory_order_release);
	n->version = version;
}

/* ---- rules ----------------------------------------------------------------------------- */

static unsigned
rules_end(struct bans_nic *n, struct nic_ban *b)
{
	unsigned done = 0;

	for (unsigned p = 0; p < n->port_count; p++) {
		if (b->rule[p] == NULL)
			continue;
		n->ports[p].ops->ban_end(&n->ports[p], b->rule[p]);
		b->rule[p] = NULL;
		n->held[p]--;
		n->room = true;
		done++;
	}
	return done;
}

static void
refuse(struct bans_nic *n, struct nic_ban *b, unsigned p, int rc)
{
	char text[PREFIX_STRLEN];

	b->refused |= (uint8_t)(1 << p);
	if (rc == -ENOSYS) {
		n->unable[p] = true; /* as most virtual ones: not worth a word */
		return;
	}
	if (n->refused++ == 0)
		log_info(bans, "a device does not drop this itself: the workers do", "port=%u prefix=%s reason=\"%s\"", p,
			 prefix_format(&b->prefix, text), strerror(-rc));
}

static unsigned
rules_ask(struct bans_nic *n, uint32_t i)
{
	struct nic_ban *b = &n->list[i];
	unsigned done = 0;

	for (unsigned p = 0; p < n->port_count; p++) {
		int rc;

		if (n->unable[p] || b->rule[p] != NULL || (b->refused & 1 << p) != 0 || n->held[p] == n->limit)
			continue;
		rc = n->ports[p].ops->ban(&n->ports[p], &b->prefix, &b->rule[p]);
		if (rc == 0)
			n->held[p]++;
		else
			refuse(n, b, p, rc);
		done++;
	}
	if (done != 0)
		atomic_store_explicit(&n->shared->nic[i], rules_of(b), memory_order_relaxed);
	return done;
}

unsigned
bans_nic_poll(struct bans_nic *n, const struct bans *bans)
{
	const struct prefix *list = bans_list(bans);
	unsigned done = 0;

	if (n->version != bans->version && n->ended == n->old_count && list != NULL)
		list_take(n, list, bans->count, bans->version);
	while (n->ended < n->old_count && done < BANS_NIC_BURST)
		done += rules_end(n, &n->old[n->ended++]);
	/* What was refused is asked again once there is room. */
	if (n->room && n->ended == n->old_count) {
		n->room = false;
		for (uint32_t i = 0; i < n->count; i++)
			n->list[i].refused = 0;
	}
	while (n->ended == n->old_count && n->asked < n->count && done < BANS_NIC_BURST)
		done += rules_ask(n, n->asked++);
	return done;
}
