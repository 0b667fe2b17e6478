/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/launcher/notify.h"

#include "shared/log.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* "/run/systemd/notify", or "@name" in the abstract namespace. Returns a connected socket or -errno. */
static int
connect_to(const char *name)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	size_t n = strlen(name);
	int fd, rc;

	if ((name[0] != '/' && name[0] != '@') || n < 2)
		return -EINVAL;
	if (n >= sizeof(to.sun_path))
		return -ENAMETOOLONG;
	memcpy(to.sun_path, name, n);
	if (name[0] == '@')
		to.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* The length decides in the abstract namespace. */
	if (connect(fd, (struct sockaddr *)&to, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) == 0)
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

/* Two signs of life in each period; 0 if the watchdog is not for us. */
static uint64_t
alive_interval(void)
{
	const char *us = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");

	if (us == NULL || (pid != NULL && strtol(pid, NULL, 10) != (long)getpid()))
		return 0;
	return strtoull(us, NULL, 10) / 2000;
}

void
notify_open(struct notify *n)
{
	const char *name = getenv("NOTIFY_SOCKET");

	*n = (struct notify){.fd = -1};
	if (name != NULL) {
		n->fd = connect_to(name);
		if (n->fd < 0)
			log_warning(launcher, "the service manager cannot be told anything", "socket=\"%s\" error=\"%s\"", name,
				    strerror(-n->fd));
		else
			n->alive_ms = alive_interval();
	}
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

void
notify_close(struct notify *n)
{
	if (n->fd >= 0)
		close(n->fd);
	n->fd = -1;
}

void
notify_send(const struct notify *n, const char *lines)
{
	/* One that is lost costs a time-out at worst; waiting for a manager that does not read would cost more. */
	if (n->fd >= 0 && send(n->fd, lines, strlen(lines), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_warning(launcher, "the service manager was not told", "lines=\"%s\" error=\"%s\"", lines, strerror(errno));
}

static void
on_alive(uv_timer_t *timer)
{
	notify_send(timer->data, "WATCHDOG=1");
}

int
notify_alive_start(struct notify *n, uv_loop_t *loop)
{
	int rc;

	if (n->alive_ms == 0)
		return 0;
	rc = uv_timer_init(loop, &n->alive);
	if (rc < 0)
		return rc;
	n->timer_open = true;
	n->alive.data = n;
	return uv_timer_start(&n->alive, on_alive, 0, n->alive_ms);
}

void
notify_alive_stop(struct notify *n)
{
	if (n->timer_open)
		uv_close((uv_handle_t *)&n->alive, NULL);
	n->timer_open = false;
}
