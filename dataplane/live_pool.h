/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where the user table keeps live sessions: runs of 1, 2, 4 or 8 neighbouring cells, so that a user with one device costs one cell and
 * a reader finds all of a user's devices with one address. A buddy system (Knowlton 1965) within blocks of eight cells: a byte per block
 * says which cells are free, and blocks with a free run of the same largest length are linked.
 *
 * Thread-safety: allocation and release by one writer; the cells themselves are read by whoever was given their index.
 */
#ifndef ROOKERY_DATAPLANE_LIVE_POOL_H
#define ROOKERY_DATAPLANE_LIVE_POOL_H

#include "shared/cell.h"

#include <stdint.h>

#define LIVE_NONE UINT32_MAX
#define LIVE_CLASSES 4 /* runs of 1, 2, 4, 8 */

_Static_assert(USER_SESSIONS_MAX == 8, "a user's sessions fit one block");

struct live_block {
	uint32_t next, prev; /* of the list for `longest`, or LIVE_NONE */
};

struct live_pool {
	struct live_session *cells;
	uint8_t *free; /* per block: bit per free cell */
	struct live_block *blocks;
	uint32_t block_count;
	uint32_t list[LIVE_CLASSES]; /* first block whose longest aligned free run is of this class */
};

/* Room for at least `cells` cells. Returns 0 or -ENOMEM; live_pool_fini in either case. */
int live_pool_init(struct live_pool *p, uint32_t cells, int numa_node);
void live_pool_fini(struct live_pool *p);
/* A run of at least n cells, 1 to 8: index of the first; LIVE_NONE when none is left. */
uint32_t live_pool_alloc(struct live_pool *p, uint32_t n);
/* The same n as at the allocation. */
void live_pool_free(struct live_pool *p, uint32_t first, uint32_t n);

#endif
