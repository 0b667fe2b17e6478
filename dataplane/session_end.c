/* SPDX-License-Identifier: BSD-3-Clause */
/* How sessions end: heartbeat time-out, CLOSE, removal by control. */
#include "worker_state.h"

#include "shared/plant.h"

#include <string.h>

#define SESSION_TIMER_BUDGET 64 /* looked at in one iteration, which stays below 50 us; all of them go into one cell */

_Static_assert(SESSION_TIMER_BUDGET <= CELL_EXPIRED_MAX, "one cell tells control of an iteration's expired sessions");

/* As explicit_bzero does it, in line: a storm of ends spends a tenth of its time in the calls. */
static inline void
keys_wipe(struct session_keys *k)
{
	memset(k, 0, sizeof(*k));
	__asm__ volatile("" : : "r"(k) : "memory");
}

/* Most sessions end after a long silence: nothing is under way, and a storm of them asks only whether that is so. */
void
session_remove(struct worker *w, struct session *s)
{
	struct session_table *t = &w->sessions;
	uint32_t i = session_index(t, s);
	session_id_t sid = session_id_of(w, s);

	if (unlikely(w->output.mbuf != NULL || w->sealing_count != 0))
		output_flush(w); /* seals what is written for it: its keys go now */
	if (s->flags & SESSION_FLAG_EMBRYO)
		resume_forget(w, s);
	/* From here on nobody finds it: results of what fails now must not be sent to it. */
	s->generation = 0;
	if (s->activity != NONE) {
		relay_orphan(w, s);
		inflight_fail_all(w, s);
		activity_release(t, s);
	}
	if (s->key_place != KEYCACHE_NOWHERE)
		keycache_drop(w->keycache, sid, &s->key_place);
	if (timer_node_filed(&s->timer))
		timer_wheel_remove(&t->wheel, i);
	s->ended = session_id_generation(sid);
	keys_wipe(&s->keys);
	t->live--;
	session_slot_free(t, i);
}

static void
session_end_later(struct worker *w, struct session *s)
{
	s->flags |= SESSION_FLAG_DYING;
	timer_wheel_add(&w->sessions.wheel, session_index(&w->sessions, s), w->now_us + SESSION_TICK_US);
}

void
session_close(struct worker *w, struct session *s)
{
	if (!punt_session(w, s, SESSION_CLOSED)) {
		s->flags |= SESSION_FLAG_CLOSED;
		session_end_later(w, s);
		return;
	}
	count(w, COUNTER_sessions_closed);
	if (unlikely(w->trace.count != 0))
		trace_session(w, s, COUNTER_sessions_closed);
	session_remove(w, s);
}

/* ---- silence ------------------------------------------------------------------------------ */

/* What one iteration of the wheel finds. No CLOSE goes to clients that were silent for so long: one that is still there is told
 * by a RESET as soon as it speaks, and a million CLOSEs would each expand a key. */
struct expiry {
	struct worker *worker;
	uint32_t count;
	uint32_t index[SESSION_TIMER_BUDGET];
};

/* Lazy: a heartbeat only stores heard_ms; the wheel asks here when a session's time may have come. */
static uint64_t
session_deadline(void *ctx, uint32_t i)
{
	const struct expiry *e = ctx;
	const struct worker *w = e->worker;
	const struct session *s = &w->sessions.sessions[i];
	uint64_t timeout_us = session_life_us(w, s);
	uint64_t age_us = (uint64_t)((uint32_t)(w->now_us / 1000) - s->heard_ms) * 1000;

	if (s->flags & SESSION_FLAG_DYING || age_us >= timeout_us)
		return w->now_us;
	return w->now_us + timeout_us - age_us;
}

static void
session_fire(void *ctx, uint32_t i, uint64_t now_us)
{
	struct expiry *e = ctx;
	struct worker *w = e->worker;
	struct session *s = &w->sessions.sessions[i];

	(void)now_us;
	if (s->flags & SESSION_FLAG_EMBRYO) {
		count(w, COUNTER_resumes_unused);
		session_remove(w, s);
		return;
	}
	if (s->flags & SESSION_FLAG_CLOSED) {
		session_close(w, s);
		return;
	}
	__builtin_prefetch(&s->keys, 1);
	e->index[e->count++] = i;
}

static void
sessions_expire(struct worker *w, const struct expiry *e)
{
	session_id_t sids[SESSION_TIMER_BUDGET];
	struct session *s;
	bool told;

	for (uint32_t i = 0; i < e->count; i++) {
		s = &w->sessions.sessions[e->index[i]];
		sids[i] = session_id_of(w, s);
		activity_prefetch(&w->sessions, s);
	}
	for (uint32_t i = 0; i < e->count && unlikely(w->trace.count != 0); i++)
		trace_session(w, &w->sessions.sessions[e->index[i]], COUNTER_sessions_expired);
	told = PLANTED(no_expiry) || punt_expired(w, sids, e->count);
	for (uint32_t i = 0; i < e->count; i++) {
		s = &w->sessions.sessions[e->index[i]];
		if (told)
			session_remove(w, s);
		else
			session_end_later(w, s);
	}
	if (told)
		w->counters[COUNTER_sessions_expired] += e->count;
}

unsigned
session_timers(struct worker *w)
{
	struct expiry e = {.worker = w};
	unsigned looked =
		timer_wheel_advance(&w->sessions.wheel, w->now_us, SESSION_TIMER_BUDGET, session_deadline, session_fire, &e);

	if (e.count != 0)
		sessions_expire(w, &e);
	return looked;
}
