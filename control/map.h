/* SPDX-License-Identifier: BSD-3-Clause */
/* A hash map from a non-zero 64-bit id to a pointer: open addressing, linear probing, no tombstones. */
#ifndef ROOKERY_CONTROL_MAP_H
#define ROOKERY_CONTROL_MAP_H

#include <stddef.h>
#include <stdint.h>

struct map_slot {
	uint64_t key; /* 0: free */
	void *value;
};

/* All zero is an empty map. */
struct map {
	struct map_slot *slots;
	uint32_t mask; /* slots - 1, or 0 without any */
	uint32_t count;
};

void *map_get(const struct map *m, uint64_t key);
/* Adds or overwrites. Returns 0 or -ENOMEM (nothing changed). */
int map_put(struct map *m, uint64_t key, void *value);
/* Makes room so that the next map_put of a new key cannot fail. */
int map_reserve(struct map *m);
void map_del(struct map *m, uint64_t key);
/* Takes all out, and keeps the memory. */
void map_clear(struct map *m);
void map_free(struct map *m);

/* Iterates in no particular order over a map that does not change meanwhile: start with *position 0; NULL at
 * the end. */
void *map_next(const struct map *m, uint32_t *position);

#endif
