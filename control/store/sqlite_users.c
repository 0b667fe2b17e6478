// SPDX-License-Identifier: BSD-3-Clause
/* Users, devices, sessions, and the server's own numbers. */
#include "sqlite.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* ---- server ------------------------------------------------------------------------- */

int
store_meta_get(struct store *st, const char *name, uint64_t *value)
{
	sqlite3_stmt *q = statement(st, STATEMENT_META_GET, "SELECT value FROM meta WHERE name = ?");
	int rc;

	*value = 0;
	bind_text(q, 1, name);
	rc = statement_step(st, q);
	if (rc <= 0)
		return rc;
	*value = column_u64(q, 0);
	statement_end(q);
	return 0;
}

int
store_meta_set(struct store *st, const char *name, uint64_t value)
{
	sqlite3_stmt *q = statement(st, STATEMENT_META_SET, "INSERT OR REPLACE INTO meta VALUES(?, ?)");

	bind_text(q, 1, name);
	bind_u64(q, 2, value);
	return statement_run(st, q);
}

int
store_counts(struct store *st, struct store_counts *out)
{
	sqlite3_stmt *q = statement(st, STATEMENT_COUNTS, "SELECT (SELECT count(*) FROM users), count(*), "
				    "coalesce(sum(messages), 0) FROM devices");
	int rc = statement_step(st, q);

	memset(out, 0, sizeof(*out));
	if (rc <= 0)
		return rc;
	out->users = column_u64(q, 0);
	out->devices = column_u64(q, 1);
	out->messages = column_u64(q, 2);
	statement_end(q);
	return 0;
}

/* ---- users -------------------------------------------------------------------------- */

#define USER_COLUMNS "users.id, users.name, users.hash, users.text, users.created_ms"

static void
user_read(sqlite3_stmt *q, struct store_user *u)
{
	memset(u, 0, sizeof(*u));
	u->id = column_u64(q, 0);
	column_text(q, 1, u->name, sizeof(u->name));
	column_text(q, 2, u->hash, sizeof(u->hash));
	column_text(q, 3, u->text, sizeof(u->text));
	u->created_ms = column_u64(q, 4);
}

static int
user_one(struct store *st, sqlite3_stmt *q, struct store_user *u)
{
	int rc = statement_step(st, q);

	if (rc <= 0)
		return rc == 0 ? -ENOENT : rc;
	user_read(q, u);
	statement_end(q);
	return 0;
}

int
store_user_add(struct store *st, struct store_user *u)
{
	sqlite3_stmt *q = statement(st, STATEMENT_USER_ADD,
				    "INSERT INTO users(name, hash, text, created_ms) VALUES(?, ?, ?, ?)");
	int rc;

	bind_text(q, 1, u->name);
	bind_text(q, 2, u->hash);
	bind_text(q, 3, u->text);
	bind_u64(q, 4, u->created_ms);
	rc = statement_run(st, q);
	if (rc == 0)
		u->id = (user_id_t)sqlite3_last_insert_rowid(st->db);
	return rc;
}

int
store_user_by_name(struct store *st, const char *name, struct store_user *u)
{
	sqlite3_stmt *q =
		statement(st, STATEMENT_USER_BY_NAME, "SELECT " USER_COLUMNS " FROM users WHERE name = ?");

	bind_text(q, 1, name);
	return user_one(st, q, u);
}

int
store_user_by_id(struct store *st, user_id_t id, struct store_user *u)
{
	sqlite3_stmt *q =
		statement(st, STATEMENT_USER_BY_ID, "SELECT " USER_COLUMNS " FROM users WHERE id = ?");

	bind_u64(q, 1, id);
	return user_one(st, q, u);
}

int
store_user_set_hash(struct store *st, user_id_t id, const char *hash)
{
	sqlite3_stmt *q = statement(st, STATEMENT_USER_HASH, "UPDATE users SET hash = CASE WHEN hash LIKE '!%' THEN '!' || ?1 ELSE ?1 END WHERE id = ?2");

	bind_text(q, 1, hash);
	bind_u64(q, 2, id);
	return statement_run(st, q);
}

int
store_user_close(struct store *st, user_id_t id, bool closed)
{
	sqlite3_stmt *q =
		closed ? statement(st, STATEMENT_USER_CLOSE,
				   "UPDATE users SET hash = '!' || hash WHERE id = ? AND hash NOT LIKE '!%'")
		       : statement(st, STATEMENT_USER_OPEN,
				   "UPDATE users SET hash = substr(hash, 2) WHERE id = ? AND hash LIKE '!%'");

	bind_u64(q, 1, id);
	return statement_run(st, q);
}

int
store_user_set_text(struct store *st, user_id_t id, const char *text)
{
	sqlite3_stmt *q = statement(st, STATEMENT_USER_TEXT, "UPDATE users SET text = ? WHERE id = ?");

	bind_text(q, 1, text);
	bind_u64(q, 2, id);
	return statement_run(st, q);
}

int
store_user_del(struct store *st, user_id_t id)
{
	sqlite3_stmt *q = statement(st, STATEMENT_USER_DEL, "DELETE FROM users WHERE id = ?");

	bind_u64(q, 1, id);
	return statement_run(st, q);
}

int
store_users_prefix(struct store *st, const char *prefix, uint32_t limit, struct store_user **out)
{
	/* A range over the index; names are a-z0-9._- only, so '{' sorts behind every one. */
	sqlite3_stmt *q =
		statement(st, STATEMENT_USERS_PREFIX,
			  "SELECT " USER_COLUMNS
			  " FROM users WHERE name >= ?1 AND name < ?1 || '{' ORDER BY name LIMIT ?2");
	struct rows rows = {.size = sizeof(struct store_user)};
	struct store_user *u;
	int rc;

	bind_text(q, 1, prefix);
	bind_u64(q, 2, limit);
	while ((rc = statement_step(st, q)) == 1) {
		u = rows_next(&rows);
		if (u == NULL)
			break;
		user_read(q, u);
	}
	statement_end(q);
	return rows_end(&rows, rc, out);
}

int
store_users(struct store *st, const char *prefix, uint64_t offset, uint32_t limit, struct store_user_info **out)
{
	/* As in store_users_prefix. */
	sqlite3_stmt *q = statement(st, STATEMENT_USERS, "SELECT " USER_COLUMNS ","
		" (SELECT count(*) FROM devices WHERE user = users.id),"
		" (SELECT coalesce(max(last_seen_ms), 0) FROM devices WHERE user = users.id),"
		" (SELECT coalesce(sum(messages), 0) FROM devices WHERE user = users.id),"
		" (SELECT count(*) FROM relations WHERE owner = users.id AND state = 3)"
		" FROM users WHERE name >= ?1 AND name < ?1 || '{' ORDER BY name LIMIT ?2 OFFSET ?3");
	struct rows rows = {.size = sizeof(struct store_user_info)};
	struct store_user_info *info;
	int rc;

	bind_text(q, 1, prefix);
	bind_u64(q, 2, limit);
	bind_u64(q, 3, offset);
	while ((rc = statement_step(st, q)) == 1) {
		info = rows_next(&rows);
		if (info == NULL)
			break;
		user_read(q, &info->user);
		info->devices = (uint32_t)column_u64(q, 5);
		info->last_seen_ms = column_u64(q, 6);
		info->messages = column_u64(q, 7);
		info->buddies = (uint32_t)column_u64(q, 8);
	}
	statement_end(q);
	return rows_end(&rows, rc, out);
}

/* ---- devices ------------------------------------------------------------------------ */

#define DEVICE_COLUMNS "id, user, key, name, login_timestamp, last_message_id, last_seen_ms, messages, locked"

static void
device_read(sqlite3_stmt *q, struct store_device *d)
{
	memset(d, 0, sizeof(*d));
	d->id = column_u64(q, 0);
	d->user = column_u64(q, 1);
	column_blob(q, 2, d->key, sizeof(d->key));
	column_text(q, 3, d->name, sizeof(d->name));
	d->login_timestamp = column_u64(q, 4);
	d->last_message_id = column_u64(q, 5);
	d->last_seen_ms = column_u64(q, 6);
	d->messages = (uint32_t)column_u64(q, 7);
	d->locked = column_u64(q, 8) != 0;
}

static int
device_one(struct store *st, sqlite3_stmt *q, struct store_device *d)
{
	int rc = statement_step(st, q);

	if (rc <= 0)
		return rc == 0 ? -ENOENT : rc;
	device_read(q, d);
	statement_end(q);
	return 0;
}

int
store_device_add(struct store *st, struct store_device *d)
{
	sqlite3_stmt *q = statement(st, STATEMENT_DEVICE_ADD,
				    "INSERT INTO devices(user, key, name, login_timestamp,"
				    " last_seen_ms) VALUES(?, ?, ?, ?, ?)");
	int rc;

	bind_u64(q, 1, d->user);
	bind_blob(q, 2, d->key, sizeof(d->key));
	bind_text(q, 3, d->name);
	bind_u64(q, 4, d->login_timestamp);
	bind_u64(q, 5, d->last_seen_ms);
	rc = statement_run(st, q);
	if (rc == 0)
		d->id = (device_id_t)sqlite3_last_insert_rowid(st->db);
	return rc;
}

int
store_device_by_key(struct store *st, const uint8_t key[32], struct store_device *d)
{
	sqlite3_stmt *q = statement(st, STATEMENT_DEVICE_BY_KEY,
				    "SELECT " DEVICE_COLUMNS " FROM devices WHERE key = ?");

	bind_blob(q, 1, key, 32);
	return device_one(st, q, d);
}

int
store_device_by_id(struct store *st, device_id_t id, struct store_device *d)
{
	sqlite3_stmt *q =
		statement(st, STATEMENT_DEVICE_BY_ID, "SELECT " DEVICE_COLUMNS " FROM devices WHERE id = ?");

	bind_u64(q, 1, id);
	return device_one(st, q, d);
}

int
store_device_login(struct store *st, device_id_t id, uint64_t timestamp, uint64_t now_ms, const char *name)
{
	sqlite3_stmt *q = statement(st, STATEMENT_DEVICE_LOGIN, "UPDATE devices SET login_timestamp = ?,"
				    " last_seen_ms = ?, name = ? WHERE id = ?");

	bind_u64(q, 1, timestamp);
	bind_u64(q, 2, now_ms);
	bind_text(q, 3, name);
	bind_u64(q, 4, id);
	return statement_run(st, q);
}

int
store_device_void(struct store *st, device_id_t id)
{
	sqlite3_stmt *q = statement(st, STATEMENT_DEVICE_VOID,
				    "UPDATE devices SET login_timestamp = login_timestamp + 1 WHERE id = ?");

	bind_u64(q, 1, id);
	return statement_run(st, q);
}

int
store_device_seen(struct store *st, device_id_t id, uint64_t now_ms)
{
	sqlite3_stmt *q =
		statement(st, STATEMENT_DEVICE_SEEN, "UPDATE devices SET last_seen_ms = ? WHERE id = ?");

	bind_u64(q, 1, now_ms);
	bind_u64(q, 2, id);
	return statement_run(st, q);
}

int
store_devices_lock(struct store *st, user_id_t user, device_id_t except)
{
	sqlite3_stmt *q = statement(st, STATEMENT_DEVICES_LOCK, "UPDATE devices SET locked = 1 WHERE user = ? AND id <> ?");

	bind_u64(q, 1, user);
	bind_u64(q, 2, except);
	return statement_run(st, q);
}

int
store_device_unlock(struct store *st, device_id_t id)
{
	sqlite3_stmt *q = statement(st, STATEMENT_DEVICE_UNLOCK, "UPDATE devices SET locked = 0 WHERE id = ?");

	bind_u64(q, 1, id);
	return statement_run(st, q);
}

int
store_device_del(struct store *st, device_id_t id)
{
	sqlite3_stmt *q = statement(st, STATEMENT_DEVICE_DEL, "DELETE FROM devices WHERE id = ?");

	bind_u64(q, 1, id);
	return statement_run(st, q);
}

int
store_devices(struct store *st, user_id_t user, struct store_device **out)
{
	sqlite3_stmt *q = statement(st, STATEMENT_DEVICES, "SELECT " DEVICE_COLUMNS
				    " FROM devices WHERE user = ? ORDER BY id");
	struct rows rows = {.size = sizeof(struct store_device)};
	struct store_device *d;
	int rc;

	bind_u64(q, 1, user);
	while ((rc = statement_step(st, q)) == 1) {
		d = rows_next(&rows);
		if (d == NULL)
			break;
		device_read(q, d);
	}
	statement_end(q);
	return rows_end(&rows, rc, out);
}

int
store_devices_recent(struct store *st, user_id_t user, uint64_t since_ms, device_id_t **out)
{
	sqlite3_stmt *q = statement(st, STATEMENT_DEVICES_RECENT,
				    "SELECT id FROM devices WHERE user = ? AND last_seen_ms >= ?");
	struct rows rows = {.size = sizeof(device_id_t)};
	device_id_t *id;
	int rc;

	bind_u64(q, 1, user);
	bind_u64(q, 2, since_ms);
	while ((rc = statement_step(st, q)) == 1) {
		id = rows_next(&rows);
		if (id == NULL)
			break;
		*id = column_u64(q, 0);
	}
	statement_end(q);
	return rows_end(&rows, rc, out);
}

/* ---- sessions ----------------------------------------------------------------------- */

/* What follows is not stored: a resumed session had no LOGIN, so it has no ephemeral key. */
#define SECRET_SIZE offsetof(struct session_secret, resumed)

_Static_assert(SECRET_SIZE == 64, "as it is in the database");

/* The row that INSERT OR REPLACE would take away. By statements of their own: SQLite keeps a copy of every page that a statement of several
 * changes touches until it ends, and of a statement of one it keeps none. */
static int
session_make_room(struct store *st, const struct store_session *s)
{
	int rc = store_session_del(st, s->sid);
	sqlite3_stmt *q;

	if (rc < 0)
		return rc;
	q = statement(st, STATEMENT_SESSION_DEL_KEY, "DELETE FROM sessions WHERE key = ?");
	bind_blob(q, 1, s->key, sizeof(s->key));
	return statement_run(st, q);
}

int
store_session_put(struct store *st, const struct store_session *s)
{
	int rc = session_make_room(st, s);
	sqlite3_stmt *q;

	if (rc < 0)
		return rc;
	q = statement(st, STATEMENT_SESSION_PUT,
		      "INSERT INTO sessions(sid, user, device, key,"
		      " ephemeral, secret, instance, login_ms, login_timestamp, peer, port, status,"
		      " device_name, reply)"
		      " VALUES(?, nullif(?, 0), nullif(?, 0), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
	bind_u64(q, 1, s->sid);
	bind_u64(q, 2, s->user);
	bind_u64(q, 3, s->device);
	bind_blob(q, 4, s->key, sizeof(s->key));
	bind_blob(q, 5, s->ephemeral, sizeof(s->ephemeral));
	bind_blob(q, 6, &s->secret, SECRET_SIZE);
	bind_u64(q, 7, s->instance);
	bind_u64(q, 8, s->login_ms);
	bind_u64(q, 9, s->login_timestamp);
	bind_blob(q, 10, &s->peer, sizeof(s->peer));
	bind_u64(q, 11, s->port);
	bind_u64(q, 12, s->status);
	bind_text(q, 13, s->device_name);
	bind_blob(q, 14, s->reply, s->reply_length);
	return statement_run(st, q);
}

int
store_session_user(struct store *st, session_id_t sid, user_id_t user, device_id_t device)
{
	sqlite3_stmt *q = statement(st, STATEMENT_SESSION_USER,
				    "UPDATE sessions SET user = ?, device = ? WHERE sid = ?");

	bind_u64(q, 1, user);
	bind_u64(q, 2, device);
	bind_u64(q, 3, sid);
	return statement_run(st, q);
}

int
store_session_peer(struct store *st, session_id_t sid, const struct endpoint *peer, uint8_t port)
{
	sqlite3_stmt *q =
		statement(st, STATEMENT_SESSION_PEER, "UPDATE sessions SET peer = ?, port = ? WHERE sid = ?");

	bind_blob(q, 1, peer, sizeof(*peer));
	bind_u64(q, 2, port);
	bind_u64(q, 3, sid);
	return statement_run(st, q);
}

int
store_session_status(struct store *st, session_id_t sid, uint8_t status)
{
	sqlite3_stmt *q =
		statement(st, STATEMENT_SESSION_STATUS, "UPDATE sessions SET status = ? WHERE sid = ?");

	bind_u64(q, 1, status);
	bind_u64(q, 2, sid);
	return statement_run(st, q);
}

int
store_session_del(struct store *st, session_id_t sid)
{
	sqlite3_stmt *q = statement(st, STATEMENT_SESSION_DEL, "DELETE FROM sessions WHERE sid = ?");

	bind_u64(q, 1, sid);
	return statement_run(st, q);
}

#define SESSION_COLUMNS                                                                                      \
	"sid, user, device, key, ephemeral, secret, instance, login_ms, login_timestamp, peer, port,"        \
	" status, device_name, reply,"                                                                       \
	" coalesce((SELECT locked FROM devices WHERE devices.id = sessions.device), 0)"

static void
session_read(sqlite3_stmt *q, struct store_session *s)
{
	size_t reply_length;

	memset(s, 0, sizeof(*s));
	s->sid = column_u64(q, 0);
	s->user = column_u64(q, 1);
	s->device = column_u64(q, 2);
	column_blob(q, 3, s->key, sizeof(s->key));
	column_blob(q, 4, s->ephemeral, sizeof(s->ephemeral));
	column_blob(q, 5, &s->secret, SECRET_SIZE);
	s->secret.resumed = sodium_is_zero(s->ephemeral, sizeof(s->ephemeral));
	s->instance = column_u64(q, 6);
	s->login_ms = column_u64(q, 7);
	s->login_timestamp = column_u64(q, 8);
	column_blob(q, 9, &s->peer, sizeof(s->peer));
	s->port = (uint8_t)column_u64(q, 10);
	s->status = (uint8_t)column_u64(q, 11);
	column_text(q, 12, s->device_name, sizeof(s->device_name));
	reply_length = (size_t)sqlite3_column_bytes(q, 13);
	if (reply_length <= sizeof(s->reply)) {
		s->reply_length = (uint16_t)reply_length;
		column_blob(q, 13, s->reply, reply_length);
	}
	s->locked = column_u64(q, 14) != 0;
}

static int
session_one(struct store *st, sqlite3_stmt *q, struct store_session *s)
{
	int rc = statement_step(st, q);

	if (rc <= 0)
		return rc == 0 ? -ENOENT : rc;
	session_read(q, s);
	statement_end(q);
	return 0;
}

int
store_session_get(struct store *st, session_id_t sid, struct store_session *s)
{
	sqlite3_stmt *q = statement(st, STATEMENT_SESSION_GET,
				    "SELECT " SESSION_COLUMNS " FROM sessions WHERE sid = ?");

	bind_u64(q, 1, sid);
	return session_one(st, q, s);
}

int
store_sessions(struct store *st, store_session_fn cb, void *arg)
{
	sqlite3_stmt *q = statement(st, STATEMENT_SESSIONS,
				    "SELECT " SESSION_COLUMNS " FROM sessions ORDER BY login_ms, sid");
	struct store_session s;
	int rc;

	while ((rc = statement_step(st, q)) == 1) {
		session_read(q, &s);
		rc = cb(arg, &s);
		if (rc != 0)
			break;
	}
	statement_end(q);
	return rc;
}
