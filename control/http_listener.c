// SPDX-License-Identifier: BSD-3-Clause
#include "control/http_listener.h"

#include "control/http.h"
#include "shared/log.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEADLINE_CHECK_MS 1000

struct connection {
	int fd;
	uint64_t since_ms; /* the last request was answered, or it was accepted */
	struct connection *next, **link;
};

struct http_listener {
	struct http_listener_options options;
	struct endpoint at;
	struct MHD_Daemon *daemon;
	uv_poll_t poll;
	uv_timer_t timer; /* libmicrohttpd's, and the deadlines of requests */
	unsigned handles; /* of the two, those that the loop still knows */
	bool closing;
	struct connection *connections;
	bool room_made;   /* a connection ended in this run */
};

/* ---- connections --------------------------------------------------------------------- */

static void
on_connection(void *arg, struct MHD_Connection *c, void **context, enum MHD_ConnectionNotificationCode code)
{
	struct http_listener *l = arg;
	struct connection *n = *context;

	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		l->room_made = true;
		if (n == NULL)
			return;
		*n->link = n->next;
		if (n->next != NULL)
			n->next->link = n->link;
		free(n);
		*context = NULL;
		return;
	}
	n = calloc(1, sizeof(*n));
	if (n == NULL)
		return; /* libmicrohttpd's own time-out is left */
	n->fd = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
	n->since_ms = uv_now(l->options.loop);
	n->next = l->connections;
	n->link = &l->connections;
	if (n->next != NULL)
		n->next->link = &n->next;
	l->connections = n;
	*context = n;
}

static void
on_completed(void *arg, struct MHD_Connection *c, void **request, enum MHD_RequestTerminationCode code)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct http_listener *l = arg;

	*request = NULL;
	(void)code;
	if (info != NULL && info->socket_context != NULL)
		((struct connection *)info->socket_context)->since_ms = uv_now(l->options.loop);
}

/* A client that sends or takes a byte now and then is not idle, but would hold its place for ever. */
static void
deadlines_check(struct http_listener *l)
{
	uint64_t now_ms = uv_now(l->options.loop);

	for (struct connection *n = l->connections; n != NULL; n = n->next)
		if (now_ms - n->since_ms > l->options.request_ms)
			shutdown(n->fd, SHUT_RDWR);
}

static void on_timer(uv_timer_t *timer);

static void
listener_run(struct http_listener *l)
{
	unsigned check_ms = l->options.request_ms < DEADLINE_CHECK_MS ? l->options.request_ms : DEADLINE_CHECK_MS;
	MHD_UNSIGNED_LONG_LONG wait_ms;

	if (l->closing)
		return;
	deadlines_check(l);
	/* libmicrohttpd leaves its listening socket alone at the limit, and notices room only in the run after the one that
	 * made it. */
	do {
		l->room_made = false;
		MHD_run(l->daemon);
	} while (l->room_made);
	if (l->connections == NULL) {
		uv_timer_stop(&l->timer);
		return;
	}
	if (MHD_get_timeout(l->daemon, &wait_ms) != MHD_YES || wait_ms > check_ms)
		wait_ms = check_ms;
	uv_timer_start(&l->timer, on_timer, wait_ms, 0);
}

static void
on_timer(uv_timer_t *timer)
{
	listener_run(timer->data);
}

static void
on_ready(uv_poll_t *poll, int status, int events)
{
	(void)status;
	(void)events;
	listener_run(poll->data);
}

static void
on_library_log(void *arg, const char *format, va_list args)
{
	char text[256];
	size_t n;

	(void)arg;
	vsnprintf(text, sizeof(text), format, args);
	n = strcspn(text, "\n");
	text[n] = '\0';
	log_debug(metrics, "libmicrohttpd", "reason=\"%s\"", text);
}

/* ---- open and close ------------------------------------------------------------------ */

static int
socket_open(struct endpoint *at)
{
	struct sockaddr_storage ss;
	socklen_t length = endpoint_to_sockaddr(at, &ss);
	/* As the filter of system calls has it: shared/sandbox.c. */
	int on = 1, rc, fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&ss, length) < 0 || listen(fd, HTTP_CONNECTIONS_MAX) < 0 ||
	    getsockname(fd, (struct sockaddr *)&ss, &length) < 0) {
		rc = -errno;
		close(fd);
		return rc;
	}
	endpoint_from_sockaddr(at, (struct sockaddr *)&ss);
	return fd;
}

static void
on_closed(uv_handle_t *handle)
{
	struct http_listener *l = handle->data;

	if (--l->handles > 0)
		return;
	MHD_stop_daemon(l->daemon);
	free(l);
}

void
http_listener_close(struct http_listener *l)
{
	int fd;

	if (l == NULL)
		return;
	l->closing = true;
	fd = MHD_quiesce_daemon(l->daemon);
	if (fd >= 0)
		close(fd);
	uv_close((uv_handle_t *)&l->timer, on_closed);
	if (l->handles > 1)
		uv_close((uv_handle_t *)&l->poll, on_closed);
}

static struct MHD_Daemon *
daemon_start(struct http_listener *l, int fd)
{
	return MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, l->options.request, l->options.request_arg,
				MHD_OPTION_EXTERNAL_LOGGER, on_library_log, NULL,
				MHD_OPTION_LISTEN_SOCKET, fd,
				MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_CONNECTIONS_MAX,
				MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HTTP_IDLE_S,
				MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_MEMORY_MAX,
				MHD_OPTION_NOTIFY_CONNECTION, on_connection, l,
				MHD_OPTION_NOTIFY_COMPLETED, on_completed, l, MHD_OPTION_END);
}

static int
handles_open(struct http_listener *l)
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	int rc;

	uv_timer_init(l->options.loop, &l->timer);
	l->timer.data = l->poll.data = l;
	l->handles = 1;
	rc = info == NULL || info->epoll_fd < 0 ? -EIO : uv_poll_init(l->options.loop, &l->poll, info->epoll_fd);
	if (rc < 0)
		return rc;
	l->poll.data = l;
	l->handles = 2;
	return uv_poll_start(&l->poll, UV_READABLE, on_ready);
}

int
http_listener_open(struct http_listener **out, const struct http_listener_options *o, const struct endpoint *at)
{
	struct http_listener *l = calloc(1, sizeof(*l));
	int fd, rc;

	*out = NULL;
	if (l == NULL)
		return -ENOMEM;
	l->options = *o;
	l->at = *at;
	fd = socket_open(&l->at);
	if (fd < 0) {
		free(l);
		return fd;
	}
	l->daemon = daemon_start(l, fd);
	if (l->daemon == NULL) {
		close(fd);
		free(l);
		return -ENOMEM;
	}
	rc = handles_open(l);
	if (rc < 0)
		http_listener_close(l);
	else
		*out = l;
	return rc;
}

const struct endpoint *
http_listener_address(const struct http_listener *l)
{
	return &l->at;
}
