/* SPDX-License-Identifier: BSD-3-Clause */
/* A UDP socket and poll around the client core. */
#include "rookery/runtime.h"
#include "shared/address.h"
#include "shared/wire.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ADDRESSES_MAX 8
#define POLL_MAX 64
/* Datagrams taken between two looks at what the client wants to send. */
#define BURST 64

struct rk_runtime {
	struct rk_client *client;
	int fd;
	struct endpoint servers[ADDRESSES_MAX];
	unsigned n, current;
	bool heard; /* from the current server address */
	char name[ENDPOINT_STRLEN];
};

uint64_t
rk_runtime_now_us(void)
{
	struct timespec t;

	if (clock_gettime(CLOCK_BOOTTIME, &t) < 0)
		clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t
rk_runtime_wall_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* "HOST", "HOST:PORT", "ADDRESS:PORT", "[V6]:PORT", "V6" into host and port. */
static int
split(const char *server, char *host, size_t cap, char *port, size_t port_cap)
{
	const char *colon = strrchr(server, ':'), *end;
	size_t len;

	if (server[0] == '[') {
		end = strchr(server, ']');
		if (end == NULL || (end[1] != '\0' && end[1] != ':'))
			return -EINVAL;
		server++;
		colon = end[1] == ':' ? end + 1 : NULL;
	} else if (colon != NULL && strchr(server, ':') != colon) {
		colon = NULL; /* a bare IPv6 address */
		end = server + strlen(server);
	} else {
		end = colon != NULL ? colon : server + strlen(server);
	}
	len = (size_t)(end - server);
	if (len == 0 || len >= cap)
		return -EINVAL;
	memcpy(host, server, len);
	host[len] = '\0';
	if (colon == NULL) {
		snprintf(port, port_cap, "%d", WIRE_PORT);
		return 0;
	}
	len = strlen(colon + 1);
	if (len == 0 || len >= port_cap || strspn(colon + 1, "0123456789") != len)
		return -EINVAL;
	memcpy(port, colon + 1, len + 1);
	return strtoul(port, NULL, 10) >= 1 && strtoul(port, NULL, 10) <= 65535 ? 0 : -EINVAL;
}

static int
resolve(struct rk_runtime *rt, const char *server)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM};
	struct addrinfo *list = NULL;
	char host[256], port[6];
	int r = split(server, host, sizeof(host), port, sizeof(port));

	if (r < 0)
		return r;
	r = getaddrinfo(host, port, &hints, &list);
	if (r == EAI_SYSTEM)
		return -errno;
	if (r != 0)
		return r == EAI_AGAIN ? -EAGAIN : r == EAI_MEMORY ? -ENOMEM : -ENOENT;
	for (const struct addrinfo *a = list; a != NULL && rt->n < ADDRESSES_MAX; a = a->ai_next) {
		if (endpoint_from_sockaddr(&rt->servers[rt->n], a->ai_addr) == 0)
			rt->n++;
	}
	freeaddrinfo(list);
	return rt->n > 0 ? 0 : -ENOENT;
}

/* Connected, so that only the server's datagrams come in. */
static int
open_socket(struct rk_runtime *rt)
{
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(&rt->servers[rt->current], &ss);
	int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&ss, len) < 0) {
		int error = errno;

		close(fd);
		return -error;
	}
	endpoint_format(&rt->servers[rt->current], rt->name);
	return fd;
}

int
rk_runtime_open(struct rk_runtime **rt, struct rk_client *c, const char *server)
{
	struct rk_runtime *n = calloc(1, sizeof(*n));
	int r;

	*rt = NULL;
	if (n == NULL)
		return -ENOMEM;
	n->client = c;
	r = resolve(n, server);
	if (r == 0) {
		/* An address family may be missing on this machine. */
		do
			r = n->fd = open_socket(n);
		while (r < 0 && ++n->current < n->n);
	}
	if (r < 0) {
		free(n);
		return r;
	}
	*rt = n;
	return 0;
}

static void
flush(struct rk_runtime *rt)
{
	uint8_t buf[RK_DATAGRAM_MAX];
	size_t n;

	/* An error of send is a lost datagram: a full queue, or what ICMP said about an earlier one. */
	while ((n = rk_client_output(rt->client, rk_runtime_now_us(), rk_runtime_wall_ms(), buf,
				     sizeof(buf))) > 0) {
		if (send(rt->fd, buf, n, 0) < 0 && errno == ECONNREFUSED)
			(void)!send(rt->fd, buf, n, 0); /* the error belonged to the one before */
	}
}

void
rk_runtime_close(struct rk_runtime *rt)
{
	if (rt == NULL)
		return;
	flush(rt);
	close(rt->fd);
	free(rt);
}

int
rk_runtime_rebind(struct rk_runtime *rt)
{
	int fd = open_socket(rt);

	if (fd < 0)
		return fd;
	close(rt->fd);
	rt->fd = fd;
	rk_client_rebound(rt->client);
	return 0;
}

static void
receive(struct rk_runtime *rt)
{
	uint8_t buf[RK_DATAGRAM_MAX + 1];

	for (int i = 0; i < BURST; i++) {
		ssize_t n = recv(rt->fd, buf, sizeof(buf), 0);

		if (n < 0 && errno != ECONNREFUSED && errno != EINTR)
			return;
		if (n < 0)
			continue;
		rt->heard = true;
		rk_client_input(rt->client, rk_runtime_now_us(), rk_runtime_wall_ms(), buf, (size_t)n);
	}
}

/* The server is not heard: another port of ours gets around a dead NAT mapping, another address of the server
 * around a dead path. */
static void
look_elsewhere(struct rk_runtime *rt)
{
	if (!rk_client_take_rebind(rt->client))
		return;
	for (unsigned i = 0; i < rt->n; i++) {
		if (!rt->heard || i > 0)
			rt->current = (rt->current + 1) % rt->n;
		if (rk_runtime_rebind(rt) == 0)
			break;
	}
	rt->heard = false;
}

static int
wait_time(const struct rk_runtime *rt, int timeout_ms)
{
	uint64_t deadline = rk_client_deadline(rt->client), now = rk_runtime_now_us(), ms;

	if (deadline == UINT64_MAX)
		return timeout_ms;
	/* Rounded up: a wake-up just before the deadline would find nothing to do. */
	ms = deadline > now ? (deadline - now + 999) / 1000 : 0;
	if (ms > INT_MAX)
		ms = INT_MAX;
	return timeout_ms >= 0 && (uint64_t)timeout_ms < ms ? timeout_ms : (int)ms;
}

int
rk_runtime_run_once(struct rk_runtime *rt, int timeout_ms, struct pollfd *extra, unsigned n)
{
	struct pollfd fds[POLL_MAX];
	int r;

	if (n >= POLL_MAX)
		return -EINVAL;
	flush(rt);
	look_elsewhere(rt);
	fds[0] = (struct pollfd){.fd = rt->fd, .events = POLLIN};
	if (n > 0)
		memcpy(&fds[1], extra, n * sizeof(*extra));
	r = poll(fds, n + 1, wait_time(rt, timeout_ms));
	if (r < 0)
		return -errno;
	for (unsigned i = 0; i < n; i++)
		extra[i].revents = fds[i + 1].revents;
	if (fds[0].revents != 0)
		receive(rt);
	flush(rt);
	return r - (fds[0].revents != 0);
}

int
rk_runtime_fd(const struct rk_runtime *rt)
{
	return rt->fd;
}

const char *
rk_runtime_server(const struct rk_runtime *rt)
{
	return rt->name;
}
