/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A frame into an ethdev port, and an answer back out. The first byte of the input chooses what the device
 * says and what the link is; the rest is the frame, in a buffer that ends where the frame ends.
 */
#include "fuzz.h"

#include "../unit/dataplane/eal_fixture.h"
#include "dataplane/checksum.h"
#include "dataplane/egress.h"
#include "dataplane/ingress.h"
#include "shared/counters.h"
#include "shared/wire.h"

#include <netinet/in.h>
#include <rte_malloc.h>
#include <string.h>

#define MODE_FIX 0x01      /* put the checksums right, which a fuzzer seldom finds */
#define MODE_GOOD 0x02     /* the device says that checksums are good */
#define MODE_TRUST 0x04    /* and is believed */
#define MODE_PARTIAL 0x08
#define MODE_GATEWAY 0x10
#define MODE_TAILROOM 0x20 /* room behind the frame: an advertisement may be longer than its request */
#define MODE_VLAN 0x40
#define MODE_ANNOUNCE 0x80 /* the port says who it is, as at its start */

#define ADVERTISEMENT_SIZE 86
#define FRAME_MAX 1600

static struct iface iface[2]; /* with and without gateways */
static struct rte_mempool *pool;
static struct neighbor_table *neighbors;
static uint64_t counters[COUNTER_COUNT];
static uint64_t now_ms = 1000000;

static void
start(void)
{
	static char *addresses[] = {"10.0.0.1/24", "fd00::1/64", "10.0.1.1/24"};
	struct config_port c = {.type = PORT_ETHDEV,
				.addresses = addresses,
				.addresses_count = 3,
				.udp_port = 8000,
				.mtu = 1500};
	static const struct rte_ether_addr mac = {{0x02, 0, 0, 0, 0, 0x01}};
	char error[256];

	FUZZ_CHECK(eal_fixture_start() == 0);
	atexit(eal_fixture_end);
	FUZZ_CHECK(iface_init(&iface[0], &c, &mac, error, sizeof(error)) == 0);
	c.gateway = "10.0.0.254";
	c.gateway6 = "fd00::fe";
	FUZZ_CHECK(iface_init(&iface[1], &c, &mac, error, sizeof(error)) == 0);
	pool = rte_pktmbuf_pool_create("fuzz", 63, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	neighbors = neighbor_table_new(SOCKET_ID_ANY);
	FUZZ_CHECK(pool != NULL && neighbors != NULL);
}

/* Checksums of an IPv4 header without options and of UDP, ICMP or ICMPv6 right behind the IP header. */
static void
fix_checksums(uint8_t *p, size_t size)
{
	bool ipv4 = size >= 34 && p[12] == 0x08 && p[13] == 0 && p[14] == 0x45;
	size_t at = ipv4 ? 34 : 54, address = ipv4 ? 4 : 16, field, len;
	uint8_t proto;
	uint16_t sum;

	if (size < at)
		return;
	proto = p[ipv4 ? 23 : 20];
	if (ipv4) {
		memset(p + 24, 0, 2);
		sum = checksum_make(p + 14, 20, 0);
		memcpy(p + 24, &sum, 2);
		len = (size_t)(p[16] << 8 | p[17]) - 20;
	} else {
		len = (size_t)(p[18] << 8 | p[19]);
	}
	field = proto == IPPROTO_UDP ? 6 : 2;
	if (len > size - at || len < field + 2)
		return;
	memset(p + at + field, 0, 2);
	sum = proto == IPPROTO_ICMP ? 0
				    : checksum_pseudo(p + at - 2 * address, p + at - address, address, proto,
						      (uint16_t)len);
	sum = checksum_make(p + at, len, sum);
	memcpy(p + at + field, &sum, 2);
}

static void
buffer_free(void *buffer, void *opaque)
{
	(void)opaque;
	free(buffer);
}

/* An mbuf whose buffer is on the heap, so that the address sanitizer sees a read beyond the frame. */
static struct rte_mbuf *
frame_mbuf(uint8_t mode, const uint8_t *data, size_t size)
{
	size_t cap = RTE_PKTMBUF_HEADROOM + size + ((mode & MODE_TAILROOM) != 0 ? 64 : 0);
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	static struct rte_mbuf_ext_shared_info shared;
	uint8_t *buffer = malloc(cap);

	FUZZ_CHECK(m != NULL && buffer != NULL);
	shared.free_cb = buffer_free;
	shared.fcb_opaque = NULL;
	rte_mbuf_ext_refcnt_set(&shared, 1);
	rte_pktmbuf_attach_extbuf(m, buffer, 0, (uint16_t)cap, &shared);
	m->data_off = RTE_PKTMBUF_HEADROOM;
	m->data_len = (uint16_t)size;
	m->pkt_len = (uint32_t)size;
	if (size > 0)
		memcpy(buffer + RTE_PKTMBUF_HEADROOM, data, size);
	if ((mode & MODE_FIX) != 0)
		fix_checksums(buffer + RTE_PKTMBUF_HEADROOM, size);
	if ((mode & MODE_GOOD) != 0)
		m->ol_flags |= RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	if ((mode & MODE_VLAN) != 0) {
		m->ol_flags |= RTE_MBUF_F_RX_VLAN;
		m->vlan_tci = data != NULL && size > 0 ? data[size - 1] : 0;
	}
	return m;
}

static uint64_t
ends(void)
{
	uint64_t sum = counters[COUNTER_link_arp] + counters[COUNTER_link_nd] + counters[COUNTER_link_echo];

	for (unsigned i = COUNTER_drop_link_not_ours; i < COUNTER_COUNT; i++)
		sum += counters[i];
	return sum;
}

/* As port_ethdev.c does: what an interface says of its own accord, or because a router asked. */
static void
announce(const struct iface *f, bool query_seen)
{
	struct rte_mbuf *m;
	bool more = true;

	for (unsigned i = 0; more; i++) {
		m = rte_pktmbuf_alloc(pool);
		FUZZ_CHECK(m != NULL && i < 2 * IFACE_ADDRESS_MAX);
		more = neighbor_announce(f, m, i);
		FUZZ_CHECK(!more || (m->data_len == m->pkt_len && m->data_len > 0 && m->data_len <= f->mtu));
		rte_pktmbuf_free(m);
	}
	if (!query_seen)
		return;
	m = rte_pktmbuf_alloc(pool);
	FUZZ_CHECK(m != NULL && neighbor_mld_report(f, m, false));
	rte_pktmbuf_free(m);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rte_mbuf *pkts[1], *extra[1];
	uint64_t before;
	struct iface *f;
	struct link_queue l;
	uint16_t n, extra_count;
	uint8_t mode;

	if (pool == NULL)
		start();
	if (size == 0 || size > FRAME_MAX)
		return 0;
	mode = *data++;
	size--;
	f = &iface[(mode & MODE_GATEWAY) != 0];
	f->trust_rx_checksum = (mode & MODE_TRUST) != 0;
	f->partial_checksum = (mode & MODE_PARTIAL) != 0;
	l = (struct link_queue){.iface = f, .neighbors = neighbors, .pool = pool, .counters = counters};
	now_ms += 250;

	before = ends();
	pkts[0] = frame_mbuf(mode, data, size);
	n = ingress_burst(&l, pkts, 1, extra, &extra_count, now_ms);
	FUZZ_CHECK(n + (ends() - before) == 1 && n + extra_count <= 1);
	if (extra_count > 0) {
		FUZZ_CHECK(extra[0]->pkt_len <= size || extra[0]->pkt_len == ADVERTISEMENT_SIZE);
		FUZZ_CHECK(extra[0]->pkt_len == extra[0]->data_len);
		rte_pktmbuf_free(extra[0]);
	}
	if (n > 0) {
		FUZZ_CHECK(pkts[0]->data_len <= WIRE_DATAGRAM_MAX && pkts[0]->data_len == pkts[0]->pkt_len);
		FUZZ_CHECK(pkts[0]->data_off + pkts[0]->data_len <= RTE_PKTMBUF_HEADROOM + size);
		FUZZ_CHECK(packet_info(pkts[0])->local != 0 && packet_info(pkts[0])->peer.port != 0);
		/* an answer can always be sent: the packet taught the way */
		n = egress_burst(&l, pkts, 1, extra, &extra_count, now_ms);
		FUZZ_CHECK(n == 1);
		rte_pktmbuf_free_bulk(pkts, n);
		rte_pktmbuf_free_bulk(extra, extra_count);
	}
	if ((mode & MODE_ANNOUNCE) != 0)
		announce(f, l.mld_query_seen);
	FUZZ_CHECK(rte_mempool_in_use_count(pool) == 0);
	return 0;
}
