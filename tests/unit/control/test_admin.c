/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The admin API from end to end within one process: real socket, real event loop, real server on a real
 * database. The clients are plain descriptors, and waiting for a reply means running the loop.
 */
#include "control/admin.h"
#include "control/admin_commands.h"
#include "control/admin_protocol.h"
#include "control/cli/cli.h"
#include "control/reload.h"
#include "control/store/store.h"
#include "shared/log.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/file_tree.h"

struct fixture {
	char dir[32];
	char socket[64];
	uv_loop_t loop;
	uv_check_t batch;
	struct config *config;
	struct store *store;
	struct server *server;
	struct admin *admin;
	struct admin_reload reload;
	char reload_path[64];
	unsigned wakes;
	bool follows; /* what has to follow the configuration can */
};

struct hash_work {
	uv_work_t work;
	struct fixture *fixture;
	struct password_job *job;
};

static void
hash_run(uv_work_t *work)
{
	password_job_run(((struct hash_work *)work->data)->job);
}

static void
hash_done(uv_work_t *work, int status)
{
	struct hash_work *h = work->data;
	(void)status;
	server_password_done(h->fixture->server, h->job);
	free(h);
}

static void
hash(void *arg, struct password_job *job)
{
	struct hash_work *h = calloc(1, sizeof(*h));
	h->fixture = arg;
	h->job = job;
	h->work.data = h;
	uv_queue_work(&h->fixture->loop, &h->work, hash_run, hash_done);
}

static int
follow(void *arg, const struct config *fresh, char *error, size_t cap)
{
	struct fixture *f = arg;
	assert_int_equal(fresh->control.buddies_max, 7);
	snprintf(error, cap, "no");
	return f->follows ? 0 : -EADDRINUSE;
}

static bool
send_cell(void *arg, uint32_t ring, const struct cell *c)
{
	(void)arg;
	(void)ring;
	(void)c;
	return true;
}

static void
wake(void *arg)
{
	((struct fixture *)arg)->wakes++;
}

static void
run_batch(uv_check_t *check)
{
	struct fixture *f = check->data;
	if (server_pending(f->server))
		server_batch(f->server, NULL, 0);
}

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char error[256], path[96];
	strcpy(f->dir, "/tmp/test_admin.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(handshake_init(), 0);
	assert_int_equal(config_load(&f->config, NULL, f->dir, error, sizeof(error)), 0);
	assert_int_equal(config_make_dirs(f->config, NULL, error, sizeof(error)), 0);
	f->config->control.password_memory_kib = 1024;
	f->config->control.password_passes = 1;
	assert_int_equal(uv_loop_init(&f->loop), 0);
	assert_non_null(config_state_path(f->config, "rookery.db", path, sizeof(path)));
	assert_int_equal(store_open(&f->store, path, error, sizeof(error)), 0);
	struct server_options so = {
		.config = f->config,
		.store = f->store,
		.io = {.arg = f, .send = send_cell, .hash = hash},
		.now_ms = 1000,
		.wall_ms = 1700000000000,
	};
	handshake_keypair_generate(&so.key);
	assert_int_equal(server_new(&f->server, &so), 0);
	uv_check_init(&f->loop, &f->batch);
	f->batch.data = f;
	uv_check_start(&f->batch, run_batch);
	snprintf(f->reload_path, sizeof(f->reload_path), "%s/my.yaml", f->dir);
	f->follows = true;
	f->reload = (struct admin_reload){.config = f->config, .path = f->reload_path, .state = f->dir, .follow = follow, .follow_arg = f};
	struct admin_options o = {
		.reload = &f->reload,
		.loop = &f->loop, .server = f->server, .config = f->config, .program = ADMIN_CONTROL,
		.socket = "control.sock", .run = admin_command_run, .wake = wake, .wake_arg = f};
	assert_int_equal(admin_open(&f->admin, &o, error, sizeof(error)), 0);
	assert_non_null(config_runtime_path(f->config, "control.sock", f->socket, sizeof(f->socket)));
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;
	admin_close(f->admin);
	uv_close((uv_handle_t *)&f->batch, NULL);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	assert_int_equal(access(f->socket, F_OK), -1);
	server_free(f->server);
	admin_free(f->admin);
	store_close(f->store);
	config_free(f->config);
	tree_remove(f->dir);
	free(f);
	return 0;
}

/* ---- clients ------------------------------------------------------------------------ */

static int
dial(struct fixture *f)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	strcpy(address.sun_path, f->socket);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void
say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* The next line that the server sends, while the loop runs; NULL when it closed. To be freed. Byte by byte,
 * so that nothing after the line is taken. */
static char *
hear(struct fixture *f, int fd)
{
	size_t len = 0, capacity = 256;
	char *line = malloc(capacity);
	for (;;) {
		ssize_t n = recv(fd, line + len, 1, MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN) {
			uv_run(&f->loop, UV_RUN_ONCE);
			continue;
		}
		if (n <= 0) {
			free(line);
			return NULL;
		}
		if (line[len++] == '\n')
			break;
		if (len == capacity)
			line = realloc(line, capacity *= 2);
	}
	line[len - 1] = '\0';
	return line;
}

static json_t *
hear_json(struct fixture *f, int fd)
{
	char *line = hear(f, fd);
	assert_non_null(line);
	json_t *object = json_loads(line, 0, NULL);
	assert_true(json_is_object(object));
	free(line);
	return object;
}

static int
dial_and_greet(struct fixture *f)
{
	int fd = dial(f);
	json_t *greeting = hear_json(f, fd);
	assert_int_equal(json_integer_value(json_object_get(greeting, "api")), ADMIN_API);
	json_decref(greeting);
	return fd;
}

static const char *
string_at(const json_t *object, const char *a, const char *b)
{
	return json_string_value(json_object_get(json_object_get(object, a), b));
}

/* Sends one request; the result, to be freed. */
static json_t *
ask(struct fixture *f, int fd, const char *command, const char *args)
{
	char line[1024];
	snprintf(line, sizeof(line), "{\"id\":5,\"command\":\"%s\",\"args\":%s}\n", command, args);
	say(fd, line);
	json_t *reply = hear_json(f, fd);
	assert_int_equal(json_integer_value(json_object_get(reply, "id")), 5);
	if (!json_is_true(json_object_get(reply, "ok")))
		fail_msg("%s %s: %s", command, args, string_at(reply, "error", "text"));
	json_t *result = json_incref(json_object_get(reply, "result"));
	assert_non_null(result);
	json_decref(reply);
	return result;
}

static void
ask_ok(struct fixture *f, int fd, const char *command, const char *args)
{
	json_decref(ask(f, fd, command, args));
}

/* Sends one request that is refused with this code. */
static void
ask_refused(struct fixture *f, int fd, const char *command, const char *args, const char *code)
{
	char line[1024];
	snprintf(line, sizeof(line), "{\"id\":6,\"command\":\"%s\",\"args\":%s}\n", command, args);
	say(fd, line);
	json_t *reply = hear_json(f, fd);
	assert_true(json_is_false(json_object_get(reply, "ok")));
	const char *text = string_at(reply, "error", "text");
	assert_true(text && *text);
	assert_string_equal(string_at(reply, "error", "code"), code);
	json_decref(reply);
}

static json_int_t
count_users(struct fixture *f, int fd)
{
	json_t *status = ask(f, fd, "status", "{}");
	json_int_t n = json_integer_value(json_object_get(status, "users"));
	json_decref(status);
	return n;
}

/* ---- tests -------------------------------------------------------------------------- */

static void
test_status(void **state)
{
	struct fixture *f = *state;
	int fd = dial_and_greet(f);
	json_t *s = ask(f, fd, "status", "{}");
	assert_true(json_is_false(json_object_get(s, "ready")));
	assert_string_equal(json_string_value(json_object_get(s, "waiting_for")), "the dataplane");
	assert_int_equal(json_integer_value(json_object_get(s, "pid")), getpid());
	assert_int_equal(json_integer_value(json_object_get(s, "users")), 0);
	assert_int_equal(strlen(json_string_value(json_object_get(s, "server_key"))), 64);
	assert_int_equal(json_array_size(json_object_get(s, "ports")), 1);
	assert_true(json_is_true(json_object_get(json_object_get(s, "store"), "ok")));
	json_decref(s);
	close(fd);
}

static void
test_users(void **state)
{
	struct fixture *f = *state;
	int fd = dial_and_greet(f);
	ask_ok(f, fd, "users.add", "{\"name\":\"bob\",\"password\":\"correct horse\"}");
	ask_ok(f, fd, "users.add", "{\"name\":\"Alice\",\"password\":\"battery staple\"}");
	assert_true(f->wakes > 0);
	ask_refused(f, fd, "users.add", "{\"name\":\"alice\",\"password\":\"battery staple\"}", "exists");
	ask_refused(f, fd, "users.add", "{\"name\":\"no spaces\",\"password\":\"battery staple\"}",
		    "invalid");
	ask_refused(f, fd, "users.add", "{\"name\":\"carol\",\"password\":\"short\"}", "invalid");

	json_t *list = ask(f, fd, "users.list", "{\"limit\":1}");
	assert_true(json_is_true(json_object_get(list, "more")));
	const json_t *users = json_object_get(list, "users");
	assert_int_equal(json_array_size(users), 1);
	assert_string_equal(json_string_value(json_object_get(json_array_get(users, 0), "name")), "alice");
	assert_string_equal(json_string_value(json_object_get(json_array_get(users, 0), "presence")),
			    "offline");
	json_decref(list);
	list = ask(f, fd, "users.list", "{\"limit\":1,\"offset\":1}");
	assert_true(json_is_false(json_object_get(list, "more")));
	users = json_object_get(list, "users");
	assert_string_equal(json_string_value(json_object_get(json_array_get(users, 0), "name")), "bob");
	json_decref(list);

	ask_ok(f, fd, "users.passwd", "{\"name\":\"bob\",\"password\":\"another one\"}");
	ask_refused(f, fd, "users.passwd", "{\"name\":\"carol\",\"password\":\"another one\"}", "not_found");
	/* A new password does not open a closed account. */
	ask_ok(f, fd, "users.enable", "{\"name\":\"bob\",\"on\":false}");
	ask_ok(f, fd, "users.passwd", "{\"name\":\"bob\",\"password\":\"a third one\"}");
	list = ask(f, fd, "users.show", "{\"name\":\"bob\"}");
	assert_true(json_is_true(json_object_get(json_object_get(list, "user"), "disabled")));
	json_decref(list);
	ask_ok(f, fd, "users.enable", "{\"name\":\"bob\"}");
	list = ask(f, fd, "users.show", "{\"name\":\"bob\"}");
	assert_true(json_is_false(json_object_get(json_object_get(list, "user"), "disabled")));
	json_decref(list);
	ask_refused(f, fd, "users.enable", "{\"name\":\"carol\"}", "not_found");
	ask_ok(f, fd, "users.del", "{\"name\":\"bob\"}");
	ask_refused(f, fd, "users.del", "{\"name\":\"bob\"}", "not_found");
	assert_int_equal(count_users(f, fd), 1);
	close(fd);
}

static void
test_sessions_and_stats(void **state)
{
	struct fixture *f = *state;
	int fd = dial_and_greet(f);
	json_t *list = ask(f, fd, "sessions.list", "{}");
	assert_int_equal(json_array_size(json_object_get(list, "sessions")), 0);
	json_decref(list);
	ask_refused(f, fd, "sessions.kick", "{\"sid\":\"0100000500000007\"}", "not_found");
	ask_refused(f, fd, "sessions.kick", "{\"user\":\"nobody\"}", "not_found");
	json_t *stats = ask(f, fd, "stats", "{}");
	assert_true(json_is_false(json_object_get(stats, "connected")));
	assert_true(json_array_size(json_object_get(stats, "counters")) > 10);
	json_decref(stats);
	ask_refused(f, fd, "stats", "{\"worker\":0}", "no_dataplane");
	close(fd);
}

static void
test_views(void **state)
{
	struct fixture *f = *state;
	int fd = dial_and_greet(f);
	ask_ok(f, fd, "users.add", "{\"name\":\"alice\",\"password\":\"battery staple\"}");
	ask_ok(f, fd, "users.add", "{\"name\":\"albert\",\"password\":\"battery staple\"}");
	ask_ok(f, fd, "users.add", "{\"name\":\"al\",\"password\":\"battery staple\"}");
	json_t *r = ask(f, fd, "users.list", "{\"prefix\":\"ALI\"}");
	assert_int_equal(json_array_size(json_object_get(r, "users")), 1);
	json_decref(r);
	r = ask(f, fd, "users.list", "{\"prefix\":\"no name\"}");
	assert_int_equal(json_array_size(json_object_get(r, "users")), 0);
	json_decref(r);
	/* Not albert, whose name begins with it. */
	r = ask(f, fd, "users.show", "{\"name\":\"Al\"}");
	assert_string_equal(string_at(r, "user", "name"), "al");
	assert_int_equal(json_array_size(json_object_get(r, "devices")), 0);
	json_decref(r);
	ask_refused(f, fd, "users.show", "{\"name\":\"alb\"}", "not_found");
	ask_refused(f, fd, "buddies.show", "{\"name\":\"alb\"}", "not_found");
	ask_refused(f, fd, "sessions.show", "{\"sid\":\"1\"}", "not_found");
	r = ask(f, fd, "buddies.show", "{\"name\":\"al\"}");
	assert_int_equal(json_array_size(json_object_get(r, "buddies")), 0);
	json_decref(r);
	r = ask(f, fd, "presence.list", "{}");
	assert_int_equal(json_array_size(json_object_get(r, "users")), 0);
	json_decref(r);
	close(fd);
}

static void
test_drain_and_sample(void **state)
{
	struct fixture *f = *state;
	int fd = dial_and_greet(f);
	ask_ok(f, fd, "drain", "{}");
	json_t *r = ask(f, fd, "status", "{}");
	assert_true(json_is_true(json_object_get(r, "draining")));
	json_decref(r);
	ask_ok(f, fd, "drain", "{\"on\":false}");
	r = ask(f, fd, "sample", "{}");
	assert_true(json_is_false(json_object_get(r, "draining")));
	assert_true(json_is_false(json_object_get(r, "connected")));
	assert_int_equal(json_array_size(json_object_get(r, "workers")), 0);
	assert_true(json_object_size(json_object_get(r, "control")) > 10);
	json_decref(r);
	close(fd);
}

static void
write_config(const struct fixture *f, const char *text)
{
	char path[64];
	snprintf(path, sizeof(path), "%s/my.yaml", f->dir);
	FILE *out = fopen(path, "w");
	assert_non_null(out);
	fputs(text, out);
	fclose(out);
}

/* The change of this key, or NULL. */
static const json_t *
change_of(const json_t *result, const char *key)
{
	size_t i;
	const json_t *c;
	json_array_foreach(json_object_get(result, "changes"), i, c)
		if (strcmp(json_string_value(json_object_get(c, "key")), key) == 0)
			return c;
	return NULL;
}

static void
test_config(void **state)
{
	struct fixture *f = *state;
	int fd = dial_and_greet(f);
	json_t *r = ask(f, fd, "config.show", "{}");
	assert_string_equal(string_at(r, "values", "control.buddies_max"), "2000");
	assert_string_equal(string_at(r, "values", "control.registration"), "true");
	assert_string_equal(string_at(r, "values", "log.level"), "info");
	assert_string_equal(string_at(r, "values", "dataplane.ports[0].listen"), "127.0.0.1:8000");
	assert_null(string_at(r, "values", "dataplane.eal")); /* empty lists are left out */
	json_decref(r);

	/* A mistake changes nothing. */
	write_config(f, "control:\n  buddies_max: 7\n  registratoin: false\n");
	ask_refused(f, fd, "config.reload", "{}", "invalid");
	assert_int_equal(f->config->control.buddies_max, 2000);

	write_config(f, "control: {buddies_max: 7, password_memory_kib: 1024, password_passes: 1}\n"
			"dataplane:\n  workers: 2\n  ports:\n    - {type: socket, listen: 127.0.0.1:8000}\n"
			"    - {type: socket, listen: 127.0.0.1:8001}\n");
	r = ask(f, fd, "config.reload", "{\"dry_run\":true}");
	assert_true(json_is_false(json_object_get(r, "applied")));
	assert_true(json_is_true(json_object_get(change_of(r, "control.buddies_max"), "live")));
	assert_int_equal(f->config->control.buddies_max, 2000);
	json_decref(r);
	/* Neither does one that cannot be followed. */
	f->follows = false;
	ask_refused(f, fd, "config.reload", "{}", "invalid");
	assert_int_equal(f->config->control.buddies_max, 2000);
	f->follows = true;
	r = ask(f, fd, "config.reload", "{}");
	const json_t *workers = change_of(r, "dataplane.workers");
	assert_true(json_is_false(json_object_get(workers, "live")));
	assert_string_equal(json_string_value(json_object_get(workers, "from")), "1");
	assert_string_equal(json_string_value(json_object_get(workers, "to")), "2");
	assert_string_equal(json_string_value(json_object_get(workers, "mend")), "rookctl restart dataplane");
	/* A port that only the file has. */
	const json_t *port = change_of(r, "dataplane.ports[1].listen");
	assert_non_null(port);
	assert_true(json_is_null(json_object_get(port, "from")));
	assert_null(change_of(r, "dataplane.ports[0].listen"));
	json_decref(r);
	assert_int_equal(f->config->control.buddies_max, 7);
	assert_int_equal(f->config->dataplane.workers, 1);
	r = ask(f, fd, "config.reload", "{}");
	assert_null(change_of(r, "control.buddies_max"));
	assert_non_null(change_of(r, "dataplane.workers"));
	json_decref(r);
	close(fd);
}

static void
test_what_a_change_takes(void **state)
{
	(void)state;
	static const struct {
		const char *key;
		enum reload_outcome outcome;
	} cases[] = {
		{"control.stored_max", RELOAD_LIVE},
		{"limits.search_rows", RELOAD_LIVE},
		{"log.level", RELOAD_LIVE},
		{"log.format", RELOAD_LIVE},
		{"log.areas", RELOAD_LIVE},
		{"metrics.listen", RELOAD_LIVE},
		{"metrics.token_file", RELOAD_LIVE},
		{"limits.searches_per_minute", RELOAD_CONTROL},
		{"control.password_threads", RELOAD_CONTROL},
		{"control.logins_per_second", RELOAD_DATAPLANE},
		{"limits.messages_burst", RELOAD_DATAPLANE},
		{"dataplane.ports[1].listen", RELOAD_DATAPLANE},
		{"session.retransmit_limit", RELOAD_DATAPLANE},
		{"session.timeout_ms", RELOAD_BOTH},
		{"state_dir", RELOAD_STOP},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (reload_outcome_of(cases[i].key) != cases[i].outcome)
			fail_msg("%s", cases[i].key);
}

static void
test_log_level(void **state)
{
	struct fixture *f = *state;
	int fd = dial_and_greet(f);
	ask_ok(f, fd, "log.level", "{\"level\":\"warning\",\"area\":\"login\"}");
	ask_ok(f, fd, "log.level", "{\"level\":\"error\"}");
	ask_refused(f, fd, "log.level", "{\"level\":\"loud\"}", "invalid");
	ask_refused(f, fd, "log.level", "{\"area\":\"login\"}", "invalid");
	ask_refused(f, fd, "log.level", "{\"level\":\"info\",\"area\":\"logni\"}", "invalid");
	ask_refused(f, fd, "log.level", "{\"level\":\"info\",\"area\":\"launcher\"}", "invalid");
	close(fd);
}

/* The tool and the server are built together: what the one sends, the other knows. */
static void
test_methods(void **state)
{
	(void)state;
	for (const struct command *c = cli_commands; c->name; c++)
		if (c->method && !admin_command_known(c->method))
			fail_msg("the server does not know %s of `%s`", c->method, c->name);
}

static void
test_arguments(void **state)
{
	struct fixture *f = *state;
	static const char *const cases[][2] = {
		{"status", "{\"verbose\":true}"},
		{"users.list", "{\"limit\":0}"},
		{"users.list", "{\"limit\":1001}"},
		{"users.list", "{\"limit\":\"10\"}"},
		{"users.list", "{\"offset\":-1}"},
		{"users.list", "{\"Limit\":1}"},
		{"users.add", "{\"name\":\"alice\"}"},
		{"users.add", "{\"name\":\"alice\",\"password\":\"\"}"},
		{"users.add", "{\"name\":1,\"password\":\"battery staple\"}"},
		{"users.del", "{}"},
		{"sessions.list", "{\"user\":null}"},
		{"sessions.kick", "{}"},
		{"sessions.kick", "{\"sid\":\"1\",\"user\":\"alice\"}"},
		{"sessions.kick", "{\"sid\":\"0\"}"},
		{"sessions.kick", "{\"sid\":\"12345678901234567\"}"},
		{"sessions.kick", "{\"sid\":\"-1\"}"},
		{"stats", "{\"drops\":1}"},
		{"users.list", "{\"prefix\":\"\"}"},
		{"users.show", "{}"},
		{"sessions.list", "{\"address\":\"10.0.0.0/33\"}"},
		{"sessions.list", "{\"address\":\"10.0.0\"}"},
		{"sessions.list", "{\"address\":\"10.0.0.0/\"}"},
		{"sessions.list", "{\"address\":\"fd00::/129\"}"},
		{"sessions.list", "{\"address\":\"fd00::/-1\"}"},
		{"sessions.list", "{\"worker\":128}"},
		{"sessions.show", "{}"},
		{"sessions.show", "{\"sid\":\"x\"}"},
		{"buddies.show", "{\"user\":\"alice\"}"},
		{"drain", "{\"on\":1}"},
		{"sample", "{\"worker\":0}"},
		{"stats", "{\"worker\":128}"},
	};
	int fd = dial_and_greet(f);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ask_refused(f, fd, cases[i][0], cases[i][1], "invalid");
	ask_refused(f, fd, "users.rename", "{}", "unknown_command");
	close(fd);
}

static void
test_malformed_lines(void **state)
{
	struct fixture *f = *state;
	int fd = dial_and_greet(f);
	say(fd, "\nnonsense\n{\"id\":3}\n");
	for (int i = 0; i < 3; i++) {
		json_t *reply = hear_json(f, fd);
		assert_string_equal(string_at(reply, "error", "code"), "malformed");
		assert_int_equal(json_integer_value(json_object_get(reply, "id")), i == 2 ? 3 : 0);
		json_decref(reply);
	}
	/* and goes on */
	assert_int_equal(count_users(f, fd), 0);
	/* A line without an end: told, then closed, since nobody knows where the next one begins. */
	char *endless = malloc(ADMIN_LINE_MAX + 2);
	memset(endless, ' ', ADMIN_LINE_MAX + 1);
	endless[ADMIN_LINE_MAX + 1] = '\0';
	say(fd, endless);
	free(endless);
	json_t *reply = hear_json(f, fd);
	assert_string_equal(string_at(reply, "error", "code"), "malformed");
	json_decref(reply);
	assert_null(hear(f, fd));
	close(fd);
}

static void
test_pipelined(void **state)
{
	struct fixture *f = *state;
	int fd = dial_and_greet(f);
	/* The first takes a thread and a commit; the others wait for it. */
	say(fd, "{\"id\":1,\"command\":\"users.add\",\"args\":{\"name\":\"alice\",\"password\":\"battery "
		"staple\"}}\n"
		"{\"id\":2,\"command\":\"status\"}\n{\"id\":3,\"command\":\"users.del\",\"args\":{\"name\":"
		"\"alice\"}}\n{\"id\":4,");
	for (int id = 1; id <= 3; id++) {
		json_t *reply = hear_json(f, fd);
		assert_int_equal(json_integer_value(json_object_get(reply, "id")), id);
		assert_true(json_is_true(json_object_get(reply, "ok")));
		if (id == 2)
			assert_int_equal(json_integer_value(
						 json_object_get(json_object_get(reply, "result"), "users")),
					 1);
		json_decref(reply);
	}
	say(fd, "\"command\":\"status\"}\n");
	json_t *reply = hear_json(f, fd);
	assert_int_equal(json_integer_value(json_object_get(reply, "id")), 4);
	json_decref(reply);
	close(fd);
}

static void
test_slow_reader(void **state)
{
	struct fixture *f = *state;
	static const char request[] = "{\"id\":1,\"command\":\"stats\"}\n";
	int slow = dial_and_greet(f), quick = dial_and_greet(f);
	int sent = 0, small = 4096;
	setsockopt(slow, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	/* Until neither its replies nor its requests fit into the sockets' buffers: the server reads no more
	 * of them. */
	for (int idle = 0; idle < 100;) {
		ssize_t n = send(slow, request, sizeof(request) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0) {
			assert_int_equal(n, sizeof(request) - 1);
			sent++;
			idle = 0;
		} else {
			idle++;
		}
		uv_run(&f->loop, UV_RUN_NOWAIT);
	}
	for (int i = 0; i < 10; i++)
		assert_int_equal(count_users(f, quick), 0);
	/* Nothing was lost: when it reads at last, each request has its reply. */
	for (int i = 0; i < sent; i++) {
		json_t *reply = hear_json(f, slow);
		assert_true(json_is_true(json_object_get(reply, "ok")));
		json_decref(reply);
	}
	close(slow);
	close(quick);
}

static void
test_client_leaves_during_operation(void **state)
{
	struct fixture *f = *state;
	int fd = dial_and_greet(f), other = dial_and_greet(f);
	say(fd, "{\"id\":1,\"command\":\"users.add\",\"args\":{\"name\":\"alice\",\"password\":\"battery "
		"staple\"}}\n");
	close(fd);
	while (count_users(f, other) == 0)
		;
	close(other);
}

/* The end of the program comes while a password is being hashed; tear_down must not find anything left. */
static void
test_close_during_operation(void **state)
{
	struct fixture *f = *state;
	int fd = dial_and_greet(f);
	say(fd, "{\"id\":1,\"command\":\"users.add\",\"args\":{\"name\":\"alice\",\"password\":\"battery "
		"staple\"}}\n");
	unsigned before = f->wakes;
	while (f->wakes == before)
		uv_run(&f->loop, UV_RUN_ONCE);
	admin_close(f->admin);
	assert_null(hear(f, fd));
	close(fd);
}

static void
test_too_many_clients(void **state)
{
	struct fixture *f = *state;
	int fds[ADMIN_CLIENTS_MAX];
	for (int i = 0; i < ADMIN_CLIENTS_MAX; i++)
		fds[i] = dial_and_greet(f);
	int extra = dial(f);
	json_t *reply = hear_json(f, extra);
	assert_string_equal(string_at(reply, "error", "code"), "busy");
	json_decref(reply);
	assert_null(hear(f, extra));
	close(extra);
	assert_int_equal(count_users(f, fds[ADMIN_CLIENTS_MAX - 1]), 0);
	close(fds[0]);
	/* The place is free once the server has seen the end. */
	for (bool in = false; !in;) {
		extra = dial(f);
		reply = hear_json(f, extra);
		in = json_object_get(reply, "api") != NULL;
		json_decref(reply);
		close(extra);
	}
	for (int i = 1; i < ADMIN_CLIENTS_MAX; i++)
		close(fds[i]);
}

static void
test_socket_file(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	assert_int_equal(stat(f->socket, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0600);

	struct admin *second;
	struct admin_options o = {.loop = &f->loop, .server = f->server, .config = f->config, .program = ADMIN_CONTROL,
		.socket = "control.sock", .run = admin_command_run};
	char error[256];
	assert_int_equal(admin_open(&second, &o, error, sizeof(error)), -EADDRINUSE);
	assert_null(second);
	assert_non_null(strstr(error, f->socket));
	int fd = dial_and_greet(f); /* the first still answers */
	close(fd);
}

/* A killed server leaves its socket behind: the next one takes the place. */
static void
test_stale_socket(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char error[256];
	admin_close(f->admin);
	uv_run(&f->loop, UV_RUN_NOWAIT);
	admin_free(f->admin);
	int dead = socket(AF_UNIX, SOCK_STREAM, 0);
	strcpy(address.sun_path, f->socket);
	assert_int_equal(bind(dead, (struct sockaddr *)&address, sizeof(address)), 0);
	close(dead);
	struct admin_options o = {.loop = &f->loop, .server = f->server, .config = f->config, .program = ADMIN_CONTROL,
		.socket = "control.sock", .run = admin_command_run};
	assert_int_equal(admin_open(&f->admin, &o, error, sizeof(error)), 0);
	int fd = dial_and_greet(f);
	close(fd);
}

static void
test_cannot_listen(void **state)
{
	struct fixture *f = *state;
	struct admin *second;
	struct admin_options o = {.loop = &f->loop, .server = f->server, .config = f->config, .program = ADMIN_CONTROL,
		.socket = "control.sock", .run = admin_command_run};
	char error[256], *runtime_dir = f->config->runtime_dir;
	char nowhere[] = "/nonexistent/run", longer[200];
	f->config->runtime_dir = nowhere;
	assert_true(admin_open(&second, &o, error, sizeof(error)) < 0);
	assert_non_null(strstr(error, nowhere));
	uv_run(&f->loop, UV_RUN_NOWAIT);
	admin_free(second);
	memset(longer, 'x', sizeof(longer) - 1);
	longer[0] = '/';
	longer[sizeof(longer) - 1] = '\0';
	f->config->runtime_dir = longer;
	assert_int_equal(admin_open(&second, &o, error, sizeof(error)), -ENAMETOOLONG);
	f->config->runtime_dir = runtime_dir;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_status),
		TEST(test_users),
		TEST(test_sessions_and_stats),
		TEST(test_views),
		TEST(test_drain_and_sample),
		TEST(test_config),
		TEST(test_log_level),
		cmocka_unit_test(test_what_a_change_takes),
		TEST(test_methods),
		TEST(test_arguments),
		TEST(test_malformed_lines),
		TEST(test_pipelined),
		TEST(test_slow_reader),
		TEST(test_client_leaves_during_operation),
		TEST(test_close_during_operation),
		TEST(test_too_many_clients),
		TEST(test_socket_file),
		TEST(test_stale_socket),
		TEST(test_cannot_listen),
	};
	log_open("test_admin", LOG_LEVEL_ERROR);
	signal(SIGPIPE, SIG_IGN); /* as rookery-control does: clients leave */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
