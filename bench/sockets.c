/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What each option of a UDP socket gains, for the socket port's choices (dataplane/port_socket.c): cycles per packet inside the system
 * calls, in short phases by turns, on loopback. The rest of a packet's way through the kernel is the same for all and inside the clock
 * only where the kernel does it within the call (sending).
 *
 *	bench-sockets [ROUNDS]
 */
#include "fail.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <x86intrin.h>

#define BURST 32
#define PACKETS 512 /* a phase */
#define SIZE 340    /* UDP payload: a DELIVER of 256 bytes */
#define FLOWS 32
#define LARGE 65536
#define ROUNDS_MAX 501
#define BUFFER (4 << 20)

struct peer {
	int fd;
	struct sockaddr_in address;
};

static struct peer server, clients[FLOWS];
static uint8_t data[BURST][LARGE];
static struct iovec vectors[BURST];
static struct mmsghdr messages[BURST];

static void
enlarge(int fd, int bytes)
{
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) != 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) != 0)
		fail("socket buffers: %s; root is needed", strerror(errno));
}

static void
set(int fd, int level, int option, int value)
{
	if (setsockopt(fd, level, option, &value, sizeof(value)) != 0)
		fail("socket option %d: %s", option, strerror(errno));
}

static void
peer_open(struct peer *p)
{
	socklen_t length = sizeof(p->address);

	p->address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	p->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (p->fd < 0 || bind(p->fd, (struct sockaddr *)&p->address, length) != 0 ||
	    getsockname(p->fd, (struct sockaddr *)&p->address, &length) != 0)
		fail("a UDP socket: %s", strerror(errno));
}

static void
drain(int fd)
{
	while (recv(fd, data[0], LARGE, MSG_DONTWAIT) > 0)
		;
}

/* n packets from the clients, each flow in its turn; at once by its run. */
static void
clients_send(unsigned n, unsigned flows, unsigned run)
{
	for (unsigned i = 0; i < n; i += run) {
		int fd = clients[i / run % flows].fd;

		if (run > 1)
			set(fd, IPPROTO_UDP, UDP_SEGMENT, SIZE);
		(void)sendto(fd, data[0], run * SIZE, 0, (struct sockaddr *)&server.address, sizeof(server.address));
		if (run > 1)
			set(fd, IPPROTO_UDP, UDP_SEGMENT, 0);
	}
}

/* ---- inside the clock ---- */

static void
undisturbed(bool on)
{
	struct sched_param p = {.sched_priority = on ? 1 : 0};

	(void)sched_setscheduler(0, on ? SCHED_FIFO : SCHED_OTHER, &p);
}

static double
receive(unsigned batch, size_t expected)
{
	static uint8_t controls[BURST][CMSG_SPACE(sizeof(int))];
	static struct sockaddr_in names[BURST];
	uint64_t start;
	size_t bytes = 0;
	int n;

	undisturbed(true);
	start = __rdtsc();
	do {
		for (unsigned i = 0; i < batch; i++) {
			vectors[i] = (struct iovec){data[i], LARGE};
			messages[i].msg_hdr = (struct msghdr){.msg_name = &names[i], .msg_namelen = sizeof(names[i]), .msg_iov = &vectors[i],
							      .msg_iovlen = 1, .msg_control = controls[i], .msg_controllen = sizeof(controls[i])};
		}
		n = batch == 1 ? (int)recvmsg(server.fd, &messages[0].msg_hdr, MSG_DONTWAIT) : recvmmsg(server.fd, messages, batch, MSG_DONTWAIT, NULL);
		for (int i = 0; i < (batch == 1 ? n > 0 : n); i++)
			bytes += batch == 1 ? (size_t)n : messages[i].msg_len;
	} while (n > 0);
	start = __rdtsc() - start;
	undisturbed(false);
	if (bytes != expected)
		fail("%zu bytes of %zu came", bytes, expected);
	return (double)start / ((double)bytes / SIZE);
}

/* The server sends a phase: batch messages a call, run packets of one destination in each. */
static double
transmit(unsigned batch, unsigned run)
{
	static uint8_t control[CMSG_SPACE(sizeof(uint16_t))] __attribute__((aligned(8)));
	struct cmsghdr *c = (struct cmsghdr *)control;
	const uint16_t size = SIZE;
	uint64_t start;

	*c = (struct cmsghdr){.cmsg_level = IPPROTO_UDP, .cmsg_type = UDP_SEGMENT, .cmsg_len = CMSG_LEN(sizeof(size))};
	memcpy(CMSG_DATA(c), &size, sizeof(size));
	undisturbed(true);
	start = __rdtsc();
	for (unsigned sent = 0; sent < PACKETS; sent += batch * run) {
		for (unsigned i = 0; i < batch; i++) {
			vectors[i] = (struct iovec){data[i], run * SIZE};
			messages[i].msg_hdr = (struct msghdr){.msg_name = &clients[(sent / run + i) % FLOWS].address,
							      .msg_namelen = sizeof(struct sockaddr_in), .msg_iov = &vectors[i], .msg_iovlen = 1};
			if (run > 1) {
				messages[i].msg_hdr.msg_control = control;
				messages[i].msg_hdr.msg_controllen = sizeof(control);
			}
		}
		if (batch == 1 ? sendmsg(server.fd, &messages[0].msg_hdr, 0) < 0 : sendmmsg(server.fd, messages, batch, 0) != (int)batch)
			fail("sending: %s", strerror(errno));
	}
	start = __rdtsc() - start;
	undisturbed(false);
	for (unsigned i = 0; i < FLOWS; i++)
		drain(clients[i].fd);
	return (double)start / PACKETS;
}

/* ---- variants ---- */

static double
receive_burst(void)
{
	clients_send(PACKETS, FLOWS, 1);
	return receive(BURST, PACKETS * SIZE);
}

static double
receive_single(void)
{
	clients_send(PACKETS, FLOWS, 1);
	return receive(1, PACKETS * SIZE);
}

static double
receive_gro(unsigned run)
{
	double cycles;

	set(server.fd, IPPROTO_UDP, UDP_GRO, 1);
	clients_send(PACKETS, FLOWS, run);
	cycles = receive(BURST, PACKETS * SIZE);
	set(server.fd, IPPROTO_UDP, UDP_GRO, 0);
	return cycles;
}

static double
receive_gro_one(void)
{
	return receive_gro(1);
}

static double
receive_gro_two(void)
{
	return receive_gro(2);
}

static double
receive_gro_sixteen(void)
{
	return receive_gro(16);
}

static double
receive_busy_poll(void)
{
	double cycles;

	set(server.fd, SOL_SOCKET, SO_BUSY_POLL, 50);
	cycles = receive_burst();
	set(server.fd, SOL_SOCKET, SO_BUSY_POLL, 0);
	return cycles;
}

static double
send_burst(void)
{
	return transmit(BURST, 1);
}

static double
send_single(void)
{
	return transmit(1, 1);
}

static double
send_gso_two(void)
{
	return transmit(BURST / 2, 2);
}

static double
send_gso_sixteen(void)
{
	return transmit(BURST / 16, 16);
}

/* How many packets wait in a socket that nobody reads. */
static double
held(void)
{
	double n = 0;

	clients_send(16 * PACKETS, FLOWS, 1);
	while (recv(server.fd, data[0], LARGE, MSG_DONTWAIT) > 0)
		n++;
	return n;
}

static double
held_enlarged(void)
{
	double n;

	enlarge(server.fd, BUFFER);
	n = held();
	return n;
}

static double
held_default(void)
{
	int bytes = 0;
	FILE *f = fopen("/proc/sys/net/core/rmem_default", "r");
	double n;

	if (f == NULL || fscanf(f, "%d", &bytes) != 1)
		fail("net.core.rmem_default cannot be read");
	fclose(f);
	enlarge(server.fd, bytes / 2); /* the kernel doubles what it is told */
	n = held();
	enlarge(server.fd, BUFFER);
	return n;
}

static const struct {
	const char *name, *unit;
	double (*run)(void);
} variants[] = {
	{"recvmmsg, 32 packets a call", "cycles/packet", receive_burst},
	{"recvmsg, one a call", "cycles/packet", receive_single},
	{"recvmmsg, UDP_GRO, nothing to join", "cycles/packet", receive_gro_one},
	{"recvmmsg, UDP_GRO, runs of 2", "cycles/packet", receive_gro_two},
	{"recvmmsg, UDP_GRO, runs of 16", "cycles/packet", receive_gro_sixteen},
	{"recvmmsg, SO_BUSY_POLL 50 us", "cycles/packet", receive_busy_poll},
	{"sendmmsg, 32 packets a call", "cycles/packet", send_burst},
	{"sendmsg, one a call", "cycles/packet", send_single},
	{"sendmmsg, UDP_SEGMENT, runs of 2", "cycles/packet", send_gso_two},
	{"sendmmsg, UDP_SEGMENT, runs of 16", "cycles/packet", send_gso_sixteen},
	{"receive buffer as the kernel makes it", "packets held", held_default},
	{"receive buffer of 4 MiB, forced", "packets held", held_enlarged},
};

#define VARIANTS (sizeof(variants) / sizeof(variants[0]))

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int
main(int argc, char **argv)
{
	static double figures[VARIANTS][ROUNDS_MAX];
	unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 51;

	if (rounds < 1 || rounds > ROUNDS_MAX)
		fail("%u rounds: 1 to %d", rounds, ROUNDS_MAX);
	peer_open(&server);
	enlarge(server.fd, BUFFER);
	for (unsigned i = 0; i < FLOWS; i++) {
		peer_open(&clients[i]);
		enlarge(clients[i].fd, BUFFER);
	}
	for (unsigned r = 0; r < rounds; r++)
		for (unsigned v = 0; v < VARIANTS; v++)
			figures[v][r] = variants[v].run();
	for (unsigned v = 0; v < VARIANTS; v++) {
		qsort(figures[v], rounds, sizeof(figures[v][0]), compare);
		printf("%-40s %8.0f (%.0f-%.0f) %s\n", variants[v].name, figures[v][rounds / 2], figures[v][0], figures[v][rounds - 1],
		       variants[v].unit);
	}
	return 0;
}
