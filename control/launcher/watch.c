/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/launcher/watch.h"

#include "control/launcher/supervisor_state.h"
#include "shared/config.h"
#include "shared/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int
watch_read(const char *path, struct ipc_header *header)
{
	/* The account could put something else there, on which root must not wait. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t n;
	int rc;

	if (fd < 0)
		return -errno;
	n = pread(fd, header, sizeof(*header), 0);
	rc = n < 0 ? -errno : 0;
	close(fd);
	if (rc == 0 && (n != (ssize_t)sizeof(*header) || header->magic != IPC_MAGIC || header->version != IPC_VERSION))
		rc = -EAGAIN;
	return rc;
}

bool
watch_stands_still(struct watch_seen *seen, pid_t pid, uint64_t value, unsigned limit)
{
	if (pid == 0 || value == 0 || seen->pid != pid || seen->value != value) {
		*seen = (struct watch_seen){.pid = pid, .value = value};
		return false;
	}
	if (++seen->looks < limit)
		return false;
	seen->looks = 0;
	return true;
}

/* What the line of /proc/PID/status says that begins with key; "": no such process, or line. */
static void
status_of(pid_t pid, const char *key, char *value, size_t cap)
{
	char path[32], text[2048];
	const char *at;
	ssize_t n;
	int fd;

	value[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%ld/status", (long)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return;
	text[n] = '\0';
	at = strstr(text, key);
	if (at != NULL)
		snprintf(value, cap, "%.*s", (int)strcspn(at + strlen(key), "\n"), at + strlen(key));
}

bool
watch_is_traced(pid_t pid)
{
	char value[32];

	status_of(pid, "\nTracerPid:\t", value, sizeof(value));
	return strtol(value, NULL, 10) != 0;
}

bool
watch_waits_for_device(pid_t pid)
{
	char value[32];

	status_of(pid, "\nState:\t", value, sizeof(value));
	return value[0] == 'D';
}

/* 0: one that need not show signs of life, since it does not run, is another than the region's, or was told to stop and has its own time
 * for that. */
static pid_t
expected(const struct supervisor *s, enum supervised which, uint32_t in_region)
{
	pid_t pid = s->children[which].pid;
	bool told = s->restart.phase == RESTART_STOPPING && s->restart.which == which;

	return told || in_region != (uint32_t)pid ? 0 : pid;
}

static void
hangs(struct supervisor *s, enum supervised which, const char *part)
{
	struct child *c = &s->children[which];

	if (watch_is_traced(c->pid)) {
		log_warning(launcher, "process hangs, but somebody debugs it: left alone", "process=%s pid=%ld part=\"%s\"",
			    supervised_name[which], (long)c->pid, part);
		return;
	}
	/* A disk that stands still in the middle of a commit. Killed, control would end only when the disk goes on, which is when it would
	 * have gone on itself, and its successor would wait for the same disk. */
	if (which == SUPERVISED_CONTROL && watch_waits_for_device(c->pid)) {
		log_warning(launcher, "process waits for a disk: left alone", "process=%s pid=%ld part=\"%s\" waited_seconds=%u",
			    supervised_name[which], (long)c->pid, part, s->options->config->launcher.hang_seconds);
		return;
	}
	log_error(launcher, "process hangs: killed", "process=%s pid=%ld part=\"%s\" hung_seconds=%u lived_ms=%llu",
		  supervised_name[which], (long)c->pid, part, s->options->config->launcher.hang_seconds,
		  (unsigned long long)(uv_now(&s->loop) - c->started_ms));
	/* One that is stopped hears of nothing else. SIGCHLD tells the rest. */
	kill(c->pid, SIGKILL);
}

static void
on_look(uv_timer_t *timer)
{
	struct supervisor *s = timer->data;
	struct watch_seen *seen = s->watch.seen;
	unsigned limit = s->options->config->launcher.hang_seconds;
	bool housekeeping, workers, control;
	pid_t dataplane_pid, control_pid;
	struct ipc_header header;
	char part[32];

	if (watch_read(s->watch.path, &header) < 0)
		memset(&header, 0, sizeof(header));
	dataplane_pid = expected(s, SUPERVISED_DATAPLANE, header.dataplane_pid);
	control_pid = expected(s, SUPERVISED_CONTROL, header.control_pid);
	housekeeping = watch_stands_still(&seen[WATCH_HOUSEKEEPING], dataplane_pid, header.dataplane_alive, limit);
	workers = watch_stands_still(&seen[WATCH_WORKERS], dataplane_pid, header.workers_alive, limit);
	control = watch_stands_still(&seen[WATCH_CONTROL], control_pid, header.control_alive, limit);
	/* Without housekeeping nobody knows about the workers. */
	if (housekeeping) {
		hangs(s, SUPERVISED_DATAPLANE, "main loop");
	} else if (workers) {
		snprintf(part, sizeof(part), "worker %u", (unsigned)header.worker_behind);
		hangs(s, SUPERVISED_DATAPLANE, part);
	}
	if (control)
		hangs(s, SUPERVISED_CONTROL, "main loop");
}

int
watch_start(struct supervisor *s)
{
	const struct config *c = s->options->config;
	int rc = uv_timer_init(&s->loop, &s->watch.timer);

	s->watch.timer.data = s;
	if (rc < 0 || c->launcher.hang_seconds == 0)
		return rc;
	if (config_runtime_path(c, "rings.shm", s->watch.path, sizeof(s->watch.path)) == NULL)
		return UV_ENAMETOOLONG;
	return uv_timer_start(&s->watch.timer, on_look, WATCH_LOOK_MS, WATCH_LOOK_MS);
}

void
watch_stop(struct supervisor *s)
{
	uv_close((uv_handle_t *)&s->watch.timer, NULL);
}
