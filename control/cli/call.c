/* SPDX-License-Identifier: BSD-3-Clause */
/* The way from a command to the server and back, with the errors that people see on it. */
#include "control/cli/cli.h"
#include "control/cli/client.h"
#include "shared/config.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>

static const char *fail_prefix = "";

void
cli_fail_prefix(const char *prefix)
{
	fail_prefix = prefix;
}

int
cli_fail(int status, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fprintf(stderr, "rookctl: %s", fail_prefix);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	return status;
}

/* --socket as it is; otherwise where the server's own configuration puts it. */
static int
find_socket(const struct cli *cli, char *path, size_t cap, char *error, size_t error_cap)
{
	struct config *config;
	if (cli->socket) {
		if ((size_t)snprintf(path, cap, "%s", cli->socket) < cap)
			return CLI_OK;
		snprintf(error, error_cap, "the path of --socket is too long");
		return CLI_USAGE;
	}
	if (config_load(&config, cli->config, cli->state, error, error_cap) < 0)
		return CLI_USAGE;
	const char *found = config_runtime_path(config, "control.sock", path, cap);
	config_free(config);
	if (found)
		return CLI_OK;
	snprintf(error, error_cap, "the path of the runtime directory is too long");
	return CLI_USAGE;
}

static int
status_of(int result)
{
	return result == -EPROTONOSUPPORT ? CLI_VERSION : CLI_UNREACHABLE;
}

/* Connects at the first call: a wrong option or password is reported before a missing server. */
static int
ensure_client(struct cli *cli, char *error, size_t cap)
{
	char path[PATH_MAX];
	if (cli->client->fd >= 0)
		return CLI_OK;
	int r = find_socket(cli, path, sizeof(path), error, cap);
	if (r != CLI_OK)
		return r;
	r = client_open(cli->client, path, error, cap);
	if (r == 0)
		return CLI_OK;
	client_close(cli->client);
	return status_of(r);
}

/* CLI_OK with *reply, or an exit status with a line in error. */
static int
exchange(struct cli *cli, const char *command, json_t *args, json_t **reply, char *error, size_t cap)
{
	int r = ensure_client(cli, error, cap);
	if (r != CLI_OK) {
		json_decref(args);
		return r;
	}
	r = client_call(cli->client, command, args, reply, error, cap);
	if (r == 0)
		return CLI_OK;
	/* At the prompt the next command tries a new connection: the server may have been restarted. */
	client_close(cli->client);
	return status_of(r);
}

int
cli_call(struct cli *cli, const char *command, json_t *args, json_t **result)
{
	char error[PATH_MAX + 256];
	json_t *reply;
	int r = exchange(cli, command, args, &reply, error, sizeof(error));
	if (r != CLI_OK)
		return cli_fail(r, "%s", error);
	if (json_is_true(json_object_get(reply, "ok"))) {
		json_t *value = json_object_get(reply, "result");
		*result = value ? json_incref(value) : json_object();
	} else {
		const char *text =
			json_string_value(json_object_get(json_object_get(reply, "error"), "text"));
		r = cli_fail(CLI_REFUSED, "%s", text ? text : "the server refused without a reason");
	}
	json_decref(reply);
	return r;
}

json_t *
cli_call_quietly(struct cli *cli, const char *command, json_t *args)
{
	char error[PATH_MAX + 256];
	json_t *reply, *result = NULL;
	if (exchange(cli, command, args, &reply, error, sizeof(error)) != CLI_OK)
		return NULL;
	if (json_is_true(json_object_get(reply, "ok")))
		result = json_incref(json_object_get(reply, "result"));
	json_decref(reply);
	return result;
}
