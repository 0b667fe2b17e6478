/* SPDX-License-Identifier: BSD-3-Clause */
#include "trace.h"

#include "ingress.h"
#include "shed.h"
#include "worker_state.h"

#include <netinet/in.h>
#include <rte_ip.h>
#include <rte_udp.h>
#include <string.h>

/* ---- matching ------------------------------------------------------------------------ */

/* What is known of a packet without opening it. */
struct subject {
	session_id_t sid;
	user_id_t user;
	const struct endpoint *peer;
};

static uint8_t
filters_match(const struct trace *t, const struct subject *s)
{
	uint8_t mask = 0;

	for (unsigned i = 0; i < TRACE_FILTERS_MAX; i++) {
		const struct trace_filter *f = &t->filters[i];

		if (f->kind == TRACE_ALL || (f->kind == TRACE_SESSION && f->id == s->sid) ||
		    (f->kind == TRACE_USER && s->user != 0 && f->id == s->user) ||
		    (f->kind == TRACE_ADDRESS && prefix_holds(&f->prefix, s->peer->ip)))
			mask |= (uint8_t)(1u << i);
	}
	return mask;
}

static user_id_t
user_of(const struct worker *w, session_id_t sid)
{
	const struct session *s = NULL;

	if (sid != SESSION_ID_NONE && session_id_worker(sid) == w->index)
		s = session_find(&w->sessions, sid);
	return s == NULL ? 0 : s->user;
}

/* The session named in a datagram's header. */
static session_id_t
sid_of(const uint8_t *data, size_t length)
{
	struct wire_prefix p;

	if (length < WIRE_PREFIX || (data[0] != WIRE_DATA && data[0] != WIRE_RESET))
		return SESSION_ID_NONE;
	wire_prefix_read(&p, data);
	return p.id;
}

/* ---- records ------------------------------------------------------------------------- */

/* May one more be made in this second? */
static bool
record_allowed(struct worker *w)
{
	struct trace *t = &w->trace;

	if (w->now_us / 1000000 != t->second) {
		t->second = w->now_us / 1000000;
		t->left = TRACE_PER_SECOND;
	}
	if (t->left != 0 && ring_used(t->ring) < ring_capacity(t->ring)) {
		t->left--;
		return true;
	}
	t->lost++;
	return false;
}

static bool
wants_bytes(const struct trace *t, uint8_t mask)
{
	for (unsigned i = 0; i < TRACE_FILTERS_MAX; i++)
		if (mask & 1u << i && t->filters[i].bytes)
			return true;
	return false;
}

/* Begins a record of a datagram if it matches. The record's bytes, if wanted, are in data. */
static bool
record_begin(struct worker *w, struct cell_trace *r, uint8_t kind, const struct packet_info *info, const uint8_t *bytes, size_t length,
	     uint8_t *data, uint16_t *data_length)
{
	struct subject s = {.sid = sid_of(bytes, length), .peer = &info->peer};
	uint8_t mask;

	s.user = user_of(w, s.sid);
	mask = filters_match(&w->trace, &s);
	if (mask == 0 || !record_allowed(w))
		return false;
	*r = (struct cell_trace){
		.time_us = w->now_us + w->trace.wall_us,
		.sid = s.sid,
		.user = s.user,
		.peer = info->peer,
		.port = info->port,
		.local = info->local,
		.mask = mask,
		.kind = kind,
		.type = length != 0 ? bytes[0] : 0,
		.size = (uint16_t)length,
	};
	*data_length = 0;
	if (wants_bytes(&w->trace, mask)) {
		*data_length = (uint16_t)RTE_MIN(length, (size_t)WIRE_DATAGRAM_MAX);
		memcpy(data, bytes, *data_length);
	}
	return true;
}

static void
record_end(struct worker *w, const struct cell_trace *r, const uint8_t *data, uint16_t length)
{
	struct trace *t = &w->trace;
	struct cell *c = ring_reserve(t->ring);

	if (c == NULL) {
		t->lost++;
		return;
	}
	c->type = PUNT_TRACE;
	c->worker = w->index;
	c->length = length;
	c->trace = *r;
	c->trace.lost = (uint16_t)RTE_MIN(t->lost, (uint32_t)UINT16_MAX);
	t->lost -= c->trace.lost;
	if (length != 0)
		memcpy(c->data, data, length);
	ring_publish(t->ring);
}

/* The packet goes on, and where it ends it is asked about again: it must neither use up the second nor be lost twice. */
static void
record_leave(struct trace *t, bool begun, uint32_t lost_before)
{
	t->left += begun;
	t->lost = lost_before;
}

/* Is this how a received packet ends (counters.h)? */
static bool
is_end(unsigned c)
{
	return counter_info[c].is_drop || c == COUNTER_consumed || c == COUNTER_answered || c == COUNTER_handoff_out || c == COUNTER_punted ||
	       c == COUNTER_link_arp || c == COUNTER_link_nd || c == COUNTER_link_echo;
}

/* Says nothing of one packet, or is another packet's. */
static bool
is_noise(unsigned c)
{
	return counter_info[c].is_gauge || c == COUNTER_rx_packets || c == COUNTER_rx_bytes || c == COUNTER_tx_packets || c == COUNTER_tx_bytes ||
	       c == COUNTER_handoff_in || c == COUNTER_cycles_busy;
}

/* What moved since `before`, the end first. */
static void
record_counters(struct cell_trace *r, const uint64_t *before, const uint64_t *after, bool received)
{
	for (int pass = 0; pass < 2; pass++) {
		for (unsigned c = 0; c < COUNTER_COUNT; c++) {
			if (before[c] == after[c] || is_noise(c) || is_end(c) != (pass == 0) || (received && c == COUNTER_tx_failed))
				continue;
			if (r->counter_count < TRACE_COUNTERS_MAX)
				r->counters[r->counter_count++] = (uint8_t)c;
		}
	}
}

/* ---- frames -------------------------------------------------------------------------- */

static struct trace_frame
frame_summary(const struct frame *f)
{
	struct trace_frame s = {.type = f->type};
	uint32_t first;
	uint16_t length;

	switch (f->type) {
	case FRAME_MESSAGE:
		s.id = f->message.id;
		break;
	case FRAME_DELIVER:
		s.id = f->deliver.id;
		break;
	case FRAME_CONFIRM:
		s.id = f->confirm;
		break;
	case FRAME_CONFIRM_GAPS:
		s.id = f->confirm_gaps.id;
		break;
	case FRAME_RECEIPT:
		s.id = wire_receipt_id(&f->receipt, 0);
		s.detail = f->receipt.level;
		s.more = (uint8_t)(f->receipt.count - 1);
		break;
	case FRAME_ACK:
		wire_ack_range(&f->ack, 0, &first, &length);
		s.id = first;
		s.more = (uint8_t)RTE_MIN(length - 1, UINT8_MAX);
		break;
	case FRAME_REQUEST:
		s.id = f->request.request;
		break;
	case FRAME_RESPONSE:
		s.id = f->response.request;
		break;
	case FRAME_CLOSE:
		s.detail = f->close_reason;
		break;
	default:
		break;
	}
	return s;
}

/* Returns how many there are; the first ones are in out. */
static uint8_t
frames_summary(struct trace_frame out[TRACE_FRAMES_MAX], const uint8_t *plain, size_t length)
{
	uint8_t count = 0;
	struct frame f;
	int n;

	while (length != 0 && count < UINT8_MAX && (n = frame_read(&f, plain, length)) > 0) {
		if (f.type != FRAME_PAD) {
			if (count < TRACE_FRAMES_MAX)
				out[count] = frame_summary(&f);
			count++;
		}
		plain += n;
		length -= (size_t)n;
	}
	return count;
}

void
trace_opened(struct worker *w, const uint8_t *plain, size_t length)
{
	struct cell_trace *r = w->trace.current;

	r->frame_count = frames_summary(r->frames, plain, length);
}

void
trace_sealing(struct worker *w, const struct output_packet *packets, uint32_t n)
{
	struct trace *t = &w->trace;

	for (uint32_t i = 0; i < n; i++) {
		struct trace_sealed *s;

		/* One that is left over was sent while no trace was on. */
		if (t->sealed_count == TRACE_SEALED)
			t->sealed_count = 0;
		s = &t->sealed[t->sealed_count++];
		s->mbuf = packets[i].mbuf;
		s->frame_count = frames_summary(s->frames, rte_pktmbuf_mtod_offset(packets[i].mbuf, const uint8_t *, WIRE_DATA_HEADER),
						packets[i].length);
	}
}

static void
record_sealed(struct trace *t, struct cell_trace *r, const struct rte_mbuf *m)
{
	for (uint32_t i = 0; i < t->sealed_count; i++) {
		if (t->sealed[i].mbuf != m)
			continue;
		r->frame_count = t->sealed[i].frame_count;
		memcpy(r->frames, t->sealed[i].frames, sizeof(r->frames));
		return;
	}
}

static void
sealed_forget(struct trace *t, const struct rte_mbuf *m)
{
	for (uint32_t i = 0; i < t->sealed_count; i++) {
		if (t->sealed[i].mbuf == m) {
			t->sealed[i] = t->sealed[--t->sealed_count];
			return;
		}
	}
}

/* ---- in ------------------------------------------------------------------------------ */

/* To which sessions the messages of this packet are under way. */
static void
record_relayed(const struct worker *w, struct cell_trace *r)
{
	for (unsigned i = 0; i < r->frame_count && i < TRACE_FRAMES_MAX; i++) {
		const struct message *m;

		if (r->frames[i].type != FRAME_MESSAGE)
			continue;
		m = message_find(&w->messages, r->sid, r->frames[i].id);
		for (unsigned k = 0; m != NULL && k < m->live_count && r->to_count < TRACE_TO_MAX; k++)
			r->to[r->to_count++] = m->live[k].sid;
	}
}

static void
receive_alone(struct worker *w, struct rte_mbuf *m, struct cell_trace *r, const uint8_t *data, uint16_t length, trace_receive_fn receive)
{
	uint64_t before[COUNTER_COUNT];

	memcpy(before, w->counters, sizeof(before));
	w->trace.current = r;
	receive(w, &m, 1);
	w->trace.current = NULL;
	record_counters(r, before, w->counters, true);
	record_relayed(w, r);
	record_end(w, r, data, length);
}

void
trace_receive(struct worker *w, struct rte_mbuf **pkts, uint16_t n, trace_receive_fn receive)
{
	uint8_t data[WIRE_DATAGRAM_MAX];
	struct cell_trace r;
	uint16_t length, first = 0;

	for (uint16_t i = 0; i < n; i++) {
		if (!record_begin(w, &r, TRACE_IN, packet_info(pkts[i]), rte_pktmbuf_mtod(pkts[i], const uint8_t *),
				  rte_pktmbuf_data_len(pkts[i]), data, &length))
			continue;
		if (i != first)
			receive(w, pkts + first, (uint16_t)(i - first));
		first = (uint16_t)(i + 1);
		receive_alone(w, pkts[i], &r, data, length, receive);
	}
	if (first != n)
		receive(w, pkts + first, (uint16_t)(n - first));
}

/* Source and payload of an IP frame that may be malformed in any way. False: it has no such thing. */
static bool
frame_source(const struct rte_mbuf *m, uint8_t port, struct packet_info *info, const uint8_t **payload, size_t *length)
{
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *), *ip = frame + sizeof(struct rte_ether_hdr);
	size_t have = rte_pktmbuf_data_len(m), headers;
	const struct rte_udp_hdr *udp;

	*info = (struct packet_info){.port = port};
	if (have < sizeof(struct rte_ether_hdr) + sizeof(struct rte_ipv4_hdr))
		return false;
	if (((const struct rte_ether_hdr *)frame)->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV4)) {
		endpoint_set_ipv4(&info->peer, &((const struct rte_ipv4_hdr *)ip)->src_addr, 0);
		headers = sizeof(struct rte_ether_hdr) + (size_t)(ip[0] & 15) * 4;
	} else if (((const struct rte_ether_hdr *)frame)->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV6)) {
		headers = sizeof(struct rte_ether_hdr) + sizeof(struct rte_ipv6_hdr);
		if (have < headers)
			return false;
		memcpy(info->peer.ip, ((const struct rte_ipv6_hdr *)ip)->src_addr, sizeof(info->peer.ip));
	} else {
		return false;
	}
	*payload = frame + have;
	*length = 0;
	if (have < headers + sizeof(*udp))
		return true;
	udp = (const struct rte_udp_hdr *)(frame + headers);
	info->peer.port = rte_be_to_cpu_16(udp->src_port);
	*payload = (const uint8_t *)(udp + 1);
	*length = have - headers - sizeof(*udp);
	return true;
}

static bool
frame_begin(struct worker *w, struct cell_trace *r, const struct rte_mbuf *m, uint8_t port, uint8_t *data, uint16_t *data_length)
{
	struct packet_info info;
	const uint8_t *payload;
	size_t size;

	return frame_source(m, port, &info, &payload, &size) && record_begin(w, r, TRACE_IN, &info, payload, size, data, data_length);
}

uint16_t
trace_shed(struct port_queue *q, const struct iface *f, struct rte_mbuf **pkts, uint16_t n)
{
	uint8_t data[WIRE_DATAGRAM_MAX];
	uint64_t before[COUNTER_COUNT];
	struct worker *w = q->trace;
	struct cell_trace r;
	uint16_t length, kept = 0;

	for (uint16_t i = 0; i < n; i++) {
		struct rte_mbuf *m = pkts[i];
		uint32_t lost = w->trace.lost;
		bool traced = f != NULL ? frame_begin(w, &r, m, q->index, data, &length)
					: record_begin(w, &r, TRACE_IN, packet_info(m), rte_pktmbuf_mtod(m, const uint8_t *),
						       rte_pktmbuf_data_len(m), data, &length);

		memcpy(before, w->counters, sizeof(before));
		if ((f != NULL ? shed_frames(q, f, &m, 1) : shed_datagrams(q, &m, 1)) != 0) {
			record_leave(&w->trace, traced, lost);
			pkts[kept++] = m;
		} else if (traced) {
			record_counters(&r, before, w->counters, true);
			record_end(w, &r, data, length);
		}
	}
	return kept;
}

uint16_t
trace_ingress(struct worker *w, struct link_queue *l, struct rte_mbuf **pkts, uint16_t n, struct rte_mbuf **replies, uint16_t *reply_count,
	      uint64_t now_ms)
{
	uint8_t data[WIRE_DATAGRAM_MAX];
	uint16_t up = 0, length, more;
	uint64_t before[COUNTER_COUNT];
	struct cell_trace r;

	*reply_count = 0;
	for (uint16_t i = 0; i < n; i++) {
		struct rte_mbuf *m = pkts[i];
		uint32_t lost = w->trace.lost;
		bool traced = frame_begin(w, &r, m, l->port, data, &length);

		memcpy(before, w->counters, sizeof(before));
		if (ingress_burst(l, &m, 1, replies + *reply_count, &more, now_ms) != 0) {
			record_leave(&w->trace, traced, lost); /* trace_receive says the rest */
			pkts[up++] = m;
		} else if (traced) {
			record_counters(&r, before, w->counters, true);
			record_end(w, &r, data, length);
		}
		*reply_count = (uint16_t)(*reply_count + more);
	}
	return up;
}

/* ---- out ----------------------------------------------------------------------------- */

void
trace_transmit(struct worker *w, struct port_queue *q, struct rte_mbuf **pkts, uint16_t n)
{
	uint8_t data[WIRE_DATAGRAM_MAX];
	uint64_t before[COUNTER_COUNT];
	struct cell_trace r;
	uint16_t length;

	for (uint16_t i = 0; i < n; i++) {
		const struct rte_mbuf *m = pkts[i];
		bool traced = record_begin(w, &r, TRACE_OUT, packet_info(pkts[i]), rte_pktmbuf_mtod(m, const uint8_t *), rte_pktmbuf_data_len(m), data, &length);

		if (traced)
			record_sealed(&w->trace, &r, m);
		sealed_forget(&w->trace, m);
		memcpy(before, w->counters, sizeof(before));
		q->port->ops->tx(q, pkts + i, 1, w->now_us / 1000);
		if (!traced)
			continue;
		record_counters(&r, before, w->counters, false);
		record_end(w, &r, data, length);
	}
}

/* ---- without a packet ------------------------------------------------------------------ */

void
trace_session(struct worker *w, const struct session *s, enum counter what)
{
	struct subject subject = {.sid = session_id_of(w, s), .user = s->user, .peer = &s->peer};
	uint8_t mask = filters_match(&w->trace, &subject);
	struct cell_trace r = {
		.time_us = w->now_us + w->trace.wall_us,
		.sid = subject.sid,
		.user = subject.user,
		.peer = s->peer,
		.port = s->port,
		.local = s->local,
		.mask = mask,
		.kind = TRACE_EVENT,
		.counter_count = 1,
		.counters = {(uint8_t)what},
	};

	if (mask != 0 && record_allowed(w))
		record_end(w, &r, NULL, 0);
}

/* ---- on and off ------------------------------------------------------------------------ */

void
trace_set(struct worker *w, const struct cell *c)
{
	struct trace *t = &w->trace;

	memset(t->filters, 0, sizeof(t->filters));
	memcpy(t->filters, c->data, c->length);
	t->count = 0;
	for (unsigned i = 0; i < TRACE_FILTERS_MAX; i++)
		t->count += t->filters[i].kind != TRACE_NONE;
	t->wall_us = w->wall_ms * 1000 - w->now_us;
	t->sealed_count = 0;
	t->lost = 0;
	t->second = UINT64_MAX;
	for (unsigned i = 0; i < w->port_count; i++)
		w->queues[i].trace = t->count != 0 ? w : NULL;
}
