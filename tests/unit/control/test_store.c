// SPDX-License-Identifier: BSD-3-Clause
/* The store on a real SQLite file. */
#include "control/store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
	char dir[64];
	char path[96];
	struct store *st;
};

static void
reopen(struct fixture *f)
{
	char error[256];

	store_close(f->st);
	if (store_open(&f->st, f->path, error, sizeof(error)) != 0)
		fail_msg("%s", error);
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	snprintf(f->dir, sizeof(f->dir), "/tmp/rookery-store-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/rookery.db", f->dir);
	reopen(f);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;
	static const char *const suffix[] = {"", "-wal", "-shm"};
	char path[128];

	store_close(f->st);
	for (unsigned i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s%s", f->path, suffix[i]);
		unlink(path);
	}
	rmdir(f->dir);
	free(f);
	return 0;
}

static struct store_user
user_make(struct store *st, const char *name)
{
	struct store_user u = {.hash = "$argon2id$x", .created_ms = 5};

	snprintf(u.name, sizeof(u.name), "%s", name);
	assert_int_equal(store_user_add(st, &u), 0);
	assert_int_not_equal(u.id, 0);
	return u;
}

static struct store_device
device_make(struct store *st, user_id_t user, uint8_t key)
{
	struct store_device d = {.user = user, .name = "phone", .login_timestamp = 10, .last_seen_ms = 20};

	memset(d.key, key, sizeof(d.key));
	assert_int_equal(store_device_add(st, &d), 0);
	return d;
}

static struct store_message
message_make(device_id_t device, device_id_t from_device, message_id_t id)
{
	struct store_message m = {
		.device = device,
		.from = 77,
		.from_device = from_device,
		.id = id,
		.sent_at = 1,
		.stored_ms = 100 + id,
		.prev_delta = 3,
		.floor_delta = UINT32_MAX,
		.flags = MESSAGE_MORE,
		.length = 5,
	};

	memcpy(m.body, "h\0llo", 5);
	return m;
}

static void
test_file_is_private(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	chmod(f->path, 0644);
	reopen(f);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void
test_users(void **state)
{
	struct fixture *f = *state;
	struct store_user u, again = {.name = "alice", .hash = "x"}, *list;
	struct store_counts counts;

	assert_int_equal(store_begin(f->st), 0);
	u = user_make(f->st, "alice");
	user_make(f->st, "alan");
	user_make(f->st, "bob");
	assert_int_equal(store_user_add(f->st, &again), -EEXIST);
	assert_int_equal(store_user_set_hash(f->st, u.id, "new"), 0);
	assert_int_equal(store_user_set_text(f->st, u.id, "h\xc3\xa9"), 0);
	assert_int_equal(store_commit(f->st), 0);
	reopen(f);
	assert_int_equal(store_user_by_name(f->st, "alice", &u), 0);
	assert_string_equal(u.hash, "new");
	assert_string_equal(u.text, "h\xc3\xa9");
	assert_int_equal(u.created_ms, 5);
	assert_int_equal(store_user_by_id(f->st, u.id, &again), 0);
	assert_string_equal(again.name, "alice");
	assert_int_equal(store_user_by_name(f->st, "carol", &u), -ENOENT);
	assert_int_equal(store_user_by_id(f->st, 999, &u), -ENOENT);
	assert_int_equal(store_users_prefix(f->st, "al", 10, &list), 2);
	assert_string_equal(list[0].name, "alan");
	assert_string_equal(list[1].name, "alice");
	free(list);
	assert_int_equal(store_users_prefix(f->st, "al", 1, &list), 1);
	free(list);
	assert_int_equal(store_users_prefix(f->st, "ali_", 10, &list), 0);
	free(list);
	assert_int_equal(store_counts(f->st, &counts), 0);
	assert_int_equal(counts.users, 3);
}

static void
test_ids_are_never_used_again(void **state)
{
	struct fixture *f = *state;
	struct store_device first, second;
	struct store_user u, v;

	assert_int_equal(store_begin(f->st), 0);
	u = user_make(f->st, "alice");
	first = device_make(f->st, u.id, 1);
	assert_int_equal(store_user_del(f->st, u.id), 0);
	v = user_make(f->st, "alice");
	second = device_make(f->st, v.id, 1);
	assert_true(v.id > u.id);
	assert_true(second.id > first.id);
	assert_int_equal(store_commit(f->st), 0);
}

static void
test_devices(void **state)
{
	struct fixture *f = *state;
	struct store_device d, got, *list, twin;
	struct store_user u;

	assert_int_equal(store_begin(f->st), 0);
	u = user_make(f->st, "alice");
	d = device_make(f->st, u.id, 1);
	device_make(f->st, u.id, 2);
	twin = d;
	assert_int_equal(store_device_add(f->st, &twin), -EEXIST);
	assert_int_equal(store_device_login(f->st, d.id, 99, 1000, "laptop"), 0);
	assert_int_equal(store_device_seen(f->st, d.id, 2000), 0);
	assert_int_equal(store_commit(f->st), 0);
	reopen(f);
	assert_int_equal(store_device_by_key(f->st, d.key, &got), 0);
	assert_int_equal(got.id, d.id);
	assert_int_equal(got.login_timestamp, 99);
	assert_int_equal(got.last_seen_ms, 2000);
	assert_string_equal(got.name, "laptop");
	assert_int_equal(store_devices(f->st, u.id, &list), 2);
	assert_int_equal(list[0].id, d.id);
	free(list);
	assert_int_equal(store_begin(f->st), 0);
	assert_int_equal(store_device_del(f->st, d.id), 0);
	assert_int_equal(store_commit(f->st), 0);
	assert_int_equal(store_device_by_id(f->st, d.id, &got), -ENOENT);
}

static int
count_session(void *arg, const struct store_session *s)
{
	struct store_session *out = arg;

	out[0] = *s;
	out[1].sid++;
	return 0;
}

static void
test_sessions(void **state)
{
	struct fixture *f = *state;
	struct store_session s = {.sid = UINT64_C(0x8100000100000002),
				  .instance = 3,
				  .login_ms = 4,
				  .status = 2,
				  .port = 1},
			     got[2];
	struct endpoint moved;
	struct store_device d;
	struct store_user u;

	memset(s.key, 7, sizeof(s.key));
	memset(s.ephemeral, 8, sizeof(s.ephemeral));
	memset(&s.secret, 9, sizeof(s.secret));
	s.secret.resumed = 0;
	s.reply_length = 3;
	memcpy(s.reply, "abc", 3);
	endpoint_set_ipv4(&s.peer, "\x0a\0\0\1", 1234);
	endpoint_set_ipv4(&moved, "\x0a\0\0\2", 1235);
	assert_int_equal(store_begin(f->st), 0);
	u = user_make(f->st, "alice");
	d = device_make(f->st, u.id, 7);
	assert_int_equal(store_session_put(f->st, &s), 0);
	assert_int_equal(store_session_put(f->st, &s), 0); /* twice: the same */
	assert_int_equal(store_session_user(f->st, s.sid, u.id, d.id), 0);
	assert_int_equal(store_session_peer(f->st, s.sid, &moved, 5), 0);
	assert_int_equal(store_session_status(f->st, s.sid, 4), 0);
	assert_int_equal(store_commit(f->st), 0);
	reopen(f);
	memset(got, 0, sizeof(got));
	assert_int_equal(store_sessions(f->st, count_session, got), 0);
	assert_int_equal(got[1].sid, 1);
	assert_true(got[0].sid == s.sid);
	assert_int_equal(got[0].user, u.id);
	assert_int_equal(got[0].device, d.id);
	assert_true(endpoint_equal(&got[0].peer, &moved));
	assert_int_equal(got[0].port, 5);
	assert_int_equal(got[0].status, 4);
	assert_memory_equal(&got[0].secret, &s.secret, sizeof(s.secret));
	assert_int_equal(store_session_get(f->st, s.sid, got), 0);
	assert_int_equal(got[0].reply_length, 3);
	assert_memory_equal(got[0].reply, "abc", 3);
	/* another session of the same key takes its place */
	s.sid++;
	assert_int_equal(store_begin(f->st), 0);
	assert_int_equal(store_session_put(f->st, &s), 0);
	assert_int_equal(store_commit(f->st), 0);
	assert_int_equal(store_session_get(f->st, s.sid - 1, got), -ENOENT);
	/* and one of the same id, with another key, takes its */
	s.key[0]++;
	assert_int_equal(store_begin(f->st), 0);
	assert_int_equal(store_session_put(f->st, &s), 0);
	assert_int_equal(store_commit(f->st), 0);
	assert_int_equal(store_session_get(f->st, s.sid, got), 0);
	assert_memory_equal(got[0].key, s.key, sizeof(s.key));
	memset(got, 0, sizeof(got));
	assert_int_equal(store_sessions(f->st, count_session, got), 0);
	assert_int_equal(got[1].sid, 1);
	assert_int_equal(store_begin(f->st), 0);
	assert_int_equal(store_session_del(f->st, s.sid), 0);
	assert_int_equal(store_session_del(f->st, s.sid), 0);
	assert_int_equal(store_commit(f->st), 0);
	assert_int_equal(store_session_get(f->st, s.sid, got), -ENOENT);
}

static void
test_relations(void **state)
{
	struct fixture *f = *state;
	struct store_relation r, got, *list;
	struct store_user a, b, c;

	assert_int_equal(store_begin(f->st), 0);
	a = user_make(f->st, "alice");
	b = user_make(f->st, "bob");
	c = user_make(f->st, "carol");
	assert_int_equal(store_relation_get(f->st, a.id, b.id, &r), 0);
	assert_int_equal(r.state, 0);
	assert_string_equal(r.peer_name, "bob");
	r.state = 3;
	snprintf(r.group, sizeof(r.group), "friends");
	assert_int_equal(store_relation_put(f->st, &r), 0);
	assert_int_equal(store_relation_get(f->st, b.id, a.id, &got), 0);
	got.blocked = true;
	assert_int_equal(store_relation_put(f->st, &got), 0);
	assert_int_equal(store_relation_get(f->st, a.id, c.id, &got), 0);
	got.state = 1;
	snprintf(got.text, sizeof(got.text), "hi");
	assert_int_equal(store_relation_put(f->st, &got), 0);
	assert_int_equal(store_commit(f->st), 0);
	reopen(f);
	assert_int_equal(store_relation_get(f->st, a.id, b.id, &got), 0);
	assert_int_equal(got.state, 3);
	assert_false(got.blocked);
	assert_true(got.peer_blocked);
	assert_string_equal(got.group, "friends");
	assert_int_equal(store_relations(f->st, a.id, 0, 0, 10, &list), 2);
	assert_true(list[0].peer_blocked);
	assert_string_equal(list[1].peer_name, "carol");
	assert_string_equal(list[1].text, "hi");
	free(list);
	assert_int_equal(store_relations(f->st, a.id, b.id, 0, 10, &list), 1);
	free(list);
	assert_int_equal(store_relations(f->st, a.id, 0, 3, 10, &list), 1);
	free(list);
	assert_int_equal(store_relation_count(f->st, a.id, 3), 1);
	/* nothing left to say: no row */
	assert_int_equal(store_begin(f->st), 0);
	r.state = 0;
	assert_int_equal(store_relation_put(f->st, &r), 0);
	assert_int_equal(store_commit(f->st), 0);
	assert_int_equal(store_relations(f->st, a.id, 0, 0, 10, &list), 1);
	free(list);
}

static void
test_events(void **state)
{
	struct fixture *f = *state;
	struct store_event e = {.peer = 42, .peer_name = "bob", .state = 4, .text = "no", .version = 6},
			   *list;
	uint64_t first;

	assert_int_equal(store_begin(f->st), 0);
	e.user = user_make(f->st, "alice").id;
	assert_int_equal(store_event_put(f->st, &e), 0);
	first = e.id;
	e.state = 5;
	assert_int_equal(store_event_put(f->st, &e), 0);
	assert_true(e.id > first);
	assert_int_equal(store_commit(f->st), 0);
	assert_int_equal(store_events(f->st, e.user, &list), 1);
	assert_int_equal(list[0].state, 5);
	assert_string_equal(list[0].peer_name, "bob");
	free(list);
	assert_int_equal(store_begin(f->st), 0);
	assert_int_equal(store_event_del(f->st, e.id, e.user + 1), 0);
	assert_int_equal(store_commit(f->st), 0);
	assert_int_equal(store_events(f->st, e.user, &list), 1);
	free(list);
	assert_int_equal(store_begin(f->st), 0);
	assert_int_equal(store_event_del(f->st, e.id, e.user), 0);
	assert_int_equal(store_commit(f->st), 0);
	assert_int_equal(store_events(f->st, e.user, &list), 0);
	free(list);
}

static void
test_messages(void **state)
{
	struct fixture *f = *state;
	struct store_message m, *list;
	struct store_device d, sender;
	struct store_user u;
	uint64_t last;

	assert_int_equal(store_begin(f->st), 0);
	u = user_make(f->st, "alice");
	d = device_make(f->st, u.id, 1);
	sender = device_make(f->st, user_make(f->st, "bob").id, 2);
	for (message_id_t id = 30; id > 0; id -= 10) { /* order of storing, not of ids */
		m = message_make(d.id, sender.id, id);
		assert_int_equal(store_message_put(f->st, &m), 1);
	}
	m = message_make(d.id, sender.id, 20);
	assert_int_equal(store_message_put(f->st, &m), 0); /* twice */
	m.device = 12345;
	assert_int_equal(store_message_put(f->st, &m), -ENOENT); /* no such device */
	assert_int_equal(store_commit(f->st), 0);
	reopen(f);
	assert_int_equal(store_message_exists(f->st, d.id, sender.id, 20), 1);
	assert_int_equal(store_message_exists(f->st, d.id, sender.id, 21), 0);
	assert_int_equal(store_device_by_id(f->st, d.id, &d), 0);
	assert_int_equal(d.messages, 3);
	assert_int_equal(store_device_by_id(f->st, sender.id, &sender), 0);
	assert_int_equal(sender.last_message_id, 30);
	assert_int_equal(store_messages(f->st, d.id, 0, 10, &list), 3);
	assert_int_equal(list[0].id, 30);
	assert_int_equal(list[2].id, 10);
	assert_true(list[0].seq < list[1].seq && list[1].seq < list[2].seq);
	assert_int_equal(list[0].length, 5);
	assert_memory_equal(list[0].body, "h\0llo", 5);
	assert_int_equal(list[0].floor_delta, UINT32_MAX);
	assert_int_equal(list[0].prev_delta, 3);
	assert_int_equal(list[0].flags, MESSAGE_MORE);
	assert_int_equal(store_message_last(f->st, d.id, &last), 0);
	assert_int_equal(last, list[2].seq);
	/* only its own device may remove it */
	assert_int_equal(store_begin(f->st), 0);
	assert_int_equal(store_message_del(f->st, sender.id, list[0].seq), 0);
	assert_int_equal(store_message_exists(f->st, d.id, sender.id, 30), 1);
	assert_int_equal(store_message_del(f->st, d.id, list[0].seq), 0);
	assert_int_equal(store_message_exists(f->st, d.id, sender.id, 30), 0);
	assert_int_equal(store_messages_expire(f->st, 115, 10), 1); /* id 10, stored at 110 */
	assert_int_equal(store_commit(f->st), 0);
	free(list);
	assert_int_equal(store_device_by_id(f->st, d.id, &d), 0);
	assert_int_equal(d.messages, 1);
	/* the account goes, all goes */
	assert_int_equal(store_begin(f->st), 0);
	assert_int_equal(store_user_del(f->st, u.id), 0);
	assert_int_equal(store_commit(f->st), 0);
	assert_int_equal(store_message_last(f->st, d.id, &last), 0);
	assert_int_equal(last, 0);
}

static void
test_rollback_and_read_only(void **state)
{
	struct fixture *f = *state;
	struct store_user u = {.name = "alice", .hash = "x"};
	uint64_t value;

	assert_int_equal(store_user_add(f->st, &u), -EROFS);
	assert_int_equal(store_begin(f->st), 0);
	assert_int_equal(store_meta_set(f->st, "instance", 4), 0);
	store_rollback(f->st);
	assert_int_equal(store_meta_get(f->st, "instance", &value), 0);
	assert_int_equal(value, 0);
	assert_int_equal(store_begin(f->st), 0);
	assert_int_equal(store_meta_set(f->st, "instance", UINT64_MAX), 0);
	assert_int_equal(store_commit(f->st), 0);
	assert_int_equal(store_meta_get(f->st, "instance", &value), 0);
	assert_true(value == UINT64_MAX);
}

static void
test_disk_full(void **state)
{
	struct fixture *f = *state;
	struct store_device d;
	struct store_message m;
	struct store_user u;
	message_id_t id = 0;
	int rc = 0;

	assert_int_equal(store_begin(f->st), 0);
	u = user_make(f->st, "alice");
	d = device_make(f->st, u.id, 1);
	assert_int_equal(store_commit(f->st), 0);
	assert_int_equal(store_limit_pages(f->st, 40), 0);
	assert_int_equal(store_begin(f->st), 0);
	while (rc >= 0 && id < 10000) {
		m = message_make(d.id, 99, ++id);
		m.length = MESSAGE_BODY_MAX;
		rc = store_message_put(f->st, &m);
	}
	assert_int_equal(rc, -ENOSPC);
	assert_true(store_failed(rc));
	assert_non_null(strstr(store_error(f->st), "make room"));
	assert_non_null(strstr(store_error(f->st), f->path));
	store_rollback(f->st);
	assert_int_equal(store_message_exists(f->st, d.id, 99, 1), 0);
	assert_int_equal(store_user_by_name(f->st, "alice", &u), 0);
	/* room again */
	assert_int_equal(store_limit_pages(f->st, 0), 0);
	assert_int_equal(store_begin(f->st), 0);
	assert_int_equal(store_message_put(f->st, &m), 1);
	assert_int_equal(store_commit(f->st), 0);
}

static void
test_locked(void **state)
{
	struct fixture *f = *state;
	struct store_user u;
	uint64_t value;
	sqlite3 *other;

	assert_int_equal(sqlite3_open(f->path, &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(store_begin(f->st), -EBUSY);
	assert_non_null(strstr(store_error(f->st), "end the other program"));
	assert_int_equal(store_meta_get(f->st, "x", &value), 0); /* reading goes on */
	assert_int_equal(store_user_by_name(f->st, "alice", &u), -ENOENT);
	assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(store_begin(f->st), 0);
	assert_int_equal(store_commit(f->st), 0);
	sqlite3_close(other);
}

static void
test_locked_at_start(void **state)
{
	struct fixture *f = *state;
	struct store *second;
	char error[256] = "";
	sqlite3 *other;

	store_close(f->st);
	f->st = NULL;
	assert_int_equal(sqlite3_open(f->path, &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE", NULL, NULL,
				      NULL),
			 SQLITE_OK);
	assert_int_equal(store_open(&second, f->path, error, sizeof(error)), -EBUSY);
	assert_non_null(strstr(error, "locked"));
	sqlite3_close(other);
	reopen(f);
}

static void
test_not_a_database(void **state)
{
	struct fixture *f = *state;
	char error[256] = "", garbage[8192];
	struct store *second;
	sqlite3 *other;
	int fd;

	/* of a newer program */
	assert_int_equal(sqlite3_open(f->path, &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "PRAGMA user_version = 999", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(other);
	assert_int_equal(store_open(&second, f->path, error, sizeof(error)), -EPROTO);
	assert_non_null(strstr(error, "999"));
	assert_null(second);
	/* not a database at all */
	store_close(f->st);
	f->st = NULL;
	memset(garbage, 'x', sizeof(garbage));
	fd = open(f->path, O_WRONLY | O_TRUNC);
	assert_int_equal(write(fd, garbage, sizeof(garbage)), sizeof(garbage));
	close(fd);
	assert_int_equal(store_open(&second, f->path, error, sizeof(error)), -EIO);
	assert_non_null(strstr(error, "backup"));
	/* no folder */
	assert_int_equal(store_open(&second, "/nonexistent/rookery.db", error, sizeof(error)), -ENOENT);
	assert_non_null(strstr(error, "/nonexistent/rookery.db"));
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_file_is_private), T(test_users),    T(test_ids_are_never_used_again),
		T(test_devices),         T(test_sessions), T(test_relations),
		T(test_events),          T(test_messages), T(test_rollback_and_read_only),
		T(test_disk_full),       T(test_locked),   T(test_locked_at_start),
		T(test_not_a_database),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
