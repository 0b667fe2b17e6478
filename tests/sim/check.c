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

/* ---- how soon ------------------------------------------------------------------------------ */

void
check_calm(struct sim *s)
{
	if (!s->healing || s->calm_us != 0 || network_stragglers(s) || !dataplane_up(s) || !control_ready(s))
		return;
	for (unsigned i = 0; i < s->device_count; i++)
		if (s->devices[i].nth == 0 && !app_befriended(&s->devices[i]))
			return;
	s->calm_us = s->now_us;
	trace(s, "world", "is calm");
}

static uint64_t
later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void
check_wait(struct sim *s, const struct text *t, uint64_t since)
{
	for (unsigned i = 0; i < s->device_count && !s->failed; i++) {
		uint64_t from = later(later(since, s->calm_us), s->devices[i].app.online_us);
		uint64_t wait = t->shown_us[i] > from ? t->shown_us[i] - from : 0;
		uint64_t bucket = (wait + WAIT_BUCKET_US - 1) / WAIT_BUCKET_US;

		if (!(t->expected >> i & 1) || !(t->shown >> i & 1))
			continue;
		s->wait_us = later(s->wait_us, wait);
		s->waits[bucket < WAIT_BUCKETS ? bucket : WAIT_BUCKETS - 1]++;
		if (wait > WAIT_LIMIT_US && !s->profile.least)
			fail(s, "waiting: text %u of %s reached %s %llu ms after all faults and the confirmations up to it", t->number,
			     s->devices[t->from].name, s->devices[i].name, (unsigned long long)(wait / MS_US));
	}
}

/* A text has to wait for those before it in its conversation: so its time begins when all of these have their final answers, too. */
void
check_waits(struct sim *s)
{
	uint64_t answered[DEVICES_MAX][USERS_MAX] = {{0}};

	for (uint32_t i = 0; i < s->text_count && !s->failed; i++) {
		const struct text *t = &s->texts[i];
		uint64_t *since = &answered[t->from][t->to];

		*since = later(*since, t->final_us);
		if (t->level == RK_LEVEL_STORED || t->level == RK_LEVEL_DELIVERED)
			check_wait(s, t, *since);
	}
}
