/* SPDX-License-Identifier: BSD-3-Clause */
/* A cell as the other process might have left it in a ring: whatever cell_valid() lets through is safe to
 * walk. */
#include "fuzz.h"

#include "shared/cell.h"

#include <string.h>

/* Keeps the reads. */
volatile uint64_t fuzz_cell_sink;

static uint64_t
sum_sessions(const struct live_session *live, unsigned count)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < count; i++)
		sum += live[i].sid + live[i].device;
	return sum;
}

/* Reads all that a consumer of this type would. */
static uint64_t
walk(const struct cell *c)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < c->length; i++)
		sum += c->data[i];
	switch (c->type) {
	case PUNT_STORE:
		for (unsigned i = 0; i < c->store.except_count; i++)
			sum += c->store.except[i];
		break;
	case PUNT_REQUEST:
		FUZZ_CHECK(c->request.fragment < c->request.fragments);
		break;
	case PUNT_VERDICT:
	case INJECT_VERDICT:
	case TABLE_VERDICT_SET:
		sum += sum_sessions(c->verdict.live, c->verdict.live_count);
		break;
	case TABLE_USER_SET:
		sum += sum_sessions(c->user.live, c->user.live_count);
		break;
	case INJECT_FRAME:
		FUZZ_CHECK(c->length >= RELIABLE_HEADER);
		FUZZ_CHECK(c->frame.token == 0 || c->frame.session_count == 1);
		for (unsigned i = 0; i < c->frame.session_count; i++)
			sum += c->frame.sids[i];
		break;
	default:
		break;
	}
	return sum;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Of its own on the heap, so that the address sanitizer sees a step beyond it. */
	struct cell *c = calloc(1, sizeof(*c));

	FUZZ_CHECK(c != NULL);
	memcpy(c, data, size < sizeof(*c) ? size : sizeof(*c));
	if (cell_valid(c)) {
		FUZZ_CHECK(cell_used(c) <= CELL_SIZE);
		fuzz_cell_sink += walk(c);
	}
	free(c);
	return 0;
}
