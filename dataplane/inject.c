/* SPDX-License-Identifier: BSD-3-Clause */
/* Cells from control. Acting twice on one is harmless; a cell that cannot be served now stays in the ring. */
#include "worker_state.h"

#include "shared/plant.h"

#define INJECT_BURST 64
#define FENCE_WAIT_US UINT64_C(1000000)

static void
session_add(struct worker *w, const struct cell_session_add *c)
{
	struct session_table *t = &w->sessions;
	uint32_t i = session_id_index(c->sid);
	struct session *s;

	if (session_id_worker(c->sid) != w->index || i >= t->capacity || session_id_generation(c->sid) == 0) {
		punt_session_refused(w, c->sid);
		return;
	}
	s = &t->sessions[i];
	if (s->generation == session_id_generation(c->sid)) {
		/* Said twice: a control that was killed may have taken the word that it is heard with it. */
		if (c->probe)
			s->flags &= (uint8_t)~SESSION_FLAG_HEARD;
		return;
	}
	/* Said twice, and it has ended in between. With the same keys and counters from 1 on, nonces would be used again and what was
	 * captured accepted again. Control has the word of its end. */
	if (s->generation == 0 && s->ended == session_id_generation(c->sid) && !PLANTED(session_again))
		return;
	/* Control gave the slot away before it knew that somebody came back into it. */
	if (s->generation & SESSION_GENERATION_RESUMED && !(s->flags & SESSION_FLAG_EMBRYO) && !(c->sid & (uint64_t)SESSION_GENERATION_RESUMED << 32)) {
		punt_session_refused(w, c->sid);
		return;
	}
	if (s->generation != 0)
		session_remove(w, s);
	session_slot_take(t, i);
	*s = (struct session){
		.generation = session_id_generation(c->sid),
		.flags = c->flags & SESSION_RESTRICTED ? SESSION_FLAG_RESTRICTED : 0,
		.port = c->port,
		.epoch = c->epoch,
		.peer = c->peer,
		.heard_ms = (uint32_t)(w->now_us / 1000),
		.keys = c->keys,
		.user = c->user,
		.device = c->device,
		.activity = NONE,
		.key_place = KEYCACHE_NOWHERE,
	};
	timer_node_init(&s->timer);
	t->live++;
	count(w, COUNTER_sessions_added);
	if (unlikely(w->trace.count != 0))
		trace_session(w, s, COUNTER_sessions_added);
	timer_wheel_add(&t->wheel, i, w->now_us + session_life_us(w, s));
}

static void
session_probe(struct worker *w, struct session *s, const struct packet_info *to)
{
	struct frame f = {.type = FRAME_PING, .token = worker_random(w)};
	uint8_t *at = output_frame_to(w, s, to, 9);

	if (at != NULL) {
		frame_write(&f, at, 9);
		output_flush(w);
	}
}

static void
session_update(struct worker *w, const struct cell_session_update *c)
{
	struct session *s = session_find(&w->sessions, c->sid);

	if (s == NULL)
		return;
	s->user = c->user;
	s->device = c->device;
	s->flags &= (uint8_t)~SESSION_FLAG_RESTRICTED;
	if (c->flags & SESSION_RESTRICTED)
		s->flags |= SESSION_FLAG_RESTRICTED;
	s->heard_ms = (uint32_t)(w->now_us / 1000);
	/* It is filed under the time-out that it had so far, which may be the longer one. */
	timer_wheel_add(&w->sessions.wheel, session_index(&w->sessions, s),
			w->now_us + session_life_us(w, s));
}

static void
session_del(struct worker *w, const struct cell_session_del *c)
{
	struct session *s = session_find(&w->sessions, c->sid);
	struct frame f = {.type = FRAME_CLOSE, .close_reason = c->reason};
	uint8_t *at;

	if (s == NULL)
		return;
	if (c->reason != 0 && c->reason <= CLOSE_REVOKED) {
		at = output_frame(w, s, 2);
		if (at != NULL)
			frame_write(&f, at, 2);
	}
	count(w, COUNTER_sessions_removed);
	if (unlikely(w->trace.count != 0))
		trace_session(w, s, COUNTER_sessions_removed);
	session_remove(w, s);
}

static void
receipt(struct worker *w, const struct cell_receipt *c)
{
	struct session *s = session_find(&w->sessions, c->sid);
	struct message *m = message_find(&w->messages, c->sid, c->id);

	if (s == NULL)
		return;
	/* The copy of one device. While others are under way here, the answer is not final: a sender that takes it for final says so
	 * to the recipient, who then stops waiting for a copy that is still being retransmitted. */
	if (m != NULL && m->state != MESSAGE_FINAL) {
		m->acked = 1;
		return;
	}
	if (m != NULL && m->level == RECEIPT_STORED)
		m->level = c->level;
	output_receipt(w, s, RECEIPT_COPY, REFUSE_NONE, 0, c->id);
}

static void
probe(struct worker *w, session_id_t sid, uint8_t port, const struct endpoint *peer)
{
	struct session *s = session_id_worker(sid) == w->index ? session_find(&w->sessions, sid) : NULL;
	struct packet_info to = {.port = port, .peer = *peer};

	if (s != NULL)
		session_probe(w, s, &to);
}

static void
datagram(struct worker *w, const struct cell *c)
{
	struct packet_info to = {.port = c->datagram.port, .local = c->datagram.local, .peer = c->datagram.peer};

	if (c->length <= WIRE_DATAGRAM_MAX)
		output_datagram(w, &to, c->data, c->length);
}

/* A user who is told of a changed relation must find it in force, so the cells behind the fence wait for housekeeping. Not for ever: a
 * control that was killed may have written the fence and not the barrier. */
static bool
fence_open(struct worker *w, uint64_t value)
{
	if (w->fence_us == 0)
		w->fence_us = w->now_us;
	if (atomic_load_explicit(&w->ipc->header->barrier, memory_order_acquire) < value && w->now_us - w->fence_us < FENCE_WAIT_US)
		return false;
	w->fence_us = 0;
	return true;
}

static bool
cell_act(struct worker *w, const struct cell *c)
{
	switch (c->type) {
	case INJECT_SESSION_ADD:
		session_add(w, &c->session_add);
		if (c->session_add.probe)
			probe(w, c->session_add.sid, c->session_add.port, &c->session_add.peer);
		break;
	case INJECT_SESSION_UPDATE:
		session_update(w, &c->session_update);
		break;
	case INJECT_SESSION_DEL:
		session_del(w, &c->session_del);
		break;
	case INJECT_TICKET_KEYS:
		resume_keys_set(w, &c->ticket_keys);
		break;
	case INJECT_DATAGRAM:
		datagram(w, c);
		break;
	case INJECT_FRAME:
		return relay_control_frame(w, &c->frame, c->data, c->length);
	case INJECT_VERDICT:
		relay_verdict(w, &c->verdict);
		break;
	case INJECT_STORED:
		relay_stored(w, &c->stored);
		break;
	case INJECT_RECEIPT:
		receipt(w, &c->receipt);
		break;
	case INJECT_TRACE:
		trace_set(w, c);
		break;
	case INJECT_FENCE:
		return fence_open(w, c->barrier.value);
	case INJECT_PROBE:
		probe(w, c->probe.sid, c->probe.port, &c->probe.peer);
		break;
	default:
		break;
	}
	return true;
}

unsigned
inject_poll(struct worker *w)
{
	unsigned n = 0;
	const struct cell *c;
	struct cell copy;

	while (n < INJECT_BURST && (c = ring_front(w->inject_ring)) != NULL) {
		if (cell_copy(&copy, c) && !cell_act(w, &copy))
			break;
		if (copy.type == INJECT_SESSION_ADD || copy.type == INJECT_TICKET_KEYS) {
			ring_wipe_n(w->inject_ring, 1);
			explicit_bzero(&copy, cell_used(&copy));
		}
		ring_release(w->inject_ring);
		n++;
	}
	/* The server's key comes after all sessions are in the ring. */
	if (!w->provisioned && w->guard.have_keys && ring_front(w->inject_ring) == NULL)
		w->provisioned = true;
	return n;
}
