/* SPDX-License-Identifier: BSD-3-Clause */
/* From the server's key to a session: KEY query, LOGIN, cookie, answers, hints (docs/protocol.md, sections 1
 * and 2). */
#include "core.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#define FIRST_INTERVAL (250 * MS)
#define MAX_INTERVAL (4 * SECOND)
#define RETRIES 3
#define KEY_SENDS 3 /* so many LOGINs without an answer: perhaps the server has another key by now */
/* After this long without an answer a LOGIN is made anew: the server may have forgotten the one before. */
#define ATTEMPT (12 * SECOND)
#define ATTEMPT_BESIDE_SESSION (5 * SECOND)
#define HINT_INTERVAL SECOND
#define COOKIE_WAIT_MAX (60 * SECOND)
#define REPLAYED_RETRIES 3
#define RESUME_RETRIES 4 /* a RESUME that is not answered costs a login no more than four seconds */
/* How long RK_EVENT_LOGIN waits for the PONG that tells our address. */
#define ANNOUNCE_WAIT (3 * SECOND)

static void attempt(struct rk_client *c);

int
login_init(struct rk_client *c, const struct rk_config *cfg)
{
	struct login *l = &c->login;
	int r = 0;

	l->ask_key = cfg->ask_new_key;
	if (cfg->server_key != NULL) {
		memcpy(l->key, cfg->server_key, sizeof(l->key));
		l->have_key = l->key_configured = true;
		return 0;
	}
	r = c->store->server_key_get(c->store->state, l->key);
	l->have_key = r == 0;
	return r == -ENOENT ? 0 : r;
}

void
login_free(struct rk_client *c)
{
	handshake_client_clear(&c->login.handshake);
	sodium_memzero(&c->login, sizeof(c->login));
}

static void
wait_for(struct rk_client *c, uint64_t us)
{
	c->login.state = LOGIN_WAIT;
	c->login.due_us = c->now_us + us;
	c->login.queued = false;
}

/* ---- the server's key -------------------------------------------------------------------- */

static void
query_key(struct rk_client *c)
{
	struct login *l = &c->login;

	randombytes_buf(&l->key_id, sizeof(l->key_id));
	l->key_queued = true;
}

static void
begin_key(struct rk_client *c)
{
	struct login *l = &c->login;

	l->state = LOGIN_KEY;
	l->sends = 1;
	l->interval_us = FIRST_INTERVAL;
	l->due_us = c->now_us + l->interval_us;
	query_key(c);
}

static int
pin_key(struct rk_client *c, const uint8_t *key)
{
	struct login *l = &c->login;
	int r = c->store->server_key_put(c->store->state, key);

	if (r < 0) {
		store_failed(c, r);
		return r;
	}
	memcpy(l->key, key, sizeof(l->key));
	l->have_key = true;
	return 0;
}

static void
key_event(struct rk_client *c, const uint8_t *key, bool changed, bool accepted)
{
	struct event *e = event_new(RK_EVENT_KEY_SEEN);

	if (e == NULL)
		return;
	memcpy(e->e.key.key, key, RK_KEY_SIZE);
	sodium_bin2hex(e->e.key.text, sizeof(e->e.key.text), key, RK_KEY_SIZE);
	e->e.key.changed = changed;
	e->e.key.accepted = accepted;
	event_push(c, e);
}

static void
handle_key(struct rk_client *c, const uint8_t *key)
{
	struct login *l = &c->login;

	if (l->state == LOGIN_KEY) {
		if (l->ask_key) {
			memcpy(l->seen, key, sizeof(l->seen));
			l->question = true;
			l->changed = false;
			l->state = LOGIN_QUESTION;
			key_event(c, key, false, false);
			return;
		}
		if (pin_key(c, key) < 0) {
			wait_for(c, SECOND);
			return;
		}
		key_event(c, key, false, true);
		attempt(c);
		return;
	}
	/* The LOGIN is not answered, and this is why. An unauthenticated answer: only a person may believe
	 * it. */
	if (!l->have_key || memcmp(key, l->key, sizeof(l->key)) == 0)
		return;
	if (l->seen_told && memcmp(key, l->seen, sizeof(l->seen)) == 0)
		return;
	memcpy(l->seen, key, sizeof(l->seen));
	l->seen_told = true;
	l->question = true;
	l->changed = true;
	key_event(c, key, true, false);
}

int
rk_client_answer_key(struct rk_client *c, bool accept)
{
	struct login *l = &c->login;
	int r;

	if (!l->question)
		return -ENOENT;
	if (!accept) {
		l->question = false;
		if (!l->changed)
			login_stop(c);
		return 0;
	}
	if (l->key_configured)
		return -EPERM;
	r = pin_key(c, l->seen);
	if (r < 0)
		return r;
	l->question = false;
	session_end(c);
	wait_for(c, 0);
	return 0;
}

/* ---- LOGIN ------------------------------------------------------------------------------- */

static int
pack_hello(struct rk_client *c, uint64_t timestamp)
{
	/* Enough for the smallest LOGIN that is answered; the padding field itself takes 3 bytes. */
	static uint8_t zeros[HANDSHAKE_LOGIN_MIN - HANDSHAKE_LOGIN_OVERHEAD];
	Rookery__LoginHello hello = ROOKERY__LOGIN_HELLO__INIT;
	struct login *l = &c->login;
	size_t size;

	hello.timestamp = timestamp;
	hello.user = c->user;
	hello.device_name = c->device_name;
	hello.status = (Rookery__Status)c->status;
	hello.status_text = c->status_text;
	size = rookery__login_hello__get_packed_size(&hello);
	if (size < sizeof(zeros)) {
		hello.padding.data = zeros;
		hello.padding.len = sizeof(zeros) - size;
		size = rookery__login_hello__get_packed_size(&hello);
	}
	if (size > sizeof(l->payload))
		return -EMSGSIZE;
	l->payload_len = rookery__login_hello__pack(&hello, l->payload);
	return 0;
}

static int
write_login(struct rk_client *c)
{
	struct login *l = &c->login;
	int n = handshake_client_start(&l->handshake, &c->device, l->key, l->handshake.id, l->payload,
				       l->payload_len, l->datagram, sizeof(l->datagram));

	if (n < 0)
		return n;
	l->len = (size_t)n;
	return 0;
}

/* l->datagram is to be sent, until an answer comes. */
static void
send_login(struct rk_client *c, bool resuming)
{
	struct login *l = &c->login;

	l->state = LOGIN_SEND;
	l->resuming = resuming;
	l->paused = false;
	l->queued = true;
	l->sends = 1;
	l->began_us = c->now_us;
	l->interval_us = FIRST_INTERVAL;
	l->due_us = c->now_us + l->interval_us;
}

/* Makes a new LOGIN, with a timestamp that this device never used, and has it sent; or a RESUME, if there is a ticket for it. */
static void
attempt(struct rk_client *c)
{
	struct login *l = &c->login;
	struct rk_store *s = c->store;
	uint64_t timestamp = 0;
	int r = s->counter_get(s->state, RK_COUNTER_LOGIN, &timestamp);

	if (resume_possible(c)) {
		l->len = resume_datagram(c, l->datagram);
		send_login(c, true);
		return;
	}
	if (r == -ENOENT)
		r = 0;
	timestamp = timestamp >= c->wall_ms ? timestamp + 1 : c->wall_ms;
	if (r == 0)
		r = s->counter_put(s->state, RK_COUNTER_LOGIN, timestamp);
	if (r < 0) {
		store_failed(c, r);
		wait_for(c, SECOND);
		return;
	}
	store_works(c);
	randombytes_buf(&l->handshake.id, sizeof(l->handshake.id));
	if (pack_hello(c, timestamp) < 0 || write_login(c) < 0) {
		event_error(c, RK_EVENT_ERROR, RK_CODE_KEY_CHANGED, "the server's key is not usable", 0);
		l->state = LOGIN_OFF;
		return;
	}
	send_login(c, false);
}

void
login_start(struct rk_client *c)
{
	struct login *l = &c->login;

	if (l->state != LOGIN_OFF)
		return;
	l->announced = l->enrol_told = false;
	l->version_told = false;
	l->seen_told = false;
	l->unanswered = l->replayed = 0;
	/* With the next call that carries the time: the time of the last one may be long ago. */
	wait_for(c, 0);
}

void
login_stop(struct rk_client *c)
{
	struct login *l = &c->login;

	l->state = LOGIN_OFF;
	l->queued = l->key_queued = l->question = false;
	if (l->announcing != NULL) {
		l->announcing->waiting = false;
		l->announcing = NULL;
	}
	c->session.disconnected = c->session.rebind = false;
}

void
login_again(struct rk_client *c)
{
	struct login *l = &c->login;

	if (l->state == LOGIN_SETTLED ||
	    (l->state == LOGIN_SEND && l->paused && c->now_us - l->began_us >= ATTEMPT_BESIDE_SESSION))
		attempt(c);
}

void
login_pause(struct rk_client *c)
{
	if (c->login.state == LOGIN_SEND) {
		c->login.paused = true;
		c->login.queued = false;
	}
}

/* ---- answers ----------------------------------------------------------------------------- */

static void
refused(struct rk_client *c, enum rk_code code, const char *text, uint32_t retry_ms)
{
	sodium_memzero(c->login.password, sizeof(c->login.password));
	c->login.credential = CREDENTIAL_NONE;
	event_error(c, RK_EVENT_LOGIN_REFUSED, code, text, retry_ms);
}

void
login_observed(struct rk_client *c)
{
	struct login *l = &c->login;

	if (l->announcing == NULL)
		return;
	l->announcing->e.login.observed = event_text(l->announcing, c->session.observed);
	l->announcing->waiting = false;
	l->announcing = NULL;
}

void
login_announce(struct rk_client *c, bool enrolled)
{
	struct login *l = &c->login;
	struct event *e;

	if (l->announced)
		return;
	e = event_new(RK_EVENT_LOGIN);
	if (e == NULL)
		return;
	l->announced = true;
	e->e.login = (struct rk_event_login){.user = event_text(e, c->user), .user_id = c->user_id,
					     .device_id = c->device_id, .observed = "", .enrolled = enrolled};
	/* What comes with the first packets of the session stays behind this event. */
	e->waiting = true;
	l->announcing = e;
	l->announce_us = c->now_us + ANNOUNCE_WAIT;
	event_push(c, e);
	if (c->session.observed[0] != '\0')
		login_observed(c);
	else
		session_ping(c);
}

void
login_credential(struct rk_client *c)
{
	struct login *l = &c->login;
	Rookery__Request q = ROOKERY__REQUEST__INIT;
	Rookery__Register reg = ROOKERY__REGISTER__INIT;
	Rookery__Enrol enrol = ROOKERY__ENROL__INIT;

	if (!c->session.up || c->session.full || l->credential == CREDENTIAL_NONE ||
	    request_pending(c, REQUEST_CREDENTIAL))
		return;
	if (l->credential == CREDENTIAL_REGISTER) {
		reg.user = c->user;
		reg.password = l->password;
		reg.device_name = c->device_name;
		reg.status = (Rookery__Status)c->status;
		reg.status_text = c->status_text;
		q.body_case = ROOKERY__REQUEST__BODY_REGISTER;
		q.register_ = &reg;
	} else {
		enrol.user = c->user;
		enrol.password = l->password;
		enrol.device_name = c->device_name;
		enrol.status = (Rookery__Status)c->status;
		enrol.status_text = c->status_text;
		q.body_case = ROOKERY__REQUEST__BODY_ENROL;
		q.enrol = &enrol;
	}
	request_new(c, REQUEST_CREDENTIAL, &q);
}

void
login_enrolled(struct rk_client *c, const Rookery__Response *r)
{
	if (r->code != ROOKERY__CODE__CODE_OK || r->body_case != ROOKERY__RESPONSE__BODY_LOGGED_IN) {
		enum rk_code code = r->code > 1 ? (enum rk_code)r->code : RK_CODE_INTERNAL;

		refused(c, code, r->text, r->retry_ms);
		return;
	}
	sodium_memzero(c->login.password, sizeof(c->login.password));
	c->login.credential = CREDENTIAL_NONE;
	c->session.full = true;
	/* The same device as before: its password was changed elsewhere, and nothing else. */
	client_identified(c, r->logged_in->user_id, r->logged_in->device_id, r->logged_in->last_message_id,
			  r->logged_in->user_id != c->user_id || r->logged_in->device_id != c->device_id);
	outbox_resend(c);
	login_announce(c, true);
}

static void
logged_in(struct rk_client *c, const Rookery__LoginReply *r, const struct session_secret *secret)
{
	struct login *l = &c->login;
	bool full = r->result == ROOKERY__LOGIN_RESULT__LOGIN_OK;

	if (r->session_id == SESSION_ID_NONE || r->epoch > UINT16_MAX) {
		wait_for(c, SECOND);
		return;
	}
	l->state = LOGIN_SETTLED;
	l->queued = false;
	l->unanswered = l->replayed = 0;
	session_begin(c, r, secret, full);
	if (!c->session.up) {
		wait_for(c, SECOND);
		return;
	}
	if (full) {
		sodium_memzero(l->password, sizeof(l->password));
		l->credential = CREDENTIAL_NONE;
		request_drop(c, REQUEST_CREDENTIAL);
		client_identified(c, r->user_id, r->device_id, r->last_message_id, false);
		login_announce(c, false);
	} else if (l->credential == CREDENTIAL_NONE) {
		/* The restricted session is renewed as long as nobody answers; the question is not. */
		if (!l->enrol_told)
			event_push(c, event_new(RK_EVENT_ENROL_NEEDED));
		l->enrol_told = true;
	} else {
		login_credential(c);
	}
}

/* The server has seen a later timestamp: this clock was set back, or this store is an old copy. */
static void
replayed(struct rk_client *c, const Rookery__LoginReply *r)
{
	struct rk_store *s = c->store;
	uint64_t timestamp = 0;

	s->counter_get(s->state, RK_COUNTER_LOGIN, &timestamp);
	if (r->server_time > timestamp && s->counter_put(s->state, RK_COUNTER_LOGIN, r->server_time) < 0)
		c->login.replayed = REPLAYED_RETRIES;
	if (c->login.replayed++ < REPLAYED_RETRIES)
		attempt(c);
	else
		wait_for(c, ATTEMPT_BESIDE_SESSION);
}

static void
handle_reply(struct rk_client *c, const uint8_t *in, size_t len)
{
	struct login *l = &c->login;
	uint8_t payload[HANDSHAKE_PAYLOAD_MAX];
	struct session_secret secret;
	Rookery__LoginReply *r;
	int n;

	n = handshake_client_finish(&l->handshake, in, len, payload, sizeof(payload), &secret);
	r = n < 0 ? NULL : rookery__login_reply__unpack(NULL, (size_t)n, payload);
	if (r == NULL) {
		c->stats.ignored++;
		sodium_memzero(&secret, sizeof(secret));
		return;
	}
	switch (r->result) {
	case ROOKERY__LOGIN_RESULT__LOGIN_OK:
	case ROOKERY__LOGIN_RESULT__LOGIN_RESTRICTED:
		logged_in(c, r, &secret);
		break;
	case ROOKERY__LOGIN_RESULT__LOGIN_REPLAYED:
		replayed(c, r);
		break;
	case ROOKERY__LOGIN_RESULT__LOGIN_WRONG_USER:
		session_end(c);
		login_stop(c);
		refused(c, RK_CODE_WRONG_USER, "this device belongs to another user", 0);
		break;
	default: /* busy, or an answer of a later version */
		wait_for(c, r->retry_ms > 0 ? r->retry_ms * MS : SECOND);
		break;
	}
	rookery__login_reply__free_unpacked(r, NULL);
	sodium_memzero(&secret, sizeof(secret));
}

static void
handle_cookie(struct rk_client *c, const uint8_t *in, size_t len)
{
	struct login *l = &c->login;
	bool had_one = l->handshake.have_cookie;
	int wait_ms = handshake_client_cookie(&l->handshake, in, len);

	if (wait_ms > 0) {
		wait_for(c, earlier((uint64_t)wait_ms * MS, COOKIE_WAIT_MAX));
		return;
	}
	if (wait_ms < 0 || write_login(c) < 0) {
		c->stats.ignored++;
		return;
	}
	/* A second cookie (the server's secret changed, or a copy came) does not hurry. */
	if (!had_one)
		l->queued = true;
}

static void
handle_resume(struct rk_client *c, const struct wire_prefix *p, const uint8_t *in, size_t len)
{
	struct login *l = &c->login;
	uint64_t wait_us;

	switch (resume_input(c, p, in, len, &wait_us)) {
	case RESUME_IS_ACCEPTED:
		l->state = LOGIN_SETTLED;
		l->queued = false;
		l->unanswered = l->replayed = 0;
		break;
	case RESUME_IS_VOID:
		attempt(c);
		break;
	case RESUME_IS_LATER:
		wait_for(c, wait_us);
		break;
	default:
		c->stats.ignored++;
	}
}

static void
handle_version(struct rk_client *c, const struct wire_prefix *p)
{
	struct login *l = &c->login;
	bool ours = (l->state == LOGIN_SEND && p->id == (l->resuming ? c->resume.id : l->handshake.id)) ||
		    (l->state == LOGIN_KEY && p->id == l->key_id);

	if (!ours || l->version_told || p->version == WIRE_VERSION) {
		c->stats.ignored++;
		return;
	}
	/* Unauthenticated, so the client goes on trying. */
	l->version_told = true;
	event_error(c, RK_EVENT_ERROR, RK_CODE_VERSION, "the server speaks another version of the protocol",
		    0);
}

static void
handle_reset(struct rk_client *c, const struct wire_prefix *p)
{
	struct login *l = &c->login;

	if (!c->session.up || p->id != c->session.id ||
	    (l->hinted && c->now_us - l->hint_us < HINT_INTERVAL)) {
		c->stats.ignored++;
		return;
	}
	l->hinted = true;
	l->hint_us = c->now_us;
	if (l->state == LOGIN_SETTLED || (l->state == LOGIN_SEND && l->paused))
		attempt(c);
}

void
login_input(struct rk_client *c, const struct wire_prefix *p, const uint8_t *in, size_t len)
{
	struct login *l = &c->login;

	if (p->type == WIRE_VERSION_REPLY && len == WIRE_VERSION_REPLY_SIZE)
		handle_version(c, p);
	else if (p->version != WIRE_VERSION)
		c->stats.ignored++;
	else if (p->type == WIRE_RESET && len == WIRE_RESET_SIZE)
		handle_reset(c, p);
	else if (p->type == WIRE_KEY && len == WIRE_KEY_REPLY_SIZE && p->flags == 1 && p->id == l->key_id &&
		 l->state != LOGIN_OFF && l->state != LOGIN_SETTLED)
		handle_key(c, in + WIRE_PREFIX);
	else if (l->state == LOGIN_SEND && l->resuming && p->type == WIRE_RESUME)
		handle_resume(c, p, in, len);
	else if (l->state == LOGIN_SEND && l->resuming)
		c->stats.ignored++;
	else if (l->state == LOGIN_SEND && p->type == WIRE_LOGIN_REPLY && p->id == l->handshake.id)
		handle_reply(c, in, len);
	else if (l->state == LOGIN_SEND && p->type == WIRE_COOKIE && p->id == l->handshake.id)
		handle_cookie(c, in, len);
	else
		c->stats.ignored++;
}

/* ---- time -------------------------------------------------------------------------------- */

static void
again_later(struct rk_client *c)
{
	struct login *l = &c->login;

	l->interval_us = earlier(2 * l->interval_us, MAX_INTERVAL);
	l->due_us = c->now_us + l->interval_us;
	if (l->sends++ > RETRIES && !c->session.up)
		session_disconnected(c, "the server does not answer");
}

void
login_tick(struct rk_client *c)
{
	struct login *l = &c->login;

	if (l->announcing != NULL && c->now_us >= l->announce_us)
		login_observed(c);
	switch (l->state) {
	case LOGIN_KEY:
		if (c->now_us >= l->due_us) {
			l->key_queued = true;
			again_later(c);
		}
		break;
	case LOGIN_SEND:
		if (l->paused)
			break;
		if (l->resuming && l->sends >= RESUME_RETRIES && c->now_us >= l->due_us) {
			c->resume.skip = true;
			attempt(c);
			query_key(c);
			break;
		}
		if (c->now_us - l->began_us >= (c->session.up ? ATTEMPT_BESIDE_SESSION : ATTEMPT)) {
			attempt(c);
			/* Perhaps the server has another key by now. */
			if (l->unanswered++ > 0)
				query_key(c);
		} else if (c->now_us >= l->due_us) {
			l->queued = true;
			again_later(c);
			if (l->sends == KEY_SENDS && !c->session.up)
				query_key(c);
		}
		break;
	case LOGIN_WAIT:
		if (c->now_us < l->due_us)
			break;
		if (l->have_key)
			attempt(c);
		else
			begin_key(c);
		break;
	default:
		break;
	}
}

size_t
login_output(struct rk_client *c, uint8_t *buf)
{
	struct login *l = &c->login;

	if (l->key_queued) {
		const struct wire_prefix p = {.type = WIRE_KEY, .version = WIRE_VERSION, .id = l->key_id};

		l->key_queued = false;
		memset(buf, 0, WIRE_KEY_QUERY_SIZE);
		wire_prefix_write(&p, buf);
		return WIRE_KEY_QUERY_SIZE;
	}
	if (!l->queued)
		return 0;
	l->queued = false;
	memcpy(buf, l->datagram, l->len);
	return l->len;
}

uint64_t
login_deadline(const struct rk_client *c)
{
	const struct login *l = &c->login;
	uint64_t t = l->announcing != NULL ? l->announce_us : NEVER;

	if (l->queued || l->key_queued)
		return 0;
	if (l->state == LOGIN_KEY || l->state == LOGIN_WAIT || (l->state == LOGIN_SEND && !l->paused))
		t = earlier(t, l->due_us);
	return t;
}

const char *
login_check(const struct rk_client *c)
{
	const struct login *l = &c->login;

	if (l->state == LOGIN_SETTLED && !c->session.up)
		return "login: settled without a session";
	if (l->queued && l->state != LOGIN_SEND)
		return "login: a LOGIN is queued in the wrong state";
	if ((l->state == LOGIN_SEND || l->state == LOGIN_SETTLED) && !l->have_key)
		return "login: logging in without the server's key";
	if (l->announcing != NULL && !l->announcing->waiting)
		return "login: the announcement does not wait";
	if (l->credential == CREDENTIAL_NONE && l->password[0] != '\0')
		return "login: a password is kept for nothing";
	return NULL;
}
