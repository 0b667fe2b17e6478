/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The login handshake: Noise_IK_25519_AESGCM_SHA256 (Noise rev. 34) in one LOGIN and one LOGIN_REPLY
 * datagram, with WireGuard's mac1/mac2 and stateless cookie (WireGuard paper, 5.3 and 5.4.7).
 *
 *   LOGIN        prefix(12) | e(32) | s(32+16) | payload(+16) | mac1(16) | mac2(16)
 *   LOGIN_REPLY  prefix(12) | e(32) | payload(+16)
 *   COOKIE       prefix(12, flags: wait) | nonce(24) | cookie(16+16)
 *
 * The Noise prologue is "rookery" and the 12 prefix bytes of LOGIN. The payloads are the protobuf messages
 * LoginHello and LoginReply. A LOGIN is padded (LoginHello.padding) to at least HANDSHAKE_LOGIN_MIN
 * bytes, and a reply is never larger than its request.
 * No I/O, no clock; randomness comes from libsodium except where a test fixes the ephemeral key.
 */
#ifndef ROOKERY_SHARED_HANDSHAKE_H
#define ROOKERY_SHARED_HANDSHAKE_H

#include "address.h"
#include "session_keys.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define HANDSHAKE_KEY 32
#define HANDSHAKE_MAC 16
#define HANDSHAKE_LOGIN_OVERHEAD (12 + 32 + 48 + 16 + 16 + 16)
#define HANDSHAKE_REPLY_OVERHEAD (12 + 32 + 16)
#define HANDSHAKE_LOGIN_MIN 400
#define HANDSHAKE_PAYLOAD_MAX 1000
#define HANDSHAKE_COOKIE_SIZE (12 + 24 + 32)
#define HANDSHAKE_WAIT_UNIT_MS 100 /* of COOKIE's flags */
#define HANDSHAKE_SECRET 64        /* of a server's cookies: two SipHash keys, four words of the quick byte */

struct handshake_keypair {
	uint8_t public[HANDSHAKE_KEY];
	uint8_t secret[HANDSHAKE_KEY];
};

/* Call once per process (libsodium). Returns 0 or -EIO. */
int handshake_init(void);
void handshake_keypair_generate(struct handshake_keypair *kp);
/* Recomputes the public half. */
void handshake_keypair_from_secret(struct handshake_keypair *kp, const uint8_t secret[HANDSHAKE_KEY]);

/* ---- client ------------------------------------------------------------------------- */

/* State between LOGIN and LOGIN_REPLY; zeroed before the first start, wiped with handshake_client_clear. */
struct handshake_client {
	uint64_t id;
	uint8_t server[HANDSHAKE_KEY];
	uint8_t mac1[HANDSHAKE_MAC];  /* of the LOGIN last sent: opens a COOKIE */
	uint8_t cookie[HANDSHAKE_MAC];
	bool have_cookie;
	_Alignas(8) uint8_t noise[512]; /* struct noise, see noise.h */
};

/* Writes a complete LOGIN to out. payload_len is at most HANDSHAKE_PAYLOAD_MAX; the caller pads. If h->have_cookie,
 * mac2 is made from h->cookie, and its tag takes id's place. Returns its length, or -EMSGSIZE, or -EINVAL (a low-order
 * server key). */
int handshake_client_start(struct handshake_client *h, const struct handshake_keypair *device,
			   const uint8_t server_public[HANDSHAKE_KEY], uint64_t id,
			   const uint8_t *payload, size_t payload_len, uint8_t *out, size_t cap);

/* Reads a LOGIN_REPLY. Returns the length of the payload (written to payload), or -EBADMSG (not a reply to
 * this LOGIN, forged, truncated), -EMSGSIZE. h is then unchanged and may see the true reply. */
int handshake_client_finish(struct handshake_client *h, const uint8_t *in, size_t len,
			    uint8_t *payload, size_t cap, struct session_secret *secret);

/* Reads a COOKIE that answers h's LOGIN; start again afterwards. Returns the milliseconds to wait before that
 * (0: none), or -EBADMSG. */
int handshake_client_cookie(struct handshake_client *h, const uint8_t *in, size_t len);
void handshake_client_clear(struct handshake_client *h);

/* ---- control ------------------------------------------------------------------------ */

struct handshake_server {
	uint64_t id;
	uint8_t device[HANDSHAKE_KEY];    /* the client's static (device) key, authenticated */
	uint8_t ephemeral[HANDSHAKE_KEY]; /* tells a retransmitted LOGIN from a new one */
	bool prepared;                    /* handshake_server_prepare was called */
	_Alignas(8) uint8_t noise[512];
};

/* Reads a LOGIN whose mac1 was checked. Returns the payload's length or -EBADMSG, -EMSGSIZE. */
int handshake_server_read(struct handshake_server *h, const struct handshake_keypair *server,
			  const uint8_t *in, size_t len, uint8_t *payload, size_t cap);
/* Does what of the reply's work needs no payload, which is nearly all of it: on another thread, perhaps. Optional. Returns 0 or -EINVAL
 * (h is then wiped). */
int handshake_server_prepare(struct handshake_server *h);
/* Where a LOGIN has its ephemeral key, before anything of it was checked; NULL: it is too short. */
const uint8_t *handshake_login_ephemeral(const uint8_t *in, size_t len);
/* Writes the LOGIN_REPLY and the session's secret; wipes h. Returns the length, -EMSGSIZE (h is then unchanged),
 * or -EIO. */
int handshake_server_reply(struct handshake_server *h, const uint8_t *payload, size_t payload_len,
			   uint8_t *out, size_t cap, struct session_secret *secret);

/* ---- dataplane (stateless) ---------------------------------------------------------- */

/* Keys that depend on the server's public key only. */
struct handshake_guard {
	uint8_t mac1_key[32];
	uint8_t cookie_key[32];
};

void handshake_guard_init(struct handshake_guard *g, const uint8_t server_public[HANDSHAKE_KEY]);
/* Is this a well-formed LOGIN of at least HANDSHAKE_LOGIN_MIN bytes with the right mac1? */
bool handshake_check_mac1(const struct handshake_guard *g, const uint8_t *in, size_t len);
/* Does mac2 prove that the sender received the cookie for this address under this secret? */
bool handshake_check_mac2(const uint8_t cookie_secret[HANDSHAKE_SECRET], const struct endpoint *peer,
			  const uint8_t *in, size_t len);
/* The first half of the cookie, which a LOGIN made with it bears as its id: so a worker without the time for mac2 can tell,
 * from the packet's first line, the few that may be worth it. */
uint64_t handshake_tag(const uint8_t cookie_secret[HANDSHAKE_SECRET], const struct endpoint *peer);
/* The highest byte of it, by a few multiplications: a filter before handshake_tag, and no more than that. Its words serve
 * nothing else, so who works them out (from the tags of his own addresses) passes the filter and learns nothing. */
static inline uint8_t
handshake_tag_quick(const uint8_t cookie_secret[HANDSHAKE_SECRET], const struct endpoint *peer)
{
	uint64_t ip[2], k[4];

	memcpy(ip, peer->ip, sizeof(ip));
	memcpy(k, cookie_secret + HANDSHAKE_SECRET - sizeof(k), sizeof(k));
	return (uint8_t)(((ip[0] ^ k[0] ^ peer->port) * (k[1] | 1) + (ip[1] ^ k[2]) * (k[3] | 1)) >> 56);
}

/* Writes the COOKIE that answers LOGIN in[0..len), whose mac1 was checked. nonce: 24 bytes, never used twice
 * with this guard (random). wait_ms: when the client may come again, 0: at once. Returns HANDSHAKE_COOKIE_SIZE. */
int handshake_write_cookie(const struct handshake_guard *g, const uint8_t cookie_secret[HANDSHAKE_SECRET],
			   const struct endpoint *peer, const uint8_t nonce[24], const uint8_t *in,
			   size_t len, uint64_t wait_ms, uint8_t *out);

#endif
