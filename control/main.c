// SPDX-License-Identifier: BSD-3-Clause
/* rookery-control: accounts, buddies, presence, storage. */
#include "key.h"
#include "loop.h"
#include "store/store.h"

#include "shared/account.h"
#include "shared/config.h"
#include "shared/log.h"
#include "shared/privilege.h"
#include "shared/program.h"

#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define PATH_SIZE 4096
#define STORE_OPEN_TRIES 20
#define STORE_OPEN_PAUSE_MS 500

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
			log_warning(store, "the database is in use; trying for 10 s", "reason=\"%s\"",
				    error);
		nanosleep(&pause, NULL);
	}
	return rc;
}

/* Everything that follows, from opening the key on, is done without root's rights. */
static int
unprivileged(const struct config *config, char *error, size_t cap)
{
	uint64_t keep = 0;
	struct account account;
	int rc = account_find(&account, config->security.user, error, cap);

	if (rc == 0)
		rc = config_make_dirs(config, &account, error, cap);
	if (rc < 0)
		return rc;
	if (account.change && account.fallback)
		log_warning(control, "no account of our own: running as " ACCOUNT_FALLBACK,
			    "mend=\"useradd --system --shell /usr/sbin/nologin " ACCOUNT_PREFERRED "\"");
	if (!account.change && account.uid == 0) {
		log_warning(control, "running as root", "mend=\"name an account in security.user\"");
		keep = UINT64_C(1) << CAP_DAC_OVERRIDE; /* the files may be somebody else's */
	}
	return privilege_drop(&account, keep, error, cap);
}

static int
control_run(const struct config *config, const struct admin_reload *reload, char *error, size_t cap)
{
	static struct handshake_keypair key; /* not on the stack: it is locked into memory */
	struct loop_options o = {.config = config, .reload = reload, .key = &key};
	char path[PATH_SIZE], threads[16];
	int rc;

	rc = unprivileged(config, error, cap);
	/* After it: a change of identity makes memory readable or not as the kernel sees fit. */
	program_hide_memory();
	if (rc == 0 && handshake_init() < 0) {
		snprintf(error, cap, "no source of random numbers");
		rc = -EIO;
	}
	if (rc < 0)
		return rc;
	if (config_state_path(config, "server.key", path, sizeof(path)) == NULL)
		return -ENAMETOOLONG;
	/* As far as RLIMIT_MEMLOCK allows; neither swap nor a core dump gets it then. */
	(void)sodium_mlock(&key, sizeof(key));
	rc = key_load(&key, path, error, cap);
	if (rc == 0)
		rc = program_standby();
	if (rc == 0)
		rc = database_open(&o.store, config, error, cap);
	if (rc == 0) {
		/* libuv's pool: passwords, and one more so that logins never wait for them. */
		snprintf(threads, sizeof(threads), "%u", config->control.password_threads + 1);
		setenv("UV_THREADPOOL_SIZE", threads, 1);
		rc = loop_run(&o, error, cap);
		store_close(o.store);
	}
	sodium_munlock(&key, sizeof(key)); /* wipes it */
	/* Only what the configuration says is an error of usage. */
	return rc == -EINVAL ? -EIO : rc;
}

int
main(int argc, char **argv)
{
	const char *config_path = NULL, *state = NULL;
	struct config *config = NULL;
	struct admin_reload reload;
	char error[768] = "";
	int rc = program_arguments(argc, argv, "rookery-control",
				   "Accounts, buddies, presence and storage of a Rookery server;\n"
				   "usually started by `rookery run` or systemd.",
				   &config_path, &state);

	if (rc != 0)
		return rc - 1;
	rc = config_load(&config, config_path, state, error, sizeof(error));
	if (rc != 0) {
		fprintf(stderr, "rookery-control: %s\n", error);
		return PROGRAM_EXIT_USAGE;
	}
	config_log_open(config, "rookery-control");
	signal(SIGPIPE, SIG_IGN);
	/* The directories stay as they are now, when we may still be root. */
	reload = (struct admin_reload){.config = config, .path = config_path, .state = config->state_dir};
	rc = control_run(config, &reload, error, sizeof(error));
	if (rc < 0) {
		if (error[0] == '\0')
			snprintf(error, sizeof(error), "%s", strerror(-rc));
		program_report(LOG_AREA_control, error);
	}
	config_free(config);
	return rc == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
