// SPDX-License-Identifier: BSD-3-Clause
#include "shared/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static const char *log_program = "rookery";
static enum log_level log_threshold = LOG_LEVEL_INFO;

static const char *const level_name[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARNING] = "warning",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

void
log_open(const char *program, enum log_level level)
{
	log_program = program;
	log_threshold = level;
}

/* Names and addresses from outside end up in values: a control character must not forge a second line. */
static void
make_printable(char *text)
{
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x20 || c == 0x7f)
			*text = '?';
	}
}

void
log_write(enum log_level level, const char *area, const char *message, const char *fields, ...)
{
	char line[2048];
	char when[32];
	struct timespec now;
	struct tm tm;
	va_list args;
	size_t len;
	int n;

	if (level > log_threshold)
		return;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
	n = snprintf(line, sizeof(line), "ts=%s.%03ldZ level=%s program=%s area=%s msg=\"%s\"", when,
		     now.tv_nsec / 1000000, level_name[level], log_program, area, message);
	if (n < 0)
		return;
	len = (size_t)n < sizeof(line) - 2 ? (size_t)n : sizeof(line) - 2;

	if (fields[0] != '\0' && len < sizeof(line) - 3) {
		line[len++] = ' ';
		va_start(args, fields);
		n = vsnprintf(line + len, sizeof(line) - 1 - len, fields, args);
		va_end(args);
		if (n < 0)
			n = 0;
		len += (size_t)n < sizeof(line) - 2 - len ? (size_t)n : sizeof(line) - 2 - len;
	}
	line[len] = '\0';
	make_printable(line);
	line[len++] = '\n';

	/* One write: lines of several threads and processes on one stderr do not mix. */
	if (write(STDERR_FILENO, line, len) < 0)
		return;
}
