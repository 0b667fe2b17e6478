/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Real workers in virtual time, over an in-memory port: the test is the network, the clients and control. Used by the relay tests.
 */
#ifndef ROOKERY_TESTS_RELAY_WORLD_H
#define ROOKERY_TESTS_RELAY_WORLD_H

#include "dataplane/worker_state.h"

#include <stdbool.h>
#include <stdint.h>

#define WORLD_WORKERS_MAX 4
#define WORLD_QUEUE 4096

struct world_queue {
	struct rte_mbuf *pkts[WORLD_QUEUE];
	uint32_t head;
	uint32_t tail;
};

struct world {
	struct config *config;
	struct ipc ipc;
	struct tables *tables;
	struct rte_mempool *pool;
	struct port port;
	struct worker *workers[WORLD_WORKERS_MAX];
	struct housekeeping *housekeeping;
	uint32_t count;
	uint64_t now_us;
	uint64_t wall_ms;
	struct world_queue rx[WORLD_WORKERS_MAX];
	struct world_queue tx;
	char dir[64];
};

/* A client that has its keys; what a login would leave behind. */
struct peer {
	struct world *world;
	session_id_t sid;
	user_id_t user;
	device_id_t device;
	struct session_keys keys;
	struct aead_key key;
	struct endpoint address;
	uint16_t epoch;
	uint64_t sequence;
};

/* Set before world_new: the caller checks the invariants when it sees fit, few packets are under way, and few LOGINs do without a cookie. For fuzzing. */
extern bool world_quick;
/* Activity blocks per worker of worlds made from now on; 0: one for each session. */
extern uint32_t world_activities;
struct world *world_new(uint32_t workers);
/* Control has provisioned every session: the server's key is there. */
void world_server_key(struct world *w, const uint8_t public[32]);
/* Checks every invariant and G7 before it lets go. */
void world_free(struct world *w);
void world_check(struct world *w);
/* Polls every worker and housekeeping until nothing moves. */
void world_settle(struct world *w);
/* Lets time pass in steps of 5 ms. */
void world_pass(struct world *w, uint64_t us);
uint64_t world_counter(const struct world *w, enum counter c);

/* Provisions a session on a worker. */
void peer_join(struct peer *p, struct world *w, uint32_t worker, uint32_t index, user_id_t user, uint8_t flags);
/* Seals frames and puts the packet before worker `at`. */
void peer_send(struct peer *p, uint32_t at, const struct frame *frames, unsigned n);
/* The same bytes, to be sent as they are: returns their length. */
size_t peer_seal(struct peer *p, const struct frame *frames, unsigned n, uint8_t *out);
void world_send_raw(struct world *w, uint32_t at, const struct endpoint *from, const uint8_t *data, size_t length);
/* Takes the oldest packet that was sent to address; opens it and copies its first frame of that type. The body stays valid until the next call.
 * Other packets stay. Returns false when there is none. */
bool peer_receive(struct peer *p, uint8_t type, struct frame *f);
/* Takes the oldest packet sent to address as it is. Returns its length or 0. */
size_t world_receive_raw(struct world *w, const struct endpoint *to, uint8_t *out, size_t cap);

/* Control's side. */
const struct cell *control_take(struct world *w, enum ipc_ring ring, uint32_t worker, enum cell_type type);
struct cell *control_put(struct world *w, enum ipc_ring ring, uint32_t worker, enum cell_type type);
void control_publish(struct world *w, enum ipc_ring ring, uint32_t worker);
/* Fills user and verdict tables. */
void control_user(struct world *w, user_id_t user, bool away, const struct peer *const *live, unsigned n);
void control_allow(struct world *w, user_id_t from, user_id_t to, enum verdict verdict);

#endif
