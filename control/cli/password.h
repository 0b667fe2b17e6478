/* SPDX-License-Identifier: BSD-3-Clause */
/* Reads a password without showing it; it is never an argument, where other users could see it. */
#ifndef ROOKERY_CONTROL_CLI_PASSWORD_H
#define ROOKERY_CONTROL_CLI_PASSWORD_H

#include <stddef.h>

#define PASSWORD_MAX 256

/*
 * file NULL: asks twice on the terminal, without echo. "-": the first line of standard input; otherwise of
 * that file. Returns 0, or -errno with one line in error. The caller wipes out.
 */
int
password_read(const char *file, const char *user, char out[PASSWORD_MAX + 1], char *error, size_t error_cap);

#endif
