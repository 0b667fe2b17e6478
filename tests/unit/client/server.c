/* SPDX-License-Identifier: BSD-3-Clause */
#include "server_internal.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

struct server *
server_new(server_send_fn send, void *arg)
{
	struct server *s;

	if (posix_memalign((void **)&s, 64, sizeof(*s)) != 0)
		abort();
	memset(s, 0, sizeof(*s));
	s->send = send;
	s->arg = arg;
	s->page = 100;
	server_new_key(s);
	randombytes_buf(s->cookie_secret, sizeof(s->cookie_secret));
	return s;
}

void
server_session_free(struct session *n)
{
	while (n->flights != NULL) {
		struct flight *f = n->flights;

		n->flights = f->next;
		free(f);
	}
	while (n->records != NULL) {
		struct record *r = n->records;

		n->records = r->next;
		free(r);
	}
	while (n->answers != NULL) {
		struct answer *a = n->answers;

		n->answers = a->next;
		free(a);
	}
	aead_key_clear(&n->key);
	memset(n, 0, sizeof(*n));
}

void
server_free(struct server *s)
{
	for (size_t i = 0; i < SESSIONS; i++)
		server_session_free(&s->sessions[i]);
	for (size_t i = 0; i < s->n_devices; i++) {
		while (s->devices[i].queue != NULL) {
			struct stored *m = s->devices[i].queue;

			s->devices[i].queue = m->next;
			free(m);
		}
	}
	free(s);
}

void
server_new_key(struct server *s)
{
	handshake_keypair_generate(&s->key);
	handshake_guard_init(&s->guard, s->key.public);
}

const struct handshake_keypair *
server_keypair(const struct server *s)
{
	return &s->key;
}

struct user *
user_named(struct server *s, const char *name)
{
	for (size_t i = 0; i < s->n_users; i++) {
		if (strcmp(s->users[i].name, name) == 0)
			return &s->users[i];
	}
	return NULL;
}

struct user *
user_by_id(struct server *s, user_id_t id)
{
	return id >= 1 && id <= s->n_users ? &s->users[id - 1] : NULL;
}

struct device *
device_by_id(struct server *s, device_id_t id)
{
	for (size_t i = 0; i < s->n_devices; i++) {
		if (s->devices[i].id == id)
			return &s->devices[i];
	}
	return NULL;
}

struct session *
session_by_id(struct server *s, session_id_t sid)
{
	for (size_t i = 0; i < SESSIONS; i++) {
		if (s->sessions[i].up && s->sessions[i].sid == sid)
			return &s->sessions[i];
	}
	return NULL;
}

void
set_keys(struct session *n)
{
	struct session_keys k;

	session_keys_derive(&k, &n->secret, n->epoch);
	aead_key_set(&n->key, k.key);
	n->sequence = n->highest = 0;
	memset(n->seen, 0, sizeof(n->seen));
	n->delivery = 0;
}

size_t
seal(struct session *n, const uint8_t *frames, size_t len, uint8_t *out)
{
	struct wire_data d = {.sid = n->sid, .counter = wire_counter(n->epoch, ++n->sequence)};
	uint8_t nonce[AEAD_NONCE];

	wire_data_write(&d, out);
	wire_nonce(nonce, WIRE_TO_CLIENT, d.counter);
	aead_seal(&n->key, nonce, out, WIRE_DATA_HEADER, frames, len, out + WIRE_DATA_HEADER,
		  out + WIRE_DATA_HEADER + len);
	return WIRE_DATA_HEADER + len + WIRE_TAG;
}

void
send_to(struct server *s, const struct endpoint *to, const uint8_t *data, size_t len)
{
	if (!s->silent)
		s->send(s->arg, to, data, len);
}

void
send_frames(struct server *s, struct session *n, const struct endpoint *to, const uint8_t *frames, size_t len)
{
	uint8_t out[WIRE_DATAGRAM_MAX];

	send_to(s, to, out, seal(n, frames, len, out));
}

void
send_frame(struct server *s, struct session *n, const struct frame *f)
{
	uint8_t buf[WIRE_PLAINTEXT_MAX];
	int len = frame_write(f, buf, sizeof(buf));

	if (len > 0)
		send_frames(s, n, &n->peer, buf, (size_t)len);
}

void
send_receipt(struct server *s, struct session *n, message_id_t id, uint8_t level, uint8_t reason,
	     uint32_t retry_ms)
{
	uint8_t ids[8];
	struct frame f = {.type = FRAME_RECEIPT, .receipt = {.level = level, .reason = reason, .count = 1,
							     .retry_ms = retry_ms, .ids = ids}};

	wire_receipt_put(ids, 0, id);
	send_frame(s, n, &f);
}

/* ---- datagrams --------------------------------------------------------------------------- */

static void
handle_frame(struct server *s, struct session *n, const struct endpoint *from, const struct frame *f)
{
	struct frame answer = {0};

	switch (f->type) {
	case FRAME_PING:
		answer.type = FRAME_PONG;
		answer.pong.token = f->token;
		answer.pong.observed = *from;
		send_frame(s, n, &answer);
		break;
	case FRAME_PATH_RESPONSE:
		if (n->challenge != 0 && f->token == n->challenge && endpoint_equal(from, &n->candidate)) {
			n->peer = n->candidate;
			n->challenge = 0;
		}
		break;
	case FRAME_CLOSE:
		server_session_end(s, n);
		break;
	case FRAME_MESSAGE:
		if (n->full)
			handle_message(s, n, &f->message);
		break;
	case FRAME_CONFIRM:
		handle_confirm(n, f->confirm);
		break;
	case FRAME_CONFIRM_GAPS:
		handle_confirm_gaps(n, &f->confirm_gaps);
		break;
	case FRAME_ACK:
		for (unsigned i = 0; i < f->ack.count; i++) {
			uint32_t first;
			uint16_t length;

			wire_ack_range(&f->ack, i, &first, &length);
			for (unsigned k = 0; k < length; k++)
				acknowledged(s, n, first + k);
		}
		pump(s, n);
		break;
	case FRAME_REQUEST:
		if (s->slow_requests > 0) {
			s->slow_requests--;
			answer.type = FRAME_SLOW_DOWN;
			answer.slow_down.request = f->request.request;
			answer.slow_down.retry_ms = s->slow_request_ms;
			send_frame(s, n, &answer);
			break;
		}
		handle_request(s, n, &f->request);
		break;
	default:
		break;
	}
}

static void
challenge(struct server *s, struct session *n, const struct endpoint *from)
{
	struct frame f = {.type = FRAME_PATH_CHALLENGE};
	uint8_t buf[16];
	int len;

	if (n->challenge == 0 || !endpoint_equal(&n->candidate, from))
		randombytes_buf(&n->challenge, sizeof(n->challenge));
	n->candidate = *from;
	f.token = n->challenge;
	len = frame_write(&f, buf, sizeof(buf));
	send_frames(s, n, from, buf, (size_t)len);
}

static void
handle_data(struct server *s, const struct endpoint *from, const uint8_t *in, size_t len)
{
	uint8_t plain[WIRE_PLAINTEXT_MAX], nonce[AEAD_NONCE];
	struct wire_data d;
	struct session *n;
	uint64_t seq;
	bool highest;

	if (len < WIRE_DATA_MIN || wire_data_read(&d, in, len) < 0)
		return;
	n = session_by_id(s, d.sid);
	if (n == NULL) {
		const struct wire_prefix p = {.type = WIRE_RESET, .version = WIRE_VERSION, .id = d.sid};

		wire_prefix_write(&p, plain);
		send_to(s, from, plain, WIRE_RESET_SIZE);
		return;
	}
	if (wire_counter_epoch(d.counter) < n->epoch) {
		struct frame f = {.type = FRAME_PING, .token = 1};
		uint8_t buf[16];

		send_frames(s, n, from, buf, (size_t)frame_write(&f, buf, sizeof(buf)));
		return;
	}
	seq = d.counter & WIRE_SEQUENCE_MAX;
	wire_nonce(nonce, WIRE_TO_SERVER, d.counter);
	if (wire_counter_epoch(d.counter) != n->epoch || (seq + 8192 <= n->highest) ||
	    (seq <= n->highest && (n->seen[seq % 8192 / 8] >> seq % 8 & 1)) ||
	    aead_open(&n->key, nonce, in, WIRE_DATA_HEADER, in + WIRE_DATA_HEADER,
		      len - WIRE_DATA_HEADER - WIRE_TAG, plain, in + len - WIRE_TAG) < 0)
		return;
	highest = seq > n->highest;
	for (; n->highest < seq; n->highest++)
		n->seen[(n->highest + 1) % 8192 / 8] &= (uint8_t)~(1 << (n->highest + 1) % 8);
	n->seen[seq % 8192 / 8] |= (uint8_t)(1 << seq % 8);
	n->heard_us = s->now_us;
	if (highest && !endpoint_equal(from, &n->peer))
		challenge(s, n, from);
	len -= WIRE_DATA_HEADER + WIRE_TAG;
	for (size_t at = 0; at < len && n->up && n->sid == d.sid;) {
		struct frame f;
		int used = frame_read(&f, plain + at, len - at);

		if (used < 1)
			abort(); /* our client writes no bad frames */
		handle_frame(s, n, from, &f);
		at += (size_t)used;
	}
}

void
server_input(struct server *s, uint64_t now_us, const struct endpoint *from, const uint8_t *data, size_t len)
{
	struct wire_prefix p;
	uint8_t out[WIRE_KEY_REPLY_SIZE];

	s->now_us = now_us;
	if (len < WIRE_RUNT || s->silent)
		return;
	wire_prefix_read(&p, data);
	if (p.version != WIRE_VERSION || s->version) {
		const struct wire_prefix v = {.type = WIRE_VERSION_REPLY,
					      .version = s->version ? 9 : WIRE_VERSION,
					      .flags = 0x0800,
					      .id = p.id};

		wire_prefix_write(&v, out);
		send_to(s, from, out, WIRE_VERSION_REPLY_SIZE);
	} else if (p.type == WIRE_KEY && len == WIRE_KEY_QUERY_SIZE) {
		const struct wire_prefix k = {
			.type = WIRE_KEY, .version = WIRE_VERSION, .flags = 1, .id = p.id};

		wire_prefix_write(&k, out);
		memcpy(out + WIRE_PREFIX, s->key.public, HANDSHAKE_KEY);
		send_to(s, from, out, sizeof(out));
	} else if (p.type == WIRE_LOGIN) {
		handle_login(s, from, data, len);
	} else if (p.type == WIRE_DATA) {
		handle_data(s, from, data, len);
	}
}

static void
retransmit(struct server *s, struct session *n)
{
	struct flight **p = &n->flights;

	while (*p != NULL) {
		struct flight *f = *p;

		if (f->due_us > s->now_us) {
			p = &f->next;
			continue;
		}
		if (f->sends == SEND_LIMIT && f->is_deliver) {
			*p = f->next;
			n->n_flights--;
			flight_end(s, n, f, false);
			free(f);
			continue;
		}
		f->sends++;
		f->due_us = s->now_us + f->interval_us;
		f->interval_us = f->interval_us * 2 < 3000 * MS ? f->interval_us * 2 : 3000 * MS;
		send_frames(s, n, &n->peer, f->frame, f->len);
		p = &f->next;
	}
}

void
server_tick(struct server *s, uint64_t now_us)
{
	s->now_us = now_us;
	for (size_t i = 0; i < SESSIONS; i++) {
		struct session *n = &s->sessions[i];

		if (!n->up)
			continue;
		if (now_us - n->heard_us > 60000 * MS) {
			struct frame f = {.type = FRAME_CLOSE, .close_reason = CLOSE_EXPIRED};

			send_frame(s, n, &f);
			server_session_end(s, n);
			continue;
		}
		pump(s, n);
		retransmit(s, n);
	}
}

uint64_t
server_deadline(const struct server *s)
{
	uint64_t t = UINT64_MAX;

	for (size_t i = 0; i < SESSIONS; i++) {
		const struct session *n = &s->sessions[i];

		if (!n->up)
			continue;
		if (n->heard_us + 60000 * MS + 1 < t)
			t = n->heard_us + 60000 * MS + 1;
		for (const struct flight *f = n->flights; f != NULL; f = f->next)
			t = f->due_us < t ? f->due_us : t;
		for (size_t k = 0; n->full && k < s->n_devices; k++) {
			for (const struct stored *m = s->devices[k].queue; m != NULL; m = m->next) {
				if (s->devices[k].id == n->device && !m->out && m->retry_us > s->now_us &&
				    m->retry_us < t)
					t = m->retry_us;
			}
		}
	}
	return t;
}

/* ---- switches ---------------------------------------------------------------------------- */

void
server_demand_cookie(struct server *s, bool on)
{
	s->cookie = on;
}

void
server_cookie_wait(struct server *s, uint32_t ms)
{
	s->cookie_wait_ms = ms;
}

void
server_slow_requests(struct server *s, unsigned times, uint32_t retry_ms)
{
	s->slow_requests = times;
	s->slow_request_ms = retry_ms;
}

unsigned
server_slow_requests_left(const struct server *s)
{
	return s->slow_requests;
}

void
server_other_version(struct server *s, bool on)
{
	s->version = on;
}

void
server_silent(struct server *s, bool on)
{
	s->silent = on;
}

void
server_lose_last(struct server *s, bool on)
{
	s->lose_reply = on;
}

void
server_busy(struct server *s, unsigned times)
{
	s->busy = times;
}

void
server_restart_dataplane(struct server *s)
{
	for (size_t i = 0; i < SESSIONS; i++) {
		struct session *n = &s->sessions[i];
		struct frame f = {.type = FRAME_PING, .token = 1};
		struct flight *p;

		if (!n->up)
			continue;
		/* Control still has what is stored; live messages and receipts are gone. */
		while ((p = n->flights) != NULL) {
			n->flights = p->next;
			if (p->token != 0)
				flight_end(s, n, p, false);
			free(p);
		}
		n->n_flights = 0;
		while (n->records != NULL) {
			struct record *r = n->records;

			n->records = r->next;
			free(r);
		}
		n->confirmed = (struct confirmed){0};
		n->challenge = 0;
		n->epoch++;
		set_keys(n);
		send_frame(s, n, &f);
	}
}

void
server_forget_sessions(struct server *s)
{
	for (size_t i = 0; i < SESSIONS; i++) {
		if (s->sessions[i].up)
			server_session_end(s, &s->sessions[i]);
	}
}

static struct session *
newest(const struct server *s, const char *user)
{
	const struct session *best = NULL;

	for (size_t i = 0; i < SESSIONS; i++) {
		const struct session *n = &s->sessions[i];
		const struct user *u = user_by_id((struct server *)s, n->user);

		if (n->up && u != NULL && strcmp(u->name, user) == 0 &&
		    (best == NULL || session_id_generation(n->sid) > session_id_generation(best->sid)))
			best = n;
	}
	return (struct session *)best;
}

void
server_kick(struct server *s, const char *user, uint8_t reason)
{
	struct session *n = newest(s, user);
	struct frame f = {.type = FRAME_CLOSE, .close_reason = reason};

	if (n == NULL)
		return;
	send_frame(s, n, &f);
	server_session_end(s, n);
}

void
server_refuse(struct server *s, const char *from, const char *to, uint8_t reason)
{
	s->rules[s->n_rules % RULES] =
		(struct rule){.from = user_named(s, from)->id, .to = user_named(s, to)->id, .reason = reason};
	/* The newest rule of a pair counts. */
	for (size_t i = 0; i < s->n_rules; i++) {
		if (s->rules[i].from == s->rules[s->n_rules].from &&
		    s->rules[i].to == s->rules[s->n_rules].to) {
			s->rules[i].reason = reason;
			return;
		}
	}
	s->n_rules++;
}

void
server_refuse_once(struct server *s, unsigned nth)
{
	s->refuse_nth = nth;
}

void
server_slow_down(struct server *s, unsigned every)
{
	s->slow_every = every;
}

void
server_records(struct server *s, size_t most)
{
	s->records_max = most;
}

void
server_page(struct server *s, unsigned buddies)
{
	s->page = buddies;
}

unsigned
server_logins(const struct server *s)
{
	return s->logins;
}

unsigned
server_cookies(const struct server *s)
{
	return s->cookies;
}

size_t
server_accounts(const struct server *s)
{
	return s->n_users;
}

size_t
server_waiting(const struct server *s, const char *user)
{
	const struct user *u = user_named((struct server *)s, user);
	size_t n = 0;

	for (size_t i = 0; u != NULL && i < s->n_devices; i++) {
		for (const struct stored *m = s->devices[i].queue; m != NULL; m = m->next)
			n += s->devices[i].user == u->id;
	}
	return n;
}

size_t
server_seal(struct server *s, const char *user, const uint8_t *frames, size_t len, uint8_t *out)
{
	struct session *n = newest(s, user);

	return n != NULL ? seal(n, frames, len, out) : 0;
}

size_t
server_records_held(const struct server *s, const char *user)
{
	const struct session *n = newest(s, user);

	return n != NULL ? records_count(n) : 0;
}

session_id_t
server_session(const struct server *s, const char *user)
{
	const struct session *n = newest(s, user);

	return n != NULL ? n->sid : SESSION_ID_NONE;
}

device_id_t
server_device(const struct server *s, const char *user)
{
	const struct session *n = newest(s, user);

	return n != NULL ? n->device : 0;
}
