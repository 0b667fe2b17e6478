/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Faults that operators meet, planted one at a time: the start that they hinder says what is wrong, and `rookctl` names the cause and the
 * mend. A NIC of this machine is not touched: for hugepages and drivers `host check` looks at files as /sys would have them;
 * test_guest.c has the real thing.
 */
#include "scenario.h"
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define NIC "0000:03:00.0"
#define DAY 86400

static void
write_file(struct world *w, const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	if (!f || fputs(text, f) == EOF || fclose(f) != 0)
		world_fail(w, "%s: %s", path, strerror(errno));
}

/* A configuration with these lines below `dataplane:`, beside those that keep it small. */
static const char *
config_with(struct world *w, const char *lines)
{
	static char path[160];
	char text[1024];

	snprintf(path, sizeof(path), "%s/fault.yaml", w->dir);
	snprintf(text, sizeof(text),
		 "dataplane:\n  memory_mb: 256\n  sessions: 1024\n  messages: 1024\n  users: 1024\n  conversations: 1024\n%s", lines);
	write_file(w, path, text);
	return path;
}

static int
run(struct world *w, const char *const *argv, bool as_root, char **text)
{
	char path[160], *err;
	int status;

	snprintf(path, sizeof(path), "%s/once.stderr", w->dir);
	unlink(path);
	status = process_run(w, &(struct process_options){.name = "once", .argv = argv, .as_root = as_root}, text);
	err = file_text(path);
	*text = realloc(*text, strlen(*text) + strlen(err) + 1);
	strcat(*text, err);
	free(err);
	return status;
}

/* It must fail, and say both. */
static void
names(struct world *w, const char *const *argv, const char *cause, const char *mend)
{
	char *text;
	int status = run(w, argv, false, &text);

	if (status == 0 || !strstr(text, cause) || !strstr(text, mend))
		world_fail(w, "%s exits with %d and does not say both \"%s\" and \"%s\":\n%s", argv[0], status, cause, mend, text);
	free(text);
}

static const char *
state_of(struct world *w)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/state", w->dir);
	return path;
}

static void
doctor_names(struct world *w, const char *config, const char *cause, const char *mend)
{
	names(w, (const char *const[]){"rookctl", "--config", config, "--state", state_of(w), "doctor", NULL}, cause, mend);
}

static void
start_names(struct world *w, const char *config, const char *cause, const char *mend)
{
	names(w, (const char *const[]){"rookery", "run", "--config", config, "--state", state_of(w), NULL}, cause, mend);
}

/* A server that ran here has left its database and key. Returns its configuration. */
static const char *
after_a_run(struct world *w)
{
	server_start(w);
	server_finish(w);
	return w->server->config_path;
}

/* ---- the machine ---------------------------------------------------------------------------- */

/* What /sys says of a machine with a NIC on node 0. */
static void
make_machine(struct world *w, char root[128], const char *pages, const char *driver)
{
	char path[512], *at;
	const char *const files[][2] = {
		{"/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages", pages},
		{"/sys/bus/pci/devices/" NIC "/class", "0x020000\n"},
		{"/sys/bus/pci/devices/" NIC "/net/eth3/mtu", "1500\n"},
		{"/sys/class/net/eth3/queues/rx-0/here", ""},
		{"/sys/class/net/eth3/queues/rx-1/here", ""},
		{"/sys/kernel/iommu_groups/7/type", "DMA\n"},
	};

	snprintf(root, 128, "%s/machine", w->dir);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", root, files[i][0]);
		for (at = strchr(path + strlen(w->dir) + 1, '/'); at; at = strchr(at + 1, '/')) {
			*at = '\0';
			mkdir(path, 0755);
			*at = '/';
		}
		write_file(w, path, files[i][1]);
	}
	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/" NIC "/driver", root);
	world_check(w, symlink(driver, path) == 0);
}

static void
host_check_names(struct world *w, const char *config, const char *root, const char *cause, const char *mend)
{
	names(w, (const char *const[]){"rookctl", "--config", config, "host", "check", "--root", root, NULL}, cause, mend);
}

#define ON_NIC(address)                                                                                                          \
	"  workers: 2\n  hugepages: true\n  ports: [{type: ethdev, devices: [\"" address "\"], addresses: [10.99.0.1/24]}]\n"

static bool
machine_has_hugepages(void)
{
	char *text = file_text("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
	bool has = text && atol(text) > 0;

	free(text);
	return has;
}

static void
no_hugepages(void **state)
{
	struct world *w = *state;
	const char *config = config_with(w, "  hugepages: true\n");
	char root[128];

	make_machine(w, root, "0\n", "../drivers/ixgbe");
	host_check_names(w, config, root, "node 0: 0 MiB reserved", "rookctl host init, or: echo ");
	if (machine_has_hugepages())
		return;
	start_names(w, config, "EAL did not start: no hugepages are reserved", "rookctl host init");
}

static void
wrong_pci_address(void **state)
{
	struct world *w = *state;
	const char *config = config_with(w, "  ports: [{type: ethdev, devices: [\"ffff:ff:1f.7\"], addresses: [10.99.0.1/24]}]\n");
	char root[128];

	doctor_names(w, config, "there is no PCI device ffff:ff:1f.7", "correct dataplane.ports.devices; NICs here: ");
	start_names(w, config, "device ffff:ff:1f.7 cannot be opened: there is no PCI device ffff:ff:1f.7", "correct dataplane.ports.devices");
	make_machine(w, root, "512\n", "../drivers/ixgbe");
	host_check_names(w, config, root, "there is no PCI device ffff:ff:1f.7", "NICs here: " NIC);
}

static void
port_of_the_kernel(void **state)
{
	struct world *w = *state;
	char root[128];

	make_machine(w, root, "512\n", "../drivers/ixgbe");
	host_check_names(w, config_with(w, ON_NIC(NIC)), root, NIC " is bound to ixgbe as eth3",
			 "rookctl host init, or: dpdk-devbind.py --bind vfio-pci " NIC);
}

static void
one_queue(void **state)
{
	struct world *w = *state;
	const char *config = config_with(w, "  workers: 2\n  ports: [{type: ethdev, devices: [\"net_af_packet0,iface=lo\"], "
					    "addresses: [10.99.0.1/24]}]\n");
	char root[128], path[512], *text;

	doctor_names(w, config, "net_af_packet0,iface=lo has 1 for 2 workers", "add qpairs=2 to the device, or set dataplane.workers to 1");
	if (have_root()) {
		const char *argv[] = {"rookery", "run", "--config", config, "--state", state_of(w), NULL};

		world_check(w, run(w, argv, true, &text) != 0);
		if (!strstr(text, "has 1 queues, dataplane.workers is 2") || !strstr(text, "fewer workers"))
			world_fail(w, "the start does not name the queues: %s", text);
		free(text);
	}
	make_machine(w, root, "512\n", "../drivers/ixgbe");
	snprintf(path, sizeof(path), "%s/sys/class/net/eth3/queues/rx-1/here", root);
	unlink(path);
	*strrchr(path, '/') = '\0';
	world_check(w, rmdir(path) == 0);
	host_check_names(w, config_with(w, ON_NIC(NIC)), root, NIC " has 1 for 2 workers", "set dataplane.workers to 1");
}

/* ---- the server's files ---------------------------------------------------------------------- */

static void
database_read_only(void **state)
{
	struct world *w = *state;
	const char *config = after_a_run(w);
	char path[160], mend[192];

	snprintf(path, sizeof(path), "%s/rookery.db", state_of(w));
	snprintf(mend, sizeof(mend), "chmod u+w %s", path);
	world_check(w, chmod(path, 0400) == 0);
	doctor_names(w, config, "rookery.db cannot be written to", mend);
	start_names(w, config, "rookery.db", "writable for the server's user");
	/* Mended as told. */
	world_check(w, chmod(path, 0600) == 0);
	server_start(w);
	server_finish(w);
}

static void
disk_full(void **state)
{
	struct world *w = *state;
	char path[160], block[4096] = {0};
	int fd;

	if (!have_root())
		skip();
	world_check(w, mount("none", state_of(w), "tmpfs", 0, "size=8m,mode=0700,uid=65534,gid=65534") == 0);
	snprintf(path, sizeof(path), "%s/filler", state_of(w));
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	world_check(w, fd >= 0);
	while (write(fd, block, sizeof(block)) > 0)
		;
	close(fd);
	doctor_names(w, config_with(w, ""), "0 MiB free at ", "make room on it, or move state_dir to a larger one");
	start_names(w, config_with(w, ""), "No space left on device", "");
}

static void
wrong_key(void **state)
{
	struct world *w = *state;
	const char *config = config_with(w, "  worker: 2\n");

	doctor_names(w, config, "fault.yaml:7: unknown key \"worker\" in dataplane", "did you mean \"workers\"?");
	start_names(w, config, "fault.yaml:7: unknown key \"worker\" in dataplane", "did you mean \"workers\"?");
	names(w, (const char *const[]){"rookctl", "config", "check", config, NULL}, "fault.yaml:7: unknown key \"worker\"",
	      "did you mean \"workers\"?");
}

static void
secret_readable(void **state)
{
	struct world *w = *state;
	const char *config = after_a_run(w);
	char path[160], mend[192];

	snprintf(path, sizeof(path), "%s/server.key", state_of(w));
	snprintf(mend, sizeof(mend), "chmod 600 %s", path);
	world_check(w, chmod(path, 0644) == 0);
	doctor_names(w, config, "server.key is open to others (mode 0644)", mend);
	start_names(w, config, "others may read the server key", "chmod 600");
	world_check(w, chmod(path, 0600) == 0);
	server_start(w);
	server_finish(w);
}

/* The clock of this machine stays as it is: a database from tomorrow is what a clock that was set back by a day leaves. */
static void
clock_jump(void **state)
{
	struct world *w = *state;
	const char *config = after_a_run(w);
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = time(NULL) + DAY}};
	char path[160];

	snprintf(path, sizeof(path), "%s/rookery.db", state_of(w));
	world_check(w, utimensat(AT_FDCWD, path, times, 0) == 0);
	doctor_names(w, config, "s in the future: the clock went back", "set the clock right (chrony, systemd-timesyncd)");
}

int
main(void)
{
	static const struct scenario scenarios[] = {
		{"no hugepages", no_hugepages},
		{"wrong PCI address", wrong_pci_address},
		{"port bound by the kernel", port_of_the_kernel},
		{"one queue for two workers", one_queue},
		{"database read-only", database_read_only},
		{"disk full", disk_full},
		{"wrong key", wrong_key},
		{"secret readable by others", secret_readable},
		{"clock jump", clock_jump},
	};
	static const struct scenario_list list = {scenarios, sizeof(scenarios) / sizeof(scenarios[0])};
	static const struct scenario_set set = {{.kind = KIND_SOCKET, .family = AF_INET}, &list};

	return scenarios_run("faults", &set, 1);
}
