/* SPDX-License-Identifier: BSD-3-Clause */
/* Cells to control. Only the bytes that carry meaning are written; nothing is kept when a ring is full. */
#include "worker_state.h"

#include <string.h>

static struct cell *
cell_open(struct worker *w, const struct cell_ring *ring, enum cell_type type, const void *data, size_t length)
{
	struct cell *c = ring_reserve(ring);

	if (c == NULL)
		return NULL;
	c->type = type;
	c->worker = w->index;
	c->length = (uint16_t)length;
	if (length != 0)
		memcpy(c->data, data, length);
	return c;
}

/* What was batched is published first: control gets all events in the order in which they were. */
static struct cell *
event_open(struct worker *w, enum cell_type type, const void *data, size_t length)
{
	struct cell *c;

	punt_flush(w);
	c = cell_open(w, w->event_ring, type, data, length);
	if (c == NULL)
		count(w, COUNTER_ring_event_full);
	return c;
}

bool
punt_login(struct worker *w, const struct rte_mbuf *m)
{
	const struct packet_info *info = packet_info(m);
	struct cell *c;

	c = cell_open(w, w->login_ring, PUNT_LOGIN, rte_pktmbuf_mtod(m, const void *), rte_pktmbuf_data_len(m));
	if (c == NULL)
		return false;
	c->datagram = (struct cell_datagram){
		.port = info->port, .local = info->local, .peer = info->peer, .came_ms = w->wall_ms};
	ring_publish(w->login_ring);
	return true;
}

bool
punt_stale(struct worker *w, session_id_t sid, const struct rte_mbuf *m)
{
	const struct packet_info *info = packet_info(m);
	struct cell *c;

	c = cell_open(w, w->request_ring, PUNT_STALE, rte_pktmbuf_mtod(m, const void *), rte_pktmbuf_data_len(m));
	if (c == NULL)
		return false;
	c->stale = (struct cell_stale){.sid = sid, .port = info->port, .peer = info->peer};
	ring_publish(w->request_ring);
	return true;
}

bool
punt_request(struct worker *w, const struct session *s, const struct frame_request *f)
{
	struct cell *c = cell_open(w, w->request_ring, PUNT_REQUEST, f->body, f->length);

	/* It may be a password, and its packet goes back to the pool as it is. */
	explicit_bzero((void *)(uintptr_t)f->body, f->length);
	if (c == NULL) {
		count(w, COUNTER_ring_request_full);
		return false;
	}
	c->request = (struct cell_request){
		.sid = session_id_of(w, s),
		.user = s->user,
		.request = f->request,
		.fragment = f->fragment,
		.fragments = f->fragments,
	};
	ring_publish(w->request_ring);
	return true;
}

bool
punt_verdict(struct worker *w, const struct message *m)
{
	struct cell *c = cell_open(w, w->request_ring, PUNT_VERDICT, NULL, 0);

	if (c == NULL) {
		count(w, COUNTER_ring_request_full);
		return false;
	}
	c->verdict = (struct cell_verdict){
		.record = {.index = message_index(&w->messages, m), .generation = m->generation},
		.from = m->from,
		.to = m->to,
	};
	ring_publish(w->request_ring);
	return true;
}

bool
punt_store(struct worker *w, const struct message *m, unsigned part)
{
	struct cell *c = event_open(w, PUNT_STORE, m->payload, m->length);

	if (c == NULL)
		return false;
	c->store = (struct cell_store){
		.record = {.index = message_index(&w->messages, m), .generation = m->generation},
		.from = m->from,
		.from_device = m->from_device,
		.to = m->to,
		.device = part == PART_STORE ? 0 : m->live[part].device,
		.id = m->id,
		.sent_at = m->sent_at,
		.prev_delta = m->prev_delta,
		.floor_delta = m->floor_delta,
		.flags = m->flags,
	};
	if (part == PART_STORE) {
		c->store.except_count = m->live_count;
		for (unsigned i = 0; i < m->live_count; i++)
			c->store.except[i] = m->live[i].device;
	}
	ring_publish(w->event_ring);
	count(w, COUNTER_messages_to_store);
	return true;
}

bool
punt_delivered(struct worker *w, session_id_t sid, uint64_t token, enum delivery_outcome outcome)
{
	struct cell *c = event_open(w, PUNT_DELIVERED, NULL, 0);

	if (c == NULL)
		return false;
	c->delivered = (struct cell_delivered){.sid = sid, .token = token, .outcome = outcome};
	ring_publish(w->event_ring);
	return true;
}

bool
punt_session(struct worker *w, const struct session *s, enum session_event event)
{
	struct cell *c = event_open(w, PUNT_SESSION, NULL, 0);

	if (c == NULL)
		return false;
	c->session = (struct cell_session){
		.sid = session_id_of(w, s),
		.event = event,
		.port = s->port,
		.peer = s->peer,
	};
	ring_publish(w->event_ring);
	return true;
}

bool
punt_expired(struct worker *w, const session_id_t *sids, uint32_t n)
{
	struct cell *c = event_open(w, PUNT_EXPIRED, sids, n * sizeof(*sids));

	if (c == NULL)
		return false;
	c->expired.count = n;
	ring_publish(w->event_ring);
	return true;
}

/* A batch is the next cell of the ring, reserved and not published yet. How much is in it the worker knows by itself: control may
 * write there, too. */
bool
punt_resumed(struct worker *w, const struct session *s, const struct embryo *e)
{
	struct cell *c = w->resumed_batch;

	if (c == NULL) {
		c = event_open(w, PUNT_RESUMED, NULL, 0);
		if (c == NULL)
			return false;
		c->resumed = (struct cell_resumed){.heard_ms = w->wall_ms};
		w->resumed_batch = c;
		w->resumed_count = 0;
	}
	c->resumed_sessions[w->resumed_count++] = (struct resumed_session){
		.sid = session_id_of(w, s),
		.user = e->user,
		.device = e->device,
		.login_timestamp = e->login_timestamp,
		.peer = s->peer,
		.port = s->port,
		.status = e->status,
		.secret = e->secret,
	};
	if (w->resumed_count == CELL_RESUMED_MAX)
		punt_flush(w);
	return true;
}

void
punt_flush(struct worker *w)
{
	struct cell *c = w->resumed_batch;

	if (c == NULL)
		return;
	c->resumed.count = w->resumed_count;
	c->length = (uint16_t)(w->resumed_count * sizeof(struct resumed_session));
	w->resumed_batch = NULL;
	ring_publish(w->event_ring);
}

bool
punt_session_refused(struct worker *w, session_id_t sid)
{
	struct cell *c = event_open(w, PUNT_SESSION, NULL, 0);

	if (c == NULL)
		return false;
	c->session = (struct cell_session){.sid = sid, .event = SESSION_REFUSED};
	ring_publish(w->event_ring);
	return true;
}
