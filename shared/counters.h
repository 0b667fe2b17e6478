/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every counter of the dataplane, once. Plain per-worker additions; housekeeping publishes them in the region
 * (ipc.h), control exports them. G7: for each worker
 *     rx_packets + handoff_in = consumed + answered + handoff_out + punted
 *                               + link_arp + link_nd + link_echo + the sum of all DROP counters
 * where every received packet ends in exactly one of the right-hand terms ("consumed": parsed and acted on,
 * whatever it caused to be sent).
 *
 * COUNTER(name, text), DROP(name, text) or GAUGE(name, text): a gauge is a present state, which housekeeping fills in.
 * The text is the help of `rookctl stats`, the Prometheus endpoint and docs/metrics.md (`ninja -C build docs`).
 */
#ifndef ROOKERY_SHARED_COUNTERS_H
#define ROOKERY_SHARED_COUNTERS_H

#define COUNTERS(COUNTER, DROP, GAUGE)                                                              \
	COUNTER(rx_packets, "packets received from ports")                                         \
	COUNTER(rx_bytes, "UDP payload bytes received")                                            \
	COUNTER(tx_packets, "packets handed to ports for sending")                                 \
	COUNTER(tx_bytes, "UDP payload bytes sent")                                                \
	COUNTER(tx_failed, "packets that the port did not take")                                   \
	COUNTER(tx_no_neighbor, "of tx_failed: the link address of the next hop was not known, or there is none") \
	COUNTER(consumed, "received packets parsed and acted on")                                  \
	COUNTER(handoff_out, "packets handed to the worker that owns their session")               \
	COUNTER(handoff_in, "packets taken over from other workers")                               \
	COUNTER(punted, "received packets passed to control")                                      \
	COUNTER(link_arp, "ARP packets answered or learned from")                                  \
	COUNTER(link_nd, "IPv6 neighbour discovery packets handled")                               \
	COUNTER(link_echo, "ICMP and ICMPv6 echo requests answered")                               \
	COUNTER(messages_in, "messages from senders")                                              \
	COUNTER(messages_duplicate, "messages seen before (sender retried)")                       \
	COUNTER(messages_relayed, "live deliveries started")                                       \
	COUNTER(messages_delivered, "deliveries acknowledged by the device")                       \
	COUNTER(messages_to_store, "messages passed to control for storing")                       \
	COUNTER(messages_stored, "messages confirmed as stored")                                   \
	COUNTER(messages_refused, "messages refused with a final reason")                          \
	COUNTER(messages_slowed, "messages refused with slow_down")                                \
	COUNTER(limit_messages, "messages over the rate of their session (slow_down)")             \
	COUNTER(limit_conversations, "messages to unknown recipients over the rate of their session (slow_down)") \
	COUNTER(limit_records, "messages of sessions that hold their share of the records (slow_down)") \
	COUNTER(limit_requests, "requests over the rate of their session (slow_down)")             \
	COUNTER(limit_frames, "frames from control to sessions that do not acknowledge: failed")   \
	COUNTER(limit_acks, "acknowledgements not looked for: a packet held too many")             \
	COUNTER(receipts_sent, "receipts sent to senders")                                         \
	COUNTER(frames_injected, "reliable frames from control")                                   \
	COUNTER(retransmits, "deliveries sent again")                                              \
	COUNTER(deliveries_failed, "deliveries given up")                                          \
	COUNTER(acks_unknown, "acknowledged deliveries that were not in flight")                   \
	COUNTER(pings, "heartbeats answered")                                                      \
	COUNTER(path_challenges, "path challenges sent to new addresses")                          \
	COUNTER(path_changes, "sessions moved to a validated new address")                         \
	COUNTER(sessions_added, "sessions provisioned")                                            \
	COUNTER(resumes, "RESUMEs answered with a session")                                        \
	COUNTER(sessions_resumed, "sessions begun by ticket and heard since")                      \
	COUNTER(resumes_unused, "sessions begun by ticket and never heard: the answer was lost or the RESUME a copy") \
	COUNTER(sessions_closed, "sessions closed by the client")                                  \
	COUNTER(sessions_expired, "sessions without a heartbeat in time")                          \
	COUNTER(sessions_removed, "sessions removed by control")                                   \
	COUNTER(cookies_sent, "cookies sent to prove an address under load")                       \
	COUNTER(version_replies, "version replies sent")                                           \
	COUNTER(key_replies, "server key replies sent")                                            \
	COUNTER(resets_sent, "resets sent for unknown sessions")                                   \
	COUNTER(verdict_hits, "conversation verdicts found in the table")                          \
	COUNTER(verdict_misses, "conversation verdicts asked of control")                          \
	COUNTER(ring_event_full, "lossless event ring full: kept and tried again")                 \
	COUNTER(ring_request_full, "requests and verdict questions not passed on because the ring was full") \
	COUNTER(ring_handoff_full, "deliveries or results kept because a hand-off ring was full")  \
	COUNTER(tables_full, "users that found no room in the table (housekeeping): their messages go to the store") \
	COUNTER(bans_nic_refused, "bans that the device of a port did not take (housekeeping): the workers drop them") \
	COUNTER(loops_busy, "loop iterations with work")                                           \
	COUNTER(loops_idle, "loop iterations without work")                                        \
	COUNTER(cycles_busy, "TSC cycles in iterations with work")                                 \
	DROP(drop_link_not_ours, "Ethernet frame of another address or type")                      \
	DROP(drop_link_malformed, "ARP or neighbour discovery packet malformed")                   \
	DROP(drop_ip_malformed, "IP header malformed or truncated")                                \
	DROP(drop_ip_fragment, "IP fragment")                                                      \
	DROP(drop_ip_not_ours, "IP destination not ours")                                          \
	DROP(drop_ip_protocol, "neither UDP nor an ICMP message that is answered")                 \
	DROP(drop_checksum, "bad IP, UDP or ICMP checksum")                                        \
	DROP(drop_udp_port, "UDP port not ours")                                                   \
	DROP(drop_banned, "from an address that an operator has banned (`rookctl bans list`)")     \
	DROP(drop_runt, "shorter than a protocol prefix")                                          \
	DROP(drop_oversize, "longer than 1,200 bytes")                                             \
	DROP(drop_type, "first byte is no type that a server takes")                               \
	DROP(drop_malformed, "datagram malformed for its type")                                    \
	DROP(drop_session_unknown, "no such session (reset sent)")                                 \
	DROP(drop_session_unprovisioned, "no such session before control provisioned them all")    \
	DROP(drop_tag, "AEAD tag wrong")                                                           \
	DROP(drop_replay, "packet counter seen before or too old")                                 \
	DROP(drop_epoch, "epoch of the future, or stale and not punted")                           \
	DROP(drop_frame, "authenticated packet with a malformed frame")                            \
	DROP(drop_restricted, "frame not allowed before enrolment")                                \
	DROP(drop_login_mac, "LOGIN with a wrong mac1")                                            \
	DROP(drop_login_cookie, "LOGIN without a cookie under load (cookie sent)")                 \
	DROP(drop_login_busy, "LOGIN, or other datagram of no session, not looked at: the worker was behind") \
	DROP(drop_login_limit, "LOGIN over the limit of all logins (sender told when to come again)") \
	DROP(drop_login_prefix, "LOGIN over its host's or network's limit (sender told when to come again)") \
	DROP(drop_login_not_ready, "LOGIN before control gave the server key")                     \
	DROP(drop_resume_not_ready, "RESUME before control gave sessions and keys of tickets")     \
	DROP(drop_resume_ticket, "RESUME with a ticket that no key opens or that has expired (sender told to log in)") \
	DROP(drop_resume_again, "RESUME with a ticket that came too often lately: a copy")         \
	DROP(drop_resume_busy, "RESUME while too many are under way or control is behind (sender told when to come again)") \
	DROP(drop_resume_full, "RESUME without a free session (sender told to log in)")            \
	DROP(drop_resume_event, "first packet of a resumed session while the event ring was full") \
	DROP(drop_resume_prefix, "first packet of a resumed session over its host's limit")        \
	DROP(drop_ring_login, "login ring full")                                                   \
	DROP(drop_ring_request, "request ring full")                                               \
	DROP(drop_ring_handoff, "hand-off ring full")                                              \
	COUNTER(answered, "version and key queries and RESUMEs answered without a session")                    \
	GAUGE(sessions_live, "sessions now")                                                       \
	GAUGE(messages_live, "message records in use, of dataplane.messages")                      \
	GAUGE(deliveries_live, "deliveries to devices that are not acknowledged yet")              \
	GAUGE(packets_used, "packet buffers in use")                                               \
	GAUGE(packets_capacity, "packet buffers of the pool")                                      \
	GAUGE(bans_active, "addresses and prefixes whose packets are dropped (housekeeping)")      \
	GAUGE(bans_nic, "bans that devices of ports drop by rules of their own, once for each port (housekeeping)") \
	GAUGE(memory_resident, "bytes of memory that the dataplane holds (housekeeping)")          \
	GAUGE(cycles_per_second, "TSC cycles in a second (housekeeping), to read cycles_busy with")

enum counter {
#define COUNTER_ENUM(name, text) COUNTER_##name,
	COUNTERS(COUNTER_ENUM, COUNTER_ENUM, COUNTER_ENUM)
#undef COUNTER_ENUM
	COUNTER_COUNT
};

struct counter_info {
	const char *name;
	const char *text;
	unsigned is_drop;
	unsigned is_gauge;
};

extern const struct counter_info counter_info[COUNTER_COUNT];

#endif
