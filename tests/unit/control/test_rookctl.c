/* SPDX-License-Identifier: BSD-3-Clause */
/* rookctl's command line, tables and password files. Its way to a server is in test_admin.c. */
#include "control/cli/cli.h"
#include "control/cli/password.h"
#include "control/cli/table.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Parses "users list --limit 3" as words. The words are static: values point into them. */
static int
parse(struct cli *cli, const char *line, char *error, size_t cap)
{
	static char text[256];
	static char *argv[32];
	int argc = 1;
	memset(cli, 0, sizeof(*cli));
	error[0] = '\0';
	argv[0] = (char *)"rookctl";
	snprintf(text, sizeof(text), "%s", line);
	for (char *word = strtok(text, " "); word; word = strtok(NULL, " "))
		argv[argc++] = word;
	argv[argc] = NULL;
	return cli_parse(cli, argc, argv, error, cap);
}

static void
test_commands(void **state)
{
	(void)state;
	struct cli cli;
	char error[256];
	assert_int_equal(parse(&cli, "status", error, sizeof(error)), 0);
	assert_string_equal(cli.command->name, "status");
	assert_int_equal(parse(&cli, "users add alice", error, sizeof(error)), 0);
	assert_string_equal(cli.command->name, "users add");
	assert_string_equal(cli.args[0], "alice");
	assert_int_equal(parse(&cli, "sessions kick user:bob", error, sizeof(error)), 0);
	assert_string_equal(cli.args[0], "user:bob");
	assert_int_equal(parse(&cli, "users del -- --odd", error, sizeof(error)), 0);
	assert_string_equal(cli.args[0], "--odd");
}

static void
test_options_anywhere(void **state)
{
	(void)state;
	static const char *const lines[] = {
		"--state /s --json users list --limit 3",
		"users --json list --limit 3 --state /s",
		"users list --limit=3 --state=/s --json",
		"users list --state /s --limit 3 --json",
	};
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct cli cli;
		char error[256];
		assert_int_equal(parse(&cli, lines[i], error, sizeof(error)), 0);
		assert_string_equal(cli.state, "/s");
		assert_true(cli.json);
		assert_string_equal(cli_value(&cli, "limit"), "3");
		assert_null(cli_value(&cli, "offset"));
	}
}

static void
test_usage_errors(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{"", "no command given"},
		{"--json", "no command given"},
		{"statsu", "unknown command `statsu`"},
		{"users", "`users` alone"},
		{"users lst", "`users` has no command `lst`"},
		{"users add", "`users add` needs NAME"},
		{"users add alice bob", "`users add` does not take `bob`"},
		{"users add a b c d e", "too many"},
		{"status now", "`status` does not take `now`"},
		{"status --limit 3", "`status` has no option --limit"},
		{"--limit 3 users list", "unknown option --limit"},
		{"users list --limit", "--limit needs a value"},
		{"status --json=yes", "--json takes no value"},
		{"status -x", "unknown option -x"},
		{"users add alice --password hunter2", "no option --password"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cli cli;
		char error[256];
		assert_int_equal(parse(&cli, cases[i][0], error, sizeof(error)), -EINVAL);
		if (!strstr(error, cases[i][1]))
			fail_msg("`%s` gave: %s", cases[i][0], error);
	}
}

static void
test_help(void **state)
{
	(void)state;
	struct cli cli;
	char error[256];
	assert_int_equal(parse(&cli, "--help", error, sizeof(error)), 0);
	assert_true(cli.help);
	assert_null(cli.command);
	assert_int_equal(parse(&cli, "users --help", error, sizeof(error)), 0);
	assert_string_equal(cli.group, "users");
	assert_int_equal(parse(&cli, "users add -h", error, sizeof(error)), 0);
	assert_string_equal(cli.command->name, "users add");

	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	cli_usage(out);
	fclose(out);
	for (const struct command *c = cli_commands; c->name; c++)
		assert_non_null(strstr(text, c->name));
	free(text);
}

static char *
print(const struct table *t)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	table_print(t, out);
	fclose(out);
	return text;
}

static void
test_table(void **state)
{
	(void)state;
	struct table t;
	table_init(&t, (const char *const[]){"NAME", ">COUNT", "NOTE", NULL});
	assert_int_equal(table_add(&t, (const char *const[]){"al", "7", ""}), 0);
	assert_int_equal(table_add(&t, (const char *const[]){"b\xc3\xa4rbel", "1234567", "x"}), 0);
	char *text = print(&t);
	assert_string_equal(text, "NAME      COUNT  NOTE\n"
				  "al            7\n"
				  "b\xc3\xa4rbel  1234567  x\n");
	free(text);
	table_free(&t);
}

/* What strangers chose must not steer the operator's terminal. */
static void
test_table_is_clean(void **state)
{
	(void)state;
	struct table t;
	table_init(&t, (const char *const[]){"DEVICE", NULL});
	table_add(&t, (const char *const[]){"a\x1b[31m\nb\x7f\xc2\x9bZ\xc3\xa4"});
	char *text = print(&t);
	assert_string_equal(text, "DEVICE\na?[31m?b???Z\xc3\xa4\n");
	free(text);
	table_free(&t);
}

static int
read_from_file(const char *content, size_t len, char *out, char *error, size_t cap)
{
	char path[] = "/tmp/test_rookctl.XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, len), len);
	close(fd);
	int r = password_read(path, "alice", out, error, cap);
	unlink(path);
	return r;
}

static void
test_password_file(void **state)
{
	(void)state;
	char out[PASSWORD_MAX + 1], error[256], longest[PASSWORD_MAX + 2];
	assert_int_equal(read_from_file("secret word\nrest", 16, out, error, sizeof(error)), 0);
	assert_string_equal(out, "secret word");
	assert_int_equal(read_from_file("no newline", 10, out, error, sizeof(error)), 0);
	assert_string_equal(out, "no newline");
	assert_int_equal(read_from_file("dos\r\n", 5, out, error, sizeof(error)), 0);
	assert_string_equal(out, "dos");
	assert_int_equal(read_from_file("\n", 1, out, error, sizeof(error)), -EINVAL);
	assert_non_null(strstr(error, "empty"));
	assert_int_equal(read_from_file("a\0b\n", 4, out, error, sizeof(error)), -EINVAL);
	assert_non_null(strstr(error, "NUL"));
	memset(longest, 'x', sizeof(longest));
	assert_int_equal(read_from_file(longest, PASSWORD_MAX, out, error, sizeof(error)), 0);
	assert_int_equal(strlen(out), PASSWORD_MAX);
	assert_int_equal(read_from_file(longest, PASSWORD_MAX + 1, out, error, sizeof(error)), -EMSGSIZE);
	assert_int_equal(password_read("/nonexistent/pw", "alice", out, error, sizeof(error)), -ENOENT);
	assert_non_null(strstr(error, "/nonexistent/pw"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commands),      cmocka_unit_test(test_options_anywhere),
		cmocka_unit_test(test_usage_errors),  cmocka_unit_test(test_help),
		cmocka_unit_test(test_table),	      cmocka_unit_test(test_table_is_clean),
		cmocka_unit_test(test_password_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
