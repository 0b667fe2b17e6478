// SPDX-License-Identifier: BSD-3-Clause
/*
 * Traces: what operators asked to see of the packet path. Each has one of the filters that all workers know (INJECT_TRACE, always all of
 * them), and a bounded queue of what the workers said (PUNT_TRACE) until its operator reads it. Whoever does not read any more has none.
 */
#include "core.h"

#include "shared/log.h"

#include <stdlib.h>
#include <string.h>

#define QUEUE_MAX 4096
#define SILENT_MS 10000 /* an operator who has not read for so long is gone */

struct queued {
	struct cell_trace record;
	uint32_t worker;
	uint16_t length;
	uint8_t *data; /* NULL: none */
};

struct trace {
	const void *owner; /* NULL: free */
	struct trace_filter filter;
	uint64_t read_ms;
	uint64_t lost;
	struct queued *queue; /* a ring of QUEUE_MAX */
	uint32_t first, count;
};

struct traces {
	struct trace slot[TRACE_FILTERS_MAX];
};

void
traces_emit(struct server *s)
{
	struct cell c;

	cell_init(&c, INJECT_TRACE);
	c.length = TRACE_FILTERS_MAX * sizeof(struct trace_filter);
	memset(c.data, 0, c.length);
	for (unsigned i = 0; s->traces != NULL && i < TRACE_FILTERS_MAX; i++)
		memcpy(c.data + i * sizeof(struct trace_filter), &s->traces->slot[i].filter, sizeof(struct trace_filter));
	for (uint32_t w = 0; w < s->workers; w++)
		emit(s, w, &c);
}

static void
trace_end(struct server *s, struct trace *t)
{
	for (; t->count != 0; t->count--, t->first = (t->first + 1) % QUEUE_MAX)
		free(t->queue[t->first].data);
	free(t->queue);
	memset(t, 0, sizeof(*t));
	if (s->attached)
		traces_emit(s);
}

void
traces_free(struct server *s)
{
	s->attached = false;
	for (unsigned i = 0; s->traces != NULL && i < TRACE_FILTERS_MAX; i++)
		trace_end(s, &s->traces->slot[i]);
	free(s->traces);
}

uint32_t
traces_count(const struct server *s)
{
	uint32_t count = 0;

	for (unsigned i = 0; s->traces != NULL && i < TRACE_FILTERS_MAX; i++)
		count += s->traces->slot[i].owner != NULL;
	return count;
}

static struct trace *
trace_of(struct server *s, const void *owner)
{
	for (unsigned i = 0; s->traces != NULL && i < TRACE_FILTERS_MAX; i++)
		if (s->traces->slot[i].owner == owner)
			return &s->traces->slot[i];
	return NULL;
}

int
server_trace_start(struct server *s, const void *owner, const struct trace_filter *f, const char *user)
{
	char folded[STORE_NAME_MAX + 1];
	struct trace_filter filter = *f;
	struct store_user u;
	struct trace *t;
	int rc;

	if (owner == NULL)
		return -EINVAL;
	if (filter.kind == TRACE_USER) {
		if (!name_fold(folded, user))
			return -ENOENT;
		rc = store_user_by_name(s->store, folded, &u);
		if (rc < 0)
			return rc;
		filter.id = u.id;
	}
	if (s->traces == NULL && (s->traces = calloc(1, sizeof(*s->traces))) == NULL)
		return -ENOMEM;
	t = trace_of(s, owner);
	if (t != NULL)
		trace_end(s, t);
	t = trace_of(s, NULL);
	if (t == NULL)
		return -EBUSY;
	t->queue = calloc(QUEUE_MAX, sizeof(*t->queue));
	if (t->queue == NULL)
		return -ENOMEM;
	t->owner = owner;
	t->filter = filter;
	t->read_ms = s->now_ms;
	log_info(trace, "begins", "kind=%u bytes=%u", filter.kind, filter.bytes);
	traces_emit(s);
	return 0;
}

void
server_trace_stop(struct server *s, const void *owner)
{
	struct trace *t = trace_of(s, owner);

	if (t == NULL || owner == NULL)
		return;
	log_info(trace, "ends", "lost=%llu", (unsigned long long)t->lost);
	trace_end(s, t);
}

static void
trace_put(struct trace *t, const struct cell *c)
{
	struct queued *q = &t->queue[(t->first + t->count) % QUEUE_MAX];

	t->lost += c->trace.lost;
	if (t->count == QUEUE_MAX) {
		t->lost++;
		return;
	}
	*q = (struct queued){.record = c->trace, .worker = c->worker, .length = t->filter.bytes ? c->length : 0};
	if (q->length != 0) {
		q->data = malloc(q->length);
		if (q->data == NULL) {
			t->lost++;
			return;
		}
		memcpy(q->data, c->data, q->length);
	}
	t->count++;
}

void
server_trace_take(struct server *s, const struct cell *c)
{
	for (unsigned i = 0; s->traces != NULL && i < TRACE_FILTERS_MAX; i++)
		if (c->trace.mask & 1u << i && s->traces->slot[i].owner != NULL)
			trace_put(&s->traces->slot[i], c);
}

static const char *
name_of(const struct server *s, user_id_t id)
{
	const struct user *u = id == 0 ? NULL : user_get(s, id);

	return u == NULL ? "" : u->name;
}

int
server_trace_read(struct server *s, const void *owner, uint32_t limit, uint64_t *lost, server_trace_fn cb, void *arg)
{
	struct trace *t = owner == NULL ? NULL : trace_of(s, owner);
	int seen = 0;

	if (t == NULL)
		return -ENOENT;
	t->read_ms = s->now_ms;
	*lost = t->lost;
	t->lost = 0;
	while (t->count != 0 && (uint32_t)seen < limit) {
		struct queued *q = &t->queue[t->first];
		struct server_trace info = {
			.worker = q->worker,
			.record = &q->record,
			.user = name_of(s, q->record.user),
			.data = q->data,
			.length = q->length,
		};

		cb(arg, &info);
		free(q->data);
		t->first = (t->first + 1) % QUEUE_MAX;
		t->count--;
		seen++;
	}
	return seen;
}

void
traces_timers(struct server *s)
{
	for (unsigned i = 0; s->traces != NULL && i < TRACE_FILTERS_MAX; i++) {
		struct trace *t = &s->traces->slot[i];

		if (t->owner != NULL && s->now_ms - t->read_ms > SILENT_MS)
			server_trace_stop(s, t->owner);
	}
}
