/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control server: every decision about accounts, buddies, presence, sessions and stored messages. It does
 * no I/O of its own: cells come in through server_batch, go out through struct server_io, passwords are
 * hashed by whoever takes the jobs, and time is a parameter. loop.c binds it to rings, libuv and the clock;
 * tests drive it directly.
 *
 * Thread-safety: all functions on one thread (the event loop's), except password_job_run and login_job_run.
 *
 * The first half of this header is what the admin API uses, the second what the event loop uses.
 */
#ifndef ROOKERY_CONTROL_SERVER_H
#define ROOKERY_CONTROL_SERVER_H

#include "control/histogram.h"
#include "shared/cell.h"
#include "shared/config.h"
#include "shared/counters.h"
#include "shared/handshake.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config_values;
struct server;
struct store;
struct ipc;

/* ==== for the admin API =============================================================== */

/* Result of an operation that finishes later, after its commit. result: 0 or -errno; text: one line for
 * people, "" when result is 0. Called exactly once, never from inside the call that started the operation
 * (unless that call failed: then it returns the error and done is not called). */
typedef void (*server_done_fn)(void *arg, int result, const char *text);

struct server_ring_fill {
	uint32_t used;
	uint32_t capacity;
	uint32_t backlog; /* cells that wait inside control because the ring is full (INJECT, TABLE) */
};

struct server_status {
	const char *version;
	uint64_t uptime_ms;
	bool ready;               /* provisioned and the server key is published: clients can log in */
	bool draining;            /* no new logins: see server_drain */
	bool dataplane_connected; /* region joined and alive */
	uint64_t boot;            /* of the dataplane */
	uint64_t instance;        /* how often a dataplane was provisioned, ever */
	uint32_t dataplane_pid;
	uint32_t workers;
	uint32_t sessions_per_worker;
	uint64_t users;
	uint64_t devices;
	uint64_t sessions;            /* full sessions */
	uint64_t sessions_restricted;
	uint64_t users_online;
	uint64_t stored_messages;
	uint64_t bans;
	uint32_t traces; /* on now */
	uint64_t bans_enforced; /* by the workers, a moment ago */
	bool store_ok;            /* the last commit succeeded */
	char store_error[160];    /* what is wrong and the mend; "" when ok */
	char page_error[160];     /* why there is no status page and no metrics although they are configured; "" when they are there */
	char server_key[65];      /* public, hex */
	struct server_ring_fill table;
	struct {
		struct server_ring_fill event, request, login, inject;
	} rings[SESSION_WORKERS_MAX]; /* [0..workers) */
};

void server_status(struct server *s, struct server_status *out);
/* What the dataplane started with. Returns 0, -ENOTCONN (there is none), -ENODATA (it did not say), -EINVAL or -ENOMEM. */
int server_dataplane_config(const struct server *s, struct config_values *out);
/* The same without users, devices and stored_messages, which the store has to count: for whoever asks often. */
void server_pulse(struct server *s, struct server_status *out);
/* Those three alone, into out. Returns 0 or -errno (store). */
int server_status_counts(struct server *s, struct server_status *out);

struct server_user {
	user_id_t id;
	const char *name;
	uint64_t created_ms;   /* ms since 1970 */
	uint64_t last_seen_ms; /* 0: never logged in */
	uint32_t devices;
	uint32_t sessions;     /* live now */
	uint32_t buddies;
	uint64_t stored;       /* waiting messages, all devices */
	bool disabled;
	const char *presence;  /* as buddies see it: "online", "away", "busy", "offline" */
	const char *presence_text;
};

/* Names that begin with prefix (NULL: all) in their order, skipping `offset`, at most `limit` (0: no limit). Returning false from cb stops.
 * Strings live until cb returns. cb calls no server function. Returns the number of users seen or -errno
 * (store). */
typedef bool (*server_user_fn)(void *arg, const struct server_user *u);
int server_users_list(struct server *s, const char *prefix, uint64_t offset, uint64_t limit, server_user_fn cb,
		      void *arg);

struct server_device {
	device_id_t id;
	const char *name;
	uint64_t last_seen_ms;
	uint32_t stored;  /* messages that wait for it */
	session_id_t sid; /* live session, or SESSION_ID_NONE */
};
typedef bool (*server_device_fn)(void *arg, const struct server_device *d);
/* One account: user is called once, then device for each device. Returns 0, -ENOENT, or -errno (store). */
int server_user_show(struct server *s, const char *name, server_user_fn user, server_device_fn device,
		     void *arg);

struct server_buddy {
	user_id_t id;
	const char *name;
	const char *state;    /* "buddy", "requested" (asked, no answer yet), "pending" (was asked), "none" */
	bool blocked;         /* by the user */
	bool blocked_by;      /* the user, by the other one */
	const char *presence; /* as buddies see it */
};
typedef bool (*server_buddy_fn)(void *arg, const struct server_buddy *b);
/* Whom the user has a relation with. Returns 0, -ENOENT, or -errno (store). */
int server_buddies_show(struct server *s, const char *name, server_buddy_fn cb, void *arg);

struct server_presence {
	user_id_t user;
	const char *name;
	const char *shown; /* what buddies see; "offline": invisible */
	const char *text;
	uint32_t sessions;
};
typedef bool (*server_presence_fn)(void *arg, const struct server_presence *p);
/* Users with a session, in the order of names. Returns how many were seen or -ENOMEM. */
int server_presence_list(struct server *s, uint64_t offset, uint64_t limit, server_presence_fn cb, void *arg);

/* Names are taken case-insensitively. Errors through done or as return value: -EINVAL (name or password not
 * acceptable), -EEXIST, -ENOENT, -EBUSY (too many passwords being hashed: try again), -EIO (store not
 * available; text says the mend). error may be NULL; else it gets the line that goes with an error return. */
int server_user_add(struct server *s, const char *name, const char *password, server_done_fn done, void *arg,
		    char *error, size_t error_cap);
/* Ends all sessions of the user (REVOKED); enrolled devices stay enrolled. */
int server_user_passwd(struct server *s, const char *name, const char *password, server_done_fn done,
		       void *arg, char *error, size_t error_cap);
/* Disabled: no password and no device key lets anybody in, and sessions end (REVOKED). Everything else stays; messages wait. Enabled
 * again: devices log in once their user says the password. */
int server_user_enable(struct server *s, const char *name, bool enabled, server_done_fn done, void *arg, char *error,
		       size_t error_cap);
/* Account, devices, buddies, waiting messages; buddies who are online are told. */
int server_user_del(struct server *s, const char *name, server_done_fn done, void *arg, char *error,
		    size_t error_cap);

struct server_session {
	session_id_t sid;
	user_id_t user;        /* 0: restricted */
	device_id_t device;
	const char *name;      /* user name, "" when restricted */
	const char *device_name;
	const char *status;    /* "online", "away", "busy", "invisible"; "restricted" */
	uint32_t worker;
	uint32_t epoch;
	uint8_t port;
	struct endpoint peer;  /* last validated address */
	uint64_t since_ms;     /* login, ms since 1970 */
	bool heard;            /* a valid packet came since it was provisioned */
	uint32_t outstanding;  /* stored messages and notifications on their way */
};

struct server_session_filter {
	session_id_t sid;   /* SESSION_ID_NONE: any */
	const char *name;   /* of a user; NULL: any */
	const char *status; /* as in struct server_session; NULL: any */
	int worker;         /* -1: any */
	bool by_address;
	struct prefix address;
};

/* Those that match, oldest first. Returns the number of sessions seen or -ENOMEM. */
typedef bool (*server_session_fn)(void *arg, const struct server_session *info);
int server_sessions_list(struct server *s, const struct server_session_filter *f, uint64_t offset,
			 uint64_t limit, server_session_fn cb, void *arg);

/* Ends one session (sid != 0) or all of a user (name), reason KICKED. Returns how many were ended, -ENOENT
 * (no such session or user). */
int server_session_kick(struct server *s, session_id_t sid, const char *name);

/* Keeps packets of these addresses out from now on (seconds 0: until server_ban_del), whatever session they belong to; sessions of
 * theirs end by themselves when nothing has been heard of them. Replaces a ban of the same prefix. reason may be NULL. Errors through done
 * or as return value: -EINVAL, -ENOSPC, -EIO, -ENOMEM. */
int server_ban_add(struct server *s, const struct prefix *p, uint64_t seconds, const char *reason, server_done_fn done,
		   void *arg, char *error, size_t error_cap);
/* -ENOENT through done: exactly this prefix is not banned. */
int server_ban_del(struct server *s, const struct prefix *p, server_done_fn done, void *arg);

struct server_ban {
	struct prefix prefix;
	uint64_t created_ms;
	uint64_t until_ms; /* 0: until it is removed */
	const char *reason;
	uint32_t nic_ports; /* whose device drops it before a worker sees it */
	uint32_t ports;     /* of the dataplane; 0: not known now */
};
typedef bool (*server_ban_fn)(void *arg, const struct server_ban *b);
/* Returns how many were seen. */
int server_bans_list(struct server *s, uint64_t offset, uint64_t limit, server_ban_fn cb, void *arg);

/* A trace: packets that match f are shown to `owner`, which names a connection, from now on; instead of those it had shown before. With
 * f->kind TRACE_USER the user is named. Returns 0, -ENOENT (no such user), -EBUSY (TRACE_FILTERS_MAX are on), -ENOMEM, or -errno (store). */
int server_trace_start(struct server *s, const void *owner, const struct trace_filter *f, const char *user);
/* Nothing, if owner has none. */
void server_trace_stop(struct server *s, const void *owner);
struct server_trace {
	uint32_t worker;
	const struct cell_trace *record;
	const char *user;    /* "": not logged in now, or none */
	const uint8_t *data; /* the datagram; NULL: not asked for */
	size_t length;
};
typedef void (*server_trace_fn)(void *arg, const struct server_trace *t);
/* At most limit records, oldest first; each is shown once. *lost: so many could not be kept. Returns how many, or -ENOENT: owner has no
 * trace, or did not read it for 10 s. */
int server_trace_read(struct server *s, const void *owner, uint32_t limit, uint64_t *lost, server_trace_fn cb, void *arg);

/* Tells the dataplane how this process logs now (log_set_level, log_set_format), as each dataplane is told when it is attached. */
void server_log_levels(struct server *s);

/* on: whoever has no session is told to come back later; sessions that are there go on. Kept in the database: only server_drain with
 * false ends it. Errors through done, or -ENOMEM. */
int server_drain(struct server *s, bool on, server_done_fn done, void *arg);

/* Counters. scope: "worker", "housekeeping", "control"; worker is its index for scope "worker", otherwise 0.
 * name as in counters.h without "COUNTER_". Returns 0, or -ENOTCONN when only control's own could be had. */
struct server_counter {
	const char *scope;
	uint32_t worker;
	const char *name;
	const char *text;
	uint64_t value;
	bool drop; /* a reason why packets are dropped */
};
/* Control's counters by index, with name and text; false past the last. */
bool server_control_counter(unsigned i, const char **name, const char **text);

/* All in one go: control's in the order of server_control_counter, the dataplane's in that of counters.h. */
#define SERVER_CONTROL_COUNTERS_MAX 128
struct server_counters {
	uint64_t control[SERVER_CONTROL_COUNTERS_MAX];
	bool connected;   /* the rest is valid */
	uint32_t workers;
	uint64_t dataplane[SESSION_WORKERS_MAX + 1][COUNTER_COUNT]; /* [workers]: housekeeping's */
};
void server_counters(const struct server *s, struct server_counters *out);

/* How long commits of the database took. */
const struct histogram *server_commit_latency(const struct server *s);

typedef bool (*server_counter_fn)(void *arg, const struct server_counter *c);
int server_stats(struct server *s, server_counter_fn cb, void *arg);

/* ==== for the event loop ============================================================== */

/* Ring numbers of server_io.send: worker w's INJECT ring, or the TABLE ring. */
#define SERVER_RING_TABLE SESSION_WORKERS_MAX

struct password_job;
struct login_job;

struct server_io {
	void *arg;
	/* Puts a cell into a ring. Returns false when the ring is full: the server keeps the cell in its
	 * backlog and tries again. */
	bool (*send)(void *arg, uint32_t ring, const struct cell *c);
	/* Starts password_job_run on another thread; when it is done, server_password_done on the loop's
	 * thread. At most control.password_threads are started at once. */
	void (*hash)(void *arg, struct password_job *job);
	/* Starts login_job_run on another thread; when it is done, server_logins_ready on the loop's thread. Returns 0 or -errno (it is then
	 * done here and now). NULL: always here and now. */
	int (*handshakes)(void *arg, struct login_job *job);
	/* Monotonic microseconds, to tell how long commits take; NULL: unknown. */
	uint64_t (*clock_us)(void *arg);
	/* Random bytes for session generations; NULL: libsodium. */
	void (*random)(void *arg, void *buf, size_t len);
};

struct server_options {
	const struct config *config;
	struct store *store;
	struct handshake_keypair key;
	struct server_io io;
	uint64_t now_ms;  /* monotonic */
	uint64_t wall_ms; /* since 1970 */
};

/* Loads the sessions from the store. Returns 0, -ENOMEM, -EIO (store; logged). */
int server_new(struct server **out, const struct server_options *o);
void server_free(struct server *s);

/* The clock moves; every function below uses the last time given. */
void server_set_time(struct server *s, uint64_t now_ms, uint64_t wall_ms);

/* Before server_attach: whether the dataplane was ever provisioned to the end (its region has the server's key). If not, and
 * it is the one known from the store, then a control before this one was killed in the middle of it, and the sessions go
 * there again, with the same epoch: those that are there already ignore it. */
void server_set_unfinished(struct server *s, bool unfinished);
/* A dataplane is there (first time, or another one than before: boot tells). Provisions it: instance + 1
 * persisted, then sessions and tables; with the boot known from the store only tables. Returns 0 or -EIO
 * (store: try again). */
int server_attach(struct server *s, uint64_t boot, uint32_t workers, uint32_t sessions_per_worker);
/* The dataplane is gone: nothing is sent until the next attach. Sessions stay. */
void server_detach(struct server *s);
/* Attached and everything of the provisioning is in the rings. The TABLE_BARRIER sent last has this value. */
bool server_provisioned(const struct server *s, uint64_t *barrier);
/* The loop has published the key and saw the barrier: server_status.ready. ipc may be NULL (tests); it is
 * used for ring fill and counters only. */
void server_set_ready(struct server *s, bool ready, const struct ipc *ipc, uint32_t dataplane_pid);

/* For server_status.page_error. */
void server_set_page(struct server *s, const char *error);

/* Acts on cells in order, in one transaction together with finished passwords and admin operations. On return
 * all is committed and answered (or refused, when the store failed): the cells may be released. n may be 0.
 * Invalid cells are counted and skipped. */
void server_batch(struct server *s, const struct cell *const *cells, uint32_t n);

/*
 * LOGINs on their way to a batch. Nearly all that they cost is public-key operations, which need nothing of the server but its key: one
 * lot of them is done on another thread (server_io.handshakes) while the lot before it is judged and committed, and other cells wait for
 * neither. LOGIN cells that go to server_batch directly are right, too, and do it all there.
 */
#define LOGINS_MAX 32 /* of one lot */
/* May another lot be started? */
bool server_logins_accepted(const struct server *s);
/* At most LOGINS_MAX valid PUNT_LOGIN, which are copied. Returns 0 or -ENOMEM. */
int server_logins_start(struct server *s, const struct cell *const *cells, uint32_t n);
/* On any thread. */
void login_job_run(struct login_job *job);
/* It is done. */
void server_logins_ready(struct server *s, struct login_job *job);
/* Those that are done, for the next server_batch; they stay until the next call. Returns how many, or 0. */
uint32_t server_logins_take(struct server *s, const struct cell **cells);

/* A valid PUNT_TRACE. Needs no batch: nothing is decided by it. */
void server_trace_take(struct server *s, const struct cell *c);

/* Is there anything for a batch to do without cells? */
bool server_pending(const struct server *s);

/* Back-pressure: false while the backlog to the dataplane is so long that no further REQUEST and LOGIN cells
 * (or, for events, EVENT cells) should be taken. */
bool server_accepts(const struct server *s, bool events);

/* Moves backlog into rings; call when rings may have room. Returns the cells still waiting. */
uint64_t server_flush(struct server *s);

/* Runs timers that are due. Returns ms until the next (at most 1,000). */
uint32_t server_timers(struct server *s);

/* Any thread: the slow part. */
void password_job_run(struct password_job *job);
/* Loop thread: the job is back. Takes effect in the next server_batch. */
void server_password_done(struct server *s, struct password_job *job);
/* Loop thread, instead of server_password_done when the program ends: whoever waits is told. */
void server_password_cancel(struct server *s, struct password_job *job);

/* Invariants between all tables in memory; for tests, after each step. NULL, or what is wrong. */
const char *server_check(const struct server *s);

#endif
