/* SPDX-License-Identifier: BSD-3-Clause */
/* The embedded default's kind of port: a UDP socket, without any right. */
#include "scenario.h"

#include <sys/socket.h>

int
main(void)
{
	static const struct scenario_set sets[] = {
		{{.kind = KIND_SOCKET, .family = AF_INET}, &scenario_chat},
		{{.kind = KIND_SOCKET, .family = AF_INET}, &scenario_roaming},
		{{.kind = KIND_SOCKET, .family = AF_INET6}, &scenario_chat},
		{{.kind = KIND_SOCKET, .family = AF_INET6}, &scenario_roaming},
	};

	return scenarios_run("socket", sets, sizeof(sets) / sizeof(sets[0]));
}
