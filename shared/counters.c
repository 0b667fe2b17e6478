// SPDX-License-Identifier: BSD-3-Clause
#include "shared/counters.h"

#include "shared/ipc.h"

#define COUNTER_INFO(counter_name, counter_text) [COUNTER_##counter_name] = {#counter_name, counter_text, 0, 0},
#define DROP_INFO(counter_name, counter_text) [COUNTER_##counter_name] = {#counter_name, counter_text, 1, 0},
#define GAUGE_INFO(counter_name, counter_text) [COUNTER_##counter_name] = {#counter_name, counter_text, 0, 1},

const struct counter_info counter_info[COUNTER_COUNT] = {COUNTERS(COUNTER_INFO, DROP_INFO, GAUGE_INFO)};

_Static_assert(COUNTER_COUNT <= IPC_COUNTERS_MAX, "the region holds every counter");
