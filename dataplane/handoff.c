/* SPDX-License-Identifier: BSD-3-Clause */
#include "handoff.h"

#include "worker_state.h"

#include <errno.h>
#include <rte_malloc.h>
#include <rte_ring_elem.h>

int
handoff_init(struct worker *w, int numa_node)
{
	ssize_t size = rte_ring_get_memsize_elem(sizeof(struct handoff_item), HANDOFF_RING);

	w->handoff.ring = rte_zmalloc_socket("handoff", (size_t)size, 64, numa_node);
	w->handoff_out = rte_zmalloc_socket("handoff_out", w->workers * sizeof(*w->handoff_out), 64, numa_node);
	if (w->handoff.ring == NULL || w->handoff_out == NULL)
		return -ENOMEM;
	return rte_ring_init(w->handoff.ring, "handoff", HANDOFF_RING, RING_F_SC_DEQ);
}

void
handoff_fini(struct worker *w)
{
	struct handoff_item item;

	if (w->handoff.ring != NULL) {
		while (rte_ring_dequeue_elem(w->handoff.ring, &item, sizeof(item)) == 0)
			if (item.kind == HANDOFF_PACKET)
				rte_pktmbuf_free(item.packet);
	}
	for (uint32_t to = 0; w->handoff_out != NULL && to < w->workers; to++)
		for (uint32_t i = 0; i < w->handoff_out[to].count; i++)
			if (w->handoff_out[to].items[i].kind == HANDOFF_PACKET)
				rte_pktmbuf_free(w->handoff_out[to].items[i].packet);
	rte_free(w->handoff.ring);
	rte_free(w->handoff_out);
}

static void
batch_flush(struct handoff_batch *b)
{
	uint32_t sent;

	sent = rte_ring_enqueue_burst_elem(b->ring, b->items, sizeof(b->items[0]), b->count, NULL);
	b->count -= sent;
	if (b->count != 0 && sent != 0)
		memmove(b->items, b->items + sent, b->count * sizeof(b->items[0]));
}

bool
handoff_put(struct worker *w, uint32_t to, const struct handoff_item *item)
{
	struct handoff_batch *b = &w->handoff_out[to];

	if (b->count == HANDOFF_BATCH)
		batch_flush(b);
	if (b->count == HANDOFF_BATCH)
		return false;
	b->items[b->count++] = *item;
	return true;
}

void
handoff_flush(struct worker *w)
{
	for (uint32_t to = 0; to < w->workers; to++)
		if (w->handoff_out[to].count != 0)
			batch_flush(&w->handoff_out[to]);
}

/* Starts loading what the items are about: it is cold, and much of it in another core's cache. */
static void
items_prefetch(const struct worker *w, const struct handoff_item *items, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const struct handoff_item *item = &items[i];

		if (item->kind == HANDOFF_PACKET) {
			rte_mbuf_prefetch_part1(item->packet);
			rte_mbuf_prefetch_part2(item->packet);
		} else if (item->kind == HANDOFF_DELIVER) {
			session_prefetch(&w->sessions, item->sid);
			message_prefetch_record(item->message);
		} else {
			rte_prefetch0(&w->messages.messages[item->record.index]);
		}
	}
	for (unsigned i = 0; i < n; i++) {
		const struct session *s;

		if (items[i].kind == HANDOFF_PACKET) {
			rte_prefetch0(rte_pktmbuf_mtod(items[i].packet, void *));
		} else if (items[i].kind == HANDOFF_DELIVER) {
			s = session_find(&w->sessions, items[i].sid);
			if (s != NULL)
				activity_prefetch(&w->sessions, s);
		}
	}
}

unsigned
handoff_poll(struct worker *w)
{
	struct handoff_item items[PORT_BURST];
	struct rte_mbuf *pkts[PORT_BURST];
	uint16_t packets = 0;
	unsigned n;

	n = rte_ring_sc_dequeue_burst_elem(w->handoff.ring, items, sizeof(items[0]), PORT_BURST, NULL);
	items_prefetch(w, items, n);
	for (unsigned i = 0; i < n; i++) {
		const struct handoff_item *item = &items[i];

		switch (item->kind) {
		case HANDOFF_PACKET:
			pkts[packets++] = item->packet;
			break;
		case HANDOFF_DELIVER:
			inflight_start(w, item->message, item->record, item->from, item->part, item->sid);
			break;
		case HANDOFF_RESULT:
			w->handoff_out[item->from].deliveries--;
			relay_result(w, item->record, item->part, item->outcome);
			break;
		}
	}
	if (packets != 0) {
		w->counters[COUNTER_handoff_in] += packets;
		if (unlikely(w->trace.count != 0))
			trace_receive(w, pkts, packets, receive_burst);
		else
			receive_burst(w, pkts, packets);
	}
	return n;
}
