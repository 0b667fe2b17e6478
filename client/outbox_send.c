/* SPDX-License-Identifier: BSD-3-Clause */
/* What of the outbox is sent when: MESSAGE, its retransmissions and probes, CONFIRM. */
#include "outbox.h"

#include "shared/confirm.h"

#define RETRANSMIT_MAX (4 * SECOND)
#define PROBE_MAX (8 * SECOND)
#define GAPS_FROM 16 /* ids above the first one without a final answer: half of what any session may have unconfirmed */

/* Writes one MESSAGE and files its next retransmission. */
static int
write_message(struct rk_client *c, struct outgoing *m, unsigned i, uint8_t *out, size_t cap)
{
	struct fragment *p = &m->fragments[i];
	message_id_t id = m->row.first_id + i, prev = i > 0 ? id - 1 : m->row.prev;
	message_id_t floor = floor_below(m->conversation, id);
	size_t at = i * (size_t)MESSAGE_BODY_MAX, left = m->row.text_len - at;
	bool more = left > MESSAGE_BODY_MAX;
	struct frame f = {.type = FRAME_MESSAGE,
			  .message = {.flags = (uint8_t)((m->row.nudge ? MESSAGE_NUDGE : 0) |
							 (more ? MESSAGE_MORE : 0) |
							 (i > 0 ? MESSAGE_REST : 0)),
				      .to = m->conversation->user,
				      .id = id,
				      .prev_delta = prev == 0 ? 0 : (uint32_t)earlier(id - prev, UINT32_MAX),
				      .floor_delta = (uint32_t)earlier(id - floor, UINT32_MAX),
				      .length = (uint16_t)(more ? MESSAGE_BODY_MAX : left),
				      .body = (const uint8_t *)m->row.text + at}};
	int n = frame_write(&f, out, cap);

	if (n < 0)
		return n;
	if (p->sends++ == 0) {
		p->sent_us = c->now_us;
		if (i == 0)
			m->floor = floor;
	} else {
		c->stats.retransmits++;
		session_doubt(c);
	}
	c->stats.messages_sent++;
	if (p->state == FRAGMENT_ACCEPTED) {
		p->interval_us = earlier(2 * p->interval_us, PROBE_MAX);
	} else {
		p->interval_us =
			p->interval_us == 0 ? session_rto(c) : earlier(2 * p->interval_us, RETRANSMIT_MAX);
		set_state(c, m, p, FRAGMENT_SENT);
	}
	p->due_us = c->now_us + p->interval_us;
	return n;
}

/* Which fragment of m may be sent now, or when? Gives an index, or the number of fragments. */
static unsigned
sendable(const struct rk_client *c, const struct outgoing *m, uint64_t *when)
{
	const struct conversation *v = m->conversation;

	for (unsigned i = 0; i < m->row.fragments; i++) {
		const struct fragment *p = &m->fragments[i];

		switch (p->state) {
		case FRAGMENT_WAITING:
			/* A fragment behind it may have the place, if the server forgot this one: it must go on. */
			if (v->unaccepted >= v->window || c->outbox.unaccepted >= TOTAL_UNACCEPTED)
				break;
			*when = earlier(*when, c->outbox.hold_us);
			return c->outbox.hold_us <= c->now_us ? i : m->row.fragments;
		case FRAGMENT_SENT:
			*when = earlier(*when, p->due_us > c->outbox.hold_us ? p->due_us : c->outbox.hold_us);
			return *when <= c->now_us ? i : m->row.fragments;
		case FRAGMENT_ACCEPTED:
			*when = earlier(*when, p->due_us);
			if (*when <= c->now_us)
				return i;
			break;
		default:
			break;
		}
	}
	return m->row.fragments;
}

/* No text behind this one can be started before this one is. */
static bool
blocked(const struct outgoing *m)
{
	for (unsigned i = 0; i < m->row.fragments; i++) {
		if (m->fragments[i].sends > 0 || is_final(&m->fragments[i]))
			return false;
	}
	return true;
}

size_t
outbox_frames(struct rk_client *c, uint8_t *out, size_t cap)
{
	size_t len = 0;

	for (struct conversation *v = c->outbox.conversations; v != NULL; v = v->next) {
		if (v->first == NULL)
			continue;
		if (v->user == 0)
			outbox_resolve(c, v);
		if (v->user == 0)
			continue;
		for (struct outgoing *m = v->first; m != NULL; m = m->next) {
			uint64_t when = NEVER;
			unsigned i = m->row.first_id != 0 ? sendable(c, m, &when) : m->row.fragments;
			int n;

			if (i == m->row.fragments) {
				if (blocked(m))
					break;
				continue;
			}
			n = write_message(c, m, i, out + len, cap - len);
			if (n < 0)
				return len;
			len += (size_t)n;
		}
	}
	return len;
}

uint64_t
outbox_deadline(const struct rk_client *c)
{
	uint64_t t = c->outbox.confirm_us != 0 ? c->outbox.confirm_us : NEVER;

	if (c->outbox.retry_us != 0)
		t = earlier(t, c->outbox.retry_us);
	for (const struct conversation *v = c->outbox.conversations; v != NULL; v = v->next) {
		if (v->first != NULL && v->user == 0 && !v->resolving)
			return 0;
		if (v->nudge_refused)
			t = earlier(t, v->nudge_us);
		if (v->user == 0)
			continue;
		for (const struct outgoing *m = v->first; m != NULL; m = m->next) {
			uint64_t when = NEVER;

			if (m->row.first_id == 0)
				break;
			sendable(c, m, &when);
			t = earlier(t, when);
			if (blocked(m))
				break;
		}
	}
	return t;
}

/* All ids up to the returned one have their final answer, and the store has it. */
static message_id_t
confirmed_below(const struct outbox *o)
{
	for (size_t i = 0; i < o->n; i++) {
		const struct outgoing *m = o->all[i];
		message_id_t id;

		if (m->row.first_id == 0)
			break;
		if (m->final && !m->unsaved)
			continue;
		id = m->row.first_id - 1;
		for (unsigned k = 0; !m->unsaved && k < m->row.fragments && is_final(&m->fragments[k]); k++)
			id++;
		return id;
	}
	return o->last_id;
}

/* Adds an id without a final answer to the n gaps. false: there is no room for another gap. */
static bool
gap_add(struct confirm_gap *gaps, unsigned *n, message_id_t id)
{
	struct confirm_gap *last = *n > 0 ? &gaps[*n - 1] : NULL;

	if (last != NULL && last->last + 1 == id && id - last->first < UINT16_MAX) {
		last->last = id;
		return true;
	}
	if (*n == CONFIRM_GAPS_MAX)
		return false;
	gaps[(*n)++] = (struct confirm_gap){id, id};
	return true;
}

/* Which ids from the first unconfirmed one to *highest have no final answer? Lowers *highest to what the gaps can tell. */
static unsigned
gaps_find(const struct outbox *o, struct confirm_gap *gaps, message_id_t *highest)
{
	unsigned n = 0;

	for (size_t i = 0; i < o->n; i++) {
		const struct outgoing *m = o->all[i];

		if (m->row.first_id == 0 || m->row.first_id > *highest)
			break;
		if (m->final && !m->unsaved)
			continue;
		for (unsigned k = 0; k < m->row.fragments; k++) {
			message_id_t id = m->row.first_id + k;

			if (!m->unsaved && is_final(&m->fragments[k]))
				continue;
			if (!gap_add(gaps, &n, id)) {
				*highest = id - 1;
				break;
			}
		}
	}
	while (n > 0 && gaps[n - 1].last >= *highest)
		*highest = gaps[--n].first - 1;
	return n;
}

/* Something without a final answer for long must not keep the server from forgetting all that came after it. */
static bool
confirm_with_gaps(struct outbox *o, struct frame *f, uint8_t *ranges)
{
	struct confirm_gap gaps[CONFIRM_GAPS_MAX];
	message_id_t below = f->confirm, highest = o->final_id;
	unsigned n;

	if (highest < below + GAPS_FROM && below >= o->confirmed_id)
		return false;
	n = gaps_find(o, gaps, &highest);
	if (n == 0 || highest - gaps[0].first > UINT32_MAX)
		return false;
	for (unsigned i = 0; i < n; i++)
		wire_confirm_gap_put(ranges, i, highest, gaps[i].first, gaps[i].last);
	*f = (struct frame){.type = FRAME_CONFIRM_GAPS, .confirm_gaps = {.id = highest, .count = (uint8_t)n, .gaps = ranges}};
	return true;
}

size_t
outbox_confirm(struct rk_client *c, uint8_t *out, size_t cap, bool anyway)
{
	struct outbox *o = &c->outbox;
	uint8_t ranges[6 * CONFIRM_GAPS_MAX];
	struct frame f = {.type = FRAME_CONFIRM};
	message_id_t id;
	int n;

	if (o->confirm_us == 0 || (!anyway && o->confirm_us > c->now_us))
		return 0;
	id = f.confirm = confirmed_below(o);
	if (confirm_with_gaps(o, &f, ranges))
		id = f.confirm_gaps.id;
	o->confirm_us = 0;
	if (id == 0)
		return 0;
	n = frame_write(&f, out, cap);
	if (n < 0) {
		o->confirm_us = c->now_us;
		return 0;
	}
	if (o->confirmed_id < id)
		o->confirmed_id = id;
	return (size_t)n;
}
