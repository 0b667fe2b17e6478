/* SPDX-License-Identifier: BSD-3-Clause */
/* The server's side of LOGIN, raw: the worker's checks, then what control would make of it. */
#include "fuzz.h"

#include "fuzz_keys.h"
#include "shared/wire.h"

#include <errno.h>

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t payload[HANDSHAKE_PAYLOAD_MAX], cookie[HANDSHAKE_COOKIE_SIZE];
	static struct fuzz_keys keys;
	struct handshake_server server;
	int n;

	if (keys.peer.port == 0)
		fuzz_keys_init(&keys);
	if (handshake_check_mac1(&keys.guard, data, size)) {
		FUZZ_CHECK(size >= HANDSHAKE_LOGIN_MIN && size <= WIRE_DATAGRAM_MAX);
		n = handshake_write_cookie(&keys.guard, keys.cookie_secret, &keys.peer, keys.nonce, data,
					   size, 0, cookie);
		FUZZ_CHECK(n == HANDSHAKE_COOKIE_SIZE && (size_t)n <= size);
	}
	handshake_check_mac2(keys.cookie_secret, &keys.peer, data, size);
	n = handshake_server_read(&server, &keys.server, data, size, payload, sizeof(payload));
	FUZZ_CHECK(n == -EBADMSG || (n >= 0 && (size_t)n == size - HANDSHAKE_LOGIN_OVERHEAD));
	return 0;
}
