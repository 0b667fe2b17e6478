/* SPDX-License-Identifier: BSD-3-Clause */
/* The public functions of the core: a client, its commands, and the way of a datagram through the rooms. */
#include "core.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OUTBOX_MAX 10000
#define INBOX_MAX 4096

/* The public header repeats these so that it needs no other; they are the same. */
_Static_assert(RK_DATAGRAM_MAX == WIRE_DATAGRAM_MAX, "datagram");
_Static_assert(RK_KEY_SIZE == HANDSHAKE_KEY, "key");
_Static_assert(RK_STATUS_INVISIBLE == (int)ROOKERY__STATUS__STATUS_INVISIBLE, "status");
_Static_assert(RK_BUDDY_REMOVED == (int)ROOKERY__BUDDY_STATE__BUDDY_REMOVED, "buddy state");
_Static_assert(RK_CODE_INTERNAL == (int)ROOKERY__CODE__CODE_INTERNAL, "code");
_Static_assert(RK_LEVEL_ACCEPTED == (int)RECEIPT_ACCEPTED && RK_LEVEL_REFUSED == (int)RECEIPT_REFUSED,
	       "level");
_Static_assert(RK_REFUSED_NOT_BUDDIES == (int)REFUSE_NOT_BUDDIES &&
		       RK_REFUSED_TOO_LARGE == (int)REFUSE_TOO_LARGE,
	       "reason");
_Static_assert(RK_CLOSED_KICKED == (int)CLOSE_KICKED && RK_CLOSED_REVOKED == (int)CLOSE_REVOKED, "close");

/* ---- names ------------------------------------------------------------------------------- */

#define NAME_OF(table, i) \
	((size_t)(i) < sizeof(table) / sizeof((table)[0]) && (table)[i] != NULL ? (table)[i] : "unknown")

const char *
rk_status_name(enum rk_status status)
{
	static const char *const names[] = {NULL, "offline", "online", "away", "busy", "invisible"};

	return NAME_OF(names, status);
}

const char *
rk_buddy_state_name(enum rk_buddy_state state)
{
	static const char *const names[] = {"none", "requested", "pending", "accepted", "denied", "removed"};

	return NAME_OF(names, state);
}

const char *
rk_level_name(enum rk_level level)
{
	return receipt_level_name((uint8_t)level);
}

const char *
rk_refused_name(enum rk_refused_reason reason)
{
	return refuse_reason_name((uint8_t)reason);
}

const char *
rk_code_name(enum rk_code code)
{
	static const char *const names[] = {
		[RK_CODE_OK] = "ok", [RK_CODE_MALFORMED] = "malformed", [RK_CODE_NAME_TAKEN] = "name_taken",
		[RK_CODE_NAME_INVALID] = "name_invalid", [RK_CODE_PASSWORD_WEAK] = "password_weak",
		[RK_CODE_PASSWORD_WRONG] = "password_wrong", [RK_CODE_UNKNOWN_USER] = "unknown_user",
		[RK_CODE_NOT_LOGGED_IN] = "not_logged_in", [RK_CODE_ALREADY_BUDDIES] = "already_buddies",
		[RK_CODE_NO_REQUEST] = "no_request", [RK_CODE_BLOCKED] = "blocked", [RK_CODE_SELF] = "self",
		[RK_CODE_LIMIT] = "limit", [RK_CODE_SLOW_DOWN] = "slow_down",
		[RK_CODE_STORE_UNAVAILABLE] = "store_unavailable",
		[RK_CODE_REGISTRATION_CLOSED] = "registration_closed", [RK_CODE_INTERNAL] = "internal",
		[RK_CODE_WRONG_USER] = "wrong_user", [RK_CODE_VERSION] = "version",
		[RK_CODE_LOCAL_STORE] = "local_store", [RK_CODE_KEY_CHANGED] = "key_changed",
	};

	return NAME_OF(names, code);
}

const char *
rk_closed_name(enum rk_closed_reason reason)
{
	return close_reason_name((uint8_t)reason);
}

void
message_id_format(char *out, device_id_t device, message_id_t id)
{
	snprintf(out, RK_MESSAGE_ID_LEN + 1, "%" PRIx64 "-%" PRIx64, device, id);
}

/* ---- a client ---------------------------------------------------------------------------- */

static bool
fits(const char *text, size_t max)
{
	return text == NULL || strnlen(text, max + 1) <= max;
}

static int
copy_config(struct rk_client *c, const struct rk_config *cfg)
{
	if (cfg->store == NULL || cfg->device_secret == NULL || !name_valid(cfg->user) ||
	    !fits(cfg->device_name, DEVICE_NAME_MAX) || !fits(cfg->status_text, RK_STATUS_TEXT_MAX) ||
	    cfg->status > RK_STATUS_INVISIBLE || cfg->status == RK_STATUS_OFFLINE)
		return -EINVAL;
	c->store = cfg->store;
	strcpy(c->user, cfg->user);
	strcpy(c->device_name, cfg->device_name != NULL ? cfg->device_name : "");
	strcpy(c->status_text, cfg->status_text != NULL ? cfg->status_text : "");
	c->status = cfg->status != 0 ? cfg->status : RK_STATUS_ONLINE;
	c->outbox_max = cfg->outbox_max != 0 ? cfg->outbox_max : OUTBOX_MAX;
	c->inbox_max = cfg->inbox_max != 0 ? cfg->inbox_max : INBOX_MAX;
	handshake_keypair_from_secret(&c->device, cfg->device_secret);
	return 0;
}

static int
load(struct rk_client *c, const struct rk_config *cfg)
{
	struct rk_store *s = c->store;
	int r = s->counter_get(s->state, RK_COUNTER_DEVICE, &c->device_id);

	if (r == 0 || r == -ENOENT)
		r = s->counter_get(s->state, RK_COUNTER_USER, &c->user_id);
	if (r == 0 || r == -ENOENT)
		r = login_init(c, cfg);
	if (r == 0)
		r = resume_init(c);
	if (r == 0)
		r = outbox_init(c);
	return r;
}

int
rk_client_new(struct rk_client **client, const struct rk_config *cfg)
{
	struct rk_client *c;
	int r;

	*client = NULL;
	if (handshake_init() < 0 || aead_init() < 0)
		return -EIO;
	/* The expanded keys inside want their alignment. */
	if (posix_memalign((void **)&c, _Alignof(struct rk_client), sizeof(*c)) != 0)
		return -ENOMEM;
	memset(c, 0, sizeof(*c));
	events_init(c);
	requests_init(c);
	r = copy_config(c, cfg);
	if (r == 0)
		r = load(c, cfg);
	if (r < 0) {
		rk_client_free(c);
		return r;
	}
	*client = c;
	return 0;
}

void
rk_client_free(struct rk_client *c)
{
	if (c == NULL)
		return;
	session_end(c);
	login_free(c);
	resume_free(c);
	outbox_free(c);
	events_free(c);
	inbox_free(c);
	requests_free(c);
	roster_free(c);
	sodium_memzero(c, sizeof(*c));
	free(c);
}

void
client_identified(struct rk_client *c, user_id_t user, device_id_t device, message_id_t last_message,
		  bool fresh)
{
	struct rk_store *s = c->store;
	int r = 0;

	fresh = fresh || (c->device_id != 0 && c->device_id != device) ||
		(c->user_id != 0 && c->user_id != user);
	if (fresh) {
		r = s->forget(s->state);
		inbox_forget(c);
		resume_forget(c);
		c->roster.n = 0;
	}
	c->user_id = user;
	c->device_id = device;
	if (r == 0)
		r = s->counter_put(s->state, RK_COUNTER_DEVICE, device);
	if (r == 0)
		r = s->counter_put(s->state, RK_COUNTER_USER, user);
	if (r < 0)
		store_failed(c, r);
	if (fresh)
		outbox_forget(c);
	outbox_device(c, last_message);
}

/* ---- datagrams and time ------------------------------------------------------------------ */

static void
set_time(struct rk_client *c, uint64_t now_us, uint64_t wall_ms)
{
	if (now_us > c->now_us)
		c->now_us = now_us;
	c->wall_ms = wall_ms;
}

void
rk_client_input(struct rk_client *c, uint64_t now_us, uint64_t wall_ms, const uint8_t *data, size_t len)
{
	struct wire_prefix p;

	set_time(c, now_us, wall_ms);
	c->stats.datagrams_in++;
	if (len < WIRE_RUNT || len > WIRE_DATAGRAM_MAX) {
		c->stats.ignored++;
		return;
	}
	wire_prefix_read(&p, data);
	if (p.type == WIRE_DATA && p.version == WIRE_VERSION)
		session_input(c, data, len);
	else
		login_input(c, &p, data, len);
}

size_t
rk_client_output(struct rk_client *c, uint64_t now_us, uint64_t wall_ms, uint8_t *buf, size_t cap)
{
	size_t len;

	if (cap < RK_DATAGRAM_MAX)
		return 0;
	set_time(c, now_us, wall_ms);
	login_tick(c);
	session_tick(c);
	resume_tick(c);
	events_tick(c);
	inbox_tick(c);
	outbox_tick(c);
	len = login_output(c, buf);
	if (len == 0)
		len = session_output(c, buf);
	c->stats.datagrams_out += len > 0;
	return len;
}

uint64_t
rk_client_deadline(const struct rk_client *c)
{
	uint64_t t = earlier(login_deadline(c), session_deadline(c));

	t = earlier(t, resume_deadline(c));
	t = earlier(t, events_deadline(c));
	return earlier(t, inbox_deadline(c));
}

bool
rk_client_take_rebind(struct rk_client *c)
{
	bool rebind = c->session.rebind;

	c->session.rebind = false;
	return rebind;
}

void
rk_client_rebound(struct rk_client *c)
{
	session_ping(c);
}

/* ---- commands ---------------------------------------------------------------------------- */

int
rk_client_login(struct rk_client *c)
{
	login_start(c);
	return 0;
}

static int
set_credential(struct rk_client *c, int kind, const char *password)
{
	size_t len = password != NULL ? strnlen(password, PASSWORD_MAX + 1) : 0;

	if (len == 0 || len > PASSWORD_MAX)
		return -EINVAL;
	sodium_memzero(c->login.password, sizeof(c->login.password));
	memcpy(c->login.password, password, len);
	c->login.credential = kind;
	c->login.enrol_told = true; /* what is missing from now on is the right answer */
	login_credential(c);
	return 0;
}

int
rk_client_register(struct rk_client *c, const char *password)
{
	return set_credential(c, CREDENTIAL_REGISTER, password);
}

int
rk_client_enrol(struct rk_client *c, const char *password)
{
	return set_credential(c, CREDENTIAL_ENROL, password);
}

int64_t
rk_client_send(struct rk_client *c, const char *to, const char *text, size_t len)
{
	return outbox_send(c, to, text, len);
}

size_t
rk_client_outbox_pending(const struct rk_client *c)
{
	return c->outbox.pending;
}

size_t
rk_client_requests_pending(const struct rk_client *c)
{
	return c->requests.n;
}

int64_t
rk_client_add_buddy(struct rk_client *c, const char *name, const char *text)
{
	Rookery__Request q = ROOKERY__REQUEST__INIT;
	Rookery__AddBuddy body = ROOKERY__ADD_BUDDY__INIT;

	if (!name_valid(name) || !fits(text, RK_STATUS_TEXT_MAX))
		return -EINVAL;
	body.user = (char *)name;
	if (text != NULL)
		body.text = (char *)text;
	q.body_case = ROOKERY__REQUEST__BODY_ADD_BUDDY;
	q.add_buddy = &body;
	return request_apply(c, REQUEST_APPLICATION, &q);
}

int64_t
rk_client_answer_buddy(struct rk_client *c, const char *name, bool accept)
{
	Rookery__Request q = ROOKERY__REQUEST__INIT;
	Rookery__AnswerBuddy body = ROOKERY__ANSWER_BUDDY__INIT;

	if (!name_valid(name))
		return -EINVAL;
	body.user = (char *)name;
	body.accept = accept;
	q.body_case = ROOKERY__REQUEST__BODY_ANSWER_BUDDY;
	q.answer_buddy = &body;
	return request_apply(c, REQUEST_APPLICATION, &q);
}

int64_t
rk_client_remove_buddy(struct rk_client *c, const char *name)
{
	Rookery__Request q = ROOKERY__REQUEST__INIT;
	Rookery__DeleteBuddy body = ROOKERY__DELETE_BUDDY__INIT;

	if (!name_valid(name))
		return -EINVAL;
	body.user = (char *)name;
	q.body_case = ROOKERY__REQUEST__BODY_DELETE_BUDDY;
	q.delete_buddy = &body;
	return request_apply(c, REQUEST_APPLICATION, &q);
}

int64_t
rk_client_block(struct rk_client *c, const char *name, bool blocked)
{
	Rookery__Request q = ROOKERY__REQUEST__INIT;
	Rookery__SetBlock body = ROOKERY__SET_BLOCK__INIT;

	if (!name_valid(name))
		return -EINVAL;
	body.user = (char *)name;
	body.blocked = blocked;
	q.body_case = ROOKERY__REQUEST__BODY_SET_BLOCK;
	q.set_block = &body;
	return request_apply(c, REQUEST_APPLICATION, &q);
}

int64_t
rk_client_set_buddy(struct rk_client *c, const char *name, const char *group, const char *remark)
{
	Rookery__Request q = ROOKERY__REQUEST__INIT;
	Rookery__SetBuddy body = ROOKERY__SET_BUDDY__INIT;

	if (!name_valid(name) || !fits(group, RK_STATUS_TEXT_MAX) || !fits(remark, RK_STATUS_TEXT_MAX))
		return -EINVAL;
	body.user = (char *)name;
	if (group != NULL)
		body.group = (char *)group;
	if (remark != NULL)
		body.remark = (char *)remark;
	q.body_case = ROOKERY__REQUEST__BODY_SET_BUDDY;
	q.set_buddy = &body;
	return request_apply(c, REQUEST_APPLICATION, &q);
}

int64_t
rk_client_list_buddies(struct rk_client *c)
{
	Rookery__Request q = ROOKERY__REQUEST__INIT;
	Rookery__ListBuddies body = ROOKERY__LIST_BUDDIES__INIT;

	q.body_case = ROOKERY__REQUEST__BODY_LIST_BUDDIES;
	q.list_buddies = &body;
	return request_apply(c, REQUEST_LIST, &q);
}

int64_t
rk_client_set_presence(struct rk_client *c, enum rk_status status, const char *text)
{
	Rookery__Request q = ROOKERY__REQUEST__INIT;
	Rookery__SetPresence body = ROOKERY__SET_PRESENCE__INIT;

	if (status < RK_STATUS_ONLINE || status > RK_STATUS_INVISIBLE || !fits(text, RK_STATUS_TEXT_MAX))
		return -EINVAL;
	c->status = status;
	strcpy(c->status_text, text != NULL ? text : "");
	body.status = (Rookery__Status)status;
	body.text = c->status_text;
	q.body_case = ROOKERY__REQUEST__BODY_SET_PRESENCE;
	q.set_presence = &body;
	resume_presence(c);
	return request_apply(c, REQUEST_APPLICATION, &q);
}

int64_t
rk_client_change_password(struct rk_client *c, const char *old_password, const char *new_password)
{
	Rookery__Request q = ROOKERY__REQUEST__INIT;
	Rookery__ChangePassword body = ROOKERY__CHANGE_PASSWORD__INIT;

	if (old_password == NULL || new_password == NULL || !fits(old_password, PASSWORD_MAX) ||
	    !fits(new_password, PASSWORD_MAX))
		return -EINVAL;
	body.old_password = (char *)old_password;
	body.new_password = (char *)new_password;
	q.body_case = ROOKERY__REQUEST__BODY_CHANGE_PASSWORD;
	q.change_password = &body;
	return request_apply(c, REQUEST_APPLICATION, &q);
}

int64_t
rk_client_search(struct rk_client *c, const char *prefix, uint32_t limit)
{
	Rookery__Request q = ROOKERY__REQUEST__INIT;
	Rookery__SearchUser body = ROOKERY__SEARCH_USER__INIT;

	if (prefix == NULL || !fits(prefix, RK_NAME_MAX))
		return -EINVAL;
	body.prefix = (char *)prefix;
	body.limit = limit;
	q.body_case = ROOKERY__REQUEST__BODY_SEARCH_USER;
	q.search_user = &body;
	return request_apply(c, REQUEST_APPLICATION, &q);
}

int64_t
rk_client_resolve(struct rk_client *c, const char *name)
{
	Rookery__Request q = ROOKERY__REQUEST__INIT;
	Rookery__ResolveUser body = ROOKERY__RESOLVE_USER__INIT;

	if (!name_valid(name))
		return -EINVAL;
	body.user = (char *)name;
	q.body_case = ROOKERY__REQUEST__BODY_RESOLVE_USER;
	q.resolve_user = &body;
	return request_apply(c, REQUEST_APPLICATION, &q);
}

void
rk_client_logout(struct rk_client *c)
{
	struct event *e;

	if (c->login.state == LOGIN_OFF)
		return;
	login_stop(c);
	session_close(c);
	e = event_new(RK_EVENT_CLOSED);
	if (e != NULL)
		e->e.closed = RK_CLOSED_LOGOUT;
	event_push(c, e);
}

/* ---- state ------------------------------------------------------------------------------- */

bool
rk_client_online(const struct rk_client *c)
{
	return c->session.full && !c->session.disconnected && c->session.closing == 0;
}

uint64_t
rk_client_user_id(const struct rk_client *c)
{
	return c->user_id;
}

uint64_t
rk_client_device_id(const struct rk_client *c)
{
	return c->device_id;
}

const char *
rk_client_observed(const struct rk_client *c)
{
	return c->session.observed;
}

void
rk_client_stats(const struct rk_client *c, struct rk_stats *stats)
{
	*stats = c->stats;
	stats->held = c->inbox.held;
	stats->rtt_us = c->session.srtt_us;
}

const char *
client_check(const struct rk_client *c)
{
	const char *(*const checks[])(const struct rk_client *) = {events_check, login_check, session_check,
								   outbox_check, inbox_check, requests_check,
								   roster_check};

	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		const char *broken = checks[i](c);

		if (broken != NULL)
			return broken;
	}
	return NULL;
}
