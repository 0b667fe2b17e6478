/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The wire format: datagram headers and frames. docs/protocol.md is the specification.
 * Everything is big-endian. No I/O, no allocation; every decoder is bounds-checked and
 * takes bytes from the network.
 */
#ifndef ROOKERY_SHARED_WIRE_H
#define ROOKERY_SHARED_WIRE_H

#include "address.h"
#include "bytes.h"
#include "ids.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_VERSION 1
#define WIRE_PORT 8000
#define WIRE_DATAGRAM_MAX 1200
#define WIRE_RUNT 12 /* a shorter datagram is none of ours */

/* First byte of a datagram: 0x08-0x0F, the range that RFC 7983 leaves free beside STUN, DTLS,
 * TURN channels and RTP. */
enum wire_type {
	WIRE_DATA = 0x08,        /* sealed frames of a session */
	WIRE_LOGIN = 0x09,       /* client: Noise IK message 1, mac1, mac2 */
	WIRE_LOGIN_REPLY = 0x0a, /* server: Noise IK message 2 */
	WIRE_COOKIE = 0x0b,      /* server: prove your address first */
	WIRE_VERSION_REPLY = 0x0c, /* server: versions that it speaks */
	WIRE_KEY = 0x0d,         /* client asks for the server's public key; server answers */
	WIRE_RESET = 0x0e,       /* server: no such session (a hint, unauthenticated) */
	WIRE_RESUME = 0x0f,      /* reserved: login by ticket */
};

/* Every datagram starts with: type, version, two zero bytes, and eight bytes that are the session
 * id (DATA, RESET) or the client's random handshake id (all others). */
#define WIRE_PREFIX 12
struct wire_prefix {
	uint8_t type;
	uint8_t version;
	uint16_t flags;
	uint64_t id;
};

/* What follows for every packet is inline. */

/* Reads the first WIRE_PREFIX bytes; len must be at least that. */
static inline void
wire_prefix_read(struct wire_prefix *p, const uint8_t *in)
{
	p->type = in[0];
	p->version = in[1];
	p->flags = get16(in + 2);
	p->id = get64(in + 4);
}

static inline void
wire_prefix_write(const struct wire_prefix *p, uint8_t *out)
{
	put32(out, (uint32_t)p->type << 24 | (uint32_t)p->version << 16 | p->flags);
	put64(out + 4, p->id);
}

/* ---- DATA ---------------------------------------------------------------------------- */

/* prefix + packet counter; all of it is the AEAD's associated data. */
#define WIRE_DATA_HEADER 20
#define WIRE_TAG 16
#define WIRE_DATA_MIN (WIRE_DATA_HEADER + 1 + WIRE_TAG)
#define WIRE_PLAINTEXT_MAX (WIRE_DATAGRAM_MAX - WIRE_DATA_HEADER - WIRE_TAG)

/* The packet counter: 16 bits of epoch (how often the session was provisioned again after a restart
 * of the dataplane), 48 bits of sequence starting at 1. Keys differ per epoch and nonces per direction, so a
 * nonce never repeats, no packet of an earlier epoch is accepted, and none that comes back to its sender. */
#define WIRE_SEQUENCE_BITS 48
#define WIRE_SEQUENCE_MAX ((UINT64_C(1) << WIRE_SEQUENCE_BITS) - 1)

static inline uint64_t
wire_counter(uint16_t epoch, uint64_t sequence)
{
	return (uint64_t)epoch << WIRE_SEQUENCE_BITS | (sequence & WIRE_SEQUENCE_MAX);
}

static inline uint16_t
wire_counter_epoch(uint64_t counter)
{
	return (uint16_t)(counter >> WIRE_SEQUENCE_BITS);
}

struct wire_data {
	session_id_t sid;
	uint64_t counter;
};

/* Returns 0, or -EPROTO when the datagram cannot be DATA of this version (too short, flags set). */
static inline int
wire_data_read(struct wire_data *d, const uint8_t *in, size_t len)
{
	if (len < WIRE_DATA_MIN || len > WIRE_DATAGRAM_MAX ||
	    get32(in) != ((uint32_t)WIRE_DATA << 24 | (uint32_t)WIRE_VERSION << 16))
		return -EPROTO;
	d->sid = get64(in + 4);
	d->counter = get64(in + WIRE_PREFIX);
	/* The first packet of an epoch has sequence 1, so 0 is never sent. */
	return d->sid != SESSION_ID_NONE && (d->counter & WIRE_SEQUENCE_MAX) != 0 ? 0 : -EPROTO;
}

static inline void
wire_data_write(const struct wire_data *d, uint8_t *out)
{
	wire_prefix_write(&(struct wire_prefix){.type = WIRE_DATA, .version = WIRE_VERSION, .id = d->sid}, out);
	put64(out + WIRE_PREFIX, d->counter);
}

enum wire_direction {
	WIRE_TO_SERVER = 0,
	WIRE_TO_CLIENT = 1,
};

/* 12-byte AEAD nonce: the direction (u32), counter. */
static inline void
wire_nonce(uint8_t nonce[12], enum wire_direction direction, uint64_t counter)
{
	put32(nonce, direction);
	put64(nonce + 4, counter);
}

/* ---- frames inside DATA -------------------------------------------------------------- */

enum frame_type {
	FRAME_PAD = 0x00,            /* one byte */
	FRAME_PING = 0x01,           /* both: token */
	FRAME_PONG = 0x02,           /* both: token, observed address of the pinger */
	FRAME_PATH_CHALLENGE = 0x03, /* server: token */
	FRAME_PATH_RESPONSE = 0x04,  /* client: token */
	FRAME_CLOSE = 0x05,          /* both: reason */
	FRAME_MESSAGE = 0x06,        /* client: a message to a user */
	FRAME_RECEIPT = 0x07,        /* server: level of one or more messages */
	FRAME_CONFIRM = 0x08,        /* client: all ids up to this have their final answer */
	FRAME_DELIVER = 0x09,        /* server, reliable: a message from a user */
	FRAME_NOTIFY = 0x0a,         /* server, reliable: protobuf Notification */
	FRAME_ACK = 0x0b,            /* client: ranges of delivery numbers */
	FRAME_REQUEST = 0x0c,        /* client: protobuf Request (a fragment of it) */
	FRAME_RESPONSE = 0x0d,       /* server, reliable: protobuf Response (a fragment of it) */
	FRAME_SLOW_DOWN = 0x0e,      /* server: a REQUEST was not looked at; when to send it again */
	FRAME_CONFIRM_GAPS = 0x0f,   /* client: as CONFIRM, except for the ids in ranges */
};

enum close_reason {
	CLOSE_LOGOUT = 1,   /* the client leaves */
	CLOSE_KICKED = 2,   /* an operator ended the session */
	CLOSE_REPLACED = 3, /* the same device logged in again */
	CLOSE_EXPIRED = 4,  /* no heartbeat in time, or a restricted session that never enrolled */
	CLOSE_REVOKED = 5,  /* password changed elsewhere, account or device removed */
};

enum receipt_level {
	RECEIPT_ACCEPTED = 1,  /* the server holds it in memory */
	RECEIPT_STORED = 2,    /* committed to the store: final, may rise to DELIVERED */
	RECEIPT_DELIVERED = 3, /* a device of the recipient acknowledged it: final */
	RECEIPT_REFUSED = 4,   /* see reason: final, except REFUSE_SLOW_DOWN */
	RECEIPT_COPY = 5,      /* a device acknowledged its stored copy: STORED rises to DELIVERED, any other level stays */
};

enum refuse_reason {
	REFUSE_NONE = 0,
	REFUSE_NOT_BUDDIES = 1,
	REFUSE_BLOCKED = 2,
	REFUSE_UNKNOWN_USER = 3,
	REFUSE_TOO_LARGE = 4,
	REFUSE_SLOW_DOWN = 5, /* not final: send again after retry_ms */
};

/* Flags of MESSAGE, carried unchanged into DELIVER. */
#define MESSAGE_MORE 0x01  /* more fragments of the same text follow in the next ids of this conversation */
#define MESSAGE_NUDGE 0x02 /* no text: only carries prev and floor after a refusal */
#define MESSAGE_REST 0x04  /* not the first fragment of its text */
/* Set by the server in DELIVER. */
#define MESSAGE_STORED 0x80 /* waited in the store for this device */

#define MESSAGE_HEADER 28
#define DELIVER_HEADER 48
#define RELIABLE_HEADER 8 /* type, flags, length, delivery number: common to DELIVER, NOTIFY, RESPONSE */
#define RECEIPT_HEADER 8
#define REQUEST_HEADER 10
#define RESPONSE_HEADER 14
#define SLOW_DOWN_SIZE 9
#define PONG_SIZE 27
#define MESSAGE_BODY_MAX 1100
#define NOTIFY_BODY_MAX 1100
#define REQUEST_BODY_MAX 1100
#define REQUEST_FRAGMENTS_MAX 8
#define RECEIPT_IDS_MAX 64
#define ACK_RANGES_MAX 64
#define CONFIRM_GAPS_MAX 64

/* Ordering of one sending device's messages to one conversation, kept by the receiving client:
 * prev is the id of the device's previous message in this conversation that was not refused (0: none);
 * floor says that every id up to it in this conversation has its final answer. On the wire both are
 * distances below id (0 in prev's place means none; UINT32_MAX saturates and means 'settled, far below'). */
struct frame_message {
	uint8_t flags;
	user_id_t to;
	message_id_t id;
	uint32_t prev_delta;
	uint32_t floor_delta;
	uint16_t length;
	const uint8_t *body;
};

struct frame_deliver {
	uint8_t flags;
	uint32_t delivery; /* delivery number: per session and epoch, from 1, +1 each */
	user_id_t from;
	device_id_t from_device;
	message_id_t id;
	uint32_t prev_delta;
	uint32_t floor_delta;
	uint64_t sent_at; /* ms since 1970, the server's clock when it accepted the message */
	uint16_t length;
	const uint8_t *body;
};

struct frame_notify {
	uint32_t delivery;
	uint16_t length;
	const uint8_t *body;
};

struct frame_request {
	uint32_t request; /* chosen by the client, per session */
	uint8_t fragment; /* 0 .. fragments-1 */
	uint8_t fragments;
	uint16_t length;
	const uint8_t *body;
};

struct frame_response {
	uint32_t delivery;
	uint32_t request;
	uint8_t fragment;
	uint8_t fragments;
	uint16_t length;
	const uint8_t *body;
};

struct frame_slow_down {
	uint32_t request;
	uint32_t retry_ms;
};

struct frame_receipt {
	uint8_t level;  /* enum receipt_level */
	uint8_t reason; /* enum refuse_reason */
	uint8_t count;  /* 1 .. RECEIPT_IDS_MAX */
	uint32_t retry_ms;
	const uint8_t *ids; /* count * 8 bytes, big-endian: wire_receipt_id() */
};

struct frame_ack {
	uint8_t count;         /* 1 .. ACK_RANGES_MAX */
	const uint8_t *ranges; /* count * 6 bytes: first (u32), length (u16, at least 1): wire_ack_range() */
};

struct frame_confirm_gaps {
	message_id_t id;     /* the highest one with a final answer */
	uint8_t count;       /* 1 .. CONFIRM_GAPS_MAX */
	const uint8_t *gaps; /* count * 6 bytes, rising: distance below id (u32), length (u16, at least 1): wire_confirm_gap() */
};

struct frame {
	uint8_t type; /* enum frame_type */
	union {
		uint64_t token; /* PING, PATH_CHALLENGE, PATH_RESPONSE */
		struct {
			uint64_t token;
			struct endpoint observed;
		} pong;
		uint8_t close_reason;
		struct frame_message message;
		struct frame_receipt receipt;
		message_id_t confirm;
		struct frame_confirm_gaps confirm_gaps;
		struct frame_deliver deliver;
		struct frame_notify notify;
		struct frame_ack ack;
		struct frame_request request;
		struct frame_response response;
		struct frame_slow_down slow_down;
	};
};

/* Decodes the frame at in[0..len). Bodies point into the input. Returns the bytes used (at least 1)
 * or -EPROTO for an unknown type, a truncated frame, or a field outside its range. */
int frame_read(struct frame *f, const uint8_t *in, size_t len);

/* Encodes into out[0..cap). Returns the bytes written, -ENOSPC, or -EINVAL when frame_read would refuse
 * the result. For DELIVER, MESSAGE, NOTIFY, REQUEST and RESPONSE the body is copied; for RECEIPT, ACK and
 * CONFIRM_GAPS ids/ranges are copied as they are. A body may overlap out: it is moved before the header is written; one that lies in
 * its place already stays there. */
int frame_write(const struct frame *f, uint8_t *out, size_t cap);

/* The DELIVER_HEADER bytes before a body of length. For fields that frame_read has let through: unlike frame_write this checks nothing. */
static inline void
wire_deliver_header(uint8_t *out, const struct frame_deliver *d)
{
	put32(out, (uint32_t)FRAME_DELIVER << 24 | (uint32_t)d->flags << 16 | d->length);
	put32(out + 4, d->delivery);
	put64(out + 8, d->from);
	put64(out + 16, d->from_device);
	put64(out + 24, d->id);
	put32(out + 32, d->prev_delta);
	put32(out + 36, d->floor_delta);
	put64(out + 40, d->sent_at);
}

/* The RECEIPT_HEADER bytes before count ids; as above. */
static inline void
wire_receipt_header(uint8_t *out, uint8_t level, uint8_t reason, uint8_t count, uint32_t retry_ms)
{
	put32(out, (uint32_t)FRAME_RECEIPT << 24 | (uint32_t)level << 16 | (uint32_t)reason << 8 | count);
	put32(out + 4, retry_ms);
}

message_id_t wire_receipt_id(const struct frame_receipt *r, unsigned i);
void wire_receipt_put(uint8_t *ids, unsigned i, message_id_t id);
void wire_ack_range(const struct frame_ack *a, unsigned i, uint32_t *first, uint16_t *length);
void wire_ack_put(uint8_t *ranges, unsigned i, uint32_t first, uint16_t length);
void wire_confirm_gap(const struct frame_confirm_gaps *c, unsigned i, message_id_t *first, message_id_t *last);
/* id: of the frame. */
void wire_confirm_gap_put(uint8_t *gaps, unsigned i, message_id_t id, message_id_t first, message_id_t last);

/* Writes the delivery number into an encoded DELIVER, NOTIFY or RESPONSE frame. */
void wire_set_delivery(uint8_t *frame, uint32_t delivery);

/* Names for logs, JSON and tests: "accepted", "not_buddies", "kicked", ...; never NULL. */
const char *frame_type_name(uint8_t type);
const char *receipt_level_name(uint8_t level);
const char *refuse_reason_name(uint8_t reason);
const char *close_reason_name(uint8_t reason);

/* ---- small datagrams ----------------------------------------------------------------- */

/* VERSION_REPLY: prefix with version = highest, flags high byte = lowest version spoken; id echoes the
 * eight bytes of the request. 12 bytes: never larger than what it answers. */
#define WIRE_VERSION_REPLY_SIZE 12
/* KEY query: prefix (flags 0) padded with zeros to 48 bytes; reply: prefix (flags 1), public key: 44 bytes. */
#define WIRE_KEY_QUERY_SIZE 48
#define WIRE_KEY_REPLY_SIZE 44
#define WIRE_RESET_SIZE 12

#endif
