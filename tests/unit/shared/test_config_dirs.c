/* SPDX-License-Identifier: BSD-3-Clause */
/* The server's directories: private, and the account's that root's server runs as. */
#include "shared/account.h"
#include "shared/config.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define NOBODY 65534
#define ROOT_TESTS 6
#define STRANGER 54321

static const struct account account = {.change = true, .uid = 12345, .gid = 12345, .name = "12345"};
static char dir[64], state[96], error[768];
static struct config *config;

static int
set_up(void **s)
{
	(void)s;
	strcpy(dir, "/tmp/rookery-test-dirs-XXXXXX");
	if (!mkdtemp(dir) || chmod(dir, 0755) != 0)
		return -1;
	snprintf(state, sizeof(state), "%s/state", dir);
	return config_load(&config, NULL, state, error, sizeof(error));
}

static int
remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int
tear_down(void **s)
{
	(void)s;
	config_free(config);
	return nftw(dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *
below(const char *name)
{
	static char path[192];

	snprintf(path, sizeof(path), "%s/%s", state, name);
	return path;
}

static void
make_file(const char *name, uid_t owner)
{
	int fd = open(below(name), O_WRONLY | O_CREAT | O_EXCL, 0600);

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(lchown(below(name), owner, owner), 0);
}

static uid_t
owner(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st.st_uid;
}

static int
prepare(void)
{
	return config_make_dirs(config, &account, error, sizeof(error));
}

static void
test_made_for_the_account(void **s)
{
	struct stat st;

	(void)s;
	assert_int_equal(prepare(), 0);
	assert_int_equal(stat(state, &st), 0);
	assert_int_equal(st.st_uid, account.uid);
	assert_int_equal(st.st_gid, account.gid);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(owner(below("run")), account.uid);
	assert_int_equal(prepare(), 0);
}

static void
test_an_empty_directory_of_root_is_taken(void **s)
{
	(void)s;
	assert_int_equal(mkdir(state, 0700), 0);
	assert_int_equal(prepare(), 0);
	assert_int_equal(owner(state), account.uid);
}

/* A server ran here as root, or as nobody, before. */
static void
test_files_are_taken_over(void **s)
{
	(void)s;
	assert_int_equal(mkdir(state, 0700), 0);
	make_file("rookery.db", 0);
	make_file("server.key", NOBODY);
	make_file("other", 0);
	assert_int_equal(prepare(), 0);
	assert_int_equal(owner(state), account.uid);
	assert_int_equal(owner(below("rookery.db")), account.uid);
	assert_int_equal(owner(below("server.key")), account.uid);
	assert_int_equal(owner(below("other")), 0);
}

static void
test_somebody_elses_stay(void **s)
{
	(void)s;
	assert_int_equal(mkdir(state, 0700), 0);
	make_file("notes", 0);
	assert_int_equal(prepare(), -EACCES);
	assert_non_null(strstr(error, "account 12345"));
	assert_non_null(strstr(error, "chown"));
	assert_int_equal(owner(state), 0);
	assert_int_equal(chown(state, STRANGER, STRANGER), 0);
	assert_int_equal(prepare(), -EACCES);
	assert_int_equal(owner(state), STRANGER);
}

/* The account owns the directory: what it puts there must not become a way to root's files. */
static void
test_links_are_not_followed(void **s)
{
	char target[96];

	(void)s;
	assert_int_equal(prepare(), 0);
	snprintf(target, sizeof(target), "%s/secret", dir);
	assert_true(close(open(target, O_WRONLY | O_CREAT, 0600)) == 0);
	assert_int_equal(symlink(target, below("rookery.db")), 0);
	assert_int_equal(link(target, below("server.key")), 0);
	assert_int_equal(prepare(), 0);
	assert_int_equal(owner(target), 0);
}

static void
test_a_closed_way_is_refused(void **s)
{
	(void)s;
	assert_int_equal(chmod(dir, 0700), 0);
	assert_int_equal(prepare(), -EACCES);
	assert_non_null(strstr(error, "--state /var/lib/rookery"));
}

static void
test_writable_by_others_is_refused(void **s)
{
	(void)s;
	assert_int_equal(mkdir(state, 0700), 0);
	assert_int_equal(chmod(state, 0770), 0);
	assert_int_equal(config_make_dirs(config, NULL, error, sizeof(error)), -EPERM);
	assert_non_null(strstr(error, "chmod go-w"));
	assert_int_equal(chmod(state, 0701), 0);
	assert_int_equal(config_make_dirs(config, NULL, error, sizeof(error)), 0);
	assert_int_equal(chmod(below("run"), 01777), 0);
	assert_int_equal(config_make_dirs(config, NULL, error, sizeof(error)), -EPERM);
	assert_non_null(strstr(error, "runtime_dir"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_writable_by_others_is_refused, set_up, tear_down),
		/* from here on with root's rights */
		cmocka_unit_test_setup_teardown(test_made_for_the_account, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_an_empty_directory_of_root_is_taken, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_files_are_taken_over, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_somebody_elses_stay, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_links_are_not_followed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_closed_way_is_refused, set_up, tear_down),
	};
	size_t count = sizeof(tests) / sizeof(tests[0]);

	return _cmocka_run_group_tests("tests", tests, account_changeable() ? count : count - ROOT_TESTS, NULL, NULL);
}
