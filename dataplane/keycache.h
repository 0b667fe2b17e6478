/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Expanded AES keys of hot sessions: a bounded cache per worker. A key lives in the session raw (16 bytes); expanded it
 * takes 1 KB and 400 cycles. The session also keeps the place of its expanded key, so that finding it costs no search; what lies
 * there says whose it is.
 *
 * Thread-safety: one worker.
 */
#ifndef ROOKERY_DATAPLANE_KEYCACHE_H
#define ROOKERY_DATAPLANE_KEYCACHE_H

#include "shared/session_keys.h"

#include <stddef.h>
#include <stdint.h>

#define KEYCACHE_ENTRIES_MIN 8
/* Beside the entries: the keys of so many expansions that were not admitted, in their brief form. As many as a burst has senders and
 * recipients, and so few that they stay in the first cache. */
#define KEYCACHE_PASSING 64

/* Place of a key that was never expanded. Any other value is as good: a place is a hint. */
#define KEYCACHE_NOWHERE UINT32_MAX

struct keycache;

/* The key of an entry or one that passes; the other is NULL. Both: the cipher library found no memory (ipsec-mb needs none), so
 * nothing opens, and what is sealed is empty. */
struct cached_key {
	struct aead_key *entry;
	struct aead_brief *passing;
};

/* entries: a power of two, at least KEYCACHE_ENTRIES_MIN. NULL without memory or for another number. EAL must be up. */
struct keycache *keycache_new(uint32_t entries, int numa_node);
void keycache_free(struct keycache *c); /* wipes all keys */
void keycache_wipe(struct keycache *c); /* all keys; for nothing but keycache_free or the end of the process */
/* The expanded key of the session with this tag (unique per session and epoch, never 0); on a miss it is expanded, and *place
 * changes. Valid until the next call. */
struct cached_key keycache_get(struct keycache *c, uint64_t tag, const struct session_keys *keys, uint32_t *place);
/* Starts loading the key at place for sealing or opening len bytes, whosever it is by now: to ask would be to wait for it. */
void keycache_prefetch(const struct keycache *c, uint32_t place, size_t len);
/* Wipes the key if it is there (session removed). */
void keycache_drop(struct keycache *c, uint64_t tag, uint32_t *place);
uint64_t keycache_misses(const struct keycache *c);

/* A DATA packet whose text of length bytes lies between header and tag; in place. cached_key_open: 0 or -EBADMSG. */
void cached_key_seal(struct cached_key k, const uint8_t nonce[AEAD_NONCE], uint8_t *packet, size_t length);
int cached_key_open(struct cached_key k, const uint8_t nonce[AEAD_NONCE], uint8_t *packet, size_t length);

#endif
