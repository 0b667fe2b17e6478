/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From a configuration to lcores and memory: EAL's arguments, packet pools, NUMA nodes.
 *
 * Thread-safety: main thread only.
 */
#ifndef ROOKERY_DATAPLANE_BOOT_H
#define ROOKERY_DATAPLANE_BOOT_H

#include "shared/config.h"

#include <rte_mempool.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Can EAL start beside another dataplane with this configuration? A PCI device and hugepages are there only once. */
bool boot_can_share(const struct config *c);

/* Starts EAL: housekeeping on lcore 0 (the caller), worker w on lcore w + 1. Returns 0 or -errno with a line
 * in error. */
int boot_eal(const struct config *c, char *error, size_t cap);

void boot_stop(const struct config *c);

static inline unsigned
boot_lcore(uint32_t worker)
{
	return worker + 1;
}

/* NUMA node of a pinned worker; SOCKET_ID_ANY when workers float or memory has no nodes (no hugepages). */
int boot_numa_node(const struct config *c, uint32_t worker);

/* Packets of one worker, on its node. Returns 0 or -errno with a line in error. */
int boot_pool(struct rte_mempool **out, const struct config *c, uint32_t worker, char *error, size_t cap);

#endif
