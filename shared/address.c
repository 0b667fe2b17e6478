/* SPDX-License-Identifier: BSD-3-Clause */
#include "shared/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

void
endpoint_set_ipv4(struct endpoint *e, const void *addr, uint16_t port)
{
	memcpy(e->ip, mapped_prefix, sizeof(mapped_prefix));
	memcpy(e->ip + sizeof(mapped_prefix), addr, 4);
	e->port = port;
}

const char *
endpoint_format(const struct endpoint *e, char *buf)
{
	char ip[INET6_ADDRSTRLEN];

	if (endpoint_is_ipv4(e)) {
		inet_ntop(AF_INET, e->ip + sizeof(mapped_prefix), ip, sizeof(ip));
		snprintf(buf, ENDPOINT_STRLEN, "%s:%u", ip, e->port);
	} else {
		inet_ntop(AF_INET6, e->ip, ip, sizeof(ip));
		snprintf(buf, ENDPOINT_STRLEN, "[%s]:%u", ip, e->port);
	}
	return buf;
}

/* Digits only: strtoul would take signs, spaces and longer numbers. */
static int
port_parse(uint16_t *port, const char *text)
{
	uint32_t value = 0;
	size_t i;

	for (i = 0; text[i] != '\0'; i++) {
		if (text[i] < '0' || text[i] > '9' || i >= 5)
			return -EINVAL;
		value = value * 10 + (uint32_t)(text[i] - '0');
	}
	if (i == 0 || value > UINT16_MAX)
		return -EINVAL;
	*port = (uint16_t)value;
	return 0;
}

int
endpoint_parse(struct endpoint *e, const char *text, uint16_t default_port)
{
	char host[INET6_ADDRSTRLEN];
	const char *colon, *end, *port_text = NULL;
	struct endpoint parsed;
	struct in_addr v4;
	size_t host_len;

	colon = strchr(text, ':');
	if (text[0] == '[') {
		text++;
		end = strchr(text, ']');
		if (end == NULL || (end[1] != '\0' && end[1] != ':'))
			return -EINVAL;
		if (end[1] == ':')
			port_text = end + 2;
	} else if (colon != NULL && strchr(colon + 1, ':') == NULL) {
		end = colon;
		port_text = colon + 1;
	} else {
		end = text + strlen(text);
	}
	host_len = (size_t)(end - text);
	if (host_len >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, host_len);
	host[host_len] = '\0';

	parsed.port = default_port;
	if (port_text != NULL && port_parse(&parsed.port, port_text) < 0)
		return -EINVAL;
	/* An IPv4 address in brackets is no form of anything: after '[' only IPv6. */
	if (*end != ']' && inet_pton(AF_INET, host, &v4) == 1)
		endpoint_set_ipv4(&parsed, &v4, parsed.port);
	else if (inet_pton(AF_INET6, host, parsed.ip) != 1)
		return -EINVAL;
	*e = parsed;
	return 0;
}

/* Of an address with `most` bits, "" being all of them. -1: it is none. */
static int
prefix_bits(const char *slash, int most)
{
	size_t len;

	if (*slash == '\0')
		return most;
	len = strlen(++slash);
	if (len < 1 || len > 3 || strspn(slash, "0123456789") != len || atoi(slash) > most)
		return -1;
	return atoi(slash);
}

int
prefix_parse(struct prefix *p, const char *text)
{
	size_t len = strcspn(text, "/");
	char ip[INET6_ADDRSTRLEN];
	struct prefix parsed;
	struct endpoint e;
	struct in_addr v4;
	int bits;

	if (len >= sizeof(ip))
		return -EINVAL;
	memcpy(ip, text, len);
	ip[len] = '\0';
	if (inet_pton(AF_INET, ip, &v4) == 1) {
		endpoint_set_ipv4(&e, &v4, 0);
		memcpy(parsed.ip, e.ip, sizeof(parsed.ip));
		bits = prefix_bits(text + len, 32);
		bits = bits < 0 ? bits : bits + 96;
	} else {
		bits = inet_pton(AF_INET6, ip, parsed.ip) == 1 ? prefix_bits(text + len, 128) : -1;
	}
	if (bits < 0)
		return -EINVAL;
	parsed.bits = (uint8_t)bits;
	for (int i = 0; i < 16; i++) {
		int left = bits - i * 8;

		parsed.ip[i] &= (uint8_t)(left >= 8 ? 0xff : left <= 0 ? 0 : 0xff00 >> left);
	}
	*p = parsed;
	return 0;
}

const char *
prefix_format(const struct prefix *p, char *buf)
{
	bool v4 = p->bits >= 96 && memcmp(p->ip, mapped_prefix, sizeof(mapped_prefix)) == 0;
	size_t len;

	inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? p->ip + sizeof(mapped_prefix) : p->ip, buf, PREFIX_STRLEN);
	len = strlen(buf);
	if (p->bits != 128)
		snprintf(buf + len, PREFIX_STRLEN - len, "/%d", v4 ? p->bits - 96 : p->bits);
	return buf;
}

socklen_t
endpoint_to_sockaddr(const struct endpoint *e, struct sockaddr_storage *ss)
{
	if (endpoint_is_ipv4(e)) {
		struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(e->port)};

		memcpy(&sin.sin_addr, e->ip + sizeof(mapped_prefix), 4);
		memcpy(ss, &sin, sizeof(sin));
		return sizeof(sin);
	}

	struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6, .sin6_port = htons(e->port)};

	memcpy(&sin6.sin6_addr, e->ip, 16);
	memcpy(ss, &sin6, sizeof(sin6));
	return sizeof(sin6);
}

int
endpoint_from_sockaddr(struct endpoint *e, const struct sockaddr *sa)
{
	struct sockaddr_in6 sin6;
	struct sockaddr_in sin;

	switch (sa->sa_family) {
	case AF_INET:
		memcpy(&sin, sa, sizeof(sin));
		endpoint_set_ipv4(e, &sin.sin_addr, ntohs(sin.sin_port));
		return 0;
	case AF_INET6:
		memcpy(&sin6, sa, sizeof(sin6));
		memcpy(e->ip, &sin6.sin6_addr, 16);
		e->port = ntohs(sin6.sin6_port);
		return 0;
	default:
		return -EAFNOSUPPORT;
	}
}
