/* SPDX-License-Identifier: BSD-3-Clause */
/* How often something took how long. Fixed bounds, so that histograms of several servers can be added up. One thread. */
#ifndef ROOKERY_CONTROL_HISTOGRAM_H
#define ROOKERY_CONTROL_HISTOGRAM_H

#include <stdint.h>
#include <time.h>

#define HISTOGRAM_BUCKETS 16

/* Upper bounds in microseconds; one more bucket takes the rest. */
static const uint32_t histogram_bound_us[HISTOGRAM_BUCKETS] = {
	50,    100,   250,   500,    1000,   2500,   5000,    10000,
	25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 10000000,
};

struct histogram {
	uint64_t count[HISTOGRAM_BUCKETS + 1];
	uint64_t sum_us;
};

static inline void
histogram_add(struct histogram *h, uint64_t us, uint64_t times)
{
	unsigned i = 0;

	while (i < HISTOGRAM_BUCKETS && us > histogram_bound_us[i])
		i++;
	h->count[i] += times;
	h->sum_us += us * times;
}

static inline uint64_t
histogram_clock_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

#endif
