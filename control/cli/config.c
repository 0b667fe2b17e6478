/* SPDX-License-Identifier: BSD-3-Clause */
/* rookctl config ... and log level. */
#include "control/cli/commands.h"

#include "shared/config.h"

#include <string.h>

/* Works without a server: a file is tried before anybody starts with it. */
int
run_config_check(struct cli *cli)
{
	const char *path = cli->arg_count ? cli->args[0] : cli->config;
	struct config *config;
	char error[512];
	if (config_load(&config, path, cli->state, error, sizeof(error)) < 0) {
		if (cli->json)
			print_json(cli, json_pack("{s:b, s:s}", "ok", false, "error", error));
		return cli_fail(CLI_REFUSED, "%s", error);
	}
	config_free(config);
	if (cli->json)
		return print_json(cli, json_pack("{s:b}", "ok", true));
	fprintf(cli->out, "%s is in order\n", path ? path : "the default configuration");
	return CLI_OK;
}

int
run_config_show(struct cli *cli)
{
	json_t *result;
	int r = cli_call(cli, "config.show", NULL, &result);
	if (r != CLI_OK || cli->json)
		return r == CLI_OK ? print_json(cli, result) : r;
	const char *file = json_string_value(json_object_get(result, "file")), *key;
	json_t *value;
	struct table t;
	fprintf(cli->out, "%s\n\n", file ? file : "The server was started without --config.");
	table_init(&t, (const char *const[]){"KEY", "VALUE", NULL});
	json_object_foreach(json_object_get(result, "values"), key, value)
		table_add(&t, (const char *const[]){key, json_string_value(value)});
	table_print(&t, cli->out);
	table_free(&t);
	json_decref(result);
	return CLI_OK;
}

static void
show_changes(struct cli *cli, const json_t *changes, bool applied)
{
	struct table t;
	size_t i;
	const json_t *c;
	table_init(&t, (const char *const[]){"KEY", "RUNNING", "FILE", applied ? "NOW" : "TO CHANGE IT", NULL});
	json_array_foreach(changes, i, c) {
		const char *mend = text_of(c, "mend");
		bool live = json_is_true(json_object_get(c, "live"));
		table_add(&t, (const char *const[]){text_of(c, "key"), text_of(c, "from"), text_of(c, "to"),
						    !live ? mend : applied ? "in force" : "rookctl config reload"});
	}
	if (t.rows)
		table_print(&t, cli->out);
	else
		fprintf(cli->out, "The server runs with what its file says, or with the default where it has none.\n");
	table_free(&t);
}

static int
reload(struct cli *cli, bool dry_run)
{
	json_t *result;
	int r = cli_call(cli, "config.reload", json_pack("{s:b}", "dry_run", dry_run), &result);
	if (r != CLI_OK || cli->json)
		return r == CLI_OK ? print_json(cli, result) : r;
	show_changes(cli, json_object_get(result, "changes"), !dry_run);
	json_decref(result);
	return CLI_OK;
}

int
run_config_diff(struct cli *cli)
{
	return reload(cli, true);
}

int
run_config_reload(struct cli *cli)
{
	return reload(cli, false);
}

int
run_log_level(struct cli *cli)
{
	json_t *result, *args = json_pack("{s:s}", "level", cli->args[0]);
	if (cli->arg_count > 1)
		json_object_set_new(args, "area", json_string(cli->args[1]));
	int r = cli_call(cli, "log.level", args, &result);
	if (r != CLI_OK || cli->json)
		return r == CLI_OK ? print_json(cli, result) : r;
	fprintf(cli->out, "the server logs %s%s%s from now on\n", cli->args[0],
		cli->arg_count > 1 ? " of area " : "", cli->arg_count > 1 ? cli->args[1] : "");
	json_decref(result);
	return CLI_OK;
}

/* ---- limits ---------------------------------------------------------------------------- */

struct limit {
	const char *key;
	const char *used; /* in the sample, or NULL */
};

static const struct limit limits[] = {
	{"dataplane.sessions", "sessions"},
	{"limits.restricted_sessions", "sessions_restricted"},
	{"dataplane.messages", NULL},
	{"dataplane.users", "users_online"},
	{"dataplane.conversations", NULL},
	{"control.buddies_max", NULL},
	{"control.devices_max", NULL},
	{"control.stored_max", NULL},
	{"control.stored_days", NULL},
	{"control.logins_per_second", NULL},
};

int
run_limits(struct cli *cli)
{
	json_t *config, *sample = NULL;
	int r = cli_call(cli, "config.show", NULL, &config);
	if (r == CLI_OK && (r = cli_call(cli, "sample", NULL, &sample)) != CLI_OK)
		json_decref(config);
	if (r != CLI_OK)
		return r;
	const json_t *values = json_object_get(config, "values");
	json_t *rows = json_array(), *value;
	const char *key;
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		if (json_object_get(values, limits[i].key))
			json_array_append_new(rows, json_pack("{s:s, s:s, s:o}", "key", limits[i].key, "limit",
							      text_of(values, limits[i].key), "used",
							      limits[i].used ? json_integer(number_of(sample, limits[i].used))
									     : json_null()));
	/* What one peer may do, all of it. */
	json_object_foreach((json_t *)(uintptr_t)values, key, value)
		if (strncmp(key, "limits.", 7) == 0 && strcmp(key, "limits.restricted_sessions") != 0)
			json_array_append_new(rows, json_pack("{s:s, s:s, s:n}", "key", key, "limit",
							      json_string_value(value), "used"));
	json_decref(config);
	json_decref(sample);
	if (cli->json)
		return print_json(cli, json_pack("{s:o}", "limits", rows));
	struct table t;
	size_t i;
	const json_t *row;
	table_init(&t, (const char *const[]){"LIMIT", ">VALUE", ">USED", NULL});
	json_array_foreach(rows, i, row)
		table_add(&t, (const char *const[]){
				      text_of(row, "key"), text_of(row, "limit"),
				      json_is_integer(json_object_get(row, "used")) ? show_number(row, "used").text : ""});
	table_print(&t, cli->out);
	table_free(&t);
	json_decref(rows);
	return CLI_OK;
}
