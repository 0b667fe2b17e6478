/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The deterministic simulation: real client cores, the real dataplane and the real control in one process and in virtual
 * time. Everything that happens follows from one seed.
 *
 *   rooksim.c     options, seeds          run.c        one seed from the first login to the last check
 *   random.c      all randomness          trace.c      the timeline and its hash
 *   network.c     datagrams on their way  plan.c       profiles; when which fault happens
 *   dataplane.c   region, workers, tables control.c    rings, server, store
 *   device.c      client, its store       app.c        what the people do and are told
 *   check.c       what must be true after each step and at the end
 *
 * A process "is killed at a step": every call by which a part reaches outside (a store operation, a cell put into
 * or taken from a ring, a datagram, an event) is counted, and after a number of them the part goes on without
 * any effect until it returns, and is then thrown away. What it did before stays; that is what kill -9 leaves.
 */
#ifndef ROOKERY_TESTS_SIM_H
#define ROOKERY_TESTS_SIM_H

#include "rookery/client.h"
#include "shared/address.h"
#include "shared/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define USERS_MAX 6
#define DEVICES_MAX 8
#define TEXTS_MAX 4096
#define ADDRESSES_MAX 256
#define NEVER_US UINT64_MAX
#define MS_US UINT64_C(1000)
#define SECOND_US UINT64_C(1000000)

struct sim;

/* ---- random.c ------------------------------------------------------------------------ */

struct random {
	uint64_t s[4]; /* xoshiro256** (Blackman, Vigna 2018) */
};

void random_seed(struct random *r, uint64_t seed);
uint64_t random_next(struct random *r);
uint64_t random_below(struct random *r, uint64_t n); /* 0 when n is 0 */
uint64_t random_between(struct random *r, uint64_t low, uint64_t high);
bool random_permille(struct random *r, unsigned permille);
/* Gaps of a Poisson process: exponential with this mean, at least 1. */
uint64_t random_gap(struct random *r, uint64_t mean);
/* From now on libsodium and getrandom() give bytes of this seed. */
int random_bytes_install(void);
void random_bytes_seed(uint64_t seed);

/* ---- plan.c -------------------------------------------------------------------------- */

/* What may go wrong, each with the mean gap between two of a kind in ms; 0: never. */
enum fault {
	FAULT_PARTITION,     /* a device hears and is heard by nobody for a while */
	FAULT_DEAF,          /* one direction only */
	FAULT_REBIND,        /* NAT gives another address */
	FAULT_CLIENT_CRASH,
	FAULT_LOGOUT,
	FAULT_IDLE_APP,      /* the application takes no events */
	FAULT_CLIENT_DISK,   /* the client's store fails */
	FAULT_CONTROL_CRASH,
	FAULT_CONTROL_STALL, /* slow disk, or SIGSTOP */
	FAULT_STORE,         /* the database fails */
	FAULT_DATAPLANE_CRASH,
	FAULT_DATAPLANE_STALL,
	FAULT_BOTH_CRASH,
	FAULT_RELATION,      /* buddies part or block, and make up */
	FAULT_COUNT
};

struct profile {
	const char *name;
	unsigned users;
	unsigned devices; /* in all, at least users */
	unsigned workers;
	unsigned chaos_ms;
	unsigned text_gap_ms; /* per device */
	unsigned burst_permille;
	unsigned long_permille; /* texts of several fragments */
	/* network, permille of datagrams */
	unsigned loss, duplicate, corrupt, late, replay, forge, astray;
	unsigned delay_us, jitter_us;
	unsigned fault_ms[FAULT_COUNT];
	unsigned crash_steps; /* a crash comes within so many steps of its part */
	unsigned relapse;     /* permille: crashes that come during the recovery from another, clients that leave during an outage */
	unsigned heartbeat_ms, timeout_ms, retransmit_limit;
	unsigned sessions, messages, users_table, conversations;
	unsigned event_cells, request_cells, login_cells, inject_cells, table_cells;
	unsigned logins_per_second;
	unsigned stored_max;
	bool least; /* the least tables and rings: who waits, waits for room */
};

/* NULL: no such profile. Fills p from the profile and the seed. */
const char *profile_pick(struct profile *p, const char *name, struct random *r);
const char *profile_name(unsigned i); /* NULL past the end */

struct plan {
	struct random random;
	uint64_t next_us[FAULT_COUNT];
	uint64_t leave_us; /* when a client leaves because of an outage */
	bool on;
};

void plan_start(struct sim *s);
void plan_stop(struct sim *s);
uint64_t plan_next(const struct sim *s);
void plan_step(struct sim *s);
/* Control or the dataplane starts again; control is down for so long. */
void plan_recovers(struct sim *s, enum fault f);
void plan_outage(struct sim *s, uint64_t us);

/* ---- trace.c ------------------------------------------------------------------------- */

struct sim_trace {
	uint64_t hash;
	uint64_t lines;
	bool print, packets;
};

/* One line of the timeline: time, who, what. Part of the hash. */
void trace(struct sim *s, const char *who, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* A datagram, opened with the device's keys where possible when it is printed. */
struct device;
void trace_clients(struct sim *s); /* what each client waits for; printed only */
void trace_datagram(struct sim *s, const struct device *d, bool to_server, const char *what, const uint8_t *data, size_t len);

/* ---- network.c ----------------------------------------------------------------------- */

#define CAPTURED 64

struct datagram {
	uint64_t due_us;
	uint64_t number; /* ties are broken by the order of sending */
	bool to_server;
	uint16_t len;
	struct endpoint client;
	uint8_t data[RK_DATAGRAM_MAX + 8];
};

/* Sealed packets by session, direction and counter, for what must not happen twice. */
#define SEALED (1u << 16)

struct sealed {
	uint64_t key, content;
};

struct network {
	struct random random;
	struct datagram **heap;
	uint32_t count, capacity;
	uint64_t number;
	uint64_t calm_number; /* of the first datagram since the healing */
	bool calm; /* nothing is lost, changed or late */
	struct datagram captured[CAPTURED]; /* what an attacker has seen */
	uint32_t captured_count;
	uint64_t delivered;
	struct sealed *sealed; /* what the server has sent */
};

/* The entry of a sealed packet; fresh: it is new. NULL: no room, or not DATA. */
struct sealed *sealed_find(struct sealed *table, const uint8_t *data, size_t len, bool *fresh);
void network_free(struct sim *s);
void network_send(struct sim *s, bool to_server, const struct endpoint *client, const uint8_t *data, size_t len);
void network_heal(struct sim *s);
/* Is a datagram from before the healing still under way? */
bool network_stragglers(const struct sim *s);
uint64_t network_next(const struct sim *s);
void network_step(struct sim *s);

/* ---- dataplane.c --------------------------------------------------------------------- */

struct dataplane;

int dataplane_environment(void); /* once per process: EAL, buffers */
void dataplane_environment_end(void);
int dataplane_new(struct sim *s);
void dataplane_free(struct sim *s);
void dataplane_start(struct sim *s);
/* After so many more steps. */
void dataplane_crash(struct sim *s, unsigned steps, uint64_t down_us);
void dataplane_stall(struct sim *s, uint64_t us);
void dataplane_heal(struct sim *s);
bool dataplane_up(const struct sim *s);
uint64_t dataplane_began(const struct sim *s); /* when it was started last */
void dataplane_receive(struct sim *s, const struct endpoint *from, const uint8_t *data, size_t len);
uint64_t dataplane_next(const struct sim *s);
void dataplane_step(struct sim *s);
/* Control put something into a ring. */
void dataplane_wake(struct sim *s);
struct ipc;
/* The process whose view of the region this is has died: what it still writes nobody else sees. */
void region_part(struct ipc *ipc);
const char *dataplane_check(const struct sim *s);
/* Nothing is under way: no record, no delivery, no packet between workers. */
const char *dataplane_empty(const struct sim *s);
const char *dataplane_sums(const struct sim *s);

/* ---- control.c ----------------------------------------------------------------------- */

struct control;

int control_new(struct sim *s);
void control_free(struct sim *s);
void control_start(struct sim *s);
void control_crash(struct sim *s, unsigned steps, uint64_t down_us);
/* When it has put so many sessions into the rings of a new dataplane. */
void control_crash_provisioning(struct sim *s, unsigned sessions, uint64_t down_us);
void control_stall(struct sim *s, uint64_t us);
void control_heal(struct sim *s);
/* Each operation of the store, or only each read outside of a transaction, fails with this probability until then. */
void control_store_fails(struct sim *s, unsigned permille, bool reads, uint64_t until_us);
bool control_ready(const struct sim *s);
uint64_t control_next(const struct sim *s);
void control_step(struct sim *s);
/* The doorbell. */
void control_wake(struct sim *s);
const char *control_check(const struct sim *s);
/* Nothing waits in the store, no ring is backlogged. */
const char *control_empty(const struct sim *s);
const uint8_t *control_key(const struct sim *s);

/* ---- device.c ------------------------------------------------------------------------ */

struct text;

/* What an application has been told. */
struct app {
	uint32_t runs;         /* starts of the client */
	uint64_t sessions;     /* that it has begun; the last one then */
	uint64_t session_us;
	bool registered;       /* a first RK_EVENT_LOGIN was seen, ever */
	bool closed;           /* RK_EVENT_CLOSED: log in again soon */
	uint64_t again_us;     /* when to log in again */
	uint64_t list_us;      /* when to look after the buddies again */
	bool listing;
	uint8_t buddy[USERS_MAX];    /* enum rk_buddy_state as last listed */
	uint8_t presence[USERS_MAX]; /* enum rk_status as last told; 0: never */
	uint64_t presence_us[USERS_MAX];
	uint64_t text_us;      /* when to say something next */
	uint32_t next_order[USERS_MAX]; /* of the next text to that user */
	uint64_t high[DEVICES_MAX];     /* order of the last text of a device that was shown */
	struct text **locals;  /* by local id */
	uint64_t local_capacity;
	struct text *showing;  /* given by the last event; a crash may show it again */
	uint64_t idle_us;      /* takes no events until then */
	uint64_t online_us;    /* logged in or resumed last */
};

struct device {
	struct sim *sim;
	unsigned index, user, nth; /* nth device of its user */
	char name[16];             /* "ada/0" */
	struct random random;
	uint8_t secret[RK_KEY_SIZE];
	struct rk_client *client;  /* NULL: does not run */
	struct rk_store *disk;
	struct rk_store store;     /* the disk, with what may befall it */
	bool in_transaction;
	bool crashed;
	uint64_t steps_left;       /* to the crash; UINT64_MAX: none */
	uint64_t down_us;          /* how long it stays down then */
	uint64_t start_us;         /* starts again then */
	bool leaving;              /* logs out */
	uint64_t disk_until_us;    /* its store fails now and then until then */
	unsigned disk_permille;
	uint64_t cut_in_us, cut_out_us; /* hears nothing, is not heard until then */
	struct endpoint address;
	struct endpoint addresses[ADDRESSES_MAX]; /* all that it ever had */
	unsigned address_count;
	int64_t wall_skew_ms;
	bool touched;
	uint64_t logins_base;      /* sessions begun, when counting for G4 started */
	uint64_t next_us;          /* of the client and the application */
	struct app app;
};

void device_init(struct sim *s, struct device *d, unsigned index, unsigned user, unsigned nth);
void device_fini(struct device *d);
void device_start(struct device *d);
void device_crash(struct device *d, unsigned steps, uint64_t down_us);
void device_logout(struct device *d, uint64_t down_us);
void device_rebind(struct device *d);
void device_input(struct device *d, const uint8_t *data, size_t len);
/* Counts a step; true: the device has just died of it, or is dead. */
bool device_dies(struct device *d);
void device_step(struct device *d);
uint64_t device_logins(const struct device *d);
uint64_t device_resumes(const struct device *d);
struct device *device_at(struct sim *s, const struct endpoint *address);
/* Was some device ever there? */
bool device_was_at(const struct sim *s, const struct endpoint *address);

/* ---- app.c --------------------------------------------------------------------------- */

/* Everything that somebody ever wrote. */
struct text {
	uint32_t number;
	uint32_t order;      /* among the texts of this device to this user, from 1 */
	uint8_t from, to;    /* device, user */
	bool sure;           /* rk_client_send has returned its local id */
	bool accepted;
	uint8_t level;       /* best final level that the sender was told; 0: none */
	uint8_t reason;
	uint32_t length;
	uint64_t local;
	uint64_t sent_us, final_us; /* final: when the first final level was told */
	uint64_t shown_us[DEVICES_MAX]; /* for the first time */
	uint32_t final_run;  /* of its device, when the sender was told a final level */
	uint8_t expected;    /* bit per device */
	uint8_t shown;       /* bit per device */
	uint8_t again;       /* bit per device: may be shown once more, after a crash */
	bool both;           /* shown, and told to have failed: see may_be_both() */
	char id[RK_MESSAGE_ID_LEN + 1];
};

void app_event(struct device *d, const struct rk_event *e);
/* Logs in, befriends, writes; returns when to be called again. */
uint64_t app_step(struct device *d);
void app_started(struct device *d);
void app_session(struct device *d);
void app_died(struct device *d);
void app_fini(struct device *d);
bool app_befriended(const struct device *d);
/* A text to that user (length 0: any). */
void app_write(struct device *d, unsigned to, uint32_t length);

extern const char *const user_names[USERS_MAX];

/* ---- check.c ------------------------------------------------------------------------- */

/* The seed fails: the first reason counts. */
void fail(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void check_step(struct sim *s);
/* Has everything come to its end that can? NULL, or what is missing. */
const char *check_settled(struct sim *s);
/* G1, G2, G3. */
void check_texts(struct sim *s);
/* How long confirmed texts took since all faults were over: within WAIT_LIMIT_US. Once, when everything has settled. */
void check_waits(struct sim *s);
/* Notes when the last fault is over. */
void check_calm(struct sim *s);

/* docs/protocol.md, section 13 */
#define WAIT_LIMIT_US (60 * SECOND_US)
#define WAIT_BUCKET_US (100 * MS_US)
#define WAIT_BUCKETS 1200

/* ---- run.c --------------------------------------------------------------------------- */

struct sim {
	uint64_t seed;
	uint64_t resumes; /* sessions by ticket of clients that have gone */
	struct profile profile;
	struct config *config;
	char dir[64];
	struct random random;
	uint64_t now_us;
	uint64_t wall0_ms;
	uint64_t steps;
	bool check_always;
	bool failed;
	char reason[512];
	bool chatting; /* applications write texts */
	struct sim_trace trace;
	struct plan plan;
	struct network network;
	struct dataplane *dataplane;
	struct control *control;
	struct device devices[DEVICES_MAX];
	unsigned device_count;
	struct text *texts;
	uint32_t text_count;
	bool parted[USERS_MAX][USERS_MAX]; /* the two have parted or blocked each other at some time */
	uint32_t both;         /* texts that were shown and told to have failed */
	uint64_t progress;     /* texts shown and answered */
	uint64_t progress_seen, progress_us;
	bool healing;
	uint64_t heal_us;      /* no new faults from then on */
	uint64_t calm_us;      /* and nothing of the old ones is left; 0: not yet */
	uint64_t settled_us;
	uint64_t wait_us;      /* longest wait of a confirmed text after that */
	uint32_t waits[WAIT_BUCKETS]; /* texts by their wait */
};

static inline uint64_t
sim_wall_ms(const struct sim *s)
{
	return s->wall0_ms + s->now_us / 1000;
}

struct sim_result {
	bool failed;
	char reason[512];
	char profile[32];
	uint64_t hash, steps, datagrams, texts, both, virtual_us;
	bool least; /* tables and rings of the least size */
	uint64_t wait_us, settle_us; /* longest wait of a text, time until all had settled; 0 in a seed that failed before */
	uint32_t waits[WAIT_BUCKETS];
	uint64_t resumes;
};

void sim_run(uint64_t seed, const char *profile, bool print, bool packets, struct sim_result *result);

#endif
