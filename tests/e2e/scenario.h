/* SPDX-License-Identifier: BSD-3-Clause */
/* What people do with Rookery, as tests that run over each kind of port and both IP versions. */
#ifndef ROOKERY_TESTS_E2E_SCENARIO_H
#define ROOKERY_TESTS_E2E_SCENARIO_H

#include "world.h"

/* A test function for cmocka; *state is a struct world * whose server is not started yet. */
struct scenario {
	const char *name;
	void (*run)(void **state);
};

struct scenario_list {
	const struct scenario *scenarios;
	unsigned count;
};

extern const struct scenario_list scenario_chat;    /* the main job */
extern const struct scenario_list scenario_smoke;   /* three of them */
extern const struct scenario_list scenario_roaming; /* a client's address changes */
extern const struct scenario_list scenario_workers; /* place.workers of at least 2 */
extern const struct scenario_list scenario_kill;    /* processes die */
extern const struct scenario_list scenario_link;    /* ethdev ports: the dataplane owns the link */

/* These scenarios at that place. */
struct scenario_set {
	struct place place;
	const struct scenario_list *list;
};

/* Runs all sets as one group of tests, named "PLACE: SCENARIO"; ROOKERY_E2E_ONLY (a part of a name) chooses. Returns the
 * exit code of main. */
int scenarios_run(const char *group, const struct scenario_set *sets, unsigned count);

#endif
