/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Expanded AES keys of hot sessions: a bounded, set-associative cache per worker. A key lives in the session
 * raw (16 bytes each way); expanded it takes 1 KB and 350 cycles.
 *
 * Thread-safety: one worker.
 */
#ifndef ROOKERY_DATAPLANE_KEYCACHE_H
#define ROOKERY_DATAPLANE_KEYCACHE_H

#include "shared/session_keys.h"

#include <stddef.h>
#include <stdint.h>

#define KEYCACHE_WAYS 8

struct keycache;

struct keycache_entry {
	struct aead_key rx; /* client to server */
	struct aead_key tx; /* server to client */
};

/* entries: a power of two, at least KEYCACHE_WAYS. NULL without memory or for another number. EAL must be
 * up. */
struct keycache *keycache_new(uint32_t entries, int numa_node);
void keycache_free(struct keycache *c); /* wipes all keys */
/* Expanded keys of the session with this tag (unique per session and epoch, never 0); expands keys into
 * the cache on a miss. Valid until the next keycache_get or keycache_drop that evicts it: use it at once,
 * or within a set's worth of calls (the least recently used of a set goes first, so the last KEYCACHE_WAYS
 * tags asked for are always there). Never NULL: should the cipher library find no memory (ipsec-mb needs
 * none), the keys are ones that nobody knows: nothing opens, and nothing sealed can be read. */
struct keycache_entry *keycache_get(struct keycache *c, uint64_t tag, const struct session_keys *keys);
/* The same for one direction: a session that only receives never pays for the other key. A full set keeps what it has
 * and admits one new tag in 16 (keycache.c says why): use the key at once. */
struct aead_key *keycache_rx(struct keycache *c, uint64_t tag, const struct session_keys *keys);
struct aead_key *keycache_tx(struct keycache *c, uint64_t tag, const struct session_keys *keys);
/* Starts loading the tag's set. */
void keycache_prefetch(const struct keycache *c, uint64_t tag);
/* Once that is there: starts loading the session's keys for opening, or sealing, len bytes. */
void keycache_prefetch_rx(const struct keycache *c, uint64_t tag, size_t len);
void keycache_prefetch_tx(const struct keycache *c, uint64_t tag, size_t len);
/* Wipes the entry if present (session removed). */
void keycache_drop(struct keycache *c, uint64_t tag);
uint64_t keycache_misses(const struct keycache *c);

#endif
