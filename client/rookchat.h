/* SPDX-License-Identifier: BSD-3-Clause */
/* rookchat: options, the session, the commands (rookchat.c); how it looks to people (rookchat_term.c) and to programs (rookchat_json.c). */
#ifndef ROOKERY_ROOKCHAT_H
#define ROOKERY_ROOKCHAT_H

#include <rookery/runtime.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum chat_exit {
	CHAT_EXIT_OK = 0,
	CHAT_EXIT_FAILURE = 1, /* this machine: state directory, memory */
	CHAT_EXIT_USAGE = 2,
	CHAT_EXIT_REFUSED = 3, /* the login was refused, or the server ended the session */
	CHAT_EXIT_UNREACHABLE = 4,
};

struct chat;

/* One way to look at a chat. */
struct chat_view {
	/* Before the login. Returns 0 or a negative errno. */
	int (*open)(struct chat *chat);
	void (*close)(struct chat *chat);
	/* After the login: input may be taken from standard input now. */
	void (*ready)(struct chat *chat);
	/* Standard input is readable: hand complete lines to chat_command. */
	void (*input)(struct chat *chat);
	void (*event)(struct chat *chat, const struct rk_event *e);
	/* A command could not be carried out. */
	void (*error)(struct chat *chat, const char *code, const char *text);
	/* NULL: no way to ask. Returns 0 with a password of at least one byte. */
	int (*ask_password)(struct chat *chat, const char *prompt, char *buf, size_t cap);
};

extern const struct chat_view chat_view_json;
extern const struct chat_view chat_view_term;

struct chat {
	const struct chat_view *view;
	void *view_state;
	struct rk_client *client;
	struct rk_runtime *runtime;
	struct rk_store *store;
	const char *server;
	const char *user;
	const char *password_file;
	bool register_user;
	uint8_t server_key[RK_KEY_SIZE];
	bool have_server_key;
	char state_dir[4096];
	bool logged_in;
	bool quitting;
	bool input_closed;
	uint64_t quit_us;   /* when it gives up to wait for receipts */
	uint64_t start_us;  /* of the present attempt to log in */
	int exit_code;      /* -1: goes on */
	int64_t *sent;      /* local ids of this run's messages, rising: seq is the index + 1 */
	size_t sent_count;
	size_t sent_cap;
};

/* Carries out one command line ("msg bob hello"). Unknown ones and wrong arguments go to view->error. */
void chat_command(struct chat *chat, const char *line);
/* Sends text to a user; what `msg` does. */
void chat_send(struct chat *chat, const char *to, const char *text);
void chat_quit(struct chat *chat);
/* Number of the message among this run's msg commands, from 1; 0: of an earlier run. */
size_t chat_seq(const struct chat *chat, int64_t local);
/* "2026-11-22T07:00:00.123Z" */
void chat_time_format(uint64_t ms, char *buf, size_t cap);

/* For help and completion: the table of commands ends with a NULL name. */
struct chat_command_info {
	const char *name;
	const char *arguments;
	const char *help;
	void (*run)(struct chat *chat, char *arguments);
};
extern const struct chat_command_info chat_commands[];

#endif
