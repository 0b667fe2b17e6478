/* SPDX-License-Identifier: BSD-3-Clause */
/* The loop: rx burst, hand-offs, cells from control, timers, tx; and the idle back-off. */
#include "shed.h"
#include "worker_state.h"

#include <errno.h>
#include <rte_cycles.h>
#include <rte_malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* Iterations without work before a worker sleeps, and for how long it does at most: hand-offs and cells from control wait no longer. */
#define IDLE_LOOPS 256
#define IDLE_WAIT_US 1000
#define WALL_SYNC_US UINT64_C(100000)
#define FULL_BURSTS_IN_TIME 4
#define SHED_BURSTS 16 /* of which a worker that is behind makes one */
/* Deliveries of this worker's own records; a record has one part in most cases. */
#define DELIVERIES_PER_MESSAGE 2u

static int
worker_tables(struct worker *w, const struct worker_options *o)
{
	uint32_t sessions = (o->config->dataplane.sessions + o->workers - 1) / o->workers;
	uint32_t activities = o->activities != 0 ? o->activities : o->config->dataplane.activities;
	uint32_t messages = o->config->dataplane.messages;
	uint64_t seed;
	int rc;

	w->guard_sets = rte_zmalloc_socket("logins", GUARD_SETS * sizeof(*w->guard_sets), 64, o->numa_node);
	if (w->guard_sets == NULL)
		return -ENOMEM;
	guard_init(&w->guard,
		   &(struct guard_limits){
			   .logins_per_second = o->config->control.logins_per_second,
			   .host_logins_per_minute = o->config->limits.host_logins_per_minute,
			   .net_logins_per_minute = o->config->limits.net_logins_per_minute,
		   },
		   w->guard_sets);
	w->guard.resume = &w->resume;
	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed) || getrandom(&w->random, sizeof(w->random), 0) != sizeof(w->random))
		return -EIO;
	w->random |= 1;
	rc = session_table_init(&w->sessions, sessions, RTE_MIN(sessions, activities), o->numa_node, w->now_us);
	if (rc == 0)
		rc = message_table_init(&w->messages, messages, o->numa_node, w->now_us, seed);
	if (rc == 0)
		rc = delivery_table_init(&w->deliveries, messages * DELIVERIES_PER_MESSAGE, (o->workers - 1) * HANDOFF_CREDIT,
					 o->numa_node, w->now_us);
	if (rc == 0)
		rc = resume_init(&w->resume, o->config, sessions, o->numa_node);
	if (rc == 0)
		rc = handoff_init(w, o->numa_node);
	if (rc != 0)
		return rc;
	w->keycache = keycache_new(KEYCACHE_ENTRIES, o->numa_node);
	return w->keycache != NULL ? 0 : -ENOMEM;
}

static void
worker_rings(struct worker *w)
{
	w->event_ring = ipc_ring(w->ipc, IPC_EVENT, w->index);
	w->request_ring = ipc_ring(w->ipc, IPC_REQUEST, w->index);
	w->login_ring = ipc_ring(w->ipc, IPC_LOGIN, w->index);
	w->inject_ring = ipc_ring(w->ipc, IPC_INJECT, w->index);
	w->trace.ring = ipc_ring(w->ipc, IPC_TRACE, w->index);
}

int
worker_new(struct worker **out, const struct worker_options *o, char *error, size_t cap)
{
	struct worker *w;
	int rc;

	if (o->port_count > PORT_MAX || o->workers > SESSION_WORKERS_MAX || o->index >= o->workers) {
		snprintf(error, cap, "worker %u: %u ports and %u workers are more than this build serves (%u, %u)", o->index, o->port_count,
			 o->workers, PORT_MAX, SESSION_WORKERS_MAX);
		return -EINVAL;
	}
	w = rte_zmalloc_socket("worker", sizeof(*w), 64, o->numa_node);
	if (w == NULL)
		goto no_memory;
	w->index = o->index;
	w->workers = o->workers;
	w->config = o->config;
	w->ipc = o->ipc;
	w->tables = o->tables;
	w->bans = tables_bans(o->tables);
	w->pool = o->pool;
	w->numa_node = o->numa_node;
	w->port_count = o->port_count;
	w->reset_second = UINT64_MAX;
	w->message_rate = rate_make(o->config->limits.messages_per_second, 1000, o->config->limits.messages_burst);
	w->conversation_rate =
		rate_make(o->config->limits.conversations_per_second, 1000, o->config->limits.conversations_burst);
	w->request_rate = rate_make(o->config->limits.requests_per_second, 1000, o->config->limits.requests_burst);
	w->timeout_us = (uint64_t)o->config->session.timeout_ms * 1000;
	w->restricted_us = (uint64_t)o->config->session.restricted_ms * 1000;
	for (unsigned i = 0; i < o->port_count; i++)
		w->queues[i] = (struct port_queue){
			.port = &o->ports[i],
			.queue = (uint16_t)o->index,
			.index = (uint8_t)i,
			.pool = o->pool,
			.counters = w->counters,
		};
	worker_rings(w);
	rc = aead_init();
	if (rc == 0)
		rc = worker_tables(w, o);
	if (rc == 0) {
		*out = w;
		return 0;
	}
	worker_free(w);
	if (rc != -ENOMEM) {
		snprintf(error, cap, "worker %u: %s", o->index, strerror(-rc));
		return rc;
	}
no_memory:
	snprintf(error, cap,
		 "worker %u: no memory on NUMA node %d for %u sessions and %u messages; raise dataplane.memory_mb or the number of "
		 "hugepages",
		 o->index, o->numa_node, o->config->dataplane.sessions / o->workers, o->config->dataplane.messages);
	return -ENOMEM;
}

void
worker_connect(struct worker **workers, uint32_t n)
{
	for (uint32_t from = 0; from < n; from++)
		for (uint32_t to = 0; to < n; to++)
			workers[from]->handoff_out[to].ring = workers[to]->handoff.ring;
}

void
worker_free(struct worker *w)
{
	if (w == NULL)
		return;
	output_fini(w);
	handoff_fini(w);
	keycache_free(w->keycache);
	delivery_table_fini(&w->deliveries);
	message_table_fini(&w->messages);
	session_table_fini(&w->sessions);
	resume_fini(&w->resume);
	rte_free(w->guard_sets);
	rte_free(w);
}

void
worker_wipe(struct worker *w)
{
	if (w == NULL)
		return;
	keycache_wipe(w->keycache);
	for (uint32_t i = 0; i < w->sessions.capacity; i++)
		if (w->sessions.sessions[i].generation != 0)
			explicit_bzero(&w->sessions.sessions[i].keys, sizeof(w->sessions.sessions[i].keys));
	explicit_bzero(&w->guard, sizeof(w->guard));
}

static void
server_key(struct worker *w)
{
	const struct ipc_header *h = w->ipc->header;

	if (!w->guard.have_keys && atomic_load_explicit(&h->server_key_set, memory_order_acquire) != 0)
		guard_set_server_key(&w->guard, h->server_public);
}

/* Datagrams from a port. */
static void
packets_in(struct worker *w, struct rte_mbuf **pkts, uint16_t n)
{
	struct rte_rib6 *banned = bans_tree(w->bans);

	if (unlikely(banned != NULL))
		n = bans_drop(banned, pkts, n, w->counters);
	receive_burst(w, pkts, n);
}

/* Full bursts, one after the other: more is waiting. To look at a LOGIN costs as much as several other packets, so sessions go first,
 * and a flood is looked at in the time that they leave. While it is shed, bursts are put together, so that a packet of a session does not
 * wait (or get lost) behind LOGINs for which nothing is done. */
static unsigned
port_poll(struct worker *w, unsigned i)
{
	bool behind = w->full_bursts[i] > FULL_BURSTS_IN_TIME;
	struct port_queue *q = &w->queues[i];
	struct rte_mbuf *pkts[PORT_BURST];
	unsigned bursts = 0;
	uint16_t n = 0, got;

	guard_set_behind(&w->guard, w->guard_shared, behind, w->now_us);
	q->shedding = behind ? &w->guard : NULL;
	do {
		q->full = false;
		got = q->port->ops->rx(q, pkts + n, (uint16_t)(PORT_BURST - n), w->now_us / 1000);
		if (got == PORT_BURST - n)
			q->full = true;
		if (behind && !q->port->ops->sheds)
			got = q->trace != NULL ? trace_shed(q, NULL, pkts + n, got) : shed_datagrams(q, pkts + n, got);
		n += got;
		bursts++;
	} while (behind && q->full && n <= PORT_BURST / 2 && bursts < SHED_BURSTS);
	w->full_bursts[i] = q->full ? w->full_bursts[i] + 1 : 0;
	if (unlikely(w->trace.count != 0))
		trace_receive(w, pkts, n, packets_in);
	else
		packets_in(w, pkts, n);
	return n + (behind ? bursts : 0);
}

unsigned
worker_poll(struct worker *w, uint64_t now_us, uint64_t wall_ms)
{
	unsigned work = 0;

	w->now_us = now_us;
	w->wall_ms = wall_ms;
	server_key(w);
	for (unsigned i = 0; i < w->port_count; i++)
		work += port_poll(w, i);
	if (w->workers > 1)
		work += handoff_poll(w);
	work += inject_poll(w);
	work += session_timers(w);
	work += relay_timers(w);
	work += inflight_timers(w);
	punt_flush(w);
	output_transmit(w);
	handoff_flush(w);
	return work;
}

/* Monotonic microseconds from the TSC, without a division per iteration. */
struct tsc_clock {
	uint64_t start_tsc;
	double us_per_cycle;
	uint64_t wall_ms;     /* at wall_us */
	uint64_t wall_us;
};

static uint64_t
clock_us(struct tsc_clock *c, uint64_t tsc)
{
	return (uint64_t)((double)(tsc - c->start_tsc) * c->us_per_cycle) + 1;
}

static uint64_t
clock_wall_ms(struct tsc_clock *c, uint64_t now_us)
{
	struct timespec ts;

	if (c->wall_ms == 0 || now_us - c->wall_us > WALL_SYNC_US) {
		clock_gettime(CLOCK_REALTIME, &ts);
		c->wall_ms = (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
		c->wall_us = now_us;
	}
	return c->wall_ms + (now_us - c->wall_us) / 1000;
}

static void
idle_wait(struct worker *w)
{
	tables_reader_offline(w->tables, w->index);
	for (unsigned i = 0; i < w->port_count; i++)
		w->queues[i].port->ops->wait(&w->queues[i], IDLE_WAIT_US / w->port_count);
	tables_reader_online(w->tables, w->index);
}

int
worker_run(void *arg)
{
	const struct worker_run *run = arg;
	struct worker *w = run->worker;
	bool adaptive = w->config->dataplane.poll == POLL_ADAPTIVE;
	struct tsc_clock clock = {.start_tsc = rte_rdtsc(), .us_per_cycle = 1e6 / (double)rte_get_tsc_hz()};
	unsigned idle = 0;

	tables_reader_online(w->tables, w->index);
	while (!atomic_load_explicit(run->stop, memory_order_relaxed)) {
		uint64_t tsc = rte_rdtsc();
		uint64_t now_us = clock_us(&clock, tsc);

		if (worker_poll(w, now_us, clock_wall_ms(&clock, now_us)) != 0) {
			w->counters[COUNTER_loops_busy]++;
			w->counters[COUNTER_cycles_busy] += rte_rdtsc() - tsc;
			idle = 0;
		} else {
			w->counters[COUNTER_loops_idle]++;
			if (adaptive && ++idle > IDLE_LOOPS)
				idle_wait(w);
		}
		tables_reader_quiescent(w->tables, w->index);
	}
	tables_reader_offline(w->tables, w->index);
	return 0;
}
