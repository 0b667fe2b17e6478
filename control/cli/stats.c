/* SPDX-License-Identifier: BSD-3-Clause */
/* rookctl stats: counters. */
#include "control/cli/commands.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* One line per counter name within its scope: the sum over the workers. Counters come worker by worker, each
 * in the same order, so the first worker fixes the rows. */
struct sum {
	const json_t *counter;
	json_int_t value;
};

static size_t
sum_scope(const json_t *counters, const char *scope, struct sum *sums)
{
	size_t i, n = 0, at = 0;
	const json_t *c;
	json_array_foreach(counters, i, c) {
		if (strcmp(text_of(c, "scope"), scope) != 0)
			continue;
		const char *name = text_of(c, "name");
		/* usually the one after the last, see above */
		if (at >= n || strcmp(text_of(sums[at].counter, "name"), name) != 0)
			for (at = 0; at < n && strcmp(text_of(sums[at].counter, "name"), name) != 0; at++)
				;
		if (at == n)
			sums[n++] = (struct sum){.counter = c};
		sums[at++].value += (json_int_t)number_of(c, "value");
	}
	return n;
}

/* Returns the number of counters left out because they are zero. */
static size_t
show_scope(struct cli *cli, const json_t *counters, const char *scope, const char *title, struct sum *sums)
{
	size_t n = sum_scope(counters, scope, sums), zero = 0;
	struct table t;
	table_init(&t, (const char *const[]){title, ">VALUE", "MEANING", NULL});
	for (size_t i = 0; i < n; i++) {
		if (sums[i].value == 0 && !cli_value(cli, "all")) {
			zero++;
			continue;
		}
		char value[24];
		snprintf(value, sizeof(value), "%" JSON_INTEGER_FORMAT, sums[i].value);
		table_add(&t, (const char *const[]){text_of(sums[i].counter, "name"), value,
						    text_of(sums[i].counter, "text")});
	}
	if (t.rows) {
		table_print(&t, cli->out);
		fputc('\n', cli->out);
	}
	table_free(&t);
	return zero;
}

static int
show_stats(struct cli *cli, const json_t *result)
{
	const json_t *counters = json_object_get(result, "counters");
	struct sum *sums = calloc(json_array_size(counters) + 1, sizeof(*sums));
	if (!sums)
		return cli_fail(CLI_USAGE, "out of memory");
	size_t zero = show_scope(cli, counters, "worker", cli_value(cli, "worker") ? "WORKER" : "ALL WORKERS",
				 sums);
	memset(sums, 0, json_array_size(counters) * sizeof(*sums));
	zero += show_scope(cli, counters, "housekeeping", "HOUSEKEEPING", sums);
	memset(sums, 0, json_array_size(counters) * sizeof(*sums));
	zero += show_scope(cli, counters, "control", "CONTROL", sums);
	if (zero)
		fprintf(cli->out, "%zu counters are zero; --all shows them.\n", zero);
	if (!json_is_true(json_object_get(result, "connected")))
		fprintf(cli->out, "The dataplane is not connected: its counters are missing.\n");
	free(sums);
	return CLI_OK;
}

int
run_stats(struct cli *cli)
{
	uint64_t worker = cli_number(cli, "worker", UINT64_MAX);
	json_t *args = json_object(), *result;
	if (worker != UINT64_MAX)
		json_object_set_new(args, "worker", json_integer((json_int_t)worker));
	if (cli_value(cli, "drops"))
		json_object_set_new(args, "drops", json_true());
	int r = cli_call(cli, "stats", args, &result);
	if (r != CLI_OK || cli->json)
		return r == CLI_OK ? print_json(cli, result) : r;
	r = show_stats(cli, result);
	json_decref(result);
	return r;
}
