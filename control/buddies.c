// SPDX-License-Identifier: BSD-3-Clause
/*
 * Buddies: requests, answers, removal, blocks, lists. A pair of users has up to two rows, one per side; the
 * states go together:
 *
 *     REQUESTED - PENDING, ACCEPTED - ACCEPTED, none - none
 *
 * A block is each side's own. Whoever has to hear of the other's deed and is away gets an event that waits in
 * the store.
 */
#include "core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_ROWS 200 /* the largest limits.list_rows */
#define LIST_BYTES 16384

#define STATE(name) ROOKERY__BUDDY_STATE__BUDDY_##name

struct pair {
	struct store_relation mine;
	struct store_relation theirs;
};

static int
pair_get(struct server *s, user_id_t me, user_id_t peer, struct pair *p)
{
	int rc = store_relation_get(s->store, me, peer, &p->mine);

	return rc < 0 ? rc : store_relation_get(s->store, peer, me, &p->theirs);
}

static int
pair_put(struct server *s, const struct pair *p)
{
	int rc = store_relation_put(s->store, &p->mine);

	return rc < 0 ? rc : store_relation_put(s->store, &p->theirs);
}

int
relations_read(struct server *s, user_id_t owner, const struct store_relation **rows)
{
	struct relations *r = &s->relations;

	*rows = NULL;
	if (r->owner != owner || r->as_of != store_changes(s->store)) {
		free(r->rows);
		*r = (struct relations){.owner = owner, .as_of = store_changes(s->store)};
		r->count = store_relations(s->store, owner, 0, 0, INT32_MAX, &r->rows);
	}
	if (r->count < 0) {
		r->owner = 0;
		return r->count;
	}
	*rows = r->rows;
	return r->count;
}

/* ---- verdicts ------------------------------------------------------------------------ */

static enum verdict
pair_verdict(const struct store_relation *r)
{
	if (r->blocked || r->peer_blocked)
		return VERDICT_BLOCKED;
	return r->state == STATE(ACCEPTED) ? VERDICT_ALLOWED : VERDICT_NOT_BUDDIES;
}

int
verdict_of(struct server *s, user_id_t from, user_id_t to, enum verdict *out)
{
	struct store_relation r;
	struct store_user u;
	int rc;

	rc = store_user_by_id(s->store, to, &u);
	if (rc == -ENOENT) {
		*out = VERDICT_UNKNOWN_USER;
		return 0;
	}
	if (rc < 0)
		return rc;
	*out = VERDICT_ALLOWED;
	if (from == to)
		return 0;
	rc = store_relation_get(s->store, from, to, &r);
	if (rc == 0)
		*out = pair_verdict(&r);
	return rc;
}

static void
verdict_table(struct server *s, user_id_t from, user_id_t to, enum verdict verdict)
{
	struct cell c;

	cell_init(&c, TABLE_VERDICT_SET);
	c.verdict.from = from;
	c.verdict.to = to;
	c.verdict.verdict = (uint8_t)verdict;
	emit(s, SERVER_RING_TABLE, &c);
}

void
tables_fence(struct server *s)
{
	struct cell c;

	cell_init(&c, TABLE_BARRIER);
	c.barrier.value = version_next(s);
	emit(s, SERVER_RING_TABLE, &c);
	c.type = INJECT_FENCE;
	for (uint32_t w = 0; w < s->workers; w++)
		emit(s, w, &c);
}

/* The relation changed: what the workers remember of it goes at once, in both directions. Also called when a
 * request finds its work done already: a control process that was killed right after its commit has not told
 * the workers. */
static int
verdicts_changed(struct server *s, user_id_t a, user_id_t b)
{
	enum verdict verdict;
	int rc = verdict_of(s, a, b, &verdict);

	if (rc < 0)
		return rc;
	verdict_table(s, a, b, verdict);
	verdict_table(s, b, a, verdict);
	tables_fence(s);
	return 0;
}

struct verdict_effect {
	uint32_t worker;
	struct cell_verdict verdict;
};

/* Where the recipient is, is asked for as late as possible: another cell of the batch may be its login. */
static void
verdict_answer(struct server *s, void *data)
{
	struct verdict_effect *e = data;
	struct cell c;

	cell_init(&c, INJECT_VERDICT);
	c.verdict = e->verdict;
	user_location(s, e->verdict.to, &c.verdict.away, &c.verdict.live_count, c.verdict.live);
	emit(s, e->worker, &c);
}

int
verdict_handle(struct server *s, const struct cell *c)
{
	struct verdict_effect e = {
		.worker = c->worker,
		.verdict = {.record = c->verdict.record, .from = c->verdict.from, .to = c->verdict.to},
	};
	enum verdict verdict;
	int rc = verdict_of(s, c->verdict.from, c->verdict.to, &verdict);

	if (rc < 0)
		return rc;
	COUNT(s, verdicts);
	e.verdict.verdict = (uint8_t)verdict;
	verdict_table(s, c->verdict.from, c->verdict.to, verdict);
	effect_add(s, verdict_answer, NULL, &e, sizeof(e));
	return 0;
}

/* ---- telling ------------------------------------------------------------------------- */

struct tell_effect {
	session_id_t except;
	struct store_event event;
};

static void
tell_run(struct server *s, void *data)
{
	struct tell_effect *e = data;
	const struct user *u = user_get(s, e->event.user);
	struct session *n = u == NULL ? NULL : u->sessions;

	for (; n != NULL; n = n->user_next) {
		if (n->sid != e->except)
			pump_event(s, n, &e->event);
	}
}

/* Tells user about peer. keep: until a device of the user acknowledged it, also over logins. */
static int
tell(struct server *s, user_id_t user, user_id_t peer, const char *peer_name, uint8_t state, const char *text,
     bool keep, session_id_t except)
{
	struct tell_effect e = {.except = except, .event = {.user = user, .peer = peer, .state = state}};
	int rc = 0;

	snprintf(e.event.peer_name, sizeof(e.event.peer_name), "%s", peer_name);
	snprintf(e.event.text, sizeof(e.event.text), "%s", text);
	e.event.version = version_next(s);
	/* What was to be told before is overtaken. */
	rc = keep ? store_event_put(s->store, &e.event) : store_event_del_pair(s->store, user, peer);
	if (rc == 0)
		effect_add(s, tell_run, NULL, &e, sizeof(e));
	return rc;
}

struct show_effect {
	user_id_t viewer;
	user_id_t of;
	bool hidden;
	char of_name[STORE_NAME_MAX + 1];
};

static void
show_run(struct server *s, void *data)
{
	struct show_effect *e = data;

	presence_tell(s, e->viewer, e->of, e->of_name, e->hidden);
}

static void
show(struct server *s, user_id_t viewer, user_id_t of, const char *of_name, bool hidden)
{
	struct show_effect e = {.viewer = viewer, .of = of, .hidden = hidden};

	snprintf(e.of_name, sizeof(e.of_name), "%s", of_name);
	effect_add(s, show_run, NULL, &e, sizeof(e));
}

/* ---- answers ------------------------------------------------------------------------- */

static void
refuse(struct server *s, const struct request *r, Rookery__Code code, const char *text)
{
	respond_code(s, r->sid, r->number, code, text);
}

static void
buddy_fill(struct server *s, Rookery__Buddy *b, const struct store_relation *r)
{
	const struct user *u = user_get(s, r->peer);

	rookery__buddy__init(b);
	b->user_id = r->peer;
	b->name = (char *)(uintptr_t)r->peer_name;
	b->state = r->state;
	b->blocked = r->blocked;
	b->group = (char *)(uintptr_t)r->group;
	b->remark = (char *)(uintptr_t)r->remark;
	b->request_text = (char *)(uintptr_t)r->text;
	if (r->state != STATE(ACCEPTED))
		return;
	b->status = ROOKERY__STATUS__STATUS_OFFLINE;
	if (u != NULL && !r->peer_blocked && u->shown != ROOKERY__STATUS__STATUS_OFFLINE) {
		b->status = u->shown;
		b->status_text = (char *)(uintptr_t)u->shown_text;
	}
}

static void
respond_buddy(struct server *s, const struct request *r, const struct store_relation *relation)
{
	Rookery__Response response = ROOKERY__RESPONSE__INIT;
	Rookery__Buddy buddy;

	buddy_fill(s, &buddy, relation);
	response.code = ROOKERY__CODE__CODE_OK;
	response.body_case = ROOKERY__RESPONSE__BODY_BUDDY;
	response.buddy = &buddy;
	respond(s, r->sid, r->number, &response);
}

/* The peer that a request names, and the pair. Returns 1; 0 when the request was refused; -errno. */
static int
peer_get(struct server *s, const struct request *r, const char *name, struct store_user *peer, struct pair *p)
{
	char folded[STORE_NAME_MAX + 1];
	int rc = -ENOENT;

	if (name_fold(folded, name))
		rc = store_user_by_name(s->store, folded, peer);
	if (rc == -ENOENT) {
		refuse(s, r, ROOKERY__CODE__CODE_UNKNOWN_USER, "there is no such account");
		return 0;
	}
	if (rc < 0)
		return rc;
	if (peer->id == r->user->id) {
		refuse(s, r, ROOKERY__CODE__CODE_SELF, "that is you");
		return 0;
	}
	rc = pair_get(s, r->user->id, peer->id, p);
	return rc < 0 ? rc : 1;
}

/* ---- AddBuddy, AnswerBuddy ------------------------------------------------------------ */

static int
pair_accept(struct server *s, const struct request *r, struct pair *p)
{
	user_id_t me = r->user->id, peer = p->mine.peer;
	int rc;

	p->mine.state = p->theirs.state = STATE(ACCEPTED);
	p->mine.text[0] = p->theirs.text[0] = '\0';
	rc = pair_put(s, p);
	if (rc == 0)
		rc = verdicts_changed(s, me, peer);
	if (rc == 0)
		rc = tell(s, peer, me, r->user->name, STATE(ACCEPTED), "", true, SESSION_ID_NONE);
	if (rc == 0)
		rc = tell(s, me, peer, p->mine.peer_name, STATE(ACCEPTED), "", false, SESSION_ID_NONE);
	if (rc < 0)
		return rc;
	respond_buddy(s, r, &p->mine);
	show(s, me, peer, p->mine.peer_name, p->theirs.blocked);
	show(s, peer, me, r->user->name, p->mine.blocked);
	return 0;
}

/* 1: there is room for one more, 0: refused, -errno. */
static int
room_for_request(struct server *s, const struct request *r, user_id_t peer)
{
	int max = (int)s->config->control.buddies_max;
	int mine = store_relation_count(s->store, r->user->id, STATE(ACCEPTED));
	int asked = store_relation_count(s->store, r->user->id, STATE(REQUESTED));
	int pending = store_relation_count(s->store, peer, STATE(PENDING));
	int theirs = store_relation_count(s->store, peer, STATE(ACCEPTED));

	if (mine < 0 || asked < 0 || pending < 0 || theirs < 0)
		return -EIO;
	if (asked >= (int)s->config->limits.buddy_requests_open) {
		refuse(s, r, ROOKERY__CODE__CODE_LIMIT, "too many of your requests wait for an answer");
		return 0;
	}
	if (mine + asked >= max) {
		refuse(s, r, ROOKERY__CODE__CODE_LIMIT, "your buddy list is full");
		return 0;
	}
	if (theirs >= max || pending >= (int)s->config->limits.buddy_requests_waiting) {
		refuse(s, r, ROOKERY__CODE__CODE_LIMIT,
		       "that user cannot take further requests at the moment");
		return 0;
	}
	return 1;
}

int
buddy_add(struct server *s, const struct request *r, const Rookery__AddBuddy *b)
{
	char text[STORE_TEXT_MAX + 1];
	struct store_user peer;
	struct pair p;
	bool again;
	int rc;

	if (!text_clean(text, b->text, STORE_TEXT_MAX)) {
		refuse(s, r, ROOKERY__CODE__CODE_MALFORMED, "the text has at most 256 bytes of UTF-8");
		return 0;
	}
	rc = peer_get(s, r, b->user, &peer, &p);
	if (rc <= 0)
		return rc;
	if (p.mine.blocked || p.theirs.blocked) {
		refuse(s, r, ROOKERY__CODE__CODE_BLOCKED, p.mine.blocked ? "you have blocked that user" :
		       "that user does not want to hear from you");
		return 0;
	}
	if (p.mine.state == STATE(ACCEPTED)) {
		rc = verdicts_changed(s, r->user->id, peer.id);
		if (rc < 0)
			return rc;
		refuse(s, r, ROOKERY__CODE__CODE_ALREADY_BUDDIES, "you are buddies already");
		return 0;
	}
	if (p.mine.state == STATE(PENDING))
		return pair_accept(s, r, &p);
	again = p.mine.state == STATE(REQUESTED) && strcmp(p.theirs.text, text) == 0;
	rc = again ? 1 : room_for_request(s, r, peer.id);
	if (rc > 0 && !again && !limit_request(s, LIMIT_BUDDY_REQUESTS, r))
		rc = 0;
	if (rc <= 0)
		return rc;
	p.mine.state = STATE(REQUESTED);
	p.theirs.state = STATE(PENDING);
	memcpy(p.mine.text, text, sizeof(text));
	memcpy(p.theirs.text, text, sizeof(text));
	rc = pair_put(s, &p);
	if (rc == 0)
		rc = store_event_del_pair(s->store, r->user->id, peer.id);
	if (rc == 0 && !again)
		rc = tell(s, peer.id, r->user->id, r->user->name, STATE(PENDING), text, false,
			  SESSION_ID_NONE);
	if (rc == 0)
		respond_buddy(s, r, &p.mine);
	return rc;
}

static int
pair_end(struct server *s, const struct request *r, struct pair *p, uint8_t tell_state)
{
	user_id_t me = r->user->id, peer = p->mine.peer;
	int rc;

	p->mine.state = p->theirs.state = STATE(NONE);
	p->mine.text[0] = p->theirs.text[0] = '\0';
	rc = pair_put(s, p);
	if (rc == 0)
		rc = verdicts_changed(s, me, peer);
	if (rc == 0)
		rc = tell(s, peer, me, r->user->name, tell_state, "", true, SESSION_ID_NONE);
	/* The user's other devices; the one that asked has its answer. */
	if (rc == 0)
		rc = tell(s, me, peer, p->mine.peer_name, STATE(REMOVED), "", false, r->sid);
	return rc;
}

int
buddy_answer(struct server *s, const struct request *r, const Rookery__AnswerBuddy *b)
{
	struct store_user peer;
	struct pair p;
	int rc = peer_get(s, r, b->user, &peer, &p);

	if (rc <= 0)
		return rc;
	if (b->accept && p.mine.state == STATE(ACCEPTED)) {
		/* Said twice. */
		rc = verdicts_changed(s, r->user->id, peer.id);
		if (rc == 0)
			respond_buddy(s, r, &p.mine);
		return rc;
	}
	if (p.mine.state != STATE(PENDING)) {
		refuse(s, r, ROOKERY__CODE__CODE_NO_REQUEST, "that user has not asked you");
		return 0;
	}
	if (!b->accept) {
		rc = pair_end(s, r, &p, STATE(DENIED));
		if (rc == 0)
			respond_buddy(s, r, &p.mine);
		return rc;
	}
	rc = store_relation_count(s->store, r->user->id, STATE(ACCEPTED));
	if (rc < 0)
		return rc;
	if (rc >= (int)s->config->control.buddies_max) {
		refuse(s, r, ROOKERY__CODE__CODE_LIMIT, "your buddy list is full");
		return 0;
	}
	return pair_accept(s, r, &p);
}

/* ---- DeleteBuddy, SetBlock ------------------------------------------------------------- */

int
buddy_delete(struct server *s, const struct request *r, const Rookery__DeleteBuddy *b)
{
	struct store_user peer;
	struct pair p;
	int rc = peer_get(s, r, b->user, &peer, &p);

	if (rc <= 0)
		return rc;
	/* Whoever asked and is turned away in this manner was denied. */
	if (p.mine.state != STATE(NONE))
		rc = pair_end(s, r, &p, p.mine.state == STATE(PENDING) ? STATE(DENIED) : STATE(REMOVED));
	else
		rc = verdicts_changed(s, r->user->id, peer.id);
	if (rc < 0)
		return rc;
	p.mine.group[0] = p.mine.remark[0] = '\0';
	respond_buddy(s, r, &p.mine);
	return 0;
}

int
buddy_block(struct server *s, const struct request *r, const Rookery__SetBlock *b)
{
	struct store_user peer;
	struct pair p;
	bool changed;
	int rc = peer_get(s, r, b->user, &peer, &p);

	if (rc <= 0)
		return rc;
	changed = p.mine.blocked != (b->blocked != 0);
	p.mine.blocked = p.theirs.peer_blocked = b->blocked != 0;
	rc = store_relation_put(s->store, &p.mine);
	/* A request on its way in either direction ends with the block. */
	if (rc == 0 && p.mine.blocked && (p.mine.state == STATE(PENDING) || p.mine.state == STATE(REQUESTED)))
		rc = pair_end(s, r, &p, p.mine.state == STATE(PENDING) ? STATE(DENIED) : STATE(REMOVED));
	else if (rc == 0)
		rc = verdicts_changed(s, r->user->id, peer.id);
	if (rc < 0)
		return rc;
	respond_buddy(s, r, &p.mine);
	if (!changed || p.mine.state != STATE(ACCEPTED))
		return 0;
	show(s, peer.id, r->user->id, r->user->name, p.mine.blocked);
	/* The other devices of this user have messages to that peer, too, that could not be sent: nothing else tells them. */
	show(s, r->user->id, peer.id, p.mine.peer_name, p.theirs.blocked);
	return 0;
}

/* ---- ListBuddies, SetBuddy ------------------------------------------------------------- */

int
buddy_list(struct server *s, const struct request *r, const Rookery__ListBuddies *b)
{
	Rookery__Response response = ROOKERY__RESPONSE__INIT;
	Rookery__BuddyList list = ROOKERY__BUDDY_LIST__INIT;
	Rookery__Buddy buddies[LIST_ROWS], *pointers[LIST_ROWS];
	struct store_relation *rows;
	uint32_t most = s->config->limits.list_rows;
	size_t bytes = 0;
	int count;

	count = store_relations(s->store, r->user->id, b->after_user_id, 0, most + 1, &rows);
	if (count < 0)
		return count;
	while ((int)list.n_buddies < count && list.n_buddies < most && list.n_buddies < LIST_ROWS && bytes < LIST_BYTES) {
		size_t i = list.n_buddies++;

		buddy_fill(s, &buddies[i], &rows[i]);
		pointers[i] = &buddies[i];
		bytes += rookery__buddy__get_packed_size(&buddies[i]) + 4;
	}
	list.buddies = pointers;
	list.more = (int)list.n_buddies < count;
	response.code = ROOKERY__CODE__CODE_OK;
	response.body_case = ROOKERY__RESPONSE__BODY_BUDDIES;
	response.buddies = &list;
	respond(s, r->sid, r->number, &response);
	free(rows);
	return 0;
}

int
buddy_set(struct server *s, const struct request *r, const Rookery__SetBuddy *b)
{
	struct store_user peer;
	struct pair p;
	int rc = peer_get(s, r, b->user, &peer, &p);

	if (rc <= 0)
		return rc;
	if (p.mine.state == STATE(NONE)) {
		refuse(s, r, ROOKERY__CODE__CODE_NO_REQUEST, "that user is not on your list");
		return 0;
	}
	if (!text_clean(p.mine.group, b->group, STORE_GROUP_MAX) ||
	    !text_clean(p.mine.remark, b->remark, STORE_REMARK_MAX)) {
		refuse(s, r, ROOKERY__CODE__CODE_MALFORMED,
		       "a group has at most 64, a remark at most 128 bytes of UTF-8");
		return 0;
	}
	rc = store_relation_put(s->store, &p.mine);
	if (rc == 0)
		respond_buddy(s, r, &p.mine);
	return rc;
}

/* ---- an account goes ------------------------------------------------------------------- */

int
buddies_user_removed(struct server *s, const struct store_user *u)
{
	struct store_relation *rows;
	int count = store_relations(s->store, u->id, 0, 0, INT32_MAX, &rows);
	int rc = 0;

	if (count < 0)
		return count;
	for (int i = 0; i < count && rc == 0; i++) {
		verdict_table(s, rows[i].peer, u->id, VERDICT_UNKNOWN_USER);
		verdict_table(s, u->id, rows[i].peer, VERDICT_UNKNOWN_USER);
		if (rows[i].state != STATE(NONE))
			rc = tell(s, rows[i].peer, u->id, u->name, STATE(REMOVED), "", true, SESSION_ID_NONE);
	}
	free(rows);
	return rc;
}
