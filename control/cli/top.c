/* SPDX-License-Identifier: BSD-3-Clause */
/* rookctl top: rates between two samples of the server, live on a terminal or round by round with --watch. */
#include "control/cli/commands.h"

#include "shared/counters.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define ROUND_MS 1000
#define SCREEN_ON "\033[?1049h\033[?25l"
#define SCREEN_OFF "\033[?25h\033[?1049l"

/* What happened between two samples. */
struct span {
	const json_t *before, *after;
	double seconds;
};

static double
rate(const struct span *s, const json_t *before, const json_t *after, const char *name)
{
	long long difference = number_of(after, name) - number_of(before, name);
	/* Counters begin anew with their process. */
	return difference > 0 && s->seconds > 0 ? (double)difference / s->seconds : 0;
}

static const json_t *
worker_at(const json_t *sample, size_t worker)
{
	return json_array_get(json_object_get(sample, "workers"), worker);
}

static double
worker_rate(const struct span *s, size_t worker, const char *name)
{
	return rate(s, worker_at(s->before, worker), worker_at(s->after, worker), name);
}

static double
control_rate(const struct span *s, const char *name)
{
	return rate(s, json_object_get(s->before, "control"), json_object_get(s->after, "control"), name);
}

/* 12.3, 1234, 12.3k, 1.2M */
static struct shown
show_rate(double r)
{
	static const char units[] = " kMGT";
	struct shown n;
	size_t unit = 0;
	while (r >= 9999.5 && unit + 2 < sizeof(units)) {
		r /= 1000;
		unit++;
	}
	snprintf(n.text, sizeof(n.text), r < 99.95 && r > 0 ? "%.1f%.*s" : "%.0f%.*s", r, unit ? 1 : 0,
		 units + unit);
	return n;
}

static struct shown
show_part(double part, double whole)
{
	struct shown n = {"-"};
	if (whole > 0)
		snprintf(n.text, sizeof(n.text), "%.0f%%", 100 * part / whole);
	return n;
}

static struct shown
show_each(double sum, double count)
{
	struct shown n = {"-"};
	if (count > 0)
		snprintf(n.text, sizeof(n.text), "%.0f", sum / count);
	return n;
}

/* ---- the view -------------------------------------------------------------------------- */

static void
print_head(FILE *out, const struct span *s)
{
	const json_t *now = s->after;
	const char *state = json_is_true(json_object_get(now, "draining")) ? "draining"
			    : json_is_true(json_object_get(now, "ready"))  ? "ready"
									   : "NOT READY";
	double batches = control_rate(s, "batches");
	fprintf(out, "rookery: %s, up ", state);
	show_duration(out, number_of(now, "uptime_ms") / 1000);
	fprintf(out, "\nsessions %lld of %lld, users online %lld, not logged in yet %lld\n",
		number_of(now, "sessions"), number_of(now, "sessions_max"), number_of(now, "users_online"),
		number_of(now, "sessions_restricted"));
	fprintf(out, "logins %s/s, requests %s/s, stored %s/s, notifications %s/s\n",
		show_rate(control_rate(s, "logins") + control_rate(s, "logins_restricted")).text,
		show_rate(control_rate(s, "requests")).text,
		show_rate(control_rate(s, "messages_stored")).text,
		show_rate(control_rate(s, "notifications")).text);
	fprintf(out, "store %s, commits %s/s, %s us each\n\n",
		json_is_true(json_object_get(now, "store_ok")) ? "ok" : "NOT AVAILABLE",
		show_rate(batches).text, show_each(control_rate(s, "commit_us"), batches).text);
}

static double
worker_drops(const struct span *s, size_t worker)
{
	double sum = 0;
	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		if (counter_info[i].is_drop)
			sum += worker_rate(s, worker, counter_info[i].name);
	return sum;
}

static struct shown
show_ring(const struct span *s, size_t worker, const char *name)
{
	const json_t *rings =
		json_array_get(json_object_get(json_object_get(s->after, "rings"), "workers"), worker);
	const json_t *ring = json_object_get(rings, name);
	return show_part((double)(number_of(ring, "used") + number_of(ring, "backlog")),
			 (double)number_of(ring, "capacity"));
}

static void
print_workers(FILE *out, const struct span *s)
{
	struct table t;
	table_init(&t, (const char *const[]){">WORKER", ">SESSIONS", ">RX/s", ">TX/s", ">CYCLES/PKT",
					     ">BUSY", ">MSG/s", ">DROPS/s", ">EVENT", ">REQUEST", ">LOGIN",
					     ">INJECT", NULL});
	for (size_t w = 0; w < json_array_size(json_object_get(s->after, "workers")); w++) {
		double busy = worker_rate(s, w, "loops_busy"), idle = worker_rate(s, w, "loops_idle");
		double packets = worker_rate(s, w, "rx_packets") + worker_rate(s, w, "handoff_in");
		char number[24];
		snprintf(number, sizeof(number), "%zu", w);
		table_add(&t, (const char *const[]){
				      number, show_number(worker_at(s->after, w), "sessions_live").text,
				      show_rate(worker_rate(s, w, "rx_packets")).text,
				      show_rate(worker_rate(s, w, "tx_packets")).text,
				      show_each(worker_rate(s, w, "cycles_busy"), packets).text,
				      show_part(busy, busy + idle).text,
				      show_rate(worker_rate(s, w, "messages_in")).text,
				      show_rate(worker_drops(s, w)).text, show_ring(s, w, "event").text,
				      show_ring(s, w, "request").text, show_ring(s, w, "login").text,
				      show_ring(s, w, "inject").text});
	}
	if (t.rows)
		table_print(&t, out);
	else
		fprintf(out, "The dataplane is not connected.\n");
	table_free(&t);
}

static void
print_drops(FILE *out, const struct span *s)
{
	struct table t;
	table_init(&t, (const char *const[]){"DROPPED", ">PER SECOND", "WHY", NULL});
	for (unsigned i = 0; i < COUNTER_COUNT; i++) {
		double sum = 0;
		for (size_t w = 0; w < json_array_size(json_object_get(s->after, "workers")); w++)
			sum += worker_rate(s, w, counter_info[i].name);
		if (counter_info[i].is_drop && sum > 0)
			table_add(&t, (const char *const[]){counter_info[i].name, show_rate(sum).text,
							    counter_info[i].text});
	}
	fputc('\n', out);
	if (t.rows)
		table_print(&t, out);
	else
		fprintf(out, "No drops.\n");
	table_free(&t);
}

static void
print_view(FILE *out, const struct span *s)
{
	print_head(out, s);
	print_workers(out, s);
	print_drops(out, s);
}

/* ---- rounds ---------------------------------------------------------------------------- */

/* The sample before, kept for as long as rounds follow each other. */
static json_t *last;

static int
next_span(struct cli *cli, struct span *s, json_t **sample)
{
	int r = cli_call(cli, "sample", NULL, sample);
	if (r != CLI_OK)
		return r;
	*s = (struct span){.before = last, .after = *sample};
	s->seconds = (double)(number_of(*sample, "uptime_ms") - number_of(last, "uptime_ms")) / 1000;
	return CLI_OK;
}

static void
keep(json_t *sample)
{
	json_decref(last);
	last = sample;
}

static int
first_sample(struct cli *cli)
{
	json_t *sample;
	int r = cli_call(cli, "sample", NULL, &sample);
	if (r == CLI_OK)
		keep(sample);
	return r;
}

/* ---- the terminal ---------------------------------------------------------------------- */

static volatile sig_atomic_t ended;

static void
on_end(int number)
{
	(void)number;
	ended = 1;
}

static void
on_resize(int number)
{
	(void)number; /* only to end the wait */
}

/* The lines that fit; each replaces the one before, the rest of the screen is cleared. */
static void
draw(const char *text)
{
	struct winsize size;
	int rows = 24, columns = 80;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 1 && size.ws_col > 1) {
		rows = size.ws_row;
		columns = size.ws_col;
	}
	fputs("\033[H", stdout);
	for (int row = 0; *text && row < rows - 1; row++) {
		int len = (int)strcspn(text, "\n");
		printf("%.*s\033[K\n", len < columns ? len : columns, text);
		text += len + (text[len] == '\n');
	}
	fputs("\033[J", stdout);
	fflush(stdout);
}

static int
draw_round(struct cli *cli)
{
	struct span s;
	json_t *sample;
	char *text = NULL;
	size_t len = 0;
	int r = next_span(cli, &s, &sample);
	if (r != CLI_OK)
		return r;
	FILE *out = open_memstream(&text, &len);
	if (out) {
		print_view(out, &s);
		fprintf(out, "\nq ends\n");
		fclose(out);
		draw(text);
	}
	free(text);
	keep(sample);
	return CLI_OK;
}

/* Waits for the next round or a key. Returns true when it is to end. */
static bool
wait_key(void)
{
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
	char key;
	if (poll(&in, 1, ROUND_MS) <= 0)
		return ended;
	return read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q';
}

static int
run_live(struct cli *cli)
{
	struct termios before, raw;
	struct sigaction end = {.sa_handler = on_end}, resize = {.sa_handler = on_resize};
	struct sigaction old_int, old_term, old_resize;
	int status = first_sample(cli);
	if (status != CLI_OK)
		return status;
	if (tcgetattr(STDIN_FILENO, &before) < 0)
		return cli_fail(CLI_REFUSED, "the terminal: %s", strerror(errno));
	ended = 0;
	sigaction(SIGINT, &end, &old_int);
	sigaction(SIGTERM, &end, &old_term);
	sigaction(SIGWINCH, &resize, &old_resize);
	raw = before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
	fputs(SCREEN_ON, stdout);
	do
		status = draw_round(cli);
	while (status == CLI_OK && !wait_key());
	fputs(SCREEN_OFF, stdout);
	fflush(stdout);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
	sigaction(SIGINT, &old_int, NULL);
	sigaction(SIGTERM, &old_term, NULL);
	sigaction(SIGWINCH, &old_resize, NULL);
	keep(NULL);
	return status;
}

int
run_top(struct cli *cli)
{
	struct span s;
	json_t *sample;
	if (!cli->json && !cli->watch && cli->out == stdout && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
		return run_live(cli);
	/* The first round of --watch has none before it. */
	if (!last) {
		int r = first_sample(cli);
		if (r != CLI_OK)
			return r;
		poll(NULL, 0, ROUND_MS);
	}
	int r = next_span(cli, &s, &sample);
	if (r != CLI_OK)
		return r;
	if (cli->json) {
		json_t *both = json_pack("{s:f, s:O, s:O}", "seconds", s.seconds, "before", s.before, "after",
					 s.after);
		keep(sample);
		return print_json(cli, both);
	}
	print_view(cli->out, &s);
	keep(sample);
	if (!cli->watch)
		keep(NULL);
	return CLI_OK;
}
