/* SPDX-License-Identifier: BSD-3-Clause */
/* The fixed keys of the handshake's fuzz targets; seeds.c makes the corpora with the same. */
#ifndef ROOKERY_TESTS_FUZZ_KEYS_H
#define ROOKERY_TESTS_FUZZ_KEYS_H

#include "shared/handshake.h"

#include <string.h>

#define FUZZ_LOGIN_ID 0x1122334455667788

struct fuzz_keys {
	struct handshake_keypair device, server;
	struct handshake_guard guard;
	struct endpoint peer;
	uint8_t client_ephemeral[32], server_ephemeral[32], cookie_secret[HANDSHAKE_SECRET], nonce[24];
};

static inline void
fuzz_keys_init(struct fuzz_keys *k)
{
	uint8_t secret[32];

	handshake_init();
	memset(secret, 0x11, sizeof(secret));
	handshake_keypair_from_secret(&k->device, secret);
	memset(secret, 0x22, sizeof(secret));
	handshake_keypair_from_secret(&k->server, secret);
	handshake_guard_init(&k->guard, k->server.public);
	memset(k->client_ephemeral, 0x33, sizeof(k->client_ephemeral));
	memset(k->server_ephemeral, 0x44, sizeof(k->server_ephemeral));
	memset(k->cookie_secret, 0x55, sizeof(k->cookie_secret));
	memset(k->nonce, 0x66, sizeof(k->nonce));
	endpoint_parse(&k->peer, "192.0.2.7:40001", 0);
}

#endif
