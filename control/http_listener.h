/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An address that HTTP is served at: a listening socket and libmicrohttpd's work on it, within control's loop. Connections,
 * their memory and their time are bounded (http.h).
 *
 * Thread-safety: everything on the loop's thread.
 */
#ifndef ROOKERY_CONTROL_HTTP_LISTENER_H
#define ROOKERY_CONTROL_HTTP_LISTENER_H

#include "shared/address.h"

#include <microhttpd.h>
#include <uv.h>

struct http_listener;

struct http_listener_options {
	uv_loop_t *loop;
	unsigned request_ms; /* a whole request and its answer */
	MHD_AccessHandlerCallback request;
	void *request_arg;
};

/* Returns 0 or -errno: -EADDRINUSE, -EACCES, -EADDRNOTAVAIL, -ENOMEM, ... */
int http_listener_open(struct http_listener **out, const struct http_listener_options *o, const struct endpoint *at);

/* The address is free at once, and no request is answered any more; the rest goes with the loop's next iterations. NULL is
 * allowed. */
void http_listener_close(struct http_listener *l);

/* With the port that was got for port 0. */
const struct endpoint *http_listener_address(const struct http_listener *l);

#endif
