/* SPDX-License-Identifier: BSD-3-Clause */
/* LOGINs and RESUMEs from forged addresses: what each costs, and what the sessions of the same worker keep. */
#include "rows.h"

#include <stdio.h>
#include <string.h>

#define SESSIONS 65536u
#define HOT 4096u
#define FLOOD PHASE
#define LOGINS 64u
#define SOURCES (1u << 24)
#define GUEST (SOURCES - 1) /* who has a cookie */
#define IN_TIME 16u         /* packets of a poll that leave the worker in time */
#define LEAD_BURSTS 6u      /* full ones, after which it is not in time any more */
#define LEAD (LEAD_BURSTS * PORT_BURST)

struct login {
	uint8_t bytes[WIRE_DATAGRAM_MAX];
	uint16_t length;
};

static struct login logins[LOGINS], guest, copied;
static struct handshake_keypair server;

static void
login_make(struct handshake_client *h, struct login *out)
{
	static const uint8_t payload[HANDSHAKE_LOGIN_MIN - HANDSHAKE_LOGIN_OVERHEAD];
	struct handshake_keypair device;
	int n;

	handshake_keypair_generate(&device);
	n = handshake_client_start(h, &device, server.public, 1, payload, sizeof(payload), out->bytes, sizeof(out->bytes));
	if (n < 0)
		fail("a LOGIN cannot be made");
	out->length = (uint16_t)n;
}

enum kind { BAD_MAC, NO_COOKIE, FORGED_COOKIE, OVER_LIMIT, FORGED_TICKET, COPIED_TICKET, KINDS };

static void
put_login(struct world *w, enum kind kind)
{
	struct login l = kind >= FORGED_TICKET ? copied : kind == OVER_LIMIT ? guest : logins[draw_below(LOGINS)];
	uint64_t x[2] = {draw(), draw()};

	if (kind == BAD_MAC)
		l.bytes[60 + draw_below(200)] ^= 1;
	if (kind == FORGED_COOKIE)
		memcpy(l.bytes + l.length - HANDSHAKE_MAC, x, HANDSHAKE_MAC);
	if (kind == FORGED_TICKET) /* of a key that is known */
		memcpy(l.bytes + WIRE_PREFIX + RESUME_NONCE + 4, x, sizeof(x));
	world_put_datagram(w, kind == OVER_LIMIT ? GUEST : draw_below(SOURCES - 1), l.bytes, l.length);
}

static uint64_t
looked_at(const struct world *w)
{
	const uint64_t *c = w->workers[0]->counters;

	/* one a second of the guest passes */
	return c[COUNTER_drop_login_mac] + c[COUNTER_drop_login_cookie] + c[COUNTER_drop_login_limit] + c[COUNTER_drop_login_prefix] +
	       c[COUNTER_punted] + c[COUNTER_drop_resume_ticket] + c[COUNTER_drop_resume_again] + c[COUNTER_resumes];
}

/* So few at a time that each is looked at. */
static double
in_time(struct world *w, enum kind kind)
{
	static uint64_t cycles[FLOOD / IN_TIME];
	uint64_t before = looked_at(w);

	for (uint32_t i = 0; i < FLOOD / IN_TIME; i++) {
		for (uint32_t k = 0; k < IN_TIME; k++)
			put_login(w, kind);
		cycles[i] = world_poll(w);
		world_discard(w);
	}
	/* A burst that the kernel held up may be taken for a worker that is behind: a few are not looked at then. */
	if (looked_at(w) - before < FLOOD - FLOOD / 50)
		fail("of %u LOGINs %lu were looked at", FLOOD, (unsigned long)(looked_at(w) - before));
	return (double)sum_without_kernel(cycles, FLOOD / IN_TIME) / FLOOD;
}

/* Outside the clock, until the worker is behind: how it is after that, it is as long as the flood lasts. */
static void
lead(struct world *w)
{
	for (uint32_t i = 0; i < LEAD_BURSTS; i++)
		world_poll(w);
}

/* All at once, and the worker cannot keep up. */
static double
behind(struct world *w, enum kind kind)
{
	for (uint32_t i = 0; i < LEAD + FLOOD; i++)
		put_login(w, kind);
	lead(w);
	world_run(w);
	world_discard(w);
	return (double)w->cycles / FLOOD;
}

static void
settle(struct world *w)
{
	world_put_acks(w);
	world_run(w);
	world_collect(w);
	confirm_all(w, HOT);
	world_discard(w);
}

/* Messages, and between them so many LOGINs for each, of the kind that gets no answer: clients open all that comes. Returns cycles
 * per message. */
static double
mixed(struct world *w, unsigned per_message)
{
	struct message_shape shape = {.payload = 256, .real = true};
	uint32_t messages = PHASE / (1 + per_message);

	for (uint32_t i = 0; i < LEAD; i++)
		world_put_message(w, w->order[draw_below(HOT)], &shape);
	for (uint32_t i = 0; i < messages; i++) {
		world_put_message(w, w->order[draw_below(HOT)], &shape);
		for (unsigned k = 0; k < per_message; k++)
			put_login(w, BAD_MAC);
	}
	lead(w);
	world_run(w);
	double cycles = (double)w->cycles / messages;
	world_collect(w);
	if (w->ack_count != LEAD + messages)
		fail("%u messages, %u delivered during the flood", LEAD + messages, w->ack_count);
	settle(w);
	return cycles;
}

/* A ticket, for all who know it. */
static void
prepare_ticket(struct world *w)
{
	static const struct ticket t = {.user = 1, .device = 1, .expires_ms = UINT64_MAX};
	const struct cell_ticket_keys keys = {.key = {{.id = 1, .key = {1}}}};
	static const uint8_t nonce[TICKET_NONCE] = {7};
	uint8_t ticket[TICKET_SIZE];

	resume_keys_set(w->workers[0], &keys);
	w->workers[0]->provisioned = true;
	ticket_seal(&t, &w->workers[0]->resume.cipher[0], nonce, ticket);
	resume_write(copied.bytes, 1, nonce, ticket);
	copied.length = RESUME_SIZE;
}

/* Under load, with a cookie for GUEST. */
static void
prepare(struct world *w)
{
	struct handshake_client h = {0};
	uint8_t cookie[WIRE_DATAGRAM_MAX];

	handshake_keypair_generate(&server);
	for (uint32_t i = 0; i < LOGINS; i++) {
		memset(&h, 0, sizeof(h));
		login_make(&h, &logins[i]);
	}
	guard_set_server_key(&w->workers[0]->guard, server.public);
	w->now_us += 1000000;
	housekeeping_poll(w->housekeeping, w->now_us);
	behind(w, NO_COOKIE);
	for (unsigned i = 0; i < 2 * FLOOD / IN_TIME; i++) {
		for (unsigned k = 0; k < IN_TIME; k++)
			put_login(w, NO_COOKIE);
		world_poll(w);
		world_discard(w);
		world_control(w);
	}
	memset(&h, 0, sizeof(h));
	login_make(&h, &guest);
	world_put_datagram(w, GUEST, guest.bytes, guest.length);
	world_poll(w);
	if (handshake_client_cookie(&h, cookie, world_take_datagram(w, cookie, sizeof(cookie))) != 0)
		fail("no cookie came");
	login_make(&h, &guest);
	for (unsigned i = 0; i < 200; i++) { /* spends the host's share */
		world_put_datagram(w, GUEST, guest.bytes, guest.length);
		world_poll(w);
		world_discard(w);
		world_control(w);
	}
	if (w->workers[0]->counters[COUNTER_drop_login_prefix] == 0)
		fail("the host's limit was not reached");
}

void
rows_flood(void)
{
	static const unsigned per_message[] = {1, 4, 16};
	static const char *const kept_names[] = {"flood_kept_1", "flood_kept_4", "flood_kept_16"};
	static const char *const kept_notes[] = {"messages/s kept by a saturated worker, 1 LOGIN per message", "the same, 4 LOGINs per message",
						 "the same, 16 LOGINs per message"};
	static const char *const names[] = {"flood_bad_mac", "flood_no_cookie", "flood_forged_cookie", "flood_over_limit", "flood_forged_ticket",
					    "flood_copied_ticket"};
	static const char *const behind_names[] = {"flood_bad_mac_behind", "flood_no_cookie_behind", "flood_forged_cookie_behind",
						   "flood_over_limit_behind", "flood_forged_ticket_behind",
						   "flood_copied_ticket_behind"};
	static const char *const notes[] = {"LOGIN with a wrong mac1, looked at", "good mac1, no cookie: COOKIE sent",
					    "good mac1, forged mac2: COOKIE sent", "true cookie, host over its limit: COOKIE with a time",
					    "RESUME with a forged ticket", "the same RESUME again and again"};
	struct series alone[KINDS] = {0}, full[KINDS] = {0}, base = {0}, kept[RTE_DIM(per_message)] = {0};
	static struct world w;

	if (!row_wanted("flood"))
		return;
	world_open(&w, &(struct world_shape){.sessions = SESSIONS, .active = HOT});
	prepare(&w);
	prepare_ticket(&w);
	for (unsigned r = 0; r <= options.rounds; r++) {
		double quiet = mixed(&w, 0), cycles[RTE_DIM(per_message)];

		for (unsigned i = 0; i < RTE_DIM(per_message); i++)
			cycles[i] = mixed(&w, per_message[i]);

		for (enum kind k = BAD_MAC; k < KINDS; k++) {
			double a = in_time(&w, k), f = behind(&w, k);

			if (r > 0) {
				series_add(&alone[k], a);
				series_add(&full[k], f);
			}
		}
		world_control(&w);
		if (r == 0)
			continue;
		series_add(&base, quiet);
		for (unsigned i = 0; i < RTE_DIM(per_message); i++)
			series_add(&kept[i], 100 * quiet / cycles[i]);
	}
	for (enum kind k = BAD_MAC; k < KINDS; k++) {
		figure_add(names[k], series_summary(&alone[k]), "cycles/packet", 0, notes[k]);
		figure_add(behind_names[k], series_summary(&full[k]), "cycles/packet", 0, "the same when the worker is behind");
	}
	figure_add("flood_message", series_summary(&base), "cycles/message", 0, "relay of 256 bytes, without a flood");
	for (unsigned i = 0; i < RTE_DIM(per_message); i++)
		figure_add(kept_names[i], series_summary(&kept[i]), "%", 0, kept_notes[i]);
	world_close(&w);
}
