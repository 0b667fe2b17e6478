// SPDX-License-Identifier: BSD-3-Clause
/*
 * Tickets: made here, opened by the workers. A session that was resumed is known to its worker first; here it is judged, becomes
 * its user's, and takes the place of the device's session before. A ticket is good as long as its device has not logged in again since, is not
 * locked (its user's password was changed, the account closed), was not thrown out, and is still there.
 */
#include "core.h"

#include "shared/log.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* ---- keys --------------------------------------------------------------------------- */

static const char *const meta_names[] = {
	"ticket_key_id", "ticket_key_a", "ticket_key_b", "ticket_before_id", "ticket_before_a", "ticket_before_b", "ticket_made_ms",
};

#define META_COUNT (sizeof(meta_names) / sizeof(meta_names[0]))

int
tickets_load(struct server *s)
{
	uint64_t v[META_COUNT];
	struct tickets *t = &s->tickets;

	for (unsigned i = 0; i < META_COUNT; i++) {
		int rc = store_meta_get(s->store, meta_names[i], &v[i]);

		if (rc < 0)
			return rc;
	}
	t->key.id = (uint32_t)v[0];
	memcpy(t->key.key, &v[1], sizeof(t->key.key));
	t->before.id = (uint32_t)v[3];
	memcpy(t->before.key, &v[4], sizeof(t->before.key));
	t->made_ms = v[6];
	explicit_bzero(v, sizeof(v));
	return 0;
}

static int
tickets_store(struct server *s, const struct tickets *t)
{
	uint64_t v[META_COUNT] = {[0] = t->key.id, [3] = t->before.id, [6] = t->made_ms};
	int rc = store_begin(s->store);

	if (rc < 0)
		return rc;
	memcpy(&v[1], t->key.key, sizeof(t->key.key));
	memcpy(&v[4], t->before.key, sizeof(t->before.key));
	for (unsigned i = 0; i < META_COUNT && rc == 0; i++)
		rc = store_meta_set(s->store, meta_names[i], v[i]);
	explicit_bzero(v, sizeof(v));
	if (rc == 0)
		return store_commit(s->store);
	store_rollback(s->store);
	return rc;
}

static void
random_bytes(struct server *s, void *buf, size_t len)
{
	if (s->io.random != NULL)
		s->io.random(s->io.arg, buf, len);
	else
		randombytes_buf(buf, len);
}

/* A ticket lives no longer than a key seals, so the key before opens all of its own. */
void
tickets_rotate(struct server *s)
{
	uint64_t life = s->config->session.ticket_ms;
	struct tickets *t = &s->tickets, next = {.made_ms = s->wall_ms};

	if (life == 0 || s->now_ms < s->store_retry_ms ||
	    (t->key.id != 0 && s->wall_ms < t->made_ms + life && s->wall_ms + life >= t->made_ms))
		return;
	/* After a long time, or with the clock set back, the old one may have sealed what is to be void. */
	if (t->key.id != 0 && s->wall_ms >= t->made_ms && s->wall_ms < t->made_ms + 2 * life)
		next.before = t->key;
	next.key.id = t->key.id + 1 != 0 ? t->key.id + 1 : 1;
	random_bytes(s, next.key.key, sizeof(next.key.key));
	if (tickets_store(s, &next) == 0) {
		*t = next;
		if (s->attached)
			tickets_publish(s);
	} else {
		s->store_retry_ms = s->now_ms + STORE_RETRY_MS;
	}
	explicit_bzero(&next, sizeof(next));
}

void
tickets_publish(struct server *s)
{
	struct cell c;

	cell_init(&c, INJECT_TICKET_KEYS);
	if (s->config->session.ticket_ms != 0) {
		c.ticket_keys.key[0] = s->tickets.key;
		c.ticket_keys.key[1] = s->tickets.before;
	}
	for (uint32_t w = 0; w < s->workers; w++)
		emit(s, w, &c);
	explicit_bzero(&c.ticket_keys, sizeof(c.ticket_keys));
}

/* ---- a ticket ------------------------------------------------------------------------- */

struct ticket_out {
	Rookery__Ticket body;
	uint8_t ticket[TICKET_SIZE];
	uint8_t secret[RESUME_SECRET];
};

/* False: none is given out. */
static bool
ticket_make(struct server *s, const struct session *n, const struct store_device *d, struct ticket_out *out)
{
	struct ticket t = {
		.user = n->user->id,
		.device = n->device,
		.login_timestamp = d->login_timestamp,
		.expires_ms = s->wall_ms + s->config->session.ticket_ms,
		.status = n->status,
	};
	uint8_t nonce[TICKET_NONCE];

	if (s->config->session.ticket_ms == 0 || s->tickets.key.id == 0)
		return false;
	if (s->sealing.id != s->tickets.key.id && ticket_cipher_set(&s->sealing, &s->tickets.key) < 0)
		return false;
	random_bytes(s, nonce, sizeof(nonce));
	random_bytes(s, t.secret, sizeof(t.secret));
	ticket_seal(&t, &s->sealing, nonce, out->ticket);
	memcpy(out->secret, t.secret, sizeof(out->secret));
	explicit_bzero(&t, sizeof(t));
	rookery__ticket__init(&out->body);
	out->body.ticket = (ProtobufCBinaryData){.data = out->ticket, .len = sizeof(out->ticket)};
	out->body.secret = (ProtobufCBinaryData){.data = out->secret, .len = sizeof(out->secret)};
	out->body.lifetime_ms = s->config->session.ticket_ms;
	out->body.status = (Rookery__Status)n->status;
	out->body.heartbeat_ms = s->config->session.heartbeat_ms;
	out->body.timeout_ms = s->config->session.timeout_ms;
	out->body.last_message_id = d->last_message_id;
	out->body.user_id = n->user->id;
	out->body.device_id = n->device;
	COUNT(s, tickets);
	return true;
}

int
ticket_request(struct server *s, const struct request *r)
{
	Rookery__Response response = ROOKERY__RESPONSE__INIT;
	struct store_device d;
	struct ticket_out out;
	int rc = store_device_by_id(s->store, r->session->device, &d);

	if (rc < 0 && rc != -ENOENT)
		return rc;
	response.code = ROOKERY__CODE__CODE_OK;
	if (rc == 0 && ticket_make(s, r->session, &d, &out)) {
		response.body_case = ROOKERY__RESPONSE__BODY_TICKET;
		response.ticket = &out.body;
	}
	respond(s, r->sid, r->number, &response);
	explicit_bzero(&out, sizeof(out));
	return 0;
}

/* ---- a session that was resumed ------------------------------------------------------- */

struct resumed_effect {
	struct session *session; /* owned until run */
	struct store_user user;
	struct store_device device;
};

static void
resumed_undo(struct server *s, void *data)
{
	struct resumed_effect *e = data;

	slot_release(s, e->session->sid);
	session_free(e->session);
}

/* The client may log in at once. */
static void
refuse_run(struct server *s, void *data)
{
	session_tell_end(s, *(session_id_t *)data, CLOSE_EXPIRED);
}

static void
refuse(struct server *s, session_id_t sid)
{
	COUNT(s, resumed_refused);
	effect_add(s, refuse_run, NULL, &sid, sizeof(sid));
}

/* The session is the user's from here on; said twice when control was killed in between. */
static void
resumed_welcome(struct server *s, struct session *n, const struct store_device *d)
{
	Rookery__Notification notification = ROOKERY__NOTIFICATION__INIT;
	Rookery__Ticket none = ROOKERY__TICKET__INIT;
	struct ticket_out out;

	session_update(s, n);
	notification.body_case = ROOKERY__NOTIFICATION__BODY_TICKET;
	notification.ticket = &out.body;
	if (!ticket_make(s, n, d, &out)) {
		none.user_id = n->user->id;
		none.device_id = n->device;
		none.last_message_id = d->last_message_id;
		notification.ticket = &none;
	}
	notify(s, &n->sid, 1, &notification);
	explicit_bzero(&out, sizeof(out));
	pump_start(s, n, PUMP_LOGIN | (d->messages == 0 ? PUMP_NO_MESSAGES : 0));
}

/* As login_run: the new session stands before the old one goes. */
static void
resumed_run(struct server *s, void *data)
{
	struct resumed_effect *e = data;
	struct session *n = e->session;
	struct session *old = map_get(&s->devices, n->device);

	if (session_insert(s, n, &e->user) < 0) {
		log_error(login, "out of memory: a resumed session is ended", "user=%s", e->user.name);
		lazy_add(s, LAZY_SESSION_DEL, n->sid, 0);
		session_tell_end(s, n->sid, CLOSE_EXPIRED);
		resumed_undo(s, e);
		return;
	}
	if (old != NULL)
		session_end(s, old, CLOSE_REPLACED, true);
	user_publish(s, n->user->id);
	presence_changed(s, n->user);
	resumed_welcome(s, n, &e->device);
}

struct again_effect {
	session_id_t sid;
	struct store_device device;
};

static void
again_run(struct server *s, void *data)
{
	const struct again_effect *e = data;
	struct session *n = session_get(s, e->sid);

	if (n != NULL && n->user != NULL)
		resumed_welcome(s, n, &e->device);
}

static struct session *
session_build(const struct server *s, const struct resumed_session *c, uint64_t heard_ms, const struct store_device *d)
{
	struct session *n = calloc(1, sizeof(*n));

	if (n == NULL)
		return NULL;
	n->sid = c->sid;
	n->device = d->id;
	memcpy(n->key, d->key, sizeof(n->key));
	n->secret = c->secret;
	n->instance = s->instance;
	n->login_ms = heard_ms < s->wall_ms ? heard_ms : s->wall_ms;
	n->login_timestamp = d->login_timestamp;
	n->peer = c->peer;
	n->port = c->port;
	n->status = c->status >= ROOKERY__STATUS__STATUS_ONLINE && c->status <= ROOKERY__STATUS__STATUS_INVISIBLE
			    ? c->status
			    : (uint8_t)ROOKERY__STATUS__STATUS_ONLINE;
	n->heard = true;
	memcpy(n->device_name, d->name, sizeof(n->device_name));
	return n;
}

bool
resumed_since(const struct server *s, device_id_t device, uint64_t ms)
{
	const struct session *n = map_get(&s->resumed, device);

	if (n == NULL)
		n = map_get(&s->devices, device);
	return n != NULL && n->secret.resumed && n->login_ms > ms;
}

/* Is the ticket good, and may its device have a session now? 1, 0, or an error of the store. */
static int
resumed_judge(struct server *s, const struct resumed_session *c, uint64_t heard_ms, struct store_device *d, struct store_user *u)
{
	int rc = store_device_by_id(s->store, c->device, d);

	if (rc == 0)
		rc = store_user_by_id(s->store, d->user, u);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	if (d->user != c->user || s->draining)
		return 0;
	if (d->locked || d->login_timestamp != c->login_timestamp || resumed_since(s, d->id, heard_ms))
		return 0;
	return limit_take(s, LIMIT_DEVICE_LOGINS, d->key, sizeof(d->key)) == 0;
}

/* Control was killed after the commit: the session is here, and perhaps nobody was told. */
static int
resumed_again(struct server *s, const struct session *n)
{
	struct again_effect e = {.sid = n->sid};
	int rc = store_device_by_id(s->store, n->device, &e.device);

	if (rc == 0)
		effect_add(s, again_run, NULL, &e, sizeof(e));
	return rc == -ENOENT ? 0 : rc;
}

static int
resumed_one(struct server *s, const struct resumed_session *c, uint64_t heard_ms)
{
	const struct session *known = session_get(s, c->sid);
	struct resumed_effect e;
	int rc;

	if (known != NULL)
		return resumed_again(s, known);
	rc = resumed_judge(s, c, heard_ms, &e.device, &e.user);
	if (rc < 0)
		return rc;
	if (rc == 0 || !slot_claim(s, c->sid)) {
		refuse(s, c->sid);
		return 0;
	}
	e.session = session_build(s, c, heard_ms, &e.device);
	rc = e.session == NULL || map_put(&s->resumed, e.device.id, e.session) < 0
		     ? -ENOMEM
		     : session_store(s, e.session, e.user.id, NULL, 0);
	if (rc < 0) {
		map_del(&s->resumed, e.device.id);
		slot_release(s, c->sid);
		session_free(e.session);
		return rc;
	}
	COUNT(s, resumed);
	effect_add(s, resumed_run, resumed_undo, &e, sizeof(e));
	return 0;
}

int
resumed_handle(struct server *s, const struct cell *c)
{
	const struct resumed_session *r = c->resumed_sessions;
	int rc = 0;

	for (uint32_t i = 0; i < c->resumed.count && rc == 0; i++) {
		if (session_id_worker(r[i].sid) != c->worker || s->slots == NULL)
			COUNT(s, cells_invalid);
		else
			rc = resumed_one(s, &r[i], c->resumed.heard_ms);
	}
	return rc;
}

void
resumed_fail(struct server *s, const struct cell *c)
{
	const struct resumed_session *r = c->resumed_sessions;

	for (uint32_t i = 0; i < c->resumed.count; i++)
		if (session_get(s, r[i].sid) == NULL)
			refuse(s, r[i].sid);
}
