/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The HTTP endpoint within one process: real sockets, real event loop, real server on a real database, and a region of rings
 * into whose counters the test writes. Clients are plain descriptors; waiting for them means running the loop.
 */
#include "control/http.h"
#include "control/metrics.h"
#include "control/store/store.h"
#include "shared/ipc.h"

#include <errno.h>
#include <jansson.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/file_tree.h"

#define WORKERS 2
#define ANSWER_MAX (256 * 1024)

struct fixture {
	char dir[32];
	uv_loop_t loop;
	struct config *config;
	struct store *store;
	struct server *server;
	struct ipc ipc;
	struct http *http;
	struct histogram login;
	unsigned request_ms;
	char error[256];
	char answer[ANSWER_MAX];
};

static bool
send_cell(void *arg, uint32_t ring, const struct cell *c)
{
	(void)arg;
	(void)ring;
	(void)c;
	return true;
}

static void
no_hash(void *arg, struct password_job *job)
{
	(void)arg;
	(void)job;
}

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct ipc_options rings = {.workers = WORKERS, .event_cells = 64, .request_cells = 64, .login_cells = 64,
				    .inject_cells = 64, .table_cells = 64, .sessions_per_worker = 128};
	struct server_options so = {.io = {.arg = f, .send = send_cell, .hash = no_hash}, .now_ms = 1000,
				    .wall_ms = 1700000000000};
	char path[96];

	strcpy(f->dir, "/tmp/test_http.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(handshake_init(), 0);
	assert_int_equal(config_load(&f->config, NULL, f->dir, f->error, sizeof(f->error)), 0);
	assert_int_equal(config_make_dirs(f->config, NULL, f->error, sizeof(f->error)), 0);
	assert_non_null(config_state_path(f->config, "rookery.db", path, sizeof(path)));
	assert_int_equal(store_open(&f->store, path, f->error, sizeof(f->error)), 0);
	so.config = f->config;
	so.store = f->store;
	handshake_keypair_generate(&so.key);
	assert_int_equal(server_new(&f->server, &so), 0);
	assert_non_null(config_runtime_path(f->config, "rings.shm", path, sizeof(path)));
	assert_int_equal(ipc_new(&f->ipc, path, &rings), 0);
	assert_int_equal(server_attach(f->server, 7, WORKERS, 128), 0);
	server_set_ready(f->server, true, &f->ipc, 4711);
	assert_int_equal(uv_loop_init(&f->loop), 0);
	*state = f;
	return 0;
}

static void
http_stop(struct fixture *f)
{
	http_close(f->http);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	http_free(f->http);
	f->http = NULL;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	http_stop(f);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	server_free(f->server);
	ipc_leave(&f->ipc);
	store_close(f->store);
	config_free(f->config);
	tree_remove(f->dir);
	free(f);
	return 0;
}

static void
set_text(char **key, const char *text)
{
	free(*key);
	*key = strdup(text);
}

static int
try_listen(struct fixture *f, const char *listen, const char *token_file)
{
	set_text(&f->config->metrics.listen, listen);
	set_text(&f->config->metrics.token_file, token_file);
	return http_listen(f->http, f->config, f->error, sizeof(f->error));
}

static int
try_start(struct fixture *f, const char *listen, const char *token_file)
{
	struct http_options o = {.loop = &f->loop, .server = f->server, .login_latency = &f->login, .request_ms = f->request_ms};

	assert_int_equal(http_open(&f->http, &o), 0);
	return try_listen(f, listen, token_file);
}

static void
start(struct fixture *f)
{
	if (try_start(f, "127.0.0.1:0", "") != 0)
		fail_msg("%s", f->error);
}

/* ---- a client ------------------------------------------------------------------------ */

static int
dial(struct fixture *f)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(http_port(f->http)),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static void
say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Runs the loop until the other end closes; what came until then. */
static const char *
hear(struct fixture *f, int fd)
{
	size_t used = 0;
	ssize_t n = 1;

	while (n != 0) {
		struct pollfd p = {.fd = fd, .events = POLLIN};

		uv_run(&f->loop, UV_RUN_NOWAIT);
		if (poll(&p, 1, 1) == 0)
			continue;
		n = recv(fd, f->answer + used, sizeof(f->answer) - 1 - used, 0);
		if (n < 0)
			break; /* reset */
		used += (size_t)n;
	}
	f->answer[used] = '\0';
	close(fd);
	return f->answer;
}

static const char *
ask_raw(struct fixture *f, const char *request)
{
	int fd = dial(f);

	say(fd, request);
	return hear(f, fd);
}

static const char *
ask(struct fixture *f, const char *method, const char *path, const char *headers)
{
	char request[2048];

	snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n%s\r\n", method, path,
		 headers);
	return ask_raw(f, request);
}

static int
status_of(const char *answer)
{
	int status = 0;

	sscanf(answer, "HTTP/1.1 %d", &status);
	return status;
}

static const char *
body_of(const char *answer)
{
	const char *body = strstr(answer, "\r\n\r\n");

	assert_non_null(body);
	return body + 4;
}

/* ---- metrics -------------------------------------------------------------------------- */

static void
assert_line(const char *text, const char *format, ...)
{
	char line[512], *found;
	va_list args;

	line[0] = '\n';
	va_start(args, format);
	vsnprintf(line + 1, sizeof(line) - 2, format, args);
	va_end(args);
	strcat(line, "\n");
	found = strstr(text, line);
	if (found == NULL)
		fail_msg("missing:%s", line);
	if (strstr(found + 1, line) != NULL)
		fail_msg("twice:%s", line);
}

static void
test_every_counter_is_exported(void **state)
{
	struct fixture *f = *state;
	const char *text, *name, *help;

	for (unsigned w = 0; w <= WORKERS; w++)
		for (unsigned i = 0; i < COUNTER_COUNT; i++)
			atomic_store(&ipc_stats(&f->ipc, w)->counter[i], 1000000 * (w + 1) + 7 * i);
	start(f);
	text = body_of(ask(f, "GET", "/metrics", ""));
	for (unsigned i = 0; i < COUNTER_COUNT; i++) {
		const char *end = counter_info[i].is_gauge ? "" : "_total";

		assert_line(text, "# HELP rookery_dataplane_%s%s %s", counter_info[i].name, end, counter_info[i].text);
		assert_line(text, "# TYPE rookery_dataplane_%s%s %s", counter_info[i].name, end,
			    counter_info[i].is_gauge ? "gauge" : "counter");
		for (unsigned w = 0; w < WORKERS; w++)
			assert_line(text, "rookery_dataplane_%s%s{worker=\"%u\"} %u", counter_info[i].name, end, w,
				    1000000 * (w + 1) + 7 * i);
		assert_line(text, "rookery_dataplane_%s%s{worker=\"housekeeping\"} %u", counter_info[i].name, end,
			    1000000 * (WORKERS + 1) + 7 * i);
	}
	for (unsigned i = 0; server_control_counter(i, &name, &help); i++) {
		if (strcmp(name, "commit_us") == 0) /* Prometheus has times in seconds */
			name = "commit_seconds";
		assert_line(text, "# HELP rookery_control_%s_total %s", name, help);
		assert_line(text, "# TYPE rookery_control_%s_total counter", name);
	}
	assert_non_null(strstr(text, "\nrookery_control_cells_total 0\n"));
}

static void
test_times_are_in_seconds(void **state)
{
	struct metrics_snapshot *s = calloc(1, sizeof(*s));
	const char *name, *help;
	size_t length;
	char *text;

	(void)state;
	for (unsigned i = 0; server_control_counter(i, &name, &help); i++)
		s->counters.control[i] = 12000345;
	text = metrics_text(s, &length);
	assert_line(text, "rookery_control_commit_seconds_total 12.000345");
	assert_line(text, "rookery_control_cells_total 12000345");
	free(text);
	free(s);
}

static void
test_gauges_and_histograms(void **state)
{
	struct fixture *f = *state;
	const char *text;

	histogram_add(&f->login, 300, 2);
	histogram_add(&f->login, 99000000, 1);
	start(f);
	text = body_of(ask(f, "GET", "/metrics", ""));
	assert_line(text, "rookery_ready 1");
	assert_line(text, "rookery_dataplane_up 1");
	assert_line(text, "rookery_workers 2");
	assert_line(text, "rookery_sessions_capacity 256");
	assert_line(text, "rookery_sessions 0");
	assert_line(text, "rookery_ring_used{ring=\"event\",worker=\"1\"} 0");
	assert_line(text, "rookery_ring_capacity{ring=\"table\",worker=\"housekeeping\"} 63");
	assert_line(text, "rookery_ring_backlog{ring=\"inject\",worker=\"0\"} 0");
	assert_line(text, "# TYPE rookery_login_seconds histogram");
	assert_line(text, "rookery_login_seconds_bucket{le=\"0.00025\"} 0");
	assert_line(text, "rookery_login_seconds_bucket{le=\"0.0005\"} 2");
	assert_line(text, "rookery_login_seconds_bucket{le=\"10\"} 2");
	assert_line(text, "rookery_login_seconds_bucket{le=\"+Inf\"} 3");
	assert_line(text, "rookery_login_seconds_sum 99.000600");
	assert_line(text, "rookery_login_seconds_count 3");
	/* server_attach has written its instance */
	assert_null(strstr(text, "\nrookery_store_commit_seconds_count 0\n"));
	assert_null(strstr(text, "rookery_control_memory_resident_bytes 0\n"));
}

/* Every sample belongs to the family announced before it, and no line comes twice. */
static void
test_text_format(void **state)
{
	struct fixture *f = *state;
	char family[128] = "", *save = NULL, *text;
	struct metrics_family known;
	unsigned lines = 0, families = 0;

	start(f);
	text = strdup(body_of(ask(f, "GET", "/metrics", "")));
	assert_int_equal(text[strlen(text) - 1], '\n');
	for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
		size_t n = strcspn(line, "{ ");
		char *end;

		if (strncmp(line, "# HELP ", 7) == 0) {
			assert_int_equal(sscanf(line, "# HELP %127s", family), 1);
			assert_true(metrics_family(families++, &known));
			assert_string_equal(known.name, family);
			continue;
		}
		if (strncmp(line, "# TYPE ", 7) == 0) {
			assert_int_equal(strncmp(line + 7, family, strlen(family)), 0);
			continue;
		}
		if (strncmp(line, family, strlen(family)) != 0 || strspn(line, "abcdefghijklmnopqrstuvwxyz_") != n)
			fail_msg("not of %s: %s", family, line);
		strtod(strrchr(line, ' ') + 1, &end);
		assert_int_equal(*end, '\0');
		lines++;
	}
	assert_false(metrics_family(families, &known));
	assert_true(lines > families);
	free(text);
}

static void
test_without_a_dataplane(void **state)
{
	struct fixture *f = *state;
	const char *text;

	server_detach(f->server);
	start(f);
	text = body_of(ask(f, "GET", "/metrics", ""));
	assert_line(text, "rookery_ready 0");
	assert_line(text, "rookery_dataplane_up 0");
	assert_null(strstr(text, "rookery_dataplane_rx_packets_total{"));
	assert_int_equal(status_of(ask(f, "GET", "/health", "")), 503);
	server_attach(f->server, 8, WORKERS, 128);
	server_set_ready(f->server, true, &f->ipc, 4711);
	assert_int_equal(status_of(ask(f, "GET", "/health", "")), 200);
}

/* ---- the page ------------------------------------------------------------------------- */

static void
test_page_and_its_figures(void **state)
{
	struct fixture *f = *state;
	const char *answer;
	json_t *document, *series, *values;
	const char *name;

	start(f);
	answer = ask(f, "GET", "/", "");
	assert_int_equal(status_of(answer), 200);
	assert_non_null(strstr(answer, "Content-Type: text/html; charset=utf-8\r\n"));
	assert_non_null(strstr(answer, "Content-Security-Policy: default-src 'none'"));
	assert_non_null(strstr(body_of(answer), "</html>"));
	/* One document: nothing is loaded from anywhere. The only address is the name of the SVG elements. */
	assert_null(strstr(body_of(answer), "https://"));
	assert_null(strstr(body_of(answer), "src="));
	answer = ask(f, "GET", "/status.json", "");
	assert_int_equal(status_of(answer), 200);
	document = json_loads(body_of(answer), 0, NULL);
	assert_non_null(document);
	assert_true(json_is_true(json_object_get(json_object_get(document, "now"), "ready")));
	series = json_object_get(document, "series");
	assert_true(json_object_size(series) >= 10);
	json_object_foreach(series, name, values)
		assert_int_equal(json_array_size(values), json_array_size(json_object_get(series, "sessions")));
	json_decref(document);
}

/* ---- who and how ----------------------------------------------------------------------- */

static void
test_read_only(void **state)
{
	static const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS", "BREW"};
	struct fixture *f = *state;
	const char *answer;

	start(f);
	for (unsigned i = 0; i < 5; i++) {
		answer = ask(f, methods[i], "/metrics", "Content-Length: 0\r\n");
		assert_int_equal(status_of(answer), 405);
		assert_non_null(strstr(answer, "Allow: GET, HEAD\r\n"));
	}
	assert_int_equal(status_of(ask(f, "GET", "/admin", "")), 404);
	assert_int_equal(status_of(ask(f, "GET", "/metrics/../etc/passwd", "")), 404);
	answer = ask(f, "HEAD", "/metrics", "");
	assert_int_equal(status_of(answer), 200);
	assert_string_equal(body_of(answer), "");
}

static void
test_keeps_a_connection(void **state)
{
	struct fixture *f = *state;
	int fd;
	const char *second;

	start(f);
	fd = dial(f);
	say(fd, "GET /health HTTP/1.1\r\nHost: localhost:8001\r\n\r\n"
		"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
	second = strstr(hear(f, fd) + 1, "HTTP/1.1 200");
	assert_non_null(second);
}

static void
test_other_names_are_refused(void **state)
{
	struct fixture *f = *state;

	start(f);
	assert_int_equal(status_of(ask_raw(f, "GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")), 403);
	assert_int_equal(status_of(ask_raw(f, "GET / HTTP/1.1\r\nHost: localhost.evil.example:8001\r\nConnection: close\r\n\r\n")), 403);
	assert_int_equal(status_of(ask_raw(f, "GET / HTTP/1.1\r\nHost: LOCALHOST:8001\r\nConnection: close\r\n\r\n")), 200);
	assert_int_equal(status_of(ask_raw(f, "GET / HTTP/1.1\r\nHost: [::1]:8001\r\nConnection: close\r\n\r\n")), 200);
}

static void
token_write(struct fixture *f, const char *text, mode_t mode, char path[96])
{
	FILE *file;

	snprintf(path, 96, "%s/token", f->dir);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	assert_int_equal(chmod(path, mode), 0);
}

static void
test_token(void **state)
{
	static const char *const wrong[] = {
		"", "Authorization: Bearer \r\n", "Authorization: Bearer 0123456789abcdeg\r\n",
		"Authorization: Bearer 0123456789abcdef0\r\n", "Authorization: Bearer 0123456789abcde\r\n",
		"Authorization: Basic 0123456789abcdef\r\n", "Authorization: Basic !!!\r\n", "Authorization: 0123456789abcdef\r\n",
	};
	char path[96], header[256], basic[128];
	struct fixture *f = *state;
	const char *answer;

	token_write(f, "0123456789abcdef\n", 0600, path);
	assert_int_equal(try_start(f, "0.0.0.0:0", path), 0);
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		answer = ask(f, "GET", "/metrics", wrong[i]);
		assert_int_equal(status_of(answer), 401);
		assert_non_null(strstr(answer, "WWW-Authenticate: Basic"));
		assert_null(strstr(answer, "rookery_"));
	}
	assert_int_equal(status_of(ask(f, "GET", "/metrics", "Authorization: Bearer 0123456789abcdef\r\n")), 200);
	sodium_bin2base64(basic, sizeof(basic), (const uint8_t *)"me:0123456789abcdef", 19, sodium_base64_VARIANT_ORIGINAL);
	snprintf(header, sizeof(header), "Authorization: Basic %s\r\n", basic);
	assert_int_equal(status_of(ask(f, "GET", "/", header)), 200);
	/* With a token the name does not matter. */
	assert_int_equal(status_of(ask_raw(f, "GET / HTTP/1.1\r\nHost: chat.example\r\nConnection: close\r\n"
					      "Authorization: Bearer 0123456789abcdef\r\n\r\n")), 200);
}

static void
assert_not_started(struct fixture *f, const char *listen, const char *token_file, const char *reason)
{
	assert_int_equal(try_start(f, listen, token_file), -EINVAL);
	if (strstr(f->error, reason) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", f->error, reason);
	http_stop(f);
}

static void
test_refuses_to_start(void **state)
{
	struct fixture *f = *state;
	char path[96];

	assert_not_started(f, "0.0.0.0:0", "", "set metrics.token_file");
	assert_not_started(f, "[::]:0", "", "set metrics.token_file");
	assert_not_started(f, "10.1.2.3:0", "", "set metrics.token_file");
	assert_not_started(f, "nowhere", "", "is no address");
	assert_not_started(f, "127.0.0.1:0", "/nonexistent/token", "No such file");
	token_write(f, "0123456789abcdef\n", 0640, path);
	assert_not_started(f, "127.0.0.1:0", path, "chmod 600");
	token_write(f, "short\n", 0600, path);
	assert_not_started(f, "127.0.0.1:0", path, "16 to 256");
	token_write(f, "0123456789abcdef\n0123456789abcdef\n", 0600, path);
	assert_not_started(f, "127.0.0.1:0", path, "one line");
	assert_int_equal(try_start(f, "", ""), 0);
	assert_int_equal(http_port(f->http), 0);
}

/* ---- another address or token while it runs ---------------------------------------------- */

static int
health_with(struct fixture *f, const char *token)
{
	char header[128];

	snprintf(header, sizeof(header), "Authorization: Bearer %s\r\n", token);
	return status_of(ask(f, "GET", "/health", header));
}

static bool
somebody_listens(uint16_t port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 2)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool listens;

	/* From an address of its own: otherwise it may get the same port, and be connected with itself. */
	assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
	listens = connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0;
	close(fd);
	return listens;
}

/* Somebody else listens at 127.0.0.2, with port 0 on one of its own. */
static int
other_listener(uint16_t port, char where[32])
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1)};
	socklen_t length = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&at, length), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &length), 0);
	assert_int_equal(listen(fd, 1), 0);
	snprintf(where, 32, "127.0.0.2:%u", ntohs(at.sin_port));
	return fd;
}

static void
test_another_address(void **state)
{
	struct fixture *f = *state;
	uint16_t old;
	int kept;

	start(f);
	old = http_port(f->http);
	kept = dial(f);
	uv_run(&f->loop, UV_RUN_NOWAIT);
	assert_int_equal(try_listen(f, "127.0.0.1:0", ""), 0);
	assert_int_not_equal(http_port(f->http), old);
	assert_false(somebody_listens(old));
	assert_int_equal(status_of(ask(f, "GET", "/health", "")), 200);
	/* Whoever was connected there is let go. */
	say(kept, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
	assert_string_equal(hear(f, kept), "");
	old = http_port(f->http);
	assert_int_equal(try_listen(f, "", ""), 0);
	assert_false(somebody_listens(old));
	assert_int_equal(http_port(f->http), 0);
	assert_int_equal(try_listen(f, "127.0.0.1:0", ""), 0);
	assert_int_equal(status_of(ask(f, "GET", "/health", "")), 200);
}

static void
test_address_that_is_taken(void **state)
{
	char listen[32], path[96];
	struct fixture *f = *state;
	uint16_t port;
	int other = other_listener(0, listen);

	start(f);
	port = http_port(f->http);
	token_write(f, "0123456789abcdef\n", 0600, path);
	assert_int_equal(try_listen(f, listen, path), -EADDRINUSE);
	assert_non_null(strstr(f->error, listen));
	assert_non_null(strstr(f->error, strerror(EADDRINUSE)));
	assert_int_equal(try_listen(f, "192.0.2.1:0", path), -EADDRNOTAVAIL);
	assert_int_equal(try_listen(f, "0.0.0.0:0", ""), -EINVAL);
	/* Everything as it was, and no token either. */
	assert_int_equal(http_port(f->http), port);
	assert_int_equal(status_of(ask(f, "GET", "/health", "")), 200);
	close(other);
	assert_int_equal(try_listen(f, listen, path), 0);
	assert_false(somebody_listens(port));
}

/* All addresses, with the port that one of them has: the old socket is in the new one's way. */
static void
test_address_that_overlaps(void **state)
{
	char listen[32], path[96], unused[32];
	struct fixture *f = *state;
	uint16_t port;
	int other;

	start(f);
	port = http_port(f->http);
	token_write(f, "0123456789abcdef\n", 0600, path);
	snprintf(listen, sizeof(listen), "0.0.0.0:%u", port);
	/* Somebody else is in its way, too: the old one comes back. */
	other = other_listener(port, unused);
	assert_int_equal(try_listen(f, listen, path), -EADDRINUSE);
	assert_int_equal(http_port(f->http), port);
	assert_int_equal(status_of(ask(f, "GET", "/health", "")), 200);
	close(other);
	assert_int_equal(try_listen(f, listen, path), 0);
	assert_int_equal(http_port(f->http), port);
	assert_int_equal(health_with(f, "0123456789abcdef"), 200);
	assert_int_equal(status_of(ask(f, "GET", "/health", "")), 401);
	snprintf(listen, sizeof(listen), "127.0.0.1:%u", port);
	assert_int_equal(try_listen(f, listen, ""), 0);
	assert_int_equal(status_of(ask(f, "GET", "/health", "")), 200);
}

static void
test_another_token(void **state)
{
	char listen[32], path[96];
	struct fixture *f = *state;
	uint16_t port;
	int kept;

	token_write(f, "0123456789abcdef\n", 0600, path);
	assert_int_equal(try_start(f, "127.0.0.1:0", path), 0);
	port = http_port(f->http);
	snprintf(listen, sizeof(listen), "127.0.0.1:%u", port);
	kept = dial(f);
	uv_run(&f->loop, UV_RUN_NOWAIT);
	/* The same file with another token in it. */
	token_write(f, "fedcba9876543210\n", 0600, path);
	assert_int_equal(try_listen(f, listen, path), 0);
	assert_int_equal(http_port(f->http), port);
	assert_int_equal(health_with(f, "0123456789abcdef"), 401);
	assert_int_equal(health_with(f, "fedcba9876543210"), 200);
	/* The connection lives on, but with the old token it gets nothing. */
	say(kept, "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
		  "Authorization: Bearer 0123456789abcdef\r\n\r\n");
	assert_int_equal(status_of(hear(f, kept)), 401);
	token_write(f, "short\n", 0600, path);
	assert_int_equal(try_listen(f, listen, path), -EINVAL);
	assert_int_equal(health_with(f, "fedcba9876543210"), 200);
}

/* ---- bounds ----------------------------------------------------------------------------- */

static void
test_large_requests(void **state)
{
	struct fixture *f = *state;
	char *large = malloc(2 * HTTP_MEMORY_MAX);
	int fd;

	start(f);
	memset(large, 'a', 2 * HTTP_MEMORY_MAX - 1);
	large[2 * HTTP_MEMORY_MAX - 1] = '\0';
	memcpy(large, "GET /", 5);
	fd = dial(f);
	say(fd, large);
	assert_int_not_equal(status_of(hear(f, fd)), 200);
	fd = dial(f);
	say(fd, "GET / HTTP/1.1\r\nHost: localhost\r\nX: ");
	say(fd, large);
	assert_int_not_equal(status_of(hear(f, fd)), 200);
	assert_int_equal(status_of(ask(f, "GET", "/health", "")), 200);
	free(large);
}

/* A byte now and then is not idle; the deadline of the whole request ends it. */
static void
test_slow_client_is_cut(void **state)
{
	struct fixture *f = *state;
	int fd;

	f->request_ms = 50;
	start(f);
	fd = dial(f);
	say(fd, "GET / HTTP/1.1\r\nHost: loc");
	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		char byte;

		uv_run(&f->loop, UV_RUN_NOWAIT);
		if (poll(&p, 1, 5) != 0 && recv(fd, &byte, 1, 0) <= 0)
			break;
		if (send(fd, "a", 1, MSG_NOSIGNAL) < 0)
			break;
	}
	close(fd);
	f->request_ms = 0;
	assert_int_equal(status_of(ask(f, "GET", "/health", "")), 200);
}

/* Those over the limit wait until others are gone. */
static void
test_connections_are_bounded(void **state)
{
	int idle[HTTP_CONNECTIONS_MAX], one;
	struct fixture *f = *state;
	struct pollfd p = {.events = POLLIN};

	start(f);
	for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
		idle[i] = dial(f);
		uv_run(&f->loop, UV_RUN_NOWAIT);
	}
	one = dial(f);
	say(one, "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
	for (unsigned i = 0; i < 50; i++)
		uv_run(&f->loop, UV_RUN_NOWAIT);
	p.fd = one;
	assert_int_equal(poll(&p, 1, 0), 0);
	for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX; i++)
		close(idle[i]);
	assert_int_equal(status_of(hear(f, one)), 200);
}

static void
test_garbage(void **state)
{
	static const char *const texts[] = {"\r\n\r\n\r\n\r\n", "GET\r\n\r\n", "\x16\x03\x01\x02", "GET / HTTP/9.9\r\n\r\n",
					    "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
					    "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"};
	struct fixture *f = *state;

	f->request_ms = 100;
	start(f);
	for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_not_equal(status_of(ask_raw(f, texts[i])), 200);
	f->request_ms = 0;
	assert_int_equal(status_of(ask(f, "GET", "/health", "")), 200);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_every_counter_is_exported),
		cmocka_unit_test(test_times_are_in_seconds),
		TEST(test_gauges_and_histograms),
		TEST(test_text_format),
		TEST(test_without_a_dataplane),
		TEST(test_page_and_its_figures),
		TEST(test_read_only),
		TEST(test_keeps_a_connection),
		TEST(test_other_names_are_refused),
		TEST(test_token),
		TEST(test_refuses_to_start),
		TEST(test_another_address),
		TEST(test_address_that_is_taken),
		TEST(test_address_that_overlaps),
		TEST(test_another_token),
		TEST(test_large_requests),
		TEST(test_slow_client_is_cut),
		TEST(test_connections_are_bounded),
		TEST(test_garbage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
