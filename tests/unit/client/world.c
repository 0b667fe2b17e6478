/* SPDX-License-Identifier: BSD-3-Clause */
#include "world.h"
#include "client/core.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* xorshift64*: the same network for the same seed on every machine. */
uint64_t
world_random(struct world *w, uint64_t below)
{
	w->random ^= w->random >> 12;
	w->random ^= w->random << 25;
	w->random ^= w->random >> 27;
	return (w->random * UINT64_C(2685821657736338717) >> 16) % below;
}

/* ---- network ----------------------------------------------------------------------------- */

static void
enqueue(struct world *w, struct person *to, const struct endpoint *from, const uint8_t *data, size_t len)
{
	struct packet *p = calloc(1, sizeof(*p)), **at = &w->packets;

	assert_non_null(p);
	assert_true(len <= sizeof(p->data));
	p->to = to;
	p->from = *from;
	p->len = len;
	memcpy(p->data, data, len);
	p->due_us = w->now_us + w->delay_us + (w->jitter_us > 0 ? world_random(w, w->jitter_us) : 0);
	while (*at != NULL && (*at)->due_us <= p->due_us)
		at = &(*at)->next;
	p->next = *at;
	*at = p;
}

static void
transmit(struct world *w, struct person *person, bool to_server, const struct endpoint *address,
	 const uint8_t *data, size_t len)
{
	if (w->filter != NULL && !w->filter(w, person, to_server, data, len))
		return;
	if (world_random(w, 100) < w->loss)
		return;
	enqueue(w, to_server ? NULL : person, address, data, len);
	if (world_random(w, 100) < w->duplicate)
		enqueue(w, to_server ? NULL : person, address, data, len);
}

static void
from_server(void *arg, const struct endpoint *to, const uint8_t *data, size_t len)
{
	struct world *w = arg;

	for (size_t i = 0; i < w->n_people; i++) {
		if (endpoint_equal(&w->people[i].address, to)) {
			transmit(w, &w->people[i], false, to, data, len);
			return;
		}
	}
}

/* ---- the application --------------------------------------------------------------------- */

static void
note(struct person *p, const char *format, ...)
{
	char line[RK_TEXT_MAX + 512];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	assert_true(p->n_log < LOG_MAX);
	p->log[p->n_log] = strdup(line);
	assert_non_null(p->log[p->n_log++]);
}

static void
note_event(struct person *p, const struct rk_event *e)
{
	switch (e->type) {
	case RK_EVENT_KEY_SEEN:
		note(p, "key %s", e->key.changed ? "changed" : e->key.accepted ? "accepted" : "new");
		break;
	case RK_EVENT_LOGIN:
		note(p, "login %s %s", e->login.user, e->login.observed);
		break;
	case RK_EVENT_LOGIN_REFUSED:
		note(p, "login_refused %s", e->error.name);
		break;
	case RK_EVENT_ENROL_NEEDED:
		note(p, "enrol_needed");
		break;
	case RK_EVENT_BUDDY_REQUEST:
		note(p, "buddy_request %s: %s", e->buddy.name, e->buddy.text);
		break;
	case RK_EVENT_BUDDY:
		note(p, "buddy %s %s", e->buddy.name, rk_buddy_state_name(e->buddy.state));
		break;
	case RK_EVENT_PRESENCE:
		note(p, "presence %s %s: %s", e->presence.name, rk_status_name(e->presence.status),
		     e->presence.text);
		break;
	case RK_EVENT_MESSAGE:
		assert_int_equal(e->message.text[e->message.text_len], 0);
		note(p, "message%s%s %s: %s", e->message.offline ? " offline" : "",
		     e->message.redelivered ? " redelivered" : "", e->message.from, e->message.text);
		note(p, "id-of-message %s", e->message.id);
		break;
	case RK_EVENT_SENT:
		note(p, "sent %s %lld", e->outgoing.to, (long long)e->outgoing.local);
		note(p, "id-of-sent %s", e->outgoing.id);
		break;
	case RK_EVENT_RECEIPT:
		note(p, "receipt %s %lld %s", e->outgoing.to, (long long)e->outgoing.local,
		     rk_level_name(e->outgoing.level));
		break;
	case RK_EVENT_REFUSED:
		note(p, "refused %s %lld %s", e->outgoing.to, (long long)e->outgoing.local,
		     rk_refused_name(e->outgoing.reason));
		break;
	case RK_EVENT_BUDDIES:
		note(p, "buddies %zu", e->response.buddies);
		break;
	case RK_EVENT_RESPONSE:
		note(p, "response %lld %s %zu", (long long)e->response.request, e->response.name,
		     e->response.users);
		break;
	case RK_EVENT_ERROR:
		note(p, "error %s", e->error.name);
		break;
	case RK_EVENT_DISCONNECTED:
		note(p, "disconnected");
		break;
	case RK_EVENT_RESUMED:
		note(p, "resumed");
		break;
	case RK_EVENT_CLOSED:
		note(p, "closed %s", rk_closed_name(e->closed));
		break;
	case RK_EVENT_SYNCED:
		note(p, "synced");
		break;
	case RK_EVENT_NONE:
		fail();
	}
}

static void
check(const struct person *p)
{
	const char *broken = client_check(p->client);

	if (broken != NULL)
		fail_msg("%s: %s", p->name, broken);
}

static void
step(struct person *p)
{
	if (++p->steps == p->crash_at)
		p->crashed = true;
}

static bool
take_events(struct person *p)
{
	struct rk_event e;
	bool any = false;

	while (!p->idle && !p->crashed && rk_client_next_event(p->client, &e) == 1) {
		if (p->crashed)
			break; /* died before the application saw it */
		note_event(p, &e);
		any = true;
		check(p);
		step(p);
	}
	return any;
}

static bool
take_datagrams(struct world *w, struct person *p)
{
	uint8_t buf[RK_DATAGRAM_MAX];
	bool any = false;
	size_t n;

	while (!p->crashed && (n = rk_client_output(p->client, w->now_us, w->wall_ms0 + w->now_us / 1000, buf,
						    sizeof(buf))) > 0) {
		any = true;
		check(p);
		if (p->crashed)
			break;
		w->sent++;
		if (!p->deaf)
			transmit(w, p, true, &p->address, buf, n);
		step(p);
		assert_true(w->sent < 1000000);
	}
	return any;
}

static void
settle(struct world *w, struct person *p)
{
	bool any;

	if (p->client == NULL || p->crashed)
		return;
	do {
		any = take_datagrams(w, p);
		any = take_events(p) || any;
		/* Taking events may have been what the next datagram waits for. */
	} while (any && !p->crashed);
	check(p);
}

/* ---- a store that dies with its process -------------------------------------------------- */

/* One step; then the true store's function, unless the process died. */
#define STEP(name, ...)                                                                                  \
	do {                                                                                             \
		struct person *person_ = state;                                                          \
		step(person_);                                                                           \
		return person_->crashed                                                                  \
			       ? -EIO                                                                    \
			       : person_->store->name(person_->store->state __VA_OPT__(, ) __VA_ARGS__); \
	} while (0)

static int d_begin(void *state) { STEP(begin); }
static int d_commit(void *state) { STEP(commit); }
static int d_rollback(void *state) { STEP(rollback); }
static int d_outbox_put(void *state, const struct rk_outgoing *m) { STEP(outbox_put, m); }
static int
d_outbox_list(void *state, int (*each)(void *, const struct rk_outgoing *), void *arg)
{
	STEP(outbox_list, each, arg);
}
static int d_outbox_delete(void *state, uint64_t local) { STEP(outbox_delete, local); }
static int d_counter_get(void *state, enum rk_counter n, uint64_t *v) { STEP(counter_get, n, v); }
static int d_counter_put(void *state, enum rk_counter n, uint64_t v) { STEP(counter_put, n, v); }
static int
d_conversation_get(void *state, const char *name, struct rk_conversation *v)
{
	STEP(conversation_get, name, v);
}
static int
d_conversation_put(void *state, const char *name, const struct rk_conversation *v)
{
	STEP(conversation_put, name, v);
}
static int
d_conversation_list(void *state, int (*each)(void *, const char *, const struct rk_conversation *), void *arg)
{
	STEP(conversation_list, each, arg);
}
static int d_high_get(void *state, uint64_t device, uint64_t *id) { STEP(high_get, device, id); }
static int d_high_put(void *state, uint64_t device, uint64_t id) { STEP(high_put, device, id); }
static int d_showing_get(void *state, uint64_t device, uint64_t *id) { STEP(showing_get, device, id); }
static int d_showing_put(void *state, uint64_t device, uint64_t id) { STEP(showing_put, device, id); }
static int d_name_put(void *state, uint64_t user, const char *name) { STEP(name_put, user, name); }
static int d_name_get(void *state, uint64_t user, char *name) { STEP(name_get, user, name); }
static int d_name_find(void *state, const char *name, uint64_t *user) { STEP(name_find, name, user); }
static int d_key_get(void *state, uint8_t *key) { STEP(server_key_get, key); }
static int d_key_put(void *state, const uint8_t *key) { STEP(server_key_put, key); }
static int d_forget(void *state) { STEP(forget); }

static const struct rk_store dying = {
	.begin = d_begin,
	.commit = d_commit,
	.rollback = d_rollback,
	.outbox_put = d_outbox_put,
	.outbox_list = d_outbox_list,
	.outbox_delete = d_outbox_delete,
	.counter_get = d_counter_get,
	.counter_put = d_counter_put,
	.conversation_get = d_conversation_get,
	.conversation_put = d_conversation_put,
	.conversation_list = d_conversation_list,
	.high_get = d_high_get,
	.high_put = d_high_put,
	.showing_get = d_showing_get,
	.showing_put = d_showing_put,
	.name_put = d_name_put,
	.name_get = d_name_get,
	.name_find = d_name_find,
	.server_key_get = d_key_get,
	.server_key_put = d_key_put,
	.forget = d_forget,
};

/* ---- people ------------------------------------------------------------------------------ */

void
person_new_address(struct person *p)
{
	p->address.port++;
}

struct person *
person_new(struct world *w, const char *name, const char *path)
{
	struct person *p = &w->people[w->n_people++];
	const uint8_t ip[4] = {192, 0, 2, (uint8_t)w->n_people};

	assert_true(w->n_people <= PEOPLE);
	p->name = name;
	if (path != NULL)
		snprintf(p->path, sizeof(p->path), "%s", path);
	assert_int_equal(rk_device_key_generate(p->secret), 0);
	endpoint_set_ipv4(&p->address, ip, 40000);
	return p;
}

void
person_open(struct world *w, struct person *p)
{
	struct rk_config cfg = {.user = p->name, .device_secret = p->secret, .ask_new_key = p->ask_new_key,
				.store = &p->dying, .device_name = "test", .status_text = p->status_text};

	if (!p->no_key)
		cfg.server_key = p->server_key != NULL ? p->server_key : server_keypair(w->server)->public;
	if (p->store == NULL && p->path[0] != '\0')
		assert_int_equal(rk_store_open(&p->store, p->path), 0);
	else if (p->store == NULL)
		p->store = rk_store_memory();
	assert_non_null(p->store);
	p->dying = dying;
	p->dying.state = p;
	p->crashed = false;
	assert_int_equal(rk_client_new(&p->client, &cfg), 0);
}

void
person_start(struct world *w, struct person *p)
{
	person_open(w, p);
	assert_int_equal(rk_client_login(p->client), 0);
	settle(w, p);
}

void
person_stop(struct person *p)
{
	rk_client_free(p->client);
	p->client = NULL;
	/* A store in memory stands for a disk. */
	if (p->path[0] != '\0') {
		rk_store_close(p->store);
		p->store = NULL;
	}
}

struct person *
person_registered(struct world *w, const char *name)
{
	struct person *p = person_new(w, name, NULL);

	person_open(w, p);
	assert_int_equal(rk_client_register(p->client, "password"), 0);
	assert_int_equal(rk_client_login(p->client), 0);
	settle(w, p);
	world_until(w, p, "login ", 1, 60000);
	return p;
}

size_t
told(const struct person *p, const char *prefix)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_log; i++)
		n += strncmp(p->log[i], prefix, strlen(prefix)) == 0;
	return n;
}

const char *
told_nth(const struct person *p, const char *prefix, size_t n)
{
	for (size_t i = 0; i < p->n_log; i++) {
		if (strncmp(p->log[i], prefix, strlen(prefix)) == 0 && n-- == 0)
			return p->log[i];
	}
	return NULL;
}

void
forget_log(struct person *p)
{
	while (p->n_log > 0)
		free(p->log[--p->n_log]);
}

void
say(struct world *w, struct person *p, const char *to, const char *text)
{
	assert_true(rk_client_send(p->client, to, text, strlen(text)) > 0);
	settle(w, p);
}

/* ---- the world --------------------------------------------------------------------------- */

struct world *
world_new(uint64_t seed)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	assert_int_equal(handshake_init(), 0);
	assert_int_equal(aead_init(), 0);
	w->random = seed * 0x9e3779b97f4a7c15 + 1;
	w->now_us = 1000000;
	w->wall_ms0 = 1700000000000;
	w->delay_us = 10000;
	w->server = server_new(from_server, w);
	return w;
}

void
world_free(struct world *w)
{
	for (size_t i = 0; i < w->n_people; i++) {
		struct person *p = &w->people[i];

		rk_client_free(p->client);
		rk_store_close(p->store);
		forget_log(p);
	}
	while (w->packets != NULL) {
		struct packet *p = w->packets;

		w->packets = p->next;
		free(p);
	}
	server_free(w->server);
	free(w);
}

static uint64_t
next_time(const struct world *w)
{
	uint64_t next = server_deadline(w->server);

	for (size_t i = 0; i < w->n_people; i++) {
		if (w->people[i].client != NULL && !w->people[i].crashed)
			next = earlier(next, rk_client_deadline(w->people[i].client));
	}
	return w->packets != NULL ? earlier(next, w->packets->due_us) : next;
}

bool
world_step(struct world *w)
{
	uint64_t next = next_time(w);
	struct packet *p = w->packets;

	if (next == UINT64_MAX)
		return false;
	w->standstill = next > w->now_us ? 0 : w->standstill + 1;
	if (w->standstill > 100000)
		fail_msg("a deadline is over, and nothing comes of it");
	if (next > w->now_us)
		w->now_us = next;
	if (p != NULL && p->due_us <= w->now_us) {
		w->packets = p->next;
		if (p->to == NULL) {
			server_input(w->server, w->now_us, &p->from, p->data, p->len);
		} else if (p->to->client != NULL && !p->to->crashed && !p->to->deaf &&
			   endpoint_equal(&p->to->address, &p->from)) {
			rk_client_input(p->to->client, w->now_us, w->wall_ms0 + w->now_us / 1000, p->data,
					p->len);
			check(p->to);
		}
		free(p);
	}
	server_tick(w->server, w->now_us);
	for (size_t i = 0; i < w->n_people; i++)
		settle(w, &w->people[i]);
	return true;
}

void
world_until(struct world *w, const struct person *p, const char *prefix, size_t n, uint64_t limit_ms)
{
	uint64_t limit = w->now_us + limit_ms * 1000;

	while (told(p, prefix) < n) {
		if (w->now_us > limit || !world_step(w)) {
			for (size_t i = p->n_log > 20 ? p->n_log - 20 : 0; i < p->n_log; i++)
				print_message("%s was told: %.100s\n", p->name, p->log[i]);
			fail_msg("%s was told '%s' %zu times of %zu in %llu ms", p->name, prefix,
				 told(p, prefix), n, (unsigned long long)limit_ms);
		}
	}
}

void
world_run(struct world *w, uint64_t ms)
{
	uint64_t until = w->now_us + ms * 1000;

	/* What a test gave to a client by hand. */
	for (size_t i = 0; i < w->n_people; i++)
		settle(w, &w->people[i]);
	while (next_time(w) <= until)
		world_step(w);
	w->now_us = until;
}
