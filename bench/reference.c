/* SPDX-License-Identifier: BSD-3-Clause */
/* What the figures are compared with: the cipher alone, key expansion alone; the 5-tuple swap is in world.c. */
#include "bench.h"
#include "shared/aead.h"

#include <rte_cycles.h>
#include <stdlib.h>
#include <string.h>

#define KEYS 4096u
#define BUFFERS 64u /* 64 of 512 bytes stay in the first cache: only the keys are cold */
#define BUFFER 2048u
#define OPS 512u /* few: a round that the kernel cut into is told by the median */
#define ROUNDS 99

static struct aead_key *keys;
static uint8_t (*buffers)[BUFFER];

void
reference_init(void)
{
	uint8_t raw[AEAD_KEY];

	keys = aligned_alloc(64, KEYS * sizeof(*keys));
	buffers = aligned_alloc(64, BUFFERS * BUFFER);
	if (keys == NULL || buffers == NULL)
		fail("no memory for %u keys", KEYS);
	memset(keys, 0, KEYS * sizeof(*keys));
	memset(buffers, 0, BUFFERS * BUFFER);
	for (uint32_t i = 0; i < KEYS; i++) {
		memset(raw, (int)i, sizeof(raw));
		memcpy(raw, &i, sizeof(i));
		aead_key_set(&keys[i], raw);
	}
}

static double
seal_round(uint16_t size)
{
	static const uint8_t nonce[AEAD_NONCE];
	static uint32_t picks[OPS];
	uint64_t start;

	for (uint32_t i = 0; i < OPS; i++)
		picks[i] = draw_below(KEYS);
	start = rte_rdtsc_precise();
	for (uint32_t i = 0; i < OPS; i++) {
		uint8_t *p = buffers[i % BUFFERS];

		aead_seal(&keys[picks[i]], nonce, p, 20, p + 20, size, p + 20, p + 20 + size);
	}
	return (double)(rte_rdtsc_precise() - start) / OPS;
}

double
reference_aead(const uint16_t *sizes, unsigned n)
{
	double sum = 0;

	for (unsigned i = 0; i < n; i++) {
		struct series s = {.count = 0};

		for (unsigned r = 0; r < ROUNDS; r++)
			series_add(&s, seal_round(sizes[i]));
		sum += series_summary(&s).median;
	}
	return sum;
}

double
reference_key(void)
{
	struct series s = {.count = 0};
	uint8_t raw[AEAD_KEY] = {1};

	for (unsigned r = 0; r < ROUNDS; r++) {
		uint64_t start = rte_rdtsc_precise();

		for (uint32_t i = 0; i < OPS; i++)
			aead_key_set(&keys[i * 5 % KEYS], raw);
		series_add(&s, (double)(rte_rdtsc_precise() - start) / OPS);
	}
	return series_summary(&s).median;
}
