// SPDX-License-Identifier: BSD-3-Clause
/* docs_pages --check|--write FOLDER: compares or renews the tables of the documents in it (page.h).
 * docs_pages --metrics FILE...: are the metrics that they name there?
 * docs_pages --man: prints rookery.yaml(5). */
#include "docs/page.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define LINE_SIZE 8192

static const struct {
	const char *name;
	page_writer write;
} writers[] = {
	{"keys", config_page},
	{"log", logs_page},
	{"metrics", metrics_page},
};

static const struct {
	const char *file;
	int (*complete)(void);
} pages[] = {
	{"configuration.md", config_page_complete},
	{"metrics.md", NULL},
	{"operations.md", NULL},
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* "<!-- NAME: ARGUMENT -->": writes the table, if the line is such a marker. Returns 1, 0 or -EINVAL. */
static int
marker(FILE *out, const char *line)
{
	char name[32], argument[512];
	size_t n;

	if (sscanf(line, "<!-- %31[a-z]: %511[^\n]", name, argument) != 2)
		return 0;
	n = strlen(argument);
	if (n < 4 || strcmp(argument + n - 4, " -->") != 0)
		return 0;
	argument[n - 4] = '\0';
	for (size_t i = 0; i < COUNT(writers); i++)
		if (strcmp(writers[i].name, name) == 0)
			return writers[i].write(out, argument) == 0 ? 1 : -EINVAL;
	return 0;
}

static int
page_make(FILE *in, FILE *out, const char *path)
{
	char line[LINE_SIZE];
	bool inside = false;
	int rc = 0;

	while (rc >= 0 && fgets(line, sizeof(line), in) != NULL) {
		if (inside && strcmp(line, "<!-- end -->\n") != 0)
			continue;
		inside = false;
		fputs(line, out);
		rc = marker(out, line);
		inside = rc == 1;
	}
	if (rc >= 0 && inside) {
		fprintf(stderr, "%s: a table lacks its \"<!-- end -->\"\n", path);
		rc = -EINVAL;
	}
	return rc < 0 ? rc : 0;
}

static char *
file_text(FILE *f)
{
	char *text = NULL;
	size_t cap = 0;

	rewind(f);
	if (getdelim(&text, &cap, '\0', f) < 0) {
		free(text);
		return NULL;
	}
	return text;
}

static int
page_do(const char *path, bool write)
{
	char *made = NULL, *old;
	size_t size = 0;
	FILE *in = fopen(path, "r"), *out = open_memstream(&made, &size);
	int rc = -EIO;

	if (in == NULL || out == NULL) {
		perror(path);
		return rc;
	}
	rc = page_make(in, out, path);
	fclose(out);
	old = file_text(in);
	fclose(in);
	if (rc == 0 && (old == NULL || strcmp(old, made) != 0)) {
		if (!write) {
			fprintf(stderr, "%s is not what the code says: run `ninja -C build docs`\n", path);
			rc = -EINVAL;
		} else if ((out = fopen(path, "w")) == NULL || fputs(made, out) < 0 || fclose(out) != 0) {
			perror(path);
			rc = -EIO;
		}
	}
	free(old);
	free(made);
	return rc;
}

int
main(int argc, char **argv)
{
	char path[4096];
	int status = argc < 3;
	bool write = argc == 3 && strcmp(argv[1], "--write") == 0;

	if (argc > 2 && strcmp(argv[1], "--metrics") == 0) {
		for (int i = 2; i < argc; i++)
			status |= metrics_names_check(argv[i]) != 0;
		return status;
	}
	if (argc == 2 && strcmp(argv[1], "--man") == 0)
		return config_man(stdout) != 0;
	if (argc != 3 || (!write && strcmp(argv[1], "--check") != 0)) {
		fprintf(stderr, "usage: docs_pages --check|--write FOLDER, docs_pages --metrics FILE..., docs_pages --man\n");
		return 2;
	}
	for (size_t i = 0; i < COUNT(pages); i++) {
		snprintf(path, sizeof(path), "%s/%s", argv[2], pages[i].file);
		if (page_do(path, write) != 0 || (pages[i].complete != NULL && pages[i].complete() != 0))
			status = 1;
	}
	return status;
}
