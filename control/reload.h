/* SPDX-License-Identifier: BSD-3-Clause */
/* Which configuration keys change while control runs, and changing them. */
#ifndef ROOKERY_CONTROL_RELOAD_H
#define ROOKERY_CONTROL_RELOAD_H

#include "shared/config.h"

enum reload_outcome {
	RELOAD_LIVE,      /* in force now */
	RELOAD_DATAPLANE, /* read when the dataplane starts: `rookctl restart dataplane` */
	RELOAD_BOTH,      /* ... when both processes start, one after the other */
	RELOAD_CONTROL,   /* `rookctl restart control` */
	RELOAD_STOP,      /* the whole server has to be stopped */
};

/* What it takes to change this key ("dataplane.workers"). */
enum reload_outcome reload_outcome_of(const char *key);

/* Copies all RELOAD_LIVE keys; texts and lists trade places, for each configuration to free its own. */
void reload_apply(struct config *to, struct config *from);

#endif
