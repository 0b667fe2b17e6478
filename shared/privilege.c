/* SPDX-License-Identifier: BSD-3-Clause */
#include "shared/privilege.h"

#include <cap-ng.h>
#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 512
#define THREADS_WAIT_MS 5000

/* ---- threads ------------------------------------------------------------------------- */

static _Atomic unsigned dropped; /* threads that answered; handler writes, privilege_drop reads */

/* glibc changes a user id on all threads, but nothing changes capabilities on all: each thread does it itself. */
static void
on_drop(int number)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0}};
	int saved = errno;

	(void)number;
	if (syscall(SYS_capset, &header, none) == 0)
		atomic_fetch_add_explicit(&dropped, 1, memory_order_relaxed);
	errno = saved;
}

/* Sends the signal to all other threads; returns how many there are, or -errno. */
static int
threads_signal(int number)
{
	DIR *dir = opendir("/proc/self/task");
	const struct dirent *e;
	pid_t self = (pid_t)syscall(SYS_gettid);
	int count = 0;

	if (dir == NULL)
		return -errno;
	while ((e = readdir(dir)) != NULL) {
		pid_t tid = (pid_t)atoi(e->d_name);

		if (tid > 0 && tid != self && syscall(SYS_tgkill, getpid(), tid, number) == 0)
			count++;
	}
	closedir(dir);
	return count;
}

static int
threads_drop(void)
{
	struct sigaction action = {.sa_handler = on_drop, .sa_flags = SA_RESTART}, before;
	const struct timespec pause = {.tv_nsec = 1000000};
	int number = SIGRTMIN, count, waited;

	sigemptyset(&action.sa_mask);
	if (sigaction(number, &action, &before) != 0)
		return -errno;
	atomic_store(&dropped, 0);
	count = threads_signal(number);
	for (waited = 0; count > 0 && (int)atomic_load(&dropped) < count && waited < THREADS_WAIT_MS; waited++)
		nanosleep(&pause, NULL);
	sigaction(number, &before, NULL);
	if (count < 0)
		return count;
	return (int)atomic_load(&dropped) >= count ? 0 : -ETIMEDOUT;
}

/* ---- drop ----------------------------------------------------------------------------- */

static int
identity_change(const struct account *a)
{
	/* What is permitted survives the change on this thread, and is cut down afterwards. */
	if (prctl(PR_SET_KEEPCAPS, 1) != 0 || setgroups(0, NULL) != 0 || setresgid(a->gid, a->gid, a->gid) != 0 ||
	    setresuid(a->uid, a->uid, a->uid) != 0)
		return -errno;
	prctl(PR_SET_KEEPCAPS, 0);
	return 0;
}

static int
capabilities_keep(uint64_t keep)
{
	uint64_t had = 0;

	if (capng_get_caps_process() != 0)
		return -EIO;
	for (unsigned i = 0; i <= CAP_LAST_CAP; i++)
		if (capng_have_capability(CAPNG_PERMITTED, i))
			had |= UINT64_C(1) << i;
	capng_clear(CAPNG_SELECT_CAPS);
	for (unsigned i = 0; i <= CAP_LAST_CAP; i++)
		if ((keep & had & (UINT64_C(1) << i)) != 0)
			capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, i);
	/* The ambient set shrinks with the permitted one. */
	return capng_apply(CAPNG_SELECT_CAPS) == 0 ? 0 : -EPERM;
}

int
privilege_drop(const struct account *a, uint64_t keep, char *error, size_t cap)
{
	pid_t parent = getppid();
	int number = account_death_signal();
	int rc = 0;

	if (a->change)
		rc = identity_change(a);
	if (rc == 0)
		rc = threads_drop();
	if (rc == 0)
		rc = capabilities_keep(keep);
	if (rc == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		rc = -errno;
	if (rc < 0) {
		snprintf(error, cap, "cannot give up root's rights (user %s): %s; see security.user",
			 a->change ? a->name : "unchanged", strerror(-rc));
		return rc;
	}
	if (number != 0) {
		prctl(PR_SET_PDEATHSIG, number); /* forgotten with every change of credentials */
		if (getppid() != parent) /* it died in between */
			raise(number);
	}
	return 0;
}

int
privilege_limit(uint64_t keep, char *error, size_t cap)
{
	int rc = capabilities_keep(keep);

	/* Root's programs are given all capabilities when they begin, but under this no more than their parent had. */
	if (rc == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		rc = -errno;
	if (rc < 0)
		snprintf(error, cap, "cannot give up capabilities: %s", strerror(-rc));
	return rc;
}

uint64_t
privilege_effective(void)
{
	uint64_t mask = 0;

	if (capng_get_caps_process() != 0)
		return 0;
	for (unsigned i = 0; i <= CAP_LAST_CAP; i++)
		if (capng_have_capability(CAPNG_EFFECTIVE, i))
			mask |= UINT64_C(1) << i;
	return mask;
}
