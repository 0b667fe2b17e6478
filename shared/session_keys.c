/* SPDX-License-Identifier: BSD-3-Clause */
#include "shared/session_keys.h"

#include <sodium.h>
#include <string.h>

void
session_keys_derive(struct session_keys *keys, const struct session_secret *secret, uint16_t epoch)
{
	static const char label[16] = "rookery data key"; /* without a NUL */
	uint8_t input[sizeof(label) + 2 + sizeof(secret->server_to_client)];
	uint8_t mac[crypto_auth_hmacsha256_BYTES];

	memcpy(input, label, sizeof(label));
	input[sizeof(label)] = (uint8_t)(epoch >> 8);
	input[sizeof(label) + 1] = (uint8_t)epoch;
	memcpy(input + sizeof(label) + 2, secret->server_to_client, sizeof(secret->server_to_client));
	crypto_auth_hmacsha256(mac, input, sizeof(input), secret->client_to_server);
	memcpy(keys->key, mac, AEAD_KEY);
	sodium_memzero(mac, sizeof(mac));
	sodium_memzero(input, sizeof(input));
}
