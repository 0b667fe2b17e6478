/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The clients' end of the veth pair, without the kernel's UDP, IP and sockets: what a NIC would do. One program makes frames out
 * of the slots that veth_wire.c filled and hands them to the link as a driver with XDP does, in batches and without socket
 * buffers. The other takes what comes for the clients out of the receive path and into a ring; all else (ARP) goes its way.
 */
#include "veth_slot.h"

#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* Written by the program below, and before each run by veth_wire.c. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct veth_send);
} sending SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, VETH_RING_BYTES);
} received SEC(".maps");

const volatile __u32 interface;

SEC("xdp")
int
veth_give(struct xdp_md *frame)
{
	struct veth_send *s;
	struct veth_slot *slot;
	__u32 key = 0, length;

	s = bpf_map_lookup_elem(&sending, &key);
	if (s == NULL)
		return XDP_ABORTED;
	slot = &s->slot[s->next++ % VETH_SLOTS];
	length = slot->length;
	if (length < ETH_HLEN || length > VETH_FRAME_MAX)
		return XDP_ABORTED;
	if (bpf_xdp_adjust_tail(frame, (int)length - (int)bpf_xdp_get_buff_len(frame)) != 0 ||
	    bpf_xdp_store_bytes(frame, 0, slot->data, length) != 0)
		return XDP_ABORTED;
	return (int)bpf_redirect(interface, 0);
}

SEC("tc")
int
veth_take(struct __sk_buff *skb)
{
	const struct veth_headers *h;
	struct veth_slot *slot;
	__u32 length;

	/* Of a packet out of AF_PACKET's ring the rest is elsewhere. */
	if (skb->len >= sizeof(*h) && skb->data + sizeof(*h) > skb->data_end)
		(void)bpf_skb_pull_data(skb, sizeof(*h));
	h = (const void *)(long)skb->data;
	if ((const void *)(h + 1) > (const void *)(long)skb->data_end || h->ether.h_proto != bpf_htons(ETH_P_IP) ||
	    h->ip.protocol != IPPROTO_UDP || h->ip.ihl != 5 || h->udp.dest != bpf_htons(VETH_CLIENT_PORT))
		return TC_ACT_OK;
	length = bpf_ntohs(h->udp.len) - sizeof(h->udp);
	slot = bpf_ringbuf_reserve(&received, sizeof(*slot), 0);
	if (slot == NULL)
		return TC_ACT_SHOT;
	slot->length = length;
	if (length < 1 || length > VETH_FRAME_MAX || bpf_skb_load_bytes(skb, sizeof(*h), slot->data, length) != 0)
		bpf_ringbuf_discard(slot, BPF_RB_NO_WAKEUP);
	else
		bpf_ringbuf_submit(slot, BPF_RB_NO_WAKEUP);
	return TC_ACT_SHOT;
}
