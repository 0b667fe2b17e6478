/* SPDX-License-Identifier: BSD-3-Clause */
/* What remains possible after rights are given up; each try in a child process of its own. */
#include "shared/config.h"
#include "shared/privilege.h"
#include "shared/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define NOBODY 65534
#define ROOT_TESTS 4
#define FAILED 99
#define ALIVE 0 /* a child that nothing happened to; otherwise 128 + signal, errno or FAILED */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WITH_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define WITH_SANITIZER 1
#endif
#endif
#ifndef WITH_SANITIZER
#define WITH_SANITIZER 0
#endif

static char error[512];

/* Runs fn in a child; returns what it returned, or 128 + the signal that ended it. */
static int
in_child(int (*fn)(void))
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		struct rlimit none = {0};

		setrlimit(RLIMIT_CORE, &none);
		_exit(fn());
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- the filter ----------------------------------------------------------------------- */

static enum sandbox_role role;
static unsigned needs;
static enum config_sandbox mode;
static int (*try)(void);

static int
filtered(void)
{
	if (sandbox_enter(role, needs, mode, error, sizeof(error)) != 0)
		return FAILED;
	return try();
}

static int
outcome(int (*fn)(void))
{
	try = fn;
	return in_child(filtered);
}

static int
result(long rc)
{
	return rc < 0 ? errno : ALIVE;
}

static int
try_exec(void)
{
	static char *const argv[] = {(char *)"/bin/true", NULL};

	return result(execv(argv[0], argv));
}

static int
try_ptrace(void)
{
	return result(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int
try_mount(void)
{
	return result(mount("none", "/", "tmpfs", 0, NULL));
}

static int
try_unshare(void)
{
	return result(unshare(CLONE_NEWUSER));
}

static int
try_bpf(void)
{
	return result(syscall(SYS_bpf, 0, NULL, 0));
}

static int
try_io_uring(void)
{
	return result(syscall(SYS_io_uring_setup, 0, NULL));
}

static int
try_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return result(pid);
}

static int
try_kill_parent(void)
{
	return result(kill(getppid(), 0));
}

static int
try_inet(void)
{
	return result(socket(AF_INET, SOCK_DGRAM, 0));
}

static int
tcp_socket(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static int
try_tcp_listen(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = tcp_socket();

	return fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 ? errno : result(listen(fd, 1));
}

/* Port 9 of this machine, where nobody listens. */
static struct sockaddr_in
elsewhere(void)
{
	return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

static int
try_tcp_connect(void)
{
	struct sockaddr_in to = elsewhere();
	int fd = tcp_socket();

	return fd < 0 ? FAILED : result(connect(fd, (struct sockaddr *)&to, sizeof(to)));
}

static int
try_tcp_fast_open(void)
{
	struct sockaddr_in to = elsewhere();
	int fd = tcp_socket();

	return fd < 0 ? FAILED : result(sendto(fd, "", 1, MSG_FASTOPEN, (struct sockaddr *)&to, sizeof(to)));
}

static int
try_packet(void)
{
	return result(socket(AF_PACKET, SOCK_RAW, 0));
}

static int
try_netlink(void)
{
	return result(socket(AF_NETLINK, SOCK_RAW, 0));
}

static int
try_unix(void)
{
	return result(socket(AF_UNIX, SOCK_STREAM, 0));
}

static int
try_open(void)
{
	return result(open("/dev/null", O_RDONLY));
}

/* Not even of a descriptor that is there: EBADF where it is allowed. */
static int
try_truncate(void)
{
	return result(ftruncate(-1, 0));
}

static int
try_open_to_truncate(void)
{
	return result(open("/dev/null", O_RDONLY | O_TRUNC));
}

static int
try_open_to_make(void)
{
	return result(open("/dev/null", O_RDONLY | O_CREAT, 0600));
}

static int
try_allocate(void)
{
	return result(fallocate(-1, 0, 0, 1));
}

static int
try_open_to_write(void)
{
	return result(open("/dev/null", O_WRONLY));
}

static int
try_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return FAILED;
	return result(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}

static int
try_code_new(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? errno : ALIVE;
}

static void *
thread_run(void *arg)
{
	return arg;
}

static int
try_thread(void)
{
	pthread_t thread;
	int rc = pthread_create(&thread, NULL, thread_run, NULL);

	return rc != 0 ? rc : pthread_join(thread, NULL);
}

static int
try_state(void)
{
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? ALIVE : FAILED;
}

static int
try_abort(void)
{
	abort();
}

static void
set_place(enum sandbox_role r, unsigned n)
{
	role = r;
	needs = n;
	mode = SANDBOX_ENFORCE;
}

static void
assert_refused_everywhere(void)
{
	assert_int_equal(outcome(try_mount), 128 + SIGSYS);
	assert_int_equal(outcome(try_unshare), 128 + SIGSYS);
	assert_int_equal(outcome(try_io_uring), 128 + SIGSYS);
	assert_int_equal(outcome(try_packet), EPERM);
	if (!WITH_SANITIZER) { /* those of a sanitizer's own */
		assert_int_equal(outcome(try_exec), 128 + SIGSYS);
		assert_int_equal(outcome(try_ptrace), 128 + SIGSYS);
		assert_int_equal(outcome(try_fork), EPERM);
		assert_int_equal(outcome(try_kill_parent), EPERM);
		assert_int_equal(outcome(try_code), EPERM);
		assert_int_equal(outcome(try_code_new), EPERM);
	}
	assert_int_equal(outcome(try_thread), ALIVE);
	assert_int_equal(outcome(try_abort), 128 + SIGABRT);
}

static void
test_control(void **state)
{
	(void)state;
	set_place(SANDBOX_CONTROL, 0);
	assert_refused_everywhere();
	assert_int_equal(outcome(try_bpf), 128 + SIGSYS);
	assert_int_equal(outcome(try_inet), EPERM);
	assert_int_equal(outcome(try_tcp_listen), ALIVE);
	assert_int_equal(outcome(try_tcp_connect), EPERM);
	assert_int_equal(outcome(try_tcp_fast_open), EPERM);
	assert_int_equal(outcome(try_netlink), EPERM);
	assert_int_equal(outcome(try_unix), ALIVE);
	assert_int_equal(outcome(try_open_to_write), ALIVE);
}

/* The rings' file keeps its size whatever becomes of the dataplane. */
static void
assert_no_resize(void)
{
	assert_int_equal(outcome(try_truncate), EPERM);
	assert_int_equal(outcome(try_allocate), EPERM);
	if (!WITH_SANITIZER) {
		assert_int_equal(outcome(try_open_to_truncate), EPERM);
		assert_int_equal(outcome(try_open_to_make), EPERM);
	}
}

static void
test_dataplane_of_sockets(void **state)
{
	(void)state;
	set_place(SANDBOX_DATAPLANE, 0);
	assert_refused_everywhere();
	assert_int_equal(outcome(try_bpf), 128 + SIGSYS);
	assert_int_equal(outcome(try_inet), EPERM);
	assert_int_equal(outcome(try_netlink), EPERM);
	assert_int_equal(outcome(try_unix), EPERM);
	if (!WITH_SANITIZER) {
		assert_int_equal(outcome(try_open), EPERM);
		assert_int_equal(outcome(try_open_to_write), EPERM);
	}
	assert_no_resize();
}

static void
test_dataplane_of_devices(void **state)
{
	(void)state;
	set_place(SANDBOX_DATAPLANE, SANDBOX_DEVICE);
	assert_refused_everywhere();
	assert_int_equal(outcome(try_bpf), 128 + SIGSYS);
	assert_int_equal(outcome(try_netlink), ALIVE);
	assert_int_equal(outcome(try_unix), EPERM);
	assert_int_equal(outcome(try_open), ALIVE);
	if (!WITH_SANITIZER)
		assert_int_equal(outcome(try_open_to_write), EPERM);
	assert_no_resize();
}

static void
test_dataplane_of_af_xdp(void **state)
{
	(void)state;
	set_place(SANDBOX_DATAPLANE, SANDBOX_DEVICE | SANDBOX_BPF);
	assert_refused_everywhere();
	assert_int_not_equal(outcome(try_bpf), 128 + SIGSYS);
	assert_no_resize();
}

static void
test_launcher(void **state)
{
	(void)state;
	role = SANDBOX_LAUNCHER;
	needs = 0;
	mode = SANDBOX_ENFORCE;
	assert_int_equal(outcome(try_fork), ALIVE);
	assert_int_equal(outcome(try_exec), ALIVE);
	assert_int_equal(outcome(try_kill_parent), ALIVE);
	assert_int_equal(outcome(try_mount), 128 + SIGSYS);
	assert_int_equal(outcome(try_unshare), 128 + SIGSYS);
	assert_int_equal(outcome(try_io_uring), 128 + SIGSYS);
	assert_int_equal(outcome(try_bpf), 128 + SIGSYS);
	if (!WITH_SANITIZER)
		assert_int_equal(outcome(try_ptrace), 128 + SIGSYS);
	needs = SANDBOX_DEVICE;
	assert_int_not_equal(outcome(try_bpf), 128 + SIGSYS);
	assert_int_equal(outcome(try_io_uring), 128 + SIGSYS);
}

static void
test_log_lets_pass(void **state)
{
	(void)state;
	set_place(SANDBOX_DATAPLANE, 0);
	mode = SANDBOX_LOG;
	assert_int_equal(outcome(try_exec), ALIVE);
	assert_int_equal(outcome(try_inet), ALIVE);
	assert_int_equal(outcome(try_state), ALIVE);
}

static int
has_no_filter(void)
{
	return prctl(PR_GET_SECCOMP) == 0 ? ALIVE : FAILED;
}

static void
test_off(void **state)
{
	(void)state;
	set_place(SANDBOX_DATAPLANE, 0);
	mode = SANDBOX_OFF;
	/* Unless whoever runs the tests is in a filter already. */
	if (prctl(PR_GET_SECCOMP) == 0)
		assert_int_equal(outcome(has_no_filter), ALIVE);
	assert_int_equal(outcome(try_exec), ALIVE);
}

/* A thread that was there before is in it, too. */
static int thread_pipe[2];

static void *
thread_mount(void *arg)
{
	char byte;

	(void)arg;
	if (read(thread_pipe[0], &byte, 1) == 1)
		_exit(try_packet());
	return NULL;
}

static int
older_thread(void)
{
	pthread_t thread;

	if (pipe(thread_pipe) != 0 || pthread_create(&thread, NULL, thread_mount, NULL) != 0 ||
	    sandbox_enter(SANDBOX_CONTROL, 0, SANDBOX_ENFORCE, error, sizeof(error)) != 0 ||
	    write(thread_pipe[1], "", 1) != 1)
		return FAILED;
	pthread_join(thread, NULL);
	return FAILED;
}

static void
test_all_threads(void **state)
{
	(void)state;
	assert_int_equal(in_child(older_thread), EPERM);
}

/* ---- identity and capabilities ---------------------------------------------------------- */

static const struct account nobody = {.change = true, .uid = NOBODY, .gid = NOBODY, .name = "nobody"};

/* The line of a thread's status file, as a number of the given base. */
static unsigned long long
status_number(const char *tid, const char *key, int base)
{
	char path[64], line[256];
	unsigned long long value = ~0ull;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%s/status", tid);
	f = fopen(path, "r");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, key, strlen(key)) == 0)
			value = strtoull(line + strlen(key), NULL, base);
	if (f != NULL)
		fclose(f);
	return value;
}

static char thread_id[16];

static void *
thread_wait(void *arg)
{
	char byte;

	snprintf(thread_id, sizeof(thread_id), "%ld", (long)syscall(SYS_gettid));
	if (write(thread_pipe[1], "", 1) != 1)
		_exit(FAILED);
	while (read(*(int *)arg, &byte, 1) < 0 && errno == EINTR)
		;
	return NULL;
}

static const struct account *drop_to;
static uint64_t drop_keep;

/* With a second thread, which blocks in a system call. */
static int
drop(void)
{
	char self[16], byte;
	int block[2];
	pthread_t thread;

	snprintf(self, sizeof(self), "%d", (int)getpid());
	if (pipe(block) != 0 || pipe(thread_pipe) != 0 || pthread_create(&thread, NULL, thread_wait, &block[0]) != 0 ||
	    read(thread_pipe[0], &byte, 1) != 1)
		return FAILED;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (privilege_drop(drop_to, drop_keep, error, sizeof(error)) != 0)
		return 1;
	if (privilege_effective() != drop_keep || status_number(self, "CapPrm:", 16) != drop_keep)
		return 2;
	if (status_number(thread_id, "CapEff:", 16) != 0 || status_number(thread_id, "CapPrm:", 16) != 0)
		return 3;
	if (drop_to->change && (getuid() != drop_to->uid || geteuid() != drop_to->uid || getgid() != drop_to->gid ||
				status_number(thread_id, "Uid:", 10) != drop_to->uid))
		return 4;
	if (drop_to->change && (setuid(0) == 0 || getgroups(0, NULL) != 0))
		return 5;
	if (account_death_signal() != SIGKILL)
		return 6;
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? ALIVE : 7;
}

static void
test_root_becomes_nobody(void **state)
{
	(void)state;
	drop_to = &nobody;
	drop_keep = 0;
	assert_int_equal(in_child(drop), ALIVE);
	drop_keep = UINT64_C(1) << 12; /* CAP_NET_ADMIN */
	assert_int_equal(in_child(drop), ALIVE);
}

static void
test_root_stays_without_capabilities(void **state)
{
	static const struct account same = {.change = false};

	(void)state;
	drop_to = &same;
	drop_keep = 0;
	assert_int_equal(in_child(drop), ALIVE);
}

static int
drop_as_nobody(void)
{
	static const struct account same = {.change = false, .uid = NOBODY, .gid = NOBODY};

	if (geteuid() == 0 && (setgid(NOBODY) != 0 || setuid(NOBODY) != 0))
		return FAILED;
	drop_to = &same;
	drop_keep = 0;
	return account_changeable() ? FAILED : drop();
}

static void
test_without_root(void **state)
{
	(void)state;
	assert_int_equal(in_child(drop_as_nobody), ALIVE);
}

static int
files_as_nobody(void)
{
	char dir[] = "/tmp/rookery-test-privilege-XXXXXX", path[64];
	int rc = FAILED;
	struct stat st;

	if (mkdtemp(dir) == NULL || chmod(dir, 0711) != 0)
		return FAILED;
	snprintf(path, sizeof(path), "%s/file", dir);
	account_files_as(&nobody);
	if (open(path, O_WRONLY | O_CREAT, 0600) < 0 && errno == EACCES)
		rc = ALIVE;
	account_files_own();
	/* Back again. */
	if (open(path, O_WRONLY | O_CREAT, 0600) < 0 || stat(path, &st) != 0 || st.st_uid != 0)
		rc = FAILED;
	unlink(path);
	rmdir(dir);
	return rc;
}

static void
test_files_of_the_account(void **state)
{
	(void)state;
	assert_int_equal(in_child(files_as_nobody), ALIVE);
}

/* What root executes would have all capabilities again. */
static int
executes_with_two(void)
{
	static char *const argv[] = {(char *)"/bin/grep", (char *)"-q", (char *)"^CapPrm:\t0000000000000021$",
				     (char *)"/proc/self/status", NULL};

	if (privilege_limit(UINT64_C(1) << CAP_KILL | UINT64_C(1) << CAP_CHOWN, error, sizeof(error)) != 0 ||
	    sandbox_enter(SANDBOX_LAUNCHER, 0, SANDBOX_ENFORCE, error, sizeof(error)) != 0)
		return FAILED;
	return result(execv(argv[0], argv));
}

static void
test_root_limits_what_it_executes(void **state)
{
	(void)state;
	assert_int_equal(in_child(executes_with_two), ALIVE);
}

/* ---- which account ------------------------------------------------------------------------ */

static void
test_accounts(void **state)
{
	struct account a;

	(void)state;
	assert_int_equal(account_find(&a, "", error, sizeof(error)), 0);
	if (!account_changeable()) {
		assert_false(a.change);
		assert_int_equal(a.uid, geteuid());
		return;
	}
	assert_true(a.change);
	assert_int_not_equal(a.uid, 0);
	assert_int_equal(account_find(&a, "nobody", error, sizeof(error)), 0);
	assert_true(a.change);
	assert_false(a.fallback);
	assert_int_equal(a.uid, NOBODY);
	assert_int_equal(account_find(&a, "54321", error, sizeof(error)), 0);
	assert_true(a.change);
	assert_int_equal(a.uid, 54321);
	assert_int_equal(a.gid, 54321);
	assert_int_equal(account_find(&a, "root", error, sizeof(error)), 0);
	assert_false(a.change);
	assert_int_equal(account_find(&a, "no-such-account", error, sizeof(error)), -ENOENT);
	assert_non_null(strstr(error, "useradd --system"));
	assert_int_equal(account_find(&a, "4294967295", error, sizeof(error)), -ENOENT);
	assert_int_equal(account_find(&a, "12x", error, sizeof(error)), -ENOENT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_control),
		cmocka_unit_test(test_dataplane_of_sockets),
		cmocka_unit_test(test_dataplane_of_devices),
		cmocka_unit_test(test_dataplane_of_af_xdp),
		cmocka_unit_test(test_launcher),
		cmocka_unit_test(test_log_lets_pass),
		cmocka_unit_test(test_off),
		cmocka_unit_test(test_all_threads),
		cmocka_unit_test(test_without_root),
		cmocka_unit_test(test_accounts),
		/* from here on with root's rights */
		cmocka_unit_test(test_root_becomes_nobody),
		cmocka_unit_test(test_root_stays_without_capabilities),
		cmocka_unit_test(test_files_of_the_account),
		cmocka_unit_test(test_root_limits_what_it_executes),
	};
	size_t count = sizeof(tests) / sizeof(tests[0]);

	return _cmocka_run_group_tests("tests", tests, account_changeable() ? count : count - ROOT_TESTS, NULL, NULL);
}
