/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/launcher/probe.h"

#include <string.h>

static const char request[] = "{\"id\":1,\"command\":\"status\"}\n";

static void try_again(uv_timer_t *timer);

static void
pipe_closed(uv_handle_t *handle)
{
	struct probe *p = handle->data;
	p->open = false;
	if (!p->stopped)
		uv_timer_start(&p->timer, try_again, PROBE_INTERVAL_MS, 0);
}

/* This attempt is over, whatever came of it; pipe_closed arms the next. */
static void
give_up(struct probe *p)
{
	if (p->open && !uv_is_closing((uv_handle_t *)&p->pipe))
		uv_close((uv_handle_t *)&p->pipe, pipe_closed);
}

static void
handle_line(struct probe *p, const char *line, size_t len)
{
	json_t *reply = json_loadb(line, len, 0, NULL);
	const json_t *status = json_object_get(reply, "result");
	bool done = json_is_object(status) && p->answer(p->arg, status);
	/* The first line is the server's greeting; anything with an id is the reply to our one request. */
	if (done)
		probe_stop(p);
	else if (!reply || json_object_get(reply, "id"))
		give_up(p);
	json_decref(reply);
}

static void
alloc_reply(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	(void)suggested;
	struct probe *p = handle->data;
	*buf = uv_buf_init(p->reply + p->used, (unsigned)(sizeof(p->reply) - p->used));
}

static void
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	(void)buf;
	struct probe *p = stream->data;
	if (n < 0) { /* also UV_ENOBUFS: an endless line */
		give_up(p);
		return;
	}
	p->used += (size_t)n;
	char *end;
	while (!uv_is_closing((uv_handle_t *)stream) && (end = memchr(p->reply, '\n', p->used))) {
		size_t len = (size_t)(end - p->reply);
		handle_line(p, p->reply, len);
		p->used -= len + 1;
		memmove(p->reply, end + 1, p->used);
	}
}

static void
on_connect(uv_connect_t *connect, int status)
{
	struct probe *p = connect->data;
	if (status < 0) {
		give_up(p);
		return;
	}
	uv_buf_t buf = uv_buf_init((char *)request, sizeof(request) - 1);
	p->write.data = p;
	if (uv_write(&p->write, (uv_stream_t *)&p->pipe, &buf, 1, NULL) < 0 ||
	    uv_read_start((uv_stream_t *)&p->pipe, alloc_reply, on_read) < 0)
		give_up(p);
}

static void
try_again(uv_timer_t *timer)
{
	struct probe *p = timer->data;
	if (uv_pipe_init(p->loop, &p->pipe, 0) < 0) {
		uv_timer_start(&p->timer, try_again, PROBE_INTERVAL_MS, 0);
		return;
	}
	p->pipe.data = p;
	p->connect.data = p;
	p->open = true;
	p->used = 0;
	uv_pipe_connect(&p->connect, &p->pipe, p->path, on_connect);
}

static void
timer_closed(uv_handle_t *handle)
{
	struct probe *p = handle->data;
	p->timer_open = false;
}

int
probe_start(struct probe *p, uv_loop_t *loop, const char *path, probe_answer_fn answer, void *arg)
{
	p->loop = loop;
	p->path = path;
	p->answer = answer;
	p->arg = arg;
	p->stopped = false;
	p->open = false;
	int r = uv_timer_init(loop, &p->timer);
	if (r < 0)
		return r;
	p->timer.data = p;
	p->timer_open = true;
	return uv_timer_start(&p->timer, try_again, 0, 0);
}

void
probe_stop(struct probe *p)
{
	if (p->stopped)
		return;
	p->stopped = true;
	uv_close((uv_handle_t *)&p->timer, timer_closed);
	give_up(p);
}

bool
probe_ended(const struct probe *p)
{
	return p->stopped && !p->open && !p->timer_open;
}
