/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Noise_IK_25519_AESGCM_SHA256 (The Noise Protocol Framework, revision 34). Only the pattern that the login
 * needs:
 *
 *   <- s
 *   ...
 *   -> e, es, s, ss      noise_write_first, noise_read_first
 *   <- e, ee, se         noise_write_second, noise_read_second
 *
 * Deterministic: the caller brings the ephemeral secret, so that published vectors can be run. After an error
 * the state is of no more use; a caller that wants to try again works on a copy.
 */
#ifndef ROOKERY_SHARED_NOISE_H
#define ROOKERY_SHARED_NOISE_H

#include <stddef.h>
#include <stdint.h>

#define NOISE_KEY 32
#define NOISE_TAG 16
#define NOISE_FIRST_OVERHEAD (NOISE_KEY + NOISE_KEY + NOISE_TAG + NOISE_TAG)
#define NOISE_SECOND_OVERHEAD (NOISE_KEY + NOISE_TAG)

struct noise {
	/* SymmetricState and CipherState */
	uint8_t ck[32];
	uint8_t h[32]; /* the handshake hash, once both messages are through */
	uint8_t k[32];
	uint64_t n;
	/* HandshakeState */
	uint8_t s_public[NOISE_KEY];
	uint8_t s_secret[NOISE_KEY];
	uint8_t e_public[NOISE_KEY];
	uint8_t e_secret[NOISE_KEY];
	uint8_t rs[NOISE_KEY];
	uint8_t re[NOISE_KEY];
};

/* server_public is the responder's static key, known to both before the first message. */
void noise_init(struct noise *n, const uint8_t *prologue, size_t prologue_len,
		const uint8_t s_public[NOISE_KEY], const uint8_t s_secret[NOISE_KEY],
		const uint8_t server_public[NOISE_KEY]);

/* Initiator, message 1. out has room for len + NOISE_FIRST_OVERHEAD. Returns 0, -EINVAL (the responder's key
 * is of low order), or -EIO (OpenSSL failed). */
int noise_write_first(struct noise *n, const uint8_t server_public[NOISE_KEY],
		      const uint8_t e_secret[NOISE_KEY], const uint8_t *payload, size_t len, uint8_t *out);

/* Responder, message 1; in is at least NOISE_FIRST_OVERHEAD, payload has room for len - NOISE_FIRST_OVERHEAD.
 * Afterwards n->rs is the initiator's authenticated static key and n->re its ephemeral one. Returns 0 or
 * -EBADMSG. */
int noise_read_first(struct noise *n, const uint8_t *in, size_t len, uint8_t *payload);

/* Responder, message 2; room as above. Returns 0, -EINVAL or -EIO. */
int noise_write_second(struct noise *n, const uint8_t e_secret[NOISE_KEY], const uint8_t *payload, size_t len,
		       uint8_t *out);

/* The same in two steps: all of message 2 that needs no payload, which is its public-key operations, and the rest. 0, -EINVAL; 0, -EIO. */
int noise_prepare_second(struct noise *n, const uint8_t e_secret[NOISE_KEY]);
int noise_write_prepared(struct noise *n, const uint8_t *payload, size_t len, uint8_t *out);

/* Initiator, message 2; sizes as above. Returns 0 or -EBADMSG. */
int noise_read_second(struct noise *n, const uint8_t *in, size_t len, uint8_t *payload);

/* Split(): the transport keys of both directions. */
void noise_split(const struct noise *n, uint8_t initiator_to_responder[NOISE_KEY],
		 uint8_t responder_to_initiator[NOISE_KEY]);

/* AES-256-GCM with Noise's nonce (4 zero bytes, counter big-endian). out of seal has len + NOISE_TAG bytes,
 * out of open len - NOISE_TAG. Return 0; seal -EIO, open -EBADMSG. */
int noise_seal(const uint8_t key[NOISE_KEY], uint64_t counter, const uint8_t *ad, size_t ad_len,
	       const uint8_t *in, size_t len, uint8_t *out);
int noise_open(const uint8_t key[NOISE_KEY], uint64_t counter, const uint8_t *ad, size_t ad_len,
	       const uint8_t *in, size_t len, uint8_t *out);

/* HMAC-SHA256 (RFC 2104). out may be where the input is. */
void noise_hmac(uint8_t out[32], const uint8_t key[32], const uint8_t *input, size_t len);

#endif
