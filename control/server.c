// SPDX-License-Identifier: BSD-3-Clause
/* The server: batches of cells in one transaction each, timers, beginning and end. */
#include "core.h"

#include "shared/log.h"
#include "shared/plant.h"

#include <stdio.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define EXPIRE_INTERVAL_MS 600000
#define EXPIRE_ROWS 1000

/* ---- new and free -------------------------------------------------------------------- */

int
server_new(struct server **out, const struct server_options *o)
{
	struct server *s = calloc(1, sizeof(*s));
	int rc = -ENOMEM;

	*out = NULL;
	if (s == NULL)
		return -ENOMEM;
	s->config = o->config;
	s->store = o->store;
	(void)sodium_mlock(&s->key, sizeof(s->key));
	s->key = o->key;
	s->io = o->io;
	s->started_ms = o->now_ms;
	s->store_ok = true;
	s->pump_ms = s->reread_ms = UINT64_MAX;
	s->expire_ms = o->now_ms + 60000;
	s->restricted_tail = &s->restricted;
	s->operations_tail = &s->operations;
	s->password_tail = &s->password_queue;
	server_set_time(s, o->now_ms, o->wall_ms);
	s->logins = calloc(LOGIN_CACHE, sizeof(*s->logins));
	if (s->logins != NULL)
		rc = limits_new(s);
	if (rc == 0)
		rc = bans_load(s);
	if (rc == 0)
		rc = provision_load(s);
	if (rc < 0) {
		log_error(control, "sessions cannot be loaded", "reason=\"%s\"",
			  store_failed(rc) ? store_error(s->store) : strerror(-rc));
		server_free(s);
		return rc;
	}
	*out = s;
	return 0;
}

static void
sessions_free(struct server *s)
{
	uint32_t position = 0;
	struct session *n;
	struct user *u;

	while ((n = map_next(&s->sessions, &position)) != NULL)
		session_free(n);
	position = 0;
	while ((u = map_next(&s->users, &position)) != NULL)
		free(u);
	map_free(&s->sessions);
	map_free(&s->users);
	map_free(&s->devices);
	map_free(&s->resumed);
	for (unsigned kind = 0; kind < REREAD_KINDS; kind++)
		map_free(&s->reread[kind]);
}

void
server_free(struct server *s)
{
	struct password_job *job;
	struct operation *op;

	if (s == NULL)
		return;
	while ((op = s->operations) != NULL) {
		s->operations = op->next;
		op->fail(s, op, -ECANCELED);
		op->free(op);
	}
	while ((job = s->password_queue) != NULL) {
		s->password_queue = job->next;
		job->op.fail(s, &job->op, -ECANCELED);
		password_job_free(job);
	}
	backlog_clear(s);
	effects_free(s);
	sessions_free(s);
	slots_free(s);
	logins_free(s);
	limits_free(s);
	bans_free(s);
	traces_free(s);
	free(s->lazy);
	free(s->relations.rows);
	explicit_bzero(&s->tickets, sizeof(s->tickets));
	ticket_cipher_clear(&s->sealing);
	sodium_munlock(&s->key, sizeof(s->key)); /* wipes it */
	free(s);
}

void
server_set_time(struct server *s, uint64_t now_ms, uint64_t wall_ms)
{
	s->now_ms = now_ms;
	s->wall_ms = wall_ms;
}

/* ---- one cell ------------------------------------------------------------------------ */

static int
cell_handle(struct server *s, const struct cell *c)
{
	switch (c->type) {
	case PUNT_STORE:
		return store_handle(s, c);
	case PUNT_DELIVERED:
		return delivered_handle(s, c);
	case PUNT_SESSION:
		return session_event_handle(s, c);
	case PUNT_EXPIRED:
		return session_expired_handle(s, c);
	case PUNT_RESUMED:
		return resumed_handle(s, c);
	case PUNT_REQUEST:
		return request_handle(s, c);
	case PUNT_VERDICT:
		return verdict_handle(s, c);
	case PUNT_STALE:
		return stale_handle(s, c);
	case PUNT_LOGIN:
		return login_handle(s, c);
	default:
		COUNT(s, cells_invalid);
		return 0;
	}
}

/* The store is not available: what can be said of this cell without it. */
static void
cell_fail(struct server *s, const struct cell *c)
{
	switch (c->type) {
	case PUNT_STORE:
		store_fail(s, c);
		break;
	case PUNT_DELIVERED:
		delivered_fail(s, c);
		break;
	case PUNT_SESSION:
		session_event_fail(s, c);
		break;
	case PUNT_EXPIRED:
		session_expired_fail(s, c);
		break;
	case PUNT_RESUMED:
		resumed_fail(s, c);
		break;
	case PUNT_REQUEST:
		request_fail(s, c);
		break;
	case PUNT_LOGIN:
		login_fail(s, c);
		break;
	default:
		/* A verdict that cannot be read from the store: the worker tells its client to try again. */
		break;
	}
}

static bool
cell_ours(const struct server *s, const struct cell *c)
{
	return cell_valid(c) && c->worker < s->workers;
}

/* ---- batches ------------------------------------------------------------------------- */

struct batch {
	const struct cell *const *cells;
	uint32_t count;
	struct operation *operations;
};

static void
store_trouble(struct server *s, int rc)
{
	const char *what = store_failed(rc) ? store_error(s->store) : strerror(-rc);

	COUNT(s, batches_failed);
	if (store_failed(rc))
		s->store_retry_ms = s->now_ms + STORE_RETRY_MS;
	if (!s->store_ok && strncmp(what, s->store_error, sizeof(s->store_error) - 1) == 0)
		return;
	s->store_ok = false;
	snprintf(s->store_error, sizeof(s->store_error), "%s", what);
	log_error(store, "nothing can be saved: live messages go on, others are not confirmed",
		  "reason=\"%s\"", what);
}

static void
store_recovered(struct server *s)
{
	if (s->store_ok)
		return;
	s->store_ok = true;
	s->store_error[0] = '\0';
	log_info(store, "saving again", "waiting=%u", s->lazy_count);
}

static int
batch_expire(struct server *s)
{
	uint64_t age_ms = (uint64_t)s->config->control.stored_days * 24 * 3600 * 1000;
	int rc;

	if (!s->expire_due || s->wall_ms < age_ms)
		return 0;
	rc = store_messages_expire(s->store, s->wall_ms - age_ms, EXPIRE_ROWS);
	if (rc < 0)
		return rc;
	s->counters[CONTROL_messages_expired] += (uint64_t)rc;
	s->expire_due = rc == EXPIRE_ROWS;
	return 0;
}

static int
batch_handle(struct server *s, const struct batch *b)
{
	int rc = lazy_write(s);

	for (struct operation *op = b->operations; op != NULL && rc == 0; op = op->next)
		rc = op->run(s, op);
	for (uint32_t i = 0; i < b->count && rc == 0; i++) {
		if (cell_ours(s, b->cells[i]))
			rc = cell_handle(s, b->cells[i]);
		else
			COUNT(s, cells_invalid);
	}
	if (rc == 0)
		rc = batch_expire(s);
	return rc == 0 && s->effects.failed ? -ENOMEM : rc;
}

static int
commit_timed(struct server *s)
{
	uint64_t before = s->io.clock_us == NULL ? 0 : s->io.clock_us(s->io.arg);
	int rc = store_commit(s->store);

	if (s->io.clock_us != NULL)
		s->counters[CONTROL_commit_us] += s->io.clock_us(s->io.arg) - before;
	return rc;
}

/* Begin, handle, commit, and then what follows from it. On error nothing has happened. */
static int
batch_commit(struct server *s, const struct batch *b)
{
	uint32_t lazy = s->lazy_count;
	int rc;

	if (s->now_ms < s->store_retry_ms)
		return -EAGAIN;
	rc = store_begin(s->store);
	if (rc == 0) {
		s->staging = true;
		rc = batch_handle(s, b);
		if (rc == 0)
			rc = commit_timed(s);
		else
			store_rollback(s->store);
		if (PLANTED(commit_ignored))
			rc = 0;
	}
	if (rc < 0) {
		store_trouble(s, rc);
		effects_undo(s);
		return rc;
	}
	if (lazy != 0)
		memmove(s->lazy, s->lazy + lazy, (s->lazy_count - lazy) * sizeof(*s->lazy));
	s->lazy_count -= lazy;
	store_recovered(s);
	effects_run(s);
	return 0;
}

/* Each on its own: in a transaction if the store may be well (one cell alone was the trouble), otherwise
 * read-only. */
static void
batch_single(struct server *s, const struct cell *c, struct operation *op, int rc)
{
	struct batch one = {.cells = &c, .count = c != NULL, .operations = op};

	if (op != NULL)
		op->next = NULL;
	if (rc != -EAGAIN && !store_failed(rc) && batch_commit(s, &one) == 0)
		return;
	s->staging = true;
	rc = c != NULL ? cell_handle(s, c) : op->run(s, op);
	if (rc == 0 && !s->effects.failed) {
		effects_run(s);
		return;
	}
	effects_undo(s);
	if (c != NULL)
		cell_fail(s, c);
	else
		op->fail(s, op, rc);
}

static void
batch_apart(struct server *s, const struct batch *b, int rc)
{
	struct operation *op = b->operations, *next;

	for (; op != NULL; op = next) {
		next = op->next;
		batch_single(s, NULL, op, rc);
		op->next = next;
	}
	for (uint32_t i = 0; i < b->count; i++) {
		if (cell_ours(s, b->cells[i]))
			batch_single(s, b->cells[i], NULL, rc);
	}
}

void
server_batch(struct server *s, const struct cell *const *cells, uint32_t n)
{
	struct batch b = {.cells = cells, .count = n, .operations = s->operations};
	struct operation *op;
	int rc;

	if (n == 0 && !server_pending(s))
		return;
	/* What is added from here on belongs to the next batch. */
	s->operations = NULL;
	s->operations_tail = &s->operations;
	COUNT(s, batches);
	s->counters[CONTROL_cells] += n;
	rc = batch_commit(s, &b);
	if (rc < 0)
		batch_apart(s, &b, rc);
	while ((op = b.operations) != NULL) {
		b.operations = op->next;
		op->free(op);
	}
}

bool
server_pending(const struct server *s)
{
	return s->operations != NULL ||
	       ((s->lazy_count != 0 || s->expire_due) && s->now_ms >= s->store_retry_ms);
}

/* ---- timers -------------------------------------------------------------------------- */

static uint64_t
earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint32_t
server_timers(struct server *s)
{
	uint64_t next = s->now_ms + 1000;
	uint64_t deadline;

	/* The list is in the order of deadlines: all have the same life. The worker ends idle ones itself;
	 * these are those that are kept alive without enrolling. */
	while (s->restricted != NULL && s->restricted->deadline_ms <= s->now_ms)
		session_end(s, s->restricted, CLOSE_EXPIRED, true);
	if (s->restricted != NULL)
		next = earlier(next, s->restricted->deadline_ms);
	tickets_rotate(s);
	reread_timers(s);
	next = earlier(next, s->reread_ms);
	pump_timers(s);
	next = earlier(next, s->pump_ms);
	if (s->now_ms >= s->expire_ms) {
		s->expire_due = true;
		s->expire_ms = s->now_ms + EXPIRE_INTERVAL_MS;
	}
	next = earlier(next, s->expire_ms);
	traces_timers(s);
	next = earlier(next, s->now_ms + (bans_timers(s) < 1000 ? bans_timers(s) : 1000));
	if (s->lazy_count != 0 || s->expire_due) {
		deadline = s->store_retry_ms > s->now_ms ? s->store_retry_ms : s->now_ms;
		next = earlier(next, deadline);
	}
	return next <= s->now_ms ? 0 : (uint32_t)(next - s->now_ms);
}

/* ---- invariants ---------------------------------------------------------------------- */

static const char *
check_users(const struct server *s)
{
	uint32_t position = 0, full = 0, restricted = 0;
	const struct user *u;
	const struct session *n;

	while ((u = map_next(&s->users, &position)) != NULL) {
		uint32_t count = 0;

		for (n = u->sessions; n != NULL; n = n->user_next) {
			if (n->user != u || map_get(&s->sessions, n->sid) != n)
				return "a user's session is not one of the table";
			if (map_get(&s->devices, n->device) != n)
				return "a device does not lead to its session";
			count++;
		}
		if (count == 0 || count != u->session_count)
			return "a user's number of sessions is wrong";
		if (u->shown != presence_visible(u))
			return "buddies were told another presence";
		full += count;
	}
	for (n = s->restricted; n != NULL; n = n->restricted_next) {
		if (n->user != NULL)
			return "a full session is in the list of restricted ones";
		restricted++;
	}
	if (restricted != s->restricted_count || full + restricted != s->sessions.count ||
	    full != s->devices.count)
		return "the numbers of sessions do not add up";
	return NULL;
}

static const char *
check_slots(const struct server *s)
{
	uint32_t position = 0, free_slots = 0;
	const struct session *n;

	while ((n = map_next(&s->sessions, &position)) != NULL) {
		const char *wrong = n->pump == NULL ? NULL : pump_check(n->pump);

		if (wrong != NULL)
			return wrong;
		if ((n->user != NULL) != (n->pump != NULL))
			return "a session's pump does not fit its state";
		if (s->slots != NULL &&
		    s->slots[session_id_worker(n->sid)].generation[session_id_index(n->sid)] !=
			    session_id_generation(n->sid))
			return "a session's generation is not its slot's";
	}
	for (uint32_t w = 0; s->slots != NULL && w < s->workers; w++)
		free_slots += s->slots[w].free_count;
	if (s->slots != NULL && free_slots + s->sessions.count != s->workers * s->sessions_per_worker)
		return "free and used slots do not add up";
	return NULL;
}

const char *
server_check(const struct server *s)
{
	const char *wrong = check_users(s);
	uint64_t backlog = 0;

	if (wrong == NULL)
		wrong = check_slots(s);
	if (wrong == NULL)
		wrong = reread_check(s);
	for (uint32_t i = 0; i <= SERVER_RING_TABLE; i++)
		backlog += s->backlog[i].count;
	if (wrong == NULL && backlog != s->backlog_total)
		wrong = "the backlog is miscounted";
	if (wrong == NULL && (s->staging || s->effects.used != 0))
		wrong = "effects were left over";
	return wrong;
}
