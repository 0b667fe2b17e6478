/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands of the admin API about the configuration and the log. */
#include "control/admin_arguments.h"
#include "control/reload.h"
#include "shared/config_values.h"
#include "shared/log.h"

#include <string.h>

/* What the dataplane started with; empty without one. */
static void
values_of_dataplane(struct admin_call *call, struct config_values *out)
{
	if (!call->server || server_dataplane_config(call->server, out) < 0)
		*out = (struct config_values){0};
}

static int
values_add(struct config_values *out, const struct config_values *from, bool of_dataplane)
{
	int rc = 0;
	for (unsigned i = 0; i < from->count && rc == 0; i++)
		if ((reload_outcome_of(from->list[i].key) == RELOAD_DATAPLANE) == of_dataplane)
			rc = config_values_add(out, from->list[i].key, from->list[i].text);
	return rc;
}

/* What the server runs with: of the keys that only the dataplane uses its own values, since it may have started with another file than
 * control. */
static int
values_running(struct admin_call *call, struct config_values *out)
{
	struct config_values own, dataplane;
	int rc = config_values_of(call->config, &own);
	if (rc < 0)
		return rc;
	values_of_dataplane(call, &dataplane);
	*out = (struct config_values){0};
	rc = values_add(out, dataplane.count > 0 ? &dataplane : &own, true);
	if (rc == 0)
		rc = values_add(out, &own, false);
	config_values_free(&own);
	config_values_free(&dataplane);
	return rc;
}

enum admin_outcome
admin_config_show(struct admin_call *call)
{
	struct config_values v;
	if (!only_known(call, (const char *const[]){NULL}))
		return ADMIN_ERROR;
	if (values_running(call, &v) < 0)
		return refuse(call, "internal", "out of memory");
	json_t *values = json_object();
	for (unsigned i = 0; i < v.count; i++)
		json_object_set_new(values, v.list[i].key, text_json(v.list[i].text));
	config_values_free(&v);
	const char *path = call->reload ? call->reload->path : NULL;
	return answer(call, json_pack("{s:o, s:o}", "file", path ? text_json(path) : json_null(), "values",
				      values));
}

static const char *
mend_of(enum reload_outcome outcome)
{
	switch (outcome) {
	case RELOAD_LIVE:
		return "";
	case RELOAD_DATAPLANE:
		return "rookctl restart dataplane";
	case RELOAD_BOTH:
		return "rookctl restart control, then rookctl restart dataplane";
	case RELOAD_CONTROL:
		return "rookctl restart control";
	default:
		return "stop the server and start it again";
	}
}

static bool
differ(const char *a, const char *b)
{
	return (a == NULL) != (b == NULL) || (a && strcmp(a, b) != 0);
}

/* NULL where a key is not there. `theirs`: the dataplane's value of a key that both processes use. NULL: no difference. */
static json_t *
difference(const char *key, const char *running, const char *theirs, const char *file)
{
	enum reload_outcome outcome = reload_outcome_of(key);
	bool here = differ(running, file), there = outcome == RELOAD_BOTH && theirs && differ(theirs, file);
	if (outcome == RELOAD_BOTH && theirs && here != there)
		outcome = here ? RELOAD_CONTROL : RELOAD_DATAPLANE;
	const char *from = here ? running : theirs;
	if (!here && !there)
		return NULL;
	return json_pack("{s:s, s:o, s:o, s:b, s:s}", "key", key, "from", from ? text_json(from) : json_null(), "to",
			 file ? text_json(file) : json_null(), "live", outcome == RELOAD_LIVE, "mend", mend_of(outcome));
}

/* Keys whose values differ; a key of a port that only one side has counts, too. */
static json_t *
differences(const struct config_values *running, const struct config_values *theirs, const struct config_values *file)
{
	json_t *changes = json_array(), *row;
	for (int side = 0; side < 2; side++) {
		const struct config_values *v = side == 0 ? running : file;
		for (unsigned i = 0; i < v->count; i++) {
			const char *key = v->list[i].key, *here = config_values_find(running, key);
			/* What both have was compared on the first side. */
			if (side == 1 && here)
				continue;
			row = difference(key, here, config_values_find(theirs, key), config_values_find(file, key));
			if (row)
				json_array_append_new(changes, row);
		}
	}
	return changes;
}

/* All of it, or nothing with a reason in text. */
static int
bring_into_force(struct admin_call *call, struct config *fresh)
{
	const struct admin_reload *r = call->reload;
	int rc = r->follow ? r->follow(r->follow_arg, fresh, call->text, sizeof(call->text)) : 0;
	if (rc < 0)
		return rc;
	reload_apply(r->config, fresh);
	server_log_levels(call->server);
	return 0;
}

enum admin_outcome
admin_config_reload(struct admin_call *call)
{
	struct config_values now = {0}, theirs, file = {0};
	struct config *fresh;
	bool dry_run;
	if (!only_known(call, (const char *const[]){"dry_run", NULL}) ||
	    !get_bool(call, "dry_run", false, &dry_run))
		return ADMIN_ERROR;
	if (!call->reload)
		return refuse(call, "invalid", "this program does not read its configuration again");
	if (config_load(&fresh, call->reload->path, call->reload->state, call->text, sizeof(call->text)) < 0) {
		call->code = "invalid"; /* the text is the configuration's own: file, line, key */
		return ADMIN_ERROR;
	}
	if (values_running(call, &now) < 0 || config_values_of(fresh, &file) < 0) {
		config_values_free(&now);
		config_free(fresh);
		return refuse(call, "internal", "out of memory");
	}
	values_of_dataplane(call, &theirs);
	json_t *changes = differences(&now, &theirs, &file);
	config_values_free(&now);
	config_values_free(&theirs);
	config_values_free(&file);
	if (!dry_run && bring_into_force(call, fresh) < 0) {
		json_decref(changes);
		config_free(fresh);
		call->code = "invalid";
		return ADMIN_ERROR;
	}
	if (!dry_run)
		log_info(control, "configuration read again", "differences=%zu", json_array_size(changes));
	config_free(fresh);
	return answer(call, json_pack("{s:b, s:o}", "applied", !dry_run, "changes", changes));
}

enum admin_outcome
admin_log_level(struct admin_call *call)
{
	const char *name, *area_name;
	enum log_level level;
	enum log_area area;
	if (!only_known(call, (const char *const[]){"level", "area", NULL}) ||
	    !get_string(call, "level", true, &name) || !get_string(call, "area", false, &area_name))
		return ADMIN_ERROR;
	if (log_level_find(name, &level) < 0)
		return refuse(call, "invalid", "\"%.40s\" is no level: error, warning, info or debug", name);
	if (area_name && log_area_find(area_name, &area, call->text, sizeof(call->text)) < 0) {
		call->code = "invalid";
		return ADMIN_ERROR;
	}
	if (area_name && area == LOG_AREA_launcher)
		return refuse(call, "invalid", "the launcher keeps the levels that it started with: set log.areas in the"
			      " configuration, then stop and start the server");
	if (area_name)
		log_set_level(area, level);
	else
		log_set_levels(level);
	server_log_levels(call->server);
	return answer(call, json_pack("{s:s, s:o}", "level", name, "area", area_name ? text_json(area_name) : json_null()));
}
