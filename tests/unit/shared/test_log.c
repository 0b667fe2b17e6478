// SPDX-License-Identifier: BSD-3-Clause
#include "shared/log.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int saved_stderr;
static FILE *captured;

static int
capture(void **state)
{
	(void)state;
	captured = tmpfile();
	saved_stderr = dup(STDERR_FILENO);
	return captured == NULL || dup2(fileno(captured), STDERR_FILENO) < 0;
}

static int
release(void **state)
{
	(void)state;
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	fclose(captured);
	return 0;
}

/* All that was logged so far; the buffer is static. */
static const char *
logged(void)
{
	static char text[8192];
	ssize_t n = pread(fileno(captured), text, sizeof(text) - 1, 0);

	text[n < 0 ? 0 : n] = '\0';
	return text;
}

static void
test_line_is_logfmt(void **state)
{
	const char *line;
	char year[5];

	(void)state;
	log_open("rookery-test", LOG_LEVEL_INFO);
	log_info("session", "session added", "sid=%d name=\"%s\"", 7, "a b");
	line = logged();
	assert_int_equal(sscanf(line, "ts=%4[0-9]-", year), 1);
	assert_non_null(strstr(line, "Z level=info program=rookery-test area=session msg=\"session added\" sid=7 name=\"a b\"\n"));
	assert_int_equal(strlen(line), strchr(line, '\n') - line + 1);
}

static void
test_no_fields(void **state)
{
	(void)state;
	log_error("main", "stopped", "%s", "");
	assert_non_null(strstr(logged(), "msg=\"stopped\""));
}

static void
test_level_is_a_threshold(void **state)
{
	(void)state;
	log_open("rookery-test", LOG_LEVEL_WARNING);
	log_debug("a", "one", "x=%d", 1);
	log_info("a", "two", "x=%d", 2);
	log_warning("a", "three", "x=%d", 3);
	log_error("a", "four", "x=%d", 4);
	assert_null(strstr(logged(), "one"));
	assert_null(strstr(logged(), "two"));
	assert_non_null(strstr(logged(), "three"));
	assert_non_null(strstr(logged(), "four"));
}

static void
test_value_cannot_forge_a_line(void **state)
{
	const char *line;

	(void)state;
	log_open("rookery-test", LOG_LEVEL_INFO);
	log_info("a", "name taken", "name=\"%s\"", "x\nts=0 level=error\x1b[31m");
	line = logged();
	assert_int_equal(strlen(line), strchr(line, '\n') - line + 1);
	assert_null(strchr(line, '\x1b'));
}

static void
test_long_line_is_cut_and_ends(void **state)
{
	char huge[5000];
	const char *line;

	(void)state;
	memset(huge, 'x', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	log_open("rookery-test", LOG_LEVEL_INFO);
	log_info("a", "long", "value=%s", huge);
	log_info("a", huge, "value=%d", 1);
	line = logged();
	assert_true(strlen(line) <= 2 * 2048);
	assert_int_equal(line[strlen(line) - 1], '\n');
	assert_ptr_not_equal(strchr(line, '\n'), strrchr(line, '\n'));
}

static void
test_areas_have_levels_of_their_own(void **state)
{
	const char *line;
	char name[8];

	(void)state;
	log_open("rookery-test", LOG_LEVEL_INFO);
	assert_int_equal(log_set_level("login", LOG_LEVEL_DEBUG), 0);
	assert_int_equal(log_set_level("store", LOG_LEVEL_ERROR), 0);
	log_debug("login", "seen 1", "");
	log_debug("loginx", "hidden", "");
	log_warning("store", "hidden", "");
	log_error("store", "seen 2", "");
	assert_int_equal(log_set_level("store", LOG_LEVEL_WARNING), 0);
	log_warning("store", "seen 3", "");
	assert_int_equal(log_set_level("an area with far too long a name", LOG_LEVEL_DEBUG), -EINVAL);
	for (int i = 0; i < 14; i++) {
		snprintf(name, sizeof(name), "a%d", i);
		assert_int_equal(log_set_level(name, LOG_LEVEL_ERROR), 0);
	}
	assert_int_equal(log_set_level("one more", LOG_LEVEL_ERROR), -ENOSPC);
	assert_int_equal(log_set_level("login", LOG_LEVEL_ERROR), 0);
	/* All at once: nothing is left of the single ones. */
	assert_int_equal(log_set_level(NULL, LOG_LEVEL_INFO), 0);
	log_info("login", "seen 4", "");
	log_debug("login", "hidden", "");
	line = logged();
	assert_null(strstr(line, "hidden"));
	for (char c = '1'; c <= '4'; c++) {
		snprintf(name, sizeof(name), "seen %c", c);
		assert_non_null(strstr(line, name));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_line_is_logfmt, capture, release),
		cmocka_unit_test_setup_teardown(test_no_fields, capture, release),
		cmocka_unit_test_setup_teardown(test_level_is_a_threshold, capture, release),
		cmocka_unit_test_setup_teardown(test_value_cannot_forge_a_line, capture, release),
		cmocka_unit_test_setup_teardown(test_long_line_is_cut_and_ends, capture, release),
		cmocka_unit_test_setup_teardown(test_areas_have_levels_of_their_own, capture, release),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
