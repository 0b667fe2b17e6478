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

#include <stdint.h>

/* A session that was answered and not heard yet waits so long; after the first second it gives way to others. */
#define RESUME_EMBRYO_US UINT64_C(3000000)
#define RESUME_GIVE_WAY_US UINT64_C(1000000)
#define RESUME_EMBRYOS 16384 /* at once, at most */

/* What control will want to know of a session once it is heard. */
struct embryo {
	uint32_t session; /* slot, NONE: gone */
	uint8_t status;
	uint64_t made_us;
	user_id_t user;
	device_id_t device;
	uint64_t login_timestamp;
	uint64_t issued_ms;
	struct session_secret secret;
};

struct resume {
	uint32_t key_id[2]; /* 0: none */
	struct aead_key key[2];
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

#endif
