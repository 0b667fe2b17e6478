/* SPDX-License-Identifier: BSD-3-Clause */
/* EAL for a test program: no root, no hugepages, no devices, no files left behind. */
#ifndef ROOKERY_TESTS_EAL_FIXTURE_H
#define ROOKERY_TESTS_EAL_FIXTURE_H

#include <rte_eal.h>
#include <rte_errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#ifndef EAL_FIXTURE_MEMORY_MB
#define EAL_FIXTURE_MEMORY_MB "128"
#endif

/* One lcore, the calling thread, on the first CPU that this process may use. */
static inline int
eal_fixture_start(void)
{
	char lcores[32];
	char *argv[] = {"test", "--no-huge", "-m", EAL_FIXTURE_MEMORY_MB, "--no-pci", "--no-shconf",
			"--no-telemetry", "--log-level=error", "--lcores", lcores, NULL};
	char dir[] = "/tmp/rookery-eal-XXXXXX";
	cpu_set_t allowed;
	int cpu = 0;
	int rc;

	/* EAL's directory, which it empties but does not remove, goes where nothing else is. */
	if (mkdtemp(dir) == NULL)
		return -1;
	setenv("RUNTIME_DIRECTORY", dir, 1);
	CPU_ZERO(&allowed);
	sched_getaffinity(0, sizeof(allowed), &allowed);
	while (cpu < CPU_SETSIZE - 1 && !CPU_ISSET(cpu, &allowed))
		cpu++;
	snprintf(lcores, sizeof(lcores), "0@%d", cpu);
	rc = rte_eal_init((int)(sizeof(argv) / sizeof(argv[0])) - 1, argv);
	/* EAL pins its lcore; the test's own threads, which inherit that, are to run anywhere. */
	sched_setaffinity(0, sizeof(allowed), &allowed);
	if (rc < 0) {
		fprintf(stderr, "EAL did not start: %s\n", rte_strerror(rte_errno));
		return -1;
	}
	return 0;
}

/* cmocka group set-up and tear-down. */
static inline int
eal_fixture_setup(void **state)
{
	(void)state;
	return eal_fixture_start();
}

static inline void
eal_fixture_rmdir(const char *dir)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/dpdk/rte", dir);
	rmdir(path);
	snprintf(path, sizeof(path), "%s/dpdk", dir);
	rmdir(path);
	rmdir(dir);
}

static inline int
eal_fixture_teardown(void **state)
{
	const char *dir = getenv("RUNTIME_DIRECTORY");
	int rc = rte_eal_cleanup();

	(void)state;
	eal_fixture_rmdir(dir);
	return rc;
}

/* For atexit: a fuzz target has no other end. */
static inline void
eal_fixture_end(void)
{
	eal_fixture_teardown(NULL);
}

#endif
