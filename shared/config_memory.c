/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the dataplane's tables take: estimates from above of tables.c, session.c, message.c, inflight.c, keycache.c and boot_pool. Bytes
 * per row were measured by starting with ever less; memory that is not touched costs nothing without hugepages.
 */
#include "shared/config.h"

#define DELIVERIES_ROOM (8192ull * 72) /* of one worker for another */

static unsigned
mb(uint64_t bytes)
{
	return (unsigned)(bytes * 5 / 4 / (1024 * 1024));
}

unsigned
config_memory_worker_mb(const struct config *c)
{
	uint64_t workers = c->dataplane.workers;
	uint64_t bytes = (uint64_t)c->dataplane.sessions * 192 / workers;

	bytes += (uint64_t)c->dataplane.activities * 128;
	bytes += (uint64_t)c->dataplane.messages * 1600;
	bytes += (workers - 1) * DELIVERIES_ROOM;
	return 48 + mb(bytes);
}

unsigned
config_memory_common_mb(const struct config *c)
{
	uint64_t bytes = (uint64_t)c->dataplane.users * 32;

	bytes += (uint64_t)c->dataplane.sessions * 20; /* the user table's live sessions */
	bytes += (uint64_t)c->dataplane.conversations * 32;
	return 128 + mb(bytes);
}

unsigned
config_memory_mb(const struct config *c)
{
	/* Rounded down in each part; one more for each. */
	return config_memory_common_mb(c) + c->dataplane.workers * (config_memory_worker_mb(c) + 1) + 1;
}
