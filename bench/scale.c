/* SPDX-License-Identifier: BSD-3-Clause */
/* Ten million sessions: memory, lookups, heartbeats at their pace, growth of the cost, and all of them gone at once. */
#include "rows.h"

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_hash.h>
#include <rte_hash_crc.h>
#include <rte_malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 32u
#define LOOKUPS (1u << 17)
#define HEARTBEAT_S 30

static volatile uint64_t sink;
static double smallest; /* cycles per message in the smallest world */

void
scale_points(struct world *w)
{
	struct series relay = {.count = 0}, pings = {.count = 0}, reference = {.count = 0};
	struct summary s;
	char name[48];

	heartbeat_rounds(w, options.rounds, 0, &pings, &reference);
	plot_point("sessions_pings", w->sessions, series_summary(&pings), series_summary(&reference).median);
	reference.count = 0;
	relay_rounds(w, w->sessions, 256, &relay, &reference);
	s = series_summary(&relay);
	plot_point("sessions", w->sessions, s, series_summary(&reference).median);
	if (smallest == 0)
		smallest = s.median;
	if (w->sessions == SCALE_SESSIONS) {
		row_add("scale_sessions", (struct summary){s.median / smallest, s.min / smallest, s.max / smallest}, "x", 0, 2.0, true,
			"relay of 256 bytes, uniform over 10 M against 10 k sessions");
		return;
	}
	snprintf(name, sizeof(name), "relay_uniform_%uk", w->sessions / 1000);
	figure_add(name, s, "cycles/message", series_summary(&reference).median, "reference: REF");
}

/* Bytes that DPDK's heaps have given out. */
static double
allocated(void)
{
	struct rte_malloc_socket_stats stats;
	double sum = 0;

	if (rte_malloc_get_socket_stats(0, &stats) == 0)
		sum += (double)stats.heap_allocsz_bytes;
	if (options.memory != SOCKET_ID_ANY && rte_malloc_get_socket_stats(options.memory, &stats) == 0)
		sum += (double)stats.heap_allocsz_bytes;
	return sum;
}

static void
session_lookup(struct world *w)
{
	static uint32_t picks[LOOKUPS];
	struct series s = {.count = 0};
	const struct session_table *t = &w->workers[0]->sessions;

	if (!row_wanted("session_lookup_10m"))
		return;
	for (unsigned r = 0; r < options.rounds; r++) {
		uint64_t sum = 0, start;

		for (uint32_t i = 0; i < LOOKUPS; i++)
			picks[i] = draw_below(w->sessions);
		start = rte_rdtsc_precise();
		for (uint32_t i = 0; i < LOOKUPS; i += BATCH) {
			for (uint32_t j = 0; j < BATCH; j++)
				rte_prefetch0(&t->sessions[picks[i + j]]);
			for (uint32_t j = 0; j < BATCH; j++)
				sum += session_find(t, load_sid(picks[i + j]))->heard_ms;
		}
		series_add(&s, (double)(rte_rdtsc_precise() - start) / LOOKUPS);
		sink = sum;
	}
	row_add("session_lookup_10m", series_summary(&s), "cycles/lookup", 0, 50, true, "bulk of 32");
}

/* The peer of the user table: DPDK's hash of the same users, with the same promise to readers, the session id as its data. */
static struct rte_hash *
peer_make(const struct world *w)
{
	struct rte_hash_parameters p = {
		.name = "peer",
		.entries = w->sessions,
		.key_len = sizeof(user_id_t),
		.hash_func = rte_hash_crc,
		.socket_id = options.memory,
		.extra_flag = RTE_HASH_EXTRA_FLAGS_RW_CONCURRENCY_LF | RTE_HASH_EXTRA_FLAGS_EXT_TABLE,
	};
	struct rte_hash *h = rte_hash_create(&p);

	if (h == NULL)
		fail("rte_hash of %u users: %s", w->sessions, rte_strerror(rte_errno));
	for (uint32_t i = 0; i < w->sessions; i++) {
		user_id_t user = i + 1;

		if (rte_hash_add_key_data(h, &user, (void *)(uintptr_t)load_session(w, i)) != 0)
			fail("rte_hash does not take %u users", w->sessions);
	}
	return h;
}

static double
lookup_ours(const struct world *w, const user_id_t *users)
{
	struct user_entry entries[BATCH];
	uint64_t sum = 0, start = rte_rdtsc_precise();

	for (uint32_t i = 0; i < LOOKUPS; i += BATCH) {
		tables_users(w->tables, &users[i], BATCH, entries);
		for (uint32_t j = 0; j < BATCH; j++)
			sum += user_live(&entries[j])->sid;
	}
	sink = sum;
	return (double)(rte_rdtsc_precise() - start) / LOOKUPS;
}

static double
lookup_peer(const struct rte_hash *h, const user_id_t *users)
{
	uint64_t sum = 0, hits, start = rte_rdtsc_precise();
	const void *keys[BATCH];
	void *data[BATCH];

	for (uint32_t i = 0; i < LOOKUPS; i += BATCH) {
		for (uint32_t j = 0; j < BATCH; j++)
			keys[j] = &users[i + j];
		if (rte_hash_lookup_bulk_data(h, keys, BATCH, &hits, data) != (int)BATCH)
			fail("rte_hash lost a user");
		for (uint32_t j = 0; j < BATCH; j++)
			sum += (uintptr_t)data[j];
	}
	sink += sum;
	return (double)(rte_rdtsc_precise() - start) / LOOKUPS;
}

static void
user_lookup(struct world *w)
{
	static user_id_t users[LOOKUPS];
	struct series ours = {.count = 0}, peer = {.count = 0};
	struct rte_hash *h;
	char note[96];
	uint64_t sum;

	if (!row_wanted("user_lookup_10m"))
		return;
	h = peer_make(w);
	for (unsigned r = 0; r < options.rounds; r++) {
		for (uint32_t i = 0; i < LOOKUPS; i++)
			users[i] = draw_below(w->sessions) + 1;
		series_add(&ours, lookup_ours(w, users));
		sum = sink;
		sink = 0;
		series_add(&peer, lookup_peer(h, users));
		if (sink != sum)
			fail("rte_hash and the user table differ");
	}
	rte_hash_free(h);
	snprintf(note, sizeof(note), "user id to its sessions, bulk of 32; rte_hash: %.0f", series_summary(&peer).median);
	row_add("user_lookup_10m", series_summary(&ours), "cycles/lookup", series_summary(&peer).median, 120, true, note);
}

/* A round lasts as long as a slot of the wheel's second level, at whose beginning all that lies in it is looked at. */
#define TIMER_TICKS TIMER_WHEEL_SLOTS
#define TIMER_ROUNDS 5u

/* What the session wheel takes of a core while all ping: they are filed at random times, and have all been heard since, so that each look
 * files its session anew. Afterwards they are in the order of their slots again. */
static void
heartbeat_timers(struct world *w)
{
	struct worker *k = w->workers[0];
	double virtual_cycles = (double)rte_get_tsc_hz() * TIMER_TICKS * SESSION_TICK_US * 1e-6;
	struct session_table *t = &k->sessions;
	struct series s = {.count = 0};

	if (!row_wanted("heartbeat_10m_timers"))
		return;
	for (uint32_t i = 0; i < w->sessions; i++)
		timer_wheel_add(&t->wheel, i, w->now_us + draw_below((uint32_t)k->timeout_us));
	for (unsigned r = 0; r < TIMER_ROUNDS; r++) {
		uint64_t cycles = 0;

		for (uint32_t i = 0; i < w->sessions; i++)
			t->sessions[i].heard_ms = (uint32_t)(w->now_us / 1000) - draw_below(HEARTBEAT_S * 1000);
		undisturbed(true);
		for (unsigned tick = 0; tick < TIMER_TICKS; tick++) {
			uint64_t start = rte_rdtsc_precise();

			w->now_us += SESSION_TICK_US;
			k->now_us = w->now_us;
			while (session_timers(k) != 0)
				;
			cycles += rte_rdtsc_precise() - start;
		}
		undisturbed(false);
		series_add(&s, 100 * (double)cycles / virtual_cycles);
	}
	if (t->live != w->sessions)
		fail("%u of %u sessions expired that had been heard", w->sessions - t->live, w->sessions);
	for (uint32_t i = 0; i < w->sessions; i++) {
		t->sessions[i].heard_ms = (uint32_t)(w->now_us / 1000);
		timer_wheel_add(&t->wheel, i, w->now_us + k->timeout_us);
	}
	row_add("heartbeat_10m_timers", series_summary(&s), "% of a core", 0, 1, true, "looks of the session wheel, each files its session anew");
}

/* Every session pings every 30 s. Phases of that load with the clock moving at its pace; the session timers that come
 * due meanwhile run inside. */
static void
heartbeats(struct world *w)
{
	double hz = (double)rte_get_tsc_hz();
	double rate = (double)w->sessions / HEARTBEAT_S;
	uint64_t us_per_phase = (uint64_t)(PHASE / rate * 1e6);
	struct series pings = {.count = 0}, reference = {.count = 0};
	double scale = rate / hz * 100;
	struct summary s;

	if (!row_wanted("heartbeat_10m_core"))
		return;
	heartbeat_rounds(w, RTE_MAX(options.rounds, 21u), us_per_phase, &pings, &reference);
	s = series_summary(&pings);
	row_add("heartbeat_10m_core", (struct summary){s.median * scale, s.min * scale, s.max * scale}, "% of a core",
		series_summary(&reference).median * scale, 8, true, "10 M sessions, a ping each per 30 s; reference: REF at that rate");
}

/* Touches nothing: what it takes longer than its turns do, the kernel or the hypervisor took. */
static uint64_t
empty_loop(uint64_t turns)
{
	uint64_t start = rte_rdtsc_precise();

	for (uint64_t i = 0; i < turns; i++)
		__asm__ volatile("");
	return rte_rdtsc_precise() - start;
}

/* How many turns take so many cycles. */
static uint64_t
empty_turns(double cycles)
{
	uint64_t turns = 1u << 14, fastest = UINT64_MAX;

	for (unsigned i = 0; i < 101; i++)
		fastest = RTE_MIN(fastest, empty_loop(turns));
	return (uint64_t)(cycles * (double)turns / (double)fastest);
}

struct stretches {
	uint64_t longest;
	uint32_t count, over; /* in all, longer than 50 us */
};

static void
stretch(struct stretches *s, uint64_t cycles)
{
	s->longest = RTE_MAX(s->longest, cycles);
	s->count++;
	s->over += (double)cycles / (double)rte_get_tsc_hz() > 50e-6;
}

#define EXPIRY_WARM 256u /* iterations by which the length of one is known */

/* All sessions fall silent. Control is always there to take the events, outside the clock. Behind each iteration an empty loop of the same
 * length. */
static void
expiry_storm(struct world *w, uint64_t *cycles, struct stretches *ours, struct stretches *empty)
{
	uint64_t turns = 0;

	while (w->workers[0]->sessions.live != 0 && ours->count < w->sessions) {
		uint32_t polls = ours->count;

		undisturbed(true);
		stretch(ours, cycles[polls] = world_poll(w));
		if (polls >= EXPIRY_WARM)
			stretch(empty, empty_loop(turns));
		undisturbed(false);
		if (polls + 1 == EXPIRY_WARM)
			turns = empty_turns((double)sum_without_kernel(cycles, EXPIRY_WARM) / EXPIRY_WARM);
		world_discard(w);
		world_control(w);
		if (ours->count % 1024 == 0)
			world_router(w);
	}
}

static void
expiry(struct world *w)
{
	double hz = (double)rte_get_tsc_hz(), reference;
	struct stretches ours = {.count = 0}, empty = {.count = 0};
	uint64_t *cycles;
	struct summary s;
	char note[128];

	if (!row_wanted("expiry_storm_10m"))
		return;
	cycles = malloc(w->sessions * sizeof(*cycles)); /* an iteration each would be the worst */
	if (cycles == NULL)
		fail("no memory for %u figures", w->sessions);
	w->now_us += 2 * w->workers[0]->timeout_us;
	world_router(w);
	expiry_storm(w, cycles, &ours, &empty);
	s.median = s.min = s.max = (double)sum_without_kernel(cycles, ours.count) / hz;
	free(cycles);
	row_add("expiry_storm_10m", s, "s of a core", 0, 0.4, true, "control is told of each");
	reference = (double)empty.longest / hz * 1e6;
	s.median = s.min = s.max = (double)ours.longest / hz * 1e6;
	snprintf(note, sizeof(note), "longest iteration of the storm; of as many empty loops of the same length, in turns: %.0f", reference);
	row_add("expiry_longest", s, "us", reference, 50, true, note);
	s.median = s.min = s.max = 100.0 * ours.over / ours.count;
	figure_add("expiry_over_50us", s, "% of iterations", 100.0 * empty.over / RTE_MAX(empty.count, 1u), "reference: % of the empty loops");
}

/* Computed from the structures, and beside it what the heaps gave out for all of them. The pool for live sessions of users with several
 * devices is made for all sessions; of it only a byte and two links for eight cells are touched here. */
static void
memory(struct world *w, double before)
{
	double pool = (double)sizeof(struct live_session) * 17 / 16, links = 9.0 / 8 * 17 / 16;
	double computed = sizeof(struct session) + (double)tables_user_bytes(w->tables) / w->sessions + links;
	double given = (allocated() - before) / w->sessions;
	struct summary s = {computed, computed, computed};

	if (row_wanted("idle_session_bytes")) {
		row_add("idle_session_bytes", s, "bytes", 0, 160, true, "session record with keys and timer node, and the user table");
		s.median = s.min = s.max = pool;
		figure_add("pool_per_session", s, "bytes", 0, "reserved for users with several devices, not memory until there are some");
		s.median = s.min = s.max = given;
		figure_add("allocated_per_session", s, "bytes", 0, "all of the above, a verdict and an activity block for each, packets, rings");
	}
	if (row_wanted("live_sessions")) {
		s.median = s.min = s.max = w->workers[0]->sessions.live;
		row_add("live_sessions", s, "sessions", 0, 10e6, false, "provisioned, each pinged and answered");
	}
}

static const struct {
	const char *name, *unit;
	double goal;
} scale_rows[] = {
	{"scale_sessions", "x", 2.0},           {"session_lookup_10m", "cycles/lookup", 50}, {"user_lookup_10m", "cycles/lookup", 120},
	{"heartbeat_10m_core", "% of a core", 8}, {"expiry_storm_10m", "s of a core", 0.4},    {"live_sessions", "sessions", 10e6},
	{"idle_session_bytes", "bytes", 160},     {"heartbeat_10m_timers", "% of a core", 1},
};

bool
scale_wanted(void)
{
	for (unsigned i = 0; i < RTE_DIM(scale_rows); i++)
		if (row_wanted(scale_rows[i].name))
			return true;
	return false;
}

void
rows_scale(void)
{
	double before = allocated();
	struct world w;

	if (!scale_wanted())
		return;
	if (options.sessions_max < SCALE_SESSIONS) {
		for (unsigned i = 0; i < RTE_DIM(scale_rows); i++)
			row_absent(scale_rows[i].name, scale_rows[i].unit, scale_rows[i].goal,
				   "10 M sessions do not fit (--sessions, or the machine's memory)");
		return;
	}
	world_open(&w, &(struct world_shape){.sessions = SCALE_SESSIONS});
	memory(&w, before);
	session_lookup(&w);
	user_lookup(&w);
	heartbeats(&w);
	heartbeat_timers(&w);
	if (row_wanted("scale_sessions"))
		scale_points(&w);
	expiry(&w);
	world_close(&w);
}
