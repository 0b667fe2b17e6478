/* SPDX-License-Identifier: BSD-3-Clause */
#include "identity.h"

#include <arpa/inet.h>
#include <string.h>

session_id_t
load_sid(uint32_t client)
{
	return session_id_make(0, LOAD_GENERATION, client);
}

void
load_keys(uint32_t client, struct session_keys *keys)
{
	uint64_t x = client * UINT64_C(0x9e3779b97f4a7c15) + 1;
	uint64_t words[sizeof(*keys) / 8];

	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
		words[i] = x ^ x >> 31;
	}
	memcpy(keys, words, sizeof(*keys));
}

void
load_address(uint32_t client, struct endpoint *e)
{
	uint32_t ip = htonl(UINT32_C(10) << 24 | (client & 0xffffff));

	endpoint_set_ipv4(e, &ip, (uint16_t)(4000 + (client >> 24)));
}
