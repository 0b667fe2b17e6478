/* SPDX-License-Identifier: BSD-3-Clause */
/* One supervised process: how it is started, and when it is started again. */
#ifndef ROOKERY_CONTROL_LAUNCHER_CHILD_H
#define ROOKERY_CONTROL_LAUNCHER_CHILD_H

#include <stdint.h>
#include <sys/types.h>

/* So many deaths are followed by a start at once, each RESTART_LIFE_MS of life makes up for one of them; further ones wait longer and
 * longer, for a process that can't run at all. */
#define RESTART_AT_ONCE_MAX 5
#define RESTART_LIFE_MS 5000
#define RESTART_DELAY_MIN_MS 100
#define RESTART_DELAY_MAX_MS 5000

struct restart_pace {
	uint32_t deaths;   /* not made up for */
	uint32_t delay_ms; /* the last one */
};

/* The delay before the next start of a child that lived for lived_ms. The pace of a new child is all zero. */
uint32_t restart_delay(struct restart_pace *pace, uint64_t lived_ms);

/*
 * Starts argv[0] in a process group of its own, so that Ctrl-C on the terminal reaches the launcher alone;
 * its standard input is empty and its standard output is our standard error. The kernel kills it when we die.
 * Call it on the main thread: the kernel takes the end of the thread that forked for our death. keep is a
 * descriptor that the program inherits under the same number; -1: none.
 *
 * Returns its pid, or -errno when it can't be executed.
 */
pid_t child_start(char *const argv[], int keep);

#endif
