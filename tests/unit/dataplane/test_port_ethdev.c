/* SPDX-License-Identifier: BSD-3-Clause */
/* The ethdev port on net_ring devices: real ethdevs whose wires are rings that the test holds the other end
 * of. */
#include "dataplane/guard.h"
#include "dataplane/port.h"
#include "dataplane/worker_state.h"
#include "eal_fixture.h"
#include "frames.h"
#include "shared/wire.h"

#include <errno.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_ring.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define QUEUES 2

struct wires {
	struct config_port config;
	struct port port;
	struct rte_ring *wire_in[QUEUES];  /* to the port */
	struct rte_ring *wire_out[QUEUES]; /* from the port */
	struct rte_mempool *pool[QUEUES];
	struct port_queue queue[QUEUES];
	uint64_t counters[QUEUES][COUNTER_COUNT];
	char device[QUEUES][48];
	char *devices[QUEUES];
	uint8_t mac[6];
	uint64_t now_ms;
	char error[512];
};

static char *addresses[] = {"10.0.0.1/24", "fd00::1/64"};
static unsigned number;

/* Makes devices (one with all queues, or one per queue) and their wires. */
static void
wires_make(struct wires *w, unsigned devices)
{
	struct rte_ether_addr mac;
	unsigned i;
	int id;
	char name[32];

	memset(w, 0, sizeof(*w));
	for (i = 0; i < QUEUES; i++) {
		snprintf(name, sizeof(name), "in%u", number);
		w->wire_in[i] = rte_ring_create(name, 64, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
		snprintf(name, sizeof(name), "out%u", number);
		w->wire_out[i] = rte_ring_create(name, 64, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
		snprintf(name, sizeof(name), "pool%u", number++);
		w->pool[i] = rte_pktmbuf_pool_create(name, 511, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
						     SOCKET_ID_ANY);
		assert_non_null(w->pool[i]);
		w->queue[i] = (struct port_queue){.port = &w->port,
						  .queue = (uint16_t)i,
						  .index = 2,
						  .pool = w->pool[i],
						  .counters = w->counters[i]};
	}
	for (i = 0; i < devices; i++) {
		unsigned queues = devices == 1 ? QUEUES : 1;

		snprintf(name, sizeof(name), "t%u", number++);
		id = rte_eth_from_rings(name, &w->wire_in[i], queues, &w->wire_out[i], queues, 0);
		assert_true(id >= 0);
		assert_int_equal(rte_eth_dev_get_name_by_port((uint16_t)id, w->device[i]), 0);
		w->devices[i] = w->device[i];
		assert_int_equal(rte_eth_macaddr_get((uint16_t)id, &mac), 0);
		memcpy(w->mac, mac.addr_bytes, 6);
	}
	w->config = (struct config_port){
		.type = PORT_ETHDEV,
		.devices = w->devices,
		.devices_count = devices,
		.addresses = addresses,
		.addresses_count = 2,
		.udp_port = 8000,
		.mtu = 1500,
		.checksum_offload = true,
	};
	w->now_ms = 50000;
}

static int
wires_open(struct wires *w)
{
	return port_open(&w->port, &w->config, 2, QUEUES, w->pool, w->error, sizeof(w->error));
}

static void
wires_drain(struct wires *w)
{
	void *m;
	unsigned i;

	for (i = 0; i < QUEUES; i++)
		while (rte_ring_dequeue(w->wire_out[i], &m) == 0)
			rte_pktmbuf_free(m);
}

static void
wires_close(struct wires *w)
{
	unsigned i;

	wires_drain(w);
	port_close(&w->port);
	for (i = 0; i < QUEUES; i++) {
		assert_int_equal(rte_mempool_in_use_count(w->pool[i]), 0);
		rte_mempool_free(w->pool[i]);
		rte_ring_free(w->wire_in[i]);
		rte_ring_free(w->wire_out[i]);
	}
}

static void
wire_send(struct wires *w, unsigned queue, struct frame_bytes *f)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(w->pool[queue]);

	assert_non_null(m);
	if ((f->data[0] & 1) == 0)
		memcpy(f->data, w->mac, 6); /* the device's own address is not the one that frames.c writes */
	memcpy(rte_pktmbuf_append(m, (uint16_t)f->len), f->data, f->len);
	assert_int_equal(rte_ring_enqueue(w->wire_in[queue], m), 0);
}

static struct rte_mbuf *
wire_receive(struct wires *w, unsigned queue)
{
	void *m = NULL;

	return rte_ring_dequeue(w->wire_out[queue], &m) == 0 ? m : NULL;
}

static uint16_t
poll_queue(struct wires *w, unsigned queue, struct rte_mbuf **pkts)
{
	return w->port.ops->rx(&w->queue[queue], pkts, PORT_BURST, w->now_ms);
}

/* Polls until the port has said who it is. */
static void
settle(struct wires *w)
{
	struct rte_mbuf *pkts[PORT_BURST];
	unsigned i;

	for (i = 0; i < 5; i++) {
		assert_int_equal(poll_queue(w, 0, pkts), 0);
		wires_drain(w);
		w->now_ms += 2000;
	}
	assert_int_equal(poll_queue(w, 0, pkts), 0);
	assert_null(wire_receive(w, 0));
}

/* devices: one for both workers, or one each. */
static void
datagrams(unsigned devices)
{
	struct rte_mbuf *pkts[PORT_BURST], *m;
	struct frame_bytes f;
	struct wires w;
	unsigned i;

	wires_make(&w, devices);
	assert_int_equal(wires_open(&w), 0);
	settle(&w);
	for (i = 0; i < QUEUES; i++) {
		frame_udp4(&f, peer_ip4, 40001, our_ip4, 8000, 100);
		wire_send(&w, i, &f);
		frame_udp6(&f, peer_ip6, 40001, our_ip6, 8000, 100);
		wire_send(&w, i, &f);
		assert_int_equal(poll_queue(&w, i, pkts), 2);
		assert_int_equal(packet_info(pkts[0])->port, 2);
		assert_int_equal(w.counters[i][COUNTER_rx_packets], 2);
		assert_int_equal(w.counters[i][COUNTER_rx_bytes], 200);
		/* sent by the other worker: what one has learned, all know */
		w.port.ops->tx(&w.queue[1 - i], pkts, 2, w.now_ms);
		m = wire_receive(&w, 1 - i);
		assert_non_null(m);
		assert_true(frame_right(rte_pktmbuf_mtod(m, uint8_t *), m->pkt_len));
		assert_memory_equal(rte_pktmbuf_mtod(m, uint8_t *), peer_mac, 6);
		rte_pktmbuf_free(m);
		m = wire_receive(&w, 1 - i);
		assert_non_null(m);
		assert_true(frame_right(rte_pktmbuf_mtod(m, uint8_t *), m->pkt_len));
		rte_pktmbuf_free(m);
		assert_int_equal(w.counters[1 - i][COUNTER_tx_failed], 0);
	}
	wires_close(&w);
}

static void
test_datagrams(void **state)
{
	(void)state;
	datagrams(1);
}

static void
test_device_per_worker(void **state)
{
	(void)state;
	datagrams(2);
}

/* More is waiting, whatever ingress makes of what came: else one frame for nobody in each burst would hide a flood. And for a worker
 * that is behind, LOGINs end before ingress looks at them. */
static void
test_full_bursts(void **state)
{
	struct rte_mbuf *pkts[PORT_BURST];
	struct guard guard = {0};
	struct frame_bytes f;
	struct wires w;

	(void)state;
	wires_make(&w, 1);
	assert_int_equal(wires_open(&w), 0);
	settle(&w);
	for (unsigned i = 0; i < PORT_BURST + 1; i++) {
		frame_udp4(&f, peer_ip4, 40001, our_ip4, i == 3 ? 8001 : 8000, 400);
		f.data[42] = WIRE_LOGIN;
		wire_send(&w, 0, &f);
	}
	w.queue[0].shedding = &guard;
	assert_int_equal(poll_queue(&w, 0, pkts), 0);
	assert_true(w.queue[0].full);
	assert_int_equal(w.counters[0][COUNTER_drop_login_busy], PORT_BURST - 1);
	assert_int_equal(w.counters[0][COUNTER_drop_udp_port], 1);
	assert_int_equal(w.counters[0][COUNTER_rx_packets], PORT_BURST);
	w.queue[0].shedding = NULL;
	/* Now its sums are looked at: the payload was written after they had been made. */
	assert_int_equal(poll_queue(&w, 0, pkts), 0);
	assert_false(w.queue[0].full);
	assert_int_equal(w.counters[0][COUNTER_drop_checksum], 1);
	wires_close(&w);
}

/* The worker that traces: only its counters and its trace. */
static void
tracer_open(struct worker *t, struct ipc *ipc, struct wires *w, const char *prefix)
{
	static const struct ipc_options options = {
		.workers = 1,
		.event_cells = 2,
		.request_cells = 2,
		.login_cells = 2,
		.inject_cells = 2,
		.table_cells = 2,
		.sessions_per_worker = 1,
	};
	struct trace_filter f = {.kind = TRACE_ADDRESS, .bytes = 1};
	struct cell c = {.type = INJECT_TRACE, .length = TRACE_FILTERS_MAX * sizeof(f)};
	char path[64];

	memset(t, 0, sizeof(*t));
	snprintf(path, sizeof(path), "%s/rings.shm", getenv("RUNTIME_DIRECTORY"));
	assert_int_equal(ipc_new(ipc, path, &options), 0);
	unlink(path);
	assert_int_equal(prefix_parse(&f.prefix, prefix), 0);
	memcpy(c.data, &f, sizeof(f));
	t->ipc = ipc;
	t->trace.ring = ipc_ring(ipc, IPC_TRACE, 0);
	trace_set(t, &c);
	w->queue[0].counters = t->counters;
	w->queue[0].trace = t;
}

/* The next record is of a frame with so many bytes of payload that ended so. */
static void
traced(const struct worker *t, const uint8_t *from, enum counter end, uint16_t size)
{
	const struct cell *c = ring_front(t->trace.ring);
	const struct cell_trace *r;

	assert_non_null(c);
	r = &c->trace;
	assert_int_equal(r->kind, TRACE_IN);
	assert_int_equal(r->port, 2);
	assert_memory_equal(r->peer.ip + 12, from, 4);
	assert_true(r->counter_count > 0);
	assert_string_equal(counter_info[r->counters[0]].name, counter_info[end].name);
	assert_int_equal(r->size, size);
	assert_int_equal(c->length, size);
	ring_release(t->trace.ring);
}

/* What ends in the link is said there, with its counter; what goes up is left to the worker, and uses nothing of what may be said. */
static void
test_trace(void **state)
{
	static const uint8_t echo[20] = {8};
	struct rte_mbuf *pkts[PORT_BURST];
	static struct worker tracer;
	struct guard guard = {0};
	struct frame_bytes f;
	struct wires w;
	struct ipc ipc;

	(void)state;
	wires_make(&w, 1);
	assert_int_equal(wires_open(&w), 0);
	settle(&w);
	tracer_open(&tracer, &ipc, &w, "10.0.0.0/24");
	frame_udp4(&f, peer_ip4, 40001, our_ip4, 8000, 400);
	wire_send(&w, 0, &f);
	frame_udp4(&f, peer_ip4, 40001, our_ip4, 8001, 399);
	wire_send(&w, 0, &f);
	frame_icmp4(&f, peer_ip4, our_ip4, echo, sizeof(echo));
	wire_send(&w, 0, &f);
	/* nobody asked */
	frame_udp4(&f, far_ip4, 40001, our_ip4, 8001, 100);
	wire_send(&w, 0, &f);
	frame_arp(&f, broadcast_mac, 1, peer_mac, peer_ip4, our_mac, our_ip4);
	wire_send(&w, 0, &f);
	assert_int_equal(poll_queue(&w, 0, pkts), 1);
	assert_int_equal(rte_pktmbuf_data_len(pkts[0]), 400);
	rte_pktmbuf_free(pkts[0]);
	traced(&tracer, peer_ip4, COUNTER_drop_udp_port, 399);
	traced(&tracer, peer_ip4, COUNTER_link_echo, sizeof(echo) - 8);
	assert_null(ring_front(tracer.trace.ring));
	assert_int_equal(tracer.trace.left, TRACE_PER_SECOND - 2);

	/* Behind: LOGINs end before ingress, those that were asked for are said. */
	w.queue[0].shedding = &guard;
	for (unsigned i = 0; i < 4; i++) {
		frame_udp4(&f, i % 2 == 0 ? peer_ip4 : far_ip4, 40001, our_ip4, 8000, 400 + i);
		f.data[42] = WIRE_LOGIN;
		wire_send(&w, 0, &f);
	}
	frame_udp4(&f, peer_ip4, 40001, our_ip4, 8001, 398);
	wire_send(&w, 0, &f);
	assert_int_equal(poll_queue(&w, 0, pkts), 0);
	assert_int_equal(tracer.counters[COUNTER_drop_login_busy], 4);
	traced(&tracer, peer_ip4, COUNTER_drop_login_busy, 400);
	traced(&tracer, peer_ip4, COUNTER_drop_login_busy, 402);
	traced(&tracer, peer_ip4, COUNTER_drop_udp_port, 398);
	assert_null(ring_front(tracer.trace.ring));

	/* Nothing may be said any more: what goes up is not lost here. */
	w.queue[0].shedding = NULL;
	tracer.trace.left = 0;
	frame_udp4(&f, peer_ip4, 40001, our_ip4, 8000, 400);
	wire_send(&w, 0, &f);
	assert_int_equal(poll_queue(&w, 0, pkts), 1);
	rte_pktmbuf_free(pkts[0]);
	assert_int_equal(tracer.trace.lost, 0);
	frame_udp4(&f, peer_ip4, 40001, our_ip4, 8001, 400);
	wire_send(&w, 0, &f);
	assert_int_equal(poll_queue(&w, 0, pkts), 0);
	assert_int_equal(tracer.trace.lost, 1);
	ipc_leave(&ipc);
	wires_close(&w);
}

static void
test_link_is_answered(void **state)
{
	static const uint8_t none[6], echo[20] = {8};
	struct rte_mbuf *pkts[PORT_BURST], *m;
	struct frame_bytes f;
	struct wires w;

	(void)state;
	wires_make(&w, 1);
	assert_int_equal(wires_open(&w), 0);
	settle(&w);
	frame_arp(&f, broadcast_mac, 1, peer_mac, peer_ip4, none, our_ip4);
	wire_send(&w, 1, &f);
	frame_icmp4(&f, peer_ip4, our_ip4, echo, sizeof(echo));
	wire_send(&w, 1, &f);
	assert_int_equal(poll_queue(&w, 1, pkts), 0);
	m = wire_receive(&w, 1);
	assert_non_null(m);
	assert_int_equal(get16(rte_pktmbuf_mtod(m, uint8_t *) + 20), 2);
	assert_memory_equal(rte_pktmbuf_mtod(m, uint8_t *) + 22, w.mac, 6);
	rte_pktmbuf_free(m);
	m = wire_receive(&w, 1);
	assert_non_null(m);
	assert_true(frame_right(rte_pktmbuf_mtod(m, uint8_t *), m->pkt_len));
	rte_pktmbuf_free(m);
	assert_int_equal(w.counters[1][COUNTER_link_arp], 1);
	assert_int_equal(w.counters[1][COUNTER_link_echo], 1);
	wires_close(&w);
}

/* At its first poll, a second and four seconds later the port tells the link who it is; on queue 0 only. */
static void
test_announces(void **state)
{
	static const uint64_t at[] = {0, 999, 1000, 1001, 3999, 4000, 4001, 60000};
	static const bool said[] = {true, false, true, false, false, true, false, false};
	struct rte_mbuf *pkts[PORT_BURST], *m;
	unsigned i, frames, arp;
	struct wires w;

	(void)state;
	wires_make(&w, 1);
	assert_int_equal(wires_open(&w), 0);
	for (i = 0; i < RTE_DIM(at); i++) {
		w.now_ms = 50000 + at[i];
		assert_int_equal(poll_queue(&w, 1, pkts), 0);
		assert_null(wire_receive(&w, 1));
		assert_int_equal(poll_queue(&w, 0, pkts), 0);
		for (frames = arp = 0; (m = wire_receive(&w, 0)) != NULL; frames++) {
			arp += get16(rte_pktmbuf_mtod(m, uint8_t *) + 12) == 0x0806;
			rte_pktmbuf_free(m);
		}
		assert_int_equal(frames, said[i] ? 4 : 0); /* ARP, two addresses of IPv6, multicast report */
		assert_int_equal(arp, said[i]);
	}
	wires_close(&w);
}

static void
test_mld_reports_are_limited(void **state)
{
	static const uint8_t router[16] = {0xfe, 0x80, [15] = 0xfe}, all_nodes[16] = {0xff, 2, [15] = 1};
	static const uint8_t all_nodes_mac[6] = {0x33, 0x33, 0, 0, 0, 1};
	static const uint8_t query[28] = {130};
	struct rte_mbuf *pkts[PORT_BURST], *m;
	unsigned i, reports = 0;
	struct frame_bytes f;
	struct wires w;

	(void)state;
	wires_make(&w, 1);
	assert_int_equal(wires_open(&w), 0);
	settle(&w);
	for (i = 0; i < 20; i++) {
		frame_icmp6(&f, all_nodes_mac, router, all_nodes, 1, query, sizeof(query));
		wire_send(&w, 0, &f);
		assert_int_equal(poll_queue(&w, 0, pkts), 0);
		while ((m = wire_receive(&w, 0)) != NULL) {
			reports++;
			rte_pktmbuf_free(m);
		}
		w.now_ms += 100;
	}
	assert_int_equal(reports, 2);
	assert_int_equal(w.counters[0][COUNTER_link_nd], 20);
	wires_close(&w);
}

/* A full device: what does not fit is counted and freed. */
static void
test_full_device(void **state)
{
	struct rte_mbuf *pkts[100];
	struct rte_ether_addr mac;
	struct frame_bytes f;
	struct wires w;
	unsigned i;

	(void)state;
	wires_make(&w, 1);
	assert_int_equal(wires_open(&w), 0);
	settle(&w);
	memcpy(mac.addr_bytes, peer_mac, 6);
	frame_udp4(&f, peer_ip4, 40001, our_ip4, 8000, 100);
	wire_send(&w, 0, &f);
	assert_int_equal(poll_queue(&w, 0, pkts), 1);
	for (i = 1; i < 100; i++) {
		pkts[i] = rte_pktmbuf_alloc(w.pool[0]);
		*packet_info(pkts[i]) = *packet_info(pkts[0]);
	}
	w.port.ops->tx(&w.queue[0], pkts, 100, w.now_ms);
	assert_int_equal(rte_ring_count(w.wire_out[0]), 63);
	assert_int_equal(w.counters[0][COUNTER_tx_failed], 37);
	wires_close(&w);
}

static void
test_errors(void **state)
{
	char *missing[] = {"net_nosuch0,iface=veth0"};
	struct wires w;

	(void)state;
	wires_make(&w, 1);
	w.config.devices = missing;
	assert_true(wires_open(&w) < 0);
	assert_non_null(strstr(w.error, "port 2: device net_nosuch0,iface=veth0"));
	w.config.devices_count = 0;
	assert_int_equal(wires_open(&w), -EINVAL);
	w.config.devices = w.devices;
	w.config.devices_count = 3;
	assert_int_equal(wires_open(&w), -EINVAL);
	assert_non_null(strstr(w.error, "3 devices for 2 workers"));
	w.config.devices_count = 1;
	w.config.addresses_count = 0;
	assert_int_equal(wires_open(&w), -EINVAL);
	assert_non_null(strstr(w.error, "no address"));
	wires_close(&w);
}

/* A device with fewer queues than workers is refused with both numbers. */
static void
test_too_few_queues(void **state)
{
	struct wires w;

	(void)state;
	wires_make(&w, 2);
	w.config.devices_count = 1;
	assert_int_equal(wires_open(&w), -EINVAL);
	assert_non_null(strstr(w.error, "has 1 queues, dataplane.workers is 2"));
	wires_close(&w);
}

static void
test_describe(void **state)
{
	char text[512], small[16];
	struct wires w;

	(void)state;
	wires_make(&w, 1);
	assert_int_equal(wires_open(&w), 0);
	w.port.ops->describe(&w.port, text, sizeof(text));
	assert_non_null(strstr(text, "10.0.0.1/24"));
	assert_non_null(strstr(text, "fd00::1/64"));
	assert_non_null(strstr(text, "udp port 8000, 2 queues"));
	w.port.ops->describe(&w.port, small, sizeof(small));
	assert_int_equal(strlen(small), sizeof(small) - 1);
	wires_close(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_datagrams),
		cmocka_unit_test(test_device_per_worker),
		cmocka_unit_test(test_full_bursts),
		cmocka_unit_test(test_trace),
		cmocka_unit_test(test_link_is_answered),
		cmocka_unit_test(test_announces),
		cmocka_unit_test(test_mld_reports_are_limited),
		cmocka_unit_test(test_full_device),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_too_few_queues),
		cmocka_unit_test(test_describe),
	};

	return cmocka_run_group_tests(tests, eal_fixture_setup, eal_fixture_teardown);
}
