/* SPDX-License-Identifier: BSD-3-Clause */
/* The figures of the status page, from made-up snapshots. */
#include "control/history.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
	struct history *history;
	struct metrics_snapshot s;
	uint64_t now_ms;
	json_t *document;
};

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->history = history_new();
	f->s.status = (struct server_status){.version = "1", .ready = true, .store_ok = true, .workers = 2};
	f->s.counters.connected = true;
	f->s.counters.workers = 2;
	f->s.counters.dataplane[2][COUNTER_cycles_per_second] = 1000000;
	f->now_ms = 5000;
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	json_decref(f->document);
	history_free(f->history);
	free(f);
	return 0;
}

static void
sample(struct fixture *f)
{
	f->now_ms += 2000;
	history_add(f->history, &f->s, f->now_ms, 1700000000000 + f->now_ms);
}

static json_t *
document(struct fixture *f)
{
	size_t length;
	char *text = history_json(f->history, &f->s, &length);

	assert_non_null(text);
	json_decref(f->document);
	f->document = json_loads(text, 0, NULL);
	assert_non_null(f->document);
	free(text);
	return f->document;
}

/* The last value of a series. */
static json_t *
last(struct fixture *f, const char *name)
{
	json_t *values = json_object_get(json_object_get(document(f), "series"), name);

	assert_true(json_array_size(values) > 0);
	return json_array_get(values, json_array_size(values) - 1);
}

static void
test_rates(void **state)
{
	struct fixture *f = *state;

	sample(f);
	assert_true(json_is_null(last(f, "rx")));
	f->s.counters.dataplane[0][COUNTER_rx_packets] = 100;
	f->s.counters.dataplane[1][COUNTER_rx_packets] = 60;
	f->s.counters.dataplane[0][COUNTER_drop_tag] = 3;
	f->s.counters.dataplane[1][COUNTER_drop_replay] = 1;
	f->s.counters.dataplane[0][COUNTER_cycles_busy] = 1000000;
	sample(f);
	assert_int_equal(json_number_value(last(f, "rx")), 80);
	assert_int_equal(json_number_value(last(f, "drops")), 2);
	assert_int_equal(json_number_value(last(f, "busy_percent")), 25); /* one of two workers, half the time */
	assert_int_equal(json_array_size(json_object_get(f->document, "workers")), 2);
	assert_int_equal(json_array_size(json_object_get(f->document, "drops")), 2);
	sample(f);
	assert_int_equal(json_number_value(last(f, "rx")), 0);
}

static void
test_restarted_dataplane(void **state)
{
	struct fixture *f = *state;

	f->s.counters.dataplane[0][COUNTER_rx_packets] = 1000;
	sample(f);
	f->s.counters.connected = false;
	sample(f);
	assert_true(json_is_null(last(f, "rx")));
	assert_int_equal(json_array_size(json_object_get(f->document, "workers")), 0);
	f->s.counters.connected = true;
	f->s.counters.dataplane[0][COUNTER_rx_packets] = 10;
	sample(f);
	assert_true(json_is_null(last(f, "rx")));
	/* Without a gap that was seen: what it counted since its start. */
	f->s.counters.dataplane[0][COUNTER_rx_packets] = 4;
	sample(f);
	assert_int_equal(json_number_value(last(f, "rx")), 2);
}

static void
test_latency(void **state)
{
	struct fixture *f = *state;
	double p99;

	sample(f);
	assert_true(json_is_null(last(f, "commit_p99_ms")));
	histogram_add(&f->s.commit, 300, 98);
	histogram_add(&f->s.commit, 40000, 2);
	sample(f);
	p99 = json_number_value(last(f, "commit_p99_ms"));
	assert_true(p99 > 25 && p99 <= 50);
	assert_true(json_number_value(last(f, "commit_p50_ms")) <= 0.5);
	sample(f); /* nothing was committed since */
	assert_true(json_is_null(last(f, "commit_p99_ms")));
}

static void
test_rings(void **state)
{
	struct fixture *f = *state;

	f->s.status.rings[1].event = (struct server_ring_fill){.used = 32, .capacity = 64};
	f->s.status.table = (struct server_ring_fill){.used = 1, .capacity = 64};
	sample(f);
	sample(f);
	assert_int_equal(json_number_value(last(f, "ring_percent")), 50);
}

static void
test_keeps_ten_minutes(void **state)
{
	struct fixture *f = *state;
	json_t *values;

	for (unsigned i = 0; i < HISTORY_SAMPLES + 50; i++) {
		f->s.status.sessions = i;
		sample(f);
	}
	values = json_object_get(json_object_get(document(f), "series"), "sessions");
	assert_int_equal(json_array_size(values), HISTORY_SAMPLES);
	assert_int_equal(json_integer_value(json_array_get(values, 0)), 50);
	assert_int_equal(json_integer_value(json_array_get(values, HISTORY_SAMPLES - 1)), HISTORY_SAMPLES + 49);
}

/* What the store says about its trouble may hold anything. */
static void
test_text_that_is_no_utf8(void **state)
{
	struct fixture *f = *state;

	strcpy(f->s.status.store_error, "\xff\xfe");
	sample(f);
	assert_non_null(document(f));
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_rates),
		TEST(test_restarted_dataplane),
		TEST(test_latency),
		TEST(test_rings),
		TEST(test_keeps_ten_minutes),
		TEST(test_text_that_is_no_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
