// SPDX-License-Identifier: BSD-3-Clause
/* Marker "log: areas": the areas of the log. */
#include "docs/page.h"

#include "shared/log.h"

#include <errno.h>
#include <string.h>

int
logs_page(FILE *out, const char *argument)
{
	if (strcmp(argument, "areas") != 0) {
		fprintf(stderr, "<!-- log: %s -->: there is only \"areas\"\n", argument);
		return -EINVAL;
	}
	fputs("| area | written by | about |\n|---|---|---|\n", out);
#define ROW(name, programs, about) fputs("| `" #name "` | " programs " | " about " |\n", out);
	LOG_AREAS(ROW)
	return 0;
}
