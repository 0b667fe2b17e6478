/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Noise_IK_25519_AESGCM_SHA256 against known answers. The keys are the ones that the published vectors of
 * several Noise implementations share; the answers below are this code's own and equal those of
 * vectors/cacophony.txt in github.com/haskell-cryptography/cacophony (8ee9d41e34a1).
 *
 * With ROOKERY_NOISE_VECTORS=FILE it runs every Noise_IK_25519_AESGCM_SHA256 vector of a file in that JSON
 * format instead; it was run so with cacophony.txt and with tests/vectors/snow.txt of github.com/mcginty/snow
 * (8ac60f51cfe3).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hex.h"
#include "shared/noise.h"

#include <errno.h>
#include <jansson.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 512
#define MESSAGES_MAX 16

/* One vector, in hex; the messages after the second are transport messages, the initiator's first. */
struct vector {
	const char *prologue;
	const char *init_static, *init_ephemeral;
	const char *resp_static, *resp_ephemeral;
	const char *handshake_hash; /* NULL: the file does not say */
	size_t count;
	struct {
		const char *payload, *ciphertext;
	} messages[MESSAGES_MAX];
};

static const struct vector known = {
	.prologue = "4a6f686e2047616c74",
	.init_static = "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1",
	.init_ephemeral = "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a",
	.resp_static = "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893",
	.resp_ephemeral = "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b",
	.handshake_hash = "669c8640d9e42a3cda2f232f78597ceefb01daa6e3df81181ccce6fc6b5026bf",
	.count = 4,
	.messages =
		{
			{"4c756477696720766f6e204d69736573", /* "Ludwig von Mises" */
			 "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c79444e417bc55c7a8166"
			 "c993356c1be41ef67818a292426f301556c7f26b21d25ddb097153891a9a956cff47b83e63ad8d70"
			 "1c1342c209cff1ca5ecd43402762ac249e3bd3a4c0a145fe07cb5dae28ea13a3"},
			{"4d757272617920526f746862617264", /* "Murray Rothbard" */
			 "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843af2ccf9972e22afc"
			 "67aeafcd25162f7f98c363b7762e3e4cb7d272e39f27a5"},
			{"462e20412e20486179656b", /* "F. A. Hayek" */
			 "66acfc92e3197de166809e6d4d5d003dcc819a84bc3522ca53c9d9"},
			{"4361726c204d656e676572", /* "Carl Menger" */
			 "71f89aa6533a6de70b0826864dd75f60806ee40170c16290189eb3"},
		},
};

static void
key_decode(const char *text, uint8_t key[NOISE_KEY])
{
	assert_int_equal(hex_decode(text, key, NOISE_KEY), NOISE_KEY);
}

static void
run_handshake(const struct vector *v, struct noise *i, struct noise *r)
{
	uint8_t prologue[TEXT_MAX], payload[TEXT_MAX], message[TEXT_MAX], opened[TEXT_MAX];
	uint8_t i_secret[NOISE_KEY], i_public[NOISE_KEY], r_secret[NOISE_KEY], r_public[NOISE_KEY];
	uint8_t i_ephemeral[NOISE_KEY], r_ephemeral[NOISE_KEY];
	size_t prologue_len = hex_decode(v->prologue, prologue, sizeof(prologue)), len;

	key_decode(v->init_static, i_secret);
	key_decode(v->resp_static, r_secret);
	key_decode(v->init_ephemeral, i_ephemeral);
	key_decode(v->resp_ephemeral, r_ephemeral);
	crypto_scalarmult_base(i_public, i_secret);
	crypto_scalarmult_base(r_public, r_secret);
	noise_init(i, prologue, prologue_len, i_public, i_secret, r_public);
	noise_init(r, prologue, prologue_len, r_public, r_secret, r_public);

	len = hex_decode(v->messages[0].payload, payload, sizeof(payload));
	assert_int_equal(noise_write_first(i, r_public, i_ephemeral, payload, len, message), 0);
	assert_hex(message, len + NOISE_FIRST_OVERHEAD, v->messages[0].ciphertext);
	assert_int_equal(noise_read_first(r, message, len + NOISE_FIRST_OVERHEAD, opened), 0);
	assert_memory_equal(opened, payload, len);
	assert_memory_equal(r->rs, i_public, NOISE_KEY);

	len = hex_decode(v->messages[1].payload, payload, sizeof(payload));
	assert_int_equal(noise_write_second(r, r_ephemeral, payload, len, message), 0);
	assert_hex(message, len + NOISE_SECOND_OVERHEAD, v->messages[1].ciphertext);
	assert_int_equal(noise_read_second(i, message, len + NOISE_SECOND_OVERHEAD, opened), 0);
	assert_memory_equal(opened, payload, len);

	assert_memory_equal(i->h, r->h, sizeof(i->h));
	if (v->handshake_hash != NULL)
		assert_hex(i->h, sizeof(i->h), v->handshake_hash);
}

static void
run_vector(const struct vector *v)
{
	uint8_t payload[TEXT_MAX], message[TEXT_MAX], opened[TEXT_MAX];
	uint8_t keys[2][NOISE_KEY], other[2][NOISE_KEY];
	struct noise i, r;

	run_handshake(v, &i, &r);
	noise_split(&i, keys[0], keys[1]);
	noise_split(&r, other[0], other[1]);
	assert_memory_equal(keys, other, sizeof(keys));
	for (size_t m = 2; m < v->count; m++) {
		size_t len = hex_decode(v->messages[m].payload, payload, sizeof(payload));
		const uint8_t *key = keys[m % 2];
		uint64_t counter = (m - 2) / 2;

		assert_int_equal(noise_seal(key, counter, NULL, 0, payload, len, message), 0);
		assert_hex(message, len + NOISE_TAG, v->messages[m].ciphertext);
		assert_int_equal(noise_open(key, counter, NULL, 0, message, len + NOISE_TAG, opened), 0);
		assert_memory_equal(opened, payload, len);
	}
}

static void
known_answers(void **state)
{
	(void)state;
	run_vector(&known);
}

static const char *
text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static void
run_json(const json_t *entry)
{
	const json_t *messages = json_object_get(entry, "messages"), *message;
	struct vector v = {
		.prologue = text_of(entry, "init_prologue"),
		.init_static = text_of(entry, "init_static"),
		.init_ephemeral = text_of(entry, "init_ephemeral"),
		.resp_static = text_of(entry, "resp_static"),
		.resp_ephemeral = text_of(entry, "resp_ephemeral"),
		.handshake_hash = text_of(entry, "handshake_hash"),
	};
	size_t index;

	json_array_foreach (messages, index, message) {
		assert_true(index < MESSAGES_MAX);
		v.messages[index].payload = text_of(message, "payload");
		v.messages[index].ciphertext = text_of(message, "ciphertext");
		v.count++;
	}
	assert_true(v.count >= 2);
	run_vector(&v);
}

static void
published_file(void **state)
{
	json_t *root, *entry;
	size_t index, ran = 0;
	const char *name;

	root = json_load_file(*state, 0, NULL);
	assert_non_null(root);
	json_array_foreach (json_object_get(root, "vectors"), index, entry) {
		name = text_of(entry, "protocol_name");
		if (name == NULL || strcmp(name, "Noise_IK_25519_AESGCM_SHA256") != 0)
			continue;
		run_json(entry);
		ran++;
	}
	json_decref(root);
	assert_true(ran > 0);
}

/* ---- refusals ------------------------------------------------------------------------------- */

static void
setup_first(struct noise *i, struct noise *r, uint8_t message[NOISE_FIRST_OVERHEAD + 4])
{
	uint8_t secret[NOISE_KEY], i_public[NOISE_KEY], r_public[NOISE_KEY], ephemeral[NOISE_KEY];

	memset(secret, 1, sizeof(secret));
	crypto_scalarmult_base(r_public, secret);
	noise_init(r, NULL, 0, r_public, secret, r_public);
	memset(secret, 2, sizeof(secret));
	crypto_scalarmult_base(i_public, secret);
	noise_init(i, NULL, 0, i_public, secret, r_public);
	memset(ephemeral, 3, sizeof(ephemeral));
	assert_int_equal(noise_write_first(i, r_public, ephemeral, (const uint8_t *)"text", 4, message), 0);
}

static void
every_flipped_bit_is_refused(void **state)
{
	uint8_t first[NOISE_FIRST_OVERHEAD + 4], second[NOISE_SECOND_OVERHEAD + 4], ephemeral[NOISE_KEY],
		out[4];
	struct noise i, r, copy;

	(void)state;
	setup_first(&i, &r, first);
	for (size_t bit = 0; bit < sizeof(first) * 8; bit++) {
		/* X25519 ignores the top bit of a public key (RFC 7748, 5), but the hash does not. */
		first[bit / 8] ^= (uint8_t)(1 << bit % 8);
		copy = r;
		assert_int_equal(noise_read_first(&copy, first, sizeof(first), out), -EBADMSG);
		first[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t len = 0; len < sizeof(first); len++) {
		copy = r;
		assert_int_equal(noise_read_first(&copy, first, len, out), -EBADMSG);
	}
	assert_int_equal(noise_read_first(&r, first, sizeof(first), out), 0);

	memset(ephemeral, 4, sizeof(ephemeral));
	assert_int_equal(noise_write_second(&r, ephemeral, (const uint8_t *)"text", 4, second), 0);
	for (size_t bit = 0; bit < sizeof(second) * 8; bit++) {
		second[bit / 8] ^= (uint8_t)(1 << bit % 8);
		copy = i;
		assert_int_equal(noise_read_second(&copy, second, sizeof(second), out), -EBADMSG);
		second[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t len = 0; len < sizeof(second); len++) {
		copy = i;
		assert_int_equal(noise_read_second(&copy, second, len, out), -EBADMSG);
	}
	assert_int_equal(noise_read_second(&i, second, sizeof(second), out), 0);
}

/* Points whose multiples by a clamped scalar are all the neutral element (RFC 7748, 6.1; little-endian). */
static const char *const low_order[] = {
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
	"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
};

static void
low_order_keys_are_refused(void **state)
{
	uint8_t first[NOISE_FIRST_OVERHEAD + 4], ephemeral[NOISE_KEY] = {9}, point[NOISE_KEY], out[128];
	struct noise i, r;

	(void)state;
	for (size_t p = 0; p < sizeof(low_order) / sizeof(low_order[0]); p++) {
		key_decode(low_order[p], point);

		setup_first(&i, &r, first);
		assert_int_equal(noise_write_first(&i, point, ephemeral, NULL, 0, out), -EINVAL);

		memcpy(first, point, NOISE_KEY);
		assert_int_equal(noise_read_first(&r, first, sizeof(first), out), -EBADMSG);

		setup_first(&i, &r, first);
		memcpy(out, point, NOISE_KEY);
		assert_int_equal(noise_read_second(&i, out, NOISE_SECOND_OVERHEAD, out + 64), -EBADMSG);

		memcpy(r.re, point, NOISE_KEY);
		assert_int_equal(noise_write_second(&r, ephemeral, NULL, 0, out), -EINVAL);
	}
}

static void
another_prologue_is_refused(void **state)
{
	uint8_t first[NOISE_FIRST_OVERHEAD + 4], out[4];
	struct noise i, r, other;

	(void)state;
	setup_first(&i, &r, first);
	noise_init(&other, (const uint8_t *)"x", 1, r.s_public, r.s_secret, r.s_public);
	assert_int_equal(noise_read_first(&other, first, sizeof(first), out), -EBADMSG);
	assert_int_equal(noise_read_first(&r, first, sizeof(first), out), 0);
}

static void
refused_plaintext_is_wiped(void **state)
{
	static const uint8_t key[NOISE_KEY] = {1}, zero[8];
	uint8_t sealed[8 + NOISE_TAG], out[8];

	(void)state;
	assert_int_equal(noise_seal(key, 1, NULL, 0, (const uint8_t *)"12345678", 8, sealed), 0);
	sealed[8] ^= 1;
	memset(out, 0xff, sizeof(out));
	assert_int_equal(noise_open(key, 1, NULL, 0, sealed, sizeof(sealed), out), -EBADMSG);
	assert_memory_equal(out, zero, sizeof(out));
}

int
main(void)
{
	char *path = getenv("ROOKERY_NOISE_VECTORS");
	const struct CMUnitTest published[] = {cmocka_unit_test_prestate(published_file, path)};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_answers),
		cmocka_unit_test(every_flipped_bit_is_refused),
		cmocka_unit_test(low_order_keys_are_refused),
		cmocka_unit_test(another_prologue_is_refused),
		cmocka_unit_test(refused_plaintext_is_wiped),
	};

	if (sodium_init() < 0)
		return 1;
	if (path != NULL)
		return cmocka_run_group_tests_name("noise, published", published, NULL, NULL);
	return cmocka_run_group_tests_name("noise", tests, NULL, NULL);
}
