// SPDX-License-Identifier: BSD-3-Clause
#include "reload.h"

#include "shared/log.h"

#include <stddef.h>
#include <string.h>

/* Read each time that they are used. */
#define LIVE_KEYS(X)                    \
	X(control.registration)         \
	X(control.buddies_max)          \
	X(control.devices_max)          \
	X(control.stored_max)           \
	X(control.stored_days)          \
	X(control.password_memory_kib)  \
	X(control.password_passes)      \
	X(limits.restricted_sessions)   \
	X(limits.account_guesses)       \
	X(limits.prefix_guesses)        \
	X(limits.guess_delay_ms)        \
	X(limits.guess_delay_max_ms)    \
	X(limits.buddy_requests_open)   \
	X(limits.buddy_requests_waiting) \
	X(limits.search_rows)           \
	X(limits.list_rows)             \
	X(log.level)                    \
	X(log.format)

/* The endpoint follows them: http_listen. */
#define LIVE_TEXTS(X)          \
	X(metrics.listen)      \
	X(metrics.token_file)

static const char *const live_keys[] = {
#define NAME(key) #key,
	LIVE_KEYS(NAME) LIVE_TEXTS(NAME)
#undef NAME
};

/* Which workers use them; all of control's limits that are no live key need its restart. */
static const char *const dataplane_keys[] = {
	"dataplane.", "control.logins_per_second", "limits.messages_", "limits.conversations_", "limits.requests_",
	"limits.host_logins_", "limits.net_logins_", "limits.resumes_", "limits.host_resumes_", "session.retransmit_limit",
};

static bool
begins(const char *key, const char *with)
{
	return strncmp(key, with, strlen(with)) == 0;
}

enum reload_outcome
reload_outcome_of(const char *key)
{
	for (size_t i = 0; i < sizeof(live_keys) / sizeof(live_keys[0]); i++)
		if (strcmp(key, live_keys[i]) == 0)
			return RELOAD_LIVE;
	if (begins(key, "log.areas"))
		return RELOAD_LIVE;
	for (size_t i = 0; i < sizeof(dataplane_keys) / sizeof(dataplane_keys[0]); i++)
		if (begins(key, dataplane_keys[i]))
			return RELOAD_DATAPLANE;
	if (begins(key, "session."))
		return RELOAD_BOTH;
	return begins(key, "control.") || begins(key, "limits.") ? RELOAD_CONTROL : RELOAD_STOP;
}

static void
swap(char **a, char **b)
{
	char *text = *a;

	*a = *b;
	*b = text;
}

void
reload_apply(struct config *to, struct config *from)
{
	char **areas = to->log.areas;
	unsigned areas_count = to->log.areas_count;

#define COPY(key) to->key = from->key;
	LIVE_KEYS(COPY)
#undef COPY
	/* Each is freed with its configuration. */
#define SWAP(key) swap(&to->key, &from->key);
	LIVE_TEXTS(SWAP)
#undef SWAP
	to->log.areas = from->log.areas;
	to->log.areas_count = from->log.areas_count;
	from->log.areas = areas;
	from->log.areas_count = areas_count;
	config_log_levels(to);
}
