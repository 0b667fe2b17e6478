// SPDX-License-Identifier: BSD-3-Clause
/* Names and texts that come from clients. */
#include "core.h"

#include <string.h>

bool
name_fold(char *out, const char *name)
{
	size_t len = strnlen(name, STORE_NAME_MAX + 1);

	out[0] = '\0';
	if (len < 1 || len > STORE_NAME_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = name[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if (!(c >= 'a' && c <= 'z') &&
		    (i == 0 || !((c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-'))) {
			out[0] = '\0';
			return false;
		}
		out[i] = c;
	}
	out[len] = '\0';
	return true;
}

/* Length of the well-formed UTF-8 sequence at p (Unicode 15, table 3-7), 0 when there is none. */
static size_t
utf8_sequence(const uint8_t *p)
{
	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		return (p[1] & 0xc0) == 0x80 ? 2 : 0;
	if ((p[0] & 0xf0) == 0xe0) {
		uint8_t low = p[0] == 0xe0 ? 0xa0 : 0x80;
		uint8_t high = p[0] == 0xed ? 0x9f : 0xbf;

		return p[1] >= low && p[1] <= high && (p[2] & 0xc0) == 0x80 ? 3 : 0;
	}
	if (p[0] >= 0xf0 && p[0] <= 0xf4) {
		uint8_t low = p[0] == 0xf0 ? 0x90 : 0x80;
		uint8_t high = p[0] == 0xf4 ? 0x8f : 0xbf;

		return p[1] >= low && p[1] <= high && (p[2] & 0xc0) == 0x80 && (p[3] & 0xc0) == 0x80 ? 4 : 0;
	}
	return 0;
}

bool
text_clean(char *out, const char *text, size_t max)
{
	const uint8_t *p = (const uint8_t *)text;
	size_t len = 0;

	out[0] = '\0';
	if (strnlen(text, max + 1) > max)
		return false;
	while (p[len] != 0) {
		size_t n = utf8_sequence(p + len);
		/* C0, DEL and C1 could drive somebody's terminal. */
		bool control =
			p[len] < 0x20 || p[len] == 0x7f || (n == 2 && p[len] == 0xc2 && p[len + 1] < 0xa0);

		if (n == 0) {
			out[0] = '\0';
			return false;
		}
		if (control)
			memset(out + len, ' ', n);
		else
			memcpy(out + len, p + len, n);
		len += n;
	}
	out[len] = '\0';
	return true;
}

const char *
status_name(int status)
{
	switch (status) {
	case ROOKERY__STATUS__STATUS_ONLINE:
		return "online";
	case ROOKERY__STATUS__STATUS_AWAY:
		return "away";
	case ROOKERY__STATUS__STATUS_BUSY:
		return "busy";
	case ROOKERY__STATUS__STATUS_INVISIBLE:
		return "invisible";
	default:
		return "offline";
	}
}
