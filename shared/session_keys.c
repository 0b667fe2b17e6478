/* SPDX-License-Identifier: BSD-3-Clause */
#include "shared/session_keys.h"

#include "bytes.h"
#include "noise.h"

#include <sodium.h>
#include <string.h>

void
resume_secret(struct session_secret *secret, const uint8_t ticket_secret[RESUME_SECRET],
	      const uint8_t client_nonce[RESUME_NONCE], const uint8_t server_nonce[RESUME_NONCE], session_id_t sid)
{
	memcpy(secret->ticket, ticket_secret, RESUME_SECRET);
	memcpy(secret->salt, client_nonce, RESUME_NONCE);
	memcpy(secret->salt + RESUME_NONCE, server_nonce, RESUME_NONCE);
	put64(secret->salt + 2 * RESUME_NONCE, sid);
	secret->resumed = 1;
}

/* One block of BLAKE2b, which needs no HMAC around it: the input has a fixed length. */
void
resume_derive(struct session_keys *keys, uint8_t proof[RESUME_PROOF], const struct session_secret *secret, uint16_t epoch)
{
	static const char label[] = "rookery resume v1";
	uint8_t input[sizeof(label) - 1 + RESUME_SECRET + RESUME_SALT + 2];
	uint8_t *at = input + sizeof(label) - 1;
	uint8_t out[AEAD_KEY + RESUME_PROOF];

	memcpy(input, label, sizeof(label) - 1);
	memcpy(at, secret->ticket, RESUME_SECRET);
	memcpy(at + RESUME_SECRET, secret->salt, RESUME_SALT);
	put16(at + RESUME_SECRET + RESUME_SALT, epoch);
	crypto_generichash(out, sizeof(out), input, sizeof(input), NULL, 0);
	memcpy(keys->key, out, AEAD_KEY);
	if (proof != NULL)
		memcpy(proof, out + AEAD_KEY, RESUME_PROOF);
	explicit_bzero(input, sizeof(input));
	explicit_bzero(out, sizeof(out));
}

void
session_keys_derive(struct session_keys *keys, const struct session_secret *secret, uint16_t epoch)
{
	static const char label[16] = "rookery data key"; /* without a NUL */
	uint8_t input[sizeof(label) + 2 + sizeof(secret->server_to_client)];
	uint8_t mac[32];

	if (secret->resumed) {
		resume_derive(keys, NULL, secret, epoch);
		return;
	}
	memcpy(input, label, sizeof(label));
	put16(input + sizeof(label), epoch);
	memcpy(input + sizeof(label) + 2, secret->server_to_client, sizeof(secret->server_to_client));
	noise_hmac(mac, secret->client_to_server, input, sizeof(input));
	memcpy(keys->key, mac, AEAD_KEY);
	sodium_memzero(mac, sizeof(mac));
	sodium_memzero(input, sizeof(input));
}
