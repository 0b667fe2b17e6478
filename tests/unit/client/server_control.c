/* SPDX-License-Identifier: BSD-3-Clause */
/* What control does: logins and requests. */
#include "server_internal.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static void
send_answer(struct server *s, struct session *n, const struct answer *a)
{
	size_t count = a->len == 0 ? 1 : (a->len + NOTIFY_BODY_MAX - 1) / NOTIFY_BODY_MAX;

	for (size_t i = 0; i < count; i++) {
		size_t at = i * NOTIFY_BODY_MAX,
		       len = a->len - at < NOTIFY_BODY_MAX ? a->len - at : NOTIFY_BODY_MAX;
		struct frame f = {.type = FRAME_RESPONSE, .response = {.delivery = 1, .request = a->request,
			.fragment = (uint8_t)i, .fragments = (uint8_t)count, .length = (uint16_t)len,
			.body = a->body + at}};

		flight_add(s, n, &f);
	}
}

void
respond(struct server *s, struct session *n, uint32_t request, const Rookery__Response *r)
{
	size_t len = rookery__response__get_packed_size(r);
	struct answer *a = calloc(1, sizeof(*a) + len);

	if (a == NULL)
		abort();
	a->request = request;
	a->len = rookery__response__pack(r, a->body);
	a->next = n->answers;
	n->answers = a;
	send_answer(s, n, a);
}

static void
make_full(struct server *s, struct session *n, struct device *v)
{
	for (size_t i = 0; i < SESSIONS; i++) {
		struct session *o = &s->sessions[i];

		if (o != n && o->up && o->full && o->device == v->id) {
			struct frame f = {.type = FRAME_CLOSE, .close_reason = CLOSE_REPLACED};

			send_frame(s, o, &f);
			server_session_end(s, o);
		}
	}
	n->full = true;
	n->device = v->id;
	n->user = v->user;
	n->sync_target = s->token;
}

static void
logged_in(struct server *s, struct session *n, const char *name, const char *password, bool new_account,
	  Rookery__Response *r, Rookery__LoggedIn *in)
{
	struct user *u = user_named(s, name);
	struct device *v;

	if (new_account && u != NULL) {
		r->code = ROOKERY__CODE__CODE_NAME_TAKEN;
		return;
	}
	if (!new_account && (u == NULL || strcmp(u->password, password) != 0)) {
		r->code = u == NULL ? ROOKERY__CODE__CODE_UNKNOWN_USER : ROOKERY__CODE__CODE_PASSWORD_WRONG;
		r->text = (char *)"no";
		return;
	}
	if (strlen(password) < 6) {
		r->code = ROOKERY__CODE__CODE_PASSWORD_WEAK;
		return;
	}
	if (u == NULL) {
		u = &s->users[s->n_users++];
		u->id = s->n_users;
		strcpy(u->name, name);
		strcpy(u->password, password);
	}
	v = &s->devices[s->n_devices++];
	v->id = 100 + s->n_devices;
	v->user = u->id;
	memcpy(v->key, n->device_key, sizeof(v->key));
	make_full(s, n, v);
	in->user_id = u->id;
	in->device_id = v->id;
	in->user = u->name;
	r->code = ROOKERY__CODE__CODE_OK;
	r->body_case = ROOKERY__RESPONSE__BODY_LOGGED_IN;
	r->logged_in = in;
}

static void
resolve_user(struct server *s, struct session *n, uint32_t number, const Rookery__ResolveUser *q)
{
	Rookery__Response r = ROOKERY__RESPONSE__INIT;
	Rookery__UserList list = ROOKERY__USER_LIST__INIT;
	Rookery__User user = ROOKERY__USER__INIT, *users[] = {&user};
	const struct user *u = q->user[0] != '\0' ? user_named(s, q->user) : user_by_id(s, q->user_id);

	r.code = u != NULL ? ROOKERY__CODE__CODE_OK : ROOKERY__CODE__CODE_UNKNOWN_USER;
	if (u != NULL) {
		user.user_id = u->id;
		user.name = (char *)u->name;
		list.n_users = 1;
		list.users = users;
		r.body_case = ROOKERY__RESPONSE__BODY_USERS;
		r.users = &list;
	}
	respond(s, n, number, &r);
}

/* Everybody is everybody's buddy here. */
static void
list_buddies(struct server *s, struct session *n, uint32_t number, const Rookery__ListBuddies *q)
{
	Rookery__Response r = ROOKERY__RESPONSE__INIT;
	Rookery__BuddyList list = ROOKERY__BUDDY_LIST__INIT;
	Rookery__Buddy buddies[USERS], *pointers[USERS];

	for (size_t i = 0; i < s->n_users; i++) {
		if (s->users[i].id <= q->after_user_id)
			continue;
		if (list.n_buddies == s->page) {
			list.more = 1;
			break;
		}
		rookery__buddy__init(&buddies[list.n_buddies]);
		buddies[list.n_buddies].user_id = s->users[i].id;
		buddies[list.n_buddies].name = s->users[i].name;
		buddies[list.n_buddies].state = ROOKERY__BUDDY_STATE__BUDDY_ACCEPTED;
		pointers[list.n_buddies] = &buddies[list.n_buddies];
		list.n_buddies++;
	}
	list.buddies = pointers;
	r.code = ROOKERY__CODE__CODE_OK;
	r.body_case = ROOKERY__RESPONSE__BODY_BUDDIES;
	r.buddies = &list;
	respond(s, n, number, &r);
}

/* add_buddy only tells the other side. */
static void
add_buddy(struct server *s, struct session *n, uint32_t number, const Rookery__AddBuddy *q)
{
	Rookery__Response r = ROOKERY__RESPONSE__INIT;
	Rookery__Notification note = ROOKERY__NOTIFICATION__INIT;
	Rookery__BuddyEvent e = ROOKERY__BUDDY_EVENT__INIT;
	const struct user *u = user_named(s, q->user), *from = user_by_id(s, n->user);

	e.user_id = from->id;
	e.name = (char *)from->name;
	e.state = ROOKERY__BUDDY_STATE__BUDDY_PENDING;
	e.text = q->text;
	e.version = 1;
	note.body_case = ROOKERY__NOTIFICATION__BODY_BUDDY;
	note.buddy = &e;
	for (size_t i = 0; u != NULL && i < SESSIONS; i++) {
		if (s->sessions[i].up && s->sessions[i].full && s->sessions[i].user == u->id)
			notify(s, &s->sessions[i], &note);
	}
	r.code = u != NULL ? ROOKERY__CODE__CODE_OK : ROOKERY__CODE__CODE_UNKNOWN_USER;
	respond(s, n, number, &r);
}

static void
set_presence(struct server *s, struct session *n, uint32_t number, const Rookery__SetPresence *q)
{
	static uint64_t version;
	Rookery__Response r = ROOKERY__RESPONSE__INIT;
	Rookery__Notification note = ROOKERY__NOTIFICATION__INIT;
	Rookery__Presence p = ROOKERY__PRESENCE__INIT;
	const struct user *from = user_by_id(s, n->user);

	p.user_id = from->id;
	p.name = (char *)from->name;
	p.status = q->status;
	p.text = q->text;
	p.version = ++version;
	note.body_case = ROOKERY__NOTIFICATION__BODY_PRESENCE;
	note.presence = &p;
	for (size_t i = 0; i < SESSIONS; i++) {
		if (s->sessions[i].up && s->sessions[i].full && s->sessions[i].user != n->user)
			notify(s, &s->sessions[i], &note);
	}
	r.code = ROOKERY__CODE__CODE_OK;
	respond(s, n, number, &r);
}

static void
fetch_stored(struct server *s, struct session *n, uint32_t number, const Rookery__FetchStored *q)
{
	n->fetch = number;
	n->fetch_target = s->token;
	n->held = q->n_held_id < 512 ? q->n_held_id : 512;
	memcpy(n->held_device, q->held_device, n->held * sizeof(n->held_device[0]));
	memcpy(n->held_id, q->held_id, n->held * sizeof(n->held_id[0]));
	memcpy(n->held_last, q->held_last, n->held * sizeof(n->held_last[0]));
	pump(s, n);
}

static void
serve(struct server *s, struct session *n, uint32_t number, const Rookery__Request *q)
{
	Rookery__Response r = ROOKERY__RESPONSE__INIT;
	Rookery__LoggedIn in = ROOKERY__LOGGED_IN__INIT;

	r.code = ROOKERY__CODE__CODE_OK;
	switch (q->body_case) {
	case ROOKERY__REQUEST__BODY_REGISTER:
		logged_in(s, n, q->register_->user, q->register_->password, true, &r, &in);
		break;
	case ROOKERY__REQUEST__BODY_ENROL:
		logged_in(s, n, q->enrol->user, q->enrol->password, false, &r, &in);
		break;
	default:
		if (!n->full)
			r.code = ROOKERY__CODE__CODE_NOT_LOGGED_IN;
		break;
	}
	if (n->full && q->body_case == ROOKERY__REQUEST__BODY_RESOLVE_USER)
		resolve_user(s, n, number, q->resolve_user);
	else if (n->full && q->body_case == ROOKERY__REQUEST__BODY_LIST_BUDDIES)
		list_buddies(s, n, number, q->list_buddies);
	else if (n->full && q->body_case == ROOKERY__REQUEST__BODY_ADD_BUDDY)
		add_buddy(s, n, number, q->add_buddy);
	else if (n->full && q->body_case == ROOKERY__REQUEST__BODY_SET_PRESENCE)
		set_presence(s, n, number, q->set_presence);
	else if (n->full && q->body_case == ROOKERY__REQUEST__BODY_FETCH_STORED)
		fetch_stored(s, n, number, q->fetch_stored);
	else
		respond(s, n, number, &r);
}

/* One request is put together at a time; a client that sends the fragments of another one starts over. */
void
handle_request(struct server *s, struct session *n, const struct frame_request *f)
{
	uint8_t whole[8 * REQUEST_BODY_MAX];
	Rookery__Request *q;
	size_t len = 0;

	for (struct answer *a = n->answers; a != NULL; a = a->next) {
		if (a->request == f->request) {
			send_answer(s, n, a);
			return;
		}
	}
	if (f->request == n->fetch || f->fragments > 8)
		return;
	if (n->request != f->request)
		n->have = 0;
	n->request = f->request;
	n->have |= (uint8_t)(1 << f->fragment);
	n->part_len[f->fragment] = f->length;
	memcpy(n->parts[f->fragment], f->body, f->length);
	if (n->have != (uint8_t)((1 << f->fragments) - 1))
		return;
	n->have = 0;
	for (unsigned i = 0; i < f->fragments; i++) {
		memcpy(whole + len, n->parts[i], n->part_len[i]);
		len += n->part_len[i];
	}
	q = rookery__request__unpack(NULL, len, whole);
	if (q != NULL)
		serve(s, n, f->request, q);
	rookery__request__free_unpacked(q, NULL);
}

/* ---- login ------------------------------------------------------------------------------- */

static struct session *
free_session(struct server *s)
{
	for (size_t i = 0; i < SESSIONS; i++) {
		if (!s->sessions[i].up)
			return &s->sessions[i];
	}
	abort();
}

static Rookery__LoginResult
judge(struct server *s, const struct device *v, const Rookery__LoginHello *hello, struct user **u)
{
	if (s->busy > 0) {
		s->busy--;
		return ROOKERY__LOGIN_RESULT__LOGIN_BUSY;
	}
	if (v == NULL)
		return ROOKERY__LOGIN_RESULT__LOGIN_RESTRICTED;
	*u = user_by_id(s, v->user);
	if (hello->user[0] != '\0' && strcmp(hello->user, (*u)->name) != 0)
		return ROOKERY__LOGIN_RESULT__LOGIN_WRONG_USER;
	if (hello->timestamp <= v->timestamp)
		return ROOKERY__LOGIN_RESULT__LOGIN_REPLAYED;
	return ROOKERY__LOGIN_RESULT__LOGIN_OK;
}

static void
answer_login(struct server *s, const struct endpoint *from, struct handshake_server *h,
	     const Rookery__LoginHello *hello)
{
	Rookery__LoginReply r = ROOKERY__LOGIN_REPLY__INIT;
	uint8_t payload[HANDSHAKE_PAYLOAD_MAX], out[WIRE_DATAGRAM_MAX], ephemeral[HANDSHAKE_KEY];
	struct session *n = free_session(s);
	struct session_secret secret;
	struct device *v = NULL;
	struct user *u = NULL;
	int len;

	memcpy(ephemeral, h->ephemeral, sizeof(ephemeral));
	for (size_t i = 0; i < s->n_devices; i++) {
		if (memcmp(s->devices[i].key, h->device, HANDSHAKE_KEY) == 0)
			v = &s->devices[i];
	}
	r.result = judge(s, v, hello, &u);
	r.server_time = v != NULL ? v->timestamp : 0;
	r.retry_ms = r.result == ROOKERY__LOGIN_RESULT__LOGIN_BUSY ? 700 : 0;
	memcpy(n->device_key, h->device, HANDSHAKE_KEY);
	if (r.result == ROOKERY__LOGIN_RESULT__LOGIN_OK ||
	    r.result == ROOKERY__LOGIN_RESULT__LOGIN_RESTRICTED) {
		n->up = true;
		n->sid = session_id_make(1, ++s->generation, (uint32_t)(n - s->sessions));
		n->peer = *from;
		n->heard_us = s->now_us;
		s->logins++;
		r.session_id = n->sid;
		r.heartbeat_ms = 20000;
		r.timeout_ms = 60000;
		if (v != NULL) {
			v->timestamp = hello->timestamp;
			r.user_id = v->user;
			r.device_id = v->id;
			r.last_message_id = v->last_message;
			r.user = u->name;
		}
	}
	len = handshake_server_reply(h, payload, rookery__login_reply__pack(&r, payload), out, sizeof(out),
				     &secret);
	if (len < 0)
		abort();
	if (n->up) {
		n->secret = secret;
		set_keys(n);
		memcpy(n->login_ephemeral, ephemeral, sizeof(ephemeral));
		memcpy(n->reply, out, (size_t)len);
		n->reply_len = (size_t)len;
		if (v != NULL)
			make_full(s, n, v);
	}
	if (!s->lose_reply)
		send_to(s, from, out, (size_t)len);
}

void
handle_login(struct server *s, const struct endpoint *from, const uint8_t *in, size_t len)
{
	uint8_t payload[HANDSHAKE_PAYLOAD_MAX], out[WIRE_DATAGRAM_MAX], nonce[24];
	struct handshake_server h;
	Rookery__LoginHello *hello;
	int n;

	if (!handshake_check_mac1(&s->guard, in, len))
		return;
	if (s->cookie_wait_ms > 0 || (s->cookie && !handshake_check_mac2(s->cookie_secret, from, in, len))) {
		randombytes_buf(nonce, sizeof(nonce));
		s->cookies++;
		n = handshake_write_cookie(&s->guard, s->cookie_secret, from, nonce, in, len, s->cookie_wait_ms, out);
		if (n > 0)
			send_to(s, from, out, (size_t)n);
		return;
	}
	n = handshake_server_read(&h, &s->key, in, len, payload, sizeof(payload));
	hello = n < 0 ? NULL : rookery__login_hello__unpack(NULL, (size_t)n, payload);
	if (hello == NULL)
		return;
	for (size_t i = 0; i < SESSIONS; i++) {
		struct session *o = &s->sessions[i];

		if (o->up && memcmp(o->login_ephemeral, h.ephemeral, HANDSHAKE_KEY) == 0) {
			if (!s->lose_reply)
				send_to(s, from, o->reply, o->reply_len);
			rookery__login_hello__free_unpacked(hello, NULL);
			return;
		}
	}
	answer_login(s, from, &h, hello);
	rookery__login_hello__free_unpacked(hello, NULL);
}
