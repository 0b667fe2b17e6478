/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A swarm: many clients of librookery in a few processes. Each client keeps a log of what it sent, what it was told and what it
 * showed, written before anything follows from it, so that it is complete up to a kill -9. The checker reads the logs of all clients
 * together and says which promise was broken.
 *
 * One line each, beginning with microseconds of CLOCK_MONOTONIC:
 *
 *	B                       a life of this client begins
 *	T n to                  text n for `to` is about to be given to the library (n counts from 1 for each recipient)
 *	K n local               the library took it over
 *	S local id to           it has this message id
 *	R local id level to     receipt: accepted, stored, delivered
 *	F local id reason to    refused, for good
 *	M id from n again       shown; again: 1 if marked as redelivered
 *	L                       logged in
 *	D | U                   disconnected, resumed
 *	C reason                the session was ended
 *	X pending logins epochs the client ends by order, with so many texts unanswered
 */
#ifndef ROOKERY_TESTS_E2E_SWARM_H
#define ROOKERY_TESTS_E2E_SWARM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define SWARM_PARTNERS 4 /* of each client, in a ring: two before it, two after it */
#define SWARM_MIN 16     /* clients: so that the partners differ */

/* Partner 0..3 of client i of n. */
unsigned swarm_partner(unsigned i, unsigned n, unsigned which);

/* The program of a process with clients first..first+count-1 of total: argv is clients SERVER DIRECTORY TOTAL FIRST COUNT. Reads
 * commands on standard input: "quota N" (each client may have sent N texts in all its lives), "quit". Prints
 * "progress TAKEN SHOWN PENDING READY" whenever that changed, where READY counts clients that know all their partners. */
int swarm_clients_main(int argc, char **argv);

/* ---- checker ------------------------------------------------------------------------ */

struct swarm_result {
	uint64_t clients, lives, logins, closed;
	uint64_t sent;      /* texts taken over by the library */
	uint64_t stored;    /* told stored, and not delivered later */
	uint64_t delivered; /* told delivered */
	uint64_t refused;
	uint64_t unanswered; /* neither */
	uint64_t shown;     /* different messages */
	uint64_t redelivered; /* shown again, marked, after a kill */
	/* what must not be */
	uint64_t lost;      /* confirmed, never shown */
	uint64_t twice;     /* shown again without the mark, or without a kill before */
	uint64_t disorder;  /* shown after a later one of its conversation */
	uint64_t early;     /* told delivered before it was shown */
	uint64_t changed;   /* stored or delivered, and refused as well; or shown though refused */
	uint64_t invented;  /* shown, never sent, or to somebody else */
	uint64_t malformed; /* lines that are no log */
};

/* Reads DIRECTORY/u0.log ... u<clients-1>.log. Prints the first findings to out (may be NULL). Returns 0, or a negative errno when a
 * log cannot be read. */
int swarm_check(const char *directory, unsigned clients, struct swarm_result *r, FILE *out);
/* Nothing that must not be. unanswered is the caller's: it depends on whether everybody had time to end. */
bool swarm_promises_kept(const struct swarm_result *r);

#endif
