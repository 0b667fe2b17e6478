// SPDX-License-Identifier: BSD-3-Clause
#include "shared/ipc.h"

#include "shared/counters.h"
#include "shared/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define RING_CELLS_MAX (1u << 20)
#define SESSIONS_PER_WORKER_MAX 200000000u /* dataplane.sessions */

_Static_assert(sizeof(struct cell_ring_shared) == 192, "cells behind the ring's header start on a cache line");
_Static_assert(offsetof(struct ipc_header, dataplane_alive) % 64 == 0, "each writer has its own cache line");
_Static_assert(offsetof(struct ipc_header, control_alive) % 64 == 0, "each writer has its own cache line");
_Static_assert(offsetof(struct ipc_header, version) == 8, "an old build finds the version to refuse it");
_Static_assert(offsetof(struct ipc_header, cell_size) == 12, "an old build finds the cell size to refuse it");

/* ---- layout ------------------------------------------------------------------------- */

static size_t
ring_bytes(uint32_t cells)
{
	return sizeof(struct cell_ring_shared) + (size_t)cells * CELL_SIZE;
}

static size_t
stats_begin(void)
{
	return (sizeof(struct ipc_header) + 63) & ~(size_t)63;
}

static size_t
bans_begin(uint32_t workers)
{
	size_t end = stats_begin() + (workers + 1) * sizeof(struct ipc_worker_stats);

	return (end + 63) & ~(size_t)63;
}

static size_t
config_begin(uint32_t workers)
{
	return (bans_begin(workers) + sizeof(struct ipc_bans) + 63) & ~(size_t)63;
}

static size_t
rings_begin(uint32_t workers)
{
	return (config_begin(workers) + sizeof(struct ipc_config) + 63) & ~(size_t)63;
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
	case IPC_TRACE:
		return IPC_TRACE_CELLS;
	default:
		return o->table_cells;
	}
}

static uint32_t
ring_count(uint32_t workers)
{
	return workers * IPC_WORKER_RINGS + 1;
}

/* Rings lie in the order of ring_offset: those of worker 0, of worker 1, ..., then TABLE. */
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

static void
region_fill(struct ipc_header *h, const struct ipc_options *o, size_t size, uint64_t boot)
{
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
	h->bans_offset = bans_begin(o->workers);
	h->config_offset = config_begin(o->workers);
	for (uint32_t i = 0; i < ring_count(o->workers); i++) {
		uint32_t cells = ring_cells(o, ring_kind(i, o->workers));

		h->ring_offset[i] = offset;
		((struct cell_ring_shared *)((uint8_t *)h + offset))->cells = cells; /* indexes: 0, as the file is new */
		offset += ring_bytes(cells);
	}
	atomic_store_explicit(&h->magic, IPC_MAGIC, memory_order_release);
}

/* ---- check ---------------------------------------------------------------------------- */

static const char *
ring_join(struct cell_ring *ring, struct cell_ring_shared *r, size_t room)
{
	uint32_t cells = __atomic_load_n(&r->cells, __ATOMIC_RELAXED); /* once: it could change between two looks */

	if (!cells_valid(cells) || ring_bytes(cells) > room)
		return "a ring's size is out of range";
	*ring = (struct cell_ring){.shared = r, .mask = cells - 1};
	if (atomic_load_explicit(&r->published, memory_order_relaxed) -
		    atomic_load_explicit(&r->released, memory_order_relaxed) >
	    ring->mask)
		return "a ring's indexes are torn";
	return NULL;
}

/* Fills what ipc keeps of the header. Returns what is wrong with the region, or NULL. Every offset must be the one that
 * this build computes itself. */
static const char *
region_join(struct ipc *ipc, struct ipc_header *h, size_t size)
{
	size_t offset;

	ipc->workers = __atomic_load_n(&h->workers, __ATOMIC_RELAXED);
	ipc->sessions_per_worker = __atomic_load_n(&h->sessions_per_worker, __ATOMIC_RELAXED);
	ipc->dataplane_pid = __atomic_load_n(&h->dataplane_pid, __ATOMIC_RELAXED);
	ipc->boot = __atomic_load_n(&h->boot, __ATOMIC_RELAXED);
	ipc->stats_offset = stats_begin();
	if (h->version != IPC_VERSION)
		return "the version differs";
	if (h->cell_size != CELL_SIZE)
		return "the cell size differs";
	if (h->size != size)
		return "the size differs from the file's";
	if (ipc->workers < 1 || ipc->workers > SESSION_WORKERS_MAX)
		return "the number of workers is out of range";
	if (ipc->sessions_per_worker < 1 || ipc->sessions_per_worker > SESSIONS_PER_WORKER_MAX)
		return "the number of sessions is out of range";
	if (h->counters != COUNTER_COUNT)
		return "the counters differ";
	if (h->stats_offset != stats_begin())
		return "the statistics are not where they belong";
	ipc->bans_offset = bans_begin(ipc->workers);
	if (h->bans_offset != ipc->bans_offset)
		return "the state of bans is not where it belongs";
	ipc->config_offset = config_begin(ipc->workers);
	if (h->config_offset != ipc->config_offset)
		return "the configuration is not where it belongs";
	offset = rings_begin(ipc->workers);
	for (uint32_t i = 0; i < ring_count(ipc->workers); i++) {
		const char *wrong;

		if (h->ring_offset[i] != offset || offset + sizeof(struct cell_ring_shared) > size)
			return "a ring is not where it belongs";
		wrong = ring_join(&ipc->rings[i], (struct cell_ring_shared *)((uint8_t *)h + offset), size - offset);
		if (wrong != NULL)
			return wrong;
		offset += ring_bytes(ipc->rings[i].mask + 1);
	}
	return offset == size ? NULL : "the size differs from its contents";
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
		if (region_join(ipc, h, size) != NULL)
			rc = -EINVAL;
		else if (rename(temporary, path) < 0)
			rc = -errno;
	}
	if (rc < 0) {
		if (h != NULL)
			munmap(h, size);
		close(fd);
		unlink(temporary);
		memset(ipc, 0, sizeof(*ipc));
		ipc->fd = -1;
		return rc;
	}
	ipc->header = h;
	ipc->size = size;
	ipc->fd = fd;
	return 0;
}

/* ---- join --------------------------------------------------------------------------- */

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
	log_error(ipc, "shared-memory region refused",
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
	wrong = region_join(ipc, h, size);
	if (wrong != NULL) {
		rc = region_refuse(h, size, fd, path, wrong);
		memset(ipc, 0, sizeof(*ipc));
		ipc->fd = -1;
		return rc;
	}
	ipc->header = h;
	ipc->size = size;
	ipc->fd = fd;
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

const struct cell_ring *
ipc_ring(const struct ipc *ipc, enum ipc_ring kind, uint32_t worker)
{
	return &ipc->rings[kind == IPC_TABLE ? ipc->workers * IPC_WORKER_RINGS : worker * IPC_WORKER_RINGS + kind];
}

struct ipc_worker_stats *
ipc_stats(const struct ipc *ipc, uint32_t worker)
{
	return (struct ipc_worker_stats *)((uint8_t *)ipc->header + ipc->stats_offset) + worker;
}

struct ipc_bans *
ipc_bans(const struct ipc *ipc)
{
	return (struct ipc_bans *)((uint8_t *)ipc->header + ipc->bans_offset);
}

struct ipc_config *
ipc_config(const struct ipc *ipc)
{
	return (struct ipc_config *)((uint8_t *)ipc->header + ipc->config_offset);
}

/* ---- cells -------------------------------------------------------------------------- */

/*
 * One store publishes a cell, one store releases it. So a process killed at any step leaves nothing half done, and
 * asking again gives the same cell. Each side is the only writer of its index; the release store of one pairs with the
 * acquire load of the other: a cell is seen whole, and not written again before its reader has done with it.
 */

static struct cell *
cell_at(const struct cell_ring *r, uint32_t index)
{
	return (struct cell *)(r->shared + 1) + (index & r->mask);
}

struct cell *
ring_reserve(const struct cell_ring *r)
{
	uint32_t published = atomic_load_explicit(&r->shared->published, memory_order_relaxed);
	struct cell *c;

	if (published - atomic_load_explicit(&r->shared->released, memory_order_acquire) >= r->mask)
		return NULL;
	c = cell_at(r, published);
	/* Most types carry no data; the length of the cell's last use must not survive. */
	c->length = 0;
	return c;
}

void
ring_publish(const struct cell_ring *r)
{
	uint32_t published = atomic_load_explicit(&r->shared->published, memory_order_relaxed);

#ifdef PLANT_RING_RELAXED
	atomic_store_explicit(&r->shared->published, published + 1, memory_order_relaxed);
#else
	atomic_store_explicit(&r->shared->published, published + 1, memory_order_release);
#endif
}

uint32_t
ring_used(const struct cell_ring *r)
{
	/* The released index first: then what a third party sees is at most what was there, not less than nothing. */
	uint32_t released = atomic_load_explicit(&r->shared->released, memory_order_acquire);
	uint32_t used = atomic_load_explicit(&r->shared->published, memory_order_acquire) - released;

	/* The other side's index is not ours to trust: out of range reads as empty, never as cells that are not there. */
	return used <= r->mask ? used : 0;
}

uint32_t
ring_capacity(const struct cell_ring *r)
{
	return r->mask;
}

const struct cell *
ring_front(const struct cell_ring *r)
{
	return ring_peek(r, 0);
}

const struct cell *
ring_peek(const struct cell_ring *r, uint32_t ahead)
{
	if (ahead >= ring_used(r))
		return NULL;
	return cell_at(r, atomic_load_explicit(&r->shared->released, memory_order_relaxed) + ahead);
}

void
ring_release(const struct cell_ring *r)
{
	ring_release_n(r, 1);
}

void
ring_wipe_n(const struct cell_ring *r, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct cell *c = (struct cell *)(uintptr_t)ring_peek(r, i);

		if (c == NULL)
			return;
		/* First what makes it a cell: killed in the middle, nobody acts on the rest. */
		__atomic_store_n(&c->type, 0, __ATOMIC_RELEASE);
		explicit_bzero(c, sizeof(*c));
	}
}

void
ring_release_n(const struct cell_ring *r, uint32_t n)
{
	uint32_t released = atomic_load_explicit(&r->shared->released, memory_order_relaxed);

	if (n <= ring_used(r))
		atomic_store_explicit(&r->shared->released, released + n, memory_order_release);
}

bool
cell_copy(struct cell *to, const struct cell *from)
{
	uint16_t length = __atomic_load_n(&from->length, __ATOMIC_RELAXED);

	if (length <= CELL_DATA_MAX) {
		memcpy(to, from, offsetof(struct cell, data) + length);
		to->length = length;
		if (cell_valid(to))
			return true;
	}
	to->type = 0;
	to->length = 0;
	return false;
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
doorbell_ring(int fd, const char *path, enum doorbell_reason reason)
{
	struct sockaddr_un address;
	uint8_t byte = (uint8_t)reason;
	ssize_t sent;

	if (doorbell_address(&address, path) < 0)
		return;
	/* Nobody there, or enough bytes waiting already: both are fine. */
	sent = sendto(fd, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&address, sizeof(address));
	(void)sent;
}

bool
doorbell_drain(int fd)
{
	uint8_t byte = DOORBELL_CELLS;
	bool state = false;

	while (recv(fd, &byte, 1, MSG_DONTWAIT) >= 0)
		state |= byte == DOORBELL_STATE;
	return state;
}
