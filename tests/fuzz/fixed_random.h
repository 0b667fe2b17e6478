/* SPDX-License-Identifier: BSD-3-Clause */
/* libsodium's random numbers for targets that have keys made: the same input does the same every time. */
#ifndef ROOKERY_FUZZ_FIXED_RANDOM_H
#define ROOKERY_FUZZ_FIXED_RANDOM_H

#include <sodium.h>
#include <stddef.h>
#include <stdint.h>

static uint64_t fixed_random_seed;

static const char *
fixed_random_name(void)
{
	return "fuzz";
}

static uint32_t
fixed_random_u32(void)
{
	fixed_random_seed = fixed_random_seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(fixed_random_seed >> 32);
}

static void
fixed_random_buf(void *out, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((uint8_t *)out)[i] = (uint8_t)fixed_random_u32();
}

/* From the beginning. */
static inline void
fixed_random(void)
{
	static randombytes_implementation implementation = {
		.implementation_name = fixed_random_name, .random = fixed_random_u32, .buf = fixed_random_buf};

	randombytes_set_implementation(&implementation);
	fixed_random_seed = 1;
}

#endif
