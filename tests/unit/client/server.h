/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A small server for the client's tests: login, accounts, relay, store, in virtual time and in one object. It
 * speaks the real protocol through shared/; what it does is written from docs/protocol.md, not from the
 * client.
 */
#ifndef ROOKERY_TESTS_CLIENT_SERVER_H
#define ROOKERY_TESTS_CLIENT_SERVER_H

#include "shared/handshake.h"
#include "shared/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct server;

typedef void (*server_send_fn)(void *arg, const struct endpoint *to, const uint8_t *data, size_t len);

struct server *server_new(server_send_fn send, void *arg);
void server_free(struct server *s);
const struct handshake_keypair *server_keypair(const struct server *s);
void server_input(struct server *s, uint64_t now_us, const struct endpoint *from, const uint8_t *data,
		  size_t len);
void server_tick(struct server *s, uint64_t now_us);
uint64_t server_deadline(const struct server *s);

/* Switches for tests. */
void server_new_key(struct server *s);               /* another key pair, as after a lost state directory */
void server_demand_cookie(struct server *s, bool on);
void server_cookie_wait(struct server *s, uint32_t ms); /* every LOGIN: come again in so long; 0: no more */
void server_slow_requests(struct server *s, unsigned times, uint32_t retry_ms); /* the next REQUESTs: SLOW_DOWN */
unsigned server_slow_requests_left(const struct server *s);
void server_other_version(struct server *s, bool on); /* answers everything with VERSION_REPLY */
void server_silent(struct server *s, bool on);       /* nothing in, nothing out */
void server_restart_dataplane(struct server *s);     /* records and in-flight lost, epoch + 1 */
void server_forget_sessions(struct server *s);       /* all expired unnoticed: RESET to whoever speaks */
void server_kick(struct server *s, const char *user, uint8_t reason);
/* REFUSE_NONE: allow again. */
void server_refuse(struct server *s, const char *from, const char *to, uint8_t reason);
void server_refuse_once(struct server *s, unsigned nth); /* the nth new MESSAGE from now on: not_buddies */
void server_slow_down(struct server *s, unsigned every); /* every so many new MESSAGEs: slow_down; 0: never */
void server_records(struct server *s, size_t most);  /* MESSAGEs that a session has unconfirmed; beyond: slow_down. 0: any number */
void server_page(struct server *s, unsigned buddies); /* list_buddies: so many per page */
void server_lose_last(struct server *s, bool on);    /* no LOGIN_REPLY leaves */
void server_busy(struct server *s, unsigned times);  /* LOGIN_BUSY so often */

unsigned server_logins(const struct server *s);      /* LOGIN_OK and LOGIN_RESTRICTED given */
unsigned server_cookies(const struct server *s);
size_t server_waiting(const struct server *s, const char *user); /* stored messages of all devices */
size_t server_accounts(const struct server *s);
/* A datagram that the server would send to that user's newest session: frames sealed, not sent. Returns its
 * length. */
size_t server_seal(struct server *s, const char *user, const uint8_t *frames, size_t len, uint8_t *out);
size_t server_records_held(const struct server *s, const char *user); /* of that user's newest session */
session_id_t server_session(const struct server *s, const char *user);
device_id_t server_device(const struct server *s, const char *user);

#endif
