/* SPDX-License-Identifier: BSD-3-Clause */
#include "dataplane/tables.h"
#include "eal_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <rte_malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define USERS 2000
#define CONVERSATIONS 3000
#define WORKERS 3

static struct tables *
tables_for(uint32_t sessions)
{
	struct config config = {.dataplane = {.users = USERS, .conversations = CONVERSATIONS, .sessions = sessions}};
	struct tables *t = tables_new(&config, WORKERS, SOCKET_ID_ANY);

	assert_non_null(t);
	return t;
}

static struct tables *
new_tables(void)
{
	return tables_for(USERS * USER_SESSIONS_MAX);
}

/* Small for every other version: with one live session such an id is kept in another way. */
static device_id_t
device_of(user_id_t user, uint64_t version, unsigned i)
{
	uint64_t id = ~(version << 8 | i) ^ user;

	return version / USER_SESSIONS_MAX % 2 ? id & 0x7fffffff : id;
}

/* An entry whose every field follows from user and version, so that a torn or recycled one shows. Its live sessions are one to eight. */
static int
set_user(struct tables *t, user_id_t user, uint64_t version)
{
	struct cell c = {.type = TABLE_USER_SET};

	c.user.user = user;
	c.user.away = version % 2;
	c.user.live_count = 1 + version % USER_SESSIONS_MAX;
	for (unsigned i = 0; i < c.user.live_count; i++)
		c.user.live[i] = (struct live_session){version << 8 | i, device_of(user, version, i)};
	return tables_apply(t, &c);
}

/* False if the entry is not a whole one of that user; its version otherwise. */
static bool
user_sound(const struct user_entry *e, user_id_t user, uint64_t *version)
{
	const struct live_session *live = user_live(e);
	uint64_t v;

	if (e->live_count == 0)
		return false;
	v = live[0].sid >> 8;
	if (e->away != v % 2 || e->live_count != 1 + v % USER_SESSIONS_MAX)
		return false;
	for (unsigned i = 0; i < e->live_count; i++) {
		if (live[i].sid != (v << 8 | i) || live[i].device != device_of(user, v, i))
			return false;
	}
	*version = v;
	return true;
}

static bool
known(const struct tables *t, user_id_t user)
{
	return tables_user(t, user).live_count != 0;
}

static int
del_user(struct tables *t, user_id_t user)
{
	return tables_apply(t, &(struct cell){.type = TABLE_USER_DEL, .user = {.user = user}});
}

static int
set_verdict(struct tables *t, user_id_t from, user_id_t to, enum verdict v)
{
	struct cell c = {.type = TABLE_VERDICT_SET, .verdict = {.from = from, .to = to, .verdict = v}};

	return tables_apply(t, &c);
}

static int
del_verdict(struct tables *t, user_id_t from, user_id_t to)
{
	struct cell c = {.type = TABLE_VERDICT_DEL, .verdict = {.from = from, .to = to}};

	return tables_apply(t, &c);
}

static void
assert_user(const struct tables *t, user_id_t user, uint64_t version)
{
	struct user_entry e = tables_user(t, user);
	uint64_t found;

	assert_true(user_sound(&e, user, &found));
	assert_int_equal(found, version);
}

static void
users_set_replace_delete(void **state)
{
	struct tables *t = new_tables();

	(void)state;
	assert_false(known(t, 7));
	assert_int_equal(set_user(t, 7, 1), 0);
	assert_user(t, 7, 1);
	assert_int_equal(set_user(t, 7, 2), 0);
	assert_user(t, 7, 2);
	assert_int_equal(tables_user_count(t), 1);
	assert_false(known(t, UINT64_C(7) << 32));
	assert_int_equal(del_user(t, 7), 0);
	assert_false(known(t, 7));
	assert_int_equal(del_user(t, 7), 0);
	assert_int_equal(tables_user_count(t), 0);
	tables_free(t);
}

static void
verdicts_have_a_direction(void **state)
{
	struct tables *t = new_tables();

	(void)state;
	assert_int_equal(set_verdict(t, 1, 2, VERDICT_ALLOWED), 0);
	assert_int_equal(set_verdict(t, 2, 1, VERDICT_BLOCKED), 0);
	assert_int_equal(tables_verdict(t, 1, 2), VERDICT_ALLOWED);
	assert_int_equal(tables_verdict(t, 2, 1), VERDICT_BLOCKED);
	assert_int_equal(tables_verdict(t, 1, 3), VERDICT_NONE);
	assert_int_equal(set_verdict(t, 1, 2, VERDICT_NOT_BUDDIES), 0);
	assert_int_equal(tables_verdict(t, 1, 2), VERDICT_NOT_BUDDIES);
	assert_int_equal(tables_verdict_count(t), 2);
	assert_int_equal(del_verdict(t, 1, 2), 0);
	assert_int_equal(del_verdict(t, 1, 2), 0);
	assert_int_equal(tables_verdict(t, 1, 2), VERDICT_NONE);
	assert_int_equal(tables_verdict(t, 2, 1), VERDICT_BLOCKED);
	assert_int_equal(tables_verdict_count(t), 1);
	/* All of them, at once. */
	assert_int_equal(del_verdict(t, 0, 0), 0);
	assert_int_equal(tables_verdict(t, 2, 1), VERDICT_NONE);
	assert_int_equal(set_verdict(t, 2, 1, VERDICT_ALLOWED), 0);
	assert_int_equal(tables_verdict(t, 2, 1), VERDICT_ALLOWED);
	assert_int_equal(tables_verdict_count(t), 1);
	tables_free(t);
}

static void
bad_cells_are_refused(void **state)
{
	struct tables *t = new_tables();
	struct cell c = {.type = TABLE_USER_SET, .user = {.user = 5, .live_count = USER_SESSIONS_MAX + 1}};

	(void)state;
	assert_int_equal(tables_apply(t, &c), -EINVAL);
	c.user.live_count = 255;
	assert_int_equal(tables_apply(t, &c), -EINVAL);
	c.user.live_count = 0;
	assert_int_equal(tables_apply(t, &c), 0);
	assert_int_equal(tables_user(t, 5).live_count, 0);
	assert_false(tables_user(t, 5).away);
	assert_true(tables_user(t, 6).away);
	c.user.user = 0;
	assert_int_equal(tables_apply(t, &c), -EINVAL);
	assert_int_equal(set_verdict(t, 1, 2, VERDICT_NONE), -EINVAL);
	assert_int_equal(set_verdict(t, 1, 2, (enum verdict)(VERDICT_UNKNOWN_USER + 1)), -EINVAL);
	assert_int_equal(tables_apply(t, &(struct cell){.type = TABLE_BARRIER}), -EINVAL);
	assert_int_equal(tables_apply(t, &(struct cell){.type = 0}), -EINVAL);
	assert_int_equal(tables_user_count(t), 1);
	assert_int_equal(tables_verdict_count(t), 0);
	tables_free(t);
}

static void
bulk_agrees_with_single(void **state)
{
	struct tables *t = new_tables();
	user_id_t users[32];
	user_id_t pairs[32][2];
	struct user_entry entries[32];
	uint8_t verdicts[32];

	(void)state;
	for (user_id_t u = 1; u <= 1000; u += 2) {
		assert_int_equal(set_user(t, u, u / 2), 0);
		assert_int_equal(set_verdict(t, u, u + 5, VERDICT_ALLOWED), 0);
	}
	for (uint32_t n = 0; n <= 32; n++) {
		for (uint32_t i = 0; i < 32; i++) {
			users[i] = 1 + (n * 37 + i * 11) % 1200;
			pairs[i][0] = users[i];
			pairs[i][1] = users[i] + (i % 3 ? 5 : 6);
		}
		memset(entries, 0xee, sizeof(entries));
		memset(verdicts, 0xee, sizeof(verdicts));
		tables_users(t, users, n, entries);
		tables_verdicts(t, (const user_id_t(*)[2])pairs, n, verdicts);
		for (uint32_t i = 0; i < n; i++) {
			struct user_entry single = tables_user(t, users[i]);

			assert_int_equal(entries[i].live_count, single.live_count);
			assert_int_equal(entries[i].away, single.away);
			assert_ptr_equal(entries[i].run, single.run);
			assert_memory_equal(user_live(&entries[i]), user_live(&single), sizeof(single.single));
			assert_int_equal(verdicts[i], tables_verdict(t, pairs[i][0], pairs[i][1]));
		}
		for (uint32_t i = n; i < 32; i++)
			assert_int_equal(verdicts[i], 0xee);
	}
	tables_free(t);
}

static void
full_user_table_refuses_and_recovers(void **state)
{
	struct tables *t = new_tables();

	(void)state;
	for (user_id_t u = 1; u <= USERS; u++)
		assert_int_equal(set_user(t, u, u), 0);
	assert_int_equal(set_user(t, USERS + 1, 1), -ENOSPC);
	assert_false(known(t, USERS + 1));
	/* Known ones can still change. */
	for (user_id_t u = 1; u <= USERS; u++)
		assert_int_equal(set_user(t, u, u + 1), 0);
	for (user_id_t u = 1; u <= USERS; u++)
		assert_user(t, u, u + 1);
	assert_int_equal(tables_user_count(t), USERS);
	assert_int_equal(del_user(t, 1), 0);
	assert_int_equal(set_user(t, USERS + 1, 1), 0);
	assert_user(t, USERS + 1, 1);
	assert_true(tables_check(t));
	tables_free(t);
}

/* More devices than there are cells for: the rest of them count as away, and nobody is refused. */
static void
devices_without_room_are_away(void **state)
{
	struct tables *t = tables_for(USERS);
	unsigned stored = 0, away = 0;

	(void)state;
	for (user_id_t u = 1; u <= USERS; u++) {
		struct cell c = {.type = TABLE_USER_SET, .user = {.user = u, .live_count = USER_SESSIONS_MAX}};
		struct user_entry e;

		for (unsigned i = 0; i < USER_SESSIONS_MAX; i++)
			c.user.live[i] = (struct live_session){u << 8 | i, u};
		assert_int_equal(tables_apply(t, &c), 0);
		e = tables_user(t, u);
		assert_true(e.away || e.live_count == USER_SESSIONS_MAX);
		for (unsigned i = 0; i < e.live_count; i++)
			assert_int_equal(user_live(&e)[i].sid, u << 8 | i);
		stored += e.live_count;
		away += e.away;
	}
	assert_true(away > 0);
	assert_in_range(stored, USERS, 2 * USERS);
	for (user_id_t u = 1; u <= USERS; u++)
		assert_int_equal(del_user(t, u), 0);
	/* All of it comes back. */
	for (user_id_t u = 1; u <= USERS; u++)
		assert_int_equal(set_user(t, u, u * USER_SESSIONS_MAX), 0);
	for (user_id_t u = 1; u <= USERS; u++)
		assert_user(t, u, u * USER_SESSIONS_MAX);
	tables_free(t);
}

static void
full_verdict_table_evicts(void **state)
{
	struct tables *t = new_tables();
	unsigned old = 0;

	(void)state;
	for (user_id_t to = 1; to <= 5 * CONVERSATIONS; to++) {
		assert_int_equal(set_verdict(t, 1, to, VERDICT_ALLOWED), 0);
		assert_int_equal(tables_verdict(t, 1, to), VERDICT_ALLOWED);
		assert_true(tables_verdict_count(t) <= CONVERSATIONS);
	}
	assert_int_equal(tables_verdict_count(t), CONVERSATIONS);
	/* At random, not the newest and not by place: after one turnover in the mean 1/e of those before
	 * are left. */
	for (user_id_t to = 3 * CONVERSATIONS + 1; to <= 4 * CONVERSATIONS; to++)
		old += tables_verdict(t, 1, to) != VERDICT_NONE;
	assert_in_range(old, CONVERSATIONS / 6, CONVERSATIONS * 3 / 5);
	/* Nobody sits where eviction never looks: after four turnovers 1/e^4 of the first are left. */
	old = 0;
	for (user_id_t to = 1; to <= CONVERSATIONS; to++)
		old += tables_verdict(t, 1, to) != VERDICT_NONE;
	assert_in_range(old, 0, CONVERSATIONS / 10);
	tables_free(t);
}

static user_id_t
rotated(user_id_t u, unsigned by)
{
	return by == 0 ? u : u << by | u >> (64 - by);
}

/* A client writes any `to` it likes: patterns that a weak hash would pile up. */
static void
chosen_keys_fill_the_table(void **state)
{
	(void)state;
	for (unsigned shift = 0; shift < 64; shift += 7) {
		struct tables *t = new_tables();
		unsigned found = 0;

		for (user_id_t i = 1; i <= CONVERSATIONS; i++)
			assert_int_equal(set_verdict(t, 9, rotated(i, shift), VERDICT_UNKNOWN_USER), 0);
		for (user_id_t i = 1; i <= CONVERSATIONS; i++)
			found += tables_verdict(t, 9, rotated(i, shift)) == VERDICT_UNKNOWN_USER;
		assert_int_equal(found, CONVERSATIONS);
		tables_free(t);
	}
}

static void
nothing_is_reused_under_a_reader(void **state)
{
	struct tables *t = new_tables();
	struct user_entry held;
	unsigned changes = 0;
	uint64_t version;
	int rc;

	(void)state;
	assert_int_equal(set_user(t, 1, 1), 0);
	assert_int_equal(set_user(t, 2, 1), 0);
	tables_reader_online(t, 0);
	held = tables_user(t, 1);
	/* The reader stalls; the writer goes on until nothing is left to write to. */
	do {
		rc = set_user(t, 1, 2 + changes++);
		tables_reclaim(t);
		assert_true(user_sound(&held, 1, &version));
		assert_int_equal(version, 1);
	} while (rc == 0);
	assert_int_equal(rc, -EAGAIN);
	assert_in_range(changes, 1000, 100000);
	/* Nothing has changed: the writer waits. */
	assert_user(t, 1, changes);
	assert_int_equal(del_user(t, 1), -EAGAIN);
	assert_user(t, 1, changes);
	assert_user(t, 2, 1);
	assert_int_equal(tables_user_count(t), 2);
	/* Another reader that reports does not help. */
	tables_reader_online(t, 1);
	tables_reader_quiescent(t, 1);
	assert_int_equal(set_user(t, 1, 5), -EAGAIN);
	tables_reader_quiescent(t, 1);
	tables_reader_quiescent(t, 0);
	for (uint64_t v = 10; v < 10000; v++) {
		assert_int_equal(set_user(t, 1, v), 0);
		tables_reader_quiescent(t, 0);
		tables_reader_quiescent(t, 1);
	}
	assert_user(t, 1, 9999);
	/* Asleep, a reader holds up nobody. */
	tables_reader_offline(t, 0);
	tables_reader_offline(t, 1);
	for (uint64_t v = 1; v < 10000; v++)
		assert_int_equal(set_user(t, 1, v), 0);
	tables_free(t);
}

/* No verdict waits for a reader. */
static void
verdicts_change_while_a_reader_stalls(void **state)
{
	struct tables *t = new_tables();

	(void)state;
	assert_int_equal(set_verdict(t, 1, 1, VERDICT_ALLOWED), 0);
	tables_reader_online(t, 2);
	for (user_id_t to = 2; to < 20 * CONVERSATIONS; to++) {
		assert_int_equal(set_verdict(t, 5, to, VERDICT_ALLOWED), 0);
		assert_int_equal(tables_verdict(t, 5, to), VERDICT_ALLOWED);
		assert_int_equal(del_verdict(t, 5, to), 0);
		assert_int_equal(tables_verdict(t, 5, to), VERDICT_NONE);
	}
	assert_int_equal(set_verdict(t, 1, 1, VERDICT_BLOCKED), 0);
	assert_int_equal(tables_verdict(t, 1, 1), VERDICT_BLOCKED);
	assert_int_equal(del_verdict(t, 1, 1), 0);
	assert_int_equal(tables_verdict_count(t), 0);
	for (user_id_t to = 1; to <= CONVERSATIONS; to++)
		assert_int_equal(set_verdict(t, 5, to, VERDICT_ALLOWED), 0);
	for (user_id_t to = 1; to <= CONVERSATIONS; to++)
		assert_int_equal(tables_verdict(t, 5, to), VERDICT_ALLOWED);
	assert_true(tables_check(t));
	tables_free(t);
}

/* One device, whose entry holds it: nothing waits for readers, and what one of them has seen stays as it was. */
static void
one_device_changes_while_a_reader_stalls(void **state)
{
	struct tables *t = new_tables();
	struct user_entry held = {.live_count = 0};

	(void)state;
	tables_reader_online(t, 0);
	for (uint32_t v = 1; v < 10 * USERS; v++) {
		struct cell c = {.type = TABLE_USER_SET, .user = {.user = 1, .away = v % 2, .live_count = 1, .live = {{v, 3 * v}}}};
		struct user_entry e;

		assert_int_equal(tables_apply(t, &c), 0);
		e = tables_user(t, 1);
		assert_int_equal(e.live_count, 1);
		assert_int_equal(e.away, v % 2);
		assert_int_equal(user_live(&e)->sid, v);
		assert_int_equal(user_live(&e)->device, 3 * v);
		if (v == 1)
			held = e;
	}
	assert_int_equal(user_live(&held)->sid, 1);
	assert_int_equal(del_user(t, 1), 0);
	assert_false(known(t, 1));
	tables_free(t);
}

/* The largest ids that an entry holds, and the first that it does not. */
static void
ids_of_any_size(void **state)
{
	static const struct live_session live[] = {
		{1, 0},
		{1, 0x7fffffff},
		{1, UINT64_C(0x80000000)},
		{UINT64_MAX >> 1, 5},
		{UINT64_C(1) << 63, 5},
		{UINT64_MAX, UINT64_MAX},
		{0, 7},
	};
	static const user_id_t users[] = {1, UINT64_C(1) << 32, UINT64_C(1) << 63, UINT64_MAX};
	struct tables *t = new_tables();

	(void)state;
	for (unsigned i = 0; i < sizeof(live) / sizeof(live[0]) * 2; i++) {
		struct cell c = {.type = TABLE_USER_SET, .user = {.away = i & 1, .live_count = 1, .live = {live[i / 2]}}};

		for (unsigned u = 0; u < sizeof(users) / sizeof(users[0]); u++) {
			struct user_entry e;

			c.user.user = users[u];
			assert_int_equal(tables_apply(t, &c), 0);
			e = tables_user(t, users[u]);
			assert_int_equal(e.live_count, 1);
			assert_int_equal(e.away, i & 1);
			assert_memory_equal(user_live(&e), &live[i / 2], sizeof(live[0]));
		}
	}
	assert_int_equal(tables_user_count(t), sizeof(users) / sizeof(users[0]));
	/* Whatever a client writes as the recipient. */
	assert_false(known(t, 0));
	assert_int_equal(tables_verdict(t, 1, 0), VERDICT_NONE);
	assert_int_equal(tables_verdict(t, 0, 0), VERDICT_NONE);
	tables_free(t);
}

static void
random_against_model(void **state)
{
	enum { SPACE = 4000 };
	struct tables *t = new_tables();
	uint64_t *versions = calloc(SPACE, sizeof(*versions));
	uint64_t random = 88172645463325252;
	uint32_t count = 0;

	(void)state;
	assert_non_null(versions);
	tables_reader_online(t, 0);
	for (uint64_t step = 1; step <= 200000; step++) {
		user_id_t u;

		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		u = 1 + (random >> 20) % (SPACE - 1);
		if (random >> 60 < 5) {
			assert_int_equal(del_user(t, u), 0);
			count -= versions[u] != 0;
			versions[u] = 0;
		} else if (versions[u] == 0 && count == USERS) {
			assert_int_equal(set_user(t, u, step), -ENOSPC);
		} else {
			assert_int_equal(set_user(t, u, step), 0);
			count += versions[u] == 0;
			versions[u] = step;
		}
		assert_int_equal(tables_user_count(t), count);
		u = 1 + (random >> 40) % (SPACE - 1);
		if (versions[u] == 0)
			assert_false(known(t, u));
		else
			assert_user(t, u, versions[u]);
		if (step % 200 == 0)
			tables_reader_quiescent(t, 0);
		if (step % 10000 == 0)
			assert_true(tables_check(t));
	}
	tables_free(t);
	free(versions);
}

static void
freed_without_a_trace(void **state)
{
	struct rte_malloc_socket_stats before;
	struct rte_malloc_socket_stats after;

	(void)state;
	rte_malloc_get_socket_stats(0, &before);
	for (unsigned i = 0; i < 20; i++) {
		struct tables *t = new_tables();
		struct tables *second = new_tables();

		/* Readers that are still online and slots that still wait. */
		tables_reader_online(t, 1);
		for (user_id_t u = 1; u < 500; u++) {
			assert_int_equal(set_user(t, u, u), 0);
			assert_int_equal(set_user(t, u, u + 1), 0);
			assert_int_equal(set_verdict(t, u, u, VERDICT_BLOCKED), 0);
			assert_int_equal(del_verdict(t, u, u), 0);
		}
		assert_false(known(second, 1));
		tables_free(t);
		tables_free(second);
	}
	tables_free(NULL);
	rte_malloc_get_socket_stats(0, &after);
	assert_int_equal(after.heap_allocsz_bytes, before.heap_allocsz_bytes);
}

static void
too_large_is_an_error(void **state)
{
	struct config config = {.dataplane = {.users = 100000000, .conversations = 1000}};

	(void)state;
	assert_null(tables_new(&config, 1, SOCKET_ID_ANY));
	config.dataplane.users = 1000;
	config.dataplane.conversations = 100000000;
	assert_null(tables_new(&config, 1, SOCKET_ID_ANY));
	config.dataplane.conversations = 1000;
	assert_null(tables_new(&config, 0, SOCKET_ID_ANY));
}

/* ---- readers beside the writer ---- */

#define STABLE 500 /* users 1..STABLE: replaced, never deleted; the pairs (u, u + 1): always there */

struct reader {
	struct tables *tables;
	const _Atomic bool *stop;
	_Atomic uint32_t *running;
	uint32_t worker;
	pthread_t thread;
	/* the reader's; read by the test after it has joined */
	uint64_t random;
	uint64_t latest[STABLE + 1];
	const char *failure;
	_Atomic uint64_t rounds; /* reader; the writer waits for it */
};

static uint64_t
reader_draw(struct reader *r, uint64_t below)
{
	r->random ^= r->random << 13;
	r->random ^= r->random >> 7;
	r->random ^= r->random << 17;
	return (r->random >> 11) % below;
}

static const char *
check_entry(struct reader *r, const struct user_entry *e, user_id_t user)
{
	uint64_t version;

	if (e->live_count == 0)
		return user <= STABLE ? "a user that was never deleted is missing" : NULL;
	if (!user_sound(e, user, &version))
		return "an entry is torn or was used again under its reader";
	if (user > STABLE)
		return NULL;
	if (version < r->latest[user])
		return "an older entry came after a newer one";
	r->latest[user] = version;
	return NULL;
}

/* One worker iteration: look up, use, look again at what was got. */
static const char *
read_round(struct reader *r)
{
	struct user_entry entries[32];
	user_id_t users[32];
	user_id_t pairs[32][2];
	uint8_t verdicts[32];

	for (unsigned i = 0; i < 32; i++) {
		users[i] = 1 + reader_draw(r, i % 2 ? STABLE : USERS);
		pairs[i][0] = 1 + reader_draw(r, STABLE);
		pairs[i][1] = pairs[i][0] + 1 + i % 2;
	}
	tables_users(r->tables, users, 32, entries);
	tables_verdicts(r->tables, (const user_id_t(*)[2])pairs, 32, verdicts);
	for (unsigned again = 0; again < 2; again++) {
		for (unsigned i = 0; i < 32; i++) {
			uint64_t version;
			const char *failure = again ? NULL : check_entry(r, &entries[i], users[i]);

			if (failure != NULL)
				return failure;
			if (again && entries[i].live_count != 0 && !user_sound(&entries[i], users[i], &version))
				return "an entry changed before its reader was quiescent";
		}
	}
	for (unsigned i = 0; i < 32; i++) {
		if (i % 2 == 0 && verdicts[i] != VERDICT_ALLOWED && verdicts[i] != VERDICT_BLOCKED)
			return "a verdict that was never deleted is missing";
		if (i % 2 == 1 && verdicts[i] != VERDICT_NONE && verdicts[i] != VERDICT_NOT_BUDDIES)
			return "a verdict of another pair";
	}
	entries[0] = tables_user(r->tables, users[0]);
	return check_entry(r, &entries[0], users[0]);
}

static void *
reader_main(void *arg)
{
	struct reader *r = arg;

	tables_reader_online(r->tables, r->worker);
	atomic_fetch_add(r->running, 1);
	while (r->failure == NULL && !atomic_load_explicit(r->stop, memory_order_relaxed)) {
		r->failure = read_round(r);
		/* Now and then it sleeps, as an idle worker does. */
		if (atomic_load_explicit(&r->rounds, memory_order_relaxed) % 512 == 0) {
			tables_reader_offline(r->tables, r->worker);
			tables_reader_online(r->tables, r->worker);
		} else {
			tables_reader_quiescent(r->tables, r->worker);
		}
		atomic_fetch_add_explicit(&r->rounds, 1, memory_order_relaxed);
	}
	atomic_store(&r->rounds, UINT64_MAX);
	tables_reader_offline(r->tables, r->worker);
	return NULL;
}

static void
write_step(struct tables *t, uint64_t step)
{
	uint64_t r = step * UINT64_C(0x9e3779b97f4a7c15) >> 20;
	user_id_t churned = STABLE + 1 + r % (USERS - STABLE);
	user_id_t stable = 1 + r % STABLE;

	if (step % 4 == 0)
		assert_int_equal(set_user(t, stable, step), 0);
	else if (step % 4 == 1)
		assert_int_equal(set_user(t, churned, step), 0);
	else
		assert_int_equal(del_user(t, churned), 0);
	set_verdict(t, stable, stable + 1, step % 3 ? VERDICT_ALLOWED : VERDICT_BLOCKED);
	if (step % 2)
		set_verdict(t, stable, stable + 2, VERDICT_NOT_BUDDIES);
	else
		del_verdict(t, 1 + r / 3 % STABLE, 3 + r / 3 % STABLE);
	tables_reclaim(t);
}

/* A reader that is off its CPU holds back what the writer replaced, and the spare slots end at 1,024: let
 * every reader come round. */
static void
await_round(struct reader *r)
{
	uint64_t rounds = atomic_load(&r->rounds);

	while (atomic_load(&r->rounds) < (rounds < UINT64_MAX - 2 ? rounds + 2 : rounds))
		sched_yield();
}

static void
readers_beside_the_writer(void **state)
{
	struct tables *t = new_tables();
	struct reader readers[2];
	_Atomic bool stop = false;
	_Atomic uint32_t running = 0;

	(void)state;
	for (user_id_t u = 1; u <= STABLE; u++) {
		assert_int_equal(set_user(t, u, 1), 0);
		assert_int_equal(set_verdict(t, u, u + 1, VERDICT_ALLOWED), 0);
	}
	for (uint32_t i = 0; i < 2; i++) {
		readers[i] = (struct reader){
			.tables = t, .stop = &stop, .running = &running, .worker = i, .random = 77 + i};
		assert_int_equal(pthread_create(&readers[i].thread, NULL, reader_main, &readers[i]), 0);
	}
	while (atomic_load(&running) < 2)
		sched_yield();
	for (uint64_t step = 2; step < 100000; step++) {
		write_step(t, step);
		for (uint32_t i = 0; step % 256 == 0 && i < 2; i++)
			await_round(&readers[i]);
	}
	atomic_store(&stop, true);
	for (uint32_t i = 0; i < 2; i++) {
		pthread_join(readers[i].thread, NULL);
		if (readers[i].failure != NULL)
			fail_msg("reader %u: %s", (unsigned)i, readers[i].failure);
	}
	assert_true(tables_check(t));
	tables_free(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(users_set_replace_delete),
		cmocka_unit_test(verdicts_have_a_direction),
		cmocka_unit_test(bad_cells_are_refused),
		cmocka_unit_test(bulk_agrees_with_single),
		cmocka_unit_test(full_user_table_refuses_and_recovers),
		cmocka_unit_test(devices_without_room_are_away),
		cmocka_unit_test(full_verdict_table_evicts),
		cmocka_unit_test(chosen_keys_fill_the_table),
		cmocka_unit_test(nothing_is_reused_under_a_reader),
		cmocka_unit_test(verdicts_change_while_a_reader_stalls),
		cmocka_unit_test(one_device_changes_while_a_reader_stalls),
		cmocka_unit_test(ids_of_any_size),
		cmocka_unit_test(random_against_model),
		cmocka_unit_test(freed_without_a_trace),
		cmocka_unit_test(too_large_is_an_error),
		cmocka_unit_test(readers_beside_the_writer),
	};

	return cmocka_run_group_tests(tests, eal_fixture_setup, eal_fixture_teardown);
}
