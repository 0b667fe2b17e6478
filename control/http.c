// SPDX-License-Identifier: BSD-3-Clause
#include "control/http.h"

#include "control/history.h"
#include "control/http_access.h"
#include "control/http_listener.h"
#include "control/status_page.h"
#include "shared/log.h"

#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define METRICS_AGE_MS 500
#define COUNTS_GAP_MS 10000
#define COUNTS_SHARE 500 /* counting users takes at most 1/500 of the loop's time */

struct http {
	struct http_options options;
	struct http_access access;
	struct http_listener_options listening;
	struct http_listener *listener; /* NULL: nobody can ask */
	uv_timer_t sample;
	bool closing;
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

/* ---- open and close ------------------------------------------------------------------ */

int
http_open(struct http **out, const struct http_options *o)
{
	struct http *h = calloc(1, sizeof(*h));

	*out = h;
	if (h == NULL)
		return -ENOMEM;
	h->options = *o;
	h->listening = (struct http_listener_options){
		.loop = o->loop,
		.request_ms = o->request_ms != 0 ? o->request_ms : HTTP_REQUEST_MS,
		.request = on_request,
		.request_arg = h,
	};
	uv_timer_init(o->loop, &h->sample);
	h->sample.data = h;
	h->statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	h->history = history_new();
	return h->history == NULL ? -ENOMEM : 0;
}

/* The new one beside the old one; where that is in its way (127.0.0.1 and 0.0.0.0 with the same port), in its place. */
static int
listener_replace(struct http *h, const struct endpoint *at)
{
	struct http_listener *fresh, *old = h->listener;
	struct endpoint before;
	int again, rc = http_listener_open(&fresh, &h->listening, at);

	if (rc == -EADDRINUSE && old != NULL && http_listener_address(old)->port == at->port) {
		before = *http_listener_address(old);
		http_listener_close(old);
		old = h->listener = NULL;
		rc = http_listener_open(&fresh, &h->listening, at);
		again = rc < 0 ? http_listener_open(&h->listener, &h->listening, &before) : 0;
		if (again < 0)
			log_error(metrics, "the endpoint's old address is taken, too", "reason=\"%s\"", strerror(-again));
	}
	if (rc < 0)
		return rc;
	http_listener_close(old);
	h->listener = fresh;
	return 0;
}

int
http_listen(struct http *h, const struct config *config, char *error, size_t error_cap)
{
	struct http_access access;
	struct endpoint at;
	int rc;

	if (config->metrics.listen[0] == '\0') {
		http_listener_close(h->listener);
		h->listener = NULL;
		return 0;
	}
	rc = http_access_init(&access, config, &at, error, error_cap);
	if (rc == 0 && (h->listener == NULL || !endpoint_equal(http_listener_address(h->listener), &at))) {
		rc = listener_replace(h, &at);
		if (rc < 0)
			snprintf(error, error_cap, "metrics.listen: %s: %s%s", config->metrics.listen, strerror(-rc),
				 rc == -EADDRINUSE ? "; choose another port, or \"\" for none" : "");
	}
	if (rc == 0) {
		h->access = access;
		/* From now on, also while nobody can look: the graphs have no gap then. */
		if (!uv_is_active((uv_handle_t *)&h->sample))
			uv_timer_start(&h->sample, on_sample, 0, HISTORY_INTERVAL_MS);
	}
	http_access_fini(&access);
	return rc;
}

uint16_t
http_port(const struct http *h)
{
	return h->listener == NULL ? 0 : http_listener_address(h->listener)->port;
}

void
http_close(struct http *h)
{
	if (h == NULL || h->closing)
		return;
	h->closing = true;
	http_listener_close(h->listener);
	h->listener = NULL;
	uv_close((uv_handle_t *)&h->sample, NULL);
}

void
http_free(struct http *h)
{
	struct MHD_Response *responses[3];

	if (h == NULL)
		return;
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
