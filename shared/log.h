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
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* AREA(area= of the lines, who writes them, what they are about) */
#define LOG_SERVER_AREAS(AREA)                                                                                    \
	AREA(bans, "control, dataplane", "bans made and ended; what the NIC took of them")                        \
	AREA(control, "control", "start and end, the connection to the dataplane, configuration, drain")          \
	AREA(dataplane, "dataplane", "start and end, rights given up")                                            \
	AREA(dpdk, "dataplane", "what DPDK itself says")                                                          \
	AREA(ipc, "control", "the dataplane's rings refused")                                                     \
	AREA(log, "dataplane", "`debug`: changes of these levels")                                                \
	AREA(login, "control", "logins and resumed sessions that are lost for want of memory")                    \
	AREA(metrics, "control", "status page and metrics; `debug`: requests that fail")                          \
	AREA(port, "dataplane", "ports: opened, what a device lacks or refuses; `debug`: rules for bans")         \
	AREA(session, "control", "sessions that the dataplane refuses; `debug`: sessions that end")               \
	AREA(store, "control", "the database")                                                                    \
	AREA(tables, "dataplane", "tables that are full or out of memory")                                        \
	AREA(telemetry, "dataplane", "DPDK's telemetry socket")                                                   \
	AREA(trace, "control", "traces and captures that begin and end")                                          \
	AREA(xdp, "dataplane", "what libxdp and libbpf say; most of it is `debug`")
#define LOG_AREAS(AREA)                                                                                           \
	LOG_SERVER_AREAS(AREA)                                                                                    \
	AREA(launcher, "rookery", "processes started, stopped, hanging; not by `rookctl log level`")

#define LOG_AREA_ENUM(name, programs, about) LOG_AREA_##name,
enum log_area { LOG_AREAS(LOG_AREA_ENUM) LOG_AREA_COUNT };
#undef LOG_AREA_ENUM
extern const char *const log_area_name[LOG_AREA_COUNT];

enum log_format { LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON };

/* program: static string, becomes program=... ; looks whether stderr is the journal. Not thread-safe, call once. */
void log_open(const char *program, enum log_level level);

/* Thread-safe. */
void log_set_format(enum log_format format);

/* Changes the level while the program runs: of one area, or of all. Thread-safe. */
void log_set_level(enum log_area area, enum log_level level);
void log_set_levels(enum log_level level);

/* By name. Return 0 or -EINVAL; error: why, and which area may have been meant. */
int log_level_find(const char *name, enum log_level *level);
int log_area_find(const char *name, enum log_area *area, char *error, size_t error_cap);

/* The settings as they are. */
enum log_level log_level_of(enum log_area area);
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

/* area: one of LOG_AREAS, bare: log_info(store, "message", ...).
 * fields: "key=value key2=\"value\"" with printf conversions in the values, or "". Values are escaped here; a value that may hold
 * spaces stands in quotes in the format. site NULL: not limited. */
void log_write(struct log_site *site, enum log_level level, enum log_area area, const char *message, const char *fields, ...)
	__attribute__((format(printf, 5, 6)));

#define LOG_HERE(level, area, message, ...)                                                        \
	__extension__({                                                                            \
		static struct log_site log_site_here;                                              \
		log_write(&log_site_here, level, area, message, __VA_ARGS__);                      \
	})

#define log_error(area, message, ...) LOG_HERE(LOG_LEVEL_ERROR, LOG_AREA_##area, message, __VA_ARGS__)
#define log_warning(area, message, ...) LOG_HERE(LOG_LEVEL_WARNING, LOG_AREA_##area, message, __VA_ARGS__)
#define log_info(area, message, ...) LOG_HERE(LOG_LEVEL_INFO, LOG_AREA_##area, message, __VA_ARGS__)
#define log_debug(area, message, ...) LOG_HERE(LOG_LEVEL_DEBUG, LOG_AREA_##area, message, __VA_ARGS__)

#endif
