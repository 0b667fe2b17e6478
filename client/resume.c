/* SPDX-License-Identifier: BSD-3-Clause */
/* Coming back without a login: the ticket, RESUME and its answers (docs/protocol.md, section 9). Whatever goes wrong, the next attempt is a
 * LOGIN. */
#include "core.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

/* The first ticket is asked for when the session has lasted a little: who comes and goes, or comes with many, need not bother. */
#define ASK_FIRST (3 * SECOND)
#define ASK_AGAIN (60 * SECOND)
#define ASK_NEVER (3600 * SECOND)
/* With a LOGIN from time to time the keys of later sessions do not hang on those of earlier ones. */
#define LOGIN_AGE_MAX_MS (UINT64_C(7) * 24 * 3600 * 1000)
#define WAIT_UNIT (100 * MS)
#define JITTER_MAX (2 * SECOND)

/* As it lies in the store. Machines of one kind read it: it never leaves the device. */
struct stored {
	uint32_t version;
	uint32_t heartbeat_ms, timeout_ms;
	uint8_t server[HANDSHAKE_KEY];
	char user[RK_NAME_MAX + 1];
	uint8_t presence[RESUME_PRESENCE];
	uint64_t expires_ms;
	uint8_t ticket[TICKET_SIZE];
	uint8_t secret[RESUME_SECRET];
};

#define STORED_VERSION 1
_Static_assert(sizeof(struct stored) <= RK_TICKET_MAX, "a store has room for it");

/* The presence that LOGIN would name. A session by ticket begins with the one that was in force when the ticket was made. */
static void
presence(const struct rk_client *c, uint8_t out[RESUME_PRESENCE])
{
	crypto_generichash_state h;
	uint8_t status = (uint8_t)c->status;

	crypto_generichash_init(&h, NULL, 0, RESUME_PRESENCE);
	crypto_generichash_update(&h, &status, 1);
	crypto_generichash_update(&h, (const uint8_t *)c->status_text, strlen(c->status_text));
	crypto_generichash_final(&h, out, RESUME_PRESENCE);
}

/* ---- the ticket -------------------------------------------------------------------------- */

int
resume_init(struct rk_client *c)
{
	struct rk_store *s = c->store;
	struct resume *r = &c->resume;
	struct stored st;
	size_t len = sizeof(st);
	int rc = s->ticket_get == NULL ? -ENOENT : s->ticket_get(s->state, &st, &len);

	if (rc == 0 && len == sizeof(st) && st.version == STORED_VERSION && strcmp(st.user, c->user) == 0) {
		r->have = true;
		r->heartbeat_ms = st.heartbeat_ms;
		r->timeout_ms = st.timeout_ms;
		r->expires_ms = st.expires_ms;
		memcpy(r->server, st.server, sizeof(r->server));
		memcpy(r->presence, st.presence, sizeof(r->presence));
		memcpy(r->ticket, st.ticket, sizeof(r->ticket));
		memcpy(r->secret, st.secret, sizeof(r->secret));
	}
	sodium_memzero(&st, sizeof(st));
	return rc == -ENOENT ? 0 : rc;
}

void
resume_free(struct rk_client *c)
{
	sodium_memzero(&c->resume, sizeof(c->resume));
}

/* A ticket that could not be written down is good as long as the process lives. */
static void
save(struct rk_client *c)
{
	struct rk_store *s = c->store;
	const struct resume *r = &c->resume;
	struct stored st;

	if (s->ticket_put == NULL)
		return;
	memset(&st, 0, sizeof(st));
	st.version = STORED_VERSION;
	st.heartbeat_ms = r->heartbeat_ms;
	st.timeout_ms = r->timeout_ms;
	st.expires_ms = r->expires_ms;
	strcpy(st.user, c->user);
	memcpy(st.server, r->server, sizeof(st.server));
	memcpy(st.presence, r->presence, sizeof(st.presence));
	memcpy(st.ticket, r->ticket, sizeof(st.ticket));
	memcpy(st.secret, r->secret, sizeof(st.secret));
	(void)s->ticket_put(s->state, r->have ? &st : NULL, r->have ? sizeof(st) : 0);
	sodium_memzero(&st, sizeof(st));
}

void
resume_forget(struct rk_client *c)
{
	struct resume *r = &c->resume;

	if (!r->have)
		return;
	r->have = false;
	sodium_memzero(r->ticket, sizeof(r->ticket));
	sodium_memzero(r->secret, sizeof(r->secret));
	save(c);
}

/* NULL: the server gives none. */
static void
take(struct rk_client *c, const Rookery__Ticket *t)
{
	struct resume *r = &c->resume;

	if (t == NULL || t->ticket.len != TICKET_SIZE || t->secret.len != RESUME_SECRET || t->lifetime_ms == 0) {
		r->ask_us = c->now_us + ASK_NEVER;
		return;
	}
	/* Of a presence before the present one: nobody is to be shown with that. */
	if (t->status != (Rookery__Status)c->status) {
		r->ask_us = c->now_us + ASK_FIRST;
		return;
	}
	r->have = true;
	r->skip = false;
	r->heartbeat_ms = t->heartbeat_ms;
	r->timeout_ms = t->timeout_ms;
	r->expires_ms = c->wall_ms + t->lifetime_ms;
	memcpy(r->server, c->login.key, sizeof(r->server));
	presence(c, r->presence);
	memcpy(r->ticket, t->ticket.data, sizeof(r->ticket));
	memcpy(r->secret, t->secret.data, sizeof(r->secret));
	r->ask_us = c->now_us + t->lifetime_ms * MS / 2;
	save(c);
}

void
resume_response(struct rk_client *c, const Rookery__Response *r)
{
	if (r->code == ROOKERY__CODE__CODE_OK)
		take(c, r->body_case == ROOKERY__RESPONSE__BODY_TICKET ? r->ticket : NULL);
	else
		c->resume.ask_us = c->now_us + ASK_AGAIN;
}

void
resume_welcome(struct rk_client *c, const Rookery__Ticket *t)
{
	struct session *s = &c->session;

	take(c, t);
	if (!s->up || !s->resuming || t->user_id == 0 || t->device_id == 0)
		return;
	s->resuming = false;
	s->full = true;
	sodium_memzero(c->login.password, sizeof(c->login.password));
	c->login.credential = CREDENTIAL_NONE;
	request_drop(c, REQUEST_CREDENTIAL);
	client_identified(c, t->user_id, t->device_id, t->last_message_id, false);
	outbox_resend(c);
	login_announce(c, false);
}

/* ---- asking for one ---------------------------------------------------------------------- */

void
resume_session(struct rk_client *c)
{
	struct resume *r = &c->resume;

	r->skip = false;
	if (!r->have || r->ask_us < c->now_us + ASK_FIRST)
		r->ask_us = c->now_us + ASK_FIRST;
}

void
resume_presence(struct rk_client *c)
{
	c->resume.ask_us = c->now_us + ASK_FIRST;
}

uint64_t
resume_deadline(const struct rk_client *c)
{
	/* It can wait for all others. */
	return c->session.full && c->requests.first == NULL ? c->resume.ask_us : NEVER;
}

void
resume_tick(struct rk_client *c)
{
	Rookery__Request q = ROOKERY__REQUEST__INIT;
	Rookery__GetTicket get = ROOKERY__GET_TICKET__INIT;

	if (c->now_us < resume_deadline(c))
		return;
	q.body_case = ROOKERY__REQUEST__BODY_GET_TICKET;
	q.get_ticket = &get;
	c->resume.ask_us = c->now_us + ASK_AGAIN;
	request_new(c, REQUEST_TICKET, &q);
}

/* ---- RESUME ------------------------------------------------------------------------------ */

bool
resume_possible(const struct rk_client *c)
{
	const struct resume *r = &c->resume;
	struct rk_store *s = c->store;
	uint8_t now[RESUME_PRESENCE];
	uint64_t login_ms = 0;

	if (!r->have || r->skip || c->wall_ms >= r->expires_ms || c->login.credential != CREDENTIAL_NONE ||
	    sodium_memcmp(r->server, c->login.key, sizeof(r->server)) != 0)
		return false;
	if (s->counter_get(s->state, RK_COUNTER_LOGIN, &login_ms) < 0 || c->wall_ms >= login_ms + LOGIN_AGE_MAX_MS)
		return false;
	presence(c, now);
	return memcmp(now, r->presence, sizeof(now)) == 0;
}

size_t
resume_datagram(struct rk_client *c, uint8_t *buf)
{
	struct resume *r = &c->resume;

	randombytes_buf(&r->id, sizeof(r->id));
	randombytes_buf(r->nonce, sizeof(r->nonce));
	resume_write(buf, r->id, r->nonce, r->ticket);
	return RESUME_SIZE;
}

static enum resume_answer
accepted(struct rk_client *c, const uint8_t *in)
{
	struct resume *r = &c->resume;
	const uint8_t *nonce = in + WIRE_PREFIX + RESUME_NONCE, *proof = nonce + RESUME_NONCE + 8;
	Rookery__LoginReply reply = ROOKERY__LOGIN_REPLY__INIT;
	struct session_secret secret;
	struct session_keys keys;
	uint8_t expected[RESUME_PROOF];
	bool good;

	reply.session_id = get64(nonce + RESUME_NONCE);
	resume_secret(&secret, r->secret, r->nonce, nonce, reply.session_id);
	resume_derive(&keys, expected, &secret, 0);
	sodium_memzero(&keys, sizeof(keys));
	good = reply.session_id != SESSION_ID_NONE && sodium_memcmp(expected, proof, sizeof(expected)) == 0;
	if (good) {
		reply.heartbeat_ms = r->heartbeat_ms;
		reply.timeout_ms = r->timeout_ms;
		session_begin(c, &reply, &secret, false);
		c->session.resuming = c->session.up;
		c->session.resume_us = c->now_us;
		c->stats.resumes++;
	}
	sodium_memzero(&secret, sizeof(secret));
	return good && c->session.up ? RESUME_IS_ACCEPTED : RESUME_IS_IGNORED;
}

enum resume_answer
resume_input(struct rk_client *c, const struct wire_prefix *p, const uint8_t *in, size_t len, uint64_t *wait_us)
{
	struct resume *r = &c->resume;
	uint16_t units = p->flags & (uint16_t)~RESUME_ANSWER;

	if (!(p->flags & RESUME_ANSWER) || p->id != r->id || len < RESUME_REFUSED_SIZE ||
	    memcmp(in + WIRE_PREFIX, r->nonce, sizeof(r->nonce)) != 0)
		return RESUME_IS_IGNORED;
	if (units == 0)
		return len == RESUME_ACCEPTED_SIZE ? accepted(c, in) : RESUME_IS_IGNORED;
	if (len != RESUME_REFUSED_SIZE)
		return RESUME_IS_IGNORED;
	/* Not proved: an answer that is forged costs a login, or a wait that ends. */
	if (units == RESUME_VOID) {
		r->skip = true;
		return RESUME_IS_VOID;
	}
	*wait_us = earlier(units, RESUME_WAIT_MAX) * WAIT_UNIT;
	*wait_us += randombytes_uniform((uint32_t)earlier(*wait_us / 8, JITTER_MAX) + 1);
	return RESUME_IS_LATER;
}
