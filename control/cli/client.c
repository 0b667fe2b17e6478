/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/cli/client.h"

#include "control/admin_protocol.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define REPLY_MAX (16u << 20)

static int
fail_connect(const char *path, int error, char *text, size_t cap)
{
	switch (error) {
	case ENOENT:
	case ECONNREFUSED:
		snprintf(text, cap, "no server answers at %s: is `rookery run` running with this --state?",
			 path);
		break;
	case EACCES:
	case EPERM:
		snprintf(text, cap, "no permission for %s: run rookctl as root (sudo) or as the server's user", path);
		break;
	default:
		snprintf(text, cap, "cannot connect to %s: %s", path, strerror(error));
	}
	return -error;
}

static int
fail_talk(const struct client *c, int error, char *text, size_t cap)
{
	if (error == EAGAIN) {
		snprintf(text, cap, "the server did not answer within %u seconds", c->timeout_s);
		return -ETIMEDOUT;
	}
	snprintf(text, cap, "the connection to the server broke: %s",
		 error ? strerror(error) : "it was closed");
	return error ? -error : -ECONNRESET;
}

static int
make_room(struct client *c)
{
	if (c->used < c->capacity)
		return 0;
	size_t capacity = c->capacity ? c->capacity * 2 : 16384;
	if (capacity > REPLY_MAX)
		return -EMSGSIZE;
	char *buffer = realloc(c->buffer, capacity);
	if (!buffer)
		return -ENOMEM;
	c->buffer = buffer;
	c->capacity = capacity;
	return 0;
}

/* Reads the next line as a JSON object. */
static int
read_object(struct client *c, json_t **out, char *error, size_t cap)
{
	size_t seen = 0;
	char *end = NULL;
	while (!(end = c->used > seen ? memchr(c->buffer + seen, '\n', c->used - seen) : NULL)) {
		seen = c->used;
		int r = make_room(c);
		if (r < 0) {
			snprintf(error, cap, "the server's reply is too long");
			return r;
		}
		ssize_t n = recv(c->fd, c->buffer + c->used, c->capacity - c->used, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fail_talk(c, n < 0 ? errno : 0, error, cap);
		c->used += (size_t)n;
	}
	size_t len = (size_t)(end - c->buffer);
	*out = json_loadb(c->buffer, len, 0, NULL);
	c->used -= len + 1;
	memmove(c->buffer, end + 1, c->used);
	if (json_is_object(*out))
		return 0;
	json_decref(*out);
	snprintf(error, cap, "what answers is not a Rookery server: its line is not a JSON object");
	return -EPROTO;
}

static int
check_greeting(struct client *c, const char *path, const char *expected, char *error, size_t cap)
{
	json_t *greeting;
	int r = read_object(c, &greeting, error, cap);
	if (r < 0)
		return r;
	const char *program = json_string_value(json_object_get(greeting, "program"));
	const json_t *api = json_object_get(greeting, "api");
	/* A server with too many connections says so instead of greeting. */
	const char *refusal = json_string_value(json_object_get(json_object_get(greeting, "error"), "text"));
	if (refusal) {
		snprintf(error, cap, "the server refuses the connection: %s", refusal);
		r = -EBUSY;
	} else if (!program || strcmp(program, expected) != 0 || !json_is_integer(api)) {
		snprintf(error, cap, "what answers at %s is not %s", path, expected);
		r = -EPROTO;
	} else if (json_integer_value(api) != ADMIN_API) {
		const char *version = json_string_value(json_object_get(greeting, "version"));
		snprintf(error, cap,
			 "the server (version %s) speaks admin API %lld, this rookctl "
			 "(version " ROOKERY_VERSION ") speaks %d: use the rookctl that came with the server",
			 version ? version : "?", (long long)json_integer_value(api), ADMIN_API);
		r = -EPROTONOSUPPORT;
	}
	json_decref(greeting);
	return r;
}

void
client_patience(struct client *c, unsigned seconds)
{
	struct timeval timeout = {.tv_sec = (time_t)seconds};
	c->timeout_s = seconds;
	setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
}

int
client_open(struct client *c, const char *path, const char *program, char *error, size_t cap)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	memset(c, 0, sizeof(*c));
	c->fd = -1;
	if (strlen(path) >= sizeof(address.sun_path)) {
		snprintf(error, cap, "the path of the socket is too long (at most %zu characters): %s",
			 sizeof(address.sun_path) - 1, path);
		return -ENAMETOOLONG;
	}
	strcpy(address.sun_path, path);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return fail_connect(path, errno, error, cap);
	client_patience(c, CLIENT_TIMEOUT_S);
	return check_greeting(c, path, program, error, cap);
}

static int
send_all(struct client *c, const char *data, size_t len, char *error, size_t cap)
{
	while (len > 0) {
		ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_talk(c, errno, error, cap);
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int
send_request(struct client *c, json_int_t id, const char *command, json_t *args, char *error, size_t cap)
{
	json_t *request = json_pack("{s:I, s:s, s:o}", "id", id, "command", command, "args",
				    args ? args : json_object());
	char *line = request ? json_dumps(request, JSON_COMPACT) : NULL;
	json_decref(request);
	if (!line) {
		snprintf(error, cap, "out of memory");
		return -ENOMEM;
	}
	size_t len = strlen(line);
	line[len] = '\n'; /* in place of the NUL */
	int r = send_all(c, line, len + 1, error, cap);
	explicit_bzero(line, len);
	free(line);
	return r;
}

int
client_call(struct client *c, const char *command, json_t *args, json_t **reply, char *error, size_t cap)
{
	json_int_t id = ++c->next_id;
	int r = send_request(c, id, command, args, error, cap);
	if (r < 0)
		return r;
	r = read_object(c, reply, error, cap);
	if (r < 0)
		return r;
	const json_t *reply_id = json_object_get(*reply, "id");
	if (json_is_boolean(json_object_get(*reply, "ok")) &&
	    (json_is_null(reply_id) || json_integer_value(reply_id) == id))
		return 0;
	json_decref(*reply);
	snprintf(error, cap, "the server's reply does not belong to the request");
	return -EPROTO;
}

void
client_close(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	free(c->buffer);
	c->fd = -1;
	c->buffer = NULL;
}
