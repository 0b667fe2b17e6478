/* SPDX-License-Identifier: BSD-3-Clause */
/* Every counter on every surface of a real server: rookctl, Prometheus over HTTP, DPDK's telemetry socket. */
#include "server.h"

#include "shared/counters.h"

#include <errno.h>
#include <jansson.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define ANSWER_MAX (512 * 1024)

static const char *const counters[] = {
#define NAME(name, text) #name,
	COUNTERS(NAME, NAME, NAME)
#undef NAME
};

/* The world's port at 127.0.0.host. */
static struct sockaddr_in
address_of(struct world *w, unsigned host)
{
	return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(w->port), .sin_addr = {htonl(INADDR_LOOPBACK - 1 + host)}};
}

/* The whole answer, headers too; to be freed. NULL: nobody listens. */
static char *
http_get_at(struct world *w, unsigned host, const char *path)
{
	struct sockaddr_in to = address_of(w, host);
	struct timeval patience = {.tv_sec = WAIT_EVENT};
	char request[256], *answer = calloc(1, ANSWER_MAX);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t used = 0;
	ssize_t n;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
		close(fd);
		free(answer);
		return NULL;
	}
	n = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path);
	world_check(w, send(fd, request, (size_t)n, MSG_NOSIGNAL) == n);
	while ((n = recv(fd, answer + used, ANSWER_MAX - 1 - used, 0)) > 0)
		used += (size_t)n;
	world_check(w, n == 0);
	close(fd);
	return answer;
}

static char *
http_get(struct world *w, const char *path)
{
	return http_get_at(w, 1, path);
}

/* What DPDK answers to a command; to be freed. */
static json_t *
telemetry(struct world *w, const char *command)
{
	struct timeval patience = {.tv_sec = WAIT_EVENT};
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	uint64_t deadline = deadline_in(WAIT_EVENT);
	static char answer[64 * 1024];
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	json_t *all, *one;
	ssize_t n;
	int length = snprintf(to.sun_path, sizeof(to.sun_path), "%s/run/dpdk/rookery/dpdk_telemetry.v2", w->server->state_dir);

	world_check(w, length > 0 && (size_t)length < sizeof(to.sun_path));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	while (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		if (!world_poll(w, deadline)) /* a killed one's successor is on its way */
			world_fail(w, "%s: %s", to.sun_path, strerror(errno));
	world_check(w, recv(fd, answer, sizeof(answer), 0) > 0); /* who it is */
	world_check(w, send(fd, command, strlen(command), MSG_NOSIGNAL) > 0);
	n = recv(fd, answer, sizeof(answer), 0);
	world_check(w, n > 0);
	close(fd);
	all = json_loadb(answer, (size_t)n, 0, NULL);
	world_check(w, all != NULL);
	one = json_incref(json_object_iter_value(json_object_iter(all)));
	json_decref(all);
	return one;
}

static void
start(struct world *w)
{
	char listen[64];

	snprintf(listen, sizeof(listen), "127.0.0.1:%u", w->port);
	server_start_with(w, &(struct server_settings){.metrics = listen});
}

static bool
shown_by_rookctl(json_t *stats, const char *name)
{
	json_t *list = json_object_get(stats, "counters"), *one;
	size_t i;

	json_array_foreach(list, i, one)
		if (strcmp(json_string_value(json_object_get(one, "name")), name) == 0)
			return true;
	return false;
}

static void
every_counter_on_every_surface(void **state)
{
	struct world *w = *state;
	json_t *stats, *worker, *drops;
	char *text, line[160];

	start(w);
	stats = rookctl(w, "stats", "--all");
	text = http_get(w, "/metrics");
	world_check(w, text != NULL && strstr(text, "200 OK") != NULL);
	worker = telemetry(w, "/rookery/worker,0");
	drops = telemetry(w, "/rookery/drops");
	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
		if (!shown_by_rookctl(stats, counters[i]))
			world_fail(w, "rookctl stats lacks %s", counters[i]);
		snprintf(line, sizeof(line), "\nrookery_dataplane_%s{worker=\"0\"} ", counters[i]);
		if (strstr(text, line) == NULL) {
			snprintf(line, sizeof(line), "\nrookery_dataplane_%s_total{worker=\"0\"} ", counters[i]);
			if (strstr(text, line) == NULL)
				world_fail(w, "/metrics lacks %s", counters[i]);
		}
		if (!json_is_integer(json_object_get(worker, counters[i])))
			world_fail(w, "telemetry lacks %s", counters[i]);
		if ((json_object_get(drops, counters[i]) != NULL) != (strncmp(counters[i], "drop_", 5) == 0))
			world_fail(w, "/rookery/drops is wrong about %s", counters[i]);
	}
	world_check(w, json_integer_value(json_object_get(worker, "packets_capacity")) > 0);
	json_decref(stats);
	json_decref(worker);
	json_decref(drops);
	free(text);
	text = http_get(w, "/status.json");
	world_check(w, strstr(text, "\"ready\":true") != NULL);
	free(text);
	server_finish(w);
	world_check(w, http_get(w, "/health") == NULL);
}

/* Both come back in their places after a process was killed, and a clean stop leaves nothing (server_finish looks). */
static void
surfaces_after_a_kill(void **state)
{
	struct world *w = *state;
	json_t *info;
	char *text;
	pid_t pid;

	start(w);
	pid = server_child(w, "rookery-dataplane", 0);
	kill(pid, SIGKILL);
	server_replaced(w, "rookery-dataplane", pid);
	info = telemetry(w, "/rookery/info");
	world_check(w, json_integer_value(json_object_get(info, "workers")) == 1);
	json_decref(info);
	pid = server_child(w, "rookery-control", 0);
	kill(pid, SIGKILL);
	server_replaced(w, "rookery-control", pid);
	text = http_get(w, "/health");
	world_check(w, text != NULL && strstr(text, "200 OK") != NULL);
	free(text);
	server_finish(w);
}

/* Its address in the configuration file, and what `rookctl config reload` says then; err to be freed. */
static int
reload_at(struct world *w, unsigned host, char **err)
{
	static const char *const args[] = {"config", "reload", NULL};
	static char listen[64];

	listen[0] = '\0';
	if (host != 0)
		snprintf(listen, sizeof(listen), "127.0.0.%u:%u", host, w->port);
	w->server->settings.metrics = listen;
	server_write_config(w);
	return rookctl_status(w, args, NULL, err);
}

static void
check_health_at(struct world *w, unsigned host, bool there)
{
	char *text = http_get_at(w, host, "/health");

	world_check(w, there ? text != NULL && strstr(text, "200 OK") != NULL : text == NULL);
	free(text);
}

static void
check_page(struct world *w, bool there)
{
	json_t *status = rookctl(w, "status"), *page = json_object_get(status, "status_page");

	world_check(w, json_is_true(json_object_get(page, "ok")) == there);
	world_check(w, (strstr(json_string_value(json_object_get(page, "error")), strerror(EADDRINUSE)) == NULL) == there);
	json_decref(status);
}

static void
another_address_while_it_runs(void **state)
{
	struct world *w = *state;
	struct sockaddr_in taken = address_of(w, 3);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char *err, listen_at[64];

	world_check(w, bind(fd, (struct sockaddr *)&taken, sizeof(taken)) == 0 && listen(fd, 1) == 0);
	snprintf(listen_at, sizeof(listen_at), "127.0.0.3:%u", w->port);
	server_start_with(w, &(struct server_settings){.metrics = listen_at});
	/* Clients can log in all the same. */
	check_page(w, false);
	world_check(w, reload_at(w, 1, &err) == 0);
	free(err);
	check_page(w, true);
	world_check(w, reload_at(w, 2, &err) == 0);
	free(err);
	check_health_at(w, 1, false);
	check_health_at(w, 2, true);
	world_check(w, reload_at(w, 3, &err) == 1);
	world_check(w, strstr(err, "127.0.0.3") != NULL && strstr(err, strerror(EADDRINUSE)) != NULL);
	free(err);
	check_health_at(w, 2, true);
	world_check(w, reload_at(w, 0, &err) == 0);
	free(err);
	check_health_at(w, 2, false);
	close(fd);
	world_check(w, reload_at(w, 3, &err) == 0);
	free(err);
	check_health_at(w, 3, true);
	server_finish(w);
	check_health_at(w, 3, false);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_counter_on_every_surface, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(surfaces_after_a_kill, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(another_address_while_it_runs, world_setup, world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
