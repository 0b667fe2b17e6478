/* SPDX-License-Identifier: BSD-3-Clause */
/* Who may read over HTTP: see http.h. */
#ifndef ROOKERY_CONTROL_HTTP_ACCESS_H
#define ROOKERY_CONTROL_HTTP_ACCESS_H

#include "shared/address.h"
#include "shared/config.h"

struct http_access {
	bool token_set;
	uint8_t token_hash[32]; /* compared by hash: neither content nor length shows in the time */
};

enum http_verdict { HTTP_ALLOWED, HTTP_WRONG_HOST, HTTP_NO_TOKEN };

/* Reads metrics.token_file and metrics.listen, the latter into where. Returns 0, or -EINVAL with a line in error. */
int http_access_init(struct http_access *a, const struct config *c, struct endpoint *where, char *error, size_t error_cap);
void http_access_fini(struct http_access *a);

/* The headers Authorization and Host of a request, NULL where it has none. */
enum http_verdict http_access_check(const struct http_access *a, const char *authorization, const char *host);

#endif
