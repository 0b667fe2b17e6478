/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a LOGIN must pass before anything is allocated or punted: mac1, then under load a cookie (mac2), then
 * the rate limit.
 *
 * Thread-safety: struct guard belongs to one worker; struct guard_shared is written by housekeeping and read
 * by all workers.
 */
#ifndef ROOKERY_DATAPLANE_GUARD_H
#define ROOKERY_DATAPLANE_GUARD_H

#include "shared/handshake.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* A secret issues cookies for so long and is accepted for as long again. */
#define GUARD_COOKIE_LIFE_MS 120000
#define GUARD_SECRET_WORDS 4 /* 32 bytes */

/* Zeroed before first use. */
struct guard_shared {
	/* housekeeping: 0: no secret yet; even: secret[generation / 2 % 2] is the present one, the other
	 * the one before; odd: the one before is being rewritten and not to be read. */
	_Atomic uint32_t generation;
	/* housekeeping: rewritten only every GUARD_COOKIE_LIFE_MS. Words, so that a reader caught by a
	 * rewrite reads stale words, which the generation then tells, and not torn memory. */
	_Atomic uint64_t secret[2][GUARD_SECRET_WORDS];
};

struct guard {
	struct handshake_guard keys;
	bool have_keys;
	uint32_t per_second;    /* punted LOGINs beyond this need a cookie */
	uint64_t credit;        /* token bucket of per_second, in millionths of a LOGIN */
	uint64_t hard_credit;   /* the same of GUARD_HARD_FACTOR * per_second */
	uint64_t last_us;       /* when the buckets were filled last */
	uint64_t nonce[2];      /* first 16 bytes of cookie nonces, from the kernel at start */
	uint64_t cookies;       /* last 8 bytes: cookies made; so no nonce comes twice, in any worker */
};

#define GUARD_HARD_FACTOR 4

enum guard_verdict {
	GUARD_PUNT,
	GUARD_COOKIE,    /* cookie datagram written: send it */
	GUARD_BAD_MAC,
	GUARD_NOT_READY, /* the server key is not known yet, or the first cookie secret not made */
	GUARD_LIMIT,     /* even with a cookie: over the hard limit */
};

void guard_init(struct guard *g, uint32_t logins_per_second, uint64_t now_us);
void guard_set_server_key(struct guard *g, const uint8_t server_public[32]);
/* Judges LOGIN in[0..len) from peer. ring_pressed: the login ring is more than half full. For GUARD_COOKIE
 * out holds HANDSHAKE_COOKIE_SIZE bytes. Without a cookie per_second LOGINs pass (bursts of as many), with
 * a valid one up to GUARD_HARD_FACTOR times as many in all. No allocation, no system call. */
enum guard_verdict guard_login(struct guard *g, const struct guard_shared *s, const struct endpoint *peer,
			       const uint8_t *in, size_t len, uint64_t now_us, bool ring_pressed,
			       uint8_t *out);
/* Housekeeping: new secret when the present one is older than GUARD_COOKIE_LIFE_MS, or at first. last_us:
 * when that was, kept by the caller. */
void guard_shared_rotate(struct guard_shared *s, uint64_t now_us, uint64_t *last_us);

#endif
