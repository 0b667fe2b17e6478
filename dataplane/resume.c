/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * RESUME: a client that comes back shows its ticket, and has a session after one answer, without control and without a public-key
 * operation. A million may come at once.
 *
 * Anybody may send what he has seen on the way once more, from any address. So a RESUME on its own does nothing that lasts: each makes
 * an embryo, a session with keys of its own (a nonce of this worker's is in them), which ends by itself, and of which nobody hears. The
 * embryo becomes a session with the first packet under those keys. Only who has the ticket's secret and got the answer can send one:
 * that proves device and address at once. Control is told by an event, judges the ticket, and until it has done so the session may do no more
 * than one that is not enrolled.
 */
#include "worker_state.h"

#include "shared/plant.h"

#include <errno.h>
#include <rte_malloc.h>
#include <string.h>
#include <sys/random.h>

#define HOST_BITS4 32 /* as in guard.c */
#define HOST_BITS6 64
#define HOST_KEY 0x80 /* apart from the buckets for LOGINs */
#define WAIT_UNIT_US UINT64_C(100000)
#define WAIT_MAX_US (RESUME_WAIT_MAX * WAIT_UNIT_US)
#define VOIDS_PER_SECOND 1000

int
resume_init(struct resume *r, const struct config *config, uint32_t sessions, int numa_node)
{
	struct rate_set *sets;

	r->capacity = rte_align32prevpow2(RTE_MIN(sessions, (uint32_t)RESUME_EMBRYOS));
	r->embryos = rte_zmalloc_socket("resumes", r->capacity * sizeof(*r->embryos), 64, numa_node);
	sets = rte_zmalloc_socket("tickets", RESUME_SETS * sizeof(*sets), 64, numa_node);
	if (sets != NULL)
		rate_table_init(&r->tickets, sets, RESUME_SETS);
	if (r->embryos == NULL || sets == NULL)
		return -ENOMEM;
	if (getrandom(&r->nonce_high, sizeof(r->nonce_high), 0) != sizeof(r->nonce_high) ||
	    getrandom(&r->nonce_low, sizeof(r->nonce_low), 0) != sizeof(r->nonce_low) ||
	    getrandom(&r->generation, sizeof(r->generation), 0) != sizeof(r->generation))
		return -EIO;
	r->spread = rate_make(config->limits.resumes_per_second, 1000, 1);
	r->host = rate_make(config->limits.host_resumes_per_minute, 60000, config->limits.host_resumes_per_minute / 4 + 1);
	r->again = rate_make(RESUME_AGAIN, RESUME_AGAIN * 1000, RESUME_AGAIN);
	r->answers_second = UINT64_MAX;
	return 0;
}

void
resume_fini(struct resume *r)
{
	if (r->embryos != NULL)
		explicit_bzero(r->embryos, r->capacity * sizeof(*r->embryos));
	rte_free(r->embryos);
	rte_free(r->tickets.sets);
	ticket_cipher_clear(&r->cipher[0]);
	ticket_cipher_clear(&r->cipher[1]);
}

void
resume_keys_set(struct worker *w, const struct cell_ticket_keys *keys)
{
	for (unsigned i = 0; i < RTE_DIM(w->resume.cipher); i++)
		(void)ticket_cipher_set(&w->resume.cipher[i], &keys->key[i]);
}

/* ---- answers ------------------------------------------------------------------------ */

static void
finish(struct worker *w, struct rte_mbuf *m, enum counter why)
{
	count(w, why);
	rte_pktmbuf_free(m);
}

static void
refuse(struct worker *w, struct rte_mbuf *m, uint16_t flags, enum counter why)
{
	uint8_t out[RESUME_REFUSED_SIZE];

	resume_refuse(out, rte_pktmbuf_mtod(m, const uint8_t *), flags);
	count(w, why);
	output_answer(w, m, out, sizeof(out));
}

/* The client logs in at once instead of after some retries; no answer does the same, only later. */
static void
refuse_void(struct worker *w, struct rte_mbuf *m, enum counter why)
{
	struct resume *r = &w->resume;

	if (w->now_us / 1000000 != r->answers_second) {
		r->answers_second = w->now_us / 1000000;
		r->answers = VOIDS_PER_SECOND;
	}
	if (r->answers == 0) {
		finish(w, m, why);
		return;
	}
	r->answers--;
	refuse(w, m, RESUME_VOID, why);
}

/* Each gets the next place of the queue, so the crowd comes back at the rate at which it can be served and not all at once again. A
 * queue that is full is spread over its second half. */
static void
refuse_busy(struct worker *w, struct rte_mbuf *m)
{
	struct resume *r = &w->resume;
	uint64_t wait = rate_wait(&r->next_slot, &r->spread, w->now_us);

	if (wait < WAIT_MAX_US)
		rate_pay(&r->next_slot, &r->spread, w->now_us);
	else
		wait = WAIT_MAX_US / 2 + worker_random(w) % (WAIT_MAX_US / 2);
	refuse(w, m, (uint16_t)RTE_MAX(wait / WAIT_UNIT_US, UINT64_C(1)), COUNTER_drop_resume_busy);
}

/* ---- embryos ------------------------------------------------------------------------ */

void
resume_forget(struct worker *w, struct session *s)
{
	struct embryo *e = &w->resume.embryos[s->embryo];

	explicit_bzero(&e->secret, sizeof(e->secret));
	e->session = NONE;
	s->flags &= (uint8_t)~SESSION_FLAG_EMBRYO;
	s->user = 0;
}

/* A free place, or NULL: all wait, and have not waited long. */
static struct embryo *
embryo_place(struct worker *w)
{
	struct resume *r = &w->resume;

	while (r->head != r->tail && r->embryos[r->head & (r->capacity - 1)].session == NONE)
		r->head++;
	if (r->tail - r->head == r->capacity) {
		struct embryo *oldest = &r->embryos[r->head & (r->capacity - 1)];

		if (w->now_us - oldest->made_us < RESUME_GIVE_WAY_US)
			return NULL;
		count(w, COUNTER_resumes_unused);
		session_remove(w, &w->sessions.sessions[oldest->session]);
		r->head++;
	}
	return &r->embryos[r->tail & (r->capacity - 1)];
}

static void
server_nonce(struct resume *r, uint8_t out[RESUME_NONCE])
{
	r->nonce_high++;
	memcpy(out, &r->nonce_high, sizeof(r->nonce_high));
	memcpy(out + sizeof(r->nonce_high), &r->nonce_low, sizeof(r->nonce_low));
}

/* Takes the last free slot: there is one. */
static struct session *
embryo_session(struct worker *w, struct embryo *e, const struct packet_info *from)
{
	struct session_table *t = &w->sessions;
	struct resume *r = &w->resume;
	uint32_t i = t->free_tail;
	struct session *s = &t->sessions[i];

	session_slot_take(t, i);
	if (t->free_tail != NONE) {
		/* The next one takes it. */
		rte_prefetch0(&t->sessions[t->free_tail]);
		rte_prefetch0(&t->sessions[t->free_tail].keys);
	}
	r->generation = SESSION_GENERATION_RESUMED | ((r->generation + 1) & (SESSION_GENERATION_RESUMED - 1));
	*s = (struct session){
		.generation = r->generation,
		.flags = SESSION_FLAG_RESTRICTED | SESSION_FLAG_EMBRYO,
		.port = from->port,
		.local = from->local,
		.peer = from->peer,
		.heard_ms = (uint32_t)(w->now_us / 1000),
		.key_place = KEYCACHE_NOWHERE,
		.embryo = r->tail++ & (r->capacity - 1),
		.activity = NONE,
	};
	timer_node_init(&s->timer);
	t->live++;
	timer_wheel_add(&t->wheel, i, w->now_us + RESUME_EMBRYO_US);
	e->session = i;
	e->made_us = w->now_us;
	return s;
}

static void
take_in(struct worker *w, struct rte_mbuf *m, const struct ticket *t, struct embryo *e)
{
	const uint8_t *in = rte_pktmbuf_mtod(m, const uint8_t *);
	struct session *s = embryo_session(w, e, packet_info(m));
	uint8_t nonce[RESUME_NONCE], proof[RESUME_PROOF], out[RESUME_ACCEPTED_SIZE];
	session_id_t sid = session_id_of(w, s);

	e->user = t->user;
	e->device = t->device;
	e->login_timestamp = t->login_timestamp;
	e->status = t->status;
	server_nonce(&w->resume, nonce);
	if (PLANTED(resume_nonce))
		memset(nonce, 0, sizeof(nonce));
	resume_secret(&e->secret, t->secret, in + WIRE_PREFIX, nonce, PLANTED(resume_nonce) ? 0 : sid);
	resume_derive(&s->keys, proof, &e->secret, 0);
	resume_accept(out, in, nonce, sid, proof);
	count(w, COUNTER_resumes);
	count(w, COUNTER_answered);
	output_answer(w, m, out, sizeof(out));
}

/* ---- RESUME ------------------------------------------------------------------------- */

static struct ticket_cipher *
cipher_of(struct resume *r, const uint8_t *ticket)
{
	uint32_t id = ticket_key_id(ticket);

	for (unsigned i = 0; id != 0 && i < RTE_DIM(r->cipher); i++)
		if (r->cipher[i].id == id)
			return &r->cipher[i];
	return NULL;
}

static bool
open_ticket(struct worker *w, struct ticket *t, const uint8_t *in)
{
	struct ticket_cipher *c = cipher_of(&w->resume, in);

	return c != NULL && ticket_open(t, c, in) == 0 && w->wall_ms < t->expires_ms;
}

/* Copies of one RESUME must not take the places of others, nor their time. */
static uint64_t *
ticket_bucket(struct resume *r, const uint8_t *ticket, uint64_t now_us)
{
	return rate_table_bucket(&r->tickets, ticket_nonce(ticket), TICKET_NONCE, now_us);
}

bool
resume_admit(struct resume *r, const uint8_t *in, size_t length, uint64_t now_us)
{
	const uint8_t *ticket = in + WIRE_PREFIX + RESUME_NONCE;
	const struct ticket_cipher *c;

	if (length < RESUME_SIZE)
		return false;
	c = cipher_of(r, ticket);
	return c != NULL && ticket_marked(c, ticket) && rate_wait(ticket_bucket(r, ticket, now_us), &r->again, now_us) == 0;
}

/* Control still has to hear of every session that is resumed. */
static bool
events_pressed(const struct worker *w)
{
	uint32_t capacity = ring_capacity(w->event_ring);

	return ring_used(w->event_ring) > capacity - capacity / 4;
}

void
resume_datagram(struct worker *w, struct rte_mbuf *m)
{
	const uint8_t *in = rte_pktmbuf_mtod(m, const uint8_t *);
	struct wire_prefix p;
	struct embryo *e;
	struct ticket t;

	wire_prefix_read(&p, in);
	if (rte_pktmbuf_data_len(m) != RESUME_SIZE || p.flags != 0) {
		finish(w, m, COUNTER_drop_malformed);
		return;
	}
	/* Which slots are free is known once control has provisioned its sessions. */
	if (!w->provisioned || (w->resume.cipher[0].id | w->resume.cipher[1].id) == 0) {
		finish(w, m, COUNTER_drop_resume_not_ready);
		return;
	}
	if (!open_ticket(w, &t, in + WIRE_PREFIX + RESUME_NONCE)) {
		refuse_void(w, m, COUNTER_drop_resume_ticket);
		return;
	}
	e = events_pressed(w) ? NULL : embryo_place(w);
	if (rate_take(ticket_bucket(&w->resume, in + WIRE_PREFIX + RESUME_NONCE, w->now_us), &w->resume.again, w->now_us) != 0)
		finish(w, m, COUNTER_drop_resume_again);
	else if (e == NULL)
		refuse_busy(w, m);
	else if (w->sessions.free_tail == NONE)
		refuse_void(w, m, COUNTER_drop_resume_full);
	else
		take_in(w, m, &t, e);
	explicit_bzero(t.secret, sizeof(t.secret));
}

enum counter
resume_heard(struct worker *w, struct session *s, const struct packet_info *from)
{
	const struct embryo *e = &w->resume.embryos[s->embryo];
	struct rate_prefix host;
	uint64_t *bucket;

	rate_prefix(&host, &from->peer, HOST_BITS4, HOST_BITS6);
	host.bits |= HOST_KEY;
	bucket = rate_table_bucket(&w->guard.prefixes, &host, sizeof(host), w->now_us);
	if (rate_wait(bucket, &w->resume.host, w->now_us) != 0) {
		session_remove(w, s);
		return COUNTER_drop_resume_prefix;
	}
	if (!punt_resumed(w, s, e))
		return COUNTER_drop_resume_event;
	rate_pay(bucket, &w->resume.host, w->now_us);
	resume_forget(w, s);
	s->flags |= SESSION_FLAG_HEARD;
	timer_wheel_add(&w->sessions.wheel, session_index(&w->sessions, s), w->now_us + w->restricted_us);
	count(w, COUNTER_sessions_resumed);
	return COUNTER_consumed;
}
