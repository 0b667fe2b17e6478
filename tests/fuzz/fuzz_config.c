/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A configuration file. Not from the network, but written by people and by templates: it must never do worse than an error.
 * One that begins with "#~" decides itself where the state is; for the others --state does.
 */
#include "fuzz.h"

#include "shared/address.h"
#include "shared/config_parse.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/un.h>
#include <unistd.h>

#define FILE_MAX (1u << 20) /* as in config.c */
#define STATE "/tmp/rookery-fuzz"

/* An address that was read is written so that it reads as the same, in both ways. */
static void
check_address(const char *text)
{
	struct endpoint e, again;
	struct sockaddr_storage ss;
	char written[ENDPOINT_STRLEN];

	FUZZ_CHECK(endpoint_parse(&e, text, 8000) == 0);
	FUZZ_CHECK(endpoint_parse(&again, endpoint_format(&e, written), 0) == 0);
	FUZZ_CHECK(memcmp(e.ip, again.ip, sizeof(e.ip)) == 0 && e.port == again.port);
	FUZZ_CHECK(endpoint_to_sockaddr(&e, &ss) <= sizeof(ss));
	memset(&again, 0, sizeof(again));
	FUZZ_CHECK(endpoint_from_sockaddr(&again, (struct sockaddr *)&ss) == 0);
	FUZZ_CHECK(memcmp(e.ip, again.ip, sizeof(e.ip)) == 0 && e.port == again.port);
}

/* What the programs rely on without asking again. */
static void
check_loaded(const struct config *c)
{
	char path[4096];

	FUZZ_CHECK(c->state_dir[0] == '/' && c->runtime_dir[0] == '/' && c->dataplane.cpus != NULL);
	FUZZ_CHECK(c->dataplane.workers >= 1 && c->dataplane.workers <= 64);
	FUZZ_CHECK(c->session.timeout_ms > c->session.heartbeat_ms);
	FUZZ_CHECK(c->dataplane.ports_count >= 1 && c->dataplane.ports_count <= 8);
	for (unsigned i = 0; i < c->dataplane.eal_count; i++)
		FUZZ_CHECK(c->dataplane.eal[i] != NULL);
	for (unsigned i = 0; i < c->dataplane.ports_count; i++) {
		const struct config_port *p = &c->dataplane.ports[i];

		FUZZ_CHECK(p->listen != NULL && p->gateway != NULL && p->gateway6 != NULL);
		FUZZ_CHECK(p->type == PORT_SOCKET || (p->devices_count >= 1 && p->addresses_count >= 1));
		FUZZ_CHECK(p->udp_port != 0 && p->mtu >= 1280);
		if (p->type == PORT_SOCKET)
			check_address(p->listen);
	}
	if (c->metrics.listen[0] != '\0')
		check_address(c->metrics.listen);
	FUZZ_CHECK(config_runtime_path(c, "control.sock", path, sizeof(path)) != NULL);
	FUZZ_CHECK(strlen(path) < sizeof(((struct sockaddr_un *)0)->sun_path));
	config_log_levels(c);
}

static int
load(struct config **c, const char *path, const char *state, char *error, size_t cap)
{
	int rc = config_load(c, path, state, error, cap);

	FUZZ_CHECK((rc == 0) == (*c != NULL) && (rc == 0) == (error[0] == '\0') && strchr(error, '\n') == NULL);
	return rc;
}

/* What can be wrong with a file besides its text. */
static void
files(int fd, const char *path)
{
	static const char *const none[] = {"/dev/null/none", "/"};
	struct sockaddr_un other = {.sun_family = AF_UNIX};
	char error[256] = "";
	struct endpoint e;
	struct config *c;

	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		FUZZ_CHECK(load(&c, none[i], STATE, error, sizeof(error)) < 0);
	FUZZ_CHECK(ftruncate(fd, FILE_MAX + 1) == 0);
	error[0] = '\0';
	FUZZ_CHECK(load(&c, path, STATE, error, sizeof(error)) == -EFBIG);
	error[0] = '\0';
	FUZZ_CHECK(load(&c, NULL, STATE, error, sizeof(error)) == 0);
	config_free(c);
	FUZZ_CHECK(endpoint_from_sockaddr(&e, (struct sockaddr *)&other) == -EAFNOSUPPORT);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *state = size >= 2 && memcmp(data, "#~", 2) == 0 ? NULL : STATE;
	char error[256] = "";
	static char path[64];
	static int fd = -1;
	struct config *c;

	if (fd < 0) {
		fd = memfd_create("fuzz.yaml", MFD_CLOEXEC);
		FUZZ_CHECK(fd >= 0);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		setenv("HOME", "/home/fuzz", 1);
		setenv("FUZZ_DIR", "/run/fuzz", 1);
		files(fd, path);
	}
	FUZZ_CHECK(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
	if (load(&c, path, state, error, sizeof(error)) < 0)
		return 0;
	check_loaded(c);
	config_free(c);
	return 0;
}
