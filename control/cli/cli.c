/* SPDX-License-Identifier: BSD-3-Clause */
/* From words to a command, and its run. */
#include "control/cli/cli.h"

#include "shared/spelling.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WATCH_DEFAULT_S 2.0

struct parse {
	struct cli *cli;
	char *error;
	size_t cap;
};

__attribute__((format(printf, 2, 3))) static int
wrong(struct parse *p, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(p->error, p->cap, format, args);
	va_end(args);
	return -EINVAL;
}

/* ---- the table ------------------------------------------------------------------------ */

int
cli_find_param(const struct cli_param *params, const char *name, size_t len)
{
	for (int i = 0; params && params[i].name; i++)
		if (strlen(params[i].name) == len && memcmp(params[i].name, name, len) == 0)
			return i;
	return -1;
}

static bool
is_called(const char *name, const char *first, const char *second)
{
	const char *space = strchr(name, ' ');
	size_t len = space ? (size_t)(space - name) : strlen(name);
	if (strlen(first) != len || memcmp(first, name, len) != 0)
		return false;
	return space ? second && strcmp(space + 1, second) == 0 : !second;
}

const struct command *
cli_find_command(const char *first, const char *second)
{
	for (const struct command *c = cli_commands; c->name; c++)
		if (is_called(c->name, first, second) || (c->also && is_called(c->also, first, second)))
			return c;
	return NULL;
}

bool
cli_is_group(const char *word)
{
	size_t len = strlen(word);
	for (const struct command *c = cli_commands; c->name; c++)
		if (strncmp(c->name, word, len) == 0 && c->name[len] == ' ')
			return true;
	return false;
}

bool
cli_global_applies(const struct cli_param *global, const struct command *c)
{
	if (strcmp(global->name, "watch") == 0 || strcmp(global->name, "count") == 0)
		return c && (c->flags & CLI_WATCH);
	if (strcmp(global->name, "file") == 0 || strcmp(global->name, "stop") == 0 ||
	    strcmp(global->name, "version") == 0)
		return !c;
	return true;
}

/* ---- values --------------------------------------------------------------------------- */

static bool
is_word(const char *words, const char *value)
{
	size_t len = strlen(value);
	for (const char *w = words; *w; w += strcspn(w, "|"), w += *w == '|')
		if (strcspn(w, "|") == len && memcmp(w, value, len) == 0)
			return true;
	return false;
}

static bool
is_number(const char *text, uint64_t min, uint64_t max)
{
	size_t len = strlen(text);
	if (len == 0 || len > 18 || strspn(text, "0123456789") != len)
		return false;
	uint64_t n = strtoull(text, NULL, 10);
	return n >= min && n <= max;
}

static bool
is_seconds(const char *text)
{
	char *end;
	if (strspn(text, "0123456789.") != strlen(text))
		return false;
	double s = strtod(text, &end);
	return *text && !*end && s >= 0.1 && s <= 86400;
}

static bool
is_duration(const char *text)
{
	size_t digits = strspn(text, "0123456789");
	return digits > 0 && digits < 8 && strtoull(text, NULL, 10) > 0 &&
	       (!text[digits] || (strchr("smhd", text[digits]) && !text[digits + 1]));
}

uint64_t
cli_duration(const char *text)
{
	uint64_t n = strtoull(text, NULL, 10);
	switch (text[strspn(text, "0123456789")]) {
	case 'd':
		return n * 86400;
	case 'h':
		return n * 3600;
	case 'm':
		return n * 60;
	default:
		return n;
	}
}

static int
wrong_word(struct parse *p, const char *label, const char *words, const char *value)
{
	struct spelling spelling = {.word = value};
	for (const char *w = words; *w; w += strcspn(w, "|"), w += *w == '|') {
		char word[SPELLING_MAX + 1];
		snprintf(word, sizeof(word), "%.*s", (int)strcspn(w, "|"), w);
		spelling_consider(&spelling, word);
	}
	if (spelling_guess(&spelling))
		return wrong(p, "%s must be one of %s, not `%s`; did you mean `%s`?", label, words, value,
			     spelling_guess(&spelling));
	return wrong(p, "%s must be one of %s, not `%s`", label, words, value);
}

/* label: "--limit", or "LEVEL". */
static int
check_value(struct parse *p, const char *label, const struct cli_param *param, const char *value)
{
	if (param->type == CLI_NUMBER && !is_number(value, param->min, param->max))
		return wrong(p, "%s must be a number from %" PRIu64 " to %" PRIu64 ", not `%s`", label,
			     param->min, param->max, value);
	if (param->type == CLI_SECONDS && !is_seconds(value))
		return wrong(p, "%s takes seconds from 0.1 to 86400, not `%s`", label, value);
	if (param->type == CLI_DURATION && !is_duration(value))
		return wrong(p, "%s takes a duration such as 90s, 10m, 2h or 7d, not `%s`", label, value);
	if (param->type == CLI_WORD && strcmp(label, param->words) == 0 && !is_word(param->words, value))
		return wrong(p, "`%s` takes %s, not `%s`", p->cli->command->name, label, value);
	if (param->type == CLI_WORD && !is_word(param->words, value))
		return wrong_word(p, label, param->words, value);
	return 0;
}

/* ---- options -------------------------------------------------------------------------- */

static void
set_global(struct cli *cli, const char *name, const char *value)
{
	const struct {
		const char *name;
		const char **text;
		bool *flag;
	} to[] = {
		{"socket", &cli->socket, NULL}, {"state", &cli->state, NULL},	{"config", &cli->config, NULL},
		{"file", &cli->file, NULL},	{"watch", &cli->watch, NULL},	{"count", &cli->count, NULL},
		{"json", NULL, &cli->json},	{"help", NULL, &cli->help},	{"version", NULL, &cli->version},
		{"stop", NULL, &cli->stop_on_error},
	};
	for (size_t i = 0; i < sizeof(to) / sizeof(to[0]); i++) {
		if (strcmp(name, to[i].name) != 0)
			continue;
		if (to[i].text)
			*to[i].text = value;
		else
			*to[i].flag = true;
	}
}

static int
unknown_option(struct parse *p, const char *name, size_t len)
{
	return p->cli->command
		       ? wrong(p, "`%s` has no option --%.*s", p->cli->command->name, (int)len, name)
		       : wrong(p, "unknown option --%.*s", (int)len, name);
}

/* argv[0] begins with "--". Returns how many words it took, or -EINVAL. */
static int
take_option(struct parse *p, int argc, char **argv)
{
	const char *name = argv[0] + 2, *equals = strchr(name, '='), *value = "";
	size_t len = equals ? (size_t)(equals - name) : strlen(name);
	const struct cli_param *options = cli_globals;
	char label[64];
	int i = cli_find_param(options, name, len), words = 1;
	bool global = i >= 0;
	if (!global && p->cli->command) {
		options = p->cli->command->options;
		i = cli_find_param(options, name, len);
	}
	if (i < 0)
		return unknown_option(p, name, len);
	const struct cli_param *o = &options[i];
	if (o->type != CLI_FLAG && equals) {
		value = equals + 1;
	} else if (o->type != CLI_FLAG && o->type != CLI_SECONDS) {
		if (argc < 2)
			return wrong(p, "--%s needs a value: --%s %s", o->name, o->name, o->value);
		value = argv[1];
		words = 2;
	} else if (equals) {
		return wrong(p, "--%s takes no value", o->name);
	}
	snprintf(label, sizeof(label), "--%s", o->name);
	if ((*value || o->type != CLI_SECONDS || equals) && check_value(p, label, o, value) < 0)
		return -EINVAL;
	if (global)
		set_global(p->cli, o->name, value);
	else
		p->cli->values[i] = value;
	return words;
}

/* -h, -f FILE, -e. Returns how many words it took, or -EINVAL. */
static int
take_short(struct parse *p, int argc, char **argv)
{
	static char help[] = "--help", file[] = "--file", stop[] = "--stop";
	char *words[] = {NULL, argc > 1 ? argv[1] : NULL};
	if (strcmp(argv[0], "-h") == 0)
		words[0] = help;
	else if (strcmp(argv[0], "-f") == 0)
		words[0] = file;
	else if (strcmp(argv[0], "-e") == 0)
		words[0] = stop;
	else
		return wrong(p, "unknown option %s", argv[0]);
	return take_option(p, argc, words);
}

/* ---- words ---------------------------------------------------------------------------- */

/* The command that may have been meant: the nearest of the group's, or of the first words. */
static const char *
guess_command(struct spelling *s, const char *group)
{
	size_t skip = group ? strlen(group) + 1 : 0;
	for (const struct command *c = cli_commands; c->name; c++) {
		char word[SPELLING_MAX + 1];
		if (group && (strncmp(c->name, group, skip - 1) != 0 || c->name[skip - 1] != ' '))
			continue;
		snprintf(word, sizeof(word), "%.*s", (int)strcspn(c->name + skip, " "), c->name + skip);
		spelling_consider(s, word);
	}
	return spelling_guess(s);
}

static int
take_word(struct parse *p, const char *word)
{
	struct cli *cli = p->cli;
	struct spelling spelling = {.word = word};
	if (cli->command) {
		if (cli->arg_count == CLI_ARGS_MAX)
			return wrong(p, "too many arguments: %s", word);
		cli->args[cli->arg_count++] = word;
	} else if (cli->group) {
		cli->command = cli_find_command(cli->group, word);
		if (!cli->command && guess_command(&spelling, cli->group))
			return wrong(p, "`%s` has no command `%s`; did you mean `%s`?", cli->group, word, spelling_guess(&spelling));
		if (!cli->command)
			return wrong(p, "`%s` has no command `%s`; `rookctl %s --help` lists them",
				     cli->group, word, cli->group);
	} else if ((cli->command = cli_find_command(word, NULL))) {
		return 0;
	} else if (cli_is_group(word)) {
		cli->group = word;
	} else if (strcmp(word, "help") == 0) {
		cli->help = true;
	} else if (guess_command(&spelling, NULL)) {
		return wrong(p, "unknown command `%s`; did you mean `%s`?", word, spelling_guess(&spelling));
	} else {
		return wrong(p, "unknown command `%s`; `rookctl --help` lists them", word);
	}
	return 0;
}

/* The arguments that the command must have, "NAME ADDRESS". */
static const char *
needed(const struct command *c, char *buf, size_t cap)
{
	size_t used = 0;
	buf[0] = '\0';
	for (const struct cli_param *a = c->args; a->name && !a->optional; a++)
		used += (size_t)snprintf(buf + used, used < cap ? cap - used : 0, "%s%s", used ? " " : "",
					 a->name);
	return buf;
}

static int
check_args(struct parse *p)
{
	const struct cli *cli = p->cli;
	const struct command *c = cli->command;
	char names[96];
	int i;
	for (i = 0; i < cli->arg_count; i++) {
		if (!c->args[i].name)
			return wrong(p, "`%s` does not take `%s`", c->name, cli->args[i]);
		if (check_value(p, c->args[i].name, &c->args[i], cli->args[i]) < 0)
			return -EINVAL;
	}
	if (c->args[i].name && !c->args[i].optional)
		return wrong(p, "`%s` needs %s", c->name, needed(c, names, sizeof(names)));
	return 0;
}

static int
check_complete(struct parse *p)
{
	const struct cli *cli = p->cli;
	if (cli->help || cli->version)
		return 0;
	if (cli->group && !cli->command)
		return wrong(p, "`%s` alone is not enough; `rookctl %s --help` lists its commands",
			     cli->group, cli->group);
	if (cli->watch && !(cli->command && (cli->command->flags & CLI_WATCH)))
		return wrong(p, "--watch is of no use here; `status`, `stats` and other views take it");
	if (cli->count && !cli->watch)
		return wrong(p, "--count goes with --watch");
	if (cli->stop_on_error && !cli->file)
		return wrong(p, "-e goes with -f FILE");
	if (cli->command && cli->file)
		return wrong(p, "either a command or -f FILE");
	return cli->command ? check_args(p) : 0;
}

int
cli_parse(struct cli *cli, int argc, char **argv, char *error, size_t error_cap)
{
	struct parse p = {cli, error, error_cap};
	bool options = true;
	for (int i = 1; i < argc;) {
		int r;
		if (options && strcmp(argv[i], "--") == 0) {
			options = false;
			r = 1;
		} else if (options && strncmp(argv[i], "--", 2) == 0) {
			r = take_option(&p, argc - i, argv + i);
		} else if (options && argv[i][0] == '-' && argv[i][1]) {
			r = take_short(&p, argc - i, argv + i);
		} else {
			r = take_word(&p, argv[i]) < 0 ? -EINVAL : 1;
		}
		if (r < 0)
			return r;
		i += r;
	}
	return check_complete(&p);
}

const char *
cli_value(const struct cli *cli, const char *option)
{
	int i = cli_find_param(cli->command->options, option, strlen(option));
	return i < 0 ? NULL : cli->values[i];
}

uint64_t
cli_number(const struct cli *cli, const char *option, uint64_t missing)
{
	const char *text = cli_value(cli, option);
	return text ? strtoull(text, NULL, 10) : missing;
}

/* ---- run ------------------------------------------------------------------------------ */

static volatile sig_atomic_t interrupted;

static void
on_interrupt(int number)
{
	(void)number;
	interrupted = 1;
}

static void
pause_for(double seconds)
{
	struct timespec t = {.tv_sec = (time_t)seconds};
	t.tv_nsec = (long)((seconds - (double)t.tv_sec) * 1e9);
	/* Ctrl-C ends the sleep, too. */
	nanosleep(&t, NULL);
}

/* One round in one piece: the screen does not flicker, and stays as it is when the round fails. */
static int
run_on_screen(struct cli *cli)
{
	FILE *screen = cli->out;
	char *text = NULL;
	size_t len = 0;
	cli->out = open_memstream(&text, &len);
	if (!cli->out) {
		cli->out = screen;
		return cli_fail(CLI_REFUSED, "out of memory");
	}
	int status = cli->command->run(cli);
	fclose(cli->out);
	cli->out = screen;
	if (status == CLI_OK) {
		fputs("\033[H\033[2J", screen);
		fwrite(text, 1, len, screen);
	}
	free(text);
	return status;
}

/* For people each round takes the place of the one before; for scripts one follows the other. */
static int
watch(struct cli *cli)
{
	double seconds = *cli->watch ? strtod(cli->watch, NULL) : WATCH_DEFAULT_S;
	uint64_t left = cli->count ? strtoull(cli->count, NULL, 10) : UINT64_MAX;
	bool screen = !cli->json && isatty(fileno(cli->out));
	struct sigaction action = {.sa_handler = on_interrupt}, before;
	int status = CLI_OK;
	interrupted = 0;
	sigaction(SIGINT, &action, &before);
	for (bool first = true; left > 0 && !interrupted && status == CLI_OK; left--, first = false) {
		if (!first)
			pause_for(seconds);
		if (interrupted)
			break;
		if (!first && !screen && !cli->json)
			fputc('\n', cli->out);
		status = screen ? run_on_screen(cli) : cli->command->run(cli);
		if (fflush(cli->out) != 0)
			status = CLI_REFUSED; /* a closed pipe: who reads has seen enough */
	}
	sigaction(SIGINT, &before, NULL);
	return status;
}

int
cli_run(struct cli *cli)
{
	if (cli->help || !cli->command) {
		if (cli->command)
			cli_command_usage(cli->out, cli->command);
		else if (cli->group)
			cli_group_usage(cli->out, cli->group);
		else
			cli_usage(cli->out);
		return CLI_OK;
	}
	return cli->watch ? watch(cli) : cli->command->run(cli);
}
