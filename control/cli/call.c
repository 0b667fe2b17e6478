/* SPDX-License-Identifier: BSD-3-Clause */
/* The way from a command to the server and back, with the errors that people see on it. */
#include "control/admin_protocol.h"
#include "control/cli/cli.h"
#include "control/cli/client.h"
#include "shared/config.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#define CONTROL_SOCKET "control.sock"
#define LAUNCHER_SOCKET "launcher.sock"

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

/* Control's: --socket as it is, otherwise where the server's own configuration puts it. The launcher's is beside it. */
static int
find_socket(const struct cli *cli, const char *name, char *path, size_t cap, char *error, size_t error_cap)
{
	struct config *config;
	if (cli->socket) {
		const char *slash = strrchr(cli->socket, '/');
		bool as_it_is = strcmp(name, CONTROL_SOCKET) == 0;
		int directory = slash && !as_it_is ? (int)(slash + 1 - cli->socket) : 0;
		if (snprintf(path, cap, "%.*s%s", directory, cli->socket, as_it_is ? cli->socket : name) < (int)cap)
			return CLI_OK;
		snprintf(error, error_cap, "the path of --socket is too long");
		return CLI_USAGE;
	}
	if (config_load(&config, cli->config, cli->state, error, error_cap) < 0)
		return CLI_USAGE;
	const char *found = config_runtime_path(config, name, path, cap);
	config_free(config);
	if (found)
		return CLI_OK;
	snprintf(error, error_cap, "the path of the runtime directory is too long");
	return CLI_USAGE;
}

/* Without options: the caller's own server (`rookery run`, perhaps from a build folder) if there is one, then the machine's. */
void
cli_find_server(struct cli *cli)
{
	char path[PATH_MAX], error[256];
	struct config *config;
	bool own;
	if (cli->socket || cli->config || cli->state || access(ROOKERY_INSTALLED_CONFIG, R_OK) < 0)
		return;
	if (config_load(&config, NULL, NULL, error, sizeof(error)) < 0)
		return;
	own = config_runtime_path(config, CONTROL_SOCKET, path, sizeof(path)) && access(path, F_OK) == 0;
	config_free(config);
	if (!own)
		cli->config = ROOKERY_INSTALLED_CONFIG;
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
	int r = find_socket(cli, CONTROL_SOCKET, path, sizeof(path), error, cap);
	if (r != CLI_OK)
		return r;
	r = client_open(cli->client, path, ADMIN_CONTROL, error, cap);
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

/* Takes the reply. */
static int
unpack(json_t *reply, json_t **result)
{
	int r = CLI_OK;
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

int
cli_call(struct cli *cli, const char *command, json_t *args, json_t **result)
{
	char error[PATH_MAX + 256];
	json_t *reply;
	int r = exchange(cli, command, args, &reply, error, sizeof(error));
	return r == CLI_OK ? unpack(reply, result) : cli_fail(r, "%s", error);
}

int
cli_call_launcher(struct cli *cli, const char *command, json_t *args, unsigned seconds, json_t **result)
{
	char path[PATH_MAX], error[PATH_MAX + 256];
	struct client client = {.fd = -1};
	json_t *reply = NULL;
	int r = find_socket(cli, LAUNCHER_SOCKET, path, sizeof(path), error, sizeof(error));
	if (r == CLI_OK) {
		r = client_open(&client, path, ADMIN_LAUNCHER, error, sizeof(error));
		if (r == 0) {
			client_patience(&client, seconds);
			r = client_call(&client, command, args, &reply, error, sizeof(error));
			args = NULL;
		}
		client_close(&client);
		r = r == 0 ? CLI_OK : status_of(r);
	}
	json_decref(args);
	return r == CLI_OK ? unpack(reply, result) : cli_fail(r, "%s", error);
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
