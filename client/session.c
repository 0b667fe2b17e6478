/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets of a session: sealing and opening, epochs, replay window, heartbeat, acknowledgements. */
#include "core.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* RFC 6298, with the limits of docs/protocol.md. */
#define RTO_FIRST (500 * MS)
#define RTO_MIN (100 * MS)
#define RTO_MAX (4 * SECOND)

#define PING_TRIES 4 /* a PING and 3 retries */
#define PING_DISCONNECTED (2 * SECOND)
#define REBIND_INTERVAL (6 * SECOND)
#define RESUMING_MAX (10 * SECOND)
#define CLOSE_COPIES 2 /* nothing acknowledges a CLOSE */

/* ---- windows of numbers ------------------------------------------------------------------ */

bool
window_fresh(const struct window *w, uint64_t n, bool too_old)
{
	if (n > w->highest)
		return true;
	if (w->highest - n >= REPLAY_BITS)
		return too_old;
	return !(w->bits[n % REPLAY_BITS / 64] >> n % 64 & 1);
}

void
window_record(struct window *w, uint64_t n)
{
	if (n > w->highest) {
		if (n - w->highest >= REPLAY_BITS) {
			memset(w->bits, 0, sizeof(w->bits));
		} else {
			for (uint64_t i = w->highest + 1; i < n; i++)
				w->bits[i % REPLAY_BITS / 64] &= ~(UINT64_C(1) << i % 64);
		}
		w->highest = n;
	} else if (w->highest - n >= REPLAY_BITS) {
		return;
	}
	w->bits[n % REPLAY_BITS / 64] |= UINT64_C(1) << n % 64;
}

/* ---- begin and end ----------------------------------------------------------------------- */

static int
set_keys(struct session *s, uint16_t epoch)
{
	struct session_keys keys;
	int r;

	session_keys_derive(&keys, &s->secret, epoch);
	r = aead_key_set(&s->key, keys.key);
	sodium_memzero(&keys, sizeof(keys));
	return r;
}

/* Everything that belongs to one epoch. */
static void
begin_epoch(struct session *s, uint16_t epoch)
{
	s->epoch = epoch;
	s->sequence = 0;
	memset(&s->replay, 0, sizeof(s->replay));
	memset(&s->deliveries, 0, sizeof(s->deliveries));
	s->n_acks = 0;
}

static void
heard(struct rk_client *c)
{
	struct session *s = &c->session;

	s->heard_us = c->now_us;
	s->ping_tries = 0;
	if (s->disconnected) {
		s->disconnected = false;
		s->rebind = false;
		event_push(c, event_new(RK_EVENT_RESUMED));
	}
}

void
session_begin(struct rk_client *c, const Rookery__LoginReply *r, const struct session_secret *secret,
	      bool full)
{
	struct session *s = &c->session;

	session_end(c);
	s->secret = *secret;
	s->id = r->session_id;
	begin_epoch(s, (uint16_t)r->epoch);
	if (set_keys(s, s->epoch) < 0)
		return; /* no memory; the next LOGIN tries again */
	s->up = true;
	s->full = full;
	s->heartbeat_ms = r->heartbeat_ms > 0 ? r->heartbeat_ms : 20000;
	s->timeout_ms = r->timeout_ms > 0 ? r->timeout_ms : 60000;
	s->sent_us = c->now_us;
	s->paths = s->pongs = 0;
	s->observed[0] = '\0';
	c->stats.logins++;
	heard(c);
	requests_session(c);
	inbox_session(c);
	roster_session(c);
	resume_session(c);
	if (full)
		outbox_resend(c);
	session_ping(c);
}

void
session_end(struct rk_client *c)
{
	struct session *s = &c->session;

	aead_key_clear(&s->key);
	sodium_memzero(&s->secret, sizeof(s->secret));
	s->up = s->full = s->resuming = false;
	s->ping_open = false;
	s->closing = 0;
	s->n_acks = 0;
}

void
session_close(struct rk_client *c)
{
	if (c->session.up)
		c->session.closing = CLOSE_COPIES;
}

/* ---- is the server there? ---------------------------------------------------------------- */

void
session_ping(struct rk_client *c)
{
	struct session *s = &c->session;

	if (!s->up || (s->ping_open && s->ping_due_us <= c->now_us))
		return;
	s->ping_open = true;
	s->ping_due_us = c->now_us;
}

void
session_doubt(struct rk_client *c)
{
	struct session *s = &c->session;

	if (s->up && !s->ping_open && c->now_us - s->heard_us >= RTO_FIRST)
		session_ping(c);
}

void
session_disconnected(struct rk_client *c, const char *text)
{
	struct session *s = &c->session;

	if (s->disconnected)
		return;
	s->disconnected = true;
	s->rebind = true;
	s->rebind_us = c->now_us + REBIND_INTERVAL;
	event_error(c, RK_EVENT_DISCONNECTED, 0, text, 0);
}

void
session_tick(struct rk_client *c)
{
	struct session *s = &c->session;

	if (s->disconnected && c->now_us >= s->rebind_us) {
		s->rebind = true;
		s->rebind_us = c->now_us + REBIND_INTERVAL;
	}
	if (!s->up)
		return;
	if (!s->ping_open && (c->now_us - s->sent_us >= s->heartbeat_ms * MS ||
			      c->now_us - s->heard_us >= s->heartbeat_ms * MS + SECOND))
		session_ping(c);
	if (s->ping_open && s->ping_tries >= PING_TRIES && c->now_us >= s->ping_due_us)
		session_disconnected(c, "the server does not answer");
	/* Control has not said a word about it: perhaps it never heard of it. */
	if (s->resuming && c->now_us - s->resume_us > RESUMING_MAX) {
		s->resume_us = c->now_us;
		c->resume.skip = true;
		login_again(c);
	}
	/* A server that does not answer may come back with the session (it restarts, or the way to it does), and RESET
	 * tells if without. Only after this time it has certainly given it up. */
	if (c->now_us - s->heard_us > s->timeout_ms * MS)
		login_again(c);
}

static size_t
ping_frame(struct rk_client *c, uint8_t *out, size_t cap)
{
	static const uint64_t wait[PING_TRIES] = {500 * MS, 500 * MS, SECOND, 1500 * MS};
	struct session *s = &c->session;
	struct frame f = {.type = FRAME_PING};
	int n;

	if (!s->ping_open || s->ping_due_us > c->now_us)
		return 0;
	randombytes_buf(&f.token, sizeof(f.token));
	n = frame_write(&f, out, cap);
	if (n < 0)
		return 0;
	s->ping_token = f.token;
	s->ping_sent_us = c->now_us;
	if (s->disconnected || s->ping_tries >= PING_TRIES)
		s->ping_due_us = c->now_us + PING_DISCONNECTED;
	else
		s->ping_due_us = c->now_us + (wait[s->ping_tries] > session_rto(c) ? wait[s->ping_tries]
										   : session_rto(c));
	s->ping_tries++;
	return (size_t)n;
}

void
session_rtt(struct rk_client *c, uint64_t sample)
{
	struct session *s = &c->session;
	uint64_t diff;

	if (s->srtt_us == 0) {
		s->srtt_us = sample > 0 ? sample : 1;
		s->rttvar_us = sample / 2;
		return;
	}
	diff = s->srtt_us > sample ? s->srtt_us - sample : sample - s->srtt_us;
	s->rttvar_us = (3 * s->rttvar_us + diff) / 4;
	s->srtt_us = (7 * s->srtt_us + sample) / 8;
	if (s->srtt_us == 0)
		s->srtt_us = 1;
}

uint64_t
session_rto(const struct rk_client *c)
{
	const struct session *s = &c->session;
	uint64_t rto = s->srtt_us + 4 * s->rttvar_us;

	if (s->srtt_us == 0)
		return RTO_FIRST;
	if (rto < RTO_MIN)
		return RTO_MIN;
	return rto < RTO_MAX ? rto : RTO_MAX;
}

/* ---- acknowledgements -------------------------------------------------------------------- */

void
session_acknowledge(struct rk_client *c, uint32_t delivery)
{
	struct session *s = &c->session;

	/* With no room the server sends the delivery again, and that is acknowledged again. */
	if (s->up && delivery != 0 && s->n_acks < ACKS_MAX)
		s->acks[s->n_acks++] = delivery;
}

static int
compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static size_t
ack_frame(struct rk_client *c, uint8_t *out, size_t cap)
{
	struct session *s = &c->session;
	uint8_t ranges[ACK_RANGES_MAX * 6];
	struct frame f = {.type = FRAME_ACK, .ack = {.ranges = ranges}};
	unsigned used = 0;
	int n;

	if (s->n_acks == 0)
		return 0;
	qsort(s->acks, s->n_acks, sizeof(s->acks[0]), compare_u32);
	while (used < s->n_acks && f.ack.count < ACK_RANGES_MAX) {
		uint32_t first = s->acks[used], next = first;

		while (used < s->n_acks && s->acks[used] <= next && next - first < UINT16_MAX) {
			if (s->acks[used] == next)
				next++;
			used++;
		}
		wire_ack_put(ranges, f.ack.count++, first, (uint16_t)(next - first));
	}
	n = frame_write(&f, out, cap);
	if (n < 0)
		return 0;
	memmove(s->acks, s->acks + used, (s->n_acks - used) * sizeof(s->acks[0]));
	s->n_acks -= used;
	return (size_t)n;
}

/* Is this the first time that a NOTIFY or RESPONSE comes? Both are acknowledged on arrival. */
static bool
first_arrival(struct rk_client *c, uint32_t delivery)
{
	struct window *w = &c->session.deliveries;
	bool fresh = window_fresh(w, delivery, true);

	session_acknowledge(c, delivery);
	window_record(w, delivery);
	return fresh;
}

/* ---- frames from the server -------------------------------------------------------------- */

static void
handle_pong(struct rk_client *c, const struct frame *f)
{
	struct session *s = &c->session;

	if (!s->ping_open || f->pong.token != s->ping_token)
		return;
	/* Every PING has its own token, so this sample is never of a retransmission (Karn). */
	session_rtt(c, c->now_us - s->ping_sent_us);
	s->ping_open = false;
	endpoint_format(&f->pong.observed, s->observed);
	login_observed(c);
}

static void
handle_close(struct rk_client *c, uint8_t reason)
{
	struct event *e;

	/* The ticket was void, or is from now on. */
	if (c->session.resuming || reason == CLOSE_KICKED || reason == CLOSE_REVOKED)
		resume_forget(c);
	session_end(c);
	/* REPLACED while a LOGIN of ours is under way: by that one, and its answer is lost. */
	if (reason == CLOSE_EXPIRED || (reason == CLOSE_REPLACED && c->login.state == LOGIN_SEND)) {
		c->login.paused = false;
		login_again(c);
		return;
	}
	login_stop(c);
	e = event_new(RK_EVENT_CLOSED);
	if (e != NULL)
		e->e.closed = reason == CLOSE_REPLACED || reason == CLOSE_REVOKED
				      ? (enum rk_closed_reason)reason
				      : RK_CLOSED_KICKED;
	event_push(c, e);
}

static void
keep_token(uint64_t *tokens, unsigned *n, uint64_t token)
{
	if (*n == TOKENS_MAX) {
		memmove(tokens, tokens + 1, (TOKENS_MAX - 1) * sizeof(*tokens));
		(*n)--;
	}
	tokens[(*n)++] = token;
}

static void
handle_frame(struct rk_client *c, const struct frame *f)
{
	struct session *s = &c->session;

	switch (f->type) {
	case FRAME_PING:
		if (s->full)
			keep_token(s->pong, &s->pongs, f->token);
		break;
	case FRAME_PONG:
		handle_pong(c, f);
		break;
	case FRAME_PATH_CHALLENGE:
		keep_token(s->path, &s->paths, f->token);
		break;
	case FRAME_CLOSE:
		handle_close(c, f->close_reason);
		break;
	case FRAME_RECEIPT:
		outbox_receipt(c, &f->receipt);
		break;
	case FRAME_DELIVER:
		inbox_deliver(c, &f->deliver);
		break;
	case FRAME_NOTIFY:
		if (first_arrival(c, f->notify.delivery))
			roster_notify(c, f->notify.body, f->notify.length);
		break;
	case FRAME_RESPONSE:
		if (first_arrival(c, f->response.delivery))
			requests_response(c, &f->response);
		break;
	case FRAME_SLOW_DOWN:
		requests_slow_down(c, &f->slow_down);
		break;
	default:
		break; /* padding, or a frame that only clients send */
	}
}

/* ---- packets ----------------------------------------------------------------------------- */

/* A packet of a later epoch: the server restarted. Its keys are adopted only if the tag is right. */
static int
open_epoch(struct rk_client *c, const struct wire_data *d, const uint8_t *in, size_t len, uint8_t *out)
{
	struct session *s = &c->session;
	uint16_t epoch = wire_counter_epoch(d->counter);
	struct aead_key trial = {0};
	struct session_keys keys;
	uint8_t nonce[AEAD_NONCE];
	int r;

	session_keys_derive(&keys, &s->secret, epoch);
	wire_nonce(nonce, WIRE_TO_CLIENT, d->counter);
	r = aead_key_set(&trial, keys.key);
	if (r == 0)
		r = aead_open(&trial, nonce, in, WIRE_DATA_HEADER, in + WIRE_DATA_HEADER,
			      len - WIRE_DATA_HEADER - WIRE_TAG, out, in + len - WIRE_TAG);
	aead_key_clear(&trial);
	sodium_memzero(&keys, sizeof(keys));
	if (r < 0)
		return r;
	r = set_keys(s, epoch);
	if (r < 0)
		return r;
	begin_epoch(s, epoch);
	c->stats.epochs++;
	inbox_session(c);
	if (s->full)
		outbox_resend(c);
	s->ping_open = false;
	session_ping(c);
	return 0;
}

static int
open_packet(struct rk_client *c, const struct wire_data *d, const uint8_t *in, size_t len, uint8_t *out)
{
	struct session *s = &c->session;
	uint16_t epoch = wire_counter_epoch(d->counter);
	uint64_t sequence = d->counter & WIRE_SEQUENCE_MAX;
	uint8_t nonce[AEAD_NONCE];
	int r;

	if (epoch < s->epoch || sequence == 0)
		return -ESTALE;
	if (epoch > s->epoch) {
		r = open_epoch(c, d, in, len, out);
	} else {
		if (!window_fresh(&s->replay, sequence, false))
			return -EALREADY;
		wire_nonce(nonce, WIRE_TO_CLIENT, d->counter);
		r = aead_open(&s->key, nonce, in, WIRE_DATA_HEADER, in + WIRE_DATA_HEADER,
			      len - WIRE_DATA_HEADER - WIRE_TAG, out, in + len - WIRE_TAG);
	}
	if (r == 0)
		window_record(&s->replay, sequence);
	return r;
}

void
session_input(struct rk_client *c, const uint8_t *in, size_t len)
{
	struct session *s = &c->session;
	uint8_t plain[WIRE_PLAINTEXT_MAX];
	session_id_t id = s->id;
	struct wire_data d;
	struct frame f;
	size_t size;
	int n;

	if (!s->up || s->closing > 0 || len < WIRE_DATA_MIN || len > WIRE_DATAGRAM_MAX ||
	    wire_data_read(&d, in, len) < 0 || d.sid != s->id || open_packet(c, &d, in, len, plain) < 0) {
		c->stats.ignored++;
		return;
	}
	heard(c);
	login_pause(c);
	size = len - WIRE_DATA_HEADER - WIRE_TAG;
	/* A frame may end the session. */
	for (size_t at = 0; at < size && s->up && s->id == id; at += (size_t)n) {
		n = frame_read(&f, plain + at, size - at);
		if (n < 1) {
			c->stats.ignored++;
			break;
		}
		handle_frame(c, &f);
	}
}

static size_t
token_frames(struct rk_client *c, uint8_t *out, size_t cap)
{
	struct session *s = &c->session;
	size_t len = 0;
	int n;

	while (s->paths > 0) {
		struct frame f = {.type = FRAME_PATH_RESPONSE, .token = s->path[s->paths - 1]};

		n = frame_write(&f, out + len, cap - len);
		if (n < 0)
			return len;
		len += (size_t)n;
		s->paths--;
	}
	while (s->pongs > 0) {
		/* Which address the server has is no news to it: zeros. */
		struct frame f = {.type = FRAME_PONG, .pong.token = s->pong[s->pongs - 1]};

		n = frame_write(&f, out + len, cap - len);
		if (n < 0)
			return len;
		len += (size_t)n;
		s->pongs--;
	}
	return len;
}

static size_t
seal(struct rk_client *c, uint8_t *buf, size_t len)
{
	struct session *s = &c->session;
	struct wire_data d = {.sid = s->id, .counter = wire_counter(s->epoch, ++s->sequence)};
	uint8_t nonce[AEAD_NONCE], *plain = buf + WIRE_DATA_HEADER;

	wire_data_write(&d, buf);
	wire_nonce(nonce, WIRE_TO_SERVER, d.counter);
	aead_seal(&s->key, nonce, buf, WIRE_DATA_HEADER, plain, len, plain, plain + len);
	s->sent_us = c->now_us;
	return WIRE_DATA_HEADER + len + WIRE_TAG;
}

static size_t
close_output(struct rk_client *c, uint8_t *buf)
{
	struct session *s = &c->session;
	struct frame f = {.type = FRAME_CLOSE, .close_reason = CLOSE_LOGOUT};
	uint8_t *out = buf + WIRE_DATA_HEADER;
	size_t len = ack_frame(c, out, WIRE_PLAINTEXT_MAX);
	int n = frame_write(&f, out + len, WIRE_PLAINTEXT_MAX - len);

	len = n > 0 ? seal(c, buf, len + (size_t)n) : 0;
	if (--s->closing == 0)
		session_end(c);
	return len;
}

size_t
session_output(struct rk_client *c, uint8_t *buf)
{
	uint8_t *out = buf + WIRE_DATA_HEADER;
	const size_t cap = WIRE_PLAINTEXT_MAX;
	size_t len;

	if (!c->session.up)
		return 0;
	if (c->session.closing > 0)
		return close_output(c, buf);
	len = token_frames(c, out, cap);
	len += ack_frame(c, out + len, cap - len);
	len += ping_frame(c, out + len, cap - len);
	/* Control does not know a session that was resumed at once, and ends what it does not know. */
	if (!c->session.resuming)
		len += requests_frames(c, out + len, cap - len);
	if (c->session.full) {
		len += outbox_frames(c, out + len, cap - len);
		len += outbox_confirm(c, out + len, cap - len, len > 0);
	}
	return len > 0 ? seal(c, buf, len) : 0;
}

uint64_t
session_deadline(const struct rk_client *c)
{
	const struct session *s = &c->session;
	uint64_t t = s->disconnected ? s->rebind_us : NEVER;

	if (!s->up)
		return t;
	if (s->n_acks > 0 || s->paths > 0 || s->pongs > 0 || s->closing > 0)
		return 0;
	if (s->ping_open)
		t = earlier(t, s->ping_due_us);
	else
		t = earlier(t, earlier(s->sent_us + s->heartbeat_ms * MS,
				       s->heard_us + s->heartbeat_ms * MS + SECOND));
	if (!s->resuming)
		t = earlier(t, requests_deadline(c));
	return s->full ? earlier(t, outbox_deadline(c)) : t;
}

const char *
session_check(const struct rk_client *c)
{
	const struct session *s = &c->session;

	if (s->full && !s->up)
		return "session: full but not up";
	if (s->up && s->id == SESSION_ID_NONE)
		return "session: up without an id";
	if (s->sequence > WIRE_SEQUENCE_MAX)
		return "session: sequence beyond 48 bits";
	if (s->n_acks > ACKS_MAX || s->paths > TOKENS_MAX || s->pongs > TOKENS_MAX)
		return "session: a list is longer than its array";
	if (!s->up && (s->n_acks > 0 || s->ping_open || s->closing > 0))
		return "session: something left to send without a session";
	return NULL;
}
