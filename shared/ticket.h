/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Resumption tickets and the RESUME datagrams, docs/protocol.md section 9a: a session without a public-key operation.
 *
 * Control seals tickets, the dataplane opens them; to a client a ticket is TICKET_SIZE bytes. What a client that returns and the
 * worker that takes it in agree on besides is the ticket's secret and a salt of both sides' nonces and the session id: keys are
 * never made twice from the same ones, whatever is sent again.
 */
#ifndef ROOKERY_SHARED_TICKET_H
#define ROOKERY_SHARED_TICKET_H

#include "aead.h"
#include "bytes.h"
#include "ids.h"
#include "session_keys.h"
#include "wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TICKET_NONCE 12
#define TICKET_MARK 8
#define TICKET_BODY 72
#define TICKET_SIZE (4 + TICKET_NONCE + TICKET_MARK + TICKET_BODY + AEAD_TAG) /* id of the key, nonce, mark, sealed body, tag */

/* What a ticket says. */
struct ticket {
	user_id_t user;
	device_id_t device;
	uint64_t login_timestamp; /* of the device's last LOGIN: a later one, or what ends it, makes the ticket void */
	uint64_t expires_ms;      /* ms since 1970 */
	uint8_t status;           /* presence to begin with, enum Status of rookery.proto */
	uint8_t secret[RESUME_SECRET];
};

/* A key that seals tickets. */
struct ticket_key {
	uint32_t id; /* 0: none */
	uint8_t key[AEAD_KEY];
};

/* What seals and opens with it. */
struct ticket_cipher {
	uint32_t id; /* 0: none */
	uint8_t mark[16];
	struct aead_key key;
};

/* Zeroed before its first use. Returns 0, or -ENOMEM; without a key, or if that fails, it is cleared. */
int ticket_cipher_set(struct ticket_cipher *c, const struct ticket_key *key);
void ticket_cipher_clear(struct ticket_cipher *c);

/* nonce: random. */
void ticket_seal(const struct ticket *t, struct ticket_cipher *c, const uint8_t nonce[TICKET_NONCE], uint8_t out[TICKET_SIZE]);
static inline uint32_t
ticket_key_id(const uint8_t in[TICKET_SIZE])
{
	return get32(in);
}
static inline const uint8_t *
ticket_nonce(const uint8_t in[TICKET_SIZE])
{
	return in + 4;
}
/* Is it marked by who has the key? SipHash of the nonce, for those who have not the time to open it: a forged ticket costs them no more. */
bool ticket_marked(const struct ticket_cipher *c, const uint8_t in[TICKET_SIZE]);
/* Returns 0, or -EBADMSG: not sealed with this key. The time is for the caller to check. */
int ticket_open(struct ticket *t, struct ticket_cipher *c, const uint8_t in[TICKET_SIZE]);

/* ---- RESUME: prefix, the client's nonce, ticket ---------------------------------------- */

#define RESUME_SIZE (WIRE_PREFIX + RESUME_NONCE + TICKET_SIZE)

/* flags of the prefix: 0 from a client. From the server RESUME_ANSWER, and with it nothing (a session), RESUME_VOID (log in), or when
 * to come again in units of 100 ms. */
#define RESUME_ANSWER 0x8000
#define RESUME_VOID 0x7fff
#define RESUME_WAIT_MAX 600
/* A session: prefix, the client's nonce, the server's nonce, session id, proof that the server has the ticket's secret. */
#define RESUME_ACCEPTED_SIZE (WIRE_PREFIX + 2 * RESUME_NONCE + 8 + RESUME_PROOF)
/* Void, or a time: prefix, the client's nonce. */
#define RESUME_REFUSED_SIZE (WIRE_PREFIX + RESUME_NONCE)

_Static_assert(RESUME_ACCEPTED_SIZE <= RESUME_SIZE && RESUME_REFUSED_SIZE <= RESUME_SIZE, "no answer is larger than what it answers");

void resume_write(uint8_t out[RESUME_SIZE], uint64_t id, const uint8_t nonce[RESUME_NONCE], const uint8_t ticket[TICKET_SIZE]);
/* The answer with a session to RESUME in. */
void resume_accept(uint8_t out[RESUME_ACCEPTED_SIZE], const uint8_t *in, const uint8_t server_nonce[RESUME_NONCE], session_id_t sid,
		   const uint8_t proof[RESUME_PROOF]);
/* The other answers; flags as above without RESUME_ANSWER. */
void resume_refuse(uint8_t out[RESUME_REFUSED_SIZE], const uint8_t *in, uint16_t flags);

#endif
