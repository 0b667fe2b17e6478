/* SPDX-License-Identifier: BSD-3-Clause */
/* The people: they register, become buddies, write, and note what they are told. What contradicts a promise fails at once. */
#include "sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_GAP_US (2 * SECOND_US)
#define AGAIN_US SECOND_US
#define PASSWORD "correct horse"
#define HEAD_MAX 64

const char *const user_names[USERS_MAX] = {"ada", "bob", "cyd", "dan", "eve", "fay"};

static int
user_of(const char *name)
{
	for (unsigned i = 0; i < USERS_MAX; i++)
		if (strcmp(user_names[i], name) == 0)
			return (int)i;
	return -1;
}

/* ---- texts ------------------------------------------------------------------------------ */

/* Any receiver can tell from the text alone which one it is and whether it is whole. */
static char *
text_make(const struct text *t)
{
	char *out = malloc((size_t)t->length + 1);
	int n = snprintf(out, HEAD_MAX, "%u %u %u %u %u ", t->number, t->from, t->to, t->order, t->length);

	for (uint32_t i = (uint32_t)n; i < t->length; i++)
		out[i] = (char)('a' + (t->number + i) % 26);
	out[t->length] = '\0';
	return out;
}

static struct text *
text_read(struct sim *s, const char *text, size_t len)
{
	struct text *t;
	char *right;
	bool same;
	char *end;
	unsigned long number = strtoul(text, &end, 10);

	if (end == text || number == 0 || number > s->text_count)
		return NULL;
	t = &s->texts[number - 1];
	right = text_make(t);
	same = len == t->length && memcmp(right, text, len) == 0;
	free(right);
	return same ? t : NULL;
}

static void
remember_local(struct app *a, uint64_t local, struct text *t)
{
	if (local >= a->local_capacity) {
		uint64_t capacity = local * 2 + 16;

		a->locals = realloc(a->locals, capacity * sizeof(struct text *));
		memset(a->locals + a->local_capacity, 0, (capacity - a->local_capacity) * sizeof(struct text *));
		a->local_capacity = capacity;
	}
	a->locals[local] = t;
}

void
app_write(struct device *d, unsigned to, uint32_t length)
{
	struct sim *s = d->sim;
	struct text *t;
	char *text;
	int64_t local;

	if (s->text_count == TEXTS_MAX || d->client == NULL || d->crashed)
		return;
	t = &s->texts[s->text_count];
	*t = (struct text){
		.number = s->text_count + 1,
		.order = ++d->app.next_order[to],
		.from = (uint8_t)d->index,
		.to = (uint8_t)to,
		.length = length < HEAD_MAX ? HEAD_MAX : length,
		.sent_us = s->now_us,
	};
	for (unsigned i = 0; i < s->device_count; i++)
		if (s->devices[i].user == to && i != d->index && s->devices[i].app.registered)
			t->expected |= (uint8_t)(1u << i);
	s->text_count++;
	text = text_make(t);
	local = rk_client_send(d->client, user_names[to], text, t->length);
	free(text);
	trace(s, d->name, "writes text %u to %s, %u bytes: %" PRId64, t->number, user_names[to], t->length, local);
	t->sure = local > 0 && !d->crashed;
	if (local > 0) {
		t->local = (uint64_t)local;
		remember_local(&d->app, t->local, t);
	}
	d->touched = true;
}

/* ---- what is told ------------------------------------------------------------------------- */

/*
 * A known gap: a message was shown, the server's memory of it ended before its sender was told (the dataplane was killed, the sender
 * has got a new session, by a login or by its ticket), the two ceased to be buddies, and the retry is refused. Only a record on disk
 * for every live message could know better.
 * So: a pair that has parted, and a server that has forgotten since the text was written. Each is counted.
 */
static bool
may_be_both(struct sim *s, struct text *t)
{
	const struct device *from = &s->devices[t->from];
	bool forgotten = dataplane_began(s) > t->sent_us || from->app.session_us > t->sent_us;

	if (!s->parted[from->user][t->to] || !forgotten)
		return false;
	s->both += !t->both;
	t->both = true;
	return true;
}

static void
on_message(struct device *d, const struct rk_event_message *m)
{
	struct sim *s = d->sim;
	struct text *t = text_read(s, m->text, m->text_len);
	uint8_t bit = (uint8_t)(1u << d->index);
	struct device *from;

	if (t == NULL) {
		fail(s, "%s was shown a text that nobody wrote: %.40s", d->name, m->text);
		return;
	}
	from = &s->devices[t->from];
	trace(s, d->name, "is shown text %u of %s%s%s", t->number, from->name, m->offline ? ", stored" : "",
	      m->redelivered ? ", redelivered" : "");
	if (t->to != d->user)
		fail(s, "%s was shown text %u, which was for %s", d->name, t->number, user_names[t->to]);
	if (strcmp(m->from, user_names[from->user]) != 0)
		fail(s, "%s was told that text %u is from %s", d->name, t->number, m->from);
	if (t->id[0] != '\0' && strcmp(t->id, m->id) != 0)
		fail(s, "text %u is %s to its sender and %s to its recipient", t->number, t->id, m->id);
	if (t->level == RK_LEVEL_REFUSED && !may_be_both(s, t))
		fail(s, "G2: text %u was told to have failed (%s) and is shown to %s", t->number, rk_refused_name(t->reason), d->name);
	if (t->shown & bit) {
		if (!(t->again & bit) || !m->redelivered)
			fail(s, "G2: text %u is shown twice to %s%s", t->number, d->name,
			     t->again & bit ? " and not marked as redelivered" : "");
	} else if (t->order <= d->app.high[t->from]) {
		fail(s, "G3: text %u (%u of its conversation) is shown to %s after %llu", t->number, t->order, d->name,
		     (unsigned long long)d->app.high[t->from]);
	} else {
		d->app.high[t->from] = t->order;
	}
	if (!(t->shown & bit))
		t->shown_us[d->index] = s->now_us;
	t->shown |= bit;
	s->progress++;
	t->again &= (uint8_t)~bit;
	d->app.showing = t;
}

static struct text *
text_of_local(struct device *d, const struct rk_event_outgoing *e)
{
	if (e->local <= 0 || (uint64_t)e->local >= d->app.local_capacity)
		return NULL;
	return d->app.locals[e->local];
}

/* A final answer may be told again after a crash, may rise from stored to delivered, and never changes otherwise. */
static void
on_answer(struct device *d, const struct rk_event_outgoing *e)
{
	struct sim *s = d->sim;
	struct text *t = text_of_local(d, e);

	trace(s, d->name, "is told: %s %s of text %u (local %" PRId64 ")", rk_level_name(e->level),
	      e->level == RK_LEVEL_REFUSED ? rk_refused_name(e->reason) : "", t == NULL ? 0 : t->number, e->local);
	if (t == NULL)
		return; /* died while it was handed over: nobody knows its number */
	if (e->level == RK_LEVEL_ACCEPTED) {
		/* After a restart it may begin anew: the disk may have failed to forget it. */
		if (t->level != 0 && t->final_run == d->app.runs)
			fail(s, "text %u is accepted after its final answer", t->number);
		t->accepted = true;
		return;
	}
	if (t->level != 0 && (t->level == RK_LEVEL_REFUSED) != (e->level == RK_LEVEL_REFUSED))
		fail(s, "G2: text %u was answered %s and then %s", t->number, rk_level_name(t->level), rk_level_name(e->level));
	if (e->level == RK_LEVEL_REFUSED && t->shown != 0 && !may_be_both(s, t))
		fail(s, "G2: text %u is told to have failed (%s) and was shown", t->number, rk_refused_name(e->reason));
	if (e->level == RK_LEVEL_DELIVERED && t->shown == 0)
		fail(s, "G1: text %u is told to be delivered and was shown nowhere", t->number);
	if (e->level == RK_LEVEL_REFUSED)
		t->reason = e->reason;
	if (t->level == 0) {
		t->final_run = d->app.runs;
		t->final_us = s->now_us;
	}
	s->progress++;
	if (e->level > t->level)
		t->level = e->level;
}

static void
on_sent(struct device *d, const struct rk_event_outgoing *e)
{
	struct text *t = text_of_local(d, e);

	if (t == NULL)
		return;
	if (t->id[0] != '\0' && strcmp(t->id, e->id) != 0)
		fail(d->sim, "text %u has two ids: %s and %s", t->number, t->id, e->id);
	snprintf(t->id, sizeof(t->id), "%s", e->id);
}

static void
on_buddies(struct device *d, const struct rk_event_response *r)
{
	struct app *a = &d->app;

	a->listing = false;
	memset(a->buddy, 0, sizeof(a->buddy));
	for (size_t i = 0; i < r->buddies; i++) {
		int user = user_of(r->buddy[i].name);

		if (user >= 0)
			a->buddy[user] = (uint8_t)r->buddy[i].state;
	}
	a->list_us = d->sim->now_us;
	d->touched = true;
}

static void
on_presence(struct device *d, const struct rk_event_presence *e)
{
	int user = user_of(e->name);

	trace(d->sim, d->name, "is told: %s is %s", e->name, rk_status_name(e->status));
	if (user < 0)
		return;
	d->app.presence[user] = (uint8_t)e->status;
	d->app.presence_us[user] = d->sim->now_us;
}

static void
on_refused_login(struct device *d, const struct rk_event_error *e)
{
	trace(d->sim, d->name, "may not log in: %s", e->name);
	/* The account was made, and the answer got lost. */
	if (!d->app.registered && e->code == RK_CODE_NAME_TAKEN)
		rk_client_enrol(d->client, PASSWORD);
	else if (!d->app.registered && d->nth == 0 && e->code != RK_CODE_WRONG_USER)
		rk_client_register(d->client, PASSWORD);
	else if (!d->app.registered)
		rk_client_enrol(d->client, PASSWORD);
	d->app.again_us = d->sim->now_us + AGAIN_US;
}

void
app_event(struct device *d, const struct rk_event *e)
{
	struct sim *s = d->sim;

	switch (e->type) {
	case RK_EVENT_LOGIN:
		trace(s, d->name, "is logged in");
		d->app.registered = true;
		d->app.online_us = s->now_us;
		break;
	case RK_EVENT_LOGIN_REFUSED:
		on_refused_login(d, &e->error);
		break;
	case RK_EVENT_ENROL_NEEDED:
		trace(s, d->name, "is not known to the server");
		if (d->app.registered)
			fail(s, "the server has forgotten %s", d->name);
		rk_client_enrol(d->client, PASSWORD);
		break;
	case RK_EVENT_PRESENCE:
		on_presence(d, &e->presence);
		break;
	case RK_EVENT_MESSAGE:
		on_message(d, &e->message);
		break;
	case RK_EVENT_SENT:
		on_sent(d, &e->outgoing);
		break;
	case RK_EVENT_RECEIPT:
	case RK_EVENT_REFUSED:
		on_answer(d, &e->outgoing);
		break;
	case RK_EVENT_BUDDIES:
		on_buddies(d, &e->response);
		break;
	case RK_EVENT_RESPONSE:
		d->app.listing = false;
		trace(s, d->name, "is answered: %s", e->response.name);
		break;
	case RK_EVENT_BUDDY_REQUEST:
	case RK_EVENT_BUDDY:
		d->app.list_us = s->now_us;
		break;
	case RK_EVENT_CLOSED:
		trace(s, d->name, "is told: closed, %s", rk_closed_name(e->closed));
		d->app.closed = true;
		d->app.again_us = s->now_us + AGAIN_US;
		break;
	case RK_EVENT_DISCONNECTED:
		trace(s, d->name, "is told: disconnected");
		break;
	case RK_EVENT_RESUMED:
		trace(s, d->name, "is told: resumed");
		d->app.online_us = s->now_us;
		break;
	case RK_EVENT_ERROR:
		trace(s, d->name, "is told: error %s", e->error.name);
		break;
	default:
		break;
	}
}

/* ---- what they do --------------------------------------------------------------------------- */

bool
app_befriended(const struct device *d)
{
	for (unsigned i = 0; i < d->sim->profile.users; i++)
		if (i != d->user && d->app.buddy[i] != RK_BUDDY_ACCEPTED)
			return false;
	return d->app.registered;
}

/* Looks at the list now and then until everybody is a buddy. */
static void
befriend(struct device *d)
{
	struct app *a = &d->app;

	if (!a->registered || d->nth != 0 || a->listing || d->sim->now_us < a->list_us)
		return;
	for (unsigned i = 0; i < d->sim->profile.users; i++) {
		if (i == d->user)
			continue;
		if (a->buddy[i] == RK_BUDDY_PENDING)
			rk_client_answer_buddy(d->client, user_names[i], true);
		else if (a->buddy[i] == RK_BUDDY_NONE && d->user < i)
			rk_client_add_buddy(d->client, user_names[i], "");
	}
	if (!app_befriended(d)) {
		a->listing = rk_client_list_buddies(d->client) > 0;
		a->list_us = d->sim->now_us + LIST_GAP_US;
	} else {
		a->list_us = NEVER_US;
	}
}

static void
chat(struct device *d)
{
	const struct profile *p = &d->sim->profile;
	unsigned count = random_permille(&d->random, p->burst_permille) ? (unsigned)random_between(&d->random, 5, 60) : 1;
	unsigned to = (unsigned)random_below(&d->random, p->users);

	/* Notes to oneself go to the other devices: only where there are some. */
	if (to == d->user && (d->sim->device_count == p->users || !random_permille(&d->random, 200)))
		to = (to + 1) % p->users;
	for (unsigned i = 0; i < count; i++) {
		uint32_t length = random_permille(&d->random, p->long_permille) ?
			(uint32_t)random_between(&d->random, 1000, 6000) : (uint32_t)random_between(&d->random, HEAD_MAX, 300);

		app_write(d, to, length);
	}
	d->app.text_us = d->sim->now_us + random_gap(&d->random, (uint64_t)p->text_gap_ms * MS_US);
}

uint64_t
app_step(struct device *d)
{
	struct app *a = &d->app;
	struct sim *s = d->sim;
	uint64_t next = NEVER_US;

	if (d->leaving)
		return next;
	if (a->again_us != 0 && s->now_us >= a->again_us) {
		a->again_us = 0;
		a->closed = false;
		rk_client_login(d->client);
	}
	befriend(d);
	if (s->chatting && a->registered && s->now_us >= a->text_us)
		chat(d);
	if (a->again_us != 0)
		next = a->again_us;
	if (a->registered && d->nth == 0 && !a->listing && a->list_us < next)
		next = a->list_us;
	if (s->chatting && a->registered && a->text_us < next)
		next = a->text_us;
	return next;
}

void
app_started(struct device *d)
{
	d->app.runs++;
	d->app.sessions = 0;
	d->app.closed = false;
	d->app.again_us = 0;
	d->app.listing = false;
	d->app.list_us = d->sim->now_us;
	memset(d->app.presence, 0, sizeof(d->app.presence));
}

/* What it knew of others is of a session that has ended: the new one tells it all. */
void
app_session(struct device *d)
{
	d->app.sessions = device_logins(d) + device_resumes(d);
	d->app.session_us = d->sim->now_us;
	memset(d->app.presence, 0, sizeof(d->app.presence));
}

void
app_died(struct device *d)
{
	/* The application had it before its eyes; whether the core could still write that down, it cannot know. */
	if (d->app.showing != NULL)
		d->app.showing->again |= (uint8_t)(1u << d->index);
	d->app.showing = NULL;
}

void
app_fini(struct device *d)
{
	free(d->app.locals);
	d->app.locals = NULL;
}
