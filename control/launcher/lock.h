/* SPDX-License-Identifier: BSD-3-Clause */
/* One launcher per state directory: a file locked with flock, which the kernel releases however the holder
 * ends. */
#ifndef ROOKERY_CONTROL_LAUNCHER_LOCK_H
#define ROOKERY_CONTROL_LAUNCHER_LOCK_H

#include <limits.h>
#include <sys/types.h>

struct lock {
	int fd;
	char path[PATH_MAX];
};

#define LOCK_NONE        \
	{                \
		.fd = -1 \
	}

/* Locks path and writes our pid into it. Returns 0; -EWOULDBLOCK when another process holds it (*holder is
 * then its pid, or 0 when unreadable); or another -errno. The descriptor is not inherited by programs that
 * are executed. */
int lock_take(struct lock *l, const char *path, pid_t *holder);

/* Removes the file and unlocks; does nothing if not taken. */
void lock_drop(struct lock *l);

#endif
