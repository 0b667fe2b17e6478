/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bans as rules of the ports' devices (rte_flow), where these take them: what a NIC drops costs no worker anything. Beside the workers'
 * own check, never instead of it: a device may take none, some kinds of prefix only, or so many.
 *
 * A rule may take a driver a millisecond, so a list is brought into the devices a few rules at a time.
 *
 * Thread-safety: housekeeping alone; control reads struct ipc_bans.
 */
#ifndef ROOKERY_DATAPLANE_BANS_NIC_H
#define ROOKERY_DATAPLANE_BANS_NIC_H

#include "bans.h"
#include "port.h"
#include "shared/ipc.h"

#define BANS_NIC_BURST 16 /* rules made or taken away by one poll */

struct nic_ban;

struct bans_nic {
	struct port *ports;
	unsigned port_count;
	uint32_t limit;          /* rules per device at most */
	struct ipc_bans *shared;
	struct nic_ban *list;    /* [count], in the order of control's list */
	uint32_t count;
	uint32_t asked;          /* up to here the devices have been asked */
	struct nic_ban *old;     /* [old_count]: what is in here and not in list goes */
	uint32_t old_count;
	uint32_t ended;          /* up to here it is gone */
	uint64_t version;
	bool room;               /* rules went since devices refused some */
	bool unable[PORT_MAX];   /* takes none, whatever it is */
	uint32_t held[PORT_MAX];
	uint64_t refused;
};

/* limit 0: leaves it to the workers. Returns 0 or -ENOMEM. */
int bans_nic_init(struct bans_nic *n, struct port *ports, unsigned port_count, uint32_t limit, struct ipc_bans *shared);
/* Frees; the rules end with their ports. */
void bans_nic_fini(struct bans_nic *n);
/* Brings the devices nearer to what is in force. Returns how many rules it made or took away. */
unsigned bans_nic_poll(struct bans_nic *n, const struct bans *bans);
/* Rules that devices hold. */
uint64_t bans_nic_held(const struct bans_nic *n);

#endif
