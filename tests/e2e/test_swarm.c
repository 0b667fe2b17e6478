/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A swarm of clients over a network that loses 30% of all packets in each direction, doubles and reorders others, while everything that
 * can be killed, stopped, filled or locked is; and then all logs are compared. In each phase a part of the texts is released, and the
 * fault comes when some of them have been shown, so that there is traffic during each of them.
 *
 * Without arguments the size for every day, "full" the large one (`make swarm`); "full CLIENTS MESSAGES ROUNDS SEED" any other.
 */
#include "server.h"
#include "storm.h"
#include "swarm.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cmocka.h>

#define PROCESSES_MAX 64

static const struct proxy_faults bad = {.loss = 30, .duplicate = 10, .reorder = 20, .delay_ms = 40};

struct size {
	unsigned clients, messages, rounds, processes;
	unsigned stop_ms; /* of SIGSTOP */
	unsigned store_ms; /* of a full disk or a locked database */
	bool fair; /* good weather before the first fault and after the last: no long waits for the unlucky */
	uint64_t seed;
};

static struct size size = {.clients = 50, .messages = 5000, .rounds = 1, .processes = 5, .stop_ms = 2000, .store_ms = 1000, .fair = true, .seed = 1};

struct part {
	struct process *process;
	unsigned long long taken, shown, pending;
	unsigned ready, first, count;
};

struct swarm_run {
	struct world *w;
	struct storm *storm;
	struct part parts[PROCESSES_MAX];
	char directory[128];
	unsigned long long quota; /* of each client */
	unsigned kills, stops, restarts, client_kills, others;
	unsigned next_victim;
};

/* ---- processes of clients ---------------------------------------------------------------- */

static void
take_line(struct process *p, char *line)
{
	struct part *part = p->user;

	sscanf(line, "progress %llu %llu %llu %u", &part->taken, &part->shown, &part->pending, &part->ready);
}

static void
tell(struct swarm_run *r, struct part *p)
{
	char line[64];

	(void)r;
	snprintf(line, sizeof(line), "quota %llu\n", r->quota);
	process_write(p->process, line);
}

static void
part_start(struct swarm_run *r, unsigned i)
{
	struct part *p = &r->parts[i];
	char name[32], total[16], first[16], count[16];
	const char *argv[] = {"/proc/self/exe", "clients", storm_address(r->storm), r->directory, total, first, count, NULL};

	p->first = size.clients * i / size.processes;
	p->count = size.clients * (i + 1) / size.processes - p->first;
	snprintf(name, sizeof(name), "clients%u", i);
	snprintf(total, sizeof(total), "%u", size.clients);
	snprintf(first, sizeof(first), "%u", p->first);
	snprintf(count, sizeof(count), "%u", p->count);
	/* They are a part of the test: as its user, wherever it was built. */
	p->process = process_start(r->w, &(struct process_options){
		.name = name, .argv = argv, .as_root = true, .line = take_line, .user = p});
	tell(r, p);
}

struct sum {
	unsigned long long taken, shown, pending;
	unsigned ready;
};

static struct sum
sum(struct swarm_run *r)
{
	struct sum s = {0};

	for (unsigned i = 0; i < size.processes; i++) {
		const struct part *p = &r->parts[i];

		if (p->process->exited)
			world_fail(r->w, "clients %u to %u ended with %d", p->first, p->first + p->count - 1, p->process->status);
		s.taken += p->taken;
		s.shown += p->shown;
		s.pending += p->pending;
		s.ready += p->ready;
	}
	return s;
}

static void
wait_for_shown(struct swarm_run *r, unsigned long long shown, const char *when)
{
	uint64_t deadline = deadline_in(WAIT_BULK);

	while (sum(r).shown < shown)
		if (!world_pump(r->w, deadline)) {
			struct sum s = sum(r);

			world_fail(r->w, "%s: %llu of %llu texts are shown, %llu were sent, %llu have no answer, %u clients are logged in",
				   when, s.shown, shown, s.taken, s.pending, s.ready);
		}
}

static void
wait_for_ready(struct swarm_run *r, const char *when)
{
	uint64_t deadline = deadline_in(WAIT_EVENT);

	while (!server_is_ready(r->w))
		if (!world_poll(r->w, deadline))
			world_fail(r->w, "the server is not ready after: %s", when);
}

static void
pass_time(struct swarm_run *r, unsigned ms)
{
	uint64_t end = now_ms() + ms;

	while (world_pump(r->w, end))
		;
}

/* ---- faults ------------------------------------------------------------------------------- */

static void
kill_children(struct swarm_run *r, bool dataplane, bool control)
{
	pid_t d = server_child(r->w, "rookery-dataplane", 0), c = server_child(r->w, "rookery-control", 0);

	if (dataplane)
		kill(d, SIGKILL);
	if (control)
		kill(c, SIGKILL);
	r->kills += dataplane + control;
	if (dataplane)
		server_replaced(r->w, "rookery-dataplane", d);
	if (control)
		server_replaced(r->w, "rookery-control", c);
}

static void
kill_control(struct swarm_run *r)
{
	kill_children(r, false, true);
}

static void
kill_dataplane(struct swarm_run *r)
{
	kill_children(r, true, false);
}

static void
kill_both(struct swarm_run *r)
{
	kill_children(r, true, true);
}

static void
kill_launcher(struct swarm_run *r)
{
	server_kill(r->w, true);
	r->kills++;
	server_start(r->w);
}

static unsigned
victim(struct swarm_run *r)
{
	return r->next_victim++ % size.processes;
}

static void
kill_clients(struct swarm_run *r)
{
	unsigned i = victim(r);
	struct process *p = r->parts[i].process;

	kill(p->pid, SIGKILL);
	process_wait(p, WAIT_EVENT);
	r->client_kills += r->parts[i].count;
	part_start(r, i);
}

static void
stop_pids(struct swarm_run *r, pid_t a, pid_t b)
{
	kill(a, SIGSTOP);
	if (b)
		kill(b, SIGSTOP);
	pass_time(r, size.stop_ms);
	kill(a, SIGCONT);
	if (b)
		kill(b, SIGCONT);
	r->stops += 1 + (b != 0);
}

static void
stop_control(struct swarm_run *r)
{
	stop_pids(r, server_child(r->w, "rookery-control", 0), 0);
}

static void
stop_dataplane(struct swarm_run *r)
{
	stop_pids(r, server_child(r->w, "rookery-dataplane", 0), 0);
}

static void
stop_both(struct swarm_run *r)
{
	stop_pids(r, server_child(r->w, "rookery-dataplane", 0), server_child(r->w, "rookery-control", 0));
}

static void
stop_clients(struct swarm_run *r)
{
	stop_pids(r, r->parts[victim(r)].process->pid, 0);
}

static void
restart(struct swarm_run *r, const char *process)
{
	json_decref(rookctl(r->w, "restart", process));
	r->restarts++;
}

static void
restart_dataplane(struct swarm_run *r)
{
	restart(r, "dataplane");
}

static void
restart_control(struct swarm_run *r)
{
	restart(r, "control");
}

/* Needs root: the state directory is a small file system. */
static void
disk_full(struct swarm_run *r)
{
	static const char zeros[65536];
	char path[160];
	int fd;

	if (!have_root())
		return;
	snprintf(path, sizeof(path), "%s/filler", r->w->server->state_dir);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	world_check(r->w, fd >= 0);
	for (size_t n = sizeof(zeros); n > 0; n /= 2)
		while (write(fd, zeros, n) > 0)
			;
	world_check(r->w, errno == ENOSPC);
	close(fd);
	pass_time(r, size.store_ms);
	world_check(r->w, unlink(path) == 0);
	r->others++;
}

static void
database_locked(struct swarm_run *r)
{
	char path[160], *error = NULL;
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/rookery.db", r->w->server->state_dir);
	world_check(r->w, sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK);
	sqlite3_busy_timeout(db, 30000);
	if (sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, &error) != SQLITE_OK)
		world_fail(r->w, "cannot lock the database: %s", error);
	pass_time(r, size.store_ms);
	sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	sqlite3_close(db);
	r->others++;
}

static void
new_addresses(struct swarm_run *r)
{
	storm_forget(r->storm);
	r->others++;
}

static const struct fault {
	const char *name;
	void (*inject)(struct swarm_run *r);
} faults[] = {
	{"kill -9 control", kill_control},
	{"kill -9 dataplane", kill_dataplane},
	{"kill -9 clients", kill_clients},
	{"SIGSTOP control", stop_control},
	{"SIGSTOP dataplane", stop_dataplane},
	{"SIGSTOP clients", stop_clients},
	{"disk full", disk_full},
	{"database locked", database_locked},
	{"all addresses change", new_addresses},
	{"restart dataplane", restart_dataplane},
	{"restart control", restart_control},
	{"kill -9 both", kill_both},
	{"SIGSTOP both", stop_both},
	{"kill -9 launcher", kill_launcher},
};

#define FAULTS (sizeof(faults) / sizeof(faults[0]))

/* ---- the run ------------------------------------------------------------------------------- */

static void
begin(struct swarm_run *r)
{
	uint64_t deadline = deadline_in(WAIT_BULK);
	static char extra[256];

	snprintf(r->directory, sizeof(r->directory), "%s/clients", r->w->dir);
	snprintf(extra, sizeof(extra), "runtime_dir: %s/home/run\n", r->w->dir);
	if (have_root()) {
		char state[128];

		snprintf(state, sizeof(state), "%s/state", r->w->dir);
		world_check(r->w, mount("none", state, "tmpfs", 0, "size=64m,mode=0700,uid=65534,gid=65534") == 0);
		r->w->mounted = true;
	}
	server_start_with(r->w, &(struct server_settings){.messages = 8192, .extra = extra});
	r->storm = storm_start(r->w, world_server_address(r->w), size.seed);
	if (!size.fair)
		storm_set_faults(r->storm, &bad);
	for (unsigned i = 0; i < size.processes; i++)
		part_start(r, i);
	while (sum(r).ready < size.clients)
		if (!world_pump(r->w, deadline))
			world_fail(r->w, "%u of %u clients know their buddies", sum(r).ready, size.clients);
	storm_set_faults(r->storm, &bad);
}

static void
phase(struct swarm_run *r, unsigned number, unsigned phases)
{
	const struct fault *f = &faults[number % FAULTS];
	unsigned long long before = sum(r).shown, released, quota;
	uint64_t began = now_ms();

	/* Rounded up: the last phase reaches at least the number asked for. */
	quota = ((unsigned long long)size.messages * (number + 1) + (unsigned long long)phases * size.clients - 1) /
		((unsigned long long)phases * size.clients);
	if (quota > r->quota)
		r->quota = quota;
	for (unsigned i = 0; i < size.processes; i++)
		tell(r, &r->parts[i]);
	released = r->quota * size.clients;
	wait_for_shown(r, before + (released - before) / 10, f->name);
	f->inject(r);
	wait_for_ready(r, f->name);
	wait_for_shown(r, released - (released - before) / 5, f->name);
	printf("# %2u/%u %-22s %6llu texts shown, %.1f s\n", number + 1, phases, f->name, sum(r).shown,
	       (double)(now_ms() - began) / 1000);
	fflush(stdout);
}

static void
end(struct swarm_run *r)
{
	uint64_t deadline = deadline_in(WAIT_BULK);
	unsigned long long all = r->quota * size.clients;
	struct sum s;

	if (size.fair)
		storm_set_faults(r->storm, &(struct proxy_faults){0});
	/* The lost are the checker's to find: whoever misses one shows no later one of that conversation. */
	while ((s = sum(r)).taken < all || s.pending > 0 || s.shown < all)
		if (!world_pump(r->w, deadline))
			break;
	for (unsigned i = 0; i < size.processes; i++)
		process_write(r->parts[i].process, "quit\n");
	for (unsigned i = 0; i < size.processes; i++)
		world_check(r->w, process_wait(r->parts[i].process, WAIT_EVENT) == 0);
}

static void
print_result(const struct swarm_run *r, const struct swarm_result *x, const struct proxy_stats *net, double seconds)
{
	unsigned long long all = net->to_server + net->to_client;

	printf("# %llu clients, %llu texts sent in %.0f s: %llu delivered, %llu stored, %llu refused, %llu unanswered\n",
	       (unsigned long long)x->clients, (unsigned long long)x->sent, seconds, (unsigned long long)x->delivered,
	       (unsigned long long)x->stored, (unsigned long long)x->refused, (unsigned long long)x->unanswered);
	printf("# faults: %u kill -9 of server processes, %u of clients, %u SIGSTOP of %.0f s, %u planned restarts, %u others\n", r->kills,
	       r->client_kills, r->stops, size.stop_ms / 1000.0, r->restarts, r->others);
	printf("# network: %llu datagrams, %.1f%% lost, %.1f%% doubled, %.1f%% held back\n", all,
	       100.0 * (double)net->lost / (double)all, 100.0 * (double)net->duplicated / (double)all,
	       100.0 * (double)net->delayed / (double)all);
	printf("# clients: %llu lives, %llu logins, %llu closed by the server\n", (unsigned long long)x->lives,
	       (unsigned long long)x->logins, (unsigned long long)x->closed);
	printf("# result: %llu shown, %llu redelivered after a kill; %llu lost, %llu shown twice, %llu out of order, %llu confirmed early, "
	       "%llu changed answers, %llu invented, %llu malformed\n",
	       (unsigned long long)x->shown, (unsigned long long)x->redelivered, (unsigned long long)x->lost,
	       (unsigned long long)x->twice, (unsigned long long)x->disorder, (unsigned long long)x->early,
	       (unsigned long long)x->changed, (unsigned long long)x->invented, (unsigned long long)x->malformed);
	fflush(stdout);
}

static void
swarm(void **state)
{
	struct swarm_run r = {.w = *state};
	struct swarm_result result;
	struct proxy_stats net;
	uint64_t began = now_ms();
	unsigned phases = size.rounds * (unsigned)FAULTS;

	begin(&r);
	printf("# %u clients know their buddies after %.1f s\n", size.clients, (double)(now_ms() - began) / 1000);
	for (unsigned i = 0; i < phases; i++)
		phase(&r, i, phases);
	end(&r);
	net = storm_stats(r.storm);
	storm_free(r.storm);
	world_check(r.w, swarm_check(r.directory, size.clients, &result, stdout) == 0);
	print_result(&r, &result, &net, (double)(now_ms() - began) / 1000);
	world_check(r.w, swarm_promises_kept(&result));
	world_check(r.w, result.unanswered == 0 && result.sent >= size.messages);
	/* It was such a network. */
	world_check(r.w, net.lost * 100 > (net.to_server + net.to_client) * (size.fair ? 20 : 28));
	server_finish(r.w);
}

int
main(int argc, char **argv)
{
	static const struct place place = {.kind = KIND_SOCKET, .workers = 2};
	const struct CMUnitTest tests[] = {
		{.name = "swarm", .test_func = swarm, .setup_func = world_setup, .teardown_func = world_teardown,
		 .initial_state = (void *)(uintptr_t)&place},
	};

	if (argc > 1 && strcmp(argv[1], "clients") == 0)
		return swarm_clients_main(argc, argv);
	if (argc > 1 && strcmp(argv[1], "full") == 0) {
		size = (struct size){.clients = 200, .messages = 100000, .rounds = 4, .processes = 10, .stop_ms = 10000,
				     .store_ms = 5000, .seed = 1};
		size.clients = argc > 2 ? (unsigned)atoi(argv[2]) : size.clients;
		size.messages = argc > 3 ? (unsigned)atoi(argv[3]) : size.messages;
		size.rounds = argc > 4 ? (unsigned)atoi(argv[4]) : size.rounds;
		size.seed = argc > 5 ? (uint64_t)atoi(argv[5]) : size.seed;
	}
	if (size.clients < SWARM_MIN || size.clients > 640) {
		fprintf(stderr, "from %u to 640 clients\n", SWARM_MIN);
		return 2;
	}
	return cmocka_run_group_tests_name("swarm", tests, NULL, NULL);
}
