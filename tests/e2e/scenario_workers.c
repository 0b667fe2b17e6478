/* SPDX-License-Identifier: BSD-3-Clause */
/* Two workers: sessions of different owners, packets that arrive on the wrong one. */
#include "scenario.h"

#include "client.h"
#include "proxy.h"
#include "server.h"

#include <string.h>

#define ATTEMPTS 64
#define MANY 1000
#define PROBES 10

/* The kernel or the NIC spreads by source port, so another login is another throw of the dice. */
static struct client *
login_on_other_worker(struct world *w, const char *user, unsigned than)
{
	struct client *c = client_register(w, user);

	for (unsigned i = 0; i < ATTEMPTS; i++) {
		if (session_of(w, user).worker != than)
			return c;
		client_quit(c);
		c = client_login(w, user);
	}
	world_fail(w, "%u logins, and all on worker %u", ATTEMPTS, than);
}

static void
different_owners(void **state)
{
	struct world *w = *state;
	struct client *alice, *bob;

	server_start(w);
	alice = client_register(w, "alice");
	bob = login_on_other_worker(w, "bob", session_of(w, "alice").worker);
	clients_befriend(alice, bob);
	client_send_series(alice, "bob", "across", MANY);
	client_send_series(bob, "alice", "across", MANY);
	client_expect_series(bob, "alice", "across", MANY);
	client_expect_series(alice, "bob", "across", MANY);
	client_expect_levels(alice, MANY, "delivered");
	client_expect_levels(bob, MANY, "delivered");
	client_say(bob, "status away");
	client_expect(alice, "presence", "user", "bob", "status", "away", NULL);
	server_finish(w);
}

/* Rebinds until the client's packets come in at a worker that does not own its session; they are handed over. */
static void
rebind_to_wrong_worker(struct world *w, struct client *c, struct client *other, struct proxy *p)
{
	for (unsigned i = 0; i < ATTEMPTS; i++) {
		uint64_t messages = counter(w, "messages_in");
		uint64_t handed = counter(w, "handoff_out");

		proxy_rebind(p, NULL);
		for (unsigned k = 0; k < PROBES; k++) {
			client_say(c, "msg %s which worker is this?", other->user);
			client_expect_levels(c, 1, "delivered");
			client_expect(other, "message", "from", c->user, NULL);
		}
		/* Published together. Each probe is at least a packet; stragglers of the changeover are fewer. */
		counter_reach(w, "messages_in", messages + PROBES);
		if (counter(w, "handoff_out") >= handed + PROBES)
			return;
	}
	world_fail(w, "%u source ports, and all on the same worker", ATTEMPTS);
}

static void
packets_on_the_wrong_worker(void **state)
{
	struct world *w = *state;
	struct session_info before;
	struct proxy *p;
	struct client *alice, *bob;
	uint64_t handed;

	server_start(w);
	p = proxy_start(w, world_server_address(w), w->client_ns, 3);
	alice = client_start(w, &(struct client_options){.user = "alice", .register_user = true,
							 .server = proxy_address(p)});
	client_expect(alice, "login", NULL);
	bob = client_register(w, "bob");
	clients_befriend(alice, bob);
	before = session_of(w, "alice");
	rebind_to_wrong_worker(w, alice, bob, p);
	handed = counter(w, "handoff_out");
	client_send_series(alice, "bob", "from the wrong side", 200);
	client_send_series(bob, "alice", "to the wrong side", 200);
	client_expect_series(bob, "alice", "from the wrong side", 200);
	client_expect_series(alice, "bob", "to the wrong side", 200);
	client_expect_levels(alice, 200, "delivered");
	client_expect_levels(bob, 200, "delivered");
	world_check(w, strcmp(session_of(w, "alice").id, before.id) == 0);
	world_check(w, client_count(alice, "login", NULL) == 1);
	counter_reach(w, "handoff_out", handed + 5);
	world_check(w, counter(w, "drop_ring_handoff") == 0);
	server_finish(w);
}

static const struct scenario scenarios[] = {
	{"sender and recipient of different workers", different_owners},
	{"packets on the wrong worker", packets_on_the_wrong_worker},
};

const struct scenario_list scenario_workers = {scenarios, sizeof(scenarios) / sizeof(scenarios[0])};
