/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What systemd is told: ready, stopping, alive. The protocol of sd_notify(3): one datagram of KEY=VALUE lines for each.
 * Everything here does nothing when no service manager asks.
 */
#ifndef ROOKERY_CONTROL_LAUNCHER_NOTIFY_H
#define ROOKERY_CONTROL_LAUNCHER_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct notify {
	int fd; /* -1: nobody asks */
	uint64_t alive_ms; /* 0: no watchdog */
	uv_timer_t alive;
	bool timer_open;
};

/* Reads NOTIFY_SOCKET and WATCHDOG_USEC, and takes them out of the environment: children are not asked. */
void notify_open(struct notify *n);
void notify_close(struct notify *n);
/* lines: "READY=1\nSTATUS=..." */
void notify_send(const struct notify *n, const char *lines);
/* From now on the watchdog hears that the loop turns, until notify_alive_stop; a loop that hangs has the service started anew. What the other
 * processes do is the business of watch.h: each can be started anew by itself. */
int notify_alive_start(struct notify *n, uv_loop_t *loop);
void notify_alive_stop(struct notify *n);

#endif
