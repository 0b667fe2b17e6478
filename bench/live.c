/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `rookbench live`: as many encrypted sessions as memory holds, each with a heartbeat every so many seconds, in real time: the worker
 * and its clients share one core. Every answer is opened and checked; at the end all sessions must still be there.
 *
 * Clients remember nothing (10 GB of records for the sessions leave no room for theirs): they ping in one order, pass after pass.
 */
#include "rows.h"

#include <rte_cycles.h>
#include <rte_malloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STRIDE UINT64_C(2654435761) /* a prime: neighbours in time are strangers in memory */
#define ROUTER_US 1000000
#define STEP_MAX 4096u
#define STEP_MIN 256u
#define PHASES 21

struct pace {
	double hz;
	uint64_t start;    /* TSC */
	uint64_t start_us; /* the world's clock then */
	uint64_t router_us;
	uint64_t pings;    /* sent */
	uint64_t answered;
	uint64_t busy;     /* cycles of the worker */
	double behind_s;   /* at most */
};

static void
ping_next(struct world *w, uint64_t *sent)
{
	uint64_t at = *sent % w->sessions;

	if (at == 0)
		w->sequence++;
	world_put_ping(w, (uint32_t)(at * STRIDE % w->sessions));
	(*sent)++;
}

static unsigned long
resident_mb(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (f == NULL || fscanf(f, "%*u %lu", &pages) != 1)
		pages = 0;
	if (f != NULL)
		fclose(f);
	return pages * (unsigned long)sysconf(_SC_PAGESIZE) >> 20;
}

/* Phases with the clock moving at their pace: what a worker pays for each, whatever the clients cost. */
static void
phases(struct world *w, double rate, uint64_t *sent)
{
	struct series s = {.count = 0};
	struct summary t;

	for (unsigned r = 0; r <= PHASES; r++) {
		for (uint32_t i = 0; i < PHASE; i++)
			ping_next(w, sent);
		w->now_us += (uint64_t)(PHASE / rate * 1e6);
		world_run(w);
		if (r > 0)
			series_add(&s, (double)w->cycles / PHASE);
		world_collect(w);
		if (w->pongs != PHASE)
			fail("%u pings, %u answers", PHASE, w->pongs);
	}
	t = series_summary(&s);
	printf("heartbeats: %.0f (%.0f-%.0f) cycles each; %.0f a second are %.1f%% of a core\n", t.median, t.min, t.max, rate,
	       t.median * rate / (double)rte_get_tsc_hz() * 100);
}

/* The pings that are due by now, and their answers. Returns how many were due. */
static uint32_t
step(struct world *w, struct pace *p, double rate)
{
	double elapsed = (double)(rte_rdtsc() - p->start) / p->hz;
	uint64_t due = (uint64_t)(elapsed * rate) - p->answered;
	uint32_t n = (uint32_t)RTE_MIN(due, (uint64_t)STEP_MAX);

	p->behind_s = RTE_MAX(p->behind_s, (double)due / rate);
	for (uint32_t i = 0; i < n; i++)
		ping_next(w, &p->pings);
	w->now_us = RTE_MAX(w->now_us, p->start_us + (uint64_t)(elapsed * 1e6));
	if (w->now_us - p->router_us > ROUTER_US) {
		p->router_us = w->now_us;
		world_router(w);
		p->busy += w->cycles;
	}
	world_run(w);
	p->busy += w->cycles;
	world_collect(w);
	if (w->pongs != n)
		fail("%u pings, %u answers; %.0f s behind: the machine is too slow for %.0f a second, and sessions expire", n, w->pongs,
		     p->behind_s, rate);
	p->answered += n;
	return n;
}

static void
in_real_time(struct world *w, double rate, unsigned seconds, uint64_t sent)
{
	struct pace p = {.hz = (double)rte_get_tsc_hz(), .start = rte_rdtsc(), .start_us = w->now_us, .pings = sent};
	double elapsed, next = 10;

	while ((elapsed = (double)(rte_rdtsc() - p.start) / p.hz) < seconds) {
		if (step(w, &p, rate) < STEP_MIN)
			usleep(500);
		if (elapsed >= next) {
			printf("%4.0f s: %.1f million heartbeats, the worker took %.1f%% of a core, at most %.2f s behind\n", elapsed,
			       (double)p.answered / 1e6, (double)p.busy / p.hz / elapsed * 100, p.behind_s);
			fflush(stdout);
			next += 10;
		}
	}
	printf("in real time: %.0f s, %lu heartbeats answered (%.0f a second of %.0f wanted), worker %.1f%% of a core, at most %.2f s behind\n",
	       elapsed, (unsigned long)p.answered, (double)p.answered / elapsed, rate, (double)p.busy / p.hz / elapsed * 100, p.behind_s);
}

void
live_run(uint32_t sessions, unsigned seconds, unsigned interval_s)
{
	double hz = (double)rte_get_tsc_hz(), rate = (double)sessions / interval_s;
	uint64_t start = rte_rdtsc(), sent = 0;
	static struct world w;
	unsigned long resident;

	world_open(&w, &(struct world_shape){
			       .sessions = sessions, .active = 65536, .pings_only = true, .timeout_ms = 2 * interval_s * 1000});
	resident = resident_mb();
	printf("%u sessions provisioned, pinged and answered after %.0f s; %lu MiB resident, %.0f bytes a session\n", sessions,
	       (double)(rte_rdtsc() - start) / hz, resident, (double)(resident << 20) / sessions);
	fflush(stdout);
	phases(&w, rate, &sent);
	if (seconds != 0)
		in_real_time(&w, rate, seconds, sent);
	world_check(&w);
	printf("%u sessions are live, none expired\n", w.workers[0]->sessions.live);
	world_close(&w);
}
