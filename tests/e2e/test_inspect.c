/* SPDX-License-Identifier: BSD-3-Clause */
/* The operator looks into the packet path: who is kept out, where a packet went, what was on the wire. */
#include "client.h"
#include "scenario.h"
#include "server.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

static struct client *
register_at(struct world *w, const char *user, const char *server)
{
	struct client *c = client_start(w, &(struct client_options){.user = user, .register_user = true, .server = server});

	client_expect(c, "login", NULL);
	return c;
}

static void
one_message(struct client *from, struct client *to, const char *text)
{
	client_say(from, "msg %s %s", to->user, text);
	client_expect(to, "message", "from", from->user, "text", text, NULL);
	client_expect_levels(from, 1, "delivered");
}

/* ---- bans ----------------------------------------------------------------------------- */

/* Waits until the list holds so many, all in force. */
static void
bans_wait(struct world *w, size_t count)
{
	uint64_t deadline = deadline_in(WAIT_EVENT);

	for (;;) {
		json_t *list = rookctl(w, "bans", "list"), *bans = json_object_get(list, "bans"), *status = rookctl(w, "status");
		bool done = json_array_size(bans) == count &&
			    json_integer_value(json_object_get(status, "bans")) == (json_int_t)count;
		size_t i;
		json_t *b;

		json_array_foreach(bans, i, b)
			done &= strcmp(json_string_value(json_object_get(b, "enforced")), "workers") == 0;
		json_decref(list);
		json_decref(status);
		if (done)
			return;
		world_check(w, world_poll(w, deadline));
	}
}

/* The doctor finds the reason why a client gets no answer. */
static void
doctor_names_ban(struct world *w, const char *address)
{
	char *out;
	json_t *result;
	const json_t *row;
	size_t i;
	bool named = false;

	rookctl_status(w, (const char *const[]){"doctor", NULL}, &out, NULL);
	result = json_loads(out, 0, NULL);
	json_array_foreach(json_object_get(result, "findings"), i, row)
		named |= strcmp(json_string_value(json_object_get(row, "check")), "bans") == 0 &&
			 strstr(json_string_value(json_object_get(row, "finding")), address) != NULL &&
			 strstr(json_string_value(json_object_get(row, "mend")), "bans del") != NULL;
	if (!named)
		world_fail(w, "the doctor does not name the ban of %s: %s", address, out);
	json_decref(result);
	free(out);
}

/* Alice is kept out whatever is restarted; bob, at another address, is not. */
static void
bans(void **state)
{
	struct world *w = *state;
	struct client *alice, *bob, *carol;
	pid_t control;
	uint64_t dropped;

	server_start(w);
	alice = register_at(w, "alice", w->server4);
	bob = register_at(w, "bob", w->server6);
	carol = register_at(w, "carol", w->server6);
	clients_befriend(alice, bob);
	clients_befriend(bob, carol);
	one_message(alice, bob, "before");

	json_decref(rookctl(w, "bans", "add", "127.0.0.0/30", "--reason", "a test", "--for", "1h"));
	bans_wait(w, 1);
	dropped = counter(w, "drop_banned");
	client_say(alice, "msg bob kept back");
	counter_reach(w, "drop_banned", dropped + 1);
	one_message(bob, carol, "as ever");
	doctor_names_ban(w, "127.0.0.0/30");

	json_decref(rookctl(w, "restart", "dataplane"));
	bans_wait(w, 1);
	counter_reach(w, "drop_banned", 1); /* counted anew, by the next retry */
	control = server_child(w, "rookery-control", 0);
	world_check(w, kill(control, SIGKILL) == 0);
	server_replaced(w, "rookery-control", control);
	bans_wait(w, 1);
	dropped = counter(w, "drop_banned");
	counter_reach(w, "drop_banned", dropped + 1);
	one_message(bob, carol, "still");
	world_check(w, client_count(bob, "message", "text", "kept back", NULL) == 0);

	json_decref(rookctl(w, "bans", "del", "127.0.0.0/30"));
	bans_wait(w, 0);
	client_expect(bob, "message", "from", "alice", "text", "kept back", NULL);
	client_expect_levels(alice, 1, "delivered");
	server_finish(w);
}

int
main(void)
{
	static const struct scenario scenarios[] = {
		{"bans", bans},
	};
	static const struct scenario_list list = {scenarios, sizeof(scenarios) / sizeof(scenarios[0])};
	static const struct scenario_set sets[] = {{{.kind = KIND_SOCKET, .family = AF_INET, .workers = 2}, &list}};

	return scenarios_run("inspect", sets, sizeof(sets) / sizeof(sets[0]));
}
