/* SPDX-License-Identifier: BSD-3-Clause */
/* AES-128-GCM by intel-ipsec-mb's direct API: no job queue, one call per packet, expanded keys in place. */
#include "shared/aead.h"

#include <errno.h>
#include <stdbool.h>
#include <intel-ipsec-mb.h>
#include <sodium.h>
#include <string.h>

#define ROUND_KEYS_ROOM (sizeof(struct gcm_key_data) - sizeof(((struct gcm_key_data *)0)->ghash_keys))
#define BRIEF_SIZE (ROUND_KEYS_ROOM + sizeof(((struct gcm_key_data *)0)->ghash_keys.sse_avx))

_Static_assert(sizeof(struct gcm_key_data) <= sizeof(((struct aead_key *)0)->opaque), "the key fits");
_Static_assert(_Alignof(struct gcm_key_data) <= _Alignof(struct aead_key), "the key is aligned");
_Static_assert(BRIEF_SIZE <= sizeof(((struct aead_brief *)0)->opaque), "the brief key fits");
_Static_assert(_Alignof(struct gcm_key_data) <= _Alignof(struct aead_brief), "the brief key is aligned");

/* Written by aead_init before any other thread calls, read by all. Only their function pointers are used:
 * the direct API keeps its state in the caller's key and context. */
static IMB_MGR *manager;
static IMB_MGR *brief_manager; /* of a processor's ways of AES-GCM none but VAES with AVX-512 needs more than BRIEF_SIZE */

static void
init_best(IMB_MGR *m)
{
	init_mb_mgr_auto(m, NULL);
}

static void
init_brief(IMB_MGR *m)
{
	if (m->features & IMB_FEATURE_AVX2)
		init_mb_mgr_avx2(m);
	else
		init_mb_mgr_auto(m, NULL);
}

static IMB_MGR *
manager_new(void (*init)(IMB_MGR *))
{
	IMB_MGR *m = alloc_mb_mgr(0);

	if (m == NULL)
		return NULL;
	init(m);
	if (imb_get_errno(m) == 0 && m->gcm128_pre != NULL && m->gcm128_enc != NULL && m->gcm128_dec != NULL)
		return m;
	free_mb_mgr(m);
	return NULL;
}

int
aead_init(void)
{
	if (manager == NULL)
		manager = manager_new(init_best);
	if (brief_manager == NULL)
		brief_manager = manager_new(init_brief);
	return manager != NULL && brief_manager != NULL ? 0 : -ENOTSUP;
}

static inline struct gcm_key_data *
key_data(struct aead_key *k)
{
	return (struct gcm_key_data *)(void *)k->opaque;
}

int
aead_key_set(struct aead_key *k, const uint8_t raw[AEAD_KEY])
{
	IMB_AES128_GCM_PRE(manager, raw, key_data(k));
	return 0;
}

void
aead_key_clear(struct aead_key *k)
{
	sodium_memzero(k, sizeof(*k));
}

static inline struct gcm_key_data *
brief_data(struct aead_brief *k)
{
	return (struct gcm_key_data *)(void *)k->opaque;
}

int
aead_brief_set(struct aead_brief *k, const uint8_t raw[AEAD_KEY])
{
	IMB_AES128_GCM_PRE(brief_manager, raw, brief_data(k));
	return 0;
}

void
aead_brief_clear(struct aead_brief *k)
{
	sodium_memzero(k, sizeof(*k));
}

#define LINE 64
#define ROUND_KEYS (11 * 16)
#define BLOCK 16

/* Round keys, and a power of the hash key per block: the powers lie in falling order up to the end. */
void
aead_prefetch(const struct aead_key *k, size_t len)
{
	size_t powers = (len / BLOCK + 4) * BLOCK; /* the associated data has two blocks, the lengths one */
	size_t end = sizeof(struct gcm_key_data);
	size_t first = powers < end - ROUND_KEYS ? end - powers : ROUND_KEYS;

	for (size_t i = 0; i < ROUND_KEYS; i += LINE)
		__builtin_prefetch(k->opaque + i);
	for (size_t at = first & ~(size_t)(LINE - 1); at < end; at += LINE)
		__builtin_prefetch(k->opaque + at);
}

void
aead_seal(struct aead_key *k, const uint8_t nonce[AEAD_NONCE], const uint8_t *aad, size_t aad_len,
	  const uint8_t *in, size_t len, uint8_t *out, uint8_t tag[AEAD_TAG])
{
	struct gcm_context_data ctx;

	IMB_AES128_GCM_ENC(manager, key_data(k), &ctx, out, in, len, nonce, aad, aad_len, tag, AEAD_TAG);
}

void
aead_brief_seal(struct aead_brief *k, const uint8_t nonce[AEAD_NONCE], const uint8_t *aad, size_t aad_len,
		const uint8_t *in, size_t len, uint8_t *out, uint8_t tag[AEAD_TAG])
{
	struct gcm_context_data ctx;

	IMB_AES128_GCM_ENC(brief_manager, brief_data(k), &ctx, out, in, len, nonce, aad, aad_len, tag, AEAD_TAG);
}

/* In constant time, and inline: a call into a library costs more than the comparison. */
static inline bool
tag_differs(const uint8_t a[AEAD_TAG], const uint8_t b[AEAD_TAG])
{
	uint64_t x[2], y[2];

	memcpy(x, a, sizeof(x));
	memcpy(y, b, sizeof(y));
	return ((x[0] ^ y[0]) | (x[1] ^ y[1])) != 0;
}

int
aead_open(struct aead_key *k, const uint8_t nonce[AEAD_NONCE], const uint8_t *aad, size_t aad_len,
	  const uint8_t *in, size_t len, uint8_t *out, const uint8_t tag[AEAD_TAG])
{
	struct gcm_context_data ctx;
	uint8_t computed[AEAD_TAG];

	IMB_AES128_GCM_DEC(manager, key_data(k), &ctx, out, in, len, nonce, aad, aad_len, computed, AEAD_TAG);
	return tag_differs(computed, tag) ? -EBADMSG : 0;
}

int
aead_brief_open(struct aead_brief *k, const uint8_t nonce[AEAD_NONCE], const uint8_t *aad, size_t aad_len,
		const uint8_t *in, size_t len, uint8_t *out, const uint8_t tag[AEAD_TAG])
{
	struct gcm_context_data ctx;
	uint8_t computed[AEAD_TAG];

	IMB_AES128_GCM_DEC(brief_manager, brief_data(k), &ctx, out, in, len, nonce, aad, aad_len, computed, AEAD_TAG);
	return tag_differs(computed, tag) ? -EBADMSG : 0;
}
