/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rookchat --json as a test drives it. Every line that it prints becomes an event; an expectation takes the first
 * event that matches and was not taken before, and waits for it if there is none yet. What must never happen (a line
 * that is no JSON, a receipt that takes back an earlier one, a message shown twice) fails the test whenever it is seen.
 */
#ifndef ROOKERY_TESTS_E2E_CLIENT_H
#define ROOKERY_TESTS_E2E_CLIENT_H

#include "world.h"

#include <jansson.h>

struct client_options {
	const char *user;
	const char *password;  /* NULL: "secret of NAME" */
	bool register_user;
	const char *device;    /* NULL: the user's name; another one is another state directory */
	const char *server;    /* NULL: the world's address for its clients; otherwise e.g. a proxy's */
};

struct event {
	json_t *json;
	bool taken;
};

struct client {
	struct world *world;
	struct client *next;
	struct process *process;
	char user[40];
	struct event *events;
	size_t event_count, event_cap;
	json_t *levels; /* message id -> last level or "refused: REASON" */
	json_t *shown;  /* "from id" of messages shown by this process */
	char **sent;    /* ids by seq */
	size_t sent_count, sent_cap;
	size_t said; /* msg commands given */
};

/* Starts it and does not wait for anything. */
struct client *client_start(struct world *w, const struct client_options *o);

/* The everyday forms: start and wait for the login event. The first also registers the user. */
struct client *client_register(struct world *w, const char *user);
struct client *client_login(struct world *w, const char *user);

void client_say(struct client *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Waits for an event of this kind whose fields have these values: pairs of strings, ended by NULL. Numbers and booleans are
 * compared as JSON writes them ("true", "17"). Borrowed: lives as long as the client. */
json_t *client_expect(struct client *c, const char *event, ...) __attribute__((sentinel));
/* True if such an event is there and untaken; waits for nothing. */
bool client_has(struct client *c, const char *event, ...) __attribute__((sentinel));
/* How many of these there ever were, taken or not. */
unsigned client_count(struct client *c, const char *event, ...) __attribute__((sentinel));
/* Marks all events so far as taken. */
void client_forget(struct client *c);

/* "msg" for seq first..last of this run, the text naming prefix and number. */
void client_send_series(struct client *c, const char *to, const char *prefix, unsigned count);
/* Waits until all of such a series arrived; fails unless each came once and in order. */
void client_expect_series(struct client *c, const char *from, const char *prefix, unsigned count);
/* The last `count` messages that this run sent must reach this level ("delivered", "stored" or "refused: blocked"). */
void client_expect_levels(struct client *c, unsigned count, const char *level);
/* The present level of message seq of this run; "" if none yet. */
const char *client_level(struct client *c, unsigned seq);

/* "quit"; expects exit code 0. */
void client_quit(struct client *c);
/* Waits for its end and expects this exit code. */
void client_expect_exit(struct client *c, int code);
/* kill -9. */
void client_kill(struct client *c);

/* add, request, accept, accepted: makes two logged-in users buddies, and waits until each sees the other online. */
void clients_befriend(struct client *a, struct client *b);

void clients_free(struct world *w);

#endif
