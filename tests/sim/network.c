/* SPDX-License-Identifier: BSD-3-Clause */
/* Datagrams on their way: lost, late, doubled, changed, replayed and forged. */
#include "sim.h"

#include "shared/wire.h"

#include <stdlib.h>
#include <string.h>

#define PATH_CHALLENGE_SIZE 9

/* ---- queue, by time of arrival --------------------------------------------------------- */

static bool
before(const struct datagram *a, const struct datagram *b)
{
	return a->due_us != b->due_us ? a->due_us < b->due_us : a->number < b->number;
}

static void
heap_push(struct network *n, struct datagram *d)
{
	uint32_t i = n->count++;

	if (n->count > n->capacity) {
		n->capacity = n->capacity == 0 ? 256 : n->capacity * 2;
		n->heap = realloc(n->heap, n->capacity * sizeof(struct datagram *));
	}
	while (i > 0 && before(d, n->heap[(i - 1) / 2])) {
		n->heap[i] = n->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	n->heap[i] = d;
}

static struct datagram *
heap_pop(struct network *n)
{
	struct datagram *top = n->heap[0];
	struct datagram *last = n->heap[--n->count];
	uint32_t i = 0;

	for (;;) {
		uint32_t child = 2 * i + 1;

		if (child >= n->count)
			break;
		if (child + 1 < n->count && before(n->heap[child + 1], n->heap[child]))
			child++;
		if (!before(n->heap[child], last))
			break;
		n->heap[i] = n->heap[child];
		i = child;
	}
	n->heap[i] = last;
	return top;
}

void
network_free(struct sim *s)
{
	for (uint32_t i = 0; i < s->network.count; i++)
		free(s->network.heap[i]);
	free(s->network.heap);
	free(s->network.sealed);
	s->network.heap = NULL;
	s->network.count = 0;
}

static void
enqueue(struct sim *s, bool to_server, const struct endpoint *client, const uint8_t *data, size_t len, uint64_t delay_us)
{
	struct datagram *d = malloc(sizeof(*d));

	d->due_us = s->now_us + delay_us;
	d->number = s->network.number++;
	d->to_server = to_server;
	d->client = *client;
	d->len = (uint16_t)len;
	memcpy(d->data, data, len);
	heap_push(&s->network, d);
}

/* ---- sealed packets --------------------------------------------------------------------- */

static uint64_t
hash_of(const uint8_t *data, size_t len)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ data[i]) * UINT64_C(0x100000001b3);
	return hash | 1;
}

struct sealed *
sealed_find(struct sealed *table, const uint8_t *data, size_t len, bool *fresh)
{
	struct wire_data w;
	uint64_t key;

	if (data[0] != WIRE_DATA || wire_data_read(&w, data, len) != 0)
		return NULL;
	key = hash_of(data, WIRE_DATA_HEADER);
	for (unsigned i = 0; i < 64; i++) {
		struct sealed *e = &table[((key >> 20) + i) % SEALED];

		*fresh = e->key == 0;
		if (*fresh)
			*e = (struct sealed){.key = key, .content = hash_of(data, len)};
		if (e->key == key)
			return e;
	}
	return NULL;
}

/* A counter of a session seals one packet only: another one under it would give its key away. */
static void
check_nonce(struct sim *s, const uint8_t *data, size_t len)
{
	bool fresh;
	const struct sealed *e = sealed_find(s->network.sealed, data, len, &fresh);

	if (e != NULL && !fresh && e->content != hash_of(data, len)) {
		struct wire_data w = {0};

		wire_data_read(&w, data, len);
		fail(s, "the server has sealed two packets with one nonce: session %016llx, epoch %u, sequence %llu", (unsigned long long)w.sid,
		     wire_counter_epoch(w.counter), (unsigned long long)(w.counter & WIRE_SEQUENCE_MAX));
	}
}

/* An attacker who sends a captured packet from elsewhere is challenged there and gets nothing else of the session. */
static void
check_address(struct sim *s, const struct endpoint *client, const uint8_t *data, size_t len)
{
	char text[ENDPOINT_STRLEN];

	if (data[0] == WIRE_DATA && len != WIRE_DATA_HEADER + PATH_CHALLENGE_SIZE + WIRE_TAG && !device_was_at(s, client))
		fail(s, "G4: the server has sent a session's packet to %s, where its client never was", endpoint_format(client, text));
}

/* ---- what the network does -------------------------------------------------------------- */

static uint64_t
delay(struct sim *s)
{
	struct network *n = &s->network;
	const struct profile *p = &s->profile;
	uint64_t us = p->delay_us + random_below(&n->random, p->jitter_us + 1);

	if (!n->calm && random_permille(&n->random, p->late))
		us += random_gap(&n->random, 2 * SECOND_US);
	return us;
}

static void
corrupt(struct random *r, uint8_t *data, size_t *len)
{
	switch (random_below(r, 3)) {
	case 0:
		*len = random_between(r, 1, *len);
		break;
	case 1:
		data[random_below(r, *len)] ^= (uint8_t)(1u << random_below(r, 8));
		break;
	default:
		for (unsigned i = 0; i < 8; i++)
			data[random_below(r, *len)] = (uint8_t)random_next(r);
		break;
	}
}

static void
capture(struct network *n, bool to_server, const struct endpoint *client, const uint8_t *data, size_t len)
{
	struct datagram *d = &n->captured[random_below(&n->random, CAPTURED)];

	d->to_server = to_server;
	d->client = *client;
	d->len = (uint16_t)len;
	memcpy(d->data, data, len);
	n->captured_count++;
}

/* An attacker on the path sends again what was seen before, from its owner's address or from another. */
static void
replay(struct sim *s)
{
	struct network *n = &s->network;
	struct datagram d = n->captured[random_below(&n->random, CAPTURED)];
	size_t len = d.len;

	if (len == 0)
		return;
	/* A session begins where its LOGIN came from: for that one an attacker needs no other address. */
	if (d.to_server && d.data[0] == WIRE_DATA && random_permille(&n->random, 300))
		d.client.port = (uint16_t)random_between(&n->random, 1024, 65535);
	if (random_permille(&n->random, 300))
		corrupt(&n->random, d.data, &len);
	enqueue(s, d.to_server, &d.client, d.data, len, random_below(&n->random, SECOND_US));
}

/* Datagrams without authentication that anybody can make, with true identifiers: hints at best. */
static void
forge(struct sim *s)
{
	static const uint8_t types[] = {WIRE_RESET, WIRE_VERSION_REPLY, WIRE_KEY, WIRE_COOKIE, WIRE_LOGIN_REPLY, WIRE_DATA, WIRE_LOGIN, WIRE_RESUME};
	struct network *n = &s->network;
	struct random *r = &n->random;
	const struct datagram *d = &n->captured[random_below(r, CAPTURED)];
	uint8_t data[RK_DATAGRAM_MAX];
	struct wire_prefix p;
	size_t len;

	if (d->len < WIRE_PREFIX)
		return;
	len = random_permille(r, 500) ? WIRE_PREFIX : random_between(r, 1, sizeof(data));
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)random_next(r);
	wire_prefix_read(&p, d->data);
	p.type = types[random_below(r, sizeof(types))];
	p.version = random_permille(r, 100) ? 2 : WIRE_VERSION;
	p.flags = p.type == WIRE_VERSION_REPLY ? WIRE_VERSION << 8 : p.type == WIRE_KEY ? 1 : 0;
	if (len >= WIRE_PREFIX)
		wire_prefix_write(&p, data);
	enqueue(s, random_permille(r, 500), &d->client, data, len, delay(s));
}

void
network_send(struct sim *s, bool to_server, const struct endpoint *client, const uint8_t *data, size_t len)
{
	struct network *n = &s->network;
	const struct profile *p = &s->profile;
	struct device *d = device_at(s, client);
	uint8_t copy[RK_DATAGRAM_MAX];
	size_t changed = len;

	if (!to_server) {
		check_nonce(s, data, len);
		check_address(s, client, data, len);
	}
	if (d != NULL && s->now_us < (to_server ? d->cut_out_us : d->cut_in_us)) {
		trace_datagram(s, d, to_server, "cut off", data, len);
		return;
	}
	if (n->calm) {
		trace_datagram(s, d, to_server, "", data, len);
		enqueue(s, to_server, client, data, len, delay(s));
		return;
	}
	if (p->replay != 0 || p->forge != 0)
		capture(n, to_server, client, data, len);
	if (random_permille(&n->random, p->replay))
		replay(s);
	if (random_permille(&n->random, p->forge))
		forge(s);
	if (random_permille(&n->random, p->loss)) {
		trace_datagram(s, d, to_server, "lost", data, len);
		return;
	}
	if (random_permille(&n->random, p->duplicate))
		enqueue(s, to_server, client, data, len, delay(s));
	if (random_permille(&n->random, p->corrupt)) {
		memcpy(copy, data, len);
		corrupt(&n->random, copy, &changed);
		trace_datagram(s, d, to_server, "corrupted", data, len);
		enqueue(s, to_server, client, copy, changed, delay(s));
		return;
	}
	trace_datagram(s, d, to_server, "", data, len);
	enqueue(s, to_server, client, data, len, delay(s));
}

void
network_heal(struct sim *s)
{
	s->network.calm = true;
	s->network.calm_number = s->network.number;
}

bool
network_stragglers(const struct sim *s)
{
	for (uint32_t i = 0; i < s->network.count; i++)
		if (s->network.heap[i]->number < s->network.calm_number)
			return true;
	return false;
}

uint64_t
network_next(const struct sim *s)
{
	return s->network.count == 0 ? NEVER_US : s->network.heap[0]->due_us;
}

void
network_step(struct sim *s)
{
	struct network *n = &s->network;

	while (n->count > 0 && n->heap[0]->due_us <= s->now_us && !s->failed) {
		struct datagram *d = heap_pop(n);
		struct device *to;

		n->delivered++;
		if (d->to_server) {
			dataplane_receive(s, &d->client, d->data, d->len);
		} else {
			/* Nobody is at an address that the NAT has forgotten. */
			to = device_at(s, &d->client);
			if (to != NULL)
				device_input(to, d->data, d->len);
		}
		free(d);
	}
}
