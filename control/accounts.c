// SPDX-License-Identifier: BSD-3-Clause
/*
 * Accounts as clients use them: register, enrol a device, change the password, find users. What needs a
 * password takes two steps: the request starts a job, the finished job is an operation of a later batch.
 */
#include "core.h"

#include "shared/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEARCH_MAX 200 /* the largest limits.search_rows */

static void
refuse(struct server *s, const struct request *r, Rookery__Code code, const char *text)
{
	respond_code(s, r->sid, r->number, code, text);
}

static void
respond_logged_in(struct server *s, session_id_t sid, uint32_t number, const char *name, const struct store_device *d)
{
	Rookery__Response response = ROOKERY__RESPONSE__INIT;
	Rookery__LoggedIn logged_in = ROOKERY__LOGGED_IN__INIT;

	logged_in.user_id = d->user;
	logged_in.device_id = d->id;
	logged_in.last_message_id = d->last_message_id;
	logged_in.user = (char *)(uintptr_t)name;
	response.code = ROOKERY__CODE__CODE_OK;
	response.body_case = ROOKERY__RESPONSE__BODY_LOGGED_IN;
	response.logged_in = &logged_in;
	respond(s, sid, number, &response);
}

/* ---- starting a job ------------------------------------------------------------------ */

static void
job_start(struct server *s, void *data)
{
	struct password_job *job = *(struct password_job **)data;
	struct session *n = session_get(s, job->sid);

	if (n == NULL || !request_mark(s, n, job->number)) {
		password_job_free(job);
		return;
	}
	n->password_busy = true;
	password_start(s, job);
}

static void
job_undo(struct server *s, void *data)
{
	(void)s;
	password_job_free(*(struct password_job **)data);
}

static struct password_job *
job_new(struct server *s, const struct request *r, enum password_kind kind)
{
	struct password_job *job;

	if (password_full(s) || r->session->password_busy || password_crowded(s, &r->session->peer)) {
		COUNT(s, passwords_slowed);
		refuse(s, r, ROOKERY__CODE__CODE_SLOW_DOWN,
		       "many passwords are being checked: try again in a moment");
		return NULL;
	}
	job = password_job_new(s, kind);
	if (job == NULL) {
		refuse(s, r, ROOKERY__CODE__CODE_INTERNAL, "the server is short of memory");
		return NULL;
	}
	job->sid = r->sid;
	job->number = r->number;
	job->peer = r->session->peer;
	return job;
}

/* The same for a password that may be a guess. */
static struct password_job *
job_new_guess(struct server *s, const struct request *r, enum password_kind kind, user_id_t user)
{
	struct password_job *job = job_new(s, r, kind);
	uint32_t wait = job == NULL ? 0 : guess_begin(s, user, &r->session->peer);

	if (wait == 0)
		return job;
	COUNT(s, passwords_delayed);
	respond_slow(s, r->sid, r->number, wait, "too many wrong passwords: wait before the next one");
	password_job_free(job);
	return NULL;
}

static void
job_fail(struct server *s, struct operation *op, int rc)
{
	const struct password_job *job = (const struct password_job *)op;

	(void)rc;
	COUNT(s, requests_unavailable);
	respond_code(s, job->sid, job->number, ROOKERY__CODE__CODE_STORE_UNAVAILABLE,
		     "the server cannot save anything at the moment: nothing was changed");
}

static void
job_profile(struct password_job *job, const char *device_name, int status, const char *text)
{
	/* Decoration: what cannot be used is left out. */
	if (!text_clean(job->device_name, device_name, STORE_DEVICE_NAME_MAX))
		job->device_name[0] = '\0';
	if (!text_clean(job->text, text, STORE_TEXT_MAX))
		job->text[0] = '\0';
	job->status = status >= ROOKERY__STATUS__STATUS_ONLINE && status <= ROOKERY__STATUS__STATUS_INVISIBLE
			      ? (uint8_t)status
			      : ROOKERY__STATUS__STATUS_ONLINE;
}

/* ---- a restricted session becomes a full one ------------------------------------------ */

struct promote_effect {
	session_id_t sid;
	struct store_user user;
	device_id_t device;
	uint8_t status;
	char text[STORE_TEXT_MAX + 1];
	char device_name[STORE_DEVICE_NAME_MAX + 1];
};

static void
promote_run(struct server *s, void *data)
{
	struct promote_effect *e = data;
	struct session *n = session_get(s, e->sid);

	if (n == NULL || n->user != NULL)
		return;
	if (session_promote(s, n, &e->user, e->device) < 0) {
		log_error(session, "out of memory: a session is ended", "sid=%016llx",
			  (unsigned long long)n->sid);
		session_end(s, n, CLOSE_KICKED, true);
		return;
	}
	n->status = e->status;
	memcpy(n->device_name, e->device_name, sizeof(n->device_name));
	if (e->text[0] != '\0')
		memcpy(n->user->text, e->text, sizeof(n->user->text));
	session_update(s, n);
	user_publish(s, n->user->id);
	/* A device that is told that it is the user's gets whatever is sent from then on. */
	tables_fence(s);
	presence_changed(s, n->user);
}

static void
sync_run(struct server *s, void *data)
{
	struct session *n = session_get(s, *(session_id_t *)data);

	if (n != NULL && n->user != NULL)
		pump_start(s, n, PUMP_LOGIN);
}

/* Stores the device of the job's session as one of job->user's, or opens it again (known, unless its id is 0), and lets the
 * session become a full one. */
static int
enrol_device(struct server *s, struct password_job *job, struct session *n, const struct store_device *known)
{
	struct promote_effect e = {.sid = job->sid, .user = job->user, .status = job->status};
	struct store_device d = {
		.user = job->user.id,
		.login_timestamp = n->login_timestamp,
		.last_seen_ms = s->wall_ms,
	};
	int rc;

	memcpy(d.key, n->key, sizeof(d.key));
	memcpy(d.name, job->device_name, sizeof(d.name));
	memcpy(e.text, job->text, sizeof(e.text));
	memcpy(e.device_name, job->device_name, sizeof(e.device_name));
	if (known->id == 0) {
		rc = store_device_add(s->store, &d);
	} else {
		/* What was stored for it meanwhile is still there. */
		d.id = known->id;
		d.last_message_id = known->last_message_id;
		rc = store_device_unlock(s->store, d.id);
		if (rc == 0)
			rc = store_device_login(s->store, d.id, d.login_timestamp, d.last_seen_ms, d.name);
	}
	if (rc == 0)
		rc = store_session_user(s->store, n->sid, d.user, d.id);
	if (rc == 0)
		rc = store_session_status(s->store, n->sid, job->status);
	if (rc == 0 && job->text[0] != '\0')
		rc = store_user_set_text(s->store, d.user, job->text);
	if (rc < 0)
		return rc;
	e.device = d.id;
	effect_add(s, promote_run, NULL, &e, sizeof(e));
	respond_logged_in(s, job->sid, job->number, job->user.name, &d);
	effect_add(s, sync_run, NULL, &job->sid, sizeof(job->sid));
	return 0;
}

/* The checks that both ways of enrolling share, once the password is done. known: what is stored of the device, which
 * may be there only if it is locked and user's; otherwise its id is 0. false: answered, or nobody is there any more. */
static bool
enrol_ready(struct server *s, struct password_job *job, struct session *n, user_id_t user, struct store_device *known)
{
	memset(known, 0, sizeof(*known));
	if (n == NULL)
		return false;
	if (job->result == -ENOMEM) {
		respond_code(s, job->sid, job->number, ROOKERY__CODE__CODE_INTERNAL,
			     "the server is short of memory");
		return false;
	}
	if (n->user != NULL || (store_device_by_key(s->store, n->key, known) == 0 &&
				(!known->locked || known->user != user))) {
		respond_code(s, job->sid, job->number, ROOKERY__CODE__CODE_MALFORMED,
			     "this device is enrolled already");
		return false;
	}
	return true;
}

/* A device that was enrolled asks again: the first answer was lost together with control's memory of it. */
static bool
enrolled_already(struct server *s, const struct request *r, const char *name)
{
	if (r->user == NULL)
		return false;
	if (strcmp(name, r->user->name) == 0) {
		struct store_device d = {0};

		(void)store_device_by_id(s->store, r->session->device, &d);
		d.id = r->session->device;
		d.user = r->user->id;
		session_update(s, r->session);
		respond_logged_in(s, r->sid, r->number, r->user->name, &d);
	} else {
		refuse(s, r, ROOKERY__CODE__CODE_MALFORMED, "this device is enrolled for another account");
	}
	return true;
}

/* ---- Register ------------------------------------------------------------------------- */

static int
register_finish(struct server *s, struct operation *op)
{
	struct password_job *job = (struct password_job *)op;
	struct session *n = session_get(s, job->sid);
	struct store_device known;
	int rc;

	if (!enrol_ready(s, job, n, 0, &known))
		return 0;
	memcpy(job->user.hash, job->hash, sizeof(job->user.hash));
	memcpy(job->user.text, job->text, sizeof(job->user.text));
	job->user.created_ms = s->wall_ms;
	rc = store_user_add(s->store, &job->user);
	if (rc == -EEXIST) {
		respond_code(s, job->sid, job->number, ROOKERY__CODE__CODE_NAME_TAKEN, "that name is taken");
		return 0;
	}
	if (rc < 0)
		return rc;
	COUNT(s, accounts);
	return enrol_device(s, job, n, &known);
}

int
account_register(struct server *s, const struct request *r, const Rookery__Register *b)
{
	struct password_job *job;
	struct store_user u;
	char name[STORE_NAME_MAX + 1];
	int rc;

	if (!name_fold(name, b->user)) {
		refuse(s, r, ROOKERY__CODE__CODE_NAME_INVALID,
		       "a name has 1-32 of a-z 0-9 . _ - and starts with a letter");
		return 0;
	}
	if (enrolled_already(s, r, name))
		return 0;
	if (!s->config->control.registration) {
		refuse(s, r, ROOKERY__CODE__CODE_REGISTRATION_CLOSED,
		       "accounts are made by the operator of this server");
		return 0;
	}
	if (!password_acceptable(b->password)) {
		refuse(s, r, ROOKERY__CODE__CODE_PASSWORD_WEAK, "a password has 6 to 256 bytes");
		return 0;
	}
	rc = store_user_by_name(s->store, name, &u);
	if (rc != -ENOENT) {
		if (rc == 0)
			refuse(s, r, ROOKERY__CODE__CODE_NAME_TAKEN, "that name is taken");
		return rc;
	}
	job = job_new(s, r, PASSWORD_HASH);
	if (job == NULL)
		return 0;
	memcpy(job->user.name, name, sizeof(name));
	snprintf(job->new_password, sizeof(job->new_password), "%s", b->password);
	job_profile(job, b->device_name, (int)b->status, b->status_text);
	job->op.run = register_finish;
	job->op.fail = job_fail;
	effect_add(s, job_start, job_undo, &job, sizeof(job));
	return 0;
}

/* ---- Enrol ----------------------------------------------------------------------------- */

int
device_make_room(struct server *s, user_id_t user)
{
	unsigned max = s->config->control.devices_max < USER_SESSIONS_MAX ? s->config->control.devices_max
									  : USER_SESSIONS_MAX;
	struct store_device *devices;
	const struct store_device *oldest = NULL;
	int count = store_devices(s->store, user, &devices);
	int rc = 0;

	if (count < 0)
		return count;
	for (int i = 0; i < count; i++) {
		/* Nothing may be lost: only a device that is away, and for which nothing waits or that is
		 * long forgotten. */
		bool idle = map_get(&s->devices, devices[i].id) == NULL &&
			    (devices[i].messages == 0 || devices[i].last_seen_ms + RECENT_MS < s->wall_ms);

		if (idle && (oldest == NULL || devices[i].last_seen_ms < oldest->last_seen_ms))
			oldest = &devices[i];
	}
	if ((unsigned)count >= max)
		rc = oldest == NULL ? -EDQUOT : store_device_del(s->store, oldest->id);
	free(devices);
	return rc;
}

struct wrong_effect {
	session_id_t sid;
};

static void
wrong_run(struct server *s, void *data)
{
	struct wrong_effect *e = data;
	struct session *n = session_get(s, e->sid);

	if (n != NULL && n->user == NULL && ++n->password_tries >= PASSWORD_TRIES_MAX)
		session_end(s, n, CLOSE_EXPIRED, true);
}

static int
enrol_finish(struct server *s, struct operation *op)
{
	struct password_job *job = (struct password_job *)op;
	struct session *n = session_get(s, job->sid);
	struct store_device known;
	struct store_user u;
	int rc;

	if (!enrol_ready(s, job, n, job->user.id, &known))
		return 0;
	/* It may have been removed, or its password changed, while this one was checked. */
	rc = store_user_by_id(s->store, job->user.id, &u);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	if (job->result < 0 || rc == -ENOENT || strcmp(u.hash, job->user.hash) != 0) {
		struct wrong_effect e = {.sid = job->sid};

		COUNT(s, passwords_wrong);
		respond_code(s, job->sid, job->number, ROOKERY__CODE__CODE_PASSWORD_WRONG, "wrong password");
		effect_add(s, wrong_run, NULL, &e, sizeof(e));
		return 0;
	}
	guess_right(s, job->user.id, &job->peer);
	rc = known.id == 0 ? device_make_room(s, job->user.id) : 0;
	if (rc == -EDQUOT) {
		respond_code(s, job->sid, job->number, ROOKERY__CODE__CODE_LIMIT,
			     "too many devices are in use by this account");
		return 0;
	}
	return rc < 0 ? rc : enrol_device(s, job, n, &known);
}

int
account_enrol(struct server *s, const struct request *r, const Rookery__Enrol *b)
{
	struct password_job *job;
	struct store_user u;
	char name[STORE_NAME_MAX + 1];
	int rc;

	if (!name_fold(name, b->user)) {
		refuse(s, r, ROOKERY__CODE__CODE_NAME_INVALID,
		       "a name has 1-32 of a-z 0-9 . _ - and starts with a letter");
		return 0;
	}
	if (enrolled_already(s, r, name))
		return 0;
	rc = store_user_by_name(s->store, name, &u);
	if (rc == -ENOENT) {
		refuse(s, r, ROOKERY__CODE__CODE_UNKNOWN_USER, "there is no such account");
		return 0;
	}
	if (rc < 0)
		return rc;
	if (strnlen(b->password, PASSWORD_MAX + 1) > PASSWORD_MAX) {
		refuse(s, r, ROOKERY__CODE__CODE_PASSWORD_WRONG, "wrong password");
		return 0;
	}
	job = job_new_guess(s, r, PASSWORD_VERIFY, u.id);
	if (job == NULL)
		return 0;
	job->user = u;
	memcpy(job->hash, u.hash, sizeof(job->hash));
	snprintf(job->password, sizeof(job->password), "%s", b->password);
	job_profile(job, b->device_name, (int)b->status, b->status_text);
	job->op.run = enrol_finish;
	job->op.fail = job_fail;
	effect_add(s, job_start, job_undo, &job, sizeof(job));
	return 0;
}

/* ---- ChangePassword --------------------------------------------------------------------- */

struct revoke_effect {
	user_id_t user;
	session_id_t except;
};

static void
revoke_run(struct server *s, void *data)
{
	struct revoke_effect *e = data;

	sessions_end_user(s, e->user, e->except, CLOSE_REVOKED);
}

static int
change_finish(struct server *s, struct operation *op)
{
	struct password_job *job = (struct password_job *)op;
	struct revoke_effect e = {.user = job->user.id, .except = job->sid};
	const struct session *n = session_get(s, job->sid);
	struct store_user u;
	int rc;

	if (job->result == -ENOMEM) {
		respond_code(s, job->sid, job->number, ROOKERY__CODE__CODE_INTERNAL,
			     "the server is short of memory");
		return 0;
	}
	rc = store_user_by_id(s->store, job->user.id, &u);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	if (job->result < 0 || rc == -ENOENT || strcmp(u.hash, job->user.hash) != 0) {
		COUNT(s, passwords_wrong);
		respond_code(s, job->sid, job->number, ROOKERY__CODE__CODE_PASSWORD_WRONG,
			     "the old password is wrong");
		return 0;
	}
	guess_right(s, job->user.id, &job->peer);
	/* Whoever changes a password may think that somebody else has a device of theirs, or knew the old one. */
	rc = store_user_set_hash(s->store, job->user.id, job->hash);
	if (rc == 0)
		rc = store_devices_lock(s->store, job->user.id, n == NULL ? 0 : n->device);
	if (rc < 0)
		return rc;
	respond_code(s, job->sid, job->number, ROOKERY__CODE__CODE_OK, "");
	effect_add(s, revoke_run, NULL, &e, sizeof(e));
	return 0;
}

int
account_change_password(struct server *s, const struct request *r, const Rookery__ChangePassword *b)
{
	struct password_job *job;
	struct store_user u;
	int rc;

	if (!password_acceptable(b->new_password)) {
		refuse(s, r, ROOKERY__CODE__CODE_PASSWORD_WEAK, "a password has 6 to 256 bytes");
		return 0;
	}
	if (strnlen(b->old_password, PASSWORD_MAX + 1) > PASSWORD_MAX) {
		refuse(s, r, ROOKERY__CODE__CODE_PASSWORD_WRONG, "the old password is wrong");
		return 0;
	}
	rc = store_user_by_id(s->store, r->user->id, &u);
	if (rc < 0)
		return rc;
	job = job_new_guess(s, r, PASSWORD_CHANGE, u.id);
	if (job == NULL)
		return 0;
	job->user = u;
	memcpy(job->hash, u.hash, sizeof(job->hash));
	snprintf(job->password, sizeof(job->password), "%s", b->old_password);
	snprintf(job->new_password, sizeof(job->new_password), "%s", b->new_password);
	job->op.run = change_finish;
	job->op.fail = job_fail;
	effect_add(s, job_start, job_undo, &job, sizeof(job));
	return 0;
}

/* ---- finding users ----------------------------------------------------------------------- */

static void
respond_users(struct server *s, const struct request *r, const struct store_user *users, size_t count)
{
	Rookery__Response response = ROOKERY__RESPONSE__INIT;
	Rookery__UserList list = ROOKERY__USER_LIST__INIT;
	Rookery__User user[SEARCH_MAX], *pointers[SEARCH_MAX];

	for (size_t i = 0; i < count; i++) {
		rookery__user__init(&user[i]);
		user[i].user_id = users[i].id;
		user[i].name = (char *)(uintptr_t)users[i].name;
		pointers[i] = &user[i];
	}
	list.n_users = count;
	list.users = pointers;
	response.code = ROOKERY__CODE__CODE_OK;
	response.body_case = ROOKERY__RESPONSE__BODY_USERS;
	response.users = &list;
	respond(s, r->sid, r->number, &response);
}

int
account_search(struct server *s, const struct request *r, const Rookery__SearchUser *b)
{
	uint32_t most = s->config->limits.search_rows;
	uint32_t limit = b->limit == 0 || b->limit > most ? most : b->limit;
	char prefix[STORE_NAME_MAX + 1];
	struct store_user *users;
	int count;

	if (!name_fold(prefix, b->prefix)) {
		refuse(s, r, ROOKERY__CODE__CODE_NAME_INVALID, "search by the beginning of a name");
		return 0;
	}
	if (!limit_request(s, LIMIT_SEARCHES, r))
		return 0;
	count = store_users_prefix(s->store, prefix, limit, &users);
	if (count < 0)
		return count;
	respond_users(s, r, users, (size_t)count);
	free(users);
	return 0;
}

int
account_resolve(struct server *s, const struct request *r, const Rookery__ResolveUser *b)
{
	char name[STORE_NAME_MAX + 1];
	struct store_user u;
	int rc = -ENOENT;

	if (b->user[0] == '\0')
		rc = store_user_by_id(s->store, b->user_id, &u);
	else if (name_fold(name, b->user))
		rc = store_user_by_name(s->store, name, &u);
	if (rc == -ENOENT) {
		refuse(s, r, ROOKERY__CODE__CODE_UNKNOWN_USER, "there is no such account");
		return 0;
	}
	if (rc < 0)
		return rc;
	respond_users(s, r, &u, 1);
	return 0;
}
