/* SPDX-License-Identifier: BSD-3-Clause */
/* One notification to 200 online users, each with a key of its own: the path of presence to buddies (control's multicast cells). */
#include "rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOT 4096u
#define MEMBERS 200u
#define GROUPS (PHASE / MEMBERS)
#define BODY 256u
#define ITERATIONS_MAX 4096u

/* As control/presence.c does it: cells of at most CELL_FRAME_SESSIONS_MAX sessions with the same frame. */
static void
put_group(struct world *w)
{
	static const uint8_t body[BODY];
	const struct cell_ring *inject = ipc_ring(&w->ipc, IPC_INJECT, 0);
	struct frame f = {.type = FRAME_NOTIFY, .notify = {.body = body, .length = BODY}};
	uint32_t first = draw_below(HOT - MEMBERS);

	for (uint32_t i = 0; i < MEMBERS;) {
		struct cell *c = ring_reserve(inject);
		int length;

		if (c == NULL)
			fail("the ring of cells is too small for %u groups", GROUPS);
		memset(c, 0, offsetof(struct cell, data));
		c->type = INJECT_FRAME;
		length = frame_write(&f, c->data, sizeof(c->data));
		if (length < 0)
			fail("a notification cannot be written");
		c->length = (uint16_t)length;
		/* neighbours in the random order are strangers in memory */
		while (i < MEMBERS && c->frame.session_count < CELL_FRAME_SESSIONS_MAX)
			c->frame.sids[c->frame.session_count++] = load_session(w, w->order[first + i++]);
		ring_publish(inject);
	}
}

static uint64_t
run_groups(struct world *w)
{
	static uint64_t cycles[ITERATIONS_MAX];
	const struct cell_ring *inject = ipc_ring(&w->ipc, IPC_INJECT, 0);
	unsigned n = 0;

	while (ring_used(inject) != 0 && n < ITERATIONS_MAX)
		cycles[n++] = world_poll(w);
	return sum_without_kernel(cycles, n);
}

void
rows_fanout(struct world *w)
{
	const uint16_t sizes[] = {RELIABLE_HEADER + BODY};
	struct series s = {.count = 0};
	double aead;
	char note[160];

	if (!row_wanted("fanout_200"))
		return;
	aead = reference_aead(sizes, 1);
	for (unsigned r = 0; r <= options.rounds; r++) {
		uint64_t cycles;

		for (uint32_t g = 0; g < GROUPS; g++)
			put_group(w);
		cycles = run_groups(w);
		if (r > 0)
			series_add(&s, (double)cycles / (GROUPS * MEMBERS));
		world_collect(w);
		if (w->ack_count != GROUPS * MEMBERS)
			fail("%u notifications of %u arrived", w->ack_count, GROUPS * MEMBERS);
		world_put_acks(w);
		world_run(w);
		world_collect(w);
	}
	world_check(w);
	aead = (aead + reference_aead(sizes, 1)) / 2;
	snprintf(note, sizeof(note), "a presence notification of %u bytes to 200 buddies, own key each; AEAD %.0f", BODY, aead);
	row_add("fanout_200", series_summary(&s), "cycles/delivery", aead, aead + 130, true, note);
}
