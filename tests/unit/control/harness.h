/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The server without a dataplane: the test plays it. Real store in a temporary folder, real handshakes and
 * passwords, a clock that stands still until moved. After every step the server's invariants are checked.
 */
#ifndef ROOKERY_TESTS_CONTROL_HARNESS_H
#define ROOKERY_TESTS_CONTROL_HARNESS_H

#include "control/server.h"
#include "control/store/store.h"
#include "shared/rookery.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct harness {
	char dir[64];
	struct config *config;
	struct store *store;
	struct server *server;
	struct handshake_keypair key;
	uint64_t now_ms, wall_ms;
	/* what the server sent */
	struct sent {
		uint32_t ring;
		struct cell cell;
	} *sent;
	uint32_t count, capacity;
	uint32_t room; /* cells that the rings still take; UINT32_MAX: all */
	/* passwords are hashed when the test says so */
	struct password_job *jobs[64];
	uint32_t job_count;
	bool hold_jobs;
	uint64_t login_age_ms; /* LOGINs came so long ago */
};

struct client {
	struct handshake_keypair key;
	struct handshake_client handshake;
	struct session_secret secret;
	uint64_t timestamp;
	uint32_t worker;
	uint8_t login[WIRE_DATAGRAM_MAX]; /* last one sent */
	uint16_t login_length;
	session_id_t sid;
	user_id_t user;
	device_id_t device;
	uint32_t request;
	Rookery__LoginResult result;
	uint64_t last_message_id;
};

#define WORKERS 2
#define SLOTS 64

int harness_setup(void **state);   /* *state: struct harness, attached to a dataplane */
int harness_teardown(void **state);
/* Control dies and starts again (the store stays); attach with the given boot. */
void harness_restart(struct harness *h, uint64_t boot);
void harness_sent_clear(struct harness *h);
/* The i-th cell of this type sent since the last clear, or NULL. */
const struct cell *harness_find(const struct harness *h, uint16_t type, uint32_t i);
uint32_t harness_sent_count(const struct harness *h, uint16_t type);
/* One cell through server_batch, with finished passwords after it. */
void harness_cell(struct harness *h, const struct cell *c);
void harness_cells(struct harness *h, const struct cell *const *cells, uint32_t n);
void harness_settle(struct harness *h);
/* As the operator does, until it is in the database. */
void harness_drain(struct harness *h, bool on);
void harness_advance(struct harness *h, uint64_t ms);

void client_init(struct client *c, uint32_t worker);
/* Sends LOGIN and reads the reply. Returns false when there was none. */
bool client_login(struct harness *h, struct client *c, const char *user);
/* The same datagram again. Returns false when there was no reply. */
bool client_login_again(struct harness *h, struct client *c);
/* The answer to a request; rookery__response__free_unpacked. NULL: none (yet). */
Rookery__Response *client_request(struct harness *h, struct client *c, Rookery__Request *q);
Rookery__Response *client_response(struct harness *h, const struct client *c, uint32_t number);
/* The request as a cell, in one fragment. */
void client_request_cell(struct cell *out, const struct client *c, uint32_t number,
			 const Rookery__Request *q);
/* Login, register; asserts success. */
void client_register(struct harness *h, struct client *c, const char *name, const char *password);
Rookery__Code client_enrol(struct harness *h, struct client *c, const char *name, const char *password);
Rookery__Code client_add(struct harness *h, struct client *c, const char *name, const char *text);
Rookery__Code client_answer(struct harness *h, struct client *c, const char *name, bool accept);
void befriend(struct harness *h, struct client *a, const char *a_name, struct client *b, const char *b_name);

/* The i-th notification to a session since the last clear; rookery__notification__free_unpacked. NULL: none.
 */
Rookery__Notification *client_notification(struct harness *h, const struct client *c, uint32_t i);
/* Is there such a presence for c since the last clear? */
bool saw_presence(struct harness *h, const struct client *c, user_id_t user, Rookery__Status status);
bool saw_buddy(struct harness *h, const struct client *c, user_id_t user, Rookery__BuddyState state);
/* The i-th DELIVER frame to a session; token too. */
bool client_delivered(struct harness *h, const struct client *c, uint32_t i, struct frame_deliver *d,
		      uint64_t *token);
/* Acknowledges every frame with a token sent to c since the last clear; returns how many. What flows then is
 * not included. */
uint32_t client_ack_all(struct harness *h, const struct client *c);
void delivered(struct harness *h, session_id_t sid, uint64_t token, enum delivery_outcome outcome);
void session_expired(struct harness *h, session_id_t sid);
void session_event(struct harness *h, session_id_t sid, enum session_event event);
/* PUNT_STORE of a text for a user; returns the answer's (ok, stored) or ok = 2 when there was none. */
struct cell_stored store_message(struct harness *h, const struct client *from, user_id_t to, message_id_t id,
				 const char *text);
enum verdict verdict(struct harness *h, user_id_t from, user_id_t to);
/* Last TABLE_VERDICT_SET of the pair since the last clear; VERDICT_NONE: none. */
enum verdict table_verdict(const struct harness *h, user_id_t from, user_id_t to);

#endif
