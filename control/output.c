// SPDX-License-Identifier: BSD-3-Clause
/* The way out: cells to the dataplane's rings, in order, with a backlog per ring for when one is full. */
#include "core.h"

#include "shared/log.h"
#include "shared/plant.h"

#include <stdlib.h>
#include <string.h>

/* Above the first no further requests and logins are taken, above the second no events either: each of those
 * makes a few cells, so the backlog is bounded by what one batch and one provisioning can emit. */
#define BACKLOG_REQUESTS 16384
#define BACKLOG_EVENTS 65536

struct backlog_cell {
	struct backlog_cell *next;
	_Alignas(16) uint8_t bytes[]; /* cell_used() of them */
};

void
cell_init(struct cell *c, enum cell_type type)
{
	memset(c, 0, offsetof(struct cell, data));
	c->type = (uint16_t)type;
}

static void
backlog_add(struct server *s, uint32_t ring, const struct cell *c)
{
	struct backlog *b = &s->backlog[ring];
	struct backlog_cell *k = malloc(sizeof(*k) + cell_used(c));

	if (k == NULL) {
		log_error(control, "out of memory: a cell to the dataplane is lost", "type=%u", c->type);
		return;
	}
	k->next = NULL;
	memcpy(k->bytes, c, cell_used(c));
	if (b->tail != NULL)
		b->tail->next = k;
	else
		b->head = k;
	b->tail = k;
	b->count++;
	s->backlog_total++;
	COUNT(s, backlogged);
}

static void
output_send(struct server *s, uint32_t ring, const struct cell *c)
{
	/* Without a dataplane nobody waits for an answer, and the next one is provisioned with all that is
	 * true then. */
	if (!s->attached || (ring != SERVER_RING_TABLE && ring >= s->workers))
		return;
	if (s->backlog[ring].count == 0 && s->io.send(s->io.arg, ring, c))
		return;
	if (PLANTED(presence_lost) && c->type == INJECT_FRAME && c->frame.token == 0 && c->data[0] == FRAME_NOTIFY)
		return;
	backlog_add(s, ring, c);
}

struct emit_effect {
	uint32_t ring;
	_Alignas(16) uint8_t cell[CELL_SIZE];
};

static void
emit_run(struct server *s, void *data)
{
	struct emit_effect *e = data;

	output_send(s, e->ring, (const struct cell *)e->cell);
}

void
emit(struct server *s, uint32_t ring, const struct cell *c)
{
	struct emit_effect e;

	if (!s->staging) {
		output_send(s, ring, c);
		return;
	}
	e.ring = ring;
	memcpy(e.cell, c, cell_used(c));
	effect_add(s, emit_run, NULL, &e, offsetof(struct emit_effect, cell) + cell_used(c));
}

void
emit_frame(struct server *s, session_id_t sid, uint64_t token, const struct frame *f)
{
	struct cell c;
	int len;

	cell_init(&c, INJECT_FRAME);
	c.frame.token = token;
	c.frame.session_count = 1;
	c.frame.sids[0] = sid;
	len = frame_write(f, c.data, sizeof(c.data));
	if (len < 0)
		return;
	c.length = (uint16_t)len;
	emit(s, session_id_worker(sid), &c);
}

void
backlog_clear(struct server *s)
{
	for (uint32_t i = 0; i <= SERVER_RING_TABLE; i++) {
		struct backlog_cell *k = s->backlog[i].head;

		while (k != NULL) {
			struct backlog_cell *next = k->next;

			free(k);
			k = next;
		}
		s->backlog[i] = (struct backlog){0};
	}
	s->backlog_total = 0;
}

static void
backlog_flush(struct server *s, uint32_t ring)
{
	struct backlog *b = &s->backlog[ring];
	struct backlog_cell *k;

	while ((k = b->head) != NULL && s->io.send(s->io.arg, ring, (const struct cell *)k->bytes)) {
		b->head = k->next;
		if (b->head == NULL)
			b->tail = NULL;
		b->count--;
		s->backlog_total--;
		explicit_bzero(k->bytes, cell_used((const struct cell *)k->bytes));
		free(k);
	}
}

uint64_t
server_flush(struct server *s)
{
	if (!s->attached || s->backlog_total == 0)
		return s->backlog_total;
	for (uint32_t w = 0; w < s->workers; w++)
		backlog_flush(s, w);
	backlog_flush(s, SERVER_RING_TABLE);
	return s->backlog_total;
}

bool
server_accepts(const struct server *s, bool events)
{
	return s->backlog_total < (events ? BACKLOG_EVENTS : BACKLOG_REQUESTS);
}
