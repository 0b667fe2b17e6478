/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rookctl against a server that answers anything.
 *
 *   input: a command line up to the first newline, then what the server says
 *   '!' and a byte (HOW_*) before the command line: rookctl connects itself, and the system calls fail as the byte says
 *
 * The server's side is a socket in which its answers wait already; connect, send and recv of rookctl are the functions here.
 * Run are the commands that only show what it says.
 */
#include "fuzz.h"

#include "control/cli/cli.h"
#include "control/cli/client.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINE_MAX 200
#define WORDS_MAX 24

#define HOW_CONNECT 0x07     /* index of connect_errors */
#define HOW_INTERRUPTED 0x08 /* every other recv and send */
#define HOW_SILENT 0x10      /* the server stays, and says no more */
#define HOW_ENDLESS 0x20     /* a line without an end */
#define HOW_BROKEN 0x40      /* nothing can be sent */
#define HOW_LONG 0x80        /* a path that no socket can have */

static const int connect_errors[HOW_CONNECT + 1] = {0, 0, 0, ENOENT, ECONNREFUSED, EACCES, EPERM, ENOTDIR};
static FILE *nowhere;
static struct {
	const uint8_t *answers;
	size_t len;
	uint8_t how;
	bool interrupted;
} server;

/* ---- system calls ------------------------------------------------------------------------------- */

int fuzz_connect(int fd, const struct sockaddr *address, socklen_t len);
ssize_t fuzz_recv(int fd, void *buf, size_t len, int flags);
ssize_t fuzz_send(int fd, const void *buf, size_t len, int flags);

/* A socket at whose other end the answers were written and nobody listens. */
static void
answer(int fd)
{
	int ends[2];

	FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
	FUZZ_CHECK(write(ends[1], server.answers, server.len) == (ssize_t)server.len);
	shutdown(ends[1], SHUT_WR);
	FUZZ_CHECK(dup2(ends[0], fd) == fd);
	close(ends[0]);
	close(ends[1]);
}

int
fuzz_connect(int fd, const struct sockaddr *address, socklen_t len)
{
	FUZZ_CHECK(address->sa_family == AF_UNIX && len > sizeof(address->sa_family));
	errno = connect_errors[server.how & HOW_CONNECT];
	if (errno != 0)
		return -1;
	answer(fd);
	return 0;
}

static bool
interrupted(void)
{
	bool now = (server.how & HOW_INTERRUPTED) != 0 && !server.interrupted;

	server.interrupted = now;
	errno = EINTR;
	return now;
}

ssize_t
fuzz_recv(int fd, void *buf, size_t len, int flags)
{
	ssize_t n;

	(void)flags;
	if (interrupted())
		return -1;
	n = read(fd, buf, len);
	if (n == 0 && (server.how & HOW_SILENT) != 0) {
		errno = EAGAIN;
		return -1;
	}
	if (n != 0 || (server.how & HOW_ENDLESS) == 0)
		return n;
	memset(buf, 'x', len);
	return (ssize_t)len;
}

/* Half of it, so that rookctl comes back with the rest. */
ssize_t
fuzz_send(int fd, const void *buf, size_t len, int flags)
{
	(void)fd;
	(void)buf;
	FUZZ_CHECK((flags & MSG_NOSIGNAL) != 0);
	if (interrupted())
		return -1;
	if ((server.how & HOW_BROKEN) == 0)
		return (ssize_t)((len + 1) / 2);
	errno = EPIPE;
	return -1;
}

/* ---- commands ------------------------------------------------------------------------------------ */

static bool
wanted(const struct cli *cli)
{
	static const char *const names[] = {"status",        "stats",         "users list",  "users show",
					  "users disable", "users enable",  "presence",    "sessions list",
					  "sessions show", "sessions kick", "ports",       "buddies show",
					  "undrain",       "config show",   "config diff", "log level",
					  "restart"};

	for (size_t i = 0; cli->command != NULL && cli->watch == NULL && i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(cli->command->name, names[i]) == 0)
			return !cli->help && !cli->version;
	}
	return false;
}

static void
run(struct cli *cli, bool connected)
{
	struct client client = {.timeout_s = 1, .fd = -1};
	char path[200] = "";

	if (connected) {
		client.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		FUZZ_CHECK(client.fd >= 0);
		answer(client.fd);
	}
	cli->client = &client;
	cli->out = nowhere;
	memset(path, 'x', sizeof(path) - 1);
	cli->socket = server.how & HOW_LONG ? path : "/dev/null/none";
	cli_run(cli);
	client_close(&client);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char line[LINE_MAX + 1], *argv[WORDS_MAX + 1] = {(char *)(uintptr_t)"rookctl"}, error[256] = "";
	const uint8_t *end = size > 0 ? memchr(data, '\n', size) : NULL;
	size_t len = end == NULL ? size : (size_t)(end - data);
	bool connects = len >= 2 && data[0] == '!';
	struct cli cli = {0};
	int argc = 1;

	if (nowhere == NULL) {
		nowhere = fopen("/dev/null", "w");
		FUZZ_CHECK(nowhere != NULL);
		stderr = nowhere; /* the sanitizers write to the descriptor */
	}
	if (len > LINE_MAX || size > 8192)
		return 0;
	memset(&server, 0, sizeof(server));
	/* A second request after a broken connection must not find a server. */
	server.how = connects ? data[1] : HOW_CONNECT;
	server.answers = data + len + (end != NULL);
	server.len = size - len - (end != NULL);
	len -= connects ? 2 : 0;
	memcpy(line, data + (connects ? 2 : 0), len);
	line[len] = '\0';
	for (char *w = strtok(line, " "); w != NULL && argc < WORDS_MAX; w = strtok(NULL, " "))
		argv[argc++] = w;
	cli.out = nowhere;
	if (cli_parse(&cli, argc, argv, error, sizeof(error)) < 0) {
		FUZZ_CHECK(error[0] != '\0' && strchr(error, '\n') == NULL);
		return 0;
	}
	if (wanted(&cli))
		run(&cli, !connects);
	return 0;
}
