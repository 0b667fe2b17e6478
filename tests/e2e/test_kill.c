/* SPDX-License-Identifier: BSD-3-Clause */
/* Processes killed for real, on the UDP socket port. */
#include "scenario.h"

#include <sys/socket.h>

int
main(void)
{
	static const struct scenario_set sets[] = {
		{{.kind = KIND_SOCKET, .family = AF_INET}, &scenario_kill},
		{{.kind = KIND_SOCKET, .family = AF_INET6, .workers = 2}, &scenario_kill},
	};

	return scenarios_run("kill", sets, sizeof(sets) / sizeof(sets[0]));
}
