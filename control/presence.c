// SPDX-License-Identifier: BSD-3-Clause
/* Who is online, and who is told. A buddy sees the best of a user's sessions, unless the user blocked the
 * buddy. */
#include "core.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Grows over restarts of control as well, as long as the clock does not go back by more than control was
 * down. */
uint64_t
version_next(struct server *s)
{
	uint64_t clock = s->wall_ms * 1000;

	s->version = s->version + 1 > clock ? s->version + 1 : clock;
	return s->version;
}

static unsigned
status_rank(uint8_t status)
{
	switch (status) {
	case ROOKERY__STATUS__STATUS_ONLINE:
		return 3;
	case ROOKERY__STATUS__STATUS_BUSY:
		return 2;
	case ROOKERY__STATUS__STATUS_AWAY:
		return 1;
	default:
		return 0;
	}
}

uint8_t
presence_visible(const struct user *u)
{
	uint8_t best = ROOKERY__STATUS__STATUS_OFFLINE;

	for (const struct session *n = u->sessions; n != NULL; n = n->user_next) {
		if (status_rank(n->status) > status_rank(best))
			best = n->status;
	}
	return best;
}

/* ---- notifications ------------------------------------------------------------------- */

static void
notify_cell(struct server *s, struct cell *c)
{
	if (c->frame.session_count == 0)
		return;
	emit(s, session_id_worker(c->frame.sids[0]), c);
	s->counters[CONTROL_notifications] += c->frame.session_count;
	c->frame.session_count = 0;
}

/* One cell carries the frame to CELL_FRAME_SESSIONS_MAX sessions of one worker. */
void
notify(struct server *s, const session_id_t *sids, uint32_t count, const Rookery__Notification *n)
{
	uint8_t body[NOTIFY_BODY_MAX];
	struct frame f = {.type = FRAME_NOTIFY, .notify = {.body = body}};
	struct cell c;
	int len;

	if (rookery__notification__get_packed_size(n) > sizeof(body))
		return;
	f.notify.length = (uint16_t)rookery__notification__pack(n, body);
	cell_init(&c, INJECT_FRAME);
	len = frame_write(&f, c.data, sizeof(c.data));
	if (len < 0)
		return;
	c.length = (uint16_t)len;
	for (uint32_t w = 0; w < s->workers; w++) {
		for (uint32_t i = 0; i < count; i++) {
			if (session_id_worker(sids[i]) != w)
				continue;
			c.frame.sids[c.frame.session_count++] = sids[i];
			if (c.frame.session_count == CELL_FRAME_SESSIONS_MAX)
				notify_cell(s, &c);
		}
		notify_cell(s, &c);
	}
}

void
presence_fill(struct server *s, Rookery__Presence *n, user_id_t id, const char *name, bool hidden)
{
	const struct user *u = hidden ? NULL : user_get(s, id);

	rookery__presence__init(n);
	n->user_id = id;
	n->name = (char *)(uintptr_t)name;
	n->status = ROOKERY__STATUS__STATUS_OFFLINE;
	n->version = version_next(s);
	if (u == NULL || u->shown == ROOKERY__STATUS__STATUS_OFFLINE)
		return;
	n->status = u->shown;
	n->text = (char *)(uintptr_t)u->shown_text;
}

void
presence_tell(struct server *s, user_id_t viewer, user_id_t of, const char *of_name, bool hidden)
{
	const struct user *v = user_get(s, viewer);
	session_id_t sids[USER_SESSIONS_MAX + 1];
	Rookery__Notification n = ROOKERY__NOTIFICATION__INIT;
	Rookery__Presence presence;
	uint32_t count = 0;

	if (v == NULL)
		return;
	for (const struct session *k = v->sessions; k != NULL && count <= USER_SESSIONS_MAX; k = k->user_next)
		sids[count++] = k->sid;
	presence_fill(s, &presence, of, of_name, hidden);
	n.body_case = ROOKERY__NOTIFICATION__BODY_PRESENCE;
	n.presence = &presence;
	notify(s, sids, count, &n);
}

struct audience {
	session_id_t *sids;
	uint32_t count, capacity;
};

static bool
audience_add(struct audience *a, const struct user *u)
{
	for (const struct session *n = u->sessions; n != NULL; n = n->user_next) {
		if (a->count == a->capacity) {
			uint32_t capacity = a->capacity == 0 ? 64 : a->capacity * 2;
			session_id_t *sids = realloc(a->sids, capacity * sizeof(*sids));

			if (sids == NULL)
				return false;
			a->sids = sids;
			a->capacity = capacity;
		}
		a->sids[a->count++] = n->sid;
	}
	return true;
}

static void
presence_broadcast(struct server *s, const struct user *u, uint8_t status, const char *text)
{
	Rookery__Notification n = ROOKERY__NOTIFICATION__INIT;
	Rookery__Presence presence = ROOKERY__PRESENCE__INIT;
	const struct store_relation *buddies;
	struct audience a = {0};
	int count = relations_read(s, u->id, &buddies);

	if (count < 0) {
		reread_add(s, REREAD_PRESENCE, u->id);
		return;
	}
	reread_drop(s, REREAD_PRESENCE, u->id); /* this is newer */
	for (int i = 0; i < count; i++) {
		bool told = buddies[i].state == ROOKERY__BUDDY_STATE__BUDDY_ACCEPTED && !buddies[i].blocked;
		const struct user *b = told ? user_get(s, buddies[i].peer) : NULL;

		if (b != NULL && !audience_add(&a, b))
			break;
	}
	presence.user_id = u->id;
	presence.name = (char *)(uintptr_t)u->name;
	presence.status = status;
	presence.text = (char *)(uintptr_t)text;
	presence.version = u->version;
	n.body_case = ROOKERY__NOTIFICATION__BODY_PRESENCE;
	n.presence = &presence;
	notify(s, a.sids, a.count, &n);
	free(a.sids);
}

void
presence_changed(struct server *s, struct user *u)
{
	uint8_t status = presence_visible(u);
	const char *text = status == ROOKERY__STATUS__STATUS_OFFLINE ? "" : u->text;

	if (status == u->shown && strcmp(text, u->shown_text) == 0)
		return;
	u->shown = status;
	snprintf(u->shown_text, sizeof(u->shown_text), "%s", text);
	u->version = version_next(s);
	presence_broadcast(s, u, status, text);
}

void
presence_gone(struct server *s, const struct user *u)
{
	struct user last = *u;

	if (u->shown == ROOKERY__STATUS__STATUS_OFFLINE)
		return;
	last.version = version_next(s);
	presence_broadcast(s, &last, ROOKERY__STATUS__STATUS_OFFLINE, "");
}

void
presence_again(struct server *s, user_id_t id)
{
	struct user gone = {.id = id, .version = version_next(s)};
	const struct user *u = user_get(s, id);
	struct store_user row;
	int rc;

	if (u != NULL) {
		presence_broadcast(s, u, u->shown, u->shown_text);
		return;
	}
	rc = store_user_by_id(s->store, id, &row);
	if (rc == -ENOENT)
		return;
	if (rc < 0) {
		reread_add(s, REREAD_PRESENCE, id);
		return;
	}
	memcpy(gone.name, row.name, sizeof(gone.name));
	explicit_bzero(row.hash, sizeof(row.hash));
	presence_broadcast(s, &gone, ROOKERY__STATUS__STATUS_OFFLINE, "");
}

/* ---- SetPresence --------------------------------------------------------------------- */

struct presence_effect {
	session_id_t sid;
	uint8_t status;
	char text[STORE_TEXT_MAX + 1];
};

static void
presence_apply(struct server *s, void *data)
{
	struct presence_effect *e = data;
	struct session *n = session_get(s, e->sid);

	if (n == NULL || n->user == NULL)
		return;
	n->status = e->status;
	memcpy(n->user->text, e->text, sizeof(n->user->text));
	presence_changed(s, n->user);
}

int
presence_set(struct server *s, const struct request *r, const Rookery__SetPresence *b)
{
	struct presence_effect e = {.sid = r->sid, .status = (uint8_t)b->status};
	int rc;

	if (b->status < ROOKERY__STATUS__STATUS_ONLINE || b->status > ROOKERY__STATUS__STATUS_INVISIBLE ||
	    !text_clean(e.text, b->text, STORE_TEXT_MAX)) {
		respond_code(
			s, r->sid, r->number, ROOKERY__CODE__CODE_MALFORMED,
			"status is online, away, busy or invisible; the text at most 256 bytes of UTF-8");
		return 0;
	}
	if (!limit_request(s, LIMIT_PRESENCE, r))
		return 0;
	rc = store_session_status(s->store, r->sid, e.status);
	if (rc == 0)
		rc = store_user_set_text(s->store, r->user->id, e.text);
	if (rc < 0)
		return rc;
	effect_add(s, presence_apply, NULL, &e, sizeof(e));
	respond_code(s, r->sid, r->number, ROOKERY__CODE__CODE_OK, "");
	return 0;
}
