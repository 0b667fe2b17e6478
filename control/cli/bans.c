/* SPDX-License-Identifier: BSD-3-Clause */
/* rookctl bans: addresses that are kept out. */
#include "control/cli/commands.h"

#include <string.h>

/* Clients from there that are known now are not told: their packets are not looked at any more. */
static void
tell_sessions(struct cli *cli, const char *prefix)
{
	json_t *list = cli_call_quietly(cli, "sessions.list", json_pack("{s:s, s:i}", "address", prefix, "limit", PAGE));
	size_t count = json_array_size(json_object_get(list, "sessions"));
	if (count)
		fprintf(cli->out, "%zu%s session%s from there get%s no answer any more and end%s within the heartbeat time-out\n", count,
			json_is_true(json_object_get(list, "more")) ? " or more" : "", count == 1 ? "" : "s", count == 1 ? "s" : "",
			count == 1 ? "s" : "");
	json_decref(list);
}

int
run_bans_add(struct cli *cli)
{
	const char *reason = cli_value(cli, "reason"), *duration = cli_value(cli, "for");
	json_t *args = json_pack("{s:s, s:s*}", "address", cli->args[0], "reason", reason), *result;
	if (!args)
		return cli_fail(CLI_USAGE, "address and reason must be UTF-8");
	if (duration)
		json_object_set_new(args, "seconds", json_integer((json_int_t)cli_duration(duration)));
	int r = cli_call(cli, "bans.add", args, &result);
	if (r != CLI_OK || cli->json)
		return r == CLI_OK ? print_json(cli, result) : r;
	json_decref(result);
	fprintf(cli->out, "%s banned", cli->args[0]);
	if (duration)
		fprintf(cli->out, " for %s", duration);
	fputc('\n', cli->out);
	tell_sessions(cli, cli->args[0]);
	return CLI_OK;
}

int
run_bans_del(struct cli *cli)
{
	json_t *args = json_pack("{s:s}", "address", cli->args[0]), *result;
	if (!args)
		return cli_fail(CLI_USAGE, "the address must be UTF-8");
	int r = cli_call(cli, "bans.del", args, &result);
	if (r != CLI_OK || cli->json)
		return r == CLI_OK ? print_json(cli, result) : r;
	json_decref(result);
	fprintf(cli->out, "%s no longer banned\n", cli->args[0]);
	return CLI_OK;
}

int
run_bans_list(struct cli *cli)
{
	uint64_t limit = cli_number(cli, "limit", 100), offset = cli_number(cli, "offset", 0);
	json_t *list;
	int r = fetch_list(cli, "bans", filter_of(cli), limit, offset, &list);
	if (r != CLI_OK || cli->json)
		return r == CLI_OK ? print_json(cli, list) : r;
	struct table t;
	table_init(&t, (const char *const[]){"ADDRESS", "UNTIL (UTC)", "SINCE (UTC)", "ENFORCED BY", "REASON", NULL});
	size_t i;
	const json_t *b;
	json_array_foreach(json_object_get(list, "bans"), i, b)
		table_add(&t, (const char *const[]){text_of(b, "prefix"),
						    json_is_null(json_object_get(b, "until")) ? "removed" : show_time(b, "until").text,
						    show_time(b, "since").text, text_of(b, "enforced"), text_of(b, "reason")});
	return print_page(cli, list, &t, offset, "Nobody is banned.\n", "No bans beyond --offset.\n");
}
