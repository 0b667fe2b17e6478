/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every configuration key, once: the parser's schema, the checks and the tables in docs/configuration.md are made of it.
 *
 * A new key is a line here, a field in config.h and a line in config/default.yaml (its default; those of a list's entries
 * stand here); then `ninja -C build docs` writes the page. A new section is also a line in CONFIG_SECTIONS and a marker
 * "<!-- keys: NAME -->" in the page.
 *
 * In a section S (the name in struct config):
 *   NUMBER(S, key, least, most, unit, meaning)
 *   BOOLEAN(S, key, meaning)
 *   CHOICE(S, key, words, meaning)            words: an array of cyaml_strval_t in config_schema.c
 *   TEXT(S, key, range, meaning)              range: for people
 *   LIST(S, key, entry, most, range, meaning) entry: the schema of an entry
 * Entries of dataplane.ports have no defaults in another file: after the key comes the default. MUST is a CHOICE that
 * must be given.
 */
#ifndef ROOKERY_SHARED_CONFIG_KEYS_H
#define ROOKERY_SHARED_CONFIG_KEYS_H

#define CONFIG_FILE_KEYS(S, NUMBER, BOOLEAN, CHOICE, TEXT, LIST)                                                                  \
	TEXT(S, state_dir, "",                                                                                                    \
	     "database and server key; `--state DIR` overrides it. Made with mode 0700 if missing. Started by root:"              \
	     " `/var/lib/rookery`, unless this says something else, or `security.user` says `root`.")                                 \
	TEXT(S, runtime_dir, "",                                                                                                  \
	     "shared-memory rings and sockets; `\"\"` is `run` inside `state_dir`. On a server `/run/rookery`. At most 93 bytes," \
	     " since the sockets in it have short names only.")

#define CONFIG_DATAPLANE_KEYS(S, NUMBER, BOOLEAN, CHOICE, TEXT, LIST)                                                             \
	NUMBER(S, workers, 1, 64, "",                                                                                             \
	       "polling threads; each has its own queue of every port and owns its share of the sessions")                        \
	TEXT(S, cpus, "",                                                                                                         \
	     "`\"\"`: not pinned. A list as `2,4-7`: housekeeping runs on the first CPU, workers on the others; it must name at"  \
	     " least `workers` + 1 CPUs.")                                                                                        \
	CHOICE(S, poll, poll_modes,                                                                                               \
	       "`adaptive` sleeps when idle, `busy` never does: lowest latency, a whole CPU per worker")                          \
	BOOLEAN(S, hugepages, "take memory from hugepages, which must be reserved first")                                         \
	NUMBER(S, memory_mb, 0, 1048576, "MiB",                                                                                   \
	       "memory of the dataplane without hugepages; 0: estimated from workers, sessions, messages, users and"              \
	       " conversations (hugepages are reserved by the operator)")                                                         \
	NUMBER(S, sessions, 64, 200000000, "", "sessions at once, divided among the workers")                                     \
	NUMBER(S, messages, 64, 16777216, "", "messages in flight at once, per worker")                                           \
	NUMBER(S, users, 64, 1000000000, "", "users that the dataplane knows at once")                                            \
	NUMBER(S, conversations, 64, 1000000000, "", "verdicts (may this user write to that one?) remembered at once")            \
	NUMBER(S, activities, 64, 200000000, "",                                                                                 \
	       "sessions with messages, deliveries or requests under way (or within the last minute) at once, per worker; 128"   \
	       " bytes each")                                                                                                    \
	NUMBER(S, nic_bans, 0, 8192, "",                                                                                          \
	       "bans that each NIC is asked to drop by itself (`rte_flow`); the workers drop the others, and what the NIC"        \
	       " refuses. 0: all are left to the workers")                                                                        \
	BOOLEAN(S, telemetry,                                                                                                     \
		"DPDK's telemetry socket in `runtime_dir`, for `dpdk-telemetry.py` ([metrics.md](metrics.md))")                   \
	BOOLEAN(S, replay_check,                                                                                                  \
		"`false` takes the same packet again and again, for benchmarks with recorded traffic; refused unless every port"  \
		" is on loopback or in memory (net_ring, net_pcap, net_null, net_memif, net_vhost, net_virtio_user)")             \
	LIST(S, eal, &text_entry, LIST_MAX, "", "further arguments for DPDK's EAL, one per entry")                                \
	LIST(S, ports, &port_entry, PORTS_MAX, "1 to 8 entries", "see below")

/* MTU: IPv6's least; a 1,200-byte datagram is never fragmented. */
#define CONFIG_PORT_KEYS(S, NUMBER, BOOLEAN, MUST, TEXT, LIST)                                                                    \
	MUST(S, type, port_types, "a kernel UDP socket, or a DPDK device")                                                        \
	TEXT(S, listen, "must be given", "",                                                                                      \
	     "address and UDP port: `127.0.0.1:8000`, `[::]:8000`; the port is 8000 if left out")                                 \
	LIST(S, devices, "must be given", &text_entry, LIST_MAX, "one, or one per worker",                                        \
	     "PCI address (`0000:03:00.0`) or virtual device (`net_af_packet0,iface=veth0,qpairs=2`). With one device it has a"   \
	     " queue for each worker; with several, worker 0 polls the first, and so on: AF_XDP has one queue per virtual"        \
	     " device.")                                                                                                          \
	LIST(S, addresses, "must be given", &text_entry, LIST_MAX, "",                                                            \
	     "own addresses with prefix length: `10.0.0.1/24`, `fd00::1/64`")                                                     \
	TEXT(S, gateway, "none", "", "IPv4 next hop for addresses off the link")                                                  \
	TEXT(S, gateway6, "none", "", "IPv6 next hop for addresses off the link")                                                 \
	NUMBER(S, udp_port, 8000, 1, 65535, "", "where clients send to")                                                                               \
	NUMBER(S, mtu, 1500, 1280, 9216, "bytes", "largest IP packet on the link, as the switch has it")                                                                             \
	BOOLEAN(S, checksum_offload, true, "let the device compute and check checksums where it can")

#define CONFIG_SESSION_KEYS(S, NUMBER, BOOLEAN, CHOICE, TEXT, LIST)                                                               \
	NUMBER(S, heartbeat_ms, 50, 3600000, "ms", "clients send something at least this often")                                  \
	NUMBER(S, timeout_ms, 100, 86400000, "ms",                                                                                \
	       "nothing heard for this long: the device is offline. Must be larger than `heartbeat_ms`; about three times as"     \
	       " large survives lost heartbeats.")                                                                                \
	NUMBER(S, restricted_ms, 100, 3600000, "ms", "time to register or to enter the password after connecting")                \
	NUMBER(S, retransmit_limit, 1, 64, "", "sends of one delivery before its message goes to the store")                      \
	NUMBER(S, ticket_ms, 0, 604800000, "ms",                                                                                  \
	       "life of a ticket, with which a device comes back without a login, and of the key that seals it; 0: no tickets")

/* Password memory and passes: libsodium's limits. */
#define CONFIG_CONTROL_KEYS(S, NUMBER, BOOLEAN, CHOICE, TEXT, LIST)                                                               \
	BOOLEAN(S, registration, "anybody may register; otherwise accounts are made with `rookctl users add`")                    \
	NUMBER(S, buddies_max, 1, 100000, "", "buddies per user")                                                                 \
	NUMBER(S, devices_max, 1, USER_SESSIONS_MAX, "", "devices per user")                                                      \
	NUMBER(S, stored_max, 1, 10000000, "", "waiting messages per device")                                                     \
	NUMBER(S, stored_days, 1, 36500, "days", "a waiting message is dropped after this time")                                  \
	NUMBER(S, logins_per_second, 0, 10000000, "1/s",                                                                          \
	       "per worker; above it clients must first prove their address with a cookie. 0: always.")                           \
	NUMBER(S, password_threads, 1, 64, "", "threads that hash passwords")                                                     \
	NUMBER(S, password_memory_kib, 8, 4194304, "KiB",                                                                         \
	       "memory of one Argon2id hash; each password thread uses that much")                                                \
	NUMBER(S, password_passes, 1, 100, "", "passes of one Argon2id hash")

/* What one peer may do. */
#define CONFIG_LIMITS_KEYS(S, NUMBER, BOOLEAN, CHOICE, TEXT, LIST)                                                               \
	NUMBER(S, messages_per_second, 0, 1000000, "1/s",                                                                        \
	       "new messages of one session; 0: no limit")                                                                       \
	NUMBER(S, messages_burst, 1, 1000000, "",                                                                                \
	       "so many of them at once")                                                                                        \
	NUMBER(S, conversations_per_second, 0, 1000000, "1/s",                                                                   \
	       "conversations of one session that the dataplane has to ask control about; 0: no limit")                          \
	NUMBER(S, conversations_burst, 1, 1000000, "",                                                                           \
	       "so many of them at once")                                                                                        \
	NUMBER(S, requests_per_second, 0, 1000000, "1/s",                                                                        \
	       "request frames of one session; 0: no limit")                                                                     \
	NUMBER(S, requests_burst, 1, 1000000, "",                                                                                \
	       "so many of them at once")                                                                                        \
	NUMBER(S, host_logins_per_minute, 0, 10000000, "1/min",                                                                  \
	       "logins from one IPv4 address or IPv6 /64 while `control.logins_per_second` is exceeded, per worker;"             \
	       " a quarter of them at once; 0: no limit")                                                                        \
	NUMBER(S, net_logins_per_minute, 0, 10000000, "1/min",                                                                   \
	       "the same for an IPv4 /24 or IPv6 /48")                                                                           \
	NUMBER(S, resumes_per_second, 0, 10000000, "1/s",                                                                        \
	       "per worker: pace at which clients that return by ticket are told to come while there are too many; 0: after 100 ms")\
	NUMBER(S, host_resumes_per_minute, 0, 10000000, "1/min",                                                                 \
	       "sessions by ticket from one IPv4 address or IPv6 /64, per worker; a quarter of them at once; 0: no limit")       \
	NUMBER(S, device_logins_per_minute, 0, 10000000, "1/min", "logins and returns by ticket with one device key, all of them at once if it likes; 0: no limit")\
	NUMBER(S, restricted_sessions, 1, 1000000, "",                                                                           \
	       "sessions that are not enrolled yet (and at most an eighth of `dataplane.sessions`); one IPv4"                    \
	       " address or IPv6 /64 gets at most half of what is left")                                                         \
	NUMBER(S, account_guesses, 1, 1000, "",                                                                                  \
	       "wrong passwords for one account before it has to be waited; enrolled devices need no password")                  \
	NUMBER(S, prefix_guesses, 1, 100000, "",                                                                                 \
	       "wrong passwords from one IPv4 address or IPv6 /64 before it has to be waited")                                   \
	NUMBER(S, guess_delay_ms, 0, 86400000, "ms",                                                                             \
	       "the first wait; each further wrong password doubles it; 0: never any")                                           \
	NUMBER(S, guess_delay_max_ms, 0, 86400000, "ms",                                                                         \
	       "the longest wait; after as long without a wrong password one failure is forgotten")                              \
	NUMBER(S, buddy_requests_per_day, 0, 1000000, "1/day",                                                                   \
	       "buddy requests of one user, all of them at once if he likes; 0: no limit")                                       \
	NUMBER(S, buddy_requests_open, 1, 100000, "",                                                                            \
	       "buddy requests of one user that nobody has answered yet")                                                        \
	NUMBER(S, buddy_requests_waiting, 1, 100000, "",                                                                         \
	       "buddy requests to one user that he has not answered yet")                                                        \
	NUMBER(S, presence_changes_per_minute, 0, 1000000, "1/min",                                                              \
	       "changes of status or text of one user; 0: no limit")                                                             \
	NUMBER(S, searches_per_minute, 0, 1000000, "1/min",                                                                      \
	       "searches of one user; 0: no limit")                                                                              \
	NUMBER(S, search_rows, 1, 200, "",                                                                                       \
	       "users in the answer to one search")                                                                              \
	NUMBER(S, list_rows, 1, 200, "",                                                                                         \
	       "buddies in one answer; the client asks for the next page")

#define CONFIG_SECURITY_KEYS(S, NUMBER, BOOLEAN, CHOICE, TEXT, LIST)                                                              \
	TEXT(S, user, "",                                                                                                         \
	     "a server that root starts opens its ports and then runs as this account (a name or a number), which also gets"      \
	     " `state_dir` and `runtime_dir`. `\"\"`: `rookery` if there is such an account, otherwise `nobody`, with a warning;"  \
	     " `root`: stays root, without its capabilities. Without root this says nothing.")                                    \
	CHOICE(S, sandbox, sandboxes,                                                                                             \
	       "system calls that the processes do not need once they run: `enforce` refuses them, `log` lets them pass and has"  \
	       " the kernel log them")

#define CONFIG_LAUNCHER_KEYS(S, NUMBER, BOOLEAN, CHOICE, TEXT, LIST)                                                              \
	NUMBER(S, hang_seconds, 0, 3600, "s",                                                                                     \
	       "a process that runs but has done nothing for this long (its main loop, or one of its workers) is killed and"      \
	       " started again, unless a debugger is attached or control waits for a disk; 0: never")

#define CONFIG_LOG_KEYS(S, NUMBER, BOOLEAN, CHOICE, TEXT, LIST)                                                                   \
	CHOICE(S, level, log_levels, "least important lines that are written to standard error")                                  \
	CHOICE(S, format, log_formats, "`logfmt`: `key=value` pairs; `json`: one object per line, with the same keys")            \
	LIST(S, areas, &text_entry, LIST_MAX, "`area=level`",                                                                     \
	     "areas (`area=` in the lines) with a level of their own, as `[session=debug, dpdk=error]`; operations.md lists them")

#define CONFIG_METRICS_KEYS(S, NUMBER, BOOLEAN, CHOICE, TEXT, LIST)                                                               \
	TEXT(S, listen, "",                                                                                                       \
	     "TCP address of the HTTP endpoint: status page, Prometheus metrics; `\"\"`: none. An address that other machines"    \
	     " reach needs `token_file`.")                                                                                        \
	TEXT(S, token_file, "",                                                                                                   \
	     "file with the token that readers must send, 16 to 256 characters in one line, mode 0600; `\"\"`: none asked for")

/* SECTION(name in the file and in struct config, its keys) */
#define CONFIG_SECTIONS(SECTION)                                                                                                  \
	SECTION(dataplane, CONFIG_DATAPLANE_KEYS)                                                                                 \
	SECTION(session, CONFIG_SESSION_KEYS)                                                                                     \
	SECTION(control, CONFIG_CONTROL_KEYS)                                                                                     \
	SECTION(limits, CONFIG_LIMITS_KEYS)                                                                                      \
	SECTION(security, CONFIG_SECURITY_KEYS)                                                                               \
	SECTION(launcher, CONFIG_LAUNCHER_KEYS)                                                                                   \
	SECTION(metrics, CONFIG_METRICS_KEYS)                                                                                     \
	SECTION(log, CONFIG_LOG_KEYS)

#endif
