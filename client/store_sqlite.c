/* SPDX-License-Identifier: BSD-3-Clause */
/* The client's store in an SQLite file (or in SQLite's memory: one implementation, one behaviour). */
#include "rookery/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define APPLICATION_ID 0x526b434c /* "RkCL" */
#define SCHEMA_VERSION 1

static const char schema[] =
	"CREATE TABLE IF NOT EXISTS outbox(local INTEGER PRIMARY KEY, first_id INTEGER NOT NULL,"
	" prev INTEGER NOT NULL, made_ms INTEGER NOT NULL, fragments INTEGER NOT NULL,"
	" nudge INTEGER NOT NULL, level INTEGER NOT NULL, reason INTEGER NOT NULL,"
	" recipient TEXT NOT NULL, text BLOB NOT NULL) STRICT;"
	"CREATE TABLE IF NOT EXISTS counter(which INTEGER PRIMARY KEY, value INTEGER NOT NULL) STRICT;"
	"CREATE TABLE IF NOT EXISTS conversation(name TEXT PRIMARY KEY, tail INTEGER NOT NULL,"
	" nudge INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS high(device INTEGER PRIMARY KEY, id INTEGER NOT NULL) STRICT;"
	"CREATE TABLE IF NOT EXISTS handed(device INTEGER PRIMARY KEY, id INTEGER NOT NULL) STRICT;"
	"CREATE TABLE IF NOT EXISTS name(user INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;"
	"CREATE TABLE IF NOT EXISTS server_key(one INTEGER PRIMARY KEY CHECK(one = 1), key BLOB NOT NULL)"
	" STRICT;"
	"CREATE TABLE IF NOT EXISTS ticket(one INTEGER PRIMARY KEY CHECK(one = 1), data BLOB NOT NULL) STRICT;";

enum statement {
	BEGIN, COMMIT, ROLLBACK,
	OUTBOX_PUT, OUTBOX_LIST, OUTBOX_DELETE,
	COUNTER_GET, COUNTER_PUT,
	CONVERSATION_GET, CONVERSATION_PUT, CONVERSATION_LIST,
	HIGH_GET, HIGH_PUT,
	SHOWING_GET, SHOWING_PUT,
	NAME_PUT, NAME_DELETE, NAME_GET, NAME_FIND,
	KEY_GET, KEY_PUT,
	TICKET_GET, TICKET_PUT, TICKET_DELETE,
	STATEMENTS
};

static const char *const sql[STATEMENTS] = {
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[OUTBOX_PUT] = "INSERT OR REPLACE INTO outbox VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)",
	[OUTBOX_LIST] = "SELECT * FROM outbox ORDER BY local",
	[OUTBOX_DELETE] = "DELETE FROM outbox WHERE local=?1",
	[COUNTER_GET] = "SELECT value FROM counter WHERE which=?1",
	[COUNTER_PUT] = "INSERT OR REPLACE INTO counter VALUES(?1,?2)",
	[CONVERSATION_GET] = "SELECT tail,nudge FROM conversation WHERE name=?1",
	[CONVERSATION_PUT] = "INSERT OR REPLACE INTO conversation VALUES(?1,?2,?3)",
	[CONVERSATION_LIST] = "SELECT name,tail,nudge FROM conversation WHERE nudge<>0",
	[HIGH_GET] = "SELECT id FROM high WHERE device=?1",
	[HIGH_PUT] = "INSERT OR REPLACE INTO high VALUES(?1,?2)",
	[SHOWING_GET] = "SELECT id FROM handed WHERE device=?1",
	[SHOWING_PUT] = "INSERT OR REPLACE INTO handed VALUES(?1,?2)",
	[NAME_PUT] = "INSERT OR REPLACE INTO name VALUES(?1,?2)",
	[NAME_DELETE] = "DELETE FROM name WHERE name=?1",
	[NAME_GET] = "SELECT name FROM name WHERE user=?1",
	[NAME_FIND] = "SELECT user FROM name WHERE name=?1",
	[KEY_GET] = "SELECT key FROM server_key",
	[TICKET_GET] = "SELECT data FROM ticket",
	[TICKET_PUT] = "INSERT OR REPLACE INTO ticket VALUES(1,?1)",
	[TICKET_DELETE] = "DELETE FROM ticket",
	[KEY_PUT] = "INSERT OR REPLACE INTO server_key VALUES(1,?1)",
};

struct store {
	struct rk_store vtable; /* state points to this struct */
	sqlite3 *db;
	sqlite3_stmt *statements[STATEMENTS];
};

static int
error_of(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	case SQLITE_CANTOPEN:
		return -ENOENT;
	case SQLITE_NOTADB:
	case SQLITE_CORRUPT:
		return -EPROTO;
	default:
		return -EIO;
	}
}

/* SQLite's integers are signed; all 64 bits survive the way there and back. */
static void
bind(sqlite3_stmt *s, int i, uint64_t v)
{
	sqlite3_bind_int64(s, i, (sqlite3_int64)v);
}

static uint64_t
column(sqlite3_stmt *s, int i)
{
	return (uint64_t)sqlite3_column_int64(s, i);
}

/* Runs a statement without a result. Whatever was bound is gone afterwards. */
static int
run(sqlite3_stmt *s)
{
	int rc = sqlite3_step(s);

	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	return error_of(rc);
}

/* Steps to the only row. Returns 0, or -ENOENT; the caller reads the columns and calls done. */
static int
row(sqlite3_stmt *s)
{
	int rc = sqlite3_step(s);

	return rc == SQLITE_DONE ? -ENOENT : error_of(rc);
}

static void
done(sqlite3_stmt *s)
{
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
}

static int
store_begin(void *state)
{
	struct store *st = state;

	/* One left open by a failed commit. */
	if (sqlite3_get_autocommit(st->db) == 0)
		run(st->statements[ROLLBACK]);
	return run(st->statements[BEGIN]);
}

static int
store_commit(void *state)
{
	return run(((struct store *)state)->statements[COMMIT]);
}

static int
store_rollback(void *state)
{
	struct store *st = state;

	return sqlite3_get_autocommit(st->db) != 0 ? 0 : run(st->statements[ROLLBACK]);
}

static int
outbox_put(void *state, const struct rk_outgoing *m)
{
	sqlite3_stmt *s = ((struct store *)state)->statements[OUTBOX_PUT];

	bind(s, 1, m->local);
	bind(s, 2, m->first_id);
	bind(s, 3, m->prev);
	bind(s, 4, m->made_ms);
	bind(s, 5, m->fragments);
	bind(s, 6, m->nudge);
	bind(s, 7, m->level);
	bind(s, 8, m->reason);
	sqlite3_bind_text(s, 9, m->to, -1, SQLITE_STATIC);
	sqlite3_bind_blob64(s, 10, m->text_len > 0 ? m->text : "", m->text_len, SQLITE_STATIC);
	return run(s);
}

static int
outbox_list(void *state, int (*each)(void *arg, const struct rk_outgoing *m), void *arg)
{
	sqlite3_stmt *s = ((struct store *)state)->statements[OUTBOX_LIST];
	int r = 0, rc;

	while (r == 0 && (rc = sqlite3_step(s)) != SQLITE_DONE) {
		const char *to;
		struct rk_outgoing m;

		r = error_of(rc);
		if (r < 0)
			break;
		to = (const char *)sqlite3_column_text(s, 8);
		m = (struct rk_outgoing){.local = column(s, 0),
					 .first_id = column(s, 1),
					 .prev = column(s, 2),
					 .made_ms = column(s, 3),
					 .fragments = (uint32_t)column(s, 4),
					 .nudge = (uint8_t)column(s, 5),
					 .level = (uint8_t)column(s, 6),
					 .reason = (uint8_t)column(s, 7),
					 .text = sqlite3_column_blob(s, 9),
					 .text_len = (size_t)sqlite3_column_bytes(s, 9)};
		if (to == NULL || strlen(to) > RK_NAME_MAX) {
			r = -EPROTO;
			break;
		}
		strcpy(m.to, to);
		r = each(arg, &m);
	}
	done(s);
	return r;
}

static int
outbox_delete(void *state, uint64_t local)
{
	sqlite3_stmt *s = ((struct store *)state)->statements[OUTBOX_DELETE];

	bind(s, 1, local);
	return run(s);
}

/* The value of column 0 for key ?1. */
static int
get(sqlite3_stmt *s, uint64_t key, uint64_t *value)
{
	int r;

	bind(s, 1, key);
	r = row(s);
	if (r == 0)
		*value = column(s, 0);
	done(s);
	return r;
}

static int
put(sqlite3_stmt *s, uint64_t key, uint64_t value)
{
	bind(s, 1, key);
	bind(s, 2, value);
	return run(s);
}

static int
counter_get(void *state, enum rk_counter which, uint64_t *value)
{
	return get(((struct store *)state)->statements[COUNTER_GET], (uint64_t)which, value);
}

static int
counter_put(void *state, enum rk_counter which, uint64_t value)
{
	return put(((struct store *)state)->statements[COUNTER_PUT], (uint64_t)which, value);
}

static int
conversation_get(void *state, const char *name, struct rk_conversation *v)
{
	sqlite3_stmt *s = ((struct store *)state)->statements[CONVERSATION_GET];
	int r;

	sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
	r = row(s);
	if (r == 0)
		*v = (struct rk_conversation){.tail = column(s, 0), .nudge = column(s, 1)};
	done(s);
	return r;
}

static int
conversation_put(void *state, const char *name, const struct rk_conversation *v)
{
	sqlite3_stmt *s = ((struct store *)state)->statements[CONVERSATION_PUT];

	sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
	bind(s, 2, v->tail);
	bind(s, 3, v->nudge);
	return run(s);
}

static int
conversation_list(void *state, int (*each)(void *arg, const char *name, const struct rk_conversation *v), void *arg)
{
	sqlite3_stmt *s = ((struct store *)state)->statements[CONVERSATION_LIST];
	int r = 0, rc;

	while (r == 0 && (rc = sqlite3_step(s)) != SQLITE_DONE) {
		struct rk_conversation v = {0};
		const char *name;

		r = error_of(rc);
		if (r < 0)
			break;
		name = (const char *)sqlite3_column_text(s, 0);
		v.tail = column(s, 1);
		v.nudge = column(s, 2);
		r = name == NULL || strlen(name) > RK_NAME_MAX ? -EPROTO : each(arg, name, &v);
	}
	done(s);
	return r;
}

static int
high_get(void *state, uint64_t device, uint64_t *id)
{
	return get(((struct store *)state)->statements[HIGH_GET], device, id);
}

static int
high_put(void *state, uint64_t device, uint64_t id)
{
	return put(((struct store *)state)->statements[HIGH_PUT], device, id);
}

static int
showing_get(void *state, uint64_t device, uint64_t *id)
{
	return get(((struct store *)state)->statements[SHOWING_GET], device, id);
}

static int
showing_put(void *state, uint64_t device, uint64_t id)
{
	return put(((struct store *)state)->statements[SHOWING_PUT], device, id);
}

static int
name_put(void *state, uint64_t user, const char *name)
{
	struct store *st = state;
	sqlite3_stmt *s = st->statements[user != 0 ? NAME_PUT : NAME_DELETE];
	int at = 1;

	if (user != 0)
		bind(s, at++, user);
	sqlite3_bind_text(s, at, name, -1, SQLITE_STATIC);
	return run(s);
}

static int
name_get(void *state, uint64_t user, char name[RK_NAME_MAX + 1])
{
	sqlite3_stmt *s = ((struct store *)state)->statements[NAME_GET];
	int r;

	bind(s, 1, user);
	r = row(s);
	if (r == 0) {
		const char *text = (const char *)sqlite3_column_text(s, 0);

		if (text == NULL || strlen(text) > RK_NAME_MAX)
			r = -EPROTO;
		else
			strcpy(name, text);
	}
	done(s);
	return r;
}

static int
name_find(void *state, const char *name, uint64_t *user)
{
	sqlite3_stmt *s = ((struct store *)state)->statements[NAME_FIND];
	int r;

	sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
	r = row(s);
	if (r == 0)
		*user = column(s, 0);
	done(s);
	return r;
}

static int
server_key_get(void *state, uint8_t key[RK_KEY_SIZE])
{
	sqlite3_stmt *s = ((struct store *)state)->statements[KEY_GET];
	int r = row(s);

	if (r == 0) {
		const void *blob = sqlite3_column_blob(s, 0);

		if (blob == NULL || sqlite3_column_bytes(s, 0) != RK_KEY_SIZE)
			r = -EPROTO;
		else
			memcpy(key, blob, RK_KEY_SIZE);
	}
	done(s);
	return r;
}

static int
server_key_put(void *state, const uint8_t key[RK_KEY_SIZE])
{
	sqlite3_stmt *s = ((struct store *)state)->statements[KEY_PUT];

	sqlite3_bind_blob(s, 1, key, RK_KEY_SIZE, SQLITE_STATIC);
	return run(s);
}

static int
ticket_get(void *state, void *data, size_t *len)
{
	sqlite3_stmt *s = ((struct store *)state)->statements[TICKET_GET];
	int r = row(s);

	if (r == 0) {
		const void *blob = sqlite3_column_blob(s, 0);
		size_t size = (size_t)sqlite3_column_bytes(s, 0);

		if (blob == NULL || size > *len)
			r = -ENOENT;
		else
			memcpy(data, blob, *len = size);
	}
	done(s);
	return r;
}

static int
ticket_put(void *state, const void *data, size_t len)
{
	struct store *st = state;
	sqlite3_stmt *s = st->statements[len == 0 ? TICKET_DELETE : TICKET_PUT];

	if (len != 0)
		sqlite3_bind_blob64(s, 1, data, len, SQLITE_STATIC);
	return run(s);
}

static int
forget(void *state)
{
	struct store *st = state;

	return error_of(sqlite3_exec(st->db,
				     "BEGIN IMMEDIATE; DELETE FROM high; DELETE FROM handed;"
				     "DELETE FROM conversation; DELETE FROM name; COMMIT;",
				     NULL, NULL, NULL));
}

static void
store_close(void *state)
{
	struct store *st = state;

	for (int i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(st->statements[i]);
	sqlite3_close(st->db);
	free(st);
}

static const struct rk_store functions = {
	.begin = store_begin, .commit = store_commit, .rollback = store_rollback,
	.outbox_put = outbox_put, .outbox_list = outbox_list, .outbox_delete = outbox_delete,
	.counter_get = counter_get, .counter_put = counter_put,
	.conversation_get = conversation_get, .conversation_put = conversation_put,
	.conversation_list = conversation_list,
	.high_get = high_get, .high_put = high_put,
	.showing_get = showing_get, .showing_put = showing_put,
	.name_put = name_put, .name_get = name_get, .name_find = name_find,
	.server_key_get = server_key_get, .server_key_put = server_key_put,
	.forget = forget, .close = store_close,
	.ticket_get = ticket_get, .ticket_put = ticket_put,
};

/* ---- open -------------------------------------------------------------------------------- */

static int
pragma(sqlite3 *db, const char *text, int *value)
{
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(db, text, -1, &s, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(s);
	if (rc == SQLITE_ROW && value != NULL)
		*value = sqlite3_column_int(s, 0);
	sqlite3_finalize(s);
	return error_of(rc);
}

/* Is this a store of ours, or an empty file? Takes the lock that keeps a second process out. */
static int
claim(sqlite3 *db)
{
	int application = 0, version = 0, tables = 0, r;

	/* Before anything is read: then the lock is kept until the file is closed. */
	r = pragma(db, "PRAGMA locking_mode=EXCLUSIVE", NULL);
	if (r == 0)
		r = error_of(sqlite3_exec(db, "BEGIN EXCLUSIVE; COMMIT", NULL, NULL, NULL));
	if (r == 0)
		r = pragma(db, "PRAGMA application_id", &application);
	if (r == 0)
		r = pragma(db, "PRAGMA user_version", &version);
	if (r == 0)
		r = pragma(db, "SELECT count(*) FROM sqlite_master", &tables);
	if (r < 0)
		return r;
	if (tables == 0 && application == 0 && version == 0)
		return 0;
	return application == APPLICATION_ID && version == SCHEMA_VERSION ? 0 : -EPROTO;
}

static int
prepare(struct store *st)
{
	char *mark;
	int r;

	r = claim(st->db);
	if (r == 0)
		r = pragma(st->db, "PRAGMA journal_mode=WAL", NULL);
	if (r == 0)
		r = pragma(st->db, "PRAGMA synchronous=NORMAL", NULL);
	/* Secrets of old tickets are overwritten. */
	if (r == 0)
		r = pragma(st->db, "PRAGMA secure_delete=ON", NULL);
	if (r == 0)
		r = error_of(sqlite3_exec(st->db, "BEGIN EXCLUSIVE", NULL, NULL, NULL));
	if (r == 0)
		r = error_of(sqlite3_exec(st->db, schema, NULL, NULL, NULL));
	mark = sqlite3_mprintf("PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT", APPLICATION_ID,
			       SCHEMA_VERSION);
	if (mark == NULL)
		r = -ENOMEM;
	if (r == 0)
		r = error_of(sqlite3_exec(st->db, mark, NULL, NULL, NULL));
	sqlite3_free(mark);
	for (int i = 0; r == 0 && i < STATEMENTS; i++)
		r = error_of(sqlite3_prepare_v3(st->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT,
						&st->statements[i], NULL));
	return r;
}

static int
open_store(struct rk_store **store, const char *path)
{
	struct store *st = calloc(1, sizeof(*st));
	int r;

	*store = NULL;
	if (st == NULL)
		return -ENOMEM;
	st->vtable = functions;
	st->vtable.state = st;
	r = error_of(sqlite3_open_v2(path, &st->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL));
	if (r == 0)
		r = prepare(st);
	if (r < 0) {
		store_close(st);
		return r;
	}
	*store = &st->vtable;
	return 0;
}

struct rk_store *
rk_store_memory(void)
{
	struct rk_store *store;

	return open_store(&store, ":memory:") == 0 ? store : NULL;
}

int
rk_store_open(struct rk_store **store, const char *path)
{
	/* SQLite would make the file readable for all; what it makes beside it has the same mode as the
	 * file. */
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	*store = NULL;
	if (fd < 0)
		return -errno;
	close(fd);
	return open_store(store, path);
}

void
rk_store_close(struct rk_store *store)
{
	if (store != NULL)
		store->close(store->state);
}
