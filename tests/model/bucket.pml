/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A key in its two buckets (dataplane/cuckoo.h): the writer replaces its value, moves it from one bucket to the other, and puts another key
 * where it was; a reader (they know nothing of each other) looks it up meanwhile. A value is two words, equal ones; a bucket has one place.
 *
 * Each statement is one load or store, in the order of the code (which makes all stores releases and all loads acquires).
 *
 * Holds: the key, which is never deleted, is always found, with both words of one value, and never an older one after a newer one.
 */
#ifndef CHANGES
#define CHANGES 4
#endif
#define KEY 1
#define OTHER 2

byte version[2];
byte key[2], low[2], high[2];
byte before_key, before_low, before_high; /* of the bucket that is being written */
bool done;

inline write(b, k, value)
{
#ifndef BROKEN_BEFORE
	before_key = key[b];
	before_low = low[b];
	before_high = high[b];
#endif
	version[b] = version[b] + 1;
	key[b] = k;
	low[b] = value;
	high[b] = value;
#ifdef BROKEN_BEFORE
	/* kept only once it is needed */
	before_key = key[b];
	before_low = low[b];
	before_high = high[b];
#endif
	version[b] = version[b] + 1
}

active proctype writer()
{
	byte change, at = 1, now = 1;

	d_step { key[1] = KEY; low[1] = 1; high[1] = 1 }
	do
	:: change < CHANGES ->
		change++;
		if
		:: true ->
			now++;
			write(at, KEY, now)
		:: key[1 - at] == 0 ->
#ifdef BROKEN_MOVE
			write(at, 0, 0);
			write(1 - at, KEY, now);
#else
			write(1 - at, KEY, now);
			write(at, 0, 0);
#endif
			at = 1 - at
		:: key[1 - at] == 0 -> write(1 - at, OTHER, 100)
		:: key[1 - at] == OTHER -> write(1 - at, 0, 0)
		fi
	:: else -> break
	od;
	done = true
}

/* cuckoo_look: found, l, h and v */
inline look(b)
{
	do
	:: v = version[b];
		if
		:: v & 1 ->
			found = (before_key == KEY);
			if :: found -> l = before_low; h = before_high :: else fi
		:: else ->
			found = (key[b] == KEY);
			if :: found -> l = low[b]; h = high[b] :: else fi
		fi;
#ifdef BROKEN_VERSION
		break
#else
		if :: version[b] == v -> break :: else fi
#endif
	od
}

active proctype reader()
{
	byte v, first, l, h, last;
	bool found;

	key[0] + key[1] != 0; /* it was put there before */
	do
	:: !done ->
		/* cuckoo_find */
		do
		:: look(0);
			first = v;
			if :: found -> break :: else fi;
			look(1);
			if :: found -> break :: else fi;
#ifdef BROKEN_MISS
			break
#else
			if :: version[0] == first -> break :: else fi
#endif
		od;
		assert(found);
		assert(l == h && l != 0);
		assert(l >= last);
		last = l
	:: done -> break
	od
}
