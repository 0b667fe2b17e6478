/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The test vectors of docs/protocol.md, made from fixed keys by the code that the programs use.
 *
 *   protocol_vectors          prints them
 *   protocol_vectors FILE     fails unless FILE has exactly them between its two marks
 */
#include "frame_samples.h"
#include "shared/aead.h"
#include "shared/handshake_internal.h"
#include "shared/noise.h"
#include "shared/rookery.pb-c.h"
#include "shared/ticket.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BEGIN_MARK "<!-- vectors -->\n"
#define END_MARK "<!-- end of vectors -->\n"
#define LOGIN_ID 0x1122334455667788
#define HELLO_SIZE (HANDSHAKE_LOGIN_MIN - HANDSHAKE_LOGIN_OVERHEAD)
#define TEXT(s) ((char *)(s))

static FILE *out;

#define CHECK(condition)                                                                                     \
	do {                                                                                                 \
		if (!(condition)) {                                                                          \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);       \
			exit(1);                                                                             \
		}                                                                                            \
	} while (0)

static void
heading(const char *text)
{
	fprintf(out, "\n**%s**\n", text);
}

/* A name and its bytes, 48 to a line. */
static void
show(const char *name, const uint8_t *bytes, size_t len)
{
	fprintf(out, "\n%s (%zu bytes)\n\n", name, len);
	for (size_t i = 0; i < len; i++)
		fprintf(out, "%s%02x", i % 48 == 0 ? (i == 0 ? "    " : "\n    ") : "", bytes[i]);
	fputc('\n', out);
}

struct keys {
	struct handshake_keypair device, server;
	uint8_t client_ephemeral[32], server_ephemeral[32], cookie_secret[HANDSHAKE_SECRET], nonce[24];
	struct handshake_guard guard;
	struct endpoint peer;
};

static void
keys_make(struct keys *k)
{
	uint8_t secret[32];

	memset(secret, 0x11, sizeof(secret));
	handshake_keypair_from_secret(&k->device, secret);
	memset(secret, 0x22, sizeof(secret));
	handshake_keypair_from_secret(&k->server, secret);
	memset(k->client_ephemeral, 0x33, sizeof(k->client_ephemeral));
	memset(k->server_ephemeral, 0x44, sizeof(k->server_ephemeral));
	memset(k->cookie_secret, 0x55, sizeof(k->cookie_secret));
	memset(k->nonce, 0x66, sizeof(k->nonce));
	handshake_guard_init(&k->guard, k->server.public);
	CHECK(endpoint_parse(&k->peer, "192.0.2.7:40001", 0) == 0);

	heading("Keys");
	fprintf(out, "\nEvery byte of the device's secret key is 0x11, of the server's 0x22, of the client's "
		     "ephemeral key"
		     "\n0x33, of the server's 0x44, of the cookie secret 0x55, of the cookie's nonce 0x66. "
		     "The client is at"
		     "\n192.0.2.7:40001, its handshake id is 0x1122334455667788.\n");
	show("device public key", k->device.public, 32);
	show("server public key", k->server.public, 32);
	show("mac1 key", k->guard.mac1_key, 32);
	show("cookie key", k->guard.cookie_key, 32);
}

static void
hello_make(uint8_t hello[HELLO_SIZE])
{
	Rookery__LoginHello m = ROOKERY__LOGIN_HELLO__INIT;
	static uint8_t zeros[HELLO_SIZE];

	m.timestamp = 1700000000000;
	m.user = TEXT("alice");
	m.device_name = TEXT("laptop");
	m.status = ROOKERY__STATUS__STATUS_ONLINE;
	m.padding.data = zeros;
	m.padding.len = 200;
	/* tag and two bytes of length stay as they are from 128 to 16383 */
	m.padding.len += HELLO_SIZE - rookery__login_hello__get_packed_size(&m);
	CHECK(rookery__login_hello__pack(&m, hello) == HELLO_SIZE);
}

static size_t
reply_payload_make(uint8_t *payload, size_t cap)
{
	Rookery__LoginReply m = ROOKERY__LOGIN_REPLY__INIT;

	m.result = ROOKERY__LOGIN_RESULT__LOGIN_OK;
	m.session_id = session_id_make(0, 1, 5);
	m.user_id = 7;
	m.device_id = 12;
	m.server_time = 1700000000123;
	m.heartbeat_ms = 20000;
	m.timeout_ms = 60000;
	m.user = TEXT("alice");
	CHECK(rookery__login_reply__get_packed_size(&m) <= cap);
	return rookery__login_reply__pack(&m, payload);
}

static void
handshake(const struct keys *k, struct session_secret *secret)
{
	uint8_t hello[HELLO_SIZE], login[WIRE_DATAGRAM_MAX], reply[WIRE_DATAGRAM_MAX],
		cookie[HANDSHAKE_COOKIE_SIZE];
	uint8_t payload[HANDSHAKE_PAYLOAD_MAX], reply_payload[256];
	size_t reply_len = reply_payload_make(reply_payload, sizeof(reply_payload));
	struct handshake_client client = {0};
	struct handshake_server server;
	struct session_secret theirs;
	int n;

	hello_make(hello);
	heading("Login");
	show("payload of LOGIN: LoginHello", hello, sizeof(hello));
	n = handshake_client_start_fixed(&client, &k->device, k->server.public, LOGIN_ID, k->client_ephemeral,
					 hello, sizeof(hello), login, sizeof(login));
	CHECK(n == HANDSHAKE_LOGIN_MIN && handshake_check_mac1(&k->guard, login, (size_t)n));
	show("LOGIN", login, (size_t)n);

	handshake_write_cookie(&k->guard, k->cookie_secret, &k->peer, k->nonce, login, (size_t)n, 0, cookie);
	show("COOKIE that answers it", cookie, sizeof(cookie));
	CHECK(handshake_client_cookie(&client, cookie, sizeof(cookie)) == 0);
	show("the cookie inside", client.cookie, HANDSHAKE_MAC);
	n = handshake_client_start_fixed(&client, &k->device, k->server.public, LOGIN_ID, k->client_ephemeral,
					 hello, sizeof(hello), login, sizeof(login));
	CHECK(handshake_check_mac2(k->cookie_secret, &k->peer, login, (size_t)n));
	show("mac2 of the LOGIN made with the cookie, whose id is c8d03f46e1e02205 (with the first one's ephemeral key, for this "
	     "vector only)",
	     login + n - HANDSHAKE_MAC, HANDSHAKE_MAC);

	CHECK(handshake_server_read(&server, &k->server, login, (size_t)n, payload, sizeof(payload)) ==
	      HELLO_SIZE);
	n = handshake_server_reply_fixed(&server, k->server_ephemeral, reply_payload, reply_len, reply,
					 sizeof(reply), &theirs);
	CHECK(n > 0);
	show("payload of LOGIN_REPLY: LoginReply", reply_payload, reply_len);
	show("LOGIN_REPLY", reply, (size_t)n);
	CHECK(handshake_client_finish(&client, reply, (size_t)n, payload, sizeof(payload), secret) ==
	      (int)reply_len);
	CHECK(memcmp(secret, &theirs, sizeof(theirs)) == 0);
	show("secret, client to server", secret->client_to_server, 32);
	show("secret, server to client", secret->server_to_client, 32);
}

static void
packet(const char *name, session_id_t sid, const struct session_keys *keys, enum wire_direction direction, uint64_t counter,
       const struct frame *frames, size_t count)
{
	const struct wire_data header = {.sid = sid, .counter = counter};
	uint8_t bytes[WIRE_DATAGRAM_MAX], *text = bytes + WIRE_DATA_HEADER, nonce[AEAD_NONCE];
	struct aead_key key = {0};
	char title[80];
	size_t len = 0;

	for (size_t i = 0; i < count; i++) {
		int n = frame_write(&frames[i], text + len, WIRE_PLAINTEXT_MAX - len);

		CHECK(n > 0);
		len += (size_t)n;
	}
	snprintf(title, sizeof(title), "%s: plaintext", name);
	show(title, text, len);
	wire_data_write(&header, bytes);
	wire_nonce(nonce, direction, counter);
	CHECK(aead_key_set(&key, keys->key) == 0);
	aead_seal(&key, nonce, bytes, WIRE_DATA_HEADER, text, len, text, text + len);
	aead_key_clear(&key);
	snprintf(title, sizeof(title), "%s: datagram", name);
	show(title, bytes, WIRE_DATA_HEADER + len + WIRE_TAG);
}

static void
data(const struct session_secret *secret)
{
	const struct frame up[] = {
		{.type = FRAME_PING, .token = 1},
		{.type = FRAME_MESSAGE,
		 .message = {.to = 7, .id = 1, .floor_delta = 1, .length = 5, .body = BYTES("hello")}},
	};
	const struct frame down[] = {
		{.type = FRAME_RECEIPT,
		 .receipt = {.level = RECEIPT_ACCEPTED, .count = 1, .ids = BYTES("\0\0\0\0\0\0\0\x01")}},
	};
	struct session_keys zero, one;

	heading("Session keys and DATA");
	session_keys_derive(&zero, secret, 0);
	session_keys_derive(&one, secret, 1);
	show("AES key, epoch 0", zero.key, AEAD_KEY);
	show("AES key, epoch 1", one.key, AEAD_KEY);
	packet("client, epoch 0, sequence 1, PING and MESSAGE", session_id_make(0, 1, 5), &zero, WIRE_TO_SERVER, wire_counter(0, 1), up, 2);
	packet("server, epoch 1, sequence 2, RECEIPT", session_id_make(0, 1, 5), &one, WIRE_TO_CLIENT, wire_counter(1, 2), down, 1);
}

static void
ticket_make(uint8_t ticket[TICKET_SIZE], struct ticket *t)
{
	struct ticket_key key = {.id = 3};
	struct ticket_cipher cipher = {0};
	uint8_t nonce[TICKET_NONCE];
	struct ticket opened;

	memset(key.key, 0x77, sizeof(key.key));
	memset(nonce, 0x88, sizeof(nonce));
	memset(t->secret, 0x99, sizeof(t->secret));
	CHECK(ticket_cipher_set(&cipher, &key) == 0);
	ticket_seal(t, &cipher, nonce, ticket);
	CHECK(ticket_marked(&cipher, ticket) && ticket_open(&opened, &cipher, ticket) == 0);
	CHECK(opened.user == t->user && opened.expires_ms == t->expires_ms && memcmp(opened.secret, t->secret, RESUME_SECRET) == 0);
	show("key of the mark", cipher.mark, sizeof(cipher.mark));
	show("ticket", ticket, TICKET_SIZE);
	ticket_cipher_clear(&cipher);
}

/* What the server does with a RESUME, and the client with the answer. */
static void
resumption(void)
{
	struct ticket t = {.user = 7, .device = 12, .login_timestamp = 1700000000000, .expires_ms = 1700604800123, .status = 2};
	const struct frame ping = {.type = FRAME_PING, .token = 1};
	const session_id_t sid = session_id_make(0, SESSION_GENERATION_RESUMED | 9, 5);
	uint8_t ticket[TICKET_SIZE], nonce[RESUME_NONCE], server_nonce[RESUME_NONCE], proof[RESUME_PROOF];
	uint8_t resume[RESUME_SIZE], accepted[RESUME_ACCEPTED_SIZE], refused[RESUME_REFUSED_SIZE];
	struct session_secret secret = {.resumed = 0};
	struct session_keys zero, one;

	heading("Resumption");
	fprintf(out, "\nEvery byte of the ticket key, whose id is 3, is 0x77, of the ticket's nonce 0x88, of its secret 0x99, of the"
		     "\nclient's nonce 0xaa, of the server's 0xbb. The ticket is of user 7, device 12, whose last LOGIN was of"
		     "\n1700000000000; it expires at 1700604800123, its status is 2. The id of the RESUME is 0x1122334455667788.\n");
	ticket_make(ticket, &t);
	memset(nonce, 0xaa, sizeof(nonce));
	memset(server_nonce, 0xbb, sizeof(server_nonce));
	resume_write(resume, LOGIN_ID, nonce, ticket);
	show("RESUME", resume, sizeof(resume));
	resume_secret(&secret, t.secret, nonce, server_nonce, sid);
	resume_derive(&zero, proof, &secret, 0);
	session_keys_derive(&one, &secret, 1);
	resume_accept(accepted, resume, server_nonce, sid, proof);
	show("answer with a session", accepted, sizeof(accepted));
	show("proof in it", proof, sizeof(proof));
	show("AES key of the session, epoch 0", zero.key, AEAD_KEY);
	show("AES key of the session, epoch 1", one.key, AEAD_KEY);
	packet("client, epoch 0, sequence 1, PING in that session", sid, &zero, WIRE_TO_SERVER, wire_counter(0, 1), &ping, 1);
	resume_refuse(refused, resume, RESUME_VOID);
	show("answer: log in", refused, sizeof(refused));
	resume_refuse(refused, resume, 15);
	show("answer: come again in 1.5 s", refused, sizeof(refused));
}

static void
frames(void)
{
	heading("Frames");
	fprintf(out, "\n```\n");
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)
		fprintf(out, "%-18s %s\n", samples[i].name, samples[i].bytes);
	fprintf(out, "```\n");
}

/* Shows where the file differs first. */
static int
compare(const char *path, const char *expected)
{
	FILE *file = fopen(path, "rb");
	char *text = calloc(1, 1 << 20), *begin, *end;
	size_t same = 0;
	int rc = 1;

	if (file == NULL || text == NULL || fread(text, 1, (1 << 20) - 1, file) == 0) {
		fprintf(stderr, "%s: cannot be read\n", path);
		goto out;
	}
	begin = strstr(text, BEGIN_MARK);
	end = begin != NULL ? strstr(begin, END_MARK) : NULL;
	if (end == NULL) {
		fprintf(stderr, "%s: has no " BEGIN_MARK, path);
		goto out;
	}
	begin += strlen(BEGIN_MARK);
	*end = '\0';
	while (expected[same] != '\0' && expected[same] == begin[same])
		same++;
	rc = expected[same] != begin[same];
	if (rc != 0)
		fprintf(stderr, "%s: the vectors differ at '%.60s', expected '%.60s'\n", path, begin + same,
			expected + same);
out:
	free(text);
	if (file != NULL)
		fclose(file);
	return rc;
}

int
main(int argc, char **argv)
{
	struct session_secret secret;
	char *text = NULL;
	struct keys k;
	size_t len;
	int rc = 0;

	out = open_memstream(&text, &len);
	CHECK(out != NULL && handshake_init() == 0 && aead_init() == 0);
	keys_make(&k);
	handshake(&k, &secret);
	data(&secret);
	resumption();
	frames();
	fputc('\n', out);
	fclose(out);
	if (argc > 1)
		rc = compare(argv[1], text);
	else
		fputs(text, stdout);
	free(text);
	return rc;
}
