/* SPDX-License-Identifier: BSD-3-Clause */
/* The clients' end of the veth pair: UDP datagrams to and from one server, past the kernel's stack (veth_wire.bpf.c). Frames that are
 * sent have whole checksums, as off a wire; checksums of what comes, which a veth leaves unfinished, are not looked at.
 * Thread-safety: one thread. */
#ifndef ROOKERY_BENCH_VETH_WIRE_H
#define ROOKERY_BENCH_VETH_WIRE_H

#include "veth_slot.h"

#include <stddef.h>
#include <stdint.h>

struct veth_ends {
	const char *interface; /* of this network namespace */
	uint8_t client_mac[ETH_ALEN], server_mac[ETH_ALEN];
	uint8_t client_ip[4], server_ip[4];
};

struct veth_wire;

/* Reads a datagram, which is gone afterwards. */
typedef void veth_take(void *context, const uint8_t *datagram, size_t length);

/* program: veth_wire.bpf.o. Ends the program if the kernel does not allow it. */
struct veth_wire *veth_wire_open(const struct veth_ends *ends, const char *program, veth_take *take, void *context);
/* Room for the next datagram, of at most VETH_DATAGRAM_MAX bytes, or NULL when VETH_SLOTS of them wait to be sent. */
uint8_t *veth_wire_room(struct veth_wire *w);
/* What was written there is a datagram of this length. */
void veth_wire_put(struct veth_wire *w, size_t length);
/* Sends what was put. */
void veth_wire_send(struct veth_wire *w);
/* Hands all that came to take. Returns how many. */
unsigned veth_wire_receive(struct veth_wire *w);
void veth_wire_close(struct veth_wire *w);

#endif
