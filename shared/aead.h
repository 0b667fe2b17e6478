/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * AES-128-GCM (NIST SP 800-38D), the cipher of DATA packets: 16-byte key, 12-byte nonce, 16-byte tag.
 * Two implementations of this one interface: aead_ipsecmb.c (dataplane) and aead_openssl.c (clients,
 * and where intel-ipsec-mb is missing).
 *
 * Thread-safety: a struct aead_key is used by one thread at a time.
 */
#ifndef ROOKERY_SHARED_AEAD_H
#define ROOKERY_SHARED_AEAD_H

#include <stddef.h>
#include <stdint.h>

#define AEAD_KEY 16
#define AEAD_NONCE 12
#define AEAD_TAG 16

/* An expanded key; owner is the caller's, for saying whose it is: on the line that every use of the key reads. */
struct aead_key {
	_Alignas(64) uint8_t opaque[1008];
	uint64_t owner;
};

/* The same for a few short packets: less to expand and half the memory, but texts of more than a hundred bytes take longer. */
struct aead_brief {
	_Alignas(64) uint8_t opaque[496];
	uint64_t owner;
};

/* Call once per process before any other. Returns 0 or -ENOTSUP with no usable implementation. */
int aead_init(void);

/* Expands raw into k, which the caller zeroed before its first use and never copies. aead_key_clear wipes it and
 * frees what the implementation holds; a cleared or zeroed key may be cleared again. aead_key_set on a live key
 * needs no clear before it, and does not touch its owner, which aead_key_clear wipes. Returns 0 or -ENOMEM. */
int aead_key_set(struct aead_key *k, const uint8_t raw[AEAD_KEY]);
void aead_key_clear(struct aead_key *k);
int aead_brief_set(struct aead_brief *k, const uint8_t raw[AEAD_KEY]);
void aead_brief_clear(struct aead_brief *k);

/* Starts loading what sealing or opening len bytes with k will read. */
void aead_prefetch(const struct aead_key *k, size_t len);

/* in and out may be the same place, tag is written separately. */
void aead_seal(struct aead_key *k, const uint8_t nonce[AEAD_NONCE], const uint8_t *aad, size_t aad_len,
	       const uint8_t *in, size_t len, uint8_t *out, uint8_t tag[AEAD_TAG]);
void aead_brief_seal(struct aead_brief *k, const uint8_t nonce[AEAD_NONCE], const uint8_t *aad, size_t aad_len,
		     const uint8_t *in, size_t len, uint8_t *out, uint8_t tag[AEAD_TAG]);

/* Returns 0, or -EBADMSG when the tag does not match (out is then unspecified). Compares in constant time. */
int aead_open(struct aead_key *k, const uint8_t nonce[AEAD_NONCE], const uint8_t *aad, size_t aad_len,
	      const uint8_t *in, size_t len, uint8_t *out, const uint8_t tag[AEAD_TAG]);
int aead_brief_open(struct aead_brief *k, const uint8_t nonce[AEAD_NONCE], const uint8_t *aad, size_t aad_len,
		    const uint8_t *in, size_t len, uint8_t *out, const uint8_t tag[AEAD_TAG]);

#endif
