/* SPDX-License-Identifier: BSD-3-Clause */
/* kill -9 of either process in mid-traffic: the chat goes on, nobody logs in again, nothing is lost. */
#include "client.h"
#include "scenario.h"
#include "server.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#define MANY 300
#define ROUNDS 3

/* Waits until message `number` of a series is there, and leaves it for client_expect_series. */
static void
wait_for_text(struct client *c, const char *prefix, unsigned number)
{
	uint64_t deadline = deadline_in(WAIT_EVENT);
	char text[64];

	snprintf(text, sizeof(text), "%s %u of %u", prefix, number, MANY);
	while (!client_has(c, "message", "text", text, NULL))
		if (!world_pump(c->world, deadline))
			world_fail(c->world, "%s: '%s' does not come", c->user, text);
}

static void
kill_in_traffic(struct world *w, const char *program)
{
	struct session_info alice_before, bob_before;
	struct client *alice, *bob;
	char prefix[32];

	server_start_with(w, &(struct server_settings){.heartbeat_ms = 1000});
	alice = client_register(w, "alice");
	bob = client_register(w, "bob");
	clients_befriend(alice, bob);
	alice_before = session_of(w, "alice");
	bob_before = session_of(w, "bob");
	for (unsigned round = 1; round <= ROUNDS; round++) {
		snprintf(prefix, sizeof(prefix), "round %u", round);
		client_send_series(alice, "bob", prefix, MANY);
		client_send_series(bob, "alice", prefix, MANY);
		/* Some are through, some are not. */
		wait_for_text(bob, prefix, 1);
		server_kill_child(w, program);
		client_expect_series(bob, "alice", prefix, MANY);
		client_expect_series(alice, "bob", prefix, MANY);
		client_expect_levels(alice, MANY, "delivered");
		client_expect_levels(bob, MANY, "delivered");
	}
	world_check(w, strcmp(session_of(w, "alice").id, alice_before.id) == 0);
	world_check(w, strcmp(session_of(w, "bob").id, bob_before.id) == 0);
	world_check(w, client_count(alice, "login", NULL) == 1);
	world_check(w, client_count(bob, "login", NULL) == 1);
	world_check(w, client_count(alice, "message", NULL) == ROUNDS * MANY);
	world_check(w, client_count(bob, "message", NULL) == ROUNDS * MANY);
	client_quit(alice);
	client_quit(bob);
	server_finish(w);
}

static void
control_is_killed(void **state)
{
	kill_in_traffic(*state, "rookery-control");
}

static void
dataplane_is_killed(void **state)
{
	kill_in_traffic(*state, "rookery-dataplane");
}

/* kill -9 of the server's processes, or of the launcher alone, which takes the others with it; returns when all have ended. A pidfd
 * tells the end of a process when its files are closed, the process list may forget it before. */
static void
kill_server(struct world *w, bool launcher_only)
{
	uint64_t deadline = deadline_in(WAIT_EVENT);
	pid_t pids[16];
	struct pollfd fds[16];
	unsigned n = processes_marked(w->server->marker, pids, 16);

	world_check(w, n >= 3 && n <= 16);
	for (unsigned i = 0; i < n; i++)
		fds[i] = (struct pollfd){.fd = (int)syscall(SYS_pidfd_open, pids[i], 0), .events = POLLIN};
	for (unsigned i = 0; i < n; i++)
		if (!launcher_only || pids[i] == w->server->process->pid)
			kill(pids[i], SIGKILL);
	for (unsigned i = 0; i < n; i++) {
		while (poll(&fds[i], 1, 0) == 0)
			if (!world_poll(w, deadline))
				world_fail(w, "process %d does not end", (int)pids[i]);
		close(fds[i].fd);
	}
}

/* What was confirmed as stored survives the death of the launcher, which takes its processes with it, and of all three at
 * once. */
static void
all_is_killed(void **state)
{
	struct world *w = *state;
	struct client *alice, *bob;

	server_start(w);
	alice = client_register(w, "alice");
	bob = client_register(w, "bob");
	clients_befriend(alice, bob);
	client_quit(bob);
	client_expect(alice, "presence", "user", "bob", "status", "offline", NULL);
	client_send_series(alice, "bob", "safe", 50);
	client_expect_levels(alice, 50, "stored");
	kill_server(w, false);
	server_start(w);
	bob = client_login(w, "bob");
	client_expect_series(bob, "alice", "safe", 50);
	client_say(bob, "msg alice all there");
	client_expect(alice, "message", "text", "all there", NULL);
	kill_server(w, true);
	server_start(w);
	client_say(bob, "msg alice once more");
	client_expect(alice, "message", "text", "once more", NULL);
	server_finish(w);
}

int
main(void)
{
	static const struct scenario scenarios[] = {
		{"control is killed", control_is_killed},
		{"dataplane is killed", dataplane_is_killed},
		{"all is killed", all_is_killed},
	};
	static const struct scenario_list list = {scenarios, sizeof(scenarios) / sizeof(scenarios[0])};
	static const struct scenario_set sets[] = {
		{{.kind = KIND_SOCKET, .family = AF_INET}, &list},
		{{.kind = KIND_SOCKET, .family = AF_INET6, .workers = 2}, &list},
	};

	return scenarios_run("kill", sets, sizeof(sets) / sizeof(sets[0]));
}
