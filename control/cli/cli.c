/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

const struct cli_option cli_globals[] = {
	{"socket", "PATH", "the server's admin socket; default: as the configuration says"},
	{"state", "DIR", "the state directory that the server was started with"},
	{"config", "FILE", "the configuration that the server was started with"},
	{"json", NULL, "print the result as JSON"},
	{"help", NULL, "show help, also for one command"},
	{"version", NULL, "show the version"},
	{0},
};

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

static int
find_option(const struct cli_option *options, const char *name, size_t len)
{
	for (int i = 0; options && options[i].name; i++)
		if (strlen(options[i].name) == len && memcmp(options[i].name, name, len) == 0)
			return i;
	return -1;
}

static void
set_global(struct cli *cli, const char *name, const char *value)
{
	if (strcmp(name, "socket") == 0)
		cli->socket = value;
	else if (strcmp(name, "state") == 0)
		cli->state = value;
	else if (strcmp(name, "config") == 0)
		cli->config = value;
	else if (strcmp(name, "json") == 0)
		cli->json = true;
	else if (strcmp(name, "help") == 0)
		cli->help = true;
	else
		cli->version = true;
}

/* argv[0] begins with "--". Returns how many words it took, or -EINVAL. */
static int
take_option(struct parse *p, int argc, char **argv)
{
	const char *name = argv[0] + 2;
	const char *equals = strchr(name, '=');
	size_t len = equals ? (size_t)(equals - name) : strlen(name);
	const struct cli_option *options = cli_globals;
	int i = find_option(options, name, len);
	bool global = i >= 0;
	if (!global && p->cli->command) {
		options = p->cli->command->options;
		i = find_option(options, name, len);
	}
	if (i < 0)
		return p->cli->command
			       ? wrong(p, "`%s` has no option --%.*s", p->cli->command->name, (int)len, name)
			       : wrong(p, "unknown option --%.*s", (int)len, name);
	const char *value = "";
	int words = 1;
	if (options[i].value && equals) {
		value = equals + 1;
	} else if (options[i].value) {
		if (argc < 2)
			return wrong(p, "--%s needs a value: --%s %s", options[i].name, options[i].name,
				     options[i].value);
		value = argv[1];
		words = 2;
	} else if (equals) {
		return wrong(p, "--%s takes no value", options[i].name);
	}
	if (global)
		set_global(p->cli, options[i].name, value);
	else
		p->cli->values[i] = value;
	return words;
}

/* The command called `first`, or `first second`. */
static const struct command *
find_command(const char *first, const char *second)
{
	for (const struct command *c = cli_commands; c->name; c++) {
		const char *space = strchr(c->name, ' ');
		size_t len = space ? (size_t)(space - c->name) : strlen(c->name);
		if (strlen(first) != len || memcmp(first, c->name, len) != 0)
			continue;
		if (space ? second && strcmp(space + 1, second) == 0 : !second)
			return c;
	}
	return NULL;
}

static bool
is_group(const char *word)
{
	size_t len = strlen(word);
	for (const struct command *c = cli_commands; c->name; c++)
		if (strncmp(c->name, word, len) == 0 && c->name[len] == ' ')
			return true;
	return false;
}

static int
take_word(struct parse *p, const char *word)
{
	struct cli *cli = p->cli;
	if (cli->command) {
		if (cli->arg_count == CLI_ARGS_MAX)
			return wrong(p, "too many arguments: %s", word);
		cli->args[cli->arg_count++] = word;
	} else if (cli->group) {
		cli->command = find_command(cli->group, word);
		if (!cli->command)
			return wrong(p, "`%s` has no command `%s`; `rookctl %s --help` lists them",
				     cli->group, word, cli->group);
	} else if ((cli->command = find_command(word, NULL))) {
		return 0;
	} else if (is_group(word)) {
		cli->group = word;
	} else if (strcmp(word, "help") == 0) {
		cli->help = true;
	} else {
		return wrong(p, "unknown command `%s`; `rookctl --help` lists them", word);
	}
	return 0;
}

static int
count_words(const char *text)
{
	int n = 0;
	for (const char *p = text; *p; p += strspn(p, " "), n++)
		p += strcspn(p, " ");
	return n;
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
	if (!cli->command)
		return wrong(p, "no command given; `rookctl --help` lists them");
	int want = count_words(cli->command->args);
	if (cli->arg_count < want)
		return wrong(p, "`%s` needs %s", cli->command->name, cli->command->args);
	if (cli->arg_count > want)
		return wrong(p, "`%s` does not take `%s`", cli->command->name, cli->args[want]);
	return 0;
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
			r = 0;
			i++;
		} else if (options && strcmp(argv[i], "-h") == 0) {
			cli->help = true;
			r = 0;
			i++;
		} else if (options && strncmp(argv[i], "--", 2) == 0) {
			r = take_option(&p, argc - i, argv + i);
			i += r > 0 ? r : 1;
		} else if (options && argv[i][0] == '-' && argv[i][1]) {
			r = wrong(&p, "unknown option %s", argv[i]);
		} else {
			r = take_word(&p, argv[i]);
			i++;
		}
		if (r < 0)
			return r;
	}
	return check_complete(&p);
}

const char *
cli_value(const struct cli *cli, const char *option)
{
	int i = find_option(cli->command->options, option, strlen(option));
	return i < 0 ? NULL : cli->values[i];
}

/* ---- help --------------------------------------------------------------------------- */

static void
print_options(FILE *out, const struct cli_option *options)
{
	for (; options && options->name; options++) {
		char left[64];
		snprintf(left, sizeof(left), "--%s%s%s", options->name, options->value ? " " : "",
			 options->value ? options->value : "");
		fprintf(out, "  %-28s %s\n", left, options->help);
	}
}

static void
print_command(FILE *out, const struct command *c)
{
	char left[80];
	snprintf(left, sizeof(left), "%s%s%s", c->name, *c->args ? " " : "", c->args);
	fprintf(out, "  %-28s %s\n", left, c->help);
}

void
cli_usage(FILE *out)
{
	fprintf(out, "Usage: rookctl [OPTIONS] COMMAND [ARGUMENTS]\n\nThe operator's tool for a running "
		     "Rookery server.\n"
		     "\nCommands:\n");
	for (const struct command *c = cli_commands; c->name; c++)
		print_command(out, c);
	fprintf(out, "\nOptions:\n");
	print_options(out, cli_globals);
	fprintf(out,
		"\n`rookctl COMMAND --help` shows the options of a command.\n"
		"Exit status: 0 done; 1 the server refused; 2 wrong usage; 3 no server could be reached.\n");
}

void
cli_group_usage(FILE *out, const char *group)
{
	size_t len = strlen(group);
	fprintf(out, "Usage: rookctl [OPTIONS] %s COMMAND [ARGUMENTS]\n\nCommands:\n", group);
	for (const struct command *c = cli_commands; c->name; c++)
		if (strncmp(c->name, group, len) == 0 && c->name[len] == ' ')
			print_command(out, c);
}

void
cli_command_usage(FILE *out, const struct command *c)
{
	fprintf(out, "Usage: rookctl [OPTIONS] %s%s%s%s\n\n%s\n", c->name, *c->args ? " " : "", c->args,
		c->options ? " [OPTIONS]" : "", c->help);
	if (c->details)
		fprintf(out, "\n%s", c->details);
	fprintf(out, "\nOptions:\n");
	print_options(out, c->options);
	print_options(out, cli_globals);
}
