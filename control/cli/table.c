/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/cli/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void
table_init(struct table *t, const char *const titles[])
{
	memset(t, 0, sizeof(*t));
	while (titles[t->columns] && t->columns < TABLE_COLUMNS_MAX) {
		t->titles[t->columns] = titles[t->columns];
		t->columns++;
	}
}

char *
table_clean(const char *text)
{
	char *copy = strdup(text);
	for (unsigned char *p = (unsigned char *)copy; p && *p; p++) {
		if (*p < 0x20 || *p == 0x7f)
			*p = '?';
		else if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) /* C1 in UTF-8, e.g. CSI */
			p[0] = p[1] = '?';
	}
	return copy;
}

int
table_add(struct table *t, const char *const values[])
{
	if (t->rows == t->capacity) {
		size_t capacity = t->capacity ? t->capacity * 2 : 32;
		char **cells = reallocarray(t->cells, capacity * t->columns, sizeof(*cells));
		if (!cells)
			return -ENOMEM;
		t->cells = cells;
		t->capacity = capacity;
	}
	char **row = t->cells + t->rows * t->columns;
	for (size_t i = 0; i < t->columns; i++) {
		row[i] = table_clean(values[i] ? values[i] : "");
		if (!row[i]) {
			while (i-- > 0)
				free(row[i]);
			return -ENOMEM;
		}
	}
	t->rows++;
	return 0;
}

/* Characters of UTF-8 text; wide ones count as one, which only costs alignment. */
static size_t
width(const char *text)
{
	size_t n = 0;
	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static void
print_row(const struct table *t, FILE *out, const char *const *row, const size_t *widths)
{
	size_t owed = 0; /* spaces, printed only when something follows them */
	for (size_t i = 0; i < t->columns; i++) {
		size_t pad = widths[i] - width(row[i]);
		int right = t->titles[i][0] == '>';
		if (right)
			owed += pad;
		if (*row[i]) {
			fprintf(out, "%*s%s", (int)owed, "", row[i]);
			owed = 0;
		}
		if (!right)
			owed += pad;
		owed += 2;
	}
	fputc('\n', out);
}

void
table_print(const struct table *t, FILE *out)
{
	const char *titles[TABLE_COLUMNS_MAX];
	size_t widths[TABLE_COLUMNS_MAX];
	for (size_t i = 0; i < t->columns; i++) {
		titles[i] = t->titles[i] + (t->titles[i][0] == '>');
		widths[i] = width(titles[i]);
		for (size_t r = 0; r < t->rows; r++) {
			size_t w = width(t->cells[r * t->columns + i]);
			widths[i] = w > widths[i] ? w : widths[i];
		}
	}
	print_row(t, out, titles, widths);
	for (size_t r = 0; r < t->rows; r++)
		print_row(t, out, (const char *const *)t->cells + r * t->columns, widths);
}

void
table_free(struct table *t)
{
	for (size_t i = 0; i < t->rows * t->columns; i++)
		free(t->cells[i]);
	free(t->cells);
	memset(t, 0, sizeof(*t));
}
