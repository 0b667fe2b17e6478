// SPDX-License-Identifier: BSD-3-Clause
/* What the admin API reads: status, lists, counters. */
#include "core.h"

#include "shared/counters.h"
#include "shared/ipc.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const control_counter_name[] = {
#define CONTROL_NAME(name, text) #name,
	CONTROL_COUNTERS(CONTROL_NAME)
#undef CONTROL_NAME
};

static const char *const control_counter_text[] = {
#define CONTROL_TEXT(name, text) text,
	CONTROL_COUNTERS(CONTROL_TEXT)
#undef CONTROL_TEXT
};

static void
ring_fill(struct server_ring_fill *f, const struct ipc *ipc, enum ipc_ring kind, uint32_t worker,
	  uint64_t backlog)
{
	const struct cell_ring *r = ipc_ring(ipc, kind, worker);

	f->used = ring_used(r);
	f->capacity = ring_capacity(r);
	f->backlog = (uint32_t)backlog;
}

void
server_status(struct server *s, struct server_status *out)
{
	struct store_counts counts;

	memset(out, 0, sizeof(*out));
	out->version = ROOKERY_VERSION;
	out->uptime_ms = s->now_ms - s->started_ms;
	out->ready = s->ready;
	out->dataplane_connected = s->attached && s->ipc != NULL;
	out->boot = s->boot;
	out->instance = s->instance;
	out->dataplane_pid = s->dataplane_pid;
	out->workers = s->attached ? s->workers : 0;
	out->sessions_per_worker = s->attached ? s->sessions_per_worker : 0;
	out->sessions = s->sessions.count - s->restricted_count;
	out->sessions_restricted = s->restricted_count;
	out->users_online = s->users.count;
	out->store_ok = s->store_ok;
	snprintf(out->store_error, sizeof(out->store_error), "%s", s->store_error);
	if (store_counts(s->store, &counts) == 0) {
		out->users = counts.users;
		out->devices = counts.devices;
		out->stored_messages = counts.messages;
	} else if (out->store_ok) {
		out->store_ok = false;
		snprintf(out->store_error, sizeof(out->store_error), "%.*s",
			 (int)sizeof(out->store_error) - 1, store_error(s->store));
	}
	sodium_bin2hex(out->server_key, sizeof(out->server_key), s->key.public, sizeof(s->key.public));
	if (s->ipc == NULL || !s->attached)
		return;
	ring_fill(&out->table, s->ipc, IPC_TABLE, 0, s->backlog[SERVER_RING_TABLE].count);
	for (uint32_t w = 0; w < s->workers; w++) {
		ring_fill(&out->rings[w].event, s->ipc, IPC_EVENT, w, 0);
		ring_fill(&out->rings[w].request, s->ipc, IPC_REQUEST, w, 0);
		ring_fill(&out->rings[w].login, s->ipc, IPC_LOGIN, w, 0);
		ring_fill(&out->rings[w].inject, s->ipc, IPC_INJECT, w, s->backlog[w].count);
	}
}

#define USERS_PAGE 256

static void
user_info(const struct server *s, const struct store_user_info *row, struct server_user *out)
{
	const struct user *u = user_get(s, row->user.id);

	*out = (struct server_user){
		.id = row->user.id,
		.name = row->user.name,
		.created_ms = row->user.created_ms,
		.last_seen_ms = u != NULL ? s->wall_ms : row->last_seen_ms,
		.devices = row->devices,
		.sessions = u == NULL ? 0 : u->session_count,
		.buddies = row->buddies,
		.stored = row->messages,
		.presence = status_name(u == NULL ? ROOKERY__STATUS__STATUS_OFFLINE : u->shown),
		.presence_text = u == NULL ? "" : u->shown_text,
	};
}

int
server_users_list(struct server *s, uint64_t offset, uint64_t limit, server_user_fn cb, void *arg)
{
	struct store_user_info *rows;
	bool more = true;
	int seen = 0;

	while (more && (limit == 0 || (uint64_t)seen < limit)) {
		uint64_t want = limit == 0 || limit - (uint64_t)seen > USERS_PAGE ? USERS_PAGE
										  : limit - (uint64_t)seen;
		int count = store_users(s->store, offset + (uint64_t)seen, (uint32_t)want, &rows);

		if (count < 0)
			return count;
		more = (uint64_t)count == want;
		for (int i = 0; i < count; i++) {
			struct server_user info;

			user_info(s, &rows[i], &info);
			seen++;
			if (!cb(arg, &info)) {
				more = false;
				break;
			}
		}
		free(rows);
	}
	return seen;
}

static int
session_order(const void *a, const void *b)
{
	const struct session *x = *(struct session *const *)a, *y = *(struct session *const *)b;

	if (x->login_ms != y->login_ms)
		return x->login_ms < y->login_ms ? -1 : 1;
	return x->sid < y->sid ? -1 : x->sid > y->sid;
}

static void
session_info(const struct server *s, const struct session *n, struct server_session *out)
{
	*out = (struct server_session){
		.sid = n->sid,
		.user = n->user == NULL ? 0 : n->user->id,
		.device = n->device,
		.name = n->user == NULL ? "" : n->user->name,
		.device_name = n->device_name,
		.status = n->user == NULL ? "restricted" : status_name(n->status),
		.worker = session_id_worker(n->sid),
		.epoch = session_epoch(s, n),
		.port = n->port,
		.peer = n->peer,
		.since_ms = n->login_ms,
		.heard = n->heard,
		.outstanding = pump_outstanding(n->pump),
	};
}

/* Oldest first, so that pages fit together. */
int
server_sessions_list(struct server *s, const char *name, uint64_t offset, uint64_t limit,
		     server_session_fn cb, void *arg)
{
	struct session **all = calloc(s->sessions.count + 1u, sizeof(struct session *));
	char folded[STORE_NAME_MAX + 1] = "";
	uint32_t position = 0, count = 0;
	struct session *n;
	int seen = 0;

	if (all == NULL)
		return -ENOMEM;
	if (name != NULL)
		name_fold(folded, name);
	while ((n = map_next(&s->sessions, &position)) != NULL) {
		if (name == NULL || (n->user != NULL && strcmp(n->user->name, folded) == 0))
			all[count++] = n;
	}
	qsort(all, count, sizeof(struct session *), session_order);
	for (uint64_t i = offset; i < count && (limit == 0 || i - offset < limit); i++) {
		struct server_session info;

		session_info(s, all[i], &info);
		seen++;
		if (!cb(arg, &info))
			break;
	}
	free(all);
	return seen;
}

static bool
stats_worker(const struct ipc *ipc, uint32_t worker, bool housekeeping, server_counter_fn cb, void *arg)
{
	struct ipc_worker_stats *stats = ipc_stats(ipc, worker);

	for (unsigned i = 0; i < COUNTER_COUNT; i++) {
		struct server_counter c = {
			.scope = housekeeping ? "housekeeping" : "worker",
			.worker = housekeeping ? 0 : worker,
			.name = counter_info[i].name,
			.text = counter_info[i].text,
			.value = atomic_load_explicit(&stats->counter[i], memory_order_relaxed),
			.drop = counter_info[i].is_drop,
		};

		if (!cb(arg, &c))
			return false;
	}
	return true;
}

int
server_stats(struct server *s, server_counter_fn cb, void *arg)
{
	bool connected = s->attached && s->ipc != NULL;

	for (unsigned i = 0; i < CONTROL_COUNTER_COUNT; i++) {
		struct server_counter c = {
			.scope = "control",
			.name = control_counter_name[i],
			.text = control_counter_text[i],
			.value = s->counters[i],
		};

		if (!cb(arg, &c))
			return 0;
	}
	if (!connected)
		return -ENOTCONN;
	for (uint32_t w = 0; w <= s->workers; w++) {
		if (!stats_worker(s->ipc, w, w == s->workers, cb, arg))
			break;
	}
	return 0;
}
