/* SPDX-License-Identifier: BSD-3-Clause */
/* A UDP endpoint, the same form for IPv4 and IPv6. */
#ifndef ROOKERY_SHARED_ADDRESS_H
#define ROOKERY_SHARED_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

/* IPv4 addresses are held as IPv4-mapped IPv6 (RFC 4291, 2.5.5.2). No padding: two equal
 * endpoints are equal byte for byte. */
struct endpoint {
	uint8_t ip[16];  /* network order */
	uint16_t port;   /* host order */
};

_Static_assert(sizeof(struct endpoint) == 18, "endpoint is compared with memcmp");

#define ENDPOINT_STRLEN 56 /* "[v6]:port" with its NUL */

static inline bool
endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static inline bool
endpoint_is_ipv4(const struct endpoint *e)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	return memcmp(e->ip, mapped, sizeof(mapped)) == 0;
}

/* Reached from this machine alone? */
static inline bool
endpoint_is_loopback(const struct endpoint *e)
{
	static const uint8_t one[16] = {[15] = 1};

	return endpoint_is_ipv4(e) ? e->ip[12] == 127 : memcmp(e->ip, one, sizeof(one)) == 0;
}

/* Sets an IPv4 endpoint; addr in network order, port in host order. */
void endpoint_set_ipv4(struct endpoint *e, const void *addr, uint16_t port);

/* "10.0.0.1:8000", "[fd00::1]:8000"; buf of ENDPOINT_STRLEN. Returns buf. */
const char *endpoint_format(const struct endpoint *e, char *buf);

/* The reverse of endpoint_format; numeric only. A missing port becomes default_port
 * (bare IPv6 without brackets is accepted then). Returns 0 or -EINVAL. */
int endpoint_parse(struct endpoint *e, const char *text, uint16_t default_port);

/* Addresses that begin with the same bits. IPv4 as above: "192.0.2.0/24" has 120. */
struct prefix {
	uint8_t ip[16]; /* the bits behind the prefix are 0 */
	uint8_t bits;   /* 0 to 128 */
};

_Static_assert(sizeof(struct prefix) == 17, "prefixes lie side by side in a cell");

/* "192.0.2.0/24", "2001:db8::/32", or one address; bits behind the prefix are cleared. Returns 0 or -EINVAL. */
int prefix_parse(struct prefix *p, const char *text);
/* The reverse; buf of PREFIX_STRLEN. Returns buf. */
#define PREFIX_STRLEN 52
const char *prefix_format(const struct prefix *p, char *buf);

static inline bool
prefix_holds(const struct prefix *p, const uint8_t ip[16])
{
	unsigned bytes = p->bits / 8, rest = p->bits % 8;

	return memcmp(ip, p->ip, bytes) == 0 && (rest == 0 || ((ip[bytes] ^ p->ip[bytes]) & (0xff00u >> rest) & 0xff) == 0);
}

/* Conversions for the socket interface. endpoint_to_sockaddr returns the length used
 * (sockaddr_in for IPv4, sockaddr_in6 otherwise). endpoint_from_sockaddr returns 0 or
 * -EAFNOSUPPORT. */
socklen_t endpoint_to_sockaddr(const struct endpoint *e, struct sockaddr_storage *ss);
int endpoint_from_sockaddr(struct endpoint *e, const struct sockaddr *sa);

#endif
