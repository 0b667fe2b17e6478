/* SPDX-License-Identifier: BSD-3-Clause */
/* The event loop: binds the server to the rings, the clock, signals, worker threads and the admin socket. */
#ifndef ROOKERY_CONTROL_LOOP_H
#define ROOKERY_CONTROL_LOOP_H

#include "control/admin_commands.h"
#include "control/server.h"

struct loop_options {
	const struct config *config;
	const struct admin_reload *reload;
	struct store *store;
	const struct handshake_keypair *key;
};

/* Runs until SIGTERM or SIGINT. Returns 0, or -errno with one line in error when it could not start. */
int loop_run(const struct loop_options *o, char *error, size_t cap);

#endif
