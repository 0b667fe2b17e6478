/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The core of a Rookery client: the protocol of docs/protocol.md without any I/O. The caller gives it the
 * datagrams that arrive and the time, and takes datagrams to send, the time of the next call, and events.
 * runtime.h does this with an ordinary UDP socket.
 *
 *     rk_client_new, rk_client_login, then for ever:
 *         while ((n = rk_client_output(c, now, wall, buf, sizeof(buf))) > 0) send buf
 *         while (rk_client_next_event(c, &e) == 1) show e
 *         wait for a datagram or rk_client_deadline(c)
 *         rk_client_input(c, now, wall, buf, n)
 *
 * Times: now_us is a monotonic clock in microseconds with any origin, never going back; wall_ms is the clock
 * on the wall in milliseconds since 1970.
 * Errors: functions that can fail return a negative errno. Strings are UTF-8 with a NUL; names are at most
 * RK_NAME_MAX bytes.
 * Thread-safety: none; one thread at a time per client. Different clients are independent.
 */
#ifndef ROOKERY_CLIENT_H
#define ROOKERY_CLIENT_H

#include "store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RK_DATAGRAM_MAX 1200
#define RK_TEXT_MAX 16384        /* bytes of a message text */
#define RK_STATUS_TEXT_MAX 256   /* bytes of a status text, buddy group, remark or request text */
#define RK_MESSAGE_ID_LEN 33     /* "<device id>-<message id>" in hexadecimal, without the NUL */
#define RK_ADDRESS_LEN 55        /* "[address]:port", without the NUL */

struct rk_client;

enum rk_status {
	RK_STATUS_OFFLINE = 1, /* only in events */
	RK_STATUS_ONLINE = 2,
	RK_STATUS_AWAY = 3,
	RK_STATUS_BUSY = 4,
	RK_STATUS_INVISIBLE = 5 /* buddies see offline */
};

enum rk_buddy_state {
	RK_BUDDY_NONE = 0,
	RK_BUDDY_REQUESTED = 1, /* we asked, no answer yet */
	RK_BUDDY_PENDING = 2,   /* they asked, we have not answered */
	RK_BUDDY_ACCEPTED = 3,
	RK_BUDDY_DENIED = 4,
	RK_BUDDY_REMOVED = 5
};

enum rk_level {
	RK_LEVEL_ACCEPTED = 1,  /* the server has it in memory */
	RK_LEVEL_STORED = 2,    /* the server has it on disk; may rise to delivered */
	RK_LEVEL_DELIVERED = 3, /* a device of the recipient has shown it */
	RK_LEVEL_REFUSED = 4    /* not delivered, for good */
};

enum rk_refused_reason {
	RK_REFUSED_NOT_BUDDIES = 1,
	RK_REFUSED_BLOCKED = 2,
	RK_REFUSED_UNKNOWN_USER = 3,
	RK_REFUSED_TOO_LARGE = 4
};

/* Answers of the server, and of the client itself (from RK_CODE_WRONG_USER on). */
enum rk_code {
	RK_CODE_OK = 1,
	RK_CODE_MALFORMED = 2,
	RK_CODE_NAME_TAKEN = 3,
	RK_CODE_NAME_INVALID = 4,
	RK_CODE_PASSWORD_WEAK = 5,
	RK_CODE_PASSWORD_WRONG = 6,
	RK_CODE_UNKNOWN_USER = 7,
	RK_CODE_NOT_LOGGED_IN = 8,
	RK_CODE_ALREADY_BUDDIES = 9,
	RK_CODE_NO_REQUEST = 10,
	RK_CODE_BLOCKED = 11,
	RK_CODE_SELF = 12,
	RK_CODE_LIMIT = 13,
	RK_CODE_SLOW_DOWN = 14,
	RK_CODE_STORE_UNAVAILABLE = 15,
	RK_CODE_REGISTRATION_CLOSED = 16,
	RK_CODE_INTERNAL = 17,
	RK_CODE_WRONG_USER = 100,  /* this device key belongs to another user */
	RK_CODE_VERSION = 101,     /* the server speaks other protocol versions only */
	RK_CODE_LOCAL_STORE = 102, /* this client's own store failed: disk full, ... */
	RK_CODE_KEY_CHANGED = 103  /* the server answers with another key than the expected one */
};

enum rk_closed_reason {
	RK_CLOSED_LOGOUT = 1,   /* rk_client_logout */
	RK_CLOSED_KICKED = 2,   /* by an operator */
	RK_CLOSED_REPLACED = 3, /* another process logged in with the same device key */
	RK_CLOSED_REVOKED = 5   /* password changed elsewhere: the next login asks to enrol; account or device removed */
};

/* Names for people and for JSON: "online", "accepted", "not_buddies", "password_wrong", "kicked", ...; never
 * NULL. Thread-safe. */
const char *rk_status_name(enum rk_status status);
const char *rk_buddy_state_name(enum rk_buddy_state state);
const char *rk_level_name(enum rk_level level);
const char *rk_refused_name(enum rk_refused_reason reason);
const char *rk_code_name(enum rk_code code);
const char *rk_closed_name(enum rk_closed_reason reason);

/* ---- a client ---------------------------------------------------------------------------- */

struct rk_config {
	const char *user;             /* name: 1-32 of a-z 0-9 . _ - , starting with a letter */
	const uint8_t *device_secret; /* RK_KEY_SIZE bytes: this device's secret key */
	/* RK_KEY_SIZE bytes: the server's public key. NULL: the one pinned in the store, else the server is
	 * asked and the key pinned (first use). */
	const uint8_t *server_key;
	bool ask_new_key;             /* first use: don't accept, wait for rk_client_answer_key */
	struct rk_store *store;       /* stays the caller's; must outlive the client */
	const char *device_name;      /* for people ("laptop"), or NULL; at most 64 bytes */
	enum rk_status status;        /* to begin with; 0 is online */
	const char *status_text;      /* or NULL */
	uint32_t outbox_max;          /* texts waiting for their final answer; 0 is 10,000 */
	uint32_t inbox_max;           /* messages held, or not yet taken by the application; 0 is 4,096 */
};

/* Copies what it needs of cfg and resumes the outbox found in the store. Nothing is sent before
 * rk_client_login. Returns 0, or -EINVAL (bad name, no key, no store), -ENOMEM, -EIO (random numbers,
 * cipher), or what the store returned. */
int rk_client_new(struct rk_client **client, const struct rk_config *cfg);

/* Frees the client and wipes its keys; sends nothing (see rk_client_logout). NULL is fine. */
void rk_client_free(struct rk_client *c);

/* Takes a datagram from the server. Any bytes are allowed; what is not valid is ignored and counted. */
void rk_client_input(struct rk_client *c, uint64_t now_us, uint64_t wall_ms, const uint8_t *data, size_t len);

/* Does what is due and writes the next datagram to buf (cap at least RK_DATAGRAM_MAX). Returns its length, or
 * 0 when there is nothing more to send now. Call until it returns 0. */
size_t rk_client_output(struct rk_client *c, uint64_t now_us, uint64_t wall_ms, uint8_t *buf, size_t cap);

/* When to call rk_client_output again if nothing else happens: on the clock of now_us; 0: at once;
 * UINT64_MAX: not before something happens. */
uint64_t rk_client_deadline(const struct rk_client *c);

/* The server has not been heard for so long that a new socket (or another address of it) should be tried.
 * Each true is given once. For runtimes. */
bool rk_client_take_rebind(struct rk_client *c);

/* A datagram sent after this call leaves from a new address: tells the server at once (PING). For
 * runtimes. */
void rk_client_rebound(struct rk_client *c);

/* ---- commands -------------------------------------------------------------------------
 * They never wait: what they cause is sent by the next rk_client_output, what comes of it is told by events.
 * Those that return a request number (above 0) are answered by exactly one RK_EVENT_RESPONSE with that number
 * (rk_client_list_buddies: RK_EVENT_BUDDIES); requests made while there is no session are sent after the
 * login. All return -EINVAL for a bad name or a text that is too long, -EAGAIN with too many requests waiting
 * (64), -ENOMEM. */

/* Starts (or starts again, after RK_EVENT_CLOSED or RK_EVENT_LOGIN_REFUSED) to log in, and to keep the
 * session up for ever. Returns 0. */
int rk_client_login(struct rk_client *c);

/* What to do when the server does not know this device: create the account, or enrol this device with the
 * account's password. Call before the login or after RK_EVENT_ENROL_NEEDED or RK_EVENT_LOGIN_REFUSED; a
 * device that is enrolled already just logs in. The password is wiped once used. Answered by RK_EVENT_LOGIN
 * or RK_EVENT_LOGIN_REFUSED. Returns 0 or -EINVAL (empty or above 256 bytes). */
int rk_client_register(struct rk_client *c, const char *password);
int rk_client_enrol(struct rk_client *c, const char *password);

/* Answers RK_EVENT_KEY_SEEN: accept the key and pin it, or not (the client is then closed). Returns 0,
 * -ENOENT (no question open), -EPERM (a changed key cannot replace the one given in rk_config), or what the
 * store returned. */
int rk_client_answer_key(struct rk_client *c, bool accept);

/* Puts a text of at most RK_TEXT_MAX bytes for a user into the outbox (persistent). Returns its local message
 * id (above 0), -EINVAL (bad name, empty text), -EAGAIN (outbox full), -ENOMEM, or what the store returned. A
 * longer text gets an id and RK_EVENT_REFUSED with too_large. Answered by RK_EVENT_SENT when it has its
 * message id (at once, except before the device's very first login), RK_EVENT_RECEIPT for each level, or
 * RK_EVENT_REFUSED. */
int64_t rk_client_send(struct rk_client *c, const char *to, const char *text, size_t len);

/* Texts in the outbox without a final answer (stored, delivered, refused). */
size_t rk_client_outbox_pending(const struct rk_client *c);

/* Requests without their answer. */
size_t rk_client_requests_pending(const struct rk_client *c);

int64_t rk_client_add_buddy(struct rk_client *c, const char *name, const char *text /* or NULL */);
int64_t rk_client_answer_buddy(struct rk_client *c, const char *name, bool accept);
int64_t rk_client_remove_buddy(struct rk_client *c, const char *name);
int64_t rk_client_block(struct rk_client *c, const char *name, bool blocked);
int64_t rk_client_set_buddy(struct rk_client *c, const char *name, const char *group, const char *remark);

/* Answered by RK_EVENT_BUDDIES with the whole list (all pages), or RK_EVENT_RESPONSE when it failed. */
int64_t rk_client_list_buddies(struct rk_client *c);

/* The new status also holds for later logins of this client. */
int64_t rk_client_set_presence(struct rk_client *c, enum rk_status status, const char *text /* or NULL */);

/* All other devices of this user are closed (revoked) and must enrol again with the new password; they keep their messages. */
int64_t rk_client_change_password(struct rk_client *c, const char *old_password, const char *new_password);

/* Users whose name begins with prefix, at most limit (0: the server's choice), in RK_EVENT_RESPONSE. */
int64_t rk_client_search(struct rk_client *c, const char *prefix, uint32_t limit);
int64_t rk_client_resolve(struct rk_client *c, const char *name);

/* Ends the session at once: the next rk_client_output gives the CLOSE. RK_EVENT_CLOSED follows. Texts without
 * a final answer stay in the outbox for the next login. */
void rk_client_logout(struct rk_client *c);

/* ---- state ------------------------------------------------------------------------------- */

/* Logged in with a full session that answers. */
bool rk_client_online(const struct rk_client *c);
uint64_t rk_client_user_id(const struct rk_client *c);   /* 0: not known yet */
uint64_t rk_client_device_id(const struct rk_client *c); /* 0: not known yet */
/* This client's address as the server sees it ("192.0.2.1:40001"), "" when not known. */
const char *rk_client_observed(const struct rk_client *c);

struct rk_stats {
	uint64_t datagrams_in, datagrams_out;
	uint64_t ignored;       /* datagrams that were not valid: forged, replayed, malformed, ... */
	uint64_t logins;        /* sessions begun */
	uint64_t epochs;        /* restarts of the server's packet process that the session lived through */
	uint64_t messages_sent; /* MESSAGE frames, retransmissions included */
	uint64_t retransmits;   /* MESSAGE and REQUEST frames sent again */
	uint64_t duplicates;    /* messages received again and dropped */
	uint64_t held;          /* messages waiting for an earlier one right now */
	uint64_t rtt_us;        /* smoothed round-trip time; 0: not measured */
	uint64_t resumes;       /* of the sessions begun, those without a login */
};
void rk_client_stats(const struct rk_client *c, struct rk_stats *stats);

/* ---- events ------------------------------------------------------------------------------ */

enum rk_event_type {
	RK_EVENT_NONE = 0,
	RK_EVENT_KEY_SEEN = 1,      /* key: the server's key is new, or not the expected one */
	RK_EVENT_LOGIN = 2,         /* login: logged in for the first time since rk_client_login */
	RK_EVENT_LOGIN_REFUSED = 3, /* error: wrong password, name taken, wrong user, ... */
	RK_EVENT_ENROL_NEEDED = 4,  /* unknown device: rk_client_register or rk_client_enrol */
	RK_EVENT_BUDDY_REQUEST = 5, /* buddy: name asks to be a buddy (text) */
	RK_EVENT_BUDDY = 6,         /* buddy: accepted, denied or removed by the other side */
	RK_EVENT_PRESENCE = 7,      /* presence */
	RK_EVENT_MESSAGE = 8,       /* message */
	RK_EVENT_SENT = 9,          /* outgoing: has its id and will be delivered or refused */
	RK_EVENT_RECEIPT = 10,      /* outgoing: reached level; at most once per level, never falling */
	RK_EVENT_REFUSED = 11,      /* outgoing: not delivered, for good: reason */
	RK_EVENT_BUDDIES = 12,      /* response: the whole list in buddies */
	RK_EVENT_RESPONSE = 13,     /* response */
	RK_EVENT_ERROR = 14,        /* error: something went wrong that no request asked for */
	RK_EVENT_DISCONNECTED = 15, /* error.text: the server does not answer; the client goes on trying */
	RK_EVENT_RESUMED = 16,      /* it answers again */
	RK_EVENT_CLOSED = 17,       /* closed: the session is over; no login by itself */
	RK_EVENT_SYNCED = 18        /* synced: all messages that were waiting at login have been received */
};

struct rk_event_key {
	uint8_t key[RK_KEY_SIZE];
	char text[RK_KEY_SIZE * 2 + 1]; /* the same in hexadecimal */
	bool changed;  /* not the expected key: refused unless rk_client_answer_key accepts it */
	bool accepted; /* taken already (first use without ask_new_key) */
};

struct rk_event_login {
	const char *user;
	uint64_t user_id;
	uint64_t device_id;
	const char *observed; /* as rk_client_observed */
	bool enrolled;        /* this device was registered or enrolled just now */
};

struct rk_event_error {
	enum rk_code code; /* 0 in RK_EVENT_DISCONNECTED */
	const char *name;  /* rk_code_name(code) */
	const char *text;
	uint32_t retry_ms; /* 0: no advice */
};

struct rk_event_buddy {
	uint64_t user_id;
	const char *name;
	enum rk_buddy_state state;
	const char *text;
};

struct rk_event_presence {
	uint64_t user_id;
	const char *name;
	enum rk_status status;
	const char *text;
};

struct rk_event_message {
	const char *id;    /* "<device>-<message>": the same at sender and recipient */
	uint64_t from_id;
	const char *from;
	const char *text;  /* with a NUL after text_len bytes */
	size_t text_len;
	uint64_t sent_at;  /* ms since 1970, the server's clock */
	bool offline;      /* waited in the server's store */
	bool redelivered;  /* may have been shown before: the client crashed while showing it */
};

struct rk_event_outgoing {
	int64_t local;     /* what rk_client_send returned */
	const char *id;    /* "" when it was refused before it had one */
	const char *to;
	enum rk_level level;
	enum rk_refused_reason reason; /* with RK_LEVEL_REFUSED */
};

struct rk_buddy {
	uint64_t user_id;
	const char *name;
	enum rk_buddy_state state;
	bool blocked; /* by us */
	const char *group;
	const char *remark;
	enum rk_status status;
	const char *status_text;
	const char *request_text;
};

struct rk_user {
	uint64_t user_id;
	const char *name;
};

struct rk_event_response {
	int64_t request;   /* what the command returned */
	enum rk_code code;
	const char *name;  /* rk_code_name(code) */
	const char *text;  /* for people, when code is not RK_CODE_OK */
	uint32_t retry_ms;
	size_t users;      /* search, resolve */
	const struct rk_user *user;
	size_t buddies;    /* list_buddies: all; other commands on a buddy: its state now, when told */
	const struct rk_buddy *buddy;
};

struct rk_event {
	enum rk_event_type type;
	union {
		struct rk_event_key key;
		struct rk_event_login login;
		struct rk_event_error error;
		struct rk_event_buddy buddy;
		struct rk_event_presence presence;
		struct rk_event_message message;
		struct rk_event_outgoing outgoing;
		struct rk_event_response response;
		enum rk_closed_reason closed;
		uint32_t synced; /* how many had been waiting */
	};
};

/* Gives the next event: returns 1 and fills *e, or 0 when there is none. What *e points to is valid until the
 * next call of rk_client_next_event, rk_client_event_done or rk_client_free. Calling this again (or
 * rk_client_event_done) says that the application has dealt with the event before: only then is a message
 * recorded as shown and acknowledged to the server, and a final answer taken from the outbox. So a message is
 * shown exactly once; if the process dies while the application deals with one, that one comes again after
 * the restart, marked redelivered. */
int rk_client_next_event(struct rk_client *c, struct rk_event *e);

/* The event given last has been dealt with. For applications that stop without asking for another. */
void rk_client_event_done(struct rk_client *c);

#ifdef __cplusplus
}
#endif

#endif
