/* SPDX-License-Identifier: BSD-3-Clause */
#include "shared/ticket.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#define NONCE 4
#define MARK (NONCE + TICKET_NONCE)
#define BODY (MARK + TICKET_MARK)

_Static_assert(crypto_shorthash_BYTES == TICKET_MARK, "a mark is a SipHash");
_Static_assert(crypto_shorthash_KEYBYTES == sizeof(((struct ticket_cipher *)0)->mark), "and this its key");

int
ticket_cipher_set(struct ticket_cipher *c, const struct ticket_key *key)
{
	static const uint8_t label[] = "rookery ticket mark";
	int rc = 0;

	ticket_cipher_clear(c);
	if (key->id == 0)
		return 0;
	rc = aead_key_set(&c->key, key->key);
	if (rc < 0)
		return rc;
	c->id = key->id;
	crypto_generichash(c->mark, sizeof(c->mark), label, sizeof(label) - 1, key->key, sizeof(key->key));
	return 0;
}

void
ticket_cipher_clear(struct ticket_cipher *c)
{
	aead_key_clear(&c->key);
	explicit_bzero(c->mark, sizeof(c->mark));
	c->id = 0;
}

static void
mark(const struct ticket_cipher *c, const uint8_t *ticket, uint8_t out[TICKET_MARK])
{
	crypto_shorthash(out, ticket + NONCE, TICKET_NONCE, c->mark);
}

bool
ticket_marked(const struct ticket_cipher *c, const uint8_t in[TICKET_SIZE])
{
	uint8_t expected[TICKET_MARK];

	mark(c, in, expected);
	return sodium_memcmp(expected, in + MARK, TICKET_MARK) == 0;
}

void
ticket_seal(const struct ticket *t, struct ticket_cipher *c, const uint8_t nonce[TICKET_NONCE], uint8_t out[TICKET_SIZE])
{
	uint8_t *body = out + BODY;

	put32(out, c->id);
	memcpy(out + NONCE, nonce, TICKET_NONCE);
	mark(c, out, out + MARK);
	put64(body, t->user);
	put64(body + 8, t->device);
	put64(body + 16, t->login_timestamp);
	put64(body + 24, t->expires_ms);
	memset(body + 32, 0, 8);
	body[32] = t->status;
	memcpy(body + 40, t->secret, RESUME_SECRET);
	aead_seal(&c->key, nonce, out, BODY, body, TICKET_BODY, body, body + TICKET_BODY);
}

int
ticket_open(struct ticket *t, struct ticket_cipher *c, const uint8_t in[TICKET_SIZE])
{
	uint8_t body[TICKET_BODY];

	if (aead_open(&c->key, in + NONCE, in, BODY, in + BODY, TICKET_BODY, body, in + BODY + TICKET_BODY) != 0)
		return -EBADMSG;
	t->user = get64(body);
	t->device = get64(body + 8);
	t->login_timestamp = get64(body + 16);
	t->expires_ms = get64(body + 24);
	t->status = body[32];
	memcpy(t->secret, body + 40, RESUME_SECRET);
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
