/* SPDX-License-Identifier: BSD-3-Clause */
/* For bots and tests: one command per line on standard input, one JSON object per line on standard output. */
#include "rookchat.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct lines {
	char *buf;
	size_t used;
	size_t cap;
};

/* Takes the object. A text that is no valid UTF-8 is told as such, not dropped. */
static void
emit(json_t *event)
{
	char *line;

	line = event != NULL ? json_dumps(event, JSON_COMPACT) : NULL;
	puts(line != NULL ? line : "{\"event\":\"error\",\"code\":\"encoding\",\"text\":\"an event held no valid UTF-8\"}");
	fflush(stdout);
	free(line);
	json_decref(event);
}

static int
json_open(struct chat *chat)
{
	chat->view_state = calloc(1, sizeof(struct lines));
	return chat->view_state != NULL ? 0 : -ENOMEM;
}

static void
json_close(struct chat *chat)
{
	struct lines *l = chat->view_state;

	free(l->buf);
	free(l);
}

static void
json_ready(struct chat *chat)
{
	(void)chat;
}

static void
json_error(struct chat *chat, const char *code, const char *text)
{
	(void)chat;
	emit(json_pack("{s:s, s:s, s:s}", "event", "error", "code", code, "text", text));
}

static void
json_input(struct chat *chat)
{
	struct lines *l = chat->view_state;
	char *start, *end;
	ssize_t n;

	if (l->cap - l->used < 4096) {
		char *buf = realloc(l->buf, l->cap + 65536);

		if (buf == NULL)
			return;
		l->buf = buf;
		l->cap += 65536;
	}
	n = read(STDIN_FILENO, l->buf + l->used, l->cap - l->used - 1);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		chat->input_closed = true;
		chat_quit(chat);
		return;
	}
	l->used += (size_t)n;
	start = l->buf;
	while ((end = memchr(start, '\n', l->used - (size_t)(start - l->buf))) != NULL) {
		*end = '\0';
		if (end > start && end[-1] == '\r')
			end[-1] = '\0';
		chat_command(chat, start);
		start = end + 1;
	}
	l->used -= (size_t)(start - l->buf);
	memmove(l->buf, start, l->used);
}

static json_t *
buddy_object(const struct rk_buddy *b)
{
	return json_pack("{s:s, s:s, s:b, s:s, s:s, s:s, s:s}", "user", b->name, "state", rk_buddy_state_name(b->state), "blocked",
			 b->blocked, "group", b->group, "remark", b->remark, "status", rk_status_name(b->status), "text",
			 b->status_text);
}

static void
emit_response(const struct rk_event *e)
{
	const struct rk_event_response *r = &e->response;
	json_t *list = json_array();

	if (r->code != RK_CODE_OK) {
		json_decref(list);
		emit(json_pack("{s:s, s:s, s:s, s:I, s:I}", "event", "error", "code", r->name, "text", r->text, "request",
			       (json_int_t)r->request, "retry_ms", (json_int_t)r->retry_ms));
		return;
	}
	if (e->type == RK_EVENT_BUDDIES) {
		for (size_t i = 0; i < r->buddies; i++)
			json_array_append_new(list, buddy_object(&r->buddy[i]));
		emit(json_pack("{s:s, s:o}", "event", "buddies", "buddies", list));
		return;
	}
	for (size_t i = 0; i < r->users; i++)
		json_array_append_new(list, json_string(r->user[i].name));
	emit(json_pack("{s:s, s:I, s:o}", "event", "response", "request", (json_int_t)r->request, "users", list));
}

static void
emit_message(const struct rk_event_message *m)
{
	char sent_at[48];
	json_t *o;

	chat_time_format(m->sent_at, sent_at, sizeof(sent_at));
	o = json_pack("{s:s, s:s, s:s, s:s%, s:s, s:b}", "event", "message", "id", m->id, "from", m->from, "text", m->text, m->text_len,
		      "sent_at", sent_at, "offline", m->offline);
	if (o != NULL && m->redelivered)
		json_object_set_new(o, "redelivered", json_true());
	emit(o);
}

static void
emit_outgoing(struct chat *chat, const struct rk_event *e)
{
	const struct rk_event_outgoing *m = &e->outgoing;
	json_int_t seq = (json_int_t)chat_seq(chat, m->local);

	if (e->type == RK_EVENT_SENT && seq != 0)
		emit(json_pack("{s:s, s:s, s:s, s:I}", "event", "sent", "id", m->id, "to", m->to, "seq", seq));
	else if (e->type == RK_EVENT_RECEIPT)
		emit(json_pack("{s:s, s:s, s:s, s:s, s:I}", "event", "receipt", "id", m->id, "to", m->to, "level",
			       rk_level_name(m->level), "seq", seq));
	else if (e->type == RK_EVENT_REFUSED)
		emit(json_pack("{s:s, s:s, s:s, s:s, s:I}", "event", "refused", "id", m->id, "to", m->to, "reason",
			       rk_refused_name(m->reason), "seq", seq));
}

static void
json_event(struct chat *chat, const struct rk_event *e)
{
	switch (e->type) {
	case RK_EVENT_KEY_SEEN:
		emit(json_pack("{s:s, s:s, s:b}", "event", "server_key", "key", e->key.text, "changed", e->key.changed));
		break;
	case RK_EVENT_LOGIN:
		emit(json_pack("{s:s, s:s, s:s, s:I, s:I}", "event", "login", "user", e->login.user, "observed", e->login.observed, "user_id",
			       (json_int_t)e->login.user_id, "device_id", (json_int_t)e->login.device_id));
		break;
	case RK_EVENT_LOGIN_REFUSED:
	case RK_EVENT_ERROR:
		emit(json_pack("{s:s, s:s, s:s}", "event", "error", "code", e->error.name, "text", e->error.text));
		break;
	case RK_EVENT_BUDDY_REQUEST:
		emit(json_pack("{s:s, s:s, s:s}", "event", "buddy_request", "from", e->buddy.name, "text", e->buddy.text));
		break;
	case RK_EVENT_BUDDY:
		emit(json_pack("{s:s, s:s, s:s}", "event", "buddy", "user", e->buddy.name, "state", rk_buddy_state_name(e->buddy.state)));
		break;
	case RK_EVENT_PRESENCE:
		emit(json_pack("{s:s, s:s, s:s, s:s}", "event", "presence", "user", e->presence.name, "status",
			       rk_status_name(e->presence.status), "text", e->presence.text));
		break;
	case RK_EVENT_MESSAGE:
		emit_message(&e->message);
		break;
	case RK_EVENT_SENT:
	case RK_EVENT_RECEIPT:
	case RK_EVENT_REFUSED:
		emit_outgoing(chat, e);
		break;
	case RK_EVENT_BUDDIES:
	case RK_EVENT_RESPONSE:
		emit_response(e);
		break;
	case RK_EVENT_DISCONNECTED:
		emit(json_pack("{s:s, s:s}", "event", "disconnected", "reason", e->error.text));
		break;
	case RK_EVENT_RESUMED:
		emit(json_pack("{s:s}", "event", "resumed"));
		break;
	case RK_EVENT_CLOSED:
		emit(json_pack("{s:s, s:s}", "event", "disconnected", "reason", rk_closed_name(e->closed)));
		break;
	case RK_EVENT_SYNCED:
		emit(json_pack("{s:s, s:I}", "event", "synced", "waiting", (json_int_t)e->synced));
		break;
	case RK_EVENT_ENROL_NEEDED:
	case RK_EVENT_NONE:
		break;
	}
}

const struct chat_view chat_view_json = {
	.open = json_open,
	.close = json_close,
	.ready = json_ready,
	.input = json_input,
	.event = json_event,
	.error = json_error,
};
