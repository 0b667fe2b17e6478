/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * LOGIN as a hostile client makes it: validly sealed around any payload, then damaged at one place.
 *
 *   input: offset (u16), xor (u8), payload
 *
 * xor 0 leaves it whole: then the server must read exactly the payload, and LoginHello's decoder gets it.
 * Otherwise byte offset is changed: then the server must refuse it, unless the byte belongs to a mac.
 */
#include "fuzz.h"

#include "fuzz_keys.h"
#include "shared/handshake_internal.h"
#include "shared/rookery.pb-c.h"
#include "shared/wire.h"

#include <errno.h>

static void
read_login(const struct fuzz_keys *keys, const uint8_t *login, size_t len, const uint8_t *sent,
	   size_t sent_len, bool damaged)
{
	uint8_t payload[HANDSHAKE_PAYLOAD_MAX] = {0}, reply[WIRE_DATAGRAM_MAX];
	struct handshake_server server;
	struct session_secret secret;
	Rookery__LoginHello *hello;
	int n;

	n = handshake_server_read(&server, &keys->server, login, len, payload, sizeof(payload));
	if (damaged) {
		FUZZ_CHECK(n == -EBADMSG);
		return;
	}
	FUZZ_CHECK(n >= 0 && (size_t)n == sent_len && memcmp(payload, sent, sent_len) == 0);
	FUZZ_CHECK(memcmp(server.device, keys->device.public, HANDSHAKE_KEY) == 0);
	hello = rookery__login_hello__unpack(NULL, sent_len, payload);
	if (hello != NULL)
		rookery__login_hello__free_unpacked(hello, NULL);
	n = handshake_server_reply_fixed(&server, keys->server_ephemeral, payload, 16, reply, sizeof(reply),
					 &secret);
	FUZZ_CHECK(n == HANDSHAKE_REPLY_OVERHEAD + 16);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t login[WIRE_DATAGRAM_MAX], sent[HANDSHAKE_PAYLOAD_MAX] = {0}, xor;
	static struct fuzz_keys keys;
	struct handshake_client client = {0};
	size_t offset, len, sent_len;
	int n;

	if (keys.peer.port == 0)
		fuzz_keys_init(&keys);
	if (size < 3 || size - 3 > sizeof(sent))
		return 0;
	xor = data[2];
	sent_len = size - 3;
	memcpy(sent, data + 3, sent_len);
	n = handshake_client_start_fixed(&client, &keys.device, keys.server.public, FUZZ_LOGIN_ID,
					 keys.client_ephemeral, sent, sent_len, login, sizeof(login));
	FUZZ_CHECK(n == (int)(HANDSHAKE_LOGIN_OVERHEAD + sent_len));
	len = (size_t)n;
	FUZZ_CHECK(handshake_check_mac1(&keys.guard, login, len) == (len >= HANDSHAKE_LOGIN_MIN));
	offset = (size_t)(data[0] << 8 | data[1]) % len;
	login[offset] ^= xor;
	if (xor != 0 && offset < len - HANDSHAKE_MAC)
		FUZZ_CHECK(!handshake_check_mac1(&keys.guard, login, len));
	read_login(&keys, login, len, sent, sent_len, xor != 0 && offset < len - 2 * HANDSHAKE_MAC);
	return 0;
}
