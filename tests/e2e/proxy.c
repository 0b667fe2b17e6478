/* SPDX-License-Identifier: BSD-3-Clause */
#include "proxy.h"

#include "shared/address.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define DATAGRAM 2048
#define DELAYED_MAX 4096
#define OLD_MAX 64
#define TYPES 16

struct delayed {
	uint64_t due;
	uint64_t order; /* equal times leave in the order of arrival */
	bool to_server;
	uint16_t len;
	uint8_t *data;
};

struct proxy {
	struct world *world;
	struct proxy *next;
	char address[64];
	char netns[48];
	pthread_t thread;
	int wake; /* eventfd */
	int client_fd;
	struct endpoint server;

	pthread_mutex_t lock; /* all below */
	bool stop;
	int server_fd;
	int old_fd[OLD_MAX];
	unsigned old_count;
	struct sockaddr_storage client;
	socklen_t client_len;
	struct proxy_faults faults;
	struct proxy_stats stats;
	uint64_t random;
	uint64_t order;
	struct delayed delayed[DELAYED_MAX];
	unsigned delayed_count;
	uint8_t last[TYPES][DATAGRAM];
	size_t last_len[TYPES];
};

/* xorshift64*: a seed gives the same run again. */
static uint64_t
next_random(struct proxy *p)
{
	p->random ^= p->random >> 12;
	p->random ^= p->random << 25;
	p->random ^= p->random >> 27;
	return p->random * UINT64_C(2685821657736338717);
}

static bool
chance(struct proxy *p, unsigned percent)
{
	return percent && (next_random(p) >> 33) % 100 < percent;
}

static void
emit(struct proxy *p, bool to_server, const uint8_t *data, size_t len)
{
	struct sockaddr_storage to;
	socklen_t to_len;

	if (to_server) {
		to_len = endpoint_to_sockaddr(&p->server, &to);
		sendto(p->server_fd, data, len, MSG_DONTWAIT, (struct sockaddr *)&to, to_len);
	} else if (p->client_len) {
		sendto(p->client_fd, data, len, MSG_DONTWAIT, (struct sockaddr *)&p->client, p->client_len);
	}
}

static void
hold(struct proxy *p, bool to_server, const uint8_t *data, size_t len)
{
	struct delayed *d;

	if (p->delayed_count == DELAYED_MAX) {
		emit(p, to_server, data, len);
		return;
	}
	d = &p->delayed[p->delayed_count++];
	d->due = now_ms() + 1 + (next_random(p) >> 33) % (p->faults.delay_ms + 1);
	d->order = p->order++;
	d->to_server = to_server;
	d->len = (uint16_t)len;
	d->data = malloc(len ? len : 1);
	if (!d->data)
		abort();
	memcpy(d->data, data, len);
}

static void
pass(struct proxy *p, bool to_server, const uint8_t *data, size_t len)
{
	if (to_server)
		p->stats.to_server++;
	else
		p->stats.to_client++;
	if (to_server && len > 0 && data[0] < TYPES) {
		memcpy(p->last[data[0]], data, len);
		p->last_len[data[0]] = len;
	}
	if (chance(p, p->faults.loss)) {
		p->stats.lost++;
		return;
	}
	if (chance(p, p->faults.duplicate)) {
		p->stats.duplicated++;
		hold(p, to_server, data, len);
	}
	if (chance(p, p->faults.reorder)) {
		p->stats.delayed++;
		hold(p, to_server, data, len);
		return;
	}
	emit(p, to_server, data, len);
}

/* Sends what is due, earliest first; returns the time-out for poll. */
static int
release_due(struct proxy *p)
{
	for (;;) {
		struct delayed *first = NULL;
		uint64_t now = now_ms();

		for (unsigned i = 0; i < p->delayed_count; i++) {
			struct delayed *d = &p->delayed[i];

			if (!first || d->due < first->due || (d->due == first->due && d->order < first->order))
				first = d;
		}
		if (!first)
			return -1;
		if (first->due > now)
			return (int)(first->due - now);
		emit(p, first->to_server, first->data, first->len);
		free(first->data);
		*first = p->delayed[--p->delayed_count];
	}
}

static void
drain(struct proxy *p, int fd, bool from_client)
{
	uint8_t buf[DATAGRAM];
	struct sockaddr_storage from;

	for (;;) {
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(fd, buf, sizeof(buf), MSG_DONTWAIT, (struct sockaddr *)&from, &len);

		if (n < 0)
			return;
		if (from_client) {
			/* A client may open a new socket: the latest source counts. */
			memcpy(&p->client, &from, len);
			p->client_len = len;
		}
		pass(p, from_client, buf, (size_t)n);
	}
}

static void
drain_old(struct proxy *p)
{
	uint8_t buf[DATAGRAM];

	for (unsigned i = 0; i < p->old_count; i++)
		while (recv(p->old_fd[i], buf, sizeof(buf), MSG_DONTWAIT) >= 0)
			p->stats.late++;
}

static void *
proxy_main(void *arg)
{
	struct proxy *p = arg;

	pthread_mutex_lock(&p->lock);
	while (!p->stop) {
		struct pollfd fds[3] = {{.fd = p->wake, .events = POLLIN},
					{.fd = p->client_fd, .events = POLLIN},
					{.fd = p->server_fd, .events = POLLIN}};
		int timeout = release_due(p);
		uint64_t count;

		pthread_mutex_unlock(&p->lock);
		poll(fds, 3, timeout);
		pthread_mutex_lock(&p->lock);
		if (fds[0].revents && read(p->wake, &count, sizeof(count)) < 0)
			continue;
		drain(p, p->client_fd, true);
		drain(p, p->server_fd, false);
		drain_old(p);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static void
wake(struct proxy *p)
{
	uint64_t one = 1;

	if (write(p->wake, &one, sizeof(one)) < 0)
		abort();
}

static int
bound_socket(struct world *w, const char *netns, const struct endpoint *local)
{
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(local, &ss);
	int fd = socket_in(netns, ss.ss_family, SOCK_DGRAM, 0), size = 4 << 20;

	if (fd < 0 || bind(fd, (struct sockaddr *)&ss, len) != 0)
		world_fail(w, "proxy: bind: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	return fd;
}

static struct endpoint
local_endpoint(int fd)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct endpoint e;

	if (getsockname(fd, (struct sockaddr *)&ss, &len) != 0 || endpoint_from_sockaddr(&e, (struct sockaddr *)&ss) != 0)
		abort();
	return e;
}

struct proxy *
proxy_start(struct world *w, const char *server, const char *netns, uint64_t seed)
{
	struct proxy *p = calloc(1, sizeof(*p));
	struct endpoint any, loopback, here;

	if (!p)
		abort();
	p->world = w;
	snprintf(p->netns, sizeof(p->netns), "%s", netns ? netns : "");
	p->random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	if (endpoint_parse(&p->server, server, 0) != 0)
		world_fail(w, "proxy: %s is no address", server);
	if (endpoint_is_ipv4(&p->server)) {
		endpoint_parse(&any, "0.0.0.0", 0);
		endpoint_parse(&loopback, "127.0.0.1", 0);
	} else {
		endpoint_parse(&any, "::", 0);
		endpoint_parse(&loopback, "::1", 0);
	}
	p->client_fd = bound_socket(w, p->netns, &loopback);
	p->server_fd = bound_socket(w, p->netns, &any);
	here = local_endpoint(p->client_fd);
	endpoint_format(&here, p->address);
	p->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&p->lock, NULL);
	if (p->wake < 0 || pthread_create(&p->thread, NULL, proxy_main, p) != 0)
		abort();
	p->next = w->proxies;
	w->proxies = p;
	return p;
}

const char *
proxy_address(const struct proxy *p)
{
	return p->address;
}

void
proxy_set_faults(struct proxy *p, const struct proxy_faults *faults)
{
	pthread_mutex_lock(&p->lock);
	p->faults = *faults;
	pthread_mutex_unlock(&p->lock);
}

uint16_t
proxy_rebind(struct proxy *p, const char *address)
{
	struct endpoint local;
	int fd;

	if (endpoint_parse(&local, address ? address : endpoint_is_ipv4(&p->server) ? "0.0.0.0" : "::", 0) != 0)
		world_fail(p->world, "proxy: %s is no address", address);
	fd = bound_socket(p->world, p->netns, &local);
	pthread_mutex_lock(&p->lock);
	if (p->old_count == OLD_MAX)
		close(p->old_fd[--p->old_count]);
	/* Kept open: a NAT without the mapping is silent, it does not answer "port unreachable". */
	p->old_fd[p->old_count++] = p->server_fd;
	p->server_fd = fd;
	pthread_mutex_unlock(&p->lock);
	wake(p);
	return local_endpoint(fd).port;
}

uint16_t
proxy_source_port(struct proxy *p)
{
	uint16_t port;

	pthread_mutex_lock(&p->lock);
	port = local_endpoint(p->server_fd).port;
	pthread_mutex_unlock(&p->lock);
	return port;
}

struct proxy_stats
proxy_stats(struct proxy *p)
{
	struct proxy_stats s;

	pthread_mutex_lock(&p->lock);
	s = p->stats;
	pthread_mutex_unlock(&p->lock);
	return s;
}

size_t
proxy_last_datagram(struct proxy *p, uint8_t type, uint8_t *buf, size_t cap)
{
	size_t len = 0;

	pthread_mutex_lock(&p->lock);
	if (type < TYPES && p->last_len[type] <= cap) {
		len = p->last_len[type];
		memcpy(buf, p->last[type], len);
	}
	pthread_mutex_unlock(&p->lock);
	return len;
}

void
proxies_free(struct world *w)
{
	struct proxy *next;

	for (struct proxy *p = w->proxies; p; p = next) {
		next = p->next;
		pthread_mutex_lock(&p->lock);
		p->stop = true;
		pthread_mutex_unlock(&p->lock);
		wake(p);
		pthread_join(p->thread, NULL);
		for (unsigned i = 0; i < p->delayed_count; i++)
			free(p->delayed[i].data);
		for (unsigned i = 0; i < p->old_count; i++)
			close(p->old_fd[i]);
		close(p->client_fd);
		close(p->server_fd);
		close(p->wake);
		pthread_mutex_destroy(&p->lock);
		free(p);
	}
	w->proxies = NULL;
}
