// SPDX-License-Identifier: BSD-3-Clause
/* What operators see of users, sessions, buddies and presence, and draining. */
#include "harness.h"

#include <string.h>

struct seen {
	unsigned count;
	struct server_session session;
	struct server_buddy buddy[4];
	char names[4][40];
};

static bool
on_session(void *arg, const struct server_session *info)
{
	struct seen *seen = arg;

	seen->session = *info;
	seen->count++;
	return true;
}

static unsigned
sessions(struct harness *h, struct server_session_filter f)
{
	struct seen seen = {0};
	int count = server_sessions_list(h->server, &f, 0, 0, on_session, &seen);

	assert_int_equal(count, seen.count);
	return seen.count;
}

static void
test_sessions(void **state)
{
	struct harness *h = *state;
	struct client a, b, stranger;
	struct seen seen = {0};
	struct server_session_filter f = {.worker = -1};

	client_init(&a, 0);
	client_init(&b, 1);
	client_init(&stranger, 1);
	client_register(h, &a, "alice", "secret word");
	client_register(h, &b, "bob", "secret word");
	assert_true(client_login(h, &stranger, ""));
	assert_int_equal(sessions(h, f), 3);
	assert_int_equal(sessions(h, (struct server_session_filter){.worker = 0}), 1);
	assert_int_equal(sessions(h, (struct server_session_filter){.worker = 1}), 2);
	assert_int_equal(sessions(h, (struct server_session_filter){.worker = -1, .status = "restricted"}), 1);
	assert_int_equal(sessions(h, (struct server_session_filter){.worker = -1, .name = "Bob"}), 1);
	assert_int_equal(sessions(h, (struct server_session_filter){.worker = -1, .sid = a.sid}), 1);
	assert_int_equal(sessions(h, (struct server_session_filter){.worker = 1, .sid = a.sid}), 0);

	/* By address: the whole one, one that differs in its last bit, and prefixes without that bit. */
	f.sid = a.sid;
	server_sessions_list(h->server, &f, 0, 0, on_session, &seen);
	f.by_address = true;
	memcpy(f.address.ip, seen.session.peer.ip, sizeof(f.address.ip));
	f.address.bits = 128;
	assert_int_equal(sessions(h, f), 1);
	f.address.ip[15] ^= 1;
	assert_int_equal(sessions(h, f), 0);
	f.address.bits = 127;
	assert_int_equal(sessions(h, f), 1);
	f.address.bits = 0;
	assert_int_equal(sessions(h, f), 1);
}

static bool
on_buddy(void *arg, const struct server_buddy *b)
{
	struct seen *seen = arg;

	seen->buddy[seen->count] = *b;
	strcpy(seen->names[seen->count++], b->name);
	return true;
}

static bool
on_presence(void *arg, const struct server_presence *p)
{
	struct seen *seen = arg;

	assert_string_equal(p->shown, "online");
	strcpy(seen->names[seen->count++], p->name);
	return true;
}

static void
test_buddies_and_presence(void **state)
{
	struct harness *h = *state;
	struct client a, b, c;
	struct seen seen = {0};

	client_init(&a, 0);
	client_init(&b, 1);
	client_init(&c, 0);
	client_register(h, &b, "bob", "secret word");
	client_register(h, &a, "alice", "secret word");
	client_register(h, &c, "carol", "secret word");
	befriend(h, &a, "alice", &b, "bob");
	client_add(h, &a, "carol", "hello");
	assert_int_equal(server_buddies_show(h->server, "alice", on_buddy, &seen), 0);
	assert_int_equal(seen.count, 2);
	assert_string_equal(seen.names[0], "bob");
	assert_string_equal(seen.buddy[0].state, "buddy");
	assert_string_equal(seen.buddy[0].presence, "online");
	assert_string_equal(seen.names[1], "carol");
	assert_string_equal(seen.buddy[1].state, "requested");
	seen.count = 0;
	assert_int_equal(server_buddies_show(h->server, "carol", on_buddy, &seen), 0);
	assert_int_equal(seen.count, 1);
	assert_string_equal(seen.buddy[0].state, "pending");
	assert_int_equal(server_buddies_show(h->server, "nobody", on_buddy, &seen), -ENOENT);

	seen.count = 0;
	assert_int_equal(server_presence_list(h->server, 1, 0, on_presence, &seen), 2);
	assert_string_equal(seen.names[0], "bob");
	assert_string_equal(seen.names[1], "carol");
	seen.count = 0;
	assert_int_equal(server_presence_list(h->server, 0, 1, on_presence, &seen), 1);
}

static bool
on_user(void *arg, const struct server_user *u)
{
	struct seen *seen = arg;

	assert_string_equal(u->name, "alice");
	assert_int_equal(u->sessions, 1);
	seen->count += 100;
	return true;
}

static bool
on_device(void *arg, const struct server_device *d)
{
	struct seen *seen = arg;

	assert_true(d->sid != SESSION_ID_NONE);
	seen->count++;
	return true;
}

static void
test_user(void **state)
{
	struct harness *h = *state;
	struct client a, other;
	struct seen seen = {0};

	client_init(&a, 0);
	client_init(&other, 0);
	client_register(h, &a, "alice", "secret word");
	client_register(h, &other, "alicia", "secret word");
	assert_int_equal(server_user_show(h->server, "Alice", on_user, on_device, &seen), 0);
	assert_int_equal(seen.count, 101);
	assert_int_equal(server_user_show(h->server, "ali", on_user, on_device, &seen), -ENOENT);
}

static void
done(void *arg, int result, const char *text)
{
	(void)text;
	*(int *)arg = result;
}

static void
enable(struct harness *h, const char *name, bool on)
{
	int result = 1;
	char error[128];

	assert_int_equal(server_user_enable(h->server, name, on, done, &result, error, sizeof(error)), 0);
	harness_settle(h);
	assert_int_equal(result, 0);
}

static void
test_disabled(void **state)
{
	struct harness *h = *state;
	struct client a, b, phone;
	char error[128];

	client_init(&a, 0);
	client_init(&b, 1);
	client_init(&phone, 0);
	client_register(h, &a, "alice", "secret word");
	client_register(h, &b, "bob", "secret word");
	befriend(h, &a, "alice", &b, "bob");
	enable(h, "Alice", false);
	enable(h, "alice", false); /* twice is once */
	assert_int_equal(sessions(h, (struct server_session_filter){.worker = -1, .name = "alice"}), 0);
	/* Neither the device nor the password lets anybody in. */
	assert_true(client_login(h, &a, ""));
	assert_int_equal(a.result, ROOKERY__LOGIN_RESULT__LOGIN_RESTRICTED);
	assert_int_equal(client_enrol(h, &a, "alice", "secret word"), ROOKERY__CODE__CODE_PASSWORD_WRONG);
	assert_true(client_login(h, &phone, ""));
	assert_int_equal(client_enrol(h, &phone, "alice", "secret word"), ROOKERY__CODE__CODE_PASSWORD_WRONG);
	/* What people write to her waits. */
	assert_int_equal(store_message(h, &b, a.user, 77, "later").ok, 1);
	enable(h, "alice", true);
	assert_int_equal(client_enrol(h, &a, "alice", "secret word"), ROOKERY__CODE__CODE_OK);
	assert_int_equal(sessions(h, (struct server_session_filter){.worker = -1, .name = "alice"}), 1);
	assert_int_equal(server_user_enable(h->server, "nobody", true, done, NULL, error, sizeof(error)), -ENOENT);
}

static void
test_drain(void **state)
{
	struct harness *h = *state;
	struct client a, b, stranger;
	const struct server_session_filter all = {.worker = -1};

	client_init(&a, 0);
	client_init(&b, 1);
	client_init(&stranger, 0);
	client_register(h, &a, "alice", "secret word");
	client_register(h, &b, "bob", "secret word");
	server_session_kick(h->server, b.sid, NULL);
	b.timestamp++; /* a kick takes one */
	harness_drain(h, true);
	/* Who has a session goes on, also with a login whose answer was lost. */
	assert_true(client_login_again(h, &a));
	assert_int_equal(sessions(h, all), 1);
	assert_int_equal(client_add(h, &a, "bob", ""), ROOKERY__CODE__CODE_OK);
	/* Nobody else comes in, known or not. */
	assert_true(client_login(h, &b, ""));
	assert_int_equal(b.result, ROOKERY__LOGIN_RESULT__LOGIN_BUSY);
	assert_true(client_login(h, &stranger, ""));
	assert_int_equal(stranger.result, ROOKERY__LOGIN_RESULT__LOGIN_BUSY);
	assert_int_equal(sessions(h, all), 1);
	/* Control may be started again meanwhile. */
	harness_restart(h, 1);
	assert_true(client_login(h, &b, ""));
	assert_int_equal(b.result, ROOKERY__LOGIN_RESULT__LOGIN_BUSY);
	harness_drain(h, false);
	assert_true(client_login(h, &b, ""));
	assert_int_equal(b.result, ROOKERY__LOGIN_RESULT__LOGIN_OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sessions, harness_setup, harness_teardown),
		cmocka_unit_test_setup_teardown(test_buddies_and_presence, harness_setup, harness_teardown),
		cmocka_unit_test_setup_teardown(test_user, harness_setup, harness_teardown),
		cmocka_unit_test_setup_teardown(test_disabled, harness_setup, harness_teardown),
		cmocka_unit_test_setup_teardown(test_drain, harness_setup, harness_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
