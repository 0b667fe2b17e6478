/* SPDX-License-Identifier: BSD-3-Clause */
/* kill -9 in mid-traffic, of the server's processes and of clients: the chat goes on, nothing is lost. */
#include "scenario.h"

#include "client.h"
#include "server.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define MANY 1000
#define ROUNDS 3

static bool
has_text(struct client *c, const char *prefix, unsigned number)
{
	char text[64];

	snprintf(text, sizeof(text), "%s %u of %u", prefix, number, MANY);
	return client_has(c, "message", "text", text, NULL);
}

/* Waits until message `number` of a series is there, and leaves it for client_expect_series. */
static void
wait_for_text(struct client *c, const char *prefix, unsigned number)
{
	uint64_t deadline = deadline_in(WAIT_EVENT);

	while (!has_text(c, prefix, number))
		if (!world_pump(c->world, deadline))
			world_fail(c->world, "%s: '%s %u' does not come", c->user, prefix, number);
}

static void
kill_in_traffic(struct world *w, const char *program)
{
	struct session_info alice_before, bob_before;
	struct client *alice, *bob;
	unsigned in_traffic = 0;
	char prefix[32];

	server_start_with(w, &(struct server_settings){.heartbeat_ms = 1000});
	alice = client_register(w, "alice");
	bob = client_register(w, "bob");
	clients_befriend(alice, bob);
	alice_before = session_of(w, "alice");
	bob_before = session_of(w, "bob");
	for (unsigned round = 1; round <= ROUNDS; round++) {
		pid_t pid = server_child(w, program, 0);

		snprintf(prefix, sizeof(prefix), "round %u", round);
		client_send_series(alice, "bob", prefix, MANY);
		client_send_series(bob, "alice", prefix, MANY);
		wait_for_text(bob, prefix, MANY / 10);
		kill(pid, SIGKILL);
		in_traffic += !has_text(bob, prefix, MANY);
		server_replaced(w, program, pid);
		client_expect_series(bob, "alice", prefix, MANY);
		client_expect_series(alice, "bob", prefix, MANY);
		/* At least stored: what could not be delivered in time came from the store. */
		client_expect_levels(alice, MANY, "stored");
		client_expect_levels(bob, MANY, "stored");
	}
	world_check(w, in_traffic > 0);
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
	server_kill(w, false);
	server_start(w);
	bob = client_login(w, "bob");
	client_expect_series(bob, "alice", "safe", 50);
	client_say(bob, "msg alice all there");
	client_expect(alice, "message", "text", "all there", NULL);
	server_kill(w, true);
	server_start(w);
	client_say(bob, "msg alice once more");
	client_expect(alice, "message", "text", "once more", NULL);
	server_finish(w);
}

/* ---- clients ------------------------------------------------------------------------ */

/* Number of a message of this series, 0 for any other event. */
static unsigned
number_of(const json_t *event, const char *prefix)
{
	const char *text = json_string_value(json_object_get(event, "text"));
	unsigned number = 0;

	if (text && strncmp(text, prefix, strlen(prefix)) == 0)
		sscanf(text + strlen(prefix), " %u of", &number);
	return number;
}

/* What it had taken over before it died goes out when it runs again: once, in order, before anything new. */
static void
sender_is_killed(void **state)
{
	struct world *w = *state;
	struct client *alice, *bob;
	unsigned taken, last = 0;

	server_start(w);
	alice = client_register(w, "alice");
	bob = client_register(w, "bob");
	clients_befriend(alice, bob);
	client_send_series(alice, "bob", "first life", MANY);
	wait_for_text(bob, "first life", MANY / 10);
	client_kill(alice);
	taken = client_count(alice, "sent", NULL);
	alice = client_login(w, "alice");
	client_say(alice, "msg bob second life");
	client_expect(bob, "message", "text", "second life", NULL);
	client_expect_levels(alice, 1, "delivered");
	for (size_t i = 0; i < bob->event_count; i++) {
		unsigned number = number_of(bob->events[i].json, "first life");

		if (number == 0)
			continue;
		if (number != last + 1)
			world_fail(w, "message %u came after %u", number, last);
		last = number;
	}
	if (last < taken)
		world_fail(w, "the client took %u messages, %u came", taken, last);
	server_finish(w);
}

/* What was shown before it died is not shown again, or is marked; all the rest comes. */
static void
recipient_is_killed(void **state)
{
	struct world *w = *state;
	struct client *alice, *first, *second;
	unsigned *shown = calloc(MANY + 1, sizeof(*shown));

	server_start_with(w, &(struct server_settings){.heartbeat_ms = 1000, .timeout_ms = 5000});
	alice = client_register(w, "alice");
	first = client_register(w, "bob");
	clients_befriend(alice, first);
	client_send_series(alice, "bob", "to a mortal", MANY);
	wait_for_text(first, "to a mortal", MANY / 10);
	client_kill(first);
	second = client_login(w, "bob");
	/* That a stored one was delivered in the end is told only once, so it may be missed. */
	client_expect_levels(alice, MANY, "stored");
	client_say(alice, "msg bob that was all");
	client_expect(second, "message", "text", "that was all", NULL);
	for (size_t i = 0; i < first->event_count; i++)
		shown[number_of(first->events[i].json, "to a mortal")]++;
	for (size_t i = 0; i < second->event_count; i++) {
		const json_t *e = second->events[i].json;
		unsigned n = number_of(e, "to a mortal");

		/* "redelivered" says that it may have been shown before. */
		if (shown[n] == 0 || !json_is_true(json_object_get(e, "redelivered")))
			shown[n]++;
	}
	for (unsigned n = 1; n <= MANY; n++)
		if (shown[n] != 1)
			world_fail(w, "message %u was shown %u times", n, shown[n]);
	free(shown);
	server_finish(w);
}

static const struct scenario scenarios[] = {
	{"control is killed", control_is_killed},
	{"dataplane is killed", dataplane_is_killed},
	{"all is killed", all_is_killed},
	{"sender is killed", sender_is_killed},
	{"recipient is killed", recipient_is_killed},
};

const struct scenario_list scenario_kill = {scenarios, sizeof(scenarios) / sizeof(scenarios[0])};
