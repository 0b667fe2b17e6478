// SPDX-License-Identifier: BSD-3-Clause
#include "loop.h"

#include "admin.h"
#include "http.h"
#include "loop_rings.h"

#include "shared/log.h"
#include "shared/sandbox.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#define PATH_SIZE 4096
#define BACKLOG_MS 1
#define WATCH_MS 100
#define JOIN_MS 50

struct work {
	uv_work_t request;
	struct loop *loop;
	struct password_job *job;
};

struct loop {
	uv_loop_t uv;
	uv_prepare_t prepare; /* all that is due, before each wait */
	uv_idle_t idle;       /* active: do not wait */
	uv_timer_t timer;
	uv_poll_t doorbell;
	uv_signal_t terminate, interrupt;
	bool opened;          /* uv is there */
	bool stopping;
	int doorbell_fd;
	struct rings rings;
	struct server *server;
	struct admin *admin;
	struct http *http;
	struct admin_reload reload;
	uv_work_t logins_request;
	struct login_job *logins; /* whose handshakes are being done */
};

static uint64_t
clock_ms(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- passwords ----------------------------------------------------------------------- */

static void
work_run(uv_work_t *request)
{
	struct work *w = request->data;

	password_job_run(w->job);
}

static void
work_done(uv_work_t *request, int status)
{
	struct work *w = request->data;

	(void)status;
	if (w->loop->stopping)
		server_password_cancel(w->loop->server, w->job);
	else
		server_password_done(w->loop->server, w->job);
	free(w);
}

static void
loop_hash(void *arg, struct password_job *job)
{
	struct loop *l = arg;
	struct work *w = calloc(1, sizeof(*w));

	if (w != NULL && !l->stopping) {
		w->request.data = w;
		w->loop = l;
		w->job = job;
		if (uv_queue_work(&l->uv, &w->request, work_run, work_done) == 0)
			return;
	}
	free(w);
	if (l->stopping) {
		server_password_cancel(l->server, job);
		return;
	}
	/* No memory: here and now, slow but right. */
	password_job_run(job);
	server_password_done(l->server, job);
}

/* ---- handshakes ---------------------------------------------------------------------- */

static void
handshakes_run(uv_work_t *request)
{
	struct loop *l = request->data;

	login_job_run(l->logins);
}

static void
handshakes_done(uv_work_t *request, int status)
{
	struct loop *l = request->data;

	(void)status;
	server_logins_ready(l->server, l->logins);
}

/* One lot at a time, so that a flood of LOGINs takes no more than a core from the workers. */
static int
loop_handshakes(void *arg, struct login_job *job)
{
	struct loop *l = arg;

	l->logins = job;
	l->logins_request.data = l;
	return uv_queue_work(&l->uv, &l->logins_request, handshakes_run, handshakes_done);
}

static uint64_t
loop_clock_us(void *arg)
{
	struct timespec t;

	(void)arg;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void
loop_gone(void *arg, const void *client)
{
	struct loop *l = arg;

	server_trace_stop(l->server, client);
}

static bool
loop_send(void *arg, uint32_t ring, const struct cell *c)
{
	struct loop *l = arg;

	return rings_send(&l->rings, ring, c);
}

/* ---- the turn of the loop ------------------------------------------------------------- */

static void
on_idle(uv_idle_t *idle)
{
	(void)idle;
}

static void
on_timer(uv_timer_t *timer)
{
	(void)timer;
}

static void
on_doorbell(uv_poll_t *poll, int status, int events)
{
	struct loop *l = poll->data;

	(void)status;
	(void)events;
	if (doorbell_drain(l->doorbell_fd))
		rings_watch_now(&l->rings);
}

static void
on_prepare(uv_prepare_t *prepare)
{
	struct loop *l = prepare->data;
	uint64_t now_ms = clock_ms(CLOCK_MONOTONIC);
	uint32_t wait_ms, watch_ms;
	bool busy;

	if (l->stopping)
		return;
	rings_awake(&l->rings);
	server_set_time(l->server, now_ms, clock_ms(CLOCK_REALTIME));
	rings_watch(&l->rings, now_ms);
	busy = rings_drain(&l->rings) != 0;
	wait_ms = server_timers(l->server);
	server_batch(l->server, NULL, 0);
	if (server_flush(l->server) != 0)
		wait_ms = BACKLOG_MS;
	busy = busy || server_pending(l->server) || !rings_sleep(&l->rings);
	if (busy)
		uv_idle_start(&l->idle, on_idle);
	else
		uv_idle_stop(&l->idle);
	watch_ms = l->rings.ready ? WATCH_MS : JOIN_MS;
	uv_timer_start(&l->timer, on_timer, wait_ms < watch_ms ? wait_ms : watch_ms, 0);
}

static void
loop_stop(struct loop *l)
{
	if (l->stopping)
		return;
	l->stopping = true;
	log_info(control, "stopping", "sessions=kept");
	if (l->admin != NULL)
		admin_close(l->admin);
	http_close(l->http);
	uv_close((uv_handle_t *)&l->prepare, NULL);
	uv_close((uv_handle_t *)&l->idle, NULL);
	uv_close((uv_handle_t *)&l->timer, NULL);
	uv_close((uv_handle_t *)&l->terminate, NULL);
	uv_close((uv_handle_t *)&l->interrupt, NULL);
	if (l->doorbell.data != NULL)
		uv_close((uv_handle_t *)&l->doorbell, NULL);
}

static void
on_signal(uv_signal_t *handle, int number)
{
	(void)number;
	loop_stop(handle->data);
}

/* ---- start ---------------------------------------------------------------------------- */

static int
uv_failed(int rc, const char *what, char *error, size_t cap)
{
	if (rc < 0)
		snprintf(error, cap, "%s: %s", what, uv_strerror(rc));
	return rc;
}

static int
handles_open(struct loop *l, char *error, size_t cap)
{
	int rc = uv_loop_init(&l->uv);

	if (rc < 0)
		return uv_failed(rc, "event loop", error, cap);
	l->opened = true;
	uv_prepare_init(&l->uv, &l->prepare);
	uv_idle_init(&l->uv, &l->idle);
	uv_timer_init(&l->uv, &l->timer);
	uv_signal_init(&l->uv, &l->terminate);
	uv_signal_init(&l->uv, &l->interrupt);
	l->prepare.data = l->terminate.data = l->interrupt.data = l;
	uv_prepare_start(&l->prepare, on_prepare);
	uv_timer_start(&l->timer, on_timer, 0, 0);
	rc = uv_signal_start(&l->terminate, on_signal, SIGTERM);
	if (rc == 0)
		rc = uv_signal_start(&l->interrupt, on_signal, SIGINT);
	return uv_failed(rc, "signals", error, cap);
}

static int
doorbell_start(struct loop *l, const struct config *config, char *error, size_t cap)
{
	char path[PATH_SIZE];
	int rc = -ENAMETOOLONG;

	if (config_runtime_path(config, "doorbell.sock", path, sizeof(path)) != NULL)
		l->doorbell_fd = rc = doorbell_bind(path);
	if (rc < 0) {
		snprintf(error, cap, "%s/doorbell.sock: %s%s", config->runtime_dir, strerror(-rc),
			 rc == -ENAMETOOLONG
				 ? "; choose a shorter runtime_dir (sockets have at most 107 bytes of path)"
				 : "");
		return rc;
	}
	rc = uv_poll_init(&l->uv, &l->doorbell, l->doorbell_fd);
	if (rc == 0) {
		l->doorbell.data = l;
		rc = uv_poll_start(&l->doorbell, UV_READABLE, on_doorbell);
	}
	return uv_failed(rc, "doorbell", error, cap);
}

static int
endpoint_set(struct loop *l, const struct config *config, char *error, size_t cap)
{
	uint16_t port = http_port(l->http);
	int rc = http_listen(l->http, config, error, cap);

	if (rc == 0 || port == 0)
		server_set_page(l->server, rc == 0 ? "" : error);
	if (rc < 0 && port == 0)
		log_error(metrics, "no status page and no metrics", "reason=\"%s\"", error);
	else if (rc == 0 && config->metrics.listen[0] != '\0')
		log_info(metrics, "status page and metrics", "url=\"http://%s/\"", config->metrics.listen);
	return rc;
}

/* A mistake in the configuration ends it; a port that is taken must not keep people from chatting. */
static int
http_start(struct loop *l, const struct config *config, char *error, size_t cap)
{
	struct http_options o = {.loop = &l->uv, .server = l->server, .login_latency = &l->rings.login_latency};
	int rc = http_open(&l->http, &o);

	if (rc < 0)
		return rc;
	rc = endpoint_set(l, config, error, cap);
	if (rc == -EINVAL)
		return -EIO; /* its files are no error of usage */
	error[0] = '\0';
	return 0;
}

/* For a reload. An endpoint that did not come up at the start, and still does not, keeps no other key from changing. */
static int
endpoint_follow(void *arg, const struct config *fresh, char *error, size_t cap)
{
	struct loop *l = arg;
	bool asked = strcmp(fresh->metrics.listen, l->reload.config->metrics.listen) != 0;
	bool there = http_port(l->http) != 0;
	int rc = endpoint_set(l, fresh, error, cap);

	return rc == -EINVAL || asked || there ? rc : 0;
}

static int
parts_start(struct loop *l, const struct loop_options *o, char *error, size_t cap)
{
	struct server_options so = {
		.config = o->config,
		.store = o->store,
		.key = *o->key,
		.io = {.arg = l, .send = loop_send, .hash = loop_hash, .handshakes = loop_handshakes, .clock_us = loop_clock_us},
		.now_ms = clock_ms(CLOCK_MONOTONIC),
		.wall_ms = clock_ms(CLOCK_REALTIME),
	};
	struct admin_options ao = {
		.reload = &l->reload,
		.loop = &l->uv,
		.config = o->config,
		.program = ADMIN_CONTROL,
		.socket = "control.sock",
		.run = admin_command_run,
	};
	char path[PATH_SIZE];
	int rc;

	l->reload = *o->reload;
	l->reload.follow = endpoint_follow;
	l->reload.follow_arg = l;
	rc = server_new(&l->server, &so);
	explicit_bzero(&so.key, sizeof(so.key));
	if (rc < 0) {
		snprintf(error, cap, "the sessions cannot be loaded: %s", strerror(-rc));
		return rc;
	}
	if (config_runtime_path(o->config, "rings.shm", path, sizeof(path)) == NULL)
		return -ENAMETOOLONG;
	rc = rings_init(&l->rings, path, o->key->public);
	l->rings.server = l->server;
	if (rc < 0)
		return rc;
	/* First the admin socket: it notices another control process in the same place. */
	ao.server = l->server;
	ao.gone = loop_gone;
	ao.gone_arg = l;
	rc = admin_open(&l->admin, &ao, error, cap);
	if (rc == 0)
		rc = doorbell_start(l, o->config, error, cap);
	return rc < 0 ? rc : http_start(l, o->config, error, cap);
}

int
loop_run(const struct loop_options *o, char *error, size_t cap)
{
	struct loop *l = calloc(1, sizeof(*l));
	char path[PATH_SIZE];
	int rc;

	if (l == NULL)
		return -ENOMEM;
	l->doorbell_fd = -1;
	l->rings.ipc.fd = -1;
	rc = handles_open(l, error, cap);
	if (rc == 0)
		rc = parts_start(l, o, error, cap);
	/* Before the first thread and the first byte from a client. */
	if (rc == 0)
		rc = sandbox_enter(SANDBOX_CONTROL, 0, o->config->security.sandbox, error, cap);
	if (rc < 0 && l->opened)
		loop_stop(l);
	if (l->opened) {
		/* Ends when all handles are closed and no password is in work. */
		uv_run(&l->uv, UV_RUN_DEFAULT);
		uv_loop_close(&l->uv);
	}
	rings_free(&l->rings);
	server_free(l->server);
	admin_free(l->admin);
	http_free(l->http);
	if (l->doorbell_fd >= 0) {
		close(l->doorbell_fd);
		if (config_runtime_path(o->config, "doorbell.sock", path, sizeof(path)) != NULL)
			unlink(path);
	}
	free(l);
	return rc;
}
