/* SPDX-License-Identifier: BSD-3-Clause */
/* From frames to packets: consecutive frames for one session share a datagram; a datagram is sealed once. */
#include "worker_state.h"

#include <string.h>

#define NO_RECEIPT UINT16_MAX
#define SPARE_AHEAD 4 /* packets */

static void
batch_send(struct worker *w, unsigned port)
{
	struct port_queue *q = &w->queues[port];
	struct tx_batch *b = &w->tx[port];

	if (unlikely(w->trace.count != 0))
		trace_transmit(w, q, b->packets, b->count);
	else
		q->port->ops->tx(q, b->packets, b->count, w->now_us / 1000);
	b->count = 0;
}

static void
transmit(struct worker *w, struct rte_mbuf *m)
{
	unsigned port = packet_info(m)->port;
	struct tx_batch *b;

	if (port >= w->port_count) {
		count(w, COUNTER_tx_failed);
		rte_pktmbuf_free(m);
		return;
	}
	b = &w->tx[port];
	count(w, COUNTER_tx_packets);
	w->counters[COUNTER_tx_bytes] += rte_pktmbuf_data_len(m);
	b->packets[b->count++] = m;
	if (b->count == TX_BURST) {
		batch_send(w, port);
	}
}

void
output_transmit(struct worker *w)
{
	output_flush(w);
	for (unsigned port = 0; port < w->port_count; port++) {
		if (w->tx[port].count != 0)
			batch_send(w, port);
	}
}

void
output_fini(struct worker *w)
{
	rte_pktmbuf_free(w->output.mbuf);
	for (uint32_t i = 0; i < w->sealing_count; i++)
		rte_pktmbuf_free(w->sealing[i].mbuf);
}

/* Starts loading a packet that the pool will hand out soon: they come back cold. */
static void
prefetch_spare(struct worker *w)
{
	const struct rte_mempool_cache *c = rte_mempool_default_cache(w->pool, rte_lcore_id());
	const uint8_t *m;

	if (c == NULL || c->len < SPARE_AHEAD)
		return;
	m = c->objs[c->len - SPARE_AHEAD];
	for (size_t at = 0; at < sizeof(struct rte_mbuf); at += RTE_CACHE_LINE_SIZE)
		rte_prefetch0(m + at);
	rte_prefetch0(m + sizeof(struct rte_mbuf) + PACKET_HEADROOM - RTE_CACHE_LINE_SIZE / 2);
	rte_prefetch0(m + sizeof(struct rte_mbuf) + PACKET_HEADROOM + RTE_CACHE_LINE_SIZE / 2);
}

/* Moves the packet's data so that it begins `before` bytes before body. False when m is not the worker's alone, or too small for what
 * may be put into it. */
static bool
data_begins_before(struct rte_mbuf *m, const uint8_t *body, size_t before)
{
	uint8_t *buf = m->buf_addr;
	size_t at = (size_t)(body - buf);

	if (at < before + PACKET_HEADERS || at - before + WIRE_DATAGRAM_MAX > m->buf_len || !RTE_MBUF_DIRECT(m) ||
	    rte_mbuf_refcnt_read(m) != 1 || m->nb_segs != 1)
		return false;
	m->data_off = (uint16_t)(at - before);
	return true;
}

static struct rte_mbuf *
spare_take(struct worker *w)
{
	struct rte_mbuf *m = w->spare.mbuf;

	w->spare = (struct spare_packet){.mbuf = NULL};
	return m;
}

static struct rte_mbuf *
packet_alloc(struct worker *w)
{
	struct rte_mbuf *m = w->spare.mbuf;

	if (m != NULL && w->spare.body == NULL && data_begins_before(m, rte_pktmbuf_mtod(m, const uint8_t *), 0))
		return spare_take(w);
	m = rte_pktmbuf_alloc(w->pool);
	prefetch_spare(w);
	if (m == NULL)
		count(w, COUNTER_tx_failed);
	return m;
}

static void
packet_seal(struct worker *w, const struct output_packet *o)
{
	uint8_t *data = rte_pktmbuf_mtod(o->mbuf, uint8_t *);
	struct session *s = o->session;

	cached_key_seal(keycache_get(w->keycache, o->sid, &s->keys, &s->key_place), o->nonce, data, o->length);
	o->mbuf->data_len = (uint16_t)(WIRE_DATA_HEADER + o->length + WIRE_TAG);
	o->mbuf->pkt_len = o->mbuf->data_len;
	transmit(w, o->mbuf);
}

static void
seal_all(struct worker *w)
{
	if (unlikely(w->trace.count != 0))
		trace_sealing(w, w->sealing, w->sealing_count);
	for (uint32_t i = 0; i < w->sealing_count; i++) {
		keycache_prefetch(w->keycache, w->sealing[i].session->key_place, w->sealing[i].length);
	}
	for (uint32_t i = 0; i < w->sealing_count; i++)
		packet_seal(w, &w->sealing[i]);
	w->sealing_count = 0;
}

/* No more frames into the open packet. Header and nonce are written now, and read in wider words than they are written when the
 * packet is sealed: by then they have reached the cache. */
static void
output_close(struct worker *w)
{
	struct output_packet *o = &w->output;
	struct session *s = o->session;
	struct output_packet *closed;
	struct wire_data header;

	if (o->mbuf == NULL)
		return;
	header.sid = session_id_of(w, s);
	header.counter = wire_counter(s->epoch, ++s->tx_sequence);
	wire_data_write(&header, rte_pktmbuf_mtod(o->mbuf, uint8_t *));
	closed = &w->sealing[w->sealing_count++];
	closed->mbuf = o->mbuf;
	closed->session = s;
	closed->length = o->length;
	closed->sid = header.sid;
	wire_nonce(closed->nonce, WIRE_TO_CLIENT, header.counter);
	o->mbuf = NULL;
	if (w->sealing_count == OUTPUT_SEALING)
		seal_all(w);
}

void
output_flush(struct worker *w)
{
	output_close(w);
	seal_all(w);
}

/* Opens m, whose data begins with room for the header, for a frame of size bytes. */
static uint8_t *
output_open(struct worker *w, struct session *s, struct rte_mbuf *m, bool elsewhere, size_t size)
{
	struct output_packet *o = &w->output;

	o->mbuf = m;
	o->session = s;
	o->length = (uint16_t)size;
	o->receipt = NO_RECEIPT;
	o->elsewhere = elsewhere;
	return rte_pktmbuf_mtod_offset(m, uint8_t *, WIRE_DATA_HEADER);
}

static void
address_to_session(struct rte_mbuf *m, const struct session *s)
{
	struct packet_info *to = packet_info(m);

	to->peer = s->peer;
	to->port = s->port;
	to->local = s->local;
}

static bool
joins_open(const struct worker *w, const struct session *s, size_t size)
{
	const struct output_packet *o = &w->output;

	return o->mbuf != NULL && o->session == s && !o->elsewhere && o->length + size <= WIRE_PLAINTEXT_MAX;
}

uint8_t *
output_frame(struct worker *w, struct session *s, size_t size)
{
	struct output_packet *o = &w->output;
	struct rte_mbuf *m;

	if (joins_open(w, s, size)) {
		uint8_t *at = rte_pktmbuf_mtod_offset(o->mbuf, uint8_t *, WIRE_DATA_HEADER + o->length);

		o->length = (uint16_t)(o->length + size);
		o->receipt = NO_RECEIPT;
		return at;
	}
	output_close(w);
	m = packet_alloc(w);
	if (m == NULL)
		return NULL;
	address_to_session(m, s);
	return output_open(w, s, m, false, size);
}

uint8_t *
output_frame_to(struct worker *w, struct session *s, const struct packet_info *to, size_t size)
{
	struct rte_mbuf *m;

	output_close(w);
	m = packet_alloc(w);
	if (m == NULL)
		return NULL;
	*packet_info(m) = *to;
	return output_open(w, s, m, true, size);
}

uint8_t *
output_forward(struct worker *w, struct session *s, size_t header, size_t length, const uint8_t **body)
{
	const uint8_t *text = w->spare.body;
	struct rte_mbuf *m;

	if (w->spare.mbuf == NULL || joins_open(w, s, header + length) ||
	    !data_begins_before(w->spare.mbuf, text, WIRE_DATA_HEADER + header))
		return output_frame(w, s, header + length);
	output_close(w);
	*body = text;
	m = spare_take(w);
	address_to_session(m, s);
	return output_open(w, s, m, false, header + length);
}

/* One more id in the RECEIPT frame that ends the open packet, if that says the same. */
static bool
receipt_extend(struct worker *w, const struct session *s, enum receipt_level level, enum refuse_reason reason,
	       uint32_t retry_ms, message_id_t id)
{
	struct output_packet *o = &w->output;
	uint8_t *at, n;

	if (o->mbuf == NULL || o->session != s || o->receipt == NO_RECEIPT || o->elsewhere ||
	    o->length + sizeof(id) > WIRE_PLAINTEXT_MAX)
		return false;
	at = rte_pktmbuf_mtod_offset(o->mbuf, uint8_t *, WIRE_DATA_HEADER + o->receipt);
	n = (uint8_t)get32(at);
	if (n == RECEIPT_IDS_MAX || get32(at) != (uint32_t)(FRAME_RECEIPT << 24 | level << 16 | reason << 8 | n) || get32(at + 4) != retry_ms)
		return false;
	wire_receipt_put(at + RECEIPT_HEADER, n, id);
	wire_receipt_header(at, (uint8_t)level, (uint8_t)reason, (uint8_t)(n + 1), retry_ms);
	o->length += sizeof(id);
	return true;
}

void
output_receipt(struct worker *w, struct session *s, enum receipt_level level, enum refuse_reason reason, uint32_t retry_ms,
	       message_id_t id)
{
	uint8_t *at;

	count(w, COUNTER_receipts_sent);
	if (receipt_extend(w, s, level, reason, retry_ms, id))
		return;
	at = output_frame(w, s, RECEIPT_HEADER + sizeof(id));
	if (at == NULL)
		return;
	wire_receipt_header(at, (uint8_t)level, (uint8_t)reason, 1, retry_ms);
	wire_receipt_put(at + RECEIPT_HEADER, 0, id);
	w->output.receipt = (uint16_t)(w->output.length - RECEIPT_HEADER - sizeof(id));
}

static void
datagram_send(struct worker *w, struct rte_mbuf *m, const uint8_t *data, size_t n)
{
	memcpy(rte_pktmbuf_mtod(m, uint8_t *), data, n);
	m->data_len = (uint16_t)n;
	m->pkt_len = m->data_len;
	transmit(w, m);
}

void
output_datagram(struct worker *w, const struct packet_info *to, const uint8_t *data, size_t n)
{
	struct rte_mbuf *m;

	m = packet_alloc(w);
	if (m == NULL)
		return;
	*packet_info(m) = *to;
	datagram_send(w, m, data, n);
}

void
output_answer(struct worker *w, struct rte_mbuf *m, const uint8_t *data, size_t n)
{
	if (data_begins_before(m, rte_pktmbuf_mtod(m, const uint8_t *), 0)) {
		datagram_send(w, m, data, n);
		return;
	}
	output_datagram(w, packet_info(m), data, n);
	rte_pktmbuf_free(m);
}
