/* SPDX-License-Identifier: BSD-3-Clause */
#include "dataplane/egress.h"

#include "dataplane/checksum.h"
#include "dataplane/port.h"
#include "shared/counters.h"

#include <netinet/in.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_udp.h>

_Static_assert(sizeof(struct rte_ether_hdr) + sizeof(struct rte_ipv6_hdr) + sizeof(struct rte_udp_hdr) ==
		       PACKET_HEADERS,
	       "IPv6 has the longer header");
_Static_assert(PACKET_HEADROOM >= PACKET_HEADERS, "every packet has room for its headers");

/* The next hop of the packet before: most of a burst goes by the same router. */
struct hop_cache {
	struct ip_address ip;
	struct rte_ether_addr mac;
	bool valid;
};

/* The address to ask the neighbour table for: ip itself or its gateway. NULL: there is neither. */
static const uint8_t *
next_hop(const struct iface *f, const uint8_t *ip)
{
	if (ip_is_ipv4(ip)) {
		if (iface_on_link_ipv4(f, ip_ipv4(ip)))
			return ip;
		return f->has_gateway ? f->gateway.bytes : NULL;
	}
	if (iface_on_link(f, ip))
		return ip;
	return f->has_gateway6 ? f->gateway6.bytes : NULL;
}

/* Sends a request for hop in a frame of its own; best effort. */
static void
ask_again(struct link_queue *l, const uint8_t *hop, const struct rte_ether_addr *mac,
	  struct rte_mbuf **requests, uint16_t *count)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(l->pool);

	if (m == NULL)
		return;
	if (neighbor_solicit(l->iface, m, hop, mac))
		requests[(*count)++] = m;
	else
		rte_pktmbuf_free(m);
}

/* Finds the MAC for a packet to ip by way of hop. False when it cannot go now; *ask: turn it into a request for hop. */
static bool
resolve(struct link_queue *l, const uint8_t *ip, const uint8_t *hop, struct hop_cache *cache, bool *ask,
	struct rte_mbuf **requests, uint16_t *count, uint64_t now_ms)
{
	bool found;

	*ask = false;
	cache->valid = false;
	if (hop == NULL)
		return neighbor_router(l->neighbors, ip_is_ipv4(ip), &cache->mac);
	found = neighbor_lookup(l->neighbors, hop, now_ms, &cache->mac, ask);
	if (found && *ask)
		ask_again(l, hop, &cache->mac, requests, count);
	/* until the gateway answers, the way by which packets come in will do */
	if (!found && hop != ip && neighbor_router(l->neighbors, ip_is_ipv4(ip), &cache->mac)) {
		found = true;
		if (*ask)
			ask_again(l, hop, NULL, requests, count);
	}
	if (found) {
		*ask = false;
		cache->valid = true;
		memcpy(cache->ip.bytes, hop, sizeof(cache->ip.bytes));
	}
	return found;
}

/* What the device has to know. Lengths in one store: they are bit fields, and one written behind another reads what was just
 * written. */
static inline void
offload_write(struct rte_mbuf *m, uint64_t flags, size_t ip_header)
{
	/* what the receiving device said about it holds no more */
	m->ol_flags = (m->ol_flags & (RTE_MBUF_F_EXTERNAL | RTE_MBUF_F_INDIRECT)) | flags;
	m->tx_offload = rte_mbuf_tx_offload(sizeof(struct rte_ether_hdr), ip_header, 0, 0, 0, 0, 0);
}

/* pseudo: sum of the pseudo-header, not folded. Nothing that was written just now is read back: the processor would wait until
 * that, and all before it, has reached the cache. */
static inline void
udp_write(struct rte_udp_hdr *udp, const struct iface *f, uint16_t peer_port, uint16_t len, uint32_t pseudo)
{
	rte_be16_t dst_port = rte_cpu_to_be_16(peer_port), dgram_len = rte_cpu_to_be_16(len), sum;

	udp->src_port = f->udp_port;
	udp->dst_port = dst_port;
	udp->dgram_len = dgram_len;
	if (f->tx_offloads & RTE_ETH_TX_OFFLOAD_UDP_CKSUM) {
		udp->dgram_cksum = checksum_fold(pseudo); /* the device adds the rest */
		return;
	}
	sum = (rte_be16_t)~checksum_fold(pseudo + f->udp_port + dst_port + dgram_len + checksum_sum(udp + 1, len - sizeof(*udp)));
	udp->dgram_cksum = sum != 0 ? sum : 0xffff; /* zero would say that there is none */
}

static inline void
write_ipv4(const struct iface *f, struct rte_mbuf *m, struct rte_ipv4_hdr *ip, const struct endpoint *peer, unsigned local,
	   uint16_t udp_len)
{
	const struct iface_address *from = &f->address[local];
	rte_be16_t total = rte_cpu_to_be_16((uint16_t)sizeof(*ip) + udp_len);
	rte_be32_t dst = ip_ipv4(peer->ip);
	uint64_t flags = 0;

	*ip = ipv4_template;
	ip->total_length = total;
	ip->src_addr = ip_ipv4(from->ip.bytes);
	ip->dst_addr = dst;
	if (f->tx_offloads & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM)
		flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
	else
		ip->hdr_checksum = (rte_be16_t)~checksum_fold(from->ip_sum + total + checksum_word32(dst));
	if (f->tx_offloads & RTE_ETH_TX_OFFLOAD_UDP_CKSUM)
		flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_UDP_CKSUM;
	offload_write(m, flags, sizeof(*ip));
	udp_write((struct rte_udp_hdr *)(ip + 1), f, peer->port, udp_len,
		  from->udp_sum + checksum_word32(dst) + rte_cpu_to_be_16(udp_len));
}

static void
write_ipv6(const struct iface *f, struct rte_mbuf *m, struct rte_ipv6_hdr *ip, const struct endpoint *peer, unsigned local,
	   uint16_t udp_len)
{
	ip->vtc_flow = RTE_BE32(UINT32_C(6) << 28);
	ip->payload_len = rte_cpu_to_be_16(udp_len);
	ip->proto = IPPROTO_UDP;
	ip->hop_limits = IFACE_TTL;
	memcpy(ip->src_addr, f->address[local].ip.bytes, sizeof(ip->src_addr));
	memcpy(ip->dst_addr, peer->ip, sizeof(ip->dst_addr));
	offload_write(m, f->tx_offloads & RTE_ETH_TX_OFFLOAD_UDP_CKSUM ? RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_UDP_CKSUM : 0,
		      sizeof(*ip));
	udp_write((struct rte_udp_hdr *)(ip + 1), f, peer->port, udp_len,
		  checksum_pseudo(ip->src_addr, ip->dst_addr, 16, IPPROTO_UDP, udp_len));
}

/* Our address for the packet: where the request came to, if known and of the peer's family. 0: none. */
static unsigned
source_of(const struct iface *f, const struct packet_info *info, bool ipv4)
{
	if (info->local != IFACE_LOCAL_ANY && info->local <= f->count && f->address[info->local].ipv4 == ipv4)
		return info->local;
	return iface_source(f, info->peer.ip);
}

/* Puts the headers before the payload. False when there is no way to do so. */
static bool
frame_build(const struct iface *f, struct rte_mbuf *m, const struct rte_ether_addr *mac)
{
	const struct packet_info *info = packet_info(m);
	bool ipv4 = ip_is_ipv4(info->peer.ip);
	unsigned local = source_of(f, info, ipv4);
	uint16_t ip_header = ipv4 ? sizeof(struct rte_ipv4_hdr) : sizeof(struct rte_ipv6_hdr);
	uint16_t udp_len = (uint16_t)sizeof(struct rte_udp_hdr) + m->data_len;
	struct rte_ether_hdr *eth;

	if (local == 0 || info->peer.port == 0 || udp_len + ip_header > f->mtu)
		return false;
	eth = (struct rte_ether_hdr *)rte_pktmbuf_prepend(
		m, (uint16_t)(sizeof(*eth) + ip_header + sizeof(struct rte_udp_hdr)));
	if (eth == NULL)
		return false;
	eth->dst_addr = *mac;
	eth->src_addr = f->mac;
	if (likely(ipv4)) {
		eth->ether_type = RTE_BE16(RTE_ETHER_TYPE_IPV4);
		write_ipv4(f, m, (struct rte_ipv4_hdr *)(eth + 1), &info->peer, local, udp_len);
	} else {
		eth->ether_type = RTE_BE16(RTE_ETHER_TYPE_IPV6);
		write_ipv6(f, m, (struct rte_ipv6_hdr *)(eth + 1), &info->peer, local, udp_len);
	}
	return true;
}

/* No MAC for m's next hop: it becomes the request for it, if one is due. */
static void
unresolved(struct link_queue *l, struct rte_mbuf *m, const uint8_t *hop, bool ask, struct rte_mbuf **requests, uint16_t *asked)
{
	uint8_t hop_copy[16];

	l->counters[COUNTER_tx_failed]++;
	l->counters[COUNTER_tx_no_neighbor]++;
	if (ask) {
		memcpy(hop_copy, hop, sizeof(hop_copy));
		if (neighbor_solicit(l->iface, m, hop_copy, NULL)) {
			requests[(*asked)++] = m;
			return;
		}
	}
	rte_pktmbuf_free(m);
}

uint16_t
egress_burst(struct link_queue *l, struct rte_mbuf **pkts, uint16_t n, struct rte_mbuf **requests,
	     uint16_t *request_count, uint64_t now_ms)
{
	struct hop_cache cache = {.valid = false};
	const uint8_t *hops[PORT_BURST];
	uint16_t i, out = 0, asked = 0;
	bool ask;

	for (i = 0; i < n; i++) {
		const uint8_t *ip = packet_info(pkts[i])->peer.ip;

		hops[i] = next_hop(l->iface, ip);
		if (hops[i] == ip)
			neighbor_prefetch(l->neighbors, ip);
	}
	for (i = 0; i < n; i++) {
		struct rte_mbuf *m = pkts[i];
		bool known = cache.valid && hops[i] != NULL && ip_equal(cache.ip.bytes, hops[i]);

		if (!known && !resolve(l, packet_info(m)->peer.ip, hops[i], &cache, &ask, requests, &asked, now_ms)) {
			unresolved(l, m, hops[i], ask, requests, &asked);
		} else if (frame_build(l->iface, m, &cache.mac)) {
			pkts[out++] = m;
		} else {
			l->counters[COUNTER_tx_failed]++;
			rte_pktmbuf_free(m);
		}
	}
	*request_count = asked;
	return out;
}
