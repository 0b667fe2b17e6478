/* SPDX-License-Identifier: BSD-3-Clause */
#include "keycache.h"

#include <rte_common.h>
#include <rte_malloc.h>
#include <rte_prefetch.h>
#include <sodium.h>
#include <stdbool.h>

#define HAND_STEPS 32

/* Places: the entries; then the passing ones, written round and round; then one of random keys. */
struct keycache {
	uint8_t *used;     /* per place: since the hand came by */
	struct aead_key *keys; /* with their sessions' tags, 0: free */
	uint32_t entries;
	uint32_t taken;    /* entries below were used once */
	uint32_t hand;     /* of the clock that looks for an entry to give away */
	uint32_t passing;  /* next one */
	uint64_t misses;
};

static uint32_t
random_place(const struct keycache *c)
{
	return c->entries + KEYCACHE_PASSING;
}

void
keycache_wipe(struct keycache *c)
{
	/* Places that were never taken hold nothing, and may not even be memory yet. */
	for (uint32_t i = 0; c->keys != NULL && i <= random_place(c); i++)
		if (i < c->taken || i >= c->entries)
			aead_key_clear(&c->keys[i]);
}

void
keycache_free(struct keycache *c)
{
	if (c == NULL)
		return;
	keycache_wipe(c);
	rte_free(c->keys);
	rte_free(c->used);
	rte_free(c);
}

static int
random_key(struct aead_key *k)
{
	uint8_t raw[AEAD_KEY];
	int rc;

	randombytes_buf(raw, sizeof(raw));
	rc = aead_key_set(k, raw);
	sodium_memzero(raw, sizeof(raw));
	return rc;
}

struct keycache *
keycache_new(uint32_t entries, int numa_node)
{
	uint32_t places = entries + KEYCACHE_PASSING + 1;
	struct keycache *c;

	if (entries < KEYCACHE_ENTRIES_MIN || (entries & (entries - 1)) != 0)
		return NULL;
	c = rte_zmalloc_socket("keycache", sizeof(*c), RTE_CACHE_LINE_SIZE, numa_node);
	if (c == NULL)
		return NULL;
	c->entries = entries;
	c->used = rte_zmalloc_socket("keycache-used", places * sizeof(*c->used), RTE_CACHE_LINE_SIZE, numa_node);
	/* Zeroed: aead_key_set and aead_key_clear accept such a key. */
	c->keys = rte_zmalloc_socket("keycache-keys", places * sizeof(*c->keys), _Alignof(struct aead_key), numa_node);
	if (c->used == NULL || c->keys == NULL || random_key(&c->keys[random_place(c)]) != 0) {
		keycache_free(c);
		return NULL;
	}
	return c;
}

static inline bool
is_at(const struct keycache *c, uint64_t tag, uint32_t place)
{
	return place < random_place(c) && c->keys[place].tag == tag;
}

/* Clock algorithm: an entry not used since the hand came by last; if there is none near, one that was. */
static uint32_t
entry_to_give(struct keycache *c)
{
	uint32_t i = 0;

	for (unsigned n = 0; n < HAND_STEPS; n++) {
		i = c->hand;
		c->hand = (i + 1) & (c->entries - 1);
		if (!c->used[i])
			break;
		c->used[i] = 0;
	}
	return i;
}

/* While all entries are taken only one miss in 16 is admitted. Traffic over far more sessions than there are entries would
 * otherwise turn the whole cache over, 1 KB of cold memory for each packet, and push out what is in use; a session that is hot
 * comes in soon enough. The others have a place that is always warm, for the answer to what was opened with it. */
static uint32_t
place_for_new(struct keycache *c)
{
	uint32_t place;

	if (c->taken < c->entries)
		return c->taken++;
	if ((uint32_t)c->misses * UINT32_C(0x9e3779b1) >> 28 == 0)
		return entry_to_give(c);
	place = c->entries + c->passing;
	c->passing = (c->passing + 1) % KEYCACHE_PASSING;
	return place;
}

static struct aead_key *
expand(struct keycache *c, uint64_t tag, const struct session_keys *keys, uint32_t *place)
{
	uint32_t i;

	c->misses++;
	i = place_for_new(c);
	if (aead_key_set(&c->keys[i], keys->key) != 0) {
		aead_key_clear(&c->keys[i]);
		return &c->keys[random_place(c)];
	}
	c->keys[i].tag = tag;
	c->used[i] = 1;
	*place = i;
	return &c->keys[i];
}

struct aead_key *
keycache_get(struct keycache *c, uint64_t tag, const struct session_keys *keys, uint32_t *place)
{
	if (unlikely(!is_at(c, tag, *place)))
		return expand(c, tag, keys, place);
	c->used[*place] = 1;
	return &c->keys[*place];
}

void
keycache_prefetch(const struct keycache *c, uint32_t place, size_t len)
{
	if (place < random_place(c))
		aead_prefetch(&c->keys[place], len);
}

void
keycache_drop(struct keycache *c, uint64_t tag, uint32_t *place)
{
	if (is_at(c, tag, *place)) {
		aead_key_clear(&c->keys[*place]);
		c->used[*place] = 0;
	}
	*place = KEYCACHE_NOWHERE;
}

uint64_t
keycache_misses(const struct keycache *c)
{
	return c->misses;
}
