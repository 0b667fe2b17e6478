// SPDX-License-Identifier: BSD-3-Clause
/* What the admin API reads: status and counters; lists are in views.c. */
#include "core.h"

#include "shared/config_values.h"
#include "shared/counters.h"
#include "shared/ipc.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const control_counter_name[] = {
#define CONTROL_NAME(name, text) #name,
	CONTROL_COUNTERS(CONTROL_NAME)
#undef CONTROL_NAME
};

static const char *const control_counter_text[] = {
#define CONTROL_TEXT(name, text) text,
	CONTROL_COUNTERS(CONTROL_TEXT)
#undef CONTROL_TEXT
};

static void
ring_fill(struct server_ring_fill *f, const struct ipc *ipc, enum ipc_ring kind, uint32_t worker,
	  uint64_t backlog)
{
	const struct cell_ring *r = ipc_ring(ipc, kind, worker);

	f->used = ring_used(r);
	f->capacity = ring_capacity(r);
	f->backlog = (uint32_t)backlog;
}

void
server_set_page(struct server *s, const char *error)
{
	snprintf(s->page_error, sizeof(s->page_error), "%s", error);
}

int
server_status_counts(struct server *s, struct server_status *out)
{
	struct store_counts counts;
	int rc = store_counts(s->store, &counts);

	if (rc < 0)
		return rc;
	out->users = counts.users;
	out->devices = counts.devices;
	out->stored_messages = counts.messages;
	return 0;
}

void
server_pulse(struct server *s, struct server_status *out)
{
	memset(out, 0, sizeof(*out));
	out->version = ROOKERY_VERSION;
	out->uptime_ms = s->now_ms - s->started_ms;
	out->ready = s->ready;
	out->draining = s->draining;
	out->dataplane_connected = s->attached && s->ipc != NULL;
	out->boot = s->boot;
	out->instance = s->instance;
	out->dataplane_pid = s->dataplane_pid;
	out->workers = s->attached ? s->workers : 0;
	out->sessions_per_worker = s->attached ? s->sessions_per_worker : 0;
	out->sessions = s->sessions.count - s->restricted_count;
	out->sessions_restricted = s->restricted_count;
	out->users_online = s->users.count;
	out->bans = s->ban_count;
	out->traces = traces_count(s);
	out->store_ok = s->store_ok;
	snprintf(out->store_error, sizeof(out->store_error), "%s", s->store_error);
	memcpy(out->page_error, s->page_error, sizeof(out->page_error));
	sodium_bin2hex(out->server_key, sizeof(out->server_key), s->key.public, sizeof(s->key.public));
	if (s->ipc == NULL || !s->attached)
		return;
	ring_fill(&out->table, s->ipc, IPC_TABLE, 0, s->backlog[SERVER_RING_TABLE].count);
	out->bans_enforced = atomic_load_explicit(&ipc_stats(s->ipc, s->workers)->counter[COUNTER_bans_active], memory_order_relaxed);
	for (uint32_t w = 0; w < s->workers; w++) {
		ring_fill(&out->rings[w].event, s->ipc, IPC_EVENT, w, 0);
		ring_fill(&out->rings[w].request, s->ipc, IPC_REQUEST, w, 0);
		ring_fill(&out->rings[w].login, s->ipc, IPC_LOGIN, w, 0);
		ring_fill(&out->rings[w].inject, s->ipc, IPC_INJECT, w, s->backlog[w].count);
	}
}

int
server_dataplane_config(const struct server *s, struct config_values *out)
{
	const struct ipc_config *c;
	char *copy;
	uint32_t length;
	int rc;

	if (s->ipc == NULL || !s->attached)
		return -ENOTCONN;
	c = ipc_config(s->ipc);
	/* The other side could write to it: once, and then our own copy. */
	length = __atomic_load_n(&c->length, __ATOMIC_RELAXED);
	if (length == 0 || length > sizeof(c->text))
		return -ENODATA;
	copy = malloc(length);
	if (copy == NULL)
		return -ENOMEM;
	memcpy(copy, c->text, length);
	rc = config_values_unpack(out, copy, length);
	free(copy);
	return rc;
}

void
server_status(struct server *s, struct server_status *out)
{
	server_pulse(s, out);
	if (server_status_counts(s, out) < 0 && out->store_ok) {
		out->store_ok = false;
		snprintf(out->store_error, sizeof(out->store_error), "%.*s",
			 (int)sizeof(out->store_error) - 1, store_error(s->store));
	}
}

_Static_assert(CONTROL_COUNTER_COUNT <= SERVER_CONTROL_COUNTERS_MAX, "a snapshot holds every counter");

bool
server_control_counter(unsigned i, const char **name, const char **text)
{
	if (i >= CONTROL_COUNTER_COUNT)
		return false;
	*name = control_counter_name[i];
	*text = control_counter_text[i];
	return true;
}

void
server_counters(const struct server *s, struct server_counters *out)
{
	memset(out, 0, sizeof(*out));
	memcpy(out->control, s->counters, sizeof(s->counters));
	out->connected = s->attached && s->ipc != NULL;
	out->workers = out->connected ? s->workers : 0;
	for (uint32_t w = 0; out->connected && w <= s->workers; w++) {
		struct ipc_worker_stats *stats = ipc_stats(s->ipc, w);

		for (unsigned i = 0; i < COUNTER_COUNT; i++)
			out->dataplane[w][i] = atomic_load_explicit(&stats->counter[i], memory_order_relaxed);
	}
}

const struct histogram *
server_commit_latency(const struct server *s)
{
	return store_commit_latency(s->store);
}

static bool
stats_worker(const struct ipc *ipc, uint32_t worker, bool housekeeping, server_counter_fn cb, void *arg)
{
	struct ipc_worker_stats *stats = ipc_stats(ipc, worker);

	for (unsigned i = 0; i < COUNTER_COUNT; i++) {
		struct server_counter c = {
			.scope = housekeeping ? "housekeeping" : "worker",
			.worker = housekeeping ? 0 : worker,
			.name = counter_info[i].name,
			.text = counter_info[i].text,
			.value = atomic_load_explicit(&stats->counter[i], memory_order_relaxed),
			.drop = counter_info[i].is_drop,
		};

		if (!cb(arg, &c))
			return false;
	}
	return true;
}

int
server_stats(struct server *s, server_counter_fn cb, void *arg)
{
	bool connected = s->attached && s->ipc != NULL;

	for (unsigned i = 0; i < CONTROL_COUNTER_COUNT; i++) {
		struct server_counter c = {
			.scope = "control",
			.name = control_counter_name[i],
			.text = control_counter_text[i],
			.value = s->counters[i],
		};

		if (!cb(arg, &c))
			return 0;
	}
	if (!connected)
		return -ENOTCONN;
	for (uint32_t w = 0; w <= s->workers; w++) {
		if (!stats_worker(s->ipc, w, w == s->workers, cb, arg))
			break;
	}
	return 0;
}
