/* SPDX-License-Identifier: BSD-3-Clause */
/* ARP, neighbour discovery and echo packets: those that come in, and those that the port sends of its own
 * accord. */
#include "dataplane/neighbor.h"

#include "dataplane/checksum.h"
#include "shared/counters.h"

#include <netinet/in.h>
#include <rte_arp.h>
#include <rte_ether.h>
#include <rte_icmp.h>
#include <rte_ip.h>

#define ICMP6_ECHO_REQUEST 128
#define ICMP6_ECHO_REPLY 129
#define ICMP6_MLD_QUERY 130
#define ICMP6_NEIGHBOR_SOLICIT 135
#define ICMP6_NEIGHBOR_ADVERT 136
#define ICMP6_MLDV2_REPORT 143

#define ND_LENGTH 24       /* solicitation and advertisement without options */
#define ND_OPTION_MAC 8    /* a link-layer address option for Ethernet */
#define ND_SOURCE_MAC 1
#define ND_TARGET_MAC 2
#define ND_HOP_LIMIT 255   /* proves that no router passed it on (RFC 4861, 7.1) */
#define ND_FLAG_SOLICITED 0x40
#define ND_FLAG_OVERRIDE 0x20

#define MLD_QUERY_LENGTH 24
#define MLD_RECORD 20
#define MLD_IS_EXCLUDE 2        /* current state: receives from all sources */
#define MLD_CHANGE_TO_EXCLUDE 4 /* has just joined */

#define ECHO_TTL 64

struct icmp6_hdr_fixed {
	uint8_t type;
	uint8_t code;
	uint16_t checksum;
} __rte_packed;

struct nd_packet {
	struct icmp6_hdr_fixed icmp;
	uint8_t flags; /* advertisement only */
	uint8_t reserved[3];
	uint8_t target[16];
	/* our own always carry it */
	uint8_t option_type;
	uint8_t option_units; /* of 8 bytes */
	struct rte_ether_addr option_mac;
} __rte_packed __rte_aligned(2);

_Static_assert(sizeof(struct nd_packet) == ND_LENGTH + ND_OPTION_MAC, "as in RFC 4861, 4.3");
_Static_assert(sizeof(struct rte_ether_hdr) + sizeof(struct rte_ipv6_hdr) + sizeof(struct nd_packet) ==
		       NEIGHBOR_FRAME_MAX,
	       "the largest request is a solicitation");

static const uint8_t all_nodes[16] = {0xff, 0x02, [15] = 1};
static const uint8_t all_mld_routers[16] = {0xff, 0x02, [15] = 0x16};
static const uint8_t unspecified[16];
static const struct rte_ether_addr broadcast = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

/* Gives m exactly len bytes of data, from the usual headroom on. */
static void *
frame_start(struct rte_mbuf *m, uint16_t len)
{
	if (m->buf_len < RTE_PKTMBUF_HEADROOM + len)
		return NULL;
	m->data_off = RTE_PKTMBUF_HEADROOM;
	m->data_len = len;
	m->pkt_len = len;
	m->ol_flags &= RTE_MBUF_F_EXTERNAL | RTE_MBUF_F_INDIRECT;
	return rte_pktmbuf_mtod(m, void *);
}

static void
ether_write(struct rte_ether_hdr *eth, const struct rte_ether_addr *dst, const struct rte_ether_addr *src,
	    uint16_t type)
{
	eth->dst_addr = *dst;
	eth->src_addr = *src;
	eth->ether_type = rte_cpu_to_be_16(type);
}

static void
ipv6_write(struct rte_ipv6_hdr *ip, const void *src, const void *dst, uint16_t len, uint8_t proto,
	   uint8_t hop_limit)
{
	uint8_t from[16], to[16];

	/* the addresses may be those of the packet that is overwritten */
	memcpy(from, src, sizeof(from));
	memcpy(to, dst, sizeof(to));
	ip->vtc_flow = rte_cpu_to_be_32(UINT32_C(6) << 28);
	ip->payload_len = rte_cpu_to_be_16(len);
	ip->proto = proto;
	ip->hop_limits = hop_limit;
	memcpy(ip->src_addr, from, sizeof(from));
	memcpy(ip->dst_addr, to, sizeof(to));
}

static void
icmp6_checksum(struct icmp6_hdr_fixed *icmp, const struct rte_ipv6_hdr *ip, uint16_t len)
{
	icmp->checksum = 0;
	icmp->checksum = checksum_make(icmp, len,
				       checksum_pseudo(ip->src_addr, ip->dst_addr, 16, IPPROTO_ICMPV6, len));
}

/* ---- ARP --------------------------------------------------------------------------------- */

static void
arp_write(struct rte_arp_hdr *arp, uint16_t opcode, const struct rte_ether_addr *sha, const void *sip,
	  const struct rte_ether_addr *tha, const void *tip)
{
	arp->arp_hardware = rte_cpu_to_be_16(RTE_ARP_HRD_ETHER);
	arp->arp_protocol = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
	arp->arp_hlen = RTE_ETHER_ADDR_LEN;
	arp->arp_plen = 4;
	arp->arp_opcode = rte_cpu_to_be_16(opcode);
	arp->arp_data.arp_sha = *sha;
	memcpy(&arp->arp_data.arp_sip, sip, 4);
	arp->arp_data.arp_tha = *tha;
	memcpy(&arp->arp_data.arp_tip, tip, 4);
}

static bool
arp_valid(const struct rte_mbuf *m, const struct rte_arp_hdr *arp)
{
	uint16_t opcode;

	if (m->data_len < sizeof(struct rte_ether_hdr) + sizeof(*arp) ||
	    arp->arp_hardware != rte_cpu_to_be_16(RTE_ARP_HRD_ETHER) ||
	    arp->arp_protocol != rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4) ||
	    arp->arp_hlen != RTE_ETHER_ADDR_LEN || arp->arp_plen != 4)
		return false;
	opcode = rte_be_to_cpu_16(arp->arp_opcode);
	return (opcode == RTE_ARP_OP_REQUEST || opcode == RTE_ARP_OP_REPLY) &&
	       rte_is_valid_assigned_ether_addr(&arp->arp_data.arp_sha);
}

int
neighbor_arp(struct link_queue *l, struct rte_mbuf *m, uint64_t now_ms)
{
	struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, struct rte_ether_hdr *);
	struct rte_arp_hdr *arp = (struct rte_arp_hdr *)(eth + 1);
	const struct iface *f = l->iface;
	struct ip_address sender, target;
	struct rte_ether_addr to;
	bool ours, request;

	if (!arp_valid(m, arp))
		return COUNTER_drop_link_malformed;
	ip_from_ipv4(sender.bytes, &arp->arp_data.arp_sip);
	ip_from_ipv4(target.bytes, &arp->arp_data.arp_tip);
	request = arp->arp_opcode == rte_cpu_to_be_16(RTE_ARP_OP_REQUEST);
	ours = iface_local(f, target.bytes) != 0;

	/* Somebody else claims our address: not believed, and a later probe of his will be answered. */
	if (iface_local(f, sender.bytes) != 0)
		return COUNTER_drop_link_not_ours;
	/* A probe has the sender 0.0.0.0 (RFC 5227); it is answered, but tells nothing. */
	if (iface_on_link(f, sender.bytes) || (f->has_gateway && ip_equal(sender.bytes, f->gateway.bytes)))
		neighbor_learn(l->neighbors, sender.bytes, &arp->arp_data.arp_sha, NEIGHBOR_CONFIRMED,
			       request && ours, now_ms);
	if (!ours && !ip_equal(sender.bytes, target.bytes))
		return COUNTER_drop_link_not_ours;
	if (!ours || !request)
		return COUNTER_link_arp;

	m->data_len = sizeof(*eth) + sizeof(*arp);
	m->pkt_len = m->data_len;
	to = arp->arp_data.arp_sha;
	ether_write(eth, &to, &f->mac, RTE_ETHER_TYPE_ARP);
	arp_write(arp, RTE_ARP_OP_REPLY, &f->mac, target.bytes + 12, &to, sender.bytes + 12);
	return COUNTER_link_arp | INGRESS_REPLY;
}

static bool
arp_request(const struct iface *f, struct rte_mbuf *m, const void *sip, const void *tip,
	    const struct rte_ether_addr *unicast)
{
	static const struct rte_ether_addr none;
	struct rte_ether_hdr *eth = frame_start(m, sizeof(*eth) + sizeof(struct rte_arp_hdr));

	if (eth == NULL)
		return false;
	ether_write(eth, unicast != NULL ? unicast : &broadcast, &f->mac, RTE_ETHER_TYPE_ARP);
	arp_write((struct rte_arp_hdr *)(eth + 1), RTE_ARP_OP_REQUEST, &f->mac, sip, &none, tip);
	return true;
}

/* ---- neighbour discovery ----------------------------------------------------------------- */

/* Writes a solicitation or advertisement for target over m. */
static bool
nd_write(const struct iface *f, struct rte_mbuf *m, uint8_t type, uint8_t flags, const void *src,
	 const void *dst, const struct rte_ether_addr *dst_mac, const void *target)
{
	struct rte_ether_hdr *eth = frame_start(m, NEIGHBOR_FRAME_MAX);
	struct rte_ipv6_hdr *ip;
	struct nd_packet *nd;

	if (eth == NULL)
		return false;
	ip = (struct rte_ipv6_hdr *)(eth + 1);
	nd = (struct nd_packet *)(ip + 1);
	ether_write(eth, dst_mac, &f->mac, RTE_ETHER_TYPE_IPV6);
	ipv6_write(ip, src, dst, sizeof(*nd), IPPROTO_ICMPV6, ND_HOP_LIMIT);
	nd->icmp.type = type;
	nd->icmp.code = 0;
	nd->flags = flags;
	memset(nd->reserved, 0, sizeof(nd->reserved));
	memcpy(nd->target, target, sizeof(nd->target));
	nd->option_type = type == ICMP6_NEIGHBOR_SOLICIT ? ND_SOURCE_MAC : ND_TARGET_MAC;
	nd->option_units = 1;
	nd->option_mac = f->mac;
	icmp6_checksum(&nd->icmp, ip, sizeof(*nd));
	return true;
}

/* Walks the options behind a solicitation or advertisement. False when one is malformed (RFC 4861, 6.1); *mac
 * is the first link-layer address option of the type wanted, or NULL. */
static bool
nd_options(const uint8_t *p, size_t len, uint8_t wanted, const struct rte_ether_addr **mac)
{
	size_t units;

	*mac = NULL;
	while (len > 0) {
		if (len < 8)
			return false;
		units = p[1];
		if (units == 0 || units * 8 > len)
			return false;
		if (p[0] == wanted && *mac == NULL)
			*mac = (const struct rte_ether_addr *)(p + 2);
		p += units * 8;
		len -= units * 8;
	}
	return *mac == NULL || rte_is_valid_assigned_ether_addr(*mac);
}

static int
neighbor_solicited(struct link_queue *l, const struct ip_packet *p, const struct nd_packet *nd,
		   uint64_t now_ms)
{
	const struct iface *f = l->iface;
	const struct rte_ether_addr *mac;
	struct ip_address target, src = p->src;
	bool probe = ip_equal(src.bytes, unspecified);
	struct rte_ether_addr to;

	if (!nd_options((const uint8_t *)nd + ND_LENGTH, p->length - ND_LENGTH, ND_SOURCE_MAC, &mac))
		return COUNTER_drop_link_malformed;
	/* a probe for duplicates has no source, so none to tell the MAC of, and goes to the group only
	 * (7.1.1) */
	if (nd->target[0] == 0xff || (probe && (mac != NULL || p->local != 0)))
		return COUNTER_drop_link_malformed;
	memcpy(target.bytes, nd->target, sizeof(target.bytes));
	if (iface_local(f, target.bytes) == 0)
		return COUNTER_drop_link_not_ours;
	if (probe) {
		ip_multicast_mac(&to, all_nodes);
		memcpy(src.bytes, all_nodes, sizeof(all_nodes));
	} else {
		to = rte_pktmbuf_mtod(p->m, struct rte_ether_hdr *)->src_addr;
		if (mac != NULL && iface_on_link(f, src.bytes))
			neighbor_learn(l->neighbors, src.bytes, mac, NEIGHBOR_CONFIRMED, true, now_ms);
	}
	if (!nd_write(f, p->m, ICMP6_NEIGHBOR_ADVERT, (probe ? 0 : ND_FLAG_SOLICITED) | ND_FLAG_OVERRIDE,
		      target.bytes, src.bytes, &to, target.bytes))
		return COUNTER_drop_link_malformed;
	return COUNTER_link_nd | INGRESS_REPLY;
}

static int
neighbor_advertised(struct link_queue *l, const struct ip_packet *p, const struct nd_packet *nd,
		    uint64_t now_ms)
{
	const struct rte_ether_addr *mac;
	struct ip_address target;

	if (!nd_options((const uint8_t *)nd + ND_LENGTH, p->length - ND_LENGTH, ND_TARGET_MAC, &mac) ||
	    nd->target[0] == 0xff || (p->local == 0 && (nd->flags & ND_FLAG_SOLICITED) != 0))
		return COUNTER_drop_link_malformed;
	memcpy(target.bytes, nd->target, sizeof(target.bytes));
	if (iface_local(l->iface, target.bytes) != 0)
		return COUNTER_drop_link_not_ours;
	if (mac == NULL && p->local != 0) {
		/* an answer to a unicast request may leave the option out */
		mac = &rte_pktmbuf_mtod(p->m, struct rte_ether_hdr *)->src_addr;
	}
	if (mac != NULL)
		neighbor_learn(l->neighbors, target.bytes, mac,
			       (nd->flags & ND_FLAG_OVERRIDE) != 0 ? NEIGHBOR_CONFIRMED : NEIGHBOR_HEARD,
			       false, now_ms);
	return COUNTER_link_nd;
}

static int
echo6(struct link_queue *l, const struct ip_packet *p)
{
	const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(p->m, struct rte_ether_hdr *);
	const struct iface *f = l->iface;
	struct rte_ether_addr to = eth->src_addr;
	struct icmp6_hdr_fixed *icmp;
	struct rte_ether_hdr *out;
	struct rte_ipv6_hdr *ip;

	/* extension headers are left out of the reply: it starts so much later */
	if (rte_pktmbuf_adj(p->m, p->offset - (uint16_t)(sizeof(*out) + sizeof(*ip))) == NULL)
		return COUNTER_drop_ip_malformed;
	out = rte_pktmbuf_mtod(p->m, struct rte_ether_hdr *);
	ip = (struct rte_ipv6_hdr *)(out + 1);
	icmp = (struct icmp6_hdr_fixed *)(ip + 1);
	ether_write(out, &to, &f->mac, RTE_ETHER_TYPE_IPV6);
	ipv6_write(ip, f->address[p->local].ip.bytes, p->src.bytes, p->length, IPPROTO_ICMPV6, ECHO_TTL);
	icmp->type = ICMP6_ECHO_REPLY;
	icmp6_checksum(icmp, ip, p->length);
	p->m->ol_flags &= RTE_MBUF_F_EXTERNAL | RTE_MBUF_F_INDIRECT;
	return COUNTER_link_echo | INGRESS_REPLY;
}

int
neighbor_icmp6(struct link_queue *l, const struct ip_packet *p, uint64_t now_ms)
{
	const struct nd_packet *nd = rte_pktmbuf_mtod_offset(p->m, const struct nd_packet *, p->offset);
	bool nd_type;

	if (p->length < sizeof(nd->icmp))
		return COUNTER_drop_ip_malformed;
	if (!checksum_right(nd, p->length, p->pseudo))
		return COUNTER_drop_checksum;

	nd_type = nd->icmp.type == ICMP6_NEIGHBOR_SOLICIT || nd->icmp.type == ICMP6_NEIGHBOR_ADVERT;
	if (nd_type && (p->hop_limit != ND_HOP_LIMIT || nd->icmp.code != 0 || p->length < ND_LENGTH))
		return COUNTER_drop_link_malformed;
	if (nd->icmp.type == ICMP6_NEIGHBOR_SOLICIT)
		return neighbor_solicited(l, p, nd, now_ms);
	/* only a probe for duplicates may come from nowhere */
	if (ip_equal(p->src.bytes, unspecified))
		return nd_type ? COUNTER_drop_link_malformed : COUNTER_drop_ip_malformed;

	switch (nd->icmp.type) {
	case ICMP6_NEIGHBOR_ADVERT:
		return neighbor_advertised(l, p, nd, now_ms);
	case ICMP6_MLD_QUERY:
		if (p->length < MLD_QUERY_LENGTH || p->hop_limit != 1 || !ip_is_link_local(p->src.bytes))
			return COUNTER_drop_link_malformed;
		l->mld_query_seen = true;
		return COUNTER_link_nd;
	case ICMP6_ECHO_REQUEST:
		if (nd->icmp.code != 0 || p->length < 8)
			return COUNTER_drop_ip_malformed;
		return p->local != 0 ? echo6(l, p) : COUNTER_drop_ip_not_ours;
	default:
		return COUNTER_drop_ip_protocol;
	}
}

/* ---- IPv4 echo --------------------------------------------------------------------------- */

int
neighbor_icmp(struct link_queue *l, const struct ip_packet *p, uint64_t now_ms)
{
	struct rte_icmp_hdr *icmp = rte_pktmbuf_mtod_offset(p->m, struct rte_icmp_hdr *, p->offset);
	struct rte_ether_addr to = rte_pktmbuf_mtod(p->m, struct rte_ether_hdr *)->src_addr;
	const struct iface *f = l->iface;
	struct rte_ether_hdr *out;
	struct rte_ipv4_hdr *ip;

	(void)now_ms;
	if (p->length < sizeof(*icmp))
		return COUNTER_drop_ip_malformed;
	if (!checksum_right(icmp, p->length, 0))
		return COUNTER_drop_checksum;
	if (icmp->icmp_type != RTE_IP_ICMP_ECHO_REQUEST || icmp->icmp_code != 0)
		return COUNTER_drop_ip_protocol;
	/* IP options are left out of the reply */
	if (rte_pktmbuf_adj(p->m, p->offset - (uint16_t)(sizeof(*out) + sizeof(*ip))) == NULL)
		return COUNTER_drop_ip_malformed;
	out = rte_pktmbuf_mtod(p->m, struct rte_ether_hdr *);
	ip = (struct rte_ipv4_hdr *)(out + 1);
	ether_write(out, &to, &f->mac, RTE_ETHER_TYPE_IPV4);
	memset(ip, 0, sizeof(*ip));
	ip->version_ihl = RTE_IPV4_VHL_DEF;
	ip->total_length = rte_cpu_to_be_16((uint16_t)(sizeof(*ip) + p->length));
	ip->fragment_offset = rte_cpu_to_be_16(RTE_IPV4_HDR_DF_FLAG);
	ip->time_to_live = ECHO_TTL;
	ip->next_proto_id = IPPROTO_ICMP;
	memcpy(&ip->src_addr, f->address[p->local].ip.bytes + 12, 4);
	memcpy(&ip->dst_addr, p->src.bytes + 12, 4);
	ip->hdr_checksum = checksum_make(ip, sizeof(*ip), 0);
	icmp->icmp_type = RTE_IP_ICMP_ECHO_REPLY;
	icmp->icmp_cksum = 0;
	icmp->icmp_cksum = checksum_make(icmp, p->length, 0);
	p->m->ol_flags &= RTE_MBUF_F_EXTERNAL | RTE_MBUF_F_INDIRECT;
	return COUNTER_link_echo | INGRESS_REPLY;
}

/* ---- what the port sends by itself --------------------------------------------------------- */

bool
neighbor_solicit(const struct iface *f, struct rte_mbuf *m, const void *ip,
		 const struct rte_ether_addr *unicast)
{
	unsigned source = iface_source(f, ip);
	struct rte_ether_addr group_mac;
	uint8_t group[16];

	if (source == 0)
		return false;
	if (f->address[source].ipv4)
		return arp_request(f, m, f->address[source].ip.bytes + 12, (const uint8_t *)ip + 12, unicast);
	ip_solicited_node(group, ip);
	ip_multicast_mac(&group_mac, group);
	return nd_write(f, m, ICMP6_NEIGHBOR_SOLICIT, 0, f->address[source].ip.bytes,
			unicast != NULL ? ip : group, unicast != NULL ? unicast : &group_mac, ip);
}

/* Fills records with our solicited-node groups, each once; returns their number. */
static uint16_t
mld_records(const struct iface *f, uint8_t *records, uint8_t type)
{
	uint8_t group[16];
	uint16_t count = 0;
	unsigned i, k;

	for (i = 1; i <= f->count; i++) {
		if (f->address[i].ipv4)
			continue;
		ip_solicited_node(group, f->address[i].ip.bytes);
		for (k = 0; k < count; k++)
			if (memcmp(records + k * MLD_RECORD + 4, group, sizeof(group)) == 0)
				break;
		if (k < count)
			continue;
		memset(records + count * MLD_RECORD, 0, 4);
		records[count * MLD_RECORD] = type;
		memcpy(records + count * MLD_RECORD + 4, group, sizeof(group));
		count++;
	}
	return count;
}

bool
neighbor_mld_report(const struct iface *f, struct rte_mbuf *m, bool change)
{
	/* hop-by-hop header: ICMPv6 follows; router alert 'MLD' (RFC 2711), padding */
	static const uint8_t hop_by_hop[8] = {IPPROTO_ICMPV6, 0, 5, 2, 0, 0, 1, 0};
	static const uint8_t link_local_prefix[16] = {0xfe, 0x80};
	uint8_t records[IFACE_ADDRESS_MAX * MLD_RECORD];
	unsigned source = iface_source(f, link_local_prefix);
	struct rte_ether_addr mac;
	struct rte_ether_hdr *eth;
	struct rte_ipv6_hdr *ip;
	uint16_t count, len;
	uint8_t *p;

	count = mld_records(f, records, change ? MLD_CHANGE_TO_EXCLUDE : MLD_IS_EXCLUDE);
	if (count == 0 || source == 0)
		return false;
	len = (uint16_t)(8 + count * MLD_RECORD);
	eth = frame_start(m, (uint16_t)(sizeof(*eth) + sizeof(*ip) + sizeof(hop_by_hop) + len));
	if (eth == NULL)
		return false;
	ip_multicast_mac(&mac, all_mld_routers);
	ether_write(eth, &mac, &f->mac, RTE_ETHER_TYPE_IPV6);
	ip = (struct rte_ipv6_hdr *)(eth + 1);
	ipv6_write(ip, f->address[source].ip.bytes, all_mld_routers, (uint16_t)(sizeof(hop_by_hop) + len),
		   IPPROTO_HOPOPTS, 1);
	p = (uint8_t *)(ip + 1);
	memcpy(p, hop_by_hop, sizeof(hop_by_hop));
	p += sizeof(hop_by_hop);
	memset(p, 0, 8);
	p[0] = ICMP6_MLDV2_REPORT;
	p[7] = (uint8_t)count;
	memcpy(p + 8, records, (size_t)count * MLD_RECORD);
	icmp6_checksum((struct icmp6_hdr_fixed *)p, ip, len);
	return true;
}

bool
neighbor_announce(const struct iface *f, struct rte_mbuf *m, unsigned i)
{
	struct rte_ether_addr mac;
	const uint8_t *ip;

	if (f->ipv6 && i-- == 0)
		return neighbor_mld_report(f, m, true);
	if (i < f->count) {
		ip = f->address[i + 1].ip.bytes;
		/* RFC 5227, 2.3: a request for the address itself */
		if (f->address[i + 1].ipv4)
			return arp_request(f, m, ip + 12, ip + 12, NULL);
		ip_multicast_mac(&mac, all_nodes);
		return nd_write(f, m, ICMP6_NEIGHBOR_ADVERT, ND_FLAG_OVERRIDE, ip, all_nodes, &mac, ip);
	}
	i -= f->count;
	if (f->has_gateway && i-- == 0)
		return neighbor_solicit(f, m, f->gateway.bytes, NULL);
	return f->has_gateway6 && i == 0 && neighbor_solicit(f, m, f->gateway6.bytes, NULL);
}
