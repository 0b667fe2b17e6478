/* SPDX-License-Identifier: BSD-3-Clause */
/* What root's launcher keeps of root's rights. */
#ifndef ROOKERY_CONTROL_LAUNCHER_RIGHTS_H
#define ROOKERY_CONTROL_LAUNCHER_RIGHTS_H

#include "shared/config.h"

#include <stddef.h>

/*
 * Gives up, for this process and for those that it starts from now on, what none of them needs. Before there are threads.
 * Returns 0, or -errno with a line in error.
 */
int rights_limit(const struct config *c, char *error, size_t cap);

#endif
