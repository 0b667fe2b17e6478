/* SPDX-License-Identifier: BSD-3-Clause */
/* What root's server gives up, and where its secrets are not. */
#include "client.h"
#include "scenario.h"
#include "server.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define CAP(name) (UINT64_C(1) << CAP_##name)
/* Of the launcher: to start the others again, and the same with devices. */
#define CAPS_START                                                                                                          \
	(CAP(SETUID) | CAP(SETGID) | CAP(CHOWN) | CAP(FOWNER) | CAP(DAC_OVERRIDE) | CAP(DAC_READ_SEARCH) | CAP(KILL) |         \
	 CAP(NET_BIND_SERVICE) | CAP(IPC_LOCK) | CAP(SYS_RESOURCE) | CAP(SYS_NICE))
#define CAPS_DEVICES (CAP(NET_ADMIN) | CAP(NET_RAW) | CAP(SYS_ADMIN) | CAP(SYS_RAWIO) | CAP(BPF) | CAP(PERFMON))
#define CHUNK (1u << 20)

static const char password[] = "Tr0ub4dor-and-a-horse";
static const char second_password[] = "correct-battery-staple";

/* ---- /proc ---------------------------------------------------------------------------- */

static uint64_t
status_value(struct world *w, const char *path, const char *key, int base)
{
	char *text = file_text(path);
	const char *line = text ? strstr(text, key) : NULL;
	uint64_t value;

	if (!line)
		world_fail(w, "%s has no %s", path, key);
	value = strtoull(line + strlen(key), NULL, base);
	free(text);
	return value;
}

/* Every thread of a process: unprivileged, filtered; the first one may keep capabilities. */
static void
check_threads(struct world *w, pid_t pid, uint64_t kept)
{
	char dir[64], path[384];
	const struct dirent *e;
	DIR *d;

	snprintf(dir, sizeof(dir), "/proc/%d/task", (int)pid);
	d = opendir(dir);
	world_check(w, d != NULL);
	while ((e = readdir(d))) {
		uint64_t allowed = atoi(e->d_name) == pid ? kept : 0;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s/status", dir, e->d_name);
		world_check(w, status_value(w, path, "\nUid:", 10) == WORLD_NOBODY);
		world_check(w, status_value(w, path, "\nGid:", 10) == WORLD_NOBODY);
		world_check(w, status_value(w, path, "\nCapPrm:", 16) == allowed);
		world_check(w, status_value(w, path, "\nCapEff:", 16) == allowed);
		world_check(w, status_value(w, path, "\nNoNewPrivs:", 10) == 1);
		world_check(w, status_value(w, path, "\nSeccomp:", 10) == 2);
	}
	closedir(d);
}

/* The launcher stays root, with what it takes to start the others again. */
static void
check_launcher(struct world *w)
{
	bool devices = w->place.kind != KIND_SOCKET;
	uint64_t kept = CAPS_START | (devices ? CAPS_DEVICES : 0);
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", (int)w->server->process->pid);
	world_check(w, status_value(w, path, "\nUid:", 10) == 0);
	world_check(w, (status_value(w, path, "\nCapPrm:", 16) & ~kept) == 0);
	world_check(w, (status_value(w, path, "\nCapEff:", 16) & ~kept) == 0);
	world_check(w, status_value(w, path, "\nCapInh:", 16) == 0 && status_value(w, path, "\nCapAmb:", 16) == 0);
	world_check(w, status_value(w, path, "\nNoNewPrivs:", 10) == 1);
	world_check(w, status_value(w, path, "\nSeccomp:", 10) == 2);
}

static void
check_processes(struct world *w, uint64_t kept)
{
	check_launcher(w);
	check_threads(w, server_child(w, "rookery-control", 0), 0);
	check_threads(w, server_child(w, "rookery-dataplane", 0), kept);
}

static int
check_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	if (st->st_uid != WORLD_NOBODY || (type == FTW_F && S_ISREG(st->st_mode) && (st->st_mode & 077) != 0) ||
	    (type == FTW_D && ftw->level == 0 && (st->st_mode & 077) != 0)) {
		fprintf(stderr, "%s: owner %u, mode %o\n", path, (unsigned)st->st_uid, (unsigned)st->st_mode);
		return 1;
	}
	return 0;
}

static void
start_as_root(struct world *w)
{
	struct server_settings settings = {.extra = "security:\n  user: nobody\n"};

	w->drop_root = false;
	server_start_with(w, &settings);
}

static void
chat(struct client *a, struct client *b, const char *text)
{
	client_say(a, "msg %s %s", b->user, text);
	client_expect(b, "message", "from", a->user, "text", text, NULL);
	client_expect(a, "receipt", "level", "delivered", NULL);
}

/* Whatever a library has to say about rights that are gone, or otherwise, is a line of our log. */
static void
check_libraries(struct world *w)
{
	char *text = file_text(w->server->process->stderr_path), *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
		if (strncmp(line, "lib", 3) == 0)
			world_fail(w, "%s", line);
	free(text);
}

static void
rights(void **state)
{
	struct world *w = *state;
	uint64_t kept = w->place.kind == KIND_AF_XDP ? CAP(NET_ADMIN) : 0;
	struct client *alice, *bob;
	pid_t killed;

	start_as_root(w);
	check_processes(w, kept);
	world_check(w, nftw(w->server->state_dir, check_entry, 8, FTW_PHYS) == 0);
	alice = client_register(w, "alice");
	bob = client_register(w, "bob");
	clients_befriend(alice, bob);
	chat(alice, bob, "nobody serves us");
	check_processes(w, kept); /* the password's threads, too */
	/* The launcher has kept what it takes to start them again. */
	killed = server_child(w, "rookery-dataplane", 0);
	kill(killed, SIGKILL);
	server_replaced(w, "rookery-dataplane", killed);
	killed = server_child(w, "rookery-control", 0);
	kill(killed, SIGKILL);
	server_replaced(w, "rookery-control", killed);
	check_processes(w, kept);
	chat(bob, alice, "nobody still does");
	server_finish(w);
	check_libraries(w);
}

/* The launcher is killed; what it leaves is taken over by the next one. */
static void
launcher_killed(void **state)
{
	struct world *w = *state;
	struct client *alice;

	start_as_root(w);
	alice = client_register(w, "alice");
	server_kill(w, true);
	server_start(w);
	check_processes(w, 0);
	client_say(alice, "quit");
	client_expect_exit(alice, 0);
	client_login(w, "alice");
	server_finish(w);
}

/* ---- secrets --------------------------------------------------------------------------- */

static bool
holds(const void *bytes, size_t len)
{
	return memmem(bytes, len, password, strlen(password)) || memmem(bytes, len, second_password, strlen(second_password));
}

static void
check_memory(struct world *w, pid_t pid)
{
	char path[64], line[512], program[64];
	char *chunk = malloc(CHUNK);
	uint64_t from, to, scanned = 0;
	FILE *maps;
	int mem;

	process_program(pid, program, sizeof(program));
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	maps = fopen(path, "r");
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	mem = open(path, O_RDONLY | O_CLOEXEC);
	world_check(w, maps != NULL && mem >= 0 && chunk != NULL);
	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " rw", &from, &to) != 2 || !strstr(line, " rw"))
			continue;
		for (uint64_t at = from; at < to; at += CHUNK - sizeof(password)) {
			ssize_t n = pread(mem, chunk, to - at < CHUNK ? to - at : CHUNK, (off_t)at);

			if (n <= 0)
				break;
			scanned += (uint64_t)n;
			if (holds(chunk, (size_t)n))
				world_fail(w, "a password is in the memory of %s: %s", program, line);
		}
	}
	fclose(maps);
	close(mem);
	free(chunk);
	world_check(w, scanned > 64 << 10);
}

static struct world *searched;

static int
search_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	char *bytes;
	size_t n;
	FILE *f;

	(void)ftw;
	/* Where the test itself keeps what it tells the clients. */
	if (type != FTW_F || !S_ISREG(st->st_mode) || strstr(path, "/clients/"))
		return 0;
	f = fopen(path, "r");
	bytes = malloc((size_t)st->st_size + 1);
	if (!f || !bytes)
		abort();
	n = fread(bytes, 1, (size_t)st->st_size, f);
	fclose(f);
	if (holds(bytes, n))
		world_fault(searched, "a password is in %s", path);
	free(bytes);
	return 0;
}

static void
check_arguments(struct world *w, pid_t pid)
{
	static const char *const files[] = {"cmdline", "environ"};

	for (unsigned i = 0; i < 2; i++) {
		char path[64], bytes[65536];
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, files[i]);
		f = fopen(path, "r");
		world_check(w, f != NULL);
		if (holds(bytes, fread(bytes, 1, sizeof(bytes), f)))
			world_fail(w, "a password is in %s", path);
		fclose(f);
	}
}

static void
secrets(void **state)
{
	struct server_settings settings = {.extra = "security:\n  user: nobody\nlog:\n  level: debug\n"};
	struct world *w = *state;
	struct client *alice, *phone;
	pid_t control, dataplane;

	w->drop_root = false;
	server_start_with(w, &settings);
	control = server_child(w, "rookery-control", 0);
	dataplane = server_child(w, "rookery-dataplane", 0);
	alice = client_start(w, &(struct client_options){.user = "alice", .password = password, .register_user = true});
	client_expect(alice, "login", "user", "alice", NULL);
	phone = client_start(w, &(struct client_options){.user = "alice", .device = "phone", .password = second_password});
	client_expect_exit(phone, 3); /* a wrong one */
	phone = client_start(w, &(struct client_options){.user = "alice", .device = "phone", .password = password});
	client_expect(phone, "login", "user", "alice", NULL);
	check_arguments(w, control);
	check_arguments(w, dataplane);
	check_arguments(w, alice->process->pid);
	check_memory(w, control);
	check_memory(w, dataplane);
	check_memory(w, alice->process->pid);
	searched = w;
	nftw(w->dir, search_file, 8, FTW_PHYS);
	server_finish(w);
}

int
main(void)
{
	static const struct scenario first[] = {{"rights", rights}, {"launcher killed", launcher_killed}, {"secrets", secrets}};
	static const struct scenario again[] = {{"rights", rights}};
	static const struct scenario_list all = {first, 3}, one = {again, 1};
	static const struct scenario_set sets[] = {
		{{.kind = KIND_SOCKET, .family = AF_INET}, &all},
		{{.kind = KIND_AF_PACKET, .family = AF_INET}, &one},
		{{.kind = KIND_AF_XDP, .family = AF_INET}, &one},
	};

	if (skip_without_root())
		return 0;
	return scenarios_run("privilege", sets, sizeof(sets) / sizeof(sets[0]));
}
