/* SPDX-License-Identifier: BSD-3-Clause */
#include "server.h"

#include "netns.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- configuration ------------------------------------------------------------------ */

static void
print_devices(FILE *f, const struct world *w)
{
	if (w->place.kind == KIND_AF_PACKET) {
		fprintf(f, "        - net_af_packet0,iface=" NETNS_SERVER_IFACE ",qpairs=%u\n", w->place.workers);
		return;
	}
	if (w->place.kind == KIND_TAP) {
		fprintf(f, "        - net_tap0,iface=" NETNS_CLIENT_IFACE "\n");
		return;
	}
	/* One queue per vdev: one vdev for each worker. */
	for (unsigned i = 0; i < w->place.workers; i++)
		fprintf(f, "        - net_af_xdp%u,iface=" NETNS_SERVER_IFACE ",start_queue=%u,queue_count=1,busy_budget=0\n",
			i, i);
}

static void
print_ports(FILE *f, const struct world *w)
{
	if (w->place.kind == KIND_SOCKET) {
		fprintf(f, "    - type: socket\n      listen: 127.0.0.1:%u\n", w->port);
		fprintf(f, "    - type: socket\n      listen: \"[::1]:%u\"\n", w->port);
		return;
	}
	fprintf(f, "    - type: ethdev\n      devices:\n");
	print_devices(f, w);
	fprintf(f, "      addresses:\n        - " NETNS_SERVER4 "/24\n        - " NETNS_SERVER6 "/64\n");
	fprintf(f, "      udp_port: %u\n      checksum_offload: %s\n", w->port,
		w->place.checksum_offload ? "true" : "false");
}

static unsigned
or_default(unsigned value, unsigned otherwise)
{
	return value ? value : otherwise;
}

/* Small tables and a cheap password hash: dozens of servers are started on two cores. What they do is the same. */
void
server_write_config(struct world *w)
{
	const struct server *s = w->server;
	const struct server_settings *o = &s->settings;
	FILE *f = fopen(s->config_path, "w");

	if (!f)
		abort();
	fprintf(f, "dataplane:\n  workers: %u\n", w->place.workers);
	if (!o->full_size)
		fprintf(f, "  memory_mb: %u\n  sessions: %u\n  messages: %u\n  users: 4096\n  conversations: 4096\n",
			128 * w->place.workers, or_default(o->sessions, 1024), or_default(o->messages, 2048));
	if (o->cpus)
		fprintf(f, "  cpus: \"%s\"\n", o->cpus);
	fprintf(f, "  ports:\n");
	print_ports(f, w);
	fprintf(f, "session:\n  heartbeat_ms: %u\n  timeout_ms: %u\n  retransmit_limit: %u\n",
		or_default(o->heartbeat_ms, 5000), or_default(o->timeout_ms, 60000),
		or_default(o->retransmit_limit, 8));
	fprintf(f, "metrics:\n  listen: \"%s\"\n", o->metrics ? o->metrics : "");
	fprintf(f, "control:\n  password_memory_kib: 8192\n  password_passes: 1\n");
	if (o->extra)
		fputs(o->extra, f);
	fclose(f);
}

/* ---- start -------------------------------------------------------------------------- */

static void
take_line(struct process *p, char *line)
{
	struct server *s = p->user;

	if (strstr(line, "ready"))
		s->ready = true;
}

static struct server *
server_of(struct world *w)
{
	struct server *s = w->server;

	if (s)
		return s;
	s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	s->world = w;
	snprintf(s->config_path, sizeof(s->config_path), "%s/server.yaml", w->dir);
	snprintf(s->state_dir, sizeof(s->state_dir), "%s/state", w->dir);
	w->server = s;
	return s;
}

void
server_start(struct world *w)
{
	struct server *s = server_of(w);
	uint64_t deadline = deadline_in(WAIT_EVENT);
	const char *argv[] = {"rookery", "run", "--state", s->state_dir, "--config", s->config_path, NULL};
	bool ethdev = world_is_ethdev(w);
	char name[32];

	w->servers++;
	snprintf(name, sizeof(name), "server%u", w->servers);
	snprintf(s->marker, sizeof(s->marker), "%s.server%u.", w->marker, w->servers);
	if (w->place.kind == KIND_DEFAULT)
		argv[4] = NULL;
	else
		server_write_config(w);
	s->ready = false;
	/* An ethdev needs raw sockets or more; the UDP socket port must do without any right. */
	s->process = process_start(w, &(struct process_options){
		.name = name, .argv = argv, .netns = w->server_ns, .ip_exec = ethdev, .as_root = ethdev,
		.marker = s->marker, .line = take_line, .user = s});
	while (!s->ready) {
		if (s->process->exited)
			world_fail(w, "the server ended with %d before it was ready", s->process->status);
		if (!world_pump(w, deadline))
			world_fail(w, "the server is not ready in time");
	}
	if (w->place.kind == KIND_TAP)
		netns_tap_up(w);
}

void
server_start_with(struct world *w, const struct server_settings *settings)
{
	server_of(w)->settings = *settings;
	server_start(w);
}

int
server_run_to_end(struct world *w, const char *config, const char *state, char **err)
{
	char path[128], name[32];
	const char *argv[] = {"rookery", "run", "--config", path, "--state", state ? state : server_of(w)->state_dir, NULL};
	struct process *p;
	FILE *f;
	int status;

	w->servers++;
	snprintf(name, sizeof(name), "server%u", w->servers);
	snprintf(path, sizeof(path), "%s/%s.yaml", w->dir, name);
	f = fopen(path, "w");
	if (!f)
		abort();
	fputs(config, f);
	fclose(f);
	p = process_start(w, &(struct process_options){.name = name, .argv = argv});
	status = process_wait(p, WAIT_EVENT);
	if (err)
		*err = file_text(p->stderr_path);
	return status;
}

/* ---- stop --------------------------------------------------------------------------- */

/* The first file that is left below a directory, "" if none. Empty directories do no harm. */
static void
find_leaving(const char *dir, char *found, size_t cap)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && !found[0] && (e = readdir(d))) {
		char path[512];
		struct stat st;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (lstat(path, &st) != 0)
			continue;
		if (S_ISDIR(st.st_mode))
			find_leaving(path, found, cap);
		else
			snprintf(found, cap, "%s", path);
	}
	if (d)
		closedir(d);
}

static void
check_port_free(struct world *w)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(w->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (w->place.kind == KIND_SOCKET && bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0)
		world_fail(w, "the stopped server's port is not free: %s", strerror(errno));
	close(fd);
}

static void
check_nothing_left(struct world *w)
{
	struct server *s = w->server;
	char path[160], found[512] = "", program[64];
	pid_t pid;

	if (processes_marked(s->marker, &pid, 1) > 0)
		world_fail(w, "the stopped server left a process: %d %s", (int)pid,
			   process_program(pid, program, sizeof(program)));
	snprintf(path, sizeof(path), "%s/run", s->state_dir);
	find_leaving(path, found, sizeof(found));
	snprintf(path, sizeof(path), "%s/xdg", w->dir);
	find_leaving(path, found, sizeof(found));
	if (found[0])
		world_fail(w, "the stopped server left %s", found);
	snprintf(path, sizeof(path), "%s/rookery.db-wal", s->state_dir);
	if (access(path, F_OK) == 0)
		world_fail(w, "the stopped server left its write-ahead log: %s", path);
	check_port_free(w);
}

static void
expect_clean_end(struct world *w)
{
	int status = process_wait(w->server->process, WAIT_EVENT);

	if (status != 0)
		world_fail(w, "the stopped server left with %d", status);
	check_nothing_left(w);
}

void
server_stop(struct world *w)
{
	kill(-w->server->process->pid, SIGINT);
	expect_clean_end(w);
}

void
server_terminate(struct world *w)
{
	kill(w->server->process->pid, SIGTERM);
	expect_clean_end(w);
}

void
server_finish(struct world *w)
{
	server_check_sums(w);
	server_stop(w);
}

void
server_free(struct world *w)
{
	free(w->server);
	w->server = NULL;
}

/* ---- its processes ------------------------------------------------------------------ */

pid_t
server_child(struct world *w, const char *program, pid_t except)
{
	uint64_t deadline = deadline_in(WAIT_EVENT);

	do {
		pid_t pids[64];
		unsigned n = processes_marked(w->server->marker, pids, 64);

		for (unsigned i = 0; i < n && i < 64; i++) {
			char name[64];

			if (pids[i] != except && strcmp(process_program(pids[i], name, sizeof(name)), program) == 0)
				return pids[i];
		}
	} while (world_poll(w, deadline));
	world_fail(w, "no %s is running", program);
}

/* pid 0: any. A process that was killed may still be in control's status for a moment. */
static bool
ready_with(struct world *w, const char *program, pid_t pid)
{
	static const char *const args[] = {"status", NULL};
	char *out;
	json_t *status, *of;
	bool ready = false;

	if (rookctl_status(w, args, &out, NULL) == 0) {
		status = json_loads(out, 0, NULL);
		of = strcmp(program, "rookery-dataplane") == 0 ? json_object_get(status, "dataplane") : status;
		ready = json_is_true(json_object_get(status, "ready")) &&
			(pid == 0 || json_integer_value(json_object_get(of, "pid")) == pid);
		json_decref(status);
	}
	free(out);
	return ready;
}

bool
server_is_ready(struct world *w)
{
	return ready_with(w, "", 0);
}

void
server_replaced(struct world *w, const char *program, pid_t killed)
{
	uint64_t deadline = deadline_in(WAIT_EVENT);

	while (!ready_with(w, program, server_child(w, program, killed)))
		if (!world_poll(w, deadline))
			world_fail(w, "the server is not ready again after kill -9 of %s", program);
}

void
server_kill(struct world *w, bool launcher_only)
{
	uint64_t deadline = deadline_in(WAIT_EVENT);
	pid_t pids[16];
	struct pollfd fds[16];
	unsigned n = processes_marked(w->server->marker, pids, 16);

	world_check(w, n >= 3 && n <= 16);
	for (unsigned i = 0; i < n; i++)
		fds[i] = (struct pollfd){.fd = (int)syscall(SYS_pidfd_open, pids[i], 0), .events = POLLIN};
	for (unsigned i = 0; i < n; i++)
		if (!launcher_only || pids[i] == w->server->process->pid)
			kill(pids[i], SIGKILL);
	for (unsigned i = 0; i < n; i++) {
		while (poll(&fds[i], 1, 0) == 0)
			if (!world_poll(w, deadline))
				world_fail(w, "process %d does not end", (int)pids[i]);
		close(fds[i].fd);
	}
}
