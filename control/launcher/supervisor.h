/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs rookery-dataplane and rookery-control until told to stop: starts, restarts, announces, ends them in
 * order. */
#ifndef ROOKERY_CONTROL_LAUNCHER_SUPERVISOR_H
#define ROOKERY_CONTROL_LAUNCHER_SUPERVISOR_H

#include <jansson.h>
#include <sys/types.h>
#include <uv.h>

/* In the order of starting; they are stopped in the opposite order, so that control can still send through
 * the dataplane while it closes. */
enum supervised { SUPERVISED_DATAPLANE, SUPERVISED_CONTROL, SUPERVISED_COUNT };

extern const char *const supervised_name[SUPERVISED_COUNT];

#define SUPERVISOR_STOP_MS 10000      /* then SIGKILL */
#define SUPERVISOR_PATIENCE_MS 15000  /* not ready for so long: say what we wait for */
#define SUPERVISOR_EARLY_DEATHS_MAX 5 /* killed so often before it was ever ready: give up */

struct config;
struct notify;

struct supervisor_options {
	char *const *argv[SUPERVISED_COUNT];
	const struct config *config;
	const char *control_socket;
	struct notify *notify; /* the service manager */
	/* Called once, when clients can log in, with control's status. */
	void (*ready)(void *arg, const json_t *status, const pid_t pids[SUPERVISED_COUNT]);
	void *arg;
};

/*
 * Returns when both processes have ended: 0 after SIGINT, SIGTERM or SIGHUP; 2 when a process found its
 * configuration wrong (it has said so itself); 1 when one could not start. Errors are logged.
 */
int supervisor_run(const struct supervisor_options *o);

/* Timer callback: a process that was told to stop did not. */
void supervisor_kill_late(uv_timer_t *timer);

#endif
