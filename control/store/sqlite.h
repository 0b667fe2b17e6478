/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside of the SQLite store: one place for errors and for prepared statements. */
#ifndef ROOKERY_CONTROL_STORE_SQLITE_H
#define ROOKERY_CONTROL_STORE_SQLITE_H

#include "store.h"

#include <sqlite3.h>

/* Prepared at first use, kept until store_close. Each call site has a slot of its own. */
enum statement {
	STATEMENT_BEGIN,
	STATEMENT_COMMIT,
	STATEMENT_READ_BEGIN,
	STATEMENT_META_GET,
	STATEMENT_META_SET,
	STATEMENT_COUNTS,
	STATEMENT_USER_ADD,
	STATEMENT_USER_BY_NAME,
	STATEMENT_USER_BY_ID,
	STATEMENT_USER_HASH,
	STATEMENT_USER_CLOSE,
	STATEMENT_USER_OPEN,
	STATEMENT_USER_TEXT,
	STATEMENT_USER_DEL,
	STATEMENT_USERS_PREFIX,
	STATEMENT_USERS,
	STATEMENT_DEVICE_ADD,
	STATEMENT_DEVICE_BY_KEY,
	STATEMENT_DEVICE_BY_ID,
	STATEMENT_DEVICE_LOGIN,
	STATEMENT_DEVICE_SEEN,
	STATEMENT_DEVICE_VOID,
	STATEMENT_DEVICE_UNLOCK,
	STATEMENT_DEVICES_LOCK,
	STATEMENT_DEVICE_DEL,
	STATEMENT_DEVICE_MESSAGE,
	STATEMENT_DEVICES,
	STATEMENT_DEVICES_RECENT,
	STATEMENT_SESSION_PUT,
	STATEMENT_SESSION_USER,
	STATEMENT_SESSION_PEER,
	STATEMENT_SESSION_STATUS,
	STATEMENT_SESSION_DEL,
	STATEMENT_SESSION_DEL_KEY,
	STATEMENT_SESSION_GET,
	STATEMENT_SESSIONS,
	STATEMENT_RELATION_GET,
	STATEMENT_RELATION_PUT,
	STATEMENT_RELATION_DEL,
	STATEMENT_RELATIONS,
	STATEMENT_RELATION_COUNT,
	STATEMENT_EVENT_PUT,
	STATEMENT_EVENT_DEL,
	STATEMENT_EVENT_DEL_PAIR,
	STATEMENT_EVENTS,
	STATEMENT_MESSAGE_PUT,
	STATEMENT_MESSAGE_EXISTS,
	STATEMENT_MESSAGES,
	STATEMENT_MESSAGE_LAST,
	STATEMENT_MESSAGE_DEL,
	STATEMENT_MESSAGES_EXPIRE,
	STATEMENT_BAN_PUT,
	STATEMENT_BAN_DEL,
	STATEMENT_BANS_EXPIRE,
	STATEMENT_BANS,
	STATEMENT_COUNT
};

struct store {
	sqlite3 *db;
	bool in_transaction;
	struct histogram commit_latency;
	char *path;
	char error[256];
	sqlite3_stmt *statements[STATEMENT_COUNT];
};

/* The statement, reset, or NULL (store_error is set; statement_run and statement_step then return -EIO). */
sqlite3_stmt *statement(struct store *st, enum statement which, const char *sql);
/* A change: 0, or -errno; outside of a transaction -EROFS. Resets the statement. */
int statement_run(struct store *st, sqlite3_stmt *q);
/* A row of a query: 1, 0 at the end (the statement is then reset), -errno (reset). */
int statement_step(struct store *st, sqlite3_stmt *q);
/* Ends a query before its end. */
void statement_end(sqlite3_stmt *q);

void bind_u64(sqlite3_stmt *q, int i, uint64_t v);
void bind_text(sqlite3_stmt *q, int i, const char *text);
void bind_blob(sqlite3_stmt *q, int i, const void *data, size_t len);
uint64_t column_u64(sqlite3_stmt *q, int i);
void column_text(sqlite3_stmt *q, int i, char *buf, size_t cap);
/* Copies exactly len bytes; zeros when the column has another length. */
void column_blob(sqlite3_stmt *q, int i, void *buf, size_t len);

/* A growing array of rows of one size. rows_next returns a zeroed row, NULL without memory (rows_end then
 * frees all and returns -ENOMEM). rows_end: hands the array over and returns the count, or frees it and
 * returns rc < 0. */
struct rows {
	size_t size;
	uint8_t *data;
	uint32_t count;
	uint32_t capacity;
	bool failed;
};
void *rows_next(struct rows *r);
int rows_end(struct rows *r, int rc, void *out);

#endif
