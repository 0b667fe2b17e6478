// SPDX-License-Identifier: BSD-3-Clause
/*
 * What flows to a session by itself: buddies' presence after login, buddy events, waiting messages. A window
 * of reliable frames with tokens is kept in flight for each of the two kinds, notes and messages, so that
 * neither a long absence nor a long buddy list floods the session, and a client that holds messages back
 * still hears of buddies.
 */
#include "core.h"

#include "shared/plant.h"

#include <stdlib.h>
#include <string.h>

#define ENTRIES_MAX 256  /* outstanding in all; as many as a worker keeps in flight for a session */
#define HELD_MAX 1024    /* ranges in one FetchStored */
#define SCAN_MAX 512     /* rows looked at in one go */
#define SCAN_PAUSE_MS 5

#define START_RELATIONS 0x01
#define START_EVENTS 0x02
#define START_LAST 0x04 /* login_last */

/* A notification that waits or is in flight. */
struct note {
	struct note *next;
	uint64_t token;
	user_id_t peer;                /* presence of this user as it is when sent; 0: body */
	uint64_t as_of;                /* store_changes() when the relation with him was read, and was that of buddies */
	bool hidden;                   /* he has blocked the user */
	char name[STORE_NAME_MAX + 1];
	uint16_t length;
	uint8_t body[];
};

struct entry {
	uint64_t token;
	struct note *note; /* NULL: a message, token is its seq */
	user_id_t from;
	device_id_t from_device;
	message_id_t id;
	uint64_t retry_ms; /* failed: send again then; 0: in flight */
	bool held;         /* the client keeps it back, unacknowledged, until an earlier one comes */
};

struct pump {
	struct note *notes, **notes_tail;
	struct entry *entries; /* in the order sent */
	uint32_t count, capacity;
	uint32_t notes_out;    /* entries with a note */
	uint32_t messages_out; /* entries without one that are not held */
	uint32_t held_out; /* and those that are: a window of their own, since they wait for what comes behind
			      them */
	uint64_t after;        /* highest seq sent or passed over */
	uint64_t skipped;      /* first seq passed over because the window of held ones is full; 0: none */
	bool more;             /* there may be rows behind after */
	bool paused;           /* what was in flight is gone with its dataplane: nothing until pump_start */
	bool syncing;          /* Synced was not said yet */
	unsigned unread;       /* START_: of what comes first, the store has not said these yet */
	uint64_t login_last;   /* what it waits for */
	uint32_t delivered;
	uint64_t token_next;
	bool fetching;         /* a FetchStored is not answered yet */
	uint32_t fetch_request;
	uint64_t fetch_target;
	struct held *held;
	uint32_t held_count;
};

struct pump *
pump_new(void)
{
	struct pump *p = calloc(1, sizeof(*p));

	if (p != NULL)
		p->notes_tail = &p->notes;
	return p;
}

static void
pump_empty(struct pump *p)
{
	struct note *note;

	while ((note = p->notes) != NULL) {
		p->notes = note->next;
		free(note);
	}
	p->notes_tail = &p->notes;
	for (uint32_t i = 0; i < p->count; i++)
		free(p->entries[i].note);
	p->count = p->notes_out = p->messages_out = p->held_out = 0;
	p->after = p->skipped = 0;
	p->more = true;
}

void
pump_free(struct pump *p)
{
	if (p == NULL)
		return;
	pump_empty(p);
	free(p->entries);
	free(p->held);
	free(p);
}

void
pump_reset(struct pump *p)
{
	pump_empty(p);
	p->paused = true;
}

uint32_t
pump_outstanding(const struct pump *p)
{
	return p == NULL ? 0 : p->count;
}

static void
wake_at(struct server *s, uint64_t ms)
{
	if (ms < s->pump_ms)
		s->pump_ms = ms;
}

/* ---- notes -------------------------------------------------------------------------- */

static bool
entry_known(const struct pump *p, uint64_t token)
{
	for (uint32_t i = 0; i < p->count; i++) {
		if (p->entries[i].token == token)
			return true;
	}
	return false;
}

static bool
token_known(const struct pump *p, uint64_t token)
{
	if (entry_known(p, token))
		return true;
	for (const struct note *n = p->notes; n != NULL; n = n->next) {
		if (n->token == token)
			return true;
	}
	return false;
}

static uint64_t
token_make(struct server *s, struct pump *p)
{
	/* Not those of a control process before this one: its outcomes may still come in. */
	if (p->token_next == 0)
		p->token_next = s->wall_ms << 16;
	return TOKEN_PRESENCE | (p->token_next++ & (TOKEN_EVENT - 1));
}

static void
note_append(struct pump *p, struct note *n)
{
	n->next = NULL;
	*p->notes_tail = n;
	p->notes_tail = &n->next;
}

static void
note_body(struct pump *p, uint64_t token, const Rookery__Notification *n)
{
	size_t len = rookery__notification__get_packed_size(n);
	struct note *note;

	if (len > NOTIFY_BODY_MAX)
		return;
	note = calloc(1, sizeof(*note) + len);
	if (note == NULL)
		return;
	note->token = token;
	note->length = (uint16_t)rookery__notification__pack(n, note->body);
	note_append(p, note);
}

static void
note_presence(struct pump *p, uint64_t token, const struct store_relation *r, uint64_t as_of)
{
	struct note *note = calloc(1, sizeof(*note));

	if (note == NULL)
		return;
	note->token = token;
	note->peer = r->peer;
	note->as_of = as_of;
	note->hidden = r->peer_blocked;
	memcpy(note->name, r->peer_name, sizeof(note->name));
	note_append(p, note);
}

static void
note_event(struct pump *p, uint64_t token, const struct store_event *e)
{
	Rookery__Notification n = ROOKERY__NOTIFICATION__INIT;
	Rookery__BuddyEvent buddy = ROOKERY__BUDDY_EVENT__INIT;

	buddy.user_id = e->peer;
	buddy.name = (char *)(uintptr_t)e->peer_name;
	buddy.state = e->state;
	buddy.text = (char *)(uintptr_t)e->text;
	buddy.version = e->version;
	n.body_case = ROOKERY__NOTIFICATION__BODY_BUDDY;
	n.buddy = &buddy;
	note_body(p, token, &n);
}

/* Still a buddy? 1, 0, or an error of the store. */
static int
note_holds(struct server *s, const struct session *n, struct note *note)
{
	struct store_relation r;
	int rc;

	if (note->as_of == store_changes(s->store))
		return 1;
	rc = store_relation_get(s->store, n->user->id, note->peer, &r);
	if (rc < 0)
		return rc;
	note->as_of = store_changes(s->store);
	note->hidden = r.peer_blocked;
	return r.state == ROOKERY__BUDDY_STATE__BUDDY_ACCEPTED;
}

/* 1: sent; 0: it is not to be sent any more; an error of the store: not yet. */
static int
note_send(struct server *s, const struct session *n, struct note *note)
{
	struct frame f = {.type = FRAME_NOTIFY, .notify = {.body = note->body, .length = note->length}};
	Rookery__Notification notification = ROOKERY__NOTIFICATION__INIT;
	uint8_t body[NOTIFY_BODY_MAX];
	Rookery__Presence presence;

	if (note->peer != 0) {
		int rc = note_holds(s, n, note);

		if (rc <= 0)
			return rc;
		presence_fill(s, &presence, note->peer, note->name, note->hidden);
		notification.body_case = ROOKERY__NOTIFICATION__BODY_PRESENCE;
		notification.presence = &presence;
		if (rookery__notification__get_packed_size(&notification) > sizeof(body))
			return 0;
		f.notify.length = (uint16_t)rookery__notification__pack(&notification, body);
		f.notify.body = body;
	}
	COUNT(s, notifications);
	emit_frame(s, n->sid, note->token, &f);
	return 1;
}

/* ---- entries ------------------------------------------------------------------------ */

static struct entry *
entry_add(struct pump *p)
{
	if (p->count == p->capacity) {
		uint32_t capacity = p->capacity == 0 ? 8 : p->capacity * 2;
		struct entry *entries = realloc(p->entries, capacity * sizeof(*entries));

		if (entries == NULL)
			return NULL;
		p->entries = entries;
		p->capacity = capacity;
	}
	p->entries[p->count] = (struct entry){0};
	return &p->entries[p->count++];
}

static void
entry_remove(struct pump *p, uint32_t i)
{
	struct entry *e = &p->entries[i];

	if (e->note != NULL)
		p->notes_out--;
	else if (e->held)
		p->held_out--;
	else
		p->messages_out--;
	free(e->note);
	memmove(e, e + 1, (p->count - i - 1) * sizeof(*e));
	p->count--;
}

static void
message_send(struct server *s, const struct session *n, const struct store_message *m)
{
	struct frame f = {
		.type = FRAME_DELIVER,
		.deliver = {
			.flags = (uint8_t)(m->flags | MESSAGE_STORED),
			.from = m->from,
			.from_device = m->from_device,
			.id = m->id,
			.prev_delta = m->prev_delta,
			.floor_delta = m->floor_delta,
			.sent_at = m->sent_at,
			.length = m->length,
			.body = m->body,
		},
	};

	emit_frame(s, n->sid, m->seq, &f);
	if (PLANTED(sent_is_delivered))
		lazy_add(s, LAZY_MESSAGE_DEL, n->device, m->seq);
}

static bool
message_held(const struct pump *p, device_id_t device, message_id_t id)
{
	for (uint32_t i = 0; i < p->held_count; i++) {
		const struct held *h = &p->held[i];

		if (h->device == device && id >= h->first && id <= h->last)
			return true;
	}
	return false;
}

/* ---- flow --------------------------------------------------------------------------- */

static void
pump_notes(struct server *s, struct session *n)
{
	struct pump *p = n->pump;

	while (p->notes != NULL && p->notes_out < PUMP_WINDOW) {
		struct note *note = p->notes;
		int rc = note_send(s, n, note);
		struct entry *e;

		if (rc < 0) {
			reread_add(s, REREAD_PUMP, n->sid);
			return;
		}
		p->notes = note->next;
		if (p->notes == NULL)
			p->notes_tail = &p->notes;
		e = rc > 0 ? entry_add(p) : NULL;
		if (e == NULL) {
			free(note);
			continue;
		}
		e->token = note->token;
		e->note = note;
		p->notes_out++;
	}
}

static void
message_enter(struct server *s, struct session *n, const struct store_message *m)
{
	struct pump *p = n->pump;
	bool held = message_held(p, m->from_device, m->id);
	struct entry *e;

	p->after = m->seq;
	if (entry_known(p, m->seq))
		return;
	e = held && p->held_out >= PUMP_WINDOW ? NULL : entry_add(p);
	if (e == NULL) {
		if (p->skipped == 0)
			p->skipped = m->seq;
		return;
	}
	e->token = m->seq;
	e->from = m->from;
	e->from_device = m->from_device;
	e->id = m->id;
	e->held = held;
	if (held)
		p->held_out++;
	else
		p->messages_out++;
	message_send(s, n, m);
}

/* Back to the first row that was passed over. */
static void
pump_rewind(struct pump *p)
{
	if (p->skipped == 0)
		return;
	p->after = p->skipped - 1;
	p->skipped = 0;
	p->more = true;
}

static void
pump_messages(struct server *s, struct session *n)
{
	struct pump *p = n->pump;
	uint32_t seen = 0;

	if (p->held_out <= PUMP_WINDOW / 2)
		pump_rewind(p);
	while (p->more && p->messages_out < PUMP_WINDOW && p->count < ENTRIES_MAX) {
		uint32_t room = PUMP_WINDOW - p->messages_out;
		struct store_message *rows;
		int count;

		if (room > ENTRIES_MAX - p->count)
			room = ENTRIES_MAX - p->count;
		if (seen >= SCAN_MAX) {
			wake_at(s, s->now_ms + SCAN_PAUSE_MS);
			return;
		}
		count = store_messages(s->store, n->device, p->after, room, &rows);
		if (count < 0) {
			reread_add(s, REREAD_PUMP, n->sid);
			return;
		}
		for (int i = 0; i < count; i++)
			message_enter(s, n, &rows[i]);
		free(rows);
		seen += (uint32_t)count;
		if ((uint32_t)count < room)
			p->more = false;
	}
}

/* Was everything up to target acknowledged? */
static bool
pump_settled(const struct pump *p, uint64_t target, bool but_held)
{
	if (p->more && p->after < target)
		return false;
	if (!but_held && p->skipped != 0 && p->skipped <= target)
		return false;
	for (uint32_t i = 0; i < p->count; i++) {
		const struct entry *e = &p->entries[i];

		if (e->note == NULL && e->token <= target && !(but_held && e->held))
			return false;
	}
	return true;
}

static void
pump_synced(struct server *s, struct session *n)
{
	struct pump *p = n->pump;
	Rookery__Notification notification = ROOKERY__NOTIFICATION__INIT;
	Rookery__Synced synced = ROOKERY__SYNCED__INIT;

	if (!p->syncing || p->unread & START_LAST || !pump_settled(p, p->login_last, false))
		return;
	p->syncing = false;
	synced.delivered = p->delivered;
	notification.body_case = ROOKERY__NOTIFICATION__BODY_SYNCED;
	notification.synced = &synced;
	note_body(p, token_make(s, p), &notification);
}

static int
start_relations(struct server *s, struct session *n)
{
	const struct store_relation *rows;
	int count = relations_read(s, n->user->id, &rows);

	for (int i = 0; i < count; i++) {
		struct store_event e = {.peer = rows[i].peer, .state = rows[i].state};

		if (rows[i].state == ROOKERY__BUDDY_STATE__BUDDY_ACCEPTED) {
			note_presence(n->pump, token_make(s, n->pump), &rows[i], store_changes(s->store));
		} else if (rows[i].state == ROOKERY__BUDDY_STATE__BUDDY_PENDING && !rows[i].blocked) {
			memcpy(e.peer_name, rows[i].peer_name, sizeof(e.peer_name));
			memcpy(e.text, rows[i].text, sizeof(e.text));
			e.version = version_next(s);
			note_event(n->pump, token_make(s, n->pump), &e);
		}
	}
	return count;
}

static int
start_events(struct server *s, struct session *n)
{
	struct store_event *events;
	int count = store_events(s->store, n->user->id, &events);

	for (int i = 0; i < count; i++) {
		if (!token_known(n->pump, TOKEN_EVENT | events[i].id))
			note_event(n->pump, TOKEN_EVENT | events[i].id, &events[i]);
	}
	if (count >= 0)
		free(events);
	return count;
}

/* Reads what comes first, or what of it could not be read before. */
static void
start_read(struct server *s, struct session *n)
{
	struct pump *p = n->pump;

	if (p->unread & START_RELATIONS && start_relations(s, n) >= 0)
		p->unread &= ~START_RELATIONS;
	if (p->unread & START_EVENTS && start_events(s, n) >= 0)
		p->unread &= ~START_EVENTS;
	if (p->unread & START_LAST && store_message_last(s->store, n->device, &p->login_last) >= 0)
		p->unread &= ~START_LAST;
	if (PLANTED(unread))
		p->unread = 0;
	if (p->unread != 0)
		reread_add(s, REREAD_PUMP, n->sid);
}

static void
pump_run(struct server *s, struct session *n)
{
	struct pump *p = n->pump;

	if (p->paused)
		return;
	if (p->unread != 0)
		start_read(s, n);
	/* What is delivered before it is known how much there was at login could not be counted. */
	if (!(p->unread & START_LAST))
		pump_messages(s, n);
	pump_synced(s, n);
	pump_notes(s, n);
	if (p->fetching && pump_settled(p, p->fetch_target, true)) {
		p->fetching = false;
		respond_code(s, n->sid, p->fetch_request, ROOKERY__CODE__CODE_OK, "");
	}
}

void
pump_start(struct server *s, struct session *n, unsigned flags)
{
	struct pump *p = n->pump;

	pump_empty(p);
	p->paused = false;
	p->more = !(flags & PUMP_NO_MESSAGES);
	p->unread |= START_RELATIONS | START_EVENTS;
	if (flags & PUMP_LOGIN) {
		p->syncing = true;
		p->delivered = 0;
		p->login_last = 0;
		p->unread = START_RELATIONS | START_EVENTS | (p->more ? START_LAST : 0);
	}
	pump_run(s, n);
}

void
pump_kick(struct server *s, struct session *n)
{
	n->pump->more = true;
	pump_run(s, n);
}

void
pump_event(struct server *s, struct session *n, const struct store_event *e)
{
	uint64_t token = e->id == 0 ? token_make(s, n->pump) : TOKEN_EVENT | e->id;

	if (token_known(n->pump, token))
		return;
	note_event(n->pump, token, e);
	pump_run(s, n);
}

/* ---- outcomes ------------------------------------------------------------------------ */

static void
receipt_delivered(struct server *s, const struct entry *e)
{
	const struct session *sender = map_get(&s->devices, e->from_device);
	struct cell c;

	if (sender == NULL)
		return;
	cell_init(&c, INJECT_RECEIPT);
	c.receipt.sid = sender->sid;
	c.receipt.id = e->id;
	c.receipt.level = RECEIPT_DELIVERED;
	emit(s, session_id_worker(sender->sid), &c);
}

bool
pump_result(struct server *s, struct session *n, uint64_t token, bool acked)
{
	struct pump *p = n->pump;
	struct entry *e;
	uint32_t i = 0;

	while (i < p->count && p->entries[i].token != token)
		i++;
	if (i == p->count)
		return false;
	e = &p->entries[i];
	if (!acked) {
		if (e->note == NULL)
			COUNT(s, messages_failed);
		e->retry_ms = s->now_ms + PUMP_RETRY_MS;
		wake_at(s, e->retry_ms);
		return true;
	}
	if (e->note == NULL) {
		COUNT(s, messages_delivered);
		if (token <= p->login_last)
			p->delivered++;
		receipt_delivered(s, e);
	}
	entry_remove(p, i);
	pump_run(s, n);
	return true;
}

static void
entry_reread(struct server *s, const struct session *n, struct entry *e)
{
	e->retry_ms = s->now_ms;
	reread_add(s, REREAD_PUMP, n->sid);
}

static void
entry_retry(struct server *s, struct session *n, uint32_t *i)
{
	struct pump *p = n->pump;
	struct entry *e = &p->entries[*i];
	struct store_message *row;
	int count;

	e->retry_ms = 0;
	if (e->note != NULL) {
		int rc = note_send(s, n, e->note);

		if (rc == 0)
			entry_remove(p, *i);
		else
			(*i)++;
		if (rc < 0)
			entry_reread(s, n, e);
		return;
	}
	count = store_messages(s->store, n->device, e->token - 1, 1, &row);
	if (count < 0) {
		entry_reread(s, n, e);
		(*i)++;
		return;
	}
	if (count == 1 && row->seq == e->token) {
		message_send(s, n, row);
		(*i)++;
	} else {
		entry_remove(p, *i); /* it expired */
	}
	free(row);
}

void
pump_retry(struct server *s, struct session *n)
{
	struct pump *p = n->pump;
	uint32_t i = 0;

	while (i < p->count) {
		if (p->entries[i].retry_ms != 0 && p->entries[i].retry_ms <= s->now_ms) {
			entry_retry(s, n, &i);
		} else {
			if (p->entries[i].retry_ms != 0)
				wake_at(s, p->entries[i].retry_ms);
			i++;
		}
	}
	pump_run(s, n);
}

void
pump_timers(struct server *s)
{
	struct session *n;
	uint32_t position = 0;

	if (s->now_ms < s->pump_ms)
		return;
	s->pump_ms = UINT64_MAX;
	while ((n = map_next(&s->sessions, &position)) != NULL) {
		if (n->pump != NULL && (n->pump->count != 0 || n->pump->more))
			pump_retry(s, n);
	}
}

/* ---- FetchStored ---------------------------------------------------------------------- */

static void
pump_hold(struct pump *p, const struct held *held, size_t count)
{
	if (count > HELD_MAX)
		count = HELD_MAX;
	free(p->held);
	p->held = calloc(count == 0 ? 1 : count, sizeof(*p->held));
	p->held_count = p->held == NULL ? 0 : (uint32_t)count;
	if (p->held_count != 0)
		memcpy(p->held, held, p->held_count * sizeof(*held));
	p->messages_out = p->held_out = 0;
	for (uint32_t i = 0; i < p->count; i++) {
		struct entry *e = &p->entries[i];

		if (e->note != NULL)
			continue;
		e->held = message_held(p, e->from_device, e->id);
		if (e->held)
			p->held_out++;
		else
			p->messages_out++;
	}
	pump_rewind(p);
}

void
pump_fetch(struct server *s, struct session *n, uint32_t request, const struct held *held, size_t count)
{
	struct pump *p = n->pump;

	/* Overtaken on the way by a later one: the client does not wait for it any more. */
	if ((int32_t)(request - p->fetch_request) < 0)
		return;
	p->fetch_request = request;
	pump_hold(p, held, count);
	p->fetching = false;
	if (store_message_last(s->store, n->device, &p->fetch_target) < 0) {
		respond_code(s, n->sid, request, ROOKERY__CODE__CODE_STORE_UNAVAILABLE, "");
		return;
	}
	p->fetching = true;
	pump_run(s, n);
}

const char *
pump_check(const struct pump *p)
{
	uint32_t notes = 0, messages = 0, held = 0;

	for (uint32_t i = 0; i < p->count; i++) {
		notes += p->entries[i].note != NULL;
		messages += p->entries[i].note == NULL && !p->entries[i].held;
		held += p->entries[i].note == NULL && p->entries[i].held;
	}
	if (notes != p->notes_out || messages != p->messages_out || held != p->held_out)
		return "a pump's windows do not fit its entries";
	if (notes > PUMP_WINDOW || p->count > ENTRIES_MAX + PUMP_WINDOW)
		return "a pump's window is exceeded";
	return NULL;
}
