/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A bad network for many clients at once: a NAT in one thread, with a mapping (a socket of its own towards the server) for each client
 * address, which loses, doubles and holds back datagrams in both directions.
 */
#ifndef ROOKERY_TESTS_E2E_STORM_H
#define ROOKERY_TESTS_E2E_STORM_H

#include "proxy.h"

struct storm;

/* Forwards to `server` (an IPv4 "ADDR:PORT") in the test's own namespace. */
struct storm *storm_start(struct world *w, const char *server, uint64_t seed);
/* "127.0.0.1:PORT": the server's address for the clients. */
const char *storm_address(const struct storm *s);
void storm_set_faults(struct storm *s, const struct proxy_faults *faults);
/* It forgets all mappings, as a NAT that was switched off and on: each client goes on from another address. */
void storm_forget(struct storm *s);
struct proxy_stats storm_stats(struct storm *s);
void storm_free(struct storm *s);

#endif
