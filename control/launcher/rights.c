/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/launcher/rights.h"

#include "shared/privilege.h"
#include "shared/sandbox.h"

#include <linux/capability.h>

#define CAP(name) (UINT64_C(1) << CAP_##name)

/* To become the account, files in directories of several owners, low ports, memory that is not swapped, and to end the processes. */
#define RIGHTS_ALWAYS \
	(CAP(SETUID) | CAP(SETGID) | CAP(CHOWN) | CAP(FOWNER) | CAP(DAC_OVERRIDE) | CAP(DAC_READ_SEARCH) | CAP(KILL) | \
	 CAP(NET_BIND_SERVICE) | CAP(IPC_LOCK) | CAP(SYS_RESOURCE) | CAP(SYS_NICE))
/* Interfaces, raw sockets, XDP programs, registers, physical addresses. */
#define RIGHTS_DEVICES \
	(CAP(NET_ADMIN) | CAP(NET_RAW) | CAP(SYS_ADMIN) | CAP(SYS_RAWIO) | CAP(BPF) | CAP(PERFMON))

int
rights_limit(const struct config *c, char *error, size_t cap)
{
	bool devices = c->dataplane.hugepages;
	int rc;

	for (unsigned i = 0; i < c->dataplane.ports_count; i++)
		devices = devices || c->dataplane.ports[i].type == PORT_ETHDEV;
	rc = privilege_limit(devices ? RIGHTS_ALWAYS | RIGHTS_DEVICES : RIGHTS_ALWAYS, error, cap);
	if (rc == 0)
		rc = sandbox_enter(SANDBOX_LAUNCHER, devices ? SANDBOX_DEVICE : 0, c->security.sandbox, error, cap);
	return rc;
}
