/* SPDX-License-Identifier: BSD-3-Clause */
/* The kinds of port, for port.c alone. An open that fails leaves nothing behind and gives its reason without
 * naming the port. */
#ifndef ROOKERY_DATAPLANE_PORT_KINDS_H
#define ROOKERY_DATAPLANE_PORT_KINDS_H

#include "dataplane/port.h"

extern const struct port_ops port_socket_ops;
extern const struct port_ops port_ethdev_ops;

#endif
