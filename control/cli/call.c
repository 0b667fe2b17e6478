/* SPDX-License-Identifier: BSD-3-Clause */
/* The way from a command to the server and back, with the errors that people see on it. */
#include "control/cli/cli.h"
#include "control/cli/client.h"
#include "shared/config.h"

#include <limits.h>
#include <stdarg.h>

int
cli_fail(int status, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fputs("rookctl: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	return status;
}

/* --socket as it is; otherwise where the server's own configuration puts it. */
static int
find_socket(const struct cli *cli, char *path, size_t cap)
{
	char error[512];
	struct config *config;
	if (cli->socket) {
		if ((size_t)snprintf(path, cap, "%s", cli->socket) >= cap)
			return cli_fail(CLI_USAGE, "the path of --socket is too long");
		return CLI_OK;
	}
	if (config_load(&config, cli->config, cli->state, error, sizeof(error)) < 0)
		return cli_fail(CLI_USAGE, "%s", error);
	const char *found = config_runtime_path(config, "control.sock", path, cap);
	config_free(config);
	return found ? CLI_OK : cli_fail(CLI_USAGE, "the path of the runtime directory is too long");
}

/* Connects at the first call: a wrong option or password is reported before a missing server. */
static int
ensure_client(struct cli *cli)
{
	char path[PATH_MAX], error[PATH_MAX + 256];
	if (cli->client->fd >= 0)
		return CLI_OK;
	int r = find_socket(cli, path, sizeof(path));
	if (r != CLI_OK)
		return r;
	if (client_open(cli->client, path, error, sizeof(error)) < 0) {
		client_close(cli->client);
		return cli_fail(CLI_UNREACHABLE, "%s", error);
	}
	return CLI_OK;
}

int
cli_call(struct cli *cli, const char *command, json_t *args, json_t **result)
{
	char error[512];
	json_t *reply;
	int r = ensure_client(cli);
	if (r != CLI_OK) {
		json_decref(args);
		return r;
	}
	if (client_call(cli->client, command, args, &reply, error, sizeof(error)) < 0)
		return cli_fail(CLI_UNREACHABLE, "%s", error);
	if (json_is_true(json_object_get(reply, "ok"))) {
		json_t *value = json_object_get(reply, "result");
		*result = value ? json_incref(value) : json_object();
		r = CLI_OK;
	} else {
		const char *text =
			json_string_value(json_object_get(json_object_get(reply, "error"), "text"));
		r = cli_fail(CLI_REFUSED, "%s", text ? text : "the server refused without a reason");
	}
	json_decref(reply);
	return r;
}
