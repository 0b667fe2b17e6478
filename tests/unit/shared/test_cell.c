// SPDX-License-Identifier: BSD-3-Clause
#include "shared/cell.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

/* Every type with the smallest contents that make it valid. */
static const uint16_t all_types[] = {
	PUNT_STORE, PUNT_DELIVERED, PUNT_SESSION, PUNT_EXPIRED, PUNT_REQUEST, PUNT_VERDICT, PUNT_STALE, PUNT_LOGIN,
	INJECT_SESSION_ADD, INJECT_SESSION_UPDATE, INJECT_SESSION_DEL, INJECT_DATAGRAM, INJECT_FRAME, INJECT_VERDICT,
	INJECT_STORED, INJECT_RECEIPT, INJECT_PROBE, INJECT_FENCE, PUNT_RESUMED, INJECT_TICKET_KEYS, TABLE_USER_SET, TABLE_USER_DEL, TABLE_VERDICT_SET,
	TABLE_VERDICT_DEL, TABLE_BARRIER, TABLE_BANS, TABLE_LOG, PUNT_TRACE, INJECT_TRACE,
};

#define TYPES (sizeof(all_types) / sizeof(all_types[0]))

static struct cell
valid_cell(uint16_t type)
{
	struct cell c;

	memset(&c, 0, sizeof(c));
	c.type = type;
	switch (type) {
	case PUNT_DELIVERED:
		c.delivered.outcome = DELIVERY_ACKED;
		break;
	case PUNT_SESSION:
		c.session.event = SESSION_CLOSED;
		break;
	case PUNT_EXPIRED:
		c.expired.count = 1;
		c.length = sizeof(session_id_t);
		break;
	case PUNT_RESUMED:
		c.resumed.count = 1;
		c.length = sizeof(struct resumed_session);
		c.resumed_sessions[0].sid = session_id_make(1, SESSION_GENERATION_RESUMED, 2);
		c.resumed_sessions[0].secret.resumed = 1;
		break;
	case PUNT_REQUEST:
		c.request.fragments = 1;
		break;
	case PUNT_STALE:
	case PUNT_LOGIN:
	case INJECT_DATAGRAM:
		c.length = 1;
		break;
	case INJECT_FRAME:
		c.frame.session_count = 1;
		c.length = RELIABLE_HEADER;
		break;
	case PUNT_TRACE:
		c.trace.kind = TRACE_IN;
		break;
	case INJECT_TRACE:
		c.length = TRACE_FILTERS_MAX * sizeof(struct trace_filter);
		break;
	default:
		break;
	}
	return c;
}

static void
test_smallest_of_each_type_is_valid(void **state)
{
	(void)state;
	for (unsigned i = 0; i < TYPES; i++) {
		struct cell c = valid_cell(all_types[i]);

		assert_true(cell_valid(&c));
	}
}

static void
test_any_other_type_is_not(void **state)
{
	(void)state;
	for (uint32_t type = 0; type <= UINT16_MAX; type++) {
		struct cell c = valid_cell((uint16_t)type);
		bool known = false;

		for (unsigned i = 0; i < TYPES; i++)
			known |= all_types[i] == type;
		assert_int_equal(cell_valid(&c), known);
	}
}

static void
test_length_never_leaves_the_cell(void **state)
{
	(void)state;
	for (unsigned i = 0; i < TYPES; i++) {
		for (uint32_t length = 0; length <= UINT16_MAX; length++) {
			struct cell c = valid_cell(all_types[i]);

			c.length = (uint16_t)length;
			if (cell_valid(&c))
				assert_true(cell_used(&c) <= CELL_SIZE && length <= WIRE_DATAGRAM_MAX);
		}
	}
}

static void
test_counts(void **state)
{
	struct cell c;

	(void)state;
	c = valid_cell(PUNT_STORE);
	c.length = MESSAGE_BODY_MAX;
	c.store.except_count = USER_SESSIONS_MAX;
	assert_true(cell_valid(&c));
	c.store.except_count++;
	assert_false(cell_valid(&c));

	c = valid_cell(PUNT_EXPIRED);
	c.expired.count = CELL_EXPIRED_MAX;
	c.length = CELL_EXPIRED_MAX * sizeof(session_id_t);
	assert_true(cell_valid(&c));
	c.expired.count--;
	assert_false(cell_valid(&c));
	c.expired.count = CELL_EXPIRED_MAX + 1;
	c.length = (CELL_EXPIRED_MAX + 1) * sizeof(session_id_t);
	assert_false(cell_valid(&c));
	c.expired.count = 0;
	c.length = 0;
	assert_false(cell_valid(&c));

	c = valid_cell(PUNT_RESUMED);
	c.resumed.count = CELL_RESUMED_MAX;
	c.length = CELL_RESUMED_MAX * sizeof(struct resumed_session);
	assert_false(cell_valid(&c)); /* all but the first are of no session that was resumed */
	for (uint32_t i = 1; i < CELL_RESUMED_MAX; i++)
		c.resumed_sessions[i] = c.resumed_sessions[0];
	assert_true(cell_valid(&c));
	c.resumed.count--;
	assert_false(cell_valid(&c));
	c.resumed.count = CELL_RESUMED_MAX + 1;
	c.length = (CELL_RESUMED_MAX + 1) * sizeof(struct resumed_session);
	assert_false(cell_valid(&c));
	c.resumed.count = 0;
	c.length = 0;
	assert_false(cell_valid(&c));

	c = valid_cell(TABLE_USER_SET);
	c.user.live_count = USER_SESSIONS_MAX + 1;
	assert_false(cell_valid(&c));

	c = valid_cell(INJECT_VERDICT);
	c.verdict.live_count = USER_SESSIONS_MAX + 1;
	assert_false(cell_valid(&c));

	c = valid_cell(INJECT_FRAME);
	c.frame.session_count = CELL_FRAME_SESSIONS_MAX;
	assert_true(cell_valid(&c));
	c.frame.session_count++;
	assert_false(cell_valid(&c));
	c.frame.session_count = 0;
	assert_false(cell_valid(&c));
	/* A token names one delivery. */
	c.frame.session_count = 2;
	c.frame.token = 7;
	assert_false(cell_valid(&c));
}

static void
test_choices(void **state)
{
	struct cell c;

	(void)state;
	c = valid_cell(PUNT_DELIVERED);
	c.delivered.outcome = 0;
	assert_false(cell_valid(&c));
	c.delivered.outcome = DELIVERY_FAILED + 1;
	assert_false(cell_valid(&c));

	c = valid_cell(PUNT_SESSION);
	c.session.event = SESSION_REFUSED + 1;
	assert_false(cell_valid(&c));

	c = valid_cell(TABLE_VERDICT_SET);
	c.verdict.verdict = VERDICT_UNKNOWN_USER + 1;
	assert_false(cell_valid(&c));

	c = valid_cell(PUNT_REQUEST);
	c.request.fragments = 8;
	c.request.fragment = 7;
	assert_true(cell_valid(&c));
	c.request.fragment = 8;
	assert_false(cell_valid(&c));
	c.request.fragments = 9;
	assert_false(cell_valid(&c));
	c.request.fragments = 0;
	c.request.fragment = 0;
	assert_false(cell_valid(&c));
}

static void
test_traces(void **state)
{
	struct cell c = valid_cell(INJECT_TRACE);
	struct trace_filter *f = (struct trace_filter *)c.data;

	(void)state;
	f[TRACE_FILTERS_MAX - 1] = (struct trace_filter){.kind = TRACE_ALL, .prefix.bits = 128};
	assert_true(cell_valid(&c));
	f[TRACE_FILTERS_MAX - 1].prefix.bits = 129;
	assert_false(cell_valid(&c));
	f[TRACE_FILTERS_MAX - 1] = (struct trace_filter){.kind = TRACE_ALL + 1};
	assert_false(cell_valid(&c));
	c = valid_cell(PUNT_TRACE);
	c.length = WIRE_DATAGRAM_MAX;
	c.trace.to_count = TRACE_TO_MAX;
	c.trace.counter_count = TRACE_COUNTERS_MAX;
	assert_true(cell_valid(&c));
	c.length++;
	assert_false(cell_valid(&c));
	c.length = 0;
	c.trace.counter_count++;
	assert_false(cell_valid(&c));
	c.trace.counter_count = 0;
	c.trace.to_count++;
	assert_false(cell_valid(&c));
	c.trace.to_count = 0;
	c.trace.kind = TRACE_EVENT + 1;
	assert_false(cell_valid(&c));
}

static void
test_bans(void **state)
{
	struct cell c;

	(void)state;
	memset(&c, 0, sizeof(c));
	c.type = TABLE_BANS;
	c.bans.count = CELL_BANS_MAX;
	c.length = CELL_BANS_MAX * sizeof(struct prefix);
	assert_true(cell_valid(&c));
	c.data[sizeof(struct prefix) - 1] = 129;
	assert_false(cell_valid(&c));
	c.data[sizeof(struct prefix) - 1] = 128;
	assert_true(cell_valid(&c));
	c.bans.count--;
	assert_false(cell_valid(&c));
	c.bans.count = CELL_BANS_MAX + 1;
	assert_false(cell_valid(&c));
}

static void
test_log_levels(void **state)
{
	struct cell c = valid_cell(TABLE_LOG);

	(void)state;
	for (unsigned i = 0; i < LOG_AREA_COUNT; i++)
		c.log.level[i] = LOG_LEVEL_DEBUG;
	c.log.format = 1;
	assert_true(cell_valid(&c));
	c.log.level[LOG_AREA_COUNT - 1] = 4;
	assert_false(cell_valid(&c));
	c.log.level[LOG_AREA_COUNT - 1] = 0;
	c.log.format = 2;
	assert_false(cell_valid(&c));
	c.log.format = 0;
	c.length = 1;
	assert_false(cell_valid(&c));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_log_levels),
		cmocka_unit_test(test_smallest_of_each_type_is_valid),
		cmocka_unit_test(test_any_other_type_is_not),
		cmocka_unit_test(test_length_never_leaves_the_cell),
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_choices),
		cmocka_unit_test(test_bans),
		cmocka_unit_test(test_traces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
