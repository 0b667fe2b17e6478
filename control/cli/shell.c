/* SPDX-License-Identifier: BSD-3-Clause */
/* Many commands in one run: typed at a prompt, or read from a file; and candidates for completion. */
#include "control/cli/cli.h"
#include "control/cli/client.h"

#include <errno.h>
#include <histedit.h>
#include <limits.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HISTORY_LINES 1000
#define WORDS_MAX 32
#define CANDIDATES_MAX 512
#define NAMES_ASKED 1000 /* a page of the server */

/* ---- one line ------------------------------------------------------------------------- */

/* Words of a line as a shell would split it. Returns their number, 0 for a comment or an empty line, or
 * -EINVAL after printing what is wrong. */
static int
split(Tokenizer *t, const char *line, const char ***words)
{
	int count = 0;
	const char *start = line + strspn(line, " \t\r\n");
	*words = NULL;
	if (!*start || *start == '#')
		return 0;
	tok_reset(t);
	if (tok_str(t, line, &count, words) != 0) {
		cli_fail(CLI_USAGE, "a quote is not closed");
		return -EINVAL;
	}
	return count;
}

static int
run_words(const struct cli *base, int count, const char **words)
{
	struct cli cli = *base;
	char *argv[WORDS_MAX + 2] = {(char *)(uintptr_t)"rookctl"};
	char error[512];
	if (count > WORDS_MAX)
		return cli_fail(CLI_USAGE, "a line has at most %d words", WORDS_MAX);
	for (int i = 0; i < count; i++)
		argv[i + 1] = (char *)(uintptr_t)words[i];
	if (cli_parse(&cli, count + 1, argv, error, sizeof(error)) < 0)
		return cli_fail(CLI_USAGE, "%s", error);
	if (cli.socket != base->socket || cli.state != base->state || cli.config != base->config || cli.file)
		return cli_fail(CLI_USAGE, "which server to speak to is chosen when rookctl is started");
	return cli_run(&cli);
}

/* ---- a file --------------------------------------------------------------------------- */

static int
run_lines(const struct cli *base, FILE *in, const char *name, bool stop_on_error)
{
	Tokenizer *t = tok_init(NULL);
	char *line = NULL, prefix[PATH_MAX + 32];
	size_t capacity = 0;
	unsigned number = 0;
	int status = CLI_OK;
	while (t && getline(&line, &capacity, in) >= 0 && !(stop_on_error && status != CLI_OK)) {
		const char **words;
		snprintf(prefix, sizeof(prefix), "%s:%u: ", name, ++number);
		cli_fail_prefix(prefix);
		int count = split(t, line, &words), r = CLI_OK;
		if (count != 0)
			r = count < 0 ? CLI_USAGE : run_words(base, count, words);
		fflush(base->out);
		status = status == CLI_OK ? r : status;
	}
	cli_fail_prefix("");
	if (ferror(in) && status == CLI_OK)
		status = cli_fail(CLI_USAGE, "cannot read %s: %s", name, strerror(errno));
	if (t)
		tok_end(t);
	free(line);
	return status;
}

int
cli_batch(const struct cli *base, const char *path, bool stop_on_error)
{
	struct cli cli = *base;
	bool from_stdin = strcmp(path, "-") == 0;
	FILE *in = from_stdin ? stdin : fopen(path, "re");
	if (!in)
		return cli_fail(CLI_USAGE, "cannot read %s: %s", path, strerror(errno));
	cli.file = NULL;
	cli.stop_on_error = false;
	cli.stdin_taken = from_stdin;
	int status = run_lines(&cli, in, from_stdin ? "standard input" : path, stop_on_error);
	if (!from_stdin)
		fclose(in);
	return status;
}

/* ---- candidates ----------------------------------------------------------------------- */

struct candidates {
	struct cli *cli;
	size_t count;
	char *text[CANDIDATES_MAX];
	char *help[CANDIDATES_MAX];
};

static void
candidate_add(void *arg, const char *text, const char *help)
{
	struct candidates *c = arg;
	if (c->count == CANDIDATES_MAX)
		return;
	c->text[c->count] = strdup(text);
	c->help[c->count] = strdup(help);
	if (c->text[c->count] && c->help[c->count])
		c->count++;
}

static void
candidates_free(struct candidates *c)
{
	for (size_t i = 0; i < c->count; i++) {
		free(c->text[i]);
		free(c->help[i]);
	}
	c->count = 0;
}

static void
add_names(struct candidates *c, const char *before, const char *prefix)
{
	char text[128];
	size_t i;
	json_t *user, *list = cli_call_quietly(c->cli, "users.list",
					       json_pack("{s:i, s:s*}", "limit", NAMES_ASKED, "prefix",
							 *prefix ? prefix : NULL));
	json_array_foreach(json_object_get(list, "users"), i, user) {
		const char *name = json_string_value(json_object_get(user, "name"));
		snprintf(text, sizeof(text), "%s%s", before, name ? name : "");
		if (name && strncmp(name, prefix, strlen(prefix)) == 0)
			candidate_add(c, text, "");
	}
	json_decref(list);
}

static void
add_sessions(struct candidates *c, const char *prefix)
{
	size_t i;
	json_t *session, *list = cli_call_quietly(c->cli, "sessions.list",
						  json_pack("{s:i}", "limit", NAMES_ASKED));
	json_array_foreach(json_object_get(list, "sessions"), i, session) {
		const char *sid = json_string_value(json_object_get(session, "sid"));
		const char *user = json_string_value(json_object_get(session, "user"));
		if (sid && strncmp(sid, prefix, strlen(prefix)) == 0)
			candidate_add(c, sid, user ? user : "");
	}
	json_decref(list);
}

static void
candidate_dynamic(void *arg, enum cli_type type, const char *prefix)
{
	if (type == CLI_USER)
		add_names(arg, "", prefix);
	else if (type == CLI_SESSION_OR_USER && strncmp(prefix, "user:", 5) == 0)
		add_names(arg, "user:", prefix + 5);
	else
		add_sessions(arg, prefix);
}

int
cli_complete_for_shell(struct cli *base, int argc, char **argv)
{
	struct candidates c = {.cli = base};
	struct cli_completion completion = {candidate_add, candidate_dynamic, &c};
	char error[512], *words[WORDS_MAX + 1] = {(char *)(uintptr_t)"rookctl"};
	int count = argc > 0 ? argc - 1 : 0;
	/* Only for --state and the like; what is typed so far need not be complete or right. */
	for (int i = 0; i < count && i < WORDS_MAX; i++)
		words[i + 1] = argv[i];
	struct cli typed = *base;
	cli_parse(&typed, count < WORDS_MAX ? count + 1 : 1, words, error, sizeof(error));
	cli_find_server(&typed);
	base->socket = typed.socket;
	base->state = typed.state;
	base->config = typed.config;
	bool files = cli_complete((const char *const *)argv, count, argc > 0 ? argv[argc - 1] : "",
				  &completion);
	for (size_t i = 0; i < c.count; i++)
		fprintf(base->out, "%s\t%s\n", c.text[i], c.help[i]);
	if (files)
		fputs("\t\n", base->out);
	candidates_free(&c);
	return CLI_OK;
}

/* ---- the prompt ------------------------------------------------------------------------ */

struct shell {
	struct cli base;
	EditLine *editor;
	History *history;
	Tokenizer *words;
	char history_path[PATH_MAX];
};

static char *
prompt(EditLine *editor)
{
	(void)editor;
	return (char *)(uintptr_t)"rookctl> ";
}

static void
list_candidates(const struct candidates *c)
{
	fputc('\n', stdout);
	for (size_t i = 0; i < c->count; i++)
		printf(c->help[i][0] ? "  %-20s %s\n" : "  %s\n", c->text[i], c->help[i]);
	fflush(stdout);
}

/* How many bytes all candidates share. */
static size_t
common(const struct candidates *c)
{
	size_t len = strlen(c->text[0]);
	for (size_t i = 1; i < c->count; i++) {
		size_t n = 0;
		while (n < len && c->text[i][n] == c->text[0][n])
			n++;
		len = n;
	}
	return len;
}

/* Inserts what all candidates share, or shows them when that is nothing more. */
static unsigned char
apply(EditLine *editor, const struct candidates *c, size_t typed)
{
	char text[256];
	size_t len = c->count ? common(c) : 0;
	bool only = c->count == 1;
	if (c->count == 0)
		return CC_ERROR;
	if (!only && len <= typed) {
		list_candidates(c);
		return CC_REDISPLAY;
	}
	/* "user:" wants a name behind it. */
	snprintf(text, sizeof(text), "%.*s%s", (int)(len - typed), c->text[0] + typed,
		 only && len && c->text[0][len - 1] != ':' ? " " : "");
	return !*text || el_insertstr(editor, text) == 0 ? CC_REFRESH : CC_ERROR;
}

static unsigned char
complete(EditLine *editor, int key)
{
	struct shell *shell;
	const LineInfo *line = el_line(editor);
	(void)key;
	el_get(editor, EL_CLIENTDATA, &shell);
	size_t len = (size_t)(line->cursor - line->buffer);
	char *text = strndup(line->buffer, len);
	const char **words;
	int count = 0;
	if (!text)
		return CC_ERROR;
	tok_reset(shell->words);
	/* A quote that is open yet is no error here, but nothing to complete in, either. */
	if (tok_str(shell->words, text, &count, &words) != 0) {
		free(text);
		return CC_ERROR;
	}
	bool fresh = len == 0 || text[len - 1] == ' ' || text[len - 1] == '\t';
	const char *partial = fresh || count == 0 ? "" : words[count - 1];
	struct candidates c = {.cli = &shell->base};
	struct cli_completion completion = {candidate_add, candidate_dynamic, &c};
	cli_complete(words, fresh ? count : count - 1, partial, &completion);
	unsigned char result = apply(editor, &c, strlen(partial));
	candidates_free(&c);
	free(text);
	return result;
}

static int
shell_open(struct shell *s)
{
	HistEvent event;
	const char *home = getenv("HOME");
	setlocale(LC_CTYPE, "");
	s->words = tok_init(NULL);
	s->history = history_init();
	s->editor = el_init("rookctl", stdin, stdout, stderr);
	if (!s->words || !s->history || !s->editor)
		return cli_fail(CLI_REFUSED, "this terminal cannot be edited on; try `rookctl -f -`");
	history(s->history, &event, H_SETSIZE, HISTORY_LINES);
	history(s->history, &event, H_SETUNIQUE, 1);
	if (home && (size_t)snprintf(s->history_path, sizeof(s->history_path), "%s/.rookctl_history", home) <
			    sizeof(s->history_path))
		history(s->history, &event, H_LOAD, s->history_path);
	el_set(s->editor, EL_CLIENTDATA, s);
	el_set(s->editor, EL_PROMPT, prompt);
	el_set(s->editor, EL_EDITOR, "emacs");
	el_set(s->editor, EL_SIGNAL, 1);
	el_set(s->editor, EL_HIST, history, s->history);
	el_set(s->editor, EL_ADDFN, "rookctl-complete", "complete commands and names", complete);
	el_set(s->editor, EL_BIND, "^I", "rookctl-complete", NULL);
	el_source(s->editor, NULL);
	return CLI_OK;
}

static void
shell_close(struct shell *s)
{
	if (s->editor)
		el_end(s->editor);
	if (s->history)
		history_end(s->history);
	if (s->words)
		tok_end(s->words);
}

/* Returns false when it was the last. */
static bool
shell_line(struct shell *s, const char *line)
{
	HistEvent event;
	const char **words;
	int count = split(s->words, line, &words);
	if (count == 0)
		return true;
	history(s->history, &event, H_ENTER, line);
	if (s->history_path[0])
		history(s->history, &event, H_SAVE, s->history_path);
	if (count < 0)
		return true;
	if (count == 1 && (strcmp(words[0], "quit") == 0 || strcmp(words[0], "exit") == 0))
		return false;
	run_words(&s->base, count, words);
	fflush(stdout);
	return true;
}

int
cli_interactive(const struct cli *base)
{
	struct shell s = {.base = *base};
	const char *line;
	int length, status = shell_open(&s);
	if (status == CLI_OK) {
		printf("rookctl " ROOKERY_VERSION "; `help` lists the commands, `quit` ends\n");
		while ((line = el_gets(s.editor, &length)) && shell_line(&s, line))
			;
		if (!line)
			fputc('\n', stdout);
	}
	shell_close(&s);
	return status;
}
