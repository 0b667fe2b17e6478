/* SPDX-License-Identifier: BSD-3-Clause */
/* A folder full of files that a test makes, and takes away as a whole. After cmocka.h. */
#ifndef ROOKERY_TESTS_UNIT_FILE_TREE_H
#define ROOKERY_TESTS_UNIT_FILE_TREE_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* An empty folder below /tmp, whose name begins so, in root of 32 bytes. */
static inline void
tree_make(char *root, const char *name)
{
	assert_true(snprintf(root, 32, "/tmp/%s.XXXXXX", name) < 32);
	assert_non_null(mkdtemp(root));
}

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

/* A NIC with a driver, in IOMMU group 17. */
static inline void
tree_put_nic(const char *root, const char *address, const char *driver)
{
	static const char group[] = "../../../../kernel/iommu_groups/17";
	char path[128], target[64];
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/class", address);
	tree_put(root, path, "0x020000\n");
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver", address);
	snprintf(target, sizeof(target), "../../drivers/%s", driver);
	tree_point(root, path, target);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", address);
	tree_point(root, path, group);
}

/* All of it. */
static inline void
tree_remove(const char *root)
{
	nftw(root, tree_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

#endif
