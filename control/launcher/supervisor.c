/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/launcher/supervisor.h"

#include "control/admin.h"
#include "control/launcher/notify.h"
#include "control/launcher/supervisor_state.h"
#include "shared/log.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define EXIT_CONFIG 2 /* of a child: its configuration is wrong, starting it again is useless */

const char *const supervised_name[SUPERVISED_COUNT] = {
	[SUPERVISED_DATAPLANE] = "rookery-dataplane",
	[SUPERVISED_CONTROL] = "rookery-control",
};

static void start(struct child *c);
static void stop_next(struct supervisor *s);

static void
begin_stop(struct supervisor *s, int result)
{
	if (s->stopping)
		return;
	s->stopping = true;
	s->result = result;
	notify_send(s->options->notify, "STOPPING=1");
	probe_stop(&s->probe);
	restart_end(s);
	watch_stop(s);
	if (s->admin != NULL)
		admin_close(s->admin);
	uv_timer_stop(&s->patience);
	for (int i = 0; i < SUPERVISED_COUNT; i++)
		uv_timer_stop(&s->children[i].restart);
	stop_next(s);
}

static void
kill_all(struct supervisor *s)
{
	for (int i = 0; i < SUPERVISED_COUNT; i++)
		if (s->children[i].pid)
			kill(s->children[i].pid, SIGKILL);
}

void
supervisor_kill_late(uv_timer_t *timer)
{
	struct supervisor *s = timer->data;
	for (int i = SUPERVISED_COUNT - 1; i >= 0; i--) {
		struct child *c = &s->children[i];
		if (!c->pid || (!s->stopping && c->which != s->restart.which))
			continue;
		log_warning(launcher, "process did not stop in time: killed",
			    "process=%s pid=%ld after_ms=%d", supervised_name[i], (long)c->pid,
			    SUPERVISOR_STOP_MS);
		kill(c->pid, SIGKILL);
		return;
	}
}

/* Ends one child at a time, the last started first; closes everything when none is left. */
static void
stop_next(struct supervisor *s)
{
	for (int i = SUPERVISED_COUNT - 1; i >= 0; i--) {
		if (!s->children[i].pid)
			continue;
		kill(s->children[i].pid, SIGTERM);
		uv_timer_start(&s->kill, supervisor_kill_late, SUPERVISOR_STOP_MS, 0);
		return;
	}
	notify_alive_stop(s->options->notify);
	uv_close((uv_handle_t *)&s->kill, NULL);
	uv_close((uv_handle_t *)&s->patience, NULL);
	for (int i = 0; i < SUPERVISED_COUNT; i++)
		uv_close((uv_handle_t *)&s->children[i].restart, NULL);
	uv_close((uv_handle_t *)&s->on_child, NULL);
	uv_close((uv_handle_t *)&s->on_int, NULL);
	uv_close((uv_handle_t *)&s->on_term, NULL);
	uv_close((uv_handle_t *)&s->on_hup, NULL);
}

static void
on_restart_timer(uv_timer_t *timer)
{
	start(timer->data);
}

static void
start(struct child *c)
{
	struct supervisor *s = c->supervisor;
	c->started_ms = uv_now(&s->loop);
	pid_t pid = child_start(s->options->argv[c->which], -1);
	if (pid > 0) {
		c->pid = pid;
		return;
	}
	log_error(launcher, "cannot start process", "process=%s path=\"%s\" error=\"%s\"",
		  supervised_name[c->which], s->options->argv[c->which][0], strerror(-pid));
	if (!s->ready) {
		begin_stop(s, 1);
		return;
	}
	/* Out of memory or processes, or the binary is being replaced: the other process goes on meanwhile.
	 */
	uv_timer_start(&c->restart, on_restart_timer, restart_delay(&c->pace, 0), 0);
}

/* Should the launcher end rather than start this child again? */
static bool
is_final(struct child *c, int status)
{
	struct supervisor *s = c->supervisor;
	const char *name = supervised_name[c->which];

	/* A server that has served goes on trying, also when the configuration file was damaged meanwhile. */
	if (s->ready)
		return false;
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_CONFIG) {
		log_error(launcher, "process refused its configuration: stopping", "process=%s", name);
		begin_stop(s, EXIT_CONFIG);
		return true;
	}
	if (WIFEXITED(status)) {
		log_error(launcher, "process could not start (its own lines above say why): stopping",
			  "process=%s exit=%d", name, WEXITSTATUS(status));
		begin_stop(s, 1);
		return true;
	}
	if (++c->deaths >= SUPERVISOR_EARLY_DEATHS_MAX) {
		log_error(launcher, "process dies again and again at start: stopping",
			  "process=%s signal=%d deaths=%u", name, WTERMSIG(status), c->deaths);
		begin_stop(s, 1);
		return true;
	}
	return false;
}

static void
handle_death(struct child *c, int status)
{
	struct supervisor *s = c->supervisor;
	uint64_t lived = uv_now(&s->loop) - c->started_ms;
	c->pid = 0;
	if (s->stopping) {
		stop_next(s);
		return;
	}
	if (is_final(c, status) || restart_old_died(s, c->which))
		return;
	uint32_t delay_ms = restart_delay(&c->pace, lived);
	log_warning(launcher, "process died: starting it again",
		    "process=%s %s=%d lived_ms=%llu delay_ms=%u", supervised_name[c->which],
		    WIFEXITED(status) ? "exit" : "signal",
		    WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status), (unsigned long long)lived,
		    delay_ms);
	if (delay_ms == 0)
		start(c);
	else
		uv_timer_start(&c->restart, on_restart_timer, delay_ms, 0);
}

static void
on_sigchld(uv_signal_t *handle, int signum)
{
	(void)signum;
	struct supervisor *s = handle->data;
	pid_t standby = s->restart.standby;
	int last;
	if (standby && waitpid(standby, &last, WNOHANG) == standby)
		restart_standby_died(s, last);
	/* One signal may stand for several. */
	for (int i = 0; i < SUPERVISED_COUNT; i++) {
		struct child *c = &s->children[i];
		int status;
		if (c->pid && waitpid(c->pid, &status, WNOHANG) == c->pid)
			handle_death(c, status);
	}
}

static void
on_stop_signal(uv_signal_t *handle, int signum)
{
	struct supervisor *s = handle->data;
	if (!s->stopping) {
		log_info(launcher, "stopping", "signal=%d", signum);
		begin_stop(s, 0);
	} else if (signum == SIGINT) {
		/* Ctrl-C twice: somebody is in a hurry. */
		kill_all(s);
	}
}

static void
on_impatience(uv_timer_t *timer)
{
	struct supervisor *s = timer->data;
	log_warning(launcher, "not ready yet, still waiting", "seconds=%d control_socket=\"%s\"",
		    SUPERVISOR_PATIENCE_MS / 1000, s->options->control_socket);
}

bool
supervisor_is_ready(const struct supervisor *s, const json_t *status)
{
	pid_t control = s->children[SUPERVISED_CONTROL].pid, dataplane = s->children[SUPERVISED_DATAPLANE].pid;
	const json_t *of_dataplane = json_object_get(status, "dataplane");
	/* Processes that an earlier launcher left (killed this moment), or that died since, must not be taken
	 * for ours. */
	return json_is_true(json_object_get(status, "ready")) && control != 0 && dataplane != 0 &&
	       json_integer_value(json_object_get(status, "pid")) == control &&
	       json_integer_value(json_object_get(of_dataplane, "pid")) == dataplane;
}

static bool
on_status(void *arg, const json_t *status)
{
	struct supervisor *s = arg;
	pid_t pids[SUPERVISED_COUNT];
	if (!supervisor_is_ready(s, status))
		return false;
	for (int i = 0; i < SUPERVISED_COUNT; i++)
		pids[i] = s->children[i].pid;
	s->ready = true;
	uv_timer_stop(&s->patience);
	s->options->ready(s->options->arg, status, pids);
	return true;
}

static int
watch(struct supervisor *s, uv_signal_t *handle, uv_signal_cb fn, int signum)
{
	int r = uv_signal_init(&s->loop, handle);
	handle->data = s;
	if (r < 0)
		return r;
	/* nohup ignores SIGHUP, and so must we. */
	struct sigaction now;
	if (signum == SIGHUP && sigaction(signum, NULL, &now) == 0 && now.sa_handler == SIG_IGN)
		return 0;
	return uv_signal_start(handle, fn, signum);
}

static int
set_up(struct supervisor *s)
{
	int r = uv_loop_init(&s->loop);
	if (r < 0)
		return r;
	signal(SIGPIPE, SIG_IGN);
	uv_timer_init(&s->loop, &s->patience);
	uv_timer_init(&s->loop, &s->kill);
	s->patience.data = s->kill.data = s;
	restart_init(s);
	for (int i = 0; i < SUPERVISED_COUNT; i++) {
		struct child *c = &s->children[i];
		c->supervisor = s;
		c->which = (enum supervised)i;
		uv_timer_init(&s->loop, &c->restart);
		c->restart.data = c;
	}
	if ((r = watch(s, &s->on_child, on_sigchld, SIGCHLD)) < 0 ||
	    (r = watch(s, &s->on_int, on_stop_signal, SIGINT)) < 0 ||
	    (r = watch(s, &s->on_term, on_stop_signal, SIGTERM)) < 0 ||
	    (r = watch(s, &s->on_hup, on_stop_signal, SIGHUP)) < 0 ||
	    (r = uv_timer_start(&s->patience, on_impatience, SUPERVISOR_PATIENCE_MS,
				SUPERVISOR_PATIENCE_MS)) < 0 ||
	    (r = watch_start(s)) < 0 ||
	    (r = notify_alive_start(s->options->notify, &s->loop)) < 0)
		return r;
	return probe_start(&s->probe, &s->loop, s->options->control_socket, on_status, s);
}

/* A server without `rookctl restart` is better than none. */
static void
open_admin(struct supervisor *s)
{
	struct admin_options o = {
		.loop = &s->loop,
		.config = s->options->config,
		.program = ADMIN_LAUNCHER,
		.socket = "launcher.sock",
		.run = restart_command,
		.supervisor = s,
	};
	char error[512];
	if (admin_open(&s->admin, &o, error, sizeof(error)) < 0)
		log_warning(launcher, "`rookctl restart` will not work", "reason=\"%s\"", error);
}

int
supervisor_run(const struct supervisor_options *o)
{
	static struct supervisor supervisor; /* too large for comfort on the stack */
	struct supervisor *s = &supervisor;
	memset(s, 0, sizeof(*s));
	s->options = o;
	int r = set_up(s);
	if (r < 0) {
		log_error(launcher, "cannot set up the event loop", "error=\"%s\"", uv_strerror(r));
		return 1; /* the process ends: the loop's handles go with it */
	}
	open_admin(s);
	for (int i = 0; i < SUPERVISED_COUNT && !s->stopping; i++)
		start(&s->children[i]);
	uv_run(&s->loop, UV_RUN_DEFAULT);
	admin_free(s->admin);
	uv_loop_close(&s->loop);
	return s->result;
}
