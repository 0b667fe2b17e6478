// SPDX-License-Identifier: BSD-3-Clause
/* Sessions and the users who have some: slots, session ids, beginning and end. */
#include "core.h"

#include "shared/log.h"
#include "shared/plant.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* ---- slots -------------------------------------------------------------------------- */

void
slots_free(struct server *s)
{
	for (uint32_t w = 0; s->slots != NULL && w < s->workers; w++) {
		free(s->slots[w].generation);
		free(s->slots[w].link);
	}
	free(s->slots);
	s->slots = NULL;
}

static void
slot_link(struct slots *k, uint32_t index)
{
	k->link[index] = (struct slot_link){.next = SLOT_NONE, .prev = k->free_tail};
	if (k->free_tail == SLOT_NONE)
		k->free_head = index;
	else
		k->link[k->free_tail].next = index;
	k->free_tail = index;
	k->free_count++;
}

static void
slot_unlink(struct slots *k, uint32_t index)
{
	struct slot_link *l = &k->link[index];

	if (l->next == SLOT_NONE)
		k->free_tail = l->prev;
	else
		k->link[l->next].prev = l->prev;
	if (l->prev == SLOT_NONE)
		k->free_head = l->next;
	else
		k->link[l->prev].next = l->next;
	l->next = SLOT_USED;
	k->free_count--;
}

/* Marks what the present sessions use; the rest is free. Sessions outside of the new size must be gone
 * already. */
int
slots_new(struct server *s, uint32_t workers, uint32_t sessions_per_worker)
{
	const struct session *n;
	uint32_t position = 0;

	slots_free(s);
	s->workers = workers;
	s->sessions_per_worker = sessions_per_worker;
	s->slots = calloc(workers, sizeof(*s->slots));
	if (s->slots == NULL)
		return -ENOMEM;
	for (uint32_t w = 0; w < workers; w++) {
		s->slots[w].generation = calloc(sessions_per_worker, sizeof(uint32_t));
		s->slots[w].link = calloc(sessions_per_worker, sizeof(*s->slots[w].link));
		s->slots[w].free_head = s->slots[w].free_tail = SLOT_NONE;
		if (s->slots[w].generation == NULL || s->slots[w].link == NULL) {
			slots_free(s);
			return -ENOMEM;
		}
	}
	while ((n = map_next(&s->sessions, &position)) != NULL)
		s->slots[session_id_worker(n->sid)].generation[session_id_index(n->sid)] =
			session_id_generation(n->sid);
	for (uint32_t w = 0; w < workers; w++) {
		for (uint32_t i = 0; i < sessions_per_worker; i++) {
			s->slots[w].link[i].next = SLOT_USED;
			if (s->slots[w].generation[i] == 0)
				slot_link(&s->slots[w], i);
		}
	}
	return 0;
}

/* Generations are forgotten when control ends: a random start keeps an old client's id from naming a new
 * session. */
static uint32_t
generation_next(struct server *s, uint32_t last)
{
	uint32_t g = last;

	if (last == 0) {
		if (s->io.random != NULL)
			s->io.random(s->io.arg, &g, sizeof(g));
		else
			randombytes_buf(&g, sizeof(g));
	}
	/* The upper half are the workers'. */
	g = (g + 1) & (SESSION_GENERATION_RESUMED - 1);
	return g == 0 ? 1 : g;
}

session_id_t
slot_take(struct server *s, uint32_t worker)
{
	struct slots *k = &s->slots[worker];
	uint32_t index;

	if (k->free_count == 0)
		return SESSION_ID_NONE;
	index = k->free_head;
	slot_unlink(k, index);
	k->generation[index] = generation_next(s, k->generation[index]);
	return session_id_make(worker, k->generation[index], index);
}

bool
slot_claim(struct server *s, session_id_t sid)
{
	uint32_t index = session_id_index(sid);
	struct slots *k;

	if (s->slots == NULL || session_id_worker(sid) >= s->workers || index >= s->sessions_per_worker)
		return false;
	k = &s->slots[session_id_worker(sid)];
	if (k->link[index].next == SLOT_USED)
		return false;
	slot_unlink(k, index);
	k->generation[index] = session_id_generation(sid);
	return true;
}

void
slot_release(struct server *s, session_id_t sid)
{
	struct slots *k;

	/* The dataplane may have come back smaller since. */
	if (s->slots == NULL || session_id_worker(sid) >= s->workers ||
	    session_id_index(sid) >= s->sessions_per_worker)
		return;
	k = &s->slots[session_id_worker(sid)];
	slot_link(k, session_id_index(sid));
}

/* ---- users -------------------------------------------------------------------------- */

struct session *
session_get(const struct server *s, session_id_t sid)
{
	return map_get(&s->sessions, sid);
}

struct user *
user_get(const struct server *s, user_id_t id)
{
	return map_get(&s->users, id);
}

static struct user *
user_enter(struct server *s, const struct store_user *u)
{
	struct user *n = user_get(s, u->id);

	if (n != NULL)
		return n;
	n = calloc(1, sizeof(*n));
	if (n == NULL)
		return NULL;
	n->id = u->id;
	memcpy(n->name, u->name, sizeof(n->name));
	memcpy(n->text, u->text, sizeof(n->text));
	n->shown = ROOKERY__STATUS__STATUS_OFFLINE;
	n->version = version_next(s);
	if (map_put(&s->users, n->id, n) < 0) {
		free(n);
		return NULL;
	}
	return n;
}

void
user_location(struct server *s, user_id_t id, uint8_t *away, uint8_t *count,
	      struct live_session live[USER_SESSIONS_MAX])
{
	const struct user *u = user_get(s, id);
	device_id_t *devices;
	int n;

	*count = 0;
	*away = u == NULL;
	if (u == NULL)
		return;
	for (const struct session *k = u->sessions; k != NULL && *count < USER_SESSIONS_MAX; k = k->user_next)
		live[(*count)++] = (struct live_session){.sid = k->sid, .device = k->device};
	n = store_devices_recent(s->store, id, s->wall_ms > RECENT_MS ? s->wall_ms - RECENT_MS : 0, &devices);
	if (n < 0) {
		*away = 1; /* until it is known: at worst a copy too many is asked to be stored */
		reread_add(s, REREAD_USER, id);
		return;
	}
	for (int i = 0; i < n; i++)
		if (map_get(&s->devices, devices[i]) == NULL)
			*away = 1;
	free(devices);
}

void
user_publish(struct server *s, user_id_t id)
{
	struct cell c;

	if (user_get(s, id) == NULL) {
		cell_init(&c, TABLE_USER_DEL);
		c.user.user = id;
	} else {
		cell_init(&c, TABLE_USER_SET);
		c.user.user = id;
		user_location(s, id, &c.user.away, &c.user.live_count, c.user.live);
	}
	emit(s, SERVER_RING_TABLE, &c);
}

static void
user_attach(struct server *s, struct user *u, struct session *n)
{
	n->user = u;
	n->user_next = u->sessions;
	u->sessions = n;
	u->session_count++;
	map_put(&s->devices, n->device, n); /* reserved by the caller */
}

static void
user_detach(struct server *s, struct session *n)
{
	struct session **at = &n->user->sessions;

	while (*at != n)
		at = &(*at)->user_next;
	*at = n->user_next;
	n->user->session_count--;
	if (map_get(&s->devices, n->device) == n)
		map_del(&s->devices, n->device);
	n->user = NULL;
}

/* ---- restricted list ---------------------------------------------------------------- */

static void
restricted_add(struct server *s, struct session *n)
{
	n->restricted_next = NULL;
	*s->restricted_tail = n;
	s->restricted_tail = &n->restricted_next;
	s->restricted_count++;
}

static void
restricted_remove(struct server *s, struct session *n)
{
	struct session **at = &s->restricted;

	while (*at != n)
		at = &(*at)->restricted_next;
	*at = n->restricted_next;
	if (s->restricted_tail == &n->restricted_next)
		s->restricted_tail = at;
	s->restricted_count--;
}

/* ---- beginning and end -------------------------------------------------------------- */

uint16_t
session_epoch(const struct server *s, const struct session *n)
{
	return PLANTED(nonce_reuse) ? 0 : (uint16_t)(s->instance - n->instance);
}

void
session_provision(struct server *s, const struct session *n, bool probe)
{
	struct cell c;

	cell_init(&c, INJECT_SESSION_ADD);
	c.session_add.sid = n->sid;
	c.session_add.user = n->user == NULL ? 0 : n->user->id;
	c.session_add.device = n->device;
	c.session_add.epoch = session_epoch(s, n);
	session_keys_derive(&c.session_add.keys, &n->secret, c.session_add.epoch);
	c.session_add.flags = n->user == NULL ? SESSION_RESTRICTED : 0;
	c.session_add.port = n->port;
	c.session_add.peer = n->peer;
	c.session_add.probe = probe;
	c.session_add.timeout_ms =
		n->user == NULL ? s->config->session.restricted_ms : s->config->session.timeout_ms;
	emit(s, session_id_worker(n->sid), &c);
	explicit_bzero(&c.session_add.keys, sizeof(c.session_add.keys));
}

void
session_update(struct server *s, const struct session *n)
{
	struct cell c;

	cell_init(&c, INJECT_SESSION_UPDATE);
	c.session_update.sid = n->sid;
	c.session_update.user = n->user->id;
	c.session_update.device = n->device;
	c.session_update.timeout_ms = s->config->session.timeout_ms;
	emit(s, session_id_worker(n->sid), &c);
}

int
session_insert(struct server *s, struct session *n, const struct store_user *user)
{
	struct user *u = NULL;

	if (map_reserve(&s->devices) < 0 || map_reserve(&s->sessions) < 0)
		return -ENOMEM;
	if (user != NULL) {
		n->pump = pump_new();
		u = n->pump == NULL ? NULL : user_enter(s, user);
		if (u == NULL) {
			pump_free(n->pump);
			n->pump = NULL;
			return -ENOMEM;
		}
	}
	map_put(&s->sessions, n->sid, n);
	if (u != NULL) {
		user_attach(s, u, n);
	} else {
		n->deadline_ms = s->now_ms + s->config->session.restricted_ms;
		restricted_add(s, n);
	}
	return 0;
}

int
session_promote(struct server *s, struct session *n, const struct store_user *user, device_id_t device)
{
	struct user *u;

	if (map_reserve(&s->devices) < 0)
		return -ENOMEM;
	n->pump = pump_new();
	u = n->pump == NULL ? NULL : user_enter(s, user);
	if (u == NULL) {
		pump_free(n->pump);
		n->pump = NULL;
		return -ENOMEM;
	}
	restricted_remove(s, n);
	n->device = device;
	user_attach(s, u, n);
	return 0;
}

int
session_store(struct server *s, const struct session *n, user_id_t user, const uint8_t *reply, uint16_t reply_length)
{
	struct store_session row = {
		.sid = n->sid,
		.user = user,
		.device = n->device,
		.secret = n->secret,
		.instance = n->instance,
		.login_ms = n->login_ms,
		.login_timestamp = n->login_timestamp,
		.peer = n->peer,
		.port = n->port,
		.status = n->status,
		.reply_length = reply_length,
	};
	int rc;

	memcpy(row.key, n->key, sizeof(row.key));
	memcpy(row.ephemeral, n->ephemeral, sizeof(row.ephemeral));
	memcpy(row.device_name, n->device_name, sizeof(row.device_name));
	if (reply_length != 0)
		memcpy(row.reply, reply, reply_length);
	rc = store_session_put(s->store, &row);
	explicit_bzero(&row, sizeof(row));
	return rc;
}

void
session_free(struct session *n)
{
	if (n == NULL)
		return;
	pump_free(n->pump);
	requests_free(n->requests);
	explicit_bzero(n, sizeof(*n));
	free(n);
}

void
session_tell_end(struct server *s, session_id_t sid, uint8_t reason)
{
	struct cell c;

	cell_init(&c, INJECT_SESSION_DEL);
	c.session_del.sid = sid;
	c.session_del.reason = reason;
	emit(s, session_id_worker(sid), &c);
}

void
session_end(struct server *s, struct session *n, uint8_t close_reason, bool tell_worker)
{
	struct user *u = n->user;
	user_id_t id = u == NULL ? 0 : u->id;

	COUNT(s, sessions_ended);
	log_debug(session, "session ended", "sid=%016llx user=%llu reason=%u", (unsigned long long)n->sid,
		  (unsigned long long)id, close_reason);
	if (tell_worker)
		session_tell_end(s, n->sid, close_reason);
	map_del(&s->sessions, n->sid);
	slot_release(s, n->sid);
	lazy_add(s, LAZY_SESSION_DEL, n->sid, 0);
	reread_drop(s, REREAD_PUMP, n->sid);
	if (u == NULL) {
		restricted_remove(s, n);
	} else {
		lazy_add(s, LAZY_DEVICE_SEEN, n->device, s->wall_ms);
		/* Who was thrown out comes back with a login or not at all. */
		if (close_reason == CLOSE_KICKED)
			lazy_add(s, LAZY_DEVICE_VOID, n->device, 0);
		user_detach(s, n);
		if (u->sessions == NULL) {
			map_del(&s->users, id);
			reread_drop(s, REREAD_USER, id);
			user_publish(s, id);
			presence_gone(s, u);
			free(u);
		} else {
			user_publish(s, id);
			presence_changed(s, u);
		}
	}
	session_free(n);
}

uint32_t
sessions_end_user(struct server *s, user_id_t user, session_id_t except, uint8_t reason)
{
	struct user *u = user_get(s, user);
	struct session *n = u == NULL ? NULL : u->sessions;
	uint32_t ended = 0;

	while (n != NULL) {
		/* u goes with its last session, so the next one is read before. */
		struct session *next = n->user_next;

		if (n->sid != except) {
			session_end(s, n, reason, true);
			ended++;
		}
		n = next;
	}
	return ended;
}

/* ---- what the dataplane reports ------------------------------------------------------ */

static void
event_ended(struct server *s, void *data)
{
	const struct cell_session *e = data;
	struct session *n = session_get(s, e->sid);

	if (n == NULL)
		return;
	if (e->event == SESSION_REFUSED)
		log_warning(session, "the dataplane refused a session", "sid=%016llx",
			    (unsigned long long)e->sid);
	session_end(s, n, 0, false);
}

static void
event_moved(struct server *s, void *data)
{
	const struct cell_session *e = data;
	struct session *n = session_get(s, e->sid);

	if (n == NULL)
		return;
	n->peer = e->peer;
	n->port = e->port;
}

static void
event_heard(struct server *s, void *data)
{
	const struct cell_session *e = data;
	struct session *n = session_get(s, e->sid);

	if (n == NULL)
		return;
	n->heard = true;
	if (n->resync && n->user != NULL)
		pump_start(s, n, 0);
	n->resync = false;
}

static effect_fn
session_event_effect(const struct cell *c)
{
	switch (c->session.event) {
	case SESSION_MOVED:
		return event_moved;
	case SESSION_HEARD:
		return event_heard;
	default:
		return event_ended;
	}
}

int
session_event_handle(struct server *s, const struct cell *c)
{
	const struct session *n = session_get(s, c->session.sid);
	int rc = 0;

	/* It may have been resumed in this very batch. */
	if (n == NULL && session_id_generation(c->session.sid) & SESSION_GENERATION_RESUMED) {
		effect_add(s, session_event_effect(c), NULL, &c->session, sizeof(c->session));
		return 0;
	}
	if (n == NULL) {
		COUNT(s, cells_orphaned);
		return 0;
	}
	if (c->session.event == SESSION_MOVED)
		rc = store_session_peer(s->store, n->sid, &c->session.peer, c->session.port);
	else if (c->session.event != SESSION_HEARD)
		rc = store_session_del(s->store, n->sid);
	if (rc == 0)
		effect_add(s, session_event_effect(c), NULL, &c->session, sizeof(c->session));
	return rc;
}

/* The store is not available, but it happened: the row follows later. */
void
session_event_fail(struct server *s, const struct cell *c)
{
	if (session_get(s, c->session.sid) == NULL)
		return;
	effect_add(s, session_event_effect(c), NULL, &c->session, sizeof(c->session));
	if (c->session.event == SESSION_MOVED)
		lazy_add(s, LAZY_PEER, c->session.sid, 0);
}

/* As if the i-th had come in a cell of its own. */
static struct cell_session
expired(const struct cell *c, uint32_t i)
{
	struct cell_session e = {0};

	memcpy(&e.sid, c->data + i * sizeof(e.sid), sizeof(e.sid));
	return e;
}

int
session_expired_handle(struct server *s, const struct cell *c)
{
	int rc = 0;

	for (uint32_t i = 0; i < c->expired.count && rc == 0; i++) {
		struct cell_session e = expired(c, i);

		/* A resumed one may be of this very batch. */
		if (session_get(s, e.sid) == NULL && !(session_id_generation(e.sid) & SESSION_GENERATION_RESUMED)) {
			COUNT(s, cells_orphaned);
			continue;
		}
		rc = store_session_del(s->store, e.sid);
		if (rc == 0)
			effect_add(s, event_ended, NULL, &e, sizeof(e));
	}
	return rc;
}

void
session_expired_fail(struct server *s, const struct cell *c)
{
	for (uint32_t i = 0; i < c->expired.count; i++) {
		struct cell_session e = expired(c, i);

		if (session_get(s, e.sid) != NULL)
			effect_add(s, event_ended, NULL, &e, sizeof(e));
	}
}

/* ---- packets of an earlier epoch ----------------------------------------------------- */

static bool
stale_authentic(const struct session *n, const struct cell *c, uint16_t epoch)
{
	uint8_t nonce[AEAD_NONCE], plain[WIRE_DATAGRAM_MAX];
	size_t len = c->length - WIRE_DATA_HEADER - WIRE_TAG;
	struct session_keys keys;
	struct aead_key key;
	struct wire_data d;
	int rc;

	if (wire_data_read(&d, c->data, c->length) < 0)
		return false;
	memset(&key, 0, sizeof(key));
	session_keys_derive(&keys, &n->secret, epoch);
	wire_nonce(nonce, WIRE_TO_SERVER, d.counter);
	rc = aead_key_set(&key, keys.key);
	if (rc == 0)
		rc = aead_open(&key, nonce, c->data, WIRE_DATA_HEADER, c->data + WIRE_DATA_HEADER, len, plain,
			       c->data + WIRE_DATA_HEADER + len);
	aead_key_clear(&key);
	explicit_bzero(&keys, sizeof(keys));
	explicit_bzero(plain, sizeof(plain));
	return rc == 0;
}

int
stale_handle(struct server *s, const struct cell *c)
{
	struct session *n = session_get(s, c->stale.sid);
	struct wire_data d;
	struct cell probe;

	COUNT(s, stale);
	if (n == NULL || wire_data_read(&d, c->data, c->length) < 0 || d.sid != n->sid) {
		COUNT(s, cells_orphaned);
		return 0;
	}
	/* A replayed packet is authentic, too: it only ever causes one small PING a second. */
	if (wire_counter_epoch(d.counter) >= session_epoch(s, n) ||
	    (n->probed_ms != 0 && s->now_ms < n->probed_ms + 1000))
		return 0;
	if (!stale_authentic(n, c, wire_counter_epoch(d.counter))) {
		COUNT(s, stale_forged);
		return 0;
	}
	n->probed_ms = s->now_ms;
	cell_init(&probe, INJECT_PROBE);
	probe.probe.sid = n->sid;
	probe.probe.port = c->stale.port;
	probe.probe.peer = c->stale.peer;
	emit(s, session_id_worker(n->sid), &probe);
	return 0;
}
