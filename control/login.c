// SPDX-License-Identifier: BSD-3-Clause
/*
 * LOGIN: handshake, replay check, session. A retransmitted LOGIN (same device key, same ephemeral key) gets
 * the same reply byte for byte: from the cache, or, when control was restarted meanwhile, from the session's
 * row.
 */
#include "core.h"

#include "shared/log.h"

#include <stdlib.h>
#include <string.h>

#define BUSY_RETRY_MS 5000
#define DRAIN_RETRY_MS 30000

/* A LOGIN on its way through its handler. */
struct login {
	const struct cell *cell;
	enum {
		LOGIN_UNREAD,
		LOGIN_READ,
		LOGIN_BAD, /* not for this server's key, forged, or malformed */
	} state;
	struct handshake_server handshake;
	uint8_t key[32]; /* kept apart: the handshake wipes itself */
	uint8_t ephemeral[32];
	uint64_t timestamp;
	char user[STORE_NAME_MAX + 1]; /* "" when not named */
	char device_name[STORE_DEVICE_NAME_MAX + 1];
	uint8_t status;
	char text[STORE_TEXT_MAX + 1];
	uint8_t reply[STORE_REPLY_MAX];
	uint16_t reply_length;
	struct session_secret secret;
};

/* ---- replies ------------------------------------------------------------------------ */

static void
reply_emit(struct server *s, const struct cell *login, const uint8_t *reply, uint16_t length)
{
	struct cell c;

	cell_init(&c, INJECT_DATAGRAM);
	c.datagram = login->datagram;
	c.length = length;
	memcpy(c.data, reply, length);
	emit(s, login->worker, &c);
}

/* Makes l->reply and l->secret. Returns false when no reply may be sent (larger than its request). */
static bool
reply_make(struct server *s, struct login *l, Rookery__LoginReply *r)
{
	uint8_t payload[STORE_REPLY_MAX];
	size_t size;
	int len;

	r->server_time = s->wall_ms;
	r->heartbeat_ms = s->config->session.heartbeat_ms;
	r->timeout_ms = s->config->session.timeout_ms;
	size = rookery__login_reply__get_packed_size(r);
	if (size > sizeof(payload))
		return false;
	size = rookery__login_reply__pack(r, payload);
	len = handshake_server_reply(&l->handshake, payload, size, l->reply, sizeof(l->reply), &l->secret);
	if (len < 0 || len > l->cell->length)
		return false;
	l->reply_length = (uint16_t)len;
	return true;
}

/* Without a session. */
static void
reply_refuse(struct server *s, struct login *l, Rookery__LoginResult result, uint32_t retry_ms)
{
	Rookery__LoginReply r = ROOKERY__LOGIN_REPLY__INIT;

	r.result = result;
	r.retry_ms = retry_ms;
	if (reply_make(s, l, &r))
		reply_emit(s, l->cell, l->reply, l->reply_length);
}

/* ---- cache of replies ---------------------------------------------------------------- */

/* Index of the entry, or -1. */
static int
cache_find(const struct server *s, const struct login *l)
{
	uint64_t tag;

	memcpy(&tag, l->ephemeral, sizeof(tag));
	for (int i = 0; i < LOGIN_CACHE; i++) {
		const struct login_entry *e = &s->logins[i];

		if (s->login_tags[i] == tag &&
		    memcmp(e->ephemeral, l->ephemeral, sizeof(e->ephemeral)) == 0 &&
		    memcmp(e->key, l->key, sizeof(e->key)) == 0)
			return i;
	}
	return -1;
}

static uint32_t
cache_enter(struct server *s, const struct login *l)
{
	uint32_t i = s->login_next;
	struct login_entry *e = &s->logins[i];

	s->login_next = (s->login_next + 1) % LOGIN_CACHE;
	memcpy(&s->login_tags[i], l->ephemeral, sizeof(s->login_tags[i]));
	memcpy(e->key, l->key, sizeof(e->key));
	memcpy(e->ephemeral, l->ephemeral, sizeof(e->ephemeral));
	e->length = 0;
	return i;
}

static void
cache_set(struct server *s, uint32_t i, const uint8_t *reply, uint16_t length)
{
	memcpy(s->logins[i].reply, reply, length);
	s->logins[i].length = length;
}

/* ---- a new session -------------------------------------------------------------------- */

struct login_effect {
	struct session *session; /* owned until run */
	struct store_user user;  /* id 0: restricted */
	uint32_t cache;          /* index of the entry to fill */
	struct cell_datagram to;
	uint32_t worker;
	bool set_text;
	bool messages; /* some wait for the device */
	char text[STORE_TEXT_MAX + 1];
	uint16_t length;
	uint8_t reply[STORE_REPLY_MAX];
};

static struct session *
restricted_of(const struct server *s, const uint8_t key[32])
{
	struct session *n = s->restricted;

	while (n != NULL && memcmp(n->key, key, sizeof(n->key)) != 0)
		n = n->restricted_next;
	return n;
}

static void
login_undo(struct server *s, void *data)
{
	struct login_effect *e = data;

	slot_release(s, e->session->sid);
	session_free(e->session);
	s->logins[e->cache] = (struct login_entry){0};
}

/* The new session stands before the old one goes: a user who only comes back is never seen offline. */
static void
login_run(struct server *s, void *data)
{
	struct login_effect *e = data;
	struct session *n = e->session;
	struct session *old = restricted_of(s, n->key);
	struct cell c;

	if (e->user.id != 0)
		old = map_get(&s->devices, n->device);
	if (session_insert(s, n, e->user.id == 0 ? NULL : &e->user) < 0) {
		log_error(login, "out of memory: a login is dropped", "user=%s", e->user.name);
		lazy_add(s, LAZY_SESSION_DEL, n->sid, 0);
		login_undo(s, e);
		return;
	}
	if (n->user != NULL && e->set_text)
		memcpy(n->user->text, e->text, sizeof(n->user->text));
	session_provision(s, n, false);
	cell_init(&c, INJECT_DATAGRAM);
	c.datagram = e->to;
	c.length = e->length;
	memcpy(c.data, e->reply, e->length);
	emit(s, e->worker, &c);
	cache_set(s, e->cache, e->reply, e->length);
	if (old != NULL)
		session_end(s, old, CLOSE_REPLACED, true);
	if (n->user == NULL)
		return;
	user_publish(s, n->user->id);
	presence_changed(s, n->user);
	pump_start(s, n, PUMP_LOGIN | (e->messages ? 0 : PUMP_NO_MESSAGES));
}

static struct session *
session_build(struct server *s, const struct login *l, session_id_t sid, device_id_t device)
{
	struct session *n = calloc(1, sizeof(*n));

	if (n == NULL)
		return NULL;
	n->sid = sid;
	n->device = device;
	memcpy(n->key, l->key, sizeof(n->key));
	memcpy(n->ephemeral, l->ephemeral, sizeof(n->ephemeral));
	n->secret = l->secret;
	n->instance = s->instance;
	n->login_ms = s->wall_ms;
	n->login_timestamp = l->timestamp;
	n->peer = l->cell->datagram.peer;
	n->port = l->cell->datagram.port;
	n->status = l->status;
	memcpy(n->device_name, l->device_name, sizeof(n->device_name));
	return n;
}

/* The text belongs to the user: a device without one does not take it away from another that is live. */
static bool
text_applies(const struct server *s, const struct login *l, const struct store_user *u,
	     const struct store_device *d)
{
	const struct user *live = user_get(s, u->id);
	const struct session *n = live == NULL ? NULL : live->sessions;

	while (n != NULL && n->device == d->id)
		n = n->user_next;
	return n == NULL || l->text[0] != '\0';
}

static int
login_store(struct server *s, const struct login *l, const struct session *n, const struct store_user *u,
	    const struct store_device *d)
{
	int rc = 0;

	if (u != NULL)
		rc = store_device_login(s->store, d->id, l->timestamp, s->wall_ms,
					l->device_name[0] != '\0' ? l->device_name : d->name);
	if (rc == 0 && u != NULL && text_applies(s, l, u, d) && strcmp(l->text, u->text) != 0)
		rc = store_user_set_text(s->store, u->id, l->text);
	return rc == 0 ? session_store(s, n, u == NULL ? 0 : u->id, l->reply, l->reply_length) : rc;
}

/* u and d are NULL for an unknown device. */
static int
login_accept(struct server *s, struct login *l, const struct store_user *u, const struct store_device *d)
{
	Rookery__LoginReply r = ROOKERY__LOGIN_REPLY__INIT;
	struct login_effect e = {.to = l->cell->datagram, .worker = l->cell->worker};
	session_id_t sid = slot_take(s, l->cell->worker);
	int rc;

	if (sid == SESSION_ID_NONE) {
		COUNT(s, logins_refused);
		reply_refuse(s, l, ROOKERY__LOGIN_RESULT__LOGIN_BUSY, BUSY_RETRY_MS);
		return 0;
	}
	r.result = u == NULL ? ROOKERY__LOGIN_RESULT__LOGIN_RESTRICTED : ROOKERY__LOGIN_RESULT__LOGIN_OK;
	r.session_id = sid;
	if (u != NULL) {
		r.user_id = u->id;
		r.device_id = d->id;
		r.last_message_id = d->last_message_id;
		r.user = (char *)(uintptr_t)u->name;
		e.user = *u;
		memcpy(e.text, l->text, sizeof(e.text));
		e.set_text = text_applies(s, l, u, d);
		e.messages = d->messages != 0;
	}
	if (!reply_make(s, l, &r) || (e.session = session_build(s, l, sid, u == NULL ? 0 : d->id)) == NULL) {
		slot_release(s, sid);
		COUNT(s, logins_bad);
		return 0;
	}
	rc = login_store(s, l, e.session, u, d);
	if (rc < 0) {
		slot_release(s, sid);
		session_free(e.session);
		return rc;
	}
	e.cache = cache_enter(s, l);
	e.length = l->reply_length;
	memcpy(e.reply, l->reply, l->reply_length);
	effect_add(s, login_run, login_undo, &e, sizeof(e));
	return 0;
}

/* ---- decisions ------------------------------------------------------------------------ */

/* Control was restarted between the commit of this LOGIN and its answer, or the answer was lost with the
 * cache. */
static int
login_again(struct server *s, struct login *l, struct session *n, bool *answered)
{
	struct store_session row;
	int rc;

	*answered = false;
	if (n == NULL || memcmp(n->ephemeral, l->ephemeral, sizeof(n->ephemeral)) != 0)
		return 0;
	rc = store_session_get(s->store, n->sid, &row);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	cache_set(s, cache_enter(s, l), row.reply, row.reply_length);
	/* The worker ignores an id that it has. */
	session_provision(s, n, false);
	reply_emit(s, l->cell, row.reply, row.reply_length);
	explicit_bzero(&row, sizeof(row));
	COUNT(s, logins_repeated);
	*answered = true;
	return 0;
}

/* While the server is drained only who has a session stays. */
static bool
login_drained(struct server *s, struct login *l)
{
	if (!s->draining)
		return false;
	COUNT(s, logins_drained);
	reply_refuse(s, l, ROOKERY__LOGIN_RESULT__LOGIN_BUSY, DRAIN_RETRY_MS);
	return true;
}

static void
replace_run(struct server *s, void *data)
{
	struct session *n = session_get(s, *(session_id_t *)data);

	if (n == NULL || n->user != NULL)
		return;
	COUNT(s, restricted_replaced);
	session_end(s, n, CLOSE_EXPIRED, true);
}

/*
 * Is there room for one more session that is not enrolled? From forged addresses come LOGINs whose senders never see the
 * reply: such a session never speaks, and the oldest of them gives way. Those that speak have true addresses, and a host that
 * has half of what others leave replaces its own.
 */
static bool
restricted_room(struct server *s, const struct endpoint *peer)
{
	uint32_t max = s->workers * s->sessions_per_worker / 8 + 1;
	uint32_t all = 0, mine = 0, others_heard = 0;
	struct session *oldest = NULL, *my_oldest = NULL, *out;

	if (max > s->config->limits.restricted_sessions)
		max = s->config->limits.restricted_sessions;
	for (struct session *n = s->restricted; n != NULL; n = n->restricted_next) {
		bool same = same_host(&n->peer, peer);

		if (n->replaced)
			continue;
		all++;
		mine += same;
		others_heard += !same && n->heard;
		if (!n->heard && oldest == NULL)
			oldest = n;
		if (!n->heard && same && my_oldest == NULL)
			my_oldest = n;
	}
	if (2 * mine <= max - others_heard && all < max)
		return true;
	out = 2 * mine > max - others_heard ? my_oldest : oldest;
	if (out == NULL)
		return false;
	out->replaced = true;
	effect_add(s, replace_run, NULL, &out->sid, sizeof(out->sid));
	return true;
}

static int
login_unknown(struct server *s, struct login *l)
{
	struct session *old = restricted_of(s, l->key);
	bool answered;
	int rc = login_again(s, l, old, &answered);

	if (rc < 0 || answered)
		return rc;
	if (old != NULL && l->timestamp <= old->login_timestamp) {
		COUNT(s, logins_replayed);
		reply_refuse(s, l, ROOKERY__LOGIN_RESULT__LOGIN_REPLAYED, 0);
		return 0;
	}
	if (old == NULL && !restricted_room(s, &l->cell->datagram.peer)) {
		COUNT(s, logins_refused);
		reply_refuse(s, l, ROOKERY__LOGIN_RESULT__LOGIN_BUSY, BUSY_RETRY_MS);
		return 0;
	}
	if (login_drained(s, l))
		return 0;
	COUNT(s, logins_restricted);
	return login_accept(s, l, NULL, NULL);
}

static int
login_known(struct server *s, struct login *l, const struct store_device *d)
{
	struct store_user u;
	bool answered;
	int rc = login_again(s, l, map_get(&s->devices, d->id), &answered);

	if (rc < 0 || answered)
		return rc;
	if (l->timestamp <= d->login_timestamp) {
		COUNT(s, logins_replayed);
		reply_refuse(s, l, ROOKERY__LOGIN_RESULT__LOGIN_REPLAYED, 0);
		return 0;
	}
	/* It has to say the new password first. */
	if (d->locked)
		return login_unknown(s, l);
	rc = store_user_by_id(s->store, d->user, &u);
	if (rc < 0)
		return rc;
	if (l->user[0] != '\0' && strcmp(l->user, u.name) != 0) {
		COUNT(s, logins_refused);
		reply_refuse(s, l, ROOKERY__LOGIN_RESULT__LOGIN_WRONG_USER, 0);
		return 0;
	}
	if (login_drained(s, l))
		return 0;
	/* No answer: a client that means it still sends it again. */
	if (resumed_since(s, d->id, l->cell->datagram.came_ms)) {
		COUNT(s, logins_overtaken);
		return 0;
	}
	COUNT(s, logins);
	return login_accept(s, l, &u, d);
}

static bool
hello_read(struct login *l, const uint8_t *payload, size_t len)
{
	Rookery__LoginHello *h = rookery__login_hello__unpack(NULL, len, payload);

	if (h == NULL)
		return false;
	l->timestamp = h->timestamp;
	/* A name that cannot be one is another user's, too. */
	if (!name_fold(l->user, h->user) && h->user[0] != '\0')
		memcpy(l->user, "?", 2);
	if (!text_clean(l->device_name, h->device_name, STORE_DEVICE_NAME_MAX))
		l->device_name[0] = '\0';
	if (!text_clean(l->text, h->status_text, STORE_TEXT_MAX))
		l->text[0] = '\0';
	l->status =
		h->status >= ROOKERY__STATUS__STATUS_ONLINE && h->status <= ROOKERY__STATUS__STATUS_INVISIBLE
			? (uint8_t)h->status
			: ROOKERY__STATUS__STATUS_ONLINE;
	rookery__login_hello__free_unpacked(h, NULL);
	return true;
}

/* Handshake and hello; any thread. */
static void
login_read(const struct handshake_keypair *key, const struct cell *c, struct login *l)
{
	uint8_t payload[HANDSHAKE_PAYLOAD_MAX];
	int len;

	memset(l, 0, sizeof(*l));
	l->cell = c;
	l->state = LOGIN_BAD;
	len = handshake_server_read(&l->handshake, key, c->data, c->length, payload, sizeof(payload));
	if (len < 0)
		return;
	memcpy(l->key, l->handshake.device, sizeof(l->key));
	memcpy(l->ephemeral, l->handshake.ephemeral, sizeof(l->ephemeral));
	if (hello_read(l, payload, (size_t)len))
		l->state = LOGIN_READ;
}

static int
login_judge(struct server *s, struct login *l)
{
	struct store_device d;
	uint32_t wait;
	int cached, rc;

	if (l->state == LOGIN_BAD) {
		COUNT(s, logins_bad);
		return 0;
	}
	cached = cache_find(s, l);
	if (cached >= 0) {
		COUNT(s, logins_repeated);
		/* Length 0: it is of this very batch, and its answer is on its way. */
		if (s->logins[cached].length != 0)
			reply_emit(s, l->cell, s->logins[cached].reply, s->logins[cached].length);
		return 0;
	}
	wait = limit_take(s, LIMIT_DEVICE_LOGINS, l->key, sizeof(l->key));
	if (wait != 0) {
		COUNT(s, logins_slowed);
		reply_refuse(s, l, ROOKERY__LOGIN_RESULT__LOGIN_BUSY, wait);
		return 0;
	}
	rc = store_device_by_key(s->store, l->key, &d);
	if (rc == 0)
		return login_known(s, l, &d);
	return rc == -ENOENT ? login_unknown(s, l) : rc;
}

/* ---- handshakes beside the loop ---------------------------------------------------------- */

struct login_job {
	const struct handshake_keypair *key; /* the server's, which stays as it is */
	uint32_t count;
	struct login_work {
		struct cell cell;
		struct login login;
		bool repeated; /* seems to be in the cache, so it needs no new answer */
	} work[];
};

/* By its ephemeral key alone, which anybody can copy: a hint. */
static bool
seems_repeated(const struct server *s, const struct cell *c)
{
	const uint8_t *ephemeral = handshake_login_ephemeral(c->data, c->length);
	uint64_t tag;

	if (ephemeral == NULL)
		return false;
	memcpy(&tag, ephemeral, sizeof(tag));
	for (int i = 0; i < LOGIN_CACHE; i++)
		if (s->login_tags[i] == tag)
			return true;
	return false;
}

/* What was made beforehand of a cell of server_logins_take, or NULL. */
static struct login *
job_login(struct server *s, const struct cell *c)
{
	struct login_job *job = s->logins_done;

	if (job == NULL || (uintptr_t)c < (uintptr_t)job->work || (uintptr_t)c >= (uintptr_t)(job->work + job->count))
		return NULL;
	return &((struct login_work *)(uintptr_t)c)->login;
}

void
login_job_run(struct login_job *job)
{
	for (uint32_t i = 0; i < job->count; i++) {
		struct login_work *w = &job->work[i];

		login_read(job->key, &w->cell, &w->login);
		if (w->login.state == LOGIN_READ && !w->repeated && handshake_server_prepare(&w->login.handshake) < 0)
			w->login.state = LOGIN_BAD;
	}
}

static void
job_free(struct login_job *job)
{
	if (job == NULL)
		return;
	explicit_bzero(job, sizeof(*job) + job->count * sizeof(job->work[0]));
	free(job);
}

bool
server_logins_accepted(const struct server *s)
{
	return !s->logins_busy && s->logins_ready == NULL && server_accepts(s, false);
}

int
server_logins_start(struct server *s, const struct cell *const *cells, uint32_t n)
{
	struct login_job *job = malloc(sizeof(*job) + n * sizeof(job->work[0]));

	if (job == NULL)
		return -ENOMEM;
	job->key = &s->key;
	job->count = n;
	for (uint32_t i = 0; i < n; i++) {
		memcpy(&job->work[i].cell, cells[i], cell_used(cells[i]));
		job->work[i].repeated = seems_repeated(s, cells[i]);
	}
	s->logins_busy = true;
	if (s->io.handshakes != NULL && s->io.handshakes(s->io.arg, job) == 0)
		return 0;
	login_job_run(job);
	server_logins_ready(s, job);
	return 0;
}

void
server_logins_ready(struct server *s, struct login_job *job)
{
	s->logins_busy = false;
	s->logins_ready = job;
}

uint32_t
server_logins_take(struct server *s, const struct cell **cells)
{
	struct login_job *job = s->logins_ready;

	job_free(s->logins_done);
	s->logins_done = job;
	s->logins_ready = NULL;
	for (uint32_t i = 0; job != NULL && i < job->count; i++)
		cells[i] = &job->work[i].cell;
	return job == NULL ? 0 : job->count;
}

void
logins_free(struct server *s)
{
	job_free(s->logins_done);
	job_free(s->logins_ready);
	if (s->logins != NULL)
		explicit_bzero(s->logins, LOGIN_CACHE * sizeof(*s->logins));
	free(s->logins);
}

/* ---- cells ------------------------------------------------------------------------------- */

int
login_handle(struct server *s, const struct cell *c)
{
	struct login *l = job_login(s, c), here = {.state = LOGIN_UNREAD};
	int rc;

	if (c->worker >= s->workers || s->slots == NULL)
		return 0;
	if (l == NULL)
		l = &here;
	if (l->state == LOGIN_UNREAD)
		login_read(&s->key, c, l);
	rc = login_judge(s, l);
	explicit_bzero(l, sizeof(*l)); /* unread: a batch that the store does not take comes again, and its answer is made anew */
	return rc;
}

void
login_fail(struct server *s, const struct cell *c)
{
	struct login l;

	login_read(&s->key, c, &l);
	if (l.state == LOGIN_BAD)
		return;
	COUNT(s, logins_refused);
	reply_refuse(s, &l, ROOKERY__LOGIN_RESULT__LOGIN_BUSY, 2000);
	explicit_bzero(&l, sizeof(l));
}
