/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DPDK's telemetry socket, for dpdk-telemetry.py: runtime_dir/dpdk/rookery/dpdk_telemetry.v2. Two dataplanes may share a
 * runtime_dir for a moment (an upgrade), so EAL's directory has the pid in its name, and "rookery" is a link to it.
 *
 *     /rookery/info             version, workers, sessions
 *     /rookery/stats            every counter, all workers and housekeeping together
 *     /rookery/worker,N         every counter of worker N
 *     /rookery/housekeeping     every counter of housekeeping
 *     /rookery/drops            why packets were dropped
 *
 * Thread-safety: open and close on the main thread; DPDK answers on threads of its own, from what housekeeping has published.
 */
#ifndef ROOKERY_DATAPLANE_TELEMETRY_H
#define ROOKERY_DATAPLANE_TELEMETRY_H

#include "shared/account.h"
#include "shared/config.h"
#include "shared/ipc.h"

#include <stdbool.h>

#define TELEMETRY_PREFIX_SIZE 32

/* EAL's --file-prefix of this process. */
const char *telemetry_prefix(char prefix[TELEMETRY_PREFIX_SIZE]);

/* Wanted, and its socket has a name short enough: with a longer one EAL would not start. */
bool telemetry_possible(const struct config *c);

/* After EAL has started, as the only owner of runtime_dir and before rights are given up: answers, gives its files to account, and
 * removes what killed dataplanes left. */
void telemetry_open(const struct config *c, const struct account *account, const struct ipc *ipc, uint32_t workers);

/* Before the region of ipc goes: no answers any more. */
void telemetry_close(void);

/* After EAL has ended, or before it starts anew: removes its directory. */
void telemetry_remove(const struct config *c);

#endif
