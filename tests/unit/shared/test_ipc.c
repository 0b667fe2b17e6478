// SPDX-License-Identifier: BSD-3-Clause
#include "shared/counters.h"
#include "shared/ipc.h"
#include "shared/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64];
static char path[128];

static const struct ipc_options options = {
	.workers = 3,
	.event_cells = 16,
	.request_cells = 8,
	.login_cells = 4,
	.inject_cells = 8,
	.table_cells = 32,
	.sessions_per_worker = 1000,
};

static int
make_dir(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/rookery-test-ipc-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/rings.shm", dir);
	return 0;
}

static int
remove_dir(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(dir); /* fails when a test leaves a file behind */
}

static uint64_t
tag_of(const struct cell *c)
{
	return c->barrier.value;
}

static void
put(const struct cell_ring *r, uint64_t tag)
{
	struct cell *c = ring_reserve(r);

	assert_non_null(c);
	c->type = TABLE_BARRIER;
	c->barrier.value = tag;
	ring_publish(r);
}

/* ---- region ------------------------------------------------------------------------- */

static void
test_new_and_join_agree(void **state)
{
	struct ipc made, joined;
	struct stat st;

	(void)state;
	assert_int_equal(ipc_new(&made, path, &options), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(st.st_size, ipc_footprint(&options));
	assert_int_equal(ipc_join(&joined, path), 0);
	assert_int_equal(joined.header->workers, 3);
	assert_int_equal(joined.header->sessions_per_worker, 1000);
	assert_true(joined.header->boot != 0 && joined.header->boot == made.header->boot);
	for (uint32_t w = 0; w < 3; w++) {
		assert_int_equal(ring_capacity(ipc_ring(&joined, IPC_EVENT, w)), 15);
		assert_int_equal(ring_capacity(ipc_ring(&joined, IPC_REQUEST, w)), 7);
		assert_int_equal(ring_capacity(ipc_ring(&joined, IPC_LOGIN, w)), 3);
		assert_int_equal(ring_capacity(ipc_ring(&joined, IPC_INJECT, w)), 7);
	}
	assert_int_equal(ring_capacity(ipc_ring(&joined, IPC_TABLE, 0)), 31);
	put(ipc_ring(&made, IPC_EVENT, 2), 42);
	assert_int_equal(tag_of(ring_front(ipc_ring(&joined, IPC_EVENT, 2))), 42);
	ipc_leave(&joined);
	ipc_delete(&made, path);
	assert_int_equal(access(path, F_OK), -1);
}

/* Parts that overlap would show as one part's bytes in another. */
static void
test_parts_do_not_overlap(void **state)
{
	struct ipc ipc;
	uint8_t *end;

	(void)state;
	assert_int_equal(ipc_new(&ipc, path, &options), 0);
	end = (uint8_t *)&ipc.header[1];
	for (uint32_t w = 0; w <= 3; w++) {
		assert_true((uint8_t *)ipc_stats(&ipc, w) >= end);
		end = (uint8_t *)(ipc_stats(&ipc, w) + 1);
	}
	for (uint32_t w = 0; w < 3; w++) {
		for (enum ipc_ring kind = IPC_EVENT; kind < IPC_WORKER_RINGS; kind++) {
			const struct cell_ring *r = ipc_ring(&ipc, kind, w);

			assert_true((uint8_t *)r->shared >= end);
			assert_int_equal((uintptr_t)r->shared % 64, 0);
			end = (uint8_t *)(r->shared + 1) + (r->mask + 1) * (size_t)CELL_SIZE;
		}
	}
	assert_true((uint8_t *)ipc_ring(&ipc, IPC_TABLE, 0)->shared >= end);
	end = (uint8_t *)(ipc_ring(&ipc, IPC_TABLE, 0)->shared + 1) + 32 * CELL_SIZE;
	assert_ptr_equal(end, (uint8_t *)ipc.header + ipc.size);
	ipc_delete(&ipc, path);
}

static void
test_options_out_of_range(void **state)
{
	struct ipc_options o;
	struct ipc ipc;

	(void)state;
	o = options;
	o.workers = 0;
	assert_int_equal(ipc_new(&ipc, path, &o), -EINVAL);
	o.workers = SESSION_WORKERS_MAX + 1;
	assert_int_equal(ipc_footprint(&o), 0);
	o = options;
	o.event_cells = 15;
	assert_int_equal(ipc_footprint(&o), 0);
	o.event_cells = 1;
	assert_int_equal(ipc_footprint(&o), 0);
	o = options;
	o.table_cells = 0;
	assert_int_equal(ipc_new(&ipc, path, &o), -EINVAL);
	assert_int_equal(access(path, F_OK), -1);
}

static void
test_nowhere_to_make_it(void **state)
{
	struct ipc ipc;

	(void)state;
	assert_int_equal(ipc_new(&ipc, "/tmp/rookery-test-ipc-none/rings.shm", &options), -ENOENT);
	assert_int_equal(ipc_join(&ipc, path), -ENOENT);
	/* leaving what was never joined is harmless */
	ipc_leave(&ipc);
}

static void
test_a_new_region_replaces_the_old(void **state)
{
	struct ipc old, fresh, joined;

	(void)state;
	assert_int_equal(ipc_new(&old, path, &options), 0);
	assert_int_equal(ipc_new(&fresh, path, &options), 0);
	assert_true(old.header->boot != fresh.header->boot);
	assert_int_equal(ipc_join(&joined, path), 0);
	assert_true(joined.header->boot == fresh.header->boot);
	ipc_leave(&joined);
	/* the old dataplane's clean stop leaves the new one's region alone */
	ipc_delete(&old, path);
	assert_int_equal(access(path, F_OK), 0);
	ipc_delete(&fresh, path);
}

static void
test_leftover_temporary_is_no_obstacle(void **state)
{
	char temporary[160];
	struct ipc ipc;
	FILE *f;

	(void)state;
	snprintf(temporary, sizeof(temporary), "%s.new", path);
	f = fopen(temporary, "w");
	assert_non_null(f);
	fclose(f);
	assert_int_equal(ipc_new(&ipc, path, &options), 0);
	assert_int_equal(access(temporary, F_OK), -1);
	ipc_delete(&ipc, path);
}

/* ---- a region that is not to be trusted --------------------------------------------- */

enum damage {
	DAMAGE_MAGIC,
	DAMAGE_VERSION,
	DAMAGE_CELL_SIZE,
	DAMAGE_SIZE,
	DAMAGE_NO_WORKERS,
	DAMAGE_WORKERS,
	DAMAGE_COUNTERS,
	DAMAGE_STATS,
	DAMAGE_BANS,
	DAMAGE_CONFIG,
	DAMAGE_FIRST_OFFSET,
	DAMAGE_LAST_OFFSET,
	DAMAGE_RING_SIZE,
	DAMAGE_RING_ODD,
	DAMAGE_RING_OTHER,
	DAMAGE_SESSIONS,
	DAMAGE_RING_INDEX,
	DAMAGE_COUNT,
};

static void
inflict(struct ipc *ipc, enum damage damage)
{
	const struct cell_ring *r = ipc_ring(ipc, IPC_LOGIN, 1);
	struct ipc_header *h = ipc->header;

	switch (damage) {
	case DAMAGE_MAGIC:
		atomic_store(&h->magic, 1);
		break;
	case DAMAGE_VERSION:
		h->version++;
		break;
	case DAMAGE_CELL_SIZE:
		h->cell_size += 64;
		break;
	case DAMAGE_SIZE:
		h->size -= 64;
		break;
	case DAMAGE_NO_WORKERS:
		h->workers = 0;
		break;
	case DAMAGE_WORKERS:
		h->workers = UINT32_MAX;
		break;
	case DAMAGE_COUNTERS:
		h->counters++;
		break;
	case DAMAGE_STATS:
		h->stats_offset = UINT64_MAX;
		break;
	case DAMAGE_BANS:
		h->bans_offset -= 64;
		break;
	case DAMAGE_CONFIG:
		h->config_offset += 64;
		break;
	case DAMAGE_FIRST_OFFSET:
		h->ring_offset[0] = UINT64_MAX - 4096;
		break;
	case DAMAGE_LAST_OFFSET:
		h->ring_offset[3 * IPC_WORKER_RINGS] += 4;
		break;
	case DAMAGE_RING_SIZE:
		r->shared->cells = 1u << 31;
		break;
	case DAMAGE_RING_ODD:
		r->shared->cells = 3;
		break;
	case DAMAGE_RING_OTHER:
		r->shared->cells *= 2;
		break;
	case DAMAGE_SESSIONS:
		h->sessions_per_worker = UINT32_MAX;
		break;
	default:
		atomic_store(&r->shared->published, 100);
		break;
	}
}

static void
test_damaged_region_is_refused(void **state)
{
	struct ipc made, joined;

	(void)state;
	for (enum damage damage = 0; damage < DAMAGE_COUNT; damage++) {
		assert_int_equal(ipc_new(&made, path, &options), 0);
		inflict(&made, damage);
		assert_int_equal(ipc_join(&joined, path), -EPROTO);
		assert_null(joined.header);
		ipc_delete(&made, path);
	}
}

static void
test_unfinished_region_is_tried_again(void **state)
{
	struct ipc made, joined;

	(void)state;
	assert_int_equal(ipc_new(&made, path, &options), 0);
	atomic_store(&made.header->magic, 0);
	assert_int_equal(ipc_join(&joined, path), -EAGAIN);
	ipc_delete(&made, path);
}

static void
test_truncated_file_is_refused(void **state)
{
	struct ipc made, joined;

	(void)state;
	assert_int_equal(ipc_new(&made, path, &options), 0);
	assert_int_equal(ftruncate(made.fd, (off_t)made.size - 64), 0);
	assert_int_equal(ipc_join(&joined, path), -EPROTO);
	assert_int_equal(ftruncate(made.fd, 100), 0);
	assert_int_equal(ipc_join(&joined, path), -EPROTO);
	assert_int_equal(ftruncate(made.fd, 0), 0);
	assert_int_equal(ipc_join(&joined, path), -EPROTO);
	ipc_delete(&made, path);
}

static void
test_symbolic_link_is_not_followed(void **state)
{
	struct ipc joined;

	(void)state;
	assert_int_equal(symlink("/dev/zero", path), 0);
	assert_int_equal(ipc_join(&joined, path), -ELOOP);
}

/* ---- rings -------------------------------------------------------------------------- */

static void
test_ring_fills_and_empties(void **state)
{
	const struct cell_ring *r;
	struct ipc ipc;

	(void)state;
	assert_int_equal(ipc_new(&ipc, path, &options), 0);
	r = ipc_ring(&ipc, IPC_REQUEST, 1);
	/* more rounds than cells: every position is used, and wraps */
	for (uint64_t round = 0; round < 50; round++) {
		assert_null(ring_front(r));
		for (uint64_t i = 0; i < 7; i++)
			put(r, round * 7 + i);
		assert_null(ring_reserve(r));
		assert_int_equal(ring_used(r), 7);
		for (uint64_t i = 0; i < 7; i++) {
			assert_int_equal(tag_of(ring_front(r)), round * 7 + i);
			ring_release(r);
		}
		if (round % 3 == 0) { /* start the next round elsewhere */
			put(r, 0);
			ring_release(r);
		}
	}
	ipc_delete(&ipc, path);
}

static void
test_front_and_reserve_repeat(void **state)
{
	const struct cell *front;
	struct cell *reserved;
	const struct cell_ring *r;
	struct ipc ipc;

	(void)state;
	assert_int_equal(ipc_new(&ipc, path, &options), 0);
	r = ipc_ring(&ipc, IPC_TABLE, 0);
	reserved = ring_reserve(r);
	assert_ptr_equal(ring_reserve(r), reserved);
	assert_null(ring_front(r)); /* not published */
	reserved->barrier.value = 1;
	ring_publish(r);
	put(r, 2);
	front = ring_front(r);
	assert_ptr_equal(front, reserved);
	assert_ptr_equal(ring_front(r), front);
	assert_int_equal(ring_used(r), 2);
	ring_release(r);
	assert_int_equal(tag_of(ring_front(r)), 2);
	ipc_delete(&ipc, path);
}

static void
test_peek_ahead_across_the_wrap(void **state)
{
	const struct cell_ring *r;
	struct ipc ipc;

	(void)state;
	assert_int_equal(ipc_new(&ipc, path, &options), 0);
	r = ipc_ring(&ipc, IPC_EVENT, 0);
	for (uint32_t shift = 0; shift < 20; shift++) {
		for (uint64_t i = 0; i < 15; i++)
			put(r, i);
		for (uint32_t i = 0; i < 15; i++)
			assert_int_equal(tag_of(ring_peek(r, i)), i);
		assert_null(ring_peek(r, 15));
		assert_null(ring_peek(r, UINT32_MAX));
		ring_release_n(r, 5);
		assert_int_equal(tag_of(ring_front(r)), 5);
		ring_release_n(r, 0);
		assert_int_equal(ring_used(r), 10);
		ring_release_n(r, 10);
		assert_null(ring_front(r));
		put(r, 0);
		ring_release(r);
	}
	ipc_delete(&ipc, path);
}

/* The indexes run over 2^32. */
static void
test_indexes_wrap(void **state)
{
	const struct cell_ring *r;
	struct ipc ipc;

	(void)state;
	assert_int_equal(ipc_new(&ipc, path, &options), 0);
	r = ipc_ring(&ipc, IPC_EVENT, 0);
	atomic_store(&r->shared->published, UINT32_MAX - 3);
	atomic_store(&r->shared->released, UINT32_MAX - 3);
	for (uint64_t i = 0; i < 15; i++)
		put(r, i);
	assert_null(ring_reserve(r));
	for (uint64_t i = 0; i < 15; i++) {
		assert_int_equal(tag_of(ring_front(r)), i);
		ring_release(r);
	}
	assert_null(ring_front(r));
	ipc_delete(&ipc, path);
}

static void
test_reserved_cell_has_no_stale_length(void **state)
{
	const struct cell_ring *r;
	struct ipc ipc;

	(void)state;
	assert_int_equal(ipc_new(&ipc, path, &options), 0);
	r = ipc_ring(&ipc, IPC_LOGIN, 0);
	for (unsigned i = 0; i < 8; i++) {
		struct cell *c = ring_reserve(r);

		assert_int_equal(c->length, 0);
		c->length = 1000;
		ring_publish(r);
		ring_release(r);
	}
	ipc_delete(&ipc, path);
}

/* An index that the other process scribbled over makes no cells appear and no pointer leave the ring. */
static void
test_torn_index_reads_as_empty(void **state)
{
	const struct cell_ring *r;
	struct ipc ipc;

	(void)state;
	assert_int_equal(ipc_new(&ipc, path, &options), 0);
	r = ipc_ring(&ipc, IPC_EVENT, 0);
	put(r, 1);
	atomic_store(&r->shared->published, 1000);
	assert_int_equal(ring_used(r), 0);
	assert_null(ring_front(r));
	assert_null(ring_peek(r, 3));
	ipc_delete(&ipc, path);
}

/* ---- two processes ------------------------------------------------------------------ */

#define STREAM 20000
#define STREAM_TELL 256 /* cells after which the other side hears of them */

/* Rings that take many cells between two changes of the process that runs: how long the test takes hangs on neither the load nor the scheduler. */
static const struct ipc_options stream_options = {
	.workers = 1,
	.event_cells = 1024,
	.request_cells = 2,
	.login_cells = 2,
	.inject_cells = 1024,
	.table_cells = 2,
	.sessions_per_worker = 16,
};

static void
tell(int peer)
{
	char byte = 0;

	/* Full: it has enough to wake up for. */
	(void)!send(peer, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Says that we can't go on and sleeps until the other side has done something. false: it is gone. */
static bool
wait_for(int peer)
{
	char bytes[64];

	tell(peer);
	return read(peer, bytes, sizeof(bytes)) > 0;
}

/* Child: takes STREAM cells in order from EVENT, answers each on INJECT. Returns its exit status. */
static int
stream_peer(int parent)
{
	const struct cell_ring *in, *out;
	struct ipc ipc;

	if (ipc_join(&ipc, path) < 0)
		return 2;
	in = ipc_ring(&ipc, IPC_EVENT, 0);
	out = ipc_ring(&ipc, IPC_INJECT, 0);
	for (uint64_t i = 0; i < STREAM;) {
		const struct cell *c = ring_front(in);
		struct cell *answer = c == NULL ? NULL : ring_reserve(out);

		if (answer == NULL) {
			if (!wait_for(parent))
				return 4;
			continue;
		}
		if (tag_of(c) != i || c->data[0] != (uint8_t)i || c->data[CELL_DATA_MAX - 1] != (uint8_t)~i)
			return 3;
		answer->barrier.value = i;
		ring_publish(out);
		ring_release(in);
		if (++i % STREAM_TELL == 0)
			tell(parent);
	}
	ipc_leave(&ipc);
	return 0;
}

/* Sends the stream to the peer and takes its answers. false: the peer is gone. */
static bool
stream_run(const struct cell_ring *in, const struct cell_ring *out, int peer)
{
	for (uint64_t sent = 0, answered = 0; answered < STREAM;) {
		struct cell *c = sent < STREAM ? ring_reserve(out) : NULL;
		const struct cell *answer = ring_front(in);

		if (c != NULL) {
			c->barrier.value = sent;
			c->data[0] = (uint8_t)sent;
			c->data[CELL_DATA_MAX - 1] = (uint8_t)~sent;
			ring_publish(out);
			if (++sent % STREAM_TELL == 0)
				tell(peer);
		}
		if (answer != NULL) {
			assert_int_equal(tag_of(answer), answered);
			ring_release(in);
			answered++;
		}
		/* Gone with its last answers in the ring is well. */
		if (c == NULL && answer == NULL && !wait_for(peer) && ring_front(in) == NULL)
			return false;
	}
	return true;
}

static void
test_stream_between_processes(void **state)
{
	struct ipc ipc;
	int ends[2], status;
	bool whole;
	pid_t child;

	(void)state;
	assert_int_equal(ipc_new(&ipc, path, &stream_options), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	child = fork();
	if (child == 0) {
		close(ends[0]);
		_exit(stream_peer(ends[1]));
	}
	close(ends[1]);
	whole = stream_run(ipc_ring(&ipc, IPC_INJECT, 0), ipc_ring(&ipc, IPC_EVENT, 0), ends[0]);
	close(ends[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_true(whole);
	ipc_delete(&ipc, path);
}

/* What the other process writes into the region after the join moves no access of ours. */
static void
test_a_joined_region_is_not_believed(void **state)
{
	struct ipc made, joined;
	const struct cell_ring *r;

	(void)state;
	assert_int_equal(ipc_new(&made, path, &options), 0);
	assert_int_equal(ipc_join(&joined, path), 0);
	r = ipc_ring(&joined, IPC_EVENT, 2);
	put(ipc_ring(&made, IPC_EVENT, 2), 42);
	made.header->workers = UINT32_MAX;
	made.header->stats_offset = UINT64_MAX / 2;
	made.header->ring_offset[2 * IPC_WORKER_RINGS] = UINT64_MAX / 2;
	ipc_ring(&made, IPC_EVENT, 2)->shared->cells = 1u << 31;
	assert_int_equal(joined.workers, 3);
	assert_ptr_equal(ipc_ring(&joined, IPC_EVENT, 2), r);
	assert_int_equal(tag_of(ring_front(r)), 42);
	assert_true((uint8_t *)ipc_stats(&joined, 3) < (uint8_t *)joined.header + joined.size);
	/* Indexes, its own and ours, at any value: cells stay inside of the ring. */
	for (uint64_t i = 0; i < 64; i++) {
		atomic_store(&r->shared->published, (uint32_t)(i * 0x9e3779b9u));
		atomic_store(&r->shared->released, (uint32_t)(i * 0x9e3779b9u - i % 17));
		assert_true(ring_used(r) <= ring_capacity(r));
		for (uint32_t ahead = 0; ahead < 20; ahead++) {
			const struct cell *c = ring_peek(r, ahead);

			assert_true(c == NULL || ((uint8_t *)c >= (uint8_t *)(r->shared + 1) &&
						  (uint8_t *)(c + 1) <= (uint8_t *)(r->shared + 1) + 16 * CELL_SIZE));
		}
	}
	ipc_leave(&joined);
	ipc_delete(&made, path);
}

/* A cell is judged by the copy that is used, not by the bytes that the other process may change in between. */
static void
test_a_cell_is_copied_before_it_is_checked(void **state)
{
	static struct cell shared, copy;

	(void)state;
	shared.type = PUNT_LOGIN;
	shared.length = CELL_DATA_MAX + 1;
	assert_false(cell_copy(&copy, &shared));
	shared.length = WIRE_DATAGRAM_MAX + 1;
	assert_false(cell_copy(&copy, &shared));
	shared.length = 100;
	memset(shared.data, 7, sizeof(shared.data));
	assert_true(cell_copy(&copy, &shared));
	shared.length = UINT16_MAX;
	assert_int_equal(copy.length, 100);
	assert_memory_equal(copy.data, shared.data, 100);
	assert_int_equal(copy.data[100], 0);
}

/* A child that is control: joins, has one cell open in each direction, and is killed there. */
static void
killed_in_the_middle(void)
{
	struct cell *open;
	struct ipc ipc;

	if (ipc_join(&ipc, path) < 0)
		_exit(2);
	ring_front(ipc_ring(&ipc, IPC_EVENT, 0));
	ring_peek(ipc_ring(&ipc, IPC_EVENT, 0), 1);
	ring_front(ipc_ring(&ipc, IPC_REQUEST, 2));
	open = ring_reserve(ipc_ring(&ipc, IPC_INJECT, 1));
	memset(open, 0xee, sizeof(*open));
	open = ring_reserve(ipc_ring(&ipc, IPC_TABLE, 0));
	memset(open, 0xee, sizeof(*open));
	raise(SIGKILL);
}

static void
test_join_after_a_kill(void **state)
{
	struct ipc made, joined;
	int status;
	pid_t child;

	(void)state;
	assert_int_equal(ipc_new(&made, path, &options), 0);
	put(ipc_ring(&made, IPC_EVENT, 0), 1);
	put(ipc_ring(&made, IPC_EVENT, 0), 2);
	put(ipc_ring(&made, IPC_REQUEST, 2), 3);
	child = fork();
	if (child == 0)
		killed_in_the_middle();
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);

	assert_int_equal(ipc_join(&joined, path), 0);
	assert_int_equal(tag_of(ring_front(ipc_ring(&joined, IPC_EVENT, 0))), 1);
	ring_release(ipc_ring(&joined, IPC_EVENT, 0));
	assert_int_equal(tag_of(ring_front(ipc_ring(&joined, IPC_EVENT, 0))), 2);
	assert_int_equal(tag_of(ring_front(ipc_ring(&joined, IPC_REQUEST, 2))), 3);
	assert_null(ring_front(ipc_ring(&made, IPC_INJECT, 1)));
	put(ipc_ring(&joined, IPC_INJECT, 1), 4);
	assert_int_equal(tag_of(ring_front(ipc_ring(&made, IPC_INJECT, 1))), 4);
	for (uint64_t i = 0; i < 31; i++)
		put(ipc_ring(&joined, IPC_TABLE, 0), i);
	assert_null(ring_reserve(ipc_ring(&joined, IPC_TABLE, 0)));
	ipc_leave(&joined);
	ipc_delete(&made, path);
}

/* A child holds the region as control until its pipe is closed. */
static void
test_second_control_is_refused(void **state)
{
	int ready[2], done[2], status;
	struct ipc made, joined;
	char byte = 0;
	pid_t child;

	(void)state;
	assert_int_equal(ipc_new(&made, path, &options), 0);
	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(done), 0);
	child = fork();
	if (child == 0) {
		close(done[1]);
		if (ipc_join(&joined, path) < 0 || write(ready[1], &byte, 1) != 1)
			_exit(1);
		_exit(read(done[0], &byte, 1) != 0);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(ipc_join(&joined, path), -EBUSY);
	close(done[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(ipc_join(&joined, path), 0);
	ipc_leave(&joined);
	ipc_delete(&made, path);
	close(ready[0]);
	close(done[0]);
}

/* ---- doorbell ----------------------------------------------------------------------- */

static void
test_doorbell(void **state)
{
	struct pollfd p = {.events = POLLIN};
	struct stat st;
	int bell;

	(void)state;
	bell = doorbell_open();
	assert_true(bell >= 0);
	doorbell_ring(bell, path, DOORBELL_CELLS); /* nobody there */
	p.fd = doorbell_bind(path);
	assert_true(p.fd >= 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(poll(&p, 1, 0), 0);
	for (unsigned i = 0; i < 5000; i++) /* never blocks, however many wait */
		doorbell_ring(bell, path, DOORBELL_CELLS);
	assert_int_equal(poll(&p, 1, 0), 1);
	doorbell_drain(p.fd);
	assert_int_equal(poll(&p, 1, 0), 0);
	close(p.fd);
	doorbell_ring(bell, path, DOORBELL_CELLS); /* control was killed, its socket file is still there */
	p.fd = doorbell_bind(path);
	assert_true(p.fd >= 0);
	doorbell_ring(bell, path, DOORBELL_CELLS);
	assert_int_equal(poll(&p, 1, 0), 1);
	close(p.fd);
	close(bell);
}

static void
test_doorbell_path_too_long(void **state)
{
	char long_path[200];

	(void)state;
	memset(long_path, 'a', sizeof(long_path) - 1);
	long_path[0] = '/';
	long_path[sizeof(long_path) - 1] = '\0';
	assert_int_equal(doorbell_bind(long_path), -ENAMETOOLONG);
}

#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_DIR(test_new_and_join_agree),
		WITH_DIR(test_parts_do_not_overlap),
		WITH_DIR(test_options_out_of_range),
		WITH_DIR(test_nowhere_to_make_it),
		WITH_DIR(test_a_new_region_replaces_the_old),
		WITH_DIR(test_leftover_temporary_is_no_obstacle),
		WITH_DIR(test_damaged_region_is_refused),
		WITH_DIR(test_unfinished_region_is_tried_again),
		WITH_DIR(test_truncated_file_is_refused),
		WITH_DIR(test_symbolic_link_is_not_followed),
		WITH_DIR(test_ring_fills_and_empties),
		WITH_DIR(test_front_and_reserve_repeat),
		WITH_DIR(test_peek_ahead_across_the_wrap),
		WITH_DIR(test_indexes_wrap),
		WITH_DIR(test_reserved_cell_has_no_stale_length),
		WITH_DIR(test_torn_index_reads_as_empty),
		WITH_DIR(test_stream_between_processes),
		WITH_DIR(test_join_after_a_kill),
		WITH_DIR(test_a_joined_region_is_not_believed),
		WITH_DIR(test_a_cell_is_copied_before_it_is_checked),
		WITH_DIR(test_second_control_is_refused),
		WITH_DIR(test_doorbell),
		WITH_DIR(test_doorbell_path_too_long),
	};

	log_open("test_ipc", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
