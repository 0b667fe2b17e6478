/* SPDX-License-Identifier: BSD-3-Clause */
/* What may come next on a command line: for the prompt (shell.c) and for bash and zsh (generate.c). */
#include "control/cli/cli.h"

#include <string.h>

/* What the words before the cursor say. */
struct seen {
	const struct command *command;
	const char *group;
	int args;
	const struct cli_param *value_of; /* the last word is an option that wants a value */
	bool options_over;
};

static const struct cli_param *
option_of(const struct seen *s, const char *word)
{
	const char *name = word + 2;
	int i = cli_find_param(cli_globals, name, strlen(name));
	if (i >= 0)
		return &cli_globals[i];
	i = s->command ? cli_find_param(s->command->options, name, strlen(name)) : -1;
	return i >= 0 ? &s->command->options[i] : NULL;
}

static void
see_word(struct seen *s, const char *word)
{
	if (s->value_of) {
		s->value_of = NULL;
	} else if (!s->options_over && strcmp(word, "--") == 0) {
		s->options_over = true;
	} else if (!s->options_over && strcmp(word, "-f") == 0) {
		s->value_of = option_of(s, "--file");
	} else if (!s->options_over && word[0] == '-' && word[1]) {
		const struct cli_param *o = strncmp(word, "--", 2) == 0 ? option_of(s, word) : NULL;
		if (o && o->type != CLI_FLAG && o->type != CLI_SECONDS)
			s->value_of = o;
	} else if (s->command) {
		s->args++;
	} else if (s->group) {
		s->command = cli_find_command(s->group, word);
	} else if (!(s->command = cli_find_command(word, NULL)) && cli_is_group(word)) {
		s->group = word;
	}
}

static void
offer(const struct cli_completion *c, const char *partial, const char *text, const char *help)
{
	if (strncmp(text, partial, strlen(partial)) == 0)
		c->add(c->arg, text, help);
}

static void
offer_options(const struct seen *s, const char *partial, const struct cli_completion *c)
{
	char text[48];
	for (const struct cli_param *o = s->command ? s->command->options : NULL; o && o->name; o++) {
		snprintf(text, sizeof(text), "--%s", o->name);
		offer(c, partial, text, o->help);
	}
	for (const struct cli_param *o = cli_globals; o->name; o++) {
		snprintf(text, sizeof(text), "--%s", o->name);
		if (cli_global_applies(o, s->command))
			offer(c, partial, text, o->help);
	}
}

/* First words: commands of one word, and each group once. */
static void
offer_commands(const char *partial, const struct cli_completion *c)
{
	const char *last = "";
	size_t last_len = 0;
	for (const struct command *cmd = cli_commands; cmd->name; cmd++) {
		size_t len = strcspn(cmd->name, " ");
		char word[32];
		if ((cmd->flags & CLI_HIDDEN) || (len == last_len && memcmp(cmd->name, last, len) == 0))
			continue;
		last = cmd->name;
		last_len = len;
		snprintf(word, sizeof(word), "%.*s", (int)len, cmd->name);
		offer(c, partial, word, cmd->name[len] ? "" : cmd->help);
	}
	offer(c, partial, "help", "show help");
}

static void
offer_group(const char *group, const char *partial, const struct cli_completion *c)
{
	size_t len = strlen(group);
	for (const struct command *cmd = cli_commands; cmd->name; cmd++)
		if (strncmp(cmd->name, group, len) == 0 && cmd->name[len] == ' ' &&
		    !(cmd->flags & CLI_HIDDEN))
			offer(c, partial, cmd->name + len + 1, cmd->help);
}

static bool
offer_value(const struct cli_param *param, const char *partial, const struct cli_completion *c)
{
	char word[32];
	switch (param->type) {
	case CLI_FILE:
		return true;
	case CLI_WORD:
		for (const char *w = param->words; *w; w += strcspn(w, "|"), w += *w == '|') {
			snprintf(word, sizeof(word), "%.*s", (int)strcspn(w, "|"), w);
			offer(c, partial, word, "");
		}
		return false;
	case CLI_SESSION_OR_USER:
		if (strcmp(partial, "user:") != 0)
			offer(c, partial, "user:", "all sessions of a user");
		/* fall through */
	case CLI_USER:
	case CLI_SESSION:
		if (c->dynamic)
			c->dynamic(c->arg, param->type, partial);
		return false;
	default:
		return false;
	}
}

bool
cli_complete(const char *const *words, int count, const char *partial, const struct cli_completion *c)
{
	struct seen s = {0};
	for (int i = 0; i < count; i++)
		see_word(&s, words[i]);
	if (s.value_of)
		return offer_value(s.value_of, partial, c);
	if (!s.options_over && partial[0] == '-') {
		offer_options(&s, partial, c);
		return false;
	}
	if (!s.command && s.group)
		offer_group(s.group, partial, c);
	else if (!s.command)
		offer_commands(partial, c);
	else if (s.args < CLI_ARGS_MAX && s.command->args[s.args].name)
		return offer_value(&s.command->args[s.args], partial, c);
	return false;
}
