/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/cli/host.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool
path_of(char path[PATH_MAX], const char *root, const char *format, va_list args)
{
	size_t len = (size_t)snprintf(path, PATH_MAX, "%s", root);
	return len < PATH_MAX && vsnprintf(path + len, PATH_MAX - len, format, args) < (int)(PATH_MAX - len);
}

bool
host_read(const char *root, char *buf, size_t cap, const char *format, ...)
{
	char path[PATH_MAX];
	va_list args;
	va_start(args, format);
	bool fits = path_of(path, root, format, args);
	va_end(args);
	FILE *in = fits ? fopen(path, "re") : NULL;
	buf[0] = '\0';
	if (!in)
		return false;
	bool done = fgets(buf, (int)cap, in);
	fclose(in);
	buf[strcspn(buf, "\n")] = '\0';
	return done;
}

bool
host_exists(const char *root, const char *format, ...)
{
	char path[PATH_MAX];
	va_list args;
	va_start(args, format);
	bool fits = path_of(path, root, format, args);
	va_end(args);
	return fits && access(path, F_OK) == 0;
}

bool
host_link(const char *root, char *buf, size_t cap, const char *format, ...)
{
	char path[PATH_MAX], target[PATH_MAX];
	va_list args;
	va_start(args, format);
	bool fits = path_of(path, root, format, args);
	va_end(args);
	ssize_t n = fits ? readlink(path, target, sizeof(target) - 1) : -1;
	buf[0] = '\0';
	if (n < 0)
		return false;
	target[n] = '\0';
	const char *slash = strrchr(target, '/');
	snprintf(buf, cap, "%s", slash ? slash + 1 : target);
	return true;
}

bool
host_in_list(const char *list, unsigned n)
{
	while (*list) {
		char *end;
		unsigned long first = strtoul(list, &end, 10), last = first;
		if (end == list)
			return false;
		if (*end == '-')
			last = strtoul(end + 1, &end, 10);
		if (n >= first && n <= last)
			return true;
		list = *end == ',' ? end + 1 : "";
	}
	return false;
}
