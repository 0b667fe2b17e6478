/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What clients see when a process of the server is away for a moment: killed, or replaced on order (`rookctl restart`). The times are
 * printed, not judged: they are the machine's. ROOKERY_E2E_ROUNDS: how often each is measured, 3 unless it says otherwise.
 */
#include "client.h"
#include "pair.h"
#include "scenario.h"
#include "server.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define MANY 300
#define ROUNDS_MAX 100
#define INTERVAL_MS 1
#define AFTERWARDS 200 /* messages */

static unsigned
rounds(void)
{
	const char *text = getenv("ROOKERY_E2E_ROUNDS");
	int n = text ? atoi(text) : 3;

	return n < 1 ? 1 : n > ROUNDS_MAX ? ROUNDS_MAX : (unsigned)n;
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void
print_times(const char *what, double *ms, unsigned n)
{
	qsort(ms, n, sizeof(*ms), compare);
	printf("# %s: median %.1f ms of %u, %.1f to %.1f ms\n", what, n % 2 ? ms[n / 2] : (ms[n / 2 - 1] + ms[n / 2]) / 2, n, ms[0],
	       ms[n - 1]);
	fflush(stdout);
}

/* ---- nobody there to decide --------------------------------------------------------------- */

static bool
is_running(struct world *w, const char *program)
{
	pid_t pids[16];
	unsigned n = processes_marked(w->server->marker, pids, 16);
	char name[64];

	for (unsigned i = 0; i < n && i < 16; i++)
		if (strcmp(process_program(pids[i], name, sizeof(name)), program) == 0)
			return true;
	return false;
}

/* Control is killed, and the launcher, stopped, does not start it again: the chat goes on all the same. */
static void
delivered_without_control(void **state)
{
	struct world *w = *state;
	uint64_t deadline = deadline_in(WAIT_EVENT);
	struct client *alice, *bob;
	pid_t control;

	server_start(w);
	alice = client_register(w, "alice");
	bob = client_register(w, "bob");
	clients_befriend(alice, bob);
	/* Who may write to whom is known from here on. */
	client_say(alice, "msg bob before");
	client_expect(bob, "message", "text", "before", NULL);
	client_say(bob, "msg alice before");
	client_expect(alice, "message", "text", "before", NULL);
	control = server_child(w, "rookery-control", 0);
	kill(w->server->process->pid, SIGSTOP);
	kill(control, SIGKILL);
	/* A zombie has no environment any more, so it does not count. */
	while (is_running(w, "rookery-control"))
		if (!world_poll(w, deadline))
			world_fail(w, "control does not end");
	client_send_series(alice, "bob", "without control", MANY);
	client_send_series(bob, "alice", "without control", MANY);
	client_expect_series(bob, "alice", "without control", MANY);
	client_expect_series(alice, "bob", "without control", MANY);
	client_expect_levels(alice, MANY, "delivered");
	client_expect_levels(bob, MANY, "delivered");
	world_check(w, !is_running(w, "rookery-control"));
	kill(w->server->process->pid, SIGCONT);
	server_replaced(w, "rookery-control", control);
	client_say(alice, "status away");
	client_expect(bob, "presence", "user", "alice", "status", "away", NULL);
	client_register(w, "carol");
	world_check(w, client_count(alice, "login", NULL) == 1);
	world_check(w, client_count(bob, "login", NULL) == 1);
	server_finish(w);
}

/* ---- kill -9 ------------------------------------------------------------------------------- */

static void
outage(void **state, const char *program)
{
	struct world *w = *state;
	double seen[ROUNDS_MAX], ready[ROUNDS_MAX];
	unsigned n = rounds();
	struct pair *p;
	char what[96];

	server_start_with(w, &(struct server_settings){.full_size = true});
	p = pair_start(w, INTERVAL_MS);
	for (unsigned i = 0; i < n; i++) {
		pid_t pid = server_child(w, program, 0);
		uint64_t killed;

		pair_begin(p);
		pair_expect(p, AFTERWARDS);
		killed = now_ms();
		kill(pid, SIGKILL);
		server_replaced(w, program, pid);
		ready[i] = (double)(now_ms() - killed);
		pair_expect(p, AFTERWARDS);
		seen[i] = (double)pair_longest_us(p) / 1000;
	}
	snprintf(what, sizeof(what), "kill -9 of %s: longest time between two messages, sent every %u ms", program, INTERVAL_MS);
	print_times(what, seen, n);
	snprintf(what, sizeof(what), "kill -9 of %s: until clients can log in again", program);
	print_times(what, ready, n);
	world_check(w, pair_logins(p) == 2);
	world_check(w, pair_finish(p) > 2 * n * AFTERWARDS);
	server_finish(w);
}

static void
outage_of_the_dataplane(void **state)
{
	outage(state, "rookery-dataplane");
}

static void
outage_of_control(void **state)
{
	outage(state, "rookery-control");
}

/* Each as soon as its predecessor's successor is there: a process that served is started again at once. */
static void
killed_in_a_row(void **state)
{
	struct world *w = *state;
	uint64_t deadline = deadline_in(WAIT_EVENT);
	unsigned restarts = 0;
	struct pair *p;
	char *log;

	server_start(w);
	p = pair_start(w, INTERVAL_MS);
	for (unsigned i = 0; i < 4; i++) {
		pid_t pid = server_child(w, "rookery-dataplane", 0);

		kill(pid, SIGKILL);
		server_child(w, "rookery-dataplane", pid);
	}
	while (!server_is_ready(w))
		if (!world_poll(w, deadline))
			world_fail(w, "not ready after four kills");
	pair_expect(p, AFTERWARDS);
	world_check(w, pair_logins(p) == 2);
	pair_finish(p);
	log = file_text(w->server->process->stderr_path);
	world_check(w, log);
	for (const char *at = log; (at = strstr(at, " delay_ms=")); at++, restarts++)
		world_check(w, strncmp(at, " delay_ms=0\n", 12) == 0);
	world_check(w, restarts == 4);
	free(log);
	server_finish(w);
}

/* ---- processes that hang ---------------------------------------------------------------------- */

/* A process that is there and does nothing is replaced, by itself. */
static void
hung(void **state)
{
	static const char *const programs[] = {"rookery-dataplane", "rookery-control"};
	struct world *w = *state;
	char *log, expected[96];
	struct pair *p;

	server_start_with(w, &(struct server_settings){.extra = "launcher:\n  hang_seconds: 4\n"});
	p = pair_start(w, INTERVAL_MS);
	for (unsigned i = 0; i < 2; i++) {
		pid_t pid = server_child(w, programs[i], 0);

		kill(pid, SIGSTOP);
		server_replaced(w, programs[i], pid);
		pair_expect(p, AFTERWARDS);
		log = file_text(w->server->process->stderr_path);
		snprintf(expected, sizeof(expected), "msg=\"process hangs: killed\" process=%s pid=%ld part=\"main loop\"", programs[i],
			 (long)pid);
		world_check(w, log && strstr(log, expected));
		free(log);
	}
	world_check(w, pair_logins(p) == 2);
	world_check(w, pair_finish(p) > 0);
	server_finish(w);
}

/* ---- on order ------------------------------------------------------------------------------ */

static void
planned(struct world *w, struct pair *p, const char *process, const char *program)
{
	double seen[ROUNDS_MAX], ready[ROUNDS_MAX];
	unsigned n = rounds();
	char what[128];

	for (unsigned i = 0; i < n; i++) {
		pid_t pid = server_child(w, program, 0);
		json_t *result;

		pair_begin(p);
		pair_expect(p, AFTERWARDS);
		result = rookctl(w, "restart", process);
		ready[i] = (double)json_integer_value(json_object_get(result, "ms"));
		json_decref(result);
		pair_expect(p, AFTERWARDS);
		seen[i] = (double)pair_longest_us(p) / 1000;
		world_check(w, server_child(w, program, pid) != pid && !kill(server_child(w, program, pid), 0));
		world_check(w, server_is_ready(w));
	}
	snprintf(what, sizeof(what), "rookctl restart %s: longest time between two messages, sent every %u ms", process, INTERVAL_MS);
	print_times(what, seen, n);
	snprintf(what, sizeof(what), "rookctl restart %s: the command took", process);
	print_times(what, ready, n);
	world_check(w, pair_logins(p) == 2);
}

static void
restart_on_order(void **state)
{
	struct world *w = *state;
	struct pair *p;

	server_start_with(w, &(struct server_settings){.full_size = true});
	p = pair_start(w, INTERVAL_MS);
	planned(w, p, "dataplane", "rookery-dataplane");
	planned(w, p, "control", "rookery-control");
	world_check(w, pair_finish(p) > 0);
	server_finish(w);
}

static void
expect_refused(struct world *w, const char *process, const char *because)
{
	char *err;

	world_check(w, rookctl_status(w, (const char *const[]){"restart", process, NULL}, NULL, &err) == 1);
	if (!strstr(err, because))
		world_fail(w, "restart %s: %s", process, err);
	free(err);
}

/* A successor that cannot start leaves everything as it is. */
static void
bad_upgrade(void **state)
{
	struct world *w = *state;
	pid_t dataplane, control;
	char key[160], away[168];
	struct pair *p;

	server_start(w);
	p = pair_start(w, INTERVAL_MS);
	dataplane = server_child(w, "rookery-dataplane", 0);
	control = server_child(w, "rookery-control", 0);
	/* A configuration that is right, for another machine. */
	w->server->settings.cpus = "1022,1023";
	server_write_config(w);
	expect_refused(w, "dataplane", "the old one goes on");
	snprintf(key, sizeof(key), "%s/server.key", w->server->state_dir);
	snprintf(away, sizeof(away), "%s.away", key);
	world_check(w, rename(key, away) == 0 && close(open(key, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600)) == 0);
	expect_refused(w, "control", "the old one goes on");
	world_check(w, rename(away, key) == 0);
	world_check(w, server_child(w, "rookery-dataplane", 0) == dataplane && server_child(w, "rookery-control", 0) == control);
	pair_expect(p, AFTERWARDS);
	/* And when it is mended: */
	w->server->settings.cpus = NULL;
	server_write_config(w);
	json_decref(rookctl(w, "restart", "dataplane"));
	json_decref(rookctl(w, "restart", "control"));
	world_check(w, server_child(w, "rookery-dataplane", dataplane) && server_child(w, "rookery-control", control));
	pair_expect(p, AFTERWARDS);
	world_check(w, pair_logins(p) == 2);
	pair_finish(p);
	server_finish(w);
}

static const char *
config_running(struct world *w, const char *key)
{
	static char text[64];
	json_t *shown = rookctl(w, "config", "show");

	snprintf(text, sizeof(text), "%s", json_string_value(json_object_get(json_object_get(shown, "values"), key)));
	json_decref(shown);
	return text;
}

/* How what the file says comes into force; "": it is. */
static const char *
config_mend(struct world *w, const char *key)
{
	static char text[96];
	json_t *diff = rookctl(w, "config", "diff"), *change;
	size_t i;

	text[0] = '\0';
	json_array_foreach(json_object_get(diff, "changes"), i, change)
		if (strcmp(json_string_value(json_object_get(change, "key")), key) == 0)
			snprintf(text, sizeof(text), "%s", json_string_value(json_object_get(change, "mend")));
	json_decref(diff);
	return text;
}

/* Each process reads the file when it starts: what is shown is what either runs with. */
static void
configuration_of_each(void **state)
{
	static const char key[] = "limits.messages_per_second", both[] = "session.heartbeat_ms";
	struct world *w = *state;

	server_start(w);
	world_check(w, strcmp(config_running(w, key), "500") == 0 && config_mend(w, key)[0] == '\0');
	w->server->settings.extra = "limits: {messages_per_second: 700}\n";
	w->server->settings.heartbeat_ms = 6000;
	server_write_config(w);
	world_check(w, strcmp(config_mend(w, key), "rookctl restart dataplane") == 0);
	world_check(w, strcmp(config_mend(w, both), "rookctl restart control, then rookctl restart dataplane") == 0);
	json_decref(rookctl(w, "restart", "control"));
	world_check(w, strcmp(config_running(w, key), "500") == 0);
	world_check(w, strcmp(config_mend(w, key), "rookctl restart dataplane") == 0);
	world_check(w, strcmp(config_mend(w, both), "rookctl restart dataplane") == 0);
	json_decref(rookctl(w, "restart", "dataplane"));
	world_check(w, strcmp(config_running(w, key), "700") == 0 && config_mend(w, key)[0] == '\0');
	world_check(w, config_mend(w, both)[0] == '\0');
	server_finish(w);
}

int
main(void)
{
	static const struct scenario scenarios[] = {
		{"delivered without control", delivered_without_control},
		{"outage of the dataplane", outage_of_the_dataplane},
		{"outage of control", outage_of_control},
		{"killed in a row", killed_in_a_row},
		{"hung", hung},
		{"restart on order", restart_on_order},
		{"bad upgrade", bad_upgrade},
		{"configuration of each", configuration_of_each},
	};
	static const struct scenario_list list = {scenarios, sizeof(scenarios) / sizeof(scenarios[0])};
	static const struct scenario_set set = {{.kind = KIND_SOCKET, .family = AF_INET}, &list};

	return scenarios_run("restart", &set, 1);
}
