/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A worker: one lcore, its queue of every port, the sessions it owns. worker.c holds the loop.
 *
 * Thread-safety: worker_new and worker_free on the main lcore; everything else by the worker's lcore alone, except
 * the fields marked otherwise.
 */
#ifndef ROOKERY_DATAPLANE_WORKER_H
#define ROOKERY_DATAPLANE_WORKER_H

#include "port.h"
#include "shared/config.h"
#include "shared/ipc.h"
#include "tables.h"

#include <stdatomic.h>
#include <stdbool.h>

struct worker;

struct worker_options {
	const struct config *config;
	const struct ipc *ipc;
	struct tables *tables;
	uint32_t index;
	uint32_t workers;
	int numa_node;
	struct rte_mempool *pool; /* packets */
	struct port *ports;
	unsigned port_count;
	uint32_t activities; /* sessions that may exchange messages within a minute; 0: dataplane.activities */
};

/* Returns 0 or -ENOMEM, -EINVAL with a line in error. */
int worker_new(struct worker **out, const struct worker_options *o, char *error, size_t cap);
/* All workers know each other's hand-off rings; call once after all were made, before any runs. */
void worker_connect(struct worker **workers, uint32_t count);
void worker_free(struct worker *w);
/* Instead, when the process ends: wipes what is secret and leaves the rest to the kernel, which takes memory back without writing all
 * of it. */
void worker_wipe(struct worker *w);

/* One iteration at a given time; returns the number of packets, cells and timers it handled. Tests and benchmarks call it directly.
 * now_us: monotonic microseconds. wall_ms: ms since 1970. */
unsigned worker_poll(struct worker *w, uint64_t now_us, uint64_t wall_ms);

/* lcore_function_t: polls with the TSC's clock until *stop. */
struct worker_run {
	struct worker *worker;
	const _Atomic bool *stop; /* main lcore writes */
};
int worker_run(void *arg);

/* Housekeeping (main lcore): applies the TABLE ring, reclaims, publishes counters and dataplane_alive, rings the
 * doorbell, rotates the cookie secret. Call every 200 us to 1 ms. Returns the cells applied. */
struct housekeeping;
int housekeeping_new(struct housekeeping **out, const struct ipc *ipc, struct tables *tables, struct worker **workers,
		     uint32_t count, const char *doorbell_path);
/* Whose devices are asked to drop up to nic_bans banned prefixes themselves. 0 or -ENOMEM. */
struct port;
int housekeeping_ports(struct housekeeping *h, struct port *ports, unsigned count, uint32_t nic_bans);
unsigned housekeeping_poll(struct housekeeping *h, uint64_t now_us);
void housekeeping_free(struct housekeeping *h);


#endif
