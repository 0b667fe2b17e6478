// SPDX-License-Identifier: BSD-3-Clause
#include "shared/ipc.h"

#include "shared/counters.h"
#include "shared/log.h"

#include <errno.h>
#include <fcntl.h>
#include <rte_ring_elem.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define RING_CELLS_MAX (1u << 20)

_Static_assert(sizeof(struct rte_ring) % 64 == 0, "cells behind the ring's header start on a cache line");
_Static_assert(offsetof(struct ipc_header, dataplane_alive) % 64 == 0, "each writer has its own cache line");
_Static_assert(offsetof(struct ipc_header, control_alive) % 64 == 0, "each writer has its own cache line");
_Static_assert(offsetof(struct ipc_header, version) == 8, "an old build finds the version to refuse it");
_Static_assert(offsetof(struct ipc_header, cell_size) == 12, "an old build finds the cell size to refuse it");

/* ---- layout ------------------------------------------------------------------------- */

static size_t
ring_bytes(uint32_t cells)
{
	return sizeof(struct rte_ring) + (size_t)cells * CELL_SIZE;
}

static size_t
stats_begin(void)
{
	return (sizeof(struct ipc_header) + 63) & ~(size_t)63;
}

static size_t
rings_begin(uint32_t workers)
{
	size_t end = stats_begin() + (workers + 1) * sizeof(struct ipc_worker_stats);

	return (end + 63) & ~(size_t)63;
}

static bool
cells_valid(uint32_t cells)
{
	return cells >= 2 && cells <= RING_CELLS_MAX && (cells & (cells - 1)) == 0;
}

static uint32_t
ring_cells(const struct ipc_options *o, enum ipc_ring kind)
{
	switch (kind) {
	case IPC_EVENT:
		return o->event_cells;
	case IPC_REQUEST:
		return o->request_cells;
	case IPC_LOGIN:
		return o->login_cells;
	case IPC_INJECT:
		return o->inject_cells;
	default:
		return o->table_cells;
	}
}

static uint32_t
ring_count(uint32_t workers)
{
	return workers * IPC_WORKER_RINGS + 1;
}

/* Rings lie in the order of ring_offset: the four of worker 0, of worker 1, ..., then TABLE. */
static enum ipc_ring
ring_kind(uint32_t index, uint32_t workers)
{
	return index == workers * IPC_WORKER_RINGS ? IPC_TABLE : (enum ipc_ring)(index % IPC_WORKER_RINGS);
}

size_t
ipc_footprint(const struct ipc_options *o)
{
	size_t size;

	if (o->workers < 1 || o->workers > SESSION_WORKERS_MAX)
		return 0;
	size = rings_begin(o->workers);
	for (uint32_t i = 0; i < ring_count(o->workers); i++) {
		uint32_t cells = ring_cells(o, ring_kind(i, o->workers));

		if (!cells_valid(cells))
			return 0;
		size += ring_bytes(cells);
	}
	return size;
}

/* What rte_ring_init() does for an ST/ST ring; written out because that function lives in a library that brings
 * EAL along, and the region is made and joined by code that control links, too. */
static void
ring_init(struct rte_ring *r, const char *kind, uint32_t cells)
{
	snprintf(r->name, sizeof(r->name), "%s", kind);
	r->flags = RING_F_SP_ENQ | RING_F_SC_DEQ;
	r->memzone = NULL;
	r->size = cells;
	r->mask = cells - 1;
	r->capacity = cells - 1;
	r->prod.sync_type = RTE_RING_SYNC_ST;
	r->cons.sync_type = RTE_RING_SYNC_ST;
	r->prod.head = r->prod.tail = 0;
	r->cons.head = r->cons.tail = 0;
}

static void
region_fill(struct ipc_header *h, const struct ipc_options *o, size_t size, uint64_t boot)
{
	static const char *const kind_name[] = {"event", "request", "login", "inject", "table"};
	size_t offset = rings_begin(o->workers);

	h->version = IPC_VERSION;
	h->cell_size = CELL_SIZE;
	h->size = size;
	h->boot = boot;
	h->workers = o->workers;
	h->sessions_per_worker = o->sessions_per_worker;
	h->counters = COUNTER_COUNT;
	h->dataplane_pid = (uint32_t)getpid();
	h->stats_offset = stats_begin();
	for (uint32_t i = 0; i < ring_count(o->workers); i++) {
		enum ipc_ring kind = ring_kind(i, o->workers);
		uint32_t cells = ring_cells(o, kind);

		h->ring_offset[i] = offset;
		ring_init((struct rte_ring *)((uint8_t *)h + offset), kind_name[kind], cells);
		offset += ring_bytes(cells);
	}
	atomic_store_explicit(&h->magic, IPC_MAGIC, memory_order_release);
}

/* ---- new ---------------------------------------------------------------------------- */

static int
region_map(int fd, size_t size, int flags, struct ipc_header **out)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | flags, fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	*out = p;
	return 0;
}

static int
boot_random(uint64_t *boot)
{
	do {
		if (getrandom(boot, sizeof(*boot), 0) != (ssize_t)sizeof(*boot))
			return -EIO;
	} while (*boot == 0);
	return 0;
}

int
ipc_new(struct ipc *ipc, const char *path, const struct ipc_options *o)
{
	char temporary[4096];
	struct ipc_header *h = NULL;
	size_t size = ipc_footprint(o);
	uint64_t boot;
	int fd, rc;

	memset(ipc, 0, sizeof(*ipc));
	ipc->fd = -1;
	if (size == 0)
		return -EINVAL;
	if ((size_t)snprintf(temporary, sizeof(temporary), "%s.new", path) >= sizeof(temporary))
		return -ENAMETOOLONG;

	/* A leftover of a dataplane killed right here; O_EXCL afterwards: never write into somebody else's file. */
	unlink(temporary);
	fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	/* Reserves the blocks: a full disk is an error here, not a SIGBUS in a worker later. */
	rc = -posix_fallocate(fd, 0, (off_t)size);
	if (rc == 0)
		rc = region_map(fd, size, MAP_POPULATE, &h);
	if (rc == 0)
		rc = boot_random(&boot);
	if (rc == 0) {
		region_fill(h, o, size, boot);
		if (rename(temporary, path) < 0)
			rc = -errno;
	}
	if (rc < 0) {
		if (h != NULL)
			munmap(h, size);
		close(fd);
		unlink(temporary);
		return rc;
	}
	ipc->header = h;
	ipc->size = size;
	ipc->fd = fd;
	return 0;
}

/* ---- join --------------------------------------------------------------------------- */

static const char *
ring_check(const struct rte_ring *r, size_t room)
{
	if (!cells_valid(r->size) || ring_bytes(r->size) > room)
		return "a ring's size is out of range";
	if (r->mask != r->size - 1 || r->capacity != r->size - 1)
		return "a ring's mask does not fit its size";
	if (r->prod.sync_type != RTE_RING_SYNC_ST || r->cons.sync_type != RTE_RING_SYNC_ST)
		return "a ring is not single-producer, single-consumer";
	if (r->prod.tail - r->cons.tail > r->capacity)
		return "a ring's indexes are torn";
	return NULL;
}

/* Returns what is wrong with the region, or NULL. Every offset must be the one that this build computes itself. */
static const char *
region_check(const struct ipc_header *h, size_t size)
{
	uint32_t workers = h->workers;
	size_t offset;

	if (h->version != IPC_VERSION)
		return "the version differs";
	if (h->cell_size != CELL_SIZE)
		return "the cell size differs";
	if (h->size != size)
		return "the size differs from the file's";
	if (workers < 1 || workers > SESSION_WORKERS_MAX)
		return "the number of workers is out of range";
	if (h->counters != COUNTER_COUNT)
		return "the counters differ";
	if (h->stats_offset != stats_begin())
		return "the statistics are not where they belong";
	offset = rings_begin(workers);
	for (uint32_t i = 0; i < ring_count(workers); i++) {
		const struct rte_ring *r = (const struct rte_ring *)((const uint8_t *)h + offset);
		const char *wrong;

		if (h->ring_offset[i] != offset || offset + sizeof(*r) > size)
			return "a ring is not where it belongs";
		wrong = ring_check(r, size - offset);
		if (wrong != NULL)
			return wrong;
		offset += ring_bytes(r->size);
	}
	return offset == size ? NULL : "the size differs from its contents";
}

/* A control that was killed between start and finish of a ring operation left its head ahead of its tail: what lies
 * between was neither published nor released. */
static void
rings_repair(const struct ipc *ipc)
{
	for (uint32_t w = 0; w < ipc->header->workers; w++) {
		for (enum ipc_ring kind = IPC_EVENT; kind <= IPC_LOGIN; kind++) {
			struct rte_ring *r = ipc_ring(ipc, kind, w);

			r->cons.head = r->cons.tail;
		}
		ipc_ring(ipc, IPC_INJECT, w)->prod.head = ipc_ring(ipc, IPC_INJECT, w)->prod.tail;
	}
	ipc_ring(ipc, IPC_TABLE, 0)->prod.head = ipc_ring(ipc, IPC_TABLE, 0)->prod.tail;
}

/* Two controls on the same rings would lose each other's cells. The lock belongs to the process and ends with it. */
static int
region_lock(int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if (fcntl(fd, F_SETLK, &lock) == 0)
		return 0;
	return errno == EACCES || errno == EAGAIN ? -EBUSY : -errno;
}

static int
region_refuse(struct ipc_header *h, size_t size, int fd, const char *path, const char *wrong)
{
	log_error("ipc", "shared-memory region refused",
		  "path=\"%s\" reason=\"%s\" mend=\"restart rookery-dataplane of this build: it makes the region anew\"",
		  path, wrong);
	if (h != NULL)
		munmap(h, size);
	close(fd);
	return -EPROTO;
}

int
ipc_join(struct ipc *ipc, const char *path)
{
	struct ipc_header *h;
	const char *wrong;
	struct stat st;
	size_t size;
	int fd, rc;

	memset(ipc, 0, sizeof(*ipc));
	ipc->fd = -1;
	fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0) {
		rc = -errno;
		close(fd);
		return rc;
	}
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size < sizeof(struct ipc_header))
		return region_refuse(NULL, 0, fd, path, "the file is too short");
	rc = region_lock(fd);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	size = (size_t)st.st_size;
	rc = region_map(fd, size, 0, &h);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	switch (atomic_load_explicit(&h->magic, memory_order_acquire)) {
	case IPC_MAGIC:
		break;
	case 0:
		munmap(h, size);
		close(fd);
		return -EAGAIN;
	default:
		return region_refuse(h, size, fd, path, "the magic number is not Rookery's");
	}
	wrong = region_check(h, size);
	if (wrong != NULL)
		return region_refuse(h, size, fd, path, wrong);
	ipc->header = h;
	ipc->size = size;
	ipc->fd = fd;
	rings_repair(ipc);
	return 0;
}

void
ipc_leave(struct ipc *ipc)
{
	if (ipc->header != NULL)
		munmap(ipc->header, ipc->size);
	if (ipc->fd >= 0)
		close(ipc->fd);
	memset(ipc, 0, sizeof(*ipc));
	ipc->fd = -1;
}

void
ipc_delete(struct ipc *ipc, const char *path)
{
	struct stat ours, there;

	/* Not the region of a dataplane that was started meanwhile. */
	if (ipc->fd >= 0 && fstat(ipc->fd, &ours) == 0 && stat(path, &there) == 0 && ours.st_dev == there.st_dev &&
	    ours.st_ino == there.st_ino)
		unlink(path);
	ipc_leave(ipc);
}

struct rte_ring *
ipc_ring(const struct ipc *ipc, enum ipc_ring kind, uint32_t worker)
{
	uint32_t index = worker * IPC_WORKER_RINGS + kind;

	if (kind == IPC_TABLE)
		index = ipc->header->workers * IPC_WORKER_RINGS;
	return (struct rte_ring *)((uint8_t *)ipc->header + ipc->header->ring_offset[index]);
}

struct ipc_worker_stats *
ipc_stats(const struct ipc *ipc, uint32_t worker)
{
	return (struct ipc_worker_stats *)((uint8_t *)ipc->header + ipc->header->stats_offset) + worker;
}

/* ---- cells -------------------------------------------------------------------------- */

/*
 * Between two calls of these functions head equals tail: start reserves, finish(0) takes the reservation back and
 * keeps only the address. So a process killed between two calls leaves nothing half done, and asking again gives
 * the same cell.
 */

struct cell *
ring_reserve(struct rte_ring *r)
{
	struct rte_ring_zc_data zc;
	struct cell *c;

	if (rte_ring_enqueue_zc_bulk_elem_start(r, CELL_SIZE, 1, &zc, NULL) == 0)
		return NULL;
	rte_ring_enqueue_zc_elem_finish(r, 0);
	c = zc.ptr1;
	/* Most types carry no data; the length of the cell's last use must not survive. */
	c->length = 0;
	return c;
}

void
ring_publish(struct rte_ring *r)
{
	struct rte_ring_zc_data zc;

	rte_ring_enqueue_zc_elem_finish(r, rte_ring_enqueue_zc_bulk_elem_start(r, CELL_SIZE, 1, &zc, NULL));
}

uint32_t
ring_used(const struct rte_ring *r)
{
	uint32_t used = r->prod.tail - r->cons.tail;

	/* The other side's index is not ours to trust: out of range reads as empty, never as cells that are not there. */
	return used <= r->capacity ? used : 0;
}

uint32_t
ring_capacity(const struct rte_ring *r)
{
	return r->capacity;
}

const struct cell *
ring_front(struct rte_ring *r)
{
	return ring_peek(r, 0);
}

const struct cell *
ring_peek(struct rte_ring *r, uint32_t ahead)
{
	struct rte_ring_zc_data zc;

	if (ahead >= ring_used(r) || rte_ring_dequeue_zc_bulk_elem_start(r, CELL_SIZE, ahead + 1, &zc, NULL) == 0)
		return NULL;
	rte_ring_dequeue_zc_elem_finish(r, 0);
	return ahead < zc.n1 ? (struct cell *)zc.ptr1 + ahead : (struct cell *)zc.ptr2 + (ahead - zc.n1);
}

void
ring_release(struct rte_ring *r)
{
	ring_release_n(r, 1);
}

void
ring_release_n(struct rte_ring *r, uint32_t n)
{
	struct rte_ring_zc_data zc;

	if (n > 0)
		rte_ring_dequeue_zc_elem_finish(r, rte_ring_dequeue_zc_bulk_elem_start(r, CELL_SIZE, n, &zc, NULL));
}

/* ---- doorbell ----------------------------------------------------------------------- */

static int
doorbell_address(struct sockaddr_un *address, const char *path)
{
	size_t len = strlen(path);

	if (len >= sizeof(address->sun_path))
		return -ENAMETOOLONG;
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path, path, len + 1);
	return 0;
}

int
doorbell_open(void)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

int
doorbell_bind(const char *path)
{
	struct sockaddr_un address;
	int rc = doorbell_address(&address, path);
	int fd;

	if (rc < 0)
		return rc;
	fd = doorbell_open();
	if (fd < 0)
		return fd;
	unlink(path); /* of a control that was killed */
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || chmod(path, 0600) < 0) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

void
doorbell_ring(int fd, const char *path)
{
	struct sockaddr_un address;
	ssize_t sent;

	if (doorbell_address(&address, path) < 0)
		return;
	/* Nobody there, or enough bytes waiting already: both are fine. */
	sent = sendto(fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&address, sizeof(address));
	(void)sent;
}

void
doorbell_drain(int fd)
{
	char byte[64];

	while (recv(fd, byte, sizeof(byte), MSG_DONTWAIT) >= 0)
		;
}
