/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands of the admin API that show something. */
#include "control/admin_arguments.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- lists -------------------------------------------------------------------------- */

struct page {
	json_t *rows;
	uint64_t limit;
	bool more;
};

/* Room for one more row? The one beyond the page only tells that there is another page. */
static bool
page_open(struct page *p)
{
	if (json_array_size(p->rows) < p->limit)
		return true;
	p->more = true;
	return false;
}

static enum admin_outcome
page_answer(struct admin_call *call, struct page *p, const char *key, int result)
{
	if (result < 0) {
		json_decref(p->rows);
		return refuse_store(call, result);
	}
	return answer(call, json_pack("{s:o, s:b}", key, p->rows, "more", p->more));
}

static json_t *
user_json(const struct server_user *u)
{
	return json_pack("{s:I, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:b, s:s, s:o}", "id", (json_int_t)u->id,
				"name", text_json(u->name), "created", time_json(u->created_ms), "last_seen",
				time_json(u->last_seen_ms), "devices", (json_int_t)u->devices, "sessions",
				(json_int_t)u->sessions, "buddies", (json_int_t)u->buddies, "stored",
				(json_int_t)u->stored, "disabled", u->disabled, "presence", u->presence, "presence_text",
				text_json(u->presence_text));
}

static bool
add_user(void *arg, const struct server_user *u)
{
	struct page *p = arg;
	if (!page_open(p))
		return false;
	json_t *row = user_json(u);
	return row && json_array_append_new(p->rows, row) == 0;
}

enum admin_outcome
admin_users_list(struct admin_call *call)
{
	uint64_t offset;
	const char *prefix;
	struct page p = {0};
	if (!only_known(call, (const char *const[]){"prefix", "limit", "offset", NULL}) ||
	    !get_string(call, "prefix", false, &prefix) || !get_page(call, &p.limit, &offset))
		return ADMIN_ERROR;
	p.rows = json_array();
	return page_answer(call, &p, "users",
			   server_users_list(call->server, prefix, offset, p.limit + 1, add_user, &p));
}

static bool
add_device(void *arg, const struct server_device *d)
{
	struct page *p = arg;
	char sid[17];
	snprintf(sid, sizeof(sid), "%016" PRIx64, d->sid);
	json_t *row = json_pack("{s:I, s:o, s:o, s:I, s:o}", "id", (json_int_t)d->id, "name",
				text_json(d->name), "last_seen", time_json(d->last_seen_ms), "stored",
				(json_int_t)d->stored, "sid",
				d->sid == SESSION_ID_NONE ? json_null() : json_string(sid));
	return row && json_array_append_new(p->rows, row) == 0;
}

static enum admin_outcome
no_user(struct admin_call *call, const char *name)
{
	return refuse(call, "not_found", "there is no user \"%.64s\"", name);
}

enum admin_outcome
admin_users_show(struct admin_call *call)
{
	const char *name;
	struct page p = {.limit = UINT64_MAX};
	if (!only_known(call, (const char *const[]){"name", NULL}) || !get_string(call, "name", true, &name))
		return ADMIN_ERROR;
	/* The account comes first, its devices behind it. */
	p.rows = json_array();
	int r = server_user_show(call->server, name, add_user, add_device, &p);
	if (r < 0 || json_array_size(p.rows) == 0) {
		json_decref(p.rows);
		return r == -ENOENT ? no_user(call, name) : refuse_store(call, r);
	}
	json_t *user = json_incref(json_array_get(p.rows, 0));
	json_array_remove(p.rows, 0);
	return answer(call, json_pack("{s:o, s:o}", "user", user, "devices", p.rows));
}

/* ---- sessions ----------------------------------------------------------------------- */

static json_t *
session_json(const struct server_session *s)
{
	char sid[17], peer[ENDPOINT_STRLEN];
	snprintf(sid, sizeof(sid), "%016" PRIx64, s->sid);
	return json_pack("{s:s, s:o, s:I, s:I, s:o, s:s, s:I, s:I, s:I, s:s, s:o, s:b, s:I}", "sid",
				sid, "user", text_json(s->name), "user_id", (json_int_t)s->user, "device",
				(json_int_t)s->device, "device_name", text_json(s->device_name), "status",
				s->status, "worker", (json_int_t)s->worker, "epoch", (json_int_t)s->epoch,
				"port", (json_int_t)s->port, "address", endpoint_format(&s->peer, peer),
				"since", time_json(s->since_ms), "heard", s->heard, "outstanding",
				(json_int_t)s->outstanding);
}

static bool
add_session(void *arg, const struct server_session *s)
{
	struct page *p = arg;
	if (!page_open(p))
		return false;
	json_t *row = session_json(s);
	return row && json_array_append_new(p->rows, row) == 0;
}

enum admin_outcome
admin_sessions_list(struct admin_call *call)
{
	uint64_t offset, worker;
	struct server_session_filter f = {0};
	struct page p = {0};
	if (!only_known(call, (const char *const[]){"user", "address", "worker", "status", "limit", "offset",
						    NULL}) ||
	    !get_string(call, "user", false, &f.name) || !get_string(call, "status", false, &f.status) ||
	    !get_number(call, "worker", 0, SESSION_WORKERS_MAX - 1, UINT64_MAX, &worker) ||
	    !get_prefix(call, "address", false, &f.by_address, &f.address) || !get_page(call, &p.limit, &offset))
		return ADMIN_ERROR;
	f.worker = worker == UINT64_MAX ? -1 : (int)worker;
	p.rows = json_array();
	return page_answer(call, &p, "sessions",
			   server_sessions_list(call->server, &f, offset, p.limit + 1, add_session, &p));
}

enum admin_outcome
admin_sessions_show(struct admin_call *call)
{
	struct server_session_filter f = {.worker = -1};
	struct page p = {.limit = 1, .rows = json_array()};
	enum admin_outcome outcome = ADMIN_ERROR;
	if (only_known(call, (const char *const[]){"sid", NULL}) && get_sid(call, "sid", true, &f.sid)) {
		server_sessions_list(call->server, &f, 0, 1, add_session, &p);
		outcome = json_array_size(p.rows)
				  ? answer(call, json_incref(json_array_get(p.rows, 0)))
				  : refuse(call, "not_found", "there is no session %016" PRIx64, f.sid);
	}
	json_decref(p.rows);
	return outcome;
}

/* ---- buddies and presence ------------------------------------------------------------- */

static bool
add_buddy(void *arg, const struct server_buddy *b)
{
	struct page *p = arg;
	json_t *row = json_pack("{s:I, s:s, s:s, s:b, s:b, s:s}", "id", (json_int_t)b->id, "name", b->name,
				"state", b->state, "blocked", b->blocked, "blocked_by", b->blocked_by,
				"presence", b->presence);
	return row && json_array_append_new(p->rows, row) == 0;
}

enum admin_outcome
admin_buddies_show(struct admin_call *call)
{
	const char *name;
	struct page p = {0};
	if (!only_known(call, (const char *const[]){"name", NULL}) || !get_string(call, "name", true, &name))
		return ADMIN_ERROR;
	p.rows = json_array();
	int r = server_buddies_show(call->server, name, add_buddy, &p);
	if (r == 0)
		return answer(call, json_pack("{s:o}", "buddies", p.rows));
	json_decref(p.rows);
	return r == -ENOENT ? no_user(call, name) : refuse_store(call, r);
}

static bool
add_presence(void *arg, const struct server_presence *u)
{
	struct page *p = arg;
	if (!page_open(p))
		return false;
	json_t *row = json_pack("{s:I, s:s, s:s, s:o, s:I}", "id", (json_int_t)u->user, "name", u->name,
				"presence", u->shown, "text", text_json(u->text), "sessions",
				(json_int_t)u->sessions);
	return row && json_array_append_new(p->rows, row) == 0;
}

enum admin_outcome
admin_presence_list(struct admin_call *call)
{
	uint64_t offset;
	struct page p = {0};
	if (!only_known(call, (const char *const[]){"limit", "offset", NULL}) ||
	    !get_page(call, &p.limit, &offset))
		return ADMIN_ERROR;
	p.rows = json_array();
	return page_answer(call, &p, "users",
			   server_presence_list(call->server, offset, p.limit + 1, add_presence, &p));
}

/* ---- bans --------------------------------------------------------------------------- */

struct bans_page {
	struct page page;
	const char *missing; /* why none is in force yet; NULL: all are */
};

static const char *
enforcer(const struct bans_page *p, const struct server_ban *b, char *text, size_t cap)
{
	if (p->missing)
		return p->missing;
	if (b->nic_ports == 0)
		return "workers";
	if (b->nic_ports >= b->ports)
		return "nic";
	snprintf(text, cap, "nic on %u of %u ports", b->nic_ports, b->ports);
	return text;
}

static bool
add_ban(void *arg, const struct server_ban *b)
{
	struct bans_page *p = arg;
	char prefix[PREFIX_STRLEN], text[48];
	if (!page_open(&p->page))
		return false;
	json_t *row = json_pack("{s:s, s:o, s:o, s:s, s:i, s:i, s:o}", "prefix", prefix_format(&b->prefix, prefix), "since",
				time_json(b->created_ms), "until", time_json(b->until_ms), "enforced", enforcer(p, b, text, sizeof(text)), "nic_ports",
				(int)b->nic_ports, "ports", (int)b->ports, "reason",
				text_json(b->reason));
	return row && json_array_append_new(p->page.rows, row) == 0;
}

enum admin_outcome
admin_bans_list(struct admin_call *call)
{
	uint64_t offset;
	struct bans_page p = {0};
	if (!only_known(call, (const char *const[]){"limit", "offset", NULL}) || !get_page(call, &p.page.limit, &offset))
		return ADMIN_ERROR;
	struct server_status *s = calloc(1, sizeof(*s));
	if (!s)
		return refuse(call, "internal", "out of memory");
	server_pulse(call->server, s);
	p.missing = !s->dataplane_connected ? "no dataplane" : s->bans_enforced != s->bans ? "not yet" : NULL;
	free(s);
	p.page.rows = json_array();
	return page_answer(call, &p.page, "bans",
			   server_bans_list(call->server, offset, p.page.limit + 1, add_ban, &p));
}

/* ---- stats -------------------------------------------------------------------------- */

struct stats {
	json_t *rows;
	bool drops_only;
	uint64_t worker; /* UINT64_MAX: all scopes */
	bool worker_seen;
};

static bool
add_counter(void *arg, const struct server_counter *c)
{
	struct stats *s = arg;
	bool worker = strcmp(c->scope, "worker") == 0;
	if (s->worker != UINT64_MAX) {
		if (!worker || c->worker != s->worker)
			return true;
		s->worker_seen = true;
	}
	if (s->drops_only && !c->drop)
		return true;
	json_t *row = json_pack("{s:s, s:I, s:s, s:s, s:I, s:b}", "scope", c->scope, "worker",
				(json_int_t)c->worker, "name", c->name, "text", c->text, "value",
				(json_int_t)c->value, "drop", c->drop);
	return row && json_array_append_new(s->rows, row) == 0;
}

enum admin_outcome
admin_stats(struct admin_call *call)
{
	struct stats s = {0};
	if (!only_known(call, (const char *const[]){"drops", "worker", NULL}) ||
	    !get_bool(call, "drops", false, &s.drops_only) ||
	    !get_number(call, "worker", 0, SESSION_WORKERS_MAX - 1, UINT64_MAX, &s.worker))
		return ADMIN_ERROR;
	s.rows = json_array();
	int r = server_stats(call->server, add_counter, &s);
	if (s.worker != UINT64_MAX && !s.worker_seen) {
		json_decref(s.rows);
		return r == -ENOTCONN ? refuse(call, "no_dataplane",
					       "the dataplane is not there: its counters are unknown")
				      : refuse(call, "not_found", "there is no worker %" PRIu64, s.worker);
	}
	return answer(call, json_pack("{s:b, s:o}", "connected", r != -ENOTCONN, "counters", s.rows));
}

/* ---- sample -------------------------------------------------------------------------- */

struct sample {
	json_t *workers, *housekeeping, *control;
};

static bool
add_value(void *arg, const struct server_counter *c)
{
	struct sample *s = arg;
	json_t *to = s->control;
	if (strcmp(c->scope, "housekeeping") == 0)
		to = s->housekeeping;
	if (strcmp(c->scope, "worker") == 0) {
		while (json_array_size(s->workers) <= c->worker)
			if (json_array_append_new(s->workers, json_object()) < 0)
				return false;
		to = json_array_get(s->workers, c->worker);
	}
	return json_object_set_new(to, c->name, json_integer((json_int_t)c->value)) == 0;
}

/* All that changes quickly, short: for a view that asks again and again. */
enum admin_outcome
admin_sample(struct admin_call *call)
{
	if (!only_known(call, (const char *const[]){NULL}))
		return ADMIN_ERROR;
	struct sample sample = {json_array(), json_object(), json_object()};
	struct server_status *s = calloc(1, sizeof(*s));
	if (!s)
		return refuse(call, "internal", "out of memory");
	server_pulse(call->server, s);
	server_stats(call->server, add_value, &sample);
	json_t *result = json_pack(
		"{s:I, s:b, s:b, s:b, s:b, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o}", "uptime_ms",
		(json_int_t)s->uptime_ms, "ready", s->ready, "draining", s->draining, "connected",
		s->dataplane_connected, "store_ok", s->store_ok, "sessions", (json_int_t)s->sessions,
		"sessions_restricted", (json_int_t)s->sessions_restricted, "sessions_max",
		(json_int_t)s->workers * s->sessions_per_worker, "users_online", (json_int_t)s->users_online,
		"rings", admin_rings_json(s), "workers",
		sample.workers, "housekeeping", sample.housekeeping, "control", sample.control);
	free(s);
	return answer(call, result);
}
