/* SPDX-License-Identifier: BSD-3-Clause */
/* trace.start and trace.read of the admin API: a trace belongs to the connection that began it, and ends with it. */
#include "control/admin_arguments.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define READ_MAX 256

static const char *
datagram_name(uint8_t type)
{
	static const char *const names[] = {"DATA", "LOGIN", "LOGIN_REPLY", "COOKIE", "VERSION_REPLY", "KEY", "RESET", "RESUME"};

	return type >= WIRE_DATA && type <= WIRE_RESUME ? names[type - WIRE_DATA] : "unknown";
}

static json_t *
frame_json(const struct trace_frame *f)
{
	json_t *row = json_pack("{s:s}", "type", frame_type_name(f->type));
	if (!row)
		return NULL;
	if (f->id)
		json_object_set_new(row, "id", json_integer((json_int_t)f->id));
	if (f->more)
		json_object_set_new(row, "more", json_integer(f->more));
	if (f->type == FRAME_RECEIPT)
		json_object_set_new(row, "level", json_string(receipt_level_name(f->detail)));
	if (f->type == FRAME_CLOSE)
		json_object_set_new(row, "reason", json_string(close_reason_name(f->detail)));
	return row;
}

/* Lower-case hexadecimal digits. */
static json_t *
bytes_json(const uint8_t *data, size_t length)
{
	static const char digits[] = "0123456789abcdef";
	char *text = malloc(2 * length + 1);
	json_t *value;
	if (!text)
		return NULL;
	for (size_t i = 0; i < length; i++) {
		text[2 * i] = digits[data[i] >> 4];
		text[2 * i + 1] = digits[data[i] & 15];
	}
	value = json_stringn(text, 2 * length);
	free(text);
	return value;
}

static json_t *
time_us_json(uint64_t us)
{
	time_t seconds = (time_t)(us / 1000000);
	struct tm tm;
	char text[64];
	if (!gmtime_r(&seconds, &tm) || !strftime(text, sizeof(text) - 10, "%Y-%m-%dT%H:%M:%S", &tm))
		return json_null();
	snprintf(text + strlen(text), 10, ".%06uZ", (unsigned)(us % 1000000));
	return json_string(text);
}

/* The end of a packet's way: its counter, or that it was sent. */
static const char *
verdict_of(const struct cell_trace *r)
{
	const char *first = r->counter_count != 0 && r->counters[0] < COUNTER_COUNT ? counter_info[r->counters[0]].name : "";
	if (r->kind != TRACE_OUT)
		return first;
	for (unsigned i = 0; i < r->counter_count; i++)
		if (r->counters[i] == COUNTER_tx_failed)
			return "tx_failed";
	return "sent";
}

struct trace_page {
	json_t *rows;
};

static json_t *
sid_json(session_id_t sid)
{
	char text[17];
	snprintf(text, sizeof(text), "%016" PRIx64, sid);
	return json_string(text);
}

static void
add_record(void *arg, const struct server_trace *t)
{
	struct trace_page *p = arg;
	const struct cell_trace *r = t->record;
	static const char *const kinds[] = {[TRACE_IN] = "in", [TRACE_OUT] = "out", [TRACE_EVENT] = "event"};
	char peer[ENDPOINT_STRLEN];
	json_t *counters = json_array(), *frames = json_array(), *to = json_array();
	for (unsigned i = 0; i < r->counter_count; i++)
		if (r->counters[i] < COUNTER_COUNT)
			json_array_append_new(counters, json_string(counter_info[r->counters[i]].name));
	for (unsigned i = 0; i < r->frame_count && i < TRACE_FRAMES_MAX; i++)
		json_array_append_new(frames, frame_json(&r->frames[i]));
	for (unsigned i = 0; i < r->to_count; i++)
		json_array_append_new(to, sid_json(r->to[i]));
	json_t *row = json_pack("{s:o, s:I, s:s, s:s, s:I, s:s, s:I, s:I, s:o, s:o, s:s, s:o, s:o, s:I, s:o}", "time",
				time_us_json(r->time_us), "worker", (json_int_t)t->worker, "direction", kinds[r->kind], "type",
				r->kind == TRACE_EVENT ? "" : datagram_name(r->type), "size", (json_int_t)r->size, "address",
				endpoint_format(&r->peer, peer), "port", (json_int_t)r->port, "local", (json_int_t)r->local, "sid",
				r->sid ? sid_json(r->sid) : json_null(), "user", text_json(t->user), "verdict", verdict_of(r),
				"counters", counters, "frames", frames, "frame_count", (json_int_t)r->frame_count, "relayed_to", to);
	if (row && t->length)
		json_object_set_new(row, "bytes", bytes_json(t->data, t->length));
	if (row)
		json_array_append_new(p->rows, row);
}

enum admin_outcome
admin_trace_read(struct admin_call *call)
{
	struct trace_page p = {0};
	uint64_t lost = 0;
	if (!only_known(call, (const char *const[]){NULL}))
		return ADMIN_ERROR;
	p.rows = json_array();
	int r = server_trace_read(call->server, call->client, READ_MAX, &lost, add_record, &p);
	if (r >= 0)
		return answer(call, json_pack("{s:o, s:I, s:b}", "records", p.rows, "lost", (json_int_t)lost, "more", r == READ_MAX));
	json_decref(p.rows);
	return refuse(call, "not_found", "this connection has no trace: it was not read from for a while");
}

enum admin_outcome
admin_trace_start(struct admin_call *call)
{
	struct trace_filter f = {0};
	const char *user;
	bool address, bytes;
	if (!only_known(call, (const char *const[]){"sid", "user", "address", "bytes", NULL}) || !get_sid(call, "sid", false, &f.id) ||
	    !get_string(call, "user", false, &user) || !get_prefix(call, "address", false, &address, &f.prefix) ||
	    !get_bool(call, "bytes", false, &bytes))
		return ADMIN_ERROR;
	if ((f.id != SESSION_ID_NONE) + (user != NULL) + address > 1)
		return refuse(call, "invalid", "give one of \"sid\", \"user\" and \"address\", or none for all packets");
	f.kind = user ? TRACE_USER : address ? TRACE_ADDRESS : f.id != SESSION_ID_NONE ? TRACE_SESSION : TRACE_ALL;
	f.bytes = bytes;
	int r = server_trace_start(call->server, call->client, &f, user);
	if (r == -ENOENT)
		return refuse(call, "not_found", "there is no user \"%.64s\"", user);
	if (r == -EBUSY)
		return refuse(call, "busy", "%d traces are on already: end one of them", TRACE_FILTERS_MAX);
	if (r < 0)
		return refuse_store(call, r);
	return answer(call, json_object());
}

enum admin_outcome
admin_trace_stop(struct admin_call *call)
{
	if (!only_known(call, (const char *const[]){NULL}))
		return ADMIN_ERROR;
	server_trace_stop(call->server, call->client);
	return answer(call, json_object());
}
