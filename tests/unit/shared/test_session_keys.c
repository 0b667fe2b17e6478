/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hex.h"
#include "shared/session_keys.h"
#include "shared/ticket.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sodium.h>
#include <string.h>

static struct session_secret
secret_make(void)
{
	struct session_secret s = {.resumed = 0};

	for (unsigned i = 0; i < 32; i++) {
		s.client_to_server[i] = (uint8_t)i;
		s.server_to_client[i] = (uint8_t)(0x80 + i);
	}
	return s;
}

/* The definition, worked out by another library. */
static void
equal_to_the_definition(void **state)
{
	static const uint16_t epochs[] = {0, 1, 0x00ff, 0x0100, 0xfffe, 0xffff};
	struct session_secret secret = secret_make();

	(void)state;
	for (size_t i = 0; i < sizeof(epochs) / sizeof(epochs[0]); i++) {
		uint8_t input[18 + 32] = "rookery data key", mac[EVP_MAX_MD_SIZE];
		struct session_keys keys;

		input[16] = (uint8_t)(epochs[i] >> 8);
		input[17] = (uint8_t)epochs[i];
		memcpy(input + 18, secret.server_to_client, 32);
		session_keys_derive(&keys, &secret, epochs[i]);
		HMAC(EVP_sha256(), secret.client_to_server, 32, input, sizeof(input), mac, NULL);
		assert_memory_equal(keys.key, mac, AEAD_KEY);
	}
}

static void
epochs_and_both_secrets_count(void **state)
{
	struct session_secret secret = secret_make();
	struct session_keys zero, one;

	(void)state;
	session_keys_derive(&zero, &secret, 0);
	session_keys_derive(&one, &secret, 1);
	assert_memory_not_equal(zero.key, one.key, AEAD_KEY);
	secret.server_to_client[31] ^= 1;
	session_keys_derive(&one, &secret, 0);
	assert_memory_not_equal(zero.key, one.key, AEAD_KEY);
	secret.server_to_client[31] ^= 1;
	secret.client_to_server[0] ^= 1;
	session_keys_derive(&one, &secret, 0);
	assert_memory_not_equal(zero.key, one.key, AEAD_KEY);
}

/* The definition of a resumed session's keys, put together by hand. */
static void
resumed_keys(void **state)
{
	uint8_t ticket[RESUME_SECRET], client[RESUME_NONCE], server[RESUME_NONCE];
	uint8_t input[17 + RESUME_SECRET + RESUME_SALT + 2] = "rookery resume v1", out[32], proof[RESUME_PROOF];
	struct session_secret secret, other;
	struct session_keys keys, next;

	(void)state;
	for (unsigned i = 0; i < sizeof(ticket); i++)
		ticket[i] = (uint8_t)(i + 1);
	for (unsigned i = 0; i < RESUME_NONCE; i++) {
		client[i] = (uint8_t)(i + 40);
		server[i] = (uint8_t)(i + 60);
	}
	resume_secret(&secret, ticket, client, server, UINT64_C(0x0180000200000003));
	memcpy(input + 17, ticket, 32);
	memcpy(input + 49, client, 12);
	memcpy(input + 61, server, 12);
	memcpy(input + 73, "\x01\x80\x00\x02\x00\x00\x00\x03", 8);
	input[82] = 5;
	crypto_generichash(out, sizeof(out), input, sizeof(input), NULL, 0);
	resume_derive(&keys, proof, &secret, 5);
	assert_memory_equal(keys.key, out, 16);
	assert_memory_equal(proof, out + 16, 16);
	session_keys_derive(&next, &secret, 5);
	assert_memory_equal(&next, &keys, sizeof(keys));
	session_keys_derive(&next, &secret, 6);
	assert_memory_not_equal(&next, &keys, sizeof(keys));
	/* Each nonce and the session id count. */
	client[11] ^= 1;
	resume_secret(&other, ticket, client, server, UINT64_C(0x0180000200000003));
	session_keys_derive(&next, &other, 5);
	assert_memory_not_equal(next.key, keys.key, 16);
	client[11] ^= 1;
	server[11] ^= 1;
	resume_secret(&other, ticket, client, server, UINT64_C(0x0180000200000003));
	session_keys_derive(&next, &other, 5);
	assert_memory_not_equal(next.key, keys.key, 16);
	server[11] ^= 1;
	resume_secret(&other, ticket, client, server, UINT64_C(0x0180000200000004));
	session_keys_derive(&next, &other, 5);
	assert_memory_not_equal(next.key, keys.key, 16);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_to_the_definition),
		cmocka_unit_test(epochs_and_both_secrets_count),
		cmocka_unit_test(resumed_keys),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests_name("session_keys", tests, NULL, NULL);
}
