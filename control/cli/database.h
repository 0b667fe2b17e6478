/* SPDX-License-Identifier: BSD-3-Clause */
/* Copies of a server's database file, for backup and restore. Works beside a running server: SQLite lets us read one
 * state of the database while control goes on writing. */
#ifndef ROOKERY_CONTROL_CLI_DATABASE_H
#define ROOKERY_CONTROL_CLI_DATABASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct database_info {
	int schema;
	uint64_t bytes, users, messages;
};

/*
 * Copies the database `from` to a new file `to` (0600; must not exist), checks the copy from end to end and flushes
 * it to disk. forget_sessions: the copy is to be run, not kept. Returns 0, or -errno with one line in error; then
 * there is no `to`.
 *
 * A session that is restored would get keys that it had before, with packet counters that begin anew: sessions must
 * be forgotten, and devices log in again by themselves.
 */
int database_copy(const char *from, const char *to, bool forget_sessions, struct database_info *info, char *error,
		  size_t cap);

#endif
