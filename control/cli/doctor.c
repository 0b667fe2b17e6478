/* SPDX-License-Identifier: BSD-3-Clause */
/* rookctl doctor and host check: what is wrong, why it matters, how to mend it. Without a server, too. */
#include "control/cli/commands.h"
#include "control/cli/host.h"

#include "shared/address.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#define CLOCK_SLACK_S 60
#define SPACE_FAIL (64ull << 20)
#define SPACE_WARN (1ull << 30)
/* Fewer packets tell nothing of how a NIC spreads them; a worker that has less than this part of its share is left out. */
#define SPREAD_PACKETS 10000
#define SPREAD_PART 10

static int
show_findings(struct cli *cli, const struct findings *f)
{
	unsigned failed = 0, warned = 0;
	json_t *rows = json_array();
	for (unsigned i = 0; i < f->count; i++) {
		const struct finding *x = &f->list[i];
		failed += x->state == FINDING_FAIL;
		warned += x->state == FINDING_WARN;
		if (cli->json) {
			json_array_append_new(rows, json_pack("{s:s, s:s, s:s, s:s, s:s}", "state",
							      x->state == FINDING_FAIL ? "fail" : finding_state_name(x->state),
							      "check", x->name, "finding", x->what, "why", x->why, "mend",
							      x->mend));
			continue;
		}
		fprintf(cli->out, "%-5s %-14s %s\n", finding_state_name(x->state), x->name, x->what);
		if (*x->why)
			fprintf(cli->out, "      %-14s %s\n", "  why", x->why);
		if (*x->mend)
			fprintf(cli->out, "      %-14s %s\n", "  mend", x->mend);
	}
	if (cli->json)
		print_json(cli, json_pack("{s:i, s:i, s:o}", "failed", (int)failed, "warnings", (int)warned, "findings", rows));
	else
		fprintf(cli->out, "%u checks: %u failed, %u warnings\n", f->count, failed, warned);
	if (!cli->json)
		json_decref(rows);
	return failed ? CLI_REFUSED : CLI_OK;
}

/* ---- files ------------------------------------------------------------------------------- */

static void
check_private(struct findings *f, const char *path, const char *name)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return; /* made when the server starts */
	if ((st.st_mode & 077) == 0) {
		finding_add(f, FINDING_OK, name, "", "%s is private", path);
		return;
	}
	struct finding *x = finding_add(f, FINDING_FAIL, name, "whoever can read it can act as the server or read what waits",
					"%s is open to others (mode %04o)", path, st.st_mode & 07777);
	finding_mend(x, "chmod %s %s", S_ISDIR(st.st_mode) ? "700" : "600", path);
}

/* Can its owner write to it, and is it not mounted read-only? We may be root, who always can. */
static void
check_writable(struct findings *f, const char *path)
{
	struct stat st;
	struct statvfs fs;
	if (stat(path, &st) < 0 || statvfs(path, &fs) < 0)
		return;
	struct finding *x;
	if (fs.f_flag & ST_RDONLY) {
		x = finding_add(f, FINDING_FAIL, "database", "nothing can be saved", "%s is on a file system mounted read-only", path);
		finding_mend(x, "mount -o remount,rw ... ; see `dmesg` for why it is read-only");
	} else if (!(st.st_mode & S_IWUSR) || access(path, W_OK) < 0) {
		x = finding_add(f, FINDING_FAIL, "database", "nothing can be saved", "%s cannot be written to", path);
		finding_mend(x, "chmod u+w %s; it must belong to the server's user", path);
	} else {
		finding_add(f, FINDING_OK, "database", "", "%s can be written to", path);
	}
}

/* Of the state directory, or of where it will be made. */
static void
check_space(struct findings *f, const char *state_dir)
{
	char dir[PATH_MAX];
	struct statvfs fs;
	snprintf(dir, sizeof(dir), "%s", state_dir);
	while (statvfs(dir, &fs) < 0) {
		char *slash = strrchr(dir, '/');
		if (!slash || errno != ENOENT || strcmp(dir, "/") == 0)
			return;
		slash[slash == dir] = '\0';
	}
	unsigned long long space = (unsigned long long)fs.f_bavail * fs.f_frsize;
	enum finding_state state = space < SPACE_FAIL || (fs.f_files && fs.f_favail == 0) ? FINDING_FAIL
				   : space < SPACE_WARN					? FINDING_WARN
											: FINDING_OK;
	struct finding *x = finding_add(f, state, "disk", state == FINDING_OK ? "" : "messages for absent users cannot be stored on a full disk",
					"%llu MiB free at %s", space >> 20, dir);
	if (state != FINDING_OK)
		finding_mend(x, "make room on it, or move state_dir to a larger one");
}

/* A file of the server that is from the future: the clock was set back. */
static void
check_time(struct findings *f, const char *database)
{
	char wal[PATH_MAX + 64];
	struct stat st;
	time_t now = time(NULL), newest = 0;
	snprintf(wal, sizeof(wal), "%s-wal", database);
	if (stat(database, &st) == 0)
		newest = st.st_mtime;
	if (stat(wal, &st) == 0 && st.st_mtime > newest)
		newest = st.st_mtime;
	if (newest <= now + CLOCK_SLACK_S) {
		finding_add(f, FINDING_OK, "clock", "", "no file of the server is from the future");
		return;
	}
	struct finding *x = finding_add(f, FINDING_FAIL, "clock", "logins and stored messages carry the time: older ones are refused as repeated",
					"the database was written %lld s in the future: the clock went back",
					(long long)(newest - now));
	finding_mend(x, "`timedatectl`; set the clock right (chrony, systemd-timesyncd) and restart the server");
}

static void
check_synchronised(struct findings *f)
{
	struct timex t = {0};
	struct finding *x;
	if (adjtimex(&t) < 0)
		return;
	if (!(t.status & STA_UNSYNC)) {
		finding_add(f, FINDING_OK, "time", "", "is kept by a time server");
		return;
	}
	x = finding_add(f, FINDING_NOTE, "time", "a clock that is set back makes the server refuse logins", "the clock follows no time server");
	finding_mend(x, "apt install chrony, or: timedatectl set-ntp true; if there is one already, its servers do not answer");
}

/* What a user without rights cannot see must not be reported as wrong. */
static void
not_permitted(struct findings *f, const char *name, const char *path)
{
	struct finding *x = finding_add(f, FINDING_WARN, name, "this was not checked", "%s: %s", path, strerror(EACCES));
	finding_mend(x, "run rookctl as root or as the server's user");
}

static void
check_files(struct findings *f, const struct config *c)
{
	char path[PATH_MAX];
	struct stat st;
	if (stat(c->state_dir, &st) < 0) {
		if (errno == ENOENT)
			finding_add(f, FINDING_OK, "state", "", "%s will be made when the server starts", c->state_dir);
		else
			finding_add(f, FINDING_FAIL, "state", "database and key are there", "%s: %s", c->state_dir, strerror(errno));
		return;
	}
	check_private(f, c->state_dir, "state");
	if (access(c->state_dir, X_OK) < 0 && errno == EACCES) {
		not_permitted(f, "database", c->state_dir);
		return;
	}
	if (config_state_path(c, "server.key", path, sizeof(path)))
		check_private(f, path, "server key");
	if (config_state_path(c, "rookery.db", path, sizeof(path))) {
		check_private(f, path, "database");
		check_writable(f, access(path, F_OK) == 0 ? path : c->state_dir);
		check_time(f, path);
	}
}

/* ---- the server -------------------------------------------------------------------------- */

/* Nobody serves: would the port be free? */
static void
check_listen(struct findings *f, const struct config *c)
{
	for (unsigned i = 0; i < c->dataplane.ports_count; i++) {
		const struct config_port *p = &c->dataplane.ports[i];
		struct endpoint e;
		struct sockaddr_storage ss;
		if (p->type != PORT_SOCKET || endpoint_parse(&e, p->listen, 8000) < 0)
			continue;
		socklen_t len = endpoint_to_sockaddr(&e, &ss);
		int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0), error = 0;
		if (fd < 0 || bind(fd, (struct sockaddr *)&ss, len) < 0)
			error = errno;
		if (fd >= 0)
			close(fd);
		if (error == 0) {
			finding_add(f, FINDING_OK, "listen", "", "%s is free", p->listen);
			continue;
		}
		struct finding *x = finding_add(f, FINDING_FAIL, "listen", "clients could not reach the server", "%s: %s", p->listen,
						strerror(error));
		if (error == EADDRINUSE)
			finding_mend(x, "`ss -ulpn` shows who has it; or change dataplane.ports.listen");
		else
			finding_mend(x, "correct dataplane.ports.listen; `ip -br addr` shows this machine's addresses");
	}
}

static void
check_status(struct findings *f, const json_t *s)
{
	const json_t *store = json_object_get(s, "store"), *page = json_object_get(s, "status_page");
	struct finding *x;
	if (json_is_true(json_object_get(s, "draining"))) {
		x = finding_add(f, FINDING_WARN, "server", "nobody new can log in", "is being drained");
		finding_mend(x, "rookctl undrain");
	} else if (json_is_true(json_object_get(s, "ready"))) {
		finding_add(f, FINDING_OK, "server", "", "ready, %lld sessions", number_of(s, "sessions"));
	} else {
		x = finding_add(f, FINDING_FAIL, "server", "nobody can log in", "waits for %s", text_of(s, "waiting_for"));
		finding_mend(x, "see the log lines of rookery-dataplane: they say what it lacks");
	}
	if (json_is_true(json_object_get(store, "ok"))) {
		finding_add(f, FINDING_OK, "store", "", "saves");
	} else {
		x = finding_add(f, FINDING_FAIL, "store", "messages for absent users stay with their senders", "does not save");
		finding_mend(x, "%s", text_of(store, "error"));
	}
	if (json_is_true(json_object_get(page, "ok"))) {
		finding_add(f, FINDING_OK, "status page", "", "http://%s/", text_of(page, "listen"));
	} else if (json_is_string(json_object_get(page, "listen"))) {
		x = finding_add(f, FINDING_WARN, "status page", "neither a browser nor Prometheus sees this server", "%s", text_of(page, "error"));
		finding_mend(x, "`ss -tlpn` shows who has an address; then, or with another metrics.listen: rookctl config reload");
	}
}

/* A client that is kept out sees a server that does not answer. */
static void
check_bans(struct cli *cli, struct findings *f)
{
	json_t *list = cli_call_quietly(cli, "bans.list", NULL), *stats;
	const json_t *bans = json_object_get(list, "bans"), *c;
	size_t count = json_array_size(bans), i;
	long long dropped = 0;
	char names[120] = "";
	if (count == 0) {
		json_decref(list);
		return;
	}
	for (i = 0; i < count && i < 3; i++)
		snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%s", i ? ", " : "",
			 text_of(json_array_get(bans, i), "prefix"));
	stats = cli_call_quietly(cli, "stats", json_pack("{s:b}", "drops", 1));
	json_array_foreach(json_object_get(stats, "counters"), i, c)
		if (strcmp(text_of(c, "name"), "drop_banned") == 0)
			dropped += number_of(c, "value");
	struct finding *x = finding_add(f, dropped ? FINDING_WARN : FINDING_NOTE, "bans", "clients from there get no answer, as from a dead server",
					"%zu%s banned: %s%s; %lld packets of theirs were dropped", count,
					json_is_true(json_object_get(list, "more")) ? " or more" : "", names, count > 3 ? ", ..." : "", dropped);
	finding_mend(x, "if a client should be let in: `rookctl bans list`, `rookctl bans del ADDRESS`");
	json_decref(stats);
	json_decref(list);
}

/* RSS at work: with many packets on a NIC no worker goes without. */
static void
check_spread(struct cli *cli, struct findings *f, const struct config *c)
{
	json_t *sample = cli_call_quietly(cli, "sample", NULL);
	const json_t *workers = json_object_get(sample, "workers"), *w;
	long long all = 0, least = LLONG_MAX, most = 0;
	struct finding *x;
	bool link = false;
	size_t i, count = json_array_size(workers);
	for (i = 0; i < c->dataplane.ports_count; i++)
		link = link || c->dataplane.ports[i].type == PORT_ETHDEV;
	json_array_foreach(workers, i, w) {
		long long n = number_of(w, "rx_packets");
		all += n;
		least = n < least ? n : least;
		most = n > most ? n : most;
	}
	json_decref(sample);
	if (!link || count < 2 || all < SPREAD_PACKETS)
		return;
	if (least * (long long)count * SPREAD_PART >= all) {
		finding_add(f, FINDING_OK, "spread", "", "a worker received %lld to %lld packets", least, most);
		return;
	}
	x = finding_add(f, FINDING_WARN, "spread", "one core does the work of several", "workers received %lld to %lld packets", least, most);
	finding_mend(x, "few clients, or one NAT before all of them: nothing to do; otherwise the NIC has no RSS: the lines area=port of the "
			"dataplane's log, more queues, or fewer workers");
}

static void
check_server(struct cli *cli, struct findings *f, const struct config *c)
{
	char path[PATH_MAX];
	json_t *status = cli_call_quietly(cli, "status", NULL);
	if (status) {
		check_status(f, status);
		check_bans(cli, f);
		json_decref(status);
		check_spread(cli, f, c);
		return;
	}
	if (config_runtime_path(c, "control.sock", path, sizeof(path)) && access(path, W_OK) < 0 && errno == EACCES) {
		not_permitted(f, "server", path);
		return;
	}
	finding_add(f, FINDING_NOTE, "server", "what only a running server knows was not checked", "does not run");
	check_listen(f, c);
}

/* ---- commands ---------------------------------------------------------------------------- */

static int
examine(struct cli *cli, bool all)
{
	struct findings f = {0};
	struct config *c;
	char error[512];
	if (config_load(&c, cli->config, cli->state, error, sizeof(error)) < 0) {
		struct finding *x = finding_add(&f, FINDING_FAIL, "configuration", "the server does not start with it", "%s", error);
		finding_mend(x, "correct it; `rookctl config check FILE` tries it again");
		return show_findings(cli, &f);
	}
	finding_add(&f, FINDING_OK, "configuration", "", "%s", cli->config ? cli->config : "the default");
	const char *root = cli_value(cli, "root");
	host_check(&f, root ? root : "", c);
	if (!root)
		check_space(&f, c->state_dir);
	if (all) {
		check_files(&f, c);
		check_synchronised(&f);
		check_server(cli, &f, c);
	}
	config_free(c);
	return show_findings(cli, &f);
}

int
run_doctor(struct cli *cli)
{
	return examine(cli, true);
}

int
run_host_check(struct cli *cli)
{
	return examine(cli, false);
}
