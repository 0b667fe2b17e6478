/* SPDX-License-Identifier: BSD-3-Clause */
#include "session.h"

#include <errno.h>
#include <rte_malloc.h>
#include <string.h>

int
session_table_init(struct session_table *t, uint32_t capacity, uint32_t activities, int numa_node, uint64_t now_us)
{
	memset(t, 0, sizeof(*t));
	t->sessions = rte_zmalloc_socket("sessions", (size_t)capacity * sizeof(*t->sessions), 64, numa_node);
	t->activities = rte_zmalloc_socket("activities", (size_t)activities * sizeof(*t->activities), 64, numa_node);
	if (t->sessions == NULL || t->activities == NULL) {
		session_table_fini(t);
		return -ENOMEM;
	}
	t->capacity = capacity;
	t->activity_capacity = activities;
	t->free_head = t->free_tail = NONE;
	for (uint32_t i = 0; i < capacity; i++) {
		timer_node_init(&t->sessions[i].timer);
		t->sessions[i].activity = NONE;
		session_slot_free(t, i);
	}
	t->activity_free = NONE;
	for (uint32_t i = activities; i-- > 0;) {
		t->activities[i].session = NONE;
		t->activities[i].next = t->activity_free;
		t->activity_free = i;
	}
	timer_wheel_init(&t->wheel, &t->sessions[0].timer, sizeof(struct session), capacity, SESSION_TICK_US, now_us);
	return 0;
}

void
session_table_fini(struct session_table *t)
{
	for (uint32_t i = 0; i < t->capacity; i++)
		explicit_bzero(&t->sessions[i].keys, sizeof(t->sessions[i].keys));
	rte_free(t->sessions);
	rte_free(t->activities);
	memset(t, 0, sizeof(*t));
}

void
session_slot_take(struct session_table *t, uint32_t i)
{
	uint32_t next = t->sessions[i].free.next, prev = t->sessions[i].free.prev;

	if (next == NONE)
		t->free_tail = prev;
	else
		t->sessions[next].free.prev = prev;
	if (prev == NONE)
		t->free_head = next;
	else
		t->sessions[prev].free.next = next;
}

void
session_slot_free(struct session_table *t, uint32_t i)
{
	t->sessions[i].free.next = NONE;
	t->sessions[i].free.prev = t->free_tail;
	if (t->free_tail == NONE)
		t->free_head = i;
	else
		t->sessions[t->free_tail].free.next = i;
	t->free_tail = i;
}

/* Clock search: a block whose session has nothing under way for a minute. Bounded, so that a full pool costs a
 * packet no more than a few lines. */
static uint32_t
activity_steal(struct session_table *t, uint64_t now_us)
{
	for (uint32_t n = 0; n < 32; n++) {
		uint32_t i = t->activity_hand;
		struct activity *a = &t->activities[i];

		t->activity_hand = i + 1 == t->activity_capacity ? 0 : i + 1;
		if (a->session != NONE && activity_idle(a) && now_us - a->used_us > ACTIVITY_IDLE_US) {
			t->sessions[a->session].activity = NONE;
			return i;
		}
	}
	return NONE;
}

struct activity *
activity_get(struct session_table *t, struct session *s, uint64_t now_us)
{
	struct activity *a;
	uint32_t i = s->activity;

	if (i == NONE) {
		i = t->activity_free;
		if (i != NONE)
			t->activity_free = t->activities[i].next;
		else
			i = activity_steal(t, now_us);
		if (i == NONE)
			return NULL;
		a = &t->activities[i];
		*a = (struct activity){
			.session = session_index(t, s),
			.records = NONE,
			.inflight_head = NONE,
			.inflight_tail = NONE,
			.pending_head = NONE,
			.pending_tail = NONE,
		};
		s->activity = i;
	}
	a = &t->activities[i];
	a->used_us = now_us;
	return a;
}

void
activity_release(struct session_table *t, struct session *s)
{
	uint32_t i = s->activity;

	if (i == NONE)
		return;
	t->activities[i].session = NONE;
	t->activities[i].next = t->activity_free;
	t->activity_free = i;
	s->activity = NONE;
}

bool
session_table_check(const struct session_table *t)
{
	uint32_t live = 0, used = 0, free_count = 0, slots = 0;

	for (uint32_t i = 0; i < t->capacity; i++) {
		const struct session *s = &t->sessions[i];

		live += s->generation != 0;
		if (s->generation == 0 && s->activity != NONE)
			return false;
		if (s->activity != NONE && t->activities[s->activity].session != i)
			return false;
		if (s->generation != 0 && !timer_wheel_filed(&t->wheel, i))
			return false;
	}
	for (uint32_t i = 0; i < t->activity_capacity; i++) {
		const struct activity *a = &t->activities[i];

		if (a->session == NONE)
			continue;
		used++;
		if (t->sessions[a->session].activity != i)
			return false;
		if ((a->inflight_count == 0) != (a->inflight_head == NONE) ||
		    (a->pending_count == 0) != (a->pending_head == NONE) || (a->record_count == 0) != (a->records == NONE))
			return false;
	}
	for (uint32_t i = t->free_head, prev = NONE; i != NONE; prev = i, i = t->sessions[i].free.next) {
		if (t->sessions[i].generation != 0 || t->sessions[i].free.prev != prev || slots++ == t->capacity)
			return false;
	}
	if (slots + live != t->capacity)
		return false;
	for (uint32_t i = t->activity_free; i != NONE && free_count <= t->activity_capacity; i = t->activities[i].next)
		free_count++;
	return live == t->live && used + free_count == t->activity_capacity && timer_wheel_check(&t->wheel);
}
