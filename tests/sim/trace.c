/* SPDX-License-Identifier: BSD-3-Clause */
/* The timeline: readable when printed, hashed always. */
#include "client/core.h"
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>

static uint64_t
mix(uint64_t hash, const void *data, size_t len)
{
	const uint8_t *p = data;

	/* FNV-1a, eight bytes at a time. */
	while (len >= 8) {
		uint64_t word;

		memcpy(&word, p, 8);
		hash = (hash ^ word) * UINT64_C(0x100000001b3);
		hash ^= hash >> 29;
		p += 8;
		len -= 8;
	}
	while (len-- > 0)
		hash = (hash ^ *p++) * UINT64_C(0x100000001b3);
	return hash;
}

static void
begin(const struct sim *s, const char *who)
{
	printf("%4llu.%06llu  %-10s ", (unsigned long long)(s->now_us / SECOND_US), (unsigned long long)(s->now_us % SECOND_US),
	       who);
}

void
trace(struct sim *s, const char *who, const char *format, ...)
{
	char line[512];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (n >= (int)sizeof(line))
		n = sizeof(line) - 1;
	s->trace.lines++;
	s->trace.hash = mix(s->trace.hash ^ s->now_us, who, strlen(who));
	s->trace.hash = mix(s->trace.hash, line, (size_t)n);
	if (s->trace.print) {
		begin(s, who);
		puts(line);
	}
}

/* ---- datagrams ------------------------------------------------------------------------ */

static void
print_ids(const struct frame *f)
{
	for (unsigned i = 0; i < f->receipt.count; i++)
		printf(" %llu", (unsigned long long)wire_receipt_id(&f->receipt, i));
}

static void
print_acks(const struct frame *f)
{
	for (unsigned i = 0; i < f->ack.count; i++) {
		uint32_t first;
		uint16_t length;

		wire_ack_range(&f->ack, i, &first, &length);
		printf(" %u-%u", first, first + length - 1);
	}
}

static void
print_gaps(const struct frame_confirm_gaps *c)
{
	printf(" without");
	for (unsigned i = 0; i < c->count; i++) {
		message_id_t first, last;

		wire_confirm_gap(c, i, &first, &last);
		printf(" %llu-%llu", (unsigned long long)first, (unsigned long long)last);
	}
}

static void
print_frame(const struct frame *f)
{
	const struct frame_message *m = &f->message;
	const struct frame_deliver *d = &f->deliver;

	switch (f->type) {
	case FRAME_PING:
		printf(" PING");
		break;
	case FRAME_PONG:
		printf(" PONG");
		break;
	case FRAME_PATH_CHALLENGE:
		printf(" PATH_CHALLENGE");
		break;
	case FRAME_PATH_RESPONSE:
		printf(" PATH_RESPONSE");
		break;
	case FRAME_CLOSE:
		printf(" CLOSE %s", close_reason_name(f->close_reason));
		break;
	case FRAME_MESSAGE:
		printf(" MESSAGE id=%llu to=%llu prev=-%u floor=-%u%s%s", (unsigned long long)m->id, (unsigned long long)m->to,
		       m->prev_delta, m->floor_delta, m->flags & MESSAGE_MORE ? " more" : m->flags & MESSAGE_REST ? " last" : "",
		       m->flags & MESSAGE_NUDGE ? " nudge" : "");
		break;
	case FRAME_RECEIPT:
		printf(" RECEIPT %s%s%s", receipt_level_name(f->receipt.level), f->receipt.reason != 0 ? " " : "",
		       f->receipt.reason != 0 ? refuse_reason_name(f->receipt.reason) : "");
		print_ids(f);
		break;
	case FRAME_CONFIRM:
		printf(" CONFIRM %llu", (unsigned long long)f->confirm);
		break;
	case FRAME_CONFIRM_GAPS:
		printf(" CONFIRM %llu", (unsigned long long)f->confirm_gaps.id);
		print_gaps(&f->confirm_gaps);
		break;
	case FRAME_DELIVER:
		printf(" DELIVER #%u device=%llu id=%llu prev=-%u floor=-%u%s%s", d->delivery, (unsigned long long)d->from_device,
		       (unsigned long long)d->id, d->prev_delta, d->floor_delta, d->flags & MESSAGE_STORED ? " stored" : "",
		       d->flags & MESSAGE_NUDGE ? " nudge" : "");
		break;
	case FRAME_NOTIFY:
		printf(" NOTIFY #%u", f->notify.delivery);
		break;
	case FRAME_ACK:
		printf(" ACK");
		print_acks(f);
		break;
	case FRAME_REQUEST:
		printf(" REQUEST %u %u/%u", f->request.request, f->request.fragment, f->request.fragments);
		break;
	case FRAME_RESPONSE:
		printf(" RESPONSE #%u to %u %u/%u", f->response.delivery, f->response.request, f->response.fragment,
		       f->response.fragments);
		break;
	default:
		break;
	}
}

static void
print_data(const struct device *d, bool to_server, const uint8_t *data, size_t len)
{
	uint8_t plain[WIRE_DATAGRAM_MAX], nonce[AEAD_NONCE];
	struct session_keys keys;
	struct wire_data w;
	struct aead_key key = {0};
	struct frame f;
	int used;

	if (wire_data_read(&w, data, len) != 0)
		return;
	printf(" epoch=%u seq=%llu", wire_counter_epoch(w.counter), (unsigned long long)(w.counter & WIRE_SEQUENCE_MAX));
	if (d->client == NULL || !d->client->session.up || d->client->session.id != w.sid)
		return;
	session_keys_derive(&keys, &d->client->session.secret, wire_counter_epoch(w.counter));
	aead_key_set(&key, keys.key);
	wire_nonce(nonce, to_server ? WIRE_TO_SERVER : WIRE_TO_CLIENT, w.counter);
	len -= WIRE_DATA_HEADER + WIRE_TAG;
	if (aead_open(&key, nonce, data, WIRE_DATA_HEADER, data + WIRE_DATA_HEADER, len, plain, data + WIRE_DATA_HEADER + len) == 0) {
		for (size_t at = 0; at < len && (used = frame_read(&f, plain + at, len - at)) > 0; at += (size_t)used)
			print_frame(&f);
	}
	aead_key_clear(&key);
}

void
trace_datagram(struct sim *s, const struct device *d, bool to_server, const char *what, const uint8_t *data, size_t len)
{
	static const char *const types[] = {"DATA", "LOGIN", "LOGIN_REPLY", "COOKIE", "VERSION_REPLY", "KEY", "RESET", "RESUME"};

	s->trace.hash = mix(s->trace.hash ^ s->now_us, data, len);
	if (!s->trace.packets)
		return;
	begin(s, d != NULL ? d->name : "nobody");
	printf("%s %s %zu", to_server ? "-->" : "<--", data[0] >= 8 && data[0] < 16 ? types[data[0] - 8] : "?", len);
	if (d != NULL && data[0] == WIRE_DATA)
		print_data(d, to_server, data, len);
	printf("%s%s\n", what[0] != '\0' ? "  ** " : "", what);
}

/* ---- state ------------------------------------------------------------------------------ */

static void
print_sender(const struct sender *n)
{
	printf("%33s from device %llu: high %llu seen %llu floor %llu settled %llu, named up to %llu and from %llu, text up to %llu, %zu unacknowledged, held",
	       "", (unsigned long long)n->device, (unsigned long long)n->high, (unsigned long long)n->seen,
	       (unsigned long long)n->floor, (unsigned long long)n->settled, (unsigned long long)n->fetched_last,
	       (unsigned long long)n->fetched_from,
	       (unsigned long long)n->text_id, n->n_unacked);
	for (const struct incoming *m = n->held; m != NULL; m = m->next)
		printf(" %llu(-%llu)", (unsigned long long)m->id, (unsigned long long)(m->id - m->prev));
	printf("\n");
}

static void
print_conversation(const struct conversation *v)
{
	printf("%33s to %s: window %u, nudge %llu%s, waiting", "", v->name, v->window, (unsigned long long)v->row.nudge,
	       v->nudge_refused ? " refused" : "");
	for (const struct outgoing *m = v->first; m != NULL; m = m->next)
		for (unsigned i = 0; i < m->row.fragments; i++)
			printf(" %llu:%u%s", (unsigned long long)m->row.first_id + i, m->fragments[i].state,
			       m->fragments[i].forgotten ? "f" : "");
	printf("\n");
}

void
trace_clients(struct sim *s)
{
	for (unsigned i = 0; i < s->device_count && s->trace.print; i++) {
		const struct rk_client *c = s->devices[i].client;

		begin(s, s->devices[i].name);
		if (c == NULL) {
			printf("does not run\n");
			continue;
		}
		printf("%s, %zu events%s, %zu held%s\n", c->session.full ? "online" : "offline", c->events.messages,
		       c->events.unsaved != NULL ? " (one unsaved)" : "", c->inbox.held, c->inbox.fetching ? ", fetching" : "");
		for (const struct sender *n = c->inbox.senders; n != NULL; n = n->next)
			print_sender(n);
		for (const struct conversation *v = c->outbox.conversations; v != NULL; v = v->next)
			print_conversation(v);
	}
}
