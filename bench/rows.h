/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files with the rows share. */
#ifndef ROOKERY_BENCH_ROWS_H
#define ROOKERY_BENCH_ROWS_H

#include "bench.h"

#define ROW_SESSIONS 1000000u
#define SCALE_SESSIONS 10000000u

void rows_relay(void);
void rows_scale(void);
void rows_timers(void);
void rows_flood(void);
void rows_resume(void);
void rows_workers(void);
/* Not a row: rookbench live. */
void live_run(uint32_t sessions, unsigned seconds, unsigned interval_s);
void rows_children(void);
void pcap_write(const char *path, const char *server_mac, uint32_t sessions);
void rows_fanout(struct world *w);
/* Is there a row that needs SCALE_SESSIONS? */
bool scale_wanted(void);

/* options.rounds phases of messages among the first `hot` clients of w->order. */
void relay_rounds(struct world *w, uint32_t hot, uint16_t payload, struct series *relay, struct series *reference);
/* us_per_phase: how far the clock moves beyond the worker's own time. */
void heartbeat_rounds(struct world *w, unsigned phases, uint64_t us_per_phase, struct series *pings, struct series *reference);
void confirm_all(struct world *w, uint32_t hot);
void add_latency(struct world *w, uint32_t hot);
/* A point of each curve over the number of sessions. */
void scale_points(struct world *w);

#endif
