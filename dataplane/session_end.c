/* SPDX-License-Identifier: BSD-3-Clause */
/* How sessions end: heartbeat time-out, CLOSE, removal by control. */
#include "worker_state.h"

#include "shared/plant.h"

#define SESSION_TIMER_BUDGET 32 /* each may seal a CLOSE: an iteration stays below 50 us */

void
session_remove(struct worker *w, struct session *s)
{
	struct session_table *t = &w->sessions;
	session_id_t sid = session_id_of(w, s);

	output_flush(w); /* seals what is written for it: its keys go now */
	relay_orphan(w, s);
	/* From here on nobody finds it: results of what fails now must not be sent to it. */
	s->generation = 0;
	inflight_fail_all(w, s);
	activity_release(t, s);
	keycache_drop(w->keycache, sid, &s->key_place);
	timer_wheel_remove(&t->wheel, session_index(t, s));
	s->ended = session_id_generation(sid);
	explicit_bzero(&s->keys, sizeof(s->keys));
	t->live--;
}

void
session_end(struct worker *w, struct session *s, enum session_event event)
{
	if (!punt_session(w, s, event)) {
		s->flags |= SESSION_FLAG_DYING;
		if (event == SESSION_CLOSED)
			s->flags |= SESSION_FLAG_CLOSED;
		timer_wheel_add(&w->sessions.wheel, session_index(&w->sessions, s), w->now_us + SESSION_TICK_US);
		return;
	}
	count(w, event == SESSION_CLOSED ? COUNTER_sessions_closed : COUNTER_sessions_expired);
	session_remove(w, s);
}

static void
session_say_expired(struct worker *w, struct session *s)
{
	struct frame f = {.type = FRAME_CLOSE, .close_reason = CLOSE_EXPIRED};
	uint8_t *at = output_frame(w, s, 2);

	if (at != NULL)
		frame_write(&f, at, 2);
}

/* Lazy: a heartbeat only stores heard_ms; the wheel asks here when a session's time may have come. */
static uint64_t
session_deadline(void *ctx, uint32_t i)
{
	struct worker *w = ctx;
	const struct session *s = &w->sessions.sessions[i];
	uint64_t timeout_us = s->flags & SESSION_FLAG_RESTRICTED ? w->restricted_us : w->timeout_us;
	uint64_t age_us = (uint64_t)((uint32_t)(w->now_us / 1000) - s->heard_ms) * 1000;

	if (s->flags & SESSION_FLAG_DYING || age_us >= timeout_us)
		return w->now_us;
	return w->now_us + timeout_us - age_us;
}

static void
session_fire(void *ctx, uint32_t i, uint64_t now_us)
{
	struct worker *w = ctx;
	struct session *s = &w->sessions.sessions[i];

	(void)now_us;
	if (!(s->flags & SESSION_FLAG_DYING))
		session_say_expired(w, s);
	if (PLANTED(no_expiry))
		session_remove(w, s);
	else
		session_end(w, s, s->flags & SESSION_FLAG_CLOSED ? SESSION_CLOSED : SESSION_EXPIRED);
}

unsigned
session_timers(struct worker *w)
{
	return timer_wheel_advance(&w->sessions.wheel, w->now_us, SESSION_TIMER_BUDGET, session_deadline, session_fire, w);
}
