/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client dies at every step there is (between any two calls of its store, events and datagrams), is
 * started again with the same SQLite file, and nobody notices: each message is shown once (or again, marked
 * redelivered), in order, and each text that was taken into the outbox arrives once.
 */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define TEXTS 5

static char directory[] = "/tmp/rookery-crash-XXXXXX";

static void
remove_store(const char *path)
{
	static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
	char name[160];

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
		unlink(name);
	}
}

/* Says the next text. If bob dies meanwhile it was not taken, and he says it again. Returns the text after
 * it. */
static int
bob_says(struct person *bob, int next)
{
	static char big[2500];
	char text[16];
	size_t len;

	if (next == TEXTS || bob->crashed)
		return next;
	len = (size_t)snprintf(text, sizeof(text), "b%d", next);
	memset(big, 'z', sizeof(big));
	/* One of them takes three fragments. */
	if (rk_client_send(bob->client, "alice", next == 2 ? big : text, next == 2 ? sizeof(big) : len) < 0)
		return next;
	assert_false(bob->crashed); /* the commit is its last step */
	return next + 1;
}

static void
assert_order(const struct person *p, const char *from, const char *what, uint64_t at)
{
	char prefix[32];
	int last = -1, shown = 0;

	snprintf(prefix, sizeof(prefix), "%s: ", from);
	for (size_t i = 0; i < p->n_log; i++) {
		const char *line = p->log[i], *text = strstr(line, prefix);
		bool again = strstr(line, "redelivered ") != NULL;
		int n;

		if (strncmp(line, "message", 7) != 0 || text == NULL)
			continue;
		text += strlen(prefix);
		n = text[0] == 'z' ? 2 : atoi(text + 1);
		if (again && n == last)
			continue; /* shown when the process died, shown again, and marked */
		if (n != last + 1)
			fail_msg("%s, crash at step %llu: %s was shown %.40s after %d", what,
				 (unsigned long long)at, p->name, line, last);
		last = n;
		shown++;
	}
	if (shown != TEXTS)
		fail_msg("%s, crash at step %llu: %s was shown %d of %d", what, (unsigned long long)at,
			 p->name, shown, TEXTS);
}

/* One conversation with a crash of bob's client at that step (0: none). Returns how many steps there were. */
static uint64_t
conversation(uint64_t at, bool lossy)
{
	struct world *w = world_new(at + 1000);
	struct person *alice = person_registered(w, "alice"), *bob;
	int next = 0;
	char path[128];
	uint64_t steps, restarted = 0;

	snprintf(path, sizeof(path), "%s/bob.db", directory);
	remove_store(path);
	bob = person_new(w, "bob", path);
	person_open(w, bob);
	rk_client_register(bob->client, "password");
	rk_client_login(bob->client);
	world_until(w, bob, "login bob", 1, 10000);
	world_run(w, 100);
	bob->steps = 0;
	bob->crash_at = at;
	if (lossy) {
		w->loss = 30;
		w->duplicate = 10;
		w->jitter_us = 40000;
	}
	for (int i = 0; i < TEXTS; i++) {
		char text[16];

		snprintf(text, sizeof(text), "a%d", i);
		assert_true(rk_client_send(alice->client, "bob", text, strlen(text)) > 0);
	}
	while (rk_client_outbox_pending(alice->client) > 0 || bob->crashed || next < TEXTS ||
	       rk_client_outbox_pending(bob->client) > 0 || told(alice, "id-of-message") < TEXTS ||
	       server_waiting(w->server, "bob") > 0) {
		assert_true(w->now_us < UINT64_C(1000) * 1000000);
		next = bob_says(bob, next);
		if (bob->crashed && restarted == 0) {
			restarted = w->now_us + 300000;
		} else if (bob->crashed && w->now_us >= restarted) {
			person_stop(bob);
			bob->crash_at = 0;
			person_start(w, bob);
		}
		world_run(w, 20);
	}
	world_run(w, 40000);
	steps = bob->steps;
	assert_order(alice, "bob", lossy ? "lossy" : "good", at);
	assert_order(bob, "alice", lossy ? "lossy" : "good", at);
	assert_int_equal(told(alice, "message redelivered"), 0);
	assert_int_equal(told(alice, "refused") + told(bob, "refused"), 0);
	world_free(w);
	return steps;
}

static void
test_every_step(void **state)
{
	uint64_t steps = conversation(0, false);

	(void)state;
	assert_in_range(steps, 50, 2000);
	for (uint64_t at = 1; at <= steps; at++)
		conversation(at, false);
}

static void
test_every_step_lossy(void **state)
{
	uint64_t steps = conversation(0, true);

	(void)state;
	for (uint64_t at = 1; at <= steps; at++)
		conversation(at, true);
}

static int
setup(void **state)
{
	(void)state;
	return mkdtemp(directory) != NULL ? 0 : -1;
}

static int
teardown(void **state)
{
	char path[128];

	(void)state;
	snprintf(path, sizeof(path), "%s/bob.db", directory);
	remove_store(path);
	return rmdir(directory);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_step),
		cmocka_unit_test(test_every_step_lossy),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
