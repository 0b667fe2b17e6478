/* SPDX-License-Identifier: BSD-3-Clause */
/* A worker on a net_ring device behind the real ethdev port, and the clock that runs only while it does. */
#include "bench.h"

#include <errno.h>
#include <pthread.h>
#include <rte_arp.h>
#include <rte_cycles.h>
#include <rte_eth_ring.h>
#include <rte_ip.h>
#include <rte_malloc.h>
#include <rte_udp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POOL_PACKETS 40959u /* a phase, what it sends, and as many that rest: packets come back cold, as from a NIC */
#define WIRE_SIZE 32768u
#define MESSAGES 32768u      /* two phases under way, within the three quarters that users may have */
#define ITERATIONS_MAX 1024u
#define KERNEL_FACTOR 4

static char *addresses[] = {"192.0.2.1/24"};

/* ---- making ------------------------------------------------------------------------- */

static void *
need(void *p, const char *what)
{
	if (p == NULL)
		fail("no memory for %s; give more with --memory or fewer sessions with --sessions", what);
	return p;
}

static void
config_make(struct world *w, const struct world_shape *shape)
{
	char error[256];

	if (config_load(&w->config, NULL, "/tmp", error, sizeof(error)) != 0)
		fail("%s", error);
	w->config->dataplane.sessions = w->sessions;
	w->config->dataplane.messages = MESSAGES;
	w->config->dataplane.users = w->sessions;
	w->config->dataplane.conversations = shape->pings_only ? 64 : w->sessions;
	if (shape->timeout_ms != 0)
		w->config->session.timeout_ms = shape->timeout_ms;
	w->port_config = (struct config_port){
		.type = PORT_ETHDEV,
		.devices = w->devices,
		.devices_count = 1,
		.addresses = addresses,
		.addresses_count = 1,
		.gateway = "192.0.2.254",
		.udp_port = 8000,
		.mtu = 1500,
		.checksum_offload = true,
	};
}

static void
ipc_make(struct world *w)
{
	struct ipc_options o = {
		.workers = w->lane_count,
		.event_cells = 16384,
		.request_cells = 1024,
		.login_cells = 16,
		.inject_cells = 1024,
		.table_cells = 16,
		.sessions_per_worker = (w->sessions + w->lane_count - 1) / w->lane_count,
	};
	char path[128];
	int rc;

	strcpy(w->dir, "/tmp/rookbench-XXXXXX");
	need(mkdtemp(w->dir), "a folder in /tmp");
	snprintf(path, sizeof(path), "%s/rings.shm", w->dir);
	rc = ipc_new(&w->ipc, path, &o);
	if (rc != 0)
		fail("rings at %s: %s", path, strerror(-rc));
}

/* The pool hands mbufs out in the order in which they came back; at first that is their order in memory. */
static void
pool_shuffle(struct rte_mempool *pool)
{
	struct rte_mbuf **all = need(calloc(POOL_PACKETS, sizeof(*all)), "packets");
	uint32_t *order = need(calloc(POOL_PACKETS, sizeof(*order)), "packets");

	for (uint32_t i = 0; i < POOL_PACKETS; i++) {
		all[i] = need(rte_pktmbuf_alloc(pool), "packets");
		order[i] = i;
	}
	shuffle(order, POOL_PACKETS);
	for (uint32_t i = 0; i < POOL_PACKETS; i++)
		rte_pktmbuf_free(all[order[i]]);
	free(order);
	free(all);
}

static struct rte_ring *
wire_make(const char *direction, unsigned serial)
{
	char name[RTE_RING_NAMESIZE];

	snprintf(name, sizeof(name), "wire_%s%u", direction, serial);
	return need(rte_ring_create(name, WIRE_SIZE, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ), "the wire");
}

static void
device_make(struct world *w)
{
	static unsigned serial;
	struct rte_ring *in[LANES_MAX], *out[LANES_MAX];
	struct rte_mempool *pools[LANES_MAX];
	char name[RTE_ETH_NAME_MAX_LEN], error[256];
	int id;

	for (unsigned i = 0; i < w->lane_count; i++, serial++) {
		snprintf(name, sizeof(name), "packets%u", serial);
		pools[i] = need(rte_pktmbuf_pool_create(name, POOL_PACKETS, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, options.memory),
				"packets");
		w->lanes[i].pool = pools[i];
		w->lanes[i].in = in[i] = wire_make("in", serial);
		w->lanes[i].out = out[i] = wire_make("out", serial);
	}
	snprintf(name, sizeof(name), "bench%u", serial);
	id = rte_eth_from_rings(name, in, w->lane_count, out, w->lane_count, 0);
	if (id < 0 || rte_eth_dev_get_name_by_port((uint16_t)id, w->device_name) != 0 ||
	    rte_eth_macaddr_get((uint16_t)id, &w->mac) != 0)
		fail("no net_ring device; is DPDK's librte_net_ring installed?");
	w->device = (uint16_t)id;
	w->devices[0] = w->device_name;
	if (port_open(&w->port, &w->port_config, 0, (uint16_t)w->lane_count, pools, error, sizeof(error)) != 0)
		fail("%s", error);
	for (unsigned i = 0; i < w->lane_count; i++)
		pool_shuffle(pools[i]);
}

static void
workers_make(struct world *w, uint32_t active)
{
	char error[256], path[128];
	int rc;

	for (unsigned i = 0; i < w->lane_count; i++) {
		struct worker_options o = {
			.config = w->config,
			.ipc = &w->ipc,
			.tables = w->tables,
			.index = i,
			.workers = w->lane_count,
			.numa_node = options.memory,
			.pool = w->lanes[i].pool,
			.ports = &w->port,
			.port_count = 1,
			.activities = active,
		};

		if (worker_new(&w->workers[i], &o, error, sizeof(error)) != 0)
			fail("%s", error);
		tables_reader_online(w->tables, i);
	}
	worker_connect(w->workers, w->lane_count);
	snprintf(path, sizeof(path), "%s/doorbell", w->dir);
	rc = housekeeping_new(&w->housekeeping, &w->ipc, w->tables, w->workers, w->lane_count, path);
	if (rc != 0)
		fail("housekeeping: %s", strerror(-rc));
}

/* ---- sessions ----------------------------------------------------------------------- */

static bool
provisioned(const struct world *w)
{
	for (unsigned i = 0; i < w->lane_count; i++)
		if (ring_used(ipc_ring(&w->ipc, IPC_INJECT, i)) != 0)
			return false;
	return true;
}

static void
sessions_provision(struct world *w)
{
	uint32_t live = 0;

	for (uint32_t i = 0; i < w->sessions;) {
		const struct cell_ring *inject = ipc_ring(&w->ipc, IPC_INJECT, i % w->lane_count);
		struct cell *c = ring_reserve(inject);

		if (c == NULL) {
			world_poll(w);
			continue;
		}
		memset(c, 0, offsetof(struct cell, data));
		c->type = INJECT_SESSION_ADD;
		c->session_add = (struct cell_session_add){.sid = load_session(w, i), .user = i + 1, .device = i + 1};
		load_keys(i, &c->session_add.keys);
		load_address(i, &c->session_add.peer);
		ring_publish(inject);
		i++;
	}
	while (!provisioned(w))
		world_poll(w);
	for (unsigned i = 0; i < w->lane_count; i++)
		live += w->workers[i]->sessions.live;
	if (live != w->sessions)
		fail("%u sessions of %u are live", live, w->sessions);
}

/* Each client lives alone behind its user, and knows its neighbour in the random order. */
static void
users_provision(struct world *w, bool verdicts)
{
	struct cell user = {.type = TABLE_USER_SET};
	struct cell verdict = {.type = TABLE_VERDICT_SET};

	for (uint32_t i = 0; i < w->sessions; i++) {
		user.user = (struct cell_user){.user = i + 1, .live_count = 1, .live = {{.sid = load_session(w, i), .device = i + 1}}};
		if (tables_apply(w->tables, &user) != 0)
			fail("the tables do not take %u users", w->sessions);
		if (!verdicts)
			continue;
		verdict.verdict = (struct cell_verdict){.from = i + 1, .to = load_buddy(w, i) + 1, .verdict = VERDICT_ALLOWED};
		if (tables_apply(w->tables, &verdict) != 0)
			fail("the tables do not take %u verdicts", w->sessions);
	}
}

/* The first packet of a session makes an event for control: not what a running server does all day. */
static void
sessions_heard(struct world *w)
{
	for (uint32_t i = 0; i < w->sessions;) {
		for (uint32_t n = 0; n < PHASE && i < w->sessions; n++, i++)
			world_put_ping(w, i);
		world_run(w);
		world_collect(w);
		world_control(w);
	}
	world_check(w);
}

/* Neighbours are buddies: in the order drawn, or of one lane, or of two. */
static void
order_make(struct world *w, enum crossing crossing)
{
	uint32_t *drawn = w->place, next[LANES_MAX] = {0}, n = w->lane_count;

	for (uint32_t i = 0; i < w->sessions; i++)
		w->order[i] = i;
	shuffle(w->order, w->sessions);
	if (n > 1 && crossing != CROSSING_DRAWN) {
		memcpy(drawn, w->order, w->sessions * sizeof(*drawn));
		for (uint32_t i = 0; i < w->sessions; i++) {
			uint32_t lane = drawn[i] % n, k = next[lane]++;

			w->order[crossing == CROSSING_ALL ? 2 * k + lane : 4 * (k / 2) + 2 * lane + k % 2] = drawn[i];
		}
	}
	for (uint32_t i = 0; i < w->sessions; i++)
		w->place[w->order[i]] = i;
}

static void
clients_make(struct world *w, enum crossing crossing)
{
	w->clients = need(calloc(w->sessions, sizeof(*w->clients)), "clients");
	w->order = need(calloc(w->sessions, sizeof(*w->order)), "clients");
	w->place = need(calloc(w->sessions, sizeof(*w->place)), "clients");
	w->acks = need(calloc(2 * PHASE, sizeof(*w->acks)), "acknowledgements");
	order_make(w, crossing);
}

void
world_open(struct world *w, const struct world_shape *shape)
{
	memset(w, 0, sizeof(*w));
	w->lane_count = RTE_MAX(shape->lanes, 1u);
	if (w->lane_count > LANES_MAX || shape->sessions % (2 * w->lane_count) != 0)
		fail("%u sessions for %u workers: an even number for each, please", shape->sessions, w->lane_count);
	w->sessions = shape->sessions;
	w->sequence = 1;
	w->now_us = 1000000;
	if (!shape->pings_only)
		clients_make(w, shape->crossing);
	config_make(w, shape);
	ipc_make(w);
	w->tables = need(tables_new(w->config, w->lane_count, options.memory), "users and verdicts");
	device_make(w);
	workers_make(w, shape->active != 0 ? shape->active : w->sessions);
	sessions_provision(w);
	users_provision(w, !shape->pings_only);
	world_router(w);
	sessions_heard(w);
}

void
world_close(struct world *w)
{
	char path[128];

	world_discard(w);
	housekeeping_free(w->housekeeping);
	for (unsigned i = 0; i < w->lane_count; i++) {
		tables_reader_offline(w->tables, i);
		worker_free(w->workers[i]);
	}
	port_close(&w->port);
	for (unsigned i = 0; i < w->lane_count; i++) {
		struct lane *l = &w->lanes[i];

		if (rte_mempool_in_use_count(l->pool) != 0)
			fail("%u packets were lost", rte_mempool_in_use_count(l->pool));
		rte_mempool_free(l->pool);
		rte_ring_free(l->in);
		rte_ring_free(l->out);
	}
	tables_free(w->tables);
	snprintf(path, sizeof(path), "%s/rings.shm", w->dir);
	ipc_delete(&w->ipc, path);
	rmdir(w->dir);
	config_free(w->config);
	free(w->clients);
	free(w->order);
	free(w->place);
	free(w->acks);
}

/* ---- the clock ---------------------------------------------------------------------- */

void
undisturbed(bool on)
{
	struct sched_param p = {.sched_priority = on ? 1 : 0};

	(void)pthread_setschedparam(pthread_self(), on ? SCHED_FIFO : SCHED_OTHER, &p);
}

static uint64_t
lane_poll(struct world *w, unsigned lane)
{
	static double us_per_cycle;
	static double rest;
	uint64_t start, cycles;

	if (us_per_cycle == 0)
		us_per_cycle = 1e6 / (double)rte_get_tsc_hz();
	start = rte_rdtsc_precise();
	worker_poll(w->workers[lane], w->now_us, WALL_MS + w->now_us / 1000);
	tables_reader_quiescent(w->tables, lane);
	cycles = rte_rdtsc_precise() - start;
	/* when the kernel takes the core away, the world stands still: no retransmissions for that */
	rest += RTE_MIN((double)cycles * us_per_cycle, 100.0) / w->lane_count;
	w->now_us += (uint64_t)rest;
	rest -= (double)(uint64_t)rest;
	return cycles;
}

uint64_t
world_poll(struct world *w)
{
	uint64_t cycles = 0;

	for (unsigned i = 0; i < w->lane_count; i++)
		cycles += lane_poll(w, i);
	return cycles;
}

static int
compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* The sum, where an iteration of more than KERNEL_FACTOR times the median counts as the median: there the kernel (or the
 * hypervisor) had the core. The work of a phase is spread evenly, so no iteration of our own is that long. */
uint64_t
sum_without_kernel(const uint64_t *cycles, uint32_t n)
{
	uint64_t *sorted = need(malloc((n + 1) * sizeof(*sorted)), "figures");
	uint64_t sum = 0, median;

	memcpy(sorted, cycles, n * sizeof(*cycles));
	qsort(sorted, n, sizeof(sorted[0]), compare);
	median = n != 0 ? sorted[n / 2] : 0;
	for (uint32_t i = 0; i < n; i++)
		sum += cycles[i] > KERNEL_FACTOR * median ? median : cycles[i];
	free(sorted);
	return sum;
}

static bool
work_left(const struct world *w)
{
	for (unsigned i = 0; i < w->lane_count; i++)
		if (!rte_ring_empty(w->lanes[i].in) || !rte_ring_empty(w->workers[i]->handoff.ring))
			return true;
	return false;
}

void
world_run(struct world *w)
{
	static uint64_t cycles[LANES_MAX][ITERATIONS_MAX];
	unsigned n = 0;

	undisturbed(true);
	for (; work_left(w) && n < ITERATIONS_MAX; n++)
		for (unsigned i = 0; i < w->lane_count; i++)
			cycles[i][n] = lane_poll(w, i);
	undisturbed(false);
	w->cycles = 0;
	for (unsigned i = 0; i < w->lane_count; i++) {
		w->lanes[i].cycles = sum_without_kernel(cycles[i], n);
		w->cycles = RTE_MAX(w->cycles, w->lanes[i].cycles);
	}
}

/* A name of its own for callgrind's --toggle-collect, and a frame of its own for profilers: no jump at its end. */
__rte_noinline void
world_run_measured(struct world *w)
{
	world_run(w);
	rte_compiler_barrier();
}

/* Addresses and ports change places, as testpmd's 5tswap does it; no checksum needs to change. */
static inline void
swap(struct rte_mbuf *m)
{
	struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, struct rte_ether_hdr *);
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(eth + 1);
	struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(ip + 1);
	struct rte_ether_addr mac = eth->dst_addr;
	rte_be32_t address = ip->dst_addr;
	rte_be16_t port = udp->dst_port;

	eth->dst_addr = eth->src_addr;
	eth->src_addr = mac;
	ip->dst_addr = ip->src_addr;
	ip->src_addr = address;
	udp->dst_port = udp->src_port;
	udp->src_port = port;
}

uint64_t
world_run_reference(struct world *w)
{
	static uint64_t cycles[ITERATIONS_MAX];
	struct rte_mbuf *pkts[PORT_BURST];
	unsigned iterations = 0;

	undisturbed(true);
	while (!rte_ring_empty(w->lanes[0].in) && iterations < ITERATIONS_MAX) {
		uint64_t start = rte_rdtsc_precise();
		uint16_t n = rte_eth_rx_burst(w->device, 0, pkts, PORT_BURST);

		for (uint16_t i = 0; i < n; i++) {
			if (i + 4 < n)
				rte_prefetch0(rte_pktmbuf_mtod(pkts[i + 4], void *));
			swap(pkts[i]);
		}
		if (rte_eth_tx_burst(w->device, 0, pkts, n) != n)
			fail("the wire is full");
		cycles[iterations++] = rte_rdtsc_precise() - start;
	}
	undisturbed(false);
	return sum_without_kernel(cycles, iterations);
}

void
world_control(struct world *w)
{
	for (unsigned i = 0; i < w->lane_count; i++)
		for (int kind = IPC_EVENT; kind <= IPC_LOGIN; kind++) {
			const struct cell_ring *r = ipc_ring(&w->ipc, kind, i);

			ring_release_n(r, ring_used(r));
		}
}

struct rte_mbuf *
world_make_router(struct world *w, uint32_t client)
{
	static const uint8_t gateway[4] = {192, 0, 2, 254}, us[4] = {192, 0, 2, 1};
	struct rte_mbuf *m = need(rte_pktmbuf_alloc(load_lane(w, client)->pool), "packets");
	struct rte_ether_hdr *eth = (void *)rte_pktmbuf_append(m, sizeof(*eth) + sizeof(struct rte_arp_hdr));
	struct rte_arp_hdr *arp = (struct rte_arp_hdr *)(eth + 1);

	memset(eth, 0, sizeof(*eth) + sizeof(*arp));
	eth->dst_addr = w->mac;
	load_router_mac(&eth->src_addr);
	eth->ether_type = RTE_BE16(RTE_ETHER_TYPE_ARP);
	arp->arp_hardware = RTE_BE16(RTE_ARP_HRD_ETHER);
	arp->arp_protocol = RTE_BE16(RTE_ETHER_TYPE_IPV4);
	arp->arp_hlen = RTE_ETHER_ADDR_LEN;
	arp->arp_plen = 4;
	arp->arp_opcode = RTE_BE16(RTE_ARP_OP_REPLY);
	arp->arp_data.arp_sha = eth->src_addr;
	memcpy(&arp->arp_data.arp_sip, gateway, 4);
	arp->arp_data.arp_tha = w->mac;
	memcpy(&arp->arp_data.arp_tip, us, 4);
	return m;
}

void
world_router(struct world *w)
{
	for (unsigned i = 0; i < w->lane_count; i++)
		world_wire(w, i, world_make_router(w, i));
	world_run(w);
}

void
world_wire(struct world *w, uint32_t client, struct rte_mbuf *m)
{
	if (rte_ring_enqueue(load_lane(w, client)->in, m) != 0)
		fail("the wire is full");
}

void
world_discard(struct world *w)
{
	void *m;

	for (unsigned i = 0; i < w->lane_count; i++)
		while (rte_ring_dequeue(w->lanes[i].out, &m) == 0)
			rte_pktmbuf_free(m);
}

static void
worker_check(const struct worker *worker)
{
	static const enum counter never[] = {
		COUNTER_tx_failed,     COUNTER_messages_duplicate, COUNTER_messages_to_store, COUNTER_messages_refused,
		COUNTER_messages_slowed, COUNTER_retransmits,      COUNTER_deliveries_failed, COUNTER_acks_unknown,
		COUNTER_path_challenges, COUNTER_verdict_misses,   COUNTER_sessions_expired,  COUNTER_ring_event_full,
	};
	const uint64_t *c = worker->counters;

	for (unsigned i = 0; i < RTE_DIM(never); i++)
		if (c[never[i]] != 0)
			fail("%s is %lu: the load is not what it should be", counter_info[never[i]].name,
			     (unsigned long)c[never[i]]);
	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		if (counter_info[i].is_drop && c[i] != 0)
			fail("%s is %lu: the load is not what it should be", counter_info[i].name, (unsigned long)c[i]);
	if (c[COUNTER_rx_packets] != c[COUNTER_consumed] + c[COUNTER_link_arp])
		fail("of %lu packets %lu were consumed", (unsigned long)c[COUNTER_rx_packets], (unsigned long)c[COUNTER_consumed]);
}

void
world_check(const struct world *w)
{
	for (unsigned i = 0; i < w->lane_count; i++)
		worker_check(w->workers[i]);
}
