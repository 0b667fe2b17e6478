/* SPDX-License-Identifier: BSD-3-Clause */
/* What supervisor.c and restart.c share. */
#ifndef ROOKERY_CONTROL_LAUNCHER_SUPERVISOR_STATE_H
#define ROOKERY_CONTROL_LAUNCHER_SUPERVISOR_STATE_H

#include "control/launcher/child.h"
#include "control/launcher/probe.h"
#include "control/launcher/restart.h"
#include "control/launcher/supervisor.h"
#include "control/launcher/watch.h"

struct supervisor;

struct child {
	struct supervisor *supervisor;
	enum supervised which;
	pid_t pid; /* 0: not running */
	uint64_t started_ms;
	struct restart_pace pace;
	unsigned deaths; /* by signals, before the first time ready */
	uv_timer_t restart;
};

struct supervisor {
	const struct supervisor_options *options;
	uv_loop_t loop;
	struct child children[SUPERVISED_COUNT];
	struct probe probe;
	struct restart restart;
	struct watch watch;
	struct admin *admin; /* NULL: `rookctl restart` does not work */
	uv_signal_t on_child, on_int, on_term, on_hup;
	uv_timer_t patience; /* until ready */
	uv_timer_t kill;     /* while stopping */
	bool ready;
	bool stopping;
	int result;
};

/* Is control ready, and are both processes those that run now? */
bool supervisor_is_ready(const struct supervisor *s, const json_t *status);

#endif
