/* SPDX-License-Identifier: BSD-3-Clause */
/* A request line of the admin API: parsed or refused, and either way answered with exactly one line of JSON.
 */
#include "fuzz.h"

#include "control/admin_protocol.h"

#include <errno.h>
#include <string.h>

/* What a command may end with; each has its word. */
static const int results[] = {-EINVAL, -EEXIST, -ENOENT, -EBUSY, -EIO, -ENOTCONN, -ECHILD, -EPERM};

/* Takes line. */
static void
check_reply(char *line)
{
	FUZZ_CHECK(line != NULL);
	size_t len = strlen(line);
	FUZZ_CHECK(len > 0 && strchr(line, '\n') == line + len - 1);
	json_t *reply = json_loadb(line, len, 0, NULL);
	FUZZ_CHECK(json_is_object(reply) && json_is_boolean(json_object_get(reply, "ok")));
	json_decref(reply);
	free(line);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct admin_request request;
	const char *error;
	int id_known;
	char *greeting = admin_greeting(ADMIN_CONTROL);
	FUZZ_CHECK(greeting != NULL && strchr(greeting, '\n') == greeting + strlen(greeting) - 1);
	free(greeting);
	if (size == 0) {
		/* Longer than the inputs that libFuzzer makes. */
		static char longest[ADMIN_LINE_MAX + 1];
		FUZZ_CHECK(admin_request_parse(longest, sizeof(longest), &request, &id_known, &error) == -EINVAL && !id_known);
	}
	/* Of its own on the heap and without a NUL: a parser that reads on is caught. */
	char *line = malloc(size + !size);
	FUZZ_CHECK(line != NULL);
	memcpy(line, data, size);
	int r = admin_request_parse(line, size, &request, &id_known, &error);
	if (r == 0) {
		FUZZ_CHECK(size <= ADMIN_LINE_MAX && id_known && json_is_object(request.args));
		FUZZ_CHECK(request.command[0] && memchr(request.command, 0, sizeof(request.command)));
		check_reply(admin_reply_ok(request.id, json_deep_copy(request.args)));
		/* commands are quoted in errors, perhaps cut in the middle of a character */
		request.command[sizeof(request.command) - 1] = '\0';
		request.command[strlen(request.command) / 2] = '\0';
		check_reply(admin_reply_error(&request.id, admin_code(results[size % (sizeof(results) / sizeof(results[0]))]),
					      request.command));
	} else {
		FUZZ_CHECK(error != NULL && error[0] && request.args == NULL);
		check_reply(admin_reply_error(id_known ? &request.id : NULL, "malformed", error));
	}
	admin_request_clear(&request);
	free(line);
	return 0;
}
