/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sessions by ticket: what a worker needs to take a client in without control. docs/protocol.md, section 9.
 *
 * Thread-safety: struct resume belongs to one worker.
 */
#ifndef ROOKERY_DATAPLANE_RESUME_H
#define ROOKERY_DATAPLANE_RESUME_H

#include "shared/rate.h"
#include "shared/ticket.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A session that was answered and not heard yet waits so long; after the first second it gives way to others. */
#define RESUME_EMBRYO_US UINT64_C(3000000)
#define RESUME_GIVE_WAY_US UINT64_C(1000000)
#define RESUME_EMBRYOS 16384 /* at once, at most */
#define RESUME_AGAIN 6       /* with one ticket in so many seconds, all of them at once if it likes: more are copies */
#define RESUME_SETS 1024     /* of RATE_WAYS: tickets that are remembered; 64 KiB */

/* What control will want to know of a session once it is heard. */
struct embryo {
	uint32_t session; /* slot, NONE: gone */
	uint8_t status;
	uint64_t made_us;
	user_id_t user;
	device_id_t device;
	uint64_t login_timestamp;
	struct session_secret secret;
};

struct resume {
	struct ticket_cipher cipher[2];
	struct rate again;         /* of one ticket */
	struct rate_table tickets; /* those that came lately: their nonces */
	uint64_t nonce_high;
	uint32_t nonce_low;  /* with the above: 96 bits from the kernel at start, then counting, so none comes twice */
	uint32_t generation; /* of the session begun last */
	/* ring of those that were not heard yet, oldest at head; some are gone */
	struct embryo *embryos;
	uint32_t capacity, head, tail;
	struct rate spread;  /* when the crowd is told to come again: one after the other */
	uint64_t next_slot;
	struct rate host;    /* of one IPv4 address or IPv6 /64 */
	uint32_t answers;    /* to tickets that are void, that may still be given in the present second */
	uint64_t answers_second;
};

/* The worker is behind. May in[0..length), a RESUME by its first byte, be looked at? Not if its ticket is forged or came too often; for a
 * fraction of what it costs to open it. */
bool resume_admit(struct resume *r, const uint8_t *in, size_t length, uint64_t now_us);

#endif
