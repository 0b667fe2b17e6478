/* SPDX-License-Identifier: BSD-3-Clause */
/* A connection to the admin API (control/admin_protocol.h), blocking. */
#ifndef ROOKERY_CONTROL_CLI_CLIENT_H
#define ROOKERY_CONTROL_CLI_CLIENT_H

#include <jansson.h>
#include <stddef.h>

#define CLIENT_TIMEOUT_S 30

struct client {
	int fd;
	unsigned timeout_s;
	json_int_t next_id;
	char *buffer; /* bytes received after the last line */
	size_t used, capacity;
};

/* Connects and checks the greeting, which must be of this program (ADMIN_CONTROL, ADMIN_LAUNCHER). Returns 0, or -errno with one line in error that says the mend:
 * -ENAMETOOLONG, -ENOENT, -ECONNREFUSED, -EACCES, -EPROTO (no Rookery server), -EPROTONOSUPPORT (another
 * version of the API), -ETIMEDOUT, ...
 */
int client_open(struct client *c, const char *path, const char *program, char *error, size_t error_cap);

/* How long the replies after this may take, instead of CLIENT_TIMEOUT_S. */
void client_patience(struct client *c, unsigned seconds);

/* Sends one request (args stolen; NULL: none) and reads its reply, a JSON object with "ok". Returns 0 or as
 * above. */
int client_call(struct client *c, const char *command, json_t *args, json_t **reply, char *error,
		size_t error_cap);

void client_close(struct client *c);

#endif
