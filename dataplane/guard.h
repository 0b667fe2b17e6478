/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a LOGIN must pass before anything is allocated or punted: if the worker is behind, admission (shed.h); mac1, then under load a cookie (mac2), then the limits: of
 * all logins of this worker, of its host, of its network.
 *
 * Thread-safety: struct guard belongs to one worker; struct guard_shared is written by housekeeping and read
 * by all workers.
 */
#ifndef ROOKERY_DATAPLANE_GUARD_H
#define ROOKERY_DATAPLANE_GUARD_H

#include "shared/handshake.h"
#include "shared/rate.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* A secret issues cookies for so long and is accepted for as long again. */
#define GUARD_COOKIE_LIFE_MS 120000
#define GUARD_SECRET_WORDS (HANDSHAKE_SECRET / 8)

/* Zeroed before first use. */
struct guard_shared {
	/* housekeeping: 0: no secret yet; even: secret[generation / 2 % 2] is the present one, the other
	 * the one before; odd: the one before is being rewritten and not to be read. */
	_Atomic uint32_t generation;
	/* housekeeping: rewritten only every GUARD_COOKIE_LIFE_MS. Words, so that a reader caught by a
	 * rewrite reads stale words, which the generation then tells, and not torn memory. */
	_Atomic uint64_t secret[2][GUARD_SECRET_WORDS];
};

#define GUARD_HARD_FACTOR 4
/* A flood is over when so long fewer LOGINs have come than pass without a cookie. */
#define GUARD_LOAD_US UINT64_C(2000000)
/* What a worker that is behind looks at, per second; by count, as a share of a 2 GHz core under half a percent and one percent. */
#define GUARD_BEHIND_NEW 2000
#define GUARD_BEHIND_TAGGED 2000
#define GUARD_BEHIND_TAGGED_BURST 8
#define GUARD_UNTAGGED_PROOFS 100 /* mac2 of LOGINs without the tag: clients that do not know it */
#define GUARD_SETS 4096 /* of RATE_WAYS: hosts and networks that are remembered; 256 KiB */

struct guard {
	struct handshake_guard keys;
	bool have_keys;
	struct rate free;       /* LOGINs beyond this need a cookie */
	struct rate hard;       /* those with one have this, in all */
	uint64_t free_bucket;   /* every LOGIN with a good mac1 pays, also when it does not pass: see load() */
	uint64_t hard_bucket;
	struct rate host, net;  /* with a cookie: of one IPv4 address or IPv6 /64, of one /24 or /48 */
	struct rate_table prefixes;
	uint64_t nonce[2];      /* first 16 bytes of cookie nonces, from the kernel at start */
	uint64_t cookies;       /* last 8 bytes: cookies made; so no nonce comes twice, in any worker */

	struct resume *resume;  /* of the same worker: judges RESUMEs when it is behind */

	/* While the worker is behind: */
	bool behind;
	bool new_left;           /* in this iteration */
	uint64_t now_us;
	uint64_t new_bucket, tagged_bucket, untagged_bucket;
	struct rate new_rate, tagged_rate, untagged_rate;
	uint32_t generation;     /* of the secrets copied here */
	uint8_t secret[2][HANDSHAKE_SECRET]; /* the present one, the one before */
};

struct guard_limits {
	uint32_t logins_per_second;      /* without a cookie; 0: always a cookie */
	uint32_t host_logins_per_minute; /* 0: no limit; a quarter of them at once */
	uint32_t net_logins_per_minute;
};

enum guard_verdict {
	GUARD_PUNT,
	GUARD_COOKIE,    /* cookie datagram written: send it */
	GUARD_BAD_MAC,
	GUARD_NOT_READY, /* the server key is not known yet, or the first cookie secret not made */
	GUARD_LIMIT,     /* even with a cookie: over the hard limit; a cookie that says when to come again is written */
	GUARD_PREFIX,    /* the same, over the limit of its host or network */
};

/* sets: GUARD_SETS, zeroed, alive as long as g. */
void guard_init(struct guard *g, const struct guard_limits *limits, struct rate_set *sets);
void guard_set_server_key(struct guard *g, const uint8_t server_public[32]);
/* The worker is behind with its packets in this iteration, or not. While it is, a LOGIN comes before guard_login only if it is admitted. */
void guard_set_behind(struct guard *g, const struct guard_shared *s, bool behind, uint64_t now_us);
/* The rest of guard_admit, for the few whose id may be a tag, or the one that is looked at without. */
bool guard_admit_closely(struct guard *g, const struct endpoint *peer, const uint8_t prefix[12]);
/* The worker is behind. Is a datagram with this prefix, from peer, to be looked at all the same? A few, so that who is new may come in;
 * and those that bear the tag of a cookie, if their host and network have something left (which they pay here). */
static inline bool
guard_admit(struct guard *g, const struct endpoint *peer, const uint8_t prefix[12])
{
	uint8_t quick = prefix[4]; /* the highest byte of the id */
	bool closely = quick == handshake_tag_quick(g->secret[0], peer) || quick == handshake_tag_quick(g->secret[1], peer);

	return (closely || g->new_left) && guard_admit_closely(g, peer, prefix);
}
/* Judges LOGIN in[0..len) from peer. ring_pressed: the login ring is more than half full. For GUARD_COOKIE, _LIMIT and
 * _PREFIX out holds HANDSHAKE_COOKIE_SIZE bytes to be sent. No allocation, no system call. */
enum guard_verdict guard_login(struct guard *g, const struct guard_shared *s, const struct endpoint *peer,
			       const uint8_t *in, size_t len, uint64_t now_us, bool ring_pressed,
			       uint8_t *out);
/* Housekeeping: new secret when the present one is older than GUARD_COOKIE_LIFE_MS, or at first. last_us:
 * when that was, kept by the caller. */
void guard_shared_rotate(struct guard_shared *s, uint64_t now_us, uint64_t *last_us);

#endif
