/* SPDX-License-Identifier: BSD-3-Clause */
/* All sessions of a worker are gone, and all clients come back at once, by ticket. */
#include "rows.h"

#include <rte_cycles.h>
#include <stdio.h>
#include <string.h>

#define COMERS 512u /* RESUMEs at a time, and then their first packets: a few round trips' worth */

/* Who comes back, as it knows itself. */
struct comer {
	uint32_t client;
	uint8_t secret[RESUME_SECRET];
	uint8_t nonce[RESUME_NONCE];
};

static struct ticket_cipher ticket_sealing;
static const struct ticket_key ticket_key = {.id = 7, .key = {1, 2, 3}};

static void
ready(struct world *w)
{
	struct ipc_header *h = w->ipc.header;
	struct cell_ticket_keys keys = {.key = {ticket_key}};

	if (ticket_cipher_set(&ticket_sealing, &ticket_key) != 0)
		fail("no key for tickets");
	resume_keys_set(w->workers[0], &keys);
	memset(h->server_public, 9, sizeof(h->server_public));
	atomic_store(&h->server_key_set, 1);
	world_poll(w);
	if (!w->workers[0]->provisioned)
		fail("the worker is not ready");
}

/* Nobody was heard of for too long. */
static void
all_gone(struct world *w)
{
	uint32_t polls = 0;

	w->now_us += 2 * w->workers[0]->timeout_us;
	world_router(w);
	while (w->workers[0]->sessions.live != 0) {
		world_poll(w);
		world_discard(w);
		world_control(w);
		if (++polls % 1024 == 0)
			world_router(w);
	}
	world_router(w);
}

static void
put_resume(struct world *w, struct comer *c, uint32_t client)
{
	struct ticket t = {.user = client + 1, .device = client + 1, .login_timestamp = 1, .expires_ms = UINT64_MAX, .status = 2};
	uint8_t ticket[TICKET_SIZE], out[RESUME_SIZE];
	uint64_t x[8];

	for (unsigned i = 0; i < RTE_DIM(x); i++)
		x[i] = draw();
	c->client = client;
	memcpy(c->secret, x, sizeof(c->secret));
	memcpy(c->nonce, &x[4], sizeof(c->nonce));
	memcpy(t.secret, c->secret, sizeof(t.secret));
	ticket_seal(&t, &ticket_sealing, (uint8_t *)&x[6], ticket);
	resume_write(out, client, c->nonce, ticket);
	world_put_datagram(w, client, out, sizeof(out));
}

/* The first packet of the session that the answer gives. */
static void
put_first(struct world *w, const struct comer *c, const uint8_t *answer)
{
	const uint8_t *nonce = answer + WIRE_PREFIX + RESUME_NONCE;
	struct wire_data d = {.counter = wire_counter(0, 1)};
	const struct frame ping = {.type = FRAME_PING, .token = c->client};
	uint8_t out[WIRE_DATA_HEADER + 9 + WIRE_TAG], *plain = out + WIRE_DATA_HEADER, proof[RESUME_PROOF], seal[AEAD_NONCE];
	struct session_secret secret;
	struct session_keys keys;
	static struct aead_key key;

	d.sid = get64(nonce + RESUME_NONCE);
	resume_secret(&secret, c->secret, c->nonce, nonce, d.sid);
	resume_derive(&keys, proof, &secret, 0);
	if (memcmp(proof, nonce + RESUME_NONCE + 8, sizeof(proof)) != 0)
		fail("the server has not proved that it has the secret");
	aead_key_set(&key, keys.key);
	wire_data_write(&d, out);
	wire_nonce(seal, WIRE_TO_SERVER, d.counter);
	frame_write(&ping, plain, 9);
	aead_seal(&key, seal, out, WIRE_DATA_HEADER, plain, 9, plain, plain + 9);
	world_put_datagram(w, c->client, out, sizeof(out));
}

static void
not_answered(const struct world *w, uint32_t i)
{
	for (unsigned c = 0; c < COUNTER_COUNT; c++)
		if (w->workers[0]->counters[c] != 0)
			fprintf(stderr, "%s %lu\n", counter_info[c].name, (unsigned long)w->workers[0]->counters[c]);
	fail("RESUME %u was not answered with a session", i);
}

/* n clients come back. Cycles of their RESUMEs and of their first packets. */
static void
come_back(struct world *w, const uint32_t *clients, uint32_t n, uint64_t *resumes, uint64_t *firsts)
{
	static struct comer comers[COMERS];
	static uint8_t answers[COMERS][RESUME_ACCEPTED_SIZE];
	struct wire_prefix p;

	for (uint32_t i = 0; i < n; i++)
		put_resume(w, &comers[i], clients[i]);
	world_run_measured(w);
	*resumes += w->cycles;
	for (uint32_t i = 0; i < n; i++) {
		if (world_take_datagram(w, answers[i], RESUME_ACCEPTED_SIZE) != RESUME_ACCEPTED_SIZE)
			not_answered(w, i);
		wire_prefix_read(&p, answers[i]);
		if (p.flags != RESUME_ANSWER || p.id != comers[i].client)
			fail("answer %u is not to the RESUME that came in its place", i);
	}
	for (uint32_t i = 0; i < n; i++)
		put_first(w, &comers[i], answers[i]);
	world_run_measured(w);
	*firsts += w->cycles;
	world_discard(w);
	world_control(w);
}

void
rows_resume(void)
{
	uint32_t n = RTE_MIN(ROW_SESSIONS, options.sessions_max) & ~1u, done = 0, chunk;
	uint64_t resumes, firsts, all = 0;
	struct series resume = {.count = 0}, first = {.count = 0};
	double hz = (double)rte_get_tsc_hz();
	const uint64_t *c;
	struct summary s;
	struct world w;

	if (!row_wanted("login_resume"))
		return;
	world_open(&w, &(struct world_shape){.sessions = n, .active = 4096});
	c = w.workers[0]->counters;
	ready(&w);
	all_gone(&w);
	for (unsigned r = 0; done < n; r++) {
		uint32_t end = (uint32_t)((uint64_t)n * (r + 1) / options.rounds), before = done;

		for (resumes = firsts = 0; done < end; done += chunk) {
			chunk = RTE_MIN(end - done, COMERS);
			come_back(&w, w.order + done, chunk, &resumes, &firsts);
			world_router(&w);
		}
		series_add(&resume, (double)resumes / (done - before));
		series_add(&first, (double)firsts / (done - before));
		all += resumes + firsts;
	}
	if (c[COUNTER_resumes] != n || c[COUNTER_sessions_resumed] != n || w.workers[0]->sessions.live != n || c[COUNTER_pings] < n)
		fail("of %u clients %lu are back", n, (unsigned long)c[COUNTER_sessions_resumed]);
	row_add("login_resume", series_summary(&resume), "cycles/RESUME", 0, 1500, true,
		"ticket to answer; all sessions gone, all return");
	figure_add("resume_first_packet", series_summary(&first), "cycles/packet", 0, "which makes it a session: key, event to control, pong");
	s.median = s.min = s.max = (double)all / hz * 1e6 / n;
	figure_add("resume_storm", s, "s of a core per million clients", 0, "both; control takes the events outside the clock");
	world_close(&w);
}
