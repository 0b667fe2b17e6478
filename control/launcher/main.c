/* SPDX-License-Identifier: BSD-3-Clause */
/* rookery: starts and supervises rookery-dataplane and rookery-control. */
#include "control/launcher/banner.h"
#include "control/launcher/lock.h"
#include "control/launcher/notify.h"
#include "control/launcher/rights.h"
#include "control/launcher/supervisor.h"
#include "shared/account.h"
#include "shared/config.h"
#include "shared/log.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define EXIT_USAGE 2 /* usage or configuration */

static const char usage[] =
	"Usage: rookery run [--config FILE] [--state DIR]\n"
	"       rookery --version | --help\n"
	"\n"
	"Runs a Rookery server in the foreground: the packet process (rookery-dataplane) and the control "
	"process\n"
	"(rookery-control), each started again when it dies. Prints a line with \"ready\" once clients can "
	"log in.\n"
	"Ctrl-C or SIGTERM stops it.\n"
	"\n"
	"  --config FILE  settings that differ from the built-in ones (config/default.yaml shows all)\n"
	"  --state DIR    where the database, the server's key and, beneath it, the sockets are kept;\n"
	"                 replaces state_dir of the configuration\n"
	"\n"
	"Exit status: 0 stopped by a signal; 1 a process could not start; 2 wrong usage or configuration.\n";

struct launcher {
	const char *config_path;
	const char *state_dir;
	struct config *config;
	char bin_dir[PATH_MAX];
	char control_socket[PATH_MAX];
	struct lock state_lock, runtime_lock;
	struct notify notify;
};

static int
find_bin_dir(char *out, size_t cap)
{
	ssize_t n = readlink("/proc/self/exe", out, cap - 1);
	if (n < 0)
		return -errno;
	out[n] = '\0';
	char *slash = strrchr(out, '/');
	if (!slash)
		return -ENOENT;
	*slash = '\0';
	return 0;
}

static int
take_lock(struct lock *l, const char *dir_name, const char *dir)
{
	char path[PATH_MAX];
	pid_t holder;
	if (snprintf(path, sizeof(path), "%s/rookery.lock", dir) >= (int)sizeof(path)) {
		fprintf(stderr, "rookery: the path of the %s is too long: %s\n", dir_name, dir);
		return -ENAMETOOLONG;
	}
	int r = lock_take(l, path, &holder);
	if (r == -EWOULDBLOCK)
		fprintf(stderr,
			"rookery: a server is already running with the %s %s (pid %ld): stop it, or choose "
			"another "
			"directory with --state\n",
			dir_name, dir, (long)holder);
	else if (r < 0)
		fprintf(stderr, "rookery: cannot lock %s: %s\n", path, strerror(-r));
	return r;
}

/* Two configurations may share a runtime directory without sharing the state directory: each is locked. */
static int
take_locks(struct launcher *l)
{
	int r = take_lock(&l->state_lock, "state directory", l->config->state_dir);
	if (r == 0 && strcmp(l->config->state_dir, l->config->runtime_dir) != 0)
		r = take_lock(&l->runtime_lock, "runtime directory", l->config->runtime_dir);
	return r;
}

/* Each process removes what it made; this is for those that were killed. The state directory keeps the
 * database and the key. */
static void
leave_nothing(struct launcher *l)
{
	static const char *const names[] = {"control.sock", "launcher.sock", "doorbell.sock", "rings.shm", "rings.next", "rings.next.new", "dataplane.lock"};
	char path[PATH_MAX];
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (config_runtime_path(l->config, names[i], path, sizeof(path)))
			unlink(path);
	lock_drop(&l->runtime_lock);
	/* A directory that was configured by name belongs to the administrator (or systemd). */
	if (snprintf(path, sizeof(path), "%s/run", l->config->state_dir) < (int)sizeof(path) &&
	    strcmp(path, l->config->runtime_dir) == 0)
		rmdir(path);
	lock_drop(&l->state_lock);
}

static void
announce(void *arg, const json_t *status, const pid_t pids[SUPERVISED_COUNT])
{
	struct launcher *l = arg;
	struct banner b = {
		.config = l->config,
		.bin_dir = l->bin_dir,
		.config_path = l->config_path,
		.state_dir = l->state_dir,
		.control_socket = l->control_socket,
		.dataplane = pids[SUPERVISED_DATAPLANE],
		.control = pids[SUPERVISED_CONTROL],
	};
	if (l->notify.fd < 0) {
		banner_print(stdout, &b, status);
		return;
	}
	/* Nobody reads a banner in a journal. */
	log_info(launcher, "ready", "dataplane=%ld control=%ld version=" ROOKERY_VERSION, (long)b.dataplane, (long)b.control);
	notify_send(&l->notify, "READY=1\nSTATUS=Clients can log in");
}

static int
supervise(struct launcher *l)
{
	char program[SUPERVISED_COUNT][PATH_MAX];
	char *argv[SUPERVISED_COUNT][6];
	struct supervisor_options o = {.config = l->config, .control_socket = l->control_socket, .notify = &l->notify, .ready = announce, .arg = l};
	for (int i = 0; i < SUPERVISED_COUNT; i++) {
		if (snprintf(program[i], PATH_MAX, "%s/%s", l->bin_dir, supervised_name[i]) >= PATH_MAX) {
			fprintf(stderr, "rookery: the path of its own folder is too long: %s\n", l->bin_dir);
			return 1;
		}
		int n = 0;
		argv[i][n++] = program[i];
		if (l->config_path) {
			argv[i][n++] = (char *)"--config";
			argv[i][n++] = (char *)l->config_path;
		}
		if (l->state_dir) {
			argv[i][n++] = (char *)"--state";
			argv[i][n++] = (char *)l->state_dir;
		}
		argv[i][n] = NULL;
		o.argv[i] = argv[i];
	}
	return supervisor_run(&o);
}

static int
run(struct launcher *l)
{
	char error[512];
	/* The processes load it again; loading it here first says what is wrong once, not three times. */
	if (config_load(&l->config, l->config_path, l->state_dir, error, sizeof(error)) < 0) {
		fprintf(stderr, "rookery: %s\n", error);
		return EXIT_USAGE;
	}
	config_log_open(l->config, "rookery");
	notify_open(&l->notify);
	if (!config_runtime_path(l->config, "doorbell.sock", l->control_socket,
				 sizeof(((struct sockaddr_un *)0)->sun_path)) ||
	    !config_runtime_path(l->config, "control.sock", l->control_socket, sizeof(l->control_socket))) {
		fprintf(stderr,
			"rookery: runtime_dir %s is too long for Unix sockets (about 90 characters): set a "
			"shorter "
			"runtime_dir or --state\n",
			l->config->runtime_dir);
		return EXIT_USAGE;
	}
	int r = find_bin_dir(l->bin_dir, sizeof(l->bin_dir));
	if (r < 0) {
		fprintf(stderr, "rookery: cannot find its own folder through /proc/self/exe: %s\n",
			strerror(-r));
		return 1;
	}
	struct account account;
	if (account_find(&account, l->config->security.user, error, sizeof(error)) < 0 ||
	    config_make_dirs(l->config, &account, error, sizeof(error)) < 0 || rights_limit(l->config, error, sizeof(error)) < 0) {
		fprintf(stderr, "rookery: %s\n", error);
		return 1;
	}
	/* We stay root, with few of its rights, to start the dataplane again; but what we do with files is done in the account's directories, and
	 * must not follow a link that it could put there. */
	account_files_as(&account);
	r = take_locks(l);
	if (r < 0) {
		lock_drop(&l->state_lock);
		return 1;
	}
	int result = supervise(l);
	leave_nothing(l);
	return result;
}

static int
usage_error(const char *what, const char *which)
{
	fprintf(stderr, "rookery: %s%s; `rookery --help` lists what there is\n", what, which);
	return EXIT_USAGE;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"state", required_argument, NULL, 's'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{0},
	};
	struct launcher l = {.state_lock = LOCK_NONE, .runtime_lock = LOCK_NONE, .notify = {.fd = -1}};
	int option;
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			l.config_path = optarg;
			break;
		case 's':
			l.state_dir = optarg;
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		case 'V':
			puts("rookery " ROOKERY_VERSION);
			return 0;
		case ':':
			return usage_error("a value is missing after ", argv[optind - 1]);
		default:
			return usage_error("unknown option ", argv[optind - 1]);
		}
	}
	if (optind == argc) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[optind], "run") != 0)
		return usage_error("unknown command ", argv[optind]);
	if (optind + 1 < argc)
		return usage_error("unexpected argument ", argv[optind + 1]);
	int result = run(&l);
	notify_close(&l.notify);
	config_free(l.config);
	return result;
}
