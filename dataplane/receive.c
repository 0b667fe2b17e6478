/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Datagrams, in stages over a burst: sort by type and owner, then for the sessions of this worker: replay window and tag,
 * the tables' word on messages, then frames. Every packet ends here in exactly one counter (G7) and one free, hand-off or punt.
 */
#include "worker_state.h"

#include "shared/plant.h"

#include <string.h>

#define PATH_CHALLENGE_GAP_US UINT64_C(200000)
#define RESETS_PER_SECOND 1000
#define REQUEST_RETRY_US UINT64_C(500000)
#define SPARE_BEHIND 64 /* bytes of frames behind a message that may be copied */

/* A DATA packet of this worker on its way through the stages. */
struct arrival {
	struct rte_mbuf *m;
	struct wire_data d;
	uint8_t nonce[AEAD_NONCE]; /* written a stage before it is read, in wider words */
	int length;        /* of the plaintext */
	int first_length;  /* of the first frame, or -EPROTO */
	struct frame first;
	struct relay_lookup found; /* valid if asked */
	bool asked;
	bool newest;       /* the highest sequence so far */
};

static void
drop(struct worker *w, struct rte_mbuf *m, enum counter why)
{
	if (!PLANTED(uncounted) || why != COUNTER_drop_tag)
		count(w, why);
	if (!PLANTED(leak) || why != COUNTER_drop_tag)
		rte_pktmbuf_free(m);
}

static void
answer(struct worker *w, struct rte_mbuf *m, const uint8_t *data, size_t n, enum counter why)
{
	count(w, why);
	output_answer(w, m, data, n);
}

/* ---- datagrams without a session ---------------------------------------------------- */

static void
version_reply(struct worker *w, struct rte_mbuf *m)
{
	struct wire_prefix p;
	uint8_t out[WIRE_VERSION_REPLY_SIZE];

	wire_prefix_read(&p, rte_pktmbuf_mtod(m, const uint8_t *));
	p.type = WIRE_VERSION_REPLY;
	p.version = WIRE_VERSION;
	p.flags = WIRE_VERSION << 8;
	wire_prefix_write(&p, out);
	count(w, COUNTER_version_replies);
	answer(w, m, out, sizeof(out), COUNTER_answered);
}

static void
key_reply(struct worker *w, struct rte_mbuf *m)
{
	const struct ipc_header *h = w->ipc->header;
	struct wire_prefix p;
	uint8_t out[WIRE_KEY_REPLY_SIZE];

	wire_prefix_read(&p, rte_pktmbuf_mtod(m, const uint8_t *));
	if (rte_pktmbuf_data_len(m) < WIRE_KEY_QUERY_SIZE || p.flags != 0) {
		drop(w, m, COUNTER_drop_malformed);
		return;
	}
	if (!w->guard.have_keys) {
		drop(w, m, COUNTER_drop_login_not_ready);
		return;
	}
	p.flags = 1;
	wire_prefix_write(&p, out);
	memcpy(out + WIRE_PREFIX, h->server_public, sizeof(h->server_public));
	count(w, COUNTER_key_replies);
	answer(w, m, out, sizeof(out), COUNTER_answered);
}

static void
login_answer(struct worker *w, struct rte_mbuf *m, const uint8_t cookie[HANDSHAKE_COOKIE_SIZE], enum counter why)
{
	count(w, COUNTER_cookies_sent);
	answer(w, m, cookie, HANDSHAKE_COOKIE_SIZE, why);
}

static void
login(struct worker *w, struct rte_mbuf *m)
{
	bool pressed = ring_used(w->login_ring) > ring_capacity(w->login_ring) / 2;
	uint8_t cookie[HANDSHAKE_COOKIE_SIZE];

	switch (guard_login(&w->guard, w->guard_shared, &packet_info(m)->peer, rte_pktmbuf_mtod(m, const uint8_t *),
			    rte_pktmbuf_data_len(m), w->now_us, pressed, cookie)) {
	case GUARD_PUNT:
		drop(w, m, punt_login(w, m) ? COUNTER_punted : COUNTER_drop_ring_login);
		break;
	case GUARD_COOKIE:
		login_answer(w, m, cookie, COUNTER_drop_login_cookie);
		break;
	case GUARD_BAD_MAC:
		drop(w, m, COUNTER_drop_login_mac);
		break;
	case GUARD_NOT_READY:
		drop(w, m, COUNTER_drop_login_not_ready);
		break;
	case GUARD_LIMIT:
		login_answer(w, m, cookie, COUNTER_drop_login_limit);
		break;
	case GUARD_PREFIX:
		login_answer(w, m, cookie, COUNTER_drop_login_prefix);
		break;
	}
}

/* A hint to a client whose session is gone; no larger than what it answers, and bounded per second. Before control has provisioned the
 * sessions after a restart it would be wrong, and cost every client a login. */
static void
session_unknown(struct worker *w, struct rte_mbuf *m, session_id_t sid)
{
	struct wire_prefix p = {.type = WIRE_RESET, .version = WIRE_VERSION, .id = sid};
	uint8_t out[WIRE_RESET_SIZE];

	if (!w->provisioned) {
		drop(w, m, COUNTER_drop_session_unprovisioned);
		return;
	}
	if (w->now_us / 1000000 != w->reset_second) {
		w->reset_second = w->now_us / 1000000;
		w->reset_tokens = RESETS_PER_SECOND;
	}
	if (w->reset_tokens == 0) {
		drop(w, m, COUNTER_drop_session_unknown);
		return;
	}
	w->reset_tokens--;
	wire_prefix_write(&p, out);
	count(w, COUNTER_resets_sent);
	answer(w, m, out, sizeof(out), COUNTER_drop_session_unknown);
}

/* ---- frames ------------------------------------------------------------------------- */

static void
pong(struct worker *w, struct session *s, const struct packet_info *from, uint64_t token)
{
	struct frame f = {.type = FRAME_PONG, .pong = {.token = token, .observed = from->peer}};
	uint8_t *at = output_frame(w, s, PONG_SIZE);

	count(w, COUNTER_pings);
	if (at != NULL)
		frame_write(&f, at, PONG_SIZE);
}

static void
path_response(struct worker *w, struct session *s, const struct packet_info *from, uint64_t token)
{
	struct activity *a = activity_of(&w->sessions, s);

	if (a == NULL || a->path_token == 0 || a->path_token != token || !endpoint_equal(&a->path_peer, &from->peer) ||
	    a->path_port != from->port)
		return;
	a->path_token = 0;
	/* What was written for the old address goes there. */
	output_flush(w);
	s->peer = from->peer;
	s->port = from->port;
	s->local = from->local;
	count(w, COUNTER_path_changes);
	/* Best effort: control wants the address only for the next start of the dataplane. */
	punt_session(w, s, SESSION_MOVED);
}

static void
path_challenge(struct worker *w, struct session *s, const struct packet_info *from)
{
	struct activity *a = activity_get(&w->sessions, s, w->now_us);
	struct frame f = {.type = FRAME_PATH_CHALLENGE};
	uint8_t buf[16];
	uint8_t *at;
	int n;

	if (a == NULL)
		return;
	/* One in a while whatever the address: a client that forges its own sends no more to others than this. */
	if (a->path_token != 0 && w->now_us - a->path_sent_us < PATH_CHALLENGE_GAP_US)
		return;
	if (a->path_token == 0 || !endpoint_equal(&a->path_peer, &from->peer) || a->path_port != from->port)
		a->path_token = worker_random(w) | 1;
	a->path_peer = from->peer;
	a->path_port = from->port;
	a->path_local = from->local;
	a->path_sent_us = w->now_us;
	f.token = a->path_token;
	n = frame_write(&f, buf, sizeof(buf));
	at = output_frame_to(w, s, from, (size_t)n);
	if (at == NULL)
		return;
	memcpy(at, buf, (size_t)n);
	output_flush(w);
	count(w, COUNTER_path_challenges);
}

static bool
restricted_allows(uint8_t type)
{
	return type == FRAME_PAD || type == FRAME_PING || type == FRAME_PONG || type == FRAME_PATH_RESPONSE || type == FRAME_CLOSE ||
	       type == FRAME_ACK || type == FRAME_REQUEST;
}

static void
acks(struct worker *w, struct session *s, const struct frame_ack *ack)
{
	uint32_t first;
	uint16_t length;

	for (unsigned i = 0; i < ack->count; i++) {
		wire_ack_range(ack, i, &first, &length);
		inflight_ack(w, s, first, length);
	}
}

/* Whoever asks too often is told so here: control and its ring are for all. */
static void
request(struct worker *w, struct session *s, const struct frame_request *f)
{
	struct activity *a = activity_get(&w->sessions, s, w->now_us);
	uint64_t wait = a != NULL ? rate_take(&a->request_bucket, &w->request_rate, w->now_us) : REQUEST_RETRY_US;
	struct frame out = {.type = FRAME_SLOW_DOWN};
	uint8_t *at;

	if (wait == 0) {
		punt_request(w, s, f);
		return;
	}
	count(w, COUNTER_limit_requests);
	out.slow_down.request = f->request;
	out.slow_down.retry_ms = (uint32_t)RTE_MIN((wait + 999) / 1000, (uint64_t)UINT32_MAX);
	at = output_frame(w, s, SLOW_DOWN_SIZE);
	if (at != NULL)
		frame_write(&out, at, SLOW_DOWN_SIZE);
}

/* Acts on one frame; found: what the tables say about a MESSAGE, if they were asked already. Returns the counter that says
 * how the packet goes on: consumed, or a drop. */
static enum counter
frame_act(struct worker *w, struct session *s, const struct packet_info *from, const struct frame *f,
	  const struct relay_lookup *found)
{
	if (s->flags & SESSION_FLAG_RESTRICTED && !restricted_allows(f->type))
		return COUNTER_drop_restricted;
	switch (f->type) {
	case FRAME_PING:
		pong(w, s, from, f->token);
		break;
	case FRAME_PATH_RESPONSE:
		path_response(w, s, from, f->token);
		break;
	case FRAME_MESSAGE:
		relay_message(w, s, &f->message, found);
		break;
	case FRAME_CONFIRM:
		relay_confirm(w, s, f->confirm);
		break;
	case FRAME_CONFIRM_GAPS:
		relay_confirm_gaps(w, s, &f->confirm_gaps);
		break;
	case FRAME_ACK:
		acks(w, s, &f->ack);
		break;
	case FRAME_REQUEST:
		request(w, s, &f->request);
		break;
	case FRAME_PAD:
	case FRAME_PONG:
		break;
	default: /* frames that only a server sends */
		return COUNTER_drop_frame;
	}
	return COUNTER_consumed;
}

/* Acts on the frames at data, of which *f of n bytes is the first; found: what the tables say about that, if they were asked. */
static enum counter
frames_at(struct worker *w, struct session *s, const struct packet_info *from, const uint8_t *data, size_t length, struct frame *f,
	  int n, const struct relay_lookup *found)
{
	for (;;) {
		enum counter result;

		if (n < 0)
			return COUNTER_drop_frame;
		if (f->type == FRAME_CLOSE) {
			session_close(w, s);
			return COUNTER_consumed;
		}
		result = frame_act(w, s, from, f, found);
		found = NULL;
		data += n;
		length -= (size_t)n;
		if (length == 0 || result != COUNTER_consumed)
			return result;
		n = frame_read(f, data, length);
	}
}

/* Acts on the first frame of a packet in which its answer may leave; body: what must stay of it till then, or NULL. */
static enum counter
spare_frame(struct worker *w, struct session *s, struct packet_info from, struct arrival *a, const uint8_t *body)
{
	enum counter result;

	w->spare = (struct spare_packet){.mbuf = a->m, .body = (uint8_t *)(uintptr_t)body};
	result = frame_act(w, s, &from, &a->first, &a->found);
	if (w->spare.mbuf == NULL)
		a->m = NULL;
	w->spare = (struct spare_packet){.mbuf = NULL};
	return result;
}

/* A message whose forward may leave in the packet that brought it. What is behind the message is acted on afterwards, from a copy. */
static enum counter
message_frames(struct worker *w, struct session *s, struct arrival *a)
{
	const uint8_t *data = rte_pktmbuf_mtod_offset(a->m, const uint8_t *, WIRE_DATA_HEADER);
	size_t rest = (size_t)(a->length - a->first_length);
	struct packet_info from = *packet_info(a->m);
	uint8_t behind[SPARE_BEHIND];
	enum counter result;
	struct frame f;

	memcpy(behind, data + a->first_length, rest);
	result = spare_frame(w, s, from, a, a->first.message.body);
	if (rest == 0 || result != COUNTER_consumed)
		return result;
	return frames_at(w, s, &from, behind, rest, &f, frame_read(&f, behind, rest), NULL);
}

/* A packet of one frame, of which nothing is read any more once something is written in answer. */
static bool
read_at_once(const struct arrival *a)
{
	return a->length == a->first_length &&
	       (a->first.type == FRAME_PING || (a->first.type == FRAME_ACK && a->first.ack.count == 1));
}

/* Acts on the packet's frames; the first one is read already. a->m is NULL afterwards if it was sent. */
static enum counter
frames(struct worker *w, struct session *s, struct arrival *a)
{
	const uint8_t *data = rte_pktmbuf_mtod_offset(a->m, const uint8_t *, WIRE_DATA_HEADER);

	w->ack_steps = ACK_STEPS;
	if (a->asked && a->length - a->first_length <= SPARE_BEHIND)
		return message_frames(w, s, a);
	if (read_at_once(a))
		return spare_frame(w, s, *packet_info(a->m), a, NULL);
	return frames_at(w, s, packet_info(a->m), data, (size_t)a->length, &a->first, a->first_length,
			 a->asked ? &a->found : NULL);
}

/* ---- DATA --------------------------------------------------------------------------- */

/* Opens the packet in place. Returns the plaintext's length, or a negative counter. */
static int
data_open(struct worker *w, struct session *s, const struct arrival *a)
{
	uint8_t *data = rte_pktmbuf_mtod(a->m, uint8_t *);
	size_t length = rte_pktmbuf_data_len(a->m) - WIRE_DATA_HEADER - WIRE_TAG;

	if (cached_key_open(keycache_get(w->keycache, a->d.sid, &s->keys, &s->key_place), a->nonce, data, length) != 0)
		return -COUNTER_drop_tag;
	return (int)length;
}

/* An earlier epoch: its keys are with control, which checks the tag and asks for a probe. A later one is nonsense. */
static void
data_other_epoch(struct worker *w, struct session *s, const struct wire_data *d, struct rte_mbuf *m)
{
	if (wire_counter_epoch(d->counter) > s->epoch)
		drop(w, m, COUNTER_drop_epoch);
	else
		drop(w, m, punt_stale(w, d->sid, m) ? COUNTER_punted : COUNTER_drop_ring_request);
}

/* Stage: the tag. False when the packet has ended here. */
static bool
data_check(struct worker *w, struct arrival *a)
{
	struct session *s = session_find(&w->sessions, a->d.sid);
	bool fresh;

	if (s == NULL || s->flags & SESSION_FLAG_DYING) {
		session_unknown(w, a->m, a->d.sid);
		return false;
	}
	if (wire_counter_epoch(a->d.counter) != s->epoch) {
		data_other_epoch(w, s, &a->d, a->m);
		return false;
	}
	/* Not fresh goes on for benchmarks only. */
	fresh = replay_fresh(&s->replay, a->d.counter & WIRE_SEQUENCE_MAX);
	if (!fresh && w->config->dataplane.replay_check) {
		drop(w, a->m, COUNTER_drop_replay);
		return false;
	}
	a->length = data_open(w, s, a);
	if (a->length < 0) {
		drop(w, a->m, (enum counter)-a->length);
		return false;
	}
	a->newest = fresh && replay_record(&s->replay, a->d.counter & WIRE_SEQUENCE_MAX);
	a->first_length = frame_read(&a->first, rte_pktmbuf_mtod_offset(a->m, const uint8_t *, WIRE_DATA_HEADER), (size_t)a->length);
	a->asked = false;
	return true;
}

/* Stage: what the packet says. An earlier packet of the burst may have ended its session. */
static void
data_act(struct worker *w, struct arrival *a)
{
	struct session *s = session_find(&w->sessions, a->d.sid);
	const struct packet_info *from = packet_info(a->m);
	enum counter end;

	if (s == NULL || s->flags & SESSION_FLAG_DYING) {
		session_unknown(w, a->m, a->d.sid);
		return;
	}
	if (s->flags & SESSION_FLAG_EMBRYO) {
		enum counter how = resume_heard(w, s, from);

		if (how != COUNTER_consumed) {
			drop(w, a->m, how);
			return;
		}
	}
	s->heard_ms = (uint32_t)(w->now_us / 1000);
	if (!(s->flags & SESSION_FLAG_HEARD) && punt_session(w, s, SESSION_HEARD))
		s->flags |= SESSION_FLAG_HEARD;
	if (PLANTED(no_challenge) && a->newest) {
		s->peer = from->peer;
		s->port = from->port;
	}
	if (a->newest && (!endpoint_equal(&s->peer, &from->peer) || s->port != from->port))
		path_challenge(w, s, from);
	else if (a->newest)
		s->local = from->local;
	end = frames(w, s, a);
	if (a->m != NULL)
		drop(w, a->m, end);
	else
		count(w, end);
}

/* ---- a burst ------------------------------------------------------------------------ */

static void
data_hand_off(struct worker *w, uint32_t owner, session_id_t sid, struct rte_mbuf *m)
{
	struct handoff_item item = {.kind = HANDOFF_PACKET, .from = (uint8_t)w->index, .packet = m};

	if (owner >= w->workers)
		session_unknown(w, m, sid);
	else if (handoff_put(w, owner, &item))
		count(w, COUNTER_handoff_out);
	else
		drop(w, m, COUNTER_drop_ring_handoff);
}

/* Only these come from clients. Nothing else is ever answered, or two servers of different versions could be made to answer each other for ever. */
static bool
from_client(uint8_t type)
{
	return type == WIRE_DATA || type == WIRE_LOGIN || type == WIRE_KEY || type == WIRE_RESUME;
}

/* Datagrams without a session end here. Returns true with *d when m is DATA of a session of this worker. */
static bool
sort(struct worker *w, struct rte_mbuf *m, struct wire_data *d)
{
	const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);
	uint16_t length = rte_pktmbuf_data_len(m);
	uint32_t owner;

	if (length < WIRE_RUNT)
		drop(w, m, COUNTER_drop_runt);
	else if (length > WIRE_DATAGRAM_MAX)
		drop(w, m, COUNTER_drop_oversize);
	else if (!from_client(data[0]))
		drop(w, m, COUNTER_drop_type);
	else if (data[1] != WIRE_VERSION)
		version_reply(w, m);
	else if (data[0] == WIRE_LOGIN)
		login(w, m);
	else if (data[0] == WIRE_KEY)
		key_reply(w, m);
	else if (data[0] == WIRE_RESUME)
		resume_datagram(w, m);
	else if (data[0] != WIRE_DATA)
		drop(w, m, COUNTER_drop_type);
	else if (wire_data_read(d, data, length) != 0)
		drop(w, m, COUNTER_drop_malformed);
	else if ((owner = session_id_worker(d->sid)) != w->index)
		data_hand_off(w, owner, d->sid, m);
	else
		return true;
	return false;
}

/* Once the session's lines are there. */
static void
session_prefetch_more(const struct worker *w, const struct arrival *a)
{
	const struct session *s = session_find(&w->sessions, a->d.sid);

	if (s == NULL)
		return;
	keycache_prefetch(w->keycache, s->key_place, rte_pktmbuf_data_len(a->m));
	activity_prefetch(&w->sessions, s);
}

/* Asks the tables about the messages that the burst's packets begin with, all at once. */
static void
messages_look_up(struct worker *w, struct arrival *arrivals, uint16_t n)
{
	const struct frame_message *messages[PORT_BURST];
	const struct session *senders[PORT_BURST];
	struct relay_lookup *found[PORT_BURST];
	uint32_t k = 0;

	for (uint16_t i = 0; i < n; i++) {
		struct arrival *a = &arrivals[i];

		if (a->first_length < 0 || a->first.type != FRAME_MESSAGE)
			continue;
		a->asked = true;
		messages[k] = &a->first.message;
		senders[k] = &w->sessions.sessions[session_id_index(a->d.sid)];
		found[k++] = &a->found;
	}
	if (k != 0)
		relay_look_up(w, senders, messages, found, k);
}

static void
acks_prefetch(const struct worker *w, const struct arrival *arrivals, uint16_t n, bool record)
{
	for (uint16_t i = 0; i < n; i++) {
		const struct session *s;

		if (arrivals[i].first_length < 0 || arrivals[i].first.type != FRAME_ACK)
			continue;
		s = session_find(&w->sessions, arrivals[i].d.sid);
		if (s != NULL)
			inflight_prefetch(w, s, record);
	}
}

/* In stages, each of which loads what the next one reads. */
void
receive_burst(struct worker *w, struct rte_mbuf **pkts, uint16_t n)
{
	struct arrival arrivals[PORT_BURST];
	uint16_t ours = 0, opened = 0;

	for (uint16_t i = 0; i < n; i++) {
		struct arrival *a = &arrivals[ours];

		if (!sort(w, pkts[i], &a->d))
			continue;
		a->m = pkts[i];
		wire_nonce(a->nonce, WIRE_TO_SERVER, a->d.counter);
		session_prefetch(&w->sessions, a->d.sid);
		ours++;
	}
	for (uint16_t i = 0; i < ours; i++)
		session_prefetch_more(w, &arrivals[i]);
	for (uint16_t i = 0; i < ours; i++)
		if (data_check(w, &arrivals[i])) {
			if (opened != i)
				arrivals[opened] = arrivals[i];
			opened++;
		}
	if (unlikely(w->trace.current != NULL) && opened == 1)
		trace_opened(w, rte_pktmbuf_mtod_offset(arrivals[0].m, const uint8_t *, WIRE_DATA_HEADER), (size_t)arrivals[0].length);
	acks_prefetch(w, arrivals, opened, false);
	messages_look_up(w, arrivals, opened);
	acks_prefetch(w, arrivals, opened, true);
	for (uint16_t i = 0; i < opened; i++)
		data_act(w, &arrivals[i]);
}
