/* SPDX-License-Identifier: BSD-3-Clause */
#include "shared/account.h"

#include <cap-ng.h>
#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <unistd.h>

#define UID_MAX UINT32_MAX

/* Does this user namespace know more ids than root's own? */
static bool
ids_mapped(const char *path)
{
	FILE *f = fopen(path, "re");
	uint64_t inside, outside, count, all = 0;

	if (f == NULL)
		return false;
	while (fscanf(f, "%" SCNu64 " %" SCNu64 " %" SCNu64, &inside, &outside, &count) == 3)
		all += count;
	fclose(f);
	return all > 65534; /* up to nobody */
}

bool
account_changeable(void)
{
	static const unsigned needed[] = {CAP_SETUID, CAP_SETGID, CAP_CHOWN};

	if (geteuid() != 0 || capng_get_caps_process() != 0)
		return false;
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (!capng_have_capability(CAPNG_EFFECTIVE, needed[i]))
			return false;
	return ids_mapped("/proc/self/uid_map") && ids_mapped("/proc/self/gid_map");
}

static bool
number_parse(const char *text, uid_t *uid)
{
	char *end;
	unsigned long value;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	value = strtoul(text, &end, 10);
	if (*end != '\0' || errno != 0 || value >= UID_MAX) /* the last one stands for none */
		return false;
	*uid = (uid_t)value;
	return true;
}

static bool
account_fill(struct account *a, const struct passwd *pw)
{
	if (pw == NULL)
		return false;
	a->uid = pw->pw_uid;
	a->gid = pw->pw_gid;
	snprintf(a->name, sizeof(a->name), "%s", pw->pw_name);
	return true;
}

static bool
account_default(struct account *a)
{
	if (account_fill(a, getpwnam(ACCOUNT_PREFERRED)))
		return true;
	a->fallback = true;
	return account_fill(a, getpwnam(ACCOUNT_FALLBACK));
}

int
account_find(struct account *a, const char *user, char *error, size_t cap)
{
	uid_t uid;
	bool found;

	memset(a, 0, sizeof(*a));
	a->uid = geteuid();
	a->gid = getegid();
	if (!account_changeable())
		return 0;
	if (user == NULL || user[0] == '\0') {
		found = account_default(a);
		user = ACCOUNT_PREFERRED;
	} else if (number_parse(user, &uid)) {
		found = true;
		if (!account_fill(a, getpwuid(uid))) {
			a->uid = uid;
			a->gid = uid;
			snprintf(a->name, sizeof(a->name), "%lu", (unsigned long)uid);
		}
	} else {
		found = account_fill(a, getpwnam(user));
	}
	if (!found) {
		snprintf(error, cap,
			 "security.user: there is no account \"%s\"; make it (useradd --system --shell "
			 "/usr/sbin/nologin %s), or name another",
			 user, user);
		return -ENOENT;
	}
	a->change = a->uid != 0;
	return 0;
}

int
account_death_signal(void)
{
	int number = 0;

	return prctl(PR_GET_PDEATHSIG, &number) == 0 ? number : 0;
}

static void
files_as(uid_t uid, gid_t gid)
{
	int number = account_death_signal();

	setfsgid(gid);
	setfsuid(uid);
	/* The kernel forgets it with every change of credentials; the launcher's death must still be ours. */
	if (number != 0)
		prctl(PR_SET_PDEATHSIG, number);
}

void
account_files_as(const struct account *a)
{
	if (a->change)
		files_as(a->uid, a->gid);
}

void
account_files_own(void)
{
	files_as(geteuid(), getegid());
}
