/* SPDX-License-Identifier: BSD-3-Clause */
/* The plaintext of a DATA packet: frames, one after the other, until one is refused. */
#include "fuzz.h"

#include "shared/wire.h"

#include <errno.h>
#include <string.h>

/* Keeps the compiler from leaving the reads out. */
volatile uint64_t fuzz_frames_sink;

/* What a receiver does with the lists: every element is read. */
static uint64_t
read_lists(const struct frame *f)
{
	uint64_t sum = 0;

	if (f->type == FRAME_RECEIPT) {
		for (unsigned i = 0; i < f->receipt.count; i++)
			sum += wire_receipt_id(&f->receipt, i);
	} else if (f->type == FRAME_ACK) {
		for (unsigned i = 0; i < f->ack.count; i++) {
			uint16_t length;
			uint32_t first;

			wire_ack_range(&f->ack, i, &first, &length);
			FUZZ_CHECK(first >= 1 && length >= 1 && (uint64_t)first + length - 1 <= UINT32_MAX);
			sum += first;
		}
	}
	return sum;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *out;

	while (size > 0) {
		struct frame f;
		int n = frame_read(&f, data, size);

		FUZZ_CHECK(n == -EPROTO || (n >= 1 && (size_t)n <= size));
		if (n < 0)
			break;
		fuzz_frames_sink += read_lists(&f);
		/* The encoding is canonical: what was read is written back byte for byte, into no more room.
		 */
		out = malloc((size_t)n);
		FUZZ_CHECK(out != NULL);
		FUZZ_CHECK(frame_write(&f, out, (size_t)n - 1) == -ENOSPC);
		FUZZ_CHECK(frame_write(&f, out, (size_t)n) == n);
		FUZZ_CHECK(memcmp(out, data, (size_t)n) == 0);
		free(out);
		data += n;
		size -= (size_t)n;
	}
	return 0;
}
