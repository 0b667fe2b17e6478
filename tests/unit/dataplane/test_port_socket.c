/* SPDX-License-Identifier: BSD-3-Clause */
/* The socket port against real sockets on the loopback interface. */
#include "dataplane/port.h"
#include "eal_fixture.h"
#include "shared/counters.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <rte_mbuf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define QUEUES 2
#define WAIT_MS 5000 /* never reached when all is well */

struct world {
	struct config_port config;
	struct port port;
	struct rte_mempool *pool[QUEUES];
	struct port_queue queue[QUEUES];
	uint64_t counters[QUEUES][COUNTER_COUNT];
	uint16_t udp_port;
	char error[512];
};

static int
world_open(struct world *w, const char *listen, uint16_t queues)
{
	static unsigned number;
	char name[32], text[256];
	unsigned i;
	int rc;

	memset(w, 0, sizeof(*w));
	w->config.type = PORT_SOCKET;
	w->config.listen = (char *)(uintptr_t)listen;
	for (i = 0; i < QUEUES; i++) {
		snprintf(name, sizeof(name), "socket%u", number++);
		w->pool[i] = rte_pktmbuf_pool_create(name, 255, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
						     SOCKET_ID_ANY);
		assert_non_null(w->pool[i]);
		w->queue[i] = (struct port_queue){.port = &w->port,
						  .queue = (uint16_t)i,
						  .index = 5,
						  .pool = w->pool[i],
						  .counters = w->counters[i]};
	}
	rc = port_open(&w->port, &w->config, 5, queues, w->pool, w->error, sizeof(w->error));
	if (rc == 0) {
		w->port.ops->describe(&w->port, text, sizeof(text));
		assert_int_equal(strncmp(text, "socket ", 7), 0);
		w->udp_port = (uint16_t)atoi(strrchr(text, ':') + 1);
		assert_int_not_equal(w->udp_port, 0);
	}
	return rc;
}

static void
world_close(struct world *w)
{
	unsigned i;

	port_close(&w->port);
	for (i = 0; i < QUEUES; i++) {
		assert_int_equal(rte_mempool_in_use_count(w->pool[i]), 0);
		rte_mempool_free(w->pool[i]);
	}
}

/* A client socket that is connected: it takes answers from the address it sent to, no others. */
static int
client(const char *ip, uint16_t udp_port)
{
	struct sockaddr_in6 to6 = {.sin6_family = AF_INET6, .sin6_port = htons(udp_port)};
	struct sockaddr_in to4 = {.sin_family = AF_INET, .sin_port = htons(udp_port)};
	bool ipv4 = inet_pton(AF_INET, ip, &to4.sin_addr) == 1;
	int fd = socket(ipv4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);

	assert_true(fd >= 0);
	if (!ipv4)
		assert_int_equal(inet_pton(AF_INET6, ip, &to6.sin6_addr), 1);
	assert_int_equal(connect(fd, ipv4 ? (struct sockaddr *)&to4 : (struct sockaddr *)&to6,
				 ipv4 ? sizeof(to4) : sizeof(to6)),
			 0);
	return fd;
}

static uint16_t
client_port(int fd)
{
	struct sockaddr_in6 own;
	socklen_t len = sizeof(own);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&own, &len), 0);
	return ntohs(own.sin6_port); /* at the same place in sockaddr_in */
}

/* Waits for packets as a worker does and takes up to max from any queue; *from is the queue. */
static uint16_t
receive(struct world *w, struct rte_mbuf **pkts, uint16_t max, unsigned *from)
{
	unsigned i, attempt;
	uint16_t n;

	*from = 0;
	for (attempt = 0; attempt < WAIT_MS; attempt++) {
		for (i = 0; i < w->port.queues; i++) {
			n = w->port.ops->rx(&w->queue[i], pkts, max, 0);
			if (n > 0) {
				*from = i;
				return n;
			}
		}
		w->port.ops->wait(&w->queue[attempt % w->port.queues], 1000);
	}
	fail_msg("nothing arrived");
	return 0;
}

static void
expect_answer(int fd, const void *data, size_t len)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint8_t buf[2048];

	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), len);
	assert_memory_equal(buf, data, len);
}

static void
echo_once(struct world *w, const char *ip, size_t len)
{
	int fd = client(ip, w->udp_port);
	struct rte_mbuf *m;
	uint8_t data[1200];
	uint64_t failed;
	unsigned from;
	size_t i;

	for (i = 0; i < len; i++)
		data[i] = (uint8_t)(i + len);
	assert_int_equal(send(fd, data, len, 0), len);
	assert_int_equal(receive(w, &m, 1, &from), 1);
	assert_int_equal(m->data_len, len);
	assert_int_equal(m->pkt_len, len);
	assert_memory_equal(rte_pktmbuf_mtod(m, void *), data, len);
	assert_int_equal(packet_info(m)->peer.port, client_port(fd));
	assert_int_equal(packet_info(m)->port, 5);
	assert_int_equal(endpoint_is_ipv4(&packet_info(m)->peer), strchr(ip, ':') == NULL);
	failed = w->counters[from][COUNTER_tx_failed];
	w->port.ops->tx(&w->queue[from], &m, 1, 0);
	expect_answer(fd, data, len);
	assert_int_equal(w->counters[from][COUNTER_tx_failed], failed);
	close(fd);
}

static bool
have_ipv6(void)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);
	bool have = fd >= 0 && bind(fd, (struct sockaddr *)&any, sizeof(any)) == 0;

	if (fd >= 0)
		close(fd);
	return have;
}

static void
test_echo(void **state)
{
	static const size_t sizes[] = {0, 1, 12, 1199, 1200};
	struct world w;
	unsigned i;

	(void)state;
	assert_int_equal(world_open(&w, "127.0.0.1:0", 1), 0);
	for (i = 0; i < RTE_DIM(sizes); i++)
		echo_once(&w, "127.0.0.1", sizes[i]);
	assert_int_equal(w.counters[0][COUNTER_rx_packets], 5);
	assert_int_equal(w.counters[0][COUNTER_rx_bytes], 1 + 12 + 1199 + 1200);
	world_close(&w);
}

static void
test_ipv6(void **state)
{
	struct world w;
	int fd;

	(void)state;
	if (!have_ipv6())
		skip();
	assert_int_equal(world_open(&w, "[::1]:0", 1), 0);
	echo_once(&w, "::1", 100);
	world_close(&w);
	/* IPv6 only: another server may have the IPv4 port of the same number */
	assert_int_equal(world_open(&w, "[::]:0", 1), 0);
	echo_once(&w, "::1", 100);
	fd = client("127.0.0.1", w.udp_port);
	assert_int_equal(send(fd, "x", 1, 0), 1);
	assert_int_equal(send(fd, "x", 1, 0), -1);
	assert_int_equal(errno, ECONNREFUSED);
	close(fd);
	world_close(&w);
}

/* A server on all addresses answers from the one that was asked. */
static void
test_wildcard(void **state)
{
	struct world w;
	int round;

	(void)state;
	assert_int_equal(world_open(&w, "0.0.0.0:0", 1), 0);
	for (round = 0; round < 2; round++) {
		echo_once(&w, "127.0.0.1", 20);
		echo_once(&w, "127.0.0.2", 20);
		echo_once(&w, "127.7.7.7", 20);
	}
	world_close(&w);
}

static void
test_oversize(void **state)
{
	static const uint8_t large[2000];
	struct rte_mbuf *pkts[PORT_BURST];
	struct world w;
	unsigned from;
	int fd, i;

	(void)state;
	assert_int_equal(world_open(&w, "127.0.0.1:0", 1), 0);
	fd = client("127.0.0.1", w.udp_port);
	for (i = 0; i < 3; i++) {
		assert_int_equal(send(fd, large, 1201, 0), 1201);
		assert_int_equal(send(fd, large, sizeof(large), 0), sizeof(large));
	}
	assert_int_equal(send(fd, large, 1200, 0), 1200);
	assert_int_equal(receive(&w, pkts, PORT_BURST, &from), 1);
	assert_int_equal(w.counters[0][COUNTER_drop_oversize], 6);
	assert_int_equal(w.counters[0][COUNTER_rx_packets], 7);
	assert_int_equal(w.counters[0][COUNTER_rx_bytes], 1200);
	rte_pktmbuf_free(pkts[0]);
	close(fd);
	world_close(&w);
}

/* Several bursts' worth, in order; then more packets to send than one burst has. */
static void
test_bursts(void **state)
{
	struct rte_mbuf *pkts[100];
	uint16_t i, n = 0;
	struct world w;
	unsigned from;
	int fd;

	(void)state;
	assert_int_equal(world_open(&w, "127.0.0.1:0", 1), 0);
	fd = client("127.0.0.1", w.udp_port);
	for (i = 0; i < 100; i++)
		assert_int_equal(send(fd, &i, sizeof(i), 0), sizeof(i));
	while (n < 100)
		n += receive(&w, pkts + n, RTE_MIN(100 - n, n % 2 == 0 ? 7 : PORT_BURST), &from);
	for (i = 0; i < 100; i++)
		assert_memory_equal(rte_pktmbuf_mtod(pkts[i], void *), &i, sizeof(i));
	w.port.ops->tx(&w.queue[0], pkts, 100, 0);
	for (i = 0; i < 100; i++)
		expect_answer(fd, &i, sizeof(i));
	assert_int_equal(w.counters[0][COUNTER_tx_failed], 0);
	close(fd);
	world_close(&w);
}

/* Nothing is lost or counted when packets run out: they wait in the socket. */
static void
test_no_mbufs(void **state)
{
	struct rte_mbuf *all[255], *m;
	struct world w;
	unsigned from;
	int fd;

	(void)state;
	assert_int_equal(world_open(&w, "127.0.0.1:0", 1), 0);
	assert_int_equal(rte_pktmbuf_alloc_bulk(w.pool[0], all, 255), 0);
	fd = client("127.0.0.1", w.udp_port);
	assert_int_equal(send(fd, "x", 1, 0), 1);
	assert_int_equal(w.port.ops->rx(&w.queue[0], &m, 1, 0), 0);
	rte_pktmbuf_free_bulk(all, 255);
	assert_int_equal(receive(&w, &m, 1, &from), 1);
	assert_int_equal(w.counters[0][COUNTER_rx_packets], 1);
	rte_pktmbuf_free(m);
	close(fd);
	world_close(&w);
}

/* The kernel spreads flows over the queues; any queue can answer any peer. */
static void
test_two_queues(void **state)
{
	unsigned i, k, from, seen[QUEUES] = {0};
	struct rte_mbuf *pkts[PORT_BURST];
	struct world w;
	int fd[64];
	uint16_t n;

	(void)state;
	assert_int_equal(world_open(&w, "127.0.0.1:0", 2), 0);
	for (i = 0; i < RTE_DIM(fd); i++) {
		fd[i] = client("127.0.0.1", w.udp_port);
		assert_int_equal(send(fd[i], &i, sizeof(i), 0), sizeof(i));
	}
	for (i = 0; i < RTE_DIM(fd); i += n) {
		n = receive(&w, pkts, PORT_BURST, &from);
		seen[from] += n;
		for (k = 0; k < n; k++)
			w.port.ops->tx(&w.queue[k % 2], &pkts[k], 1, 0);
	}
	assert_true(seen[0] > 0 && seen[1] > 0);
	for (i = 0; i < RTE_DIM(fd); i++) {
		expect_answer(fd[i], &i, sizeof(i));
		close(fd[i]);
	}
	world_close(&w);
}

/* A peer that is gone costs its own packets only. */
static void
test_dead_peer(void **state)
{
	struct endpoint dead, forbidden;
	struct rte_mbuf *pkts[3];
	struct world w;
	unsigned round;
	int fd;

	(void)state;
	assert_int_equal(world_open(&w, "127.0.0.1:0", 1), 0);
	fd = client("127.0.0.1", w.udp_port);
	endpoint_set_ipv4(&dead, &(struct in_addr){htonl(INADDR_LOOPBACK)}, client_port(fd));
	/* without SO_BROADCAST: EACCES */
	endpoint_set_ipv4(&forbidden, &(struct in_addr){htonl(INADDR_BROADCAST)}, 9);
	close(fd);
	fd = client("127.0.0.1", w.udp_port);
	for (round = 1; round <= 3; round++) {
		assert_int_equal(rte_pktmbuf_alloc_bulk(w.pool[0], pkts, 3), 0);
		packet_info(pkts[0])->peer = dead;
		packet_info(pkts[1])->peer = forbidden;
		endpoint_set_ipv4(&packet_info(pkts[2])->peer, &(struct in_addr){htonl(INADDR_LOOPBACK)},
				  client_port(fd));
		memcpy(rte_pktmbuf_append(pkts[2], 2), "ok", 2);
		w.port.ops->tx(&w.queue[0], pkts, 3, 0);
		expect_answer(fd, "ok", 2);
		assert_int_equal(w.counters[0][COUNTER_tx_failed], round);
		assert_int_equal(w.port.ops->rx(&w.queue[0], pkts, 1, 0), 0);
	}
	close(fd);
	echo_once(&w, "127.0.0.1", 10);
	world_close(&w);
}

static void
test_port_in_use(void **state)
{
	struct world first, second;
	char listen[64], expected[256];
	unsigned queues;

	(void)state;
	for (queues = 1; queues <= 2; queues++) {
		/* both share with each other if asked to: the same user's second server must be told all the
		 * same */
		assert_int_equal(world_open(&first, "127.0.0.1:0", queues), 0);
		snprintf(listen, sizeof(listen), "127.0.0.1:%u", first.udp_port);
		assert_int_equal(world_open(&second, listen, queues), -EADDRINUSE);
		snprintf(expected, sizeof(expected),
			 "port 5: %s is in use by another program; stop it or change "
			 "dataplane.ports[5].listen",
			 listen);
		assert_string_equal(second.error, expected);
		world_close(&second);
		echo_once(&first, "127.0.0.1", 10);
		world_close(&first);
		assert_int_equal(world_open(&second, listen, queues), 0);
		world_close(&second);
	}
}

static void
test_bad_listen(void **state)
{
	static const char *const bad[] = {
		"", "localhost:8000", "127.0.0.1:70000", "127.0.0.1:", "8000", "[::1", "127.0.0.1:80a"};
	struct world w;
	unsigned i;

	(void)state;
	for (i = 0; i < RTE_DIM(bad); i++) {
		assert_int_equal(world_open(&w, bad[i], 1), -EINVAL);
		assert_non_null(strstr(w.error, "dataplane.ports[5].listen"));
		world_close(&w);
	}
	assert_int_equal(world_open(&w, "192.0.2.1:0", 1), -EADDRNOTAVAIL);
	assert_non_null(strstr(w.error, "no address of this machine"));
	world_close(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_wildcard),
		cmocka_unit_test(test_oversize),
		cmocka_unit_test(test_bursts),
		cmocka_unit_test(test_no_mbufs),
		cmocka_unit_test(test_two_queues),
		cmocka_unit_test(test_dead_peer),
		cmocka_unit_test(test_port_in_use),
		cmocka_unit_test(test_bad_listen),
	};

	return cmocka_run_group_tests(tests, eal_fixture_setup, eal_fixture_teardown);
}
