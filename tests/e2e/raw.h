/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A client by hand: the protocol's bytes without a client library, so that a test can send what no honest client sends.
 * It logs in like any device and then seals whatever frames it is given.
 */
#ifndef ROOKERY_TESTS_E2E_RAW_H
#define ROOKERY_TESTS_E2E_RAW_H

#include "world.h"

#include "shared/handshake.h"
#include "shared/wire.h"

#define RAW_CAP 4096

struct raw {
	struct world *world;
	int fd;
	struct endpoint server;
	struct handshake_keypair device;
	uint8_t server_public[HANDSHAKE_KEY];
	uint64_t timestamp;
	session_id_t sid;
	unsigned result; /* enum LoginResult of the last login */
	uint16_t epoch;
	uint64_t sequence; /* last one used */
	struct session_keys keys;
	struct aead_key key;
	uint32_t request;
};

/* A socket in the clients' place and a fresh device key. No packet yet. */
struct raw *raw_new(struct world *w);
void raw_free(struct raw *r);

void raw_send(struct raw *r, const void *data, size_t len);
/* Waits for a datagram with this first byte, dropping others. Returns its length. */
size_t raw_receive(struct raw *r, uint8_t type, uint8_t buf[RAW_CAP]);
/* Is a datagram of this type there already? Drops all that is there. */
bool raw_has(struct raw *r, uint8_t type);

/* KEY query and reply. */
void raw_fetch_key(struct raw *r);
/* A LOGIN with this timestamp; returns its length. h is for raw_login_finish. */
size_t raw_login_datagram(struct raw *r, struct handshake_client *h, uint64_t timestamp, uint8_t out[RAW_CAP]);
/* Logs in: a restricted session, or a full one once the device is enrolled. */
void raw_login(struct raw *r);
/* Registers a user in the restricted session. */
void raw_register(struct raw *r, const char *user, const char *password);

/* Seals a plaintext of frames as DATA under the next sequence number. Returns the datagram's length. */
size_t raw_seal(struct raw *r, const uint8_t *plain, size_t len, uint8_t out[RAW_CAP]);
/* The same with a counter of choice. */
size_t raw_seal_counter(struct raw *r, uint64_t counter, const uint8_t *plain, size_t len, uint8_t out[RAW_CAP]);
/* One PING, sealed. */
size_t raw_ping_datagram(struct raw *r, uint64_t token, uint8_t out[RAW_CAP]);
/* PING and wait for its PONG: everything sent before it on this path has been looked at. */
void raw_ping(struct raw *r);
/* Waits for a frame of this type inside DATA; its body points into plain. */
void raw_expect_frame(struct raw *r, uint8_t type, struct frame *f, uint8_t plain[RAW_CAP]);

#endif
