/* SPDX-License-Identifier: BSD-3-Clause */
/* The Internet checksum (RFC 1071) with the pseudo-headers of IPv4 (RFC 768) and IPv6 (RFC 8200, 8.1). Sums
 * are in network byte order and not complemented: a packet is right when all its words sum to 0xffff. */
#ifndef ROOKERY_DATAPLANE_CHECKSUM_H
#define ROOKERY_DATAPLANE_CHECKSUM_H

#include <rte_byteorder.h>
#include <rte_ip.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The sum of the words, not folded; len is that of one packet at most. */
uint32_t checksum_sum(const void *data, size_t len);

static inline uint16_t
checksum_fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* src and dst: 4 or 16 bytes each. */
static inline uint16_t
checksum_pseudo(const void *src, const void *dst, size_t address_len, uint8_t proto, uint16_t len)
{
	uint32_t sum = (uint32_t)rte_raw_cksum(src, address_len) + rte_raw_cksum(dst, address_len);

	return checksum_fold(sum + rte_cpu_to_be_16(proto) + rte_cpu_to_be_16(len));
}

static inline bool
checksum_right(const void *data, size_t len, uint16_t pseudo)
{
	return checksum_fold(checksum_sum(data, len) + pseudo) == 0xffff;
}

/* The value for a checksum field that is zero in data. */
static inline uint16_t
checksum_make(const void *data, size_t len, uint16_t pseudo)
{
	return (uint16_t)~checksum_fold(checksum_sum(data, len) + pseudo);
}

/* Of a value in network byte order. */
static inline uint32_t
checksum_word32(uint32_t value)
{
	return (value & 0xffff) + (value >> 16);
}

/* An IPv4 header without options. */
static inline bool
checksum_ipv4_right(const struct rte_ipv4_hdr *ip)
{
	uint32_t word[5];
	uint64_t sum = 0;

	memcpy(word, ip, sizeof(word));
	for (unsigned i = 0; i < 5; i++)
		sum += word[i];
	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	return checksum_fold((uint32_t)sum) == 0xffff;
}

#endif
