/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel peer: the real rookery-dataplane on one end of a veth pair, in a network namespace of its own, and a thousand
 * clients on the other end. Its ports take turns: kernel sockets, AF_PACKET, AF_XDP. The messages, the sessions, the cipher, the
 * worker and the clients are the same; what differs is how packets come in and go out of the server.
 *
 * The figure is whole lives of 256-byte messages (MESSAGE, ACCEPTED, DELIVER, ACK, DELIVERED) per second of CPU time, all of it
 * (cpu_time.h): user, system, softirq, of both sides. So the clients do without the kernel's stack (veth_wire.h), as they do
 * without it when they are on other machines. Each answer is opened and must be the right one.
 *
 * This program plays control: it provisions the sessions and the tables over the shared-memory rings.
 *
 *	bench-veth PROGRAMS-FOLDER ROUNDS SECONDS      as root; prints a line for each port: name, median, lowest and highest round,
 *	                                               messages/s, and the same three of its ratio to the socket port in the same round
 */
#include "cpu_time.h"
#include "fail.h"
#include "identity.h"
#include "player.h"
#include "veth_wire.h"

#include "shared/account.h"
#include "shared/aead.h"
#include "shared/log.h"
#include "shared/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS 1024u
#define WINDOW 512u /* messages under way */
#define PAYLOAD 256u
#define PLAINTEXT_MAX (VETH_DATAGRAM_MAX - WIRE_DATA_HEADER - WIRE_TAG)
#define RESEND_MS 300u
#define SEND_MIN 128u /* packets */
#define PAUSE_US 100
#define PATIENCE_MS 10000
#define ROUNDS_MAX 99u
#define SERVER_IFACE "rkb-s"
#define CLIENT_IFACE "rkb-c"
#define SERVER_MAC "02:00:00:00:00:01"
#define CLIENT_MAC "02:00:00:00:00:02"

enum port_kind { PORT_KIND_SOCKET, PORT_KIND_AF_PACKET, PORT_KIND_AF_XDP, PORT_KINDS };

static const char *const port_names[PORT_KINDS] = {"socket", "af_packet", "af_xdp"};

struct client {
	struct aead_key key;
	uint64_t sequence;
	message_id_t id;        /* of its message under way, or the last one */
	message_id_t confirmed;
	uint64_t sent_ms;
	uint32_t ack_first, ack_count; /* deliveries to acknowledge */
	bool under_way;
	bool resend;
	bool queued;
};

struct bench {
	char dir[64];
	char netns[32];
	const char *programs;
	struct ipc ipc;
	pid_t dataplane;
	struct veth_wire *wire;
	char wire_program[512];
	struct client *clients;
	uint32_t queue[CLIENTS]; /* of clients that have something to send */
	uint32_t queue_head, queue_count;
	uint32_t under_way;
	uint64_t delivered;
	uint64_t resent;
	uint64_t now_ms;
	uint64_t foreign;
};

static struct bench bench;
static const struct veth_ends ends = {
	.interface = CLIENT_IFACE,
	.server_mac = {2, 0, 0, 0, 0, 1},
	.client_mac = {2, 0, 0, 0, 0, 2},
	.server_ip = {10, 78, 0, 1},
	.client_ip = {10, 78, 0, 2},
};

/* ---- namespace and interfaces ---- */

static void __attribute__((format(printf, 2, 3)))
run(bool must, const char *format, ...)
{
	char command[512];
	va_list args;
	int rc;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	rc = system(command); /* fixed words and our own names only */
	if (rc != 0 && must)
		fail("'%s' left with %d", command, rc);
}

/* The clients live in a namespace of this process alone; it goes with the process. */
static void
system_make(struct bench *b)
{
	snprintf(b->netns, sizeof(b->netns), "rk-bench-%d", (int)getpid());
	run(true, "ip netns add %s", b->netns);
	if (unshare(CLONE_NEWNET) != 0)
		fail("unshare: %s; root is needed", strerror(errno));
	run(true, "ip link set lo up");
	run(true, "ip link add " CLIENT_IFACE " address " CLIENT_MAC " type veth peer name " SERVER_IFACE " address " SERVER_MAC
	    " netns %s", b->netns);
	run(true, "ip netns exec %s sysctl -q -w net.ipv6.conf.all.disable_ipv6=1", b->netns);
	run(true, "sysctl -q -w net.ipv6.conf.all.disable_ipv6=1");
	run(true, "ip addr add 10.78.0.2/24 dev " CLIENT_IFACE);
	run(true, "ip link set " CLIENT_IFACE " up");
	run(true, "ip -n %s link set " SERVER_IFACE " up", b->netns);
	/* Only so does a veth without an XDP program of its own take frames in batches (Linux 5.13). */
	run(true, "ip netns exec %s ethtool -K " SERVER_IFACE " gro on", b->netns);
}

static void
system_clean(struct bench *b)
{
	if (b->netns[0] != '\0')
		run(false, "ip netns delete %s", b->netns);
	if (b->dir[0] != '\0')
		run(false, "rm -rf '%s'", b->dir);
	b->netns[0] = b->dir[0] = '\0';
}

/* For the kernel's own stack an address and all its offloads; for the others neither: they see packets as they are on the wire. */
static void
system_set(struct bench *b, enum port_kind kind)
{
	run(false, "ip -n %s addr flush dev " SERVER_IFACE, b->netns);
	if (kind == PORT_KIND_SOCKET)
		run(true, "ip -n %s addr add 10.78.0.1/24 dev " SERVER_IFACE, b->netns);
}

/* ---- the dataplane ---- */

static void
config_write(const struct bench *b, enum port_kind kind)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/rookery.yaml", b->dir);
	f = fopen(path, "w");
	if (f == NULL)
		fail("%s: %s", path, strerror(errno));
	fprintf(f, "dataplane:\n  sessions: %u\n  messages: 16384\n  users: 8192\n  conversations: 8192\n  activities: %u\n"
		   "  telemetry: false\n  ports:\n", 2 * CLIENTS, 2 * CLIENTS);
	if (kind == PORT_KIND_SOCKET)
		fprintf(f, "    - type: socket\n      listen: 10.78.0.1:8000\n");
	else if (kind == PORT_KIND_AF_PACKET)
		fprintf(f, "    - type: ethdev\n      devices:\n        - net_af_packet0,iface=" SERVER_IFACE
			   ",blocksz=65536,framesz=2048,framecnt=2048,qpairs=1\n");
	else
		fprintf(f, "    - type: ethdev\n      devices:\n        - net_af_xdp0,iface=" SERVER_IFACE
			   ",start_queue=0,queue_count=1,busy_budget=0\n");
	if (kind != PORT_KIND_SOCKET)
		fprintf(f, "      addresses:\n        - 10.78.0.1/24\n      udp_port: 8000\n");
	fprintf(f, "limits:\n  messages_per_second: 0\nlog:\n  level: warning\n");
	fclose(f);
}

static void
start_dataplane(struct bench *b, enum port_kind kind)
{
	char program[512], config[128], rings[128];
	int rc = -ETIMEDOUT;

	config_write(b, kind);
	snprintf(program, sizeof(program), "%s/rookery-dataplane", b->programs);
	snprintf(config, sizeof(config), "%s/rookery.yaml", b->dir);
	b->dataplane = fork();
	if (b->dataplane == 0) {
		execlp("ip", "ip", "netns", "exec", b->netns, program, "--config", config, "--state", b->dir, (char *)NULL);
		_exit(127);
	}
	snprintf(rings, sizeof(rings), "%s/run/rings.shm", b->dir);
	for (unsigned i = 0; i < 100 && (rc = player_join(&b->ipc, rings, 200)) != 0; i++)
		if (waitpid(b->dataplane, NULL, WNOHANG) == b->dataplane) {
			b->dataplane = 0;
			fail("%s: rookery-dataplane did not start", port_names[kind]);
		}
	if (rc != 0)
		fail("%s: no rings after 20 s: %s", port_names[kind], strerror(-rc));
}

static void
stop_dataplane(struct bench *b)
{
	if (b->dataplane <= 0)
		return;
	kill(b->dataplane, SIGTERM);
	waitpid(b->dataplane, NULL, 0);
	b->dataplane = 0;
}

/* However the program ends. */
static void
clean(void)
{
	stop_dataplane(&bench);
	system_clean(&bench);
}

static uint32_t
buddy_of(uint32_t i)
{
	return i ^ 1;
}

static void
provision(struct bench *b)
{
	struct endpoint at;

	endpoint_set_ipv4(&at, ends.client_ip, VETH_CLIENT_PORT);
	for (uint32_t i = 0; i < CLIENTS; i++) {
		struct session_keys keys;

		load_keys(i, &keys);
		memset(&b->clients[i], 0, sizeof(b->clients[i]));
		if (aead_key_set(&b->clients[i].key, keys.key) != 0)
			fail("a key was not taken");
		if (player_provision(&b->ipc, i, &at, buddy_of(i)) != 0)
			fail("the dataplane takes no cells");
	}
	if (player_settle(&b->ipc) != 0)
		fail("the dataplane does not take the sessions");
}

/* ---- clients ---- */

static void
enqueue(struct bench *b, uint32_t i)
{
	if (b->clients[i].queued)
		return;
	b->clients[i].queued = true;
	b->queue[(b->queue_head + b->queue_count++) % CLIENTS] = i;
}

static size_t
frame_add(uint8_t *packet, size_t length, const struct frame *f)
{
	int n = frame_write(f, packet + WIRE_DATA_HEADER + length, PLAINTEXT_MAX - length);

	if (n < 0)
		fail("a frame of type %u cannot be written", f->type);
	return length + (size_t)n;
}

static size_t
frames_write(struct bench *b, uint32_t i, uint8_t *packet)
{
	static const uint8_t text[PAYLOAD];
	struct client *c = &b->clients[i];
	uint8_t range[6];
	struct frame ack = {.type = FRAME_ACK, .ack = {.count = 1, .ranges = range}};
	struct frame confirm = {.type = FRAME_CONFIRM};
	struct frame message = {.type = FRAME_MESSAGE};
	size_t length = 0;

	if (c->ack_count != 0) {
		wire_ack_put(range, 0, c->ack_first, (uint16_t)c->ack_count);
		length = frame_add(packet, length, &ack);
		c->ack_count = 0;
	}
	if (c->under_way && !c->resend)
		return length;
	if (!c->under_way) {
		if (b->under_way >= WINDOW)
			return length;
		if (c->id != c->confirmed) {
			c->confirmed = confirm.confirm = c->id;
			length = frame_add(packet, length, &confirm);
		}
		c->id++;
		c->under_way = true;
		b->under_way++;
	}
	c->resend = false;
	c->sent_ms = b->now_ms;
	message.message = (struct frame_message){
		.to = buddy_of(i) + 1, .id = c->id, .prev_delta = c->id > 1, .floor_delta = 1, .length = PAYLOAD, .body = text};
	return frame_add(packet, length, &message);
}

/* Returns the packet's length, 0 when the client has nothing to say now. */
static size_t
packet_make(struct bench *b, uint32_t i, uint8_t *packet)
{
	struct client *c = &b->clients[i];
	size_t length = frames_write(b, i, packet);
	struct wire_data d = {.sid = load_sid(i)};
	uint8_t nonce[AEAD_NONCE];

	if (length == 0)
		return 0;
	d.counter = wire_counter(0, ++c->sequence);
	wire_data_write(&d, packet);
	wire_nonce(nonce, WIRE_TO_SERVER, d.counter);
	aead_seal(&c->key, nonce, packet, WIRE_DATA_HEADER, packet + WIRE_DATA_HEADER, length, packet + WIRE_DATA_HEADER,
		  packet + WIRE_DATA_HEADER + length);
	return WIRE_DATA_HEADER + length + WIRE_TAG;
}

static void
send_some(struct bench *b)
{
	while (b->queue_count != 0) {
		uint32_t i = b->queue[b->queue_head];
		uint8_t *packet = veth_wire_room(b->wire);
		size_t length;

		if (packet == NULL) {
			veth_wire_send(b->wire);
			continue;
		}
		b->queue_head = (b->queue_head + 1) % CLIENTS;
		b->queue_count--;
		b->clients[i].queued = false;
		length = packet_make(b, i, packet);
		if (length != 0)
			veth_wire_put(b->wire, length);
	}
	veth_wire_send(b->wire);
}

static void
receipt_read(struct bench *b, uint32_t i, const struct frame_receipt *r)
{
	struct client *c = &b->clients[i];

	if (r->level == RECEIPT_ACCEPTED)
		return;
	if (r->level != RECEIPT_DELIVERED)
		fail("a message was %s (%s)", receipt_level_name(r->level), refuse_reason_name(r->reason));
	for (unsigned k = 0; k < r->count; k++) {
		if (!c->under_way || wire_receipt_id(r, k) != c->id)
			continue;
		c->under_way = false;
		b->under_way--;
		b->delivered++;
		enqueue(b, i);
	}
}

static void
deliver_read(struct bench *b, uint32_t i, const struct frame_deliver *d)
{
	struct client *c = &b->clients[i];

	if (d->length != PAYLOAD || d->from != buddy_of(i) + 1)
		fail("a message went astray");
	if (c->ack_count != 0 && d->delivery == c->ack_first + c->ack_count) {
		c->ack_count++;
	} else if (c->ack_count == 0) {
		c->ack_first = d->delivery;
		c->ack_count = 1;
	} /* else it comes again and is acknowledged then */
	enqueue(b, i);
}

static void
packet_read(void *context, const uint8_t *packet, size_t size)
{
	struct bench *b = context;
	const uint8_t *sealed = packet + WIRE_DATA_HEADER;
	uint8_t nonce[AEAD_NONCE], data[VETH_FRAME_MAX];
	struct wire_data d;
	struct frame f;
	size_t length;
	uint32_t i;

	if (size < WIRE_DATA_HEADER + WIRE_TAG || size > VETH_FRAME_MAX || wire_data_read(&d, packet, size) != 0) {
		b->foreign++;
		return;
	}
	i = session_id_index(d.sid);
	if (i >= CLIENTS)
		fail("a packet went astray");
	length = size - WIRE_DATA_HEADER - WIRE_TAG;
	wire_nonce(nonce, WIRE_TO_CLIENT, d.counter);
	if (aead_open(&b->clients[i].key, nonce, packet, WIRE_DATA_HEADER, sealed, length, data, sealed + length) != 0)
		fail("client %u cannot open what it got", i);
	for (size_t at = 0; at < length;) {
		int n = frame_read(&f, data + at, length - at);

		if (n < 0)
			fail("client %u got a frame that cannot be read", i);
		if (f.type == FRAME_DELIVER)
			deliver_read(b, i, &f.deliver);
		else if (f.type == FRAME_RECEIPT)
			receipt_read(b, i, &f.receipt);
		at += (size_t)n;
	}
}

/* Sockets and rings may lose a packet when they are full. */
static void
resend_lost(struct bench *b)
{
	for (uint32_t i = 0; i < CLIENTS; i++) {
		struct client *c = &b->clients[i];

		if (c->under_way && b->now_ms - c->sent_ms > RESEND_MS) {
			c->resend = true;
			b->resent++;
			enqueue(b, i);
		} else if (!c->under_way) {
			enqueue(b, i);
		}
	}
}

static volatile sig_atomic_t stopped;

static void
on_term(int signo)
{
	(void)signo;
	stopped = 1;
}

static void
chat(struct bench *b, uint64_t until)
{
	const struct timespec pause = {.tv_nsec = PAUSE_US * 1000};
	uint64_t checked = 0;
	unsigned loops = 0;

	while ((b->now_ms = player_now_ms()) < until) {
		veth_wire_receive(b->wire);
		/* A call into the kernel costs as much as a dozen packets. */
		if (b->queue_count < SEND_MIN) {
			nanosleep(&pause, NULL);
			veth_wire_receive(b->wire);
		}
		send_some(b);
		if (b->now_ms - checked >= RESEND_MS / 3) {
			checked = b->now_ms;
			resend_lost(b);
		}
		if (++loops % 64 == 0)
			player_empty(&b->ipc);
		if (stopped)
			fail("stopped");
	}
}

/* Until the server has found the clients' address and the first message has come through, and a second more. */
static void
warm_up(struct bench *b)
{
	uint64_t until = player_now_ms() + PATIENCE_MS;

	b->delivered = 0;
	while (b->delivered == 0 && player_now_ms() < until)
		chat(b, player_now_ms() + RESEND_MS);
	if (b->delivered == 0)
		fail("no message came through");
	chat(b, player_now_ms() + 1000);
	b->delivered = 0;
}

/* ---- figures ---- */

struct figure {
	double per_cpu_second, per_second;
	uint64_t resent;
	struct cpu_time per_message;
};

static struct figure
measure(struct bench *b, enum port_kind kind, unsigned seconds)
{
	struct cpu_time from, to;
	double total = 0;
	struct figure f;
	uint64_t start;

	system_set(b, kind);
	start_dataplane(b, kind);
	b->queue_count = b->under_way = 0;
	b->wire = veth_wire_open(&ends, b->wire_program, packet_read, b);
	provision(b);
	warm_up(b);
	f.resent = b->resent;
	start = player_now_ms();
	from = cpu_time_now(b->dataplane);
	chat(b, start + seconds * 1000);
	to = cpu_time_now(b->dataplane);
	f.resent = b->resent - f.resent;
	if (b->delivered == 0)
		fail("%s: messages stopped", port_names[kind]);
	for (unsigned i = 0; i < CPU_SHARES; i++) {
		total += to.share[i] - from.share[i];
		f.per_message.share[i] = (to.share[i] - from.share[i]) / (double)b->delivered;
	}
	f.per_cpu_second = (double)b->delivered / total;
	f.per_second = (double)b->delivered * 1000 / (double)(player_now_ms() - start);
	veth_wire_close(b->wire);
	stop_dataplane(b);
	ipc_leave(&b->ipc);
	return f;
}

/* On all cores and as any other program, whoever started us: a server and its clients on one core would wait for each other, and at
 * real-time priority for ever. */
static void
run_as_usual(void)
{
	cpu_set_t all;

	memset(&all, 0xff, sizeof(all));
	(void)sched_setaffinity(0, sizeof(all), &all);
	(void)sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){0});
}

static int
compare(const void *a, const void *b)
{
	double x = ((const struct figure *)a)->per_cpu_second, y = ((const struct figure *)b)->per_cpu_second;

	return (x > y) - (x < y);
}

static int
compare_ratios(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* f is sorted, so are the ratios to the socket port in the same round: the machine's pace changes less from one port to the next than in a
 * whole run. */
static void
report(enum port_kind kind, const struct figure *f, const double *ratios, unsigned rounds)
{
	unsigned middle = rounds / 2, last = rounds - 1;

	printf("%s %.6g %.6g %.6g %.6g %.4g %.4g %.4g\n", port_names[kind], f[middle].per_cpu_second, f[0].per_cpu_second,
	       f[last].per_cpu_second, f[middle].per_second, ratios[middle], ratios[0], ratios[last]);
	fprintf(stderr, "%s: us of CPU time a message in the median round:", port_names[kind]);
	for (unsigned i = 0; i < CPU_SHARES; i++)
		fprintf(stderr, " %s %.2f", cpu_share_names[i], f[middle].per_message.share[i] * 1e6);
	fprintf(stderr, "; %" PRIu64 " sent again\n", f[middle].resent);
}

int
main(int argc, char **argv)
{
	static struct figure figures[PORT_KINDS][ROUNDS_MAX];
	static double ratios[PORT_KINDS][ROUNDS_MAX];
	struct bench *b = &bench;
	struct account account;
	char error[256];
	unsigned rounds = argc == 4 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
	unsigned seconds = argc == 4 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;

	if (rounds < 1 || rounds > ROUNDS_MAX || seconds < 1 || seconds > 60) {
		fprintf(stderr, "usage: bench-veth PROGRAMS-FOLDER ROUNDS SECONDS\n");
		return 2;
	}
	b->programs = argv[1];
	log_open("bench-veth", LOG_LEVEL_WARNING);
	b->clients = aligned_alloc(64, CLIENTS * ((sizeof(*b->clients) + 63) / 64 * 64));
	if (b->clients == NULL || aead_init() != 0)
		fail("no memory, or no cipher library");
	atexit(clean);
	strcpy(b->dir, "/tmp/rookery-veth-XXXXXX");
	if (mkdtemp(b->dir) == NULL)
		fail("no folder in /tmp");
	/* The dataplane gives up root and becomes another account. */
	if (account_find(&account, "", error, sizeof(error)) != 0)
		fail("%s", error);
	if (chown(b->dir, account.uid, account.gid) != 0)
		fail("%s cannot be given to %s: %s", b->dir, account.name, strerror(errno));
	snprintf(b->wire_program, sizeof(b->wire_program), "%s/bench/veth_wire.bpf.o", b->programs);
	run_as_usual();
	signal(SIGTERM, on_term);
	system_make(b);
	for (unsigned r = 0; r < rounds; r++)
		for (unsigned kind = 0; kind < PORT_KINDS; kind++) {
			figures[kind][r] = measure(b, (enum port_kind)kind, seconds);
			ratios[kind][r] = figures[kind][r].per_cpu_second / figures[0][r].per_cpu_second;
		}
	for (unsigned kind = 0; kind < PORT_KINDS; kind++) {
		qsort(figures[kind], rounds, sizeof(figures[kind][0]), compare);
		qsort(ratios[kind], rounds, sizeof(ratios[kind][0]), compare_ratios);
		report((enum port_kind)kind, figures[kind], ratios[kind], rounds);
	}
	if (b->foreign != 0)
		fprintf(stderr, "%" PRIu64 " foreign packets\n", b->foreign);
	free(b->clients);
	return 0;
}
