/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a host offers and what the configuration needs of it: each check says how it stands, why it matters, and the
 * exact mend. Reads /sys, /proc and /dev below `root` only ("" on a real host; tests build a tree of files), so it needs
 * neither a server nor root's rights.
 */
#ifndef ROOKERY_CONTROL_CLI_HOST_H
#define ROOKERY_CONTROL_CLI_HOST_H

#include "shared/config.h"

#include <stdbool.h>
#include <stddef.h>

enum finding_state {
	FINDING_OK,
	FINDING_NOTE, /* could be better */
	FINDING_WARN, /* works, but not as it should */
	FINDING_FAIL, /* does not work */
};

struct finding {
	enum finding_state state;
	char name[24];
	char what[192];
	char why[192];  /* "" when ok */
	char mend[320]; /* a command or what to change; "" when ok */
};

#define FINDINGS_MAX 96

struct findings {
	struct finding list[FINDINGS_MAX];
	unsigned count;
};

/* One more; those beyond FINDINGS_MAX are lost. */
struct finding *finding_add(struct findings *f, enum finding_state state, const char *name, const char *why,
			    const char *format, ...) __attribute__((format(printf, 5, 6)));
void finding_mend(struct finding *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "FAIL", ... */
const char *finding_state_name(enum finding_state state);

void host_check(struct findings *f, const char *root, const struct config *c);
bool host_has_hugetlbfs(const char *root);

/* ---- host_files.c: reading below a root -------------------------------------------------- */

/* The first line of a file without its newline. false: not to be read. */
bool host_read(const char *root, char *buf, size_t cap, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
bool host_exists(const char *root, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The last part of where a symbolic link leads to. */
bool host_link(const char *root, char *buf, size_t cap, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* Is n in a list as "0-3,8"? */
bool host_in_list(const char *list, unsigned n);

/* ---- host_ports.c ------------------------------------------------------------------------ */

/* The CPUs of the configuration's lcores, housekeeping's first. Returns how many; 0: not pinned. */
#define HOST_CPUS_MAX 256
unsigned host_cpus(const struct config *c, uint16_t cpus[HOST_CPUS_MAX]);
/* -1: unknown. */
int host_cpu_node(const char *root, unsigned cpu);
void host_check_port(struct findings *f, const char *root, const struct config *c, unsigned port);

/* ---- host_pci.c -------------------------------------------------------------------------- */

#define HOST_PCI_SIZE 16
/* "0000:03:00.0" of "03:00.0,key=value" and the like. false: the device is not named by a PCI address. */
bool host_pci_address(const char *device, char address[HOST_PCI_SIZE]);
/* NICs by address, for whoever mistyped one. */
void host_nics(const char *root, char *buf, size_t cap);
/* The kernel's interface on a PCI device. */
bool host_interface(const char *root, const char *address, char *name, size_t cap);
bool host_has_iommu(const char *root);
/* DPDK drives a device that is bound to such a driver: alone, or together with the kernel. */
bool host_driver_is_ours(const char *driver);
bool host_driver_shares(const char *driver);
/* Another device of the same IOMMU group that a driver of the kernel has. */
bool host_group_other(const char *root, const char *address, char *other, size_t other_cap, char *driver, size_t driver_cap);
#define HOST_NOIOMMU "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"
#define HOST_IOMMU_MEND                                                                                                       \
	"switch VT-d or AMD-Vi on in the BIOS, add `intel_iommu=on iommu=pt` to the kernel's command line, and boot"

/* Pairs of queues that an interface can have; 0: unknown. */
unsigned host_queues(const char *root, const char *interface);
void host_check_pci(struct findings *f, const char *root, const struct config *c, const struct config_port *p, const char *address);

#endif
