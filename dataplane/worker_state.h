/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The inside of a worker, shared by the rooms a packet passes:
 *
 *   receive.c   datagrams: classify, owner, replay window, open AEAD, frames
 *   relay.c     MESSAGE, CONFIRM, CONFIRM_GAPS: records, verdicts, parts, receipts
 *   inflight.c  deliveries to this worker's sessions: send, retransmit, ACK
 *   handoff.c   packets, deliveries and results between workers
 *   punt.c      cells to control          inject.c  cells from control
 *   resume.c    RESUME: sessions by ticket
 *   output.c    frames into packets: coalesce, seal, transmit
 *
 * Thread-safety: one worker's lcore, except struct handoff_ring's ring (many producers) and the counters, which
 * housekeeping reads.
 */
#ifndef ROOKERY_DATAPLANE_WORKER_STATE_H
#define ROOKERY_DATAPLANE_WORKER_STATE_H

#include "guard.h"
#include "handoff.h"
#include "inflight.h"
#include "keycache.h"
#include "message.h"
#include "resume.h"
#include "session.h"
#include "trace.h"
#include "shared/counters.h"
#include "worker.h"

#include <rte_ring.h>

#define KEYCACHE_ENTRIES 8192
#define TX_BURST 32 /* what was sealed together is sent while it is warm */
#define OUTPUT_SEALING 32

/* A packet of frames. While it is open, frames of its session join it; when another session or address comes it waits
 * with others, so that their keys are loaded together, and is sealed at the end of the iteration at the latest. */
struct output_packet {
	struct rte_mbuf *mbuf; /* NULL: none open */
	struct session *session;
	uint16_t length;       /* plaintext bytes */
	uint16_t receipt;      /* offset of the last frame if it is a RECEIPT, else 0xffff */
	bool elsewhere;        /* goes to an address other than the session's */
	uint8_t nonce[AEAD_NONCE]; /* from output_close on, and the next */
	session_id_t sid;
};

/* The packet that is acted on, for what goes out in answer: it is warm, and needs no alloc and free. */
struct spare_packet {
	struct rte_mbuf *mbuf; /* NULL: there is none, or it was taken */
	uint8_t *body;         /* of the message in it, which its forward alone may take along; NULL: all of it has been read */
	const struct message *message; /* its record, once there is one */
};

struct tx_batch {
	struct rte_mbuf *packets[TX_BURST];
	uint16_t count;
};

struct worker {
	uint64_t counters[COUNTER_COUNT]; /* worker adds, housekeeping reads */

	uint64_t now_us;
	uint64_t wall_ms;
	uint32_t index;
	uint32_t workers;
	const struct config *config;
	const struct ipc *ipc;
	struct tables *tables;
	const struct bans *bans;
	struct rte_mempool *pool;

	struct session_table sessions;
	struct message_table messages;
	struct delivery_table deliveries;
	struct keycache *keycache;
	struct guard guard;
	struct rate_set *guard_sets;
	struct resume resume;
	const struct guard_shared *guard_shared; /* set by housekeeping_new before the workers run */
	uint64_t timeout_us;
	struct rate message_rate;      /* of one session, and the next two */
	struct rate conversation_rate;
	struct rate request_rate;
	uint32_t ack_steps;            /* that ACKs and CONFIRMs of the present packet may still take */
	uint64_t restricted_us;
	uint64_t random;
	uint32_t reset_tokens; /* RESETs that may still be sent in the present second */
	uint64_t reset_second;
	uint32_t full_bursts[PORT_MAX]; /* received without a smaller one between them */

	struct spare_packet spare;
	struct output_packet output;                  /* open */
	struct output_packet sealing[OUTPUT_SEALING]; /* closed, in the order in which they go out */
	uint32_t sealing_count;
	struct port_queue queues[PORT_MAX];
	struct tx_batch tx[PORT_MAX];
	unsigned port_count;

	struct handoff_ring handoff;       /* what others hand to this worker */
	struct handoff_batch *handoff_out; /* per worker: what this one hands to others */

	const struct cell_ring *event_ring;
	struct cell *resumed_batch; /* sessions resumed in this iteration, in the event ring and not published; NULL: none */
	uint32_t resumed_count;     /* so many */
	const struct cell_ring *request_ring;
	const struct cell_ring *login_ring;
	const struct cell_ring *inject_ring;
	uint64_t fence_us; /* since when the inject ring waits at a fence; 0: it does not */
	bool provisioned;  /* every session of control is here: an unknown one is gone */

	int numa_node;
	struct trace trace;
};

static inline void
count(struct worker *w, enum counter c)
{
	w->counters[c]++;
}

static inline session_id_t
session_id_of(const struct worker *w, const struct session *s)
{
	return session_id_make(w->index, s->generation, session_index(&w->sessions, s));
}

static inline uint64_t
worker_random(struct worker *w)
{
	/* xorshift64* (Marsaglia 2003); seeded by the kernel. Tokens are protected by the AEAD, not by this. */
	w->random ^= w->random >> 12;
	w->random ^= w->random << 25;
	w->random ^= w->random >> 27;
	return w->random * UINT64_C(0x2545f4914f6cdd1d);
}

/* receive.c */
void receive_burst(struct worker *w, struct rte_mbuf **pkts, uint16_t n);

/* How long a session lives without a sign of life. */
static inline uint64_t
session_life_us(const struct worker *w, const struct session *s)
{
	if (s->flags & SESSION_FLAG_EMBRYO)
		return RESUME_EMBRYO_US;
	return s->flags & SESSION_FLAG_RESTRICTED ? w->restricted_us : w->timeout_us;
}

/* resume.c */
int resume_init(struct resume *r, const struct config *config, uint32_t sessions, int numa_node);
void resume_fini(struct resume *r);
void resume_datagram(struct worker *w, struct rte_mbuf *m);
/* A valid packet of an embryo came. Returns COUNTER_consumed if it is a session now, otherwise the counter of the packet; the
 * session may be gone then. */
enum counter resume_heard(struct worker *w, struct session *s, const struct packet_info *from);
/* The embryo ends. */
void resume_forget(struct worker *w, struct session *s);
void resume_keys_set(struct worker *w, const struct cell_ticket_keys *keys);

/* session_end.c: ends the session: fails its deliveries, orphans its records, wipes keys, frees the slot. */
void session_remove(struct worker *w, struct session *s);
/* The client said CLOSE: ends it and tells control; again later if the event ring is full. */
void session_close(struct worker *w, struct session *s);
unsigned session_timers(struct worker *w);

/* relay.c */
/* What the tables say about a message. Valid within an iteration. */
struct relay_lookup {
	user_id_t from;
	enum verdict verdict;
	struct user_entry user;
};
/* Asks for n messages (at most PORT_BURST) at once, and starts loading what handling them will touch. */
void relay_look_up(struct worker *w, const struct session **senders, const struct frame_message **messages,
		   struct relay_lookup **out, uint32_t n);
/* found: NULL, or from relay_look_up. */
void relay_message(struct worker *w, struct session *s, const struct frame_message *f, const struct relay_lookup *found);
void relay_confirm(struct worker *w, struct session *s, message_id_t id);
void relay_confirm_gaps(struct worker *w, struct session *s, const struct frame_confirm_gaps *f);
void relay_verdict(struct worker *w, const struct cell_verdict *v);
void relay_stored(struct worker *w, const struct cell_stored *c);
/* The result of a delivery part. */
void relay_result(struct worker *w, struct record_ref ref, uint32_t part, enum delivery_outcome outcome);
/* The session's records lose their sender: nobody is left to be told. */
void relay_orphan(struct worker *w, struct session *s);
unsigned relay_timers(struct worker *w);
/* A frame from control for sessions of this worker. false: no record is free now, try again. */
bool relay_control_frame(struct worker *w, const struct cell_frame *f, const uint8_t *frame, uint16_t length);

/* punt.c: false when the ring is full (counted). */
bool punt_login(struct worker *w, const struct rte_mbuf *m);
bool punt_stale(struct worker *w, session_id_t sid, const struct rte_mbuf *m);
bool punt_request(struct worker *w, const struct session *s, const struct frame_request *f);
bool punt_verdict(struct worker *w, const struct message *m);
bool punt_store(struct worker *w, const struct message *m, unsigned part);
bool punt_delivered(struct worker *w, session_id_t sid, uint64_t token, enum delivery_outcome outcome);
bool punt_session(struct worker *w, const struct session *s, enum session_event event);
bool punt_expired(struct worker *w, const session_id_t *sids, uint32_t n); /* n up to CELL_EXPIRED_MAX */
bool punt_resumed(struct worker *w, const struct session *s, const struct embryo *e);
/* At the end of an iteration at the latest: what was batched goes to control. */
void punt_flush(struct worker *w);
bool punt_session_refused(struct worker *w, session_id_t sid);

/* inject.c */
unsigned inject_poll(struct worker *w);

/* output.c */
void output_fini(struct worker *w);
/* Room for a frame of size bytes in the session's open packet, NULL without an mbuf. */
uint8_t *output_frame(struct worker *w, struct session *s, size_t size);
/* The same for a frame of header bytes and the spare packet's body, of length: in that packet, if it can be. *body says then where it
 * lies, and stays as it is otherwise. */
uint8_t *output_forward(struct worker *w, struct session *s, size_t header, size_t length, const uint8_t **body);
/* The same in a packet of its own to another address (path challenge, probe); flushed at once by the caller. */
uint8_t *output_frame_to(struct worker *w, struct session *s, const struct packet_info *to, size_t size);
void output_receipt(struct worker *w, struct session *s, enum receipt_level level, enum refuse_reason reason,
		    uint32_t retry_ms, message_id_t id);
/* Seals the open packet and those that wait. */
void output_flush(struct worker *w);
/* Answers m, which ends here, with an unsealed datagram: in m itself, if it can be. n at most WIRE_DATAGRAM_MAX. */
void output_answer(struct worker *w, struct rte_mbuf *m, const uint8_t *data, size_t n);
/* Sends an unsealed datagram. */
void output_datagram(struct worker *w, const struct packet_info *to, const uint8_t *data, size_t n);
/* Hands everything to the ports. */
void output_transmit(struct worker *w);

#endif
