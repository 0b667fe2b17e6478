/* SPDX-License-Identifier: BSD-3-Clause */
/* The main lcore's work while the workers run: tables, counters, signs of life, cookie secrets, doorbell. */
#include "bans_nic.h"
#include "shared/log.h"
#include "worker_state.h"

#include <errno.h>
#include <fcntl.h>
#include <rte_cycles.h>
#include <rte_mempool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TABLE_BURST 256
#define PUBLISH_GAP_US UINT64_C(100000)
#define MEMORY_GAP_US UINT64_C(1000000)

struct housekeeping {
	const struct ipc *ipc;
	struct tables *tables;
	struct worker **workers;
	uint32_t count;
	const struct cell_ring *table_ring;
	struct guard_shared guard_shared;
	uint64_t cookie_us;
	uint64_t published_us;
	uint64_t tables_full;
	uint64_t rounds;   /* that all workers have made */
	uint64_t loops[SESSION_WORKERS_MAX]; /* of each, at the last of them */
	struct bans_nic bans_nic;
	int statm; /* /proc/self/statm, open before the process hides its memory; -1: not there */
	uint64_t memory_us;
	int doorbell;
	char doorbell_path[108];
};

int
housekeeping_new(struct housekeeping **out, const struct ipc *ipc, struct tables *tables, struct worker **workers, uint32_t count,
		 const char *doorbell_path)
{
	struct housekeeping *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return -ENOMEM;
	if (strlen(doorbell_path) >= sizeof(h->doorbell_path)) {
		free(h);
		return -ENAMETOOLONG;
	}
	strcpy(h->doorbell_path, doorbell_path);
	h->doorbell = doorbell_open();
	if (h->doorbell < 0) {
		int rc = h->doorbell;

		free(h);
		return rc;
	}
	h->statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	h->ipc = ipc;
	h->tables = tables;
	h->workers = workers;
	h->count = count;
	h->table_ring = ipc_ring(ipc, IPC_TABLE, 0);
	guard_shared_rotate(&h->guard_shared, 0, &h->cookie_us);
	for (uint32_t i = 0; i < count; i++)
		workers[i]->guard_shared = &h->guard_shared;
	*out = h;
	return 0;
}

int
housekeeping_ports(struct housekeeping *h, struct port *ports, unsigned count, uint32_t nic_bans)
{
	return bans_nic_init(&h->bans_nic, ports, count, nic_bans, ipc_bans(h->ipc));
}

void
housekeeping_free(struct housekeeping *h)
{
	if (h == NULL)
		return;
	if (h->statm >= 0)
		close(h->statm);
	close(h->doorbell);
	bans_nic_fini(&h->bans_nic);
	explicit_bzero(&h->guard_shared, sizeof(h->guard_shared));
	free(h);
}

/* Nothing is lost by it, but somebody should know: live messages to that user take the way through the store. */
static void
table_full(struct housekeeping *h)
{
	if (h->tables_full++ == 0)
		log_warning(tables, "the user table is full: raise dataplane.users", "users=%u", tables_user_count(h->tables));
}

static void
log_apply(const struct cell_log *c)
{
	log_set_format((enum log_format)c->format);
	for (unsigned i = 0; i < LOG_AREA_COUNT; i++)
		log_set_level((enum log_area)i, (enum log_level)c->level[i]);
	log_debug(log, "levels set", "");
}

static unsigned
tables_poll(struct housekeeping *h)
{
	const struct cell *c;
	struct cell copy;
	unsigned n = 0;

	while (n < TABLE_BURST && (c = ring_front(h->table_ring)) != NULL) {
		int rc = 0;

		if (cell_copy(&copy, c)) {
			if (copy.type == TABLE_BARRIER) {
				atomic_store_explicit(&h->ipc->header->barrier, copy.barrier.value, memory_order_release);
				doorbell_ring(h->doorbell, h->doorbell_path, DOORBELL_STATE);
			} else if (copy.type == TABLE_LOG) {
				log_apply(&copy.log);
			} else {
				rc = tables_apply(h->tables, &copy);
			}
		}
		if (rc == -EAGAIN)
			break; /* until the workers have come round */
		if (rc == -ENOSPC)
			table_full(h);
		if (rc == -ENOMEM)
			log_error(tables, "no memory for a changed list of bans: raise dataplane.memory_mb", "bans=%u",
				  tables_ban_count(h->tables));
		ring_release(h->table_ring);
		n++;
	}
	tables_reclaim(h->tables);
	return n;
}

static void
publish(struct ipc_worker_stats *stats, enum counter c, uint64_t value)
{
	atomic_store_explicit(&stats->counter[c], value, memory_order_relaxed);
}

static void
gauges_publish(const struct worker *w, struct ipc_worker_stats *stats)
{
	publish(stats, COUNTER_sessions_live, __atomic_load_n(&w->sessions.live, __ATOMIC_RELAXED));
	publish(stats, COUNTER_messages_live, __atomic_load_n(&w->messages.used, __ATOMIC_RELAXED));
	publish(stats, COUNTER_deliveries_live, __atomic_load_n(&w->deliveries.used, __ATOMIC_RELAXED));
	/* Looks at the caches of the workers without their knowledge: right within a burst. */
	publish(stats, COUNTER_packets_used, rte_mempool_in_use_count(w->pool));
	publish(stats, COUNTER_packets_capacity, w->pool->size);
}

static void
memory_publish(struct housekeeping *h, struct ipc_worker_stats *stats, uint64_t now_us)
{
	char text[128];
	unsigned long pages;
	ssize_t n;

	if (h->memory_us != 0 && now_us - h->memory_us < MEMORY_GAP_US)
		return;
	h->memory_us = now_us;
	publish(stats, COUNTER_cycles_per_second, rte_get_tsc_hz());
	n = h->statm < 0 ? -1 : pread(h->statm, text, sizeof(text) - 1, 0);
	if (n <= 0)
		return;
	text[n] = '\0';
	if (sscanf(text, "%*u %lu", &pages) == 1)
		publish(stats, COUNTER_memory_resident, pages * (uint64_t)sysconf(_SC_PAGESIZE));
}

static void
counters_publish(struct housekeeping *h, uint64_t now_us)
{
	struct ipc_worker_stats *own = ipc_stats(h->ipc, h->count);

	for (uint32_t i = 0; i < h->count; i++) {
		const struct worker *w = h->workers[i];
		struct ipc_worker_stats *stats = ipc_stats(h->ipc, i);

		for (unsigned c = 0; c < COUNTER_COUNT; c++)
			if (!counter_info[c].is_gauge)
				publish(stats, c, __atomic_load_n(&w->counters[c], __ATOMIC_RELAXED));
		gauges_publish(w, stats);
	}
	publish(own, COUNTER_tables_full, h->tables_full);
	publish(own, COUNTER_bans_active, tables_ban_count(h->tables));
	publish(own, COUNTER_bans_nic, bans_nic_held(&h->bans_nic));
	publish(own, COUNTER_bans_nic_refused, h->bans_nic.refused);
	memory_publish(h, own, now_us);
}

/* For the launcher, who kills us when one of them hangs. A worker without work comes round every millisecond, too. */
static void
workers_watch(struct housekeeping *h)
{
	uint64_t now[SESSION_WORKERS_MAX];

	for (uint32_t i = 0; i < h->count; i++) {
		const uint64_t *counters = h->workers[i]->counters;

		now[i] = __atomic_load_n(&counters[COUNTER_loops_busy], __ATOMIC_RELAXED) +
			 __atomic_load_n(&counters[COUNTER_loops_idle], __ATOMIC_RELAXED);
		if (h->rounds != 0 && now[i] == h->loops[i]) {
			atomic_store_explicit(&h->ipc->header->worker_behind, i, memory_order_relaxed);
			return;
		}
	}
	memcpy(h->loops, now, h->count * sizeof(now[0]));
	atomic_store_explicit(&h->ipc->header->workers_alive, ++h->rounds, memory_order_relaxed);
}

static bool
punt_waiting(const struct housekeeping *h)
{
	for (uint32_t i = 0; i < h->count; i++)
		for (int ring = IPC_EVENT; ring <= IPC_LOGIN; ring++)
			if (ring_used(ipc_ring(h->ipc, ring, i)) != 0)
				return true;
	return false;
}

unsigned
housekeeping_poll(struct housekeeping *h, uint64_t now_us)
{
	struct ipc_header *header = h->ipc->header;
	unsigned n = tables_poll(h);

	if (h->bans_nic.port_count != 0)
		n += bans_nic_poll(&h->bans_nic, tables_bans(h->tables));

	if (now_us - h->published_us >= PUBLISH_GAP_US) {
		bool first = h->published_us == 0;

		h->published_us = now_us;
		counters_publish(h, now_us);
		workers_watch(h);
		guard_shared_rotate(&h->guard_shared, now_us, &h->cookie_us);
		atomic_store_explicit(&header->dataplane_alive, now_us / 1000, memory_order_release);
		if (first)
			doorbell_ring(h->doorbell, h->doorbell_path, DOORBELL_STATE);
	}
	if (atomic_load_explicit(&header->control_sleeping, memory_order_acquire) != 0 && punt_waiting(h)) {
		atomic_store_explicit(&header->control_sleeping, 0, memory_order_relaxed);
		doorbell_ring(h->doorbell, h->doorbell_path, DOORBELL_CELLS);
	}
	return n;
}
