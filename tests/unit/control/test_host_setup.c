/* SPDX-License-Identifier: BSD-3-Clause */
/* The plan of `rookctl host init`, its steps and their record, on a machine made of files: two NUMA nodes, a NIC on node 1. What a
 * kernel would do about it is in tests/e2e/test_guest.c. */
#include "control/cli/host_setup.h"

#include <errno.h>
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
#define PAGES(node) "/sys/devices/system/node/node" #node "/hugepages/hugepages-2048kB/nr_hugepages"

struct machine {
	char root[32];
	struct config *config;
	struct steps plan;
	char error[512];
};

static void
configure(struct machine *m, const char *devices)
{
	char path[64], yaml[512];
	snprintf(yaml, sizeof(yaml),
		 "dataplane:\n  hugepages: true\n  workers: 2\n  cpus: \"0,2-3\"\n  ports:\n"
		 "    - {type: ethdev, addresses: [10.0.0.1/24], devices: [\"%s\"]}\n",
		 devices);
	snprintf(path, sizeof(path), "%s/my.yaml", m->root);
	tree_put(m->root, "/my.yaml", yaml);
	config_free(m->config);
	if (config_load(&m->config, path, "/nonexistent", m->error, sizeof(m->error)) < 0)
		fail_msg("%s", m->error);
}

/* As a machine is before: nothing reserved, nothing mounted, no module, the NIC with a kernel driver. */
static int
set_up(void **state)
{
	struct machine *m = calloc(1, sizeof(*m));
	char path[128];
	tree_make(m->root, "test_host_setup");
	tree_put(m->root, "/proc/mounts", "none / ext4 rw 0 0\n");
	tree_put(m->root, "/proc/net/route", "Iface Destination\neth0 00000000\n");
	for (unsigned cpu = 0; cpu < 4; cpu++) {
		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/node%u/here", cpu, cpu / 2);
		tree_put(m->root, path, "");
	}
	tree_put(m->root, PAGES(0), "0\n");
	tree_put(m->root, PAGES(1), "10\n");
	tree_put_nic(m->root, NIC, "ixgbe");
	tree_put(m->root, "/sys/bus/pci/devices/" NIC "/numa_node", "1\n");
	tree_put(m->root, "/sys/bus/pci/devices/" NIC "/net/eth7/mtu", "1500\n");
	tree_put(m->root, "/sys/class/net/eth7/flags", "0x1003\n");
	tree_put(m->root, "/sys/class/net/eth7/queues/rx-0/here", "");
	tree_put(m->root, "/sys/class/net/eth7/queues/rx-1/here", "");
	tree_put(m->root, "/sys/kernel/iommu_groups/17/type", "DMA\n");
	tree_put(m->root, "/run/here", "");
	configure(m, NIC);
	*state = m;
	return 0;
}

static int
tear_down(void **state)
{
	struct machine *m = *state;
	tree_remove(m->root);
	config_free(m->config);
	free(m);
	return 0;
}

static int
plan(struct machine *m, bool force)
{
	struct host_wish wish = {.force = force, .uid = 900, .gid = 901};
	m->error[0] = '\0';
	return host_plan(&m->plan, m->root, m->config, &wish, m->error, sizeof(m->error));
}

/* One line per step, as it is printed. */
static void
expect_plan(const struct machine *m, bool undo, const char *expected)
{
	char text[4096] = "", commands[512];
	for (unsigned i = 0; i < m->plan.count; i++) {
		step_commands(&m->plan.list[i], undo, commands, sizeof(commands));
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s\n", commands);
	}
	assert_string_equal(text, expected);
}

static void
test_plan(void **state)
{
	struct machine *m = *state;
	char expected[2048];
	unsigned common = (config_memory_common_mb(m->config) + 1) / 2, workers = (2 * config_memory_worker_mb(m->config) + 1) / 2;
	assert_int_equal(plan(m, false), 0);
	snprintf(expected, sizeof(expected),
		 "echo %u > " PAGES(0) "\necho %u > " PAGES(1) "\n"
		 "mkdir -p /dev/hugepages && mount -t hugetlbfs nodev /dev/hugepages\n"
		 "modprobe vfio-pci\nmodprobe vfio_iommu_type1\n"
		 "echo vfio-pci > /sys/bus/pci/devices/" NIC "/driver_override\n"
		 "echo " NIC " > /sys/bus/pci/devices/" NIC "/driver/unbind\n"
		 "echo " NIC " > /sys/bus/pci/drivers_probe\n"
		 "chown 900:901 /dev/vfio/17\n",
		 common, workers);
	expect_plan(m, false, expected);
	expect_plan(m, true,
		    "echo 0 > " PAGES(0) "\necho 10 > " PAGES(1) "\numount /dev/hugepages\nmodprobe -r vfio-pci\n"
		    "modprobe -r vfio_iommu_type1\n"
		    "echo \"\" > /sys/bus/pci/devices/" NIC "/driver_override\n"
		    "echo " NIC " > /sys/bus/pci/devices/" NIC "/driver/unbind\n"
		    "echo " NIC " > /sys/bus/pci/drivers_probe\nip link set eth7 up\nchown 0:0 /dev/vfio/17\n");
	assert_int_equal(m->plan.list[5].queues, 2);
}

/* What is there already is left alone. */
static void
test_nothing_to_do(void **state)
{
	struct machine *m = *state;
	tree_put(m->root, PAGES(0), "4096\n");
	tree_put(m->root, PAGES(1), "0\n");
	tree_put(m->root, "/sys/devices/system/node/node1/hugepages/hugepages-1048576kB/nr_hugepages", "8\n");
	tree_put(m->root, "/proc/mounts", "nodev /dev/hugepages hugetlbfs rw 0 0\n");
	tree_put(m->root, "/sys/module/vfio_pci/here", "");
	tree_put(m->root, "/sys/module/vfio_iommu_type1/here", "");
	tree_point(m->root, "/sys/bus/pci/devices/" NIC "/driver", "../../drivers/vfio-pci");
	tree_put(m->root, "/dev/vfio/17", "");
	struct host_wish wish = {.uid = getuid(), .gid = getgid()};
	assert_int_equal(host_plan(&m->plan, m->root, m->config, &wish, m->error, sizeof(m->error)), 0);
	expect_plan(m, false, "");
	/* mlx5 shares its device: nothing is bound, no vfio needed. */
	tree_drop(m->root, "/sys/module/vfio_pci/here");
	tree_drop(m->root, "/sys/module/vfio_pci");
	tree_point(m->root, "/sys/bus/pci/devices/" NIC "/driver", "../../drivers/mlx5_core");
	assert_int_equal(plan(m, false), 0);
	expect_plan(m, false, "");
}

static void
refused(struct machine *m, int rc, const char *cause, const char *mend)
{
	assert_int_equal(plan(m, false), rc);
	if (!strstr(m->error, cause) || !strstr(m->error, mend))
		fail_msg("%s", m->error);
}

static void
test_refusals(void **state)
{
	struct machine *m = *state;
	configure(m, "0000:09:00.0");
	refused(m, -ENODEV, "no PCI device 0000:09:00.0", "NICs here: " NIC);
	configure(m, NIC);
	/* A route, or an address that is not only the link's. */
	tree_put(m->root, "/proc/net/route", "Iface Destination\neth7 0000000A\n");
	refused(m, -EBUSY, NIC " is eth7, which the kernel uses now", "--force");
	assert_int_equal(plan(m, true), 0);
	tree_put(m->root, "/proc/net/route", "Iface Destination\neth70 0000000A\n");
	tree_put(m->root, "/proc/net/if_inet6", "fe800000000000000000000000000001 03 40 20 80     eth7\n");
	assert_int_equal(plan(m, false), 0);
	tree_put(m->root, "/proc/net/if_inet6", "20010db8000000000000000000000001 03 40 00 80     eth7\n");
	refused(m, -EBUSY, "eth7", "ip addr flush dev eth7");
	tree_put(m->root, "/proc/net/if_inet6", "");
	/* A second device in its group. */
	tree_put(m->root, "/sys/bus/pci/devices/0000:03:00.1/class", "0x020000\n");
	tree_point(m->root, "/sys/bus/pci/devices/0000:03:00.1/driver", "../../drivers/ixgbe");
	tree_put(m->root, "/sys/kernel/iommu_groups/17/devices/0000:03:00.1", "");
	refused(m, -EBUSY, "shares its IOMMU group with 0000:03:00.1 (driver ixgbe)", "--bind vfio-pci 0000:03:00.1");
	tree_put(m->root, "/sys/bus/pci/devices/0000:03:00.1/class", "0x060400\n");
	assert_int_equal(plan(m, false), 0);
	/* No IOMMU. */
	tree_drop(m->root, "/sys/kernel/iommu_groups/17/devices/0000:03:00.1");
	tree_drop(m->root, "/sys/kernel/iommu_groups/17/devices");
	tree_drop(m->root, "/sys/kernel/iommu_groups/17/type");
	tree_drop(m->root, "/sys/kernel/iommu_groups/17");
	refused(m, -ENODEV, "no IOMMU", "intel_iommu=on");
	tree_put(m->root, "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n");
	assert_int_equal(plan(m, false), 0);
}

static void
expect_file(const struct machine *m, const char *path, const char *content)
{
	char text[64];
	assert_true(host_read(m->root, text, sizeof(text), "%s", path));
	assert_string_equal(text, content);
}

static void
test_steps(void **state)
{
	struct machine *m = *state;
	struct step pages = {.kind = STEP_WRITE, .target = PAGES(1), .value = "64", .before = "10"};
	struct step owner = {.kind = STEP_OWN, .target = "/dev/vfio/17"};
	tree_put(m->root, "/dev/vfio/17", "");
	snprintf(owner.value, sizeof(owner.value), "%u:%u", getuid(), getgid());
	strcpy(owner.before, owner.value);
	assert_int_equal(step_do(&owner, m->root, m->error, sizeof(m->error)), 0);
	assert_int_equal(step_undo(&owner, m->root, m->error, sizeof(m->error)), 0);
	tree_drop(m->root, "/dev/vfio/17");
	assert_int_equal(step_undo(&owner, m->root, m->error, sizeof(m->error)), 0);
	assert_int_equal(step_do(&owner, m->root, m->error, sizeof(m->error)), -ENOENT);

	assert_int_equal(step_do(&pages, m->root, m->error, sizeof(m->error)), 0);
	expect_file(m, PAGES(1), "64");
	assert_int_equal(step_undo(&pages, m->root, m->error, sizeof(m->error)), 0);
	expect_file(m, PAGES(1), "10");
	assert_int_equal(step_undo(&pages, m->root, m->error, sizeof(m->error)), 0);
	/* The kernel had only some of them: they are ours as well. More than we asked for are somebody's. */
	tree_put(m->root, PAGES(1), "30\n");
	assert_int_equal(step_undo(&pages, m->root, m->error, sizeof(m->error)), 0);
	expect_file(m, PAGES(1), "10");
	tree_put(m->root, PAGES(1), "128\n");
	assert_int_equal(step_undo(&pages, m->root, m->error, sizeof(m->error)), 1);
	assert_non_null(strstr(m->error, "left at 128"));
	expect_file(m, PAGES(1), "128");
}

/* No machine has this module: modprobe, whichever there is, cannot unload it. */
static void
test_module_that_stays(void **state)
{
	struct machine *m = *state;
	struct step load = {.kind = STEP_LOAD, .target = "rookery-none"};
	assert_int_equal(step_undo(&load, m->root, m->error, sizeof(m->error)), 0);
	tree_put(m->root, "/sys/module/rookery_none/refcnt", "2\n");
	assert_int_equal(step_undo(&load, m->root, m->error, sizeof(m->error)), 1);
	assert_non_null(strstr(m->error, "rookery-none stays loaded: it is in use 2 times"));
	tree_put(m->root, "/sys/module/rookery_none/refcnt", "0\n");
	assert_int_equal(step_undo(&load, m->root, m->error, sizeof(m->error)), 1);
	assert_non_null(strstr(m->error, "`modprobe -r rookery-none` fails"));
}

/* A step that was written down and then got stuck, and a device that somebody has taken since. */
static void
test_half_bound(void **state)
{
	struct machine *m = *state;
	struct step bind = {.kind = STEP_BIND, .target = NIC, .value = "vfio-pci", .before = "ixgbe"};
	tree_put(m->root, "/sys/bus/pci/devices/" NIC "/driver_override", "vfio-pci\n");
	assert_int_equal(step_undo(&bind, m->root, m->error, sizeof(m->error)), 0);
	assert_true(host_link(m->root, m->error, sizeof(m->error), "/sys/bus/pci/devices/" NIC "/driver"));
	assert_string_equal(m->error, "ixgbe");
	expect_file(m, "/sys/bus/pci/devices/" NIC "/driver_override", "");
	tree_point(m->root, "/sys/bus/pci/devices/" NIC "/driver", "../../drivers/uio_pci_generic");
	assert_int_equal(step_undo(&bind, m->root, m->error, sizeof(m->error)), 1);
	assert_non_null(strstr(m->error, "left as it is"));
	/* No driver: asks for the old one, which on this machine of files does not come. */
	tree_drop(m->root, "/sys/bus/pci/devices/" NIC "/driver");
	tree_put(m->root, "/sys/bus/pci/drivers_probe", "");
	assert_int_equal(step_undo(&bind, m->root, m->error, sizeof(m->error)), -ENODEV);
	expect_file(m, "/sys/bus/pci/drivers_probe", NIC);
	/* Pulled out. */
	strcpy(bind.target, "0000:77:00.0");
	assert_int_equal(step_undo(&bind, m->root, m->error, sizeof(m->error)), 0);
}

static void
test_record(void **state)
{
	struct machine *m = *state;
	struct steps loaded;
	assert_int_equal(steps_load(&loaded, m->root, m->error, sizeof(m->error)), 0);
	assert_int_equal(loaded.count, 0);
	assert_int_equal(plan(m, false), 0);
	assert_int_equal(steps_save(&m->plan, m->root, m->error, sizeof(m->error)), 0);
	assert_int_equal(steps_load(&loaded, m->root, m->error, sizeof(m->error)), 0);
	assert_int_equal(loaded.count, m->plan.count);
	assert_memory_equal(&loaded, &m->plan, sizeof(loaded));
	loaded.count = 0;
	assert_int_equal(steps_save(&loaded, m->root, m->error, sizeof(m->error)), 0);
	assert_false(host_exists(m->root, HOST_RECORD));
	assert_int_equal(steps_save(&loaded, m->root, m->error, sizeof(m->error)), 0);
	/* Not ours, or cut short. */
	const char *const bad[] = {
		"", "{}", "[1]", "{\"version\": 2, \"steps\": []}", "{\"version\": 1, \"steps\": [{\"kind\": \"bind\"}]}",
		"{\"version\": 1, \"steps\": [{\"kind\": \"eat\", \"target\": \"\", \"value\": \"\", \"before\": \"\", \"interface\": \"\"}]}",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		tree_put(m->root, HOST_RECORD, bad[i]);
		assert_int_equal(steps_load(&loaded, m->root, m->error, sizeof(m->error)), -EINVAL);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_plan, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nothing_to_do, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_refusals, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_steps, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_module_that_stays, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_half_bound, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_record, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
