/* SPDX-License-Identifier: BSD-3-Clause */
/* Lists of the server, page by page. */
#include "control/cli/commands.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int
fetch_list(struct cli *cli, const char *key, json_t *filter, uint64_t limit, uint64_t offset, json_t **out)
{
	json_t *rows = json_array();
	bool more = true;
	int r = filter || (filter = json_object()) ? CLI_OK : cli_fail(CLI_REFUSED, "out of memory");
	while (r == CLI_OK && more && (limit == 0 || json_array_size(rows) < limit)) {
		uint64_t left = limit ? limit - json_array_size(rows) : PAGE;
		json_t *args = json_copy(filter), *page;
		json_object_set_new(args, "limit", json_integer((json_int_t)(left < PAGE ? left : PAGE)));
		json_object_set_new(args, "offset",
				    json_integer((json_int_t)(offset + json_array_size(rows))));
		r = cli_call(cli, cli->command->method, args, &page);
		if (r != CLI_OK)
			break;
		json_t *page_rows = json_object_get(page, key);
		more = json_is_true(json_object_get(page, "more")) && json_array_size(page_rows) > 0;
		json_array_extend(rows, page_rows);
		json_decref(page);
	}
	json_decref(filter);
	if (r != CLI_OK) {
		json_decref(rows);
		return r;
	}
	*out = json_pack("{s:o, s:b}", key, rows, "more", more);
	return *out ? CLI_OK : cli_fail(CLI_REFUSED, "out of memory");
}

json_t *
filter_of(const struct cli *cli)
{
	json_t *filter = json_object();
	for (int i = 0; cli->command->options[i].name; i++) {
		const struct cli_param *o = &cli->command->options[i];
		if (!cli->values[i] || strcmp(o->name, "limit") == 0 || strcmp(o->name, "offset") == 0)
			continue;
		json_object_set_new(filter, o->name,
				    o->type == CLI_NUMBER ? json_integer(strtoll(cli->values[i], NULL, 10))
							  : json_string(cli->values[i]));
	}
	return filter;
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
print_page(struct cli *cli, json_t *list, struct table *t, uint64_t offset, const char *none, const char *beyond)
{
	if (t->rows == 0)
		fputs(offset ? beyond : none, cli->out);
	else
		table_print(t, cli->out);
	show_more(cli, list, offset, t->rows);
	table_free(t);
	json_decref(list);
	return CLI_OK;
}

int
run_users_list(struct cli *cli)
{
	uint64_t limit = cli_number(cli, "limit", 100), offset = cli_number(cli, "offset", 0);
	json_t *list;
	int r = fetch_list(cli, "users", filter_of(cli), limit, offset, &list);
	if (r != CLI_OK || cli->json)
		return r == CLI_OK ? print_json(cli, list) : r;
	struct table t;
	table_init(&t, (const char *const[]){"NAME", ">ID", "PRESENCE", ">DEVICES", ">SESSIONS", ">BUDDIES",
					     ">WAITING", "CREATED (UTC)", "LAST SEEN (UTC)", NULL});
	size_t i;
	const json_t *u;
	json_array_foreach(json_object_get(list, "users"), i, u)
		table_add(&t, (const char *const[]){
				      text_of(u, "name"), show_number(u, "id").text,
				      json_is_true(json_object_get(u, "disabled")) ? "disabled" : text_of(u, "presence"),
				      show_number(u, "devices").text, show_number(u, "sessions").text,
				      show_number(u, "buddies").text, show_number(u, "stored").text,
				      show_time(u, "created").text, show_time(u, "last_seen").text});
	return print_page(cli, list, &t, offset, "No users yet: `rookctl users add NAME` makes one.\n", "No users beyond --offset.\n");
}

static void
sessions_table(struct table *t, const json_t *sessions)
{
	size_t i;
	const json_t *s;
	table_init(t, (const char *const[]){"SID", "USER", "DEVICE", "STATUS", "ADDRESS", ">WORKER",
					     ">EPOCH", ">OUTSTANDING", "SINCE (UTC)", NULL});
	json_array_foreach(sessions, i, s)
		table_add(t, (const char *const[]){
				      text_of(s, "sid"), text_of(s, "user"), text_of(s, "device_name"),
				      text_of(s, "status"), text_of(s, "address"),
				      show_number(s, "worker").text, show_number(s, "epoch").text,
				      show_number(s, "outstanding").text, show_time(s, "since").text});
}

int
run_sessions_list(struct cli *cli)
{
	uint64_t limit = cli_number(cli, "limit", 100), offset = cli_number(cli, "offset", 0);
	json_t *list;
	int r = fetch_list(cli, "sessions", filter_of(cli), limit, offset, &list);
	if (r != CLI_OK || cli->json)
		return r == CLI_OK ? print_json(cli, list) : r;
	struct table t;
	sessions_table(&t, json_object_get(list, "sessions"));
	return print_page(cli, list, &t, offset, "No sessions.\n", "No sessions beyond --offset.\n");
}

int
run_presence(struct cli *cli)
{
	uint64_t limit = cli_number(cli, "limit", 100), offset = cli_number(cli, "offset", 0);
	json_t *list;
	int r = fetch_list(cli, "users", filter_of(cli), limit, offset, &list);
	if (r != CLI_OK || cli->json)
		return r == CLI_OK ? print_json(cli, list) : r;
	struct table t;
	table_init(&t, (const char *const[]){"USER", "SHOWN AS", ">SESSIONS", "TEXT", NULL});
	size_t i;
	const json_t *u;
	json_array_foreach(json_object_get(list, "users"), i, u)
		table_add(&t, (const char *const[]){text_of(u, "name"), text_of(u, "presence"),
						    show_number(u, "sessions").text, text_of(u, "text")});
	return print_page(cli, list, &t, offset, "Nobody is online.\n", "No users beyond --offset.\n");
}

/* ---- one of them ---------------------------------------------------------------------- */

int
run_users_show(struct cli *cli)
{
	json_t *result, *sessions;
	int r = cli_call(cli, "users.show", json_pack("{s:s}", "name", cli->args[0]), &result);
	if (r != CLI_OK || cli->json)
		return r == CLI_OK ? print_json(cli, result) : r;
	const json_t *u = json_object_get(result, "user"), *d;
	char *text = table_clean(text_of(u, "presence_text"));
	fprintf(cli->out, "%s%s\n", text_of(u, "name"),
		json_is_true(json_object_get(u, "disabled")) ? " (disabled)" : "");
	fprintf(cli->out, "  %-12s %lld\n", "id", number_of(u, "id"));
	fprintf(cli->out, "  %-12s %s%s%s\n", "presence", text_of(u, "presence"), text && *text ? ": " : "",
		text ? text : "");
	fprintf(cli->out, "  %-12s %s UTC\n", "created", show_time(u, "created").text);
	fprintf(cli->out, "  %-12s %s UTC\n", "last seen", show_time(u, "last_seen").text);
	fprintf(cli->out, "  %-12s %lld\n", "buddies", number_of(u, "buddies"));
	fprintf(cli->out, "  %-12s %lld\n\n", "waiting", number_of(u, "stored"));
	free(text);
	struct table t;
	table_init(&t, (const char *const[]){">DEVICE", "NAME", "SESSION", ">WAITING", "LAST SEEN (UTC)", NULL});
	size_t i;
	json_array_foreach(json_object_get(result, "devices"), i, d)
		table_add(&t, (const char *const[]){show_number(d, "id").text, text_of(d, "name"),
						    text_of(d, "sid"), show_number(d, "stored").text,
						    show_time(d, "last_seen").text});
	if (t.rows)
		table_print(&t, cli->out);
	else
		fprintf(cli->out, "No device was enrolled yet.\n");
	table_free(&t);
	sessions = cli_call_quietly(cli, "sessions.list", json_pack("{s:s}", "user", cli->args[0]));
	if (json_array_size(json_object_get(sessions, "sessions"))) {
		fputc('\n', cli->out);
		sessions_table(&t, json_object_get(sessions, "sessions"));
		table_print(&t, cli->out);
		table_free(&t);
	}
	json_decref(sessions);
	json_decref(result);
	return CLI_OK;
}

int
run_sessions_show(struct cli *cli)
{
	json_t *s;
	int r = cli_call(cli, "sessions.show", json_pack("{s:s}", "sid", cli->args[0]), &s);
	if (r != CLI_OK || cli->json)
		return r == CLI_OK ? print_json(cli, s) : r;
	char *device = table_clean(text_of(s, "device_name"));
	bool restricted = !*text_of(s, "user");
	fprintf(cli->out, "%s\n", text_of(s, "sid"));
	fprintf(cli->out, "  %-12s %s\n", "user", restricted ? "(not logged in yet)" : text_of(s, "user"));
	fprintf(cli->out, "  %-12s %lld, %s\n", "device", number_of(s, "device"), device ? device : "");
	fprintf(cli->out, "  %-12s %s\n", "status", text_of(s, "status"));
	fprintf(cli->out, "  %-12s %s, on port %lld\n", "address", text_of(s, "address"), number_of(s, "port"));
	fprintf(cli->out, "  %-12s %lld\n", "worker", number_of(s, "worker"));
	fprintf(cli->out, "  %-12s %lld\n", "epoch", number_of(s, "epoch"));
	fprintf(cli->out, "  %-12s %s UTC\n", "since", show_time(s, "since").text);
	fprintf(cli->out, "  %-12s %s\n", "heard", json_is_true(json_object_get(s, "heard")) ?
		"since the dataplane was started" : "not yet since the dataplane was started");
	fprintf(cli->out, "  %-12s %lld on their way to it\n", "outstanding", number_of(s, "outstanding"));
	free(device);
	json_decref(s);
	return CLI_OK;
}

int
run_buddies_show(struct cli *cli)
{
	json_t *result;
	int r = cli_call(cli, "buddies.show", json_pack("{s:s}", "name", cli->args[0]), &result);
	if (r != CLI_OK || cli->json)
		return r == CLI_OK ? print_json(cli, result) : r;
	struct table t;
	table_init(&t, (const char *const[]){"NAME", "RELATION", "PRESENCE", "BLOCKED", NULL});
	size_t i;
	const json_t *b;
	json_array_foreach(json_object_get(result, "buddies"), i, b) {
		bool by = json_is_true(json_object_get(b, "blocked"));
		bool of = json_is_true(json_object_get(b, "blocked_by"));
		table_add(&t, (const char *const[]){text_of(b, "name"), text_of(b, "state"),
						    text_of(b, "presence"),
						    by && of ? "by both" : by ? "by the user" : of ? "by the other" : ""});
	}
	if (t.rows)
		table_print(&t, cli->out);
	else
		fprintf(cli->out, "%s has no buddies.\n", cli->args[0]);
	table_free(&t);
	json_decref(result);
	return CLI_OK;
}
