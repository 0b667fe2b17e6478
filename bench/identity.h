/* SPDX-License-Identifier: BSD-3-Clause */
/* Who the clients are, by number: the same in all programs of bench/. Client i is the only device of user i + 1. */
#ifndef ROOKERY_BENCH_IDENTITY_H
#define ROOKERY_BENCH_IDENTITY_H

#include "shared/address.h"
#include "shared/ids.h"
#include "shared/session_keys.h"

#include <stdint.h>

#define LOAD_GENERATION 1

session_id_t load_sid(uint32_t client);
void load_keys(uint32_t client, struct session_keys *keys);
/* 10.0.0.0/8, more than 16 M of them by port. */
void load_address(uint32_t client, struct endpoint *e);

#endif
