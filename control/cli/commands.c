/* SPDX-License-Identifier: BSD-3-Clause */
/* What each rookctl command sends, and how its result is shown to people. */
#include "control/cli/cli.h"
#include "control/cli/password.h"
#include "control/cli/table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 1000 /* rows per request; the server's limit */

/* ---- values ------------------------------------------------------------------------- */

static const char *
text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	return text ? text : "";
}

static long long
number_of(const json_t *object, const char *key)
{
	return (long long)json_integer_value(json_object_get(object, key));
}

struct number {
	char text[24];
};

static struct number
show_number(const json_t *object, const char *key)
{
	struct number n;
	snprintf(n.text, sizeof(n.text), "%lld", number_of(object, key));
	return n;
}

/* "2024-05-01T10:00:00.123Z" as "2024-05-01 10:00:00"; null as "never". */
static struct number
show_time(const json_t *object, const char *key)
{
	struct number n = {"never"};
	const char *text = text_of(object, key);
	if (strlen(text) >= 19) {
		snprintf(n.text, sizeof(n.text), "%.19s", text);
		n.text[10] = ' ';
	}
	return n;
}

static void
show_duration(FILE *out, long long s)
{
	if (s >= 86400)
		fprintf(out, "%lld d %lld h", s / 86400, s / 3600 % 24);
	else if (s >= 3600)
		fprintf(out, "%lld h %lld min", s / 3600, s / 60 % 60);
	else if (s >= 60)
		fprintf(out, "%lld min %lld s", s / 60, s % 60);
	else
		fprintf(out, "%lld s", s);
}

static int
print_json(struct cli *cli, json_t *result)
{
	json_dumpf(result, cli->out, JSON_INDENT(2));
	fputc('\n', cli->out);
	json_decref(result);
	return CLI_OK;
}

/* A decimal option; missing stays as *out is. */
static bool
number_option(const struct cli *cli, const char *name, uint64_t max, uint64_t *out)
{
	const char *text = cli_value(cli, name);
	if (!text)
		return true;
	size_t len = strlen(text);
	if (len == 0 || len > 18 || strspn(text, "0123456789") != len || strtoull(text, NULL, 10) > max) {
		cli_fail(CLI_USAGE, "--%s must be a number from 0 to %" PRIu64 ", not `%s`", name, max, text);
		return false;
	}
	*out = strtoull(text, NULL, 10);
	return true;
}

/* ---- status ------------------------------------------------------------------------- */

static void
show_ports(FILE *out, const json_t *ports)
{
	size_t i;
	const json_t *port;
	json_array_foreach(ports, i, port) {
		fprintf(out, "  %-12s ", i == 0 ? "listening" : "");
		if (strcmp(text_of(port, "type"), "socket") == 0) {
			fprintf(out, "udp %s (kernel socket)\n", text_of(port, "listen"));
			continue;
		}
		size_t d;
		const json_t *item;
		fprintf(out, "udp port %lld at", number_of(port, "udp_port"));
		json_array_foreach(json_object_get(port, "addresses"), d, item)
			fprintf(out, " %s", json_string_value(item));
		fprintf(out, " on");
		json_array_foreach(json_object_get(port, "devices"), d, item)
			fprintf(out, " %s", json_string_value(item));
		fputc('\n', out);
	}
}

struct fullest {
	const char *name;
	long long worker, used, capacity, backlog;
};

static void
consider(struct fullest *f, const json_t *ring, const char *name, long long worker)
{
	long long used = number_of(ring, "used"), capacity = number_of(ring, "capacity");
	f->backlog += number_of(ring, "backlog");
	/* used / capacity without rounding */
	if (!f->name || used * f->capacity > f->used * capacity) {
		f->name = name;
		f->worker = worker;
		f->used = used;
		f->capacity = capacity;
	}
}

static void
show_rings(FILE *out, const json_t *rings)
{
	static const char *const names[] = {"event", "request", "login", "inject"};
	struct fullest f = {0};
	size_t w;
	const json_t *worker;
	consider(&f, json_object_get(rings, "table"), "table", -1);
	json_array_foreach(json_object_get(rings, "workers"), w, worker)
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			consider(&f, json_object_get(worker, names[i]), names[i], (long long)w);
	fprintf(out, "  %-12s ", "rings");
	if (f.used == 0)
		fprintf(out, "empty");
	else if (f.worker < 0)
		fprintf(out, "fullest: %s, %lld of %lld", f.name, f.used, f.capacity);
	else
		fprintf(out, "fullest: %s of worker %lld, %lld of %lld", f.name, f.worker, f.used,
			f.capacity);
	if (f.backlog)
		fprintf(out, "; %lld more wait in control", f.backlog);
	fputc('\n', out);
}

static int
run_status(struct cli *cli)
{
	json_t *s;
	int r = cli_call(cli, "status", NULL, &s);
	if (r != CLI_OK || cli->json)
		return r == CLI_OK ? print_json(cli, s) : r;
	const json_t *dataplane = json_object_get(s, "dataplane"), *store = json_object_get(s, "store");
	FILE *out = cli->out;
	if (json_is_true(json_object_get(s, "ready")))
		fprintf(out, "ready: clients can log in\n");
	else
		fprintf(out, "not ready: waiting for %s\n", text_of(s, "waiting_for"));
	fprintf(out, "  %-12s version %s, pid %lld, up ", "control", text_of(s, "version"),
		number_of(s, "pid"));
	show_duration(out, number_of(s, "uptime_s"));
	if (json_is_true(json_object_get(dataplane, "connected")))
		fprintf(out, "\n  %-12s connected, pid %lld, workers %lld, start number %lld\n", "dataplane",
			number_of(dataplane, "pid"), number_of(dataplane, "workers"),
			number_of(dataplane, "instance"));
	else
		fprintf(out, "\n  %-12s not connected\n", "dataplane");
	show_ports(out, json_object_get(s, "ports"));
	fprintf(out, "  %-12s %s\n", "server key", text_of(s, "server_key"));
	fprintf(out, "  %-12s %s\n", "state", text_of(s, "state_dir"));
	fprintf(out, "  %-12s %lld, online %lld; devices %lld\n", "users", number_of(s, "users"),
		number_of(s, "users_online"), number_of(s, "devices"));
	fprintf(out, "  %-12s %lld of %lld; not logged in yet %lld\n", "sessions", number_of(s, "sessions"),
		number_of(dataplane, "sessions_max"), number_of(s, "sessions_restricted"));
	if (json_is_true(json_object_get(store, "ok")))
		fprintf(out, "  %-12s ok, waiting messages %lld\n", "store",
			number_of(store, "stored_messages"));
	else
		fprintf(out, "  %-12s NOT AVAILABLE: %s\n", "store", text_of(store, "error"));
	if (json_is_true(json_object_get(dataplane, "connected")))
		show_rings(out, json_object_get(dataplane, "rings"));
	json_decref(s);
	return CLI_OK;
}

/* ---- lists -------------------------------------------------------------------------- */

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

static int
run_users_list(struct cli *cli)
{
	uint64_t limit = 100, offset = 0;
	json_t *list;
	if (!number_option(cli, "limit", INT32_MAX, &limit) ||
	    !number_option(cli, "offset", INT32_MAX, &offset))
		return CLI_USAGE;
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

static int
run_sessions_list(struct cli *cli)
{
	uint64_t limit = 100, offset = 0;
	json_t *list;
	if (!number_option(cli, "limit", INT32_MAX, &limit) ||
	    !number_option(cli, "offset", INT32_MAX, &offset))
		return CLI_USAGE;
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

/* ---- changes ------------------------------------------------------------------------ */

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
	if (password_read(cli_value(cli, "password-file"), cli->args[0], password, error, sizeof(error)) < 0)
		return cli_fail(CLI_USAGE, "%s", error);
	json_t *args = json_pack("{s:s, s:s}", "name", cli->args[0], "password", password);
	explicit_bzero(password, sizeof(password));
	if (!args)
		return cli_fail(CLI_USAGE, "name and password must be UTF-8");
	return change(cli, command, args, done);
}

static int
run_users_add(struct cli *cli)
{
	return change_password(cli, "users.add", "added");
}

static int
run_users_passwd(struct cli *cli)
{
	return change_password(cli, "users.passwd", "has a new password");
}

static int
run_users_del(struct cli *cli)
{
	json_t *args = json_pack("{s:s}", "name", cli->args[0]);
	return args ? change(cli, "users.del", args, "deleted")
		    : cli_fail(CLI_USAGE, "the name must be UTF-8");
}

static int
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

/* ---- stats -------------------------------------------------------------------------- */

/* One line per counter name within its scope: the sum over the workers. Counters come worker by worker, each
 * in the same order, so the first worker fixes the rows. */
struct sum {
	const json_t *counter;
	json_int_t value;
};

static size_t
sum_scope(const json_t *counters, const char *scope, struct sum *sums)
{
	size_t i, n = 0, at = 0;
	const json_t *c;
	json_array_foreach(counters, i, c) {
		if (strcmp(text_of(c, "scope"), scope) != 0)
			continue;
		const char *name = text_of(c, "name");
		/* usually the one after the last, see above */
		if (at >= n || strcmp(text_of(sums[at].counter, "name"), name) != 0)
			for (at = 0; at < n && strcmp(text_of(sums[at].counter, "name"), name) != 0; at++)
				;
		if (at == n)
			sums[n++] = (struct sum){.counter = c};
		sums[at++].value += (json_int_t)number_of(c, "value");
	}
	return n;
}

/* Returns the number of counters left out because they are zero. */
static size_t
show_scope(struct cli *cli, const json_t *counters, const char *scope, const char *title, struct sum *sums)
{
	size_t n = sum_scope(counters, scope, sums), zero = 0;
	struct table t;
	table_init(&t, (const char *const[]){title, ">VALUE", "MEANING", NULL});
	for (size_t i = 0; i < n; i++) {
		if (sums[i].value == 0 && !cli_value(cli, "all")) {
			zero++;
			continue;
		}
		char value[24];
		snprintf(value, sizeof(value), "%" JSON_INTEGER_FORMAT, sums[i].value);
		table_add(&t, (const char *const[]){text_of(sums[i].counter, "name"), value,
						    text_of(sums[i].counter, "text")});
	}
	if (t.rows) {
		table_print(&t, cli->out);
		fputc('\n', cli->out);
	}
	table_free(&t);
	return zero;
}

static int
show_stats(struct cli *cli, const json_t *result)
{
	const json_t *counters = json_object_get(result, "counters");
	struct sum *sums = calloc(json_array_size(counters) + 1, sizeof(*sums));
	if (!sums)
		return cli_fail(CLI_USAGE, "out of memory");
	size_t zero = show_scope(cli, counters, "worker", cli_value(cli, "worker") ? "WORKER" : "ALL WORKERS",
				 sums);
	memset(sums, 0, json_array_size(counters) * sizeof(*sums));
	zero += show_scope(cli, counters, "housekeeping", "HOUSEKEEPING", sums);
	memset(sums, 0, json_array_size(counters) * sizeof(*sums));
	zero += show_scope(cli, counters, "control", "CONTROL", sums);
	if (zero)
		fprintf(cli->out, "%zu counters are zero; --all shows them.\n", zero);
	if (!json_is_true(json_object_get(result, "connected")))
		fprintf(cli->out, "The dataplane is not connected: its counters are missing.\n");
	free(sums);
	return CLI_OK;
}

static int
run_stats(struct cli *cli)
{
	uint64_t worker = UINT64_MAX;
	if (!number_option(cli, "worker", 127, &worker))
		return CLI_USAGE;
	json_t *args = json_object(), *result;
	if (worker != UINT64_MAX)
		json_object_set_new(args, "worker", json_integer((json_int_t)worker));
	if (cli_value(cli, "drops"))
		json_object_set_new(args, "drops", json_true());
	int r = cli_call(cli, "stats", args, &result);
	if (r != CLI_OK || cli->json)
		return r == CLI_OK ? print_json(cli, result) : r;
	r = show_stats(cli, result);
	json_decref(result);
	return r;
}

/* ---- the table ---------------------------------------------------------------------- */

static const struct cli_option page_options[] = {
	{"limit", "N", "at most so many; 0: all; default 100"},
	{"offset", "N", "without the first N"},
	{0},
};

static const struct cli_option session_options[] = {
	{"user", "NAME", "of this user only"},
	{"limit", "N", "at most so many; 0: all; default 100"},
	{"offset", "N", "without the first N"},
	{0},
};

static const struct cli_option password_options[] = {
	{"password-file", "FILE", "first line of FILE instead of asking; - is standard input"},
	{0},
};

static const struct cli_option stats_options[] = {
	{"drops", NULL, "only the reasons why packets were dropped"},
	{"worker", "N", "one worker instead of the sum of all"},
	{"all", NULL, "also the counters that are zero"},
	{0},
};

const struct command cli_commands[] = {
	{"status", "", "what is up, and what is not", NULL, NULL, run_status},
	{"users list", "", "accounts", NULL, page_options, run_users_list},
	{"users add", "NAME", "make an account",
	 "The password is asked for twice. The user logs in with `rookchat --user NAME`.\n", password_options,
	 run_users_add},
	{"users passwd", "NAME", "set an account's password",
	 "All sessions of the user end. Devices that were enrolled log in again without the new password.\n",
	 password_options, run_users_passwd},
	{"users del", "NAME", "delete an account for ever",
	 "Devices, buddies and waiting messages go with it.\n", NULL, run_users_del},
	{"sessions list", "", "who is logged in, from where", NULL, session_options, run_sessions_list},
	{"sessions kick", "SID|user:NAME", "end one session, or all of a user",
	 "SID as `rookctl sessions list` shows it. The device may log in again.\n", NULL, run_sessions_kick},
	{"stats", "", "counters", NULL, stats_options, run_stats},
	{0},
};
