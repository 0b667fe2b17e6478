/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rookctl against a server that answers anything.
 *
 *   input: a command line up to the first newline, then what the server says
 *
 * The server's side is a socket in which its answers wait already. Run are the commands that only show what it says.
 */
#include "fuzz.h"

#include "control/cli/cli.h"
#include "control/cli/client.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINE_MAX 200
#define WORDS_MAX 24

static FILE *nowhere;

static bool
wanted(const struct cli *cli)
{
	static const char *const names[] = {"status", "stats", "users list", "sessions list", "sessions kick"};

	for (size_t i = 0; cli->command != NULL && cli->watch == NULL && i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(cli->command->name, names[i]) == 0)
			return !cli->help && !cli->version;
	}
	return false;
}

static void
run(struct cli *cli, const uint8_t *answers, size_t len)
{
	struct client client = {.timeout_s = 1};
	int ends[2];

	FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
	FUZZ_CHECK(write(ends[1], answers, len) == (ssize_t)len);
	shutdown(ends[1], SHUT_WR);
	client.fd = ends[0];
	cli->client = &client;
	cli->out = nowhere;
	/* A second request after a broken connection must not look for a server. */
	cli->socket = "/dev/null/none";
	cli_run(cli);
	client_close(&client);
	close(ends[1]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char line[LINE_MAX + 1], *argv[WORDS_MAX + 1] = {(char *)(uintptr_t)"rookctl"}, error[256] = "";
	const uint8_t *end = size > 0 ? memchr(data, '\n', size) : NULL;
	size_t len = end == NULL ? size : (size_t)(end - data);
	struct cli cli = {0};
	int argc = 1;

	if (nowhere == NULL) {
		nowhere = fopen("/dev/null", "w");
		FUZZ_CHECK(nowhere != NULL);
		stderr = nowhere; /* the sanitizers write to the descriptor */
	}
	if (len > LINE_MAX || size > 8192)
		return 0;
	memcpy(line, data, len);
	line[len] = '\0';
	for (char *w = strtok(line, " "); w != NULL && argc < WORDS_MAX; w = strtok(NULL, " "))
		argv[argc++] = w;
	cli.out = nowhere;
	if (cli_parse(&cli, argc, argv, error, sizeof(error)) < 0) {
		FUZZ_CHECK(error[0] != '\0' && strchr(error, '\n') == NULL);
		return 0;
	}
	if (wanted(&cli))
		run(&cli, data + len + (end != NULL), size - len - (end != NULL));
	return 0;
}
