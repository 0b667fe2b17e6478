/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A planned restart of one process, as after an upgrade. The new process starts beside the old one and does all that takes long
 * (standby, see shared/program.h); only then the old one is told to stop, and when it has, the new one goes on. If the new one cannot even
 * get that far, nothing has changed: the old one never stopped.
 *
 * Thread-safety: everything on the loop's thread.
 */
#ifndef ROOKERY_CONTROL_LAUNCHER_RESTART_H
#define ROOKERY_CONTROL_LAUNCHER_RESTART_H

#include "control/admin_commands.h"
#include "control/launcher/probe.h"
#include "control/launcher/supervisor.h"

#include <uv.h>

#define RESTART_PREPARE_MS 60000 /* for the new process, until it could take over */
#define RESTART_READY_MS 60000   /* and until clients can log in */
#define RESTART_DEATHS_MAX 3     /* so many in that time are a failure */

enum restart_phase {
	RESTART_NONE,
	RESTART_PREPARING, /* the new process starts beside the old one */
	RESTART_STOPPING,  /* the old one was told to stop */
	RESTART_WAITING,   /* for control to be ready with the new one */
};

struct restart {
	struct supervisor *supervisor;
	enum restart_phase phase;
	enum supervised which;
	unsigned deaths; /* in RESTART_WAITING */
	uint64_t started_ms;
	pid_t standby; /* until it has taken over; 0: none */
	int fd;        /* to it */
	uv_poll_t *poll;
	uv_timer_t timer;
	struct probe probe;
	bool probe_used;
	uint64_t stopped_ms; /* when the old one was told to */
	server_done_fn done;
	void *arg;
};

void restart_init(struct supervisor *s);
/* The launcher is ending: kills a process on standby and waits for its end. */
void restart_end(struct supervisor *s);

/* Both are told of every death. True: this one belongs to the restart, and has been dealt with. */
bool restart_standby_died(struct supervisor *s, int status);
bool restart_old_died(struct supervisor *s, enum supervised which);

/* The commands of the launcher's socket: restart {"process":"dataplane"|"control"}, answered when clients can log in again. */
enum admin_outcome restart_command(const char *command, struct admin_call *call);

#endif
