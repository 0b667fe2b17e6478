/* SPDX-License-Identifier: BSD-3-Clause */
/* The replay window against a set that forgets nothing. */
#include "dataplane/replay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void
starts_empty_and_takes_no_zero(void **state)
{
	struct replay_window w = {0};

	(void)state;
	assert_false(replay_fresh(&w, 0));
	assert_true(replay_fresh(&w, 1));
	assert_true(replay_fresh(&w, UINT64_MAX));
	assert_true(replay_record(&w, 1));
	assert_false(replay_fresh(&w, 0));
	assert_false(replay_fresh(&w, 1));
	assert_true(replay_fresh(&w, 2));
}

static void
fresh_changes_nothing(void **state)
{
	struct replay_window w = {0};
	struct replay_window before;

	(void)state;
	replay_record(&w, 500);
	replay_record(&w, 450);
	before = w;
	for (uint64_t s = 0; s < 1000; s++)
		replay_fresh(&w, s);
	assert_memory_equal(&w, &before, sizeof(w));
}

static void
edges_of_the_window(void **state)
{
	(void)state;
	/* Every shift across the two words, from a full and from an empty window. */
	for (uint64_t shift = 1; shift <= 3 * REPLAY_WINDOW; shift++) {
		for (int full = 0; full <= 1; full++) {
			struct replay_window w = {0};
			uint64_t high = 1000;
			uint64_t next = high + shift;

			for (uint64_t s = high - REPLAY_WINDOW + 1; full && s < high; s++)
				replay_record(&w, s);
			replay_record(&w, high);
			assert_true(replay_record(&w, next));
			assert_int_equal(w.highest, next);
			assert_false(replay_fresh(&w, next));
			/* Out at the back: the oldest that is remembered, and the one before. */
			assert_false(replay_fresh(&w, next - REPLAY_WINDOW));
			for (uint64_t s = next - REPLAY_WINDOW + 1; s < next; s++) {
				bool seen = s == high || (full && s < high && s > high - REPLAY_WINDOW);

				assert_int_equal(replay_fresh(&w, s), !seen);
			}
		}
	}
}

static void
late_is_recorded_once_and_is_not_highest(void **state)
{
	struct replay_window w = {0};

	(void)state;
	assert_true(replay_record(&w, 300));
	for (uint64_t s = 300 - REPLAY_WINDOW + 1; s < 300; s++) {
		assert_true(replay_fresh(&w, s));
		assert_false(replay_record(&w, s));
		assert_false(replay_fresh(&w, s));
	}
	assert_int_equal(w.highest, 300);
}

static void
end_of_the_number_space(void **state)
{
	struct replay_window w = {0};

	(void)state;
	replay_record(&w, UINT64_MAX - 1);
	assert_true(replay_fresh(&w, UINT64_MAX));
	assert_true(replay_record(&w, UINT64_MAX));
	assert_false(replay_fresh(&w, UINT64_MAX));
	assert_false(replay_fresh(&w, UINT64_MAX - 1));
	assert_false(replay_fresh(&w, 1));
}

/* Loss, reordering, duplication and jumps: nothing is taken twice, nothing fresh inside the window is
 * refused. */
static void
random_against_model(void **state)
{
	enum { SPACE = 1 << 16 };
	bool *seen = calloc(SPACE, sizeof(*seen));
	uint64_t random = 88172645463325252;

	(void)state;
	assert_non_null(seen);
	for (unsigned round = 0; round < 20; round++) {
		struct replay_window w = {0};
		uint64_t at = 1;

		memset(seen, 0, SPACE * sizeof(*seen));
		while (at < SPACE - 1024) {
			uint64_t back;
			uint64_t s;
			bool expected;

			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			at += random % 100 == 0 ? (random >> 20) % 400 : (random >> 20) % 3;
			back = random >> 40 & 1 ? (random >> 50) % (REPLAY_WINDOW + 20) : 0;
			s = at > back ? at - back : 0;
			expected = s > w.highest || (s != 0 && w.highest - s < REPLAY_WINDOW && !seen[s]);
			assert_int_equal(replay_fresh(&w, s), expected);
			if (expected) {
				bool highest = replay_record(&w, s);

				assert_int_equal(highest, s == w.highest);
				seen[s] = true;
			}
		}
	}
	free(seen);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(starts_empty_and_takes_no_zero),
		cmocka_unit_test(fresh_changes_nothing),
		cmocka_unit_test(edges_of_the_window),
		cmocka_unit_test(late_is_recorded_once_and_is_not_highest),
		cmocka_unit_test(end_of_the_number_space),
		cmocka_unit_test(random_against_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
