/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The world of one end-to-end test: a temporary directory, processes with their pipes, network namespaces and
 * proxies. Everything that a test starts belongs to its world, and world_free() removes all of it, also after a failed
 * assertion. What an earlier, killed run left behind (its pid is in every name) is removed by the next world_new().
 *
 * Waiting is always for an event, with a deadline: world_pump() in a loop around the condition.
 *
 * To look into a failure: ROOKERY_E2E_ONLY=TEXT runs the tests with TEXT in their name, ROOKERY_E2E_TRACE=1 prints all that
 * children are told and say, with the time, ROOKERY_E2E_KEEP=1 keeps the directory of a failed test.
 */
#ifndef ROOKERY_TESTS_E2E_WORLD_H
#define ROOKERY_TESTS_E2E_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define WORLD_PREFIX "rk-e2e-"
#define WORLD_NOBODY 65534

/* What a test may take at most, in seconds, on a slow machine and under sanitizers; ROOKERY_E2E_SLOW multiplies. */
#define WAIT_EVENT 60
#define WAIT_BULK 300

enum port_kind {
	KIND_SOCKET,
	KIND_DEFAULT, /* the embedded default configuration, in a namespace where port 8000 is free */
	KIND_AF_PACKET,
	KIND_AF_XDP,
	KIND_TAP, /* the kernel's end is in the same namespace, with the clients */
};

/* Where a scenario runs: the initial state of each test. */
struct place {
	enum port_kind kind;
	int family; /* AF_INET or AF_INET6: which of the server's addresses the clients use */
	unsigned workers;
	bool checksum_offload;
};

struct process;
struct client;
struct proxy;
struct server;

struct world {
	struct place place;
	char dir[64];        /* readable by the unprivileged children */
	char bin[2048];      /* where the programs are */
	char marker[64];     /* in the environment of every child: finds stray ones */
	bool drop_root;      /* children without root's rights even if the tests run as root */
	char server_ns[48];  /* "" without namespaces */
	char client_ns[48];
	char server4[64];    /* addresses of the server for clients, "127.0.0.1:40000" */
	char server6[64];
	uint16_t port;
	unsigned servers;    /* started so far */
	struct server *server;
	struct process *processes;
	struct client *clients;
	struct proxy *proxies;
	char *fault;         /* first thing seen that must never be seen; reported by the next wait */
	bool failed;
	bool mounted;        /* a small file system at dir/state */
};

/* Place NULL: KIND_SOCKET over IPv4 with one worker. Makes directories, picks ports, sets up namespaces. */
struct world *world_new(const struct place *place);
void world_free(struct world *w);

/* cmocka fixtures around them: *state is a const struct place * and becomes a struct world *. */
int world_setup(void **state);
int world_teardown(void **state);

bool have_root(void);

/* For a program whose tests all need root: prints a skipped plan and returns true without it. */
bool skip_without_root(void);

/* An ethdev port: the server needs root, and lives in namespaces with its clients. */
bool world_is_ethdev(const struct world *w);
/* The server's address for this place's clients. */
const char *world_server_address(const struct world *w);

/* ---- waiting ------------------------------------------------------------------------ */

uint64_t now_ms(void);
/* Now + seconds, scaled for slow machines. */
uint64_t deadline_in(unsigned seconds);

/* Waits until some child wrote, took input or ended, handles that, and returns true; false once the deadline has
 * passed. Fails the test when a fault was recorded. */
bool world_pump(struct world *w, uint64_t deadline);
/* The same, but returns after at most 20 ms: for conditions outside of the children's pipes (counters, files). */
bool world_poll(struct world *w, uint64_t deadline);

/* Ends the test as failed, after the tails of the children's output on stderr. */
void world_fail(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));
/* Records that something impossible was seen (first one wins). */
void world_fault(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define world_check(w, condition)                                                                  \
	do {                                                                                       \
		if (!(condition))                                                                  \
			world_fail(w, "%s:%d: %s", __FILE__, __LINE__, #condition);                \
	} while (0)

/* ---- processes ---------------------------------------------------------------------- */

struct process_options {
	const char *name;      /* for reports and the stderr file */
	const char *const *argv; /* argv[0] without a slash: in the programs' directory */
	const char *netns;     /* NULL: where the test runs */
	bool ip_exec;          /* enter netns by `ip netns exec`, which also mounts its /sys */
	bool as_root;          /* keep root's rights in spite of world.drop_root */
	const char *marker;    /* NULL: world.marker */
	void (*line)(struct process *p, char *line); /* each line of stdout, without its newline */
	void *user;
};

struct process {
	struct world *world;
	struct process *next;
	char name[48];
	char stderr_path[128];
	pid_t pid;
	int pidfd;
	int in;  /* to its stdin; -1 closed */
	int out; /* from its stdout; -1 at its end */
	bool exited;
	int status; /* exit code, or 128 + signal */
	char *output; /* all of stdout so far */
	size_t output_len, output_cap, line_start;
	char *input; /* not yet written */
	size_t input_len, input_cap;
	bool close_input; /* once input is written */
	void (*line)(struct process *p, char *line);
	void *user;
};

struct process *process_start(struct world *w, const struct process_options *o);
void process_write(struct process *p, const char *text);
/* Waits for its end; returns its exit code (128 + signal if killed). Fails the test after `seconds`. */
int process_wait(struct process *p, unsigned seconds);
/* Runs a command to its end and returns its exit code; output (may be NULL) is freed by the caller. */
int process_run(struct world *w, const struct process_options *o, char **output);
/* A system tool as root, in the test's own namespace; fails the test unless it exits 0. */
void world_tool(struct world *w, const char *const *argv);
#define tool(w, ...) world_tool(w, (const char *const[]){__VA_ARGS__, NULL})

/* Processes with marker in their environment; returns how many, writes at most cap of them. */
unsigned processes_marked(const char *marker, pid_t *pids, unsigned cap);
/* The last part of argv[0] of a process; "" if it is gone. */
const char *process_program(pid_t pid, char *buf, size_t cap);
/* All of a file as a string, NULL if it cannot be read. */
char *file_text(const char *path);

/* ---- network ------------------------------------------------------------------------ */

/* A socket that lives in a namespace (NULL or "": the test's own). Returns the descriptor or -errno. */
int socket_in(const char *netns, int domain, int type, int protocol);
/* A UDP port that is free on both loopback addresses, and stays this program's among all tests. */
uint16_t free_udp_port(void);

#endif
