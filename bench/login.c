/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How many full logins control takes a second, against what their public-key operations alone would allow.
 *
 * The real server with the real store on a real file: LOGIN datagrams of enrolled devices, made outside the clock, in batches as
 * the event loop makes them; each gets a handshake, rows in the database, a commit per batch, a session, its cells to the
 * dataplane. Every answer is finished by its client, outside the clock; a wrong one ends the program.
 *
 * Prints one line: logins per second (median, minimum, maximum), and the same of the X25519 operations alone. For rookbench, in a
 * program of its own because control and the dataplane have functions of the same names.
 */
#include "fail.h"

#include "control/server.h"
#include "control/store/store.h"
#include "shared/handshake.h"
#include "shared/log.h"
#include "shared/rookery.pb-c.h"

#include <dirent.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DEVICES 1024u
#define BATCH 32u /* as in control/loop_rings.c */
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
	char dir[256];
	struct config *config;
	struct store *store;
	struct server *server;
	struct handshake_keypair key;
	struct device *devices;
	uint64_t now_ms, wall_ms;
	uint32_t replies;
};

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

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

static void
io_hash(void *arg, struct password_job *job)
{
	(void)arg;
	(void)job;
	fail("a password where none is needed");
}

static void
io_random(void *arg, void *buf, size_t len)
{
	(void)arg;
	randombytes_buf(buf, len);
}

static void
server_open(struct bench *b)
{
	struct server_options o = {
		.key = b->key,
		.io = {.arg = b, .send = io_send, .hash = io_hash, .random = io_random},
		.now_ms = b->now_ms,
		.wall_ms = b->wall_ms,
	};
	char path[300], error[256];

	if (config_load(&b->config, NULL, b->dir, error, sizeof(error)) != 0)
		fail("%s", error);
	/* Everybody comes from one address here. */
	b->config->control.logins_per_second = 100000;
	snprintf(path, sizeof(path), "%s/rookery.db", b->dir);
	if (store_open(&b->store, path, error, sizeof(error)) != 0)
		fail("%s", error);
	o.config = b->config;
	o.store = b->store;
	if (server_new(&b->server, &o) != 0 || server_attach(b->server, 1, 1, 2 * DEVICES) != 0)
		fail("the server did not start");
}

static void
devices_enrol(struct bench *b)
{
	if (store_begin(b->store) != 0)
		fail("%s", store_error(b->store));
	for (uint32_t i = 0; i < DEVICES; i++) {
		struct store_user u = {.hash = "!", .created_ms = b->wall_ms};
		struct store_device d = {.name = "bench"};

		snprintf(u.name, sizeof(u.name), "user%u", i);
		handshake_keypair_generate(&b->devices[i].key);
		memcpy(d.key, b->devices[i].key.public, sizeof(d.key));
		if (store_user_add(b->store, &u) != 0)
			fail("%s", store_error(b->store));
		d.user = u.id;
		if (store_device_add(b->store, &d) != 0)
			fail("%s", store_error(b->store));
	}
	if (store_commit(b->store) != 0)
		fail("%s", store_error(b->store));
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
	len = handshake_client_start(&d->handshake, &d->key, b->key.public, timestamp, payload, size, d->login.data,
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

/* Returns logins per second. */
static double
round_logins(struct bench *b)
{
	const struct cell *cells[BATCH];
	double start, took;

	b->now_ms += 60000; /* fills the limits' buckets */
	b->wall_ms += 60000;
	for (uint32_t i = 0; i < DEVICES; i++)
		login_make(b, i, b->wall_ms);
	server_set_time(b->server, b->now_ms, b->wall_ms);
	server_timers(b->server);
	start = seconds();
	for (uint32_t i = 0; i < DEVICES; i += BATCH) {
		for (uint32_t k = 0; k < BATCH; k++)
			cells[k] = &b->devices[i + k].login;
		server_batch(b->server, cells, BATCH);
	}
	took = seconds() - start;
	for (uint32_t i = 0; i < DEVICES; i++)
		login_finish(b, i);
	return DEVICES / took;
}

/* The same number of the public-key operations alone. */
static double
round_reference(const struct bench *b)
{
	uint8_t out[crypto_scalarmult_BYTES];
	double start = seconds();

	for (uint32_t i = 0; i < DEVICES; i++) {
		for (unsigned k = 0; k < MULTIPLICATIONS; k++)
			if (crypto_scalarmult(out, b->key.secret, b->devices[i].key.public) != 0)
				fail("a bad public key");
		for (unsigned k = 0; k < KEY_PAIRS; k++)
			crypto_scalarmult_base(out, b->devices[i].key.secret);
	}
	return DEVICES / (seconds() - start);
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void
files_remove(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			(void)unlinkat(dirfd(d), e->d_name, 0);
	if (d != NULL)
		closedir(d);
	(void)rmdir(dir);
}

int
main(int argc, char **argv)
{
	struct bench b = {.now_ms = 1000000, .wall_ms = UINT64_C(1790000000000)};
	unsigned rounds = argc == 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
	double logins[ROUNDS_MAX], alone[ROUNDS_MAX];

	if (rounds < 1 || rounds > ROUNDS_MAX) {
		fprintf(stderr, "usage: bench-login FOLDER ROUNDS\n");
		return 2;
	}
	log_open("bench-login", LOG_LEVEL_WARNING);
	if (handshake_init() != 0)
		fail("libsodium did not start");
	snprintf(b.dir, sizeof(b.dir), "%s/login-XXXXXX", argv[1]);
	if (mkdtemp(b.dir) == NULL)
		fail("%s: no folder can be made there", argv[1]);
	b.devices = calloc(DEVICES, sizeof(*b.devices));
	if (b.devices == NULL)
		fail("no memory");
	handshake_keypair_generate(&b.key);
	server_open(&b);
	devices_enrol(&b);
	round_logins(&b); /* warm */
	for (unsigned i = 0; i < rounds; i++) {
		alone[i] = round_reference(&b);
		logins[i] = round_logins(&b);
	}
	qsort(logins, rounds, sizeof(logins[0]), compare);
	qsort(alone, rounds, sizeof(alone[0]), compare);
	printf("%.6g %.6g %.6g %.6g\n", logins[rounds / 2], logins[0], logins[rounds - 1], alone[rounds / 2]);
	server_free(b.server);
	store_close(b.store);
	config_free(b.config);
	files_remove(b.dir);
	free(b.devices);
	return 0;
}
