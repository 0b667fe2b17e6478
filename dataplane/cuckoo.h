/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A hash table for lookups that miss every cache: a bucket is one cache line of three entries, and a key is in one of its two buckets
 * (Pagh and Rodler 2001; buckets: Dietzfelbinger and Weidling 2007). Four of five keys are in the first one, so a lookup in a burst
 * loads 1.2 lines, none of which waits for another. rte_hash loads two, one after the other: bucket, then key.
 *
 * Thread-safety: one writer, any number of readers. A bucket is written between two steps of its version (a seqlock), and what it holds
 * until then lies in `before` meanwhile, for the readers that come: they never wait for the writer, even if it has lost its core
 * inside, and repeat only what it has finished. An entry is copied out whole; nothing of the table is referred to afterwards, so a place is
 * free for another key at once. While an entry moves to its other bucket it is in both.
 */
#ifndef ROOKERY_DATAPLANE_CUCKOO_H
#define ROOKERY_DATAPLANE_CUCKOO_H

#include <rte_prefetch.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define CUCKOO_WAYS 3
#define CUCKOO_BURST 32

/* The key is `first`, which is never 0, or `first` and `second`; the rest is the value. */
struct cuckoo_entry {
	uint64_t first;
	uint64_t second;
	uint32_t third;
};

enum cuckoo_kind { CUCKOO_SINGLE, CUCKOO_PAIR };

/* Writer: the writer; read by all. */
struct cuckoo_bucket {
	_Atomic uint32_t version; /* odd: it is being written, readers look at `before` */
	_Atomic uint32_t third[CUCKOO_WAYS];
	_Atomic uint64_t first[CUCKOO_WAYS]; /* 0: free, and so are the others */
	_Atomic uint64_t second[CUCKOO_WAYS];
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct cuckoo_bucket) == 64, "a bucket is a cache line");

/*
 * A keyed hash: multilinear (Carter and Wegman 1979; Lemire and Kaser 2014), of 32-bit words with random 64-bit keys, which never leave
 * the process; then a bijection, so that neighbouring ids do not get neighbouring buckets. Users' ids are small numbers that the server
 * chose, but `to` of a conversation is whatever a client writes: with a public hash one client could pile its pairs into one bucket.
 */
struct cuckoo_hash {
	uint64_t word[4];
	uint64_t offset;
};

struct cuckoo {
	struct cuckoo_hash hash;       /* constant, and the next two */
	struct cuckoo_bucket *buckets;
	uint32_t bucket_count;
	enum cuckoo_kind kind;
	uint32_t limit; /* constant; writer's, as the next */
	uint32_t count;
	struct cuckoo_bucket before; /* of the bucket that is being written */
};

/* Room for `limit` keys. Returns 0, -ENOMEM or -EIO; cuckoo_fini in either case. */
int cuckoo_init(struct cuckoo *c, enum cuckoo_kind kind, uint32_t limit, int numa_node);
void cuckoo_fini(struct cuckoo *c);

/* ---- writer ---- */
/* Adds the entry, or replaces the one of its key. -ENOSPC: there are `limit` others, or (which a limit far below the places makes all but
 * impossible) none of them can make room. */
int cuckoo_set(struct cuckoo *c, const struct cuckoo_entry *e);
/* False: there was none. */
bool cuckoo_del(struct cuckoo *c, uint64_t first, uint64_t second);
/* The first entry from a place on that `random` says. False: the table is empty. */
bool cuckoo_any(const struct cuckoo *c, uint32_t random, struct cuckoo_entry *out);
/* Each entry is where it is looked for, once, and counted. For tests. */
bool cuckoo_check(const struct cuckoo *c);

/* ---- readers ---- */

/* The upper half says the one bucket, the lower half the other. */
static inline uint64_t
cuckoo_hash(const struct cuckoo_hash *h, uint64_t first, uint64_t second)
{
	uint64_t x = h->offset + h->word[0] * (uint32_t)first + h->word[1] * (first >> 32) + h->word[2] * (uint32_t)second +
		     h->word[3] * (second >> 32);

	x ^= x >> 32;
	x *= UINT64_C(0xd6e8feb86659fd93);
	x ^= x >> 32;
	x *= UINT64_C(0xd6e8feb86659fd93);
	x ^= x >> 32;
	return x;
}

static inline uint64_t
cuckoo_hash_of(const struct cuckoo *c, enum cuckoo_kind kind, uint64_t first, uint64_t second)
{
	return cuckoo_hash(&c->hash, first, kind == CUCKOO_PAIR ? second : 0);
}

static inline struct cuckoo_bucket *
cuckoo_first_bucket(const struct cuckoo *c, uint64_t hash)
{
	return &c->buckets[(hash >> 32) * c->bucket_count >> 32];
}

static inline struct cuckoo_bucket *
cuckoo_second_bucket(const struct cuckoo *c, uint64_t hash)
{
	struct cuckoo_bucket *b = &c->buckets[(hash & UINT32_MAX) * c->bucket_count >> 32];

	if (b != cuckoo_first_bucket(c, hash))
		return b;
	return b + 1 == &c->buckets[c->bucket_count] ? c->buckets : b + 1;
}

/* The place of the key in the bucket, CUCKOO_WAYS if it has none. */
static inline unsigned
cuckoo_way(const struct cuckoo_bucket *b, enum cuckoo_kind kind, uint64_t first, uint64_t second)
{
	unsigned found = 1u << CUCKOO_WAYS;

	/* without branches: which place it is nobody can predict */
	for (unsigned i = 0; i < CUCKOO_WAYS; i++)
		found |= (unsigned)(atomic_load_explicit(&b->first[i], memory_order_acquire) == first &&
				    (kind == CUCKOO_SINGLE || atomic_load_explicit(&b->second[i], memory_order_acquire) == second))
			 << i;
	return (unsigned)__builtin_ctz(found);
}

/* Looks into one bucket, as it is at the time of the version. */
static inline bool
cuckoo_look(const struct cuckoo *c, const struct cuckoo_bucket *b, enum cuckoo_kind kind, struct cuckoo_entry *e, uint32_t *version)
{
	struct cuckoo_entry found = *e;
	const struct cuckoo_bucket *from;
	unsigned way;

	/* All loads are acquires and all stores releases: who sees anything of a later writing also sees its step of the version. */
	do {
		*version = atomic_load_explicit(&b->version, memory_order_acquire);
		from = *version & 1 ? &c->before : b;
		way = cuckoo_way(from, kind, e->first, e->second);
		if (way < CUCKOO_WAYS) {
			found.second = atomic_load_explicit(&from->second[way], memory_order_acquire);
			found.third = atomic_load_explicit(&from->third[way], memory_order_acquire);
		}
	} while (atomic_load_explicit(&b->version, memory_order_relaxed) != *version);
	if (way == CUCKOO_WAYS || e->first == 0)
		return false;
	*e = found;
	return true;
}

/* Completes an entry by its key. False: there is none. */
static inline bool
cuckoo_find(const struct cuckoo *c, enum cuckoo_kind kind, uint64_t hash, struct cuckoo_entry *e)
{
	const struct cuckoo_bucket *first = cuckoo_first_bucket(c, hash);
	uint32_t version, ignored;

	do {
		if (cuckoo_look(c, first, kind, e, &version) ||
		    cuckoo_look(c, cuckoo_second_bucket(c, hash), kind, e, &ignored))
			return true;
		/* It may have moved from the second to the first meanwhile. */
	} while (atomic_load_explicit(&first->version, memory_order_relaxed) != version);
	return false;
}

/* The same for n keys, CUCKOO_BURST at most. Returns a bit for each that was found. */
static inline uint32_t
cuckoo_find_burst(const struct cuckoo *c, enum cuckoo_kind kind, struct cuckoo_entry *e, uint32_t n)
{
	uint64_t hash[CUCKOO_BURST];
	uint32_t found = 0, version;

	for (uint32_t i = 0; i < n; i++) {
		hash[i] = cuckoo_hash_of(c, kind, e[i].first, e[i].second);
		rte_prefetch0(cuckoo_first_bucket(c, hash[i]));
	}
	for (uint32_t i = 0; i < n; i++) {
		if (cuckoo_look(c, cuckoo_first_bucket(c, hash[i]), kind, &e[i], &version))
			found |= UINT32_C(1) << i;
		else
			rte_prefetch0(cuckoo_second_bucket(c, hash[i]));
	}
	for (uint32_t left = ~found & (uint32_t)((UINT64_C(1) << n) - 1); left != 0; left &= left - 1) {
		uint32_t i = (uint32_t)__builtin_ctz(left);

		if (cuckoo_find(c, kind, hash[i], &e[i]))
			found |= UINT32_C(1) << i;
	}
	return found;
}

#endif
