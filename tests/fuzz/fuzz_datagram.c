/* SPDX-License-Identifier: BSD-3-Clause */
/* A datagram's first bytes: prefix and DATA header. */
#include "fuzz.h"

#include "shared/wire.h"

#include <errno.h>
#include <string.h>

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t header[WIRE_DATA_HEADER];
	struct wire_prefix p;
	struct wire_data d;
	int rc;

	if (size >= WIRE_PREFIX) {
		wire_prefix_read(&p, data);
		wire_prefix_write(&p, header);
		FUZZ_CHECK(memcmp(header, data, WIRE_PREFIX) == 0);
	}
	rc = wire_data_read(&d, data, size);
	FUZZ_CHECK(rc == 0 || rc == -EPROTO);
	if (rc == 0) {
		FUZZ_CHECK(size >= WIRE_DATA_MIN && size <= WIRE_DATAGRAM_MAX && d.sid != SESSION_ID_NONE);
		wire_data_write(&d, header);
		FUZZ_CHECK(memcmp(header, data, WIRE_DATA_HEADER) == 0);
	}
	return 0;
}
