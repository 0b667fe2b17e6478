// SPDX-License-Identifier: BSD-3-Clause
/* Argon2id on other threads: at most control.password_threads at once, a bounded queue behind them. */
#include "core.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define PASSWORD_MIN 6

_Static_assert(STORE_HASH_MAX >= crypto_pwhash_STRBYTES, "a hash fits");

bool
password_acceptable(const char *password)
{
	size_t len = strnlen(password, PASSWORD_MAX + 1);

	return len >= PASSWORD_MIN && len <= PASSWORD_MAX;
}

static void
job_free(struct operation *op)
{
	password_job_free((struct password_job *)op);
}

struct password_job *
password_job_new(const struct server *s, enum password_kind kind)
{
	struct password_job *job = calloc(1, sizeof(*job));

	if (job == NULL)
		return NULL;
	job->op.free = job_free;
	job->kind = kind;
	job->passes = s->config->control.password_passes;
	job->memory_kib = s->config->control.password_memory_kib;
	return job;
}

void
password_job_free(struct password_job *job)
{
	if (job == NULL)
		return;
	explicit_bzero(job, sizeof(*job));
	free(job);
}

void
password_job_run(struct password_job *job)
{
	job->result = 0;
	if (job->kind != PASSWORD_HASH &&
	    crypto_pwhash_str_verify(job->hash, job->password, strlen(job->password)) != 0) {
		job->result = -EACCES;
		return;
	}
	if (job->kind != PASSWORD_VERIFY &&
	    crypto_pwhash_str_alg(job->hash, job->new_password, strlen(job->new_password), job->passes,
				  (size_t)job->memory_kib * 1024, crypto_pwhash_ALG_ARGON2ID13) != 0)
		job->result = -ENOMEM;
}

bool
password_crowded(const struct server *s, const struct endpoint *peer)
{
	uint32_t mine = 0;

	for (const struct password_job *job = s->password_queue; job != NULL; job = job->next)
		mine += same_host(&job->peer, peer);
	return 2 * mine > PASSWORD_QUEUE_MAX - s->password_waiting;
}

bool
password_full(const struct server *s)
{
	return s->password_waiting >= PASSWORD_QUEUE_MAX;
}

static void
password_next(struct server *s)
{
	struct password_job *job = s->password_queue;

	if (job == NULL || s->password_running >= s->config->control.password_threads)
		return;
	s->password_queue = job->next;
	if (s->password_queue == NULL)
		s->password_tail = &s->password_queue;
	s->password_waiting--;
	s->password_running++;
	s->io.hash(s->io.arg, job);
}

void
password_start(struct server *s, struct password_job *job)
{
	job->next = NULL;
	*s->password_tail = job;
	s->password_tail = &job->next;
	s->password_waiting++;
	password_next(s);
}

void
server_password_done(struct server *s, struct password_job *job)
{
	struct session *n = session_get(s, job->sid);

	if (n != NULL)
		n->password_busy = false;
	s->password_running--;
	operation_add(s, &job->op);
	password_next(s);
}

void
server_password_cancel(struct server *s, struct password_job *job)
{
	s->password_running--;
	job->op.fail(s, &job->op, -ECANCELED);
	password_job_free(job);
	password_next(s);
}
