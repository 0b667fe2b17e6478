/* SPDX-License-Identifier: BSD-3-Clause */
/* What the two halves of the outbox share: outbox.c (texts and their answers), outbox_send.c (frames). */
#ifndef ROOKERY_CLIENT_OUTBOX_H
#define ROOKERY_CLIENT_OUTBOX_H

#include "core.h"

static inline message_id_t
last_of(const struct outgoing *m)
{
	return m->row.first_id + m->row.fragments - 1;
}

static inline bool
is_final(const struct fragment *f)
{
	return f->state >= FRAGMENT_STORED;
}

static inline void
set_state(struct rk_client *c, struct outgoing *m, struct fragment *f, enum fragment_state state)
{
	if (f->state == FRAGMENT_SENT) {
		m->conversation->unaccepted--;
		c->outbox.unaccepted--;
	}
	if (state == FRAGMENT_SENT) {
		m->conversation->unaccepted++;
		c->outbox.unaccepted++;
	}
	f->state = (uint8_t)state;
}

/* The floor that message id carries: every earlier id of its conversation up to the result has its final
 * answer. */
static inline message_id_t
floor_below(const struct conversation *v, message_id_t id)
{
	for (const struct outgoing *m = v->first; m != NULL; m = m->next) {
		for (unsigned i = 0; i < m->row.fragments; i++) {
			if (m->row.first_id + i >= id)
				return id - 1;
			if (!is_final(&m->fragments[i]))
				return m->row.first_id + i - 1;
		}
	}
	return id - 1;
}

/* Looks the user's id up, or asks for it. */
void outbox_resolve(struct rk_client *c, struct conversation *v);

#endif
