/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A machine with a real PCI NIC, in software: QEMU with Debian's kernel and this build's programs (tests/guest/initramfs.sh). The NIC is
 * a virtio-net with four queues and RSS behind an emulated Intel IOMMU; its other end is the TAP device NETNS_CLIENT_IFACE, in the
 * namespace of the clients. For a world of KIND_TAP.
 */
#ifndef ROOKERY_TESTS_E2E_GUEST_H
#define ROOKERY_TESTS_E2E_GUEST_H

#include "world.h"

#define GUEST_NIC "0000:00:01.0"
#define GUEST_MAC "52:54:00:12:34:56"

enum guest_machine {
	GUEST_PLAIN,	/* 3 CPUs, the NIC at GUEST_NIC */
	GUEST_TWO_NODES /* CPUs 0 and 1 on NUMA node 0, 2 and 3 on node 1, as the NIC at GUEST_FAR_NIC */
};
#define GUEST_FAR_NIC "0000:81:00.0"

struct guest {
	struct world *world;
	struct process *qemu;
	char console[128]; /* the kernel's messages */
	bool up;
	bool answered;
	int status;
	char *output; /* of the command that runs */
	size_t output_len;
};

/* Boots it; returns when its shell takes commands. */
struct guest *guest_boot(struct world *w, enum guest_machine machine);
/* Runs one line in the guest's shell and returns its exit status; *out (may be NULL) is what it printed, for the caller to free. */
int guest_run(struct guest *g, char **out, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The same; fails the test unless it exits with `status` and has printed each of these, which end with NULL. */
void guest_expect(struct guest *g, int status, const char *command, ...) __attribute__((sentinel));
/* Runs it every now and then until it exits with 0. */
void guest_wait(struct guest *g, unsigned seconds, const char *command);
void guest_power_off(struct guest *g);

#endif
