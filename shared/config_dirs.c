// SPDX-License-Identifier: BSD-3-Clause
/* The directories of the server: made, private, and the account's that it runs as. */
#include "shared/config.h"

#include "shared/account.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FALLBACK_UID 65534 /* nobody, everywhere */

struct dirs {
	const struct account *account; /* NULL: no change */
	char *error;
	size_t cap;
};

/* ---- giving to the account -------------------------------------------------------------- */

/* What a server left that root or the fallback account ran; never what belongs to somebody else. */
static bool
may_give(const struct stat *st)
{
	return st->st_uid == 0 || st->st_uid == FALLBACK_UID;
}

/* The account owns the directory and may have put anything under this name: the file is held by a descriptor, no link is
 * followed, and a second name of some other file of root's is left alone. */
static void
give_file(int dir, const char *name, const struct account *a)
{
	int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 && may_give(&st) && st.st_uid != a->uid)
		(void)!fchownat(fd, "", a->uid, a->gid, AT_EMPTY_PATH);
	close(fd);
}

static void
give_files(int dir, const struct account *a)
{
	static const char *const names[] = {
		"rookery.db", "rookery.db-wal", "rookery.db-shm", "server.key", "rookery.lock", "dataplane.lock",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		give_file(dir, names[i], a);
}

/* A directory that was there before and is root's: ours if a server ran in it, or if it is still empty. */
static bool
is_ours(int dir)
{
	static const char *const names[] = {"rookery.db", "server.key", "rookery.lock", "dataplane.lock"};
	const struct dirent *e;
	struct stat st;
	bool empty = true;
	DIR *list;
	int fd;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (fstatat(dir, names[i], &st, AT_SYMLINK_NOFOLLOW) == 0)
			return true;
	fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	list = fd < 0 ? NULL : fdopendir(fd);
	if (list == NULL) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	while (empty && (e = readdir(list)) != NULL)
		empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
	closedir(list);
	return empty;
}

static int
dir_give(const struct dirs *d, const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	int rc = 0;

	/* A link: who made it has to see to the ownership of what it leads to. */
	if (fd < 0)
		return errno == ELOOP || errno == ENOTDIR ? 0 : -errno;
	if (fstat(fd, &st) < 0)
		rc = -errno;
	else if (st.st_uid != d->account->uid && may_give(&st) && is_ours(fd) &&
		 fchown(fd, d->account->uid, d->account->gid) < 0)
		rc = -errno;
	if (rc == 0)
		give_files(fd, d->account);
	close(fd);
	return rc;
}

/* ---- making ------------------------------------------------------------------------------- */

/* mkdir -p; directories that are made are for the owner alone. */
static int
dir_make(const struct dirs *d, const char *key, const char *dir)
{
	char path[4096];
	struct stat st;
	size_t n = strlen(dir);

	if (n >= sizeof(path)) {
		snprintf(d->error, d->cap, "%s: \"%.64s...\" is too long", key, dir);
		return -ENAMETOOLONG;
	}
	memcpy(path, dir, n + 1);
	for (size_t i = 1; i <= n; i++) {
		char c = path[i];

		if (c != '/' && c != '\0')
			continue;
		path[i] = '\0';
		if (mkdir(path, 0700) == 0) {
			if (d->account != NULL && lchown(path, d->account->uid, d->account->gid) < 0) {
				int rc = -errno;

				snprintf(d->error, d->cap, "%s: cannot give %s to %s: %s", key, path, d->account->name,
					 strerror(-rc));
				return rc;
			}
		} else if (errno != EEXIST && (errno != EACCES || stat(path, &st) < 0)) {
			int rc = -errno;

			snprintf(d->error, d->cap,
				 "%s: cannot make %s: %s; choose another with --state or in the configuration", key,
				 path, strerror(-rc));
			return rc;
		}
		path[i] = c;
	}
	if (stat(dir, &st) < 0 || !S_ISDIR(st.st_mode)) {
		snprintf(d->error, d->cap, "%s: %s is not a directory", key, dir);
		return -ENOTDIR;
	}
	return 0;
}

/* Whoever can write into it could put a key or rings of their own there before we do. */
static int
dir_check(const struct dirs *d, const char *key, const char *dir)
{
	struct stat st;
	int rc = 0;

	if (stat(dir, &st) < 0)
		rc = -errno;
	else if ((st.st_mode & 022) != 0) {
		snprintf(d->error, d->cap,
			 "%s: others may write into %s; `chmod go-w %s`, or choose a directory of its own", key, dir, dir);
		return -EPERM;
	}
	/* With the rights to files that we will have; this looks at the file system's ids. */
	if (rc == 0 && faccessat(AT_FDCWD, dir, R_OK | W_OK | X_OK, AT_EACCESS) < 0)
		rc = -errno;
	if (rc == 0)
		return 0;
	if (d->account != NULL)
		snprintf(d->error, d->cap,
			 "%s: %s cannot be used by the account %s, as which the server runs: %s; `chown %s %s` and open "
			 "the directories above it, or choose another (--state /var/lib/rookery)",
			 key, dir, d->account->name, strerror(-rc), d->account->name, dir);
	else
		snprintf(d->error, d->cap, "%s: %s is not writable: %s; run as its owner or choose another directory", key,
			 dir, strerror(-rc));
	return rc;
}

static int
dir_prepare(const struct dirs *d, const char *key, const char *dir)
{
	int rc = dir_make(d, key, dir);

	if (rc == 0 && d->account != NULL)
		rc = dir_give(d, dir);
	if (rc < 0 && d->error[0] == '\0')
		snprintf(d->error, d->cap, "%s: %s: %s", key, dir, strerror(-rc));
	if (rc < 0)
		return rc;
	if (d->account != NULL)
		account_files_as(d->account);
	rc = dir_check(d, key, dir);
	if (d->account != NULL)
		account_files_own();
	return rc;
}

int
config_make_dirs(const struct config *c, const struct account *account, char *error, size_t error_cap)
{
	struct dirs d = {.account = account != NULL && account->change ? account : NULL, .error = error, .cap = error_cap};
	int rc;

	error[0] = '\0';
	rc = dir_prepare(&d, "state_dir", c->state_dir);
	return rc < 0 ? rc : dir_prepare(&d, "runtime_dir", c->runtime_dir);
}
