/* SPDX-License-Identifier: BSD-3-Clause */
/* Why EAL or a device did not start, on a machine made of files: only what is proved is said. */
#include "dataplane/machine.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "tests/unit/file_tree.h"

#define NIC "0000:03:00.0"
#define PAGES(size, which) "/sys/kernel/mm/hugepages/hugepages-" size "kB/" which "_hugepages"

struct machine {
	char root[32];
	struct config *config;
	char why[256];
};

static int
set_up(void **state)
{
	struct machine *m = calloc(1, sizeof(*m));
	char error[256];

	tree_make(m->root, "test_machine");
	assert_int_equal(config_load(&m->config, NULL, "/tmp", error, sizeof(error)), 0);
	m->config->dataplane.hugepages = true;
	tree_put(m->root, "/sys/module/vfio/refcnt", "0\n");
	tree_put(m->root, "/sys/devices/system/cpu/online", "0\n");
	tree_put(m->root, PAGES("2048", "nr"), "512\n");
	tree_put(m->root, PAGES("2048", "free"), "512\n");
	tree_put(m->root, PAGES("2048", "resv"), "0\n");
	tree_put(m->root, PAGES("1048576", "nr"), "0\n");
	tree_put(m->root, PAGES("1048576", "free"), "0\n");
	tree_put(m->root, PAGES("1048576", "resv"), "0\n");
	tree_put_nic(m->root, NIC, "vfio-pci");
	tree_put(m->root, "/dev/vfio/17", "");
	*state = m;
	return 0;
}

static int
tear_down(void **state)
{
	struct machine *m = *state;

	config_free(m->config);
	tree_remove(m->root);
	free(m);
	return 0;
}

static void
eal(struct machine *m, int rc, const char *cause, const char *mend)
{
	assert_true(machine_eal_cause(m->root, m->config, rc, m->why, sizeof(m->why)));
	if (strstr(m->why, cause) == NULL || strstr(m->why, mend) == NULL)
		fail_msg("%s", m->why);
}

static void
unknown(struct machine *m, int rc)
{
	if (machine_eal_cause(m->root, m->config, rc, m->why, sizeof(m->why)))
		fail_msg("%d: %s", rc, m->why);
}

static void
device(struct machine *m, const char *name, const char *cause, const char *mend)
{
	assert_true(machine_device_cause(m->root, name, m->why, sizeof(m->why)));
	if (strstr(m->why, cause) == NULL || strstr(m->why, mend) == NULL)
		fail_msg("%s", m->why);
}

/* A machine that has everything explains nothing. */
static void
test_unknown(void **state)
{
	struct machine *m = *state;

	for (int rc = -1; rc > -134; rc--)
		unknown(m, rc);
	m->config->dataplane.hugepages = false;
	for (int rc = -1; rc > -134; rc--)
		unknown(m, rc);
}

static void
test_hugepages(void **state)
{
	struct machine *m = *state;

	/* Those that are promised to somebody are not to be had either. */
	tree_put(m->root, PAGES("2048", "free"), "8\n");
	tree_put(m->root, PAGES("2048", "resv"), "8\n");
	eal(m, -EACCES, "all hugepages (1024 MiB) are in use", "end the other server");
	tree_put(m->root, PAGES("1048576", "nr"), "2\n");
	eal(m, -EACCES, "all hugepages (3072 MiB) are in use", "end the other server");
	tree_put(m->root, PAGES("1048576", "free"), "1\n");
	unknown(m, -EACCES);
	tree_put(m->root, PAGES("1048576", "nr"), "0\n");
	tree_put(m->root, PAGES("2048", "nr"), "0\n");
	eal(m, -EACCES, "no hugepages are reserved", "rookctl host init");
	m->config->dataplane.hugepages = false;
	unknown(m, -EACCES);
}

static void
test_sysfs(void **state)
{
	struct machine *m = *state;

	tree_drop(m->root, "/sys/module/vfio/refcnt");
	tree_drop(m->root, "/sys/module/vfio");
	unknown(m, -EAGAIN);
	tree_drop(m->root, "/sys/module");
	eal(m, -EAGAIN, "/sys is not mounted", "mount -t sysfs");
	unknown(m, -EINVAL);
	tree_drop(m->root, "/sys/devices/system/cpu/online");
	tree_drop(m->root, "/sys/devices/system/cpu");
	eal(m, -EINVAL, "/sys is not mounted", "mount -t sysfs");
	tree_remove(m->root);
	eal(m, -EACCES, "no /sys/kernel/mm/hugepages", "dataplane.hugepages: false");
}

/* More than any machine has. */
static void
test_memory(void **state)
{
	struct machine *m = *state;

	m->config->dataplane.hugepages = false;
	m->config->dataplane.memory_mb = UINT32_MAX;
	eal(m, -ENOMEM, "4294967295 MiB are wanted, and the machine has ", "lower it");
	m->config->dataplane.memory_mb = 0;
	m->config->dataplane.hugepages = true;
	unknown(m, -ENOMEM);
}

/* In a process of its own: no memory can be had after this. */
static void
test_address_space(void **state)
{
	struct machine *m = *state;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		/* What runs stays, whatever that is: sanitizers take terabytes. */
		struct rlimit limit = {.rlim_cur = 1 << 20, .rlim_max = RLIM_INFINITY};
		bool said = setrlimit(RLIMIT_AS, &limit) == 0 && machine_eal_cause(m->root, m->config, -ENOMEM, m->why, sizeof(m->why));

		_exit(said && strstr(m->why, "limited to 1 MiB") != NULL && strstr(m->why, "ulimit -v unlimited") != NULL ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void
test_device(void **state)
{
	struct machine *m = *state;

	device(m, "0000:04:00.0,key=1", "there is no PCI device 0000:04:00.0", "correct dataplane.ports.devices");
	device(m, "04:00.1", "there is no PCI device 0000:04:00.1", "rookctl host check");
	assert_false(machine_device_cause(m->root, NIC, m->why, sizeof(m->why)));
	assert_false(machine_device_cause(m->root, "net_tap0,iface=rk0", m->why, sizeof(m->why)));
	assert_false(machine_device_cause("/nonexistent", NIC, m->why, sizeof(m->why)));
	tree_point(m->root, "/sys/bus/pci/devices/" NIC "/driver", "../../../bus/pci/drivers/ixgbe");
	device(m, "03:00.0", "the kernel's driver ixgbe", "rookctl host init");
	tree_point(m->root, "/sys/bus/pci/devices/" NIC "/driver", "../../../bus/pci/drivers/mlx5_core");
	assert_false(machine_device_cause(m->root, NIC, m->why, sizeof(m->why)));
	tree_drop(m->root, "/sys/bus/pci/devices/" NIC "/driver");
	device(m, NIC, "it has no driver", "rookctl host init");
}

/* The group is a file that nobody may write to, not even root. */
static void
test_device_rights(void **state)
{
	struct machine *m = *state;

	tree_point(m->root, "/dev/vfio/17", "/proc/sys/kernel/random/boot_id");
	device(m, NIC, "/dev/vfio/17 may not be opened by user ", "start as root");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_unknown), TEST(test_hugepages), TEST(test_sysfs), TEST(test_memory), TEST(test_address_space), TEST(test_device),
		TEST(test_device_rights),
	};

	return cmocka_run_group_tests_name("machine", tests, NULL, NULL);
}
