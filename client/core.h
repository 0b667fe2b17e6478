/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside librookery's core. One struct rk_client, divided into rooms that each own their part of it:
 *
 *   login.c    the server's key, LOGIN and its answers    session.c  packets, keys, heartbeat, ACKs
 *   resume.c   tickets, RESUME and its answers
 *   outbox.c   texts on their way out                     inbox.c    messages of others: order, once
 *   request.c  requests and their responses               roster.c   names, buddies, presence
 *   event.c    what the application is told               client.c   the public functions
 *
 * A room is changed only through its functions below. No I/O: a call carries the time, kept in now_us and
 * wall_ms. The *_check functions return NULL, or say which invariant is broken; tests call them after each
 * step.
 */
#ifndef ROOKERY_CLIENT_CORE_H
#define ROOKERY_CLIENT_CORE_H

#include "rookery/client.h"
#include "shared/handshake.h"
#include "shared/rookery.pb-c.h"
#include "shared/ticket.h"
#include "shared/wire.h"

#define MS UINT64_C(1000)
#define SECOND (1000 * MS)
#define NEVER UINT64_MAX

#define PASSWORD_MAX 256
#define DEVICE_NAME_MAX 64

/* ---- events: what the application is told ------------------------------------------------ */

struct chunk;

struct event {
	struct event *next;
	struct rk_event e;
	struct chunk *chunks;       /* memory of the strings and arrays in e */
	bool waiting;               /* not to be given out yet, nor anything behind it */
	uint64_t settles;           /* local id of the text that leaves the outbox with this event; 0: none */
	struct sender *sender;      /* of a message, or of an id without a text (e.type is RK_EVENT_NONE) */
	message_id_t id;
};

struct events {
	struct event *first, **last;
	struct event *shown;        /* with the application now */
	struct event *unsaved;      /* dealt with, but the store refused to record it */
	uint64_t retry_us;          /* when to ask the store again */
	bool store_told;            /* the application knows that the store fails */
	size_t messages;            /* queued events with a sender */
};

void events_init(struct rk_client *c);
void events_free(struct rk_client *c);
/* NULL without memory. The event's memory is given by event_alloc and event_text (which turns NULL into
 * ""). */
struct event *event_new(enum rk_event_type type);
void *event_alloc(struct event *e, size_t size);
const char *event_text(struct event *e, const char *s);
void event_push(struct rk_client *c, struct event *e);
void event_free(struct event *e);
void event_error(struct rk_client *c, enum rk_event_type type, enum rk_code code, const char *text,
		 uint32_t retry_ms);
/* Tells the application once per failure that the store does not work; store_works ends the failure. */
void store_failed(struct rk_client *c, int error);
void store_works(struct rk_client *c);
uint64_t events_deadline(const struct rk_client *c);
void events_tick(struct rk_client *c);
const char *events_check(const struct rk_client *c);

/* ---- login: from the server's key to a session ------------------------------------------- */

enum login_state {
	LOGIN_OFF,      /* not wanted, or over */
	LOGIN_KEY,      /* asking for the server's key */
	LOGIN_QUESTION, /* the application decides about the key */
	LOGIN_SEND,     /* LOGIN sent, no answer yet */
	LOGIN_WAIT,     /* next LOGIN at due_us */
	LOGIN_SETTLED,  /* session up */
};

struct login {
	enum login_state state;
	uint8_t key[HANDSHAKE_KEY];
	bool have_key, key_configured, ask_key;
	/* the key of an open question */
	uint8_t seen[HANDSHAKE_KEY];
	bool question, changed, seen_told;
	/* KEY query */
	uint64_t key_id;
	bool key_queued;
	/* LOGIN */
	struct handshake_client handshake;
	uint8_t payload[HANDSHAKE_PAYLOAD_MAX];
	size_t payload_len;
	uint8_t datagram[WIRE_DATAGRAM_MAX];
	size_t len;
	bool queued;        /* datagram is to be sent */
	bool resuming;      /* the datagram is a RESUME */
	bool paused;        /* the session answered meanwhile: not sent again, a late answer still counts */
	uint64_t began_us, due_us, interval_us;
	unsigned sends;
	unsigned unanswered; /* attempts in a row */
	unsigned replayed;   /* times in a row that the server found the timestamp too old */
	uint64_t hint_us;    /* last LOGIN caused by a RESET */
	bool hinted, version_told;
	bool announced;      /* RK_EVENT_LOGIN was given since rk_client_login */
	struct event *announcing; /* RK_EVENT_LOGIN that waits for the first PONG */
	uint64_t announce_us;
	/* what to do in a restricted session */
	enum { CREDENTIAL_NONE, CREDENTIAL_REGISTER, CREDENTIAL_ENROL } credential;
	char password[PASSWORD_MAX + 1];
	bool enrol_told;     /* RK_EVENT_ENROL_NEEDED was given, and no credential came since */
};

int login_init(struct rk_client *c, const struct rk_config *cfg);
void login_free(struct rk_client *c);
void login_start(struct rk_client *c);
void login_stop(struct rk_client *c);
/* Begins an attempt beside a session that may be gone; nothing when one is under way. */
void login_again(struct rk_client *c);
/* The session works: no further LOGIN needs to be sent. */
void login_pause(struct rk_client *c);
void login_input(struct rk_client *c, const struct wire_prefix *p, const uint8_t *in, size_t len);
void login_tick(struct rk_client *c);
size_t login_output(struct rk_client *c, uint8_t *buf);
uint64_t login_deadline(const struct rk_client *c);
/* Sends the credential if there is one and the session is restricted. */
void login_credential(struct rk_client *c);
void login_enrolled(struct rk_client *c, const Rookery__Response *r);
void login_announce(struct rk_client *c, bool enrolled);
void login_observed(struct rk_client *c);
const char *login_check(const struct rk_client *c);

/* ---- resume: coming back by ticket --------------------------------------------------------- */

#define RESUME_PRESENCE 16

struct resume {
	bool have;
	bool skip;           /* the last attempt came to nothing: the next one is a LOGIN */
	uint32_t heartbeat_ms, timeout_ms;
	uint64_t expires_ms; /* this device's wall clock */
	uint8_t server[HANDSHAKE_KEY];
	uint8_t presence[RESUME_PRESENCE];
	uint8_t ticket[TICKET_SIZE];
	uint8_t secret[RESUME_SECRET];
	uint64_t ask_us;     /* when to ask for the next ticket */
	/* RESUME under way */
	uint64_t id;
	uint8_t nonce[RESUME_NONCE];
};

enum resume_answer {
	RESUME_IS_IGNORED,
	RESUME_IS_ACCEPTED, /* session up, not full yet */
	RESUME_IS_VOID,     /* log in */
	RESUME_IS_LATER,    /* after *wait_us */
};

int resume_init(struct rk_client *c);
void resume_free(struct rk_client *c);
void resume_forget(struct rk_client *c);
bool resume_possible(const struct rk_client *c);
/* A RESUME with a new nonce. */
size_t resume_datagram(struct rk_client *c, uint8_t *buf);
enum resume_answer resume_input(struct rk_client *c, const struct wire_prefix *p, const uint8_t *in, size_t len, uint64_t *wait_us);
void resume_response(struct rk_client *c, const Rookery__Response *r);
/* NOTIFY with a ticket: the session that was resumed is a full one. */
void resume_welcome(struct rk_client *c, const Rookery__Ticket *t);
/* A session began; the presence changed. */
void resume_session(struct rk_client *c);
void resume_presence(struct rk_client *c);
void resume_tick(struct rk_client *c);
uint64_t resume_deadline(const struct rk_client *c);

/* ---- session: packets -------------------------------------------------------------------- */

#define REPLAY_BITS 1024
#define DELIVERIES 1024
#define ACKS_MAX 1024
#define TOKENS_MAX 4

/* Which of the last numbers were seen. Zeroed is empty; numbers start at 1. */
struct window {
	uint64_t highest;
	uint64_t bits[REPLAY_BITS / 64]; /* number n at bit n % REPLAY_BITS */
};

/* May n be new? Below the window nothing is known: too_old says what to answer then. */
bool window_fresh(const struct window *w, uint64_t n, bool too_old);
void window_record(struct window *w, uint64_t n);

struct session {
	bool up;
	bool full;               /* not restricted to enrolling */
	bool resuming;           /* by ticket, and the server has not said yet that it is a full one */
	uint64_t resume_us;      /* since when */
	session_id_t id;
	struct session_secret secret;
	uint16_t epoch;
	struct aead_key key;
	uint64_t sequence;       /* last one used */
	struct window replay;
	uint32_t heartbeat_ms, timeout_ms;
	uint64_t sent_us, heard_us;
	/* PING until a PONG comes */
	bool ping_open;
	uint64_t ping_token, ping_sent_us, ping_due_us;
	unsigned ping_tries;
	bool disconnected, rebind;
	uint64_t rebind_us;
	uint64_t path[TOKENS_MAX], pong[TOKENS_MAX];
	unsigned paths, pongs;
	unsigned closing;        /* CLOSE frames still to be sent */
	/* delivery numbers */
	struct window deliveries;
	uint32_t acks[ACKS_MAX];
	unsigned n_acks;
	/* round trips */
	uint64_t srtt_us, rttvar_us;
	char observed[ENDPOINT_STRLEN];
};

void session_begin(struct rk_client *c, const Rookery__LoginReply *r, const struct session_secret *secret,
		   bool full);
void session_end(struct rk_client *c);
/* Says goodbye: acknowledgements and CLOSE go out, then the session ends. */
void session_close(struct rk_client *c);
void session_input(struct rk_client *c, const uint8_t *in, size_t len);
void session_tick(struct rk_client *c);
size_t session_output(struct rk_client *c, uint8_t *buf);
uint64_t session_deadline(const struct rk_client *c);
/* Something that the server must answer had to be sent again: is it still there? */
void session_doubt(struct rk_client *c);
void session_ping(struct rk_client *c);
void session_disconnected(struct rk_client *c, const char *text);
void session_acknowledge(struct rk_client *c, uint32_t delivery);
void session_rtt(struct rk_client *c, uint64_t sample_us);
uint64_t session_rto(const struct rk_client *c);
const char *session_check(const struct rk_client *c);

/* ---- outbox ------------------------------------------------------------------------------ */

#define CONVERSATION_UNACCEPTED 32
#define TOTAL_UNACCEPTED 128
#define RECENT_MAX 4096

enum fragment_state {
	FRAGMENT_WAITING, /* to be sent (again), without a receipt in this session */
	FRAGMENT_SENT,
	FRAGMENT_ACCEPTED,
	FRAGMENT_STORED,
	FRAGMENT_DELIVERED,
	FRAGMENT_REFUSED, /* this and the two before it are final */
};

struct fragment {
	uint8_t state;
	bool forgotten; /* ACCEPTED once, but the server has no record of it any more */
	unsigned sends; /* in this session */
	uint64_t sent_us, due_us, interval_us;
};

/* A text (or NUDGE) on its way. */
struct outgoing {
	struct rk_outgoing row;
	struct conversation *conversation;
	struct outgoing *next;  /* of the conversation, by rising id; until final */
	bool final;
	bool unsaved;           /* final, but the store does not have it yet: CONFIRM must not cover it */
	bool sent_told, accepted_told;
	bool before;            /* sent in an earlier session, epoch or run: whatever the answer is now, the recipient may have it */
	message_id_t floor;     /* floor of the first copy sent in this session */
	struct fragment fragments[];
};

struct conversation {
	struct conversation *next;
	char name[RK_NAME_MAX + 1];
	user_id_t user;         /* 0: not resolved */
	bool resolving;
	struct rk_conversation row;
	struct outgoing *first; /* not final, by rising id */
	unsigned unaccepted;    /* fragments in FRAGMENT_SENT */
	unsigned window;        /* of them at most: less after slow_down, more with each ACCEPTED */
	bool partial;           /* row.nudge is due because of a text of which the recipient may have a part, or all */
	bool nudge_refused;     /* no other one before something about that user has changed, or nudge_us */
	uint64_t nudge_us, nudge_wait_us;
};

/* A stored text that may rise to delivered. */
struct recent {
	message_id_t id;
	uint64_t local;
	char to[RK_NAME_MAX + 1];
};

struct outbox {
	struct outgoing **all;  /* by rising local id, so by rising message id too; unnumbered ones last */
	size_t n, cap;
	size_t pending;         /* texts without a final answer */
	struct conversation *conversations;
	unsigned unaccepted;
	uint64_t last_local, last_id;
	uint64_t final_id;      /* highest id that got its final answer in this run */
	uint64_t confirmed_id;  /* highest id that was named by CONFIRM or CONFIRM_GAPS */
	uint64_t hold_us;       /* slow_down: nothing is sent before */
	uint64_t confirm_us;    /* CONFIRM or CONFIRM_GAPS at the latest then; 0: none wanted */
	uint64_t retry_us;      /* when to try the store again; 0: nothing unsaved */
	struct recent *recent;  /* ring */
	size_t recent_next;
};

int outbox_init(struct rk_client *c);
void outbox_free(struct rk_client *c);
int64_t outbox_send(struct rk_client *c, const char *to, const char *text, size_t len);
/* The device is known: gives message ids to what has none. above: the highest that the server knows. */
void outbox_device(struct rk_client *c, message_id_t above);
/* Chains everything anew, as the first messages of a new device. */
void outbox_forget(struct rk_client *c);
/* A new session or epoch: the server's memory of unfinished messages is gone. */
void outbox_resend(struct rk_client *c);
void outbox_receipt(struct rk_client *c, const struct frame_receipt *r);
/* Something about that user has changed: what was refused may be taken now. */
void outbox_reachable(struct rk_client *c, user_id_t user);
/* user 0: there is no such user. */
void outbox_resolved(struct rk_client *c, const char *name, user_id_t user);
void outbox_dealt(struct rk_client *c, uint64_t local);
void outbox_tick(struct rk_client *c);
size_t outbox_frames(struct rk_client *c, uint8_t *out, size_t cap);
size_t outbox_confirm(struct rk_client *c, uint8_t *out, size_t cap, bool anyway);
uint64_t outbox_deadline(const struct rk_client *c);
const char *outbox_check(const struct rk_client *c);

/* ---- inbox ------------------------------------------------------------------------------- */

#ifndef SENDERS_MAX /* fuzzing reaches a smaller one */
#define SENDERS_MAX 4096
#endif
#define HOLD_MAX (24 * 3600 * SECOND)

struct incoming {
	struct incoming *next;  /* of the sender, by rising id */
	message_id_t id, prev;
	uint64_t sent_at, arrived_us;
	uint8_t flags;
	uint16_t length;
	uint8_t body[];
};

/* Delivery number under which a message came that is not acknowledged yet. */
struct unacked {
	message_id_t id;
	uint32_t delivery;
};

/* A sending device. */
struct sender {
	struct sender *next;
	device_id_t device;
	user_id_t user;
	uint64_t used_us;
	message_id_t high;      /* shown and recorded */
	message_id_t handed;    /* may have been shown before the sender was made, see rk_store */
	message_id_t seen;      /* given to the event queue, or part of the text below; at least high */
	message_id_t floor;     /* everything up to it is settled at the sender */
	message_id_t asked;     /* floor when the FetchStored under way was made */
	/* what the last FetchStored of this session named as held: from this id on, and up to this one; 0: nothing */
	message_id_t fetched_from, fetched_last;
	bool held_stored;       /* of what is held something came from the store */
	message_id_t settled;   /* everything up to it that comes to this device has come */
	struct incoming *held;
	struct unacked *unacked;
	size_t n_unacked, cap_unacked;
	/* a text whose last fragment is not there yet */
	char *text;
	size_t text_len, text_cap;
	message_id_t text_id;   /* its last fragment so far; 0: none */
	uint64_t text_us;       /* when that came */
	bool text_stored;       /* a fragment came from the store */
	bool text_waits;        /* a fragment may wait in the store for our acknowledgement */
	bool skipping;          /* the text is too long or without memory: dropped when complete */
};

struct inbox {
	struct sender *senders;
	size_t n_senders;
	size_t held;
	bool fetching;
	uint64_t look_us;       /* next look for messages held, and texts under way, too long; 0: none */
};

void inbox_free(struct rk_client *c);
void inbox_deliver(struct rk_client *c, const struct frame_deliver *d);
/* A new session or epoch: delivery numbers start again. */
void inbox_session(struct rk_client *c);
void inbox_forget(struct rk_client *c);
void inbox_named(struct rk_client *c, user_id_t user);
void inbox_fetched(struct rk_client *c);
/* id of the sender has been dealt with and recorded: acknowledges up to it. */
void inbox_dealt(struct rk_client *c, struct sender *s, message_id_t id);
void inbox_tick(struct rk_client *c);
uint64_t inbox_deadline(const struct rk_client *c);
const char *inbox_check(const struct rk_client *c);

/* ---- requests ---------------------------------------------------------------------------- */

#define REQUESTS_MAX 64
#define REQUEST_FRAGMENTS 8
#define RESPONSE_FRAGMENTS 64

enum request_kind {
	REQUEST_APPLICATION,
	REQUEST_LIST,       /* list_buddies: pages are gathered */
	REQUEST_CREDENTIAL, /* register, enrol */
	REQUEST_NAME,       /* whose id is wanted for the outbox */
	REQUEST_USER,       /* whose name is wanted for the inbox */
	REQUEST_FETCH,
	REQUEST_TICKET,
};

struct request {
	struct request *next;
	enum request_kind kind;
	int64_t handle;     /* for the application; 0: made by the core itself */
	uint32_t number;    /* in this session; 0: not sent in it */
	char name[RK_NAME_MAX + 1];
	user_id_t user;
	struct event *gathered; /* of REQUEST_LIST: its pages so far */
	size_t gathered_cap;
	unsigned sends;
	unsigned next_fragment; /* to be sent; fragments: all sent */
	uint64_t due_us, interval_us;
	/* the response so far */
	uint8_t *parts[RESPONSE_FRAGMENTS];
	uint16_t part_len[RESPONSE_FRAGMENTS];
	unsigned expected, received;
	size_t len;
	uint8_t body[];
};

struct requests {
	struct request *first, **last;
	size_t n;           /* of the application */
	int64_t last_handle;
	uint32_t last_number;
};

void requests_init(struct rk_client *c);
void requests_free(struct rk_client *c);
/* Queues a request. Returns it, or NULL without memory or when it is too long. */
struct request *request_new(struct rk_client *c, enum request_kind kind, const Rookery__Request *body);
/* As request_new, for the application: returns its handle or a negative errno. */
int64_t request_apply(struct rk_client *c, enum request_kind kind, const Rookery__Request *body);
bool request_pending(const struct rk_client *c, enum request_kind kind);
void request_drop(struct rk_client *c, enum request_kind kind);
void requests_session(struct rk_client *c);
void requests_response(struct rk_client *c, const struct frame_response *f);
void requests_slow_down(struct rk_client *c, const struct frame_slow_down *f);
size_t requests_frames(struct rk_client *c, uint8_t *out, size_t cap);
uint64_t requests_deadline(const struct rk_client *c);
const char *requests_check(const struct rk_client *c);

/* ---- roster ------------------------------------------------------------------------------ */

struct peer {
	user_id_t user;
	char name[RK_NAME_MAX + 1];
	uint64_t presence_version, buddy_version;
};

struct roster {
	struct peer *peers;
	size_t n, cap;
};

bool name_valid(const char *name);
void roster_free(struct rk_client *c);
void roster_session(struct rk_client *c);
void roster_learn(struct rk_client *c, user_id_t user, const char *name);
/* The name, or NULL when it has to be asked for. */
const char *roster_name(struct rk_client *c, user_id_t user);
user_id_t roster_user(struct rk_client *c, const char *name);
void roster_unlearn(struct rk_client *c, const char *name);
void roster_notify(struct rk_client *c, const uint8_t *body, size_t len);
/* A complete response; the caller frees r, and q if the answer is true (it is answered). */
bool roster_response(struct rk_client *c, struct request *q, const Rookery__Response *r);
const char *roster_check(const struct rk_client *c);

/* ---- the client -------------------------------------------------------------------------- */

struct rk_client {
	struct rk_store *store;
	char user[RK_NAME_MAX + 1];
	char device_name[DEVICE_NAME_MAX + 1];
	enum rk_status status;
	char status_text[RK_STATUS_TEXT_MAX + 1];
	struct handshake_keypair device;
	device_id_t device_id;
	user_id_t user_id;
	size_t outbox_max, inbox_max;
	uint64_t now_us, wall_ms; /* of the last call */

	struct events events;
	struct login login;
	struct session session;
	struct resume resume;
	struct outbox outbox;
	struct inbox inbox;
	struct requests requests;
	struct roster roster;
	struct rk_stats stats;
};

/* The device and user ids are known (LOGIN_OK, LoggedIn). fresh: the server did not know this device
 * before. */
void client_identified(struct rk_client *c, user_id_t user, device_id_t device, message_id_t last_message,
		       bool fresh);
/* All invariants of all rooms. */
const char *client_check(const struct rk_client *c);

static inline uint64_t
earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* "<device>-<message>" in hexadecimal; out of RK_MESSAGE_ID_LEN + 1. */
void message_id_format(char *out, device_id_t device, message_id_t id);

#endif
