/* SPDX-License-Identifier: BSD-3-Clause */
#include "netns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

int
socket_in(const char *netns, int domain, int type, int protocol)
{
	char path[128];
	int own, target, fd;

	if (!netns || !netns[0]) {
		fd = socket(domain, type | SOCK_CLOEXEC, protocol);
		return fd < 0 ? -errno : fd;
	}
	snprintf(path, sizeof(path), "/run/netns/%s", netns);
	own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	target = open(path, O_RDONLY | O_CLOEXEC);
	if (own < 0 || target < 0 || setns(target, CLONE_NEWNET) != 0)
		abort();
	fd = socket(domain, type | SOCK_CLOEXEC, protocol);
	if (fd < 0)
		fd = -errno;
	/* A thread that stayed in the wrong namespace would make every later test lie. */
	if (setns(own, CLONE_NEWNET) != 0)
		abort();
	close(own);
	close(target);
	return fd;
}

/* Free on both families at once? */
static bool
port_is_free(uint16_t port)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT, .sin6_port = htons(port)};
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), off = 0;
	bool ok;

	if (fd < 0)
		abort();
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	ok = bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
	close(fd);
	return ok;
}

/* Takes the port among all tests on this machine: an abstract socket, which goes with the process and belongs to the network namespace,
 * as ports do. */
static bool
port_is_ours(uint16_t port)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		abort();
	snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, WORLD_PREFIX "port-%u", port);
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
		return true; /* and it stays open */
	close(fd);
	return false;
}

uint16_t
free_udp_port(void)
{
	/* Below the ports that the kernel gives to clients by itself: one of theirs must not take the server's while it is being
	 * restarted. */
	const unsigned first = 10000, count = 20000;
	unsigned at = (unsigned)getpid() * 7919u;

	for (unsigned i = 0; i < count; i++) {
		uint16_t port = (uint16_t)(first + (at + i) % count);

		if (port_is_ours(port) && port_is_free(port))
			return port;
	}
	abort();
}

void
netns_delete(const char *name)
{
	pid_t pid = fork();

	if (pid == 0) {
		execl("/usr/sbin/ip", "ip", "netns", "delete", name, (char *)NULL);
		execlp("ip", "ip", "netns", "delete", name, (char *)NULL);
		_exit(127);
	}
	waitpid(pid, NULL, 0);
}

static void
client_addresses(struct world *w)
{
	static const char *const last[] = {"2", "3", "4"};
	char a[64];

	for (size_t i = 0; i < sizeof(last) / sizeof(last[0]); i++) {
		snprintf(a, sizeof(a), "10.77.0.%s/24", last[i]);
		tool(w, "ip", "-n", w->client_ns, "addr", "add", a, "dev", NETNS_CLIENT_IFACE);
		snprintf(a, sizeof(a), "fd77::%s/64", last[i]);
		tool(w, "ip", "-n", w->client_ns, "addr", "add", a, "dev", NETNS_CLIENT_IFACE, "nodad");
	}
}

void
netns_make(struct world *w)
{
	/* The directory's random part makes the names unique among the worlds of one test program. */
	const char *unique = strrchr(w->dir, '-') + 1;
	/* As many queues as workers: AF_XDP sees only the queues that somebody polls. */
	char queues[16];

	snprintf(w->server_ns, sizeof(w->server_ns), WORLD_PREFIX "%d-%s-s", (int)getpid(), unique);
	snprintf(w->client_ns, sizeof(w->client_ns), WORLD_PREFIX "%d-%s-c", (int)getpid(), unique);
	snprintf(queues, sizeof(queues), "%u", w->place.workers);
	tool(w, "ip", "netns", "add", w->server_ns);
	tool(w, "ip", "netns", "add", w->client_ns);
	tool(w, "ip", "-n", w->server_ns, "link", "add", NETNS_SERVER_IFACE, "numrxqueues", queues, "numtxqueues", queues,
	     "type", "veth", "peer", "name", NETNS_CLIENT_IFACE, "numrxqueues", queues, "numtxqueues", queues, "netns",
	     w->client_ns);
	/* No address of the kernel's own on the server's side: it must not answer instead of the dataplane. */
	tool(w, "ip", "netns", "exec", w->server_ns, "sysctl", "-q", "-w", "net.ipv6.conf.all.disable_ipv6=1",
	     "net.ipv6.conf.default.disable_ipv6=1");
	tool(w, "ip", "netns", "exec", w->client_ns, "sysctl", "-q", "-w", "net.ipv4.ping_group_range=0 0");
	tool(w, "ip", "-n", w->server_ns, "link", "set", NETNS_SERVER_IFACE, "up");
	tool(w, "ip", "-n", w->server_ns, "link", "set", "lo", "up");
	tool(w, "ip", "-n", w->client_ns, "link", "set", NETNS_CLIENT_IFACE, "up");
	tool(w, "ip", "-n", w->client_ns, "link", "set", "lo", "up");
	client_addresses(w);
	netns_peer_tx_offload(w, false);
}

void
netns_tap_up(struct world *w)
{
	tool(w, "ip", "-n", w->client_ns, "link", "set", NETNS_CLIENT_IFACE, "up");
	client_addresses(w);
}

void
netns_make_one(struct world *w)
{
	snprintf(w->server_ns, sizeof(w->server_ns), WORLD_PREFIX "%d-%s-l", (int)getpid(), strrchr(w->dir, '-') + 1);
	snprintf(w->client_ns, sizeof(w->client_ns), "%s", w->server_ns);
	tool(w, "ip", "netns", "add", w->server_ns);
	tool(w, "ip", "-n", w->server_ns, "link", "set", "lo", "up");
	tool(w, "ip", "netns", "exec", w->client_ns, "sysctl", "-q", "-w", "net.ipv4.ping_group_range=0 0");
}

void
netns_peer_tx_offload(struct world *w, bool on)
{
	tool(w, "ip", "netns", "exec", w->client_ns, "ethtool", "-K", NETNS_CLIENT_IFACE, "tx", on ? "on" : "off");
}

static int
ping_socket(struct world *w, int family, struct sockaddr_storage *to, socklen_t *len)
{
	int fd;

	memset(to, 0, sizeof(*to));
	if (family == AF_INET) {
		struct sockaddr_in *a = (struct sockaddr_in *)to;

		a->sin_family = AF_INET;
		inet_pton(AF_INET, NETNS_SERVER4, &a->sin_addr);
		*len = sizeof(*a);
		fd = socket_in(w->client_ns, AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
	} else {
		struct sockaddr_in6 *a = (struct sockaddr_in6 *)to;

		a->sin6_family = AF_INET6;
		inet_pton(AF_INET6, NETNS_SERVER6, &a->sin6_addr);
		*len = sizeof(*a);
		fd = socket_in(w->client_ns, AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6);
	}
	if (fd < 0)
		world_fail(w, "ping socket: %s", strerror(-fd));
	return fd;
}

void
netns_ping(struct world *w, int family, unsigned count, size_t size)
{
	struct sockaddr_storage to;
	socklen_t to_len;
	int fd = ping_socket(w, family, &to, &to_len);
	uint8_t request[2048], reply[2048];

	world_check(w, size + 8 <= sizeof(request));
	for (unsigned i = 1; i <= count; i++) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		uint64_t deadline = deadline_in(WAIT_EVENT);
		ssize_t n = -1;

		memset(request, 0, 8);
		request[0] = family == AF_INET ? ICMP_ECHO : ICMP6_ECHO_REQUEST;
		request[7] = (uint8_t)i; /* sequence number; the kernel fills in the identifier and the checksum */
		for (size_t b = 0; b < size; b++)
			request[8 + b] = (uint8_t)(b + i);
		/* The first may be lost while the neighbour is resolved: once a second, as ping does. */
		while (n < 0 && now_ms() < deadline) {
			if (sendto(fd, request, 8 + size, 0, (struct sockaddr *)&to, to_len) < 0)
				world_fail(w, "ping: %s", strerror(errno));
			if (poll(&p, 1, 1000) > 0)
				n = recv(fd, reply, sizeof(reply), 0);
		}
		if (n != (ssize_t)(8 + size) || memcmp(reply + 8, request + 8, size) != 0 || reply[7] != request[7])
			world_fail(w, "ping %u over IPv%d: %zd bytes came back, %zu were sent", i,
				   family == AF_INET ? 4 : 6, n, 8 + size);
	}
	close(fd);
}
