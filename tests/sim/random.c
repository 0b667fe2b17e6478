/* SPDX-License-Identifier: BSD-3-Clause */
/* All randomness of the process, from the seed. */
#include "sim.h"

#include <math.h>
#include <sodium.h>
#include <string.h>
#include <sys/types.h>

static struct random bytes;

static uint64_t
splitmix(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

void
random_seed(struct random *r, uint64_t seed)
{
	for (unsigned i = 0; i < 4; i++)
		r->s[i] = splitmix(&seed);
}

static uint64_t
rotate(uint64_t x, unsigned k)
{
	return x << k | x >> (64 - k);
}

uint64_t
random_next(struct random *r)
{
	uint64_t result = rotate(r->s[1] * 5, 7) * 9;
	uint64_t t = r->s[1] << 17;

	r->s[2] ^= r->s[0];
	r->s[3] ^= r->s[1];
	r->s[1] ^= r->s[2];
	r->s[0] ^= r->s[3];
	r->s[2] ^= t;
	r->s[3] = rotate(r->s[3], 45);
	return result;
}

uint64_t
random_below(struct random *r, uint64_t n)
{
	return n == 0 ? 0 : (random_next(r) >> 11) % n;
}

uint64_t
random_between(struct random *r, uint64_t low, uint64_t high)
{
	return low + random_below(r, high - low + 1);
}

bool
random_permille(struct random *r, unsigned permille)
{
	return permille != 0 && random_below(r, 1000) < permille;
}

uint64_t
random_gap(struct random *r, uint64_t mean)
{
	double u = ((double)(random_next(r) >> 11) + 1.0) / 9007199254740993.0;

	return 1 + (uint64_t)(-log(u) * (double)mean);
}

/* ---- bytes for others ----------------------------------------------------------------- */

static void
fill(void *buf, size_t len)
{
	uint8_t *out = buf;

	while (len > 0) {
		uint64_t word = random_next(&bytes);
		size_t n = len < sizeof(word) ? len : sizeof(word);

		memcpy(out, &word, n);
		out += n;
		len -= n;
	}
}

static const char *
bytes_name(void)
{
	return "rooksim";
}

static uint32_t
bytes_word(void)
{
	return (uint32_t)random_next(&bytes);
}

static struct randombytes_implementation implementation = {
	.implementation_name = bytes_name,
	.random = bytes_word,
	.buf = fill,
};

/* Stands in for getrandom() in the dataplane and in the rings (see renames_*). */
ssize_t sim_getrandom(void *buf, size_t len, unsigned flags);

ssize_t
sim_getrandom(void *buf, size_t len, unsigned flags)
{
	(void)flags;
	fill(buf, len);
	return (ssize_t)len;
}

int
random_bytes_install(void)
{
	random_seed(&bytes, 0);
	return randombytes_set_implementation(&implementation);
}

void
random_bytes_seed(uint64_t seed)
{
	random_seed(&bytes, seed ^ UINT64_C(0x6279746573));
}
