/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The shared-memory region between rookery-dataplane and rookery-control: a plain file that the dataplane
 * makes anew at each start (temporary name, then rename) and control maps. It holds single-producer,
 * single-consumer rings of struct cell.
 *
 * Thread-safety: each ring has one producer thread and one consumer thread, named below. The header's
 * fields say who writes them.
 *
 *   ring             producer            consumer       when full
 *   EVENT[w]         worker w            control        lossless: the worker keeps the source object, tries again
 *   REQUEST[w]       worker w            control        lossy: counted; the client asks again
 *   LOGIN[w]         worker w            control        lossy: counted; the client asks again
 *   INJECT[w]        control             worker w       control keeps the cell, tries again
 *   TRACE[w]         worker w            control        lossy: counted in the next record
 *   TABLE            control             housekeeping   control keeps the cell, tries again
 *
 * A consumer reads a cell in place (ring_front), acts, and only then releases it (ring_release): a
 * consumer that is killed in between finds the cell again. Every cell is therefore safe to act on twice.
 *
 * Neither process trusts the other with its own memory: whatever decides where memory is accessed (offsets, sizes,
 * number of workers) is checked once, in ipc_join, and then taken from struct ipc, never from the region again; an
 * index out of range reads as an empty or a full ring; and the content of a cell is copied (cell_copy) before it is
 * checked, because the other side can still write to it. docs/concurrency.md has the orders of loads and stores.
 */
#ifndef ROOKERY_SHARED_IPC_H
#define ROOKERY_SHARED_IPC_H

#include "cell.h"

#include <stdatomic.h>
#include <stddef.h>

#define IPC_MAGIC UINT64_C(0x524f4f4b45525931) /* "ROOKERY1" */
#define IPC_VERSION 6

enum ipc_ring {
	IPC_EVENT,
	IPC_REQUEST,
	IPC_LOGIN,
	IPC_INJECT,
	IPC_TRACE,
	IPC_WORKER_RINGS, /* those above exist per worker */
	IPC_TABLE = IPC_WORKER_RINGS,
};

#define IPC_TRACE_CELLS 512

struct ipc_options {
	uint32_t workers;
	uint32_t event_cells; /* each a power of two; usable capacity is one less */
	uint32_t request_cells;
	uint32_t login_cells;
	uint32_t inject_cells;
	uint32_t table_cells;
	uint32_t sessions_per_worker;
};

/* One per worker, published by housekeeping for `rookctl stats`; see counters.h for the order. */
#define IPC_COUNTERS_MAX 192
struct ipc_worker_stats {
	_Atomic uint64_t counter[IPC_COUNTERS_MAX];
};

/* Who enforces the bans, written by housekeeping for `rookctl bans list`. */
struct ipc_bans {
	_Atomic uint64_t version; /* of the list (cell_bans) that nic speaks of; 0: of none */
	_Atomic uint32_t ports;   /* that the dataplane has */
	_Atomic uint8_t nic[BANS_MAX]; /* of these so many whose device drops the packets of this ban itself */
};

/* What the dataplane runs with, as key and value in turn, each ending with NUL (config_values_pack). Constant from its start on. */
#define IPC_CONFIG_MAX 32764
struct ipc_config {
	uint32_t length; /* 0: did not fit */
	char text[IPC_CONFIG_MAX];
};

struct ipc_header {
	_Atomic uint64_t magic;  /* dataplane, last of all */
	uint32_t version;        /* dataplane; constant from here on */
	uint32_t cell_size;
	uint64_t size;           /* bytes of the region */
	uint64_t boot;           /* random: a new one tells control that the dataplane lost its sessions */
	uint32_t workers;
	uint32_t sessions_per_worker;
	uint32_t counters;       /* number of counters in counters.h when the dataplane was built */
	uint32_t dataplane_pid;
	uint64_t stats_offset;   /* struct ipc_worker_stats[workers + 1]; the last is housekeeping's */
	uint64_t bans_offset;    /* struct ipc_bans */
	uint64_t config_offset;  /* struct ipc_config */
	uint64_t ring_offset[SESSION_WORKERS_MAX * IPC_WORKER_RINGS + 1]; /* as version: constant, read by ipc_join alone */

	_Alignas(64) _Atomic uint64_t dataplane_alive; /* housekeeping: monotonic ms, about 10 a second; 0: stopped */
	_Atomic uint64_t barrier;          /* housekeeping: value of the last TABLE_BARRIER */
	_Atomic uint64_t workers_alive;    /* housekeeping: another value each time that all workers have gone round again */
	_Atomic uint32_t worker_behind;    /* and the first that has not since */
	_Alignas(64) _Atomic uint64_t control_alive;   /* control: monotonic ms; 0: it has not provisioned the dataplane yet */
	_Atomic uint32_t control_sleeping; /* control sets 1 before it waits; housekeeping clears it and rings the doorbell */
	_Atomic uint32_t server_key_set;   /* control: server_public is valid */
	uint8_t server_public[32];         /* control */
	uint32_t control_pid;              /* control */
};

#define IPC_RINGS_MAX (SESSION_WORKERS_MAX * IPC_WORKER_RINGS + 1)

/*
 * A ring, followed by its cells. Not rte_ring, because that takes size, mask and kind of synchronisation from the very
 * memory that the other process may write to: one store there would turn any index into an address of its choice.
 * The indexes count cells since the ring was made; each is written by one side, after the cells that it covers.
 */
struct cell_ring_shared {
	_Alignas(64) _Atomic uint32_t published; /* producer */
	_Alignas(64) _Atomic uint32_t released;  /* consumer */
	_Alignas(64) uint32_t cells;             /* dataplane, before the region has its magic; read by ipc_join alone */
};

/* A process's view of a ring. Constant once the region is joined. */
struct cell_ring {
	struct cell_ring_shared *shared;
	uint32_t mask; /* cells - 1, which is also how many it holds */
};

/* A process's view of the region. What is copied from the header was checked; the header may have changed since. */
struct ipc {
	struct ipc_header *header;
	size_t size;
	int fd;
	uint32_t workers;
	uint32_t sessions_per_worker;
	uint32_t dataplane_pid;
	uint64_t boot;
	uint64_t stats_offset;
	uint64_t bans_offset;
	uint64_t config_offset;
	struct cell_ring rings[IPC_RINGS_MAX];
};

/* Bytes that a region with these options takes; 0 when the options are out of range. */
size_t ipc_footprint(const struct ipc_options *o);

/* Dataplane: makes the region at path (mode 0600), replacing any other. Returns 0, -EINVAL (options), or the errno of
 * open, ftruncate, mmap or rename. */
int ipc_new(struct ipc *ipc, const char *path, const struct ipc_options *o);

/* Control: maps the region at path and checks magic, version, sizes and every offset. Returns 0, -ENOENT, -EAGAIN (being made), -EPROTO (wrong version or torn:
 * a line is logged that says what and how to mend it). */
int ipc_join(struct ipc *ipc, const char *path);

/* Unmaps. ipc_delete also unlinks path (dataplane, clean stop). */
void ipc_leave(struct ipc *ipc);
void ipc_delete(struct ipc *ipc, const char *path);

/* The ring of a worker; for IPC_TABLE worker is ignored. Part of *ipc, which therefore must not move. */
const struct cell_ring *ipc_ring(const struct ipc *ipc, enum ipc_ring kind, uint32_t worker);
struct ipc_worker_stats *ipc_stats(const struct ipc *ipc, uint32_t worker);
struct ipc_bans *ipc_bans(const struct ipc *ipc);
struct ipc_config *ipc_config(const struct ipc *ipc);

/* ---- one cell at a time, in place --------------------------------------------------- */

/* Producer: the next free cell, or NULL when the ring is full; write it, then ring_publish. At most one
 * cell is open per ring. */
struct cell *ring_reserve(const struct cell_ring *r);
void ring_publish(const struct cell_ring *r);

/* Consumer: the oldest cell, or NULL; it stays valid, and stays in the ring, until ring_release. Calling
 * ring_front again without release returns the same cell. */
const struct cell *ring_front(const struct cell_ring *r);
void ring_release(const struct cell_ring *r);

/* Consumer that reads ahead (group commit): the cell `ahead` places behind the oldest, NULL past the end;
 * ring_release_n releases the n oldest. */
const struct cell *ring_peek(const struct cell_ring *r, uint32_t ahead);
void ring_release_n(const struct cell_ring *r, uint32_t n);
/* Consumer, who has acted on the n oldest: nothing of them is left in the region, which may be a file. Then release them. */
void ring_wipe_n(const struct cell_ring *r, uint32_t n);

/* A private copy of a cell, for the side that reads it: the other process can write to the cell at any time, so it is
 * copied first and checked afterwards. Returns cell_valid of the copy; one that is not gets type 0. */
bool cell_copy(struct cell *to, const struct cell *from);

uint32_t ring_used(const struct cell_ring *r);
uint32_t ring_capacity(const struct cell_ring *r);

/* ---- doorbell: wakes control's event loop ------------------------------------------- */

/* Control binds a Unix datagram socket at path and polls it; housekeeping sends one byte when control sleeps and a
 * punt ring holds something, and when the state in the header changed (a new dataplane runs, a barrier was passed), for which control would
 * otherwise look now and then. Both return a descriptor or a negative errno; ring is best effort, never blocks. drain returns true if the
 * state was among the reasons. */
enum doorbell_reason { DOORBELL_CELLS = 0, DOORBELL_STATE = 1 };

int doorbell_bind(const char *path);
int doorbell_open(void);
void doorbell_ring(int fd, const char *path, enum doorbell_reason reason);
bool doorbell_drain(int fd);

#endif
