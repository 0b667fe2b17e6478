/* SPDX-License-Identifier: BSD-3-Clause */
/* The control plane, measured by a program of its own (login.c). */
#include "rows.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LOGIN_ROUNDS 9u

/* Beside this program, in bench/. */
static FILE *
login_start(void)
{
	char self[PATH_MAX], command[2 * PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n <= 0)
		return NULL;
	self[n] = '\0';
	slash = strrchr(self, '/');
	if (slash == NULL)
		return NULL;
	*slash = '\0';
	snprintf(command, sizeof(command), "'%s/bench/bench-login' '%s' %u", self, options.dir, LOGIN_ROUNDS);
	return popen(command, "r");
}

void
rows_control(void)
{
	struct summary s;
	double alone;
	FILE *f;

	if (!row_wanted("login_full"))
		return;
	f = login_start();
	if (f == NULL || fscanf(f, "%lf %lf %lf %lf", &s.median, &s.min, &s.max, &alone) != 4) {
		if (f != NULL)
			pclose(f);
		row_absent("login_full", "bench/bench-login did not run; is it built?");
		return;
	}
	pclose(f);
	row_add("login_full", s, "logins/s", alone, 0.9 * alone, false,
		"control on one core, store and commits included; reference: the X25519 operations alone");
}
