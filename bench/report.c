/* SPDX-License-Identifier: BSD-3-Clause */
/* The table, latest.json and the plots' data. */
#include "bench.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MAX 96

struct row {
	char name[48];
	char unit[24];
	char note[200];
	struct summary value;
	double reference;
	double goal;
	bool has_goal;
	bool absent;
	bool met;
};

struct options options;
static struct row rows[ROWS_MAX];
static unsigned row_count;

void
series_add(struct series *s, double value)
{
	if (s->count < ROUNDS_MAX)
		s->value[s->count++] = value;
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct summary
series_summary(const struct series *s)
{
	struct series sorted = *s;

	if (s->count == 0)
		fail("a row without a round");
	qsort(sorted.value, sorted.count, sizeof(sorted.value[0]), compare);
	return (struct summary){
		.median = sorted.value[sorted.count / 2],
		.min = sorted.value[0],
		.max = sorted.value[sorted.count - 1],
	};
}

bool
row_wanted(const char *name)
{
	const char *at = options.only;
	size_t n = strlen(name);

	if (at == NULL)
		return true;
	for (; (at = strstr(at, name)) != NULL; at += n)
		if ((at == options.only || at[-1] == ',') && (at[n] == ',' || at[n] == '\0'))
			return true;
	return false;
}

static struct row *
row_new(const char *name, const char *unit, const char *note)
{
	struct row *r;

	if (row_count == ROWS_MAX)
		fail("more than %d rows", ROWS_MAX);
	r = &rows[row_count++];
	snprintf(r->name, sizeof(r->name), "%s", name);
	snprintf(r->unit, sizeof(r->unit), "%s", unit);
	snprintf(r->note, sizeof(r->note), "%s", note);
	return r;
}

static void
row_print(const struct row *r)
{
	char goal[24] = "-", ratio[24] = "-";

	if (r->has_goal && isfinite(r->goal))
		snprintf(goal, sizeof(goal), "%.6g", r->goal);
	if (r->absent) {
		printf("%-22s %10s %10s %10s  %-14s %8s %8s %-5s %s\n", r->name, "-", "-", "-", r->unit, goal, ratio, "NOT", r->note);
		return;
	}
	if (r->reference > 0)
		snprintf(ratio, sizeof(ratio), "%.2f", r->value.median / r->reference);
	printf("%-22s %10.6g %10.6g %10.6g  %-14s %8s %8s %-5s %s\n", r->name, r->value.median, r->value.min, r->value.max, r->unit,
	       goal, ratio, r->has_goal ? (r->met ? "met" : "NOT") : "-", r->note);
	fflush(stdout);
}

static void
heading(void)
{
	static bool done;

	if (done)
		return;
	done = true;
	printf("%-22s %10s %10s %10s  %-14s %8s %8s %-5s\n", "name", "median", "min", "max", "unit", "goal", "ratio", "");
}

void
row_add(const char *name, struct summary value, const char *unit, double reference, double goal, bool below, const char *note)
{
	struct row *r = row_new(name, unit, note);

	r->value = value;
	r->reference = reference;
	r->goal = goal;
	r->has_goal = true;
	r->met = below ? value.median <= goal : value.median >= goal;
	heading();
	row_print(r);
}

void
row_absent(const char *name, const char *unit, double goal, const char *note)
{
	struct row *r;

	if (!row_wanted(name))
		return;
	r = row_new(name, unit, note);
	r->goal = goal;
	r->has_goal = true;
	r->absent = true;
	heading();
	row_print(r);
}

void
figure_add(const char *name, struct summary value, const char *unit, double reference, const char *note)
{
	struct row *r = row_new(name, unit, note);

	r->value = value;
	r->reference = reference;
	heading();
	row_print(r);
}

static FILE *
file_open(const char *name, const char *mode)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", options.dir, name);
	f = fopen(path, mode);
	if (f == NULL)
		fail("%s: %s; the folder must exist (--dir)", path, strerror(errno));
	return f;
}

void
plot_point(const char *curve, double x, struct summary y, double reference)
{
	static char begun[16][32];
	bool fresh = true;
	char name[64];
	unsigned i;
	FILE *f;

	for (i = 0; i < RTE_DIM(begun) && begun[i][0] != '\0'; i++)
		fresh &= strcmp(begun[i], curve) != 0;
	if (fresh && i < RTE_DIM(begun))
		snprintf(begun[i], sizeof(begun[i]), "%s", curve);
	snprintf(name, sizeof(name), "%s.dat", curve);
	f = file_open(name, fresh ? "w" : "a");
	fprintf(f, "%.9g %.9g %.9g %.9g %.9g\n", x, y.median, y.min, y.max, reference);
	fclose(f);
}

static void
json_number(FILE *f, const char *key, double value, bool present)
{
	if (present && isfinite(value))
		fprintf(f, ", \"%s\": %.9g", key, value);
	else
		fprintf(f, ", \"%s\": null", key);
}

static void
summary_print(void)
{
	unsigned goals = 0, met = 0;

	for (unsigned i = 0; i < row_count; i++) {
		goals += rows[i].has_goal;
		met += rows[i].met;
	}
	printf("%u of %u goals met", met, goals);
	for (unsigned i = 0, n = 0; i < row_count; i++)
		if (rows[i].has_goal && !rows[i].met)
			printf("%s%s%s", n++ == 0 ? "; not: " : ", ", rows[i].name, rows[i].absent ? " (not measured)" : "");
	putchar('\n');
}

int
report_write(void)
{
	FILE *f = file_open("latest.json", "w");

	summary_print();
	fprintf(f, "[\n");
	for (unsigned i = 0; i < row_count; i++) {
		const struct row *r = &rows[i];

		fprintf(f, " {\"name\": \"%s\"", r->name);
		json_number(f, "value", r->value.median, !r->absent);
		fprintf(f, ", \"unit\": \"%s\"", r->unit);
		json_number(f, "reference", r->reference, !r->absent && r->reference > 0);
		json_number(f, "ratio", r->value.median / r->reference, !r->absent && r->reference > 0);
		json_number(f, "goal", r->goal, r->has_goal);
		fprintf(f, ", \"met\": %s", !r->has_goal ? "null" : r->met ? "true" : "false");
		json_number(f, "min", r->value.min, !r->absent);
		json_number(f, "max", r->value.max, !r->absent);
		fprintf(f, ", \"note\": \"%s\"}%s\n", r->note, i + 1 < row_count ? "," : "");
	}
	fprintf(f, "]\n");
	return fclose(f) == 0 ? 0 : -errno;
}
