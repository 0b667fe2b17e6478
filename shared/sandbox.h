/* SPDX-License-Identifier: BSD-3-Clause */
/* A filter of system calls (seccomp): what a process does not need once it has started is refused by the kernel. */
#ifndef ROOKERY_SHARED_SANDBOX_H
#define ROOKERY_SHARED_SANDBOX_H

#include "shared/config.h"

#include <stddef.h>

enum sandbox_role {
	SANDBOX_CONTROL,   /* event loop, database, Unix sockets */
	SANDBOX_DATAPLANE, /* sockets that are open already */
	SANDBOX_LAUNCHER,  /* starts these two, which inherit its filter: it refuses nothing but what ends a process */
};

/* What the devices of the dataplane need beyond that, added up. */
#define SANDBOX_DEVICE 0x1 /* ioctl, netlink, reading files: links are looked at and set down */
#define SANDBOX_BPF 0x2    /* AF_XDP: its program is detached at the end */

/*
 * From now on, for all threads and for ever (config_sandbox of the configuration):
 * SANDBOX_ENFORCE: a system call outside of the role's list fails with EPERM; one that only an intruder makes (executing a
 * program, tracing, mounting, loading code into the kernel, ...) ends the process with SIGSYS and is in the kernel's log.
 * SANDBOX_LOG: all pass, those outside are in the kernel's log. SANDBOX_OFF: nothing is done.
 *
 * No new privileges can be gained afterwards. Builds with AddressSanitizer or ThreadSanitizer may do what these need.
 * Returns 0, or -errno with a line in error.
 */
int sandbox_enter(enum sandbox_role role, unsigned needs, enum config_sandbox mode, char *error, size_t cap);

#endif
