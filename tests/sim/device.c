/* SPDX-License-Identifier: BSD-3-Clause */
/* A device: a client core, its disk, its place in the network. */
#include "client/core.h"
#include "sim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PASSWORD "correct horse"

bool
device_dies(struct device *d)
{
	if (!d->crashed && d->steps_left != UINT64_MAX && d->steps_left-- == 0)
		d->crashed = true;
	return d->crashed;
}

/* ---- the disk -------------------------------------------------------------------------- */

/* What befalls an operation of the store: the process dies before it, or the disk refuses. */
static int
disk_step(struct device *d)
{
	if (device_dies(d))
		return -EIO;
	if (d->sim->now_us < d->disk_until_us && random_permille(&d->random, d->disk_permille))
		return -ENOSPC;
	return 0;
}

#define DISK(name, ...)                                                                    \
	do {                                                                               \
		struct device *device_ = state;                                            \
		int rc_ = disk_step(device_);                                              \
		if (rc_ < 0)                                                               \
			return rc_;                                                        \
		return device_->disk->name(device_->disk->state __VA_OPT__(, ) __VA_ARGS__); \
	} while (0)

static int
disk_begin(void *state)
{
	struct device *d = state;
	int rc = disk_step(d);

	if (rc == 0)
		rc = d->disk->begin(d->disk->state);
	d->in_transaction = rc == 0;
	return rc;
}

static int
disk_commit(void *state)
{
	struct device *d = state;
	int rc = disk_step(d);

	if (rc < 0)
		return rc;
	rc = d->disk->commit(d->disk->state);
	if (rc == 0)
		d->in_transaction = false;
	/* Dead after it: done, but the process never knew. */
	return device_dies(d) ? -EIO : rc;
}

static int
disk_rollback(void *state)
{
	struct device *d = state;

	if (!d->in_transaction)
		return 0;
	d->in_transaction = false;
	return d->disk->rollback(d->disk->state);
}

static int disk_outbox_put(void *state, const struct rk_outgoing *m) { DISK(outbox_put, m); }
static int
disk_outbox_list(void *state, int (*each)(void *, const struct rk_outgoing *), void *arg)
{
	DISK(outbox_list, each, arg);
}
static int disk_outbox_delete(void *state, uint64_t local) { DISK(outbox_delete, local); }
static int disk_counter_get(void *state, enum rk_counter n, uint64_t *v) { DISK(counter_get, n, v); }
static int disk_counter_put(void *state, enum rk_counter n, uint64_t v) { DISK(counter_put, n, v); }
static int
disk_conversation_get(void *state, const char *name, struct rk_conversation *v)
{
	DISK(conversation_get, name, v);
}
static int
disk_conversation_put(void *state, const char *name, const struct rk_conversation *v)
{
	DISK(conversation_put, name, v);
}
static int
disk_conversation_list(void *state, int (*each)(void *, const char *, const struct rk_conversation *), void *arg)
{
	DISK(conversation_list, each, arg);
}
static int disk_high_get(void *state, uint64_t device, uint64_t *id) { DISK(high_get, device, id); }
static int disk_high_put(void *state, uint64_t device, uint64_t id) { DISK(high_put, device, id); }
static int disk_showing_get(void *state, uint64_t device, uint64_t *id) { DISK(showing_get, device, id); }
static int disk_showing_put(void *state, uint64_t device, uint64_t id) { DISK(showing_put, device, id); }
static int disk_name_put(void *state, uint64_t user, const char *name) { DISK(name_put, user, name); }
static int disk_name_get(void *state, uint64_t user, char *name) { DISK(name_get, user, name); }
static int disk_name_find(void *state, const char *name, uint64_t *user) { DISK(name_find, name, user); }
static int disk_key_get(void *state, uint8_t *key) { DISK(server_key_get, key); }
static int disk_key_put(void *state, const uint8_t *key) { DISK(server_key_put, key); }
static int disk_ticket_get(void *state, void *data, size_t *len) { DISK(ticket_get, data, len); }
static int disk_ticket_put(void *state, const void *data, size_t len) { DISK(ticket_put, data, len); }
static int disk_forget(void *state) { DISK(forget); }

static const struct rk_store disk = {
	.begin = disk_begin, .commit = disk_commit, .rollback = disk_rollback, .outbox_put = disk_outbox_put,
	.outbox_list = disk_outbox_list, .outbox_delete = disk_outbox_delete, .counter_get = disk_counter_get,
	.counter_put = disk_counter_put, .conversation_get = disk_conversation_get,
	.conversation_put = disk_conversation_put, .conversation_list = disk_conversation_list, .high_get = disk_high_get, .high_put = disk_high_put,
	.showing_get = disk_showing_get, .showing_put = disk_showing_put, .name_put = disk_name_put,
	.name_get = disk_name_get, .name_find = disk_name_find, .server_key_get = disk_key_get,
	.server_key_put = disk_key_put, .forget = disk_forget, .ticket_get = disk_ticket_get, .ticket_put = disk_ticket_put,
};

/* ---- life -------------------------------------------------------------------------------- */

static void
note_address(struct device *d)
{
	d->addresses[d->address_count % ADDRESSES_MAX] = d->address;
	d->address_count++;
}

bool
device_was_at(const struct sim *s, const struct endpoint *address)
{
	for (unsigned i = 0; i < s->device_count; i++) {
		const struct device *d = &s->devices[i];

		for (unsigned k = 0; k < d->address_count && k < ADDRESSES_MAX; k++)
			if (endpoint_equal(&d->addresses[k], address))
				return true;
		if (d->address_count > ADDRESSES_MAX)
			return true; /* some are forgotten */
	}
	return false;
}

void
device_init(struct sim *s, struct device *d, unsigned index, unsigned user, unsigned nth)
{
	const uint8_t ip[4] = {192, 0, 2, (uint8_t)(index + 1)};

	memset(d, 0, sizeof(*d));
	d->sim = s;
	d->index = index;
	d->user = user;
	d->nth = nth;
	snprintf(d->name, sizeof(d->name), "%s/%u", user_names[user], nth);
	random_seed(&d->random, random_next(&s->random));
	rk_device_key_generate(d->secret);
	endpoint_set_ipv4(&d->address, ip, (uint16_t)random_between(&d->random, 1024, 60000));
	note_address(d);
	d->wall_skew_ms = (int64_t)random_below(&d->random, 7200000) - 3600000;
	d->steps_left = UINT64_MAX;
	d->start_us = NEVER_US;
	d->disk = rk_store_memory();
	d->store = disk;
	d->store.state = d;
}

static void
discard(struct device *d)
{
	rk_client_free(d->client);
	d->client = NULL;
	d->leaving = false;
	d->steps_left = UINT64_MAX;
	d->crashed = false;
	if (d->in_transaction)
		d->disk->rollback(d->disk->state);
	d->in_transaction = false;
	app_died(d);
}

void
device_fini(struct device *d)
{
	if (d->client != NULL)
		discard(d);
	rk_store_close(d->disk);
	app_fini(d);
}

void
device_start(struct device *d)
{
	struct rk_config cfg = {
		.user = user_names[d->user],
		.device_secret = d->secret,
		.server_key = control_key(d->sim),
		.store = &d->store,
		.device_name = d->name,
	};
	int rc = rk_client_new(&d->client, &cfg);

	d->start_us = NEVER_US;
	if (rc < 0) {
		/* Its disk is full. */
		d->client = NULL;
		trace(d->sim, d->name, "cannot start: %d", rc);
		d->start_us = d->sim->now_us + SECOND_US;
		return;
	}
	trace(d->sim, d->name, "starts");
	if (!d->app.registered && d->nth == 0)
		rk_client_register(d->client, PASSWORD);
	else if (!d->app.registered)
		rk_client_enrol(d->client, PASSWORD);
	rk_client_login(d->client);
	app_started(d);
	d->touched = true;
}

static void
stopped(struct device *d, const char *how)
{
	trace(d->sim, d->name, "%s", how);
	d->sim->resumes += device_resumes(d);
	discard(d);
	d->start_us = d->sim->now_us + d->down_us;
}

void
device_crash(struct device *d, unsigned steps, uint64_t down_us)
{
	if (d->client == NULL || d->leaving)
		return;
	trace(d->sim, d->name, "is to be killed after %u steps, for %llu ms", steps, (unsigned long long)(down_us / MS_US));
	d->steps_left = steps;
	d->down_us = down_us;
}

void
device_logout(struct device *d, uint64_t down_us)
{
	if (d->client == NULL || d->leaving || d->steps_left != UINT64_MAX)
		return;
	trace(d->sim, d->name, "logs out for %llu ms", (unsigned long long)(down_us / MS_US));
	d->leaving = true;
	d->down_us = down_us;
	rk_client_logout(d->client);
	d->touched = true;
}

void
device_rebind(struct device *d)
{
	char text[ENDPOINT_STRLEN];

	if (random_permille(&d->random, 200))
		d->address.ip[14] = (uint8_t)random_between(&d->random, 3, 250);
	d->address.port = (uint16_t)random_between(&d->random, 1024, 65535);
	note_address(d);
	trace(d->sim, d->name, "has a new address: %s", endpoint_format(&d->address, text));
}

struct device *
device_at(struct sim *s, const struct endpoint *address)
{
	for (unsigned i = 0; i < s->device_count; i++)
		if (endpoint_equal(&s->devices[i].address, address))
			return &s->devices[i];
	return NULL;
}

uint64_t
device_logins(const struct device *d)
{
	struct rk_stats stats;

	if (d->client == NULL)
		return 0;
	rk_client_stats(d->client, &stats);
	return stats.logins;
}

uint64_t
device_resumes(const struct device *d)
{
	struct rk_stats stats;

	if (d->client == NULL)
		return 0;
	rk_client_stats(d->client, &stats);
	return stats.resumes;
}

/* ---- time ---------------------------------------------------------------------------------- */

static uint64_t
wall_ms(const struct device *d)
{
	return sim_wall_ms(d->sim) + (uint64_t)d->wall_skew_ms;
}

void
device_input(struct device *d, const uint8_t *data, size_t len)
{
	if (d->client == NULL || d->crashed || d->sim->now_us < d->cut_in_us)
		return;
	rk_client_input(d->client, d->sim->now_us, wall_ms(d), data, len);
	if (device_logins(d) + device_resumes(d) != d->app.sessions)
		app_session(d);
	d->touched = true;
}

static bool
take_events(struct device *d)
{
	struct rk_event e;
	bool any = false;

	while (!d->crashed && d->sim->now_us >= d->app.idle_us && !d->sim->failed && rk_client_next_event(d->client, &e) == 1) {
		if (device_dies(d))
			break; /* before the application saw it */
		if (d->client->events.unsaved == NULL)
			d->app.showing = NULL;
		app_event(d, &e);
		any = true;
		device_dies(d); /* right after */
	}
	/* Dealt with and written down: from here on it must not come again. */
	if (!d->crashed && d->sim->now_us >= d->app.idle_us && d->client->events.unsaved == NULL && d->client->events.shown == NULL)
		d->app.showing = NULL;
	return any;
}

static bool
take_datagrams(struct device *d)
{
	uint8_t buf[RK_DATAGRAM_MAX];
	bool any = false;
	size_t n;

	while (!d->crashed && (n = rk_client_output(d->client, d->sim->now_us, wall_ms(d), buf, sizeof(buf))) > 0) {
		if (device_dies(d))
			break;
		network_send(d->sim, true, &d->address, buf, n);
		any = true;
	}
	if (!d->crashed && rk_client_take_rebind(d->client)) {
		device_rebind(d);
		rk_client_rebound(d->client);
		any = true;
	}
	return any;
}

static void
settle(struct device *d)
{
	const char *wrong;
	unsigned turns = 0;
	bool any;

	do {
		any = take_datagrams(d);
		any = take_events(d) || any;
		if (++turns > 10000)
			fail(d->sim, "%s never comes to rest", d->name);
	} while (any && !d->crashed && !d->sim->failed);
	wrong = d->crashed ? NULL : client_check(d->client);
	if (wrong != NULL)
		fail(d->sim, "%s: %s", d->name, wrong);
	d->touched = false;
}

void
device_step(struct device *d)
{
	struct sim *s = d->sim;
	uint64_t deadline;

	if (d->client == NULL) {
		if (s->now_us >= d->start_us)
			device_start(d);
		else {
			d->next_us = d->start_us;
			return;
		}
	}
	if (d->client == NULL || (!d->touched && s->now_us < d->next_us))
		return;
	d->next_us = app_step(d);
	settle(d);
	/* A kill that finds nothing to be done comes all the same. */
	if (!d->crashed && d->steps_left != UINT64_MAX)
		device_dies(d);
	if (d->crashed) {
		stopped(d, "KILLED");
	} else if (d->leaving && d->app.closed) {
		stopped(d, "has logged out");
	} else {
		deadline = rk_client_deadline(d->client);
		if (d->next_us > deadline)
			d->next_us = deadline;
		if (d->app.idle_us > s->now_us && d->next_us > d->app.idle_us)
			d->next_us = d->app.idle_us;
		if (d->next_us <= s->now_us)
			d->next_us = s->now_us + 1;
		return;
	}
	d->next_us = d->start_us;
}
