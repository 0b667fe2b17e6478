/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/admin.h"

#include "shared/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define STALLED_MS 30000 /* a reply that its client does not read for so long */
#define STALLED_CHECK_MS 5000

struct client;

/* One command in work. It outlives its client when the server finishes it later. */
struct operation {
	struct admin *admin;
	struct client *client; /* NULL: gone, nobody wants the reply */
	json_int_t id;
	struct operation *next, **link;
};

struct client {
	uv_pipe_t pipe;
	struct admin *admin;
	struct operation *operation; /* in work: nothing is read meanwhile */
	uv_write_t write;
	char *reply; /* being written: nothing is read meanwhile */
	uint64_t reply_since_ms;
	bool last; /* close after the reply */
	bool closing;
	size_t used;
	char line[ADMIN_LINE_MAX + 1];
	struct client *next, **link;
};

struct admin {
	struct admin_options options;
	uv_pipe_t listener;
	uv_timer_t stalled;
	struct client *clients;
	unsigned client_count;
	struct operation *operations;
	bool closing;
};

static void process(struct client *c);

/* ---- lists -------------------------------------------------------------------------- */

static struct operation *
operation_new(struct client *c, json_int_t id)
{
	struct operation *o = calloc(1, sizeof(*o));
	if (!o)
		return NULL;
	struct admin *a = c->admin;
	o->admin = a;
	o->client = c;
	o->id = id;
	o->next = a->operations;
	o->link = &a->operations;
	if (o->next)
		o->next->link = &o->next;
	a->operations = o;
	c->operation = o;
	return o;
}

static void
operation_free(struct operation *o)
{
	if (o->client)
		o->client->operation = NULL;
	*o->link = o->next;
	if (o->next)
		o->next->link = o->link;
	free(o);
}

static void
client_closed(uv_handle_t *handle)
{
	struct client *c = handle->data;
	*c->link = c->next;
	if (c->next)
		c->next->link = c->link;
	c->admin->client_count--;
	explicit_bzero(c->line, sizeof(c->line));
	free(c->reply);
	free(c);
}

static void
client_close(struct client *c)
{
	if (c->closing)
		return;
	c->closing = true;
	if (c->admin->options.gone)
		c->admin->options.gone(c->admin->options.gone_arg, c);
	if (c->operation)
		c->operation->client = NULL;
	uv_close((uv_handle_t *)&c->pipe, client_closed);
}

/* ---- replies ------------------------------------------------------------------------ */

static void
on_written(uv_write_t *write, int status)
{
	struct client *c = write->data;
	free(c->reply);
	c->reply = NULL;
	if (status < 0 || c->last)
		client_close(c);
	else
		process(c);
}

/* Takes line (a NULL: no memory for it). */
static void
send_line(struct client *c, char *line)
{
	if (!line) {
		client_close(c);
		return;
	}
	c->reply = line;
	c->reply_since_ms = uv_now(c->admin->options.loop);
	c->write.data = c;
	uv_buf_t buf = uv_buf_init(line, (unsigned)strlen(line));
	if (uv_write(&c->write, (uv_stream_t *)&c->pipe, &buf, 1, on_written) < 0) {
		free(c->reply);
		c->reply = NULL;
		client_close(c);
	}
}

static void
send_last_error(struct client *c, const char *code, const char *text)
{
	c->last = true;
	send_line(c, admin_reply_error(NULL, code, text));
}

static void
operation_done(void *arg, int result, const char *text)
{
	struct operation *o = arg;
	struct client *c = o->client;
	json_int_t id = o->id;
	operation_free(o);
	if (!c)
		return;
	if (result == 0)
		send_line(c, admin_reply_ok(id, json_object()));
	else
		send_line(c, admin_reply_error(&id, admin_code(result),
					       text && *text ? text : strerror(-result)));
}

/* ---- requests ----------------------------------------------------------------------- */

static void
run_request(struct client *c, const struct admin_request *request)
{
	struct admin *a = c->admin;
	struct operation *o = operation_new(c, request->id);
	if (!o) {
		client_close(c);
		return;
	}
	struct admin_call call = {
		.server = a->options.server,
		.supervisor = a->options.supervisor,
		.config = a->options.config,
		.client = c,
		.reload = a->options.reload,
		.args = request->args,
		.done = operation_done,
		.done_arg = o,
	};
	enum admin_outcome outcome = a->options.run(request->command, &call);
	if (a->options.wake)
		a->options.wake(a->options.wake_arg);
	if (outcome == ADMIN_LATER)
		return;
	operation_free(o);
	if (outcome == ADMIN_OK)
		send_line(c, admin_reply_ok(request->id, call.result));
	else
		send_line(c, admin_reply_error(&request->id, call.code, call.text));
}

static void
handle_line(struct client *c, const char *line, size_t len)
{
	struct admin_request request;
	const char *error;
	int id_known;
	if (admin_request_parse(line, len, &request, &id_known, &error) < 0) {
		send_line(c, admin_reply_error(id_known ? &request.id : NULL, "malformed", error));
		return;
	}
	run_request(c, &request);
	admin_request_clear(&request);
}

static void
alloc_line(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	(void)suggested;
	struct client *c = handle->data;
	*buf = uv_buf_init(c->line + c->used, (unsigned)(sizeof(c->line) - c->used));
}

static void
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	(void)buf;
	struct client *c = stream->data;
	if (n < 0) {
		client_close(c);
		return;
	}
	c->used += (size_t)n;
	process(c);
}

/* Handles the next complete line, if nothing is in work; goes on reading when there is none. */
static void
process(struct client *c)
{
	while (!c->closing && !c->operation && !c->reply) {
		char *end = memchr(c->line, '\n', c->used);
		if (!end && c->used == sizeof(c->line)) {
			/* Where the next line begins is unknown now. */
			uv_read_stop((uv_stream_t *)&c->pipe);
			send_last_error(c, "malformed", "the line is too long");
			return;
		}
		if (!end) {
			int r = uv_read_start((uv_stream_t *)&c->pipe, alloc_line, on_read);
			if (r < 0 && r != UV_EALREADY)
				client_close(c);
			return;
		}
		uv_read_stop((uv_stream_t *)&c->pipe);
		size_t len = (size_t)(end - c->line);
		handle_line(c, c->line, len);
		/* The line may have held a password. */
		explicit_bzero(c->line, len);
		c->used -= len + 1;
		memmove(c->line, end + 1, c->used);
	}
}

/* ---- connections -------------------------------------------------------------------- */

static void
on_connection(uv_stream_t *listener, int status)
{
	struct admin *a = listener->data;
	struct client *c = status < 0 ? NULL : calloc(1, sizeof(*c));
	if (!c)
		return; /* without memory it stays in the backlog until the next one comes */
	if (uv_pipe_init(a->options.loop, &c->pipe, 0) < 0) {
		free(c);
		return;
	}
	c->pipe.data = c;
	c->admin = a;
	c->next = a->clients;
	c->link = &a->clients;
	if (c->next)
		c->next->link = &c->next;
	a->clients = c;
	a->client_count++;
	if (uv_accept(listener, (uv_stream_t *)&c->pipe) < 0)
		client_close(c);
	else if (a->client_count > ADMIN_CLIENTS_MAX)
		send_last_error(c, "busy", "too many admin connections: try again when some have ended");
	else
		send_line(c, admin_greeting(a->options.program));
}

static void
check_stalled(uv_timer_t *timer)
{
	struct admin *a = timer->data;
	uint64_t now = uv_now(a->options.loop);
	for (struct client *c = a->clients; c; c = c->next)
		if (c->reply && now - c->reply_since_ms > STALLED_MS)
			client_close(c);
}

/* Does a process answer at this socket? */
static bool
is_answered(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	strcpy(address.sun_path, path);
	/* EAGAIN: its backlog is full, so it has one */
	bool yes = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 || errno == EAGAIN;
	close(fd);
	return yes;
}

static int
listen_at(struct admin *a, const char *path)
{
	/* The socket is never open to others, not even between bind and chmod. */
	mode_t before = umask(0177);
	int r = uv_pipe_bind(&a->listener, path);
	umask(before);
	return r < 0 ? r : uv_listen((uv_stream_t *)&a->listener, 16, on_connection);
}

int
admin_open(struct admin **out, const struct admin_options *o, char *error, size_t error_cap)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	*out = NULL;
	if (!config_runtime_path(o->config, o->socket, path, sizeof(path))) {
		snprintf(error, error_cap,
			 "runtime_dir %s is too long for a Unix socket: at most %zu characters",
			 o->config->runtime_dir, sizeof(path) - strlen(o->socket) - 2);
		return -ENAMETOOLONG;
	}
	if (is_answered(path)) {
		snprintf(error, error_cap,
			 "another %s answers at %s: stop it, or choose another --state", o->program, path);
		return -EADDRINUSE;
	}
	struct admin *a = calloc(1, sizeof(*a));
	if (!a) {
		snprintf(error, error_cap, "out of memory");
		return -ENOMEM;
	}
	a->options = *o;
	a->listener.data = a->stalled.data = a;
	uv_pipe_init(o->loop, &a->listener, 0);
	uv_timer_init(o->loop, &a->stalled);
	*out = a;
	unlink(path);
	int r = listen_at(a, path);
	if (r == 0)
		r = uv_timer_start(&a->stalled, check_stalled, STALLED_CHECK_MS, STALLED_CHECK_MS);
	if (r == 0)
		return 0;
	snprintf(error, error_cap, "cannot listen at %s: %s", path, uv_strerror(r));
	/* The loop still knows the handles: the caller closes and frees as after a success. */
	admin_close(a);
	return r;
}

void
admin_close(struct admin *a)
{
	if (a->closing)
		return;
	a->closing = true;
	uv_close((uv_handle_t *)&a->listener, NULL); /* removes the socket */
	uv_close((uv_handle_t *)&a->stalled, NULL);
	for (struct client *c = a->clients; c; c = c->next)
		client_close(c);
}

void
admin_free(struct admin *a)
{
	if (!a)
		return;
	while (a->operations)
		operation_free(a->operations);
	free(a);
}
