/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the dataplane and control say to each other: the cells that travel in the rings of ipc.h.
 *
 * "punt" is dataplane to control, "inject" is control to dataplane. A reader trusts no length or index
 * in a cell: cell_valid() first, then its own tables.
 */
#ifndef ROOKERY_SHARED_CELL_H
#define ROOKERY_SHARED_CELL_H

#include "address.h"
#include "ids.h"
#include "log.h"
#include "session_keys.h"
#include "ticket.h"
#include "wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CELL_SIZE 1472
#define CELL_DATA_MAX 1304

/* Names a message record of a worker; the worker checks generation against its record and ignores the
 * answer if the record is gone. */
struct record_ref {
	uint32_t index;
	uint32_t generation;
};

enum cell_type {
	/* worker -> control, EVENT ring (lossless) */
	PUNT_STORE = 1,        /* commit this message for devices that did not take it live */
	PUNT_DELIVERED = 2,    /* outcome of an INJECT_FRAME with a token */
	PUNT_SESSION = 3,      /* a session closed, moved, or was first heard */
	PUNT_EXPIRED = 4,      /* nothing heard of these sessions for the time-out; the worker has freed the slots */
	PUNT_RESUMED = 5,      /* clients came back with tickets, and were heard under the new keys */
	/* worker -> control, REQUEST ring (lossy) */
	PUNT_REQUEST = 16,     /* a REQUEST frame */
	PUNT_VERDICT = 17,     /* first message of a pair: may it pass? */
	PUNT_STALE = 18,       /* DATA of an earlier epoch: control checks its tag, then INJECT_PROBE */
	/* worker -> control, LOGIN ring (lossy) */
	PUNT_LOGIN = 24,       /* a LOGIN datagram with a good mac1 */
	/* worker -> control, TRACE ring (lossy) */
	PUNT_TRACE = 28,       /* where a packet went, for an operator who asked */
	/* control -> worker, INJECT ring */
	INJECT_SESSION_ADD = 32,
	INJECT_SESSION_UPDATE = 33, /* a restricted session becomes a user's */
	INJECT_SESSION_DEL = 34,    /* with a CLOSE frame to the client unless reason is 0 */
	INJECT_DATAGRAM = 35,       /* send these bytes as they are (LOGIN_REPLY) */
	INJECT_FRAME = 36,          /* reliable frame to one or many sessions of this worker */
	INJECT_VERDICT = 37,        /* answer to PUNT_VERDICT */
	INJECT_STORED = 38,         /* answer to PUNT_STORE, after the commit */
	INJECT_RECEIPT = 39,        /* best-effort receipt: a stored message was delivered */
	INJECT_PROBE = 40,          /* send a PING to this address: tells the client the new epoch */
	INJECT_FENCE = 41,          /* what follows waits until the tables show all before the TABLE_BARRIER of this value */
	INJECT_TRACE = 42,          /* what to trace from now on, instead of what was traced before */
	INJECT_TICKET_KEYS = 43,    /* what opens tickets from now on */
	/* control -> housekeeping, TABLE ring */
	TABLE_USER_SET = 48,
	TABLE_USER_DEL = 49,
	TABLE_VERDICT_SET = 50,     /* also overwrites */
	TABLE_VERDICT_DEL = 51,     /* from and to 0: all of them */
	TABLE_BANS = 53,            /* a part of the list of bans, which replaces the one before */
	TABLE_LOG = 54,             /* how much the dataplane logs, as of now */
	TABLE_BARRIER = 52,         /* housekeeping publishes value in the region once all before it is visible */
};

enum verdict {
	VERDICT_NONE = 0, /* ask control */
	VERDICT_ALLOWED = 1,
	VERDICT_NOT_BUDDIES = 2,
	VERDICT_BLOCKED = 3,
	VERDICT_UNKNOWN_USER = 4,
};

/* A device of the recipient that is (or was) live: session and device. */
struct live_session {
	session_id_t sid;
	device_id_t device;
};

/* PUNT_STORE. device != 0: for that device only. device == 0: for every device of `to` except
 * except[0..except_count). The same (from_device, id, device) may come again: storing is idempotent. */
struct cell_store {
	struct record_ref record;
	user_id_t from;
	device_id_t from_device;
	user_id_t to;
	device_id_t device;
	message_id_t id;
	uint64_t sent_at; /* ms since 1970 */
	uint32_t prev_delta;
	uint32_t floor_delta;
	uint8_t flags;
	uint8_t except_count;
	device_id_t except[USER_SESSIONS_MAX];
	/* data: the body */
};

enum delivery_outcome {
	DELIVERY_ACKED = 1,
	DELIVERY_FAILED = 2, /* retransmissions exhausted, session gone, or no memory */
};

struct cell_delivered {
	session_id_t sid;
	uint64_t token;
	uint8_t outcome; /* enum delivery_outcome */
};

enum session_event {
	SESSION_CLOSED = 2,  /* CLOSE frame from the client; the worker has freed the slot */
	SESSION_MOVED = 3,   /* validated path change: peer is the new address */
	SESSION_HEARD = 4,   /* first valid packet since INJECT_SESSION_ADD */
	SESSION_REFUSED = 5, /* INJECT_SESSION_ADD failed (no slot, bad index) */
};

struct cell_session {
	session_id_t sid;
	uint8_t event; /* enum session_event */
	uint8_t port;
	struct endpoint peer;
};

/* Millions may expire at once: many to a cell. */
#define CELL_EXPIRED_MAX (CELL_DATA_MAX / sizeof(session_id_t))
struct cell_expired {
	uint32_t count; /* 1 to CELL_EXPIRED_MAX */
	/* data: so many session ids, in the order of this machine */
};

/* A session is restricted until INJECT_SESSION_UPDATE; control ends it if the ticket is void. */
struct resumed_session {
	session_id_t sid;
	user_id_t user; /* this, the next two and status: as the ticket has them */
	device_id_t device;
	uint64_t login_timestamp;
	struct endpoint peer;
	uint8_t port;
	uint8_t status;
	struct session_secret secret;
};

/* Millions may come back at once: several to a cell. */
#define CELL_RESUMED_MAX (CELL_DATA_MAX / sizeof(struct resumed_session))
struct cell_resumed {
	uint64_t heard_ms; /* since 1970 */
	uint32_t count;    /* 1 to CELL_RESUMED_MAX */
	/* resumed_sessions: in the order in which they were heard */
};

/* INJECT_TICKET_KEYS: that of new tickets and the one before it; id 0: none. Others no longer open anything. */
struct cell_ticket_keys {
	struct ticket_key key[2];
};

struct cell_request {
	session_id_t sid;
	user_id_t user; /* 0: restricted session */
	uint32_t request;
	uint8_t fragment;
	uint8_t fragments;
	/* data: protobuf Request (fragment) */
};

struct cell_verdict {
	struct record_ref record;
	user_id_t from;
	user_id_t to;
	uint8_t verdict; /* enum verdict; INJECT_VERDICT and TABLE_VERDICT_SET only */
	/* INJECT_VERDICT: where `to` is now, as in TABLE_USER_SET */
	uint8_t away;
	uint8_t live_count;
	struct live_session live[USER_SESSIONS_MAX];
};

struct cell_stale {
	session_id_t sid;
	uint8_t port;
	struct endpoint peer;
	/* data: the datagram */
};

enum trace_filter_kind { TRACE_NONE, TRACE_SESSION, TRACE_USER, TRACE_ADDRESS, TRACE_ALL };

#define TRACE_FILTERS_MAX 8
struct trace_filter {
	uint64_t id;          /* of the session or user */
	struct prefix prefix; /* TRACE_ADDRESS */
	uint8_t kind;         /* enum trace_filter_kind */
	uint8_t bytes;        /* 1: with the datagram as it is on the wire */
};

_Static_assert(sizeof(struct trace_filter) == 32, "both processes agree");

/* INJECT_TRACE has no fields. data: TRACE_FILTERS_MAX filters. */

enum trace_kind {
	TRACE_IN = 1,    /* a packet from a client, or from another worker */
	TRACE_OUT = 2,   /* a packet to a client */
	TRACE_EVENT = 3, /* something about a session, without a packet */
};

#define TRACE_FRAMES_MAX 3
#define TRACE_TO_MAX 3
#define TRACE_COUNTERS_MAX 10

struct trace_frame {
	uint64_t id;    /* of the message or request; ACK: first delivery number */
	uint8_t type;   /* enum frame_type */
	uint8_t detail; /* RECEIPT: level; CLOSE: reason */
	uint8_t more;   /* RECEIPT, ACK: so many ids behind the first, 255: or more */
};

struct cell_trace {
	uint64_t time_us; /* since 1970 */
	session_id_t sid; /* as the packet says; SESSION_ID_NONE: of none */
	user_id_t user;   /* 0: not known to this worker */
	session_id_t to[TRACE_TO_MAX]; /* where its messages are under way to */
	struct trace_frame frames[TRACE_FRAMES_MAX];
	struct endpoint peer;
	uint16_t size;        /* of the datagram */
	uint16_t lost;        /* records before this one, 65535: or more */
	uint8_t port, local;
	uint8_t mask;         /* bit per filter that it matches */
	uint8_t kind;         /* enum trace_kind */
	uint8_t type;         /* first byte of the datagram */
	uint8_t to_count;
	uint8_t frame_count;  /* there may be more than are in frames */
	uint8_t counter_count;
	uint8_t counters[TRACE_COUNTERS_MAX]; /* enum counter: those that it moved; of a received packet the first is its end */
	/* data: the datagram, if a filter wants it */
};

struct cell_datagram {
	uint8_t port;
	uint8_t local; /* which of the port's addresses it came to, and the answer leaves from */
	struct endpoint peer;
	uint64_t came_ms; /* PUNT_LOGIN: since 1970 */
	/* data: the datagram (PUNT_LOGIN, INJECT_DATAGRAM) */
};

#define SESSION_RESTRICTED 0x01 /* may only send REQUEST, PING, ACK, CLOSE */

struct cell_session_add {
	session_id_t sid;
	user_id_t user;
	device_id_t device;
	struct session_keys keys;
	uint16_t epoch;
	uint8_t flags;
	uint8_t port;
	uint8_t probe;        /* 1: PING the client at once (provisioned again after a restart) */
	struct endpoint peer;
	uint32_t timeout_ms;  /* nothing heard for so long: expired */
	message_id_t confirmed; /* reserved, 0 */
};

struct cell_session_update {
	session_id_t sid;
	user_id_t user;
	device_id_t device;
	uint8_t flags;
	uint32_t timeout_ms;
};

struct cell_session_del {
	session_id_t sid;
	uint8_t reason; /* enum close_reason; 0: silent */
};

/* The same frame for every session listed, each with its own delivery number. The frame's bytes are a
 * complete encoded DELIVER, NOTIFY or RESPONSE whose delivery number the worker fills in. */
#define CELL_FRAME_SESSIONS_MAX 16
struct cell_frame {
	uint64_t token; /* 0: no outcome wanted; otherwise session_count is 1 and PUNT_DELIVERED follows */
	uint8_t session_count;
	session_id_t sids[CELL_FRAME_SESSIONS_MAX];
	/* data: the frame */
};

struct cell_stored {
	struct record_ref record;
	message_id_t id;
	device_id_t device; /* as in cell_store: 0 or one device */
	uint8_t ok;         /* 0: the store is not available, the record stays unconfirmed */
	uint8_t stored;     /* how many devices it waits for (0: none was left to store for) */
};

struct cell_receipt {
	session_id_t sid;
	message_id_t id;
	uint8_t level;
};

struct cell_probe {
	session_id_t sid;
	uint8_t port;
	struct endpoint peer;
};

struct cell_user {
	user_id_t user;
	uint8_t away; /* 1: some device of the user is not live, so a copy goes to the store as well */
	uint8_t live_count;
	struct live_session live[USER_SESSIONS_MAX];
};

/* The list is sent whole, in cells one behind the other. */
#define BANS_MAX 8192
#define CELL_BANS_MAX (CELL_DATA_MAX / sizeof(struct prefix))
struct cell_bans {
	uint64_t version; /* of the list, by control: never 0, another for each; see struct ipc_bans */
	uint8_t first; /* 1: a list begins: what was collected of one before is void */
	uint8_t last;  /* 1: the list is whole, and in force from now on */
	uint16_t count;
	/* data: so many struct prefix */
};

struct cell_log {
	uint8_t format; /* enum log_format */
	uint8_t level[LOG_AREA_COUNT]; /* enum log_level */
};

struct cell_barrier {
	uint64_t value;
};

struct cell {
	uint16_t type;   /* enum cell_type */
	uint16_t length; /* bytes used in data */
	uint32_t worker; /* punt: the worker that wrote it */
	union {
		struct cell_store store;
		struct cell_delivered delivered;
		struct cell_session session;
		struct cell_expired expired;
		struct cell_resumed resumed;
		struct cell_ticket_keys ticket_keys;
		struct cell_request request;
		struct cell_verdict verdict;
		struct cell_stale stale;
		struct cell_datagram datagram;
		struct cell_session_add session_add;
		struct cell_session_update session_update;
		struct cell_session_del session_del;
		struct cell_frame frame;
		struct cell_stored stored;
		struct cell_receipt receipt;
		struct cell_probe probe;
		struct cell_user user;
		struct cell_trace trace;
		struct cell_bans bans;
		struct cell_log log;
		struct cell_barrier barrier;
	};
	union {
		uint8_t data[CELL_DATA_MAX];
		struct resumed_session resumed_sessions[CELL_RESUMED_MAX]; /* PUNT_RESUMED */
	};
};

_Static_assert(sizeof(struct cell) == CELL_SIZE, "both processes agree on the size of a cell");
_Static_assert(CELL_SIZE % 64 == 0, "cells start on cache lines");
_Static_assert(offsetof(struct cell, data) % sizeof(session_id_t) == 0, "session ids in data are aligned");
_Static_assert(CELL_DATA_MAX >= WIRE_DATAGRAM_MAX, "a cell holds any datagram");

/* Bytes of a cell that carry meaning; only these are copied. */
static inline uint32_t
cell_used(const struct cell *c)
{
	return (uint32_t)offsetof(struct cell, data) + c->length;
}

/* Type known, length and all counts inside their bounds. */
bool cell_valid(const struct cell *c);

#endif
