/* SPDX-License-Identifier: BSD-3-Clause */
/* The clients of a swarm, on librookery's public interface: real sockets, SQLite stores, one thread for all. */
#include "swarm.h"

#include <rookery/client.h>
#include <rookery/runtime.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WINDOW 16       /* texts of one client without an answer */
#define LIST_US 2000000 /* until it knows all its partners */
#define REPORT_US 100000
#define CLIENTS_MAX 64  /* of one process */

struct partner {
	unsigned index;
	char name[16];
	bool buddy;
	unsigned sent; /* n of the last text */
	unsigned shown;
};

struct member {
	unsigned index;
	char name[16];
	int log;
	struct rk_store *store;
	struct rk_client *client;
	struct rk_runtime *runtime;
	struct partner partners[SWARM_PARTNERS];
	uint64_t list_us; /* next question for the buddies */
	uint64_t taken, logins;
	unsigned turn;
	bool closed;
};

struct swarm {
	struct member members[CLIENTS_MAX];
	unsigned count, total;
	const char *server, *directory;
	uint64_t quota;
	uint64_t report_us;
	char reported[96];
	char input[256];
	size_t input_len;
	bool quit;
};

static void
die(const char *what, int error)
{
	fprintf(stderr, "swarm: %s: %s\n", what, strerror(error < 0 ? -error : error));
	exit(1);
}

/* In the page cache when it returns, so that it outlives this process. */
__attribute__((format(printf, 2, 3))) static void
note(struct member *m, const char *format, ...)
{
	char line[256];
	int n = snprintf(line, sizeof(line), "%llu ", (unsigned long long)rk_runtime_now_us());
	va_list ap;

	va_start(ap, format);
	n += vsnprintf(line + n, sizeof(line) - (size_t)n - 1, format, ap);
	va_end(ap);
	line[n++] = '\n';
	if (write(m->log, line, (size_t)n) != n)
		die("log", errno);
}

static struct partner *
partner_of(struct member *m, const char *name)
{
	for (unsigned k = 0; k < SWARM_PARTNERS; k++)
		if (strcmp(m->partners[k].name, name) == 0)
			return &m->partners[k];
	return NULL;
}

/* ---- what happens to a client ----------------------------------------------------------- */

static void
show(struct member *m, const struct rk_event_message *e)
{
	struct partner *p = partner_of(m, e->from);
	unsigned n = 0;

	if (e->text_len > 0 && e->text[0] == 's')
		n = (unsigned)strtoul(e->text + 1, NULL, 10);
	note(m, "M %s %s %u %d", e->id, e->from, n, e->redelivered);
	if (p && n > p->shown)
		p->shown = n;
}

static void
take_buddies(struct member *m, const struct rk_event_response *r)
{
	for (size_t i = 0; i < r->buddies; i++) {
		struct partner *p = partner_of(m, r->buddy[i].name);

		if (r->buddy[i].state == RK_BUDDY_PENDING)
			rk_client_answer_buddy(m->client, r->buddy[i].name, true);
		if (p)
			p->buddy = r->buddy[i].state == RK_BUDDY_ACCEPTED;
	}
	/* Each asks the two after it in the ring. */
	for (unsigned k = 0; k < SWARM_PARTNERS; k += 2)
		if (!m->partners[k].buddy)
			rk_client_add_buddy(m->client, m->partners[k].name, NULL);
}

static void
take_event(struct member *m, const struct rk_event *e)
{
	switch (e->type) {
	case RK_EVENT_BUDDY_REQUEST:
		rk_client_answer_buddy(m->client, e->buddy.name, true);
		break;
	case RK_EVENT_BUDDIES:
		take_buddies(m, &e->response);
		break;
	case RK_EVENT_MESSAGE:
		show(m, &e->message);
		break;
	case RK_EVENT_SENT:
		note(m, "S %lld %s %s", (long long)e->outgoing.local, e->outgoing.id, e->outgoing.to);
		break;
	case RK_EVENT_RECEIPT:
		note(m, "R %lld %s %s %s", (long long)e->outgoing.local, e->outgoing.id, rk_level_name(e->outgoing.level),
		     e->outgoing.to);
		break;
	case RK_EVENT_REFUSED:
		note(m, "F %lld %s %s %s", (long long)e->outgoing.local, e->outgoing.id[0] ? e->outgoing.id : "-",
		     rk_refused_name(e->outgoing.reason), e->outgoing.to);
		break;
	case RK_EVENT_DISCONNECTED:
		note(m, "D");
		break;
	case RK_EVENT_RESUMED:
		note(m, "U");
		break;
	case RK_EVENT_CLOSED:
		note(m, "C %s", rk_closed_name(e->closed));
		m->closed = true;
		break;
	case RK_EVENT_LOGIN_REFUSED:
		if (e->error.retry_ms == 0) {
			fprintf(stderr, "swarm: %s is refused: %s\n", m->name, e->error.name);
			exit(1);
		}
		break;
	case RK_EVENT_ERROR:
		fprintf(stderr, "swarm: %s: %s: %s\n", m->name, e->error.name, e->error.text ? e->error.text : "");
		break;
	default:
		break;
	}
}

/* Knows all its partners. Whether it is just now without an answer does not matter. */
static bool
ready(const struct member *m)
{
	bool all = true;

	for (unsigned k = 0; k < SWARM_PARTNERS; k++)
		all = all && m->partners[k].buddy;
	return all;
}

static void
send_more(struct swarm *s, struct member *m)
{
	while (m->taken < s->quota && rk_client_outbox_pending(m->client) < WINDOW) {
		struct partner *p = &m->partners[m->turn++ % SWARM_PARTNERS];
		char text[64];
		int64_t local;

		snprintf(text, sizeof(text), "s%u from %s to %s", p->sent + 1, m->name, p->name);
		note(m, "T %u %s", p->sent + 1, p->name);
		local = rk_client_send(m->client, p->name, text, strlen(text));
		if (local < 0)
			die("send", (int)local);
		p->sent++;
		m->taken++;
		note(m, "K %u %lld", p->sent, (long long)local);
	}
}

static void
turn(struct swarm *s, struct member *m, uint64_t now)
{
	struct rk_stats stats;
	struct rk_event e;
	int rc = rk_runtime_run_once(m->runtime, 0, NULL, 0);

	if (rc < 0 && rc != -EINTR)
		die("run", rc);
	while (rk_client_next_event(m->client, &e) == 1)
		take_event(m, &e);
	rk_client_stats(m->client, &stats);
	for (; m->logins < stats.logins; m->logins++)
		note(m, "L");
	if (!ready(m)) {
		if (rk_client_online(m->client) && now >= m->list_us) {
			m->list_us = now + LIST_US;
			rk_client_list_buddies(m->client);
		}
	}
	if (!m->closed)
		send_more(s, m);
}

/* ---- begin and end ----------------------------------------------------------------------- */

/* What earlier lives did. */
static void
read_log(struct member *m, const char *path)
{
	FILE *f = fopen(path, "r");
	char line[256];

	while (f && fgets(line, sizeof(line), f)) {
		char name[16], id[40], type;
		unsigned n;
		struct partner *p;
		int at;

		if (sscanf(line, "%*u %c%n", &type, &at) != 1)
			continue;
		if (type == 'T' && sscanf(line + at, "%u %15s", &n, name) == 2 && (p = partner_of(m, name))) {
			p->sent = n;
			p->buddy = true;
			m->taken++;
		}
		if (type == 'M' && sscanf(line + at, "%39s %15s %u", id, name, &n) == 3 && (p = partner_of(m, name)) && n > p->shown) {
			p->shown = n;
			p->buddy = true;
		}
	}
	if (f)
		fclose(f);
}

static void
member_open(struct swarm *s, struct member *m, unsigned index)
{
	uint8_t secret[RK_KEY_SIZE];
	char path[512], password[32];
	int rc;

	m->index = index;
	snprintf(m->name, sizeof(m->name), "u%u", index);
	for (unsigned k = 0; k < SWARM_PARTNERS; k++) {
		m->partners[k].index = swarm_partner(index, s->total, k);
		snprintf(m->partners[k].name, sizeof(m->partners[k].name), "u%u", m->partners[k].index);
	}
	snprintf(path, sizeof(path), "%s/%s.log", s->directory, m->name);
	read_log(m, path);
	m->log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (m->log < 0)
		die(path, errno);
	note(m, "B");
	snprintf(path, sizeof(path), "%s/%s.key", s->directory, m->name);
	rc = rk_device_key_file(path, secret);
	if (rc < 0)
		die(path, rc);
	snprintf(path, sizeof(path), "%s/%s.db", s->directory, m->name);
	rc = rk_store_open(&m->store, path);
	if (rc < 0)
		die(path, rc);
	rc = rk_client_new(&m->client, &(struct rk_config){.user = m->name, .device_secret = secret, .store = m->store});
	if (rc < 0)
		die("client", rc);
	snprintf(password, sizeof(password), "secret of %s", m->name);
	rk_client_register(m->client, password);
	rk_client_login(m->client);
	rc = rk_runtime_open(&m->runtime, m->client, s->server);
	if (rc < 0)
		die(s->server, rc);
}

static void
member_close(struct member *m)
{
	struct rk_stats stats;

	rk_client_stats(m->client, &stats);
	note(m, "X %zu %llu %llu", rk_client_outbox_pending(m->client), (unsigned long long)stats.logins,
	     (unsigned long long)stats.epochs);
	rk_client_logout(m->client);
	rk_runtime_close(m->runtime);
	rk_client_free(m->client);
	rk_store_close(m->store);
	close(m->log);
}

static void
report(struct swarm *s, uint64_t now)
{
	uint64_t taken = 0, shown = 0, pending = 0;
	unsigned readies = 0;
	char line[96];

	if (now < s->report_us)
		return;
	s->report_us = now + REPORT_US;
	for (unsigned i = 0; i < s->count; i++) {
		taken += s->members[i].taken;
		pending += rk_client_outbox_pending(s->members[i].client);
		readies += ready(&s->members[i]);
		for (unsigned k = 0; k < SWARM_PARTNERS; k++)
			shown += s->members[i].partners[k].shown;
	}
	snprintf(line, sizeof(line), "progress %llu %llu %llu %u\n", (unsigned long long)taken, (unsigned long long)shown,
		 (unsigned long long)pending, readies);
	if (strcmp(line, s->reported) == 0)
		return;
	strcpy(s->reported, line);
	fputs(line, stdout);
	fflush(stdout);
}

static void
take_input(struct swarm *s)
{
	ssize_t n = read(STDIN_FILENO, s->input + s->input_len, sizeof(s->input) - s->input_len - 1);
	char *newline;

	if (n <= 0)
		exit(1); /* the test is gone */
	s->input_len += (size_t)n;
	s->input[s->input_len] = '\0';
	while ((newline = strchr(s->input, '\n'))) {
		unsigned long long quota;

		if (sscanf(s->input, "quota %llu", &quota) == 1)
			s->quota = quota;
		if (strncmp(s->input, "quit", 4) == 0)
			s->quit = true;
		s->input_len -= (size_t)(newline + 1 - s->input);
		memmove(s->input, newline + 1, s->input_len + 1);
	}
}

static void
loop(struct swarm *s)
{
	struct pollfd fds[CLIENTS_MAX + 1];

	while (!s->quit) {
		uint64_t now = rk_runtime_now_us(), next = now + REPORT_US;

		for (unsigned i = 0; i < s->count; i++) {
			uint64_t deadline = rk_client_deadline(s->members[i].client);

			fds[i] = (struct pollfd){.fd = rk_runtime_fd(s->members[i].runtime), .events = POLLIN};
			if (deadline < next)
				next = deadline;
		}
		fds[s->count] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
		if (poll(fds, s->count + 1, next > now ? (int)((next - now + 999) / 1000) : 0) < 0 && errno != EINTR)
			die("poll", errno);
		if (fds[s->count].revents)
			take_input(s);
		now = rk_runtime_now_us();
		for (unsigned i = 0; i < s->count; i++) {
			struct member *m = &s->members[i];

			if (fds[i].revents || rk_client_deadline(m->client) <= now || (!ready(m) && now >= m->list_us) ||
			    (m->taken < s->quota && rk_client_outbox_pending(m->client) < WINDOW))
				turn(s, m, now);
		}
		report(s, now);
	}
}

int
swarm_clients_main(int argc, char **argv)
{
	static struct swarm s;
	unsigned first;

	if (argc != 7)
		return 2;
	s.server = argv[2];
	s.directory = argv[3];
	s.total = (unsigned)atoi(argv[4]);
	first = (unsigned)atoi(argv[5]);
	s.count = (unsigned)atoi(argv[6]);
	if (s.total < SWARM_MIN || s.count > CLIENTS_MAX)
		return 2;
	for (unsigned i = 0; i < s.count; i++)
		member_open(&s, &s.members[i], first + i);
	loop(&s);
	for (unsigned i = 0; i < s.count; i++)
		member_close(&s.members[i]);
	return 0;
}
