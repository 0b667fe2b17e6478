/* SPDX-License-Identifier: BSD-3-Clause */
/* Clients that come back by ticket: no login, and no other way than a login for whom the ticket is void. */
#include "client.h"
#include "scenario.h"
#include "server.h"

#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define TIMEOUT_MS 8000

/* A counter of control. */
static uint64_t
of_control(struct world *w, const char *name)
{
	json_t *stats = rookctl(w, "stats"), *row;
	uint64_t value = UINT64_MAX;
	size_t i;

	json_array_foreach(json_object_get(stats, "counters"), i, row)
		if (strcmp(json_string_value(json_object_get(row, "scope")), "control") == 0 &&
		    strcmp(json_string_value(json_object_get(row, "name")), name) == 0)
			value = (uint64_t)json_integer_value(json_object_get(row, "value"));
	json_decref(stats);
	if (value == UINT64_MAX)
		world_fail(w, "rookctl stats has no counter %s of control", name);
	return value;
}

static void
control_reach(struct world *w, const char *name, uint64_t value)
{
	uint64_t deadline = deadline_in(WAIT_EVENT);

	while (of_control(w, name) < value)
		if (!world_poll(w, deadline))
			world_fail(w, "%s of control is not %llu", name, (unsigned long long)value);
}

/* Somebody with a ticket, and a buddy who looks on. */
static void
with_ticket(struct world *w, unsigned timeout_ms, struct client **alice, struct client **bob)
{
	server_start_with(w, &(struct server_settings){.heartbeat_ms = 2000, .timeout_ms = timeout_ms});
	*alice = client_register(w, "alice");
	*bob = client_register(w, "bob");
	clients_befriend(*alice, *bob);
	control_reach(w, "tickets", 2);
	client_say(*alice, "msg bob ticket");
	client_expect(*bob, "message", "text", "ticket", NULL);
}

static void
both_ways(struct client *alice, struct client *bob, const char *text)
{
	client_say(alice, "msg bob %s a", text);
	client_expect(bob, "message", "from", "alice", NULL);
	client_say(bob, "msg alice %s b", text);
	client_expect(alice, "message", "from", "bob", NULL);
}

/* Started anew, or stopped past its time-out: it is back by ticket, with what was stored for it. A machine that stands still for seconds
 * lets others come back as well. */
static void
comes_back(void **state)
{
	struct world *w = *state;
	struct client *alice, *bob;

	with_ticket(w, TIMEOUT_MS, &alice, &bob);
	client_quit(alice);
	client_expect(bob, "presence", "user", "alice", "status", "offline", NULL);
	client_say(bob, "msg alice stored");
	client_expect_levels(bob, 1, "stored");
	alice = client_login(w, "alice");
	client_expect(alice, "message", "text", "stored", NULL);
	client_expect(bob, "presence", "user", "alice", "status", "online", NULL);
	both_ways(alice, bob, "started anew");
	counter_reach(w, "sessions_resumed", 1);
	kill(alice->process->pid, SIGSTOP);
	client_expect(bob, "presence", "user", "alice", "status", "offline", NULL);
	kill(alice->process->pid, SIGCONT);
	client_expect(bob, "presence", "user", "alice", "status", "online", NULL);
	both_ways(alice, bob, "stopped");
	counter_reach(w, "sessions_resumed", 2);
	server_finish(w);
}

/* All of the server was killed. */
static void
server_anew(void **state)
{
	struct world *w = *state;
	struct client *alice, *bob;

	with_ticket(w, 0, &alice, &bob);
	client_quit(alice);
	client_expect(bob, "presence", "user", "alice", "status", "offline", NULL);
	server_kill(w, false);
	server_start(w);
	alice = client_login(w, "alice");
	client_expect(bob, "presence", "user", "alice", "status", "online", NULL);
	both_ways(alice, bob, "server anew");
	counter_wait(w, "sessions_resumed", 1);
	world_check(w, of_control(w, "logins") == 0);
	server_finish(w);
}

/* A server of the same address with another key and without accounts: who has a ticket of the old one is told so before it gives up. */
static void
server_of_another_key(void **state)
{
	struct world *w = *state;
	struct client *alice, *bob;
	char path[160];

	with_ticket(w, 0, &alice, &bob);
	client_quit(alice);
	client_quit(bob);
	server_stop(w);
	snprintf(path, sizeof(path), "%s/rookery.db", w->server->state_dir);
	world_check(w, unlink(path) == 0);
	snprintf(path, sizeof(path), "%s/server.key", w->server->state_dir);
	world_check(w, unlink(path) == 0);
	server_start(w);
	alice = client_start(w, &(struct client_options){.user = "alice"});
	client_expect(alice, "server_key", NULL);
	client_kill(alice);
	server_finish(w);
}

/* Thrown out: the next session needs a login. With another password not even that helps. */
static void
void_tickets(void **state)
{
	struct world *w = *state;
	struct client *alice, *bob;
	char file[160];
	FILE *f;

	with_ticket(w, 0, &alice, &bob);
	/* It does not see that it is thrown out, so it still has the ticket. */
	client_kill(alice);
	json_decref(rookctl(w, "sessions", "kick", session_of(w, "alice").id));
	alice = client_login(w, "alice");
	both_ways(alice, bob, "kicked");
	world_check(w, of_control(w, "resumed") == 0);
	world_check(w, of_control(w, "resumed_refused") == 1);
	world_check(w, of_control(w, "logins") == 1);
	control_reach(w, "tickets", 3);
	client_quit(alice);
	snprintf(file, sizeof(file), "%s/password", w->server->state_dir);
	f = fopen(file, "w");
	world_check(w, f != NULL && fputs("another secret\n", f) >= 0 && fclose(f) == 0);
	json_decref(rookctl(w, "users", "passwd", "alice", "--password-file", file));
	alice = client_start(w, &(struct client_options){.user = "alice"});
	control_reach(w, "logins_restricted", 3);
	world_check(w, of_control(w, "resumed") == 0);
	world_check(w, of_control(w, "resumed_refused") == 2);
	server_finish(w);
}

/* The server ends, and when it starts again the time of the key that seals tickets is over. */
static void
next_key(struct world *w)
{
	const char *sql = "UPDATE meta SET value = value - 86400000 WHERE name = 'ticket_made_ms'";
	char path[160];
	sqlite3 *db;

	server_stop(w);
	snprintf(path, sizeof(path), "%s/rookery.db", w->server->state_dir);
	world_check(w, sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK);
	world_check(w, sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK && sqlite3_changes(db) == 1);
	sqlite3_close(db);
	server_start(w);
}

/* A ticket is good as long as its key is the present one or the one before. */
static void
next_keys(void **state)
{
	struct world *w = *state;
	struct client *alice, *bob;

	with_ticket(w, 0, &alice, &bob);
	client_quit(alice);
	client_expect(bob, "presence", "user", "alice", "status", "offline", NULL);
	next_key(w);
	alice = client_login(w, "alice");
	both_ways(alice, bob, "the key before");
	counter_wait(w, "sessions_resumed", 1);
	world_check(w, of_control(w, "resumed") == 1);
	world_check(w, of_control(w, "logins") == 0);
	/* With the session came a ticket of the present key, before the message: it becomes the last but one. */
	client_quit(alice);
	client_expect(bob, "presence", "user", "alice", "status", "offline", NULL);
	next_key(w);
	next_key(w);
	alice = client_login(w, "alice");
	both_ways(alice, bob, "the key before the key before");
	counter_wait(w, "drop_resume_ticket", 1);
	world_check(w, of_control(w, "resumed") == 0);
	world_check(w, of_control(w, "logins") == 1);
	server_finish(w);
}

int
main(void)
{
	static const struct scenario scenarios[] = {
		{"comes back", comes_back},
		{"server anew", server_anew},
		{"void tickets", void_tickets},
		{"next keys", next_keys},
		{"server of another key", server_of_another_key},
	};
	static const struct scenario_list list = {scenarios, sizeof(scenarios) / sizeof(scenarios[0])};
	static const struct scenario_set set = {{.kind = KIND_SOCKET, .family = AF_INET}, &list};

	return scenarios_run("resume", &set, 1);
}
