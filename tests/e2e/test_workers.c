/* SPDX-License-Identifier: BSD-3-Clause */
/* Two workers on the UDP socket port: their special cases, and everything else once more. */
#include "scenario.h"

#include <sys/socket.h>

int
main(void)
{
	static const struct scenario_set sets[] = {
		{{.kind = KIND_SOCKET, .family = AF_INET, .workers = 2}, &scenario_workers},
		{{.kind = KIND_SOCKET, .family = AF_INET, .workers = 2}, &scenario_chat},
		{{.kind = KIND_SOCKET, .family = AF_INET, .workers = 2}, &scenario_roaming},
	};

	return scenarios_run("two workers", sets, sizeof(sets) / sizeof(sets[0]));
}
