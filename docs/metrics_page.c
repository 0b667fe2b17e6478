// SPDX-License-Identifier: BSD-3-Clause
/* Marker "metrics: all": every family that /metrics shows. */
#include "docs/page.h"

#include "control/metrics.h"

#include <errno.h>
#include <string.h>

int
metrics_page(FILE *out, const char *argument)
{
	static const char *const types[] = {"counter", "gauge", "histogram"};
	struct metrics_family f;

	(void)argument;
	fputs("| metric | type | labels | what |\n|---|---|---|---|\n", out);
	for (unsigned i = 0; metrics_family(i, &f); i++)
		fprintf(out, "| `%s` | %s | %s | %s |\n", f.name, types[f.type], f.labels, f.text);
	return 0;
}

static bool
is_metric(const char *name)
{
	static const char *const parts[] = {"_bucket", "_sum", "_count"};
	size_t length = strlen(name);
	struct metrics_family f;

	for (unsigned i = 0; metrics_family(i, &f); i++) {
		size_t n = strlen(f.name);

		/* The beginning of a pattern: "rookery_dataplane_drop_.+" */
		if (strcmp(f.name, name) == 0 || (name[length - 1] == '_' && strncmp(f.name, name, length) == 0))
			return true;
		for (unsigned k = 0; f.type == METRICS_HISTOGRAM && k < 3; k++)
			if (strncmp(f.name, name, n) == 0 && strcmp(name + n, parts[k]) == 0)
				return true;
	}
	return false;
}

int
metrics_names_check(const char *path)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz_";
	FILE *f = fopen(path, "r");
	char line[8192], name[128];
	unsigned known = 0;
	int rc = 0;

	if (f == NULL) {
		perror(path);
		return -EIO;
	}
	while (fgets(line, sizeof(line), f) != NULL) {
		for (const char *p = line; (p = strstr(p, "rookery_")) != NULL; p += strspn(p, letters)) {
			snprintf(name, sizeof(name), "%.*s", (int)strspn(p, letters), p);
			known++;
			if (is_metric(name))
				continue;
			fprintf(stderr, "%s: there is no metric %s\n", path, name);
			rc = -EINVAL;
		}
	}
	fclose(f);
	if (known == 0) {
		fprintf(stderr, "%s: names no metric\n", path);
		rc = -EINVAL;
	}
	return rc;
}
