/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "frame_samples.h"
#include "hex.h"
#include "shared/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- frames ----------------------------------------------------------------------------- */

static const struct sample *
sample_find(const char *name)
{
	for (size_t i = 0; i < COUNT(samples); i++) {
		if (strcmp(samples[i].name, name) == 0)
			return &samples[i];
	}
	fail_msg("no sample %s", name);
	return NULL;
}

static void
assert_body(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	assert_int_equal(a_len, b_len);
	if (a_len > 0)
		assert_memory_equal(a, b, a_len);
}

static void
assert_frame_equal(const struct frame *a, const struct frame *b)
{
	assert_int_equal(a->type, b->type);
	switch (a->type) {
	case FRAME_PING:
	case FRAME_PATH_CHALLENGE:
	case FRAME_PATH_RESPONSE:
		assert_true(a->token == b->token);
		break;
	case FRAME_PONG:
		assert_true(a->pong.token == b->pong.token);
		assert_true(endpoint_equal(&a->pong.observed, &b->pong.observed));
		break;
	case FRAME_CLOSE:
		assert_int_equal(a->close_reason, b->close_reason);
		break;
	case FRAME_MESSAGE:
		assert_int_equal(a->message.flags, b->message.flags);
		assert_true(a->message.to == b->message.to && a->message.id == b->message.id);
		assert_int_equal(a->message.prev_delta, b->message.prev_delta);
		assert_int_equal(a->message.floor_delta, b->message.floor_delta);
		assert_body(a->message.body, a->message.length, b->message.body, b->message.length);
		break;
	case FRAME_RECEIPT:
		assert_int_equal(a->receipt.level, b->receipt.level);
		assert_int_equal(a->receipt.reason, b->receipt.reason);
		assert_int_equal(a->receipt.retry_ms, b->receipt.retry_ms);
		assert_body(a->receipt.ids, a->receipt.count * 8u, b->receipt.ids, b->receipt.count * 8u);
		break;
	case FRAME_CONFIRM:
		assert_true(a->confirm == b->confirm);
		break;
	case FRAME_CONFIRM_GAPS:
		assert_true(a->confirm_gaps.id == b->confirm_gaps.id);
		assert_body(a->confirm_gaps.gaps, a->confirm_gaps.count * 6u, b->confirm_gaps.gaps, b->confirm_gaps.count * 6u);
		break;
	case FRAME_DELIVER:
		assert_int_equal(a->deliver.flags, b->deliver.flags);
		assert_int_equal(a->deliver.delivery, b->deliver.delivery);
		assert_true(a->deliver.from == b->deliver.from &&
			    a->deliver.from_device == b->deliver.from_device);
		assert_true(a->deliver.id == b->deliver.id && a->deliver.sent_at == b->deliver.sent_at);
		assert_int_equal(a->deliver.prev_delta, b->deliver.prev_delta);
		assert_int_equal(a->deliver.floor_delta, b->deliver.floor_delta);
		assert_body(a->deliver.body, a->deliver.length, b->deliver.body, b->deliver.length);
		break;
	case FRAME_NOTIFY:
		assert_int_equal(a->notify.delivery, b->notify.delivery);
		assert_body(a->notify.body, a->notify.length, b->notify.body, b->notify.length);
		break;
	case FRAME_ACK:
		assert_body(a->ack.ranges, a->ack.count * 6u, b->ack.ranges, b->ack.count * 6u);
		break;
	case FRAME_REQUEST:
		assert_int_equal(a->request.request, b->request.request);
		assert_int_equal(a->request.fragment, b->request.fragment);
		assert_int_equal(a->request.fragments, b->request.fragments);
		assert_body(a->request.body, a->request.length, b->request.body, b->request.length);
		break;
	case FRAME_RESPONSE:
		assert_int_equal(a->response.delivery, b->response.delivery);
		assert_int_equal(a->response.request, b->response.request);
		assert_int_equal(a->response.fragment, b->response.fragment);
		assert_int_equal(a->response.fragments, b->response.fragments);
		assert_body(a->response.body, a->response.length, b->response.body, b->response.length);
		break;
	case FRAME_SLOW_DOWN:
		assert_int_equal(a->slow_down.request, b->slow_down.request);
		assert_int_equal(a->slow_down.retry_ms, b->slow_down.retry_ms);
		break;
	default:
		break;
	}
}

/* Reads from a heap copy of exactly len bytes, so that the address sanitizer sees a read beyond them. */
static int
read_exact(struct frame *f, const uint8_t *in, size_t len)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);
	int rc;

	assert_non_null(copy);
	if (len > 0)
		memcpy(copy, in, len);
	rc = frame_read(f, copy, len);
	free(copy);
	return rc;
}

static void
every_frame_type_has_a_sample(void **state)
{
	bool seen[FRAME_CONFIRM_GAPS + 1] = {false};

	(void)state;
	for (size_t i = 0; i < COUNT(samples); i++)
		seen[samples[i].frame.type] = true;
	for (unsigned t = 0; t <= FRAME_CONFIRM_GAPS; t++)
		assert_true(seen[t]);
}

static void
frames_have_the_documented_bytes(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(samples); i++) {
		uint8_t out[WIRE_PLAINTEXT_MAX];
		int n = frame_write(&samples[i].frame, out, sizeof(out));

		assert_true(n > 0);
		assert_hex(out, (size_t)n, samples[i].bytes);
	}
}

static void
frames_come_back_as_written(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(samples); i++) {
		uint8_t bytes[WIRE_PLAINTEXT_MAX];
		size_t len = hex_decode(samples[i].bytes, bytes, sizeof(bytes));
		struct frame f;

		assert_int_equal(frame_read(&f, bytes, len), len);
		assert_frame_equal(&f, &samples[i].frame);
		/* What follows belongs to the next frame. */
		memset(bytes + len, 0xff, 8);
		assert_int_equal(frame_read(&f, bytes, len + 8), len);
	}
}

static void
every_truncation_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(samples); i++) {
		uint8_t bytes[WIRE_PLAINTEXT_MAX];
		size_t len = hex_decode(samples[i].bytes, bytes, sizeof(bytes));
		struct frame f;

		for (size_t cut = 0; cut < len; cut++)
			assert_int_equal(read_exact(&f, bytes, cut), -EPROTO);
	}
}

static void
writing_stays_inside_the_space(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(samples); i++) {
		uint8_t bytes[WIRE_PLAINTEXT_MAX];
		size_t len = hex_decode(samples[i].bytes, bytes, sizeof(bytes));

		for (size_t cap = 0; cap < len; cap++) {
			uint8_t *out = malloc(cap > 0 ? cap : 1);

			assert_non_null(out);
			assert_int_equal(frame_write(&samples[i].frame, out, cap), -ENOSPC);
			free(out);
		}
		assert_int_equal(frame_write(&samples[i].frame, bytes, len), len);
	}
}

static void
unknown_types_are_refused(void **state)
{
	uint8_t bytes[WIRE_PLAINTEXT_MAX] = {0};
	struct frame f;

	(void)state;
	for (unsigned type = FRAME_CONFIRM_GAPS + 1; type <= UINT8_MAX; type++) {
		bytes[0] = (uint8_t)type;
		assert_int_equal(frame_read(&f, bytes, sizeof(bytes)), -EPROTO);
		f.type = (uint8_t)type;
		assert_int_equal(frame_write(&f, bytes, sizeof(bytes)), -EINVAL);
	}
}

/* One sample with some bytes changed: outside its range, so reading refuses it. */
static const struct {
	const char *what;
	const char *sample;
	size_t offset;
	const char *bytes;
} out_of_range[] = {
	{"close reason 0", "close", 1, "00"},
	{"close reason unknown", "close", 1, "06"},
	{"message flag unknown", "message", 1, "08"},
	{"message flag of the server", "message", 1, "80"},
	{"message nudge with text", "message", 1, "02"},
	{"message nudge and more", "message, nudge", 1, "03"},
	{"message longer than the frame", "message", 2, "0003"},
	{"message to nobody", "message", 4, "0000000000000000"},
	{"message id 0", "message, fragment", 12, "0000000000000000"},
	{"message prev below 1", "message, nudge", 20, "00000009"},
	{"message floor below 0", "message, nudge", 24, "0000000a"},
	{"receipt level 0", "receipt", 1, "00"},
	{"receipt level unknown", "receipt", 1, "06"},
	{"receipt reason unknown", "receipt, refused", 2, "06"},
	{"receipt reason without refusal", "receipt", 2, "01"},
	{"receipt refusal without reason", "receipt, refused", 2, "00"},
	{"receipt count 0", "receipt", 3, "00"},
	{"receipt count beyond the frame", "receipt", 3, "03"},
	{"deliver flag unknown", "deliver", 1, "40"},
	{"deliver longer than the frame", "deliver", 2, "0006"},
	{"deliver from nobody", "deliver", 8, "0000000000000000"},
	{"deliver from no device", "deliver", 16, "0000000000000000"},
	{"deliver id 0", "deliver", 24, "0000000000000000"},
	{"deliver prev below 1", "deliver", 32, "00000006"},
	{"deliver floor below 0", "deliver", 36, "00000007"},
	{"notify reserved byte", "notify", 1, "01"},
	{"notify longer than the frame", "notify", 2, "0004"},
	{"ack count 0", "ack", 1, "00"},
	{"ack count beyond the frame", "ack", 1, "03"},
	{"ack range of length 0", "ack", 6, "0000"},
	{"ack range from 0", "ack", 2, "00000000"},
	{"ack range that wraps", "ack", 12, "0002"},
	{"confirm gaps count 0", "confirm, gaps", 1, "00"},
	{"confirm gaps count beyond the frame", "confirm, gaps", 1, "03"},
	{"confirm gap of length 0", "confirm, gaps", 14, "0000"},
	{"confirm gap that begins at 0", "confirm, gaps", 2, "00000000ffffffff"},
	{"confirm gap with the confirmed id", "confirm, gaps", 20, "0002"},
	{"confirm gaps that overlap", "confirm, gaps", 16, "ffff0001"},
	{"confirm gaps that fall", "confirm, gaps", 10, "00000001000100000002"},
	{"request reserved byte", "request", 1, "01"},
	{"request longer than the frame", "request", 2, "0002"},
	{"request fragment beyond fragments", "request", 8, "02"},
	{"request without fragments", "request", 8, "0000"},
	{"request with too many fragments", "request", 9, "09"},
	{"response reserved byte", "response", 1, "01"},
	{"response longer than the frame", "response", 2, "0003"},
	{"response fragment beyond fragments", "response", 12, "01"},
	{"response without fragments", "response", 12, "0000"},
};

static void
fields_out_of_range_are_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(out_of_range); i++) {
		const struct sample *s = sample_find(out_of_range[i].sample);
		uint8_t bytes[WIRE_PLAINTEXT_MAX], patch[16];
		size_t len = hex_decode(s->bytes, bytes, sizeof(bytes));
		size_t n = hex_decode(out_of_range[i].bytes, patch, sizeof(patch));
		struct frame f;

		assert_true(out_of_range[i].offset + n <= len);
		memcpy(bytes + out_of_range[i].offset, patch, n);
		if (read_exact(&f, bytes, len) != -EPROTO)
			fail_msg("accepted: %s", out_of_range[i].what);
	}
}

/* ---- limits ------------------------------------------------------------------------------- */

static uint8_t big[1200];

static void
assert_limit(const struct frame *inside, const struct frame *outside, size_t header, size_t length)
{
	uint8_t bytes[2048];
	struct frame f;

	assert_int_equal(frame_write(inside, bytes, sizeof(bytes)), header + length);
	assert_true(header + length <= WIRE_PLAINTEXT_MAX);
	assert_int_equal(frame_read(&f, bytes, header + length), header + length);
	assert_frame_equal(&f, inside);

	assert_int_equal(frame_write(outside, bytes, sizeof(bytes)), -EINVAL);
	/* The same one byte longer, as nobody of ours would write it. */
	bytes[2] = (uint8_t)((length + 1) >> 8);
	bytes[3] = (uint8_t)(length + 1);
	assert_int_equal(frame_read(&f, bytes, sizeof(bytes)), -EPROTO);
}

static void
bodies_up_to_their_limit(void **state)
{
	struct frame in, out;

	(void)state;
	in = (struct frame){.type = FRAME_MESSAGE, .message = {.to = 1, .id = 1, .body = big}};
	in.message.length = MESSAGE_BODY_MAX;
	out = in;
	out.message.length++;
	assert_limit(&in, &out, MESSAGE_HEADER, MESSAGE_BODY_MAX);

	in = (struct frame){.type = FRAME_DELIVER,
			    .deliver = {.from = 1, .from_device = 1, .id = 1, .body = big}};
	in.deliver.length = MESSAGE_BODY_MAX;
	out = in;
	out.deliver.length++;
	assert_limit(&in, &out, DELIVER_HEADER, MESSAGE_BODY_MAX);

	in = (struct frame){.type = FRAME_NOTIFY, .notify = {.length = NOTIFY_BODY_MAX, .body = big}};
	out = in;
	out.notify.length++;
	assert_limit(&in, &out, RELIABLE_HEADER, NOTIFY_BODY_MAX);

	in = (struct frame){.type = FRAME_REQUEST,
			    .request = {.fragment = REQUEST_FRAGMENTS_MAX - 1,
					.fragments = REQUEST_FRAGMENTS_MAX,
					.length = REQUEST_BODY_MAX,
					.body = big}};
	out = in;
	out.request.length++;
	assert_limit(&in, &out, REQUEST_HEADER, REQUEST_BODY_MAX);

	in = (struct frame){
		.type = FRAME_RESPONSE,
		.response = {.fragment = 254, .fragments = 255, .length = REQUEST_BODY_MAX, .body = big}};
	out = in;
	out.response.length++;
	assert_limit(&in, &out, RESPONSE_HEADER, REQUEST_BODY_MAX);
}

static void
lists_up_to_their_limit(void **state)
{
	uint8_t list[(RECEIPT_IDS_MAX + 1) * 8], bytes[1200];
	struct frame f, g;
	uint16_t length;
	uint32_t first;
	int n;

	(void)state;
	for (unsigned i = 0; i <= RECEIPT_IDS_MAX; i++)
		wire_receipt_put(list, i, UINT64_MAX - i);
	f = (struct frame){.type = FRAME_RECEIPT,
			   .receipt = {.level = RECEIPT_STORED, .count = RECEIPT_IDS_MAX, .ids = list}};
	n = frame_write(&f, bytes, sizeof(bytes));
	assert_int_equal(n, RECEIPT_HEADER + RECEIPT_IDS_MAX * 8);
	assert_int_equal(frame_read(&g, bytes, (size_t)n), n);
	for (unsigned i = 0; i < RECEIPT_IDS_MAX; i++)
		assert_true(wire_receipt_id(&g.receipt, i) == UINT64_MAX - i);
	f.receipt.count++;
	assert_int_equal(frame_write(&f, bytes, sizeof(bytes)), -EINVAL);
	bytes[3] = RECEIPT_IDS_MAX + 1;
	assert_int_equal(frame_read(&g, bytes, sizeof(bytes)), -EPROTO);

	for (unsigned i = 0; i <= ACK_RANGES_MAX; i++)
		wire_ack_put(list, i, 1 + i * 70000, (uint16_t)(UINT16_MAX - i));
	f = (struct frame){.type = FRAME_ACK, .ack = {.count = ACK_RANGES_MAX, .ranges = list}};
	n = frame_write(&f, bytes, sizeof(bytes));
	assert_int_equal(n, 2 + ACK_RANGES_MAX * 6);
	assert_int_equal(frame_read(&g, bytes, (size_t)n), n);
	for (unsigned i = 0; i < ACK_RANGES_MAX; i++) {
		wire_ack_range(&g.ack, i, &first, &length);
		assert_int_equal(first, 1 + i * 70000);
		assert_int_equal(length, UINT16_MAX - i);
	}
	f.ack.count++;
	assert_int_equal(frame_write(&f, bytes, sizeof(bytes)), -EINVAL);
	bytes[1] = ACK_RANGES_MAX + 1;
	assert_int_equal(frame_read(&g, bytes, sizeof(bytes)), -EPROTO);
}

/* A worker turns a MESSAGE into a DELIVER inside one buffer. */
static void
a_body_may_overlap_the_output(void **state)
{
	const struct sample *s = sample_find("message");
	uint8_t buffer[128];
	struct frame m, d;
	int n;

	(void)state;
	n = (int)hex_decode(s->bytes, buffer, sizeof(buffer));
	assert_int_equal(frame_read(&m, buffer, (size_t)n), n);
	d = (struct frame){.type = FRAME_DELIVER,
			   .deliver = {.from = 3,
				       .from_device = 4,
				       .id = m.message.id,
				       .length = m.message.length,
				       .body = m.message.body}};
	n = frame_write(&d, buffer, sizeof(buffer));
	assert_int_equal(n, DELIVER_HEADER + 2);
	assert_memory_equal(buffer + DELIVER_HEADER, "hi", 2);
}

static void
the_delivery_number_is_set_in_place(void **state)
{
	static const char *const reliable[] = {"deliver", "notify", "response"};
	uint8_t bytes[WIRE_PLAINTEXT_MAX];
	struct frame f;

	(void)state;
	for (size_t i = 0; i < COUNT(reliable); i++) {
		size_t len = hex_decode(sample_find(reliable[i])->bytes, bytes, sizeof(bytes));
		uint32_t delivery;

		wire_set_delivery(bytes, 0xa1b2c3d4);
		assert_int_equal(frame_read(&f, bytes, len), len);
		delivery = f.type == FRAME_DELIVER  ? f.deliver.delivery
			   : f.type == FRAME_NOTIFY ? f.notify.delivery
						    : f.response.delivery;
		assert_int_equal(delivery, 0xa1b2c3d4);
	}
}

/* ---- datagrams ------------------------------------------------------------------------------ */

static void
prefix(void **state)
{
	const struct wire_prefix p = {
		.type = WIRE_KEY, .version = 1, .flags = 0x0203, .id = 0x0405060708090a0b};
	uint8_t bytes[WIRE_PREFIX];
	struct wire_prefix q;

	(void)state;
	wire_prefix_write(&p, bytes);
	assert_hex(bytes, sizeof(bytes), "0d 01 0203 0405060708090a0b");
	wire_prefix_read(&q, bytes);
	assert_int_equal(q.type, p.type);
	assert_int_equal(q.version, p.version);
	assert_int_equal(q.flags, p.flags);
	assert_true(q.id == p.id);
}

static void
data_header(void **state)
{
	const struct wire_data d = {.sid = session_id_make(2, 0x010203, 0x04050607),
				    .counter = wire_counter(3, 0x0809)};
	uint8_t bytes[WIRE_DATAGRAM_MAX + 1] = {0};
	struct wire_data q;

	(void)state;
	wire_data_write(&d, bytes);
	assert_hex(bytes, WIRE_DATA_HEADER, "08 01 0000 02010203 04050607 0003 000000000809");
	assert_int_equal(wire_data_read(&q, bytes, WIRE_DATA_MIN), 0);
	assert_true(q.sid == d.sid && q.counter == d.counter);
	assert_int_equal(wire_data_read(&q, bytes, WIRE_DATAGRAM_MAX), 0);

	for (size_t len = 0; len < WIRE_DATA_MIN; len++)
		assert_int_equal(wire_data_read(&q, bytes, len), -EPROTO);
	assert_int_equal(wire_data_read(&q, bytes, WIRE_DATAGRAM_MAX + 1), -EPROTO);
}

static void
data_header_out_of_range(void **state)
{
	static const struct {
		size_t offset;
		const char *bytes;
	} bad[] = {
		{0, "09"},
		{0, "00"},
		{1, "00"},
		{1, "02"},
		{2, "01"},
		{3, "01"},
		{4, "0000000000000000"}, /* no session id */
		{14, "000000000000"},    /* sequence 0 */
	};
	const struct wire_data d = {.sid = session_id_make(0, 1, 0), .counter = wire_counter(0, 1)};
	struct wire_data q;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		uint8_t bytes[WIRE_DATA_MIN] = {0}, patch[8];
		size_t n = hex_decode(bad[i].bytes, patch, sizeof(patch));

		wire_data_write(&d, bytes);
		assert_int_equal(wire_data_read(&q, bytes, sizeof(bytes)), 0);
		memcpy(bytes + bad[i].offset, patch, n);
		assert_int_equal(wire_data_read(&q, bytes, sizeof(bytes)), -EPROTO);
	}
}

static void
counter_is_epoch_and_sequence(void **state)
{
	uint8_t nonce[12];

	(void)state;
	assert_true(wire_counter(0, 1) == 1);
	assert_true(wire_counter(1, 0) == UINT64_C(1) << 48);
	assert_true(wire_counter(UINT16_MAX, WIRE_SEQUENCE_MAX) == UINT64_MAX);
	assert_int_equal(wire_counter_epoch(wire_counter(0x1234, WIRE_SEQUENCE_MAX)), 0x1234);
	/* A sequence that overflows never reaches the epoch. */
	assert_int_equal(wire_counter_epoch(wire_counter(7, WIRE_SEQUENCE_MAX + 1)), 7);
	/* Any packet of a later epoch has the larger counter. */
	assert_true(wire_counter(8, 1) > wire_counter(7, WIRE_SEQUENCE_MAX));

	wire_nonce(nonce, WIRE_TO_SERVER, wire_counter(0x0102, 0x030405060708));
	assert_hex(nonce, sizeof(nonce), "00000000 0102 030405060708");
	wire_nonce(nonce, WIRE_TO_CLIENT, wire_counter(0x0102, 0x030405060708));
	assert_hex(nonce, sizeof(nonce), "00000001 0102 030405060708");
}

static void
types_are_in_the_range_of_rfc_7983(void **state)
{
	(void)state;
	assert_int_equal(WIRE_DATA, 0x08);
	assert_int_equal(WIRE_RESUME, 0x0f);
}

static void
names(void **state)
{
	(void)state;
	assert_string_equal(receipt_level_name(RECEIPT_ACCEPTED), "accepted");
	assert_string_equal(receipt_level_name(RECEIPT_STORED), "stored");
	assert_string_equal(receipt_level_name(RECEIPT_DELIVERED), "delivered");
	assert_string_equal(receipt_level_name(RECEIPT_REFUSED), "refused");
	assert_string_equal(refuse_reason_name(REFUSE_NOT_BUDDIES), "not_buddies");
	assert_string_equal(refuse_reason_name(REFUSE_BLOCKED), "blocked");
	assert_string_equal(refuse_reason_name(REFUSE_UNKNOWN_USER), "unknown_user");
	assert_string_equal(refuse_reason_name(REFUSE_TOO_LARGE), "too_large");
	assert_string_equal(refuse_reason_name(REFUSE_SLOW_DOWN), "slow_down");
	assert_string_equal(close_reason_name(CLOSE_LOGOUT), "logout");
	assert_string_equal(close_reason_name(CLOSE_KICKED), "kicked");
	assert_string_equal(close_reason_name(CLOSE_REPLACED), "replaced");
	assert_string_equal(close_reason_name(CLOSE_EXPIRED), "expired");
	assert_string_equal(close_reason_name(CLOSE_REVOKED), "revoked");
	for (unsigned v = 0; v <= UINT8_MAX; v++) {
		assert_non_null(receipt_level_name((uint8_t)v));
		assert_non_null(refuse_reason_name((uint8_t)v));
		assert_non_null(close_reason_name((uint8_t)v));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_frame_type_has_a_sample),
		cmocka_unit_test(frames_have_the_documented_bytes),
		cmocka_unit_test(frames_come_back_as_written),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(writing_stays_inside_the_space),
		cmocka_unit_test(unknown_types_are_refused),
		cmocka_unit_test(fields_out_of_range_are_refused),
		cmocka_unit_test(bodies_up_to_their_limit),
		cmocka_unit_test(lists_up_to_their_limit),
		cmocka_unit_test(a_body_may_overlap_the_output),
		cmocka_unit_test(the_delivery_number_is_set_in_place),
		cmocka_unit_test(prefix),
		cmocka_unit_test(data_header),
		cmocka_unit_test(data_header_out_of_range),
		cmocka_unit_test(counter_is_epoch_and_sequence),
		cmocka_unit_test(types_are_in_the_range_of_rfc_7983),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
