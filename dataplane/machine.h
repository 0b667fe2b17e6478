/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Why this machine did not let EAL or a device start, for the message about it: only what a look at the machine proves, with its mend.
 * `rookctl host check` (control/cli/host.h) looks at the same things before a start.
 *
 * All return false when nothing is proved. root: "" on a real machine; tests make a tree of files.
 *
 * Thread-safety: main thread only.
 */
#ifndef ROOKERY_DATAPLANE_MACHINE_H
#define ROOKERY_DATAPLANE_MACHINE_H

#include "shared/config.h"

#include <stdbool.h>
#include <stddef.h>

/* rc: -rte_errno of rte_eal_init. */
bool machine_eal_cause(const char *root, const struct config *c, int rc, char *why, size_t cap);
/* device: as in dataplane.ports.devices. */
bool machine_device_cause(const char *root, const char *device, char *why, size_t cap);

#endif
