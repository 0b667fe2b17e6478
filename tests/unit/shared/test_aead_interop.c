/* SPDX-License-Identifier: BSD-3-Clause */
/* What one implementation seals, the other opens: random keys, texts and sizes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shared/aead.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

/* aead_openssl_renamed.c */
int openssl_init(void);
int openssl_key_set(struct aead_key *k, const uint8_t raw[AEAD_KEY]);
void openssl_key_clear(struct aead_key *k);
void openssl_seal(struct aead_key *k, const uint8_t nonce[AEAD_NONCE], const uint8_t *aad, size_t aad_len,
		  const uint8_t *in, size_t len, uint8_t *out, uint8_t tag[AEAD_TAG]);
int openssl_open(struct aead_key *k, const uint8_t nonce[AEAD_NONCE], const uint8_t *aad, size_t aad_len,
		 const uint8_t *in, size_t len, uint8_t *out, const uint8_t tag[AEAD_TAG]);

#define ROUNDS 3000
#define SIZE_MAX_TRIED 1300

static void
each_opens_what_the_other_sealed(void **state)
{
	/* A fixed seed: a failure shows again. */
	static const uint8_t seed[randombytes_SEEDBYTES] = "rookery aead interop";
	static uint8_t random[ROUNDS][64];
	struct aead_key a = {0}, b = {0};
	struct aead_brief c = {0};

	(void)state;
	randombytes_buf_deterministic(random, sizeof(random), seed);
	for (size_t i = 0; i < ROUNDS; i++) {
		const uint8_t *raw = random[i], *nonce = raw + AEAD_KEY;
		size_t len = (size_t)(random[i][60] | random[i][61] << 8) % (SIZE_MAX_TRIED + 1);
		size_t aad_len = random[i][62] % 65;
		uint8_t text[SIZE_MAX_TRIED], aad[64], one[SIZE_MAX_TRIED], two[SIZE_MAX_TRIED],
			tag[2][AEAD_TAG];

		randombytes_buf_deterministic(text, sizeof(text), random[i]);
		randombytes_buf_deterministic(aad, sizeof(aad), random[i] + 32);
		assert_int_equal(aead_key_set(&a, raw), 0);
		assert_int_equal(openssl_key_set(&b, raw), 0);
		aead_seal(&a, nonce, aad, aad_len, text, len, one, tag[0]);
		openssl_seal(&b, nonce, aad, aad_len, text, len, two, tag[1]);
		assert_memory_equal(one, two, len);
		assert_memory_equal(tag[0], tag[1], AEAD_TAG);
		assert_int_equal(openssl_open(&b, nonce, aad, aad_len, one, len, one, tag[0]), 0);
		assert_int_equal(aead_open(&a, nonce, aad, aad_len, two, len, two, tag[1]), 0);
		assert_memory_equal(one, text, len);
		assert_memory_equal(two, text, len);
		/* The brief form is another implementation of the same. */
		assert_int_equal(aead_brief_set(&c, raw), 0);
		aead_brief_seal(&c, nonce, aad, aad_len, text, len, one, tag[0]);
		openssl_seal(&b, nonce, aad, aad_len, text, len, two, tag[1]);
		assert_memory_equal(one, two, len);
		assert_memory_equal(tag[0], tag[1], AEAD_TAG);
		assert_int_equal(aead_brief_open(&c, nonce, aad, aad_len, one, len, one, tag[0]), 0);
		assert_memory_equal(one, text, len);
		tag[1][i % AEAD_TAG] ^= (uint8_t)(1 << i % 8);
		assert_int_equal(aead_brief_open(&c, nonce, aad, aad_len, two, len, two, tag[1]), -EBADMSG);
	}
	aead_brief_clear(&c);
	aead_key_clear(&a);
	openssl_key_clear(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(each_opens_what_the_other_sealed)};

	if (sodium_init() < 0 || aead_init() != 0 || openssl_init() != 0)
		return 1;
	return cmocka_run_group_tests_name("aead_interop", tests, NULL, NULL);
}
