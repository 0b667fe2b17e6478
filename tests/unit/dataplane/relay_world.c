/* SPDX-License-Identifier: BSD-3-Clause */
#include "relay_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the in-memory port -------------------------------------------------------------- */

static uint16_t
memory_rx(struct port_queue *q, struct rte_mbuf **pkts, uint16_t max, uint64_t now_ms)
{
	struct world *w = q->port->state;
	struct world_queue *rx = &w->rx[q->queue];
	uint16_t n = 0;

	(void)now_ms;
	while (n < max && rx->head != rx->tail) {
		pkts[n] = rx->pkts[rx->head++ % WORLD_QUEUE];
		q->counters[COUNTER_rx_packets]++;
		n++;
	}
	return n;
}

static void
memory_tx(struct port_queue *q, struct rte_mbuf **pkts, uint16_t n, uint64_t now_ms)
{
	struct world *w = q->port->state;

	(void)now_ms;
	for (uint16_t i = 0; i < n; i++) {
		assert_true(w->tx.tail - w->tx.head < WORLD_QUEUE);
		w->tx.pkts[w->tx.tail++ % WORLD_QUEUE] = pkts[i];
	}
}

static const struct port_ops memory_port = {.rx = memory_rx, .tx = memory_tx};

bool world_quick;
uint32_t world_activities;

/* ---- world --------------------------------------------------------------------------- */

static void
world_ipc(struct world *w)
{
	struct ipc_options o = {
		.workers = w->count,
		.event_cells = 64,
		.request_cells = 64,
		.login_cells = 16,
		.inject_cells = 256,
		.table_cells = 256,
		.sessions_per_worker = 64,
	};
	char path[128];

	strcpy(w->dir, "/tmp/rookery-relay-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(path, sizeof(path), "%s/rings.shm", w->dir);
	assert_int_equal(ipc_new(&w->ipc, path, &o), 0);
}

struct world *
world_new(uint32_t workers)
{
	struct world *w = calloc(1, sizeof(*w));
	static unsigned serial;
	char error[256] = "";
	char path[128];
	char name[16];

	assert_non_null(w);
	w->count = workers;
	w->wall_ms = UINT64_C(1700000000000);
	assert_int_equal(config_load(&w->config, NULL, "/tmp", error, sizeof(error)), 0);
	w->config->dataplane.sessions = 64 * workers;
	w->config->dataplane.messages = 1024;
	w->config->dataplane.users = 64;
	w->config->dataplane.conversations = 64;
	if (world_quick)
		w->config->control.logins_per_second = 8;
	world_ipc(w);
	w->tables = tables_new(w->config, workers, SOCKET_ID_ANY);
	assert_non_null(w->tables);
	/* A world that a failed test left behind keeps its name. */
	snprintf(name, sizeof(name), "world%u", serial++);
	w->pool = rte_pktmbuf_pool_create(name, world_quick ? 1023 : 8191, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	assert_non_null(w->pool);
	w->port = (struct port){.ops = &memory_port, .queues = (uint16_t)workers, .state = w};
	for (uint32_t i = 0; i < workers; i++) {
		struct worker_options o = {
			.config = w->config,
			.ipc = &w->ipc,
			.tables = w->tables,
			.index = i,
			.workers = workers,
			.numa_node = SOCKET_ID_ANY,
			.pool = w->pool,
			.ports = &w->port,
			.port_count = 1,
			.activities = world_activities,
		};

		assert_int_equal(worker_new(&w->workers[i], &o, error, sizeof(error)), 0);
		tables_reader_online(w->tables, i);
	}
	worker_connect(w->workers, workers);
	snprintf(path, sizeof(path), "%s/doorbell", w->dir);
	assert_int_equal(housekeeping_new(&w->housekeeping, &w->ipc, w->tables, w->workers, workers, path), 0);
	w->now_us = 1;
	return w;
}

void
world_server_key(struct world *w, const uint8_t public[32])
{
	memcpy(w->ipc.header->server_public, public, sizeof(w->ipc.header->server_public));
	atomic_store(&w->ipc.header->server_key_set, 1);
	world_settle(w);
}

uint64_t
world_counter(const struct world *w, enum counter c)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < w->count; i++)
		sum += w->workers[i]->counters[c];
	return sum;
}

/* G7: what came in is what went out, by name. */
static void
check_sums(const struct world *w)
{
	for (uint32_t i = 0; i < w->count; i++) {
		const uint64_t *c = w->workers[i]->counters;
		uint64_t out = c[COUNTER_consumed] + c[COUNTER_answered] + c[COUNTER_handoff_out] + c[COUNTER_punted];

		for (unsigned k = 0; k < COUNTER_COUNT; k++)
			if (counter_info[k].is_drop)
				out += c[k];
		assert_int_equal(c[COUNTER_rx_packets] + c[COUNTER_handoff_in], out);
	}
}

void
world_check(struct world *w)
{
	check_sums(w);
	for (uint32_t i = 0; i < w->count; i++) {
		assert_true(session_table_check(&w->workers[i]->sessions));
		assert_true(message_table_check(&w->workers[i]->messages));
		assert_true(delivery_table_check(&w->workers[i]->deliveries));
		assert_null(w->workers[i]->output.mbuf);
	}
}

void
world_settle(struct world *w)
{
	unsigned work;

	do {
		work = housekeeping_poll(w->housekeeping, w->now_us);
		for (uint32_t i = 0; i < w->count; i++) {
			work += worker_poll(w->workers[i], w->now_us, w->wall_ms + w->now_us / 1000);
			tables_reader_quiescent(w->tables, i);
		}
		if (!world_quick)
			world_check(w);
	} while (work != 0);
}

void
world_pass(struct world *w, uint64_t us)
{
	uint64_t end = w->now_us + us;

	while (w->now_us < end) {
		w->now_us += RTE_MIN(UINT64_C(5000), end - w->now_us);
		world_settle(w);
	}
}

void
world_free(struct world *w)
{
	char path[128];

	world_settle(w);
	world_check(w);
	while (w->tx.head != w->tx.tail)
		rte_pktmbuf_free(w->tx.pkts[w->tx.head++ % WORLD_QUEUE]);
	housekeeping_free(w->housekeeping);
	for (uint32_t i = 0; i < w->count; i++) {
		tables_reader_offline(w->tables, i);
		worker_free(w->workers[i]);
	}
	/* Every mbuf came home. */
	assert_int_equal(rte_mempool_in_use_count(w->pool), 0);
	rte_mempool_free(w->pool);
	tables_free(w->tables);
	snprintf(path, sizeof(path), "%s/rings.shm", w->dir);
	ipc_delete(&w->ipc, path);
	rmdir(w->dir);
	config_free(w->config);
	free(w);
}

/* ---- clients ------------------------------------------------------------------------- */

void
world_send_raw(struct world *w, uint32_t at, const struct endpoint *from, const uint8_t *data, size_t length)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(w->pool);

	assert_non_null(m);
	memcpy(rte_pktmbuf_append(m, (uint16_t)length), data, length);
	*packet_info(m) = (struct packet_info){.peer = *from};
	w->rx[at].pkts[w->rx[at].tail++ % WORLD_QUEUE] = m;
}

void
peer_join(struct peer *p, struct world *w, uint32_t worker, uint32_t index, user_id_t user, uint8_t flags)
{
	uint8_t ip[4] = {10, 0, (uint8_t)worker, (uint8_t)(index + 1)};
	struct cell *c;

	memset(p, 0, sizeof(*p));
	p->world = w;
	p->sid = session_id_make(worker, 7, index);
	p->user = user;
	p->device = user * 10;
	memset(&p->keys.key, (int)(worker * 64 + index + 1), AEAD_KEY);
	p->epoch = world_quick ? 3 : 0; /* so that there can be packets of an earlier life */
	endpoint_set_ipv4(&p->address, ip, 4000);
	aead_key_set(&p->key, p->keys.key);
	c = control_put(w, IPC_INJECT, worker, INJECT_SESSION_ADD);
	c->session_add = (struct cell_session_add){
		.sid = p->sid,
		.user = user,
		.device = p->device,
		.keys = p->keys,
		.flags = flags,
		.epoch = p->epoch,
		.peer = p->address,
	};
	control_publish(w, IPC_INJECT, worker);
	world_settle(w);
}

size_t
peer_seal(struct peer *p, const struct frame *frames, unsigned n, uint8_t *out)
{
	struct wire_data d = {.sid = p->sid, .counter = wire_counter(p->epoch, ++p->sequence)};
	uint8_t nonce[AEAD_NONCE];
	size_t length = 0;

	for (unsigned i = 0; i < n; i++) {
		int used = frame_write(&frames[i], out + WIRE_DATA_HEADER + length, WIRE_PLAINTEXT_MAX - length);

		assert_true(used > 0);
		length += (size_t)used;
	}
	wire_data_write(&d, out);
	wire_nonce(nonce, WIRE_TO_SERVER, d.counter);
	aead_seal(&p->key, nonce, out, WIRE_DATA_HEADER, out + WIRE_DATA_HEADER, length, out + WIRE_DATA_HEADER,
		  out + WIRE_DATA_HEADER + length);
	return WIRE_DATA_HEADER + length + WIRE_TAG;
}

void
peer_send(struct peer *p, uint32_t at, const struct frame *frames, unsigned n)
{
	uint8_t packet[WIRE_DATAGRAM_MAX];
	size_t length = peer_seal(p, frames, n, packet);

	world_send_raw(p->world, at, &p->address, packet, length);
	world_settle(p->world);
}

static struct rte_mbuf *
tx_take(struct world *w, uint32_t i)
{
	struct rte_mbuf *m = w->tx.pkts[i % WORLD_QUEUE];

	for (; i + 1 != w->tx.tail; i++)
		w->tx.pkts[i % WORLD_QUEUE] = w->tx.pkts[(i + 1) % WORLD_QUEUE];
	w->tx.tail--;
	return m;
}

bool
peer_receive(struct peer *p, uint8_t type, struct frame *f)
{
	static uint8_t plain[WIRE_DATAGRAM_MAX];
	struct world *w = p->world;

	for (uint32_t i = w->tx.head; i != w->tx.tail; i++) {
		struct rte_mbuf *m = w->tx.pkts[i % WORLD_QUEUE];
		const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);
		uint8_t nonce[AEAD_NONCE];
		struct wire_data d;
		size_t length;

		if (!endpoint_equal(&packet_info(m)->peer, &p->address) || wire_data_read(&d, data, rte_pktmbuf_data_len(m)) != 0)
			continue;
		length = rte_pktmbuf_data_len(m) - WIRE_DATA_HEADER - WIRE_TAG;
		wire_nonce(nonce, WIRE_TO_CLIENT, d.counter);
		assert_int_equal(d.sid, p->sid);
		assert_int_equal(aead_open(&p->key, nonce, data, WIRE_DATA_HEADER, data + WIRE_DATA_HEADER, length, plain,
					   data + WIRE_DATA_HEADER + length),
				 0);
		for (size_t at = 0; at < length;) {
			int n = frame_read(f, plain + at, length - at);

			assert_true(n > 0);
			at += (size_t)n;
			if (f->type == type) {
				rte_pktmbuf_free(tx_take(w, i));
				return true;
			}
		}
	}
	return false;
}

size_t
world_receive_raw(struct world *w, const struct endpoint *to, uint8_t *out, size_t cap)
{
	for (uint32_t i = w->tx.head; i != w->tx.tail; i++) {
		struct rte_mbuf *m = w->tx.pkts[i % WORLD_QUEUE];
		size_t length = rte_pktmbuf_data_len(m);

		if (!endpoint_equal(&packet_info(m)->peer, to))
			continue;
		assert_true(length <= cap);
		memcpy(out, rte_pktmbuf_mtod(m, const void *), length);
		rte_pktmbuf_free(tx_take(w, i));
		return length;
	}
	return 0;
}

/* ---- control ------------------------------------------------------------------------- */

const struct cell *
control_take(struct world *w, enum ipc_ring ring, uint32_t worker, enum cell_type type)
{
	static struct cell copy;
	const struct cell_ring *r = ipc_ring(&w->ipc, ring, worker);
	const struct cell *c;

	while ((c = ring_front(r)) != NULL) {
		assert_true(cell_valid(c));
		memcpy(&copy, c, cell_used(c));
		ring_release(r);
		if (copy.type == type)
			return &copy;
	}
	return NULL;
}

struct cell *
control_put(struct world *w, enum ipc_ring ring, uint32_t worker, enum cell_type type)
{
	struct cell *c = ring_reserve(ipc_ring(&w->ipc, ring, worker));

	assert_non_null(c);
	memset(c, 0, offsetof(struct cell, data));
	c->type = type;
	return c;
}

void
control_publish(struct world *w, enum ipc_ring ring, uint32_t worker)
{
	ring_publish(ipc_ring(&w->ipc, ring, worker));
}

void
control_user(struct world *w, user_id_t user, bool away, const struct peer *const *live, unsigned n)
{
	struct cell *c = control_put(w, IPC_TABLE, 0, TABLE_USER_SET);

	c->user.user = user;
	c->user.away = away;
	c->user.live_count = (uint8_t)n;
	for (unsigned i = 0; i < n; i++)
		c->user.live[i] = (struct live_session){.sid = live[i]->sid, .device = live[i]->device};
	control_publish(w, IPC_TABLE, 0);
	world_settle(w);
}

void
control_allow(struct world *w, user_id_t from, user_id_t to, enum verdict verdict)
{
	struct cell *c = control_put(w, IPC_TABLE, 0, TABLE_VERDICT_SET);

	c->verdict.from = from;
	c->verdict.to = to;
	c->verdict.verdict = verdict;
	control_publish(w, IPC_TABLE, 0);
	world_settle(w);
}
