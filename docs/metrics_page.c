// SPDX-License-Identifier: BSD-3-Clause
/* Marker "metrics: all": every family that /metrics shows. */
#include "docs/page.h"

#include "control/metrics.h"

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
