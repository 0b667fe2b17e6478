// SPDX-License-Identifier: BSD-3-Clause
/* Buddies: relations, and events that a user has not heard of yet. */
#include "sqlite.h"

#include <stdlib.h>
#include <string.h>

#define RELATION_COLUMNS                                                                                     \
	"r.owner, r.peer, users.name, r.state, r.blocked, coalesce(back.blocked, 0), r.grp, r.remark, r.text"
#define RELATION_JOIN " LEFT JOIN relations AS back ON back.owner = r.peer AND back.peer = r.owner"

static void
relation_read(sqlite3_stmt *q, struct store_relation *r)
{
	memset(r, 0, sizeof(*r));
	r->owner = column_u64(q, 0);
	r->peer = column_u64(q, 1);
	column_text(q, 2, r->peer_name, sizeof(r->peer_name));
	r->state = (uint8_t)column_u64(q, 3);
	r->blocked = column_u64(q, 4) != 0;
	r->peer_blocked = column_u64(q, 5) != 0;
	column_text(q, 6, r->group, sizeof(r->group));
	column_text(q, 7, r->remark, sizeof(r->remark));
	column_text(q, 8, r->text, sizeof(r->text));
}

int
store_relation_get(struct store *st, user_id_t owner, user_id_t peer, struct store_relation *r)
{
	/* The pair's two rows, and an answer even when there is only the other side's. */
	sqlite3_stmt *q = statement(
		st, STATEMENT_RELATION_GET,
		"SELECT ?1, ?2, coalesce(users.name, ''),"
		" coalesce(r.state, 0), coalesce(r.blocked, 0), coalesce(back.blocked, 0),"
		" coalesce(r.grp, ''),"
		" coalesce(r.remark, ''), coalesce(r.text, '') FROM (SELECT 1)"
		" LEFT JOIN users ON users.id = ?2"
		" LEFT JOIN relations AS r ON r.owner = ?1 AND r.peer = ?2"
		" LEFT JOIN relations AS back ON back.owner = ?2 AND back.peer = ?1");
	int rc;

	bind_u64(q, 1, owner);
	bind_u64(q, 2, peer);
	rc = statement_step(st, q);
	if (rc <= 0)
		return rc == 0 ? -EIO : rc;
	relation_read(q, r);
	statement_end(q);
	return 0;
}

int
store_relation_put(struct store *st, const struct store_relation *r)
{
	sqlite3_stmt *q;

	if (r->state == 0 && !r->blocked) {
		q = statement(st, STATEMENT_RELATION_DEL,
			      "DELETE FROM relations WHERE owner = ? AND peer = ?");
		bind_u64(q, 1, r->owner);
		bind_u64(q, 2, r->peer);
		return statement_run(st, q);
	}
	q = statement(st, STATEMENT_RELATION_PUT,
		      "INSERT OR REPLACE INTO relations VALUES(?, ?, ?, ?, ?, ?, ?)");
	bind_u64(q, 1, r->owner);
	bind_u64(q, 2, r->peer);
	bind_u64(q, 3, r->state);
	bind_u64(q, 4, r->blocked);
	bind_text(q, 5, r->group);
	bind_text(q, 6, r->remark);
	bind_text(q, 7, r->text);
	return statement_run(st, q);
}

int
store_relations(struct store *st, user_id_t owner, user_id_t after, uint8_t state, uint32_t limit,
		struct store_relation **out)
{
	sqlite3_stmt *q = statement(st, STATEMENT_RELATIONS, "SELECT " RELATION_COLUMNS " FROM relations AS r"
		" JOIN users ON users.id = r.peer" RELATION_JOIN
		" WHERE r.owner = ?1 AND r.peer > ?2 AND (?3 = 0 OR r.state = ?3) ORDER BY r.peer LIMIT ?4");
	struct rows rows = {.size = sizeof(struct store_relation)};
	struct store_relation *r;
	int rc;

	bind_u64(q, 1, owner);
	bind_u64(q, 2, after);
	bind_u64(q, 3, state);
	bind_u64(q, 4, limit);
	while ((rc = statement_step(st, q)) == 1) {
		r = rows_next(&rows);
		if (r == NULL)
			break;
		relation_read(q, r);
	}
	statement_end(q);
	return rows_end(&rows, rc, out);
}

int
store_relation_count(struct store *st, user_id_t owner, uint8_t state)
{
	sqlite3_stmt *q = statement(st, STATEMENT_RELATION_COUNT,
				    "SELECT count(*) FROM relations WHERE owner = ? AND state = ?");
	int rc;

	bind_u64(q, 1, owner);
	bind_u64(q, 2, state);
	rc = statement_step(st, q);
	if (rc <= 0)
		return rc;
	rc = (int)column_u64(q, 0);
	statement_end(q);
	return rc;
}

/* ---- events ------------------------------------------------------------------------- */

int
store_event_put(struct store *st, struct store_event *e)
{
	sqlite3_stmt *q = statement(st, STATEMENT_EVENT_PUT,
				    "INSERT OR REPLACE INTO events(user, peer, peer_name, state,"
				    " text, version) VALUES(?, ?, ?, ?, ?, ?)");
	int rc;

	bind_u64(q, 1, e->user);
	bind_u64(q, 2, e->peer);
	bind_text(q, 3, e->peer_name);
	bind_u64(q, 4, e->state);
	bind_text(q, 5, e->text);
	bind_u64(q, 6, e->version);
	rc = statement_run(st, q);
	if (rc == 0)
		e->id = (uint64_t)sqlite3_last_insert_rowid(st->db);
	return rc;
}

int
store_event_del(struct store *st, uint64_t id, user_id_t user)
{
	sqlite3_stmt *q = statement(st, STATEMENT_EVENT_DEL, "DELETE FROM events WHERE id = ? AND user = ?");

	bind_u64(q, 1, id);
	bind_u64(q, 2, user);
	return statement_run(st, q);
}

int
store_event_del_pair(struct store *st, user_id_t user, user_id_t peer)
{
	sqlite3_stmt *q =
		statement(st, STATEMENT_EVENT_DEL_PAIR, "DELETE FROM events WHERE user = ? AND peer = ?");

	bind_u64(q, 1, user);
	bind_u64(q, 2, peer);
	return statement_run(st, q);
}

int
store_events(struct store *st, user_id_t user, struct store_event **out)
{
	sqlite3_stmt *q = statement(st, STATEMENT_EVENTS,
				    "SELECT id, user, peer, peer_name, state, text, version"
				    " FROM events WHERE user = ? ORDER BY id");
	struct rows rows = {.size = sizeof(struct store_event)};
	struct store_event *e;
	int rc;

	bind_u64(q, 1, user);
	while ((rc = statement_step(st, q)) == 1) {
		e = rows_next(&rows);
		if (e == NULL)
			break;
		e->id = column_u64(q, 0);
		e->user = column_u64(q, 1);
		e->peer = column_u64(q, 2);
		column_text(q, 3, e->peer_name, sizeof(e->peer_name));
		e->state = (uint8_t)column_u64(q, 4);
		column_text(q, 5, e->text, sizeof(e->text));
		e->version = column_u64(q, 6);
	}
	statement_end(q);
	return rows_end(&rows, rc, out);
}
