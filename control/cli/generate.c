/* SPDX-License-Identifier: BSD-3-Clause */
/* The files that are made from the table of commands at build time: rookctl(1), completion of bash and zsh. */
#include "control/cli/cli.h"

#include <errno.h>
#include <string.h>

/* ---- man page -------------------------------------------------------------------------- */

/* Text for roff: a backslash, a hyphen and a leading dot or quote have meanings there. */
static void
roff(FILE *out, const char *text)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", out);
	for (; *text; text++) {
		if (*text == '\\')
			fputs("\\e", out);
		else if (*text == '-')
			fputs("\\-", out);
		else if (*text == '\n' && (text[1] == '.' || text[1] == '\''))
			fputs("\n\\&", out);
		else
			fputc(*text, out);
	}
}

static void
man_option(FILE *out, const struct cli_param *o)
{
	fprintf(out, ".TP\n\\fB\\-\\-%s\\fR", o->name);
	if (o->type == CLI_SECONDS)
		fprintf(out, "[=\\fI%s\\fR]", o->value);
	else if (o->type != CLI_FLAG)
		fprintf(out, " \\fI%s\\fR", o->value);
	fputc('\n', out);
	roff(out, o->help);
	fputs(".\n", out);
}

static void
man_examples(FILE *out, const char *text)
{
	fputs(".PP\n.nf\n.RS\n", out);
	for (; *text; text += strcspn(text, "\n"), text += *text == '\n') {
		char line[200];
		snprintf(line, sizeof(line), "rookctl %.*s", (int)strcspn(text, "\n"), text);
		roff(out, line);
		fputc('\n', out);
	}
	fputs(".RE\n.fi\n", out);
}

static void
man_command(FILE *out, const struct command *c)
{
	fprintf(out, ".SS \"%s", c->name);
	for (const struct cli_param *a = c->args; a->name; a++)
		fprintf(out, a->optional ? " [%s]" : " %s", a->name);
	fputs("\"\n", out);
	roff(out, c->help);
	fputs(".\n", out);
	if (c->also) {
		fputs("Also called ", out);
		roff(out, c->also);
		fputs(".\n", out);
	}
	if (c->details) {
		roff(out, c->details);
		fputc('\n', out);
	}
	for (const struct cli_param *a = c->args; a->name; a++) {
		fprintf(out, ".TP\n\\fI%s\\fR\n", a->name);
		roff(out, a->help);
		fputs(".\n", out);
	}
	for (const struct cli_param *o = c->options; o && o->name; o++)
		man_option(out, o);
	if (c->flags & CLI_WATCH)
		fputs(".PP\nTakes\n.BR \\-\\-watch .\n", out);
	if (c->example)
		man_examples(out, c->example);
}

static void
generate_man(FILE *out)
{
	fputs(".TH ROOKCTL 1 \"" ROOKERY_DATE "\" \"Rookery " ROOKERY_VERSION "\" \"Rookery\"\n"
	      ".SH NAME\nrookctl \\- the operator's tool for a Rookery server\n"
	      ".SH SYNOPSIS\n.B rookctl\n[\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGUMENTS\\fR]\n.br\n"
	      ".B rookctl\n[\\fIOPTIONS\\fR]\n.br\n"
	      ".B rookctl\n[\\fIOPTIONS\\fR] \\fB\\-f\\fR \\fIFILE\\fR [\\fB\\-e\\fR]\n"
	      ".SH DESCRIPTION\n"
	      "Speaks to\n.B rookery\\-control\nover its Unix socket, which it finds from the same\n"
	      ".B \\-\\-state\nand\n.B \\-\\-config\nas the server was started with.\n"
	      "It must run as the server's user, or as root. Without these options it speaks to your own server, if there\n"
	      "is one, or else to the one that runs with\n.IR " ROOKERY_INSTALLED_CONFIG ".\n.PP\n"
	      "Without a command it reads commands at a prompt, with history and completion by the\n"
	      "tabulator key; with\n.B \\-f\nfrom a file, one per line. Words are separated and quoted as in\n"
	      "a shell; lines that begin with # are comments.\n"
	      ".SH OPTIONS\n",
	      out);
	for (const struct cli_param *o = cli_globals; o->name; o++)
		man_option(out, o);
	fputs(".PP\n.BR \\-h ,\n.B \\-f\nand\n.B \\-e\nare short for\n.BR \\-\\-help ,\n.B \\-\\-file\n"
	      "and\n.BR \\-\\-stop .\n.SH COMMANDS\n",
	      out);
	for (const struct command *c = cli_commands; c->name; c++)
		if (!(c->flags & CLI_HIDDEN))
			man_command(out, c);
	fputs(".SH \"EXIT STATUS\"\n", out);
	for (const struct cli_exit_status *e = cli_exit_statuses; e->text; e++) {
		fprintf(out, ".TP\n.B %d\n", e->status);
		roff(out, e->text);
		fputs(".\n", out);
	}
	fputs(".SH FILES\n.TP\n.I ~/.rookctl_history\nWhat was typed at the prompt.\n"
	      ".TP\n.I " ROOKERY_INSTALLED_CONFIG "\nThe configuration of the machine's server.\n"
	      ".SH \"SEE ALSO\"\n.BR rookery (8),\n.BR rookery.yaml (5),\n.BR rookchat (1)\n",
	      out);
}

/* ---- shells ---------------------------------------------------------------------------- */

/* Both ask rookctl itself, which knows the table and, from a running server, the names. Its lines are a
 * candidate, a tabulator and help; a line of one tabulator asks for files. */

static void
generate_bash(FILE *out)
{
	fputs("# bash completion for rookctl\n"
	      "_rookctl()\n"
	      "{\n"
	      "	local line cut= word=${COMP_LINE:0:COMP_POINT}\n"
	      "	local -a words\n"
	      "	# Bash has taken user:NAME apart and wants only what comes behind the colon. The x stands for an empty last word.\n"
	      "	read -a words <<<\"${word}x\"\n"
	      "	word=${words[-1]%x}\n"
	      "	words[-1]=$word\n"
	      "	[[ $COMP_WORDBREAKS == *:* ]] && cut=${word%\"${word##*:}\"}\n"
	      "	COMPREPLY=()\n"
	      "	while IFS= read -r line; do\n"
	      "		if [ \"$line\" = $'\\t' ]; then\n"
	      "			compopt -o filenames\n"
	      "			while IFS= read -r line; do\n"
	      "				COMPREPLY+=(\"${line#\"$cut\"}\")\n"
	      "			done < <(compgen -f -- \"$word\")\n"
	      "		else\n"
	      "			line=${line%%$'\\t'*}\n"
	      "			[[ $line == *: ]] && compopt -o nospace\n"
	      "			COMPREPLY+=(\"${line#\"$cut\"}\")\n"
	      "		fi\n"
	      "	done < <(\"$1\" --complete \"${words[@]:1}\" 2>/dev/null)\n"
	      "}\n"
	      "complete -F _rookctl rookctl\n",
	      out);
}

static void
generate_zsh(FILE *out)
{
	fputs("#compdef rookctl\n"
	      "local line word help\n"
	      "local -a whole open # open: a name follows the colon\n"
	      "for line in \"${(@f)$($words[1] --complete \"${(@)words[2,CURRENT]}\" 2>/dev/null)}\"; do\n"
	      "	word=${${line%%$'\\t'*}//:/\\\\:}\n"
	      "	help=${line#*$'\\t'}\n"
	      "	if [[ $line == $'\\t' ]]; then\n"
	      "		_files\n"
	      "	elif [[ $word == *: ]]; then\n"
	      "		open+=(\"$word:$help\")\n"
	      "	elif [[ -n $word ]]; then\n"
	      "		whole+=(\"$word${help:+:$help}\")\n"
	      "	fi\n"
	      "done\n"
	      "(( $#whole )) && _describe rookctl whole\n"
	      "(( $#open )) && _describe rookctl open -S ''\n",
	      out);
}

/* For docs/operations.md; a unit test compares. */
static void
generate_markdown(FILE *out)
{
	fputs("| command | does |\n|---|---|\n", out);
	for (const struct command *c = cli_commands; c->name; c++) {
		if (c->flags & CLI_HIDDEN)
			continue;
		fprintf(out, "| `%s", c->name);
		for (const struct cli_param *a = c->args; a->name; a++) {
			fputs(a->optional ? " [" : " ", out);
			for (const char *p = a->name; *p; p++)
				fprintf(out, *p == '|' ? "\\%c" : "%c", *p); /* a cell of the table ends there */
			fputs(a->optional ? "]" : "", out);
		}
		for (const struct cli_param *o = c->options; o && o->name; o++)
			fprintf(out, o->value ? " [--%s %s]" : " [--%s]", o->name, o->value);
		fprintf(out, "` | %s |\n", c->help);
	}
}

int
cli_generate(FILE *out, const char *what)
{
	if (strcmp(what, "man") == 0)
		generate_man(out);
	else if (strcmp(what, "bash") == 0)
		generate_bash(out);
	else if (strcmp(what, "zsh") == 0)
		generate_zsh(out);
	else if (strcmp(what, "markdown") == 0)
		generate_markdown(out);
	else
		return -EINVAL;
	return 0;
}
