/* SPDX-License-Identifier: BSD-3-Clause */
#include "shared/session_keys.h"

#include <sodium.h>
#include <string.h>

static void
derive(uint8_t key[AEAD_KEY], const uint8_t secret[32], uint16_t epoch)
{
	static const char label[] = "rookery data key";
	uint8_t input[sizeof(label) - 1 + 2];
	uint8_t mac[crypto_auth_hmacsha256_BYTES];

	memcpy(input, label, sizeof(label) - 1);
	input[sizeof(label) - 1] = (uint8_t)(epoch >> 8);
	input[sizeof(label)] = (uint8_t)epoch;
	crypto_auth_hmacsha256(mac, input, sizeof(input), secret);
	memcpy(key, mac, AEAD_KEY);
	sodium_memzero(mac, sizeof(mac));
}

void
session_keys_derive(struct session_keys *keys, const struct session_secret *secret, uint16_t epoch)
{
	derive(keys->client_to_server, secret->client_to_server, epoch);
	derive(keys->server_to_client, secret->server_to_client, epoch);
}
