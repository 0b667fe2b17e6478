/* SPDX-License-Identifier: BSD-3-Clause */
/* More than can be taken: a hanging control process, full rings, a flood of logins. Counted, survived, and the chat of those
 * who are there goes on. */
#include "client.h"
#include "raw.h"
#include "scenario.h"
#include "server.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define MANY 500

static void
both_ways(struct client *a, struct client *b, const char *prefix)
{
	client_send_series(a, b->user, prefix, MANY);
	client_send_series(b, a->user, prefix, MANY);
	client_expect_series(b, a->user, prefix, MANY);
	client_expect_series(a, b->user, prefix, MANY);
	client_expect_levels(a, MANY, "delivered");
	client_expect_levels(b, MANY, "delivered");
}

/* More requests than the ring holds while nobody reads them; then somebody does. */
static void
full_request_ring(void **state)
{
	struct world *w = *state;
	struct frame f = {.type = FRAME_REQUEST,
			  .request = {.fragments = 1, .length = 4, .body = (const uint8_t *)"\xff\xff\xff\xff"}};
	uint8_t plain[64], buf[RAW_CAP];
	struct client *alice, *bob;
	struct raw *r;
	pid_t control;

	server_start_with(w, &(struct server_settings){.extra = "limits:\n  requests_per_second: 0\n"});
	alice = client_register(w, "alice");
	bob = client_register(w, "bob");
	clients_befriend(alice, bob);
	both_ways(alice, bob, "before");
	r = raw_new(w);
	raw_login(r);
	control = server_child(w, "rookery-control", 0);
	kill(control, SIGSTOP);
	for (unsigned i = 0; i < 2000; i++) {
		int n;

		f.request.request = 1000 + i;
		n = frame_write(&f, plain, sizeof(plain));
		raw_send(r, buf, raw_seal(r, plain, (size_t)n, buf));
		if (i % 50 == 49) /* no more than its socket can hold */
			raw_ping(r);
	}
	/* Those who are there do not notice. */
	both_ways(alice, bob, "while control hangs");
	kill(control, SIGCONT);
	counter_reach(w, "ring_request_full", 2000 - 1024);
	/* And now it answers again. */
	client_say(alice, "status away");
	client_expect(bob, "presence", "user", "alice", "status", "away", NULL);
	client_register(w, "carol");
	raw_free(r);
	server_finish(w);
}

/* Nothing can be stored while control hangs: no false confirmation, and nothing is lost. */
static void
messages_to_store_wait(void **state)
{
	struct world *w = *state;
	struct client *alice, *bob;
	pid_t control;

	server_start(w);
	alice = client_register(w, "alice");
	bob = client_register(w, "bob");
	clients_befriend(alice, bob);
	client_quit(bob);
	client_expect(alice, "presence", "user", "bob", "status", "offline", NULL);
	client_say(alice, "msg bob the verdict is known");
	client_expect_levels(alice, 1, "stored");
	control = server_child(w, "rookery-control", 0);
	kill(control, SIGSTOP);
	client_send_series(alice, "bob", "patience", MANY);
	/* As many as may be unanswered at once. */
	while (client_count(alice, "receipt", "level", "accepted", NULL) < 33)
		if (!world_pump(w, deadline_in(WAIT_EVENT)))
			world_fail(w, "messages are not even accepted");
	world_check(w, client_count(alice, "receipt", "level", "stored", NULL) == 1);
	kill(control, SIGCONT);
	client_expect_levels(alice, MANY, "stored");
	bob = client_login(w, "bob");
	client_expect_series(bob, "alice", "patience", MANY);
	server_finish(w);
}

/* Somebody sends valid LOGINs as fast as he can; others still get in, after they have proved their address. */
static void
login_flood(void **state)
{
	struct world *w = *state;
	struct handshake_client h = {0};
	uint64_t deadline = deadline_in(WAIT_EVENT);
	uint8_t login[RAW_CAP], reply[RAW_CAP];
	struct client *alice, *bob, *carol;
	struct raw *r;
	size_t len, n;

	server_start_with(w, &(struct server_settings){.extra = "  logins_per_second: 20\n"});
	alice = client_register(w, "alice");
	bob = client_register(w, "bob");
	clients_befriend(alice, bob);
	r = raw_new(w);
	raw_fetch_key(r);
	len = raw_login_datagram(r, &h, r->timestamp, login);
	for (unsigned i = 0; i < 100; i++)
		raw_send(r, login, len);
	n = raw_receive(r, WIRE_COOKIE, reply);
	world_check(w, n == HANDSHAKE_COOKIE_SIZE && n < len);
	world_check(w, handshake_client_cookie(&h, reply, n) == 0);
	carol = client_start(w, &(struct client_options){.user = "carol", .register_user = true});
	while (!client_has(carol, "login", NULL)) {
		for (unsigned i = 0; i < 50; i++)
			raw_send(r, login, len);
		if (!world_poll(w, deadline))
			world_fail(w, "nobody gets in during the flood");
	}
	both_ways(alice, bob, "meanwhile");
	counter_reach(w, "drop_login_cookie", 50);
	counter_reach(w, "cookies_sent", 50);
	raw_free(r);
	server_finish(w);
}

/* More connections that never log in than there is room for: they do not keep anybody out for ever. */
static void
many_strangers(void **state)
{
	struct world *w = *state;
	struct client *alice;
	struct raw *r;

	server_start(w);
	alice = client_register(w, "alice");
	for (unsigned i = 0; i < 100; i++) {
		r = raw_new(w);
		raw_login(r);
		world_check(w, r->result == 2 /* LOGIN_RESTRICTED */);
		raw_free(r);
	}
	client_register(w, "bob");
	client_say(alice, "status busy");
	client_expect(alice, "response", NULL);
	server_finish(w);
}

static void
send_frame(struct raw *r, const struct frame *f)
{
	uint8_t plain[RAW_CAP], buf[RAW_CAP];
	int n = frame_write(f, plain, sizeof(plain));

	world_check(r->world, n > 0);
	raw_send(r, buf, raw_seal(r, plain, (size_t)n, buf));
}

/* One round of everything at once: messages to thousands, requests for lists, ACKs of what was never sent, garbage, replays. */
static void
misbehave(struct raw *r, unsigned round)
{
	struct frame message = {.type = FRAME_MESSAGE, .message = {.length = 2, .body = (const uint8_t *)"hi"}};
	struct frame list = {.type = FRAME_REQUEST,
			     .request = {.fragments = 1, .length = 2, .body = (const uint8_t *)"\x42\x00"}}; /* ListBuddies */
	uint8_t ranges[6 * ACK_RANGES_MAX], garbage[400], buf[RAW_CAP];
	struct frame ack = {.type = FRAME_ACK, .ack = {.count = ACK_RANGES_MAX, .ranges = ranges}};
	size_t n;

	for (unsigned i = 0; i < ACK_RANGES_MAX; i++)
		wire_ack_put(ranges, i, 1 + i * 65536u, UINT16_MAX);
	memset(garbage, 0x77, sizeof(garbage));
	for (unsigned i = 0; i < 40; i++) {
		message.message.id = round * 40 + i + 1;
		message.message.to = 100000 + message.message.id;
		send_frame(r, &message);
		list.request.request = 1000 + round * 40 + i;
		send_frame(r, &list);
		send_frame(r, &ack);
		n = raw_seal(r, garbage, sizeof(garbage), buf);
		for (unsigned k = 0; k < 3; k++)
			raw_send(r, buf, n);
	}
}

/* A user of good standing who does all that the protocol forbids, as fast as he can. */
static void
hostile_client(void **state)
{
	struct world *w = *state;
	struct client *alice, *bob;
	struct raw *mallory;

	server_start_with(w, &(struct server_settings){
		.extra = "limits:\n  messages_burst: 200\n  conversations_burst: 50\n  requests_burst: 50\n"});
	alice = client_register(w, "alice");
	bob = client_register(w, "bob");
	clients_befriend(alice, bob);
	mallory = raw_new(w);
	raw_login(mallory);
	raw_register(mallory, "mallory", "secret of mallory");
	for (unsigned round = 0; round < 50; round++) {
		misbehave(mallory, round);
		if (round % 10 == 9) {
			char prefix[32];

			snprintf(prefix, sizeof(prefix), "round %u", round);
			client_send_series(alice, "bob", prefix, 50);
			client_expect_series(bob, "alice", prefix, 50);
			client_expect_levels(alice, 50, "delivered");
		}
	}
	/* He is told; and what he never sent or never got changes nothing. */
	counter_reach(w, "limit_requests", 1);
	counter_reach(w, "limit_conversations", 1);
	counter_reach(w, "messages_slowed", 1);
	counter_reach(w, "drop_frame", 1);
	counter_reach(w, "drop_replay", 1);
	counter_reach(w, "acks_unknown", 1);
	world_check(w, raw_has(mallory, WIRE_DATA));
	client_register(w, "carol");
	client_say(alice, "status away");
	client_expect(bob, "presence", "user", "alice", "status", "away", NULL);
	raw_free(mallory);
	server_finish(w);
}

int
main(void)
{
	static const struct scenario scenarios[] = {
		{"full request ring", full_request_ring},
		{"messages to store wait", messages_to_store_wait},
		{"login flood", login_flood},
		{"many strangers", many_strangers},
		{"hostile client", hostile_client},
	};
	static const struct scenario_list list = {scenarios, sizeof(scenarios) / sizeof(scenarios[0])};
	static const struct scenario_set set = {{.kind = KIND_SOCKET, .family = AF_INET}, &list};

	return scenarios_run("overload", &set, 1);
}
