/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the dataplane's structures cost, each alone, in TSC cycles per operation on one lcore.
 *
 *   bench-micro [EAL options]
 *
 * Without options EAL starts with 4 KB pages and needs no root; random access then pays for TLB misses too. A
 * row is measured five times over; random choices are drawn outside the clock. On a shared machine compare
 * rows of one run only, and look at the minimum.
 */
#include "dataplane/keycache.h"
#include "dataplane/session.h"
#include "dataplane/tables.h"
#include "shared/aead.h"
#include "shared/config.h"

#include <inttypes.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_lcore.h>
#include <rte_memory.h>
#include <rte_prefetch.h>
#include <rte_timer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 5
#define COUNT (1u << 20)  /* sessions, timers, users */
#define OPS (1u << 18)    /* per round */
#define SLOW_OPS (1u << 15)
#define HOT 4096u
#define BATCH 32u
#define SPREAD_US UINT64_C(60000000) /* deadlines lie in the minute ahead */

static uint64_t random_state = 88172645463325252;
static volatile uint64_t sink; /* keeps results alive */
static uint32_t *picks;        /* OPS random numbers below COUNT */
static uint32_t *places; /* of expanded keys, per session */

static uint64_t
draw(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state >> 11;
}

static void
draw_picks(uint32_t below)
{
	for (uint32_t i = 0; i < OPS; i++)
		picks[i] = (uint32_t)(draw() % below);
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Runs one round: does ops operations, returns the cycles that they took. */
typedef uint64_t (*round_fn)(void *ctx, uint32_t ops);

static void
measure(const char *name, uint32_t ops, uint32_t below, round_fn run, void *ctx)
{
	double cycles[ROUNDS];

	draw_picks(below);
	run(ctx, ops < 1024 ? ops : 1024); /* code and page tables are warm then */
	for (unsigned i = 0; i < ROUNDS; i++) {
		draw_picks(below);
		cycles[i] = (double)run(ctx, ops) / ops;
	}
	qsort(cycles, ROUNDS, sizeof(cycles[0]), compare);
	printf("%-44s %9.1f %9.1f %9.1f\n", name, cycles[ROUNDS / 2], cycles[0], cycles[ROUNDS - 1]);
	fflush(stdout);
}

static void *
need(void *p, const char *what)
{
	if (p == NULL) {
		fprintf(stderr, "bench-micro: no memory for %s; give EAL more with -m\n", what);
		exit(1);
	}
	return p;
}

/* ---- sessions and timers ---- */

static struct session_table sessions;
static uint64_t now_us = 1000000;

static uint64_t
session_chain(void *ctx, uint32_t ops)
{
	uint64_t sum = 0;
	uint64_t start = rte_rdtsc_precise();

	(void)ctx;
	for (uint32_t i = 0; i < ops; i++) {
		/* Nobody was heard yet, so this adds 0, but the next lookup has to wait for it: what a miss
		 * costs that nobody prefetched. */
		sum += session_find(&sessions, session_id_make(0, 1, picks[i] + (uint32_t)sum))->heard_ms;
	}
	sink = sum;
	return rte_rdtsc_precise() - start;
}

static uint64_t
session_batch(void *ctx, uint32_t ops)
{
	uint64_t sum = 0;
	uint64_t start = rte_rdtsc_precise();

	(void)ctx;
	for (uint32_t i = 0; i + BATCH <= ops; i += BATCH) {
		for (uint32_t j = 0; j < BATCH; j++)
			rte_prefetch0(&sessions.sessions[picks[i + j]]);
		for (uint32_t j = 0; j < BATCH; j++)
			sum += session_find(&sessions, session_id_make(0, 1, picks[i + j]))->heard_ms;
	}
	sink = sum;
	return rte_rdtsc_precise() - start;
}

/* What a heartbeat does to its timer: nothing; it stores the time in a line that it has loaded anyway. */
static uint64_t
heartbeat_lazy(void *ctx, uint32_t ops)
{
	uint64_t start = rte_rdtsc_precise();

	(void)ctx;
	for (uint32_t i = 0; i + BATCH <= ops; i += BATCH) {
		for (uint32_t j = 0; j < BATCH; j++)
			rte_prefetch0(&sessions.sessions[picks[i + j]]);
		for (uint32_t j = 0; j < BATCH; j++)
			sessions.sessions[picks[i + j]].heard_ms = i;
	}
	return rte_rdtsc_precise() - start;
}

static uint64_t
wheel_refile(void *ctx, uint32_t ops)
{
	uint64_t start = rte_rdtsc_precise();

	(void)ctx;
	for (uint32_t i = 0; i < ops; i++)
		timer_wheel_add(&sessions.wheel, picks[i], now_us + picks[ops - 1 - i] * UINT64_C(57));
	return rte_rdtsc_precise() - start;
}

static uint64_t
deadline_passed(void *ctx, uint32_t i)
{
	(void)ctx;
	(void)i;
	return 0;
}

static void
count_fired(void *ctx, uint32_t i, uint64_t now)
{
	(void)i;
	(void)now;
	++*(uint64_t *)ctx;
}

/* All sessions expire; every call looks at 256. */
static void
expiry_storm(void)
{
	static double calls[COUNT / 256 + 2];
	double us_per_cycle = 1e6 / (double)rte_get_tsc_hz();
	double total = 0;
	uint64_t fired = 0;
	uint32_t looked;
	uint32_t n = 0;

	do {
		uint64_t start = rte_rdtsc_precise();

		looked = timer_wheel_advance(&sessions.wheel, now_us + 2 * SPREAD_US, 256, deadline_passed,
					     count_fired, &fired);
		calls[n] = (double)(rte_rdtsc_precise() - start);
		total += calls[n++];
	} while (looked > 0);
	qsort(calls, n, sizeof(calls[0]), compare);
	printf("%-44s %9.1f (%" PRIu64 " fired, one round)\n", "timer_wheel: all expire at once, each",
	       total / (double)fired, fired);
	printf("%-44s median %.1f us, 99%% %.1f us, longest %.1f us (with what the kernel took)\n",
	       "timer_wheel: its advances by 256", calls[n / 2] * us_per_cycle,
	       calls[n * 99 / 100] * us_per_cycle, calls[n - 1] * us_per_cycle);
}

static struct rte_timer *timers;

static void
timer_callback(struct rte_timer *t, void *arg)
{
	(void)t;
	(void)arg;
}

static uint64_t
rte_timer_refile(void *ctx, uint32_t ops)
{
	uint64_t ticks_per_us = rte_get_timer_hz() / 1000000;
	uint64_t start = rte_rdtsc_precise();

	(void)ctx;
	for (uint32_t i = 0; i < ops; i++) {
		uint64_t ahead = SPREAD_US + picks[ops - 1 - i] * UINT64_C(57);

		rte_timer_reset(&timers[picks[i]], ahead * ticks_per_us, SINGLE, rte_lcore_id(),
				timer_callback, NULL);
	}
	return rte_rdtsc_precise() - start;
}

static void
bench_timers(void)
{
	if (session_table_init(&sessions, COUNT, 1, SOCKET_ID_ANY, now_us) != 0)
		need(NULL, "sessions");
	timers = need(calloc(COUNT, sizeof(*timers)), "timers");
	rte_timer_subsystem_init();
	for (uint32_t i = 0; i < COUNT; i++) {
		uint64_t at = draw() % SPREAD_US;

		sessions.sessions[i].generation = 1;
		timer_wheel_add(&sessions.wheel, i, now_us + at);
		rte_timer_init(&timers[i]);
		rte_timer_reset(&timers[i], (SPREAD_US + at) * (rte_get_timer_hz() / 1000000), SINGLE,
				rte_lcore_id(), timer_callback, NULL);
	}
	measure("session_find: 1 M, one after the other", OPS, COUNT, session_chain, NULL);
	measure("session_find: 1 M, prefetched by 32", OPS, COUNT, session_batch, NULL);
	measure("heartbeat's timer work: 1 M, prefetched by 32", OPS, COUNT, heartbeat_lazy, NULL);
	measure("timer_wheel_add: move one of 1 M", OPS, COUNT, wheel_refile, NULL);
	measure("rte_timer_reset: move one of 1 M", SLOW_OPS, COUNT, rte_timer_refile, NULL);
	expiry_storm();
}

/* ---- tables ---- */

static uint64_t
users_single(void *ctx, uint32_t ops)
{
	uint64_t sum = 0;
	uint64_t start = rte_rdtsc_precise();

	for (uint32_t i = 0; i < ops; i++)
		sum += tables_user(ctx, 1 + picks[i]).single.sid;
	sink = sum;
	return rte_rdtsc_precise() - start;
}

static uint64_t
users_bulk(void *ctx, uint32_t ops)
{
	struct user_entry entries[BATCH];
	user_id_t users[BATCH];
	uint64_t sum = 0;
	uint64_t start = rte_rdtsc_precise();

	for (uint32_t i = 0; i + BATCH <= ops; i += BATCH) {
		for (uint32_t j = 0; j < BATCH; j++)
			users[j] = 1 + picks[i + j];
		tables_users(ctx, users, BATCH, entries);
		for (uint32_t j = 0; j < BATCH; j++)
			sum += entries[j].single.sid;
	}
	sink = sum;
	return rte_rdtsc_precise() - start;
}

static uint64_t
verdicts_bulk(void *ctx, uint32_t ops)
{
	user_id_t pairs[BATCH][2];
	uint8_t verdicts[BATCH];
	uint64_t sum = 0;
	uint64_t start = rte_rdtsc_precise();

	for (uint32_t i = 0; i + BATCH <= ops; i += BATCH) {
		for (uint32_t j = 0; j < BATCH; j++) {
			pairs[j][0] = 1 + picks[i + j];
			pairs[j][1] = 2 + picks[i + j];
		}
		tables_verdicts(ctx, (const user_id_t(*)[2])pairs, BATCH, verdicts);
		for (uint32_t j = 0; j < BATCH; j++)
			sum += verdicts[j];
	}
	sink = sum;
	return rte_rdtsc_precise() - start;
}

static void
bench_tables(void)
{
	struct config config = {.dataplane = {.users = COUNT, .conversations = COUNT}};
	struct tables *t = need(tables_new(&config, 1, SOCKET_ID_ANY), "tables");
	struct cell user = {.type = TABLE_USER_SET};
	struct cell verdict = {.type = TABLE_VERDICT_SET};

	for (user_id_t u = 1; u <= COUNT; u++) {
		user.user = (struct cell_user){.user = u, .live_count = 1, .live = {{.sid = u, .device = u}}};
		verdict.verdict = (struct cell_verdict){.from = u, .to = u + 1, .verdict = VERDICT_ALLOWED};
		if (tables_apply(t, &user) != 0 || tables_apply(t, &verdict) != 0)
			need(NULL, "a full table");
	}
	measure("tables_user: 1 M", OPS, COUNT, users_single, t);
	measure("tables_users: 1 M, 32 at a time", OPS, COUNT, users_bulk, t);
	measure("tables_verdicts: 1 M, 32 at a time", OPS, COUNT, verdicts_bulk, t);
	tables_free(t);
}

/* ---- keys ---- */

struct aead_bench {
	struct aead_key *keys;
	uint8_t *packets; /* HOT of 512 bytes, sealed with key (its index) % key_count */
	uint32_t key_count;
	uint32_t length;
};

static const uint8_t nonce[AEAD_NONCE];

static uint64_t
seal(void *ctx, uint32_t ops)
{
	struct aead_bench *b = ctx;
	uint64_t start = rte_rdtsc_precise();

	for (uint32_t i = 0; i < ops; i++) {
		uint8_t *p = b->packets + (size_t)picks[i] * 512;

		aead_seal(&b->keys[picks[i] % b->key_count], nonce, p, 20, p + 20, b->length, p + 20,
			  p + 20 + b->length);
	}
	return rte_rdtsc_precise() - start;
}

static uint64_t
open_sealed(void *ctx, uint32_t ops)
{
	static uint8_t out[512];
	struct aead_bench *b = ctx;
	uint64_t failed = 0;
	uint64_t start = rte_rdtsc_precise();

	for (uint32_t i = 0; i < ops; i++) {
		uint8_t *p = b->packets + (size_t)picks[i] * 512;

		failed += aead_open(&b->keys[picks[i] % b->key_count], nonce, p, 20, p + 20, b->length, out,
				    p + 20 + b->length) != 0;
	}
	start = rte_rdtsc_precise() - start;
	if (failed != 0)
		need(NULL, "an intact packet");
	return start;
}

static uint64_t
expand(void *ctx, uint32_t ops)
{
	struct aead_bench *b = ctx;
	uint64_t start = rte_rdtsc_precise();

	for (uint32_t i = 0; i < ops; i++)
		aead_key_set(&b->keys[picks[i]], b->packets + (size_t)picks[i] * 512);
	return rte_rdtsc_precise() - start;
}

static void
bench_aead(void)
{
	static const unsigned lengths[] = {64, 256};
	static const unsigned counts[] = {1, HOT};
	struct aead_bench b = {0};
	char name[64];

	b.keys = need(aligned_alloc(64, HOT * sizeof(*b.keys)), "keys");
	b.packets = need(calloc(HOT, 512), "packets");
	memset(b.keys, 0, HOT * sizeof(*b.keys));
	measure("aead_key_set: 4,096 keys", SLOW_OPS, HOT, expand, &b);
	for (unsigned c = 0; c < 2; c++) {
		for (unsigned l = 0; l < 2; l++) {
			b.key_count = counts[c];
			b.length = lengths[l];
			snprintf(name, sizeof(name), "aead_seal: %u B, %u keys", lengths[l], counts[c]);
			measure(name, OPS, HOT, seal, &b);
			/* Every packet sealed once, whatever was drawn. */
			for (uint32_t i = 0; i < HOT; i++)
				picks[i] = i;
			seal(&b, HOT);
			snprintf(name, sizeof(name), "aead_open: %u B, %u keys", lengths[l], counts[c]);
			measure(name, OPS, HOT, open_sealed, &b);
		}
	}
	for (uint32_t i = 0; i < HOT; i++)
		aead_key_clear(&b.keys[i]);
	free(b.keys);
	free(b.packets);
}

static uint64_t
key_lookup(void *ctx, uint32_t ops)
{
	struct session_keys raw = {{1}};
	uint64_t sum = 0;
	uint64_t start = rte_rdtsc_precise();

	for (uint32_t i = 0; i < ops; i++)
		sum += (uintptr_t)keycache_get(ctx, session_id_make(0, 1, picks[i]), &raw, &places[picks[i]]).entry;
	sink = sum;
	return rte_rdtsc_precise() - start;
}

static void
bench_keycache(void)
{
	struct keycache *c = need(keycache_new(HOT, SOCKET_ID_ANY), "the key cache");
	struct session_keys raw = {{1}};

	places = need(malloc(COUNT * sizeof(*places)), "places of keys");
	memset(places, 0xff, COUNT * sizeof(*places)); /* KEYCACHE_NOWHERE */
	for (uint32_t i = 0; i < HOT; i++)
		keycache_get(c, session_id_make(0, 1, i), &raw, &places[i]);
	measure("keycache_get: hit, 4,096 sessions", OPS, HOT, key_lookup, c);
	if (keycache_misses(c) != HOT)
		need(NULL, "a cache without misses");
	measure("keycache_get: miss, an expansion", SLOW_OPS, COUNT, key_lookup, c);
	keycache_free(c);
	free(places);
}

int
main(int argc, char **argv)
{
	char *usual[] = {argv[0], "--no-huge", "-m", "1024", "--no-pci", "--no-shconf", "--no-telemetry",
			 "--log-level=error", "-l", "0", NULL};

	if (rte_eal_init(argc > 1 ? argc : (int)RTE_DIM(usual) - 1, argc > 1 ? argv : usual) < 0 ||
	    aead_init() != 0) {
		fprintf(stderr, "bench-micro: EAL or the cipher library did not start\n");
		return 1;
	}
	picks = need(malloc(OPS * sizeof(*picks)), "random numbers");
	printf("TSC %.2f GHz, %s pages\n", (double)rte_get_tsc_hz() / 1e9,
	       rte_eal_has_hugepages() ? "huge" : "4 KB");
	printf("%-44s %9s %9s %9s\n", "cycles per operation", "median", "min", "max");
	bench_timers();
	bench_tables();
	bench_aead();
	bench_keycache();
	free(picks);
	free(timers);
	session_table_fini(&sessions);
	return rte_eal_cleanup() != 0;
}
