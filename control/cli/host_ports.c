/* SPDX-License-Identifier: BSD-3-Clause */
/* Ports: queues against the workers, virtual devices on interfaces of the kernel. Devices by PCI address are in host_pci.c. */
#include "control/cli/host.h"

#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

unsigned
host_cpus(const struct config *c, uint16_t cpus[HOST_CPUS_MAX])
{
	unsigned lcores = c->dataplane.workers + 1;
	int count = config_cpus(c->dataplane.cpus, cpus, HOST_CPUS_MAX);
	if (count <= 0)
		return 0;
	return (unsigned)count < lcores ? (unsigned)count : lcores;
}

int
host_cpu_node(const char *root, unsigned cpu)
{
	for (int node = 0; node < 64; node++)
		if (host_exists(root, "/sys/devices/system/cpu/cpu%u/node%d", cpu, node))
			return node;
	return -1;
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

/* Virtual devices on a kernel interface: AF_PACKET and AF_XDP. */
static void
check_interface(struct findings *f, const char *root, const struct config *c, const struct config_port *p, const char *device)
{
	char name[32], text[32];
	struct finding *x;
	if (!device_value(device, "iface", name, sizeof(name)))
		return;
	/* /sys shows the network namespace in which it was mounted. */
	if (*root == '\0' && !host_exists(root, "/sys/class/net/%s", name) && if_nametoindex(name) != 0) {
		finding_add(f, FINDING_NOTE, "interface", "its state, MTU and queues were not looked at",
			    "/sys is of another network namespace than %s", name);
		return;
	}
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
	char address[HOST_PCI_SIZE];
	if (p->type != PORT_ETHDEV)
		return;
	if (p->devices_count > 1 && p->devices_count != c->dataplane.workers) {
		struct finding *x = finding_add(f, FINDING_FAIL, "queues", "each worker polls a device of its own",
						"port %u has %u devices for %u workers", port, p->devices_count,
						c->dataplane.workers);
		finding_mend(x, "name one device per worker in dataplane.ports.devices");
	}
	for (unsigned i = 0; i < p->devices_count; i++) {
		if (host_pci_address(p->devices[i], address))
			host_check_pci(f, root, c, p, address);
		else
			check_interface(f, root, c, p, p->devices[i]);
		if (strncmp(p->devices[i], "net_af_xdp", 10) == 0 && p->devices_count == 1 && c->dataplane.workers > 1) {
			struct finding *x = finding_add(f, FINDING_FAIL, "queues", "each worker polls a queue of its own",
							"%s has 1 for %u workers", p->devices[i], c->dataplane.workers);
			finding_mend(x, "name one net_af_xdp device per worker, with start_queue=0, 1, ...");
		}
	}
}
