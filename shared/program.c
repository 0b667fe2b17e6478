/* SPDX-License-Identifier: BSD-3-Clause */
#include "shared/program.h"
#include "shared/log.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ADDRESS_SANITIZER 1
#endif
#endif

static int standby = -1; /* socket to the launcher */

static void
usage(FILE *out, const char *name, const char *about)
{
	fprintf(out,
		"usage: %s [--config FILE] [--state DIR]\n"
		"%s\n"
		"\n"
		"  --config FILE  configuration; without it the embedded default\n"
		"  --state DIR    directory of the database and the runtime files, instead of state_dir\n"
		"  --version      print the version and leave\n"
		"  --help         print this and leave\n",
		name, about);
}

int
program_arguments(int argc, char **argv, const char *name, const char *about, const char **config, const char **state)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"state", required_argument, NULL, 's'},
		{"standby", required_argument, NULL, 'b'}, /* the launcher's, so not in the help */
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
		case 'b':
			standby = atoi(optarg);
			break;
		case 'v':
			printf("%s %s\n", name, ROOKERY_VERSION);
			return 1 + EXIT_SUCCESS;
		case 'h':
			usage(stdout, name, about);
			return 1 + EXIT_SUCCESS;
		default:
			usage(stderr, name, about);
			return 1 + PROGRAM_EXIT_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "%s: unexpected argument '%s'\n", name, argv[optind]);
		usage(stderr, name, about);
		return 1 + PROGRAM_EXIT_USAGE;
	}
	return 0;
}

bool
program_on_standby(void)
{
	return standby >= 0;
}

int
program_standby(void)
{
	char byte = PROGRAM_PREPARED;
	ssize_t n;

	if (standby < 0)
		return 0;
	do
		n = send(standby, &byte, 1, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n == 1) {
		do
			n = recv(standby, &byte, 1, 0);
		while (n < 0 && errno == EINTR);
	}
	close(standby);
	standby = -1;
	return n == 1 && byte == PROGRAM_GO ? 0 : -ECANCELED;
}

void
program_hide_memory(void)
{
#ifndef WITH_ADDRESS_SANITIZER
	const struct rlimit none = {0};

	prctl(PR_SET_DUMPABLE, 0);
	setrlimit(RLIMIT_CORE, &none);
#endif
}

void
program_report(enum log_area area, const char *error)
{
	LOG_HERE(LOG_LEVEL_ERROR, area, "cannot run", "reason=\"%s\"", error);
}
