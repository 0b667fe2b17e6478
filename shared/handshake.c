/* SPDX-License-Identifier: BSD-3-Clause */
#include "shared/handshake.h"

#include "shared/bytes.h"
#include "shared/handshake_internal.h"
#include "shared/noise.h"
#include "shared/wire.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#define LOGIN_NOISE WIRE_PREFIX /* offset of the Noise message */
#define LOGIN_MACS (2 * HANDSHAKE_MAC)
#define COOKIE_NONCE 24
#define COOKIE_SEALED (HANDSHAKE_MAC + 16)
#define PROLOGUE_LABEL "rookery"

_Static_assert(sizeof(struct noise) <= sizeof(((struct handshake_client *)0)->noise), "the state fits");
_Static_assert(sizeof(struct noise) <= sizeof(((struct handshake_server *)0)->noise), "the state fits");
_Static_assert(_Alignof(struct noise) <= 8, "the state is aligned");
_Static_assert(HANDSHAKE_LOGIN_OVERHEAD == WIRE_PREFIX + NOISE_FIRST_OVERHEAD + LOGIN_MACS, "LOGIN's layout");
_Static_assert(HANDSHAKE_REPLY_OVERHEAD == WIRE_PREFIX + NOISE_SECOND_OVERHEAD, "LOGIN_REPLY's layout");
_Static_assert(HANDSHAKE_LOGIN_OVERHEAD + HANDSHAKE_PAYLOAD_MAX <= WIRE_DATAGRAM_MAX,
	       "any LOGIN is a datagram");
_Static_assert(HANDSHAKE_COOKIE_SIZE == WIRE_PREFIX + COOKIE_NONCE + COOKIE_SEALED, "COOKIE's layout");
_Static_assert(HANDSHAKE_COOKIE_SIZE <= HANDSHAKE_LOGIN_MIN, "no reply is larger than its request");

static struct noise *
client_noise(struct handshake_client *h)
{
	return (struct noise *)(void *)h->noise;
}

static struct noise *
server_noise(struct handshake_server *h)
{
	return (struct noise *)(void *)h->noise;
}

int
handshake_init(void)
{
	return sodium_init() >= 0 ? 0 : -EIO;
}

void
handshake_keypair_generate(struct handshake_keypair *kp)
{
	randombytes_buf(kp->secret, sizeof(kp->secret));
	crypto_scalarmult_base(kp->public, kp->secret);
}

void
handshake_keypair_from_secret(struct handshake_keypair *kp, const uint8_t secret[HANDSHAKE_KEY])
{
	memmove(kp->secret, secret, sizeof(kp->secret));
	crypto_scalarmult_base(kp->public, kp->secret);
}

static void
prefix_write(uint8_t *out, uint8_t type, uint64_t id)
{
	const struct wire_prefix p = {.type = type, .version = WIRE_VERSION, .flags = 0, .id = id};

	wire_prefix_write(&p, out);
}

/* Is this a datagram of the type, for handshake id (any if NULL)? */
static bool
prefix_check(const uint8_t *in, size_t len, uint8_t type, const uint64_t *id)
{
	struct wire_prefix p;

	if (len < WIRE_PREFIX || len > WIRE_DATAGRAM_MAX)
		return false;
	wire_prefix_read(&p, in);
	return p.type == type && p.version == WIRE_VERSION && p.flags == 0 && (id == NULL || p.id == *id);
}

static void
prologue_make(uint8_t out[sizeof(PROLOGUE_LABEL) - 1 + WIRE_PREFIX], const uint8_t *login)
{
	memcpy(out, PROLOGUE_LABEL, sizeof(PROLOGUE_LABEL) - 1);
	memcpy(out + sizeof(PROLOGUE_LABEL) - 1, login, WIRE_PREFIX);
}

/* ---- macs and the cookie --------------------------------------------------------------- */

static void
derive_guard_key(uint8_t key[32], const char *label, const uint8_t server_public[HANDSHAKE_KEY])
{
	crypto_generichash_state state;

	crypto_generichash_init(&state, NULL, 0, 32);
	crypto_generichash_update(&state, (const uint8_t *)label, strlen(label));
	crypto_generichash_update(&state, server_public, HANDSHAKE_KEY);
	crypto_generichash_final(&state, key, 32);
}

void
handshake_guard_init(struct handshake_guard *g, const uint8_t server_public[HANDSHAKE_KEY])
{
	derive_guard_key(g->mac1_key, "rookery mac1 v1", server_public);
	derive_guard_key(g->cookie_key, "rookery cookie v1", server_public);
}

static void
mac_make(uint8_t mac[HANDSHAKE_MAC], const uint8_t *key, size_t key_len, const uint8_t *in, size_t len)
{
	crypto_generichash(mac, HANDSHAKE_MAC, in, len, key, key_len);
}

static uint64_t
address_hash(const uint8_t key[16], const struct endpoint *peer)
{
	uint8_t input[18], hash[8];

	memcpy(input, peer->ip, 16);
	input[16] = (uint8_t)(peer->port >> 8);
	input[17] = (uint8_t)peer->port;
	crypto_shorthash(hash, input, sizeof(input), key);
	return get64(hash);
}

uint64_t
handshake_tag(const uint8_t cookie_secret[HANDSHAKE_SECRET], const struct endpoint *peer)
{
	uint64_t quick = handshake_tag_quick(cookie_secret, peer);

	return quick << 56 | address_hash(cookie_secret, peer) >> 8;
}

/* The tag goes over the wire in clear once it is used, so only the second half is secret to those who see the LOGIN: still more than
 * anybody guesses while a cookie lives, and who saw the COOKIE knows it anyway. */
static void
cookie_make(uint8_t cookie[HANDSHAKE_MAC], const uint8_t cookie_secret[HANDSHAKE_SECRET], const struct endpoint *peer)
{
	put64(cookie, handshake_tag(cookie_secret, peer));
	put64(cookie + 8, address_hash(cookie_secret + crypto_shorthash_KEYBYTES, peer));
}

bool
handshake_check_mac1(const struct handshake_guard *g, const uint8_t *in, size_t len)
{
	uint8_t mac[HANDSHAKE_MAC];

	if (len < HANDSHAKE_LOGIN_MIN || !prefix_check(in, len, WIRE_LOGIN, NULL))
		return false;
	mac_make(mac, g->mac1_key, sizeof(g->mac1_key), in, len - LOGIN_MACS);
	return sodium_memcmp(mac, in + len - LOGIN_MACS, HANDSHAKE_MAC) == 0;
}

bool
handshake_check_mac2(const uint8_t cookie_secret[HANDSHAKE_SECRET], const struct endpoint *peer, const uint8_t *in,
		     size_t len)
{
	uint8_t cookie[HANDSHAKE_MAC], mac[HANDSHAKE_MAC];

	if (len < HANDSHAKE_LOGIN_OVERHEAD)
		return false;
	cookie_make(cookie, cookie_secret, peer);
	mac_make(mac, cookie, sizeof(cookie), in, len - HANDSHAKE_MAC);
	return sodium_memcmp(mac, in + len - HANDSHAKE_MAC, HANDSHAKE_MAC) == 0;
}

/* What a COOKIE is bound to: its own prefix, and mac1, so that only who saw the LOGIN can make one that its client accepts. */
static void
cookie_bind(uint8_t out[WIRE_PREFIX + HANDSHAKE_MAC], const uint8_t *cookie, const uint8_t *mac1)
{
	memcpy(out, cookie, WIRE_PREFIX);
	memcpy(out + WIRE_PREFIX, mac1, HANDSHAKE_MAC);
}

int
handshake_write_cookie(const struct handshake_guard *g, const uint8_t cookie_secret[HANDSHAKE_SECRET],
		       const struct endpoint *peer, const uint8_t nonce[24], const uint8_t *in, size_t len,
		       uint64_t wait_ms, uint8_t *out)
{
	struct wire_prefix p = {.type = WIRE_COOKIE, .version = WIRE_VERSION};
	uint64_t wait = (wait_ms + HANDSHAKE_WAIT_UNIT_MS - 1) / HANDSHAKE_WAIT_UNIT_MS;
	uint8_t cookie[HANDSHAKE_MAC], bound[WIRE_PREFIX + HANDSHAKE_MAC];
	struct wire_prefix login;

	wire_prefix_read(&login, in);
	p.id = login.id;
	p.flags = (uint16_t)(wait < UINT16_MAX ? wait : UINT16_MAX);
	wire_prefix_write(&p, out);
	memcpy(out + WIRE_PREFIX, nonce, COOKIE_NONCE);
	cookie_make(cookie, cookie_secret, peer);
	cookie_bind(bound, out, in + len - LOGIN_MACS);
	crypto_aead_xchacha20poly1305_ietf_encrypt(out + WIRE_PREFIX + COOKIE_NONCE, NULL, cookie,
						   sizeof(cookie), bound, sizeof(bound), NULL, nonce,
						   g->cookie_key);
	return HANDSHAKE_COOKIE_SIZE;
}

/* ---- client ---------------------------------------------------------------------------- */

int
handshake_client_start_fixed(struct handshake_client *h, const struct handshake_keypair *device,
			     const uint8_t server_public[HANDSHAKE_KEY], uint64_t id,
			     const uint8_t ephemeral_secret[HANDSHAKE_KEY], const uint8_t *payload,
			     size_t payload_len, uint8_t *out, size_t cap)
{
	uint8_t prologue[sizeof(PROLOGUE_LABEL) - 1 + WIRE_PREFIX];
	struct noise *noise = client_noise(h);
	struct handshake_guard guard;
	uint8_t *mac1, *mac2;
	int rc;

	if (payload_len > HANDSHAKE_PAYLOAD_MAX || cap < HANDSHAKE_LOGIN_OVERHEAD + payload_len)
		return -EMSGSIZE;
	h->id = h->have_cookie ? get64(h->cookie) : id;
	memcpy(h->server, server_public, HANDSHAKE_KEY);
	prefix_write(out, WIRE_LOGIN, h->id);
	prologue_make(prologue, out);
	noise_init(noise, prologue, sizeof(prologue), device->public, device->secret, server_public);
	rc = noise_write_first(noise, server_public, ephemeral_secret, payload, payload_len,
			       out + LOGIN_NOISE);
	if (rc < 0) {
		sodium_memzero(h->noise, sizeof(h->noise));
		return rc;
	}

	mac1 = out + LOGIN_NOISE + NOISE_FIRST_OVERHEAD + payload_len;
	mac2 = mac1 + HANDSHAKE_MAC;
	handshake_guard_init(&guard, server_public);
	mac_make(mac1, guard.mac1_key, sizeof(guard.mac1_key), out, (size_t)(mac1 - out));
	memcpy(h->mac1, mac1, HANDSHAKE_MAC);
	if (h->have_cookie)
		mac_make(mac2, h->cookie, sizeof(h->cookie), out, (size_t)(mac2 - out));
	else
		memset(mac2, 0, HANDSHAKE_MAC);
	return (int)(HANDSHAKE_LOGIN_OVERHEAD + payload_len);
}

int
handshake_client_start(struct handshake_client *h, const struct handshake_keypair *device,
		       const uint8_t server_public[HANDSHAKE_KEY], uint64_t id, const uint8_t *payload,
		       size_t payload_len, uint8_t *out, size_t cap)
{
	uint8_t ephemeral[HANDSHAKE_KEY];
	int rc;

	randombytes_buf(ephemeral, sizeof(ephemeral));
	rc = handshake_client_start_fixed(h, device, server_public, id, ephemeral, payload, payload_len, out,
					  cap);
	sodium_memzero(ephemeral, sizeof(ephemeral));
	return rc;
}

int
handshake_client_finish(struct handshake_client *h, const uint8_t *in, size_t len, uint8_t *payload,
			size_t cap, struct session_secret *secret)
{
	struct noise noise;
	size_t payload_len;
	int rc;

	if (len < HANDSHAKE_REPLY_OVERHEAD || !prefix_check(in, len, WIRE_LOGIN_REPLY, &h->id))
		return -EBADMSG;
	payload_len = len - HANDSHAKE_REPLY_OVERHEAD;
	if (payload_len > cap)
		return -EMSGSIZE;
	/* On a copy: anybody can send a forged reply, and the true one may come after it. */
	noise = *client_noise(h);
	rc = noise_read_second(&noise, in + WIRE_PREFIX, len - WIRE_PREFIX, payload);
	if (rc == 0) {
		noise_split(&noise, secret->client_to_server, secret->server_to_client);
		secret->resumed = 0;
	}
	sodium_memzero(&noise, sizeof(noise));
	return rc < 0 ? rc : (int)payload_len;
}

int
handshake_client_cookie(struct handshake_client *h, const uint8_t *in, size_t len)
{
	const uint8_t *nonce = in + WIRE_PREFIX;
	uint8_t cookie[HANDSHAKE_MAC], bound[WIRE_PREFIX + HANDSHAKE_MAC];
	struct handshake_guard guard;
	struct wire_prefix p;

	if (len != HANDSHAKE_COOKIE_SIZE)
		return -EBADMSG;
	wire_prefix_read(&p, in);
	if (p.type != WIRE_COOKIE || p.version != WIRE_VERSION || p.id != h->id)
		return -EBADMSG;
	handshake_guard_init(&guard, h->server);
	cookie_bind(bound, in, h->mac1);
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(cookie, NULL, NULL, nonce + COOKIE_NONCE,
						       COOKIE_SEALED, bound, sizeof(bound), nonce,
						       guard.cookie_key) != 0)
		return -EBADMSG;
	memcpy(h->cookie, cookie, sizeof(cookie));
	h->have_cookie = true;
	return p.flags * HANDSHAKE_WAIT_UNIT_MS;
}

void
handshake_client_clear(struct handshake_client *h)
{
	sodium_memzero(h, sizeof(*h));
}

/* ---- control --------------------------------------------------------------------------- */

const uint8_t *
handshake_login_ephemeral(const uint8_t *in, size_t len)
{
	return len < HANDSHAKE_LOGIN_OVERHEAD ? NULL : in + LOGIN_NOISE;
}

int
handshake_server_read(struct handshake_server *h, const struct handshake_keypair *server, const uint8_t *in,
		      size_t len, uint8_t *payload, size_t cap)
{
	uint8_t prologue[sizeof(PROLOGUE_LABEL) - 1 + WIRE_PREFIX];
	struct noise *noise = server_noise(h);
	struct wire_prefix p;
	size_t payload_len;
	int rc;

	if (len < HANDSHAKE_LOGIN_OVERHEAD || !prefix_check(in, len, WIRE_LOGIN, NULL))
		return -EBADMSG;
	payload_len = len - HANDSHAKE_LOGIN_OVERHEAD;
	if (payload_len > HANDSHAKE_PAYLOAD_MAX)
		return -EBADMSG;
	if (payload_len > cap)
		return -EMSGSIZE;
	prologue_make(prologue, in);
	noise_init(noise, prologue, sizeof(prologue), server->public, server->secret, server->public);
	rc = noise_read_first(noise, in + LOGIN_NOISE, len - LOGIN_NOISE - LOGIN_MACS, payload);
	if (rc < 0) {
		sodium_memzero(h, sizeof(*h));
		return rc;
	}
	wire_prefix_read(&p, in);
	h->id = p.id;
	h->prepared = false;
	memcpy(h->device, noise->rs, HANDSHAKE_KEY);
	memcpy(h->ephemeral, noise->re, HANDSHAKE_KEY);
	return (int)payload_len;
}

static int
prepare_fixed(struct handshake_server *h, const uint8_t ephemeral_secret[HANDSHAKE_KEY])
{
	int rc = noise_prepare_second(server_noise(h), ephemeral_secret);

	if (rc < 0)
		sodium_memzero(h, sizeof(*h));
	else
		h->prepared = true;
	return rc;
}

int
handshake_server_prepare(struct handshake_server *h)
{
	uint8_t ephemeral[HANDSHAKE_KEY];
	int rc;

	randombytes_buf(ephemeral, sizeof(ephemeral));
	rc = prepare_fixed(h, ephemeral);
	sodium_memzero(ephemeral, sizeof(ephemeral));
	return rc;
}

static bool
reply_fits(size_t payload_len, size_t cap)
{
	return payload_len <= HANDSHAKE_PAYLOAD_MAX && cap >= HANDSHAKE_REPLY_OVERHEAD + payload_len;
}

/* Of what is prepared. */
static int
reply_write(struct handshake_server *h, const uint8_t *payload, size_t payload_len, uint8_t *out, struct session_secret *secret)
{
	struct noise *noise = server_noise(h);
	int rc;

	prefix_write(out, WIRE_LOGIN_REPLY, h->id);
	rc = noise_write_prepared(noise, payload, payload_len, out + WIRE_PREFIX);
	if (rc == 0) {
		noise_split(noise, secret->client_to_server, secret->server_to_client);
		secret->resumed = 0;
	}
	sodium_memzero(h, sizeof(*h));
	return rc < 0 ? rc : (int)(HANDSHAKE_REPLY_OVERHEAD + payload_len);
}

int
handshake_server_reply_fixed(struct handshake_server *h, const uint8_t ephemeral_secret[HANDSHAKE_KEY],
			     const uint8_t *payload, size_t payload_len, uint8_t *out, size_t cap,
			     struct session_secret *secret)
{
	int rc;

	if (!reply_fits(payload_len, cap))
		return -EMSGSIZE;
	rc = prepare_fixed(h, ephemeral_secret);
	return rc < 0 ? rc : reply_write(h, payload, payload_len, out, secret);
}

int
handshake_server_reply(struct handshake_server *h, const uint8_t *payload, size_t payload_len, uint8_t *out,
		       size_t cap, struct session_secret *secret)
{
	int rc;

	if (!reply_fits(payload_len, cap))
		return -EMSGSIZE;
	rc = h->prepared ? 0 : handshake_server_prepare(h);
	return rc < 0 ? rc : reply_write(h, payload, payload_len, out, secret);
}
