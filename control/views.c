// SPDX-License-Identifier: BSD-3-Clause
/* Lists for the admin API: users, devices, sessions, buddies, presence. */
#include "core.h"

#include <stdlib.h>
#include <string.h>

/* ---- users --------------------------------------------------------------------------- */

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
		.disabled = row->user.hash[0] == '!',
		.presence = status_name(u == NULL ? ROOKERY__STATUS__STATUS_OFFLINE : u->shown),
		.presence_text = u == NULL ? "" : u->shown_text,
	};
}

int
server_users_list(struct server *s, const char *prefix, uint64_t offset, uint64_t limit, server_user_fn cb,
		  void *arg)
{
	struct store_user_info *rows;
	char folded[STORE_NAME_MAX + 1] = "";
	bool more = true;
	int seen = 0;

	/* What begins no name finds none. */
	if (prefix != NULL && !name_fold(folded, prefix))
		return 0;
	while (more && (limit == 0 || (uint64_t)seen < limit)) {
		uint64_t want = limit == 0 || limit - (uint64_t)seen > USERS_PAGE ? USERS_PAGE
										  : limit - (uint64_t)seen;
		int count = store_users(s->store, folded, offset + (uint64_t)seen, (uint32_t)want, &rows);

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

/* The account of that name, or -ENOENT. */
static int
user_find(struct server *s, const char *name, struct store_user *u)
{
	char folded[STORE_NAME_MAX + 1];

	return name_fold(folded, name) ? store_user_by_name(s->store, folded, u) : -ENOENT;
}

int
server_user_show(struct server *s, const char *name, server_user_fn user, server_device_fn device, void *arg)
{
	struct store_user_info *rows;
	struct store_device *devices;
	struct server_user info;
	struct store_user u;
	int count, rc = user_find(s, name, &u);

	if (rc < 0)
		return rc;
	/* Of all names that begin with it, its own is the first. */
	rc = store_users(s->store, u.name, 0, 1, &rows);
	if (rc < 0)
		return rc;
	user_info(s, rows, &info);
	user(arg, &info);
	free(rows);
	count = store_devices(s->store, u.id, &devices);
	for (int i = 0; i < count; i++) {
		const struct session *n = map_get(&s->devices, devices[i].id);
		struct server_device d = {
			.id = devices[i].id,
			.name = devices[i].name,
			.last_seen_ms = n != NULL ? s->wall_ms : devices[i].last_seen_ms,
			.stored = devices[i].messages,
			.sid = n != NULL ? n->sid : SESSION_ID_NONE,
		};

		if (!device(arg, &d))
			break;
	}
	if (count < 0)
		return count;
	free(devices);
	return 0;
}

/* ---- sessions ------------------------------------------------------------------------ */

static int
session_order(const void *a, const void *b)
{
	const struct session *x = *(struct session *const *)a, *y = *(struct session *const *)b;

	if (x->login_ms != y->login_ms)
		return x->login_ms < y->login_ms ? -1 : 1;
	return x->sid < y->sid ? -1 : x->sid > y->sid;
}

static const char *
session_status(const struct session *n)
{
	return n->user == NULL ? "restricted" : status_name(n->status);
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
		.status = session_status(n),
		.worker = session_id_worker(n->sid),
		.epoch = session_epoch(s, n),
		.port = n->port,
		.peer = n->peer,
		.since_ms = n->login_ms,
		.heard = n->heard,
		.outstanding = pump_outstanding(n->pump),
	};
}

static bool
session_matches(const struct session *n, const struct server_session_filter *f, const char *name)
{
	if (f->sid != SESSION_ID_NONE && n->sid != f->sid)
		return false;
	if (f->name != NULL && (n->user == NULL || strcmp(n->user->name, name) != 0))
		return false;
	if (f->worker >= 0 && session_id_worker(n->sid) != (uint32_t)f->worker)
		return false;
	if (f->status != NULL && strcmp(session_status(n), f->status) != 0)
		return false;
	return !f->by_address || prefix_holds(&f->address, n->peer.ip);
}

/* Oldest first, so that pages fit together. */
int
server_sessions_list(struct server *s, const struct server_session_filter *f, uint64_t offset, uint64_t limit,
		     server_session_fn cb, void *arg)
{
	struct session **all = calloc(s->sessions.count + 1u, sizeof(struct session *));
	char folded[STORE_NAME_MAX + 1] = "";
	uint32_t position = 0, count = 0;
	struct session *n;
	int seen = 0;

	if (all == NULL)
		return -ENOMEM;
	if (f->name != NULL)
		name_fold(folded, f->name);
	while ((n = map_next(&s->sessions, &position)) != NULL) {
		if (session_matches(n, f, folded))
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

/* ---- buddies and presence -------------------------------------------------------------- */

static const char *
relation_name(uint8_t state)
{
	switch (state) {
	case ROOKERY__BUDDY_STATE__BUDDY_REQUESTED:
		return "requested";
	case ROOKERY__BUDDY_STATE__BUDDY_PENDING:
		return "pending";
	case ROOKERY__BUDDY_STATE__BUDDY_ACCEPTED:
		return "buddy";
	default:
		return "none";
	}
}

#define RELATIONS_PAGE 256

int
server_buddies_show(struct server *s, const char *name, server_buddy_fn cb, void *arg)
{
	struct store_relation *rows;
	struct store_user u;
	user_id_t after = 0;
	int count, rc = user_find(s, name, &u);

	if (rc < 0)
		return rc;
	do {
		count = store_relations(s->store, u.id, after, 0, RELATIONS_PAGE, &rows);
		for (int i = 0; i < count; i++) {
			const struct user *peer = user_get(s, rows[i].peer);
			struct server_buddy b = {
				.id = rows[i].peer,
				.name = rows[i].peer_name,
				.state = relation_name(rows[i].state),
				.blocked = rows[i].blocked,
				.blocked_by = rows[i].peer_blocked,
				.presence = status_name(peer == NULL ? ROOKERY__STATUS__STATUS_OFFLINE
								     : peer->shown),
			};

			after = rows[i].peer;
			if (!cb(arg, &b)) {
				free(rows);
				return 0;
			}
		}
		if (count >= 0)
			free(rows);
	} while (count == RELATIONS_PAGE);
	return count < 0 ? count : 0;
}

static int
user_order(const void *a, const void *b)
{
	return strcmp((*(struct user *const *)a)->name, (*(struct user *const *)b)->name);
}

int
server_presence_list(struct server *s, uint64_t offset, uint64_t limit, server_presence_fn cb, void *arg)
{
	struct user **all = calloc(s->users.count + 1u, sizeof(struct user *));
	uint32_t position = 0, count = 0;
	struct user *u;
	int seen = 0;

	if (all == NULL)
		return -ENOMEM;
	while ((u = map_next(&s->users, &position)) != NULL)
		all[count++] = u;
	qsort(all, count, sizeof(struct user *), user_order);
	for (uint64_t i = offset; i < count && (limit == 0 || i - offset < limit); i++) {
		struct server_presence p = {
			.user = all[i]->id,
			.name = all[i]->name,
			.shown = status_name(all[i]->shown),
			.text = all[i]->shown_text,
			.sessions = all[i]->session_count,
		};

		seen++;
		if (!cb(arg, &p))
			break;
	}
	free(all);
	return seen;
}
