/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client core with an established session, against a server that says anything, with the right keys.
 *
 *   input: steps, each one byte (enum step, modulo its number) and its own bytes
 *
 * Frames are sealed here, so that the input reaches what is behind the tag; DELIVER, RECEIPT and RESPONSE
 * have steps that write well-formed frames with small numbers, so that they meet what the client waits for.
 * Events go to rookchat's JSON view, and its commands can be given: what a bot sees and says. After each step all invariants of the client hold.
 */
#include "fixed_random.h"
#include "steps.h"

#include "client/core.h"
#include "client/rookchat.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>
#include <unistd.h>

enum step {
	STEP_DATAGRAM,  /* length (u8), bytes: as they are */
	STEP_FRAMES,    /* length (u8), bytes: sealed */
	STEP_DELIVER,   /* device, id, prev distance, floor distance, flags, length of the text */
	STEP_RECEIPT,   /* id, level, reason */
	STEP_RESPONSE,  /* request, fragment, fragments, length (u8), bytes */
	STEP_NOTIFY,    /* length (u8), bytes */
	STEP_EPOCH,     /* the server restarts */
	STEP_TIME,      /* so many tenths of a second, and what is to be sent */
	STEP_EVENTS,    /* so many events are taken */
	STEP_SEND,      /* to whom, length / 64 */
	STEP_COMMAND,   /* which */
	STEP_LOGIN,     /* result: answers the LOGIN sent last */
	STEP_RESET,
	STEPS
};

/* Not among the numbers above, which corpora know. */
enum {
	STEP_PONG = 245,  /* how far the answer is from the PING sent last */
	STEP_CROWD,       /* senders: so many write one message each; once per input */
	STEP_FRESH,       /* only as the first: how (FRESH_*): a client that has no session, and perhaps no key of the server */
	STEP_KEY,         /* which: a server's key, asked for or not */
	STEP_COOKIE,      /* wait / 100 ms: answers the LOGIN sent last */
	STEP_VERSION,     /* version: of a server that knows no other */
	STEP_REPLY,       /* result, how (REPLY_*): answers the LOGIN sent last, or an older one, or a part of it */
	STEP_LOGGED_IN,   /* request, code, user: answers a registration */
	STEP_STORE,       /* what fails from here on (FAIL_*) */
	STEP_COMMAND2,    /* which, name */
	STEP_LINE,        /* length (u8), bytes: to rookchat's standard input */
};

#define FRESH_KEY 0x01      /* is given the server's key */
#define FRESH_ASK 0x02      /* asks before it accepts one */
#define FRESH_PINNED 0x04   /* has one in its store */
#define FRESH_REGISTER 0x08
#define FRESH_ENROL 0x10
#define FRESH_OUTBOX 0x20   /* texts from before in its store */

#define REPLY_NO_SESSION 0x01
#define REPLY_EPOCH 0x02  /* out of range */
#define REPLY_LATER 0x04  /* the server's clock is ahead */
#define REPLY_TORN 0x08
#define REPLY_UNREADABLE 0x10

#define FAIL_COUNTER_GET 0x01
#define FAIL_COUNTER_PUT 0x02
#define FAIL_OUTBOX 0x04
#define FAIL_INBOX 0x08
#define FAIL_KEY 0x10
#define FAIL_BEGIN 0x20
#define FAIL_COMMIT 0x40
#define FAIL_CONVERSATION 0x80

/* ---- a store that keeps what it must, and nothing else ----------------------------------- */

static uint64_t counters[RK_COUNTERS], highs[256];
static uint8_t failing, fresh;

static int
result(uint8_t what)
{
	return failing & what ? -EIO : 0;
}

static int begin(void *state) { (void)state; return result(FAIL_BEGIN); }
static int commit(void *state) { (void)state; return result(FAIL_COMMIT); }
static int ok(void *state) { (void)state; return 0; }
static int outbox_put(void *state, const struct rk_outgoing *m) { (void)state; (void)m; return result(FAIL_OUTBOX); }
static int outbox_delete(void *state, uint64_t local) { (void)state; (void)local; return result(FAIL_OUTBOX); }
static int
counter_get(void *state, enum rk_counter n, uint64_t *v)
{
	(void)state;
	*v = counters[n];
	return result(FAIL_COUNTER_GET);
}
static int
counter_put(void *state, enum rk_counter n, uint64_t v)
{
	(void)state;
	if (result(FAIL_COUNTER_PUT) == 0)
		counters[n] = v;
	return result(FAIL_COUNTER_PUT);
}
static int high_get(void *state, uint64_t d, uint64_t *id) { (void)state; *id = highs[d % 256]; return result(FAIL_INBOX); }
static int
high_put(void *state, uint64_t d, uint64_t id)
{
	(void)state;
	if (result(FAIL_INBOX) == 0)
		highs[d % 256] = id;
	return result(FAIL_INBOX);
}
static int
showing_get(void *state, uint64_t d, uint64_t *id)
{
	(void)state;
	(void)d;
	*id = 0;
	return failing & FAIL_INBOX ? -EIO : -ENOENT;
}
static int showing_put(void *state, uint64_t d, uint64_t id) { (void)state; (void)d; (void)id; return result(FAIL_INBOX); }
static int name_put(void *state, uint64_t u, const char *name) { (void)state; (void)u; (void)name; return result(FAIL_INBOX); }
static int name_get(void *state, uint64_t u, char *name) { (void)state; (void)u; (void)name; return -ENOENT; }
static int
name_find(void *state, const char *name, uint64_t *u)
{
	(void)state;
	(void)name;
	(void)u;
	return -ENOENT;
}
static int
key_get(void *state, uint8_t *key)
{
	(void)state;
	if (failing & FAIL_KEY)
		return -EIO;
	memset(key, 9, RK_KEY_SIZE); /* another server's */
	return fresh & FRESH_PINNED ? 0 : -ENOENT;
}
static int key_put(void *state, const uint8_t *key) { (void)state; (void)key; return result(FAIL_KEY); }

/* One under way, one with its answer, one that never had an id. */
static int
outbox_of_before(int (*each)(void *arg, const struct rk_outgoing *m), void *arg)
{
	struct rk_outgoing m[] = {
		{.local = 1, .first_id = 3, .fragments = 1, .to = "bob", .text = "one", .text_len = 3},
		{.local = 2, .first_id = 4, .prev = 3, .fragments = 1, .to = "bob", .text = "two", .text_len = 3,
		 .level = RK_LEVEL_DELIVERED},
		{.local = 3, .fragments = 1, .to = "carol", .text = "three", .text_len = 5},
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(m) / sizeof(m[0]); i++)
		r = each(arg, &m[i]);
	return r;
}

static int
outbox_list(void *state, int (*each)(void *arg, const struct rk_outgoing *m), void *arg)
{
	(void)state;
	return fresh & FRESH_OUTBOX ? outbox_of_before(each, arg) : 0;
}

static int
conversation_get(void *state, const char *name, struct rk_conversation *v)
{
	(void)state;
	(void)name;
	(void)v;
	return failing & FAIL_CONVERSATION ? -EIO : -ENOENT;
}

static int
conversation_put(void *state, const char *name, const struct rk_conversation *v)
{
	(void)state;
	(void)name;
	(void)v;
	return result(FAIL_CONVERSATION);
}

static int
conversation_list(void *state, int (*each)(void *arg, const char *name, const struct rk_conversation *v), void *arg)
{
	(void)state;
	(void)each;
	(void)arg;
	return 0;
}

static struct rk_store store = {
	.begin = begin,
	.commit = commit,
	.rollback = ok,
	.outbox_put = outbox_put,
	.outbox_list = outbox_list,
	.outbox_delete = outbox_delete,
	.counter_get = counter_get,
	.counter_put = counter_put,
	.conversation_get = conversation_get,
	.conversation_put = conversation_put,
	.conversation_list = conversation_list,
	.high_get = high_get,
	.high_put = high_put,
	.showing_get = showing_get,
	.showing_put = showing_put,
	.name_put = name_put,
	.name_get = name_get,
	.name_find = name_find,
	.server_key_get = key_get,
	.server_key_put = key_put,
	.forget = ok,
};

/* ---- the server's end -------------------------------------------------------------------- */

static struct handshake_keypair server_key;

struct end {
	struct rk_client *client;
	uint64_t now_us;
	uint8_t login[WIRE_DATAGRAM_MAX];
	size_t login_len;
	uint64_t login_id, key_id; /* of the last LOGIN, and of the last question for the key */
	struct handshake_guard guard;
	bool crowded;
	struct session_secret secret;
	struct aead_key key;
	uint64_t ping;
	session_id_t sid;
	uint16_t epoch;
	uint64_t sequence;
	uint32_t delivery;
};

static void
input(struct end *e, const uint8_t *data, size_t len)
{
	/* A copy of its own, so that the sanitizer sees a read beyond it. */
	uint8_t *copy = malloc(len > 0 ? len : 1);

	FUZZ_CHECK(copy != NULL);
	memcpy(copy, data, len);
	rk_client_input(e->client, e->now_us, e->now_us / 1000, copy, len);
	free(copy);
}

static void
set_epoch(struct end *e, uint16_t epoch)
{
	struct session_keys keys;

	e->epoch = epoch;
	e->sequence = 0;
	e->delivery = 0;
	session_keys_derive(&keys, &e->secret, epoch);
	aead_key_set(&e->key, keys.key);
}

static void
seal(struct end *e, const uint8_t *frames, size_t len)
{
	struct wire_data d = {.sid = e->sid, .counter = wire_counter(e->epoch, ++e->sequence)};
	uint8_t out[WIRE_DATAGRAM_MAX], nonce[AEAD_NONCE];

	if (len == 0 || len > WIRE_PLAINTEXT_MAX || e->sid == SESSION_ID_NONE)
		return;
	wire_data_write(&d, out);
	wire_nonce(nonce, WIRE_TO_CLIENT, d.counter);
	aead_seal(&e->key, nonce, out, WIRE_DATA_HEADER, frames, len, out + WIRE_DATA_HEADER,
		  out + WIRE_DATA_HEADER + len);
	input(e, out, WIRE_DATA_HEADER + len + WIRE_TAG);
}

static void
seal_frame(struct end *e, const struct frame *f)
{
	uint8_t out[WIRE_PLAINTEXT_MAX];
	int n = frame_write(f, out, sizeof(out));

	if (n > 0)
		seal(e, out, (size_t)n);
}

/* The token of the last PING in a packet of the client's. */
static void
take_ping(struct end *e, uint8_t *data, size_t len)
{
	uint8_t *plain = data + WIRE_DATA_HEADER, nonce[AEAD_NONCE];
	struct wire_data d;
	struct frame f;
	int n;

	if (wire_data_read(&d, data, len) != 0 || d.sid != e->sid)
		return;
	len -= WIRE_DATA_HEADER + WIRE_TAG;
	wire_nonce(nonce, WIRE_TO_SERVER, d.counter);
	/* The client may not have seen yet that there is another epoch. */
	if (aead_open(&e->key, nonce, data, WIRE_DATA_HEADER, plain, len, plain, plain + len) != 0)
		return;
	for (size_t at = 0; at < len; at += (size_t)n) {
		n = frame_read(&f, plain + at, len - at);
		FUZZ_CHECK(n > 0);
		if (f.type == FRAME_PING)
			e->ping = f.token;
	}
}

static void
output(struct end *e)
{
	uint8_t buf[RK_DATAGRAM_MAX];
	unsigned datagrams = 0;
	size_t n;

	while ((n = rk_client_output(e->client, e->now_us, e->now_us / 1000, buf, sizeof(buf))) > 0) {
		FUZZ_CHECK(n <= sizeof(buf) && ++datagrams < 2000);
		if (buf[0] == WIRE_LOGIN) {
			memcpy(e->login, buf, n);
			e->login_len = n;
		}
		if (buf[0] == WIRE_DATA)
			take_ping(e, buf, n);
		if (buf[0] == WIRE_LOGIN || buf[0] == WIRE_KEY) {
			struct wire_prefix p;

			wire_prefix_read(&p, buf);
			*(buf[0] == WIRE_LOGIN ? &e->login_id : &e->key_id) = p.id;
		}
	}
}

static void
login(struct end *e, uint8_t result, uint8_t how)
{
	Rookery__LoginReply r = ROOKERY__LOGIN_REPLY__INIT;
	uint8_t payload[HANDSHAKE_PAYLOAD_MAX], out[WIRE_DATAGRAM_MAX];
	struct handshake_server h;
	struct session_secret secret;
	size_t len;
	int n;

	n = handshake_server_read(&h, &server_key, e->login, e->login_len, payload, sizeof(payload));
	if (n < 0)
		return;
	r.result = (Rookery__LoginResult)result;
	r.session_id = how & REPLY_NO_SESSION ? SESSION_ID_NONE : session_id_make(1, ++e->epoch + 1u, 7);
	r.user_id = 1;
	r.device_id = 200;
	r.epoch = how & REPLY_EPOCH ? UINT16_MAX + 1 : 3;
	r.retry_ms = result;
	r.server_time = how & REPLY_LATER ? UINT64_C(4000000000000) : 0;
	len = rookery__login_reply__pack(&r, payload);
	if (how & REPLY_UNREADABLE)
		memset(payload, 0xff, len);
	n = handshake_server_reply(&h, payload, len, out, sizeof(out), &secret);
	FUZZ_CHECK(n > 0);
	e->secret = secret;
	e->sid = r.session_id;
	set_epoch(e, 3);
	input(e, out, (size_t)n - (how & REPLY_TORN ? 1 : 0));
}

/* ---- steps ------------------------------------------------------------------------------- */

static void
step_deliver(struct end *e, struct input *in)
{
	static const uint8_t text[MESSAGE_BODY_MAX];
	struct frame f = {.type = FRAME_DELIVER,
			  .deliver = {.delivery = ++e->delivery,
				      .from_device = 1u + byte(in) % 4,
				      .id = 1u + byte(in) % 32,
				      .body = text}};

	f.deliver.from = 1 + f.deliver.from_device % 2;
	f.deliver.prev_delta = byte(in) % 8;
	f.deliver.floor_delta = byte(in) % 8;
	f.deliver.flags = byte(in);
	f.deliver.length = (uint16_t)(byte(in) * 5u % MESSAGE_BODY_MAX);
	seal_frame(e, &f);
}

static void
step_crowd(struct end *e, uint8_t senders)
{
	struct frame f = {.type = FRAME_DELIVER, .deliver = {.id = 1, .floor_delta = 1, .from = 2, .length = 1, .body = (const uint8_t *)"x"}};
	struct rk_event event;

	for (uint32_t i = 0; i < senders && !e->crowded; i++) {
		f.deliver.delivery = ++e->delivery;
		f.deliver.from_device = 1000 + i;
		seal_frame(e, &f);
		while (rk_client_next_event(e->client, &event) == 1)
			rk_client_event_done(e->client);
	}
	e->crowded = true;
}

static void
step_receipt(struct end *e, struct input *in)
{
	uint8_t ids[8];
	struct frame f = {.type = FRAME_RECEIPT, .receipt = {.count = 1, .ids = ids}};

	wire_receipt_put(ids, 0, 1u + byte(in) % 64);
	f.receipt.level = 1 + byte(in) % 4;
	f.receipt.reason = byte(in) % 6;
	f.receipt.retry_ms = f.receipt.reason * 100u;
	seal_frame(e, &f);
}

static void
step_response(struct end *e, struct input *in)
{
	struct frame f = {.type = FRAME_RESPONSE,
			  .response = {.delivery = ++e->delivery, .request = 1u + byte(in) % 16}};
	size_t len;

	f.response.fragment = byte(in) % 4;
	f.response.fragments = 1 + byte(in) % 4;
	len = bytes(in, &f.response.body);
	f.response.length = (uint16_t)len;
	seal_frame(e, &f);
}

static void
step_notify(struct end *e, struct input *in)
{
	struct frame f = {.type = FRAME_NOTIFY, .notify = {.delivery = ++e->delivery}};
	size_t len = bytes(in, &f.notify.body);

	f.notify.length = (uint16_t)len;
	seal_frame(e, &f);
}

static void
step_command(struct rk_client *c, uint8_t which)
{
	switch (which % 12) {
	case 0:
		rk_client_list_buddies(c);
		break;
	case 1:
		rk_client_add_buddy(c, "bob", "hello");
		break;
	case 2:
		rk_client_resolve(c, "bob");
		break;
	case 3:
		rk_client_set_presence(c, RK_STATUS_AWAY, "out");
		break;
	case 4:
		rk_client_logout(c);
		break;
	case 5:
	case 6:
		rk_client_login(c);
		break;
	case 7:
		rk_client_enrol(c, "password");
		break;
	case 8:
		rk_client_answer_key(c, which & 16);
		break;
	case 9:
		rk_client_rebound(c);
		break;
	case 10:
		rk_client_event_done(c);
		break;
	default:
		rk_client_take_rebind(c);
		break;
	}
}

static void
step_send(struct rk_client *c, uint8_t to, uint8_t len)
{
	static const char *const names[] = {"bob", "carol", "dave"};
	static const char text[255 * 70 + 1];

	rk_client_send(c, names[to % 3], text, len * 70u + 1);
}

/* ---- what a server says before there is a session ------------------------------------------------- */

static void
step_key(struct end *e, uint8_t which)
{
	struct wire_prefix p = {.type = WIRE_KEY, .version = WIRE_VERSION, .flags = which & 64 ? 0 : 1, .id = e->key_id};
	uint8_t out[WIRE_KEY_REPLY_SIZE];

	if (which & 128)
		p.id++;
	wire_prefix_write(&p, out);
	memcpy(out + WIRE_PREFIX, server_key.public, RK_KEY_SIZE);
	if (which & 7)
		memset(out + WIRE_PREFIX, which & 7, RK_KEY_SIZE);
	if ((which & 7) == 7)
		memset(out + WIRE_PREFIX, 0, RK_KEY_SIZE); /* no point of the curve that a key may be */
	input(e, out, sizeof(out));
}

static void
step_cookie(struct end *e, uint8_t wait)
{
	static const uint8_t secret[HANDSHAKE_SECRET] = {3}, nonce[24];
	uint8_t out[HANDSHAKE_COOKIE_SIZE];
	struct endpoint peer;

	FUZZ_CHECK(endpoint_parse(&peer, "192.0.2.7:40001", 0) == 0);
	if (!handshake_check_mac1(&e->guard, e->login, e->login_len))
		return;
	handshake_write_cookie(&e->guard, secret, &peer, nonce, e->login, e->login_len, wait * UINT64_C(100), out);
	input(e, out, sizeof(out));
}

static void
step_version(struct end *e, uint8_t version)
{
	struct wire_prefix p = {.type = WIRE_VERSION_REPLY, .version = version, .id = version & 1 ? e->key_id : e->login_id};
	uint8_t out[WIRE_VERSION_REPLY_SIZE];

	wire_prefix_write(&p, out);
	input(e, out, sizeof(out));
}

static void
step_logged_in(struct end *e, struct input *in)
{
	Rookery__LoggedIn l = ROOKERY__LOGGED_IN__INIT;
	Rookery__Response r = ROOKERY__RESPONSE__INIT;
	struct frame f = {.type = FRAME_RESPONSE,
			  .response = {.delivery = ++e->delivery, .request = 1u + byte(in) % 16, .fragments = 1}};
	uint8_t body[64];

	r.code = (Rookery__Code)(byte(in) % 16);
	l.user_id = 1u + byte(in) % 2;
	l.device_id = 200;
	l.last_message_id = l.user_id * 10;
	r.body_case = ROOKERY__RESPONSE__BODY_LOGGED_IN;
	r.logged_in = &l;
	FUZZ_CHECK(rookery__response__get_packed_size(&r) <= sizeof(body));
	f.response.body = body;
	f.response.length = (uint16_t)rookery__response__pack(&r, body);
	seal_frame(e, &f);
}

static void
step_command2(struct rk_client *c, uint8_t which, uint8_t who)
{
	static const char *const names[] = {"bob", "carol", "dave", "Not A Name", ""};
	const char *name = names[who % 5];

	switch (which % 8) {
	case 0:
		rk_client_register(c, name);
		break;
	case 1:
		rk_client_answer_buddy(c, name, who & 128);
		break;
	case 2:
		rk_client_remove_buddy(c, name);
		break;
	case 3:
		rk_client_block(c, name, who & 128);
		break;
	case 4:
		rk_client_set_buddy(c, name, "group", who & 128 ? "remark" : NULL);
		break;
	case 5:
		rk_client_change_password(c, name, "new");
		break;
	case 6:
		rk_client_search(c, name, who);
		break;
	default:
		rk_client_set_presence(c, (enum rk_status)(who % 8), NULL);
		break;
	}
}

/* ---- rookchat ------------------------------------------------------------------------------- */

static struct chat chat;

static void
chat_start(struct rk_client *client)
{
	static bool quiet;

	if (!quiet) {
		FUZZ_CHECK(freopen("/dev/null", "w", stdout) != NULL);
		quiet = true;
	}
	memset(&chat, 0, sizeof(chat));
	chat.view = &chat_view_json;
	chat.client = client;
	FUZZ_CHECK(chat.view->open(&chat) == 0);
}

static void
step_line(const uint8_t *line, size_t len)
{
	int ends[2];

	FUZZ_CHECK(pipe(ends) == 0 && write(ends[1], line, len) == (ssize_t)len);
	FUZZ_CHECK(dup2(ends[0], STDIN_FILENO) == STDIN_FILENO);
	close(ends[0]);
	close(ends[1]);
	chat.view->input(&chat);
}

static void
chat_end(void)
{
	chat.view->close(&chat);
	free(chat.sent);
}

/* False: it is one of the others. */
static bool
special_step(struct end *e, struct input *in, uint8_t step)
{
	const uint8_t *p;
	size_t len;
	uint8_t a;

	struct frame pong = {.type = FRAME_PONG};

	switch (step) {
	case STEP_PONG:
		FUZZ_CHECK(endpoint_parse(&pong.pong.observed, "192.0.2.7:40001", 0) == 0);
		pong.pong.token = e->ping + byte(in);
		seal_frame(e, &pong);
		return true;
	case STEP_CROWD:
		step_crowd(e, byte(in));
		return true;
	case STEP_KEY:
		step_key(e, byte(in));
		return true;
	case STEP_COOKIE:
		step_cookie(e, byte(in));
		return true;
	case STEP_VERSION:
		step_version(e, byte(in));
		return true;
	case STEP_REPLY:
		a = byte(in);
		login(e, a % 8, byte(in));
		return true;
	case STEP_LOGGED_IN:
		step_logged_in(e, in);
		return true;
	case STEP_STORE:
		failing = byte(in);
		return true;
	case STEP_COMMAND2:
		a = byte(in);
		step_command2(e->client, a, byte(in));
		return true;
	case STEP_LINE:
		len = bytes(in, &p);
		step_line(p, len);
		return true;
	default:
		return false;
	}
}

static void
one_step(struct end *e, struct input *in)
{
	struct wire_prefix reset = {.type = WIRE_RESET, .version = WIRE_VERSION, .id = e->sid};
	uint8_t out[WIRE_RESET_SIZE], a = byte(in);
	const uint8_t *p;
	struct rk_event event;
	size_t len;

	if (special_step(e, in, a))
		return;
	switch (a % STEPS) {
	case STEP_DATAGRAM:
		len = bytes(in, &p);
		input(e, p, len);
		break;
	case STEP_FRAMES:
		len = bytes(in, &p);
		seal(e, p, len);
		break;
	case STEP_DELIVER:
		step_deliver(e, in);
		break;
	case STEP_RECEIPT:
		step_receipt(e, in);
		break;
	case STEP_RESPONSE:
		step_response(e, in);
		break;
	case STEP_NOTIFY:
		step_notify(e, in);
		break;
	case STEP_EPOCH:
		set_epoch(e, (uint16_t)(e->epoch + 1));
		break;
	case STEP_TIME:
		e->now_us += byte(in) * UINT64_C(100000);
		output(e);
		break;
	case STEP_EVENTS:
		for (a = byte(in) % 8; a > 0 && rk_client_next_event(e->client, &event) == 1; a--) {
			FUZZ_CHECK(event.type != RK_EVENT_NONE);
			chat.view->event(&chat, &event);
		}
		break;
	case STEP_SEND:
		a = byte(in);
		step_send(e->client, a, byte(in));
		break;
	case STEP_COMMAND:
		step_command(e->client, byte(in));
		break;
	case STEP_LOGIN:
		login(e, byte(in) % 8, 0);
		break;
	default:
		wire_prefix_write(&reset, out);
		input(e, out, sizeof(out));
		break;
	}
}

/* ---- one input --------------------------------------------------------------------------- */

/* A client that is logged in, unless the input wants another. False: it could not be made. */
static bool
start(struct end *e, uint8_t how)
{
	static const uint8_t secret[RK_KEY_SIZE] = {1};
	struct rk_config cfg = {.user = "alice", .device_secret = secret, .server_key = server_key.public,
				.store = &store, .inbox_max = 64};

	if (fresh != 0) {
		cfg.server_key = how & FRESH_KEY ? server_key.public : NULL;
		cfg.ask_new_key = how & FRESH_ASK;
		cfg.status = RK_STATUS_AWAY;
		cfg.status_text = "out";
		cfg.device_name = "laptop";
	}
	if (how & FRESH_OUTBOX)
		counters[RK_COUNTER_LOCAL] = counters[RK_COUNTER_MESSAGE] = 5;
	if (rk_client_new(&e->client, &cfg) < 0) {
		FUZZ_CHECK(failing != 0);
		return false;
	}
	chat_start(e->client);
	if (how & FRESH_REGISTER)
		rk_client_register(e->client, "password");
	if (how & FRESH_ENROL)
		rk_client_enrol(e->client, "password");
	rk_client_login(e->client);
	output(e);
	if (fresh != 0)
		return true;
	login(e, ROOKERY__LOGIN_RESULT__LOGIN_OK, 0);
	FUZZ_CHECK(rk_client_user_id(e->client) == 1);
	output(e);
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t server_secret[RK_KEY_SIZE] = {2};
	struct input in = {data, data + size};
	static struct end e;

	FUZZ_CHECK(handshake_init() == 0 && aead_init() == 0);
	fixed_random();
	handshake_keypair_from_secret(&server_key, server_secret);
	memset(counters, 0, sizeof(counters));
	memset(highs, 0, sizeof(highs));
	memset(&e, 0, sizeof(e));
	handshake_guard_init(&e.guard, server_key.public);
	e.now_us = 1000000;
	failing = fresh = 0;
	if (size >= 3 && data[0] == STEP_FRESH) {
		in.p += 3;
		fresh = data[1] | 0x80;
		failing = data[2]; /* while it starts */
	}
	if (!start(&e, fresh))
		return 0;
	failing = 0;
	while (in.p < in.end) {
		const char *broken;

		one_step(&e, &in);
		broken = client_check(e.client);
		if (broken != NULL)
			fprintf(stderr, "%s\n", broken);
		FUZZ_CHECK(broken == NULL);
		if (rk_client_deadline(e.client) <= e.now_us)
			output(&e);
		FUZZ_CHECK(client_check(e.client) == NULL);
	}
	chat_end();
	rk_client_free(e.client);
	aead_key_clear(&e.key);
	return 0;
}
