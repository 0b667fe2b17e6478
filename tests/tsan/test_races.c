/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What several threads or processes of the server share, under ThreadSanitizer. An argument multiplies the rounds.
 *
 * Processes are threads here, on one mapping: ThreadSanitizer follows addresses, and would take two mappings of one file for two
 * memories. DPDK's libraries are not instrumented; its rings and RCU are, as they are inline. Beside that, readers check what they see:
 * each entry follows from its user and version, and a freed one is filled with another user's before long. The mempool is one of this
 * file's, because the libraries' would hide that a buffer's next owner comes after its last.
 */
#include "tests/unit/dataplane/eal_fixture.h"
#include "tests/unit/dataplane/relay_world.h"

#include <pthread.h>
#include <rte_mempool.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static unsigned rounds = 1;

/* Fails the program from any thread; cmocka's assertions belong to the main one. */
#define MUST(condition)                                                                        \
	do {                                                                                   \
		if (!(condition)) {                                                            \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                               \
		}                                                                              \
	} while (0)

/* ---- shared/ipc.c: one ring, either side of which leaves and comes back ----------------------------- */

#define RING_MESSAGES 200000u

struct ring_test {
	struct ipc ipc;
	uint64_t total;
};

static void *
ring_producer(void *arg)
{
	struct ring_test *t = arg;
	const struct cell_ring *r = ipc_ring(&t->ipc, IPC_EVENT, 0);

	for (uint64_t i = 1; i <= t->total;) {
		struct cell *c = ring_reserve(r);

		if (c == NULL) {
			sched_yield();
			continue;
		}
		/* Killed before ring_publish: its successor writes another cell there. */
		if (i % 7 == 0) {
			memset(c, 0xee, 64);
			c = ring_reserve(r);
			MUST(c != NULL);
		}
		c->type = PUNT_STORE;
		c->store.id = i;
		c->length = (uint16_t)(i % 200);
		memset(c->data, (int)(i & 0xff), c->length);
		ring_publish(r);
		i++;
	}
	return NULL;
}

static void *
ring_consumer(void *arg)
{
	struct ring_test *t = arg;
	const struct cell_ring *r = ipc_ring(&t->ipc, IPC_EVENT, 0);
	static struct cell copy;

	for (uint64_t next = 1; next <= t->total;) {
		uint32_t n = 0;
		const struct cell *c;

		while (n < 5 && (c = ring_peek(r, n)) != NULL) {
			memset(&copy, 0, offsetof(struct cell, data));
			copy.length = 0;
			MUST(cell_copy(&copy, c) || copy.type == 0);
			MUST(copy.store.id == next + n && copy.length == copy.store.id % 200);
			for (unsigned i = 0; i < copy.length; i++)
				MUST(copy.data[i] == (copy.store.id & 0xff));
			n++;
		}
		if (n == 0)
			sched_yield();
		/* Killed before ring_release_n: its successor sees the same cells. */
		if (next % 11 == 0 && n > 1)
			n = 1;
		ring_release_n(r, n);
		next += n;
	}
	return NULL;
}

static void
test_ring(void **state)
{
	struct ipc_options o = {.workers = 1, .event_cells = 16, .request_cells = 2, .login_cells = 2, .inject_cells = 2,
				.table_cells = 2, .sessions_per_worker = 1};
	struct ring_test t = {.total = (uint64_t)RING_MESSAGES * rounds};
	pthread_t producer, consumer;
	char dir[] = "/tmp/rookery-tsan-XXXXXX", path[64];

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/rings", dir);
	assert_int_equal(ipc_new(&t.ipc, path, &o), 0);
	assert_int_equal(pthread_create(&producer, NULL, ring_producer, &t), 0);
	assert_int_equal(pthread_create(&consumer, NULL, ring_consumer, &t), 0);
	pthread_join(producer, NULL);
	pthread_join(consumer, NULL);
	assert_int_equal(ring_used(ipc_ring(&t.ipc, IPC_EVENT, 0)), 0);
	ipc_delete(&t.ipc, path);
	rmdir(dir);
	print_message("# ring: %llu cells\n", (unsigned long long)t.total);
}

/* ---- the dataplane: two workers, housekeeping, control, each a thread --------------------------------- */

#define MESSAGES 3000u
#define WINDOW 16

struct locked_pool {
	pthread_mutex_t lock;
	unsigned count;
	void *objects[8192];
};

static int
locked_alloc(struct rte_mempool *mp)
{
	/* Static, since the world is not taken down. */
	static struct locked_pool pools[2];
	static unsigned used;
	struct locked_pool *p = &pools[used];

	if (used == 2)
		return -ENOMEM;
	used++;
	pthread_mutex_init(&p->lock, NULL);
	mp->pool_data = p;
	return 0;
}

static int
locked_put(struct rte_mempool *mp, void *const *objects, unsigned n)
{
	struct locked_pool *p = mp->pool_data;

	pthread_mutex_lock(&p->lock);
	MUST(p->count + n <= 8192);
	memcpy(p->objects + p->count, objects, n * sizeof(*objects));
	p->count += n;
	pthread_mutex_unlock(&p->lock);
	return 0;
}

static int
locked_get(struct rte_mempool *mp, void **objects, unsigned n)
{
	struct locked_pool *p = mp->pool_data;
	int rc = -ENOBUFS;

	pthread_mutex_lock(&p->lock);
	if (p->count >= n) {
		p->count -= n;
		memcpy(objects, p->objects + p->count, n * sizeof(*objects));
		rc = 0;
	}
	pthread_mutex_unlock(&p->lock);
	return rc;
}

static unsigned
locked_count(const struct rte_mempool *mp)
{
	struct locked_pool *p = mp->pool_data;
	unsigned n;

	pthread_mutex_lock(&p->lock);
	n = p->count;
	pthread_mutex_unlock(&p->lock);
	return n;
}

static const struct rte_mempool_ops locked_ops = {.name = "locked",
						  .alloc = locked_alloc,
						  .enqueue = locked_put,
						  .dequeue = locked_get,
						  .get_count = locked_count};

RTE_MEMPOOL_REGISTER_OPS(locked_ops);

/* What one worker's thread has, with the client whose session it owns. */
struct lane {
	struct world *w;
	uint32_t index;
	struct peer peer;
	struct rte_mbuf *out[4096];
	unsigned out_count;
	uint64_t sent, got, final, heard;
};

struct dataplane_test {
	struct lane lanes[2];
	_Atomic uint32_t lanes_done;
	_Atomic bool stop;
	_Atomic uint64_t changes;
};

static struct dataplane_test dp;

static uint16_t
no_rx(struct port_queue *q, struct rte_mbuf **pkts, uint16_t max, uint64_t now_ms)
{
	struct world *w = q->port->state;
	struct world_queue *rx = &w->rx[q->queue];
	uint16_t n = 0;

	(void)now_ms;
	while (n < max && rx->head != rx->tail) {
		pkts[n++] = rx->pkts[rx->head++ % WORLD_QUEUE];
		q->counters[COUNTER_rx_packets]++;
	}
	return n;
}

static void
lane_tx(struct port_queue *q, struct rte_mbuf **pkts, uint16_t n, uint64_t now_ms)
{
	struct lane *l = &dp.lanes[q->queue];

	(void)now_ms;
	for (uint16_t i = 0; i < n; i++) {
		MUST(l->out_count < 4096);
		l->out[l->out_count++] = pkts[i];
	}
}

static const struct port_ops lane_port = {.rx = no_rx, .tx = lane_tx};

static void
lane_send(struct lane *l, const struct frame *f)
{
	uint8_t packet[WIRE_DATAGRAM_MAX];
	size_t len = peer_seal(&l->peer, f, 1, packet);
	struct rte_mbuf *m = rte_pktmbuf_alloc(l->w->workers[l->index]->pool);

	MUST(m != NULL);
	memcpy(rte_pktmbuf_append(m, (uint16_t)len), packet, len);
	*packet_info(m) = (struct packet_info){.peer = l->peer.address};
	l->w->rx[l->index].pkts[l->w->rx[l->index].tail++ % WORLD_QUEUE] = m;
}

/* The version that control has put into the other user's entry, as this reader sees it now. */
static uint64_t
version_seen(const struct lane *l)
{
	user_id_t user = 100 + l->index;
	struct user_entry e = tables_user(l->w->tables, user);
	const struct live_session *live = user_live(&e);

	if (e.live_count == 0)
		return 0;
	MUST(e.live_count == 2);
	MUST(live[1].sid == ~live[0].sid && live[1].device == (live[0].sid ^ user));
	return live[0].sid;
}

static void
lane_frame(struct lane *l, const struct frame *f)
{
	struct frame ack = {.type = FRAME_ACK};
	uint8_t range[6] = {0};
	uint64_t version;

	switch (f->type) {
	case FRAME_DELIVER:
		l->got++;
		ack.ack.count = 1;
		range[0] = (uint8_t)(f->deliver.delivery >> 24);
		range[1] = (uint8_t)(f->deliver.delivery >> 16);
		range[2] = (uint8_t)(f->deliver.delivery >> 8);
		range[3] = (uint8_t)f->deliver.delivery;
		range[5] = 1;
		ack.ack.ranges = range;
		lane_send(l, &ack);
		break;
	case FRAME_NOTIFY:
		/* Nobody hears of a change before it is in force. */
		MUST(f->notify.length == 8);
		memcpy(&version, f->notify.body, 8);
		MUST(version_seen(l) >= version);
		l->heard++;
		ack.ack.count = 1;
		range[0] = (uint8_t)(f->notify.delivery >> 24);
		range[1] = (uint8_t)(f->notify.delivery >> 16);
		range[2] = (uint8_t)(f->notify.delivery >> 8);
		range[3] = (uint8_t)f->notify.delivery;
		range[5] = 1;
		ack.ack.ranges = range;
		lane_send(l, &ack);
		break;
	case FRAME_RECEIPT:
		if (f->receipt.level != RECEIPT_ACCEPTED)
			l->final += f->receipt.count;
		break;
	default:
		break;
	}
}

static void
lane_read(struct lane *l)
{
	struct peer *p = &l->peer;

	for (unsigned k = 0; k < l->out_count; k++) {
		const uint8_t *data = rte_pktmbuf_mtod(l->out[k], const uint8_t *);
		uint16_t size = rte_pktmbuf_data_len(l->out[k]);
		uint8_t nonce[AEAD_NONCE], plain[WIRE_DATAGRAM_MAX];
		struct wire_data d;
		struct frame f;
		size_t length;

		if (wire_data_read(&d, data, size) == 0) {
			length = size - WIRE_DATA_HEADER - WIRE_TAG;
			wire_nonce(nonce, WIRE_TO_CLIENT, d.counter);
			MUST(d.sid == p->sid);
			MUST(aead_open(&p->key, nonce, data, WIRE_DATA_HEADER, data + WIRE_DATA_HEADER, length, plain,
				       data + WIRE_DATA_HEADER + length) == 0);
			for (size_t at = 0; at < length;) {
				int n = frame_read(&f, plain + at, length - at);

				MUST(n > 0);
				at += (size_t)n;
				lane_frame(l, &f);
			}
		}
		rte_pktmbuf_free(l->out[k]);
	}
	l->out_count = 0;
}

/* A worker and its client: every poll a quiescent state, as in worker_run; now and then it sleeps. */
static void *
lane_run(void *arg)
{
	struct lane *l = arg;
	uint64_t now_us = 1000, total = (uint64_t)MESSAGES * rounds;
	bool done = false;
	unsigned turn = 0;

	tables_reader_online(l->w->tables, l->index);
	while (!atomic_load(&dp.stop)) {
		struct frame f = {.type = FRAME_MESSAGE,
				  .message = {.to = 2 - l->index, .prev_delta = 1, .length = 5, .body = (const uint8_t *)"hello"}};

		if (l->sent < total && l->sent - l->final < WINDOW) {
			f.message.id = ++l->sent;
			f.message.prev_delta = f.message.id == 1 ? 0 : 1;
			lane_send(l, &f);
			f = (struct frame){.type = FRAME_CONFIRM, .confirm = l->final};
			if (l->sent % 8 == 0)
				lane_send(l, &f);
		}
		worker_poll(l->w->workers[l->index], now_us, now_us / 1000);
		lane_read(l);
		tables_reader_quiescent(l->w->tables, l->index);
		now_us++; /* slowly: a fence gives up after 100 ms */
		if (++turn % 512 == 0) {
			tables_reader_offline(l->w->tables, l->index);
			sched_yield();
			tables_reader_online(l->w->tables, l->index);
		}
		if (!done && l->final >= total) {
			done = true;
			atomic_fetch_add(&dp.lanes_done, 1);
		}
	}
	tables_reader_offline(l->w->tables, l->index);
	return NULL;
}

static void *
housekeeping_run(void *arg)
{
	struct world *w = arg;
	uint64_t now_us = 1000;

	while (!atomic_load(&dp.stop)) {
		housekeeping_poll(w->housekeeping, now_us);
		now_us += 200;
		sched_yield();
	}
	return NULL;
}

static bool
control_send(const struct cell_ring *r, const struct cell *c)
{
	struct cell *slot;

	while ((slot = ring_reserve(r)) == NULL) {
		if (atomic_load(&dp.stop))
			return false;
		sched_yield();
	}
	memcpy(slot, c, cell_used(c));
	ring_publish(r);
	return true;
}

/* The user's entry changes; then that user's buddy is told. */
static bool
control_change(struct world *w, uint32_t lane, uint64_t version)
{
	struct frame f = {.type = FRAME_NOTIFY, .notify = {.length = 8, .body = (const uint8_t *)&version}};
	struct cell c = {.type = TABLE_USER_SET};

	c.user.user = 100 + lane;
	c.user.live_count = 2;
	c.user.live[0] = (struct live_session){version, 0};
	c.user.live[1] = (struct live_session){~version, version ^ c.user.user};
	if (!control_send(ipc_ring(&w->ipc, IPC_TABLE, 0), &c))
		return false;
	memset(&c, 0, offsetof(struct cell, data));
	c.type = TABLE_BARRIER;
	c.barrier.value = 2 * version + lane; /* each its own, as control's */
	if (!control_send(ipc_ring(&w->ipc, IPC_TABLE, 0), &c))
		return false;
	c.type = INJECT_FENCE;
	if (!control_send(ipc_ring(&w->ipc, IPC_INJECT, lane), &c))
		return false;
	memset(&c, 0, offsetof(struct cell, data));
	c.type = INJECT_FRAME;
	c.frame.session_count = 1;
	c.frame.sids[0] = dp.lanes[lane].peer.sid;
	c.length = (uint16_t)frame_write(&f, c.data, WIRE_PLAINTEXT_MAX);
	return control_send(ipc_ring(&w->ipc, IPC_INJECT, lane), &c);
}

static void *
control_run(void *arg)
{
	struct world *w = arg;
	uint64_t version = 1;

	while (!atomic_load(&dp.stop)) {
		for (uint32_t i = 0; i < 2; i++)
			if (control_change(w, i, version))
				atomic_fetch_add(&dp.changes, 1);
		version++;
		/* verdicts come and go */
		for (uint64_t k = 0; k < 4; k++) {
			struct cell c = {.type = k % 2 ? TABLE_VERDICT_DEL : TABLE_VERDICT_SET};

			c.verdict.from = 1000 + version % 50;
			c.verdict.to = 2000 + k / 2;
			c.verdict.verdict = VERDICT_ALLOWED;
			control_send(ipc_ring(&w->ipc, IPC_TABLE, 0), &c);
		}
		/* what the workers have to say */
		for (uint32_t i = 0; i < 2; i++)
			for (enum ipc_ring kind = IPC_EVENT; kind <= IPC_LOGIN; kind++)
				while (ring_front(ipc_ring(&w->ipc, kind, i)) != NULL)
					ring_release(ipc_ring(&w->ipc, kind, i));
	}
	return NULL;
}

static void
lanes_make(struct world *w)
{
	const struct peer *live[1];
	char name[16];

	for (uint32_t i = 0; i < 2; i++) {
		struct lane *l = &dp.lanes[i];

		l->w = w;
		l->index = i;
		peer_join(&l->peer, w, i, 0, 1 + i, 0);
		live[0] = &l->peer;
		control_user(w, 1 + i, false, live, 1);
		snprintf(name, sizeof(name), "lane%u", i);
		w->workers[i]->pool = rte_pktmbuf_pool_create_by_ops(name, 2047, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
								     SOCKET_ID_ANY, "locked");
		assert_non_null(w->workers[i]->pool);
	}
	control_allow(w, 1, 2, VERDICT_ALLOWED);
	control_allow(w, 2, 1, VERDICT_ALLOWED);
	while (w->tx.head != w->tx.tail)
		rte_pktmbuf_free(w->tx.pkts[w->tx.head++ % WORLD_QUEUE]);
	w->port.ops = &lane_port;
	for (uint32_t i = 0; i < 2; i++)
		tables_reader_offline(w->tables, i);
}

static void
test_dataplane(void **state)
{
	pthread_t threads[4];
	struct world *w;

	(void)state;
	memset(&dp, 0, sizeof(dp));
	w = world_new(2);
	lanes_make(w);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, lane_run, &dp.lanes[i]), 0);
	assert_int_equal(pthread_create(&threads[2], NULL, housekeeping_run, w), 0);
	assert_int_equal(pthread_create(&threads[3], NULL, control_run, w), 0);
	while (atomic_load(&dp.lanes_done) < 2)
		sched_yield();
	atomic_store(&dp.stop, true);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < 2; i++) {
		/* Not all: in this slow time a session asks for more than it may, and some are refused. */
		assert_true(dp.lanes[i].got > 0);
		assert_true(dp.lanes[i].heard > 0);
	}
	print_message("# dataplane: %llu messages handed over, %llu changes, %llu heard of\n",
		      (unsigned long long)(dp.lanes[0].got + dp.lanes[1].got), (unsigned long long)dp.changes,
		      (unsigned long long)(dp.lanes[0].heard + dp.lanes[1].heard));
	/* The world is not taken down: its buffers lie in rings and pools of two kinds. */
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ring),
		cmocka_unit_test(test_dataplane),
	};

	if (argc > 1)
		rounds = (unsigned)atoi(argv[1]);
	return cmocka_run_group_tests(tests, eal_fixture_setup, eal_fixture_teardown);
}
