/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of commands. */
#include "control/cli/commands.h"

#include "shared/log.h"

#define NUMBER_MAX INT32_MAX
#define AREA_WORD(name_, programs, about) "|" #name_
#define AREAS (&(LOG_SERVER_AREAS(AREA_WORD))[1])

#define FLAG(name_, help_) {.name = name_, .type = CLI_FLAG, .help = help_}
#define OPTION(name_, type_, value_, help_, ...) \
	{.name = name_, .type = type_, .value = value_, .help = help_, ##__VA_ARGS__}
#define ARG(name_, type_, help_, ...) {.name = name_, .type = type_, .help = help_, ##__VA_ARGS__}
#define COMMAND(name_, help_, run_, method_, flags_, ...) \
	{.name = name_, .help = help_, .run = run_, .method = method_, .flags = flags_, ##__VA_ARGS__}

const struct cli_param cli_globals[] = {
	OPTION("state", CLI_FILE, "DIR", "the state directory that the server was started with"),
	OPTION("config", CLI_FILE, "FILE", "the configuration that the server was started with"),
	OPTION("socket", CLI_FILE, "PATH", "the server's admin socket; default: as the configuration says"),
	FLAG("json", "print the result as JSON"),
	OPTION("watch", CLI_SECONDS, "SECONDS", "again and again, every 2 seconds unless told otherwise"),
	OPTION("count", CLI_NUMBER, "N", "with --watch: so many times", .min = 1, .max = NUMBER_MAX),
	OPTION("file", CLI_FILE, "FILE", "commands of FILE, one per line; - for standard input; short -f"),
	FLAG("stop", "with -f: stop at the first command that fails; short -e"),
	FLAG("help", "show help, also for one command; short -h"),
	FLAG("version", "show the version"),
	{0},
};

#define OFFSET OPTION("offset", CLI_NUMBER, "N", "without the first N", .max = NUMBER_MAX)
#define LIMIT OPTION("limit", CLI_NUMBER, "N", "at most so many; 0: all; default 100", .max = NUMBER_MAX)

static const struct cli_param page_options[] = {LIMIT, OFFSET, {0}};

static const struct cli_param user_options[] = {
	OPTION("prefix", CLI_USER, "TEXT", "only names that begin with TEXT"),
	LIMIT,
	OFFSET,
	{0},
};

static const struct cli_param session_options[] = {
	OPTION("user", CLI_USER, "NAME", "of this user only"),
	OPTION("address", CLI_TEXT, "PREFIX", "from this address or prefix, as 192.0.2.0/24"),
	OPTION("worker", CLI_NUMBER, "N", "owned by this worker", .max = 127),
	OPTION("status", CLI_WORD, "STATUS", "with this status only", .words = "online|away|busy|invisible|restricted"),
	LIMIT,
	OFFSET,
	{0},
};

static const struct cli_param ban_options[] = {
	OPTION("for", CLI_DURATION, "DURATION", "end by itself after 90s, 10m, 2h, 7d; default: never"),
	OPTION("reason", CLI_TEXT, "TEXT", "for whoever reads the list, at most 128 bytes"),
	{0},
};

static const struct cli_param trace_options[] = {
	OPTION("packets", CLI_NUMBER, "N", "end after N lines", .min = 1, .max = NUMBER_MAX),
	OPTION("for", CLI_DURATION, "DURATION", "end after 90s, 10m, 2h"),
	FLAG("bytes", "also the datagrams as they are on the wire, encrypted, in hexadecimal"),
	{0},
};

static const struct cli_param capture_options[] = {
	OPTION("session", CLI_SESSION, "SID", "only of this session"),
	OPTION("user", CLI_USER, "NAME", "only of this user's sessions"),
	OPTION("address", CLI_TEXT, "PREFIX", "only from and to this address or prefix, as 192.0.2.0/24"),
	OPTION("packets", CLI_NUMBER, "N", "end after N packets; default 100000", .min = 1, .max = NUMBER_MAX),
	OPTION("bytes", CLI_NUMBER, "N", "end when the file has N bytes; default 64 MiB", .min = 1, .max = INT64_MAX / 10),
	OPTION("for", CLI_DURATION, "DURATION", "end after 90s, 10m, 2h"),
	{0},
};

#define TRACE_DETAILS                                                                                                  \
	"Each line: time, worker, direction, what it is, peer, session, frames, and behind the arrow what became of it:\n" \
	"the counters that it moved, the end of its way first. Never keys or texts. Ctrl-C ends it."

static const struct cli_param password_options[] = {
	OPTION("password-file", CLI_FILE, "FILE", "first line of FILE instead of asking; - is standard input"),
	{0},
};

static const struct cli_param stats_options[] = {
	FLAG("drops", "only the reasons why packets were dropped"),
	OPTION("worker", CLI_NUMBER, "N", "one worker instead of the sum of all", .max = 127),
	FLAG("all", "also the counters that are zero"),
	{0},
};

static const struct cli_param backup_options[] = {
	FLAG("force", "replace FILE if it is there"),
	{0},
};

static const struct cli_param host_options[] = {
	OPTION("root", CLI_FILE, "DIR", "look at the /sys, /proc and /dev below DIR instead of this machine's"),
	{0},
};

static const struct cli_param host_init_options[] = {
	FLAG("dry-run", "only print the commands"),
	FLAG("force", "also take a NIC that the kernel uses now"),
	{0},
};

static const struct cli_param host_fini_options[] = {
	FLAG("dry-run", "only print the commands"),
	{0},
};

#define NAME(help_) ARG("NAME", CLI_USER, help_)

const struct command cli_commands[] = {
	COMMAND("status", "what is up, and what is not", run_status, "status", CLI_READ | CLI_WATCH),
	COMMAND("top", "live view: packets, cycles, drops, logins, rings, store", run_top, "sample",
	 CLI_READ | CLI_WATCH,
	 .details = "On a terminal it is drawn anew every second, and q ends it; otherwise, or with --watch, each\n"
		    "round is printed. BUSY is the part of a worker's loops that found work. With --json: two\n"
		    "samples, whose differences are the rates.",
	 .example = "top\ntop --watch=10 --count 6"),
	COMMAND("workers", "the workers: sessions, packets, rings", run_workers, "sample", CLI_READ | CLI_WATCH,
	 .details = "Rings are shown as used/capacity. EVENT, REQUEST and LOGIN lead to control, INJECT from it."),
	COMMAND("ports", "where clients reach the server", run_ports, "status", CLI_READ),
	COMMAND("stats", "counters", run_stats, "stats", CLI_READ | CLI_WATCH, .options = stats_options,
	 .details = "All workers are added up unless --worker names one.",
	 .example = "stats --drops\nstats --worker 0 --all\nstats --watch=1"),
	COMMAND("users list", "accounts by name", run_users_list, "users.list", CLI_READ, .options = user_options,
	 .example = "users list --limit 0\n--json users list | jq -r '.users[].name'"),
	COMMAND("users show", "one account with its devices and sessions", run_users_show, "users.show", CLI_READ,
	 .args = {NAME("the account")}),
	COMMAND("users add", "make an account", run_users_add, "users.add", 0, .also = "users create",
	 .args = {NAME("1-32 of a-z 0-9 . _ -, beginning with a letter")}, .options = password_options,
	 .details = "The password is asked for twice; it is never an argument, where others could see it. The user\n"
		    "logs in with `rookchat --user NAME`.",
	 .example = "users add alice\nusers add alice --password-file - < secret.txt"),
	COMMAND("users passwd", "set an account's password", run_users_passwd, "users.passwd", 0, .also = "users password",
	 .args = {NAME("the account")}, .options = password_options,
	 .details = "All sessions of the user end. Each device must enter the new password once; what waits for it is kept."),
	COMMAND("users disable", "let nobody in with an account, without deleting it", run_users_disable, "users.enable", 0,
	 .args = {NAME("the account")},
	 .details = "All sessions of the user end; every password and every device is refused as with a wrong password.\n"
		    "Messages to the user wait."),
	COMMAND("users enable", "the opposite of `users disable`", run_users_enable, "users.enable", 0,
	 .args = {NAME("the account")}, .details = "Each device asks for the password once."),
	COMMAND("users del", "delete an account for ever", run_users_del, "users.del", 0, .also = "users delete",
	 .args = {NAME("the account")}, .details = "Devices, buddies and waiting messages go with it."),
	COMMAND("sessions list", "who is logged in, from where", run_sessions_list, "sessions.list",
	 CLI_READ | CLI_WATCH, .options = session_options, .example = "sessions list --user alice\nsessions list --address 192.0.2.0/24 --limit 0"),
	COMMAND("sessions show", "one session", run_sessions_show, "sessions.show", CLI_READ,
	 .args = {ARG("SID", CLI_SESSION, "a session as `sessions list` shows it")}),
	COMMAND("sessions kick", "end one session, or all of a user", run_sessions_kick, "sessions.kick", 0,
	 .args = {ARG("SID|user:NAME", CLI_SESSION_OR_USER, "a session as `sessions list` shows it, or a user")},
	 .details = "The device may log in again.", .example = "sessions kick user:alice"),
	COMMAND("restart", "replace a process by a new one, as after an upgrade", run_restart, NULL, 0,
	 .args = {ARG("dataplane|control", CLI_WORD, "which process", .words = "dataplane|control")},
	 .details = "The new process starts beside the old one; if it cannot, the old one goes on. Sessions live on, nobody logs in\n"
		    "again. Waits until clients can log in. Needs a server that was started with `rookery run`.",
	 .example = "restart dataplane"),
	COMMAND("presence", "who is online, and what their buddies see", run_presence, "presence.list",
	 CLI_READ | CLI_WATCH, .options = page_options, .details = "A user who is invisible is shown as offline."),
	COMMAND("buddies show", "a user's buddies, requests and blocks", run_buddies_show, "buddies.show", CLI_READ,
	 .args = {NAME("the account")}),
	COMMAND("trace session", "where the packets of a session go, live", run_trace_session, "trace.start", CLI_READ, .options = trace_options,
	 .args = {ARG("SID", CLI_SESSION, "a session as `sessions list` shows it")}, .details = TRACE_DETAILS),
	COMMAND("trace user", "the same of all sessions of a user", run_trace_user, "trace.start", CLI_READ, .options = trace_options,
	 .args = {NAME("the account")}, .details = TRACE_DETAILS),
	COMMAND("trace address", "the same of an address or prefix, also of what is no session's", run_trace_address, "trace.start", CLI_READ,
	 .options = trace_options, .args = {ARG("ADDRESS", CLI_TEXT, "IPv4 or IPv6, as 192.0.2.7, 192.0.2.0/24, 2001:db8::/32")},
	 .details = TRACE_DETAILS "\nA login has no session yet: this shows it.", .example = "trace address 192.0.2.7\ntrace address 192.0.2.0/24 --for 1m"),
	COMMAND("capture", "packets into a file for Wireshark (pcapng)", run_capture, "trace.start", 0, .options = capture_options,
	 .args = {ARG("FILE", CLI_FILE, "it must not be there yet; - for standard output")},
	 .details = "Datagrams as they are on the wire, encrypted, of all clients or of those that are named. IP and UDP headers\n"
		    "are made anew; what became of a packet is its comment. Written by rookctl itself.",
	 .example = "capture alice.pcapng --user alice --for 1m\ncapture - --address 192.0.2.7 | tshark -r -"),
	COMMAND("bans list", "addresses that are kept out", run_bans_list, "bans.list", CLI_READ | CLI_WATCH, .options = page_options,
	 .details = "ENFORCED BY says who drops these packets: the NIC, where it takes such a rule (dataplane.nic_bans), and always the workers, who count "
	 "what they drop as drop_banned; or that the list is not in force yet."),
	COMMAND("bans add", "keep an address or a prefix out", run_bans_add, "bans.add", 0, .options = ban_options,
	 .args = {ARG("ADDRESS", CLI_TEXT, "IPv4 or IPv6, as 192.0.2.7, 192.0.2.0/24, 2001:db8::/32")},
	 .details = "Its packets are dropped before anything else is done with them, also those of sessions, which get no answer\n"
		    "and end by themselves within the heartbeat time-out. Kept across restarts. The same prefix again replaces\n"
		    "duration and reason.",
	 .example = "bans add 192.0.2.7 --for 2h --reason flood\nbans add 2001:db8::/32"),
	COMMAND("bans del", "let it in again", run_bans_del, "bans.del", 0, .also = "bans delete",
	 .args = {ARG("ADDRESS", CLI_TEXT, "as `bans list` shows it")}),
	COMMAND("drain", "no new logins; sessions that are there go on", run_drain, "drain", 0,
	 .details = "Clients that log in are told to come back later. For moving users to another machine before a\n"
		    "stop. It lasts until `undrain`, whatever is restarted."),
	COMMAND("undrain", "take logins again", run_undrain, "drain", 0),
	COMMAND("config check", "is a configuration file in order?", run_config_check, NULL, CLI_READ | CLI_LOCAL,
	 .args = {ARG("FILE", CLI_FILE, "default: that of --config", .optional = true)},
	 .details = "Needs no server. A mistake is named with file, line and key.",
	 .example = "config check /etc/rookery/rookery.yaml"),
	COMMAND("config show", "what the server runs with, every key", run_config_show, "config.show", CLI_READ),
	COMMAND("config diff", "what the server's file says differently", run_config_diff, "config.reload", CLI_READ,
	 .details = "Changes nothing; says what it would take to bring each difference into force."),
	COMMAND("config reload", "read the server's file again", run_config_reload, "config.reload", 0,
	 .details = "Keys that can change while the server runs are in force at once; for each of the others it is said\n"
		    "what it takes. A file with a mistake changes nothing."),
	COMMAND("limits", "limits, and how much of them is used", run_limits, "sample", CLI_READ | CLI_WATCH),
	COMMAND("log level", "how much the server logs, until control ends", run_log_level, "log.level", 0,
	 .args = {ARG("LEVEL", CLI_WORD, "error, warning, info or debug", .words = "error|warning|info|debug"),
		  ARG("AREA", CLI_WORD, "only lines with this area=", .words = AREAS, .optional = true)},
	 .details = "Without AREA it is the level of all areas.", .example = "log level debug session\nlog level info"),
	COMMAND("backup", "copy database and key, also while the server runs", run_backup, NULL, CLI_LOCAL,
	 .args = {ARG("FILE", CLI_FILE, "the copy; the key goes to FILE.key")}, .options = backup_options,
	 .details = "The copy is of one moment, checked from end to end and on disk when the command ends. It holds\n"
		    "everything, FILE.key the server's identity: keep both as private as the server's own files.",
	 .example = "backup /backup/rookery.db\nbackup --force /backup/monday.db"),
	COMMAND("restore", "put a backup in the place of database and key", run_restore, NULL, CLI_LOCAL,
	 .args = {ARG("FILE", CLI_FILE, "a copy made by `rookctl backup`, with FILE.key beside it")},
	 .details = "The server must be stopped. The copy is checked first; what was there before is kept as\n"
		    "rookery.db.before-restore and server.key.before-restore. Sessions are not restored: devices log in\n"
		    "again by themselves.",
	 .example = "restore /backup/rookery.db"),
	COMMAND("host check", "does this machine have what the configuration needs?", run_host_check, NULL, CLI_READ | CLI_LOCAL,
	 .options = host_options,
	 .details = "CPU, pinning, frequency, hugepages per NUMA node, IOMMU and vfio, driver, queues, MTU, clock, limits:\n"
		    "each with its state and, where it is not well, why it matters and the exact mend. Exit status 1 when\n"
		    "something fails.",
	 .example = "--config /etc/rookery/rookery.yaml host check"),
	COMMAND("host init", "make the machine ready for the configuration", run_host_init, NULL, CLI_LOCAL,
	 .options = host_init_options,
	 .details = "Reserves hugepages on the NUMA nodes of the workers, mounts hugetlbfs, loads vfio-pci, binds the NICs that the\n"
		    "configuration names by PCI address, and lets the server's user open them. Prints each command. What was before\n"
		    "is kept in /run/rookery-host.json. What is there already is not touched: it may be called at every start. Needs root.",
	 .example = "--config /etc/rookery/rookery.yaml host init --dry-run\n--config /etc/rookery/rookery.yaml host init"),
	COMMAND("host fini", "take back what `host init` did", run_host_fini, NULL, CLI_LOCAL, .options = host_fini_options,
	 .details = "In the opposite order, and nothing else: what somebody changed since is left and named. Stop the server first.\n"
		    "Needs root."),
	COMMAND("doctor", "everything that is wrong, and how to mend it", run_doctor, NULL, CLI_READ | CLI_LOCAL,
	 .details = "`host check`, and: configuration, files and their rights, disk, clock, port, and the server if it runs.\n"
		    "Works without one. Exit status 1 when something fails.",
	 .example = "--state /var/lib/rookery doctor"),
	{0},
};
