/* SPDX-License-Identifier: BSD-3-Clause */
/* What the commands of the admin API share: reading arguments, refusing, values of results. */
#ifndef ROOKERY_CONTROL_ADMIN_ARGUMENTS_H
#define ROOKERY_CONTROL_ADMIN_ARGUMENTS_H

#include "control/admin_commands.h"

#include <stdbool.h>

enum admin_outcome refuse(struct admin_call *call, const char *code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* result is stolen; NULL: no memory for it. */
enum admin_outcome answer(struct admin_call *call, json_t *result);
enum admin_outcome refuse_store(struct admin_call *call, int result);

/* Each argument that is given must be one of `known`: a mistyped filter must not list or end everything. */
bool only_known(struct admin_call *call, const char *const known[]);

/* All of these: false after refusing. */
/* *out stays NULL when an optional argument is missing. */
bool get_string(struct admin_call *call, const char *key, bool required, const char **out);
bool get_number(struct admin_call *call, const char *key, uint64_t min, uint64_t max, uint64_t missing,
		uint64_t *out);
bool get_bool(struct admin_call *call, const char *key, bool missing, bool *out);
/* SESSION_ID_NONE when an optional one is missing. */
bool get_sid(struct admin_call *call, const char *key, bool required, session_id_t *out);
/* "192.0.2.0/24", "2001:db8::/32", or one address; *given: it was. */
bool get_prefix(struct admin_call *call, const char *key, bool required, bool *given, struct prefix *out);
bool get_page(struct admin_call *call, uint64_t *limit, uint64_t *offset);

/* Names of devices and status texts come from clients; whatever is no UTF-8 must not make the reply
 * impossible. */
json_t *text_json(const char *text);
/* Milliseconds since 1970 as RFC 3339 in UTC; 0 becomes null. */
json_t *time_json(uint64_t ms);

json_t *admin_rings_json(const struct server_status *s);

/* ---- admin_views.c ---------------------------------------------------------------------- */

enum admin_outcome admin_users_list(struct admin_call *call);
enum admin_outcome admin_users_show(struct admin_call *call);
enum admin_outcome admin_sessions_list(struct admin_call *call);
enum admin_outcome admin_sessions_show(struct admin_call *call);
enum admin_outcome admin_buddies_show(struct admin_call *call);
enum admin_outcome admin_presence_list(struct admin_call *call);
enum admin_outcome admin_bans_list(struct admin_call *call);
enum admin_outcome admin_stats(struct admin_call *call);
enum admin_outcome admin_sample(struct admin_call *call);

/* ---- admin_trace.c ---------------------------------------------------------------------- */

enum admin_outcome admin_trace_start(struct admin_call *call);
enum admin_outcome admin_trace_read(struct admin_call *call);
enum admin_outcome admin_trace_stop(struct admin_call *call);

/* ---- admin_config.c --------------------------------------------------------------------- */

enum admin_outcome admin_config_show(struct admin_call *call);
enum admin_outcome admin_config_reload(struct admin_call *call);
enum admin_outcome admin_log_level(struct admin_call *call);

#endif
