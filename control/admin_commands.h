/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands of the admin API: arguments in, JSON out. Those of rookery-control are on top of server.h. No I/O. */
#ifndef ROOKERY_CONTROL_ADMIN_COMMANDS_H
#define ROOKERY_CONTROL_ADMIN_COMMANDS_H

#include "control/admin_protocol.h"
#include "control/server.h"

#define ADMIN_PAGE_DEFAULT 100
#define ADMIN_PAGE_MAX 1000

enum admin_outcome {
	ADMIN_OK,    /* result is set */
	ADMIN_ERROR, /* code and text are set */
	ADMIN_LATER, /* done will be called with done_arg; the reply is made from its result */
};

struct supervisor;

/* How to read the configuration again. */
struct admin_reload {
	struct config *config; /* the same that the program uses */
	const char *path, *state; /* as given when it was started; NULL: not */
	/* Whatever does not read its keys each time it needs them follows the new ones; may be NULL. Returns 0, or -errno with a line in
	 * error: then the configuration stays as it was, too. */
	int (*follow)(void *arg, const struct config *fresh, char *error, size_t error_cap);
	void *follow_arg;
};

struct admin_call {
	struct server *server;         /* in rookery-control */
	struct supervisor *supervisor; /* in the launcher */
	const struct config *config;
	const struct admin_reload *reload; /* NULL: `config reload` is not to be had */
	const void *client;  /* names the connection, until admin_options.gone */
	const json_t *args;
	server_done_fn done;
	void *done_arg;
	/* out */
	json_t *result;
	const char *code;
	char text[512];
};

/* Runs a command of rookery-control. Everything in call up to done_arg is set by the caller. */
enum admin_outcome admin_command_run(const char *command, struct admin_call *call);

bool admin_command_known(const char *command);

#endif
