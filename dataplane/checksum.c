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

/* The even bytes of a packet and the odd ones are summed apart, eight at a time. len is even and at least VECTOR. */
__attribute__((target("avx2"))) static uint32_t
sum_avx2(const uint8_t *data, size_t len)
{
	static const uint8_t masks[2 * VECTOR] = {[VECTOR ... 2 * VECTOR - 1] = 0xff};
	const __m256i low = _mm256_set1_epi16(0xff), zero = _mm256_setzero_si256();
	__m256i even = zero, odd = zero, all;
	size_t rest = len % VECTOR, at;
	uint64_t lanes[4];

	for (at = 0; at < len - rest; at += VECTOR) {
		__m256i x = _mm256_loadu_si256((const __m256i *)(const void *)(data + at));

		even = _mm256_add_epi64(even, _mm256_sad_epu8(_mm256_and_si256(x, low), zero));
		odd = _mm256_add_epi64(odd, _mm256_sad_epu8(_mm256_srli_epi16(x, 8), zero));
	}
	if (rest != 0) {
		/* The last VECTOR bytes again, without those that were counted. */
		__m256i x = _mm256_loadu_si256((const __m256i *)(const void *)(data + len - VECTOR));

		x = _mm256_and_si256(x, _mm256_loadu_si256((const __m256i *)(const void *)(masks + rest)));
		even = _mm256_add_epi64(even, _mm256_sad_epu8(_mm256_and_si256(x, low), zero));
		odd = _mm256_add_epi64(odd, _mm256_sad_epu8(_mm256_srli_epi16(x, 8), zero));
	}
	all = _mm256_add_epi64(even, _mm256_slli_epi64(odd, 8));
	_mm256_storeu_si256((__m256i *)(void *)lanes, all);
	return (uint32_t)(lanes[0] + lanes[1] + lanes[2] + lanes[3]);
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
