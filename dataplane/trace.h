/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where packets go, for an operator who asked about a session, a user or an address (`rookctl trace`, `rookctl capture`).
 *
 * A packet that matches is taken through the worker alone, and what it was counted as before and after is compared: the counters that moved
 * are its way, so trace and counters cannot tell different stories. Nothing is asked per packet while no trace is on: each place below
 * asks once per burst.
 *
 *   trace_receive   a burst from a port or from another worker     trace_opened   its frames, once they can be read
 *   trace_ingress   frames of an ethdev, for what ends there       trace_sealing  packets to clients, while they can still be read
 *   trace_transmit  a burst to a port                              trace_session  what happens without a packet: timers, ends
 *   trace_shed      what a worker that is behind drops unseen
 *
 * Records go into a ring of their own and are lost, and counted, when it is full or there are more than TRACE_PER_SECOND. Neither keys
 * nor texts are in them: bytes, if they are asked for, are those on the wire.
 *
 * Thread-safety: one worker's lcore.
 */
#ifndef ROOKERY_DATAPLANE_TRACE_H
#define ROOKERY_DATAPLANE_TRACE_H

#include "port.h"
#include "shared/counters.h"
#include "shared/ipc.h"

#include <stdbool.h>
#include <stdint.h>

#define TRACE_PER_SECOND 5000
#define TRACE_SEALED 64

struct worker;
struct session;
struct iface;
struct link_queue;
struct output_packet;

/* What could be read of a packet before it was sealed. */
struct trace_sealed {
	const struct rte_mbuf *mbuf;
	uint8_t frame_count;
	struct trace_frame frames[TRACE_FRAMES_MAX];
};

struct trace {
	struct trace_filter filters[TRACE_FILTERS_MAX];
	uint32_t count;               /* of filters in use; 0: no trace is on */
	struct cell_trace *current;   /* the packet that is taken through alone, or NULL */
	const struct cell_ring *ring;
	uint64_t wall_us;             /* what to add to the worker's clock */
	uint64_t second;              /* in which `left` more may be said */
	uint32_t left;
	uint32_t lost;                /* since the last record that was not */
	uint32_t sealed_count;
	struct trace_sealed sealed[TRACE_SEALED];
};

/* INJECT_TRACE: these filters and no others. */
void trace_set(struct worker *w, const struct cell *c);

typedef void (*trace_receive_fn)(struct worker *w, struct rte_mbuf **pkts, uint16_t n);
/* receive takes the packets: those that match one by one. */
void trace_receive(struct worker *w, struct rte_mbuf **pkts, uint16_t n, trace_receive_fn receive);
/* Only while there is a current packet. */
void trace_opened(struct worker *w, const uint8_t *plain, size_t length);
/* As ingress_burst. */
uint16_t trace_ingress(struct worker *w, struct link_queue *l, struct rte_mbuf **pkts, uint16_t n, struct rte_mbuf **replies,
		       uint16_t *reply_count, uint64_t now_ms);
/* As shed_frames, or for no iface as shed_datagrams. q->trace is set. */
uint16_t trace_shed(struct port_queue *q, const struct iface *f, struct rte_mbuf **pkts, uint16_t n);
void trace_sealing(struct worker *w, const struct output_packet *packets, uint32_t n);
/* As the port's tx. */
void trace_transmit(struct worker *w, struct port_queue *q, struct rte_mbuf **pkts, uint16_t n);
void trace_session(struct worker *w, const struct session *s, enum counter what);

#endif
