/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For load from outside (pktgen, replayed captures): gives a running rookery-dataplane, which no control serves, the sessions that
 * `rookbench pcap` writes pings of, prints each second what the workers did, and at last, or on SIGTERM, all counters.
 *
 *	bench-provision RUNTIME-FOLDER SESSIONS SECONDS
 */
#include "identity.h"
#include "player.h"

#include "shared/counters.h"
#include "shared/log.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TURN_US 20000

static volatile sig_atomic_t stopped;

static void
stop(int signal_number)
{
	(void)signal_number;
	stopped = 1;
}

static uint64_t
counter(const struct ipc *ipc, enum counter c)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < ipc->workers; i++)
		sum += atomic_load_explicit(&ipc_stats(ipc, i)->counter[c], memory_order_relaxed);
	return sum;
}

static uint64_t
drops(const struct ipc *ipc)
{
	uint64_t sum = 0;

	for (unsigned c = 0; c < COUNTER_COUNT; c++)
		if (counter_info[c].is_drop)
			sum += counter(ipc, (enum counter)c);
	return sum;
}

static void
watch(struct ipc *ipc, unsigned seconds)
{
	uint64_t rx = counter(ipc, COUNTER_rx_packets), tx = counter(ipc, COUNTER_tx_packets), dropped = drops(ipc);
	uint64_t busy = counter(ipc, COUNTER_cycles_busy), next = player_now_ms() + 1000;

	printf("%12s %12s %12s %14s\n", "received/s", "sent/s", "dropped/s", "cycles/packet");
	while (seconds != 0 && !stopped) {
		uint64_t r, t, d, b;

		player_empty(ipc);
		usleep(TURN_US);
		if (player_now_ms() < next)
			continue;
		next += 1000;
		seconds--;
		r = counter(ipc, COUNTER_rx_packets) - rx;
		t = counter(ipc, COUNTER_tx_packets) - tx;
		d = drops(ipc) - dropped;
		b = counter(ipc, COUNTER_cycles_busy) - busy;
		printf("%12llu %12llu %12llu %14.0f\n", (unsigned long long)r, (unsigned long long)t, (unsigned long long)d,
		       r == 0 ? 0 : (double)b / (double)r);
		fflush(stdout);
		rx += r;
		tx += t;
		dropped += d;
		busy += b;
	}
	for (unsigned c = 0; c < COUNTER_COUNT; c++)
		if (counter(ipc, (enum counter)c) != 0)
			printf("%s %llu\n", counter_info[c].name, (unsigned long long)counter(ipc, (enum counter)c));
}

int
main(int argc, char **argv)
{
	uint32_t sessions = argc == 4 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0;
	struct ipc ipc;
	char path[512];
	int rc;

	if (sessions == 0) {
		fprintf(stderr, "usage: bench-provision RUNTIME-FOLDER SESSIONS SECONDS\n");
		return 2;
	}
	log_open("bench-provision", LOG_LEVEL_WARNING);
	snprintf(path, sizeof(path), "%s/rings.shm", argv[1]);
	rc = player_join(&ipc, path, 10000);
	for (uint32_t i = 0; i < sessions && rc == 0; i++) {
		struct endpoint at;

		load_address(i, &at);
		rc = player_provision(&ipc, i, &at, i ^ 1);
	}
	if (rc == 0)
		rc = player_settle(&ipc);
	if (rc != 0) {
		fprintf(stderr, "bench-provision: %s: %s\n", path, strerror(-rc));
		return 1;
	}
	printf("%u sessions\n", sessions);
	signal(SIGTERM, stop);
	signal(SIGINT, stop);
	watch(&ipc, (unsigned)strtoul(argv[3], NULL, 10));
	ipc_leave(&ipc);
	return 0;
}
