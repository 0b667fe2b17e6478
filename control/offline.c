// SPDX-License-Identifier: BSD-3-Clause
/* Messages for devices that are away: into the store, confirmed after the commit, out of it once
 * acknowledged. */
#include "core.h"

#include <stdlib.h>
#include <string.h>

/* ---- PUNT_STORE ---------------------------------------------------------------------- */

static void
stored_answer(struct server *s, const struct cell *c, bool ok, uint32_t stored)
{
	struct cell answer;

	cell_init(&answer, INJECT_STORED);
	answer.stored.record = c->store.record;
	answer.stored.id = c->store.id;
	answer.stored.device = c->store.device;
	answer.stored.ok = ok;
	answer.stored.stored = (uint8_t)(stored > UINT8_MAX ? UINT8_MAX : stored);
	emit(s, c->worker, &answer);
}

static void
kick_device(struct server *s, void *data)
{
	device_id_t *device = data;
	struct session *n = map_get(&s->devices, *device);

	if (n != NULL)
		pump_kick(s, n);
}

static bool
store_excepted(const struct cell_store *c, device_id_t device)
{
	if (device == c->from_device)
		return true;
	for (unsigned i = 0; i < c->except_count; i++) {
		if (c->except[i] == device)
			return true;
	}
	return false;
}

/*
 * Moves the devices that the message has to wait for to the front and returns their number: all that were
 * seen within the last 30 days; when there is none the one seen last, so that a user who comes back after a
 * year finds something.
 */
static int
store_targets(const struct server *s, const struct cell_store *c, struct store_device *devices, int count)
{
	int targets = 0, recent = 0, last = -1;

	for (int i = 0; i < count; i++) {
		bool live = map_get(&s->devices, devices[i].id) != NULL;

		if (c->device == 0 && (live || devices[i].last_seen_ms + RECENT_MS >= s->wall_ms))
			recent++;
		if (last < 0 || devices[i].last_seen_ms > devices[last].last_seen_ms)
			last = i;
	}
	for (int i = 0; i < count; i++) {
		bool live = map_get(&s->devices, devices[i].id) != NULL;
		bool wanted = c->device != 0 ? devices[i].id == c->device
			      : recent == 0  ? i == last
					     : live || devices[i].last_seen_ms + RECENT_MS >= s->wall_ms;

		if (wanted && !(c->device == 0 && store_excepted(c, devices[i].id)))
			devices[targets++] = devices[i];
	}
	return targets;
}

/* All or none: a message that was refused for one device is asked for again, for all. */
static int
store_room(struct server *s, const struct cell_store *c, const struct store_device *devices, int count)
{
	for (int i = 0; i < count; i++) {
		int rc;

		if (devices[i].messages < s->config->control.stored_max)
			continue;
		rc = store_message_exists(s->store, devices[i].id, c->from_device, c->id);
		if (rc <= 0)
			return rc < 0 ? rc : -EDQUOT;
	}
	return 0;
}

static int
store_put(struct server *s, const struct cell *c, const struct store_device *devices, int count)
{
	struct store_message m = {
		.from = c->store.from,
		.from_device = c->store.from_device,
		.id = c->store.id,
		.sent_at = c->store.sent_at,
		.stored_ms = s->wall_ms,
		.prev_delta = c->store.prev_delta,
		.floor_delta = c->store.floor_delta,
		.flags = c->store.flags,
		.length = c->length,
	};
	int rc;

	memcpy(m.body, c->data, c->length);
	for (int i = 0; i < count; i++) {
		m.device = devices[i].id;
		rc = store_message_put(s->store, &m);
		if (rc < 0)
			return rc;
		if (rc == 1)
			COUNT(s, messages_stored);
		else
			COUNT(s, messages_duplicate);
	}
	return 0;
}

int
store_handle(struct server *s, const struct cell *c)
{
	struct store_device *devices;
	int count, rc;

	count = store_devices(s->store, c->store.to, &devices);
	if (count < 0)
		return count;
	count = store_targets(s, &c->store, devices, count);
	rc = store_room(s, &c->store, devices, count);
	if (rc == 0)
		rc = store_put(s, c, devices, count);
	if (rc == 0) {
		stored_answer(s, c, true, (uint32_t)count);
		for (int i = 0; i < count; i++)
			effect_add(s, kick_device, NULL, &devices[i].id, sizeof(devices[i].id));
	} else if (rc == -EDQUOT) {
		COUNT(s, messages_not_stored);
		stored_answer(s, c, false, 0);
		rc = 0;
	}
	free(devices);
	return rc;
}

void
store_fail(struct server *s, const struct cell *c)
{
	COUNT(s, messages_not_stored);
	stored_answer(s, c, false, 0);
}

/* ---- PUNT_DELIVERED ------------------------------------------------------------------- */

static void
delivered_effect(struct server *s, void *data)
{
	const struct cell_delivered *d = data;
	struct session *n = session_get(s, d->sid);

	if (n != NULL && n->user != NULL)
		pump_result(s, n, d->token, d->outcome == DELIVERY_ACKED);
}

int
delivered_handle(struct server *s, const struct cell *c)
{
	const struct session *n = session_get(s, c->delivered.sid);
	uint64_t token = c->delivered.token;
	int rc = 0;

	if (n == NULL || n->user == NULL) {
		COUNT(s, cells_orphaned);
		return 0;
	}
	/* Also when the pump does not know the token: it may be of a control process before this one. */
	if (c->delivered.outcome == DELIVERY_ACKED && !(token & TOKEN_PRESENCE)) {
		if (token & TOKEN_EVENT)
			rc = store_event_del(s->store, token & ~TOKEN_EVENT, n->user->id);
		else
			rc = store_message_del(s->store, n->device, token);
	}
	if (rc == 0)
		effect_add(s, delivered_effect, NULL, &c->delivered, sizeof(c->delivered));
	return rc;
}

/* The device has it whatever the store says: the row is removed later. */
void
delivered_fail(struct server *s, const struct cell *c)
{
	const struct session *n = session_get(s, c->delivered.sid);
	uint64_t token = c->delivered.token;

	if (n == NULL || n->user == NULL)
		return;
	if (c->delivered.outcome == DELIVERY_ACKED && !(token & TOKEN_PRESENCE)) {
		if (token & TOKEN_EVENT)
			lazy_add(s, LAZY_EVENT_DEL, token & ~TOKEN_EVENT, n->user->id);
		else
			lazy_add(s, LAZY_MESSAGE_DEL, n->device, token);
	}
	effect_add(s, delivered_effect, NULL, &c->delivered, sizeof(c->delivered));
}

/* ---- FetchStored ---------------------------------------------------------------------- */

struct fetch_effect {
	session_id_t sid;
	uint32_t number;
	uint32_t count;
	struct held *held;
};

static void
fetch_run(struct server *s, void *data)
{
	struct fetch_effect *e = data;
	struct session *n = session_get(s, e->sid);

	if (n != NULL && n->user != NULL && request_mark(s, n, e->number))
		pump_fetch(s, n, e->number, e->held, e->count);
	free(e->held);
}

static void
fetch_undo(struct server *s, void *data)
{
	struct fetch_effect *e = data;

	(void)s;
	free(e->held);
}

int
fetch_stored(struct server *s, const struct request *r, const Rookery__FetchStored *b)
{
	size_t count = b->n_held_device < b->n_held_id ? b->n_held_device : b->n_held_id;
	struct fetch_effect e = {.sid = r->sid, .number = r->number, .count = (uint32_t)count};

	e.held = calloc(count + 1, sizeof(*e.held));
	if (e.held == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		uint64_t last = i < b->n_held_last ? b->held_last[i] : 0;

		e.held[i] = (struct held){.device = b->held_device[i],
					  .first = b->held_id[i],
					  .last = last == 0 ? UINT64_MAX : last};
	}
	effect_add(s, fetch_run, fetch_undo, &e, sizeof(e));
	return 0;
}
