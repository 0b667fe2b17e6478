/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The lines of the admin API: JSON objects, one per line, over a Unix stream socket.
 *
 *   server   {"api":1,"program":"rookery-control","version":"0.1.0"}            once, first
 *   client   {"id":7,"command":"users.add","args":{"name":"alice",...}}         args may be missing
 *   server   {"id":7,"ok":true,"result":{...}}
 *        or  {"id":7,"ok":false,"error":{"code":"exists","text":"..."}}
 *
 * The launcher speaks the same over its own socket, as program "rookery".
 *
 * `api` grows when an existing command changes incompatibly; a client that does not know it must not go on.
 * New commands and new fields in results do not change it. A line that is no request is answered with
 * "id":null and the code "malformed". Replies come in the order of the requests. No I/O here.
 */
#ifndef ROOKERY_CONTROL_ADMIN_PROTOCOL_H
#define ROOKERY_CONTROL_ADMIN_PROTOCOL_H

#include <jansson.h>
#include <stddef.h>

#define ADMIN_API 1
#define ADMIN_CONTROL "rookery-control"
#define ADMIN_LAUNCHER "rookery"
#define ADMIN_LINE_MAX \
	8192 /* of a request, without the newline: far more than the longest name and password */
#define ADMIN_COMMAND_MAX 32

struct admin_request {
	json_int_t id;
	char command[ADMIN_COMMAND_MAX];
	json_t *args; /* an object, perhaps empty; freed with admin_request_clear */
};

/* Reads one line (without its newline). Returns 0, or -EINVAL with a static text that says what is wrong;
 * *id_known then tells whether out->id may be used in the reply. */
int admin_request_parse(const char *line, size_t len, struct admin_request *out, int *id_known,
			const char **error);
void admin_request_clear(struct admin_request *r);

/* Lines with their newline, to be freed by the caller; NULL without memory. result is stolen (also on
 * failure). */
char *admin_greeting(const char *program);
char *admin_reply_ok(json_int_t id, json_t *result);
/* The "code" of an error reply for a negative errno. */
const char *admin_code(int result);
/* id NULL: the request had none that could be read. */
char *admin_reply_error(const json_int_t *id, const char *code, const char *text);

#endif
