/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Users and conversations are in a table of their own each (cuckoo.h), which its readers never wait for. What is known of a user fits an entry
 * if one device is live and its id is not too large; otherwise the live sessions lie in a pool (live_pool.h) and the entry says where. They
 * are used again only after every reader has reported a quiescent state since; in between they wait in a queue with their RCU tokens.
 * That runs out only when a reader stalls, and then the writer waits. (DPDK has such a queue, rte_rcu_qsbr_dq, but 22.11 marks it
 * experimental.)
 */
#include "tables.h"

#include "cuckoo.h"
#include "live_pool.h"

#include <errno.h>
#include <rte_branch_prediction.h>
#include <rte_malloc.h>
#include <rte_prefetch.h>
#include <rte_rcu_qsbr.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>

#define BULK_MAX CUCKOO_BURST
#define ENTRIES_MIN 64u
#define SPARE_MIN 1024u
#define SPARE_SHARE 16     /* one spare cell per so many */
#define RECLAIM_BATCH 1024 /* freed at most per call: bounds housekeeping's pause */

/*
 * A user's entry: `first` is the user. With one live device whose id has at most 31 bits, `second` is its session (63 bits, never 0), and
 * `third` the device and, in bit 0, away. Otherwise `second` says where the live sessions are, if there are any: bit 63; bit 0: away; bits
 * 1 to 4: how many; from bit 8: the first cell.
 */
#define RUN_FLAG (UINT64_C(1) << 63)
#define RUN_AWAY UINT64_C(1)
#define RUN_COUNT_SHIFT 1
#define RUN_COUNT_MASK UINT64_C(15)
#define RUN_CELL_SHIFT 8
#define DEVICE_SHIFT 1
#define DEVICE_MAX (UINT32_MAX >> DEVICE_SHIFT)

/* A conversation's: `first` and `second` are the two users, `third` the era and, in these bits, the verdict. */
#define VERDICT_BITS 3
#define ERA_MASK (UINT32_MAX >> VERDICT_BITS)

_Static_assert(VERDICT_UNKNOWN_USER < 1 << VERDICT_BITS, "a verdict beside its era");

/* Live sessions of a user as they were: first cell and how many. */
struct run {
	uint32_t first;
	uint8_t count; /* 0: none */
};

struct deferred {
	uint64_t token;
	struct run run;
};

struct tables {
	struct rte_rcu_qsbr *qsbr; /* each reader its own counter; the writer the token */
	struct cuckoo users;
	struct cuckoo verdicts;
	struct live_pool live; /* writer, before a run is published; its cells are then constant until free */
	struct deferred *deferred; /* writer, as the next: a ring of `spare` */
	uint32_t deferred_first;
	uint32_t deferred_count;
	uint32_t spare;
	struct bans bans;
	uint64_t random;       /* writer: where eviction looks */
	_Atomic uint32_t era;  /* writer; readers take a verdict of an earlier one for unknown */
};

/* ---- making and freeing ---- */

static uint32_t
spare_cells(uint32_t limit)
{
	return limit / SPARE_SHARE > SPARE_MIN ? limit / SPARE_SHARE : SPARE_MIN;
}

static int
live_init(struct tables *t, uint32_t users, uint32_t sessions, int numa_node)
{
	t->spare = spare_cells(users);
	t->deferred = rte_malloc_socket("tables-deferred", t->spare * sizeof(*t->deferred), RTE_CACHE_LINE_SIZE, numa_node);
	return t->deferred == NULL ? -ENOMEM : live_pool_init(&t->live, sessions + spare_cells(sessions), numa_node);
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
	if (random_bytes(&t->random, sizeof(t->random)) != 0 || qsbr_init(t, workers, numa_node) != 0 ||
	    live_init(t, users, sessions, numa_node) != 0 ||
	    cuckoo_init(&t->users, CUCKOO_SINGLE, users, numa_node) != 0 ||
	    cuckoo_init(&t->verdicts, CUCKOO_PAIR, conversations, numa_node) != 0) {
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
	cuckoo_fini(&t->users);
	cuckoo_fini(&t->verdicts);
	live_pool_fini(&t->live);
	rte_free(t->deferred);
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

static struct run
run_of(const struct cuckoo_entry *e)
{
	if (!(e->second & RUN_FLAG))
		return (struct run){.count = 0};
	return (struct run){(uint32_t)(e->second >> RUN_CELL_SHIFT), e->second >> RUN_COUNT_SHIFT & RUN_COUNT_MASK};
}

static struct user_entry
many_of(const struct tables *t, const struct cuckoo_entry *e)
{
	struct run run = run_of(e);

	return (struct user_entry){
		.run = run.count != 0 ? &t->live.cells[run.first] : NULL,
		.live_count = run.count,
		.away = e->second & RUN_AWAY,
	};
}

static inline struct user_entry
user_of(const struct tables *t, const struct cuckoo_entry *e)
{
	if (likely(!(e->second & RUN_FLAG)))
		return (struct user_entry){
			.single = {.sid = e->second, .device = e->third >> DEVICE_SHIFT},
			.live_count = 1,
			.away = e->third & 1,
		};
	return many_of(t, e);
}

static inline enum verdict
verdict_of(const struct tables *t, const struct cuckoo_entry *e)
{
	uint32_t era = atomic_load_explicit(&t->era, memory_order_relaxed) & ERA_MASK;

	return e->third >> VERDICT_BITS == era ? (enum verdict)(e->third & ((1 << VERDICT_BITS) - 1)) : VERDICT_NONE;
}

static const struct user_entry unknown_user = {.away = true};

static bool
user_find(const struct tables *t, struct cuckoo_entry *e)
{
	return cuckoo_find(&t->users, CUCKOO_SINGLE, cuckoo_hash_of(&t->users, CUCKOO_SINGLE, e->first, 0), e);
}

static bool
verdict_find(const struct tables *t, struct cuckoo_entry *e)
{
	return cuckoo_find(&t->verdicts, CUCKOO_PAIR, cuckoo_hash_of(&t->verdicts, CUCKOO_PAIR, e->first, e->second), e);
}

struct user_entry
tables_user(const struct tables *t, user_id_t user)
{
	struct cuckoo_entry e = {.first = user};

	return user_find(t, &e) ? user_of(t, &e) : unknown_user;
}

enum verdict
tables_verdict(const struct tables *t, user_id_t from, user_id_t to)
{
	struct cuckoo_entry e = {.first = from, .second = to};

	return verdict_find(t, &e) ? verdict_of(t, &e) : VERDICT_NONE;
}

const struct bans *
tables_bans(const struct tables *t)
{
	return &t->bans;
}

void
tables_users(const struct tables *t, const user_id_t *users, uint32_t n, struct user_entry *out)
{
	struct cuckoo_entry e[BULK_MAX];
	uint32_t found;

	for (uint32_t i = 0; i < n; i++)
		e[i].first = users[i];
	found = cuckoo_find_burst(&t->users, CUCKOO_SINGLE, e, n);
	for (uint32_t i = 0; i < n; i++) {
		out[i] = found >> i & 1 ? user_of(t, &e[i]) : unknown_user;
		if (out[i].run != NULL)
			rte_prefetch0(out[i].run);
	}
}

void
tables_verdicts(const struct tables *t, const user_id_t (*pairs)[2], uint32_t n, uint8_t *out)
{
	struct cuckoo_entry e[BULK_MAX];
	uint32_t found;

	for (uint32_t i = 0; i < n; i++) {
		e[i].first = pairs[i][0];
		e[i].second = pairs[i][1];
	}
	found = cuckoo_find_burst(&t->verdicts, CUCKOO_PAIR, e, n);
	for (uint32_t i = 0; i < n; i++)
		out[i] = found >> i & 1 ? (uint8_t)verdict_of(t, &e[i]) : VERDICT_NONE;
}

/* ---- writer ---- */

/* Frees what every reader has let go of, oldest first. */
static void
reclaim(struct tables *t)
{
	for (unsigned n = 0; n < RECLAIM_BATCH && t->deferred_count > 0; n++) {
		const struct deferred *d = &t->deferred[t->deferred_first];

		if (rte_rcu_qsbr_check(t->qsbr, d->token, false) != 1)
			return;
		live_pool_free(&t->live, d->run.first, d->run.count);
		t->deferred_count--;
		if (++t->deferred_first == t->spare)
			t->deferred_first = 0;
	}
}

void
tables_reclaim(struct tables *t)
{
	reclaim(t);
	bans_reclaim(&t->bans, t->qsbr);
}

/* May what leads to this run change? */
static bool
can_defer(struct tables *t, struct run run)
{
	if (run.count != 0 && t->deferred_count == t->spare)
		reclaim(t);
	return run.count == 0 || t->deferred_count < t->spare;
}

/* Nothing leads to the run any more. */
static void
defer(struct tables *t, struct run run)
{
	uint32_t at = t->deferred_first + t->deferred_count;

	if (run.count == 0)
		return;
	if (at >= t->spare)
		at -= t->spare;
	t->deferred[at] = (struct deferred){rte_rcu_qsbr_start(t->qsbr), run};
	t->deferred_count++;
}

static int
user_del(struct tables *t, user_id_t user)
{
	struct cuckoo_entry old = {.first = user};

	if (!user_find(t, &old))
		return 0;
	if (!can_defer(t, run_of(&old)))
		return -EAGAIN;
	cuckoo_del(&t->users, user, 0);
	defer(t, run_of(&old));
	return 0;
}

static uint32_t
run_alloc(struct tables *t, uint32_t count)
{
	uint32_t run = live_pool_alloc(&t->live, count);

	if (run != LIVE_NONE)
		return run;
	reclaim(t);
	return live_pool_alloc(&t->live, count);
}

/* Stores as many live sessions as find room; the others count as away. */
static struct cuckoo_entry
live_put(struct tables *t, const struct cell_user *c)
{
	struct cuckoo_entry e = {.first = c->user, .second = RUN_FLAG};
	uint32_t count = c->live_count, run = LIVE_NONE;

	if (count == 1 && c->live[0].sid != 0 && !(c->live[0].sid & RUN_FLAG) && c->live[0].device <= DEVICE_MAX) {
		e.second = c->live[0].sid;
		e.third = (uint32_t)c->live[0].device << DEVICE_SHIFT | (c->away != 0);
		return e;
	}
	while (count != 0 && (run = run_alloc(t, count)) == LIVE_NONE)
		count /= 2;
	if (count != 0) {
		memcpy(&t->live.cells[run], c->live, count * sizeof(c->live[0]));
		e.second |= (uint64_t)run << RUN_CELL_SHIFT | count << RUN_COUNT_SHIFT;
	}
	if (c->away || count < c->live_count)
		e.second |= RUN_AWAY;
	return e;
}

static int
user_set(struct tables *t, const struct cell_user *c)
{
	struct cuckoo_entry old = {.first = c->user}, new;
	struct run replaced = {.count = 0};
	bool known;

	if (c->user == 0 || c->live_count > USER_SESSIONS_MAX)
		return -EINVAL;
	known = user_find(t, &old);
	if (known)
		replaced = run_of(&old);
	else if (t->users.count == t->users.limit)
		return -ENOSPC;
	if (!can_defer(t, replaced))
		return -EAGAIN;
	new = live_put(t, c);
	if (cuckoo_set(&t->users, &new) != 0) {
		struct run unused = run_of(&new);

		if (unused.count != 0)
			live_pool_free(&t->live, unused.first, unused.count);
		return -ENOSPC;
	}
	defer(t, replaced);
	return 0;
}

/* Random eviction: readers leave no trace of use, which would be a shared line written per message.
 * Somebody's next message asks control again. */
static void
verdict_evict(struct tables *t)
{
	struct cuckoo_entry victim;

	t->random ^= t->random << 13;
	t->random ^= t->random >> 7;
	t->random ^= t->random << 17;
	/* A full table has four of five places taken, so this walks a few. */
	if (cuckoo_any(&t->verdicts, (uint32_t)(t->random >> 32), &victim))
		cuckoo_del(&t->verdicts, victim.first, victim.second);
}

static int
verdict_set(struct tables *t, const struct cell_verdict *c)
{
	uint32_t era = atomic_load_explicit(&t->era, memory_order_relaxed);
	struct cuckoo_entry e = {.first = c->from, .second = c->to};

	if (c->from == 0 || c->verdict == VERDICT_NONE || c->verdict > VERDICT_UNKNOWN_USER)
		return -EINVAL;
	if (t->verdicts.count == t->verdicts.limit && !verdict_find(t, &e))
		verdict_evict(t);
	e.third = era << VERDICT_BITS | c->verdict;
	/* A pair for which nobody can make room stays unknown: it is a cache, the next message asks again. */
	cuckoo_set(&t->verdicts, &e);
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
		cuckoo_del(&t->verdicts, c->verdict.from, c->verdict.to);
		return 0;
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

uint64_t
tables_user_bytes(const struct tables *t)
{
	return (uint64_t)t->users.bucket_count * sizeof(*t->users.buckets);
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

bool
tables_check(const struct tables *t)
{
	return cuckoo_check(&t->users) && cuckoo_check(&t->verdicts);
}
