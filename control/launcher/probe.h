/* SPDX-License-Identifier: BSD-3-Clause */
/* Asks control's admin socket for its status, again and again, until it says that clients can log in. */
#ifndef ROOKERY_CONTROL_LAUNCHER_PROBE_H
#define ROOKERY_CONTROL_LAUNCHER_PROBE_H

#include <jansson.h>
#include <stdbool.h>
#include <uv.h>

#define PROBE_INTERVAL_MS 50
#define PROBE_REPLY_MAX 65536

struct probe;

/* Called on each complete answer with the result of `status`, which is freed afterwards. Returns true to end
 * probing. */
typedef bool (*probe_answer_fn)(void *arg, const json_t *status);

struct probe {
	uv_loop_t *loop;
	const char *path;
	probe_answer_fn answer;
	void *arg;
	bool stopped;
	bool timer_open;
	bool open; /* pipe is in use */
	uv_timer_t timer;
	uv_pipe_t pipe;
	uv_connect_t connect;
	uv_write_t write;
	size_t used;
	char reply[PROBE_REPLY_MAX];
};

/* path must stay valid. Returns 0 or a libuv error. */
int probe_start(struct probe *p, uv_loop_t *loop, const char *path, probe_answer_fn answer, void *arg);

/* Idempotent; the handles are closed by the loop's next iteration. */
void probe_stop(struct probe *p);

/* Stopped, and the handles are closed: it may be started again. */
bool probe_ended(const struct probe *p);

#endif
