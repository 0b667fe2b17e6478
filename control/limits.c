// SPDX-License-Identifier: BSD-3-Clause
/*
 * What one peer may ask of control: rates per user and device, and delays after wrong passwords per account and host. All in
 * tables of fixed size, so that strangers who bring ever new keys cost nothing; a restart forgets them.
 *
 * A handler that runs twice because the store failed pays twice.
 */
#include "core.h"

#include "shared/rate.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define RATE_SETS 4096
#define GUESS_SETS 1024
#define GUESS_WAYS 4

#define HOST_BITS4 32 /* as the dataplane has them */
#define HOST_BITS6 64

struct guess {
	uint64_t tag; /* 0: empty */
	uint64_t ready_ms;
	uint64_t last_ms;
	uint64_t failures;
};

struct limits {
	struct rate rates[LIMIT_COUNT];
	struct rate_table table;
	struct rate_set *sets;
	struct guess guesses[GUESS_SETS][GUESS_WAYS];
	uint8_t secret[crypto_shorthash_KEYBYTES];
};

int
limits_new(struct server *s)
{
	const struct config *c = s->config;
	struct limits *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return -ENOMEM;
	s->limits = l;
	l->sets = aligned_alloc(sizeof(*l->sets), RATE_SETS * sizeof(*l->sets));
	if (l->sets == NULL)
		return -ENOMEM;
	memset(l->sets, 0, RATE_SETS * sizeof(*l->sets));
	rate_table_init(&l->table, l->sets, RATE_SETS);
	randombytes_buf(l->secret, sizeof(l->secret));
	l->rates[LIMIT_BUDDY_REQUESTS] =
		rate_make(c->limits.buddy_requests_per_day, 86400000, c->limits.buddy_requests_per_day);
	l->rates[LIMIT_PRESENCE] =
		rate_make(c->limits.presence_changes_per_minute, 60000, c->limits.presence_changes_per_minute);
	l->rates[LIMIT_SEARCHES] = rate_make(c->limits.searches_per_minute, 60000, c->limits.searches_per_minute);
	l->rates[LIMIT_DEVICE_LOGINS] =
		rate_make(c->limits.device_logins_per_minute, 60000, c->limits.device_logins_per_minute);
	return 0;
}

void
limits_free(struct server *s)
{
	if (s->limits == NULL)
		return;
	free(s->limits->sets);
	free(s->limits);
	s->limits = NULL;
}

static uint32_t
to_ms(uint64_t us)
{
	uint64_t ms = (us + 999) / 1000;

	return ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

uint32_t
limit_take(struct server *s, enum limit_kind kind, const void *key, size_t len)
{
	uint8_t tagged[1 + 32];

	if (len > sizeof(tagged) - 1)
		len = sizeof(tagged) - 1;
	tagged[0] = (uint8_t)kind;
	memcpy(tagged + 1, key, len);
	return to_ms(rate_table_take(&s->limits->table, tagged, 1 + len, &s->limits->rates[kind], s->now_ms * 1000));
}

bool
limit_request(struct server *s, enum limit_kind kind, const struct request *r)
{
	uint32_t wait = limit_take(s, kind, &r->user->id, sizeof(r->user->id));

	if (wait == 0)
		return true;
	COUNT(s, requests_slowed);
	respond_slow(s, r->sid, r->number, wait, "too many of these: try again later");
	return false;
}

bool
same_host(const struct endpoint *a, const struct endpoint *b)
{
	struct rate_prefix p, q;

	rate_prefix(&p, a, HOST_BITS4, HOST_BITS6);
	rate_prefix(&q, b, HOST_BITS4, HOST_BITS6);
	return memcmp(&p, &q, sizeof(p)) == 0;
}

/* ---- wrong passwords ---------------------------------------------------------------- */

static struct guess *
guess_find(struct server *s, const void *key, size_t len)
{
	uint64_t max_ms = s->config->limits.guess_delay_max_ms, forgotten;
	struct guess *set, *out;
	uint64_t tag;

	crypto_shorthash((unsigned char *)&tag, key, len, s->limits->secret);
	set = s->limits->guesses[tag % GUESS_SETS];
	tag |= tag == 0;
	out = &set[0];
	for (unsigned i = 0; i < GUESS_WAYS; i++) {
		if (set[i].tag == tag) {
			out = &set[i];
			break;
		}
		if (set[i].failures < out->failures || (set[i].failures == out->failures && set[i].last_ms < out->last_ms))
			out = &set[i];
	}
	if (out->tag != tag)
		*out = (struct guess){.tag = tag, .last_ms = s->now_ms};
	forgotten = max_ms == 0 ? 0 : (s->now_ms - out->last_ms) / max_ms;
	out->failures -= forgotten < out->failures ? forgotten : out->failures;
	out->last_ms += forgotten * max_ms;
	return out;
}

static void
guess_pay(struct server *s, struct guess *g, unsigned free_guesses)
{
	uint64_t delay = s->config->limits.guess_delay_ms, max = s->config->limits.guess_delay_max_ms;
	uint64_t over;

	g->failures++;
	g->last_ms = s->now_ms;
	if (g->failures < free_guesses)
		return;
	over = g->failures - free_guesses;
	delay = over < 32 ? delay << over : UINT64_MAX;
	g->ready_ms = s->now_ms + (delay < max ? delay : max);
}

static struct guess *
guess_host(struct server *s, const struct endpoint *peer)
{
	struct rate_prefix p;

	rate_prefix(&p, peer, HOST_BITS4, HOST_BITS6);
	return guess_find(s, &p, sizeof(p));
}

/* Is a device of the account live at this host? Its owner may go on there whatever strangers guess elsewhere. */
static bool
guess_at_home(const struct server *s, user_id_t user, const struct endpoint *peer)
{
	const struct user *u = user_get(s, user);
	const struct session *n = u == NULL ? NULL : u->sessions;

	while (n != NULL && !same_host(&n->peer, peer))
		n = n->user_next;
	return n != NULL;
}

uint32_t
guess_begin(struct server *s, user_id_t user, const struct endpoint *peer)
{
	bool home = guess_at_home(s, user, peer);
	struct guess *host = guess_host(s, peer);
	uint64_t ready = host->ready_ms, account_ready;

	/* The account may push its host out of a shared set: each is looked up when it is used. */
	account_ready = home ? 0 : guess_find(s, &user, sizeof(user))->ready_ms;
	if (account_ready > ready)
		ready = account_ready;
	if (ready > s->now_ms)
		return to_ms((ready - s->now_ms) * 1000);
	guess_pay(s, guess_host(s, peer), s->config->limits.prefix_guesses);
	if (!home)
		guess_pay(s, guess_find(s, &user, sizeof(user)), s->config->limits.account_guesses);
	return 0;
}

void
guess_right(struct server *s, user_id_t user, const struct endpoint *peer)
{
	struct guess *g = guess_find(s, &user, sizeof(user));

	g->failures = 0;
	g->ready_ms = 0;
	g = guess_host(s, peer);
	g->failures -= g->failures > 0;
	g->ready_ms = 0;
}
