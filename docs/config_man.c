// SPDX-License-Identifier: BSD-3-Clause
/* rookery.yaml(5), from the same table as docs/configuration.md. The meanings in it are Markdown. */
#include "docs/page.h"

#include "shared/config_default.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char head[] =
	".\\\" SPDX-License-Identifier: BSD-3-Clause\n"
	".TH ROOKERY.YAML 5 \"" ROOKERY_DATE "\" \"Rookery " ROOKERY_VERSION "\" \"Rookery\"\n"
	".SH NAME\nrookery.yaml \\- configuration of a Rookery server\n"
	".SH DESCRIPTION\n"
	"One YAML file for\n.BR rookery (8)\nand the processes that it starts, given with\n.BR \\-\\-config .\n"
	"It names only the keys that differ from the defaults. Sections are merged key by key, a list replaces the default\\(aqs list as a\n"
	"whole. An unknown key, a value out of range and a combination that cannot work are errors, named with file and line;\n"
	".B rookctl config check\n.I FILE\ntries a file. After a change,\n.B rookctl config diff\n"
	"tells what brings it into force, and so does the word after \"change\" below:\n"
	".BR \"rookctl config reload\" ,\n.B rookctl restart\nof the dataplane, of control or of both, or a stop and a start of the server.\n"
	".PP\n"
	"A leading ~ is the home directory, a leading $VAR or ${VAR} that variable; a relative path starts at the directory in which the\n"
	"program was started. Below, a dot separates a section from its key:\n"
	".B log.level\nis\n.B level\nin the section\n.BR log .\n";

static const char tail[] =
	".SH EXAMPLES\nA server for a network, on UDP sockets, with accounts made by its operator:\n.PP\n.nf\n.RS\n"
	"state_dir: /var/lib/rookery\nruntime_dir: /run/rookery\ndataplane:\n  workers: 2\n  ports:\n"
	"    \\- type: socket\n      listen: 0.0.0.0:8000\n    \\- type: socket\n      listen: \"[::]:8000\"\n"
	"control:\n  registration: false\n.RE\n.fi\n"
	".SH \"SEE ALSO\"\n.BR rookery (8),\n.BR rookctl (1)\n";

/* Markdown to roff: `code`, [text](link); line breaks at spaces, so that no line begins with a dot. */
static void
roff(FILE *out, const char *text)
{
	bool code = false;

	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '`') {
			code = !code;
			fputs(code ? "\\fB" : "\\fR", out);
		} else if (*p == '[' && !code && strstr(p, "](") != NULL) {
			continue;
		} else if (*p == ']' && p[1] == '(' && !code) {
			p += strcspn(p, ")");
		} else if (*p == '\\') {
			fputs("\\e", out);
		} else if (*p == '-') {
			fputs("\\-", out);
		} else if (*p == '\'') {
			fputs("\\(aq", out);
		} else {
			fputc(*p, out);
		}
	}
}

/* "dataplane.ports." of "dataplane.ports.mtu", "" of "state_dir". */
static int
section_length(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot == NULL ? 0 : (int)(dot + 1 - path);
}

static void
print_section(FILE *out, const char *path)
{
	int n = section_length(path) - 1;

	if (n < 0) {
		fputs(".SH DIRECTORIES\n", out);
		return;
	}
	fputs(".SH \"", out);
	for (int i = 0; i < n; i++)
		fputc(toupper(path[i]), out);
	fputs("\"\n", out);
}

static int
print_key(FILE *out, yaml_document_t *doc, const struct config_key *key)
{
	char *standard = NULL;
	size_t size;
	FILE *text = open_memstream(&standard, &size);
	int rc;

	if (text == NULL)
		return -ENOMEM;
	rc = config_default_print(text, doc, key);
	fclose(text);
	fprintf(out, ".TP\n.B %s\n", key->path);
	roff(out, key->meaning);
	/* Sentences end with a dot, phrases do not. */
	fputs(key->meaning[strlen(key->meaning) - 1] == '.' ? "\n" : ".\n", out);
	fputs(".br\nDefault: ", out);
	roff(out, standard);
	if (key->is_number)
		fprintf(out, "; range: %" PRIu64 " to %" PRIu64, key->min, key->max);
	if (key->unit != NULL && key->unit[0] != '\0')
		fprintf(out, " %s", key->unit);
	for (size_t i = 0; i < key->word_count; i++)
		fprintf(out, "%s\\fB%s\\fR", i == 0 ? "; one of: " : ", ", key->words[i].str);
	if (key->range != NULL && key->range[0] != '\0') {
		fputs("; ", out);
		roff(out, key->range);
	}
	fprintf(out, "; change: %s.\n", config_change_takes(key->path));
	free(standard);
	return rc;
}

int
config_man(FILE *out)
{
	struct config_error e = {.file = "config/default.yaml", .text = (char[512]){""}, .cap = 512};
	const char *section = NULL;
	yaml_document_t doc;
	int rc = config_check(&doc, CONFIG_DEFAULT_YAML, strlen(CONFIG_DEFAULT_YAML), &e);

	if (rc < 0) {
		fprintf(stderr, "%s\n", e.text);
		return rc;
	}
	fputs(head, out);
	for (size_t i = 0; config_keys[i].path != NULL && rc == 0; i++) {
		const char *path = config_keys[i].path;
		int n = section_length(path);

		if (section == NULL || section_length(section) != n || strncmp(section, path, (size_t)n) != 0)
			print_section(out, path);
		section = path;
		rc = print_key(out, &doc, &config_keys[i]);
	}
	fputs(tail, out);
	yaml_document_delete(&doc);
	return rc;
}
