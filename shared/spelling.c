// SPDX-License-Identifier: BSD-3-Clause
#include "shared/spelling.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static unsigned
min3(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

/* Edits (insert, delete, replace, swap of neighbours) from a to b: optimal string alignment. */
static unsigned
edit_distance(const char *a, const char *b)
{
	unsigned row[3][SPELLING_MAX + 1];
	size_t la = strlen(a), lb = strlen(b);
	unsigned *before = row[0], *last = row[1], *now = row[2];

	if (la > SPELLING_MAX || lb > SPELLING_MAX)
		return UINT32_MAX;
	for (size_t j = 0; j <= lb; j++)
		last[j] = (unsigned)j;
	for (size_t i = 1; i <= la; i++) {
		unsigned *oldest = before;

		now[0] = (unsigned)i;
		for (size_t j = 1; j <= lb; j++) {
			now[j] = min3(last[j] + 1, now[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < now[j])
				now[j] = before[j - 2] + 1;
		}
		before = last;
		last = now;
		now = oldest;
	}
	return last[lb];
}

void
spelling_consider(struct spelling *s, const char *candidate)
{
	unsigned d = edit_distance(s->word, candidate);

	if (d == UINT32_MAX || (s->best[0] != '\0' && d >= s->distance))
		return;
	s->distance = d;
	strcpy(s->best, candidate);
}

const char *
spelling_guess(const struct spelling *s)
{
	return s->best[0] != '\0' && s->distance <= 1 + strlen(s->word) / 3 ? s->best : NULL;
}
