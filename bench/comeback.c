/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How fast control takes in what the workers tell it of clients that come back by ticket, all at once.
 *
 * Users with buddies among each other, none online; then all come back, in random order: cells of as many sessions as they hold, in
 * batches as the event loop makes them. Each session is judged, gets its row, its user's entry in the table and a new ticket; its
 * buddies hear of it, it hears of them, and each of those notifications is acknowledged, which is another cell. At the end everybody
 * must be online and must have been told of every buddy who is.
 *
 *	bench-comeback FOLDER ROUNDS [SESSIONS [BUDDIES]]
 *
 * Prints a line for each round and one of medians: sessions per second until control has taken the last one in, until all is
 * acknowledged, and per second of CPU time, whatever else the machine does.
 */
#include "control.h"

#include "shared/log.h"
#include "shared/rookery.pb-c.h"
#include "shared/ticket.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EVENTS 512u /* as in control/loop_rings.c, and the next one */
#define RESUMED 1024u
#define ROUNDS_MAX 100u

struct outcome {
	session_id_t sid;
	uint64_t token;
};

struct bench {
	struct control control;
	uint32_t sessions, buddies;
	uint32_t *order;
	session_id_t *sids;  /* of users, now */
	uint32_t generation;
	/* the event ring */
	struct cell *cells;  /* [EVENTS] */
	const struct cell **batch;
	uint32_t next;       /* in order: who comes next */
	struct outcome *outcomes; /* what was sent with a token: the clients acknowledge it */
	uint64_t outcomes_head, outcomes_tail, outcomes_capacity;
	uint64_t updates, notified;
};

/* ---- the dataplane ---- */

static bool
io_send(void *arg, uint32_t ring, const struct cell *c)
{
	struct bench *b = arg;

	(void)ring;
	b->updates += c->type == INJECT_SESSION_UPDATE;
	if (c->type == INJECT_SESSION_DEL)
		fail("session %016lx was refused", (unsigned long)c->session_del.sid);
	if (c->type != INJECT_FRAME)
		return true;
	b->notified += c->frame.session_count;
	if (c->frame.token == 0)
		return true;
	if (b->outcomes_tail - b->outcomes_head == b->outcomes_capacity)
		fail("more than %lu notifications are under way", (unsigned long)b->outcomes_capacity);
	b->outcomes[b->outcomes_tail++ % b->outcomes_capacity] =
		(struct outcome){.sid = c->frame.sids[0], .token = c->frame.token};
	return true;
}

static void
resumed_cell(struct bench *b, struct cell *c)
{
	memset(c, 0, offsetof(struct cell, data));
	c->type = PUNT_RESUMED;
	c->resumed.heard_ms = b->control.wall_ms;
	while (c->resumed.count < CELL_RESUMED_MAX && b->next < b->sessions) {
		struct resumed_session *r = &c->resumed_sessions[c->resumed.count++];
		uint32_t user = b->order[b->next++];

		*r = (struct resumed_session){.sid = b->sids[user], .user = user + 1, .device = user + 1, .status = 2,
					      .secret.resumed = 1};
		memcpy(r->secret.ticket, &b->sids[user], sizeof(b->sids[user]));
		endpoint_set_ipv4(&r->peer, "\x7f\0\0\1", 4000);
	}
	c->length = (uint16_t)(c->resumed.count * sizeof(c->resumed_sessions[0]));
}

static bool
event(struct bench *b, struct cell *c)
{
	if (b->next < b->sessions) {
		resumed_cell(b, c);
		return true;
	}
	if (b->outcomes_head == b->outcomes_tail)
		return false;
	memset(c, 0, offsetof(struct cell, data));
	c->type = PUNT_DELIVERED;
	c->delivered = (struct cell_delivered){.sid = b->outcomes[b->outcomes_head % b->outcomes_capacity].sid,
					       .token = b->outcomes[b->outcomes_head % b->outcomes_capacity].token,
					       .outcome = DELIVERY_ACKED};
	b->outcomes_head++;
	return true;
}

/* False: nothing is left. */
static bool
batch(struct bench *b)
{
	uint32_t n = 0, sessions = 0;

	while (n < EVENTS && sessions < RESUMED && event(b, &b->cells[n])) {
		if (b->cells[n].type == PUNT_RESUMED)
			sessions += b->cells[n].resumed.count;
		n++;
	}
	if (n == 0)
		return false;
	server_batch(b->control.server, b->batch, n);
	return true;
}

/* ---- the users ---- */

/* Everybody knows the next ones and those before. */
static void
befriend(struct bench *b, uint32_t user)
{
	for (uint32_t i = 1; i <= b->buddies / 2; i++) {
		struct store_relation r = {.owner = user + 1, .peer = (user + i) % b->sessions + 1,
					   .state = ROOKERY__BUDDY_STATE__BUDDY_ACCEPTED};

		if (store_relation_put(b->control.store, &r) != 0)
			fail("%s", store_error(b->control.store));
		r.owner = r.peer;
		r.peer = user + 1;
		if (store_relation_put(b->control.store, &r) != 0)
			fail("%s", store_error(b->control.store));
	}
}

static void
users_make(struct bench *b)
{
	uint8_t key[32];

	control_begin(&b->control);
	for (uint32_t i = 0; i < b->sessions; i++) {
		randombytes_buf(key, sizeof(key));
		control_enrol(&b->control, i, key);
		b->order[i] = i;
	}
	for (uint32_t i = 0; i < b->sessions; i++)
		befriend(b, i);
	control_commit(&b->control);
}

static void
everybody_gone(struct bench *b)
{
	struct cell *c = &b->cells[0];

	for (uint32_t i = 0; i < b->sessions;) {
		memset(c, 0, offsetof(struct cell, data));
		c->type = PUNT_EXPIRED;
		while (c->expired.count < CELL_EXPIRED_MAX && i < b->sessions)
			memcpy(c->data + sizeof(session_id_t) * c->expired.count++, &b->sids[i++], sizeof(session_id_t));
		c->length = (uint16_t)(c->expired.count * sizeof(session_id_t));
		server_batch(b->control.server, b->batch, 1);
	}
	server_batch(b->control.server, NULL, 0);
	b->outcomes_head = b->outcomes_tail = 0;
}

/* A worker gives its sessions rising generations. */
static void
draw_order(struct bench *b)
{
	for (uint32_t i = b->sessions; i > 1; i--) {
		uint32_t k = randombytes_uniform(i), was = b->order[i - 1];

		b->order[i - 1] = b->order[k];
		b->order[k] = was;
	}
	for (uint32_t i = 0; i < b->sessions; i++)
		b->sids[b->order[i]] = session_id_make(0, SESSION_GENERATION_RESUMED | ++b->generation, i);
}

static void
check(struct bench *b, uint64_t notified)
{
	struct server_status status = {0};
	/* a ticket, word that all is there, every buddy as it is, and of each pair the one who was first is told of the other */
	uint64_t wanted = (uint64_t)b->sessions * (2 + b->buddies) + (uint64_t)b->sessions * b->buddies / 2;

	server_pulse(b->control.server, &status);
	if (b->updates != b->sessions || status.sessions != b->sessions || status.users_online != b->sessions)
		fail("of %u clients %lu are back", b->sessions, (unsigned long)status.sessions);
	if (notified != wanted)
		fail("%lu notifications instead of %lu", (unsigned long)notified, (unsigned long)wanted);
}

static double
cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
round_run(struct bench *b, double *in, double *settled, double *cpu)
{
	uint64_t notified = b->notified;
	double start, cpu_start;

	draw_order(b);
	control_pass(&b->control, 60000);
	b->next = 0;
	b->updates = 0;
	start = control_seconds();
	cpu_start = cpu_seconds();
	while (b->next < b->sessions)
		batch(b);
	*in = b->sessions / (control_seconds() - start);
	while (batch(b))
		;
	*settled = b->sessions / (control_seconds() - start);
	*cpu = b->sessions / (cpu_seconds() - cpu_start);
	check(b, b->notified - notified);
	everybody_gone(b);
}

int
main(int argc, char **argv)
{
	static struct bench b;
	unsigned rounds = argc >= 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
	double in[ROUNDS_MAX], settled[ROUNDS_MAX], cpu[ROUNDS_MAX];

	b.sessions = argc >= 4 ? (uint32_t)strtoul(argv[3], NULL, 10) : 20000;
	b.buddies = argc >= 5 ? (uint32_t)strtoul(argv[4], NULL, 10) & ~1u : 10;
	if (rounds < 1 || rounds > ROUNDS_MAX || b.sessions <= b.buddies || b.buddies > 30) {
		fprintf(stderr, "usage: bench-comeback FOLDER ROUNDS [SESSIONS [BUDDIES, up to 30]]\n");
		return 2;
	}
	log_open("bench-comeback", LOG_LEVEL_WARNING);
	b.outcomes_capacity = (uint64_t)b.sessions * (b.buddies + 2);
	b.order = calloc(b.sessions, sizeof(*b.order));
	b.sids = calloc(b.sessions, sizeof(*b.sids));
	b.cells = calloc(EVENTS, sizeof(*b.cells));
	b.batch = calloc(EVENTS, sizeof(*b.batch));
	b.outcomes = calloc(b.outcomes_capacity, sizeof(*b.outcomes));
	if (b.order == NULL || b.sids == NULL || b.cells == NULL || b.batch == NULL || b.outcomes == NULL)
		fail("no memory");
	for (uint32_t i = 0; i < EVENTS; i++)
		b.batch[i] = &b.cells[i];
	control_open(&b.control, argv[1], b.sessions, io_send, &b);
	users_make(&b);
	for (unsigned i = 0; i < rounds; i++) {
		round_run(&b, &in[i], &settled[i], &cpu[i]);
		printf("%.6g %.6g %.6g\n", in[i], settled[i], cpu[i]);
		fflush(stdout);
	}
	qsort(in, rounds, sizeof(in[0]), control_compare);
	qsort(settled, rounds, sizeof(settled[0]), control_compare);
	qsort(cpu, rounds, sizeof(cpu[0]), control_compare);
	printf("median: %.6g sessions/s taken in, %.6g with all notifications acknowledged, %.6g of those per CPU second\n",
	       in[rounds / 2], settled[rounds / 2], cpu[rounds / 2]);
	control_close(&b.control);
	return 0;
}
