/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Control as a whole (rings, login, requests, accounts, buddies, stored messages, admin commands; SQLite in memory), against
 * clients and a dataplane that say anything.
 *
 *   input: steps, each one byte (enum step, modulo its number) and its own bytes
 *
 * alice, bob (buddies) and carol have accounts. What comes from clients is sealed or framed here, so that the input
 * reaches what is behind; STEP_CELL, STEP_POKE and STEP_SCRIBBLE are a hostile dataplane's. After each step all
 * invariants of the server hold, and until the dataplane turns hostile all that control sends is well-formed.
 */
#include "server_world.h"

#include "control/admin_commands.h"
#include "shared/rookery.pb-c.h"

enum step {
	STEP_REQUEST,   /* peer, body, name, number of another, length and bytes of a text: a well-formed Request */
	STEP_REQUEST_RAW, /* peer, number, fragment, fragments, length and bytes */
	STEP_LOGIN,     /* peer, flags, name, status, length and bytes: see step_login */
	STEP_LOGIN_RAW, /* length and bytes: a datagram */
	STEP_STORE,     /* from, to, id, prev, floor, flags, device, length */
	STEP_DELIVERED, /* which token, outcome */
	STEP_SESSION,   /* peer, event */
	STEP_STALE,     /* peer, epochs back, flags */
	STEP_VERDICT,   /* from, to */
	STEP_TIME,      /* tenths of a second, above 200 days */
	STEP_HASH,      /* passwords wait, or not any more */
	STEP_FULL,      /* the dataplane takes nothing, or again */
	STEP_STORE_FAILS,
	STEP_CONTROL_DIES,
	STEP_DATAPLANE_DIES,
	STEP_ADMIN,     /* length and bytes: a line */
	STEP_CELL,      /* ring (200: TRACE), worker, peer, length and bytes: the head of a cell */
	STEP_POKE,      /* where (u8), offset (u16), value (u32): into the region */
	STEP_SCRIBBLE,  /* ring, worker, published (u32): an index of the dataplane's */
	STEPS
};

/* Not among the numbers above, which corpora know. */
enum {
	STEP_STRANGERS = 254, /* count, address, how: so many devices that nobody knows log in; how 1: they speak */
	STEP_LOGIN_AGAIN,     /* peer, count: so many LOGINs of one device */
};

/* ---- clients ---------------------------------------------------------------------------------- */

static const char *const names[] = {"alice", "bob", "carol", "dave", "", "Alice", "x y", "abcdefghijklmnopqrstuvwxyz.01234567"};

#define NAME(n) ((char *)(uintptr_t)names[(n) % 8])

static struct peer *
peer_of(struct world *w, uint8_t n)
{
	return &w->peers[n % PEERS];
}

static void
login_send(struct world *w, struct peer *p)
{
	struct cell c;

	cell_start(&c, PUNT_LOGIN, 0);
	c.worker = (uint32_t)(p - w->peers) % WORKERS;
	endpoint_set_ipv4(&c.datagram.peer, "\x7f\0\0\1", (uint16_t)(4000 + (p - w->peers)));
	c.length = (uint16_t)p->login_len;
	memcpy(c.data, p->login, p->login_len);
	punt(w, IPC_LOGIN, &c);
	w->waits = p;
}

static void
login_seal(struct world *w, struct peer *p, const uint8_t *payload, size_t len)
{
	int n = handshake_client_start(&p->handshake, &p->key, w->key.public, p->timestamp, payload, len, p->login,
				       sizeof(p->login));

	FUZZ_CHECK(n > 0);
	p->login_len = (size_t)n;
}

/* flags: 1 the same datagram again, 2 bytes are the payload, 4 timestamp not new, 8 one byte damaged, 16 time far ahead */
static void
step_login(struct world *w, struct input *in)
{
	Rookery__LoginHello hello = ROOKERY__LOGIN_HELLO__INIT;
	uint8_t payload[HANDSHAKE_PAYLOAD_MAX], flags, name;
	struct peer *p = peer_of(w, byte(in));
	static uint8_t zeros[256];
	char text[256] = "";
	const uint8_t *given;
	size_t len;

	flags = byte(in);
	name = byte(in);
	hello.status = (Rookery__Status)(byte(in) % 7);
	len = bytes(in, &given);
	if (!(flags & 4))
		p->timestamp++;
	if (flags & 16)
		p->timestamp += UINT64_MAX / 4;
	if (!(flags & 1) && (flags & 2)) {
		memset(payload, 0, sizeof(payload));
		memcpy(payload, given, len);
		login_seal(w, p, payload, len < 230 ? 230 : len);
	} else if (!(flags & 1)) {
		memcpy(text, given, len);
		hello.timestamp = p->timestamp;
		hello.user = NAME(name);
		hello.device_name = flags & 32 ? text : (char *)(uintptr_t)"laptop";
		hello.status_text = text;
		hello.padding.data = zeros;
		hello.padding.len = sizeof(zeros);
		login_seal(w, p, payload, rookery__login_hello__pack(&hello, payload));
	}
	if (p->login_len == 0)
		return;
	if (flags & 8)
		p->login[name % p->login_len] ^= (uint8_t)(1u << hello.status);
	login_send(w, p);
}

static void
request_send(struct world *w, const struct peer *p, uint32_t number, uint8_t fragment, uint8_t fragments, const uint8_t *data,
	     size_t len)
{
	struct cell c;

	cell_start(&c, PUNT_REQUEST, p->sid);
	c.request = (struct cell_request){
		.sid = p->sid, .user = p->user, .request = number, .fragment = fragment, .fragments = fragments};
	c.length = (uint16_t)(len < CELL_DATA_MAX ? len : CELL_DATA_MAX);
	memcpy(c.data, data, c.length);
	punt(w, IPC_REQUEST, &c);
}

union bodies {
	Rookery__Register register_;
	Rookery__Enrol enrol;
	Rookery__SearchUser search;
	Rookery__AddBuddy add;
	Rookery__AnswerBuddy answer;
	Rookery__DeleteBuddy del;
	Rookery__SetBlock block;
	Rookery__ListBuddies list;
	Rookery__SetBuddy set;
	Rookery__SetPresence presence;
	Rookery__ChangePassword password;
	Rookery__FetchStored fetch;
	Rookery__ResolveUser resolve;
};

/* A Request with one body, whose fields come from a name, a number and a text. */
static void
request_body(Rookery__Request *q, union bodies *b, unsigned kind, char *name, uint32_t number, char *text)
{
	static uint64_t devices[3], ids[3];

	q->body_case = (Rookery__Request__BodyCase)(1 + kind);
	q->register_ = &b->register_; /* of a union: any of them */
	switch (q->body_case) {
	case ROOKERY__REQUEST__BODY_REGISTER:
		rookery__register__init(&b->register_);
		b->register_.user = name;
		b->register_.password = number & 1 ? text : (char *)(uintptr_t)"password";
		b->register_.device_name = text;
		b->register_.status = (Rookery__Status)(number % 7);
		b->register_.status_text = text;
		break;
	case ROOKERY__REQUEST__BODY_ENROL:
		rookery__enrol__init(&b->enrol);
		b->enrol.user = name;
		b->enrol.password = number & 1 ? text : (char *)(uintptr_t)"password";
		b->enrol.device_name = text;
		break;
	case ROOKERY__REQUEST__BODY_SEARCH_USER:
		rookery__search_user__init(&b->search);
		b->search.prefix = number & 1 ? text : name;
		b->search.limit = number;
		break;
	case ROOKERY__REQUEST__BODY_ADD_BUDDY:
		rookery__add_buddy__init(&b->add);
		b->add.user = name;
		b->add.text = text;
		break;
	case ROOKERY__REQUEST__BODY_ANSWER_BUDDY:
		rookery__answer_buddy__init(&b->answer);
		b->answer.user = name;
		b->answer.accept = number & 1;
		break;
	case ROOKERY__REQUEST__BODY_DELETE_BUDDY:
		rookery__delete_buddy__init(&b->del);
		b->del.user = name;
		break;
	case ROOKERY__REQUEST__BODY_SET_BLOCK:
		rookery__set_block__init(&b->block);
		b->block.user = name;
		b->block.blocked = number & 1;
		break;
	case ROOKERY__REQUEST__BODY_LIST_BUDDIES:
		rookery__list_buddies__init(&b->list);
		b->list.after_user_id = number;
		break;
	case ROOKERY__REQUEST__BODY_SET_BUDDY:
		rookery__set_buddy__init(&b->set);
		b->set.user = name;
		b->set.group = text;
		b->set.remark = text;
		break;
	case ROOKERY__REQUEST__BODY_SET_PRESENCE:
		rookery__set_presence__init(&b->presence);
		b->presence.status = (Rookery__Status)(number % 7);
		b->presence.text = text;
		break;
	case ROOKERY__REQUEST__BODY_CHANGE_PASSWORD:
		rookery__change_password__init(&b->password);
		b->password.old_password = number & 1 ? text : (char *)(uintptr_t)"password";
		b->password.new_password = number & 2 ? text : (char *)(uintptr_t)"password";
		break;
	case ROOKERY__REQUEST__BODY_FETCH_STORED:
		rookery__fetch_stored__init(&b->fetch);
		for (unsigned i = 0; i < 3; i++) {
			devices[i] = 1 + (number >> (8 * i) & 7);
			ids[i] = number >> (8 * i + 3) & 31;
		}
		b->fetch.n_held_device = number % 4;
		b->fetch.held_device = devices;
		b->fetch.n_held_id = number & 64 ? 1 : number % 4;
		b->fetch.held_id = ids;
		break;
	default:
		rookery__resolve_user__init(&b->resolve);
		q->body_case = ROOKERY__REQUEST__BODY_RESOLVE_USER;
		b->resolve.user = name;
		b->resolve.user_id = number;
		break;
	}
}

static void
request_make(struct world *w, struct peer *p, unsigned kind, char *name, uint32_t number, char *text)
{
	Rookery__Request q = ROOKERY__REQUEST__INIT;
	uint8_t packed[4096], fragments;
	union bodies b;
	size_t len, each = REQUEST_BODY_MAX;

	request_body(&q, &b, kind, name, number, text);
	len = rookery__request__pack(&q, packed);
	FUZZ_CHECK(len <= sizeof(packed));
	/* Now and then in pieces. */
	if (number % 8 == 7 || len > each)
		each = len / 3 + 1;
	fragments = (uint8_t)(len == 0 ? 1 : (len + each - 1) / each);
	p->request++;
	for (uint8_t i = 0; i < fragments; i++)
		request_send(w, p, p->request, i, fragments, packed + i * each, len - i * each < each ? len - i * each : each);
}

static void
step_request(struct world *w, struct input *in)
{
	struct peer *p = peer_of(w, byte(in));
	unsigned kind = byte(in) % 13;
	char *name = NAME(byte(in)), text[256];
	uint32_t number = byte(in);
	const uint8_t *given;
	size_t len = bytes(in, &given);

	memcpy(text, given, len);
	text[len] = '\0';
	request_make(w, p, kind, name, number | number << 8 | number << 16, text);
}

static void
step_request_raw(struct world *w, struct input *in)
{
	const struct peer *p = peer_of(w, byte(in));
	uint8_t number = byte(in), fragment = byte(in), fragments = byte(in);
	const uint8_t *given;
	size_t len = bytes(in, &given);

	/* Numbers around the present one: new ones and those that were answered. */
	request_send(w, p, p->request + number % 8 - 2, fragment % 9, fragments % 10, given, len);
}

static void
step_store(struct world *w, struct input *in)
{
	const struct peer *from = peer_of(w, byte(in)), *to = peer_of(w, byte(in));
	struct cell c;

	cell_start(&c, PUNT_STORE, from->sid);
	c.store = (struct cell_store){.record = {3, 7},
				      .from = from->user,
				      .from_device = from->device,
				      .to = to->user,
				      .id = byte(in) % 64,
				      .sent_at = w->wall_ms};
	c.store.prev_delta = byte(in);
	c.store.floor_delta = byte(in);
	c.store.flags = byte(in);
	c.store.device = byte(in) & 1 ? to->device : 0;
	c.store.except_count = c.store.flags & 1 ? 1 : 0;
	c.store.except[0] = to->device;
	c.length = (uint16_t)(byte(in) * 5 % (MESSAGE_BODY_MAX + 1));
	memset(c.data, 'x', c.length);
	punt(w, IPC_EVENT, &c);
}

static void
step_delivered(struct world *w, struct input *in)
{
	uint8_t which = byte(in);
	struct token *t = &w->tokens[which % (w->token_count == 0 || w->token_count > TOKENS ? TOKENS : w->token_count)];
	struct cell c;

	cell_start(&c, PUNT_DELIVERED, t->sid);
	c.delivered = (struct cell_delivered){
		.sid = t->sid, .token = t->token + (which >= 240), .outcome = (uint8_t)(DELIVERY_ACKED + byte(in) % 2)};
	punt(w, IPC_EVENT, &c);
}

static void
step_session(struct world *w, struct input *in)
{
	const struct peer *p = peer_of(w, byte(in));
	struct cell c;

	cell_start(&c, PUNT_SESSION, p->sid);
	c.session = (struct cell_session){.sid = p->sid, .event = byte(in) % 6, .port = 0};
	endpoint_set_ipv4(&c.session.peer, "\x7f\0\0\2", 1000);
	punt(w, IPC_EVENT, &c);
}

/* flags: 1 sealed with the keys of that epoch, 2 short */
static void
step_stale(struct world *w, struct input *in)
{
	const struct peer *p = peer_of(w, byte(in));
	uint16_t epoch = (uint16_t)(byte(in) % 4);
	uint8_t flags = byte(in), nonce[AEAD_NONCE];
	struct wire_data d = {.sid = p->sid, .counter = wire_counter(epoch, 9)};
	struct session_keys keys;
	struct aead_key key = {0};
	struct cell c;

	cell_start(&c, PUNT_STALE, p->sid);
	c.stale.sid = p->sid;
	endpoint_set_ipv4(&c.stale.peer, "\x7f\0\0\3", 1000);
	wire_data_write(&d, c.data);
	c.length = flags & 2 ? flags : WIRE_DATA_HEADER + 9 + WIRE_TAG;
	if (flags & 1) {
		session_keys_derive(&keys, &p->secret, epoch);
		aead_key_set(&key, keys.key);
		wire_nonce(nonce, WIRE_TO_SERVER, d.counter);
		memset(c.data + WIRE_DATA_HEADER, 0, 9);
		aead_seal(&key, nonce, c.data, WIRE_DATA_HEADER, c.data + WIRE_DATA_HEADER, 9, c.data + WIRE_DATA_HEADER,
			  c.data + WIRE_DATA_HEADER + 9);
		aead_key_clear(&key);
	}
	punt(w, IPC_REQUEST, &c);
}

static void
step_verdict(struct world *w, struct input *in)
{
	const struct peer *from = peer_of(w, byte(in)), *to = peer_of(w, byte(in));
	struct cell c;

	cell_start(&c, PUNT_VERDICT, from->sid);
	c.verdict = (struct cell_verdict){.record = {1, 2}, .from = from->user, .to = to->user};
	punt(w, IPC_REQUEST, &c);
}

static void
step_time(struct world *w, uint8_t n)
{
	uint64_t ms = n > 200 ? (n - 200) * UINT64_C(86400000) : n * UINT64_C(100);

	w->now_ms += ms;
	w->wall_ms += ms;
}

/* ---- the operator ------------------------------------------------------------------------------ */

static void
admin_done(void *arg, int result, const char *text)
{
	(void)arg;
	FUZZ_CHECK((result == 0) == (text[0] == '\0'));
}

static void
step_admin(struct world *w, const uint8_t *line, size_t len)
{
	struct admin_call call = {.server = w->server, .config = world_config, .client = w, .done = admin_done};
	struct admin_request request;
	char *reply = NULL;
	const char *error;
	int id_known;

	if (admin_request_parse((const char *)line, len, &request, &id_known, &error) == 0) {
		call.args = request.args;
		switch (admin_command_run(request.command, &call)) {
		case ADMIN_OK:
			reply = admin_reply_ok(request.id, call.result);
			FUZZ_CHECK(reply != NULL);
			break;
		case ADMIN_ERROR:
			reply = admin_reply_error(&request.id, call.code, call.text);
			FUZZ_CHECK(reply != NULL);
			break;
		case ADMIN_LATER:
			break;
		}
	}
	free(reply);
	admin_request_clear(&request);
}

/* ---- the hostile dataplane ----------------------------------------------------------------------- */

static void
step_cell(struct world *w, struct input *in)
{
	uint8_t ring = byte(in), worker = byte(in), peer = byte(in);
	const struct cell_ring *r = ipc_ring(&w->region, ring == 200 ? IPC_TRACE : ring % IPC_INJECT, worker % WORKERS);
	struct cell *slot = ring_reserve(r);
	const uint8_t *given;
	size_t len = bytes(in, &given);

	w->hostile = true;
	if (slot == NULL)
		return;
	memset(slot, 0, sizeof(*slot));
	memcpy(slot, given, len);
	slot->worker = worker >= 250 ? worker : worker % WORKERS;
	/* One that exists, where most types have it. */
	if (peer < PEERS)
		slot->request.sid = w->peers[peer].sid;
	ring_publish(r);
}

static void
step_poke(struct world *w, struct input *in)
{
	uint8_t where = byte(in);
	size_t offset = half(in), end = w->region.size - 4;
	uint32_t value = word(in);

	w->hostile = true;
	if (where % 2 == 0)
		offset %= sizeof(struct ipc_header);
	else
		offset = offset * 16 % end;
	memcpy((uint8_t *)w->region.header + (offset & ~(size_t)3), &value, sizeof(value));
}

static void
step_scribble(struct world *w, struct input *in)
{
	uint8_t ring = byte(in), worker = byte(in);
	const struct cell_ring *r = ipc_ring(&w->region, ring % (IPC_TABLE + 1), worker % WORKERS);

	w->hostile = true;
	if (ring & 128)
		atomic_store(&r->shared->released, word(in));
	else
		atomic_store(&r->shared->published, word(in));
}

/* ---- many of a kind --------------------------------------------------------------------------------- */

static void
step_strangers(struct world *w, struct input *in)
{
	static uint8_t zeros[256];
	Rookery__LoginHello hello = ROOKERY__LOGIN_HELLO__INIT;
	uint8_t payload[HANDSHAKE_PAYLOAD_MAX];
	uint8_t count = byte(in) % 16, where = byte(in), how = byte(in);
	struct peer stranger;
	size_t len;

	hello.timestamp = 1;
	hello.user = NAME(0);
	hello.device_name = hello.status_text = (char *)(uintptr_t)"";
	hello.padding.data = zeros;
	hello.padding.len = sizeof(zeros);
	len = rookery__login_hello__pack(&hello, payload);
	for (uint8_t i = 0; i <= count; i++) {
		uint8_t secret[32] = {8, ++w->strangers};
		struct cell c;

		memset(&stranger, 0, sizeof(stranger));
		handshake_keypair_from_secret(&stranger.key, secret);
		login_seal(w, &stranger, payload, len);
		cell_start(&c, PUNT_LOGIN, 0);
		endpoint_set_ipv4(&c.datagram.peer, (uint8_t[]){10, 0, 0, where}, (uint16_t)(1000 + i));
		c.length = (uint16_t)stranger.login_len;
		memcpy(c.data, stranger.login, stranger.login_len);
		punt(w, IPC_LOGIN, &c);
		w->waits = &stranger;
		world_settle(w);
		w->waits = NULL;
		if (!(how & 1) || stranger.sid == SESSION_ID_NONE)
			continue;
		cell_start(&c, PUNT_SESSION, stranger.sid);
		c.session = (struct cell_session){.sid = stranger.sid, .event = SESSION_HEARD};
		punt(w, IPC_EVENT, &c);
	}
}

static void
step_login_again(struct world *w, struct input *in)
{
	uint8_t peer = byte(in), count = byte(in) % 80;

	for (unsigned i = 0; i <= count; i++) {
		uint8_t login[] = {peer, 0, 4, 0, 0};
		struct input step = {login, login + sizeof(login)};

		step_login(w, &step);
		world_settle(w);
	}
}

/* ---- one input ----------------------------------------------------------------------------------- */

static void
one_step(struct world *w, struct input *in)
{
	const uint8_t *given;
	uint8_t step = byte(in);
	struct cell c;
	size_t len;

	if (step >= STEP_STRANGERS) {
		(step == STEP_STRANGERS ? step_strangers : step_login_again)(w, in);
		return;
	}
	switch (step % STEPS) {
	case STEP_REQUEST:
		step_request(w, in);
		break;
	case STEP_REQUEST_RAW:
		step_request_raw(w, in);
		break;
	case STEP_LOGIN:
		step_login(w, in);
		break;
	case STEP_LOGIN_RAW:
		len = bytes(in, &given);
		cell_start(&c, PUNT_LOGIN, 0);
		c.length = (uint16_t)len;
		memcpy(c.data, given, len);
		punt(w, IPC_LOGIN, &c);
		break;
	case STEP_STORE:
		step_store(w, in);
		break;
	case STEP_DELIVERED:
		step_delivered(w, in);
		break;
	case STEP_SESSION:
		step_session(w, in);
		break;
	case STEP_STALE:
		step_stale(w, in);
		break;
	case STEP_VERDICT:
		step_verdict(w, in);
		break;
	case STEP_TIME:
		step_time(w, byte(in));
		break;
	case STEP_HASH:
		w->hold_jobs = !w->hold_jobs;
		break;
	case STEP_FULL:
		w->full = !w->full;
		break;
	case STEP_STORE_FAILS:
		world_store_fails = !world_store_fails;
		break;
	case STEP_CONTROL_DIES:
		world_control_dies(w);
		break;
	case STEP_DATAPLANE_DIES:
		world_dataplane_dies(w);
		break;
	case STEP_ADMIN:
		len = bytes(in, &given);
		step_admin(w, given, len);
		break;
	case STEP_CELL:
		step_cell(w, in);
		break;
	case STEP_POKE:
		step_poke(w, in);
		break;
	default:
		step_scribble(w, in);
		break;
	}
}

static void
account(struct world *w, unsigned n)
{
	struct peer *p = &w->peers[n];
	static const uint8_t login[] = {0, 0, 4, 0, 0};
	uint8_t steps[sizeof(login)];
	struct input in = {steps, steps + sizeof(steps)};

	memcpy(steps, login, sizeof(login));
	steps[0] = (uint8_t)n;
	step_login(w, &in);
	world_settle(w);
	FUZZ_CHECK(p->sid != SESSION_ID_NONE);
	request_make(w, p, 0, NAME(n), 0, (char *)(uintptr_t)"");
	world_settle(w);
	FUZZ_CHECK(p->user != 0);
}

/* alice and bob are buddies, carol has an account, and a fourth device has a key. */
static void
inhabit(struct world *w)
{
	for (unsigned i = 0; i < PEERS; i++) {
		uint8_t secret[32] = {(uint8_t)(8 * (i + 2))}; /* the lowest three bits do not count */

		handshake_keypair_from_secret(&w->peers[i].key, secret);
		w->peers[i].timestamp = 1000;
		if (i < 3)
			account(w, i);
	}
	request_make(w, &w->peers[0], ROOKERY__REQUEST__BODY_ADD_BUDDY - 1, NAME(1), 1, (char *)(uintptr_t)"hi");
	world_settle(w);
	request_make(w, &w->peers[1], ROOKERY__REQUEST__BODY_ANSWER_BUDDY - 1, NAME(0), 1, (char *)(uintptr_t)"");
	world_settle(w);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, data + size};
	static struct world w;

	if (size > 2048)
		return 0;
	world_start(&w);
	inhabit(&w);
	while (in.p < in.end) {
		one_step(&w, &in);
		world_settle(&w);
	}
	world_stop(&w);
	return 0;
}
