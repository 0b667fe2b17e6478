/* SPDX-License-Identifier: BSD-3-Clause */
#include "shared/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

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

#define CALLS_MAX 72

/* ---- what is allowed ------------------------------------------------------------------- */

/* By name: not every architecture has each. */
typedef const char *const call_list[CALLS_MAX];

/* Memory, threads, time, and the descriptors that are open. */
static call_list common = {
	"read", "write", "readv", "writev", "close", "lseek", "fstat", "newfstatat", "fcntl", "fcntl64",
	"munmap", "mremap", "madvise", "brk", "mlock", "mlock2", "munlock",
	"futex", "futex_waitv", "set_robust_list", "rseq", "membarrier", "sched_yield", "sched_getaffinity", "exit", "exit_group",
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall",
	"clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time",
	"getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid", "getrandom", "getrusage", "sysinfo", "uname",
	"poll", "ppoll", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "shutdown",
	"recvfrom", "recvmsg", "recvmmsg",
	"unlink", "unlinkat", "rmdir",
};

/* SQLite's files, operators' connections, descriptors of the event loop. */
static call_list control = {
	"open", "openat", "pread64", "pwrite64", "fsync", "fdatasync", "ftruncate", "fallocate", "rename", "renameat", "renameat2",
	"stat", "lstat", "statx", "access", "faccessat", "readlink", "readlinkat", "getcwd", "fchmod", "fchown", "getdents64",
	"accept", "accept4", "getsockname", "getpeername", "getsockopt",
	"epoll_create1", "eventfd2", "pipe2", "dup3",
};

static call_list device = {
	"ioctl", "bind", "getsockname", "getsockopt", "setsockopt", "connect", "access", "faccessat", "stat", "statx", "readlink",
	"readlinkat", "getdents64", "pread64", "pwrite64", "eventfd2", "getcwd", "statfs", "fstatfs", "prlimit64",
};

static call_list bpf = {"bpf"};

/* Leaks are looked for by a process that traces this one, and reports name their lines through another program. */
static call_list sanitizers = {
	"clone", "clone3", "fork", "vfork", "execve", "wait4", "ptrace", "process_vm_readv", "prctl", "arch_prctl", "kill",
	"tkill", "tgkill", "open", "openat", "stat", "lstat", "statx", "access", "faccessat", "readlink", "readlinkat",
	"getdents", "getdents64", "pread64", "pipe", "pipe2", "dup", "dup2", "dup3", "socketpair", "getrlimit", "setrlimit", "prlimit64",
	"mmap", "mprotect", "personality", "ioctl", "getcwd", "close_range", "set_tid_address", "getpgrp", "sched_getparam",
	"sched_getscheduler", "mincore", "msync",
};

/* What starting the dataplane with devices may take. */
static call_list devices_start = {"bpf", "perf_event_open", "mount", "umount2"};

/* EAL asks for ports of the machine at each start, and goes on without them when it has no right to. */
static call_list execution = {"execve", "execveat", "iopl", "ioperm"};

/* No mistake of ours leads to any of these. */
static call_list hostile = {
	"execve", "execveat", "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd", "kcmp",
	"init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff", "acct",
	"mount", "umount2", "move_mount", "open_tree", "fsopen", "fsmount", "pivot_root", "chroot", "setns", "unshare",
	"bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register",
	"keyctl", "add_key", "request_key", "open_by_handle_at", "name_to_handle_at", "iopl", "ioperm", "modify_ldt",
	"settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "sethostname", "setdomainname", "quotactl", "lookup_dcookie",
};

/* ---- the filter ------------------------------------------------------------------------- */

struct filter {
	scmp_filter_ctx ctx;
	int rc; /* first failure */
};

static void
rule(struct filter *f, uint32_t action, const char *name, unsigned count, const struct scmp_arg_cmp *args)
{
	int number = seccomp_syscall_resolve_name(name);
	int rc;

	if (number < 0 || f->rc < 0)
		return;
	rc = seccomp_rule_add_array(f->ctx, action, number, count, args);
	/* -EACCES: it is the filter's default action already. */
	if (rc < 0 && rc != -EACCES)
		f->rc = rc;
}

static void
allow(struct filter *f, call_list calls)
{
	for (unsigned i = 0; i < CALLS_MAX && calls[i] != NULL; i++)
		rule(f, SCMP_ACT_ALLOW, calls[i], 0, NULL);
}

/* Argument number `arg` of the call is value. */
static void
allow_if(struct filter *f, const char *name, unsigned arg, uint64_t value)
{
	struct scmp_arg_cmp condition = {.arg = arg, .op = SCMP_CMP_EQ, .datum_a = value};

	rule(f, SCMP_ACT_ALLOW, name, 1, &condition);
}

/* Its bits under mask are value. */
static void
allow_if_bits(struct filter *f, const char *name, unsigned arg, uint64_t mask, uint64_t value)
{
	struct scmp_arg_cmp condition = {.arg = arg, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};

	rule(f, SCMP_ACT_ALLOW, name, 1, &condition);
}

/* metrics.listen may change: TCP sockets to listen on. As connect is not allowed they lead nowhere. */
static void
allow_listening(struct filter *f)
{
	static const int families[] = {AF_INET, AF_INET6};
	struct scmp_arg_cmp reuse[] = {{.arg = 1, .op = SCMP_CMP_EQ, .datum_a = SOL_SOCKET},
				       {.arg = 2, .op = SCMP_CMP_EQ, .datum_a = SO_REUSEADDR}};

	for (unsigned i = 0; i < 2; i++) {
		struct scmp_arg_cmp tcp[] = {{.arg = 0, .op = SCMP_CMP_EQ, .datum_a = (uint64_t)families[i]},
					     {.arg = 1, .op = SCMP_CMP_EQ, .datum_a = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC},
					     {.arg = 2, .op = SCMP_CMP_EQ, .datum_a = 0}};

		rule(f, SCMP_ACT_ALLOW, "socket", 3, tcp);
	}
	rule(f, SCMP_ACT_ALLOW, "setsockopt", 2, reuse);
	rule(f, SCMP_ACT_ALLOW, "bind", 0, NULL);
	rule(f, SCMP_ACT_ALLOW, "listen", 0, NULL);
	/* A packet, but no TCP connection that begins with it. */
	allow_if_bits(f, "sendto", 3, MSG_FASTOPEN, 0);
	allow_if_bits(f, "sendmsg", 2, MSG_FASTOPEN, 0);
}

/* Arguments decide. */
static void
allow_parts(struct filter *f)
{
	/* No code that was not there from the beginning. */
	allow_if_bits(f, "mmap", 2, PROT_EXEC, 0);
	allow_if_bits(f, "mprotect", 2, PROT_EXEC, 0);
	/* Threads, but no processes. */
	allow_if_bits(f, "clone", 0, CLONE_THREAD, CLONE_THREAD);
	allow_if(f, "prctl", 0, PR_SET_NAME);
	/* Signals to ourselves: raise() and abort(). */
	allow_if(f, "tgkill", 0, (uint64_t)getpid());
	/* Limits are read, not set. */
	allow_if(f, "prlimit64", 2, 0);
}

static void
allow_role(struct filter *f, enum sandbox_role role, unsigned needs)
{
	/* Packets; DPDK's telemetry: who asks, and at the end whose the link is. */
	if (role == SANDBOX_DATAPLANE) {
		rule(f, SCMP_ACT_ALLOW, "sendto", 0, NULL);
		rule(f, SCMP_ACT_ALLOW, "sendmsg", 0, NULL);
		rule(f, SCMP_ACT_ALLOW, "sendmmsg", 0, NULL);
		rule(f, SCMP_ACT_ALLOW, "accept", 0, NULL);
		rule(f, SCMP_ACT_ALLOW, "readlink", 0, NULL);
		rule(f, SCMP_ACT_ALLOW, "readlinkat", 0, NULL);
		rule(f, SCMP_ACT_ALLOW, "pread64", 0, NULL); /* /proc/self/statm */
	}
	if (role == SANDBOX_CONTROL) {
		allow(f, control);
		allow_if(f, "socket", 0, AF_UNIX);
		allow_listening(f);
		allow_if(f, "setsockopt", 1, IPPROTO_TCP); /* libmicrohttpd, when it sends */
		allow_if(f, "ioctl", 1, FIONBIO);
		allow_if(f, "ioctl", 1, FIOCLEX);
	}
	if ((needs & (SANDBOX_DEVICE | SANDBOX_BPF)) != 0) {
		allow(f, device);
		allow_if(f, "socket", 0, AF_NETLINK);
		allow_if(f, "socket", 0, AF_INET);
		/* Linux truncates and makes files that are opened for reading, too. */
		allow_if_bits(f, "open", 1, O_ACCMODE | O_TRUNC | O_CREAT, O_RDONLY);
		allow_if_bits(f, "openat", 2, O_ACCMODE | O_TRUNC | O_CREAT, O_RDONLY);
	}
	if ((needs & SANDBOX_BPF) != 0)
		allow(f, bpf);
}

static bool
listed(call_list calls, const char *name)
{
	for (unsigned i = 0; i < CALLS_MAX && calls[i] != NULL; i++)
		if (strcmp(calls[i], name) == 0)
			return true;
	return false;
}

/* May the role make this call of the list `hostile`? */
static bool
excepted(enum sandbox_role role, unsigned needs, const char *name)
{
	if (WITH_SANITIZER && listed(sanitizers, name))
		return true;
	if (role == SANDBOX_LAUNCHER)
		return listed(execution, name) || ((needs & SANDBOX_DEVICE) != 0 && listed(devices_start, name));
	return (needs & SANDBOX_BPF) != 0 && listed(bpf, name);
}

static void
refuse(struct filter *f, enum sandbox_role role, unsigned needs, uint32_t action)
{
	for (unsigned i = 0; i < CALLS_MAX && hostile[i] != NULL; i++)
		if (!excepted(role, needs, hostile[i]))
			rule(f, action, hostile[i], 0, NULL);
	if (role == SANDBOX_LAUNCHER)
		return;
	/* Its flags lie in memory, where no filter looks: the C library then takes clone, whose flags do not. */
	if (!WITH_SANITIZER)
		rule(f, SCMP_ACT_ERRNO(ENOSYS), "clone3", 0, NULL);
	/* Has the C library fall back to the older call, as on an older kernel. */
	rule(f, SCMP_ACT_ERRNO(ENOSYS), "faccessat2", 0, NULL);
	rule(f, SCMP_ACT_ERRNO(ENOSYS), "openat2", 0, NULL);
}

/* Everything outside of the list fails. */
static void
filter_worker(struct filter *f, enum sandbox_role role, unsigned needs, bool enforce)
{
	allow(f, common);
	allow_role(f, role, needs);
	if (WITH_SANITIZER)
		allow(f, sanitizers);
	allow_parts(f);
	if (enforce)
		refuse(f, role, needs, SCMP_ACT_KILL_PROCESS);
}

int
sandbox_enter(enum sandbox_role role, unsigned needs, enum config_sandbox mode, char *error, size_t cap)
{
	bool enforce = mode == SANDBOX_ENFORCE;
	struct filter f = {0};

	if (mode == SANDBOX_OFF)
		return 0;
	f.ctx = seccomp_init(role == SANDBOX_LAUNCHER ? SCMP_ACT_ALLOW : enforce ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_LOG);
	if (f.ctx == NULL) {
		snprintf(error, cap, "no memory for the filter of system calls");
		return -ENOMEM;
	}
	/* All threads, not only this one; a set-user-id program would escape otherwise. */
	f.rc = seccomp_attr_set(f.ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	if (f.rc == 0)
		f.rc = seccomp_attr_set(f.ctx, SCMP_FLTATR_CTL_NNP, 1);
	if (role == SANDBOX_LAUNCHER)
		refuse(&f, role, needs, enforce ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_LOG);
	else
		filter_worker(&f, role, needs, enforce);
	if (f.rc == 0)
		f.rc = seccomp_load(f.ctx);
	seccomp_release(f.ctx);
	if (f.rc < 0)
		snprintf(error, cap,
			 "the filter of system calls cannot be set: %s; on a kernel without seccomp set security.sandbox: off",
			 strerror(-f.rc));
	return f.rc;
}
