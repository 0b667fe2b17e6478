/* SPDX-License-Identifier: BSD-3-Clause */
/* Between log_settings.c and log.c. */
#ifndef ROOKERY_SHARED_LOG_SETTINGS_H
#define ROOKERY_SHARED_LOG_SETTINGS_H

#include "shared/log.h"

/* format may change at any time; the others are set before the first thread, then only read. */
struct log_settings {
	const char *program;
	_Atomic enum log_format format;
	bool journal;
};

extern struct log_settings log_settings;
extern const char *const log_level_name[];

#endif
