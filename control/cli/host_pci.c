/* SPDX-License-Identifier: BSD-3-Clause */
/* A NIC by its PCI address: is it there, who drives it, its IOMMU, queues, rights, and place in the machine. */
#include "control/cli/host_setup.h"

#include "shared/account.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define PCI_WHY "the dataplane drives the NIC itself"

/* ---- what sysfs says ------------------------------------------------------------------------ */

bool
host_pci_address(const char *device, char address[HOST_PCI_SIZE])
{
	unsigned domain = 0, bus, slot, function;
	int end = 0;
	if (sscanf(device, "%4x:%2x:%2x.%1x%n", &domain, &bus, &slot, &function, &end) != 4) {
		domain = 0;
		end = 0;
		if (sscanf(device, "%2x:%2x.%1x%n", &bus, &slot, &function, &end) != 3)
			return false;
	}
	if (end == 0 || (device[end] != '\0' && device[end] != ','))
		return false;
	snprintf(address, HOST_PCI_SIZE, "%04x:%02x:%02x.%x", domain & 0xffff, bus & 0xff, slot & 0xff, function & 0xf);
	return true;
}

void
host_nics(const char *root, char *buf, size_t cap)
{
	char path[PATH_MAX], class[16];
	size_t used = 0;
	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices", root);
	DIR *dir = opendir(path);
	struct dirent *e;
	buf[0] = '\0';
	while (dir && (e = readdir(dir))) {
		if (e->d_name[0] == '.' || !host_read(root, class, sizeof(class), "/sys/bus/pci/devices/%s/class", e->d_name) ||
		    strncmp(class, "0x02", 4) != 0 || used >= cap)
			continue;
		used += (size_t)snprintf(buf + used, cap - used, "%s%s", used ? ", " : "", e->d_name);
	}
	if (dir)
		closedir(dir);
}

/* The first name in a folder; false: there is none. */
static bool
first_entry(char *buf, size_t cap, const char *path, const char *prefix)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	bool found = false;
	while (dir && !found && (e = readdir(dir))) {
		found = e->d_name[0] != '.' && strncmp(e->d_name, prefix, strlen(prefix)) == 0;
		if (found)
			snprintf(buf, cap, "%.*s", (int)cap - 1, e->d_name);
	}
	if (dir)
		closedir(dir);
	return found;
}

/* virtio has a device of its own between the two. */
bool
host_interface(const char *root, const char *address, char *name, size_t cap)
{
	char path[PATH_MAX], virtio[32];
	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%s/net", root, address);
	if (first_entry(name, cap, path, ""))
		return true;
	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%s", root, address);
	if (!first_entry(virtio, sizeof(virtio), path, "virtio"))
		return false;
	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%s/%s/net", root, address, virtio);
	return first_entry(name, cap, path, "");
}

/* How many pairs of queues it can have: the driver's word, or on a machine of files those that are there. 0: unknown. */
unsigned
host_queues(const char *root, const char *interface)
{
	struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
	struct ifreq r = {.ifr_data = (char *)&channels};
	int fd = *root ? -1 : socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	unsigned count = 0;
	snprintf(r.ifr_name, sizeof(r.ifr_name), "%.15s", interface);
	if (fd >= 0 && ioctl(fd, SIOCETHTOOL, &r) == 0)
		count = channels.max_combined ? channels.max_combined : channels.max_rx;
	if (fd >= 0)
		close(fd);
	if (count > 0)
		return count;
	while (host_exists(root, "/sys/class/net/%s/queues/rx-%u", interface, count))
		count++;
	return count;
}

bool
host_group_other(const char *root, const char *address, char *other, size_t other_cap, char *driver, size_t driver_cap)
{
	char path[PATH_MAX], class[16];
	bool found = false;
	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%s/iommu_group/devices", root, address);
	DIR *dir = opendir(path);
	struct dirent *e;
	while (dir && !found && (e = readdir(dir))) {
		if (e->d_name[0] == '.' || strcmp(e->d_name, address) == 0)
			continue;
		bool bridge = host_read(root, class, sizeof(class), "/sys/bus/pci/devices/%s/class", e->d_name) &&
			      strncmp(class, "0x0604", 6) == 0;
		found = !bridge && host_link(root, driver, driver_cap, "/sys/bus/pci/devices/%s/driver", e->d_name) &&
			strncmp(driver, "vfio", 4) != 0 && strcmp(driver, "pci-stub") != 0;
		if (found)
			snprintf(other, other_cap, "%.*s", (int)other_cap - 1, e->d_name);
	}
	if (dir)
		closedir(dir);
	return found;
}

bool
host_has_iommu(const char *root)
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/sys/kernel/iommu_groups", root);
	DIR *dir = opendir(path);
	struct dirent *e;
	bool any = false;
	while (dir && (e = readdir(dir)))
		any = any || e->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return any;
}

/* ---- checks ----------------------------------------------------------------------------------- */

static void
check_iommu(struct findings *f, const char *root)
{
	char unsafe[8];
	struct finding *x;
	if (host_has_iommu(root)) {
		finding_add(f, FINDING_OK, "iommu", "", "on");
	} else if (host_read(root, unsafe, sizeof(unsafe), HOST_NOIOMMU) &&
		   unsafe[0] == 'Y') {
		x = finding_add(f, FINDING_WARN, "iommu", "the NIC can write to all memory of the machine",
				"off; vfio runs in its unsafe mode");
		finding_mend(x, HOST_IOMMU_MEND);
	} else {
		x = finding_add(f, FINDING_FAIL, "iommu", "vfio-pci gives a NIC to the dataplane only behind one", "off");
		finding_mend(x, HOST_IOMMU_MEND "; in a virtual machine the hypervisor must offer one");
	}
	if (!host_exists(root, "/dev/vfio/vfio")) {
		x = finding_add(f, FINDING_FAIL, "vfio", PCI_WHY, "the module is not loaded: no /dev/vfio/vfio");
		finding_mend(x, "rookctl host init, or: modprobe vfio-pci");
	} else if (host_has_iommu(root) && !host_exists(root, "/sys/module/vfio_iommu_type1")) {
		x = finding_add(f, FINDING_FAIL, "vfio", "without it vfio-pci cannot use the IOMMU",
				"the module vfio_iommu_type1 is not loaded");
		finding_mend(x, "rookctl host init, or: modprobe vfio_iommu_type1");
	}
}

static bool
is_one_of(const char *word, const char *const *list)
{
	while (*list && strcmp(word, *list) != 0)
		list++;
	return *list;
}

bool
host_driver_is_ours(const char *driver)
{
	return is_one_of(driver, (const char *const[]){"vfio-pci", "uio_pci_generic", "igb_uio", NULL});
}

bool
host_driver_shares(const char *driver)
{
	return is_one_of(driver, (const char *const[]){"mlx4_core", "mlx5_core", NULL});
}

/* Returns whether vfio has to do with it. */
static bool
check_driver(struct findings *f, const char *root, const char *address)
{
	char driver[64], name[32] = "";
	struct finding *x;
	if (!host_link(root, driver, sizeof(driver), "/sys/bus/pci/devices/%s/driver", address)) {
		x = finding_add(f, FINDING_FAIL, "driver", PCI_WHY, "%s has no driver", address);
		finding_mend(x, "rookctl host init, or: modprobe vfio-pci && dpdk-devbind.py --bind vfio-pci %s", address);
		return false;
	}
	if (host_driver_is_ours(driver)) {
		finding_add(f, FINDING_OK, "driver", "", "%s is bound to %s", address, driver);
		return true;
	}
	if (host_driver_shares(driver)) {
		finding_add(f, FINDING_OK, "driver", "", "%s: %s shares it with DPDK", address, driver);
		return false;
	}
	host_interface(root, address, name, sizeof(name));
	x = finding_add(f, FINDING_FAIL, "driver", PCI_WHY "; now the kernel has it", "%s is bound to %s%s%s", address, driver,
			*name ? " as " : "", name);
	finding_mend(x, "rookctl host init, or: dpdk-devbind.py --bind vfio-pci %s   (not the interface through which you are "
					   "logged in)", address);
	return true;
}

static void
check_numa(struct findings *f, const char *root, const struct config *c, const char *address)
{
	uint16_t cpus[HOST_CPUS_MAX];
	unsigned count = host_cpus(c, cpus);
	char text[64], distances[256];
	if (!host_read(root, text, sizeof(text), "/sys/bus/pci/devices/%s/numa_node", address) || atoi(text) < 0)
		return; /* one node, or the machine does not tell */
	int node = atoi(text);
	for (unsigned i = 1; i < count; i++) {
		int cpu_node = host_cpu_node(root, cpus[i]);
		if (cpu_node < 0 || cpu_node == node)
			continue;
		int distance = 0;
		if (host_read(root, distances, sizeof(distances), "/sys/devices/system/node/node%d/distance", node)) {
			char *p = distances;
			for (int n = 0; n <= cpu_node; n++)
				distance = (int)strtol(p, &p, 10);
		}
		struct finding *x = finding_add(f, FINDING_WARN, "numa", "each packet crosses between the sockets",
						"%s is on node %d, worker %u's CPU %u on node %d (distance %d)", address,
						node, i - 1, cpus[i], cpu_node, distance);
		char local[64] = "";
		host_read(root, local, sizeof(local), "/sys/devices/system/node/node%d/cpulist", node);
		finding_mend(x, "choose dataplane.cpus among %s", *local ? local : "those of the NIC's node");
		return;
	}
	finding_add(f, FINDING_OK, "numa", "", "%s and its workers are on node %d", address, node);
}

/* vfio gives away whole groups; the server's user must be able to open this one. */
static void
check_group(struct findings *f, const char *root, const struct config *c, const char *address)
{
	char group[32], other[64], driver[64], path[PATH_MAX], error[256];
	struct account a;
	struct stat st;
	struct finding *x;
	if (!host_link(root, group, sizeof(group), "/sys/bus/pci/devices/%s/iommu_group", address) || !host_exists(root, "/dev/vfio/vfio"))
		return;
	if (host_group_other(root, address, other, sizeof(other), driver, sizeof(driver))) {
		x = finding_add(f, FINDING_FAIL, "vfio group", PCI_WHY " only if nobody drives another device of its group",
				"group %s has %s, which is bound to %s", group, other, driver);
		finding_mend(x, "another slot, or: dpdk-devbind.py --bind vfio-pci %s", other);
		return;
	}
	snprintf(path, sizeof(path), "%s/dev/vfio/%s", root, group);
	if (stat(path, &st) < 0) {
		host_link(root, driver, sizeof(driver), "/sys/bus/pci/devices/%s/driver", address);
		if (strcmp(driver, "vfio-pci") != 0)
			return;
		x = finding_add(f, FINDING_FAIL, "vfio group", PCI_WHY, "there is no /dev/vfio/%s", group);
		finding_mend(x, "rookctl host fini && rookctl host init; `dmesg | grep -i vfio` says why");
		return;
	}
	if (account_find(&a, c->security.user, error, sizeof(error)) < 0 || !a.change || st.st_uid == a.uid || (st.st_mode & 06)) {
		finding_add(f, FINDING_OK, "vfio group", "", "%s, for the NIC alone", group);
		return;
	}
	x = finding_add(f, FINDING_NOTE, "vfio group", "a server that is not started by root cannot open it",
			"/dev/vfio/%s does not belong to %s", group, a.name);
	finding_mend(x, "rookctl host init, or: chown %s /dev/vfio/%s", a.name, group);
}

/* A device that vfio has tells nothing about itself: host init has written down what the kernel knew. */
static void
check_queues(struct findings *f, const char *root, const struct config *c, const char *address)
{
	char name[32] = "", error[256];
	struct steps record;
	unsigned queues = 0;
	if (host_interface(root, address, name, sizeof(name)))
		queues = host_queues(root, name);
	else if (steps_load(&record, root, error, sizeof(error)) == 0)
		for (unsigned i = 0; i < record.count; i++)
			if (record.list[i].kind == STEP_BIND && strcmp(record.list[i].target, address) == 0)
				queues = record.list[i].queues;
	if (queues == 0)
		return;
	if (queues >= c->dataplane.workers) {
		finding_add(f, FINDING_OK, "queues", "", "%s has %u, for %u workers", address, queues, c->dataplane.workers);
		return;
	}
	struct finding *x = finding_add(f, FINDING_FAIL, "queues", "each worker polls a queue of its own, and RSS spreads the clients over them",
					"%s has %u for %u workers", address, queues, c->dataplane.workers);
	finding_mend(x, "set dataplane.workers to %u; in a virtual machine give the NIC more queues", queues);
}

void
host_check_pci(struct findings *f, const char *root, const struct config *c, const struct config_port *p, const char *address)
{
	char nics[200];
	struct finding *x;
	if (!host_exists(root, "/sys/bus/pci/devices/%s", address)) {
		x = finding_add(f, FINDING_FAIL, "device", PCI_WHY, "there is no PCI device %s", address);
		host_nics(root, nics, sizeof(nics));
		finding_mend(x, "correct dataplane.ports.devices; NICs here: %s", *nics ? nics : "none");
		return;
	}
	finding_add(f, FINDING_OK, "device", "", "%s is there", address);
	if (check_driver(f, root, address)) {
		check_iommu(f, root);
		check_group(f, root, c, address);
	}
	check_queues(f, root, c, address);
	check_numa(f, root, c, address);
	if (!p->checksum_offload) {
		x = finding_add(f, FINDING_NOTE, "checksums", "workers compute what most NICs do by themselves",
				"checksum_offload is false for %s", address);
		finding_mend(x, "set dataplane.ports.checksum_offload: true; what the NIC lacks is computed all the same");
	}
}
