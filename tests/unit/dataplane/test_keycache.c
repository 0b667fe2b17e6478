/* SPDX-License-Identifier: BSD-3-Clause */
#include "dataplane/keycache.h"
#include "eal_fixture.h"
#include "shared/wire.h"

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
#define TAGS 4096

static struct session_keys
keys_of(uint64_t tag)
{
	struct session_keys k;

	for (unsigned i = 0; i < AEAD_KEY; i++)
		k.key[i] = (uint8_t)(tag * 31 + i);
	return k;
}

static const uint8_t nonce[AEAD_NONCE] = {1, 2, 3};
static const uint8_t text[48] = "the quick brown fox jumps over the lazy dog";
static uint32_t places[TAGS]; /* what sessions remember */

/* Is this the tag's key, expanded? Compared by what it does. */
static void
assert_key_of(struct cached_key e, uint64_t tag)
{
	struct session_keys raw = keys_of(tag);
	uint8_t packet[WIRE_DATA_HEADER + sizeof(text) + WIRE_TAG] = "the header, in clear";
	uint8_t again[sizeof(packet)];
	uint8_t *body = packet + WIRE_DATA_HEADER;
	struct aead_key *k = aligned_alloc(64, sizeof(*k));

	assert_non_null(k);
	memset(k, 0, sizeof(*k));
	assert_int_equal(aead_key_set(k, raw.key), 0);
	aead_seal(k, nonce, packet, WIRE_DATA_HEADER, text, sizeof(text), body, body + sizeof(text));
	memcpy(again, packet, sizeof(packet));
	assert_int_equal(cached_key_open(e, nonce, packet, sizeof(text)), 0);
	assert_memory_equal(body, text, sizeof(text));
	cached_key_seal(e, nonce, packet, sizeof(text));
	assert_memory_equal(packet, again, sizeof(packet));
	aead_key_clear(k);
	free(k);
}

static struct cached_key
get(struct keycache *c, uint64_t tag)
{
	struct session_keys k = keys_of(tag);

	assert_true(tag < TAGS);
	keycache_prefetch(c, places[tag], sizeof(text));
	return keycache_get(c, tag, &k, &places[tag]);
}

static struct keycache *
cache_new(uint32_t entries)
{
	struct keycache *c = keycache_new(entries, SOCKET_ID_ANY);

	assert_non_null(c);
	for (unsigned i = 0; i < TAGS; i++)
		places[i] = KEYCACHE_NOWHERE;
	return c;
}

static void
refuses_bad_sizes(void **state)
{
	(void)state;
	assert_null(keycache_new(0, SOCKET_ID_ANY));
	assert_null(keycache_new(KEYCACHE_ENTRIES_MIN / 2, SOCKET_ID_ANY));
	assert_null(keycache_new(48, SOCKET_ID_ANY));
	keycache_free(NULL);
}

static void
hit_after_miss(void **state)
{
	struct keycache *c = cache_new(ENTRIES);
	struct cached_key e;

	(void)state;
	e = get(c, 7);
	assert_int_equal(keycache_misses(c), 1);
	assert_key_of(e, 7);
	assert_ptr_equal(get(c, 7).entry, e.entry);
	assert_int_equal(keycache_misses(c), 1);
	keycache_free(c);
}

/* As many sessions as there are entries all stay, whatever other sessions pass by. */
static void
as_many_as_entries_fit(void **state)
{
	struct keycache *c = cache_new(1024);

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		for (uint64_t tag = 1; tag <= 1024; tag++)
			get(c, tag);
		assert_int_equal(keycache_misses(c), 1024);
	}
	keycache_free(c);
}

/* A burst of sessions that are not admitted: what was expanded to open their packets is there to seal the answers. */
static void
answers_find_the_key_that_opened(void **state)
{
	struct keycache *c = cache_new(ENTRIES);

	(void)state;
	for (uint64_t first = 1; first + 32 < TAGS; first += 32) {
		uint64_t misses = keycache_misses(c);

		for (uint64_t tag = first; tag < first + 32; tag++)
			assert_key_of(get(c, tag), tag);
		assert_int_equal(keycache_misses(c), misses + 32);
		for (uint64_t tag = first; tag < first + 32; tag++)
			assert_key_of(get(c, tag), tag);
		assert_int_equal(keycache_misses(c), misses + 32);
	}
	keycache_free(c);
}

/* Sessions that come again and again get in, and stay although many more pass by only once. */
static void
hot_sessions_are_admitted_and_stay(void **state)
{
	struct keycache *c = cache_new(ENTRIES);
	uint64_t before;
	unsigned hits = 0, asked = 0;

	(void)state;
	for (uint64_t tag = 2000; tag < 2000 + ENTRIES; tag++)
		get(c, tag); /* full */
	for (unsigned round = 0; round < 400; round++) {
		for (uint64_t hot = 1; hot <= 8; hot++) {
			before = keycache_misses(c);
			assert_key_of(get(c, hot), hot);
			asked += round >= 200;
			hits += round >= 200 && keycache_misses(c) == before;
		}
		for (uint64_t i = 0; i < KEYCACHE_PASSING; i++)
			get(c, 100 + (round * KEYCACHE_PASSING + i) % 1800);
	}
	/* Passing keys are all others' by the time that a hot session comes again: what is found was admitted. */
	assert_true(hits * 10 > asked * 9);
	keycache_free(c);
}

static void
drop_wipes(void **state)
{
	static const struct aead_key zero;
	struct keycache *c = cache_new(ENTRIES);
	struct aead_key *e;

	(void)state;
	get(c, 4);
	e = get(c, 5).entry;
	assert_memory_not_equal(e, &zero, sizeof(*e));
	keycache_drop(c, 5, &places[5]);
	assert_memory_equal(e, &zero, sizeof(*e));
	assert_int_equal(places[5], KEYCACHE_NOWHERE);
	keycache_drop(c, 5, &places[5]);
	/* The place of somebody else: not his to wipe. */
	places[6] = places[4];
	keycache_drop(c, 6, &places[6]);
	assert_key_of(get(c, 4), 4);
	assert_int_equal(keycache_misses(c), 2);
	assert_key_of(get(c, 5), 5);
	assert_int_equal(keycache_misses(c), 3);
	keycache_free(c);
}

/* Keys that pass are brief ones, and wiped as the others are. */
static void
passing_keys_are_wiped(void **state)
{
	static const struct aead_brief zero;
	struct keycache *c = cache_new(KEYCACHE_ENTRIES_MIN);
	struct cached_key e = {NULL, NULL};
	uint64_t tag;

	(void)state;
	for (tag = 1; tag < TAGS && e.passing == NULL; tag++)
		e = get(c, tag);
	tag--;
	assert_non_null(e.passing);
	assert_null(e.entry);
	assert_key_of(e, tag);
	keycache_drop(c, tag, &places[tag]);
	assert_memory_equal(e.passing, &zero, sizeof(zero));
	e = get(c, tag);
	assert_key_of(e, tag);
	keycache_wipe(c);
	if (e.passing != NULL)
		assert_memory_equal(e.passing, &zero, sizeof(zero));
	else
		assert_memory_equal(e.entry, &(struct aead_key){0}, sizeof(*e.entry));
	keycache_free(c);
}

/* The cipher library found no memory: nothing opens, and no plaintext leaves. */
static void
no_key_opens_nothing(void **state)
{
	static const uint8_t zero[sizeof(text) + WIRE_TAG];
	uint8_t packet[WIRE_DATA_HEADER + sizeof(text) + WIRE_TAG];

	(void)state;
	memcpy(packet + WIRE_DATA_HEADER, text, sizeof(text));
	assert_int_equal(cached_key_open((struct cached_key){NULL, NULL}, nonce, packet, sizeof(text)), -EBADMSG);
	cached_key_seal((struct cached_key){NULL, NULL}, nonce, packet, sizeof(text));
	assert_memory_equal(packet + WIRE_DATA_HEADER, zero, sizeof(zero));
}

/* Whatever is evicted, the key handed out is the tag's; also when the places remembered are nonsense. */
static void
random_use_gives_right_keys(void **state)
{
	struct keycache *c = cache_new(16);
	uint64_t random = 42;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		uint64_t tag;

		random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
		tag = 1 + (random >> 33) % 400;
		if (random >> 60 == 0)
			keycache_drop(c, tag, &places[tag]);
		else if (random >> 60 == 1)
			places[tag] = random >> 20 & 0xff;
		else
			assert_key_of(get(c, tag), tag);
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
		cmocka_unit_test(as_many_as_entries_fit),
		cmocka_unit_test(answers_find_the_key_that_opened),
		cmocka_unit_test(hot_sessions_are_admitted_and_stay),
		cmocka_unit_test(drop_wipes),
		cmocka_unit_test(passing_keys_are_wiped),
		cmocka_unit_test(no_key_opens_nothing),
		cmocka_unit_test(random_use_gives_right_keys),
	};

	return cmocka_run_group_tests(tests, setup, eal_fixture_teardown);
}
