/* SPDX-License-Identifier: BSD-3-Clause */
#include "keycache.h"

#include <rte_common.h>
#include <rte_malloc.h>
#include <rte_prefetch.h>
#include <sodium.h>
#include <stdbool.h>

/* Which keys of an entry are expanded. */
enum { RX = 1, TX = 2 };

/* Eight ways: sessions that are hot at random places of the table (not densely, as slots are given out) must not crowd
 * each other out; of 4,096 among 1,024 sets of 4 a fifth would. */
struct keycache_set {
	uint64_t tag[KEYCACHE_WAYS];  /* 0: free */
	uint32_t used[KEYCACHE_WAYS]; /* clock at last use; when it wraps, a wrong way goes first, no more */
	uint8_t ready[KEYCACHE_WAYS]; /* RX, TX */
} __rte_cache_aligned;

_Static_assert(sizeof(struct keycache_set) == 2 * RTE_CACHE_LINE_SIZE, "a lookup loads two lines");

struct keycache {
	struct keycache_set *sets;
	struct keycache_entry *entries; /* KEYCACHE_WAYS per set; one more with random keys, one for expand_once */
	uint64_t once[2];               /* tags of the latter's keys: TX, RX */
	uint32_t clock;                 /* lookups */
	uint64_t misses;
	uint32_t mask;                  /* sets - 1 */
	uint32_t count;                 /* entries, without the two more */
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
	for (uint32_t i = 0; c->entries != NULL && i <= c->count + 1; i++)
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
	c->entries = rte_zmalloc_socket("keycache-keys", (entries + 2) * sizeof(*c->entries),
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

/* Expands what is wanted and not there. A key that is there and another session's is wiped, not left behind. */
static struct keycache_entry *
expand(struct keycache *c, uint32_t s, unsigned way, uint64_t tag, const struct session_keys *keys, uint8_t want)
{
	struct keycache_set *set = &c->sets[s];
	struct keycache_entry *e = &c->entries[s * KEYCACHE_WAYS + way];
	uint8_t have = set->tag[way] == tag ? set->ready[way] : 0;
	uint8_t missing = (uint8_t)(want & ~have);
	uint8_t stale = (uint8_t)(set->ready[way] & ~have & ~want);

	c->misses++;
	if (stale & RX)
		aead_key_clear(&e->rx);
	if (stale & TX)
		aead_key_clear(&e->tx);
	if ((missing & RX && aead_key_set(&e->rx, keys->client_to_server) != 0) ||
	    (missing & TX && aead_key_set(&e->tx, keys->server_to_client) != 0)) {
		set->tag[way] = 0;
		set->ready[way] = 0;
		wipe(e);
		return &c->entries[c->count];
	}
	set->tag[way] = tag;
	set->used[way] = c->clock;
	set->ready[way] = have | want;
	return e;
}

/* A key for one packet of a session that is not admitted: into memory that is always warm. */
static struct keycache_entry *
expand_once(struct keycache *c, uint64_t tag, const struct session_keys *keys, uint8_t want)
{
	struct keycache_entry *e = &c->entries[c->count + 1];
	int rc;

	c->misses++;
	c->once[want & RX] = tag;
	rc = want & RX ? aead_key_set(&e->rx, keys->client_to_server) : aead_key_set(&e->tx, keys->server_to_client);
	return rc == 0 ? e : &c->entries[c->count];
}

/* Into a full set only one miss in 16 is admitted. Traffic over far more sessions than there are entries would otherwise
 * turn the whole cache over, 2 KB of cold memory for each packet, and push out what is in use; a session that is hot
 * comes in soon enough. */
static bool
admitted(const struct keycache *c, const struct keycache_set *set, unsigned way)
{
	return set->tag[way] == 0 || c->clock * UINT32_C(0x9e3779b1) >> 28 == 0;
}

static struct keycache_entry *
get(struct keycache *c, uint64_t tag, const struct session_keys *keys, uint8_t want)
{
	uint32_t s = set_index(c, tag);
	struct keycache_set *set = &c->sets[s];
	unsigned oldest;

	c->clock++;
	for (unsigned way = 0; way < KEYCACHE_WAYS; way++) {
		if (set->tag[way] == tag) {
			set->used[way] = c->clock;
			if ((set->ready[way] & want) == want)
				return &c->entries[s * KEYCACHE_WAYS + way];
			return expand(c, s, way, tag, keys, want);
		}
	}
	oldest = victim(set);
	if (want != (RX | TX) && !admitted(c, set, oldest))
		return expand_once(c, tag, keys, want);
	return expand(c, s, oldest, tag, keys, want);
}

struct keycache_entry *
keycache_get(struct keycache *c, uint64_t tag, const struct session_keys *keys)
{
	return get(c, tag, keys, RX | TX);
}

struct aead_key *
keycache_rx(struct keycache *c, uint64_t tag, const struct session_keys *keys)
{
	return &get(c, tag, keys, RX)->rx;
}

struct aead_key *
keycache_tx(struct keycache *c, uint64_t tag, const struct session_keys *keys)
{
	return &get(c, tag, keys, TX)->tx;
}

void
keycache_prefetch(const struct keycache *c, uint64_t tag)
{
	rte_prefetch0(c->sets[set_index(c, tag)].tag);
	rte_prefetch0(c->sets[set_index(c, tag)].used);
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
			set->ready[way] = 0;
			wipe(&c->entries[s * KEYCACHE_WAYS + way]);
		}
	}
	if (c->once[RX] == tag)
		aead_key_clear(&c->entries[c->count + 1].rx);
	if (c->once[0] == tag)
		aead_key_clear(&c->entries[c->count + 1].tx);
}

uint64_t
keycache_misses(const struct keycache *c)
{
	return c->misses;
}
