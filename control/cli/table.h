/* SPDX-License-Identifier: BSD-3-Clause */
/* A table of text for people: columns as wide as their longest value. */
#ifndef ROOKERY_CONTROL_CLI_TABLE_H
#define ROOKERY_CONTROL_CLI_TABLE_H

#include <stddef.h>
#include <stdio.h>

#define TABLE_COLUMNS_MAX 12

struct table {
	size_t columns;
	const char *titles[TABLE_COLUMNS_MAX]; /* beginning with '>': aligned to the right */
	char **cells;			       /* rows * columns */
	size_t rows, capacity;
};

/* titles ends with NULL. */
void table_init(struct table *t, const char *const titles[]);

/* Appends one row of t->columns values, copied; control characters become '?', since some values were chosen
 * by strangers and must not steer the terminal. Returns 0 or -ENOMEM. */
int table_add(struct table *t, const char *const values[]);

/* Without trailing spaces. Nothing but the titles when there are no rows. */
void table_print(const struct table *t, FILE *out);
void table_free(struct table *t);

/* A copy of text without control characters (C0, C1, DEL); to be freed. NULL without memory. */
char *table_clean(const char *text);

#endif
