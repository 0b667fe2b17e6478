/* SPDX-License-Identifier: BSD-3-Clause */
/* Bytes written as hex in tests. Includers have included cmocka.h. */
#ifndef ROOKERY_TESTS_HEX_H
#define ROOKERY_TESTS_HEX_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static inline int
hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *p = strchr(digits, c);

	return c != '\0' && p != NULL ? (int)(p - digits) : -1;
}

/* Decodes text into out; spaces between bytes are allowed. Returns the number of bytes. */
static inline size_t
hex_decode(const char *text, uint8_t *out, size_t cap)
{
	size_t n = 0;

	while (*text != '\0') {
		if (*text == ' ') {
			text++;
			continue;
		}
		assert_true(n < cap);
		assert_true(hex_digit(text[0]) >= 0 && hex_digit(text[1]) >= 0);
		out[n++] = (uint8_t)(hex_digit(text[0]) << 4 | hex_digit(text[1]));
		text += 2;
	}
	return n;
}

/* Fails, showing both, unless the bytes are those of the text. */
static inline void
assert_hex(const uint8_t *bytes, size_t len, const char *text)
{
	char shown[4096], expected[4096];
	size_t n = 0;

	assert_true(2 * len < sizeof(shown) && strlen(text) < sizeof(expected));
	for (size_t i = 0; i < len; i++)
		snprintf(shown + 2 * i, 3, "%02x", bytes[i]);
	shown[2 * len] = '\0';
	for (; *text != '\0'; text++) {
		if (*text != ' ')
			expected[n++] = *text;
	}
	expected[n] = '\0';
	assert_string_equal(shown, expected);
}

#endif
