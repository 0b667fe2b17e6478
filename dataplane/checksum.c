/* SPDX-License-Identifier: BSD-3-Clause */
#include "dataplane/checksum.h"

#ifdef RTE_ARCH_X86_64
#include <immintrin.h>
#include <rte_cpuflags.h>

#define VECTOR 32

static bool have_avx2;

__attribute__((constructor)) static void
find_avx2(void)
{
	have_avx2 = rte_cpu_get_flag_enabled(RTE_CPUFLAG_AVX2) > 0;
}

/* Words of 32 bits, the even ones and the odd ones apart, in lanes that cannot overflow. */
struct sums {
	__m256i even, odd;
};

__attribute__((target("avx2"))) static inline void
add_vector(struct sums *s, __m256i x)
{
	const __m256i low = _mm256_set1_epi64x(UINT32_MAX);

	s->even = _mm256_add_epi64(s->even, _mm256_and_si256(x, low));
	s->odd = _mm256_add_epi64(s->odd, _mm256_srli_epi64(x, 32));
}

/* len is even and at least VECTOR. */
__attribute__((target("avx2"))) static uint32_t
sum_avx2(const uint8_t *data, size_t len)
{
	static const uint8_t masks[2 * VECTOR] = {[VECTOR ... 2 * VECTOR - 1] = 0xff};
	struct sums s = {_mm256_setzero_si256(), _mm256_setzero_si256()};
	size_t rest = len % VECTOR, at;
	__m128i all;
	uint64_t sum;

	for (at = 0; at < len - rest; at += VECTOR)
		add_vector(&s, _mm256_loadu_si256((const __m256i *)(const void *)(data + at)));
	if (rest != 0) {
		/* The last VECTOR bytes again, without those that were counted. */
		__m256i x = _mm256_loadu_si256((const __m256i *)(const void *)(data + len - VECTOR));

		add_vector(&s, _mm256_and_si256(x, _mm256_loadu_si256((const __m256i *)(const void *)(masks + rest))));
	}
	s.even = _mm256_add_epi64(s.even, s.odd);
	all = _mm_add_epi64(_mm256_castsi256_si128(s.even), _mm256_extracti128_si256(s.even, 1));
	sum = (uint64_t)_mm_cvtsi128_si64(all) + (uint64_t)_mm_extract_epi64(all, 1);
	sum = (sum & UINT32_MAX) + (sum >> 32);
	return (uint32_t)((sum & 0xffff) + (sum >> 16));
}

uint32_t
checksum_sum(const void *data, size_t len)
{
	const uint8_t *bytes = data;
	size_t even = len & ~(size_t)1;

	if (!have_avx2 || even < VECTOR)
		return rte_raw_cksum(data, len);
	return sum_avx2(bytes, even) + (len != even ? bytes[even] : 0);
}
#else
uint32_t
checksum_sum(const void *data, size_t len)
{
	return rte_raw_cksum(data, len);
}
#endif
