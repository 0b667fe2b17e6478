/* SPDX-License-Identifier: BSD-3-Clause */
/* Ports: the device, who drives it, its queues against the workers, its place in the machine. */
#include "control/cli/host.h"

#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PCI_WHY "the dataplane drives the NIC itself"

unsigned
host_cpus(const struct config *c, unsigned cpus[HOST_CPUS_MAX])
{
	unsigned count = 0;
	for (unsigned cpu = 0; cpu < 4096 && count < HOST_CPUS_MAX; cpu++)
		if (host_in_list(c->dataplane.cpus, cpu))
			cpus[count++] = cpu;
	return count;
}

int
host_cpu_node(const char *root, unsigned cpu)
{
	for (int node = 0; node < 64; node++)
		if (host_exists(root, "/sys/devices/system/cpu/cpu%u/node%d", cpu, node))
			return node;
	return -1;
}

/* "0000:03:00.0", perhaps with ",key=value" behind it. */
static bool
is_pci(const char *device)
{
	static const char form[] = "xxxx:xx:xx.x";
	for (size_t i = 0; i < sizeof(form) - 1; i++)
		if (form[i] == 'x' ? !isxdigit((unsigned char)device[i]) : device[i] != form[i])
			return false;
	return device[sizeof(form) - 1] == '\0' || device[sizeof(form) - 1] == ',';
}

/* The value of key in "net_af_packet0,iface=veth0,qpairs=2". */
static bool
device_value(const char *device, const char *key, char *buf, size_t cap)
{
	size_t len = strlen(key);
	for (const char *p = strchr(device, ','); p; p = strchr(p, ',')) {
		p++;
		if (strncmp(p, key, len) == 0 && p[len] == '=') {
			snprintf(buf, cap, "%.*s", (int)strcspn(p + len + 1, ","), p + len + 1);
			return true;
		}
	}
	return false;
}

/* NICs by address, for whoever mistyped one. */
static void
list_nics(const char *root, char *buf, size_t cap)
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

static bool
has_iommu(const char *root)
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

static void
check_iommu(struct findings *f, const char *root)
{
	char unsafe[8];
	struct finding *x;
	if (has_iommu(root)) {
		finding_add(f, FINDING_OK, "iommu", "", "on");
	} else if (host_read(root, unsafe, sizeof(unsafe), "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode") &&
		   unsafe[0] == 'Y') {
		x = finding_add(f, FINDING_WARN, "iommu", "the NIC can write to all memory of the machine",
				"off; vfio runs in its unsafe mode");
		finding_mend(x, "switch VT-d or AMD-Vi on in the BIOS, add `intel_iommu=on iommu=pt` "
						   "to the kernel's command line, and boot");
	} else {
		x = finding_add(f, FINDING_FAIL, "iommu", "vfio-pci gives a NIC to the dataplane only behind one", "off");
		finding_mend(x, "switch VT-d or AMD-Vi on in the BIOS, add `intel_iommu=on iommu=pt` "
						   "to the kernel's command line, and boot; in a virtual machine without one: "
						   "echo Y > /sys/module/vfio/parameters/enable_unsafe_noiommu_mode");
	}
	if (!host_exists(root, "/dev/vfio/vfio")) {
		x = finding_add(f, FINDING_FAIL, "vfio", PCI_WHY, "the module is not loaded: no /dev/vfio/vfio");
		finding_mend(x, "modprobe vfio-pci; for every boot: echo vfio-pci > /etc/modules-load.d/vfio.conf");
	}
}

/* Returns whether DPDK can drive it. */
static bool
check_driver(struct findings *f, const char *root, const char *address)
{
	static const char *const ours[] = {"vfio-pci", "uio_pci_generic", "igb_uio"};
	static const char *const shared[] = {"mlx4_core", "mlx5_core"};
	char driver[64];
	struct finding *x;
	if (!host_link(root, driver, sizeof(driver), "/sys/bus/pci/devices/%s/driver", address)) {
		x = finding_add(f, FINDING_FAIL, "driver", PCI_WHY, "%s has no driver", address);
		finding_mend(x, "modprobe vfio-pci && dpdk-devbind.py --bind vfio-pci %s", address);
		return false;
	}
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (strcmp(driver, ours[i]) == 0) {
			finding_add(f, FINDING_OK, "driver", "", "%s is bound to %s", address, driver);
			return true;
		}
	for (size_t i = 0; i < sizeof(shared) / sizeof(shared[0]); i++)
		if (strcmp(driver, shared[i]) == 0) {
			finding_add(f, FINDING_OK, "driver", "", "%s: %s shares it with DPDK", address, driver);
			return false; /* no vfio */
		}
	x = finding_add(f, FINDING_FAIL, "driver", PCI_WHY "; now the kernel has it", "%s is bound to %s", address, driver);
	finding_mend(x, "dpdk-devbind.py --bind vfio-pci %s   (not the interface through which you are "
					   "logged in)", address);
	return true;
}

static void
check_numa(struct findings *f, const char *root, const struct config *c, const char *address)
{
	unsigned cpus[HOST_CPUS_MAX], count = host_cpus(c, cpus);
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

static void
check_pci(struct findings *f, const char *root, const struct config *c, const char *device)
{
	char address[16], group[32], nics[200];
	snprintf(address, sizeof(address), "%.12s", device);
	if (!host_exists(root, "/sys/bus/pci/devices/%s", address)) {
		struct finding *x = finding_add(f, FINDING_FAIL, "device", PCI_WHY, "there is no PCI device %s", address);
		list_nics(root, nics, sizeof(nics));
		finding_mend(x, "correct dataplane.ports.devices; NICs here: %s", *nics ? nics : "none");
		return;
	}
	finding_add(f, FINDING_OK, "device", "", "%s is there", address);
	if (check_driver(f, root, address)) {
		check_iommu(f, root);
		if (host_link(root, group, sizeof(group), "/sys/bus/pci/devices/%s/iommu_group", address) &&
		    host_exists(root, "/dev/vfio/vfio") && !host_exists(root, "/dev/vfio/%s", group)) {
			struct finding *x = finding_add(f, FINDING_FAIL, "vfio group", PCI_WHY,
							"no /dev/vfio/%s: another device of the group is not bound", group);
			finding_mend(x, "ls /sys/kernel/iommu_groups/%s/devices; bind all of them to vfio-pci", group);
		}
	}
	check_numa(f, root, c, address);
}

/* Virtual devices on a kernel interface: AF_PACKET and AF_XDP. */
static void
check_interface(struct findings *f, const char *root, const struct config *c, const struct config_port *p, const char *device)
{
	char name[32], text[32];
	struct finding *x;
	if (!device_value(device, "iface", name, sizeof(name)))
		return;
	if (!host_exists(root, "/sys/class/net/%s", name)) {
		x = finding_add(f, FINDING_FAIL, "interface", "the port sends and receives through it", "there is no interface %s", name);
		finding_mend(x, "correct iface= in dataplane.ports.devices; `ip -br link` lists them");
		return;
	}
	if (host_read(root, text, sizeof(text), "/sys/class/net/%s/operstate", name) && strcmp(text, "down") == 0) {
		x = finding_add(f, FINDING_FAIL, "interface", "nothing is received on it", "%s is down", name);
		finding_mend(x, "ip link set %s up", name);
	}
	if (host_read(root, text, sizeof(text), "/sys/class/net/%s/mtu", name) && atoi(text) < p->mtu) {
		x = finding_add(f, FINDING_FAIL, "mtu", "larger packets are lost", "%s has %s, the configuration says %u", name, text,
				p->mtu);
		finding_mend(x, "ip link set %s mtu %u, or set dataplane.ports.mtu to %s", name, p->mtu, text);
	} else if (*text) {
		finding_add(f, FINDING_OK, "mtu", "", "%s: %s", name, text);
	}
	unsigned queues = device_value(device, "qpairs", text, sizeof(text)) ? (unsigned)atoi(text) : 1;
	if (strncmp(device, "net_af_packet", 13) == 0 && p->devices_count == 1 && queues < c->dataplane.workers) {
		x = finding_add(f, FINDING_FAIL, "queues", "each worker polls a queue of its own",
				"%s has %u for %u workers", device, queues, c->dataplane.workers);
		finding_mend(x, "add qpairs=%u to the device, or set dataplane.workers to %u",
			 c->dataplane.workers, queues);
	}
}

void
host_check_port(struct findings *f, const char *root, const struct config *c, unsigned port)
{
	const struct config_port *p = &c->dataplane.ports[port];
	if (p->type != PORT_ETHDEV)
		return;
	if (p->devices_count > 1 && p->devices_count != c->dataplane.workers) {
		struct finding *x = finding_add(f, FINDING_FAIL, "queues", "each worker polls a device of its own",
						"port %u has %u devices for %u workers", port, p->devices_count,
						c->dataplane.workers);
		finding_mend(x, "name one device per worker in dataplane.ports.devices");
	}
	for (unsigned i = 0; i < p->devices_count; i++) {
		if (is_pci(p->devices[i]))
			check_pci(f, root, c, p->devices[i]);
		else
			check_interface(f, root, c, p, p->devices[i]);
		if (strncmp(p->devices[i], "net_af_xdp", 10) == 0 && p->devices_count == 1 && c->dataplane.workers > 1) {
			struct finding *x = finding_add(f, FINDING_FAIL, "queues", "each worker polls a queue of its own",
							"%s has 1 for %u workers", p->devices[i], c->dataplane.workers);
			finding_mend(x, "name one net_af_xdp device per worker, with start_queue=0, 1, ...");
		}
	}
}
