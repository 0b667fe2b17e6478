/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests to the control process: fragments, retransmission, responses put together. */
#include "core.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_INTERVAL (500 * MS)
#define MAX_INTERVAL (4 * SECOND)
#define UNDER_WAY_MAX 8
/* A request of the core itself that the server cannot serve now is made again after this long. */
#define SLOW_DOWN_MAX (60 * SECOND)
#define RETRY_MS 2000

void
requests_init(struct rk_client *c)
{
	c->requests.last = &c->requests.first;
}

static void
forget_response(struct request *q)
{
	for (unsigned i = 0; i < RESPONSE_FRAGMENTS; i++) {
		free(q->parts[i]);
		q->parts[i] = NULL;
	}
	q->expected = q->received = 0;
}

static void
request_free(struct request *q)
{
	forget_response(q);
	event_free(q->gathered);
	sodium_memzero(q->body, q->len); /* it may hold a password */
	free(q);
}

void
requests_free(struct rk_client *c)
{
	while (c->requests.first != NULL) {
		struct request *q = c->requests.first;

		c->requests.first = q->next;
		request_free(q);
	}
}

static struct request **
find(struct rk_client *c, const struct request *q)
{
	struct request **p = &c->requests.first;

	while (*p != q)
		p = &(*p)->next;
	return p;
}

static void
request_remove(struct rk_client *c, struct request *q)
{
	struct request **p = find(c, q);

	*p = q->next;
	if (q->next == NULL)
		c->requests.last = p;
	if (q->handle != 0)
		c->requests.n--;
	request_free(q);
}

static unsigned
fragments(const struct request *q)
{
	return q->len == 0 ? 1 : (unsigned)((q->len + REQUEST_BODY_MAX - 1) / REQUEST_BODY_MAX);
}

struct request *
request_new(struct rk_client *c, enum request_kind kind, const Rookery__Request *body)
{
	size_t len = rookery__request__get_packed_size(body);
	struct request *q;

	if (len > REQUEST_FRAGMENTS * REQUEST_BODY_MAX)
		return NULL;
	q = calloc(1, sizeof(*q) + len);
	if (q == NULL)
		return NULL;
	q->kind = kind;
	q->len = rookery__request__pack(body, q->body);
	*c->requests.last = q;
	c->requests.last = &q->next;
	return q;
}

int64_t
request_apply(struct rk_client *c, enum request_kind kind, const Rookery__Request *body)
{
	struct request *q;

	if (c->requests.n >= REQUESTS_MAX)
		return -EAGAIN;
	q = request_new(c, kind, body);
	if (q == NULL)
		return -ENOMEM;
	c->requests.n++;
	q->handle = ++c->requests.last_handle;
	return q->handle;
}

bool
request_pending(const struct rk_client *c, enum request_kind kind)
{
	for (const struct request *q = c->requests.first; q != NULL; q = q->next) {
		if (q->kind == kind)
			return true;
	}
	return false;
}

void
request_drop(struct rk_client *c, enum request_kind kind)
{
	struct request *q = c->requests.first, *next;

	for (; q != NULL; q = next) {
		next = q->next;
		if (q->kind == kind)
			request_remove(c, q);
	}
}

/* To be sent under a new number, after delay_ms: the old number would get the old answer. */
static void
start_over(struct rk_client *c, struct request *q, uint32_t delay_ms)
{
	forget_response(q);
	q->number = 0;
	q->sends = 0;
	q->next_fragment = 0;
	q->due_us = c->now_us + delay_ms * MS;
}

void
requests_session(struct rk_client *c)
{
	c->requests.last_number = 0;
	for (struct request *q = c->requests.first; q != NULL; q = q->next)
		start_over(c, q, 0);
}

/* ---- responses --------------------------------------------------------------------------- */

static bool
asked_again(struct rk_client *c, struct request *q, const Rookery__Response *r)
{
	if (q->handle != 0 || q->kind == REQUEST_CREDENTIAL)
		return false;
	switch (r->code) {
	case ROOKERY__CODE__CODE_SLOW_DOWN:
	case ROOKERY__CODE__CODE_NOT_LOGGED_IN:
	case ROOKERY__CODE__CODE_STORE_UNAVAILABLE:
	case ROOKERY__CODE__CODE_INTERNAL:
		break;
	default:
		/* FetchStored has one good answer only: any other would release messages too early. */
		if (q->kind != REQUEST_FETCH || r->code == ROOKERY__CODE__CODE_OK)
			return false;
	}
	start_over(c, q, r->retry_ms > 0 ? r->retry_ms : RETRY_MS);
	return true;
}

static void
complete(struct rk_client *c, struct request *q)
{
	Rookery__Response bad = ROOKERY__RESPONSE__INIT, *r;
	uint8_t *whole;
	size_t len = 0;

	for (unsigned i = 0; i < q->expected; i++)
		len += q->part_len[i];
	whole = malloc(len > 0 ? len : 1);
	if (whole == NULL) {
		start_over(c, q, RETRY_MS);
		return;
	}
	len = 0;
	for (unsigned i = 0; i < q->expected; i++) {
		memcpy(whole + len, q->parts[i], q->part_len[i]);
		len += q->part_len[i];
	}
	forget_response(q);
	r = rookery__response__unpack(NULL, len, whole);
	sodium_memzero(whole, len); /* it may be a ticket */
	free(whole);
	bad.code = ROOKERY__CODE__CODE_INTERNAL;
	if (asked_again(c, q, r != NULL ? r : &bad)) {
		/* it stays */
	} else if (q->kind == REQUEST_FETCH) {
		/* What the answer releases may ask anew, and withdraw that again: this one must be gone by then. */
		request_remove(c, q);
		inbox_fetched(c);
	} else if (roster_response(c, q, r != NULL ? r : &bad)) {
		request_remove(c, q);
	}
	if (r != NULL)
		rookery__response__free_unpacked(r, NULL);
}

void
requests_response(struct rk_client *c, const struct frame_response *f)
{
	struct request *q = c->requests.first;

	while (q != NULL && (q->number == 0 || q->number != f->request))
		q = q->next;
	if (q == NULL || f->fragments == 0 || f->fragments > RESPONSE_FRAGMENTS ||
	    f->fragment >= f->fragments || (q->expected != 0 && q->expected != f->fragments))
		return;
	q->expected = f->fragments;
	if (q->parts[f->fragment] != NULL)
		return;
	q->parts[f->fragment] = malloc(f->length > 0 ? f->length : 1u);
	if (q->parts[f->fragment] == NULL)
		return; /* the request is sent again, and so is the response */
	memcpy(q->parts[f->fragment], f->body, f->length);
	q->part_len[f->fragment] = f->length;
	q->received++;
	/* It is being answered: no need to ask again at once. */
	q->due_us = c->now_us + q->interval_us;
	q->next_fragment = fragments(q);
	if (q->received == q->expected)
		complete(c, q);
}

/* The same number again, later: another copy of the request may have been taken. */
void
requests_slow_down(struct rk_client *c, const struct frame_slow_down *f)
{
	uint64_t wait_us = earlier((uint64_t)f->retry_ms * MS, SLOW_DOWN_MAX);
	struct request *q = c->requests.first;

	while (q != NULL && (q->number == 0 || q->number != f->request))
		q = q->next;
	if (q == NULL || q->received != 0)
		return;
	q->sends = 0;
	q->next_fragment = 0;
	q->due_us = c->now_us + wait_us;
}

/* ---- frames ------------------------------------------------------------------------------ */

static bool
may_be_sent(const struct rk_client *c, const struct request *q)
{
	return c->session.full ? q->kind != REQUEST_CREDENTIAL : q->kind == REQUEST_CREDENTIAL;
}

/* Writes the fragments that fit. */
static size_t
write_fragments(struct rk_client *c, struct request *q, uint8_t *out, size_t cap)
{
	unsigned count = fragments(q);
	size_t len = 0;

	while (q->next_fragment < count) {
		size_t at = q->next_fragment * (size_t)REQUEST_BODY_MAX;
		size_t size = q->len - at < REQUEST_BODY_MAX ? q->len - at : REQUEST_BODY_MAX;
		struct frame f = {.type = FRAME_REQUEST, .request = {.request = q->number,
			.fragment = (uint8_t)q->next_fragment, .fragments = (uint8_t)count,
			.length = (uint16_t)size, .body = q->body + at}};
		int n = frame_write(&f, out + len, cap - len);

		if (n < 0)
			break;
		len += (size_t)n;
		q->next_fragment++;
		if (q->sends > 0)
			c->stats.retransmits++;
	}
	if (q->next_fragment == count) {
		q->interval_us = q->sends++ == 0 ? FIRST_INTERVAL : earlier(2 * q->interval_us, MAX_INTERVAL);
		if (q->interval_us < session_rto(c))
			q->interval_us = session_rto(c);
		q->due_us = c->now_us + q->interval_us;
	}
	return len;
}

size_t
requests_frames(struct rk_client *c, uint8_t *out, size_t cap)
{
	unsigned under_way = 0;
	size_t len = 0;

	for (struct request *q = c->requests.first; q != NULL && under_way < UNDER_WAY_MAX; q = q->next) {
		if (!may_be_sent(c, q))
			continue;
		under_way++;
		if (q->due_us > c->now_us)
			continue;
		if (q->number == 0)
			q->number = ++c->requests.last_number;
		if (q->next_fragment == fragments(q)) {
			q->next_fragment = 0;
			session_doubt(c);
		}
		len += write_fragments(c, q, out + len, cap - len);
		if (q->next_fragment < fragments(q))
			break;
	}
	return len;
}

uint64_t
requests_deadline(const struct rk_client *c)
{
	unsigned under_way = 0;
	uint64_t t = NEVER;

	for (const struct request *q = c->requests.first; q != NULL && under_way < UNDER_WAY_MAX;
	     q = q->next) {
		if (!may_be_sent(c, q))
			continue;
		under_way++;
		t = earlier(t, q->due_us);
	}
	return t;
}

const char *
requests_check(const struct rk_client *c)
{
	const struct requests *r = &c->requests;
	size_t n = 0;

	if (r->first == NULL && r->last != &r->first)
		return "requests: an empty list has a tail";
	for (const struct request *q = r->first; q != NULL; q = q->next) {
		unsigned received = 0;

		if (q->handle != 0)
			n++;
		if (q->number > r->last_number)
			return "requests: a number that was never given";
		if (q->next_fragment > fragments(q) || fragments(q) > REQUEST_FRAGMENTS)
			return "requests: too many fragments";
		for (unsigned i = 0; i < RESPONSE_FRAGMENTS; i++)
			received += q->parts[i] != NULL;
		if (received != q->received || (q->expected != 0 && received >= q->expected))
			return "requests: a response is counted wrong";
		if (q->next == NULL && r->last != &q->next)
			return "requests: the tail is not the last request";
	}
	if (n != r->n)
		return "requests: the count of the application's requests is wrong";
	return NULL;
}
