// SPDX-License-Identifier: BSD-3-Clause
/* Banned addresses. */
#include "sqlite.h"

#include <string.h>

int
store_ban_put(struct store *st, const struct store_ban *b)
{
	sqlite3_stmt *q = statement(st, STATEMENT_BAN_PUT, "INSERT OR REPLACE INTO bans VALUES(?, ?, ?, ?, ?)");

	bind_blob(q, 1, b->prefix.ip, sizeof(b->prefix.ip));
	bind_u64(q, 2, b->prefix.bits);
	bind_u64(q, 3, b->created_ms);
	bind_u64(q, 4, b->until_ms);
	bind_text(q, 5, b->reason);
	return statement_run(st, q);
}

int
store_ban_del(struct store *st, const struct prefix *p)
{
	sqlite3_stmt *q = statement(st, STATEMENT_BAN_DEL, "DELETE FROM bans WHERE address = ? AND bits = ?");

	bind_blob(q, 1, p->ip, sizeof(p->ip));
	bind_u64(q, 2, p->bits);
	return statement_run(st, q);
}

int
store_bans_expire(struct store *st, uint64_t now_ms)
{
	sqlite3_stmt *q = statement(st, STATEMENT_BANS_EXPIRE, "DELETE FROM bans WHERE until_ms <> 0 AND until_ms <= ?");

	bind_u64(q, 1, now_ms);
	return statement_run(st, q);
}

int
store_bans(struct store *st, struct store_ban **out)
{
	sqlite3_stmt *q = statement(st, STATEMENT_BANS,
				    "SELECT address, bits, created_ms, until_ms, reason FROM bans ORDER BY address, bits");
	struct rows r = {.size = sizeof(**out)};
	int rc;

	while ((rc = statement_step(st, q)) == 1) {
		struct store_ban *b = rows_next(&r);

		if (b == NULL)
			break;
		column_blob(q, 0, b->prefix.ip, sizeof(b->prefix.ip));
		b->prefix.bits = (uint8_t)column_u64(q, 1);
		b->created_ms = column_u64(q, 2);
		b->until_ms = column_u64(q, 3);
		column_text(q, 4, b->reason, sizeof(b->reason));
	}
	statement_end(q);
	return rows_end(&r, rc, out);
}
