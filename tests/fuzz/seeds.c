/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Makes the seed corpora of the wire and handshake targets: seeds DIR writes DIR/<target>/seed-<name>.
 * Run it again when a layout changes: build/tests/fuzz/seeds tests/fuzz/corpus
 */
#include "fuzz_keys.h"
#include "shared/handshake_internal.h"
#include "shared/rookery.pb-c.h"
#include "shared/wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define BYTES(s) ((const uint8_t *)(s))
#define TEXT(s) ((char *)(s))

static const char *root;

static void
save(const char *target, const char *name, const void *bytes, size_t len)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", root, target);
	mkdir(path, 0777);
	snprintf(path, sizeof(path), "%s/%s/seed-%s", root, target, name);
	file = fopen(path, "wb");
	if (file == NULL || fwrite(bytes, 1, len, file) != len || fclose(file) != 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(1);
	}
}

/* ---- datagrams and frames ------------------------------------------------------------------ */

static void
datagrams(void)
{
	const struct wire_data d = {.sid = session_id_make(1, 2, 3), .counter = wire_counter(4, 5)};
	uint8_t bytes[WIRE_DATAGRAM_MAX] = {0};
	struct wire_prefix p = {.type = WIRE_KEY, .version = WIRE_VERSION, .id = 7};

	wire_data_write(&d, bytes);
	save("datagram", "data-shortest", bytes, WIRE_DATA_MIN);
	save("datagram", "data-longest", bytes, WIRE_DATAGRAM_MAX);
	save("datagram", "data-too-short", bytes, WIRE_DATA_MIN - 1);
	memset(bytes, 0, sizeof(bytes));
	wire_prefix_write(&p, bytes);
	save("datagram", "key-query", bytes, WIRE_KEY_QUERY_SIZE);
	p.version = 0xff;
	wire_prefix_write(&p, bytes);
	save("datagram", "unknown-version", bytes, WIRE_PREFIX);
}

static const struct {
	const char *name;
	struct frame frame;
} frames[] = {
	{"pad", {.type = FRAME_PAD}},
	{"ping", {.type = FRAME_PING, .token = 1}},
	{"pong", {.type = FRAME_PONG, .pong = {.token = 1, .observed = {.ip = {1}, .port = 8000}}}},
	{"challenge", {.type = FRAME_PATH_CHALLENGE, .token = 1}},
	{"path-response", {.type = FRAME_PATH_RESPONSE, .token = 1}},
	{"close", {.type = FRAME_CLOSE, .close_reason = CLOSE_LOGOUT}},
	{"message",
	 {.type = FRAME_MESSAGE,
	  .message = {.to = 2,
		      .id = 9,
		      .prev_delta = 1,
		      .floor_delta = 2,
		      .length = 5,
		      .body = BYTES("hello")}}},
	{"nudge",
	 {.type = FRAME_MESSAGE, .message = {.flags = MESSAGE_NUDGE, .to = 2, .id = 9, .floor_delta = 9}}},
	{"receipt",
	 {.type = FRAME_RECEIPT,
	  .receipt = {.level = RECEIPT_STORED,
		      .count = 2,
		      .ids = BYTES("\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\2")}}},
	{"refused",
	 {.type = FRAME_RECEIPT,
	  .receipt = {.level = RECEIPT_REFUSED,
		      .reason = REFUSE_SLOW_DOWN,
		      .count = 1,
		      .retry_ms = 100,
		      .ids = BYTES("\0\0\0\0\0\0\0\1")}}},
	{"confirm", {.type = FRAME_CONFIRM, .confirm = 9}},
	{"confirm-gaps",
	 {.type = FRAME_CONFIRM_GAPS,
	  .confirm_gaps = {.id = 9, .count = 2, .gaps = BYTES("\0\0\0\7\0\1\0\0\0\2\0\1")}}},
	{"deliver",
	 {.type = FRAME_DELIVER,
	  .deliver = {.flags = MESSAGE_STORED,
		      .delivery = 1,
		      .from = 2,
		      .from_device = 3,
		      .id = 9,
		      .prev_delta = 1,
		      .floor_delta = UINT32_MAX,
		      .sent_at = 1700000000000,
		      .length = 5,
		      .body = BYTES("hello")}}},
	{"notify", {.type = FRAME_NOTIFY, .notify = {.delivery = 2, .length = 2, .body = BYTES("\x1a\0")}}},
	{"ack", {.type = FRAME_ACK, .ack = {.count = 2, .ranges = BYTES("\0\0\0\1\0\1\0\0\0\5\0\7")}}},
	{"request",
	 {.type = FRAME_REQUEST,
	  .request = {.request = 1, .fragments = 1, .length = 2, .body = BYTES("\x62\0")}}},
	{"slow-down", {.type = FRAME_SLOW_DOWN, .slow_down = {.request = 1, .retry_ms = 100}}},
	{"response",
	 {.type = FRAME_RESPONSE,
	  .response = {.delivery = 3, .request = 1, .fragments = 2, .length = 2, .body = BYTES("\x08\1")}}},
};

static void
frames_each_and_together(void)
{
	uint8_t packet[WIRE_PLAINTEXT_MAX];
	size_t used = 0;

	for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		int n = frame_write(&frames[i].frame, packet + used, sizeof(packet) - used);

		if (n < 0) {
			fprintf(stderr, "%s: %s\n", frames[i].name, strerror(-n));
			exit(1);
		}
		save("frames", frames[i].name, packet + used, (size_t)n);
		used += (size_t)n;
	}
	save("frames", "packet", packet, used);
}

/* ---- protobuf -------------------------------------------------------------------------------- */

static size_t
pack(const ProtobufCMessage *m, uint8_t *out, size_t cap)
{
	if (protobuf_c_message_get_packed_size(m) > cap) {
		fprintf(stderr, "message too large\n");
		exit(1);
	}
	return protobuf_c_message_pack(m, out);
}

static void
save_message(const char *target, const char *name, const ProtobufCMessage *m)
{
	uint8_t bytes[2048];

	save(target, name, bytes, pack(m, bytes, sizeof(bytes)));
}

static void
requests(void)
{
	Rookery__Request r = ROOKERY__REQUEST__INIT;
	Rookery__Register reg = ROOKERY__REGISTER__INIT;
	Rookery__AddBuddy add = ROOKERY__ADD_BUDDY__INIT;
	Rookery__SetPresence presence = ROOKERY__SET_PRESENCE__INIT;
	Rookery__ListBuddies list = ROOKERY__LIST_BUDDIES__INIT;

	save_message("pb_request", "empty", &r.base);
	reg.user = TEXT("alice");
	reg.password = TEXT("correct horse");
	reg.device_name = TEXT("laptop");
	reg.status = ROOKERY__STATUS__STATUS_ONLINE;
	r.body_case = ROOKERY__REQUEST__BODY_REGISTER;
	r.register_ = &reg;
	save_message("pb_request", "register", &r.base);
	add.user = TEXT("bob");
	add.text = TEXT("hi");
	r.body_case = ROOKERY__REQUEST__BODY_ADD_BUDDY;
	r.add_buddy = &add;
	save_message("pb_request", "add-buddy", &r.base);
	presence.status = ROOKERY__STATUS__STATUS_AWAY;
	presence.text = TEXT("lunch");
	r.body_case = ROOKERY__REQUEST__BODY_SET_PRESENCE;
	r.set_presence = &presence;
	save_message("pb_request", "set-presence", &r.base);
	list.after_user_id = 77;
	r.body_case = ROOKERY__REQUEST__BODY_LIST_BUDDIES;
	r.list_buddies = &list;
	save_message("pb_request", "list-buddies", &r.base);
}

static void
responses(void)
{
	Rookery__Response r = ROOKERY__RESPONSE__INIT;
	Rookery__LoggedIn in = ROOKERY__LOGGED_IN__INIT;
	Rookery__BuddyList list = ROOKERY__BUDDY_LIST__INIT;
	Rookery__Buddy buddy = ROOKERY__BUDDY__INIT, *buddies[] = {&buddy, &buddy};

	r.code = ROOKERY__CODE__CODE_PASSWORD_WRONG;
	r.text = TEXT("wrong password");
	save_message("pb_response", "refused", &r.base);
	r.code = ROOKERY__CODE__CODE_OK;
	r.text = TEXT("");
	in.user_id = 1;
	in.device_id = 2;
	in.user = TEXT("alice");
	r.body_case = ROOKERY__RESPONSE__BODY_LOGGED_IN;
	r.logged_in = &in;
	save_message("pb_response", "logged-in", &r.base);
	buddy.user_id = 5;
	buddy.name = TEXT("bob");
	buddy.state = ROOKERY__BUDDY_STATE__BUDDY_ACCEPTED;
	buddy.group = TEXT("friends");
	buddy.status = ROOKERY__STATUS__STATUS_BUSY;
	list.n_buddies = 2;
	list.buddies = buddies;
	list.more = 1;
	r.body_case = ROOKERY__RESPONSE__BODY_BUDDIES;
	r.buddies = &list;
	save_message("pb_response", "buddies", &r.base);
}

static void
notifications(void)
{
	Rookery__Notification n = ROOKERY__NOTIFICATION__INIT;
	Rookery__Presence presence = ROOKERY__PRESENCE__INIT;
	Rookery__BuddyEvent event = ROOKERY__BUDDY_EVENT__INIT;
	Rookery__Synced synced = ROOKERY__SYNCED__INIT;

	presence.user_id = 5;
	presence.name = TEXT("bob");
	presence.status = ROOKERY__STATUS__STATUS_ONLINE;
	presence.version = 9;
	n.body_case = ROOKERY__NOTIFICATION__BODY_PRESENCE;
	n.presence = &presence;
	save_message("pb_notification", "presence", &n.base);
	event.user_id = 5;
	event.name = TEXT("bob");
	event.state = ROOKERY__BUDDY_STATE__BUDDY_PENDING;
	event.text = TEXT("hi");
	n.body_case = ROOKERY__NOTIFICATION__BODY_BUDDY;
	n.buddy = &event;
	save_message("pb_notification", "buddy", &n.base);
	synced.delivered = 3;
	n.body_case = ROOKERY__NOTIFICATION__BODY_SYNCED;
	n.synced = &synced;
	save_message("pb_notification", "synced", &n.base);
}

/* ---- handshake -------------------------------------------------------------------------------- */

static size_t
hello_make(uint8_t *out, size_t cap)
{
	Rookery__LoginHello hello = ROOKERY__LOGIN_HELLO__INIT;
	static uint8_t padding[220];

	hello.timestamp = 1700000000000;
	hello.user = TEXT("alice");
	hello.device_name = TEXT("laptop");
	hello.status = ROOKERY__STATUS__STATUS_ONLINE;
	hello.padding.data = padding;
	hello.padding.len = sizeof(padding);
	return pack(&hello.base, out, cap);
}

static size_t
reply_make(uint8_t *out, size_t cap)
{
	Rookery__LoginReply reply = ROOKERY__LOGIN_REPLY__INIT;

	reply.result = ROOKERY__LOGIN_RESULT__LOGIN_OK;
	reply.session_id = session_id_make(1, 2, 3);
	reply.user_id = 5;
	reply.device_id = 6;
	reply.server_time = 1700000000000;
	reply.heartbeat_ms = 20000;
	reply.timeout_ms = 60000;
	reply.user = TEXT("alice");
	return pack(&reply.base, out, cap);
}

/* The bytes with a few put before them: the control part of a structured target's input. */
static void
save_after(const char *target, const char *name, const char *before, size_t before_len, const uint8_t *bytes,
	   size_t len)
{
	uint8_t input[2048];

	memcpy(input, before, before_len);
	memcpy(input + before_len, bytes, len);
	save(target, name, input, before_len + len);
}

static void
handshake(void)
{
	uint8_t hello[512], reply[512], login[WIRE_DATAGRAM_MAX], answer[WIRE_DATAGRAM_MAX], payload[1000];
	size_t hello_len = hello_make(hello, sizeof(hello)), reply_len = reply_make(reply, sizeof(reply));
	struct handshake_client client = {0};
	struct handshake_server server;
	struct session_secret secret;
	struct fuzz_keys k;
	int n;

	fuzz_keys_init(&k);
	save("pb_login_hello", "hello", hello, hello_len);
	save("pb_login_reply", "reply", reply, reply_len);
	save_after("login_sealed", "whole", "\0\0\0", 3, hello, hello_len);
	save_after("login_sealed", "ephemeral-damaged", "\0\x0c\1", 3, hello, hello_len);
	save_after("login_sealed", "mac2-damaged", "\1\x8f\1", 3, hello, hello_len);
	save_after("login_sealed", "no-payload", "\0\0\0", 3, hello, 0);
	save_after("login_reply", "payload", "\1", 1, reply, reply_len);

	/* fuzz_login_reply.c's own LOGIN has a payload of zeros, so only its COOKIE and LOGIN_REPLY are right
	 * there. */
	memset(payload, 0, sizeof(payload));
	n = handshake_client_start_fixed(
		&client, &k.device, k.server.public, FUZZ_LOGIN_ID, k.client_ephemeral, payload,
		HANDSHAKE_LOGIN_MIN - HANDSHAKE_LOGIN_OVERHEAD, login, sizeof(login));
	handshake_write_cookie(&k.guard, k.cookie_secret, &k.peer, k.nonce, login, (size_t)n, 0, answer);
	save_after("login_reply", "cookie", "\0", 1, answer, HANDSHAKE_COOKIE_SIZE);
	handshake_server_read(&server, &k.server, login, (size_t)n, payload, sizeof(payload));
	n = handshake_server_reply_fixed(&server, k.server_ephemeral, reply, reply_len, answer,
					 sizeof(answer), &secret);
	save_after("login_reply", "reply", "\0", 1, answer, (size_t)n);

	n = handshake_client_start_fixed(&client, &k.device, k.server.public, FUZZ_LOGIN_ID,
					 k.client_ephemeral, hello, hello_len, login, sizeof(login));
	save("login", "plain", login, (size_t)n);
	save("login", "truncated", login, HANDSHAKE_LOGIN_OVERHEAD - 1);
	handshake_write_cookie(&k.guard, k.cookie_secret, &k.peer, k.nonce, login, (size_t)n, 0, answer);
	handshake_client_cookie(&client, answer, HANDSHAKE_COOKIE_SIZE);
	n = handshake_client_start_fixed(&client, &k.device, k.server.public, FUZZ_LOGIN_ID,
					 k.client_ephemeral, hello, hello_len, login, sizeof(login));
	save("login", "with-cookie", login, (size_t)n);
}

/* ---- conversations (fuzz_server.c, fuzz_worker.c): the first byte of each line is a step ------------------ */

#define STEPS(target, name, steps) save(target, name, steps, sizeof(steps) - 1)

static void
server_admin(const char *name, const char *line)
{
	char step[512];
	int n = snprintf(step + 2, sizeof(step) - 2, "%s", line);

	step[0] = 15;
	step[1] = (char)n;
	save("server", name, step, (size_t)n + 2);
}

static void
server(void)
{
	STEPS("server", "requests", "\0\0\2\1\2\2bo"
				    "\0\2\3\0\0\2hi"
				    "\0\0\4\2\1\0"
				    "\0\0\7\1\0\0"
				    "\0\0\10\1\0\3pal"
				    "\0\1\11\0\3\5lunch"
				    "\0\0\6\1\1\0"
				    "\0\0\6\1\0\0"
				    "\0\0\5\1\0\0"
				    "\0\0\14\1\0\0"
				    "\0\1\13\0\112\0"
				    "\0\2\12\0\0\0");
	STEPS("server", "refused", "\0\0\3\0\0\0"
				   "\0\0\3\3\0\0"
				   "\0\0\4\1\0\0"
				   "\0\0\12\0\1\6wrong!"
				   "\0\0\12\0\3\1x"
				   "\0\0\14\6\0\0"
				   "\0\0\3\6\0\1\377");
	STEPS("server", "enrol", "\2\3\0\0\0\0"
				 "\0\3\7\0\0\0"
				 "\0\3\1\0\1\5wrong"
				 "\0\3\1\0\0\0"
				 "\2\3\0\0\2\4desk");
	STEPS("server", "register", "\2\3\0\4\0\0"
				    "\0\3\0\0\0\0"
				    "\0\3\0\6\0\0"
				    "\0\3\0\3\1\3abc"
				    "\0\3\0\3\0\2pc");
	STEPS("server", "fragments", "\1\0\3\0\2\2\x22\5"
				     "\1\0\3\1\2\5\xa\3"
				     "bob"
				     "\1\0\3\1\2\5\xa\3"
				     "bob"
				     "\1\0\5\0\1\3\xff\xff\xff"
				     "\0\1\10\0\7\20" "abcdefghijklmnop");
	STEPS("server", "stored", "\6\1\1"
				  "\4\0\1\1\0\0\0\0\4"
				  "\4\0\1\2\1\1\0\0\4"
				  "\4\0\1\2\1\1\0\0\4"
				  "\10\0\1"
				  "\2\1\0\1\2\0"
				  "\5\0\0\5\1\0\5\2\0\5\3\1\5\4\0"
				  "\11\62\0\1\13\0\6\0\11\311");
	STEPS("server", "deaths", "\4\0\1\1\0\0\0\0\4"
				  "\15"
				  "\6\0\4\6\1\4"
				  "\16"
				  "\7\0\1\1\7\1\2\0"
				  "\6\0\3\6\2\2"
				  "\14"
				  "\4\0\1\3\0\0\0\0\4"
				  "\0\0\11\0\2\1x"
				  "\2\2\0\2\2\0"
				  "\14\11\12");
	STEPS("server", "full", "\13\0\0\7\0\0\0\0\0\7\0\0\0\0\0\7\0\0\0\13\12\0\2\1\0\0\0\12");
	STEPS("server", "logins", "\2\0\1\0\0\0"
				  "\2\0\4\0\2\0"
				  "\2\0\0\1\2\0"
				  "\2\0\10\77\1\0"
				  "\2\0\2\0\0\4\x08\xff\x7f\x12"
				  "\2\0\60\0\5\4away");
	STEPS("server", "hostile", "\20\0\0\0\12\1\0\3\0\0\0\0\0\1\1"
				   "\21\0\0\44\0\0\0\377"
				   "\22\0\0\377\0\0\1"
				   "\22\200\1\0\1\0\0");
	server_admin("status", "{\"id\":1,\"command\":\"status\"}");
	server_admin("users", "{\"id\":1,\"command\":\"users.list\",\"args\":{\"limit\":2,\"offset\":1}}");
	server_admin("add", "{\"id\":1,\"command\":\"users.add\",\"args\":{\"name\":\"erin\",\"password\":\"secret7\"}}");
	server_admin("passwd", "{\"id\":1,\"command\":\"users.passwd\",\"args\":{\"name\":\"bob\",\"password\":\"secret7\"}}");
	server_admin("del", "{\"id\":1,\"command\":\"users.del\",\"args\":{\"name\":\"bob\"}}");
	server_admin("sessions", "{\"id\":1,\"command\":\"sessions.list\",\"args\":{\"user\":\"alice\"}}");
	server_admin("kick", "{\"id\":1,\"command\":\"sessions.kick\",\"args\":{\"user\":\"alice\"}}");
	server_admin("kick-sid", "{\"id\":1,\"command\":\"sessions.kick\",\"args\":{\"sid\":\"0100000000000001\"}}");
	server_admin("stats", "{\"id\":1,\"command\":\"stats\",\"args\":{\"drops\":true,\"worker\":1}}");
}

static void
worker(void)
{
	STEPS("worker", "messages", "\3\0\2\1\0\0\0\10"
				    "\4\1\1\1"
				    "\3\0\2\2\1\1\1\10"
				    "\12\62"
				    "\4\1\1\3"
				    "\5\0\2"
				    "\3\1\1\1\0\0\0\377");
	STEPS("worker", "verdicts", "\3\2\1\1\0\0\0\10\10\11"
				    "\3\2\2\2\0\0\0\10\10\2"
				    "\3\2\4\3\0\0\0\10\10\4"
				    "\3\0\2\4\0\0\0\10\12\320\10\0");
	STEPS("worker", "stored", "\3\1\1\1\0\0\0\10\10\2\5\1\1"
				  "\3\1\1\2\0\0\0\10\12\330\12\330\10\3");
	STEPS("worker", "requests", "\6\0\1\0\1\3abc\6\3\2\0\2\1x\11");
	STEPS("worker", "frames", "\2\0\0\11\1\0\0\0\0\0\0\0\1"
				  "\2\0\2\11\1\0\0\0\0\0\0\0\2"
				  "\2\1\1\2\6\1"
				  "\2\0\20\1\0\2\0\4\1\0\2\0\10\1\0\7\0\7\201");
	STEPS("worker", "datagrams", "\0\0\0\3abc"
				     "\1\0\1\0\0\40" "0123456789abcdef0123456789abcdef"
				     "\1\0\1\1\140\0\1\0\1\2\377\12" "0123456789"
				     "\1\0\1\377\0\0\1\1\1\4\0\0");
	STEPS("worker", "inject", "\13\4\0\0\0\13\4\40\4\0\4\1\0\1"
				  "\13\0\0\20\10\0\0\0\0\0\0\0\5"
				  "\13\1\0\1\0\13\2\0\1\0\13\7\0\0\0\13\10\0\0\0\13\3\0\0\0"
				  "\13\11\0\0\10\377\377\377\377\377\377\377\377\12\310"
				  "\13\200\0\0\0\13\202\0\0\0");
	STEPS("worker", "resume", "\374\0\0\0\0"
				  "\2\0\0\11\1\0\0\0\0\0\0\0\1"
				  "\11"
				  "\374\1\1\4\0"
				  "\3\1\1\1\0\0\0\10"
				  "\374\0\2\0\11"
				  "\374\0\2\20\0\7\3"
				  "\374\1\3\0\0\12\310\2\3\0\11\1\0\0\0\0\0\0\0\1");
	STEPS("worker", "resume-refused", "\374\0\0\1\0\374\0\7\1\0\374\0\30\1\0\374\0\0\2\0"
					  "\374\1\1\10\0\374\0\1\40\0\374\0\0\0\377");
	STEPS("worker", "hostile", "\14\0\6\44\0\377\377\0\0\15\3\0\0\0\100\15\203\0\0\1\0\16\0\44\0\0\0\377");
}

static void
client_lines(void)
{
	static const char *const lines[] = {
		"msg bob hello", "add bob hi", "accept bob", "deny bob", "remove bob", "block bob", "unblock bob", "buddies",
		"note bob pals my friend", "search bo", "status away lunch", "status gone", "password", "quit", "msg", "dance", "",
	};
	uint8_t all[1024];
	size_t used = 0;

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		int n = snprintf((char *)all + used + 2, sizeof(all) - used - 2, "%s%s", lines[i], i & 1 ? "\r\n" : "\n");

		all[used] = 255;
		all[used + 1] = (uint8_t)n;
		used += (size_t)n + 2;
	}
	save("client", "lines", all, used);
}

static void
rookctl(void)
{
#define OK "{\"id\":1,\"ok\":true,\"result\":"
	STEPS("rookctl", "status", "status\n" OK "{\"version\":\"1\",\"uptime_ms\":5,\"ready\":true,\"ports\":[\"udp\"],\"workers\":1,"
				   "\"rings\":[{\"event\":{\"used\":1,\"capacity\":2}}]}}\n");
	STEPS("rookctl", "json", "status --json\n" OK "{\"a\":[1,2.5,null]}}\n");
	STEPS("rookctl", "users", "users list --limit 2\n" OK
				  "{\"users\":[{\"id\":1,\"name\":\"a\",\"created\":\"2024-05-01T10:00:00.123Z\"}],\"more\":false}}\n");
	STEPS("rookctl", "sessions", "sessions list --user a\n" OK "{\"sessions\":[{\"sid\":\"01\",\"user\":\"a\"}],\"more\":true}}\n");
	STEPS("rookctl", "kick", "sessions kick user:a\n" OK "{\"ended\":1}}\n");
	STEPS("rookctl", "stats", "stats --drops\n" OK "{\"connected\":true,\"counters\":[{\"scope\":\"worker\",\"worker\":0,"
				  "\"name\":\"x\",\"text\":\"y\",\"value\":7,\"drop\":true}]}}\n");
	STEPS("rookctl", "refused", "status\n{\"id\":1,\"ok\":false,\"error\":{\"code\":\"x\",\"text\":\"y\"}}\n");
	STEPS("rookctl", "other", "users list\n{\"id\":2,\"ok\":true}\n");
	STEPS("rookctl", "usage", "users list --limit x\n");
	STEPS("rookctl", "half", "stats\n{\"id\":1");
}

int
main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: seeds DIR\n");
		return 2;
	}
	root = argv[1];
	datagrams();
	frames_each_and_together();
	requests();
	responses();
	notifications();
	handshake();
	server();
	worker();
	client_lines();
	rookctl();
	return 0;
}
