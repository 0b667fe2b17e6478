/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client's side of the handshake: whatever answers a LOGIN.
 *
 *   input: how (u8), then bytes
 *     even: the bytes are the datagram, read as LOGIN_REPLY and as COOKIE
 *     odd:  the bytes are the payload of a valid LOGIN_REPLY, which goes on to LoginReply's decoder
 *
 * Nothing that is refused may change the client's state: the true reply is still read afterwards.
 */
#include "fuzz.h"

#include "fuzz_keys.h"
#include "shared/handshake_internal.h"
#include "shared/rookery.pb-c.h"
#include "shared/wire.h"

#include <errno.h>

#define HELLO_SIZE (HANDSHAKE_LOGIN_MIN - HANDSHAKE_LOGIN_OVERHEAD)

static struct fuzz_keys keys;
static struct handshake_client client;
static struct handshake_server server;

static void
login_once(void)
{
	uint8_t hello[HELLO_SIZE] = {0}, login[WIRE_DATAGRAM_MAX], payload[HANDSHAKE_PAYLOAD_MAX];
	int n;

	fuzz_keys_init(&keys);
	n = handshake_client_start_fixed(&client, &keys.device, keys.server.public, FUZZ_LOGIN_ID,
					 keys.client_ephemeral, hello, sizeof(hello), login, sizeof(login));
	FUZZ_CHECK(n == HANDSHAKE_LOGIN_MIN);
	n = handshake_server_read(&server, &keys.server, login, (size_t)n, payload, sizeof(payload));
	FUZZ_CHECK(n == HELLO_SIZE);
}

static void
true_reply(const uint8_t *sent, size_t sent_len)
{
	uint8_t reply[WIRE_DATAGRAM_MAX], payload[HANDSHAKE_PAYLOAD_MAX];
	struct session_secret ours, theirs;
	struct handshake_server s = server;
	Rookery__LoginReply *decoded;
	int n;

	n = handshake_server_reply_fixed(&s, keys.server_ephemeral, sent, sent_len, reply, sizeof(reply),
					 &theirs);
	FUZZ_CHECK(n == (int)(HANDSHAKE_REPLY_OVERHEAD + sent_len));
	n = handshake_client_finish(&client, reply, (size_t)n, payload, sizeof(payload), &ours);
	FUZZ_CHECK(n == (int)sent_len && memcmp(&ours, &theirs, sizeof(ours)) == 0);
	decoded = rookery__login_reply__unpack(NULL, sent_len, payload);
	if (decoded != NULL)
		rookery__login_reply__free_unpacked(decoded, NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct handshake_client before;
	uint8_t payload[HANDSHAKE_PAYLOAD_MAX];
	struct session_secret secret;
	int n;

	if (keys.peer.port == 0)
		login_once();
	if (size < 1 || size - 1 > HANDSHAKE_PAYLOAD_MAX)
		return 0;
	if (data[0] & 1) {
		true_reply(data + 1, size - 1);
		return 0;
	}
	before = client;
	n = handshake_client_finish(&client, data + 1, size - 1, payload, sizeof(payload), &secret);
	FUZZ_CHECK(n == -EBADMSG || (n >= 0 && (size_t)n == size - 1 - HANDSHAKE_REPLY_OVERHEAD));
	FUZZ_CHECK(memcmp(&client, &before, sizeof(client)) == 0);
	n = handshake_client_cookie(&client, data + 1, size - 1);
	FUZZ_CHECK(n == 0 || n == -EBADMSG);
	if (n < 0)
		FUZZ_CHECK(memcmp(&client, &before, sizeof(client)) == 0);
	client = before;
	return 0;
}
