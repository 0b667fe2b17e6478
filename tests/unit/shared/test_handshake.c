/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shared/handshake.h"
#include "shared/wire.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define LOGIN_ID 0x1122334455667788
#define PADDED (HANDSHAKE_LOGIN_MIN - HANDSHAKE_LOGIN_OVERHEAD)

struct fixture {
	struct handshake_keypair device, server;
	struct handshake_guard guard;
	struct handshake_client client;
	struct endpoint peer;
	uint8_t cookie_secret[HANDSHAKE_SECRET];
	uint8_t hello[PADDED];
	uint8_t login[WIRE_DATAGRAM_MAX];
	size_t login_len;
};

static void
login_make(struct fixture *f)
{
	int n = handshake_client_start(&f->client, &f->device, f->server.public, LOGIN_ID, f->hello,
				       sizeof(f->hello), f->login, sizeof(f->login));

	assert_int_equal(n, HANDSHAKE_LOGIN_MIN);
	f->login_len = (size_t)n;
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	handshake_keypair_generate(&f->device);
	handshake_keypair_generate(&f->server);
	handshake_guard_init(&f->guard, f->server.public);
	assert_int_equal(endpoint_parse(&f->peer, "192.0.2.7:40001", 0), 0);
	memset(f->cookie_secret, 0x5c, sizeof(f->cookie_secret));
	memcpy(f->hello, "hello", 5);
	login_make(f);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	free(*state);
	return 0;
}

static size_t
reply_make(struct fixture *f, const char *text, uint8_t *reply, struct session_secret *secret)
{
	uint8_t payload[HANDSHAKE_PAYLOAD_MAX];
	struct handshake_server server = {0};
	int n;

	n = handshake_server_read(&server, &f->server, f->login, f->login_len, payload, sizeof(payload));
	assert_int_equal(n, PADDED);
	assert_memory_equal(payload, f->hello, PADDED);
	assert_memory_equal(server.device, f->device.public, HANDSHAKE_KEY);
	assert_memory_equal(server.ephemeral, f->login + WIRE_PREFIX, HANDSHAKE_KEY);
	assert_true(server.id == LOGIN_ID);
	n = handshake_server_reply(&server, (const uint8_t *)text, strlen(text), reply, WIRE_DATAGRAM_MAX,
				   secret);
	assert_int_equal(n, HANDSHAKE_REPLY_OVERHEAD + strlen(text));
	return (size_t)n;
}

static void
login_and_reply(void **state)
{
	uint8_t reply[WIRE_DATAGRAM_MAX], payload[64];
	struct session_secret ours, theirs;
	struct fixture *f = *state;
	struct wire_prefix p;
	size_t len;

	len = reply_make(f, "welcome", reply, &theirs);
	wire_prefix_read(&p, reply);
	assert_int_equal(p.type, WIRE_LOGIN_REPLY);
	assert_true(p.id == LOGIN_ID);
	assert_int_equal(handshake_client_finish(&f->client, reply, len, payload, sizeof(payload), &ours), 7);
	assert_memory_equal(payload, "welcome", 7);
	assert_memory_equal(&ours, &theirs, sizeof(ours));
	assert_memory_not_equal(ours.client_to_server, ours.server_to_client, 32);
	/* A retransmitted LOGIN may be answered again with the same bytes. */
	assert_int_equal(handshake_client_finish(&f->client, reply, len, payload, sizeof(payload), &ours), 7);
	assert_memory_equal(&ours, &theirs, sizeof(ours));

	handshake_client_clear(&f->client);
	for (size_t i = 0; i < sizeof(f->client); i++)
		assert_int_equal(((const uint8_t *)&f->client)[i], 0);
	assert_int_equal(handshake_client_finish(&f->client, reply, len, payload, sizeof(payload), &ours),
			 -EBADMSG);
}

static void
the_server_state_is_wiped(void **state)
{
	uint8_t payload[HANDSHAKE_PAYLOAD_MAX], reply[WIRE_DATAGRAM_MAX];
	struct handshake_server server;
	struct session_secret secret;
	struct fixture *f = *state;

	assert_int_equal(
		handshake_server_read(&server, &f->server, f->login, f->login_len, payload, sizeof(payload)),
		PADDED);
	/* Too little room: nothing is lost. */
	assert_int_equal(
		handshake_server_reply(&server, payload, 4, reply, HANDSHAKE_REPLY_OVERHEAD + 3, &secret),
		-EMSGSIZE);
	assert_int_equal(handshake_server_reply(&server, payload, 4, reply, sizeof(reply), &secret),
			 HANDSHAKE_REPLY_OVERHEAD + 4);
	for (size_t i = 0; i < sizeof(server); i++)
		assert_int_equal(((const uint8_t *)&server)[i], 0);
}

static void
a_forged_reply_spoils_nothing(void **state)
{
	uint8_t reply[WIRE_DATAGRAM_MAX], payload[64];
	struct session_secret ours, theirs;
	struct fixture *f = *state;
	size_t len = reply_make(f, "welcome", reply, &theirs);
	struct handshake_client before = f->client;

	for (size_t bit = 0; bit < len * 8; bit++) {
		reply[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(
			handshake_client_finish(&f->client, reply, len, payload, sizeof(payload), &ours),
			-EBADMSG);
		reply[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(
			handshake_client_finish(&f->client, reply, cut, payload, sizeof(payload), &ours),
			-EBADMSG);
	assert_int_equal(handshake_client_finish(&f->client, reply, len, payload, 6, &ours), -EMSGSIZE);
	assert_memory_equal(&f->client, &before, sizeof(before));
	assert_int_equal(handshake_client_finish(&f->client, reply, len, payload, sizeof(payload), &ours), 7);
}

static void
a_changed_login_is_refused(void **state)
{
	uint8_t payload[HANDSHAKE_PAYLOAD_MAX];
	struct handshake_server server;
	struct fixture *f = *state;

	for (size_t bit = 0; bit < f->login_len * 8; bit++) {
		bool in_mac2 = bit / 8 >= f->login_len - HANDSHAKE_MAC;
		bool in_macs = bit / 8 >= f->login_len - 2 * HANDSHAKE_MAC;

		f->login[bit / 8] ^= (uint8_t)(1 << bit % 8);
		/* mac1 covers all before it; Noise, through the prologue, everything but the macs. */
		assert_int_equal(handshake_check_mac1(&f->guard, f->login, f->login_len), in_mac2);
		assert_int_equal(handshake_server_read(&server, &f->server, f->login, f->login_len, payload,
						       sizeof(payload)),
				 in_macs ? PADDED : -EBADMSG);
		f->login[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_true(handshake_check_mac1(&f->guard, f->login, f->login_len));
}

static void
a_truncated_login_is_refused(void **state)
{
	uint8_t payload[HANDSHAKE_PAYLOAD_MAX];
	struct handshake_server server;
	struct fixture *f = *state;

	for (size_t cut = 0; cut < f->login_len; cut++) {
		uint8_t *copy = malloc(cut + 1);

		assert_non_null(copy);
		memcpy(copy, f->login, cut);
		assert_false(handshake_check_mac1(&f->guard, copy, cut));
		assert_false(handshake_check_mac2(f->cookie_secret, &f->peer, copy, cut));
		assert_int_equal(
			handshake_server_read(&server, &f->server, copy, cut, payload, sizeof(payload)),
			-EBADMSG);
		free(copy);
	}
	assert_int_equal(
		handshake_server_read(&server, &f->server, f->login, f->login_len, payload, PADDED - 1),
		-EMSGSIZE);
}

static void
a_login_to_another_server_is_refused(void **state)
{
	uint8_t payload[HANDSHAKE_PAYLOAD_MAX];
	struct handshake_keypair other;
	struct handshake_guard guard;
	struct handshake_server server;
	struct fixture *f = *state;

	handshake_keypair_generate(&other);
	handshake_guard_init(&guard, other.public);
	assert_false(handshake_check_mac1(&guard, f->login, f->login_len));
	assert_int_equal(
		handshake_server_read(&server, &other, f->login, f->login_len, payload, sizeof(payload)),
		-EBADMSG);
}

static void
payload_limits(void **state)
{
	uint8_t payload[HANDSHAKE_PAYLOAD_MAX + 1] = {1}, out[2 * WIRE_DATAGRAM_MAX],
						read[HANDSHAKE_PAYLOAD_MAX];
	struct handshake_server server;
	struct session_secret secret;
	struct fixture *f = *state;
	int n;

	n = handshake_client_start(&f->client, &f->device, f->server.public, 1, payload,
				   HANDSHAKE_PAYLOAD_MAX, out, sizeof(out));
	assert_int_equal(n, HANDSHAKE_LOGIN_OVERHEAD + HANDSHAKE_PAYLOAD_MAX);
	assert_true(n <= WIRE_DATAGRAM_MAX);
	assert_true(handshake_check_mac1(&f->guard, out, (size_t)n));
	assert_int_equal(handshake_server_read(&server, &f->server, out, (size_t)n, read, sizeof(read)),
			 HANDSHAKE_PAYLOAD_MAX);
	assert_int_equal(handshake_server_reply(&server, payload, HANDSHAKE_PAYLOAD_MAX + 1, out, sizeof(out),
						&secret),
			 -EMSGSIZE);

	assert_int_equal(handshake_client_start(&f->client, &f->device, f->server.public, 1, payload,
						sizeof(payload), out, sizeof(out)),
			 -EMSGSIZE);
	assert_int_equal(handshake_client_start(&f->client, &f->device, f->server.public, 1, payload, 10, out,
						HANDSHAKE_LOGIN_OVERHEAD + 9),
			 -EMSGSIZE);
	assert_int_equal(
		handshake_server_read(&server, &f->server, out, WIRE_DATAGRAM_MAX + 1, read, sizeof(read)),
		-EBADMSG);
}

static void
a_low_order_server_key_is_refused(void **state)
{
	uint8_t zero[HANDSHAKE_KEY] = {0}, out[WIRE_DATAGRAM_MAX];
	struct fixture *f = *state;

	assert_int_equal(handshake_client_start(&f->client, &f->device, zero, 1, f->hello, sizeof(f->hello),
						out, sizeof(out)),
			 -EINVAL);
}

static size_t
cookie_make(struct fixture *f, uint8_t *cookie)
{
	uint8_t nonce[24];

	randombytes_buf(nonce, sizeof(nonce));
	assert_int_equal(handshake_write_cookie(&f->guard, f->cookie_secret, &f->peer, nonce, f->login,
						f->login_len, 0, cookie),
			 HANDSHAKE_COOKIE_SIZE);
	return HANDSHAKE_COOKIE_SIZE;
}

static void
a_cookie_proves_the_address(void **state)
{
	uint8_t cookie[HANDSHAKE_COOKIE_SIZE], other_secret[HANDSHAKE_SECRET] = {1}, first[WIRE_DATAGRAM_MAX];
	struct fixture *f = *state;
	struct wire_prefix prefix;
	struct endpoint other;

	assert_false(handshake_check_mac2(f->cookie_secret, &f->peer, f->login, f->login_len));
	memcpy(first, f->login, f->login_len);
	assert_int_equal(handshake_client_cookie(&f->client, cookie, cookie_make(f, cookie)), 0);
	login_make(f);
	assert_memory_not_equal(first, f->login, f->login_len);
	/* Its id is the tag, and the tag's first byte what the filter looks for. */
	assert_true(handshake_tag(f->cookie_secret, &f->peer) == f->client.id && f->client.id != LOGIN_ID);
	wire_prefix_read(&prefix, f->login);
	assert_true(prefix.id == f->client.id && prefix.id >> 56 == handshake_tag_quick(f->cookie_secret, &f->peer));
	assert_true(handshake_check_mac1(&f->guard, f->login, f->login_len));
	assert_true(handshake_check_mac2(f->cookie_secret, &f->peer, f->login, f->login_len));

	assert_false(handshake_check_mac2(other_secret, &f->peer, f->login, f->login_len));
	other = f->peer;
	other.port++;
	assert_false(handshake_check_mac2(f->cookie_secret, &other, f->login, f->login_len));
	other = f->peer;
	other.ip[15]++;
	assert_false(handshake_check_mac2(f->cookie_secret, &other, f->login, f->login_len));
	for (size_t bit = 0; bit < f->login_len * 8; bit++) {
		f->login[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(handshake_check_mac2(f->cookie_secret, &f->peer, f->login, f->login_len));
		f->login[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void
a_forged_cookie_spoils_nothing(void **state)
{
	uint8_t cookie[HANDSHAKE_COOKIE_SIZE + 1] = {0};
	struct fixture *f = *state;
	struct handshake_client before = f->client;
	size_t len = cookie_make(f, cookie);

	for (size_t bit = 0; bit < len * 8; bit++) {
		cookie[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(handshake_client_cookie(&f->client, cookie, len), -EBADMSG);
		cookie[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(handshake_client_cookie(&f->client, cookie, cut), -EBADMSG);
	assert_int_equal(handshake_client_cookie(&f->client, cookie, len + 1), -EBADMSG);
	assert_memory_equal(&f->client, &before, sizeof(before));

	/* A COOKIE for an earlier LOGIN: its mac1 is not that of the last one. */
	login_make(f);
	assert_int_equal(handshake_client_cookie(&f->client, cookie, len), -EBADMSG);
}

static void
keypairs(void **state)
{
	struct fixture *f = *state;
	struct handshake_keypair kp;

	handshake_keypair_from_secret(&kp, f->device.secret);
	assert_memory_equal(&kp, &f->device, sizeof(kp));
	/* The secret may already be in its place. */
	memset(kp.public, 0, sizeof(kp.public));
	handshake_keypair_from_secret(&kp, kp.secret);
	assert_memory_equal(&kp, &f->device, sizeof(kp));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(login_and_reply),
		TEST(the_server_state_is_wiped),
		TEST(a_forged_reply_spoils_nothing),
		TEST(a_changed_login_is_refused),
		TEST(a_truncated_login_is_refused),
		TEST(a_login_to_another_server_is_refused),
		TEST(payload_limits),
		TEST(a_low_order_server_key_is_refused),
		TEST(a_cookie_proves_the_address),
		TEST(a_forged_cookie_spoils_nothing),
		TEST(keypairs),
	};

	if (handshake_init() != 0)
		return 1;
	return cmocka_run_group_tests_name("handshake", tests, NULL, NULL);
}
