/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/admin_commands.h"

#include "control/admin_arguments.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

json_t *
admin_rings_json(const struct server_status *s)
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
			  (json_int_t)s->workers * s->sessions_per_worker, "rings", admin_rings_json(s));
	json_t *store = json_pack("{s:b, s:o, s:I}", "ok", s->store_ok, "error", text_json(s->store_error),
				  "stored_messages", (json_int_t)s->stored_messages);
	/* "listen" is null where none is wanted. */
	const char *listen = call->config->metrics.listen;
	json_t *page = json_pack("{s:s?, s:b, s:o}", "listen", listen[0] ? listen : NULL, "ok", listen[0] && !s->page_error[0], "error",
				 text_json(s->page_error));
	json_t *result = json_pack(
		"{s:s, s:I, s:I, s:b, s:s, s:b, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "version",
		s->version ? s->version : ROOKERY_VERSION, "pid", (json_int_t)getpid(), "uptime_s",
		(json_int_t)(s->uptime_ms / 1000), "ready", s->ready, "waiting_for", waiting_for(s), "draining", s->draining,
		"state_dir", call->config->state_dir, "runtime_dir", call->config->runtime_dir, "server_key",
		s->server_key, "ports", ports_json(call->config), "dataplane", dataplane, "store", store, "status_page", page,
		"users", (json_int_t)s->users, "users_online", (json_int_t)s->users_online, "devices",
		(json_int_t)s->devices, "sessions", (json_int_t)s->sessions, "sessions_restricted",
		(json_int_t)s->sessions_restricted, "bans", (json_int_t)s->bans, "traces",
		(json_int_t)s->traces);
	free(s);
	return answer(call, result);
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
run_users_enable(struct admin_call *call)
{
	const char *name;
	bool on;
	if (!only_known(call, (const char *const[]){"name", "on", NULL}) ||
	    !get_string(call, "name", true, &name) || !get_bool(call, "on", true, &on))
		return ADMIN_ERROR;
	return started(call, name,
		       server_user_enable(call->server, name, on, call->done, call->done_arg, call->text,
					  sizeof(call->text)));
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

static enum admin_outcome
run_sessions_kick(struct admin_call *call)
{
	const char *user;
	session_id_t sid;
	if (!only_known(call, (const char *const[]){"sid", "user", NULL}) ||
	    !get_sid(call, "sid", false, &sid) || !get_string(call, "user", false, &user))
		return ADMIN_ERROR;
	if ((sid == SESSION_ID_NONE) == !user)
		return refuse(call, "invalid", "give either \"sid\" or \"user\"");
	int r = server_session_kick(call->server, sid, user);
	if (r == -ENOENT && !user)
		return refuse(call, "not_found", "there is no session %016" PRIx64, sid);
	if (r == -ENOENT)
		return refuse(call, "not_found", "there is no user \"%.64s\", or no session of that user",
			      user);
	if (r < 0)
		return refuse_store(call, r);
	return answer(call, json_pack("{s:i}", "ended", r));
}

#define BAN_SECONDS_MAX (UINT64_C(10) * 366 * 86400)

static enum admin_outcome
run_bans_add(struct admin_call *call)
{
	struct prefix p;
	const char *reason;
	uint64_t seconds;
	bool given;
	if (!only_known(call, (const char *const[]){"address", "seconds", "reason", NULL}) ||
	    !get_prefix(call, "address", true, &given, &p) ||
	    !get_number(call, "seconds", 1, BAN_SECONDS_MAX, 0, &seconds) || !get_string(call, "reason", false, &reason))
		return ADMIN_ERROR;
	return started(call, "", server_ban_add(call->server, &p, seconds, reason, call->done, call->done_arg, call->text,
						sizeof(call->text)));
}

static enum admin_outcome
run_bans_del(struct admin_call *call)
{
	struct prefix p;
	bool given;
	if (!only_known(call, (const char *const[]){"address", NULL}) || !get_prefix(call, "address", true, &given, &p))
		return ADMIN_ERROR;
	return started(call, "", server_ban_del(call->server, &p, call->done, call->done_arg));
}

static enum admin_outcome
run_drain(struct admin_call *call)
{
	bool on;
	if (!only_known(call, (const char *const[]){"on", NULL}) || !get_bool(call, "on", true, &on))
		return ADMIN_ERROR;
	return started(call, "", server_drain(call->server, on, call->done, call->done_arg));
}

/* ---- the table ---------------------------------------------------------------------- */

static const struct {
	const char *name;
	enum admin_outcome (*run)(struct admin_call *call);
} commands[] = {
	{"status", run_status},
	{"users.list", admin_users_list},
	{"users.show", admin_users_show},
	{"users.add", run_users_add},
	{"users.passwd", run_users_passwd},
	{"users.enable", run_users_enable},
	{"users.del", run_users_del},
	{"sessions.list", admin_sessions_list},
	{"sessions.show", admin_sessions_show},
	{"sessions.kick", run_sessions_kick},
	{"buddies.show", admin_buddies_show},
	{"presence.list", admin_presence_list},
	{"bans.list", admin_bans_list},
	{"bans.add", run_bans_add},
	{"bans.del", run_bans_del},
	{"trace.start", admin_trace_start},
	{"trace.read", admin_trace_read},
	{"trace.stop", admin_trace_stop},
	{"config.show", admin_config_show},
	{"config.reload", admin_config_reload},
	{"log.level", admin_log_level},
	{"drain", run_drain},
	{"sample", admin_sample},
	{"stats", admin_stats},
};

bool
admin_command_known(const char *command)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, command) == 0)
			return true;
	return false;
}

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
