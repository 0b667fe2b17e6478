/* SPDX-License-Identifier: BSD-3-Clause */
#include "keycache.h"

#include "shared/wire.h"

#include <errno.h>
#include <rte_common.h>
#include <rte_malloc.h>
#include <stdbool.h>
#include <string.h>

#define HAND_STEPS 32

/* Places: the entries; behind them the passing ones, which are written round and round. Each key is marked with its session's tag,
 * 0: free. */
struct keycache {
	uint8_t *used; /* per entry: since the hand came by; apart from the keys, or the hand would read a cold line at each step */
	struct aead_key *keys;
	struct aead_brief *passing;
	uint32_t entries;
	uint32_t taken; /* entries below were used once */
	uint32_t hand;  /* of the clock that looks for an entry to give away */
	uint32_t next;  /* passing place to write */
	uint64_t misses;
};

void
keycache_wipe(struct keycache *c)
{
	/* Entries that were never taken hold nothing, and may not even be memory yet. */
	for (uint32_t i = 0; c->keys != NULL && i < c->taken; i++)
		aead_key_clear(&c->keys[i]);
	for (uint32_t i = 0; c->passing != NULL && i < KEYCACHE_PASSING; i++)
		aead_brief_clear(&c->passing[i]);
}

void
keycache_free(struct keycache *c)
{
	if (c == NULL)
		return;
	keycache_wipe(c);
	rte_free(c->used);
	rte_free(c->keys);
	rte_free(c->passing);
	rte_free(c);
}

struct keycache *
keycache_new(uint32_t entries, int numa_node)
{
	struct keycache *c;

	if (entries < KEYCACHE_ENTRIES_MIN || (entries & (entries - 1)) != 0)
		return NULL;
	c = rte_zmalloc_socket("keycache", sizeof(*c), RTE_CACHE_LINE_SIZE, numa_node);
	if (c == NULL)
		return NULL;
	c->entries = entries;
	c->used = rte_zmalloc_socket("keycache-used", entries * sizeof(*c->used), RTE_CACHE_LINE_SIZE, numa_node);
	/* Zeroed: what sets and clears keys accepts such ones. */
	c->keys = rte_zmalloc_socket("keycache-keys", entries * sizeof(*c->keys), _Alignof(struct aead_key), numa_node);
	c->passing = rte_zmalloc_socket("keycache-passing", KEYCACHE_PASSING * sizeof(*c->passing), _Alignof(struct aead_brief),
					numa_node);
	if (c->used == NULL || c->keys == NULL || c->passing == NULL) {
		keycache_free(c);
		return NULL;
	}
	return c;
}

static inline struct aead_brief *
passing_at(const struct keycache *c, uint32_t place)
{
	return place - c->entries < KEYCACHE_PASSING ? &c->passing[place - c->entries] : NULL;
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
static bool
admitted(const struct keycache *c)
{
	return c->taken < c->entries || (uint32_t)c->misses * UINT32_C(0x9e3779b1) >> 28 == 0;
}

static struct cached_key
expand_entry(struct keycache *c, uint64_t tag, const struct session_keys *keys, uint32_t *place)
{
	uint32_t i = c->taken < c->entries ? c->taken++ : entry_to_give(c);
	struct aead_key *k = &c->keys[i];

	if (aead_key_set(k, keys->key) != 0) {
		aead_key_clear(k);
		return (struct cached_key){NULL, NULL};
	}
	k->owner = tag;
	c->used[i] = 1;
	*place = i;
	return (struct cached_key){.entry = k};
}

static struct cached_key
expand_passing(struct keycache *c, uint64_t tag, const struct session_keys *keys, uint32_t *place)
{
	struct aead_brief *k = &c->passing[c->next];

	if (aead_brief_set(k, keys->key) != 0) {
		aead_brief_clear(k);
		return (struct cached_key){NULL, NULL};
	}
	k->owner = tag;
	*place = c->entries + c->next;
	c->next = (c->next + 1) % KEYCACHE_PASSING;
	return (struct cached_key){.passing = k};
}

struct cached_key
keycache_get(struct keycache *c, uint64_t tag, const struct session_keys *keys, uint32_t *place)
{
	struct aead_brief *passing;

	if (likely(*place < c->entries)) {
		struct aead_key *k = &c->keys[*place];

		if (likely(k->owner == tag)) {
			c->used[*place] = 1;
			return (struct cached_key){.entry = k};
		}
	} else {
		passing = passing_at(c, *place);
		if (passing != NULL && passing->owner == tag)
			return (struct cached_key){.passing = passing};
	}
	c->misses++;
	return admitted(c) ? expand_entry(c, tag, keys, place) : expand_passing(c, tag, keys, place);
}

void
keycache_prefetch(const struct keycache *c, uint32_t place, size_t len)
{
	if (place < c->entries)
		aead_prefetch(&c->keys[place], len);
}

void
keycache_drop(struct keycache *c, uint64_t tag, uint32_t *place)
{
	struct aead_brief *passing = passing_at(c, *place);

	if (*place < c->entries && c->keys[*place].owner == tag)
		aead_key_clear(&c->keys[*place]);
	else if (passing != NULL && passing->owner == tag)
		aead_brief_clear(passing);
	*place = KEYCACHE_NOWHERE;
}

uint64_t
keycache_misses(const struct keycache *c)
{
	return c->misses;
}

void
cached_key_seal(struct cached_key k, const uint8_t nonce[AEAD_NONCE], uint8_t *packet, size_t length)
{
	uint8_t *text = packet + WIRE_DATA_HEADER;

	if (likely(k.entry != NULL))
		aead_seal(k.entry, nonce, packet, WIRE_DATA_HEADER, text, length, text, text + length);
	else if (k.passing != NULL)
		aead_brief_seal(k.passing, nonce, packet, WIRE_DATA_HEADER, text, length, text, text + length);
	else
		memset(text, 0, length + WIRE_TAG);
}

int
cached_key_open(struct cached_key k, const uint8_t nonce[AEAD_NONCE], uint8_t *packet, size_t length)
{
	uint8_t *text = packet + WIRE_DATA_HEADER;

	if (likely(k.entry != NULL))
		return aead_open(k.entry, nonce, packet, WIRE_DATA_HEADER, text, length, text, text + length);
	if (k.passing != NULL)
		return aead_brief_open(k.passing, nonce, packet, WIRE_DATA_HEADER, text, length, text, text + length);
	return -EBADMSG;
}
