/* SPDX-License-Identifier: BSD-3-Clause */
#include "dataplane/shed.h"

#include "dataplane/guard.h"
#include "dataplane/resume.h"
#include "shared/counters.h"
#include "shared/wire.h"

#include <netinet/in.h>
#include <rte_byteorder.h>
#include <rte_ip.h>
#include <rte_prefetch.h>
#include <rte_udp.h>
#include <string.h>

#define ETHER sizeof(struct rte_ether_hdr)
#define PAYLOAD4 (ETHER + sizeof(struct rte_ipv4_hdr) + sizeof(struct rte_udp_hdr))
#define PAYLOAD6 (ETHER + sizeof(struct rte_ipv6_hdr) + sizeof(struct rte_udp_hdr))

/* Packets to be freed, all to one pool, without another look at them. */
struct waste {
	struct rte_mbuf *m[PORT_BURST];
	unsigned count;
	struct rte_mempool *pool;
};

static void
waste_put(struct waste *w, struct rte_mbuf *m)
{
	/* As a driver frees what it has sent (RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE): such an mbuf needs nothing to be set back. */
	if (likely(m->pool == w->pool && m->nb_segs == 1 && rte_mbuf_refcnt_read(m) == 1 && RTE_MBUF_DIRECT(m)))
		w->m[w->count++] = m;
	else
		rte_pktmbuf_free(m);
}

static void
waste_free(struct waste *w, struct port_queue *q, unsigned dropped)
{
	if (w->count != 0)
		rte_mempool_put_bulk(w->pool, (void **)w->m, w->count);
	q->counters[COUNTER_drop_login_busy] += dropped;
}

/* Of a UDP datagram to us that belongs to no session, in a frame of the plainest form: its payload, with *peer set. NULL for any other
 * frame: ingress will see. */
static inline const uint8_t *
stranger(const struct iface *f, const struct rte_mbuf *m, struct endpoint *peer)
{
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
	const struct rte_ipv4_hdr *ip4 = (const void *)(frame + ETHER);
	const struct rte_ipv6_hdr *ip6 = (const void *)(frame + ETHER);
	const struct rte_udp_hdr *udp;
	const uint8_t *payload;

	if (m->data_len < PAYLOAD6 + WIRE_RUNT || m->nb_segs != 1)
		return NULL;
	switch (((const struct rte_ether_hdr *)frame)->ether_type) {
	case RTE_BE16(RTE_ETHER_TYPE_IPV4):
		if (ip4->version_ihl != RTE_IPV4_VHL_DEF || ip4->next_proto_id != IPPROTO_UDP ||
		    (ip4->fragment_offset & RTE_BE16(RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK)) != 0)
			return NULL;
		payload = frame + PAYLOAD4;
		ip_from_ipv4(peer->ip, &ip4->src_addr);
		break;
	case RTE_BE16(RTE_ETHER_TYPE_IPV6):
		if (ip6->proto != IPPROTO_UDP)
			return NULL;
		payload = frame + PAYLOAD6;
		memcpy(peer->ip, ip6->src_addr, sizeof(peer->ip));
		break;
	default:
		return NULL;
	}
	udp = (const struct rte_udp_hdr *)payload - 1;
	if (udp->dst_port != f->udp_port || payload[0] == WIRE_DATA)
		return NULL;
	peer->port = rte_be_to_cpu_16(udp->src_port);
	return payload;
}

/* A ticket says in itself that it is worth the time, so RESUMEs need no luck. */
static inline bool
admitted(struct guard *g, const struct endpoint *peer, const uint8_t *payload, size_t length)
{
	if (payload[0] == WIRE_RESUME)
		return resume_admit(g->resume, payload, length, g->now_us);
	return guard_admit(g, peer, payload);
}

/* A ticket begins in the frame's second line. */
static inline void
ticket_prefetch(const uint8_t *frame)
{
	if (frame[PAYLOAD4] == WIRE_RESUME || frame[PAYLOAD6] == WIRE_RESUME)
		rte_prefetch0(frame + RTE_CACHE_LINE_SIZE);
}

uint16_t
shed_frames(struct port_queue *q, const struct iface *f, struct rte_mbuf **pkts, uint16_t n)
{
	struct waste w = {.pool = q->pool};
	uint16_t i, kept = 0;

	for (i = 0; i < n; i++)
		rte_prefetch0(pkts[i]);
	for (i = 0; i < n; i++)
		rte_prefetch0(rte_pktmbuf_mtod(pkts[i], const void *));
	for (i = 0; i < n; i++)
		ticket_prefetch(rte_pktmbuf_mtod(pkts[i], const uint8_t *));
	for (i = 0; i < n; i++) {
		const uint8_t *payload;
		struct endpoint peer;

		payload = stranger(f, pkts[i], &peer);
		if (payload != NULL && !admitted(q->shedding, &peer, payload,
						 pkts[i]->data_len - (size_t)(payload - rte_pktmbuf_mtod(pkts[i], const uint8_t *))))
			waste_put(&w, pkts[i]);
		else
			pkts[kept++] = pkts[i];
	}
	q->counters[COUNTER_rx_packets] += (unsigned)(n - kept);
	waste_free(&w, q, (unsigned)(n - kept));
	return kept;
}

uint16_t
shed_datagrams(struct port_queue *q, struct rte_mbuf **pkts, uint16_t n)
{
	struct waste w = {.pool = q->pool};
	uint16_t i, kept = 0;

	for (i = 0; i < n; i++)
		rte_prefetch0(rte_pktmbuf_mtod(pkts[i], const void *));
	for (i = 0; i < n; i++) {
		const uint8_t *payload = rte_pktmbuf_mtod(pkts[i], const uint8_t *);

		if (rte_pktmbuf_data_len(pkts[i]) >= WIRE_RUNT && payload[0] != WIRE_DATA &&
		    !admitted(q->shedding, &packet_info(pkts[i])->peer, payload, rte_pktmbuf_data_len(pkts[i])))
			waste_put(&w, pkts[i]);
		else
			pkts[kept++] = pkts[i];
	}
	waste_free(&w, q, (unsigned)(n - kept));
	return kept;
}
