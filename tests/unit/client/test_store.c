/* SPDX-License-Identifier: BSD-3-Clause */
/* The store and the device's key file; the numbers' window; names. */
#include "client/core.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[] = "/tmp/rookery-store-XXXXXX";
static char path[128];

static void
test_window(void **state)
{
	static struct window w;
	static bool seen[20000];
	uint64_t random = 42;

	(void)state;
	assert_true(window_fresh(&w, 1, false));
	/* Against a plain array, with jumps of all sizes. */
	for (int i = 0; i < 200000; i++) {
		uint64_t n;
		bool old;

		random = random * 6364136223846793005u + 1442695040888963407u;
		n = w.highest + 600 - (random >> 33) % 1700;
		if (n < 1 || n > w.highest + 600)
			n = 1;
		if ((random >> 20) % 500 == 0)
			n = w.highest + 3000;
		if (n >= 20000)
			break;
		old = n <= w.highest && w.highest - n >= REPLAY_BITS;
		assert_int_equal(window_fresh(&w, n, true), old || !seen[n]);
		assert_int_equal(window_fresh(&w, n, false), !old && !seen[n]);
		window_record(&w, n);
		if (!old)
			seen[n] = true;
	}
	assert_true(w.highest > 5000);
}

static void
test_names(void **state)
{
	(void)state;
	for (int i = 0; i < 300; i++) {
		assert_non_null(rk_status_name((enum rk_status)i));
		assert_non_null(rk_buddy_state_name((enum rk_buddy_state)i));
		assert_non_null(rk_level_name((enum rk_level)i));
		assert_non_null(rk_refused_name((enum rk_refused_reason)i));
		assert_non_null(rk_code_name((enum rk_code)i));
		assert_non_null(rk_closed_name((enum rk_closed_reason)i));
	}
	assert_string_equal(rk_refused_name(RK_REFUSED_TOO_LARGE), "too_large");
	assert_string_equal(rk_level_name(RK_LEVEL_DELIVERED), "delivered");
	assert_string_equal(rk_code_name(RK_CODE_PASSWORD_WRONG), "password_wrong");
	assert_string_equal(rk_closed_name(RK_CLOSED_LOGOUT), "logout");
	assert_true(name_valid("a") && name_valid("alice.b_c-9"));
	assert_false(name_valid(NULL) || name_valid("") || name_valid("9a") || name_valid("aB") ||
		     name_valid("a b"));
}

static int
collect(void *arg, const struct rk_outgoing *m)
{
	struct rk_outgoing *list = arg;

	for (int i = 0; i < 4; i++) {
		if (list[i].local == 0) {
			list[i] = *m;
			list[i].text = NULL;
			return m->local == 99 ? 7 : 0;
		}
	}
	return 0;
}

static int
note_conversation(void *arg, const char *name, const struct rk_conversation *v)
{
	char *names = arg;
	size_t len = strlen(names);

	snprintf(names + len, 64 - len, "%s/%d%d ", name, (int)v->tail, (int)v->nudge);
	return 0;
}

static int
refuse_conversation(void *arg, const char *name, const struct rk_conversation *v)
{
	(void)arg;
	(void)name;
	(void)v;
	return 7;
}

static void
exercise(struct rk_store *s)
{
	struct rk_outgoing m = {.local = 3,
				.first_id = UINT64_MAX,
				.prev = 8,
				.made_ms = 5,
				.fragments = 2,
				.level = 1,
				.reason = 2,
				.to = "bob",
				.text = "a\0b",
				.text_len = 3},
			   list[4] = {0};
	struct rk_conversation v;
	uint8_t key[RK_KEY_SIZE] = {9}, back[RK_KEY_SIZE];
	char name[RK_NAME_MAX + 1], names[64] = "";
	uint64_t a = 0;
	void *st = s->state;

	assert_int_equal(s->counter_get(st, RK_COUNTER_MESSAGE, &a), -ENOENT);
	assert_int_equal(s->counter_put(st, RK_COUNTER_MESSAGE, UINT64_MAX), 0);
	assert_int_equal(s->counter_get(st, RK_COUNTER_MESSAGE, &a), 0);
	assert_true(a == UINT64_MAX);
	assert_int_equal(s->high_get(st, UINT64_MAX, &a), -ENOENT);
	assert_int_equal(s->high_put(st, UINT64_MAX, 6), 0);
	assert_int_equal(s->high_put(st, UINT64_MAX, 7), 0);
	assert_int_equal(s->high_get(st, UINT64_MAX, &a), 0);
	assert_int_equal(a, 7);
	assert_int_equal(s->showing_get(st, 1, &a), -ENOENT);
	assert_int_equal(s->showing_put(st, 1, 2), 0);
	assert_int_equal(s->showing_put(st, 3, 4), 0);
	assert_int_equal(s->showing_put(st, 3, 5), 0);
	assert_int_equal(s->showing_get(st, 1, &a), 0);
	assert_int_equal(a, 2);
	assert_int_equal(s->showing_get(st, 3, &a), 0);
	assert_int_equal(a, 5);
	assert_int_equal(s->name_find(st, "bob", &a), -ENOENT);
	assert_int_equal(s->name_put(st, 5, "bob"), 0);
	assert_int_equal(s->name_put(st, 6, "bob"), 0); /* the account was made anew */
	assert_int_equal(s->name_get(st, 5, name), -ENOENT);
	assert_int_equal(s->name_get(st, 6, name), 0);
	assert_string_equal(name, "bob");
	assert_int_equal(s->name_find(st, "bob", &a), 0);
	assert_int_equal(a, 6);
	assert_int_equal(s->name_put(st, 0, "bob"), 0);
	assert_int_equal(s->name_find(st, "bob", &a), -ENOENT);
	assert_int_equal(s->server_key_get(st, back), -ENOENT);
	assert_int_equal(s->server_key_put(st, key), 0);
	assert_int_equal(s->server_key_get(st, back), 0);
	assert_memory_equal(key, back, sizeof(key));
	assert_int_equal(s->conversation_get(st, "bob", &v), -ENOENT);
	assert_int_equal(s->conversation_put(st, "bob", &(struct rk_conversation){.tail = 1, .nudge = 2}), 0);
	assert_int_equal(s->conversation_get(st, "bob", &v), 0);
	assert_int_equal(v.tail * 10 + v.nudge, 12);
	assert_int_equal(s->conversation_put(st, "cyd", &(struct rk_conversation){.tail = 3}), 0);
	assert_int_equal(s->conversation_put(st, "dan", &(struct rk_conversation){.tail = 4, .nudge = 3}), 0);
	assert_int_equal(s->conversation_list(st, note_conversation, names), 0);
	assert_true(strcmp(names, "bob/12 dan/43 ") == 0 || strcmp(names, "dan/43 bob/12 ") == 0);
	assert_int_equal(s->conversation_list(st, refuse_conversation, NULL), 7);

	/* All or nothing. */
	assert_int_equal(s->begin(st), 0);
	assert_int_equal(s->outbox_put(st, &m), 0);
	assert_int_equal(s->rollback(st), 0);
	assert_int_equal(s->outbox_list(st, collect, list), 0);
	assert_int_equal(list[0].local, 0);
	assert_int_equal(s->begin(st), 0);
	assert_int_equal(s->outbox_put(st, &m), 0);
	m.local = 1;
	assert_int_equal(s->outbox_put(st, &m), 0);
	m.local = 99;
	assert_int_equal(s->outbox_put(st, &m), 0);
	m.local = 100;
	assert_int_equal(s->outbox_put(st, &m), 0);
	assert_int_equal(s->commit(st), 0);
	assert_int_equal(s->outbox_list(st, collect, list), 7);
	assert_int_equal(list[0].local * 10000 + list[1].local * 100 + list[2].local, 10399);
	assert_int_equal(list[3].local, 0);
	assert_true(list[1].first_id == UINT64_MAX && list[1].prev == 8 && list[1].fragments == 2 &&
		    list[1].level == 1 && list[1].reason == 2 && list[1].text_len == 3);
	assert_string_equal(list[1].to, "bob");
	assert_int_equal(s->outbox_delete(st, 1), 0);
	assert_int_equal(s->outbox_delete(st, 1), 0);
}

static void
test_memory(void **state)
{
	struct rk_store *s = rk_store_memory();

	(void)state;
	assert_non_null(s);
	exercise(s);
	rk_store_close(s);
	rk_store_close(NULL);
}

static void
test_file(void **state)
{
	struct rk_store *s, *second;
	struct rk_outgoing list[4] = {0};
	struct stat st;
	uint64_t a = 0;
	int status;
	pid_t child;

	(void)state;
	assert_int_equal(rk_store_open(&s, path), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	exercise(s);
	/* Another process. */
	child = fork();
	if (child == 0)
		_exit(rk_store_open(&second, path) == -EBUSY ? 0 : 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(rk_store_open(&second, path), -EBUSY);
	assert_null(second);
	rk_store_close(s);

	/* All of it is still there. */
	assert_int_equal(rk_store_open(&s, path), 0);
	assert_int_equal(s->high_get(s->state, UINT64_MAX, &a), 0);
	assert_int_equal(a, 7);
	assert_int_equal(s->outbox_list(s->state, collect, list), 7);
	assert_int_equal(list[0].local, 3);
	assert_int_equal(s->forget(s->state), 0);
	assert_int_equal(s->high_get(s->state, UINT64_MAX, &a), -ENOENT);
	assert_int_equal(s->counter_get(s->state, RK_COUNTER_MESSAGE, &a), 0);
	rk_store_close(s);
}

static int
unreadable(void *state, const char *name, struct rk_conversation *v)
{
	(void)state;
	(void)name;
	(void)v;
	return -EIO;
}

static struct rk_config
config_of(struct rk_store *s)
{
	static const uint8_t secret[RK_KEY_SIZE] = {1}, key[RK_KEY_SIZE] = {2};

	return (struct rk_config){.user = "ada", .device_secret = secret, .server_key = key, .store = s};
}

/* A text that follows nothing, beside others on their way, would take their place: rather none. */
static void
test_unreadable_conversation(void **state)
{
	struct rk_store *memory = rk_store_memory(), s = *memory;
	struct rk_config cfg = config_of(&s);
	struct rk_client *c;

	(void)state;
	s.conversation_get = unreadable;
	assert_int_equal(rk_client_new(&c, &cfg), 0);
	assert_int_equal(rk_client_send(c, "bob", "one", 3), -EIO);
	assert_int_equal(rk_client_outbox_pending(c), 0);
	s.conversation_get = memory->conversation_get;
	assert_int_equal(rk_client_send(c, "bob", "one", 3), 1);
	rk_client_free(c);
	s.conversation_get = unreadable;
	assert_int_equal(rk_client_new(&c, &cfg), -EIO);
	assert_null(c);
	s.conversation_get = memory->conversation_get;
	assert_int_equal(rk_client_new(&c, &cfg), 0);
	assert_int_equal(rk_client_outbox_pending(c), 1);
	rk_client_free(c);
	rk_store_close(memory);
}

/* A client that was killed before it could tell bob that message 8 was refused says so after its start, without a text to bob on its way. */
static void
test_nudge_after_restart(void **state)
{
	struct rk_store *s = rk_store_memory();
	struct rk_config cfg = config_of(s);
	struct rk_outgoing list[4] = {0};
	struct rk_conversation v;
	struct rk_client *c;

	(void)state;
	assert_int_equal(s->counter_put(s->state, RK_COUNTER_DEVICE, 3), 0);
	assert_int_equal(s->counter_put(s->state, RK_COUNTER_MESSAGE, 10), 0);
	assert_int_equal(s->conversation_put(s->state, "bob", &(struct rk_conversation){.tail = 9, .nudge = 8}), 0);
	assert_int_equal(s->conversation_put(s->state, "cyd", &(struct rk_conversation){.tail = 10}), 0);
	assert_int_equal(rk_client_new(&c, &cfg), 0);
	assert_int_equal(s->outbox_list(s->state, collect, list), 0);
	assert_string_equal(list[0].to, "bob");
	assert_true(list[0].nudge == 1 && list[0].first_id == 11 && list[0].prev == 9);
	assert_int_equal(list[1].local, 0);
	assert_int_equal(s->conversation_get(s->state, "bob", &v), 0);
	assert_true(v.tail == 11 && v.nudge == 8);
	assert_null(client_check(c));
	rk_client_free(c);
	/* Once: it is in the outbox now. */
	assert_int_equal(rk_client_new(&c, &cfg), 0);
	memset(list, 0, sizeof(list));
	assert_int_equal(s->outbox_list(s->state, collect, list), 0);
	assert_true(list[0].nudge == 1 && list[1].local == 0);
	rk_client_free(c);
	rk_store_close(s);
}

static void
refuse(struct rk_client *c, message_id_t id)
{
	uint8_t buf[16];
	struct frame f = {.type = FRAME_RECEIPT, .receipt = {.level = RECEIPT_REFUSED, .reason = REFUSE_BLOCKED, .count = 1}};
	size_t i = 0;

	for (size_t at = 0; at < 8; at++)
		buf[at] = (uint8_t)(id >> (56 - 8 * at));
	f.receipt.ids = buf;
	while (c->outbox.all[i]->row.first_id != id)
		i++;
	c->outbox.all[i]->fragments[0].sends = 1;
	outbox_receipt(c, &f.receipt);
}

/* A text that an earlier run sent may have arrived although it is refused now: what follows it must not wait for the answer that this
 * was. Over restarts, and when the NUDGE itself is refused. */
static void
test_nudge_for_a_text_of_before(void **state)
{
	struct rk_store *s = rk_store_memory();
	struct rk_config cfg = config_of(s);
	struct rk_conversation v;
	struct rk_client *c;

	(void)state;
	assert_int_equal(s->counter_put(s->state, RK_COUNTER_DEVICE, 3), 0);
	assert_int_equal(s->counter_put(s->state, RK_COUNTER_MESSAGE, 8), 0);
	assert_int_equal(s->conversation_put(s->state, "bob", &(struct rk_conversation){.tail = 8}), 0);
	assert_int_equal(s->outbox_put(s->state, &(struct rk_outgoing){.local = 1, .first_id = 8, .prev = 4, .fragments = 1,
		.to = "bob", .text = "x", .text_len = 1}), 0);
	assert_int_equal(rk_client_new(&c, &cfg), 0);
	refuse(c, 8);
	assert_int_equal(s->conversation_get(s->state, "bob", &v), 0);
	assert_true(v.nudge == 8 && v.tail == 9);
	rk_client_free(c);
	assert_int_equal(rk_client_new(&c, &cfg), 0);
	refuse(c, 9);
	assert_int_equal(rk_client_send(c, "bob", "y", 1), 3);
	refuse(c, 10);
	assert_int_equal(s->conversation_get(s->state, "bob", &v), 0);
	assert_true(v.nudge == 8 && v.tail == 4);
	assert_null(client_check(c));
	rk_client_free(c);
	rk_store_close(s);
}

static void
write_file(const char *name, const char *text, mode_t mode)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, mode);

	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void
test_not_a_store(void **state)
{
	struct rk_store *s;
	char name[160];

	(void)state;
	snprintf(name, sizeof(name), "%s/other", directory);
	write_file(name,
		   "This is no SQLite file, but long enough to be one, one might think at first sight. "
		   "This is no SQLite file, but long enough to be one, one might think at first sight.",
		   0600);
	assert_int_equal(rk_store_open(&s, name), -EPROTO);
	assert_null(s);
	unlink(name);
	snprintf(name, sizeof(name), "%s/none/store", directory);
	assert_int_equal(rk_store_open(&s, name), -ENOENT);
}

static void
test_device_key(void **state)
{
	static const char *const bad[] = {"", "00", "zz\n",
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1g\n",
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\nmore",
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f2"};
	uint8_t one[RK_KEY_SIZE], two[RK_KEY_SIZE] = {0};
	char name[160];
	struct stat st;

	(void)state;
	snprintf(name, sizeof(name), "%s/device.key", directory);
	assert_int_equal(rk_device_key_file(name, one), 0);
	assert_int_equal(stat(name, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(rk_device_key_file(name, two), 0);
	assert_memory_equal(one, two, sizeof(one));
	assert_int_equal(chmod(name, 0640), 0);
	assert_int_equal(rk_device_key_file(name, two), -EACCES);
	assert_int_equal(unlink(name), 0);
	assert_int_equal(rk_device_key_file(name, two), 0);
	assert_memory_not_equal(one, two, sizeof(one));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		write_file(name, bad[i], 0600);
		assert_int_equal(rk_device_key_file(name, two), -EPROTO);
	}
	write_file(name, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", 0600);
	assert_int_equal(rk_device_key_file(name, two), 0);
	assert_int_equal(two[31], 31);
	unlink(name);
	snprintf(name, sizeof(name), "%s/none/device.key", directory);
	assert_int_equal(rk_device_key_file(name, two), -ENOENT);
}

static int
setup(void **state)
{
	(void)state;
	if (mkdtemp(directory) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/store", directory);
	return handshake_init();
}

static int
teardown(void **state)
{
	static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
	char name[160];

	(void)state;
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
		unlink(name);
	}
	return rmdir(directory);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_unreadable_conversation),
		cmocka_unit_test(test_nudge_after_restart),
		cmocka_unit_test(test_nudge_for_a_text_of_before),
		cmocka_unit_test(test_not_a_store),
		cmocka_unit_test(test_device_key),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
