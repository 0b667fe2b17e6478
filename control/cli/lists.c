/* SPDX-License-Identifier: BSD-3-Clause */
/* Lists of the server, page by page. */
#include "control/cli/commands.h"

#include <inttypes.h>

/* Asks for pages until `limit` rows (0: all) are there. The result has the rows under key, and "more". user:
 * a filter, or NULL. */
static int
fetch_list(struct cli *cli, const char *command, const char *key, const char *user, uint64_t limit,
	   uint64_t offset, json_t **out)
{
	json_t *rows = json_array();
	bool more = true;
	while (more && (limit == 0 || json_array_size(rows) < limit)) {
		uint64_t left = limit ? limit - json_array_size(rows) : PAGE;
		json_t *args = json_pack("{s:I, s:I}", "limit", (json_int_t)(left < PAGE ? left : PAGE),
					 "offset", (json_int_t)(offset + json_array_size(rows)));
		if (user)
			json_object_set_new(args, "user", json_string(user));
		json_t *page;
		int r = cli_call(cli, command, args, &page);
		if (r != CLI_OK) {
			json_decref(rows);
			return r;
		}
		json_t *page_rows = json_object_get(page, key);
		more = json_is_true(json_object_get(page, "more")) && json_array_size(page_rows) > 0;
		json_array_extend(rows, page_rows);
		json_decref(page);
	}
	*out = json_pack("{s:o, s:b}", key, rows, "more", more);
	return *out ? CLI_OK : cli_fail(CLI_USAGE, "out of memory");
}

static void
show_more(struct cli *cli, const json_t *list, uint64_t offset, size_t rows)
{
	if (json_is_true(json_object_get(list, "more")))
		fprintf(cli->out,
			"There are more: --offset %" PRIu64 " shows the next ones, --limit 0 all.\n",
			offset + rows);
}

int
run_users_list(struct cli *cli)
{
	uint64_t limit = cli_number(cli, "limit", 100), offset = cli_number(cli, "offset", 0);
	json_t *list;
	int r = fetch_list(cli, "users.list", "users", NULL, limit, offset, &list);
	if (r != CLI_OK || cli->json)
		return r == CLI_OK ? print_json(cli, list) : r;
	struct table t;
	table_init(&t, (const char *const[]){"NAME", ">ID", "PRESENCE", ">DEVICES", ">SESSIONS", ">BUDDIES",
					     ">WAITING", "CREATED (UTC)", "LAST SEEN (UTC)", NULL});
	size_t i;
	const json_t *u;
	json_array_foreach(json_object_get(list, "users"), i, u)
		table_add(&t, (const char *const[]){
				      text_of(u, "name"), show_number(u, "id").text, text_of(u, "presence"),
				      show_number(u, "devices").text, show_number(u, "sessions").text,
				      show_number(u, "buddies").text, show_number(u, "stored").text,
				      show_time(u, "created").text, show_time(u, "last_seen").text});
	if (t.rows == 0)
		fprintf(cli->out, offset ? "No users beyond --offset.\n"
					 : "No users yet: `rookctl users add NAME` makes one.\n");
	else
		table_print(&t, cli->out);
	show_more(cli, list, offset, t.rows);
	table_free(&t);
	json_decref(list);
	return CLI_OK;
}

int
run_sessions_list(struct cli *cli)
{
	uint64_t limit = cli_number(cli, "limit", 100), offset = cli_number(cli, "offset", 0);
	json_t *list;
	int r = fetch_list(cli, "sessions.list", "sessions", cli_value(cli, "user"), limit, offset, &list);
	if (r != CLI_OK || cli->json)
		return r == CLI_OK ? print_json(cli, list) : r;
	struct table t;
	table_init(&t, (const char *const[]){"SID", "USER", "DEVICE", "STATUS", "ADDRESS", ">WORKER",
					     ">EPOCH", ">OUTSTANDING", "SINCE (UTC)", NULL});
	size_t i;
	const json_t *s;
	json_array_foreach(json_object_get(list, "sessions"), i, s)
		table_add(&t, (const char *const[]){
				      text_of(s, "sid"), text_of(s, "user"), text_of(s, "device_name"),
				      text_of(s, "status"), text_of(s, "address"),
				      show_number(s, "worker").text, show_number(s, "epoch").text,
				      show_number(s, "outstanding").text, show_time(s, "since").text});
	if (t.rows == 0)
		fprintf(cli->out, offset ? "No sessions beyond --offset.\n" : "No sessions.\n");
	else
		table_print(&t, cli->out);
	show_more(cli, list, offset, t.rows);
	table_free(&t);
	json_decref(list);
	return CLI_OK;
}
