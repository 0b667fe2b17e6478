/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rookctl host init and fini: from what the configuration needs and what the machine has follows a plan, a list of steps
 * (host_plan.c). Each is written to a record before it is done, with what was there before; fini takes the record back from its
 * end (host_steps.c). The record is in /run: a boot takes everything back as well.
 */
#ifndef ROOKERY_CONTROL_CLI_HOST_SETUP_H
#define ROOKERY_CONTROL_CLI_HOST_SETUP_H

#include "control/cli/host.h"

#include <jansson.h>

#define HOST_RECORD "/run/rookery-host.json"
#define STEPS_MAX 64

enum step_kind {
	STEP_LOAD,  /* a kernel module: target */
	STEP_WRITE, /* value into the file target */
	STEP_MOUNT, /* hugetlbfs on target */
	STEP_BIND,  /* the PCI device target to the driver value; interface: of the kernel, brought up again by fini */
	STEP_OWN,   /* the file target to value, "uid:gid" */
};

struct step {
	enum step_kind kind;
	char target[160];
	char value[64];
	char before[64]; /* "" when there was none */
	char interface[32];
	unsigned queues; /* STEP_BIND: of the interface; for host check */
};

struct steps {
	struct step list[STEPS_MAX];
	unsigned count;
};

struct host_wish {
	bool force;      /* also a NIC whose interface is in use */
	unsigned uid, gid; /* the server's */
};

/* ---- host_plan.c --------------------------------------------------------------------------- */

/* Steps that are still missing. Returns 0, or -errno with a line in error when the machine cannot be made ready. */
int host_plan(struct steps *plan, const char *root, const struct config *c, const struct host_wish *wish, char *error, size_t cap);

/* MiB that the dataplane takes on a node. */
unsigned host_memory_mb(const char *root, const struct config *c, int node);
/* MiB of huge pages on a node; -1: no such node. */
long host_huge_mb(const char *root, int node, bool only_free);

/* ---- host_steps.c -------------------------------------------------------------------------- */

/* The step as commands of a shell, one per line without a newline at the end; undo: those that take it back. */
void step_commands(const struct step *s, bool undo, char *buf, size_t cap);
/* Returns 0, or -errno with a line in error. Undoing what is no longer there does nothing; what somebody else has changed since is
 * left, with a line in error and 1. */
int step_do(const struct step *s, const char *root, char *error, size_t cap);
int step_undo(const struct step *s, const char *root, char *error, size_t cap);

/* -EBUSY with a line in error: a process uses what would be taken away. */
int steps_in_use(const struct steps *record, const char *root, char *error, size_t cap);

/* The record; none is an empty list. */
int steps_load(struct steps *record, const char *root, char *error, size_t cap);
int steps_save(const struct steps *record, const char *root, char *error, size_t cap);

#endif
