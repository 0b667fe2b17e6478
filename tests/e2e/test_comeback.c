/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * All clients come back by ticket at once, after the server was down: more than it has places for at a time. It gives those who find
 * none a time to come again, and all get back, to the worker first and then to control.
 *
 * The clients are the protocol's bytes on one socket. ROOKERY_E2E_CLIENTS: so many instead, with tables of full size, who all speak
 * as soon as they may; then it prints how long it takes.
 */
#include "scenario.h"
#include "server.h"

#include "shared/bytes.h"
#include "shared/rookery.pb-c.h"
#include "shared/ticket.h"
#include "shared/wire.h"

#include <poll.h>
#include <setjmp.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define FEW 1300
#define FEW_SESSIONS 1500
#define FEW_PLACES 1024 /* for those who were not heard yet; one of them gives way after */
#define GIVE_WAY_MS 1000
#define SENDS_AT_ONCE 128
#define RETRIES 4

enum state {
	AWAY,     /* sends RESUME when it is due */
	ASKED,    /* and waits for the answer */
	ANSWERED, /* has a session; speaks when it is due */
	BACK,     /* was answered in it */
	KNOWN,    /* control has told it so */
};

struct comer {
	enum state state;
	unsigned sends;
	bool answered;     /* once, at least */
	bool told_when;    /* the server has given it a time to come */
	uint64_t due_ms;
	uint8_t nonce[RESUME_NONCE];
	uint8_t ticket[TICKET_SIZE];
	session_id_t sid;
	struct session_keys keys;
	uint64_t sequence;
};

struct crowd {
	struct world *w;
	int fd;
	uint32_t count;
	struct comer *comers;
	uint32_t *owners; /* by the slot of a session: comer + 1 */
	uint32_t slots;
	uint8_t secret[RESUME_SECRET];
	bool wait;        /* nobody speaks before everybody was answered */
	uint32_t unanswered, back, known;
	uint64_t start_ms, answered_ms, back_ms;
	uint32_t told_when, refused, begun_anew;
};

/* ---- who they are ---- */

static void
sql(struct world *w, sqlite3 *db, const char *format, uint32_t n)
{
	char text[512], *error = NULL;

	snprintf(text, sizeof(text), format, n);
	if (sqlite3_exec(db, text, NULL, NULL, &error) != SQLITE_OK)
		world_fail(w, "%s: %s", text, error);
}

static uint64_t
meta(struct world *w, sqlite3 *db, const char *name)
{
	sqlite3_stmt *q;
	uint64_t value;

	world_check(w, sqlite3_prepare_v2(db, "SELECT value FROM meta WHERE name = ?", -1, &q, NULL) == SQLITE_OK);
	sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
	world_check(w, sqlite3_step(q) == SQLITE_ROW);
	value = (uint64_t)sqlite3_column_int64(q, 0);
	sqlite3_finalize(q);
	return value;
}

/* Users with a device each, every one a buddy of the next; and the key of their tickets. */
static void
users_make(struct world *w, uint32_t n, struct ticket_key *key)
{
	char path[160];
	uint64_t half[2];
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/rookery.db", w->server->state_dir);
	world_check(w, sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK);
	sql(w, db, "BEGIN", 0);
	sql(w, db, "INSERT INTO users(id, name, hash, created_ms) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
		   " WHERE i < %u) SELECT i, 'user' || i, '!', 0 FROM n", n);
	sql(w, db, "INSERT INTO devices(id, user, key, name, login_timestamp, last_seen_ms)"
		   " SELECT id, id, randomblob(32), '', 1, 0 FROM users", 0);
	sql(w, db, "INSERT INTO relations SELECT id, id %% %1$u + 1, 3, 0, '', '', '' FROM users UNION ALL"
		   " SELECT id %% %1$u + 1, id, 3, 0, '', '', '' FROM users", n);
	sql(w, db, "COMMIT", 0);
	key->id = (uint32_t)meta(w, db, "ticket_key_id");
	half[0] = meta(w, db, "ticket_key_a");
	half[1] = meta(w, db, "ticket_key_b");
	memcpy(key->key, half, sizeof(key->key));
	sqlite3_close(db);
}

static void
crowd_make(struct crowd *c, const struct ticket_key *key)
{
	struct ticket_cipher cipher = {0};
	uint8_t nonce[TICKET_NONCE];

	world_check(c->w, ticket_cipher_set(&cipher, key) == 0);
	randombytes_buf(c->secret, sizeof(c->secret));
	for (uint32_t i = 0; i < c->count; i++) {
		struct ticket t = {.user = i + 1, .device = i + 1, .login_timestamp = 1, .expires_ms = UINT64_MAX, .status = 2};

		memcpy(t.secret, c->secret, sizeof(t.secret));
		randombytes_buf(nonce, sizeof(nonce));
		ticket_seal(&t, &cipher, nonce, c->comers[i].ticket);
	}
	ticket_cipher_clear(&cipher);
}

static void
crowd_connect(struct crowd *c)
{
	struct sockaddr_storage ss;
	struct endpoint server;
	socklen_t len;
	int room = 4 << 20;

	world_check(c->w, endpoint_parse(&server, world_server_address(c->w), 0) == 0);
	len = endpoint_to_sockaddr(&server, &ss);
	c->fd = socket_in(c->w->client_ns, ss.ss_family, SOCK_DGRAM, 0);
	world_check(c->w, c->fd >= 0 && connect(c->fd, (struct sockaddr *)&ss, len) == 0);
	setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
}

/* ---- what they send ---- */

static void
speak(struct crowd *c, struct comer *k, const struct frame *f)
{
	struct wire_data d = {.sid = k->sid, .counter = wire_counter(0, ++k->sequence)};
	uint8_t out[WIRE_DATAGRAM_MAX], *plain = out + WIRE_DATA_HEADER, nonce[AEAD_NONCE];
	struct aead_key key = {0};
	int n = frame_write(f, plain, WIRE_PLAINTEXT_MAX);

	world_check(c->w, n > 0 && aead_key_set(&key, k->keys.key) == 0);
	wire_data_write(&d, out);
	wire_nonce(nonce, WIRE_TO_SERVER, d.counter);
	aead_seal(&key, nonce, out, WIRE_DATA_HEADER, plain, (size_t)n, plain, plain + n);
	aead_key_clear(&key);
	(void)send(c->fd, out, WIRE_DATA_HEADER + (size_t)n + WIRE_TAG, 0);
}

static void
begin_anew(struct comer *k, uint64_t due_ms)
{
	k->state = AWAY;
	k->sends = 0;
	k->due_ms = due_ms;
}

static void
ask(struct crowd *c, struct comer *k, uint64_t now)
{
	uint8_t out[RESUME_SIZE];

	if (k->sends == RETRIES)
		k->sends = 0;
	if (k->sends == 0)
		randombytes_buf(k->nonce, sizeof(k->nonce));
	k->state = ASKED;
	k->due_ms = now + (250u << k->sends++);
	resume_write(out, (uint64_t)(k - c->comers), k->nonce, k->ticket);
	(void)send(c->fd, out, sizeof(out), 0);
}

/* Returns whether it sent something. */
static bool
comer_due(struct crowd *c, struct comer *k, uint64_t now)
{
	static const struct frame ping = {.type = FRAME_PING, .token = 1};

	if (k->state == KNOWN || k->due_ms > now || (k->state == ANSWERED && c->wait && c->unanswered != 0))
		return false;
	if (k->state == AWAY || k->state == ASKED) {
		ask(c, k, now);
		return true;
	}
	if (k->state == ANSWERED && k->sends++ == RETRIES) {
		c->begun_anew++;
		begin_anew(k, now);
		return false;
	}
	k->due_ms = now + (k->state == BACK ? 5000 : 500);
	speak(c, k, &ping);
	return true;
}

/* ---- what they hear ---- */

static void
answer_heard(struct crowd *c, const uint8_t *in, size_t len, uint64_t now)
{
	uint8_t proof[RESUME_PROOF];
	struct session_secret secret = {.resumed = 0};
	const uint8_t *nonce = in + WIRE_PREFIX + RESUME_NONCE;
	struct wire_prefix p;
	struct comer *k;

	wire_prefix_read(&p, in);
	if (len < RESUME_REFUSED_SIZE || p.id >= c->count)
		return;
	k = &c->comers[p.id];
	if (k->state != ASKED || memcmp(in + WIRE_PREFIX, k->nonce, RESUME_NONCE) != 0)
		return;
	k->sends = 0;
	if (!k->answered && --c->unanswered == 0)
		c->answered_ms = now - c->start_ms;
	k->answered = true;
	if (p.flags == (RESUME_ANSWER | RESUME_VOID)) {
		c->refused++;
		begin_anew(k, now + 1000);
	} else if (p.flags != RESUME_ANSWER) {
		c->told_when += !k->told_when;
		k->told_when = true;
		begin_anew(k, now + (p.flags & ~RESUME_ANSWER) * 100u);
	} else {
		world_check(c->w, len == RESUME_ACCEPTED_SIZE);
		k->sid = get64(nonce + RESUME_NONCE);
		resume_secret(&secret, c->secret, k->nonce, nonce, k->sid);
		resume_derive(&k->keys, proof, &secret, 0);
		world_check(c->w, memcmp(proof, nonce + RESUME_NONCE + 8, sizeof(proof)) == 0);
		world_check(c->w, session_id_index(k->sid) < c->slots);
		c->owners[session_id_index(k->sid)] = (uint32_t)(k - c->comers) + 1;
		k->state = ANSWERED;
		k->sequence = 0;
		k->due_ms = now;
	}
}

static void
known(struct crowd *c, struct comer *k, const struct frame_notify *f)
{
	Rookery__Notification *n = rookery__notification__unpack(NULL, f->length, f->body);

	world_check(c->w, n != NULL);
	if (n->body_case == ROOKERY__NOTIFICATION__BODY_TICKET && k->state != KNOWN) {
		c->back += k->state == ANSWERED;
		k->state = KNOWN;
		c->known++;
	}
	rookery__notification__free_unpacked(n, NULL);
}

static void
frame_heard(struct crowd *c, struct comer *k, const struct frame *f, uint64_t now)
{
	struct frame ack = {.type = FRAME_ACK};
	uint8_t range[6];

	if (f->type == FRAME_PONG && k->state == ANSWERED) {
		k->state = BACK;
		k->due_ms = now + 5000;
		c->back++;
	} else if (f->type == FRAME_CLOSE) {
		c->back -= k->state >= BACK;
		c->known -= k->state == KNOWN;
		c->begun_anew++;
		begin_anew(k, now + 1000);
	} else if (f->type == FRAME_NOTIFY) {
		known(c, k, &f->notify);
		wire_ack_put(range, 0, f->notify.delivery, 1);
		ack.ack = (struct frame_ack){.count = 1, .ranges = range};
		speak(c, k, &ack);
	}
}

static void
data_heard(struct crowd *c, uint8_t *in, size_t len, uint64_t now)
{
	uint8_t nonce[AEAD_NONCE], plain[WIRE_DATAGRAM_MAX];
	struct aead_key key = {0};
	struct wire_data d;
	struct comer *k;
	struct frame f;
	size_t end = len - WIRE_DATA_HEADER - WIRE_TAG;
	uint32_t slot;
	int n;

	if (len < WIRE_DATA_MIN || wire_data_read(&d, in, len) != 0)
		return;
	slot = session_id_index(d.sid);
	if (slot >= c->slots || c->owners[slot] == 0)
		return;
	k = &c->comers[c->owners[slot] - 1];
	if (k->sid != d.sid || k->state < ANSWERED)
		return;
	world_check(c->w, aead_key_set(&key, k->keys.key) == 0);
	wire_nonce(nonce, WIRE_TO_CLIENT, d.counter);
	n = aead_open(&key, nonce, in, WIRE_DATA_HEADER, in + WIRE_DATA_HEADER, end, plain, in + len - WIRE_TAG);
	aead_key_clear(&key);
	world_check(c->w, n == 0);
	for (size_t at = 0; at < end; at += (size_t)n) {
		n = frame_read(&f, plain + at, end - at);
		world_check(c->w, n > 0);
		frame_heard(c, k, &f, now);
	}
}

static void
heard(struct crowd *c, uint8_t *in, size_t len, uint64_t now)
{
	if (in[0] == WIRE_RESUME)
		answer_heard(c, in, len, now);
	else if (in[0] == WIRE_DATA)
		data_heard(c, in, len, now);
}

/* ---- all of them ---- */

/* Returns whether anything came. */
static bool
listen_all(struct crowd *c)
{
	uint8_t in[2048];
	bool any = false;
	ssize_t n;

	for (unsigned i = 0; i < 1024 && (n = recv(c->fd, in, sizeof(in), MSG_DONTWAIT)) != -1; i++) {
		if (n > 0)
			heard(c, in, (size_t)n, now_ms());
		any = true;
	}
	return any;
}

static void
crowd_turn(struct crowd *c, uint64_t deadline)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN};
	uint64_t now = now_ms();
	unsigned sent = 0;

	for (uint32_t i = 0; i < c->count; i++) {
		if (!comer_due(c, &c->comers[i], now) || ++sent % SENDS_AT_ONCE != 0)
			continue;
		listen_all(c);
		now = now_ms();
	}
	if (!listen_all(c) && sent == 0)
		(void)poll(&p, 1, 5);
	if (c->back_ms == 0 && c->back == c->count)
		c->back_ms = now_ms() - c->start_ms;
	if (now_ms() > deadline)
		world_fail(c->w, "of %u clients %u are back, and control knows of %u", c->count, c->back, c->known);
}

static void
comes_back(void **state)
{
	const char *many = getenv("ROOKERY_E2E_CLIENTS");
	struct crowd c = {.w = *state, .count = many == NULL ? FEW : (uint32_t)strtoul(many, NULL, 10), .wait = many == NULL};
	uint64_t deadline = deadline_in(WAIT_BULK);
	struct ticket_key key;

	server_start_with(c.w, &(struct server_settings){
		.full_size = many != NULL,
		.sessions = FEW_SESSIONS,
		.timeout_ms = 600000,
		.extra = many == NULL ? "limits:\n  host_resumes_per_minute: 0\n  resumes_per_second: 2000\n"
				      : "limits:\n  host_resumes_per_minute: 0\n"});
	server_stop(c.w);
	users_make(c.w, c.count, &key);
	c.slots = 1u << 21;
	c.comers = calloc(c.count, sizeof(*c.comers));
	c.owners = calloc(c.slots, sizeof(*c.owners));
	world_check(c.w, c.comers != NULL && c.owners != NULL);
	crowd_make(&c, &key);
	server_start(c.w);
	crowd_connect(&c);
	c.unanswered = c.count;
	c.start_ms = now_ms();
	while (c.known < c.count)
		crowd_turn(&c, deadline);
	print_message("# %u clients back in %llu ms, known to control in %llu ms; %u were told when to come, %u were not let in, %u began anew\n",
		      c.count, (unsigned long long)c.back_ms, (unsigned long long)(now_ms() - c.start_ms), c.told_when, c.refused,
		      c.begun_anew);
	/* Nobody who has a place spoke or gave way before the last one had asked for one. */
	world_check(c.w, many != NULL || c.answered_ms >= GIVE_WAY_MS || c.told_when >= FEW - FEW_PLACES);
	counter_reach(c.w, "sessions_resumed", c.count);
	close(c.fd);
	free(c.comers);
	free(c.owners);
	server_finish(c.w);
}

int
main(void)
{
	static const struct scenario scenarios[] = {{"all come back at once", comes_back}};
	static const struct scenario_list list = {scenarios, sizeof(scenarios) / sizeof(scenarios[0])};
	static const struct scenario_set set = {{.kind = KIND_SOCKET, .family = AF_INET}, &list};

	return scenarios_run("comeback", &set, 1);
}
