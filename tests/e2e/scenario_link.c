/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where the dataplane owns the link: it answers ping over both IP versions, its checksums are right, and Ethernet frames
 * of every bad kind end in the counter that is theirs.
 */
#include "scenario.h"

#include "client.h"
#include "netns.h"
#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static void
ping(void **state)
{
	struct world *w = *state;

	server_start(w);
	netns_ping(w, AF_INET, 3, 56);
	netns_ping(w, AF_INET6, 3, 56);
	/* An odd size and the largest that fits a frame: the ends of the checksum loop. */
	netns_ping(w, AF_INET, 1, 1);
	netns_ping(w, AF_INET6, 1, 1);
	netns_ping(w, AF_INET, 1, 1472);
	netns_ping(w, AF_INET6, 1, 1452);
	counter_reach(w, "link_echo", 10);
	counter_reach(w, "link_arp", 1);
	counter_reach(w, "link_nd", 1);
	world_check(w, counter(w, "drop_checksum") == 0);
	server_finish(w);
}

/* A peer whose kernel leaves the transport checksum to hardware that a veth does not have: packets come with that of the
 * pseudo-header alone. They are taken as on any virtual device, and so are whole ones. */
static void
peer_offload(void **state)
{
	struct world *w = *state;
	struct client *alice, *bob;

	if (w->place.kind == KIND_TAP)
		skip(); /* nothing to switch there */
	server_start(w);
	netns_peer_tx_offload(w, true);
	netns_ping(w, AF_INET, 2, 56);
	netns_ping(w, AF_INET6, 2, 56);
	alice = client_register(w, "alice");
	bob = client_register(w, "bob");
	clients_befriend(alice, bob);
	client_send_series(alice, "bob", "offload on", 100);
	client_expect_series(bob, "alice", "offload on", 100);
	netns_peer_tx_offload(w, false);
	client_send_series(alice, "bob", "offload off", 100);
	client_expect_series(bob, "alice", "offload off", 100);
	client_expect_levels(alice, 100, "delivered");
	world_check(w, counter(w, "drop_checksum") == 0);
	server_finish(w);
}

/* ---- frames by hand ----------------------------------------------------------------- */

struct link {
	struct world *w;
	int fd;
	uint8_t server_mac[6], client_mac[6];
};

struct ip4_udp {
	uint8_t dst[6], src[6];
	uint16_t type;
	uint8_t version_ihl, tos;
	uint16_t length, id, fragment;
	uint8_t ttl, protocol;
	uint16_t checksum;
	uint32_t from, to;
	uint16_t sport, dport, udp_length, udp_checksum;
	uint8_t payload[64];
} __attribute__((packed));

static uint32_t
add16(uint32_t sum, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)(p[i] << 8 | p[i + 1]);
	return sum;
}

static uint16_t
fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static void
fix_ip_checksum(struct ip4_udp *f)
{
	f->checksum = 0;
	f->checksum = fold(add16(0, &f->version_ihl, 20));
}

static void
fix_udp_checksum(struct ip4_udp *f)
{
	uint32_t pseudo = add16(IPPROTO_UDP + 8 + sizeof(f->payload), (uint8_t *)f + offsetof(struct ip4_udp, from), 8);

	f->udp_checksum = 0;
	f->udp_checksum = fold(add16(pseudo, (uint8_t *)f + offsetof(struct ip4_udp, sport), 8 + sizeof(f->payload)));
}

/* A frame as the client's kernel would send it, with a payload that is no datagram of ours (drop_type). */
static void
make_frame(const struct link *l, struct ip4_udp *f)
{
	memset(f, 0, sizeof(*f));
	memcpy(f->dst, l->server_mac, 6);
	memcpy(f->src, l->client_mac, 6);
	f->type = htons(ETHERTYPE_IP);
	f->version_ihl = 0x45;
	f->length = htons(sizeof(*f) - 14);
	f->ttl = 64;
	f->protocol = IPPROTO_UDP;
	f->from = inet_addr("10.77.0.2");
	f->to = inet_addr(NETNS_SERVER4);
	fix_ip_checksum(f);
	f->sport = htons(5000);
	f->dport = htons(l->w->port);
	f->udp_length = htons(8 + sizeof(f->payload));
	memset(f->payload, 0xee, sizeof(f->payload));
	fix_udp_checksum(f);
}

static void
link_open(struct link *l, struct world *w)
{
	struct sockaddr_ll a = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	struct ifreq ifr = {.ifr_name = NETNS_CLIENT_IFACE};
	char path[64], *mac;

	l->w = w;
	l->fd = socket_in(w->client_ns, AF_PACKET, SOCK_RAW, 0);
	if (l->fd < 0 || ioctl(l->fd, SIOCGIFINDEX, &ifr) != 0)
		world_fail(w, "packet socket: %s", strerror(errno));
	a.sll_ifindex = ifr.ifr_ifindex;
	if (bind(l->fd, (struct sockaddr *)&a, sizeof(a)) != 0 || ioctl(l->fd, SIOCGIFHWADDR, &ifr) != 0)
		world_fail(w, "packet socket: %s", strerror(errno));
	memcpy(l->client_mac, ifr.ifr_hwaddr.sa_data, 6);
	/* The server's is in the neighbour table after a ping. */
	netns_ping(w, AF_INET, 1, 8);
	snprintf(path, sizeof(path), "%s", NETNS_SERVER4);
	if (process_run(w, &(struct process_options){.name = "neighbours", .as_root = true, .argv = (const char *[]){
			"ip", "-n", w->client_ns, "neighbour", "show", path, NULL}}, &mac) != 0 || !strstr(mac, "lladdr "))
		world_fail(w, "the server is not in the neighbour table: %s", mac);
	for (int i = 0; i < 6; i++)
		l->server_mac[i] = (uint8_t)strtoul(strstr(mac, "lladdr ") + 7 + 3 * i, NULL, 16);
	free(mac);
}

/* The client's kernel says things of its own that are not for the server (multicast listeners, router solicitations). */
static bool
has_background(const char *name)
{
	return strcmp(name, "drop_ip_not_ours") == 0 || strcmp(name, "drop_link_not_ours") == 0 ||
	       strcmp(name, "drop_ip_protocol") == 0;
}

/* Sends the frame a few times and expects this counter to rise by as many. */
static void
expect_drop(struct link *l, const void *frame, size_t len, const char *name)
{
	uint64_t before = counter(l->w, name);

	for (int i = 0; i < 3; i++)
		if (send(l->fd, frame, len, 0) != (ssize_t)len)
			world_fail(l->w, "%s: send: %s", name, strerror(errno));
	if (has_background(name))
		counter_reach(l->w, name, before + 3);
	else
		counter_wait(l->w, name, before + 3);
}

static void
bad_ip_headers(struct link *l)
{
	struct ip4_udp f;

	make_frame(l, &f);
	expect_drop(l, &f, sizeof(f), "drop_type"); /* all is well up to the payload */
	/* DPDK's AF_PACKET driver has the kernel put fragments together before it sees them. */
	if (l->w->place.kind != KIND_AF_PACKET) {
		f.fragment = htons(0x2000);
		fix_ip_checksum(&f);
		expect_drop(l, &f, sizeof(f), "drop_ip_fragment");
		f.fragment = htons(10);
		fix_ip_checksum(&f);
		expect_drop(l, &f, sizeof(f), "drop_ip_fragment");
	}
	make_frame(l, &f);
	f.checksum ^= 0x0100;
	expect_drop(l, &f, sizeof(f), "drop_checksum");
	make_frame(l, &f);
	f.udp_checksum ^= 0x0100;
	expect_drop(l, &f, sizeof(f), "drop_checksum");
	make_frame(l, &f);
	f.version_ihl = 0x44;
	fix_ip_checksum(&f);
	expect_drop(l, &f, sizeof(f), "drop_ip_malformed");
	make_frame(l, &f);
	f.length = htons(2000);
	fix_ip_checksum(&f);
	expect_drop(l, &f, sizeof(f), "drop_ip_malformed");
	make_frame(l, &f);
	expect_drop(l, &f, 30, "drop_ip_malformed");
	make_frame(l, &f);
	f.udp_length = htons(7);
	expect_drop(l, &f, sizeof(f), "drop_ip_malformed");
}

static void
packets_for_others(struct link *l)
{
	struct ip4_udp f;

	make_frame(l, &f);
	f.to = inet_addr("10.77.0.99");
	fix_ip_checksum(&f);
	expect_drop(l, &f, sizeof(f), "drop_ip_not_ours");
	make_frame(l, &f);
	f.dport = htons(9);
	f.udp_checksum = 0; /* IPv4 allows none */
	expect_drop(l, &f, sizeof(f), "drop_udp_port");
	make_frame(l, &f);
	f.protocol = IPPROTO_TCP;
	fix_ip_checksum(&f);
	expect_drop(l, &f, sizeof(f), "drop_ip_protocol");
	make_frame(l, &f);
	f.type = htons(0x88b5);
	expect_drop(l, &f, sizeof(f), "drop_link_not_ours");
	make_frame(l, &f);
	f.type = htons(ETHERTYPE_ARP);
	memset(&f.version_ihl, 0, sizeof(f) - 14);
	expect_drop(l, &f, sizeof(f), "drop_link_malformed");
	/* No UDP checksum is right over IPv4. */
	make_frame(l, &f);
	f.udp_checksum = 0;
	expect_drop(l, &f, sizeof(f), "drop_type");
}

static void
bad_frames(void **state)
{
	struct world *w = *state;
	struct link l;

	server_start(w);
	link_open(&l, w);
	bad_ip_headers(&l);
	packets_for_others(&l);
	close(l.fd);
	/* And it still serves. */
	client_register(w, "alice");
	server_finish(w);
}

#define MANY 200

/* The device is one's alone: the new dataplane opens it when the old one has let go. */
static void
restart_on_order(void **state)
{
	static const char *const processes[] = {"dataplane", "control"};
	struct world *w = *state;
	struct client *alice, *bob;
	struct session_info before;

	server_start_with(w, &(struct server_settings){.heartbeat_ms = 1000});
	alice = client_register(w, "alice");
	bob = client_register(w, "bob");
	clients_befriend(alice, bob);
	before = session_of(w, "alice");
	for (size_t i = 0; i < sizeof(processes) / sizeof(processes[0]); i++) {
		client_send_series(alice, "bob", processes[i], MANY);
		client_send_series(bob, "alice", processes[i], MANY);
		json_decref(rookctl(w, "restart", processes[i]));
		if (w->place.kind == KIND_TAP && i == 0)
			netns_tap_up(w); /* the interface is a new one */
		client_expect_series(bob, "alice", processes[i], MANY);
		client_expect_series(alice, "bob", processes[i], MANY);
		client_expect_levels(alice, MANY, "stored");
		client_expect_levels(bob, MANY, "stored");
	}
	world_check(w, strcmp(session_of(w, "alice").id, before.id) == 0);
	world_check(w, client_count(alice, "login", NULL) == 1 && client_count(bob, "login", NULL) == 1);
	server_finish(w);
}

static const struct scenario scenarios[] = {
	{"ping", ping},
	{"transmit offload of the peer", peer_offload},
	{"bad frames", bad_frames},
	{"restart on order", restart_on_order},
};

const struct scenario_list scenario_link = {scenarios, sizeof(scenarios) / sizeof(scenarios[0])};
