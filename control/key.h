/* SPDX-License-Identifier: BSD-3-Clause */
/* The server's key pair: 64 hex digits of the secret half in a file of mode 0600. */
#ifndef ROOKERY_CONTROL_KEY_H
#define ROOKERY_CONTROL_KEY_H

#include "shared/handshake.h"

/* Reads the key at path; makes one if there is none. Returns 0 or -errno with one line in error. */
int key_load(struct handshake_keypair *key, const char *path, char *error, size_t cap);

#endif
