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

struct guest *
guest_boot(struct world *w)
{
	struct guest *g = calloc(1, sizeof(*g));
	uint64_t deadline = deadline_in(BOOT_S);
	char kernel[160], initramfs[160], console[160];

	if (!g)
		abort();
	g->world = w;
	make_files(w);
	make_tap(w);
	snprintf(kernel, sizeof(kernel), "%s/kernel", w->dir);
	snprintf(initramfs, sizeof(initramfs), "%s/initramfs", w->dir);
	snprintf(g->console, sizeof(g->console), "%s/console", w->dir);
	snprintf(console, sizeof(console), "file:%s", g->console);
	const char *argv[] = {
		"qemu-system-x86_64", "-nodefaults", "-display", "none", "-no-reboot",
		"-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "3", "-m", "1024",
		"-machine", "q35,kernel-irqchip=split", "-device", "intel-iommu,intremap=on,caching-mode=on",
		"-kernel", kernel, "-initrd", initramfs,
		"-append", "console=ttyS0 quiet panic=-1 no_timer_check intel_iommu=on iommu=pt",
		"-serial", console, "-serial", "stdio",
		"-netdev", "tap,id=net,ifname=" NETNS_CLIENT_IFACE ",script=no,downscript=no,queues=4,vhost=off",
		"-device", "virtio-net-pci,netdev=net,mq=on,rss=on,vectors=10,iommu_platform=on,disable-legacy=on,mac=" GUEST_MAC,
		NULL};
	g->qemu = process_start(w, &(struct process_options){
		.name = "guest", .argv = argv, .netns = w->client_ns, .as_root = true, .line = take_line, .user = g});
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
