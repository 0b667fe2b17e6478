/* SPDX-License-Identifier: BSD-3-Clause */
/* A bad network: a fifth of all packets lost, others doubled and out of order, on both clients' ways. */
#include "client.h"
#include "proxy.h"
#include "scenario.h"
#include "server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#define MANY 200

static const struct proxy_faults bad = {.loss = 20, .duplicate = 10, .reorder = 20, .delay_ms = 40};
static const struct proxy_faults good;

static struct client *
register_through(struct world *w, const char *user, struct proxy *p)
{
	struct client *c = client_start(w, &(struct client_options){.user = user, .register_user = true,
								    .server = proxy_address(p)});

	client_expect(c, "login", "user", user, NULL);
	return c;
}

static void
chat_over_a_bad_network(void **state)
{
	struct world *w = *state;
	struct proxy *p, *q;
	struct client *alice, *bob;

	server_start(w);
	p = proxy_start(w, world_server_address(w), w->client_ns, 11);
	q = proxy_start(w, world_server_address(w), w->client_ns, 22);
	/* From the first packet on: registering and finding each other, too. */
	proxy_set_faults(p, &bad);
	proxy_set_faults(q, &bad);
	alice = register_through(w, "alice", p);
	bob = register_through(w, "bob", q);
	clients_befriend(alice, bob);
	client_send_series(alice, "bob", "through the storm", MANY);
	client_send_series(bob, "alice", "through the storm", MANY);
	client_expect_series(bob, "alice", "through the storm", MANY);
	client_expect_series(alice, "bob", "through the storm", MANY);
	/* Who loses eight in a row gets it from the store. */
	client_expect_levels(alice, MANY, "stored");
	client_expect_levels(bob, MANY, "stored");
	proxy_set_faults(p, &good);
	proxy_set_faults(q, &good);
	client_say(alice, "msg bob over");
	client_expect(bob, "message", "text", "over", NULL);
	client_say(bob, "msg alice over");
	client_expect(alice, "message", "text", "over", NULL);
	world_check(w, client_count(bob, "message", NULL) == MANY + 1);
	world_check(w, client_count(alice, "message", NULL) == MANY + 1);
	/* It was one. */
	world_check(w, proxy_stats(p).lost > 20 && proxy_stats(q).lost > 20);
	counter_reach(w, "retransmits", 1);
	server_finish(w);
}

static void
stored_over_a_bad_network(void **state)
{
	struct world *w = *state;
	struct proxy *q;
	struct client *alice, *bob;

	server_start(w);
	alice = client_register(w, "alice");
	bob = client_register(w, "bob");
	clients_befriend(alice, bob);
	client_quit(bob);
	client_expect(alice, "presence", "user", "bob", "status", "offline", NULL);
	client_send_series(alice, "bob", "waiting", MANY);
	client_expect_levels(alice, MANY, "stored");
	q = proxy_start(w, world_server_address(w), w->client_ns, 33);
	proxy_set_faults(q, &bad);
	bob = client_start(w, &(struct client_options){.user = "bob", .server = proxy_address(q)});
	client_expect_series(bob, "alice", "waiting", MANY);
	world_check(w, client_count(bob, "message", NULL) == MANY);
	server_finish(w);
}

int
main(void)
{
	static const struct scenario scenarios[] = {
		{"chat over a bad network", chat_over_a_bad_network},
		{"stored messages over a bad network", stored_over_a_bad_network},
	};
	static const struct scenario_list list = {scenarios, sizeof(scenarios) / sizeof(scenarios[0])};
	static const struct scenario_set sets[] = {
		{{.kind = KIND_SOCKET, .family = AF_INET}, &list},
		{{.kind = KIND_SOCKET, .family = AF_INET6, .workers = 2}, &list},
	};

	return scenarios_run("loss", sets, sizeof(sets) / sizeof(sets[0]));
}
