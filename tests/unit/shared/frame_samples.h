/* SPDX-License-Identifier: BSD-3-Clause */
/* Samples of every frame with their bytes: for the codec's tests and the vectors in docs/protocol.md. */
#ifndef ROOKERY_TESTS_FRAME_SAMPLES_H
#define ROOKERY_TESTS_FRAME_SAMPLES_H

#include "shared/wire.h"

#define BYTES(s) ((const uint8_t *)(s))

struct sample {
	const char *name;
	struct frame frame;
	const char *bytes;
};

#define V6_EXAMPLE                                                                                           \
	{                                                                                                    \
		0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1                                   \
	}
#define V4_EXAMPLE                                                                                           \
	{                                                                                                    \
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7                                       \
	}

static const struct sample samples[] = {
	{"pad", {.type = FRAME_PAD}, "00"},
	{"ping", {.type = FRAME_PING, .token = 0x0102030405060708}, "01 0102030405060708"},
	{"pong v4",
	 {.type = FRAME_PONG,
	  .pong = {.token = 0x1122334455667788, .observed = {.ip = V4_EXAMPLE, .port = 40001}}},
	 "02 1122334455667788 00000000000000000000ffffc0000207 9c41"},
	{"pong v6",
	 {.type = FRAME_PONG, .pong = {.token = 1, .observed = {.ip = V6_EXAMPLE, .port = 65535}}},
	 "02 0000000000000001 20010db8000000000000000000000001 ffff"},
	{"path challenge",
	 {.type = FRAME_PATH_CHALLENGE, .token = 0xffeeddccbbaa9988},
	 "03 ffeeddccbbaa9988"},
	{"path response", {.type = FRAME_PATH_RESPONSE, .token = 0xffeeddccbbaa9988}, "04 ffeeddccbbaa9988"},
	{"close", {.type = FRAME_CLOSE, .close_reason = CLOSE_REPLACED}, "05 03"},
	{"message",
	 {.type = FRAME_MESSAGE,
	  .message = {.to = 7,
		      .id = 0x0000000100000005,
		      .prev_delta = 1,
		      .floor_delta = 3,
		      .length = 2,
		      .body = BYTES("hi")}},
	 "06 00 0002 0000000000000007 0000000100000005 00000001 00000003 6869"},
	{"message, fragment",
	 {.type = FRAME_MESSAGE,
	  .message = {.flags = MESSAGE_MORE,
		      .to = UINT64_MAX,
		      .id = 5,
		      .prev_delta = UINT32_MAX,
		      .floor_delta = UINT32_MAX,
		      .length = 1,
		      .body = BYTES("x")}},
	 "06 01 0001 ffffffffffffffff 0000000000000005 ffffffff ffffffff 78"},
	{"message, nudge",
	 {.type = FRAME_MESSAGE,
	  .message = {.flags = MESSAGE_NUDGE,
		      .to = 7,
		      .id = 9,
		      .prev_delta = 8,
		      .floor_delta = 9,
		      .body = BYTES("")}},
	 "06 02 0000 0000000000000007 0000000000000009 00000008 00000009"},
	{"receipt",
	 {.type = FRAME_RECEIPT,
	  .receipt = {.level = RECEIPT_DELIVERED,
		      .count = 2,
		      .ids = BYTES("\0\0\0\0\0\0\0\x05\0\0\0\x01\0\0\0\x06")}},
	 "07 03 00 02 00000000 0000000000000005 0000000100000006"},
	{"receipt, refused",
	 {.type = FRAME_RECEIPT,
	  .receipt = {.level = RECEIPT_REFUSED,
		      .reason = REFUSE_SLOW_DOWN,
		      .count = 1,
		      .retry_ms = 1500,
		      .ids = BYTES("\0\0\0\0\0\0\0\x05")}},
	 "07 04 05 01 000005dc 0000000000000005"},
	{"confirm", {.type = FRAME_CONFIRM, .confirm = 0x0000000100000005}, "08 0000000100000005"},
	{"deliver",
	 {.type = FRAME_DELIVER,
	  .deliver = {.flags = MESSAGE_STORED,
		      .delivery = 0x01020304,
		      .from = 7,
		      .from_device = 12,
		      .id = 6,
		      .prev_delta = 1,
		      .floor_delta = 2,
		      .sent_at = 1700000000123,
		      .length = 5,
		      .body = BYTES("hello")}},
	 "09 80 0005 01020304 0000000000000007 000000000000000c 0000000000000006 00000001 00000002 "
	 "0000018bcfe5687b 68656c6c6f"},
	{"notify",
	 {.type = FRAME_NOTIFY, .notify = {.delivery = 3, .length = 3, .body = BYTES("\x0a\x01\x02")}},
	 "0a 00 0003 00000003 0a0102"},
	{"ack",
	 {.type = FRAME_ACK, .ack = {.count = 2, .ranges = BYTES("\0\0\0\x01\0\x03\xff\xff\xff\xff\0\x01")}},
	 "0b 02 00000001 0003 ffffffff 0001"},
	{"request",
	 {.type = FRAME_REQUEST,
	  .request = {.request = 9, .fragment = 1, .fragments = 2, .length = 1, .body = BYTES("r")}},
	 "0c 00 0001 00000009 01 02 72"},
	{"response",
	 {.type = FRAME_RESPONSE,
	  .response = {.delivery = 4,
		       .request = 9,
		       .fragment = 0,
		       .fragments = 1,
		       .length = 2,
		       .body = BYTES("ok")}},
	 "0d 00 0002 00000004 00000009 00 01 6f6b"},
	{"confirm, gaps",
	 {.type = FRAME_CONFIRM_GAPS,
	  .confirm_gaps = {.id = 0x0000000100000005, .count = 2, .gaps = BYTES("\xff\xff\xff\xff\xff\xff\0\0\0\1\0\1")}},
	 "0f 02 0000000100000005 ffffffff ffff 00000001 0001"},
	{"slow down", {.type = FRAME_SLOW_DOWN, .slow_down = {.request = 9, .retry_ms = 1500}}, "0e 00000009 000005dc"},
};

#endif
