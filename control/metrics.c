// SPDX-License-Identifier: BSD-3-Clause
#include "control/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

/* ---- gauges and histograms of control ------------------------------------------------ */

struct own {
	const char *name;
	enum metrics_type type;
	const char *labels;
	const char *text;
	void (*write)(FILE *f, const char *name, const struct metrics_snapshot *s);
};

#define SIMPLE(function, value)                                                                    \
	static void function(FILE *f, const char *name, const struct metrics_snapshot *s)          \
	{                                                                                          \
		fprintf(f, "%s %" PRIu64 "\n", name, (uint64_t)(value));                           \
	}

SIMPLE(write_ready, s->status.ready)
SIMPLE(write_dataplane_up, s->status.dataplane_connected)
SIMPLE(write_instance, s->status.instance)
SIMPLE(write_workers, s->status.workers)
SIMPLE(write_capacity, (uint64_t)s->status.workers * s->status.sessions_per_worker)
SIMPLE(write_sessions, s->status.sessions)
SIMPLE(write_restricted, s->status.sessions_restricted)
SIMPLE(write_online, s->status.users_online)
SIMPLE(write_users, s->status.users)
SIMPLE(write_devices, s->status.devices)
SIMPLE(write_stored, s->status.stored_messages)
SIMPLE(write_store_up, s->status.store_ok)
SIMPLE(write_memory, s->memory_resident)

static void
write_build(FILE *f, const char *name, const struct metrics_snapshot *s)
{
	fprintf(f, "%s{version=\"%s\"} 1\n", name, s->status.version);
}

static void
write_uptime(FILE *f, const char *name, const struct metrics_snapshot *s)
{
	fprintf(f, "%s %" PRIu64 ".%03u\n", name, s->status.uptime_ms / 1000, (unsigned)(s->status.uptime_ms % 1000));
}

#define HOUSEKEEPING UINT32_MAX

enum ring_field { RING_USED, RING_CAPACITY, RING_BACKLOG };

static void
write_ring(FILE *f, const char *name, const char *ring, uint32_t worker, const struct server_ring_fill *r,
	   enum ring_field field)
{
	uint32_t value = field == RING_USED ? r->used : field == RING_CAPACITY ? r->capacity : r->backlog;

	if (worker == HOUSEKEEPING)
		fprintf(f, "%s{ring=\"%s\",worker=\"housekeeping\"} %" PRIu32 "\n", name, ring, value);
	else
		fprintf(f, "%s{ring=\"%s\",worker=\"%" PRIu32 "\"} %" PRIu32 "\n", name, ring, worker, value);
}

static void
write_rings(FILE *f, const char *name, const struct metrics_snapshot *s, enum ring_field field)
{
	if (!s->status.dataplane_connected)
		return;
	for (uint32_t w = 0; w < s->status.workers; w++) {
		/* Control keeps a backlog for what it sends only. */
		if (field != RING_BACKLOG) {
			write_ring(f, name, "event", w, &s->status.rings[w].event, field);
			write_ring(f, name, "request", w, &s->status.rings[w].request, field);
			write_ring(f, name, "login", w, &s->status.rings[w].login, field);
		}
		write_ring(f, name, "inject", w, &s->status.rings[w].inject, field);
	}
	write_ring(f, name, "table", HOUSEKEEPING, &s->status.table, field);
}

static void
write_ring_used(FILE *f, const char *name, const struct metrics_snapshot *s)
{
	write_rings(f, name, s, RING_USED);
}

static void
write_ring_capacity(FILE *f, const char *name, const struct metrics_snapshot *s)
{
	write_rings(f, name, s, RING_CAPACITY);
}

static void
write_ring_backlog(FILE *f, const char *name, const struct metrics_snapshot *s)
{
	write_rings(f, name, s, RING_BACKLOG);
}

static void
write_histogram(FILE *f, const char *name, const struct histogram *h)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		sum += h->count[i];
		fprintf(f, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, (double)histogram_bound_us[i] / 1e6, sum);
	}
	sum += h->count[HISTOGRAM_BUCKETS];
	fprintf(f, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, sum);
	fprintf(f, "%s_sum %.6f\n%s_count %" PRIu64 "\n", name, (double)h->sum_us / 1e6, name, sum);
}

static void
write_commit(FILE *f, const char *name, const struct metrics_snapshot *s)
{
	write_histogram(f, name, &s->commit);
}

static void
write_login(FILE *f, const char *name, const struct metrics_snapshot *s)
{
	write_histogram(f, name, &s->login);
}

static const struct own own[] = {
	{"build_info", METRICS_GAUGE, "version", "1; the version is the label", write_build},
	{"ready", METRICS_GAUGE, "", "1: clients can log in", write_ready},
	{"uptime_seconds", METRICS_GAUGE, "", "since control was started", write_uptime},
	{"dataplane_up", METRICS_GAUGE, "", "1: the dataplane is attached and alive", write_dataplane_up},
	{"dataplane_starts_total", METRICS_COUNTER, "", "dataplanes that were provisioned, ever", write_instance},
	{"workers", METRICS_GAUGE, "", "workers of the dataplane", write_workers},
	{"sessions_capacity", METRICS_GAUGE, "", "sessions that the dataplane has room for", write_capacity},
	{"sessions", METRICS_GAUGE, "", "sessions of logged-in devices", write_sessions},
	{"sessions_restricted", METRICS_GAUGE, "", "sessions that still have to register or to enter a password",
	 write_restricted},
	{"users_online", METRICS_GAUGE, "", "users with at least one session", write_online},
	{"users", METRICS_GAUGE, "", "accounts, counted now and then", write_users},
	{"devices", METRICS_GAUGE, "", "enrolled devices, counted now and then", write_devices},
	{"stored_messages", METRICS_GAUGE, "", "messages waiting for absent devices, counted now and then", write_stored},
	{"store_up", METRICS_GAUGE, "", "1: the last commit succeeded", write_store_up},
	{"control_memory_resident_bytes", METRICS_GAUGE, "", "memory that control holds", write_memory},
	{"ring_used", METRICS_GAUGE, "ring, worker", "cells that wait in a ring between the processes", write_ring_used},
	{"ring_capacity", METRICS_GAUGE, "ring, worker", "cells that a ring holds", write_ring_capacity},
	{"ring_backlog", METRICS_GAUGE, "ring, worker", "cells that wait in control because the ring is full",
	 write_ring_backlog},
	{"store_commit_seconds", METRICS_HISTOGRAM, "le", "time that a commit of the database took", write_commit},
	{"login_seconds", METRICS_HISTOGRAM, "le",
	 "time from taking a LOGIN out of its ring to its answer, commit included", write_login},
};

/* ---- families ------------------------------------------------------------------------ */

/* Of a counter of microseconds the length of its name without _us, otherwise 0: Prometheus has times in seconds. */
static int
microseconds_name(const char *name)
{
	size_t n = strlen(name);

	return n > 3 && strcmp(name + n - 3, "_us") == 0 ? (int)n - 3 : 0;
}

/* First control's own, then its counters, then the dataplane's. Returns the place in its list. */
static unsigned
family_place(unsigned i, const struct own **o, const char **control, const char **text)
{
	*o = NULL;
	*control = NULL;
	if (i < COUNT_OF(own)) {
		*o = &own[i];
		return i;
	}
	i -= COUNT_OF(own);
	for (unsigned n = 0; server_control_counter(n, control, text); n++)
		if (i-- == 0)
			return n;
	*control = NULL;
	return i;
}

bool
metrics_family(unsigned i, struct metrics_family *out)
{
	const char *control, *text;
	const struct own *o;
	unsigned at = family_place(i, &o, &control, &text);

	if (o != NULL) {
		*out = (struct metrics_family){.type = o->type, .text = o->text, .labels = o->labels};
		snprintf(out->name, sizeof(out->name), "rookery_%s", o->name);
		return true;
	}
	if (control != NULL) {
		*out = (struct metrics_family){.type = METRICS_COUNTER, .text = text, .labels = ""};
		if (microseconds_name(control) != 0)
			snprintf(out->name, sizeof(out->name), "rookery_control_%.*s_seconds_total",
				 microseconds_name(control), control);
		else
			snprintf(out->name, sizeof(out->name), "rookery_control_%s_total", control);
		return true;
	}
	if (at >= COUNTER_COUNT)
		return false;
	*out = (struct metrics_family){.type = counter_info[at].is_gauge ? METRICS_GAUGE : METRICS_COUNTER,
				       .text = counter_info[at].text, .labels = "worker"};
	snprintf(out->name, sizeof(out->name), "rookery_dataplane_%s%s", counter_info[at].name,
		 counter_info[at].is_gauge ? "" : "_total");
	return true;
}

static void
write_control(FILE *f, const char *name, const char *control, uint64_t value)
{
	if (microseconds_name(control) != 0)
		fprintf(f, "%s %" PRIu64 ".%06u\n", name, value / 1000000, (unsigned)(value % 1000000));
	else
		fprintf(f, "%s %" PRIu64 "\n", name, value);
}

static void
write_dataplane(FILE *f, const char *name, unsigned counter, const struct server_counters *c)
{
	if (!c->connected)
		return;
	for (uint32_t w = 0; w < c->workers; w++)
		fprintf(f, "%s{worker=\"%" PRIu32 "\"} %" PRIu64 "\n", name, w, c->dataplane[w][counter]);
	fprintf(f, "%s{worker=\"housekeeping\"} %" PRIu64 "\n", name, c->dataplane[c->workers][counter]);
}

char *
metrics_text(const struct metrics_snapshot *s, size_t *length)
{
	static const char *const types[] = {"counter", "gauge", "histogram"};
	struct metrics_family family;
	char *text = NULL;
	FILE *f = open_memstream(&text, length);

	if (f == NULL)
		return NULL;
	for (unsigned i = 0; metrics_family(i, &family); i++) {
		const char *control, *help;
		const struct own *o;
		unsigned at = family_place(i, &o, &control, &help);

		fprintf(f, "# HELP %s %s\n# TYPE %s %s\n", family.name, family.text, family.name, types[family.type]);
		if (o != NULL)
			o->write(f, family.name, s);
		else if (control != NULL)
			write_control(f, family.name, control, s->counters.control[at]);
		else
			write_dataplane(f, family.name, at, &s->counters);
	}
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
