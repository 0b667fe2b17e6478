/* SPDX-License-Identifier: BSD-3-Clause */
#include "dataplane/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <rte_config.h>
#include <rte_pci.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>

static bool __attribute__((format(printf, 3, 4)))
path_make(char path[PATH_MAX], const char *root, const char *format, ...)
{
	size_t at = (size_t)snprintf(path, PATH_MAX, "%s", root);
	va_list args;
	int n;

	if (at >= PATH_MAX)
		return false;
	va_start(args, format);
	n = vsnprintf(path + at, PATH_MAX - at, format, args);
	va_end(args);
	return n >= 0 && (size_t)n < PATH_MAX - at;
}

static bool
exists(const char *root, const char *what)
{
	char path[PATH_MAX];

	return path_make(path, root, "%s", what) && access(path, F_OK) == 0;
}

/* The last part of where the link leads to. */
static bool
link_name(char name[NAME_MAX + 1], const char *path)
{
	char target[PATH_MAX];
	ssize_t n = readlink(path, target, sizeof(target) - 1);
	const char *slash;

	if (n < 0)
		return false;
	target[n] = '\0';
	slash = strrchr(target, '/');
	snprintf(name, NAME_MAX + 1, "%.*s", NAME_MAX, slash != NULL ? slash + 1 : target);
	return true;
}

/* ---- EAL ------------------------------------------------------------------------------------- */

static long
file_number(const char *path)
{
	FILE *in = fopen(path, "re");
	char line[32] = "";

	if (in == NULL)
		return 0;
	if (fgets(line, sizeof(line), in) == NULL)
		line[0] = '\0';
	fclose(in);
	return atol(line);
}

/* MiB of hugepages of all sizes: "nr", "free" or "resv". */
static long
hugepages_mb(const char *root, const char *which)
{
	long kb, mb = 0;
	char pattern[PATH_MAX];
	glob_t found;

	if (!path_make(pattern, root, "/sys/kernel/mm/hugepages/hugepages-*kB/%s_hugepages", which) ||
	    glob(pattern, 0, NULL, &found) != 0)
		return 0;
	for (size_t i = 0; i < found.gl_pathc; i++)
		if (sscanf(strstr(found.gl_pathv[i], "/hugepages-"), "/hugepages-%ldkB", &kb) == 1)
			mb += file_number(found.gl_pathv[i]) * (kb / 1024);
	globfree(&found);
	return mb;
}

static bool
hugepages_cause(const char *root, char *why, size_t cap)
{
	long reserved = hugepages_mb(root, "nr");

	if (!exists(root, "/sys/kernel/mm/hugepages"))
		snprintf(why, cap, "there is no /sys/kernel/mm/hugepages, so no hugepages: use another kernel, or set dataplane.hugepages: false");
	else if (reserved == 0)
		snprintf(why, cap, "no hugepages are reserved: `rookctl host init`, or set dataplane.hugepages: false");
	else if (hugepages_mb(root, "free") <= hugepages_mb(root, "resv"))
		snprintf(why, cap, "all hugepages (%ld MiB) are in use: end the other server or DPDK program that has them, or reserve "
				   "more in /sys/kernel/mm/hugepages", reserved);
	else
		return false;
	return true;
}

/* Has a limit of the process refused so much address space? It costs no memory to ask. */
static bool
address_space_cause(unsigned mb, char *why, size_t cap)
{
	struct rlimit limit;
	void *p;

	if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
		return false;
	p = mmap(NULL, (size_t)mb << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p != MAP_FAILED) {
		munmap(p, (size_t)mb << 20);
		return false;
	}
	snprintf(why, cap, "the address space of this process is limited to %llu MiB, and EAL sets aside %u more: `ulimit -v unlimited`, or "
			   "LimitAS=infinity in the unit", (unsigned long long)limit.rlim_cur >> 20, mb);
	return true;
}

static bool
memory_cause(const struct config *c, char *why, size_t cap)
{
	unsigned mb = c->dataplane.memory_mb != 0 ? c->dataplane.memory_mb : config_memory_mb(c);
	unsigned long long have;
	struct sysinfo s;

	if (address_space_cause(c->dataplane.hugepages ? RTE_MAX_MEM_MB_PER_LIST : mb, why, cap))
		return true;
	if (c->dataplane.hugepages || sysinfo(&s) != 0)
		return false;
	have = ((unsigned long long)s.totalram + s.totalswap) * s.mem_unit >> 20;
	if (have >= mb)
		return false;
	snprintf(why, cap, "dataplane.memory_mb: %u MiB are wanted, and the machine has %llu: %s", mb, have,
		 c->dataplane.memory_mb != 0 ? "lower it" : "lower dataplane.sessions, users or conversations");
	return true;
}

bool
machine_eal_cause(const char *root, const struct config *c, int rc, char *why, size_t cap)
{
	/* What EAL says when it cannot ask which modules there are, or which CPUs. */
	if ((rc == -EAGAIN && !exists(root, "/sys/module")) || (rc == -EINVAL && !exists(root, "/sys/devices/system/cpu"))) {
		snprintf(why, cap, "/sys is not mounted, or not all of it: `mount -t sysfs -o ro sysfs /sys`; a container's runtime must show it");
		return true;
	}
	if (rc == -EACCES && c->dataplane.hugepages)
		return hugepages_cause(root, why, cap);
	return rc == -ENOMEM && memory_cause(c, why, cap);
}

/* ---- devices --------------------------------------------------------------------------------- */

/* Another device of the same group may be ours already. */
static bool
open_here(const char *path)
{
	char target[PATH_MAX];
	bool found = false;
	glob_t fds;
	ssize_t n;

	if (glob("/proc/self/fd/*", 0, NULL, &fds) != 0)
		return true;
	for (size_t i = 0; i < fds.gl_pathc && !found; i++) {
		n = readlink(fds.gl_pathv[i], target, sizeof(target) - 1);
		target[n < 0 ? 0 : n] = '\0';
		found = strcmp(target, path) == 0;
	}
	globfree(&fds);
	return found;
}

static bool
group_cause(const char *root, const char *address, char *why, size_t cap)
{
	char path[PATH_MAX], group[NAME_MAX + 1];
	int fd, rc;

	if (!path_make(path, root, "/sys/bus/pci/devices/%s/iommu_group", address) || !link_name(group, path) ||
	    !path_make(path, root, "/dev/vfio/%s", group) || open_here(path))
		return false;
	fd = open(path, O_RDWR | O_CLOEXEC);
	rc = fd < 0 ? errno : 0;
	if (fd >= 0)
		close(fd);
	if (rc == EPERM && geteuid() == 0) /* a cgroup's rules: nothing else refuses root with it */
		snprintf(why, cap, "%s may not be opened, though by root: the unit needs devices.conf, and vfio loaded before its start; "
			 "a container the device", path);
	else if (rc == EACCES || rc == EPERM)
		snprintf(why, cap, "%s may not be opened by user %u: start as root, or `rookctl host init` gives it to security.user", path,
			 (unsigned)geteuid());
	else if (rc == EBUSY)
		snprintf(why, cap, "another process has %s: end the other server or DPDK program", path);
	else
		return false;
	return true;
}

bool
machine_device_cause(const char *root, const char *device, char *why, size_t cap)
{
	char text[32], address[PCI_PRI_STR_SIZE], path[PATH_MAX], driver[NAME_MAX + 1];
	static const char *const ours[] = {"uio_pci_generic", "igb_uio", "mlx4_core", "mlx5_core"};
	struct rte_pci_addr a;

	snprintf(text, sizeof(text), "%.*s", (int)strcspn(device, ","), device);
	if (rte_pci_addr_parse(text, &a) != 0 || !exists(root, "/sys/bus/pci/devices"))
		return false;
	rte_pci_device_name(&a, address, sizeof(address));
	if (!path_make(path, root, "/sys/bus/pci/devices/%s", address))
		return false;
	if (access(path, F_OK) != 0) {
		snprintf(why, cap, "there is no PCI device %s: correct dataplane.ports.devices; `rookctl host check` names the NICs here", address);
		return true;
	}
	if (!path_make(path, root, "/sys/bus/pci/devices/%s/driver", address))
		return false;
	if (!link_name(driver, path)) {
		snprintf(why, cap, "it has no driver: `rookctl host init` binds it to vfio-pci");
		return true;
	}
	if (strcmp(driver, "vfio-pci") == 0)
		return group_cause(root, address, why, cap);
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (strcmp(driver, ours[i]) == 0)
			return false;
	snprintf(why, cap, "it is bound to the kernel's driver %s: `rookctl host init` binds it to vfio-pci; `rookctl host check` says more",
		 driver);
	return true;
}
