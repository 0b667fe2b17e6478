/* SPDX-License-Identifier: BSD-3-Clause */
/* What people get wrong: each mistake has its exit code and a line that says what to do. */
#include "client.h"
#include "scenario.h"
#include "server.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- clients ------------------------------------------------------------------------ */

static int
rookchat(struct world *w, const char *const *argv, char **out, char **err)
{
	char path[160];
	int status;

	snprintf(path, sizeof(path), "%s/once.stderr", w->dir);
	unlink(path);
	status = process_run(w, &(struct process_options){.name = "once", .argv = argv}, out);
	if (err)
		*err = file_text(path);
	return status;
}

static void
usage(void **state)
{
	struct world *w = *state;
	const char *const lines[][8] = {
		{"rookchat", NULL},
		{"rookchat", "--no-such-option", NULL},
		{"rookchat", "--server", "127.0.0.1:8000", NULL},
		{"rookchat", "--user", "alice", "--server", NULL},
		{"rookchat", "--server", "127.0.0.1:99999", "--user", "alice", "--json", NULL},
		{"rookchat", "--server", "127.0.0.1:8000", "--user", "Not A Name", "--json", NULL},
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		char *out, *err;
		int status = rookchat(w, lines[i], &out, &err);

		if (status != 2 || err[0] == '\0')
			world_fail(w, "line %zu: exit %d, stderr '%s'", i, status, err);
		free(out);
		free(err);
	}
}

static void
no_server(void **state)
{
	struct world *w = *state;
	struct client *c = client_start(w, &(struct client_options){.user = "alice", .register_user = true});

	client_expect_exit(c, 4);
	world_check(w, client_count(c, "login", NULL) == 0);
}

static void
logins_refused(void **state)
{
	struct world *w = *state;
	struct client *alice, *c;

	server_start(w);
	alice = client_register(w, "alice");

	c = client_start(w, &(struct client_options){.user = "alice", .device = "stranger", .password = "not it"});
	client_expect_exit(c, 3);
	world_check(w, client_count(c, "login", NULL) == 0 && client_count(c, "error", NULL) == 1);

	c = client_start(w, &(struct client_options){.user = "alice", .device = "second", .register_user = true,
						     .password = "another one"});
	client_expect(c, "error", "code", "name_taken", NULL);
	client_expect_exit(c, 3);

	c = client_start(w, &(struct client_options){.user = "nobody"});
	client_expect_exit(c, 3);
	world_check(w, client_count(c, "error", NULL) == 1);

	c = client_start(w, &(struct client_options){.user = "short", .register_user = true, .password = "12345"});
	client_expect(c, "error", "code", "password_weak", NULL);
	client_expect_exit(c, 3);

	/* Alice has noticed nothing. */
	world_check(w, client_count(alice, "disconnected", NULL) == 0);
	client_quit(alice);
	server_finish(w);
}

/* Lines that are no commands are told, and do no harm. */
static void
bad_commands(void **state)
{
	static const char *const lines[] = {"", " ", "nonsense", "msg", "msg bob", "msg  ", "add", "status", "status asleep",
					    "accept nobody-asked", "block", "msg B\xc3\x84R hello", "quit now"};
	struct world *w = *state;
	struct client *alice;

	server_start(w);
	alice = client_register(w, "alice");
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]) - 1; i++)
		client_say(alice, "%s", lines[i]);
	client_say(alice, "add alice");
	client_expect(alice, "error", NULL);
	client_quit(alice);
	/* Every one but the empty lines has its answer. */
	world_check(w, client_count(alice, "error", NULL) + client_count(alice, "refused", NULL) >= 9);
	server_finish(w);
}

/* ---- servers ------------------------------------------------------------------------ */

static void
expect_refusal(struct world *w, const char *config, const char *state, const char *const *words)
{
	char *err;
	int status = server_run_to_end(w, config, state, &err);

	if (status == 0)
		world_fail(w, "the server ended with 0");
	for (; *words; words++)
		if (!strcasestr(err, *words))
			world_fail(w, "'%s' is not in: %s", *words, err);
	free(err);
}

#define refusal(w, config, state, ...) expect_refusal(w, config, state, (const char *const[]){__VA_ARGS__, NULL})

static void
wrong_configuration(void **state)
{
	struct world *w = *state;

	refusal(w, "dataplane:\n  workrs: 2\n", NULL, ":2", "workrs", "workers");
	refusal(w, "session:\n  heartbeat_ms: 1000\n  timeout: 5000\n", NULL, ":3", "timeout", "timeout_ms");
	refusal(w, "dataplane:\n  workers: many\n", NULL, ":2", "workers");
	refusal(w, "dataplane:\n  workers: 1000\n", NULL, "workers");
	refusal(w, "dataplane: [\n", NULL, "yaml");
	refusal(w, "dataplane:\n  ports:\n    - type: socket\n      listen: nowhere\n", NULL, "listen", "nowhere");
}

static void
config_of(const struct world *w, char *buf, size_t cap)
{
	snprintf(buf, cap, "dataplane:\n  memory_mb: 128\n  sessions: 1024\n  messages: 1024\n  users: 1024\n"
			   "  conversations: 1024\n  ports:\n    - type: socket\n      listen: 127.0.0.1:%u\n", w->port);
}

static void
port_in_use(void **state)
{
	struct world *w = *state;
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(w->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char config[512], port[16];

	world_check(w, bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
	config_of(w, config, sizeof(config));
	snprintf(port, sizeof(port), "%u", w->port);
	refusal(w, config, NULL, port, "in use");
	close(fd);
}

static void
second_server(void **state)
{
	struct world *w = *state;
	char config[512], pid[16];
	struct client *alice;
	uint16_t port = w->port;

	server_start(w);
	alice = client_register(w, "alice");
	snprintf(pid, sizeof(pid), "%d", (int)w->server->process->pid);
	w->port = free_udp_port();
	config_of(w, config, sizeof(config));
	w->port = port;
	refusal(w, config, NULL, "already running", pid);
	/* On another state, but the first one's port. */
	config_of(w, config, sizeof(config));
	{
		char other[128];

		snprintf(other, sizeof(other), "%s/home/other", w->dir);
		refusal(w, config, other, "in use");
	}
	/* The first one has not even noticed. */
	client_say(alice, "status busy");
	client_quit(alice);
	server_finish(w);
}

static void
unwritable_state(void **state)
{
	struct world *w = *state;
	char config[512], dir[128];

	config_of(w, config, sizeof(config));
	snprintf(dir, sizeof(dir), "%s/locked", w->dir);
	world_check(w, mkdir(dir, 0555) == 0);
	refusal(w, config, dir, dir, "permission");
	refusal(w, config, "/proc/rookery", "/proc/rookery");
}

/* An ethdev port wants rights that a plain user does not have: said, not crashed. */
static void
not_root(void **state)
{
	struct world *w = *state;

	refusal(w, "dataplane:\n  memory_mb: 128\n  sessions: 1024\n  messages: 1024\n  users: 1024\n"
		   "  conversations: 1024\n  ports:\n    - type: ethdev\n      devices: [\"net_af_packet0,iface=lo\"]\n"
		   "      addresses: [10.99.0.1/24]\n      udp_port: 8000\n", NULL, "net_af_packet0");
}

static void
operator_errors(void **state)
{
	static const struct {
		const char *args[6];
		const char *word;
	} lines[] = {
		{{"nonsense", NULL}, "nonsense"},
		{{"sessions", "kick", "zzzz", NULL}, "zzzz"},
		{{"sessions", "kick", "user:nobody", NULL}, "nobody"},
		{{"users", "del", "nobody", NULL}, "nobody"},
		{{"stats", "--worker", "17", NULL}, "17"},
	};
	struct world *w = *state;
	static const char *const status_args[] = {"status", NULL};
	char *err;

	server_start(w);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		if (rookctl_status(w, lines[i].args, NULL, &err) == 0 || !strstr(err, lines[i].word))
			world_fail(w, "rookctl %s %s: %s", lines[i].args[0], lines[i].args[1], err);
		free(err);
	}
	server_finish(w);
	/* And with no server there. */
	if (rookctl_status(w, status_args, NULL, &err) == 0 || !strstr(err, "control.sock"))
		world_fail(w, "rookctl without a server: %s", err);
	free(err);
}

int
main(void)
{
	static const struct scenario scenarios[] = {
		{"usage of rookchat", usage},
		{"no server", no_server},
		{"logins refused", logins_refused},
		{"bad commands", bad_commands},
		{"wrong configuration", wrong_configuration},
		{"port in use", port_in_use},
		{"second server", second_server},
		{"unwritable state directory", unwritable_state},
		{"not root", not_root},
		{"mistakes of the operator", operator_errors},
	};
	static const struct scenario_list list = {scenarios, sizeof(scenarios) / sizeof(scenarios[0])};
	static const struct scenario_set set = {{.kind = KIND_SOCKET, .family = AF_INET}, &list};

	return scenarios_run("bad input", &set, 1);
}
