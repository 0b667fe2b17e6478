/* SPDX-License-Identifier: BSD-3-Clause */
/* AES-128-GCM by OpenSSL: for clients, and for servers without intel-ipsec-mb. */
#include "shared/aead.h"

#include <errno.h>
#include <limits.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <stdbool.h>
#include <string.h>

/* What opaque holds: one context serves both directions, since GCM expands its key the same way for both. A brief key is one as any other. */
struct openssl_key {
	EVP_CIPHER_CTX *ctx;
};

_Static_assert(sizeof(struct openssl_key) <= sizeof(((struct aead_key *)0)->opaque), "the key fits");
_Static_assert(sizeof(struct openssl_key) <= sizeof(((struct aead_brief *)0)->opaque), "the brief key fits");

int
aead_init(void)
{
	return EVP_aes_128_gcm() != NULL ? 0 : -ENOTSUP;
}

static inline struct openssl_key *
key_data(struct aead_key *k)
{
	return (struct openssl_key *)(void *)k->opaque;
}

static inline struct openssl_key *
brief_data(struct aead_brief *k)
{
	return (struct openssl_key *)(void *)k->opaque;
}

static int
set(struct openssl_key *o, const uint8_t raw[AEAD_KEY])
{
	if (o->ctx == NULL)
		o->ctx = EVP_CIPHER_CTX_new();
	return o->ctx != NULL && EVP_EncryptInit_ex(o->ctx, EVP_aes_128_gcm(), NULL, raw, NULL) == 1 ? 0 : -ENOMEM;
}

int
aead_key_set(struct aead_key *k, const uint8_t raw[AEAD_KEY])
{
	int rc = set(key_data(k), raw);

	if (rc != 0)
		aead_key_clear(k);
	return rc;
}

void
aead_key_clear(struct aead_key *k)
{
	EVP_CIPHER_CTX_free(key_data(k)->ctx); /* wipes what it held */
	sodium_memzero(k, sizeof(*k));
}

int
aead_brief_set(struct aead_brief *k, const uint8_t raw[AEAD_KEY])
{
	int rc = set(brief_data(k), raw);

	if (rc != 0)
		aead_brief_clear(k);
	return rc;
}

void
aead_brief_clear(struct aead_brief *k)
{
	EVP_CIPHER_CTX_free(brief_data(k)->ctx);
	sodium_memzero(k, sizeof(*k));
}

/* AAD, then the text, through a context that has its direction, nonce (and tag) set. */
static bool
run(EVP_CIPHER_CTX *ctx, const uint8_t *aad, size_t aad_len, const uint8_t *in, size_t len, uint8_t *out)
{
	uint8_t none[16];
	int n;

	if (aad_len > INT_MAX || len > INT_MAX)
		return false;
	if (aad_len > 0 && EVP_CipherUpdate(ctx, NULL, &n, aad, (int)aad_len) != 1)
		return false;
	if (len > 0 && EVP_CipherUpdate(ctx, out, &n, in, (int)len) != 1)
		return false;
	return EVP_CipherFinal_ex(ctx, none, &n) == 1;
}

void
aead_prefetch(const struct aead_key *k, size_t len)
{
	(void)len;
	__builtin_prefetch(k);
}

static void
seal(EVP_CIPHER_CTX *ctx, const uint8_t *nonce, const uint8_t *aad, size_t aad_len, const uint8_t *in, size_t len, uint8_t *out,
     uint8_t *tag)
{
	if (EVP_CipherInit_ex(ctx, NULL, NULL, NULL, nonce, 1) == 1 && run(ctx, aad, aad_len, in, len, out) &&
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG, tag) == 1)
		return;
	/* Only a broken library comes here. The plaintext must not leave in place of the ciphertext. */
	memset(out, 0, len);
	memset(tag, 0, AEAD_TAG);
}

static int
unseal(EVP_CIPHER_CTX *ctx, const uint8_t *nonce, const uint8_t *aad, size_t aad_len, const uint8_t *in, size_t len, uint8_t *out,
       const uint8_t *tag)
{
	uint8_t expected[AEAD_TAG];

	memcpy(expected, tag, AEAD_TAG);
	/* OpenSSL compares the tag with CRYPTO_memcmp. */
	if (EVP_CipherInit_ex(ctx, NULL, NULL, NULL, nonce, 0) == 1 &&
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG, expected) == 1 &&
	    run(ctx, aad, aad_len, in, len, out))
		return 0;
	return -EBADMSG;
}

void
aead_seal(struct aead_key *k, const uint8_t nonce[AEAD_NONCE], const uint8_t *aad, size_t aad_len,
	  const uint8_t *in, size_t len, uint8_t *out, uint8_t tag[AEAD_TAG])
{
	seal(key_data(k)->ctx, nonce, aad, aad_len, in, len, out, tag);
}

void
aead_brief_seal(struct aead_brief *k, const uint8_t nonce[AEAD_NONCE], const uint8_t *aad, size_t aad_len,
		const uint8_t *in, size_t len, uint8_t *out, uint8_t tag[AEAD_TAG])
{
	seal(brief_data(k)->ctx, nonce, aad, aad_len, in, len, out, tag);
}

int
aead_open(struct aead_key *k, const uint8_t nonce[AEAD_NONCE], const uint8_t *aad, size_t aad_len,
	  const uint8_t *in, size_t len, uint8_t *out, const uint8_t tag[AEAD_TAG])
{
	return unseal(key_data(k)->ctx, nonce, aad, aad_len, in, len, out, tag);
}

int
aead_brief_open(struct aead_brief *k, const uint8_t nonce[AEAD_NONCE], const uint8_t *aad, size_t aad_len,
		const uint8_t *in, size_t len, uint8_t *out, const uint8_t tag[AEAD_TAG])
{
	return unseal(brief_data(k)->ctx, nonce, aad, aad_len, in, len, out, tag);
}
