/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a LOGIN must pass before anything is allocated or punted: mac1, then under load a cookie (mac2), then the rate limit.
 *
 * Thread-safety: struct guard belongs to one worker; struct guard_shared is written by housekeeping and read by all workers.
 */
#ifndef ROOKERY_DATAPLANE_GUARD_H
#define ROOKERY_DATAPLANE_GUARD_H

#include "shared/handshake.h"

#include <stdatomic.h>
#include <stdint.h>

#define GUARD_COOKIE_LIFE_MS 120000

struct guard_shared {
	_Atomic uint32_t generation; /* housekeeping: even; secret[generation / 2 % 2] is the present one, the other the one before */
	uint8_t secret[2][32];       /* housekeeping: rewritten only every GUARD_COOKIE_LIFE_MS */
};

struct guard {
	struct handshake_guard keys;
	uint32_t have_keys;
	uint64_t tokens_us;     /* token bucket: time credit */
	uint64_t last_us;
	uint32_t per_second;    /* punted LOGINs beyond this need a cookie */
	uint64_t random[2];     /* state of the nonce generator, seeded by the kernel at start */
};

enum guard_verdict {
	GUARD_PUNT,
	GUARD_COOKIE,    /* cookie datagram written: send it */
	GUARD_BAD_MAC,
	GUARD_NOT_READY, /* the server key is not known yet */
	GUARD_LIMIT,     /* even with a cookie: over the hard limit */
};

void guard_init(struct guard *g, uint32_t logins_per_second, uint64_t now_us);
void guard_set_server_key(struct guard *g, const uint8_t server_public[32]);
/* Judges LOGIN in[0..len) from peer. ring_pressed: the login ring is more than half full. For GUARD_COOKIE out holds HANDSHAKE_COOKIE_SIZE
 * bytes. Without a cookie per_second LOGINs pass; with a valid one, 4 times as many. */
enum guard_verdict guard_login(struct guard *g, const struct guard_shared *s, const struct endpoint *peer, const uint8_t *in, size_t len,
			       uint64_t now_us, bool ring_pressed, uint8_t *out);
/* Housekeeping: new secret when the present one is older than GUARD_COOKIE_LIFE_MS, or at first. */
void guard_shared_rotate(struct guard_shared *s, uint64_t now_us, uint64_t *last_us);

#endif
