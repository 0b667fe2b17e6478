/* SPDX-License-Identifier: BSD-3-Clause */
/* The dataplane in the simulation: the region, the tables, one to three workers on a port of memory, housekeeping. */
#include "dataplane/worker_state.h"
#include "sim.h"

#include "tests/unit/dataplane/eal_fixture.h"

#include <rte_mempool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define WORKERS_MAX 3
#define QUEUE 4096
#define TICK_BUSY_US 2000
#define TICK_IDLE_US 20000
#define TICK_QUIET_US 5000

struct received {
	struct endpoint from;
	uint16_t len;
	uint8_t data[RK_DATAGRAM_MAX + 8];
};

#define KEYS_SEEN 16384

struct key_seen {
	uint64_t key;
	uint64_t owner; /* session and epoch; 0: none */
};

struct dataplane {
	struct sim *sim;
	struct random random;
	bool up, dead; /* dead: killed in the middle of a poll */
	unsigned poisoned;
	uint64_t steps_left; /* to the kill; UINT64_MAX: none */
	uint64_t down_us, start_us, stalled_us, tick_us;
	uint32_t workers;
	struct ipc ipc;
	struct tables *tables;
	struct port port;
	struct worker *worker[WORKERS_MAX];
	struct housekeeping *housekeeping;
	struct received *queue[WORKERS_MAX]; /* rings of QUEUE */
	uint32_t head[WORKERS_MAX], tail[WORKERS_MAX];
	uint64_t given[WORKERS_MAX]; /* datagrams taken by rx */
	uint64_t boots, began_us;
	struct sealed *sealed; /* what came in since the start */
	uint64_t distinct;
	bool crowded;          /* too much to remember */
	struct key_seen *keys; /* of all sessions that ever were */
};

static struct rte_mempool *pool;
/* The wrappers below get a ring and nothing else. */
static struct dataplane *the;

int
dataplane_environment(void)
{
	if (eal_fixture_start() < 0)
		return -1;
	pool = rte_pktmbuf_pool_create("sim", 8191, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	return pool == NULL ? -1 : 0;
}

void
dataplane_environment_end(void)
{
	void *none = NULL;

	rte_mempool_free(pool);
	eal_fixture_teardown(&none);
}

/* ---- steps ---------------------------------------------------------------------------- */

/* What one process writes into the region after this is seen by itself only. */
void
region_part(struct ipc *ipc)
{
	if (mmap(ipc->header, ipc->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, ipc->fd, 0) == MAP_FAILED)
		abort();
}

static void
die(void)
{
	the->dead = true;
	region_part(&the->ipc);
}

static bool
step(void)
{
	if (!the->dead && the->steps_left != UINT64_MAX && the->steps_left-- == 0)
		die();
	return the->dead;
}

/* What the dataplane calls instead of ring_publish and ring_release (see renames_dataplane). */
void dataplane_ring_publish(const struct cell_ring *r);
void dataplane_ring_release(const struct cell_ring *r);

void
dataplane_ring_publish(const struct cell_ring *r)
{
	if (!step())
		ring_publish(r);
}

void
dataplane_ring_release(const struct cell_ring *r)
{
	if (!step())
		ring_release(r);
}

/* ---- port ------------------------------------------------------------------------------ */

static void
note_sealed(struct dataplane *d, const struct received *r)
{
	bool fresh = true;

	if (r->len == 0 || r->data[0] != WIRE_DATA)
		return;
	if (sealed_find(d->sealed, r->data, r->len, &fresh) == NULL)
		d->crowded = true;
	d->distinct += fresh;
}

static uint16_t
port_rx(struct port_queue *q, struct rte_mbuf **pkts, uint16_t max, uint64_t now_ms)
{
	struct dataplane *d = q->port->state;
	uint16_t n = 0;

	(void)now_ms;
	while (n < max && d->head[q->queue] != d->tail[q->queue] && !d->dead) {
		const struct received *r = &d->queue[q->queue][d->head[q->queue]++ % QUEUE];
		struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

		if (m == NULL) {
			fail(d->sim, "the dataplane has used up all packet buffers");
			return n;
		}
		memcpy(rte_pktmbuf_append(m, r->len), r->data, r->len);
		*packet_info(m) = (struct packet_info){.peer = r->from};
		pkts[n++] = m;
		note_sealed(d, r);
		q->counters[COUNTER_rx_packets]++;
		d->given[q->queue]++;
	}
	return n;
}

static void
port_tx(struct port_queue *q, struct rte_mbuf **pkts, uint16_t n, uint64_t now_ms)
{
	struct dataplane *d = q->port->state;

	(void)now_ms;
	for (uint16_t i = 0; i < n; i++) {
		if (!step())
			network_send(d->sim, false, &packet_info(pkts[i])->peer, rte_pktmbuf_mtod(pkts[i], const uint8_t *),
				     rte_pktmbuf_data_len(pkts[i]));
		rte_pktmbuf_free(pkts[i]);
	}
}

static const struct port_ops port_ops = {.rx = port_rx, .tx = port_tx};

/* ---- life ------------------------------------------------------------------------------ */

int
dataplane_new(struct sim *s)
{
	struct dataplane *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return -1;
	d->sim = s;
	d->steps_left = UINT64_MAX;
	d->start_us = NEVER_US;
	random_seed(&d->random, random_next(&s->random));
	for (unsigned i = 0; i < WORKERS_MAX; i++) {
		d->queue[i] = malloc(QUEUE * sizeof(*d->queue[i]));
		if (d->queue[i] == NULL)
			return -1;
	}
	d->keys = calloc(KEYS_SEEN, sizeof(*d->keys));
	d->sealed = calloc(SEALED, sizeof(struct sealed));
	if (d->keys == NULL)
		return -1;
	if (d->sealed == NULL)
		return -1;
	d->ipc.fd = -1;
	s->dataplane = d;
	the = d;
	return 0;
}

static int
region_new(struct dataplane *d)
{
	const struct profile *p = &d->sim->profile;
	struct ipc_options o = {
		.workers = d->workers,
		.event_cells = p->event_cells,
		.request_cells = p->request_cells,
		.login_cells = p->login_cells,
		.inject_cells = p->inject_cells,
		.table_cells = p->table_cells,
		.sessions_per_worker = (p->sessions + d->workers - 1) / d->workers,
	};
	char path[128];

	snprintf(path, sizeof(path), "%s/rings.shm", d->sim->dir);
	return ipc_new(&d->ipc, path, &o);
}

static int
worker_make(struct dataplane *d, uint32_t i)
{
	struct worker_options o = {
		.config = d->sim->config,
		.ipc = &d->ipc,
		.tables = d->tables,
		.index = i,
		.workers = d->workers,
		.numa_node = SOCKET_ID_ANY,
		.pool = pool,
		.ports = &d->port,
		.port_count = 1,
	};
	char error[256];
	int rc = worker_new(&d->worker[i], &o, error, sizeof(error));

	if (rc < 0)
		fail(d->sim, "%s", error);
	else
		tables_reader_online(d->tables, i);
	return rc;
}

void
dataplane_start(struct sim *s)
{
	struct dataplane *d = s->dataplane;
	char path[128];

	d->workers = s->profile.workers;
	d->start_us = NEVER_US;
	d->steps_left = UINT64_MAX;
	d->dead = false;
	d->boots++;
	d->began_us = s->now_us;
	trace(s, "dataplane", "starts for the %lluth time", (unsigned long long)d->boots);
	if (region_new(d) < 0) {
		fail(s, "the region cannot be made in %s", s->dir);
		return;
	}
	d->tables = tables_new(s->config, d->workers, SOCKET_ID_ANY);
	d->port = (struct port){.ops = &port_ops, .queues = (uint16_t)d->workers, .state = d};
	for (uint32_t i = 0; i < d->workers; i++) {
		d->head[i] = d->tail[i] = 0;
		d->given[i] = 0;
		if (d->tables == NULL || worker_make(d, i) < 0) {
			fail(s, "the dataplane has no memory");
			return;
		}
	}
	worker_connect(d->worker, d->workers);
	snprintf(path, sizeof(path), "%s/doorbell", s->dir);
	if (housekeeping_new(&d->housekeeping, &d->ipc, d->tables, d->worker, d->workers, path) < 0) {
		fail(s, "housekeeping cannot start");
		return;
	}
	d->up = true;
	d->tick_us = s->now_us;
	if (d->boots > 1)
		plan_recovers(s, FAULT_DATAPLANE_CRASH);
}

/* Memory goes, the region's file stays as the killed process left it. */
static void
discard(struct dataplane *d)
{
	if (!d->dead)
		die();
	housekeeping_free(d->housekeeping);
	d->housekeeping = NULL;
	for (uint32_t i = 0; i < d->workers; i++) {
		worker_free(d->worker[i]);
		d->worker[i] = NULL;
	}
	tables_free(d->tables);
	d->tables = NULL;
	ipc_leave(&d->ipc);
	memset(d->sealed, 0, SEALED * sizeof(struct sealed));
	d->distinct = 0;
	d->crowded = false;
	d->up = false;
	if (rte_mempool_in_use_count(pool) != 0)
		fail(d->sim, "%u packet buffers are lost", rte_mempool_in_use_count(pool));
}

void
dataplane_free(struct sim *s)
{
	struct dataplane *d = s->dataplane;

	if (d == NULL)
		return;
	if (d->ipc.header != NULL)
		discard(d);
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		free(d->queue[i]);
	free(d->sealed);
	free(d->keys);
	free(d);
	s->dataplane = NULL;
	the = NULL;
}

void
dataplane_crash(struct sim *s, unsigned steps, uint64_t down_us)
{
	struct dataplane *d = s->dataplane;

	if (!d->up)
		return;
	trace(s, "dataplane", "is to be killed after %u steps, for %llu ms", steps, (unsigned long long)(down_us / MS_US));
	d->steps_left = steps;
	d->down_us = down_us;
}

static void
killed(struct dataplane *d)
{
	trace(d->sim, "dataplane", "KILLED");
	discard(d);
	d->steps_left = UINT64_MAX;
	d->dead = false;
	d->start_us = d->sim->now_us + d->down_us;
}

void
dataplane_stall(struct sim *s, uint64_t us)
{
	trace(s, "dataplane", "stands still for %llu ms", (unsigned long long)(us / MS_US));
	s->dataplane->stalled_us = s->now_us + us;
}

void
dataplane_heal(struct sim *s)
{
	struct dataplane *d = s->dataplane;

	d->stalled_us = 0;
	if (!d->dead)
		d->steps_left = UINT64_MAX;
	if (!d->up && d->start_us > s->now_us + SECOND_US)
		d->start_us = s->now_us + SECOND_US;
}

bool
dataplane_up(const struct sim *s)
{
	return s->dataplane->up && s->dataplane->steps_left == UINT64_MAX;
}

uint64_t
dataplane_began(const struct sim *s)
{
	return s->dataplane->began_us;
}

/* ---- time ------------------------------------------------------------------------------- */

/* RSS: the same flow to the same worker, mostly. */
static uint32_t
queue_of(struct dataplane *d, const struct endpoint *from)
{
	uint32_t hash = from->port * 2654435761u ^ from->ip[15] * 40503u;

	if (!d->sim->network.calm && random_permille(&d->random, d->sim->profile.astray))
		return (uint32_t)random_below(&d->random, d->workers);
	return (hash >> 16) % d->workers;
}

void
dataplane_receive(struct sim *s, const struct endpoint *from, const uint8_t *data, size_t len)
{
	struct dataplane *d = s->dataplane;
	struct received *r;
	uint32_t q;

	if (!d->up)
		return;
	q = queue_of(d, from);
	if (d->tail[q] - d->head[q] == QUEUE)
		return; /* the NIC's queue is full */
	r = &d->queue[q][d->tail[q]++ % QUEUE];
	r->from = *from;
	r->len = (uint16_t)len;
	memcpy(r->data, data, len);
	dataplane_wake(s);
}

void
dataplane_wake(struct sim *s)
{
	struct dataplane *d = s->dataplane;
	uint64_t at = s->now_us + random_between(&d->random, 20, 200);

	if (d->tick_us > at)
		d->tick_us = at;
}

uint64_t
dataplane_next(const struct sim *s)
{
	const struct dataplane *d = s->dataplane;

	if (!d->up)
		return d->start_us;
	return d->tick_us > d->stalled_us ? d->tick_us : d->stalled_us;
}

static bool
control_waits(const struct dataplane *d)
{
	for (uint32_t i = 0; i < d->workers; i++)
		for (int ring = IPC_EVENT; ring <= IPC_LOGIN; ring++)
			if (ring_used(ipc_ring(&d->ipc, ring, i)) != 0)
				return true;
	return false;
}

/* One round of all workers, beginning with any. */
static unsigned
round_of_polls(struct dataplane *d)
{
	struct sim *s = d->sim;
	uint32_t first = (uint32_t)random_below(&d->random, d->workers);
	unsigned work = 0;

	if (random_permille(&d->random, 900))
		work = housekeeping_poll(d->housekeeping, s->now_us);
	for (uint32_t i = 0; i < d->workers && !d->dead; i++) {
		uint32_t w = (first + i) % d->workers;

		/* Some are slower than others. */
		if (d->workers > 1 && random_permille(&d->random, 100))
			continue;
		work += worker_poll(d->worker[w], s->now_us, sim_wall_ms(s));
		tables_reader_quiescent(d->tables, w);
	}
	return work;
}

void
dataplane_step(struct sim *s)
{
	struct dataplane *d = s->dataplane;
	unsigned work;

	if (s->now_us < dataplane_next(s))
		return;
	if (!d->up) {
		dataplane_start(s);
		return;
	}
	work = round_of_polls(d);
	if (d->dead) {
		killed(d);
		return;
	}
	if (work != 0)
		d->tick_us = s->now_us + random_between(&d->random, 20, TICK_BUSY_US);
	else
		d->tick_us = s->now_us + (s->network.count != 0 ? TICK_QUIET_US : TICK_IDLE_US);
	if (control_waits(d))
		control_wake(s);
	/* A kill that finds nothing to be done comes all the same. */
	if (work == 0 && d->steps_left != UINT64_MAX && d->steps_left-- == 0)
		killed(d);
}

/* ---- invariants -------------------------------------------------------------------------- */

/* G7 */
const char *
dataplane_sums(const struct sim *s)
{
	const struct dataplane *d = s->dataplane;
	uint64_t in = 0, out = 0, acted = 0;

	for (uint32_t i = 0; d->up && i < d->workers; i++) {
		const uint64_t *c = d->worker[i]->counters;
		uint64_t ended = c[COUNTER_consumed] + c[COUNTER_answered] + c[COUNTER_handoff_out] + c[COUNTER_punted];

		for (unsigned k = 0; k < COUNTER_COUNT; k++)
			if (counter_info[k].is_drop)
				ended += c[k];
		if (c[COUNTER_rx_packets] + c[COUNTER_handoff_in] != ended)
			return "G7: a packet that came in ended nowhere, or twice";
		if (c[COUNTER_rx_packets] != d->given[i])
			return "G7: rx_packets is not what the port gave";
		in += c[COUNTER_handoff_in];
		out += c[COUNTER_handoff_out];
		acted += c[COUNTER_consumed] + c[COUNTER_drop_frame] + c[COUNTER_drop_restricted];
	}
	if (acted > d->distinct && !d->crowded)
		return "G6: a packet was acted on twice";
	return in > out ? "G7: more packets were taken over than handed over" : NULL;
}

/* No key comes twice, whatever was sent again and whoever was killed: nonces begin anew with each. A session and epoch keeps its own. */
static bool
key_is_own(struct dataplane *d, const struct session *s, uint64_t sid)
{
	uint64_t key, owner = sid * UINT64_C(0x9e3779b97f4a7c15) + s->epoch;

	memcpy(&key, s->keys.key, sizeof(key));
	for (unsigned i = 0; i < 64; i++) {
		struct key_seen *k = &d->keys[(key + i) % KEYS_SEEN];

		if (k->owner == 0)
			*k = (struct key_seen){.key = key, .owner = owner};
		if (k->key == key)
			return k->owner == owner;
	}
	return true; /* no room */
}

static bool
keys_check(struct dataplane *d, const struct worker *w)
{
	for (uint32_t i = 0; i < w->sessions.capacity; i++) {
		const struct session *s = &w->sessions.sessions[i];

		if (s->generation != 0 && !key_is_own(d, s, session_id_make(w->index, s->generation, i)))
			return false;
	}
	return true;
}

const char *
dataplane_check(const struct sim *s)
{
	struct dataplane *d = s->dataplane;

	for (uint32_t i = 0; d->up && i < d->workers; i++) {
		if (!keys_check(d, d->worker[i]))
			return "two sessions have the same key";
		if (!session_table_check(&d->worker[i]->sessions))
			return "session_table_check";
		if (!message_table_check(&d->worker[i]->messages))
			return "message_table_check";
		if (!delivery_table_check(&d->worker[i]->deliveries))
			return "delivery_table_check";
		if (d->worker[i]->output.mbuf != NULL)
			return "a packet was left open at the end of a poll";
	}
	return dataplane_sums(s);
}

const char *
dataplane_empty(const struct sim *s)
{
	const struct dataplane *d = s->dataplane;
	uint64_t in = 0, out = 0;

	if (!d->up)
		return "the dataplane is down";
	for (uint32_t i = 0; i < d->workers; i++) {
		if (d->worker[i]->messages.used != 0)
			return "a message record is left over";
		if (d->worker[i]->deliveries.used != 0)
			return "a delivery is left over";
		for (uint32_t to = 0; to < d->workers; to++)
			if (d->worker[i]->handoff_out[to].deliveries != 0)
				return "a delivery at another worker was not given back";
		in += d->worker[i]->counters[COUNTER_handoff_in];
		out += d->worker[i]->counters[COUNTER_handoff_out];
	}
	if (in != out)
		return "G7: a packet was handed over and not taken";
	return rte_mempool_in_use_count(pool) == 0 ? NULL : "a packet buffer is lost";
}
