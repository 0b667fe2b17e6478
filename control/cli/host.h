/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a host offers and what the configuration needs of it: each check says how it stands, why it matters, and the
 * exact mend. Reads /sys, /proc and /dev below `root` only ("" on a real host; tests build a tree of files), so it needs
 * neither a server nor root's rights.
 */
#ifndef ROOKERY_CONTROL_CLI_HOST_H
#define ROOKERY_CONTROL_CLI_HOST_H

#include "shared/config.h"

#include <stdbool.h>
#include <stddef.h>

enum finding_state {
	FINDING_OK,
	FINDING_NOTE, /* could be better */
	FINDING_WARN, /* works, but not as it should */
	FINDING_FAIL, /* does not work */
};

struct finding {
	enum finding_state state;
	char name[24];
	char what[192];
	char why[192];  /* "" when ok */
	char mend[320]; /* a command or what to change; "" when ok */
};

#define FINDINGS_MAX 96

struct findings {
	struct finding list[FINDINGS_MAX];
	unsigned count;
};

/* One more; those beyond FINDINGS_MAX are lost. */
struct finding *finding_add(struct findings *f, enum finding_state state, const char *name, const char *why,
			    const char *format, ...) __attribute__((format(printf, 5, 6)));
void finding_mend(struct finding *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "FAIL", ... */
const char *finding_state_name(enum finding_state state);

void host_check(struct findings *f, const char *root, const struct config *c);

/* ---- host_files.c: reading below a root -------------------------------------------------- */

/* The first line of a file without its newline. false: not to be read. */
bool host_read(const char *root, char *buf, size_t cap, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
bool host_exists(const char *root, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The last part of where a symbolic link leads to. */
bool host_link(const char *root, char *buf, size_t cap, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* Is n in a list as "0-3,8"? */
bool host_in_list(const char *list, unsigned n);

/* ---- host_ports.c ------------------------------------------------------------------------ */

/* The CPUs that the configuration names, housekeeping's first. Returns how many. */
#define HOST_CPUS_MAX 256
unsigned host_cpus(const struct config *c, unsigned cpus[HOST_CPUS_MAX]);
/* -1: unknown. */
int host_cpu_node(const char *root, unsigned cpu);
void host_check_port(struct findings *f, const char *root, const struct config *c, unsigned port);

#endif
