/* SPDX-License-Identifier: BSD-3-Clause */
/* The control process around which fuzz_server.c is: rings, store and clocks, and the dataplane's honest end of the rings. */
#ifndef ROOKERY_FUZZ_SERVER_WORLD_H
#define ROOKERY_FUZZ_SERVER_WORLD_H

#include "steps.h"

#include "control/loop_rings.h"
#include "control/server.h"
#include "control/store/store.h"
#include "shared/config_parse.h"
#include "shared/ipc.h"

#include <stdbool.h>

#define PEERS 4
#define TOKENS 32
#define JOBS 64
#define WORKERS 2
#define SLOTS 16

struct peer {
	struct handshake_keypair key;
	struct handshake_client handshake;
	struct session_secret secret;
	session_id_t sid;
	user_id_t user;
	device_id_t device;
	uint64_t timestamp;
	uint32_t request;
	uint8_t login[WIRE_DATAGRAM_MAX];
	size_t login_len;
};

struct world {
	struct store *store;
	struct server *server;
	struct rings rings;
	struct ipc region;
	struct handshake_keypair key;
	uint64_t now_ms, wall_ms, alive;
	struct peer peers[PEERS];
	struct peer *waits; /* for a LOGIN_REPLY */
	struct token {
		session_id_t sid;
		uint64_t token;
	} tokens[TOKENS];
	uint32_t token_count;
	struct password_job *jobs[JOBS];
	unsigned job_count;
	bool hold_jobs, full, hostile;
	uint8_t strangers;
};

/* Of all worlds. */
extern struct config *world_config;

/* Commits fail, as on a full disk. */
extern bool world_store_fails;

/* Empty, and without accounts. */
void world_start(struct world *w);
void world_stop(struct world *w);

/* What the event loop does until nothing is left; checks the invariants and all that is sent. */
void world_settle(struct world *w);

void world_control_dies(struct world *w);
void world_dataplane_dies(struct world *w);

/* A cell from a worker; lost if its ring is full. */
void cell_start(struct cell *c, uint16_t type, session_id_t sid);
void punt(struct world *w, enum ipc_ring kind, const struct cell *c);

#endif
