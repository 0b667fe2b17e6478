/* SPDX-License-Identifier: BSD-3-Clause */
/* The tests' own tools: children, pipes, deadlines, the proxy. No program of Rookery is started. */
#include "client.h"
#include "netns.h"
#include "proxy.h"
#include "server.h"

#include "shared/address.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- children ----------------------------------------------------------------------- */

static void
output_of_a_child(void **state)
{
	struct world *w = *state;
	const char *argv[] = {"/bin/echo", "one", "two", NULL};
	char *out;

	assert_int_equal(process_run(w, &(struct process_options){.name = "echo", .argv = argv}, &out), 0);
	assert_string_equal(out, "one two\n");
	free(out);
}

static void
exit_code_and_signal_of_a_child(void **state)
{
	struct world *w = *state;
	const char *three[] = {"/bin/sh", "-c", "exit 3", NULL};
	const char *killed[] = {"/bin/sh", "-c", "kill -KILL $$", NULL};

	assert_int_equal(process_run(w, &(struct process_options){.name = "three", .argv = three}, NULL), 3);
	assert_int_equal(process_run(w, &(struct process_options){.name = "killed", .argv = killed}, NULL), 128 + SIGKILL);
}

static void
missing_program(void **state)
{
	struct world *w = *state;
	const char *argv[] = {"/nonexistent/program", NULL};

	assert_int_equal(process_run(w, &(struct process_options){.name = "missing", .argv = argv}, NULL), 127);
}

static void
children_have_no_root_rights(void **state)
{
	struct world *w = *state;
	const char *argv[] = {"/bin/sh", "-c", "test \"$(id -u)\" != 0 && test -w \"$HOME\"", NULL};

	assert_int_equal(process_run(w, &(struct process_options){.name = "id", .argv = argv}, NULL), 0);
}

static unsigned lines_seen;

static void
count_line(struct process *p, char *line)
{
	(void)p;
	assert_string_equal(line, "a line of some length, so that the pipe fills up");
	lines_seen++;
}

/* More than a pipe holds, in both directions at once: nothing may block. */
static void
more_than_a_pipe_holds(void **state)
{
	struct world *w = *state;
	const char *argv[] = {"/bin/cat", NULL};
	struct process *p = process_start(w, &(struct process_options){.name = "cat", .argv = argv, .line = count_line});
	const unsigned lines = 10000;

	lines_seen = 0;
	for (unsigned i = 0; i < lines; i++)
		process_write(p, "a line of some length, so that the pipe fills up\n");
	p->close_input = true;
	assert_int_equal(process_wait(p, WAIT_EVENT), 0);
	assert_int_equal(lines_seen, lines);
}

static void
strays_are_found_and_killed(void **state)
{
	struct world *w = *state;
	/* A grandchild in a session of its own, whose parent is gone. */
	const char *argv[] = {"/bin/sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 </dev/null & echo started", NULL};
	char *out, marker[64];
	pid_t pid;

	assert_int_equal(process_run(w, &(struct process_options){.name = "sh", .argv = argv}, &out), 0);
	assert_string_equal(out, "started\n");
	free(out);
	/* A process between two programs has no environment. */
	for (uint64_t deadline = deadline_in(WAIT_EVENT); processes_marked(w->marker, &pid, 1) != 1;)
		assert_true(world_poll(w, deadline));
	snprintf(marker, sizeof(marker), "%s", w->marker);
	world_free(w);
	*state = w = world_new(NULL);
	for (uint64_t deadline = deadline_in(WAIT_EVENT); processes_marked(marker, &pid, 1) > 0;)
		assert_true(world_poll(w, deadline));
}

static void
nothing_is_left_of_a_world(void **state)
{
	struct world *w = *state;
	char dir[64];

	snprintf(dir, sizeof(dir), "%s", w->dir);
	assert_int_equal(access(dir, F_OK), 0);
	world_free(w);
	*state = world_new(NULL);
	assert_int_not_equal(access(dir, F_OK), 0);
}

/* ---- events ------------------------------------------------------------------------- */

/* A stand-in for rookchat that prints what it is told, to test the expectations themselves. */
static struct client *
puppet(struct world *w, const char *script)
{
	char path[PATH_MAX];
	FILE *f;

	snprintf(w->bin, sizeof(w->bin), "%s/home", w->dir);
	snprintf(path, sizeof(path), "%s/rookchat", w->bin);
	f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f, "#!/bin/sh\n%s\n", script);
	fclose(f);
	assert_int_equal(chmod(path, 0755), 0);
	assert_true(!have_root() || chown(w->bin, 0, 0) == 0);
	assert_int_equal(chmod(w->bin, 0755), 0);
	return client_start(w, &(struct client_options){.user = "alice"});
}

static void
events_in_any_order(void **state)
{
	struct client *c = puppet(*state, "echo '{\"event\":\"presence\",\"user\":\"bob\",\"status\":\"away\"}'\n"
					  "echo '{\"event\":\"login\",\"user\":\"alice\",\"n\":17,\"yes\":true}'\n"
					  "read line; test \"$line\" = quit");

	client_expect(c, "login", "n", "17", "yes", "true", NULL);
	assert_true(client_has(c, "presence", "user", "bob", NULL));
	client_expect(c, "presence", "user", "bob", "status", "away", NULL);
	assert_false(client_has(c, "presence", NULL));
	assert_int_equal(client_count(c, "presence", NULL), 1);
	client_quit(c);
}

static const struct {
	const char *name, *script;
} faults[] = {
	{"no JSON", "echo hello; sleep 1000"},
	{"shown twice", "for i in 1 2; do echo '{\"event\":\"message\",\"id\":\"1\",\"from\":\"bob\",\"text\":\"hi\"}'; done;"
			"sleep 1000"},
	{"delivered, then refused", "echo '{\"event\":\"receipt\",\"id\":\"1\",\"to\":\"bob\",\"level\":\"delivered\"}';"
				    "echo '{\"event\":\"refused\",\"id\":\"1\",\"to\":\"bob\",\"reason\":\"blocked\"}';"
				    "sleep 1000"},
	{"delivered, then stored", "echo '{\"event\":\"receipt\",\"id\":\"1\",\"to\":\"bob\",\"level\":\"delivered\"}';"
				   "echo '{\"event\":\"receipt\",\"id\":\"1\",\"to\":\"bob\",\"level\":\"stored\"}';"
				   "sleep 1000"},
};

static void
impossible_events_are_noticed(void **state)
{
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		struct world *w = *state;
		uint64_t deadline = deadline_in(WAIT_EVENT);

		puppet(w, faults[i].script);
		w->failed = true; /* noticed, not reported */
		while (!w->fault)
			if (!world_pump(w, deadline))
				fail_msg("not noticed: %s", faults[i].name);
		world_free(w);
		*state = world_new(NULL);
	}
}

static void
series_and_levels(void **state)
{
	struct client *c = puppet(*state, "for i in 1 2 3; do read line;"
					  "echo '{\"event\":\"sent\",\"id\":\"'$i'\",\"to\":\"bob\",\"seq\":'$i'}';"
					  "echo '{\"event\":\"receipt\",\"id\":\"'$i'\",\"to\":\"bob\",\"level\":\"accepted\"}';"
					  "echo '{\"event\":\"receipt\",\"id\":\"'$i'\",\"to\":\"bob\",\"level\":\"delivered\"}';"
					  "echo '{\"event\":\"message\",\"id\":\"'$i'\",\"from\":\"bob\",\"text\":\"x '$i' of 3\"}';"
					  "done; read line");

	client_send_series(c, "bob", "x", 3);
	client_expect_levels(c, 3, "delivered");
	client_expect_series(c, "bob", "x", 3);
	assert_string_equal(client_level(c, 3), "delivered");
	assert_string_equal(client_level(c, 4), "");
	client_quit(c);
}

/* ---- the proxy ---------------------------------------------------------------------- */

/* Both ends of a proxied flow in one: sends numbered datagrams, counts what comes out at the other end. */
struct flow {
	struct world *w;
	struct proxy *p;
	int server, client;
	char server_address[64];
	unsigned seen[1000];
	unsigned sent, received, out_of_order, last;
	struct sockaddr_storage from; /* the proxy, as the server sees it */
	socklen_t from_len;
};

static void
flow_open(struct flow *f, struct world *w, int family, uint64_t seed)
{
	struct endpoint e;
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	memset(f, 0, sizeof(*f));
	f->w = w;
	endpoint_parse(&e, family == AF_INET ? "127.0.0.1" : "::1", 0);
	f->server = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	f->client = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(f->server, (struct sockaddr *)&ss, endpoint_to_sockaddr(&e, &ss)), 0);
	assert_int_equal(getsockname(f->server, (struct sockaddr *)&ss, &len), 0);
	assert_int_equal(endpoint_from_sockaddr(&e, (struct sockaddr *)&ss), 0);
	endpoint_format(&e, f->server_address);
	f->p = proxy_start(w, f->server_address, NULL, seed);
	assert_int_equal(endpoint_parse(&e, proxy_address(f->p), 0), 0);
	len = endpoint_to_sockaddr(&e, &ss);
	assert_int_equal(connect(f->client, (struct sockaddr *)&ss, len), 0);
}

static void
flow_close(struct flow *f)
{
	close(f->server);
	close(f->client);
}

static void
flow_take(struct flow *f, int timeout)
{
	struct pollfd p = {.fd = f->server, .events = POLLIN};
	unsigned number;

	if (poll(&p, 1, timeout) <= 0)
		return;
	f->from_len = sizeof(f->from);
	if (recvfrom(f->server, &number, sizeof(number), MSG_DONTWAIT, (struct sockaddr *)&f->from, &f->from_len) !=
	    sizeof(number))
		return;
	assert_true(number < 1000);
	f->seen[number]++;
	f->out_of_order += number < f->last;
	f->last = number;
	f->received++;
}

/* Waits until the proxy has let go of everything that it did not lose. */
static void
flow_settle(struct flow *f)
{
	uint64_t deadline = deadline_in(WAIT_EVENT);
	struct proxy_stats s;

	do {
		flow_take(f, 5);
		s = proxy_stats(f->p);
		if (now_ms() > deadline)
			fail_msg("%u came of %llu", f->received, (unsigned long long)s.to_server);
	} while (s.to_server < f->sent || f->received < s.to_server - s.lost + s.duplicated);
	assert_int_equal(f->received, s.to_server - s.lost + s.duplicated);
}

/* In portions: a socket's buffer holds no thousand datagrams. */
static void
flow_run(struct flow *f, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(send(f->client, &i, sizeof(i), 0), sizeof(i));
		f->sent++;
		if (i % 100 == 99)
			flow_settle(f);
	}
	flow_settle(f);
}

static void
proxy_passes_both_ways(void **state)
{
	static const int families[] = {AF_INET, AF_INET6};

	for (int i = 0; i < 2; i++) {
		struct flow f;
		char reply[8];
		struct pollfd p;

		flow_open(&f, *state, families[i], 1);
		flow_run(&f, 100);
		assert_int_equal(f.out_of_order, 0);
		assert_int_equal(sendto(f.server, "back", 4, 0, (struct sockaddr *)&f.from, f.from_len), 4);
		p = (struct pollfd){.fd = f.client, .events = POLLIN};
		assert_int_equal(poll(&p, 1, WAIT_EVENT * 1000), 1);
		assert_int_equal(recv(f.client, reply, sizeof(reply), 0), 4);
		assert_memory_equal(reply, "back", 4);
		flow_close(&f);
	}
}

static void
proxy_loses_duplicates_reorders(void **state)
{
	struct proxy_faults faults = {.loss = 20, .duplicate = 10, .reorder = 20, .delay_ms = 5};
	struct flow f;
	struct proxy_stats s;

	flow_open(&f, *state, AF_INET, 42);
	proxy_set_faults(f.p, &faults);
	flow_run(&f, 1000);
	s = proxy_stats(f.p);
	/* The seed fixes them: 1,000 draws of 20%, 10% and 20%. */
	assert_in_range(s.lost, 150, 250);
	assert_in_range(s.duplicated, 50, 130);
	assert_in_range(s.delayed, 100, 220);
	assert_true(f.out_of_order > 0);
	flow_close(&f);
}

static void
same_seed_same_faults(void **state)
{
	struct proxy_faults faults = {.loss = 30};
	struct flow a, b;

	flow_open(&a, *state, AF_INET, 7);
	flow_open(&b, *state, AF_INET, 7);
	proxy_set_faults(a.p, &faults);
	proxy_set_faults(b.p, &faults);
	flow_run(&a, 500);
	flow_run(&b, 500);
	assert_memory_equal(a.seen, b.seen, sizeof(a.seen));
	flow_close(&a);
	flow_close(&b);
}

static uint16_t
source_port(const struct flow *f, char *text)
{
	struct endpoint e;

	assert_int_equal(endpoint_from_sockaddr(&e, (const struct sockaddr *)&f->from), 0);
	endpoint_format(&e, text);
	return e.port;
}

static void
proxy_rebinds(void **state)
{
	struct flow f;
	struct sockaddr_storage old;
	socklen_t old_len;
	char before[ENDPOINT_STRLEN], after[ENDPOINT_STRLEN];
	uint16_t port;
	uint64_t deadline = deadline_in(WAIT_EVENT);

	flow_open(&f, *state, AF_INET, 1);
	flow_run(&f, 1);
	source_port(&f, before);
	old = f.from;
	old_len = f.from_len;
	port = proxy_rebind(f.p, "127.0.0.2");
	flow_run(&f, 2);
	assert_int_equal(source_port(&f, after), port);
	assert_int_equal(proxy_source_port(f.p), port);
	assert_string_not_equal(before, after);
	assert_int_equal(strncmp(after, "127.0.0.2:", 10), 0);
	/* What is sent to the old mapping is dropped without an ICMP error. */
	assert_int_equal(sendto(f.server, "late", 4, 0, (struct sockaddr *)&old, old_len), 4);
	while (proxy_stats(f.p).late == 0) {
		assert_true(now_ms() < deadline);
		flow_run(&f, 1); /* wakes the proxy */
	}
	flow_close(&f);
}

/* ---- namespaces --------------------------------------------------------------------- */

static void
leavings_of_a_killed_run(void **state)
{
	struct world *w = *state;
	char name[64], path[96];
	pid_t pid;

	if (!have_root())
		skip();
	/* A pid that is certainly gone: a child that has ended. */
	pid = fork();
	if (pid == 0)
		_exit(0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	snprintf(name, sizeof(name), WORLD_PREFIX "%d-x-s", (int)pid);
	snprintf(path, sizeof(path), "/run/netns/%s", name);
	tool(w, "ip", "netns", "add", name);
	assert_int_equal(access(path, F_OK), 0);
	world_free(w);
	*state = world_new(NULL);
	assert_int_not_equal(access(path, F_OK), 0);
}

static void
namespaces_come_and_go(void **state)
{
	struct place place = {.kind = KIND_AF_PACKET};
	char server[96], client[96];
	struct world *w;

	(void)state;
	if (!have_root())
		skip();
	w = world_new(&place);
	snprintf(server, sizeof(server), "/run/netns/%s", w->server_ns);
	snprintf(client, sizeof(client), "/run/netns/%s", w->client_ns);
	assert_int_equal(access(server, F_OK), 0);
	assert_int_equal(access(client, F_OK), 0);
	netns_peer_tx_offload(w, true);
	world_free(w);
	assert_int_not_equal(access(server, F_OK), 0);
	assert_int_not_equal(access(client, F_OK), 0);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(output_of_a_child),
		TEST(exit_code_and_signal_of_a_child),
		TEST(missing_program),
		TEST(children_have_no_root_rights),
		TEST(more_than_a_pipe_holds),
		TEST(strays_are_found_and_killed),
		TEST(nothing_is_left_of_a_world),
		TEST(events_in_any_order),
		TEST(impossible_events_are_noticed),
		TEST(series_and_levels),
		TEST(proxy_passes_both_ways),
		TEST(proxy_loses_duplicates_reorders),
		TEST(same_seed_same_faults),
		TEST(proxy_rebinds),
		TEST(leavings_of_a_killed_run),
		TEST(namespaces_come_and_go),
	};

	return cmocka_run_group_tests_name("harness", tests, NULL, NULL);
}
