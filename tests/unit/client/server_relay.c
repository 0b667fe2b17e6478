/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages: records, deliveries, the store's queues. */
#include "server_internal.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

struct flight *
flight_add(struct server *s, struct session *n, const struct frame *f)
{
	struct flight *p = calloc(1, sizeof(*p)), **end = &n->flights;
	int len;

	if (p == NULL)
		abort();
	p->number = ++n->delivery;
	len = frame_write(f, p->frame, sizeof(p->frame));
	if (len < 0)
		abort();
	p->len = (size_t)len;
	wire_set_delivery(p->frame, p->number);
	p->due_us = s->now_us;
	p->interval_us = 200 * MS;
	while (*end != NULL)
		end = &(*end)->next;
	*end = p;
	n->n_flights++;
	return p;
}

static void
flight_deliver(struct server *s, struct session *n, const struct frame_deliver *d, uint64_t token,
	       session_id_t from)
{
	struct frame f = {.type = FRAME_DELIVER, .deliver = *d};
	struct flight *p;

	f.deliver.delivery = 1;
	if (token != 0)
		f.deliver.flags |= MESSAGE_STORED;
	p = flight_add(s, n, &f);
	p->is_deliver = true;
	p->token = token;
	p->from_sid = from;
	p->d = *d;
	memcpy(p->body, d->body, d->length);
	p->d.body = p->body;
}

void
notify(struct server *s, struct session *n, const Rookery__Notification *body)
{
	uint8_t buf[NOTIFY_BODY_MAX];
	struct frame f = {.type = FRAME_NOTIFY, .notify = {.delivery = 1, .body = buf}};

	f.notify.length = (uint16_t)rookery__notification__pack(body, buf);
	flight_add(s, n, &f);
}

static struct record *
record_of(struct session *n, message_id_t id)
{
	for (struct record *r = n->records; r != NULL; r = r->next) {
		if (r->id == id)
			return r;
	}
	return NULL;
}

size_t
records_count(const struct session *n)
{
	size_t count = 0;

	for (const struct record *r = n->records; r != NULL; r = r->next)
		count++;
	return count;
}

static void
part_resolved(struct server *s, session_id_t sid, message_id_t id, bool delivered)
{
	struct session *n = session_by_id(s, sid);
	struct record *r = n != NULL ? record_of(n, id) : NULL;

	if (r == NULL || r->final)
		return;
	r->delivered = r->delivered || delivered;
	if (r->parts > 0 && --r->parts > 0)
		return;
	r->final = true;
	r->final_us = s->now_us;
	r->level = r->delivered ? RECEIPT_DELIVERED : RECEIPT_STORED;
	send_receipt(s, n, id, r->level, REFUSE_NONE, 0);
}

static void
store(struct server *s, struct device *v, const struct frame_deliver *d, session_id_t from)
{
	struct stored *m = calloc(1, sizeof(*m)), **end = &v->queue;

	if (m == NULL)
		abort();
	m->token = ++s->token;
	m->from_sid = from;
	m->d = *d;
	memcpy(m->body, d->body, d->length);
	m->d.body = m->body;
	while (*end != NULL)
		end = &(*end)->next;
	*end = m;
}

static struct session *
live(struct server *s, device_id_t device)
{
	for (size_t i = 0; i < SESSIONS; i++) {
		if (s->sessions[i].up && s->sessions[i].full && s->sessions[i].device == device)
			return &s->sessions[i];
	}
	return NULL;
}

static struct stored **
stored_at(struct device *v, uint64_t token)
{
	struct stored **p = &v->queue;

	while (*p != NULL && (*p)->token != token)
		p = &(*p)->next;
	return p;
}

/* A delivery is over: acknowledged, or given up. */
void
flight_end(struct server *s, struct session *n, struct flight *f, bool acked)
{
	struct device *v = device_by_id(s, n->device);

	if (!f->is_deliver || v == NULL)
		return;
	if (f->token != 0) {
		struct stored **p = stored_at(v, f->token), *m = *p;

		if (m != NULL && acked) {
			struct session *from = session_by_id(s, m->from_sid);

			if (from != NULL)
				send_receipt(s, from, m->d.id, RECEIPT_COPY, REFUSE_NONE, 0);
			*p = m->next;
			free(m);
		} else if (m != NULL) {
			m->out = false;
			m->retry_us = s->now_us + 5000 * MS;
		}
	} else {
		if (!acked)
			store(s, v, &f->d, f->from_sid);
		part_resolved(s, f->from_sid, f->d.id, acked);
	}
}

void
server_session_end(struct server *s, struct session *n)
{
	struct flight *f;

	/* What was on its way to this device waits in the store. */
	while ((f = n->flights) != NULL) {
		n->flights = f->next;
		flight_end(s, n, f, false);
		free(f);
	}
	for (struct device *v = s->devices; v < s->devices + s->n_devices; v++) {
		for (struct stored *m = v->queue; v->id == n->device && m != NULL; m = m->next) {
			m->out = m->sent = false;
			m->retry_us = 0;
		}
	}
	server_session_free(n);
}

static uint8_t
verdict(struct server *s, struct session *n, const struct frame_message *m)
{
	if (user_by_id(s, m->to) == NULL)
		return REFUSE_UNKNOWN_USER;
	if (s->refuse_nth > 0 && --s->refuse_nth == 0)
		return REFUSE_NOT_BUDDIES;
	for (size_t i = 0; i < s->n_rules; i++) {
		if (s->rules[i].from == n->user && s->rules[i].to == m->to)
			return s->rules[i].reason;
	}
	return REFUSE_NONE;
}

static void
relay(struct server *s, struct session *n, struct record *r, const struct frame_message *m)
{
	struct frame_deliver d = {.flags = m->flags,
				  .from = n->user,
				  .from_device = n->device,
				  .id = m->id,
				  .prev_delta = m->prev_delta,
				  .floor_delta = m->floor_delta,
				  .sent_at = 1700000000000 + s->now_us / 1000,
				  .length = m->length,
				  .body = m->body};
	session_id_t sid = n->sid;
	message_id_t id = m->id;

	r->level = RECEIPT_ACCEPTED;
	send_receipt(s, n, id, RECEIPT_ACCEPTED, REFUSE_NONE, 0);
	for (struct device *v = s->devices; v < s->devices + s->n_devices; v++)
		r->parts += v->user == m->to;
	for (struct device *v = s->devices; v < s->devices + s->n_devices; v++) {
		struct session *to;

		if (v->user != m->to)
			continue;
		to = live(s, v->id);
		if (to != NULL && to->n_flights < INFLIGHT_MAX) {
			flight_deliver(s, to, &d, 0, sid);
		} else {
			store(s, v, &d, sid);
			part_resolved(s, sid, id, false);
		}
	}
}

void
handle_message(struct server *s, struct session *n, const struct frame_message *m)
{
	struct record *r = record_of(n, m->id);
	struct device *v = device_by_id(s, n->device);
	uint8_t reason;

	if (r != NULL) {
		send_receipt(s, n, r->id, r->level, r->reason, 0);
		return;
	}
	if (confirmed_has(&n->confirmed, m->id))
		return;
	if (s->records_max > 0 && records_count(n) >= s->records_max) {
		send_receipt(s, n, m->id, RECEIPT_REFUSED, REFUSE_SLOW_DOWN, 200);
		return;
	}
	if (s->slow_every > 0 && ++s->slow_count % s->slow_every == 0) {
		send_receipt(s, n, m->id, RECEIPT_REFUSED, REFUSE_SLOW_DOWN, 300);
		return;
	}
	reason = verdict(s, n, m);
	r = calloc(1, sizeof(*r));
	if (r == NULL)
		abort();
	r->id = m->id;
	r->next = n->records;
	n->records = r;
	if (v != NULL && m->id > v->last_message)
		v->last_message = m->id;
	if (reason == REFUSE_NONE) {
		relay(s, n, r, m);
		return;
	}
	r->level = RECEIPT_REFUSED;
	r->reason = reason;
	r->final = true;
	r->final_us = s->now_us;
	send_receipt(s, n, m->id, r->level, reason, 0);
}

static void
records_free(struct session *n)
{
	struct record **p = &n->records;

	while (*p != NULL) {
		struct record *r = *p;

		if (r->final && confirmed_has(&n->confirmed, r->id)) {
			*p = r->next;
			free(r);
		} else {
			p = &r->next;
		}
	}
}

void
handle_confirm(struct session *n, message_id_t id)
{
	if (id > n->confirmed.id)
		n->confirmed = (struct confirmed){.id = id};
	records_free(n);
}

void
handle_confirm_gaps(struct session *n, const struct frame_confirm_gaps *f)
{
	confirmed_add(&n->confirmed, f);
	records_free(n);
}

void
acknowledged(struct server *s, struct session *n, uint32_t number)
{
	struct flight **p = &n->flights, *f;

	while (*p != NULL && (*p)->number != number)
		p = &(*p)->next;
	f = *p;
	if (f == NULL)
		return;
	*p = f->next;
	n->n_flights--;
	flight_end(s, n, f, true);
	free(f);
}

static bool
is_held(const struct session *n, const struct stored *m)
{
	for (size_t i = 0; i < n->held; i++) {
		if (n->held_device[i] == m->d.from_device && m->d.id >= n->held_id[i] &&
		    (n->held_last[i] == 0 || m->d.id <= n->held_last[i]))
			return true;
	}
	return false;
}

void
pump(struct server *s, struct session *n)
{
	struct device *v = device_by_id(s, n->device);
	unsigned out = 0;
	bool fetched = n->fetch != 0, synced = !n->synced;

	if (!n->full || v == NULL)
		return;
	for (struct stored *m = v->queue; m != NULL; m = m->next) {
		if (m->token <= n->fetch_target && !is_held(n, m))
			fetched = false;
		if (m->token <= n->sync_target)
			synced = false;
		out += m->sent && !is_held(n, m);
	}
	/* What failed is tried again by itself; what was never sent waits for room among what is not held. */
	for (struct stored *m = v->queue; m != NULL; m = m->next) {
		if (m->out || m->retry_us > s->now_us || (!m->sent && out >= INJECT_MAX))
			continue;
		out += !m->sent && !is_held(n, m);
		m->out = m->sent = true;
		flight_deliver(s, n, &m->d, m->token, 0);
	}
	if (fetched) {
		Rookery__Response r = ROOKERY__RESPONSE__INIT;

		r.code = ROOKERY__CODE__CODE_OK;
		respond(s, n, n->fetch, &r);
		n->fetch = 0;
	}
	if (synced) {
		Rookery__Notification note = ROOKERY__NOTIFICATION__INIT;
		Rookery__Synced body = ROOKERY__SYNCED__INIT;

		n->synced = true;
		note.body_case = ROOKERY__NOTIFICATION__BODY_SYNCED;
		note.synced = &body;
		notify(s, n, &note);
	}
}
