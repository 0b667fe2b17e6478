/* SPDX-License-Identifier: BSD-3-Clause */
/* Help on the terminal, from the table of commands. */
#include "control/cli/cli.h"

#include <string.h>

#define LEFT 34 /* width of the left column */

const struct cli_exit_status cli_exit_statuses[] = {
	{CLI_OK, "done"},
	{CLI_REFUSED, "the server refused, or it could not be done"},
	{CLI_USAGE, "wrong usage, configuration file or password input: nothing was asked of the server"},
	{CLI_UNREACHABLE, "no server could be reached, or it did not answer"},
	{CLI_VERSION, "the server speaks another version of the admin API"},
	{0},
};

void
cli_synopsis(const struct command *c, char *buf, size_t cap)
{
	size_t used = (size_t)snprintf(buf, cap, "%s", c->name);
	for (const struct cli_param *a = c->args; a->name && used < cap; a++)
		used += (size_t)snprintf(buf + used, cap - used, a->optional ? " [%s]" : " %s", a->name);
	if (c->options && used < cap)
		snprintf(buf + used, cap - used, " [OPTIONS]");
}

static void
print_line(FILE *out, const char *left, const char *help)
{
	if (strlen(left) > LEFT)
		fprintf(out, "  %s\n  %-*s %s\n", left, LEFT, "", help);
	else
		fprintf(out, "  %-*s %s\n", LEFT, left, help);
}

static void
print_option(FILE *out, const struct cli_param *o)
{
	char left[80];
	if (o->type == CLI_FLAG)
		snprintf(left, sizeof(left), "--%s", o->name);
	else if (o->type == CLI_SECONDS)
		snprintf(left, sizeof(left), "--%s[=%s]", o->name, o->value);
	else
		snprintf(left, sizeof(left), "--%s %s", o->name, o->value);
	print_line(out, left, o->help);
}

static void
print_command(FILE *out, const struct command *c)
{
	char left[120];
	cli_synopsis(c, left, sizeof(left));
	if (c->options)
		left[strlen(left) - strlen(" [OPTIONS]")] = '\0';
	print_line(out, left, c->help);
}

static void
print_globals(FILE *out, const struct command *c)
{
	for (const struct cli_param *o = cli_globals; o->name; o++)
		if (!c || cli_global_applies(o, c))
			print_option(out, o);
}

void
cli_usage(FILE *out)
{
	fprintf(out, "Usage: rookctl [OPTIONS] COMMAND [ARGUMENTS]\n"
		     "       rookctl [OPTIONS]              commands typed at a prompt\n"
		     "       rookctl [OPTIONS] -f FILE      commands of a file, - for standard input\n"
		     "\nThe operator's tool for a Rookery server: the one that --state, --config or --socket name, or your own, or\n"
		     "else the one that runs with " ROOKERY_INSTALLED_CONFIG ".\n\nCommands:\n");
	for (const struct command *c = cli_commands; c->name; c++)
		if (!(c->flags & CLI_HIDDEN))
			print_command(out, c);
	fprintf(out, "\nOptions:\n");
	print_globals(out, NULL);
	fprintf(out, "\n`rookctl COMMAND --help` shows the options of a command.\n\nExit status:\n");
	for (const struct cli_exit_status *e = cli_exit_statuses; e->text; e++)
		fprintf(out, "  %d  %s\n", e->status, e->text);
}

void
cli_group_usage(FILE *out, const char *group)
{
	size_t len = strlen(group);
	fprintf(out, "Usage: rookctl [OPTIONS] %s COMMAND [ARGUMENTS]\n\nCommands:\n", group);
	for (const struct command *c = cli_commands; c->name; c++)
		if (strncmp(c->name, group, len) == 0 && c->name[len] == ' ' && !(c->flags & CLI_HIDDEN))
			print_command(out, c);
}

static void
print_examples(FILE *out, const char *text)
{
	fprintf(out, "\nExamples:\n");
	while (*text) {
		size_t len = strcspn(text, "\n");
		fprintf(out, "  rookctl %.*s\n", (int)len, text);
		text += len + (text[len] == '\n');
	}
}

void
cli_command_usage(FILE *out, const struct command *c)
{
	char synopsis[120];
	cli_synopsis(c, synopsis, sizeof(synopsis));
	fprintf(out, "Usage: rookctl %s\n\n%s\n", synopsis, c->help);
	if (c->also)
		fprintf(out, "Also called `%s`.\n", c->also);
	if (c->details)
		fprintf(out, "\n%s\n", c->details);
	if (c->args[0].name)
		fprintf(out, "\nArguments:\n");
	for (const struct cli_param *a = c->args; a->name; a++)
		print_line(out, a->name, a->help);
	fprintf(out, "\nOptions:\n");
	for (const struct cli_param *o = c->options; o && o->name; o++)
		print_option(out, o);
	print_globals(out, c);
	if (c->example)
		print_examples(out, c->example);
}
