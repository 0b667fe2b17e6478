/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands of the admin API about the configuration and the log. */
#include "control/admin_arguments.h"
#include "control/reload.h"
#include "shared/config_values.h"
#include "shared/log.h"

#include <string.h>

enum admin_outcome
admin_config_show(struct admin_call *call)
{
	struct config_values v;
	if (!only_known(call, (const char *const[]){NULL}))
		return ADMIN_ERROR;
	if (config_values_of(call->config, &v) < 0)
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

/* Keys whose values differ; a key of a port that only one side has counts, too. */
static json_t *
differences(const struct config_values *now, const struct config_values *file)
{
	json_t *changes = json_array();
	for (int side = 0; side < 2; side++) {
		const struct config_values *v = side == 0 ? now : file, *other = side == 0 ? file : now;
		for (unsigned i = 0; i < v->count; i++) {
			const char *here = v->list[i].text, *there = config_values_find(other, v->list[i].key);
			/* What both have was compared on the first side. */
			if (there && (side == 1 || strcmp(here, there) == 0))
				continue;
			enum reload_outcome outcome = reload_outcome_of(v->list[i].key);
			const char *from = side == 0 ? here : NULL, *to = side == 0 ? there : here;
			json_array_append_new(changes,
					      json_pack("{s:s, s:o, s:o, s:b, s:s}", "key", v->list[i].key, "from",
							from ? text_json(from) : json_null(), "to",
							to ? text_json(to) : json_null(), "live",
							outcome == RELOAD_LIVE, "mend", mend_of(outcome)));
		}
	}
	return changes;
}

enum admin_outcome
admin_config_reload(struct admin_call *call)
{
	struct config_values now = {0}, file = {0};
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
	if (config_values_of(call->config, &now) < 0 || config_values_of(fresh, &file) < 0) {
		config_values_free(&now);
		config_free(fresh);
		return refuse(call, "internal", "out of memory");
	}
	json_t *changes = differences(&now, &file);
	config_values_free(&now);
	config_values_free(&file);
	if (!dry_run) {
		reload_apply(call->reload->config, fresh);
		server_log_levels(call->server);
		log_info("control", "configuration read again", "differences=%zu", json_array_size(changes));
	}
	config_free(fresh);
	return answer(call, json_pack("{s:b, s:o}", "applied", !dry_run, "changes", changes));
}

enum admin_outcome
admin_log_level(struct admin_call *call)
{
	static const char *const names[] = {"error", "warning", "info", "debug"};
	const char *level, *area;
	unsigned i = 0;
	if (!only_known(call, (const char *const[]){"level", "area", NULL}) ||
	    !get_string(call, "level", true, &level) || !get_string(call, "area", false, &area))
		return ADMIN_ERROR;
	while (i < 4 && strcmp(names[i], level) != 0)
		i++;
	if (i == 4)
		return refuse(call, "invalid", "\"%.40s\" is no level: error, warning, info or debug", level);
	if (log_set_level(area, (enum log_level)i) < 0)
		return refuse(call, "invalid", "too many areas with levels of their own, or a name too long: %.40s",
			      area);
	server_log_levels(call->server);
	return answer(call, json_pack("{s:s, s:o}", "level", level, "area", area ? text_json(area) : json_null()));
}
