// SPDX-License-Identifier: BSD-3-Clause
/* What operators change: accounts and sessions. The news comes through server_done_fn, after the commit. */
#include "core.h"

#include "shared/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct done_effect {
	server_done_fn done;
	void *arg;
	int result;
	const char *text; /* static */
};

static void
done_run(struct server *s, void *data)
{
	struct done_effect *e = data;

	(void)s;
	e->done(e->arg, e->result, e->text);
}

void
done_later(struct server *s, server_done_fn done, void *arg, int result, const char *text)
{
	struct done_effect e = {.done = done, .arg = arg, .result = result, .text = text};

	effect_add(s, done_run, NULL, &e, sizeof(e));
}

void
done_fail(struct server *s, server_done_fn done, void *arg, int rc)
{
	if (rc == -ECANCELED)
		done(arg, rc, "the server is being stopped");
	else
		done(arg, -EIO,
		     store_failed(rc) && rc != -EROFS ? store_error(s->store)
		     : s->store_error[0] != '\0'      ? s->store_error
						      : "the database cannot be changed at the moment");
}

static int
error_line(char *error, size_t cap, int rc, const char *text)
{
	if (error != NULL && cap != 0)
		snprintf(error, cap, "%s", text);
	return rc;
}

/* Checks a name and, unless NULL, a password. Returns 0 or the error of the admin function. u is the account,
 * if there. */
static int
arguments_check(struct server *s, const char *name, const char *password, bool must_exist,
		struct store_user *u, char *error, size_t cap)
{
	char folded[STORE_NAME_MAX + 1];
	int rc;

	if (!name_fold(folded, name))
		return error_line(error, cap, -EINVAL,
				  "a name has 1-32 of a-z 0-9 . _ - and starts with a letter");
	if (password != NULL && !password_acceptable(password))
		return error_line(error, cap, -EINVAL, "a password has 6 to 256 bytes");
	rc = store_user_by_name(s->store, folded, u);
	if (rc < 0 && rc != -ENOENT)
		return error_line(error, cap, -EIO, store_error(s->store));
	if (must_exist && rc == -ENOENT)
		return error_line(error, cap, -ENOENT, "there is no such account");
	if (!must_exist && rc == 0)
		return error_line(error, cap, -EEXIST, "that name is taken");
	if (password != NULL && password_full(s))
		return error_line(error, cap, -EBUSY,
				  "many passwords are being hashed: try again in a moment");
	if (!must_exist) {
		memset(u, 0, sizeof(*u));
		memcpy(u->name, folded, sizeof(u->name));
	}
	return 0;
}

/* ---- users add, users passwd ----------------------------------------------------------- */

static void
job_fail(struct server *s, struct operation *op, int rc)
{
	struct password_job *job = (struct password_job *)op;

	done_fail(s, job->done, job->done_arg, rc);
}

static int
job_begin(struct server *s, const struct store_user *u, const char *password,
	  int (*run)(struct server *, struct operation *), server_done_fn done, void *arg, char *error,
	  size_t cap)
{
	struct password_job *job = password_job_new(s, PASSWORD_HASH);

	if (job == NULL)
		return error_line(error, cap, -ENOMEM, "the server is short of memory");
	job->user = *u;
	snprintf(job->new_password, sizeof(job->new_password), "%s", password);
	job->op.run = run;
	job->op.fail = job_fail;
	job->done = done;
	job->done_arg = arg;
	password_start(s, job);
	return 0;
}

static int
add_finish(struct server *s, struct operation *op)
{
	struct password_job *job = (struct password_job *)op;
	int rc;

	if (job->result < 0) {
		done_later(s, job->done, job->done_arg, -ENOMEM,
			   "no memory to hash the password: lower control.password_memory_kib");
		return 0;
	}
	memcpy(job->user.hash, job->hash, sizeof(job->user.hash));
	job->user.created_ms = s->wall_ms;
	rc = store_user_add(s->store, &job->user);
	if (rc == -EEXIST) {
		done_later(s, job->done, job->done_arg, -EEXIST, "that name is taken");
		return 0;
	}
	if (rc == 0)
		done_later(s, job->done, job->done_arg, 0, "");
	return rc;
}

int
server_user_add(struct server *s, const char *name, const char *password, server_done_fn done, void *arg,
		char *error, size_t error_cap)
{
	struct store_user u;
	int rc = arguments_check(s, name, password, false, &u, error, error_cap);

	return rc < 0 ? rc : job_begin(s, &u, password, add_finish, done, arg, error, error_cap);
}

static void
revoke_run(struct server *s, void *data)
{
	sessions_end_user(s, *(user_id_t *)data, SESSION_ID_NONE, CLOSE_REVOKED);
}

static int
passwd_finish(struct server *s, struct operation *op)
{
	struct password_job *job = (struct password_job *)op;
	struct store_user u;
	int rc;

	if (job->result < 0) {
		done_later(s, job->done, job->done_arg, -ENOMEM,
			   "no memory to hash the password: lower control.password_memory_kib");
		return 0;
	}
	rc = store_user_by_id(s->store, job->user.id, &u);
	if (rc == -ENOENT) {
		done_later(s, job->done, job->done_arg, -ENOENT, "there is no such account");
		return 0;
	}
	if (rc == 0)
		rc = store_user_set_hash(s->store, u.id, job->hash);
	if (rc == 0)
		rc = store_devices_lock(s->store, u.id, 0);
	if (rc < 0)
		return rc;
	effect_add(s, revoke_run, NULL, &u.id, sizeof(u.id));
	done_later(s, job->done, job->done_arg, 0, "");
	return 0;
}

int
server_user_passwd(struct server *s, const char *name, const char *password, server_done_fn done, void *arg,
		   char *error, size_t error_cap)
{
	struct store_user u;
	int rc = arguments_check(s, name, password, true, &u, error, error_cap);

	return rc < 0 ? rc : job_begin(s, &u, password, passwd_finish, done, arg, error, error_cap);
}

/* ---- users disable, users enable --------------------------------------------------------- */

struct user_close {
	struct operation op;
	struct store_user user;
	bool closed;
	server_done_fn done;
	void *arg;
};

static int
close_run(struct server *s, struct operation *op)
{
	struct user_close *c = (struct user_close *)op;
	struct store_user u;
	int rc = store_user_by_id(s->store, c->user.id, &u);

	if (rc == -ENOENT) {
		done_later(s, c->done, c->arg, -ENOENT, "there is no such account");
		return 0;
	}
	if (rc == 0)
		rc = store_user_close(s->store, u.id, c->closed);
	/* A device key alone must not let it in, either. */
	if (rc == 0 && c->closed)
		rc = store_devices_lock(s->store, u.id, 0);
	if (rc < 0)
		return rc;
	if (c->closed)
		effect_add(s, revoke_run, NULL, &u.id, sizeof(u.id));
	done_later(s, c->done, c->arg, 0, "");
	return 0;
}

static void
close_fail(struct server *s, struct operation *op, int rc)
{
	struct user_close *c = (struct user_close *)op;

	done_fail(s, c->done, c->arg, rc);
}

static void
close_free(struct operation *op)
{
	free(op);
}

int
server_user_enable(struct server *s, const char *name, bool enabled, server_done_fn done, void *arg, char *error,
		   size_t error_cap)
{
	struct user_close *c = calloc(1, sizeof(*c));
	int rc;

	if (c == NULL)
		return error_line(error, error_cap, -ENOMEM, "the server is short of memory");
	rc = arguments_check(s, name, NULL, true, &c->user, error, error_cap);
	if (rc < 0) {
		free(c);
		return rc;
	}
	c->op.run = close_run;
	c->op.fail = close_fail;
	c->op.free = close_free;
	c->closed = !enabled;
	c->done = done;
	c->arg = arg;
	operation_add(s, &c->op);
	return 0;
}

/* ---- users del ------------------------------------------------------------------------- */

struct user_del {
	struct operation op;
	struct store_user user;
	server_done_fn done;
	void *arg;
};

static int
del_run(struct server *s, struct operation *op)
{
	struct user_del *d = (struct user_del *)op;
	struct store_user u;
	int rc = store_user_by_id(s->store, d->user.id, &u);

	if (rc == -ENOENT) {
		done_later(s, d->done, d->arg, -ENOENT, "there is no such account");
		return 0;
	}
	if (rc == 0)
		rc = buddies_user_removed(s, &d->user);
	if (rc == 0)
		rc = store_user_del(s->store, d->user.id);
	if (rc < 0)
		return rc;
	effect_add(s, revoke_run, NULL, &d->user.id, sizeof(d->user.id));
	done_later(s, d->done, d->arg, 0, "");
	return 0;
}

static void
del_fail(struct server *s, struct operation *op, int rc)
{
	struct user_del *d = (struct user_del *)op;

	done_fail(s, d->done, d->arg, rc);
}

static void
del_free(struct operation *op)
{
	free(op);
}

int
server_user_del(struct server *s, const char *name, server_done_fn done, void *arg, char *error,
		size_t error_cap)
{
	struct user_del *d = calloc(1, sizeof(*d));
	int rc;

	if (d == NULL)
		return error_line(error, error_cap, -ENOMEM, "the server is short of memory");
	rc = arguments_check(s, name, NULL, true, &d->user, error, error_cap);
	if (rc < 0) {
		free(d);
		return rc;
	}
	d->op.run = del_run;
	d->op.fail = del_fail;
	d->op.free = del_free;
	d->done = done;
	d->arg = arg;
	operation_add(s, &d->op);
	return 0;
}

/* ---- sessions kick ----------------------------------------------------------------------- */

int
server_session_kick(struct server *s, session_id_t sid, const char *name)
{
	char folded[STORE_NAME_MAX + 1];
	struct session *n;
	struct user *u;
	uint32_t position = 0;

	if (sid != SESSION_ID_NONE) {
		n = session_get(s, sid);
		if (n == NULL)
			return -ENOENT;
		session_end(s, n, CLOSE_KICKED, true);
		return 1;
	}
	if (name == NULL || !name_fold(folded, name))
		return -ENOENT;
	while ((u = map_next(&s->users, &position)) != NULL) {
		if (strcmp(u->name, folded) == 0)
			return (int)sessions_end_user(s, u->id, SESSION_ID_NONE, CLOSE_KICKED);
	}
	return -ENOENT;
}

/* ---- log ---------------------------------------------------------------------------------- */

void
server_log_levels(struct server *s)
{
	struct cell c;

	if (!s->attached)
		return;
	cell_init(&c, TABLE_LOG);
	c.log.format = (uint8_t)log_format_now();
	for (unsigned i = 0; i < LOG_AREA_COUNT; i++)
		c.log.level[i] = (uint8_t)log_level_of((enum log_area)i);
	emit(s, SERVER_RING_TABLE, &c);
}

/* ---- drain ------------------------------------------------------------------------------- */

struct drain_change {
	struct operation op;
	bool on;
	server_done_fn done;
	void *arg;
};

static void
drain_fail(struct server *s, struct operation *op, int rc)
{
	struct drain_change *c = (struct drain_change *)op;

	done_fail(s, c->done, c->arg, rc);
}

static void
drain_free(struct operation *op)
{
	free(op);
}

static void
drain_effect(struct server *s, void *data)
{
	const bool *on = data;

	if (s->draining != *on)
		log_info(control, *on ? "draining: no new logins" : "taking logins again", "sessions=%u", s->sessions.count);
	s->draining = *on;
}

static int
drain_run(struct server *s, struct operation *op)
{
	struct drain_change *c = (struct drain_change *)op;
	int rc = store_meta_set(s->store, "draining", c->on);

	if (rc < 0)
		return rc;
	effect_add(s, drain_effect, NULL, &c->on, sizeof(c->on));
	done_later(s, c->done, c->arg, 0, "");
	return 0;
}

int
server_drain(struct server *s, bool on, server_done_fn done, void *arg)
{
	struct drain_change *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return -ENOMEM;
	c->op.run = drain_run;
	c->op.fail = drain_fail;
	c->op.free = drain_free;
	c->on = on;
	c->done = done;
	c->arg = arg;
	operation_add(s, &c->op);
	return 0;
}
