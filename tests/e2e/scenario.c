/* SPDX-License-Identifier: BSD-3-Clause */
#include "scenario.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#define NAME_CAP 128

static const char *const kind_names[] = {
	[KIND_SOCKET] = "socket",
	[KIND_DEFAULT] = "embedded default",
	[KIND_AF_PACKET] = "AF_PACKET",
	[KIND_AF_XDP] = "AF_XDP",
	[KIND_TAP] = "TAP",
};

static void
name_test(char *buf, const struct place *p, const struct scenario *s)
{
	char workers[32] = "";

	if (p->workers > 1)
		snprintf(workers, sizeof(workers), ", %u workers", p->workers);
	snprintf(buf, NAME_CAP, "%s, IPv%d%s%s: %s", kind_names[p->kind], p->family == AF_INET6 ? 6 : 4, workers,
		 p->checksum_offload ? ", checksum offload" : "", s->name);
}

int
scenarios_run(const char *group, const struct scenario_set *sets, unsigned count)
{
	const char *only = getenv("ROOKERY_E2E_ONLY");
	struct CMUnitTest *tests;
	char (*names)[NAME_CAP];
	unsigned total = 0, n = 0;
	int failed;

	for (unsigned i = 0; i < count; i++)
		total += sets[i].list->count;
	tests = calloc(total, sizeof(*tests));
	names = calloc(total, sizeof(*names));
	if (!tests || !names)
		abort();
	for (unsigned i = 0; i < count; i++) {
		for (unsigned s = 0; s < sets[i].list->count; s++) {
			const struct scenario *scenario = &sets[i].list->scenarios[s];

			name_test(names[n], &sets[i].place, scenario);
			if (only && !strstr(names[n], only))
				continue;
			tests[n] = (struct CMUnitTest){.name = names[n],
						       .test_func = scenario->run,
						       .setup_func = world_setup,
						       .teardown_func = world_teardown,
						       .initial_state = (void *)(uintptr_t)&sets[i].place};
			n++;
		}
	}
	failed = _cmocka_run_group_tests(group, tests, n, NULL, NULL);
	free(tests);
	free(names);
	return failed;
}
