/* SPDX-License-Identifier: BSD-3-Clause */
/* The machine: CPU, memory, frequency, clock. Ports are in host_ports.c. */
#include "control/cli/host_setup.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct finding *
finding_add(struct findings *f, enum finding_state state, const char *name, const char *why, const char *format, ...)
{
	static struct finding lost;
	struct finding *x = f->count < FINDINGS_MAX ? &f->list[f->count++] : &lost;
	va_list args;
	*x = (struct finding){.state = state};
	snprintf(x->name, sizeof(x->name), "%s", name);
	snprintf(x->why, sizeof(x->why), "%s", why);
	va_start(args, format);
	vsnprintf(x->what, sizeof(x->what), format, args);
	va_end(args);
	return x;
}

void
finding_mend(struct finding *f, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(f->mend, sizeof(f->mend), format, args);
	va_end(args);
}

const char *
finding_state_name(enum finding_state state)
{
	static const char *const names[] = {"ok", "note", "warn", "FAIL"};
	return names[state];
}

/* ---- CPU -------------------------------------------------------------------------------- */

/* The words behind "flags" (x86) or "Features" (ARM) of the first CPU, with a space at both ends. */
static bool
cpu_flags(const char *root, char *buf, size_t cap)
{
	char path[512], line[8192];
	snprintf(path, sizeof(path), "%s/proc/cpuinfo", root);
	FILE *in = fopen(path, "re");
	bool found = false;
	while (in && !found && fgets(line, sizeof(line), in)) {
		const char *colon = strchr(line, ':');
		found = colon && (strncmp(line, "flags", 5) == 0 || strncmp(line, "Features", 8) == 0);
		if (found)
			snprintf(buf, cap, " %.*s ", (int)strcspn(colon + 1, "\n"), colon + 1);
	}
	if (in)
		fclose(in);
	return found;
}

static bool
has_flag(const char *flags, const char *flag)
{
	char word[32];
	snprintf(word, sizeof(word), " %s ", flag);
	return strstr(flags, word);
}

static void
check_cpu(struct findings *f, const char *root)
{
	static const char *const fast[] = {"aes", "pclmulqdq", "vaes", "vpclmulqdq", "avx2", "avx512f"};
	char flags[8192], have[128] = "";
	bool x86, found = cpu_flags(root, flags, sizeof(flags));
	if (!found)
		return;
	x86 = has_flag(flags, "sse2");
	if (x86 && !has_flag(flags, "sse4_2")) {
		struct finding *x = finding_add(f, FINDING_FAIL, "cpu", "DPDK is compiled for it", "no SSE4.2");
		finding_mend(x, "another machine; in a virtual one: CPU type `host`");
		return;
	}
	for (size_t i = 0; i < sizeof(fast) / sizeof(fast[0]); i++)
		if (has_flag(flags, fast[i]))
			snprintf(have + strlen(have), sizeof(have) - strlen(have), "%s%s", *have ? ", " : "", fast[i]);
	if (has_flag(flags, "aes")) {
		finding_add(f, FINDING_OK, "cpu", "", "%s", have);
	} else {
		struct finding *x = finding_add(f, FINDING_WARN, "cpu", "every packet is encrypted with AES-GCM",
						"no AES instructions: several times slower");
		finding_mend(x, "another machine; in a virtual one: CPU type `host`");
	}
}

static void
check_placement(struct findings *f, const char *root, const struct config *c)
{
	uint16_t cpus[HOST_CPUS_MAX];
	unsigned count = host_cpus(c, cpus);
	char online[256], isolated[256] = "", siblings[64];
	struct finding *x;
	bool busy = c->dataplane.poll == POLL_BUSY;
	host_read(root, isolated, sizeof(isolated), "/sys/devices/system/cpu/isolated");
	if (count == 0) {
		x = finding_add(f, busy ? FINDING_WARN : FINDING_NOTE, "cpus",
				"the kernel may move a worker, and put other work on its CPU", "workers are not pinned");
		finding_mend(x, "set dataplane.cpus: housekeeping's CPU and one per worker");
		return;
	}
	host_read(root, online, sizeof(online), "/sys/devices/system/cpu/online");
	for (unsigned i = 0; i < count; i++) {
		if (*online && !host_in_list(online, cpus[i])) {
			x = finding_add(f, FINDING_FAIL, "cpus", "a worker is bound to each", "there is no CPU %u; online are %s",
					cpus[i], online);
			finding_mend(x, "correct dataplane.cpus");
			return;
		}
	}
	/* Workers only: housekeeping sleeps most of the time. */
	for (unsigned i = 1; i < count; i++) {
		host_read(root, siblings, sizeof(siblings), "/sys/devices/system/cpu/cpu%u/topology/thread_siblings_list", cpus[i]);
		for (unsigned j = i + 1; j < count; j++) {
			if (!host_in_list(siblings, cpus[j]))
				continue;
			x = finding_add(f, FINDING_WARN, "cpus", "two workers share one core's units",
					"CPUs %u and %u are threads of one core", cpus[i], cpus[j]);
			finding_mend(x, "take one thread of each core in dataplane.cpus");
			return;
		}
		if (busy && !host_in_list(isolated, cpus[i])) {
			x = finding_add(f, FINDING_NOTE, "cpus", "the kernel puts other work on them: latency has peaks",
					"CPU %u is not isolated", cpus[i]);
			finding_mend(x, "kernel command line: isolcpus=LIST nohz_full=LIST rcu_nocbs=LIST with the "
							   "workers' CPUs");
			return;
		}
	}
	finding_add(f, FINDING_OK, "cpus", "", "%u, all online%s", count, *isolated ? ", workers isolated where asked for" : "");
}

static void
check_governor(struct findings *f, const char *root, const struct config *c)
{
	uint16_t cpus[HOST_CPUS_MAX] = {0};
	unsigned count = host_cpus(c, cpus);
	char governor[32];
	for (unsigned i = 0; i < (count ? count : 1); i++) {
		if (!host_read(root, governor, sizeof(governor), "/sys/devices/system/cpu/cpu%u/cpufreq/scaling_governor", cpus[i]))
			return; /* fixed, or up to the hypervisor */
		if (strcmp(governor, "performance") == 0)
			continue;
		struct finding *x = finding_add(f, FINDING_NOTE, "frequency", "a worker that wakes up runs slowly at first",
						"CPU %u has governor %s", cpus[i], governor);
		finding_mend(x, "cpupower frequency-set -g performance");
		return;
	}
	finding_add(f, FINDING_OK, "frequency", "", "governor performance");
}

/* ---- memory ----------------------------------------------------------------------------- */

bool
host_has_hugetlbfs(const char *root)
{
	char path[512], line[512];
	bool found = false;
	snprintf(path, sizeof(path), "%s/proc/mounts", root);
	FILE *in = fopen(path, "re");
	while (in && !found && fgets(line, sizeof(line), in))
		found = strstr(line, " hugetlbfs ");
	if (in)
		fclose(in);
	return found;
}

static void
check_node(struct findings *f, const char *root, const struct config *c, int node)
{
	long all = host_huge_mb(root, node, false), unused = host_huge_mb(root, node, true), need = (long)host_memory_mb(root, c, node);
	struct finding *x;
	if (all < 0 || need == 0)
		return;
	if (all >= need && unused == 0) {
		x = finding_add(f, FINDING_NOTE, "hugepages", "a server that starts now finds none",
				"node %d: all of %ld MiB are in use", node, all);
		finding_mend(x, "nothing if this server runs; else end the other one or DPDK program that has them");
		return;
	}
	if (all >= need) {
		finding_add(f, FINDING_OK, "hugepages", "", "node %d: %ld MiB, %ld of them free; at most %ld are needed", node, all, unused,
			    need);
		return;
	}
	x = finding_add(f, all == 0 ? FINDING_FAIL : FINDING_WARN, "hugepages",
			"packets and sessions are kept in them, on the node of their worker",
			"node %d: %ld MiB reserved; up to %ld are needed", node, all, need);
	finding_mend(x, "rookctl host init, or: echo %ld > /sys/devices/system/node/node%d/hugepages/hugepages-2048kB/nr_hugepages",
		     (need + 1) / 2, node);
}

static void
check_hugepages(struct findings *f, const char *root, const struct config *c)
{
	if (!c->dataplane.hugepages) {
		finding_add(f, FINDING_OK, "hugepages", "", "not asked for (dataplane.hugepages)");
		return;
	}
	for (int node = 0; node < 64; node++)
		check_node(f, root, c, node);
	if (host_has_hugetlbfs(root)) {
		finding_add(f, FINDING_OK, "hugetlbfs", "", "mounted");
	} else {
		struct finding *x = finding_add(f, FINDING_NOTE, "hugetlbfs", "other DPDK programs, as dpdk-testpmd, need it; the server does not",
						"not mounted");
		finding_mend(x, "rookctl host init, or: mkdir -p /dev/hugepages && mount -t hugetlbfs nodev /dev/hugepages");
	}
}

/* ---- clock and limits -------------------------------------------------------------------- */

static void
check_clock(struct findings *f, const char *root)
{
	char source[32];
	if (!host_read(root, source, sizeof(source), "/sys/devices/system/clocksource/clocksource0/current_clocksource"))
		return;
	static const char *const good[] = {"tsc", "arch_sys_counter", "kvm-clock", "hyperv_clocksource_tsc_page"};
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (strcmp(source, good[i]) == 0) {
			finding_add(f, FINDING_OK, "clock source", "", "%s", source);
			return;
		}
	struct finding *x = finding_add(f, FINDING_WARN, "clock source", "reading the time costs a system call or worse", "%s", source);
	finding_mend(x, "see `dmesg | grep -i tsc`; kernel command line: tsc=reliable if the hardware's is");
}

/* "Max open files   1024   1048576   files": the soft limit; -1: unlimited. */
static bool
limit_of(const char *root, const char *name, long *out)
{
	char path[512], line[256];
	bool found = false;
	snprintf(path, sizeof(path), "%s/proc/self/limits", root);
	FILE *in = fopen(path, "re");
	while (in && !found && fgets(line, sizeof(line), in)) {
		found = strncmp(line, name, strlen(name)) == 0;
		const char *value = line + strlen(name);
		if (found)
			*out = strstr(value, "unlimited") == value + strspn(value, " ") ? -1 : atol(value);
	}
	if (in)
		fclose(in);
	return found;
}

/* vfio pins the dataplane's hugepages, and counts them for everybody but root. */
static void
check_memlock(struct findings *f, const char *root, const struct config *c)
{
	long bytes, need = 0;
	struct finding *x;
	for (int node = 0; c->dataplane.hugepages && node < 64; node++)
		need += (long)host_memory_mb(root, c, node);
	if (need == 0 || !limit_of(root, "Max locked memory", &bytes) || bytes < 0 || bytes >> 20 >= need || geteuid() == 0)
		return;
	x = finding_add(f, FINDING_NOTE, "memory limit", "without root's rights vfio locks no more memory than this",
			"%ld MiB may be locked; up to %ld are needed", bytes >> 20, need);
	finding_mend(x, "ulimit -l unlimited, or LimitMEMLOCK=infinity in the unit");
}

static void
check_address_space(struct findings *f, const char *root)
{
	struct finding *x;
	long bytes;
	if (!limit_of(root, "Max address space", &bytes) || bytes < 0)
		return;
	x = finding_add(f, FINDING_WARN, "memory limit", "EAL sets aside more address space than it uses", "%ld MiB of address space", bytes >> 20);
	finding_mend(x, "ulimit -v unlimited, or LimitAS=infinity in the unit");
}

static void
check_sysfs(struct findings *f, const char *root)
{
	struct finding *x;
	if (!host_exists(root, "/proc/self") || host_exists(root, "/sys/module"))
		return;
	x = finding_add(f, FINDING_FAIL, "sysfs", "EAL asks it for CPUs, modules and memory, and does not start without", "no /sys/module");
	finding_mend(x, "mount -t sysfs -o ro sysfs /sys; a container's runtime must show it");
}

static void
check_limits(struct findings *f, const char *root, const struct config *c)
{
	long files;
	char text[32];
	struct finding *x;
	if (limit_of(root, "Max open files", &files) && files >= 0 && files < 512) {
		x = finding_add(f, FINDING_WARN, "file limit", "sockets, rings and the database need some", "%ld open files", files);
		finding_mend(x, "ulimit -n 4096, or LimitNOFILE=4096 in the unit");
	} else {
		finding_add(f, FINDING_OK, "file limit", "", "enough open files");
	}
	for (unsigned i = 0; i < c->dataplane.ports_count; i++) {
		if (c->dataplane.ports[i].type != PORT_SOCKET ||
		    !host_read(root, text, sizeof(text), "/proc/sys/net/core/rmem_max"))
			continue;
		if (atol(text) >= 1 << 20) {
			finding_add(f, FINDING_OK, "socket buffer", "", "up to %s bytes", text);
		} else {
			x = finding_add(f, FINDING_NOTE, "socket buffer", "a burst of packets overflows it before a worker comes by",
					"at most %s bytes for programs that are not root's", text);
			finding_mend(x, "sysctl -w net.core.rmem_max=8388608");
		}
		return;
	}
}

void
host_check(struct findings *f, const char *root, const struct config *c)
{
	check_sysfs(f, root);
	check_cpu(f, root);
	check_placement(f, root, c);
	check_governor(f, root, c);
	check_hugepages(f, root, c);
	check_clock(f, root);
	check_limits(f, root, c);
	check_memlock(f, root, c);
	check_address_space(f, root);
	for (unsigned i = 0; i < c->dataplane.ports_count; i++)
		host_check_port(f, root, c, i);
}
