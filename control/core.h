/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside of the server: what its rooms share. The way of an event:
 *
 *     server_batch (server.c)
 *     -> the room of its type: login.c, sessions.c, offline.c, buddies.c (verdicts),
 *        requests.c (-> accounts.c, buddies.c, presence.c, offline.c)
 *     -> effects.c -> pump.c, presence.c, output.c -> rings
 *
 * A handler reads and changes the store and decides; whatever it wants to do to the server's memory or to
 * tell the dataplane it leaves as an effect. Effects run in order after the commit. If the commit fails,
 * their undo functions run and the same cells are handled once more with a store that takes no changes: what
 * only reads is answered, the rest is refused (fail functions). So nothing is ever announced that is not on
 * disk, and memory never runs ahead of it.
 *
 * Handlers return 0 or a negative errno of the store; any error makes the batch fail.
 */
#ifndef ROOKERY_CONTROL_CORE_H
#define ROOKERY_CONTROL_CORE_H

#include "map.h"
#include "server.h"
#include "store/store.h"

#include "shared/rookery.pb-c.h"

#define RECENT_MS (UINT64_C(30) * 24 * 3600 * 1000) /* a device not seen for longer gets no copies */
#define LOGIN_CACHE 1024
#define REQUEST_CACHE 8
#define REQUEST_FRAGMENTS_MAX 8
#define PUMP_WINDOW 32
#define PUMP_RETRY_MS 5000
#define STORE_RETRY_MS 250   /* after a failure the store is left alone for so long */
#define PASSWORD_QUEUE_MAX 256
#define PASSWORD_TRIES_MAX 5 /* wrong passwords in one restricted session */
#define PASSWORD_MAX 256

/* ---- counters of control, for rookctl stats ------------------------------------------ */

#define CONTROL_COUNTERS(C)                                                                \
	C(cells, "cells from the dataplane")                                               \
	C(cells_invalid, "cells that were malformed or named an unknown worker")           \
	C(cells_orphaned, "cells of sessions that ended meanwhile")                        \
	C(batches, "batches of cells handled in one transaction")                          \
	C(commit_us, "time that commits of batches took")                                  \
	C(batches_failed, "batches rolled back because the store was not available")       \
	C(backlogged, "cells that waited because a ring to the dataplane was full")        \
	C(logins, "logins with an enrolled device")                                        \
	C(logins_restricted, "logins with an unknown device")                              \
	C(logins_repeated, "retransmitted logins answered again")                          \
	C(logins_replayed, "logins refused: timestamp not new")                            \
	C(logins_overtaken, "logins dropped: the device has come back by ticket since")    \
	C(logins_refused, "logins refused: wrong user or no room")                         \
	C(logins_drained, "logins refused because the server is being drained")            \
	C(resumed, "sessions resumed by ticket")                                            \
	C(resumed_refused, "sessions resumed by a ticket that is void, ended: their devices log in") \
	C(tickets, "tickets given out")                                                     \
	C(logins_slowed, "logins refused: too many with one device key")                    \
	C(restricted_replaced, "sessions that never spoke nor enrolled, ended for newer ones") \
	C(logins_bad, "logins that were not for this key, forged or malformed")            \
	C(requests, "requests")                                                            \
	C(requests_repeated, "retransmitted requests answered again or still in work")     \
	C(requests_slowed, "requests refused: over the rate of their user")                 \
	C(requests_malformed, "requests that could not be read")                           \
	C(requests_unavailable, "requests refused because the store was not available")    \
	C(accounts, "accounts registered")                                                 \
	C(passwords_wrong, "wrong passwords")                                              \
	C(passwords_delayed, "passwords not looked at: too many wrong ones before")         \
	C(passwords_slowed, "requests slowed down: too many passwords being hashed")       \
	C(verdicts, "conversation verdicts given")                                         \
	C(messages_stored, "messages committed, one per waiting device")                   \
	C(messages_duplicate, "messages that were stored already")                         \
	C(messages_not_stored, "messages not confirmed: store not available or queue full") \
	C(messages_delivered, "stored messages acknowledged by their device")              \
	C(messages_failed, "stored messages not acknowledged in time, tried again")        \
	C(messages_expired, "stored messages dropped by age")                              \
	C(rereads, "reads of the store that failed after a commit, to be done again")       \
	C(notifications, "notifications sent, one per session")                            \
	C(sessions_ended, "sessions ended for any reason")                                 \
	C(stale, "packets of an earlier epoch")                                            \
	C(stale_forged, "packets of an earlier epoch with a wrong tag")

enum control_counter {
#define CONTROL_COUNTER(name, text) CONTROL_##name,
	CONTROL_COUNTERS(CONTROL_COUNTER)
#undef CONTROL_COUNTER
	CONTROL_COUNTER_COUNT
};

#define COUNT(s, name) ((s)->counters[CONTROL_##name]++)

/* ---- memory -------------------------------------------------------------------------- */

struct user;
struct pump;
struct requests;
struct request;

struct session {
	session_id_t sid;
	struct user *user;  /* NULL: restricted */
	struct session *user_next;
	device_id_t device;
	uint8_t key[32];
	uint8_t ephemeral[32];
	struct session_secret secret;
	uint64_t instance;
	uint64_t login_ms;
	uint64_t login_timestamp;
	uint64_t deadline_ms; /* restricted: end of its life (monotonic) */
	uint64_t probed_ms;   /* last PING for a stale packet */
	struct endpoint peer;
	uint8_t port;
	uint8_t status;       /* enum Status */
	uint8_t password_tries;
	bool heard;
	bool password_busy;   /* one password at a time */
	bool revoked;         /* its device is locked: ended as soon as the worker can be told */
	bool replaced;        /* restricted, and about to end for a newer one */
	bool resync;          /* provisioned again: what it missed is sent once it is heard */
	char device_name[STORE_DEVICE_NAME_MAX + 1];
	struct pump *pump;        /* full sessions */
	struct requests *requests; /* NULL until the first */
	struct session *restricted_next; /* list of restricted sessions, oldest first */
};

/* A user with at least one live session. */
struct user {
	user_id_t id;
	char name[STORE_NAME_MAX + 1];
	char text[STORE_TEXT_MAX + 1];
	struct session *sessions; /* newest first */
	uint32_t session_count;
	uint8_t shown;            /* status that buddies were told */
	char shown_text[STORE_TEXT_MAX + 1];
	uint64_t version;         /* of that */
};

/* Slots of one worker: generation of the last session in each, and which are free, first freed first used. */
#define SLOT_NONE UINT32_MAX
#define SLOT_USED (UINT32_MAX - 1) /* as next: not in the list */
struct slots {
	uint32_t *generation;
	struct slot_link {
		uint32_t next, prev; /* SLOT_NONE: none */
	} *link; /* of free ones: a worker that resumes a session takes any of them */
	uint32_t free_head, free_tail;
	uint32_t free_count;
};

struct login_entry {
	uint8_t key[32];
	uint8_t ephemeral[32];
	uint16_t length; /* 0: the reply is not committed yet */
	uint8_t reply[STORE_REPLY_MAX];
};

/* What is queued for a ring that is full. */
struct backlog {
	struct backlog_cell *head, *tail;
	uint64_t count;
};

/* A change that must reach the store but that nobody waits for: written with the next transaction that
 * succeeds. */
enum lazy_kind {
	LAZY_MESSAGE_DEL, LAZY_EVENT_DEL, LAZY_SESSION_DEL, LAZY_DEVICE_SEEN, LAZY_DEVICE_VOID, LAZY_PEER, LAZY_BANS_EXPIRE,
};
struct lazy {
	enum lazy_kind kind;
	uint64_t a, b;
};

/* What an effect could not read of the store, by what is done again later: after the commit nobody asks a second time. Each kind holds
 * an id at most once. */
enum reread_kind {
	REREAD_PRESENCE, /* user: his buddies are told of him */
	REREAD_USER,     /* user with a session: which of his devices are away */
	REREAD_PUMP,     /* session: what flows to it by itself */
	REREAD_KINDS,
};

/* Work that is not a cell: finished passwords, admin operations. run is a handler; fail gives the bad news
 * when the store was not available. Either way free is called afterwards. */
struct operation {
	int (*run)(struct server *s, struct operation *op);
	void (*fail)(struct server *s, struct operation *op, int rc);
	void (*free)(struct operation *op);
	struct operation *next;
};

struct effects {
	uint8_t *data;
	size_t used;
	size_t capacity;
	bool failed; /* out of memory: the batch must fail */
};

/* Those of one user, read last: who comes online is told of buddies, and they of him. */
struct relations {
	user_id_t owner; /* 0: none */
	uint64_t as_of;  /* store_changes() */
	struct store_relation *rows;
	int count;
};

/* What seals tickets, as in the store. */
struct tickets {
	struct ticket_key key, before; /* id 0: none */
	uint64_t made_ms;              /* the key, ms since 1970 */
};

struct server {
	const struct config *config;
	struct store *store;
	struct handshake_keypair key;
	struct server_io io;
	uint64_t now_ms, wall_ms, started_ms;

	/* the dataplane */
	bool attached, ready;
	bool draining;
	uint64_t boot, instance, barrier;
	uint32_t workers, sessions_per_worker;
	const struct ipc *ipc;
	uint32_t dataplane_pid;
	struct slots *slots; /* [workers] */

	struct map sessions; /* sid -> session */
	struct map devices;  /* device id -> its full session */
	struct map users;    /* user id -> user */
	struct map resumed;  /* device id -> its session that was resumed in the present batch */
	struct session *restricted, **restricted_tail;
	uint32_t restricted_count;

	struct login_entry *logins; /* LOGIN_CACHE replies, the oldest is overwritten */
	uint64_t login_tags[LOGIN_CACHE]; /* first bytes of each ephemeral key, to find it quickly */
	uint32_t login_next;
	bool logins_busy; /* handshakes are being done */
	struct login_job *logins_ready; /* those that were done last, and not taken yet */
	struct login_job *logins_done;  /* those that were taken last: cells of the present batch */

	struct effects effects;
	bool staging; /* a handler runs: cells and changes become effects */
	struct backlog backlog[SERVER_RING_TABLE + 1];
	uint64_t backlog_total;

	struct lazy *lazy;
	uint32_t lazy_count, lazy_capacity;
	struct map reread[REREAD_KINDS]; /* id -> itself */
	uint32_t reread_at[REREAD_KINDS]; /* how far the present round is */
	uint64_t reread_ms; /* its next step; UINT64_MAX: none */
	struct operation *operations, **operations_tail;

	struct relations relations;
	struct limits *limits;
	struct tickets tickets;
	struct ticket_cipher sealing; /* of tickets.key, once it has sealed one */

	struct traces *traces; /* NULL: none yet */
	struct store_ban *bans; /* [BANS_MAX], in the order of prefixes */
	uint32_t ban_count;
	uint64_t bans_version; /* of the list that the dataplane was last sent */

	/* passwords */
	struct password_job *password_queue, **password_tail;
	uint32_t password_waiting, password_running;

	uint64_t version;          /* last version given to a presence or buddy event */
	uint64_t store_retry_ms;   /* the store failed: not before this */
	bool unfinished; /* the dataplane is the same as before, but was not provisioned to the end */
	bool store_ok;
	char store_error[160];
	char page_error[160];
	uint64_t expire_ms;        /* next look for old messages */
	bool expire_due;
	uint64_t pump_ms;          /* next look for failed deliveries; UINT64_MAX: none */
	uint64_t counters[CONTROL_COUNTER_COUNT];
};

/* ---- effects.c ------------------------------------------------------------------------ */

typedef void (*effect_fn)(struct server *s, void *data);

/* Leaves an effect with a copy of data; undo may be NULL. Not staging: run runs at once. */
void effect_add(struct server *s, effect_fn run, effect_fn undo, const void *data, size_t size);
void effects_run(struct server *s);
void effects_undo(struct server *s);
void effects_free(struct server *s);

void lazy_add(struct server *s, enum lazy_kind kind, uint64_t a, uint64_t b);
/* Inside a transaction. */
int lazy_write(struct server *s);
/* Effect: the store could not be read. */
void reread_add(struct server *s, enum reread_kind kind, uint64_t id);
/* Whom it was for is gone, or knows by now. */
void reread_drop(struct server *s, enum reread_kind kind, uint64_t id);
/* Does what is due; sets s->reread_ms. */
void reread_timers(struct server *s);
const char *reread_check(const struct server *s);
void operation_add(struct server *s, struct operation *op);

/* ---- output.c ------------------------------------------------------------------------- */

/* Clears everything of a cell but its data. */
void cell_init(struct cell *c, enum cell_type type);
/* To the ring of a worker or SERVER_RING_TABLE: an effect while a handler runs, otherwise at once. */
void emit(struct server *s, uint32_t ring, const struct cell *c);
/* A reliable frame to one session. token 0: no outcome wanted. */
void emit_frame(struct server *s, session_id_t sid, uint64_t token, const struct frame *f);
void backlog_clear(struct server *s);

/* ---- provision.c ---------------------------------------------------------------------- */

/* The sessions of the store into memory; instance and boot. */
int provision_load(struct server *s);

/* ---- login.c -------------------------------------------------------------------------- */

int login_handle(struct server *s, const struct cell *c);
void login_fail(struct server *s, const struct cell *c);
void logins_free(struct server *s);

/* ---- resume.c --------------------------------------------------------------------------- */

int tickets_load(struct server *s);
/* A new key when there is none or its time is over. Outside of a transaction. */
void tickets_rotate(struct server *s);
/* Tells the workers the keys. */
void tickets_publish(struct server *s);
int ticket_request(struct server *s, const struct request *r);
/* Was the device, since then, heard in a session that it resumed? What it said before is out of date: rings are read one after the
 * other, not in the order of time, and after an outage much lies in them. */
bool resumed_since(const struct server *s, device_id_t device, uint64_t ms);
int resumed_handle(struct server *s, const struct cell *c);
void resumed_fail(struct server *s, const struct cell *c);

/* ---- sessions.c ----------------------------------------------------------------------- */

struct session *session_get(const struct server *s, session_id_t sid);
struct user *user_get(const struct server *s, user_id_t id);
/* A free slot of the worker, or SESSION_ID_NONE. slot_release gives one back that was never used. */
session_id_t slot_take(struct server *s, uint32_t worker);
/* The worker has taken it. False: it is not free, or none of that worker's. */
bool slot_claim(struct server *s, session_id_t sid);
void slot_release(struct server *s, session_id_t sid);
int slots_new(struct server *s, uint32_t workers, uint32_t sessions_per_worker);
void slots_free(struct server *s);
/* Takes over a malloced session whose slot is taken. With user != NULL it becomes that user's. -ENOMEM:
 * untouched. */
int session_insert(struct server *s, struct session *n, const struct store_user *user);
/* A restricted session becomes the user's. */
int session_promote(struct server *s, struct session *n, const struct store_user *user, device_id_t device);
/* Ends it in memory, frees its slot, tells buddies; its row goes lazily. close_reason 0: the worker knows
 * already; otherwise it is told, with a CLOSE to the client. */
void session_end(struct server *s, struct session *n, uint8_t close_reason, bool tell_worker);
/* INJECT_SESSION_DEL. */
void session_tell_end(struct server *s, session_id_t sid, uint8_t reason);
/* All of a user but `except`. Returns how many. */
uint32_t sessions_end_user(struct server *s, user_id_t user, session_id_t except, uint8_t reason);
uint16_t session_epoch(const struct server *s, const struct session *n);
void session_provision(struct server *s, const struct session *n, bool probe);
/* INJECT_SESSION_UPDATE: the worker's session is the user's. */
void session_update(struct server *s, const struct session *n);
/* TABLE_USER_SET or _DEL for what is true now. */
void user_publish(struct server *s, user_id_t id);
/* Fills live, live_count, away. */
void user_location(struct server *s, user_id_t id, uint8_t *away, uint8_t *count,
		   struct live_session live[USER_SESSIONS_MAX]);
int session_event_handle(struct server *s, const struct cell *c);
void session_event_fail(struct server *s, const struct cell *c);
int session_expired_handle(struct server *s, const struct cell *c);
void session_expired_fail(struct server *s, const struct cell *c);
int stale_handle(struct server *s, const struct cell *c);
/* Its row; user 0: none yet. reply: what answers its LOGIN when that is sent again; none for a session that was resumed. */
int session_store(struct server *s, const struct session *n, user_id_t user, const uint8_t *reply, uint16_t reply_length);
void session_free(struct session *n);

/* ---- requests.c ----------------------------------------------------------------------- */

int request_handle(struct server *s, const struct cell *c);
void request_fail(struct server *s, const struct cell *c);
/* Answers request number of a session (an effect); the answer is remembered. */
void respond(struct server *s, session_id_t sid, uint32_t number, const Rookery__Response *response);
void respond_code(struct server *s, session_id_t sid, uint32_t number, Rookery__Code code, const char *text);
/* CODE_SLOW_DOWN. */
void respond_slow(struct server *s, session_id_t sid, uint32_t number, uint32_t retry_ms, const char *text);
/* At once, not as an effect. true: now marked as in work; false: it was already. */
bool request_mark(struct server *s, struct session *n, uint32_t number);
void requests_free(struct requests *r);

/* What a request handler gets. */
struct request {
	struct session *session;
	session_id_t sid;
	uint32_t number;
	struct user *user; /* NULL: restricted */
};

/* ---- password.c ------------------------------------------------------------------------ */

enum password_kind {
	PASSWORD_HASH,   /* new_password into hash */
	PASSWORD_VERIFY, /* password against hash */
	PASSWORD_CHANGE, /* both */
};

/* op.run is called when it is done; op.free is set by password_job_new. */
struct password_job {
	struct operation op;
	struct password_job *next;
	enum password_kind kind;
	char password[PASSWORD_MAX + 1];
	char new_password[PASSWORD_MAX + 1];
	char hash[STORE_HASH_MAX];
	unsigned passes, memory_kib;
	int result; /* 0, -EACCES: wrong password, -ENOMEM */
	/* whom it is for: a request, or an operator */
	session_id_t sid;
	uint32_t number;
	struct endpoint peer;   /* of a request's session */
	struct store_user user; /* name; id and text where known */
	char device_name[STORE_DEVICE_NAME_MAX + 1];
	uint8_t status;
	char text[STORE_TEXT_MAX + 1];
	server_done_fn done;
	void *done_arg;
};

bool password_acceptable(const char *password);
/* Does this host hold more than its share of the queue? */
bool password_crowded(const struct server *s, const struct endpoint *peer);
struct password_job *password_job_new(const struct server *s, enum password_kind kind);
void password_job_free(struct password_job *job);
/* Is the queue full? */
bool password_full(const struct server *s);
void password_start(struct server *s, struct password_job *job);

/* ---- operators.c ------------------------------------------------------------------------ */

/* An effect: the operator is told. text is static. */
void done_later(struct server *s, server_done_fn done, void *arg, int result, const char *text);
/* At once: the store was not available. */
void done_fail(struct server *s, server_done_fn done, void *arg, int rc);

/* ---- bans.c ------------------------------------------------------------------------------ */

int bans_load(struct server *s);
void bans_free(struct server *s);
/* The whole list to the dataplane. */
void bans_emit(struct server *s);
/* Ends what has come to its end. Returns ms until the next does. */
uint64_t bans_timers(struct server *s);

/* ---- trace.c ----------------------------------------------------------------------------- */

void traces_free(struct server *s);
/* What is traced now, to all workers. */
void traces_emit(struct server *s);
uint32_t traces_count(const struct server *s);
/* Ends those that nobody reads. */
void traces_timers(struct server *s);

/* ---- limits.c -------------------------------------------------------------------------- */

enum limit_kind { LIMIT_BUDDY_REQUESTS, LIMIT_PRESENCE, LIMIT_SEARCHES, LIMIT_DEVICE_LOGINS, LIMIT_COUNT };

int limits_new(struct server *s);
void limits_free(struct server *s);
/* One more of this kind by key (at most 32 bytes): 0, or ms to wait; then nothing was taken. */
uint32_t limit_take(struct server *s, enum limit_kind kind, const void *key, size_t len);
/* The same for the request's user; false: it was answered. */
bool limit_request(struct server *s, enum limit_kind kind, const struct request *r);
/* One IPv4 address, or one IPv6 /64. */
bool same_host(const struct endpoint *a, const struct endpoint *b);
/* Before a password of the account is looked at: 0, and it counts as wrong until guess_right; or ms to wait. */
uint32_t guess_begin(struct server *s, user_id_t user, const struct endpoint *peer);
void guess_right(struct server *s, user_id_t user, const struct endpoint *peer);

/* ---- accounts.c ------------------------------------------------------------------------ */

int account_register(struct server *s, const struct request *r, const Rookery__Register *b);
int account_enrol(struct server *s, const struct request *r, const Rookery__Enrol *b);
int account_change_password(struct server *s, const struct request *r, const Rookery__ChangePassword *b);
int account_search(struct server *s, const struct request *r, const Rookery__SearchUser *b);
int account_resolve(struct server *s, const struct request *r, const Rookery__ResolveUser *b);

/* Evicts a device of the user if there is no room for one more. 0, -EDQUOT when none may go. */
int device_make_room(struct server *s, user_id_t user);

/* ---- names.c --------------------------------------------------------------------------- */

/* Lower case into out[STORE_NAME_MAX + 1]; false when it is no name. */
bool name_fold(char *out, const char *name);
/* UTF-8 of at most max bytes; control characters become spaces. false: malformed or too long (out is then
 * ""). */
bool text_clean(char *out, const char *text, size_t max);
const char *status_name(int status);

/* ---- buddies.c -------------------------------------------------------------------------- */

int buddy_add(struct server *s, const struct request *r, const Rookery__AddBuddy *b);
int buddy_answer(struct server *s, const struct request *r, const Rookery__AnswerBuddy *b);
int buddy_delete(struct server *s, const struct request *r, const Rookery__DeleteBuddy *b);
int buddy_block(struct server *s, const struct request *r, const Rookery__SetBlock *b);
int buddy_list(struct server *s, const struct request *r, const Rookery__ListBuddies *b);
int buddy_set(struct server *s, const struct request *r, const Rookery__SetBuddy *b);
/* Effect. All of a user's relations, in the order of peers: the count, or an error of the store. *rows is the server's until the next call. */
int relations_read(struct server *s, user_id_t owner, const struct store_relation **rows);
/* The user goes for good: who was a buddy is told. Handler. */
int buddies_user_removed(struct server *s, const struct store_user *u);
/* What is sent to workers after this finds in force what was said to the tables before: they take different rings. */
void tables_fence(struct server *s);
/* Verdict of a pair as the store has it now. */
int verdict_of(struct server *s, user_id_t from, user_id_t to, enum verdict *out);
int verdict_handle(struct server *s, const struct cell *c);

/* ---- presence.c ------------------------------------------------------------------------- */

int presence_set(struct server *s, const struct request *r, const Rookery__SetPresence *b);
/* What buddies see now: best of the user's sessions. */
uint8_t presence_visible(const struct user *u);
/* Tells buddies who are online if it changed. */
void presence_changed(struct server *s, struct user *u);
/* The last session of the user ended. */
void presence_gone(struct server *s, const struct user *u);
/* Whoever could not be told of the user, because the store did not say who, is told what the user is by now. */
void presence_again(struct server *s, user_id_t id);
/* What `viewer` may know of `of`, to all sessions of viewer. hidden: offline, whatever is true. */
void presence_tell(struct server *s, user_id_t viewer, user_id_t of, const char *of_name, bool hidden);
/* Fills n for what is true of user id now; strings point into the user or name. */
void presence_fill(struct server *s, Rookery__Presence *n, user_id_t id, const char *name, bool hidden);
/* An encoded NOTIFY to many sessions. */
void notify(struct server *s, const session_id_t *sids, uint32_t count, const Rookery__Notification *n);
uint64_t version_next(struct server *s);

/* ---- offline.c -------------------------------------------------------------------------- */

int store_handle(struct server *s, const struct cell *c);
void store_fail(struct server *s, const struct cell *c);
int delivered_handle(struct server *s, const struct cell *c);
void delivered_fail(struct server *s, const struct cell *c);
int fetch_stored(struct server *s, const struct request *r, const Rookery__FetchStored *b);

/* ---- pump.c ----------------------------------------------------------------------------- */

struct pump *pump_new(void);
void pump_free(struct pump *p);
uint32_t pump_outstanding(const struct pump *p);
#define PUMP_LOGIN 0x01       /* Synced at the end */
#define PUMP_NO_MESSAGES 0x02 /* it is known that none wait for its device */
/* Starts what a session is to get: snapshot of buddies' presence, pending requests, events, messages. Restarts a pump whose outstanding deliveries are
 * gone. */
void pump_start(struct server *s, struct session *n, unsigned flags);
/* What was in flight is gone with its dataplane: nothing more until pump_start. */
void pump_reset(struct pump *p);
/* Something was stored for its device. */
void pump_kick(struct server *s, struct session *n);
void pump_event(struct server *s, struct session *n, const struct store_event *e);
/* Outcome of a token. Returns true when the pump knew it. */
bool pump_result(struct server *s, struct session *n, uint64_t token, bool acked);
/* Messages that the client holds back: those of the device with ids from first to last. */
struct held {
	device_id_t device;
	message_id_t first, last;
};

/* Answers the request once all that is stored now was acknowledged, but for what the client holds back. Takes the place of the one
 * before. */
void pump_fetch(struct server *s, struct session *n, uint32_t request, const struct held *held, size_t count);
/* Sends failed ones again; sets s->pump_ms. */
void pump_timers(struct server *s);
/* The same for one, also with what the store did not say before. */
void pump_retry(struct server *s, struct session *n);
const char *pump_check(const struct pump *p);

#define TOKEN_EVENT (UINT64_C(1) << 62)
#define TOKEN_PRESENCE (UINT64_C(1) << 63)

#endif
