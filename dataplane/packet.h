/* SPDX-License-Identifier: BSD-3-Clause */
/* A packet above the port: an mbuf whose data is the UDP payload, and where it came from or goes to. */
#ifndef ROOKERY_DATAPLANE_PACKET_H
#define ROOKERY_DATAPLANE_PACKET_H

#include "shared/address.h"

#include <rte_mbuf.h>

/* Lives in the mbuf's private area. One segment always. Headroom is at least PACKET_HEADROOM for the port's headers. */
struct packet_info {
	struct endpoint peer; /* rx: source; tx: destination */
	uint8_t port;         /* index of the port it came from or leaves by */
	uint8_t local;        /* index of our address on that port (ethdev) */
};

#define PACKET_PRIV 64 /* so that a received frame begins at a cache line, and its headers are in it */
#define PACKET_HEADROOM RTE_PKTMBUF_HEADROOM
#define PACKET_HEADERS 62 /* that a port puts before the data: Ethernet, IPv6, UDP */

_Static_assert(sizeof(struct packet_info) <= PACKET_PRIV, "fits the private area");

static inline struct packet_info *
packet_info(struct rte_mbuf *m)
{
	return (struct packet_info *)rte_mbuf_to_priv(m);
}

#endif
