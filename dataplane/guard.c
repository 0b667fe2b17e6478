/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The attack: LOGINs cost control a Diffie-Hellman and a database lookup, and anybody who knows the server's
 * public key can make a mac1. From forged addresses a flood gets cookies only, 68 bytes for at least 400, and
 * cannot answer them; from true addresses it is bounded by the hard limit, and by the login ring, which holds
 * nothing else.
 */
#include "guard.h"

#include <sodium.h>
#include <string.h>

#define MICRO UINT64_C(1000000) /* a LOGIN's price in the buckets */

void
guard_init(struct guard *g, uint32_t logins_per_second, uint64_t now_us)
{
	*g = (struct guard){.per_second = logins_per_second > 0 ? logins_per_second : 1, .last_us = now_us};
	g->credit = g->per_second * MICRO;
	g->hard_credit = g->credit * GUARD_HARD_FACTOR;
	randombytes_buf(g->nonce, sizeof(g->nonce));
}

void
guard_set_server_key(struct guard *g, const uint8_t server_public[32])
{
	handshake_guard_init(&g->keys, server_public);
	g->have_keys = true;
}

/* A second without LOGINs fills a bucket. */
static void
refill(struct guard *g, uint64_t now_us)
{
	uint64_t full = g->per_second * MICRO;
	uint64_t passed;

	if (now_us <= g->last_us)
		return;
	passed = now_us - g->last_us;
	g->last_us = now_us;
	if (passed > MICRO)
		passed = MICRO;
	g->credit += passed * g->per_second;
	if (g->credit > full)
		g->credit = full;
	g->hard_credit += passed * g->per_second * GUARD_HARD_FACTOR;
	if (g->hard_credit > full * GUARD_HARD_FACTOR)
		g->hard_credit = full * GUARD_HARD_FACTOR;
}

/* Every punted LOGIN takes from both buckets: a flood with cookies leaves no room for LOGINs without. */
static void
pay(struct guard *g)
{
	g->credit -= g->credit < MICRO ? g->credit : MICRO;
	g->hard_credit -= MICRO;
}

/* Copies the present secret, or with `before` the one before it. False: there is none to be had now. */
static bool
read_secret(const struct guard_shared *s, bool before, uint8_t out[32])
{
	uint32_t generation = atomic_load_explicit(&s->generation, memory_order_acquire);
	unsigned which = (generation / 2 + before) % 2;
	uint64_t words[GUARD_SECRET_WORDS];

	if (generation < 2 || (before && generation % 2 != 0))
		return false;
	/* Acquire, so that the second look at the generation comes after. */
	for (unsigned i = 0; i < GUARD_SECRET_WORDS; i++)
		words[i] = atomic_load_explicit(&s->secret[which][i], memory_order_acquire);
	memcpy(out, words, sizeof(words));
	sodium_memzero(words, sizeof(words));
	/* The present secret is left alone until it has been the one before for its whole life. */
	return !before || atomic_load_explicit(&s->generation, memory_order_relaxed) == generation;
}

/* Does mac2 hold under the present secret or the one before? */
static bool
proven(const struct guard_shared *s, const struct endpoint *peer, const uint8_t *in, size_t len)
{
	uint8_t secret[32];
	bool good;

	good = read_secret(s, false, secret) && handshake_check_mac2(secret, peer, in, len);
	if (!good)
		good = read_secret(s, true, secret) && handshake_check_mac2(secret, peer, in, len);
	sodium_memzero(secret, sizeof(secret));
	return good;
}

static enum guard_verdict
ask_for_cookie(struct guard *g, const struct guard_shared *s, const struct endpoint *peer, const uint8_t *in,
	       size_t len, uint8_t *out)
{
	uint8_t secret[32];
	uint8_t nonce[24];

	if (!read_secret(s, false, secret))
		return GUARD_NOT_READY;
	memcpy(nonce, g->nonce, sizeof(g->nonce));
	memcpy(nonce + sizeof(g->nonce), &g->cookies, sizeof(g->cookies));
	g->cookies++;
	handshake_write_cookie(&g->keys, secret, peer, nonce, in, len, out);
	sodium_memzero(secret, sizeof(secret));
	return GUARD_COOKIE;
}

enum guard_verdict
guard_login(struct guard *g, const struct guard_shared *s, const struct endpoint *peer, const uint8_t *in,
	    size_t len, uint64_t now_us, bool ring_pressed, uint8_t *out)
{
	if (!g->have_keys)
		return GUARD_NOT_READY;
	if (!handshake_check_mac1(&g->keys, in, len))
		return GUARD_BAD_MAC;
	refill(g, now_us);
	if (ring_pressed || g->credit < MICRO) {
		/* mac2 is looked at only now: most of the time nobody needs to prove anything. */
		if (!proven(s, peer, in, len))
			return ask_for_cookie(g, s, peer, in, len, out);
		if (g->hard_credit < MICRO)
			return GUARD_LIMIT;
	}
	pay(g);
	return GUARD_PUNT;
}

static void
write_secret(struct guard_shared *s, unsigned which)
{
	uint64_t words[GUARD_SECRET_WORDS];

	randombytes_buf(words, sizeof(words));
	for (unsigned i = 0; i < GUARD_SECRET_WORDS; i++)
		atomic_store_explicit(&s->secret[which][i], words[i], memory_order_release);
	sodium_memzero(words, sizeof(words));
}

void
guard_shared_rotate(struct guard_shared *s, uint64_t now_us, uint64_t *last_us)
{
	uint32_t generation = atomic_load_explicit(&s->generation, memory_order_relaxed);

	if (generation != 0 && now_us - *last_us < GUARD_COOKIE_LIFE_MS * UINT64_C(1000))
		return;
	*last_us = now_us;
	if (generation == 0) {
		/* No secret has been before the first, and a known one (zeros) would let anybody make
		 * cookies. */
		write_secret(s, 0);
		write_secret(s, 1);
		atomic_store_explicit(&s->generation, 2, memory_order_release);
		return;
	}
	/* A reader that still sees the even generation after some new word reads it again, because the
	 * words are released after this. */
	atomic_store_explicit(&s->generation, generation + 1, memory_order_relaxed);
	write_secret(s, (generation / 2 + 1) % 2);
	atomic_store_explicit(&s->generation, generation + 2, memory_order_release);
}
