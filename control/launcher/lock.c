/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/launcher/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static pid_t
read_pid(int fd)
{
	char text[32];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	long pid = strtol(text, NULL, 10);
	return pid > 0 ? (pid_t)pid : 0;
}

/* The holder before us may have unlinked the file between our open and our flock: then we hold a lock on a
 * file that nobody else can find. */
static bool
still_named(int fd, const char *path)
{
	struct stat ours, named;
	return fstat(fd, &ours) == 0 && stat(path, &named) == 0 && ours.st_dev == named.st_dev &&
	       ours.st_ino == named.st_ino;
}

int
lock_take(struct lock *l, const char *path, pid_t *holder)
{
	*holder = 0;
	if (strlen(path) >= sizeof(l->path))
		return -ENAMETOOLONG;
	for (;;) {
		int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0)
			return -errno;
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			int error = errno;
			*holder = read_pid(fd);
			close(fd);
			return -error;
		}
		if (!still_named(fd, path)) {
			close(fd);
			continue;
		}
		char text[32];
		int n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
		if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n) {
			int error = errno ? errno : ENOSPC;
			unlink(path);
			close(fd);
			return -error;
		}
		l->fd = fd;
		strcpy(l->path, path);
		return 0;
	}
}

void
lock_drop(struct lock *l)
{
	if (l->fd < 0)
		return;
	unlink(l->path); /* while still locked, see still_named */
	close(l->fd);
	l->fd = -1;
}
