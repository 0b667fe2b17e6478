// SPDX-License-Identifier: BSD-3-Clause
#include "harness.h"

#include "tests/unit/file_tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the server's surroundings -------------------------------------------------------- */

static bool
io_send(void *arg, uint32_t ring, const struct cell *c)
{
	struct harness *h = arg;

	assert_true(cell_valid(c));
	if (h->room == 0)
		return false;
	if (h->room != UINT32_MAX)
		h->room--;
	if (h->count == h->capacity) {
		h->capacity = h->capacity == 0 ? 256 : h->capacity * 2;
		h->sent = realloc(h->sent, h->capacity * sizeof(*h->sent));
		assert_non_null(h->sent);
	}
	h->sent[h->count].ring = ring;
	memcpy(&h->sent[h->count].cell, c, cell_used(c));
	h->count++;
	return true;
}

static void
io_hash(void *arg, struct password_job *job)
{
	struct harness *h = arg;

	assert_true(h->job_count < 64);
	h->jobs[h->job_count++] = job;
}

static uint32_t random_state;

static void
io_random(void *arg, void *buf, size_t len)
{
	uint8_t *out = buf;

	(void)arg;
	for (size_t i = 0; i < len; i++) {
		random_state = random_state * 1664525 + 1013904223;
		out[i] = (uint8_t)(random_state >> 24);
	}
}

static void
server_start(struct harness *h)
{
	struct server_options o = {
		.config = h->config,
		.key = h->key,
		.io = {.arg = h, .send = io_send, .hash = io_hash, .random = io_random},
		.now_ms = h->now_ms,
		.wall_ms = h->wall_ms,
	};
	char path[128], error[256];

	snprintf(path, sizeof(path), "%s/rookery.db", h->dir);
	if (store_open(&h->store, path, error, sizeof(error)) != 0)
		fail_msg("%s", error);
	o.store = h->store;
	assert_int_equal(server_new(&h->server, &o), 0);
}

int
harness_setup(void **state)
{
	struct harness *h = calloc(1, sizeof(*h));
	char error[256];

	assert_non_null(h);
	assert_int_equal(handshake_init(), 0);
	/* In memory: a busy disk takes seconds for each commit, of which nothing here hangs on. */
	snprintf(h->dir, sizeof(h->dir), "/dev/shm/rookery-control-XXXXXX");
	assert_non_null(mkdtemp(h->dir));
	if (config_load(&h->config, NULL, h->dir, error, sizeof(error)) != 0)
		fail_msg("%s", error);
	h->config->control.password_memory_kib = 64;
	h->config->control.password_passes = 1;
	h->now_ms = 1000000;
	h->wall_ms = UINT64_C(1790000000000);
	h->room = UINT32_MAX;
	handshake_keypair_generate(&h->key);
	server_start(h);
	assert_int_equal(server_attach(h->server, 1, WORKERS, SLOTS), 0);
	harness_sent_clear(h);
	*state = h;
	return 0;
}

int
harness_teardown(void **state)
{
	struct harness *h = *state;

	server_free(h->server);
	store_close(h->store);
	config_free(h->config);
	tree_remove(h->dir);
	free(h->sent);
	free(h);
	return 0;
}

void
harness_restart(struct harness *h, uint64_t boot)
{
	server_free(h->server);
	store_close(h->store);
	server_start(h);
	harness_sent_clear(h);
	assert_int_equal(server_attach(h->server, boot, WORKERS, SLOTS), 0);
	assert_null(server_check(h->server));
}

void
harness_sent_clear(struct harness *h)
{
	h->count = 0;
}

static void
drained(void *arg, int result, const char *text)
{
	bool *called = arg;

	assert_int_equal(result, 0);
	assert_string_equal(text, "");
	*called = true;
}

void
harness_drain(struct harness *h, bool on)
{
	bool called = false;

	assert_int_equal(server_drain(h->server, on, drained, &called), 0);
	harness_settle(h);
	assert_true(called);
}

const struct cell *
harness_find(const struct harness *h, uint16_t type, uint32_t i)
{
	for (uint32_t k = 0; k < h->count; k++) {
		if (h->sent[k].cell.type == type && i-- == 0)
			return &h->sent[k].cell;
	}
	return NULL;
}

uint32_t
harness_sent_count(const struct harness *h, uint16_t type)
{
	uint32_t n = 0;

	while (harness_find(h, type, n) != NULL)
		n++;
	return n;
}

static void
check(struct harness *h)
{
	const char *wrong = server_check(h->server);

	if (wrong != NULL)
		fail_msg("invariant: %s", wrong);
}

void
harness_settle(struct harness *h)
{
	while (h->job_count != 0 && !h->hold_jobs) {
		struct password_job *job = h->jobs[--h->job_count];

		password_job_run(job);
		server_password_done(h->server, job);
	}
	server_batch(h->server, NULL, 0);
	check(h);
}

void
harness_cells(struct harness *h, const struct cell *const *cells, uint32_t n)
{
	server_batch(h->server, cells, n);
	check(h);
	harness_settle(h);
}

void
harness_cell(struct harness *h, const struct cell *c)
{
	harness_cells(h, &c, 1);
}

void
harness_advance(struct harness *h, uint64_t ms)
{
	h->now_ms += ms;
	h->wall_ms += ms;
	server_set_time(h->server, h->now_ms, h->wall_ms);
	server_timers(h->server);
	harness_settle(h);
}

static void
cell_start(struct cell *c, uint16_t type, uint32_t worker)
{
	memset(c, 0, sizeof(*c));
	c->type = type;
	c->worker = worker;
}

/* ---- clients ------------------------------------------------------------------------- */

void
client_init(struct client *c, uint32_t worker)
{
	memset(c, 0, sizeof(*c));
	handshake_keypair_generate(&c->key);
	c->worker = worker;
	c->timestamp = 1000;
}

static bool
login_send(struct harness *h, struct client *c)
{
	Rookery__LoginReply *reply;
	uint8_t payload[HANDSHAKE_PAYLOAD_MAX];
	const struct cell *answer;
	struct cell cell;
	int len;

	cell_start(&cell, PUNT_LOGIN, c->worker);
	endpoint_set_ipv4(&cell.datagram.peer, "\x7f\0\0\1", 40000);
	cell.datagram.came_ms = h->wall_ms - h->login_age_ms;
	cell.length = c->login_length;
	memcpy(cell.data, c->login, c->login_length);
	harness_sent_clear(h);
	harness_cell(h, &cell);
	answer = harness_find(h, INJECT_DATAGRAM, 0);
	if (answer == NULL)
		return false;
	assert_true(answer->length <= c->login_length);
	len = handshake_client_finish(&c->handshake, answer->data, answer->length, payload, sizeof(payload),
				      &c->secret);
	if (len < 0)
		return false;
	reply = rookery__login_reply__unpack(NULL, (size_t)len, payload);
	assert_non_null(reply);
	c->result = reply->result;
	c->last_message_id = reply->last_message_id;
	if (reply->session_id != 0) {
		c->sid = reply->session_id;
		c->user = reply->user_id;
		c->device = reply->device_id;
		c->request = 0;
	}
	rookery__login_reply__free_unpacked(reply, NULL);
	return true;
}

bool
client_login(struct harness *h, struct client *c, const char *user)
{
	Rookery__LoginHello hello = ROOKERY__LOGIN_HELLO__INIT;
	uint8_t payload[HANDSHAKE_PAYLOAD_MAX], zeros[256] = {0};
	size_t size;
	int len;

	hello.timestamp = c->timestamp++;
	hello.user = (char *)(uintptr_t)user;
	hello.device_name = (char *)(uintptr_t)"test";
	hello.padding.data = zeros;
	hello.padding.len = sizeof(zeros);
	size = rookery__login_hello__pack(&hello, payload);
	len = handshake_client_start(&c->handshake, &c->key, h->key.public, c->timestamp, payload, size,
				     c->login, sizeof(c->login));
	assert_true(len >= HANDSHAKE_LOGIN_MIN);
	c->login_length = (uint16_t)len;
	return login_send(h, c);
}

bool
client_login_again(struct harness *h, struct client *c)
{
	return login_send(h, c);
}

void
client_request_cell(struct cell *out, const struct client *c, uint32_t number, const Rookery__Request *q)
{
	cell_start(out, PUNT_REQUEST, session_id_worker(c->sid));
	out->request.sid = c->sid;
	out->request.user = c->user;
	out->request.request = number;
	out->request.fragments = 1;
	out->length = (uint16_t)rookery__request__pack(q, out->data);
}

Rookery__Response *
client_response(struct harness *h, const struct client *c, uint32_t number)
{
	uint8_t whole[65536];
	unsigned have = 0, fragments = 1;
	size_t length = 0;
	const struct cell *k;
	struct frame f;

	for (uint32_t i = 0; have < fragments && (k = harness_find(h, INJECT_FRAME, i)) != NULL; i++) {
		if (k->frame.sids[0] != c->sid || frame_read(&f, k->data, k->length) < 0 ||
		    f.type != FRAME_RESPONSE || f.response.request != number)
			continue;
		assert_int_equal(f.response.fragment, have);
		assert_true(k->length <= WIRE_PLAINTEXT_MAX);
		fragments = f.response.fragments;
		memcpy(whole + length, f.response.body, f.response.length);
		length += f.response.length;
		have++;
	}
	return have == fragments ? rookery__response__unpack(NULL, length, whole) : NULL;
}

Rookery__Response *
client_request(struct harness *h, struct client *c, Rookery__Request *q)
{
	struct cell cell;
	uint32_t number = ++c->request;

	client_request_cell(&cell, c, number, q);
	harness_sent_clear(h);
	harness_cell(h, &cell);
	return client_response(h, c, number);
}

static Rookery__Code
code_of(Rookery__Response *r)
{
	Rookery__Code code = r == NULL ? ROOKERY__CODE__CODE_UNSPECIFIED : r->code;

	if (r != NULL)
		rookery__response__free_unpacked(r, NULL);
	return code;
}

void
client_register(struct harness *h, struct client *c, const char *name, const char *password)
{
	Rookery__Request q = ROOKERY__REQUEST__INIT;
	Rookery__Register b = ROOKERY__REGISTER__INIT;
	Rookery__Response *r;

	assert_true(client_login(h, c, ""));
	assert_int_equal(c->result, ROOKERY__LOGIN_RESULT__LOGIN_RESTRICTED);
	b.user = (char *)(uintptr_t)name;
	b.password = (char *)(uintptr_t)password;
	q.body_case = ROOKERY__REQUEST__BODY_REGISTER;
	q.register_ = &b;
	r = client_request(h, c, &q);
	assert_non_null(r);
	assert_int_equal(r->code, ROOKERY__CODE__CODE_OK);
	c->user = r->logged_in->user_id;
	c->device = r->logged_in->device_id;
	rookery__response__free_unpacked(r, NULL);
}

Rookery__Code
client_enrol(struct harness *h, struct client *c, const char *name, const char *password)
{
	Rookery__Request q = ROOKERY__REQUEST__INIT;
	Rookery__Enrol b = ROOKERY__ENROL__INIT;
	Rookery__Response *r;

	b.user = (char *)(uintptr_t)name;
	b.password = (char *)(uintptr_t)password;
	q.body_case = ROOKERY__REQUEST__BODY_ENROL;
	q.enrol = &b;
	r = client_request(h, c, &q);
	if (r != NULL && r->code == ROOKERY__CODE__CODE_OK) {
		c->user = r->logged_in->user_id;
		c->device = r->logged_in->device_id;
	}
	return code_of(r);
}

Rookery__Code
client_add(struct harness *h, struct client *c, const char *name, const char *text)
{
	Rookery__Request q = ROOKERY__REQUEST__INIT;
	Rookery__AddBuddy b = ROOKERY__ADD_BUDDY__INIT;

	b.user = (char *)(uintptr_t)name;
	b.text = (char *)(uintptr_t)text;
	q.body_case = ROOKERY__REQUEST__BODY_ADD_BUDDY;
	q.add_buddy = &b;
	return code_of(client_request(h, c, &q));
}

Rookery__Code
client_answer(struct harness *h, struct client *c, const char *name, bool accept)
{
	Rookery__Request q = ROOKERY__REQUEST__INIT;
	Rookery__AnswerBuddy b = ROOKERY__ANSWER_BUDDY__INIT;

	b.user = (char *)(uintptr_t)name;
	b.accept = accept;
	q.body_case = ROOKERY__REQUEST__BODY_ANSWER_BUDDY;
	q.answer_buddy = &b;
	return code_of(client_request(h, c, &q));
}

void
befriend(struct harness *h, struct client *a, const char *a_name, struct client *b, const char *b_name)
{
	assert_int_equal(client_add(h, a, b_name, ""), ROOKERY__CODE__CODE_OK);
	assert_int_equal(client_answer(h, b, a_name, true), ROOKERY__CODE__CODE_OK);
	client_ack_all(h, a);
	client_ack_all(h, b);
	harness_sent_clear(h);
}

/* ---- frames -------------------------------------------------------------------------- */

static bool
cell_for(const struct cell *k, session_id_t sid)
{
	for (unsigned i = 0; i < k->frame.session_count; i++) {
		if (k->frame.sids[i] == sid)
			return true;
	}
	return false;
}

Rookery__Notification *
client_notification(struct harness *h, const struct client *c, uint32_t n)
{
	const struct cell *k;
	struct frame f;

	for (uint32_t i = 0; (k = harness_find(h, INJECT_FRAME, i)) != NULL; i++) {
		if (cell_for(k, c->sid) && frame_read(&f, k->data, k->length) > 0 && f.type == FRAME_NOTIFY &&
		    n-- == 0)
			return rookery__notification__unpack(NULL, f.notify.length, f.notify.body);
	}
	return NULL;
}

bool
saw_presence(struct harness *h, const struct client *c, user_id_t user, Rookery__Status status)
{
	Rookery__Notification *n;
	bool saw = false;

	for (uint32_t i = 0; !saw && (n = client_notification(h, c, i)) != NULL; i++) {
		saw = n->body_case == ROOKERY__NOTIFICATION__BODY_PRESENCE && n->presence->user_id == user &&
		      n->presence->status == status;
		rookery__notification__free_unpacked(n, NULL);
	}
	return saw;
}

bool
saw_buddy(struct harness *h, const struct client *c, user_id_t user, Rookery__BuddyState state)
{
	Rookery__Notification *n;
	bool saw = false;

	for (uint32_t i = 0; !saw && (n = client_notification(h, c, i)) != NULL; i++) {
		saw = n->body_case == ROOKERY__NOTIFICATION__BODY_BUDDY && n->buddy->user_id == user &&
		      n->buddy->state == state;
		rookery__notification__free_unpacked(n, NULL);
	}
	return saw;
}

bool
client_delivered(struct harness *h, const struct client *c, uint32_t n, struct frame_deliver *d,
		 uint64_t *token)
{
	const struct cell *k;
	struct frame f;

	for (uint32_t i = 0; (k = harness_find(h, INJECT_FRAME, i)) != NULL; i++) {
		if (!cell_for(k, c->sid) || frame_read(&f, k->data, k->length) < 0 ||
		    f.type != FRAME_DELIVER || n-- != 0)
			continue;
		*d = f.deliver;
		*token = k->frame.token;
		return true;
	}
	return false;
}

void
delivered(struct harness *h, session_id_t sid, uint64_t token, enum delivery_outcome outcome)
{
	struct cell c;

	cell_start(&c, PUNT_DELIVERED, session_id_worker(sid));
	c.delivered.sid = sid;
	c.delivered.token = token;
	c.delivered.outcome = outcome;
	harness_cell(h, &c);
}

uint32_t
client_ack_all(struct harness *h, const struct client *c)
{
	uint64_t tokens[256];
	uint32_t count = 0;
	const struct cell *k;

	for (uint32_t i = 0; count < 256 && (k = harness_find(h, INJECT_FRAME, i)) != NULL; i++) {
		if (k->frame.token != 0 && k->frame.sids[0] == c->sid)
			tokens[count++] = k->frame.token;
	}
	for (uint32_t i = 0; i < count; i++)
		delivered(h, c->sid, tokens[i], DELIVERY_ACKED);
	return count;
}

void
session_expired(struct harness *h, session_id_t sid)
{
	struct cell c;

	cell_start(&c, PUNT_EXPIRED, session_id_worker(sid));
	c.expired.count = 1;
	c.length = sizeof(sid);
	memcpy(c.data, &sid, sizeof(sid));
	harness_cell(h, &c);
}

void
session_event(struct harness *h, session_id_t sid, enum session_event event)
{
	struct cell c;

	cell_start(&c, PUNT_SESSION, session_id_worker(sid));
	c.session.sid = sid;
	c.session.event = (uint8_t)event;
	endpoint_set_ipv4(&c.session.peer, "\x7f\0\0\1", 50000);
	harness_cell(h, &c);
}

struct cell_stored
store_message(struct harness *h, const struct client *from, user_id_t to, message_id_t id, const char *text)
{
	struct cell_stored none = {.ok = 2};
	const struct cell *answer;
	struct cell c;

	cell_start(&c, PUNT_STORE, from->worker);
	c.store.record = (struct record_ref){.index = 7, .generation = 9};
	c.store.from = from->user;
	c.store.from_device = from->device;
	c.store.to = to;
	c.store.id = id;
	c.store.sent_at = h->wall_ms;
	c.length = (uint16_t)strlen(text);
	memcpy(c.data, text, c.length);
	harness_sent_clear(h);
	harness_cell(h, &c);
	answer = harness_find(h, INJECT_STORED, 0);
	if (answer == NULL)
		return none;
	assert_int_equal(answer->stored.id, id);
	assert_int_equal(answer->stored.record.index, 7);
	return answer->stored;
}

enum verdict
verdict(struct harness *h, user_id_t from, user_id_t to)
{
	const struct cell *answer;
	struct cell c;

	cell_start(&c, PUNT_VERDICT, 0);
	c.verdict.from = from;
	c.verdict.to = to;
	harness_sent_clear(h);
	harness_cell(h, &c);
	answer = harness_find(h, INJECT_VERDICT, 0);
	assert_non_null(answer);
	assert_int_equal(table_verdict(h, from, to), answer->verdict.verdict);
	return answer->verdict.verdict;
}

enum verdict
table_verdict(const struct harness *h, user_id_t from, user_id_t to)
{
	enum verdict last = VERDICT_NONE;
	const struct cell *k;

	for (uint32_t i = 0; (k = harness_find(h, TABLE_VERDICT_SET, i)) != NULL; i++) {
		if (k->verdict.from == from && k->verdict.to == to)
			last = k->verdict.verdict;
	}
	return last;
}
