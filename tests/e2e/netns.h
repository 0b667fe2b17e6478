/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two network namespaces joined by a veth pair, for the ethdev ports:
 *
 *     server_ns: rks0  <---- veth ---->  rkc0 :client_ns
 *     (no kernel address: the            10.77.0.2/24, .3, .4; fd77::2/64, ::3, ::4
 *     dataplane is 10.77.0.1, fd77::1)   lo up, for proxies
 */
#ifndef ROOKERY_TESTS_E2E_NETNS_H
#define ROOKERY_TESTS_E2E_NETNS_H

#include "world.h"

#define NETNS_SERVER_IFACE "rks0"
#define NETNS_CLIENT_IFACE "rkc0"
#define NETNS_SERVER4 "10.77.0.1"
#define NETNS_SERVER6 "fd77::1"

/* Sets server_ns and client_ns of the world. */
void netns_make(struct world *w);
/* TAP: gives the kernel's end, which comes and goes with the dataplane, its addresses. */
void netns_tap_up(struct world *w);
/* A single one with loopback, for server and clients: every port is free there. */
void netns_make_one(struct world *w);
/* Best effort, for cleaning up. */
void netns_delete(const char *name);

/* The peer's transmit checksum offload: on means that the kernel leaves checksums on the veth unfinished. */
void netns_peer_tx_offload(struct world *w, bool on);

/* ICMP (or ICMPv6) echo to the server's address from the client namespace, by the kernel's ping socket, which checks the
 * reply's checksum. Sends `count` with `size` bytes of payload, one after the other; fails the test when one stays
 * unanswered. */
void netns_ping(struct world *w, int family, unsigned count, size_t size);

#endif
