/* SPDX-License-Identifier: BSD-3-Clause */
/* The decoder of one protobuf message, FUZZ_MESSAGE (its descriptor): built once for each that comes from the
 * network. */
#include "fuzz.h"

#include "shared/rookery.pb-c.h"

#include <string.h>

/* Memory that one byte of input may cost: an empty element of a repeated field takes two bytes on the wire,
 * and a struct and the growing array of pointers here. */
#define COST_PER_BYTE 256
#define COST_FIXED 4096

struct budget {
	size_t used;
	size_t limit;
};

static void *
budget_alloc(void *data, size_t size)
{
	struct budget *b = data;

	b->used += size;
	FUZZ_CHECK(b->used <= b->limit);
	return malloc(size > 0 ? size : 1);
}

static void
budget_free(void *data, void *pointer)
{
	(void)data;
	free(pointer);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct budget budget = {.limit = COST_FIXED + COST_PER_BYTE * size};
	ProtobufCAllocator allocator = {budget_alloc, budget_free, &budget};
	ProtobufCMessage *m = protobuf_c_message_unpack(&FUZZ_MESSAGE, &allocator, size, data);
	uint8_t *packed;
	size_t len;

	if (m == NULL)
		return 0;
	/* Encoding it again walks every field that was decoded. The result need not be decodable: protobuf-c takes
	 * an unknown field of number 0, and refuses it in the form in which it writes it. */
	len = protobuf_c_message_get_packed_size(m);
	packed = malloc(len > 0 ? len : 1);
	FUZZ_CHECK(packed != NULL);
	FUZZ_CHECK(protobuf_c_message_pack(m, packed) == len);
	protobuf_c_message_free_unpacked(m, &allocator);
	free(packed);
	return 0;
}
