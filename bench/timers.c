/* SPDX-License-Identifier: BSD-3-Clause */
/* The worker's timer wheel against rte_timer. */
#include "rows.h"

#include <rte_cycles.h>
#include <rte_lcore.h>
#include <rte_timer.h>
#include <stdlib.h>

#define TIMERS (1u << 20)
#define OPS (1u << 15)
#define BATCH 32u
#define SPREAD_US UINT64_C(60000000)

static uint32_t picks[OPS];

static void
on_timer(struct rte_timer *t, void *arg)
{
	(void)t;
	(void)arg;
}

static double
rte_timer_round(struct rte_timer *timers)
{
	uint64_t hz = rte_get_timer_hz();
	uint64_t start = rte_rdtsc_precise();

	for (uint32_t i = 0; i < OPS; i++)
		rte_timer_reset(&timers[picks[i]], hz * 60 + picks[OPS - 1 - i] * UINT64_C(1000), SINGLE, rte_lcore_id(), on_timer, NULL);
	return (double)(rte_rdtsc_precise() - start) / OPS;
}

/* What a heartbeat does for its time-out: it stores when it came. The session's line is loaded for other reasons, in
 * batches, but counted here all the same. */
static double
heard_round(struct session_table *t)
{
	uint64_t start = rte_rdtsc_precise();

	for (uint32_t i = 0; i < OPS; i += BATCH) {
		for (uint32_t j = 0; j < BATCH; j++)
			rte_prefetch0(&t->sessions[picks[i + j]]);
		for (uint32_t j = 0; j < BATCH; j++)
			t->sessions[picks[i + j]].heard_ms = i;
	}
	return (double)(rte_rdtsc_precise() - start) / OPS;
}

static double
wheel_round(struct session_table *t)
{
	uint64_t start = rte_rdtsc_precise();

	for (uint32_t i = 0; i < OPS; i++)
		timer_wheel_add(&t->wheel, picks[i], SPREAD_US + picks[OPS - 1 - i] * UINT64_C(57));
	return (double)(rte_rdtsc_precise() - start) / OPS;
}

void
rows_timers(void)
{
	struct series theirs = {.count = 0}, heard = {.count = 0}, wheel = {.count = 0};
	struct session_table t;
	struct rte_timer *timers;

	if (!row_wanted("timer_update"))
		return;
	timers = calloc(TIMERS, sizeof(*timers));
	if (timers == NULL || session_table_init(&t, TIMERS, 1, options.memory, 1) != 0)
		fail("no memory for %u timers", TIMERS);
	rte_timer_subsystem_init();
	for (uint32_t i = 0; i < TIMERS; i++) {
		uint64_t at = draw() % SPREAD_US;

		timer_wheel_add(&t.wheel, i, 1 + at);
		rte_timer_init(&timers[i]);
		rte_timer_reset(&timers[i], (SPREAD_US + at) * (rte_get_timer_hz() / 1000000), SINGLE, rte_lcore_id(), on_timer, NULL);
	}
	for (unsigned r = 0; r < options.rounds; r++) {
		for (uint32_t i = 0; i < OPS; i++)
			picks[i] = draw_below(TIMERS);
		series_add(&theirs, rte_timer_round(timers));
		series_add(&heard, heard_round(&t));
		series_add(&wheel, wheel_round(&t));
	}
	row_add("timer_update", series_summary(&heard), "cycles/update", series_summary(&theirs).median,
		series_summary(&theirs).median / 100, true, "a heartbeat's timer work, with its cache miss; reference: rte_timer_reset at 1 M");
	figure_add("timer_move", series_summary(&wheel), "cycles/move", series_summary(&theirs).median, "moving a timer of 1 M in the wheel");
	for (uint32_t i = 0; i < TIMERS; i++)
		rte_timer_stop(&timers[i]);
	session_table_fini(&t);
	free(timers);
}
