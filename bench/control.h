/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The real server of control with the real store on a real file, in a folder of its own; the program that includes this is its
 * dataplane. For programs of their own, because control and the dataplane have functions of the same names.
 */
#ifndef ROOKERY_BENCH_CONTROL_H
#define ROOKERY_BENCH_CONTROL_H

#include "fail.h"

#include "control/server.h"
#include "control/store/store.h"
#include "shared/handshake.h"

struct control {
	char dir[256];
	struct config *config;
	struct store *store;
	struct server *server;
	struct handshake_keypair key;
	uint64_t now_ms, wall_ms;
	int (*handshakes)(void *arg, struct login_job *job); /* as in server_io; set before control_open */
};

/* Makes a folder in `parent`, and the server with one worker of so many sessions. send(arg, ...): cells to the dataplane. */
void control_open(struct control *c, const char *parent, uint32_t sessions,
		  bool (*send)(void *arg, uint32_t ring, const struct cell *cell), void *arg);
/* Takes the folder away, too. */
void control_close(struct control *c);
/* In a transaction: user0, user1 and so on, a device each, with this public key. Ids count from 1. */
void control_enrol(struct control *c, uint32_t number, const uint8_t key[32]);
void control_begin(struct control *c);
void control_commit(struct control *c);
/* Lets time pass. */
void control_pass(struct control *c, uint64_t ms);
double control_seconds(void);
/* Orders doubles, for qsort. */
int control_compare(const void *a, const void *b);

#endif
