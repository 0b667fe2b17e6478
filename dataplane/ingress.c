/* SPDX-License-Identifier: BSD-3-Clause */
#include "dataplane/ingress.h"

#include "dataplane/checksum.h"
#include "shared/counters.h"
#include "shared/wire.h"

#include <netinet/in.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_prefetch.h>
#include <rte_udp.h>

/* What the functions below return beside a counter: the packet is a datagram and goes up. */
#define INGRESS_DATAGRAM (-1)

#define PREFETCH_AHEAD 4
#define EXTENSION_HEADERS_MAX 4

/* The checksum field of a sender on this machine that left the sum to hardware holds the sum of the
 * pseudo-header alone; a veth, a TAP or a guest's NIC passes it on as it is. */
static bool
udp_checksum_ok(const struct iface *f, const struct rte_mbuf *m, const struct rte_udp_hdr *udp, uint16_t len,
		uint16_t pseudo, bool ipv4)
{
	uint64_t flag = m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;

	if (udp->dgram_cksum == 0)
		return ipv4; /* RFC 768: none was made; RFC 8200, 8.1 forbids that */
	/* NONE: the device vouches for the data, though the field is not filled in (virtio) */
	if (f->trust_rx_checksum &&
	    (flag == RTE_MBUF_F_RX_L4_CKSUM_GOOD || flag == RTE_MBUF_F_RX_L4_CKSUM_NONE))
		return true;
	return checksum_right(udp, len, pseudo) || (f->partial_checksum && udp->dgram_cksum == pseudo);
}

/* pseudo: sum of the pseudo-header without the length, not folded. The source is in packet_info already. */
static int
ingress_udp(struct link_queue *l, const struct ip_packet *p, uint32_t pseudo, bool ipv4)
{
	const struct rte_udp_hdr *udp = rte_pktmbuf_mtod_offset(p->m, const struct rte_udp_hdr *, p->offset);
	struct packet_info *info = packet_info(p->m);
	struct rte_mbuf *m = p->m;
	uint16_t len;

	if (p->length < sizeof(*udp))
		return COUNTER_drop_ip_malformed;
	len = rte_be_to_cpu_16(udp->dgram_len);
	if (len < sizeof(*udp) || len > p->length)
		return COUNTER_drop_ip_malformed;
	if (udp->dst_port != l->iface->udp_port || udp->src_port == 0)
		return COUNTER_drop_udp_port;
	if (len - sizeof(*udp) > WIRE_DATAGRAM_MAX)
		return COUNTER_drop_oversize;
	if (!udp_checksum_ok(l->iface, m, udp, len, checksum_fold(pseudo + udp->dgram_len), ipv4))
		return COUNTER_drop_checksum;

	info->peer.port = rte_be_to_cpu_16(udp->src_port);
	info->port = l->port;
	info->local = (uint8_t)p->local;
	m->data_off += p->offset + (uint16_t)sizeof(*udp);
	m->data_len = len - (uint16_t)sizeof(*udp);
	m->pkt_len = m->data_len;
	return INGRESS_DATAGRAM;
}

/* A source that nobody can be answered at, or that would make us answer ourselves. */
static bool
ipv4_source_bad(const struct iface *f, rte_be32_t src)
{
	uint8_t first = (uint8_t)(rte_be_to_cpu_32(src) >> 24);

	return first == 0 || first == 127 || first >= 224 || iface_local_ipv4(f, src) != 0;
}

static bool
ipv6_source_bad(const struct iface *f, const struct ip_address *src)
{
	static const uint8_t zero[15];

	/* a mapped source would pass for an IPv4 peer (RFC 4291, 2.5.5.2 knows none on the wire) */
	return src->bytes[0] == 0xff || memcmp(src->bytes, zero, sizeof(zero)) == 0 ||
	       ip_is_ipv4(src->bytes) || iface_local(f, src->bytes) != 0;
}

static int
ingress_ipv4(struct link_queue *l, struct rte_mbuf *m, bool to_our_mac, uint64_t now_ms)
{
	const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
	const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)(eth + 1);
	uint16_t room = m->data_len - (uint16_t)sizeof(struct rte_ether_hdr);
	struct ip_packet p;
	uint16_t header, total;
	rte_be32_t src, dst;
	int end;

	if (room < sizeof(*ip) || ip->version_ihl >> 4 != 4)
		return COUNTER_drop_ip_malformed;
	header = rte_ipv4_hdr_len(ip);
	total = rte_be_to_cpu_16(ip->total_length);
	if (header < sizeof(*ip) || header > total || total > room)
		return COUNTER_drop_ip_malformed;
	if (!(l->iface->trust_rx_checksum &&
	      (m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD) &&
	    !(header == sizeof(*ip) ? checksum_ipv4_right(ip) : checksum_right(ip, header, 0)))
		return COUNTER_drop_checksum;
	src = ip->src_addr;
	dst = ip->dst_addr;
	p.local = (uint16_t)iface_local_ipv4(l->iface, dst);
	if (p.local == 0)
		return COUNTER_drop_ip_not_ours;
	/* A broadcast frame with our IP address in it: answering would multiply (RFC 1122, 3.3.6). */
	if (!to_our_mac)
		return COUNTER_drop_link_not_ours;
	if ((ip->fragment_offset & rte_cpu_to_be_16(RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK)) != 0)
		return COUNTER_drop_ip_fragment;
	if (ipv4_source_bad(l->iface, src))
		return COUNTER_drop_ip_malformed;

	p.m = m;
	p.offset = (uint16_t)sizeof(struct rte_ether_hdr) + header;
	p.length = total - header;
	/* without the padding of short frames */
	m->data_len = (uint16_t)sizeof(struct rte_ether_hdr) + total;
	m->pkt_len = m->data_len;
	if (ip->next_proto_id == IPPROTO_UDP) {
		ip_from_ipv4(packet_info(m)->peer.ip, &src);
		end = ingress_udp(l, &p, checksum_word32(src) + checksum_word32(dst) + RTE_BE16(IPPROTO_UDP), true);
		if (end == INGRESS_DATAGRAM)
			neighbor_learn_ipv4(l->neighbors, l->iface, src, &eth->src_addr, now_ms);
		return end;
	}
	if (ip->next_proto_id != IPPROTO_ICMP)
		return COUNTER_drop_ip_protocol;
	ip_from_ipv4(p.src.bytes, &src);
	p.pseudo = 0;
	p.hop_limit = 0;
	return neighbor_icmp(l, &p, now_ms);
}

/* Options whose type says that who does not know them must drop the packet (RFC 8200, 4.2). len is that of
 * the header. */
static bool
ipv6_options_passable(const uint8_t *header, size_t len)
{
	size_t at = 2;

	while (at < len) {
		if (header[at] == 0) { /* Pad1 */
			at++;
			continue;
		}
		if (header[at] >> 6 != 0 || at + 2 > len || at + 2 + header[at + 1] > len)
			return false;
		at += 2u + header[at + 1];
	}
	return true;
}

/* Walks the extension headers of the packet up to UDP or ICMPv6. Returns the protocol with p->offset and
 * p->length of it, or a negative counter. */
static int
ipv6_upper_layer(struct ip_packet *p, uint8_t proto)
{
	const uint8_t *header;
	unsigned i;
	size_t len;

	for (i = 0; i <= EXTENSION_HEADERS_MAX; i++) {
		if (proto == IPPROTO_UDP || proto == IPPROTO_ICMPV6)
			return proto;
		if (proto == IPPROTO_FRAGMENT)
			return -COUNTER_drop_ip_fragment;
		if (proto != IPPROTO_DSTOPTS && (proto != IPPROTO_HOPOPTS || i != 0))
			return -COUNTER_drop_ip_protocol;
		if (p->length < 8)
			return -COUNTER_drop_ip_malformed;
		header = rte_pktmbuf_mtod_offset(p->m, const uint8_t *, p->offset);
		len = (header[1] + 1u) * 8;
		if (len > p->length)
			return -COUNTER_drop_ip_malformed;
		if (!ipv6_options_passable(header, len))
			return -COUNTER_drop_ip_protocol;
		proto = header[0];
		p->offset += (uint16_t)len;
		p->length -= (uint16_t)len;
	}
	return -COUNTER_drop_ip_protocol;
}

static int
ingress_ipv6(struct link_queue *l, struct rte_mbuf *m, bool to_our_mac, uint64_t now_ms)
{
	const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
	const struct rte_ipv6_hdr *ip = (const struct rte_ipv6_hdr *)(eth + 1);
	uint16_t room = m->data_len - (uint16_t)sizeof(struct rte_ether_hdr);
	static const uint8_t unspecified[16];
	struct ip_packet p = {.m = m};
	uint16_t payload;
	bool nowhere;
	int proto, end;

	if (room < sizeof(*ip) ||
	    (ip->vtc_flow & rte_cpu_to_be_32(UINT32_C(0xf) << 28)) != rte_cpu_to_be_32(UINT32_C(6) << 28))
		return COUNTER_drop_ip_malformed;
	payload = rte_be_to_cpu_16(ip->payload_len);
	if (payload > room - sizeof(*ip))
		return COUNTER_drop_ip_malformed;
	p.local = (uint16_t)iface_local(l->iface, ip->dst_addr);
	if (p.local == 0 && !iface_in_group(l->iface, ip->dst_addr))
		return COUNTER_drop_ip_not_ours;
	memcpy(p.src.bytes, ip->src_addr, sizeof(p.src.bytes));
	nowhere = ip_equal(p.src.bytes, unspecified);
	if (!nowhere && ipv6_source_bad(l->iface, &p.src))
		return COUNTER_drop_ip_malformed;

	p.offset = (uint16_t)(sizeof(struct rte_ether_hdr) + sizeof(*ip));
	p.length = payload;
	p.hop_limit = ip->hop_limits;
	m->data_len = p.offset + payload;
	m->pkt_len = m->data_len;
	proto = ipv6_upper_layer(&p, ip->proto);
	if (proto < 0)
		return -proto;
	if (proto == IPPROTO_ICMPV6) {
		p.pseudo = checksum_pseudo(ip->src_addr, ip->dst_addr, 16, IPPROTO_ICMPV6, p.length);
		/* a group's packet comes to the group's MAC; one to our address must not come by broadcast */
		if (p.local != 0 && !to_our_mac)
			return COUNTER_drop_link_not_ours;
		return neighbor_icmp6(l, &p, now_ms);
	}
	if (p.local == 0)
		return COUNTER_drop_ip_not_ours;
	if (!to_our_mac)
		return COUNTER_drop_link_not_ours;
	if (nowhere)
		return COUNTER_drop_ip_malformed;
	memcpy(packet_info(m)->peer.ip, ip->src_addr, sizeof(ip->src_addr));
	end = ingress_udp(l, &p, checksum_pseudo(ip->src_addr, ip->dst_addr, 16, IPPROTO_UDP, 0), false);
	if (end == INGRESS_DATAGRAM)
		neighbor_learn_packet(l->neighbors, l->iface, p.src.bytes, &eth->src_addr, now_ms);
	return end;
}

/* One frame, as it came from the device: a counter (with INGRESS_REPLY), or INGRESS_DATAGRAM. */
static int
ingress_frame(struct link_queue *l, struct rte_mbuf *m, uint64_t now_ms)
{
	const struct rte_ether_hdr *eth;
	bool to_our_mac;

	/* Some devices chain buffers. What does not fit one is longer than any frame for us. */
	if (unlikely(m->nb_segs > 1) && rte_pktmbuf_linearize(m) != 0)
		return COUNTER_drop_oversize;
	if (m->data_len < sizeof(*eth))
		return COUNTER_drop_link_malformed;
	eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
	to_our_mac = rte_is_same_ether_addr(&eth->dst_addr, &l->iface->mac);
	if (!to_our_mac && !rte_is_multicast_ether_addr(&eth->dst_addr))
		return COUNTER_drop_link_not_ours;
	/* our own frames come back through a packet socket or a reflecting switch */
	if (!rte_is_valid_assigned_ether_addr(&eth->src_addr) ||
	    rte_is_same_ether_addr(&eth->src_addr, &l->iface->mac))
		return COUNTER_drop_link_not_ours;
	/* a tag that the device has taken off; a priority tag (VLAN 0) does not matter */
	if ((m->ol_flags & RTE_MBUF_F_RX_VLAN) != 0 && (m->vlan_tci & 0xfff) != 0)
		return COUNTER_drop_link_not_ours;

	switch (eth->ether_type) {
	case RTE_BE16(RTE_ETHER_TYPE_IPV4):
		return ingress_ipv4(l, m, to_our_mac, now_ms);
	case RTE_BE16(RTE_ETHER_TYPE_IPV6):
		return ingress_ipv6(l, m, to_our_mac, now_ms);
	case RTE_BE16(RTE_ETHER_TYPE_ARP):
		return neighbor_arp(l, m, now_ms);
	default:
		return COUNTER_drop_link_not_ours;
	}
}

/* All of it, for the checksum reads it all, and the line of the mbuf where its packet_info goes. */
static inline void
packet_prefetch(const struct rte_mbuf *m)
{
	const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);
	size_t at;

	rte_prefetch0((const uint8_t *)m + RTE_CACHE_LINE_SIZE);
	for (at = 0; at < m->data_len; at += RTE_CACHE_LINE_SIZE)
		rte_prefetch0(data + at);
}

uint16_t
ingress_burst(struct link_queue *l, struct rte_mbuf **pkts, uint16_t n, struct rte_mbuf **replies,
	      uint16_t *reply_count, uint64_t now_ms)
{
	uint16_t i, up = 0, answers = 0;
	uint64_t bytes = 0;
	int end;

	/* software devices hand mbufs on without having looked at them */
	for (i = 0; i < n; i++)
		rte_prefetch0(pkts[i]);
	for (i = 0; i < n && i < PREFETCH_AHEAD; i++)
		packet_prefetch(pkts[i]);
	for (i = 0; i < n; i++) {
		struct rte_mbuf *m = pkts[i];

		if (i + PREFETCH_AHEAD < n)
			packet_prefetch(pkts[i + PREFETCH_AHEAD]);
		end = ingress_frame(l, m, now_ms);
		if (end == INGRESS_DATAGRAM) {
			bytes += m->data_len;
			pkts[up++] = m;
			continue;
		}
		l->counters[end & ~INGRESS_REPLY]++;
		if ((end & INGRESS_REPLY) != 0)
			replies[answers++] = m;
		else
			rte_pktmbuf_free(m);
	}
	l->counters[COUNTER_rx_packets] += n;
	l->counters[COUNTER_rx_bytes] += bytes;
	*reply_count = answers;
	return up;
}
