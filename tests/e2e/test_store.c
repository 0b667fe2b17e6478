/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The store is not available: another process holds the database, or the disk is full. Who is online goes on chatting; a
 * message that would have to be stored is not confirmed until it can be.
 */
#include "client.h"
#include "scenario.h"
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define MANY 100
/* Messages without a final answer keep their records. With the table of the other tests a session's share is used up after some 140 of
 * them, and the rest waits. */
#define RECORDS 8192

struct people {
	struct client *alice, *bob, *carol; /* carol is away */
};

static void
gather(struct world *w, struct people *p, const struct server_settings *settings)
{
	server_start_with(w, settings);
	p->alice = client_register(w, "alice");
	p->bob = client_register(w, "bob");
	p->carol = client_register(w, "carol");
	clients_befriend(p->alice, p->bob);
	clients_befriend(p->alice, p->carol);
	client_quit(p->carol);
	client_expect(p->alice, "presence", "user", "carol", "status", "offline", NULL);
	/* The verdicts are known, so that the chat needs nothing of the store. */
	client_say(p->alice, "msg bob before");
	client_expect(p->bob, "message", "text", "before", NULL);
	client_say(p->bob, "msg alice before");
	client_expect(p->alice, "message", "text", "before", NULL);
	client_expect_levels(p->alice, 1, "delivered");
	client_expect_levels(p->bob, 1, "delivered");
}

static void
live_chat_goes_on(struct people *p, const char *prefix)
{
	client_send_series(p->alice, "bob", prefix, MANY);
	client_send_series(p->bob, "alice", prefix, MANY);
	client_expect_series(p->bob, "alice", prefix, MANY);
	client_expect_series(p->alice, "bob", prefix, MANY);
	client_expect_levels(p->bob, MANY, "delivered");
}

static void
wait_for_store(struct world *w, bool ok)
{
	uint64_t deadline = deadline_in(WAIT_EVENT);
	json_t *status;
	bool now;

	do {
		status = rookctl(w, "status");
		now = json_is_true(json_object_get(json_object_get(status, "store"), "ok"));
		json_decref(status);
		if (now == ok)
			return;
	} while (world_poll(w, deadline));
	world_fail(w, "the store is %sreported as available", now ? "" : "not ");
}

/* Alice writes to carol, who is away, while nothing can be stored. Returns the number of the message. */
static unsigned
write_to_carol(struct world *w, struct people *p)
{
	uint64_t before = counter(w, "messages_to_store");
	unsigned seq;

	client_say(p->alice, "msg carol for later");
	client_expect(p->alice, "receipt", "to", "carol", "level", "accepted", NULL);
	counter_reach(w, "messages_to_store", before + 1);
	seq = (unsigned)p->alice->sent_count;
	return seq;
}

static void
expect_not_stored(struct world *w, struct people *p, unsigned seq)
{
	if (strcmp(client_level(p->alice, seq), "accepted") != 0)
		world_fail(w, "the message is '%s' while nothing can be stored", client_level(p->alice, seq));
}

/* copies: how often it was written to carol, the last time with this number. */
static void
expect_stored_and_delivered(struct world *w, struct people *p, unsigned seq, unsigned copies)
{
	uint64_t deadline = deadline_in(WAIT_BULK);

	/* Its record was given up and the client began anew: carol must not come before it is stored. */
	while (strcmp(client_level(p->alice, seq), "stored") != 0)
		if (!world_pump(w, deadline))
			world_fail(w, "the message is '%s' though the store is back", client_level(p->alice, seq));
	wait_for_store(w, true);
	p->carol = client_login(w, "carol");
	for (unsigned i = 0; i < copies; i++)
		client_expect(p->carol, "message", "from", "alice", "text", "for later", "offline", "true", NULL);
	client_say(p->carol, "msg alice got it");
	client_expect(p->alice, "message", "text", "got it", NULL);
	world_check(w, client_count(p->carol, "message", NULL) == copies);
}

static void
database_locked(void **state)
{
	struct world *w = *state;
	struct people p;
	char path[160], *error = NULL;
	sqlite3 *db;
	unsigned seq;

	gather(w, &p, &(struct server_settings){.messages = RECORDS});
	snprintf(path, sizeof(path), "%s/rookery.db", w->server->state_dir);
	world_check(w, sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK);
	sqlite3_busy_timeout(db, 10000);
	if (sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, &error) != SQLITE_OK)
		world_fail(w, "cannot lock the database: %s", error);
	seq = write_to_carol(w, &p);
	live_chat_goes_on(&p, "while it is locked");
	wait_for_store(w, false);
	live_chat_goes_on(&p, "and still");
	expect_not_stored(w, &p, seq);
	world_check(w, sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL) == SQLITE_OK);
	sqlite3_close(db);
	expect_stored_and_delivered(w, &p, seq, 1);
	server_finish(w);
}

/* ---- disk full: needs root, for a small file system ---------------------------------- */

static int
fill(struct world *w, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	char block[4096] = {0};
	ssize_t n;

	if (fd < 0)
		world_fail(w, "%s: %s", path, strerror(errno));
	/* To the last byte. */
	for (size_t size = sizeof(block); size > 0; size /= 2)
		while ((n = write(fd, block, size)) > 0)
			;
	world_check(w, errno == ENOSPC);
	return fd;
}

static void
disk_full(void **state)
{
	struct world *w = *state;
	struct people p;
	char dir[128], path[160];
	unsigned seq, copies = 0;

	if (!have_root())
		skip();
	snprintf(dir, sizeof(dir), "%s/state", w->dir);
	/* The shared-memory rings stay elsewhere: sparse files on a full disk would be another test. */
	world_check(w, mount("none", dir, "tmpfs", 0, "size=8m,mode=0700,uid=65534,gid=65534") == 0);
	snprintf(path, sizeof(path), "runtime_dir: %s/home/run\n", w->dir);
	gather(w, &p, &(struct server_settings){.messages = RECORDS, .extra = path});
	snprintf(path, sizeof(path), "%s/filler", dir);
	close(fill(w, path));
	/* The log may have some room of its own: write until it has not. */
	do {
		seq = write_to_carol(w, &p);
		copies++;
		live_chat_goes_on(&p, "while it is full");
	} while (strcmp(client_level(p.alice, seq), "stored") == 0);
	wait_for_store(w, false);
	/* It may be stored by now: a checkpoint gives SQLite its log to write anew. What is confirmed must then be there. */
	live_chat_goes_on(&p, "and still");
	world_check(w, unlink(path) == 0);
	expect_stored_and_delivered(w, &p, seq, copies);
	server_finish(w);
}

int
main(void)
{
	static const struct scenario scenarios[] = {
		{"database locked", database_locked},
		{"disk full", disk_full},
	};
	static const struct scenario_list list = {scenarios, sizeof(scenarios) / sizeof(scenarios[0])};
	static const struct scenario_set sets[] = {{{.kind = KIND_SOCKET, .family = AF_INET}, &list}};

	return scenarios_run("store", sets, sizeof(sets) / sizeof(sets[0]));
}
