/* SPDX-License-Identifier: BSD-3-Clause */
#include "shared/ticket.h"

#include <errno.h>
#include <string.h>

#define KEY_ID 4
#define BODY (KEY_ID + TICKET_NONCE)

void
ticket_seal(const struct ticket *t, struct aead_key *key, uint32_t id, const uint8_t nonce[TICKET_NONCE],
	    uint8_t out[TICKET_SIZE])
{
	uint8_t *body = out + BODY;

	put32(out, id);
	memcpy(out + KEY_ID, nonce, TICKET_NONCE);
	put64(body, t->user);
	put64(body + 8, t->device);
	put64(body + 16, t->login_timestamp);
	put64(body + 24, t->issued_ms);
	put64(body + 32, t->expires_ms);
	memset(body + 40, 0, 8);
	body[40] = t->status;
	memcpy(body + 48, t->secret, RESUME_SECRET);
	aead_seal(key, nonce, out, KEY_ID, body, TICKET_BODY, body, body + TICKET_BODY);
}

int
ticket_open(struct ticket *t, struct aead_key *key, const uint8_t in[TICKET_SIZE])
{
	uint8_t body[TICKET_BODY];

	if (aead_open(key, in + KEY_ID, in, KEY_ID, in + BODY, TICKET_BODY, body, in + BODY + TICKET_BODY) != 0)
		return -EBADMSG;
	t->user = get64(body);
	t->device = get64(body + 8);
	t->login_timestamp = get64(body + 16);
	t->issued_ms = get64(body + 24);
	t->expires_ms = get64(body + 32);
	t->status = body[40];
	memcpy(t->secret, body + 48, RESUME_SECRET);
	explicit_bzero(body, sizeof(body));
	return 0;
}

/* ---- RESUME ------------------------------------------------------------------------- */

void
resume_write(uint8_t out[RESUME_SIZE], uint64_t id, const uint8_t nonce[RESUME_NONCE], const uint8_t ticket[TICKET_SIZE])
{
	const struct wire_prefix p = {.type = WIRE_RESUME, .version = WIRE_VERSION, .id = id};

	wire_prefix_write(&p, out);
	memcpy(out + WIRE_PREFIX, nonce, RESUME_NONCE);
	memcpy(out + WIRE_PREFIX + RESUME_NONCE, ticket, TICKET_SIZE);
}

static uint8_t *
answer(uint8_t *out, const uint8_t *in, uint16_t flags)
{
	struct wire_prefix p;

	wire_prefix_read(&p, in);
	p.flags = RESUME_ANSWER | flags;
	wire_prefix_write(&p, out);
	memcpy(out + WIRE_PREFIX, in + WIRE_PREFIX, RESUME_NONCE);
	return out + WIRE_PREFIX + RESUME_NONCE;
}

void
resume_accept(uint8_t out[RESUME_ACCEPTED_SIZE], const uint8_t *in, const uint8_t server_nonce[RESUME_NONCE], session_id_t sid,
	      const uint8_t proof[RESUME_PROOF])
{
	uint8_t *at = answer(out, in, 0);

	memcpy(at, server_nonce, RESUME_NONCE);
	put64(at + RESUME_NONCE, sid);
	memcpy(at + RESUME_NONCE + 8, proof, RESUME_PROOF);
}

void
resume_refuse(uint8_t out[RESUME_REFUSED_SIZE], const uint8_t *in, uint16_t flags)
{
	answer(out, in, flags);
}
