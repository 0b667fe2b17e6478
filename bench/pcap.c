/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `rookbench pcap`: a capture file of valid pings, one of each session that bench-provision provides, behind the ARP reply of a router at
 * 192.0.2.254, for generators that can only replay: pktgen, tcpreplay, DPDK's net_pcap. The server must run with dataplane.replay_check: false to take them more than once.
 * Format: libpcap's, 2.4, Ethernet, microseconds.
 */
#include "rows.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PCAP_MAGIC 0xa1b2c3d4u
#define PCAP_ETHERNET 1u
#define SNAP_LENGTH 65535u

struct pcap_header {
	uint32_t magic;
	uint16_t major, minor;
	uint32_t zone, accuracy, snap, link;
};

struct pcap_record {
	uint32_t seconds, microseconds, captured, length;
};

static bool
record_write(FILE *f, uint32_t i, struct rte_mbuf *m)
{
	uint32_t length = rte_pktmbuf_data_len(m);
	struct pcap_record r = {.seconds = i / 1000000, .microseconds = i % 1000000, .captured = length, .length = length};
	bool ok = fwrite(&r, sizeof(r), 1, f) == 1 && fwrite(rte_pktmbuf_mtod(m, void *), length, 1, f) == 1;

	rte_pktmbuf_free(m);
	return ok;
}

void
pcap_write(const char *path, const char *server_mac, uint32_t sessions)
{
	struct pcap_header header = {
		.magic = PCAP_MAGIC, .major = 2, .minor = 4, .snap = SNAP_LENGTH, .link = PCAP_ETHERNET};
	struct world w = {.sessions = sessions, .lane_count = 1};
	FILE *f = fopen(path, "wb");
	bool ok;

	if (f == NULL)
		fail("%s: %s", path, strerror(errno));
	if (rte_ether_unformat_addr(server_mac, &w.mac) != 0)
		fail("%s is no MAC address", server_mac);
	w.clients = calloc(sessions, sizeof(*w.clients));
	w.order = calloc(sessions, sizeof(*w.order));
	w.lanes[0].pool = rte_pktmbuf_pool_create("pcap", 63, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, options.memory);
	w.lanes[0].in = rte_ring_create("pcap", 64, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	if (w.clients == NULL || w.order == NULL || w.lanes[0].pool == NULL || w.lanes[0].in == NULL)
		fail("no memory for %u sessions", sessions);
	for (uint32_t i = 0; i < sessions; i++)
		w.order[i] = i;
	shuffle(w.order, sessions);
	ok = fwrite(&header, sizeof(header), 1, f) == 1 && record_write(f, 0, world_make_router(&w, 0));
	for (uint32_t i = 0; i < sessions && ok; i++) {
		void *m;

		world_put_ping(&w, w.order[i]);
		if (rte_ring_dequeue(w.lanes[0].in, &m) != 0)
			fail("a ping was not made");
		ok = record_write(f, i, m);
	}
	if (fclose(f) != 0 || !ok)
		fail("%s: %s", path, strerror(errno));
	printf("%s: %u pings of as many sessions to %s\n", path, sessions, server_mac);
	free(w.clients);
	free(w.order);
}
