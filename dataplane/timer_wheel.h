/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Hierarchical timer wheel (Varghese and Lauck, 1987) over objects named by index. A node is 8 bytes beside
 * the object and holds no deadline: when a slot comes round, the wheel asks the owner for each object's
 * present deadline and either fires it or files it again. So moving a deadline later (a heartbeat) costs
 * nothing here; moving it earlier takes timer_wheel_add.
 *
 * Level l has 64 slots of 64^l ticks. An object lies in the level of the highest 6-bit group in which its
 * tick and the wheel's differ, so each level's slots are met in order and an occupied one is found with a bit
 * scan.
 *
 * Thread-safety: one thread.
 */
#ifndef ROOKERY_DATAPLANE_TIMER_WHEEL_H
#define ROOKERY_DATAPLANE_TIMER_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#define TIMER_NONE UINT32_MAX
#define TIMER_SLOT UINT32_C(0x80000000) /* in prev: the rest is a list number, and the node its first */
#define TIMER_CAPACITY_MAX TIMER_SLOT

struct timer_node {
	uint32_t next; /* index of an object, or TIMER_NONE */
	uint32_t prev; /* index of an object, or list number with TIMER_SLOT set; TIMER_NONE: not filed */
};

#define TIMER_WHEEL_BITS 6
#define TIMER_WHEEL_SLOTS (1u << TIMER_WHEEL_BITS)
#define TIMER_WHEEL_LEVELS 4

/* A slot is this many lists, by the object's index. They are served in turns, so that while one object is
 * looked at, the next ones of the other lists are on their way from memory; a single list would be a chain
 * of cache misses. */
#define TIMER_WHEEL_LANES 8

/* Lists: (level * 64 + slot) * lanes + lane, then: */
enum timer_list {
	/* lanes of the slot whose turn it is: what the budget left over */
	TIMER_LIST_TURN = TIMER_WHEEL_LEVELS * TIMER_WHEEL_SLOTS * TIMER_WHEEL_LANES,
	/* due when filed, served by the present advance */
	TIMER_LIST_DUE_NOW = TIMER_LIST_TURN + TIMER_WHEEL_LANES,
	TIMER_LIST_DUE,     /* due when filed, for the next advance */
	TIMER_LISTS,
};

struct timer_wheel {
	uint64_t tick;      /* all ticks before this one have been served */
	uint64_t now_us;    /* of the last advance */
	uint32_t tick_us;
	uint32_t stride;    /* bytes between the nodes of neighbouring objects */
	uint8_t *nodes;     /* node of object 0 */
	uint32_t capacity;  /* objects 0 .. capacity-1 */
	uint32_t count;     /* filed now */
	uint64_t occupied[TIMER_WHEEL_LEVELS]; /* bit per non-empty slot */
	uint32_t list[TIMER_LISTS];            /* first object of each list, or TIMER_NONE */
};

/* Deadline of object i in us, or UINT64_MAX when it no longer wants one (it is then unfiled). */
typedef uint64_t (*timer_deadline_fn)(void *ctx, uint32_t i);
/* Object i is due; it is unfiled already and may be filed again or freed inside, as may any other object. */
typedef void (*timer_fire_fn)(void *ctx, uint32_t i, uint64_t now_us);

/* nodes: address of object 0's struct timer_node; all nodes must be initialised with timer_node_init.
 * capacity is at most TIMER_CAPACITY_MAX, tick_us at least 1. */
void timer_wheel_init(struct timer_wheel *w, void *nodes, uint32_t stride, uint32_t capacity,
		      uint32_t tick_us, uint64_t now_us);
static inline void
timer_node_init(struct timer_node *n)
{
	n->next = TIMER_NONE;
	n->prev = TIMER_NONE;
}

static inline bool
timer_node_filed(const struct timer_node *n)
{
	return n->prev != TIMER_NONE;
}

bool timer_wheel_filed(const struct timer_wheel *w, uint32_t i);
/* Files object i for deadline_us (a later or earlier place if it is filed already). A deadline in the past
 * fires at the next advance; one beyond the wheel's span is filed at its end and asked again. */
void timer_wheel_add(struct timer_wheel *w, uint32_t i, uint64_t deadline_us);
/* Does nothing when it is not filed. */
void timer_wheel_remove(struct timer_wheel *w, uint32_t i);
/* Serves ticks up to now_us, looking at no more than budget objects; what is left is served by the next
 * calls. Never fires early; at most one tick late (unless this call or the one before spent its budget).
 * Empty ticks cost nothing, however many. Returns the objects looked at. */
uint32_t timer_wheel_advance(struct timer_wheel *w, uint64_t now_us, uint32_t budget,
			     timer_deadline_fn deadline, timer_fire_fn fire, void *ctx);
/* Every list is sound, counts and bitmaps match, no slot was passed over. For tests: walks all objects. */
bool timer_wheel_check(const struct timer_wheel *w);

#endif
