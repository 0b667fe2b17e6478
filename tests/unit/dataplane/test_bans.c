/* SPDX-License-Identifier: BSD-3-Clause */
/* Banned addresses, from control's cell to the packet that is dropped. */
#include "eal_fixture.h"
#include "relay_world.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct frame ping = {.type = FRAME_PING, .token = 7};

/* One part of a list. */
static void
control_bans_part(struct world *w, bool first, bool last, const char *const *prefixes, unsigned n)
{
	struct cell *c = control_put(w, IPC_TABLE, 0, TABLE_BANS);

	c->bans = (struct cell_bans){.first = first, .last = last, .count = (uint16_t)n};
	c->length = (uint16_t)(n * sizeof(struct prefix));
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(prefix_parse((struct prefix *)(c->data + i * sizeof(struct prefix)), prefixes[i]), 0);
	control_publish(w, IPC_TABLE, 0);
}

#define control_bans(w, ...)                                                                              \
	do {                                                                                              \
		const char *const list_[] = {__VA_ARGS__};                                                \
		control_bans_part(w, true, true, list_, sizeof(list_) / sizeof(list_[0]));                \
		world_settle(w);                                                                          \
	} while (0)

static bool
is_answered(struct peer *p, const char *from)
{
	uint64_t dropped = world_counter(p->world, COUNTER_drop_banned);
	struct frame f;
	bool answered;

	if (from != NULL)
		assert_int_equal(endpoint_parse(&p->address, from, 5000), 0);
	peer_send(p, 0, &ping, 1);
	world_settle(p->world);
	/* From a new address a path challenge comes first; the answer to the PING goes where the session is known to be. */
	answered = world_counter(p->world, COUNTER_drop_banned) == dropped;
	assert_true(answered || world_counter(p->world, COUNTER_drop_banned) == dropped + 1);
	while (peer_receive(p, FRAME_PONG, &f))
		;
	return answered;
}

static void
a_ban_begins_and_ends(void **state)
{
	struct world *w = world_new(1);
	struct peer p;

	(void)state;
	peer_join(&p, w, 0, 0, 1, 0);
	assert_true(is_answered(&p, NULL));
	assert_null(bans_tree(w->workers[0]->bans));
	endpoint_parse(&p.address, "192.0.2.77", 5000);
	control_bans(w, "192.0.2.77");
	assert_int_equal(tables_ban_count(w->tables), 1);
	assert_false(is_answered(&p, NULL));
	assert_int_equal(world_counter(w, COUNTER_drop_banned), 1);
	/* No state: a packet with a fresh counter was not recorded as seen. */
	assert_int_equal(world_counter(w, COUNTER_pings), 1);
	control_bans_part(w, true, true, NULL, 0);
	world_settle(w);
	assert_int_equal(tables_ban_count(w->tables), 0);
	assert_null(bans_tree(w->workers[0]->bans));
	assert_true(is_answered(&p, NULL));
	world_free(w);
}

static void
prefixes_of_both_families(void **state)
{
	struct world *w = world_new(1);
	struct peer p;

	(void)state;
	peer_join(&p, w, 0, 0, 1, 0);
	control_bans(w, "192.0.2.0/25", "192.0.2.3", "198.51.100.0/22", "2001:db8:7::/48", "2001:db8::9");
	assert_int_equal(tables_ban_count(w->tables), 5);
	assert_false(is_answered(&p, "192.0.2.3:1"));
	assert_false(is_answered(&p, "192.0.2.127:65535"));
	assert_true(is_answered(&p, "192.0.2.128:1"));
	assert_false(is_answered(&p, "198.51.103.255:1"));
	assert_true(is_answered(&p, "198.51.104.0:1"));
	assert_false(is_answered(&p, "[2001:db8:7:ffff::1]:1"));
	assert_true(is_answered(&p, "[2001:db8:8::1]:1"));
	assert_false(is_answered(&p, "[2001:db8::9]:1"));
	assert_true(is_answered(&p, "[2001:db8::8]:1"));
	/* The address of an IPv4 ban, read as an IPv6 one, is another. */
	assert_true(is_answered(&p, "[c000:203::]:1"));
	/* The next list takes the place of this one. */
	control_bans(w, "2001:db8:8::/48");
	assert_true(is_answered(&p, "192.0.2.3:1"));
	assert_false(is_answered(&p, "[2001:db8:8::1]:1"));
	world_free(w);
}

/* Only a whole list counts, and whoever begins anew begins with nothing. */
static void
half_a_list(void **state)
{
	struct world *w = world_new(1);
	struct peer p;

	(void)state;
	peer_join(&p, w, 0, 0, 1, 0);
	control_bans(w, "192.0.2.1");
	control_bans_part(w, true, false, (const char *const[]){"192.0.2.2"}, 1);
	world_settle(w);
	assert_false(is_answered(&p, "192.0.2.1:1"));
	assert_true(is_answered(&p, "192.0.2.2:1"));
	control_bans_part(w, true, false, (const char *const[]){"192.0.2.3"}, 1);
	control_bans_part(w, false, true, (const char *const[]){"192.0.2.4"}, 1);
	world_settle(w);
	assert_int_equal(tables_ban_count(w->tables), 2);
	assert_true(is_answered(&p, "192.0.2.1:1"));
	assert_true(is_answered(&p, "192.0.2.2:1"));
	assert_false(is_answered(&p, "192.0.2.3:1"));
	assert_false(is_answered(&p, "192.0.2.4:1"));
	world_free(w);
}

/* As many as there can be, changed again and again: trees are freed. */
static void
full_and_changed(void **state)
{
	struct world *w = world_new(1);
	struct peer p;

	(void)state;
	peer_join(&p, w, 0, 0, 1, 0);
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned at = 0; at < BANS_MAX;) {
			struct cell *c = control_put(w, IPC_TABLE, 0, TABLE_BANS);
			unsigned n = RTE_MIN(BANS_MAX - at, CELL_BANS_MAX);

			for (unsigned i = 0; i < n; i++, at++) {
				struct endpoint e;
				struct prefix *list = (struct prefix *)c->data;

				endpoint_set_ipv4(&e, &(uint32_t){rte_cpu_to_be_32(0x0a000000 + at * 2 + round % 2)}, 0);
				memcpy(list[i].ip, e.ip, 16);
				list[i].bits = 128;
			}
			c->bans = (struct cell_bans){.first = at == n, .last = at == BANS_MAX, .count = (uint16_t)n};
			c->length = (uint16_t)(n * sizeof(struct prefix));
			control_publish(w, IPC_TABLE, 0);
			if (at % 1024 < n)
				world_settle(w);
		}
		world_settle(w);
		assert_int_equal(tables_ban_count(w->tables), BANS_MAX);
		assert_int_equal(is_answered(&p, "10.0.0.0:1"), round % 2 != 0);
		assert_int_equal(is_answered(&p, "10.0.63.255:1"), round % 2 == 0);
	}
	/* One too many is refused, and what is in force stays. */
	control_bans_part(w, false, true, (const char *const[]){"192.0.2.1"}, 1);
	world_settle(w);
	assert_true(is_answered(&p, "192.0.2.1:1"));
	assert_int_equal(tables_ban_count(w->tables), BANS_MAX);
	world_free(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_ban_begins_and_ends),
		cmocka_unit_test(prefixes_of_both_families),
		cmocka_unit_test(half_a_list),
		cmocka_unit_test(full_and_changed),
	};

	return cmocka_run_group_tests_name("bans", tests, eal_fixture_setup, eal_fixture_teardown);
}
