/* SPDX-License-Identifier: BSD-3-Clause */
/* Control in the simulation: its rings and server on a database in a file; loop.c's turn in virtual time. */
#include "control/loop_rings.h"
#include "control/store/store.h"
#include "faulty_store.h"
#include "shared/log.h"
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define JOBS_MAX 64
#define RESTART_US (500 * MS_US)

struct control {
	struct sim *sim;
	struct random random;
	struct handshake_keypair key;
	struct store *store;
	struct server *server;
	struct rings rings;
	bool up, dead; /* dead: killed in the middle of its turn */
	uint64_t steps_left;
	unsigned sessions_left; /* to be provisioned before the kill; 0: no such kill */
	uint64_t down_us, start_us, stalled_us, turn_us;
	uint64_t fails_until_us;
	unsigned fails_permille;
	bool fails_reads;  /* only outside of transactions: what follows from a commit finds nothing */
	bool transaction;
	struct password_job *jobs[JOBS_MAX];
	unsigned job_count;
	uint64_t starts;
};

/* The wrappers below get a store or a ring and nothing else. */
static struct control *the;

/* ---- steps ----------------------------------------------------------------------------- */

/* From here on it goes on to the end of its turn for nobody but itself: in the region, too. */
static void
die(void)
{
	the->dead = true;
	if (the->rings.joined)
		region_part(&the->rings.ipc);
}

static bool
step(void)
{
	if (!the->dead && the->steps_left != UINT64_MAX && the->steps_left-- == 0)
		die();
	return the->dead;
}

/* What befalls an operation of the store. */
static int
store_step(void)
{
	static const int errors[] = {-EIO, -EBUSY, -ENOSPC};

	if (step())
		return -EIO;
	if (the->sim->now_us < the->fails_until_us && !(the->fails_reads && the->transaction) && random_permille(&the->random, the->fails_permille))
		return errors[random_below(&the->random, 3)];
	return 0;
}

#define FAULTY(name, parameters, arguments)       \
	int faulty_store_##name parameters;       \
	int faulty_store_##name parameters        \
	{                                         \
		int rc = store_step();            \
		if (rc < 0)                       \
			return rc;                \
		rc = store_##name arguments;      \
		return step() ? -EIO : rc;        \
	}
FAULTY_STORE(FAULTY)

int faulty_store_begin(struct store *st);
int faulty_store_commit(struct store *st);
void faulty_store_rollback(struct store *st);
void control_ring_publish(const struct cell_ring *r);
void control_ring_release_n(const struct cell_ring *r, uint32_t n);
const struct cell *control_ring_peek(const struct cell_ring *r, uint32_t ahead);

int
faulty_store_begin(struct store *st)
{
	int rc;

	the->transaction = true;
	rc = store_step();
	if (rc == 0)
		rc = store_begin(st);
	the->transaction = rc == 0;
	return rc;
}

/* Killed before it: nothing of the transaction remains. Killed after it: nobody was told. */
int
faulty_store_commit(struct store *st)
{
	int rc = store_step();

	the->transaction = false;
	if (rc < 0) {
		if (!the->dead)
			store_rollback(st);
		return rc;
	}
	rc = store_commit(st);
	step();
	return rc;
}

void
faulty_store_rollback(struct store *st)
{
	the->transaction = false;
	/* The transaction of a dead process is rolled back when its file is closed. */
	if (!the->dead)
		store_rollback(st);
}

void
control_ring_publish(const struct cell_ring *r)
{
	uint32_t published = atomic_load_explicit(&r->shared->published, memory_order_relaxed);
	const struct cell *c = (const struct cell *)(r->shared + 1) + (published & r->mask);

	if (step())
		return;
	ring_publish(r);
	dataplane_wake(the->sim);
	if (c->type == INJECT_SESSION_ADD && c->session_add.probe && the->sessions_left != 0 && --the->sessions_left == 0)
		die();
}

void
control_ring_release_n(const struct cell_ring *r, uint32_t n)
{
	if (!step())
		ring_release_n(r, n);
}

/* A dead process takes nothing more; otherwise a loop until the rings are empty would not end. */
const struct cell *
control_ring_peek(const struct cell_ring *r, uint32_t ahead)
{
	return the->dead ? NULL : ring_peek(r, ahead);
}

/* Instead of the library's: lines of the log belong to the timeline. */
void
log_write(struct log_site *site, enum log_level level, enum log_area area, const char *message, const char *fields, ...)
{
	(void)site;
	char text[256];
	va_list args;

	(void)level;
	if (the == NULL || !the->sim->trace.print)
		return;
	va_start(args, fields);
	vsnprintf(text, sizeof(text), fields, args);
	va_end(args);
	/* Not hashed: there are process ids and paths in it. */
	printf("%20s  log %s: %s %s\n", "", log_area_name[area], message, text);
}

/* ---- passwords -------------------------------------------------------------------------- */

static void
control_hash(void *arg, struct password_job *job)
{
	struct control *c = arg;

	c->jobs[c->job_count++] = job;
}

static bool
control_send(void *arg, uint32_t ring, const struct cell *cell)
{
	struct control *c = arg;

	/* Nobody hears a dead process; it must not begin to queue either. */
	return c->dead || rings_send(&c->rings, ring, cell);
}

static void
jobs_finish(struct control *c)
{
	for (unsigned i = 0; i < c->job_count;) {
		struct password_job *job = c->jobs[i];

		if (random_permille(&c->random, 500)) {
			i++;
			continue;
		}
		c->jobs[i] = c->jobs[--c->job_count];
		password_job_run(job);
		server_password_done(c->server, job);
	}
}

/* ---- life ------------------------------------------------------------------------------- */

int
control_new(struct sim *s)
{
	struct control *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return -1;
	c->sim = s;
	c->steps_left = UINT64_MAX;
	c->start_us = NEVER_US;
	c->turn_us = NEVER_US;
	random_seed(&c->random, random_next(&s->random));
	handshake_keypair_generate(&c->key);
	s->control = c;
	the = c;
	return 0;
}

static void
discard(struct control *c)
{
	if (!c->dead)
		die();
	while (c->job_count > 0)
		server_password_cancel(c->server, c->jobs[--c->job_count]);
	server_free(c->server);
	rings_free(&c->rings);
	store_close(c->store);
	c->server = NULL;
	c->store = NULL;
	c->up = false;
}

void
control_free(struct sim *s)
{
	struct control *c = s->control;

	if (c == NULL)
		return;
	if (c->up)
		discard(c);
	s->control = NULL;
	the = NULL;
	free(c);
}

static bool
parts_start(struct control *c)
{
	struct sim *s = c->sim;
	struct server_options o = {
		.config = s->config,
		.key = c->key,
		.io = {.arg = c, .send = control_send, .hash = control_hash},
		.now_ms = s->now_us / 1000,
		.wall_ms = sim_wall_ms(s),
	};
	char path[128], error[256];

	snprintf(path, sizeof(path), "%s/rookery.db", s->dir);
	if (store_open(&c->store, path, error, sizeof(error)) < 0) {
		fail(s, "the store: %s", error);
		return false;
	}
	o.store = c->store;
	if (server_new(&c->server, &o) < 0) {
		store_close(c->store);
		return false;
	}
	snprintf(path, sizeof(path), "%s/rings.shm", s->dir);
	rings_init(&c->rings, path, c->key.public);
	c->rings.server = c->server;
	return true;
}

void
control_start(struct sim *s)
{
	struct control *c = s->control;

	c->dead = false;
	c->steps_left = UINT64_MAX;
	c->job_count = 0;
	trace(s, "control", "starts for the %lluth time", (unsigned long long)++c->starts);
	c->up = parts_start(c);
	c->start_us = c->up ? NEVER_US : s->now_us + RESTART_US;
	c->turn_us = s->now_us;
	if (c->starts > 1)
		plan_recovers(s, FAULT_CONTROL_CRASH);
}

void
control_crash(struct sim *s, unsigned steps, uint64_t down_us)
{
	struct control *c = s->control;

	if (!c->up)
		return;
	trace(s, "control", "is to be killed after %u steps, for %llu ms", steps, (unsigned long long)(down_us / MS_US));
	c->steps_left = steps;
	c->down_us = down_us;
}

void
control_crash_provisioning(struct sim *s, unsigned sessions, uint64_t down_us)
{
	struct control *c = s->control;

	if (!c->up)
		return;
	trace(s, "control", "is to be killed when it has provisioned %u sessions, for %llu ms", sessions, (unsigned long long)(down_us / MS_US));
	c->steps_left = UINT64_MAX;
	c->sessions_left = sessions;
	c->down_us = down_us;
}

static void
killed(struct control *c)
{
	trace(c->sim, "control", "KILLED");
	discard(c);
	c->steps_left = UINT64_MAX;
	c->sessions_left = 0;
	c->start_us = c->sim->now_us + c->down_us;
	plan_outage(c->sim, c->down_us);
}

void
control_stall(struct sim *s, uint64_t us)
{
	trace(s, "control", "stands still for %llu ms", (unsigned long long)(us / MS_US));
	s->control->stalled_us = s->now_us + us;
}

void
control_store_fails(struct sim *s, unsigned permille, bool reads, uint64_t until_us)
{
	trace(s, "store", "fails at %u permille of its %s for %llu ms", permille, reads ? "reads after a commit" : "operations",
	      (unsigned long long)(until_us <= s->now_us ? 0 : (until_us - s->now_us) / MS_US));
	s->control->fails_permille = permille;
	s->control->fails_reads = reads;
	s->control->fails_until_us = until_us;
}

/* The store works, a stall ends, and a kill that is planned and has not come is spared. */
void
control_heal(struct sim *s)
{
	struct control *c = s->control;

	control_store_fails(s, 0, false, 0);
	c->stalled_us = 0;
	if (!c->dead)
		c->steps_left = UINT64_MAX;
	c->sessions_left = 0;
	if (!c->up && c->start_us > s->now_us + SECOND_US)
		c->start_us = s->now_us + SECOND_US;
}

bool
control_ready(const struct sim *s)
{
	const struct control *c = s->control;

	return c->up && c->steps_left == UINT64_MAX && c->rings.ready;
}

const uint8_t *
control_key(const struct sim *s)
{
	return s->control->key.public;
}

/* ---- time -------------------------------------------------------------------------------- */

void
control_wake(struct sim *s)
{
	struct control *c = s->control;
	uint64_t at = s->now_us + random_between(&c->random, 50, 3000);

	if (c->turn_us > at)
		c->turn_us = at;
}

uint64_t
control_next(const struct sim *s)
{
	const struct control *c = s->control;

	if (!c->up)
		return c->start_us;
	return c->turn_us > c->stalled_us ? c->turn_us : c->stalled_us;
}

/* As on_prepare() of loop.c. */
static void
turn(struct control *c)
{
	struct sim *s = c->sim;
	uint64_t now_ms = s->now_us / 1000;
	uint32_t wait_ms;
	bool busy;

	server_set_time(c->server, now_ms, sim_wall_ms(s));
	jobs_finish(c);
	rings_watch(&c->rings, now_ms);
	busy = rings_drain(&c->rings) != 0;
	wait_ms = server_timers(c->server);
	server_batch(c->server, NULL, 0);
	if (server_flush(c->server) != 0)
		wait_ms = 1;
	if (busy || server_pending(c->server) || c->job_count != 0)
		wait_ms = 1;
	if (wait_ms > (c->rings.ready ? 100 : 50))
		wait_ms = c->rings.ready ? 100 : 50;
	c->turn_us = s->now_us + wait_ms * MS_US + random_below(&c->random, 1000) + 1;
}

void
control_step(struct sim *s)
{
	struct control *c = s->control;

	if (s->now_us < control_next(s))
		return;
	if (!c->up) {
		control_start(s);
		return;
	}
	turn(c);
	if (!c->dead && c->steps_left != UINT64_MAX)
		step();
	if (c->dead)
		killed(c);
}

/* ---- invariants ---------------------------------------------------------------------------- */

const char *
control_check(const struct sim *s)
{
	const struct control *c = s->control;

	return c->up ? server_check(c->server) : NULL;
}

const char *
control_empty(const struct sim *s)
{
	const struct control *c = s->control;
	struct server_status status;

	if (!c->up || !c->rings.ready)
		return "control is not ready";
	server_status(c->server, &status);
	if (!status.store_ok)
		return "the store has not recovered";
	if (status.stored_messages != 0)
		return "messages still wait in the store";
	if (status.sessions_restricted != 0)
		return "a restricted session is left over";
	return NULL;
}
