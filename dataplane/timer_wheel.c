/* SPDX-License-Identifier: BSD-3-Clause */
#include "timer_wheel.h"

#include <stddef.h>

#define SLOT_MASK (TIMER_WHEEL_SLOTS - 1)
#define TOP (TIMER_WHEEL_LEVELS - 1)

static inline struct timer_node *
node(const struct timer_wheel *w, uint32_t i)
{
	return (struct timer_node *)(void *)(w->nodes + (size_t)i * w->stride);
}

static inline unsigned
level_shift(unsigned level)
{
	return level * TIMER_WHEEL_BITS;
}

/* Slot of a level in which a tick lies. */
static inline unsigned
slot_of(uint64_t tick, unsigned level)
{
	return (unsigned)(tick >> level_shift(level)) & SLOT_MASK;
}

/* Does a slot of this level begin at the tick? */
static inline bool
slot_begins(uint64_t tick, unsigned level)
{
	return (tick & ((UINT64_C(1) << level_shift(level)) - 1)) == 0;
}

/* Slots are numbered level * TIMER_WHEEL_SLOTS + slot. */
static inline bool
is_occupied(const struct timer_wheel *w, uint32_t slot)
{
	return w->occupied[slot / TIMER_WHEEL_SLOTS] >> (slot % TIMER_WHEEL_SLOTS) & 1;
}

static inline void
set_occupied(struct timer_wheel *w, uint32_t slot)
{
	w->occupied[slot / TIMER_WHEEL_SLOTS] |= UINT64_C(1) << (slot % TIMER_WHEEL_SLOTS);
}

static inline void
clear_occupied(struct timer_wheel *w, uint32_t slot)
{
	w->occupied[slot / TIMER_WHEEL_SLOTS] &= ~(UINT64_C(1) << (slot % TIMER_WHEEL_SLOTS));
}

/* A list has become empty: is its slot? */
static void
emptied(struct timer_wheel *w, uint32_t list)
{
	uint32_t slot = list / TIMER_WHEEL_LANES;

	if (list >= TIMER_LIST_TURN)
		return;
	for (unsigned lane = 0; lane < TIMER_WHEEL_LANES; lane++) {
		if (w->list[slot * TIMER_WHEEL_LANES + lane] != TIMER_NONE)
			return;
	}
	clear_occupied(w, slot);
}

static void
link_first(struct timer_wheel *w, uint32_t list, uint32_t i)
{
	struct timer_node *n = node(w, i);

	n->next = w->list[list];
	n->prev = TIMER_SLOT | list;
	if (n->next != TIMER_NONE)
		node(w, n->next)->prev = i;
	else if (list < TIMER_LIST_TURN)
		set_occupied(w, list / TIMER_WHEEL_LANES);
	w->list[list] = i;
	w->count++;
}

static void
unlink_node(struct timer_wheel *w, struct timer_node *n)
{
	if (n->next != TIMER_NONE)
		node(w, n->next)->prev = n->prev;
	if (n->prev & TIMER_SLOT) {
		uint32_t list = n->prev & ~TIMER_SLOT;

		w->list[list] = n->next;
		if (n->next == TIMER_NONE)
			emptied(w, list);
	} else {
		node(w, n->prev)->next = n->next;
	}
	timer_node_init(n);
	w->count--;
}

/* The first of a list that is no slot's, which leaves no slot empty. */
static inline void
unlink_first(struct timer_wheel *w, uint32_t list, struct timer_node *n)
{
	w->list[list] = n->next;
	if (n->next != TIMER_NONE)
		node(w, n->next)->prev = TIMER_SLOT | list;
	timer_node_init(n);
	w->count--;
}

/* Moves a whole list to an empty one. */
static void
move_list(struct timer_wheel *w, uint32_t from, uint32_t to)
{
	uint32_t first = w->list[from];

	if (first == TIMER_NONE)
		return;
	w->list[to] = first;
	w->list[from] = TIMER_NONE;
	node(w, first)->prev = TIMER_SLOT | to;
}

/* Gives a slot its turn. The lanes before it have been served. */
static void
take_turn(struct timer_wheel *w, uint32_t slot)
{
	for (unsigned lane = 0; lane < TIMER_WHEEL_LANES; lane++) {
		uint32_t first = w->list[slot * TIMER_WHEEL_LANES + lane];

		if (first != TIMER_NONE)
			__builtin_prefetch(node(w, first), 1);
	}
	for (unsigned lane = 0; lane < TIMER_WHEEL_LANES; lane++)
		move_list(w, slot * TIMER_WHEEL_LANES + lane, TIMER_LIST_TURN + lane);
	clear_occupied(w, slot);
}

/* The list for object i with this deadline. Ticks are rounded up, so that a slot's turn never comes before
 * the deadline. */
static uint32_t
place(const struct timer_wheel *w, uint32_t i, uint64_t deadline_us)
{
	uint64_t tick = deadline_us / w->tick_us + (deadline_us % w->tick_us != 0);
	uint64_t differs = tick ^ w->tick;
	unsigned level = 0;
	unsigned slot;

	if (deadline_us <= w->now_us || tick < w->tick)
		return TIMER_LIST_DUE;
	if (differs >= TIMER_WHEEL_SLOTS)
		level = (63u - (unsigned)__builtin_clzll(differs)) / TIMER_WHEEL_BITS;
	if (level < TOP) {
		slot = slot_of(tick, level);
	} else {
		/* The top level goes round: 63 slots ahead is the last before the present one comes again. */
		uint64_t ahead = (tick >> level_shift(TOP)) - (w->tick >> level_shift(TOP));

		level = TOP;
		if (ahead > SLOT_MASK)
			ahead = SLOT_MASK;
		slot = (slot_of(w->tick, TOP) + (unsigned)ahead) & SLOT_MASK;
	}
	return (level * TIMER_WHEEL_SLOTS + slot) * TIMER_WHEEL_LANES + i % TIMER_WHEEL_LANES;
}

void
timer_wheel_init(struct timer_wheel *w, void *nodes, uint32_t stride, uint32_t capacity, uint32_t tick_us,
		 uint64_t now_us)
{
	*w = (struct timer_wheel){
		.tick = now_us / tick_us + 1,
		.now_us = now_us,
		.tick_us = tick_us,
		.stride = stride,
		.nodes = nodes,
		.capacity = capacity,
	};
	for (unsigned l = 0; l < TIMER_LISTS; l++)
		w->list[l] = TIMER_NONE;
}

bool
timer_wheel_filed(const struct timer_wheel *w, uint32_t i)
{
	return timer_node_filed(node(w, i));
}

void
timer_wheel_add(struct timer_wheel *w, uint32_t i, uint64_t deadline_us)
{
	timer_wheel_remove(w, i);
	link_first(w, place(w, i, deadline_us), i);
}

void
timer_wheel_remove(struct timer_wheel *w, uint32_t i)
{
	struct timer_node *n = node(w, i);

	if (timer_node_filed(n))
		unlink_node(w, n);
}

static inline uint64_t
rotate_right(uint64_t bits, unsigned by)
{
	return bits >> (by & 63) | bits << (-by & 63);
}

/* The next tick, from the present one on, at which a slot begins that holds something; UINT64_MAX: none. */
static uint64_t
next_busy_tick(const struct timer_wheel *w)
{
	uint64_t t = w->tick;
	uint64_t ahead;

	for (unsigned level = TOP; level > 0; level--) {
		if (slot_begins(t, level) && w->occupied[level] >> slot_of(t, level) & 1)
			return t;
	}
	ahead = w->occupied[0] >> slot_of(t, 0);
	if (ahead != 0)
		return t + (unsigned)__builtin_ctzll(ahead);
	/* All of a level lies before anything of the next, whose present slot is empty by now. */
	for (unsigned level = 1; level <= TOP; level++) {
		/* Only the top level goes round; in the others the slots before the present one are empty. */
		ahead = rotate_right(w->occupied[level], slot_of(t, level) + 1);
		if (ahead != 0) {
			uint64_t slot = (t >> level_shift(level)) + 1 + (unsigned)__builtin_ctzll(ahead);

			return slot << level_shift(level);
		}
	}
	return UINT64_MAX;
}

/* Moves the wheel to the next occupied slot that begins at or before tick target and gives it its turn.
 * False: there is none. */
static bool
next_turn(struct timer_wheel *w, uint64_t target)
{
	uint64_t t = next_busy_tick(w);

	if (t > target) {
		if (target >= w->tick)
			w->tick = target + 1;
		return false;
	}
	w->tick = t;
	/* From the top: a coarse slot files its objects into finer slots of this very tick and later ones. */
	for (unsigned level = TOP; level > 0; level--) {
		unsigned slot = slot_of(t, level);

		if (slot_begins(t, level) && w->occupied[level] >> slot & 1) {
			take_turn(w, level * TIMER_WHEEL_SLOTS + slot);
			return true;
		}
	}
	take_turn(w, slot_of(t, 0));
	w->tick = t + 1;
	return true;
}

/* The list to take from now, behind *cursor: lanes and objects due when filed come in turns, so that
 * neither an expiry storm nor objects that are filed as due again and again hold up the other. TIMER_NONE:
 * all are empty. */
static inline uint32_t
pick_list(const struct timer_wheel *w, uint32_t *cursor)
{
	for (unsigned n = 0; n <= TIMER_WHEEL_LANES; n++) {
		*cursor = *cursor == TIMER_LIST_DUE_NOW ? (uint32_t)TIMER_LIST_TURN : *cursor + 1;
		if (w->list[*cursor] != TIMER_NONE)
			return *cursor;
	}
	return TIMER_NONE;
}

uint32_t
timer_wheel_advance(struct timer_wheel *w, uint64_t now_us, uint32_t budget, timer_deadline_fn deadline,
		    timer_fire_fn fire, void *ctx)
{
	uint64_t target = now_us / w->tick_us;
	uint32_t cursor = TIMER_LIST_DUE_NOW - 1; /* begins with what is due, however small the budget */
	uint32_t looked = 0;
	uint32_t list;

	w->now_us = now_us;
	if (w->list[TIMER_LIST_DUE_NOW] == TIMER_NONE)
		move_list(w, TIMER_LIST_DUE, TIMER_LIST_DUE_NOW);
	do {
		/* fire may remove any object: nothing but the list's head is trusted from one to the next. */
		while ((list = pick_list(w, &cursor)) != TIMER_NONE) {
			uint32_t i = w->list[list];
			struct timer_node *n = node(w, i);
			uint64_t at;

			if (looked == budget)
				return looked;
			looked++;
			if (n->next != TIMER_NONE)
				__builtin_prefetch(node(w, n->next), 1);
			unlink_first(w, list, n);
			at = deadline(ctx, i);
			if (at == UINT64_MAX)
				continue;
			if (at <= now_us)
				fire(ctx, i, now_us);
			else
				link_first(w, place(w, i, at), i);
		}
	} while (looked < budget && next_turn(w, target));
	return looked;
}

/* Walks one list; returns its length, or UINT32_MAX when it is not sound. */
static uint32_t
check_list(const struct timer_wheel *w, uint32_t list)
{
	uint32_t prev = TIMER_SLOT | list;
	uint32_t length = 0;

	for (uint32_t i = w->list[list]; i != TIMER_NONE; i = node(w, i)->next) {
		if (i >= w->capacity || node(w, i)->prev != prev || length == w->count ||
		    (list < TIMER_LIST_DUE_NOW && list % TIMER_WHEEL_LANES != i % TIMER_WHEEL_LANES))
			return UINT32_MAX;
		prev = i;
		length++;
	}
	return length;
}

/* Slots before the wheel's place are empty; so is the present slot of a coarse level, except at its very
 * beginning. */
static bool
check_passed(const struct timer_wheel *w)
{
	for (unsigned level = 0; level < TIMER_WHEEL_LEVELS; level++) {
		unsigned cur = slot_of(w->tick, level);
		uint64_t passed = level == TOP ? 0 : (UINT64_C(1) << cur) - 1;

		if (!slot_begins(w->tick, level))
			passed |= UINT64_C(1) << cur;
		if (w->occupied[level] & passed)
			return false;
	}
	return true;
}

bool
timer_wheel_check(const struct timer_wheel *w)
{
	uint64_t listed = 0;
	uint32_t filed = 0;

	for (uint32_t slot = 0; slot < TIMER_WHEEL_LEVELS * TIMER_WHEEL_SLOTS; slot++) {
		const uint32_t *lane = &w->list[slot * TIMER_WHEEL_LANES];
		bool empty = true;

		for (unsigned l = 0; l < TIMER_WHEEL_LANES; l++)
			empty = empty && lane[l] == TIMER_NONE;
		if (is_occupied(w, slot) == empty)
			return false;
	}
	for (uint32_t list = 0; list < TIMER_LISTS; list++) {
		uint32_t length = check_list(w, list);

		if (length == UINT32_MAX)
			return false;
		listed += length;
	}
	for (uint32_t i = 0; i < w->capacity; i++)
		filed += timer_wheel_filed(w, i);
	return listed == w->count && filed == w->count && check_passed(w);
}
