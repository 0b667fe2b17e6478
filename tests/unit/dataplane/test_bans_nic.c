/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bans as rules of a port's device. The device is net_ring with a filter in its receive path that this test adds, behind rte_flow: it
 * looks at frames as the rules say, holds so many rules, and refuses what it is told to. A driver that does it is net_tap, on a kernel
 * with the filters for it: tests/e2e/test_guest.c.
 */
#include "dataplane/bans_nic.h"
#include "eal_fixture.h"
#include "frames.h"

#include <errno.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_flow.h>
#include <rte_ring.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- a NIC with filters ---------------------------------------------------------------------- */

struct rte_flow {
	bool used;
	uint16_t ether_type;
	size_t at, len; /* of the source address in the frame */
	uint8_t spec[16], mask[16];
};

static struct {
	struct rte_flow rules[BANS_MAX];
	unsigned capacity, used, created, destroyed;
	int refuses_ipv6; /* errno */
	bool without;     /* no filters at all */
	const struct rte_eth_rxtx_callback *callback;
} nic;

static bool
rule_hits(const struct rte_flow *r, const uint8_t *frame, size_t len)
{
	size_t protocol = r->ether_type == 0x0800 ? 23 : 20;

	if (!r->used || len < r->at + r->len || get16(frame + 12) != r->ether_type || frame[protocol] != 17)
		return false;
	for (size_t i = 0; i < r->len; i++)
		if (((frame[r->at + i] ^ r->spec[i]) & r->mask[i]) != 0)
			return false;
	return true;
}

static uint16_t
nic_filter(uint16_t port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n, uint16_t max, void *arg)
{
	uint16_t kept = 0;

	(void)port, (void)queue, (void)max, (void)arg;
	for (uint16_t i = 0; i < n; i++) {
		bool hit = false;

		for (unsigned k = 0; k < BANS_MAX && !hit && k < nic.created; k++)
			hit = rule_hits(&nic.rules[k], rte_pktmbuf_mtod(pkts[i], uint8_t *), pkts[i]->data_len);
		if (hit)
			rte_pktmbuf_free(pkts[i]);
		else
			pkts[kept++] = pkts[i];
	}
	return kept;
}

static struct rte_flow *
no_rule(int number)
{
	rte_errno = number;
	return NULL;
}

struct rte_flow *
rte_flow_create(uint16_t port, const struct rte_flow_attr *attr, const struct rte_flow_item *pattern,
		const struct rte_flow_action *actions, struct rte_flow_error *error)
{
	bool v6 = pattern[1].type == RTE_FLOW_ITEM_TYPE_IPV6;
	struct rte_flow *r = nic.rules;

	error->message = "says the test";
	if (nic.without)
		return no_rule(ENOSYS);
	/* What is asked for is what this test takes to be a drop of UDP from an address. */
	assert_true(attr->ingress && !attr->egress && !attr->transfer && attr->group == 0);
	assert_int_equal(pattern[0].type, RTE_FLOW_ITEM_TYPE_ETH);
	assert_true(v6 || pattern[1].type == RTE_FLOW_ITEM_TYPE_IPV4);
	assert_int_equal(pattern[2].type, RTE_FLOW_ITEM_TYPE_UDP);
	assert_int_equal(pattern[3].type, RTE_FLOW_ITEM_TYPE_END);
	assert_int_equal(actions[0].type, RTE_FLOW_ACTION_TYPE_DROP);
	assert_int_equal(actions[1].type, RTE_FLOW_ACTION_TYPE_END);
	if (v6 && nic.refuses_ipv6 != 0)
		return no_rule(nic.refuses_ipv6);
	if (v6 != (attr->priority == 1))
		return no_rule(EINVAL); /* as the kernel: one family per priority */
	if (nic.used == nic.capacity)
		return no_rule(ENOSPC);
	while (r->used)
		r++;
	*r = (struct rte_flow){.used = true, .ether_type = v6 ? 0x86dd : 0x0800, .at = v6 ? 22 : 26, .len = v6 ? 16 : 4};
	if (v6) {
		memcpy(r->spec, ((const struct rte_flow_item_ipv6 *)pattern[1].spec)->hdr.src_addr, 16);
		memcpy(r->mask, ((const struct rte_flow_item_ipv6 *)pattern[1].mask)->hdr.src_addr, 16);
	} else {
		memcpy(r->spec, &((const struct rte_flow_item_ipv4 *)pattern[1].spec)->hdr.src_addr, 4);
		memcpy(r->mask, &((const struct rte_flow_item_ipv4 *)pattern[1].mask)->hdr.src_addr, 4);
	}
	if (nic.callback == NULL)
		nic.callback = rte_eth_add_rx_callback(port, 0, nic_filter, NULL);
	nic.used++;
	nic.created++;
	return r;
}

int
rte_flow_destroy(uint16_t port, struct rte_flow *rule, struct rte_flow_error *error)
{
	(void)port, (void)error;
	assert_true(rule->used);
	rule->used = false;
	nic.used--;
	nic.destroyed++;
	return 0;
}

int
rte_flow_flush(uint16_t port, struct rte_flow_error *error)
{
	(void)error;
	for (unsigned i = 0; i < BANS_MAX; i++)
		nic.rules[i].used = false;
	nic.used = 0;
	if (nic.callback != NULL)
		rte_eth_remove_rx_callback(port, 0, nic.callback);
	nic.callback = NULL;
	return 0;
}

/* ---- a port on it, and control's lists ---------------------------------------------------------- */

struct bench {
	struct rte_ring *in, *out;
	struct rte_mempool *pool;
	char device[RTE_ETH_NAME_MAX_LEN];
	char *devices[1];
	struct config_port config;
	struct port port;
	struct port_queue queue;
	uint64_t counters[COUNTER_COUNT];
	uint8_t mac[6];
	uint64_t now_ms;
	struct rte_rcu_qsbr *qsbr;
	struct bans bans;
	struct bans_nic bans_nic;
	struct ipc_bans shared;
	uint64_t version;
};

static struct bench *
bench_new(uint32_t limit, unsigned capacity)
{
	static char *addresses[] = {"10.0.0.1/24", "fd00::1/64"};
	static unsigned number;
	struct bench *b = calloc(1, sizeof(*b));
	struct rte_ether_addr mac;
	char name[32], error[256];
	int id;

	memset(&nic, 0, sizeof(nic));
	nic.capacity = capacity;
	snprintf(name, sizeof(name), "nic-in%u", number);
	b->in = rte_ring_create(name, 64, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	snprintf(name, sizeof(name), "nic-out%u", number);
	b->out = rte_ring_create(name, 64, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	snprintf(name, sizeof(name), "nic%u", number++);
	b->pool = rte_pktmbuf_pool_create(name, 511, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	id = rte_eth_from_rings(name, &b->in, 1, &b->out, 1, 0);
	assert_true(b->pool != NULL && id >= 0);
	assert_int_equal(rte_eth_dev_get_name_by_port((uint16_t)id, b->device), 0);
	assert_int_equal(rte_eth_macaddr_get((uint16_t)id, &mac), 0);
	memcpy(b->mac, mac.addr_bytes, 6);
	b->devices[0] = b->device;
	b->config = (struct config_port){.type = PORT_ETHDEV, .devices = b->devices, .devices_count = 1, .addresses = addresses,
					 .addresses_count = 2, .udp_port = 8000, .mtu = 1500};
	assert_int_equal(port_open(&b->port, &b->config, 0, 1, &b->pool, error, sizeof(error)), 0);
	b->queue = (struct port_queue){.port = &b->port, .pool = b->pool, .counters = b->counters};
	b->now_ms = 50000;
	b->qsbr = aligned_alloc(RTE_CACHE_LINE_SIZE, rte_rcu_qsbr_get_memsize(1));
	assert_int_equal(rte_rcu_qsbr_init(b->qsbr, 1), 0);
	assert_int_equal(bans_nic_init(&b->bans_nic, &b->port, 1, limit, &b->shared), 0);
	return b;
}

static void
bench_free(struct bench *b)
{
	void *m;

	port_close(&b->port);
	while (rte_ring_dequeue(b->out, &m) == 0)
		rte_pktmbuf_free(m);
	assert_int_equal(nic.used, 0); /* nothing stays behind in the device */
	bans_nic_fini(&b->bans_nic);
	bans_fini(&b->bans);
	assert_int_equal(rte_mempool_in_use_count(b->pool), 0);
	rte_mempool_free(b->pool);
	rte_ring_free(b->in);
	rte_ring_free(b->out);
	free(b->qsbr);
	free(b);
}

static void
list_part(struct bench *b, bool first, bool last, const struct prefix *list, unsigned n)
{
	struct cell c = {.type = TABLE_BANS, .length = (uint16_t)(n * sizeof(*list))};

	if (first)
		b->version++;
	c.bans = (struct cell_bans){.version = b->version, .first = first, .last = last, .count = (uint16_t)n};
	if (n != 0)
		memcpy(c.data, list, n * sizeof(*list));
	assert_true(cell_valid(&c));
	bans_reclaim(&b->bans, b->qsbr);
	assert_int_equal(bans_apply(&b->bans, &c, b->qsbr), 0);
}

/* Until nothing is left to do; returns in how many polls. */
static unsigned
settle(struct bench *b)
{
	unsigned polls = 0, done;

	while ((done = bans_nic_poll(&b->bans_nic, &b->bans)) != 0) {
		assert_in_range(done, 1, BANS_NIC_BURST);
		polls++;
	}
	return polls;
}

/* In the order of prefixes, as control has them. */
static void
ban(struct bench *b, const char *const *texts)
{
	struct prefix list[16];
	unsigned n = 0;

	for (; texts[n] != NULL; n++)
		assert_int_equal(prefix_parse(&list[n], texts[n]), 0);
	list_part(b, true, true, list, n);
	settle(b);
	assert_int_equal(atomic_load(&b->shared.version), b->version);
	assert_int_equal(atomic_load(&b->shared.ports), 1);
}

#define BAN(b, ...) ban(b, (const char *const[]){__VA_ARGS__, NULL})

/* 10.0.1.x, x from 1: control's order. */
static void
ban_many(struct bench *b, unsigned n)
{
	struct prefix *list = calloc(n, sizeof(*list));
	char text[32];
	unsigned at;

	for (unsigned i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "10.0.%u.%u", 1 + i / 256, i % 256);
		assert_int_equal(prefix_parse(&list[i], text), 0);
	}
	for (at = 0; at < n; at += CELL_BANS_MAX)
		list_part(b, at == 0, at + CELL_BANS_MAX >= n, list + at, RTE_MIN(n - at, (unsigned)CELL_BANS_MAX));
	free(list);
}

/* Does it come through the device? */
static bool
arrives(struct bench *b, const uint8_t *ip, bool v6)
{
	struct rte_mbuf *pkts[PORT_BURST], *m = rte_pktmbuf_alloc(b->pool);
	struct frame_bytes f;
	uint16_t n;

	if (v6)
		frame_udp6(&f, ip, 40001, our_ip6, 8000, 100);
	else
		frame_udp4(&f, ip, 40001, our_ip4, 8000, 100);
	memcpy(f.data, b->mac, 6);
	memcpy(rte_pktmbuf_append(m, (uint16_t)f.len), f.data, f.len);
	assert_int_equal(rte_ring_enqueue(b->in, m), 0);
	n = b->port.ops->rx(&b->queue, pkts, PORT_BURST, b->now_ms);
	rte_pktmbuf_free_bulk(pkts, n);
	return n == 1;
}

#define ARRIVES4(b, ...) arrives(b, (const uint8_t[]){__VA_ARGS__}, false)
#define ARRIVES6(b, last) arrives(b, (const uint8_t[16]){0xfd, [15] = last}, true)

/* ---- tests ------------------------------------------------------------------------------------ */

static void
the_device_drops(void **state)
{
	struct bench *b = bench_new(100, 100);

	(void)state;
	assert_true(ARRIVES4(b, 10, 0, 0, 2));
	BAN(b, "10.0.0.2", "10.0.0.64/26", "fd00::8/125");
	assert_int_equal(bans_nic_held(&b->bans_nic), 3);
	assert_false(ARRIVES4(b, 10, 0, 0, 2));
	assert_true(ARRIVES4(b, 10, 0, 0, 3));
	assert_true(ARRIVES4(b, 10, 0, 0, 63));
	assert_false(ARRIVES4(b, 10, 0, 0, 64));
	assert_false(ARRIVES4(b, 10, 0, 0, 127));
	assert_true(ARRIVES4(b, 10, 0, 0, 128));
	assert_true(ARRIVES6(b, 7));
	assert_false(ARRIVES6(b, 8));
	assert_false(ARRIVES6(b, 15));
	assert_true(ARRIVES6(b, 16));
	assert_int_equal(b->counters[COUNTER_rx_packets], 6);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(atomic_load(&b->shared.nic[i]), 1);
	/* One goes: the others keep their rules. */
	BAN(b, "10.0.0.2", "fd00::8/125");
	assert_int_equal(nic.created, 3);
	assert_int_equal(nic.destroyed, 1);
	assert_true(ARRIVES4(b, 10, 0, 0, 64));
	assert_false(ARRIVES4(b, 10, 0, 0, 2));
	assert_false(ARRIVES6(b, 8));
	/* Another comes before them. */
	BAN(b, "10.0.0.1", "10.0.0.2", "fd00::8/125");
	assert_int_equal(nic.created, 4);
	assert_int_equal(nic.destroyed, 1);
	list_part(b, true, true, NULL, 0);
	settle(b);
	assert_int_equal(nic.used, 0);
	assert_true(ARRIVES4(b, 10, 0, 0, 2));
	bench_free(b);
}

/* The neighbour is known still: a ban is of datagrams. */
static void
arp_goes_on(void **state)
{
	static const uint8_t none[6];
	struct bench *b = bench_new(100, 100);
	struct rte_mbuf *pkts[PORT_BURST], *m = rte_pktmbuf_alloc(b->pool);
	struct frame_bytes f;

	(void)state;
	BAN(b, "10.0.0.0/24");
	frame_arp(&f, broadcast_mac, 1, peer_mac, peer_ip4, none, our_ip4);
	memcpy(rte_pktmbuf_append(m, (uint16_t)f.len), f.data, f.len);
	assert_int_equal(rte_ring_enqueue(b->in, m), 0);
	assert_int_equal(b->port.ops->rx(&b->queue, pkts, PORT_BURST, b->now_ms), 0);
	assert_int_equal(b->counters[COUNTER_link_arp], 1);
	bench_free(b);
}

/* What the device does not take is the workers': counted, and asked again when a rule has gone. */
static void
a_device_refuses(void **state)
{
	struct bench *b = bench_new(100, 2);

	(void)state;
	BAN(b, "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4");
	assert_int_equal(bans_nic_held(&b->bans_nic), 2);
	assert_int_equal(b->bans_nic.refused, 2);
	assert_int_equal(atomic_load(&b->shared.nic[1]), 1);
	assert_int_equal(atomic_load(&b->shared.nic[2]), 0);
	/* One more ban is no reason to ask for those again. */
	BAN(b, "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5");
	assert_int_equal(b->bans_nic.refused, 3);
	BAN(b, "10.0.0.1", "10.0.0.3", "10.0.0.4", "10.0.0.5");
	assert_int_equal(bans_nic_held(&b->bans_nic), 2);
	assert_int_equal(atomic_load(&b->shared.nic[1]), 1);
	assert_false(ARRIVES4(b, 10, 0, 0, 3));
	assert_true(ARRIVES4(b, 10, 0, 0, 4));
	bench_free(b);
	b = bench_new(100, 100);
	nic.refuses_ipv6 = ENOTSUP;
	BAN(b, "10.0.0.1", "fd00::8/125");
	assert_int_equal(bans_nic_held(&b->bans_nic), 1);
	assert_int_equal(b->bans_nic.refused, 1);
	assert_true(ARRIVES6(b, 8));
	bench_free(b);
}

static void
a_device_without(void **state)
{
	struct bench *b = bench_new(100, 100);

	(void)state;
	nic.without = true;
	BAN(b, "10.0.0.1", "10.0.0.2");
	assert_true(b->bans_nic.unable[0]);
	assert_int_equal(b->bans_nic.refused, 0);
	nic.without = false; /* as it said it never would, it is not asked again */
	BAN(b, "10.0.0.1", "10.0.0.2", "10.0.0.3");
	assert_int_equal(nic.created, 0);
	bench_free(b);
	b = bench_new(0, 100);
	BAN(b, "10.0.0.1");
	assert_int_equal(nic.created, 0);
	bench_free(b);
}

static void
so_many_and_a_few_at_a_time(void **state)
{
	struct bench *b = bench_new(1000, BANS_MAX);

	(void)state;
	ban_many(b, 2000);
	assert_int_equal(settle(b), (1000 + BANS_NIC_BURST - 1) / BANS_NIC_BURST);
	assert_int_equal(bans_nic_held(&b->bans_nic), 1000);
	assert_int_equal(b->bans_nic.refused, 0);
	assert_false(ARRIVES4(b, 10, 0, 1, 0));
	assert_true(ARRIVES4(b, 10, 0, 5, 0));
	/* A list that comes while the one before is being taken out of the device waits. */
	list_part(b, true, true, NULL, 0);
	assert_int_equal(bans_nic_poll(&b->bans_nic, &b->bans), BANS_NIC_BURST);
	ban_many(b, 10);
	assert_int_equal(bans_nic_poll(&b->bans_nic, &b->bans), BANS_NIC_BURST);
	settle(b);
	assert_int_equal(bans_nic_held(&b->bans_nic), 10);
	assert_int_equal(nic.used, 10);
	/* Half a list is none. */
	list_part(b, true, false, NULL, 0);
	settle(b);
	assert_int_equal(nic.used, 10);
	assert_int_equal(atomic_load(&b->shared.version), b->version - 1);
	bench_free(b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_device_drops),	  cmocka_unit_test(arp_goes_on),
		cmocka_unit_test(a_device_refuses),	  cmocka_unit_test(a_device_without),
		cmocka_unit_test(so_many_and_a_few_at_a_time),
	};

	return cmocka_run_group_tests_name("bans_nic", tests, eal_fixture_setup, eal_fixture_teardown);
}
