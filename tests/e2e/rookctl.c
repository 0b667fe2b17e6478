/* SPDX-License-Identifier: BSD-3-Clause */
/* The operator's tool as tests use it. */
#include "server.h"

#include "shared/counters.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARGS_MAX 32

int
rookctl_status(struct world *w, const char *const *args, char **out, char **err)
{
	const char *argv[ARGS_MAX] = {"rookctl", "--json", "--state", w->server->state_dir, "--config", w->server->config_path};
	char path[160];
	size_t n = w->place.kind == KIND_DEFAULT ? 4 : 6;
	int status;

	for (size_t i = 0; args[i] && n < ARGS_MAX - 1; i++)
		argv[n++] = args[i];
	argv[n] = NULL;
	snprintf(path, sizeof(path), "%s/rookctl.stderr", w->dir);
	if (err)
		unlink(path);
	/* Who may ask: the user that the server runs as. */
	status = process_run(w, &(struct process_options){.name = "rookctl", .argv = argv,
							  .as_root = world_is_ethdev(w)}, out);
	if (err)
		*err = file_text(path);
	return status;
}

json_t *
rookctl_args(struct world *w, const char *const *args)
{
	char *out, *err;
	int status = rookctl_status(w, args, &out, &err);
	json_t *result;

	if (status != 0)
		world_fail(w, "rookctl %s left with %d: %s", args[0], status, err);
	result = json_loads(out, 0, NULL);
	if (!result)
		world_fail(w, "rookctl %s --json prints no JSON: %s", args[0], out);
	free(out);
	free(err);
	return result;
}

/* ---- counters ----------------------------------------------------------------------- */

static bool
is_worker(const json_t *row)
{
	const char *scope = json_string_value(json_object_get(row, "scope"));

	return scope && strcmp(scope, "worker") == 0;
}

static uint64_t
value_of(const json_t *row)
{
	return (uint64_t)json_integer_value(json_object_get(row, "value"));
}

uint64_t
counter(struct world *w, const char *name)
{
	json_t *stats = rookctl(w, "stats"), *row;
	uint64_t sum = 0;
	bool found = false;
	size_t i;

	json_array_foreach(json_object_get(stats, "counters"), i, row) {
		if (!is_worker(row) || strcmp(json_string_value(json_object_get(row, "name")), name) != 0)
			continue;
		sum += value_of(row);
		found = true;
	}
	json_decref(stats);
	if (!found)
		world_fail(w, "rookctl stats has no counter %s", name);
	return sum;
}

void
counter_wait(struct world *w, const char *name, uint64_t value)
{
	uint64_t deadline = deadline_in(WAIT_EVENT), now;

	while ((now = counter(w, name)) != value)
		if (now > value || !world_poll(w, deadline))
			world_fail(w, "%s is %llu, not %llu", name, (unsigned long long)now, (unsigned long long)value);
}

void
counter_reach(struct world *w, const char *name, uint64_t value)
{
	uint64_t deadline = deadline_in(WAIT_EVENT), now;

	while ((now = counter(w, name)) < value)
		if (!world_poll(w, deadline))
			world_fail(w, "%s is %llu, not at least %llu", name, (unsigned long long)now,
				   (unsigned long long)value);
}

/* What a worker took in minus what its packets ended as. Housekeeping copies counters while workers count, so a
 * difference is only real if it stays. */
static int64_t
imbalance(const json_t *counters, unsigned worker)
{
	static const char *const in[] = {"rx_packets", "handoff_in"};
	static const char *const ends[] = {"consumed", "answered", "handoff_out", "punted", "link_arp", "link_nd", "link_echo"};
	int64_t difference = 0;
	json_t *row;
	size_t i;

	json_array_foreach(counters, i, row) {
		const char *name = json_string_value(json_object_get(row, "name"));

		if (!is_worker(row) || json_integer_value(json_object_get(row, "worker")) != worker)
			continue;
		for (size_t k = 0; k < sizeof(in) / sizeof(in[0]); k++)
			if (strcmp(name, in[k]) == 0)
				difference += (int64_t)value_of(row);
		for (size_t k = 0; k < sizeof(ends) / sizeof(ends[0]); k++)
			if (strcmp(name, ends[k]) == 0)
				difference -= (int64_t)value_of(row);
		if (json_is_true(json_object_get(row, "drop")))
			difference -= (int64_t)value_of(row);
	}
	return difference;
}

static void
print_counters(const json_t *counters)
{
	json_t *row;
	size_t i;

	json_array_foreach(counters, i, row)
		if (is_worker(row) && value_of(row) > 0)
			fprintf(stderr, "worker %lld %s = %llu\n",
				(long long)json_integer_value(json_object_get(row, "worker")),
				json_string_value(json_object_get(row, "name")), (unsigned long long)value_of(row));
}

void
server_check_sums(struct world *w)
{
	uint64_t deadline = deadline_in(WAIT_EVENT);
	unsigned worker = 0;

	while (worker < w->place.workers) {
		json_t *stats = rookctl(w, "stats"), *counters = json_object_get(stats, "counters");
		int64_t difference = imbalance(counters, worker);

		if (json_array_size(counters) < COUNTER_COUNT)
			world_fail(w, "rookctl stats shows %zu counters of at least %d", json_array_size(counters),
				   COUNTER_COUNT);
		if (difference == 0)
			worker++;
		else if (!world_poll(w, deadline)) {
			print_counters(counters);
			world_fail(w, "worker %u: %lld received packets more than it accounts for", worker,
				   (long long)difference);
		}
		json_decref(stats);
	}
}

/* ---- sessions ----------------------------------------------------------------------- */

unsigned
sessions_of(struct world *w, const char *user, struct session_info *out, unsigned cap)
{
	json_t *list = rookctl(w, "sessions", "list"), *row;
	unsigned n = 0;
	size_t i;

	json_array_foreach(json_object_get(list, "sessions"), i, row) {
		const char *name = json_string_value(json_object_get(row, "user"));
		const char *sid = json_string_value(json_object_get(row, "sid"));
		const char *address = json_string_value(json_object_get(row, "address"));

		if (!name || !sid || !address || strcmp(name, user) != 0)
			continue;
		if (n < cap) {
			snprintf(out[n].id, sizeof(out[n].id), "%s", sid);
			snprintf(out[n].peer, sizeof(out[n].peer), "%s", address);
			out[n].worker = (unsigned)json_integer_value(json_object_get(row, "worker"));
			out[n].epoch = (unsigned)json_integer_value(json_object_get(row, "epoch"));
		}
		n++;
	}
	json_decref(list);
	return n;
}

struct session_info
session_of(struct world *w, const char *user)
{
	struct session_info s;
	unsigned n = sessions_of(w, user, &s, 1);

	if (n != 1)
		world_fail(w, "%s has %u sessions, not one", user, n);
	return s;
}
