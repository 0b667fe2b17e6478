/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Hierarchical timer wheel (Varghese and Lauck, 1987) over objects named by index. A node is 8 bytes beside the object
 * and holds no deadline: when a slot comes round, the wheel asks the owner for each object's present deadline and either fires it or
 * files it again. So moving a deadline later (a heartbeat) costs nothing here.
 *
 * Thread-safety: one thread.
 */
#ifndef ROOKERY_DATAPLANE_TIMER_WHEEL_H
#define ROOKERY_DATAPLANE_TIMER_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#define TIMER_NONE UINT32_MAX

struct timer_node {
	uint32_t next; /* index of an object, or TIMER_NONE */
	uint32_t prev; /* index of an object, or slot number with TIMER_SLOT set, or TIMER_NONE when not filed */
};

#define TIMER_WHEEL_BITS 6
#define TIMER_WHEEL_SLOTS (1u << TIMER_WHEEL_BITS)
#define TIMER_WHEEL_LEVELS 4

struct timer_wheel {
	uint64_t tick;      /* all ticks before this one have been served */
	uint32_t tick_us;
	uint32_t stride;    /* bytes between the nodes of neighbouring objects */
	uint8_t *nodes;     /* node of object 0 */
	uint32_t capacity;  /* objects 0 .. capacity-1 */
	uint32_t count;     /* filed now */
	uint64_t occupied[TIMER_WHEEL_LEVELS]; /* bit per non-empty slot */
	uint32_t slot[TIMER_WHEEL_LEVELS][TIMER_WHEEL_SLOTS];
	uint32_t resume;    /* what a budget left over of the present tick */
};

/* Deadline of object i in us, or UINT64_MAX when it no longer wants one (it is then unfiled). */
typedef uint64_t (*timer_deadline_fn)(void *ctx, uint32_t i);
/* Object i is due; it is unfiled already and may be filed again or freed inside. */
typedef void (*timer_fire_fn)(void *ctx, uint32_t i, uint64_t now_us);

/* nodes: address of object 0's struct timer_node; all nodes must be initialised with timer_node_init. */
void timer_wheel_init(struct timer_wheel *w, void *nodes, uint32_t stride, uint32_t capacity, uint32_t tick_us, uint64_t now_us);
void timer_node_init(struct timer_node *n);
bool timer_wheel_filed(const struct timer_wheel *w, uint32_t i);
/* Files object i for deadline_us (a later or earlier place if it is filed already). A deadline in the past fires at the next advance;
 * one beyond the wheel's span is filed at its end and asked again. */
void timer_wheel_add(struct timer_wheel *w, uint32_t i, uint64_t deadline_us);
void timer_wheel_remove(struct timer_wheel *w, uint32_t i);
/* Serves ticks up to now_us, looking at no more than budget objects; what is left is served by the next call. Never fires early; at most one
 * tick late (without a budget shortage). Returns the objects looked at. */
uint32_t timer_wheel_advance(struct timer_wheel *w, uint64_t now_us, uint32_t budget, timer_deadline_fn deadline, timer_fire_fn fire, void *ctx);
/* Every list is sound, counts and bitmaps match. For tests. */
bool timer_wheel_check(const struct timer_wheel *w);

#endif
