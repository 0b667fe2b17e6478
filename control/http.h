/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * HTTP for people and monitoring: GET and HEAD of
 *     /            the status page, one self-contained document
 *     /status.json what it shows
 *     /metrics     Prometheus
 *     /health      200 when clients can log in, else 503
 * Read-only. libmicrohttpd parses; its sockets are polled by control's loop. Everything is bounded: connections, memory and
 * time of each, and how often an answer is made anew.
 *
 * Who may read: with metrics.token_file whoever sends the token (Bearer, or as the password of Basic). Without one only
 * loopback addresses are listened on, and requests for another host name are refused (DNS rebinding).
 *
 * Thread-safety: everything on the loop's thread.
 */
#ifndef ROOKERY_CONTROL_HTTP_H
#define ROOKERY_CONTROL_HTTP_H

#include "control/server.h"

#include <uv.h>

#define HTTP_CONNECTIONS_MAX 32
#define HTTP_MEMORY_MAX (16 * 1024) /* of a connection: request line, headers, response headers */
#define HTTP_IDLE_S 10              /* nothing sent or taken for so long */
#define HTTP_REQUEST_MS 15000       /* a whole request and its answer */
#define HTTP_TOKEN_MIN 16
#define HTTP_TOKEN_MAX 256

struct http;

struct http_options {
	uv_loop_t *loop;
	struct server *server;
	const struct histogram *login_latency; /* may be NULL */
	unsigned request_ms; /* 0: HTTP_REQUEST_MS */
};

/* Nobody can ask before http_listen. Returns 0 or -ENOMEM; *out goes to http_close and http_free in either case. */
int http_open(struct http **out, const struct http_options *o);

/*
 * Has the endpoint as metrics.listen and metrics.token_file of this configuration say, whatever it was before; the token is
 * read anew. An address that stays keeps its connections. Returns 0, or -errno with a line in error and everything as it was:
 * -EINVAL (the token file, or an address off loopback without one), -EADDRINUSE, -EACCES, ...
 */
int http_listen(struct http *h, const struct config *config, char *error, size_t error_cap);

/* The port listened on, 0: none. */
uint16_t http_port(const struct http *h);

/* Idempotent. Closes everything; the handles are gone after the loop's next iterations. */
void http_close(struct http *h);
/* After the loop has run out of the handles. NULL is allowed. */
void http_free(struct http *h);

#endif
