/* SPDX-License-Identifier: BSD-3-Clause */
/* The list of bans: changed, kept, told to every dataplane, and over when their time is. */
#include "harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct told {
	unsigned calls;
	int result;
};

static void
on_done(void *arg, int result, const char *text)
{
	struct told *t = arg;

	assert_true((result == 0) == (*text == '\0'));
	t->calls++;
	t->result = result;
}

static struct prefix
prefix(const char *text)
{
	struct prefix p;

	assert_int_equal(prefix_parse(&p, text), 0);
	return p;
}

static int
ban(struct harness *h, const char *text, uint64_t seconds, const char *reason)
{
	struct prefix p = prefix(text);
	struct told t = {0};
	char error[128] = "";
	int rc = server_ban_add(h->server, &p, seconds, reason, on_done, &t, error, sizeof(error));

	assert_true((rc < 0) == (*error != '\0'));
	harness_settle(h);
	assert_int_equal(t.calls, rc == 0);
	return rc < 0 ? rc : t.result;
}

static int
unban(struct harness *h, const char *text)
{
	struct prefix p = prefix(text);
	struct told t = {0};

	assert_int_equal(server_ban_del(h->server, &p, on_done, &t), 0);
	harness_settle(h);
	assert_int_equal(t.calls, 1);
	return t.result;
}

struct list {
	char text[512];
};

static bool
add_line(void *arg, const struct server_ban *b)
{
	struct list *l = arg;
	char prefix[PREFIX_STRLEN];

	snprintf(l->text + strlen(l->text), sizeof(l->text) - strlen(l->text), "%s %s;", prefix_format(&b->prefix, prefix), b->reason);
	return true;
}

static void
expect_list(struct harness *h, const char *expected)
{
	struct list l = {0};

	server_bans_list(h->server, 0, 0, add_line, &l);
	assert_string_equal(l.text, expected);
}

/* What the dataplane was told last, since the last clear. */
static void
expect_told(struct harness *h, unsigned count, const char *first)
{
	uint32_t lists = harness_sent_count(h, TABLE_BANS);
	const struct cell *c = harness_find(h, TABLE_BANS, lists - 1);
	char text[PREFIX_STRLEN];

	assert_true(lists > 0);
	assert_true(cell_valid(c));
	assert_true(c->bans.first && c->bans.last);
	assert_int_equal(c->bans.count, count);
	if (first != NULL)
		assert_string_equal(prefix_format((const struct prefix *)c->data, text), first);
	harness_sent_clear(h);
}

static void
added_and_removed(void **state)
{
	struct harness *h = *state;
	struct server_status *s = malloc(sizeof(*s));

	harness_restart(h, 1);
	expect_told(h, 0, NULL);
	assert_int_equal(ban(h, "192.0.2.0/24", 0, "floods"), 0);
	expect_told(h, 1, "192.0.2.0/24");
	assert_int_equal(ban(h, "2001:db8::/32", 3600, NULL), 0);
	assert_int_equal(ban(h, "10.1.2.3", 0, "scan"), 0);
	expect_told(h, 3, "10.1.2.3");
	expect_list(h, "10.1.2.3 scan;192.0.2.0/24 floods;2001:db8::/32 ;");
	server_pulse(h->server, s);
	assert_int_equal(s->bans, 3);
	/* Again: another reason, no second row. */
	assert_int_equal(ban(h, "10.1.2.3", 0, "scans"), 0);
	expect_list(h, "10.1.2.3 scans;192.0.2.0/24 floods;2001:db8::/32 ;");
	assert_int_equal(unban(h, "192.0.2.0/24"), 0);
	expect_told(h, 2, "10.1.2.3");
	assert_int_equal(unban(h, "192.0.2.0/24"), -ENOENT);
	assert_int_equal(unban(h, "192.0.2.0/25"), -ENOENT);
	free(s);
}

static void
what_is_no_ban(void **state)
{
	struct harness *h = *state;
	char long_reason[STORE_REASON_MAX + 2];

	memset(long_reason, 'x', sizeof(long_reason) - 1);
	long_reason[sizeof(long_reason) - 1] = '\0';
	assert_int_equal(ban(h, "0.0.0.0/0", 0, NULL), -EINVAL);
	assert_int_equal(ban(h, "10.0.0.0/7", 0, NULL), -EINVAL);
	assert_int_equal(ban(h, "::/0", 0, NULL), -EINVAL);
	assert_int_equal(ban(h, "::/64", 0, NULL), -EINVAL); /* would hold all of IPv4 */
	assert_int_equal(ban(h, "2000::/3", 0, NULL), -EINVAL);
	assert_int_equal(ban(h, "10.0.0.0/8", 0, long_reason), -EINVAL);
	assert_int_equal(ban(h, "10.0.0.0/8", 0, "\xff"), -EINVAL);
	expect_list(h, "");
	assert_int_equal(ban(h, "10.0.0.0/8", 0, NULL), 0);
	assert_int_equal(ban(h, "2001::/16", 0, NULL), 0);
}

static void
kept_over_restarts(void **state)
{
	struct harness *h = *state;

	assert_int_equal(ban(h, "192.0.2.7", 0, "floods"), 0);
	harness_sent_clear(h);
	harness_restart(h, 1);
	expect_list(h, "192.0.2.7 floods;");
	expect_told(h, 1, "192.0.2.7");
	harness_restart(h, 2);
	expect_told(h, 1, "192.0.2.7");
}

static void
over_by_itself(void **state)
{
	struct harness *h = *state;

	assert_int_equal(ban(h, "192.0.2.7", 60, NULL), 0);
	assert_int_equal(ban(h, "192.0.2.8", 120, NULL), 0);
	assert_int_equal(ban(h, "192.0.2.9", 0, NULL), 0);
	harness_sent_clear(h);
	harness_advance(h, 59000);
	assert_int_equal(harness_sent_count(h, TABLE_BANS), 0);
	harness_advance(h, 1000);
	expect_told(h, 2, "192.0.2.8");
	harness_settle(h);
	harness_restart(h, 1);
	expect_list(h, "192.0.2.8 ;192.0.2.9 ;");
	/* Over while control was away. */
	h->now_ms += 60000;
	h->wall_ms += 60000;
	harness_restart(h, 1);
	harness_advance(h, 1);
	expect_list(h, "192.0.2.9 ;");
	expect_told(h, 1, "192.0.2.9");
}

static void
more_than_one_cell(void **state)
{
	struct harness *h = *state;
	unsigned total = 0;
	char text[32];

	for (unsigned i = 0; i < CELL_BANS_MAX * 2 + 1; i++) {
		snprintf(text, sizeof(text), "10.0.%u.%u", i / 256, i % 256);
		harness_sent_clear(h);
		assert_int_equal(ban(h, text, 0, NULL), 0);
	}
	assert_int_equal(harness_sent_count(h, TABLE_BANS), 3);
	for (uint32_t i = 0; i < 3; i++) {
		const struct cell *c = harness_find(h, TABLE_BANS, i);

		assert_true(cell_valid(c));
		assert_int_equal(c->bans.first, i == 0);
		assert_int_equal(c->bans.last, i == 2);
		total += c->bans.count;
	}
	assert_int_equal(total, CELL_BANS_MAX * 2 + 1);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, harness_setup, harness_teardown)
	const struct CMUnitTest tests[] = {
		TEST(added_and_removed), TEST(what_is_no_ban),    TEST(kept_over_restarts),
		TEST(over_by_itself),    TEST(more_than_one_cell),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
