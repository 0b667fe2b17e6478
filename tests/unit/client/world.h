/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The world of the client's tests: virtual time, a network that loses, repeats, delays and reorders (seeded),
 * the small server, and people: each a client core with its store and an application that writes down what it
 * is told. After each step all invariants of all clients are checked.
 */
#ifndef ROOKERY_TESTS_CLIENT_WORLD_H
#define ROOKERY_TESTS_CLIENT_WORLD_H

#include "rookery/client.h"
#include "server.h"

#define PEOPLE 6
#define LOG_MAX 8192

/* What a person was told, one line of text per event: "message bob: hello", "receipt bob 1 stored". */
struct person {
	const char *name;
	struct rk_client *client;
	struct rk_store *store;
	char path[128];          /* of an SQLite store; "": in memory */
	uint8_t secret[RK_KEY_SIZE];
	bool no_key;             /* asks for the server's key */
	bool ask_new_key;
	const uint8_t *server_key; /* NULL: the true one */
	const char *status_text;
	struct endpoint address;
	bool deaf;               /* nothing comes in or goes out */
	bool idle;               /* the application takes no events */
	char *log[LOG_MAX];
	size_t n_log;
	/* crash after so many steps of this person's client: calls of the store and datagrams sent */
	uint64_t steps, crash_at;
	bool crashed;
	struct rk_store dying;   /* fails everything once crashed */
};

struct packet {
	struct packet *next;
	uint64_t due_us;
	struct person *to;       /* NULL: the server */
	struct endpoint from;    /* of packets to the server; of others: the address it was sent to */
	size_t len;
	uint8_t data[RK_DATAGRAM_MAX];
};

struct world {
	uint64_t now_us, wall_ms0;
	uint64_t random;
	unsigned loss, duplicate; /* per cent */
	uint64_t delay_us, jitter_us;
	struct server *server;
	struct person people[PEOPLE];
	size_t n_people;
	struct packet *packets;
	uint64_t sent;            /* datagrams of clients */
	unsigned standstill;      /* steps without time going on */
	/* sees each datagram; returns false to drop it */
	bool (*filter)(struct world *w, struct person *p, bool to_server, const uint8_t *data, size_t len);
	void *filter_arg;
	uint8_t last_login[RK_DATAGRAM_MAX];
	size_t last_login_len;
};

struct world *world_new(uint64_t seed);
void world_free(struct world *w);
uint64_t world_random(struct world *w, uint64_t below);

/* A person without a client yet; path NULL: store in memory. */
struct person *person_new(struct world *w, const char *name, const char *path);
/* Opens store and client (again) and begins to log in. */
void person_start(struct world *w, struct person *p);
/* Opens them without logging in. */
void person_open(struct world *w, struct person *p);
/* Frees client and store: as after kill -9, since nothing is written on the way. */
void person_stop(struct person *p);
/* person_new, person_start, register, and wait until logged in. */
struct person *person_registered(struct world *w, const char *name);
void person_new_address(struct person *p);

/* How often a line that begins with this was told. */
size_t told(const struct person *p, const char *prefix);
/* The n-th (from 0) line that begins with prefix, or NULL. */
const char *told_nth(const struct person *p, const char *prefix, size_t n);
void forget_log(struct person *p);

/* One step: the next thing that happens. Returns false when nothing ever will. */
bool world_step(struct world *w);
/* Steps until p was told n lines beginning with prefix. Fails the test after limit_ms of virtual time. */
void world_until(struct world *w, const struct person *p, const char *prefix, size_t n, uint64_t limit_ms);
void world_run(struct world *w, uint64_t ms);
void say(struct world *w, struct person *p, const char *to, const char *text);

#endif
