/* SPDX-License-Identifier: BSD-3-Clause */
/* Whom the server runs as when root started it. */
#ifndef ROOKERY_SHARED_ACCOUNT_H
#define ROOKERY_SHARED_ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define ACCOUNT_PREFERRED "rookery" /* what security.user: "" stands for, if there is such an account */
#define ACCOUNT_FALLBACK "nobody"   /* and otherwise */

struct account {
	bool change;   /* we are root and become uid, gid; otherwise we stay who we are */
	bool fallback; /* nobody, for want of an account of our own */
	uid_t uid;
	gid_t gid;
	char name[64];
};

/* May this process become any other user? Not without root, and not in a container whose root may not. */
bool account_changeable(void);

/* The account for security.user: "" (see above), a name, or a uid. Returns 0, or -errno with a line in error. */
int account_find(struct account *a, const char *user, char *error, size_t cap);

/*
 * The calling thread makes, opens and removes files as a; everything else stays as it is. For root's processes in
 * directories that belong to a, where a might have placed a symbolic link. account_files_own ends it.
 */
void account_files_as(const struct account *a);
void account_files_own(void);

/* The signal that we get when our parent dies; 0: none. */
int account_death_signal(void);

#endif
