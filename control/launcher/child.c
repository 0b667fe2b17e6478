/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/launcher/child.h"

#include "shared/account.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

uint32_t
restart_delay(struct restart_pace *pace, uint64_t lived_ms)
{
	uint64_t made_up = lived_ms / RESTART_LIFE_MS;
	pace->deaths -= made_up < pace->deaths ? (uint32_t)made_up : pace->deaths;
	if (pace->deaths < RESTART_AT_ONCE_MAX) {
		pace->deaths++;
		pace->delay_ms = 0;
	} else if (pace->delay_ms == 0) {
		pace->delay_ms = RESTART_DELAY_MIN_MS;
	} else {
		pace->delay_ms = pace->delay_ms * 2 < RESTART_DELAY_MAX_MS ? pace->delay_ms * 2 : RESTART_DELAY_MAX_MS;
	}
	return pace->delay_ms;
}

/* Handlers of the launcher must not run in the child before it is executed: libuv's would write into the pipe
 * that it shares with the parent. All signals are blocked on entry. */
static void
reset_signals(void)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	for (int s = 1; s < NSIG; s++)
		if (s != SIGKILL && s != SIGSTOP)
			sigaction(s, &dfl, NULL);
	/* A child is in the terminal's background: under `stty tostop` its log lines would stop it. */
	signal(SIGTTOU, SIG_IGN);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Only async-signal-safe calls. Returns an errno, or does not return. */
static int
become(char *const argv[], int keep, pid_t parent)
{
	setpgid(0, 0);
	/* The program may be in a directory that is closed to the account as which we use files. */
	account_files_own();
	/* SIGKILL rather than SIGTERM: a child that hangs must not outlive us either, and each process is
	 * built to be killed at any moment. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return errno;
	if (getppid() != parent)
		_exit(1); /* the launcher died before prctl */
	int null = open("/dev/null", O_RDONLY);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		return errno;
	if (null > STDERR_FILENO)
		close(null);
	if (keep >= 0 && fcntl(keep, F_SETFD, 0) < 0)
		return errno;
	reset_signals();
	execv(argv[0], argv);
	return errno;
}

pid_t
child_start(char *const argv[], int keep)
{
	int report[2]; /* closed by a successful exec; otherwise carries errno */
	if (pipe2(report, O_CLOEXEC) < 0)
		return -errno;
	pid_t parent = getpid();
	sigset_t all, before;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid_t pid = fork();
	int error = errno;
	if (pid == 0) {
		error = become(argv, keep, parent);
		ssize_t ignored = write(report[1], &error, sizeof(error));
		(void)ignored;
		_exit(127);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(report[1]);
	if (pid < 0) {
		close(report[0]);
		return -error;
	}
	ssize_t n;
	do
		n = read(report[0], &error, sizeof(error));
	while (n < 0 && errno == EINTR);
	close(report[0]);
	if (n == (ssize_t)sizeof(error)) {
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		return -error;
	}
	return pid;
}
