/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/cli/pcapng.h"

#include <netinet/in.h>
#include <string.h>

#define SECTION 0x0a0d0d0au
#define INTERFACE 1u
#define ENHANCED_PACKET 6u
#define LINKTYPE_RAW 101 /* begins with an IPv4 or IPv6 header */
#define OPT_COMMENT 1
#define SHB_USERAPPL 4
#define IF_NAME 2
#define IF_TSRESOL 9
#define EPB_FLAGS 2
#define BLOCK_MAX 4096
#define COMMENT_MAX 1024

/* A block in the making; in the byte order of this machine, which the section header tells. */
struct block {
	uint8_t bytes[BLOCK_MAX];
	size_t used;
};

static void
put(struct block *b, const void *data, size_t n)
{
	memcpy(b->bytes + b->used, data, n);
	b->used += n;
}

static void
put16(struct block *b, uint16_t v)
{
	put(b, &v, sizeof(v));
}

static void
put32(struct block *b, uint32_t v)
{
	put(b, &v, sizeof(v));
}

static void
put_padding(struct block *b)
{
	while (b->used % 4 != 0)
		b->bytes[b->used++] = 0;
}

static void
put_option(struct block *b, uint16_t code, const void *value, size_t n)
{
	put16(b, code);
	put16(b, (uint16_t)n);
	put(b, value, n);
	put_padding(b);
}

static void
block_begin(struct block *b, uint32_t type)
{
	b->used = 0;
	put32(b, type);
	put32(b, 0); /* its length, known at the end */
}

static size_t
block_end(struct block *b, FILE *out)
{
	uint32_t total;

	put32(b, 0); /* end of options */
	total = (uint32_t)b->used + 4;
	put32(b, total);
	memcpy(b->bytes + 4, &total, sizeof(total));
	return fwrite(b->bytes, 1, b->used, out) == b->used ? b->used : 0;
}

size_t
pcapng_begin(FILE *out, const char *program)
{
	static const uint8_t microseconds = 6;
	struct block b;
	size_t section;

	block_begin(&b, SECTION);
	put32(&b, 0x1a2b3c4d);
	put16(&b, 1);
	put16(&b, 0);
	put32(&b, UINT32_MAX); /* length of the section: not known */
	put32(&b, UINT32_MAX);
	put_option(&b, SHB_USERAPPL, program, strlen(program));
	section = block_end(&b, out);
	block_begin(&b, INTERFACE);
	put16(&b, LINKTYPE_RAW);
	put16(&b, 0);
	put32(&b, 0); /* whole packets */
	put_option(&b, IF_NAME, "rookery", 7);
	put_option(&b, IF_TSRESOL, &microseconds, 1);
	return section == 0 ? 0 : section + block_end(&b, out);
}

/* ---- headers ------------------------------------------------------------------------- */

static uint32_t
sum_add(uint32_t sum, const uint8_t *data, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sum += i % 2 == 0 ? (uint32_t)data[i] << 8 : data[i];
	return sum;
}

static uint16_t
sum_end(uint32_t sum)
{
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void
be16(uint8_t *at, size_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

/* Into out[48]; returns their length. The UDP checksum is right when the payload is whole. */
static size_t
headers_write(const struct pcapng_packet *p, uint8_t out[48])
{
	bool v4 = endpoint_is_ipv4(&p->from);
	size_t ip = v4 ? 20 : 40, udp_length = 8 + p->size;
	uint8_t *udp = out + ip;
	uint32_t sum;

	memset(out, 0, 48);
	if (v4) {
		out[0] = 0x45;
		be16(out + 2, ip + udp_length);
		out[8] = 64;
		out[9] = IPPROTO_UDP;
		memcpy(out + 12, p->from.ip + 12, 4);
		memcpy(out + 16, p->to.ip + 12, 4);
		be16(out + 10, sum_end(sum_add(0, out, 20)));
	} else {
		out[0] = 0x60;
		be16(out + 4, udp_length);
		out[6] = IPPROTO_UDP;
		out[7] = 64;
		memcpy(out + 8, p->from.ip, 16);
		memcpy(out + 24, p->to.ip, 16);
	}
	be16(udp, p->from.port);
	be16(udp + 2, p->to.port);
	be16(udp + 4, udp_length);
	sum = sum_add(IPPROTO_UDP + (uint32_t)udp_length, out + (v4 ? 12 : 8), v4 ? 8 : 32);
	sum = sum_add(sum_add(sum, udp, 6), p->payload, p->length);
	be16(udp + 6, sum_end(sum) != 0 ? sum_end(sum) : 0xffff);
	return ip + 8;
}

size_t
pcapng_packet(FILE *out, const struct pcapng_packet *p)
{
	uint32_t flags = p->inbound ? 1 : 2;
	uint8_t headers[48];
	size_t n = headers_write(p, headers), comment = strnlen(p->comment, COMMENT_MAX);
	struct block b;

	if (p->length > BLOCK_MAX - COMMENT_MAX - 256)
		return 0;
	block_begin(&b, ENHANCED_PACKET);
	put32(&b, 0);
	put32(&b, (uint32_t)(p->time_us >> 32));
	put32(&b, (uint32_t)p->time_us);
	put32(&b, (uint32_t)(n + p->length));
	put32(&b, (uint32_t)(n + p->size));
	put(&b, headers, n);
	put(&b, p->payload, p->length);
	put_padding(&b);
	put_option(&b, EPB_FLAGS, &flags, sizeof(flags));
	if (comment != 0)
		put_option(&b, OPT_COMMENT, p->comment, comment);
	return block_end(&b, out);
}
