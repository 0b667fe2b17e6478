/* SPDX-License-Identifier: BSD-3-Clause */
/* A TAP port, clients at the kernel's end of it. Needs root. */
#include "scenario.h"

#include <sys/socket.h>

int
main(void)
{
	static const struct scenario_set sets[] = {
		{{.kind = KIND_TAP, .family = AF_INET}, &scenario_smoke},
		{{.kind = KIND_TAP, .family = AF_INET6}, &scenario_smoke},
		{{.kind = KIND_TAP, .family = AF_INET}, &scenario_link},
		{{.kind = KIND_TAP, .family = AF_INET}, &scenario_roaming},
	};

	if (skip_without_root())
		return 0;
	return scenarios_run("TAP", sets, sizeof(sets) / sizeof(sets[0]));
}
