/* SPDX-License-Identifier: BSD-3-Clause */
/* The clients: valid, fresh, sealed packets for the worker, and eyes for what it answers. */
#include "bench.h"

#include <rte_ip.h>
#include <rte_udp.h>
#include <string.h>

#define HEADERS (sizeof(struct rte_ether_hdr) + sizeof(struct rte_ipv4_hdr) + sizeof(struct rte_udp_hdr))

static uint64_t random_state = UINT64_C(88172645463325252);

uint64_t
draw(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state >> 11;
}

uint32_t
draw_below(uint32_t n)
{
	return (uint32_t)(draw() % n);
}

void
shuffle(uint32_t *a, uint32_t n)
{
	for (uint32_t i = n; i > 1; i--) {
		uint32_t j = draw_below(i), x = a[j];

		a[j] = a[i - 1];
		a[i - 1] = x;
	}
}

/* ---- who is who --------------------------------------------------------------------- */

static rte_be32_t
client_ip(uint32_t client)
{
	struct endpoint e;
	rte_be32_t ip;

	load_address(client, &e);
	memcpy(&ip, e.ip + 12, sizeof(ip));
	return ip;
}

static uint16_t
client_port(uint32_t client)
{
	struct endpoint e;

	load_address(client, &e);
	return e.port;
}

void
load_router_mac(struct rte_ether_addr *mac)
{
	*mac = (struct rte_ether_addr){{2, 0, 0, 0, 0, 0xfe}};
}

uint32_t
load_buddy(const struct world *w, uint32_t client)
{
	return w->order[w->place[client] ^ 1];
}

session_id_t
load_session(const struct world *w, uint32_t client)
{
	return session_id_make(client % w->lane_count, LOAD_GENERATION, client / w->lane_count);
}

struct lane *
load_lane(struct world *w, uint32_t client)
{
	return &w->lanes[client % w->lane_count];
}

/* ---- to the worker ------------------------------------------------------------------ */

static void
headers_write(const struct world *w, uint32_t client, struct rte_mbuf *m, uint16_t payload)
{
	struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, struct rte_ether_hdr *);
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(eth + 1);
	struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(ip + 1);
	uint16_t udp_length = (uint16_t)(sizeof(*udp) + payload);

	eth->dst_addr = w->mac;
	load_router_mac(&eth->src_addr);
	eth->ether_type = RTE_BE16(RTE_ETHER_TYPE_IPV4);
	*ip = (struct rte_ipv4_hdr){
		.version_ihl = RTE_IPV4_VHL_DEF,
		.total_length = rte_cpu_to_be_16((uint16_t)(sizeof(*ip) + udp_length)),
		.time_to_live = 60,
		.next_proto_id = IPPROTO_UDP,
		.src_addr = client_ip(client),
		.dst_addr = RTE_BE32(0xc0000201),
	};
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	*udp = (struct rte_udp_hdr){
		.src_port = rte_cpu_to_be_16(client_port(client)),
		.dst_port = RTE_BE16(8000),
		.dgram_len = rte_cpu_to_be_16(udp_length),
	};
	udp->dgram_cksum = rte_ipv4_udptcp_cksum(ip, udp);
}

static struct rte_mbuf *
packet_new(struct world *w, uint32_t client)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(load_lane(w, client)->pool);

	if (m == NULL)
		fail("no packet left");
	return m;
}

void
world_put_datagram(struct world *w, uint32_t client, const uint8_t *data, uint16_t length)
{
	struct rte_mbuf *m = packet_new(w, client);

	memcpy(rte_pktmbuf_append(m, (uint16_t)(HEADERS + length)) + HEADERS, data, length);
	headers_write(w, client, m, length);
	world_wire(w, client, m);
}

uint16_t
world_take_datagram(struct world *w, uint8_t *out, uint16_t cap)
{
	uint16_t length;
	void *p;

	if (rte_ring_dequeue(w->lanes[0].out, &p) != 0)
		return 0;
	length = (uint16_t)(rte_pktmbuf_data_len((struct rte_mbuf *)p) - HEADERS);
	length = RTE_MIN(length, cap);
	memcpy(out, rte_pktmbuf_mtod_offset((struct rte_mbuf *)p, uint8_t *, HEADERS), length);
	rte_pktmbuf_free(p);
	return length;
}

/* Seals length bytes of frames that lie in their place. */
static struct rte_mbuf *
packet_seal(struct world *w, uint32_t client, struct rte_mbuf *m, size_t length)
{
	static struct aead_key key;
	struct wire_data d = {.sid = load_session(w, client), .counter = wire_counter(0, w->clients != NULL ? ++w->clients[client].sequence : w->sequence)};
	uint8_t *data = rte_pktmbuf_mtod_offset(m, uint8_t *, HEADERS);
	uint8_t nonce[AEAD_NONCE];
	struct session_keys keys;
	uint16_t payload = (uint16_t)(WIRE_DATA_HEADER + length + WIRE_TAG);

	load_keys(client, &keys);
	aead_key_set(&key, keys.key);
	wire_data_write(&d, data);
	wire_nonce(nonce, WIRE_TO_SERVER, d.counter);
	aead_seal(&key, nonce, data, WIRE_DATA_HEADER, data + WIRE_DATA_HEADER, length, data + WIRE_DATA_HEADER,
		  data + WIRE_DATA_HEADER + length);
	m->data_len = (uint16_t)(HEADERS + payload);
	m->pkt_len = m->data_len;
	headers_write(w, client, m, payload);
	return m;
}

static size_t
add_frame(struct rte_mbuf *m, size_t at, const struct frame *f)
{
	int n = frame_write(f, rte_pktmbuf_mtod_offset(m, uint8_t *, HEADERS + WIRE_DATA_HEADER + at), WIRE_PLAINTEXT_MAX - at);

	if (n < 0)
		fail("a frame of type %u cannot be written", f->type);
	return at + (size_t)n;
}

static size_t
add_ack(struct rte_mbuf *m, size_t at, uint32_t first, uint16_t n)
{
	uint8_t range[6];
	struct frame f = {.type = FRAME_ACK, .ack = {.count = 1, .ranges = range}};

	wire_ack_put(range, 0, first, n);
	return add_frame(m, at, &f);
}

static size_t
add_confirm(struct rte_mbuf *m, size_t at, struct client *c)
{
	struct frame f = {.type = FRAME_CONFIRM, .confirm = c->delivered};

	if (c->delivered == c->confirmed)
		return at;
	c->confirmed = c->delivered;
	return add_frame(m, at, &f);
}

struct rte_mbuf *
world_make_message(struct world *w, uint32_t client, const struct message_shape *shape)
{
	static const uint8_t text[MESSAGE_BODY_MAX];
	struct rte_mbuf *m = packet_new(w, client);
	struct client *c = &w->clients[client];
	struct frame f = {
		.type = FRAME_MESSAGE,
		.message = {.to = load_buddy(w, client) + 1, .id = c->message + 1, .prev_delta = c->message != 0,
			    .floor_delta = 1, .length = shape->payload, .body = text},
	};
	size_t length = add_frame(m, 0, &f);

	if (shape->real)
		c->message++;
	if (shape->with_ack && c->ack_count != 0) {
		length = add_ack(m, length, c->ack_first, c->ack_count);
		c->ack_count = shape->real ? 0 : c->ack_count;
	}
	if (shape->with_confirm && shape->real)
		length = add_confirm(m, length, c);
	return packet_seal(w, client, m, length);
}

void
world_put_message(struct world *w, uint32_t client, const struct message_shape *shape)
{
	world_wire(w, client, world_make_message(w, client, shape));
}

void
world_put_ping(struct world *w, uint32_t client)
{
	struct rte_mbuf *m = packet_new(w, client);
	struct frame f = {.type = FRAME_PING, .token = client};

	world_wire(w, client, packet_seal(w, client, m, add_frame(m, 0, &f)));
}

void
world_put_acks(struct world *w)
{
	for (uint32_t n = w->ack_count; n > 0; n--) {
		uint32_t pick = draw_below(n);
		struct pending_ack a = w->acks[pick];
		struct rte_mbuf *m = packet_new(w, a.client);

		w->acks[pick] = w->acks[n - 1];
		world_wire(w, a.client, packet_seal(w, a.client, m, add_ack(m, 0, a.delivery, 1)));
		w->clients[a.client].ack_count = 0;
	}
	w->ack_count = 0;
}

void
world_put_confirm(struct world *w, uint32_t client)
{
	struct client *c = &w->clients[client];
	struct rte_mbuf *m;

	if (c->delivered == c->confirmed)
		return;
	m = packet_new(w, client);
	world_wire(w, client, packet_seal(w, client, m, add_confirm(m, 0, c)));
}

/* ---- from the worker ---------------------------------------------------------------- */

static void
delivered(struct world *w, uint32_t client, const struct frame_deliver *d)
{
	struct client *c = &w->clients[client];

	if (d->from != load_buddy(w, client) + 1)
		fail("client %u got a message of user %lu", client, (unsigned long)d->from);
	if (w->ack_count == 2 * PHASE)
		fail("more deliveries than messages");
	w->acks[w->ack_count++] = (struct pending_ack){.client = client, .delivery = d->delivery};
	if (c->ack_count == 0)
		c->ack_first = d->delivery;
	c->ack_count++;
}

static void
notified(struct world *w, uint32_t client, uint32_t delivery)
{
	if (w->ack_count == 2 * PHASE)
		fail("more notifications than were sent");
	w->acks[w->ack_count++] = (struct pending_ack){.client = client, .delivery = delivery};
}

static void
receipt(struct world *w, uint32_t client, const struct frame_receipt *r)
{
	w->receipts[r->level] += r->count;
	if (r->level == RECEIPT_DELIVERED)
		w->clients[client].delivered += r->count;
	else if (r->level != RECEIPT_ACCEPTED)
		fail("client %u: a message was %s (%s)", client, receipt_level_name(r->level), refuse_reason_name(r->reason));
}

static void
frames_read(struct world *w, uint32_t client, const uint8_t *data, size_t length)
{
	struct frame f;

	while (length != 0) {
		int n = frame_read(&f, data, length);

		if (n < 0)
			fail("client %u got a frame that cannot be read", client);
		if (f.type == FRAME_DELIVER)
			delivered(w, client, &f.deliver);
		else if (f.type == FRAME_RECEIPT)
			receipt(w, client, &f.receipt);
		else if (f.type == FRAME_NOTIFY)
			notified(w, client, f.notify.delivery);
		else if (f.type == FRAME_PONG)
			w->pongs++;
		else
			fail("client %u got a frame of type %u", client, f.type);
		data += n;
		length -= (size_t)n;
	}
}

static bool
checksums_right(const struct rte_ipv4_hdr *ip, struct rte_udp_hdr *udp)
{
	uint16_t udp_checksum = udp->dgram_cksum;

	udp->dgram_cksum = 0;
	return rte_ipv4_cksum(ip) == 0 && rte_ipv4_udptcp_cksum(ip, udp) == udp_checksum;
}

static void
packet_open(struct world *w, struct rte_mbuf *m)
{
	static struct aead_key key;
	const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
	const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)(eth + 1);
	struct rte_udp_hdr *udp = rte_pktmbuf_mtod_offset(m, struct rte_udp_hdr *, HEADERS - sizeof(*udp));
	uint8_t *data = rte_pktmbuf_mtod_offset(m, uint8_t *, HEADERS);
	uint8_t nonce[AEAD_NONCE];
	struct session_keys keys;
	struct wire_data d;
	uint32_t client;
	size_t length;

	if (eth->ether_type != RTE_BE16(RTE_ETHER_TYPE_IPV4))
		return; /* ARP: the port introduces itself */
	if (!checksums_right(ip, udp) ||
	    wire_data_read(&d, data, m->data_len - HEADERS) != 0)
		fail("the worker sent a packet that is none");
	client = session_id_index(d.sid) * w->lane_count + session_id_worker(d.sid);
	if (client >= w->sessions || ip->dst_addr != client_ip(client) || udp->dst_port != rte_cpu_to_be_16(client_port(client)))
		fail("a packet went astray");
	length = m->data_len - HEADERS - WIRE_DATA_HEADER - WIRE_TAG;
	load_keys(client, &keys);
	aead_key_set(&key, keys.key);
	wire_nonce(nonce, WIRE_TO_CLIENT, d.counter);
	if (aead_open(&key, nonce, data, WIRE_DATA_HEADER, data + WIRE_DATA_HEADER, length, data + WIRE_DATA_HEADER,
		      data + WIRE_DATA_HEADER + length) != 0)
		fail("client %u cannot open what it got", client);
	w->packets++;
	frames_read(w, client, data + WIRE_DATA_HEADER, length);
}

void
world_collect(struct world *w)
{
	void *m;

	memset(w->receipts, 0, sizeof(w->receipts));
	w->pongs = 0;
	w->packets = 0;
	for (unsigned i = 0; i < w->lane_count; i++)
		while (rte_ring_dequeue(w->lanes[i].out, &m) == 0) {
			packet_open(w, m);
			rte_pktmbuf_free(m);
		}
}
