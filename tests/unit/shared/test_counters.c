// SPDX-License-Identifier: BSD-3-Clause
#include "shared/counters.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ctype.h>
#include <string.h>

static void
test_every_counter_has_a_name_and_a_text(void **state)
{
	(void)state;
	for (unsigned i = 0; i < COUNTER_COUNT; i++) {
		assert_non_null(counter_info[i].name);
		assert_non_null(counter_info[i].text);
		assert_true(strlen(counter_info[i].text) > 0);
		for (const char *p = counter_info[i].name; *p != '\0'; p++)
			assert_true(islower((unsigned char)*p) || *p == '_' || isdigit((unsigned char)*p));
	}
}

static void
test_names_are_unique(void **state)
{
	(void)state;
	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		for (unsigned j = i + 1; j < COUNTER_COUNT; j++)
			assert_string_not_equal(counter_info[i].name, counter_info[j].name);
}

/* G7's sums and rookctl both go by the flag, operators go by the name. */
static void
test_drops_are_named_drops(void **state)
{
	(void)state;
	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		assert_int_equal(counter_info[i].is_drop, strncmp(counter_info[i].name, "drop_", 5) == 0);
	assert_string_equal(counter_info[COUNTER_rx_packets].name, "rx_packets");
	assert_true(counter_info[COUNTER_drop_tag].is_drop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_counter_has_a_name_and_a_text),
		cmocka_unit_test(test_names_are_unique),
		cmocka_unit_test(test_drops_are_named_drops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
