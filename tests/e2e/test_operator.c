/* SPDX-License-Identifier: BSD-3-Clause */
/* The operator at work: drains, backs up and restores, reloads the configuration, and asks what is wrong. */
#include "client.h"
#include "scenario.h"
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static json_int_t
control_counter(struct world *w, const char *name)
{
	json_t *sample = rookctl(w, "top"), *after = json_object_get(sample, "after");
	json_int_t value = json_integer_value(json_object_get(json_object_get(after, "control"), name));

	json_decref(sample);
	return value;
}

static void
one_message(struct client *from, struct client *to, const char *text)
{
	client_say(from, "msg %s %s", to->user, text);
	client_expect(to, "message", "from", from->user, "text", text, NULL);
	client_expect_levels(from, 1, "delivered");
}

/* ---- drain -------------------------------------------------------------------------- */

static void
drain(void **state)
{
	struct world *w = *state;
	struct client *alice, *bob;
	json_t *status;
	uint64_t deadline;

	server_start(w);
	alice = client_register(w, "alice");
	bob = client_register(w, "bob");
	clients_befriend(alice, bob);
	client_quit(bob);
	json_decref(rookctl(w, "drain"));
	/* Whatever happens to control. */
	pid_t control = server_child(w, "rookery-control", 0);
	kill(control, SIGKILL);
	server_replaced(w, "rookery-control", control);
	status = rookctl(w, "status");
	world_check(w, json_is_true(json_object_get(status, "draining")));
	json_decref(status);
	bob = client_start(w, &(struct client_options){.user = "bob"});
	deadline = deadline_in(WAIT_EVENT);
	while (control_counter(w, "logins_drained") == 0)
		world_check(w, world_poll(w, deadline));
	/* Who is there goes on. */
	client_say(alice, "msg bob while you are kept out");
	client_expect_levels(alice, 1, "stored");
	world_check(w, client_count(bob, "login", NULL) == 0);
	client_kill(bob);
	json_decref(rookctl(w, "undrain"));
	bob = client_login(w, "bob");
	client_expect(bob, "message", "from", "alice", "text", "while you are kept out", NULL);
	server_finish(w);
}

/* ---- backup and restore --------------------------------------------------------------- */

static void
backup_and_restore(void **state)
{
	struct world *w = *state;
	struct client *alice, *bob;
	char path[160], key_path[180], aside[180], *err;
	const char *args[] = {"restore", path, NULL};
	json_t *info, *sessions;

	server_start(w);
	snprintf(path, sizeof(path), "%s/clients/backup.db", w->dir);
	snprintf(key_path, sizeof(key_path), "%s.key", path);
	snprintf(aside, sizeof(aside), "%s/rookery.db.before-restore", w->server->state_dir);
	alice = client_register(w, "alice");
	bob = client_register(w, "bob");
	clients_befriend(alice, bob);
	/* While people chat. */
	client_send_series(alice, "bob", "during", 50);
	info = rookctl(w, "backup", path);
	world_check(w, json_integer_value(json_object_get(info, "users")) == 2);
	json_decref(info);
	world_check(w, access(key_path, F_OK) == 0);
	client_expect_series(bob, "alice", "during", 50);
	client_expect_levels(alice, 50, "delivered");
	/* Not under a running server. */
	if (rookctl_status(w, args, NULL, &err) != 1 || !strstr(err, "stop it first"))
		world_fail(w, "restore of a running server: %s", err);
	free(err);
	json_decref(rookctl(w, "users", "del", "bob"));
	client_expect(bob, "disconnected", "reason", "revoked", NULL);
	client_expect_exit(bob, 3);
	server_stop(w);
	client_kill(alice);

	info = rookctl(w, "restore", path);
	world_check(w, json_integer_value(json_object_get(info, "users")) == 2);
	json_decref(info);
	world_check(w, access(aside, F_OK) == 0);
	server_start(w);
	sessions = rookctl(w, "sessions", "list");
	world_check(w, json_array_size(json_object_get(sessions, "sessions")) == 0);
	json_decref(sessions);
	/* Devices are known, keys are the same: nobody needs a password, nobody is warned of a foreign server. */
	alice = client_login(w, "alice");
	bob = client_login(w, "bob");
	client_expect(alice, "presence", "user", "bob", "status", "online", NULL);
	one_message(alice, bob, "as if nothing had happened");
	server_finish(w);
}

/* ---- configuration ------------------------------------------------------------------- */

/* The row of this key, or NULL. */
static const json_t *
row_of(const json_t *list, const char *field, const char *key)
{
	const json_t *row;
	size_t i;

	json_array_foreach(list, i, row)
		if (strcmp(json_string_value(json_object_get(row, field)), key) == 0)
			return row;
	return NULL;
}

/* A line of the server's log that holds all of these. */
static void
log_wait(struct world *w, const char *a, const char *b)
{
	uint64_t deadline = deadline_in(WAIT_EVENT);
	bool found = false;

	while (!found) {
		char *text = file_text(w->server->process->stderr_path), *save = NULL;

		for (char *line = text ? strtok_r(text, "\n", &save) : NULL; line && !found; line = strtok_r(NULL, "\n", &save))
			found = strstr(line, a) && strstr(line, b);
		free(text);
		if (!found && !world_poll(w, deadline))
			world_fail(w, "no line with %s and %s in the log", a, b);
	}
}

/* Level and format change in both processes while they run. */
static void
log_live(struct world *w)
{
	FILE *f;

	json_decref(rookctl(w, "log", "level", "debug", "log"));
	log_wait(w, "program=rookery-dataplane", "area=log");
	f = fopen(w->server->config_path, "a");
	world_check(w, f != NULL);
	fprintf(f, "log: {format: json, areas: [log=debug]}\n");
	fclose(f);
	json_decref(rookctl(w, "config", "reload"));
	log_wait(w, "{\"ts\":", "\"program\":\"rookery-dataplane\",\"area\":\"log\"");
	log_wait(w, "\"program\":\"rookery-control\"", "configuration read again");
}

static void
reload(void **state)
{
	struct world *w = *state;
	struct client *alice;
	json_t *result;
	char file[160];
	FILE *f;

	server_start(w);
	alice = client_register(w, "alice");
	client_quit(alice);
	f = fopen(w->server->config_path, "a");
	world_check(w, f != NULL);
	fprintf(f, "  registration: false\n  password_threads: 3\n");
	fclose(f);
	result = rookctl(w, "config", "diff");
	world_check(w, row_of(json_object_get(result, "changes"), "key", "control.registration") != NULL);
	json_decref(result);
	result = rookctl(w, "config", "reload");
	world_check(w, json_is_false(json_object_get(row_of(json_object_get(result, "changes"), "key", "control.password_threads"),
						     "live")));
	json_decref(result);
	/* In force: nobody registers any more, but operators make accounts. */
	alice = client_start(w, &(struct client_options){.user = "mallory", .register_user = true});
	client_expect_exit(alice, 3);
	snprintf(file, sizeof(file), "%s/clients/password", w->dir);
	f = fopen(file, "w");
	world_check(w, f != NULL);
	fprintf(f, "given by the operator\n");
	fclose(f);
	json_decref(rookctl(w, "users", "create", "bob", "--password-file", file));
	result = rookctl(w, "config", "diff");
	world_check(w, row_of(json_object_get(result, "changes"), "key", "control.registration") == NULL);
	world_check(w, row_of(json_object_get(result, "changes"), "key", "control.password_threads") != NULL);
	json_decref(result);
	log_live(w);
	server_finish(w);
}

/* ---- doctor --------------------------------------------------------------------------- */

/* doctor ends with 1 and names this check with these words in finding and mend; with NULL: it finds nothing that fails. */
static void
expect_finding(struct world *w, const char *check, const char *finding, const char *mend)
{
	static const char *const args[] = {"doctor", NULL};
	char *out, *err;
	int status = rookctl_status(w, args, &out, &err);
	json_t *result = json_loads(out, 0, NULL);
	const json_t *row;
	size_t i;

	if (status != (check ? 1 : 0) || !result)
		world_fail(w, "doctor ends with %d: %s%s", status, out, err);
	json_array_foreach(json_object_get(result, "findings"), i, row) {
		if (strcmp(json_string_value(json_object_get(row, "state")), "fail") != 0)
			continue;
		if (!check || strcmp(json_string_value(json_object_get(row, "check")), check) != 0 ||
		    !strstr(json_string_value(json_object_get(row, "finding")), finding) ||
		    !strstr(json_string_value(json_object_get(row, "mend")), mend))
			world_fail(w, "doctor finds: %s", out);
	}
	json_decref(result);
	free(out);
	free(err);
}

static void
doctor(void **state)
{
	struct world *w = *state;
	char key[160], database[160];
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};
	FILE *f;

	server_start(w);
	expect_finding(w, NULL, NULL, NULL);
	snprintf(key, sizeof(key), "%s/server.key", w->server->state_dir);
	snprintf(database, sizeof(database), "%s/rookery.db", w->server->state_dir);
	world_check(w, chmod(key, 0644) == 0);
	expect_finding(w, "server key", "open to others", "chmod 600");
	world_check(w, chmod(key, 0600) == 0);
	server_stop(w);
	/* And without a server. */
	expect_finding(w, NULL, NULL, NULL);
	world_check(w, chmod(database, 0400) == 0);
	expect_finding(w, "database", "cannot be written to", "chmod u+w");
	world_check(w, chmod(database, 0600) == 0);
	times[1].tv_sec = time(NULL) + 86400;
	world_check(w, utimensat(AT_FDCWD, database, times, 0) == 0);
	expect_finding(w, "clock", "the clock went back", "timedatectl");
	times[1].tv_sec = time(NULL);
	world_check(w, utimensat(AT_FDCWD, database, times, 0) == 0);
	f = fopen(w->server->config_path, "a");
	world_check(w, f != NULL);
	fprintf(f, "  registratoin: false\n");
	fclose(f);
	expect_finding(w, "configuration", "did you mean \"registration\"?", "config check");
}

/* ---- completion in bash ------------------------------------------------------------------ */

/* What is installed, called as bash calls it for such a line; prints what is offered, each in <>. */
static const char complete_script[] =
	"PATH=$(cd \"$1\" && pwd):$PATH; . <(rookctl --generate bash); compopt() { :; }; cd \"$2\"; "
	"COMP_LINE=$3 COMP_POINT=${#3}; _rookctl rookctl; printf '<%s>' \"${COMPREPLY[@]}\"";

static void
completion(void **state)
{
	static const char *const cases[][2] = {
		{"log level de", "<debug>"},
		{"log level debug lo", "<log><login>"},
		{"users show al", "<alice>"},
		{"users show ", "<alice><bob>"},
		{"sessions kick us", "<user:>"},
		/* Bash wants what is behind the colon. */
		{"sessions kick user:", "<alice><bob>"},
		{"sessions kick user:b", "<bob>"},
		{"backup a\\ c", "<a copy.db>"},
		{"users show alice ", "<>"},
	};
	struct world *w = *state;
	char line[300], folder[160], path[200], *out;
	FILE *f;

	server_start(w);
	client_quit(client_register(w, "alice"));
	client_quit(client_register(w, "bob"));
	snprintf(folder, sizeof(folder), "%s/clients", w->dir);
	snprintf(path, sizeof(path), "%s/a copy.db", folder);
	f = fopen(path, "w");
	world_check(w, f != NULL && fclose(f) == 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(line, sizeof(line), "rookctl --state %s --config %s %s", w->server->state_dir, w->server->config_path, cases[i][0]);
		const char *const argv[] = {"/bin/bash", "-c", complete_script, "bash", w->bin, folder, line, NULL};
		world_check(w, process_run(w, &(struct process_options){.name = "bash", .argv = argv}, &out) == 0);
		if (strcmp(out, cases[i][1]) != 0)
			world_fail(w, "`%s` is completed by %s, not %s", line, out, cases[i][1]);
		free(out);
	}
	server_finish(w);
}

int
main(void)
{
	static const struct scenario scenarios[] = {
		{"drain", drain},
		{"backup and restore", backup_and_restore},
		{"configuration reloaded", reload},
		{"doctor", doctor},
		{"completion in bash", completion},
	};
	static const struct scenario_list list = {scenarios, sizeof(scenarios) / sizeof(scenarios[0])};
	static const struct scenario_set sets[] = {{{.kind = KIND_SOCKET, .family = AF_INET}, &list}};

	return scenarios_run("operator", sets, sizeof(sets) / sizeof(sets[0]));
}
