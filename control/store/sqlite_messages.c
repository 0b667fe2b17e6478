// SPDX-License-Identifier: BSD-3-Clause
/* Messages that wait for a device. */
#include "sqlite.h"

#include <stdlib.h>
#include <string.h>

static int
device_message(struct store *st, device_id_t device, message_id_t id)
{
	sqlite3_stmt *q = statement(st, STATEMENT_DEVICE_MESSAGE, "UPDATE devices SET last_message_id = ?1"
				    " WHERE id = ?2 AND last_message_id < ?1");

	bind_u64(q, 1, id);
	bind_u64(q, 2, device);
	return statement_run(st, q);
}

int
store_message_put(struct store *st, const struct store_message *m)
{
	sqlite3_stmt *q = statement(
		st, STATEMENT_MESSAGE_PUT,
		"INSERT INTO messages(device, sender, from_device, id,"
		" sent_at, stored_ms, prev_delta, floor_delta, flags, body)"
		" VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
		" ON CONFLICT(device, from_device, id) DO NOTHING");
	int rc, changes;

	bind_u64(q, 1, m->device);
	bind_u64(q, 2, m->from);
	bind_u64(q, 3, m->from_device);
	bind_u64(q, 4, m->id);
	bind_u64(q, 5, m->sent_at);
	bind_u64(q, 6, m->stored_ms);
	bind_u64(q, 7, m->prev_delta);
	bind_u64(q, 8, m->floor_delta);
	bind_u64(q, 9, m->flags);
	bind_blob(q, 10, m->body, m->length);
	rc = statement_run(st, q);
	if (rc < 0)
		return rc;
	changes = sqlite3_changes(st->db) > 0;
	rc = device_message(st, m->from_device, m->id);
	return rc < 0 ? rc : changes;
}

int
store_message_exists(struct store *st, device_id_t device, device_id_t from_device, message_id_t id)
{
	sqlite3_stmt *q = statement(st, STATEMENT_MESSAGE_EXISTS,
				    "SELECT 1 FROM messages WHERE device = ? AND from_device = ? AND id = ?");
	int rc;

	bind_u64(q, 1, device);
	bind_u64(q, 2, from_device);
	bind_u64(q, 3, id);
	rc = statement_step(st, q);
	if (rc == 1)
		statement_end(q);
	return rc;
}

static void
message_read(sqlite3_stmt *q, struct store_message *m)
{
	size_t length;

	m->seq = column_u64(q, 0);
	m->device = column_u64(q, 1);
	m->from = column_u64(q, 2);
	m->from_device = column_u64(q, 3);
	m->id = column_u64(q, 4);
	m->sent_at = column_u64(q, 5);
	m->stored_ms = column_u64(q, 6);
	m->prev_delta = (uint32_t)column_u64(q, 7);
	m->floor_delta = (uint32_t)column_u64(q, 8);
	m->flags = (uint8_t)column_u64(q, 9);
	length = (size_t)sqlite3_column_bytes(q, 10);
	m->length = (uint16_t)(length <= sizeof(m->body) ? length : 0);
	column_blob(q, 10, m->body, m->length);
}

int
store_messages(struct store *st, device_id_t device, uint64_t after, uint32_t limit,
	       struct store_message **out)
{
	sqlite3_stmt *q = statement(
		st, STATEMENT_MESSAGES,
		"SELECT seq, device, sender, from_device, id, sent_at,"
		" stored_ms, prev_delta, floor_delta, flags, body FROM messages WHERE device = ? AND seq > ?"
		" ORDER BY seq LIMIT ?");
	struct rows rows = {.size = sizeof(struct store_message)};
	struct store_message *m;
	int rc;

	bind_u64(q, 1, device);
	bind_u64(q, 2, after);
	bind_u64(q, 3, limit);
	while ((rc = statement_step(st, q)) == 1) {
		m = rows_next(&rows);
		if (m == NULL)
			break;
		message_read(q, m);
	}
	statement_end(q);
	return rows_end(&rows, rc, out);
}

int
store_message_last(struct store *st, device_id_t device, uint64_t *seq)
{
	sqlite3_stmt *q = statement(st, STATEMENT_MESSAGE_LAST,
				    "SELECT seq FROM messages WHERE device = ? ORDER BY seq DESC LIMIT 1");
	int rc;

	*seq = 0;
	bind_u64(q, 1, device);
	rc = statement_step(st, q);
	if (rc <= 0)
		return rc;
	*seq = column_u64(q, 0);
	statement_end(q);
	return 0;
}

int
store_message_del(struct store *st, device_id_t device, uint64_t seq)
{
	sqlite3_stmt *q =
		statement(st, STATEMENT_MESSAGE_DEL, "DELETE FROM messages WHERE seq = ? AND device = ?");

	bind_u64(q, 1, seq);
	bind_u64(q, 2, device);
	return statement_run(st, q);
}

int
store_messages_expire(struct store *st, uint64_t before_ms, uint32_t limit)
{
	sqlite3_stmt *q =
		statement(st, STATEMENT_MESSAGES_EXPIRE,
			  "DELETE FROM messages WHERE seq IN"
			  " (SELECT seq FROM messages WHERE stored_ms < ? ORDER BY stored_ms LIMIT ?)");
	int rc;

	bind_u64(q, 1, before_ms);
	bind_u64(q, 2, limit);
	rc = statement_run(st, q);
	return rc < 0 ? rc : sqlite3_changes(st->db);
}
