/* SPDX-License-Identifier: BSD-3-Clause */
/* What is still missing on this machine, as steps. Reads only. */
#include "control/cli/host_setup.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PAGE_MB 2
#define NODES_MAX 64
#define DEVICE_RINGS_MB 32 /* a NIC's rings lie on its own node, whoever polls them */

/* ---- memory per node ------------------------------------------------------------------- */

long
host_huge_mb(const char *root, int node, bool only_free)
{
	static const unsigned page_kb[] = {2048, 1048576};
	char text[32];
	long mb = 0;
	if (!host_exists(root, "/sys/devices/system/node/node%d", node))
		return -1;
	for (size_t i = 0; i < sizeof(page_kb) / sizeof(page_kb[0]); i++)
		if (host_read(root, text, sizeof(text), "/sys/devices/system/node/node%d/hugepages/hugepages-%ukB/%s", node,
			      page_kb[i], only_free ? "free_hugepages" : "nr_hugepages"))
			mb += atol(text) * (long)(page_kb[i] / 1024);
	return mb;
}

static int
first_node(const char *root)
{
	for (int node = 0; node < NODES_MAX; node++)
		if (host_exists(root, "/sys/devices/system/node/node%d", node))
			return node;
	return 0;
}

static bool
has_nic(const char *root, const struct config *c, int node)
{
	char address[HOST_PCI_SIZE], text[16];
	for (unsigned i = 0; i < c->dataplane.ports_count; i++)
		for (unsigned k = 0; k < c->dataplane.ports[i].devices_count; k++)
			if (host_pci_address(c->dataplane.ports[i].devices[k], address) &&
			    host_read(root, text, sizeof(text), "/sys/bus/pci/devices/%s/numa_node", address) && atoi(text) == node)
				return true;
	return false;
}

/* Unpinned lcores may be anywhere, but EAL takes its memory where it starts: counted as the first node. */
unsigned
host_memory_mb(const char *root, const struct config *c, int node)
{
	uint16_t cpus[HOST_CPUS_MAX];
	unsigned count = host_cpus(c, cpus), mb = 0;
	int first = first_node(root), at;
	for (unsigned lcore = 0; lcore <= c->dataplane.workers; lcore++) {
		at = lcore < count ? host_cpu_node(root, cpus[lcore]) : first;
		if (at == node)
			mb += lcore == 0 ? config_memory_common_mb(c) : config_memory_worker_mb(c);
	}
	if (mb == 0 && has_nic(root, c, node))
		mb = DEVICE_RINGS_MB;
	return mb;
}

/* ---- steps ------------------------------------------------------------------------------ */

static struct step *
step_add(struct steps *plan, enum step_kind kind, const char *value)
{
	static struct step lost;
	struct step *s = plan->count < STEPS_MAX ? &plan->list[plan->count++] : &lost;
	*s = (struct step){.kind = kind};
	snprintf(s->value, sizeof(s->value), "%s", value);
	return s;
}

static void
plan_hugepages(struct steps *plan, const char *root, const struct config *c)
{
	char text[32], value[32];
	for (int node = 0; c->dataplane.hugepages && node < NODES_MAX; node++) {
		long have = host_huge_mb(root, node, false), need = (long)host_memory_mb(root, c, node);
		if (have < 0 || have >= need)
			continue;
		host_read(root, text, sizeof(text), "/sys/devices/system/node/node%d/hugepages/hugepages-2048kB/nr_hugepages", node);
		snprintf(value, sizeof(value), "%ld", atol(text) + (need - have + PAGE_MB - 1) / PAGE_MB);
		struct step *s = step_add(plan, STEP_WRITE, value);
		snprintf(s->target, sizeof(s->target), "/sys/devices/system/node/node%d/hugepages/hugepages-2048kB/nr_hugepages", node);
		snprintf(s->before, sizeof(s->before), "%ld", atol(text));
	}
	if (c->dataplane.hugepages && !host_has_hugetlbfs(root))
		strcpy(step_add(plan, STEP_MOUNT, "")->target, "/dev/hugepages");
}

static void
plan_module(struct steps *plan, const char *root, const char *name, const char *file)
{
	for (unsigned i = 0; i < plan->count; i++)
		if (plan->list[i].kind == STEP_LOAD && strcmp(plan->list[i].target, name) == 0)
			return;
	if (!host_exists(root, "/sys/module/%s", file))
		snprintf(step_add(plan, STEP_LOAD, "")->target, sizeof(plan->list[0].target), "%s", name);
}

/* Does the kernel talk to somebody through it? It has a route, or an IPv6 address that is not only the link's. */
static bool
interface_in_use(const char *root, const char *name)
{
	static const char *const files[] = {"/proc/net/route", "/proc/net/if_inet6"};
	char path[PATH_MAX], line[256], word[6][40];
	bool used = false;
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s%s", root, files[i]);
		FILE *in = fopen(path, "re");
		while (in && !used && fgets(line, sizeof(line), in)) {
			memset(word, 0, sizeof(word));
			sscanf(line, "%39s %39s %39s %39s %39s %39s", word[0], word[1], word[2], word[3], word[4], word[5]);
			used = i == 0 ? strcmp(word[0], name) == 0
				      : strcmp(word[5], name) == 0 && strncmp(word[0], "fe80", 4) != 0;
		}
		if (in)
			fclose(in);
	}
	return used;
}

static bool
interface_up(const char *root, const char *name)
{
	char flags[16];
	return host_read(root, flags, sizeof(flags), "/sys/class/net/%s/flags", name) && (strtoul(flags, NULL, 0) & 1);
}

static int
plan_bind(struct steps *plan, const char *root, const char *address, bool force, char *error, size_t cap)
{
	char driver[64] = "", name[32] = "";
	host_link(root, driver, sizeof(driver), "/sys/bus/pci/devices/%s/driver", address);
	if (host_driver_is_ours(driver) || host_driver_shares(driver))
		return 0;
	if (host_interface(root, address, name, sizeof(name)) && interface_in_use(root, name) && !force) {
		snprintf(error, cap,
			 "%s is %s, which the kernel uses now (it has addresses or routes): is it the one through which you are logged "
			 "in? Take its addresses away (ip addr flush dev %s), or say --force",
			 address, name, name);
		return -EBUSY;
	}
	struct step *s = step_add(plan, STEP_BIND, "vfio-pci");
	snprintf(s->target, sizeof(s->target), "%s", address);
	snprintf(s->before, sizeof(s->before), "%s", driver);
	s->queues = *name ? host_queues(root, name) : 0;
	if (*name && interface_up(root, name))
		snprintf(s->interface, sizeof(s->interface), "%s", name);
	return 0;
}

/* vfio gives away whole groups: nobody else may drive a device of it. Bridges don't count. */
static int
check_group(const char *root, const char *address, char *error, size_t cap)
{
	char other[64], driver[64];
	if (!host_group_other(root, address, other, sizeof(other), driver, sizeof(driver)))
		return 0;
	snprintf(error, cap,
		 "%s shares its IOMMU group with %s (driver %s), and vfio gives away only whole groups: use another slot, or bind that one "
		 "as well: dpdk-devbind.py --bind vfio-pci %s",
		 address, other, driver, other);
	return -EBUSY;
}

/* The group's file appears with the binding: belongs to root then. */
static void
plan_owner(struct steps *plan, const char *root, const char *address, const struct host_wish *wish)
{
	char group[32], path[PATH_MAX], value[32], before[32] = "0:0";
	struct stat st;
	if (!host_link(root, group, sizeof(group), "/sys/bus/pci/devices/%s/iommu_group", address))
		return;
	snprintf(value, sizeof(value), "%u:%u", wish->uid, wish->gid);
	snprintf(path, sizeof(path), "%s/dev/vfio/%s", root, group);
	if (stat(path, &st) == 0)
		snprintf(before, sizeof(before), "%u:%u", st.st_uid, st.st_gid);
	if (strcmp(value, before) == 0)
		return;
	struct step *s = step_add(plan, STEP_OWN, value);
	snprintf(s->target, sizeof(s->target), "/dev/vfio/%s", group);
	snprintf(s->before, sizeof(s->before), "%s", before);
}

/* Some kernels let vfio do without (no IOMMU mode): whoever wants that switches it on first. */
static int
check_iommu(const char *root, char *error, size_t cap)
{
	char unsafe[8] = "";
	host_read(root, unsafe, sizeof(unsafe), HOST_NOIOMMU);
	if (host_has_iommu(root) || unsafe[0] == 'Y')
		return 0;
	snprintf(error, cap, "there is no IOMMU, without which vfio-pci gives no NIC away. Mend: " HOST_IOMMU_MEND
			     "; in a virtual machine the hypervisor must offer one");
	return -ENODEV;
}

static int
plan_device(struct steps *plan, const char *root, const char *address, const struct host_wish *wish, char *error, size_t cap)
{
	char driver[64] = "", nics[200];
	int rc;
	if (!host_exists(root, "/sys/bus/pci/devices/%s", address)) {
		host_nics(root, nics, sizeof(nics));
		snprintf(error, cap, "there is no PCI device %s: correct dataplane.ports.devices; NICs here: %s", address, *nics ? nics : "none");
		return -ENODEV;
	}
	host_link(root, driver, sizeof(driver), "/sys/bus/pci/devices/%s/driver", address);
	if (host_driver_shares(driver) || (host_driver_is_ours(driver) && strcmp(driver, "vfio-pci") != 0))
		return 0;
	rc = check_group(root, address, error, cap);
	if (rc == 0) {
		plan_module(plan, root, "vfio-pci", "vfio_pci");
		/* The kernel asks for it by itself only where its own modprobe heeds soft dependencies. */
		plan_module(plan, root, "vfio_iommu_type1", "vfio_iommu_type1");
		rc = check_iommu(root, error, cap);
	}
	if (rc == 0)
		rc = plan_bind(plan, root, address, wish->force, error, cap);
	if (rc == 0)
		plan_owner(plan, root, address, wish);
	return rc;
}

int
host_plan(struct steps *plan, const char *root, const struct config *c, const struct host_wish *wish, char *error, size_t cap)
{
	char address[HOST_PCI_SIZE];
	int rc = 0;
	memset(plan, 0, sizeof(*plan));
	plan_hugepages(plan, root, c);
	for (unsigned i = 0; rc == 0 && i < c->dataplane.ports_count; i++)
		for (unsigned k = 0; rc == 0 && k < c->dataplane.ports[i].devices_count; k++)
			if (c->dataplane.ports[i].type == PORT_ETHDEV && host_pci_address(c->dataplane.ports[i].devices[k], address))
				rc = plan_device(plan, root, address, wish, error, cap);
	return rc;
}
