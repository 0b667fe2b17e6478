/* SPDX-License-Identifier: BSD-3-Clause */
/* What the dataplane gives up once its ports are open. */
#ifndef ROOKERY_DATAPLANE_PRIVILEGES_H
#define ROOKERY_DATAPLANE_PRIVILEGES_H

#include "shared/account.h"
#include "shared/config.h"

/* Identity, capabilities, system calls, core dumps: for all threads, so every thread must exist. Returns 0, or -errno with
 * a line in error: the caller must not go on then. */
int privileges_drop(const struct config *c, const struct account *account, char *error, size_t cap);

#endif
