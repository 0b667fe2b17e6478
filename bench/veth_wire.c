/* SPDX-License-Identifier: BSD-3-Clause */
#include "veth_wire.h"

#include "fail.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Frames that the kernel makes before it looks after them; their pages serve again. A veth holds 256. */
#define SEND_BATCH 64u
#define IP_DF 0x4000
#define DATAGRAM_AT sizeof(struct veth_headers)

_Static_assert(DATAGRAM_AT + VETH_DATAGRAM_MAX == VETH_FRAME_MAX, "a frame is headers and a datagram");

struct veth_wire {
	struct veth_headers headers; /* of all frames; lengths and checksums are missing */
	uint64_t pseudo;             /* sum of the words of the UDP pseudo header but for the length */
	struct bpf_object *object;
	struct veth_send *sending; /* shared with the program */
	size_t sending_size;
	unsigned count;
	int give; /* program */
	struct ring_buffer *received;
	struct bpf_tc_hook hook;
	veth_take *take;
	void *context;
};

/* ---- frames ---- */

/* The Internet checksum's sum, not folded, of 16-bit words as they lie in memory. */
static uint64_t
sum_add(uint64_t sum, const void *data, size_t length)
{
	const uint8_t *p = data;
	uint32_t word = 0;

	for (; length >= 4; p += 4, length -= 4) {
		memcpy(&word, p, 4);
		sum += word;
	}
	word = 0;
	memcpy(&word, p, length);
	return sum + word;
}

static uint16_t
sum_fold(uint64_t sum)
{
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void
headers_set(struct veth_wire *w, const struct veth_ends *ends)
{
	struct veth_headers *h = &w->headers;
	uint16_t protocol = htons(IPPROTO_UDP);

	memcpy(h->ether.h_source, ends->client_mac, ETH_ALEN);
	memcpy(h->ether.h_dest, ends->server_mac, ETH_ALEN);
	h->ether.h_proto = htons(ETH_P_IP);
	h->ip = (struct iphdr){.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP, .frag_off = htons(IP_DF)};
	memcpy(&h->ip.saddr, ends->client_ip, sizeof(h->ip.saddr));
	memcpy(&h->ip.daddr, ends->server_ip, sizeof(h->ip.daddr));
	h->udp.source = htons(VETH_CLIENT_PORT);
	h->udp.dest = htons(VETH_SERVER_PORT);
	w->pseudo = sum_add(sum_add(0, &h->ip.saddr, 8), &protocol, 2);
}

uint8_t *
veth_wire_room(struct veth_wire *w)
{
	return w->count == VETH_SLOTS ? NULL : w->sending->slot[w->count].data + DATAGRAM_AT;
}

void
veth_wire_put(struct veth_wire *w, size_t length)
{
	struct veth_slot *slot = &w->sending->slot[w->count++];
	struct veth_headers h = w->headers;
	size_t udp_length = sizeof(h.udp) + length;
	uint16_t sum;

	h.ip.tot_len = htons((uint16_t)(sizeof(h.ip) + udp_length));
	h.ip.check = sum_fold(sum_add(0, &h.ip, sizeof(h.ip)));
	h.udp.len = htons((uint16_t)udp_length);
	sum = sum_fold(sum_add(sum_add(w->pseudo + h.udp.len, &h.udp, sizeof(h.udp)), slot->data + DATAGRAM_AT, length));
	h.udp.check = sum != 0 ? sum : 0xffff;
	memcpy(slot->data, &h, sizeof(h));
	slot->length = (uint32_t)(DATAGRAM_AT + length);
}

void
veth_wire_send(struct veth_wire *w)
{
	static const uint8_t frame[VETH_FRAME_MAX]; /* each becomes another one */
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = sizeof(frame), .repeat = (int)w->count,
		    .batch_size = w->count < SEND_BATCH ? w->count : SEND_BATCH, .flags = BPF_F_TEST_XDP_LIVE_FRAMES);
	int rc;

	if (w->count == 0)
		return;
	w->sending->next = 0;
	do {
		options.repeat = (int)(w->count - w->sending->next);
		rc = bpf_prog_test_run_opts(w->give, &options);
	} while (rc == -EINTR && w->sending->next < w->count);
	if (rc != 0 && rc != -EINTR)
		fail("frames cannot be sent: %s", strerror(-rc));
	w->count = 0;
}

static int
record_take(void *context, void *data, size_t size)
{
	struct veth_wire *w = context;
	const struct veth_slot *slot = data;

	(void)size;
	w->take(w->context, slot->data, slot->length);
	return 0;
}

unsigned
veth_wire_receive(struct veth_wire *w)
{
	int n = ring_buffer__consume(w->received);

	if (n < 0)
		fail("what came cannot be read: %s", strerror(-n));
	return (unsigned)n;
}

/* ---- opening ---- */

static int
warnings_print(enum libbpf_print_level level, const char *format, va_list args)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, format, args) : 0;
}

static struct bpf_map *
map_find(const struct veth_wire *w, const char *name)
{
	struct bpf_map *map = bpf_object__find_map_by_name(w->object, name);

	if (map == NULL)
		fail("the program has no map %s", name);
	return map;
}

static int
program_find(const struct veth_wire *w, const char *name)
{
	struct bpf_program *program = bpf_object__find_program_by_name(w->object, name);

	if (program == NULL)
		fail("there is no program %s", name);
	return bpf_program__fd(program);
}

static void
object_load(struct veth_wire *w, const char *program, unsigned interface)
{
	int rc;

	w->object = bpf_object__open_file(program, NULL);
	if (w->object == NULL)
		fail("%s: %s", program, strerror(errno));
	rc = bpf_map__set_initial_value(map_find(w, ".rodata"), &interface, sizeof(interface));
	if (rc != 0)
		fail("%s: has other constants than its interface", program);
	rc = bpf_object__load(w->object);
	if (rc != 0)
		fail("%s cannot be loaded: %s; it needs root and Linux 5.18", program, strerror(-rc));
}

struct veth_wire *
veth_wire_open(const struct veth_ends *ends, const char *program, veth_take *take, void *context)
{
	LIBBPF_OPTS(bpf_tc_opts, attach);
	struct veth_wire *w = calloc(1, sizeof(*w));
	unsigned interface = if_nametoindex(ends->interface);
	int rc;

	if (w == NULL || interface == 0)
		fail("no memory, or no interface %s", ends->interface);
	w->take = take;
	w->context = context;
	headers_set(w, ends);
	libbpf_set_print(warnings_print);
	object_load(w, program, interface);
	w->give = program_find(w, "veth_give");
	/* On some interface, so that a run need not make it known to all processors, which takes an RCU period. */
	rc = bpf_xdp_attach((int)if_nametoindex("lo"), w->give, XDP_FLAGS_SKB_MODE, NULL);
	if (rc != 0)
		fail("lo takes no program: %s", strerror(-rc));
	w->sending_size = (sizeof(*w->sending) + (size_t)sysconf(_SC_PAGESIZE) - 1) & ~((size_t)sysconf(_SC_PAGESIZE) - 1);
	w->sending = mmap(NULL, w->sending_size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map_find(w, "sending")), 0);
	if (w->sending == MAP_FAILED)
		fail("slots to send: %s", strerror(errno));
	w->received = ring_buffer__new(bpf_map__fd(map_find(w, "received")), record_take, w, NULL);
	if (w->received == NULL)
		fail("ring of what came: %s", strerror(errno));
	w->hook = (struct bpf_tc_hook){.sz = sizeof(w->hook), .ifindex = (int)interface, .attach_point = BPF_TC_INGRESS};
	rc = bpf_tc_hook_create(&w->hook);
	attach.prog_fd = program_find(w, "veth_take");
	if (rc == 0)
		rc = bpf_tc_attach(&w->hook, &attach);
	if (rc != 0)
		fail("%s takes no program: %s", ends->interface, strerror(-rc));
	return w;
}

void
veth_wire_close(struct veth_wire *w)
{
	w->hook.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS; /* the hook itself, not only what hangs there */
	(void)bpf_xdp_detach((int)if_nametoindex("lo"), XDP_FLAGS_SKB_MODE, NULL);
	(void)bpf_tc_hook_destroy(&w->hook);
	ring_buffer__free(w->received);
	munmap(w->sending, w->sending_size);
	bpf_object__close(w->object);
	free(w);
}
