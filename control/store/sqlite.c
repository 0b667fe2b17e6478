// SPDX-License-Identifier: BSD-3-Clause
/* The database file: opening, schema, transactions, errors, statements. The tables are in sqlite_*.c. */
#include "sqlite.h"

#include "shared/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The event loop waits here for another process (a backup, an operator's sqlite3): short. */
#define BUSY_TIMEOUT_MS 100

/* Each brings the schema from version i to i + 1. Never change one that was released: append. */
static const char *const migrations[] = {
	/* Ids are never used again (AUTOINCREMENT): a device id names its messages for ever, a seq is a
	   delivery token. */
	"CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE users(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,"
	"  hash TEXT NOT NULL, text TEXT NOT NULL DEFAULT '', created_ms INTEGER NOT NULL);"
	"CREATE TABLE devices(id INTEGER PRIMARY KEY AUTOINCREMENT,"
	"  user INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE, key BLOB NOT NULL UNIQUE,"
	"  name TEXT NOT NULL, login_timestamp INTEGER NOT NULL, last_message_id INTEGER NOT NULL DEFAULT 0,"
	"  last_seen_ms INTEGER NOT NULL, messages INTEGER NOT NULL DEFAULT 0);"
	"CREATE INDEX devices_user ON devices(user);"
	"CREATE TABLE sessions(sid INTEGER PRIMARY KEY, user INTEGER REFERENCES users(id) ON DELETE CASCADE,"
	"  device INTEGER REFERENCES devices(id) ON DELETE CASCADE, key BLOB NOT NULL UNIQUE,"
	"  ephemeral BLOB NOT NULL, secret BLOB NOT NULL, instance INTEGER NOT NULL,"
	"  login_ms INTEGER NOT NULL, login_timestamp INTEGER NOT NULL, peer BLOB NOT NULL,"
	"  port INTEGER NOT NULL, status INTEGER NOT NULL, device_name TEXT NOT NULL, reply BLOB NOT NULL);"
	"CREATE INDEX sessions_user ON sessions(user);"
	"CREATE INDEX sessions_device ON sessions(device);"
	"CREATE TABLE relations(owner INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE,"
	"  peer INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE, state INTEGER NOT NULL,"
	"  blocked INTEGER NOT NULL, grp TEXT NOT NULL, remark TEXT NOT NULL, text TEXT NOT NULL,"
	"  PRIMARY KEY(owner, peer)) WITHOUT ROWID;"
	"CREATE INDEX relations_peer ON relations(peer);"
	/* The peer may be gone for good when the user hears of it: no reference. */
	"CREATE TABLE events(id INTEGER PRIMARY KEY AUTOINCREMENT,"
	"  user INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE, peer INTEGER NOT NULL,"
	"  peer_name TEXT NOT NULL, state INTEGER NOT NULL, text TEXT NOT NULL, version INTEGER NOT NULL,"
	"  UNIQUE(user, peer));"
	"CREATE TABLE messages(seq INTEGER PRIMARY KEY AUTOINCREMENT,"
	"  device INTEGER NOT NULL REFERENCES devices(id) ON DELETE CASCADE, sender INTEGER NOT NULL,"
	"  from_device INTEGER NOT NULL, id INTEGER NOT NULL, sent_at INTEGER NOT NULL,"
	"  stored_ms INTEGER NOT NULL, prev_delta INTEGER NOT NULL, floor_delta INTEGER NOT NULL,"
	"  flags INTEGER NOT NULL, body BLOB NOT NULL, UNIQUE(device, from_device, id));"
	"CREATE INDEX messages_device ON messages(device, seq);"
	"CREATE INDEX messages_stored ON messages(stored_ms);"
	"CREATE TRIGGER messages_in AFTER INSERT ON messages BEGIN"
	"  UPDATE devices SET messages = messages + 1 WHERE id = new.device; END;"
	"CREATE TRIGGER messages_out AFTER DELETE ON messages BEGIN"
	"  UPDATE devices SET messages = messages - 1 WHERE id = old.device; END;",
	/* Its user's password was changed since this device proved to know it. */
	"ALTER TABLE devices ADD COLUMN locked INTEGER NOT NULL DEFAULT 0;",
	("CREATE TABLE bans(address BLOB NOT NULL, bits INTEGER NOT NULL, created_ms INTEGER NOT NULL,"
	 "  until_ms INTEGER NOT NULL, reason TEXT NOT NULL, PRIMARY KEY(address, bits)) WITHOUT ROWID;"),
};

#define SCHEMA_VERSION ((int)(sizeof(migrations) / sizeof(migrations[0])))

int
store_schema_version(void)
{
	return SCHEMA_VERSION;
}

/* ---- errors ------------------------------------------------------------------------- */

static int
error_set(struct store *st, int code)
{
	const char *mend = "see the server's log and `sqlite3 rookery.db 'PRAGMA integrity_check'`";
	int rc = -EIO;

	switch (code & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		mend = "end the other program that holds it (a backup, a second server, the sqlite3 shell)";
		rc = -EBUSY;
		break;
	case SQLITE_FULL:
		mend = "make room on its disk";
		rc = -ENOSPC;
		break;
	case SQLITE_READONLY:
	case SQLITE_PERM:
		mend = "make it and its folder writable for the server's user";
		rc = -EROFS;
		break;
	case SQLITE_CANTOPEN:
		mend = "its folder must exist and be writable for the server's user";
		break;
	case SQLITE_NOTADB:
	case SQLITE_CORRUPT:
		mend = "restore it from a backup";
		break;
	case SQLITE_CONSTRAINT:
		rc = code == SQLITE_CONSTRAINT_FOREIGNKEY ? -ENOENT : -EEXIST;
		break;
	}
	snprintf(st->error, sizeof(st->error), "%s: %s; %s", st->path, st->db == NULL ? sqlite3_errstr(code) :
		 sqlite3_errmsg(st->db), mend);
	return rc;
}

const char *
store_error(const struct store *st)
{
	return st->error;
}

/* ---- statements --------------------------------------------------------------------- */

sqlite3_stmt *
statement(struct store *st, enum statement which, const char *sql)
{
	sqlite3_stmt **q = &st->statements[which];
	int code;

	if (*q == NULL) {
		code = sqlite3_prepare_v3(st->db, sql, -1, SQLITE_PREPARE_PERSISTENT, q, NULL);
		if (code != SQLITE_OK) {
			error_set(st, code);
			return NULL;
		}
	}
	sqlite3_reset(*q);
	sqlite3_clear_bindings(*q);
	return *q;
}

int
statement_run(struct store *st, sqlite3_stmt *q)
{
	int code, rc = 0;

	if (q == NULL)
		return -EIO;
	if (!st->in_transaction)
		return -EROFS;
	code = sqlite3_step(q);
	if (code != SQLITE_DONE && code != SQLITE_ROW)
		rc = error_set(st, sqlite3_extended_errcode(st->db));
	sqlite3_reset(q);
	return rc;
}

int
statement_step(struct store *st, sqlite3_stmt *q)
{
	int code, rc;

	if (q == NULL)
		return -EIO;
	code = sqlite3_step(q);
	if (code == SQLITE_ROW)
		return 1;
	rc = code == SQLITE_DONE ? 0 : error_set(st, sqlite3_extended_errcode(st->db));
	sqlite3_reset(q);
	return rc;
}

void
statement_end(sqlite3_stmt *q)
{
	sqlite3_reset(q);
}

void
bind_u64(sqlite3_stmt *q, int i, uint64_t v)
{
	sqlite3_bind_int64(q, i, (sqlite3_int64)v);
}

/* What is bound must stay until the statement ran: every caller binds and runs in one function. */
void
bind_text(sqlite3_stmt *q, int i, const char *text)
{
	sqlite3_bind_text(q, i, text, -1, SQLITE_STATIC);
}

void
bind_blob(sqlite3_stmt *q, int i, const void *data, size_t len)
{
	/* A NULL pointer would bind NULL, which is not the empty blob. */
	sqlite3_bind_blob(q, i, len == 0 ? "" : data, (int)len, SQLITE_STATIC);
}

uint64_t
column_u64(sqlite3_stmt *q, int i)
{
	return (uint64_t)sqlite3_column_int64(q, i);
}

void
column_text(sqlite3_stmt *q, int i, char *buf, size_t cap)
{
	const void *text = sqlite3_column_text(q, i);
	size_t len = text == NULL ? 0 : (size_t)sqlite3_column_bytes(q, i);

	if (len > cap - 1)
		len = cap - 1;
	if (len != 0)
		memcpy(buf, text, len);
	buf[len] = '\0';
}

void
column_blob(sqlite3_stmt *q, int i, void *buf, size_t len)
{
	const void *data = sqlite3_column_blob(q, i);

	if (data != NULL && (size_t)sqlite3_column_bytes(q, i) == len)
		memcpy(buf, data, len);
	else
		memset(buf, 0, len);
}

void *
rows_next(struct rows *r)
{
	if (r->count == r->capacity) {
		uint32_t capacity = r->capacity == 0 ? 16 : r->capacity * 2;
		void *data = realloc(r->data, capacity * r->size);

		if (data == NULL) {
			r->failed = true;
			return NULL;
		}
		r->data = data;
		r->capacity = capacity;
	}
	return memset(r->data + r->size * r->count++, 0, r->size);
}

int
rows_end(struct rows *r, int rc, void *out)
{
	if (rc >= 0 && r->failed)
		rc = -ENOMEM;
	if (rc < 0) {
		free(r->data);
		r->data = NULL;
	} else {
		rc = (int)r->count;
	}
	memcpy(out, &r->data, sizeof(r->data));
	return rc;
}

/* ---- transactions ------------------------------------------------------------------- */

int
store_begin(struct store *st)
{
	sqlite3_stmt *q = statement(st, STATEMENT_BEGIN, "BEGIN IMMEDIATE");
	int rc = statement_step(st, q);

	if (rc < 0)
		return rc;
	st->in_transaction = true;
	return 0;
}

int
store_commit(struct store *st)
{
	sqlite3_stmt *q = statement(st, STATEMENT_COMMIT, "COMMIT");
	uint64_t start_us = histogram_clock_us();
	int rc = statement_step(st, q);

	if (rc < 0) {
		store_rollback(st);
		return rc;
	}
	histogram_add(&st->commit_latency, histogram_clock_us() - start_us, 1);
	st->in_transaction = false;
	return 0;
}

const struct histogram *
store_commit_latency(const struct store *st)
{
	return &st->commit_latency;
}

void
store_rollback(struct store *st)
{
	char kept[sizeof(st->error)];

	memcpy(kept, st->error, sizeof(kept));
	/* After some errors SQLite has rolled back by itself. */
	if (!sqlite3_get_autocommit(st->db))
		sqlite3_exec(st->db, "ROLLBACK", NULL, NULL, NULL);
	st->in_transaction = false;
	memcpy(st->error, kept, sizeof(kept));
}

void
store_read_begin(struct store *st)
{
	/* Without it each read is a transaction of its own. */
	(void)statement_step(st, statement(st, STATEMENT_READ_BEGIN, "BEGIN"));
}

void
store_read_end(struct store *st)
{
	if (!sqlite3_get_autocommit(st->db))
		(void)statement_step(st, statement(st, STATEMENT_COMMIT, "COMMIT"));
}

uint64_t
store_changes(const struct store *st)
{
	return (uint64_t)sqlite3_total_changes64(st->db);
}

/* ---- open --------------------------------------------------------------------------- */

static int
exec(struct store *st, const char *sql)
{
	int code = sqlite3_exec(st->db, sql, NULL, NULL, NULL);

	return code == SQLITE_OK ? 0 : error_set(st, sqlite3_extended_errcode(st->db));
}

static int
schema_version(struct store *st, int *version)
{
	sqlite3_stmt *q = NULL;
	int code = sqlite3_prepare_v2(st->db, "PRAGMA user_version", -1, &q, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_step(q);
	if (code == SQLITE_ROW)
		*version = sqlite3_column_int(q, 0);
	sqlite3_finalize(q);
	return code == SQLITE_ROW ? 0 : error_set(st, code);
}

static int
schema_migrate(struct store *st)
{
	char pragma[64];
	int version = 0, before, rc;

	rc = schema_version(st, &version);
	if (rc < 0)
		return rc;
	if (version > SCHEMA_VERSION) {
		snprintf(
			st->error, sizeof(st->error),
			"%s: its schema has version %d, this program knows %d; "
			 "run the newer program or restore a backup",
			st->path, version, SCHEMA_VERSION);
		return -EPROTO;
	}
	before = version;
	for (; version < SCHEMA_VERSION; version++) {
		snprintf(pragma, sizeof(pragma), "PRAGMA user_version = %d", version + 1);
		rc = exec(st, "BEGIN IMMEDIATE");
		if (rc == 0)
			rc = exec(st, migrations[version]);
		if (rc == 0)
			rc = exec(st, pragma);
		if (rc == 0)
			rc = exec(st, "COMMIT");
		if (rc < 0) {
			store_rollback(st);
			return rc;
		}
	}
	if (before == 0)
		log_info(store, "new database", "path=\"%s\" version=%d", st->path, version);
	else if (before != version)
		log_info(store, "database schema brought up to date", "path=\"%s\" from=%d version=%d", st->path, before, version);
	return 0;
}

/* SQLite gives its WAL and index the mode of the database, so that it is enough to make that one private. */
static int
file_make(struct store *st)
{
	int fd, rc;

	if (strcmp(st->path, ":memory:") == 0) /* a test's */
		return 0;
	fd = open(st->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0) {
		rc = -errno;
		snprintf(st->error, sizeof(st->error),
			 "%s: %s; its folder must exist and be writable for the server's user", st->path,
			 strerror(-rc));
		return rc;
	}
	rc = fchmod(fd, 0600) == 0 ? 0 : -errno;
	close(fd);
	if (rc < 0)
		snprintf(st->error, sizeof(st->error), "%s: cannot make it private: %s", st->path,
			 strerror(-rc));
	return rc;
}

static int
database_open(struct store *st)
{
	int code = sqlite3_open_v2(st->path, &st->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	int rc;

	if (code != SQLITE_OK)
		return error_set(st, code);
	sqlite3_extended_result_codes(st->db, 1);
	sqlite3_busy_timeout(st->db, BUSY_TIMEOUT_MS);
	rc = exec(st, "PRAGMA journal_mode = WAL");
	if (rc == 0) /* FULL: a commit survives a loss of power, not only the death of the process */
		rc = exec(st,
			  "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;"
			  "PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384");
	return rc == 0 ? schema_migrate(st) : rc;
}

int
store_open(struct store **out, const char *path, char *error, size_t cap)
{
	struct store *st = calloc(1, sizeof(*st));
	int rc = -ENOMEM;

	*out = NULL;
	/* SQLite counts its memory otherwise, under a lock. Refused once it is in use, which does no harm. */
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	if (st != NULL)
		st->path = strdup(path);
	if (st == NULL || st->path == NULL) {
		snprintf(error, cap, "%s: out of memory", path);
		free(st);
		return rc;
	}
	rc = file_make(st);
	if (rc == 0)
		rc = database_open(st);
	if (rc < 0) {
		snprintf(error, cap, "%s", st->error);
		store_close(st);
		return rc;
	}
	*out = st;
	return 0;
}

void
store_close(struct store *st)
{
	if (st == NULL)
		return;
	for (unsigned i = 0; i < STATEMENT_COUNT; i++)
		sqlite3_finalize(st->statements[i]);
	sqlite3_close(st->db);
	free(st->path);
	free(st);
}

int
store_limit_pages(struct store *st, uint32_t pages)
{
	char pragma[64];

	snprintf(pragma, sizeof(pragma), "PRAGMA max_page_count = %u", pages == 0 ? 0x7ffffffeu : pages);
	return exec(st, pragma);
}
