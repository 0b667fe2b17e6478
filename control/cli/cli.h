/* SPDX-License-Identifier: BSD-3-Clause */
/* rookctl: one table of commands, from which parsing, usage and help are made. */
#ifndef ROOKERY_CONTROL_CLI_CLI_H
#define ROOKERY_CONTROL_CLI_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Exit statuses. */
enum {
	CLI_OK = 0,
	CLI_REFUSED = 1,     /* the server answered with an error */
	CLI_USAGE = 2,	     /* command line, configuration file or password input */
	CLI_UNREACHABLE = 3, /* no server, another kind of server, or it did not answer */
};

#define CLI_OPTIONS_MAX 8 /* of one command */
#define CLI_ARGS_MAX 4

struct cli_option {
	const char *name;  /* without the dashes; NULL ends a list */
	const char *value; /* what its value is called in help; NULL: a flag */
	const char *help;
};

struct client;

struct cli {
	/* global options */
	const char *socket, *state, *config;
	bool json, help, version;
	/* NULL when only --help or --version was asked for */
	const struct command *command;
	const char *group; /* "users" given alone or with --help; NULL otherwise */
	const char *args[CLI_ARGS_MAX];
	int arg_count;
	/* of the command's options, in its order: the value, "" for a flag, NULL when not given */
	const char *values[CLI_OPTIONS_MAX];
	/* for the commands */
	struct client *client;
	FILE *out;
};

struct command {
	const char *name;    /* "users add" */
	const char *args;    /* "NAME", for help; its words are the required arguments */
	const char *help;    /* one line */
	const char *details; /* more lines for `rookctl COMMAND --help`; may be NULL */
	const struct cli_option *options;
	int (*run)(struct cli *cli); /* returns an exit status; has printed its error */
};

extern const struct command cli_commands[]; /* ends with name NULL */
extern const struct cli_option cli_globals[];

/* Reads the command line. Returns 0, or -EINVAL with one line in error. */
int cli_parse(struct cli *cli, int argc, char **argv, char *error, size_t error_cap);

/* Usage of everything, of the group's commands, or of one command. */
void cli_usage(FILE *out);
void cli_group_usage(FILE *out, const char *group);
void cli_command_usage(FILE *out, const struct command *c);

/* The value of an option of the running command, or NULL. */
const char *cli_value(const struct cli *cli, const char *option);

/* Sends command with args (stolen) and waits. Returns CLI_OK with *result (to be freed by the caller), or the
 * exit status after printing the error. */
int cli_call(struct cli *cli, const char *command, json_t *args, json_t **result);

/* Prints "rookctl: ..." to standard error and returns status. */
int cli_fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
