/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a worker that is behind drops first: packets that belong to no session (LOGIN above all), for a fraction of what it costs to
 * receive one. Else a flood of them takes the time of those who are logged in, or their packets' place in the device's queue.
 *
 * Thread-safety: one worker per port_queue.
 */
#ifndef ROOKERY_DATAPLANE_SHED_H
#define ROOKERY_DATAPLANE_SHED_H

#include "iface.h"
#include "port.h"

/* Both look at the n packets and return how many are left, in order, in pkts; the others are freed and counted. q->shedding is set. */

/* Frames as they came from a device: of each the mbuf's first line and the first line or two of its data are read, no more. Takes
 * for a LOGIN what looks like one to our UDP port; whether its sums are right does not matter any more. */
uint16_t shed_frames(struct port_queue *q, const struct iface *f, struct rte_mbuf **pkts, uint16_t n);
/* Datagrams with their packet_info. */
uint16_t shed_datagrams(struct port_queue *q, struct rte_mbuf **pkts, uint16_t n);

#endif
