/* SPDX-License-Identifier: BSD-3-Clause */
/* What the two server processes have in common at their start. Main thread only. */
#ifndef ROOKERY_SHARED_PROGRAM_H
#define ROOKERY_SHARED_PROGRAM_H

#include "shared/log.h"

#include <stdbool.h>

#define PROGRAM_EXIT_USAGE 2 /* command line or configuration */
#define PROGRAM_PREPARED 'p' /* from a process on standby to the launcher */
#define PROGRAM_GO 'g'       /* and back */

/* Reads --config, --state, --standby, --version, --help. about: one or two lines for the help. Returns 0 to go on, or an exit status + 1. */
int program_arguments(int argc, char **argv, const char *name, const char *about, const char **config, const char **state);

/* An upgrade: the launcher starts us with --standby FD beside the process that we shall replace. Says that all that can be done beside
 * it is done, and waits until it has ended. Returns 0 (at once without --standby), or -ECANCELED when the launcher wants nothing of us
 * any more. */
int program_standby(void);
bool program_on_standby(void);

/* Keys and passwords of this process end in no core dump, and no other process of the same user may attach. Does nothing under
 * AddressSanitizer, whose leak checker attaches to its own process. */
void program_hide_memory(void);

/* The last words before it leaves: one error line. */
void program_report(enum log_area area, const char *error);

#endif
