/* SPDX-License-Identifier: BSD-3-Clause */
#include "server_world.h"

#include "fixed_random.h"

#include "shared/log.h"
#include "shared/rookery.pb-c.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <unistd.h>

struct config *world_config;
bool world_store_fails;

static char region_path[64];

/* ---- instead of the real ones --------------------------------------------------------------- */

/* Control's sources call it by this name. */
#undef store_commit
int store_commit(struct store *st);
int fuzz_store_commit(struct store *st);

int
fuzz_store_commit(struct store *st)
{
	if (!world_store_fails)
		return store_commit(st);
	store_rollback(st);
	return -ENOSPC;
}

/* Formats, so that the sanitizers see the arguments, and stays silent. */
void
log_write(struct log_site *site, enum log_level level, enum log_area area, const char *message, const char *fields, ...)
{
	(void)site;
	char text[512];
	va_list args;

	(void)level;
	va_start(args, fields);
	vsnprintf(text, sizeof(text), fields, args);
	va_end(args);
	if (getenv("FUZZ_LOG") != NULL)
		fprintf(stderr, "%s: %s %s\n", log_area_name[area], message, text);
}

static void
io_hash(void *arg, struct password_job *job)
{
	struct world *w = arg;

	FUZZ_CHECK(w->job_count < JOBS);
	w->jobs[w->job_count++] = job;
}

static bool
io_send(void *arg, uint32_t ring, const struct cell *c)
{
	struct world *w = arg;

	FUZZ_CHECK(cell_valid(c));
	return rings_send(&w->rings, ring, c);
}

/* ---- the dataplane's end --------------------------------------------------------------------- */

static void
take_datagram(struct world *w, const struct cell *c)
{
	uint8_t payload[HANDSHAKE_PAYLOAD_MAX];
	struct peer *p = w->waits;
	Rookery__LoginReply *reply;
	int n;

	if (p == NULL)
		return;
	FUZZ_CHECK(c->length <= p->login_len);
	n = handshake_client_finish(&p->handshake, c->data, c->length, payload, sizeof(payload), &p->secret);
	if (n < 0)
		return;
	reply = rookery__login_reply__unpack(NULL, (size_t)n, payload);
	FUZZ_CHECK(reply != NULL);
	if (reply->session_id != 0) {
		p->sid = reply->session_id;
		p->user = reply->user_id;
		p->device = reply->device_id;
		p->request = 0;
	}
	rookery__login_reply__free_unpacked(reply, NULL);
}

static void
take_frame(struct world *w, const struct cell *c)
{
	struct frame f;

	FUZZ_CHECK(frame_read(&f, c->data, c->length) == c->length);
	FUZZ_CHECK(f.type == FRAME_DELIVER || f.type == FRAME_NOTIFY || f.type == FRAME_RESPONSE);
	if (f.type == FRAME_NOTIFY) {
		Rookery__Notification *n = rookery__notification__unpack(NULL, f.notify.length, f.notify.body);

		FUZZ_CHECK(n != NULL);
		rookery__notification__free_unpacked(n, NULL);
	}
	if (f.type == FRAME_RESPONSE && f.response.fragments == 1) {
		Rookery__Response *r = rookery__response__unpack(NULL, f.response.length, f.response.body);

		FUZZ_CHECK(r != NULL);
		for (unsigned i = 0; i < PEERS && r->logged_in != NULL && r->body_case == ROOKERY__RESPONSE__BODY_LOGGED_IN; i++) {
			if (w->peers[i].sid == c->frame.sids[0]) {
				w->peers[i].user = r->logged_in->user_id;
				w->peers[i].device = r->logged_in->device_id;
			}
		}
		rookery__response__free_unpacked(r, NULL);
	}
	if (c->frame.token != 0)
		w->tokens[w->token_count++ % TOKENS] = (struct token){c->frame.sids[0], c->frame.token};
}

static void
take_cell(struct world *w, const struct cell *c)
{
	struct cell copy;

	if (!cell_copy(&copy, c)) {
		FUZZ_CHECK(w->hostile);
		return;
	}
	switch (copy.type) {
	case INJECT_DATAGRAM:
		if (!w->hostile)
			take_datagram(w, &copy);
		break;
	case INJECT_FRAME:
		if (!w->hostile)
			take_frame(w, &copy);
		break;
	case TABLE_BARRIER:
		atomic_store(&w->region.header->barrier, copy.barrier.value);
		break;
	default:
		break;
	}
}

static void
take_ring(struct world *w, const struct cell_ring *r)
{
	const struct cell *c;

	while ((c = ring_front(r)) != NULL) {
		take_cell(w, c);
		ring_release(r);
	}
}

static void
take(struct world *w)
{
	for (uint32_t i = 0; i < WORKERS && !w->full; i++)
		take_ring(w, ipc_ring(&w->region, IPC_INJECT, i));
	if (!w->full)
		take_ring(w, ipc_ring(&w->region, IPC_TABLE, 0));
}

static void
region_make(struct world *w)
{
	static const struct ipc_options o = {.workers = WORKERS, .event_cells = 8, .request_cells = 8, .login_cells = 4,
					     .inject_cells = 64, .table_cells = 64, .sessions_per_worker = SLOTS};

	FUZZ_CHECK(ipc_new(&w->region, region_path, &o) == 0);
	/* Deterministic, but for its being another one. */
	w->region.boot = w->region.header->boot = ++w->alive;
}

/* ---- control --------------------------------------------------------------------------------- */

static void
control_start(struct world *w)
{
	struct server_options o = {.config = world_config,
				   .store = w->store,
				   .key = w->key,
				   .io = {.arg = w, .send = io_send, .hash = io_hash},
				   .now_ms = w->now_ms,
				   .wall_ms = w->wall_ms};

	FUZZ_CHECK(server_new(&w->server, &o) == 0);
	FUZZ_CHECK(rings_init(&w->rings, region_path, w->key.public) == 0);
	w->rings.server = w->server;
}

static void
control_stop(struct world *w)
{
	while (w->job_count > 0)
		server_password_cancel(w->server, w->jobs[--w->job_count]);
	server_free(w->server);
	rings_free(&w->rings);
}

void
world_settle(struct world *w)
{
	const char *wrong;

	/* It slept; what came meanwhile wakes it. */
	rings_sleep(&w->rings);
	for (unsigned round = 0; round < 8; round++) {
		server_set_time(w->server, w->now_ms, w->wall_ms);
		atomic_store(&w->region.header->dataplane_alive, ++w->alive);
		rings_awake(&w->rings);
		rings_watch_now(&w->rings);
		rings_watch(&w->rings, w->now_ms);
		if (rings_drain(&w->rings) == 0)
			server_batch(w->server, NULL, 0);
		server_timers(w->server);
		server_flush(w->server);
		wrong = server_check(w->server);
		if (wrong != NULL)
			fprintf(stderr, "%s\n", wrong);
		FUZZ_CHECK(wrong == NULL);
		take(w);
		for (; w->job_count > 0 && !w->hold_jobs; w->job_count--) {
			password_job_run(w->jobs[w->job_count - 1]);
			server_password_done(w->server, w->jobs[w->job_count - 1]);
		}
		if (rings_sleep(&w->rings) && !server_pending(w->server))
			break;
	}
}

void
punt(struct world *w, enum ipc_ring kind, const struct cell *c)
{
	const struct cell_ring *r = ipc_ring(&w->region, kind, c->worker % WORKERS);
	struct cell *slot = ring_reserve(r);

	if (slot == NULL)
		return;
	memcpy(slot, c, cell_used(c));
	ring_publish(r);
}

void
cell_start(struct cell *c, uint16_t type, session_id_t sid)
{
	memset(c, 0, offsetof(struct cell, data));
	c->type = type;
	c->worker = session_id_worker(sid) % WORKERS;
}

void
world_control_dies(struct world *w)
{
	control_stop(w);
	control_start(w);
}

void
world_dataplane_dies(struct world *w)
{
	ipc_leave(&w->region);
	region_make(w);
}

/* ---- begin and end ---------------------------------------------------------------------------- */

static void
start_once(void)
{
	/* A port of each kind, for those who ask. */
	static const char text[] = "dataplane: {ports: [{type: socket, listen: \"127.0.0.1:8000\"},"
				   " {type: ethdev, devices: [net_tap0], addresses: [\"10.0.0.1/24\"]}]}\n";
	char error[256];

	if (world_config != NULL)
		return;
	FUZZ_CHECK(handshake_init() == 0 && aead_init() == 0);
	FUZZ_CHECK(config_load_text(&world_config, "fuzz.yaml", text, strlen(text), "/tmp/rookery-fuzz", error, sizeof(error)) == 0);
	world_config->control.password_memory_kib = 8;
	world_config->control.password_passes = 1;
	world_config->control.password_threads = 2;
	snprintf(region_path, sizeof(region_path), "/dev/shm/rookery-fuzz-%d", (int)getpid());
}

void
world_start(struct world *w)
{
	char error[256];
	static const uint8_t server_secret[32] = {2};

	start_once();
	fixed_random();
	world_store_fails = false;
	memset(w, 0, sizeof(*w));
	w->now_ms = 1000000;
	w->wall_ms = UINT64_C(1790000000000);
	handshake_keypair_from_secret(&w->key, server_secret);
	FUZZ_CHECK(store_open(&w->store, ":memory:", error, sizeof(error)) == 0);
	region_make(w);
	control_start(w);
	world_settle(w);
}

void
world_stop(struct world *w)
{
	control_stop(w);
	store_close(w->store);
	ipc_delete(&w->region, region_path);
}
