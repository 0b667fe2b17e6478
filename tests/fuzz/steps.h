/* SPDX-License-Identifier: BSD-3-Clause */
/* Inputs of the targets that play a conversation: steps of one byte each, followed by their own bytes. */
#ifndef ROOKERY_TESTS_FUZZ_STEPS_H
#define ROOKERY_TESTS_FUZZ_STEPS_H

#include "fuzz.h"

#include <string.h>

struct input {
	const uint8_t *p, *end;
};

/* 0 past the end. */
static inline uint8_t
byte(struct input *in)
{
	return in->p < in->end ? *in->p++ : 0;
}

static inline uint16_t
half(struct input *in)
{
	uint8_t high = byte(in);

	return (uint16_t)(high << 8 | byte(in));
}

static inline uint32_t
word(struct input *in)
{
	uint32_t high = half(in);

	return high << 16 | half(in);
}

/* What is left, at most so many. */
static inline size_t
some(struct input *in, size_t len, const uint8_t **out)
{
	if (len > (size_t)(in->end - in->p))
		len = (size_t)(in->end - in->p);
	*out = in->p;
	in->p += len;
	return len;
}

/* A length (u8) and so many bytes. */
static inline size_t
bytes(struct input *in, const uint8_t **out)
{
	return some(in, byte(in), out);
}

#endif
