// SPDX-License-Identifier: BSD-3-Clause
/* The embedded default's kind of port: a UDP socket, without any right. And rookchat as a person sees it, on a terminal. */
#include "scenario.h"

#include "client.h"
#include "server.h"

#include <string.h>
#include <sys/socket.h>

/* Waits until it has printed this behind `from`; returns what follows. */
static size_t
shown(struct process *p, size_t from, const char *text)
{
	uint64_t deadline = deadline_in(WAIT_EVENT);
	const char *at;

	while (!p->output || p->output_len < from || !(at = strstr(p->output + from, text)))
		if (!world_pump(p->world, deadline))
			world_fail(p->world, "rookchat shows no '%s' but: %s", text, p->output ? p->output : "");
	return (size_t)(at - p->output) + strlen(text);
}

static void
terminal(void **state)
{
	struct world *w = *state;
	char command[2400];
	struct process *p;
	size_t at;

	server_start(w);
	client_quit(client_register(w, "alice")); /* has a key and knows the server's from now on */
	/* Two words are lost at the end, by libedit: the names that EL_ADDFN was given. */
	snprintf(command, sizeof(command),
		 "export TERM=dumb ASAN_OPTIONS=detect_leaks=0; exec '%s/rookchat' --server '%s' --user alice --state '%s/clients/alice'",
		 w->bin, world_server_address(w), w->dir);
	p = process_start(w, &(struct process_options){
				     .name = "terminal", .argv = (const char *const[]){"/usr/bin/script", "-qec", command, "/dev/null", NULL}});
	at = shown(p, 0, "No buddies yet");
	at = shown(p, at, "alice> ");
	process_write(p, "hello\r");
	at = shown(p, at, "To whom?");
	at = shown(p, at, "alice> ");
	process_write(p, "/quit\r");
	world_check(w, process_wait(p, WAIT_EVENT) == 0);
	at = shown(p, at, "/quit");
	/* Nobody is asked any more. */
	if (strstr(p->output + at, "alice> "))
		world_fail(w, "after /quit: '%s'", p->output + at);
	server_finish(w);
}

int
main(void)
{
	static const struct scenario people[] = {{"rookchat on a terminal", terminal}};
	static const struct scenario_list list = {people, sizeof(people) / sizeof(people[0])};
	static const struct scenario_set sets[] = {
		{{.kind = KIND_SOCKET, .family = AF_INET}, &list},
		{{.kind = KIND_SOCKET, .family = AF_INET}, &scenario_chat},
		{{.kind = KIND_SOCKET, .family = AF_INET}, &scenario_roaming},
		{{.kind = KIND_SOCKET, .family = AF_INET6}, &scenario_chat},
		{{.kind = KIND_SOCKET, .family = AF_INET6}, &scenario_roaming},
	};

	return scenarios_run("socket", sets, sizeof(sets) / sizeof(sets[0]));
}
