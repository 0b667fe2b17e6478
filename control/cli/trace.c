/* SPDX-License-Identifier: BSD-3-Clause */
/* rookctl trace and capture: what the workers say of packets, line by line or into a file. */
#include "control/cli/commands.h"
#include "control/cli/pcapng.h"

#include "shared/counters.h"
#include "shared/ids.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PAUSE_MS 100
#define CAPTURE_PACKETS 100000
#define CAPTURE_BYTES (UINT64_C(64) << 20)
#define PAYLOAD_MAX 2048

/* ---- a stream of records --------------------------------------------------------------- */

struct stream {
	struct cli *cli;
	uint64_t left;    /* records */
	uint64_t seconds; /* 0: no end */
	uint64_t lost;
	/* 0, or an exit status: the end. *counts: it was one of those that are limited. */
	int (*record)(struct stream *s, const json_t *record, bool *counts);
	void *arg;
};

static volatile sig_atomic_t ended;

static void
on_end(int number)
{
	(void)number;
	ended = 1;
}

static uint64_t
now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec;
}

static int
stream_page(struct stream *s, const json_t *page)
{
	size_t i;
	const json_t *record;
	long long lost = number_of(page, "lost");
	json_array_foreach(json_object_get(page, "records"), i, record) {
		bool counts = true;
		if (s->left == 0)
			return CLI_OK;
		int r = s->record(s, record, &counts);
		if (r != CLI_OK)
			return r;
		s->left -= counts;
	}
	s->lost += (uint64_t)lost;
	if (lost && s->cli->json)
		fprintf(s->cli->out, "{\"lost\":%lld}\n", lost);
	else if (lost)
		fprintf(stderr, "%lld records lost: more than could be shown\n", lost);
	return fflush(s->cli->out) == 0 ? CLI_OK : CLI_REFUSED;
}

/* args is stolen. Ends with the limits, Ctrl-C or the connection. */
static int
stream_run(struct stream *s, json_t *args)
{
	struct sigaction end = {.sa_handler = on_end}, old_int, old_term;
	json_t *page;
	int r = cli_call(s->cli, "trace.start", args, &page);
	if (r != CLI_OK)
		return r;
	json_decref(page);
	uint64_t begin = now_s();
	ended = 0;
	sigaction(SIGINT, &end, &old_int);
	sigaction(SIGTERM, &end, &old_term);
	while (!ended && s->left > 0 && (s->seconds == 0 || now_s() - begin < s->seconds)) {
		r = cli_call(s->cli, "trace.read", NULL, &page);
		if (r != CLI_OK)
			break;
		r = stream_page(s, page);
		bool more = json_is_true(json_object_get(page, "more"));
		json_decref(page);
		if (r != CLI_OK)
			break;
		if (!more && s->left > 0)
			poll(NULL, 0, PAUSE_MS);
	}
	sigaction(SIGINT, &old_int, NULL);
	sigaction(SIGTERM, &old_term, NULL);
	page = cli_call_quietly(s->cli, "trace.stop", NULL);
	json_decref(page);
	return r;
}

/* ---- lines ----------------------------------------------------------------------------- */

static void
print_frames(FILE *out, const json_t *record)
{
	const json_t *frames = json_object_get(record, "frames"), *f;
	size_t i;
	json_array_foreach(frames, i, f) {
		fprintf(out, "%s%s", i ? ", " : "  ", text_of(f, "type"));
		if (*text_of(f, "level"))
			fprintf(out, " %s", text_of(f, "level"));
		if (json_object_get(f, "id"))
			fprintf(out, " %lld", number_of(f, "id"));
		if (json_object_get(f, "more"))
			fprintf(out, " and %lld more", number_of(f, "more"));
		if (*text_of(f, "reason"))
			fprintf(out, " %s", text_of(f, "reason"));
	}
	if ((size_t)number_of(record, "frame_count") > json_array_size(frames))
		fprintf(out, ", ...");
}

static const char *
counter_text(const char *name)
{
	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		if (strcmp(counter_info[i].name, name) == 0)
			return counter_info[i].text;
	return "";
}

static unsigned
worker_of(const char *sid)
{
	return session_id_worker(strtoull(sid, NULL, 16));
}

/* "dropped: drop_tag (AEAD tag wrong)"; "consumed, messages_in, relayed to 0001... (worker 1)". */
static void
print_way(FILE *out, const json_t *record)
{
	const char *verdict = text_of(record, "verdict");
	size_t i;
	const json_t *c;
	if (strncmp(verdict, "drop_", 5) == 0)
		fprintf(out, "dropped: %s (%s)", verdict, counter_text(verdict));
	else if (strcmp(verdict, "tx_failed") == 0)
		fprintf(out, "dropped: tx_failed");
	else if (strcmp(verdict, "handoff_out") == 0)
		fprintf(out, "handed to worker %u", worker_of(text_of(record, "sid")));
	else if (strcmp(verdict, "punted") == 0)
		fprintf(out, "passed to control");
	else
		fputs(verdict, out);
	json_array_foreach(json_object_get(record, "counters"), i, c)
		if (strcmp(json_string_value(c), verdict) != 0)
			fprintf(out, ", %s", json_string_value(c));
	json_array_foreach(json_object_get(record, "relayed_to"), i, c)
		fprintf(out, "%s %s (worker %u)", i ? "," : ", relayed to", json_string_value(c), worker_of(json_string_value(c)));
}

static int
print_record(struct stream *s, const json_t *record, bool *counts)
{
	FILE *out = s->cli->out;
	(void)counts;
	if (s->cli->json) {
		json_dumpf(record, out, JSON_COMPACT);
		fputc('\n', out);
		return CLI_OK;
	}
	const char *sid = text_of(record, "sid"), *user = text_of(record, "user"), *time = text_of(record, "time");
	fprintf(out, "%.15s  w%lld  %-5s", strlen(time) > 11 ? time + 11 : time, number_of(record, "worker"), text_of(record, "direction"));
	if (*text_of(record, "type"))
		fprintf(out, " %s %lld bytes", text_of(record, "type"), number_of(record, "size"));
	fprintf(out, " %s", text_of(record, "address"));
	if (*sid)
		fprintf(out, "  %s%s%s", sid, *user ? " " : "", user);
	print_frames(out, record);
	fprintf(out, "  -> ");
	print_way(out, record);
	fputc('\n', out);
	if (*text_of(record, "bytes"))
		fprintf(out, "    %s\n", text_of(record, "bytes"));
	return CLI_OK;
}

static int
trace(struct cli *cli, const char *what, const char *value)
{
	const char *duration = cli_value(cli, "for");
	struct stream s = {
		.cli = cli,
		.left = cli_number(cli, "packets", UINT64_MAX),
		.seconds = duration ? cli_duration(duration) : 0,
		.record = print_record,
	};
	json_t *args = json_pack("{s:s, s:b}", what, value, "bytes", cli_value(cli, "bytes") != NULL);
	if (!args)
		return cli_fail(CLI_USAGE, "the argument must be UTF-8");
	uint64_t left = s.left;
	int r = stream_run(&s, args);
	if (r == CLI_OK && s.left == left && !cli->json)
		fprintf(stderr, "no packet came or went\n");
	return r;
}

int
run_trace_session(struct cli *cli)
{
	return trace(cli, "sid", cli->args[0]);
}

int
run_trace_user(struct cli *cli)
{
	return trace(cli, "user", cli->args[0]);
}

int
run_trace_address(struct cli *cli)
{
	return trace(cli, "address", cli->args[0]);
}

/* ---- a file ---------------------------------------------------------------------------- */

struct capture {
	FILE *out;
	json_t *ports; /* of the server */
	uint64_t packets, bytes, bytes_max;
};

/* The server's address on the port of a record, of the peer's family; without one to be found, no address. */
static struct endpoint
server_endpoint(const struct capture *c, const json_t *record, const struct endpoint *peer)
{
	const json_t *port = json_array_get(c->ports, (size_t)number_of(record, "port")), *address;
	struct endpoint e, none = *peer;
	size_t i;
	memset(none.ip + (endpoint_is_ipv4(peer) ? 12 : 0), 0, endpoint_is_ipv4(peer) ? 4 : 16);
	none.port = (uint16_t)(number_of(port, "udp_port") ? number_of(port, "udp_port") : 8000);
	if (*text_of(port, "listen"))
		return endpoint_parse(&e, text_of(port, "listen"), 8000) == 0 && endpoint_is_ipv4(&e) == endpoint_is_ipv4(peer) ? e : none;
	json_array_foreach(json_object_get(port, "addresses"), i, address) {
		char text[64];
		const char *prefix = json_string_value(address);
		snprintf(text, sizeof(text), "%.*s", (int)strcspn(prefix, "/"), prefix);
		if (endpoint_parse(&e, text, none.port) == 0 && endpoint_is_ipv4(&e) == endpoint_is_ipv4(peer))
			return e;
	}
	return none;
}

static uint64_t
time_us_of(const char *text)
{
	struct tm tm = {0};
	const char *fraction = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	uint64_t us = fraction && *fraction == '.' ? strtoull(fraction + 1, NULL, 10) : 0;
	return fraction ? (uint64_t)timegm(&tm) * 1000000 + us : 0;
}

static size_t
bytes_of(const char *text, uint8_t out[PAYLOAD_MAX])
{
	size_t n = 0;
	unsigned byte;
	while (n < PAYLOAD_MAX && sscanf(text + 2 * n, "%2x", &byte) == 1)
		out[n++] = (uint8_t)byte;
	return n;
}

static int
capture_record(struct stream *s, const json_t *record, bool *counts)
{
	struct capture *c = s->arg;
	uint8_t payload[PAYLOAD_MAX];
	char *way = NULL;
	size_t len;
	struct endpoint peer;
	bool in = strcmp(text_of(record, "direction"), "in") == 0;
	*counts = false;
	if (!*text_of(record, "type") || endpoint_parse(&peer, text_of(record, "address"), 0) < 0)
		return CLI_OK; /* no packet */
	FILE *text = open_memstream(&way, &len);
	if (!text)
		return cli_fail(CLI_REFUSED, "out of memory");
	print_way(text, record);
	fclose(text);
	struct endpoint server = server_endpoint(c, record, &peer);
	struct pcapng_packet p = {
		.time_us = time_us_of(text_of(record, "time")),
		.inbound = in,
		.from = in ? peer : server,
		.to = in ? server : peer,
		.payload = payload,
		.length = bytes_of(text_of(record, "bytes"), payload),
		.size = (size_t)number_of(record, "size"),
		.comment = way,
	};
	size_t written = pcapng_packet(c->out, &p);
	free(way);
	if (written == 0 || fflush(c->out) != 0)
		return cli_fail(CLI_REFUSED, "cannot write to %s: %s", s->cli->args[0], strerror(errno));
	*counts = true;
	c->packets++;
	c->bytes += written;
	if (c->bytes >= c->bytes_max)
		ended = 1;
	return CLI_OK;
}

static FILE *
capture_open(struct cli *cli)
{
	if (strcmp(cli->args[0], "-") == 0)
		return cli->out;
	/* Whom people talk to, and when, is nobody else's business. */
	int fd = open(cli->args[0], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? NULL : fdopen(fd, "w");
}

static int
capture_run(struct cli *cli, struct capture *c, json_t *args)
{
	const char *duration = cli_value(cli, "for");
	struct stream s = {
		.cli = cli,
		.left = cli_number(cli, "packets", CAPTURE_PACKETS),
		.seconds = duration ? cli_duration(duration) : 0,
		.record = capture_record,
		.arg = c,
	};
	int r;
	c->bytes = pcapng_begin(c->out, "rookctl " ROOKERY_VERSION);
	if (c->bytes == 0)
		r = cli_fail(CLI_REFUSED, "cannot write to %s: %s", cli->args[0], strerror(errno));
	else
		r = stream_run(&s, json_incref(args));
	if (c->out != cli->out && fclose(c->out) != 0 && r == CLI_OK)
		r = cli_fail(CLI_REFUSED, "cannot write to %s: %s", cli->args[0], strerror(errno));
	if (r != CLI_OK || c->out == cli->out)
		return r;
	if (cli->json)
		return print_json(cli, json_pack("{s:I, s:I, s:I}", "packets", (json_int_t)c->packets, "bytes", (json_int_t)c->bytes,
						 "lost", (json_int_t)s.lost));
	fprintf(cli->out, "%s: %llu packets, %llu lost\n", cli->args[0], (unsigned long long)c->packets, (unsigned long long)s.lost);
	return CLI_OK;
}

int
run_capture(struct cli *cli)
{
	struct capture c = {.bytes_max = cli_number(cli, "bytes", CAPTURE_BYTES)};
	json_t *status, *args = json_pack("{s:b, s:s*, s:s*, s:s*}", "bytes", 1, "sid", cli_value(cli, "session"), "user",
					  cli_value(cli, "user"), "address", cli_value(cli, "address"));
	if (!args)
		return cli_fail(CLI_USAGE, "the options must be UTF-8");
	int r = cli_call(cli, "status", NULL, &status);
	if (r == CLI_OK) {
		c.ports = json_incref(json_object_get(status, "ports"));
		json_decref(status);
		c.out = capture_open(cli);
		r = c.out ? capture_run(cli, &c, args)
			  : cli_fail(CLI_REFUSED, "cannot make %s: %s", cli->args[0], strerror(errno));
		json_decref(c.ports);
	}
	json_decref(args);
	return r;
}
