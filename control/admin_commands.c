/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/admin_commands.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

__attribute__((format(printf, 3, 4))) static enum admin_outcome
refuse(struct admin_call *call, const char *code, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(call->text, sizeof(call->text), format, args);
	va_end(args);
	call->code = code;
	return ADMIN_ERROR;
}

static enum admin_outcome
answer(struct admin_call *call, json_t *result)
{
	if (!result)
		return refuse(call, "internal", "out of memory");
	call->result = result;
	return ADMIN_OK;
}

static enum admin_outcome
store_error(struct admin_call *call, int result)
{
	struct server_status *s = calloc(1, sizeof(*s));
	if (s)
		server_status(call->server, s);
	refuse(call, admin_code(result), "the store is not available%s%s", s && s->store_error[0] ? ": " : "",
	       s ? s->store_error : "");
	free(s);
	return ADMIN_ERROR;
}

/* ---- arguments ---------------------------------------------------------------------- */

/* Each argument that is given must be one of `known`: a mistyped filter must not list or end everything. */
static bool
only_known(struct admin_call *call, const char *const known[])
{
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)call->args, key, value) {
		bool found = false;
		for (size_t i = 0; known[i] && !found; i++)
			found = strcmp(known[i], key) == 0;
		if (!found) {
			refuse(call, "invalid", "this command has no argument \"%.40s\"", key);
			return false;
		}
	}
	return true;
}

/* *out stays NULL when an optional argument is missing. */
static bool
get_string(struct admin_call *call, const char *key, bool required, const char **out)
{
	const json_t *value = json_object_get(call->args, key);
	*out = NULL;
	if (!value && !required)
		return true;
	/* jansson refuses \u0000 in strings, so the C string is the whole value. */
	*out = json_string_value(value);
	if (*out && **out)
		return true;
	refuse(call, "invalid", "\"%s\" must be a string that is not empty", key);
	return false;
}

static bool
get_number(struct admin_call *call, const char *key, uint64_t min, uint64_t max, uint64_t missing,
	   uint64_t *out)
{
	const json_t *value = json_object_get(call->args, key);
	*out = missing;
	if (!value)
		return true;
	json_int_t n = json_integer_value(value);
	if (!json_is_integer(value) || n < 0 || (uint64_t)n < min || (uint64_t)n > max) {
		refuse(call, "invalid", "\"%s\" must be a number from %" PRIu64 " to %" PRIu64, key, min,
		       max);
		return false;
	}
	*out = (uint64_t)n;
	return true;
}

static bool
get_page(struct admin_call *call, uint64_t *limit, uint64_t *offset)
{
	return get_number(call, "limit", 1, ADMIN_PAGE_MAX, ADMIN_PAGE_DEFAULT, limit) &&
	       get_number(call, "offset", 0, INT32_MAX, 0, offset);
}

/* ---- values ------------------------------------------------------------------------- */

/* Names of devices and status texts come from clients; whatever is no UTF-8 must not make the reply
 * impossible. */
static json_t *
text_json(const char *text)
{
	json_t *value = json_string(text ? text : "");
	return value ? value : json_string("?");
}

/* Milliseconds since 1970 as RFC 3339 in UTC; 0 becomes null. */
static json_t *
time_json(uint64_t ms)
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;
	char text[64];
	if (ms == 0 || !gmtime_r(&seconds, &tm) ||
	    !strftime(text, sizeof(text) - 8, "%Y-%m-%dT%H:%M:%S", &tm))
		return json_null();
	snprintf(text + strlen(text), 8, ".%03uZ", (unsigned)(ms % 1000));
	return json_string(text);
}

/* ---- status ------------------------------------------------------------------------- */

static json_t *
ports_json(const struct config *c)
{
	json_t *ports = json_array();
	for (unsigned i = 0; i < c->dataplane.ports_count; i++) {
		const struct config_port *p = &c->dataplane.ports[i];
		if (p->type == PORT_SOCKET) {
			json_array_append_new(ports,
					      json_pack("{s:s, s:s}", "type", "socket", "listen", p->listen));
			continue;
		}
		json_t *devices = json_array(), *addresses = json_array();
		for (unsigned d = 0; d < p->devices_count; d++)
			json_array_append_new(devices, text_json(p->devices[d]));
		for (unsigned a = 0; a < p->addresses_count; a++)
			json_array_append_new(addresses, text_json(p->addresses[a]));
		json_array_append_new(ports,
				      json_pack("{s:s, s:o, s:o, s:i}", "type", "ethdev", "devices", devices,
						"addresses", addresses, "udp_port", (int)p->udp_port));
	}
	return ports;
}

static json_t *
fill_json(const struct server_ring_fill *f)
{
	return json_pack("{s:I, s:I, s:I}", "used", (json_int_t)f->used, "capacity", (json_int_t)f->capacity,
			 "backlog", (json_int_t)f->backlog);
}

static json_t *
rings_json(const struct server_status *s)
{
	json_t *workers = json_array();
	for (uint32_t w = 0; w < s->workers && w < SESSION_WORKERS_MAX; w++)
		json_array_append_new(workers, json_pack("{s:o, s:o, s:o, s:o}", "event",
							 fill_json(&s->rings[w].event), "request",
							 fill_json(&s->rings[w].request), "login",
							 fill_json(&s->rings[w].login), "inject",
							 fill_json(&s->rings[w].inject)));
	return json_pack("{s:o, s:o}", "table", fill_json(&s->table), "workers", workers);
}

static const char *
waiting_for(const struct server_status *s)
{
	if (s->ready)
		return "";
	return s->dataplane_connected ? "sessions to be provisioned in the dataplane" : "the dataplane";
}

static enum admin_outcome
run_status(struct admin_call *call)
{
	if (!only_known(call, (const char *const[]){NULL}))
		return ADMIN_ERROR;
	struct server_status *s = calloc(1, sizeof(*s)); /* large: rings of all workers */
	if (!s)
		return refuse(call, "internal", "out of memory");
	server_status(call->server, s);
	char boot[17];
	snprintf(boot, sizeof(boot), "%016" PRIx64, s->boot);
	json_t *dataplane =
		json_pack("{s:b, s:I, s:s, s:I, s:I, s:I, s:o}", "connected", s->dataplane_connected, "pid",
			  (json_int_t)s->dataplane_pid, "boot", boot, "instance", (json_int_t)s->instance,
			  "workers", (json_int_t)s->workers, "sessions_max",
			  (json_int_t)s->workers * s->sessions_per_worker, "rings", rings_json(s));
	json_t *store = json_pack("{s:b, s:o, s:I}", "ok", s->store_ok, "error", text_json(s->store_error),
				  "stored_messages", (json_int_t)s->stored_messages);
	json_t *result = json_pack(
		"{s:s, s:I, s:I, s:b, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I}", "version",
		s->version ? s->version : ROOKERY_VERSION, "pid", (json_int_t)getpid(), "uptime_s",
		(json_int_t)(s->uptime_ms / 1000), "ready", s->ready, "waiting_for", waiting_for(s),
		"state_dir", call->config->state_dir, "runtime_dir", call->config->runtime_dir, "server_key",
		s->server_key, "ports", ports_json(call->config), "dataplane", dataplane, "store", store,
		"users", (json_int_t)s->users, "users_online", (json_int_t)s->users_online, "devices",
		(json_int_t)s->devices, "sessions", (json_int_t)s->sessions, "sessions_restricted",
		(json_int_t)s->sessions_restricted);
	free(s);
	return answer(call, result);
}

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
		return store_error(call, result);
	}
	return answer(call, json_pack("{s:o, s:b}", key, p->rows, "more", p->more));
}

static bool
add_user(void *arg, const struct server_user *u)
{
	struct page *p = arg;
	if (!page_open(p))
		return false;
	json_t *row = json_pack("{s:I, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:s, s:o}", "id", (json_int_t)u->id,
				"name", text_json(u->name), "created", time_json(u->created_ms), "last_seen",
				time_json(u->last_seen_ms), "devices", (json_int_t)u->devices, "sessions",
				(json_int_t)u->sessions, "buddies", (json_int_t)u->buddies, "stored",
				(json_int_t)u->stored, "presence", u->presence, "presence_text",
				text_json(u->presence_text));
	return row && json_array_append_new(p->rows, row) == 0;
}

static enum admin_outcome
run_users_list(struct admin_call *call)
{
	uint64_t offset;
	struct page p = {0};
	if (!only_known(call, (const char *const[]){"limit", "offset", NULL}) ||
	    !get_page(call, &p.limit, &offset))
		return ADMIN_ERROR;
	p.rows = json_array();
	return page_answer(call, &p, "users",
			   server_users_list(call->server, offset, p.limit + 1, add_user, &p));
}

static bool
add_session(void *arg, const struct server_session *s)
{
	struct page *p = arg;
	if (!page_open(p))
		return false;
	char sid[17], peer[ENDPOINT_STRLEN];
	snprintf(sid, sizeof(sid), "%016" PRIx64, s->sid);
	json_t *row = json_pack("{s:s, s:o, s:I, s:I, s:o, s:s, s:I, s:I, s:I, s:s, s:o, s:b, s:I}", "sid",
				sid, "user", text_json(s->name), "user_id", (json_int_t)s->user, "device",
				(json_int_t)s->device, "device_name", text_json(s->device_name), "status",
				s->status, "worker", (json_int_t)s->worker, "epoch", (json_int_t)s->epoch,
				"port", (json_int_t)s->port, "address", endpoint_format(&s->peer, peer),
				"since", time_json(s->since_ms), "heard", s->heard, "outstanding",
				(json_int_t)s->outstanding);
	return row && json_array_append_new(p->rows, row) == 0;
}

static enum admin_outcome
run_sessions_list(struct admin_call *call)
{
	uint64_t offset;
	const char *user;
	struct page p = {0};
	if (!only_known(call, (const char *const[]){"user", "limit", "offset", NULL}) ||
	    !get_string(call, "user", false, &user) || !get_page(call, &p.limit, &offset))
		return ADMIN_ERROR;
	p.rows = json_array();
	int r = server_sessions_list(call->server, user, offset, p.limit + 1, add_session, &p);
	if (r == -ENOENT) {
		json_decref(p.rows);
		return refuse(call, "not_found", "there is no user \"%.64s\"", user ? user : "");
	}
	return page_answer(call, &p, "sessions", r);
}

/* ---- changes ------------------------------------------------------------------------ */

/* What the start of an asynchronous operation on the account `name` returned. */
static enum admin_outcome
started(struct admin_call *call, const char *name, int result)
{
	if (result >= 0)
		return ADMIN_LATER;
	if (result == -ENOENT)
		return refuse(call, "not_found", "there is no user \"%.64s\"", name);
	if (result == -EEXIST)
		return refuse(call, "exists", "the name \"%.64s\" is taken", name);
	call->code = admin_code(result);
	if (!call->text[0])
		refuse(call, call->code, "%s", strerror(-result));
	return ADMIN_ERROR;
}

static enum admin_outcome
run_users_add(struct admin_call *call)
{
	const char *name, *password;
	if (!only_known(call, (const char *const[]){"name", "password", NULL}) ||
	    !get_string(call, "name", true, &name) || !get_string(call, "password", true, &password))
		return ADMIN_ERROR;
	return started(call, name,
		       server_user_add(call->server, name, password, call->done, call->done_arg, call->text,
				       sizeof(call->text)));
}

static enum admin_outcome
run_users_passwd(struct admin_call *call)
{
	const char *name, *password;
	if (!only_known(call, (const char *const[]){"name", "password", NULL}) ||
	    !get_string(call, "name", true, &name) || !get_string(call, "password", true, &password))
		return ADMIN_ERROR;
	return started(call, name,
		       server_user_passwd(call->server, name, password, call->done, call->done_arg,
					  call->text, sizeof(call->text)));
}

static enum admin_outcome
run_users_del(struct admin_call *call)
{
	const char *name;
	if (!only_known(call, (const char *const[]){"name", NULL}) || !get_string(call, "name", true, &name))
		return ADMIN_ERROR;
	return started(call, name,
		       server_user_del(call->server, name, call->done, call->done_arg, call->text,
				       sizeof(call->text)));
}

static bool
parse_sid(const char *text, session_id_t *out)
{
	if (strncmp(text, "0x", 2) == 0)
		text += 2;
	size_t len = strlen(text);
	if (len == 0 || len > 16 || strspn(text, "0123456789abcdefABCDEF") != len)
		return false;
	*out = strtoull(text, NULL, 16);
	return *out != SESSION_ID_NONE;
}

static enum admin_outcome
run_sessions_kick(struct admin_call *call)
{
	const char *sid_text, *user;
	session_id_t sid = SESSION_ID_NONE;
	if (!only_known(call, (const char *const[]){"sid", "user", NULL}) ||
	    !get_string(call, "sid", false, &sid_text) || !get_string(call, "user", false, &user))
		return ADMIN_ERROR;
	if (!sid_text == !user)
		return refuse(call, "invalid", "give either \"sid\" or \"user\"");
	if (sid_text && !parse_sid(sid_text, &sid))
		return refuse(call, "invalid",
			      "\"%.40s\" is not a session id: up to 16 hexadecimal digits, see "
			      "`rookctl sessions list`",
			      sid_text);
	int r = server_session_kick(call->server, sid, user);
	if (r == -ENOENT && sid_text)
		return refuse(call, "not_found", "there is no session %.40s", sid_text);
	if (r == -ENOENT)
		return refuse(call, "not_found", "there is no user \"%.64s\", or no session of that user",
			      user);
	if (r < 0)
		return store_error(call, r);
	return answer(call, json_pack("{s:i}", "ended", r));
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

static enum admin_outcome
run_stats(struct admin_call *call)
{
	struct stats s = {0};
	const json_t *drops = json_object_get(call->args, "drops");
	if (!only_known(call, (const char *const[]){"drops", "worker", NULL}) ||
	    !get_number(call, "worker", 0, SESSION_WORKERS_MAX - 1, UINT64_MAX, &s.worker))
		return ADMIN_ERROR;
	if (drops && !json_is_boolean(drops))
		return refuse(call, "invalid", "\"drops\" must be true or false");
	s.drops_only = json_is_true(drops);
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

/* ---- the table ---------------------------------------------------------------------- */

static const struct {
	const char *name;
	enum admin_outcome (*run)(struct admin_call *call);
} commands[] = {
	{"status", run_status},
	{"users.list", run_users_list},
	{"users.add", run_users_add},
	{"users.passwd", run_users_passwd},
	{"users.del", run_users_del},
	{"sessions.list", run_sessions_list},
	{"sessions.kick", run_sessions_kick},
	{"stats", run_stats},
};

enum admin_outcome
admin_command_run(const char *command, struct admin_call *call)
{
	call->result = NULL;
	call->code = NULL;
	call->text[0] = '\0';
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, command) == 0)
			return commands[i].run(call);
	return refuse(call, "unknown_command",
		      "this server has no command \"%s\"; it runs version " ROOKERY_VERSION, command);
}
