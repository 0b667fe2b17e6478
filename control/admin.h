/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The admin API: what `rookctl` and the launcher ask of a running control process, and `rookctl restart` of the launcher, over a
 * Unix stream socket (0600). admin_protocol.h defines the lines, admin_commands.c and launcher/restart.c what each command does; this
 * module holds the connections.
 *
 * Several clients at once; each has one request in work at a time and is not read from meanwhile, so a client
 * that sends without reading costs one line and one reply of memory.
 *
 * Thread-safety: everything on the loop's thread.
 */
#ifndef ROOKERY_CONTROL_ADMIN_H
#define ROOKERY_CONTROL_ADMIN_H

#include "control/admin_commands.h"

#include <uv.h>

#define ADMIN_CLIENTS_MAX 32 /* one more is told so and closed */

struct admin;

struct admin_options {
	uv_loop_t *loop;
	const struct config *config;
	const struct admin_reload *reload; /* for run; may be NULL */
	const char *program; /* ADMIN_CONTROL or ADMIN_LAUNCHER */
	const char *socket;  /* its name in runtime_dir */
	enum admin_outcome (*run)(const char *command, struct admin_call *call);
	struct server *server; /* for run; each program sets what it has */
	struct supervisor *supervisor;
	/* Called after a command that may have left work for server_batch; may be NULL. */
	void (*wake)(void *arg);
	void *wake_arg;
	/* A client of run has ended; may be NULL. */
	void (*gone)(void *arg, const void *client);
	void *gone_arg;
};

/*
 * Listens on the socket in runtime_dir, replacing one that nobody answers. Returns 0, or -errno with one
 * line in error: -EADDRINUSE (another process answers there), -ENAMETOOLONG, -EACCES, -ENOMEM, ...
 * After an error *out may be set (already closed): pass it to admin_free, as after a success, when the loop
 * has ended.
 */
int admin_open(struct admin **out, const struct admin_options *o, char *error, size_t error_cap);

/* Idempotent. Stops listening, drops all clients, removes the socket. Operations that the server has not
 * finished go on. The handles are closed by the loop's next iterations. */
void admin_close(struct admin *a);

/* After the loop has run out of the handles and the server will call no server_done_fn any more. NULL is
 * allowed. */
void admin_free(struct admin *a);

#endif
