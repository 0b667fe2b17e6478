/* SPDX-License-Identifier: BSD-3-Clause */
/* Plays control for a running rookery-dataplane: joins its rings, gives it sessions, users and verdicts, and takes what it says.
 * Thread-safety: one thread. */
#ifndef ROOKERY_BENCH_PLAYER_H
#define ROOKERY_BENCH_PLAYER_H

#include "shared/ipc.h"

#include <stdbool.h>
#include <stdint.h>

/* Waits up to timeout_ms for the region at path. Returns 0 or -errno. */
int player_join(struct ipc *ipc, const char *path, uint32_t timeout_ms);
/* Session i of worker 0 with user i + 1, at this address; its user's entry; and a verdict that it may write to user buddy + 1. Returns
 * 0, or -ETIMEDOUT when the dataplane takes nothing for ten seconds. */
int player_provision(struct ipc *ipc, uint32_t i, const struct endpoint *at, uint32_t buddy);
/* All of that is in force now, or -ETIMEDOUT. */
int player_settle(struct ipc *ipc);
/* Throws away what the dataplane has to say to control. */
void player_empty(struct ipc *ipc);
uint64_t player_now_ms(void);

#endif
