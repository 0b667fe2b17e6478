/* SPDX-License-Identifier: BSD-3-Clause */
#include "pair.h"

#include <rookery/client.h>
#include <rookery/runtime.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define FROM "romeo"
#define TO "juliet"
#define PENDING_MAX 4096 /* unanswered: an outage fills the outbox no further */

struct end {
	struct rk_store *store;
	struct rk_client *client;
	struct rk_runtime *runtime;
	bool online; /* logged in once */
};

struct pair {
	struct world *world;
	uint64_t interval_us;
	pthread_t thread;
	struct end ends[2]; /* the thread's */
	bool asked, buddies;
	uint64_t next_us; /* time of the next message */
	unsigned shown_last;

	pthread_mutex_t lock; /* the rest */
	unsigned sent, shown, unanswered, logins;
	uint64_t last_us, longest_us;
	bool stop_sending, stop;
	char wrong[160];
};

static void
wrong(struct pair *p, const char *what, const char *more)
{
	if (!p->wrong[0])
		snprintf(p->wrong, sizeof(p->wrong), "%s: %s", what, more);
}

/* ---- the thread ------------------------------------------------------------------------ */

static void
show(struct pair *p, const struct rk_event_message *e)
{
	unsigned n = (unsigned)strtoul(e->text, NULL, 10);
	uint64_t now = rk_runtime_now_us();

	if (n != p->shown_last + 1 || e->redelivered)
		wrong(p, "shown twice or out of order", e->text);
	p->shown_last = n;
	p->shown++;
	if (p->last_us != 0 && now - p->last_us > p->longest_us)
		p->longest_us = now - p->last_us;
	p->last_us = now;
}

static void
take_event(struct pair *p, struct end *end, const struct rk_event *e)
{
	switch (e->type) {
	case RK_EVENT_LOGIN:
		end->online = true;
		break;
	case RK_EVENT_BUDDY_REQUEST:
		rk_client_answer_buddy(end->client, e->buddy.name, true);
		break;
	case RK_EVENT_BUDDY:
		p->buddies = p->buddies || e->buddy.state == RK_BUDDY_ACCEPTED;
		break;
	case RK_EVENT_MESSAGE:
		show(p, &e->message);
		break;
	case RK_EVENT_REFUSED:
		wrong(p, "refused", rk_refused_name(e->outgoing.reason));
		break;
	case RK_EVENT_LOGIN_REFUSED:
	case RK_EVENT_ERROR:
		if (e->error.retry_ms == 0)
			wrong(p, "error", e->error.name);
		break;
	case RK_EVENT_CLOSED:
		wrong(p, "closed", rk_closed_name(e->closed));
		break;
	default:
		break;
	}
}

static void
send_due(struct pair *p, uint64_t now)
{
	char text[16];

	if (!p->asked && p->ends[0].online && p->ends[1].online) {
		p->asked = true;
		rk_client_add_buddy(p->ends[0].client, TO, NULL);
	}
	if (!p->buddies || p->stop_sending || now < p->next_us || rk_client_outbox_pending(p->ends[0].client) >= PENDING_MAX)
		return;
	p->next_us = p->next_us + p->interval_us > now ? p->next_us + p->interval_us : now + p->interval_us;
	snprintf(text, sizeof(text), "%u", p->sent + 1);
	if (rk_client_send(p->ends[0].client, TO, text, strlen(text)) < 0)
		wrong(p, "send", text);
	else
		p->sent++;
}

static int
wait_ms(const struct pair *p, uint64_t now)
{
	uint64_t next = now + 20000;

	for (int i = 0; i < 2; i++)
		if (rk_client_deadline(p->ends[i].client) < next)
			next = rk_client_deadline(p->ends[i].client);
	if (p->buddies && !p->stop_sending && p->next_us < next)
		next = p->next_us;
	return next > now ? (int)((next - now + 999) / 1000) : 0;
}

static void *
pair_main(void *arg)
{
	struct pair *p = arg;
	struct rk_stats stats;
	struct pollfd fds[2];

	pthread_mutex_lock(&p->lock);
	while (!p->stop) {
		unsigned logins = 0;
		int timeout;

		send_due(p, rk_runtime_now_us());
		for (int i = 0; i < 2; i++) {
			struct rk_event e;

			rk_runtime_run_once(p->ends[i].runtime, 0, NULL, 0);
			while (rk_client_next_event(p->ends[i].client, &e) == 1)
				take_event(p, &p->ends[i], &e);
			/* What the events caused, the acknowledgement above all. */
			rk_runtime_run_once(p->ends[i].runtime, 0, NULL, 0);
			rk_client_stats(p->ends[i].client, &stats);
			logins += (unsigned)stats.logins;
			fds[i] = (struct pollfd){.fd = rk_runtime_fd(p->ends[i].runtime), .events = POLLIN};
		}
		p->logins = logins;
		p->unanswered = (unsigned)rk_client_outbox_pending(p->ends[0].client);
		timeout = wait_ms(p, rk_runtime_now_us());
		pthread_mutex_unlock(&p->lock);
		poll(fds, 2, timeout);
		pthread_mutex_lock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* ---- from outside ------------------------------------------------------------------------ */

static void
end_open(struct pair *p, struct end *end, const char *user)
{
	uint8_t secret[RK_KEY_SIZE];
	struct rk_config c = {.user = user, .device_secret = secret};

	c.store = end->store = rk_store_memory();
	if (!end->store || rk_device_key_generate(secret) != 0 || rk_client_new(&end->client, &c) != 0 ||
	    rk_client_register(end->client, "wherefore art thou") != 0 || rk_client_login(end->client) != 0 ||
	    rk_runtime_open(&end->runtime, end->client, world_server_address(p->world)) != 0)
		world_fail(p->world, "no client for %s", user);
}

/* What the thread has found so far, and where it is. */
static struct pair
look(struct pair *p)
{
	struct pair now;

	pthread_mutex_lock(&p->lock);
	memcpy(&now, p, sizeof(now));
	pthread_mutex_unlock(&p->lock);
	if (now.wrong[0])
		world_fail(p->world, "%s", now.wrong);
	return now;
}

struct pair *
pair_start(struct world *w, unsigned interval_ms)
{
	struct pair *p = calloc(1, sizeof(*p));

	if (!p)
		abort();
	p->world = w;
	p->interval_us = interval_ms * UINT64_C(1000);
	end_open(p, &p->ends[0], FROM);
	end_open(p, &p->ends[1], TO);
	pthread_mutex_init(&p->lock, NULL);
	if (pthread_create(&p->thread, NULL, pair_main, p) != 0)
		abort();
	pair_expect(p, 10);
	return p;
}

void
pair_begin(struct pair *p)
{
	pthread_mutex_lock(&p->lock);
	p->longest_us = 0;
	p->last_us = rk_runtime_now_us();
	pthread_mutex_unlock(&p->lock);
}

void
pair_expect(struct pair *p, unsigned count)
{
	uint64_t deadline = deadline_in(WAIT_EVENT);
	unsigned from = look(p).sent;

	for (struct pair now = look(p); now.shown < from + count; now = look(p))
		if (!world_poll(p->world, deadline))
			world_fail(p->world, "pair: %u sent, %u shown, waiting for %u", now.sent, now.shown, from + count);
}

uint64_t
pair_longest_us(struct pair *p)
{
	return look(p).longest_us;
}

unsigned
pair_logins(struct pair *p)
{
	return look(p).logins;
}

unsigned
pair_finish(struct pair *p)
{
	uint64_t deadline = deadline_in(WAIT_BULK);
	struct pair now;

	pthread_mutex_lock(&p->lock);
	p->stop_sending = true;
	pthread_mutex_unlock(&p->lock);
	for (now = look(p); now.shown < now.sent || now.unanswered > 0; now = look(p))
		if (!world_poll(p->world, deadline))
			world_fail(p->world, "pair: %u sent, %u shown, %u unanswered", now.sent, now.shown, now.unanswered);
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_mutex_unlock(&p->lock);
	pthread_join(p->thread, NULL);
	for (int i = 0; i < 2; i++) {
		rk_client_logout(p->ends[i].client);
		rk_runtime_close(p->ends[i].runtime);
		rk_client_free(p->ends[i].client);
		rk_store_close(p->ends[i].store);
	}
	pthread_mutex_destroy(&p->lock);
	free(p);
	return now.sent;
}
