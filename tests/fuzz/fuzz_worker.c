/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two whole workers and housekeeping (the world of the relay tests), against clients and a control process that say
 * anything.
 *
 *   input: steps, each one byte (enum step, modulo its number) and its own bytes
 *
 * Four sessions exist: two of users who may write to each other, one whose relations are not known, one restricted. Packets are
 * sealed here with their keys, so that the input reaches what is behind the tag. STEP_CELL, STEP_SCRIBBLE and STEP_HEADER are a hostile
 * control's. Afterwards all invariants of the workers hold, every packet is accounted for by name, and every packet buffer is back.
 */
#include "steps.h"

#include "../unit/dataplane/eal_fixture.h"
#include "../unit/dataplane/relay_world.h"

#include "shared/handshake_internal.h"
#include "shared/log.h"
#include "shared/ticket.h"

#define PEERS 4
#define SENT_MAX 8

enum step {
	STEP_RAW,      /* worker, address, length and bytes: a datagram */
	STEP_HEAD,     /* worker, address, type, peer, length and bytes: one with a right prefix */
	STEP_FRAMES,   /* peer, how, length and bytes: sealed */
	STEP_MESSAGE,  /* peer, to, id, prev, floor, flags, length */
	STEP_ACK,      /* peer, first, count */
	STEP_CONFIRM,  /* peer, id; from 128 on all but a range below it: distance, length */
	STEP_REQUEST,  /* peer, number, fragment, fragments, length and bytes */
	STEP_REPLAY,   /* which: a packet again, from another worker or address */
	STEP_ANSWER,   /* how: control takes what is in its rings and answers the last question of each kind */
	STEP_TAKE,     /* control takes what is in its rings */
	STEP_TIME,     /* how much */
	STEP_INJECT,   /* type, worker, peer, length and bytes: a cell of a known type, for a session that exists */
	STEP_CELL,     /* ring, length and bytes: a cell */
	STEP_SCRIBBLE, /* ring, index (u32): of control's */
	STEP_HEADER,   /* offset (u16), value (u32): into the header of the region */
	STEPS
};

/* Not among the numbers above, which corpora know. */
enum {
	STEP_RESUME = 252,   /* worker, peer, how, count: it comes back with a ticket */
	STEP_REQUESTS,       /* peer, count: so many in a row */
	STEP_PATH,           /* peer, address, how: a client moves */
	STEP_LOGIN,          /* worker, address, how, count: LOGINs with a right mac1 */
};

struct kept {
	uint8_t data[WIRE_DATAGRAM_MAX];
	size_t len;
};

struct game {
	struct world *w;
	struct peer peers[PEERS];
	struct kept sent[SENT_MAX];
	unsigned sent_count;
	struct cell store, verdict;
	struct handshake_client login; /* knows the last cookie that was sent to anybody */
	struct peer *resuming; /* of the last RESUME */
	uint8_t resume_nonce[RESUME_NONCE];
	bool logins; /* or RESUMEs */
};

static struct handshake_keypair server, device;
static const struct ticket_key ticket_keys[] = {{1, {1}}, {2, {2}}, {3, {3}}}; /* the workers have the first two */
static const uint8_t ticket_secret[RESUME_SECRET] = {5};

/* The logs of 1,000 inputs a second are of no use. */
void
log_write(struct log_site *site, enum log_level level, enum log_area area, const char *message, const char *fields, ...)
{
	(void)site;
	(void)level;
	(void)area;
	(void)message;
	(void)fields;
}

/* ---- packets ------------------------------------------------------------------------------------ */

/* The peer goes on in the session that it was given. */
static void
resumed(struct game *g, const uint8_t *in)
{
	const uint8_t *nonce = in + WIRE_PREFIX + RESUME_NONCE;
	uint8_t proof[RESUME_PROOF];
	struct session_secret session;
	struct peer *p = g->resuming;

	if (p == NULL || memcmp(in + WIRE_PREFIX, g->resume_nonce, RESUME_NONCE) != 0)
		return;
	p->sid = get64(nonce + RESUME_NONCE);
	resume_secret(&session, ticket_secret, g->resume_nonce, nonce, p->sid);
	resume_derive(&p->keys, proof, &session, 0);
	FUZZ_CHECK(memcmp(proof, nonce + RESUME_NONCE + 8, RESUME_PROOF) == 0);
	FUZZ_CHECK(aead_key_set(&p->key, p->keys.key) == 0);
	p->epoch = 0;
	p->sequence = 0;
}

static void
transmitted(struct game *g)
{
	struct world *w = g->w;

	while (w->tx.head != w->tx.tail) {
		struct rte_mbuf *m = w->tx.pkts[w->tx.head++ % WORLD_QUEUE];
		const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);

		if (m->pkt_len == m->data_len && g->logins && data[0] == WIRE_COOKIE)
			handshake_client_cookie(&g->login, data, m->data_len);
		if (m->pkt_len == RESUME_ACCEPTED_SIZE && data[0] == WIRE_RESUME)
			resumed(g, data);
		FUZZ_CHECK(m->pkt_len >= 1 && m->pkt_len <= WIRE_DATAGRAM_MAX && m->pkt_len == m->data_len);
		rte_pktmbuf_free(m);
	}
}

static struct endpoint
address(uint8_t n)
{
	uint8_t ip[4] = {192, 0, 2, (uint8_t)(1 + n % 4)};
	struct endpoint e;

	endpoint_set_ipv4(&e, ip, (uint16_t)(1000 + n % 8));
	return e;
}

static void
receive(struct game *g, uint32_t at, const struct endpoint *from, const uint8_t *data, size_t len)
{
	struct kept *k = &g->sent[g->sent_count++ % SENT_MAX];

	if (len == 0 || len > WIRE_DATAGRAM_MAX)
		return;
	memcpy(k->data, data, len);
	k->len = len;
	world_send_raw(g->w, at % g->w->count, from, k->data, len);
}

/* how: 1 before the other worker, 2 from another address, 4 of the next epoch, 8 a counter far ahead, 16 damaged, 32 of the epoch before,
 * 64 twice, 128 after a damaged one; all in one burst */
static void
seal(struct game *g, struct peer *p, uint8_t how, const uint8_t *plain, size_t len)
{
	struct wire_data d = {.sid = p->sid};
	uint8_t out[WIRE_DATAGRAM_MAX], nonce[AEAD_NONCE];
	struct endpoint other = address(how);

	if (len == 0 || len > WIRE_PLAINTEXT_MAX)
		return;
	p->sequence += how & 8 ? 3000 : 1;
	if (how & 64)
		seal(g, p, how & ~0xc0, plain, len);
	if (how & 128)
		seal(g, p, (how & 1) | 16, plain, len);
	d.counter = wire_counter((uint16_t)(p->epoch + (how & 4 ? 1 : 0) - (how & 32 ? 1 : 0)), p->sequence);
	wire_data_write(&d, out);
	wire_nonce(nonce, WIRE_TO_SERVER, d.counter);
	aead_seal(&p->key, nonce, out, WIRE_DATA_HEADER, plain, len, out + WIRE_DATA_HEADER, out + WIRE_DATA_HEADER + len);
	if (how & 16)
		out[how % (WIRE_DATA_HEADER + len)] ^= 1;
	receive(g, session_id_worker(p->sid) + (how & 1), how & 2 ? &other : &p->address, out,
		WIRE_DATA_HEADER + len + WIRE_TAG);
}

static void
seal_frame(struct game *g, struct peer *p, uint8_t how, const struct frame *f)
{
	uint8_t plain[WIRE_PLAINTEXT_MAX];
	int n = frame_write(f, plain, sizeof(plain));

	if (n > 0)
		seal(g, p, how, plain, (size_t)n);
}

static void
step_head(struct game *g, struct input *in)
{
	static const uint8_t types[] = {WIRE_DATA, WIRE_LOGIN, WIRE_KEY, WIRE_RESET, WIRE_LOGIN_REPLY, WIRE_COOKIE};
	static const uint8_t oversize[WIRE_DATAGRAM_MAX + 1] = {WIRE_DATA, WIRE_VERSION};
	uint8_t out[WIRE_DATAGRAM_MAX] = {0}, at = byte(in), from = byte(in), type = byte(in), peer = byte(in);
	struct wire_prefix prefix = {.type = types[type % 6],
				     .version = type >= 240 ? 9 : WIRE_VERSION,
				     .id = peer < 128 ? g->peers[peer % PEERS].sid : peer == 255 ? UINT64_MAX : peer};
	struct endpoint e = address(from);
	const uint8_t *given;
	size_t len = bytes(in, &given);

	wire_prefix_write(&prefix, out);
	memcpy(out + WIRE_PREFIX, given, len);
	receive(g, at, &e, out, peer & 64 ? 600 : WIRE_PREFIX + len);
	if (type == 239)
		world_send_raw(g->w, at % g->w->count, &e, oversize, sizeof(oversize));
}

/* how: 1 with the cookie, if one came; 2 damaged; 4 cookie secrets change first, 8 twice */
static void
step_login(struct game *g, struct input *in)
{
	static const uint8_t ephemeral[HANDSHAKE_KEY] = {9}, hello[HANDSHAKE_LOGIN_MIN - HANDSHAKE_LOGIN_OVERHEAD];
	uint8_t out[WIRE_DATAGRAM_MAX], at = byte(in);
	struct endpoint from = address(byte(in));
	uint8_t how = byte(in), count = byte(in);
	int n;

	for (unsigned i = 0; i < ((how >> 2) & 3); i++) {
		g->w->now_us += GUARD_COOKIE_LIFE_MS * UINT64_C(1000);
		world_settle(g->w);
	}
	g->logins = true;
	if ((how & 1) == 0)
		g->login.have_cookie = false;
	n = handshake_client_start_fixed(&g->login, &device, server.public, 1, ephemeral, hello, sizeof(hello), out,
					 sizeof(out));
	FUZZ_CHECK(n == HANDSHAKE_LOGIN_MIN);
	if (how & 2)
		out[how % (unsigned)n] ^= 1;
	for (unsigned i = 0; i <= count; i++)
		receive(g, at, &from, out, (size_t)n);
}

/* how: 1 damaged, 2 expired, 4 of the key before, 8 of a key that is no more, 16 no new nonce, 32 too short; at last so many copies */
static void
step_resume(struct game *g, struct input *in)
{
	uint8_t out[RESUME_SIZE], ticket[TICKET_SIZE], at = byte(in), who = byte(in), how = byte(in), count = byte(in);
	struct ticket t = {.user = 1 + who % PEERS, .device = 10 * (1 + who % PEERS), .login_timestamp = 1,
			   .expires_ms = g->w->wall_ms + (how & 2 ? 0 : 60000), .status = how % 4};
	const uint8_t nonce[TICKET_NONCE] = {who};
	struct ticket_cipher c = {0};

	g->logins = true;
	g->resuming = &g->peers[who % PEERS];
	g->resume_nonce[0] += how & 16 ? 0 : 1;
	memcpy(t.secret, ticket_secret, sizeof(t.secret));
	FUZZ_CHECK(ticket_cipher_set(&c, &ticket_keys[how & 8 ? 2 : how & 4 ? 1 : 0]) == 0);
	ticket_seal(&t, &c, nonce, ticket);
	ticket_cipher_clear(&c);
	resume_write(out, 77, g->resume_nonce, ticket);
	if (how & 1)
		out[WIRE_PREFIX + RESUME_NONCE + who % TICKET_SIZE] ^= 1;
	for (unsigned i = 0; i <= count; i++)
		receive(g, at, &g->resuming->address, out, how & 32 ? RESUME_SIZE - 1 : RESUME_SIZE);
}

static void
step_message(struct game *g, struct input *in)
{
	static const uint8_t text[MESSAGE_BODY_MAX];
	struct peer *p = &g->peers[byte(in) % PEERS];
	struct frame f = {.type = FRAME_MESSAGE, .message = {.to = byte(in) % 6, .body = text}};
	uint8_t how;

	f.message.id = 1 + byte(in) % 32;
	f.message.prev_delta = byte(in) % 8;
	f.message.floor_delta = byte(in) % 8;
	how = byte(in);
	f.message.flags = how & 0xc0 ? 0 : how & MESSAGE_NUDGE;
	f.message.length = f.message.flags & MESSAGE_NUDGE ? 0 : (uint16_t)(1 + byte(in) * 4u % MESSAGE_BODY_MAX);
	seal_frame(g, p, how & 7, &f);
}

static void
step_ack(struct game *g, struct input *in)
{
	struct peer *p = &g->peers[byte(in) % PEERS];
	uint8_t range[6] = {0, 0, 0, byte(in), 0, byte(in)};
	struct frame f = {.type = FRAME_ACK, .ack = {.count = 1, .ranges = range}};

	if (range[3] >= 250)
		range[0] = range[4] = 0xff;
	seal_frame(g, p, 0, &f);
}

static void
step_request(struct game *g, struct input *in)
{
	struct peer *p = &g->peers[byte(in) % PEERS];
	struct frame f = {.type = FRAME_REQUEST, .request = {.request = byte(in)}};

	f.request.fragment = byte(in) % 9;
	f.request.fragments = byte(in) % 9;
	f.request.length = (uint16_t)bytes(in, &f.request.body);
	seal_frame(g, p, 0, &f);
}

static void
step_requests(struct game *g, struct input *in)
{
	struct peer *p = &g->peers[byte(in) % PEERS];
	struct frame f = {.type = FRAME_REQUEST, .request = {.fragments = 1}};

	for (unsigned n = byte(in); n > 0; n--) {
		f.request.request++;
		seal_frame(g, p, 0, &f);
		if (n % 32 == 0)
			world_settle(g->w);
	}
}

/* The token of the PATH_CHALLENGE that was sent to p where it is now; 0: none. */
static uint64_t
challenge(struct game *g, struct peer *p)
{
	uint8_t data[WIRE_DATAGRAM_MAX], nonce[AEAD_NONCE];
	uint64_t token = 0;
	struct wire_data d;
	struct frame f;
	size_t len;

	while ((len = world_receive_raw(g->w, &p->address, data, sizeof(data))) > 0) {
		uint8_t *plain = data + WIRE_DATA_HEADER;
		int n;

		if (wire_data_read(&d, data, len) != 0)
			continue;
		len -= WIRE_DATA_HEADER + WIRE_TAG;
		wire_nonce(nonce, WIRE_TO_CLIENT, d.counter);
		/* Another peer may have the address, and the session other keys by now. */
		if (d.sid != p->sid || aead_open(&p->key, nonce, data, WIRE_DATA_HEADER, plain, len, plain, plain + len) != 0)
			continue;
		for (size_t at = 0; at < len && (n = frame_read(&f, plain + at, len - at)) > 0; at += (size_t)n)
			token = f.type == FRAME_PATH_CHALLENGE ? f.token : token;
	}
	return token;
}

/* how: 1 the answer is wrong, 2 from elsewhere */
static void
step_path(struct game *g, struct input *in)
{
	struct peer *p = &g->peers[byte(in) % PEERS];
	struct frame f = {.type = FRAME_PING, .token = 1};
	uint8_t where = byte(in), how = byte(in);

	p->address = address(where);
	seal_frame(g, p, 0, &f);
	world_settle(g->w);
	f.type = FRAME_PATH_RESPONSE;
	f.token = challenge(g, p) ^ (how & 1);
	if (how & 2)
		p->address = address(where + 1);
	seal_frame(g, p, 0, &f);
}

/* ---- control -------------------------------------------------------------------------------------- */

static void
take(struct game *g)
{
	for (uint32_t i = 0; i < g->w->count; i++) {
		for (enum ipc_ring kind = IPC_EVENT; kind <= IPC_TRACE; kind++) {
			const struct cell_ring *r = ipc_ring(&g->w->ipc, kind, i);
			struct cell copy;
			const struct cell *c;

			if (kind == IPC_INJECT)
				continue;
			for (; (c = ring_front(r)) != NULL; ring_release(r)) {
				if (!cell_copy(&copy, c))
					continue;
				if (copy.type == PUNT_STORE)
					g->store = copy;
				if (copy.type == PUNT_VERDICT)
					g->verdict = copy;
			}
		}
	}
}

static void
put(struct game *g, enum ipc_ring kind, uint32_t worker, const struct cell *c)
{
	const struct cell_ring *r = ipc_ring(&g->w->ipc, kind, worker % g->w->count);
	struct cell *slot = ring_reserve(r);

	if (slot == NULL)
		return;
	memcpy(slot, c, sizeof(*c));
	ring_publish(r);
}

static void
step_answer(struct game *g, uint8_t how)
{
	struct cell c;

	take(g);
	if (g->store.type == PUNT_STORE) {
		memset(&c, 0, sizeof(c));
		c.type = INJECT_STORED;
		c.stored = (struct cell_stored){.record = g->store.store.record,
						.id = g->store.store.id,
						.device = g->store.store.device,
						.ok = !(how & 1),
						.stored = (how >> 1) & 3};
		put(g, IPC_INJECT, g->store.worker, &c);
	}
	if (g->verdict.type == PUNT_VERDICT) {
		memset(&c, 0, sizeof(c));
		c.type = INJECT_VERDICT;
		c.verdict = (struct cell_verdict){.record = g->verdict.verdict.record,
						  .from = g->verdict.verdict.from,
						  .to = g->verdict.verdict.to,
						  .verdict = how % 5,
						  .away = how >> 7,
						  .live_count = how & 8 ? 2 : 0};
		for (unsigned i = 0; i < c.verdict.live_count; i++)
			c.verdict.live[i] = (struct live_session){g->peers[(i + how) % PEERS].sid, g->peers[i].device};
		put(g, IPC_INJECT, g->verdict.worker, &c);
	}
	if (!(how & 16))
		g->store.type = g->verdict.type = 0;
}

static void
step_inject(struct game *g, struct input *in)
{
	uint8_t type = byte(in), worker = byte(in), peer = byte(in);
	session_id_t sid = g->peers[peer % PEERS].sid;
	const uint8_t *given;
	struct cell c;
	size_t len;

	memset(&c, 0, sizeof(c));
	len = bytes(in, &given);
	if (len > offsetof(struct cell, data) - 8)
		len = offsetof(struct cell, data) - 8;
	c.type = type & 128 ? TABLE_USER_SET + type % 5 : INJECT_SESSION_ADD + type % 10;
	memcpy((uint8_t *)&c + 8, given, len);
	if (c.type == INJECT_FRAME) {
		struct frame f = {.type = peer & 4 ? FRAME_NOTIFY : FRAME_DELIVER,
				  .deliver = {.from = 1, .from_device = 10, .id = 1, .body = c.data, .length = worker}};

		c.frame.session_count = 1;
		c.frame.sids[0] = sid;
		if (f.type == FRAME_NOTIFY)
			f.notify = (struct frame_notify){.body = c.data, .length = worker};
		c.length = (uint16_t)frame_write(&f, c.data, WIRE_PLAINTEXT_MAX);
		if (peer & 8)
			c.data[peer % c.length] ^= 1;
	} else if (c.type == INJECT_DATAGRAM) {
		c.length = 100;
	} else if (c.type < INJECT_DATAGRAM || c.type == INJECT_RECEIPT || c.type == INJECT_PROBE) {
		c.session_del.sid = sid; /* where all these have it */
		if (peer & 16)
			c.session_del.sid += UINT64_C(1) << 32; /* the next generation */
	}
	put(g, type & 128 ? IPC_TABLE : IPC_INJECT, peer & 32 ? worker : session_id_worker(sid), &c);
}

static void
step_cell(struct game *g, struct input *in)
{
	uint8_t ring = byte(in);
	const uint8_t *given;
	struct cell c;
	size_t len = bytes(in, &given);

	memset(&c, 0, sizeof(c));
	memcpy(&c, given, len);
	put(g, ring & 128 ? IPC_TABLE : IPC_INJECT, ring, &c);
}

static void
step_scribble(struct game *g, struct input *in)
{
	uint8_t ring = byte(in);
	const struct cell_ring *r = ipc_ring(&g->w->ipc, ring % (IPC_TABLE + 1), ring & 64 ? 1 : 0);

	if (ring & 128)
		atomic_store(&r->shared->published, word(in));
	else
		atomic_store(&r->shared->released, word(in));
}

static void
step_header(struct game *g, struct input *in)
{
	size_t offset = half(in) % sizeof(struct ipc_header) & ~(size_t)3;
	uint32_t value = word(in);

	memcpy((uint8_t *)g->w->ipc.header + offset, &value, sizeof(value));
}

static void
step_confirm(struct game *g, struct input *in)
{
	struct peer *p = &g->peers[byte(in) % PEERS];
	struct frame f = {.type = FRAME_CONFIRM};
	uint8_t n = byte(in), gap[6];
	message_id_t first;

	f.confirm = n % 40;
	if (n >= 128) {
		first = n % 40 - byte(in) % 40;
		wire_confirm_gap_put(gap, 0, n % 40, first, first + byte(in) % 8);
		f = (struct frame){.type = FRAME_CONFIRM_GAPS, .confirm_gaps = {.id = n % 40, .count = 1, .gaps = gap}};
	}
	seal_frame(g, p, 0, &f);
}

/* ---- one input -------------------------------------------------------------------------------------- */

static void
one_step(struct game *g, struct input *in)
{
	const struct kept *k;
	const uint8_t *given;
	struct endpoint e;
	struct peer *p;
	uint8_t at, n = byte(in);
	size_t len;

	if (n >= STEP_RESUME) {
		(n == STEP_LOGIN ? step_login : n == STEP_PATH ? step_path : n == STEP_REQUESTS ? step_requests : step_resume)(g, in);
		return;
	}
	switch (n % STEPS) {
	case STEP_RAW:
		at = byte(in);
		e = address(byte(in));
		len = bytes(in, &given);
		receive(g, at, &e, given, len);
		break;
	case STEP_HEAD:
		step_head(g, in);
		break;
	case STEP_FRAMES:
		p = &g->peers[byte(in) % PEERS];
		n = byte(in);
		len = bytes(in, &given);
		seal(g, p, n, given, len);
		break;
	case STEP_MESSAGE:
		step_message(g, in);
		break;
	case STEP_ACK:
		step_ack(g, in);
		break;
	case STEP_CONFIRM:
		step_confirm(g, in);
		break;
	case STEP_REQUEST:
		step_request(g, in);
		break;
	case STEP_REPLAY:
		n = byte(in);
		k = &g->sent[n % SENT_MAX];
		e = address(n);
		if (k->len > 0)
			world_send_raw(g->w, n >> 7, &e, k->data, k->len);
		break;
	case STEP_ANSWER:
		step_answer(g, byte(in));
		break;
	case STEP_TAKE:
		take(g);
		break;
	case STEP_TIME:
		n = byte(in);
		if (n < 200) {
			world_pass(g->w, n * UINT64_C(1000));
		} else {
			/* in few steps: an input is to end soon */
			for (unsigned i = 0; i < 8; i++) {
				g->w->now_us += (n - 199) * UINT64_C(40000);
				world_settle(g->w);
			}
		}
		break;
	case STEP_INJECT:
		step_inject(g, in);
		break;
	case STEP_CELL:
		step_cell(g, in);
		break;
	case STEP_SCRIBBLE:
		step_scribble(g, in);
		break;
	default:
		step_header(g, in);
		break;
	}
}

/* Making a world takes longer than most inputs: it serves some, emptied in between. */
#define WORLD_INPUTS 64

static struct game game;
static struct ipc_header header; /* as it was */

static void
world_make(struct game *g)
{
	static const uint8_t server_secret[32] = {8}, device_secret[32] = {7};
	static const uint8_t heads[] = {0, 0, 0, 192, 8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 2, 192, 0, /* DATA, KEY */
					0, 0, 0, 0, 0, 0, 0, 0};
	struct input early = {heads, heads + sizeof(heads)};

	g->w = world_new(2);
	handshake_keypair_from_secret(&server, server_secret);
	handshake_keypair_from_secret(&device, device_secret);
	/* before control has said the key */
	step_head(g, &early);
	step_head(g, &early);
	step_login(g, &early);
	step_resume(g, &early);
	world_settle(g->w);
	transmitted(g);
	memcpy(g->w->ipc.header->server_public, server.public, sizeof(server.public));
	atomic_store(&g->w->ipc.header->server_key_set, 1);
	memcpy(&header, g->w->ipc.header, sizeof(header));
}

static void
game_start(struct game *g)
{
	const struct peer *live[1];

	memset(g->peers, 0, sizeof(g->peers));
	memset(g->sent, 0, sizeof(g->sent));
	g->sent_count = 0;
	g->store.type = g->verdict.type = 0;
	handshake_client_clear(&g->login);
	memset(g->resume_nonce, 0, sizeof(g->resume_nonce));
	g->resuming = NULL;
	g->logins = false;
	for (uint32_t i = 0; i < g->w->count; i++) {
		struct cell *c = control_put(g->w, IPC_INJECT, i, INJECT_TICKET_KEYS);

		c->ticket_keys = (struct cell_ticket_keys){.key = {ticket_keys[0], ticket_keys[1]}};
		control_publish(g->w, IPC_INJECT, i);
	}
	for (unsigned i = 0; i < PEERS; i++)
		peer_join(&g->peers[i], g->w, i % 2, i, i == 3 ? 0 : 1 + i, i == 3 ? SESSION_RESTRICTED : 0);
	for (unsigned i = 0; i < 2; i++) {
		live[0] = &g->peers[i];
		control_user(g->w, 1 + i, i == 0, live, 1);
		control_allow(g->w, 1 + i, 2 - i, VERDICT_ALLOWED);
	}
	transmitted(g);
}

static void
game_end(struct game *g)
{
	struct world *w = g->w;

	for (unsigned i = 0; i < PEERS; i++)
		aead_key_clear(&g->peers[i].key);
	for (uint32_t i = 0; i < w->count; i++) {
		struct session_table *t = &w->workers[i]->sessions;

		for (uint32_t k = 0; k < t->capacity; k++) {
			if (t->sessions[k].generation != 0)
				session_remove(w->workers[i], &t->sessions[k]);
			t->sessions[k].ended = 0; /* the next input's sessions have the same ids */
		}
	}
	for (uint32_t i = 0; i < w->count; i++)
		trace_set(w->workers[i], &(struct cell){.type = INJECT_TRACE});
	tables_apply(w->tables, &(struct cell){.type = TABLE_BANS, .bans = {.first = 1, .last = 1}});
	memcpy(w->ipc.header, &header, sizeof(header));
	for (uint32_t i = 0; i <= w->count * IPC_WORKER_RINGS; i++) {
		atomic_store(&w->ipc.rings[i].shared->published, 0);
		atomic_store(&w->ipc.rings[i].shared->released, 0);
	}
	take(g);
	/* The next input finds the limits on LOGINs as this one did. */
	if (g->logins)
		w->now_us += UINT64_C(120000000);
	world_settle(w);
	world_check(w);
	transmitted(g);
	take(g);
}

/* Buffers that are out are found here. */
static void
world_end(void)
{
	if (game.w != NULL)
		world_free(game.w);
	game.w = NULL;
	eal_fixture_end();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, data + size};
	static unsigned inputs;

	if (!world_quick) {
		FUZZ_CHECK(handshake_init() == 0 && aead_init() == 0 && eal_fixture_start() == 0);
		atexit(world_end);
		world_quick = true;
	}
	if (size > 1024)
		return 0;
	if (inputs++ % WORLD_INPUTS == 0) {
		if (game.w != NULL)
			world_free(game.w);
		world_make(&game);
	}
	game_start(&game);
	while (in.p < in.end) {
		one_step(&game, &in);
		world_settle(game.w);
		transmitted(&game);
	}
	game_end(&game);
	return 0;
}
