/* SPDX-License-Identifier: BSD-3-Clause */
/* Token buckets in virtual time, alone and in the table. */
#include "shared/rate.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000)
#define SETS 64

static void
test_burst_then_rate(void **state)
{
	struct rate r = rate_make(10, 1000, 5);
	uint64_t bucket = 0, now = 1000 * SECOND;

	(void)state;
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(rate_take(&bucket, &r, now), 0);
	assert_int_equal(rate_take(&bucket, &r, now), SECOND / 10);
	/* To wait and to ask again changes nothing. */
	assert_int_equal(rate_take(&bucket, &r, now + 1), SECOND / 10 - 1);
	assert_int_equal(rate_take(&bucket, &r, now + SECOND / 10), 0);
	assert_int_equal(rate_take(&bucket, &r, now + SECOND / 10), SECOND / 10);
	/* A long rest fills it, no more. */
	now += 3600 * SECOND;
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(rate_take(&bucket, &r, now), 0);
	assert_true(rate_take(&bucket, &r, now) > 0);
}

/* Whoever tries all the time gets exactly the rate, whatever his pace. */
static void
test_long_run(void **state)
{
	static const uint64_t paces[] = {1, 7, 333, 99999, 1234567};
	struct rate r = rate_make(100, 1000, 20);

	(void)state;
	for (unsigned p = 0; p < sizeof(paces) / sizeof(paces[0]); p++) {
		uint64_t bucket = 0, start = 50 * SECOND, passed = 0, tries = 0, now;

		for (now = start; now < start + 10 * SECOND && tries < 200000; now += paces[p], tries++)
			passed += rate_take(&bucket, &r, now) == 0;
		assert_true(passed <= 20 + (now - start) * 100 / SECOND);
		assert_true(passed == tries || passed + 1 >= (now - start) * 100 / SECOND);
	}
}

static void
test_the_wait_is_the_truth(void **state)
{
	struct rate r = rate_make(3, 1000, 2);
	uint64_t bucket = 0, now = 9 * SECOND;

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		uint64_t wait = rate_take(&bucket, &r, now);

		if (wait == 0)
			continue;
		assert_true(rate_wait(&bucket, &r, now + wait - 1) > 0);
		now += wait;
		assert_int_equal(rate_wait(&bucket, &r, now), 0);
	}
}

static void
test_no_limit(void **state)
{
	struct rate r = rate_make(0, 1000, 1);
	uint64_t bucket = 0;

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(rate_take(&bucket, &r, 5), 0);
}

static void
test_fastest_rate(void **state)
{
	struct rate r = rate_make(UINT64_C(4000000000), 1000, 1);

	(void)state;
	assert_true(r.interval_ns > 0);
}

/* ---- the table ---------------------------------------------------------------------- */

static struct rate_set sets[SETS];
static struct rate_table table;

static void
table_new(void)
{
	memset(sets, 0, sizeof(sets));
	rate_table_init(&table, sets, SETS);
}

static uint64_t
take(uint64_t key, const struct rate *r, uint64_t now)
{
	return rate_table_take(&table, &key, sizeof(key), r, now);
}

static void
test_keys_are_apart(void **state)
{
	struct rate r = rate_make(1, 1000, 3);

	(void)state;
	table_new();
	/* As many keys as surely find room: no set sees more than its ways of them but by bad luck, and then the first lets
	 * pass too much, never the second too little. */
	for (uint64_t key = 0; key < 20; key++)
		for (unsigned i = 0; i < 3; i++)
			assert_int_equal(take(key, &r, 7 * SECOND), 0);
	assert_true(take(19, &r, 7 * SECOND) > 0);
}

/* Strangers fill the table again and again: whoever is deep in debt is not forgotten. */
static void
test_the_worst_is_remembered(void **state)
{
	struct rate r = rate_make(1, 1000, 10);
	uint64_t now = 7 * SECOND;

	(void)state;
	table_new();
	while (take(1, &r, now) == 0)
		;
	for (uint64_t stranger = 1000; stranger < 1000 + 100 * SETS; stranger++)
		assert_int_equal(take(stranger, &r, now), 0);
	assert_true(take(1, &r, now) > 0);
}

/* A key that is not there is a full bucket, however full the table. */
static void
test_a_newcomer_passes(void **state)
{
	struct rate r = rate_make(1, 60000, 2);
	uint64_t now = 7 * SECOND;

	(void)state;
	table_new();
	for (uint64_t key = 0; key < 50 * SETS; key++)
		while (take(key, &r, now) == 0)
			;
	for (uint64_t key = 1000000; key < 1000100; key++)
		assert_int_equal(take(key, &r, now), 0);
}

/* Two tables put the same keys at other places: nobody can aim at a set. */
static void
test_secret_differs(void **state)
{
	static struct rate_set other_sets[SETS];
	struct rate_table other;
	unsigned same = 0;

	(void)state;
	table_new();
	rate_table_init(&other, other_sets, SETS);
	for (uint64_t key = 0; key < 256; key++)
		same += (rate_table_bucket(&table, &key, sizeof(key), 0) - &sets[0].way[0].bucket) ==
			(rate_table_bucket(&other, &key, sizeof(key), 0) - &other_sets[0].way[0].bucket);
	assert_true(same < 64);
}

static struct rate_prefix
prefix(const char *text, unsigned bits4, unsigned bits6)
{
	struct rate_prefix p;
	struct endpoint e;

	assert_int_equal(endpoint_parse(&e, text, 1), 0);
	rate_prefix(&p, &e, bits4, bits6);
	return p;
}

static void
assert_same(const char *a, const char *b, unsigned bits4, unsigned bits6, bool same)
{
	struct rate_prefix p = prefix(a, bits4, bits6), q = prefix(b, bits4, bits6);

	assert_true((memcmp(&p, &q, sizeof(p)) == 0) == same);
}

static void
test_prefixes(void **state)
{
	(void)state;
	assert_same("10.1.2.3:5", "10.1.2.3:6", 32, 64, true);
	assert_same("10.1.2.3", "10.1.2.4", 32, 64, false);
	assert_same("10.1.2.3", "10.1.2.254", 24, 48, true);
	assert_same("10.1.2.3", "10.1.3.3", 24, 48, false);
	assert_same("[2001:db8:1:2::3]:5", "[2001:db8:1:2:ffff::9]:5", 32, 64, true);
	assert_same("[2001:db8:1:2::3]:5", "[2001:db8:1:3::3]:5", 32, 64, false);
	assert_same("[2001:db8:1:2::3]:5", "[2001:db8:1:3::3]:5", 24, 48, true);
	assert_same("[2001:db8:1::3]:5", "[2001:db8:2::3]:5", 24, 48, false);
	/* The whole of IPv4 is not one IPv6 network. */
	assert_same("10.1.2.3", "11.1.2.3", 24, 48, false);
	assert_same("10.1.2.3", "[::]:1", 24, 48, false);
}

static int
setup(void **state)
{
	(void)state;
	return sodium_init() < 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_burst_then_rate),
		cmocka_unit_test(test_long_run),
		cmocka_unit_test(test_the_wait_is_the_truth),
		cmocka_unit_test(test_no_limit),
		cmocka_unit_test(test_fastest_rate),
		cmocka_unit_test(test_keys_are_apart),
		cmocka_unit_test(test_the_worst_is_remembered),
		cmocka_unit_test(test_a_newcomer_passes),
		cmocka_unit_test(test_secret_differs),
		cmocka_unit_test(test_prefixes),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
