/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside of the configuration reader: config.c, config_check.c, config_schema.c, their tests and fuzz target. */
#ifndef ROOKERY_SHARED_CONFIG_PARSE_H
#define ROOKERY_SHARED_CONFIG_PARSE_H

#include "config.h"

#include <cyaml/cyaml.h>
#include <yaml.h>

#define METRICS_PORT 8001

/* ---- config_schema.c ---------------------------------------------------------------- */

/* The whole file: a mapping. */
extern const cyaml_schema_value_t config_schema;

/* What is known of a key besides its type: config_keys.h. */
struct config_key {
	const char *path;           /* "dataplane.ports.mtu"; NULL ends the table */
	const char *standard;       /* default of a key of a port, for people and config.c; NULL: in config/default.yaml */
	bool is_number;
	uint64_t min, max;          /* of a number; libcyaml 1.3 knows no ranges */
	const char *range;          /* of texts and lists, for people; may be NULL */
	const char *unit;           /* may be NULL */
	const cyaml_strval_t *words; /* of a choice */
	size_t word_count;
	const char *meaning;
};

extern const struct config_key config_keys[];

/* NULL for an unknown key. */
const struct config_key *config_key_find(const char *path);

/* ---- config_check.c ----------------------------------------------------------------- */

/* Where the one line of an error goes. */
struct config_error {
	const char *file;
	char *text;
	size_t cap;
};

/* Writes "FILE:LINE: ..." (line 0: "FILE: ..."). Returns -EINVAL. */
int config_error_at(struct config_error *e, size_t line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Parses text into doc and holds it against the schema more strictly than libcyaml does: unknown and repeated keys,
 * wrong types, numbers out of range. Returns 0 or -EINVAL; after 0 the caller deletes doc. An empty text is valid and has no root. */
int config_check(yaml_document_t *doc, const char *text, size_t len, struct config_error *e);

/* The value of key in a mapping, or NULL; node may be NULL. */
yaml_node_t *config_node(yaml_document_t *doc, yaml_node_t *node, const char *key);
/* Item i of a sequence, or NULL; node may be NULL. */
yaml_node_t *config_item(yaml_document_t *doc, yaml_node_t *node, unsigned i);
/* Counted from 1; 0 for NULL. */
size_t config_line(const yaml_node_t *node);

/* ---- config.c ----------------------------------------------------------------------- */

/* config_load for a text in memory; file is its name in errors. Touches no file. text NULL: the default alone. */
int config_load_text(struct config **out, const char *file, const char *text, size_t len, const char *state_dir_override,
		     char *error, size_t error_cap);

#endif
