/* SPDX-License-Identifier: BSD-3-Clause */
/* What the commands of rookctl share. Each run_ function is one command of the table in commands.c. */
#ifndef ROOKERY_CONTROL_CLI_COMMANDS_H
#define ROOKERY_CONTROL_CLI_COMMANDS_H

#include "control/cli/cli.h"
#include "control/cli/table.h"

#define PAGE 1000 /* rows per request; the server's limit */

/* ---- values.c: missing ones are "" and 0 ----------------------------------------------- */

struct shown {
	char text[24];
};

const char *text_of(const json_t *object, const char *key);
long long number_of(const json_t *object, const char *key);
struct shown show_number(const json_t *object, const char *key);
/* "2024-05-01T10:00:00.123Z" as "2024-05-01 10:00:00"; null as "never". */
struct shown show_time(const json_t *object, const char *key);
void show_duration(FILE *out, long long s);
/* Frees result; CLI_OK. */
int print_json(struct cli *cli, json_t *result);

/* ---- lists.c ----------------------------------------------------------------------------- */

/* Asks for pages until `limit` rows (0: all) are there. filter is stolen; NULL: none. The result has the rows
 * under key, and "more". */
int fetch_list(struct cli *cli, const char *key, json_t *filter, uint64_t limit, uint64_t offset, json_t **out);
/* The options that were given, as arguments of the API under the same names. */
json_t *filter_of(const struct cli *cli);
/* The end of every list; takes list and t. */
int print_page(struct cli *cli, json_t *list, struct table *t, uint64_t offset, const char *none, const char *beyond);

/* ---- the commands ---------------------------------------------------------------------- */

int run_status(struct cli *cli);
int run_stats(struct cli *cli);
int run_top(struct cli *cli);
int run_config_check(struct cli *cli);
int run_config_show(struct cli *cli);
int run_config_diff(struct cli *cli);
int run_config_reload(struct cli *cli);
int run_log_level(struct cli *cli);
int run_limits(struct cli *cli);
int run_backup(struct cli *cli);
int run_restore(struct cli *cli);
int run_doctor(struct cli *cli);
int run_host_check(struct cli *cli);
int run_host_init(struct cli *cli);
int run_host_fini(struct cli *cli);
int run_workers(struct cli *cli);
int run_ports(struct cli *cli);
int run_drain(struct cli *cli);
int run_undrain(struct cli *cli);
int run_presence(struct cli *cli);
int run_buddies_show(struct cli *cli);
int run_users_show(struct cli *cli);
int run_sessions_show(struct cli *cli);
int run_users_enable(struct cli *cli);
int run_users_disable(struct cli *cli);
int run_users_list(struct cli *cli);
int run_users_add(struct cli *cli);
int run_users_passwd(struct cli *cli);
int run_users_del(struct cli *cli);
int run_sessions_list(struct cli *cli);
int run_sessions_kick(struct cli *cli);
int run_bans_add(struct cli *cli);
int run_bans_del(struct cli *cli);
int run_bans_list(struct cli *cli);
int run_trace_session(struct cli *cli);
int run_trace_user(struct cli *cli);
int run_trace_address(struct cli *cli);
int run_capture(struct cli *cli);
int run_restart(struct cli *cli);

#endif
