/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What control remembers: accounts, devices, sessions, buddies, waiting messages. sqlite.c implements it in
 * one file.
 *
 * All functions return 0 (or a count) or a negative errno:
 *     -EBUSY   another process holds the database; nothing was changed
 *     -ENOSPC  disk or database full; nothing was changed
 *     -EROFS   a change outside of store_begin .. store_commit, or a database that may only be read
 *     -EIO     anything else that is wrong with the database
 *     -ENOENT, -EEXIST, -EDQUOT where the function says so: the database itself is well
 * After one of the first four inside a transaction the caller rolls back. store_error() says what was wrong
 * and the mend.
 *
 * Reading works at any time; changes only inside a transaction. Every change may be made twice with the same
 * result. Arrays that functions hand out are freed by the caller (free).
 *
 * Thread-safety: none; one store, one thread.
 */
#ifndef ROOKERY_CONTROL_STORE_H
#define ROOKERY_CONTROL_STORE_H

#include "control/histogram.h"
#include "shared/address.h"
#include "shared/ids.h"
#include "shared/session_keys.h"
#include "shared/wire.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_NAME_MAX 32
#define STORE_HASH_MAX 128
#define STORE_TEXT_MAX 256 /* presence text, text of a buddy request */
#define STORE_DEVICE_NAME_MAX 64
#define STORE_GROUP_MAX 64
#define STORE_REMARK_MAX 128
#define STORE_REASON_MAX 128
#define STORE_REPLY_MAX 512 /* a LOGIN_REPLY datagram */

struct store;

/* Opens or makes the database (mode 0600) and brings its schema up to date. On error: -errno and one line in
 * error. -EBUSY is worth trying again. */
int store_open(struct store **out, const char *path, char *error, size_t cap);
void store_close(struct store *st);
/* The newest schema that this program knows. */
int store_schema_version(void);
const char *store_error(const struct store *st);

/* Is rc one of the four that speak of the database as a whole? */
static inline bool
store_failed(int rc)
{
	return rc == -EBUSY || rc == -ENOSPC || rc == -EROFS || rc == -EIO;
}

int store_begin(struct store *st);
int store_commit(struct store *st); /* on error the transaction is rolled back */
void store_rollback(struct store *st);
/* Around many reads outside of a transaction: all are of one state, and each costs less. */
void store_read_begin(struct store *st);
void store_read_end(struct store *st);
/* Grows with each row that is changed: what was read holds as long as this stays. */
uint64_t store_changes(const struct store *st);
/* How long successful commits took. */
const struct histogram *store_commit_latency(const struct store *st);

/* ---- server ------------------------------------------------------------------------- */

/* Numbers by name; 0 when never set. */
int store_meta_get(struct store *st, const char *name, uint64_t *value);
int store_meta_set(struct store *st, const char *name, uint64_t value);

struct store_counts {
	uint64_t users, devices, messages;
};
int store_counts(struct store *st, struct store_counts *out);

/* ---- users -------------------------------------------------------------------------- */

struct store_user {
	user_id_t id;
	char name[STORE_NAME_MAX + 1];
	char hash[STORE_HASH_MAX];     /* Argon2id string of libsodium */
	char text[STORE_TEXT_MAX + 1]; /* presence text */
	uint64_t created_ms;
};

/* u->id is set. -EEXIST: the name is taken. */
int store_user_add(struct store *st, struct store_user *u);
int store_user_by_name(struct store *st, const char *name, struct store_user *u); /* or -ENOENT */
int store_user_by_id(struct store *st, user_id_t id, struct store_user *u);       /* or -ENOENT */
/* A closed account stays closed. */
int store_user_set_hash(struct store *st, user_id_t id, const char *hash);
/* A closed account's hash has a '!' in front, as in shadow(5): no password fits it. */
int store_user_close(struct store *st, user_id_t id, bool closed);
int store_user_set_text(struct store *st, user_id_t id, const char *text);
/* With devices, sessions, relations, events, waiting messages. */
int store_user_del(struct store *st, user_id_t id);
/* Names that start with prefix, in order. Returns the count. */
int store_users_prefix(struct store *st, const char *prefix, uint32_t limit, struct store_user **out);

struct store_user_info {
	struct store_user user;
	uint64_t last_seen_ms;
	uint32_t devices;
	uint32_t buddies;
	uint64_t messages;
};
/* Names that start with prefix ("": all), in order. Returns the count. */
int store_users(struct store *st, const char *prefix, uint64_t offset, uint32_t limit,
		struct store_user_info **out);

/* ---- devices ------------------------------------------------------------------------ */

struct store_device {
	device_id_t id;
	user_id_t user;
	uint8_t key[32]; /* X25519, public */
	char name[STORE_DEVICE_NAME_MAX + 1];
	uint64_t login_timestamp;     /* of the last LOGIN: the next one must be larger */
	message_id_t last_message_id; /* highest id of a message of this device that was ever stored */
	uint64_t last_seen_ms;
	uint32_t messages;            /* waiting for it */
	bool locked;                  /* logs in only with the password, which was changed */
};

/* d->id is set. -EEXIST: the key is enrolled already. */
int store_device_add(struct store *st, struct store_device *d);
int store_device_by_key(struct store *st, const uint8_t key[32], struct store_device *d); /* or -ENOENT */
int store_device_by_id(struct store *st, device_id_t id, struct store_device *d);         /* or -ENOENT */
int store_device_login(struct store *st, device_id_t id, uint64_t timestamp, uint64_t now_ms,
		       const char *name);
/* Tickets of the device are void: its last LOGIN is one that nobody has a ticket from. */
int store_device_void(struct store *st, device_id_t id);
int store_device_seen(struct store *st, device_id_t id, uint64_t now_ms);
/* All devices of the user but one (0: all): what waits for them stays. */
int store_devices_lock(struct store *st, user_id_t user, device_id_t except);
int store_device_unlock(struct store *st, device_id_t id);
/* With its session and waiting messages. */
int store_device_del(struct store *st, device_id_t id);
/* In the order of ids. Returns the count. */
int store_devices(struct store *st, user_id_t user, struct store_device **out);
/* Those last seen since then. Returns the count. */
int store_devices_recent(struct store *st, user_id_t user, uint64_t since_ms, device_id_t **out);

/* ---- sessions ----------------------------------------------------------------------- */

struct store_session {
	session_id_t sid;
	user_id_t user;     /* 0: restricted */
	device_id_t device; /* 0: restricted */
	uint8_t key[32];    /* device key */
	uint8_t ephemeral[32]; /* of its LOGIN */
	struct session_secret secret;
	uint64_t instance;  /* of the dataplane at login: its difference to the present one is the epoch */
	uint64_t login_ms;  /* ms since 1970 */
	uint64_t login_timestamp;
	struct endpoint peer;
	uint8_t port;
	uint8_t status;     /* enum Status of rookery.proto */
	char device_name[STORE_DEVICE_NAME_MAX + 1];
	uint16_t reply_length;
	uint8_t reply[STORE_REPLY_MAX]; /* for a LOGIN that comes again */
	bool locked;        /* its device is (read only): control was killed before it could end the session */
};

/* Replaces a session of the same device key or the same id. */
int store_session_put(struct store *st, const struct store_session *s);
int store_session_user(struct store *st, session_id_t sid, user_id_t user, device_id_t device);
int store_session_peer(struct store *st, session_id_t sid, const struct endpoint *peer, uint8_t port);
int store_session_status(struct store *st, session_id_t sid, uint8_t status);
int store_session_del(struct store *st, session_id_t sid);
int store_session_get(struct store *st, session_id_t sid, struct store_session *s); /* or -ENOENT */
/* Calls cb for each; cb uses no store function. A cb that returns non-zero ends it, and that is returned. */
typedef int (*store_session_fn)(void *arg, const struct store_session *s);
int store_sessions(struct store *st, store_session_fn cb, void *arg);

/* ---- buddies ------------------------------------------------------------------------ */

/* How owner sees peer. A relation that says nothing (state NONE, not blocked) has no row. */
struct store_relation {
	user_id_t owner;
	user_id_t peer;
	char peer_name[STORE_NAME_MAX + 1];
	uint8_t state; /* enum BuddyState: NONE, REQUESTED, PENDING, ACCEPTED */
	bool blocked;      /* peer, by owner */
	bool peer_blocked; /* owner, by peer (read only) */
	char group[STORE_GROUP_MAX + 1];
	char remark[STORE_REMARK_MAX + 1];
	char text[STORE_TEXT_MAX + 1]; /* of the request */
};

/* Missing: all zero but owner and peer. */
int store_relation_get(struct store *st, user_id_t owner, user_id_t peer, struct store_relation *r);
int store_relation_put(struct store *st, const struct store_relation *r);
/* With peer > after, in the order of peers; state 0: all. Returns the count. */
int store_relations(struct store *st, user_id_t owner, user_id_t after, uint8_t state, uint32_t limit,
		    struct store_relation **out);
int store_relation_count(struct store *st, user_id_t owner, uint8_t state);

/* What a user has to be told about a buddy, until a device of theirs acknowledged it. */
struct store_event {
	uint64_t id;
	user_id_t user;
	user_id_t peer;
	char peer_name[STORE_NAME_MAX + 1];
	uint8_t state; /* enum BuddyState: ACCEPTED, DENIED, REMOVED */
	char text[STORE_TEXT_MAX + 1];
	uint64_t version;
};

/* Replaces an older event of the same pair; e->id is set. */
int store_event_put(struct store *st, struct store_event *e);
int store_event_del(struct store *st, uint64_t id, user_id_t user);
int store_event_del_pair(struct store *st, user_id_t user, user_id_t peer);
int store_events(struct store *st, user_id_t user, struct store_event **out);

/* ---- waiting messages --------------------------------------------------------------- */

struct store_message {
	uint64_t seq;       /* order of storing; never used again */
	device_id_t device; /* that it waits for */
	user_id_t from;
	device_id_t from_device;
	message_id_t id;
	uint64_t sent_at;
	uint64_t stored_ms;
	uint32_t prev_delta;
	uint32_t floor_delta;
	uint8_t flags;
	uint16_t length;
	uint8_t body[MESSAGE_BODY_MAX];
};

/* Returns 1 when stored, 0 when (device, from_device, id) was there already. Also raises the sending device's
 * last_message_id. */
int store_message_put(struct store *st, const struct store_message *m);
/* Is it there already? 1 or 0. */
int store_message_exists(struct store *st, device_id_t device, device_id_t from_device, message_id_t id);
/* With seq > after, oldest first. Returns the count. */
int store_messages(struct store *st, device_id_t device, uint64_t after, uint32_t limit,
		   struct store_message **out);
/* Highest seq that waits for the device, 0 when none. */
int store_message_last(struct store *st, device_id_t device, uint64_t *seq);
int store_message_del(struct store *st, device_id_t device, uint64_t seq);
/* Drops at most limit messages stored before before_ms. Returns how many. */
int store_messages_expire(struct store *st, uint64_t before_ms, uint32_t limit);

/* ---- bans --------------------------------------------------------------------------- */

struct store_ban {
	struct prefix prefix;
	uint64_t created_ms; /* ms since 1970, as the next */
	uint64_t until_ms;   /* 0: until it is removed */
	char reason[STORE_REASON_MAX + 1];
};

int store_ban_put(struct store *st, const struct store_ban *b);
int store_ban_del(struct store *st, const struct prefix *p);
/* Those that have ended by now_ms. */
int store_bans_expire(struct store *st, uint64_t now_ms);
/* In the order of their bytes. Returns the count. */
int store_bans(struct store *st, struct store_ban **out);

/* ---- tests -------------------------------------------------------------------------- */

/* At most this many pages from now on (0: no limit): a full disk. */
int store_limit_pages(struct store *st, uint32_t pages);

#endif
