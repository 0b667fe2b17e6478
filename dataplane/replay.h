/* SPDX-License-Identifier: BSD-3-Clause */
/* Sliding replay window over packet sequences (RFC 4303, appendix A2; RFC 6479). One thread. */
#ifndef ROOKERY_DATAPLANE_REPLAY_H
#define ROOKERY_DATAPLANE_REPLAY_H

#include "shared/plant.h"

#include <stdbool.h>
#include <stdint.h>

#define REPLAY_WINDOW 128

/* Zeroed is empty: sequences start at 1. bit i of the map: highest - i was seen. */
struct replay_window {
	uint64_t highest;
	uint64_t seen[REPLAY_WINDOW / 64];
};

/* May this sequence still come? Called before the tag is checked; changes nothing. */
static inline bool
replay_fresh(const struct replay_window *w, uint64_t sequence)
{
	uint64_t age;

	if (sequence > w->highest || (PLANTED(replay_window) && sequence == w->highest))
		return true;
	if (sequence == 0)
		return false;
	age = w->highest - sequence;
	return age < REPLAY_WINDOW && !(w->seen[age / 64] >> (age % 64) & 1);
}

/* Records a sequence whose tag was right and that replay_fresh allowed. Returns true if it is the highest
 * so far. */
static inline bool
replay_record(struct replay_window *w, uint64_t sequence)
{
	uint64_t shift;

	if (sequence <= w->highest) {
		uint64_t age = w->highest - sequence;

		w->seen[age / 64] |= UINT64_C(1) << (age % 64);
		return false;
	}
	shift = sequence - w->highest;
	if (shift >= REPLAY_WINDOW) {
		w->seen[1] = 0;
		w->seen[0] = 0;
	} else if (shift >= 64) {
		w->seen[1] = w->seen[0] << (shift - 64);
		w->seen[0] = 0;
	} else {
		w->seen[1] = w->seen[1] << shift | w->seen[0] >> (64 - shift);
		w->seen[0] <<= shift;
	}
	w->seen[0] |= 1;
	w->highest = sequence;
	return true;
}

#endif
