/* SPDX-License-Identifier: BSD-3-Clause */
/* The operator looks into the packet path: who is kept out, where a packet went, what was on the wire. */
#include "client.h"
#include "raw.h"
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
	world_check(w, client_count(bob, "message", "text", "kept back", NULL) == 0);

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

	json_decref(rookctl(w, "bans", "del", "127.0.0.0/30"));
	bans_wait(w, 0);
	client_expect(bob, "message", "from", "alice", "text", "kept back", NULL);
	client_expect_levels(alice, 1, "delivered");
	server_finish(w);
}

/* ---- trace ---------------------------------------------------------------------------- */

/* rookctl, which goes on until it is ended. */
static struct process *
rookctl_stream(struct world *w, const char *const *args)
{
	const char *argv[24] = {"rookctl", "--json", "--state", w->server->state_dir, "--config", w->server->config_path};

	for (size_t i = 0; args[i]; i++)
		argv[6 + i] = args[i];
	return process_start(w, &(struct process_options){.name = "rookctl-stream", .argv = argv});
}

/* Waits until so many traces are on. */
static void
traces_wait(struct world *w, json_int_t count)
{
	uint64_t deadline = deadline_in(WAIT_EVENT);

	for (;;) {
		json_t *status = rookctl(w, "status");
		bool done = json_integer_value(json_object_get(status, "traces")) == count;

		json_decref(status);
		if (done)
			return;
		world_check(w, world_poll(w, deadline));
	}
}

/* What a record is to have; NULL: anything. */
struct wanted {
	const char *direction, *type, *verdict, *frame, *user;
	bool relayed;
};

static bool
fits(const json_t *object, const char *key, const char *value)
{
	const char *have = json_string_value(json_object_get(object, key));

	return !value || (have && strcmp(have, value) == 0);
}

static bool
record_fits(const json_t *r, const struct wanted *want)
{
	const json_t *f;
	bool frame = !want->frame;
	size_t i;

	json_array_foreach(json_object_get(r, "frames"), i, f)
		frame |= fits(f, "type", want->frame);
	return frame && fits(r, "direction", want->direction) && fits(r, "type", want->type) && fits(r, "verdict", want->verdict) &&
	       fits(r, "user", want->user) && (!want->relayed || json_array_size(json_object_get(r, "relayed_to")) > 0);
}

static bool
has_record(struct process *p, const struct wanted *want)
{
	const char *at = p->output ? p->output : "", *end;
	bool found = false;

	for (; !found && (end = strchr(at, '\n')); at = end + 1) {
		json_t *r = json_loadb(at, (size_t)(end - at), 0, NULL);

		found = r && record_fits(r, want);
		json_decref(r);
	}
	return found;
}

static const char *
or_any(const char *text)
{
	return text ? text : "any";
}

static void
expect_record(struct world *w, struct process *p, struct wanted want)
{
	uint64_t deadline = deadline_in(WAIT_EVENT);

	while (!has_record(p, &want))
		if (!world_pump(w, deadline))
			world_fail(w, "no trace of a packet %s, %s, %s, with %s", or_any(want.direction), or_any(want.type),
				   or_any(want.verdict), or_any(want.frame));
}

/* Each step of a login, a message and what must not pass is seen, with its verdict; the trace ends with its operator. */
static void
trace(void **state)
{
	struct world *w = *state;
	struct client *alice, *bob;
	struct process *p;
	uint8_t packet[RAW_CAP];
	struct raw *r;
	size_t n;

	server_start(w);
	bob = register_at(w, "bob", w->server6);
	alice = register_at(w, "alice", w->server4);
	clients_befriend(alice, bob);
	client_quit(alice);
	/* By address: a login has no session yet. */
	p = rookctl_stream(w, (const char *const[]){"trace", "address", "127.0.0.1", NULL});
	traces_wait(w, 1);
	alice = client_start(w, &(struct client_options){.user = "alice", .server = w->server4});
	client_expect(alice, "login", NULL);
	one_message(alice, bob, "hello");
	one_message(bob, alice, "hello yourself");
	expect_record(w, p, (struct wanted){.direction = "in", .type = "LOGIN", .verdict = "punted"});
	expect_record(w, p, (struct wanted){.direction = "out", .type = "LOGIN_REPLY", .verdict = "sent"});
	expect_record(w, p, (struct wanted){.direction = "event", .verdict = "sessions_added", .user = "alice"});
	expect_record(w, p, (struct wanted){.direction = "in", .type = "DATA", .verdict = "consumed", .frame = "MESSAGE", .relayed = true});
	expect_record(w, p, (struct wanted){.direction = "out", .verdict = "sent", .frame = "RECEIPT", .user = "alice"});
	expect_record(w, p, (struct wanted){.direction = "out", .verdict = "sent", .frame = "DELIVER"});
	expect_record(w, p, (struct wanted){.direction = "in", .verdict = "consumed", .frame = "ACK"});
	/* What must not pass. */
	r = raw_new(w);
	raw_fetch_key(r);
	raw_login(r);
	n = raw_ping_datagram(r, 1, packet);
	raw_send(r, packet, n);
	raw_send(r, packet, n);
	expect_record(w, p, (struct wanted){.direction = "in", .verdict = "consumed", .frame = "PING"});
	expect_record(w, p, (struct wanted){.direction = "in", .verdict = "drop_replay"});
	n = raw_ping_datagram(r, 2, packet);
	packet[n - 1] ^= 1;
	raw_send(r, packet, n);
	expect_record(w, p, (struct wanted){.direction = "in", .verdict = "drop_tag"});
	packet[1] = 0x7e;
	raw_send(r, packet, n);
	expect_record(w, p, (struct wanted){.direction = "in", .verdict = "answered"});
	/* Nothing of what was said is in it. */
	world_check(w, strstr(p->output, "hello") == NULL);
	world_check(w, kill(p->pid, SIGKILL) == 0);
	process_wait(p, WAIT_EVENT);
	traces_wait(w, 0);

	/* By user, on whichever worker the session is, also in a new dataplane. */
	p = rookctl_stream(w, (const char *const[]){"trace", "user", "bob", NULL});
	traces_wait(w, 1);
	json_decref(rookctl(w, "restart", "dataplane"));
	one_message(alice, bob, "once more");
	expect_record(w, p, (struct wanted){.direction = "out", .verdict = "sent", .frame = "DELIVER", .user = "bob"});
	expect_record(w, p, (struct wanted){.direction = "in", .verdict = "consumed", .frame = "ACK", .user = "bob"});
	world_check(w, !has_record(p, &(struct wanted){.user = "alice"}));
	world_check(w, kill(p->pid, SIGTERM) == 0);
	world_check(w, process_wait(p, WAIT_EVENT) == 0);
	traces_wait(w, 0);
	raw_free(r);
	server_finish(w);
}

/* ---- capture -------------------------------------------------------------------------- */

#define PCAPNG_SECTION 0x0a0d0d0au
#define PCAPNG_INTERFACE 1u
#define PCAPNG_PACKET 6u
#define LINKTYPE_RAW 101
#define IP_UDP 28 /* bytes of header */

static uint32_t
word(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* Walks the blocks. Returns the packets; *found: one of them has this datagram, and is from or to the server's port. */
static unsigned
read_capture(struct world *w, const char *path, const uint8_t *datagram, size_t n, bool *found)
{
	uint8_t file[65536];
	FILE *in = fopen(path, "r");
	size_t size = in ? fread(file, 1, sizeof(file), in) : 0, at = 0;
	unsigned packets = 0;

	world_check(w, size > 28 && size < sizeof(file));
	fclose(in);
	*found = false;
	for (uint32_t block = 0; at + 12 <= size; block++) {
		uint32_t type = word(file + at), length = word(file + at + 4);

		world_check(w, length % 4 == 0 && length >= 12 && at + length <= size && word(file + at + length - 4) == length);
		world_check(w, type == (block == 0 ? PCAPNG_SECTION : block == 1 ? PCAPNG_INTERFACE : PCAPNG_PACKET));
		if (type == PCAPNG_INTERFACE)
			world_check(w, (word(file + at + 8) & 0xffff) == LINKTYPE_RAW);
		if (type == PCAPNG_PACKET) {
			const uint8_t *ip = file + at + 28;
			uint32_t captured = word(file + at + 20);
			unsigned from = ip[20] << 8 | ip[21], to = ip[22] << 8 | ip[23];

			packets++;
			world_check(w, captured == word(file + at + 24) && 28 + captured <= length);
			world_check(w, ip[0] == 0x45 && (ip[2] << 8 | ip[3]) == (int)captured);
			world_check(w, from == w->port || to == w->port);
			*found |= captured == IP_UDP + n && memcmp(ip + IP_UDP, datagram, n) == 0;
		}
		at += length;
	}
	world_check(w, at == size);
	return packets;
}

static void
capture(void **state)
{
	struct world *w = *state;
	char path[160], session[32];
	uint8_t packet[RAW_CAP];
	struct process *p;
	struct raw *r;
	bool found;
	size_t n;
	char *err;

	server_start(w);
	r = raw_new(w);
	raw_fetch_key(r);
	raw_login(r);
	snprintf(session, sizeof(session), "%016llx", (unsigned long long)r->sid);
	snprintf(path, sizeof(path), "%s/clients/test.pcapng", w->dir);
	p = rookctl_stream(w, (const char *const[]){"capture", path, "--session", session, "--packets", "4", NULL});
	traces_wait(w, 1);
	n = raw_ping_datagram(r, 1, packet);
	raw_send(r, packet, n);
	raw_ping(r);
	world_check(w, process_wait(p, WAIT_EVENT) == 0);
	traces_wait(w, 0);
	world_check(w, read_capture(w, path, packet, n, &found) == 4 && found);
	/* An existing file is not written over. */
	world_check(w, rookctl_status(w, (const char *const[]){"capture", path, NULL}, NULL, &err) == 1);
	world_check(w, strstr(err, "File exists") != NULL);
	free(err);
	raw_free(r);
	server_finish(w);
}

int
main(void)
{
	static const struct scenario scenarios[] = {
		{"bans", bans},
		{"trace", trace},
		{"capture", capture},
	};
	static const struct scenario_list list = {scenarios, sizeof(scenarios) / sizeof(scenarios[0])};
	static const struct scenario_set sets[] = {{{.kind = KIND_SOCKET, .family = AF_INET, .workers = 2}, &list}};

	return scenarios_run("inspect", sets, sizeof(sets) / sizeof(sets[0]));
}
