/* SPDX-License-Identifier: BSD-3-Clause */
/* From the handshake's two secrets to the AES key of one epoch. */
#ifndef ROOKERY_SHARED_SESSION_KEYS_H
#define ROOKERY_SHARED_SESSION_KEYS_H

#include "aead.h"

#include <stdint.h>

/* Noise Split() of the login handshake; lives in the client and in control, never in the dataplane. */
struct session_secret {
	uint8_t client_to_server[32];
	uint8_t server_to_client[32];
};

/* The raw AES key of one epoch; all that the dataplane is given. One for both directions, whose nonces differ
 * (wire_nonce): a server that answers a packet has the key at hand that opened it. */
struct session_keys {
	uint8_t key[AEAD_KEY];
};

/* key = HMAC-SHA256(secret client to server, "rookery data key" || epoch (u16, big-endian) || secret server to client),
 * truncated to 16 bytes. */
void session_keys_derive(struct session_keys *keys, const struct session_secret *secret, uint16_t epoch);

#endif
