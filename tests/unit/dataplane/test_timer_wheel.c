/* SPDX-License-Identifier: BSD-3-Clause */
/* The timer wheel against a plain array of deadlines, in virtual time. */
#include "dataplane/timer_wheel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TICK 1000u
#define NEVER UINT64_MAX
#define NO_BUDGET UINT32_MAX
#define SPAN (UINT64_C(1) << (TIMER_WHEEL_BITS * TIMER_WHEEL_LEVELS)) /* ticks */

/* An object as the dataplane has them: the node lies somewhere inside. */
struct object {
	uint64_t deadline; /* NEVER: wants none */
	uint64_t fired_at; /* 0: not yet */
	struct timer_node timer;
	uint32_t fired;
	uint64_t promised; /* model: an unhindered advance that reaches this fires it; NEVER: need not */
};

struct fixture {
	struct timer_wheel wheel;
	struct object *objects;
	uint32_t capacity;
	uint64_t now;
	uint32_t looks;
	uint64_t random;
	bool disturb; /* fire() adds and removes others */
	uint32_t refile_at_fire; /* TIMER_NONE or an object that files itself again, due at once */
};

static uint64_t
draw(struct fixture *f, uint64_t below)
{
	f->random ^= f->random << 13;
	f->random ^= f->random >> 7;
	f->random ^= f->random << 17;
	return (f->random >> 11) % below;
}

static void
fixture_init(struct fixture *f, uint32_t capacity, uint64_t now)
{
	*f = (struct fixture){
		.capacity = capacity, .now = now, .random = 0x1234567, .refile_at_fire = TIMER_NONE};
	f->objects = calloc(capacity, sizeof(*f->objects));
	assert_non_null(f->objects);
	for (uint32_t i = 0; i < capacity; i++) {
		timer_node_init(&f->objects[i].timer);
		f->objects[i].deadline = NEVER;
		f->objects[i].promised = NEVER;
	}
	timer_wheel_init(&f->wheel, &f->objects[0].timer, sizeof(struct object), capacity, TICK, now);
}

static void
fixture_fini(struct fixture *f)
{
	assert_true(timer_wheel_check(&f->wheel));
	free(f->objects);
}

/* The first tick's begin at or after the deadline. */
static uint64_t
tick_of(uint64_t deadline)
{
	return (deadline + TICK - 1) / TICK * TICK;
}

static void
add(struct fixture *f, uint32_t i, uint64_t deadline)
{
	f->objects[i].deadline = deadline;
	/* Due already: at the next advance, whatever its time. */
	f->objects[i].promised = deadline <= f->now ? 0 : tick_of(deadline);
	timer_wheel_add(&f->wheel, i, deadline);
}

static void
take_out(struct fixture *f, uint32_t i)
{
	f->objects[i].deadline = NEVER;
	f->objects[i].promised = NEVER;
	timer_wheel_remove(&f->wheel, i);
}

static uint64_t
deadline_of(void *ctx, uint32_t i)
{
	struct fixture *f = ctx;

	f->looks++;
	assert_true(i < f->capacity);
	return f->objects[i].deadline;
}

static void
fire(void *ctx, uint32_t i, uint64_t now_us)
{
	struct fixture *f = ctx;
	struct object *o = &f->objects[i];

	assert_int_equal(now_us, f->now);
	assert_true(o->deadline <= now_us);
	assert_false(timer_wheel_filed(&f->wheel, i));
	o->fired++;
	o->fired_at = now_us;
	o->deadline = NEVER;
	o->promised = NEVER;
	if (i == f->refile_at_fire)
		add(f, i, now_us);
	if (!f->disturb)
		return;
	for (unsigned n = 0; n < 3; n++) {
		uint32_t other = (uint32_t)draw(f, f->capacity);

		if (draw(f, 2))
			take_out(f, other);
		else
			add(f, other, draw(f, 2) ? now_us + draw(f, 100 * TICK) : now_us - draw(f, TICK));
	}
}

static uint32_t
advance(struct fixture *f, uint64_t now, uint32_t budget)
{
	f->now = now;
	return timer_wheel_advance(&f->wheel, now, budget, deadline_of, fire, f);
}

static void
fires_in_its_tick(void **state)
{
	/* Around the edges of every level, from a start that lies badly, too. */
	static const uint64_t starts[] = {
		0, 1, 63 * TICK, 63 * TICK + 999, 64 * TICK, 4095 * TICK, 4096 * TICK, 262143 * TICK,
		(SPAN - 1) * TICK, SPAN * TICK, UINT64_C(1) << 50};
	static const uint64_t ahead[] = {
		1, 2, 62, 63, 64, 65, 127, 128, 4031, 4032, 4095, 4096, 4097, 8191, 8192, 262143, 262144, 262145,
		SPAN - 262145, SPAN - 262144, SPAN - 1, SPAN, SPAN + 1, 3 * SPAN};
	struct fixture f;

	(void)state;
	for (unsigned s = 0; s < sizeof(starts) / sizeof(starts[0]); s++) {
		for (unsigned a = 0; a < sizeof(ahead) / sizeof(ahead[0]); a++) {
			for (int skew = -1; skew <= 1; skew++) {
				uint64_t deadline = starts[s] + ahead[a] * TICK + (uint64_t)skew;

				fixture_init(&f, 4, starts[s]);
				add(&f, 2, deadline);
				assert_true(timer_wheel_check(&f.wheel));
				advance(&f, deadline - 1, NO_BUDGET);
				assert_int_equal(f.objects[2].fired, 0);
				assert_true(timer_wheel_filed(&f.wheel, 2));
				assert_true(timer_wheel_check(&f.wheel));
				advance(&f, tick_of(deadline), NO_BUDGET);
				assert_int_equal(f.objects[2].fired, 1);
				assert_int_equal(f.wheel.count, 0);
				fixture_fini(&f);
			}
		}
	}
}

static void
walks_each_tick(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, 9000, 5 * TICK);
	for (uint32_t i = 0; i < f.capacity; i++)
		add(&f, i, (6 + i) * TICK);
	for (uint32_t i = 0; i < f.capacity; i++) {
		advance(&f, (6 + i) * TICK - 1, NO_BUDGET);
		assert_int_equal(f.objects[i].fired, 0);
		advance(&f, (6 + i) * TICK, NO_BUDGET);
		assert_int_equal(f.objects[i].fired, 1);
		assert_int_equal(f.wheel.count, f.capacity - 1 - i);
	}
	fixture_fini(&f);
}

static void
past_deadline_fires_at_next_advance(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, 4, 10 * TICK + 300);
	add(&f, 0, 10 * TICK + 300);
	add(&f, 1, 0);
	/* No time has passed, no tick has begun. */
	assert_int_equal(advance(&f, 10 * TICK + 300, NO_BUDGET), 2);
	assert_int_equal(f.objects[0].fired, 1);
	assert_int_equal(f.objects[1].fired, 1);
	fixture_fini(&f);
}

static void
due_again_in_fire_waits_for_next_advance(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, 4, 0);
	f.refile_at_fire = 1;
	add(&f, 1, TICK);
	assert_int_equal(advance(&f, TICK, NO_BUDGET), 1);
	/* Hours later: once, not once per tick. */
	assert_int_equal(advance(&f, 3600 * UINT64_C(1000000), NO_BUDGET), 1);
	assert_int_equal(f.objects[1].fired, 2);
	assert_true(timer_wheel_filed(&f.wheel, 1));
	fixture_fini(&f);
}

static void
lazy_deadline_costs_one_look(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, 4, 0);
	add(&f, 3, 60000 * TICK);
	/* A heartbeat every 10 s: the wheel is not told. */
	for (unsigned i = 1; i <= 100; i++) {
		advance(&f, i * 10000 * TICK, NO_BUDGET);
		f.objects[3].deadline = (i * 10000 + 60000) * TICK;
	}
	assert_int_equal(f.objects[3].fired, 0);
	/* 1,000 s: about one turn per time-out, and one per level on the way there. */
	assert_in_range(f.looks, 16, 50);
	advance(&f, 1060000 * TICK - 1, NO_BUDGET);
	assert_int_equal(f.objects[3].fired, 0);
	advance(&f, 1060000 * TICK, NO_BUDGET);
	assert_int_equal(f.objects[3].fired, 1);
	fixture_fini(&f);
}

static void
deadline_inside_a_tick_is_looked_at_once(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, 4, 0);
	add(&f, 0, 5 * TICK + 500);
	for (unsigned us = 0; us < TICK; us += 100)
		advance(&f, 5 * TICK + us, NO_BUDGET);
	assert_int_equal(f.looks, 0);
	advance(&f, 6 * TICK, NO_BUDGET);
	assert_int_equal(f.looks, 1);
	assert_int_equal(f.objects[0].fired, 1);
	fixture_fini(&f);
}

static void
deadline_withdrawn_is_unfiled(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, 4, 0);
	add(&f, 0, 5 * TICK);
	f.objects[0].deadline = NEVER;
	advance(&f, 5 * TICK, NO_BUDGET);
	assert_int_equal(f.objects[0].fired, 0);
	assert_false(timer_wheel_filed(&f.wheel, 0));
	/* NEVER when it is filed: looked at once at the end of the span, then let go. */
	add(&f, 1, NEVER);
	advance(&f, SPAN * TICK, NO_BUDGET);
	assert_int_equal(f.objects[1].fired, 0);
	assert_false(timer_wheel_filed(&f.wheel, 1));
	fixture_fini(&f);
}

static void
remove_is_idempotent(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, 4, 0);
	for (uint32_t i = 0; i < 3; i++)
		add(&f, i, 5 * TICK);
	take_out(&f, 1);
	take_out(&f, 1);
	assert_false(timer_wheel_filed(&f.wheel, 1));
	assert_true(timer_wheel_check(&f.wheel));
	assert_int_equal(advance(&f, 5 * TICK, NO_BUDGET), 2);
	take_out(&f, 0);
	assert_int_equal(f.objects[0].fired + f.objects[1].fired + f.objects[2].fired, 2);
	fixture_fini(&f);
}

static void
empty_ticks_cost_nothing(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, 4, 0);
	/* 500,000 years of ticks; this would not end if it walked them. */
	advance(&f, UINT64_C(1) << 63, NO_BUDGET);
	add(&f, 0, (UINT64_C(1) << 63) + 7 * TICK);
	advance(&f, (UINT64_C(1) << 63) + 8 * TICK, NO_BUDGET);
	assert_int_equal(f.objects[0].fired, 1);
	fixture_fini(&f);
}

static void
clock_that_steps_back_loses_nothing(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, 4, 1000 * TICK);
	add(&f, 0, 1100 * TICK);
	advance(&f, 500 * TICK, NO_BUDGET);
	add(&f, 1, 600 * TICK);
	advance(&f, 599 * TICK, NO_BUDGET);
	assert_int_equal(f.objects[1].fired, 0);
	advance(&f, 600 * TICK, NO_BUDGET);
	assert_int_equal(f.objects[1].fired, 1);
	assert_int_equal(f.objects[0].fired, 0);
	advance(&f, 1100 * TICK, NO_BUDGET);
	assert_int_equal(f.objects[0].fired, 1);
	fixture_fini(&f);
}

static void
storm_is_spread_and_complete(void **state)
{
	const uint32_t count = 200000;
	const uint32_t budget = 256;
	struct fixture f;
	uint32_t calls = 0;

	(void)state;
	fixture_init(&f, count + 1, 0);
	for (uint32_t i = 0; i < count; i++)
		add(&f, i, i % 3 ? 700 * TICK : (1 + draw(&f, 70000)) * TICK);
	/* A timer filed in the middle of the storm is not behind all of it. */
	advance(&f, 80000 * TICK, budget);
	add(&f, count, f.now);
	for (;;) {
		uint32_t n = advance(&f, f.now + 10, budget);

		assert_true(n <= budget);
		if (calls++ == 0)
			assert_int_equal(f.objects[count].fired, 1);
		if (calls % 64 == 0)
			assert_true(timer_wheel_check(&f.wheel));
		if (n == 0)
			break;
	}
	assert_true(calls >= count / budget);
	for (uint32_t i = 0; i <= count; i++)
		assert_int_equal(f.objects[i].fired, 1);
	assert_int_equal(f.wheel.count, 0);
	fixture_fini(&f);
}

static void
budget_of_nothing_looks_at_nothing(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, 4, 0);
	add(&f, 0, TICK);
	assert_int_equal(advance(&f, 9 * TICK, 0), 0);
	assert_int_equal(f.looks, 0);
	assert_int_equal(advance(&f, 9 * TICK, 1), 1);
	assert_int_equal(f.objects[0].fired, 1);
	fixture_fini(&f);
}

static uint64_t
random_distance(struct fixture *f)
{
	/* All levels, with a liking for their edges. */
	uint64_t ticks = UINT64_C(1) << (TIMER_WHEEL_BITS * draw(f, TIMER_WHEEL_LEVELS + 1));

	switch (draw(f, 3)) {
	case 0:
		return ticks * TICK + draw(f, 3) - 1;
	case 1:
		return draw(f, ticks * 64) * TICK;
	default:
		return draw(f, ticks * 2 * TICK);
	}
}

/* After an advance without a shortage nothing that was promised by now is still waiting. */
static void
check_model(const struct fixture *f, bool unhindered)
{
	uint32_t filed = 0;

	assert_true(timer_wheel_check(&f->wheel));
	for (uint32_t i = 0; i < f->capacity; i++) {
		const struct object *o = &f->objects[i];

		filed += timer_wheel_filed(&f->wheel, i);
		if (o->deadline != NEVER)
			assert_true(timer_wheel_filed(&f->wheel, i));
		/* What fire() has just filed as due may wait; it is due at the present time exactly. */
		if (unhindered && o->promised != NEVER && !f->disturb)
			assert_true(o->promised > f->now);
	}
	assert_int_equal(filed, f->wheel.count);
}

static void
random_walk(uint64_t seed, bool disturb, bool small_budget)
{
	bool short_before = false; /* what a shortage left over comes before what became due since */
	struct fixture f;

	fixture_init(&f, 61, draw(&(struct fixture){.random = seed}, UINT64_C(1) << 36));
	f.random = seed;
	f.disturb = disturb;
	for (unsigned step = 0; step < 6000; step++) {
		uint32_t i = (uint32_t)draw(&f, f.capacity);
		struct object *o = &f.objects[i];

		switch (draw(&f, 8)) {
		case 0:
		case 1:
		case 2:
			add(&f, i, f.now + random_distance(&f));
			break;
		case 3:
			add(&f, i, f.now - draw(&f, 3 * TICK));
			break;
		case 4:
			take_out(&f, i);
			break;
		case 5: /* lazily later */
			if (o->deadline != NEVER && o->promised != 0) {
				o->deadline += random_distance(&f);
				o->promised = tick_of(o->deadline);
			}
			break;
		default: {
			uint64_t to = f.now + (draw(&f, 2) ? random_distance(&f) : draw(&f, 3 * TICK));
			uint32_t budget = small_budget ? 1 + (uint32_t)draw(&f, 8) : NO_BUDGET;
			uint32_t n = advance(&f, to, budget);

			check_model(&f, n < budget && !short_before);
			short_before = n == budget;
		}
		}
		assert_true(timer_wheel_check(&f.wheel));
	}
	/* The rest comes in the end. */
	f.disturb = false;
	while (f.wheel.count > 0)
		advance(&f, f.now + SPAN * TICK, 5);
	for (uint32_t i = 0; i < f.capacity; i++)
		assert_int_equal(f.objects[i].deadline, NEVER);
	fixture_fini(&f);
}

static void
random_against_model(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 12; seed++)
		random_walk(seed * UINT64_C(0x9e3779b97f4a7c15), false, false);
}

static void
random_with_budget(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 12; seed++)
		random_walk(seed * UINT64_C(0xd1342543de82ef95), false, true);
}

static void
random_with_fire_that_disturbs(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 12; seed++)
		random_walk(seed * UINT64_C(0xaf251af3b0f025b5), true, seed % 2);
}

static void
check_sees_damage(void **state)
{
	struct fixture f;
	struct timer_node kept;

	(void)state;
	fixture_init(&f, 4, 0);
	for (uint32_t i = 0; i < 3; i++)
		add(&f, i, 5 * TICK);
	kept = f.objects[1].timer;
	f.objects[1].timer.prev = 1;
	assert_false(timer_wheel_check(&f.wheel));
	f.objects[1].timer = kept;
	f.objects[1].timer.next = 2; /* a cycle */
	assert_false(timer_wheel_check(&f.wheel));
	f.objects[1].timer = kept;
	f.wheel.occupied[0] = 0;
	assert_false(timer_wheel_check(&f.wheel));
	f.wheel.occupied[0] = UINT64_C(1) << 5;
	f.wheel.tick += 20;
	assert_false(timer_wheel_check(&f.wheel));
	f.wheel.tick -= 20;
	assert_true(timer_wheel_check(&f.wheel));
	fixture_fini(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fires_in_its_tick),
		cmocka_unit_test(walks_each_tick),
		cmocka_unit_test(past_deadline_fires_at_next_advance),
		cmocka_unit_test(due_again_in_fire_waits_for_next_advance),
		cmocka_unit_test(lazy_deadline_costs_one_look),
		cmocka_unit_test(deadline_inside_a_tick_is_looked_at_once),
		cmocka_unit_test(deadline_withdrawn_is_unfiled),
		cmocka_unit_test(remove_is_idempotent),
		cmocka_unit_test(empty_ticks_cost_nothing),
		cmocka_unit_test(clock_that_steps_back_loses_nothing),
		cmocka_unit_test(storm_is_spread_and_complete),
		cmocka_unit_test(budget_of_nothing_looks_at_nothing),
		cmocka_unit_test(random_against_model),
		cmocka_unit_test(random_with_budget),
		cmocka_unit_test(random_with_fire_that_disturbs),
		cmocka_unit_test(check_sees_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
