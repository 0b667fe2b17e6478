/* SPDX-License-Identifier: BSD-3-Clause */
#include "cpu_time.h"

#include "fail.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const cpu_share_names[CPU_SHARES] = {"clients' user", "clients' kernel", "server's user", "server's kernel",
						 "softirqs apart"};

/* Adds what a process or a thread of the kernel has taken. */
static void
add_process(pid_t pid, double *user, double *kernel)
{
	char path[64], line[1024], *after;
	unsigned long long utime, stime;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "r");
	if (f == NULL || fgets(line, sizeof(line), f) == NULL || (after = strrchr(line, ')')) == NULL ||
	    sscanf(after, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &utime, &stime) != 2)
		fail("%s cannot be read", path);
	fclose(f);
	*user += (double)utime / (double)sysconf(_SC_CLK_TCK);
	*kernel += (double)stime / (double)sysconf(_SC_CLK_TCK);
}

/* The threads in which softirqs run that take too long elsewhere. */
static double
softirq_threads(void)
{
	char path[300], name[64];
	double seconds = 0;
	struct dirent *e;
	DIR *d = opendir("/proc");

	while (d != NULL && (e = readdir(d)) != NULL) {
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%s/comm", e->d_name);
		if (e->d_name[0] < '1' || e->d_name[0] > '9' || (f = fopen(path, "r")) == NULL)
			continue;
		if (fgets(name, sizeof(name), f) != NULL && strncmp(name, "ksoftirqd/", 10) == 0)
			add_process((pid_t)strtol(e->d_name, NULL, 10), &seconds, &seconds);
		fclose(f);
	}
	if (d != NULL)
		closedir(d);
	return seconds;
}

static double
interrupts(void)
{
	unsigned long long irq, softirq;
	FILE *f = fopen("/proc/stat", "r");

	if (f == NULL || fscanf(f, "cpu %*u %*u %*u %*u %*u %llu %llu", &irq, &softirq) != 2)
		fail("/proc/stat cannot be read");
	fclose(f);
	/* By ticks of the clock, hard interrupts get none, and softirqs are in the processes' time as well. */
	return irq != 0 ? (double)(irq + softirq) / (double)sysconf(_SC_CLK_TCK) : 0;
}

struct cpu_time
cpu_time_now(pid_t server)
{
	struct cpu_time c = {{0}};

	add_process(getpid(), &c.share[CLIENTS_USER], &c.share[CLIENTS_KERNEL]);
	add_process(server, &c.share[SERVER_USER], &c.share[SERVER_KERNEL]);
	c.share[SOFTIRQS] = softirq_threads() + interrupts();
	return c;
}
