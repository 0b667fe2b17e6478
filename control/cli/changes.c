/* SPDX-License-Identifier: BSD-3-Clause */
/* What operators change. */
#include "control/cli/commands.h"
#include "control/cli/password.h"

#include <string.h>
#include <time.h>

#define RESTART_PATIENCE_S 180 /* the launcher gives up before */

/* Sends a change and says what was done, "NAME done". */
static int
change(struct cli *cli, const char *command, json_t *args, const char *done)
{
	json_t *result;
	int r = cli_call(cli, command, args, &result);
	if (r != CLI_OK)
		return r;
	if (cli->json)
		return print_json(cli, result);
	fprintf(cli->out, "%s %s\n", cli->args[0], done);
	json_decref(result);
	return CLI_OK;
}

static int
change_password(struct cli *cli, const char *command, const char *done)
{
	char password[PASSWORD_MAX + 1], error[512];
	const char *file = cli_value(cli, "password-file");
	if (file && strcmp(file, "-") == 0 && cli->stdin_taken)
		return cli_fail(CLI_USAGE, "standard input holds the commands: give --password-file a file");
	if (password_read(file, cli->args[0], password, error, sizeof(error)) < 0)
		return cli_fail(CLI_USAGE, "%s", error);
	json_t *args = json_pack("{s:s, s:s}", "name", cli->args[0], "password", password);
	explicit_bzero(password, sizeof(password));
	if (!args)
		return cli_fail(CLI_USAGE, "name and password must be UTF-8");
	return change(cli, command, args, done);
}

int
run_users_add(struct cli *cli)
{
	return change_password(cli, "users.add", "added");
}

int
run_users_passwd(struct cli *cli)
{
	return change_password(cli, "users.passwd", "has a new password");
}

static int
enable(struct cli *cli, bool on, const char *done)
{
	json_t *args = json_pack("{s:s, s:b}", "name", cli->args[0], "on", on);
	return args ? change(cli, "users.enable", args, done) : cli_fail(CLI_USAGE, "the name must be UTF-8");
}

int
run_users_enable(struct cli *cli)
{
	return enable(cli, true, "enabled");
}

int
run_users_disable(struct cli *cli)
{
	return enable(cli, false, "disabled");
}

int
run_users_del(struct cli *cli)
{
	json_t *args = json_pack("{s:s}", "name", cli->args[0]);
	return args ? change(cli, "users.del", args, "deleted")
		    : cli_fail(CLI_USAGE, "the name must be UTF-8");
}

int
run_sessions_kick(struct cli *cli)
{
	const char *target = cli->args[0];
	bool user = strncmp(target, "user:", 5) == 0;
	json_t *args = json_pack("{s:s}", user ? "user" : "sid", target + (user ? 5 : 0)), *result;
	if (!args)
		return cli_fail(CLI_USAGE, "the argument must be UTF-8");
	int r = cli_call(cli, "sessions.kick", args, &result);
	if (r != CLI_OK || cli->json)
		return r == CLI_OK ? print_json(cli, result) : r;
	long long ended = number_of(result, "ended");
	fprintf(cli->out, "%lld session%s ended\n", ended, ended == 1 ? "" : "s");
	json_decref(result);
	return CLI_OK;
}

int
run_restart(struct cli *cli)
{
	struct timespec began, ended;
	json_t *result;
	clock_gettime(CLOCK_MONOTONIC, &began);
	int r = cli_call_launcher(cli, "restart", json_pack("{s:s}", "process", cli->args[0]), RESTART_PATIENCE_S,
				  &result);
	if (r != CLI_OK)
		return r;
	clock_gettime(CLOCK_MONOTONIC, &ended);
	long long ms = (ended.tv_sec - began.tv_sec) * 1000LL + (ended.tv_nsec - began.tv_nsec) / 1000000;
	if (cli->json) {
		json_object_set_new(result, "process", json_string(cli->args[0]));
		json_object_set_new(result, "ms", json_integer(ms));
		return print_json(cli, result);
	}
	json_decref(result);
	fprintf(cli->out, "%s restarted; ready after %lld.%03lld s\n", cli->args[0], ms / 1000, ms % 1000);
	return CLI_OK;
}

static int
drain(struct cli *cli, bool on)
{
	json_t *result;
	int r = cli_call(cli, "drain", json_pack("{s:b}", "on", on), &result);
	if (r != CLI_OK || cli->json)
		return r == CLI_OK ? print_json(cli, result) : r;
	fprintf(cli->out, on ? "draining: nobody new can log in; `rookctl undrain` ends it\n"
			     : "not draining: clients can log in\n");
	json_decref(result);
	return CLI_OK;
}

int
run_drain(struct cli *cli)
{
	return drain(cli, true);
}

int
run_undrain(struct cli *cli)
{
	return drain(cli, false);
}
