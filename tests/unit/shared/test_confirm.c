// SPDX-License-Identifier: BSD-3-Clause
/* What was confirmed, in any order of the frames, against a table of all ids. */
#include "shared/confirm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define IDS 400

struct said {
	struct frame_confirm_gaps f;
	uint8_t gaps[6 * CONFIRM_GAPS_MAX];
};

static uint32_t
random_below(uint32_t *seed, uint32_t n)
{
	*seed = *seed * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)*seed * n >> 32);
}

/* What a client says that has the answers of some ids. As many gaps as fit. */
static void
say(struct said *s, const bool *final, message_id_t highest)
{
	struct confirm_gap gaps[IDS];
	unsigned n = 0;

	for (message_id_t id = 1; id <= highest; id++) {
		if (final[id])
			continue;
		if (n > 0 && gaps[n - 1].last == id - 1)
			gaps[n - 1].last = id;
		else
			gaps[n++] = (struct confirm_gap){id, id};
	}
	if (n > CONFIRM_GAPS_MAX) {
		n = CONFIRM_GAPS_MAX;
		highest = gaps[n].first - 1;
	}
	while (n > 0 && gaps[n - 1].last == highest)
		highest = gaps[--n].first - 1;
	s->f = (struct frame_confirm_gaps){.id = highest, .count = (uint8_t)n, .gaps = s->gaps};
	for (unsigned i = 0; i < n; i++)
		wire_confirm_gap_put(s->gaps, i, highest, gaps[i].first, gaps[i].last);
}

static bool
says(const struct said *s, message_id_t id)
{
	bool yes = id <= s->f.id;

	for (unsigned i = 0; i < s->f.count; i++) {
		message_id_t first, last;

		wire_confirm_gap(&s->f, i, &first, &last);
		yes = yes && (id < first || id > last);
	}
	return yes;
}

static unsigned
gaps_in(const bool *told)
{
	message_id_t highest = IDS - 1;
	unsigned n = 0;

	while (highest > 0 && !told[highest])
		highest--;
	for (message_id_t id = 1; id < highest; id++)
		n += !told[id] && (id == 1 || told[id - 1]);
	return n;
}

/* Adds s to both; returns whether it was new and found room. */
static bool
add(struct confirmed *c, bool *told, const struct said *s)
{
	bool after[IDS] = {false}, new;
	struct confirmed before = *c;

	for (message_id_t id = 1; id < IDS; id++)
		after[id] = told[id] || says(s, id);
	new = memcmp(told, after, sizeof(after)) != 0;
	if (!confirmed_add(c, &s->f)) {
		assert_memory_equal(c, &before, sizeof(before));
		assert_true(!new || gaps_in(after) > CONFIRM_GAPS_MAX);
		return false;
	}
	assert_true(new);
	memcpy(told, after, sizeof(after));
	return true;
}

static void
agree(const struct confirmed *c, const bool *told)
{
	assert_true(confirmed_check(c));
	for (message_id_t id = 1; id < IDS; id++)
		if (confirmed_has(c, id) != told[id])
			fail_msg("id %lu: %d, said were %d", (unsigned long)id, confirmed_has(c, id), told[id]);
}

/* A client's frames, of which some are lost, come late or twice. */
static void
test_any_order(void **state)
{
	static struct said sent[64];
	uint32_t seed = 1;

	(void)state;
	for (unsigned round = 0; round < 300; round++) {
		bool final[IDS] = {false}, told[IDS] = {false};
		struct confirmed c = {0};
		message_id_t highest = 0;

		for (unsigned n = 0; n < 64; n++) {
			for (unsigned k = random_below(&seed, 20); k > 0; k--) {
				message_id_t id = 1 + random_below(&seed, n * 6 + 8);

				final[id] = true;
				highest = id > highest ? id : highest;
			}
			say(&sent[n], final, highest);
		}
		for (unsigned n = 0; n < 64; n++) {
			unsigned late = random_below(&seed, 8);
			const struct said *s = &sent[n > late ? n - late : n];

			if (random_below(&seed, 4) == 0)
				continue;
			add(&c, told, s);
			agree(&c, told);
		}
	}
}

/* Frames that contradict each other, as an honest client never sends them: what was said stays, or nothing changes. */
static void
test_contradictions(void **state)
{
	uint32_t seed = 2;
	unsigned added = 0;

	(void)state;
	for (unsigned round = 0; round < 2000; round++) {
		bool told[IDS] = {false};
		struct confirmed c = {0};

		for (unsigned n = 0; n < 8; n++) {
			bool final[IDS] = {false};
			struct said s;
			uint32_t share = random_below(&seed, 8), most = IDS - 1;

			for (message_id_t id = 1; id < IDS; id++)
				final[id] = random_below(&seed, 9) > share;
			say(&s, final, 1 + random_below(&seed, most));
			added += add(&c, told, &s);
			agree(&c, told);
		}
	}
	assert_true(added > 2000);
}

static void
test_highest_ids(void **state)
{
	uint8_t gap[6];
	struct frame_confirm_gaps f = {.id = UINT64_MAX, .count = 1, .gaps = gap};
	struct confirmed c = {.id = UINT64_MAX - 10};

	(void)state;
	wire_confirm_gap_put(gap, 0, UINT64_MAX, UINT64_MAX - 12, UINT64_MAX - 1);
	assert_true(confirmed_add(&c, &f));
	assert_true(confirmed_check(&c));
	assert_true(confirmed_has(&c, UINT64_MAX - 10));
	assert_false(confirmed_has(&c, UINT64_MAX - 9));
	assert_false(confirmed_has(&c, UINT64_MAX - 1));
	assert_true(confirmed_has(&c, UINT64_MAX));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_order),
		cmocka_unit_test(test_contradictions),
		cmocka_unit_test(test_highest_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
