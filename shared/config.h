/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The configuration: one YAML file for all processes, read through libcyaml. config/default.yaml is embedded
 * into every program and shows every key; a file given with --config overrides single keys of it.
 */
#ifndef ROOKERY_SHARED_CONFIG_H
#define ROOKERY_SHARED_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum config_port_type { PORT_SOCKET, PORT_ETHDEV };

struct config_port {
	enum config_port_type type;
	/* socket: "127.0.0.1:8000", "[::]:8000". Unused for ethdev. */
	char *listen;
	/* ethdev: PCI address ("0000:03:00.0") or vdev string ("net_af_packet0,iface=veth0,qpairs=2"). With one queue per
	 * vdev (AF_XDP), one device per worker: worker i polls devices[i]. */
	char **devices;
	unsigned devices_count;
	char **addresses;  /* ethdev: "10.0.0.1/24", "fd00::1/64" */
	unsigned addresses_count;
	char *gateway;     /* ethdev: IPv4 next hop off the link; may be empty */
	char *gateway6;
	uint16_t udp_port; /* ethdev */
	uint16_t mtu;      /* ethdev */
	bool checksum_offload; /* ethdev: use it where the device has it */
};

enum config_poll { POLL_ADAPTIVE, POLL_BUSY };
/* What the kernel does about a system call that a process does not need: refuses it, writes a line to its log, nothing. */
enum config_sandbox { SANDBOX_ENFORCE, SANDBOX_LOG, SANDBOX_OFF };
enum config_log_format { CONFIG_LOG_LOGFMT, CONFIG_LOG_JSON };
enum config_log_level { CONFIG_LOG_ERROR, CONFIG_LOG_WARNING, CONFIG_LOG_INFO, CONFIG_LOG_DEBUG };

struct config {
	/* "~" and "$VAR" at the start are expanded; empty runtime_dir means state_dir/run. */
	char *state_dir;
	char *runtime_dir;

	struct {
		unsigned workers;
		char *cpus;            /* "", or a list "2,4-7": housekeeping on the first, workers on the rest */
		enum config_poll poll;
		bool hugepages;
		unsigned memory_mb;    /* EAL memory without hugepages */
		unsigned sessions;     /* in all; divided among the workers */
		unsigned messages;     /* message records per worker */
		unsigned users;        /* rows of the user table */
		unsigned conversations; /* rows of the verdict table */
		unsigned activities;   /* sessions that may have something under way at once, per worker */
		unsigned nic_bans;     /* rules for bans per device */
		bool telemetry;        /* DPDK's socket */
		bool replay_check;     /* false: benchmarks only */
		char **eal;            /* further EAL arguments, for experts */
		unsigned eal_count;
		struct config_port *ports;
		unsigned ports_count;
	} dataplane;

	struct {
		unsigned heartbeat_ms; /* what clients are told */
		unsigned timeout_ms;   /* nothing heard for so long: offline */
		unsigned restricted_ms; /* life of a session that never enrols */
		unsigned retransmit_limit; /* sends of one delivery before it goes to the store */
		unsigned ticket_ms;        /* life of a ticket; 0: none */
	} session;

	struct {
		bool registration;     /* may strangers register? */
		unsigned buddies_max;
		unsigned devices_max;  /* per user */
		unsigned stored_max;   /* stored messages per device */
		unsigned stored_days;  /* age at which a stored message is dropped */
		unsigned logins_per_second; /* per worker, before cookies are asked for */
		unsigned password_threads;
		unsigned password_memory_kib; /* Argon2id */
		unsigned password_passes;
	} control;

	/* What one peer may do. Rates are token buckets; a rate of 0 is no limit. */
	struct {
		unsigned messages_per_second;      /* per session; bursts of messages_burst */
		unsigned messages_burst;
		unsigned conversations_per_second; /* per session: pairs that the dataplane does not know */
		unsigned conversations_burst;
		unsigned requests_per_second;      /* per session */
		unsigned requests_burst;
		unsigned host_logins_per_minute;   /* under load: per IPv4 address or IPv6 /64, per worker */
		unsigned net_logins_per_minute;    /* under load: per IPv4 /24 or IPv6 /48, per worker */
		unsigned resumes_per_second;       /* per worker: pace of those that were told to come later */
		unsigned host_resumes_per_minute;  /* per IPv4 address or IPv6 /64, per worker */
		unsigned device_logins_per_minute; /* of one device key */
		unsigned restricted_sessions;      /* sessions that are not enrolled yet */
		unsigned account_guesses;          /* wrong passwords of an account before delays begin */
		unsigned prefix_guesses;           /* wrong passwords from an IPv4 address or IPv6 /64 before delays begin */
		unsigned guess_delay_ms;           /* the first delay; each further wrong password doubles it */
		unsigned guess_delay_max_ms;
		unsigned buddy_requests_per_day;   /* per user */
		unsigned buddy_requests_open;      /* of a user, not answered yet */
		unsigned buddy_requests_waiting;   /* for a user, not answered yet */
		unsigned presence_changes_per_minute; /* per user */
		unsigned searches_per_minute;      /* per user */
		unsigned search_rows;              /* users in one answer */
		unsigned list_rows;                /* buddies in one answer */
	} limits;

	struct {
		char *user;            /* whom root's processes become: "", a name or a number, see account.h */
		enum config_sandbox sandbox;
	} security;

	struct {
		unsigned hang_seconds; /* 0: a process may hang as long as it likes */
	} launcher;

	struct {
		char *listen;          /* "127.0.0.1:8001"; "": none */
		char *token_file;      /* absolute; "": none */
	} metrics;

	struct {
		enum config_log_level level;
		enum config_log_format format;
		char **areas;          /* "area=level" */
		unsigned areas_count;
	} log;
};

/* Reads path over the embedded default; path NULL: the default alone. state_dir_override may be NULL. On error
 * returns -errno (-EINVAL for content) and writes one line to error: file, line, key, and the likely right one. */
int config_load(struct config **out, const char *path, const char *state_dir_override, char *error, size_t error_cap);
void config_free(struct config *c);

/*
 * Creates state_dir and runtime_dir (0700) if missing, and makes sure that nobody else can write into them. If account
 * says that we are root and become somebody else, both belong to that account afterwards, together with the files of a
 * server that root or the fallback account ran there before; account NULL: no such change.
 * Returns 0 or -errno with a line in error.
 */
struct account;
int config_make_dirs(const struct config *c, const struct account *account, char *error, size_t error_cap);

/* Well-known files: "<runtime_dir>/rings.shm", "doorbell.sock", "control.sock"; "<state_dir>/rookery.db", "server.key".
 * Returns buf, or NULL when cap is too small. */
const char *config_runtime_path(const struct config *c, const char *name, char *buf, size_t cap);
const char *config_state_path(const struct config *c, const char *name, char *buf, size_t cap);

/* The CPUs of a list as "2,4-7", in the order given, at most max of them. Returns how many it names, or -EINVAL when it is none. */
int config_cpus(const char *list, uint16_t *cpus, unsigned max);

/* MiB that the dataplane takes at most: of each worker, of what all share, and both together. */
unsigned config_memory_worker_mb(const struct config *c);
unsigned config_memory_common_mb(const struct config *c);
unsigned config_memory_mb(const struct config *c);

/* log_open as the configuration says. config_log_levels: levels and format again, after a change. */
void config_log_open(const struct config *c, const char *program);
void config_log_levels(const struct config *c);

#endif
