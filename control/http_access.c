// SPDX-License-Identifier: BSD-3-Clause
#include "control/http_access.h"

#include "control/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define PORT_DEFAULT 8001 /* as config.c */

static void
hash(uint8_t out[32], const char *text, size_t length)
{
	crypto_generichash(out, 32, (const uint8_t *)text, length, NULL, 0);
}

/* ---- the token ----------------------------------------------------------------------- */

static int
token_read(struct http_access *a, const char *path, char *error, size_t cap)
{
	char text[HTTP_TOKEN_MAX + 2];
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
	size_t length = n < 0 ? 0 : (size_t)n;
	int rc = -EINVAL;

	while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r'))
		length--;
	if (n < 0 || fstat(fd, &st) < 0)
		snprintf(error, cap, "metrics.token_file: %s: %s", path, strerror(errno));
	else if ((st.st_mode & 077) != 0)
		snprintf(error, cap, "metrics.token_file: %s can be read by others; run: chmod 600 %s", path, path);
	else if (length < HTTP_TOKEN_MIN || length > HTTP_TOKEN_MAX)
		snprintf(error, cap,
			 "metrics.token_file: %s must hold %d to %d characters; run: openssl rand -hex 32 > %s", path,
			 HTTP_TOKEN_MIN, HTTP_TOKEN_MAX, path);
	else if (memchr(text, '\n', length) != NULL || memchr(text, '\0', length) != NULL)
		snprintf(error, cap, "metrics.token_file: %s must be one line", path);
	else
		rc = 0;
	if (fd >= 0)
		close(fd);
	if (rc == 0) {
		hash(a->token_hash, text, length);
		a->token_set = true;
	}
	explicit_bzero(text, sizeof(text));
	return rc;
}

static bool
token_right(const struct http_access *a, const char *token, size_t length)
{
	uint8_t given[32];

	hash(given, token, length);
	return sodium_memcmp(given, a->token_hash, sizeof(given)) == 0;
}

/* "Bearer TOKEN", or "Basic BASE64(anybody:TOKEN)", which browsers ask for by themselves. */
static bool
authorized(const struct http_access *a, const char *authorization)
{
	char decoded[2 * HTTP_TOKEN_MAX];
	const char *colon;
	size_t length = 0;
	bool right;

	if (authorization == NULL)
		return false;
	if (strncasecmp(authorization, "Bearer ", 7) == 0)
		return token_right(a, authorization + 7, strlen(authorization + 7));
	if (strncasecmp(authorization, "Basic ", 6) != 0 ||
	    sodium_base642bin((uint8_t *)decoded, sizeof(decoded), authorization + 6, strlen(authorization + 6), NULL, &length,
			      NULL, sodium_base64_VARIANT_ORIGINAL) != 0)
		return false;
	colon = memchr(decoded, ':', length);
	right = colon != NULL && token_right(a, colon + 1, length - (size_t)(colon + 1 - decoded));
	explicit_bzero(decoded, sizeof(decoded));
	return right;
}

/* ---- the address --------------------------------------------------------------------- */

/* A web page whose name was made to point to 127.0.0.1 would send that name. */
static bool
host_local(const char *host)
{
	struct endpoint e;
	size_t n;

	if (host == NULL)
		return true; /* HTTP/1.0: no browser */
	if (endpoint_parse(&e, host, PORT_DEFAULT) == 0)
		return true;
	n = strcspn(host, ":");
	return n == 9 && strncasecmp(host, "localhost", n) == 0;
}

int
http_access_init(struct http_access *a, const struct config *c, struct endpoint *where, char *error, size_t cap)
{
	const char *token_file = c->metrics.token_file;

	memset(a, 0, sizeof(*a));
	if (endpoint_parse(where, c->metrics.listen, PORT_DEFAULT) < 0) {
		snprintf(error, cap, "metrics.listen: \"%s\" is no address, as \"127.0.0.1:8001\"", c->metrics.listen);
		return -EINVAL;
	}
	if (token_file[0] != '\0')
		return token_read(a, token_file, error, cap);
	if (endpoint_is_loopback(where))
		return 0;
	snprintf(error, cap, "metrics.listen: %s can be reached from other machines: set metrics.token_file, too",
		 c->metrics.listen);
	return -EINVAL;
}

void
http_access_fini(struct http_access *a)
{
	explicit_bzero(a, sizeof(*a));
}

enum http_verdict
http_access_check(const struct http_access *a, const char *authorization, const char *host)
{
	if (!a->token_set)
		return host_local(host) ? HTTP_ALLOWED : HTTP_WRONG_HOST;
	return authorized(a, authorization) ? HTTP_ALLOWED : HTTP_NO_TOKEN;
}
