/* SPDX-License-Identifier: BSD-3-Clause */
#include "dataplane/port.h"

#include "dataplane/port_kinds.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int
port_open(struct port *p, const struct config_port *config, uint8_t index, uint16_t queues,
	  struct rte_mempool **pools, char *error, size_t cap)
{
	char reason[384] = "";
	int rc;

	memset(p, 0, sizeof(*p));
	p->config = config;
	p->index = index;
	p->queues = queues;
	p->pools = pools;
	p->ops = config->type == PORT_SOCKET ? &port_socket_ops : &port_ethdev_ops;
	if (index >= PORT_MAX || queues == 0) {
		snprintf(error, cap, "port %u: at most %u ports, each with at least one queue", index,
			 PORT_MAX);
		return -EINVAL;
	}
	rc = p->ops->open(p, reason, sizeof(reason));
	if (rc != 0) {
		snprintf(error, cap, "port %u: %s", index, reason);
		p->ops = NULL;
	}
	return rc;
}

void
port_close(struct port *p)
{
	if (p->ops != NULL)
		p->ops->close(p);
	p->ops = NULL;
}
