/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How many full logins control takes a second, against what their public-key operations alone would allow.
 *
 * The real server with the real store on a real file: LOGIN datagrams of enrolled devices, made outside the clock, in lots as the
 * event loop takes them; each gets a handshake, on a thread beside the one that commits the lot before it, rows in the database, a
 * commit per lot, a session, its cells to the dataplane. Every answer is finished by its client, outside the clock; a wrong one ends the
 * program. All threads share one core, and the X25519 operations alone, as many of them and of the same kind, take turns with the logins
 * on it: what two cores could do is no part of the comparison.
 *
 * Prints one line: logins per second (median, minimum, maximum), the same of the X25519 operations alone (median), and what share of these
 * the logins right after them reached (median, minimum, maximum). For rookbench, in a program of its own because control and the
 * dataplane have functions of the same names.
 */
#include "control.h"

#include "shared/log.h"
#include "shared/rookery.pb-c.h"

#include <pthread.h>
#include <sched.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEVICES 1024u

_Static_assert(DEVICES % LOGINS_MAX == 0, "whole lots");
#define ROUNDS_MAX 100u
/* Noise IK, the responder: es and ss to read the LOGIN, a key pair, ee and se to answer. */
#define MULTIPLICATIONS 4u
#define KEY_PAIRS 1u

struct device {
	struct handshake_keypair key;
	struct handshake_client handshake;
	struct cell login;
	struct cell reply;
	bool answered;
	session_id_t sid;
};

struct bench {
	struct control control;
	struct device *devices;
	uint32_t replies;
	/* the thread that does the handshakes, as libuv's pool does in rookery-control */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct login_job *job; /* to do, or done */
	bool busy;
	bool ending;
};

/* ---- the server's surroundings ---- */

/* Answers go to their devices; the rest would go to the dataplane. */
static bool
io_send(void *arg, uint32_t ring, const struct cell *c)
{
	struct bench *b = arg;
	uint32_t i = c->datagram.peer.port - 1;

	(void)ring;
	if (c->type != INJECT_DATAGRAM)
		return true;
	if (i >= DEVICES)
		fail("an answer to port %u", c->datagram.peer.port);
	memcpy(&b->devices[i].reply, c, cell_used(c));
	b->devices[i].answered = true;
	b->replies++;
	return true;
}

static int
io_handshakes(void *arg, struct login_job *job)
{
	struct bench *b = arg;

	pthread_mutex_lock(&b->lock);
	b->job = job;
	b->busy = true;
	pthread_cond_broadcast(&b->changed);
	pthread_mutex_unlock(&b->lock);
	return 0;
}

static void *
handshakes_run(void *arg)
{
	struct bench *b = arg;

	pthread_mutex_lock(&b->lock);
	for (;;) {
		while (!b->busy && !b->ending)
			pthread_cond_wait(&b->changed, &b->lock);
		if (!b->busy)
			break;
		pthread_mutex_unlock(&b->lock);
		login_job_run(b->job);
		pthread_mutex_lock(&b->lock);
		b->busy = false;
		pthread_cond_broadcast(&b->changed);
	}
	pthread_mutex_unlock(&b->lock);
	return NULL;
}

static void
handshakes_wait(struct bench *b)
{
	pthread_mutex_lock(&b->lock);
	while (b->busy)
		pthread_cond_wait(&b->changed, &b->lock);
	pthread_mutex_unlock(&b->lock);
	server_logins_ready(b->control.server, b->job);
}

static void
handshakes_end(struct bench *b)
{
	pthread_mutex_lock(&b->lock);
	b->ending = true;
	pthread_cond_broadcast(&b->changed);
	pthread_mutex_unlock(&b->lock);
	pthread_join(b->thread, NULL);
}

/* Where it runs now, and from now on; threads inherit it. */
static void
core_keep(void)
{
	int core = sched_getcpu();
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(core < 0 ? 0 : (unsigned)core, &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0)
		fail("no core of its own");
}

static void
devices_enrol(struct bench *b)
{
	control_begin(&b->control);
	for (uint32_t i = 0; i < DEVICES; i++) {
		handshake_keypair_generate(&b->devices[i].key);
		control_enrol(&b->control, i, b->devices[i].key.public);
	}
	control_commit(&b->control);
}

/* ---- a round ---- */

static void
login_make(struct bench *b, uint32_t i, uint64_t timestamp)
{
	Rookery__LoginHello hello = ROOKERY__LOGIN_HELLO__INIT;
	uint8_t payload[HANDSHAKE_PAYLOAD_MAX], zeros[256] = {0};
	struct device *d = &b->devices[i];
	char name[32];
	size_t size;
	int len;

	snprintf(name, sizeof(name), "user%u", i);
	hello.timestamp = timestamp;
	hello.user = name;
	hello.device_name = (char *)(uintptr_t)"bench";
	hello.padding.data = zeros;
	hello.padding.len = sizeof(zeros);
	size = rookery__login_hello__pack(&hello, payload);
	memset(&d->login, 0, offsetof(struct cell, data));
	d->login.type = PUNT_LOGIN;
	endpoint_set_ipv4(&d->login.datagram.peer, "\x7f\0\0\1", (uint16_t)(i + 1));
	len = handshake_client_start(&d->handshake, &d->key, b->control.key.public, timestamp, payload, size, d->login.data,
				     sizeof(d->login.data));
	if (len < 0)
		fail("a LOGIN was not made: %d", len);
	d->login.length = (uint16_t)len;
	d->answered = false;
}

static void
login_finish(struct bench *b, uint32_t i)
{
	struct device *d = &b->devices[i];
	uint8_t payload[HANDSHAKE_PAYLOAD_MAX];
	struct session_secret secret;
	Rookery__LoginReply *r;
	int len;

	if (!d->answered)
		fail("user%u has no answer", i);
	len = handshake_client_finish(&d->handshake, d->reply.data, d->reply.length, payload, sizeof(payload), &secret);
	r = len < 0 ? NULL : rookery__login_reply__unpack(NULL, (size_t)len, payload);
	if (r == NULL || r->result != ROOKERY__LOGIN_RESULT__LOGIN_OK || r->session_id == 0 || r->session_id == d->sid)
		fail("user%u was not let in", i);
	d->sid = r->session_id;
	rookery__login_reply__free_unpacked(r, NULL);
}

static void
lot_start(struct bench *b, uint32_t first)
{
	const struct cell *cells[LOGINS_MAX];

	for (uint32_t k = 0; k < LOGINS_MAX; k++)
		cells[k] = &b->devices[first + k].login;
	if (server_logins_start(b->control.server, cells, LOGINS_MAX) != 0)
		fail("no memory");
}

/* Returns logins per second. */
static double
round_logins(struct bench *b)
{
	const struct cell *cells[LOGINS_MAX];
	double start, took;
	uint32_t n;

	control_pass(&b->control, 60000); /* fills the limits' buckets */
	for (uint32_t i = 0; i < DEVICES; i++)
		login_make(b, i, b->control.wall_ms);
	start = control_seconds();
	lot_start(b, 0);
	for (uint32_t i = LOGINS_MAX; i <= DEVICES; i += LOGINS_MAX) {
		handshakes_wait(b);
		n = server_logins_take(b->control.server, cells);
		if (i < DEVICES)
			lot_start(b, i);
		server_batch(b->control.server, cells, n);
	}
	took = control_seconds() - start;
	for (uint32_t i = 0; i < DEVICES; i++)
		login_finish(b, i);
	return DEVICES / took;
}

/* The same number of the public-key operations alone. */
static double
round_reference(const struct bench *b)
{
	uint8_t out[crypto_scalarmult_BYTES];
	double start = control_seconds();

	for (uint32_t i = 0; i < DEVICES; i++) {
		for (unsigned k = 0; k < MULTIPLICATIONS; k++)
			if (crypto_scalarmult(out, b->control.key.secret, b->devices[i].key.public) != 0)
				fail("a bad public key");
		for (unsigned k = 0; k < KEY_PAIRS; k++)
			crypto_scalarmult_base(out, b->devices[i].key.secret);
	}
	return DEVICES / (control_seconds() - start);
}

int
main(int argc, char **argv)
{
	static struct bench b;
	unsigned rounds = argc == 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
	double logins[ROUNDS_MAX], alone[ROUNDS_MAX], share[ROUNDS_MAX];

	if (rounds < 1 || rounds > ROUNDS_MAX) {
		fprintf(stderr, "usage: bench-login FOLDER ROUNDS\n");
		return 2;
	}
	log_open("bench-login", LOG_LEVEL_WARNING);
	b.devices = calloc(DEVICES, sizeof(*b.devices));
	if (b.devices == NULL)
		fail("no memory");
	core_keep();
	pthread_mutex_init(&b.lock, NULL);
	pthread_cond_init(&b.changed, NULL);
	if (pthread_create(&b.thread, NULL, handshakes_run, &b) != 0)
		fail("no thread");
	b.control.handshakes = io_handshakes;
	control_open(&b.control, argv[1], 2 * DEVICES, io_send, &b);
	devices_enrol(&b);
	round_logins(&b); /* warm */
	for (unsigned i = 0; i < rounds; i++) {
		alone[i] = round_reference(&b);
		logins[i] = round_logins(&b);
		share[i] = logins[i] / alone[i];
	}
	qsort(logins, rounds, sizeof(logins[0]), control_compare);
	qsort(alone, rounds, sizeof(alone[0]), control_compare);
	qsort(share, rounds, sizeof(share[0]), control_compare);
	printf("%.6g %.6g %.6g %.6g %.4g %.4g %.4g\n", logins[rounds / 2], logins[0], logins[rounds - 1], alone[rounds / 2], share[rounds / 2],
	       share[0], share[rounds - 1]);
	handshakes_end(&b);
	control_close(&b.control);
	free(b.devices);
	return 0;
}
