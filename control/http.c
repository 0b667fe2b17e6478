// SPDX-License-Identifier: BSD-3-Clause
#include "control/http.h"

#include "control/history.h"
#include "control/http_access.h"
#include "control/status_page.h"
#include "shared/address.h"
#include "shared/log.h"

#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define METRICS_AGE_MS 500
#define DEADLINE_CHECK_MS 1000
#define COUNTS_GAP_MS 10000
#define COUNTS_SHARE 500 /* counting users takes at most 1/500 of the loop's time */

struct connection {
	struct http *http;
	int fd;
	uint64_t since_ms; /* the last request was answered, or it was accepted */
	struct connection *next, **link;
};

struct http {
	struct http_options options;
	struct http_access access;
	struct MHD_Daemon *daemon;
	uv_poll_t poll;
	uv_timer_t timer;  /* libmicrohttpd's, and the deadlines of requests */
	uv_timer_t sample;
	bool handles;
	bool closing;
	uint16_t port;
	unsigned request_ms;
	struct connection *connections;
	bool room_made; /* a connection ended in this run */
	struct history *history;
	struct metrics_snapshot snapshot;
	int statm; /* /proc/self/statm */
	uint64_t counts_ms; /* when users are counted next */
	uint64_t metrics_ms;
	struct MHD_Response *page, *metrics, *status;
};

/* ---- figures ------------------------------------------------------------------------- */

static uint64_t
memory_resident(int statm)
{
	char text[128];
	unsigned long pages;
	ssize_t n = statm < 0 ? -1 : pread(statm, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	return sscanf(text, "%*u %lu", &pages) == 1 ? pages * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static void
snapshot_take(struct http *h)
{
	struct metrics_snapshot *s = &h->snapshot;
	uint64_t users = s->status.users, devices = s->status.devices, stored = s->status.stored_messages;

	server_pulse(h->options.server, &s->status);
	s->status.users = users;
	s->status.devices = devices;
	s->status.stored_messages = stored;
	server_counters(h->options.server, &s->counters);
	s->commit = *server_commit_latency(h->options.server);
	if (h->options.login_latency != NULL)
		s->login = *h->options.login_latency;
	s->memory_resident = memory_resident(h->statm);
}

/* Walks through the database: only when somebody looks, and rarely. */
static void
counts_take(struct http *h, uint64_t now_ms)
{
	uint64_t start_us, cost_ms;

	if (now_ms < h->counts_ms)
		return;
	start_us = histogram_clock_us();
	server_status_counts(h->options.server, &h->snapshot.status);
	cost_ms = (histogram_clock_us() - start_us) / 1000;
	h->counts_ms = now_ms + COUNTS_GAP_MS + cost_ms * COUNTS_SHARE;
}

static void
on_sample(uv_timer_t *timer)
{
	struct http *h = timer->data;
	uv_timeval64_t now;

	uv_gettimeofday(&now);
	snapshot_take(h);
	history_add(h->history, &h->snapshot, uv_now(h->options.loop), (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_usec / 1000);
	if (h->status != NULL)
		MHD_destroy_response(h->status);
	h->status = NULL;
}

/* ---- responses ----------------------------------------------------------------------- */

static struct MHD_Response *
response_new(char *text, size_t length, const char *type, enum MHD_ResponseMemoryMode mode)
{
	struct MHD_Response *r = text == NULL ? NULL : MHD_create_response_from_buffer(length, text, mode);

	if (r == NULL) {
		if (mode == MHD_RESPMEM_MUST_FREE)
			free(text);
		return NULL;
	}
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	MHD_add_response_header(r, "X-Frame-Options", "DENY");
	MHD_add_response_header(r, "Referrer-Policy", "no-referrer");
	/* The page is one document; whatever else got into it could neither be loaded nor send anything away. */
	MHD_add_response_header(r, "Content-Security-Policy",
				"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
				"img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
	return r;
}

static struct MHD_Response *
page_response(struct http *h)
{
	static const char page[] = STATUS_PAGE;

	if (h->page == NULL)
		h->page = response_new((char *)(uintptr_t)page, sizeof(page) - 1, "text/html; charset=utf-8",
				       MHD_RESPMEM_PERSISTENT);
	return h->page;
}

static struct MHD_Response *
metrics_response(struct http *h)
{
	uint64_t now_ms = uv_now(h->options.loop);
	size_t length;
	char *text;

	if (h->metrics != NULL && now_ms < h->metrics_ms + METRICS_AGE_MS)
		return h->metrics;
	if (h->metrics != NULL)
		MHD_destroy_response(h->metrics);
	counts_take(h, now_ms);
	snapshot_take(h);
	text = metrics_text(&h->snapshot, &length);
	h->metrics = response_new(text, length, "text/plain; version=0.0.4; charset=utf-8", MHD_RESPMEM_MUST_FREE);
	h->metrics_ms = now_ms;
	return h->metrics;
}

static struct MHD_Response *
status_response(struct http *h)
{
	size_t length;
	char *text;

	if (h->status != NULL)
		return h->status;
	counts_take(h, uv_now(h->options.loop));
	text = history_json(h->history, &h->snapshot, &length);
	h->status = response_new(text, length, "application/json", MHD_RESPMEM_MUST_FREE);
	return h->status;
}

static enum MHD_Result
answer_line(struct MHD_Connection *c, unsigned status, const char *line, const char *header, const char *value)
{
	struct MHD_Response *r = response_new((char *)(uintptr_t)line, strlen(line), "text/plain; charset=utf-8",
					      MHD_RESPMEM_MUST_COPY);
	enum MHD_Result result;

	if (r == NULL)
		return MHD_NO;
	if (header != NULL)
		MHD_add_response_header(r, header, value);
	result = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return result;
}

static enum MHD_Result
answer(struct http *h, struct MHD_Connection *c, const char *path)
{
	struct MHD_Response *r;
	struct server_status *s = &h->snapshot.status;

	if (strcmp(path, "/health") == 0) {
		server_pulse(h->options.server, s);
		return s->ready ? answer_line(c, MHD_HTTP_OK, "ready\n", NULL, NULL) :
				  answer_line(c, MHD_HTTP_SERVICE_UNAVAILABLE, "not ready\n", NULL, NULL);
	}
	if (strcmp(path, "/") == 0)
		r = page_response(h);
	else if (strcmp(path, "/metrics") == 0)
		r = metrics_response(h);
	else if (strcmp(path, "/status.json") == 0)
		r = status_response(h);
	else
		return answer_line(c, MHD_HTTP_NOT_FOUND, "there are /, /status.json, /metrics and /health\n", NULL, NULL);
	if (r == NULL)
		return answer_line(c, MHD_HTTP_INTERNAL_SERVER_ERROR, "no memory\n", NULL, NULL);
	return MHD_queue_response(c, MHD_HTTP_OK, r);
}

static enum MHD_Result
on_request(void *arg, struct MHD_Connection *c, const char *url, const char *method, const char *version,
	   const char *upload, size_t *upload_size, void **request)
{
	struct http *h = arg;
	const char *authorization, *host;

	(void)version;
	(void)upload;
	if (*upload_size != 0)
		return MHD_NO; /* a body that nobody wants: let the connection go */
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return answer_line(c, MHD_HTTP_METHOD_NOT_ALLOWED, "read-only: GET and HEAD\n", MHD_HTTP_HEADER_ALLOW,
				   "GET, HEAD");
	/* Called for the headers first; an answer to that would end the connection. */
	if (*request == NULL) {
		*request = h;
		return MHD_YES;
	}
	authorization = MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION);
	host = MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);
	switch (http_access_check(&h->access, authorization, host)) {
	case HTTP_ALLOWED:
		return answer(h, c, url);
	case HTTP_WRONG_HOST:
		return answer_line(c, MHD_HTTP_FORBIDDEN,
				   "ask for localhost or an address; other names need metrics.token_file\n", NULL, NULL);
	default:
		return answer_line(c, MHD_HTTP_UNAUTHORIZED, "the token of metrics.token_file is needed\n",
				   MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Basic realm=\"Rookery\", charset=\"UTF-8\"");
	}
}

/* ---- connections --------------------------------------------------------------------- */

static void
on_connection(void *arg, struct MHD_Connection *c, void **context, enum MHD_ConnectionNotificationCode code)
{
	struct http *h = arg;
	struct connection *n = *context;

	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		h->room_made = true;
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
	n->http = h;
	n->fd = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
	n->since_ms = uv_now(h->options.loop);
	n->next = h->connections;
	n->link = &h->connections;
	if (n->next != NULL)
		n->next->link = &n->next;
	h->connections = n;
	*context = n;
}

static void
on_completed(void *arg, struct MHD_Connection *c, void **request, enum MHD_RequestTerminationCode code)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct http *h = arg;

	*request = NULL;
	(void)code;
	if (info != NULL && info->socket_context != NULL)
		((struct connection *)info->socket_context)->since_ms = uv_now(h->options.loop);
}

/* A client that sends or takes a byte now and then is not idle, but would hold its place for ever. */
static void
deadlines_check(struct http *h)
{
	uint64_t now_ms = uv_now(h->options.loop);

	for (struct connection *n = h->connections; n != NULL; n = n->next)
		if (now_ms - n->since_ms > h->request_ms)
			shutdown(n->fd, SHUT_RDWR);
}

static void on_timer(uv_timer_t *timer);

static void
http_run(struct http *h)
{
	unsigned check_ms = h->request_ms < DEADLINE_CHECK_MS ? h->request_ms : DEADLINE_CHECK_MS;
	MHD_UNSIGNED_LONG_LONG wait_ms;

	if (h->closing)
		return;
	deadlines_check(h);
	/* libmicrohttpd leaves its listening socket alone at the limit, and notices room only in the run after the one that
	 * made it. */
	do {
		h->room_made = false;
		MHD_run(h->daemon);
	} while (h->room_made);
	if (h->connections == NULL) {
		uv_timer_stop(&h->timer);
		return;
	}
	if (MHD_get_timeout(h->daemon, &wait_ms) != MHD_YES || wait_ms > check_ms)
		wait_ms = check_ms;
	uv_timer_start(&h->timer, on_timer, wait_ms, 0);
}

static void
on_timer(uv_timer_t *timer)
{
	http_run(timer->data);
}

static void
on_ready(uv_poll_t *poll, int status, int events)
{
	(void)status;
	(void)events;
	http_run(poll->data);
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
	log_debug("metrics", "libmicrohttpd", "reason=\"%s\"", text);
}

/* ---- open and close ------------------------------------------------------------------ */

static int
listen_open(struct http *h, const struct endpoint *e)
{
	struct sockaddr_storage ss;
	socklen_t length = endpoint_to_sockaddr(e, &ss);
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
	h->port = ntohs(ss.ss_family == AF_INET ? ((struct sockaddr_in *)&ss)->sin_port :
						 ((struct sockaddr_in6 *)&ss)->sin6_port);
	return fd;
}

static int
daemon_start(struct http *h, int fd)
{
	const union MHD_DaemonInfo *info;
	int rc;

	h->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, h,
				     MHD_OPTION_EXTERNAL_LOGGER, on_library_log, NULL,
				     MHD_OPTION_LISTEN_SOCKET, fd,
				     MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_CONNECTIONS_MAX,
				     MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HTTP_IDLE_S,
				     MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_MEMORY_MAX,
				     MHD_OPTION_NOTIFY_CONNECTION, on_connection, h,
				     MHD_OPTION_NOTIFY_COMPLETED, on_completed, h, MHD_OPTION_END);
	if (h->daemon == NULL) {
		close(fd);
		return -ENOMEM;
	}
	info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	rc = info == NULL || info->epoll_fd < 0 ? -EIO : uv_poll_init(h->options.loop, &h->poll, info->epoll_fd);
	if (rc < 0)
		return rc;
	uv_timer_init(h->options.loop, &h->timer);
	uv_timer_init(h->options.loop, &h->sample);
	h->handles = true;
	h->poll.data = h->timer.data = h->sample.data = h;
	rc = uv_poll_start(&h->poll, UV_READABLE, on_ready);
	if (rc == 0)
		rc = uv_timer_start(&h->sample, on_sample, 0, HISTORY_INTERVAL_MS);
	return rc;
}

int
http_open(struct http **out, const struct http_options *o, char *error, size_t error_cap)
{
	const char *where = o->config->metrics.listen;
	struct endpoint e;
	struct http *h;
	int rc;

	*out = NULL;
	if (where[0] == '\0')
		return 0;
	h = calloc(1, sizeof(*h));
	if (h == NULL)
		return -ENOMEM;
	h->options = *o;
	h->request_ms = o->request_ms != 0 ? o->request_ms : HTTP_REQUEST_MS;
	rc = http_access_init(&h->access, o->config, &e, error, error_cap);
	if (rc == 0) {
		h->history = history_new();
		h->statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
		rc = h->history == NULL ? -ENOMEM : listen_open(h, &e);
		if (rc >= 0)
			rc = daemon_start(h, rc);
		if (rc < 0)
			snprintf(error, error_cap, "metrics.listen: %s: %s%s", where, strerror(-rc),
				 rc == -EADDRINUSE ? "; choose another port, or \"\" for none" : "");
	}
	if (rc < 0)
		http_close(h);
	/* After an error the loop may still have to run out of the handles. */
	*out = h;
	return rc;
}

uint16_t
http_port(const struct http *h)
{
	return h->port;
}

void
http_close(struct http *h)
{
	if (h == NULL || h->closing)
		return;
	h->closing = true;
	if (h->handles) {
		uv_close((uv_handle_t *)&h->poll, NULL);
		uv_close((uv_handle_t *)&h->timer, NULL);
		uv_close((uv_handle_t *)&h->sample, NULL);
	}
}

void
http_free(struct http *h)
{
	struct MHD_Response *responses[3];

	if (h == NULL)
		return;
	if (h->daemon != NULL)
		MHD_stop_daemon(h->daemon);
	responses[0] = h->page;
	responses[1] = h->metrics;
	responses[2] = h->status;
	for (unsigned i = 0; i < 3; i++)
		if (responses[i] != NULL)
			MHD_destroy_response(responses[i]);
	if (h->statm >= 0)
		close(h->statm);
	history_free(h->history);
	http_access_fini(&h->access);
	free(h);
}
