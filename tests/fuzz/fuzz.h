/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A fuzz target is one file with LLVMFuzzerTestOneInput(); meson links it twice: with libFuzzer (-Dfuzz=true,
 * clang) and with replay.c, an ordinary test that feeds it every file of its corpus.
 */
#ifndef ROOKERY_TESTS_FUZZ_H
#define ROOKERY_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* What libFuzzer calls. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A property that must hold for every input; stays on in every build type. */
#define FUZZ_CHECK(condition)                                                                                \
	do {                                                                                                 \
		if (!(condition)) {                                                                          \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);       \
			abort();                                                                             \
		}                                                                                            \
	} while (0)

#endif
