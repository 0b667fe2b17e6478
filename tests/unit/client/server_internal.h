/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside the small server. */
#ifndef ROOKERY_TESTS_CLIENT_SERVER_INTERNAL_H
#define ROOKERY_TESTS_CLIENT_SERVER_INTERNAL_H

#include "server.h"
#include "shared/confirm.h"
#include "shared/rookery.pb-c.h"

#define USERS 8
#define DEVICES 16
#define SESSIONS 64
#define RULES 16
#define MS UINT64_C(1000)
#define SEND_LIMIT 8
#define INJECT_MAX 32
#define INFLIGHT_MAX 256

struct user {
	user_id_t id;
	char name[33], password[257];
};

struct stored {
	struct stored *next;
	uint64_t token;
	bool out;         /* in flight now */
	bool sent;        /* in this session, so it takes part of the window until acknowledged */
	uint64_t retry_us;
	session_id_t from_sid;
	struct frame_deliver d;
	uint8_t body[MESSAGE_BODY_MAX];
};

struct device {
	device_id_t id;
	user_id_t user;
	uint8_t key[HANDSHAKE_KEY];
	uint64_t timestamp;
	message_id_t last_message;
	struct stored *queue;
};

/* A DELIVER, NOTIFY or RESPONSE on its way. */
struct flight {
	struct flight *next;
	uint32_t number;
	unsigned sends;
	uint64_t due_us, interval_us;
	uint64_t token;         /* of a stored message; 0: none */
	session_id_t from_sid;  /* whose record has a part in this */
	bool is_deliver;
	struct frame_deliver d;
	uint8_t body[MESSAGE_BODY_MAX];
	uint8_t frame[WIRE_PLAINTEXT_MAX];
	size_t len;
};

struct record {
	struct record *next;
	message_id_t id;
	uint8_t level, reason;
	unsigned parts;
	bool delivered, final;
	uint64_t final_us;
};

struct answer {
	struct answer *next;
	uint32_t request;
	size_t len;
	uint8_t body[];
};

struct session {
	bool up, full;
	session_id_t sid;
	uint8_t device_key[HANDSHAKE_KEY];
	device_id_t device;
	user_id_t user;
	struct session_secret secret;
	uint16_t epoch;
	struct aead_key key;
	uint64_t sequence, highest;
	uint8_t seen[8192 / 8]; /* replay: sequence % 8192 */
	struct endpoint peer, candidate;
	uint64_t challenge;
	uint64_t heard_us;
	uint32_t delivery;
	struct flight *flights, **last_flight;
	unsigned n_flights;
	struct record *records;
	struct confirmed confirmed;
	/* requests */
	struct answer *answers;
	uint32_t request;
	uint8_t parts[8][REQUEST_BODY_MAX];
	uint16_t part_len[8];
	uint8_t have;
	/* FetchStored */
	uint32_t fetch;
	uint64_t fetch_target;
	uint64_t held_device[512], held_id[512], held_last[512];
	size_t held;
	uint64_t sync_target;
	bool synced;
	uint8_t login_ephemeral[HANDSHAKE_KEY];
	uint8_t reply[WIRE_DATAGRAM_MAX];
	size_t reply_len;
};

struct rule {
	user_id_t from, to;
	uint8_t reason;
};

struct server {
	server_send_fn send;
	void *arg;
	uint64_t now_us;
	struct handshake_keypair key;
	struct handshake_guard guard;
	uint8_t cookie_secret[HANDSHAKE_SECRET];
	struct user users[USERS];
	size_t n_users;
	struct device devices[DEVICES];
	size_t n_devices;
	struct session sessions[SESSIONS];
	uint32_t generation;
	uint64_t token;
	struct rule rules[RULES];
	size_t n_rules;
	size_t records_max;
	unsigned refuse_nth, slow_every, slow_count, page, busy;
	bool cookie, version, silent, lose_reply;
	uint32_t cookie_wait_ms, slow_request_ms;
	unsigned slow_requests;
	unsigned logins, cookies;
};

void server_session_free(struct session *n);
struct user *user_named(struct server *s, const char *name);
struct user *user_by_id(struct server *s, user_id_t id);
struct device *device_by_id(struct server *s, device_id_t id);
struct session *session_by_id(struct server *s, session_id_t sid);
void set_keys(struct session *n);
size_t seal(struct session *n, const uint8_t *frames, size_t len, uint8_t *out);
void send_to(struct server *s, const struct endpoint *to, const uint8_t *data, size_t len);
void send_frames(struct server *s, struct session *n, const struct endpoint *to, const uint8_t *frames,
		 size_t len);
void send_frame(struct server *s, struct session *n, const struct frame *f);
void send_receipt(struct server *s, struct session *n, message_id_t id, uint8_t level, uint8_t reason,
		  uint32_t retry_ms);
struct flight *flight_add(struct server *s, struct session *n, const struct frame *f);
void notify(struct server *s, struct session *n, const Rookery__Notification *body);
void server_session_end(struct server *s, struct session *n);
void flight_end(struct server *s, struct session *n, struct flight *f, bool acked);
void handle_message(struct server *s, struct session *n, const struct frame_message *m);
size_t records_count(const struct session *n);
void handle_confirm(struct session *n, message_id_t id);
void handle_confirm_gaps(struct session *n, const struct frame_confirm_gaps *f);
void acknowledged(struct server *s, struct session *n, uint32_t number);
void pump(struct server *s, struct session *n);
void respond(struct server *s, struct session *n, uint32_t request, const Rookery__Response *r);
void handle_request(struct server *s, struct session *n, const struct frame_request *f);
void handle_login(struct server *s, const struct endpoint *from, const uint8_t *in, size_t len);

#endif
