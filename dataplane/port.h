/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A port: where datagrams come from and go to. Two kinds behind one table: DPDK ethdev (port_ethdev.c) and UDP
 * socket (port_socket.c). Above it a packet is a peer address and a payload (packet.h).
 *
 * Thread-safety: port_open, port_close, ban, ban_end, describe on the main lcore; each port_queue is used by one worker alone.
 */
#ifndef ROOKERY_DATAPLANE_PORT_H
#define ROOKERY_DATAPLANE_PORT_H

#include "packet.h"
#include "shared/config.h"

#include <rte_mempool.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PORT_MAX 8
#define PORT_BURST 32

struct guard;
struct port;
struct worker;

/* One worker's end of a port. */
struct port_queue {
	struct port *port;
	uint16_t queue;
	uint8_t index;            /* of the port: packet_info.port */
	struct rte_mempool *pool; /* rx buffers and the port's own replies */
	uint64_t *counters;       /* the worker's, enum counter */
	/* For ops->rx, from the worker that is behind: what does not belong to a session is dropped unless this admits it (shed.h).
	 * Else NULL. */
	struct guard *shedding;
	struct worker *trace;     /* for ops->rx: its worker, while that traces (trace.h). Else NULL */
	bool full;                /* from ops->rx: the device had as many as it was asked for, and may have more */
};

struct port_ops {
	bool sheds; /* rx does it, before it looks at frames; else the worker does it to datagrams */
	int (*open)(struct port *p, char *error, size_t cap);
	/* Up to max packets that passed ingress; link-layer business (ARP, ND, echo) is done inside. Counts rx_*, link_*, drops. */
	uint16_t (*rx)(struct port_queue *q, struct rte_mbuf **pkts, uint16_t max, uint64_t now_ms);
	/* Takes all n: sends or frees and counts each. */
	void (*tx)(struct port_queue *q, struct rte_mbuf **pkts, uint16_t n, uint64_t now_ms);
	/* Idle worker: returns after timeout_us or earlier with traffic. */
	void (*wait)(struct port_queue *q, uint32_t timeout_us);
	/* Has the device itself drop datagrams from there, and ends that. A device refuses as it likes; -ENOSYS: it will never take any.
	 * Both NULL: the kind has no device. */
	int (*ban)(struct port *p, const struct prefix *from, void **rule);
	void (*ban_end)(struct port *p, void *rule);
	void (*close)(struct port *p);
	/* One line for the log and rookctl: "socket 127.0.0.1:8000, 1 queue". */
	void (*describe)(const struct port *p, char *buf, size_t cap);
};

struct port {
	const struct port_ops *ops;
	const struct config_port *config;
	uint8_t index;
	uint16_t queues;
	struct rte_mempool **pools; /* per queue */
	void *state;                /* of the kind */
};

/* Returns 0 or -errno with one line in error that names the thing, the value and the mend. */
int port_open(struct port *p, const struct config_port *config, uint8_t index, uint16_t queues,
	      struct rte_mempool **pools, char *error, size_t cap);
void port_close(struct port *p);

#endif
