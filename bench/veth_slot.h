/* SPDX-License-Identifier: BSD-3-Clause */
/* What veth_wire.c and its programs in the kernel share. */
#ifndef ROOKERY_BENCH_VETH_SLOT_H
#define ROOKERY_BENCH_VETH_SLOT_H

#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/types.h>
#include <linux/udp.h>

#define VETH_SLOTS 256
#define VETH_FRAME_MAX 508
#define VETH_DATAGRAM_MAX (VETH_FRAME_MAX - 42) /* struct veth_headers */
#define VETH_RING_BYTES (1 << 20)
#define VETH_CLIENT_PORT 4000
#define VETH_SERVER_PORT 8000

struct veth_headers {
	struct ethhdr ether;
	struct iphdr ip;
	struct udphdr udp;
} __attribute__((packed));

/* A frame to the server, or a datagram from it. */
struct veth_slot {
	__u32 length;
	__u8 data[VETH_FRAME_MAX];
};

struct veth_send {
	__u32 next; /* of the slots: to be sent */
	struct veth_slot slot[VETH_SLOTS];
};

#endif
