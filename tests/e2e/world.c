/* SPDX-License-Identifier: BSD-3-Clause */
#include "world.h"

#include "client.h"
#include "netns.h"
#include "proxy.h"
#include "server.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define TAIL 6000 /* of each output; ROOKERY_E2E_KEEP shows all */

uint64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t
deadline_in(unsigned seconds)
{
	const char *slow = getenv("ROOKERY_E2E_SLOW");
	unsigned factor = slow ? (unsigned)atoi(slow) : 1;

	return now_ms() + (uint64_t)seconds * 1000 * (factor ? factor : 1);
}

bool
have_root(void)
{
	return geteuid() == 0;
}

bool
skip_without_root(void)
{
	if (have_root())
		return false;
	printf("1..0 # SKIP needs root (network namespaces)\n");
	return true;
}

bool
world_is_ethdev(const struct world *w)
{
	return w->place.kind != KIND_SOCKET && w->place.kind != KIND_DEFAULT;
}

const char *
world_server_address(const struct world *w)
{
	return w->place.family == AF_INET6 ? w->server6 : w->server4;
}

/* ---- failing ------------------------------------------------------------------------ */

static void
print_tail(const char *title, const char *text)
{
	size_t len = text ? strlen(text) : 0, tail = getenv("ROOKERY_E2E_KEEP") ? len : TAIL;

	if (len == 0)
		return;
	fprintf(stderr, "---- %s%s\n%s%s", title, len > tail ? " (its end)" : "", len > tail ? text + len - tail : text,
		text[len - 1] == '\n' ? "" : "\n");
}

static void
report(struct world *w)
{
	for (struct process *p = w->processes; p; p = p->next) {
		char title[160], *err = file_text(p->stderr_path);

		snprintf(title, sizeof(title), "%s, pid %d, %s %d: stdout", p->name, (int)p->pid,
			 p->exited ? "exit" : "running", p->status);
		print_tail(title, p->output);
		snprintf(title, sizeof(title), "%s: stderr", p->name);
		print_tail(title, err);
		free(err);
	}
	fflush(stderr);
}

void
world_fail(struct world *w, const char *format, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	w->failed = true;
	fprintf(stderr, "==== FAILED: %s\n", text);
	report(w);
	fail_msg("%s", text);
	abort(); /* fail_msg does not return */
}

void
world_fault(struct world *w, const char *format, ...)
{
	va_list ap;

	if (w->fault)
		return;
	va_start(ap, format);
	if (vasprintf(&w->fault, format, ap) < 0)
		w->fault = NULL;
	va_end(ap);
}

/* ---- leavings of earlier runs ------------------------------------------------------- */

static int
remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	remove(path);
	return 0;
}

static void
remove_tree(const char *dir)
{
	char state[576];

	snprintf(state, sizeof(state), "%s/state", dir);
	umount2(state, MNT_DETACH);
	nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static void
kill_marked(const char *marker)
{
	pid_t pids[256];
	unsigned n = processes_marked(marker, pids, 256);

	for (unsigned i = 0; i < n && i < 256; i++)
		kill(pids[i], SIGKILL);
}

/* Names hold the pid of the test program: one that is gone needs nothing any more. */
static bool
is_leaving(const char *name)
{
	pid_t pid;

	if (strncmp(name, WORLD_PREFIX, strlen(WORLD_PREFIX)) != 0)
		return false;
	pid = atoi(name + strlen(WORLD_PREFIX));
	return pid > 0 && pid != getpid() && kill(pid, 0) != 0 && errno == ESRCH;
}

static void
for_each_leaving(const char *dir, void (*act)(const char *dir, const char *name))
{
	DIR *d = opendir(dir);
	struct dirent *e;

	if (!d)
		return;
	while ((e = readdir(d)))
		if (is_leaving(e->d_name))
			act(dir, e->d_name);
	closedir(d);
}

static void
remove_leaving(const char *dir, const char *name)
{
	char path[512];

	kill_marked(name);
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	remove_tree(path);
}

static void
remove_namespace(const char *dir, const char *name)
{
	(void)dir;
	netns_delete(name);
}

/* ---- a new world -------------------------------------------------------------------- */

/* May the unprivileged user reach and run the programs where they were built? */
static bool
nobody_can_run(const char *dir)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		char path[PATH_MAX];

		if (setgid(WORLD_NOBODY) != 0 || setuid(WORLD_NOBODY) != 0)
			_exit(1);
		snprintf(path, sizeof(path), "%s/rookchat", dir);
		_exit(access(path, X_OK) == 0 ? 0 : 1);
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void
find_programs(struct world *w)
{
	const char *build = getenv("ROOKERY_BUILD");

	snprintf(w->bin, sizeof(w->bin), "%s", build ? build : "build");
	if (!w->drop_root || nobody_can_run(w->bin))
		return;
	/* A checkout below a private home: give the unprivileged children copies. */
	static const char *const programs[] = {"rookery", "rookery-dataplane", "rookery-control", "rookctl", "rookchat"};
	char to[PATH_MAX], from[PATH_MAX];

	snprintf(to, sizeof(to), "%s/bin/", w->dir);
	mkdir(to, 0755);
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		snprintf(from, sizeof(from), "%s/%s", w->bin, programs[i]);
		if (access(from, R_OK) == 0)
			tool(w, "/bin/cp", from, to);
	}
	snprintf(w->bin, sizeof(w->bin), "%s/bin", w->dir);
}

static void
make_directories(struct world *w)
{
	static const char *const sub[] = {"home", "state", "clients", "xdg"};
	char path[PATH_MAX];

	snprintf(w->dir, sizeof(w->dir), "/tmp/" WORLD_PREFIX "%d-XXXXXX", (int)getpid());
	if (!mkdtemp(w->dir) || chmod(w->dir, 0755) != 0)
		abort();
	for (size_t i = 0; i < sizeof(sub) / sizeof(sub[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", w->dir, sub[i]);
		if (mkdir(path, 0700) != 0)
			abort();
		if (have_root() && chown(path, WORLD_NOBODY, WORLD_NOBODY) != 0)
			abort();
	}
	snprintf(w->marker, sizeof(w->marker), "%s", strrchr(w->dir, '/') + 1);
}

struct world *
world_new(const struct place *place)
{
	struct world *w = calloc(1, sizeof(*w));

	if (!w)
		abort();
	if (place)
		w->place = *place;
	if (w->place.family == 0)
		w->place.family = AF_INET;
	if (w->place.workers == 0)
		w->place.workers = 1;
	signal(SIGPIPE, SIG_IGN);
	for_each_leaving("/tmp", remove_leaving);
	for_each_leaving("/run/netns", remove_namespace);
	make_directories(w);
	w->drop_root = have_root();
	find_programs(w);
	w->port = w->place.kind == KIND_SOCKET ? free_udp_port() : 8000;
	snprintf(w->server4, sizeof(w->server4), "127.0.0.1:%u", w->port);
	snprintf(w->server6, sizeof(w->server6), "[::1]:%u", w->port);
	if (w->place.kind == KIND_DEFAULT || w->place.kind == KIND_TAP)
		netns_make_one(w);
	else if (world_is_ethdev(w))
		netns_make(w);
	if (world_is_ethdev(w)) {
		snprintf(w->server4, sizeof(w->server4), NETNS_SERVER4 ":%u", w->port);
		snprintf(w->server6, sizeof(w->server6), "[" NETNS_SERVER6 "]:%u", w->port);
	}
	return w;
}

static void
process_free(struct process *p)
{
	if (!p->exited) {
		kill(p->pid, SIGKILL);
		waitpid(p->pid, NULL, 0);
	}
	close(p->pidfd);
	if (p->in >= 0)
		close(p->in);
	if (p->out >= 0)
		close(p->out);
	free(p->output);
	free(p->input);
	free(p);
}

void
world_free(struct world *w)
{
	struct process *next;

	kill_marked(w->marker);
	proxies_free(w);
	clients_free(w);
	server_free(w);
	for (struct process *p = w->processes; p; p = next) {
		next = p->next;
		process_free(p);
	}
	/* Children of children may outlive their parents by a moment. */
	kill_marked(w->marker);
	if (w->server_ns[0])
		netns_delete(w->server_ns);
	if (w->client_ns[0] && strcmp(w->client_ns, w->server_ns) != 0)
		netns_delete(w->client_ns);
	if (w->failed && getenv("ROOKERY_E2E_KEEP"))
		fprintf(stderr, "kept: %s\n", w->dir);
	else
		remove_tree(w->dir);
	free(w->fault);
	free(w);
}

int
world_setup(void **state)
{
	*state = world_new(*state);
	return 0;
}

int
world_teardown(void **state)
{
	world_free(*state);
	return 0;
}
