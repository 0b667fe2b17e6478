/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What all workers read: users (user id -> live sessions) and conversations ((from, to) -> verdict).
 *
 * Thread-safety: rte_hash with lock-free read/write concurrency; one writer (housekeeping, or the test's
 * thread). Readers are workers that registered with RCU (QSBR) and report a quiescent state once per
 * iteration; a pointer got from a lookup is valid until the reader's next report. Values are replaced, never
 * changed in place.
 */
#ifndef ROOKERY_DATAPLANE_TABLES_H
#define ROOKERY_DATAPLANE_TABLES_H

#include "shared/cell.h"
#include "shared/config.h"

#include <stdbool.h>
#include <stdint.h>

struct tables;

struct user_entry {
	user_id_t user;
	uint8_t away; /* some device is not live: a copy goes to the store */
	uint8_t live_count;
	struct live_session live[USER_SESSIONS_MAX];
};

/* numa_node: rte_malloc socket (SOCKET_ID_ANY allowed). Sizes from config->dataplane.users and
 * .conversations. NULL without memory. */
struct tables *tables_new(const struct config *config, uint32_t workers, int numa_node);
void tables_free(struct tables *t);

/* ---- readers (worker w) ---- */
void tables_reader_online(struct tables *t, uint32_t worker);
void tables_reader_offline(struct tables *t, uint32_t worker); /* before it sleeps or ends */
void tables_reader_quiescent(struct tables *t, uint32_t worker);
/* NULL: not known here. */
const struct user_entry *tables_user(const struct tables *t, user_id_t user);
/* VERDICT_NONE: not known here. */
enum verdict tables_verdict(const struct tables *t, user_id_t from, user_id_t to);
/* Bulk forms, n at most 32. */
void tables_users(const struct tables *t, const user_id_t *users, uint32_t n, const struct user_entry **out);
void tables_verdicts(const struct tables *t, const user_id_t (*pairs)[2], uint32_t n, uint8_t *out);

/* ---- writer ---- */
/* Applies a TABLE_USER_* or TABLE_VERDICT_* cell. Returns 0, -ENOSPC, -EINVAL (bad cell). Users: -ENOSPC
 * when the table is full, or a stalled reader holds back all replaced entries (1,024 at least); the user
 * is then absent, which readers treat as 'all devices away'. Verdicts: never -ENOSPC. A full table forgets
 * a pair at random first. Behind a stalled reader a new pair may stay unknown, which only means that the
 * next message asks again; overwriting and deleting always work. */
int tables_apply(struct tables *t, const struct cell *c);
/* Frees what no reader can see any more; call now and then. */
void tables_reclaim(struct tables *t);
uint32_t tables_user_count(const struct tables *t);
uint32_t tables_verdict_count(const struct tables *t);

#endif
