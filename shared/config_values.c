// SPDX-License-Identifier: BSD-3-Clause
#include "shared/config_values.h"

#include "shared/config_parse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_SIZE 256

char *
config_yaml(const struct config *c)
{
	const cyaml_config_t options = {.log_fn = NULL, .mem_fn = cyaml_mem, .log_level = CYAML_LOG_ERROR,
					.flags = CYAML_CFG_STYLE_BLOCK};
	char *text = NULL, *copy;
	size_t len = 0;

	if (cyaml_save_data(&text, &len, &options, &config_schema, (cyaml_data_t *)(uintptr_t)c, 0) != CYAML_OK)
		return NULL;
	/* No string: libcyaml ends it without a NUL. */
	copy = malloc(len + 1);
	if (copy != NULL) {
		memcpy(copy, text, len);
		copy[len] = '\0';
	}
	options.mem_fn(options.mem_ctx, text, 0);
	return copy;
}

/* ---- from the document to the list ---------------------------------------------------- */

/* Takes text. */
static bool
value_add(struct config_values *v, const char *key, char *text)
{
	struct config_value *list = reallocarray(v->list, v->count + 1, sizeof(*list));
	char *copy = strdup(key);

	if (list != NULL)
		v->list = list;
	if (list == NULL || copy == NULL || text == NULL) {
		free(copy);
		free(text);
		return false;
	}
	v->list[v->count++] = (struct config_value){.key = copy, .text = text};
	return true;
}

static const char *
scalar(const yaml_node_t *node)
{
	return node != NULL && node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : "";
}

/* ["a", "b"] */
static char *
list_text(yaml_document_t *doc, yaml_node_t *node)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	yaml_node_t *item;

	if (out == NULL)
		return NULL;
	fputc('[', out);
	for (unsigned i = 0; (item = config_item(doc, node, i)) != NULL; i++)
		fprintf(out, "%s\"%s\"", i == 0 ? "" : ", ", scalar(item));
	fputc(']', out);
	return fclose(out) == 0 ? text : NULL;
}

static bool
flatten(struct config_values *v, yaml_document_t *doc, yaml_node_t *node, const char *path)
{
	char key[KEY_SIZE];
	yaml_node_t *first;

	if (node->type == YAML_SCALAR_NODE)
		return value_add(v, path, strdup(scalar(node)));
	if (node->type == YAML_MAPPING_NODE) {
		const yaml_node_pair_t *pair = node->data.mapping.pairs.start;

		for (; pair < node->data.mapping.pairs.top; pair++) {
			snprintf(key, sizeof(key), "%s%s%s", path, *path == '\0' ? "" : ".",
				 scalar(yaml_document_get_node(doc, pair->key)));
			if (!flatten(v, doc, yaml_document_get_node(doc, pair->value), key))
				return false;
		}
		return true;
	}
	first = config_item(doc, node, 0);
	if (first == NULL || first->type == YAML_SCALAR_NODE)
		return value_add(v, path, list_text(doc, node));
	for (unsigned i = 0; (first = config_item(doc, node, i)) != NULL; i++) {
		snprintf(key, sizeof(key), "%s[%u]", path, i);
		if (!flatten(v, doc, first, key))
			return false;
	}
	return true;
}

int
config_values_of(const struct config *c, struct config_values *out)
{
	char *text = config_yaml(c);
	yaml_parser_t parser;
	yaml_document_t doc;
	yaml_node_t *root;
	int rc = -ENOMEM;

	*out = (struct config_values){0};
	if (text == NULL)
		return -ENOMEM;
	if (yaml_parser_initialize(&parser)) {
		yaml_parser_set_input_string(&parser, (const unsigned char *)text, strlen(text));
		if (yaml_parser_load(&parser, &doc)) {
			root = yaml_document_get_root_node(&doc);
			rc = root != NULL && flatten(out, &doc, root, "") ? 0 : -ENOMEM;
			yaml_document_delete(&doc);
		}
		yaml_parser_delete(&parser);
	}
	free(text);
	if (rc < 0)
		config_values_free(out);
	return rc;
}

int
config_values_add(struct config_values *v, const char *key, const char *text)
{
	return value_add(v, key, strdup(text)) ? 0 : -ENOMEM;
}

const char *
config_values_find(const struct config_values *v, const char *key)
{
	for (unsigned i = 0; i < v->count; i++)
		if (strcmp(v->list[i].key, key) == 0)
			return v->list[i].text;
	return NULL;
}

/* ---- from process to process ---------------------------------------------------------- */

size_t
config_values_pack(const struct config_values *v, char *out, size_t cap)
{
	size_t at = 0;

	for (unsigned i = 0; i < v->count; i++) {
		const char *const part[] = {v->list[i].key, v->list[i].text};

		for (unsigned k = 0; k < 2; k++) {
			size_t size = strlen(part[k]) + 1;

			if (size > cap - at)
				return 0;
			memcpy(out + at, part[k], size);
			at += size;
		}
	}
	return at;
}

int
config_values_unpack(struct config_values *out, const char *packed, size_t length)
{
	const char *end = packed + length;

	*out = (struct config_values){0};
	while (packed < end) {
		const char *key = packed, *text = memchr(key, '\0', (size_t)(end - key));
		const char *last = text == NULL ? NULL : memchr(text + 1, '\0', (size_t)(end - text - 1));

		if (last == NULL || config_values_add(out, key, text + 1) < 0) {
			config_values_free(out);
			return last == NULL ? -EINVAL : -ENOMEM;
		}
		packed = last + 1;
	}
	return 0;
}

void
config_values_free(struct config_values *v)
{
	for (unsigned i = 0; i < v->count; i++) {
		free(v->list[i].key);
		free(v->list[i].text);
	}
	free(v->list);
	*v = (struct config_values){0};
}
