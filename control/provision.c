// SPDX-License-Identifier: BSD-3-Clause
/*
 * The dataplane keeps nothing. A boot id tells whether it lost its sessions: then the instance number grows
 * (on disk first, so that no epoch is ever used twice) and every session goes to its worker again with the
 * next epoch's keys.
 */
#include "core.h"

#include "shared/log.h"

#include <stdlib.h>
#include <string.h>

/* ---- loading ------------------------------------------------------------------------- */

struct load_item {
	struct session *session;
	user_id_t user;
};

struct load {
	struct load_item *items;
	uint32_t count, capacity;
};

static int
load_one(void *arg, const struct store_session *row)
{
	struct load *l = arg;
	struct session *n;

	if (l->count == l->capacity) {
		uint32_t capacity = l->capacity == 0 ? 64 : l->capacity * 2;
		struct load_item *items = realloc(l->items, capacity * sizeof(*items));

		if (items == NULL)
			return -ENOMEM;
		l->items = items;
		l->capacity = capacity;
	}
	n = calloc(1, sizeof(*n));
	if (n == NULL)
		return -ENOMEM;
	n->sid = row->sid;
	n->device = row->device;
	memcpy(n->key, row->key, sizeof(n->key));
	memcpy(n->ephemeral, row->ephemeral, sizeof(n->ephemeral));
	n->secret = row->secret;
	n->instance = row->instance;
	n->login_ms = row->login_ms;
	n->login_timestamp = row->login_timestamp;
	n->peer = row->peer;
	n->port = row->port;
	n->status = row->status;
	n->revoked = row->locked;
	memcpy(n->device_name, row->device_name, sizeof(n->device_name));
	l->items[l->count++] = (struct load_item){.session = n, .user = row->user};
	return 0;
}

static int
load_insert(struct server *s, struct session *n, user_id_t user)
{
	struct store_user u;
	int rc;

	if (user == 0)
		return session_insert(s, n, NULL);
	rc = store_user_by_id(s->store, user, &u);
	if (rc == 0)
		rc = session_insert(s, n, &u);
	if (rc < 0)
		return rc;
	/* Buddies were told before control ended; at worst they are told again. */
	n->user->shown = presence_visible(n->user);
	if (n->user->shown != ROOKERY__STATUS__STATUS_OFFLINE)
		memcpy(n->user->shown_text, n->user->text, sizeof(n->user->shown_text));
	return 0;
}

int
provision_load(struct server *s)
{
	struct load l = {0};
	uint64_t draining = 0;
	uint32_t taken = 0;
	int rc;

	rc = store_meta_get(s->store, "instance", &s->instance);
	if (rc == 0)
		rc = store_meta_get(s->store, "boot", &s->boot);
	if (rc == 0)
		rc = tickets_load(s);
	if (rc == 0)
		rc = store_meta_get(s->store, "draining", &draining);
	s->draining = rc == 0 && draining != 0;
	if (s->draining)
		log_warning(control, "draining, as before: no new logins", "mend=\"rookctl undrain\"");
	if (rc == 0)
		rc = store_sessions(s->store, load_one, &l);
	while (rc == 0 && taken < l.count) {
		rc = load_insert(s, l.items[taken].session, l.items[taken].user);
		if (rc == 0)
			taken++;
	}
	for (uint32_t i = taken; i < l.count; i++)
		session_free(l.items[i].session);
	free(l.items);
	return rc;
}

/* ---- attaching ------------------------------------------------------------------------ */

static int
instance_next(struct server *s, uint64_t boot)
{
	uint64_t instance = s->instance + 1;
	int rc = store_begin(s->store);

	if (rc < 0)
		return rc;
	rc = store_meta_set(s->store, "instance", instance);
	if (rc == 0)
		rc = store_meta_set(s->store, "boot", boot);
	if (rc < 0) {
		store_rollback(s->store);
		return rc;
	}
	rc = store_commit(s->store);
	if (rc == 0) {
		s->instance = instance;
		s->boot = boot;
	}
	return rc;
}

static bool
session_fits(const struct server *s, const struct session *n, uint32_t workers, uint32_t sessions_per_worker)
{
	return session_id_worker(n->sid) < workers && session_id_index(n->sid) < sessions_per_worker &&
	       s->instance >= n->instance && s->instance - n->instance <= UINT16_MAX;
}

/* The new dataplane has no place for these: their clients log in again. Returns how many, or -ENOMEM. */
static int
sessions_drop(struct server *s, uint32_t workers, uint32_t sessions_per_worker)
{
	struct session **gone = calloc(s->sessions.count + 1u, sizeof(struct session *));
	uint32_t position = 0;
	struct session *n;
	int count = 0;

	if (gone == NULL)
		return -ENOMEM;
	while ((n = map_next(&s->sessions, &position)) != NULL) {
		if (!session_fits(s, n, workers, sessions_per_worker))
			gone[count++] = n;
	}
	for (int i = 0; i < count; i++)
		session_end(s, gone[i], 0, false);
	free(gone);
	return count;
}

static void
sessions_provision(struct server *s, bool again)
{
	uint32_t position = 0;
	struct session *n;

	while ((n = map_next(&s->sessions, &position)) != NULL) {
		if (again) {
			n->heard = false;
			n->resync = true;
			n->probed_ms = 0;
			if (n->pump != NULL)
				pump_reset(n->pump);
			session_provision(s, n, true);
		} else if (n->user != NULL) {
			/* What was on its way when control ended may not have been said. */
			pump_start(s, n, 0);
		}
	}
}

/* Control was killed after the commit of a new password, before it ended the sessions of the other devices. */
static void
sessions_revoke(struct server *s)
{
	uint32_t position = 0;
	struct session *n;

	while ((n = map_next(&s->sessions, &position)) != NULL) {
		if (!n->revoked)
			continue;
		session_end(s, n, CLOSE_REVOKED, true);
		position = 0; /* the map has changed */
	}
}

void
server_set_unfinished(struct server *s, bool unfinished)
{
	s->unfinished = unfinished;
}

int
server_attach(struct server *s, uint64_t boot, uint32_t workers, uint32_t sessions_per_worker)
{
	bool again = boot != s->boot || s->instance == 0;
	uint32_t position = 0;
	const struct user *u;
	int dropped, rc;
	struct cell c;

	server_detach(s);
	rc = again ? instance_next(s, boot) : 0;
	if (rc < 0)
		return rc;
	dropped = sessions_drop(s, workers, sessions_per_worker);
	rc = dropped < 0 ? dropped : slots_new(s, workers, sessions_per_worker);
	if (rc < 0)
		return rc;
	s->attached = true;
	/* A dataplane that goes on knows what the control before this one said. */
	if (!again || s->ban_count != 0)
		bans_emit(s);
	if (s->ban_count != 0)
		tables_fence(s); /* before the first session */
	if (!again || s->traces != NULL)
		traces_emit(s);
	if (!again) {
		/* The control before this one may have been killed between the commit of a changed relation and its word to the tables. */
		cell_init(&c, TABLE_VERDICT_DEL);
		emit(s, SERVER_RING_TABLE, &c);
	}
	tickets_rotate(s);
	tickets_publish(s);
	store_read_begin(s->store);
	sessions_provision(s, again || s->unfinished);
	sessions_revoke(s);
	while ((u = map_next(&s->users, &position)) != NULL)
		user_publish(s, u->id);
	store_read_end(s->store);
	s->barrier = version_next(s);
	cell_init(&c, TABLE_BARRIER);
	c.barrier.value = s->barrier;
	emit(s, SERVER_RING_TABLE, &c);
	log_info(control, again ? "provisioning a new dataplane" : "dataplane is the same as before",
		 "boot=%016llx instance=%llu workers=%u sessions=%u dropped=%d", (unsigned long long)boot,
		 (unsigned long long)s->instance, workers, s->sessions.count, dropped);
	return 0;
}

void
server_detach(struct server *s)
{
	s->attached = false;
	s->ready = false;
	s->ipc = NULL;
	backlog_clear(s);
}

bool
server_provisioned(const struct server *s, uint64_t *barrier)
{
	*barrier = s->barrier;
	return s->attached && s->backlog_total == 0;
}

void
server_set_ready(struct server *s, bool ready, const struct ipc *ipc, uint32_t dataplane_pid)
{
	s->ready = ready;
	s->ipc = ipc;
	s->dataplane_pid = dataplane_pid;
}
