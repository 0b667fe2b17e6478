/* SPDX-License-Identifier: BSD-3-Clause */
/* The runtime on real sockets: a client logs in to the small server behind a UDP socket of this process. */
#include "rookery/runtime.h"
#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct desk {
	int fd;
	struct server *server;
	char name[64];
	struct endpoint last; /* where the client was heard from */
	struct rk_store *store;
	struct rk_client *client;
	struct rk_runtime *rt;
};

static void
send_out(void *arg, const struct endpoint *to, const uint8_t *data, size_t len)
{
	struct desk *d = arg;
	struct sockaddr_storage ss;
	socklen_t n = endpoint_to_sockaddr(to, &ss);

	assert_int_equal(sendto(d->fd, data, len, 0, (struct sockaddr *)&ss, n), (ssize_t)len);
}

static void
setup_desk(struct desk *d, int family)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	uint8_t secret[RK_KEY_SIZE];
	struct rk_config cfg = {.user = "alice", .device_secret = secret};
	struct endpoint e;

	memset(d, 0, sizeof(*d));
	d->fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_true(d->fd >= 0);
	assert_int_equal(family == AF_INET ? bind(d->fd, (struct sockaddr *)&v4, sizeof(v4))
					   : bind(d->fd, (struct sockaddr *)&v6, sizeof(v6)), 0);
	assert_int_equal(getsockname(d->fd, (struct sockaddr *)&ss, &len), 0);
	assert_int_equal(endpoint_from_sockaddr(&e, (struct sockaddr *)&ss), 0);
	endpoint_format(&e, d->name);
	assert_int_equal(handshake_init(), 0);
	d->server = server_new(send_out, d);
	d->store = rk_store_memory();
	cfg.store = d->store;
	assert_int_equal(rk_device_key_generate(secret), 0);
	assert_int_equal(rk_client_new(&d->client, &cfg), 0);
	assert_int_equal(rk_runtime_open(&d->rt, d->client, d->name), 0);
	assert_string_equal(rk_runtime_server(d->rt), d->name);
}

static void
close_desk(struct desk *d)
{
	rk_runtime_close(d->rt);
	rk_client_free(d->client);
	rk_store_close(d->store);
	server_free(d->server);
	close(d->fd);
}

static void
serve(struct desk *d)
{
	uint8_t buf[2048];
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	ssize_t n;

	while ((n = recvfrom(d->fd, buf, sizeof(buf), 0, (struct sockaddr *)&ss, &len)) >= 0) {
		assert_int_equal(endpoint_from_sockaddr(&d->last, (struct sockaddr *)&ss), 0);
		server_input(d->server, rk_runtime_now_us(), &d->last, buf, (size_t)n);
	}
	server_tick(d->server, rk_runtime_now_us());
}

/* Runs both until the client is told type, waiting in poll for either. */
static void
run_until(struct desk *d, enum rk_event_type type)
{
	struct rk_event e;

	for (int i = 0; i < 10000; i++) {
		struct pollfd extra = {.fd = d->fd, .events = POLLIN};
		int r = rk_runtime_run_once(d->rt, 1000, &extra, 1);

		assert_in_range(r, 0, 1);
		if (r == 1)
			assert_true(extra.revents & POLLIN);
		serve(d);
		while (rk_client_next_event(d->client, &e) == 1) {
			if (e.type == type)
				return;
		}
	}
	fail();
}

static void
login_by(int family)
{
	struct desk d;
	struct rk_event e;
	uint16_t port;
	int fd;

	setup_desk(&d, family);
	assert_int_equal(rk_client_register(d.client, "password"), 0);
	assert_int_equal(rk_client_login(d.client), 0);
	run_until(&d, RK_EVENT_LOGIN);
	port = d.last.port;
	fd = rk_runtime_fd(d.rt);
	assert_true(fd >= 0);
	/* Another port; the session goes along. */
	assert_int_equal(rk_runtime_rebind(d.rt), 0);
	for (int i = 0; i < 10 && d.last.port == port; i++) {
		struct pollfd extra = {.fd = d.fd, .events = POLLIN};

		rk_runtime_run_once(d.rt, 1000, &extra, 1);
		serve(&d);
	}
	assert_int_not_equal(d.last.port, port);
	assert_true(rk_client_resolve(d.client, "alice") > 0);
	run_until(&d, RK_EVENT_RESPONSE);
	assert_int_equal(server_logins(d.server), 1);
	/* The goodbye goes out although nobody runs the runtime any more. */
	rk_client_logout(d.client);
	rk_runtime_close(d.rt);
	d.rt = NULL;
	serve(&d);
	assert_int_equal(server_session(d.server, "alice"), 0);
	assert_int_equal(rk_client_next_event(d.client, &e), 1);
	assert_int_equal(e.type, RK_EVENT_CLOSED);
	close_desk(&d);
}

static void
test_ipv4(void **state)
{
	(void)state;
	login_by(AF_INET);
}

static void
test_ipv6(void **state)
{
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);
	struct sockaddr_in6 sa = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
	int r = fd >= 0 ? bind(fd, (struct sockaddr *)&sa, sizeof(sa)) : -1;

	(void)state;
	if (fd >= 0)
		close(fd);
	if (r < 0)
		skip(); /* a machine without IPv6 */
	login_by(AF_INET6);
}

static void
test_nobody_there(void **state)
{
	struct desk d;

	(void)state;
	setup_desk(&d, AF_INET);
	/* ICMP port unreachable is no error of the runtime, and no end. */
	close(d.fd);
	d.fd = dup(0);
	rk_client_login(d.client);
	for (int i = 0; i < 3; i++)
		assert_int_equal(rk_runtime_run_once(d.rt, 50, NULL, 0), 0);
	close_desk(&d);
}

static void
test_addresses(void **state)
{
	static const struct {
		const char *server;
		int result;
		const char *name;
	} cases[] = {
		{"127.0.0.1", 0, "127.0.0.1:8000"},
		{"127.0.0.1:9", 0, "127.0.0.1:9"},
		{"", -EINVAL, NULL},
		{":8000", -EINVAL, NULL},
		{"127.0.0.1:", -EINVAL, NULL},
		{"127.0.0.1:0", -EINVAL, NULL},
		{"127.0.0.1:65536", -EINVAL, NULL},
		{"127.0.0.1:80x", -EINVAL, NULL},
		{"127.0.0.1:123456", -EINVAL, NULL},
		{"[::1", -EINVAL, NULL},
		{"[::1]8000", -EINVAL, NULL},
		{"[]:80", -EINVAL, NULL},
	};
	struct rk_store *store = rk_store_memory();
	uint8_t secret[RK_KEY_SIZE] = {1};
	struct rk_config cfg = {.user = "alice", .device_secret = secret, .store = store};
	struct rk_client *c;
	struct rk_runtime *rt;

	(void)state;
	assert_int_equal(rk_client_new(&c, &cfg), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(rk_runtime_open(&rt, c, cases[i].server), cases[i].result);
		if (cases[i].result == 0)
			assert_string_equal(rk_runtime_server(rt), cases[i].name);
		else
			assert_null(rt);
		rk_runtime_close(rt);
	}
	assert_true(rk_runtime_wall_ms() > UINT64_C(1600000000000));
	assert_true(rk_runtime_now_us() <= rk_runtime_now_us());
	rk_client_free(c);
	rk_store_close(store);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ipv4),
		cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_nobody_there),
		cmocka_unit_test(test_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
