// SPDX-License-Identifier: BSD-3-Clause
/* The hash map, and the server's key file. */
#include "control/key.h"
#include "control/map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEYS 500

/* Against a plain array, through growth and thousands of removals. */
static void
test_map(void **state)
{
	uint32_t random = 1, count = 0, position;
	bool there[KEYS + 1] = {false};
	static char values[KEYS + 1];
	struct map m = {0};
	unsigned seen;

	(void)state;
	assert_null(map_get(&m, 1));
	map_del(&m, 1);
	for (unsigned step = 0; step < 20000; step++) {
		uint64_t key = (random >> 8) % KEYS + 1;

		random = random * 1664525 + 1013904223;
		if (random >> 31) {
			assert_int_equal(map_put(&m, key, &values[key]), 0);
			count += !there[key];
			there[key] = true;
		} else {
			map_del(&m, key);
			count -= there[key];
			there[key] = false;
		}
		assert_int_equal(m.count, count);
		for (uint64_t k = 1; step % 500 == 0 && k <= KEYS; k++)
			assert_ptr_equal(map_get(&m, k), there[k] ? &values[k] : NULL);
	}
	position = seen = 0;
	while (map_next(&m, &position) != NULL)
		seen++;
	assert_int_equal(seen, count);
	map_free(&m);
	assert_null(map_get(&m, 1));
}

static void
file_write(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	fchmod(fd, mode);
	close(fd);
}

static void
test_key(void **state)
{
	char dir[] = "/tmp/rookery-key-XXXXXX", path[64], error[256] = "";
	struct handshake_keypair first, again;
	struct stat st;

	(void)state;
	assert_int_equal(handshake_init(), 0);
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/server.key", dir);
	assert_int_equal(key_load(&first, path, error, sizeof(error)), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(key_load(&again, path, error, sizeof(error)), 0);
	assert_memory_equal(&first, &again, sizeof(first));
	chmod(path, 0640);
	assert_int_equal(key_load(&again, path, error, sizeof(error)), -EPERM);
	assert_non_null(strstr(error, path));
	file_write(path, "not a key\n", 0600);
	assert_int_equal(key_load(&again, path, error, sizeof(error)), -EINVAL);
	file_write(path, "", 0600); /* cut off: never taken for a missing one */
	assert_int_equal(key_load(&again, path, error, sizeof(error)), -EINVAL);
	unlink(path);
	rmdir(dir);
	assert_int_equal(key_load(&again, path, error, sizeof(error)), -ENOENT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_map), cmocka_unit_test(test_key)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
