/* SPDX-License-Identifier: BSD-3-Clause */
/* The CPU time that a server and its clients, who are this process, take in all. What the network's softirqs take on behalf of a
 * process is in that process's share of the kernel's time, unless the kernel keeps the time of interrupts apart.
 * Thread-safety: one thread. */
#ifndef ROOKERY_BENCH_CPU_TIME_H
#define ROOKERY_BENCH_CPU_TIME_H

#include <sys/types.h>

enum cpu_share { CLIENTS_USER, CLIENTS_KERNEL, SERVER_USER, SERVER_KERNEL, SOFTIRQS, CPU_SHARES };

extern const char *const cpu_share_names[CPU_SHARES];

struct cpu_time {
	double share[CPU_SHARES]; /* seconds */
};

/* Until now. Ends the program if the kernel does not tell. */
struct cpu_time cpu_time_now(pid_t server);

#endif
