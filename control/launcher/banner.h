/* SPDX-License-Identifier: BSD-3-Clause */
/* The lines that `rookery run` prints once clients can log in: what is up, where, and what to type next. */
#ifndef ROOKERY_CONTROL_LAUNCHER_BANNER_H
#define ROOKERY_CONTROL_LAUNCHER_BANNER_H

#include "shared/config.h"

#include <jansson.h>
#include <stdio.h>
#include <sys/types.h>

struct banner {
	const struct config *config;
	const char *bin_dir;	 /* folder of the running binary */
	const char *config_path; /* as given with --config, or NULL */
	const char *state_dir;	 /* as given with --state, or NULL */
	const char *control_socket;
	pid_t dataplane, control;
};

void banner_print(FILE *out, const struct banner *b, const json_t *status);

/* How a person here would type the program `name` of folder bin_dir: by its name alone when the folder is in
 * PATH, relative to cwd when beneath it, otherwise with its full path. Returns out, or NULL if it doesn't
 * fit. */
const char *banner_program(const char *bin_dir, const char *name, const char *cwd, const char *path_variable,
			   char *out, size_t cap);

/* The address at which a client on this machine reaches a port that listens on `listen`: a wildcard becomes
 * loopback. Returns out, or NULL if it doesn't fit. */
const char *banner_reachable(const char *listen, char *out, size_t cap);

#endif
