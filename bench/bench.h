/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rookbench: the real worker on one lcore, in turns with its load. A phase makes PHASE packets outside the clock, lets
 * the worker (or the reference) work them off inside it, and plays the clients with what came out, outside again.
 *
 * Thread-safety: one thread.
 */
#ifndef ROOKERY_BENCH_H
#define ROOKERY_BENCH_H

#include "fail.h"
#include "identity.h"

#include "dataplane/worker_state.h"

#include <rte_ethdev.h>
#include <stdbool.h>
#include <stdint.h>

#define PHASE 8192u
#define ROUNDS_MAX 101
#define LANES_MAX 2u
#define WALL_MS UINT64_C(1700000000000) /* when now_us is 0 */

/* Cycles per operation, one figure per round. */
struct series {
	double value[ROUNDS_MAX];
	unsigned count;
};

struct summary {
	double median, min, max;
};

struct options {
	unsigned rounds;       /* at least 5 */
	uint32_t sessions_max; /* larger worlds are left out */
	const char *only;      /* comma-separated names of rows; NULL: all */
	int memory;            /* DPDK's number of the heap for all tables */
	const char *dir;       /* for latest.json and the plots' data */
};

extern struct options options;

/* ---- report.c ---- */

void series_add(struct series *s, double value);
struct summary series_summary(const struct series *s);
/* Is this row to be measured? */
bool row_wanted(const char *name);
/* A row of the goals table. goal in the unit of value; below: the goal is an upper bound. The ratio is value / reference. */
void row_add(const char *name, struct summary value, const char *unit, double reference, double goal, bool below,
	     const char *note);
/* A row that is not measured here, for the reason in note: a goal that is not met. */
void row_absent(const char *name, const char *unit, double goal, const char *note);
/* A figure without a goal: prints it and keeps it in the JSON. */
void figure_add(const char *name, struct summary value, const char *unit, double reference, const char *note);
/* One point of a curve: appends a line to <dir>/<curve>.dat: x, median, minimum, maximum, reference. */
void plot_point(const char *curve, double x, struct summary y, double reference);
/* Prints how many goals were met and which were not, and writes latest.json. Returns 0 or -errno. */
int report_write(void);

/* ---- load.c: random numbers ---- */

uint64_t draw(void);
uint32_t draw_below(uint32_t n);
void shuffle(uint32_t *a, uint32_t n);

/* ---- world.c: a worker on an in-memory device, its sessions, its clients ---- */

/* What a client remembers. Its id is its index; its user is index + 1. */
struct client {
	uint32_t sequence;
	uint32_t message;   /* last id used */
	uint32_t delivered; /* final answers so far; ids are final in order at the end of a round */
	uint32_t confirmed;
	uint32_t ack_first; /* deliveries without ACK: consecutive numbers */
	uint16_t ack_count;
};

struct pending_ack {
	uint32_t client;
	uint32_t delivery;
};

/* A worker with its queue of the device, as a NIC's RSS fills it: what comes belongs to its own sessions. */
struct lane {
	struct rte_mempool *pool;
	struct rte_ring *in;  /* to the worker */
	struct rte_ring *out; /* from it */
	uint64_t cycles;      /* inside the clock, in the last world_run */
};

/* Which messages cross from one worker to the other. */
enum crossing { CROSSING_DRAWN, CROSSING_NONE, CROSSING_ALL };

struct world {
	struct config *config;
	struct ipc ipc;
	struct tables *tables;
	struct port port;
	struct config_port port_config;
	uint16_t device;
	struct rte_ether_addr mac;
	struct lane lanes[LANES_MAX];
	struct worker *workers[LANES_MAX]; /* of the lanes */
	unsigned lane_count;
	struct housekeeping *housekeeping;

	uint32_t sessions;
	uint32_t sequence;  /* of the next packets, where clients remember none: each must be used once by a client, in rising order */
	struct client *clients;
	uint32_t *order;    /* all clients in random order; neighbours [2k], [2k + 1] are buddies */
	uint32_t *place;    /* of a client in order */

	uint64_t now_us;    /* runs while the worker runs, and as the rows please */
	uint64_t cycles;    /* inside the clock, in the last world_run: of the lane that took longest */

	/* what came out in the last world_collect */
	struct pending_ack *acks;
	uint32_t ack_count;
	uint32_t receipts[RECEIPT_REFUSED + 1];
	uint32_t pongs;
	uint32_t packets;
	char dir[64];
	char device_name[RTE_ETH_NAME_MAX_LEN];
	char *devices[1];
};

struct world_shape {
	uint32_t sessions;
	uint32_t active;       /* sessions that may have messages under way; 0: all */
	unsigned lanes;        /* workers, at which the clients take turns; 0: one */
	enum crossing crossing;
	bool pings_only;       /* clients that remember nothing, and know nobody: no verdicts; see world.sequence */
	uint32_t timeout_ms;   /* 0: the default configuration's */
};

/* Sessions and their entries in the user and verdict tables. Every session has been heard of. */
void world_open(struct world *w, const struct world_shape *shape);
void world_close(struct world *w);

/* ---- load.c: packets for the wire ---- */

/* payload: bytes of text; with_confirm: tell what is final in the same packet; with_ack: acknowledge in the same packet.
 * real: the client remembers having sent it (false for packets that only the reference sees). */
struct message_shape {
	uint16_t payload;
	bool with_confirm;
	bool with_ack;
	bool real;
};
/* Makes a packet but keeps it off the wire. */
struct rte_mbuf *world_make_message(struct world *w, uint32_t client, const struct message_shape *shape);
void world_put_message(struct world *w, uint32_t client, const struct message_shape *shape);
void world_put_ping(struct world *w, uint32_t client);
/* All acknowledgements that are due (world.acks), in random order, a packet each. */
void world_put_acks(struct world *w);
/* Any datagram, from the address of a client that need not exist (below 2^24). */
void world_put_datagram(struct world *w, uint32_t client, const uint8_t *data, uint16_t length);
/* The first datagram that the worker has sent, taken; its length, or 0. */
uint16_t world_take_datagram(struct world *w, uint8_t *out, uint16_t cap);
/* A CONFIRM, if the client owes one. */
void world_put_confirm(struct world *w, uint32_t client);
void world_wire(struct world *w, uint32_t client, struct rte_mbuf *m);

void load_router_mac(struct rte_ether_addr *mac);
uint32_t load_buddy(const struct world *w, uint32_t client);
session_id_t load_session(const struct world *w, uint32_t client);
struct lane *load_lane(struct world *w, uint32_t client);

/* ---- world.c: the clock ---- */

/* Real-time priority for the calling thread, where that is allowed: other programs would be measured, too. For some milliseconds only,
 * or the kernel takes the core for what it owes to others. */
void undisturbed(bool on);
/* Inside the clock: iterations until the wires are empty; lanes take turns. */
void world_run(struct world *w);
/* The same, where a row counts it. */
void world_run_measured(struct world *w);
/* Of the iterations of a phase; those in which the kernel had the core count as the median. */
uint64_t sum_without_kernel(const uint64_t *cycles, uint32_t n);
/* One iteration of each lane; returns the cycles of all. */
uint64_t world_poll(struct world *w);
/* The reference in the worker's place: 5-tuple swap on the same device. Returns the cycles. */
uint64_t world_run_reference(struct world *w);

/* Outside: opens all that was sent, as the clients would; or only takes it away. */
void world_collect(struct world *w);
void world_discard(struct world *w);
/* Stands in for control: empties the event and request rings. */
void world_control(struct world *w);
/* What a router says that is there, on its way to the client's lane: nothing is sent to clients before. Kept off the wire. */
struct rte_mbuf *world_make_router(struct world *w, uint32_t client);
/* Tells the port again where its router is: its knowledge ages with now_us. */
void world_router(struct world *w);
/* Sums match and nothing was refused, dropped or sent twice; ends the program otherwise. */
void world_check(const struct world *w);

/* ---- reference.c ---- */

/* Sum of the cycles of one seal of each size, 4,096 keys at random. */
double reference_aead(const uint16_t *sizes, unsigned n);
/* One key expansion. */
double reference_key(void);
void reference_init(void);

#endif
