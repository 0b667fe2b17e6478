/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rookctl: one table of commands (commands.c), from which parsing (cli.c), help (help.c), completion
 * (complete.c) and the man page and shell completion files (generate.c) are made.
 */
#ifndef ROOKERY_CONTROL_CLI_CLI_H
#define ROOKERY_CONTROL_CLI_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Exit statuses, described in cli_exit_statuses. */
enum {
	CLI_OK = 0,
	CLI_REFUSED = 1,
	CLI_USAGE = 2,
	CLI_UNREACHABLE = 3,
	CLI_VERSION = 4,
};

struct cli_exit_status {
	int status;
	const char *text; /* NULL ends the list */
};
extern const struct cli_exit_status cli_exit_statuses[];

#define CLI_OPTIONS_MAX 8 /* of one command */
#define CLI_ARGS_MAX 3

enum cli_type {
	CLI_FLAG, /* of options only: no value */
	CLI_TEXT,
	CLI_NUMBER, /* decimal, min to max */
	CLI_DURATION, /* 90s, 10m, 2h, 7d */
	CLI_SECONDS, /* decimal, a fraction is allowed, 0.1 to 86400; of an option it may be left out: --watch */
	CLI_WORD,   /* one of words */
	CLI_FILE,
	CLI_USER,
	CLI_SESSION,        /* a session id */
	CLI_SESSION_OR_USER, /* a session id or user:NAME */
};

/* An argument, or an option. */
struct cli_param {
	const char *name; /* of an option without the dashes; NULL ends a list */
	enum cli_type type;
	const char *value; /* options: what the value is called in help; NULL for flags */
	const char *help;
	const char *words; /* CLI_WORD: "a|b|c" */
	uint64_t min, max; /* CLI_NUMBER */
	bool optional;     /* arguments; only the last ones may be */
};

enum {
	CLI_READ = 1,   /* shows something: --json prints it as JSON */
	CLI_WATCH = 2,  /* may be repeated with --watch */
	CLI_LOCAL = 4,  /* works without a server */
	CLI_HIDDEN = 8, /* for scripts of this project */
};

struct client;
struct command;

struct cli {
	/* global options */
	const char *socket, *state, *config, *file;
	bool json, help, version, stop_on_error;
	const char *watch; /* seconds, "" for the default; NULL: once */
	const char *count;
	/* NULL when only options were given */
	const struct command *command;
	const char *group; /* "users" given alone or with --help; NULL otherwise */
	const char *args[CLI_ARGS_MAX];
	int arg_count;
	/* of the command's options, in its order: the value, "" for a flag, NULL when not given */
	const char *values[CLI_OPTIONS_MAX];
	/* for the commands */
	struct client *client;
	FILE *out;
	bool stdin_taken; /* the commands themselves come from there */
};

struct command {
	const char *name; /* "users add" */
	const char *also; /* another name for the same, or NULL */
	const char *help; /* one line */
	int (*run)(struct cli *cli); /* returns an exit status; has printed its error */
	const char *method; /* of the admin API; NULL: several or none */
	unsigned flags;
	struct cli_param args[CLI_ARGS_MAX + 1];
	const struct cli_param *options;
	const char *details; /* sentences for `rookctl COMMAND --help` and the man page; may be NULL */
	const char *example; /* lines without "rookctl"; may be NULL */
};

extern const struct command cli_commands[]; /* ends with name NULL */
extern const struct cli_param cli_globals[];

/* ---- cli.c ---------------------------------------------------------------------------- */

/* Reads the command line over what cli holds already. Returns 0, or -EINVAL with one line in error. */
int cli_parse(struct cli *cli, int argc, char **argv, char *error, size_t error_cap);

/* The command called name or also name ("users add"), or the one of its two words. NULL: none. */
const struct command *cli_find_command(const char *first, const char *second);
bool cli_is_group(const char *word);
/* Index in a list that may be NULL; -1: not there. */
int cli_find_param(const struct cli_param *params, const char *name, size_t len);
bool cli_global_applies(const struct cli_param *global, const struct command *c);

/* The value of an option of the running command, or NULL. */
const char *cli_value(const struct cli *cli, const char *option);
/* The same of a CLI_NUMBER. */
uint64_t cli_number(const struct cli *cli, const char *option, uint64_t missing);
/* Of a CLI_DURATION, in seconds. */
uint64_t cli_duration(const char *text);

/* Runs what was parsed, also again and again with --watch. */
int cli_run(struct cli *cli);

/* ---- help.c --------------------------------------------------------------------------- */

/* Usage of everything, of the group's commands, or of one command. */
void cli_usage(FILE *out);
void cli_group_usage(FILE *out, const char *group);
void cli_command_usage(FILE *out, const struct command *c);
/* "users add NAME [OPTIONS]" */
void cli_synopsis(const struct command *c, char *buf, size_t cap);

/* ---- complete.c ------------------------------------------------------------------------ */

struct cli_completion {
	/* One candidate that begins with what is typed; help may be "". */
	void (*add)(void *arg, const char *text, const char *help);
	/* Names of users or session ids beginning with prefix, through add; may be NULL. */
	void (*dynamic)(void *arg, enum cli_type type, const char *prefix);
	void *arg;
};

/* Candidates for `partial` after the words in front of it. Returns true when it is a file name. */
bool cli_complete(const char *const *words, int count, const char *partial, const struct cli_completion *c);

/* ---- generate.c ------------------------------------------------------------------------ */

/* what: "man", "bash", "zsh", "markdown". -EINVAL: none of these. */
int cli_generate(FILE *out, const char *what);

/* ---- shell.c --------------------------------------------------------------------------- */

/* Commands typed at a prompt, until the end of input or `quit`. base: the options given to rookctl itself. */
int cli_interactive(const struct cli *base);
/* Commands of a file ("-": standard input), one per line. Status of the first that failed, or CLI_OK. */
int cli_batch(const struct cli *base, const char *path, bool stop_on_error);
/* Prints candidates for a shell: the last word is the one being typed. */
int cli_complete_for_shell(struct cli *base, int argc, char **argv);

/* ---- call.c ---------------------------------------------------------------------------- */

/* Which server, if no option says it; after cli_parse. */
void cli_find_server(struct cli *cli);

/* Sends command with args (stolen) and waits. Returns CLI_OK with *result (to be freed by the caller), or the
 * exit status after printing the error. */
int cli_call(struct cli *cli, const char *command, json_t *args, json_t **result);
/* The same without printing: for what is only nice to have. NULL: not to be had. */
json_t *cli_call_quietly(struct cli *cli, const char *command, json_t *args);

/* The same to the launcher, with seconds to wait for its reply. */
int cli_call_launcher(struct cli *cli, const char *command, json_t *args, unsigned seconds, json_t **result);

/* Prints "rookctl: ..." to standard error and returns status. */
int cli_fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What is put in front of errors: "FILE:LINE: " of a batch; "" otherwise. */
void cli_fail_prefix(const char *prefix);

#endif
