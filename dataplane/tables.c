/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Deletion is in two steps: a key leaves its rte_hash at once, but its slot there, and the live sessions it led
 * to, are used again only after every reader has reported a quiescent state since. In between they wait in a
 * queue with their RCU tokens. The queue is as long as there are spare slots beyond what the configuration asks
 * for; both run out only when a reader stalls, and then the writer waits. (DPDK has such a queue, rte_rcu_qsbr_dq, but 22.11 marks
 * it experimental; rte_hash's use of it cannot be flushed, and does not cover replaced values.)
 */
#include "tables.h"

#include "live_pool.h"

#include <errno.h>
#include <rte_errno.h>
#include <rte_hash.h>
#include <rte_malloc.h>
#include <rte_prefetch.h>
#include <rte_rcu_qsbr.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

/* rte_hash's atomics are in the library, where ThreadSanitizer does not see them: say what they order. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TABLES_TSAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__) || defined(TABLES_TSAN)
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#define publishes(p) __tsan_release(p)
#define observes(p) __tsan_acquire((void *)(uintptr_t)(p))
#else
#define publishes(p) ((void)(p))
#define observes(p) ((void)(p))
#endif

#define BULK_MAX 32
#define ENTRIES_MIN 64u
#define SPARE_MIN 1024u
#define SPARE_SHARE 16 /* one spare slot per so many */
#define RECLAIM_BATCH 1024 /* freed at most per call: bounds housekeeping's pause */
#define SLOT_NONE UINT32_MAX
#define LOAD_MAX 80u /* percent of the places, without extendable buckets */

_Static_assert(BULK_MAX <= RTE_HASH_LOOKUP_BULK_MAX, "one bulk lookup");

/*
 * A keyed hash. User ids are small numbers that the server chose, but `to` of a conversation is whatever a
 * client writes, and its 'unknown user' is remembered too; with a public hash such as CRC one client could
 * pile its pairs into one chain of buckets and make every lookup there slow. This is multilinear hashing
 * (Carter and Wegman 1979; Lemire and Kaser 2014) of 32-bit words with random 64-bit keys: two given pairs
 * share a hash with probability 2^-32 over the keys, which never leave the process.
 */
struct hash_keys {
	uint64_t word[4];
	uint64_t offset;
};

struct conversation {
	user_id_t from;
	user_id_t to;
};

/* What rte_hash keeps for a user: bit 0: away; bits 1 to 4: how many live sessions; from bit 8: the cell of the first. */
#define WORD_AWAY UINT64_C(1)
#define WORD_COUNT_SHIFT 1
#define WORD_COUNT_MASK UINT64_C(15)
#define WORD_CELL_SHIFT 8

/* What waits for the readers: a slot of the rte_hash, a run of live sessions, or both. */
struct deferred {
	uint64_t token;
	uint32_t position; /* in the rte_hash, or SLOT_NONE */
	uint32_t run;      /* first cell, or LIVE_NONE */
	uint8_t run_length;
};

/* One rte_hash and what waits to be freed of it. Writer: housekeeping. */
struct keyed_table {
	struct rte_hash *hash; /* readers look up; constant pointer */
	struct deferred *deferred; /* a ring of `spare` */
	uint32_t deferred_first;
	uint32_t deferred_count;
	uint32_t spare;
	uint32_t limit; /* keys at once */
	uint32_t count; /* keys now */
	uint32_t places; /* in rte_hash's main buckets: where its iterator can stand */
};

struct tables {
	struct hash_keys keys; /* constant */
	struct rte_rcu_qsbr *qsbr; /* each reader its own counter; the writer the token */
	struct keyed_table users;
	struct keyed_table verdicts;
	struct live_pool live; /* writer, before a run is published; its cells are then constant until free */
	struct bans bans;
	uint64_t random;       /* writer: where eviction looks */
	_Atomic uint32_t era;  /* writer; readers take a verdict of an earlier one for unknown */
};

static inline uint32_t
mix(uint64_t sum)
{
	uint32_t h = (uint32_t)(sum >> 32);

	/* A bijection: rte_hash takes its bucket from the low bits, and neighbouring ids should not get
	 * neighbouring ones. */
	h ^= h >> 16;
	h *= 0x7feb352du;
	h ^= h >> 15;
	h *= 0x846ca68bu;
	h ^= h >> 16;
	return h;
}

static inline uint32_t
hash_user(const struct tables *t, user_id_t user)
{
	return mix(t->keys.offset + t->keys.word[0] * (uint32_t)user + t->keys.word[1] * (user >> 32));
}

static inline uint32_t
hash_conversation(const struct tables *t, const struct conversation *c)
{
	return mix(t->keys.offset + t->keys.word[0] * (uint32_t)c->from + t->keys.word[1] * (c->from >> 32) +
		   t->keys.word[2] * (uint32_t)c->to + t->keys.word[3] * (c->to >> 32));
}

/* ---- making and freeing ---- */

static uint32_t
spare_slots(uint32_t limit)
{
	return limit / SPARE_SHARE > SPARE_MIN ? limit / SPARE_SHARE : SPARE_MIN;
}

static int
keyed_table_init(struct keyed_table *k, const char *kind, uint32_t limit, uint32_t key_len, int numa_node)
{
	static _Atomic uint32_t instances; /* rte_hash wants a name of its own for each */
	char name[RTE_HASH_NAMESIZE];
	uint32_t spare = spare_slots(limit);
	uint32_t slots = limit + spare;
	uint32_t places = rte_align32pow2(slots);
	/* Cuckoo insertion begins to fail at about 95%; extendable buckets, which cost as much memory as the main ones, are only for
	 * a table that may come near that. */
	struct rte_hash_parameters hash = {
		.name = name,
		.entries = slots,
		.key_len = key_len,
		.socket_id = numa_node,
		.extra_flag = RTE_HASH_EXTRA_FLAGS_RW_CONCURRENCY_LF |
			      (slots > places / 100 * LOAD_MAX ? RTE_HASH_EXTRA_FLAGS_EXT_TABLE : 0),
	};
	k->limit = limit;
	k->spare = spare;
	k->places = places;
	snprintf(name, sizeof(name), "tables-%s-%u", kind,
		 (unsigned)atomic_fetch_add_explicit(&instances, 1, memory_order_relaxed));
	k->hash = rte_hash_create(&hash);
	if (k->hash == NULL)
		return -ENOMEM;
	k->deferred = rte_malloc_socket("tables-deferred", spare * sizeof(*k->deferred), RTE_CACHE_LINE_SIZE, numa_node);
	return k->deferred == NULL ? -ENOMEM : 0;
}

static void
keyed_table_fini(struct keyed_table *k)
{
	rte_free(k->deferred);
	rte_hash_free(k->hash);
}

static int
random_bytes(void *out, size_t n)
{
	return getrandom(out, n, 0) == (ssize_t)n ? 0 : -EIO;
}

static int
qsbr_init(struct tables *t, uint32_t workers, int numa_node)
{
	t->qsbr = rte_zmalloc_socket("tables-qsbr", rte_rcu_qsbr_get_memsize(workers), RTE_CACHE_LINE_SIZE,
				     numa_node);
	if (t->qsbr == NULL)
		return -ENOMEM;
	if (rte_rcu_qsbr_init(t->qsbr, workers) != 0)
		return -EINVAL;
	/* All at once here: registering is not for the per-packet side, going online and offline is. */
	for (uint32_t w = 0; w < workers; w++)
		rte_rcu_qsbr_thread_register(t->qsbr, w);
	return 0;
}

struct tables *
tables_new(const struct config *config, uint32_t workers, int numa_node)
{
	uint32_t users = RTE_MAX(config->dataplane.users, ENTRIES_MIN);
	uint32_t conversations = RTE_MAX(config->dataplane.conversations, ENTRIES_MIN);
	uint32_t sessions = RTE_MAX(config->dataplane.sessions, users);
	struct tables *t = rte_zmalloc_socket("tables", sizeof(*t), RTE_CACHE_LINE_SIZE, numa_node);

	if (t == NULL)
		return NULL;
	if (random_bytes(&t->keys, sizeof(t->keys)) != 0 ||
	    random_bytes(&t->random, sizeof(t->random)) != 0 || qsbr_init(t, workers, numa_node) != 0 ||
	    live_pool_init(&t->live, sessions + spare_slots(sessions), numa_node) != 0 ||
	    keyed_table_init(&t->users, "users", users, sizeof(user_id_t), numa_node) != 0 ||
	    keyed_table_init(&t->verdicts, "verdicts", conversations, sizeof(struct conversation),
			     numa_node) != 0) {
		tables_free(t);
		return NULL;
	}
	t->random |= 1; /* xorshift must not start at 0 */
	return t;
}

void
tables_free(struct tables *t)
{
	if (t == NULL)
		return;
	keyed_table_fini(&t->users);
	keyed_table_fini(&t->verdicts);
	live_pool_fini(&t->live);
	bans_fini(&t->bans);
	rte_free(t->qsbr);
	rte_free(t);
}

/* ---- readers ---- */

void
tables_reader_online(struct tables *t, uint32_t worker)
{
	rte_rcu_qsbr_thread_online(t->qsbr, worker);
}

void
tables_reader_offline(struct tables *t, uint32_t worker)
{
	rte_rcu_qsbr_thread_offline(t->qsbr, worker);
}

void
tables_reader_quiescent(struct tables *t, uint32_t worker)
{
	rte_rcu_qsbr_quiescent(t->qsbr, worker);
}

/* What the hash keeps of a pair: era and verdict in the place of a pointer. */
static inline void *
verdict_data(uint32_t era, uint8_t verdict)
{
	return (void *)((uintptr_t)era << 8 | verdict);
}

static inline enum verdict
verdict_of(const struct tables *t, const void *data)
{
	uint32_t era = atomic_load_explicit(&t->era, memory_order_relaxed);

	return (uintptr_t)data >> 8 == era ? (enum verdict)((uintptr_t)data & 0xff) : VERDICT_NONE;
}

static inline struct user_entry
entry_of(const struct tables *t, const void *data)
{
	uint64_t word = (uintptr_t)data;
	struct user_entry e = {.live_count = word >> WORD_COUNT_SHIFT & WORD_COUNT_MASK, .away = word & WORD_AWAY};

	if (e.live_count != 0) {
		e.live = &t->live.cells[word >> WORD_CELL_SHIFT];
		observes(e.live);
	}
	return e;
}

static const struct user_entry unknown_user = {.away = true};

struct user_entry
tables_user(const struct tables *t, user_id_t user)
{
	void *data;

	if (rte_hash_lookup_with_hash_data(t->users.hash, &user, hash_user(t, user), &data) < 0)
		return unknown_user;
	return entry_of(t, data);
}

enum verdict
tables_verdict(const struct tables *t, user_id_t from, user_id_t to)
{
	const struct conversation key = {from, to};
	void *verdict;

	if (rte_hash_lookup_with_hash_data(t->verdicts.hash, &key, hash_conversation(t, &key), &verdict) < 0)
		return VERDICT_NONE;
	return verdict_of(t, verdict);
}

const struct bans *
tables_bans(const struct tables *t)
{
	return &t->bans;
}

void
tables_users(const struct tables *t, const user_id_t *users, uint32_t n, struct user_entry *out)
{
	const void *keys[BULK_MAX];
	hash_sig_t hashes[BULK_MAX];
	void *data[BULK_MAX];
	uint64_t hits = 0;

	if (n == 0)
		return;
	for (uint32_t i = 0; i < n; i++) {
		keys[i] = &users[i];
		hashes[i] = hash_user(t, users[i]);
	}
	rte_hash_lookup_with_hash_bulk_data(t->users.hash, keys, hashes, n, &hits, data);
	for (uint32_t i = 0; i < n; i++) {
		out[i] = hits >> i & 1 ? entry_of(t, data[i]) : unknown_user;
		if (out[i].live_count != 0)
			rte_prefetch0(out[i].live);
	}
}

void
tables_verdicts(const struct tables *t, const user_id_t (*pairs)[2], uint32_t n, uint8_t *out)
{
	struct conversation conversations[BULK_MAX];
	const void *keys[BULK_MAX];
	hash_sig_t hashes[BULK_MAX];
	void *verdicts[BULK_MAX];
	uint64_t hits = 0;

	if (n == 0)
		return;
	for (uint32_t i = 0; i < n; i++) {
		conversations[i] = (struct conversation){pairs[i][0], pairs[i][1]};
		keys[i] = &conversations[i];
		hashes[i] = hash_conversation(t, &conversations[i]);
	}
	rte_hash_lookup_with_hash_bulk_data(t->verdicts.hash, keys, hashes, n, &hits, verdicts);
	for (uint32_t i = 0; i < n; i++)
		out[i] = hits >> i & 1 ? (uint8_t)verdict_of(t, verdicts[i]) : VERDICT_NONE;
}

/* ---- writer ---- */

/* Frees what every reader has let go of, oldest first. */
static void
reclaim(struct tables *t, struct keyed_table *k)
{
	for (unsigned n = 0; n < RECLAIM_BATCH && k->deferred_count > 0; n++) {
		const struct deferred *d = &k->deferred[k->deferred_first];

		if (rte_rcu_qsbr_check(t->qsbr, d->token, false) != 1)
			return;
		if (d->position != SLOT_NONE)
			rte_hash_free_key_with_position(k->hash, (int32_t)d->position);
		if (d->run != LIVE_NONE)
			live_pool_free(&t->live, d->run, d->run_length);
		k->deferred_count--;
		if (++k->deferred_first == k->spare)
			k->deferred_first = 0;
	}
}

void
tables_reclaim(struct tables *t)
{
	reclaim(t, &t->users);
	reclaim(t, &t->verdicts);
	bans_reclaim(&t->bans, t->qsbr);
}

/* A change may leave one slot or run behind. */
static bool
can_defer(struct tables *t, struct keyed_table *k)
{
	if (k->deferred_count == k->spare)
		reclaim(t, k);
	return k->deferred_count < k->spare;
}

static void
defer(struct tables *t, struct keyed_table *k, uint32_t position, uint32_t run, uint8_t run_length)
{
	uint32_t at = k->deferred_first + k->deferred_count++;

	if (at >= k->spare)
		at -= k->spare;
	k->deferred[at] = (struct deferred){rte_rcu_qsbr_start(t->qsbr), position, run, run_length};
}

static void
defer_user(struct tables *t, uint32_t position, const void *data)
{
	uint64_t word = (uintptr_t)data;
	uint8_t count = word >> WORD_COUNT_SHIFT & WORD_COUNT_MASK;

	if (count != 0)
		defer(t, &t->users, position, (uint32_t)(word >> WORD_CELL_SHIFT), count);
	else if (position != SLOT_NONE)
		defer(t, &t->users, position, LIVE_NONE, 0);
}

static int
user_del(struct tables *t, user_id_t user)
{
	uint32_t hash = hash_user(t, user);
	void *old;
	int position;

	if (rte_hash_lookup_with_hash_data(t->users.hash, &user, hash, &old) < 0)
		return 0;
	if (!can_defer(t, &t->users))
		return -EAGAIN;
	position = rte_hash_del_key_with_hash(t->users.hash, &user, hash);
	if (position < 0)
		return 0;
	t->users.count--;
	defer_user(t, (uint32_t)position, old);
	return 0;
}

/* Adds a key; when its slots all wait for readers, tries once more after freeing what can be. */
static int
add_key(struct tables *t, struct keyed_table *k, const void *key, uint32_t hash, void *data)
{
	int rc = rte_hash_add_key_with_hash_data(k->hash, key, hash, data);

	if (rc == -ENOSPC) {
		reclaim(t, k);
		rc = rte_hash_add_key_with_hash_data(k->hash, key, hash, data);
	}
	return rc;
}

/* Stores as many live sessions as find room; the others count as away. Returns the word for rte_hash. */
static uint64_t
live_put(struct tables *t, const struct cell_user *c)
{
	uint32_t count = c->live_count, run = LIVE_NONE;

	while (count != 0 && (run = live_pool_alloc(&t->live, count)) == LIVE_NONE)
		count /= 2;
	if (count == 0)
		return c->away || c->live_count != 0 ? WORD_AWAY : 0;
	memcpy(&t->live.cells[run], c->live, count * sizeof(c->live[0]));
	publishes(&t->live.cells[run]);
	return (uint64_t)run << WORD_CELL_SHIFT | count << WORD_COUNT_SHIFT | (c->away || count < c->live_count ? WORD_AWAY : 0);
}

static int
user_set(struct tables *t, const struct cell_user *c)
{
	uint32_t hash = hash_user(t, c->user);
	void *old = NULL;
	uint64_t word;
	bool known;

	if (c->user == 0 || c->live_count > USER_SESSIONS_MAX)
		return -EINVAL;
	known = rte_hash_lookup_with_hash_data(t->users.hash, &c->user, hash, &old) >= 0;
	if (!known && t->users.count >= t->users.limit)
		return -ENOSPC;
	if (!can_defer(t, &t->users))
		return -EAGAIN;
	word = live_put(t, c);
	if (add_key(t, &t->users, &c->user, hash, (void *)(uintptr_t)word) != 0) {
		uint8_t count = word >> WORD_COUNT_SHIFT & WORD_COUNT_MASK;

		if (count != 0)
			live_pool_free(&t->live, (uint32_t)(word >> WORD_CELL_SHIFT), count);
		return -ENOSPC;
	}
	if (known)
		defer_user(t, SLOT_NONE, old);
	else
		t->users.count++;
	return 0;
}

static int
verdict_del(struct tables *t, const struct conversation *key)
{
	int position;

	if (!can_defer(t, &t->verdicts))
		return -EAGAIN;
	position = rte_hash_del_key_with_hash(t->verdicts.hash, key, hash_conversation(t, key));
	if (position < 0)
		return 0;
	t->verdicts.count--;
	defer(t, &t->verdicts, (uint32_t)position, LIVE_NONE, 0);
	return 0;
}

/* Random eviction: readers leave no trace of use, which would be a shared line written per message.
 * Somebody's next message asks control again. */
static void
verdict_evict(struct tables *t)
{
	struct conversation victim;
	const void *key;
	void *data;
	uint32_t at;

	t->random ^= t->random << 13;
	t->random ^= t->random >> 7;
	t->random ^= t->random << 17;
	/* rte_hash's iterator is a place in its buckets. At least half of the places of a full table are
	 * taken, so this walks a few. */
	at = (uint32_t)((t->random >> 32) * t->verdicts.places >> 32);
	if (rte_hash_iterate(t->verdicts.hash, &key, &data, &at) < 0) {
		at = 0;
		if (rte_hash_iterate(t->verdicts.hash, &key, &data, &at) < 0)
			return;
	}
	memcpy(&victim, key, sizeof(victim));
	verdict_del(t, &victim);
}

static int
verdict_set(struct tables *t, const struct cell_verdict *c)
{
	const struct conversation key = {c->from, c->to};
	uint32_t hash = hash_conversation(t, &key);
	bool known;

	if (c->verdict == VERDICT_NONE || c->verdict > VERDICT_UNKNOWN_USER)
		return -EINVAL;
	known = rte_hash_lookup_with_hash(t->verdicts.hash, &key, hash) >= 0;
	if (!known && t->verdicts.count >= t->verdicts.limit)
		verdict_evict(t);
	/* Without a slot (a reader stalls) the pair stays unknown: it is a cache, the next message asks
	 * again. Overwriting needs no slot, so a change of mind is never lost. */
	if (add_key(t, &t->verdicts, &key, hash, verdict_data(atomic_load_explicit(&t->era, memory_order_relaxed), c->verdict)) == 0 &&
	    !known)
		t->verdicts.count++;
	return 0;
}

int
tables_apply(struct tables *t, const struct cell *c)
{
	switch (c->type) {
	case TABLE_USER_SET:
		return user_set(t, &c->user);
	case TABLE_USER_DEL:
		return user_del(t, c->user.user);
	case TABLE_VERDICT_SET:
		return verdict_set(t, &c->verdict);
	case TABLE_VERDICT_DEL:
		if (c->verdict.from == 0 && c->verdict.to == 0) {
			atomic_fetch_add_explicit(&t->era, 1, memory_order_relaxed);
			return 0;
		}
		return verdict_del(t, &(struct conversation){c->verdict.from, c->verdict.to});
	case TABLE_BANS:
		return bans_apply(&t->bans, c, t->qsbr);
	default:
		return -EINVAL;
	}
}

uint32_t
tables_user_count(const struct tables *t)
{
	return t->users.count;
}

uint32_t
tables_verdict_count(const struct tables *t)
{
	return t->verdicts.count;
}

uint32_t
tables_ban_count(const struct tables *t)
{
	return t->bans.count;
}
