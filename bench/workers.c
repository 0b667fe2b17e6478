/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two workers against one: whole lives of messages (MESSAGE with CONFIRM, ACCEPTED, forward, ACK, DELIVERED), as in acked_256.
 *
 * The load of a phase is made by one thread outside the clock. Then each worker runs on a core of its own until there is nothing
 * left to do for either, and the figure is the time of the last one. Also by turns on one core, where a worker's share is what its
 * own iterations took: without what the caches of two cores cost, and without what other programs do to the second core.
 *
 * Thread-safety: the second worker's thread runs between the barrier's two waits only, when the first one plays no client.
 */
#include "rows.h"

#include <pthread.h>
#include <rte_cycles.h>
#include <rte_lcore.h>
#include <rte_pause.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define SESSIONS 100000u
#define HOT 4096u

struct crew {
	struct world *world; /* set before the barrier */
	bool stop;           /* the same */
	pthread_barrier_t barrier;
	atomic_uint ready;
	atomic_bool idle[LANES_MAX]; /* each worker's thread writes its own */
	uint64_t span[LANES_MAX];    /* cycles; the same, read behind the barrier */
	uint64_t now_us[LANES_MAX];  /* the same */
};

static struct crew crew;
static bool crew_here;

/* ---- a core each ---- */

static bool
all_idle(const struct world *w)
{
	for (unsigned i = 0; i < w->lane_count; i++)
		if (!rte_ring_empty(w->lanes[i].in) || !rte_ring_empty(w->workers[i]->handoff.ring))
			return false;
	for (unsigned i = 0; i < w->lane_count; i++)
		if (!atomic_load(&crew.idle[i]))
			return false;
	return true;
}

static void
lane_work(unsigned lane)
{
	struct world *w = crew.world;
	double us_per_cycle = 1e6 / (double)rte_get_tsc_hz(), now_us = (double)w->now_us;
	uint64_t start;

	undisturbed(true);
	atomic_store(&crew.idle[lane], false);
	atomic_fetch_add(&crew.ready, 1);
	while (atomic_load(&crew.ready) < w->lane_count)
		rte_pause();
	start = rte_rdtsc_precise();
	while (!all_idle(w)) {
		uint64_t before = rte_rdtsc();
		unsigned work;

		/* first this, then what takes from the rings: who finds them empty must not miss that we are at work */
		if (atomic_load_explicit(&crew.idle[lane], memory_order_relaxed))
			atomic_store(&crew.idle[lane], false);
		work = worker_poll(w->workers[lane], (uint64_t)now_us, WALL_MS + (uint64_t)now_us / 1000);
		tables_reader_quiescent(w->tables, lane);
		if (work == 0)
			atomic_store(&crew.idle[lane], true);
		else /* the world stands still when the kernel takes the core away */
			now_us += RTE_MIN((double)(rte_rdtsc() - before) * us_per_cycle, 100.0);
	}
	crew.span[lane] = rte_rdtsc_precise() - start;
	crew.now_us[lane] = (uint64_t)now_us;
	undisturbed(false);
}

static void *
second_thread(void *arg)
{
	(void)arg;
	if (rte_thread_register() != 0)
		fail("the second worker gets no lcore");
	for (;;) {
		pthread_barrier_wait(&crew.barrier);
		if (crew.stop)
			break;
		if (crew.world->lane_count > 1)
			lane_work(1);
		pthread_barrier_wait(&crew.barrier);
	}
	rte_thread_unregister();
	return NULL;
}

/* On any CPU but ours. Returns false when there is none. */
static bool
crew_start(pthread_t *thread)
{
	pthread_attr_t attr;
	cpu_set_t cpus;
	bool ok;

	CPU_ZERO(&cpus);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (cpu != sched_getcpu())
			CPU_SET(cpu, &cpus);
	pthread_barrier_init(&crew.barrier, NULL, 2);
	pthread_attr_init(&attr);
	ok = pthread_attr_setaffinity_np(&attr, sizeof(cpus), &cpus) == 0 && pthread_create(thread, &attr, second_thread, NULL) == 0;
	pthread_attr_destroy(&attr);
	return ok;
}

static void
crew_stop(pthread_t thread)
{
	crew.stop = true;
	pthread_barrier_wait(&crew.barrier);
	pthread_join(thread, NULL);
	pthread_barrier_destroy(&crew.barrier);
}

/* As world_run, with a core for each worker. */
static void
run_cores(struct world *w)
{
	crew.world = w;
	atomic_store(&crew.ready, 0);
	pthread_barrier_wait(&crew.barrier);
	lane_work(0);
	pthread_barrier_wait(&crew.barrier);
	w->cycles = 0;
	for (unsigned i = 0; i < w->lane_count; i++) {
		w->cycles = RTE_MAX(w->cycles, crew.span[i]);
		w->now_us = RTE_MAX(w->now_us, crew.now_us[i]);
	}
}

/* ---- rounds ---- */

/* A phase of messages, and one of their ACKs. Returns the cycles of the worker that took longest, per message. */
static double
lives(struct world *w, void (*run)(struct world *))
{
	const struct message_shape shape = {.payload = 256, .with_confirm = true, .real = true};
	uint64_t cycles;

	for (uint32_t i = 0; i < PHASE; i++)
		world_put_message(w, w->order[draw_below(HOT)], &shape);
	run(w);
	cycles = w->cycles;
	world_collect(w);
	if (w->ack_count != PHASE || w->receipts[RECEIPT_ACCEPTED] != PHASE)
		fail("%u messages, %u accepted, %u forwarded", PHASE, w->receipts[RECEIPT_ACCEPTED], w->ack_count);
	world_put_acks(w);
	run(w);
	cycles += w->cycles;
	world_collect(w);
	if (w->receipts[RECEIPT_DELIVERED] != PHASE)
		fail("%u messages, %u delivered", PHASE, w->receipts[RECEIPT_DELIVERED]);
	return (double)cycles / PHASE;
}

/* Round by round: how many times as much two workers do as one, and how much of one's time a message takes of both. */
struct pair {
	struct series ratio, share, one;
};

static void
rounds(struct world *one, struct world *two, void (*run)(struct world *), struct pair *p)
{
	for (unsigned r = 0; r <= options.rounds; r++) {
		double a = lives(one, run), b = lives(two, run);

		if (r == 0) /* warms up */
			continue;
		series_add(&p->ratio, a / b);
		series_add(&p->share, 2 * b / a);
		series_add(&p->one, a);
	}
	world_check(one);
	world_check(two);
}

/* What crossing adds to a message's life, both workers together: each kind against one worker of the same rounds. */
static void
report_handoff(const char *name, const struct pair pairs[], const char *note)
{
	struct summary none = series_summary(&pairs[CROSSING_NONE].share), all = series_summary(&pairs[CROSSING_ALL].share);
	double cycles = (series_summary(&pairs[CROSSING_NONE].one).median + series_summary(&pairs[CROSSING_ALL].one).median) / 2;
	struct summary s = {
		.median = (all.median - none.median) * cycles,
		.min = (all.min - none.max) * cycles,
		.max = (all.max - none.min) * cycles,
	};

	figure_add(name, s, "cycles/message", cycles, note);
}

static void
report(struct pair turns[], struct pair cores[])
{
	if (crew_here)
		row_add("workers_2", series_summary(&cores[CROSSING_DRAWN].ratio), "x", 0, 1.7, false,
			"two cores, half of the messages cross; whole lives of 256-byte messages, against one worker on one core");
	else
		row_absent("workers_2", "x", 1.7, "there is no second CPU");
	figure_add("workers_2_turns", series_summary(&turns[CROSSING_DRAWN].ratio), "x", 0,
		   "the same, both workers in turns on one core: the cycles of the slower one");
	report_handoff("handoff_turns", turns, "what crossing adds to a message's life, in turns; reference: the life with one worker");
	if (!crew_here)
		return;
	figure_add("workers_2_apart", series_summary(&cores[CROSSING_NONE].ratio), "x", 0, "two cores, no message crosses");
	figure_add("workers_2_crossing", series_summary(&cores[CROSSING_ALL].ratio), "x", 0, "two cores, every message crosses");
	report_handoff("handoff_cores", cores, "the same on two cores: with the lines that travel, and waiting for the slower one");
}

static void
crossing_check(const struct world *w, enum crossing c)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < HOT; i++)
		n += session_id_worker(load_session(w, w->order[i])) != session_id_worker(load_session(w, w->order[i ^ 1]));
	if (c == CROSSING_DRAWN ? n < HOT / 4 || n > HOT * 3 / 4 : n != (c == CROSSING_ALL ? HOT : 0))
		fail("%u of %u clients have a buddy at the other worker", n, HOT);
}

void
rows_workers(void)
{
	static struct world one, two;
	static struct pair turns[CROSSING_ALL + 1], cores[CROSSING_ALL + 1];
	uint32_t sessions = RTE_MIN(SESSIONS, options.sessions_max / 4 * 4);
	pthread_t thread;

	if (!row_wanted("workers_2"))
		return;
	crew_here = crew_start(&thread);
	world_open(&one, &(struct world_shape){.sessions = sessions});
	for (enum crossing c = CROSSING_DRAWN; c <= CROSSING_ALL; c++) {
		world_open(&two, &(struct world_shape){.sessions = sessions, .lanes = 2, .crossing = c});
		crossing_check(&two, c);
		rounds(&one, &two, world_run_measured, &turns[c]);
		if (crew_here)
			rounds(&one, &two, run_cores, &cores[c]);
		confirm_all(&two, HOT);
		world_close(&two);
	}
	confirm_all(&one, HOT);
	world_close(&one);
	if (crew_here)
		crew_stop(thread);
	report(turns, cores);
}
