// SPDX-License-Identifier: BSD-3-Clause
#include "key.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_HEX 64

static int
fail(char *error, size_t cap, const char *path, const char *reason, int rc)
{
	snprintf(error, cap, "%s: %s", path, reason);
	return rc;
}

static int
key_read(struct handshake_keypair *key, int fd, const char *path, char *error, size_t cap)
{
	uint8_t secret[HANDSHAKE_KEY];
	char text[KEY_HEX + 2];
	char reason[256];
	struct stat st;
	size_t len = 0;
	ssize_t got;
	bool good;

	if (fstat(fd, &st) < 0)
		return fail(error, cap, path, strerror(errno), -errno);
	if (!S_ISREG(st.st_mode) || (st.st_mode & 077) != 0 || (st.st_uid != geteuid() && st.st_uid != 0)) {
		snprintf(reason, sizeof(reason),
			 "others may read the server key (owner %lu, mode %04o): `chown %lu FILE; chmod 600 FILE`, or remove it "
			 "if others have: clients then have to accept a new one",
			 (unsigned long)st.st_uid, (unsigned)st.st_mode & 07777, (unsigned long)geteuid());
		return fail(error, cap, path, reason, -EPERM);
	}
	got = read(fd, text, sizeof(text));
	if (got < 0)
		return fail(error, cap, path, strerror(errno), -errno);
	good = got >= KEY_HEX && got <= KEY_HEX + 1 && (got == KEY_HEX || text[KEY_HEX] == '\n') &&
	       sodium_hex2bin(secret, sizeof(secret), text, KEY_HEX, NULL, &len, NULL) == 0 &&
	       len == sizeof(secret);
	if (good)
		handshake_keypair_from_secret(key, secret);
	sodium_memzero(text, sizeof(text));
	sodium_memzero(secret, sizeof(secret));
	if (!good)
		return fail(error, cap, path,
			    "not a server key (64 hex digits); restore it from a backup, or remove it: "
			    "clients then have to accept a new one",
			    -EINVAL);
	return 0;
}

static int
file_sync(int fd, const char *path)
{
	char copy[PATH_MAX];
	int dir, rc;

	if (fsync(fd) < 0)
		return -errno;
	snprintf(copy, sizeof(copy), "%s", path);
	dir = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	rc = fsync(dir) < 0 ? -errno : 0;
	close(dir);
	return rc;
}

/* Complete under another name first: a key that was lost half-written would lock out every client that pinned
 * it. */
static int
key_make(struct handshake_keypair *key, const char *path, char *error, size_t cap)
{
	char temporary[PATH_MAX], text[KEY_HEX + 2];
	int fd, rc = 0;

	if ((size_t)snprintf(temporary, sizeof(temporary), "%s.new", path) >= sizeof(temporary))
		return fail(error, cap, path, "the path is too long", -ENAMETOOLONG);
	unlink(temporary);
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail(error, cap, temporary, strerror(errno), -errno);
	handshake_keypair_generate(key);
	sodium_bin2hex(text, KEY_HEX + 1, key->secret, sizeof(key->secret));
	text[KEY_HEX] = '\n';
	errno = EIO;
	if (write(fd, text, KEY_HEX + 1) != KEY_HEX + 1 || fsync(fd) < 0 || rename(temporary, path) < 0)
		rc = -errno;
	if (rc == 0)
		rc = file_sync(fd, path);
	sodium_memzero(text, sizeof(text));
	close(fd);
	if (rc < 0) {
		unlink(temporary);
		return fail(error, cap, path, strerror(-rc), rc);
	}
	return 0;
}

int
key_load(struct handshake_keypair *key, const char *path, char *error, size_t cap)
{
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int rc;

	if (fd < 0 && errno == ENOENT)
		return key_make(key, path, error, cap);
	if (fd < 0)
		return fail(error, cap, path, strerror(errno), -errno);
	rc = key_read(key, fd, path, error, cap);
	close(fd);
	return rc;
}
