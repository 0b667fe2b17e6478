// SPDX-License-Identifier: BSD-3-Clause
#include "live_pool.h"

#include <errno.h>
#include <rte_common.h>
#include <rte_malloc.h>
#include <string.h>

#define BLOCK USER_SESSIONS_MAX
#define FULL LIVE_CLASSES /* in no list */

static unsigned
class_of(uint32_t n)
{
	return n <= 1 ? 0 : 32 - (unsigned)__builtin_clz(n - 1);
}

static uint8_t
run_bits(unsigned class, unsigned at)
{
	return (uint8_t)(((1u << (1u << class)) - 1) << at);
}

/* Where in a block a run of the class is free; BLOCK when nowhere. Runs are aligned to their length. */
static unsigned
find_run(uint8_t free, unsigned class)
{
	for (unsigned at = 0; at < BLOCK; at += 1u << class)
		if ((free & run_bits(class, at)) == run_bits(class, at))
			return at;
	return BLOCK;
}

static unsigned
longest(uint8_t free)
{
	for (unsigned class = LIVE_CLASSES; class-- > 0;)
		if (find_run(free, class) != BLOCK)
			return class;
	return FULL;
}

static void
unlink_block(struct live_pool *p, uint32_t b)
{
	const struct live_block *k = &p->blocks[b];
	unsigned class = longest(p->free[b]);

	if (class == FULL)
		return;
	if (k->prev == LIVE_NONE)
		p->list[class] = k->next;
	else
		p->blocks[k->prev].next = k->next;
	if (k->next != LIVE_NONE)
		p->blocks[k->next].prev = k->prev;
}

static void
link_block(struct live_pool *p, uint32_t b)
{
	unsigned class = longest(p->free[b]);
	struct live_block *k = &p->blocks[b];

	if (class == FULL)
		return;
	*k = (struct live_block){.next = p->list[class], .prev = LIVE_NONE};
	if (k->next != LIVE_NONE)
		p->blocks[k->next].prev = b;
	p->list[class] = b;
}

int
live_pool_init(struct live_pool *p, uint32_t cells, int numa_node)
{
	uint32_t blocks = cells / BLOCK + (cells % BLOCK != 0);

	*p = (struct live_pool){.block_count = blocks, .list = {LIVE_NONE, LIVE_NONE, LIVE_NONE, LIVE_NONE}};
	p->cells = rte_malloc_socket("live-cells", (size_t)blocks * BLOCK * sizeof(*p->cells), RTE_CACHE_LINE_SIZE, numa_node);
	p->free = rte_malloc_socket("live-free", blocks, 0, numa_node);
	p->blocks = rte_malloc_socket("live-blocks", (size_t)blocks * sizeof(*p->blocks), 0, numa_node);
	if (p->cells == NULL || p->free == NULL || p->blocks == NULL)
		return -ENOMEM;
	memset(p->free, 0xff, blocks);
	/* the lowest first: what is never used is never touched */
	for (uint32_t b = blocks; b-- > 0;)
		link_block(p, b);
	return 0;
}

void
live_pool_fini(struct live_pool *p)
{
	rte_free(p->blocks);
	rte_free(p->free);
	rte_free(p->cells);
	*p = (struct live_pool){0};
}

uint32_t
live_pool_alloc(struct live_pool *p, uint32_t n)
{
	unsigned class = class_of(n);
	uint32_t b = LIVE_NONE;
	unsigned at;

	/* The tightest fit keeps the long runs whole. */
	for (unsigned c = class; c < LIVE_CLASSES && b == LIVE_NONE; c++)
		b = p->list[c];
	if (b == LIVE_NONE)
		return LIVE_NONE;
	unlink_block(p, b);
	at = find_run(p->free[b], class);
	p->free[b] &= (uint8_t)~run_bits(class, at);
	link_block(p, b);
	return b * BLOCK + at;
}

void
live_pool_free(struct live_pool *p, uint32_t first, uint32_t n)
{
	uint32_t b = first / BLOCK;

	unlink_block(p, b);
	p->free[b] |= run_bits(class_of(n), first % BLOCK);
	link_block(p, b);
}
