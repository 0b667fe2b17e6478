// SPDX-License-Identifier: BSD-3-Clause
#include "shared/config_parse.h"

#include "shared/config_keys.h"
#include "shared/ids.h"

#include <string.h>

#define OPTIONAL CYAML_FLAG_OPTIONAL
#define TEXT_MAX 1024
#define LIST_MAX 256
#define PORTS_MAX 8

static const cyaml_strval_t port_types[] = {{"socket", PORT_SOCKET}, {"ethdev", PORT_ETHDEV}};
static const cyaml_strval_t poll_modes[] = {{"adaptive", POLL_ADAPTIVE}, {"busy", POLL_BUSY}};
static const cyaml_strval_t sandboxes[] = {{"enforce", SANDBOX_ENFORCE}, {"log", SANDBOX_LOG}, {"off", SANDBOX_OFF}};
static const cyaml_strval_t log_levels[] = {
	{"error", CONFIG_LOG_ERROR},
	{"warning", CONFIG_LOG_WARNING},
	{"info", CONFIG_LOG_INFO},
	{"debug", CONFIG_LOG_DEBUG},
};

static const cyaml_strval_t log_formats[] = {{"logfmt", CONFIG_LOG_LOGFMT}, {"json", CONFIG_LOG_JSON}};

/* ---- fields ------------------------------------------------------------------------- */

/* The structure that holds a section's values. */
typedef struct config file_section;
typedef struct config_port port_section;
#define SECTION_TYPE(name, keys) typedef __typeof__(((struct config *)0)->name) name##_section;
CONFIG_SECTIONS(SECTION_TYPE)
#undef SECTION_TYPE

#define FIELD_NUMBER(S, key, least, most, unit, meaning) CYAML_FIELD_UINT(#key, OPTIONAL, S##_section, key),
#define FIELD_BOOLEAN(S, key, meaning) CYAML_FIELD_BOOL(#key, OPTIONAL, S##_section, key),
#define FIELD_CHOICE(S, key, words, meaning)                                                       \
	CYAML_FIELD_ENUM(#key, OPTIONAL | CYAML_FLAG_STRICT, S##_section, key, words, CYAML_ARRAY_LEN(words)),
#define FIELD_TEXT(S, key, range, meaning)                                                         \
	CYAML_FIELD_STRING_PTR(#key, OPTIONAL | CYAML_FLAG_POINTER, S##_section, key, 0, TEXT_MAX),
#define FIELD_LIST(S, key, entry, most, range, meaning)                                            \
	CYAML_FIELD_SEQUENCE(#key, OPTIONAL | CYAML_FLAG_POINTER, S##_section, key, entry, 0, most),
#define FIELDS(name, keys)                                                                         \
	static const cyaml_schema_field_t name##_fields[] = {                                      \
		keys(name, FIELD_NUMBER, FIELD_BOOLEAN, FIELD_CHOICE, FIELD_TEXT, FIELD_LIST) CYAML_FIELD_END};

#define PORT_NUMBER(S, key, standard, least, most, unit, meaning) FIELD_NUMBER(S, key, least, most, unit, meaning)
#define PORT_BOOLEAN(S, key, standard, meaning) FIELD_BOOLEAN(S, key, meaning)
#define PORT_MUST(S, key, words, meaning)                                                          \
	CYAML_FIELD_ENUM(#key, CYAML_FLAG_STRICT, S##_section, key, words, CYAML_ARRAY_LEN(words)),
#define PORT_TEXT(S, key, standard, range, meaning) FIELD_TEXT(S, key, range, meaning)
#define PORT_LIST(S, key, standard, entry, most, range, meaning) FIELD_LIST(S, key, entry, most, range, meaning)

static const cyaml_schema_value_t text_entry = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 0, TEXT_MAX)};

static const cyaml_schema_field_t port_fields[] = {
	CONFIG_PORT_KEYS(port, PORT_NUMBER, PORT_BOOLEAN, PORT_MUST, PORT_TEXT, PORT_LIST) CYAML_FIELD_END,
};

static const cyaml_schema_value_t port_entry = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct config_port, port_fields),
};

CONFIG_SECTIONS(FIELDS)

#define SECTION_FIELD(name, keys) CYAML_FIELD_MAPPING(#name, OPTIONAL, struct config, name, name##_fields),
static const cyaml_schema_field_t config_fields[] = {
	CONFIG_FILE_KEYS(file, FIELD_NUMBER, FIELD_BOOLEAN, FIELD_CHOICE, FIELD_TEXT, FIELD_LIST)
	CONFIG_SECTIONS(SECTION_FIELD)
	CYAML_FIELD_END,
};

const cyaml_schema_value_t config_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct config, config_fields),
};

/* ---- the same as descriptions ------------------------------------------------------- */

#define PREFIX_file ""
#define PREFIX_port "dataplane.ports."
#define PREFIX_dataplane "dataplane."
#define PREFIX_session "session."
#define PREFIX_control "control."
#define PREFIX_limits "limits."
#define PREFIX_security "security."
#define PREFIX_launcher "launcher."
#define PREFIX_metrics "metrics."
#define PREFIX_log "log."

#define KEY(S, k, ...) {.path = PREFIX_##S #k, __VA_ARGS__},
#define KEY_NUMBER(S, key, least, most, u, m) KEY(S, key, .is_number = true, .min = (least), .max = (most), .unit = (u), .meaning = (m))
#define KEY_BOOLEAN(S, key, m) KEY(S, key, .meaning = (m))
#define KEY_CHOICE(S, key, w, m) KEY(S, key, .words = (w), .word_count = CYAML_ARRAY_LEN(w), .meaning = (m))
#define KEY_TEXT(S, key, r, m) KEY(S, key, .range = (r), .meaning = (m))
#define KEY_LIST(S, key, entry, most, r, m) KEY(S, key, .range = (r), .meaning = (m))
#define KEYS(name, keys) keys(name, KEY_NUMBER, KEY_BOOLEAN, KEY_CHOICE, KEY_TEXT, KEY_LIST)

#define KEY_PORT_NUMBER(S, key, s, least, most, u, m)                                              \
	KEY(S, key, .standard = #s, .is_number = true, .min = (least), .max = (most), .unit = (u), .meaning = (m))
#define KEY_PORT_BOOLEAN(S, key, s, m) KEY(S, key, .standard = #s, .meaning = (m))
#define KEY_PORT_MUST(S, key, w, m)                                                                \
	KEY(S, key, .standard = "must be given", .words = (w), .word_count = CYAML_ARRAY_LEN(w), .meaning = (m))
#define KEY_PORT_TEXT(S, key, s, r, m) KEY(S, key, .standard = (s), .range = (r), .meaning = (m))
#define KEY_PORT_LIST(S, key, s, entry, most, r, m) KEY(S, key, .standard = (s), .range = (r), .meaning = (m))

const struct config_key config_keys[] = {
	KEYS(file, CONFIG_FILE_KEYS)
	CONFIG_SECTIONS(KEYS)
	CONFIG_PORT_KEYS(port, KEY_PORT_NUMBER, KEY_PORT_BOOLEAN, KEY_PORT_MUST, KEY_PORT_TEXT, KEY_PORT_LIST)
	{.path = NULL},
};

const struct config_key *
config_key_find(const char *path)
{
	for (const struct config_key *k = config_keys; k->path != NULL; k++)
		if (strcmp(k->path, path) == 0)
			return k;
	return NULL;
}
