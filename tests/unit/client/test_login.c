/* SPDX-License-Identifier: BSD-3-Clause */
/* Keys, login, enrolment, the end of sessions, and how a client notices that the server is gone. */
#include "world.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void
test_register_then_login(void **state)
{
	struct world *w = world_new(1);
	struct person *p = person_registered(w, "alice");

	(void)state;
	assert_string_equal(told_nth(p, "login ", 0), "login alice 192.0.2.1:40000");
	assert_int_equal(told(p, "enrol_needed"), 0);
	assert_true(rk_client_online(p->client));
	assert_int_equal(server_accounts(w->server), 1);
	/* The same again, with the device key alone. */
	person_stop(p);
	forget_log(p);
	person_start(w, p);
	world_until(w, p, "login ", 1, 5000);
	assert_int_equal(server_accounts(w->server), 1);
	assert_int_equal(rk_client_user_id(p->client), 1);
	world_free(w);
}

static void
test_enrol_needed(void **state)
{
	struct world *w = world_new(2);
	struct person *alice = person_registered(w, "alice"), *second = person_new(w, "alice", NULL);

	(void)state;
	(void)alice;
	person_start(w, second);
	world_until(w, second, "enrol_needed", 1, 5000);
	/* Nobody answers for minutes: restricted sessions come and go, the question is asked once. */
	for (int i = 0; i < 3; i++) {
		world_run(w, 70000);
		server_forget_sessions(w->server);
	}
	assert_int_equal(told(second, "enrol_needed"), 1);
	assert_int_equal(rk_client_enrol(second->client, "wrong password"), 0);
	world_until(w, second, "login_refused password_wrong", 1, 20000);
	assert_false(rk_client_online(second->client));
	assert_int_equal(rk_client_enrol(second->client, ""), -EINVAL);
	assert_int_equal(rk_client_enrol(second->client, "password"), 0);
	world_until(w, second, "login alice", 1, 5000);
	assert_true(rk_client_device_id(second->client) != rk_client_device_id(alice->client));
	world_free(w);
}

static void
test_refused_registrations(void **state)
{
	struct world *w = world_new(3);
	struct person *alice = person_registered(w, "alice"), *second = person_new(w, "alice", NULL);
	struct person *other = person_new(w, "other", NULL);

	(void)state;
	person_open(w, second);
	rk_client_register(second->client, "password");
	rk_client_login(second->client);
	world_until(w, second, "login_refused name_taken", 1, 5000);
	/* Somebody else's name with alice's device key. */
	memcpy(other->secret, alice->secret, sizeof(other->secret));
	person_start(w, other);
	world_until(w, other, "login_refused wrong_user", 1, 5000);
	world_run(w, 10000);
	assert_int_equal(told(other, "login_refused"), 1);
	world_free(w);
}

static void
test_restricted_session_expires(void **state)
{
	struct world *w = world_new(4);
	struct person *p = person_new(w, "alice", NULL);

	(void)state;
	person_start(w, p);
	world_until(w, p, "enrol_needed", 1, 5000);
	server_kick(w->server, "", 0); /* nobody */
	server_forget_sessions(w->server);
	assert_int_equal(rk_client_register(p->client, "password"), 0);
	/* The request meets no session; RESET; LOGIN; the credential is still there. */
	world_until(w, p, "login alice", 1, 20000);
	world_free(w);
}

static void
test_first_use(void **state)
{
	struct world *w = world_new(5);
	struct person *p = person_new(w, "alice", NULL), *careful = person_new(w, "bob", NULL);

	(void)state;
	p->no_key = true;
	person_start(w, p);
	world_until(w, p, "enrol_needed", 1, 5000);
	assert_int_equal(told(p, "key accepted"), 1);
	assert_int_equal(rk_client_answer_key(p->client, true), -ENOENT);
	careful->no_key = careful->ask_new_key = true;
	person_start(w, careful);
	world_until(w, careful, "key new", 1, 5000);
	world_run(w, 20000);
	assert_int_equal(told(careful, "enrol_needed"), 0);
	assert_int_equal(rk_client_answer_key(careful->client, true), 0);
	world_until(w, careful, "enrol_needed", 1, 5000);
	/* Pinned: nothing is asked the next time. */
	person_stop(careful);
	forget_log(careful);
	person_start(w, careful);
	world_until(w, careful, "enrol_needed", 1, 5000);
	assert_int_equal(told(careful, "key"), 0);
	world_free(w);
}

static void
test_changed_key(void **state)
{
	struct world *w = world_new(6);
	struct person *p = person_new(w, "alice", NULL);

	(void)state;
	p->no_key = true;
	person_start(w, p);
	world_until(w, p, "enrol_needed", 1, 5000);
	person_stop(p);
	forget_log(p);
	server_new_key(w->server);
	person_start(w, p);
	world_until(w, p, "key changed", 1, 5000);
	world_run(w, 60000);
	assert_int_equal(told(p, "key changed"), 1); /* told once, refused by default */
	assert_int_equal(told(p, "enrol_needed"), 0);
	assert_int_equal(rk_client_answer_key(p->client, true), 0);
	world_until(w, p, "enrol_needed", 1, 10000);
	world_free(w);
}

static void
test_wrong_configured_key(void **state)
{
	struct world *w = world_new(7);
	struct person *p = person_new(w, "alice", NULL);
	struct handshake_keypair other;

	(void)state;
	handshake_keypair_generate(&other);
	p->server_key = other.public;
	person_start(w, p);
	world_until(w, p, "disconnected", 1, 10000);
	world_until(w, p, "key changed", 1, 5000);
	assert_int_equal(rk_client_answer_key(p->client, true), -EPERM);
	world_run(w, 30000);
	assert_int_equal(server_logins(w->server), 0);
	world_free(w);
}

static void
test_low_order_key(void **state)
{
	static const uint8_t zero[RK_KEY_SIZE];
	struct world *w = world_new(8);
	struct person *p = person_new(w, "alice", NULL);

	(void)state;
	p->server_key = zero;
	person_start(w, p);
	assert_int_equal(told(p, "error key_changed"), 1);
	world_run(w, 5000);
	assert_int_equal(w->sent, 0);
	world_free(w);
}

static void
test_cookie(void **state)
{
	struct world *w = world_new(9);
	struct person *p = person_new(w, "alice", NULL);

	(void)state;
	server_demand_cookie(w->server, true);
	person_start(w, p);
	world_until(w, p, "enrol_needed", 1, 5000);
	assert_int_equal(server_cookies(w->server), 1);
	world_free(w);
}

/* A COOKIE that names a time: not a LOGIN before, one soon after. */
static void
test_cookie_with_a_wait(void **state)
{
	struct world *w = world_new(9);
	struct person *p = person_new(w, "alice", NULL);

	(void)state;
	server_cookie_wait(w->server, 20000);
	person_start(w, p);
	world_run(w, 19000);
	assert_int_equal(server_cookies(w->server), 1);
	assert_int_equal(told(p, "enrol_needed"), 0);
	world_run(w, 2000);
	assert_int_equal(server_cookies(w->server), 2);
	server_cookie_wait(w->server, 0);
	world_until(w, p, "enrol_needed", 1, 21000);
	/* Whatever it says, not for ever. */
	person_stop(p);
	server_cookie_wait(w->server, 6000000);
	person_start(w, p);
	world_run(w, 1000);
	server_cookie_wait(w->server, 0);
	world_until(w, p, "enrol_needed", 2, 61000);
	world_free(w);
}

/* A request that was turned away: sent again when the time has come and not before, and answered in the end. */
static void
test_slow_down(void **state)
{
	struct world *w = world_new(9);
	struct person *p = person_registered(w, "alice");

	(void)state;
	world_run(w, 2000);
	server_slow_requests(w->server, 3, 20000);
	assert_true(rk_client_set_presence(p->client, RK_STATUS_AWAY, "") > 0);
	world_run(w, 19000);
	assert_int_equal(server_slow_requests_left(w->server), 2);
	assert_int_equal(told(p, "response"), 0);
	assert_int_equal(told(p, "disconnected"), 0);
	world_run(w, 2000);
	assert_int_equal(server_slow_requests_left(w->server), 1);
	server_slow_requests(w->server, 0, 0);
	world_until(w, p, "response", 1, 21000);
	world_free(w);
}

/* Copies each LOGIN, and answers it at once with a forged LOGIN_REPLY and a forged COOKIE. */
static bool
forge(struct world *w, struct person *p, bool to_server, const uint8_t *data, size_t len)
{
	uint8_t fake[200] = {WIRE_LOGIN_REPLY, WIRE_VERSION};

	(void)len;
	if (!to_server || data[0] != WIRE_LOGIN)
		return true;
	memcpy(fake + 4, data + 4, 8);
	for (size_t i = WIRE_PREFIX; i < sizeof(fake); i++)
		fake[i] = (uint8_t)world_random(w, 256);
	rk_client_input(p->client, w->now_us, w->wall_ms0, fake, sizeof(fake));
	fake[0] = WIRE_COOKIE;
	rk_client_input(p->client, w->now_us, w->wall_ms0, fake, HANDSHAKE_COOKIE_SIZE);
	return true;
}

static void
test_forged_answers(void **state)
{
	struct world *w = world_new(10);
	struct person *p = person_new(w, "alice", NULL);
	struct rk_stats stats;

	(void)state;
	w->filter = forge;
	person_start(w, p);
	world_until(w, p, "enrol_needed", 1, 5000);
	rk_client_stats(p->client, &stats);
	assert_int_equal(stats.ignored, 2);
	assert_int_equal(stats.logins, 1);
	world_free(w);
}

static bool
count_logins(struct world *w, struct person *p, bool to_server, const uint8_t *data, size_t len)
{
	(void)p;
	if (to_server && data[0] == WIRE_LOGIN) {
		uint64_t *times = w->filter_arg;

		/* Within one attempt the same bytes. */
		if (times[0] > 0 && times[0] < 6) {
			assert_int_equal(len, w->last_login_len);
			assert_memory_equal(data, w->last_login, len);
		}
		memcpy(w->last_login, data, len);
		w->last_login_len = len;
		times[0]++;
		times[times[0] % 32] = w->now_us;
	}
	return true;
}

static void
test_retransmission(void **state)
{
	struct world *w = world_new(11);
	struct person *p = person_new(w, "alice", NULL);
	uint64_t times[32] = {0};

	(void)state;
	w->filter = count_logins;
	w->filter_arg = times;
	server_silent(w->server, true);
	person_start(w, p);
	world_run(w, 8000);
	assert_int_equal(times[0], 6);
	assert_int_equal(times[2] - times[1], 250000);
	assert_int_equal(times[3] - times[2], 500000);
	assert_int_equal(times[4] - times[3], 1000000);
	assert_int_equal(times[5] - times[4], 2000000);
	assert_int_equal(times[6] - times[5], 4000000);
	assert_int_equal(told(p, "disconnected"), 1);
	server_silent(w->server, false);
	world_until(w, p, "enrol_needed", 1, 10000);
	assert_int_equal(told(p, "resumed"), 1);
	world_free(w);
}

static void
test_lost_reply(void **state)
{
	struct world *w = world_new(12);
	struct person *p = person_new(w, "alice", NULL);

	(void)state;
	server_lose_last(w->server, true);
	person_start(w, p);
	world_run(w, 1000);
	assert_int_equal(server_logins(w->server), 1);
	server_lose_last(w->server, false);
	world_until(w, p, "enrol_needed", 1, 5000);
	/* The same LOGIN got the same reply: one session only. */
	assert_int_equal(server_logins(w->server), 1);
	world_free(w);
}

static void
test_version(void **state)
{
	struct world *w = world_new(13);
	struct person *p = person_new(w, "alice", NULL);

	(void)state;
	server_other_version(w->server, true);
	person_start(w, p);
	world_until(w, p, "error version", 1, 5000);
	world_run(w, 20000);
	assert_int_equal(told(p, "error"), 1);
	server_other_version(w->server, false);
	world_until(w, p, "enrol_needed", 1, 20000);
	world_free(w);
}

static void
test_busy_and_replayed(void **state)
{
	struct world *w = world_new(14);
	struct person *p = person_registered(w, "alice");

	(void)state;
	server_busy(w->server, 2);
	person_stop(p);
	forget_log(p);
	person_start(w, p);
	world_until(w, p, "login alice", 1, 5000);
	assert_true(w->now_us > 1400000);
	/* The clock goes back by a year, and the store with it. */
	person_stop(p);
	forget_log(p);
	w->wall_ms0 -= UINT64_C(365) * 24 * 3600 * 1000;
	p->store->counter_put(p->store->state, RK_COUNTER_LOGIN, 5);
	person_start(w, p);
	world_until(w, p, "login alice", 1, 5000);
	world_free(w);
}

static void
test_closed(void **state)
{
	static const struct {
		uint8_t reason;
		const char *told;
	} cases[] = {{CLOSE_KICKED, "closed kicked"}, {CLOSE_REVOKED, "closed revoked"},
		     {CLOSE_REPLACED, "closed replaced"}};
	struct world *w = world_new(15);
	struct person *p = person_registered(w, "alice");

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned before;

		forget_log(p);
		server_kick(w->server, "alice", cases[i].reason);
		world_until(w, p, cases[i].told, 1, 1000);
		before = server_logins(w->server);
		world_run(w, 120000);
		assert_int_equal(server_logins(w->server), before);
		assert_false(rk_client_online(p->client));
		/* Only when the application wants it. */
		rk_client_login(p->client);
		world_until(w, p, "login alice", 1, 5000);
	}
	forget_log(p);
	server_kick(w->server, "alice", CLOSE_EXPIRED);
	world_run(w, 5000);
	assert_int_equal(p->n_log, 1); /* a new session without a word but this: */
	assert_int_equal(told(p, "synced"), 1);
	assert_true(rk_client_online(p->client));
	world_free(w);
}

static void
test_replaced_by_itself(void **state)
{
	struct world *w = world_new(16);
	struct person *p = person_registered(w, "alice"), *twin = person_new(w, "alice", NULL);

	(void)state;
	memcpy(twin->secret, p->secret, sizeof(p->secret));
	twin->store = p->store;
	w->now_us += 1000000;
	person_start(w, twin);
	world_until(w, twin, "login alice", 1, 5000);
	world_until(w, p, "closed replaced", 1, 5000);
	world_run(w, 60000);
	assert_int_equal(told(twin, "closed"), 0);
	twin->store = NULL;
	rk_client_free(twin->client);
	twin->client = NULL;
	world_free(w);
}

static void
test_logout(void **state)
{
	struct world *w = world_new(17);
	struct person *p = person_registered(w, "alice");

	(void)state;
	rk_client_logout(p->client);
	world_run(w, 100);
	assert_int_equal(told(p, "closed logout"), 1);
	assert_int_equal(server_session(w->server, "alice"), SESSION_ID_NONE);
	world_run(w, 60000);
	assert_int_equal(server_session(w->server, "alice"), SESSION_ID_NONE);
	world_free(w);
}

static void
test_reset_hint(void **state)
{
	struct world *w = world_new(18);
	struct person *p = person_registered(w, "alice");
	uint8_t reset[WIRE_RESET_SIZE] = {WIRE_RESET, WIRE_VERSION};
	unsigned before = server_logins(w->server);

	(void)state;
	server_forget_sessions(w->server);
	world_run(w, 30000); /* the next heartbeat is answered with RESET */
	assert_int_equal(server_logins(w->server), before + 1);
	assert_true(rk_client_online(p->client));
	assert_int_equal(told(p, "disconnected"), 0);
	assert_int_equal(told(p, "login"), 1);
	/* A flood of forged hints for the right session: one LOGIN per second, and the session lives. */
	before = server_logins(w->server);
	for (int i = 0; i < 100; i++) {
		wire_prefix_write(&(struct wire_prefix){.type = WIRE_RESET, .version = WIRE_VERSION,
							.id = server_session(w->server, "alice")}, reset);
		rk_client_input(p->client, w->now_us, w->wall_ms0, reset, sizeof(reset));
		world_run(w, 10);
	}
	assert_true(server_logins(w->server) - before <= 2);
	assert_true(rk_client_online(p->client));
	/* For another session id: nothing. */
	before = server_logins(w->server);
	reset[11] ^= 1;
	world_run(w, 3000);
	rk_client_input(p->client, w->now_us, w->wall_ms0, reset, sizeof(reset));
	world_run(w, 3000);
	assert_int_equal(server_logins(w->server), before);
	world_free(w);
}

static void
test_heartbeat(void **state)
{
	struct world *w = world_new(19);
	struct person *p = person_registered(w, "alice");
	uint64_t before;

	(void)state;
	world_run(w, 1000);
	before = w->sent;
	world_run(w, 600000);
	assert_in_range(w->sent - before, 29, 31);
	assert_int_equal(server_logins(w->server), 1);
	assert_true(rk_client_online(p->client));
	world_free(w);
}

static void
test_disconnected_and_resumed(void **state)
{
	struct world *w = world_new(20);
	struct person *p = person_registered(w, "alice");
	bool rebind = false;

	(void)state;
	server_silent(w->server, true);
	world_until(w, p, "disconnected", 1, 40000);
	assert_false(rk_client_online(p->client));
	assert_true(rk_client_take_rebind(p->client));
	assert_false(rk_client_take_rebind(p->client));
	for (int i = 0; i < 200; i++) {
		world_run(w, 100);
		rebind = rebind || rk_client_take_rebind(p->client);
	}
	assert_true(rebind);
	assert_int_equal(told(p, "disconnected"), 1);
	server_silent(w->server, false);
	world_until(w, p, "resumed", 1, 6000);
	world_run(w, 60000);
	assert_int_equal(told(p, "disconnected"), 1);
	assert_int_equal(told(p, "login"), 1);
	world_free(w);
}

/* While the server may still have the session, an outage costs no LOGIN. */
static void
test_no_login_after_short_outage(void **state)
{
	struct world *w = world_new(21);
	struct person *p = person_registered(w, "alice");
	unsigned logins = server_logins(w->server);

	(void)state;
	server_silent(w->server, true);
	world_until(w, p, "disconnected", 1, 40000);
	world_run(w, 20000);
	server_silent(w->server, false);
	world_until(w, p, "resumed", 1, 6000);
	world_run(w, 20000);
	assert_true(rk_client_online(p->client));
	assert_int_equal(server_logins(w->server), logins);
	assert_int_equal(told(p, "closed"), 0);
	world_free(w);
}

static void
test_sleep(void **state)
{
	struct world *w = world_new(22);
	struct person *p = person_registered(w, "alice");

	(void)state;
	/* The laptop sleeps for an hour; the server ends the session meanwhile. */
	p->deaf = true;
	w->now_us += UINT64_C(3600) * 1000000;
	server_tick(w->server, w->now_us);
	assert_int_equal(server_session(w->server, "alice"), SESSION_ID_NONE);
	p->deaf = false;
	world_run(w, 2000);
	assert_true(server_session(w->server, "alice") != SESSION_ID_NONE);
	assert_true(rk_client_online(p->client));
	world_free(w);
}

static void
test_new_address(void **state)
{
	struct world *w = world_new(23);
	struct person *p = person_registered(w, "alice"), *bob = person_registered(w, "bob");

	(void)state;
	person_new_address(p);
	rk_client_rebound(p->client);
	world_run(w, 1000);
	say(w, bob, "alice", "are you there?");
	world_until(w, p, "message bob: are you there?", 1, 2000);
	assert_int_equal(server_logins(w->server), 2);
	world_run(w, 30000);
	assert_string_equal(rk_client_observed(p->client), "192.0.2.1:40001");
	world_free(w);
}

static void
test_epoch(void **state)
{
	struct world *w = world_new(24);
	struct person *p = person_registered(w, "alice");
	uint8_t old[WIRE_DATAGRAM_MAX], frame[9] = {FRAME_PING};
	struct rk_stats stats;
	uint64_t ignored;
	size_t len;

	(void)state;
	len = server_seal(w->server, "alice", frame, sizeof(frame), old);
	server_restart_dataplane(w->server);
	world_run(w, 1000);
	rk_client_stats(p->client, &stats);
	assert_int_equal(stats.epochs, 1);
	assert_int_equal(server_logins(w->server), 1);
	/* A packet of the earlier epoch, and one of a later epoch with a wrong tag, change nothing. */
	ignored = stats.ignored;
	rk_client_input(p->client, w->now_us, w->wall_ms0, old, len);
	len = server_seal(w->server, "alice", frame, sizeof(frame), old);
	old[13] = 9;
	rk_client_input(p->client, w->now_us, w->wall_ms0, old, len);
	rk_client_stats(p->client, &stats);
	assert_int_equal(stats.ignored, ignored + 2);
	assert_int_equal(stats.epochs, 1);
	/* The PING is lost: the next packet of the client calls it forth. */
	server_silent(w->server, true);
	server_restart_dataplane(w->server);
	server_silent(w->server, false);
	world_run(w, 30000);
	rk_client_stats(p->client, &stats);
	assert_int_equal(stats.epochs, 2);
	assert_int_equal(server_logins(w->server), 1);
	world_free(w);
}

static void
test_replay(void **state)
{
	struct world *w = world_new(25);
	struct person *p = person_registered(w, "alice");
	uint8_t data[WIRE_DATAGRAM_MAX], frame[9] = {FRAME_PING};
	struct rk_stats stats;
	uint64_t ignored;
	size_t len;

	(void)state;
	world_run(w, 1000);
	len = server_seal(w->server, "alice", frame, sizeof(frame), data);
	rk_client_stats(p->client, &stats);
	ignored = stats.ignored;
	rk_client_input(p->client, w->now_us, w->wall_ms0, data, len);
	rk_client_stats(p->client, &stats);
	assert_int_equal(stats.ignored, ignored);
	for (int i = 0; i < 5; i++)
		rk_client_input(p->client, w->now_us, w->wall_ms0, data, len);
	rk_client_stats(p->client, &stats);
	assert_int_equal(stats.ignored, ignored + 5);
	world_free(w);
}

static void
test_bad_config(void **state)
{
	static const char *const bad[] = {"",  "Alice", "1abc", "al ice", "abcdefghijklmnopqrstuvwxyz0123456",
					  NULL};
	struct rk_store *store = rk_store_memory();
	uint8_t secret[RK_KEY_SIZE] = {1};
	struct rk_config cfg = {.user = "alice", .device_secret = secret, .store = store};
	struct rk_client *c;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cfg.user = bad[i];
		assert_int_equal(rk_client_new(&c, &cfg), -EINVAL);
		assert_null(c);
	}
	cfg.user = "alice";
	cfg.device_secret = NULL;
	assert_int_equal(rk_client_new(&c, &cfg), -EINVAL);
	cfg.device_secret = secret;
	cfg.status = RK_STATUS_OFFLINE;
	assert_int_equal(rk_client_new(&c, &cfg), -EINVAL);
	cfg.status = 0;
	cfg.store = NULL;
	assert_int_equal(rk_client_new(&c, &cfg), -EINVAL);
	rk_client_free(NULL);
	rk_store_close(store);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_register_then_login),
		cmocka_unit_test(test_enrol_needed),
		cmocka_unit_test(test_refused_registrations),
		cmocka_unit_test(test_restricted_session_expires),
		cmocka_unit_test(test_first_use),
		cmocka_unit_test(test_changed_key),
		cmocka_unit_test(test_wrong_configured_key),
		cmocka_unit_test(test_low_order_key),
		cmocka_unit_test(test_cookie),
		cmocka_unit_test(test_cookie_with_a_wait),
		cmocka_unit_test(test_slow_down),
		cmocka_unit_test(test_forged_answers),
		cmocka_unit_test(test_retransmission),
		cmocka_unit_test(test_lost_reply),
		cmocka_unit_test(test_version),
		cmocka_unit_test(test_busy_and_replayed),
		cmocka_unit_test(test_closed),
		cmocka_unit_test(test_replaced_by_itself),
		cmocka_unit_test(test_logout),
		cmocka_unit_test(test_reset_hint),
		cmocka_unit_test(test_heartbeat),
		cmocka_unit_test(test_disconnected_and_resumed),
		cmocka_unit_test(test_no_login_after_short_outage),
		cmocka_unit_test(test_sleep),
		cmocka_unit_test(test_new_address),
		cmocka_unit_test(test_epoch),
		cmocka_unit_test(test_replay),
		cmocka_unit_test(test_bad_config),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
