/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Provisioning: a new dataplane gets all sessions from control, with a new epoch; control may be killed before any step, and so may the
 * dataplane. Sessions end in the worker at any time.
 *
 * Holds: no session's keys of one epoch are begun with twice (nonces would repeat); and when the server's key is published, which
 * says that an unknown session is gone, each session of the database is or was there.
 */
#ifndef SESSIONS
#define SESSIONS 2
#endif
#define BOOTS 2
#define DEATHS 2
#define ROOM 2
#define NONE 255

/* the region of a boot */
typedef region {
	bool key_set;            /* ipc_header.server_key_set */
	bool live[SESSIONS];     /* the worker's */
	byte ended[SESSIONS];    /* epoch of the last session with this id that ended here; 0: none */
	bool known[SESSIONS];    /* the truth: was added */
};
region shm[BOOTS];
byte present = NONE;       /* boot */

/* INJECT ring of that region: (session, epoch); a new region has an empty one */
chan inject = [ROOM] of { byte, byte };

/* the database */
byte db_boot = NONE;
byte db_instance;

/* the truth: with which epochs a session's keys were begun */
typedef begun { bool epoch[BOOTS + DEATHS + 3] };
begun used[SESSIONS];

active proctype control()
{
	byte boot, next, deaths;

start:
end_waiting:
	present != NONE;
	boot = present;
	/* server_attach */
	if
	:: boot != db_boot -> d_step { db_boot = boot; db_instance++ } /* instance_next: committed first */
#ifdef BROKEN_REST
	:: else -> goto all_sent /* "the dataplane is the same as before" */
#else
	:: boot == db_boot && shm[boot].key_set -> goto provisioned
	:: else /* the one before did not finish: server_provision_rest */
#endif
	fi;
	if :: deaths < DEATHS -> goto died :: true fi;
	next = 0;
	do
	:: present != boot -> goto start /* another dataplane: rings_abandon */
	:: present == boot && next < SESSIONS && nfull(inject) ->
		atomic { present == boot -> inject!next, db_instance };
		next++;
		if :: deaths < DEATHS -> goto died :: true fi
	:: present == boot && next == SESSIONS -> break
	od;
#ifdef BROKEN_REST
all_sent:
#endif
	/* rings_ready */
	shm[boot].key_set = true;
provisioned:
end_ready:
	if
	:: present != boot -> goto start
	:: deaths < DEATHS -> goto died
	fi;
died:
	deaths++;
	goto start
}

active proctype dataplane()
{
	byte boot = 0, s, epoch;

start:
	atomic {
		do :: inject?_, _ :: empty(inject) -> break od;
		present = boot
	}
end_running:
	do
	:: inject?<s, epoch> ->
		/* session_add */
		if
		:: shm[boot].live[s] /* said twice */
#ifndef BROKEN_ENDED
		:: !shm[boot].live[s] && shm[boot].ended[s] == epoch /* it has ended here: SESSION_REFUSED */
		:: !shm[boot].live[s] && shm[boot].ended[s] != epoch ->
#else
		:: !shm[boot].live[s] ->
#endif
			shm[boot].live[s] = true;
			shm[boot].known[s] = true;
			assert(!used[s].epoch[epoch]);
			used[s].epoch[epoch] = true
		fi;
		inject?s, epoch
	:: true -> /* a session ends: time-out or CLOSE */
		s = 0;
		do :: s + 1 < SESSIONS -> s++ :: true -> break od;
		skip;
		d_step {
			if
			:: shm[boot].live[s] -> shm[boot].live[s] = false; shm[boot].ended[s] = db_instance
			:: else
			fi
		}
	:: empty(inject) && shm[boot].key_set -> /* worker.provisioned: RESETs may be sent */
		s = 0;
		do :: s < SESSIONS -> assert(shm[boot].known[s]); s++ :: else -> break od;
		skip
	:: boot + 1 < BOOTS -> break /* killed */
	od;
	boot++;
	goto start
}
