/* SPDX-License-Identifier: BSD-3-Clause */
#include "dataplane/library_log.h"

#include "shared/log.h"

#include <dlfcn.h>
#include <rte_log.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

/* ---- DPDK -------------------------------------------------------------------------------- */

struct log_line {
	size_t length;
	char text[512];
};

static struct log_line log_line;
static FILE *log_stream;

static void
log_line_write(struct log_line *line)
{
	static struct log_site lines; /* all of them together */
	int level = rte_log_cur_msg_loglevel();

	line->text[line->length] = '\0';
	/* Said at every start, about a socket that nobody asked for. */
	if (line->length > 0 && strcmp(line->text, "TELEMETRY: No legacy callbacks, legacy socket not created") != 0)
		log_write(&lines, level <= (int)RTE_LOG_ERR ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, LOG_AREA_dpdk, line->text,
			  "");
	line->length = 0;
}

/* The stream's lock is held. */
static ssize_t
log_cookie_write(void *cookie, const char *buf, size_t size)
{
	struct log_line *line = cookie;
	size_t i;

	for (i = 0; i < size; i++) {
		if (buf[i] == '\n')
			log_line_write(line);
		else if (line->length < sizeof(line->text) - 1)
			line->text[line->length++] = buf[i];
	}
	return (ssize_t)size;
}

void
library_log_open(void)
{
	static const cookie_io_functions_t functions = {.write = log_cookie_write};

	log_stream = fopencookie(&log_line, "w", functions);
	if (log_stream != NULL)
		rte_openlog_stream(log_stream);
}

void
library_log_close(void)
{
	rte_openlog_stream(NULL);
	if (log_stream != NULL)
		fclose(log_stream);
	log_stream = NULL;
}

/* ---- libxdp and libbpf ------------------------------------------------------------------------ */

/* As both have it: 0 warnings, 1 information, 2 debugging. */
typedef int (*print_fn)(int level, const char *format, va_list args);

static bool unprivileged;

/* What they warn of most often is no trouble: that they go another way ("No bpffs found"). */
static int
print(int level, const char *format, va_list args)
{
	static struct log_site lines;
	char text[512];
	size_t n;

	vsnprintf(text, sizeof(text), format, args);
	n = strcspn(text, "\n");
	text[n] = '\0';
	log_write(&lines, level == 0 && !unprivileged ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, LOG_AREA_xdp, text, "");
	return 0;
}

/* We link neither of them: only a system with the driver has them. */
static void
hook(const char *library, const char *function)
{
	void *handle = dlopen(library, RTLD_LAZY | RTLD_NOLOAD);
	print_fn (*set_print)(print_fn) = NULL;

	if (handle == NULL)
		return;
	*(void **)&set_print = dlsym(handle, function);
	if (set_print != NULL)
		set_print(print);
	dlclose(handle); /* the driver keeps it */
}

void
library_log_drivers(void)
{
	hook("libxdp.so.1", "libxdp_set_print");
	hook("libbpf.so.1", "libbpf_set_print");
}

void
library_log_unprivileged(void)
{
	unprivileged = true;
}
