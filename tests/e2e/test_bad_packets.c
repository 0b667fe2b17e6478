/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Datagrams that no honest client sends, to a server that others chat on. Each kind is counted exactly under its own name,
 * nothing else changes, and no reply is larger than what it answers.
 */
#include "client.h"
#include "raw.h"
#include "scenario.h"
#include "server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sodium.h>
#include <sys/socket.h>

#include <cmocka.h>

#define TIMES 5

static uint64_t
sum_of_drops(struct world *w)
{
	json_t *stats = rookctl(w, "stats"), *row;
	uint64_t sum = 0;
	size_t i;

	json_array_foreach(json_object_get(stats, "counters"), i, row)
		if (json_is_true(json_object_get(row, "drop")))
			sum += (uint64_t)json_integer_value(json_object_get(row, "value"));
	json_decref(stats);
	return sum;
}

/* Sends the datagram TIMES times: `name` rises by exactly that; if it is a drop reason, no other drop does. */
static void
expect_counted(struct raw *r, const void *data, size_t len, const char *name)
{
	struct world *w = r->world;
	uint64_t before = counter(w, name), drops = sum_of_drops(w);

	for (int i = 0; i < TIMES; i++)
		raw_send(r, data, len);
	counter_wait(w, name, before + TIMES);
	if (strncmp(name, "drop_", 5) == 0)
		world_check(w, sum_of_drops(w) == drops + TIMES);
	else
		world_check(w, sum_of_drops(w) == drops);
}

/* ---- datagrams without a session ---------------------------------------------------- */

static void
sizes_and_types(void **state)
{
	struct world *w = *state;
	uint8_t buf[RAW_CAP];
	struct raw *r;

	server_start(w);
	r = raw_new(w);
	memset(buf, 0, sizeof(buf));
	buf[0] = WIRE_DATA;
	buf[1] = WIRE_VERSION;
	expect_counted(r, buf, 0, "drop_runt");
	expect_counted(r, buf, 1, "drop_runt");
	expect_counted(r, buf, WIRE_RUNT - 1, "drop_runt");
	expect_counted(r, buf, WIRE_RUNT, "drop_malformed");
	expect_counted(r, buf, WIRE_DATA_MIN - 1, "drop_malformed");
	expect_counted(r, buf, WIRE_DATAGRAM_MAX + 1, "drop_oversize");
	expect_counted(r, buf, 1472, "drop_oversize");
	buf[0] = 0x00; /* STUN's range */
	expect_counted(r, buf, 100, "drop_type");
	buf[0] = 0x80; /* RTP's */
	expect_counted(r, buf, 100, "drop_type");
	buf[0] = WIRE_LOGIN_REPLY; /* only a server sends it */
	expect_counted(r, buf, 100, "drop_type");
	buf[0] = WIRE_DATA;
	buf[3] = 1; /* flags that version 1 does not have */
	expect_counted(r, buf, 100, "drop_malformed");
	world_check(w, !raw_has(r, WIRE_DATA) && !raw_has(r, WIRE_RESET));
	raw_free(r);
	server_finish(w);
}

static void
unknown_version(void **state)
{
	struct world *w = *state;
	struct wire_prefix p = {.type = WIRE_LOGIN, .version = 77, .id = 0x0102030405060708};
	uint8_t buf[RAW_CAP] = {0}, reply[RAW_CAP];
	uint64_t before, sent;
	struct raw *r;

	server_start(w);
	r = raw_new(w);
	wire_prefix_write(&p, buf);
	expect_counted(r, buf, 400, "version_replies");
	for (int i = 0; i < TIMES; i++) {
		world_check(w, raw_receive(r, WIRE_VERSION_REPLY, reply) == WIRE_VERSION_REPLY_SIZE);
		wire_prefix_read(&p, reply);
		world_check(w, p.version == WIRE_VERSION && p.flags >> 8 == WIRE_VERSION && p.id == 0x0102030405060708);
	}
	/* The shortest: the reply is no larger than the question. */
	before = counter(w, "answered");
	sent = counter(w, "tx_bytes");
	raw_send(r, buf, WIRE_PREFIX);
	world_check(w, raw_receive(r, WIRE_VERSION_REPLY, reply) == WIRE_PREFIX);
	counter_wait(w, "answered", before + 1);
	counter_wait(w, "tx_bytes", sent + WIRE_PREFIX);
	raw_free(r);
	server_finish(w);
}

static void
key_queries(void **state)
{
	struct world *w = *state;
	struct wire_prefix p = {.type = WIRE_KEY, .version = WIRE_VERSION, .id = 1};
	uint8_t buf[RAW_CAP] = {0};
	struct raw *r;

	server_start(w);
	r = raw_new(w);
	raw_fetch_key(r);
	wire_prefix_write(&p, buf);
	/* Shorter than its answer would be: dropped, or it would be an amplifier. */
	expect_counted(r, buf, WIRE_KEY_QUERY_SIZE - 1, "drop_malformed");
	expect_counted(r, buf, WIRE_KEY_QUERY_SIZE, "key_replies");
	raw_free(r);
	server_finish(w);
}

static void
unknown_session(void **state)
{
	struct world *w = *state;
	uint8_t buf[RAW_CAP], reply[RAW_CAP];
	struct wire_prefix p;
	struct raw *r;

	server_start(w);
	r = raw_new(w);
	randombytes_buf(buf, sizeof(buf));
	wire_data_write(&(struct wire_data){.sid = session_id_make(0, 12345, 17), .counter = 1}, buf);
	expect_counted(r, buf, 100, "drop_session_unknown");
	world_check(w, raw_receive(r, WIRE_RESET, reply) == WIRE_RESET_SIZE);
	wire_prefix_read(&p, reply);
	world_check(w, p.id == session_id_make(0, 12345, 17));
	/* Of a worker that does not exist, with an index beyond every table. */
	wire_data_write(&(struct wire_data){.sid = session_id_make(99, 1, 1), .counter = 1}, buf);
	expect_counted(r, buf, 100, "drop_session_unknown");
	wire_data_write(&(struct wire_data){.sid = session_id_make(0, 1, UINT32_MAX), .counter = 1}, buf);
	expect_counted(r, buf, 100, "drop_session_unknown");
	raw_free(r);
	server_finish(w);
}

/* ---- LOGIN -------------------------------------------------------------------------- */

static void
bad_logins(void **state)
{
	struct world *w = *state;
	struct handshake_client h = {0};
	uint8_t login[RAW_CAP], reply[RAW_CAP], wrong_key[HANDSHAKE_KEY];
	struct raw *r;
	size_t len, n;

	server_start(w);
	r = raw_new(w);
	raw_fetch_key(r);
	len = raw_login_datagram(r, &h, 1, login);
	login[len - 2 * HANDSHAKE_MAC] ^= 1;
	expect_counted(r, login, len, "drop_login_mac");
	expect_counted(r, login, HANDSHAKE_LOGIN_MIN - 1, "drop_login_mac");
	expect_counted(r, login, WIRE_RUNT, "drop_login_mac");
	/* Made for another server's key. */
	memcpy(wrong_key, r->server_public, sizeof(wrong_key));
	randombytes_buf(r->server_public, sizeof(r->server_public));
	len = raw_login_datagram(r, &h, 2, login);
	expect_counted(r, login, len, "drop_login_mac");
	memcpy(r->server_public, wrong_key, sizeof(wrong_key));

	/* A right mac1 over a forged handshake goes to control, which stays silent. */
	len = raw_login_datagram(r, &h, 3, login);
	login[60] ^= 1;
	expect_counted(r, login, len, "drop_login_mac"); /* mac1 covers all before it */
	world_check(w, !raw_has(r, WIRE_LOGIN_REPLY));

	/* The same LOGIN again gets the same reply, and no second session. */
	len = raw_login_datagram(r, &h, ++r->timestamp, login);
	raw_send(r, login, len);
	n = raw_receive(r, WIRE_LOGIN_REPLY, reply);
	raw_send(r, login, len);
	world_check(w, raw_receive(r, WIRE_LOGIN_REPLY, login) == n && memcmp(login, reply, n) == 0);
	counter_wait(w, "sessions_added", 1);
	raw_free(r);
	server_finish(w);
}

/* A LOGIN that somebody recorded opens nothing later: its timestamp is used up. */
static void
replayed_login(void **state)
{
	struct world *w = *state;
	struct handshake_client h = {0};
	uint8_t login[RAW_CAP], reply[RAW_CAP], payload[RAW_CAP];
	struct session_secret secret;
	struct raw *r;
	uint64_t used;
	size_t len, n;

	server_start(w);
	r = raw_new(w);
	raw_login(r);
	raw_register(r, "alice", "secret of alice");
	raw_login(r);
	world_check(w, r->result == 1 /* LOGIN_OK */);
	raw_ping(r);
	used = r->timestamp;
	for (uint64_t t = used - 1; t <= used; t++) {
		len = raw_login_datagram(r, &h, t, login);
		raw_send(r, login, len);
		n = raw_receive(r, WIRE_LOGIN_REPLY, reply);
		world_check(w, handshake_client_finish(&h, reply, n, payload, sizeof(payload), &secret) >= 2);
		world_check(w, payload[0] == 0x08 && payload[1] == 3 /* result: LOGIN_REPLAYED */);
	}
	raw_ping(r); /* the session is as it was */
	raw_free(r);
	server_finish(w);
}

/* ---- DATA of a live session --------------------------------------------------------- */

static void
replayed_and_forged(struct raw *r)
{
	uint8_t buf[RAW_CAP], forged[RAW_CAP];
	size_t len;

	/* Replayed: the first is good, then it is only ever a replay. */
	len = raw_ping_datagram(r, 1, buf);
	raw_send(r, buf, len);
	expect_counted(r, buf, len, "drop_replay");
	raw_ping(r);

	/* Forged: any bit of header, ciphertext or tag. */
	len = raw_ping_datagram(r, 2, buf);
	memcpy(forged, buf, len);
	forged[len - 1] ^= 1;
	expect_counted(r, forged, len, "drop_tag");
	memcpy(forged, buf, len);
	forged[WIRE_DATA_HEADER] ^= 0x80;
	expect_counted(r, forged, len, "drop_tag");
	memcpy(forged, buf, len);
	forged[WIRE_DATA_HEADER - 1] ^= 0x40; /* another counter: far ahead, and still not believed */
	expect_counted(r, forged, len, "drop_tag");
	expect_counted(r, buf, len - 1, "drop_tag"); /* truncated */
	/* A forged counter moved no window: the true packet is still good. */
	raw_send(r, buf, len);
	expect_counted(r, buf, len, "drop_replay");

	len = raw_seal_counter(r, wire_counter((uint16_t)(r->epoch + 1), 1), (const uint8_t *)"", 0, buf);
	memcpy(buf + WIRE_DATA_HEADER, "0123456789abcdef0", 17);
	expect_counted(r, buf, WIRE_DATA_HEADER + 17, "drop_epoch");
	raw_ping(r);
}

static void
bad_frames(struct raw *r)
{
	static const struct {
		const char *name;
		uint8_t plain[40];
		size_t len;
	} frames[] = {
		{"unknown type", {0xff}, 1},
		{"truncated ping", {FRAME_PING, 0, 0}, 3},
		{"truncated message", {FRAME_MESSAGE, 0, 0, 5, 1, 2, 3}, 7},
		{"ack without ranges", {FRAME_ACK, 0}, 2},
		{"a server's frame", {FRAME_PATH_CHALLENGE, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0}, 9},
		{"good, then bad", {FRAME_PAD, FRAME_PAD, 0xee}, 3},
	};
	uint8_t buf[RAW_CAP];
	uint64_t before = counter(r->world, "drop_frame");

	for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++)
		raw_send(r, buf, raw_seal(r, frames[i].plain, frames[i].len, buf));
	counter_wait(r->world, "drop_frame", before + sizeof(frames) / sizeof(frames[0]));
	raw_ping(r);
}

static void
session_under_attack(void **state)
{
	struct world *w = *state;
	uint8_t plain[64], buf[RAW_CAP];
	struct client *alice, *bob;
	struct raw *r;
	int n;

	server_start(w);
	alice = client_register(w, "alice");
	bob = client_register(w, "bob");
	clients_befriend(alice, bob);
	client_send_series(alice, "bob", "meanwhile", 500);
	r = raw_new(w);
	raw_login(r);
	/* Not enrolled yet: may not send messages. */
	n = frame_write(&(struct frame){.type = FRAME_MESSAGE, .message = {.to = 1, .id = 1, .body = plain, .length = 2}},
			plain + 2, sizeof(plain) - 2);
	raw_send(r, buf, raw_seal(r, plain + 2, (size_t)n, buf));
	counter_wait(w, "drop_restricted", 1);
	raw_register(r, "mallory", "secret of mallory");
	raw_ping(r);
	client_expect_series(bob, "alice", "meanwhile", 500);
	client_expect_levels(alice, 500, "delivered");
	replayed_and_forged(r);
	bad_frames(r);
	/* Nobody else noticed. */
	client_say(alice, "msg bob all quiet");
	client_expect(bob, "message", "text", "all quiet", NULL);
	world_check(w, client_count(alice, "disconnected", NULL) == 0);
	raw_free(r);
	server_finish(w);
}

/* Noise of every length and first byte: counted somewhere, and nothing else. */
static void
noise(void **state)
{
	struct world *w = *state;
	uint8_t buf[RAW_CAP], seed[randombytes_SEEDBYTES] = {4, 2};
	struct raw *r;

	server_start(w);
	r = raw_new(w);
	for (unsigned len = 0; len <= 1472; len += 1) {
		seed[2] = (uint8_t)len;
		seed[3] = (uint8_t)(len >> 8);
		randombytes_buf_deterministic(buf, sizeof(buf), seed);
		if (len % 2) {
			buf[0] = (uint8_t)(WIRE_DATA + len % 8);
			buf[1] = WIRE_VERSION;
		}
		raw_send(r, buf, len);
		if (len % 100 == 99) /* no more than its socket can hold */
			raw_fetch_key(r);
	}
	client_register(w, "alice");
	counter_wait(w, "sessions_added", 1);
	raw_free(r);
	server_finish(w);
}

int
main(void)
{
	static const struct scenario scenarios[] = {
		{"sizes and types", sizes_and_types},
		{"unknown version", unknown_version},
		{"key queries", key_queries},
		{"unknown session", unknown_session},
		{"bad logins", bad_logins},
		{"replayed login", replayed_login},
		{"session under attack", session_under_attack},
		{"noise", noise},
	};
	static const struct scenario_list list = {scenarios, sizeof(scenarios) / sizeof(scenarios[0])};
	static const struct scenario_set sets[] = {
		{{.kind = KIND_SOCKET, .family = AF_INET}, &list},
		{{.kind = KIND_SOCKET, .family = AF_INET, .workers = 2}, &list},
	};

	return scenarios_run("bad packets", sets, sizeof(sets) / sizeof(sets[0]));
}
