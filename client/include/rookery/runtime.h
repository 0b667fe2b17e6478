/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A small blocking runtime: one UDP socket and poll around a client core. An application with its own event
 * loop can do without it (see client.h).
 *
 * Thread-safety: none; the thread of the client.
 */
#ifndef ROOKERY_RUNTIME_H
#define ROOKERY_RUNTIME_H

#include "client.h"

#include <poll.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rk_runtime;

/* Resolves server ("HOST:PORT", "HOST", "192.0.2.1:8000", "[2001:db8::1]:8000"; port 8000 if missing) and
 * opens a socket to its first address; the others are tried when it does not answer. The client stays the
 * caller's and must outlive the runtime. Returns 0, -EINVAL (malformed), -ENOENT (no such host), -EAGAIN
 * (name service does not answer), -ENOMEM, or a negative errno of socket. */
int rk_runtime_open(struct rk_runtime **rt, struct rk_client *c, const char *server);

/* Closes the socket. What the client still wanted to send is sent first. NULL is fine. */
void rk_runtime_close(struct rk_runtime *rt);

/* Sends what is due, then waits until a datagram arrives, the client is due, one of the extra descriptors is
 * ready, or timeout_ms is over (-1: no limit), and feeds the client. Returns at once when nothing has to be
 * waited for. extra (n entries, may be NULL) is used as with poll, revents are filled in. Afterwards take
 * the client's events. Returns the number of ready extra descriptors, or -EINTR, -ENOMEM, or a
 * negative errno of poll. Errors of the network are not errors here: the client reports disconnected. */
int rk_runtime_run_once(struct rk_runtime *rt, int timeout_ms, struct pollfd *extra, unsigned n);

/* Goes on from a new socket, so from another port and perhaps address; the session moves along. It happens by
 * itself when the server is not heard. Returns 0 or a negative errno (the old socket is then kept). */
int rk_runtime_rebind(struct rk_runtime *rt);

/* The current socket, for poll in an own loop; changes with a rebind. */
int rk_runtime_fd(const struct rk_runtime *rt);

/* "address:port" of the server in use. */
const char *rk_runtime_server(const struct rk_runtime *rt);

/* The two clocks that the runtime gives to the client: CLOCK_MONOTONIC in us (CLOCK_BOOTTIME where there is
 * one, so that a suspended laptop notices), CLOCK_REALTIME in ms since 1970. Thread-safe. */
uint64_t rk_runtime_now_us(void);
uint64_t rk_runtime_wall_ms(void);

#ifdef __cplusplus
}
#endif

#endif
