/* SPDX-License-Identifier: BSD-3-Clause */
/* For people: a prompt with history and completion, colours, receipts as marks. Events are printed above the line being typed. */
#include "rookchat.h"

#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define HISTORY_LINES 500
#define NAMES_MAX 256
#define RECENT_TEXTS 64
#define EXCERPT 32

enum colour { PLAIN, DIM, GREEN, YELLOW, RED, BLUE, BOLD };

struct person {
	char name[RK_NAME_MAX + 1];
	enum rk_status status; /* last told; 0: none */
	char text[RK_STATUS_TEXT_MAX + 1];
};

struct term {
	bool tty;      /* standard input is edited */
	bool colours;
	bool prompting; /* a line is being typed: what is printed goes above it */
	EditLine *editor;
	History *history_list;
	char partner[RK_NAME_MAX + 1];
	char prompt[128];
	char history[4200];
	char excerpts[RECENT_TEXTS][EXCERPT * 4 + 8]; /* of this run's messages, by seq */
	struct person people[NAMES_MAX]; /* seen: for completion, and to tell what is new */
	size_t person_count;
	bool listed; /* the list at login was shown: from then on changes are told */
};

static struct term *
term_of(const struct chat *chat)
{
	return chat->view_state;
}

static const char *
paint(const struct term *t, enum colour c)
{
	static const char *const codes[] = {"\033[0m", "\033[2m", "\033[32m", "\033[33m", "\033[31m", "\033[36m", "\033[1m"};

	return t->colours ? codes[c] : "";
}

/* ---- the line being typed ------------------------------------------------------------ */

static void
prompt_make(struct chat *chat)
{
	struct term *t = term_of(chat);

	if (t->partner[0] != '\0')
		snprintf(t->prompt, sizeof(t->prompt), "%s to %s> ", chat->user, t->partner);
	else
		snprintf(t->prompt, sizeof(t->prompt), "%s> ", chat->user);
}

static void
say_begin(const struct term *t)
{
	if (t->prompting)
		fputs("\r\033[K", stdout);
}

static void
say_end(const struct term *t)
{
	fputs(paint(t, PLAIN), stdout);
	putchar('\n');
	fflush(stdout);
	if (t->prompting)
		el_set(t->editor, EL_REFRESH);
}

static void __attribute__((format(printf, 3, 4)))
say(const struct term *t, enum colour c, const char *format, ...)
{
	va_list ap;

	say_begin(t);
	fputs(paint(t, c), stdout);
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	say_end(t);
}

/* Control characters of others do nothing to this terminal. */
static void
put_clean(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '\n')
			fputs("\n        ", stdout);
		else if (c == '\t')
			putchar(' ');
		else if (c < 0x20 || c == 0x7f || (c == 0xc2 && i + 1 < len && ((unsigned char)text[i + 1] & 0xe0) == 0x80))
			fputs("?", stdout);
		else
			putchar(c);
	}
}

static struct person *
remember(struct term *t, const char *name)
{
	struct person *p;

	for (size_t i = 0; i < t->person_count; i++)
		if (strcmp(t->people[i].name, name) == 0)
			return &t->people[i];
	if (t->person_count == NAMES_MAX)
		return NULL;
	p = &t->people[t->person_count++];
	snprintf(p->name, sizeof(p->name), "%s", name);
	return p;
}

/* Is that news? The server tells states again after a restart. */
static bool
presence_news(struct term *t, const char *name, enum rk_status status, const char *text)
{
	struct person *p = remember(t, name);
	bool news;

	if (p == NULL)
		return true;
	news = p->status == 0 ? status != RK_STATUS_OFFLINE : p->status != status || strcmp(p->text, text) != 0;
	p->status = status;
	snprintf(p->text, sizeof(p->text), "%s", text);
	return news;
}

/* ---- completion ---------------------------------------------------------------------- */

/* The candidate number i for a word: commands (with their slash) at the start of a line, otherwise names. NULL at the end. */
static const char *
candidate(const struct term *t, bool command, size_t i, char *buf, size_t cap)
{
	if (!command)
		return i < t->person_count ? t->people[i].name : NULL;
	if (chat_commands[i].name == NULL)
		return NULL;
	snprintf(buf, cap, "/%s", chat_commands[i].name);
	return buf;
}

/* Tab: adds what all candidates have in common, and a blank when there is only one. */
static unsigned char
complete(EditLine *editor, int key)
{
	const LineInfo *li = el_line(editor);
	const char *start = li->cursor;
	struct chat *chat;
	char common[64] = "", buf[64];
	const char *c;
	size_t found = 0, typed;

	(void)key;
	el_get(editor, EL_CLIENTDATA, &chat);
	while (start > li->buffer && start[-1] != ' ')
		start--;
	typed = (size_t)(li->cursor - start);
	for (size_t i = 0; (c = candidate(term_of(chat), start == li->buffer && *start == '/', i, buf, sizeof(buf))) != NULL; i++) {
		size_t same = 0;

		if (typed == 0 || strncmp(c, start, typed) != 0)
			continue;
		if (found++ == 0) {
			snprintf(common, sizeof(common), "%s", c);
			continue;
		}
		while (common[same] != '\0' && common[same] == c[same])
			same++;
		common[same] = '\0';
	}
	if (found == 0 || (found > 1 && strlen(common) == typed))
		return CC_REFRESH_BEEP;
	if (found == 1)
		strcat(common, " ");
	return el_insertstr(editor, common + typed) == 0 ? CC_REFRESH : CC_ERROR;
}

/* ---- input --------------------------------------------------------------------------- */

static void
help(const struct term *t)
{
	say(t, PLAIN, "Type a text to send it to the person in the prompt; /to NAME chooses one. Commands:");
	for (const struct chat_command_info *c = chat_commands; c->name != NULL; c++)
		say(t, PLAIN, "  /%-9s %-34s %s", c->name, c->arguments, c->help);
	say(t, PLAIN, "  /%-9s %-34s %s", "to", "NAME", "whom plain text goes to");
	say(t, PLAIN, "  /%-9s %-34s %s", "help", "", "this list");
	say(t, DIM, "Marks: \u2713\u2713 shown to the recipient, \u2709 waiting on the server until the recipient comes, \u2717 refused. "
		    "Tab completes commands and names; arrow up brings back what you typed.");
}

static void
set_partner(struct chat *chat, const char *name)
{
	struct term *t = term_of(chat);

	snprintf(t->partner, sizeof(t->partner), "%.32s", name);
	prompt_make(chat);
}

static void
send_text(struct chat *chat, const char *to, const char *text)
{
	struct term *t = term_of(chat);
	size_t before = chat->sent_count;

	chat_send(chat, to, text);
	if (chat->sent_count != before) {
		size_t n = strlen(text), cut = n;

		/* At most EXCERPT characters, never through the middle of one. */
		for (size_t i = 0, characters = 0; i < n; i++) {
			characters += ((unsigned char)text[i] & 0xc0) != 0x80;
			if (characters > EXCERPT) {
				cut = i;
				break;
			}
		}
		snprintf(t->excerpts[chat->sent_count % RECENT_TEXTS], sizeof(t->excerpts[0]), "%.*s%s", (int)(cut < 128 ? cut : 128), text,
			 cut < n ? "..." : "");
	}
}

static void
line(struct chat *chat, const char *text)
{
	struct term *t = term_of(chat);

	text += strspn(text, " \t");
	if (*text == '\0')
		return;
	if (*text != '/') {
		if (t->partner[0] == '\0')
			say(t, YELLOW, "To whom? Type /to NAME first, or /msg NAME TEXT; /help lists all commands.");
		else
			send_text(chat, t->partner, text);
	} else if (strcmp(text, "/help") == 0) {
		help(t);
	} else if (strncmp(text, "/to ", 4) == 0) {
		set_partner(chat, text + 4 + strspn(text + 4, " "));
	} else if (strncmp(text, "/msg ", 5) == 0 && strchr(text + 5, ' ') != NULL) {
		char to[RK_NAME_MAX + 2];
		size_t n = strcspn(text + 5, " ");

		snprintf(to, sizeof(to), "%.*s", (int)(n < sizeof(to) ? n : sizeof(to) - 1), text + 5);
		send_text(chat, to, text + 5 + n + 1);
		if (t->partner[0] == '\0')
			set_partner(chat, to);
	} else {
		chat_command(chat, text + 1);
	}
}

static char *
prompt(EditLine *editor)
{
	struct chat *chat;

	el_get(editor, EL_CLIENTDATA, &chat);
	return term_of(chat)->prompt;
}

/* The terminal is the editor's: every key comes at once, nothing is echoed by the kernel. */
static void
prompt_on(struct chat *chat)
{
	struct term *t = term_of(chat);

	if (!t->tty || t->prompting)
		return;
	prompt_make(chat);
	t->prompting = true;
	el_set(t->editor, EL_UNBUFFERED, 1);
}

static void
prompt_off(struct chat *chat)
{
	struct term *t = term_of(chat);

	if (!t->prompting)
		return;
	el_set(t->editor, EL_UNBUFFERED, 0);
	t->prompting = false;
}

static void
leave(struct chat *chat)
{
	chat->input_closed = true;
	chat_quit(chat);
}

/* One key. When it ends the line, the line is carried out with the terminal in its usual mode. */
static void
edit(struct chat *chat)
{
	struct term *t = term_of(chat);
	char text[RK_TEXT_MAX + 256];
	const char *typed;
	HistEvent ev;
	int n = 0;

	typed = el_gets(t->editor, &n);
	if (typed == NULL || (n == 1 && typed[0] == '\004')) {
		leave(chat);
		return;
	}
	if (n <= 0 || (typed[n - 1] != '\n' && typed[n - 1] != '\r'))
		return;
	snprintf(text, sizeof(text), "%.*s", n - 1, typed);
	prompt_off(chat);
	if (text[0] != '\0')
		history(t->history_list, &ev, H_ENTER, text);
	line(chat, text);
	if (!chat->quitting)
		prompt_on(chat);
}

static void
term_input(struct chat *chat)
{
	char text[RK_TEXT_MAX + 256];

	if (term_of(chat)->tty) {
		edit(chat);
		return;
	}
	/* Not a terminal: whole lines; who writes half a line is waited for. */
	if (fgets(text, sizeof(text), stdin) == NULL) {
		leave(chat);
		return;
	}
	text[strcspn(text, "\r\n")] = '\0';
	line(chat, text);
}

static int
term_ask_password(struct chat *chat, const char *prompt, char *buf, size_t cap)
{
	bool prompting = term_of(chat)->prompting;
	struct termios old, quiet;
	int rc = 0;

	if (!isatty(STDIN_FILENO))
		return -ENODATA;
	prompt_off(chat);
	tcgetattr(STDIN_FILENO, &old);
	quiet = old;
	quiet.c_lflag = (quiet.c_lflag & ~(tcflag_t)ECHO) | ICANON | ISIG;
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	fputs(prompt, stdout);
	fflush(stdout);
	ssize_t n = read(STDIN_FILENO, buf, cap - 1);
	tcsetattr(STDIN_FILENO, TCSANOW, &old);
	putchar('\n');
	buf[n > 0 ? n : 0] = '\0';
	buf[strcspn(buf, "\r\n")] = '\0';
	if (buf[0] == '\0')
		rc = -ENODATA;
	if (prompting)
		prompt_on(chat);
	return rc;
}

/* ---- events -------------------------------------------------------------------------- */

static enum colour
status_colour(enum rk_status s)
{
	switch (s) {
	case RK_STATUS_ONLINE: return GREEN;
	case RK_STATUS_AWAY: return YELLOW;
	case RK_STATUS_BUSY: return RED;
	default: return DIM;
	}
}

static void
show_message(struct chat *chat, const struct rk_event_message *m)
{
	struct term *t = term_of(chat);
	time_t seconds = (time_t)(m->sent_at / 1000);
	struct tm tm;
	char when[32];

	localtime_r(&seconds, &tm);
	strftime(when, sizeof(when), time(NULL) - seconds > 43200 ? "%Y-%m-%d %H:%M" : "%H:%M", &tm);
	remember(t, m->from);
	if (t->partner[0] == '\0')
		set_partner(chat, m->from);
	say_begin(t);
	printf("%s%s%s %s%s:%s ", paint(t, DIM), when, paint(t, PLAIN), paint(t, BLUE), m->from, paint(t, PLAIN));
	put_clean(m->text, m->text_len);
	if (m->offline)
		printf(" %s(sent while you were away)", paint(t, DIM));
	else if (m->redelivered)
		printf(" %s(perhaps shown before)", paint(t, DIM));
	say_end(t);
}

static void
show_outgoing(struct chat *chat, const struct rk_event *e)
{
	struct term *t = term_of(chat);
	const struct rk_event_outgoing *m = &e->outgoing;
	size_t seq = chat_seq(chat, m->local);
	const char *text = seq != 0 && seq + RECENT_TEXTS > chat->sent_count ? t->excerpts[seq % RECENT_TEXTS] : "an earlier message";

	if (e->type == RK_EVENT_REFUSED) {
		static const char *const why[] = {
			[RK_REFUSED_NOT_BUDDIES] = "you are not buddies (/add them first)",
			[RK_REFUSED_BLOCKED] = "blocked",
			[RK_REFUSED_UNKNOWN_USER] = "no such user",
			[RK_REFUSED_TOO_LARGE] = "longer than 16 KiB",
		};
		const char *reason = (size_t)m->reason < sizeof(why) / sizeof(why[0]) ? why[m->reason] : NULL;

		say(t, RED, "  \u2717 not sent to %s: %s  \"%s\"", m->to, reason != NULL ? reason : rk_refused_name(m->reason), text);
	} else if (m->level == RK_LEVEL_DELIVERED) {
		say(t, DIM, "  \u2713\u2713 %s  \"%s\"", m->to, text);
	} else if (m->level == RK_LEVEL_STORED) {
		say(t, DIM, "  \u2709 waiting for %s  \"%s\"", m->to, text);
	}
}

static void
show_buddies(struct term *t, const struct rk_event_response *r)
{
	if (r->buddies == 0)
		say(t, DIM, "No buddies yet. /add NAME asks somebody.");
	t->listed = true;
	for (size_t i = 0; i < r->buddies; i++) {
		const struct rk_buddy *b = &r->buddy[i];

		presence_news(t, b->name, b->state == RK_BUDDY_ACCEPTED ? b->status : RK_STATUS_OFFLINE, b->status_text);
		say_begin(t);
		printf("  %s\u25cf %-20s%s ", paint(t, b->state == RK_BUDDY_ACCEPTED ? status_colour(b->status) : DIM), b->name, paint(t, PLAIN));
		if (b->state == RK_BUDDY_PENDING)
			printf("asks to be your buddy: /accept %s or /deny %s", b->name, b->name);
		else if (b->state == RK_BUDDY_REQUESTED)
			printf("has not answered your request yet");
		else
			printf("%s", rk_status_name(b->status));
		if (b->status_text[0] != '\0') {
			printf(" - ");
			put_clean(b->status_text, strlen(b->status_text));
		}
		if (b->group[0] != '\0' || b->remark[0] != '\0')
			printf("  %s[%s%s%s]", paint(t, DIM), b->group, b->remark[0] != '\0' ? ": " : "", b->remark);
		if (b->blocked)
			printf(" %sblocked", paint(t, RED));
		say_end(t);
	}
}

static void
show_buddy(struct term *t, const struct rk_event *e)
{
	const struct rk_event_buddy *b = &e->buddy;

	remember(t, b->name);
	if (e->type == RK_EVENT_BUDDY_REQUEST) {
		say_begin(t);
		printf("%s%s asks to be your buddy", paint(t, BOLD), b->name);
		if (b->text[0] != '\0') {
			printf(": ");
			put_clean(b->text, strlen(b->text));
		}
		printf("%s  (/accept %s or /deny %s)", paint(t, PLAIN), b->name, b->name);
		say_end(t);
	} else if (b->state == RK_BUDDY_ACCEPTED) {
		say(t, GREEN, "%s and you are buddies now.", b->name);
	} else if (b->state == RK_BUDDY_DENIED) {
		say(t, YELLOW, "%s does not want to be your buddy.", b->name);
	} else if (b->state == RK_BUDDY_REMOVED) {
		say(t, YELLOW, "%s and you are no longer buddies.", b->name);
	}
}

static void
show_presence(struct term *t, const struct rk_event_presence *p)
{
	if (!presence_news(t, p->name, p->status, p->text) || !t->listed)
		return;
	say_begin(t);
	printf("%s\u25cf%s %s is %s", paint(t, status_colour(p->status)), paint(t, DIM), p->name, rk_status_name(p->status));
	if (p->text[0] != '\0') {
		printf(" - ");
		put_clean(p->text, strlen(p->text));
	}
	say_end(t);
}

static void
show_response(struct term *t, const struct rk_event *e)
{
	const struct rk_event_response *r = &e->response;

	if (r->code != RK_CODE_OK) {
		say(t, RED, "%s", r->text[0] != '\0' ? r->text : r->name);
	} else if (e->type == RK_EVENT_BUDDIES) {
		show_buddies(t, r);
	} else {
		for (size_t i = 0; i < r->users; i++) {
			remember(t, r->user[i].name);
			say(t, PLAIN, "  %s", r->user[i].name);
		}
	}
}

static void
show_closed(struct term *t, enum rk_closed_reason reason)
{
	switch (reason) {
	case RK_CLOSED_KICKED:
		say(t, RED, "The operator ended your session.");
		break;
	case RK_CLOSED_REPLACED:
		say(t, RED, "You logged in from another window of this device; this one ends.");
		break;
	case RK_CLOSED_REVOKED:
		say(t, RED, "Your password was changed on another device, or your account removed. Start again and enter the new password.");
		break;
	default:
		break;
	}
}

static void
term_event(struct chat *chat, const struct rk_event *e)
{
	struct term *t = term_of(chat);

	switch (e->type) {
	case RK_EVENT_KEY_SEEN:
		if (e->key.changed)
			say(t, RED, "THE SERVER'S KEY IS NOT THE ONE SEEN BEFORE (%s). Somebody may be in between. If the server was set up "
				    "anew, remove this client's state directory (%s) and log in again.",
			    e->key.text, chat->state_dir);
		else
			say(t, DIM, "First visit to %s; its key is %s", chat->server, e->key.text);
		break;
	case RK_EVENT_LOGIN:
		say(t, GREEN, "Logged in to %s as %s, seen as %s. /help lists the commands.", chat->server, e->login.user, e->login.observed);
		break;
	case RK_EVENT_LOGIN_REFUSED:
	case RK_EVENT_ERROR:
		say(t, RED, "%s", e->error.text[0] != '\0' ? e->error.text : e->error.name);
		break;
	case RK_EVENT_BUDDY_REQUEST:
	case RK_EVENT_BUDDY:
		show_buddy(t, e);
		break;
	case RK_EVENT_PRESENCE:
		show_presence(t, &e->presence);
		break;
	case RK_EVENT_MESSAGE:
		show_message(chat, &e->message);
		break;
	case RK_EVENT_RECEIPT:
	case RK_EVENT_REFUSED:
		show_outgoing(chat, e);
		break;
	case RK_EVENT_BUDDIES:
	case RK_EVENT_RESPONSE:
		show_response(t, e);
		break;
	case RK_EVENT_DISCONNECTED:
		say(t, YELLOW, "The server does not answer; trying on. What you send is kept.");
		break;
	case RK_EVENT_RESUMED:
		say(t, GREEN, "The server is back.");
		break;
	case RK_EVENT_CLOSED:
		show_closed(t, e->closed);
		break;
	case RK_EVENT_SENT:
	case RK_EVENT_SYNCED:
	case RK_EVENT_ENROL_NEEDED:
	case RK_EVENT_NONE:
		break;
	}
}

static void
term_error(struct chat *chat, const char *code, const char *text)
{
	(void)code;
	say(term_of(chat), RED, "%s", text);
}

/* ---- open, close --------------------------------------------------------------------- */

static int
editor_open(struct chat *chat)
{
	struct term *t = term_of(chat);
	HistEvent ev;

	t->editor = el_init("rookchat", stdin, stdout, stderr);
	t->history_list = history_init();
	if (t->editor == NULL || t->history_list == NULL)
		return -ENOMEM;
	history(t->history_list, &ev, H_SETSIZE, HISTORY_LINES);
	history(t->history_list, &ev, H_SETUNIQUE, 1);
	history(t->history_list, &ev, H_LOAD, t->history);
	el_set(t->editor, EL_CLIENTDATA, chat);
	el_set(t->editor, EL_PROMPT, prompt);
	el_set(t->editor, EL_EDITOR, "emacs");
	el_set(t->editor, EL_HIST, history, t->history_list);
	el_set(t->editor, EL_ADDFN, "rookchat-complete", "complete commands and names", complete);
	el_set(t->editor, EL_BIND, "^I", "rookchat-complete", NULL);
	el_source(t->editor, NULL);
	return 0;
}

static void
editor_close(struct term *t)
{
	HistEvent ev;
	mode_t mask = umask(0077);

	if (t->history_list != NULL) {
		history(t->history_list, &ev, H_SAVE, t->history);
		history_end(t->history_list);
	}
	umask(mask);
	if (t->editor != NULL)
		el_end(t->editor);
}

static int
term_open(struct chat *chat)
{
	struct term *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return -ENOMEM;
	chat->view_state = t;
	setlocale(LC_CTYPE, "");
	t->tty = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	t->colours = isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL;
	setvbuf(stdin, NULL, _IONBF, 0);
	snprintf(t->history, sizeof(t->history), "%s/history", chat->state_dir);
	return t->tty ? editor_open(chat) : 0;
}

static void
term_close(struct chat *chat)
{
	struct term *t = term_of(chat);

	if (t->prompting) {
		prompt_off(chat);
		putchar('\n');
	}
	if (t->tty)
		editor_close(t);
	free(t);
}

static void
term_ready(struct chat *chat)
{
	prompt_on(chat);
	chat_command(chat, "buddies");
}

const struct chat_view chat_view_term = {
	.open = term_open,
	.close = term_close,
	.ready = term_ready,
	.input = term_input,
	.event = term_event,
	.error = term_error,
	.ask_password = term_ask_password,
};
