/* SPDX-License-Identifier: BSD-3-Clause */
/* `rookctl host check` on a machine made of files: two NUMA nodes with two CPUs each, a NIC on node 1. */
#include "control/cli/host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/file_tree.h"

#define NIC "0000:03:00.0"

struct machine {
	char root[32];
	struct findings found;
};

/* All is well for a dataplane with one worker on CPU 3 and its NIC. */
static int
set_up(void **state)
{
	struct machine *m = calloc(1, sizeof(*m));
	char path[128], text[8];
	tree_make(m->root, "test_host");
	tree_put(m->root, "/proc/cpuinfo", "processor : 0\nflags\t\t: fpu sse2 sse4_2 aes pclmulqdq avx2\n");
	tree_put(m->root, "/proc/mounts", "nodev /dev/hugepages hugetlbfs rw 0 0\n");
	tree_put(m->root, "/proc/self/limits", "Limit   Soft   Hard   Units\nMax open files            4096     4096     files\n");
	tree_put(m->root, "/proc/sys/net/core/rmem_max", "4194304\n");
	tree_put(m->root, "/sys/devices/system/cpu/online", "0-3\n");
	tree_put(m->root, "/sys/devices/system/cpu/isolated", "3\n");
	tree_put(m->root, "/sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n");
	for (unsigned cpu = 0; cpu < 4; cpu++) {
		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/node%u/here", cpu, cpu / 2);
		tree_put(m->root, path, "");
		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/topology/thread_siblings_list", cpu);
		snprintf(text, sizeof(text), "%u\n", cpu);
		tree_put(m->root, path, text);
		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/cpufreq/scaling_governor", cpu);
		tree_put(m->root, path, "performance\n");
	}
	tree_put(m->root, "/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages", "0\n");
	tree_put(m->root, "/sys/devices/system/node/node0/hugepages/hugepages-2048kB/free_hugepages", "500\n");
	tree_put(m->root, "/sys/devices/system/node/node0/cpulist", "0-1\n");
	tree_put(m->root, "/sys/devices/system/node/node0/distance", "10 21\n");
	tree_put(m->root, "/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages", "512\n");
	tree_put(m->root, "/sys/devices/system/node/node1/hugepages/hugepages-2048kB/free_hugepages", "500\n");
	tree_put(m->root, "/sys/devices/system/node/node1/cpulist", "2-3\n");
	tree_put(m->root, "/sys/devices/system/node/node1/distance", "21 10\n");
	tree_put_nic(m->root, NIC, "vfio-pci");
	tree_put(m->root, "/sys/bus/pci/devices/" NIC "/numa_node", "1\n");
	tree_put(m->root, "/sys/bus/pci/devices/0000:00:1f.0/class", "0x060100\n");
	tree_put(m->root, "/sys/kernel/iommu_groups/17/type", "DMA\n");
	tree_put(m->root, "/sys/module/vfio_pci/parameters/ids", "\n");
	tree_put(m->root, "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit", "65535\n");
	tree_put(m->root, "/dev/vfio/vfio", "");
	tree_put(m->root, "/dev/vfio/17", "");
	*state = m;
	return 0;
}

static int
tear_down(void **state)
{
	struct machine *m = *state;
	tree_remove(m->root);
	free(m);
	return 0;
}

#define HEAD "dataplane:\n  hugepages: true\n  poll: busy\n"
#define PORT(devices) "  ports:\n    - {type: ethdev, addresses: [10.0.0.1/24], devices: [" devices "]}\n"
#define GOOD HEAD "  cpus: 2-3\n" PORT("\"" NIC "\"")

static void
check(struct machine *m, const char *yaml)
{
	char path[64], error[512];
	struct config *c;
	snprintf(path, sizeof(path), "%s/my.yaml", m->root);
	tree_put(m->root, "/my.yaml", yaml);
	if (config_load(&c, path, "/nonexistent", error, sizeof(error)) < 0)
		fail_msg("%s", error);
	memset(&m->found, 0, sizeof(m->found));
	host_check(&m->found, m->root, c);
	config_free(c);
	for (unsigned i = 0; i < m->found.count; i++) {
		const struct finding *x = &m->found.list[i];
		assert_true(*x->what);
		assert_int_equal(x->state == FINDING_OK, !*x->why);
		assert_int_equal(x->state == FINDING_OK, !*x->mend);
	}
}

static unsigned
count_bad(const struct machine *m)
{
	unsigned n = 0;
	for (unsigned i = 0; i < m->found.count; i++)
		n += m->found.list[i].state != FINDING_OK;
	return n;
}

/* There is one, and it is the only one that is not ok. */
static void
only(const struct machine *m, enum finding_state state, const char *name, const char *what, const char *mend)
{
	for (unsigned i = 0; i < m->found.count; i++) {
		const struct finding *x = &m->found.list[i];
		if (x->state == FINDING_OK)
			continue;
		if (x->state != state || strcmp(x->name, name) != 0 || !strstr(x->what, what) || !strstr(x->mend, mend))
			fail_msg("%s %s: %s; %s", finding_state_name(x->state), x->name, x->what, x->mend);
	}
	assert_int_equal(count_bad(m), 1);
}

static void
test_good(void **state)
{
	struct machine *m = *state;
	check(m, GOOD);
	for (unsigned i = 0; i < m->found.count; i++)
		if (m->found.list[i].state != FINDING_OK)
			fail_msg("%s: %s", m->found.list[i].name, m->found.list[i].what);
	assert_true(m->found.count >= 9);
}

static void
test_hugepages(void **state)
{
	struct machine *m = *state;
	tree_put(m->root, "/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages", "0\n");
	check(m, GOOD);
	only(m, FINDING_FAIL, "hugepages", "node 1: 0 MiB reserved; up to ", "node1/hugepages/hugepages-2048kB/nr_hugepages");
	tree_put(m->root, "/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages", "40\n");
	check(m, GOOD);
	only(m, FINDING_WARN, "hugepages", "node 1: 80 MiB reserved; up to ", "host init");
	/* Somebody has them all: this server itself, perhaps. */
	tree_put(m->root, "/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages", "512\n");
	tree_put(m->root, "/sys/devices/system/node/node1/hugepages/hugepages-2048kB/free_hugepages", "0\n");
	check(m, GOOD);
	only(m, FINDING_NOTE, "hugepages", "node 1: all of 1024 MiB are in use", "end the other one");
	tree_put(m->root, "/sys/devices/system/node/node1/hugepages/hugepages-2048kB/free_hugepages", "1\n");
	/* Large ones count as well. */
	tree_put(m->root, "/sys/devices/system/node/node1/hugepages/hugepages-1048576kB/nr_hugepages", "2\n");
	check(m, GOOD);
	assert_int_equal(count_bad(m), 0);
	tree_put(m->root, "/proc/mounts", "none / ext4 rw 0 0\n");
	check(m, GOOD);
	only(m, FINDING_NOTE, "hugetlbfs", "not mounted", "mount -t hugetlbfs");
}

static void
test_device(void **state)
{
	struct machine *m = *state;
	check(m, HEAD "  cpus: 2-3\n" PORT("\"0000:04:00.0\""));
	only(m, FINDING_FAIL, "device", "no PCI device 0000:04:00.0", "NICs here: " NIC);
	tree_point(m->root, "/sys/bus/pci/devices/" NIC "/driver", "../../../bus/pci/drivers/ixgbe");
	check(m, HEAD "  cpus: 2-3\n" PORT("\"03:00.0\""));
	only(m, FINDING_FAIL, "driver", "bound to ixgbe", "dpdk-devbind.py --bind vfio-pci " NIC);
	tree_point(m->root, "/sys/bus/pci/devices/" NIC "/driver", "../../../bus/pci/drivers/mlx5_core");
	check(m, GOOD);
	assert_int_equal(count_bad(m), 0);
	tree_drop(m->root, "/sys/bus/pci/devices/" NIC "/driver");
	check(m, GOOD);
	only(m, FINDING_FAIL, "driver", "no driver", "modprobe vfio-pci");
}

static void
test_iommu(void **state)
{
	struct machine *m = *state;
	tree_drop(m->root, "/dev/vfio/17");
	check(m, GOOD);
	only(m, FINDING_FAIL, "vfio group", "no /dev/vfio/17", "host init");
	tree_put(m->root, "/dev/vfio/17", "");
	tree_drop(m->root, "/sys/kernel/iommu_groups/17/type");
	tree_drop(m->root, "/sys/kernel/iommu_groups/17");
	check(m, GOOD);
	only(m, FINDING_FAIL, "iommu", "off", "intel_iommu=on");
	tree_put(m->root, "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n");
	check(m, GOOD);
	only(m, FINDING_WARN, "iommu", "unsafe", "intel_iommu=on");
}

static void
test_cpus(void **state)
{
	struct machine *m = *state;
	check(m, HEAD "  cpus: 2,7\n" PORT("\"" NIC "\""));
	only(m, FINDING_FAIL, "cpus", "no CPU 7; online are 0-3", "dataplane.cpus");
	tree_put(m->root, "/sys/devices/system/cpu/isolated", "\n");
	check(m, GOOD);
	only(m, FINDING_NOTE, "cpus", "CPU 3 is not isolated", "isolcpus");
	tree_put(m->root, "/sys/devices/system/cpu/cpu3/cpufreq/scaling_governor", "powersave\n");
	tree_put(m->root, "/sys/devices/system/cpu/isolated", "3\n");
	check(m, GOOD);
	only(m, FINDING_NOTE, "frequency", "CPU 3 has governor powersave", "cpupower");
	tree_put(m->root, "/sys/devices/system/cpu/cpu3/cpufreq/scaling_governor", "performance\n");
	/* Two workers on the threads of one core. */
	tree_put(m->root, "/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages", "512\n");
	tree_put(m->root, "/sys/devices/system/cpu/isolated", "2-3\n");
	tree_put(m->root, "/sys/devices/system/cpu/cpu2/topology/thread_siblings_list", "2-3\n");
	check(m, HEAD "  workers: 2\n  cpus: \"1-3\"\n" PORT("\"" NIC "\""));
	only(m, FINDING_WARN, "cpus", "CPUs 2 and 3 are threads of one core", "one thread of each core");
	tree_put(m->root, "/proc/cpuinfo", "flags : sse2 sse4_2\n");
	check(m, GOOD);
	only(m, FINDING_WARN, "cpu", "no AES", "CPU type");
	tree_put(m->root, "/proc/cpuinfo", "flags : sse2\n");
	check(m, GOOD);
	only(m, FINDING_FAIL, "cpu", "no SSE4.2", "CPU type");
}

static void
test_numa(void **state)
{
	struct machine *m = *state;
	tree_put(m->root, "/sys/devices/system/cpu/isolated", "1\n");
	tree_put(m->root, "/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages", "512\n");
	check(m, HEAD "  cpus: 0-1\n" PORT("\"" NIC "\""));
	only(m, FINDING_WARN, "numa", "on node 1, worker 0's CPU 1 on node 0 (distance 21)", "among 2-3");
	/* In the order given, and what no lcore runs on does not count. */
	tree_put(m->root, "/sys/devices/system/cpu/isolated", "1-3\n");
	check(m, HEAD "  cpus: 2,1,3\n" PORT("\"" NIC "\""));
	only(m, FINDING_WARN, "numa", "on node 1, worker 0's CPU 1 on node 0 (distance 21)", "among 2-3");
	check(m, HEAD "  cpus: 1,2,0\n" PORT("\"" NIC "\""));
	assert_int_equal(count_bad(m), 0);
}

static void
test_interfaces(void **state)
{
	struct machine *m = *state;
	tree_put(m->root, "/sys/class/net/eth7/mtu", "1500\n");
	tree_put(m->root, "/sys/class/net/eth7/operstate", "up\n");
#define TWO HEAD "  workers: 2\n  cpus: 1-3\n"
	tree_put(m->root, "/sys/devices/system/cpu/isolated", "2-3\n");
	tree_put(m->root, "/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages", "512\n");
	check(m, TWO PORT("\"net_af_packet0,iface=eth7,qpairs=2\""));
	assert_int_equal(count_bad(m), 0);
	check(m, TWO PORT("\"net_af_packet0,iface=eth7\""));
	only(m, FINDING_FAIL, "queues", "has 1 for 2 workers", "qpairs=2");
	check(m, TWO PORT("\"net_af_xdp0,iface=eth7\""));
	only(m, FINDING_FAIL, "queues", "has 1 for 2 workers", "start_queue");
	check(m, TWO PORT("\"net_af_packet0,iface=eth8,qpairs=2\""));
	only(m, FINDING_FAIL, "interface", "no interface eth8", "ip -br link");
	tree_put(m->root, "/sys/class/net/eth7/operstate", "down\n");
	check(m, TWO PORT("\"net_af_packet0,iface=eth7,qpairs=2\""));
	only(m, FINDING_FAIL, "interface", "eth7 is down", "ip link set eth7 up");
	tree_put(m->root, "/sys/class/net/eth7/operstate", "up\n");
	tree_put(m->root, "/sys/class/net/eth7/mtu", "1400\n");
	check(m, TWO PORT("\"net_af_packet0,iface=eth7,qpairs=2\""));
	only(m, FINDING_FAIL, "mtu", "eth7 has 1400, the configuration says 1500", "mtu 1500");
}

static void
test_clock_and_limits(void **state)
{
	struct machine *m = *state;
	tree_put(m->root, "/sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n");
	check(m, GOOD);
	only(m, FINDING_WARN, "clock source", "hpet", "tsc");
	tree_put(m->root, "/sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n");
	tree_put(m->root, "/proc/self/limits", "Max open files            256        4096         files\n");
	check(m, GOOD);
	only(m, FINDING_WARN, "file limit", "256", "ulimit");
	tree_put(m->root, "/proc/self/limits", "Max open files            unlimited  unlimited    files\n");
	tree_put(m->root, "/proc/sys/net/core/rmem_max", "212992\n");
	check(m, "dataplane: {cpus: 2-3}\n");
	only(m, FINDING_NOTE, "socket buffer", "212992", "net.core.rmem_max");
}

/* What EAL does not start without (dataplane/machine.h). */
static void
test_no_start(void **state)
{
	struct machine *m = *state;
	tree_put(m->root, "/proc/self/limits", "Max address space         1073741824  unlimited    bytes\n");
	check(m, GOOD);
	only(m, FINDING_WARN, "memory limit", "1024 MiB of address space", "ulimit -v unlimited");
	tree_put(m->root, "/proc/self/limits", "Max address space         unlimited  unlimited    bytes\n");
	check(m, GOOD);
	assert_int_equal(count_bad(m), 0);
	tree_drop(m->root, "/sys/module/vfio_pci/parameters/ids");
	tree_drop(m->root, "/sys/module/vfio_pci/parameters");
	tree_drop(m->root, "/sys/module/vfio_pci");
	tree_drop(m->root, "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit");
	tree_drop(m->root, "/sys/module/vfio_iommu_type1/parameters");
	tree_drop(m->root, "/sys/module/vfio_iommu_type1");
	tree_drop(m->root, "/sys/module");
	check(m, "dataplane: {cpus: 2-3}\n");
	only(m, FINDING_FAIL, "sysfs", "no /sys/module", "mount -t sysfs");
}

/* Where nothing can be read, nothing is claimed and nothing breaks. */
static void
test_empty_root(void **state)
{
	struct machine *m = *state;
	struct config *c;
	char error[256];
	assert_int_equal(config_load(&c, NULL, "/nonexistent", error, sizeof(error)), 0);
	memset(&m->found, 0, sizeof(m->found));
	host_check(&m->found, "/nonexistent", c);
	config_free(c);
	for (unsigned i = 0; i < m->found.count; i++)
		assert_true(m->found.list[i].state != FINDING_FAIL);
}

static void
test_lists(void **state)
{
	(void)state;
	assert_true(host_in_list("0-3,8", 0));
	assert_true(host_in_list("0-3,8", 3));
	assert_true(host_in_list("0-3,8", 8));
	assert_false(host_in_list("0-3,8", 4));
	assert_false(host_in_list("", 0));
	assert_false(host_in_list("none", 0));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_good),       TEST(test_hugepages),	     TEST(test_device),
		TEST(test_iommu),      TEST(test_cpus),		     TEST(test_numa),
		TEST(test_interfaces), TEST(test_clock_and_limits), TEST(test_no_start), TEST(test_empty_root),
		cmocka_unit_test(test_lists),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
