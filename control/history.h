/* SPDX-License-Identifier: BSD-3-Clause */
/* The last ten minutes of the main figures, and the JSON document of the status page made of them. No I/O, no clock. */
#ifndef ROOKERY_CONTROL_HISTORY_H
#define ROOKERY_CONTROL_HISTORY_H

#include "control/metrics.h"

#define HISTORY_SAMPLES 300
#define HISTORY_INTERVAL_MS 2000

struct history;

struct history *history_new(void);
void history_free(struct history *h);

/* About every HISTORY_INTERVAL_MS; wall_ms is since 1970. Rates come from the difference to the sample before. */
void history_add(struct history *h, const struct metrics_snapshot *s, uint64_t now_ms, uint64_t wall_ms);

/* The document, with the counts of users, devices and stored messages from s; malloced, NULL without memory. */
char *history_json(const struct history *h, const struct metrics_snapshot *s, size_t *length);

#endif
