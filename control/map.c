// SPDX-License-Identifier: BSD-3-Clause
#include "map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Ids are chosen by control, not by clients: a fixed mixer suffices (splitmix64's finalizer). */
static uint32_t
map_hash(uint64_t key)
{
	key ^= key >> 30;
	key *= UINT64_C(0xbf58476d1ce4e5b9);
	key ^= key >> 27;
	key *= UINT64_C(0x94d049bb133111eb);
	return (uint32_t)(key ^ key >> 31);
}

static struct map_slot *
map_find(const struct map *m, uint64_t key)
{
	uint32_t i = map_hash(key) & m->mask;

	while (m->slots[i].key != 0 && m->slots[i].key != key)
		i = (i + 1) & m->mask;
	return &m->slots[i];
}

void *
map_get(const struct map *m, uint64_t key)
{
	if (m->slots == NULL || key == 0)
		return NULL;
	return map_find(m, key)->value;
}

int
map_reserve(struct map *m)
{
	struct map bigger = {.count = m->count};
	uint32_t size = m->slots == NULL ? 0 : m->mask + 1;

	if (size - size / 4 > m->count + 1)
		return 0;
	size = size == 0 ? 64 : size * 2;
	bigger.slots = calloc(size, sizeof(*bigger.slots));
	if (bigger.slots == NULL)
		return -ENOMEM;
	bigger.mask = size - 1;
	for (uint32_t i = 0; m->slots != NULL && i <= m->mask; i++) {
		if (m->slots[i].key != 0)
			*map_find(&bigger, m->slots[i].key) = m->slots[i];
	}
	free(m->slots);
	*m = bigger;
	return 0;
}

int
map_put(struct map *m, uint64_t key, void *value)
{
	struct map_slot *slot;
	int rc = map_reserve(m);

	if (rc < 0)
		return rc;
	slot = map_find(m, key);
	if (slot->key == 0)
		m->count++;
	slot->key = key;
	slot->value = value;
	return 0;
}

void
map_del(struct map *m, uint64_t key)
{
	uint32_t hole, i;

	if (m->slots == NULL || key == 0 || map_find(m, key)->key == 0)
		return;
	hole = i = (uint32_t)(map_find(m, key) - m->slots);
	/* Moves up whoever could not be found past the hole. */
	for (;;) {
		uint32_t home;

		i = (i + 1) & m->mask;
		if (m->slots[i].key == 0)
			break;
		home = map_hash(m->slots[i].key) & m->mask;
		if (((i - home) & m->mask) >= ((i - hole) & m->mask)) {
			m->slots[hole] = m->slots[i];
			hole = i;
		}
	}
	m->slots[hole] = (struct map_slot){0};
	m->count--;
}

void
map_clear(struct map *m)
{
	if (m->count == 0)
		return;
	memset(m->slots, 0, (m->mask + 1ul) * sizeof(*m->slots));
	m->count = 0;
}

void
map_free(struct map *m)
{
	free(m->slots);
	*m = (struct map){0};
}

void *
map_next(const struct map *m, uint32_t *position)
{
	while (m->slots != NULL && *position <= m->mask) {
		const struct map_slot *slot = &m->slots[(*position)++];

		if (slot->key != 0)
			return slot->value;
	}
	return NULL;
}
