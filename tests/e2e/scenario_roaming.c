/* SPDX-License-Identifier: BSD-3-Clause */
/* A client behind a NAT that forgets, or on its way from one network to the next: the session stays. */
#include "scenario.h"

#include "client.h"
#include "proxy.h"
#include "server.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#define ROUNDS 4
#define SERIES 100

/* The other address that this client may come from; NULL where there is only one. */
static const char *
other_address(const struct world *w)
{
	if (world_is_ethdev(w))
		return w->place.family == AF_INET6 ? "fd77::3" : "10.77.0.3";
	return w->place.family == AF_INET6 ? NULL : "127.0.0.2";
}

static struct client *
register_through(struct world *w, const char *user, struct proxy *p)
{
	struct client *c = client_start(w, &(struct client_options){.user = user, .register_user = true,
								    .server = proxy_address(p)});

	client_expect(c, "login", "user", user, NULL);
	return c;
}

/* Waits until control knows that the session moved: its address ends in this port. */
static void
wait_for_port(struct world *w, const char *user, uint16_t port)
{
	uint64_t deadline = deadline_in(WAIT_EVENT);
	char end[16];
	struct session_info s;

	snprintf(end, sizeof(end), ":%u", port);
	do {
		const char *colon;

		s = session_of(w, user);
		colon = strrchr(s.peer, ':');
		if (colon && strcmp(colon, end) == 0)
			return;
	} while (world_poll(w, deadline));
	world_fail(w, "%s is at %s, not at port %u", user, s.peer, port);
}

/* Rebinds in the middle of two series that are on their way. */
static void
rebind_in_a_conversation(struct world *w, struct client *moving, struct client *other, struct proxy *p, const char *address)
{
	struct session_info before = session_of(w, moving->user);
	unsigned logins = client_count(moving, "login", NULL);
	char prefix[32];

	for (unsigned round = 1; round <= ROUNDS; round++) {
		uint16_t port;

		snprintf(prefix, sizeof(prefix), "%s round %u", address ? "network" : "port", round);
		client_send_series(moving, other->user, prefix, SERIES);
		client_send_series(other, moving->user, prefix, SERIES);
		port = proxy_rebind(p, round % 2 ? address : NULL);
		client_expect_series(other, moving->user, prefix, SERIES);
		client_expect_series(moving, other->user, prefix, SERIES);
		client_expect_levels(moving, SERIES, "delivered");
		client_expect_levels(other, SERIES, "delivered");
		wait_for_port(w, moving->user, port);
		world_check(w, strcmp(session_of(w, moving->user).id, before.id) == 0);
	}
	world_check(w, client_count(moving, "login", NULL) == logins);
}

static void
change_of_port_and_address(void **state)
{
	struct world *w = *state;
	struct proxy *p;
	struct client *alice, *bob;

	server_start(w);
	p = proxy_start(w, world_server_address(w), w->client_ns, 1);
	alice = register_through(w, "alice", p);
	bob = client_register(w, "bob");
	clients_befriend(alice, bob);
	rebind_in_a_conversation(w, alice, bob, p, NULL);
	if (other_address(w))
		rebind_in_a_conversation(w, alice, bob, p, other_address(w));
	counter_reach(w, "path_changes", ROUNDS);
	server_finish(w);
}

/* Only the server has something to say: the next heartbeat tells it where the client is now. */
static void
quiet_client_moves(void **state)
{
	struct world *w = *state;
	struct proxy *p;
	struct client *alice, *bob;
	struct session_info before;
	uint16_t port;

	server_start_with(w, &(struct server_settings){.heartbeat_ms = 1000});
	p = proxy_start(w, world_server_address(w), w->client_ns, 2);
	alice = register_through(w, "alice", p);
	bob = client_register(w, "bob");
	clients_befriend(alice, bob);
	before = session_of(w, "alice");
	port = proxy_rebind(p, other_address(w));
	client_send_series(bob, "alice", "where are you", 20);
	client_expect_series(alice, "bob", "where are you", 20);
	client_expect_levels(bob, 20, "delivered");
	wait_for_port(w, "alice", port);
	world_check(w, strcmp(session_of(w, "alice").id, before.id) == 0);
	world_check(w, client_count(alice, "login", NULL) == 1);
	server_finish(w);
}

static const struct scenario scenarios[] = {
	{"source port and address change in mid-conversation", change_of_port_and_address},
	{"a quiet client moves", quiet_client_moves},
};

const struct scenario_list scenario_roaming = {scenarios, sizeof(scenarios) / sizeof(scenarios[0])};
