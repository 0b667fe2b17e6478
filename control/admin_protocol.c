/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/admin_protocol.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *
admin_code(int result)
{
	switch (-result) {
	case EINVAL:
		return "invalid";
	case EEXIST:
		return "exists";
	case ENOENT:
		return "not_found";
	case EBUSY:
		return "busy";
	case EIO:
		return "store";
	case ENOTCONN:
		return "no_dataplane";
	case ECHILD:
		return "failed";
	default:
		return "internal";
	}
}

static int
refuse(struct admin_request *out, json_t *line, const char **error, const char *text)
{
	json_decref(line);
	out->args = NULL;
	*error = text;
	return -EINVAL;
}

int
admin_request_parse(const char *line, size_t len, struct admin_request *out, int *id_known,
		    const char **error)
{
	memset(out, 0, sizeof(*out));
	*id_known = 0;
	*error = NULL;
	if (len > ADMIN_LINE_MAX)
		return refuse(out, NULL, error, "the line is too long");
	json_t *object = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(object))
		return refuse(out, object, error, "the line is not a JSON object");

	const json_t *id = json_object_get(object, "id");
	if (!json_is_integer(id))
		return refuse(out, object, error, "\"id\" must be an integer");
	out->id = json_integer_value(id);
	*id_known = 1;

	const json_t *command = json_object_get(object, "command");
	if (!json_is_string(command))
		return refuse(out, object, error, "\"command\" must be a string");
	size_t n = json_string_length(command);
	if (n == 0 || n >= sizeof(out->command))
		return refuse(out, object, error, "no command has a name of this length");
	memcpy(out->command, json_string_value(command), n + 1);

	json_t *args = json_object_get(object, "args");
	if (args && !json_is_object(args))
		return refuse(out, object, error, "\"args\" must be an object");
	if (json_object_size(object) != (args ? 3u : 2u))
		return refuse(out, object, error, "only \"id\", \"command\" and \"args\" may be given");
	out->args = args ? json_incref(args) : json_object();
	json_decref(object);
	if (!out->args)
		return refuse(out, NULL, error, "out of memory");
	return 0;
}

void
admin_request_clear(struct admin_request *r)
{
	json_decref(r->args);
	r->args = NULL;
}

/* Steals object. */
static char *
to_line(json_t *object)
{
	if (!object)
		return NULL;
	/* JSON text contains no raw newline, so the last byte can become one. */
	size_t len = json_dumpb(object, NULL, 0, JSON_COMPACT);
	char *line = len ? malloc(len + 2) : NULL;
	if (line) {
		json_dumpb(object, line, len, JSON_COMPACT);
		line[len] = '\n';
		line[len + 1] = '\0';
	}
	json_decref(object);
	return line;
}

char *
admin_greeting(const char *program)
{
	return to_line(json_pack("{s:i, s:s, s:s}", "api", ADMIN_API, "program", program, "version",
				 ROOKERY_VERSION));
}

char *
admin_reply_ok(json_int_t id, json_t *result)
{
	return to_line(json_pack("{s:I, s:b, s:o}", "id", id, "ok", 1, "result", result));
}

/* A text that quotes an argument may have been cut within a UTF-8 character. */
static json_t *
safe_text(const char *text)
{
	json_t *value = json_string(text);
	if (value)
		return value;
	char *ascii = strdup(text);
	for (char *p = ascii; p && *p; p++)
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	value = json_string(ascii ? ascii : "");
	free(ascii);
	return value;
}

char *
admin_reply_error(const json_int_t *id, const char *code, const char *text)
{
	return to_line(json_pack("{s:o, s:b, s:{s:s, s:o}}", "id", id ? json_integer(*id) : json_null(), "ok",
				 0, "error", "code", code, "text", safe_text(text)));
}
