/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The attack: LOGINs cost control a Diffie-Hellman and a database lookup, and anybody who knows the server's public key can
 * make a mac1. From forged addresses a flood gets cookies only, 68 bytes for at least 400, and cannot answer them. From true
 * addresses each host and each network gets its share, all together the hard limit, and the login ring holds nothing else.
 *
 * Hosts and networks pay only once they have proved their address: otherwise who forges somebody's address could shut him out.
 */
#include "guard.h"

#include "shared/wire.h"

#include <sodium.h>
#include <string.h>

/* Prefix lengths. An IPv6 host owns its /64, a site usually a /48 (RFC 6177); an IPv4 /24 is the smallest network in the
 * routing tables. */
#define HOST_BITS4 32
#define HOST_BITS6 64
#define NET_BITS4 24
#define NET_BITS6 48

#define LIMIT_WAIT_US UINT64_C(2000000) /* the hard limit is reached by many: they are spread, not lined up */

static uint64_t
quarter(uint64_t n)
{
	return n / 4 > 0 ? n / 4 : 1;
}

void
guard_init(struct guard *g, const struct guard_limits *limits, struct rate_set *sets)
{
	uint64_t per_second = limits->logins_per_second;

	*g = (struct guard){0};
	g->free = rate_make(per_second, 1000, per_second);
	per_second = per_second > 0 ? per_second : 1;
	g->hard = rate_make(per_second * GUARD_HARD_FACTOR, 1000, per_second * GUARD_HARD_FACTOR);
	g->host = rate_make(limits->host_logins_per_minute, 60000, quarter(limits->host_logins_per_minute));
	g->net = rate_make(limits->net_logins_per_minute, 60000, quarter(limits->net_logins_per_minute));
	g->new_rate = rate_make(GUARD_BEHIND_NEW, 1000, 1);
	g->tagged_rate = rate_make(GUARD_BEHIND_TAGGED, 1000, GUARD_BEHIND_TAGGED_BURST);
	g->untagged_rate = rate_make(GUARD_UNTAGGED_PROOFS, 1000, GUARD_UNTAGGED_PROOFS);
	rate_table_init(&g->prefixes, sets, GUARD_SETS);
	randombytes_buf(g->nonce, sizeof(g->nonce));
}

void
guard_set_server_key(struct guard *g, const uint8_t server_public[32])
{
	handshake_guard_init(&g->keys, server_public);
	g->have_keys = true;
}

/* Do LOGINs come faster than pass without a cookie? Those that are turned away count too, else a flood from forged addresses
 * would have the free rate to itself for ever. */
static bool
load(struct guard *g, uint64_t now_us)
{
	uint64_t most = (now_us + GUARD_LOAD_US) * 1000 + g->free.tolerance_ns;
	bool over = rate_wait(&g->free_bucket, &g->free, now_us) != 0;

	if (g->free.interval_ns == 0)
		return true;
	rate_pay(&g->free_bucket, &g->free, now_us);
	/* Behind, it sees few of them: nobody knows how many there are. */
	if (g->free_bucket > most || g->behind)
		g->free_bucket = most;
	return over || g->behind;
}

/* Microseconds to wait; 0: passes. */
static uint64_t
prefixes_take(struct guard *g, const struct endpoint *peer, uint64_t now_us)
{
	struct rate_prefix host, net;
	uint64_t wait;

	rate_prefix(&host, peer, HOST_BITS4, HOST_BITS6);
	rate_prefix(&net, peer, NET_BITS4, NET_BITS6);
	wait = rate_table_take(&g->prefixes, &host, sizeof(host), &g->host, now_us);
	return wait != 0 ? wait : rate_table_take(&g->prefixes, &net, sizeof(net), &g->net, now_us);
}

/* Copies the present secret, or with `before` the one before it. False: there is none to be had now. */
static bool
read_secret(const struct guard_shared *s, bool before, uint8_t out[HANDSHAKE_SECRET])
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

/* The secrets, copied when they have changed; the keys of the tag are wanted for many packets. */
static void
secrets_refresh(struct guard *g, const struct guard_shared *s)
{
	uint32_t generation = atomic_load_explicit(&s->generation, memory_order_acquire);

	if (generation == g->generation || generation < 2 || generation % 2 != 0)
		return;
	if (read_secret(s, false, g->secret[0]) && read_secret(s, true, g->secret[1]))
		g->generation = generation;
}

static uint64_t
login_id(const uint8_t *prefix)
{
	struct wire_prefix p;

	wire_prefix_read(&p, prefix);
	return p.id;
}

/* The secret whose tag for this address the id is, or NULL. */
static const uint8_t *
tag_secret(const struct guard *g, const struct endpoint *peer, uint64_t id)
{
	uint8_t quick = (uint8_t)(id >> 56);

	if (g->generation == 0)
		return NULL;
	for (unsigned i = 0; i < 2; i++)
		if (handshake_tag_quick(g->secret[i], peer) == quick && handshake_tag(g->secret[i], peer) == id)
			return g->secret[i];
	return NULL;
}

void
guard_set_behind(struct guard *g, const struct guard_shared *s, bool behind, uint64_t now_us)
{
	g->behind = behind;
	if (!behind)
		return;
	g->now_us = now_us;
	g->new_left = rate_wait(&g->new_bucket, &g->new_rate, now_us) == 0;
	secrets_refresh(g, s);
}

bool
guard_admit_closely(struct guard *g, const struct endpoint *peer, const uint8_t prefix[12])
{
	/* A host that floods with a cookie of its own must not take the place of the others. */
	if (tag_secret(g, peer, login_id(prefix)) != NULL)
		return rate_wait(&g->tagged_bucket, &g->tagged_rate, g->now_us) == 0 && prefixes_take(g, peer, g->now_us) == 0 &&
		       rate_take(&g->tagged_bucket, &g->tagged_rate, g->now_us) == 0;
	if (!g->new_left)
		return false;
	g->new_left = false;
	rate_pay(&g->new_bucket, &g->new_rate, g->now_us);
	return true;
}

/* Does mac2 hold under the present secret or the one before? *tagged: the id bears the tag of either. */
static bool
proven(struct guard *g, const struct guard_shared *s, const struct endpoint *peer, const uint8_t *in, size_t len, uint64_t now_us,
       bool *tagged)
{
	const uint8_t *secret;

	*tagged = false;
	/* Most have none yet. */
	if (sodium_is_zero(in + len - HANDSHAKE_MAC, HANDSHAKE_MAC))
		return false;
	secrets_refresh(g, s);
	secret = tag_secret(g, peer, login_id(in));
	*tagged = secret != NULL;
	if (*tagged)
		return handshake_check_mac2(secret, peer, in, len);
	/* Forged, or by a client that draws its id: that one is believed, too, while few of them come. */
	return g->generation != 0 && rate_take(&g->untagged_bucket, &g->untagged_rate, now_us) == 0 &&
	       (handshake_check_mac2(g->secret[0], peer, in, len) || handshake_check_mac2(g->secret[1], peer, in, len));
}

/* why, once the cookie is written. */
static enum guard_verdict
answer(struct guard *g, const struct guard_shared *s, const struct endpoint *peer, const uint8_t *in, size_t len,
       enum guard_verdict why, uint64_t wait_us, uint8_t *out)
{
	uint8_t secret[HANDSHAKE_SECRET];
	uint8_t nonce[24];

	if (!read_secret(s, false, secret))
		return GUARD_NOT_READY;
	memcpy(nonce, g->nonce, sizeof(g->nonce));
	memcpy(nonce + sizeof(g->nonce), &g->cookies, sizeof(g->cookies));
	g->cookies++;
	handshake_write_cookie(&g->keys, secret, peer, nonce, in, len, (wait_us + 999) / 1000, out);
	sodium_memzero(secret, sizeof(secret));
	return why;
}

enum guard_verdict
guard_login(struct guard *g, const struct guard_shared *s, const struct endpoint *peer, const uint8_t *in,
	    size_t len, uint64_t now_us, bool ring_pressed, uint8_t *out)
{
	bool tagged;
	uint64_t wait;

	if (!g->have_keys)
		return GUARD_NOT_READY;
	if (!handshake_check_mac1(&g->keys, in, len))
		return GUARD_BAD_MAC;
	/* mac2 is looked at only under load: most of the time nobody needs to prove anything. */
	if (load(g, now_us) || ring_pressed) {
		if (!proven(g, s, peer, in, len, now_us, &tagged))
			return answer(g, s, peer, in, len, GUARD_COOKIE, 0, out);
		if (rate_wait(&g->hard_bucket, &g->hard, now_us) != 0)
			return answer(g, s, peer, in, len, GUARD_LIMIT, LIMIT_WAIT_US, out);
		/* With a tag they paid to be admitted. */
		wait = g->behind && tagged ? 0 : prefixes_take(g, peer, now_us);
		if (wait != 0)
			return answer(g, s, peer, in, len, GUARD_PREFIX, wait, out);
	}
	rate_pay(&g->hard_bucket, &g->hard, now_us);
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
