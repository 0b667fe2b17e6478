/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One line per event on stderr, as logfmt
 *     ts=2024-05-01T08:00:00.000Z level=info program=rookery-control area=session msg="session added" sid=7 name="a b"
 * or as JSON with the same keys. When stderr is the journal, "<6>" (the level as syslog has it) stands before the line, and the
 * time is left to the journal. Never message text, keys or passwords.
 *
 * A call site that writes too often is quiet for a while; its next line says how often that was: suppressed=N. Debug lines are
 * not limited: whoever asks for them wants all.
 */
#ifndef ROOKERY_SHARED_LOG_H
#define ROOKERY_SHARED_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
#define LOG_AREAS_MAX 16

enum log_format { LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON };

/* program: static string, becomes program=... ; looks whether stderr is the journal. Not thread-safe, call once. */
void log_open(const char *program, enum log_level level);

/* Thread-safe. */
void log_set_format(enum log_format format);

/* Changes the level while the program runs: of one area, or (area NULL) of all, which ends what was said of single ones.
 * Thread-safe towards log_write, not towards itself. Returns 0, or -ENOSPC when too many areas have one of their own, or -EINVAL for
 * an area whose name is too long. */
int log_set_level(const char *area, enum log_level level);

/* The same as "area=level". Returns 0, -EINVAL, -ENOSPC. set false: only looks whether it could be. */
int log_set_area(const char *text, bool set);

/* The settings as they are: index 0 is the level of all areas (*area ""), those behind it are single areas with a level of their own.
 * Returns false behind the last. Not thread-safe towards log_set_level. */
bool log_level_at(unsigned index, const char **area, enum log_level *level);
enum log_format log_format_now(void);

#define LOG_SITE_BURST 20     /* lines of one call site at once */
#define LOG_SITE_GAP_MS 1000  /* and afterwards one in so long */

/* Where a line is written from. Threads may share one: races lose at most a count. */
struct log_site {
	uint64_t next_ms; /* all lines until now are paid for at this time (GCRA) */
	uint32_t suppressed;
};

/* May it write at now_ms (monotonic)? If so, *suppressed is how many lines before this one were not written. */
bool log_site_pass(struct log_site *site, uint64_t now_ms, uint32_t *suppressed);

/* fields: "key=value key2=\"value\"" with printf conversions in the values, or "". Values are escaped here; a value that may hold
 * spaces stands in quotes in the format. site NULL: not limited. */
void log_write(struct log_site *site, enum log_level level, const char *area, const char *message, const char *fields, ...)
	__attribute__((format(printf, 5, 6)));

#define LOG_HERE(level, area, message, ...)                                                        \
	__extension__({                                                                            \
		static struct log_site log_site_here;                                              \
		log_write(&log_site_here, level, area, message, __VA_ARGS__);                      \
	})

#define log_error(area, message, ...) LOG_HERE(LOG_LEVEL_ERROR, area, message, __VA_ARGS__)
#define log_warning(area, message, ...) LOG_HERE(LOG_LEVEL_WARNING, area, message, __VA_ARGS__)
#define log_info(area, message, ...) LOG_HERE(LOG_LEVEL_INFO, area, message, __VA_ARGS__)
#define log_debug(area, message, ...) LOG_HERE(LOG_LEVEL_DEBUG, area, message, __VA_ARGS__)

#endif
