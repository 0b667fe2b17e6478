/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/admin_protocol.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int
parse(const char *line, struct admin_request *r, int *id_known)
{
	const char *error;
	int result = admin_request_parse(line, strlen(line), r, id_known, &error);
	if (result < 0) {
		assert_non_null(error);
		assert_null(r->args);
	}
	return result;
}

static void
test_request(void **state)
{
	(void)state;
	struct admin_request r;
	int known;
	assert_int_equal(
		parse("{\"id\":7,\"command\":\"users.add\",\"args\":{\"name\":\"alice\"}}", &r, &known), 0);
	assert_int_equal(r.id, 7);
	assert_string_equal(r.command, "users.add");
	assert_string_equal(json_string_value(json_object_get(r.args, "name")), "alice");
	admin_request_clear(&r);
	assert_null(r.args);
}

static void
test_args_may_be_missing(void **state)
{
	(void)state;
	struct admin_request r;
	int known;
	assert_int_equal(parse(" {\"command\":\"status\", \"id\":-1} ", &r, &known), 0);
	assert_int_equal(r.id, -1);
	assert_true(json_is_object(r.args));
	assert_int_equal(json_object_size(r.args), 0);
	admin_request_clear(&r);
}

static void
test_refused_lines(void **state)
{
	(void)state;
	static const struct {
		const char *line;
		int id_known;
	} cases[] = {
		{"", 0},
		{"hello", 0},
		{"[]", 0},
		{"{}", 0},
		{"{\"id\":1", 0},
		{"{\"id\":1}{\"id\":2}", 0},
		{"{\"id\":1.5,\"command\":\"status\"}", 0},
		{"{\"id\":\"1\",\"command\":\"status\"}", 0},
		{"{\"id\":99999999999999999999,\"command\":\"status\"}", 0},
		{"{\"id\":1,\"id\":1,\"command\":\"status\"}", 0},
		{"{\"id\":1}", 1},
		{"{\"id\":1,\"command\":1}", 1},
		{"{\"id\":1,\"command\":\"\"}", 1},
		{"{\"id\":1,\"command\":\"0123456789012345678901234567890123456789\"}", 1},
		{"{\"id\":1,\"command\":\"status\",\"args\":[]}", 1},
		{"{\"id\":1,\"command\":\"status\",\"args\":null}", 1},
		{"{\"id\":1,\"command\":\"status\",\"arg\":{}}", 1},
		{"{\"id\":1,\"command\":\"sta\\u0000tus\"}", 0},
		{"{\"id\":1,\"command\":\"\xff\"}", 0},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct admin_request r;
		int known = -1;
		if (parse(cases[i].line, &r, &known) != -EINVAL || known != cases[i].id_known)
			fail_msg("%s", cases[i].line);
	}
}

static void
test_line_length(void **state)
{
	(void)state;
	struct admin_request r;
	const char *error;
	int known;
	char *line = malloc(ADMIN_LINE_MAX + 1);
	memset(line, ' ', ADMIN_LINE_MAX + 1);
	memcpy(line, "{\"id\":1,\"command\":\"status\"}", 27);
	assert_int_equal(admin_request_parse(line, ADMIN_LINE_MAX, &r, &known, &error), 0);
	admin_request_clear(&r);
	assert_int_equal(admin_request_parse(line, ADMIN_LINE_MAX + 1, &r, &known, &error), -EINVAL);
	free(line);
}

static void
test_replies(void **state)
{
	(void)state;
	json_int_t id = 12;
	char *line = admin_reply_ok(id, json_pack("{s:s}", "a", "line\nbreak"));
	assert_string_equal(line, "{\"id\":12,\"ok\":true,\"result\":{\"a\":\"line\\nbreak\"}}\n");
	free(line);
	line = admin_reply_error(&id, "exists", "the name is taken");
	assert_string_equal(
		line,
		"{\"id\":12,\"ok\":false,\"error\":{\"code\":\"exists\",\"text\":\"the name is taken\"}}\n");
	free(line);
	line = admin_reply_error(NULL, "malformed", "cut \xc3");
	assert_string_equal(
		line, "{\"id\":null,\"ok\":false,\"error\":{\"code\":\"malformed\",\"text\":\"cut ?\"}}\n");
	free(line);
	/* without memory for the result */
	assert_null(admin_reply_ok(id, NULL));
}

static void
test_greeting(void **state)
{
	(void)state;
	char *line = admin_greeting(ADMIN_CONTROL);
	json_t *greeting = json_loads(line, 0, NULL);
	assert_int_equal(json_integer_value(json_object_get(greeting, "api")), ADMIN_API);
	assert_string_equal(json_string_value(json_object_get(greeting, "program")), "rookery-control");
	assert_string_equal(json_string_value(json_object_get(greeting, "version")), ROOKERY_VERSION);
	json_decref(greeting);
	free(line);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request),	      cmocka_unit_test(test_args_may_be_missing),
		cmocka_unit_test(test_refused_lines), cmocka_unit_test(test_line_length),
		cmocka_unit_test(test_replies),	      cmocka_unit_test(test_greeting),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
