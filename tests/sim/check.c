/* SPDX-License-Identifier: BSD-3-Clause */
/* What must be true after each step and at the end. */
#include "client/core.h"
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>

/* Looking through all tables of all workers costs more than the step itself, so it is done after every so manyth. The sums of G7 and the
 * clients' invariants are looked at every time. */
#define TABLES_EVERY 64

void
fail(struct sim *s, const char *format, ...)
{
	va_list args;

	if (s->failed)
		return;
	s->failed = true;
	va_start(args, format);
	vsnprintf(s->reason, sizeof(s->reason), format, args);
	va_end(args);
	trace(s, "FAILED", "%s", s->reason);
	trace_clients(s);
}

void
check_step(struct sim *s)
{
	const char *wrong;

	if (s->check_always || s->steps % TABLES_EVERY == 0) {
		wrong = dataplane_check(s);
		if (wrong == NULL)
			wrong = control_check(s);
	} else {
		wrong = dataplane_sums(s);
	}
	if (wrong != NULL)
		fail(s, "%s", wrong);
}

/* ---- at the end -------------------------------------------------------------------------- */

static bool
outbox_has(const struct device *d)
{
	return rk_client_outbox_pending(d->client) != 0;
}

const char *
check_settled(struct sim *s)
{
	static char why[128];
	const char *wrong = control_empty(s);

	for (unsigned i = 0; i < s->device_count && wrong == NULL; i++) {
		struct device *d = &s->devices[i];

		wrong = why;
		if (d->client == NULL || !rk_client_online(d->client))
			snprintf(why, sizeof(why), "%s is not online", d->name);
		else if (outbox_has(d))
			snprintf(why, sizeof(why), "%s waits for %zu answers", d->name, rk_client_outbox_pending(d->client));
		else if (d->client->inbox.held != 0)
			snprintf(why, sizeof(why), "%s holds %zu messages back", d->name, d->client->inbox.held);
		else if (rk_client_requests_pending(d->client) != 0)
			snprintf(why, sizeof(why), "%s waits for the answer to a request", d->name);
		else if (d->nth == 0 && !app_befriended(d))
			snprintf(why, sizeof(why), "%s has not all buddies", d->name);
		else
			wrong = NULL;
	}
	return wrong;
}

static void
check_text(struct sim *s, const struct text *t)
{
	const char *from = s->devices[t->from].name;

	if (t->sure && t->level == 0)
		fail(s, "G2: text %u of %s to %s has no final answer", t->number, from, user_names[t->to]);
	for (unsigned i = 0; i < s->device_count; i++) {
		if (!(t->expected >> i & 1) || (t->shown >> i & 1))
			continue;
		if (t->level == RK_LEVEL_STORED || t->level == RK_LEVEL_DELIVERED)
			fail(s, "G1: text %u of %s to %s was confirmed (%s) and never shown to %s", t->number, from, user_names[t->to],
			     rk_level_name(t->level), s->devices[i].name);
	}
}

void
check_texts(struct sim *s)
{
	for (uint32_t i = 0; i < s->text_count && !s->failed; i++)
		check_text(s, &s->texts[i]);
}
