/* SPDX-License-Identifier: BSD-3-Clause */
#include "keycache.h"

#include <rte_common.h>
#include <rte_malloc.h>
#include <rte_prefetch.h>
#include <sodium.h>

/* All that a lookup reads: one line. */
struct keycache_set {
	uint64_t tag[KEYCACHE_WAYS];  /* 0: free */
	uint64_t used[KEYCACHE_WAYS]; /* clock at last use */
};

_Static_assert(sizeof(struct keycache_set) == RTE_CACHE_LINE_SIZE, "a lookup loads one line");

struct keycache {
	struct keycache_set *sets;
	struct keycache_entry *entries; /* KEYCACHE_WAYS per set; one more, with random keys */
	uint64_t clock;                 /* calls of keycache_get */
	uint64_t misses;
	uint32_t mask;                  /* sets - 1 */
	uint32_t count;                 /* entries, without the one more */
};

/* The low bits as they are: they are the session's slot, slots are given out densely, so as many sessions
 * as there are entries fit without a conflict, where a hash would leave some sets over-full. Clients
 * cannot choose their slots. */
static inline uint32_t
set_index(const struct keycache *c, uint64_t tag)
{
	return (uint32_t)tag & c->mask;
}

static void
wipe(struct keycache_entry *e)
{
	aead_key_clear(&e->rx);
	aead_key_clear(&e->tx);
}

void
keycache_free(struct keycache *c)
{
	if (c == NULL)
		return;
	for (uint32_t i = 0; c->entries != NULL && i <= c->count; i++)
		wipe(&c->entries[i]);
	rte_free(c->entries);
	rte_free(c->sets);
	rte_free(c);
}

static int
random_keys(struct keycache_entry *e)
{
	struct session_keys keys;
	int rc;

	randombytes_buf(&keys, sizeof(keys));
	rc = aead_key_set(&e->rx, keys.client_to_server);
	if (rc == 0)
		rc = aead_key_set(&e->tx, keys.server_to_client);
	sodium_memzero(&keys, sizeof(keys));
	return rc;
}

struct keycache *
keycache_new(uint32_t entries, int numa_node)
{
	uint32_t sets = entries / KEYCACHE_WAYS;
	struct keycache *c;

	if (entries < KEYCACHE_WAYS || (entries & (entries - 1)) != 0)
		return NULL;
	c = rte_zmalloc_socket("keycache", sizeof(*c), RTE_CACHE_LINE_SIZE, numa_node);
	if (c == NULL)
		return NULL;
	c->mask = sets - 1;
	c->count = entries;
	c->sets = rte_zmalloc_socket("keycache-sets", sets * sizeof(*c->sets), RTE_CACHE_LINE_SIZE,
				     numa_node);
	/* Zeroed: aead_key_set and aead_key_clear accept such a key. */
	c->entries = rte_zmalloc_socket("keycache-keys", (entries + 1) * sizeof(*c->entries),
					_Alignof(struct keycache_entry), numa_node);
	if (c->sets == NULL || c->entries == NULL || random_keys(&c->entries[entries]) != 0) {
		keycache_free(c);
		return NULL;
	}
	return c;
}

/* A free way, or the least recently used one. */
static unsigned
victim(const struct keycache_set *set)
{
	unsigned way = 0;

	for (unsigned i = 0; i < KEYCACHE_WAYS; i++) {
		if (set->tag[i] == 0)
			return i;
		if (set->used[i] < set->used[way])
			way = i;
	}
	return way;
}

static struct keycache_entry *
fill(struct keycache *c, uint32_t s, uint64_t tag, const struct session_keys *keys)
{
	struct keycache_set *set = &c->sets[s];
	unsigned way = victim(set);
	struct keycache_entry *e = &c->entries[s * KEYCACHE_WAYS + way];

	c->misses++;
	set->tag[way] = 0;
	if (aead_key_set(&e->rx, keys->client_to_server) != 0 ||
	    aead_key_set(&e->tx, keys->server_to_client) != 0) {
		wipe(e);
		return &c->entries[c->count];
	}
	set->tag[way] = tag;
	set->used[way] = c->clock;
	return e;
}

struct keycache_entry *
keycache_get(struct keycache *c, uint64_t tag, const struct session_keys *keys)
{
	uint32_t s = set_index(c, tag);
	struct keycache_set *set = &c->sets[s];

	c->clock++;
	for (unsigned way = 0; way < KEYCACHE_WAYS; way++) {
		if (set->tag[way] == tag) {
			set->used[way] = c->clock;
			return &c->entries[s * KEYCACHE_WAYS + way];
		}
	}
	return fill(c, s, tag, keys);
}

void
keycache_prefetch(const struct keycache *c, uint64_t tag)
{
	rte_prefetch0(&c->sets[set_index(c, tag)]);
}

/* Leaves the order of use alone. */
static const struct keycache_entry *
peek(const struct keycache *c, uint64_t tag)
{
	uint32_t s = set_index(c, tag);

	for (unsigned way = 0; way < KEYCACHE_WAYS; way++)
		if (c->sets[s].tag[way] == tag)
			return &c->entries[s * KEYCACHE_WAYS + way];
	return NULL;
}

void
keycache_prefetch_rx(const struct keycache *c, uint64_t tag, size_t len)
{
	const struct keycache_entry *e = peek(c, tag);

	if (e != NULL)
		aead_prefetch(&e->rx, len);
}

void
keycache_prefetch_tx(const struct keycache *c, uint64_t tag, size_t len)
{
	const struct keycache_entry *e = peek(c, tag);

	if (e != NULL)
		aead_prefetch(&e->tx, len);
}

void
keycache_drop(struct keycache *c, uint64_t tag)
{
	uint32_t s = set_index(c, tag);
	struct keycache_set *set = &c->sets[s];

	for (unsigned way = 0; way < KEYCACHE_WAYS; way++) {
		if (set->tag[way] == tag) {
			set->tag[way] = 0;
			wipe(&c->entries[s * KEYCACHE_WAYS + way]);
		}
	}
}

uint64_t
keycache_misses(const struct keycache *c)
{
	return c->misses;
}
