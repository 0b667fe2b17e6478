/* SPDX-License-Identifier: BSD-3-Clause */
#include "swarm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FINDINGS_MAX 20
#define LINE 256
#define ID 40
#define ORPHANS_MAX 64

enum level { LEVEL_NONE, LEVEL_ACCEPTED, LEVEL_STORED, LEVEL_DELIVERED };

/* One text: from one client to one of its partners. */
struct text {
	bool tried, taken, refused, shown;
	enum level level;
	uint64_t delivered_us, shown_us;
	char id[ID];
};

struct conversation {
	struct text *texts; /* [n], n from 1 */
	unsigned count, capacity;
	unsigned last_shown;      /* highest n shown */
	unsigned lives_at_last;   /* of the recipient, when that was */
};

/* local message id -> text */
struct taken {
	uint64_t local;
	unsigned to, n;
};

struct client {
	struct conversation to[SWARM_PARTNERS];
	struct taken *taken; /* by rising local id */
	size_t taken_count, taken_capacity;
	/* T without its K: killed in between, or it is the last line */
	struct orphan {
		unsigned to, n;
	} orphans[ORPHANS_MAX];
	unsigned orphan_count;
	unsigned lives;
};

struct check {
	unsigned clients;
	struct client *client;
	struct swarm_result *r;
	FILE *out;
	unsigned findings;
	bool second; /* pass: 1 what senders did and were told, 2 what was shown */
};

unsigned
swarm_partner(unsigned i, unsigned n, unsigned which)
{
	static const int step[SWARM_PARTNERS] = {1, -1, 7, -7};

	return (unsigned)((int)i + (int)n + step[which]) % n;
}

static void
finding(struct check *c, uint64_t *counter, const char *what, unsigned from, unsigned to, unsigned n)
{
	(*counter)++;
	if (c->out && c->findings++ < FINDINGS_MAX)
		fprintf(c->out, "# %s: text %u from u%u to u%u\n", what, n, from, to);
}

static struct conversation *
conversation_of(struct check *c, unsigned from, unsigned to)
{
	for (unsigned k = 0; from < c->clients && k < SWARM_PARTNERS; k++)
		if (swarm_partner(from, c->clients, k) == to)
			return &c->client[from].to[k];
	return NULL;
}

/* NULL: it is not in the log and make is false, or n is absurd. */
static struct text *
text_of(struct check *c, unsigned from, unsigned to, unsigned n, bool make)
{
	struct conversation *v = conversation_of(c, from, to);

	if (!v || n == 0 || n > 10000000 || (n > v->count && !make))
		return NULL;
	if (n >= v->capacity) {
		unsigned capacity = n < 64 ? 128 : n * 2;

		v->texts = realloc(v->texts, capacity * sizeof(*v->texts));
		if (!v->texts)
			abort();
		memset(v->texts + v->capacity, 0, (capacity - v->capacity) * sizeof(*v->texts));
		v->capacity = capacity;
	}
	if (n > v->count)
		v->count = n;
	return &v->texts[n];
}

/* The first one by rising local id that is not below local. */
static size_t
taken_find(const struct client *me, uint64_t local)
{
	size_t low = 0, high = me->taken_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (me->taken[middle].local < local)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void
take(struct client *me, uint64_t local, unsigned to, unsigned n)
{
	size_t at = taken_find(me, local);

	if (me->taken_count == me->taken_capacity) {
		me->taken_capacity = me->taken_capacity ? me->taken_capacity * 2 : 256;
		me->taken = realloc(me->taken, me->taken_capacity * sizeof(*me->taken));
		if (!me->taken)
			abort();
	}
	memmove(&me->taken[at + 1], &me->taken[at], (me->taken_count - at) * sizeof(*me->taken));
	me->taken[at] = (struct taken){.local = local, .to = to, .n = n};
	me->taken_count++;
}

static bool
orphan_take(struct client *me, unsigned to, unsigned *n)
{
	for (unsigned k = 0; k < me->orphan_count; k++) {
		if (me->orphans[k].to != to)
			continue;
		*n = me->orphans[k].n;
		memmove(&me->orphans[k], &me->orphans[k + 1], (--me->orphan_count - k) * sizeof(me->orphans[0]));
		return true;
	}
	return false;
}

/* A text by its local id. When a client was killed between T and K, the library took the text or did not: it did if a later life speaks
 * of a local id that nobody knows. */
static struct text *
text_by_local(struct check *c, unsigned i, uint64_t local, unsigned to)
{
	struct client *me = &c->client[i];
	size_t at = taken_find(me, local);
	struct text *t;
	unsigned n;

	if (at < me->taken_count && me->taken[at].local == local)
		return me->taken[at].to == to ? text_of(c, i, to, me->taken[at].n, false) : NULL;
	if (!orphan_take(me, to, &n) || !(t = text_of(c, i, to, n, false)))
		return NULL;
	take(me, local, to, n);
	t->taken = true;
	return t;
}

static enum level
level_of(const char *name)
{
	if (strcmp(name, "accepted") == 0)
		return LEVEL_ACCEPTED;
	if (strcmp(name, "stored") == 0)
		return LEVEL_STORED;
	return strcmp(name, "delivered") == 0 ? LEVEL_DELIVERED : LEVEL_NONE;
}

/* ---- pass 1: senders ------------------------------------------------------------------- */

static bool
sender_line(struct check *c, unsigned i, uint64_t us, char type, const char *rest)
{
	struct client *me = &c->client[i];
	unsigned long long local;
	unsigned n, to;
	char id[ID], word[32];
	struct text *t;

	switch (type) {
	case 'T':
		if (me->orphan_count == ORPHANS_MAX || sscanf(rest, "%u u%u", &n, &to) != 2 ||
		    !(t = text_of(c, i, to, n, true)))
			return false;
		t->tried = true;
		me->orphans[me->orphan_count++] = (struct orphan){.to = to, .n = n};
		return true;
	case 'K':
		if (me->orphan_count == 0 || sscanf(rest, "%u %llu", &n, &local) != 2)
			return false;
		to = me->orphans[--me->orphan_count].to;
		if (n != me->orphans[me->orphan_count].n || !(t = text_of(c, i, to, n, false)))
			return false;
		t->taken = true;
		take(me, local, to, n);
		return true;
	case 'S':
		if (sscanf(rest, "%llu %39s u%u", &local, id, &to) != 3 || !(t = text_by_local(c, i, local, to)))
			return false;
		memcpy(t->id, id, sizeof(id));
		return true;
	case 'R':
		if (sscanf(rest, "%llu %39s %31s u%u", &local, id, word, &to) != 4 || level_of(word) == LEVEL_NONE ||
		    !(t = text_by_local(c, i, local, to)))
			return false;
		memcpy(t->id, id, sizeof(id));
		if (level_of(word) > t->level)
			t->level = level_of(word);
		if (t->level == LEVEL_DELIVERED && t->delivered_us == 0)
			t->delivered_us = us;
		return true;
	case 'F':
		if (sscanf(rest, "%llu %39s %31s u%u", &local, id, word, &to) != 4 || !(t = text_by_local(c, i, local, to)))
			return false;
		t->refused = true;
		return true;
	default:
		return true;
	}
}

/* ---- pass 2: recipients ---------------------------------------------------------------- */

static void
shown(struct check *c, unsigned i, uint64_t us, const char *id, unsigned from, unsigned n, bool again)
{
	struct text *t = text_of(c, from, i, n, false);
	struct conversation *v = conversation_of(c, from, i);
	unsigned lives = c->client[i].lives;

	if (!t || !t->tried || (t->id[0] != '\0' && strcmp(t->id, id) != 0)) {
		finding(c, &c->r->invented, "shown, but never sent so", from, i, n);
		return;
	}
	if (t->shown) {
		/* Only the last one may have been on show when the client was killed. */
		if (again && n == v->last_shown && lives > v->lives_at_last)
			c->r->redelivered++;
		else
			finding(c, &c->r->twice, "shown twice", from, i, n);
		v->lives_at_last = lives;
		return;
	}
	if (n < v->last_shown)
		finding(c, &c->r->disorder, "shown after a later one", from, i, n);
	t->shown = true;
	t->shown_us = us;
	c->r->shown++;
	if (n > v->last_shown) {
		v->last_shown = n;
		v->lives_at_last = lives;
	}
}

static bool
recipient_line(struct check *c, unsigned i, uint64_t us, char type, const char *rest)
{
	unsigned from, n, again;
	char id[ID];

	switch (type) {
	case 'B':
		c->client[i].lives++;
		c->r->lives++;
		return true;
	case 'L':
		c->r->logins++;
		return true;
	case 'C':
		c->r->closed++;
		return true;
	case 'M':
		if (sscanf(rest, "%39s u%u %u %u", id, &from, &n, &again) != 4)
			return false;
		shown(c, i, us, id, from, n, again == 1);
		return true;
	case 'T':
	case 'K':
	case 'S':
	case 'R':
	case 'F':
	case 'D':
	case 'U':
	case 'X':
		return true;
	default:
		return false;
	}
}

static int
read_log(struct check *c, const char *directory, unsigned i)
{
	char path[512], line[LINE];
	FILE *f;

	snprintf(path, sizeof(path), "%s/u%u.log", directory, i);
	f = fopen(path, "r");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		unsigned long long us;
		char type;
		int at = 0;
		bool ok = sscanf(line, "%llu %c%n", &us, &type, &at) == 2 && strchr(line, '\n');

		if (ok)
			ok = c->second ? recipient_line(c, i, us, type, line + at) : sender_line(c, i, us, type, line + at);
		if (!ok) {
			c->r->malformed++;
			if (c->out && c->findings++ < FINDINGS_MAX)
				fprintf(c->out, "# %s: not understood: %s", path, line);
		}
	}
	fclose(f);
	return 0;
}

/* ---- the sum --------------------------------------------------------------------------- */

static void
judge(struct check *c, unsigned from, unsigned to, unsigned n, const struct text *t)
{
	struct swarm_result *r = c->r;
	bool confirmed = t->level >= LEVEL_STORED;

	/* Killed before the library had it. */
	if (!t->taken)
		return;
	r->sent++;
	r->delivered += t->level == LEVEL_DELIVERED;
	r->stored += t->level == LEVEL_STORED;
	r->refused += t->refused;
	r->unanswered += !confirmed && !t->refused;
	if (confirmed && !t->shown)
		finding(c, &r->lost, "confirmed and lost", from, to, n);
	if (t->refused && (confirmed || t->shown))
		finding(c, &r->changed, "refused, and yet confirmed or shown", from, to, n);
	if (t->delivered_us != 0 && t->shown && t->delivered_us < t->shown_us)
		finding(c, &r->early, "told delivered before it was shown", from, to, n);
}

int
swarm_check(const char *directory, unsigned clients, struct swarm_result *r, FILE *out)
{
	struct check c = {.clients = clients, .r = r, .out = out};
	int rc = 0;

	memset(r, 0, sizeof(*r));
	r->clients = clients;
	c.client = calloc(clients, sizeof(*c.client));
	if (!c.client)
		abort();
	for (int pass = 0; pass < 2 && rc == 0; pass++) {
		c.second = pass == 1;
		for (unsigned i = 0; i < clients && rc == 0; i++)
			rc = read_log(&c, directory, i);
	}
	for (unsigned i = 0; i < clients; i++) {
		for (unsigned k = 0; k < SWARM_PARTNERS; k++) {
			struct conversation *v = &c.client[i].to[k];

			for (unsigned n = 1; n <= v->count && rc == 0; n++)
				judge(&c, i, swarm_partner(i, clients, k), n, &v->texts[n]);
			free(v->texts);
		}
		free(c.client[i].taken);
	}
	free(c.client);
	return rc;
}

bool
swarm_promises_kept(const struct swarm_result *r)
{
	return r->lost == 0 && r->twice == 0 && r->disorder == 0 && r->early == 0 && r->changed == 0 && r->invented == 0 &&
	       r->malformed == 0;
}
