/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A UDP proxy between one client and the server, a thread of the test program. It can lose, duplicate and reorder
 * (seeded, so that a run can be repeated), and it can change its own source port and address towards the server in
 * mid-conversation, as a NAT that lost its mapping does.
 */
#ifndef ROOKERY_TESTS_E2E_PROXY_H
#define ROOKERY_TESTS_E2E_PROXY_H

#include "world.h"

struct proxy_faults {
	unsigned loss;      /* each in percent, for either direction */
	unsigned duplicate;
	unsigned reorder;   /* held back by up to delay_ms */
	unsigned delay_ms;
};

struct proxy_stats {
	uint64_t to_server, to_client; /* datagrams that came in for that direction */
	uint64_t lost, duplicated, delayed;
	uint64_t late; /* sent by the server to a source that the proxy has given up */
};

/* Forwards to `server` ("ADDR:PORT"); netns NULL or "": the test's own. Listens on loopback of the same family. */
struct proxy *proxy_start(struct world *w, const char *server, const char *netns, uint64_t seed);
/* "127.0.0.1:PORT": the server's address for the client. */
const char *proxy_address(const struct proxy *p);
void proxy_set_faults(struct proxy *p, const struct proxy_faults *faults);
/* From now on another source port; from `address` if not NULL. What still comes to the old one is dropped. Returns the
 * new source port. */
uint16_t proxy_rebind(struct proxy *p, const char *address);
/* Source port towards the server. */
uint16_t proxy_source_port(struct proxy *p);
struct proxy_stats proxy_stats(struct proxy *p);

/* The last datagram of `type` (its first byte) that the client sent, for replaying and forging. Returns its length, 0 if
 * there was none. */
size_t proxy_last_datagram(struct proxy *p, uint8_t type, uint8_t *buf, size_t cap);

void proxies_free(struct world *w);

#endif
