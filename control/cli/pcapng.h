/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Capture files as Wireshark reads them: pcapng (IETF draft-ietf-opsawg-pcapng) with one interface of raw IP packets. What is captured are
 * UDP payloads and their peers; the IP and UDP headers are made from those. Own code, because libpcap writes pcapng not at all, and
 * DPDK's rte_pcapng only from mbufs in a process with an EAL.
 */
#ifndef ROOKERY_CONTROL_CLI_PCAPNG_H
#define ROOKERY_CONTROL_CLI_PCAPNG_H

#include "shared/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct pcapng_packet {
	uint64_t time_us; /* since 1970 */
	bool inbound;
	struct endpoint from, to; /* of one family */
	const uint8_t *payload;
	size_t length;      /* of payload, as captured */
	size_t size;        /* as it was on the wire */
	const char *comment;
};

/* Headers of the file. Returns the bytes written, 0 after an error of out. */
size_t pcapng_begin(FILE *out, const char *program);
size_t pcapng_packet(FILE *out, const struct pcapng_packet *p);

#endif
