/* SPDX-License-Identifier: BSD-3-Clause */
/* A configuration file. Not from the network, but written by people and by templates: it must never do worse
 * than an error. */
#include "fuzz.h"

#include "shared/config_parse.h"

#include <errno.h>
#include <string.h>

/* What the programs rely on without asking again. */
static void
check_loaded(const struct config *c)
{
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
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char error[256] = "";
	struct config *c;
	int rc = config_load_text(&c, "fuzz.yaml", (const char *)data, size, "/tmp/rookery-fuzz", error,
				  sizeof(error));

	if (rc == 0) {
		check_loaded(c);
		config_free(c);
		return 0;
	}
	FUZZ_CHECK(c == NULL && error[0] != '\0' && strchr(error, '\n') == NULL);
	return 0;
}
