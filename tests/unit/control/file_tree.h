/* SPDX-License-Identifier: BSD-3-Clause */
/* A folder full of files that a test makes, and takes away as a whole. After cmocka.h. */
#ifndef ROOKERY_TESTS_CONTROL_FILE_TREE_H
#define ROOKERY_TESTS_CONTROL_FILE_TREE_H

#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Makes the folders on the way, too. */
static inline void
tree_put(const char *root, const char *path, const char *content)
{
	char full[512];
	snprintf(full, sizeof(full), "%s%s", root, path);
	for (char *p = strchr(full + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		mkdir(full, 0700);
		*p = '/';
	}
	FILE *out = fopen(full, "w");
	assert_non_null(out);
	fputs(content, out);
	fclose(out);
}

/* A symbolic link, in the place of another that may be there. */
static inline void
tree_point(const char *root, const char *path, const char *target)
{
	char full[512];
	snprintf(full, sizeof(full), "%s%s", root, path);
	unlink(full);
	assert_int_equal(symlink(target, full), 0);
}

static inline void
tree_drop(const char *root, const char *path)
{
	char full[512];
	snprintf(full, sizeof(full), "%s%s", root, path);
	assert_int_equal(remove(full), 0);
}

static inline int
tree_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* All of it. */
static inline void
tree_remove(const char *root)
{
	nftw(root, tree_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

#endif
