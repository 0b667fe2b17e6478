/* SPDX-License-Identifier: BSD-3-Clause */
#include "rookchat.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOGIN_WAIT_US UINT64_C(15000000)
#define QUIT_WAIT_US UINT64_C(10000000)
#define GOODBYE_WAIT_US UINT64_C(200000)
#define PASSWORD_MAX 256
/* Standard input is left alone while so many texts wait for their final answer. */
#define OUTBOX_HIGH 5000

static volatile sig_atomic_t interrupted;

static void
on_signal(int sig)
{
	(void)sig;
	interrupted = 1;
}

/* ---- commands ------------------------------------------------------------------------ */

/* Cuts the first word off *rest; "" when there is none. */
static char *
word(char **rest)
{
	char *start = *rest + strspn(*rest, " \t");
	char *end = start + strcspn(start, " \t");

	if (*end != '\0')
		*end++ = '\0';
	*rest = end + strspn(end, " \t");
	return start;
}

static void
complain(struct chat *chat, int64_t result)
{
	if (result >= 0)
		return;
	switch (result) {
	case -EINVAL:
		chat->view->error(chat, "usage", "a name is 1-32 of a-z 0-9 . _ - and starts with a letter; texts are at most 256 bytes");
		break;
	case -EAGAIN:
		chat->view->error(chat, "slow_down", "too much is waiting for the server; try again in a moment");
		break;
	default:
		chat->view->error(chat, "local", strerror((int)-result));
	}
}

size_t
chat_seq(const struct chat *chat, int64_t local)
{
	size_t low = 0, high = chat->sent_count;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (chat->sent[mid] < local)
			low = mid + 1;
		else
			high = mid;
	}
	return low < chat->sent_count && chat->sent[low] == local ? low + 1 : 0;
}

void
chat_send(struct chat *chat, const char *to, const char *text)
{
	int64_t local;

	if (chat->sent_count == chat->sent_cap) {
		size_t cap = chat->sent_cap != 0 ? chat->sent_cap * 2 : 64;
		int64_t *sent = realloc(chat->sent, cap * sizeof(*sent));

		if (sent == NULL) {
			complain(chat, -ENOMEM);
			return;
		}
		chat->sent = sent;
		chat->sent_cap = cap;
	}
	local = rk_client_send(chat->client, to, text, strlen(text));
	if (local < 0)
		complain(chat, local);
	else
		chat->sent[chat->sent_count++] = local;
}

void
chat_quit(struct chat *chat)
{
	if (chat->quitting)
		return;
	chat->quitting = true;
	chat->quit_us = rk_runtime_now_us() + QUIT_WAIT_US;
}

static void
command_msg(struct chat *chat, char *arguments)
{
	char *to = word(&arguments);

	if (*to == '\0' || *arguments == '\0')
		chat->view->error(chat, "usage", "msg NAME TEXT");
	else
		chat_send(chat, to, arguments);
}

static void
command_add(struct chat *chat, char *arguments)
{
	char *name = word(&arguments);

	complain(chat, rk_client_add_buddy(chat->client, name, *arguments != '\0' ? arguments : NULL));
}

static void
command_accept(struct chat *chat, char *arguments)
{
	complain(chat, rk_client_answer_buddy(chat->client, word(&arguments), true));
}

static void
command_deny(struct chat *chat, char *arguments)
{
	complain(chat, rk_client_answer_buddy(chat->client, word(&arguments), false));
}

static void
command_remove(struct chat *chat, char *arguments)
{
	complain(chat, rk_client_remove_buddy(chat->client, word(&arguments)));
}

static void
command_block(struct chat *chat, char *arguments)
{
	complain(chat, rk_client_block(chat->client, word(&arguments), true));
}

static void
command_unblock(struct chat *chat, char *arguments)
{
	complain(chat, rk_client_block(chat->client, word(&arguments), false));
}

static void
command_buddies(struct chat *chat, char *arguments)
{
	(void)arguments;
	complain(chat, rk_client_list_buddies(chat->client));
}

static void
command_note(struct chat *chat, char *arguments)
{
	char *name = word(&arguments);
	char *group = word(&arguments);

	complain(chat, rk_client_set_buddy(chat->client, name, group, arguments));
}

static void
command_search(struct chat *chat, char *arguments)
{
	complain(chat, rk_client_search(chat->client, word(&arguments), 0));
}

static void
command_status(struct chat *chat, char *arguments)
{
	static const enum rk_status all[] = {RK_STATUS_ONLINE, RK_STATUS_AWAY, RK_STATUS_BUSY, RK_STATUS_INVISIBLE};
	char *name = word(&arguments);

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (strcmp(name, rk_status_name(all[i])) == 0) {
			complain(chat, rk_client_set_presence(chat->client, all[i], *arguments != '\0' ? arguments : NULL));
			return;
		}
	}
	chat->view->error(chat, "usage", "status online|away|busy|invisible [TEXT]");
}

static void
command_password(struct chat *chat, char *arguments)
{
	char old[PASSWORD_MAX + 1] = "", new[PASSWORD_MAX + 1] = "", again[PASSWORD_MAX + 1] = "";

	(void)arguments;
	if (chat->view->ask_password == NULL) {
		chat->view->error(chat, "usage", "a password can be changed in a terminal only");
		return;
	}
	if (chat->view->ask_password(chat, "Old password: ", old, sizeof(old)) == 0 &&
	    chat->view->ask_password(chat, "New password: ", new, sizeof(new)) == 0 &&
	    chat->view->ask_password(chat, "New password again: ", again, sizeof(again)) == 0) {
		if (strcmp(new, again) != 0)
			chat->view->error(chat, "usage", "the two new passwords differ; nothing was changed");
		else
			complain(chat, rk_client_change_password(chat->client, old, new));
	}
	explicit_bzero(old, sizeof(old));
	explicit_bzero(new, sizeof(new));
	explicit_bzero(again, sizeof(again));
}

static void
command_quit(struct chat *chat, char *arguments)
{
	(void)arguments;
	chat_quit(chat);
}

const struct chat_command_info chat_commands[] = {
	{"msg", "NAME TEXT", "send a message", command_msg},
	{"add", "NAME [TEXT]", "ask somebody to be your buddy", command_add},
	{"accept", "NAME", "say yes to a buddy request", command_accept},
	{"deny", "NAME", "say no to a buddy request", command_deny},
	{"remove", "NAME", "end a buddy relation", command_remove},
	{"block", "NAME", "take no more messages or requests from somebody", command_block},
	{"unblock", "NAME", "undo block", command_unblock},
	{"buddies", "", "list buddies and open requests", command_buddies},
	{"note", "NAME GROUP [REMARK]", "sort a buddy into a group, with a remark", command_note},
	{"search", "PREFIX", "users whose name begins so", command_search},
	{"status", "online|away|busy|invisible [TEXT]", "what your buddies see", command_status},
	{"password", "", "change your password (your other devices must enter it again)", command_password},
	{"quit", "", "leave, once everything sent has its receipt (at most 10 s)", command_quit},
	{NULL, NULL, NULL, NULL},
};

void
chat_command(struct chat *chat, const char *line)
{
	char *copy = strdup(line);
	char *rest = copy;
	char text[160];
	char *name;

	if (copy == NULL) {
		complain(chat, -ENOMEM);
		return;
	}
	name = word(&rest);
	if (*name == '\0')
		goto out;
	for (const struct chat_command_info *c = chat_commands; c->name != NULL; c++) {
		if (strcmp(c->name, name) == 0) {
			c->run(chat, rest);
			goto out;
		}
	}
	snprintf(text, sizeof(text), "unknown command '%.40s'", name);
	chat->view->error(chat, "usage", text);
out:
	free(copy);
}

void
chat_time_format(uint64_t ms, char *buf, size_t cap)
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;
	char date[32];

	gmtime_r(&seconds, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf, cap, "%s.%03uZ", date, (unsigned)(ms % 1000));
}

/* ---- password ------------------------------------------------------------------------ */

static int
password_from_file(const char *path, char *buf, size_t cap)
{
	FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
	int rc = 0;

	if (f == NULL)
		return -errno;
	if (fgets(buf, (int)cap, f) == NULL)
		rc = -ENODATA;
	else
		buf[strcspn(buf, "\r\n")] = '\0';
	if (f != stdin)
		fclose(f);
	return rc;
}

/* From the file, or asked for; twice if it is a new one. */
static int
password_get(struct chat *chat, bool new, char *buf, size_t cap)
{
	char prompt[96], again[PASSWORD_MAX + 1];
	int rc;

	if (chat->password_file != NULL)
		return password_from_file(chat->password_file, buf, cap);
	if (chat->view->ask_password == NULL)
		return -ENODATA;
	snprintf(prompt, sizeof(prompt), new ? "Choose a password for %s: " : "Password of %s: ", chat->user);
	rc = chat->view->ask_password(chat, prompt, buf, cap);
	if (rc != 0 || !new)
		return rc;
	rc = chat->view->ask_password(chat, "Again: ", again, sizeof(again));
	if (rc == 0 && strcmp(buf, again) != 0)
		rc = -EBADMSG;
	explicit_bzero(again, sizeof(again));
	return rc;
}

static void
password_use(struct chat *chat, bool new)
{
	char password[PASSWORD_MAX + 1] = "";
	char text[160];
	int rc = password_get(chat, new, password, sizeof(password));

	if (rc == 0)
		rc = new ? rk_client_register(chat->client, password) : rk_client_enrol(chat->client, password);
	explicit_bzero(password, sizeof(password));
	chat->start_us = rk_runtime_now_us();
	if (rc == 0)
		return;
	if (rc == -ENODATA)
		snprintf(text, sizeof(text), "this device is not enrolled yet: a password is needed (--password-file FILE)");
	else if (rc == -EBADMSG)
		snprintf(text, sizeof(text), "the two passwords differ");
	else
		snprintf(text, sizeof(text), "password of %s: %s", chat->user, strerror(-rc));
	chat->view->error(chat, "password", text);
	chat->exit_code = CHAT_EXIT_REFUSED;
}

/* ---- events -------------------------------------------------------------------------- */

static void
event_act(struct chat *chat, const struct rk_event *e)
{
	switch (e->type) {
	case RK_EVENT_LOGIN:
		if (!chat->logged_in) {
			chat->logged_in = true;
			chat->view->ready(chat);
		}
		break;
	case RK_EVENT_LOGIN_REFUSED:
		chat->exit_code = CHAT_EXIT_REFUSED;
		break;
	case RK_EVENT_ENROL_NEEDED:
		password_use(chat, chat->register_user);
		break;
	case RK_EVENT_KEY_SEEN:
		if (e->key.changed)
			chat->exit_code = CHAT_EXIT_REFUSED;
		break;
	case RK_EVENT_CLOSED:
		chat->exit_code = e->closed == RK_CLOSED_LOGOUT ? CHAT_EXIT_OK : CHAT_EXIT_REFUSED;
		break;
	default:
		break;
	}
}

static void
events(struct chat *chat)
{
	struct rk_event e;

	while (chat->exit_code < 0 && rk_client_next_event(chat->client, &e) == 1) {
		chat->view->event(chat, &e);
		event_act(chat, &e);
	}
	rk_client_event_done(chat->client);
}

/* ---- the loop ------------------------------------------------------------------------ */

static bool
input_wanted(const struct chat *chat)
{
	return chat->logged_in && !chat->quitting && !chat->input_closed && rk_client_outbox_pending(chat->client) < OUTBOX_HIGH;
}

/* Everything is said and answered, or time is up. */
static bool
may_leave(const struct chat *chat, uint64_t now_us)
{
	return now_us >= chat->quit_us ||
	       (rk_client_outbox_pending(chat->client) == 0 && rk_client_requests_pending(chat->client) == 0);
}

static void
say_goodbye(struct chat *chat)
{
	uint64_t end_us = rk_runtime_now_us() + GOODBYE_WAIT_US;
	struct rk_event e;

	rk_client_logout(chat->client);
	while (rk_runtime_now_us() < end_us) {
		rk_runtime_run_once(chat->runtime, 0, NULL, 0);
		if (rk_client_next_event(chat->client, &e) == 1 && e.type == RK_EVENT_CLOSED)
			break;
	}
	chat->exit_code = CHAT_EXIT_OK;
}

static int
wait_ms(const struct chat *chat, uint64_t now_us)
{
	uint64_t end_us = UINT64_MAX;

	if (chat->quitting)
		end_us = chat->quit_us;
	else if (!chat->logged_in)
		end_us = chat->start_us + LOGIN_WAIT_US;
	if (end_us == UINT64_MAX)
		return -1;
	return end_us <= now_us ? 0 : (int)((end_us - now_us) / 1000 + 1);
}

static void
turn(struct chat *chat)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	uint64_t now_us = rk_runtime_now_us();
	bool wanted = input_wanted(chat);
	char text[160];
	int n;

	if (interrupted)
		chat_quit(chat);
	if (chat->quitting && may_leave(chat, now_us)) {
		say_goodbye(chat);
		return;
	}
	if (!chat->logged_in && now_us > chat->start_us + LOGIN_WAIT_US) {
		snprintf(text, sizeof(text), "no answer from %s; is the server running, and is UDP let through?", chat->server);
		chat->view->error(chat, "unreachable", text);
		chat->exit_code = CHAT_EXIT_UNREACHABLE;
		return;
	}
	n = rk_runtime_run_once(chat->runtime, wait_ms(chat, now_us), wanted ? &input : NULL, wanted ? 1 : 0);
	if (n > 0 && input.revents != 0)
		chat->view->input(chat);
	events(chat);
}

/* ---- start --------------------------------------------------------------------------- */

static const char usage[] =
	"usage: rookchat [--server HOST:PORT] --user NAME [--register] [--password-file FILE]\n"
	"                [--state DIR] [--server-key HEX] [--json]\n"
	"\n"
	"Chat through a Rookery server.\n"
	"\n"
	"  --server HOST:PORT    the server (127.0.0.1:8000)\n"
	"  --user NAME           your user name: 1-32 of a-z 0-9 . _ -, starting with a letter\n"
	"  --register            create the account if this device does not know it yet\n"
	"  --password-file FILE  read the password from the first line of FILE, '-' for standard input;\n"
	"                        otherwise it is asked for. It is needed once per device\n"
	"  --state DIR           device key, outbox and history (~/.local/state/rookchat/NAME@SERVER)\n"
	"  --server-key HEX      expect this public key of the server instead of trusting the first one seen\n"
	"  --json                scripted: commands on standard input, one JSON event per line on standard output\n"
	"  --help, --version\n"
	"\n"
	"Leaves with 0 after quit, 1 when this machine fails (state directory), 2 for wrong usage, 3 when the login\n"
	"is refused or the server ends the session, 4 when the server can't be reached.\n";

static int
make_dirs(char *path)
{
	for (char *p = path + 1;; p++) {
		if (*p != '/' && *p != '\0')
			continue;
		char c = *p;

		*p = '\0';
		if (mkdir(path, 0700) != 0 && errno != EEXIST) {
			*p = c;
			return -errno;
		}
		*p = c;
		if (c == '\0')
			return access(path, W_OK) == 0 ? 0 : -errno;
	}
}

static int
state_dir_default(struct chat *chat)
{
	const char *base = getenv("XDG_STATE_HOME");
	const char *home = getenv("HOME");
	int n;

	if (base != NULL && *base == '/')
		n = snprintf(chat->state_dir, sizeof(chat->state_dir), "%s/rookchat/%s@%s", base, chat->user, chat->server);
	else
		n = snprintf(chat->state_dir, sizeof(chat->state_dir), "%s/.local/state/rookchat/%s@%s", home != NULL ? home : "/tmp",
			     chat->user, chat->server);
	return n < (int)sizeof(chat->state_dir) ? 0 : -ENAMETOOLONG;
}

/* Before it becomes part of a path. */
static bool
valid_name(const char *name)
{
	size_t n = strlen(name);

	return n >= 1 && n <= RK_NAME_MAX && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n &&
	       strcspn(name, "0123456789._-") != 0;
}

static bool
parse_key(const char *hex, uint8_t key[RK_KEY_SIZE])
{
	for (size_t i = 0; i < RK_KEY_SIZE; i++) {
		unsigned byte;

		if (strspn(hex + 2 * i, "0123456789abcdefABCDEF") < 2 || sscanf(hex + 2 * i, "%2x", &byte) != 1)
			return false;
		key[i] = (uint8_t)byte;
	}
	return hex[2 * RK_KEY_SIZE] == '\0';
}

/* Returns -1 to go on, or an exit code. */
static int
options(struct chat *chat, int argc, char **argv)
{
	enum { OPT_SERVER = 1, OPT_USER, OPT_PASSWORD, OPT_REGISTER, OPT_STATE, OPT_KEY, OPT_JSON, OPT_HELP, OPT_VERSION };
	static const struct option longs[] = {
		{"server", required_argument, NULL, OPT_SERVER},
		{"user", required_argument, NULL, OPT_USER},
		{"password-file", required_argument, NULL, OPT_PASSWORD},
		{"register", no_argument, NULL, OPT_REGISTER},
		{"state", required_argument, NULL, OPT_STATE},
		{"server-key", required_argument, NULL, OPT_KEY},
		{"json", no_argument, NULL, OPT_JSON},
		{"help", no_argument, NULL, OPT_HELP},
		{"version", no_argument, NULL, OPT_VERSION},
		{NULL, 0, NULL, 0},
	};
	const char *state = NULL;
	int opt;

	chat->server = "127.0.0.1:8000";
	chat->view = &chat_view_term;
	while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (opt) {
		case OPT_SERVER: chat->server = optarg; break;
		case OPT_USER: chat->user = optarg; break;
		case OPT_PASSWORD: chat->password_file = optarg; break;
		case OPT_REGISTER: chat->register_user = true; break;
		case OPT_STATE: state = optarg; break;
		case OPT_JSON: chat->view = &chat_view_json; break;
		case OPT_KEY:
			if (!parse_key(optarg, chat->server_key)) {
				fprintf(stderr, "rookchat: --server-key: 64 hexadecimal digits, not '%s'\n", optarg);
				return CHAT_EXIT_USAGE;
			}
			chat->have_server_key = true;
			break;
		case OPT_HELP:
			fputs(usage, stdout);
			return CHAT_EXIT_OK;
		case OPT_VERSION:
			puts("rookchat " ROOKERY_VERSION);
			return CHAT_EXIT_OK;
		default:
			fputs("Try 'rookchat --help'.\n", stderr);
			return CHAT_EXIT_USAGE;
		}
	}
	if (optind < argc || chat->user == NULL) {
		fputs(chat->user == NULL ? "rookchat: --user NAME is missing\n" : "rookchat: too many arguments\n", stderr);
		fputs(usage, stderr);
		return CHAT_EXIT_USAGE;
	}
	if (!valid_name(chat->user)) {
		fputs("rookchat: --user: a name is 1-32 of a-z 0-9 . _ - and starts with a letter\n", stderr);
		return CHAT_EXIT_USAGE;
	}
	if (strchr(chat->server, '/') != NULL) {
		fprintf(stderr, "rookchat: --server: HOST:PORT, not '%s'\n", chat->server);
		return CHAT_EXIT_USAGE;
	}
	if (state != NULL ? snprintf(chat->state_dir, sizeof(chat->state_dir), "%s", state) >= (int)sizeof(chat->state_dir) :
			    state_dir_default(chat) != 0) {
		fputs("rookchat: --state: the path is too long\n", stderr);
		return CHAT_EXIT_USAGE;
	}
	return -1;
}

static int
state_failed(const struct chat *chat, const char *what, int rc)
{
	if (rc == -EBUSY)
		fprintf(stderr, "rookchat: %s/%s is in use: another rookchat runs with this --state\n", chat->state_dir, what);
	else if (rc == -EACCES && strcmp(what, "device.key") == 0)
		fprintf(stderr, "rookchat: %s/%s: not accessible, or readable for others (mend: chmod 600)\n", chat->state_dir, what);
	else
		fprintf(stderr, "rookchat: %s/%s: %s\n", chat->state_dir, what, strerror(-rc));
	return CHAT_EXIT_FAILURE;
}

/* Opens store, client and socket. Returns -1 to go on, or an exit code. */
static int
start(struct chat *chat)
{
	struct rk_config cfg = {.user = chat->user, .server_key = chat->have_server_key ? chat->server_key : NULL};
	uint8_t secret[RK_KEY_SIZE];
	char path[PATH_MAX + 32];
	char host[64] = "";
	int rc;

	rc = make_dirs(chat->state_dir);
	if (rc != 0)
		return state_failed(chat, "", rc);
	snprintf(path, sizeof(path), "%s/device.key", chat->state_dir);
	rc = rk_device_key_file(path, secret);
	if (rc != 0)
		return state_failed(chat, "device.key", rc);
	snprintf(path, sizeof(path), "%s/chat.db", chat->state_dir);
	rc = rk_store_open(&chat->store, path);
	if (rc != 0)
		return state_failed(chat, "chat.db", rc);
	gethostname(host, sizeof(host) - 1);
	cfg.device_secret = secret;
	cfg.device_name = host;
	cfg.store = chat->store;
	rc = rk_client_new(&chat->client, &cfg);
	explicit_bzero(secret, sizeof(secret));
	if (rc != 0) {
		fprintf(stderr, "rookchat: the client did not start: %s\n", strerror(-rc));
		return CHAT_EXIT_FAILURE;
	}
	rc = rk_runtime_open(&chat->runtime, chat->client, chat->server);
	if (rc == -EINVAL) {
		fprintf(stderr, "rookchat: --server: HOST:PORT, not '%s'\n", chat->server);
		return CHAT_EXIT_USAGE;
	}
	if (rc != 0) {
		fprintf(stderr, "rookchat: %s: %s\n", chat->server, rc == -ENOENT ? "no such host" : strerror(-rc));
		return CHAT_EXIT_UNREACHABLE;
	}
	return -1;
}

int
main(int argc, char **argv)
{
	struct chat chat = {.exit_code = -1};
	struct sigaction act = {.sa_handler = on_signal};
	const struct rlimit none = {0};
	int rc = options(&chat, argc, argv);

	setrlimit(RLIMIT_CORE, &none); /* there are keys and passwords in our memory */
	if (rc >= 0)
		return rc;
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	signal(SIGPIPE, SIG_IGN);
	rc = start(&chat);
	if (rc < 0 && chat.view->open(&chat) == 0) {
		chat.start_us = rk_runtime_now_us();
		rk_client_login(chat.client);
		while (chat.exit_code < 0)
			turn(&chat);
		rc = chat.exit_code;
		chat.view->close(&chat);
	}
	rk_runtime_close(chat.runtime);
	rk_client_free(chat.client);
	rk_store_close(chat.store);
	free(chat.sent);
	return rc < 0 ? CHAT_EXIT_FAILURE : rc;
}
