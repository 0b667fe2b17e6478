/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * LOGINs from forged addresses (a raw socket; 127.0.0.0/8 is 16 million addresses), while two clients chat and a third comes in.
 *
 * ROOKERY_FLOOD_ROUNDS=N goes at full speed and measures messages/s: N times without the flood, with one to a port beside the server's
 * (what its sender takes from the machine), and with one to the server. The sender shares the machine, so
 * only docs/limits.md's figures of `rookbench` say what the worker itself does.
 */
#include "client.h"
#include "raw.h"
#include "scenario.h"
#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOGINS 64
#define BATCH 64
#define SERIES 200
#define CHATS 5 /* series of a round that is measured */
#define GROWTH_MAX_KB 8192

struct packet {
	struct iphdr ip;
	struct udphdr udp;
	uint8_t login[RAW_CAP];
};

struct flood {
	struct world *world;
	struct packet packets[LOGINS];
	size_t lengths[LOGINS];
	pid_t pid;
	bool beside; /* to another port, where nobody listens */
	bool paced; /* other tests run beside this one: 64,000 a second at most */
};

/* True LOGINs: whoever looks only at the datagram cannot tell them from honest ones. */
static void
flood_prepare(struct flood *f, struct raw *r)
{
	for (unsigned i = 0; i < LOGINS; i++) {
		struct handshake_client h = {0};
		struct packet *p = &f->packets[i];
		size_t len;

		handshake_keypair_generate(&r->device);
		len = raw_login_datagram(r, &h, r->timestamp, p->login);
		if (i % 2 == 0) /* a mac2 that has to be looked at */
			randombytes_buf(p->login + len - HANDSHAKE_MAC, HANDSHAKE_MAC);
		f->lengths[i] = sizeof(p->ip) + sizeof(p->udp) + len;
		p->ip = (struct iphdr){.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP,
				       .tot_len = htons((uint16_t)f->lengths[i]), .daddr = htonl(INADDR_LOOPBACK)};
		p->udp = (struct udphdr){.dest = htons(r->server.port), .len = htons((uint16_t)(sizeof(p->udp) + len))};
	}
}

/* The child: until it is killed. */
static void
flood_run(struct flood *f, int fd)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	static struct packet copies[BATCH];
	struct mmsghdr messages[BATCH];
	struct iovec iov[BATCH];
	uint64_t x = 88172645463325252;
	uint16_t port = ntohs(f->packets[0].udp.dest);

	for (;;) {
		for (unsigned i = 0; i < BATCH; i++) {
			unsigned k = i % LOGINS;

			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			memcpy(&copies[i], &f->packets[k], f->lengths[k]);
			copies[i].ip.saddr = htonl(0x7f000000 | (uint32_t)(x & 0xffffff));
			copies[i].udp.dest = htons((uint16_t)(port + f->beside));
			copies[i].udp.source = htons((uint16_t)(1024 + (x >> 40) % 60000));
			iov[i] = (struct iovec){.iov_base = &copies[i], .iov_len = f->lengths[k]};
			messages[i].msg_hdr = (struct msghdr){.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &iov[i],
							      .msg_iovlen = 1};
		}
		if (f->paced)
			nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
		if (sendmmsg(fd, messages, BATCH, 0) < 0 && errno != ENOBUFS && errno != EPERM && errno != EINVAL)
			_exit(1);
	}
}

static void
flood_start(struct flood *f)
{
	int fd = socket_in(f->world->client_ns, AF_INET, SOCK_RAW, IPPROTO_RAW);

	world_check(f->world, fd >= 0);
	f->pid = fork();
	world_check(f->world, f->pid >= 0);
	if (f->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)!nice(10);
		flood_run(f, fd);
	}
	close(fd);
}

static void
flood_stop(struct flood *f)
{
	int status;

	kill(f->pid, SIGKILL);
	world_check(f->world, waitpid(f->pid, &status, 0) == f->pid && WIFSIGNALED(status));
}

static long
resident_kb(struct world *w, const char *program)
{
	char path[64], *text;
	const char *line;
	long kb = -1;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)server_child(w, program, 0));
	text = file_text(path);
	line = text ? strstr(text, "VmRSS:") : NULL;
	if (line)
		kb = strtol(line + 6, NULL, 10);
	free(text);
	world_check(w, kb > 0);
	return kb;
}

static void
chat(struct client *a, struct client *b, const char *prefix)
{
	client_send_series(a, b->user, prefix, SERIES);
	client_send_series(b, a->user, prefix, SERIES);
	client_expect_series(b, a->user, prefix, SERIES);
	client_expect_series(a, b->user, prefix, SERIES);
	client_expect_levels(a, SERIES, "delivered");
	client_expect_levels(b, SERIES, "delivered");
}

static void
measure(struct flood *f, struct client *a, struct client *b, unsigned rounds)
{
	static const char *const names[] = {"without", "beside", "with"};

	for (unsigned i = 0; i < 3 * rounds; i++) {
		uint64_t rx = counter(f->world, "rx_packets"), looked = counter(f->world, "cookies_sent");
		uint64_t start, ms;
		char prefix[32];

		f->beside = i % 3 == 1;
		if (i % 3 != 0)
			flood_start(f);
		start = now_ms();
		for (unsigned k = 0; k < CHATS; k++) {
			snprintf(prefix, sizeof(prefix), "measured %u %u", i, k);
			chat(a, b, prefix);
		}
		ms = now_ms() - start;
		if (i % 3 != 0)
			flood_stop(f);
		rx = counter(f->world, "rx_packets") - rx;
		looked = counter(f->world, "cookies_sent") - looked;
		fprintf(stderr, "# %s flood: %u messages in %lu ms, %.0f/s; %.0f packets/s received, %.0f cookies/s\n",
			names[i % 3], 2 * SERIES * CHATS, (unsigned long)ms, 2e3 * SERIES * CHATS / (double)ms,
			1e3 * (double)rx / (double)ms, 1e3 * (double)looked / (double)ms);
	}
}

static void
spoofed_logins(void **state)
{
	struct world *w = *state;
	struct flood *f = calloc(1, sizeof(*f));
	const char *rounds = getenv("ROOKERY_FLOOD_ROUNDS");
	long dataplane_kb, control_kb;
	struct client *alice, *bob;
	uint64_t punted;
	struct raw *r;

	world_check(w, f != NULL);
	f->world = w;
	f->paced = rounds == NULL;
	server_start(w);
	alice = client_register(w, "alice");
	bob = client_register(w, "bob");
	clients_befriend(alice, bob);
	r = raw_new(w);
	raw_fetch_key(r);
	flood_prepare(f, r);
	/* Once, so that memory is touched that is touched once. */
	flood_start(f);
	counter_reach(w, "cookies_sent", 5000);
	flood_stop(f);
	dataplane_kb = resident_kb(w, "rookery-dataplane");
	control_kb = resident_kb(w, "rookery-control");
	punted = counter(w, "punted");
	flood_start(f);
	counter_reach(w, "cookies_sent", 20000);
	chat(alice, bob, "meanwhile");
	client_register(w, "carol");
	counter_reach(w, "cookies_sent", 40000);
	flood_stop(f);
	/* What got through: at first the free rate, then nothing but carol. */
	world_check(w, counter(w, "punted") - punted < 500);
	world_check(w, resident_kb(w, "rookery-dataplane") < dataplane_kb + GROWTH_MAX_KB);
	world_check(w, resident_kb(w, "rookery-control") < control_kb + GROWTH_MAX_KB);
	world_check(w, counter(w, "cookies_sent") <= counter(w, "drop_login_cookie") + counter(w, "drop_login_limit") +
							       counter(w, "drop_login_prefix"));
	/* A message of the chat comes in with its ACK as two packets and goes out as three: accepted, forwarded, delivered. */
	world_check(w, counter(w, "tx_packets") <= counter(w, "rx_packets") + 4 * SERIES);
	world_check(w, counter(w, "tx_bytes") < counter(w, "rx_bytes"));
	if (rounds)
		measure(f, alice, bob, (unsigned)strtoul(rounds, NULL, 10));
	raw_free(r);
	free(f);
	server_finish(w);
}

int
main(void)
{
	static const struct scenario scenarios[] = {{"spoofed logins", spoofed_logins}};
	static const struct scenario_list list = {scenarios, sizeof(scenarios) / sizeof(scenarios[0])};
	static const struct scenario_set set = {{.kind = KIND_SOCKET, .family = AF_INET}, &list};

	if (skip_without_root())
		return 0;
	return scenarios_run("flood", &set, 1);
}
