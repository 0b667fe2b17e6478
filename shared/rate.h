/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Token buckets as one number: GCRA (ITU-T I.371), the theoretical arrival time of the next event. Zero is a full bucket,
 * so zeroed memory needs no set-up, and nothing has to be refilled.
 *
 * struct rate_table keeps them for keys that strangers choose: fixed size, four places to a cache line, SipHash under a secret.
 * A place is taken for a new key from the bucket that is nearest to full, so who is deepest in debt is remembered longest.
 * Errors go one way only: who is pushed out is let pass too early; nobody pays for another, as in a sketch whose cells are
 * shared, but for a collision of 64-bit tags.
 *
 * Thread-safety: none; a table belongs to one thread.
 */
#ifndef ROOKERY_SHARED_RATE_H
#define ROOKERY_SHARED_RATE_H

#include "address.h"

#include <stddef.h>
#include <stdint.h>

struct rate {
	uint64_t interval_ns;  /* between events; 0: no limit */
	uint64_t tolerance_ns; /* how early an event may be: burst - 1 intervals */
};

/* `events` (0: no limit) in period_ms, `burst` (at least 1) of them at once. */
struct rate rate_make(uint64_t events, uint64_t period_ms, uint64_t burst);

/* Microseconds until an event passes; 0: now. */
static inline uint64_t
rate_wait(const uint64_t *bucket, const struct rate *r, uint64_t now_us)
{
	uint64_t now_ns = now_us * 1000;

	if (r->interval_ns == 0 || *bucket <= now_ns + r->tolerance_ns)
		return 0;
	return (*bucket - now_ns - r->tolerance_ns + 999) / 1000;
}

/* The event happens: to be called when rate_wait was 0. */
static inline void
rate_pay(uint64_t *bucket, const struct rate *r, uint64_t now_us)
{
	uint64_t now_ns = now_us * 1000;

	*bucket = (*bucket > now_ns ? *bucket : now_ns) + r->interval_ns;
}

/* 0: passes, and is paid for. Otherwise microseconds to wait, and nothing is paid. */
static inline uint64_t
rate_take(uint64_t *bucket, const struct rate *r, uint64_t now_us)
{
	uint64_t wait = rate_wait(bucket, r, now_us);

	if (wait == 0)
		rate_pay(bucket, r, now_us);
	return wait;
}

#define RATE_WAYS 4

struct rate_place {
	uint64_t tag; /* 0: empty */
	uint64_t bucket;
};

struct rate_set {
	struct rate_place way[RATE_WAYS];
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct rate_set) == 64, "a set is one cache line");

struct rate_table {
	struct rate_set *sets; /* the caller's */
	uint64_t mask;
	uint8_t secret[16];
};

/* sets: zeroed memory for `count` sets, a power of two. Draws the secret. */
void rate_table_init(struct rate_table *t, struct rate_set *sets, uint32_t count);
/* The key's bucket; a full one if the key is not known. Valid until the next call. */
uint64_t *rate_table_bucket(struct rate_table *t, const void *key, size_t len, uint64_t now_us);

/* rate_take for the key's bucket. */
uint64_t rate_table_take(struct rate_table *t, const void *key, size_t len, const struct rate *r, uint64_t now_us);

/* The key of an address's network: IPv4 to bits4 bits, IPv6 to bits6. */
struct rate_prefix {
	uint8_t bits;
	uint8_t ip[16];
};
void rate_prefix(struct rate_prefix *out, const struct endpoint *e, unsigned bits4, unsigned bits6);

#endif
