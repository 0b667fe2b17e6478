/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Notices a process that is there and does nothing any more. Both write signs of life into the rings' region (shared/ipc.h); one of whose
 * signs the same value was found at so many looks in a row is killed, and started again as after any other death. Looks are counted, not
 * time: a machine that was suspended, or a launcher that was not run itself, makes nobody hang. A sign that is 0, or of another process,
 * says nothing.
 *
 * Thread-safety: everything on the loop's thread.
 */
#ifndef ROOKERY_CONTROL_LAUNCHER_WATCH_H
#define ROOKERY_CONTROL_LAUNCHER_WATCH_H

#include "control/launcher/supervisor.h"
#include "shared/ipc.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#define WATCH_LOOK_MS 1000

enum watch_sign { WATCH_HOUSEKEEPING, WATCH_WORKERS, WATCH_CONTROL, WATCH_SIGNS };

struct watch_seen {
	pid_t pid;
	uint64_t value;
	unsigned looks; /* since it changed */
};

struct watch {
	uv_timer_t timer;
	char path[108]; /* of the region */
	struct watch_seen seen[WATCH_SIGNS];
};

struct supervisor;

/* What the region at path says, without joining it: it is not ours, and there may be another at the next look. Returns 0, -errno, or
 * -EAGAIN when it is of another version or not made yet. */
int watch_read(const char *path, struct ipc_header *header);

/* A process that should run, and its sign. True at the limit-th look in a row that finds the same; then it begins anew. */
bool watch_stands_still(struct watch_seen *seen, pid_t pid, uint64_t value, unsigned limit);

/* Somebody looks at it with a debugger, who would not like it to be killed. */
bool watch_is_traced(pid_t pid);

/* It is in the kernel and no signal ends that: nearly always a disk that does not answer. */
bool watch_waits_for_device(pid_t pid);

/* Returns 0 or a libuv error; does nothing when launcher.hang_seconds is 0. */
int watch_start(struct supervisor *s);
void watch_stop(struct supervisor *s);

#endif
