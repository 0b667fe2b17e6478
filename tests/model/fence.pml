/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * INJECT_FENCE: a relation changes; the tables learn it through the TABLE ring and housekeeping, the users through the INJECT
 * ring of their worker. Control may be killed before any step; its successor does the change again (verdicts_changed is called also
 * when a request finds its work done).
 *
 * Holds: nobody hears of a change before it is in force. One exception is built in and excused here: a control that was killed while the
 * BARRIER still waited inside it for room in the TABLE ring; the worker gives up waiting for it after FENCE_WAIT_US.
 */
#ifndef CHANGES
#define CHANGES 3
#endif
#define ROOM 2
#define DEATHS 2

mtype = { SET, BARRIER, FENCE, FRAME };

/* Rings: single producer, single consumer, in order (ring.pml). The consumer acts on the front before it releases it. */
chan table = [ROOM] of { mtype, byte };
chan inject = [ROOM] of { mtype, byte };

byte stored;        /* what the database says */
byte in_force;      /* what the workers' tables say */
byte barrier;       /* struct ipc_header.barrier */
bool killed_behind; /* a BARRIER died with control, its FENCE did not */

active proctype control()
{
	byte change, deaths;
	/* backlog of the TABLE ring: INJECT cells need not wait for it */
	bool set_due, barrier_due;

end_idle:
	do
	:: stored < CHANGES && !set_due && !barrier_due ->
		stored++; /* store_commit */
again:
		change = stored;
#ifdef BROKEN_BARRIER_FIRST
		table!BARRIER, change;
		table!SET, change;
#else
		/* emit(): into the ring, or behind what waits already */
		if
		:: nfull(table) -> table!SET, change
		:: full(table) -> set_due = true
		fi;
		if
		:: !set_due && nfull(table) -> table!BARRIER, change
		:: set_due || full(table) -> barrier_due = true
		fi;
#endif
		if :: deaths < DEATHS -> goto died :: true fi;
#ifndef BROKEN_NO_FENCE
		inject!FENCE, change;
#endif
		if :: deaths < DEATHS -> goto died :: true fi;
		inject!FRAME, change;
		if :: deaths < DEATHS -> goto died :: true fi
	:: set_due && nfull(table) -> /* server_flush */
		table!SET, change;
		set_due = false
	:: !set_due && barrier_due && nfull(table) ->
		table!BARRIER, change;
		barrier_due = false
	od;
died:
	deaths++;
	if :: barrier_due -> killed_behind = true :: else fi;
	set_due = false;
	barrier_due = false;
	if
	:: goto again   /* the request comes again */
	:: goto end_idle /* or never: its client has gone */
	fi
}

active proctype housekeeping()
{
	mtype kind;
	byte value;

end_idle:
	do
	:: table?<kind, value> -> /* ring_front */
		if
		:: kind == SET -> in_force = value /* tables_apply */
		:: kind == BARRIER ->
#ifdef BROKEN_HOUSEKEEPING
			skip
#else
			barrier = value /* release */
#endif
		fi;
		table?kind, value /* ring_release */
#ifdef BROKEN_HOUSEKEEPING
	:: nempty(table) -> /* looks ahead: says so before it has applied what is in front */
		if :: table?[SET, _] && len(table) == ROOM -> barrier = stored :: else fi;
		table?<kind, value>;
		if :: kind == SET -> in_force = value :: else fi;
		table?kind, value
#endif
	od
}

active proctype worker()
{
	mtype kind;
	byte value;

end_idle:
	do
	:: inject?<kind, value> ->
		if
		:: kind == FENCE ->
			/* fence_open: acquire */
			if
			:: barrier >= value
			:: killed_behind /* FENCE_WAIT_US have passed */
			fi
		:: kind == FRAME ->
			/* a user hears; a later change may be in force already */
			assert(in_force >= value || killed_behind)
		fi;
		inject?kind, value
	od
}
