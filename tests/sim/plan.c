/* SPDX-License-Identifier: BSD-3-Clause */
/* Profiles, and when which fault happens. */
#include "sim.h"

#include <string.h>

#define RECOVERY_STEPS 40

/* ---- profiles --------------------------------------------------------------------------- */

static const struct profile calm = {
	.name = "calm",
	.users = 3,
	.devices = 4,
	.workers = 2,
	.chaos_ms = 30000,
	.text_gap_ms = 2000,
	.burst_permille = 30,
	.long_permille = 50,
	.delay_us = 10000,
	.jitter_us = 10000,
	.crash_steps = 40,
	.heartbeat_ms = 4000,
	.timeout_ms = 12000,
	.retransmit_limit = 8,
	.sessions = 64,
	.messages = 512,
	.users_table = 64,
	.conversations = 64,
	.event_cells = 256,
	.request_cells = 64,
	.login_cells = 16,
	.inject_cells = 256,
	.table_cells = 64,
	.logins_per_second = 200,
	.stored_max = 10000,
	.fault_ms = {[FAULT_REBIND] = 8000, [FAULT_LOGOUT] = 30000, [FAULT_CLIENT_CRASH] = 40000},
};

static void
lossy(struct profile *p, struct random *r)
{
	p->loss = (unsigned)random_between(r, 20, 350);
	p->duplicate = (unsigned)random_between(r, 0, 200);
	p->corrupt = (unsigned)random_between(r, 0, 50);
	p->late = (unsigned)random_between(r, 0, 100);
	p->jitter_us = (unsigned)random_between(r, 1000, 300000);
	p->fault_ms[FAULT_PARTITION] = 15000;
	p->fault_ms[FAULT_DEAF] = 20000;
}

static void
crashy(struct profile *p, struct random *r)
{
	p->loss = (unsigned)random_between(r, 0, 60);
	p->fault_ms[FAULT_CLIENT_CRASH] = (unsigned)random_between(r, 4000, 20000);
	p->fault_ms[FAULT_CONTROL_CRASH] = (unsigned)random_between(r, 4000, 15000);
	p->fault_ms[FAULT_DATAPLANE_CRASH] = (unsigned)random_between(r, 4000, 20000);
	p->fault_ms[FAULT_BOTH_CRASH] = (unsigned)random_between(r, 10000, 40000);
	p->fault_ms[FAULT_CONTROL_STALL] = 15000;
	p->fault_ms[FAULT_DATAPLANE_STALL] = 20000;
	p->fault_ms[FAULT_CLIENT_DISK] = 20000;
	p->crash_steps = (unsigned)random_between(r, 1, 200);
	p->relapse = (unsigned)random_between(r, 0, 800);
}

static void
full(struct profile *p, struct random *r)
{
	p->least = true;
	p->event_cells = 2u << random_below(r, 4);
	p->request_cells = 2u << random_below(r, 4);
	p->login_cells = 2u << random_below(r, 2);
	p->inject_cells = 2u << random_below(r, 5);
	p->table_cells = 2u << random_below(r, 4);
	p->messages = (unsigned)random_between(r, 64, 256); /* the least that the configuration allows */
	p->users_table = 64;
	p->sessions = (unsigned)random_between(r, 12, 24);
	p->burst_permille = 150;
	p->text_gap_ms = 1000;
	p->logins_per_second = (unsigned)random_between(r, 1, 5);
	p->stored_max = random_permille(r, 300) ? (unsigned)random_between(r, 5, 50) : 10000;
	p->fault_ms[FAULT_CONTROL_STALL] = (unsigned)random_between(r, 2000, 10000);
	p->fault_ms[FAULT_STORE] = (unsigned)random_between(r, 5000, 20000);
	p->fault_ms[FAULT_IDLE_APP] = 10000;
	p->fault_ms[FAULT_LOGOUT] = 10000;
}

static void
hostile(struct profile *p, struct random *r)
{
	p->loss = (unsigned)random_between(r, 0, 100);
	p->corrupt = (unsigned)random_between(r, 0, 300);
	p->duplicate = (unsigned)random_between(r, 0, 400);
	p->replay = (unsigned)random_between(r, 50, 600);
	p->forge = (unsigned)random_between(r, 0, 200);
	p->astray = (unsigned)random_between(r, 0, 1000);
	p->late = (unsigned)random_between(r, 0, 100);
	p->fault_ms[FAULT_REBIND] = 4000;
	p->fault_ms[FAULT_DATAPLANE_CRASH] = 20000;
}

static void
everything(struct profile *p, struct random *r)
{
	if (random_permille(r, 600))
		lossy(p, r);
	if (random_permille(r, 300))
		hostile(p, r);
	if (random_permille(r, 600))
		crashy(p, r);
	if (random_permille(r, 400))
		full(p, r);
	p->astray = (unsigned)random_between(r, 0, 1000);
	if (random_permille(r, 300))
		p->fault_ms[FAULT_RELATION] = (unsigned)random_between(r, 3000, 20000);
	for (unsigned f = 0; f < FAULT_COUNT; f++)
		if (f != FAULT_RELATION && p->fault_ms[f] == 0 && random_permille(r, 300))
			p->fault_ms[f] = (unsigned)random_between(r, 5000, 40000);
}

static const struct {
	const char *name;
	void (*shape)(struct profile *p, struct random *r);
} profiles[] = {
	{"calm", NULL}, {"lossy", lossy}, {"crashy", crashy}, {"full", full}, {"hostile", hostile}, {"everything", everything},
};

const char *
profile_name(unsigned i)
{
	return i < sizeof(profiles) / sizeof(profiles[0]) ? profiles[i].name : NULL;
}

const char *
profile_pick(struct profile *p, const char *name, struct random *r)
{
	unsigned count = sizeof(profiles) / sizeof(profiles[0]);
	unsigned i = 0;

	if (name == NULL) {
		/* Half of all seeds mix everything. */
		i = random_permille(r, 500) ? count - 1 : (unsigned)random_below(r, count);
	} else {
		while (i < count && strcmp(profiles[i].name, name) != 0)
			i++;
		if (i == count)
			return NULL;
	}
	*p = calm;
	p->name = profiles[i].name;
	p->workers = (unsigned)random_between(r, 1, 3);
	p->users = (unsigned)random_between(r, 2, 4);
	p->devices = p->users + (unsigned)random_below(r, 3);
	p->chaos_ms = (unsigned)random_between(r, 10000, 60000);
	p->delay_us = (unsigned)random_between(r, 100, 60000);
	if (profiles[i].shape != NULL)
		profiles[i].shape(p, r);
	return p->name;
}

/* ---- faults ------------------------------------------------------------------------------ */

static void
plan_next_of(struct sim *s, enum fault f)
{
	unsigned mean_ms = s->profile.fault_ms[f];

	s->plan.next_us[f] = mean_ms == 0 ? NEVER_US : s->now_us + random_gap(&s->plan.random, mean_ms * MS_US);
}

void
plan_start(struct sim *s)
{
	random_seed(&s->plan.random, random_next(&s->random));
	s->plan.on = true;
	s->plan.leave_us = NEVER_US;
	for (unsigned f = 0; f < FAULT_COUNT; f++)
		plan_next_of(s, f);
}

void
plan_stop(struct sim *s)
{
	s->plan.on = false;
}

uint64_t
plan_next(const struct sim *s)
{
	uint64_t next = NEVER_US;

	for (unsigned f = 0; s->plan.on && f < FAULT_COUNT; f++)
		if (s->plan.next_us[f] < next)
			next = s->plan.next_us[f];
	if (s->plan.on && s->plan.leave_us < next)
		next = s->plan.leave_us;
	return next;
}

/* Mostly short, now and then longer than a session lives. */
static uint64_t
outage(struct sim *s)
{
	struct random *r = &s->plan.random;

	if (random_permille(r, 200))
		return random_between(r, 0, 2 * (uint64_t)s->profile.timeout_ms) * MS_US;
	return random_between(r, 0, 3000) * MS_US;
}

static unsigned
steps(struct sim *s)
{
	return (unsigned)random_below(&s->plan.random, s->profile.crash_steps + 1);
}

static void
part_or_make_up(struct sim *s, struct device *d)
{
	struct random *r = &s->plan.random;
	unsigned other = (unsigned)random_below(r, s->profile.users);

	if (d->client == NULL || d->crashed || d->leaving || other == d->user || !d->app.registered)
		return;
	switch (random_below(r, 4)) {
	case 0:
		trace(s, d->name, "removes %s", user_names[other]);
		s->parted[d->user][other] = s->parted[other][d->user] = true;
		rk_client_remove_buddy(d->client, user_names[other]);
		break;
	case 1:
		trace(s, d->name, "blocks %s", user_names[other]);
		s->parted[d->user][other] = s->parted[other][d->user] = true;
		rk_client_block(d->client, user_names[other], true);
		break;
	case 2:
		trace(s, d->name, "unblocks %s", user_names[other]);
		rk_client_block(d->client, user_names[other], false);
		break;
	default:
		d->app.list_us = s->now_us;
		break;
	}
	d->touched = true;
}

static void
fault_of_device(struct sim *s, enum fault f, struct device *d)
{
	struct random *r = &s->plan.random;
	uint64_t us = outage(s);

	switch (f) {
	case FAULT_PARTITION:
		trace(s, d->name, "is cut off for %llu ms", (unsigned long long)(us / MS_US));
		d->cut_in_us = d->cut_out_us = s->now_us + us;
		break;
	case FAULT_DEAF:
		trace(s, d->name, "%s for %llu ms", us & 1 ? "hears nothing" : "is not heard", (unsigned long long)(us / MS_US));
		*(us & 1 ? &d->cut_in_us : &d->cut_out_us) = s->now_us + us;
		break;
	case FAULT_REBIND:
		device_rebind(d);
		break;
	case FAULT_CLIENT_CRASH:
		device_crash(d, steps(s), us);
		break;
	case FAULT_LOGOUT:
		device_logout(d, us);
		break;
	case FAULT_IDLE_APP:
		trace(s, d->name, "does not look for %llu ms", (unsigned long long)(us / MS_US));
		d->app.idle_us = s->now_us + us;
		break;
	case FAULT_CLIENT_DISK:
		d->disk_permille = (unsigned)random_between(r, 10, 1000);
		d->disk_until_us = s->now_us + us;
		trace(s, d->name, "has a disk that fails at %u permille for %llu ms", d->disk_permille, (unsigned long long)(us / MS_US));
		break;
	default:
		part_or_make_up(s, d);
		break;
	}
}

static void
happen(struct sim *s, enum fault f)
{
	struct random *r = &s->plan.random;

	switch (f) {
	case FAULT_CONTROL_CRASH:
		control_crash(s, steps(s), outage(s) / 2);
		break;
	case FAULT_CONTROL_STALL:
		control_stall(s, outage(s) / 2);
		break;
	case FAULT_STORE:
		control_store_fails(s, random_permille(r, 500) ? 1000 : (unsigned)random_between(r, 5, 300), random_permille(r, 500),
				    s->now_us + outage(s));
		break;
	case FAULT_DATAPLANE_CRASH:
		dataplane_crash(s, steps(s), outage(s) / 4);
		break;
	case FAULT_DATAPLANE_STALL:
		dataplane_stall(s, outage(s) / 4);
		break;
	case FAULT_BOTH_CRASH:
		control_crash(s, steps(s), outage(s) / 4);
		dataplane_crash(s, steps(s), outage(s) / 4);
		break;
	default:
		fault_of_device(s, f, &s->devices[random_below(r, s->device_count)]);
		break;
	}
}

/* ---- what comes together ------------------------------------------------------------------ */

/*
 * Chance rarely kills a process in the middle of its recovery, where little is certain, and seldom lets somebody leave while nobody takes
 * note: so both are helped.
 */
void
plan_recovers(struct sim *s, enum fault f)
{
	struct random *r = &s->plan.random;

	if (!s->plan.on || !random_permille(r, s->profile.relapse))
		return;
	if (random_permille(r, 500))
		control_crash_provisioning(s, 1 + (unsigned)random_below(r, s->device_count), outage(s) / 2);
	else if (f == FAULT_CONTROL_CRASH)
		control_crash(s, (unsigned)random_below(r, RECOVERY_STEPS), outage(s) / 2);
	else
		dataplane_crash(s, (unsigned)random_below(r, RECOVERY_STEPS), outage(s) / 4);
}

void
plan_outage(struct sim *s, uint64_t us)
{
	struct random *r = &s->plan.random;

	if (s->plan.on && s->profile.relapse != 0 && random_permille(r, 500))
		s->plan.leave_us = s->now_us + random_below(r, us + 1);
}

static void
leave(struct sim *s)
{
	static const enum fault ways[] = {FAULT_LOGOUT, FAULT_LOGOUT, FAULT_CLIENT_CRASH, FAULT_PARTITION};
	struct random *r = &s->plan.random;

	s->plan.leave_us = NEVER_US;
	fault_of_device(s, ways[random_below(r, sizeof(ways) / sizeof(ways[0]))], &s->devices[random_below(r, s->device_count)]);
}

void
plan_step(struct sim *s)
{
	if (s->plan.on && s->now_us >= s->plan.leave_us)
		leave(s);
	for (unsigned f = 0; s->plan.on && f < FAULT_COUNT; f++) {
		if (s->now_us < s->plan.next_us[f])
			continue;
		happen(s, f);
		plan_next_of(s, f);
	}
}
