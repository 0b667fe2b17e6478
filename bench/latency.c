/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the worker adds to a message's way. Arrivals are drawn (Poisson), and a clock in TSC cycles moves by what each
 * iteration really took; a message's latency is from its arrival to the end of the iteration that sent it on.
 */
#include "rows.h"

#include <math.h>
#include <rte_cycles.h>
#include <rte_ring.h>
#include <stdlib.h>

#define WINDOWS 15

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void
make(struct world *w, uint32_t hot, struct rte_mbuf **pkts)
{
	const struct message_shape shape = {.payload = 256, .real = true};

	for (uint32_t i = 0; i < PHASE; i++)
		pkts[i] = world_make_message(w, w->order[draw_below(hot)], &shape);
}

static void
finish(struct world *w, uint32_t hot)
{
	world_collect(w);
	world_put_acks(w);
	world_run(w);
	world_collect(w);
	confirm_all(w, hot);
}

/* PHASE messages arrive, gap cycles apart on average. Fills latency, sorted. */
static void
window(struct world *w, uint32_t hot, double gap, double *latency)
{
	static struct rte_mbuf *pkts[PHASE];
	static double arrival[PHASE];
	uint32_t wired = 0, done = 0;
	double now = 0;

	make(w, hot, pkts);
	for (uint32_t i = 0; i < PHASE; i++) {
		now -= gap * log(((double)draw_below(1u << 30) + 1) / (1u << 30));
		arrival[i] = now;
	}
	undisturbed(true);
	for (now = 0; done < PHASE;) {
		uint32_t taken;

		if (wired == done && arrival[wired] > now)
			now = arrival[wired];
		for (; wired < PHASE && arrival[wired] <= now; wired++)
			world_wire(w, 0, pkts[wired]);
		taken = RTE_MIN(rte_ring_count(w->lanes[0].in), (unsigned)PORT_BURST);
		now += (double)world_poll(w);
		for (; taken > 0; taken--, done++)
			latency[done] = now - arrival[done];
	}
	undisturbed(false);
	finish(w, hot);
	qsort(latency, PHASE, sizeof(latency[0]), compare);
}

/* Cycles per message when there is always a full burst. */
static double
capacity(struct world *w, uint32_t hot)
{
	static struct rte_mbuf *pkts[PHASE];
	struct series s = {.count = 0};

	for (unsigned r = 0; r < 5; r++) {
		make(w, hot, pkts);
		for (uint32_t i = 0; i < PHASE; i++)
			world_wire(w, 0, pkts[i]);
		world_run(w);
		series_add(&s, (double)w->cycles / PHASE);
		finish(w, hot);
	}
	return series_summary(&s).median;
}

void
add_latency(struct world *w, uint32_t hot)
{
	static const unsigned loads[] = {10, 20, 40, 60, 80, 90, 95};
	static double latency[PHASE];
	double us = 1e6 / (double)rte_get_tsc_hz();
	double full;

	if (!row_wanted("latency_p999_80"))
		return;
	full = capacity(w, hot);
	for (unsigned i = 0; i < RTE_DIM(loads); i++) {
		struct series p50 = {.count = 0}, p99 = {.count = 0}, p999 = {.count = 0};

		for (unsigned r = 0; r < WINDOWS; r++) {
			window(w, hot, full * 100 / loads[i], latency);
			series_add(&p50, latency[PHASE / 2] * us);
			series_add(&p99, latency[PHASE * 99 / 100] * us);
			series_add(&p999, latency[PHASE * 999 / 1000] * us);
		}
		plot_point("latency_p50", loads[i], series_summary(&p50), 0);
		plot_point("latency_p99", loads[i], series_summary(&p99), 0);
		plot_point("latency_p999", loads[i], series_summary(&p999), 0);
		if (loads[i] == 80)
			row_add("latency_p999_80", series_summary(&p999), "us", 0, 20, true,
				"Poisson arrivals at 80% of the capacity; max of the windows includes what the kernel took");
	}
	world_check(w);
}
