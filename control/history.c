// SPDX-License-Identifier: BSD-3-Clause
#include "control/history.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum series {
	SERIES_SESSIONS,
	SERIES_USERS_ONLINE,
	SERIES_RX,
	SERIES_TX,
	SERIES_MESSAGES,
	SERIES_DELIVERED,
	SERIES_STORED,
	SERIES_RETRANSMITS,
	SERIES_LOGINS,
	SERIES_DROPS,
	SERIES_BUSY,
	SERIES_RING_FILL,
	SERIES_COMMIT_P50,
	SERIES_COMMIT_P99,
	SERIES_COUNT,
};

static const char *const series_name[SERIES_COUNT] = {
	"sessions", "users_online", "rx",        "tx",           "messages",      "delivered",     "stored",
	"retransmits", "logins",    "drops",     "busy_percent", "ring_percent",  "commit_p50_ms", "commit_p99_ms",
};

struct history {
	float value[SERIES_COUNT][HISTORY_SAMPLES]; /* NAN: not known at that time */
	unsigned count; /* samples, at most HISTORY_SAMPLES */
	unsigned next;
	uint64_t wall_ms; /* of the last */
	bool have_last;
	uint64_t last_ms;
	struct server_counters last, before;
	double seconds; /* between the two */
	struct histogram commit;
};

struct history *
history_new(void)
{
	return calloc(1, sizeof(struct history));
}

void
history_free(struct history *h)
{
	free(h);
}

/* ---- figures ------------------------------------------------------------------------- */

static uint64_t
sum_of(const struct server_counters *c, unsigned counter)
{
	uint64_t sum = 0;

	for (uint32_t w = 0; w <= c->workers; w++)
		sum += c->dataplane[w][counter];
	return sum;
}

static uint64_t
drops_of(const struct server_counters *c)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		if (counter_info[i].is_drop)
			sum += sum_of(c, i);
	return sum;
}

/* A restarted dataplane counts from zero again: then its counts are the difference. */
static double
rate(uint64_t now, uint64_t before, double seconds)
{
	return (double)(now >= before ? now - before : now) / seconds;
}

static double
rate_of(const struct server_counters *now, const struct server_counters *before, unsigned counter, double seconds)
{
	return rate(sum_of(now, counter), sum_of(before, counter), seconds);
}

static double
busy_percent(const struct server_counters *now, const struct server_counters *before, uint32_t w, double seconds)
{
	double hz = (double)now->dataplane[now->workers][COUNTER_cycles_per_second];
	double busy = rate(now->dataplane[w][COUNTER_cycles_busy], before->dataplane[w][COUNTER_cycles_busy], seconds);

	return hz == 0 ? 0 : fmin(100 * busy / hz, 100);
}

static double
ring_percent(const struct server_status *s)
{
	const struct server_ring_fill *fullest = &s->table;
	double most = 0;

	for (uint32_t w = 0; w < s->workers; w++) {
		const struct server_ring_fill *rings[] = {&s->rings[w].event, &s->rings[w].request, &s->rings[w].login,
							  &s->rings[w].inject, fullest};

		for (unsigned i = 0; i < sizeof(rings) / sizeof(rings[0]); i++)
			if (rings[i]->capacity != 0)
				most = fmax(most, 100.0 * rings[i]->used / rings[i]->capacity);
	}
	return most;
}

/* Estimated within the bucket, in ms; NAN when nothing happened. */
static double
quantile_ms(const struct histogram *now, const struct histogram *before, double q)
{
	uint64_t delta[HISTOGRAM_BUCKETS + 1], total = 0, seen = 0;
	double wanted, low, high;

	for (unsigned i = 0; i <= HISTOGRAM_BUCKETS; i++)
		total += delta[i] = now->count[i] - before->count[i];
	wanted = q * (double)total;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS && total != 0; i++) {
		if ((double)(seen + delta[i]) >= wanted && delta[i] != 0) {
			low = i == 0 ? 0 : histogram_bound_us[i - 1];
			high = histogram_bound_us[i];
			return (low + (high - low) * (wanted - (double)seen) / (double)delta[i]) / 1000;
		}
		seen += delta[i];
	}
	return total == 0 ? NAN : histogram_bound_us[HISTOGRAM_BUCKETS - 1] / 1000.0;
}

static void
rates_add(struct history *h, const struct metrics_snapshot *s, float *v)
{
	const struct server_counters *now = &s->counters, *before = &h->last;
	static const struct {
		enum series series;
		unsigned counter;
	} rates[] = {
		{SERIES_RX, COUNTER_rx_packets},       {SERIES_TX, COUNTER_tx_packets},
		{SERIES_MESSAGES, COUNTER_messages_in}, {SERIES_DELIVERED, COUNTER_messages_delivered},
		{SERIES_STORED, COUNTER_messages_stored}, {SERIES_RETRANSMITS, COUNTER_retransmits},
	};
	double busy = 0;

	for (unsigned i = 0; i < sizeof(rates) / sizeof(rates[0]); i++)
		v[rates[i].series] = (float)rate_of(now, before, rates[i].counter, h->seconds);
	v[SERIES_DROPS] = (float)rate(drops_of(now), drops_of(before), h->seconds);
	for (uint32_t w = 0; w < now->workers; w++)
		busy += busy_percent(now, before, w, h->seconds);
	v[SERIES_BUSY] = (float)(busy / now->workers);
	v[SERIES_RING_FILL] = (float)ring_percent(&s->status);
}

static uint64_t
logins_of(const struct server_counters *c)
{
	const char *name, *text;
	uint64_t sum = 0;

	for (unsigned i = 0; server_control_counter(i, &name, &text); i++)
		if (strcmp(name, "logins") == 0 || strcmp(name, "logins_restricted") == 0)
			sum += c->control[i];
	return sum;
}

void
history_add(struct history *h, const struct metrics_snapshot *s, uint64_t now_ms, uint64_t wall_ms)
{
	float v[SERIES_COUNT];
	bool rates = h->have_last && now_ms > h->last_ms;

	for (unsigned i = 0; i < SERIES_COUNT; i++)
		v[i] = NAN;
	h->seconds = rates ? (double)(now_ms - h->last_ms) / 1000 : 0;
	v[SERIES_SESSIONS] = (float)s->status.sessions;
	v[SERIES_USERS_ONLINE] = (float)s->status.users_online;
	if (rates) {
		v[SERIES_LOGINS] = (float)rate(logins_of(&s->counters), logins_of(&h->last), h->seconds);
		v[SERIES_COMMIT_P50] = (float)quantile_ms(&s->commit, &h->commit, 0.5);
		v[SERIES_COMMIT_P99] = (float)quantile_ms(&s->commit, &h->commit, 0.99);
		if (s->counters.connected && h->last.connected && s->counters.workers == h->last.workers)
			rates_add(h, s, v);
	}
	for (unsigned i = 0; i < SERIES_COUNT; i++)
		h->value[i][h->next] = v[i];
	h->next = (h->next + 1) % HISTORY_SAMPLES;
	if (h->count < HISTORY_SAMPLES)
		h->count++;
	h->before = h->last;
	h->last = s->counters;
	h->commit = s->commit;
	h->last_ms = now_ms;
	h->wall_ms = wall_ms;
	h->have_last = true;
}

/* ---- the document -------------------------------------------------------------------- */

/* Three significant digits are more than a graph shows. */
static json_t *
figure(double value)
{
	if (isnan(value))
		return json_null();
	if (value >= 1000 || value == floor(value))
		return json_integer((json_int_t)llround(value));
	return json_real(round(value * 1000) / 1000);
}

static json_t *
series_json(const struct history *h)
{
	json_t *all = json_object();

	for (unsigned i = 0; i < SERIES_COUNT; i++) {
		json_t *values = json_array();

		for (unsigned n = 0; n < h->count; n++)
			json_array_append_new(values, figure(h->value[i][(h->next + HISTORY_SAMPLES - h->count + n) % HISTORY_SAMPLES]));
		json_object_set_new(all, series_name[i], values);
	}
	return all;
}

static bool
comparable(const struct history *h)
{
	return h->seconds > 0 && h->last.connected && h->before.connected && h->last.workers == h->before.workers;
}

static json_t *
workers_json(const struct history *h)
{
	const struct server_counters *now = &h->last, *before = &h->before;
	json_t *all = json_array();

	for (uint32_t w = 0; comparable(h) && w < now->workers; w++) {
		const uint64_t *a = now->dataplane[w], *b = before->dataplane[w];

		json_array_append_new(all, json_pack("{s:i, s:o, s:o, s:o, s:I, s:I, s:I, s:I}", "worker", (int)w, "rx",
			figure(rate(a[COUNTER_rx_packets], b[COUNTER_rx_packets], h->seconds)), "tx",
			figure(rate(a[COUNTER_tx_packets], b[COUNTER_tx_packets], h->seconds)), "busy_percent",
			figure(busy_percent(now, before, w, h->seconds)), "sessions", (json_int_t)a[COUNTER_sessions_live],
			"in_flight", (json_int_t)a[COUNTER_deliveries_live], "packets_used", (json_int_t)a[COUNTER_packets_used],
			"packets_capacity", (json_int_t)a[COUNTER_packets_capacity]));
	}
	return all;
}

static json_t *
drops_json(const struct history *h)
{
	json_t *all = json_array();

	for (unsigned i = 0; h->last.connected && i < COUNTER_COUNT; i++) {
		uint64_t total = sum_of(&h->last, i);

		if (!counter_info[i].is_drop || total == 0)
			continue;
		json_array_append_new(all, json_pack("{s:s, s:s, s:I, s:o}", "name", counter_info[i].name, "text",
			counter_info[i].text, "total", (json_int_t)total, "rate",
			figure(comparable(h) ? rate_of(&h->last, &h->before, i, h->seconds) : NAN)));
	}
	return all;
}

static json_t *
now_json(const struct metrics_snapshot *s)
{
	const struct server_status *t = &s->status;
	uint64_t memory = s->counters.connected ? s->counters.dataplane[s->counters.workers][COUNTER_memory_resident] : 0;

	return json_pack("{s:s, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:s, s:I, s:I, s:I}",
		"version", t->version, "ready", t->ready, "dataplane_connected", t->dataplane_connected,
		"uptime_s", (json_int_t)(t->uptime_ms / 1000), "workers", (json_int_t)t->workers,
		"sessions", (json_int_t)t->sessions, "sessions_restricted", (json_int_t)t->sessions_restricted,
		"sessions_capacity", (json_int_t)((uint64_t)t->workers * t->sessions_per_worker),
		"users_online", (json_int_t)t->users_online, "users", (json_int_t)t->users,
		"devices", (json_int_t)t->devices, "stored_messages", (json_int_t)t->stored_messages,
		"store_ok", t->store_ok, "store_error", t->store_error,
		"dataplane_starts", (json_int_t)t->instance, "control_memory", (json_int_t)s->memory_resident,
		"dataplane_memory", (json_int_t)memory);
}

char *
history_json(const struct history *h, const struct metrics_snapshot *s, size_t *length)
{
	json_t *document = json_object();
	json_t *now = now_json(s);
	char *text;

	/* What the store says about itself need not be UTF-8. */
	if (now == NULL)
		now = json_null();
	json_object_set_new(document, "time_ms", json_integer((json_int_t)h->wall_ms));
	json_object_set_new(document, "interval_ms", json_integer(HISTORY_INTERVAL_MS));
	json_object_set_new(document, "now", now);
	json_object_set_new(document, "series", series_json(h));
	json_object_set_new(document, "workers", workers_json(h));
	json_object_set_new(document, "drops", drops_json(h));
	text = json_dumps(document, JSON_COMPACT);
	json_decref(document);
	*length = text == NULL ? 0 : strlen(text);
	return text;
}
