/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From frames to datagrams: Ethernet, IPv4, IPv6, UDP. Fragments, VLAN tags and everything that is not for us
 * are dropped and counted; ARP, ND and echo are handled here too (neighbor.h).
 *
 * Thread-safety: one worker per link_queue.
 */
#ifndef ROOKERY_DATAPLANE_INGRESS_H
#define ROOKERY_DATAPLANE_INGRESS_H

#include "dataplane/neighbor.h"
#include "dataplane/packet.h"

/* Takes n frames. Those that are datagrams for us stay in pkts, in order, their data the UDP payload and
 * their packet_info filled; returns their number. Frames to be sent in answer (at most n) go to replies. All
 * others are counted and freed. */
uint16_t ingress_burst(struct link_queue *l, struct rte_mbuf **pkts, uint16_t n, struct rte_mbuf **replies,
		       uint16_t *reply_count, uint64_t now_ms);

#endif
