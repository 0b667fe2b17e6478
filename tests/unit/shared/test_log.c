// SPDX-License-Identifier: BSD-3-Clause
#include "shared/log.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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
	log_set_format(LOG_FORMAT_LOGFMT);
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	fclose(captured);
	return 0;
}

/* All that was logged so far; the buffer is static. */
static const char *
logged(void)
{
	static char text[16384];
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
	log_info(session, "session added", "sid=%d name=\"%s\"", 7, "a b");
	line = logged();
	assert_int_equal(sscanf(line, "ts=%4[0-9]-", year), 1);
	assert_non_null(strstr(line, "Z level=info program=rookery-test area=session msg=\"session added\" sid=7 name=\"a b\"\n"));
	assert_int_equal(strlen(line), strchr(line, '\n') - line + 1);
}

static void
test_no_fields(void **state)
{
	(void)state;
	log_error(control, "stopped", "%s", "");
	assert_non_null(strstr(logged(), "msg=\"stopped\""));
}

static void
test_level_is_a_threshold(void **state)
{
	(void)state;
	log_open("rookery-test", LOG_LEVEL_WARNING);
	log_debug(control, "one", "x=%d", 1);
	log_info(control, "two", "x=%d", 2);
	log_warning(control, "three", "x=%d", 3);
	log_error(control, "four", "x=%d", 4);
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
	log_info(control, "name taken", "name=\"%s\"", "x\nts=0 level=error\x1b[31m");
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
	log_info(control, "long", "value=%s", huge);
	log_info(control, huge, "value=%d", 1);
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
	log_set_level(LOG_AREA_login, LOG_LEVEL_DEBUG);
	log_set_level(LOG_AREA_store, LOG_LEVEL_ERROR);
	log_debug(login, "seen 1", "");
	log_debug(log, "hidden", "");
	log_warning(store, "hidden", "");
	log_error(store, "seen 2", "");
	log_set_level(LOG_AREA_store, LOG_LEVEL_WARNING);
	log_warning(store, "seen 3", "");
	assert_int_equal(log_level_of(LOG_AREA_store), LOG_LEVEL_WARNING);
	assert_int_equal(log_level_of(LOG_AREA_port), LOG_LEVEL_INFO);
	log_set_level(LOG_AREA_login, LOG_LEVEL_ERROR);
	/* All at once: nothing is left of the single ones. */
	log_set_levels(LOG_LEVEL_INFO);
	log_info(login, "seen 4", "");
	log_debug(login, "hidden", "");
	line = logged();
	assert_null(strstr(line, "hidden"));
	for (char c = '1'; c <= '4'; c++) {
		snprintf(name, sizeof(name), "seen %c", c);
		assert_non_null(strstr(line, name));
	}
}

/* ---- escaping ------------------------------------------------------------------------ */

static void
test_value_cannot_forge_a_key(void **state)
{
	(void)state;
	log_open("rookery-test", LOG_LEVEL_INFO);
	log_info(control, "say \"hi\"", "name=\"%s\" bare=%s n=%d", "x\" level=\"error", "y level=error", 3);
	assert_non_null(strstr(logged(), "msg=\"say \\\"hi\\\"\" name=\"x\\\" level=\\\"error\" bare=\"y level=error\" n=3\n"));
}

static void
test_every_conversion(void **state)
{
	(void)state;
	log_open("rookery-test", LOG_LEVEL_INFO);
	log_info(control, "m", "d=%d ld=%ld lld=%lld zu=%zu u=%u x=%016llx c=%c s=%.*s pct=100%% pair=%u/%u p=%5.1f l=%lu", -1, -2L, -3LL,
		 (size_t)4, 5u, 0xabcULL, 'c', 2, "xyz", 6u, 7u, 8.25, 9UL);
	assert_non_null(strstr(logged(), "d=-1 ld=-2 lld=-3 zu=4 u=5 x=0000000000000abc c=c s=xy pct=100% pair=6/7 p=\"  8.2\" l=9\n"));
}

static void
json_start(void)
{
	log_open("rookery-test", LOG_LEVEL_INFO);
	log_set_format(LOG_FORMAT_JSON);
}

static json_t *
logged_json(void)
{
	json_error_t e;
	json_t *line = json_loads(logged(), JSON_REJECT_DUPLICATES, &e);

	if (line == NULL)
		fail_msg("%s in %s", e.text, logged());
	return line;
}

static void
test_json(void **state)
{
	json_t *line;

	(void)state;
	json_start();
	log_warning(session, "it is \"so\"", "sid=%u key=%016llx name=\"%s\" rate=%u/s", 7u, 1ULL, "a\\b \"c\"\n\xc3\xa9\xff", 3u);
	line = logged_json();
	assert_string_equal(json_string_value(json_object_get(line, "level")), "warning");
	assert_string_equal(json_string_value(json_object_get(line, "area")), "session");
	assert_string_equal(json_string_value(json_object_get(line, "program")), "rookery-test");
	assert_string_equal(json_string_value(json_object_get(line, "msg")), "it is \"so\"");
	assert_int_equal(json_integer_value(json_object_get(line, "sid")), 7);
	assert_string_equal(json_string_value(json_object_get(line, "key")), "0000000000000001");
	assert_string_equal(json_string_value(json_object_get(line, "name")), "a\\b \"c\"?\xc3\xa9?");
	assert_string_equal(json_string_value(json_object_get(line, "rate")), "3/s");
	assert_non_null(json_object_get(line, "ts"));
	json_decref(line);
}

/* Cut, but still one object. */
static void
test_long_json(void **state)
{
	char huge[5000];
	json_t *line;

	(void)state;
	memset(huge, '"', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	json_start();
	log_info(control, huge, "one=\"%s\" two=\"%s\" three=\"%s\" four=%d", huge, huge, huge, 4);
	line = logged_json();
	assert_non_null(json_object_get(line, "msg"));
	json_decref(line);
	assert_true(strlen(logged()) <= 2048);
}

/* ---- the journal --------------------------------------------------------------------- */

static void
test_journal(void **state)
{
	char stream[64];
	struct stat st;

	(void)state;
	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_open("rookery-test", LOG_LEVEL_DEBUG);
	log_error(control, "one", "%s", "");
	log_warning(control, "two", "x=%d", 1);
	log_info(control, "three", "x=%d", 1);
	log_debug(control, "four", "x=%d", 1);
	assert_string_equal(logged(), "<3>level=error program=rookery-test area=control msg=\"one\"\n"
				      "<4>level=warning program=rookery-test area=control msg=\"two\" x=1\n"
				      "<6>level=info program=rookery-test area=control msg=\"three\" x=1\n"
				      "<7>level=debug program=rookery-test area=control msg=\"four\" x=1\n");
	unsetenv("JOURNAL_STREAM");
}

/* The variable is inherited by children whose stderr is another. */
static void
test_another_stream(void **state)
{
	(void)state;
	setenv("JOURNAL_STREAM", "1:1", 1);
	log_open("rookery-test", LOG_LEVEL_INFO);
	log_info(control, "one", "x=%d", 1);
	assert_int_equal(strncmp(logged(), "ts=", 3), 0);
	unsetenv("JOURNAL_STREAM");
}

/* ---- names ------------------------------------------------------------------------------ */

static void
test_names(void **state)
{
	enum log_level level;
	enum log_area area;
	char error[300];

	(void)state;
	for (unsigned i = 0; i < LOG_AREA_COUNT; i++) {
		assert_int_equal(log_area_find(log_area_name[i], &area, error, sizeof(error)), 0);
		assert_int_equal(area, i);
	}
	assert_int_equal(log_area_find("lgoin", &area, error, sizeof(error)), -EINVAL);
	assert_string_equal(error, "\"lgoin\" is no area; did you mean \"login\"?");
	assert_int_equal(log_area_find("weather", &area, error, sizeof(error)), -EINVAL);
	assert_non_null(strstr(error, "\"weather\" is no area: bans, control, "));
	assert_non_null(strstr(error, ", launcher"));
	assert_int_equal(log_area_find("", &area, error, sizeof(error)), -EINVAL);
	assert_int_equal(log_level_find("debug", &level), 0);
	assert_int_equal(level, LOG_LEVEL_DEBUG);
	assert_int_equal(log_level_find("loud", &level), -EINVAL);
	assert_int_equal(log_level_find("", &level), -EINVAL);
}

/* ---- how often ----------------------------------------------------------------------------- */

static void
test_site_in_virtual_time(void **state)
{
	struct log_site site = {0};
	uint64_t now = 1000000;
	uint32_t suppressed;

	(void)state;
	for (unsigned i = 0; i < LOG_SITE_BURST; i++) {
		assert_true(log_site_pass(&site, now, &suppressed));
		assert_int_equal(suppressed, 0);
	}
	for (unsigned i = 0; i < 500; i++)
		assert_false(log_site_pass(&site, now, &suppressed));
	now += LOG_SITE_GAP_MS;
	assert_true(log_site_pass(&site, now, &suppressed));
	assert_int_equal(suppressed, 500);
	assert_false(log_site_pass(&site, now, &suppressed));
	/* After a quiet time the whole burst again. */
	now += LOG_SITE_BURST * LOG_SITE_GAP_MS;
	assert_true(log_site_pass(&site, now, &suppressed));
	assert_int_equal(suppressed, 1);
	for (unsigned i = 1; i < LOG_SITE_BURST; i++)
		assert_true(log_site_pass(&site, now, &suppressed));
	assert_false(log_site_pass(&site, now, &suppressed));
}

static unsigned
lines_with(const char *what)
{
	unsigned n = 0;

	for (const char *p = logged(); (p = strstr(p, what)) != NULL; p++)
		n++;
	return n;
}

static void
test_sites_are_limited_one_by_one(void **state)
{
	(void)state;
	log_open("rookery-test", LOG_LEVEL_DEBUG);
	for (unsigned i = 0; i < LOG_SITE_BURST + 30; i++) {
		log_warning(control, "flood", "i=%u", i);
		log_debug(control, "all", "i=%u", i);
	}
	log_warning(control, "other", "x=%d", 1);
	/* A second may have passed on a slow machine; a minute has not. */
	assert_in_range(lines_with("msg=\"flood\""), LOG_SITE_BURST, LOG_SITE_BURST + 29);
	assert_int_equal(lines_with("msg=\"all\""), LOG_SITE_BURST + 30);
	assert_int_equal(lines_with("msg=\"other\""), 1);
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
		cmocka_unit_test_setup_teardown(test_value_cannot_forge_a_key, capture, release),
		cmocka_unit_test_setup_teardown(test_every_conversion, capture, release),
		cmocka_unit_test_setup_teardown(test_json, capture, release),
		cmocka_unit_test_setup_teardown(test_long_json, capture, release),
		cmocka_unit_test_setup_teardown(test_journal, capture, release),
		cmocka_unit_test_setup_teardown(test_another_stream, capture, release),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_site_in_virtual_time),
		cmocka_unit_test_setup_teardown(test_sites_are_limited_one_by_one, capture, release),
		cmocka_unit_test_setup_teardown(test_areas_have_levels_of_their_own, capture, release),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
