/* SPDX-License-Identifier: BSD-3-Clause */
#include "client.h"

#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void *
must(void *p)
{
	if (!p)
		abort();
	return p;
}

static const char *
text_of(const json_t *event, const char *key)
{
	const char *s = json_string_value(json_object_get(event, key));

	return s ? s : "";
}

/* ---- what is checked on every event ------------------------------------------------- */

/* How far a receipt goes; an answer may only ever be replaced by one further on. */
static int
level_rank(const char *level)
{
	static const char *const order[] = {"accepted", "stored", "delivered"};

	for (int i = 0; i < 3; i++)
		if (strcmp(level, order[i]) == 0)
			return i + 1;
	return 0;
}

static void
note_level(struct client *c, const char *id, const char *level)
{
	const char *before = text_of(c->levels, id);

	/* G2: never failed and delivered; never delivered and then merely stored. ACCEPTED is no answer yet: a refusal may follow it when the
	 * account was deleted or the sender blocked in this moment. */
	if (before[0] && (level_rank(level) == 0) != (level_rank(before) == 0) && strcmp(before, "accepted") != 0)
		world_fault(c->world, "%s: message %s is '%s' after it was '%s'", c->user, id, level, before);
	if (level_rank(level) != 0 && level_rank(level) < level_rank(before))
		world_fault(c->world, "%s: message %s falls back from '%s' to '%s'", c->user, id, before, level);
	json_object_set_new(c->levels, id, json_string(level));
}

static void
note_message(struct client *c, const json_t *event)
{
	char key[128];

	/* A device's ids are its own: two devices of one user may use the same id, so the text is part of the key. */
	snprintf(key, sizeof(key), "%s %s %.60s", text_of(event, "from"), text_of(event, "id"), text_of(event, "text"));
	if (json_object_get(c->shown, key))
		world_fault(c->world, "%s: shown twice: %s", c->user, key);
	json_object_set_new(c->shown, key, json_true());
}

/* The message that this run's msg command `seq` made; a text that was refused at once has no id, so it gets one here. */
static const char *
note_seq(struct client *c, const json_t *event)
{
	size_t seq = (size_t)json_integer_value(json_object_get(event, "seq"));
	const char *id = text_of(event, "id");
	char made_up[32];

	if (seq == 0)
		return id;
	while (c->sent_count < seq) {
		if (c->sent_count == c->sent_cap) {
			c->sent_cap = c->sent_cap ? c->sent_cap * 2 : 64;
			c->sent = must(realloc(c->sent, c->sent_cap * sizeof(*c->sent)));
		}
		c->sent[c->sent_count++] = NULL;
	}
	snprintf(made_up, sizeof(made_up), "no id, seq %zu", seq);
	if (!c->sent[seq - 1])
		c->sent[seq - 1] = must(strdup(id[0] ? id : made_up));
	else if (id[0] && strcmp(c->sent[seq - 1], id) != 0)
		world_fault(c->world, "%s: message %zu was %s and is now %s", c->user, seq, c->sent[seq - 1], id);
	return c->sent[seq - 1];
}

static void
take_line(struct process *p, char *line)
{
	struct client *c = p->user;
	json_error_t error;
	json_t *event = json_loads(line, 0, &error);
	const char *kind = text_of(event, "event");
	char refused[64];

	if (!kind[0]) {
		world_fault(c->world, "%s: not an event: %s (%s)", c->user, line, error.text);
		json_decref(event);
		return;
	}
	if (c->event_count == c->event_cap) {
		c->event_cap = c->event_cap ? c->event_cap * 2 : 256;
		c->events = must(realloc(c->events, c->event_cap * sizeof(*c->events)));
	}
	c->events[c->event_count++] = (struct event){.json = event};
	if (strcmp(kind, "sent") == 0) {
		note_seq(c, event);
	} else if (strcmp(kind, "message") == 0) {
		note_message(c, event);
	} else if (strcmp(kind, "receipt") == 0) {
		note_level(c, note_seq(c, event), text_of(event, "level"));
	} else if (strcmp(kind, "refused") == 0 && strcmp(text_of(event, "reason"), "slow_down") != 0) {
		snprintf(refused, sizeof(refused), "refused: %s", text_of(event, "reason"));
		note_level(c, note_seq(c, event), refused);
	}
}

/* ---- start -------------------------------------------------------------------------- */

static void
make_password_file(struct world *w, const struct client_options *o, char *path, size_t cap)
{
	FILE *f;

	snprintf(path, cap, "%s/clients/%s.password%u", w->dir, o->device ? o->device : o->user, w->servers);
	unlink(path);
	f = must(fopen(path, "w"));
	if (o->password)
		fprintf(f, "%s\n", o->password);
	else
		fprintf(f, "secret of %s\n", o->user);
	fclose(f);
	if (chmod(path, 0600) != 0 || (have_root() && chown(path, WORLD_NOBODY, WORLD_NOBODY) != 0))
		abort();
}

struct client *
client_start(struct world *w, const struct client_options *o)
{
	struct client *c = must(calloc(1, sizeof(*c)));
	char state[160], password[160];
	const char *argv[16] = {"rookchat", "--server", o->server ? o->server : world_server_address(w), "--user", o->user,
				"--state", state, "--password-file", password, "--json"};

	snprintf(state, sizeof(state), "%s/clients/%s", w->dir, o->device ? o->device : o->user);
	make_password_file(w, o, password, sizeof(password));
	if (o->register_user)
		argv[10] = "--register";
	c->world = w;
	c->levels = must(json_object());
	c->shown = must(json_object());
	snprintf(c->user, sizeof(c->user), "%s", o->user);
	c->process = process_start(w, &(struct process_options){.name = o->device ? o->device : o->user, .argv = argv,
								.netns = w->client_ns, .line = take_line, .user = c});
	c->next = w->clients;
	w->clients = c;
	return c;
}

struct client *
client_register(struct world *w, const char *user)
{
	struct client *c = client_start(w, &(struct client_options){.user = user, .register_user = true});

	client_expect(c, "login", "user", user, NULL);
	return c;
}

struct client *
client_login(struct world *w, const char *user)
{
	struct client *c = client_start(w, &(struct client_options){.user = user});

	client_expect(c, "login", "user", user, NULL);
	return c;
}

void
client_say(struct client *c, const char *format, ...)
{
	char *line;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&line, format, ap) < 0)
		abort();
	va_end(ap);
	c->said += strncmp(line, "msg ", 4) == 0;
	line = must(realloc(line, strlen(line) + 2));
	strcat(line, "\n");
	process_write(c->process, line);
	free(line);
}

/* ---- expectations ------------------------------------------------------------------- */

static bool
value_is(const json_t *v, const char *want)
{
	char number[32];

	if (json_is_string(v))
		return strcmp(json_string_value(v), want) == 0;
	if (json_is_boolean(v))
		return strcmp(json_is_true(v) ? "true" : "false", want) == 0;
	if (!json_is_integer(v))
		return false;
	snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(v));
	return strcmp(number, want) == 0;
}

static bool
event_is(const json_t *event, const char *kind, va_list pairs)
{
	const char *key;
	bool match = strcmp(text_of(event, "event"), kind) == 0;
	va_list ap;

	va_copy(ap, pairs);
	while (match && (key = va_arg(ap, const char *)))
		match = value_is(json_object_get(event, key), va_arg(ap, const char *));
	va_end(ap);
	return match;
}

static void
describe(char *buf, size_t cap, const char *kind, va_list pairs)
{
	const char *key;
	size_t used = (size_t)snprintf(buf, cap, "%s", kind);
	va_list ap;

	va_copy(ap, pairs);
	while ((key = va_arg(ap, const char *)) && used < cap)
		used += (size_t)snprintf(buf + used, cap - used, " %s=%s", key, va_arg(ap, const char *));
	va_end(ap);
}

static struct event *
find_event(struct client *c, size_t from, const char *kind, va_list pairs)
{
	for (size_t i = from; i < c->event_count; i++)
		if (!c->events[i].taken && event_is(c->events[i].json, kind, pairs))
			return &c->events[i];
	return NULL;
}

json_t *
client_expect(struct client *c, const char *kind, ...)
{
	uint64_t deadline = deadline_in(WAIT_EVENT);
	struct event *e;
	char what[512];
	size_t seen = 0;
	va_list ap;

	va_start(ap, kind);
	while (!(e = find_event(c, seen, kind, ap))) {
		bool ended = c->process->exited && c->process->out < 0;

		seen = c->event_count;
		if (ended || !world_pump(c->world, deadline)) {
			describe(what, sizeof(what), kind, ap);
			world_fail(c->world, "%s%s, waiting for: %s", c->user, ended ? " ended" : "", what);
		}
	}
	va_end(ap);
	e->taken = true;
	return e->json;
}

bool
client_has(struct client *c, const char *kind, ...)
{
	va_list ap;
	bool found;

	va_start(ap, kind);
	found = find_event(c, 0, kind, ap) != NULL;
	va_end(ap);
	return found;
}

unsigned
client_count(struct client *c, const char *kind, ...)
{
	unsigned n = 0;
	va_list ap;

	va_start(ap, kind);
	for (size_t i = 0; i < c->event_count; i++)
		n += event_is(c->events[i].json, kind, ap);
	va_end(ap);
	return n;
}

void
client_forget(struct client *c)
{
	for (size_t i = 0; i < c->event_count; i++)
		c->events[i].taken = true;
}

/* ---- series ------------------------------------------------------------------------- */

void
client_send_series(struct client *c, const char *to, const char *prefix, unsigned count)
{
	for (unsigned i = 1; i <= count; i++)
		client_say(c, "msg %s %s %u of %u", to, prefix, i, count);
}

void
client_expect_series(struct client *c, const char *from, const char *prefix, unsigned count)
{
	uint64_t deadline = deadline_in(WAIT_BULK);
	unsigned next = 1;
	size_t seen = 0, prefix_len = strlen(prefix);

	while (next <= count) {
		for (; seen < c->event_count; seen++) {
			const json_t *e = c->events[seen].json;
			const char *text = text_of(e, "text");
			unsigned number;

			if (c->events[seen].taken || strcmp(text_of(e, "event"), "message") != 0 ||
			    strcmp(text_of(e, "from"), from) != 0 || strncmp(text, prefix, prefix_len) != 0 ||
			    sscanf(text + prefix_len, " %u of", &number) != 1)
				continue;
			if (number != next)
				world_fail(c->world, "%s: from %s '%s' %u of %u came when %u was due", c->user, from, prefix,
					   number, count, next);
			c->events[seen].taken = true;
			next++;
		}
		if (next <= count && !world_pump(c->world, deadline))
			world_fail(c->world, "%s: %u of %u messages '%s' came from %s", c->user, next - 1, count, prefix, from);
	}
}

const char *
client_level(struct client *c, unsigned seq)
{
	return seq >= 1 && seq <= c->sent_count && c->sent[seq - 1] ? text_of(c->levels, c->sent[seq - 1]) : "";
}

/* A message may be reported as stored and later as delivered: delivered is also enough for "stored". */
static bool
reached(const char *level, const char *wanted)
{
	return level_rank(wanted) ? level_rank(level) >= level_rank(wanted) : strcmp(level, wanted) == 0;
}

void
client_expect_levels(struct client *c, unsigned count, const char *level)
{
	uint64_t deadline = deadline_in(WAIT_BULK);
	unsigned seq;

	/* All of them have their number once the client has read its commands. */
	while (c->sent_count < c->said)
		if (!world_pump(c->world, deadline))
			world_fail(c->world, "%s: does not take its commands", c->user);
	for (seq = (unsigned)c->sent_count - count + 1; seq <= c->sent_count; seq++)
		while (!reached(client_level(c, seq), level))
			if (!world_pump(c->world, deadline))
				world_fail(c->world, "%s: message %u is '%s', not '%s'", c->user, seq, client_level(c, seq), level);
}

/* ---- end ---------------------------------------------------------------------------- */

void
client_expect_exit(struct client *c, int code)
{
	int status = process_wait(c->process, WAIT_EVENT);

	if (status != code)
		world_fail(c->world, "%s left with %d, not %d", c->user, status, code);
}

void
client_quit(struct client *c)
{
	client_say(c, "quit");
	client_expect_exit(c, 0);
}

void
client_kill(struct client *c)
{
	kill(c->process->pid, SIGKILL);
	client_expect_exit(c, 128 + SIGKILL);
}

void
clients_befriend(struct client *a, struct client *b)
{
	client_say(a, "add %s hello from %s", b->user, a->user);
	client_expect(b, "buddy_request", "from", a->user, NULL);
	client_say(b, "accept %s", a->user);
	client_expect(a, "buddy", "user", b->user, "state", "accepted", NULL);
	client_expect(a, "presence", "user", b->user, "status", "online", NULL);
	client_expect(b, "presence", "user", a->user, "status", "online", NULL);
}

void
clients_free(struct world *w)
{
	struct client *next;

	for (struct client *c = w->clients; c; c = next) {
		next = c->next;
		for (size_t i = 0; i < c->event_count; i++)
			json_decref(c->events[i].json);
		for (size_t i = 0; i < c->sent_count; i++)
			free(c->sent[i]);
		free(c->events);
		free(c->sent);
		json_decref(c->levels);
		json_decref(c->shown);
		free(c);
	}
	w->clients = NULL;
}
