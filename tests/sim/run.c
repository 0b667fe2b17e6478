/* SPDX-License-Identifier: BSD-3-Clause */
/* One seed: calm beginning, faults, healing, and what must be true then. */
#include "sim.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define START_LIMIT_MS 60000
/* After healing: probes of 8 s, a session that expires first, failed deliveries tried again after 5 s, logins 5 s apart. As long as
 * something comes through, more time is given: tables of the least size take a while to empty. */
#define HEAL_LIMIT_MS 120000
#define HEAL_LONGEST_MS 1800000
#define LINGER_MS 70000
#define STEPS_MAX 3000000

static uint64_t
next_time(const struct sim *s)
{
	uint64_t t = network_next(s);
	uint64_t others[] = {plan_next(s), dataplane_next(s), control_next(s)};

	for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (others[i] < t)
			t = others[i];
	for (unsigned i = 0; i < s->device_count; i++)
		if (s->devices[i].next_us < t)
			t = s->devices[i].next_us;
	return t;
}

static void
step(struct sim *s, uint64_t limit_us)
{
	uint64_t t = next_time(s);

	if (t > limit_us)
		t = limit_us;
	if (t > s->now_us)
		s->now_us = t;
	plan_step(s);
	network_step(s);
	dataplane_step(s);
	control_step(s);
	for (unsigned i = 0; i < s->device_count && !s->failed; i++)
		device_step(&s->devices[i]);
	check_step(s);
	check_calm(s);
	if (++s->steps > STEPS_MAX)
		fail(s, "no end after %u steps", STEPS_MAX);
}

static void
pass(struct sim *s, uint64_t ms)
{
	uint64_t until = s->now_us + ms * MS_US;

	while (s->now_us < until && !s->failed)
		step(s, until);
}

/* Steps until ready() says NULL; its complaint after the limit is the failure. */
static void
until(struct sim *s, const char *(*ready)(struct sim *), uint64_t limit_ms, const char *what)
{
	uint64_t limit = s->now_us + limit_ms * MS_US;
	const char *missing;

	while (!s->failed && (missing = ready(s)) != NULL) {
		if (s->now_us >= limit)
			fail(s, "%s: after %llu s %s", what, (unsigned long long)(limit_ms / 1000), missing);
		/* Asking costs: not after every step. */
		for (unsigned i = 0; i < 50 && !s->failed && s->now_us < limit; i++)
			step(s, limit);
	}
}

static const char *
stands_still(struct sim *s)
{
	if (s->progress != s->progress_seen) {
		s->progress_seen = s->progress;
		s->progress_us = s->now_us;
	}
	return s->now_us - s->progress_us > HEAL_LIMIT_MS * MS_US ? check_settled(s) : NULL;
}

static void
healed(struct sim *s)
{
	uint64_t longest = s->now_us + HEAL_LONGEST_MS * MS_US;
	const char *missing;

	s->progress_us = s->now_us;
	while (!s->failed && check_settled(s) != NULL) {
		missing = s->now_us > longest ? check_settled(s) : stands_still(s);
		if (missing != NULL)
			fail(s, "healing: nothing moves any more, and %s", missing);
		for (unsigned i = 0; i < 200 && !s->failed; i++)
			step(s, longest + 1);
	}
}

/* Nothing that was sent in troubled times is still on its way, and what it led to has come to its end. */
static const char *
stragglers(struct sim *s)
{
	return network_stragglers(s) ? "datagrams from before the healing are still on their way" : check_settled(s);
}

/* ---- phases ------------------------------------------------------------------------------- */

static int
config_make(struct sim *s)
{
	const struct profile *p = &s->profile;
	struct config *c;
	char error[256];

	if (config_load(&s->config, NULL, s->dir, error, sizeof(error)) < 0)
		return -1;
	c = s->config;
	c->dataplane.workers = p->workers;
	c->dataplane.sessions = p->sessions;
	c->dataplane.messages = p->messages;
	c->dataplane.users = p->users_table;
	c->dataplane.conversations = p->conversations;
	c->session.heartbeat_ms = p->heartbeat_ms;
	c->session.timeout_ms = p->timeout_ms;
	c->session.retransmit_limit = p->retransmit_limit;
	/* Some minutes of chaos see several keys. */
	c->session.ticket_ms = 60000;
	c->control.logins_per_second = p->logins_per_second;
	c->control.stored_max = p->stored_max;
	c->control.password_memory_kib = 8;
	c->control.password_passes = 1;
	return 0;
}

static int
sim_new(struct sim *s, uint64_t seed, const char *profile)
{
	random_seed(&s->random, seed);
	random_bytes_seed(seed);
	s->seed = seed;
	s->trace.hash = UINT64_C(0xcbf29ce484222325);
	s->now_us = SECOND_US;
	s->wall0_ms = UINT64_C(1790000000000);
	if (profile_pick(&s->profile, profile, &s->random) == NULL)
		return -1;
	random_seed(&s->network.random, random_next(&s->random));
	strcpy(s->dir, "/dev/shm/rooksim-XXXXXX");
	s->texts = calloc(TEXTS_MAX, sizeof(*s->texts));
	s->network.sealed = calloc(SEALED, sizeof(struct sealed));
	if (s->texts == NULL || s->network.sealed == NULL || mkdtemp(s->dir) == NULL || config_make(s) < 0 || dataplane_new(s) < 0 || control_new(s) < 0)
		return -1;
	s->device_count = s->profile.devices;
	for (unsigned i = 0; i < s->device_count; i++) {
		device_init(s, &s->devices[i], i, i % s->profile.users, i / s->profile.users);
		s->devices[i].start_us = s->now_us + random_below(&s->random, SECOND_US);
		/* A further device needs the account. */
		if (i >= s->profile.users)
			s->devices[i].start_us += 5 * SECOND_US;
		s->devices[i].next_us = s->devices[i].start_us;
	}
	return 0;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
	(void)st;
	(void)type;
	(void)f;
	return remove(path);
}

static void
sim_free(struct sim *s)
{
	for (unsigned i = 0; i < s->device_count; i++)
		device_fini(&s->devices[i]);
	control_free(s);
	dataplane_free(s);
	network_free(s);
	config_free(s->config);
	free(s->texts);
	nftw(s->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *
ready_to_begin(struct sim *s)
{
	return check_settled(s);
}

static void
heal(struct sim *s)
{
	trace(s, "world", "everything heals");
	s->healing = true;
	s->heal_us = s->now_us;
	plan_stop(s);
	s->chatting = false;
	network_heal(s);
	control_heal(s);
	dataplane_heal(s);
	for (unsigned i = 0; i < s->device_count; i++) {
		struct device *d = &s->devices[i];

		d->cut_in_us = d->cut_out_us = d->disk_until_us = d->app.idle_us = 0;
		d->steps_left = UINT64_MAX; /* a kill that is planned and has not come is spared */
		if (d->start_us != NEVER_US && d->start_us > s->now_us + SECOND_US)
			d->start_us = s->now_us + SECOND_US;
		d->next_us = s->now_us;
		d->touched = true;
	}
}

static const char *
answered(struct sim *s)
{
	for (unsigned i = 0; i < s->device_count; i++) {
		const struct device *d = &s->devices[i];

		if (d->client == NULL || !rk_client_online(d->client) || rk_client_requests_pending(d->client) != 0)
			return "somebody waits for the answer to a request";
	}
	return NULL;
}

/* Those who blocked somebody end that, and those who parted are buddies again. */
static void
make_up(struct sim *s)
{
	if (s->profile.fault_ms[FAULT_RELATION] == 0)
		return;
	for (unsigned i = 0; i < s->profile.users; i++) {
		struct device *d = &s->devices[i];

		for (unsigned k = 0; k < s->profile.users; k++)
			if (i != k && d->client != NULL)
				rk_client_block(d->client, user_names[k], false);
		/* Who is still a buddy they know only from before: they ask all of them. */
		memset(d->app.buddy, RK_BUDDY_NONE, sizeof(d->app.buddy));
		d->app.list_us = s->now_us;
		d->touched = true;
	}
}

/* G4: new addresses for all, and nobody has to log in again. */
static void
addresses_change(struct sim *s)
{
	uint64_t before[DEVICES_MAX];

	for (unsigned i = 0; i < s->device_count; i++) {
		before[i] = device_logins(&s->devices[i]);
		device_rebind(&s->devices[i]);
	}
	/* What is on its way to the old addresses comes again at the latest after 3 s. */
	pass(s, 2 * s->profile.heartbeat_ms + 3000);
	for (unsigned i = 0; i < s->device_count && !s->failed; i++) {
		app_write(&s->devices[i], (s->devices[i].user + 1) % s->profile.users, 0);
		if (device_logins(&s->devices[i]) != before[i])
			fail(s, "G4: %s has logged in again after a change of its address", s->devices[i].name);
	}
	until(s, check_settled, 30000, "new addresses");
	check_texts(s);
}

/* The devices of others, bit each, that know of the user that he is there, or do not. */
static uint8_t
told_that(const struct sim *s, unsigned user, bool online)
{
	uint8_t told = 0;

	for (unsigned i = 0; i < s->device_count; i++) {
		const struct device *d = &s->devices[i];

		if (d->client != NULL && d->user != user && (d->app.presence[user] > RK_STATUS_OFFLINE) == online)
			told |= (uint8_t)(1u << i);
	}
	return told;
}

/* G5: whoever came was told who is there. */
static void
check_known(struct sim *s)
{
	for (unsigned user = 0; user < s->profile.users; user++) {
		uint8_t wrong = told_that(s, user, false);

		for (unsigned i = 0; i < s->device_count && !s->failed; i++)
			if (wrong >> i & 1)
				fail(s, "G5: %s does not know that %s is online", s->devices[i].name, user_names[user]);
	}
}

/* G5: all devices of one user go; the others, who saw it online, know it in time. */
static void
user_leaves(struct sim *s, unsigned user, bool logout)
{
	uint8_t wrong;

	for (unsigned i = 0; i < s->device_count && !s->failed; i++) {
		struct device *d = &s->devices[i];

		if (d->user != user)
			continue;
		if (logout)
			device_logout(d, 3600 * SECOND_US);
		else
			device_crash(d, 0, 3600 * SECOND_US);
		d->touched = true;
	}
	pass(s, logout ? 1000 : s->profile.timeout_ms + 1000);
	wrong = told_that(s, user, true);
	for (unsigned i = 0; i < s->device_count && !s->failed; i++)
		if (wrong >> i & 1)
			fail(s, "G5: %s does not know that %s %s", s->devices[i].name, user_names[user],
			     logout ? "has logged out" : "has vanished");
}

static const char *
empty(struct sim *s)
{
	return dataplane_empty(s);
}

static void
phases(struct sim *s)
{
	s->network.calm = true;
	dataplane_start(s);
	control_start(s);
	until(s, ready_to_begin, START_LIMIT_MS, "beginning");
	trace(s, "world", "trouble begins");
	s->network.calm = strcmp(s->profile.name, "calm") == 0;
	s->chatting = true;
	plan_start(s);
	pass(s, s->profile.chaos_ms);
	heal(s);
	pass(s, 3000);
	/* A "remove" that is still under way would part them again. */
	until(s, answered, HEAL_LIMIT_MS, "requests");
	make_up(s);
	healed(s);
	s->settled_us = s->now_us;
	/* The slowest datagram, such as a LOGIN from before, may still end a session. */
	until(s, stragglers, HEAL_LIMIT_MS, "stragglers");
	pass(s, 1000);
	check_texts(s);
	check_waits(s);
	addresses_change(s);
	check_known(s);
	user_leaves(s, 0, random_permille(&s->random, 500));
	if (s->profile.users > 2)
		user_leaves(s, 1, random_permille(&s->random, 500));
	pass(s, LINGER_MS);
	until(s, empty, 20000, "emptying");
}

void
sim_run(uint64_t seed, const char *profile, bool print, bool packets, struct sim_result *result)
{
	struct sim *s = calloc(1, sizeof(*s));

	s->trace.print = print || packets;
	s->trace.packets = packets;
	if (sim_new(s, seed, profile) < 0)
		fail(s, "the simulation could not be made");
	else
		phases(s);
	result->failed = s->failed;
	memcpy(result->reason, s->reason, sizeof(result->reason));
	snprintf(result->profile, sizeof(result->profile), "%s", s->profile.name);
	result->hash = s->trace.hash;
	result->steps = s->steps;
	result->datagrams = s->network.delivered;
	result->texts = s->text_count;
	result->both = s->both;
	result->resumes = s->resumes;
	for (unsigned i = 0; i < s->device_count; i++)
		result->resumes += device_resumes(&s->devices[i]);
	result->virtual_us = s->now_us;
	result->least = s->profile.least;
	result->wait_us = s->failed ? 0 : s->wait_us;
	result->settle_us = s->failed ? 0 : s->settled_us - s->heal_us;
	memcpy(result->waits, s->waits, sizeof(result->waits));
	sim_free(s);
	free(s);
}
