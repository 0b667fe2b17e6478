/* SPDX-License-Identifier: BSD-3-Clause */
/* From the handshake's two secrets to the AES key of one epoch. */
#ifndef ROOKERY_SHARED_SESSION_KEYS_H
#define ROOKERY_SHARED_SESSION_KEYS_H

#include "aead.h"
#include "ids.h"

#include <stdint.h>

#define RESUME_SECRET 32
#define RESUME_NONCE 12
#define RESUME_PROOF 16
#define RESUME_SALT (2 * RESUME_NONCE + 8)

/* What the keys of all epochs come from; lives in the client and in control. Of a login: Noise Split(). Of a session that was
 * resumed: the ticket's secret, and both nonces and the session id (shared/ticket.h). */
struct session_secret {
	union {
		uint8_t client_to_server[32];
		uint8_t ticket[RESUME_SECRET];
	};
	union {
		uint8_t server_to_client[32];
		uint8_t salt[RESUME_SALT];
	};
	uint8_t resumed;
};

/* The raw AES key of one epoch; all that the dataplane is given. One for both directions, whose nonces differ
 * (wire_nonce): a server that answers a packet has the key at hand that opened it. */
struct session_keys {
	uint8_t key[AEAD_KEY];
};

/* key = HMAC-SHA256(secret client to server, "rookery data key" || epoch (u16, big-endian) || secret server to client),
 * truncated to 16 bytes; of a resumed session as resume_derive says. */
void session_keys_derive(struct session_keys *keys, const struct session_secret *secret, uint16_t epoch);
/* secret gets what the session's keys are made of. */
void resume_secret(struct session_secret *secret, const uint8_t ticket_secret[RESUME_SECRET],
		   const uint8_t client_nonce[RESUME_NONCE], const uint8_t server_nonce[RESUME_NONCE], session_id_t sid);
/* For a resumed session: the key of an epoch and, unless proof is NULL, what proves with epoch 0 that the server has the secret. */
void resume_derive(struct session_keys *keys, uint8_t proof[RESUME_PROOF], const struct session_secret *secret, uint16_t epoch);

#endif
