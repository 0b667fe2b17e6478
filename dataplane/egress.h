/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From datagrams to frames: source address, next hop, UDP, IP and Ethernet headers, checksums.
 *
 * Thread-safety: one worker per link_queue.
 */
#ifndef ROOKERY_DATAPLANE_EGRESS_H
#define ROOKERY_DATAPLANE_EGRESS_H

#include "dataplane/neighbor.h"
#include "dataplane/packet.h"

/*
 * Takes n datagrams (n at most PORT_BURST). Those that can be sent stay in pkts, in order, as frames; returns
 * their number. One whose next hop is not known becomes a request for it where one is due, and is dropped and
 * counted (tx_failed): the sender's retransmission finds the answer. Requests go to requests (room for n), to
 * be sent as well.
 */
uint16_t egress_burst(struct link_queue *l, struct rte_mbuf **pkts, uint16_t n, struct rte_mbuf **requests,
		      uint16_t *request_count, uint64_t now_ms);

#endif
