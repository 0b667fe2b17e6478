// SPDX-License-Identifier: BSD-3-Clause
/* Control's end of real rings; the test is the dataplane. */
#include "harness.h"

#include "control/loop_rings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RING_CELLS 64

struct fixture {
	struct harness *h;
	struct rings rings;
	struct ipc dataplane;
	char path[96];
	uint64_t alive;
	bool beside;           /* handshakes are done when the test says so */
	struct login_job *job; /* waits for that */
};

static const struct ipc_options options = {
	.workers = WORKERS,
	.event_cells = 2 * RING_CELLS,
	.request_cells = RING_CELLS,
	.login_cells = RING_CELLS,
	.inject_cells = RING_CELLS,
	.table_cells = RING_CELLS,
	.sessions_per_worker = SLOTS,
};

/* The dataplane of a process of its own: control's lock on the file is not ours to lose by closing it. */
static void
dataplane_start(struct fixture *f)
{
	assert_int_equal(ipc_new(&f->dataplane, f->path, &options), 0);
}

static void
alive(struct fixture *f)
{
	atomic_store(&f->dataplane.header->dataplane_alive, ++f->alive);
}

static void
watch(struct fixture *f, uint64_t ms)
{
	f->h->now_ms += ms;
	f->h->wall_ms += ms;
	server_set_time(f->h->server, f->h->now_ms, f->h->wall_ms);
	rings_watch(&f->rings, f->h->now_ms);
}

/* What control wrote into a ring; counts types. */
static uint32_t
ring_eat(struct fixture *f, enum ipc_ring kind, uint32_t worker, uint16_t type, struct cell *last)
{
	const struct cell_ring *r = ipc_ring(&f->dataplane, kind, worker);
	const struct cell *c;
	uint32_t n = 0;

	while ((c = ring_front(r)) != NULL) {
		assert_true(cell_valid(c));
		if (c->type == type) {
			n++;
			memcpy(last, c, cell_used(c));
		}
		if (c->type == TABLE_BARRIER)
			atomic_store(&f->dataplane.header->barrier, c->barrier.value);
		ring_release(r);
	}
	return n;
}

static bool
is_ready(struct fixture *f)
{
	struct server_status *s = calloc(1, sizeof(*s));
	bool ready;

	server_status(f->h->server, s);
	ready = s->ready;
	free(s);
	return ready;
}

static bool
send_rings(void *arg, uint32_t ring, const struct cell *c)
{
	struct fixture *f = arg;

	return rings_send(&f->rings, ring, c);
}

static void
no_hash(void *arg, struct password_job *job)
{
	(void)arg;
	(void)job;
	fail();
}

static int
handshakes(void *arg, struct login_job *job)
{
	struct fixture *f = arg;

	if (!f->beside)
		return -ENOSYS;
	assert_null(f->job);
	f->job = job;
	return 0;
}

static void
handshakes_finish(struct fixture *f)
{
	struct login_job *job = f->job;

	assert_non_null(job);
	f->job = NULL;
	login_job_run(job);
	server_logins_ready(f->h->server, job);
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct server_options o = {.io = {.arg = f, .send = send_rings, .hash = no_hash, .handshakes = handshakes}};

	harness_setup((void **)&f->h);
	/* the harness' server, but on rings */
	server_free(f->h->server);
	o.config = f->h->config;
	o.store = f->h->store;
	o.key = f->h->key;
	o.now_ms = f->h->now_ms;
	o.wall_ms = f->h->wall_ms;
	assert_int_equal(server_new(&f->h->server, &o), 0);
	snprintf(f->path, sizeof(f->path), "%s/rings.shm", f->h->dir);
	assert_int_equal(rings_init(&f->rings, f->path, f->h->key.public), 0);
	f->rings.server = f->h->server;
	f->dataplane.fd = -1;
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	rings_free(&f->rings);
	ipc_leave(&f->dataplane);
	harness_teardown((void **)&f->h);
	free(f);
	return 0;
}

static void
make_ready(struct fixture *f)
{
	struct cell c;

	alive(f);
	watch(f, 200);
	ring_eat(f, IPC_TABLE, 0, TABLE_BARRIER, &c);
	alive(f);
	watch(f, 200);
	assert_true(is_ready(f));
}

static void
punt_login(struct fixture *f, struct client *c, uint32_t worker)
{
	const struct cell_ring *r = ipc_ring(&f->dataplane, IPC_LOGIN, worker);
	uint8_t payload[HANDSHAKE_PAYLOAD_MAX], zeros[256] = {0};
	Rookery__LoginHello hello = ROOKERY__LOGIN_HELLO__INIT;
	struct cell *cell = ring_reserve(r);
	size_t size;
	int len;

	assert_non_null(cell);
	hello.timestamp = c->timestamp++;
	hello.padding.data = zeros;
	hello.padding.len = sizeof(zeros);
	size = rookery__login_hello__pack(&hello, payload);
	len = handshake_client_start(&c->handshake, &c->key, f->h->key.public, 7, payload, size, cell->data,
				     CELL_DATA_MAX);
	assert_true(len > 0);
	cell->type = PUNT_LOGIN;
	cell->worker = worker;
	cell->length = (uint16_t)len;
	memset(&cell->datagram, 0, sizeof(cell->datagram));
	ring_publish(r);
}

static void
test_ready_when_provisioned(void **state)
{
	struct fixture *f = *state;
	struct cell barrier;

	watch(f, 100); /* nothing there */
	assert_false(f->rings.joined);
	dataplane_start(f);
	watch(f, 100);
	assert_true(f->rings.joined);
	assert_false(f->rings.attached); /* it has not begun to live */
	assert_int_equal(atomic_load(&f->dataplane.header->control_alive), 0);
	alive(f);
	watch(f, 100);
	assert_true(f->rings.attached);
	assert_int_equal(atomic_load(&f->dataplane.header->control_alive), f->h->now_ms);
	assert_int_equal(atomic_load(&f->dataplane.header->server_key_set), 1);
	assert_memory_equal(f->dataplane.header->server_public, f->h->key.public, 32);
	assert_int_equal(f->dataplane.header->control_pid, getpid());
	assert_false(is_ready(f));
	assert_int_equal(ring_eat(f, IPC_TABLE, 0, TABLE_BARRIER, &barrier), 1);
	alive(f);
	watch(f, 100);
	assert_true(is_ready(f));
	/* it hangs, and comes back */
	for (unsigned i = 0; i < 30; i++)
		watch(f, 100);
	assert_false(is_ready(f));
	assert_true(f->rings.attached);
	assert_int_equal(atomic_load(&f->dataplane.header->control_alive), f->h->now_ms); /* we do not */
	alive(f);
	watch(f, 100);
	assert_true(is_ready(f));
}

static void
test_cells_through_rings(void **state)
{
	struct fixture *f = *state;
	struct client c[3];
	struct cell cell;

	dataplane_start(f);
	make_ready(f);
	assert_int_equal(rings_drain(&f->rings), 0);
	assert_true(rings_sleep(&f->rings));
	assert_int_equal(atomic_load(&f->dataplane.header->control_sleeping), 1);
	for (unsigned i = 0; i < 3; i++) {
		client_init(&c[i], 0);
		punt_login(f, &c[i], i % WORKERS);
	}
	assert_false(rings_sleep(&f->rings)); /* something came: does not sleep */
	assert_int_equal(atomic_load(&f->dataplane.header->control_sleeping), 0);
	assert_int_equal(rings_drain(&f->rings), 3);
	assert_int_equal(ring_used(ipc_ring(&f->dataplane, IPC_LOGIN, 0)), 0);
	assert_int_equal(ring_eat(f, IPC_INJECT, 0, INJECT_SESSION_ADD, &cell), 2);
	assert_int_equal(session_id_worker(cell.session_add.sid), 0);
	assert_int_equal(ring_eat(f, IPC_INJECT, 1, INJECT_SESSION_ADD, &cell), 1);
	assert_int_equal(session_id_worker(cell.session_add.sid), 1);
	assert_true(rings_sleep(&f->rings));
}

/* While the handshakes of some logins are done, other cells go on, and further logins stay in their ring. */
static void
test_logins_beside(void **state)
{
	const struct cell_ring *logins;
	struct fixture *f = *state;
	struct client c[3];
	struct cell cell, *event;

	f->beside = true;
	dataplane_start(f);
	make_ready(f);
	logins = ipc_ring(&f->dataplane, IPC_LOGIN, 0);
	client_init(&c[0], 0);
	client_init(&c[1], 0);
	punt_login(f, &c[0], 0);
	assert_int_equal(rings_drain(&f->rings), 0);
	assert_int_equal(ring_used(logins), 0);
	punt_login(f, &c[1], 0);
	event = ring_reserve(ipc_ring(&f->dataplane, IPC_EVENT, 0));
	event->type = PUNT_STORE;
	event->worker = 0;
	memset(&event->store, 0, sizeof(event->store));
	event->store.from = 1;
	event->store.to = 2;
	event->store.id = 1;
	ring_publish(ipc_ring(&f->dataplane, IPC_EVENT, 0));
	assert_int_equal(rings_drain(&f->rings), 1);
	assert_int_equal(ring_eat(f, IPC_INJECT, 0, INJECT_STORED, &cell), 1);
	assert_int_equal(ring_used(logins), 1);
	assert_true(rings_sleep(&f->rings)); /* nothing to do until they are done */
	/* The first is answered, and the second on its way. */
	handshakes_finish(f);
	assert_int_equal(rings_drain(&f->rings), 1);
	assert_non_null(f->job);
	assert_int_equal(ring_used(logins), 0);
	assert_int_equal(ring_eat(f, IPC_INJECT, 0, INJECT_SESSION_ADD, &cell), 1);
	handshakes_finish(f);
	assert_int_equal(rings_drain(&f->rings), 1);
	assert_int_equal(ring_eat(f, IPC_INJECT, 0, INJECT_DATAGRAM, &cell), 1);
	assert_int_equal(cell.length > 0, 1);
	/* One that is no LOGIN at all is counted, not read. */
	client_init(&c[2], 0);
	punt_login(f, &c[2], 0);
	((struct cell *)(uintptr_t)ring_peek(logins, 0))->length = 0;
	assert_int_equal(rings_drain(&f->rings), 1);
	assert_null(f->job);
	/* The dataplane goes while the handshake is done, and the next one gets the session. */
	punt_login(f, &c[2], 0);
	assert_int_equal(rings_drain(&f->rings), 0);
	ipc_leave(&f->dataplane);
	dataplane_start(f);
	alive(f);
	watch(f, 200);
	ring_eat(f, IPC_INJECT, 0, INJECT_SESSION_ADD, &cell);
	handshakes_finish(f);
	alive(f);
	watch(f, 200);
	assert_true(f->rings.attached);
	ring_eat(f, IPC_INJECT, 0, INJECT_SESSION_ADD, &cell);
	assert_int_equal(rings_drain(&f->rings), 1);
	assert_int_equal(ring_eat(f, IPC_INJECT, 0, INJECT_SESSION_ADD, &cell), 1);
	assert_null(server_check(f->h->server));
	/* What is done and was not taken ends with the server. */
	punt_login(f, &c[2], 0);
	assert_int_equal(rings_drain(&f->rings), 0);
	handshakes_finish(f);
}

/* Of clients that come back at once, no more in one batch than can be taken in soon; a login behind them waits for one batch. */
static void
test_crowd_in_shares(void **state)
{
	struct fixture *f = *state;
	uint32_t cells = 1024 / CELL_RESUMED_MAX + 1, taken;
	const struct cell_ring *r;
	struct client alice;

	dataplane_start(f);
	make_ready(f);
	r = ipc_ring(&f->dataplane, IPC_EVENT, 0);
	for (uint32_t i = 0; i < cells + 5; i++) {
		struct cell *c = ring_reserve(r);

		assert_non_null(c);
		memset(c, 0, sizeof(*c));
		c->type = PUNT_RESUMED;
		c->resumed.count = CELL_RESUMED_MAX;
		c->length = CELL_RESUMED_MAX * sizeof(c->resumed_sessions[0]);
		for (uint32_t k = 0; k < CELL_RESUMED_MAX; k++)
			c->resumed_sessions[k] = (struct resumed_session){
				.sid = session_id_make(0, SESSION_GENERATION_RESUMED | (i + 1), k), .secret.resumed = 1};
		ring_publish(r);
	}
	client_init(&alice, 0);
	punt_login(f, &alice, 0);
	taken = rings_drain(&f->rings);
	assert_int_equal(taken, cells + 1);
	assert_int_equal(ring_used(ipc_ring(&f->dataplane, IPC_LOGIN, 0)), 0);
	assert_int_equal(rings_drain(&f->rings), 5);
	assert_int_equal(rings_drain(&f->rings), 0);
}

/* What the old dataplane had reported is acted on before it is left; its sessions go to the next one. */
static void
test_dataplane_replaced(void **state)
{
	struct fixture *f = *state;
	session_id_t sid[2];
	struct client c[2];
	struct cell cell, *event;

	dataplane_start(f);
	make_ready(f);
	for (unsigned i = 0; i < 2; i++) {
		client_init(&c[i], 0);
		punt_login(f, &c[i], 0);
		assert_int_equal(rings_drain(&f->rings), 1);
		assert_int_equal(ring_eat(f, IPC_INJECT, 0, INJECT_SESSION_ADD, &cell), 1);
		sid[i] = cell.session_add.sid;
	}
	event = ring_reserve(ipc_ring(&f->dataplane, IPC_EVENT, 0));
	event->type = PUNT_SESSION;
	event->worker = 0;
	memset(&event->session, 0, sizeof(event->session));
	event->session.sid = sid[0];
	event->session.event = SESSION_CLOSED;
	ring_publish(ipc_ring(&f->dataplane, IPC_EVENT, 0));
	/* killed: nothing tidied up, another one starts */
	ipc_leave(&f->dataplane);
	dataplane_start(f);
	alive(f);
	watch(f, 200);
	alive(f);
	watch(f, 200);
	assert_true(f->rings.attached);
	assert_int_equal(ring_eat(f, IPC_INJECT, 0, INJECT_SESSION_ADD, &cell), 1);
	assert_true(cell.session_add.sid == sid[1]);
	assert_int_equal(cell.session_add.epoch, 1);
	assert_int_equal(cell.session_add.probe, 1);
	ring_eat(f, IPC_TABLE, 0, TABLE_BARRIER, &cell);
	alive(f);
	watch(f, 200);
	assert_true(is_ready(f));
	assert_null(server_check(f->h->server));
}

static void
test_full_inject_ring(void **state)
{
	struct fixture *f = *state;
	struct cell cell, *event;
	uint32_t answers = 0;

	dataplane_start(f);
	make_ready(f);
	for (unsigned i = 0; i < 3 * RING_CELLS; i++) {
		event = ring_reserve(ipc_ring(&f->dataplane, IPC_EVENT, 0));
		assert_non_null(event);
		event->type = PUNT_STORE;
		event->worker = 0;
		memset(&event->store, 0, sizeof(event->store));
		event->store.from = 1;
		event->store.to = 2;
		event->store.id = i + 1;
		ring_publish(ipc_ring(&f->dataplane, IPC_EVENT, 0));
		assert_int_equal(rings_drain(&f->rings), 1);
	}
	for (unsigned round = 0; round < 4; round++) {
		answers += ring_eat(f, IPC_INJECT, 0, INJECT_STORED, &cell);
		server_flush(f->h->server);
	}
	assert_int_equal(answers, 3 * RING_CELLS);
	assert_int_equal(cell.stored.id, 3 * RING_CELLS);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_ready_when_provisioned),
		T(test_cells_through_rings),
		T(test_crowd_in_shares),
		T(test_logins_beside),
		T(test_dataplane_replaced),
		T(test_full_inject_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
