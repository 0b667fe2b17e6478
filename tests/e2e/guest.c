/* SPDX-License-Identifier: BSD-3-Clause */
#include "guest.h"

#include "netns.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define BOOT_S 180
#define COMMAND_S 120
#define MARK "@@@ "

/* ---- what the shell says: lines, and "@@@ STATUS" at the end of each command -------------------- */

static void
take_line(struct process *p, char *line)
{
	struct guest *g = p->user;
	size_t len = strcspn(line, "\r");

	line[len] = '\0';
	if (strcmp(line, MARK "up") == 0) {
		g->up = true;
		return;
	}
	if (strncmp(line, MARK, strlen(MARK)) == 0) {
		g->answered = true;
		g->status = atoi(line + strlen(MARK));
		return;
	}
	g->output = realloc(g->output, g->output_len + len + 2);
	if (!g->output)
		abort();
	memcpy(g->output + g->output_len, line, len);
	strcpy(g->output + g->output_len + len, "\n");
	g->output_len += len + 1;
}

static void
make_files(struct world *w)
{
	const char *build = getenv("ROOKERY_BUILD"), *source = getenv("ROOKERY_SOURCE");
	char script[4096];

	if (!source)
		source = ".";
	snprintf(script, sizeof(script), "%s/tests/guest/initramfs.sh", source);
	tool(w, script, build ? build : "build", w->dir);
}

static void
make_tap(struct world *w)
{
	tool(w, "ip", "-n", w->client_ns, "tuntap", "add", "dev", NETNS_CLIENT_IFACE, "mode", "tap", "multi_queue");
	netns_tap_up(w);
}

#define NIC                                                                                                                    \
	"virtio-net-pci,netdev=net,mq=on,rss=on,vectors=10,iommu_platform=on,disable-legacy=on,mac=" GUEST_MAC

/* CPUs, memory and the NIC's slot. pxb-pcie is a PCI host bridge of one node's own. */
static const char *const plain[] = {"-smp", "3", "-device", NIC, NULL};
static const char *const two_nodes[] = {
	"-smp", "4", "-object", "memory-backend-ram,id=m0,size=512M", "-object", "memory-backend-ram,id=m1,size=512M",
	"-numa", "node,nodeid=0,cpus=0-1,memdev=m0", "-numa", "node,nodeid=1,cpus=2-3,memdev=m1", "-numa", "dist,src=0,dst=1,val=21",
	"-device", "pxb-pcie,id=pxb,bus=pcie.0,bus_nr=0x80,numa_node=1", "-device", "pcie-root-port,id=far,bus=pxb,chassis=1,slot=1",
	"-device", NIC ",bus=far", NULL};

static void
start_qemu(struct guest *g, const char *const *machine)
{
	char kernel[160], initramfs[160], console[160];
	const char *argv[64] = {
		"qemu-system-x86_64", "-nodefaults", "-display", "none", "-no-reboot",
		"-accel", "tcg,thread=multi", "-cpu", "max", "-m", "1024",
		"-machine", "q35,kernel-irqchip=split", "-device", "intel-iommu,intremap=on,caching-mode=on",
		"-kernel", kernel, "-initrd", initramfs,
		"-append", "console=ttyS0 quiet panic=-1 no_timer_check intel_iommu=on iommu=pt",
		"-serial", console, "-serial", "stdio",
		"-netdev", "tap,id=net,ifname=" NETNS_CLIENT_IFACE ",script=no,downscript=no,queues=4,vhost=off"};
	size_t n = 0;

	snprintf(kernel, sizeof(kernel), "%s/kernel", g->world->dir);
	snprintf(initramfs, sizeof(initramfs), "%s/initramfs", g->world->dir);
	snprintf(g->console, sizeof(g->console), "%s/console", g->world->dir);
	snprintf(console, sizeof(console), "file:%s", g->console);
	while (argv[n])
		n++;
	while (*machine)
		argv[n++] = *machine++;
	g->qemu = process_start(g->world, &(struct process_options){
		.name = "guest", .argv = argv, .netns = g->world->client_ns, .as_root = true, .line = take_line, .user = g});
}

struct guest *
guest_boot(struct world *w, enum guest_machine machine)
{
	struct guest *g = calloc(1, sizeof(*g));
	uint64_t deadline = deadline_in(BOOT_S);

	if (!g)
		abort();
	g->world = w;
	make_files(w);
	make_tap(w);
	start_qemu(g, machine == GUEST_TWO_NODES ? two_nodes : plain);
	while (!g->up) {
		if (g->qemu->exited || !world_pump(w, deadline))
			world_fail(w, "the guest does not come up; see its stderr, and the kernel's messages: %s", file_text(g->console));
	}
	return g;
}

/* ---- commands ------------------------------------------------------------------------------------ */

static int
run(struct guest *g, const char *command)
{
	uint64_t deadline = deadline_in(COMMAND_S);

	free(g->output);
	g->output = strdup("");
	g->output_len = 0;
	g->answered = false;
	process_write(g->qemu, command);
	process_write(g->qemu, "\n");
	while (!g->answered) {
		if (g->qemu->exited)
			world_fail(g->world, "the guest ended during `%s`: %s", command, file_text(g->console));
		if (!world_pump(g->world, deadline))
			world_fail(g->world, "the guest does not answer to `%s`", command);
	}
	return g->status;
}

int
guest_run(struct guest *g, char **out, const char *format, ...)
{
	char command[2048];
	va_list ap;
	int status;

	va_start(ap, format);
	vsnprintf(command, sizeof(command), format, ap);
	va_end(ap);
	status = run(g, command);
	if (out)
		*out = strdup(g->output);
	return status;
}

void
guest_expect(struct guest *g, int status, const char *command, ...)
{
	const char *text;
	va_list ap;

	if (run(g, command) != status)
		world_fail(g->world, "`%s` ends with %d, not %d:\n%s", command, g->status, status, g->output);
	va_start(ap, command);
	while ((text = va_arg(ap, const char *)))
		if (!strstr(g->output, text))
			world_fail(g->world, "`%s` does not say \"%s\":\n%s", command, text, g->output);
	va_end(ap);
}

void
guest_wait(struct guest *g, unsigned seconds, const char *command)
{
	uint64_t deadline = deadline_in(seconds);

	while (run(g, command) != 0) {
		char *last = strdup(g->output);

		if (now_ms() > deadline) {
			run(g, "tail -n 30 /tmp/server.log");
			world_fail(g->world, "`%s` still fails after %u s: %s\nthe server's log:\n%s", command, seconds, last, g->output);
		}
		free(last);
		run(g, "sleep 0.5");
	}
}

void
guest_power_off(struct guest *g)
{
	process_write(g->qemu, "poweroff\n");
	world_check(g->world, process_wait(g->qemu, COMMAND_S) == 0);
	free(g->output);
	free(g);
}
