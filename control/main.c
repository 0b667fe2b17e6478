// SPDX-License-Identifier: BSD-3-Clause
/* rookery-control: accounts, buddies, presence, storage. */
#include "key.h"
#include "loop.h"
#include "store/store.h"

#include "shared/config.h"
#include "shared/log.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

#define EXIT_USAGE 2
#define PATH_SIZE 4096
#define STORE_OPEN_TRIES 20
#define STORE_OPEN_PAUSE_MS 500

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ADDRESS_SANITIZER 1
#endif
#endif

static void
usage(FILE *out)
{
	fputs("usage: rookery-control [--config FILE] [--state DIR]\n"
	      "Accounts, buddies, presence and storage of a Rookery server;\n"
	      "usually started by `rookery run` or systemd.\n"
	      "\n"
	      "  --config FILE  configuration; without it the embedded default\n"
	      "  --state DIR    directory of the database and the runtime files, instead of state_dir\n"
	      "  --version      print the version and leave\n"
	      "  --help         print this and leave\n",
	      out);
}

/* Returns 0 to go on, or an exit status + 1. */
static int
arguments_read(int argc, char **argv, const char **config, const char **state)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"state", required_argument, NULL, 's'},
		{"version", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			*config = optarg;
			break;
		case 's':
			*state = optarg;
			break;
		case 'v':
			puts("rookery-control " ROOKERY_VERSION);
			return 1 + EXIT_SUCCESS;
		case 'h':
			usage(stdout);
			return 1 + EXIT_SUCCESS;
		default:
			usage(stderr);
			return 1 + EXIT_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "rookery-control: unexpected argument '%s'\n", argv[optind]);
		usage(stderr);
		return 1 + EXIT_USAGE;
	}
	return 0;
}

/* A backup may hold the database for a moment. */
static int
database_open(struct store **store, const struct config *config, char *error, size_t cap)
{
	const struct timespec pause = {.tv_nsec = STORE_OPEN_PAUSE_MS * 1000000L};
	char path[PATH_SIZE];
	int rc;

	if (config_state_path(config, "rookery.db", path, sizeof(path)) == NULL) {
		snprintf(error, cap, "%s: the path is too long", config->state_dir);
		return -ENAMETOOLONG;
	}
	for (int i = 0; i < STORE_OPEN_TRIES; i++) {
		rc = store_open(store, path, error, cap);
		if (rc != -EBUSY)
			return rc;
		if (i == 0)
			log_warning("store", "the database is in use; trying for 10 s", "reason=\"%s\"",
				    error);
		nanosleep(&pause, NULL);
	}
	return rc;
}

static int
control_run(const struct config *config, char *error, size_t cap)
{
	struct handshake_keypair key;
	struct loop_options o = {.config = config, .key = &key};
	char path[PATH_SIZE], threads[16];
	int rc;

	rc = config_make_dirs(config, error, cap);
	if (rc == 0 && handshake_init() < 0) {
		snprintf(error, cap, "no source of random numbers");
		rc = -EIO;
	}
	if (rc < 0)
		return rc;
	if (config_state_path(config, "server.key", path, sizeof(path)) == NULL)
		return -ENAMETOOLONG;
	rc = key_load(&key, path, error, cap);
	if (rc == 0)
		rc = database_open(&o.store, config, error, cap);
	if (rc == 0) {
		/* libuv's pool serves the passwords alone. */
		snprintf(threads, sizeof(threads), "%u", config->control.password_threads);
		setenv("UV_THREADPOOL_SIZE", threads, 1);
		rc = loop_run(&o, error, cap);
		store_close(o.store);
	}
	explicit_bzero(&key, sizeof(key));
	/* Only what the configuration says is an error of usage. */
	return rc == -EINVAL ? -EIO : rc;
}

int
main(int argc, char **argv)
{
	const char *config_path = NULL, *state = NULL;
	struct config *config = NULL;
	char error[768] = "";
	char *quote;
	int rc = arguments_read(argc, argv, &config_path, &state);

	if (rc != 0)
		return rc - 1;
	rc = config_load(&config, config_path, state, error, sizeof(error));
	if (rc != 0) {
		fprintf(stderr, "rookery-control: %s\n", error);
		return EXIT_USAGE;
	}
	log_open("rookery-control", (enum log_level)config->log.level);
	signal(SIGPIPE, SIG_IGN);
#ifndef WITH_ADDRESS_SANITIZER
	/* Session secrets and passwords must not end in a core dump. */
	prctl(PR_SET_DUMPABLE, 0);
#endif
	rc = control_run(config, error, sizeof(error));
	if (rc < 0) {
		if (error[0] == '\0')
			snprintf(error, sizeof(error), "%s", strerror(-rc));
		while ((quote = strchr(error, '"')) != NULL)
			*quote = '\'';
		log_error("control", "cannot run", "reason=\"%s\"", error);
	}
	config_free(config);
	return rc == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
