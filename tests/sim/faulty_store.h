/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every function of the store that the server calls goes through control.c first (renames_control, made from this list): it
 * may fail, and control may be killed before or after it.
 *
 *     F(name, (parameters), (arguments))
 */
#define FAULTY_STORE(F)                                                                                                   \
	F(meta_get, (struct store * st, const char *name, uint64_t *value), (st, name, value))                            \
	F(meta_set, (struct store * st, const char *name, uint64_t value), (st, name, value))                             \
	F(counts, (struct store * st, struct store_counts * out), (st, out))                                              \
	F(user_add, (struct store * st, struct store_user * u), (st, u))                                                  \
	F(user_by_name, (struct store * st, const char *name, struct store_user *u), (st, name, u))                       \
	F(user_by_id, (struct store * st, user_id_t id, struct store_user *u), (st, id, u))                               \
	F(user_set_hash, (struct store * st, user_id_t id, const char *hash), (st, id, hash))                             \
	F(user_set_text, (struct store * st, user_id_t id, const char *text), (st, id, text))                             \
	F(user_del, (struct store * st, user_id_t id), (st, id))                                                          \
	F(users_prefix, (struct store * st, const char *prefix, uint32_t limit, struct store_user **out), (st, prefix, limit, out)) \
	F(device_add, (struct store * st, struct store_device * d), (st, d))                                              \
	F(device_by_key, (struct store * st, const uint8_t key[32], struct store_device *d), (st, key, d))                \
	F(device_by_id, (struct store * st, device_id_t id, struct store_device *d), (st, id, d))                         \
	F(device_login, (struct store * st, device_id_t id, uint64_t timestamp, uint64_t now_ms, const char *name),       \
	  (st, id, timestamp, now_ms, name))                                                                              \
	F(device_seen, (struct store * st, device_id_t id, uint64_t now_ms), (st, id, now_ms))                            \
	F(device_del, (struct store * st, device_id_t id), (st, id))                                                      \
	F(devices, (struct store * st, user_id_t user, struct store_device **out), (st, user, out))                       \
	F(devices_recent, (struct store * st, user_id_t user, uint64_t since_ms, device_id_t **out), (st, user, since_ms, out)) \
	F(session_put, (struct store * st, const struct store_session *n), (st, n))                                       \
	F(session_user, (struct store * st, session_id_t sid, user_id_t user, device_id_t device), (st, sid, user, device)) \
	F(session_peer, (struct store * st, session_id_t sid, const struct endpoint *peer, uint8_t port), (st, sid, peer, port)) \
	F(session_status, (struct store * st, session_id_t sid, uint8_t status), (st, sid, status))                       \
	F(session_del, (struct store * st, session_id_t sid), (st, sid))                                                  \
	F(session_get, (struct store * st, session_id_t sid, struct store_session *n), (st, sid, n))                      \
	F(sessions, (struct store * st, store_session_fn cb, void *arg), (st, cb, arg))                                   \
	F(relation_get, (struct store * st, user_id_t owner, user_id_t peer, struct store_relation *r), (st, owner, peer, r)) \
	F(relation_put, (struct store * st, const struct store_relation *r), (st, r))                                     \
	F(relations,                                                                                                      \
	  (struct store * st, user_id_t owner, user_id_t after, uint8_t state, uint32_t limit, struct store_relation **out), \
	  (st, owner, after, state, limit, out))                                                                          \
	F(relation_count, (struct store * st, user_id_t owner, uint8_t state), (st, owner, state))                        \
	F(event_put, (struct store * st, struct store_event * e), (st, e))                                                \
	F(event_del, (struct store * st, uint64_t id, user_id_t user), (st, id, user))                                    \
	F(event_del_pair, (struct store * st, user_id_t user, user_id_t peer), (st, user, peer))                          \
	F(events, (struct store * st, user_id_t user, struct store_event **out), (st, user, out))                         \
	F(message_put, (struct store * st, const struct store_message *m), (st, m))                                       \
	F(message_exists, (struct store * st, device_id_t device, device_id_t from_device, message_id_t id),              \
	  (st, device, from_device, id))                                                                                  \
	F(messages, (struct store * st, device_id_t device, uint64_t after, uint32_t limit, struct store_message **out),  \
	  (st, device, after, limit, out))                                                                                \
	F(message_last, (struct store * st, device_id_t device, uint64_t *seq), (st, device, seq))                        \
	F(message_del, (struct store * st, device_id_t device, uint64_t seq), (st, device, seq))                          \
	F(messages_expire, (struct store * st, uint64_t before_ms, uint32_t limit), (st, before_ms, limit))
