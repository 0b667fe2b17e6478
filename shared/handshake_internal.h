/* SPDX-License-Identifier: BSD-3-Clause */
/* The two steps of handshake.h that draw an ephemeral key, with the key given: for test vectors, and for
 * nothing else. */
#ifndef ROOKERY_SHARED_HANDSHAKE_INTERNAL_H
#define ROOKERY_SHARED_HANDSHAKE_INTERNAL_H

#include "handshake.h"

int handshake_client_start_fixed(struct handshake_client *h, const struct handshake_keypair *device,
				 const uint8_t server_public[HANDSHAKE_KEY], uint64_t id,
				 const uint8_t ephemeral_secret[HANDSHAKE_KEY], const uint8_t *payload,
				 size_t payload_len, uint8_t *out, size_t cap);
int handshake_server_reply_fixed(struct handshake_server *h, const uint8_t ephemeral_secret[HANDSHAKE_KEY],
				 const uint8_t *payload, size_t payload_len, uint8_t *out, size_t cap,
				 struct session_secret *secret);

#endif
