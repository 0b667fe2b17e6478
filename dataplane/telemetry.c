// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/telemetry.h"

#include "shared/counters.h"
#include "shared/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <rte_telemetry.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PATH_SIZE 4096
#define LINK "rookery"
#define PREFIX LINK "-"
#define SOCKET "dpdk_telemetry.v2"

_Static_assert(COUNTER_COUNT <= RTE_TEL_MAX_DICT_ENTRIES, "an answer holds every counter");

static struct {
	pthread_mutex_t lock;
	const struct ipc *ipc; /* NULL: closed */
	uint32_t workers;
	const struct config *config;
} telemetry = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- answers ---------------------------------------------------------------------------- */

static uint64_t
counter_of(uint32_t row, unsigned counter)
{
	return atomic_load_explicit(&ipc_stats(telemetry.ipc, row)->counter[counter], memory_order_relaxed);
}

/* Rows first to last, added up. */
static int
counters_answer(struct rte_tel_data *out, uint32_t first, uint32_t last, bool drops)
{
	int rc = rte_tel_data_start_dict(out);

	for (unsigned i = 0; i < COUNTER_COUNT && rc == 0; i++) {
		uint64_t sum = 0;

		if (drops && !counter_info[i].is_drop)
			continue;
		for (uint32_t row = first; row <= last; row++)
			sum += counter_of(row, i);
		rc = rte_tel_data_add_dict_u64(out, counter_info[i].name, sum);
	}
	return rc;
}

static int
worker_answer(struct rte_tel_data *out, const char *params)
{
	unsigned long worker;
	char *end;

	if (params == NULL || params[0] < '0' || params[0] > '9')
		return -EINVAL;
	worker = strtoul(params, &end, 10);
	if (*end != '\0' || worker >= telemetry.workers)
		return -EINVAL;
	return counters_answer(out, (uint32_t)worker, (uint32_t)worker, false);
}

static int
info_answer(struct rte_tel_data *out)
{
	int rc = rte_tel_data_start_dict(out);

	if (rc == 0)
		rc = rte_tel_data_add_dict_string(out, "version", ROOKERY_VERSION);
	if (rc == 0)
		rc = rte_tel_data_add_dict_u64(out, "workers", telemetry.workers);
	if (rc == 0)
		rc = rte_tel_data_add_dict_u64(out, "sessions", telemetry.config->dataplane.sessions);
	return rc;
}

static int
on_command(const char *command, const char *params, struct rte_tel_data *out)
{
	int rc = -ENOTCONN;

	pthread_mutex_lock(&telemetry.lock);
	if (telemetry.ipc == NULL)
		;
	else if (strcmp(command, "/rookery/info") == 0)
		rc = info_answer(out);
	else if (strcmp(command, "/rookery/stats") == 0)
		rc = counters_answer(out, 0, telemetry.workers, false);
	else if (strcmp(command, "/rookery/drops") == 0)
		rc = counters_answer(out, 0, telemetry.workers, true);
	else if (strcmp(command, "/rookery/housekeeping") == 0)
		rc = counters_answer(out, telemetry.workers, telemetry.workers, false);
	else if (strcmp(command, "/rookery/worker") == 0)
		rc = worker_answer(out, params);
	pthread_mutex_unlock(&telemetry.lock);
	return rc;
}

/* ---- its place --------------------------------------------------------------------------- */

const char *
telemetry_prefix(char prefix[TELEMETRY_PREFIX_SIZE])
{
	snprintf(prefix, TELEMETRY_PREFIX_SIZE, PREFIX "%d", (int)getpid());
	return prefix;
}

bool
telemetry_possible(const struct config *c)
{
	struct sockaddr_un name;
	char prefix[TELEMETRY_PREFIX_SIZE];
	int n;

	if (!c->dataplane.telemetry)
		return false;
	n = snprintf(name.sun_path, sizeof(name.sun_path), "%s/dpdk/%s/" SOCKET, c->runtime_dir, telemetry_prefix(prefix));
	return n >= 0 && (size_t)n < sizeof(name.sun_path);
}

/* The socket in it, and the directory if nothing else is there. */
static void
directory_remove(const struct config *c, const char *name)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "%s/dpdk/%s/" SOCKET, c->runtime_dir, name);
	(void)unlink(path);
	snprintf(path, sizeof(path), "%s/dpdk/%s", c->runtime_dir, name);
	(void)rmdir(path);
}

/* Better than to look for the process: its pid may be another's by now, and nobody may have noticed its end. */
static bool
is_answered(const struct config *c, const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int n = snprintf(address.sun_path, sizeof(address.sun_path), "%s/dpdk/%s/" SOCKET, c->runtime_dir, name);
	bool answered = fd >= 0 && n >= 0 && (size_t)n < sizeof(address.sun_path) &&
			connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;

	if (fd >= 0)
		close(fd);
	return answered;
}

/* Of dataplanes that were killed. */
static void
leftovers_remove(const struct config *c)
{
	char path[PATH_SIZE];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/dpdk", c->runtime_dir);
	dir = opendir(path);
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		long pid;

		if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) != 0)
			continue;
		pid = strtol(entry->d_name + strlen(PREFIX), NULL, 10);
		if (pid > 0 && pid != getpid() && !is_answered(c, entry->d_name))
			directory_remove(c, entry->d_name);
	}
	if (dir != NULL)
		closedir(dir);
}

static void
link_set(const struct config *c)
{
	char prefix[TELEMETRY_PREFIX_SIZE], path[PATH_SIZE], next[PATH_SIZE];

	telemetry_prefix(prefix);
	snprintf(path, sizeof(path), "%s/dpdk/" LINK, c->runtime_dir);
	snprintf(next, sizeof(next), "%s/dpdk/%s.link", c->runtime_dir, prefix);
	(void)unlink(next);
	if (symlink(prefix, next) != 0 || rename(next, path) != 0) {
		log_warning(telemetry, "no link to the telemetry socket", "path=\"%s\" reason=\"%s\"", path, strerror(errno));
		(void)unlink(next);
	}
}

/* Gives what name in dir is to the account, if it is of that type and no symbolic link. */
static void
give(int dir, const char *name, mode_t type, const struct account *account)
{
	int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0 || (st.st_mode & S_IFMT) != type ||
	    fchownat(fd, "", account->uid, account->gid, AT_EMPTY_PATH) != 0)
		log_warning(telemetry, "cannot be given to the account", "name=%s", name);
	if (fd >= 0)
		close(fd);
}

/* Whoever the process becomes has to remove them in the end. The directory around them may be that account's, so nothing is
 * followed in it. */
static void
files_give(const struct config *c, const struct account *account)
{
	char prefix[TELEMETRY_PREFIX_SIZE], path[PATH_SIZE];
	int top, inner;

	snprintf(path, sizeof(path), "%s/dpdk", c->runtime_dir);
	top = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (top < 0) {
		log_warning(telemetry, "no directory of EAL's own", "path=\"%s\" reason=\"%s\"", path, strerror(errno));
		return;
	}
	inner = openat(top, telemetry_prefix(prefix), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (inner >= 0) {
		give(inner, SOCKET, S_IFSOCK, account);
		close(inner);
	}
	give(top, prefix, S_IFDIR, account);
	(void)!fchown(top, account->uid, account->gid);
	close(top);
}

void
telemetry_open(const struct config *c, const struct account *account, const struct ipc *ipc, uint32_t workers)
{
	static const struct {
		const char *name, *help;
	} commands[] = {
		{"/rookery/info", "Version and sizes. No parameters."},
		{"/rookery/stats", "Every counter, all workers and housekeeping together. No parameters."},
		{"/rookery/worker", "Every counter of a worker. Parameter: its number."},
		{"/rookery/housekeeping", "Every counter of housekeeping. No parameters."},
		{"/rookery/drops", "Why packets were dropped. No parameters."},
	};

	if (account->change && telemetry_possible(c))
		files_give(c, account);
	account_files_as(account);
	leftovers_remove(c);
	if (telemetry_possible(c))
		link_set(c);
	account_files_own();
	if (!telemetry_possible(c)) {
		if (c->dataplane.telemetry)
			log_warning(telemetry, "no telemetry socket: its name would be too long; choose a shorter runtime_dir",
				    "runtime_dir=\"%s\"", c->runtime_dir);
		return;
	}
	pthread_mutex_lock(&telemetry.lock);
	telemetry.config = c;
	telemetry.ipc = ipc;
	telemetry.workers = workers;
	pthread_mutex_unlock(&telemetry.lock);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		int rc = rte_telemetry_register_cmd(commands[i].name, on_command, commands[i].help);

		if (rc != 0)
			log_warning(telemetry, "command not registered", "command=%s reason=\"%s\"", commands[i].name,
				    strerror(-rc));
	}
}

void
telemetry_close(void)
{
	pthread_mutex_lock(&telemetry.lock);
	telemetry.ipc = NULL;
	pthread_mutex_unlock(&telemetry.lock);
}

void
telemetry_remove(const struct config *c)
{
	char prefix[TELEMETRY_PREFIX_SIZE], path[PATH_SIZE], to[TELEMETRY_PREFIX_SIZE];
	ssize_t n;

	directory_remove(c, telemetry_prefix(prefix));
	snprintf(path, sizeof(path), "%s/dpdk/" LINK, c->runtime_dir);
	n = readlink(path, to, sizeof(to) - 1);
	if (n > 0) {
		to[n] = '\0';
		/* A successor's stays. */
		if (strcmp(to, prefix) == 0)
			(void)unlink(path);
	}
	snprintf(path, sizeof(path), "%s/dpdk", c->runtime_dir);
	(void)rmdir(path);
}
