/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages and heartbeats through the worker, against the reference in the same rounds. */
#include "rows.h"

#include <stdio.h>
#include <stdlib.h>

#define HOT 4096u

/* Plaintext bytes of what is opened and sealed. */
enum { RECEIPT_BYTES = RECEIPT_HEADER + 8, ACK_BYTES = 8, PING_BYTES = 9, PONG_BYTES = 27, CONFIRM_BYTES = 9 };

static uint32_t
sender(const struct world *w, uint32_t hot)
{
	return w->order[draw_below(hot)];
}

static void
put_messages(struct world *w, uint32_t hot, const struct message_shape *shape)
{
	for (uint32_t i = 0; i < PHASE; i++)
		world_put_message(w, sender(w, hot), shape);
}

void
confirm_all(struct world *w, uint32_t hot)
{
	for (uint32_t i = 0; i < hot;) {
		for (; i < hot && rte_ring_count(w->lanes[0].in) < PHASE; i++)
			world_put_confirm(w, w->order[i]);
		world_run(w);
	}
}

/* The recipients acknowledge, the senders confirm: what a relay row does not count. */
static void
settle(struct world *w, uint32_t hot)
{
	uint32_t messages = w->ack_count;

	world_put_acks(w);
	world_run(w);
	world_collect(w);
	if (w->receipts[RECEIPT_DELIVERED] != messages)
		fail("%u messages, %u delivered", messages, w->receipts[RECEIPT_DELIVERED]);
	confirm_all(w, hot);
}

static void
collect_relayed(struct world *w, uint32_t messages)
{
	world_collect(w);
	if (w->ack_count != messages || w->receipts[RECEIPT_ACCEPTED] != messages)
		fail("%u messages, %u accepted, %u delivered", messages, w->receipts[RECEIPT_ACCEPTED], w->ack_count);
}

void
relay_rounds(struct world *w, uint32_t hot, uint16_t payload, struct series *relay, struct series *reference)
{
	struct message_shape shape = {.payload = payload};

	for (unsigned r = 0; r <= options.rounds; r++) {
		shape.real = false;
		put_messages(w, hot, &shape);
		double ref = (double)world_run_reference(w) / PHASE;

		world_discard(w);
		shape.real = true;
		put_messages(w, hot, &shape);
		world_run_measured(w);
		if (r > 0) { /* the first warms up */
			series_add(reference, ref);
			series_add(relay, (double)w->cycles / PHASE);
		}
		collect_relayed(w, PHASE);
		settle(w, hot);
	}
	world_check(w);
}

static void
add_relay(struct world *w, const char *name, uint32_t hot, unsigned keys, double room)
{
	const uint16_t sizes[] = {MESSAGE_HEADER + 256, RECEIPT_BYTES, DELIVER_HEADER + 256};
	struct series relay = {.count = 0}, reference = {.count = 0};
	double aead = reference_aead(sizes, RTE_DIM(sizes));
	double base;
	char note[160];

	if (!row_wanted(name))
		return;
	relay_rounds(w, hot, 256, &relay, &reference);
	aead = (aead + reference_aead(sizes, RTE_DIM(sizes))) / 2;
	base = series_summary(&reference).median + aead + keys * reference_key();
	snprintf(note, sizeof(note), "REF %.0f + AEAD(284,16,304) %.0f%s", series_summary(&reference).median, aead,
		 keys != 0 ? " + 2 KEY" : "");
	row_add(name, series_summary(&relay), "cycles/message", base, base + room, true, note);
}

/* A message's whole life: message with CONFIRM of earlier ones, ACCEPTED, forward, ACK in a packet of its own, DELIVERED. */
static void
add_acked(struct world *w, uint32_t hot)
{
	const uint16_t sizes[] = {MESSAGE_HEADER + 256 + CONFIRM_BYTES, RECEIPT_BYTES, DELIVER_HEADER + 256, ACK_BYTES, RECEIPT_BYTES};
	struct message_shape shape = {.payload = 256, .with_confirm = true};
	struct series whole = {.count = 0}, reference = {.count = 0};
	double base;
	char note[160];

	if (!row_wanted("acked_256"))
		return;
	for (unsigned r = 0; r <= options.rounds; r++) {
		uint64_t cycles;
		double ref;

		shape.real = false;
		put_messages(w, hot, &shape);
		ref = (double)world_run_reference(w) / PHASE;
		world_discard(w);
		shape.real = true;
		put_messages(w, hot, &shape);
		world_run_measured(w);
		cycles = w->cycles;
		collect_relayed(w, PHASE);
		world_put_acks(w);
		world_run_measured(w);
		cycles += w->cycles;
		world_collect(w);
		if (r > 0) {
			series_add(&reference, ref);
			series_add(&whole, (double)cycles / PHASE);
		}
	}
	confirm_all(w, hot);
	world_check(w);
	base = 2 * series_summary(&reference).median + reference_aead(sizes, RTE_DIM(sizes));
	snprintf(note, sizeof(note), "2 REF of %.0f + 5 AEAD", series_summary(&reference).median);
	row_add("acked_256", series_summary(&whole), "cycles/message", base, base + 200, true, note);
}

/* A conversation: each packet brings a message, the ACK of what came, and a CONFIRM. Everybody sends as often. */
static void
add_acked_coalesced(struct world *w, uint32_t hot)
{
	const uint16_t sizes[] = {MESSAGE_HEADER + 256 + ACK_BYTES + CONFIRM_BYTES, RECEIPT_BYTES, DELIVER_HEADER + 256, RECEIPT_BYTES};
	struct message_shape shape = {.payload = 256, .with_confirm = true, .with_ack = true};
	struct series whole = {.count = 0}, reference = {.count = 0};
	static uint32_t senders[PHASE];
	double base;

	if (!row_wanted("acked_256_coalesced"))
		return;
	for (uint32_t i = 0; i < PHASE; i++)
		senders[i] = w->order[i % hot];
	for (unsigned r = 0; r <= options.rounds + 1; r++) {
		double ref;

		shuffle(senders, PHASE);
		shape.real = false;
		for (uint32_t i = 0; i < PHASE; i++)
			world_put_message(w, senders[i], &shape);
		ref = (double)world_run_reference(w) / PHASE;
		world_discard(w);
		shape.real = true;
		for (uint32_t i = 0; i < PHASE; i++)
			world_put_message(w, senders[i], &shape);
		w->ack_count = 0;
		world_run_measured(w);
		collect_relayed(w, PHASE);
		if (r > 1) { /* the first brings no ACK */
			series_add(&reference, ref);
			series_add(&whole, (double)w->cycles / PHASE);
		}
	}
	settle(w, hot);
	world_check(w);
	base = series_summary(&reference).median + reference_aead(sizes, RTE_DIM(sizes));
	row_add("acked_256_coalesced", series_summary(&whole), "cycles/message", base, base + 150, true,
		"ACK and CONFIRM ride on messages; the stretch of acked_256");
}

void
heartbeat_rounds(struct world *w, unsigned phases, uint64_t us_per_phase, struct series *pings, struct series *reference)
{
	for (unsigned r = 0; r <= phases; r++) {
		double ref;

		for (uint32_t i = 0; i < PHASE; i++)
			world_put_ping(w, draw_below(w->sessions));
		ref = (double)world_run_reference(w) / PHASE;
		world_discard(w);
		for (uint32_t i = 0; i < PHASE; i++)
			world_put_ping(w, draw_below(w->sessions));
		w->now_us += us_per_phase;
		world_run_measured(w);
		if (r > 0) {
			series_add(reference, ref);
			series_add(pings, (double)w->cycles / PHASE);
		}
		world_collect(w);
		if (w->pongs != PHASE)
			fail("%u pings, %u answers", PHASE, w->pongs);
	}
	world_check(w);
}

static void
add_heartbeat(struct world *w)
{
	const uint16_t sizes[] = {PING_BYTES, PONG_BYTES};
	struct series pings = {.count = 0}, reference = {.count = 0};
	double base, key;
	char note[160];

	if (!row_wanted("heartbeat_1m"))
		return;
	heartbeat_rounds(w, options.rounds, 0, &pings, &reference);
	key = reference_key();
	base = series_summary(&reference).median + reference_aead(sizes, RTE_DIM(sizes)) + key;
	snprintf(note, sizeof(note), "REF %.0f + AEAD(9,27) + KEY %.0f", series_summary(&reference).median, key);
	row_add("heartbeat_1m", series_summary(&pings), "cycles/ping", base, base + 60, true, note);
}

/* ---- curves ------------------------------------------------------------------------- */

static void
curve_payload(struct world *w)
{
	static const uint16_t payloads[] = {16, 64, 128, 256, 512, 1024};

	if (!row_wanted("curve_payload"))
		return;
	for (unsigned i = 0; i < RTE_DIM(payloads); i++) {
		struct series relay = {.count = 0}, reference = {.count = 0};

		relay_rounds(w, HOT, payloads[i], &relay, &reference);
		plot_point("payload", payloads[i], series_summary(&relay), series_summary(&reference).median);
	}
}

/* Few packets an iteration: what a lightly loaded worker pays for each. */
static void
curve_burst(struct world *w)
{
	struct message_shape shape = {.payload = 256, .real = true};
	static struct rte_mbuf *pkts[PHASE];
	static uint64_t cycles[PHASE];

	if (!row_wanted("curve_burst"))
		return;
	for (uint32_t burst = 1; burst <= PORT_BURST; burst *= 2) {
		struct series s = {.count = 0};

		for (unsigned r = 0; r < options.rounds; r++) {
			uint32_t n = 0;

			for (uint32_t i = 0; i < PHASE; i++)
				pkts[i] = world_make_message(w, sender(w, HOT), &shape);
			undisturbed(true);
			for (uint32_t i = 0; i < PHASE; i += burst) {
				for (uint32_t j = 0; j < burst; j++)
					world_wire(w, 0, pkts[i + j]);
				cycles[n++] = world_poll(w);
			}
			undisturbed(false);
			series_add(&s, (double)sum_without_kernel(cycles, n) / PHASE);
			collect_relayed(w, PHASE);
			settle(w, HOT);
		}
		plot_point("burst", burst, series_summary(&s), 0);
	}
}

static bool
relay_wanted(void)
{
	static const char *const names[] = {"relay_hot_256", "relay_cold_256", "acked_256",     "acked_256_coalesced", "heartbeat_1m",
					    "fanout_200",    "latency_p999_80", "curve_payload", "curve_burst", "scale_sessions"};

	for (unsigned i = 0; i < RTE_DIM(names); i++)
		if (row_wanted(names[i]))
			return true;
	return false;
}

void
rows_relay(void)
{
	static const uint32_t sizes[] = {10000, 100000};
	struct world w;

	for (unsigned i = 0; i < RTE_DIM(sizes); i++) {
		if (!row_wanted("scale_sessions"))
			continue;
		world_open(&w, &(struct world_shape){.sessions = sizes[i]});
		scale_points(&w);
		world_close(&w);
	}
	if (!relay_wanted())
		return;
	if (options.sessions_max < ROW_SESSIONS)
		printf("(worlds of at most %u sessions: the rows that want %u are measured there)\n", options.sessions_max, ROW_SESSIONS);
	world_open(&w, &(struct world_shape){.sessions = RTE_MIN(ROW_SESSIONS, options.sessions_max)});
	add_relay(&w, "relay_hot_256", HOT, 0, 100);
	add_relay(&w, "relay_cold_256", w.sessions, 2, 250);
	add_acked(&w, HOT);
	add_acked_coalesced(&w, HOT);
	add_heartbeat(&w);
	rows_fanout(&w);
	add_latency(&w, HOT);
	curve_payload(&w);
	curve_burst(&w);
	if (row_wanted("scale_sessions"))
		scale_points(&w);
	world_close(&w);
}
