/* SPDX-License-Identifier: BSD-3-Clause */
#include "message.h"

#include <errno.h>
#include <rte_common.h>
#include <rte_malloc.h>
#include <string.h>

#define BUCKETS_PER_RECORD 4 /* a record that is not the one looked for is a cache miss */

int
message_table_init(struct message_table *t, uint32_t capacity, int numa_node, uint64_t now_us, uint64_t seed)
{
	uint32_t buckets = rte_align32pow2(capacity) * BUCKETS_PER_RECORD;

	memset(t, 0, sizeof(*t));
	t->messages = rte_zmalloc_socket("messages", (size_t)capacity * sizeof(*t->messages), 64, numa_node);
	t->buckets = rte_malloc_socket("message_buckets", (size_t)buckets * sizeof(*t->buckets), 64, numa_node);
	if (t->messages == NULL || t->buckets == NULL) {
		message_table_fini(t);
		return -ENOMEM;
	}
	t->capacity = capacity;
	t->bucket_mask = buckets - 1;
	t->hash_seed = seed;
	memset(t->buckets, 0xff, (size_t)buckets * sizeof(*t->buckets));
	t->free = NONE;
	for (uint32_t i = capacity; i-- > 0;) {
		t->messages[i].generation = 1;
		t->messages[i].hash_next = t->free;
		timer_node_init(&t->messages[i].timer);
		t->free = i;
	}
	timer_wheel_init(&t->wheel, &t->messages[0].timer, sizeof(struct message), capacity, MESSAGE_TICK_US, now_us);
	return 0;
}

void
message_table_fini(struct message_table *t)
{
	rte_free(t->messages);
	rte_free(t->buckets);
	memset(t, 0, sizeof(*t));
}

/* splitmix64's finaliser over both halves; the seed keeps senders from choosing colliding ids. */
static uint32_t
bucket_of(const struct message_table *t, session_id_t sender, message_id_t id)
{
	uint64_t x = (sender ^ t->hash_seed) + id * UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return (uint32_t)(x ^ x >> 31) & t->bucket_mask;
}

struct message *
message_find(const struct message_table *t, session_id_t sender, message_id_t id)
{
	for (uint32_t i = t->buckets[bucket_of(t, sender, id)]; i != NONE; i = t->messages[i].hash_next) {
		struct message *m = &t->messages[i];

		if (m->id == id && m->sender == sender)
			return m;
	}
	return NULL;
}

void
message_prefetch(const struct message_table *t, session_id_t sender, message_id_t id)
{
	__builtin_prefetch(&t->buckets[bucket_of(t, sender, id)]);
}

struct message *
message_alloc(struct message_table *t, session_id_t sender, message_id_t id, enum message_state state)
{
	uint32_t i = t->free;
	struct message *m;

	if (i == NONE)
		return NULL;
	m = &t->messages[i];
	t->free = m->hash_next;
	/* The next one is cold, since it was freed with many others. */
	if (t->free != NONE)
		message_prefetch_record(&t->messages[t->free]);
	t->used++;
	t->control += state == MESSAGE_CONTROL;
	m->state = state;
	m->level = 0;
	m->reason = 0;
	m->flags = 0;
	timer_node_init(&m->timer);
	m->deadline_us = UINT64_MAX;
	m->sender = sender;
	m->hash_next = NONE;
	m->list_next = NONE;
	m->list_prev = NONE;
	m->id = id;
	m->length = 0;
	m->parts = 0;
	m->storing = 0;
	m->unsent = 0;
	m->acked = 0;
	m->stored = 0;
	m->live_count = 0;
	m->attempts = 0;
	m->pending = 0;
	if (sender != SESSION_ID_NONE) {
		uint32_t *bucket = &t->buckets[bucket_of(t, sender, id)];

		m->hash_next = *bucket;
		*bucket = i;
	}
	return m;
}

void
message_free(struct message_table *t, struct message *m)
{
	uint32_t i = message_index(t, m);

	if (m->sender != SESSION_ID_NONE) {
		uint32_t *link = &t->buckets[bucket_of(t, m->sender, m->id)];

		while (*link != i)
			link = &t->messages[*link].hash_next;
		*link = m->hash_next;
	}
	timer_wheel_remove(&t->wheel, i);
	t->control -= m->state == MESSAGE_CONTROL;
	m->state = MESSAGE_FREE;
	m->generation++;
	m->hash_next = t->free;
	t->free = i;
	t->used--;
}

void
message_timer(struct message_table *t, struct message *m, uint64_t deadline_us)
{
	m->deadline_us = deadline_us;
	timer_wheel_add(&t->wheel, message_index(t, m), deadline_us);
}

bool
message_table_check(const struct message_table *t)
{
	uint32_t used = 0, control = 0, free_count = 0;

	for (uint32_t i = 0; i < t->capacity; i++) {
		const struct message *m = &t->messages[i];

		if (m->state == MESSAGE_FREE)
			continue;
		used++;
		control += m->state == MESSAGE_CONTROL;
		if (m->sender != SESSION_ID_NONE && message_find(t, m->sender, m->id) != m)
			return false;
		if ((m->unsent & ~m->storing) != 0 || (m->storing & ~m->parts) != 0)
			return false;
		if (m->state == MESSAGE_FINAL && m->parts != 0)
			return false;
	}
	for (uint32_t i = t->free; i != NONE && free_count <= t->capacity; i = t->messages[i].hash_next)
		free_count++;
	return used == t->used && control == t->control && used + free_count == t->capacity && timer_wheel_check(&t->wheel);
}
