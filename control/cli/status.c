/* SPDX-License-Identifier: BSD-3-Clause */
/* rookctl status: what is up, and what is not. */
#include "control/cli/commands.h"

#include <string.h>

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

int
run_status(struct cli *cli)
{
	json_t *s;
	int r = cli_call(cli, "status", NULL, &s);
	if (r != CLI_OK || cli->json)
		return r == CLI_OK ? print_json(cli, s) : r;
	const json_t *dataplane = json_object_get(s, "dataplane"), *store = json_object_get(s, "store");
	const json_t *page = json_object_get(s, "status_page");
	FILE *out = cli->out;
	if (json_is_true(json_object_get(s, "draining")))
		fprintf(out, "draining: no new logins until `rookctl undrain`\n");
	else if (json_is_true(json_object_get(s, "ready")))
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
	if (number_of(s, "traces"))
		fprintf(out, "  %-12s %lld on: `rookctl trace` or `capture` watch packets\n", "traces", number_of(s, "traces"));
	if (number_of(s, "bans"))
		fprintf(out, "  %-12s %lld: clients from there get no answer, see `rookctl bans list`\n", "banned", number_of(s, "bans"));
	if (json_is_true(json_object_get(store, "ok")))
		fprintf(out, "  %-12s ok, waiting messages %lld\n", "store",
			number_of(store, "stored_messages"));
	else
		fprintf(out, "  %-12s NOT AVAILABLE: %s\n", "store", text_of(store, "error"));
	if (json_is_true(json_object_get(page, "ok")))
		fprintf(out, "  %-12s http://%s/\n", "status page", text_of(page, "listen"));
	else if (json_is_string(json_object_get(page, "listen")))
		fprintf(out, "  %-12s NOT AVAILABLE: %s\n", "status page", text_of(page, "error"));
	if (json_is_true(json_object_get(dataplane, "connected")))
		show_rings(out, json_object_get(dataplane, "rings"));
	json_decref(s);
	return CLI_OK;
}

/* ---- workers and ports ---------------------------------------------------------------- */

/* "12/4095" */
static struct shown
show_fill(const json_t *rings, const char *name)
{
	const json_t *ring = json_object_get(rings, name);
	struct shown n;
	snprintf(n.text, sizeof(n.text), "%lld/%lld", number_of(ring, "used") + number_of(ring, "backlog"),
		 number_of(ring, "capacity"));
	return n;
}

static struct shown
show_drops(const json_t *counters)
{
	long long sum = 0;
	const char *name;
	json_t *value;
	struct shown n;
	json_object_foreach((json_t *)(uintptr_t)counters, name, value)
		if (strncmp(name, "drop_", 5) == 0)
			sum += json_integer_value(value);
	snprintf(n.text, sizeof(n.text), "%lld", sum);
	return n;
}

int
run_workers(struct cli *cli)
{
	json_t *s;
	int r = cli_call(cli, "sample", NULL, &s);
	if (r != CLI_OK || cli->json)
		return r == CLI_OK ? print_json(cli, s) : r;
	struct table t;
	table_init(&t, (const char *const[]){">WORKER", ">SESSIONS", ">RECEIVED", ">SENT", ">DROPPED", ">MESSAGES",
					     ">EVENT RING", ">REQUEST RING", ">LOGIN RING", ">INJECT RING", NULL});
	size_t i;
	const json_t *w;
	json_array_foreach(json_object_get(s, "workers"), i, w) {
		const json_t *rings =
			json_array_get(json_object_get(json_object_get(s, "rings"), "workers"), i);
		char number[24];
		snprintf(number, sizeof(number), "%zu", i);
		table_add(&t, (const char *const[]){
				      number, show_number(w, "sessions_live").text,
				      show_number(w, "rx_packets").text, show_number(w, "tx_packets").text,
				      show_drops(w).text, show_number(w, "messages_in").text,
				      show_fill(rings, "event").text, show_fill(rings, "request").text,
				      show_fill(rings, "login").text, show_fill(rings, "inject").text});
	}
	if (t.rows)
		table_print(&t, cli->out);
	else
		fprintf(cli->out, "The dataplane is not connected.\n");
	table_free(&t);
	json_decref(s);
	return CLI_OK;
}

static void
join(const json_t *array, char *buf, size_t cap)
{
	size_t i, used = 0;
	const json_t *item;
	buf[0] = '\0';
	json_array_foreach(array, i, item)
		if (used < cap)
			used += (size_t)snprintf(buf + used, cap - used, "%s%s", i ? " " : "",
						 json_string_value(item));
}

int
run_ports(struct cli *cli)
{
	json_t *s;
	int r = cli_call(cli, "status", NULL, &s);
	if (r != CLI_OK)
		return r;
	json_t *ports = json_incref(json_object_get(s, "ports"));
	json_decref(s);
	if (cli->json)
		return print_json(cli, json_pack("{s:o}", "ports", ports));
	struct table t;
	table_init(&t, (const char *const[]){">PORT", "TYPE", "ADDRESSES", ">UDP PORT", "DEVICES", NULL});
	size_t i;
	const json_t *port;
	json_array_foreach(ports, i, port) {
		char number[24], addresses[512], devices[512];
		snprintf(number, sizeof(number), "%zu", i);
		join(json_object_get(port, "addresses"), addresses, sizeof(addresses));
		join(json_object_get(port, "devices"), devices, sizeof(devices));
		bool socket = strcmp(text_of(port, "type"), "socket") == 0;
		table_add(&t, (const char *const[]){number, text_of(port, "type"),
						    socket ? text_of(port, "listen") : addresses,
						    socket ? "" : show_number(port, "udp_port").text,
						    socket ? "kernel" : devices});
	}
	table_print(&t, cli->out);
	table_free(&t);
	json_decref(ports);
	return CLI_OK;
}
