/* SPDX-License-Identifier: BSD-3-Clause */
/* The launcher's parts that decide something; that it starts, restarts and stops processes is in tests/e2e.
 */
#include "control/launcher/banner.h"
#include "control/launcher/child.h"
#include "control/launcher/lock.h"
#include "control/launcher/notify.h"
#include "control/launcher/watch.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/file_tree.h"

static void
test_restart_delay(void **state)
{
	(void)state;
	static const uint32_t expected[] = {0, 0, 0, 0, 0, 100, 200, 400, 800, 1600, 3200, 5000, 5000};
	struct restart_pace pace = {0};
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		assert_int_equal(restart_delay(&pace, 10), expected[i]);
	/* Each piece of life makes up for one death, and the delays begin anew. */
	assert_int_equal(restart_delay(&pace, RESTART_LIFE_MS), 0);
	assert_int_equal(restart_delay(&pace, RESTART_LIFE_MS - 1), 100);
	assert_int_equal(restart_delay(&pace, 100 * RESTART_LIFE_MS), 0);
	for (int i = 0; i < RESTART_AT_ONCE_MAX - 1; i++)
		assert_int_equal(restart_delay(&pace, 0), 0);
	assert_int_equal(restart_delay(&pace, 0), 100);
}

static void
test_lock(void **state)
{
	(void)state;
	char dir[32], path[64];
	tree_make(dir, "test_launcher");
	snprintf(path, sizeof(path), "%s/lock", dir);
	struct lock first = LOCK_NONE, second = LOCK_NONE;
	pid_t holder;
	assert_int_equal(lock_take(&first, path, &holder), 0);
	assert_int_equal(lock_take(&second, path, &holder), -EWOULDBLOCK);
	assert_int_equal(holder, getpid());
	lock_drop(&second); /* never taken: nothing happens */
	assert_int_equal(access(path, F_OK), 0);
	lock_drop(&first);
	assert_int_equal(access(path, F_OK), -1);
	/* A file that a killed holder left is no obstacle. */
	tree_put(dir, "/lock", "1\n");
	assert_int_equal(lock_take(&second, path, &holder), 0);
	lock_drop(&second);
	assert_int_equal(lock_take(&first, "/nonexistent/lock", &holder), -ENOENT);
	tree_remove(dir);
}

static void
test_child(void **state)
{
	(void)state;
	/* Its own process group, no signal ignored or blocked that was so here, an empty standard input. */
	char script[] = "read x && exit 3; set -- $(cat /proc/$$/stat); test $5 = $$ || exit 4; kill -TERM "
			"$$; exit 5";
	char *argv[] = {(char *)"/bin/sh", (char *)"-c", script, NULL};
	sigset_t term;
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, NULL);
	signal(SIGTERM, SIG_IGN);
	pid_t pid = child_start(argv, -1);
	signal(SIGTERM, SIG_DFL);
	sigprocmask(SIG_UNBLOCK, &term, NULL);
	int status;
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGTERM);
}

static void
test_child_missing(void **state)
{
	(void)state;
	char *argv[] = {(char *)"/nonexistent/program", NULL};
	assert_int_equal(child_start(argv, -1), -ENOENT);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* reaped */
	assert_int_equal(errno, ECHILD);
}

static void
test_program_name(void **state)
{
	(void)state;
	static const struct {
		const char *folder, *here, *path, *expected;
	} cases[] = {
		{"/w/build", "/w", "/bin:/usr/bin", "build/rookctl"},
		{"/w/build", "/w/build", "/bin", "./rookctl"},
		{"/w/build", "/w/bu", "/bin", "/w/build/rookctl"},
		{"/w/build", "/", "/bin", "/w/build/rookctl"},
		{"/usr/bin", "/", "/bin:/usr/bin", "rookctl"},
		{"/usr/bin", "/usr", NULL, "bin/rookctl"},
	};
	char out[64];
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(banner_program(cases[i].folder, "rookctl", cases[i].here, cases[i].path, out, sizeof(out)),
				    cases[i].expected);
	assert_null(banner_program("/w/build", "rookctl", "/", "", out, 5));
}

static void
test_reachable(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{"127.0.0.1:8000", "127.0.0.1:8000"},
		{"0.0.0.0:8000", "127.0.0.1:8000"},
		{"[::]:8001", "[::1]:8001"},
		{"[fd00::1]:8001", "[fd00::1]:8001"},
	};
	char out[64];
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(banner_reachable(cases[i][0], out, sizeof(out)), cases[i][1]);
}

/* ---- the service manager --------------------------------------------------------------- */

static const char *
received(int fd)
{
	static char text[128];
	ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
	if (n < 0)
		return NULL;
	text[n] = '\0';
	return text;
}

/* A socket as systemd's, whose name is in the environment. */
static int
manager_open(const char *name)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	size_t n = strlen(name);
	memcpy(at.sun_path, name, n);
	if (name[0] == '@')
		at.sun_path[0] = '\0';
	assert_int_equal(bind(fd, (struct sockaddr *)&at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)), 0);
	setenv("NOTIFY_SOCKET", name, 1);
	return fd;
}

static void
test_notify_nobody(void **state)
{
	(void)state;
	struct notify n;
	uv_loop_t loop;
	unsetenv("NOTIFY_SOCKET");
	setenv("WATCHDOG_USEC", "1000000", 1);
	notify_open(&n);
	assert_int_equal(n.fd, -1);
	notify_send(&n, "READY=1");
	uv_loop_init(&loop);
	assert_int_equal(notify_alive_start(&n, &loop), 0);
	assert_int_equal(uv_loop_alive(&loop), 0);
	notify_alive_stop(&n);
	notify_close(&n);
	assert_int_equal(uv_loop_close(&loop), 0);
}

static void
notify_through(const char *name)
{
	struct notify n;
	int manager = manager_open(name);
	notify_open(&n);
	assert_true(n.fd >= 0);
	assert_null(getenv("NOTIFY_SOCKET")); /* not the children's */
	notify_send(&n, "READY=1\nSTATUS=up");
	assert_string_equal(received(manager), "READY=1\nSTATUS=up");
	/* A manager that went away holds nobody up. */
	close(manager);
	notify_send(&n, "STOPPING=1");
	notify_close(&n);
}

static void
test_notify(void **state)
{
	(void)state;
	char dir[32], path[64];
	tree_make(dir, "test_launcher");
	snprintf(path, sizeof(path), "%s/notify", dir);
	notify_through(path);
	tree_remove(dir);
	snprintf(path, sizeof(path), "@test_launcher.%ld", (long)getpid());
	notify_through(path);
}

static void
test_notify_alive(void **state)
{
	(void)state;
	char path[64], pid[16];
	struct notify n;
	uv_loop_t loop;
	snprintf(path, sizeof(path), "@test_launcher.%ld", (long)getpid());
	int manager = manager_open(path);
	setenv("WATCHDOG_USEC", "20000", 1);
	snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	setenv("WATCHDOG_PID", pid, 1);
	notify_open(&n);
	uv_loop_init(&loop);
	assert_int_equal(notify_alive_start(&n, &loop), 0);
	for (int i = 0; i < 3; i++) {
		const char *text;
		while ((text = received(manager)) == NULL)
			uv_run(&loop, UV_RUN_ONCE);
		assert_string_equal(text, "WATCHDOG=1");
	}
	notify_alive_stop(&n);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	notify_close(&n);
	/* Meant for another process. */
	setenv("NOTIFY_SOCKET", path, 1);
	setenv("WATCHDOG_USEC", "20000", 1);
	setenv("WATCHDOG_PID", "1", 1);
	notify_open(&n);
	assert_true(n.fd >= 0);
	assert_int_equal(n.alive_ms, 0);
	notify_close(&n);
	close(manager);
}

/* ---- processes that hang ----------------------------------------------------------------- */

/* Looks that find the same, of which only the last one may be too many. */
static void
expect_looks(struct watch_seen *seen, pid_t pid, uint64_t value, unsigned limit, unsigned looks, bool still)
{
	while (looks-- > 1)
		assert_false(watch_stands_still(seen, pid, value, limit));
	assert_int_equal(watch_stands_still(seen, pid, value, limit), still);
}

static void
test_stands_still(void **state)
{
	(void)state;
	struct watch_seen seen = {0};
	/* The first look sees a value, the third after it the same for the third time. */
	expect_looks(&seen, 7, 100, 3, 4, true);
	/* And once more if that did not help. */
	expect_looks(&seen, 7, 100, 3, 3, true);
	/* Any other value is a sign of life, not only a larger one. */
	expect_looks(&seen, 7, 100, 3, 2, false);
	expect_looks(&seen, 7, 99, 3, 3, false);
	/* Another process with the same value has just begun. */
	expect_looks(&seen, 8, 99, 3, 1, false);
	expect_looks(&seen, 0, 99, 3, 10, false); /* none that should run */
	expect_looks(&seen, 8, 0, 3, 10, false);  /* says nothing */
	expect_looks(&seen, 8, 99, 1, 2, true);
}

static void
test_watch_read(void **state)
{
	(void)state;
	static const struct ipc_options options = {.workers = 2, .event_cells = 2, .request_cells = 2, .login_cells = 2,
						   .inject_cells = 2, .table_cells = 2, .sessions_per_worker = 8};
	char dir[32], path[64], other[64];
	struct ipc_header h;
	struct ipc ipc;
	tree_make(dir, "test_launcher");
	snprintf(path, sizeof(path), "%s/rings.shm", dir);
	snprintf(other, sizeof(other), "%s/link", dir);
	assert_int_equal(watch_read(path, &h), -ENOENT);
	assert_int_equal(ipc_new(&ipc, path, &options), 0);
	atomic_store(&ipc.header->workers_alive, 5);
	atomic_store(&ipc.header->control_alive, 6);
	assert_int_equal(watch_read(path, &h), 0);
	assert_int_equal(h.dataplane_pid, getpid());
	assert_int_equal(h.workers_alive, 5);
	assert_int_equal(h.control_alive, 6);
	atomic_store(&ipc.header->control_alive, 7);
	assert_int_equal(watch_read(path, &h), 0);
	assert_int_equal(h.control_alive, 7);
	assert_int_equal(symlink(path, other), 0);
	assert_int_equal(watch_read(other, &h), -ELOOP);
	ipc.header->version++;
	assert_int_equal(watch_read(path, &h), -EAGAIN);
	ipc_leave(&ipc);
	assert_int_equal(truncate(path, 100), 0);
	assert_int_equal(watch_read(path, &h), -EAGAIN);
	/* Nobody writes into it, and nobody waits for that. */
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_true(watch_read(path, &h) < 0);
	tree_remove(dir);
}

static void
test_traced(void **state)
{
	(void)state;
	int status;
	assert_false(watch_is_traced(getpid()));
	pid_t pid = fork();
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(1);
		raise(SIGSTOP);
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	if (!WIFSTOPPED(status))
		skip(); /* this machine lets nobody trace */
	assert_true(watch_is_traced(pid));
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_false(watch_is_traced(pid));
}

/* A parent in vfork() waits as for a disk: in the kernel, and ptrace apart nothing is heard of it. */
static void
test_waits_for_device(void **state)
{
	(void)state;
	int held[2];
	char byte;
	assert_false(watch_waits_for_device(getpid()));
	assert_int_equal(pipe(held), 0);
	pid_t pid = fork();
	if (pid == 0) {
		close(held[1]);
		pid_t child = vfork();
		if (child == 0) {
			(void)!read(held[0], &byte, 1);
			_exit(0);
		}
		_exit(child < 0);
	}
	assert_true(pid > 0);
	close(held[0]);
	int status;
	bool waits = false;
	for (int looks = 0; looks < 200000 && !waits; looks++) {
		waits = watch_waits_for_device(pid);
		assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	}
	close(held[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	if (!waits)
		skip(); /* no Linux: it tells this state from none */
	assert_false(watch_waits_for_device(pid));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_restart_delay), cmocka_unit_test(test_lock),
		cmocka_unit_test(test_child),	      cmocka_unit_test(test_child_missing),
		cmocka_unit_test(test_program_name),  cmocka_unit_test(test_reachable),
		cmocka_unit_test(test_notify_nobody), cmocka_unit_test(test_notify),
		cmocka_unit_test(test_notify_alive),  cmocka_unit_test(test_stands_still),
		cmocka_unit_test(test_watch_read),    cmocka_unit_test(test_traced),
		cmocka_unit_test(test_waits_for_device),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
