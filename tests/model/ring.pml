/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A ring of shared/ipc.c from a worker to control (EVENT), either of which may be killed before any step and starts again.
 *
 * Each statement is one load or store, in the order of the code. A release store is modelled by its place: the stores
 * before it have happened. The variants put it elsewhere, which is what a compiler or a processor may do without it.
 *
 * Holds: control sees whole cells, in order, none left out; within a life of control none twice; and when all
 * is quiet, everything that was published is committed, unless control died after the dataplane had been replaced
 * (then it never saw the old region; nobody had been told of anything in it).
 */
#ifndef MESSAGES
#define MESSAGES 4    /* per life of the dataplane */
#endif
#define CELLS 4       /* capacity 3 */
#define MASK 3
#define INDEXES 8     /* the 32 bits of the code, to have them wrap */
#define FIRST 6
#define BOOTS 2
#define CONTROL_DEATHS 1
#define BATCH 2
#define NONE 255

typedef region {
	byte published; /* struct cell_ring_shared */
	byte released;
	byte head[CELLS]; /* two halves of a cell, to see a torn one */
	byte tail[CELLS];
};

region shm[BOOTS];
byte path = NONE;     /* where the name of the file leads */
byte deaths;          /* of control */
bool stopped;         /* the dataplane was not started again */

/* What nobody in the system has: the truth. */
typedef truth {
	byte published;          /* messages */
	bool committed[MESSAGES + 1];
	byte in_life[MESSAGES + 1]; /* of control, +1 */
	bool unseen;             /* control died while this region was replaced */
};
truth boots[BOOTS];

#define DISTANCE(to, from) (((to) + INDEXES - (from)) % INDEXES)
#define MAY_DIE(label) if :: true :: goto label fi

active proctype dataplane()
{
	byte boot = 0, message, published, released;

start:
	/* ipc_new: made under another name, filled, then renamed: what has the name is whole. */
	shm[boot].published = FIRST;
	shm[boot].released = FIRST;
	path = boot;
	message = 1;
	do
	:: message <= MESSAGES ->
		/* ring_reserve */
		published = shm[boot].published;
		released = shm[boot].released; /* acquire */
#ifdef BROKEN_FULL
		if
		:: DISTANCE(published, released) > MASK -> MAY_DIE(died)
#else
		if
		:: DISTANCE(published, released) >= MASK ->
			/* Full: the worker keeps the message. */
			DISTANCE(published, shm[boot].released) < MASK;
#endif
		:: else ->
			MAY_DIE(died);
#ifdef BROKEN_PUBLISH
			/* ring_publish without release: its store overtakes that of the cell. */
			shm[boot].head[published % CELLS] = message;
			d_step { shm[boot].published = (published + 1) % INDEXES; boots[boot].published = message }
			shm[boot].tail[published % CELLS] = message;
#else
			shm[boot].head[published % CELLS] = message;
			MAY_DIE(died);
			shm[boot].tail[published % CELLS] = message;
			MAY_DIE(died);
			/* ring_publish: release */
			d_step { shm[boot].published = (published + 1) % INDEXES; boots[boot].published = message }
#endif
			atomic { message++; published = 0; released = 0 }
			MAY_DIE(died)
		fi
	:: else -> break
	od;
	goto end_stopped;
died:
	boot++;
	if
	:: boot < BOOTS -> goto start
	:: else
	fi;
end_stopped:
	stopped = true
}

#define DIES if :: deaths < CONTROL_DEATHS -> goto died :: true fi

active proctype control()
{
	byte joined = NONE, life = 0, n, used, published, released, i;
	byte batch[BATCH];

start:
	/* rings_join */
end_waiting:
	path != NONE;
	d_step {
		joined = path;
		i = 0;
		do :: i < joined -> boots[i].unseen = true; i++ :: else -> break od;
		i = 0
	}
end_idle:
	do
	/* What a loop leaves behind in its variables is forgotten, or each would count as another state. */
	:: joined != path && shm[joined].published == shm[joined].released ->
		/* rings_abandon has drained what the last dataplane left */
		joined = path
	:: shm[joined].published != shm[joined].released ->
		/* rings_drain: ring_used and ring_peek */
		released = shm[joined].released;
		published = shm[joined].published; /* acquire */
		used = DISTANCE(published, released);
		assert(used <= MASK);
		n = 0;
#ifdef BROKEN_RELEASE
		/* ring_release_n without release: overtakes the reading of the cells. */
		shm[joined].released = (released + 1) % INDEXES;
		used = 1;
#endif
		do
		:: n < used && n < BATCH ->
			/* cell_copy */
			batch[n] = shm[joined].head[(released + n) % CELLS];
			assert(batch[n] == shm[joined].tail[(released + n) % CELLS]); /* whole */
			assert(batch[n] == DISTANCE(released, FIRST) + n + 1);       /* in order, none left out */
			n++
		:: else -> break
		od;
		DIES;
#ifdef BROKEN_ORDER
		/* Released before it is committed. */
		shm[joined].released = (released + n) % INDEXES;
		DIES;
#endif
		/* store_commit: all or nothing */
		d_step {
			i = 0;
			do
			:: i < n ->
				assert(boots[joined].in_life[batch[i]] != life + 1); /* not twice */
				boots[joined].in_life[batch[i]] = life + 1;
				boots[joined].committed[batch[i]] = true;
				i++
			:: else -> break
			od;
			i = 0
		}
		DIES;
#if !defined(BROKEN_ORDER) && !defined(BROKEN_RELEASE)
		/* ring_release_n: release */
		shm[joined].released = (released + n) % INDEXES;
		DIES;
#endif
		atomic { n = 0; used = 0; published = 0; released = 0; batch[0] = 0; batch[1] = 0 }
	od;
died:
	atomic { deaths++; life++; n = 0; used = 0; published = 0; released = 0; batch[0] = 0; batch[1] = 0 }
	goto start
}

/* When nothing moves any more. */
active proctype judge()
{
	byte b, m;

end_judge:
	timeout;
	assert(stopped);
	b = 0;
	do
	:: b < BOOTS ->
		m = 1;
		do
		:: m <= boots[b].published -> assert(boots[b].committed[m] || boots[b].unseen); m++
		:: else -> break
		od;
		b++
	:: else -> break
	od
}
