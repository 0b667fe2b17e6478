// SPDX-License-Identifier: BSD-3-Clause
#include "shared/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define AREAS_MAX 16
#define AREA_NAME_MAX 24

static const char *log_program = "rookery";
static _Atomic enum log_level log_threshold = LOG_LEVEL_INFO;

/* Areas with a level of their own; one is written before it is counted. */
static struct {
	char name[AREA_NAME_MAX];
	_Atomic enum log_level level;
} areas[AREAS_MAX];
static _Atomic unsigned area_count;

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

int
log_set_level(const char *area, enum log_level level)
{
	unsigned count = area_count;

	if (area == NULL) {
		area_count = 0;
		log_threshold = level;
		return 0;
	}
	if (strlen(area) >= AREA_NAME_MAX)
		return -EINVAL;
	for (unsigned i = 0; i < count; i++) {
		if (strcmp(areas[i].name, area) == 0) {
			areas[i].level = level;
			return 0;
		}
	}
	if (count == AREAS_MAX)
		return -ENOSPC;
	strcpy(areas[count].name, area);
	areas[count].level = level;
	area_count = count + 1;
	return 0;
}

static enum log_level
threshold_of(const char *area)
{
	unsigned count = area_count;

	for (unsigned i = 0; i < count; i++)
		if (strcmp(areas[i].name, area) == 0)
			return areas[i].level;
	return log_threshold;
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

	if (level > threshold_of(area))
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
