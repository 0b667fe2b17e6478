/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Giving up what a process does not need any more: root's identity and capabilities.
 *
 * Credentials belong to threads. Functions here change those of all threads of the process, unless they say otherwise.
 */
#ifndef ROOKERY_SHARED_PRIVILEGE_H
#define ROOKERY_SHARED_PRIVILEGE_H

#include "shared/account.h"

#include <stdint.h>

/*
 * Becomes a (if a->change) without supplementary groups, and keeps only the capabilities of the mask `keep` (bit number =
 * capability), on the calling thread; all other threads keep none. Cannot be undone. No new one can be gained
 * afterwards, also not by executing a program. Without the right to do some of it that part is already so.
 *
 * Returns 0, or -errno with a line in error: the caller must not go on then.
 */
int privilege_drop(const struct account *a, uint64_t keep, char *error, size_t cap);

/*
 * For the process that starts the others, before it has threads: stays who it is, with no more than the capabilities of the mask `keep`.
 * What it executes gets no more than that either, also as root. Returns 0, or -errno with a line in error.
 */
int privilege_limit(uint64_t keep, char *error, size_t cap);

/* The capabilities in effect of the calling thread, as a mask. */
uint64_t privilege_effective(void);

#endif
