/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Deliberate mistakes, to see whether the simulation finds them (tests/sim/planted.sh, docs/simulation.md). Only a build with
 * -Dplanted=true has them; there `rooksim --plant NAME` chooses one. In every other build PLANTED() is the constant 0.
 */
#ifndef ROOKERY_SHARED_PLANT_H
#define ROOKERY_SHARED_PLANT_H

#define PLANTS(X) \
	X(early_receipt, "STORED is said before the commit") \
	X(commit_ignored, "a commit that failed is taken for a good one") \
	X(sent_is_delivered, "a stored message is removed when it is sent, not when it is acknowledged") \
	X(lost_inflight, "deliveries of a session that ends count as acknowledged") \
	X(copy_is_all, "the copy of one device counts as the answer of all") \
	X(no_dedup, "a retried MESSAGE makes a new record") \
	X(early_ack, "the client acknowledges before it shows") \
	X(no_high, "the client does not write down what it has shown") \
	X(no_order, "the client shows messages as they come") \
	X(replay_window, "the replay window lets the newest packet pass again") \
	X(nonce_reuse, "a provisioned session keeps its epoch after a restart") \
	X(session_again, "a session that has ended begins again when control repeats itself") \
	X(resume_nonce, "the server's nonce and the session id are not in the keys of a resumed session") \
	X(no_challenge, "a session moves to a new address without a challenge") \
	X(no_expiry, "a session that expires is not reported") \
	X(presence_lost, "a presence notification is lost when the ring is full") \
	X(unread, "what the store could not say of buddies at login is never told") \
	X(uncounted, "a packet dropped for its tag is not counted") \
	X(leak, "a packet dropped for its tag is not freed")

#define PLANT_ENUM(name, text) PLANT_##name,
enum plant { PLANT_none, PLANTS(PLANT_ENUM) };

#ifdef ROOKERY_PLANTED
/* rooksim has it; weak, so that the other programs of such a build link without. */
extern enum plant planted __attribute__((weak));
#define PLANTED(name) (&planted != 0 && planted == PLANT_##name)
#else
#define PLANTED(name) 0
#endif

#endif
