/* SPDX-License-Identifier: BSD-3-Clause */
#include "storm.h"

#include "shared/address.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define DATAGRAM 2048
#define MAPPINGS_MAX 8192
#define DELAYED_MAX 16384
#define EVENTS 256
#define BURST 32
#define WAKE UINT32_MAX
#define CLIENTS (UINT32_MAX - 1)

struct mapping {
	int fd; /* connected to the server; -1: free */
	struct sockaddr_in client;
};

struct delayed {
	uint64_t due;
	uint32_t mapping;
	bool to_server;
	uint16_t len;
	uint8_t *data;
};

struct storm {
	struct world *world;
	char address[64];
	struct sockaddr_in server;
	int client_fd, wake, epoll;
	pthread_t thread;

	pthread_mutex_t lock; /* the rest */
	bool stop, forget;
	struct proxy_faults faults;
	struct proxy_stats stats;
	uint64_t random;
	struct mapping mappings[MAPPINGS_MAX];
	uint32_t used;               /* mappings */
	uint32_t by_port[UINT16_MAX + 1]; /* client's port -> mapping + 1 */
	struct delayed delayed[DELAYED_MAX];
	uint32_t delayed_count;
};

/* xorshift64* */
static uint32_t
next_random(struct storm *s)
{
	s->random ^= s->random >> 12;
	s->random ^= s->random << 25;
	s->random ^= s->random >> 27;
	return (uint32_t)((s->random * UINT64_C(2685821657736338717)) >> 33);
}

static bool
chance(struct storm *s, unsigned percent)
{
	return percent && next_random(s) % 100 < percent;
}

static void
emit(struct storm *s, uint32_t mapping, bool to_server, const uint8_t *data, size_t len)
{
	const struct mapping *m = &s->mappings[mapping];

	if (m->fd < 0)
		return;
	if (to_server)
		send(m->fd, data, len, MSG_DONTWAIT);
	else
		sendto(s->client_fd, data, len, MSG_DONTWAIT, (const struct sockaddr *)&m->client, sizeof(m->client));
}

static void
hold(struct storm *s, uint32_t mapping, bool to_server, const uint8_t *data, size_t len)
{
	struct delayed *d;

	if (s->delayed_count == DELAYED_MAX) {
		emit(s, mapping, to_server, data, len);
		return;
	}
	d = &s->delayed[s->delayed_count++];
	d->due = now_ms() + 1 + next_random(s) % (s->faults.delay_ms + 1);
	d->mapping = mapping;
	d->to_server = to_server;
	d->len = (uint16_t)len;
	d->data = malloc(len ? len : 1);
	if (!d->data)
		abort();
	memcpy(d->data, data, len);
}

static void
pass(struct storm *s, uint32_t mapping, bool to_server, const uint8_t *data, size_t len)
{
	if (to_server)
		s->stats.to_server++;
	else
		s->stats.to_client++;
	if (chance(s, s->faults.loss)) {
		s->stats.lost++;
		return;
	}
	if (chance(s, s->faults.duplicate)) {
		s->stats.duplicated++;
		hold(s, mapping, to_server, data, len);
	}
	if (chance(s, s->faults.reorder)) {
		s->stats.delayed++;
		hold(s, mapping, to_server, data, len);
		return;
	}
	emit(s, mapping, to_server, data, len);
}

/* Sends what is due; returns the time-out for epoll_wait. The order among what is due at once is any: that is reordering too. */
static int
release_due(struct storm *s)
{
	uint64_t now = now_ms(), next = UINT64_MAX;

	for (uint32_t i = 0; i < s->delayed_count;) {
		struct delayed *d = &s->delayed[i];

		if (d->due <= now) {
			emit(s, d->mapping, d->to_server, d->data, d->len);
			free(d->data);
			*d = s->delayed[--s->delayed_count];
			continue;
		}
		if (d->due < next)
			next = d->due;
		i++;
	}
	return next == UINT64_MAX ? -1 : (int)(next - now);
}

/* ---- mappings ------------------------------------------------------------------------- */

static void
mappings_clear(struct storm *s)
{
	for (uint32_t i = 0; i < s->used; i++)
		if (s->mappings[i].fd >= 0)
			close(s->mappings[i].fd);
	for (uint32_t i = 0; i < s->delayed_count; i++)
		free(s->delayed[i].data);
	s->delayed_count = 0;
	s->used = 0;
	memset(s->by_port, 0, sizeof(s->by_port));
}

/* Clients are on one loopback address: their port tells them apart. Returns UINT32_MAX without a socket. */
static uint32_t
mapping_of(struct storm *s, const struct sockaddr_in *client)
{
	uint16_t port = ntohs(client->sin_port);
	struct epoll_event e = {.events = EPOLLIN};
	struct mapping *m;

	if (s->by_port[port] != 0)
		return s->by_port[port] - 1;
	if (s->used == MAPPINGS_MAX)
		mappings_clear(s);
	m = &s->mappings[s->used];
	m->client = *client;
	m->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (m->fd < 0)
		return UINT32_MAX;
	e.data.u32 = s->used;
	if (connect(m->fd, (const struct sockaddr *)&s->server, sizeof(s->server)) != 0 ||
	    epoll_ctl(s->epoll, EPOLL_CTL_ADD, m->fd, &e) != 0) {
		close(m->fd);
		return UINT32_MAX;
	}
	s->by_port[port] = ++s->used;
	return s->used - 1;
}

static void
drain_clients(struct storm *s)
{
	uint8_t buf[DATAGRAM];
	struct sockaddr_in from;

	for (int i = 0; i < BURST; i++) {
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(s->client_fd, buf, sizeof(buf), MSG_DONTWAIT, (struct sockaddr *)&from, &len);
		uint32_t mapping;

		if (n < 0)
			return;
		mapping = mapping_of(s, &from);
		if (mapping != UINT32_MAX)
			pass(s, mapping, true, buf, (size_t)n);
	}
}

static void
drain_server(struct storm *s, uint32_t mapping)
{
	uint8_t buf[DATAGRAM];

	for (int i = 0; i < BURST && mapping < s->used; i++) {
		ssize_t n = recv(s->mappings[mapping].fd, buf, sizeof(buf), MSG_DONTWAIT);

		if (n < 0 && errno == ECONNREFUSED)
			continue; /* nobody has the server's port at the moment: a NAT keeps that to itself */
		if (n < 0)
			return;
		pass(s, mapping, false, buf, (size_t)n);
	}
}

static void *
storm_main(void *arg)
{
	struct storm *s = arg;
	struct epoll_event events[EVENTS];

	pthread_mutex_lock(&s->lock);
	while (!s->stop) {
		int timeout = release_due(s), n;
		uint64_t count;

		pthread_mutex_unlock(&s->lock);
		n = epoll_wait(s->epoll, events, EVENTS, timeout);
		pthread_mutex_lock(&s->lock);
		for (int i = 0; i < n; i++) {
			if (events[i].data.u32 == CLIENTS)
				drain_clients(s);
			else if (events[i].data.u32 != WAKE)
				drain_server(s, events[i].data.u32);
			else if (read(s->wake, &count, sizeof(count)) < 0)
				continue;
		}
		if (s->forget)
			mappings_clear(s);
		s->forget = false;
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static void
wake(struct storm *s)
{
	uint64_t one = 1;

	if (write(s->wake, &one, sizeof(one)) < 0)
		abort();
}

/* ---- from outside ---------------------------------------------------------------------- */

struct storm *
storm_start(struct world *w, const char *server, uint64_t seed)
{
	struct storm *s = calloc(1, sizeof(*s));
	struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct epoll_event clients = {.events = EPOLLIN, .data.u32 = CLIENTS}, waker = {.events = EPOLLIN, .data.u32 = WAKE};
	struct sockaddr_storage ss;
	struct endpoint to;
	socklen_t len = sizeof(here);
	int size = 8 << 20;

	if (!s)
		abort();
	s->world = w;
	s->random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	if (endpoint_parse(&to, server, 0) != 0 || endpoint_to_sockaddr(&to, &ss) != sizeof(s->server))
		world_fail(w, "storm: %s is no IPv4 address", server);
	memcpy(&s->server, &ss, sizeof(s->server));
	s->client_fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (s->client_fd < 0 || s->wake < 0 || s->epoll < 0 || bind(s->client_fd, (struct sockaddr *)&here, sizeof(here)) != 0 ||
	    getsockname(s->client_fd, (struct sockaddr *)&here, &len) != 0 ||
	    epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->client_fd, &clients) != 0 ||
	    epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->wake, &waker) != 0)
		world_fail(w, "storm: %s", strerror(errno));
	setsockopt(s->client_fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	snprintf(s->address, sizeof(s->address), "127.0.0.1:%u", ntohs(here.sin_port));
	pthread_mutex_init(&s->lock, NULL);
	if (pthread_create(&s->thread, NULL, storm_main, s) != 0)
		abort();
	return s;
}

const char *
storm_address(const struct storm *s)
{
	return s->address;
}

void
storm_set_faults(struct storm *s, const struct proxy_faults *faults)
{
	pthread_mutex_lock(&s->lock);
	s->faults = *faults;
	pthread_mutex_unlock(&s->lock);
}

void
storm_forget(struct storm *s)
{
	pthread_mutex_lock(&s->lock);
	s->forget = true;
	pthread_mutex_unlock(&s->lock);
	wake(s);
}

struct proxy_stats
storm_stats(struct storm *s)
{
	struct proxy_stats stats;

	pthread_mutex_lock(&s->lock);
	stats = s->stats;
	pthread_mutex_unlock(&s->lock);
	return stats;
}

void
storm_free(struct storm *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_mutex_unlock(&s->lock);
	wake(s);
	pthread_join(s->thread, NULL);
	mappings_clear(s);
	close(s->client_fd);
	close(s->wake);
	close(s->epoll);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
