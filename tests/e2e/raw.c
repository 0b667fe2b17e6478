/* SPDX-License-Identifier: BSD-3-Clause */
#include "raw.h"

#include "shared/rookery.pb-c.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sodium.h>
#include <time.h>
#include <unistd.h>

struct raw *
raw_new(struct world *w)
{
	struct raw *r = NULL;
	struct sockaddr_storage ss;
	struct timespec t;
	socklen_t len;

	if (posix_memalign((void **)&r, 64, sizeof(*r)) != 0 || handshake_init() != 0 || aead_init() != 0)
		abort();
	memset(r, 0, sizeof(*r));
	r->world = w;
	if (endpoint_parse(&r->server, world_server_address(w), 0) != 0)
		world_fail(w, "%s is no address", world_server_address(w));
	len = endpoint_to_sockaddr(&r->server, &ss);
	r->fd = socket_in(w->client_ns, ss.ss_family, SOCK_DGRAM, 0);
	if (r->fd < 0 || connect(r->fd, (struct sockaddr *)&ss, len) != 0)
		world_fail(w, "raw socket: %s", strerror(errno));
	handshake_keypair_generate(&r->device);
	clock_gettime(CLOCK_REALTIME, &t);
	r->timestamp = (uint64_t)t.tv_sec * 1000;
	return r;
}

void
raw_free(struct raw *r)
{
	aead_key_clear(&r->key);
	aead_key_clear(&r->key);
	close(r->fd);
	free(r);
}

/* ---- datagrams ---------------------------------------------------------------------- */

void
raw_send(struct raw *r, const void *data, size_t len)
{
	if (send(r->fd, data, len, 0) != (ssize_t)len)
		world_fail(r->world, "send of %zu bytes: %s", len, strerror(errno));
}

static size_t
receive_until(struct raw *r, uint8_t type, uint8_t buf[RAW_CAP], uint64_t deadline)
{
	for (;;) {
		struct pollfd p = {.fd = r->fd, .events = POLLIN};
		uint64_t now = now_ms();
		ssize_t n;

		if (now >= deadline)
			return 0;
		if (poll(&p, 1, (int)(deadline - now)) <= 0)
			continue;
		n = recv(r->fd, buf, RAW_CAP, MSG_DONTWAIT);
		if (n > 0 && buf[0] == type)
			return (size_t)n;
	}
}

size_t
raw_receive(struct raw *r, uint8_t type, uint8_t buf[RAW_CAP])
{
	size_t n = receive_until(r, type, buf, deadline_in(WAIT_EVENT));

	if (n == 0)
		world_fail(r->world, "no datagram of type 0x%02x came", type);
	return n;
}

bool
raw_has(struct raw *r, uint8_t type)
{
	uint8_t buf[RAW_CAP];
	bool found = false;
	ssize_t n;

	while ((n = recv(r->fd, buf, sizeof(buf), MSG_DONTWAIT)) >= 0)
		found |= n > 0 && buf[0] == type;
	return found;
}

/* UDP may lose: asked again every half second, as clients do. */
static size_t
exchange(struct raw *r, const uint8_t *query, size_t len, uint8_t type, uint8_t buf[RAW_CAP])
{
	uint64_t deadline = deadline_in(WAIT_EVENT);
	size_t n;

	do {
		raw_send(r, query, len);
		n = receive_until(r, type, buf, now_ms() + 500);
	} while (n == 0 && now_ms() < deadline);
	if (n == 0)
		world_fail(r->world, "no answer of type 0x%02x came", type);
	return n;
}

/* ---- login -------------------------------------------------------------------------- */

void
raw_fetch_key(struct raw *r)
{
	struct wire_prefix p = {.type = WIRE_KEY, .version = WIRE_VERSION, .id = 0x1234567890abcdef};
	uint8_t query[WIRE_KEY_QUERY_SIZE] = {0}, reply[RAW_CAP];
	size_t n;

	wire_prefix_write(&p, query);
	n = exchange(r, query, sizeof(query), WIRE_KEY, reply);
	wire_prefix_read(&p, reply);
	if (n != WIRE_KEY_REPLY_SIZE || p.flags != 1 || p.id != 0x1234567890abcdef)
		world_fail(r->world, "bad KEY reply of %zu bytes", n);
	memcpy(r->server_public, reply + WIRE_PREFIX, HANDSHAKE_KEY);
}

size_t
raw_login_datagram(struct raw *r, struct handshake_client *h, uint64_t timestamp, uint8_t out[RAW_CAP])
{
	Rookery__LoginHello hello = ROOKERY__LOGIN_HELLO__INIT;
	uint8_t payload[HANDSHAKE_PAYLOAD_MAX], zeros[300] = {0};
	uint64_t id;
	int n;

	hello.timestamp = timestamp;
	hello.device_name = (char *)"by hand";
	hello.padding.data = zeros;
	hello.padding.len = sizeof(zeros);
	randombytes_buf(&id, sizeof(id));
	n = handshake_client_start(h, &r->device, r->server_public, id, payload,
				   rookery__login_hello__pack(&hello, payload), out, RAW_CAP);
	if (n < 0)
		world_fail(r->world, "cannot write a LOGIN: %s", strerror(-n));
	return (size_t)n;
}

void
raw_login(struct raw *r)
{
	struct handshake_client h = {0};
	struct session_secret secret;
	uint8_t login[RAW_CAP], reply[RAW_CAP], payload[RAW_CAP];
	Rookery__LoginReply *answer;
	size_t len, got;
	int n;

	raw_fetch_key(r);
	len = raw_login_datagram(r, &h, ++r->timestamp, login);
	got = exchange(r, login, len, WIRE_LOGIN_REPLY, reply);
	n = handshake_client_finish(&h, reply, got, payload, sizeof(payload), &secret);
	if (n < 0)
		world_fail(r->world, "LOGIN_REPLY of %zu bytes: %s", got, strerror(-n));
	if (got > len)
		world_fail(r->world, "the LOGIN_REPLY (%zu) is larger than the LOGIN (%zu)", got, len);
	answer = rookery__login_reply__unpack(NULL, (size_t)n, payload);
	if (!answer)
		world_fail(r->world, "the LOGIN_REPLY holds no LoginReply");
	r->result = answer->result;
	r->sid = answer->session_id;
	r->epoch = (uint16_t)answer->epoch;
	rookery__login_reply__free_unpacked(answer, NULL);
	r->sequence = 0;
	session_keys_derive(&r->keys, &secret, r->epoch);
	if (aead_key_set(&r->key, r->keys.key) != 0)
		abort();
}

void
raw_register(struct raw *r, const char *user, const char *password)
{
	Rookery__Request request = ROOKERY__REQUEST__INIT;
	Rookery__Register body = ROOKERY__REGISTER__INIT;
	Rookery__Response *response;
	struct frame f = {.type = FRAME_REQUEST}, ack = {.type = FRAME_ACK};
	uint8_t packed[RAW_CAP], plain[RAW_CAP], datagram[RAW_CAP], range[6];
	int n;

	body.user = (char *)user;
	body.password = (char *)password;
	body.device_name = (char *)"by hand";
	body.status = ROOKERY__STATUS__STATUS_ONLINE;
	request.body_case = ROOKERY__REQUEST__BODY_REGISTER;
	request.register_ = &body;
	f.request = (struct frame_request){.request = ++r->request, .fragments = 1, .body = packed};
	f.request.length = (uint16_t)rookery__request__pack(&request, packed);
	n = frame_write(&f, plain, sizeof(plain));
	raw_send(r, datagram, raw_seal(r, plain, (size_t)n, datagram));
	raw_expect_frame(r, FRAME_RESPONSE, &f, plain);
	response = rookery__response__unpack(NULL, f.response.length, f.response.body);
	if (!response || response->code != ROOKERY__CODE__CODE_OK)
		world_fail(r->world, "register %s: code %d %s", user, response ? (int)response->code : -1,
			   response ? response->text : "");
	rookery__response__free_unpacked(response, NULL);
	wire_ack_put(range, 0, f.response.delivery, 1);
	ack.ack = (struct frame_ack){.count = 1, .ranges = range};
	n = frame_write(&ack, plain, sizeof(plain));
	raw_send(r, datagram, raw_seal(r, plain, (size_t)n, datagram));
}

/* ---- DATA --------------------------------------------------------------------------- */

size_t
raw_seal_counter(struct raw *r, uint64_t counter, const uint8_t *plain, size_t len, uint8_t out[RAW_CAP])
{
	struct wire_data d = {.sid = r->sid, .counter = counter};
	uint8_t nonce[AEAD_NONCE];

	wire_data_write(&d, out);
	wire_nonce(nonce, WIRE_TO_SERVER, counter);
	aead_seal(&r->key, nonce, out, WIRE_DATA_HEADER, plain, len, out + WIRE_DATA_HEADER, out + WIRE_DATA_HEADER + len);
	return WIRE_DATA_HEADER + len + WIRE_TAG;
}

size_t
raw_seal(struct raw *r, const uint8_t *plain, size_t len, uint8_t out[RAW_CAP])
{
	return raw_seal_counter(r, wire_counter(r->epoch, ++r->sequence), plain, len, out);
}

size_t
raw_ping_datagram(struct raw *r, uint64_t token, uint8_t out[RAW_CAP])
{
	struct frame f = {.type = FRAME_PING, .token = token};
	uint8_t plain[64];
	int n = frame_write(&f, plain, sizeof(plain));

	return raw_seal(r, plain, (size_t)n, out);
}

static bool
open_data(struct raw *r, const uint8_t *in, size_t len, uint8_t plain[RAW_CAP])
{
	struct wire_data d;
	uint8_t nonce[AEAD_NONCE];

	if (len < WIRE_DATA_MIN || wire_data_read(&d, in, len) != 0 || d.sid != r->sid)
		return false;
	wire_nonce(nonce, WIRE_TO_CLIENT, d.counter);
	return aead_open(&r->key, nonce, in, WIRE_DATA_HEADER, in + WIRE_DATA_HEADER, len - WIRE_DATA_HEADER - WIRE_TAG,
			 plain, in + len - WIRE_TAG) == 0;
}

/* Finds a frame of the type in one datagram. */
static bool
find_frame(struct raw *r, uint8_t type, const uint8_t *in, size_t len, struct frame *f, uint8_t plain[RAW_CAP])
{
	size_t at = 0, end = len - WIRE_DATA_HEADER - WIRE_TAG;

	if (!open_data(r, in, len, plain))
		return false;
	while (at < end) {
		int n = frame_read(f, plain + at, end - at);

		if (n <= 0)
			world_fail(r->world, "the server sent a frame that cannot be read");
		if (f->type == type)
			return true;
		at += (size_t)n;
	}
	return false;
}

void
raw_expect_frame(struct raw *r, uint8_t type, struct frame *f, uint8_t plain[RAW_CAP])
{
	uint8_t in[RAW_CAP];

	while (!find_frame(r, type, in, raw_receive(r, WIRE_DATA, in), f, plain))
		;
}

void
raw_ping(struct raw *r)
{
	uint64_t token, deadline = deadline_in(WAIT_EVENT);
	uint8_t datagram[RAW_CAP], in[RAW_CAP], plain[RAW_CAP];
	struct frame f;

	randombytes_buf(&token, sizeof(token));
	while (now_ms() < deadline) {
		size_t n;

		raw_send(r, datagram, raw_ping_datagram(r, token, datagram));
		while ((n = receive_until(r, WIRE_DATA, in, now_ms() + 1000)))
			if (find_frame(r, FRAME_PONG, in, n, &f, plain) && f.pong.token == token)
				return;
	}
	world_fail(r->world, "a PING stays unanswered");
}
