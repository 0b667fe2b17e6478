/* SPDX-License-Identifier: BSD-3-Clause */
/* One step: as commands, done, taken back; and the record of those that were done. */
#include "control/cli/host_setup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RECORD_VERSION 1

static const char *const kind_names[] = {"load", "write", "mount", "bind", "own"};

__attribute__((format(printf, 4, 5))) static int
failed(int rc, char *error, size_t cap, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(error, cap, format, args);
	va_end(args);
	return rc;
}

/* ---- as commands -------------------------------------------------------------------------- */

static void
bind_commands(const struct step *s, bool undo, char *buf, size_t cap)
{
	const char *device = "/sys/bus/pci/devices/";
	int n = snprintf(buf, cap, "echo %s > %s%s/driver_override\n", undo ? "\"\"" : s->value, device, s->target);
	if (undo || *s->before)
		n += snprintf(buf + n, cap - (size_t)n, "echo %s > %s%s/driver/unbind\n", s->target, device, s->target);
	if (!undo || *s->before)
		n += snprintf(buf + n, cap - (size_t)n, "echo %s > /sys/bus/pci/drivers_probe\n", s->target);
	if (undo && *s->interface)
		n += snprintf(buf + n, cap - (size_t)n, "ip link set %s up\n", s->interface);
	buf[n - 1] = '\0';
}

void
step_commands(const struct step *s, bool undo, char *buf, size_t cap)
{
	switch (s->kind) {
	case STEP_LOAD:
		snprintf(buf, cap, "modprobe %s%s", undo ? "-r " : "", s->target);
		return;
	case STEP_WRITE:
		snprintf(buf, cap, "echo %s > %s", undo ? s->before : s->value, s->target);
		return;
	case STEP_MOUNT:
		if (undo)
			snprintf(buf, cap, "umount %s", s->target);
		else
			snprintf(buf, cap, "mkdir -p %s && mount -t hugetlbfs nodev %s", s->target, s->target);
		return;
	case STEP_BIND:
		bind_commands(s, undo, buf, cap);
		return;
	case STEP_OWN:
		snprintf(buf, cap, "chown %s %s", undo ? s->before : s->value, s->target);
		return;
	}
}

/* ---- files ---------------------------------------------------------------------------------- */

static int
put(const char *root, const char *path, const char *text, char *error, size_t cap)
{
	char full[PATH_MAX], line[128];
	size_t len = (size_t)snprintf(line, sizeof(line), "%s\n", text);
	snprintf(full, sizeof(full), "%s%s", root, path);
	int fd = open(full, O_WRONLY | O_CLOEXEC);
	int rc = fd < 0 || write(fd, line, len) != (ssize_t)len ? -errno : 0;
	if (fd >= 0)
		close(fd);
	return rc == 0 ? 0 : failed(rc, error, cap, "%s: %s", path, strerror(-rc));
}

/* The kernel reserves fewer pages than it is asked for without saying so. */
static int
do_write(const struct step *s, const char *root, char *error, size_t cap)
{
	char now[64];
	int rc = put(root, s->target, s->value, error, cap);
	if (rc < 0 || !host_read(root, now, sizeof(now), "%s", s->target) || strcmp(now, s->value) == 0)
		return rc;
	return failed(-ENOMEM, error, cap,
		      "%s is %s, not %s: free memory is in pieces. Reserve at boot instead: kernel command line hugepages=%s", s->target,
		      now, s->value, s->value);
}

static int
undo_write(const struct step *s, const char *root, char *error, size_t cap)
{
	char now[64];
	if (!host_read(root, now, sizeof(now), "%s", s->target) || strcmp(now, s->before) == 0)
		return 0;
	/* Less than was asked for is still ours. */
	if (strcmp(now, s->value) != 0 && (atol(now) > atol(s->value) || atol(now) < atol(s->before)))
		return failed(1, error, cap, "%s is left at %s: somebody changed it after host init", s->target, now);
	return put(root, s->target, s->before, error, cap);
}

static int
own(const struct step *s, const char *root, const char *whose, char *error, size_t cap)
{
	char full[PATH_MAX];
	unsigned uid, gid;
	snprintf(full, sizeof(full), "%s%s", root, s->target);
	if (sscanf(whose, "%u:%u", &uid, &gid) != 2)
		return failed(-EINVAL, error, cap, "%s: `%s` is no owner", s->target, whose);
	if (chown(full, uid, gid) < 0)
		return failed(-errno, error, cap, "%s: %s", s->target, strerror(errno));
	return 0;
}

static int
undo_own(const struct step *s, const char *root, char *error, size_t cap)
{
	return host_exists(root, "%s", s->target) ? own(s, root, s->before, error, cap) : 0;
}

static int
do_mount(const struct step *s, char *error, size_t cap)
{
	if (mkdir(s->target, 0755) < 0 && errno != EEXIST)
		return failed(-errno, error, cap, "%s: %s", s->target, strerror(errno));
	/* EAL of a user without rights opens the folder, though it makes no files there. */
	if (mount("nodev", s->target, "hugetlbfs", MS_NOSUID | MS_NODEV, "mode=0755") < 0)
		return failed(-errno, error, cap, "%s: cannot be mounted: %s", s->target, strerror(errno));
	return 0;
}

static int
undo_mount(const struct step *s, char *error, size_t cap)
{
	if (umount(s->target) < 0 && errno != EINVAL && errno != ENOENT)
		return failed(1, error, cap, "%s stays mounted: %s", s->target, strerror(errno));
	return 0;
}

/* ---- modules ---------------------------------------------------------------------------------- */

static int
modprobe(const char *option, const char *module)
{
	pid_t pid = fork();
	int status;
	if (pid == 0) {
		execlp("modprobe", "modprobe", option, module, (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ENOENT;
}

static int
do_load(const struct step *s, char *error, size_t cap)
{
	return modprobe("-q", s->target) == 0
		       ? 0
		       : failed(-ENOENT, error, cap, "`modprobe %s` failed: is the module there for this kernel (uname -r)?", s->target);
}

/* It takes away what came with it, too, as far as nobody else uses that. */
static int
undo_load(const struct step *s, const char *root, char *error, size_t cap)
{
	char name[sizeof(s->target)], users[16] = "";
	strcpy(name, s->target);
	for (char *p = name; *p; p++)
		*p = *p == '-' ? '_' : *p; /* as the kernel writes it */
	if (!host_exists(root, "/sys/module/%s", name))
		return 0;
	/* Some modprobes fail also when only a module below it is still in use, by the one of the next step. */
	modprobe("-r", s->target);
	if (!host_exists(root, "/sys/module/%s", name))
		return 0;
	host_read(root, users, sizeof(users), "/sys/module/%s/refcnt", name);
	if (atol(users) > 0)
		return failed(1, error, cap, "module %s stays loaded: it is in use %s times (`lsmod | grep vfio`)", s->target, users);
	return failed(1, error, cap, "module %s stays loaded: `modprobe -r %s` fails", s->target, s->target);
}

/* ---- binding ------------------------------------------------------------------------------------ */

static bool
bound_to(const char *root, const char *address, const char *driver)
{
	char now[64];
	host_link(root, now, sizeof(now), "/sys/bus/pci/devices/%s/driver", address);
	return strcmp(now, driver) == 0;
}

/* driver "": none. */
static int
rebind(const char *root, const char *address, const char *override, const char *driver, char *error, size_t cap)
{
	char path[128];
	int rc;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver_override", address);
	rc = put(root, path, override, error, cap);
	if (rc == 0 && !bound_to(root, address, "")) {
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver/unbind", address);
		rc = put(root, path, address, error, cap);
	}
	if (rc < 0 || !*driver)
		return rc;
	rc = put(root, "/sys/bus/pci/drivers_probe", address, error, cap);
	if (rc == 0 && !bound_to(root, address, driver))
		rc = failed(-ENODEV, error, cap, "%s does not bind to %s: `dmesg | tail` says why", address, driver);
	return rc;
}

/* Unbinding a device that a process has open would wait for its end. */
static bool
group_busy(const char *root, const char *address)
{
	char group[32], path[PATH_MAX];
	if (!host_link(root, group, sizeof(group), "/sys/bus/pci/devices/%s/iommu_group", address))
		return false;
	snprintf(path, sizeof(path), "%s/dev/vfio/%s", root, group);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
	return fd < 0 && errno == EBUSY;
}

int
steps_in_use(const struct steps *record, const char *root, char *error, size_t cap)
{
	for (unsigned i = 0; i < record->count; i++)
		if (record->list[i].kind == STEP_BIND && group_busy(root, record->list[i].target))
			return failed(-EBUSY, error, cap, "a process still uses %s: stop the server first", record->list[i].target);
	return 0;
}

static int
interface_raise(const char *name)
{
	struct ifreq r = {0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc;
	snprintf(r.ifr_name, sizeof(r.ifr_name), "%.15s", name);
	rc = fd < 0 || ioctl(fd, SIOCGIFFLAGS, &r) < 0 ? -errno : 0;
	r.ifr_flags |= IFF_UP;
	if (rc == 0 && ioctl(fd, SIOCSIFFLAGS, &r) < 0)
		rc = -errno;
	if (fd >= 0)
		close(fd);
	return rc;
}

/* Also after a step that got stuck half-way: the override alone, or no driver at all. */
static int
undo_bind(const struct step *s, const char *root, char *error, size_t cap)
{
	char path[256], override[64];
	int rc;
	if (!host_exists(root, "/sys/bus/pci/devices/%s", s->target))
		return 0;
	if (*s->before && bound_to(root, s->target, s->before)) {
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver_override", s->target);
		return host_read(root, override, sizeof(override), "%s", path) && strcmp(override, s->value) == 0
			       ? put(root, path, "", error, cap)
			       : 0;
	}
	if (!bound_to(root, s->target, s->value) && !bound_to(root, s->target, ""))
		return failed(1, error, cap, "%s is left as it is: somebody bound it to another driver after host init", s->target);
	rc = rebind(root, s->target, "", s->before, error, cap);
	if (rc == 0 && *s->interface && interface_raise(s->interface) < 0)
		rc = failed(1, error, cap, "the interface %s of %s was up; bring it up by hand: `ip -br link` shows its name", s->interface,
			    s->target);
	return rc;
}

/* ---- any kind ------------------------------------------------------------------------------------- */

int
step_do(const struct step *s, const char *root, char *error, size_t cap)
{
	switch (s->kind) {
	case STEP_LOAD:
		return do_load(s, error, cap);
	case STEP_WRITE:
		return do_write(s, root, error, cap);
	case STEP_MOUNT:
		return do_mount(s, error, cap);
	case STEP_BIND:
		return rebind(root, s->target, s->value, s->value, error, cap);
	case STEP_OWN:
		return own(s, root, s->value, error, cap);
	}
	return -EINVAL;
}

int
step_undo(const struct step *s, const char *root, char *error, size_t cap)
{
	switch (s->kind) {
	case STEP_LOAD:
		return undo_load(s, root, error, cap);
	case STEP_WRITE:
		return undo_write(s, root, error, cap);
	case STEP_MOUNT:
		return undo_mount(s, error, cap);
	case STEP_BIND:
		return undo_bind(s, root, error, cap);
	case STEP_OWN:
		return undo_own(s, root, error, cap);
	}
	return -EINVAL;
}

/* ---- the record ------------------------------------------------------------------------------------- */

static bool
step_from_json(struct step *s, const json_t *o)
{
	const struct {
		const char *key;
		char *to;
		size_t cap;
	} texts[] = {{"target", s->target, sizeof(s->target)}, {"value", s->value, sizeof(s->value)},
		     {"before", s->before, sizeof(s->before)}, {"interface", s->interface, sizeof(s->interface)}};
	const char *kind = json_string_value(json_object_get(o, "kind"));
	size_t n = 0;
	while (kind && n < sizeof(kind_names) / sizeof(kind_names[0]) && strcmp(kind, kind_names[n]) != 0)
		n++;
	if (!kind || n == sizeof(kind_names) / sizeof(kind_names[0]))
		return false;
	s->kind = (enum step_kind)n;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		const char *text = json_string_value(json_object_get(o, texts[i].key));
		if (!text || strlen(text) >= texts[i].cap)
			return false;
		strcpy(texts[i].to, text);
	}
	s->queues = (unsigned)json_integer_value(json_object_get(o, "queues"));
	return true;
}

int
steps_load(struct steps *record, const char *root, char *error, size_t cap)
{
	char path[PATH_MAX];
	json_error_t why;
	size_t i;
	json_t *o;
	memset(record, 0, sizeof(*record));
	snprintf(path, sizeof(path), "%s" HOST_RECORD, root);
	if (access(path, F_OK) < 0 && errno == ENOENT)
		return 0;
	json_t *all = json_load_file(path, 0, &why);
	bool ok = all && json_integer_value(json_object_get(all, "version")) == RECORD_VERSION;
	json_array_foreach(json_object_get(all, "steps"), i, o)
		ok = ok && record->count < STEPS_MAX && step_from_json(&record->list[record->count++], o);
	json_decref(all);
	return ok ? 0 : failed(-EINVAL, error, cap, "%s cannot be understood; it was written by another version or changed by hand", path);
}

int
steps_save(const struct steps *record, const char *root, char *error, size_t cap)
{
	char path[PATH_MAX], fresh[PATH_MAX];
	snprintf(path, sizeof(path), "%s" HOST_RECORD, root);
	if (record->count == 0)
		return unlink(path) == 0 || errno == ENOENT ? 0 : failed(-errno, error, cap, "%s: %s", path, strerror(errno));
	json_t *all = json_pack("{s:i, s:[]}", "version", RECORD_VERSION, "steps"), *steps = json_object_get(all, "steps");
	for (unsigned i = 0; i < record->count; i++) {
		const struct step *s = &record->list[i];
		json_array_append_new(steps, json_pack("{s:s, s:s, s:s, s:s, s:s, s:i}", "kind", kind_names[s->kind], "target", s->target,
						       "value", s->value, "before", s->before, "interface", s->interface, "queues",
						       (int)s->queues));
	}
	snprintf(fresh, sizeof(fresh), "%s" HOST_RECORD ".new", root);
	int rc = json_dump_file(all, fresh, JSON_INDENT(1)) == 0 && rename(fresh, path) == 0 ? 0 : -(errno ? errno : EIO);
	json_decref(all);
	return rc == 0 ? 0 : failed(rc, error, cap, "%s: %s", path, strerror(-rc));
}
