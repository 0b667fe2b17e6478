// SPDX-License-Identifier: BSD-3-Clause
/*
 * Addresses that an operator keeps out. The list is in the database and in memory, in the same order; the dataplane gets it whole when it
 * is provisioned and after each change (TABLE_BANS).
 */
#include "core.h"

#include "shared/ipc.h"
#include "shared/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A shorter prefix is a slip of the finger. */
#define BITS_MIN4 (96 + 8)
#define BITS_MIN6 16

static int
prefix_order(const struct prefix *a, const struct prefix *b)
{
	return memcmp(a, b, sizeof(*a));
}

/* Where it is, or would have to be. */
static uint32_t
ban_place(const struct server *s, const struct prefix *p)
{
	uint32_t from = 0, to = s->ban_count;

	while (from < to) {
		uint32_t at = from + (to - from) / 2;

		if (prefix_order(&s->bans[at].prefix, p) < 0)
			from = at + 1;
		else
			to = at;
	}
	return from;
}

static bool
ban_at(const struct server *s, uint32_t at, const struct prefix *p)
{
	return at < s->ban_count && prefix_order(&s->bans[at].prefix, p) == 0;
}

void
bans_emit(struct server *s)
{
	uint32_t sent = 0;

	s->bans_version = version_next(s);
	do {
		uint32_t n = s->ban_count - sent < CELL_BANS_MAX ? s->ban_count - sent : CELL_BANS_MAX;
		struct cell c;

		cell_init(&c, TABLE_BANS);
		c.bans.version = s->bans_version;
		c.bans.first = sent == 0;
		c.bans.last = sent + n == s->ban_count;
		c.bans.count = (uint16_t)n;
		c.length = (uint16_t)(n * sizeof(struct prefix));
		for (uint32_t i = 0; i < n; i++)
			memcpy(c.data + i * sizeof(struct prefix), &s->bans[sent + i].prefix, sizeof(struct prefix));
		emit(s, SERVER_RING_TABLE, &c);
		sent += n;
	} while (sent < s->ban_count);
}

int
bans_load(struct server *s)
{
	struct store_ban *rows;
	int n = store_bans(s->store, &rows);

	if (n < 0)
		return n;
	s->bans = calloc(BANS_MAX, sizeof(*s->bans));
	if (s->bans != NULL) {
		s->ban_count = n < BANS_MAX ? (uint32_t)n : BANS_MAX;
		if (n != 0)
			memcpy(s->bans, rows, s->ban_count * sizeof(*rows));
	}
	free(rows);
	return s->bans == NULL ? -ENOMEM : 0;
}

void
bans_free(struct server *s)
{
	free(s->bans);
}

uint64_t
bans_timers(struct server *s)
{
	uint64_t next = UINT64_MAX;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < s->ban_count; i++) {
		const struct store_ban *b = &s->bans[i];

		if (b->until_ms != 0 && b->until_ms <= s->wall_ms)
			continue;
		if (b->until_ms != 0 && b->until_ms - s->wall_ms < next)
			next = b->until_ms - s->wall_ms;
		s->bans[kept++] = *b;
	}
	if (kept != s->ban_count) {
		log_info(bans, "ended", "count=%u left=%u", s->ban_count - kept, kept);
		s->ban_count = kept;
		bans_emit(s);
		lazy_add(s, LAZY_BANS_EXPIRE, s->wall_ms, 0);
	}
	return next;
}

/* ---- changes ------------------------------------------------------------------------- */

struct ban_change {
	struct operation op;
	struct store_ban ban;
	server_done_fn done;
	void *arg;
};

static void
change_fail(struct server *s, struct operation *op, int rc)
{
	struct ban_change *c = (struct ban_change *)op;

	done_fail(s, c->done, c->arg, rc);
}

static void
change_free(struct operation *op)
{
	free(op);
}

static void
ban_log(const char *what, const struct store_ban *b)
{
	char text[PREFIX_STRLEN];

	log_info(bans, what, "prefix=%s until_ms=%llu", prefix_format(&b->prefix, text), (unsigned long long)b->until_ms);
}

static void
add_effect(struct server *s, void *data)
{
	const struct store_ban *b = data;
	uint32_t at = ban_place(s, &b->prefix);

	if (!ban_at(s, at, &b->prefix)) {
		/* Only when several came in one batch. */
		if (s->ban_count == BANS_MAX)
			return;
		memmove(s->bans + at + 1, s->bans + at, (s->ban_count - at) * sizeof(*s->bans));
		s->ban_count++;
	}
	s->bans[at] = *b;
	ban_log("added", b);
	bans_emit(s);
}

static int
add_run(struct server *s, struct operation *op)
{
	struct ban_change *c = (struct ban_change *)op;
	uint32_t at = ban_place(s, &c->ban.prefix);
	int rc;

	if (s->ban_count == BANS_MAX && !ban_at(s, at, &c->ban.prefix)) {
		done_later(s, c->done, c->arg, -ENOSPC, "there are as many bans as this server holds (8192): ban a prefix instead");
		return 0;
	}
	rc = store_ban_put(s->store, &c->ban);
	if (rc < 0)
		return rc;
	effect_add(s, add_effect, NULL, &c->ban, sizeof(c->ban));
	done_later(s, c->done, c->arg, 0, "");
	return 0;
}

static void
del_effect(struct server *s, void *data)
{
	const struct store_ban *b = data;
	uint32_t at = ban_place(s, &b->prefix);

	if (!ban_at(s, at, &b->prefix))
		return;
	s->ban_count--;
	memmove(s->bans + at, s->bans + at + 1, (s->ban_count - at) * sizeof(*s->bans));
	ban_log("removed", b);
	bans_emit(s);
}

static int
del_run(struct server *s, struct operation *op)
{
	struct ban_change *c = (struct ban_change *)op;
	int rc;

	if (!ban_at(s, ban_place(s, &c->ban.prefix), &c->ban.prefix)) {
		done_later(s, c->done, c->arg, -ENOENT, "that is not banned: `rookctl bans list` shows what is");
		return 0;
	}
	rc = store_ban_del(s->store, &c->ban.prefix);
	if (rc < 0)
		return rc;
	effect_add(s, del_effect, NULL, &c->ban, sizeof(c->ban));
	done_later(s, c->done, c->arg, 0, "");
	return 0;
}

static int
change_start(struct server *s, const struct store_ban *b, int (*run)(struct server *, struct operation *),
	     server_done_fn done, void *arg)
{
	struct ban_change *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return -ENOMEM;
	c->op.run = run;
	c->op.fail = change_fail;
	c->op.free = change_free;
	c->ban = *b;
	c->done = done;
	c->arg = arg;
	operation_add(s, &c->op);
	return 0;
}

int
server_ban_add(struct server *s, const struct prefix *p, uint64_t seconds, const char *reason, server_done_fn done,
	       void *arg, char *error, size_t error_cap)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	bool v4 = p->bits >= 96 && memcmp(p->ip, mapped, sizeof(mapped)) == 0;
	struct store_ban b = {
		.prefix = *p,
		.created_ms = s->wall_ms,
		.until_ms = seconds == 0 ? 0 : s->wall_ms + seconds * 1000,
	};

	/* "::/n" would hold every IPv4 address as well, which is an IPv6 one inside. */
	if (p->bits < (v4 ? BITS_MIN4 : BITS_MIN6) || (!v4 && p->ip[0] == 0 && p->ip[1] == 0 && p->bits < 96)) {
		snprintf(error, error_cap, "that would ban half the world: a prefix has at least 8 bits (IPv4) or 16 (IPv6)");
		return -EINVAL;
	}
	if (!text_clean(b.reason, reason == NULL ? "" : reason, STORE_REASON_MAX)) {
		snprintf(error, error_cap, "a reason is UTF-8 of at most %d bytes", STORE_REASON_MAX);
		return -EINVAL;
	}
	return change_start(s, &b, add_run, done, arg);
}

int
server_ban_del(struct server *s, const struct prefix *p, server_done_fn done, void *arg)
{
	struct store_ban b = {.prefix = *p};

	return change_start(s, &b, del_run, done, arg);
}

/* ---- views --------------------------------------------------------------------------- */

/* Of ban `at`: the ports whose device drops it itself; how many ports there are. */
static void
ban_nic(const struct server *s, uint32_t at, uint32_t *nic, uint32_t *ports)
{
	const struct ipc_bans *b = s->ipc == NULL || !s->attached ? NULL : ipc_bans(s->ipc);

	if (b == NULL || atomic_load_explicit(&b->version, memory_order_acquire) != s->bans_version)
		return; /* it speaks of another list, whose order may be another */
	*nic = atomic_load_explicit(&b->nic[at], memory_order_relaxed);
	*ports = atomic_load_explicit(&b->ports, memory_order_relaxed);
}

int
server_bans_list(struct server *s, uint64_t offset, uint64_t limit, server_ban_fn cb, void *arg)
{
	int seen = 0;

	for (uint64_t i = offset; i < s->ban_count && (limit == 0 || i - offset < limit); i++) {
		const struct store_ban *b = &s->bans[i];
		struct server_ban info = {
			.prefix = b->prefix,
			.created_ms = b->created_ms,
			.until_ms = b->until_ms,
			.reason = b->reason,
		};

		ban_nic(s, (uint32_t)i, &info.nic_ports, &info.ports);
		seen++;
		if (!cb(arg, &info))
			break;
	}
	return seen;
}
