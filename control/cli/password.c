/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/cli/password.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

/* Reads up to a newline or the end, byte by byte: what follows on standard input is not ours. Returns the
 * length, or -errno; -EMSGSIZE when longer than PASSWORD_MAX, -EINVAL with a NUL byte. */
static int
read_line(int fd, char *out)
{
	size_t len = 0;
	for (;;) {
		char byte;
		ssize_t n = read(fd, &byte, 1);
		if (n < 0)
			return -errno;
		if (n == 0 || byte == '\n')
			break;
		if (len == PASSWORD_MAX)
			return -EMSGSIZE;
		if (byte == '\0')
			return -EINVAL;
		out[len++] = byte;
	}
	if (len > 0 && out[len - 1] == '\r')
		len--;
	out[len] = '\0';
	return (int)len;
}

static int
fail(int result, const char *where, char *error, size_t cap)
{
	if (result == -EMSGSIZE)
		snprintf(error, cap, "the password from %s is longer than %d bytes", where, PASSWORD_MAX);
	else if (result == -EINVAL)
		snprintf(error, cap, "the password from %s contains a NUL byte", where);
	else if (result == 0)
		snprintf(error, cap, "the password from %s is empty", where);
	else
		snprintf(error, cap, "cannot read the password from %s: %s", where, strerror(-result));
	return result < 0 ? result : -EINVAL;
}

static int
from_file(const char *file, char *out, char *error, size_t cap)
{
	int stdin_given = strcmp(file, "-") == 0;
	int fd = stdin_given ? STDIN_FILENO : open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return fail(-errno, file, error, cap);
	int r = read_line(fd, out);
	if (!stdin_given)
		close(fd);
	return r > 0 ? 0 : fail(r, stdin_given ? "standard input" : file, error, cap);
}

/* ---- terminal ----------------------------------------------------------------------- */

static volatile sig_atomic_t interrupted;

static void
on_signal(int signum)
{
	interrupted = signum;
}

static const int watched[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};
#define WATCHED (sizeof(watched) / sizeof(watched[0]))

/* A signal while the echo is off must not leave the terminal without it: the read is interrupted, the
 * terminal put back, and only then the signal takes its course. */
static int
ask_once(int tty, const char *prompt, char *out)
{
	struct termios before, silent;
	if (tcgetattr(tty, &before) < 0)
		return -errno;
	struct sigaction action = {.sa_handler = on_signal}, old[WATCHED];
	interrupted = 0;
	for (size_t i = 0; i < WATCHED; i++)
		sigaction(watched[i], &action, &old[i]);
	silent = before;
	silent.c_lflag &= ~(tcflag_t)ECHO;
	silent.c_lflag |= ECHONL | ICANON;
	int r = tcsetattr(tty, TCSAFLUSH, &silent) < 0 ? -errno : 0;
	if (r == 0 && write(tty, prompt, strlen(prompt)) < 0)
		r = -errno;
	if (r == 0)
		r = read_line(tty, out);
	tcsetattr(tty, TCSAFLUSH, &before);
	for (size_t i = 0; i < WATCHED; i++)
		sigaction(watched[i], &old[i], NULL);
	if (interrupted) {
		ssize_t ignored = write(tty, "\n", 1);
		(void)ignored;
		raise(interrupted);
		return -EINTR; /* after SIGTSTP and a continuation */
	}
	return r;
}

static int
from_terminal(const char *user, char *out, char *error, size_t cap)
{
	char prompt[128], again[PASSWORD_MAX + 1] = "";
	int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (tty < 0) {
		snprintf(error, cap,
			 "there is no terminal to ask for the password: give --password-file FILE, or "
			 "--password-file - for standard input");
		return -ENOTTY;
	}
	snprintf(prompt, sizeof(prompt), "Password for %.64s: ", user);
	int r = ask_once(tty, prompt, out);
	if (r > 0)
		r = ask_once(tty, "Again: ", again);
	close(tty);
	if (r <= 0)
		r = fail(r, "the terminal", error, cap);
	else if (strcmp(out, again) != 0) {
		snprintf(error, cap, "the two passwords differ: nothing was changed");
		r = -EINVAL;
	} else
		r = 0;
	explicit_bzero(again, sizeof(again));
	return r;
}

int
password_read(const char *file, const char *user, char out[PASSWORD_MAX + 1], char *error, size_t cap)
{
	return file ? from_file(file, out, error, cap) : from_terminal(user, out, error, cap);
}
