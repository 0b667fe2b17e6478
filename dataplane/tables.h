/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What all workers read: users (user id -> live sessions), conversations ((from, to) -> verdict), and bans (bans.h).
 *
 * Thread-safety: one writer (housekeeping, or the test's thread); its readers never wait. Readers are workers that registered with
 * RCU (QSBR) and report a quiescent state once per iteration; what a lookup found is valid until the reader's next report.
 */
#ifndef ROOKERY_DATAPLANE_TABLES_H
#define ROOKERY_DATAPLANE_TABLES_H

#include "bans.h"
#include "shared/cell.h"
#include "shared/config.h"

#include <stdbool.h>
#include <stdint.h>

struct tables;

/* What a lookup found. A user that is not known here has no live device and is away. */
struct user_entry {
	struct live_session single;
	const struct live_session *run; /* live_count of them; NULL: `single` is the only one, if there is one */
	uint8_t live_count;
	bool away; /* some device is not live: a copy goes to the store */
};

static inline const struct live_session *
user_live(const struct user_entry *e)
{
	return e->run != NULL ? e->run : &e->single;
}

/* numa_node: rte_malloc socket (SOCKET_ID_ANY allowed). Sizes from config->dataplane.users and
 * .conversations. NULL without memory. */
struct tables *tables_new(const struct config *config, uint32_t workers, int numa_node);
void tables_free(struct tables *t);

/* ---- readers (worker w) ---- */
void tables_reader_online(struct tables *t, uint32_t worker);
void tables_reader_offline(struct tables *t, uint32_t worker); /* before it sleeps or ends */
void tables_reader_quiescent(struct tables *t, uint32_t worker);
struct user_entry tables_user(const struct tables *t, user_id_t user);
/* VERDICT_NONE: not known here. */
enum verdict tables_verdict(const struct tables *t, user_id_t from, user_id_t to);
/* Constant. */
const struct bans *tables_bans(const struct tables *t);
/* Bulk forms, n at most 32. */
void tables_users(const struct tables *t, const user_id_t *users, uint32_t n, struct user_entry *out);
void tables_verdicts(const struct tables *t, const user_id_t (*pairs)[2], uint32_t n, uint8_t *out);

/* ---- writer ---- */
/* Applies a TABLE_USER_*, TABLE_VERDICT_* or TABLE_BANS cell. Returns 0, or
 * -EAGAIN  too much of what was replaced waits for a stalled reader (1,024 users at least): nothing has changed, try again;
 * -ENOSPC  the user table is full: the user stays unknown;
 * -ENOMEM  no memory for the bans: those before stay in force,
 * -EINVAL  bad cell.
 * Verdicts are a cache: a full table forgets a pair at random first. Live sessions that find no room count as away. */
int tables_apply(struct tables *t, const struct cell *c);
/* Frees what no reader can see any more; call now and then. */
void tables_reclaim(struct tables *t);
uint32_t tables_user_count(const struct tables *t);
uint64_t tables_user_bytes(const struct tables *t); /* of memory, beside the pool of live sessions */
uint32_t tables_verdict_count(const struct tables *t);
uint32_t tables_ban_count(const struct tables *t);
/* Every entry is where it is looked for. For tests. */
bool tables_check(const struct tables *t);

#endif
