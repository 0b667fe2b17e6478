/* SPDX-License-Identifier: BSD-3-Clause */
/* `rookery run` and `rookctl`: the real programs of one world. */
#ifndef ROOKERY_TESTS_E2E_SERVER_H
#define ROOKERY_TESTS_E2E_SERVER_H

#include "world.h"

#include <jansson.h>

/* What a test may change before server_start(); zero means the tests' default. */
struct server_settings {
	unsigned heartbeat_ms;
	unsigned timeout_ms;
	unsigned retransmit_limit;
	unsigned messages; /* in flight, per worker */
	unsigned sessions;
	bool full_size;    /* tables as large as the default configuration makes them */
	const char *cpus;  /* of the dataplane */
	const char *metrics; /* metrics.listen; NULL: none, for servers run side by side */
	const char *extra; /* further lines of the configuration */
};

struct server {
	struct world *world;
	struct server_settings settings;
	struct process *process;
	char config_path[128];
	char state_dir[128];
	char marker[80];
	bool ready;
};

/* Writes the configuration and starts the server of this world; returns once it is ready. Called again after
 * server_stop() it starts another one on the same state. */
void server_start(struct world *w);
/* As server_start, with settings; a later server_start keeps them. */
void server_start_with(struct world *w, const struct server_settings *settings);

/* The configuration file again, from the settings as they are now. */
void server_write_config(struct world *w);

/* Ctrl-C as a terminal sends it (to the whole process group): exit code 0, and nothing is left: no process, nothing in
 * the runtime directory, no write-ahead log, the port free again. */
void server_stop(struct world *w);
/* SIGTERM to the launcher alone, as service managers do; the same is expected. */
void server_terminate(struct world *w);

/* The end of every test: counters add up (server_check_sums), then server_stop. */
void server_finish(struct world *w);

/* Runs `rookery run` with a configuration of the test's own until it ends, which it must by itself. Returns its exit code
 * and everything that it wrote to stderr (to be freed). state NULL: the world's state directory. */
int server_run_to_end(struct world *w, const char *config, const char *state, char **err);

/* pid of a running child of the server: "rookery-dataplane", "rookery-control". Waits until there is one; not `except`. */
pid_t server_child(struct world *w, const char *program, pid_t except);
/* After that one was killed: waits until another has taken its place and clients can log in again. */
void server_replaced(struct world *w, const char *program, pid_t killed);

/* What its control process says of itself, at this moment. */
bool server_is_ready(struct world *w);
/* kill -9 of the server's processes, or of the launcher alone, which takes the others with it; returns when all have ended. A pidfd
 * tells the end of a process when its files are closed, the process list may forget it before. */
void server_kill(struct world *w, bool launcher_only);

void server_free(struct world *w);

/* ---- rookctl ------------------------------------------------------------------------ */

/* Runs rookctl with the server's configuration, --json and these arguments; it must succeed. The caller owns the result. */
json_t *rookctl_args(struct world *w, const char *const *args);
#define rookctl(w, ...) rookctl_args(w, (const char *const[]){__VA_ARGS__, NULL})
/* The same where failure is expected: returns the exit code; err (to be freed) may be NULL. */
int rookctl_status(struct world *w, const char *const *args, char **out, char **err);

/* A counter, summed over all workers. */
uint64_t counter(struct world *w, const char *name);
/* Waits until the counter is exactly `value`; more fails at once. */
void counter_wait(struct world *w, const char *name, uint64_t value);
/* Waits until the counter is at least `value`. */
void counter_reach(struct world *w, const char *name, uint64_t value);
/* G7: for each worker what came in equals what it ended as (shared/counters.h). */
void server_check_sums(struct world *w);

/* A session as `rookctl sessions list` shows it. */
struct session_info {
	char id[32];
	char peer[64];
	unsigned worker;
	unsigned epoch;
};

/* Sessions of a user; returns how many, writes at most cap. */
unsigned sessions_of(struct world *w, const char *user, struct session_info *out, unsigned cap);
/* The one session of a user. */
struct session_info session_of(struct world *w, const char *user);

#endif
