// SPDX-License-Identifier: BSD-3-Clause
/*
 * REQUEST frames: reassembly, dispatch, and the memory of the last answers, so that a request that is sent
 * again is answered again instead of done again.
 */
#include "core.h"

#include "shared/log.h"

#include <stdlib.h>
#include <string.h>

#define PARTIALS 2 /* requests whose fragments are being collected, per session */
#define RESPONSE_MAX 32768
#define RESPONSE_FRAGMENT_MAX 1100

struct cached {
	bool used;
	uint32_t number;
	uint32_t length;
	uint8_t *bytes; /* NULL: in work */
};

struct partial {
	uint32_t number;
	uint8_t fragments; /* 0: free */
	uint8_t have;      /* bit per fragment */
	uint16_t length[REQUEST_FRAGMENTS_MAX];
	uint8_t *bytes[REQUEST_FRAGMENTS_MAX];
};

struct requests {
	struct cached cache[REQUEST_CACHE];
	uint32_t next;
	struct partial partials[PARTIALS];
	uint32_t partial_next;
};

/* ---- memory ------------------------------------------------------------------------- */

static void
partial_clear(struct partial *p)
{
	for (unsigned i = 0; i < REQUEST_FRAGMENTS_MAX; i++) {
		/* Passwords may be in here. */
		if (p->bytes[i] != NULL)
			explicit_bzero(p->bytes[i], p->length[i]);
		free(p->bytes[i]);
	}
	memset(p, 0, sizeof(*p));
}

void
requests_free(struct requests *r)
{
	if (r == NULL)
		return;
	for (unsigned i = 0; i < REQUEST_CACHE; i++)
		free(r->cache[i].bytes);
	for (unsigned i = 0; i < PARTIALS; i++)
		partial_clear(&r->partials[i]);
	free(r);
}

static struct requests *
requests_get(struct session *n)
{
	if (n->requests == NULL)
		n->requests = calloc(1, sizeof(*n->requests));
	return n->requests;
}

static struct cached *
cache_find(struct requests *r, uint32_t number)
{
	for (unsigned i = 0; r != NULL && i < REQUEST_CACHE; i++) {
		if (r->cache[i].used && r->cache[i].number == number)
			return &r->cache[i];
	}
	return NULL;
}

static struct cached *
cache_enter(struct session *n, uint32_t number)
{
	struct requests *r = requests_get(n);
	struct cached *k = cache_find(r, number);

	if (r == NULL || k != NULL)
		return k;
	/* The oldest that is not in work; if all are, the oldest. */
	for (unsigned i = 0; i < REQUEST_CACHE; i++) {
		k = &r->cache[(r->next + i) % REQUEST_CACHE];
		if (!k->used || k->bytes != NULL)
			break;
	}
	r->next = (uint32_t)(k - r->cache + 1) % REQUEST_CACHE;
	free(k->bytes);
	*k = (struct cached){.used = true, .number = number};
	return k;
}

bool
request_mark(struct server *s, struct session *n, uint32_t number)
{
	if (cache_find(n->requests, number) != NULL) {
		COUNT(s, requests_repeated);
		return false;
	}
	cache_enter(n, number);
	return true;
}

/* ---- answers ------------------------------------------------------------------------ */

static void
response_send(struct server *s, session_id_t sid, uint32_t number, const uint8_t *bytes, uint32_t length)
{
	uint32_t fragments = length == 0 ? 1 : (length + RESPONSE_FRAGMENT_MAX - 1) / RESPONSE_FRAGMENT_MAX;

	for (uint32_t i = 0; i < fragments; i++) {
		uint32_t at = i * RESPONSE_FRAGMENT_MAX;
		uint32_t left = length - at;
		struct frame f = {
			.type = FRAME_RESPONSE,
			.response =
				{
					.request = number,
					.fragment = (uint8_t)i,
					.fragments = (uint8_t)fragments,
					.length = (uint16_t)(left < RESPONSE_FRAGMENT_MAX
								     ? left
								     : RESPONSE_FRAGMENT_MAX),
					.body = bytes + at,
				},
		};

		emit_frame(s, sid, 0, &f);
	}
}

struct respond_effect {
	session_id_t sid;
	uint32_t number;
	uint32_t length;
	uint8_t *bytes; /* owned */
};

static void
respond_run(struct server *s, void *data)
{
	struct respond_effect *e = data;
	struct session *n = session_get(s, e->sid);
	struct cached *k;

	if (n == NULL) {
		free(e->bytes);
		return;
	}
	response_send(s, e->sid, e->number, e->bytes, e->length);
	k = cache_enter(n, e->number);
	if (k == NULL) {
		free(e->bytes);
		return;
	}
	free(k->bytes);
	k->bytes = e->bytes;
	k->length = e->length;
	for (unsigned i = 0; i < PARTIALS; i++) {
		if (n->requests->partials[i].number == e->number)
			partial_clear(&n->requests->partials[i]);
	}
}

static void
respond_undo(struct server *s, void *data)
{
	struct respond_effect *e = data;

	(void)s;
	free(e->bytes);
}

void
respond(struct server *s, session_id_t sid, uint32_t number, const Rookery__Response *response)
{
	size_t size = rookery__response__get_packed_size(response);
	struct respond_effect e = {.sid = sid, .number = number};

	if (size > RESPONSE_MAX) {
		respond_code(s, sid, number, ROOKERY__CODE__CODE_INTERNAL, "the answer is too large");
		return;
	}
	e.bytes = malloc(size + 1);
	if (e.bytes == NULL)
		return;
	e.length = (uint32_t)rookery__response__pack(response, e.bytes);
	effect_add(s, respond_run, respond_undo, &e, sizeof(e));
}

void
respond_code(struct server *s, session_id_t sid, uint32_t number, Rookery__Code code, const char *text)
{
	Rookery__Response r = ROOKERY__RESPONSE__INIT;

	r.code = code;
	r.text = (char *)(uintptr_t)text;
	if (code == ROOKERY__CODE__CODE_SLOW_DOWN || code == ROOKERY__CODE__CODE_STORE_UNAVAILABLE)
		r.retry_ms = 2000;
	respond(s, sid, number, &r);
}

void
respond_slow(struct server *s, session_id_t sid, uint32_t number, uint32_t retry_ms, const char *text)
{
	Rookery__Response r = ROOKERY__RESPONSE__INIT;

	r.code = ROOKERY__CODE__CODE_SLOW_DOWN;
	r.text = (char *)(uintptr_t)text;
	r.retry_ms = retry_ms;
	respond(s, sid, number, &r);
}

/* ---- reassembly --------------------------------------------------------------------- */

static struct partial *
partial_get(struct requests *r, uint32_t number, uint8_t fragments)
{
	struct partial *p;

	for (unsigned i = 0; i < PARTIALS; i++) {
		p = &r->partials[i];
		if (p->fragments == fragments && p->number == number)
			return p;
	}
	p = &r->partials[r->partial_next];
	r->partial_next = (r->partial_next + 1) % PARTIALS;
	partial_clear(p);
	p->number = number;
	p->fragments = fragments;
	return p;
}

/* Returns the length when the request is complete (in out), 0 when fragments are missing, -ENOMEM. May be
 * called with the same fragment again: the fragments are kept until the answer. */
static int
request_collect(struct session *n, const struct cell *c, uint8_t *out)
{
	struct requests *r = requests_get(n);
	struct partial *p;
	uint8_t *copy;
	int length = 0;

	if (r == NULL)
		return -ENOMEM;
	p = partial_get(r, c->request.request, c->request.fragments);
	if (p->bytes[c->request.fragment] == NULL) {
		copy = malloc(c->length + 1u);
		if (copy == NULL)
			return -ENOMEM;
		memcpy(copy, c->data, c->length);
		p->bytes[c->request.fragment] = copy;
		p->length[c->request.fragment] = c->length;
		p->have |= (uint8_t)(1u << c->request.fragment);
	}
	if (p->have != (uint8_t)((1u << p->fragments) - 1))
		return 0;
	for (unsigned i = 0; i < p->fragments; i++) {
		memcpy(out + length, p->bytes[i], p->length[i]);
		length += p->length[i];
	}
	return length;
}

/* ---- dispatch ----------------------------------------------------------------------- */

static int
dispatch_user(struct server *s, const struct request *r, const Rookery__Request *q)
{
	switch (q->body_case) {
	case ROOKERY__REQUEST__BODY_SEARCH_USER:
		return account_search(s, r, q->search_user);
	case ROOKERY__REQUEST__BODY_RESOLVE_USER:
		return account_resolve(s, r, q->resolve_user);
	case ROOKERY__REQUEST__BODY_CHANGE_PASSWORD:
		return account_change_password(s, r, q->change_password);
	case ROOKERY__REQUEST__BODY_ADD_BUDDY:
		return buddy_add(s, r, q->add_buddy);
	case ROOKERY__REQUEST__BODY_ANSWER_BUDDY:
		return buddy_answer(s, r, q->answer_buddy);
	case ROOKERY__REQUEST__BODY_DELETE_BUDDY:
		return buddy_delete(s, r, q->delete_buddy);
	case ROOKERY__REQUEST__BODY_SET_BLOCK:
		return buddy_block(s, r, q->set_block);
	case ROOKERY__REQUEST__BODY_LIST_BUDDIES:
		return buddy_list(s, r, q->list_buddies);
	case ROOKERY__REQUEST__BODY_SET_BUDDY:
		return buddy_set(s, r, q->set_buddy);
	case ROOKERY__REQUEST__BODY_SET_PRESENCE:
		return presence_set(s, r, q->set_presence);
	case ROOKERY__REQUEST__BODY_GET_TICKET:
		return ticket_request(s, r);
	case ROOKERY__REQUEST__BODY_FETCH_STORED:
		return fetch_stored(s, r, q->fetch_stored);
	default:
		respond_code(s, r->sid, r->number, ROOKERY__CODE__CODE_MALFORMED, "unknown request");
		return 0;
	}
}

static int
dispatch(struct server *s, const struct request *r, const Rookery__Request *q)
{
	if (q->body_case == ROOKERY__REQUEST__BODY_REGISTER)
		return account_register(s, r, q->register_);
	if (q->body_case == ROOKERY__REQUEST__BODY_ENROL)
		return account_enrol(s, r, q->enrol);
	if (r->user == NULL) {
		respond_code(s, r->sid, r->number, ROOKERY__CODE__CODE_NOT_LOGGED_IN,
			     "register or enrol this device first");
		return 0;
	}
	return dispatch_user(s, r, q);
}

static void
request_wipe(Rookery__Request *q)
{
	char *secrets[2] = {NULL, NULL};

	if (q->body_case == ROOKERY__REQUEST__BODY_REGISTER)
		secrets[0] = q->register_->password;
	else if (q->body_case == ROOKERY__REQUEST__BODY_ENROL)
		secrets[0] = q->enrol->password;
	else if (q->body_case == ROOKERY__REQUEST__BODY_CHANGE_PASSWORD) {
		secrets[0] = q->change_password->old_password;
		secrets[1] = q->change_password->new_password;
	}
	for (unsigned i = 0; i < 2; i++) {
		if (secrets[i] != NULL && secrets[i] != protobuf_c_empty_string)
			explicit_bzero(secrets[i], strlen(secrets[i]));
	}
	rookery__request__free_unpacked(q, NULL);
}

static int
request_act(struct server *s, struct session *n, uint32_t number, const uint8_t *bytes, size_t length)
{
	struct request r = {.session = n, .sid = n->sid, .number = number, .user = n->user};
	Rookery__Request *q = rookery__request__unpack(NULL, length, bytes);
	int rc;

	COUNT(s, requests);
	if (q == NULL) {
		COUNT(s, requests_malformed);
		respond_code(s, n->sid, number, ROOKERY__CODE__CODE_MALFORMED, "the request cannot be read");
		return 0;
	}
	rc = dispatch(s, &r, q);
	request_wipe(q);
	return rc;
}

struct resend_effect {
	session_id_t sid;
	uint32_t number;
};

static void
resend_run(struct server *s, void *data)
{
	struct resend_effect *e = data;
	struct session *n = session_get(s, e->sid);
	struct cached *k = n == NULL ? NULL : cache_find(n->requests, e->number);

	if (k != NULL && k->bytes != NULL)
		response_send(s, e->sid, e->number, k->bytes, k->length);
}

int
request_handle(struct server *s, const struct cell *c)
{
	struct session *n = session_get(s, c->request.sid);
	struct resend_effect resend = {.sid = c->request.sid, .number = c->request.request};
	uint8_t whole[REQUEST_FRAGMENTS_MAX * REQUEST_BODY_MAX];
	int length, rc;

	if (n == NULL) {
		COUNT(s, cells_orphaned);
		/* The worker has a session that is none any more: said once too often, or lost when control
		 * was killed. */
		if (session_id_worker(c->request.sid) == c->worker)
			session_tell_end(s, c->request.sid, CLOSE_EXPIRED);
		return 0;
	}
	if (cache_find(n->requests, c->request.request) != NULL) {
		COUNT(s, requests_repeated);
		/* Fragments of one request each come again: one answer is enough. */
		if (c->request.fragment == 0)
			effect_add(s, resend_run, NULL, &resend, sizeof(resend));
		return 0;
	}
	if (c->request.fragments == 1)
		return request_act(s, n, c->request.request, c->data, c->length);
	length = request_collect(n, c, whole);
	if (length <= 0)
		return length;
	rc = request_act(s, n, c->request.request, whole, (size_t)length);
	explicit_bzero(whole, sizeof(whole));
	return rc;
}

/* The store takes no changes. Remembered as any answer: the client was told that nothing was changed, and a
 * late copy of the same request must not change it after all. */
void
request_fail(struct server *s, const struct cell *c)
{
	COUNT(s, requests_unavailable);
	if (session_get(s, c->request.sid) != NULL)
		respond_code(s, c->request.sid, c->request.request, ROOKERY__CODE__CODE_STORE_UNAVAILABLE,
			     "the server cannot save anything at the moment: nothing was changed");
}
