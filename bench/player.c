/* SPDX-License-Identifier: BSD-3-Clause */
#include "player.h"

#include "identity.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 10000

uint64_t
player_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

int
player_join(struct ipc *ipc, const char *path, uint32_t timeout_ms)
{
	uint64_t until = player_now_ms() + timeout_ms;
	int rc;

	while ((rc = ipc_join(ipc, path)) != 0 && player_now_ms() < until)
		usleep(20000);
	return rc;
}

void
player_empty(struct ipc *ipc)
{
	for (unsigned kind = IPC_EVENT; kind <= IPC_LOGIN; kind++) {
		const struct cell_ring *r = ipc_ring(ipc, (enum ipc_ring)kind, 0);

		ring_release_n(r, ring_used(r));
	}
}

static int
cell_put(struct ipc *ipc, enum ipc_ring ring, const struct cell *from)
{
	const struct cell_ring *r = ipc_ring(ipc, ring, 0);
	uint64_t until = player_now_ms() + PATIENCE_MS;
	struct cell *c;

	while ((c = ring_reserve(r)) == NULL) {
		if (player_now_ms() > until)
			return -ETIMEDOUT;
		player_empty(ipc);
		usleep(100);
	}
	memcpy(c, from, cell_used(from));
	ring_publish(r);
	return 0;
}

int
player_provision(struct ipc *ipc, uint32_t i, const struct endpoint *at, uint32_t buddy)
{
	struct cell add = {.type = INJECT_SESSION_ADD}, user = {.type = TABLE_USER_SET}, verdict = {.type = TABLE_VERDICT_SET};
	int rc;

	add.session_add = (struct cell_session_add){.sid = load_sid(i), .user = i + 1, .device = i + 1, .peer = *at};
	load_keys(i, &add.session_add.keys);
	user.user = (struct cell_user){.user = i + 1, .live_count = 1, .live = {{.sid = load_sid(i), .device = i + 1}}};
	verdict.verdict = (struct cell_verdict){.from = i + 1, .to = buddy + 1, .verdict = VERDICT_ALLOWED};
	rc = cell_put(ipc, IPC_INJECT, &add);
	if (rc == 0)
		rc = cell_put(ipc, IPC_TABLE, &user);
	return rc == 0 ? cell_put(ipc, IPC_TABLE, &verdict) : rc;
}

int
player_settle(struct ipc *ipc)
{
	uint64_t value = atomic_load(&ipc->header->barrier) + 1, until = player_now_ms() + PATIENCE_MS;
	struct cell barrier = {.type = TABLE_BARRIER, .barrier.value = value};
	int rc = cell_put(ipc, IPC_TABLE, &barrier);

	while (rc == 0 && (atomic_load(&ipc->header->barrier) < value || ring_used(ipc_ring(ipc, IPC_INJECT, 0)) != 0)) {
		if (player_now_ms() > until)
			return -ETIMEDOUT;
		player_empty(ipc);
		usleep(1000);
	}
	return rc;
}
