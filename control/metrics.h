/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the server shows as Prometheus metrics. One list of families: the endpoint and docs/metrics.md are made of it.
 * Their number depends on the configuration alone (workers), never on users, sessions or addresses.
 */
#ifndef ROOKERY_CONTROL_METRICS_H
#define ROOKERY_CONTROL_METRICS_H

#include "control/server.h"

/* The figures of one moment. */
struct metrics_snapshot {
	struct server_status status;
	struct server_counters counters;
	uint64_t memory_resident; /* of control; 0: not known */
	struct histogram commit, login;
};

enum metrics_type { METRICS_COUNTER, METRICS_GAUGE, METRICS_HISTOGRAM };

struct metrics_family {
	char name[96];
	enum metrics_type type;
	const char *text;   /* help: one line */
	const char *labels; /* for people: "worker", "ring, worker", "" */
};

/* The i-th family; false past the last. */
bool metrics_family(unsigned i, struct metrics_family *out);

/* Prometheus' text format 0.0.4 of s; malloced, NULL without memory. */
char *metrics_text(const struct metrics_snapshot *s, size_t *length);

#endif
