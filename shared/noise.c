/* SPDX-License-Identifier: BSD-3-Clause */
/* SHA256_*: OpenSSL would rather be asked through EVP, whose contexts are allocated; these live on the stack. Its code uses the SHA
 * instructions of the machine, libsodium's does not. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "shared/noise.h"

#include <errno.h>
#include <limits.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <sodium.h>
#include <stdbool.h>
#include <string.h>

#define PROTOCOL_NAME "Noise_IK_25519_AESGCM_SHA256"
#define NONCE_SIZE 12

/* ---- CipherState (section 5.1, 12.3) --------------------------------------------------- */

static void
nonce_make(uint8_t nonce[NONCE_SIZE], uint64_t counter)
{
	memset(nonce, 0, 4);
	for (unsigned i = 0; i < 8; i++)
		nonce[4 + i] = (uint8_t)(counter >> (56 - 8 * i));
}

/* Looked up once: EVP_aes_256_gcm() is looked up by each context that is set up with it, which takes as long as the cipher. */
static EVP_CIPHER *aes_256_gcm;

static void
cipher_fetch(void)
{
	aes_256_gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
}

static const EVP_CIPHER *
cipher(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, cipher_fetch);
	return aes_256_gcm;
}

/* Sets up the context for one message and feeds the associated data. */
static bool
gcm_begin(EVP_CIPHER_CTX *ctx, bool seal, const uint8_t key[NOISE_KEY], uint64_t counter, const uint8_t *ad,
	  size_t ad_len)
{
	uint8_t nonce[NONCE_SIZE];
	int n;

	nonce_make(nonce, counter);
	if (ad_len > INT_MAX || EVP_CipherInit_ex2(ctx, cipher(), key, nonce, seal, NULL) != 1)
		return false;
	return ad_len == 0 || EVP_CipherUpdate(ctx, NULL, &n, ad, (int)ad_len) == 1;
}

int
noise_seal(const uint8_t key[NOISE_KEY], uint64_t counter, const uint8_t *ad, size_t ad_len,
	   const uint8_t *in, size_t len, uint8_t *out)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	uint8_t none[16];
	bool ok;
	int n;

	ok = ctx != NULL && len <= INT_MAX - NOISE_TAG && gcm_begin(ctx, true, key, counter, ad, ad_len) &&
	     (len == 0 || EVP_CipherUpdate(ctx, out, &n, in, (int)len) == 1) &&
	     EVP_CipherFinal_ex(ctx, none, &n) == 1 &&
	     EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, NOISE_TAG, out + len) == 1;
	EVP_CIPHER_CTX_free(ctx);
	return ok ? 0 : -EIO;
}

int
noise_open(const uint8_t key[NOISE_KEY], uint64_t counter, const uint8_t *ad, size_t ad_len,
	   const uint8_t *in, size_t len, uint8_t *out)
{
	uint8_t tag[NOISE_TAG], none[16];
	EVP_CIPHER_CTX *ctx;
	bool ok;
	int n;

	if (len < NOISE_TAG || len > INT_MAX)
		return -EBADMSG;
	len -= NOISE_TAG;
	memcpy(tag, in + len, NOISE_TAG);
	ctx = EVP_CIPHER_CTX_new();
	ok = ctx != NULL && gcm_begin(ctx, false, key, counter, ad, ad_len) &&
	     (len == 0 || EVP_CipherUpdate(ctx, out, &n, in, (int)len) == 1) &&
	     EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, NOISE_TAG, tag) == 1 &&
	     EVP_CipherFinal_ex(ctx, none, &n) == 1;
	EVP_CIPHER_CTX_free(ctx);
	if (!ok && len > 0)
		sodium_memzero(out, len); /* plaintext that nobody vouches for */
	return ok ? 0 : -EBADMSG;
}

/* ---- SymmetricState (section 5.2) ------------------------------------------------------ */

/* HMAC (RFC 2104) of SHA-256 with a key of 32 bytes: the two hashes, once the key is in. */
struct hmac {
	SHA256_CTX inner, outer;
};

static void
hmac_key(struct hmac *m, const uint8_t key[32])
{
	uint8_t block[SHA256_CBLOCK];

	memset(block, 0x36, sizeof(block));
	for (unsigned i = 0; i < 32; i++)
		block[i] ^= key[i];
	SHA256_Init(&m->inner);
	SHA256_Update(&m->inner, block, sizeof(block));
	for (unsigned i = 0; i < sizeof(block); i++)
		block[i] ^= 0x36 ^ 0x5c;
	SHA256_Init(&m->outer);
	SHA256_Update(&m->outer, block, sizeof(block));
	sodium_memzero(block, sizeof(block));
}

static void
hmac(const struct hmac *m, uint8_t out[32], const uint8_t *input, size_t len)
{
	struct hmac now = *m;

	SHA256_Update(&now.inner, input, len);
	SHA256_Final(out, &now.inner);
	SHA256_Update(&now.outer, out, 32);
	SHA256_Final(out, &now.outer);
	sodium_memzero(&now, sizeof(now));
}

void
noise_hmac(uint8_t out[32], const uint8_t key[32], const uint8_t *input, size_t len)
{
	struct hmac m;

	hmac_key(&m, key);
	hmac(&m, out, input, len);
	sodium_memzero(&m, sizeof(m));
}

/* HKDF with two outputs (section 4.3). */
static void
hkdf(const uint8_t ck[32], const uint8_t *input, size_t len, uint8_t out1[32], uint8_t out2[32])
{
	uint8_t temp[32], block[33];
	struct hmac m;

	hmac_key(&m, ck);
	hmac(&m, temp, input, len);
	hmac_key(&m, temp);
	block[0] = 0x01;
	hmac(&m, block, block, 1); /* reads its input before it writes its output */
	block[32] = 0x02;
	hmac(&m, out2, block, sizeof(block));
	memcpy(out1, block, 32);
	sodium_memzero(&m, sizeof(m));
	sodium_memzero(temp, sizeof(temp));
	sodium_memzero(block, sizeof(block));
}

static void
mix_hash(struct noise *n, const uint8_t *data, size_t len)
{
	SHA256_CTX state;

	SHA256_Init(&state);
	SHA256_Update(&state, n->h, sizeof(n->h));
	SHA256_Update(&state, data, len);
	SHA256_Final(n->h, &state);
}

static int
mix_dh(struct noise *n, const uint8_t secret[NOISE_KEY], const uint8_t public[NOISE_KEY])
{
	uint8_t shared[crypto_scalarmult_BYTES], ck[32];

	/* Fails when the result is all zero: a public key of low order would make the secret known to all. */
	if (crypto_scalarmult(shared, secret, public) != 0)
		return -EINVAL;
	memcpy(ck, n->ck, sizeof(ck));
	hkdf(ck, shared, sizeof(shared), n->ck, n->k);
	n->n = 0;
	sodium_memzero(shared, sizeof(shared));
	sodium_memzero(ck, sizeof(ck));
	return 0;
}

/* The pattern has no payload before the first DH, so k is always set here. */
static int
encrypt_and_hash(struct noise *n, const uint8_t *in, size_t len, uint8_t *out)
{
	int rc = noise_seal(n->k, n->n, n->h, sizeof(n->h), in, len, out);

	if (rc < 0)
		return rc;
	n->n++;
	mix_hash(n, out, len + NOISE_TAG);
	return 0;
}

/* in and out are different places: the hash is taken of the ciphertext afterwards. */
static int
decrypt_and_hash(struct noise *n, const uint8_t *in, size_t len, uint8_t *out)
{
	int rc = noise_open(n->k, n->n, n->h, sizeof(n->h), in, len, out);

	if (rc < 0)
		return rc;
	n->n++;
	mix_hash(n, in, len);
	return 0;
}

/* ---- HandshakeState (section 5.3) ------------------------------------------------------ */

void
noise_init(struct noise *n, const uint8_t *prologue, size_t prologue_len, const uint8_t s_public[NOISE_KEY],
	   const uint8_t s_secret[NOISE_KEY], const uint8_t server_public[NOISE_KEY])
{
	_Static_assert(sizeof(PROTOCOL_NAME) - 1 <= sizeof(n->h), "a name that fits is padded, not hashed");

	memset(n, 0, sizeof(*n));
	memcpy(n->h, PROTOCOL_NAME, sizeof(PROTOCOL_NAME) - 1);
	memcpy(n->ck, n->h, sizeof(n->ck));
	memcpy(n->s_public, s_public, NOISE_KEY);
	memcpy(n->s_secret, s_secret, NOISE_KEY);
	mix_hash(n, prologue, prologue_len);
	mix_hash(n, server_public, NOISE_KEY);
}

static void
set_ephemeral(struct noise *n, const uint8_t e_secret[NOISE_KEY])
{
	memcpy(n->e_secret, e_secret, NOISE_KEY);
	crypto_scalarmult_base(n->e_public, n->e_secret);
	mix_hash(n, n->e_public, NOISE_KEY);
}

int
noise_write_first(struct noise *n, const uint8_t server_public[NOISE_KEY], const uint8_t e_secret[NOISE_KEY],
		  const uint8_t *payload, size_t len, uint8_t *out)
{
	int rc;

	memcpy(n->rs, server_public, NOISE_KEY);
	set_ephemeral(n, e_secret);
	memcpy(out, n->e_public, NOISE_KEY);
	out += NOISE_KEY;
	rc = mix_dh(n, n->e_secret, n->rs);
	if (rc < 0)
		return rc;
	rc = encrypt_and_hash(n, n->s_public, NOISE_KEY, out);
	if (rc < 0)
		return rc;
	out += NOISE_KEY + NOISE_TAG;
	rc = mix_dh(n, n->s_secret, n->rs);
	if (rc < 0)
		return rc;
	return encrypt_and_hash(n, payload, len, out);
}

int
noise_read_first(struct noise *n, const uint8_t *in, size_t len, uint8_t *payload)
{
	if (len < NOISE_FIRST_OVERHEAD)
		return -EBADMSG;
	memcpy(n->re, in, NOISE_KEY);
	mix_hash(n, n->re, NOISE_KEY);
	in += NOISE_KEY;
	len -= NOISE_KEY;
	if (mix_dh(n, n->s_secret, n->re) < 0 || decrypt_and_hash(n, in, NOISE_KEY + NOISE_TAG, n->rs) < 0)
		return -EBADMSG;
	in += NOISE_KEY + NOISE_TAG;
	len -= NOISE_KEY + NOISE_TAG;
	if (mix_dh(n, n->s_secret, n->rs) < 0 || decrypt_and_hash(n, in, len, payload) < 0)
		return -EBADMSG;
	return 0;
}

int
noise_prepare_second(struct noise *n, const uint8_t e_secret[NOISE_KEY])
{
	int rc;

	set_ephemeral(n, e_secret);
	rc = mix_dh(n, n->e_secret, n->re);
	return rc < 0 ? rc : mix_dh(n, n->e_secret, n->rs);
}

int
noise_write_prepared(struct noise *n, const uint8_t *payload, size_t len, uint8_t *out)
{
	memcpy(out, n->e_public, NOISE_KEY);
	return encrypt_and_hash(n, payload, len, out + NOISE_KEY);
}

int
noise_write_second(struct noise *n, const uint8_t e_secret[NOISE_KEY], const uint8_t *payload, size_t len,
		   uint8_t *out)
{
	int rc = noise_prepare_second(n, e_secret);

	return rc < 0 ? rc : noise_write_prepared(n, payload, len, out);
}

int
noise_read_second(struct noise *n, const uint8_t *in, size_t len, uint8_t *payload)
{
	if (len < NOISE_SECOND_OVERHEAD)
		return -EBADMSG;
	memcpy(n->re, in, NOISE_KEY);
	mix_hash(n, n->re, NOISE_KEY);
	if (mix_dh(n, n->e_secret, n->re) < 0 || mix_dh(n, n->s_secret, n->re) < 0)
		return -EBADMSG;
	return decrypt_and_hash(n, in + NOISE_KEY, len - NOISE_KEY, payload) < 0 ? -EBADMSG : 0;
}

void
noise_split(const struct noise *n, uint8_t initiator_to_responder[NOISE_KEY],
	    uint8_t responder_to_initiator[NOISE_KEY])
{
	hkdf(n->ck, NULL, 0, initiator_to_responder, responder_to_initiator);
}
