/* SPDX-License-Identifier: BSD-3-Clause */
/* AF_XDP over veth, clients in the peer's namespace. Needs root. */
#include "scenario.h"

#include <sys/socket.h>

int
main(void)
{
	static const struct scenario_set sets[] = {
		{{.kind = KIND_AF_XDP, .family = AF_INET, .checksum_offload = true}, &scenario_link},
		{{.kind = KIND_AF_XDP, .family = AF_INET, .checksum_offload = true}, &scenario_chat},
		{{.kind = KIND_AF_XDP, .family = AF_INET, .checksum_offload = true}, &scenario_roaming},
		{{.kind = KIND_AF_XDP, .family = AF_INET6}, &scenario_link},
		{{.kind = KIND_AF_XDP, .family = AF_INET6}, &scenario_chat},
		{{.kind = KIND_AF_XDP, .family = AF_INET6}, &scenario_roaming},
		{{.kind = KIND_AF_XDP, .family = AF_INET, .workers = 2}, &scenario_workers},
		{{.kind = KIND_AF_XDP, .family = AF_INET, .workers = 2}, &scenario_chat},
		{{.kind = KIND_AF_XDP, .family = AF_INET, .workers = 2}, &scenario_kill},
	};

	if (skip_without_root())
		return 0;
	return scenarios_run("AF_XDP", sets, sizeof(sets) / sizeof(sets[0]));
}
