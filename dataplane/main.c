/* SPDX-License-Identifier: BSD-3-Clause */
/* rookery-dataplane: the packet path. */
#include "dataplane/boot.h"
#include "dataplane/library_log.h"
#include "dataplane/port.h"
#include "dataplane/privileges.h"
#include "dataplane/telemetry.h"
#include "dataplane/worker.h"
#include "shared/config_values.h"
#include "shared/log.h"
#include "shared/program.h"

#include <errno.h>
#include <fcntl.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PATH_SIZE 4096
#define RINGS_NAME "rings.shm"
#define RINGS_NEXT "rings.next"
#define PAUSE_MIN_US 100
#define PAUSE_MAX_US 1000

struct dataplane {
	struct config *config;
	struct account account;              /* that we are once the ports are open */
	uint32_t workers;
	int lock;                            /* runtime_dir/dataplane.lock */
	bool eal;
	struct rte_mempool *pool[SESSION_WORKERS_MAX];
	struct port port[PORT_MAX];
	unsigned port_count;                 /* open ones */
	struct ipc ipc;
	const char *ipc_name;                /* NULL: not made; "rings.next" until our predecessor has ended */
	struct tables *tables;
	struct worker *worker[SESSION_WORKERS_MAX];
	struct worker_run run[SESSION_WORKERS_MAX];
	struct housekeeping *housekeeping;
};

static struct dataplane dataplane = {.lock = -1};
static _Atomic bool stop; /* signal handler writes; main and workers read */

static void
on_signal(int number)
{
	(void)number;
	atomic_store_explicit(&stop, true, memory_order_relaxed);
}

static void
signals_set(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
}

static const char *
runtime_path(const struct dataplane *d, const char *name)
{
	static char path[PATH_SIZE];

	return config_runtime_path(d->config, name, path, sizeof(path));
}

/* ---- start ----------------------------------------------------------------------------------- */

/* One dataplane per runtime_dir: a second one would replace the rings of the first. wait: the holder was told to stop, and releases it
 * before anything that takes time. Returns 0 or -errno. */
static int
lock_take(struct dataplane *d, bool wait, char *error, size_t cap)
{
	const char *path = runtime_path(d, "dataplane.lock");
	struct stat held, named;

	for (;;) {
		if (path == NULL)
			return -ENAMETOOLONG;
		d->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (d->lock < 0) {
			snprintf(error, cap, "%s: %s", path, strerror(errno));
			return -errno;
		}
		while (wait && flock(d->lock, LOCK_EX) != 0)
			if (errno != EINTR || atomic_load_explicit(&stop, memory_order_relaxed))
				break;
		if (flock(d->lock, LOCK_EX | LOCK_NB) != 0) {
			snprintf(error, cap,
				 "another rookery-dataplane runs in %s; stop it or choose another --state or "
				 "runtime_dir",
				 d->config->runtime_dir);
			close(d->lock);
			d->lock = -1;
			return -EBUSY;
		}
		/* its last owner may have removed it between our open and our lock */
		if (fstat(d->lock, &held) == 0 && stat(path, &named) == 0 && held.st_ino == named.st_ino)
			return 0;
		close(d->lock);
	}
}

static void
lock_release(struct dataplane *d)
{
	const char *path = runtime_path(d, "dataplane.lock");

	if (d->lock < 0)
		return;
	if (path != NULL)
		unlink(path);
	close(d->lock);
	d->lock = -1;
}

/* Cells take 1,472 bytes each: with many workers, each has fewer of them. */
static struct ipc_options
ring_sizes(const struct config *c)
{
	uint32_t workers = c->dataplane.workers;
	uint32_t divide = workers <= 4 ? 1 : workers <= 16 ? 2 : 4;

	return (struct ipc_options){
		.workers = workers,
		.event_cells = 4096 / divide,
		.request_cells = 1024 / divide,
		.login_cells = 256,
		.inject_cells = 4096 / divide,
		.table_cells = 8192,
		.sessions_per_worker = (c->dataplane.sessions + workers - 1) / workers,
	};
}

/* For `rookctl config show`: the file may change while we run. */
static void
config_tell(const struct dataplane *d)
{
	struct ipc_config *said = ipc_config(&d->ipc);
	struct config_values values;

	if (config_values_of(d->config, &values) < 0)
		return;
	said->length = (uint32_t)config_values_pack(&values, said->text, sizeof(said->text));
	config_values_free(&values);
}

static int
ipc_start(struct dataplane *d, const char *name, char *error, size_t cap)
{
	struct ipc_options options = ring_sizes(d->config);
	const char *path = runtime_path(d, name);
	int rc = -ENAMETOOLONG;

	/* In a directory of the account's, root's rights would follow whatever link it might have put there. */
	account_files_as(&d->account);
	if (path != NULL)
		rc = ipc_new(&d->ipc, path, &options);
	account_files_own();
	if (rc != 0) {
		snprintf(error, cap,
			 "the rings to rookery-control cannot be made at %s/%s (%zu MiB): %s",
			 d->config->runtime_dir, name, ipc_footprint(&options) >> 20, strerror(-rc));
		return rc;
	}
	d->ipc_name = name;
	config_tell(d);
	return 0;
}

/* From here on control finds them. */
static int
ipc_publish(struct dataplane *d, char *error, size_t cap)
{
	char path[PATH_SIZE];
	int rc;

	if (config_runtime_path(d->config, RINGS_NAME, path, sizeof(path)) == NULL)
		return -ENAMETOOLONG;
	account_files_as(&d->account);
	rc = rename(runtime_path(d, d->ipc_name), path) < 0 ? -errno : 0;
	account_files_own();
	if (rc < 0) {
		snprintf(error, cap, "%s/" RINGS_NAME ": %s", d->config->runtime_dir, strerror(-rc));
		return rc;
	}
	d->ipc_name = RINGS_NAME;
	return 0;
}

static int
workers_start(struct dataplane *d, char *error, size_t cap)
{
	const char *doorbell;
	uint32_t i;
	int rc;

	for (i = 0; i < d->workers; i++) {
		struct worker_options options = {
			.config = d->config,
			.ipc = &d->ipc,
			.tables = d->tables,
			.index = i,
			.workers = d->workers,
			.numa_node = boot_numa_node(d->config, i),
			.pool = d->pool[i],
			.ports = d->port,
			.port_count = d->config->dataplane.ports_count,
		};

		rc = worker_new(&d->worker[i], &options, error, cap);
		if (rc != 0)
			return rc;
	}
	worker_connect(d->worker, d->workers);
	doorbell = runtime_path(d, "doorbell.sock");
	rc = doorbell == NULL ? -ENAMETOOLONG :
	     housekeeping_new(&d->housekeeping, &d->ipc, d->tables, d->worker, d->workers, doorbell);
	if (rc != 0)
		snprintf(error, cap, "housekeeping did not start (%s/doorbell.sock): %s",
			 d->config->runtime_dir, strerror(-rc));
	return rc;
}

/* Nothing here keeps a predecessor from working. */
static int
memory_start(struct dataplane *d, const char *rings, char *error, size_t cap)
{
	const struct config *c = d->config;
	int rc;

	if (c->dataplane.ports_count > PORT_MAX) {
		snprintf(error, cap, "dataplane.ports: %u are too many; at most %u", c->dataplane.ports_count,
			 PORT_MAX);
		return -EINVAL;
	}
	rc = boot_eal(c, error, cap);
	d->eal = rc == 0;
	for (uint32_t i = 0; i < d->workers && rc == 0; i++)
		rc = boot_pool(&d->pool[i], c, i, error, cap);
	if (rc != 0)
		return rc;
	d->tables = tables_new(c, d->workers, boot_numa_node(c, 0));
	if (d->tables == NULL) {
		snprintf(error, cap, "no memory for %u users and %u conversations; raise dataplane.memory_mb",
			 c->dataplane.users, c->dataplane.conversations);
		return -ENOMEM;
	}
	rc = ipc_start(d, rings, error, cap);
	return rc == 0 ? workers_start(d, error, cap) : rc;
}

static int
ports_start(struct dataplane *d, char *error, size_t cap)
{
	const struct config *c = d->config;
	char text[512];
	uint32_t i;
	int rc;

	for (i = 0; i < c->dataplane.ports_count; i++) {
		struct port *p = &d->port[i];

		rc = port_open(p, &c->dataplane.ports[i], (uint8_t)i, (uint16_t)d->workers, d->pool, error,
			       cap);
		if (rc != 0)
			return rc;
		d->port_count = i + 1;
		p->ops->describe(p, text, sizeof(text));
		log_info(port, "port is open", "port=%u is=\"%s\"", i, text);
	}
	return 0;
}

static int
dataplane_start(struct dataplane *d, char *error, size_t cap)
{
	/* In an upgrade, while the old dataplane still works: what takes long, unless there is only one of what it takes. */
	bool upgrade = program_on_standby();
	bool beside = upgrade && boot_can_share(d->config);
	int rc = beside ? memory_start(d, RINGS_NEXT, error, cap) : 0;

	if (rc == 0)
		rc = program_standby();
	account_files_as(&d->account);
	if (rc == 0)
		rc = lock_take(d, upgrade, error, cap);
	account_files_own();
	if (rc == 0 && !beside)
		rc = memory_start(d, RINGS_NEXT, error, cap);
	if (rc == 0)
		rc = ports_start(d, error, cap);
	if (rc == 0 && housekeeping_ports(d->housekeeping, d->port, d->port_count, d->config->dataplane.nic_bans) != 0) {
		snprintf(error, cap, "no memory for %u bans", BANS_MAX);
		rc = -ENOMEM;
	}
	if (rc == 0)
		rc = ipc_publish(d, error, cap);
	if (rc == 0)
		telemetry_open(d->config, &d->account, &d->ipc, d->workers);
	return rc;
}

/* ---- run ------------------------------------------------------------------------------------- */

static uint64_t
monotonic_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static int
dataplane_run(struct dataplane *d, char *error, size_t cap)
{
	long pause_us = PAUSE_MIN_US;
	struct timespec pause = {0};
	uint32_t i;
	int rc;

	for (i = 0; i < d->workers; i++) {
		d->run[i] = (struct worker_run){.worker = d->worker[i], .stop = &stop};
		rc = rte_eal_remote_launch(worker_run, &d->run[i], boot_lcore(i));
		if (rc != 0) {
			snprintf(error, cap, "worker %u did not start: %s", i, strerror(-rc));
			return rc;
		}
	}
	if (!d->config->dataplane.replay_check)
		log_error(dataplane, "REPLAYED PACKETS ARE TAKEN: for benchmarks only", "mend=\"dataplane.replay_check: true\"");
	log_info(dataplane, "running", "workers=%u ports=%u sessions=%u version=%s", d->workers,
		 d->port_count, d->config->dataplane.sessions, ROOKERY_VERSION);
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		if (housekeeping_poll(d->housekeeping, monotonic_us()) > 0)
			pause_us = PAUSE_MIN_US;
		else
			pause_us = RTE_MIN(pause_us * 2, (long)PAUSE_MAX_US);
		pause.tv_nsec = pause_us * 1000;
		nanosleep(&pause, NULL);
	}
	return 0;
}

static void
dataplane_stop(struct dataplane *d)
{
	const char *path;
	uint32_t i;

	atomic_store_explicit(&stop, true, memory_order_relaxed);
	if (d->eal)
		rte_eal_mp_wait_lcore();
	/* First what a successor waits for. */
	for (i = 0; i < d->port_count; i++)
		port_close(&d->port[i]);
	if (d->ipc_name != NULL) {
		atomic_store_explicit(&d->ipc.header->dataplane_alive, 0, memory_order_release);
		path = runtime_path(d, d->ipc_name);
		if (path != NULL)
			unlink(path);
	}
	lock_release(d);
	housekeeping_free(d->housekeeping);
	/* `rookctl restart` waits for the end of this process, and to free tables and packets would be to write zeros all over them. */
	for (i = 0; i < d->workers; i++)
		worker_wipe(d->worker[i]);
	telemetry_close();
	if (d->ipc_name != NULL)
		ipc_leave(&d->ipc);
	if (d->eal)
		boot_stop(d->config);
	config_free(d->config);
}

int
main(int argc, char **argv)
{
	const char *config = NULL, *state = NULL;
	struct dataplane *d = &dataplane;
	char error[768] = "";
	int rc = program_arguments(argc, argv, "rookery-dataplane",
				   "The packet path of a Rookery server; usually started by `rookery run` or systemd.", &config,
				   &state);

	if (rc != 0)
		return rc - 1;
	rc = config_load(&d->config, config, state, error, sizeof(error));
	if (rc != 0) {
		fprintf(stderr, "rookery-dataplane: %s\n", error);
		return PROGRAM_EXIT_USAGE;
	}
	config_log_open(d->config, "rookery-dataplane");
	signals_set();
	d->workers = d->config->dataplane.workers;
	rc = account_find(&d->account, d->config->security.user, error, sizeof(error));
	if (rc == 0)
		rc = config_make_dirs(d->config, &d->account, error, sizeof(error));
	if (rc == 0)
		rc = dataplane_start(d, error, sizeof(error));
	if (rc == 0)
		rc = privileges_drop(d->config, &d->account, error, sizeof(error));
	if (rc == 0) {
		library_log_unprivileged();
		rc = dataplane_run(d, error, sizeof(error));
	}
	if (rc != 0)
		program_report(LOG_AREA_dataplane, error);
	else
		log_info(dataplane, "stopping", "");
	dataplane_stop(d);
	return rc == 0 ? EXIT_SUCCESS : rc == -EINVAL ? PROGRAM_EXIT_USAGE : EXIT_FAILURE;
}
