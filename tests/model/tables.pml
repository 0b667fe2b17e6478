/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The user table of dataplane/tables.c: one writer (housekeeping) replaces and deletes the entry of a user, a run in the pool of live
 * sessions; readers (workers) look it up and use it until their next quiescent state; an entry is used again once no reader can see it
 * (rte_rcu_qsbr).
 *
 * Each statement is one load or store, in the order of the code. The user's place in the table leads to an entry or to none; how that is read
 * and written in one piece is bucket.pml's.
 *
 * Holds: a reader never sees a freed or half-written entry, and the writer never runs out of entries while readers go on.
 */
#ifndef CHANGES
#define CHANGES 3
#endif
#define ENTRIES 3
#define READERS 2
#define NONE 255
#define OFFLINE 0

byte slot = NONE;          /* what the user's place in the table leads to */
byte head[ENTRIES];        /* two halves of an entry's version */
byte tail[ENTRIES];
bool freed[ENTRIES] = true; /* the truth: on the free list */
byte token = 1;            /* rte_rcu_qsbr.token */
byte count[READERS];       /* rte_rcu_qsbr.qsbr_cnt[].cnt; OFFLINE at first */

/* deferred: a queue of (token, entry) */
byte deferred_token[ENTRIES];
byte deferred_entry[ENTRIES];
byte deferred_count;

bool done;

inline reclaim()
{
	/* rte_rcu_qsbr_check of the oldest */
	do
	:: deferred_count > 0 ->
		i = 0;
		do
		:: i < READERS ->
			c = count[i]; /* acquire */
#ifdef BROKEN_CHECK
			/* a reader that has only seen an earlier token is let pass */
			if :: c != OFFLINE && c + 1 < deferred_token[0] -> break :: else -> i++ fi
#else
			if :: c != OFFLINE && c < deferred_token[0] -> break :: else -> i++ fi
#endif
		:: else -> break
		od;
		if
		:: i < READERS -> break /* one may still hold it */
		:: else ->
			d_step {
				freed[deferred_entry[0]] = true;
				i = 0;
				do
				:: i + 1 < deferred_count ->
					deferred_token[i] = deferred_token[i + 1];
					deferred_entry[i] = deferred_entry[i + 1];
					i++
				:: else -> break
				od;
				deferred_count--
			}
		fi
	:: else -> break
	od
}

/* defer(): rte_rcu_qsbr_start is an add with release */
inline defer(e)
{
#ifdef BROKEN_AT_ONCE
	freed[e] = true
#else
	token++;
	d_step {
#ifdef BROKEN_TOKEN
		deferred_token[deferred_count] = early;
#else
		deferred_token[deferred_count] = token;
#endif
		deferred_entry[deferred_count] = e;
		deferred_count++
	}
#endif
}

active proctype housekeeping()
{
	byte change, e, old, i, c;
#ifdef BROKEN_TOKEN
	byte early;
#endif

	do
	:: change < CHANGES ->
		change++;
#ifdef BROKEN_TOKEN
		/* the token is taken before the entry has left the table */
		token++;
		early = token;
#endif
		if
		:: true -> /* user_set: a run of the pool */
			reclaim();
			e = 0;
			do :: e < ENTRIES && !freed[e] -> e++ :: else -> break od;
			if
			:: e == ENTRIES -> /* stalled readers: the user counts as away */
				old = slot;
				slot = NONE;
				if :: old != NONE -> defer(old) :: else fi
			:: else ->
				freed[e] = false;
				old = slot; /* lookup */
#ifdef BROKEN_FILL
				slot = e;
				head[e] = change;
				tail[e] = change;
#else
				head[e] = change;
				tail[e] = change;
				slot = e; /* cuckoo_set: release */
#endif
				if :: old != NONE -> defer(old) :: else fi
			fi
		:: slot != NONE -> /* user_del */
			old = slot;
			slot = NONE; /* cuckoo_del */
			defer(old)
		fi;
		reclaim() /* tables_reclaim, once per poll */
	:: else -> break
	od;
	done = true
}

active [READERS] proctype worker()
{
	byte e, h, me = _pid - 1;
	bool online = false;

	/* tables_reader_online: its count is the present token, and the fence keeps lookups behind it. */
	do
	:: !done && !online ->
		h = token;
		count[me] = h;
		online = true
	:: !done && online -> /* an iteration */
#ifdef BROKEN_OFFLINE
		count[me] = OFFLINE;
#endif
		e = slot; /* tables_user */
		if
		:: e != NONE ->
			assert(!freed[e]);
			h = head[e];
			assert(!freed[e]);
			assert(h == tail[e] && h != 0)
		:: else
		fi;
		if
		:: h = token; count[me] = h /* tables_reader_quiescent: acquire, release */
		:: count[me] = OFFLINE; online = false /* it sleeps: tables_reader_offline */
		:: true /* another lookup in the same iteration */
		fi
	:: done -> break
	od;
	count[me] = OFFLINE
}
