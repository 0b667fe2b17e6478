/* SPDX-License-Identifier: BSD-3-Clause */
/* Traces as operators' connections begin, read and leave them. */
#include "harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct trace_filter all = {.kind = TRACE_ALL};
static const struct trace_filter all_bytes = {.kind = TRACE_ALL, .bytes = 1};

struct seen {
	unsigned count;
	uint16_t first_size, last_size;
	size_t length;
	char user[64];
};

static void
on_record(void *arg, const struct server_trace *t)
{
	struct seen *s = arg;

	if (s->count++ == 0)
		s->first_size = t->record->size;
	s->last_size = t->record->size;
	s->length = t->length;
	snprintf(s->user, sizeof(s->user), "%s", t->user);
}

/* How many filters the workers have been told of, last. */
static unsigned
told(const struct harness *h)
{
	uint32_t n = harness_sent_count(h, INJECT_TRACE);
	const struct cell *c = harness_find(h, INJECT_TRACE, n - 1);
	const struct trace_filter *f = (const struct trace_filter *)c->data;
	unsigned count = 0;

	assert_true(n >= WORKERS);
	assert_true(cell_valid(c));
	for (unsigned i = 0; i < TRACE_FILTERS_MAX; i++)
		count += f[i].kind != TRACE_NONE;
	return count;
}

static void
record(struct harness *h, uint8_t mask, uint16_t size, uint16_t lost, user_id_t user)
{
	struct cell c;

	memset(&c, 0, sizeof(c));
	c.type = PUNT_TRACE;
	c.length = 3;
	memcpy(c.data, "abc", 3);
	c.trace = (struct cell_trace){.kind = TRACE_IN, .mask = mask, .size = size, .lost = lost, .user = user};
	assert_true(cell_valid(&c));
	server_trace_take(h->server, &c);
}

static void
each_sees_its_own(void **state)
{
	struct harness *h = *state;
	struct seen a = {0}, b = {0};
	int one = 0, two = 0;
	uint64_t lost;

	assert_int_equal(server_trace_read(h->server, &one, 9, &lost, on_record, &a), -ENOENT);
	assert_int_equal(server_trace_start(h->server, &one, &all, NULL), 0);
	assert_int_equal(server_trace_start(h->server, &two, &all_bytes, NULL), 0);
	assert_int_equal(told(h), 2);
	record(h, 1, 10, 0, 0);
	record(h, 3, 20, 5, 0);
	record(h, 2, 30, 0, 0);
	record(h, 4, 40, 0, 0); /* of nobody */
	assert_int_equal(server_trace_read(h->server, &one, 9, &lost, on_record, &a), 2);
	assert_int_equal(a.first_size, 10);
	assert_int_equal(a.last_size, 20);
	assert_int_equal(a.length, 0);
	assert_int_equal(lost, 5);
	assert_int_equal(server_trace_read(h->server, &two, 1, &lost, on_record, &b), 1);
	assert_int_equal(b.last_size, 20);
	assert_int_equal(b.length, 3);
	assert_int_equal(server_trace_read(h->server, &two, 9, &lost, on_record, &b), 1);
	assert_int_equal(b.last_size, 30);
	server_trace_stop(h->server, &one);
	server_trace_stop(h->server, &one);
	assert_int_equal(told(h), 1);
	assert_int_equal(server_trace_read(h->server, &one, 9, &lost, on_record, &a), -ENOENT);
	/* Another one in its place. */
	assert_int_equal(server_trace_start(h->server, &two, &all, NULL), 0);
	assert_int_equal(told(h), 1);
	assert_int_equal(server_trace_read(h->server, &two, 9, &lost, on_record, &b), 0);
}

static void
no_more_than_there_are(void **state)
{
	struct harness *h = *state;
	int owners[TRACE_FILTERS_MAX + 1] = {0};

	for (unsigned i = 0; i < TRACE_FILTERS_MAX; i++)
		assert_int_equal(server_trace_start(h->server, &owners[i], &all, NULL), 0);
	assert_int_equal(server_trace_start(h->server, &owners[TRACE_FILTERS_MAX], &all, NULL), -EBUSY);
	server_trace_stop(h->server, &owners[3]);
	assert_int_equal(server_trace_start(h->server, &owners[TRACE_FILTERS_MAX], &all, NULL), 0);
}

static void
users_by_name(void **state)
{
	struct harness *h = *state;
	struct client alice;
	struct seen seen = {0};
	const struct trace_filter f = {.kind = TRACE_USER};
	const struct trace_filter *sent;
	uint64_t lost;
	int me = 0;

	client_init(&alice, 0);
	client_register(h, &alice, "alice", "secret1");
	harness_sent_clear(h);
	assert_int_equal(server_trace_start(h->server, &me, &f, "nobody"), -ENOENT);
	assert_int_equal(server_trace_start(h->server, &me, &f, "Alice"), 0);
	sent = (const struct trace_filter *)harness_find(h, INJECT_TRACE, 0)->data;
	assert_int_equal(sent[0].id, alice.user);
	record(h, 1, 10, 0, alice.user);
	assert_int_equal(server_trace_read(h->server, &me, 9, &lost, on_record, &seen), 1);
	assert_string_equal(seen.user, "alice");
}

static void
bounded(void **state)
{
	struct harness *h = *state;
	struct seen seen = {0};
	uint64_t lost;
	int me = 0, read;

	assert_int_equal(server_trace_start(h->server, &me, &all_bytes, NULL), 0);
	for (unsigned i = 0; i < 10000; i++)
		record(h, 1, (uint16_t)i, 0, 0);
	read = server_trace_read(h->server, &me, UINT32_MAX, &lost, on_record, &seen);
	assert_true(read > 1000);
	assert_int_equal(lost, 10000 - read);
	assert_int_equal(seen.first_size, 0);
	record(h, 1, 77, 0, 0);
	assert_int_equal(server_trace_read(h->server, &me, UINT32_MAX, &lost, on_record, &seen), 1);
	assert_int_equal(lost, 0);
	assert_int_equal(seen.last_size, 77);
}

/* An operator who went away, and dataplanes and controls that come and go. */
static void
ends_by_itself(void **state)
{
	struct harness *h = *state;
	struct seen seen = {0};
	uint64_t lost;
	int me = 0;

	assert_int_equal(server_trace_start(h->server, &me, &all, NULL), 0);
	harness_advance(h, 9000);
	assert_int_equal(server_trace_read(h->server, &me, 9, &lost, on_record, &seen), 0);
	harness_advance(h, 9000);
	assert_int_equal(told(h), 1);
	server_detach(h->server);
	harness_sent_clear(h);
	assert_int_equal(server_attach(h->server, 7, WORKERS, SLOTS), 0);
	assert_int_equal(told(h), 1);
	harness_advance(h, 11000);
	assert_int_equal(told(h), 0);
	assert_int_equal(server_trace_read(h->server, &me, 9, &lost, on_record, &seen), -ENOENT);
	assert_int_equal(server_trace_start(h->server, &me, &all, NULL), 0);
	harness_restart(h, 7);
	assert_int_equal(told(h), 0);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, harness_setup, harness_teardown)
	const struct CMUnitTest tests[] = {
		TEST(each_sees_its_own), TEST(no_more_than_there_are), TEST(users_by_name), TEST(bounded), TEST(ends_by_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
