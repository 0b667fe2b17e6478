/* SPDX-License-Identifier: BSD-3-Clause */
/* The main job: register, buddies, presence, messages, away and back, refusals, kick, restart. */
#include "scenario.h"

#include "client.h"
#include "netns.h"
#include "server.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define MANY 1000
#define TEXT_MAX 16384

/* Two users who are online, buddies, and see each other. */
static void
two_buddies(struct world *w, struct client **alice, struct client **bob)
{
	*alice = client_register(w, "alice");
	*bob = client_register(w, "bob");
	clients_befriend(*alice, *bob);
	client_forget(*alice);
	client_forget(*bob);
}

/* One message that must arrive: after it, everything that was sent before it on this way has arrived too. */
static void
one_message(struct client *from, struct client *to, const char *text)
{
	client_say(from, "msg %s %s", to->user, text);
	client_expect(to, "message", "from", from->user, "text", text, NULL);
	client_expect_levels(from, 1, "delivered");
}

static void
first_chat(void **state)
{
	struct world *w = *state;
	struct client *alice, *bob;
	json_t *message;

	server_start(w);
	alice = client_register(w, "alice");
	bob = client_register(w, "bob");
	client_say(alice, "add bob it is me, alice");
	client_expect(bob, "buddy_request", "from", "alice", "text", "it is me, alice", NULL);
	client_say(bob, "accept alice");
	client_expect(alice, "buddy", "user", "bob", "state", "accepted", NULL);
	client_expect(alice, "presence", "user", "bob", "status", "online", "text", "", NULL);
	client_expect(bob, "presence", "user", "alice", "status", "online", "text", "", NULL);

	client_say(alice, "msg bob hello, bob");
	client_expect(alice, "sent", "to", "bob", "seq", "1", NULL);
	message = client_expect(bob, "message", "from", "alice", "text", "hello, bob", "offline", "false", NULL);
	world_check(w, strlen(json_string_value(json_object_get(message, "id"))) > 0);
	/* RFC 3339: 2024-05-01T10:00:00... */
	world_check(w, json_string_value(json_object_get(message, "sent_at"))[10] == 'T');
	client_expect(alice, "receipt", "to", "bob", "level", "delivered", NULL);
	/* Both sides name the message alike. */
	world_check(w, json_object_get(alice->levels, json_string_value(json_object_get(message, "id"))) != NULL);
	one_message(bob, alice, "hello, alice: ünïcødé, \"quotes\" and \\ too");
	client_quit(alice);
	client_expect(bob, "presence", "user", "alice", "status", "offline", NULL);
	client_quit(bob);
	server_finish(w);
}

static void
presence(void **state)
{
	struct world *w = *state;
	struct client *alice, *bob;

	server_start(w);
	two_buddies(w, &alice, &bob);
	client_say(alice, "status away at lunch");
	client_expect(bob, "presence", "user", "alice", "status", "away", "text", "at lunch", NULL);
	client_say(alice, "status busy");
	client_expect(bob, "presence", "user", "alice", "status", "busy", "text", "", NULL);
	client_say(alice, "status invisible");
	client_expect(bob, "presence", "user", "alice", "status", "offline", NULL);
	/* Invisible is not away: she reads and writes. */
	one_message(bob, alice, "are you there?");
	one_message(alice, bob, "only for you");
	client_say(alice, "status online back again");
	client_expect(bob, "presence", "user", "alice", "status", "online", "text", "back again", NULL);

	/* Who comes later sees how things are. */
	client_say(bob, "status busy writing");
	client_expect(alice, "presence", "user", "bob", "status", "busy", "text", "writing", NULL);
	client_quit(alice);
	client_expect(bob, "presence", "user", "alice", "status", "offline", NULL);
	alice = client_login(w, "alice");
	client_expect(alice, "presence", "user", "bob", "status", "busy", "text", "writing", NULL);
	client_expect(bob, "presence", "user", "alice", "status", "online", NULL);
	server_finish(w);
}

static void
a_thousand_each_way(void **state)
{
	struct world *w = *state;
	struct client *alice, *bob;

	server_start(w);
	two_buddies(w, &alice, &bob);
	client_send_series(alice, "bob", "to bob", MANY);
	client_send_series(bob, "alice", "to alice", MANY);
	client_expect_series(bob, "alice", "to bob", MANY);
	client_expect_series(alice, "bob", "to alice", MANY);
	client_expect_levels(alice, MANY, "delivered");
	client_expect_levels(bob, MANY, "delivered");
	one_message(alice, bob, "the last one");
	one_message(bob, alice, "the last one");
	world_check(w, client_count(bob, "message", "from", "alice", NULL) == MANY + 1);
	world_check(w, client_count(alice, "message", "from", "bob", NULL) == MANY + 1);
	/* In memory or on disk, nothing is left of them. */
	counter_wait(w, "messages_delivered", 2 * MANY + 2);
	client_quit(alice);
	client_quit(bob);
	server_finish(w);
}

static void
offline_messages(void **state)
{
	struct world *w = *state;
	struct client *alice, *bob;

	server_start(w);
	two_buddies(w, &alice, &bob);
	client_quit(bob);
	client_expect(alice, "presence", "user", "bob", "status", "offline", NULL);
	client_send_series(alice, "bob", "while away", 100);
	client_expect_levels(alice, 100, "stored");
	world_check(w, client_count(alice, "receipt", "level", "delivered", NULL) == 0);

	bob = client_login(w, "bob");
	client_expect_series(bob, "alice", "while away", 100);
	world_check(w, client_count(bob, "message", "offline", "true", NULL) == 100);
	one_message(alice, bob, "welcome back");
	one_message(bob, alice, "thanks");
	world_check(w, client_count(bob, "message", NULL) == 101);
	client_quit(bob);

	/* What was shown does not come again. */
	bob = client_login(w, "bob");
	one_message(alice, bob, "and again");
	world_check(w, client_count(bob, "message", NULL) == 1);

	/* Alice, too, gets what came while she was away, across several senders' absence. */
	client_quit(alice);
	client_send_series(bob, "alice", "for later", 40);
	client_expect_levels(bob, 40, "stored");
	client_quit(bob);
	alice = client_login(w, "alice");
	client_expect_series(alice, "bob", "for later", 40);
	client_quit(alice);
	server_finish(w);
}

static void
refusals(void **state)
{
	struct world *w = *state;
	struct client *alice, *bob, *carol;
	char *text = malloc(TEXT_MAX + 2);

	server_start(w);
	two_buddies(w, &alice, &bob);
	carol = client_register(w, "carol");

	client_say(carol, "msg alice I am a stranger");
	client_expect(carol, "refused", "to", "alice", "reason", "not_buddies", NULL);
	client_say(carol, "msg nobody-of-that-name hello");
	client_expect(carol, "refused", "to", "nobody-of-that-name", "reason", "unknown_user", NULL);
	client_say(carol, "add nobody-of-that-name");
	client_expect(carol, "error", NULL);

	client_say(carol, "add alice please");
	client_expect(alice, "buddy_request", "from", "carol", "text", "please", NULL);
	client_say(alice, "deny carol");
	client_expect(carol, "buddy", "user", "alice", "state", "denied", NULL);
	client_say(carol, "msg alice but why");
	client_expect(carol, "refused", "to", "alice", "reason", "not_buddies", NULL);

	/* 16 KiB pass whole; one byte more does not. */
	memset(text, 'x', TEXT_MAX + 1);
	text[TEXT_MAX] = '\0';
	client_say(alice, "msg bob %s", text);
	client_expect(bob, "message", "from", "alice", "text", text, NULL);
	client_expect_levels(alice, 1, "delivered");
	strcpy(text + TEXT_MAX, "x");
	client_say(alice, "msg bob %s", text);
	client_expect(alice, "refused", "to", "bob", "reason", "too_large", NULL);
	free(text);

	client_forget(bob);
	client_say(bob, "block alice");
	client_expect(bob, "response", NULL);
	client_say(alice, "msg bob can you hear me?");
	client_expect(alice, "refused", "to", "bob", "reason", "blocked", NULL);
	world_check(w, client_count(alice, "message", NULL) == 0);
	world_check(w, client_count(bob, "message", "text", "can you hear me?", NULL) == 0);
	server_finish(w);
}

static void
no_buddies_any_more(void **state)
{
	struct world *w = *state;
	struct client *alice, *bob;

	server_start(w);
	two_buddies(w, &alice, &bob);
	one_message(alice, bob, "still friends");
	client_say(bob, "remove alice");
	client_expect(alice, "buddy", "user", "bob", "state", "removed", NULL);
	client_say(alice, "msg bob why?");
	client_expect(alice, "refused", "to", "bob", "reason", "not_buddies", NULL);
	client_say(bob, "msg alice because");
	client_expect(bob, "refused", "to", "alice", "reason", "not_buddies", NULL);

	/* Neither sees the other any more; and they may make up. */
	client_forget(bob);
	client_say(alice, "status away sulking");
	client_say(alice, "add bob sorry");
	client_expect(bob, "buddy_request", "from", "alice", "text", "sorry", NULL);
	world_check(w, !client_has(bob, "presence", "user", "alice", NULL));
	client_say(bob, "accept alice");
	client_expect(alice, "buddy", "user", "bob", "state", "accepted", NULL);
	client_expect(bob, "presence", "user", "alice", "status", "away", "text", "sulking", NULL);
	one_message(alice, bob, "friends again");
	one_message(bob, alice, "friends again");
	server_finish(w);
}

static void
two_devices(void **state)
{
	struct world *w = *state;
	struct client *alice, *bob, *phone;

	server_start(w);
	two_buddies(w, &alice, &bob);
	/* Not registered: the password enrols the new device. */
	phone = client_start(w, &(struct client_options){.user = "bob", .device = "bobs-phone"});
	client_expect(phone, "login", "user", "bob", NULL);
	client_send_series(alice, "bob", "to both", 100);
	client_expect_series(bob, "alice", "to both", 100);
	client_expect_series(phone, "alice", "to both", 100);
	client_expect_levels(alice, 100, "delivered");

	/* One is away: it gets its copy later, and only what it has not seen. */
	client_quit(phone);
	one_message(alice, bob, "only at the desk");
	phone = client_start(w, &(struct client_options){.user = "bob", .device = "bobs-phone"});
	client_expect(phone, "message", "from", "alice", "text", "only at the desk", "offline", "true", NULL);
	one_message(alice, phone, "both again");
	client_expect(bob, "message", "text", "both again", NULL);
	world_check(w, client_count(phone, "message", NULL) == 2);
	/* Bob is offline once both are. */
	client_quit(bob);
	one_message(alice, phone, "still there");
	world_check(w, client_count(alice, "presence", "user", "bob", "status", "offline", NULL) == 0);
	client_quit(phone);
	client_expect(alice, "presence", "user", "bob", "status", "offline", NULL);
	server_finish(w);
}

static void
kick(void **state)
{
	struct world *w = *state;
	struct client *alice, *bob;
	struct session_info before;
	json_t *result;

	server_start(w);
	two_buddies(w, &alice, &bob);
	before = session_of(w, "bob");
	result = rookctl(w, "sessions", "kick", before.id);
	world_check(w, json_integer_value(json_object_get(result, "ended")) == 1);
	json_decref(result);
	client_expect(bob, "disconnected", "reason", "kicked", NULL);
	client_expect(alice, "presence", "user", "bob", "status", "offline", NULL);
	world_check(w, sessions_of(w, "bob", &before, 1) == 0);
	/* Kicked is not banned. */
	process_wait(bob->process, WAIT_EVENT);
	bob = client_login(w, "bob");
	client_expect(alice, "presence", "user", "bob", "status", "online", NULL);
	one_message(alice, bob, "welcome back");
	server_finish(w);
}

/* What an operator does to accounts. */
static void
operator(void **state)
{
	struct world *w = *state;
	struct client *alice, *dave, *other;
	char file[160];
	json_t *list;
	FILE *f;

	server_start(w);
	alice = client_register(w, "alice");
	snprintf(file, sizeof(file), "%s/clients/dave.new", w->dir);
	f = fopen(file, "w");
	world_check(w, f != NULL);
	fprintf(f, "given by the operator\n");
	fclose(f);
	json_decref(rookctl(w, "users", "add", "dave", "--password-file", file));
	dave = client_start(w, &(struct client_options){.user = "dave", .password = "given by the operator"});
	client_expect(dave, "login", "user", "dave", NULL);
	clients_befriend(alice, dave);
	list = rookctl(w, "users", "list");
	world_check(w, json_array_size(json_object_get(list, "users")) == 2);
	json_decref(list);

	f = fopen(file, "w");
	world_check(w, f != NULL);
	fprintf(f, "another password\n");
	fclose(f);
	json_decref(rookctl(w, "users", "passwd", "dave", "--password-file", file));
	client_expect(dave, "disconnected", "reason", "revoked", NULL);
	client_expect_exit(dave, 3);
	other = client_start(w, &(struct client_options){.user = "dave", .device = "daves-phone", .password = "given by the operator"});
	client_expect_exit(other, 3);
	other = client_start(w, &(struct client_options){.user = "dave", .device = "daves-phone", .password = "another password"});
	client_expect(other, "login", "user", "dave", NULL);
	/* The device that was there before must know the new password, too. */
	dave = client_start(w, &(struct client_options){.user = "dave", .password = "given by the operator"});
	client_expect_exit(dave, 3);
	dave = client_start(w, &(struct client_options){.user = "dave", .password = "another password"});
	client_expect(dave, "login", "user", "dave", NULL);
	one_message(alice, dave, "everything as before");

	json_decref(rookctl(w, "users", "del", "dave"));
	client_expect(dave, "disconnected", "reason", "revoked", NULL);
	client_expect(other, "disconnected", "reason", "revoked", NULL);
	client_expect(alice, "buddy", "user", "dave", "state", "removed", NULL);
	client_say(alice, "msg dave hello?");
	client_expect(alice, "refused", "to", "dave", "reason", "unknown_user", NULL);
	server_finish(w);
}

static void
vanished_client(void **state)
{
	struct world *w = *state;
	struct server_settings settings = {.heartbeat_ms = 1000, .timeout_ms = 4000, .retransmit_limit = 4};
	struct client *alice, *bob;
	uint64_t deadline;

	server_start_with(w, &settings);
	two_buddies(w, &alice, &bob);
	client_kill(bob);
	client_say(alice, "msg bob into the void");
	/* G5: the time-out and a second; and some more for a busy machine. */
	deadline = deadline_in(15);
	client_expect(alice, "presence", "user", "bob", "status", "offline", NULL);
	world_check(w, now_ms() < deadline);
	client_expect_levels(alice, 1, "stored");
	counter_wait(w, "sessions_expired", 1);
	bob = client_login(w, "bob");
	client_expect(bob, "message", "from", "alice", "text", "into the void", NULL);
	one_message(bob, alice, "here I am");
	server_finish(w);
}

static void
second_run_on_the_same_state(void **state)
{
	struct world *w = *state;
	struct client *alice, *bob;

	server_start(w);
	two_buddies(w, &alice, &bob);
	client_quit(bob);
	client_send_series(alice, "bob", "over the restart", 20);
	client_expect_levels(alice, 20, "stored");
	client_quit(alice);
	server_finish(w);

	server_start(w);
	alice = client_login(w, "alice");
	bob = client_login(w, "bob");
	client_expect_series(bob, "alice", "over the restart", 20);
	client_expect(alice, "presence", "user", "bob", "status", "online", NULL);
	one_message(alice, bob, "nothing was lost");
	one_message(bob, alice, "indeed");
	server_check_sums(w);
	server_terminate(w);
}

static void
sessions_outlive_a_restart(void **state)
{
	struct world *w = *state;
	struct session_info alice_before, bob_before;
	struct client *alice, *bob;

	server_start_with(w, &(struct server_settings){.heartbeat_ms = 1000, .timeout_ms = 60000});
	two_buddies(w, &alice, &bob);
	one_message(alice, bob, "before");
	alice_before = session_of(w, "alice");
	bob_before = session_of(w, "bob");
	server_finish(w);
	/* Said while there is no server: it goes out when there is one again. */
	client_send_series(alice, "bob", "into the gap", 10);
	server_start(w);
	client_expect_series(bob, "alice", "into the gap", 10);
	client_expect_levels(alice, 10, "delivered");
	one_message(bob, alice, "after");
	world_check(w, strcmp(session_of(w, "alice").id, alice_before.id) == 0);
	world_check(w, strcmp(session_of(w, "bob").id, bob_before.id) == 0);
	world_check(w, client_count(alice, "login", NULL) == 1);
	world_check(w, client_count(bob, "login", NULL) == 1);
	world_check(w, client_count(bob, "message", NULL) == 11);
	server_finish(w);
}

static const struct scenario scenarios[] = {
	{"a first chat", first_chat},
	{"presence", presence},
	{"1,000 messages each way", a_thousand_each_way},
	{"offline messages", offline_messages},
	{"refusals", refusals},
	{"buddies no more", no_buddies_any_more},
	{"two devices of one user", two_devices},
	{"kick", kick},
	{"operator", operator},
	{"a client vanishes", vanished_client},
	{"second run on the same state", second_run_on_the_same_state},
	{"sessions outlive a restart", sessions_outlive_a_restart},
};

const struct scenario_list scenario_chat = {scenarios, sizeof(scenarios) / sizeof(scenarios[0])};

static const struct scenario smoke[] = {
	{"a first chat", first_chat},
	{"offline messages", offline_messages},
	{"sessions outlive a restart", sessions_outlive_a_restart},
};

const struct scenario_list scenario_smoke = {smoke, sizeof(smoke) / sizeof(smoke[0])};
