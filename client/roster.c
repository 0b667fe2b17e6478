/* SPDX-License-Identifier: BSD-3-Clause */
/* Names and ids, and what the server says about people: responses and notifications. */
#include "core.h"

#include <stdlib.h>
#include <string.h>

bool
name_valid(const char *name)
{
	size_t len = name != NULL ? strnlen(name, RK_NAME_MAX + 1) : 0;

	if (len == 0 || len > RK_NAME_MAX || name[0] < 'a' || name[0] > 'z')
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

/* ---- who is who -------------------------------------------------------------------------- */

void
roster_free(struct rk_client *c)
{
	free(c->roster.peers);
}

/* Version numbers are compared within one session only: the server may have been set up anew between two. */
void
roster_session(struct rk_client *c)
{
	for (size_t i = 0; i < c->roster.n; i++)
		c->roster.peers[i].presence_version = c->roster.peers[i].buddy_version = 0;
}

static struct peer *
peer_of(struct rk_client *c, user_id_t user)
{
	for (size_t i = 0; i < c->roster.n; i++) {
		if (c->roster.peers[i].user == user)
			return &c->roster.peers[i];
	}
	return NULL;
}

static struct peer *
peer_add(struct rk_client *c, user_id_t user, const char *name)
{
	struct roster *r = &c->roster;
	struct peer *p;

	if (r->n == r->cap) {
		size_t cap = r->cap > 0 ? 2 * r->cap : 32;

		p = realloc(r->peers, cap * sizeof(*p));
		if (p == NULL)
			return NULL;
		r->peers = p;
		r->cap = cap;
	}
	p = &r->peers[r->n++];
	memset(p, 0, sizeof(*p));
	p->user = user;
	strcpy(p->name, name);
	return p;
}

void
roster_learn(struct rk_client *c, user_id_t user, const char *name)
{
	struct peer *p = peer_of(c, user);

	if (user == 0 || !name_valid(name) || (p != NULL && strcmp(p->name, name) == 0))
		return;
	/* Only a cache: what cannot be stored is asked for again. */
	c->store->name_put(c->store->state, user, name);
	if (p != NULL)
		strcpy(p->name, name);
	else if (peer_add(c, user, name) == NULL)
		return;
	inbox_named(c, user);
}

const char *
roster_name(struct rk_client *c, user_id_t user)
{
	Rookery__Request q = ROOKERY__REQUEST__INIT;
	Rookery__ResolveUser resolve = ROOKERY__RESOLVE_USER__INIT;
	struct peer *p = peer_of(c, user);
	char name[RK_NAME_MAX + 1];
	struct request *r;

	if (p == NULL && c->store->name_get(c->store->state, user, name) == 0)
		p = peer_add(c, user, name);
	if (p != NULL)
		return p->name;
	for (r = c->requests.first; r != NULL; r = r->next) {
		if (r->kind == REQUEST_USER && r->user == user)
			return NULL;
	}
	resolve.user_id = user;
	q.body_case = ROOKERY__REQUEST__BODY_RESOLVE_USER;
	q.resolve_user = &resolve;
	r = request_new(c, REQUEST_USER, &q);
	if (r != NULL)
		r->user = user;
	return NULL;
}

user_id_t
roster_user(struct rk_client *c, const char *name)
{
	user_id_t user = 0;

	for (size_t i = 0; i < c->roster.n; i++) {
		if (strcmp(c->roster.peers[i].name, name) == 0)
			return c->roster.peers[i].user;
	}
	c->store->name_find(c->store->state, name, &user);
	return user;
}

void
roster_unlearn(struct rk_client *c, const char *name)
{
	struct roster *r = &c->roster;

	for (size_t i = 0; i < r->n; i++) {
		if (strcmp(r->peers[i].name, name) == 0) {
			r->peers[i] = r->peers[--r->n];
			break;
		}
	}
	c->store->name_put(c->store->state, 0, name);
}

/* ---- notifications ----------------------------------------------------------------------- */

static void
notify_presence(struct rk_client *c, const Rookery__Presence *n)
{
	struct peer *p;
	struct event *e;

	roster_learn(c, n->user_id, n->name);
	p = peer_of(c, n->user_id);
	if (p == NULL)
		return;
	/* A later change may overtake an earlier one. */
	if (n->version != 0 && n->version <= p->presence_version)
		return;
	p->presence_version = n->version;
	outbox_reachable(c, n->user_id);
	e = event_new(RK_EVENT_PRESENCE);
	if (e == NULL)
		return;
	e->e.presence = (struct rk_event_presence){.user_id = n->user_id,
						   .name = event_text(e, n->name),
						   .status = (enum rk_status)n->status,
						   .text = event_text(e, n->text)};
	event_push(c, e);
}

static void
notify_buddy(struct rk_client *c, const Rookery__BuddyEvent *n)
{
	struct peer *p;
	struct event *e;

	roster_learn(c, n->user_id, n->name);
	p = peer_of(c, n->user_id);
	if (p == NULL || (n->version != 0 && n->version <= p->buddy_version))
		return;
	p->buddy_version = n->version;
	outbox_reachable(c, n->user_id);
	e = event_new(n->state == ROOKERY__BUDDY_STATE__BUDDY_PENDING ? RK_EVENT_BUDDY_REQUEST
								      : RK_EVENT_BUDDY);
	if (e == NULL)
		return;
	e->e.buddy = (struct rk_event_buddy){.user_id = n->user_id,
					     .name = event_text(e, n->name),
					     .state = (enum rk_buddy_state)n->state,
					     .text = event_text(e, n->text)};
	event_push(c, e);
}

void
roster_notify(struct rk_client *c, const uint8_t *body, size_t len)
{
	Rookery__Notification *n = rookery__notification__unpack(NULL, len, body);
	struct event *e;

	if (n == NULL)
		return;
	switch (n->body_case) {
	case ROOKERY__NOTIFICATION__BODY_PRESENCE:
		notify_presence(c, n->presence);
		break;
	case ROOKERY__NOTIFICATION__BODY_BUDDY:
		notify_buddy(c, n->buddy);
		break;
	case ROOKERY__NOTIFICATION__BODY_SYNCED:
		e = event_new(RK_EVENT_SYNCED);
		if (e != NULL)
			e->e.synced = n->synced->delivered;
		event_push(c, e);
		break;
	case ROOKERY__NOTIFICATION__BODY_TICKET:
		resume_welcome(c, n->ticket);
		break;
	default:
		break; /* of a later version */
	}
	rookery__notification__free_unpacked(n, NULL);
}

/* ---- responses --------------------------------------------------------------------------- */

static void
fill_buddy(struct event *e, struct rk_buddy *to, const Rookery__Buddy *from)
{
	*to = (struct rk_buddy){.user_id = from->user_id,
				.name = event_text(e, from->name),
				.state = (enum rk_buddy_state)from->state,
				.blocked = from->blocked,
				.group = event_text(e, from->group),
				.remark = event_text(e, from->remark),
				.status = (enum rk_status)from->status,
				.status_text = event_text(e, from->status_text),
				.request_text = event_text(e, from->request_text)};
}

static bool
add_buddies(struct request *q, struct event *e, Rookery__Buddy *const *list, size_t n)
{
	struct rk_event_response *to = &e->e.response;

	if (to->buddies + n > q->gathered_cap) {
		size_t cap = 2 * (to->buddies + n);
		struct rk_buddy *grown = event_alloc(e, cap * sizeof(*grown));

		if (grown == NULL)
			return false;
		if (to->buddies > 0)
			memcpy(grown, to->buddy, to->buddies * sizeof(*grown));
		to->buddy = grown;
		q->gathered_cap = cap;
	}
	for (size_t i = 0; i < n; i++)
		fill_buddy(e, (struct rk_buddy *)&to->buddy[to->buddies++], list[i]);
	return true;
}

static void
add_users(struct event *e, const Rookery__UserList *list)
{
	struct rk_user *u = event_alloc(e, list->n_users * sizeof(*u));

	if (u == NULL)
		return;
	for (size_t i = 0; i < list->n_users; i++)
		u[i] = (struct rk_user){.user_id = list->users[i]->user_id,
					.name = event_text(e, list->users[i]->name)};
	e->e.response.user = u;
	e->e.response.users = list->n_users;
}

static void
finish_response(struct rk_client *c, struct request *q, struct event *e, const Rookery__Response *r)
{
	struct rk_event_response *to = &e->e.response;

	to->request = q->handle;
	to->code = r->code != 0 ? (enum rk_code)r->code : RK_CODE_INTERNAL;
	to->name = rk_code_name(to->code);
	to->text = event_text(e, r->text);
	to->retry_ms = r->retry_ms;
	event_push(c, e);
}

static bool
application_response(struct rk_client *c, struct request *q, const Rookery__Response *r)
{
	struct event *e = event_new(RK_EVENT_RESPONSE);

	if (e == NULL)
		return false;
	if (r->body_case == ROOKERY__RESPONSE__BODY_USERS) {
		for (size_t i = 0; i < r->users->n_users; i++)
			roster_learn(c, r->users->users[i]->user_id, r->users->users[i]->name);
		add_users(e, r->users);
	} else if (r->body_case == ROOKERY__RESPONSE__BODY_BUDDY) {
		roster_learn(c, r->buddy->user_id, r->buddy->name);
		outbox_reachable(c, r->buddy->user_id);
		add_buddies(q, e, &r->buddy, 1);
	}
	finish_response(c, q, e, r);
	return true;
}

static bool
next_page(struct rk_client *c, struct request *q, user_id_t after)
{
	Rookery__Request body = ROOKERY__REQUEST__INIT;
	Rookery__ListBuddies list = ROOKERY__LIST_BUDDIES__INIT;
	struct request *next;

	list.after_user_id = after;
	body.body_case = ROOKERY__REQUEST__BODY_LIST_BUDDIES;
	body.list_buddies = &list;
	next = request_new(c, REQUEST_LIST, &body);
	if (next == NULL)
		return false;
	next->handle = q->handle;
	next->gathered = q->gathered;
	next->gathered_cap = q->gathered_cap;
	/* The page that is done does not count any more; its request is removed by the caller. */
	q->handle = 0;
	q->gathered = NULL;
	return true;
}

static bool
list_response(struct rk_client *c, struct request *q, const Rookery__Response *r)
{
	bool good = r->code == ROOKERY__CODE__CODE_OK && r->body_case == ROOKERY__RESPONSE__BODY_BUDDIES;
	struct event *e;
	user_id_t after = 0;

	if (!good)
		return application_response(c, q, r);
	if (q->gathered == NULL)
		q->gathered = event_new(RK_EVENT_BUDDIES);
	e = q->gathered;
	if (e == NULL || !add_buddies(q, e, r->buddies->buddies, r->buddies->n_buddies))
		return false;
	for (size_t i = 0; i < r->buddies->n_buddies; i++) {
		roster_learn(c, r->buddies->buddies[i]->user_id, r->buddies->buddies[i]->name);
		after = r->buddies->buddies[i]->user_id;
	}
	if (r->buddies->more && r->buddies->n_buddies > 0)
		return next_page(c, q, after);
	q->gathered = NULL;
	finish_response(c, q, e, r);
	return true;
}

static void
name_response(struct rk_client *c, struct request *q, const Rookery__Response *r)
{
	if (r->code == ROOKERY__CODE__CODE_OK && r->body_case == ROOKERY__RESPONSE__BODY_USERS) {
		for (size_t i = 0; i < r->users->n_users; i++) {
			const Rookery__User *u = r->users->users[i];

			if (u->user_id == 0 || strcmp(u->name, q->name) != 0)
				continue;
			roster_learn(c, u->user_id, u->name);
			outbox_resolved(c, q->name, u->user_id);
			return;
		}
	}
	outbox_resolved(c, q->name, 0);
}

static void
user_response(struct rk_client *c, struct request *q, const Rookery__Response *r)
{
	char name[RK_NAME_MAX + 1] = "user-";
	user_id_t user = q->user;
	char *digit = name + RK_NAME_MAX;

	if (r->code == ROOKERY__CODE__CODE_OK && r->body_case == ROOKERY__RESPONSE__BODY_USERS) {
		for (size_t i = 0; i < r->users->n_users; i++) {
			if (r->users->users[i]->user_id == user && name_valid(r->users->users[i]->name)) {
				roster_learn(c, user, r->users->users[i]->name);
				return;
			}
		}
	}
	/* An account that is gone by now: its message is shown all the same. */
	do
		*--digit = (char)('0' + user % 10);
	while ((user /= 10) > 0);
	memmove(name + 5, digit, (size_t)(name + RK_NAME_MAX + 1 - digit));
	if (peer_of(c, q->user) == NULL)
		peer_add(c, q->user, name);
	inbox_named(c, q->user);
}

bool
roster_response(struct rk_client *c, struct request *q, const Rookery__Response *r)
{
	switch (q->kind) {
	case REQUEST_APPLICATION:
		return application_response(c, q, r);
	case REQUEST_LIST:
		return list_response(c, q, r);
	case REQUEST_CREDENTIAL:
		login_enrolled(c, r);
		return true;
	case REQUEST_NAME:
		name_response(c, q, r);
		return true;
	case REQUEST_USER:
		user_response(c, q, r);
		return true;
	case REQUEST_TICKET:
		resume_response(c, r);
		return true;
	case REQUEST_FETCH: /* complete() of request.c sees to it */
		return true;
	}
	return true;
}

const char *
roster_check(const struct rk_client *c)
{
	const struct roster *r = &c->roster;

	if (r->n > r->cap)
		return "roster: longer than its array";
	for (size_t i = 0; i < r->n; i++) {
		if (r->peers[i].user == 0 || !name_valid(r->peers[i].name))
			return "roster: a peer without id or name";
	}
	return NULL;
}
