/* SPDX-License-Identifier: BSD-3-Clause */
/* Copies of a live database for `rookctl backup` and `restore`. */
#include "control/cli/database.h"
#include "control/store/store.h"
#include "shared/log.h"

#include <errno.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/file_tree.h"

struct fixture {
	char dir[32];
	char live[64], copy[64];
	struct store *store;
};

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct store_session session = {.sid = 7, .reply_length = 1};
	struct store_user user = {.name = "alice", .hash = "x"};
	char error[256];
	strcpy(f->dir, "/tmp/test_database.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->live, sizeof(f->live), "%s/live.db", f->dir);
	snprintf(f->copy, sizeof(f->copy), "%s/copy.db", f->dir);
	assert_int_equal(store_open(&f->store, f->live, error, sizeof(error)), 0);
	assert_int_equal(store_begin(f->store), 0);
	assert_int_equal(store_user_add(f->store, &user), 0);
	assert_int_equal(store_session_put(f->store, &session), 0);
	assert_int_equal(store_commit(f->store), 0);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;
	store_close(f->store);
	tree_remove(f->dir);
	free(f);
	return 0;
}

static int
count_session(void *arg, const struct store_session *s)
{
	(void)s;
	++*(unsigned *)arg;
	return 0;
}

/* Users and sessions of the copy, as a server that opens it sees them. */
static void
counts(const char *path, uint64_t *users, unsigned *sessions)
{
	struct store *st;
	struct store_counts c;
	char error[256];
	assert_int_equal(store_open(&st, path, error, sizeof(error)), 0);
	assert_int_equal(store_counts(st, &c), 0);
	*users = c.users;
	*sessions = 0;
	assert_int_equal(store_sessions(st, count_session, sessions), 0);
	store_close(st);
}

static void
test_copy_beside_a_writer(void **state)
{
	struct fixture *f = *state;
	struct store_user bob = {.name = "bob", .hash = "x"};
	struct database_info info;
	struct stat st;
	char error[256] = "", wal[80];
	uint64_t users;
	unsigned sessions;
	/* In the middle of a transaction: what is not committed is not in the copy, and the writer goes on. */
	assert_int_equal(store_begin(f->store), 0);
	assert_int_equal(store_user_add(f->store, &bob), 0);
	assert_int_equal(database_copy(f->live, f->copy, false, &info, error, sizeof(error)), 0);
	assert_int_equal(store_commit(f->store), 0);
	assert_int_equal(info.users, 1);
	assert_int_equal(info.messages, 0);
	assert_int_equal(info.schema, store_schema_version());
	assert_int_equal(stat(f->copy, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(st.st_size, info.bytes);
	/* One file. */
	snprintf(wal, sizeof(wal), "%s-wal", f->copy);
	assert_int_equal(access(wal, F_OK), -1);
	counts(f->copy, &users, &sessions);
	assert_int_equal(users, 1);
	assert_int_equal(sessions, 1);
}

/* A restored session would use its keys a second time. */
static void
test_restored_without_sessions(void **state)
{
	struct fixture *f = *state;
	struct database_info info;
	char error[256] = "";
	uint64_t users;
	unsigned sessions;
	assert_int_equal(database_copy(f->live, f->copy, true, &info, error, sizeof(error)), 0);
	counts(f->copy, &users, &sessions);
	assert_int_equal(users, 1);
	assert_int_equal(sessions, 0);
}

static void
refused(const struct fixture *f, const char *from, int result, const char *text)
{
	struct database_info info;
	char error[256] = "";
	int r = database_copy(from, f->copy, true, &info, error, sizeof(error));
	if (r != result || !strstr(error, text))
		fail_msg("%s: %d, %s", from, r, error);
	assert_int_equal(access(f->copy, F_OK), -1);
}

static void
execute(const char *path, const char *sql)
{
	sqlite3 *db;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void
test_refused(void **state)
{
	struct fixture *f = *state;
	struct database_info info;
	char other[64], error[256];
	snprintf(other, sizeof(other), "%s/other.db", f->dir);
	refused(f, "/nonexistent/rookery.db", -ENOENT, "/nonexistent/rookery.db");
	execute(other, "CREATE TABLE t(x)");
	refused(f, other, -EPROTO, "is no database of a Rookery server");
	execute(other, "PRAGMA user_version = 99");
	refused(f, other, -EPROTO, "schema version 99");
	FILE *out = fopen(other, "w");
	fputs("this is text, and long enough for SQLite to look at its first bytes, which are no header\n", out);
	fclose(out);
	refused(f, other, -EIO, "not a database");
	/* What is there stays. */
	assert_int_equal(database_copy(f->live, f->copy, false, &info, error, sizeof(error)), 0);
	assert_int_equal(database_copy(f->live, f->copy, false, &info, error, sizeof(error)), -EEXIST);
	assert_int_equal(access(f->copy, F_OK), 0);
}

static void
test_damaged(void **state)
{
	struct fixture *f = *state;
	struct database_info info;
	char error[256], other[64], zeros[4096] = {0};
	snprintf(other, sizeof(other), "%s/other.db", f->dir);
	assert_int_equal(database_copy(f->live, other, false, &info, error, sizeof(error)), 0);
	/* A page in the middle is lost, as by a bad disk. */
	FILE *out = fopen(other, "r+");
	assert_int_equal(fseek(out, 4096 * 3, SEEK_SET), 0);
	assert_int_equal(fwrite(zeros, 1, sizeof(zeros), out), sizeof(zeros));
	fclose(out);
	refused(f, other, -EIO, "other.db");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_copy_beside_a_writer),
		TEST(test_restored_without_sessions),
		TEST(test_refused),
		TEST(test_damaged),
	};
	log_open("test_database", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
