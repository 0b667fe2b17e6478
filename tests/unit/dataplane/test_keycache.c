/* SPDX-License-Identifier: BSD-3-Clause */
#include "dataplane/keycache.h"
#include "eal_fixture.h"
#include "shared/ids.h"

#include <errno.h>
#include <rte_memory.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ENTRIES 64

static struct session_keys
keys_of(uint64_t tag)
{
	struct session_keys k;

	for (unsigned i = 0; i < AEAD_KEY; i++) {
		k.client_to_server[i] = (uint8_t)(tag * 31 + i);
		k.server_to_client[i] = (uint8_t)(tag * 57 + i + 1);
	}
	return k;
}

static const uint8_t nonce[AEAD_NONCE] = {1, 2, 3};
static const uint8_t text[48] = "the quick brown fox jumps over the lazy dog";

static int
open_with(struct aead_key *k, const uint8_t *sealed, uint8_t *opened, const uint8_t *tag)
{
	return aead_open(k, nonce, nonce, sizeof(nonce), sealed, sizeof(text), opened, tag);
}

/* Do these expanded keys belong to the tag, each to its direction? Compared by what they do. */
static void
assert_keys_of(struct keycache_entry *e, uint64_t tag)
{
	struct session_keys raw = keys_of(tag);
	struct aead_key *k = aligned_alloc(64, sizeof(*k));
	uint8_t sealed[sizeof(text)];
	uint8_t opened[sizeof(text)];
	uint8_t tag_bytes[AEAD_TAG];

	assert_non_null(k);
	memset(k, 0, sizeof(*k));
	assert_int_equal(aead_key_set(k, raw.client_to_server), 0);
	aead_seal(k, nonce, nonce, sizeof(nonce), text, sizeof(text), sealed, tag_bytes);
	assert_int_equal(open_with(&e->rx, sealed, opened, tag_bytes), 0);
	assert_memory_equal(opened, text, sizeof(text));
	assert_int_equal(open_with(&e->tx, sealed, opened, tag_bytes), -EBADMSG);
	aead_seal(&e->tx, nonce, nonce, sizeof(nonce), text, sizeof(text), sealed, tag_bytes);
	assert_int_equal(aead_key_set(k, raw.server_to_client), 0);
	assert_int_equal(open_with(k, sealed, opened, tag_bytes), 0);
	aead_key_clear(k);
	free(k);
}

static struct keycache_entry *
get(struct keycache *c, uint64_t tag)
{
	struct session_keys k = keys_of(tag);

	keycache_prefetch(c, tag);
	return keycache_get(c, tag, &k);
}

static void
refuses_bad_sizes(void **state)
{
	(void)state;
	assert_null(keycache_new(0, SOCKET_ID_ANY));
	assert_null(keycache_new(2, SOCKET_ID_ANY));
	assert_null(keycache_new(48, SOCKET_ID_ANY));
	keycache_free(NULL);
}

static void
hit_after_miss(void **state)
{
	struct keycache *c = keycache_new(ENTRIES, SOCKET_ID_ANY);
	struct keycache_entry *e;

	(void)state;
	assert_non_null(c);
	e = get(c, 7);
	assert_int_equal(keycache_misses(c), 1);
	assert_keys_of(e, 7);
	assert_ptr_equal(get(c, 7), e);
	assert_int_equal(keycache_misses(c), 1);
	keycache_free(c);
}

static void
smallest_is_one_set_with_lru(void **state)
{
	struct keycache *c = keycache_new(KEYCACHE_WAYS, SOCKET_ID_ANY);
	struct keycache_entry *e[KEYCACHE_WAYS];

	(void)state;
	assert_non_null(c);
	for (uint64_t tag = 1; tag <= KEYCACHE_WAYS; tag++)
		e[tag - 1] = get(c, tag);
	/* All still where they were. */
	for (uint64_t tag = 1; tag <= KEYCACHE_WAYS; tag++)
		assert_keys_of(e[tag - 1], tag);
	get(c, 1);
	get(c, 99); /* in place of 2, the longest unused */
	assert_int_equal(keycache_misses(c), KEYCACHE_WAYS + 1);
	get(c, 1);
	get(c, 3);
	get(c, 4);
	get(c, 99);
	assert_int_equal(keycache_misses(c), KEYCACHE_WAYS + 1);
	assert_keys_of(get(c, 2), 2);
	assert_int_equal(keycache_misses(c), KEYCACHE_WAYS + 2);
	keycache_free(c);
}

static void
last_tags_of_a_burst_stay(void **state)
{
	struct keycache *c = keycache_new(ENTRIES, SOCKET_ID_ANY);

	(void)state;
	assert_non_null(c);
	for (uint64_t tag = 1; tag < 20000; tag += KEYCACHE_WAYS) {
		struct keycache_entry *e[KEYCACHE_WAYS];

		for (unsigned i = 0; i < KEYCACHE_WAYS; i++)
			e[i] = get(c, tag + i);
		for (unsigned i = 0; tag % 97 == 1 && i < KEYCACHE_WAYS; i++)
			assert_keys_of(e[i], tag + i);
	}
	keycache_free(c);
}

/* As many sessions as entries, in the lowest slots, all stay: no set is asked for more than its ways. */
static void
dense_sessions_all_fit(void **state)
{
	struct keycache *c = keycache_new(1024, SOCKET_ID_ANY);

	(void)state;
	assert_non_null(c);
	for (unsigned round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < 1024; i++)
			get(c, session_id_make(3, 1 + i % 5, i));
		assert_int_equal(keycache_misses(c), 1024);
	}
	keycache_free(c);
}

static void
drop_wipes(void **state)
{
	static const struct keycache_entry zero;
	struct keycache *c = keycache_new(ENTRIES, SOCKET_ID_ANY);
	struct keycache_entry *e;

	(void)state;
	assert_non_null(c);
	get(c, 4);
	e = get(c, 5);
	assert_memory_not_equal(e, &zero, sizeof(*e));
	keycache_drop(c, 5);
	assert_memory_equal(e, &zero, sizeof(*e));
	keycache_drop(c, 5);
	keycache_drop(c, 12345);
	assert_keys_of(get(c, 4), 4);
	assert_int_equal(keycache_misses(c), 2);
	/* The same tag with other keys: nothing is left of the old ones. */
	assert_keys_of(get(c, 5), 5);
	assert_int_equal(keycache_misses(c), 3);
	keycache_free(c);
}

/* Against a model of each set's LRU is not needed: whatever is evicted, the keys handed out are the tag's. */
static void
random_use_gives_right_keys(void **state)
{
	struct keycache *c = keycache_new(16, SOCKET_ID_ANY);
	uint64_t random = 42;

	(void)state;
	assert_non_null(c);
	for (unsigned i = 0; i < 5000; i++) {
		uint64_t tag;

		random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
		tag = 1 + (random >> 33) % 40;
		if (random >> 60 == 0)
			keycache_drop(c, tag);
		else
			assert_keys_of(get(c, tag), tag);
	}
	keycache_free(c);
}

static int
setup(void **state)
{
	return eal_fixture_setup(state) != 0 ? -1 : aead_init();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_bad_sizes),
		cmocka_unit_test(hit_after_miss),
		cmocka_unit_test(smallest_is_one_set_with_lru),
		cmocka_unit_test(last_tags_of_a_burst_stay),
		cmocka_unit_test(dense_sessions_all_fit),
		cmocka_unit_test(drop_wipes),
		cmocka_unit_test(random_use_gives_right_keys),
	};

	return cmocka_run_group_tests(tests, setup, eal_fixture_teardown);
}
