/* SPDX-License-Identifier: BSD-3-Clause */
/* Identifiers that several programs agree on. */
#ifndef ROOKERY_SHARED_IDS_H
#define ROOKERY_SHARED_IDS_H

#include <stdint.h>

/*
 * A session id names its owner worker and its slot there, so that any worker finds both
 * without a lookup:
 *
 *    63      56 55            32 31              0
 *   +----------+----------------+-----------------+
 *   |  worker  |   generation   |      index      |
 *   +----------+----------------+-----------------+
 *
 * The generation is never 0, so a session id is never 0. Control gives out ids at LOGIN, a worker for its own slots when a
 * session is resumed; a bit of the generation says which, so that the two never make the same id.
 */
typedef uint64_t session_id_t;

#define SESSION_ID_NONE ((session_id_t)0)
#define SESSION_WORKERS_MAX 128
#define SESSION_GENERATION_MAX 0xffffffu
/* Set in the generations of sessions that the dataplane began itself, by ticket. */
#define SESSION_GENERATION_RESUMED 0x800000u

static inline session_id_t
session_id_make(uint32_t worker, uint32_t generation, uint32_t index)
{
	return (uint64_t)worker << 56 | (uint64_t)(generation & SESSION_GENERATION_MAX) << 32 | index;
}

static inline uint32_t
session_id_worker(session_id_t sid)
{
	return (uint32_t)(sid >> 56);
}

static inline uint32_t
session_id_generation(session_id_t sid)
{
	return (uint32_t)(sid >> 32) & SESSION_GENERATION_MAX;
}

static inline uint32_t
session_id_index(session_id_t sid)
{
	return (uint32_t)sid;
}

/* Row ids of the store; 0 is never used. A device belongs to exactly one user. */
typedef uint64_t user_id_t;
typedef uint64_t device_id_t;

/* Chosen by the sending device, strictly increasing per device, constant over retries;
 * (device_id_t, message_id_t) names a message for ever. 0 is never used. */
typedef uint64_t message_id_t;

/* Live sessions of one user (devices that can be online at once). */
#define USER_SESSIONS_MAX 8

#endif
