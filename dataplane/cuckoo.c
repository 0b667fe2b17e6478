/* SPDX-License-Identifier: BSD-3-Clause */
#include "cuckoo.h"

#include <errno.h>
#include <rte_malloc.h>
#include <string.h>
#include <sys/random.h>

/* Four of five places are taken when the table is full. Three ways and two buckets would do up to 95%, but the fuller it is, the more
 * keys are in their second bucket. */
#define PLACES_PER_KEY 5 / 4
#define BUCKETS_MIN 8
#define DEPTH_MAX 5 /* entries that move to make room for one */

int
cuckoo_init(struct cuckoo *c, enum cuckoo_kind kind, uint32_t limit, int numa_node)
{
	*c = (struct cuckoo){
		.kind = kind,
		.limit = limit,
		.bucket_count = (uint32_t)((uint64_t)limit * PLACES_PER_KEY / CUCKOO_WAYS) + BUCKETS_MIN,
	};
	if (getrandom(&c->hash, sizeof(c->hash), 0) != sizeof(c->hash))
		return -EIO;
	c->buckets = rte_zmalloc_socket("cuckoo", (size_t)c->bucket_count * sizeof(*c->buckets), sizeof(*c->buckets), numa_node);
	return c->buckets == NULL ? -ENOMEM : 0;
}

void
cuckoo_fini(struct cuckoo *c)
{
	rte_free(c->buckets);
	c->buckets = NULL;
}

/* ---- one bucket ---- */

static struct cuckoo_entry
entry_at(const struct cuckoo_bucket *b, unsigned way)
{
	return (struct cuckoo_entry){
		.first = atomic_load_explicit(&b->first[way], memory_order_relaxed),
		.second = atomic_load_explicit(&b->second[way], memory_order_relaxed),
		.third = atomic_load_explicit(&b->third[way], memory_order_relaxed),
	};
}

static void
store_entry(struct cuckoo_bucket *b, unsigned way, const struct cuckoo_entry *e)
{
	atomic_store_explicit(&b->first[way], e->first, memory_order_release);
	atomic_store_explicit(&b->second[way], e->second, memory_order_release);
	atomic_store_explicit(&b->third[way], e->third, memory_order_release);
}

/* Puts an entry into a place of a bucket, or, of zeros, frees it. */
static void
bucket_write(struct cuckoo *c, struct cuckoo_bucket *b, unsigned way, const struct cuckoo_entry *e)
{
	uint32_t version = atomic_load_explicit(&b->version, memory_order_relaxed);

	for (unsigned i = 0; i < CUCKOO_WAYS; i++) {
		struct cuckoo_entry was = entry_at(b, i);

		store_entry(&c->before, i, &was);
	}
	atomic_store_explicit(&b->version, version + 1, memory_order_release);
	store_entry(b, way, e);
	atomic_store_explicit(&b->version, version + 2, memory_order_release);
}

static void
bucket_clear(struct cuckoo *c, struct cuckoo_bucket *b, unsigned way)
{
	bucket_write(c, b, way, &(struct cuckoo_entry){.first = 0});
}

static unsigned
free_way(const struct cuckoo_bucket *b)
{
	return cuckoo_way(b, CUCKOO_SINGLE, 0, 0);
}

static bool
has_room(const struct cuckoo_bucket *b)
{
	return free_way(b) < CUCKOO_WAYS;
}

/* ---- two buckets for each key ---- */

static uint64_t
hash_of(const struct cuckoo *c, uint64_t first, uint64_t second)
{
	return cuckoo_hash_of(c, c->kind, first, second);
}

static struct cuckoo_bucket *
other_bucket(const struct cuckoo *c, const struct cuckoo_bucket *b, unsigned way)
{
	struct cuckoo_entry e = entry_at(b, way);
	uint64_t hash = hash_of(c, e.first, e.second);
	struct cuckoo_bucket *first = cuckoo_first_bucket(c, hash);

	return b == first ? cuckoo_second_bucket(c, hash) : first;
}

/* Makes room in a full bucket: one of its entries moves to its other bucket, where up to `depth` others have made room before. */
static bool
make_room(struct cuckoo *c, struct cuckoo_bucket *b, unsigned depth)
{
	for (unsigned way = 0; way < CUCKOO_WAYS; way++) {
		struct cuckoo_bucket *to = other_bucket(c, b, way);
		struct cuckoo_entry e;

		if (!has_room(to) && depth > 0)
			make_room(c, to, depth - 1);
		/* The moves may have led through this bucket. */
		if (has_room(b))
			return true;
		if (!has_room(to) || other_bucket(c, b, way) != to)
			continue;
		e = entry_at(b, way);
		bucket_write(c, to, free_way(to), &e);
		bucket_clear(c, b, way);
		return true;
	}
	return false;
}

/* The key's place. NULL: it has none. */
static struct cuckoo_bucket *
find_place(const struct cuckoo *c, uint64_t first, uint64_t second, unsigned *way)
{
	uint64_t hash = hash_of(c, first, second);
	struct cuckoo_bucket *b = cuckoo_first_bucket(c, hash);

	*way = cuckoo_way(b, c->kind, first, second);
	if (*way == CUCKOO_WAYS) {
		b = cuckoo_second_bucket(c, hash);
		*way = cuckoo_way(b, c->kind, first, second);
	}
	return *way == CUCKOO_WAYS ? NULL : b;
}

int
cuckoo_set(struct cuckoo *c, const struct cuckoo_entry *e)
{
	uint64_t hash = hash_of(c, e->first, e->second);
	struct cuckoo_bucket *first = cuckoo_first_bucket(c, hash), *second = cuckoo_second_bucket(c, hash), *b;
	unsigned way;

	b = find_place(c, e->first, e->second, &way);
	if (b != NULL) {
		bucket_write(c, b, way, e);
		return 0;
	}
	if (c->count == c->limit)
		return -ENOSPC;
	/* the shortest way first */
	for (unsigned depth = 0; !has_room(first) && !has_room(second); depth++) {
		if (depth == DEPTH_MAX)
			return -ENOSPC;
		if (!make_room(c, first, depth))
			make_room(c, second, depth);
	}
	b = has_room(first) ? first : second;
	bucket_write(c, b, free_way(b), e);
	c->count++;
	return 0;
}

bool
cuckoo_del(struct cuckoo *c, uint64_t first, uint64_t second)
{
	unsigned way;
	struct cuckoo_bucket *b = find_place(c, first, second, &way);

	if (b == NULL)
		return false;
	bucket_clear(c, b, way);
	c->count--;
	return true;
}

bool
cuckoo_any(const struct cuckoo *c, uint32_t random, struct cuckoo_entry *out)
{
	uint64_t places = (uint64_t)c->bucket_count * CUCKOO_WAYS;
	uint64_t at = random * places >> 32;

	for (uint64_t n = 0; n < places; n++) {
		*out = entry_at(&c->buckets[at / CUCKOO_WAYS], at % CUCKOO_WAYS);
		if (out->first != 0)
			return true;
		at = at + 1 == places ? 0 : at + 1;
	}
	return false;
}

bool
cuckoo_check(const struct cuckoo *c)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < c->bucket_count; i++) {
		const struct cuckoo_bucket *b = &c->buckets[i];

		if (atomic_load_explicit(&b->version, memory_order_relaxed) & 1)
			return false;
		for (unsigned way = 0; way < CUCKOO_WAYS; way++) {
			struct cuckoo_entry e = entry_at(b, way);
			unsigned found;

			if (e.first == 0)
				continue;
			/* what find_place finds first is this one: so it is where it belongs, and there is no other */
			if (find_place(c, e.first, e.second, &found) != b || found != way)
				return false;
			count++;
		}
	}
	return count == c->count;
}
