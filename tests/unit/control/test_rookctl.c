/* SPDX-License-Identifier: BSD-3-Clause */
/* rookctl's command line, tables and password files. Its way to a server is in test_admin.c. */
#include "control/cli/cli.h"
#include "control/cli/client.h"
#include "control/cli/password.h"
#include "control/cli/table.h"

#include <errno.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
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
		{"users list --limit many", "--limit must be a number from 0 to 2147483647, not `many`"},
		{"users list --limit -1", "--limit must be a number"},
		{"users list --watch", "--watch is of no use here"},
		{"stats --watch=0", "--watch takes seconds from 0.1"},
		{"stats --watch=1x", "--watch takes seconds"},
		{"stats --watch=", "--watch takes seconds"},
		{"stats --count 3", "--count goes with --watch"},
		{"stats --watch --count 0", "--count must be a number from 1"},
		{"stats -f x", "either a command or -f FILE"},
		{"-e", "-e goes with -f FILE"},
		{"-f", "--file needs a value"},
		{"statsu", "unknown command `statsu`; did you mean `status`?"},
		{"user list", "unknown command `user`; did you mean `users`?"},
		{"frobnicate", "unknown command `frobnicate`; `rookctl --help` lists them"},
		{"restart dataplan", "`restart` takes dataplane|control, not `dataplan`"},
		{"log level debug lgoin", "not `lgoin`; did you mean `login`?"},
		{"log level debug weather", "AREA must be one of bans|control|"},
		{"log level loud", "LEVEL must be one of error|warning|info|debug, not `loud`"},
		{"users", "`users` alone"},
		{"users lst", "`users` has no command `lst`; did you mean `list`?"},
		{"users frobnicate", "`users` has no command `frobnicate`; `rookctl users --help` lists them"},
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

/* ---- the table of commands ------------------------------------------------------------ */

/* What the other tests and the generated files rely on. */
static void
test_table_of_commands(void **state)
{
	(void)state;
	char groups[32][16];
	size_t group_count = 0;
	for (const struct command *c = cli_commands; c->name; c++) {
		size_t len = strcspn(c->name, " ");
		assert_non_null(c->help);
		assert_non_null(c->run);
		assert_true(c->help[0] >= 'a' && c->help[0] <= 'z');
		assert_true(c->help[strlen(c->help) - 1] != '.');
		if (!(c->name[len] && group_count && strlen(groups[group_count - 1]) == len &&
		      memcmp(groups[group_count - 1], c->name, len) == 0))
			snprintf(groups[group_count++], sizeof(groups[0]), "%.*s", (int)len, c->name);
		int options = 0;
		for (const struct cli_param *o = c->options; o && o->name; o++, options++) {
			assert_non_null(o->help);
			assert_int_equal(o->type == CLI_FLAG, o->value == NULL);
			assert_int_equal(cli_find_param(cli_globals, o->name, strlen(o->name)), -1);
		}
		assert_true(options <= CLI_OPTIONS_MAX);
		for (int i = 0; i < CLI_ARGS_MAX && c->args[i].name; i++)
			if (i > 0 && c->args[i - 1].optional)
				assert_true(c->args[i].optional);
		assert_null(c->args[CLI_ARGS_MAX].name);
	}
	/* A group's commands stand together: help and completion show each group once. */
	for (size_t i = 0; i < group_count; i++)
		for (size_t j = 0; j < i; j++)
			if (strcmp(groups[i], groups[j]) == 0)
				fail_msg("the commands of `%s` do not stand together", groups[i]);
}

/* The examples of the table are commands of the table. */
static void
test_examples(void **state)
{
	(void)state;
	for (const struct command *c = cli_commands; c->name; c++) {
		const char *text = c->example ? c->example : "";
		for (; *text; text += strcspn(text, "\n"), text += *text == '\n') {
			char line[200], error[256];
			struct cli cli;
			snprintf(line, sizeof(line), "%.*s", (int)strcspn(text, "|<>\n"), text);
			if (parse(&cli, line, error, sizeof(error)) < 0)
				fail_msg("%s: %s", line, error);
			if (cli.command != c)
				fail_msg("the example `%s` is one of `%s`", line, c->name);
		}
	}
}

static void
test_other_names(void **state)
{
	(void)state;
	struct cli cli;
	char error[256];
	assert_int_equal(parse(&cli, "users create alice", error, sizeof(error)), 0);
	assert_string_equal(cli.command->name, "users add");
	assert_int_equal(parse(&cli, "stats --watch=0.5 --count 3", error, sizeof(error)), 0);
	assert_string_equal(cli.watch, "0.5");
	assert_string_equal(cli.count, "3");
	assert_int_equal(parse(&cli, "stats --watch", error, sizeof(error)), 0);
	assert_string_equal(cli.watch, "");
	assert_int_equal(parse(&cli, "-f - -e --json", error, sizeof(error)), 0);
	assert_string_equal(cli.file, "-");
	assert_true(cli.stop_on_error);
	assert_null(cli.command);
}

/* ---- generated files ------------------------------------------------------------------- */

static char *
generated(const char *what)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	assert_int_equal(cli_generate(out, what), 0);
	fclose(out);
	return text;
}

static void
test_man(void **state)
{
	(void)state;
	char *text = generated("man");
	for (const struct command *c = cli_commands; c->name; c++) {
		char heading[80];
		snprintf(heading, sizeof(heading), ".SS \"%s", c->name);
		assert_int_equal(strstr(text, heading) == NULL, (c->flags & CLI_HIDDEN) != 0);
	}
	assert_non_null(strstr(text, "\\-\\-password\\-file"));
	/* No text became a roff request by beginning with a dot. */
	for (const char *p = text; (p = strstr(p, "\n.")); p++)
		if (!memchr("SPTBIRnbf\\", p[2], 10))
			fail_msg("a line begins with %.20s", p + 1);
	free(text);
	assert_int_equal(cli_generate(stdout, "fish"), -EINVAL);
}

/* docs/operations.md holds the table of commands as it is. */
static void
test_documented(void **state)
{
	(void)state;
	static char page[1 << 18];
	FILE *in = fopen(SOURCE_ROOT "/docs/operations.md", "r");
	assert_non_null(in);
	page[fread(page, 1, sizeof(page) - 1, in)] = '\0';
	fclose(in);
	char *text = generated("markdown");
	if (!strstr(page, text))
		fail_msg("docs/operations.md does not hold what `rookctl --generate markdown` prints:\n%s", text);
	free(text);
}

/* ---- completion ------------------------------------------------------------------------- */

static char found[4096];

static void
add(void *arg, const char *text, const char *help)
{
	(void)arg;
	(void)help;
	snprintf(found + strlen(found), sizeof(found) - strlen(found), "%s ", text);
}

static void
dynamic(void *arg, enum cli_type type, const char *prefix)
{
	(void)arg;
	snprintf(found + strlen(found), sizeof(found) - strlen(found), "<%d:%s> ", type, prefix);
}

static bool
complete(const char *line, const char *partial)
{
	const struct cli_completion c = {add, dynamic, NULL};
	static char text[256];
	const char *words[32];
	int count = 0;
	found[0] = '\0';
	snprintf(text, sizeof(text), "%s", line);
	for (char *word = strtok(text, " "); word; word = strtok(NULL, " "))
		words[count++] = word;
	return cli_complete(words, count, partial, &c);
}

static void
test_completion(void **state)
{
	(void)state;
	char expected[32];
	assert_false(complete("", "stat"));
	assert_string_equal(found, "status stats ");
	complete("", "user");
	assert_string_equal(found, "users ");
	complete("--json --state /x users", "a");
	assert_string_equal(found, "add ");
	complete("--state /x", "he");
	assert_string_equal(found, "help ");
	complete("stats", "--d");
	assert_string_equal(found, "--drops ");
	complete("stats", "--wa");
	assert_string_equal(found, "--watch ");
	complete("users list", "--wa");
	assert_string_equal(found, "");
	complete("users del", "al");
	snprintf(expected, sizeof(expected), "<%d:al> ", CLI_USER);
	assert_string_equal(found, expected);
	complete("users del alice", "");
	assert_string_equal(found, "");
	complete("sessions list --user", "b");
	snprintf(expected, sizeof(expected), "<%d:b> ", CLI_USER);
	assert_string_equal(found, expected);
	complete("sessions list --user bob", "--u");
	assert_string_equal(found, "--user ");
	complete("sessions kick", "user");
	snprintf(expected, sizeof(expected), "user: <%d:user> ", CLI_SESSION_OR_USER);
	assert_string_equal(found, expected);
	assert_true(complete("--config", "/et"));
	assert_true(complete("users add alice --password-file", ""));
	complete("nonsense", "");
	assert_true(strstr(found, "status ") != NULL);
	complete("users nonsense", "");
	assert_true(strstr(found, "add ") != NULL);
}

/* ---- batches ---------------------------------------------------------------------------- */

static int
batch(const char *content, bool stop_on_error, char **out)
{
	char path[] = "/tmp/test_rookctl.XXXXXX";
	struct cli cli = {.socket = "/nonexistent/control.sock"};
	size_t len;
	int fd = mkstemp(path), status;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, strlen(content)), strlen(content));
	close(fd);
	cli.out = open_memstream(out, &len);
	status = cli_batch(&cli, path, stop_on_error);
	fclose(cli.out);
	unlink(path);
	return status;
}

static void
test_batch(void **state)
{
	(void)state;
	char *out;
	assert_int_equal(batch("# nothing\n\n   # to do\n", false, &out), CLI_OK);
	assert_string_equal(out, "");
	free(out);
	/* The first failure tells, and only -e stops there. */
	assert_int_equal(batch("users lst\nusers del --help\n", false, &out), CLI_USAGE);
	assert_non_null(strstr(out, "Usage: rookctl users del"));
	free(out);
	assert_int_equal(batch("users lst\nusers del --help\n", true, &out), CLI_USAGE);
	assert_string_equal(out, "");
	free(out);
	assert_int_equal(batch("users add 'al ice\n", false, &out), CLI_USAGE);
	free(out);
	/* Within a batch nobody changes the server. */
	assert_int_equal(batch("--state /x status\n", false, &out), CLI_USAGE);
	free(out);
	assert_int_equal(batch("-f other\n", false, &out), CLI_USAGE);
	free(out);
	assert_int_equal(batch("help\n", false, &out), CLI_OK);
	assert_non_null(strstr(out, "Exit status:"));
	free(out);
	assert_int_equal(cli_batch(&(struct cli){.out = stdout}, "/nonexistent/batch", false), CLI_USAGE);
}

/* ---- the prompt ------------------------------------------------------------------------- */

/* Reads what the terminal shows until text is there. */
static void
expect_shown(int terminal, const char *text)
{
	static char shown[16384];
	size_t len = 0;
	while (!memmem(shown, len, text, strlen(text))) {
		struct pollfd p = {.fd = terminal, .events = POLLIN};
		assert_true(len + 1 < sizeof(shown));
		if (poll(&p, 1, 20000) <= 0)
			fail_msg("no `%s` in: %.*s", text, (int)len, shown);
		ssize_t n = read(terminal, shown + len, sizeof(shown) - len);
		assert_true(n > 0);
		len += (size_t)n;
	}
}

static void
type(int terminal, const char *text)
{
	assert_int_equal(write(terminal, text, strlen(text)), strlen(text));
}

static void
test_prompt(void **state)
{
	(void)state;
	char home[] = "/tmp/test_rookctl.XXXXXX", history[64];
	struct stat st;
	int terminal, status;
	assert_non_null(mkdtemp(home));
	pid_t pid = forkpty(&terminal, NULL, NULL, NULL);
	assert_true(pid >= 0);
	if (pid == 0) {
		struct client client = {.fd = -1};
		struct cli base = {.socket = "/nonexistent/control.sock", .client = &client, .out = stdout};
		setenv("HOME", home, 1);
		setenv("TERM", "dumb", 1);
		umask(077);
		_exit(cli_interactive(&base));
	}
	expect_shown(terminal, "rookctl> ");
	type(terminal, "sta\t\t");
	expect_shown(terminal, "stats                counters");
	type(terminal, "us\n");
	expect_shown(terminal, "no server answers at /nonexistent/control.sock");
	type(terminal, "help users del\n");
	expect_shown(terminal, "Usage: rookctl users del NAME");
	type(terminal, "quit\n");
	while (read(terminal, history, sizeof(history)) > 0)
		; /* so that it can write to its end */
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(terminal);
	snprintf(history, sizeof(history), "%s/.rookctl_history", home);
	assert_int_equal(stat(history, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	unlink(history);
	rmdir(home);
}

/* ---- tables and passwords --------------------------------------------------------------- */

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
		cmocka_unit_test(test_password_file), cmocka_unit_test(test_table_of_commands),
		cmocka_unit_test(test_examples),      cmocka_unit_test(test_other_names),
		cmocka_unit_test(test_man),	      cmocka_unit_test(test_documented),
		cmocka_unit_test(test_completion),    cmocka_unit_test(test_batch),
		cmocka_unit_test(test_prompt),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
