/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/admin_arguments.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum admin_outcome
refuse(struct admin_call *call, const char *code, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(call->text, sizeof(call->text), format, args);
	va_end(args);
	call->code = code;
	return ADMIN_ERROR;
}

enum admin_outcome
answer(struct admin_call *call, json_t *result)
{
	if (!result)
		return refuse(call, "internal", "out of memory");
	call->result = result;
	return ADMIN_OK;
}

enum admin_outcome
refuse_store(struct admin_call *call, int result)
{
	struct server_status *s = calloc(1, sizeof(*s));
	if (s)
		server_status(call->server, s);
	refuse(call, admin_code(result), "the store is not available%s%s", s && s->store_error[0] ? ": " : "",
	       s ? s->store_error : "");
	free(s);
	return ADMIN_ERROR;
}

/* ---- arguments ---------------------------------------------------------------------- */

/* Each argument that is given must be one of `known`: a mistyped filter must not list or end everything. */
bool
only_known(struct admin_call *call, const char *const known[])
{
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)call->args, key, value) {
		bool found = false;
		for (size_t i = 0; known[i] && !found; i++)
			found = strcmp(known[i], key) == 0;
		if (!found) {
			refuse(call, "invalid", "this command has no argument \"%.40s\"", key);
			return false;
		}
	}
	return true;
}

/* *out stays NULL when an optional argument is missing. */
bool
get_string(struct admin_call *call, const char *key, bool required, const char **out)
{
	const json_t *value = json_object_get(call->args, key);
	*out = NULL;
	if (!value && !required)
		return true;
	/* jansson refuses \u0000 in strings, so the C string is the whole value. */
	*out = json_string_value(value);
	if (*out && **out)
		return true;
	refuse(call, "invalid", "\"%s\" must be a string that is not empty", key);
	return false;
}

bool
get_number(struct admin_call *call, const char *key, uint64_t min, uint64_t max, uint64_t missing,
	   uint64_t *out)
{
	const json_t *value = json_object_get(call->args, key);
	*out = missing;
	if (!value)
		return true;
	json_int_t n = json_integer_value(value);
	if (!json_is_integer(value) || n < 0 || (uint64_t)n < min || (uint64_t)n > max) {
		refuse(call, "invalid", "\"%s\" must be a number from %" PRIu64 " to %" PRIu64, key, min,
		       max);
		return false;
	}
	*out = (uint64_t)n;
	return true;
}

bool
get_page(struct admin_call *call, uint64_t *limit, uint64_t *offset)
{
	return get_number(call, "limit", 1, ADMIN_PAGE_MAX, ADMIN_PAGE_DEFAULT, limit) &&
	       get_number(call, "offset", 0, INT32_MAX, 0, offset);
}

bool
get_bool(struct admin_call *call, const char *key, bool missing, bool *out)
{
	const json_t *value = json_object_get(call->args, key);
	*out = value ? json_is_true(value) : missing;
	if (!value || json_is_boolean(value))
		return true;
	refuse(call, "invalid", "\"%s\" must be true or false", key);
	return false;
}

/* Up to 16 hexadecimal digits. */
static bool
parse_sid(const char *text, session_id_t *out)
{
	if (strncmp(text, "0x", 2) == 0)
		text += 2;
	size_t len = strlen(text);
	if (len == 0 || len > 16 || strspn(text, "0123456789abcdefABCDEF") != len)
		return false;
	*out = strtoull(text, NULL, 16);
	return *out != SESSION_ID_NONE;
}

bool
get_sid(struct admin_call *call, const char *key, bool required, session_id_t *out)
{
	const char *text;
	*out = SESSION_ID_NONE;
	if (!get_string(call, key, required, &text))
		return false;
	if (!text || parse_sid(text, out))
		return true;
	refuse(call, "invalid",
	       "\"%.40s\" is not a session id: up to 16 hexadecimal digits, see `rookctl sessions list`", text);
	return false;
}

bool
get_prefix(struct admin_call *call, const char *key, bool required, bool *given, struct prefix *out)
{
	const char *text;
	if (!get_string(call, key, required, &text))
		return false;
	*given = text != NULL;
	if (!text || prefix_parse(out, text) == 0)
		return true;
	refuse(call, "invalid", "\"%.64s\" is neither an address nor one with a prefix length, as 192.0.2.0/24", text);
	return false;
}

/* ---- values ------------------------------------------------------------------------- */

/* Names of devices and status texts come from clients; whatever is no UTF-8 must not make the reply
 * impossible. */
json_t *
text_json(const char *text)
{
	json_t *value = json_string(text ? text : "");
	return value ? value : json_string("?");
}

/* Milliseconds since 1970 as RFC 3339 in UTC; 0 becomes null. */
json_t *
time_json(uint64_t ms)
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;
	char text[64];
	if (ms == 0 || !gmtime_r(&seconds, &tm) ||
	    !strftime(text, sizeof(text) - 8, "%Y-%m-%dT%H:%M:%S", &tm))
		return json_null();
	snprintf(text + strlen(text), 8, ".%03uZ", (unsigned)(ms % 1000));
	return json_string(text);
}
