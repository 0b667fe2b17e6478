/* SPDX-License-Identifier: BSD-3-Clause */
#include "dataplane/privileges.h"

#include "shared/log.h"
#include "shared/privilege.h"
#include "shared/program.h"
#include "shared/sandbox.h"

#include <inttypes.h>
#include <linux/capability.h>
#include <string.h>

#define CAP(name) (UINT64_C(1) << CAP_##name)

/* Beginnings of device strings, and what closing such a device takes; sending and receiving takes nothing: sockets, rings
 * and registers are open and mapped. A NIC by its PCI address closes through descriptors alone. */
static const struct {
	const char *device;
	uint64_t capabilities;
	unsigned calls;
} device_needs[] = {
	{"net_af_packet", 0, SANDBOX_DEVICE},
	{"net_af_xdp", CAP(NET_ADMIN), SANDBOX_DEVICE | SANDBOX_BPF}, /* detaches its program from the interface */
	{"net_tap", CAP(NET_ADMIN), SANDBOX_DEVICE},                  /* sets the interface down */
	{"", 0, SANDBOX_DEVICE},
};

static void
device_add(const char *device, uint64_t *capabilities, unsigned *calls)
{
	size_t i = 0;

	while (strncmp(device, device_needs[i].device, strlen(device_needs[i].device)) != 0)
		i++;
	*capabilities |= device_needs[i].capabilities;
	*calls |= device_needs[i].calls;
}

int
privileges_drop(const struct config *c, const struct account *account, char *error, size_t cap)
{
	uint64_t capabilities = 0;
	uint64_t left;
	unsigned calls = 0, i, k;
	int rc;

	for (i = 0; i < c->dataplane.ports_count; i++)
		for (k = 0; c->dataplane.ports[i].type == PORT_ETHDEV && k < c->dataplane.ports[i].devices_count; k++)
			device_add(c->dataplane.ports[i].devices[k], &capabilities, &calls);
	/* Root that stays root cleans up in directories that may be somebody else's. */
	if (!account->change)
		capabilities |= CAP(DAC_OVERRIDE);
	rc = privilege_drop(account, capabilities, error, cap);
	left = privilege_effective();
	/* Only now: EAL reads /proc/self, which this takes away from a process without root. */
	if (rc == 0)
		program_hide_memory();
	if (rc == 0)
		rc = sandbox_enter(SANDBOX_DATAPLANE, calls, c->security.sandbox, error, cap);
	if (rc == 0)
		log_info(dataplane, "privileges given up", "user=%lu capabilities=%" PRIx64, (unsigned long)account->uid,
			 left);
	return rc;
}
