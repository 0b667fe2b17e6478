// SPDX-License-Identifier: BSD-3-Clause
/*
 * libcyaml reads "12abc" as 12, "treu" as true and reports no line for most mistakes. So the file is first parsed
 * into libyaml's tree, which has lines, and the tree is held against libcyaml's own schema.
 */
#include "shared/config_parse.h"
#include "shared/spelling.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_MAX_KEYS 256

int
config_error_at(struct config_error *e, size_t line, const char *format, ...)
{
	va_list args;
	int n;

	if (e->cap == 0)
		return -EINVAL;
	if (line > 0)
		n = snprintf(e->text, e->cap, "%s:%zu: ", e->file, line);
	else
		n = snprintf(e->text, e->cap, "%s: ", e->file);
	if (n > 0 && (size_t)n < e->cap) {
		va_start(args, format);
		vsnprintf(e->text + n, e->cap - (size_t)n, format, args);
		va_end(args);
	}
	/* One line, whatever the file holds. */
	for (char *p = e->text; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	return -EINVAL;
}

/* ---- tree --------------------------------------------------------------------------- */

size_t
config_line(const yaml_node_t *node)
{
	return node == NULL ? 0 : node->start_mark.line + 1;
}

static const char *
scalar_text(const yaml_node_t *node)
{
	return (const char *)node->data.scalar.value;
}

yaml_node_t *
config_node(yaml_document_t *doc, yaml_node_t *node, const char *key)
{
	if (node == NULL || node->type != YAML_MAPPING_NODE)
		return NULL;
	for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++) {
		yaml_node_t *k = yaml_document_get_node(doc, p->key);

		if (k->type == YAML_SCALAR_NODE && strcmp(scalar_text(k), key) == 0)
			return yaml_document_get_node(doc, p->value);
	}
	return NULL;
}

yaml_node_t *
config_item(yaml_document_t *doc, yaml_node_t *node, unsigned i)
{
	if (node == NULL || node->type != YAML_SEQUENCE_NODE ||
	    (size_t)(node->data.sequence.items.top - node->data.sequence.items.start) <= i)
		return NULL;
	return yaml_document_get_node(doc, node->data.sequence.items.start[i]);
}

/* ---- suggestions -------------------------------------------------------------------- */

static const cyaml_schema_field_t *
field_find(const cyaml_schema_field_t *fields, const char *key)
{
	for (; fields->key != NULL; fields++)
		if (strcmp(fields->key, key) == 0)
			return fields;
	return NULL;
}

/* A key that stands in the wrong section: writes "dataplane.workers" and returns true. */
static bool
find_elsewhere(const char *key, char *where, size_t cap)
{
	const cyaml_schema_field_t *top = config_schema.mapping.fields;

	if (field_find(top, key) != NULL) {
		snprintf(where, cap, "%s at top level", key);
		return true;
	}
	for (; top->key != NULL; top++) {
		if (top->value.type == CYAML_MAPPING && field_find(top->value.mapping.fields, key) != NULL) {
			snprintf(where, cap, "%s.%s", top->key, key);
			return true;
		}
	}
	return false;
}

/* ---- check -------------------------------------------------------------------------- */

struct check {
	yaml_document_t *doc;
	struct config_error *error;
};

static int check_value(struct check *c, const cyaml_schema_value_t *schema, yaml_node_t *node, const char *path);

static int
unknown_key(struct check *c, const cyaml_schema_field_t *fields, const yaml_node_t *node, const char *path)
{
	const char *key = scalar_text(node);
	const char *in = path[0] == '\0' ? "" : " in ";
	struct spelling spelling = {.word = key};
	char where[PATH_MAX_KEYS];

	for (; fields->key != NULL; fields++)
		spelling_consider(&spelling, fields->key);
	if (spelling_guess(&spelling) != NULL)
		return config_error_at(c->error, config_line(node), "unknown key \"%s\"%s%s; did you mean \"%s\"?", key, in,
				       path, spelling_guess(&spelling));
	if (find_elsewhere(key, where, sizeof(where)))
		return config_error_at(c->error, config_line(node), "unknown key \"%s\"%s%s; did you mean %s?", key, in, path,
				       where);
	return config_error_at(c->error, config_line(node), "unknown key \"%s\"%s%s; config/default.yaml shows all keys",
			       key, in, path);
}

static int
check_mapping(struct check *c, const cyaml_schema_field_t *fields, yaml_node_t *node, const char *path)
{
	if (node->type != YAML_MAPPING_NODE)
		return config_error_at(c->error, config_line(node), "%s: expected keys and values (\"key: value\")",
				       path[0] == '\0' ? "configuration" : path);

	for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++) {
		yaml_node_t *key = yaml_document_get_node(c->doc, p->key);
		const cyaml_schema_field_t *field;
		char inner[PATH_MAX_KEYS];
		int rc;

		if (key->type != YAML_SCALAR_NODE)
			return config_error_at(c->error, config_line(key), "a key must be a plain word");
		field = field_find(fields, scalar_text(key));
		if (field == NULL)
			return unknown_key(c, fields, key, path);
		if (config_node(c->doc, node, field->key) != yaml_document_get_node(c->doc, p->value))
			return config_error_at(c->error, config_line(key), "key \"%s\" is given twice", field->key);
		snprintf(inner, sizeof(inner), "%s%s%s", path, path[0] == '\0' ? "" : ".", field->key);
		rc = check_value(c, &field->value, yaml_document_get_node(c->doc, p->value), inner);
		if (rc < 0)
			return rc;
	}
	for (; fields->key != NULL; fields++)
		if ((fields->value.flags & CYAML_FLAG_OPTIONAL) == 0 && config_node(c->doc, node, fields->key) == NULL)
			return config_error_at(c->error, config_line(node), "%s: key \"%s\" is missing", path, fields->key);
	return 0;
}

static int
check_sequence(struct check *c, const cyaml_schema_value_t *schema, yaml_node_t *node, const char *path)
{
	yaml_node_t *item;

	if (node->type != YAML_SEQUENCE_NODE)
		return config_error_at(c->error, config_line(node), "%s: expected a list (\"[a, b]\" or \"- a\")", path);
	for (unsigned i = 0; (item = config_item(c->doc, node, i)) != NULL; i++) {
		int rc = check_value(c, schema->sequence.entry, item, path);

		if (rc < 0)
			return rc;
		if (i >= schema->sequence.max)
			return config_error_at(c->error, config_line(item), "%s: more than %" PRIu32 " entries", path,
					       schema->sequence.max);
	}
	return 0;
}

static int
check_number(struct check *c, const yaml_node_t *node, const char *path)
{
	const char *text = scalar_text(node);
	const struct config_key *limit = config_key_find(path);
	size_t digits = strspn(text, "0123456789");
	unsigned long long value;

	if (limit == NULL || !limit->is_number)
		return config_error_at(c->error, config_line(node), "%s: has no range in the schema", path);
	/* A leading zero would be octal to libcyaml. */
	if (digits == 0 || text[digits] != '\0' || (text[0] == '0' && digits > 1))
		return config_error_at(c->error, config_line(node), "%s: \"%s\" is not a whole number (%" PRIu64 "-%" PRIu64 ")",
				       path, text, limit->min, limit->max);
	errno = 0;
	value = strtoull(text, NULL, 10);
	if (errno != 0 || value < limit->min || value > limit->max)
		return config_error_at(c->error, config_line(node), "%s: %s is out of range (%" PRIu64 "-%" PRIu64 ")", path,
				       text, limit->min, limit->max);
	return 0;
}

static int
check_boolean(struct check *c, const yaml_node_t *node, const char *path)
{
	static const char *const words[] = {"true", "false", "yes", "no", "on", "off"};

	for (size_t i = 0; i < CYAML_ARRAY_LEN(words); i++)
		if (strcmp(scalar_text(node), words[i]) == 0)
			return 0;
	return config_error_at(c->error, config_line(node), "%s: \"%s\" is neither true nor false", path, scalar_text(node));
}

static int
check_choice(struct check *c, const cyaml_schema_value_t *schema, const yaml_node_t *node, const char *path)
{
	const char *text = scalar_text(node);
	struct spelling spelling = {.word = text};
	char all[256] = "";

	for (uint32_t i = 0; i < schema->enumeration.count; i++) {
		const char *word = schema->enumeration.strings[i].str;
		size_t used = strlen(all);

		if (strcmp(text, word) == 0)
			return 0;
		spelling_consider(&spelling, word);
		snprintf(all + used, sizeof(all) - used, "%s%s", i == 0 ? "" : ", ", word);
	}
	if (spelling_guess(&spelling) != NULL)
		return config_error_at(c->error, config_line(node), "%s: \"%s\" is none of %s; did you mean \"%s\"?", path,
				       text, all, spelling_guess(&spelling));
	return config_error_at(c->error, config_line(node), "%s: \"%s\" is none of %s", path, text, all);
}

static int
check_text(struct check *c, const cyaml_schema_value_t *schema, const yaml_node_t *node, const char *path)
{
	if (node->data.scalar.length > schema->string.max)
		return config_error_at(c->error, config_line(node), "%s: longer than %" PRIu32 " bytes", path,
				       schema->string.max);
	return 0;
}

static int
check_value(struct check *c, const cyaml_schema_value_t *schema, yaml_node_t *node, const char *path)
{
	if (schema->type == CYAML_MAPPING)
		return check_mapping(c, schema->mapping.fields, node, path);
	if (schema->type == CYAML_SEQUENCE)
		return check_sequence(c, schema, node, path);
	if (node->type != YAML_SCALAR_NODE)
		return config_error_at(c->error, config_line(node), "%s: expected a single value", path);
	if (strlen(scalar_text(node)) != node->data.scalar.length)
		return config_error_at(c->error, config_line(node), "%s: holds a NUL byte", path);
	switch (schema->type) {
	case CYAML_UINT:
		return check_number(c, node, path);
	case CYAML_BOOL:
		return check_boolean(c, node, path);
	case CYAML_ENUM:
		return check_choice(c, schema, node, path);
	default:
		return check_text(c, schema, node, path);
	}
}

/* ---- parse -------------------------------------------------------------------------- */

static int
parse_error(const yaml_parser_t *p, const char *text, size_t len, struct config_error *e)
{
	size_t line = p->problem_mark.line + 1;

	/* A byte that is no UTF-8 has an offset only. */
	if (p->error == YAML_READER_ERROR) {
		line = 1;
		for (size_t i = 0; i < len && i < p->problem_offset; i++)
			line += text[i] == '\n';
	}
	return config_error_at(e, line, "not valid YAML: %s%s%s", p->problem == NULL ? "unknown problem" : p->problem,
			       p->context == NULL ? "" : " ", p->context == NULL ? "" : p->context);
}

int
config_check(yaml_document_t *doc, const char *text, size_t len, struct config_error *e)
{
	struct check check = {.doc = doc, .error = e};
	yaml_document_t next;
	yaml_node_t *root;
	yaml_parser_t parser;
	int rc = 0;

	if (!yaml_parser_initialize(&parser))
		return config_error_at(e, 0, "no memory");
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	if (!yaml_parser_load(&parser, doc)) {
		rc = parse_error(&parser, text, len, e);
		yaml_parser_delete(&parser);
		return rc;
	}
	root = yaml_document_get_root_node(doc);
	if (root != NULL) {
		rc = check_mapping(&check, config_schema.mapping.fields, root, "");
		if (rc == 0 && !yaml_parser_load(&parser, &next)) {
			rc = parse_error(&parser, text, len, e);
		} else if (rc == 0) {
			root = yaml_document_get_root_node(&next);
			if (root != NULL)
				rc = config_error_at(e, config_line(root), "a second document (\"---\"); only one is read");
			yaml_document_delete(&next);
		}
	}
	yaml_parser_delete(&parser);
	if (rc < 0)
		yaml_document_delete(doc);
	return rc;
}
