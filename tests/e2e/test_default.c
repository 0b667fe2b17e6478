/* SPDX-License-Identifier: BSD-3-Clause */
/* `rookery run` with nothing but a state directory, as a user without rights. Needs root only for a namespace in which
 * port 8000 is free. */
#include "scenario.h"

#include <sys/socket.h>

int
main(void)
{
	static const struct scenario_set sets[] = {
		{{.kind = KIND_DEFAULT, .family = AF_INET}, &scenario_smoke},
	};

	if (skip_without_root())
		return 0;
	return scenarios_run("embedded default", sets, sizeof(sets) / sizeof(sets[0]));
}
