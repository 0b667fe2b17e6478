// SPDX-License-Identifier: BSD-3-Clause
#include "loop_rings.h"

#include "shared/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WATCH_MS 100
#define JOIN_MS 50
#define SILENT_MS 2000
#define REFUSED_MS 5000

/* Cells of one batch. */
#define EVENTS_MAX 512
#define REQUESTS_MAX 256
#define RESUMED_MAX 1024 /* sessions, of which a cell holds several: some 30 ms; larger batches are not faster */

_Static_assert(EVENTS_MAX + REQUESTS_MAX + 2 * LOGINS_MAX <= RINGS_BATCH_MAX, "a batch fits, and the logins that are taken meanwhile");

int
rings_init(struct rings *r, const char *path, const uint8_t public_key[32])
{
	memset(r, 0, sizeof(*r));
	r->ipc.fd = -1;
	memcpy(r->public_key, public_key, sizeof(r->public_key));
	r->path = strdup(path);
	r->cells = calloc(RINGS_BATCH_MAX, sizeof(*r->cells));
	r->copies = calloc(RINGS_BATCH_MAX, sizeof(*r->copies));
	return r->path == NULL || r->cells == NULL || r->copies == NULL ? -ENOMEM : 0;
}

static void
rings_leave(struct rings *r)
{
	if (!r->joined)
		return;
	atomic_store_explicit(&r->ipc.header->control_alive, 0, memory_order_release);
	ipc_leave(&r->ipc);
	r->joined = r->attached = r->ready = r->alive = false;
}

void
rings_free(struct rings *r)
{
	rings_leave(r);
	free(r->path);
	free(r->cells);
	free(r->copies);
}

bool
rings_send(void *arg, uint32_t ring, const struct cell *c)
{
	struct rings *r = arg;
	const struct cell_ring *to;
	struct cell *slot;

	if (!r->joined)
		return false;
	to = ring == SERVER_RING_TABLE ? ipc_ring(&r->ipc, IPC_TABLE, 0)
				       : ipc_ring(&r->ipc, IPC_INJECT, ring);
	slot = ring_reserve(to);
	if (slot == NULL)
		return false;
	memcpy(slot, c, cell_used(c));
	ring_publish(to);
	return true;
}

/* ---- cells in ------------------------------------------------------------------------ */

struct take {
	const struct cell_ring *ring;
	uint32_t count;
};

static uint32_t
ring_take(struct rings *r, struct take *t, uint32_t have, uint32_t max)
{
	const struct cell *c;

	while (t->count < max && (c = ring_peek(t->ring, t->count)) != NULL) {
		struct cell *copy = &r->copies[have];
		/* An invalid one goes along: the server counts it. */
		bool resumed = cell_copy(copy, c) && copy->type == PUNT_RESUMED;

		r->cells[have++] = copy;
		t->count++;
		if (resumed && (r->resumed += copy->resumed.count) >= RESUMED_MAX)
			break;
	}
	return have;
}

/* Each worker gets its share of the class; who comes first changes from batch to batch. */
static uint32_t
class_take(struct rings *r, enum ipc_ring kind, uint32_t have, uint32_t max, struct take *takes)
{
	uint32_t workers = r->ipc.workers;
	uint32_t share = max / workers == 0 ? 1 : max / workers;
	uint32_t end = have + max;

	for (uint32_t i = 0; i < workers; i++) {
		uint32_t w = (r->turn + i) % workers;

		takes[w] = (struct take){.ring = ipc_ring(&r->ipc, kind, w)};
		if (have < end)
			have = ring_take(r, &takes[w], have, share < end - have ? share : end - have);
	}
	return have;
}

/* What is no LOGIN goes to the server as it is, which counts it. */
static uint32_t
logins_start(struct rings *r, uint32_t have, uint32_t end)
{
	const struct cell *logins[LOGINS_MAX];
	uint32_t n = 0;

	for (uint32_t i = have; i < end; i++) {
		if (r->cells[i]->type == PUNT_LOGIN && cell_valid(r->cells[i]))
			logins[n++] = r->cells[i];
		else
			r->cells[have++] = r->cells[i];
	}
	if (n == 0)
		return have;
	r->logins_us = histogram_clock_us();
	if (server_logins_start(r->server, logins, n) < 0)
		log_error(login, "out of memory: logins are dropped", "count=%u", n);
	return have;
}

/* Records of traces need no transaction; at most a ring of each worker at a time. */
static void
traces_drain(struct rings *r)
{
	const struct cell *c;
	struct cell copy;

	for (uint32_t w = 0; w < r->ipc.workers; w++) {
		const struct cell_ring *ring = ipc_ring(&r->ipc, IPC_TRACE, w);

		for (uint32_t n = ring_used(ring); n > 0 && (c = ring_front(ring)) != NULL; n--) {
			if (cell_copy(&copy, c) && copy.type == PUNT_TRACE)
				server_trace_take(r->server, &copy);
			ring_release(ring);
		}
	}
}

uint32_t
rings_drain(struct rings *r)
{
	struct take takes[3][SESSION_WORKERS_MAX];
	const struct cell *logins[LOGINS_MAX];
	uint32_t workers, have = 0, taken, ready;
	bool events, requests;
	uint64_t since_us;

	if (!r->joined || !r->attached)
		return 0;
	workers = r->ipc.workers;
	traces_drain(r);
	events = server_accepts(r->server, true);
	requests = server_accepts(r->server, false);
	memset(takes, 0, sizeof(takes));
	r->resumed = 0;
	if (events)
		have = class_take(r, IPC_EVENT, have, EVENTS_MAX, takes[0]);
	if (requests)
		have = class_take(r, IPC_REQUEST, have, REQUESTS_MAX, takes[1]);
	/* First the handshakes that are done make room for others, which run while these are committed. */
	ready = server_logins_take(r->server, logins);
	since_us = r->logins_us;
	taken = have;
	if (server_logins_accepted(r->server)) {
		taken = class_take(r, IPC_LOGIN, have, LOGINS_MAX, takes[2]);
		have = logins_start(r, have, taken);
	}
	/* Those that were done here and now. */
	if (ready == 0) {
		ready = server_logins_take(r->server, logins);
		since_us = r->logins_us;
	}
	r->turn = (r->turn + 1) % workers;
	if (taken == 0 && ready == 0)
		return 0;
	for (uint32_t i = 0; i < ready; i++)
		r->cells[have++] = logins[i];
	server_batch(r->server, r->cells, have);
	if (ready != 0)
		histogram_add(&r->login_latency, histogram_clock_us() - since_us, ready);
	/* There may be passwords in them. */
	for (uint32_t i = 0; i < taken; i++)
		explicit_bzero(&r->copies[i], cell_used(&r->copies[i]));
	for (unsigned k = 0; k < 3; k++) {
		for (uint32_t w = 0; w < workers; w++) {
			/* Passwords are in requests, and secrets in events of resumed sessions. */
			if (k == 1 || (k == 0 && r->resumed != 0))
				ring_wipe_n(takes[k][w].ring, takes[k][w].count);
			if (takes[k][w].count != 0)
				ring_release_n(takes[k][w].ring, takes[k][w].count);
		}
	}
	return have;
}

static bool
rings_waiting(struct rings *r)
{
	for (uint32_t w = 0; w < r->ipc.workers; w++) {
		if (server_accepts(r->server, true) && ring_used(ipc_ring(&r->ipc, IPC_EVENT, w)) != 0)
			return true;
		if (server_accepts(r->server, false) && ring_used(ipc_ring(&r->ipc, IPC_REQUEST, w)) != 0)
			return true;
		if (server_logins_accepted(r->server) && ring_used(ipc_ring(&r->ipc, IPC_LOGIN, w)) != 0)
			return true;
	}
	return false;
}

bool
rings_sleep(struct rings *r)
{
	if (!r->joined || !r->attached)
		return true;
	atomic_store_explicit(&r->ipc.header->control_sleeping, 1, memory_order_relaxed);
	/* The flag before the look at the rings: whoever publishes after this look sees the flag. */
	atomic_thread_fence(memory_order_seq_cst);
	if (!rings_waiting(r))
		return true;
	rings_awake(r);
	return false;
}

void
rings_awake(struct rings *r)
{
	if (r->joined)
		atomic_store_explicit(&r->ipc.header->control_sleeping, 0, memory_order_relaxed);
}

/* ---- the file ------------------------------------------------------------------------- */

static void
rings_join(struct rings *r, uint64_t now_ms)
{
	struct stat st;
	int rc;

	if (r->refused_ms != 0 && now_ms < r->refused_ms + REFUSED_MS)
		return;
	if (stat(r->path, &st) < 0)
		return;
	rc = ipc_join(&r->ipc, r->path);
	if (rc == -ENOENT || rc == -EAGAIN)
		return;
	if (rc < 0) {
		/* -EPROTO has said so itself. */
		if (rc != -EPROTO)
			log_error(control, "cannot attach to the dataplane", "path=\"%s\" reason=\"%s%s\"",
				  r->path, strerror(-rc), rc == -EBUSY ? "; stop the other rookery-control" : "");
		r->refused_ms = now_ms;
		return;
	}
	if (fstat(r->ipc.fd, &st) < 0) {
		ipc_leave(&r->ipc);
		return;
	}
	r->dev = st.st_dev;
	r->ino = st.st_ino;
	r->joined = true;
	r->refused_ms = 0;
	r->seen = 0;
	r->seen_ms = now_ms;
	/* Of the control before us, if that was killed. */
	atomic_store_explicit(&r->ipc.header->control_alive, 0, memory_order_release);
	r->ipc.header->control_pid = (uint32_t)getpid();
}

/* Is the region at the path another one by now, or none? */
static bool
rings_replaced(const struct rings *r)
{
	struct stat st;

	return stat(r->path, &st) < 0 || st.st_dev != r->dev || st.st_ino != r->ino;
}

/* The old dataplane is gone, but what it had to report is still in its rings. */
static void
rings_abandon(struct rings *r)
{
	uint64_t most = 0; /* of a dataplane that is gone; one that goes on writing must not keep us here */

	for (uint32_t w = 0; w < r->ipc.workers; w++) {
		for (enum ipc_ring kind = IPC_EVENT; kind <= IPC_LOGIN; kind++)
			most += ring_capacity(ipc_ring(&r->ipc, kind, w));
	}
	log_warning(control, "the dataplane is gone; waiting for another", "boot=%016llx",
		    (unsigned long long)r->ipc.boot);
	for (uint64_t taken = 0, n; taken < most && (n = rings_drain(r)) != 0; taken += n)
		;
	server_detach(r->server);
	rings_leave(r);
}

static void
rings_alive(struct rings *r, uint64_t now_ms)
{
	uint64_t value = atomic_load_explicit(&r->ipc.header->dataplane_alive, memory_order_acquire);
	bool alive;

	if (value != r->seen) {
		r->seen = value;
		r->seen_ms = now_ms;
	}
	alive = r->seen != 0 && now_ms - r->seen_ms < SILENT_MS;
	if (r->alive && !alive)
		log_warning(control, "the dataplane does not answer", "pid=%u",
			    r->ipc.dataplane_pid);
	r->alive = alive;
}

static void
rings_key(struct rings *r)
{
	struct ipc_header *h = r->ipc.header;

	if (atomic_load_explicit(&h->server_key_set, memory_order_acquire) != 0 &&
	    memcmp(h->server_public, r->public_key, sizeof(h->server_public)) == 0)
		return;
	memcpy(h->server_public, r->public_key, sizeof(h->server_public));
	atomic_store_explicit(&h->server_key_set, 1, memory_order_release);
}

static void
rings_ready(struct rings *r)
{
	uint64_t barrier;
	bool provisioned = server_provisioned(r->server, &barrier);
	bool ready;

	/* Once ready, a backlog does not make it unready. */
	if (!r->ready && provisioned && r->alive) {
		rings_key(r);
		if (atomic_load_explicit(&r->ipc.header->barrier, memory_order_acquire) >= barrier) {
			r->ready = true;
			log_info(control, "ready", "workers=%u sessions=%u", r->ipc.workers,
				 r->ipc.sessions_per_worker * r->ipc.workers);
		}
	}
	ready = r->ready && r->alive;
	server_set_ready(r->server, ready, r->alive ? &r->ipc : NULL, r->ipc.dataplane_pid);
}

void
rings_watch_now(struct rings *r)
{
	r->watch_ms = 0;
}

void
rings_watch(struct rings *r, uint64_t now_ms)
{
	if (now_ms < r->watch_ms)
		return;
	r->watch_ms = now_ms + (r->ready ? WATCH_MS : JOIN_MS);
	if (r->joined && rings_replaced(r))
		rings_abandon(r);
	if (!r->joined)
		rings_join(r, now_ms);
	if (!r->joined)
		return;
	rings_alive(r, now_ms);
	/* A region that a killed dataplane left behind is not provisioned, only read. */
	if (!r->attached && r->alive) {
		server_set_unfinished(r->server,
				      atomic_load_explicit(&r->ipc.header->server_key_set, memory_order_acquire) == 0);
		r->attached = server_attach(r->server, r->ipc.boot, r->ipc.workers,
					    r->ipc.sessions_per_worker) == 0;
		server_log_levels(r->server);
	}
	if (!r->attached)
		return;
	/* Not before: with millions of sessions that took its time, which must not look like a hang. */
	atomic_store_explicit(&r->ipc.header->control_alive, now_ms, memory_order_release);
	rings_ready(r);
}
