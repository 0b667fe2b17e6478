/* SPDX-License-Identifier: BSD-3-Clause */
/* A packet above the port: an mbuf whose data is the UDP payload, and where it came from or goes to. */
#ifndef ROOKERY_DATAPLANE_PACKET_H
#define ROOKERY_DATAPLANE_PACKET_H

#include "shared/address.h"

#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>

/* Lies among the mbuf's dynamic fields (boot.c claims the place), on a line that every packet touches anyway. One segment always. Headroom
 * is at least PACKET_HEADROOM for the port's headers. */
struct packet_info {
	struct endpoint peer; /* rx: source; tx: destination */
	uint8_t port;         /* index of the port it came from or leaves by */
	uint8_t local;        /* index of our address on that port (ethdev) */
};

/* The last of them: drivers that want some, as net_pcap for its time stamps, take the first that fit. */
#define PACKET_INFO (offsetof(struct rte_mbuf, dynfield1) + sizeof(((struct rte_mbuf *)0)->dynfield1) - sizeof(struct packet_info))
#define PACKET_HEADROOM RTE_PKTMBUF_HEADROOM
#define PACKET_HEADERS 62 /* that a port puts before the data: Ethernet, IPv6, UDP */

_Static_assert(sizeof(struct packet_info) <= sizeof(((struct rte_mbuf *)0)->dynfield1), "fits the dynamic fields");
_Static_assert(PACKET_INFO % _Alignof(struct packet_info) == 0, "lies as its fields want it");

static inline struct packet_info *
packet_info(const struct rte_mbuf *m)
{
	return RTE_MBUF_DYNFIELD((uintptr_t)m, PACKET_INFO, struct packet_info *);
}

#endif
