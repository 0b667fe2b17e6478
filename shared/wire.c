/* SPDX-License-Identifier: BSD-3-Clause */
#include "shared/wire.h"

#include "shared/bytes.h"

#include <errno.h>
#include <string.h>

/* ---- fields: the same ranges hold for the decoder and the encoder --------------------- */

#define TOKEN_SIZE 9
#define CLOSE_SIZE 2
#define CONFIRM_SIZE 9
#define ACK_HEADER 2
#define ACK_RANGE 6
#define CONFIRM_GAPS_HEADER 10
#define CONFIRM_GAP 6

/* prev is at least 1 and floor at least 0; a larger distance would wrap around below id. */
static bool
order_valid(message_id_t id, uint32_t prev_delta, uint32_t floor_delta)
{
	if (id == 0)
		return false;
	if (prev_delta != UINT32_MAX && prev_delta >= id)
		return false;
	return floor_delta == UINT32_MAX || floor_delta <= id;
}

static bool
body_valid(uint8_t flags, uint8_t allowed, uint16_t length)
{
	if ((flags & ~allowed) != 0 || length > MESSAGE_BODY_MAX)
		return false;
	return !(flags & MESSAGE_NUDGE) || (length == 0 && !(flags & (MESSAGE_MORE | MESSAGE_REST)));
}

static bool
message_valid(const struct frame_message *m)
{
	return body_valid(m->flags, MESSAGE_MORE | MESSAGE_NUDGE | MESSAGE_REST, m->length) && m->to != 0 &&
	       order_valid(m->id, m->prev_delta, m->floor_delta);
}

static bool
deliver_valid(const struct frame_deliver *d)
{
	return body_valid(d->flags, MESSAGE_MORE | MESSAGE_NUDGE | MESSAGE_REST | MESSAGE_STORED, d->length) &&
	       d->from != 0 && d->from_device != 0 && order_valid(d->id, d->prev_delta, d->floor_delta);
}

static bool
receipt_valid(const struct frame_receipt *r)
{
	if (r->level < RECEIPT_ACCEPTED || r->level > RECEIPT_COPY || r->reason > REFUSE_SLOW_DOWN)
		return false;
	if ((r->level == RECEIPT_REFUSED) != (r->reason != REFUSE_NONE))
		return false;
	return r->count >= 1 && r->count <= RECEIPT_IDS_MAX;
}

static bool
ack_valid(const struct frame_ack *a)
{
	if (a->count < 1 || a->count > ACK_RANGES_MAX)
		return false;
	for (unsigned i = 0; i < a->count; i++) {
		uint16_t length;
		uint32_t first;

		wire_ack_range(a, i, &first, &length);
		/* Delivery numbers start at 1 and never wrap. */
		if (first == 0 || length == 0 || first > UINT32_MAX - (length - 1u))
			return false;
	}
	return true;
}

static bool
confirm_gaps_valid(const struct frame_confirm_gaps *c)
{
	message_id_t above = 0;

	if (c->count < 1 || c->count > CONFIRM_GAPS_MAX)
		return false;
	for (unsigned i = 0; i < c->count; i++) {
		const uint8_t *p = c->gaps + CONFIRM_GAP * (size_t)i;
		uint32_t distance = get32(p);
		uint16_t length = get16(p + 4);

		/* Rising, disjoint, and all of it from id 1 to below the confirmed one. */
		if (distance >= c->id || length == 0 || length > distance || c->id - distance <= above)
			return false;
		above = c->id - distance + length - 1;
	}
	return true;
}

static bool
request_valid(const struct frame_request *r)
{
	return r->fragments >= 1 && r->fragments <= REQUEST_FRAGMENTS_MAX && r->fragment < r->fragments &&
	       r->length <= REQUEST_BODY_MAX;
}

static bool
response_valid(const struct frame_response *r)
{
	return r->fragments >= 1 && r->fragment < r->fragments && r->length <= REQUEST_BODY_MAX;
}

static bool
close_valid(uint8_t reason)
{
	return reason >= CLOSE_LOGOUT && reason <= CLOSE_REVOKED;
}

/* ---- decoding ------------------------------------------------------------------------ */

/* All of them: in[0] is the type, the result is the bytes used or -EPROTO. */

static int
read_token(struct frame *f, const uint8_t *in, size_t len)
{
	if (len < TOKEN_SIZE)
		return -EPROTO;
	f->token = get64(in + 1);
	return TOKEN_SIZE;
}

static int
read_pong(struct frame *f, const uint8_t *in, size_t len)
{
	if (len < PONG_SIZE)
		return -EPROTO;
	f->pong.token = get64(in + 1);
	memcpy(f->pong.observed.ip, in + 9, 16);
	f->pong.observed.port = get16(in + 25);
	return PONG_SIZE;
}

static int
read_close(struct frame *f, const uint8_t *in, size_t len)
{
	if (len < CLOSE_SIZE || !close_valid(in[1]))
		return -EPROTO;
	f->close_reason = in[1];
	return CLOSE_SIZE;
}

static int
read_confirm(struct frame *f, const uint8_t *in, size_t len)
{
	if (len < CONFIRM_SIZE)
		return -EPROTO;
	f->confirm = get64(in + 1);
	return CONFIRM_SIZE;
}

static int
read_message(struct frame *f, const uint8_t *in, size_t len)
{
	struct frame_message *m = &f->message;

	if (len < MESSAGE_HEADER)
		return -EPROTO;
	m->flags = in[1];
	m->length = get16(in + 2);
	m->to = get64(in + 4);
	m->id = get64(in + 12);
	m->prev_delta = get32(in + 20);
	m->floor_delta = get32(in + 24);
	m->body = in + MESSAGE_HEADER;
	if (!message_valid(m) || m->length > len - MESSAGE_HEADER)
		return -EPROTO;
	return MESSAGE_HEADER + m->length;
}

static int
read_deliver(struct frame *f, const uint8_t *in, size_t len)
{
	struct frame_deliver *d = &f->deliver;

	if (len < DELIVER_HEADER)
		return -EPROTO;
	d->flags = in[1];
	d->length = get16(in + 2);
	d->delivery = get32(in + 4);
	d->from = get64(in + 8);
	d->from_device = get64(in + 16);
	d->id = get64(in + 24);
	d->prev_delta = get32(in + 32);
	d->floor_delta = get32(in + 36);
	d->sent_at = get64(in + 40);
	d->body = in + DELIVER_HEADER;
	if (!deliver_valid(d) || d->length > len - DELIVER_HEADER)
		return -EPROTO;
	return DELIVER_HEADER + d->length;
}

static int
read_receipt(struct frame *f, const uint8_t *in, size_t len)
{
	struct frame_receipt *r = &f->receipt;

	if (len < RECEIPT_HEADER)
		return -EPROTO;
	r->level = in[1];
	r->reason = in[2];
	r->count = in[3];
	r->retry_ms = get32(in + 4);
	r->ids = in + RECEIPT_HEADER;
	if (!receipt_valid(r) || r->count * 8u > len - RECEIPT_HEADER)
		return -EPROTO;
	return RECEIPT_HEADER + r->count * 8;
}

static int
read_notify(struct frame *f, const uint8_t *in, size_t len)
{
	struct frame_notify *n = &f->notify;

	if (len < RELIABLE_HEADER || in[1] != 0)
		return -EPROTO;
	n->length = get16(in + 2);
	n->delivery = get32(in + 4);
	n->body = in + RELIABLE_HEADER;
	if (n->length > NOTIFY_BODY_MAX || n->length > len - RELIABLE_HEADER)
		return -EPROTO;
	return RELIABLE_HEADER + n->length;
}

static int
read_ack(struct frame *f, const uint8_t *in, size_t len)
{
	struct frame_ack *a = &f->ack;

	if (len < ACK_HEADER)
		return -EPROTO;
	a->count = in[1];
	a->ranges = in + ACK_HEADER;
	if ((size_t)a->count * ACK_RANGE > len - ACK_HEADER || !ack_valid(a))
		return -EPROTO;
	return ACK_HEADER + a->count * ACK_RANGE;
}

static int
read_confirm_gaps(struct frame *f, const uint8_t *in, size_t len)
{
	struct frame_confirm_gaps *c = &f->confirm_gaps;

	if (len < CONFIRM_GAPS_HEADER)
		return -EPROTO;
	c->count = in[1];
	c->id = get64(in + 2);
	c->gaps = in + CONFIRM_GAPS_HEADER;
	if ((size_t)c->count * CONFIRM_GAP > len - CONFIRM_GAPS_HEADER || !confirm_gaps_valid(c))
		return -EPROTO;
	return CONFIRM_GAPS_HEADER + c->count * CONFIRM_GAP;
}

static int
read_request(struct frame *f, const uint8_t *in, size_t len)
{
	struct frame_request *r = &f->request;

	if (len < REQUEST_HEADER || in[1] != 0)
		return -EPROTO;
	r->length = get16(in + 2);
	r->request = get32(in + 4);
	r->fragment = in[8];
	r->fragments = in[9];
	r->body = in + REQUEST_HEADER;
	if (!request_valid(r) || r->length > len - REQUEST_HEADER)
		return -EPROTO;
	return REQUEST_HEADER + r->length;
}

static int
read_response(struct frame *f, const uint8_t *in, size_t len)
{
	struct frame_response *r = &f->response;

	if (len < RESPONSE_HEADER || in[1] != 0)
		return -EPROTO;
	r->length = get16(in + 2);
	r->delivery = get32(in + 4);
	r->request = get32(in + 8);
	r->fragment = in[12];
	r->fragments = in[13];
	r->body = in + RESPONSE_HEADER;
	if (!response_valid(r) || r->length > len - RESPONSE_HEADER)
		return -EPROTO;
	return RESPONSE_HEADER + r->length;
}

static int
read_slow_down(struct frame *f, const uint8_t *in, size_t len)
{
	if (len < SLOW_DOWN_SIZE)
		return -EPROTO;
	f->slow_down.request = get32(in + 1);
	f->slow_down.retry_ms = get32(in + 5);
	return SLOW_DOWN_SIZE;
}

int
frame_read(struct frame *f, const uint8_t *in, size_t len)
{
	if (len == 0)
		return -EPROTO;
	f->type = in[0];
	switch (f->type) {
	case FRAME_PAD:
		return 1;
	case FRAME_PING:
	case FRAME_PATH_CHALLENGE:
	case FRAME_PATH_RESPONSE:
		return read_token(f, in, len);
	case FRAME_PONG:
		return read_pong(f, in, len);
	case FRAME_CLOSE:
		return read_close(f, in, len);
	case FRAME_MESSAGE:
		return read_message(f, in, len);
	case FRAME_RECEIPT:
		return read_receipt(f, in, len);
	case FRAME_CONFIRM:
		return read_confirm(f, in, len);
	case FRAME_DELIVER:
		return read_deliver(f, in, len);
	case FRAME_NOTIFY:
		return read_notify(f, in, len);
	case FRAME_ACK:
		return read_ack(f, in, len);
	case FRAME_REQUEST:
		return read_request(f, in, len);
	case FRAME_RESPONSE:
		return read_response(f, in, len);
	case FRAME_SLOW_DOWN:
		return read_slow_down(f, in, len);
	case FRAME_CONFIRM_GAPS:
		return read_confirm_gaps(f, in, len);
	default:
		return -EPROTO;
	}
}

/* ---- encoding ------------------------------------------------------------------------ */

static int
write_token(const struct frame *f, uint8_t *out, size_t cap)
{
	if (cap < TOKEN_SIZE)
		return -ENOSPC;
	put64(out + 1, f->type == FRAME_CONFIRM ? f->confirm : f->token);
	return TOKEN_SIZE;
}

static int
write_pong(const struct frame *f, uint8_t *out, size_t cap)
{
	if (cap < PONG_SIZE)
		return -ENOSPC;
	put64(out + 1, f->pong.token);
	memcpy(out + 9, f->pong.observed.ip, 16);
	put16(out + 25, f->pong.observed.port);
	return PONG_SIZE;
}

static int
write_close(const struct frame *f, uint8_t *out, size_t cap)
{
	if (!close_valid(f->close_reason))
		return -EINVAL;
	if (cap < CLOSE_SIZE)
		return -ENOSPC;
	out[1] = f->close_reason;
	return CLOSE_SIZE;
}

/* The last step of every frame that ends in bytes. body may already be in place, as when a worker turns the
 * MESSAGE that it received into a DELIVER in the same buffer. */
static int
write_body(uint8_t *out, size_t header, const uint8_t *body, size_t length)
{
	if (length > 0 && body != out + header)
		memmove(out + header, body, length);
	return (int)(header + length);
}

static int
write_message(const struct frame *f, uint8_t *out, size_t cap)
{
	const struct frame_message *m = &f->message;

	if (!message_valid(m))
		return -EINVAL;
	if (cap < (size_t)MESSAGE_HEADER + m->length)
		return -ENOSPC;
	write_body(out, MESSAGE_HEADER, m->body, m->length);
	out[1] = m->flags;
	put16(out + 2, m->length);
	put64(out + 4, m->to);
	put64(out + 12, m->id);
	put32(out + 20, m->prev_delta);
	put32(out + 24, m->floor_delta);
	return MESSAGE_HEADER + m->length;
}

static int
write_deliver(const struct frame *f, uint8_t *out, size_t cap)
{
	const struct frame_deliver *d = &f->deliver;

	if (!deliver_valid(d))
		return -EINVAL;
	if (cap < (size_t)DELIVER_HEADER + d->length)
		return -ENOSPC;
	write_body(out, DELIVER_HEADER, d->body, d->length);
	wire_deliver_header(out, d);
	return DELIVER_HEADER + d->length;
}

static int
write_receipt(const struct frame *f, uint8_t *out, size_t cap)
{
	const struct frame_receipt *r = &f->receipt;

	if (!receipt_valid(r))
		return -EINVAL;
	if (cap < RECEIPT_HEADER + r->count * 8u)
		return -ENOSPC;
	write_body(out, RECEIPT_HEADER, r->ids, r->count * 8u);
	wire_receipt_header(out, r->level, r->reason, r->count, r->retry_ms);
	return RECEIPT_HEADER + r->count * 8;
}

static int
write_notify(const struct frame *f, uint8_t *out, size_t cap)
{
	const struct frame_notify *n = &f->notify;

	if (n->length > NOTIFY_BODY_MAX)
		return -EINVAL;
	if (cap < (size_t)RELIABLE_HEADER + n->length)
		return -ENOSPC;
	write_body(out, RELIABLE_HEADER, n->body, n->length);
	out[1] = 0;
	put16(out + 2, n->length);
	put32(out + 4, n->delivery);
	return RELIABLE_HEADER + n->length;
}

static int
write_ack(const struct frame *f, uint8_t *out, size_t cap)
{
	const struct frame_ack *a = &f->ack;

	if (!ack_valid(a))
		return -EINVAL;
	if (cap < (size_t)ACK_HEADER + a->count * ACK_RANGE)
		return -ENOSPC;
	write_body(out, ACK_HEADER, a->ranges, (size_t)a->count * ACK_RANGE);
	out[1] = a->count;
	return ACK_HEADER + a->count * ACK_RANGE;
}

static int
write_confirm_gaps(const struct frame *f, uint8_t *out, size_t cap)
{
	const struct frame_confirm_gaps *c = &f->confirm_gaps;

	if (!confirm_gaps_valid(c))
		return -EINVAL;
	if (cap < (size_t)CONFIRM_GAPS_HEADER + c->count * CONFIRM_GAP)
		return -ENOSPC;
	write_body(out, CONFIRM_GAPS_HEADER, c->gaps, (size_t)c->count * CONFIRM_GAP);
	out[1] = c->count;
	put64(out + 2, c->id);
	return CONFIRM_GAPS_HEADER + c->count * CONFIRM_GAP;
}

static int
write_request(const struct frame *f, uint8_t *out, size_t cap)
{
	const struct frame_request *r = &f->request;

	if (!request_valid(r))
		return -EINVAL;
	if (cap < (size_t)REQUEST_HEADER + r->length)
		return -ENOSPC;
	write_body(out, REQUEST_HEADER, r->body, r->length);
	out[1] = 0;
	put16(out + 2, r->length);
	put32(out + 4, r->request);
	out[8] = r->fragment;
	out[9] = r->fragments;
	return REQUEST_HEADER + r->length;
}

static int
write_response(const struct frame *f, uint8_t *out, size_t cap)
{
	const struct frame_response *r = &f->response;

	if (!response_valid(r))
		return -EINVAL;
	if (cap < (size_t)RESPONSE_HEADER + r->length)
		return -ENOSPC;
	write_body(out, RESPONSE_HEADER, r->body, r->length);
	out[1] = 0;
	put16(out + 2, r->length);
	put32(out + 4, r->delivery);
	put32(out + 8, r->request);
	out[12] = r->fragment;
	out[13] = r->fragments;
	return RESPONSE_HEADER + r->length;
}

static int
write_slow_down(const struct frame *f, uint8_t *out, size_t cap)
{
	if (cap < SLOW_DOWN_SIZE)
		return -ENOSPC;
	put32(out + 1, f->slow_down.request);
	put32(out + 5, f->slow_down.retry_ms);
	return SLOW_DOWN_SIZE;
}

static int
write_fields(const struct frame *f, uint8_t *out, size_t cap)
{
	switch (f->type) {
	case FRAME_PAD:
		return cap >= 1 ? 1 : -ENOSPC;
	case FRAME_PING:
	case FRAME_PATH_CHALLENGE:
	case FRAME_PATH_RESPONSE:
	case FRAME_CONFIRM:
		return write_token(f, out, cap);
	case FRAME_PONG:
		return write_pong(f, out, cap);
	case FRAME_CLOSE:
		return write_close(f, out, cap);
	case FRAME_MESSAGE:
		return write_message(f, out, cap);
	case FRAME_RECEIPT:
		return write_receipt(f, out, cap);
	case FRAME_DELIVER:
		return write_deliver(f, out, cap);
	case FRAME_NOTIFY:
		return write_notify(f, out, cap);
	case FRAME_ACK:
		return write_ack(f, out, cap);
	case FRAME_REQUEST:
		return write_request(f, out, cap);
	case FRAME_RESPONSE:
		return write_response(f, out, cap);
	case FRAME_SLOW_DOWN:
		return write_slow_down(f, out, cap);
	case FRAME_CONFIRM_GAPS:
		return write_confirm_gaps(f, out, cap);
	default:
		return -EINVAL;
	}
}

int
frame_write(const struct frame *f, uint8_t *out, size_t cap)
{
	int n = write_fields(f, out, cap);

	if (n > 0)
		out[0] = f->type;
	return n;
}

/* ---- parts of frames ----------------------------------------------------------------- */

message_id_t
wire_receipt_id(const struct frame_receipt *r, unsigned i)
{
	return get64(r->ids + 8 * (size_t)i);
}

void
wire_receipt_put(uint8_t *ids, unsigned i, message_id_t id)
{
	put64(ids + 8 * (size_t)i, id);
}

void
wire_ack_range(const struct frame_ack *a, unsigned i, uint32_t *first, uint16_t *length)
{
	const uint8_t *p = a->ranges + ACK_RANGE * (size_t)i;

	*first = get32(p);
	*length = get16(p + 4);
}

void
wire_ack_put(uint8_t *ranges, unsigned i, uint32_t first, uint16_t length)
{
	uint8_t *p = ranges + ACK_RANGE * (size_t)i;

	put32(p, first);
	put16(p + 4, length);
}

void
wire_confirm_gap(const struct frame_confirm_gaps *c, unsigned i, message_id_t *first, message_id_t *last)
{
	const uint8_t *p = c->gaps + CONFIRM_GAP * (size_t)i;

	*first = c->id - get32(p);
	*last = *first + get16(p + 4) - 1;
}

void
wire_confirm_gap_put(uint8_t *gaps, unsigned i, message_id_t id, message_id_t first, message_id_t last)
{
	uint8_t *p = gaps + CONFIRM_GAP * (size_t)i;

	put32(p, (uint32_t)(id - first));
	put16(p + 4, (uint16_t)(last - first + 1));
}

void
wire_set_delivery(uint8_t *frame, uint32_t delivery)
{
	put32(frame + 4, delivery);
}

/* ---- names --------------------------------------------------------------------------- */

static const char *
name_of(const char *const *names, size_t count, uint8_t value)
{
	return value < count && names[value] != NULL ? names[value] : "unknown";
}

const char *
frame_type_name(uint8_t type)
{
	static const char *const names[] = {
		[FRAME_PAD] = "PAD",
		[FRAME_PING] = "PING",
		[FRAME_PONG] = "PONG",
		[FRAME_PATH_CHALLENGE] = "PATH_CHALLENGE",
		[FRAME_PATH_RESPONSE] = "PATH_RESPONSE",
		[FRAME_CLOSE] = "CLOSE",
		[FRAME_MESSAGE] = "MESSAGE",
		[FRAME_RECEIPT] = "RECEIPT",
		[FRAME_CONFIRM] = "CONFIRM",
		[FRAME_DELIVER] = "DELIVER",
		[FRAME_NOTIFY] = "NOTIFY",
		[FRAME_ACK] = "ACK",
		[FRAME_REQUEST] = "REQUEST",
		[FRAME_RESPONSE] = "RESPONSE",
		[FRAME_SLOW_DOWN] = "SLOW_DOWN",
		[FRAME_CONFIRM_GAPS] = "CONFIRM_GAPS",
	};

	return name_of(names, sizeof(names) / sizeof(names[0]), type);
}

const char *
receipt_level_name(uint8_t level)
{
	static const char *const names[] = {
		[RECEIPT_ACCEPTED] = "accepted",
		[RECEIPT_STORED] = "stored",
		[RECEIPT_DELIVERED] = "delivered",
		[RECEIPT_REFUSED] = "refused",
		[RECEIPT_COPY] = "copy",
	};

	return name_of(names, sizeof(names) / sizeof(names[0]), level);
}

const char *
refuse_reason_name(uint8_t reason)
{
	static const char *const names[] = {
		[REFUSE_NONE] = "none",           [REFUSE_NOT_BUDDIES] = "not_buddies",
		[REFUSE_BLOCKED] = "blocked",     [REFUSE_UNKNOWN_USER] = "unknown_user",
		[REFUSE_TOO_LARGE] = "too_large", [REFUSE_SLOW_DOWN] = "slow_down",
	};

	return name_of(names, sizeof(names) / sizeof(names[0]), reason);
}

const char *
close_reason_name(uint8_t reason)
{
	static const char *const names[] = {
		[CLOSE_LOGOUT] = "logout",   [CLOSE_KICKED] = "kicked",   [CLOSE_REPLACED] = "replaced",
		[CLOSE_EXPIRED] = "expired", [CLOSE_REVOKED] = "revoked",
	};

	return name_of(names, sizeof(names) / sizeof(names[0]), reason);
}
