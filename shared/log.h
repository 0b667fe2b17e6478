/* SPDX-License-Identifier: BSD-3-Clause */
/* logfmt lines on stderr: ts=... level=info area=session msg="..." key=value. Never message text, keys or passwords. */
#ifndef ROOKERY_SHARED_LOG_H
#define ROOKERY_SHARED_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* program: static string, becomes program=... ; not thread-safe, call once. */
void log_open(const char *program, enum log_level level);

/* Changes the level while the program runs: of one area, or (area NULL) of all, which ends what was said of single ones.
 * Thread-safe towards log_write, not towards itself. Returns 0, or -ENOSPC when too many areas have one of their own, or -EINVAL for
 * an area whose name is too long. */
int log_set_level(const char *area, enum log_level level);

/* fields: printf format of the key=value part, or "". Values with spaces are quoted by the caller ("%s" in quotes). */
void log_write(enum log_level level, const char *area, const char *message, const char *fields, ...)
	__attribute__((format(printf, 4, 5)));

#define log_error(area, message, ...) log_write(LOG_LEVEL_ERROR, area, message, __VA_ARGS__)
#define log_warning(area, message, ...) log_write(LOG_LEVEL_WARNING, area, message, __VA_ARGS__)
#define log_info(area, message, ...) log_write(LOG_LEVEL_INFO, area, message, __VA_ARGS__)
#define log_debug(area, message, ...) log_write(LOG_LEVEL_DEBUG, area, message, __VA_ARGS__)

#endif
