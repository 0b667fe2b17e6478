/* SPDX-License-Identifier: BSD-3-Clause */
/* Rows measured by programs of their own, which lie in bench/ beside this one: control's logins (login.c), ports on a veth pair
 * (veth.c). */
#include "rows.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CHILD_SECONDS 300u /* none takes half of it */
#define LOGIN_ROUNDS 9u
#define VETH_ROUNDS 7u
#define VETH_SECONDS 2u

/* Where this program lies, into at[PATH_MAX]. */
static bool
folder(char *at)
{
	ssize_t n = readlink("/proc/self/exe", at, PATH_MAX - 1);
	char *slash;

	if (n <= 0)
		return false;
	at[n] = '\0';
	slash = strrchr(at, '/');
	if (slash == NULL)
		return false;
	*slash = '\0';
	return true;
}

static void
login_row(const char *programs)
{
	char command[3 * PATH_MAX];
	struct summary s, share;
	double alone;
	bool ok;
	FILE *f;

	if (!row_wanted("login_full"))
		return;
	snprintf(command, sizeof(command), "timeout %u '%s/bench/bench-login' '%s' %u", CHILD_SECONDS, programs, options.dir, LOGIN_ROUNDS);
	f = popen(command, "r");
	ok = f != NULL && fscanf(f, "%lf %lf %lf %lf %lf %lf %lf", &s.median, &s.min, &s.max, &alone, &share.median, &share.min, &share.max) == 7;
	if (f != NULL)
		pclose(f);
	if (!ok) {
		row_absent("login_full", "logins/s", NAN, "bench/bench-login did not run; is it built?");
		return;
	}
	row_add("login_full", s, "logins/s", alone, 0.9 * alone, false,
		"control on one core, store and commits included; reference: the X25519 operations alone");
	figure_add("login_share", share, "of what X25519 alone allows", 0, "the same, round by round: both right after each other on one core");
}

static void
veth_row(const char *programs)
{
	struct summary port[3], ratio[3];
	double per_second[3];
	char command[4 * PATH_MAX], name[3][32];
	unsigned n = 0;
	FILE *f;

	if (!row_wanted("veth_vs_kernel"))
		return;
	if (geteuid() != 0) {
		row_absent("veth_vs_kernel", "x", 2.0, "needs root, for network namespaces");
		return;
	}
	snprintf(command, sizeof(command), "timeout %u '%s/bench/bench-veth' '%s' %u %u 2>'%s/veth.log'", CHILD_SECONDS, programs, programs, VETH_ROUNDS,
		 VETH_SECONDS, options.dir);
	f = popen(command, "r");
	while (f != NULL && n < 3 &&
	       fscanf(f, "%31s %lf %lf %lf %lf %lf %lf %lf", name[n], &port[n].median, &port[n].min, &port[n].max, &per_second[n],
		      &ratio[n].median, &ratio[n].min, &ratio[n].max) == 8)
		n++;
	if (f != NULL)
		pclose(f);
	if (n < 3) {
		row_absent("veth_vs_kernel", "x", 2.0, "bench/bench-veth did not run: see veth.log beside the figures");
		return;
	}
	for (unsigned i = 0; i < 3; i++) {
		char row[64];

		snprintf(row, sizeof(row), "veth_%.31s", name[i]);
		figure_add(row, port[i], "messages/CPU s", port[0].median, "whole lives of 256-byte messages, all CPU of both sides; reference: socket");
	}
	row_add("veth_vs_kernel", ratio[2], "x", 0, 2.0, false,
		"AF_XDP against kernel sockets on the same veth pair, messages per CPU second, in turns");
}

void
rows_children(void)
{
	char programs[PATH_MAX];

	if (!folder(programs))
		return;
	login_row(programs);
	veth_row(programs);
}
