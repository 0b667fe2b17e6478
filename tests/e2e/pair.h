/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two clients of librookery in a thread of the test: one sends to the other all the time, and what is missed is measured: how long the
 * recipient got nothing. For interruptions that are shorter than what a test sees through the pipes of rookchat.
 */
#ifndef ROOKERY_TESTS_E2E_PAIR_H
#define ROOKERY_TESTS_E2E_PAIR_H

#include "world.h"

struct pair;

/* Registers two users and makes them buddies; returns when messages arrive, one each interval_ms. */
struct pair *pair_start(struct world *w, unsigned interval_ms);

/* Forgets the interruptions so far. */
void pair_begin(struct pair *p);
/* Waits until the recipient has got `count` messages that were sent after this call. */
void pair_expect(struct pair *p, unsigned count);
/* The longest time without a message since pair_begin, in microseconds. */
uint64_t pair_longest_us(struct pair *p);
/* Logins of both since the start; 2 unless somebody had to log in again. */
unsigned pair_logins(struct pair *p);

/* Stops sending, waits until every message has been shown and confirmed as delivered or stored; fails unless each was shown once and in
 * order. Returns how many there were. */
unsigned pair_finish(struct pair *p);

#endif
