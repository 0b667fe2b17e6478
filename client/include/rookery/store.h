/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a Rookery client must remember across a crash: the messages it has not finished sending, how far it
 * has shown the messages of others, its counters, and the server's key. The client core talks to it through
 * struct rk_store, so that an application can bring its own; two implementations come with the library.
 *
 * Thread-safety: a store is used by one client, in the thread that uses the client.
 */
#ifndef ROOKERY_STORE_H
#define ROOKERY_STORE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RK_KEY_SIZE 32 /* bytes of a public or secret key */
#define RK_NAME_MAX 32 /* bytes of a user name, without its NUL */

#define RK_TICKET_MAX 512

/* Counters that only grow. */
enum rk_counter {
	RK_COUNTER_LOCAL = 0,     /* local message id last given out */
	RK_COUNTER_MESSAGE = 1,   /* message id last used on the wire */
	RK_COUNTER_LOGIN = 2,     /* ms since 1970 in the last LOGIN */
	RK_COUNTER_DEVICE = 3,    /* this device's id; 0: never logged in */
	RK_COUNTER_USER = 4,      /* this user's id */
	RK_COUNTERS = 5
};

/* One text on its way out. A long text takes several consecutive message ids on the wire (its fragments). */
struct rk_outgoing {
	uint64_t local;       /* the key: local message id, from 1 */
	uint64_t first_id;    /* message id of the first fragment; 0: none yet (before the first login) */
	uint64_t prev;        /* message id of this conversation's message before it; 0: none */
	uint64_t made_ms;     /* ms since 1970 */
	uint32_t fragments;   /* at least 1 */
	uint8_t nudge;        /* 1: carries no text, see docs/protocol.md section 4 */
	uint8_t level;        /* enum rk_level of the final answer, not dealt with yet; 0: none */
	uint8_t reason;       /* enum rk_refused_reason when level is RK_LEVEL_REFUSED */
	char to[RK_NAME_MAX + 1];
	const char *text;
	size_t text_len;
};

/* Where a conversation (messages of this device to one user) stands. */
struct rk_conversation {
	uint64_t tail;  /* message id of the last message that was not refused; 0: none */
	uint64_t nudge; /* the recipient must be told that all up to this message is settled; 0: none */
};

/*
 * The persistence interface. Every function returns 0 or a negative errno; a get of something never put gives
 * -ENOENT. When a put returns 0 it must survive a crash of the process (not necessarily of the machine).
 * Strings and buffers passed in are copied; pointers passed to the callback of a list are valid during that
 * call only.
 */
struct rk_store {
	void *state; /* passed to every function */

	/* Everything between begin and commit happens entirely or not at all. commit may fail, and then
	 * nothing of it happened. Not nested. */
	int (*begin)(void *state);
	int (*commit)(void *state);
	int (*rollback)(void *state);

	/* Inserts the message or replaces the one with the same local id. */
	int (*outbox_put)(void *state, const struct rk_outgoing *m);
	/* Calls each() for all messages by rising local id; stops at its first non-zero return and returns
	 * that. */
	int (*outbox_list)(void *state, int (*each)(void *arg, const struct rk_outgoing *m), void *arg);
	int (*outbox_delete)(void *state, uint64_t local);

	int (*counter_get)(void *state, enum rk_counter which, uint64_t *value);
	int (*counter_put)(void *state, enum rk_counter which, uint64_t value);

	int (*conversation_get)(void *state, const char *name, struct rk_conversation *v);
	int (*conversation_put)(void *state, const char *name, const struct rk_conversation *v);
	/* Calls each() for all conversations whose nudge is not 0, in any order; stops at its first non-zero return and
	 * returns that. */
	int (*conversation_list)(void *state, int (*each)(void *arg, const char *name, const struct rk_conversation *v),
				 void *arg);

	/* The highest message id of a sending device that was shown. */
	int (*high_get)(void *state, uint64_t device, uint64_t *id);
	int (*high_put)(void *state, uint64_t device, uint64_t id);

	/* The highest message id of a sending device that was handed to the application: put before it is. After a crash a
	 * message above `high` and not above this one may have been seen. */
	int (*showing_get)(void *state, uint64_t device, uint64_t *id);
	int (*showing_put)(void *state, uint64_t device, uint64_t id);

	/* User ids and names seen so far. A name belongs to one id; putting it with id 0 forgets it. */
	int (*name_put)(void *state, uint64_t user, const char *name);
	int (*name_get)(void *state, uint64_t user, char name[RK_NAME_MAX + 1]);
	int (*name_find)(void *state, const char *name, uint64_t *user);

	/* The server's public key, pinned at first use. */
	int (*server_key_get)(void *state, uint8_t key[RK_KEY_SIZE]);
	int (*server_key_put)(void *state, const uint8_t key[RK_KEY_SIZE]);

	/* This device is new to the server: forgets high marks, the message being shown, conversations and
	 * names. Outbox, counters and server key stay. */
	int (*forget)(void *state);

	/* Frees everything, the struct rk_store itself included. */
	void (*close)(void *state);

	/* What lets this device come back without a login, with secrets in it: at most RK_TICKET_MAX bytes. put with len 0 forgets
	 * it; what was there before must not stay readable. get: *len is the room, then the length. Both may be NULL: then it
	 * lives as long as the client. */
	int (*ticket_get)(void *state, void *data, size_t *len);
	int (*ticket_put)(void *state, const void *data, size_t len);
};

/* A store that lives as long as the process. Returns NULL without memory. */
struct rk_store *rk_store_memory(void);

/* Opens or creates the SQLite file at path (mode 0600, WAL, synchronous=NORMAL, locked against a second
 * process). The directory must exist. Returns 0, or -EBUSY (another process has it open), -EACCES, -ENOENT,
 * -ENOSPC, -EIO, -EPROTO (not a store of this library, or a newer one), -ENOMEM; *store is then NULL. */
int rk_store_open(struct rk_store **store, const char *path);

/* Closes a store made by any of the above; NULL is fine. Close the client first. */
void rk_store_close(struct rk_store *store);

/* Reads a device's secret key from the file at path; creates the file (mode 0600) with a new key if it does
 * not exist. Returns 0, or -EACCES (others may read the file: the key is not used), -EPROTO (not a key file),
 * or another negative errno of open, read or write. */
int rk_device_key_file(const char *path, uint8_t secret[RK_KEY_SIZE]);

/* A new secret key from the system's random numbers. Returns 0 or -EIO. */
int rk_device_key_generate(uint8_t secret[RK_KEY_SIZE]);

#ifdef __cplusplus
}
#endif

#endif
