/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/launcher/restart.h"

#include "control/launcher/supervisor_state.h"
#include "shared/config.h"
#include "shared/log.h"
#include "shared/program.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGV_MAX 12

static void
link_close(struct restart *r)
{
	if (r->poll != NULL)
		uv_close((uv_handle_t *)r->poll, (uv_close_cb)free);
	r->poll = NULL;
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
}

static void
finish(struct restart *r, int result, const char *text)
{
	server_done_fn done = r->done;

	uv_timer_stop(&r->timer);
	link_close(r);
	if (r->phase == RESTART_WAITING)
		probe_stop(&r->probe);
	r->phase = RESTART_NONE;
	r->done = NULL;
	if (result < 0)
		log_error(launcher, "restart failed", "process=%s reason=\"%s\"", supervised_name[r->which], text);
	if (done != NULL)
		done(r->arg, result, text);
}

/* If it is dead already, SIGCHLD is on its way; if it was told before, it doesn't listen any more. */
static void
send_go(struct restart *r)
{
	char go = PROGRAM_GO;

	(void)!send(r->fd, &go, 1, MSG_NOSIGNAL);
}

/* ---- the new process is ready to take over ------------------------------------------- */

static bool
only_sockets(const struct config *c)
{
	for (unsigned i = 0; i < c->dataplane.ports_count; i++)
		if (c->dataplane.ports[i].type != PORT_SOCKET)
			return false;
	return true;
}

static void
stop_old(struct restart *r)
{
	struct supervisor *s = r->supervisor;
	struct child *old = &s->children[r->which];

	r->phase = RESTART_STOPPING;
	r->stopped_ms = uv_now(&s->loop);
	log_info(launcher, "the new process is prepared: stopping the old one", "process=%s old=%ld new=%ld",
		 supervised_name[r->which], (long)old->pid, (long)r->standby);
	uv_timer_stop(&r->timer);
	kill(old->pid, SIGTERM);
	uv_timer_start(&s->kill, supervisor_kill_late, SUPERVISOR_STOP_MS, 0);
	/* It waits for the old one's lock by itself, which is released before the old one has ended. What control holds (database, sockets)
	 * and what a device's driver holds in the kernel (AF_XDP) is free only when the old one is gone. */
	if (r->which == SUPERVISED_DATAPLANE && only_sockets(s->options->config))
		send_go(r);
}

static void
on_link(uv_poll_t *poll, int status, int events)
{
	struct restart *r = poll->data;
	char byte;
	ssize_t n = recv(r->fd, &byte, 1, MSG_DONTWAIT);

	(void)status;
	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	uv_poll_stop(poll);
	/* Closed instead: it ends, and SIGCHLD tells the rest. */
	if (n == 1 && byte == PROGRAM_PREPARED && r->phase == RESTART_PREPARING)
		stop_old(r);
}

static bool
on_status(void *arg, const json_t *status)
{
	struct restart *r = arg;
	struct supervisor *s = r->supervisor;
	unsigned long long ms;

	if (!supervisor_is_ready(s, status))
		return false;
	uv_update_time(&s->loop);
	ms = uv_now(&s->loop) - r->stopped_ms;
	log_info(launcher, "process restarted", "process=%s pid=%ld ready_ms=%llu", supervised_name[r->which],
		 (long)s->children[r->which].pid, ms);
	finish(r, 0, "");
	return true;
}

/* The standby becomes the child. */
static void
take_over(struct restart *r)
{
	struct supervisor *s = r->supervisor;
	struct child *c = &s->children[r->which];

	c->pid = r->standby;
	c->started_ms = r->started_ms;
	r->standby = 0;
	send_go(r);
	link_close(r);
	uv_timer_stop(&s->kill);
	r->phase = RESTART_WAITING;
	uv_timer_stop(&r->timer);
	r->probe_used = true;
	if (probe_start(&r->probe, &s->loop, s->options->control_socket, on_status, r) < 0)
		log_error(launcher, "cannot ask control for its state", "");
}

/* ---- deaths --------------------------------------------------------------------------- */

bool
restart_standby_died(struct supervisor *s, int status)
{
	struct restart *r = &s->restart;
	char text[160];

	r->standby = 0;
	uv_timer_stop(&s->kill);
	snprintf(text, sizeof(text), "the new %s ended with %s %d before it could take over (its own lines in the log say why); %s",
		 supervised_name[r->which], WIFEXITED(status) ? "exit status" : "signal",
		 WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status),
		 r->phase == RESTART_PREPARING ? "the old one goes on" : "the launcher starts another");
	/* In RESTART_STOPPING the old one is ending: its death is handled like any other. */
	finish(r, -ECHILD, text);
	return true;
}

static void
on_timer(uv_timer_t *timer)
{
	struct restart *r = timer->data;

	if (r->phase == RESTART_PREPARING && r->standby != 0) {
		log_error(launcher, "the new process takes too long: killed", "process=%s pid=%ld", supervised_name[r->which],
			  (long)r->standby);
		kill(r->standby, SIGKILL);
	} else if (r->phase == RESTART_WAITING) {
		finish(r, -ETIMEDOUT, "the new process runs, but clients cannot log in yet: see `rookctl status`");
	}
}

bool
restart_old_died(struct supervisor *s, enum supervised which)
{
	struct restart *r = &s->restart;

	if (r->phase == RESTART_NONE || r->which != which)
		return false;
	if (r->phase == RESTART_WAITING) {
		/* Once is no reason to give up: the kernel takes a moment to free an AF_XDP queue. */
		if (++r->deaths == RESTART_DEATHS_MAX)
			finish(r, -ECHILD, "the new process dies before clients can log in; the launcher goes on trying");
		return false;
	}
	/* Also when it dies of itself while the new one prepares: there is no faster successor. */
	if (r->phase == RESTART_PREPARING)
		r->stopped_ms = uv_now(&s->loop);
	take_over(r);
	uv_timer_start(&r->timer, on_timer, RESTART_READY_MS, 0);
	return true;
}

/* ---- begin and end --------------------------------------------------------------------- */

static int
standby_start(struct restart *r)
{
	struct supervisor *s = r->supervisor;
	char *const *base = s->options->argv[r->which];
	char *argv[ARGV_MAX], number[16];
	int pair[2], n = 0;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	while (base[n] != NULL && n < ARGV_MAX - 3) {
		argv[n] = base[n];
		n++;
	}
	snprintf(number, sizeof(number), "%d", pair[1]);
	argv[n++] = (char *)"--standby";
	argv[n++] = number;
	argv[n] = NULL;
	pid = child_start(argv, pair[1]);
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return pid;
	}
	r->standby = pid;
	r->started_ms = uv_now(&s->loop);
	r->fd = pair[0];
	r->poll = calloc(1, sizeof(*r->poll));
	/* Without it the standby is killed in the end, and the old process goes on. */
	if (r->poll != NULL && uv_poll_init(&s->loop, r->poll, r->fd) < 0) {
		free(r->poll);
		r->poll = NULL;
	}
	if (r->poll != NULL) {
		r->poll->data = r;
		uv_poll_start(r->poll, UV_READABLE, on_link);
	}
	return 0;
}

void
restart_init(struct supervisor *s)
{
	struct restart *r = &s->restart;

	r->supervisor = s;
	r->fd = -1;
	uv_timer_init(&s->loop, &r->timer);
	r->timer.data = r;
}

void
restart_end(struct supervisor *s)
{
	struct restart *r = &s->restart;

	if (r->phase != RESTART_NONE)
		finish(r, -ECANCELED, "the server is being stopped");
	if (r->standby != 0) {
		kill(r->standby, SIGKILL);
		while (waitpid(r->standby, NULL, 0) < 0 && errno == EINTR)
			;
		r->standby = 0;
	}
	uv_close((uv_handle_t *)&r->timer, NULL);
}

__attribute__((format(printf, 3, 4))) static enum admin_outcome
refuse(struct admin_call *call, int result, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(call->text, sizeof(call->text), format, args);
	va_end(args);
	call->code = admin_code(result);
	return ADMIN_ERROR;
}

static enum admin_outcome
restart_begin(struct supervisor *s, enum supervised which, struct admin_call *call)
{
	struct restart *r = &s->restart;
	int rc;

	if (r->phase != RESTART_NONE || (r->probe_used && !probe_ended(&r->probe)))
		return refuse(call, -EBUSY, "%s is being restarted: try again when that is done", supervised_name[r->which]);
	if (s->stopping || !s->ready || s->children[which].pid == 0)
		return refuse(call, -EBUSY, "%s is not running now: the launcher is about to start it", supervised_name[which]);
	r->which = which;
	rc = standby_start(r);
	if (rc < 0)
		return refuse(call, rc, "the new %s cannot be started, the old one goes on: %s", supervised_name[which], strerror(-rc));
	r->phase = RESTART_PREPARING;
	r->deaths = 0;
	r->done = call->done;
	r->arg = call->done_arg;
	log_info(launcher, "restart: starting the new process", "process=%s old=%ld new=%ld", supervised_name[which],
		 (long)s->children[which].pid, (long)r->standby);
	uv_timer_start(&r->timer, on_timer, RESTART_PREPARE_MS, 0);
	return ADMIN_LATER;
}

enum admin_outcome
restart_command(const char *command, struct admin_call *call)
{
	const char *process = json_string_value(json_object_get(call->args, "process"));

	if (strcmp(command, "restart") != 0) {
		refuse(call, -EINVAL, "the launcher has no command \"%s\"; it runs version " ROOKERY_VERSION, command);
		call->code = "unknown_command";
		return ADMIN_ERROR;
	}
	for (int i = 0; process != NULL && i < SUPERVISED_COUNT; i++)
		if (strcmp(process, strchr(supervised_name[i], '-') + 1) == 0)
			return restart_begin(call->supervisor, (enum supervised)i, call);
	return refuse(call, -EINVAL, "\"process\" must be \"dataplane\" or \"control\"");
}
