/* SPDX-License-Identifier: BSD-3-Clause */
#include "shared/confirm.h"

#include <string.h>

bool
confirmed_has(const struct confirmed *c, message_id_t id)
{
	uint32_t low = 0, high = c->count;

	if (id > c->id)
		return false;
	/* the first gap that does not end below id */
	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (c->gaps[middle].last < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low == c->count || id < c->gaps[low].first;
}

/* Writes the parts of gap that are in one of the n others as well, which begin with number *from; gaps come in rising order. */
static bool
intersect(struct confirmed *out, struct confirm_gap gap, const struct confirm_gap *others, uint32_t n, uint32_t *from)
{
	while (*from < n && others[*from].last < gap.first)
		(*from)++;
	for (uint32_t i = *from; i < n && others[i].first <= gap.last; i++) {
		if (out->count == CONFIRM_GAPS_MAX)
			return false;
		out->gaps[out->count++] = (struct confirm_gap){
			.first = gap.first > others[i].first ? gap.first : others[i].first,
			.last = gap.last < others[i].last ? gap.last : others[i].last,
		};
	}
	return true;
}

/* The gaps of two, of which high says more ids: below low's highest id those that are in both, above it high's. */
static bool
join(struct confirmed *out, const struct confirmed *low, const struct confirmed *high)
{
	uint32_t from = 0;

	out->id = high->id;
	out->count = 0;
	for (uint32_t i = 0; i < high->count; i++) {
		struct confirm_gap below = high->gaps[i], above = below;

		if (below.first <= low->id) {
			if (below.last > low->id)
				below.last = low->id;
			if (!intersect(out, below, low->gaps, low->count, &from))
				return false;
		}
		if (above.last <= low->id)
			continue;
		if (above.first <= low->id)
			above.first = low->id + 1;
		if (out->count == CONFIRM_GAPS_MAX)
			return false;
		out->gaps[out->count++] = above;
	}
	return true;
}

bool
confirmed_add(struct confirmed *c, const struct frame_confirm_gaps *f)
{
	struct confirmed said = {.id = f->id, .count = f->count}, all;

	for (unsigned i = 0; i < f->count; i++)
		wire_confirm_gap(f, i, &said.gaps[i].first, &said.gaps[i].last);
	if (!(said.id < c->id ? join(&all, &said, c) : join(&all, c, &said)))
		return false;
	if (all.id == c->id && all.count == c->count && memcmp(all.gaps, c->gaps, all.count * sizeof(all.gaps[0])) == 0)
		return false;
	c->id = all.id;
	c->count = all.count;
	memcpy(c->gaps, all.gaps, all.count * sizeof(all.gaps[0]));
	return true;
}

bool
confirmed_check(const struct confirmed *c)
{
	message_id_t above = 0;

	if (c->count > CONFIRM_GAPS_MAX)
		return false;
	for (uint32_t i = 0; i < c->count; i++) {
		if (c->gaps[i].first <= above || c->gaps[i].last < c->gaps[i].first || c->gaps[i].last >= c->id)
			return false;
		above = c->gaps[i].last;
	}
	return true;
}
