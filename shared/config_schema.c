// SPDX-License-Identifier: BSD-3-Clause
#include "shared/config_parse.h"

#include "shared/ids.h"

#include <string.h>

#define OPTIONAL CYAML_FLAG_OPTIONAL
#define TEXT_MAX 1024
#define LIST_MAX 256
#define PORTS_MAX 8

typedef __typeof__(((struct config *)0)->dataplane) dataplane_section;
typedef __typeof__(((struct config *)0)->session) session_section;
typedef __typeof__(((struct config *)0)->control) control_section;
typedef __typeof__(((struct config *)0)->log) log_section;

#define TEXT(section, key) CYAML_FIELD_STRING_PTR(#key, OPTIONAL | CYAML_FLAG_POINTER, section, key, 0, TEXT_MAX)
#define NUMBER(section, key) CYAML_FIELD_UINT(#key, OPTIONAL, section, key)
#define BOOLEAN(section, key) CYAML_FIELD_BOOL(#key, OPTIONAL, section, key)
#define CHOICE(section, key, strings)                                                              \
	CYAML_FIELD_ENUM(#key, OPTIONAL | CYAML_FLAG_STRICT, section, key, strings, CYAML_ARRAY_LEN(strings))
#define LIST(section, key, entry, max)                                                             \
	CYAML_FIELD_SEQUENCE(#key, OPTIONAL | CYAML_FLAG_POINTER, section, key, entry, 0, max)
#define SECTION(key, fields) CYAML_FIELD_MAPPING(#key, OPTIONAL, struct config, key, fields)

static const cyaml_strval_t port_types[] = {{"socket", PORT_SOCKET}, {"ethdev", PORT_ETHDEV}};
static const cyaml_strval_t poll_modes[] = {{"adaptive", POLL_ADAPTIVE}, {"busy", POLL_BUSY}};
static const cyaml_strval_t log_levels[] = {
	{"error", CONFIG_LOG_ERROR},
	{"warning", CONFIG_LOG_WARNING},
	{"info", CONFIG_LOG_INFO},
	{"debug", CONFIG_LOG_DEBUG},
};

static const cyaml_schema_value_t text_entry = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 0, TEXT_MAX)};

static const cyaml_schema_field_t port_fields[] = {
	CYAML_FIELD_ENUM("type", CYAML_FLAG_STRICT, struct config_port, type, port_types, CYAML_ARRAY_LEN(port_types)),
	TEXT(struct config_port, listen),
	LIST(struct config_port, devices, &text_entry, LIST_MAX),
	LIST(struct config_port, addresses, &text_entry, LIST_MAX),
	TEXT(struct config_port, gateway),
	TEXT(struct config_port, gateway6),
	NUMBER(struct config_port, udp_port),
	NUMBER(struct config_port, mtu),
	BOOLEAN(struct config_port, checksum_offload),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t port_entry = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct config_port, port_fields),
};

static const cyaml_schema_field_t dataplane_fields[] = {
	NUMBER(dataplane_section, workers),
	TEXT(dataplane_section, cpus),
	CHOICE(dataplane_section, poll, poll_modes),
	BOOLEAN(dataplane_section, hugepages),
	NUMBER(dataplane_section, memory_mb),
	NUMBER(dataplane_section, sessions),
	NUMBER(dataplane_section, messages),
	NUMBER(dataplane_section, users),
	NUMBER(dataplane_section, conversations),
	LIST(dataplane_section, eal, &text_entry, LIST_MAX),
	LIST(dataplane_section, ports, &port_entry, PORTS_MAX),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t session_fields[] = {
	NUMBER(session_section, heartbeat_ms),
	NUMBER(session_section, timeout_ms),
	NUMBER(session_section, restricted_ms),
	NUMBER(session_section, retransmit_limit),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t control_fields[] = {
	BOOLEAN(control_section, registration),
	NUMBER(control_section, buddies_max),
	NUMBER(control_section, devices_max),
	NUMBER(control_section, stored_max),
	NUMBER(control_section, stored_days),
	NUMBER(control_section, logins_per_second),
	NUMBER(control_section, password_threads),
	NUMBER(control_section, password_memory_kib),
	NUMBER(control_section, password_passes),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t log_fields[] = {
	CHOICE(log_section, level, log_levels),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t config_fields[] = {
	TEXT(struct config, state_dir),
	TEXT(struct config, runtime_dir),
	SECTION(dataplane, dataplane_fields),
	SECTION(session, session_fields),
	SECTION(control, control_fields),
	SECTION(log, log_fields),
	CYAML_FIELD_END,
};

const cyaml_schema_value_t config_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct config, config_fields),
};

/* docs/configuration.md shows these ranges; the unit test compares. */
static const struct config_limit limits[] = {
	{"dataplane.workers", 1, 64},
	{"dataplane.memory_mb", 0, 1048576},
	{"dataplane.sessions", 64, 200000000},
	{"dataplane.messages", 64, 16777216},
	{"dataplane.users", 64, 1000000000},
	{"dataplane.conversations", 64, 1000000000},
	{"dataplane.ports.udp_port", 1, 65535},
	{"dataplane.ports.mtu", 1280, 9216}, /* IPv6's least; a 1,200-byte datagram is never fragmented */
	{"session.heartbeat_ms", 50, 3600000},
	{"session.timeout_ms", 100, 86400000},
	{"session.restricted_ms", 100, 3600000},
	{"session.retransmit_limit", 1, 64},
	{"control.buddies_max", 1, 100000},
	{"control.devices_max", 1, USER_SESSIONS_MAX},
	{"control.stored_max", 1, 10000000},
	{"control.stored_days", 1, 36500},
	{"control.logins_per_second", 0, 10000000},
	{"control.password_threads", 1, 64},
	{"control.password_memory_kib", 8, 4194304}, /* libsodium's limits */
	{"control.password_passes", 1, 100},
};

const struct config_limit *
config_limit_find(const char *key)
{
	for (size_t i = 0; i < CYAML_ARRAY_LEN(limits); i++)
		if (strcmp(limits[i].key, key) == 0)
			return &limits[i];
	return NULL;
}
