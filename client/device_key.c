/* SPDX-License-Identifier: BSD-3-Clause */
/* The device's secret key in a file of its own. */
#include "rookery/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One line: 64 hexadecimal digits. */
#define LINE_SIZE (2 * RK_KEY_SIZE + 1)

int
rk_device_key_generate(uint8_t secret[RK_KEY_SIZE])
{
	if (sodium_init() < 0)
		return -EIO;
	randombytes_buf(secret, RK_KEY_SIZE);
	return 0;
}

static int
read_key(int fd, uint8_t *secret)
{
	char line[LINE_SIZE + 1] = "";
	size_t len = 0, done = 0;
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EPROTO;
	if ((st.st_mode & 077) != 0)
		return -EACCES;
	while (done < sizeof(line) && (n = read(fd, line + done, sizeof(line) - done)) != 0) {
		if (n < 0 && errno != EINTR)
			return -errno;
		done += n > 0 ? (size_t)n : 0;
	}
	if (done < LINE_SIZE - 1 || (done > LINE_SIZE - 1 && line[LINE_SIZE - 1] != '\n') ||
	    done > LINE_SIZE ||
	    sodium_hex2bin(secret, RK_KEY_SIZE, line, LINE_SIZE - 1, NULL, &len, NULL) != 0 ||
	    len != RK_KEY_SIZE)
		len = 0;
	sodium_memzero(line, sizeof(line));
	return len == RK_KEY_SIZE ? 0 : -EPROTO;
}

static int
write_all(int fd, const char *p, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
	return fsync(fd) < 0 ? -errno : 0;
}

/* Under another name first: a crash, or a full disk, leaves no half key behind. Of two processes at once one
 * wins. */
static int
create_key(const char *path, uint8_t *secret)
{
	char line[LINE_SIZE + 1], temporary[4096];
	int fd, r;

	if (snprintf(temporary, sizeof(temporary), "%s.%ld", path, (long)getpid()) >= (int)sizeof(temporary))
		return -ENAMETOOLONG;
	r = rk_device_key_generate(secret);
	if (r < 0)
		return r;
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	sodium_bin2hex(line, sizeof(line), secret, RK_KEY_SIZE);
	line[LINE_SIZE - 1] = '\n';
	r = write_all(fd, line, LINE_SIZE);
	sodium_memzero(line, sizeof(line));
	close(fd);
	if (r == 0 && link(temporary, path) < 0)
		r = -errno;
	unlink(temporary);
	return r;
}

int
rk_device_key_file(const char *path, uint8_t secret[RK_KEY_SIZE])
{
	int fd, r;

	if (sodium_init() < 0)
		return -EIO;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		r = create_key(path, secret);
		if (r != -EEXIST)
			return r;
		fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	if (fd < 0)
		return -errno;
	r = read_key(fd, secret);
	close(fd);
	return r;
}
