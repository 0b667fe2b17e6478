// SPDX-License-Identifier: BSD-3-Clause
/* What is logged and how; log.c writes. Apart from it, so that tests replace log_write alone. */
#include "shared/log_settings.h"

#include "shared/spelling.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct log_settings log_settings = {.program = "rookery"};

#define AREA_LEVEL(name, programs, about) [LOG_AREA_##name] = LOG_LEVEL_INFO,
static _Atomic enum log_level levels[LOG_AREA_COUNT] = {LOG_AREAS(AREA_LEVEL)};

#define AREA_NAME(name, programs, about) [LOG_AREA_##name] = #name,
const char *const log_area_name[LOG_AREA_COUNT] = {LOG_AREAS(AREA_NAME)};

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
	log_set_levels(level);
	log_settings.journal = is_journal();
}

void
log_set_format(enum log_format format)
{
	log_settings.format = format;
}

void
log_set_level(enum log_area area, enum log_level level)
{
	levels[area] = level;
}

void
log_set_levels(enum log_level level)
{
	for (unsigned i = 0; i < LOG_AREA_COUNT; i++)
		levels[i] = level;
}

int
log_level_find(const char *name, enum log_level *level)
{
	for (unsigned i = 0; i <= LOG_LEVEL_DEBUG; i++) {
		if (strcmp(name, log_level_name[i]) == 0) {
			*level = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

int
log_area_find(const char *name, enum log_area *area, char *error, size_t error_cap)
{
	struct spelling spelling = {.word = name};
	char all[256] = "";

	for (unsigned i = 0; i < LOG_AREA_COUNT; i++) {
		size_t used = strlen(all);

		if (strcmp(name, log_area_name[i]) == 0) {
			*area = (enum log_area)i;
			return 0;
		}
		spelling_consider(&spelling, log_area_name[i]);
		snprintf(all + used, sizeof(all) - used, "%s%s", i == 0 ? "" : ", ", log_area_name[i]);
	}
	if (spelling_guess(&spelling) != NULL)
		snprintf(error, error_cap, "\"%.40s\" is no area; did you mean \"%s\"?", name, spelling_guess(&spelling));
	else
		snprintf(error, error_cap, "\"%.40s\" is no area: %s", name, all);
	return -EINVAL;
}

enum log_format
log_format_now(void)
{
	return log_settings.format;
}

enum log_level
log_level_of(enum log_area area)
{
	return levels[area];
}
