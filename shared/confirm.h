/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which messages of a session have their final answer, as its client has said with CONFIRM and CONFIRM_GAPS (docs/protocol.md, section 4):
 * all ids up to one, except for a few ranges. What was said once stays, in whatever order the frames come.
 *
 * Thread-safety: none; the caller's.
 */
#ifndef ROOKERY_SHARED_CONFIRM_H
#define ROOKERY_SHARED_CONFIRM_H

#include "shared/wire.h"

struct confirm_gap {
	message_id_t first, last;
};

struct confirmed {
	message_id_t id; /* the highest one with a final answer; 0: none */
	uint32_t count;
	struct confirm_gap gaps[CONFIRM_GAPS_MAX]; /* ids below that without one: rising, disjoint */
};

/* Has id its final answer? */
bool confirmed_has(const struct confirmed *c, message_id_t id);
/* Adds what f says. false, and nothing changed, when it brings nothing new or more gaps than there is room for. */
bool confirmed_add(struct confirmed *c, const struct frame_confirm_gaps *f);
bool confirmed_check(const struct confirmed *c);

#endif
