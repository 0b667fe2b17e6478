/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The dataplane as the event loop sees it: the region of rings, joined while it is there, and the way of
 * cells between it and the server.
 */
#ifndef ROOKERY_CONTROL_LOOP_RINGS_H
#define ROOKERY_CONTROL_LOOP_RINGS_H

#include "control/server.h"
#include "shared/ipc.h"

#include <sys/types.h>

#define RINGS_BATCH_MAX 1024

struct rings {
	struct ipc ipc;
	bool joined;
	bool attached;      /* the server has provisioned this region */
	bool ready;
	bool alive;
	char *path;
	dev_t dev;
	ino_t ino;
	uint64_t seen;      /* last value of dataplane_alive */
	uint64_t seen_ms;   /* when it changed */
	uint64_t watch_ms;  /* next look at the file */
	uint64_t refused_ms; /* a region was refused or busy: said at that time */
	uint32_t turn;      /* worker whose rings come first */
	uint32_t resumed;   /* sessions in the PUNT_RESUMED of the present batch */
	struct server *server;
	uint8_t public_key[32];
	uint32_t batch_max;
	uint64_t logins_us; /* when the last LOGINs were taken */
	struct histogram login_latency; /* from the ring to the answer, commit included */
	const struct cell **cells; /* [RINGS_BATCH_MAX]: into copies */
	struct cell *copies;       /* of a batch: what the dataplane still can write to is not acted upon */
};

int rings_init(struct rings *r, const char *path, const uint8_t public_key[32]);
void rings_free(struct rings *r);

/* server_io.send; arg is the struct rings. */
bool rings_send(void *arg, uint32_t ring, const struct cell *c);

/* Looks after the file, about every 100 ms: joins, notices another dataplane, publishes the key. */
void rings_watch(struct rings *r, uint64_t now_ms);

/* The next rings_watch looks, whenever the last one did. */
void rings_watch_now(struct rings *r);

/* Takes one fair batch of cells through the server. Returns how many. */
uint32_t rings_drain(struct rings *r);

/* Before the loop waits: asks for the doorbell. Returns false when there is something to do after all. */
bool rings_sleep(struct rings *r);
void rings_awake(struct rings *r);

#endif
