// SPDX-License-Identifier: BSD-3-Clause
#include "rate.h"

#include <sodium.h>
#include <string.h>

_Static_assert(sizeof(((struct rate_table *)0)->secret) == crypto_shorthash_KEYBYTES, "a SipHash key");
_Static_assert(sizeof(uint64_t) == crypto_shorthash_BYTES, "a SipHash");

struct rate
rate_make(uint64_t events, uint64_t period_ms, uint64_t burst)
{
	struct rate r = {0};

	if (events == 0)
		return r;
	r.interval_ns = period_ms * 1000000 / events;
	if (r.interval_ns == 0)
		r.interval_ns = 1;
	r.tolerance_ns = r.interval_ns * (burst > 0 ? burst - 1 : 0);
	return r;
}

void
rate_table_init(struct rate_table *t, struct rate_set *sets, uint32_t count)
{
	t->sets = sets;
	t->mask = count - 1;
	randombytes_buf(t->secret, sizeof(t->secret));
}

uint64_t *
rate_table_bucket(struct rate_table *t, const void *key, size_t len, uint64_t now_us)
{
	struct rate_place *oldest;
	struct rate_set *set;
	uint64_t tag;

	crypto_shorthash((unsigned char *)&tag, key, len, t->secret);
	set = &t->sets[tag & t->mask];
	tag |= tag == 0;
	oldest = &set->way[0];
	for (unsigned i = 0; i < RATE_WAYS; i++) {
		struct rate_place *p = &set->way[i];

		if (p->tag == tag)
			return &p->bucket;
		if (p->bucket < oldest->bucket)
			oldest = p;
	}
	oldest->tag = tag;
	oldest->bucket = now_us * 1000;
	return &oldest->bucket;
}

uint64_t
rate_table_take(struct rate_table *t, const void *key, size_t len, const struct rate *r, uint64_t now_us)
{
	return rate_take(rate_table_bucket(t, key, len, now_us), r, now_us);
}

void
rate_prefix(struct rate_prefix *out, const struct endpoint *e, unsigned bits4, unsigned bits6)
{
	bool v4 = endpoint_is_ipv4(e);

	memcpy(out->ip, e->ip, sizeof(out->ip));
	out->bits = (uint8_t)(v4 ? 96 + bits4 : bits6);
	for (unsigned bit = out->bits; bit < 128; bit++)
		out->ip[bit / 8] &= (uint8_t)~(0x80u >> bit % 8);
}
