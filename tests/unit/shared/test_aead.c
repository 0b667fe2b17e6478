/* SPDX-License-Identifier: BSD-3-Clause */
/* Built once for each implementation of aead.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hex.h"
#include "shared/aead.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* "The Galois/Counter Mode of Operation (GCM)", McGrew and Viega, submitted to NIST; appendix B, test cases 1
 * to 4. */
static const struct {
	const char *key, *nonce, *aad, *plaintext, *ciphertext, *tag;
} vectors[] = {
	{"00000000000000000000000000000000", "000000000000000000000000", "", "", "",
	 "58e2fccefa7e3061367f1d57a4e7455a"},
	{"00000000000000000000000000000000", "000000000000000000000000", "",
	 "00000000000000000000000000000000", "0388dace60b6a392f328c2b971b2fe78",
	 "ab6e47d42cec13bdf53a67b21257bddf"},
	{"feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888", "",
	 "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
	 "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
	 "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
	 "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985",
	 "4d5c2af327cd64a62cf35abd2ba6fab4"},
	{"feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
	 "feedfacedeadbeeffeedfacedeadbeefabaddad2",
	 "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
	 "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
	 "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
	 "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091",
	 "5bc94fbc3221a5db94fae95ae7121a47"},
};

static void
nist_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(vectors); i++) {
		uint8_t raw[AEAD_KEY], nonce[AEAD_NONCE], aad[64], text[64], out[64], tag[AEAD_TAG];
		size_t aad_len = hex_decode(vectors[i].aad, aad, sizeof(aad));
		size_t len = hex_decode(vectors[i].plaintext, text, sizeof(text));
		struct aead_key k = {0};
		struct aead_brief brief = {0};

		hex_decode(vectors[i].key, raw, sizeof(raw));
		hex_decode(vectors[i].nonce, nonce, sizeof(nonce));
		assert_int_equal(aead_key_set(&k, raw), 0);
		aead_seal(&k, nonce, aad, aad_len, text, len, out, tag);
		assert_hex(out, len, vectors[i].ciphertext);
		assert_hex(tag, sizeof(tag), vectors[i].tag);
		assert_int_equal(aead_open(&k, nonce, aad, aad_len, out, len, out, tag), 0);
		assert_hex(out, len, vectors[i].plaintext);
		aead_key_clear(&k);

		assert_int_equal(aead_brief_set(&brief, raw), 0);
		aead_brief_seal(&brief, nonce, aad, aad_len, text, len, out, tag);
		assert_hex(out, len, vectors[i].ciphertext);
		assert_hex(tag, sizeof(tag), vectors[i].tag);
		assert_int_equal(aead_brief_open(&brief, nonce, aad, aad_len, out, len, out, tag), 0);
		assert_hex(out, len, vectors[i].plaintext);
		aead_brief_clear(&brief);
		aead_brief_clear(&brief);
	}
}

static void
every_change_is_refused(void **state)
{
	uint8_t raw[AEAD_KEY] = {1}, nonce[AEAD_NONCE] = {2}, aad[20] = {3}, tag[AEAD_TAG], sealed[33],
		out[33];
	struct aead_key k = {0};

	(void)state;
	assert_int_equal(aead_key_set(&k, raw), 0);
	memset(sealed, 7, sizeof(sealed));
	aead_seal(&k, nonce, aad, sizeof(aad), sealed, sizeof(sealed), sealed, tag);

	struct {
		uint8_t *bytes;
		size_t len;
	} parts[] = {
		{nonce, sizeof(nonce)}, {aad, sizeof(aad)}, {sealed, sizeof(sealed)}, {tag, sizeof(tag)}};

	for (size_t p = 0; p < COUNT(parts); p++) {
		for (size_t bit = 0; bit < parts[p].len * 8; bit++) {
			parts[p].bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_int_equal(
				aead_open(&k, nonce, aad, sizeof(aad), sealed, sizeof(sealed), out, tag),
				-EBADMSG);
			parts[p].bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
	assert_int_equal(aead_open(&k, nonce, aad, sizeof(aad), sealed, sizeof(sealed) - 1, out, tag),
			 -EBADMSG);
	assert_int_equal(aead_open(&k, nonce, aad, sizeof(aad) - 1, sealed, sizeof(sealed), out, tag),
			 -EBADMSG);
	assert_int_equal(aead_open(&k, nonce, aad, sizeof(aad), sealed, sizeof(sealed), out, tag), 0);
	aead_key_clear(&k);
}

static void
in_place_at_every_size(void **state)
{
	uint8_t raw[AEAD_KEY] = {5}, nonce[AEAD_NONCE] = {0}, tag[AEAD_TAG], tag_apart[AEAD_TAG];
	uint8_t *aad = malloc(20), *text, *sealed;
	struct aead_key k = {0};

	(void)state;
	assert_non_null(aad);
	memset(aad, 9, 20);
	assert_int_equal(aead_key_set(&k, raw), 0);
	for (size_t len = 0; len <= 1200; len += len < 300 ? 1 : 41) {
		text = malloc(len + 1);
		sealed = malloc(len + 1);
		assert_true(text != NULL && sealed != NULL);
		memset(text, (int)len, len + 1);
		nonce[11]++;
		aead_seal(&k, nonce, aad, 20, text, len, sealed, tag_apart);
		aead_seal(&k, nonce, aad, 20, text, len, text, tag);
		assert_memory_equal(text, sealed, len);
		assert_memory_equal(tag, tag_apart, AEAD_TAG);
		/* The byte after the text is not touched. */
		assert_int_equal(text[len], (uint8_t)len);
		assert_int_equal(aead_open(&k, nonce, aad, 20, text, len, text, tag), 0);
		for (size_t i = 0; i < len; i++)
			assert_int_equal(text[i], (uint8_t)len);
		free(text);
		free(sealed);
	}
	free(aad);
	aead_key_clear(&k);
}

static void
keys_are_set_again_and_cleared_again(void **state)
{
	uint8_t one[AEAD_KEY] = {1}, two[AEAD_KEY] = {2}, nonce[AEAD_NONCE] = {0}, text[4] = "abc", sealed[4];
	uint8_t tag[AEAD_TAG];
	struct aead_key k = {0}, fresh = {0};

	(void)state;
	assert_int_equal(aead_key_set(&k, one), 0);
	aead_seal(&k, nonce, NULL, 0, text, sizeof(text), sealed, tag);
	assert_int_equal(aead_key_set(&k, two), 0);
	assert_int_equal(aead_open(&k, nonce, NULL, 0, sealed, sizeof(sealed), text, tag), -EBADMSG);
	assert_int_equal(aead_key_set(&fresh, two), 0);
	aead_seal(&k, nonce, NULL, 0, text, sizeof(text), sealed, tag);
	assert_int_equal(aead_open(&fresh, nonce, NULL, 0, sealed, sizeof(sealed), text, tag), 0);

	aead_key_clear(&k);
	aead_key_clear(&k);
	aead_key_clear(&fresh);
	for (size_t i = 0; i < sizeof(k.opaque); i++)
		assert_int_equal(k.opaque[i], 0);
	assert_int_equal(aead_key_set(&k, one), 0);
	aead_key_clear(&k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nist_vectors),
		cmocka_unit_test(every_change_is_refused),
		cmocka_unit_test(in_place_at_every_size),
		cmocka_unit_test(keys_are_set_again_and_cleared_again),
	};

	if (aead_init() != 0 || aead_init() != 0)
		return 1;
	return cmocka_run_group_tests_name("aead", tests, NULL, NULL);
}
