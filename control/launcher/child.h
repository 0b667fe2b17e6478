/* SPDX-License-Identifier: BSD-3-Clause */
/* One supervised process: how it is started, and when it is started again. */
#ifndef ROOKERY_CONTROL_LAUNCHER_CHILD_H
#define ROOKERY_CONTROL_LAUNCHER_CHILD_H

#include <stdint.h>
#include <sys/types.h>

/* A child that lived for less than this is restarted with a growing delay. */
#define RESTART_SHORT_LIFE_MS 5000
#define RESTART_DELAY_MIN_MS 100
#define RESTART_DELAY_MAX_MS 5000

/* The delay before the next start of a child that lived for lived_ms; *last is the delay before its present
 * start (0 at first) and is replaced. */
uint32_t restart_delay(uint32_t *last, uint64_t lived_ms);

/*
 * Starts argv[0] in a process group of its own, so that Ctrl-C on the terminal reaches the launcher alone;
 * its standard input is empty and its standard output is our standard error. The kernel kills it when we die.
 * Call it on the main thread: the kernel takes the end of the thread that forked for our death.
 *
 * Returns its pid, or -errno when it can't be executed.
 */
pid_t child_start(char *const argv[]);

#endif
