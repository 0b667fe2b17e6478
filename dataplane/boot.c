/* SPDX-License-Identifier: BSD-3-Clause */
#include "dataplane/boot.h"

#include "dataplane/library_log.h"
#include "dataplane/machine.h"
#include "dataplane/packet.h"
#include "dataplane/telemetry.h"
#include "shared/log.h"

#include <errno.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARGUMENTS_MAX 96
#define ARGUMENT_SIZE 8192 /* a list of all CPUs of the largest machine */

/* Packets of a worker: bursts, answers and hand-offs under way; a device holds more of them in its rings. */
#define POOL_PACKETS 8192
#define POOL_PACKETS_MANY 4096 /* each, with more than this many workers: */
#define MANY_WORKERS 8
#define POOL_PACKETS_ETHDEV 4096
#define POOL_CACHE 256

/* ---- CPUs ------------------------------------------------------------------------------------ */

/* "(0-2)@(0,1)": all lcores on all the CPUs that we may use, be they fewer than the lcores. */
static int
lcores_floating(unsigned lcores, const cpu_set_t *allowed, char *out, size_t cap)
{
	int cpu, at = snprintf(out, cap, "(0-%u)@(", lcores - 1);
	const char *comma = "";

	for (cpu = 0; cpu < CPU_SETSIZE && (size_t)at < cap; cpu++) {
		if (!CPU_ISSET(cpu, allowed))
			continue;
		at += snprintf(out + at, cap - (size_t)at, "%s%d", comma, cpu);
		comma = ",";
	}
	if ((size_t)at + 2 > cap)
		return -ENOSPC;
	strcpy(out + at, ")");
	return 0;
}

static int
lcores_pinned(const char *text, unsigned lcores, const cpu_set_t *allowed, char *out, size_t cap, char *error,
	      size_t error_cap)
{
	uint16_t cpus[CPU_SETSIZE];
	int count = config_cpus(text, cpus, CPU_SETSIZE);
	unsigned i;
	int at = 0;

	if (count < 0) {
		snprintf(error, error_cap, "dataplane.cpus \"%s\": write a list like \"2,4-7\"", text);
		return -EINVAL;
	}
	if ((unsigned)count < lcores) {
		snprintf(error, error_cap,
			 "dataplane.cpus \"%s\" names %d CPUs; housekeeping and %u workers need %u", text,
			 count, lcores - 1, lcores);
		return -EINVAL;
	}
	for (i = 0; i < lcores && (size_t)at < cap; i++) {
		if (!CPU_ISSET(cpus[i], allowed)) {
			snprintf(error, error_cap,
				 "dataplane.cpus \"%s\": this process may not run on CPU %u", text, cpus[i]);
			return -EINVAL;
		}
		at += snprintf(out + at, cap - (size_t)at, "%s%u@%u", i == 0 ? "" : ",", i, cpus[i]);
	}
	return (size_t)at < cap ? 0 : -ENOSPC;
}

static int
lcores_argument(const struct config *c, char *out, size_t cap, char *error, size_t error_cap)
{
	unsigned lcores = c->dataplane.workers + 1;
	const char *cpus = c->dataplane.cpus;
	cpu_set_t allowed;

	CPU_ZERO(&allowed);
	if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0 || CPU_COUNT(&allowed) == 0)
		CPU_SET(0, &allowed);
	if (lcores > RTE_MAX_LCORE) {
		snprintf(error, error_cap, "dataplane.workers: %u are more than DPDK serves; at most %u",
			 lcores - 1, RTE_MAX_LCORE - 1);
		return -EINVAL;
	}
	if (cpus != NULL && cpus[0] != '\0')
		return lcores_pinned(cpus, lcores, &allowed, out, cap, error, error_cap);
	return lcores_floating(lcores, &allowed, out, cap);
}

/* ---- EAL ------------------------------------------------------------------------------------- */

/* "0000:03:00.0" or "03:00.0". */
static bool
is_pci_address(const char *device)
{
	unsigned domain, bus, slot, function;
	int end = 0;

	if (sscanf(device, "%x:%x:%x.%x%n", &domain, &bus, &slot, &function, &end) != 4)
		end = sscanf(device, "%x:%x.%x%n", &bus, &slot, &function, &end) == 3 ? end : 0;
	return end > 0 && (device[end] == '\0' || device[end] == ',');
}

bool
boot_can_share(const struct config *c)
{
	for (unsigned i = 0; i < c->dataplane.ports_count; i++)
		for (unsigned k = 0; c->dataplane.ports[i].type == PORT_ETHDEV && k < c->dataplane.ports[i].devices_count; k++)
			if (is_pci_address(c->dataplane.ports[i].devices[k]))
				return false;
	return !c->dataplane.hugepages;
}

struct arguments {
	int count;
	bool failed;
	char *text[ARGUMENTS_MAX];
};

static void
argument_add(struct arguments *a, const char *text)
{
	char *copy = a->count < ARGUMENTS_MAX - 1 ? strdup(text) : NULL;

	if (copy == NULL)
		a->failed = true;
	else
		a->text[a->count++] = copy;
}

static void
arguments_devices(struct arguments *a, const struct config *c)
{
	bool pci = false;
	unsigned i, k;

	for (i = 0; i < c->dataplane.ports_count; i++) {
		const struct config_port *p = &c->dataplane.ports[i];

		for (k = 0; p->type == PORT_ETHDEV && k < p->devices_count; k++) {
			if (!is_pci_address(p->devices[k]))
				continue;
			/* named devices only: others on the machine are not ours to take */
			argument_add(a, "-a");
			argument_add(a, p->devices[k]);
			pci = true;
		}
	}
	if (!pci)
		argument_add(a, "--no-pci");
}

static void
arguments_make(struct arguments *a, const struct config *c, const char *lcores)
{
	char memory[16], prefix[TELEMETRY_PREFIX_SIZE];
	unsigned i;

	memset(a, 0, sizeof(*a));
	argument_add(a, "rookery-dataplane");
	argument_add(a, "--lcores");
	argument_add(a, lcores);
	argument_add(a, "--main-lcore");
	argument_add(a, "0");
	argument_add(a, "--file-prefix");
	argument_add(a, telemetry_prefix(prefix));
	if (!telemetry_possible(c))
		argument_add(a, "--no-telemetry");
	argument_add(a, "--log-level=*:warning");
	/* Both forms: no files of EAL's own, so nothing to leave behind when killed. */
	if (c->dataplane.hugepages) {
		argument_add(a, "--in-memory");
	} else {
		snprintf(memory, sizeof(memory), "%u",
			 c->dataplane.memory_mb != 0 ? c->dataplane.memory_mb : config_memory_mb(c));
		argument_add(a, "--no-shconf");
		argument_add(a, "--no-huge");
		argument_add(a, "-m");
		argument_add(a, memory);
		/* Physical addresses need root, and no device without hugepages can use them. */
		argument_add(a, "--iova-mode=va");
	}
	arguments_devices(a, c);
	for (i = 0; i < c->dataplane.eal_count; i++)
		argument_add(a, c->dataplane.eal[i]);
}

/* Where EAL puts its directory. It prefers the variable of systemd; without any it would use /var/run or
 * /tmp. */
static int
init_in_runtime_dir(const struct config *c, struct arguments *a)
{
	const char *before = getenv("RUNTIME_DIRECTORY");
	char *saved = before != NULL ? strdup(before) : NULL;
	char *argv[ARGUMENTS_MAX];
	int rc;

	setenv("RUNTIME_DIRECTORY", c->runtime_dir, 1);
	/* EAL permutes the array; ours keeps the strings to free */
	memcpy(argv, a->text, sizeof(argv));
	rc = rte_eal_init(a->count, argv);
	if (saved != NULL)
		setenv("RUNTIME_DIRECTORY", saved, 1);
	else
		unsetenv("RUNTIME_DIRECTORY");
	free(saved);
	return rc < 0 ? -rte_errno : 0;
}

void
boot_stop(const struct config *c)
{
	(void)rte_eal_cleanup();
	telemetry_remove(c);
	library_log_close();
}

/* Claims the place of packet_info in every mbuf. */
static int
claim_packet_info(void)
{
	const struct rte_mbuf_dynfield field = {
		.name = "rookery_packet_info",
		.size = sizeof(struct packet_info),
		.align = _Alignof(struct packet_info),
	};

	return rte_mbuf_dynfield_register_offset(&field, PACKET_INFO) < 0 ? -rte_errno : 0;
}

int
boot_eal(const struct config *c, char *error, size_t cap)
{
	char *lcores = malloc(ARGUMENT_SIZE), why[256];
	struct arguments a;
	int i, rc = -ENOMEM;

	snprintf(error, cap, "no memory for EAL's arguments");
	if (lcores != NULL)
		rc = lcores_argument(c, lcores, ARGUMENT_SIZE, error, cap);
	if (rc != 0) {
		free(lcores);
		return rc;
	}
	arguments_make(&a, c, lcores);
	free(lcores);
	rc = a.failed ? -E2BIG : 0;
	if (rc == 0) {
		library_log_open();
		rc = init_in_runtime_dir(c, &a);
		/* What EAL makes even without files of its own. */
		if (rc != 0 || !telemetry_possible(c))
			telemetry_remove(c);
		if (rc != 0)
			library_log_close();
		else
			library_log_drivers();
	}
	for (i = 0; i < a.count; i++)
		free(a.text[i]);
	if (rc == 0) {
		rc = claim_packet_info();
		if (rc == 0)
			return 0;
		snprintf(error, cap, "no room in packets for their addresses (%s): a device that dataplane.eal names takes the dynamic fields",
			 strerror(-rc));
		boot_stop(c);
		return rc;
	}
	if (rc == -E2BIG)
		snprintf(error, cap, "dataplane.eal: too many arguments");
	else if (machine_eal_cause("", c, rc, why, sizeof(why)))
		snprintf(error, cap, "EAL did not start: %s", why);
	else if (c->dataplane.hugepages)
		snprintf(error, cap,
			 "EAL did not start (%s): see the lines above; reserve hugepages (`rookctl host init`) "
			 "or set dataplane.hugepages: false; `rookctl host check` says what else is missing",
			 strerror(-rc));
	else
		snprintf(error, cap,
			 "EAL did not start (%s): see the lines above; check dataplane.memory_mb (%u) and "
			 "dataplane.eal",
			 strerror(-rc), c->dataplane.memory_mb);
	return rc;
}

/* ---- memory ---------------------------------------------------------------------------------- */

int
boot_numa_node(const struct config *c, uint32_t worker)
{
	if (!c->dataplane.hugepages || c->dataplane.cpus == NULL || c->dataplane.cpus[0] == '\0')
		return SOCKET_ID_ANY;
	return (int)rte_lcore_to_socket_id(boot_lcore(worker));
}

static unsigned
pool_packets(const struct config *c)
{
	unsigned packets = c->dataplane.workers > MANY_WORKERS ? POOL_PACKETS_MANY : POOL_PACKETS;
	unsigned i;

	for (i = 0; i < c->dataplane.ports_count; i++)
		if (c->dataplane.ports[i].type == PORT_ETHDEV)
			packets += POOL_PACKETS_ETHDEV;
	return packets - 1;
}

int
boot_pool(struct rte_mempool **out, const struct config *c, uint32_t worker, char *error, size_t cap)
{
	int node = boot_numa_node(c, worker);
	unsigned packets = pool_packets(c);
	char name[RTE_MEMPOOL_NAMESIZE];

	snprintf(name, sizeof(name), "packets-%u", worker);
	*out = rte_pktmbuf_pool_create(name, packets, POOL_CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
				       node);
	if (*out != NULL)
		return 0;
	/* What keeps packets is a driver that EAL loads when it starts; without it the rest of EAL goes well. */
	if (rte_errno == EINVAL)
		snprintf(error, cap, "worker %u: no pool of packets: DPDK's driver for them is missing; install librte-mempool-ring", worker);
	else
		snprintf(error, cap, "worker %u: no memory for %u packets (%s); raise %s", worker, packets, rte_strerror(rte_errno),
			 c->dataplane.hugepages ? "the number of hugepages" : "dataplane.memory_mb");
	return rte_errno != 0 ? -rte_errno : -ENOMEM;
}
