/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/cli/database.h"

#include "control/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUSY_MS 5000
#define BUSY_TRIES 100
#define BUSY_PAUSE_MS 50

static int
fail(sqlite3 *db, const char *path, int code, char *error, size_t cap)
{
	snprintf(error, cap, "%s: %s", path, db ? sqlite3_errmsg(db) : sqlite3_errstr(code));
	return (code & 0xff) == SQLITE_FULL ? -ENOSPC : -EIO;
}

static int
open_source(const char *path, sqlite3 **db, char *error, size_t cap)
{
	struct stat st;
	*db = NULL;
	if (stat(path, &st) < 0) {
		int r = -errno;
		snprintf(error, cap, "%s: %s", path, strerror(-r));
		return r;
	}
	/* Not read-only: the first reader of a database after a crash has to put its log in order. */
	int code = sqlite3_open_v2(path, db, SQLITE_OPEN_READWRITE, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_busy_timeout(*db, BUSY_MS);
	return code == SQLITE_OK ? 0 : fail(*db, path, code, error, cap);
}

static int
open_copy(const char *path, sqlite3 **db, char *error, size_t cap)
{
	*db = NULL;
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0) {
		int r = -errno;
		snprintf(error, cap, "%s: %s", path, strerror(-r));
		return r;
	}
	close(fd);
	int code = sqlite3_open_v2(path, db, SQLITE_OPEN_READWRITE, NULL);
	return code == SQLITE_OK ? 0 : fail(*db, path, code, error, cap);
}

/* All pages in one step, so that they are of one moment. */
static int
copy_pages(sqlite3 *from, const char *from_path, sqlite3 *to, const char *to_path, char *error, size_t cap)
{
	sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");
	if (!backup)
		return fail(to, to_path, SQLITE_ERROR, error, cap);
	int code = sqlite3_backup_step(backup, -1);
	for (int i = 0; i < BUSY_TRIES && (code == SQLITE_BUSY || code == SQLITE_LOCKED); i++) {
		sqlite3_sleep(BUSY_PAUSE_MS);
		code = sqlite3_backup_step(backup, -1);
	}
	sqlite3_backup_finish(backup);
	if (code == SQLITE_DONE)
		return 0;
	/* A disk that is full concerns the copy; the rest is likelier to be the source's. */
	if ((code & 0xff) == SQLITE_FULL || (code & 0xff) == SQLITE_IOERR)
		return fail(NULL, to_path, code, error, cap);
	return fail(NULL, from_path, code, error, cap);
}

/* The first column of the first row. Returns 0 or -errno with a line in error. */
static int
ask(sqlite3 *db, const char *path, const char *sql, char *text, size_t text_cap, uint64_t *number, char *error,
    size_t cap)
{
	sqlite3_stmt *q = NULL;
	int code = sqlite3_prepare_v2(db, sql, -1, &q, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_step(q);
	if (code == SQLITE_ROW && text)
		snprintf(text, text_cap, "%s", (const char *)sqlite3_column_text(q, 0));
	if (code == SQLITE_ROW && number)
		*number = (uint64_t)sqlite3_column_int64(q, 0);
	int r = code == SQLITE_ROW ? 0 : fail(db, path, code, error, cap);
	sqlite3_finalize(q);
	return r;
}

static int
check(sqlite3 *db, const char *from, struct database_info *info, char *error, size_t cap)
{
	char verdict[256];
	uint64_t schema = 0, pages = 0, size = 0;
	int r = ask(db, from, "PRAGMA integrity_check(1)", verdict, sizeof(verdict), NULL, error, cap);
	if (r == 0 && strcmp(verdict, "ok") != 0) {
		snprintf(error, cap, "%s is damaged: %s", from, verdict);
		return -EIO;
	}
	if (r == 0)
		r = ask(db, from, "PRAGMA user_version", NULL, 0, &schema, error, cap);
	if (r == 0 && (schema == 0 || (int)schema > store_schema_version())) {
		snprintf(error, cap,
			 schema == 0 ? "%s is no database of a Rookery server"
				     : "%s has schema version %d, this rookctl knows %d: use the newer program",
			 from, (int)schema, store_schema_version());
		return -EPROTO;
	}
	info->schema = (int)schema;
	if (r == 0)
		r = ask(db, from, "SELECT count(*) FROM users", NULL, 0, &info->users, error, cap);
	if (r == 0)
		r = ask(db, from, "SELECT count(*) FROM messages", NULL, 0, &info->messages, error, cap);
	if (r == 0)
		r = ask(db, from, "PRAGMA page_count", NULL, 0, &pages, error, cap);
	if (r == 0)
		r = ask(db, from, "PRAGMA page_size", NULL, 0, &size, error, cap);
	info->bytes = pages * size;
	return r;
}

static int
flush_file(const char *path, char *error, size_t cap)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	int r = fd < 0 || fsync(fd) < 0 ? -errno : 0;
	if (fd >= 0)
		close(fd);
	if (r < 0)
		snprintf(error, cap, "%s: %s", path, strerror(-r));
	return r;
}

int
database_copy(const char *from, const char *to, bool forget_sessions, struct database_info *info, char *error,
	      size_t cap)
{
	sqlite3 *source = NULL, *copy = NULL;
	memset(info, 0, sizeof(*info));
	int r = open_source(from, &source, error, cap);
	if (r < 0) {
		sqlite3_close(source);
		return r;
	}
	r = open_copy(to, &copy, error, cap);
	bool made = r != -EEXIST;
	if (r == 0)
		r = copy_pages(source, from, copy, to, error, cap);
	/* One file, without a log beside it. */
	if (r == 0 && sqlite3_exec(copy, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL) != SQLITE_OK)
		r = fail(copy, to, SQLITE_ERROR, error, cap);
	if (r == 0)
		r = check(copy, from, info, error, cap);
	if (r == 0 && forget_sessions &&
	    sqlite3_exec(copy, "DELETE FROM sessions", NULL, NULL, NULL) != SQLITE_OK)
		r = fail(copy, to, SQLITE_ERROR, error, cap);
	sqlite3_close(copy);
	sqlite3_close(source);
	if (r == 0)
		r = flush_file(to, error, cap);
	if (r < 0 && made)
		unlink(to);
	return r;
}
