// SPDX-License-Identifier: BSD-3-Clause
/* What is logged and how; log.c writes. Apart from it, so that tests replace log_write alone. */
#include "shared/log_settings.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define AREA_NAME_MAX 24

struct log_settings log_settings = {.program = "rookery"};
static _Atomic enum log_level log_threshold = LOG_LEVEL_INFO;

/* Areas with a level of their own; one is written before it is counted. */
static struct {
	char name[AREA_NAME_MAX];
	_Atomic enum log_level level;
} areas[LOG_AREAS_MAX];
static _Atomic unsigned area_count;

const char *const log_level_name[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARNING] = "warning",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

/* systemd says by device and inode which stream it connected to the journal: stderr may be another by now. */
static bool
is_journal(void)
{
	const char *text = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return text != NULL && sscanf(text, "%llu:%llu", &device, &inode) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
	       st.st_dev == device && st.st_ino == inode;
}

void
log_open(const char *program, enum log_level level)
{
	log_settings.program = program;
	log_threshold = level;
	log_settings.journal = is_journal();
}

void
log_set_format(enum log_format format)
{
	log_settings.format = format;
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
	if (count == LOG_AREAS_MAX)
		return -ENOSPC;
	strcpy(areas[count].name, area);
	areas[count].level = level;
	area_count = count + 1;
	return 0;
}

int
log_set_area(const char *text, bool set)
{
	const char *equals = strchr(text, '=');
	char area[AREA_NAME_MAX];
	size_t n = equals == NULL ? 0 : (size_t)(equals - text);

	if (n == 0 || n >= sizeof(area))
		return -EINVAL;
	memcpy(area, text, n);
	area[n] = '\0';
	for (unsigned i = 0; i < sizeof(log_level_name) / sizeof(log_level_name[0]); i++)
		if (strcmp(equals + 1, log_level_name[i]) == 0)
			return set ? log_set_level(area, (enum log_level)i) : 0;
	return -EINVAL;
}

bool
log_level_at(unsigned index, const char **area, enum log_level *level)
{
	if (index > area_count)
		return false;
	*area = index == 0 ? "" : areas[index - 1].name;
	*level = index == 0 ? log_threshold : areas[index - 1].level;
	return true;
}

enum log_format
log_format_now(void)
{
	return log_settings.format;
}

enum log_level
log_threshold_of(const char *area)
{
	unsigned count = area_count;

	for (unsigned i = 0; i < count; i++)
		if (strcmp(areas[i].name, area) == 0)
			return areas[i].level;
	return log_threshold;
}
