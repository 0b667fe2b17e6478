// SPDX-License-Identifier: BSD-3-Clause
#include "shared/cell.h"
#include "shared/log.h"

#include <string.h>

#define REQUEST_FRAGMENTS_MAX 8 /* docs/protocol.md, 5 */

static bool
store_valid(const struct cell *c)
{
	return c->store.except_count <= USER_SESSIONS_MAX && c->length <= MESSAGE_BODY_MAX;
}

static bool
resumed_valid(const struct cell *c)
{
	const struct resumed_session *r = c->resumed_sessions;

	if (c->resumed.count < 1 || c->resumed.count > CELL_RESUMED_MAX || c->length != c->resumed.count * sizeof(*r))
		return false;
	for (uint32_t i = 0; i < c->resumed.count; i++)
		if (!(session_id_generation(r[i].sid) & SESSION_GENERATION_RESUMED) || r[i].secret.resumed != 1)
			return false;
	return true;
}

static bool
request_valid(const struct cell *c)
{
	return c->request.fragments >= 1 && c->request.fragments <= REQUEST_FRAGMENTS_MAX &&
	       c->request.fragment < c->request.fragments && c->length <= REQUEST_BODY_MAX;
}

static bool
verdict_valid(const struct cell *c)
{
	return c->verdict.verdict <= VERDICT_UNKNOWN_USER && c->verdict.live_count <= USER_SESSIONS_MAX &&
	       c->length == 0;
}

static bool
datagram_valid(const struct cell *c)
{
	return c->length >= 1 && c->length <= WIRE_DATAGRAM_MAX;
}

static bool
frame_valid(const struct cell *c)
{
	uint8_t count = c->frame.session_count;

	if (count < 1 || count > CELL_FRAME_SESSIONS_MAX || (c->frame.token != 0 && count != 1))
		return false;
	return c->length >= RELIABLE_HEADER && c->length <= WIRE_PLAINTEXT_MAX;
}

static bool
bans_valid(const struct cell *c)
{
	const struct prefix *p = (const struct prefix *)c->data;

	if (c->bans.count > CELL_BANS_MAX || c->length != c->bans.count * sizeof(*p))
		return false;
	for (uint16_t i = 0; i < c->bans.count; i++)
		if (p[i].bits > 128)
			return false;
	return true;
}

static bool
trace_valid(const struct cell *c)
{
	return c->trace.kind >= TRACE_IN && c->trace.kind <= TRACE_EVENT && c->trace.to_count <= TRACE_TO_MAX &&
	       c->trace.counter_count <= TRACE_COUNTERS_MAX && c->length <= WIRE_DATAGRAM_MAX;
}

static bool
filters_valid(const struct cell *c)
{
	const struct trace_filter *f = (const struct trace_filter *)c->data;

	if (c->length != TRACE_FILTERS_MAX * sizeof(*f))
		return false;
	for (unsigned i = 0; i < TRACE_FILTERS_MAX; i++)
		if (f[i].kind > TRACE_ALL || f[i].prefix.bits > 128)
			return false;
	return true;
}

static bool
log_valid(const struct cell *c)
{
	for (unsigned i = 0; i < LOG_AREA_COUNT; i++)
		if (c->log.level[i] > LOG_LEVEL_DEBUG)
			return false;
	return c->length == 0 && c->log.format <= LOG_FORMAT_JSON;
}

bool
cell_valid(const struct cell *c)
{
	switch (c->type) {
	case PUNT_STORE:
		return store_valid(c);
	case PUNT_DELIVERED:
		return (c->delivered.outcome == DELIVERY_ACKED || c->delivered.outcome == DELIVERY_FAILED) &&
		       c->length == 0;
	case PUNT_SESSION:
		return c->session.event >= SESSION_CLOSED && c->session.event <= SESSION_REFUSED && c->length == 0;
	case PUNT_EXPIRED:
		return c->expired.count >= 1 && c->expired.count <= CELL_EXPIRED_MAX &&
		       c->length == c->expired.count * sizeof(session_id_t);
	case PUNT_REQUEST:
		return request_valid(c);
	case PUNT_VERDICT:
	case INJECT_VERDICT:
	case TABLE_VERDICT_SET:
	case TABLE_VERDICT_DEL:
		return verdict_valid(c);
	case PUNT_STALE:
	case PUNT_LOGIN:
	case INJECT_DATAGRAM:
		return datagram_valid(c);
	case INJECT_FRAME:
		return frame_valid(c);
	case PUNT_TRACE:
		return trace_valid(c);
	case INJECT_TRACE:
		return filters_valid(c);
	case TABLE_BANS:
		return bans_valid(c);
	case TABLE_LOG:
		return log_valid(c);
	case TABLE_USER_SET:
		return c->user.live_count <= USER_SESSIONS_MAX && c->length == 0;
	case PUNT_RESUMED:
		return resumed_valid(c);
	case INJECT_TICKET_KEYS:
	case INJECT_SESSION_ADD:
	case INJECT_SESSION_UPDATE:
	case INJECT_SESSION_DEL:
	case INJECT_STORED:
	case INJECT_RECEIPT:
	case INJECT_PROBE:
	case INJECT_FENCE:
	case TABLE_USER_DEL:
	case TABLE_BARRIER:
		return c->length == 0;
	default:
		return false;
	}
}
